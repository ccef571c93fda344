/* ctl/patches: see patches.h.
 *
 *   timer -> watch says who suffers -> the patch's document goes to report, with the reason, as any write -> log and record
 *         -> now and then a thread keeps what the watch knows in a file of data_dir, from which the next process takes it
 *
 * Not here: what is counted and judged (patch_watch.c), exposure (patch_exposure.c), replays (patch_replay.c).
 */
#include "ctl/patches.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "ctl/doc.h"
#include "ctl/private.h"
#include "device/facts.h"
#include "pki/file.h"
#include "policy/patch_try.h"
#include "records/counters.h"
#include "records/log.h"

enum { MEMORY = 1 << 20, KEEP_S = 300, KEPT_MAX = 256 << 20, PATH = 4200 };

#define ITSELF "auto-halt" /* the actor of what happens by itself */

struct rf_patches {
	struct rf_ctl *c;
	struct rf_watch *watch;
	struct rf_ring *ring;
	struct rf_timer timer;
	json_t *counted;           /* what rf_patches_fleet found in this turn of the loop, by what it depends on */
	uint64_t counted_at, counted_of;
	struct rf_patches_keeper {
		pthread_t thread;
		bool runs;
		uint64_t due;
		char path[PATH];
		int64_t now_ns;
		int rc;            /* of the last time, with its reason */
		struct rf_err e;
	} keeper;
};

/* --- tests of its own --- */

struct trying {
	const struct rf_expr *x;
	const struct rf_lists *lists;
	int64_t wall_ns;
	json_t *failed;
};

static int try_one(struct trying *t, const char *kind, size_t i, const json_t *request, bool attack, struct rf_err *e)
{
	bool yes = false;
	int rc = rf_patch_try_one(t->x, t->lists, request, kind, i, t->wall_ns, &yes, e);
	bool bad = rc == RF_E_TOO_LARGE;
	if ((rc == RF_OK && yes != attack) || bad)
		json_array_append_new(t->failed, json_pack("{s:s, s:I, s:s}", "kind", kind, "index", (json_int_t)i, "why", bad ?
			"the expression cannot be evaluated over this request" : attack ? "this attack is not stopped" :
			"this harmless request would be stopped"));
	return bad ? RF_OK : rc;
}

static int try_all(struct trying *t, const json_t *tests, const char *kind, bool attack, struct rf_err *e)
{
	size_t i;
	json_t *request;
	json_array_foreach(json_object_get(tests, kind), i, request) {
		int rc = try_one(t, kind, i, request, attack, e);
		if (rc != RF_OK)
			return rc;
	}
	return RF_OK;
}

int rf_patches_test(struct rf_ctl *c, const json_t *doc, json_t **ret, struct rf_err *e)
{
	const struct rf_snap *s = rf_snap_now();
	struct rf_rule_env env = { s->lists, rf_build_have(c) };
	const json_t *tests = json_object_get(doc, "tests");
	struct rf_expr *x = NULL;
	enum rf_phase phase;
	int rc = rf_patch_phase(doc, &phase, e);
	if (rc == RF_OK && rf_expr_compile(&env, phase, doc_str(doc, "expression"), &x, e) != RF_OK) {
		snprintf(e->pointer, sizeof e->pointer, "/expression");
		rc = e->code;
	}
	struct trying t = { x, s->lists, c->clock.wall(c->clock.ctx), json_array() };
	if (rc == RF_OK)
		rc = try_all(&t, tests, "attacks", true, e);
	if (rc == RF_OK)
		rc = try_all(&t, tests, "harmless", false, e);
	rf_expr_put(x);
	if (rc != RF_OK) {
		json_decref(t.failed);
		return rc;
	}
	*ret = json_pack("{s:I, s:I, s:o}", "attacks", (json_int_t)json_array_size(json_object_get(tests, "attacks")), "harmless",
			 (json_int_t)json_array_size(json_object_get(tests, "harmless")), "failed", t.failed);
	return *ret ? RF_OK : rf_fail(e, RF_E_NOMEM, "memory is exhausted");
}

/* --- devices --- */

struct fleet {
	const struct rf_snap *snap;
	struct rf_patch_scope scope;
	struct rf_arena arena;
	json_int_t concerned, fixed, needed, canary, unknown;
};

static bool count_device(struct rf_device *d, void *arg)
{
	struct fleet *f = arg;
	const struct rf_class *class = rf_snap_class(f->snap, rf_device_class_slot(d));
	struct rf_device_facts of = { d, class ? class->name : RF_STR("") };
	struct rf_facts facts;
	if (!rf_patch_class(&f->scope, of.class_name))
		return true;
	rf_facts_init(&facts, &rf_device_facts_ops, &of, &f->arena, f->snap->lists, 0);
	bool fixed = rf_patch_fixed(&f->scope, &facts);
	f->concerned++;
	f->fixed += fixed;
	f->needed += !fixed;
	f->unknown += !rf_device_text(d)->firmware.n;
	f->canary += !fixed && rf_patch_canary(&f->scope, rf_str_z(rf_device_id(d)), &facts);
	rf_arena_reset(&f->arena);
	return true;
}

static int count_fleet(struct rf_ctl *c, const json_t *doc, const char *id, json_t **ret, struct rf_err *e)
{
	struct fleet f = { .snap = rf_snap_now() };
	struct rf_rule_env env = { f.snap->lists, rf_build_have(c) };
	int rc = rf_patch_scope_make(&env, doc, id, &f.scope, e);
	if (rc != RF_OK)
		return rc;
	rf_arena_init(&f.arena, MEMORY);
	rf_registry_each(c->devices, count_device, &f);
	rf_arena_fini(&f.arena);
	rf_patch_scope_fini(&f.scope);
	*ret = json_pack("{s:I, s:I, s:I, s:I, s:I}", "concerned", f.concerned, "fixed", f.fixed, "needed", f.needed, "canary",
			 f.canary, "unknown_firmware", f.unknown);
	return *ret ? RF_OK : rf_fail(e, RF_E_NOMEM, "memory is exhausted");
}

/* What the counts of a patch depend on, as a text; NULL without memory. */
static char *fleet_key(const json_t *doc, const char *id)
{
	json_t *classes = json_object_get(doc, "classes"), *until = json_object_get(doc, "until"), *canary = json_object_get(doc, "canary");
	json_t *key = json_pack("[O?, O?, O?, s]", classes, until, canary, json_object_size(canary) ? id : "");
	char *text = key ? json_dumps(key, JSON_COMPACT) : NULL;
	json_decref(key);
	return text;
}

/* A list of patches asks for each: within a turn, and between changes, those that concern the same ones share a walk. */
int rf_patches_fleet(struct rf_ctl *c, const json_t *doc, const char *id, json_t **ret, struct rf_err *e)
{
	struct rf_patches *p = c->priv->patches;
	char *key = p && p->counted ? fleet_key(doc, id) : NULL;
	if (!key)
		return count_fleet(c, doc, id, ret, e);
	if (p->counted_at != rf_loop_now(c->loop) || p->counted_of != c->priv->commits)
		json_object_clear(p->counted);
	p->counted_at = rf_loop_now(c->loop);
	p->counted_of = c->priv->commits;
	json_t *there = json_object_get(p->counted, key);
	int rc = there ? RF_OK : count_fleet(c, doc, id, ret, e);
	if (there)
		*ret = json_incref(there);
	else if (rc == RF_OK)
		json_object_set(p->counted, key, *ret);
	free(key);
	return rc;
}

void rf_patches_live(struct rf_ctl *c, const char *id, json_t *object)
{
	if (c->priv->patches)
		rf_watch_json(c->priv->patches->watch, id, c->clock.wall(c->clock.ctx), object);
}

/* --- falling back --- */

/* A line for who reads records: what happened, to which patch, why. */
static void tell(struct rf_patches *p, const struct rf_object *o, const char *why)
{
	char text[512];
	snprintf(text, sizeof text, "patch %s fell back to report: %s", o->name, why);
	rf_log(RF_LOG_WARN, "patches", "%s", text);
	rf_count(RF_C_PATCH_HALTS);
	struct rf_record r = { .kind = RF_REC_EVENT, .at = p->c->clock.wall(p->c->clock.ctx), .action = RF_STR("log"),
			       .layer = RF_STR("rule"), .reason = rf_str_z(text), .rule_id = rf_str_z(o->id),
			       .rule_name = doc_str(o->doc, "title") };
	if (p->ring)
		rf_record_emit(p->ring, &r);
}

static int fall_back(struct rf_patches *p, const char *id, const char *why, struct rf_object *o, struct rf_err *e)
{
	struct rf_ctl *c = p->c;
	int64_t now_s = c->clock.wall(c->clock.ctx) / (int64_t)RF_NS_S;
	int rc = rf_ctl_begin(c, ITSELF, e);
	if (rc == RF_OK)
		rc = rf_store_get(c->store, RF_KIND_PATCH, id, o, e);
	if (rc == RF_OK && rf_patch_note(o->doc, RF_PATCH_REPORT, ITSELF, why, now_s) != RF_OK)
		rc = rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	if (rc == RF_OK)
		rc = rf_store_put(c->store, RF_KIND_PATCH, o, 0, e);
	if (rc == RF_OK)
		rc = rf_ctl_touch(c, RF_KIND_PATCH, id, e);
	if (rc == RF_OK)
		rc = rf_ctl_commit(c, false, e);
	if (rc != RF_OK)
		rf_ctl_abort(c);
	return rc;
}

static void suffer(void *arg, const char *id, const char *why)
{
	struct rf_patches *p = arg;
	RF_OBJECT_AUTO o = { 0 };
	struct rf_err e;
	if (fall_back(p, id, why, &o, &e) == RF_OK)
		tell(p, &o, why);
	else
		rf_log(RF_LOG_ERROR, "patches", "patch %s should fall back to report (%s), and cannot: %s", id, why, e.text);
}

void rf_patches_look(struct rf_patches *p)
{
	rf_watch_judge(p->watch, p->c->clock.wall(p->c->clock.ctx), suffer, p);
}

/* --- over restarts --- */

/* On a thread, or at the end on the caller's. */
static void *keep(void *arg)
{
	struct rf_patches *p = arg;
	RF_BUF_AUTO all = { 0 };
	rf_watch_save(p->watch, p->keeper.now_ns, &all);
	p->keeper.rc = all.bad ? rf_fail(&p->keeper.e, RF_E_NOMEM, "memory is exhausted") :
		       all.n ? rf_file_put(p->keeper.path, 0600, rf_buf_str(&all), &p->keeper.e) : RF_OK;
	return NULL;
}

static void kept(struct rf_patches *p, bool wait)
{
	struct rf_patches_keeper *k = &p->keeper;
	if (!k->runs || (wait ? pthread_join(k->thread, NULL) : pthread_tryjoin_np(k->thread, NULL)) != 0)
		return;
	k->runs = false;
	if (k->rc != RF_OK)
		rf_log(RF_LOG_WARN, "patches", "how devices usually fare is not kept for the next start: %s", k->e.text);
}

static void keep_when_due(struct rf_patches *p)
{
	struct rf_patches_keeper *k = &p->keeper;
	uint64_t now = rf_loop_now(p->c->loop);
	kept(p, false);
	if (k->runs || now < k->due)
		return;
	k->due = now + KEEP_S * RF_NS_S;
	k->now_ns = p->c->clock.wall(p->c->clock.ctx);
	k->runs = pthread_create(&k->thread, NULL, keep, p) == 0;
}

static void take_up(struct rf_patches *p)
{
	RF_BUF_AUTO all = { 0 };
	struct rf_err e;
	snprintf(p->keeper.path, sizeof p->keeper.path, "%s/patch-watch", p->c->boot->data_dir);
	int rc = rf_file_get(p->keeper.path, KEPT_MAX, false, &all, &e);
	if (rc == RF_E_NOT_FOUND)
		return;
	if (rc == RF_OK && (rc = rf_watch_load(p->watch, rf_buf_str(&all), p->c->clock.wall(p->c->clock.ctx))) != RF_OK)
		rf_fail(&e, rc, "%s: %s", p->keeper.path, rf_code_sentence(rc));
	if (rc != RF_OK)
		rf_log(RF_LOG_WARN, "patches", "how devices usually fare is learnt anew: %s", e.text);
}

static void again(struct rf_patches *p)
{
	rf_timer_set(p->c->loop, &p->timer, rf_loop_now(p->c->loop) + RF_PATCHES_LOOK_S * RF_NS_S);
}

static void on_time(struct rf_timer *t)
{
	struct rf_patches *p = RF_CONTAINER(t, struct rf_patches, timer);
	rf_patches_look(p);
	keep_when_due(p);
	again(p);
}

void rf_patches_changed(struct rf_patches *p)
{
	const struct rf_parts *parts = &p->c->priv->parts;
	struct rf_watch_spec *v = calloc(parts->patch_count + 1, sizeof *v);
	for (size_t i = 0; v && i < parts->patch_count; i++)
		v[i] = parts->patches[i].watch;
	if (!v || rf_watch_follow(p->watch, v, parts->patch_count) != RF_OK)
		rf_log(RF_LOG_ERROR, "patches", "no memory to watch all patches: some do not fall back by themselves");
	free(v);
}

int rf_patches_start(struct rf_ctl *c, struct rf_watch *watch, struct rf_ring *ring, struct rf_patches **ret, struct rf_err *e)
{
	struct rf_patches *p = calloc(1, sizeof *p);
	if (!p)
		return rf_fail(e, RF_E_NOMEM, "no memory to watch patches");
	*p = (struct rf_patches){ .c = c, .watch = watch, .ring = ring, .timer = { .fire = on_time }, .counted = json_object() };
	p->keeper.due = rf_loop_now(c->loop) + KEEP_S * RF_NS_S;
	take_up(p);
	rf_patches_changed(p);
	again(p);
	*ret = p;
	return RF_OK;
}

void rf_patches_stop(struct rf_patches *p)
{
	if (!p)
		return;
	rf_timer_stop(p->c->loop, &p->timer);
	kept(p, true);
	json_decref(p->counted);
	p->keeper.now_ns = p->c->clock.wall(p->c->clock.ctx);
	keep(p);
	free(p);
}
