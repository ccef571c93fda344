/* cli/access: sources that may never, or always, reach the edge, and the kernel filter.
 *
 * A source is an address, a prefix, an autonomous system or a country; which of the documented targets it is follows from it.
 */
#include <ctype.h>
#include "cli/cli.h"
#include "base/ip.h"

#define ZONE_PATH "/zones/{zone}/firewall/access_rules/rules"

static json_t *rule(struct cli *c, const char *value)
{
	struct rf_prefix p;
	const char *notes = cli_get(c, "notes"), *mode = strcmp(c->command->verb, "allow") == 0 ? "whitelist" : "block";
	bool source = rf_prefix_parse(rf_str_z(value), false, &p), letters = isalpha((unsigned char)value[0]) && isalpha((unsigned char)value[1]);
	const char *other = strncmp(value, "AS", 2) == 0 && isdigit((unsigned char)value[2]) ? "asn" : letters && !value[2] ? "country" : "ip";
	const char *target = strchr(value, '/') ? "ip_range" : source && p.ip.family == 6 ? "ip6" : other;
	return json_pack("{s:s, s:{s:s, s:s}, s:s}", "mode", mode, "configuration", "target",
		target, "value", value, "notes", notes ? notes : "");
}

/* Access rules of the zone that --zone names, or of the account. */
static int collection(struct cli *c, struct rf_buf *path)
{
	bool zone = cli_has(c, "zone");
	int rc = zone ? cli_zone(c) : RF_OK;
	return rc == RF_OK ? cli_path(c, zone ? ZONE_PATH : c->command->path, NULL, NULL, path) : rc;
}

int cli_run_access_list(struct cli *c)
{
	struct cli_command of_zone = *c->command;
	const struct cli_command *was = c->command;
	of_zone.path = ZONE_PATH;
	if (cli_has(c, "zone"))
		c->command = &of_zone;
	int rc = cli_run_generic(c);
	c->command = was;
	return rc;
}

int cli_run_access_put(struct cli *c)
{
	const char *value;
	int rc = RF_OK;
	for (size_t i = 0; rc == RF_OK && (value = cli_get_nth(c, "SOURCE", i)); i++) {
		RF_BUF_AUTO path = { 0 };
		json_t *body = rule(c, value), *result = NULL;
		rc = body ? collection(c, &path) : rf_fail(&c->e, RF_E_TYPE, "\"%s\" is not UTF-8 text", value);
		if (rc == RF_OK)
			rc = cli_result(c, "POST", rf_buf_z(&path), body, &result);
		if (rc == RF_OK && !c->quiet)
			fprintf(c->out, "%s %s\n", value, body && strcmp(c->command->verb, "allow") == 0 ? "allowed" : "blocked");
		json_decref(body);
		json_decref(result);
	}
	return rc;
}

static int find(struct cli *c, json_t *one, void *arg)
{
	const char *id = json_string_value(json_object_get(one, "id"));
	(void)c;
	if (id)
		snprintf(arg, 33, "%s", id);
	return RF_OK;
}

static int remove_one(struct cli *c, const char *value)
{
	RF_BUF_AUTO all = { 0 }, path = { 0 };
	char id[33] = "";
	json_t *result = NULL;
	int rc = collection(c, &all);
	if (rc == RF_OK) {
		rf_buf_add(&path, rf_buf_str(&all));
		rf_buf_printf(&all, "?configuration.value=");
		cli_escape(&all, value);
		rc = cli_each(c, rf_buf_z(&all), find, id);
	}
	if (rc == RF_OK && !id[0])
		return rf_fail(&c->e, RF_E_NOT_FOUND, "there is no access rule about %s", value);
	rf_buf_printf(&path, "/%s", id);
	if (rc == RF_OK)
		rc = cli_result(c, "DELETE", rf_buf_z(&path), NULL, &result);
	if (rc == RF_OK && !c->quiet)
		fprintf(c->out, "%s has no access rule any more\n", value);
	json_decref(result);
	return rc;
}

int cli_run_access_remove(struct cli *c)
{
	const char *value;
	int rc = RF_OK;
	for (size_t i = 0; rc == RF_OK && (value = cli_get_nth(c, "SOURCE", i)); i++)
		rc = remove_one(c, value);
	return rc;
}

/* A row a reason, those that never came left out. */
static json_t *rows(const json_t *shield)
{
	const char *word;
	json_t *n, *array = json_array();
	json_object_foreach(json_object_get(shield, "frames"), word, n)
		if (json_integer_value(n))
			json_array_append_new(array, json_pack("{s:s, s:O, s:O}", "reason", word, "frames", n, "bytes",
				json_object_get(json_object_get(shield, "bytes"), word)));
	return array;
}

/* Rules that what stands here cannot have. */
static void print_left_out(struct cli *c, const json_t *rules)
{
	const json_t *r;
	size_t i;
	json_array_foreach(rules, i, r)
		fprintf(c->out, "  not in force: %s: %s\n", json_string_value(json_object_get(r, "id")), json_string_value(json_object_get(r, "reason")));
}

int cli_run_shield_status(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *shield = NULL, *table;
	int rc = cli_path(c, c->command->path, NULL, NULL, &path);
	if (rc == RF_OK)
		rc = cli_result(c, "GET", rf_buf_z(&path), NULL, &shield);
	if (rc != RF_OK || c->format != CLI_TABLE) {
		rc = rc == RF_OK ? cli_print(c, shield) : rc;
		json_decref(shield);
		return rc;
	}
	bool in_kernel = json_is_true(json_object_get(shield, "in_kernel"));
	const json_t *packets = json_object_get(shield, "packet_rules");
	const char *why = json_string_value(json_object_get(packets, "reason"));
	fprintf(c->out, "access rules  %lld\nkernel filter %s\n", (long long)json_integer_value(json_object_get(shield, "access_rules")),
		in_kernel ? json_string_value(json_object_get(shield, "gate")) : "none: sources are refused when they connect (shield.interfaces)");
	fprintf(c->out, "packet rules  %lld%s%s\n", (long long)json_integer_value(json_object_get(packets, "rules")),
		why && why[0] ? ", not in force: " : "", why ? why : "");
	print_left_out(c, json_object_get(packets, "left_out"));
	const json_t *fleet = json_object_get(shield, "fleet");
	const char *unseen = json_string_value(json_object_get(fleet, "unseen"));
	fprintf(c->out, "fleet         %lld addresses, %lld of several devices%s%s\n", (long long)json_integer_value(json_object_get(fleet, "addresses")),
		(long long)json_integer_value(json_object_get(fleet, "shared")), unseen && unseen[0] ? "; " : "", unseen ? unseen : "");
	table = rows(shield);
	if (in_kernel)
		rc = cli_print_list(c, table, c->command->columns);
	json_decref(table);
	json_decref(shield);
	return rc;
}
