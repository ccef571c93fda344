/* api/pack_take: a new version of a pack against the patches that are there.
 *
 *   not there                           a draft, in report where the operator has enabled such patches
 *   draft, replay, report, retired      the new text, the state stays
 *   canary, enforce, and it would act otherwise   the text in force stays; the new one waits beside it until it is accepted
 *   not in the pack any more            retired
 *
 * What the operator decides (state, classes, canary, halt) is never touched. All or nothing: the caller's transaction.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/packs.h"
#include "base/room.h"

/* What a patch says, of which those that act decide what it stops. */
static const char *const acts[] = { "phase", "expression", "action", "action_parameters", "until", "tests" };
static const char *const tells[] = { "title", "cve", "references", "devices", "kind", "category", "severity" };
enum { ACTS = sizeof acts / sizeof *acts, TELLS = sizeof tells / sizeof *tells };

static int no_memory(struct rf_api_call *c) { return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted"); }

static int collect(const struct rf_object *o, void *arg)
{
	struct rf_pack_patches *p = arg;
	if (!RF_ROOM(p->v, p->room, p->n))
		return RF_E_NOMEM;
	p->v[p->n] = *o;
	json_incref(p->v[p->n++].doc);
	return RF_OK;
}

struct picking {
	const char *pack;
	struct rf_pack_patches *to;
};

static int pick(const struct rf_object *o, void *arg)
{
	struct picking *p = arg;
	return strcmp(rf_json_text(json_object_get(o->doc, "pack"), "name"), p->pack) == 0 ? collect(o, p->to) : RF_OK;
}

int rf_pack_load(struct rf_api_call *c, const char *pack, struct rf_pack_patches *ret)
{
	struct picking p = { pack, ret };
	struct rf_store_query q = { .parent = c->account.id };
	int rc = rf_store_list(c->store, RF_KIND_PATCH, &q, pick, &p, NULL, &c->err);
	return rc == RF_E_NOMEM ? no_memory(c) : rc;
}

void rf_pack_patches_fini(struct rf_pack_patches *p)
{
	while (p->n)
		rf_object_fini(&p->v[--p->n]);
	free(p->v);
	p->v = NULL;
}

struct rf_object *rf_pack_find(const struct rf_pack_patches *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->v[i].name, name) == 0)
			return &p->v[i];
	return NULL;
}

/* --- one patch --- */

static int copy(struct rf_api_call *c, json_t *to, const json_t *from, const char *const *members, size_t n)
{
	int bad = 0;
	for (size_t i = 0; i < n; i++) {
		json_t *v = json_object_get(from, members[i]);
		if (v)
			bad |= json_object_set(to, members[i], v);
		else
			json_object_del(to, members[i]);
	}
	return bad || rf_schema_fill(RF_RES_PATCH, to) != RF_OK ? no_memory(c) : RF_OK;
}

/* The pack's own members with their defaults, as they would be stored. */
static json_t *filled(const json_t *patch)
{
	json_t *j = json_deep_copy(patch);
	if (j && rf_schema_fill(RF_RES_PATCH, j) != RF_OK) {
		json_decref(j);
		return NULL;
	}
	return j;
}

static bool differ(const json_t *a, const json_t *b, const char *const *members, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const json_t *x = json_object_get(a, members[i]), *y = json_object_get(b, members[i]);
		if ((x || y) && (!x || !y || !json_equal(x, y)))
			return true;
	}
	return false;
}

static int set_pack(struct rf_api_call *c, json_t *doc, const struct rf_pack *p)
{
	char version[24];
	snprintf(version, sizeof version, "%lld", (long long)p->version);
	return json_object_set_new(doc, "pack", json_pack("{s:s, s:s}", "name", p->name, "version", version)) ? no_memory(c) : RF_OK;
}

int rf_pack_note(struct rf_api_call *c, json_t *patch, enum rf_patch_state to, const char *why)
{
	int rc = rf_patch_note(patch, to, c->who.actor, why, rf_api_now(c));
	return rc == RF_OK ? RF_OK : no_memory(c);
}

static int count(json_t *counts, const char *what)
{
	return json_object_set_new(counts, what, json_integer(json_integer_value(json_object_get(counts, what)) + 1));
}

/* A draft, or in report where such patches are enabled. */
static int begin(struct rf_api_call *c, json_t *doc, const json_t *enabled)
{
	size_t i;
	json_t *selection;
	bool moved;
	int rc = rf_pack_note(c, doc, RF_PATCH_DRAFT, "came with the pack");
	json_array_foreach(enabled, i, selection)
		if (rc == RF_OK)
			rc = rf_pack_enable(c, doc, selection, &moved);
	return rc;
}

static int add(struct rf_api_call *c, const struct rf_pack *p, const json_t *patch, const json_t *enabled, json_t *counts)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_api_object(c, &o, c->account.id, rf_json_text(patch, "name"), filled(patch));
	if (rc == RF_OK)
		rc = set_pack(c, o.doc, p);
	if (rc == RF_OK)
		rc = begin(c, o.doc, enabled);
	if (rc == RF_OK)
		rc = rf_api_put(c, RF_KIND_PATCH, &o, 0);
	if (rc == RF_E_EXISTS)
		return rf_api_fail(c, RF_E_EXISTS, "", "there is a patch %s already, and it is not of this pack: rename it first", o.name);
	return rc == RF_OK && count(counts, "added") ? no_memory(c) : rc;
}

/* The new text of a patch that acts: it waits. */
static int keep_waiting(struct rf_api_call *c, json_t *doc, const json_t *new, const struct rf_pack *p)
{
	json_t *waiting = json_pack("{s:I}", "version", (json_int_t)p->version);
	int bad = !waiting;
	for (size_t i = 0; !bad && i < ACTS; i++)
		if (json_object_get(new, acts[i]))
			bad = json_object_set(waiting, acts[i], json_object_get(new, acts[i]));
	if (bad || json_object_set(doc, "waiting", waiting)) {
		json_decref(waiting);
		return no_memory(c);
	}
	json_decref(waiting);
	return RF_OK;
}

static int change(struct rf_api_call *c, struct rf_object *o, const json_t *new, const struct rf_pack *p, json_t *counts)
{
	enum rf_patch_state s = rf_patch_state_of(o->doc);
	bool live = s == RF_PATCH_CANARY || s == RF_PATCH_ENFORCE, otherwise = differ(new, o->doc, acts, ACTS);
	const char *what = live && otherwise ? "waiting" : otherwise || differ(new, o->doc, tells, TELLS) ? "changed" : "unchanged";
	int rc = copy(c, o->doc, new, tells, TELLS);
	if (rc == RF_OK && live && otherwise)
		rc = keep_waiting(c, o->doc, new, p);
	else if (rc == RF_OK) {
		json_object_del(o->doc, "waiting");
		rc = copy(c, o->doc, new, acts, ACTS);
		if (rc == RF_OK)
			rc = set_pack(c, o->doc, p);
	}
	if (rc == RF_OK)
		rc = rf_api_put(c, RF_KIND_PATCH, o, 0);
	return rc == RF_OK && count(counts, what) ? no_memory(c) : rc;
}

static int retire(struct rf_api_call *c, struct rf_object *o, const struct rf_pack *p, json_t *counts)
{
	char why[96];
	if (rf_patch_state_of(o->doc) == RF_PATCH_RETIRED)
		return RF_OK;
	snprintf(why, sizeof why, "version %lld of the pack does not have it any more", (long long)p->version);
	json_object_del(o->doc, "waiting");
	int rc = rf_pack_note(c, o->doc, RF_PATCH_RETIRED, why);
	if (rc == RF_OK)
		rc = rf_api_put(c, RF_KIND_PATCH, o, 0);
	return rc == RF_OK && count(counts, "retired") ? no_memory(c) : rc;
}

/* --- all of them --- */

struct taking {
	const struct rf_pack *p;
	const json_t *enabled;
	bool fresh;
	struct rf_pack_patches have;
	json_t *counts;
};

static int take_one(struct rf_api_call *c, struct taking *t, const json_t *patch)
{
	struct rf_object *o = rf_pack_find(&t->have, rf_json_text(patch, "name"));
	if (!o)
		return add(c, t->p, patch, t->enabled, t->counts);
	json_t *new = filled(patch);
	int rc = !new ? no_memory(c) : t->fresh && rf_patch_state_of(o->doc) == RF_PATCH_RETIRED ? begin(c, o->doc, t->enabled) : RF_OK;
	if (rc == RF_OK)
		rc = change(c, o, new, t->p, t->counts);
	json_decref(new);
	return rc;
}

int rf_pack_take(struct rf_api_call *c, const struct rf_pack *p, const json_t *enabled, bool fresh, json_t *counts)
{
	struct taking t = { p, enabled, fresh, { 0 }, counts };
	json_t *names = json_object(), *patch;
	size_t i;
	int rc = names ? rf_pack_load(c, p->name, &t.have) : no_memory(c);
	json_array_foreach(json_object_get(p->doc, "patches"), i, patch) {
		if (rc == RF_OK)
			rc = take_one(c, &t, patch);
		json_object_set_new(names, rf_json_text(patch, "name"), json_true());
	}
	for (i = 0; rc == RF_OK && i < t.have.n; i++)
		if (!json_object_get(names, t.have.v[i].name))
			rc = retire(c, &t.have.v[i], p, counts);
	json_decref(names);
	rf_pack_patches_fini(&t.have);
	return rc;
}

int rf_pack_accept(struct rf_api_call *c, json_t *patch, bool back)
{
	char why[80], version[24];
	json_t *waiting = json_incref(json_object_get(patch, "waiting"));
	long long n = json_integer_value(json_object_get(waiting, "version"));
	snprintf(why, sizeof why, "the text of version %lld of the pack was accepted", n);
	snprintf(version, sizeof version, "%lld", n);
	json_object_del(patch, "waiting");
	int rc = copy(c, patch, waiting, acts, ACTS);
	json_decref(waiting);
	if (rc == RF_OK && json_object_set_new(json_object_get(patch, "pack"), "version", json_string(version)))
		rc = no_memory(c);
	return rc == RF_OK ? rf_pack_note(c, patch, back ? RF_PATCH_REPORT : rf_patch_state_of(patch), why) : rc;
}
