/* ctl/patch_exposure: which devices each flaw can reach, which are protected, which are fixed.
 *
 * Patches of one CVE are taken together (one without a CVE stands for itself). A device that any of them concerns is
 * fixed where all that concern it say so, protected where all others stop for it, else exposed. Patches of a pack
 * that no class has been given are left out, and retired ones that do not say when a device is fixed.
 *
 * Patches of a pack mostly concern the same devices in the same state, so that one walk over the registry answers for all
 * flaws that are alike: a report costs what they differ, not how many they are.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/room.h"
#include "ctl/doc.h"
#include "ctl/patches.h"
#include "ctl/private.h"
#include "device/facts.h"

enum { FLAWS_MAX = 4096, OF_FLAW_MAX = 64, MEMORY = 1 << 20 };
enum status { EXPOSED, PROTECTED, FIXED, STATUSES };

static const char *const status_names[STATUSES] = { "exposed", "protected", "fixed" };

struct one_patch {
	struct rf_patch_scope scope;
	struct rf_object object;   /* its document is held */
	enum rf_patch_state state;
	int64_t acts_since_s;      /* 0: it does not act */
};

struct flaw {
	char cve[104];
	struct one_patch *patches[OF_FLAW_MAX];
	size_t patch_count;
	json_int_t counts[STATUSES], unknown;
	int64_t exposed_since, protected_since;
	json_t *devices;
	bool copied;               /* from one that is alike */
};

struct report {
	struct rf_ctl *c;
	const struct rf_snap *snap;
	struct one_patch *patches;
	size_t patch_count, patch_cap;
	struct flaw *flaws;
	size_t flaw_count;
	struct flaw *now;          /* whose devices are walked over */
	enum status wanted;        /* of the walk that lists */
	size_t most;               /* devices that are listed of each */
	bool list;
	struct rf_arena arena;
	struct rf_err *e;
};

/* Since when it stops something without a break, from its history. */
static int64_t acts_since(const json_t *doc)
{
	int64_t since = 0, at;
	size_t i;
	json_t *move;
	json_array_foreach(json_object_get(doc, "history"), i, move) {
		bool acts = doc_is(move, "to", "canary") || doc_is(move, "to", "enforce");
		if (!acts)
			since = 0;
		else if (!since && rf_rfc3339_parse(doc_str(move, "when").p, &at) == RF_OK)
			since = at;
	}
	return since;
}

static bool counts(const json_t *doc)
{
	bool pack = json_is_object(json_object_get(doc, "pack")), classes = json_array_size(json_object_get(doc, "classes")) > 0;
	return (!pack || classes) && (rf_patch_state_of(doc) != RF_PATCH_RETIRED || doc_str(doc, "until").n);
}

static int keep_patch(const struct rf_object *o, void *arg)
{
	struct report *r = arg;
	if (!counts(o->doc))
		return RF_OK;
	if (!RF_ROOM(r->patches, r->patch_cap, r->patch_count))
		return rf_fail(r->e, RF_E_NOMEM, "memory is exhausted");
	struct one_patch *p = &r->patches[r->patch_count++];
	*p = (struct one_patch){ .object = *o, .state = rf_patch_state_of(o->doc), .acts_since_s = acts_since(o->doc) };
	json_incref(o->doc);
	return RF_OK;
}

static struct flaw *flaw(struct report *r, const char *cve)
{
	for (size_t i = 0; i < r->flaw_count; i++)
		if (strcmp(r->flaws[i].cve, cve) == 0)
			return &r->flaws[i];
	if (r->flaw_count == FLAWS_MAX)
		return NULL;
	struct flaw *f = &r->flaws[r->flaw_count++];
	snprintf(f->cve, sizeof f->cve, "%s", cve);
	return f;
}

static int add_flaw(struct report *r, struct one_patch *p, const char *cve)
{
	struct flaw *f = flaw(r, cve);
	if (!f || f->patch_count == OF_FLAW_MAX)
		return rf_fail(r->e, RF_E_TOO_LARGE, "there are more than %d flaws, or more than %d patches of %s", FLAWS_MAX, OF_FLAW_MAX, cve);
	f->patches[f->patch_count++] = p;
	return RF_OK;
}

static int add_flaws(struct report *r, struct one_patch *p)
{
	const json_t *cve = json_object_get(p->object.doc, "cve");
	struct rf_rule_env env = { r->snap->lists, rf_build_have(r->c) };
	int rc = rf_patch_scope_make(&env, p->object.doc, p->object.id, &p->scope, r->e);
	if (rc == RF_OK && !json_array_size(cve))
		rc = add_flaw(r, p, p->object.name);
	for (size_t i = 0; rc == RF_OK && i < json_array_size(cve); i++)
		rc = add_flaw(r, p, json_string_value(json_array_get(cve, i)));
	return rc;
}

static bool acts_on(const struct one_patch *p, const struct rf_device *d, struct rf_facts *f)
{
	return p->state == RF_PATCH_ENFORCE || (p->state == RF_PATCH_CANARY && rf_patch_canary(&p->scope, rf_str_z(rf_device_id(d)), f));
}

/* False: the flaw is none of the device's. */
static bool judge(struct flaw *fl, const struct rf_device *d, struct rf_str class, struct rf_facts *f, enum status *ret,
		  int64_t *ret_since)
{
	bool concerned = false, all_fixed = true, all_act = true;
	int64_t known = INT64_MAX, acts = 0;
	for (size_t i = 0; i < fl->patch_count; i++) {
		const struct one_patch *p = fl->patches[i];
		if (!rf_patch_class(&p->scope, class))
			continue;
		concerned = true;
		known = p->object.created_s < known ? p->object.created_s : known;
		if (rf_patch_fixed(&p->scope, f))
			continue;
		all_fixed = false;
		all_act &= acts_on(p, d, f);
		acts = p->acts_since_s > acts ? p->acts_since_s : acts;
	}
	*ret = all_fixed ? FIXED : all_act ? PROTECTED : EXPOSED;
	int64_t since = *ret == PROTECTED ? acts : known;
	*ret_since = since > rf_device_created(d) ? since : rf_device_created(d);
	return concerned;
}

static json_t *time_of(int64_t s)
{
	char at[RF_RFC3339_SIZE];
	return s && s != INT64_MAX ? json_string(rf_rfc3339(s * (int64_t)RF_NS_S, 0, at)) : json_null();
}

/* A device is fixed since somebody last wrote what it is. */
static int64_t fixed_since(struct report *r, const struct rf_device *d, int64_t otherwise)
{
	RF_OBJECT_AUTO o = { 0 };
	struct rf_err e;
	return rf_store_get(r->c->store, RF_KIND_DEVICE, rf_device_id(d), &o, &e) == RF_OK ? o.modified_s : otherwise;
}

static void list_device(struct report *r, const struct rf_device *d, struct rf_str class, enum status s, int64_t since)
{
	const struct rf_device_text *t = rf_device_text(d);
	if (json_array_size(r->now->devices) >= r->most)
		return;
	if (s == FIXED)
		since = fixed_since(r, d, since);
	json_array_append_new(r->now->devices, json_pack("{s:s, s:s%, s:s%, s:s%, s:s, s:o}", "id", rf_device_id(d), "name", t->name.p,
		t->name.n, "class", class.p, class.n, "firmware", t->firmware.p, t->firmware.n, "status", status_names[s], "since",
		time_of(since)));
}

static bool each_device(struct rf_device *d, void *arg)
{
	struct report *r = arg;
	struct flaw *fl = r->now;
	const struct rf_class *class = rf_snap_class(r->snap, rf_device_class_slot(d));
	struct rf_device_facts of = { d, class ? class->name : RF_STR("") };
	struct rf_facts f;
	enum status s;
	int64_t since;
	rf_facts_init(&f, &rf_device_facts_ops, &of, &r->arena, r->snap->lists, 0);
	bool concerned = judge(fl, d, of.class_name, &f, &s, &since);
	rf_arena_reset(&r->arena);
	if (!concerned)
		return true;
	if (r->list) {
		if (s == r->wanted)
			list_device(r, d, of.class_name, s, since);
		return !(s == r->wanted && json_array_size(fl->devices) >= r->most);
	}
	int64_t *first = s == EXPOSED ? &fl->exposed_since : s == PROTECTED ? &fl->protected_since : NULL;
	fl->counts[s]++;
	fl->unknown += s != FIXED && !rf_device_text(d)->firmware.n;
	if (first && (!*first || since < *first))
		*first = since;
	return true;
}

static json_t *flaw_json(const struct flaw *f)
{
	json_t *patches = json_array();
	const json_t *first = f->patches[0]->object.doc;
	for (size_t i = 0; i < f->patch_count; i++)
		json_array_append_new(patches, json_pack("{s:s, s:s, s:s, s:o}", "id", f->patches[i]->object.id, "name",
			f->patches[i]->object.name, "state", rf_patch_state_name(f->patches[i]->state), "acts_since",
			time_of(f->patches[i]->acts_since_s)));
	json_t *j = json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:o, s:o}", "cve", f->cve, "title", doc_str(first, "title").p,
			      "severity", doc_str(first, "severity").p, "patches", patches, "exposed", f->counts[EXPOSED], "protected",
			      f->counts[PROTECTED], "fixed", f->counts[FIXED], "unknown_firmware", f->unknown, "exposed_since",
			      time_of(f->exposed_since), "protected_since", time_of(f->protected_since));
	json_int_t all = f->counts[EXPOSED] + f->counts[PROTECTED] + f->counts[FIXED];
	if (j && f->devices) {
		json_object_set(j, "devices", f->devices);
		json_object_set_new(j, "truncated", json_boolean(all > (json_int_t)json_array_size(f->devices)));
	}
	return j;
}

static bool same(const json_t *a, const json_t *b, const char *member)
{
	const json_t *x = json_object_get(a, member), *y = json_object_get(b, member);
	return x == y || (x && y && json_equal(x, y));
}

/* Do both say the same of every device? */
static bool patches_alike(const struct one_patch *a, const struct one_patch *b)
{
	return a->state == b->state && a->object.created_s == b->object.created_s && a->acts_since_s == b->acts_since_s &&
	       (a->state != RF_PATCH_CANARY || a == b) && same(a->object.doc, b->object.doc, "classes") &&
	       same(a->object.doc, b->object.doc, "until");
}

static bool alike(const struct flaw *a, const struct flaw *b)
{
	size_t i = 0;
	while (a->patch_count == b->patch_count && i < a->patch_count && patches_alike(a->patches[i], b->patches[i]))
		i++;
	return a->patch_count == b->patch_count && i == a->patch_count;
}

static int by_name(const void *a, const void *b)
{
	return strverscmp(doc_str(*(json_t *const *)a, "name").p, doc_str(*(json_t *const *)b, "name").p);
}

/* From the `first` on, as people look for them. */
static void sort_by_name(json_t *devices, size_t first)
{
	size_t n = json_array_size(devices) - first;
	json_t **v = n ? calloc(n, sizeof *v) : NULL;
	if (!v)
		return;
	for (size_t i = 0; i < n; i++)
		v[i] = json_incref(json_array_get(devices, first + i));
	qsort(v, n, sizeof *v, by_name);
	for (size_t i = 0; i < n; i++)
		json_array_set_new(devices, first + i, v[i]);
	free(v);
}

static void walk(struct report *r, struct flaw *f, bool devices)
{
	r->now = f;
	r->list = false;
	rf_registry_each(r->c->devices, each_device, r);
	if (!devices)
		return;
	f->devices = json_array();
	r->list = true;
	for (int s = 0; s < STATUSES; s++) {
		size_t first = json_array_size(f->devices);
		r->wanted = (enum status)s;
		if (f->counts[s])
			rf_registry_each(r->c->devices, each_device, r);
		sort_by_name(f->devices, first);
	}
}

/* What was found for one that is alike, or a walk. */
static void count(struct report *r, struct flaw *f, bool devices)
{
	for (struct flaw *k = r->flaws; k < f; k++)
		if (!k->copied && alike(k, f)) {
			memcpy(f->counts, k->counts, sizeof f->counts);
			f->unknown = k->unknown;
			f->exposed_since = k->exposed_since;
			f->protected_since = k->protected_since;
			f->devices = json_incref(k->devices);
			f->copied = true;
			return;
		}
	walk(r, f, devices);
}

static void report_fini(struct report *r)
{
	for (size_t i = 0; i < r->patch_count; i++) {
		rf_patch_scope_fini(&r->patches[i].scope);
		rf_object_fini(&r->patches[i].object);
	}
	for (size_t i = 0; i < r->flaw_count; i++)
		json_decref(r->flaws[i].devices);
	rf_arena_fini(&r->arena);
	free(r->patches);
	free(r->flaws);
}

int rf_patches_exposure(struct rf_ctl *c, bool devices, json_t **ret, struct rf_err *e)
{
	struct report r = { .c = c, .snap = rf_snap_now(), .e = e, .flaws = calloc(FLAWS_MAX, sizeof *r.flaws) };
	struct rf_store_query q = { .parent = c->account_id };
	json_t *all = json_array();
	rf_arena_init(&r.arena, MEMORY);
	int rc = r.flaws && all ? rf_store_list(c->store, RF_KIND_PATCH, &q, keep_patch, &r, NULL, e) :
		rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	for (size_t i = 0; i < r.patch_count && rc == RF_OK; i++)
		rc = add_flaws(&r, &r.patches[i]);
	r.most = r.flaw_count ? RF_EXPOSURE_LISTED / r.flaw_count : 0;
	r.most = r.most > RF_EXPOSURE_DEVICES ? RF_EXPOSURE_DEVICES : r.most < 1 ? 1 : r.most;
	for (size_t i = 0; i < r.flaw_count && rc == RF_OK; i++) {
		count(&r, &r.flaws[i], devices);
		if (json_array_append_new(all, flaw_json(&r.flaws[i])) != 0)
			rc = rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	}
	report_fini(&r);
	if (rc != RF_OK) {
		json_decref(all);
		return rc;
	}
	*ret = all;
	return RF_OK;
}
