/* cli/rule: rules of the account and of zones, found by id, name (ref) or description over all rulesets.
 *
 * A rule is added to the entry point of its phase, which is made where it is not there. Changes are PATCHes of the one
 * rule, so that two operators at work do not undo each other.
 */
#include <stdlib.h>
#include "cli/rule.h"

/* One ruleset with its rules, each with "where" and "phase" beside. */
static int rules_of(struct cli *c, struct rules_walk *w, const char *base, const char *where, const json_t *head)
{
	RF_BUF_AUTO path = { 0 };
	json_t *set = NULL, *rule;
	size_t i;
	const char *id = json_string_value(json_object_get(head, "id"));
	const char *phase = json_string_value(json_object_get(head, "phase"));
	if (!id || (w->phase && (!phase || strcmp(phase, w->phase) != 0)))
		return RF_OK;
	rf_buf_printf(&path, "%s/rulesets/%s", base, id);
	int rc = cli_result(c, "GET", rf_buf_z(&path), NULL, &set);
	json_array_foreach(json_object_get(set, "rules"), i, rule) {
		if (rc == RF_OK)
			rc = w->each(c, w, rf_buf_z(&path), where, set, rule);
	}
	json_decref(set);
	return rc;
}

static int rulesets_of(struct cli *c, struct rules_walk *w, const char *base, const char *where)
{
	RF_BUF_AUTO path = { 0 };
	json_t *sets = NULL, *head;
	size_t i;
	rf_buf_printf(&path, "%s/rulesets", base);
	int rc = cli_all(c, rf_buf_z(&path), &sets);
	json_array_foreach(sets, i, head)
		if (rc == RF_OK)
			rc = rules_of(c, w, base, where, head);
	json_decref(sets);
	return rc;
}

static int of_zone(struct cli *c, json_t *zone, void *arg)
{
	RF_BUF_AUTO base = { 0 };
	const char *name = json_string_value(json_object_get(zone, "name"));
	rf_buf_printf(&base, "/zones/%s", json_string_value(json_object_get(zone, "id")));
	return rulesets_of(c, arg, rf_buf_z(&base), name ? name : "zone");
}

int cli_rules_walk(struct cli *c, struct rules_walk *w)
{
	RF_BUF_AUTO base = { 0 };
	if (cli_has(c, "zone")) {
		int rc = cli_zone(c);
		json_t *zone = json_pack("{s:s, s:s}", "id", c->zone_id, "name", cli_get(c, "zone"));
		if (rc == RF_OK)
			rc = of_zone(c, zone, w);
		json_decref(zone);
		return rc;
	}
	int rc = cli_path(c, "/accounts/{account}", NULL, NULL, &base);
	if (rc == RF_OK)
		rc = rulesets_of(c, w, rf_buf_z(&base), "account");
	return rc == RF_OK ? cli_each(c, "/zones", of_zone, w) : rc;
}

static int gather(struct cli *c, struct rules_walk *w, const char *path, const char *where, const json_t *set, json_t *rule)
{
	(void)path;
	json_t *row = json_pack("{s:s, s:O}", "where", where, "phase", json_object_get(set, "phase"));
	if (!row || json_object_update(row, rule) != 0 || json_array_append_new(w->found, row) != 0)
		return rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
	return RF_OK;
}

int cli_run_rule_list(struct cli *c)
{
	struct rules_walk w = { .each = gather, .phase = cli_get(c, "phase"), .found = json_array() };
	int rc = cli_rules_walk(c, &w);
	if (rc == RF_OK)
		rc = cli_print_list(c, w.found, c->command->columns);
	json_decref(w.found);
	return rc;
}

static bool named(const json_t *rule, const char *name)
{
	static const char *const members[] = { "id", "ref", "description" };
	for (size_t i = 0; i < 3; i++) {
		const char *z = json_string_value(json_object_get(rule, members[i]));
		if (z && strcmp(z, name) == 0)
			return true;
	}
	return false;
}

static int match(struct cli *c, struct rules_walk *w, const char *path, const char *where, const json_t *set, json_t *rule)
{
	if (!named(rule, w->name))
		return RF_OK;
	if (w->hits++ == 0)
		rf_buf_printf(&w->path, "%s/rules/%s", path, json_string_value(json_object_get(rule, "id")));
	return gather(c, w, path, where, set, rule);
}

/* The one rule of that name: its path in w->path, itself in w->found[0]. */
static int find_rule(struct cli *c, const char *name, struct rules_walk *w)
{
	*w = (struct rules_walk){ .each = match, .name = name, .found = json_array() };
	int rc = cli_rules_walk(c, w);
	if (rc == RF_OK && w->hits == 0)
		rc = rf_fail(&c->e, RF_E_NOT_FOUND, "there is no rule \"%s\"; ringfence rule list shows them", name);
	if (rc == RF_OK && w->hits > 1)
		rc = rf_fail(&c->e, RF_E_CONFLICT, "%zu rules are called \"%s\"; name one by its id", w->hits, name);
	return rc;
}

static void walk_fini(struct rules_walk *w)
{
	rf_buf_fini(&w->path);
	json_decref(w->found);
}

int cli_run_rule_show(struct cli *c)
{
	struct rules_walk w;
	int rc = find_rule(c, cli_get(c, "RULE"), &w);
	if (rc == RF_OK)
		rc = cli_print_object(c, json_array_get(w.found, 0));
	walk_fini(&w);
	return rc;
}

static int member(struct cli *c, json_t *to, const char *name, json_t *v)
{
	return v && json_object_set_new(to, name, v) == 0 ? RF_OK : rf_fail(&c->e, RF_E_TYPE, "the words given are not UTF-8 text");
}

/* {status_code, content, content_type} of --status and --body. */
static json_t *answer(struct cli *c)
{
	const char *status = cli_get(c, "status"), *text = cli_get(c, "body");
	const char *type = text && text[0] == '{' ? "application/json" : text && text[0] == '<' ? "text/html" : "text/plain";
	return status ? json_pack("{s:i, s:s, s:s}", "status_code", atoi(status), "content", text ? text : "", "content_type", type) :
		json_pack("{s:s, s:s}", "content", text ? text : "", "content_type", type);
}

/* action_parameters of `rule redirect`. */
static int redirection(struct cli *c, json_t *body)
{
	const char *status = cli_get(c, "status"), *url = cli_get(c, "URL");
	if (!url)
		return RF_OK;
	json_t *o = json_pack("{s:{s:{s:s}, s:b}}", "from_value", "target_url", "value", url, "preserve_query_string",
			      cli_has(c, "keep-query"));
	if (o && status)
		json_object_set_new(json_object_get(o, "from_value"), "status_code", json_integer(atoi(status)));
	int rc = member(c, body, "action", json_string("redirect"));
	return rc == RF_OK ? member(c, body, "action_parameters", o) : rc;
}

/* action_parameters from --parameters, or from --status and --body. */
static int parameters(struct cli *c, json_t *body)
{
	const char *json = cli_get(c, "parameters"), *action = cli_get(c, "action");
	if (json) {
		json_t *p = NULL;
		int rc = cli_yaml_read(rf_str_z(json), "--parameters", &p, &c->e);
		return rc == RF_OK && json_object_set_new(body, "action_parameters", p) != 0 ? RF_E_NOMEM : rc;
	}
	if (cli_get(c, "URL") || (!cli_get(c, "status") && !cli_get(c, "body")))
		return RF_OK;
	bool page = action && strcmp(action, "serve_error") == 0;
	return member(c, body, "action_parameters", page ? answer(c) : json_pack("{s:o}", "response", answer(c)));
}

/* The object `ratelimit` of `rule limit`: 100/60, --by, --counting and --hold. */
static int limit(struct cli *c, json_t *body)
{
	const char *text = cli_get(c, "LIMIT"), *hold = cli_get(c, "hold"), *counting = cli_get(c, "counting"), *by;
	struct rf_str rest = rf_str_z(text ? text : ""), count;
	uint64_t most, period, seconds = 0;
	if (!text)
		return RF_OK;
	if (!rf_str_split(&rest, '/', &count) || !rf_str_u64(count, &most) || !rf_str_u64(rest, &period) || most > INT32_MAX ||
	    period > INT32_MAX)
		return cli_wrong(c, RF_E_SYNTAX, "a limit is written 100/60: so many requests in so many seconds, not \"%s\"", text);
	if (hold && (!rf_str_u64(rf_str_z(hold), &seconds) || seconds > INT32_MAX))
		return cli_wrong(c, RF_E_SYNTAX, "--hold takes seconds, not \"%s\"", hold);
	json_t *o = json_pack("{s:I, s:I}", "requests_per_period", (json_int_t)most, "period", (json_int_t)period);
	json_t *fields = cli_get_nth(c, "by", 0) ? json_array() : NULL;
	for (size_t i = 0; (by = cli_get_nth(c, "by", i)); i++)
		json_array_append_new(fields, json_string(by));
	if (fields)
		json_object_set_new(o, "characteristics", fields);
	if (counting)
		json_object_set_new(o, "counting_expression", json_string(counting));
	if (hold)
		json_object_set_new(o, "mitigation_timeout", json_integer((json_int_t)seconds));
	int rc = member(c, body, "ratelimit", o);
	return rc == RF_OK && !json_object_get(body, "action") ? member(c, body, "action", json_string("rate_limit")) : rc;
}

/* Where a rule belongs that names no phase. */
static const char *phase_of(struct cli *c, const json_t *rule)
{
	static const struct { const char *action, *phase; } homes[] = { { "redirect", "http_request_dynamic_redirect" },
		{ "rate_limit", "http_ratelimit" }, { "set_config", "http_config_settings" },
		{ "compress_response", "http_response_compression" }, { "serve_error", "http_custom_errors" } };
	const char *phase = cli_get(c, "phase"), *action = json_string_value(json_object_get(rule, "action"));
	if (phase)
		return phase;
	if (json_object_get(rule, "ratelimit"))
		return "http_ratelimit"; /* with any action */
	for (size_t i = 0; action && i < sizeof homes / sizeof *homes; i++)
		if (strcmp(homes[i].action, action) == 0)
			return homes[i].phase;
	return "http_request";
}

static int position(struct cli *c, json_t *body)
{
	static const char *const words[] = { "before", "after" };
	for (size_t i = 0; i < 2; i++) {
		const char *name = cli_get(c, words[i]);
		struct rules_walk w;
		if (!name)
			continue;
		int rc = find_rule(c, name, &w);
		if (rc == RF_OK)
			json_object_set_new(body, "position", json_pack("{s:O}", words[i], json_object_get(json_array_get(w.found, 0), "id")));
		walk_fini(&w);
		if (rc != RF_OK)
			return rc;
	}
	return RF_OK;
}

static int rule_body(struct cli *c, json_t **ret)
{
	int rc = cli_body(c, ret);
	if (rc == RF_OK)
		rc = parameters(c, *ret);
	if (rc == RF_OK)
		rc = limit(c, *ret);
	if (rc == RF_OK)
		rc = redirection(c, *ret);
	return rc == RF_OK ? position(c, *ret) : rc;
}

/* The rule of a changed ruleset that the command was about: by id or ref, else the last. */
static const json_t *changed_rule(const json_t *set, const char *name)
{
	const json_t *rules = json_object_get(set, "rules");
	size_t i;
	json_t *r;
	json_array_foreach(rules, i, r)
		if (name && named(r, name))
			return r;
	return json_array_get(rules, json_array_size(rules) - 1);
}

static int finish(struct cli *c, const char *path, const char *method, const json_t *body, const char *name)
{
	RF_BUF_AUTO full = { 0 };
	json_t *set = NULL;
	rf_buf_printf(&full, "%s%s", path, c->dry_run ? "?dry_run=true" : "");
	int rc = cli_result(c, method, rf_buf_z(&full), body, &set);
	if (rc == RF_OK)
		rc = cli_print_done(c, c->command->done, changed_rule(set, name));
	json_decref(set);
	return rc;
}

static int add_to_phase(struct cli *c, json_t *rule)
{
	RF_BUF_AUTO base = { 0 }, path = { 0 };
	json_t *entry = NULL;
	const char *phase = phase_of(c, rule), *ref = cli_get(c, "name");
	int rc = cli_path(c, cli_has(c, "zone") ? "/zones/{zone}/rulesets" : "/accounts/{account}/rulesets", NULL, NULL, &base);
	if (rc != RF_OK)
		return rc;
	rf_buf_printf(&path, "%s/phases/", rf_buf_z(&base));
	cli_escape(&path, phase);
	rf_buf_printf(&path, "/entrypoint");
	rc = cli_result(c, "GET", rf_buf_z(&path), NULL, &entry);
	const char *id = json_string_value(json_object_get(entry, "id"));
	if (rc == RF_OK && id) {
		rf_buf_printf(&base, "/%s/rules", id);
		rc = finish(c, rf_buf_z(&base), "POST", rule, ref);
	} else if (rc == RF_E_NOT_FOUND) {
		json_decref(c->errors);
		c->errors = NULL;
		json_object_del(rule, "position");
		json_t *body = json_pack("{s:[O]}", "rules", rule);
		rc = finish(c, rf_buf_z(&path), "PUT", body, ref);
		json_decref(body);
	}
	json_decref(entry);
	return rc;
}

int cli_run_rule_add(struct cli *c)
{
	json_t *rule = NULL;
	int rc = rule_body(c, &rule);
	if (rc == RF_OK && !json_object_get(rule, "action"))
		rc = cli_wrong(c, RF_E_MISSING, "--action is missing: block, log, allow, skip, rewrite, quarantine, ...; see ringfence-rules(5)");
	if (rc == RF_OK)
		rc = add_to_phase(c, rule);
	json_decref(rule);
	return rc;
}

int cli_run_rule_edit(struct cli *c)
{
	struct rules_walk w;
	json_t *body = NULL;
	const char *verb = c->command->verb;
	int rc = find_rule(c, cli_get(c, "RULE"), &w);
	if (rc == RF_OK)
		rc = rule_body(c, &body);
	if (rc == RF_OK && strcmp(verb, "edit") != 0)
		json_object_set_new(body, "enabled", json_boolean(strcmp(verb, "enable") == 0));
	if (rc == RF_OK && json_object_size(body) == 0)
		rc = cli_wrong(c, RF_E_MISSING, "say what to change; see ringfence rule edit --help");
	const char *id = json_string_value(json_object_get(json_array_get(w.found, 0), "id"));
	if (rc == RF_OK)
		rc = finish(c, rf_buf_z(&w.path), "PATCH", body, id);
	json_decref(body);
	walk_fini(&w);
	return rc;
}

int cli_run_rule_delete(struct cli *c)
{
	struct rules_walk w;
	json_t *set = NULL;
	int rc = find_rule(c, cli_get(c, "RULE"), &w);
	if (rc == RF_OK && c->dry_run)
		rf_buf_printf(&w.path, "?dry_run=true");
	if (rc == RF_OK)
		rc = cli_result(c, "DELETE", rf_buf_z(&w.path), NULL, &set);
	if (rc == RF_OK)
		rc = cli_print_done(c, c->command->done, json_array_get(w.found, 0));
	json_decref(set);
	walk_fini(&w);
	return rc;
}
