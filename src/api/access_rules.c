/* api/access_rules: sources that may never, or always, reach the edge: addresses, prefixes, autonomous systems and countries, by the
 * documented shape.
 *
 * The name of the object is its prefix, autonomous system or country in canonical text, so that each has one rule. What is written here is in force
 * (ctl/access) when the answer goes out. Those of a zone are judged by the workers, with its rules (ctl/build_bars).
 */
#include <stdio.h>
#include "api/call.h"
#include "base/ip.h"
#include "policy/geo.h"
#include "shield/shield.h"

enum { ZONE_MOST = 10000, V4_LEAST = 8, V6_LEAST = 16, V6_STEP = 4, V6_MOST = 64 };

static const char *const modes[] = { "block", "challenge", "whitelist", "js_challenge", "managed_challenge" };

static json_t *show(struct rf_api_call *c, const struct rf_object *o)
{
	json_t *j = rf_api_plain(RF_RES_ACCESS_RULE, o), *allowed = json_array();
	const char *type = c->zone.id[0] ? "zone" : strstr(c->route->path, "/user/") ? "user" : "organization";
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		json_array_append_new(allowed, json_string(modes[i]));
	json_object_set_new(j, "allowed_modes", allowed);
	json_object_set_new(j, "paused", json_false());
	json_object_set_new(j, "scope", json_pack("{s:s, s:s}", "id", c->zone.id[0] ? c->zone.id : c->account.id, "type", type));
	return j;
}

/* The lengths that the kernel's tables are made for. */
static bool length_fits(const struct rf_prefix *p)
{
	if (p->ip.family == 4)
		return p->bits >= V4_LEAST;
	return p->bits == 128 || (p->bits >= V6_LEAST && p->bits <= V6_MOST && p->bits % V6_STEP == 0);
}

/* "AS64496" or "64496". */
static int read_asn(struct rf_api_call *c, const char *value, char *name, size_t room)
{
	struct rf_str s = rf_str_z(value);
	uint64_t number;
	if (rf_str_starts(s, RF_STR("AS")))
		s = rf_str_skip(s, 2);
	if (!rf_str_u64(s, &number) || number < 1 || number > UINT32_MAX)
		return rf_api_fail(c, RF_E_INVALID, "/configuration/value", "\"%s\" is not the number of an autonomous system, such as AS64496", value);
	snprintf(name, room, "AS%llu", (unsigned long long)number);
	return RF_OK;
}

static int read_country(struct rf_api_call *c, const char *value, char *name, size_t room)
{
	if (!rf_geo_country(rf_str_z(value)))
		return rf_api_fail(c, RF_E_INVALID, "/configuration/value", "\"%s\" is not a country: two capital letters of ISO 3166-1", value);
	snprintf(name, room, "%s", value);
	return RF_OK;
}

static int read_prefix(struct rf_api_call *c, const char *target, const char *value, struct rf_prefix *ret)
{
	bool range = strcmp(target, "ip_range") == 0;
	if (!rf_prefix_parse(rf_str_z(value), true, ret))
		return rf_api_fail(c, RF_E_INVALID, "/configuration/value", "\"%s\" is not %s", value,
			range ? "a prefix such as 192.0.2.0/24 (without bits beyond its length)" : "an address");
	bool whole = ret->bits == (ret->ip.family == 4 ? 32 : 128);
	if (!range && (!whole || strchr(value, '/')))
		return rf_api_fail(c, RF_E_INVALID, "/configuration/value", "\"%s\" is not one address; a prefix has target ip_range", value);
	if (!range && (strcmp(target, "ip6") == 0) != (ret->ip.family == 6))
		return rf_api_fail(c, RF_E_INVALID, "/configuration/target", "%s is an address of target %s", value,
			ret->ip.family == 6 ? "ip6" : "ip");
	if (!length_fits(ret))
		return rf_api_fail(c, RF_E_RANGE, "/configuration/value", "a prefix has %d to 32 bits in IPv4, and %d to %d in steps of %d in IPv6",
			V4_LEAST, V6_LEAST, V6_MOST, V6_STEP);
	return RF_OK;
}

static int read_target(struct rf_api_call *c, const json_t *configuration, char *name, size_t room)
{
	const char *target = rf_json_text(configuration, "target"), *value = rf_json_text(configuration, "value");
	struct rf_prefix p;
	char text[RF_IP_TEXT];
	if (strcmp(target, "asn") == 0)
		return read_asn(c, value, name, room);
	if (strcmp(target, "country") == 0)
		return read_country(c, value, name, room);
	int rc = read_prefix(c, target, value, &p);
	if (rc == RF_OK)
		snprintf(name, room, "%s", rf_prefix_str(&p, text));
	return rc;
}

static int prepare(struct rf_api_call *c, struct rf_object *o, const json_t *old)
{
	size_t count = 0;
	bool zone = c->zone.id[0];
	size_t most = zone ? ZONE_MOST : RF_SHIELD_RULES_MAX;
	struct rf_store_query all = { .parent = zone ? c->zone.id : c->account.id };
	if (strcmp(rf_json_text(o->doc, "mode"), "allow") == 0)
		json_object_set_new(o->doc, "mode", json_string("whitelist"));
	int rc = read_target(c, json_object_get(o->doc, "configuration"), o->name, sizeof o->name);
	if (rc == RF_OK && !old)
		rc = rf_store_count(c->store, zone ? RF_KIND_ZONE_ACCESS_RULE : RF_KIND_ACCESS_RULE, &all, &count, &c->err);
	if (rc == RF_OK && count >= most)
		rc = rf_fail(&c->err, RF_E_FULL, "there are %zu access rules%s, and no more are taken%s", count, zone ? " of this zone" : "", zone ?
			     "; put addresses into a list, and block those in it by a rule" : "");
	return rc;
}

static const struct rf_api_crud of_account = { .kind = RF_KIND_ACCESS_RULE, .shape = RF_RES_ACCESS_RULE, .prepare = prepare, .show = show },
	of_zone = { .kind = RF_KIND_ZONE_ACCESS_RULE, .shape = RF_RES_ACCESS_RULE, .in_zone = true, .prepare = prepare, .show = show };

static const struct rf_api_crud *resource(const struct rf_api_call *c) { return c->zone.id[0] ? &of_zone : &of_account; }

struct listing {
	struct rf_api_call *c;
	size_t first, last, seen;
	json_t *array;
};

static bool wanted(struct rf_api_call *c, const json_t *doc)
{
	static const char *const filters[][2] = { { "mode", "mode" }, { "configuration.target", "target" }, { "configuration.value", "value" } };
	const json_t *configuration = json_object_get(doc, "configuration");
	const char *notes = rf_api_param(c, "notes"), *match = rf_api_param(c, "match");
	unsigned asked = 0, met = 0;
	for (size_t i = 0; i < 3; i++) {
		const char *want = rf_api_param(c, filters[i][0]);
		asked += want != NULL;
		met += want && strcmp(want, rf_json_text(i ? configuration : doc, filters[i][1])) == 0;
	}
	asked += notes != NULL;
	met += notes && strcasestr(rf_json_text(doc, "notes"), notes);
	return match && strcmp(match, "any") == 0 && asked ? met > 0 : met == asked;
}

static int consider(const struct rf_object *o, void *arg)
{
	struct listing *l = arg;
	if (!wanted(l->c, o->doc))
		return RF_OK;
	size_t at = l->seen++;
	if (at < l->first || at >= l->last)
		return RF_OK;
	return json_array_append_new(l->array, show(l->c, o)) == 0 ? RF_OK : rf_fail(&l->c->err, RF_E_NOMEM, "memory is exhausted");
}

int rf_api_access_rules_list(struct rf_api_call *c)
{
	size_t page, per;
	int rc = rf_api_page(c, RF_API_PER_PAGE, &page, &per);
	if (rc != RF_OK)
		return rc;
	const char *direction = rf_api_param(c, "direction");
	struct rf_store_query q = { .parent = c->zone.id[0] ? c->zone.id : c->account.id, .descending = direction && strcmp(direction, "desc") == 0 };
	struct listing l = { c, (page - 1) * per, page * per, 0, json_array() };
	rc = l.array ? rf_store_list(c->store, resource(c)->kind, &q, consider, &l, NULL, &c->err) :
		rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
	if (rc == RF_OK)
		rc = rf_api_info(c, page, per, json_array_size(l.array), l.seen);
	if (rc == RF_OK)
		return rf_api_result(c, l.array, 0);
	json_decref(l.array);
	return rc;
}

int rf_api_access_rules_create(struct rf_api_call *c) { return rf_crud_create(c, resource(c)); }
int rf_api_access_rules_get(struct rf_api_call *c) { return rf_crud_get(c, resource(c)); }
int rf_api_access_rules_edit(struct rf_api_call *c) { return rf_crud_edit(c, resource(c)); }

int rf_api_access_rules_delete(struct rf_api_call *c)
{
	int rc = rf_crud_delete(c, resource(c));
	return rc == RF_OK ? rf_api_result_id(c, c->params.id) : rc;
}
