/* api/packs: packs of virtual patches: installed, enabled, shown, removed.
 *
 *   install: file -> signature, shape, expressions, tests (policy/pack) -> version -> patches (pack_take.c) -> commit
 *
 * A pack without a signature is taken from the local administrator only, who could write each of its patches by hand. On any error
 * the patches are as before.
 */
#include "api/packs.h"
#include <stdio.h>
#include <stdlib.h>

static int no_memory(struct rf_api_call *c) { return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted"); }

/* --- selections --- */

static bool has(const json_t *array, const char *text)
{
	size_t i;
	json_t *v;
	json_array_foreach(array, i, v)
		if (strcmp(json_string_value(v), text) == 0)
			return true;
	return false;
}

static bool fits(const json_t *selection, const char *member, const char *text)
{
	const json_t *v = json_object_get(selection, member);
	return !json_array_size(v) || has(v, text);
}

static bool selected(const json_t *selection, const json_t *patch)
{
	const char *kind = rf_json_text(patch, "kind");
	return fits(selection, "patches", rf_json_text(patch, "name")) && fits(selection, "categories", rf_json_text(patch, "category")) &&
	       (strcmp(kind, "any") == 0 || fits(selection, "kinds", kind));
}

static int add_classes(struct rf_api_call *c, json_t *patch, const json_t *classes, bool *ret_moved)
{
	size_t i;
	json_t *v, *own = json_object_get(patch, "classes");
	json_array_foreach(classes, i, v)
		if (!has(own, json_string_value(v))) {
			if (json_array_append(own, v))
				return no_memory(c);
			*ret_moved = true;
		}
	return RF_OK;
}

int rf_pack_enable(struct rf_api_call *c, json_t *patch, const json_t *selection, bool *ret_moved)
{
	enum rf_patch_state s = rf_patch_state_of(patch);
	bool draft = s == RF_PATCH_DRAFT || s == RF_PATCH_REPLAY, everywhere = json_is_true(json_object_get(selection, "everywhere"));
	json_t *own = json_object_get(patch, "classes");
	int rc = RF_OK;
	*ret_moved = false;
	if (!selected(selection, patch) || !(draft || s == RF_PATCH_REPORT))
		return RF_OK;
	if (everywhere) {
		*ret_moved = json_array_size(own) > 0;
		json_array_clear(own);
	} else if (draft || json_array_size(own)) { /* what is in report for all requests is so for these classes too */
		rc = add_classes(c, patch, json_object_get(selection, "classes"), ret_moved);
	}
	if (rc == RF_OK && draft) {
		*ret_moved = true;
		rc = rf_pack_note(c, patch, RF_PATCH_REPORT, "enabled with the pack");
	}
	return rc;
}

/* The opposite: out of these classes, and a draft again where none is left. */
static int disable(struct rf_api_call *c, json_t *patch, const json_t *selection, bool *ret_moved)
{
	json_t *own = json_object_get(patch, "classes");
	bool everywhere = json_is_true(json_object_get(selection, "everywhere"));
	size_t n = json_array_size(own);
	*ret_moved = false;
	if (!selected(selection, patch) || rf_patch_state_of(patch) != RF_PATCH_REPORT)
		return RF_OK;
	for (size_t i = n; i > 0; i--)
		if (has(json_object_get(selection, "classes"), json_string_value(json_array_get(own, i - 1))))
			json_array_remove(own, i - 1);
	*ret_moved = everywhere || json_array_size(own) < n;
	if (!everywhere && (json_array_size(own) || !n))
		return RF_OK;
	return rf_pack_note(c, patch, RF_PATCH_DRAFT, "disabled with the pack");
}

static int check_selection(struct rf_api_call *c)
{
	size_t i;
	json_t *v, *classes = json_object_get(c->body, "classes");
	bool everywhere = json_is_true(json_object_get(c->body, "everywhere"));
	if (!json_array_size(classes) == !everywhere)
		return rf_api_fail(c, RF_E_MISSING, "/classes", "say for whom: classes, or everywhere for all requests");
	json_array_foreach(classes, i, v) {
		RF_OBJECT_AUTO o = { 0 };
		char at[32];
		snprintf(at, sizeof at, "/classes/%zu", i);
		int rc = rf_store_find(c->store, RF_KIND_CLASS, c->account.id, json_string_value(v), &o, &c->err);
		if (rc == RF_E_NOT_FOUND)
			return rf_api_fail(c, RF_E_INVALID, at, "there is no class \"%s\"; ringfence class add makes one", json_string_value(v));
		if (rc != RF_OK)
			return rc;
	}
	return RF_OK;
}

/* --- showing --- */

static json_t *show(struct rf_api_call *c, const struct rf_object *o)
{
	RF_PACK_PATCHES_AUTO patches = { 0 };
	json_t *j = rf_api_plain(RF_RES_PACK, o), *states = json_object();
	size_t waiting = 0;
	if (!j || !states || rf_pack_load(c, o->name, &patches) != RF_OK) {
		json_decref(j);
		json_decref(states);
		return NULL;
	}
	for (size_t i = 0; i < patches.n; i++) {
		const char *s = rf_json_text(patches.v[i].doc, "state");
		json_object_set_new(states, s, json_integer(json_integer_value(json_object_get(states, s)) + 1));
		waiting += json_object_get(patches.v[i].doc, "waiting") != NULL;
	}
	json_object_set_new(j, "patches", json_integer((json_int_t)patches.n));
	json_object_set_new(j, "states", states);
	json_object_set_new(j, "waiting", json_integer((json_int_t)waiting));
	if (c->api->conf.hooks.packs)
		c->api->conf.hooks.packs->status(c->api->conf.hooks.ctx, j);
	return j;
}

static const struct rf_api_crud packs = { .kind = RF_KIND_PACK, .shape = RF_RES_PACK, .show = show };

int rf_api_packs_list(struct rf_api_call *c)
{
	struct rf_store_query q = { .name = rf_api_param(c, "name") };
	return rf_crud_list(c, &packs, &q, RF_API_PER_PAGE);
}

int rf_api_packs_get(struct rf_api_call *c) { return rf_crud_get(c, &packs); }

/* --- installing --- */

static int open_pack(struct rf_api_call *c, bool from_url, struct rf_pack *ret)
{
	const struct rf_api_pack_hooks *h = c->api->conf.hooks.packs;
	const json_t *file = json_object_get(c->body, "file");
	struct rf_pack_keys keys = { 0 };
	RF_BUF_AUTO pem = { 0 };
	int rc = h ? h->keys(c->api->conf.hooks.ctx, &pem, &c->err) : RF_OK;
	if (rc == RF_OK && pem.n && (rc = rf_pack_keys_read(rf_buf_str(&pem), &keys, &c->err)) != RF_OK)
		return rf_api_fail(c, rc, "", "the keys of patches.keys: %s", c->err.text);
	if (rc == RF_OK)
		rc = rf_pack_open((struct rf_str){ json_string_value(file), json_string_length(file) }, &keys,
				  c->who.local && !from_url ? RF_PACK_UNSIGNED : RF_PACK_SIGNED, ret, &c->err);
	rf_pack_keys_fini(&keys);
	return rc;
}

/* Lower-case hexadecimal FNV-1a of what it says: whether two packs of one version are the same. */
static void digest(const json_t *doc, char to[17])
{
	uint64_t h = 0xcbf29ce484222325u;
	char *text = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);
	for (const char *z = text ? text : ""; *z; z++)
		h = (h ^ (uint8_t)*z) * 0x100000001b3u;
	free(text);
	snprintf(to, 17, "%016llx", (unsigned long long)h);
}

static int check_version(struct rf_api_call *c, const struct rf_pack *p, const json_t *old, const char *new_digest)
{
	json_int_t is = json_integer_value(json_object_get(old, "version"));
	if (!old || json_is_true(json_object_get(c->body, "downgrade")) || p->version > is)
		return RF_OK;
	if (p->version < is)
		return rf_api_fail(c, RF_E_STALE, "", "version %lld of pack %s is older than %lld, which is installed; downgrade takes it all the same",
				   (long long)p->version, p->name, (long long)is);
	return strcmp(rf_json_text(old, "digest"), new_digest) == 0 ? RF_OK :
		rf_api_fail(c, RF_E_CONFLICT, "", "another version %lld of pack %s is installed: give this one a higher version", (long long)is, p->name);
}

/* The object of the pack, as it is or new. */
static int pack_object(struct rf_api_call *c, const struct rf_pack *p, bool from_url, struct rf_object *o)
{
	char now[RF_RFC3339_SIZE], is[17];
	int rc = rf_store_find(c->store, RF_KIND_PACK, c->account.id, p->name, o, &c->err);
	bool there = rc == RF_OK;
	digest(p->doc, is);
	if (rc == RF_E_NOT_FOUND)
		rc = rf_api_object(c, o, c->account.id, p->name, json_pack("{s:s, s:[]}", "name", p->name, "enabled"));
	if (rc == RF_OK)
		rc = check_version(c, p, there ? o->doc : NULL, is);
	if (rc != RF_OK)
		return rc;
	int bad = json_object_set_new(o->doc, "title", json_string(rf_json_text(p->doc, "title"))) |
		  json_object_set_new(o->doc, "version", json_integer(p->version)) | json_object_set_new(o->doc, "key", json_string(p->key)) |
		  json_object_set_new(o->doc, "digest", json_string(is)) |
		  json_object_set_new(o->doc, "source", json_string(from_url ? "url" : p->key[0] ? "file" : "local")) |
		  json_object_set_new(o->doc, "installed_on", json_string(rf_api_time(rf_api_now(c), now)));
	return bad ? no_memory(c) : RF_OK;
}

static int install(struct rf_api_call *c, const struct rf_pack *p, bool from_url)
{
	static const struct rf_rule_env env = { .have = ~0u, .any_list = true };
	RF_OBJECT_AUTO o = { 0 };
	const struct rf_clock *clock = &c->api->conf.clock;
	json_t *counts = json_pack("{s:i, s:i, s:i, s:i, s:i}", "added", 0, "changed", 0, "waiting", 0, "retired", 0, "unchanged", 0);
	int rc = counts ? rf_pack_check(&env, p->doc, clock->wall(clock->ctx), &c->err) : no_memory(c);
	if (rc == RF_OK)
		rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = pack_object(c, p, from_url, &o);
	if (rc == RF_OK)
		rc = rf_pack_take(c, p, json_object_get(o.doc, "enabled"), !o.id[0], counts);
	if (rc == RF_OK)
		rc = rf_api_put(c, RF_KIND_PACK, &o, 0);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	json_t *j = rc == RF_OK ? show(c, &o) : NULL;
	if (j)
		json_object_set(j, "changes", counts);
	json_decref(counts);
	return rc == RF_OK ? rf_api_result(c, j, o.revision) : rc;
}

int rf_api_packs_install(struct rf_api_call *c)
{
	struct rf_pack p;
	bool from_url = strcmp(rf_json_text(c->body, "source"), "url") == 0;
	int rc = open_pack(c, from_url, &p);
	if (rc != RF_OK)
		return rc;
	rc = install(c, &p, from_url);
	rf_pack_fini(&p);
	return rc;
}

int rf_api_packs_update(struct rf_api_call *c)
{
	const struct rf_api_pack_hooks *h = c->api->conf.hooks.packs;
	if (!h)
		return rf_fail(&c->err, RF_E_UNSUPPORTED, "there is no running edge here to ask");
	int rc = c->dry_run ? RF_OK : h->update(c->api->conf.hooks.ctx, &c->err);
	return rc == RF_OK ? rf_api_result(c, json_object(), 0) : rc;
}

/* --- enabling, accepting, removing --- */

typedef int (*each_patch)(struct rf_api_call *c, json_t *patch, const json_t *arg, bool *ret_moved);

/* `each` over all patches of the pack, in a transaction; o->doc may be changed before. */
static int for_all(struct rf_api_call *c, struct rf_object *o, each_patch each, const json_t *arg, const char *counted)
{
	RF_PACK_PATCHES_AUTO patches = { 0 };
	json_int_t moved = 0;
	int rc = rf_pack_load(c, o->name, &patches);
	for (size_t i = 0; rc == RF_OK && i < patches.n; i++) {
		bool yes = false;
		rc = each(c, patches.v[i].doc, arg, &yes);
		if (rc == RF_OK && yes)
			rc = rf_api_put(c, RF_KIND_PATCH, &patches.v[i], 0);
		moved += yes;
	}
	if (rc == RF_OK)
		rc = rf_api_put(c, RF_KIND_PACK, o, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	json_t *j = rc == RF_OK ? show(c, o) : NULL;
	if (j)
		json_object_set_new(j, "changes", json_pack("{s:I}", counted, moved));
	return rc == RF_OK ? rf_api_result(c, j, o->revision) : rc;
}

static int begin(struct rf_api_call *c, struct rf_object *o)
{
	int rc = rf_api_begin(c);
	return rc == RF_OK ? rf_api_load(c, RF_KIND_PACK, c->account.id, c->params.id, o) : rc;
}

enum { SELECTIONS_MAX = 64 };

/* Remembered, so that a patch of a later version begins in report too. */
static int remember(struct rf_api_call *c, json_t *pack)
{
	size_t i;
	json_t *v, *enabled = json_object_get(pack, "enabled");
	json_array_foreach(enabled, i, v)
		if (json_equal(v, c->body))
			return RF_OK;
	if (json_array_size(enabled) >= SELECTIONS_MAX)
		return rf_api_fail(c, RF_E_FULL, "", "the pack is enabled in %d ways already; disable some", SELECTIONS_MAX);
	return json_array_append(enabled, c->body) ? no_memory(c) : RF_OK;
}

int rf_api_packs_enable(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = check_selection(c);
	if (rc == RF_OK)
		rc = begin(c, &o);
	if (rc == RF_OK)
		rc = remember(c, o.doc);
	return rc == RF_OK ? for_all(c, &o, rf_pack_enable, c->body, "enabled") : rc;
}

/* Selections lose the classes; those that are left with none go. */
static void forget(json_t *enabled, const json_t *body)
{
	bool everywhere = json_is_true(json_object_get(body, "everywhere"));
	for (size_t i = json_array_size(enabled); i > 0; i--) {
		json_t *s = json_array_get(enabled, i - 1), *classes = json_object_get(s, "classes");
		size_t n = json_array_size(classes);
		for (size_t k = n; k > 0; k--)
			if (has(json_object_get(body, "classes"), json_string_value(json_array_get(classes, k - 1))))
				json_array_remove(classes, k - 1);
		if (n ? json_array_size(classes) == 0 : everywhere)
			json_array_remove(enabled, i - 1);
	}
}

int rf_api_packs_disable(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	bool some = json_array_size(json_object_get(c->body, "patches")) || json_array_size(json_object_get(c->body, "kinds")) ||
		    json_array_size(json_object_get(c->body, "categories"));
	int rc = check_selection(c);
	if (rc == RF_OK)
		rc = begin(c, &o);
	if (rc == RF_OK && !some)
		forget(json_object_get(o.doc, "enabled"), c->body);
	return rc == RF_OK ? for_all(c, &o, disable, c->body, "disabled") : rc;
}

static int accept(struct rf_api_call *c, json_t *patch, const json_t *arg, bool *ret_moved)
{
	*ret_moved = json_object_get(patch, "waiting") && fits(arg, "patches", rf_json_text(patch, "name"));
	return *ret_moved ? rf_pack_accept(c, patch, json_is_true(json_object_get(arg, "report"))) : RF_OK;
}

int rf_api_packs_accept(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = begin(c, &o);
	return rc == RF_OK ? for_all(c, &o, accept, c->body, "accepted") : rc;
}

static int end(struct rf_api_call *c, json_t *patch, const json_t *arg, bool *ret_moved)
{
	(void)arg;
	json_object_del(patch, "waiting");
	*ret_moved = true;
	return rf_patch_state_of(patch) == RF_PATCH_RETIRED ? RF_OK :
		rf_pack_note(c, patch, RF_PATCH_RETIRED, "the pack was removed");
}

/* Its patches are retired and stay, with their history; they are nobody's then. */
int rf_api_packs_delete(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	RF_PACK_PATCHES_AUTO patches = { 0 };
	bool yes;
	int rc = begin(c, &o);
	if (rc == RF_OK)
		rc = rf_pack_load(c, o.name, &patches);
	for (size_t i = 0; rc == RF_OK && i < patches.n; i++) {
		rc = end(c, patches.v[i].doc, NULL, &yes);
		if (rc == RF_OK)
			rc = rf_api_put(c, RF_KIND_PATCH, &patches.v[i], 0);
	}
	if (rc == RF_OK)
		rc = rf_api_del(c, RF_KIND_PACK, o.id, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_api_result_id(c, o.id) : rc;
}
