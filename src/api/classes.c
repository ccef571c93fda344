/* api/classes: what devices of a kind share. */
#include <stdio.h>
#include <stdlib.h>
#include "api/classes.h"
#include "api/patches.h"

int rf_roots_exist(struct rf_api_call *c, const json_t *doc)
{
	size_t i;
	json_t *v;
	json_array_foreach(json_object_get(doc, "roots"), i, v) {
		RF_OBJECT_AUTO o = { 0 };
		char at[32];
		const char *id = json_string_value(v);
		snprintf(at, sizeof at, "/roots/%zu", i);
		if (strcmp(id, "device_ca") == 0)
			continue;
		if (rf_api_load(c, RF_KIND_ROOT, c->account.id, id, &o) != RF_OK)
			return rf_api_fail(c, RF_E_INVALID, at, "there is no mtls_certificate %s", id);
		if (!json_is_true(json_object_get(o.doc, "ca")))
			return rf_api_fail(c, RF_E_INVALID, at, "mtls_certificate %s is a leaf, not a root", id);
	}
	return RF_OK;
}

/* A patch knows its classes by name: one that went or was renamed would protect nobody. */
static int refuse_patched(struct rf_api_call *c, const char *name)
{
	RF_OBJECT_AUTO patch = { 0 };
	int rc = rf_patch_of_class(c, name, &patch);
	return rc == RF_OK && patch.id[0] ?
		rf_fail(&c->err, RF_E_CONFLICT, "the patch %s is for the class \"%s\"", patch.name, name) : rc;
}

static int prepare(struct rf_api_call *c, struct rf_object *o, const json_t *old)
{
	const char *was = rf_json_text(old, "name");
	int rc = was[0] && strcmp(was, o->name) != 0 ? refuse_patched(c, was) : RF_OK;
	if (rc != RF_OK)
		return rc;
	bool template = strcmp(rf_json_text(o->doc, "bind"), "template") == 0;
	if (template && !rf_json_text(o->doc, "bind_template")[0])
		return rf_api_fail(c, RF_E_MISSING, "/bind_template", "bind template needs a bind_template");
	if (json_is_true(json_object_get(o->doc, "first_sight")) && !json_array_size(json_object_get(o->doc, "roots")))
		return rf_api_fail(c, RF_E_MISSING, "/roots", "first_sight needs roots: without them no certificate would do");
	return rf_roots_exist(c, o->doc);
}

static int refuse_used(struct rf_api_call *c, const struct rf_object *o)
{
	size_t n = 0;
	struct rf_store_query q = { .parent = c->account.id, .match = { { "class_id", o->id } } };
	int rc = rf_store_count(c->store, RF_KIND_DEVICE, &q, &n, &c->err);
	if (rc == RF_OK && n)
		return rf_fail(&c->err, RF_E_CONFLICT, "%zu devices are of this class", n);
	return rc == RF_OK ? refuse_patched(c, o->name) : rc;
}

static const struct rf_api_crud resource = { .kind = RF_KIND_CLASS, .shape = RF_RES_CLASS, .prepare = prepare,
					     .before_delete = refuse_used };

int rf_api_classes_list(struct rf_api_call *c)
{
	struct rf_store_query q = { .name = rf_api_param(c, "name") };
	return rf_crud_list(c, &resource, &q, RF_API_PER_PAGE);
}

int rf_api_classes_create(struct rf_api_call *c) { return rf_crud_create(c, &resource); }
int rf_api_classes_get(struct rf_api_call *c) { return rf_crud_get(c, &resource); }
int rf_api_classes_put(struct rf_api_call *c) { return rf_crud_put(c, &resource); }
int rf_api_classes_edit(struct rf_api_call *c) { return rf_crud_edit(c, &resource); }
int rf_api_classes_delete(struct rf_api_call *c) { return rf_crud_delete(c, &resource); }
