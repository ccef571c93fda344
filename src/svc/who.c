/* svc/who: the device behind a connection, from the handshake to the end; and the rules of the phase `connection`.
 *
 * The device is found once (svc/identity) and again when the snapshot has changed or none was known,
 * so that one that is added while its connection stands is known when the service next asks. It is
 * referenced, counted in its use and its class's, and linked for revocation, all as long as the
 * connection lasts. Connections of a class are counted exactly over all workers.
 *
 * Invariant: c->device set <=> linked in front->live. `counted` <=> its connection is counted.
 */
#include <stdio.h>
#include "shield/homes.h"
#include "svc/front_own.h"

enum { CLASS_SLOTS = 65536 };

static _Atomic uint32_t class_connections[CLASS_SLOTS];

uint32_t rf_class_connections(uint16_t slot) { return atomic_load_explicit(&class_connections[slot], memory_order_relaxed); }

void who_leave(struct rf_client *c)
{
	if (!c->device)
		return;
	live_del(c);
	if (c->homed)
		rf_homes_go(c->front->homes, &c->src, rf_device_id(c->device), rf_client_now(c));
	c->homed = false;
	if (c->counted)
		rf_use_leave(&rf_device_use(c->device)->connections);
	if (c->class_slot != UINT16_MAX)
		rf_use_leave(&class_connections[c->class_slot]);
	c->counted = false;
	c->class_slot = UINT16_MAX;
	rf_device_put(c->device);
	c->device = NULL;
}

const struct rf_class *rf_client_class(const struct rf_client *c, const struct rf_snap *snap)
{
	return c->device ? rf_snap_class(snap, rf_device_class_slot(c->device)) : NULL;
}

static uint32_t bound(uint32_t max) { return max ? max : UINT32_MAX; }

static void who_enter(struct rf_client *c, struct rf_device *d, const struct rf_class *class)
{
	c->device = rf_device_get(d);
	live_add(c);
	c->counted = rf_use_enter(&rf_device_use(d)->connections, bound(class ? class->max_connections : 0));
	uint16_t slot = rf_device_class_slot(d);
	if (rf_use_enter(&class_connections[slot], bound(class ? class->class_max_connections : 0)))
		c->class_slot = slot;
	c->over = !c->counted || c->class_slot == UINT16_MAX;
}

/* Where a device is, is certain where its certificate was verified and no proxy stands between. */
static void who_home(struct rf_client *c, const struct rf_class *class)
{
	const struct rf_tls_info *info = rf_client_tls(c);
	if (!c->front->homes || c->homed || c->listener->proxy || !c->src.family || !info || !info->verified)
		return;
	c->homed = true;
	rf_homes_come(c->front->homes, &c->src, rf_device_id(c->device), (class && class->flood_exempt ? RF_HOME_EXEMPT : 0) |
		(rf_device_state(c->device) == RF_DEVICE_ACTIVE ? 0 : RF_HOME_HELD), rf_client_now(c));
}

void who_identify(struct rf_client *c, const struct rf_snap *snap)
{
	struct rf_identity id;
	rf_identify(&c->front->identity, snap, rf_client_tls(c), rf_loop_wall(c->front->loop) / (int64_t)RF_NS_S, &id);
	c->who = id.refusal;
	c->who_reason = id.reason;
	c->who_generation = snap->generation;
	if (id.device == c->device)
		return;
	who_leave(c);
	if (!id.device)
		return;
	who_enter(c, id.device, id.class);
	who_home(c, id.class);
}

void rf_client_refresh(struct rf_client *c, const struct rf_snap *snap)
{
	const struct rf_tls_info *info = rf_client_tls(c);
	if (!info)
		return;
	rf_tls_recheck(&c->stream);
	if (info->peer && (!c->device || c->who || c->who_generation != snap->generation || info->status != RF_CERT_VALID))
		who_identify(c, snap);
}

const char *rf_client_against(const struct rf_client *c, uint64_t roots, enum rf_reason *ret)
{
	const struct rf_tls_info *info = rf_client_tls(c);
	if (!info || !info->peer) {
		*ret = RF_REASON_CERT_NONE;
		return rf_reason_words(RF_REASON_CERT_NONE);
	}
	if (c->who) {
		*ret = c->who_reason;
		return c->who;
	}
	if (!(info->roots & roots)) {
		*ret = rf_tls_unvouched(info, roots);
		return rf_reason_words(*ret);
	}
	switch (rf_device_state(c->device)) {
	case RF_DEVICE_ACTIVE:
		return NULL;
	case RF_DEVICE_QUARANTINED:
		*ret = RF_REASON_DEVICE_QUARANTINED;
		break;
	default:
		*ret = RF_REASON_DEVICE_REVOKED;
		break;
	}
	return rf_reason_words(*ret);
}

/* In force before this returns, for whatever the device asks next; the control thread keeps it and ends the device's
 * other connections. Where the control thread cannot be told, the device stays as it was: what it asks next tries again. */
void rf_client_quarantine(struct rf_client *c, const struct rf_rule *rule)
{
	const struct rf_identity_env *env = &c->front->identity;
	if (!c->device || !rf_device_turn(c->device, RF_DEVICE_ACTIVE, RF_DEVICE_QUARANTINED))
		return;
	struct rf_identity_event ev = { .quarantined = true, .at_s = rf_loop_wall(c->front->loop) / (int64_t)RF_NS_S };
	memcpy(ev.device, rf_device_id(c->device), sizeof ev.device);
	snprintf(ev.rule, sizeof ev.rule, "%.*s", RF_ARG(rule->id));
	snprintf(ev.subject, sizeof ev.subject, "%.*s", RF_ARG(rule->description));
	if (env->event && !env->event(env->arg, &ev)) {
		rf_device_turn(c->device, RF_DEVICE_QUARANTINED, RF_DEVICE_ACTIVE);
		return;
	}
	c->last = true;
	rf_count(RF_C_QUARANTINED);
}

/* --- the rules of the phase `connection` --- */

void rf_front_count_hits(const struct rf_verdict *v)
{
	static const enum rf_counter counters[RF_ACTION_COUNT] = { [RF_ACT_BLOCK] = RF_C_RULE_BLOCK,
		[RF_ACT_ALLOW] = RF_C_RULE_ALLOW, [RF_ACT_LOG] = RF_C_RULE_LOG, [RF_ACT_SKIP] = RF_C_RULE_SKIP,
		[RF_ACT_REWRITE] = RF_C_RULE_REWRITE, [RF_ACT_CHALLENGE] = RF_C_RULE_CHALLENGE,
		[RF_ACT_JS_CHALLENGE] = RF_C_RULE_CHALLENGE, [RF_ACT_MANAGED_CHALLENGE] = RF_C_RULE_CHALLENGE,
		[RF_ACT_REDIRECT] = RF_C_RULE_REDIRECT, [RF_ACT_RATE_LIMIT] = RF_C_RULE_RATE_LIMIT,
		[RF_ACT_QUARANTINE] = RF_C_RULE_QUARANTINE, [RF_ACT_SET_CONFIG] = RF_C_RULE_SET_CONFIG,
		[RF_ACT_SERVE_ERROR] = RF_C_RULE_SERVE_ERROR, [RF_ACT_COMPRESS] = RF_C_RULE_COMPRESS,
		[RF_ACT_EXECUTE] = RF_C_RULE_OTHER, [RF_ACT_ROUTE] = RF_C_RULE_OTHER, [RF_ACT_LOG_FIELD] = RF_C_RULE_OTHER };
	if (v->errors)
		rf_count_n(RF_C_RULE_ERRORS, v->errors);
	for (unsigned i = 0; i < v->nhits; i++) {
		rf_count(counters[v->hits[i]->action]);
		rf_rule_hit(v->hits[i]);
	}
}

static const struct rf_policy *rules_of(struct rf_client *c, const struct rf_snap *snap)
{
	const struct rf_service *s = c->listener->service;
	return s->policy ? s->policy(c, snap) : &snap->policy;
}

bool rf_client_wants_first(struct rf_client *c)
{
	const struct rf_phase_set *set = rules_of(c, c->front->snap())->phase[RF_PHASE_CONNECTION];
	return set && rf_phase_set_uses(set, RF_F_TCP_FIRST);
}

struct judged {
	struct rf_client *client;
	const struct rf_snap *snap;
	struct rf_str first;
};

static bool get(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_val *ret)
{
	struct judged *j = ctx;
	if (f != RF_F_TCP_FIRST)
		return rf_client_fact(j->client, j->snap, arena, f, ret);
	*ret = rf_val_str(j->first);
	return j->first.n;
}

/* For its record. Without memory it goes unsaid. */
static void keep_logged(struct rf_client *c, const struct rf_verdict *v)
{
	struct rf_buf ids = { 0 };
	for (unsigned i = 0; i < v->nhits; i++)
		if (v->hits[i] != v->rule)
			rf_buf_printf(&ids, "%s%.*s", ids.n ? "," : "", RF_ARG(v->hits[i]->id));
	if (ids.n && rf_buf_z(&ids)[0])
		c->logged = ids.p;
	else
		rf_buf_fini(&ids);
}

/* What the phase says, in the front's verdict: of bars alone, or of them and its rules. */
static void judge(struct rf_client *c, const struct rf_policy *p, const struct rf_snap *snap, struct rf_str first, bool bars_alone)
{
	static const struct rf_facts_ops ops = { get, NULL };
	struct rf_front *f = c->front;
	struct judged j = { c, snap, first };
	struct rf_arena a;
	rf_arena_init(&a, f->conf.rule_memory);
	rf_facts_init(&f->facts, &ops, &j, &a, snap->lists, rf_loop_wall(f->loop));
	rf_verdict_init(&f->verdict);
	if (bars_alone)
		rf_phase_eval(p->bars, &f->facts, &f->verdict, NULL);
	else
		rf_connection_eval(p, !c->unbarred, &f->facts, &f->verdict, NULL);
	rf_arena_fini(&a);
}

bool who_shut_out(struct rf_client *c)
{
	const struct rf_snap *snap = c->front->snap();
	const struct rf_policy *p = c->src.family && !c->unbarred ? rules_of(c, snap) : NULL;
	if (!p || !p->bars)
		return false;
	judge(c, p, snap, (struct rf_str){ 0 }, true);
	if (c->front->verdict.outcome != RF_BLOCK)
		return false;
	c->rule = c->front->verdict.rule;
	return true;
}

int rf_client_judge(struct rf_client *c, struct rf_str first)
{
	struct rf_front *f = c->front;
	const struct rf_snap *snap = f->snap();
	const struct rf_policy *p = rules_of(c, snap);
	if (!p->phase[RF_PHASE_CONNECTION] && (!p->bars || c->unbarred))
		return RF_OK;
	judge(c, p, snap, first, false);
	rf_front_count_hits(&f->verdict);
	keep_logged(c, &f->verdict);
	if (f->verdict.outcome != RF_BLOCK)
		return RF_OK;
	if (f->verdict.why == RF_WHY_QUARANTINE)
		rf_client_quarantine(c, f->verdict.rule);
	c->rule = f->verdict.rule;
	c->refused = true;
	c->end_reason = RF_REASON_RULE_CONNECTION;
	c->end = rf_reason_words(RF_REASON_RULE_CONNECTION);
	return RF_E_DENIED;
}
