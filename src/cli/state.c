/* cli/state: the state read through the API and written down as apply takes it.
 *
 * Ids do not travel: objects refer to each other by name. Private keys and token texts are never shown by the API and so
 * are not here: server certificates and tokens are the operator's to bring.
 */
#include <stdlib.h>
#include "cli/list.h"
#include "cli/shape.h"
#include "cli/state.h"

#define AC "/accounts/{account}"

const struct state_kind state_kinds[] = {
	{ "lists", "list", "LIST", AC "/rules/lists", "PUT", { "items" }, false },
	{ "roots", "root", "ROOT", AC "/mtls_certificates", "PATCH", { NULL }, false },
	{ "classes", "class", "CLASS", AC "/classes", "PATCH", { NULL }, false },
	{ "devices", "device", "DEVICE", AC "/devices", "PATCH", { "credentials" }, false },
	{ "patches", "patch", "PATCH", AC "/patches", "PATCH", { NULL }, false },
	{ "access_rules", "access rule", "ACCESS_RULE", AC "/firewall/access_rules/rules", "PATCH", { NULL }, false },
	{ "zones", "zone", "ZONE", "/zones", "PATCH", { "apps", "ports", "access_rules", "rules" }, false },
	{ "apps", "app", "APP", "/zones/{zone}/apps", "PATCH", { NULL }, true },
	{ "ports", "port", "PORT", "/zones/{zone}/spectrum/apps", "PATCH", { NULL }, true },
	{ "access_rules", "access rule", "ACCESS_RULE", "/zones/{zone}/firewall/access_rules/rules", "PATCH", { NULL }, true },
};
const size_t state_kind_count = sizeof state_kinds / sizeof *state_kinds;

const struct state_kind *state_kind(const char *kind)
{
	size_t i = 0;
	while (strcmp(state_kinds[i].kind, kind) != 0)
		i++;
	return &state_kinds[i];
}

const char *state_name(const json_t *object)
{
	const json_t *name = json_object_get(object, "name"), *source = json_object_get(json_object_get(object, "configuration"), "value");
	const char *z = json_string_value(name ? name : source);
	return z ? z : "";
}

int state_objects(struct cli *c, const struct state_kind *k, const char *zone_id, json_t **ret)
{
	RF_BUF_AUTO path = { 0 };
	int rc = cli_path(c, k->path, "zone", zone_id ? zone_id : "", &path);
	return rc == RF_OK ? cli_all(c, rf_buf_z(&path), ret) : rc;
}

int state_rules(struct cli *c, const char *zone_id, json_t **ret)
{
	RF_BUF_AUTO base = { 0 };
	json_t *sets = NULL, *head, *phases = json_object();
	size_t i;
	int rc = cli_path(c, zone_id ? "/zones/{zone}/rulesets" : AC "/rulesets", "zone", zone_id ? zone_id : "", &base);
	if (rc == RF_OK)
		rc = cli_all(c, rf_buf_z(&base), &sets);
	json_array_foreach(sets, i, head) {
		RF_BUF_AUTO path = { 0 };
		json_t *set = NULL;
		const char *kind = json_string_value(json_object_get(head, "kind")), *phase = json_string_value(json_object_get(head, "phase"));
		if (rc != RF_OK || !phase || (kind && strcmp(kind, "root") != 0 && strcmp(kind, "zone") != 0))
			continue;
		rf_buf_printf(&path, "%s/%s", rf_buf_z(&base), json_string_value(json_object_get(head, "id")));
		rc = cli_result(c, "GET", rf_buf_z(&path), NULL, &set);
		json_t *rules = json_object_get(set, "rules");
		if (rc == RF_OK && json_array_size(rules))
			json_object_set(phases, phase, rules);
		json_decref(set);
	}
	json_decref(sets);
	if (rc != RF_OK) {
		json_decref(phases);
		return rc;
	}
	*ret = phases;
	return RF_OK;
}

int state_items(struct cli *c, const char *list_id, json_t **ret)
{
	RF_BUF_AUTO path = { 0 };
	int rc = cli_path(c, AC "/rules/lists/{list}/items", "list", list_id, &path);
	return rc == RF_OK ? cli_all(c, rf_buf_z(&path), ret) : rc;
}

int state_credentials(struct cli *c, const char *device_id, json_t **ret)
{
	RF_BUF_AUTO path = { 0 };
	int rc = cli_path(c, AC "/devices/{device}/credentials", "device", device_id, &path);
	return rc == RF_OK ? cli_all(c, rf_buf_z(&path), ret) : rc;
}

static const json_t *root_named(const json_t *roots, const char *name, const char *member)
{
	size_t i;
	json_t *r;
	json_array_foreach(roots, i, r) {
		const char *z = json_string_value(json_object_get(r, member));
		if (z && strcmp(z, name) == 0)
			return r;
	}
	return NULL;
}

int state_roots_to(struct cli *c, json_t *object, const json_t *roots, bool to_ids)
{
	json_t *names = json_object_get(object, "roots"), *one;
	size_t i;
	json_array_foreach(names, i, one) {
		const char *z = json_string_value(one);
		if (!z || strcmp(z, "device_ca") == 0)
			continue;
		const json_t *r = root_named(roots, z, to_ids ? "name" : "id");
		if (!r && to_ids && !root_named(roots, z, "id"))
			return rf_fail(&c->e, RF_E_NOT_FOUND, "there is no root \"%s\"", z);
		json_t *to = r ? json_object_get(r, to_ids ? "id" : "name") : NULL;
		if (to && json_string_length(to))
			json_array_set(names, i, to);
	}
	return RF_OK;
}

void state_strip_rule(json_t *rule)
{
	const char *ref = json_string_value(json_object_get(rule, "ref")), *id = json_string_value(json_object_get(rule, "id"));
	if (ref && id && strcmp(ref, id) == 0)
		json_object_del(rule, "ref");
	json_object_del(rule, "id");
	cli_shape_strip("RULE", rule);
}

static void strip_rules(json_t *phases)
{
	const char *phase;
	json_t *rules, *rule;
	size_t i;
	json_object_foreach(phases, phase, rules)
		json_array_foreach(rules, i, rule)
			state_strip_rule(rule);
}

/* An entry that is only a value is written as that. */
static json_t *short_item(json_t *item)
{
	cli_shape_strip("LIST_ITEM", item);
	const json_t *host = json_object_get(item, "hostname");
	if (json_object_size(item) == 1 && !json_object_get(item, "redirect") && (!host || json_object_size(host) == 1)) {
		RF_BUF_AUTO text = { 0 };
		cli_item_text(&text, item);
		return json_object_get(item, "asn") ? json_incref(json_object_get(item, "asn")) : json_string(rf_buf_z(&text));
	}
	return json_incref(item);
}

static int add_items(struct cli *c, json_t *list, const char *id)
{
	json_t *items = NULL, *item, *shorter = json_array();
	size_t i;
	int rc = state_items(c, id, &items);
	json_array_foreach(items, i, item)
		json_array_append_new(shorter, short_item(item));
	if (rc == RF_OK && json_array_size(shorter))
		json_object_set(list, "items", shorter);
	json_decref(shorter);
	json_decref(items);
	return rc;
}

static int add_credentials(struct cli *c, json_t *device, const char *id)
{
	json_t *all = NULL, *one;
	size_t i;
	int rc = state_credentials(c, id, &all);
	json_array_foreach(all, i, one)
		cli_shape_strip("CREDENTIAL", one);
	if (rc == RF_OK && json_array_size(all))
		json_object_set(device, "credentials", all);
	json_decref(all);
	return rc;
}

/* What is read, and what it refers to. */
struct reading {
	struct cli *c;
	const json_t *roots;
	unsigned without;
};

static int read_kind(const struct reading *r, const struct state_kind *k, const char *zone_id, json_t *to);

static bool left_out(const struct reading *r, const struct state_kind *k)
{
	return (r->without & STATE_NO_DEVICES && strcmp(k->kind, "device") == 0) ||
		(r->without & STATE_NO_ACCESS && strcmp(k->section, "access_rules") == 0);
}

static int read_zone(const struct reading *r, json_t *zone, const char *id)
{
	json_t *rules = NULL;
	int rc = RF_OK;
	for (size_t i = 0; i < state_kind_count && rc == RF_OK; i++)
		if (state_kinds[i].in_zone && !left_out(r, &state_kinds[i]))
			rc = read_kind(r, &state_kinds[i], id, zone);
	if (rc == RF_OK)
		rc = state_rules(r->c, id, &rules);
	strip_rules(rules);
	if (json_object_size(rules))
		json_object_set(zone, "rules", rules);
	json_decref(rules);
	return rc;
}

/* What belongs to an object and is read with a request of its own. */
static int read_below(const struct reading *r, const struct state_kind *k, json_t *object, const char *id)
{
	if (strcmp(k->kind, "list") == 0)
		return add_items(r->c, object, id);
	if (strcmp(k->kind, "device") == 0)
		return add_credentials(r->c, object, id);
	return strcmp(k->kind, "zone") == 0 ? read_zone(r, object, id) : RF_OK;
}

static int read_kind(const struct reading *r, const struct state_kind *k, const char *zone_id, json_t *to)
{
	json_t *all = NULL, *one;
	size_t i;
	int rc = state_objects(r->c, k, zone_id, &all);
	json_array_foreach(all, i, one) {
		char id[33];
		const char *z = json_string_value(json_object_get(one, "id"));
		if (rc != RF_OK)
			break;
		snprintf(id, sizeof id, "%s", z ? z : "");
		json_object_del(one, "account");
		json_object_del(one, "class_id");
		cli_shape_strip(k->resource, one);
		rc = state_roots_to(r->c, one, r->roots, false);
		if (rc == RF_OK)
			rc = read_below(r, k, one, id);
	}
	if (rc == RF_OK && json_array_size(all))
		json_object_set(to, k->section, all);
	json_decref(all);
	return rc;
}

int state_read(struct cli *c, unsigned without, json_t **ret)
{
	json_t *doc = json_object(), *roots = NULL, *rules = NULL;
	int rc = state_objects(c, &state_kinds[1], NULL, &roots);
	const struct reading r = { c, roots, without };
	for (size_t i = 0; rc == RF_OK && i < state_kind_count; i++)
		if (!state_kinds[i].in_zone && !left_out(&r, &state_kinds[i]))
			rc = read_kind(&r, &state_kinds[i], NULL, doc);
	if (rc == RF_OK && (rc = state_rules(c, NULL, &rules)) == RF_OK) {
		strip_rules(rules);
		if (json_object_size(rules))
			json_object_set(doc, "rules", rules);
	}
	json_decref(rules);
	json_decref(roots);
	if (rc != RF_OK) {
		json_decref(doc);
		return rc;
	}
	*ret = doc;
	return RF_OK;
}

int cli_run_export(struct cli *c)
{
	json_t *doc = NULL;
	int rc = state_read(c, cli_has(c, "no-devices") ? STATE_NO_DEVICES : 0, &doc);
	if (rc != RF_OK)
		return rc;
	if (c->format == CLI_JSON) {
		rc = cli_print(c, doc);
	} else {
		fprintf(c->out, "# State of a Ringfence edge. ringfence apply -f FILE brings an edge to it.\n");
		rc = cli_yaml_write(doc, c->out);
	}
	json_decref(doc);
	return rc;
}
