#include <stdio.h>
#include <stdlib.h>
#include "base/room.h"
#include "ctl/access.h"
#include "ctl/build.h"
#include "ctl/crl.h"
#include "ctl/devices.h"
#include "ctl/packets.h"
#include "ctl/patches.h"
#include "ctl/private.h"
#include "ctl/wall.h"
#include "ctl/worker.h"
#include "records/counters.h"
#include "records/log.h"

static int account_of(const struct rf_object *o, void *arg)
{
	memcpy(arg, o->id, RF_ID_LEN + 1);
	return 1;
}

/* The account that everything belongs to: made at the first start. */
static int ensure_account(struct rf_ctl *c, struct rf_err *e)
{
	struct rf_store_query first = { .limit = 1 };
	RF_OBJECT_AUTO o = { .name = "Ringfence" };
	int rc = rf_store_list(c->store, RF_KIND_ACCOUNT, &first, account_of, c->account_id, NULL, e);
	if (rc == 1)
		return RF_OK;
	if (rc == RF_OK)
		rc = rf_store_begin(c->store, "first start", e);
	o.doc = json_pack("{s:s, s:s, s:{}}", "name", o.name, "type", "standard", "settings");
	if (rc == RF_OK)
		rc = rf_store_put(c->store, RF_KIND_ACCOUNT, &o, 0, e);
	if (rc == RF_OK)
		rc = rf_store_commit(c->store, e);
	rf_store_rollback(c->store);
	memcpy(c->account_id, o.id, sizeof c->account_id);
	return rc;
}

/* What clients see that name no host: the first listener's certificate, else one of our own CA. */
static int load_fallback(struct rf_ctl *c, struct rf_err *e)
{
	struct rf_keypair *made = NULL;
	struct rf_san sans[] = { { RF_SAN_DNS, RF_STR("localhost") }, { RF_SAN_IP, RF_STR("127.0.0.1") }, { RF_SAN_IP, RF_STR("::1") } };
	struct rf_issue own = { .days = RF_CTL_OWN_DAYS, .cn = RF_STR("Ringfence edge"), .sans = sans, .san_count = 3, .server = true };
	const struct rf_boot_listener *with = NULL;
	for (size_t i = 0; i < c->boot->listener_count && !with; i++)
		if (c->boot->listeners[i].certificate[0])
			with = &c->boot->listeners[i];
	int rc = with ? rf_ctl_keypair_files(c, with->certificate, with->key, &made, e) : rf_ctl_own_keypair(c, &own, &made, e);
	if (rc != RF_OK)
		return rc;
	rf_keypair_put(c->priv->fallback);
	c->priv->fallback = made;
	return RF_OK;
}

/* The state as it stands, into parts and a published snapshot. */
static int publish_all(struct rf_ctl *c, unsigned what, struct rf_err *e)
{
	struct rf_parts made = { 0 };
	struct rf_snap *snap = NULL;
	uint64_t began = c->clock.mono(c->clock.ctx);
	int rc = rf_build(c, &c->priv->parts, what, &made, e);
	if (rc == RF_OK)
		rc = rf_build_snap(c, &made, &snap, e);
	if (rc != RF_OK) {
		rf_parts_put(&made);
		rf_rule_index_drop(&c->priv->rules);
		rf_count(RF_C_SNAPSHOTS_BAD);
		return rc;
	}
	rf_rule_index_settle(&c->priv->rules);
	rf_parts_put(&c->priv->parts);
	c->priv->parts = made;
	rf_snap_publish(snap);
	rf_rule_merge_look(c->priv->merge);
	rf_count(RF_C_SNAPSHOTS);
	rf_observe(RF_H_SNAPSHOT, c->clock.mono(c->clock.ctx) - began);
	return RF_OK;
}

int rf_ctl_init(struct rf_ctl *c, int monitor_fd, const struct rf_plan *plan, struct rf_err *e)
{
	c->priv = calloc(1, sizeof *c->priv);
	if (c->priv) {
		c->priv->monitor_fd = monitor_fd;
		c->priv->plan = plan;
	}
	if (!c->priv || !(c->priv->devices = rf_devices_new(c)) || !(c->priv->packets = rf_packets_new()))
		return rf_fail(e, RF_E_NOMEM, "no memory for the control thread");
	int rc = ensure_account(c, e);
	if (rc == RF_OK)
		rc = rf_ctl_load_geo(c, e);
	if (rc == RF_OK)
		rc = rf_access_load(c, &c->priv->access, e);
	if (rc == RF_OK)
		rc = rf_devices_load(c, e);
	if (rc == RF_OK)
		rc = load_fallback(c, e);
	if (rc == RF_OK)
		rc = rf_ctl_load_tokens(c, e);
	rf_ctl_own_tidy(c);
	return rc == RF_OK ? publish_all(c, RF_PART_ALL, e) : rc;
}

void rf_ctl_fini(struct rf_ctl *c)
{
	if (!c->priv)
		return;
	rf_access_free(c->priv->access);
	rf_packets_free(c->priv->packets);
	rf_devices_free(c->priv->devices);
	rf_parts_put(&c->priv->parts);
	rf_rule_index_fini(&c->priv->rules);
	rf_keypair_put(c->priv->fallback);
	rf_geo_put(c->priv->geo);
	rf_tokens_put(c->priv->tokens);
	free(c->priv->touched);
	free(c->priv);
	c->priv = NULL;
}

int rf_ctl_begin(struct rf_ctl *c, const char *actor, struct rf_err *e)
{
	c->priv->touched_count = 0;
	return rf_store_begin(c->store, actor, e);
}

void rf_ctl_catch_up(struct rf_ctl *c) { rf_devices_keep(c->priv->devices); }

int rf_ctl_touch(struct rf_ctl *c, enum rf_kind kind, const char *id, struct rf_err *e)
{
	struct rf_ctl_private *p = c->priv;
	if (p->touched_count == RF_CTL_TOUCH_MAX)
		return rf_fail(e, RF_E_TOO_LARGE, "at most %d objects can change at once", RF_CTL_TOUCH_MAX);
	if (!RF_ROOM(p->touched, p->touched_cap, p->touched_count))
		return rf_fail(e, RF_E_NOMEM, "no memory for the changes");
	struct touch *t = &p->touched[p->touched_count++];
	t->kind = kind;
	snprintf(t->id, sizeof t->id, "%s", id);
	return RF_OK;
}

void rf_ctl_abort(struct rf_ctl *c)
{
	rf_store_rollback(c->store);
	c->priv->touched_count = 0;
}

static unsigned stale_parts(const struct rf_ctl_private *p)
{
	unsigned what = 0;
	for (size_t i = 0; i < p->touched_count; i++)
		what |= rf_build_needs(p->touched[i].kind);
	return what;
}

static void sync_device(struct rf_ctl *c, const char *id)
{
	struct rf_err e;
	bool sever = false;
	if (rf_devices_sync(c, id, &sever, &e) != RF_OK)
		rf_log(RF_LOG_ERROR, "devices", "device %s is refused until it can be read: %s", id, e.text);
	if (sever)
		rf_ctl_sever(c, id);
}

/* What is not part of a snapshot follows entry by entry. True when workers must look at their connections again. */
static bool sync_entries(struct rf_ctl *c)
{
	struct rf_ctl_private *p = c->priv;
	struct rf_err e;
	bool recheck = false;
	for (size_t i = 0; i < p->touched_count; i++) {
		const struct touch *t = &p->touched[i];
		RF_OBJECT_AUTO o = { 0 };
		if (t->kind == RF_KIND_DEVICE)
			sync_device(c, t->id);
		else if (t->kind == RF_KIND_CREDENTIAL && rf_store_get(c->store, t->kind, t->id, &o, &e) == RF_OK)
			sync_device(c, o.parent);
		else if (t->kind == RF_KIND_CREDENTIAL)
			recheck = true; /* deleted: what it let in must go */
		else if (t->kind == RF_KIND_ZONE_ACCESS_RULE)
			recheck = true; /* also after a deletion, which may uncover a wider rule */
		else if (t->kind == RF_KIND_CLIENT_CERT) {
			recheck = true;
			p->certificates++;
			if (rf_devices_sync_certificate(c, t->id, &e) != RF_OK)
				rf_log(RF_LOG_ERROR, "ca", "certificate %s: %s", t->id, e.text);
		}
	}
	return recheck;
}

static void recheck_all(struct rf_ctl *c)
{
	for (size_t i = 0; i < c->worker_count; i++)
		rf_worker_recheck(c->workers[i]);
}

/* Build what the change makes stale, from the state inside the open transaction. */
static int prepare(struct rf_ctl *c, unsigned what, struct rf_parts *made, struct rf_snap **snap, struct rf_err *e)
{
	uint64_t began = c->clock.mono(c->clock.ctx);
	int rc = what ? rf_build(c, &c->priv->parts, what, made, e) : RF_OK;
	if (rc == RF_OK && what)
		rc = rf_build_snap(c, made, snap, e);
	if (what)
		rf_observe(RF_H_SNAPSHOT, c->clock.mono(c->clock.ctx) - began);
	if (rc != RF_OK)
		rf_count(RF_C_SNAPSHOTS_BAD);
	return rc;
}

/* `was`: what the snapshot of these parts took the place of; NULL: there is none. */
static void settle(struct rf_ctl *c, unsigned what, struct rf_parts *made, struct rf_snap *was)
{
	if (was) {
		rf_snap_retire(was);
		rf_rule_index_settle(&c->priv->rules);
		rf_parts_put(&c->priv->parts);
		c->priv->parts = *made;
		rf_count(RF_C_SNAPSHOTS);
	}
	if (what & RF_PART_RULES)
		rf_rule_merge_look(c->priv->merge);
	bool recheck = sync_entries(c);
	if (recheck || what & (RF_PART_TRUST | RF_PART_SITE)) /* connections of ports that are gone end */
		recheck_all(c);
	if (what & RF_PART_TRUST && c->priv->crl)
		rf_crl_fetcher_plan(c->priv->crl);
	if (what & RF_PART_SITE && c->priv->site_changed)
		c->priv->site_changed(c);
	if (what & RF_PART_PATCHES && c->priv->patches)
		rf_patches_changed(c->priv->patches);
}

/* Access rules take effect before the commit, because that can fail for want of room, and because the disk takes its time: for frames, for
 * new connections, and for those that stand. What the commit then refuses is taken back in the same way. */
static int follow_access(struct rf_ctl *c, struct rf_err *e)
{
	const struct rf_ctl_private *p = c->priv;
	int rc = RF_OK;
	bool any = false;
	for (size_t i = 0; i < p->touched_count && rc == RF_OK; i++)
		if (p->touched[i].kind == RF_KIND_ACCESS_RULE) {
			any = true;
			rc = rf_access_follow(c, p->access, p->touched[i].id, e);
		}
	if (rc == RF_OK)
		rc = rf_access_settle(c, p->access, e);
	if (rc == RF_OK)
		rc = rf_wall_publish(c, e);
	if (rc == RF_OK && any)
		recheck_all(c); /* now, not when the disk has it; also after a deletion, which may uncover a wider rule */
	return rc;
}

static void undo_access(struct rf_ctl *c)
{
	struct rf_err e;
	rf_store_rollback(c->store);
	if (follow_access(c, &e) != RF_OK)
		rf_log(RF_LOG_ERROR, "access", "an access rule may not be in force until the next restart: %s", e.text);
}

/* Rules of packets, in the same way: of the snapshot that is to be, or of that in force. */
static int follow_packets(struct rf_ctl *c, unsigned what, const struct rf_snap *snap, const struct rf_edits *edits, bool only_try, struct rf_err *e)
{
	if (snap && what & (RF_PART_RULES | RF_PART_LISTS | RF_PART_PATCHES))
		return rf_packets_follow(c, snap->policy.phase[RF_PHASE_PACKET], snap->lists, only_try ? RF_PACKETS_TRY : RF_PACKETS_PUT, e);
	return edits->n ? rf_packets_lists_changed(c, e) : RF_OK;
}

void rf_ctl_keep_packets(struct rf_ctl *c)
{
	struct rf_err e;
	const struct rf_snap *now = rf_snap_now();
	if (rf_packets_follow(c, now->policy.phase[RF_PHASE_PACKET], now->lists, RF_PACKETS_KEEP, &e) != RF_OK)
		rf_log(RF_LOG_ERROR, "packets", "rules of packets are not those of the state: %s", e.text);
}

/* A change is in force before the disk has it, which takes milliseconds, and is taken back if it never does. */
int rf_ctl_commit(struct rf_ctl *c, bool dry_run, struct rf_err *e)
{
	struct rf_parts made = { 0 };
	struct rf_snap *snap = NULL, *was = NULL;
	struct rf_edits edits = { 0 };
	unsigned what = stale_parts(c->priv);
	int rc = prepare(c, what, &made, &snap, e);
	if (rc == RF_OK && !dry_run)
		rc = rf_edits_enter(c, &c->priv->parts, &edits, e);
	if (rc == RF_OK)
		rc = follow_packets(c, what, snap, &edits, dry_run, e);
	if (rc == RF_OK && !dry_run)
		rc = follow_access(c, e);
	if (rc == RF_OK && !dry_run) {
		was = snap ? rf_snap_swap(snap) : NULL;
		rc = rf_store_commit(c->store, e);
	}
	if (rc != RF_OK || dry_run) {
		bool edited = edits.n;
		if (was)
			rf_snap_retire(rf_snap_swap(was));
		else
			rf_snap_unpin(snap);
		rf_edits_undo(c, &edits);
		if (!dry_run && (snap || edited))
			rf_ctl_keep_packets(c);
		rf_parts_put(&made);
		rf_rule_index_drop(&c->priv->rules);
		if (!dry_run)
			undo_access(c);
		rf_ctl_abort(c);
		return rc;
	}
	bool edited = edits.n;
	rf_edits_settle(c, &edits);
	settle(c, what, &made, was);
	if (edited && rf_packets_lists_changed(c, e) != RF_OK)
		rf_log(RF_LOG_ERROR, "packets", "an entry that went from a list is still blocked or let pass in the kernel: %s", e->text);
	c->priv->touched_count = 0;
	c->priv->commits++;
	return RF_OK;
}

static void access_as_before(struct rf_ctl *c)
{
	struct rf_err e;
	if (rf_access_refresh(c, c->priv->access, &e) != RF_OK)
		rf_log(RF_LOG_ERROR, "access", "access rules about countries and autonomous systems hold by the new database: %s", e.text);
}

int rf_ctl_reload_state(struct rf_ctl *c, struct rf_err *e)
{
	struct rf_keypair *before = rf_keypair_get(c->priv->fallback);
	struct rf_geo *geo = rf_geo_get(c->priv->geo);
	struct rf_tokens *tokens = rf_tokens_get(c->priv->tokens);
	int rc = load_fallback(c, e);
	if (rc == RF_OK)
		rc = rf_ctl_load_geo(c, e);
	if (rc == RF_OK)
		rc = rf_ctl_load_tokens(c, e);
	if (rc == RF_OK)
		rc = rf_access_refresh(c, c->priv->access, e);
	if (rc == RF_OK)
		rc = rf_ctl_rebuild(c, RF_PART_ALL, e);
	if (rc != RF_OK) {
		rf_keypair_put(c->priv->fallback);
		c->priv->fallback = rf_keypair_get(before);
		rf_geo_put(c->priv->geo);
		c->priv->geo = rf_geo_get(geo);
		rf_tokens_put(c->priv->tokens);
		c->priv->tokens = rf_tokens_get(tokens);
		access_as_before(c);
	}
	rf_geo_put(geo);
	rf_tokens_put(tokens);
	rf_keypair_put(before);
	return rc;
}

int rf_ctl_rebuild(struct rf_ctl *c, unsigned what, struct rf_err *e)
{
	int rc = publish_all(c, what, e);
	if (rc != RF_OK)
		return rc;
	if (what & RF_PART_RULES)
		rf_ctl_keep_packets(c);
	if (what & RF_PART_TRUST)
		recheck_all(c);
	if (what & RF_PART_SITE && c->priv->site_changed)
		c->priv->site_changed(c);
	return RF_OK;
}

int rf_ctl_adopt(struct rf_ctl *c, const char *ruleset, const struct rf_index_job *j, struct rf_err *e)
{
	struct rf_parts *p = &c->priv->parts;
	struct rf_snap *snap = NULL;
	size_t i = 0;
	while (i < p->rules_count && strcmp(p->rules[i].id, ruleset) != 0)
		i++;
	if (i == p->rules_count)
		return RF_E_STALE;
	struct rf_ruleset *was = p->rules[i].set, *now = NULL;
	int rc = rf_ruleset_adopt(was, j, &now);
	if (rc != RF_OK)
		return rc;
	p->rules[i].set = now;
	rc = rf_build_snap(c, p, &snap, e);
	if (rc == RF_OK)
		rf_snap_publish(snap);
	else
		p->rules[i].set = was;
	rf_ruleset_put(rc == RF_OK ? was : now);
	return rc;
}

void rf_ctl_sever(struct rf_ctl *c, const char *device_id)
{
	for (size_t i = 0; i < c->worker_count; i++)
		rf_worker_sever(c->workers[i], device_id);
}
