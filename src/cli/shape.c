/* cli/shape: members of the API's objects, from its table. */
#include "base/near.h"
#include "cli/shape.h"

enum flag { REQ, OPT, RO, WO, WREQ };
enum { NAMES_MAX = 128 };

static const struct member {
	const char *resource, *name, *ref;
	enum flag flag;
	const char *def;
} members[] = {
#define RF_FIELD(resource, name, type, ref, flag, least, most, check, def, doc) { #resource, name, #ref, flag, def },
#include "tbl/resources.def"
};

static const struct member *find(const char *resource, const char *name)
{
	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		if (strcmp(members[i].resource, resource) == 0 && strcmp(members[i].name, name) == 0)
			return &members[i];
	return NULL;
}

static bool in(const char *const *names, const char *name)
{
	for (; names && *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

static int unknown(struct cli *c, const char *resource, const char *name, const char *pointer, const char *const *also)
{
	const char *names[NAMES_MAX];
	size_t n = 0;
	for (size_t i = 0; i < sizeof members / sizeof *members && n < NAMES_MAX - 8; i++)
		if (strcmp(members[i].resource, resource) == 0 && members[i].flag != RO)
			names[n++] = members[i].name;
	for (; also && *also && n < NAMES_MAX; also++)
		names[n++] = *also;
	const char *near = rf_near(rf_str_z(name), names, n);
	return rf_fail_ptr(&c->e, RF_E_UNKNOWN, pointer, "unknown member \"%s\"%s%s%s", name, near ? "; did you mean \"" : "",
			   near ? near : "", near ? "\"?" : "");
}

int cli_shape_check(struct cli *c, const char *resource, const json_t *object, const char *at, const char *const *also)
{
	const char *name;
	json_t *v;
	if (!json_is_object(object))
		return rf_fail_ptr(&c->e, RF_E_TYPE, at, "must be a mapping");
	json_object_foreach((json_t *)object, name, v) {
		char pointer[128];
		const struct member *m = find(resource, name);
		snprintf(pointer, sizeof pointer, "%s/%s", at, name);
		if (in(also, name))
			continue;
		if (!m)
			return unknown(c, resource, name, pointer, also);
		if (m->flag == RO)
			return rf_fail_ptr(&c->e, RF_E_INVALID, pointer, "is computed and cannot be given");
	}
	return RF_OK;
}

static void strip_nested(const struct member *m, json_t *v)
{
	size_t i;
	json_t *one;
	if (json_is_object(v))
		cli_shape_strip(m->ref, v);
	json_array_foreach(v, i, one)
		if (json_is_object(one))
			cli_shape_strip(m->ref, one);
}

static bool is_default(const struct member *m, const json_t *v)
{
	json_t *def = m->def[0] ? json_loads(m->def, JSON_DECODE_ANY, NULL) : NULL;
	bool same = def ? json_equal(def, v) : json_is_null(v) || (m->flag == OPT && json_is_string(v) && !json_string_length(v));
	json_decref(def);
	return same;
}

void cli_shape_strip(const char *resource, json_t *object)
{
	const char *name;
	json_t *v;
	void *next;
	json_object_foreach_safe(object, next, name, v) {
		const struct member *m = find(resource, name);
		if (!m || m->flag == RO || m->flag == WO || m->flag == WREQ || is_default(m, v)) {
			json_object_del(object, name);
			continue;
		}
		if (strcmp(m->ref, "NONE") != 0)
			strip_nested(m, v);
	}
}
