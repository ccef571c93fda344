/* ctl/applies: see applies.h.
 *
 *   pending --confirm--> confirmed: what was kept to take it back is forgotten
 *      |----rollback, timer, a start after its end----> rolled_back: ctl/undo, in a transaction like any other
 *
 * The end is a time of the wall clock in the state; while the process runs a timer of the steady clock counts, so that a clock that is
 * set cannot prolong it, and after a start never more than what was asked for is left.
 *
 * Devices that came into a class by themselves, a class that goes with what is taken back, go with it.
 */
#include "ctl/applies.h"
#include <stdio.h>
#include <stdlib.h>
#include "ctl/doc.h"
#include "ctl/private.h"
#include "ctl/undo.h"
#include "records/counters.h"
#include "records/log.h"

enum { LEFT_MOST = 100 }; /* objects that stay as they are, and are named */

struct rf_applies {
	struct rf_ctl *c;
	struct rf_ring *ring;
	struct rf_timer timer;
	char id[RF_ID_LEN + 1]; /* of the pending one; "" : none */
	uint64_t until;         /* steady clock */
	char error[sizeof ((struct rf_err *)0)->text];
};

static int64_t now_s(const struct rf_clock *clock) { return clock->wall(clock->ctx) / (int64_t)RF_NS_S; }

static json_t *time_json(int64_t s)
{
	char at[RF_RFC3339_SIZE];
	return json_string(rf_rfc3339(s * (int64_t)RF_NS_S, 0, at));
}

static int first(const struct rf_object *o, void *arg)
{
	struct rf_object *to = arg;
	*to = *o;
	json_incref(to->doc);
	return 1;
}

/* The pending one. RF_E_NOT_FOUND. */
static int find_pending(struct rf_store *s, struct rf_object *ret, struct rf_err *e)
{
	struct rf_store_query q = { .match = { { "state", "pending" } }, .limit = 1 };
	int rc = rf_store_list(s, RF_KIND_APPLY, &q, first, ret, NULL, e);
	return rc == 1 ? RF_OK : rc == RF_OK ? rf_fail(e, RF_E_NOT_FOUND, "nothing waits to be confirmed") : rc;
}

static int64_t until_of(const json_t *doc)
{
	int64_t at = 0;
	return rf_rfc3339_parse(doc_str(doc, "until").p, &at) == 0 ? at : 0;
}

static int finish(struct rf_store *s, struct rf_object *o, const char *state, const char *by, int64_t now, json_t *left, struct rf_err *e)
{
	int bad = json_object_set_new(o->doc, "state", json_string(state)) | json_object_set_new(o->doc, "ended_by", json_string(by)) |
		  json_object_set_new(o->doc, "ended_on", time_json(now)) | (left ? json_object_set(o->doc, "left", left) : 0);
	return bad ? rf_fail(e, RF_E_NOMEM, "memory is exhausted") : rf_store_put(s, RF_KIND_APPLY, o, 0, e);
}

/* --- taking back --- */

struct taking {
	struct rf_ctl *c; /* NULL: nothing runs yet that would have to follow */
	json_t *left, *classes;
	struct rf_err *e;
};

/* A ruleset is told with its rules; a credential that is gone cannot tell whose it was. */
static int touch(struct taking *t, enum rf_kind k, const char *id, const char *parent)
{
	if (!t->c || k == RF_KIND_RULE || k == RF_KIND_RULESET_VERSION)
		return RF_OK;
	int rc = rf_ctl_touch(t->c, k, id, t->e);
	return rc == RF_OK && k == RF_KIND_CREDENTIAL && parent[0] ? rf_ctl_touch(t->c, RF_KIND_DEVICE, parent, t->e) : rc;
}

static int undone(enum rf_kind k, const char *id, const char *parent, const char *name, enum rf_undone how, void *arg)
{
	struct taking *t = arg;
	if (how != RF_UNDONE && json_array_size(t->left) < LEFT_MOST)
		json_array_append_new(t->left, json_pack("{s:s, s:s, s:s, s:s}", "kind", rf_kind_name(k), "id", id, "name", name, "what",
							 how == RF_UNDONE_PARTLY ? "changed in between: those members stay"
										 : "changed in between: left as it is"));
	if (k == RF_KIND_CLASS && how == RF_UNDONE)
		json_array_append_new(t->classes, json_string(id));
	return touch(t, k, id, parent);
}

static int each_id(const struct rf_object *o, void *arg)
{
	return json_array_append_new(arg, json_string(o->id)) == 0 ? RF_OK : RF_E_NOMEM;
}

/* Devices of a class that is no more. */
static int orphans(struct rf_store *s, struct taking *t, const char *class)
{
	RF_OBJECT_AUTO o = { 0 };
	struct rf_store_query q = { .match = { { "class_id", class } } };
	json_t *ids = json_array(), *id;
	size_t i;
	int rc = rf_store_get(s, RF_KIND_CLASS, class, &o, t->e);
	rc = rc == RF_E_NOT_FOUND ? rf_store_list(s, RF_KIND_DEVICE, &q, each_id, ids, NULL, t->e) : rc;
	json_array_foreach(ids, i, id) {
		if (rc == RF_OK)
			rc = rf_store_del(s, RF_KIND_DEVICE, json_string_value(id), 0, t->e);
		if (rc == RF_OK)
			rc = touch(t, RF_KIND_DEVICE, json_string_value(id), "");
	}
	json_decref(ids);
	return rc;
}

/* In an open transaction. */
static int take_back(struct rf_store *s, struct rf_ctl *c, struct rf_object *o, const char *by, int64_t now, struct rf_err *e)
{
	struct taking t = { c, json_array(), json_array(), e };
	json_t *class;
	size_t i;
	int rc = t.left && t.classes ? rf_store_undo(s, undone, &t, e) : rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	json_array_foreach(t.classes, i, class)
		if (rc == RF_OK)
			rc = orphans(s, &t, json_string_value(class));
	if (rc == RF_OK)
		rc = finish(s, o, "rolled_back", by, now, t.left, e);
	json_decref(t.left);
	json_decref(t.classes);
	return rc;
}

int rf_applies_overdue(struct rf_store *s, const struct rf_clock *clock, struct rf_err *e)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = find_pending(s, &o, e);
	if (rc != RF_OK || until_of(o.doc) > now_s(clock))
		return rc == RF_E_NOT_FOUND ? RF_OK : rc;
	rc = rf_store_begin(s, "rollback", e);
	if (rc == RF_OK)
		rc = take_back(s, NULL, &o, "timeout", now_s(clock), e);
	if (rc == RF_OK)
		rc = rf_store_commit(s, e);
	rf_store_rollback(s);
	if (rc == RF_OK) {
		rf_log(RF_LOG_WARN, "apply", "apply %s was not confirmed in its time and is taken back", o.id);
		rf_count(RF_C_APPLIES_ROLLED_BACK);
	}
	return rc;
}

/* --- the pending one --- */

static void set_timer(struct rf_applies *a)
{
	rf_timer_set(a->c->loop, &a->timer, a->until);
}

void rf_applies_look(struct rf_applies *a)
{
	RF_OBJECT_AUTO o = { 0 };
	struct rf_err e;
	const struct rf_clock *clock = &a->c->clock;
	int rc = find_pending(a->c->store, &o, &e);
	if (rc != RF_OK) {
		if (rc != RF_E_NOT_FOUND)
			rf_log(RF_LOG_ERROR, "apply", "cannot see whether changes wait to be confirmed: %s", e.text);
		a->id[0] = '\0';
		a->error[0] = '\0';
		rf_timer_stop(a->c->loop, &a->timer);
		return;
	}
	if (strcmp(a->id, o.id) == 0)
		return;
	int64_t left = until_of(o.doc) - now_s(clock), most = doc_int(o.doc, "seconds", 0);
	left = left < 0 ? 0 : left > most ? most : left;
	snprintf(a->id, sizeof a->id, "%s", o.id);
	a->error[0] = '\0';
	a->until = clock->mono(clock->ctx) + (uint64_t)left * RF_NS_S;
	set_timer(a);
}

const char *rf_applies_pending(const struct rf_applies *a, int64_t *ret_left_s, const char **ret_error)
{
	uint64_t now = a->c->clock.mono(a->c->clock.ctx);
	*ret_left_s = a->until > now ? (int64_t)((a->until - now + RF_NS_S - 1) / RF_NS_S) : 0;
	*ret_error = a->error;
	return a->id[0] ? a->id : NULL;
}

int rf_applies_watch(struct rf_applies *a, struct rf_err *e)
{
	if (a->id[0])
		return rf_fail(e, RF_E_CONFLICT, "apply %s waits to be confirmed; confirm it or take it back first", a->id);
	return rf_store_watch(a->c->store, e);
}

/* Room for the next. */
static int forget_oldest(struct rf_store *s, struct rf_err *e)
{
	size_t n = 0;
	RF_OBJECT_AUTO o = { 0 };
	struct rf_store_query all = { 0 }, one = { .limit = 1 };
	int rc = rf_store_count(s, RF_KIND_APPLY, &all, &n, e);
	if (rc != RF_OK || n < RF_APPLIES_KEPT)
		return rc;
	rc = rf_store_list(s, RF_KIND_APPLY, &one, first, &o, NULL, e);
	return rc == 1 ? rf_store_del(s, RF_KIND_APPLY, o.id, 0, e) : rc;
}

int rf_applies_keep(struct rf_applies *a, const char *actor, unsigned seconds, char id[RF_ID_LEN + 1], struct rf_err *e)
{
	struct rf_undo_count n;
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_store_keep(a->c->store, &n, e);
	if (rc == RF_OK)
		rc = forget_oldest(a->c->store, e);
	if (rc != RF_OK)
		return rc;
	memcpy(o.parent, a->c->account_id, sizeof o.parent);
	o.doc = json_pack("{s:s, s:s, s:I, s:o, s:{s:I, s:I, s:I, s:I}}", "state", "pending", "made_by", actor, "seconds", (json_int_t)seconds,
			  "until", time_json(now_s(&a->c->clock) + seconds), "changes", "made", (json_int_t)n.made, "changed",
			  (json_int_t)n.changed, "deleted", (json_int_t)n.deleted, "entries", (json_int_t)n.entries);
	rc = o.doc ? rf_store_put(a->c->store, RF_KIND_APPLY, &o, 0, e) : rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	if (rc == RF_OK)
		memcpy(id, o.id, RF_ID_LEN + 1);
	return rc;
}

/* --- its end --- */

static void tell(struct rf_applies *a, const struct rf_object *o, bool confirmed, const char *by)
{
	char text[320];
	size_t left = json_array_size(json_object_get(o->doc, "left"));
	int n = snprintf(text, sizeof text, "apply %s of %s was %s by %s", o->id, doc_str(o->doc, "made_by").p,
			 confirmed ? "confirmed" : "taken back", by);
	if (left && n > 0 && (size_t)n < sizeof text)
		snprintf(text + n, sizeof text - (size_t)n, "; %zu objects had changed in between", left);
	rf_log(confirmed ? RF_LOG_INFO : RF_LOG_WARN, "apply", "%s", text);
	rf_count(confirmed ? RF_C_APPLIES_CONFIRMED : RF_C_APPLIES_ROLLED_BACK);
	struct rf_record r = { .kind = RF_REC_EVENT, .at = a->c->clock.wall(a->c->clock.ctx), .action = RF_STR("log"),
			       .layer = RF_STR("state"), .reason = rf_str_z(text) };
	if (a->ring)
		rf_record_emit(a->ring, &r);
}

static int load(struct rf_applies *a, const char *id, struct rf_object *ret, struct rf_err *e)
{
	int rc = rf_store_get(a->c->store, RF_KIND_APPLY, id, ret, e);
	if (rc == RF_E_NOT_FOUND)
		return rf_fail(e, rc, "there is no apply %s", id);
	if (rc == RF_OK && !doc_is(ret->doc, "state", "pending"))
		return rf_fail(e, RF_E_CONFLICT, "apply %s is over: %s by %s on %s", id, doc_is(ret->doc, "state", "confirmed") ? "confirmed" :
			       "taken back", doc_str(ret->doc, "ended_by").p, doc_str(ret->doc, "ended_on").p);
	return rc;
}

int rf_applies_end(struct rf_applies *a, const char *id, bool confirm, const char *actor, struct rf_err *e)
{
	struct rf_ctl *c = a->c;
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_ctl_begin(c, actor, e);
	if (rc == RF_OK)
		rc = load(a, id, &o, e);
	if (rc == RF_OK && confirm)
		rc = rf_store_forget(c->store, e);
	if (rc == RF_OK)
		rc = confirm ? finish(c->store, &o, "confirmed", actor, now_s(&c->clock), NULL, e)
			     : take_back(c->store, c, &o, actor, now_s(&c->clock), e);
	if (rc == RF_OK)
		rc = rf_ctl_commit(c, false, e);
	if (rc != RF_OK) {
		rf_ctl_abort(c);
		return rc;
	}
	rf_applies_look(a);
	tell(a, &o, confirm, actor);
	return RF_OK;
}

/* Its time is over. What fails is tried again: the reason may go. */
static void on_time(struct rf_timer *t)
{
	struct rf_applies *a = RF_CONTAINER(t, struct rf_applies, timer);
	struct rf_err e;
	char id[sizeof a->id];
	memcpy(id, a->id, sizeof id);
	if (!id[0] || rf_applies_end(a, id, false, "timeout", &e) == RF_OK)
		return;
	rf_log(RF_LOG_ERROR, "apply", "apply %s was not confirmed and cannot be taken back; it is tried again in %d s: %s", id, RF_APPLY_AGAIN_S,
	       e.text);
	snprintf(a->error, sizeof a->error, "%s", e.text);
	rf_timer_set(a->c->loop, t, rf_loop_now(a->c->loop) + RF_APPLY_AGAIN_S * RF_NS_S);
}

int rf_applies_start(struct rf_ctl *c, struct rf_ring *ring, struct rf_applies **ret, struct rf_err *e)
{
	struct rf_applies *a = calloc(1, sizeof *a);
	if (!a)
		return rf_fail(e, RF_E_NOMEM, "no memory for changes that wait to be confirmed");
	a->c = c;
	a->ring = ring;
	a->timer.fire = on_time;
	rf_applies_look(a);
	*ret = a;
	return RF_OK;
}

void rf_applies_stop(struct rf_applies *a)
{
	if (!a)
		return;
	rf_timer_stop(a->c->loop, &a->timer);
	free(a);
}
