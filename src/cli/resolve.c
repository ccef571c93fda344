/* cli/resolve: names of objects to their ids, and paths.
 *
 * 32 hexadecimal digits are an id and are used as they are, except for what lives in a zone and where the zone is not given:
 * then the zones are looked through. A name that several objects have is refused with their ids.
 */
#include "cli/cli.h"

static const struct kind {
	const char *name, *collection;
	const char *search;      /* query parameter that narrows to a name; NULL: none */
	const char *members[3];  /* that a name may stand in */
} kinds[] = {
	{ "device", "/accounts/{account}/devices", "search", { "name" } },
	{ "class", "/accounts/{account}/classes", NULL, { "name" } },
	{ "zone", "/zones", "name", { "name" } },
	{ "app", "/zones/{zone}/apps", NULL, { "name" } },
	{ "port", "/zones/{zone}/spectrum/apps", NULL, { "name" } },
	{ "list", "/accounts/{account}/rules/lists", NULL, { "name" } },
	{ "patch", "/accounts/{account}/patches", "search", { "name" } },
	{ "pack", "/accounts/{account}/packs", "name", { "name" } },
	{ "attack", "/accounts/{account}/attacks", "host", { "host" } },
	{ "exception", "/accounts/{account}/attacks/exceptions", NULL, { "host" } },
	{ "root", "/accounts/{account}/mtls_certificates", NULL, { "name", "ski" } },
	{ "token", "/accounts/{account}/tokens", NULL, { "name" } },
	{ "enrolment", "/accounts/{account}/provisioning_tokens", NULL, { "description" } },
	{ "issued", "/accounts/{account}/client_certificates", NULL, { "serial_number", "common_name" } },
	{ "certificate", "/zones/{zone}/custom_certificates", NULL, { "fingerprint" } },
};

static const struct kind *find_kind(const char *name, size_t n)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strlen(kinds[i].name) == n && memcmp(kinds[i].name, name, n) == 0)
			return &kinds[i];
	return NULL;
}

const char *cli_collection(const char *kind)
{
	const struct kind *k = find_kind(kind, strlen(kind));
	return k ? k->collection : NULL;
}

static bool is_id(const char *s)
{
	return strlen(s) == 32 && strspn(s, "0123456789abcdef") == 32;
}

struct search {
	const struct kind *kind;
	const char *name;
	char id[33], zone[33];
	size_t found;
	char others[256];
};

static bool fits(const struct search *s, const json_t *o)
{
	const char *id = json_string_value(json_object_get(o, "id"));
	if (!id || strlen(id) != 32)
		return false;
	if (strcmp(id, s->name) == 0)
		return true;
	for (size_t i = 0; i < 3 && s->kind->members[i]; i++) {
		const char *z = json_string_value(json_object_get(o, s->kind->members[i]));
		if (z && strcmp(z, s->name) == 0)
			return true;
	}
	return false;
}

static int consider(struct cli *c, json_t *o, void *arg)
{
	struct search *s = arg;
	if (!fits(s, o))
		return RF_OK;
	const char *id = json_string_value(json_object_get(o, "id"));
	size_t n = strlen(s->others);
	if (s->found++ < 5)
		snprintf(s->others + n, sizeof s->others - n, "%s%s", n ? ", " : "", id);
	snprintf(s->id, sizeof s->id, "%s", id);
	snprintf(s->zone, sizeof s->zone, "%s", c->zone_id);
	return RF_OK;
}

static int look_in(struct cli *c, struct search *s)
{
	RF_BUF_AUTO path = { 0 };
	int rc = cli_path(c, s->kind->collection, NULL, NULL, &path);
	if (rc != RF_OK)
		return rc;
	if (s->kind->search && !is_id(s->name)) {
		rf_buf_printf(&path, "?%s=", s->kind->search);
		cli_escape(&path, s->name);
	}
	return cli_each(c, rf_buf_z(&path), consider, s);
}

static int look_in_zone(struct cli *c, json_t *zone, void *arg)
{
	const char *id = json_string_value(json_object_get(zone, "id"));
	if (!id)
		return RF_OK;
	snprintf(c->zone_id, sizeof c->zone_id, "%s", id);
	return look_in(c, arg);
}

static bool in_zone(const struct kind *k)
{
	return strstr(k->collection, "{zone}") != NULL;
}

int cli_resolve(struct cli *c, const char *kind, const char *name, char ret_id[33])
{
	struct search s = { .kind = find_kind(kind, strlen(kind)), .name = name };
	int rc;
	if (!s.kind)
		return rf_fail(&c->e, RF_E_INTERNAL, "the kind %s is not in the table of kinds", kind);
	if (is_id(name) && !in_zone(s.kind)) {
		snprintf(ret_id, 33, "%s", name);
		return RF_OK;
	}
	bool everywhere = in_zone(s.kind) && !c->zone_id[0] && !cli_has(c, "zone");
	rc = everywhere ? cli_each(c, "/zones", look_in_zone, &s) : look_in(c, &s);
	if (rc != RF_OK)
		return rc;
	if (everywhere)
		c->zone_id[0] = 0;
	if (s.found == 0)
		return rf_fail(&c->e, RF_E_NOT_FOUND, "there is no %s \"%s\"; ringfence %s list shows them", kind, name,
			       strcmp(kind, "root") == 0 || strcmp(kind, "issued") == 0 ? "ca" :
			       strcmp(kind, "enrolment") == 0 ? "ca token" : kind);
	if (s.found > 1)
		return rf_fail(&c->e, RF_E_CONFLICT, "%zu objects are called \"%s\"; name one by its id: %s", s.found, name, s.others);
	if (in_zone(s.kind))
		snprintf(c->zone_id, sizeof c->zone_id, "%s", s.zone);
	snprintf(ret_id, 33, "%s", s.id);
	return RF_OK;
}

static int only_one(struct cli *c, const char *collection, const char *what, const char *option, char ret[33])
{
	json_t *all = NULL;
	int rc = cli_all(c, collection, &all);
	if (rc != RF_OK)
		return rc;
	const char *id = json_string_value(json_object_get(json_array_get(all, 0), "id"));
	if (json_array_size(all) == 1 && id && strlen(id) == 32)
		snprintf(ret, 33, "%s", id);
	else if (json_array_size(all) == 0)
		rc = rf_fail(&c->e, RF_E_NOT_FOUND, "there is no %s yet", what);
	else
		rc = cli_wrong(c, RF_E_MISSING, "there are %zu %ss; say which one with --%s", json_array_size(all), what, option);
	json_decref(all);
	return rc;
}

int cli_account(struct cli *c)
{
	if (c->account_id[0])
		return RF_OK;
	if (!c->account || !c->account[0])
		return only_one(c, "/accounts", "account", "account", c->account_id);
	json_t *all = NULL;
	int rc = cli_all(c, "/accounts", &all);
	size_t i;
	json_t *a;
	json_array_foreach(all, i, a) {
		const char *id = json_string_value(json_object_get(a, "id"));
		const char *name = json_string_value(json_object_get(a, "name"));
		if (id && strlen(id) == 32 && (strcmp(id, c->account) == 0 || (name && strcmp(name, c->account) == 0)))
			snprintf(c->account_id, sizeof c->account_id, "%s", id);
	}
	json_decref(all);
	if (rc == RF_OK && !c->account_id[0])
		rc = rf_fail(&c->e, RF_E_NOT_FOUND, "there is no account \"%s\"", c->account);
	return rc;
}

int cli_zone(struct cli *c)
{
	const char *name = cli_get(c, "zone");
	if (c->zone_id[0])
		return RF_OK;
	if (name)
		return cli_resolve(c, "zone", name, c->zone_id);
	return only_one(c, "/zones", "zone", "zone", c->zone_id);
}

int cli_path(struct cli *c, const char *tmpl, const char *kind, const char *id, struct rf_buf *to)
{
	int rc = RF_OK;
	for (const char *p = tmpl; *p && rc == RF_OK;) {
		const char *end = *p == '{' ? strchr(p, '}') : NULL;
		if (!end) {
			rf_buf_addc(to, *p++);
			continue;
		}
		size_t n = (size_t)(end - p) - 1;
		struct rf_str name = { p + 1, n };
		p = end + 1;
		if (kind && rf_str_eq(name, rf_str_z(kind))) {
			rf_buf_add(to, rf_str_z(id));
		} else if (rf_str_eq(name, RF_STR("account"))) {
			if ((rc = cli_account(c)) == RF_OK)
				rf_buf_add(to, rf_str_z(c->account_id));
		} else if (rf_str_eq(name, RF_STR("zone"))) {
			if ((rc = cli_zone(c)) == RF_OK)
				rf_buf_add(to, rf_str_z(c->zone_id));
		} else {
			rc = rf_fail(&c->e, RF_E_INTERNAL, "nothing fills {%.*s} of %s", RF_ARG(name), tmpl);
		}
	}
	return rc == RF_OK && to->bad ? rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted") : rc;
}
