/* cli/explain: a device and a request, judged without sending it. And the one screen of `status`. */
#include <stdlib.h>
#include "cli/explain.h"

/* "name: value" into the headers; a name twice makes an array. */
static int header(struct cli *c, json_t *headers, const char *line)
{
	struct rf_str all = rf_str_z(line);
	size_t colon = rf_str_find(all, ':');
	struct rf_str v = rf_str_trim(rf_str_skip(all, colon + 1));
	char name[256];
	if (colon == 0 || colon >= all.n || colon >= sizeof name)
		return cli_wrong(c, RF_E_SYNTAX, "a header is written \"name: value\", not \"%s\"", line);
	snprintf(name, sizeof name, "%.*s", (int)colon, line);
	json_t *value = json_stringn(v.p, v.n), *old = json_object_get(headers, name);
	if (!value)
		return rf_fail(&c->e, RF_E_TYPE, "the header %s is not UTF-8 text", name);
	if (json_is_array(old))
		json_array_append_new(old, value);
	else if (old)
		json_object_set_new(headers, name, json_pack("[O, o]", old, value));
	else
		json_object_set_new(headers, name, value);
	return RF_OK;
}

int cli_request_parse(const char *text, json_t *request, struct rf_err *e)
{
	struct rf_str rest = rf_str_trim(rf_str_z(text)), method = RF_STR("GET");
	size_t space = rf_str_find(rest, ' ');
	if (space < rest.n) {
		method = (struct rf_str){ rest.p, space };
		rest = rf_str_trim(rf_str_skip(rest, space));
	}
	bool tls = rf_str_starts(rest, RF_STR("https://"));
	if (!tls && !rf_str_starts(rest, RF_STR("http://")))
		return rf_fail(e, RF_E_SYNTAX, "a request is written \"GET https://host/path\", not \"%s\"", text);
	struct rf_str host = rf_str_skip(rest, tls ? 8 : 7);
	size_t slash = rf_str_find(host, '/');
	struct rf_str path = slash < host.n ? rf_str_skip(host, slash) : RF_STR("/");
	host.n = slash;
	if (!host.n || rf_str_find(path, ' ') < path.n)
		return rf_fail(e, RF_E_SYNTAX, "a request is written \"GET https://host/path\", not \"%s\"", text);
	json_t *m = json_stringn(method.p, method.n), *h = json_stringn(host.p, host.n), *p = json_stringn(path.p, path.n);
	if (!m || !h || !p) {
		json_decref(m);
		json_decref(h);
		json_decref(p);
		return rf_fail(e, RF_E_TYPE, "the request is not UTF-8 text");
	}
	json_object_set_new(request, "method", m);
	json_object_set_new(request, "host", h);
	json_object_set_new(request, "path", p);
	json_object_set_new(request, "scheme", json_string(tls ? "https" : "http"));
	return RF_OK;
}

/* What the origin would answer, where that is said. */
static int answer_of(struct cli *c, json_t *request)
{
	const char *code = cli_get(c, "answer"), *line;
	json_t *headers;
	uint64_t n = 0;
	int rc = RF_OK;
	if (!code)
		return cli_has(c, "answer-header") ? cli_wrong(c, RF_E_MISSING, "--answer-header goes with --answer CODE") : RF_OK;
	if (!rf_str_u64(rf_str_z(code), &n) || n < 100 || n > 599)
		return cli_wrong(c, RF_E_SYNTAX, "--answer wants a status code from 100 to 599, not \"%s\"", code);
	json_object_set_new(request, "response", json_pack("{s:I, s:o}", "code", (json_int_t)n, "headers", headers = json_object()));
	for (size_t i = 0; rc == RF_OK && (line = cli_get_nth(c, "answer-header", i)); i++)
		rc = header(c, headers, line);
	return rc;
}

static int request_of(struct cli *c, json_t **ret)
{
	const char *text = cli_get(c, "REQUEST"), *line;
	json_t *request = NULL;
	int rc;
	if (text[0] == '@') {
		rc = cli_file_json(c, text + 1, &request);
		json_t *inner = json_object_get(request, "request");
		if (json_is_object(inner)) {
			json_incref(inner);
			json_decref(request);
			request = inner;
		}
	} else {
		request = json_object();
		rc = cli_request_parse(text, request, &c->e);
	}
	if (rc == RF_OK && !json_is_object(request))
		rc = rf_fail(&c->e, RF_E_TYPE, "%s holds no mapping with a request", text + 1);
	json_t *headers = json_object_get(request, "headers");
	if (rc == RF_OK && !headers) {
		headers = json_object();
		json_object_set_new(request, "headers", headers);
	}
	for (size_t i = 0; rc == RF_OK && (line = cli_get_nth(c, "header", i)); i++)
		rc = header(c, headers, line);
	if (rc == RF_OK)
		rc = answer_of(c, request);
	if (rc == RF_OK && cli_get(c, "body"))
		json_object_set_new(request, "body", json_string(cli_get(c, "body")));
	if (rc == RF_OK && cli_get(c, "from"))
		json_object_set_new(request, "src", json_string(cli_get(c, "from")));
	if (rc != RF_OK) {
		json_decref(request);
		return rc;
	}
	*ret = request;
	return RF_OK;
}

/* What decided a rule, a line each. */
static void because(struct cli *c, const json_t *rule)
{
	size_t i;
	json_t *b;
	json_array_foreach(json_object_get(rule, "because"), i, b) {
		RF_BUF_AUTO line = { 0 };
		cli_cell(&line, json_object_get(b, "expression"));
		if (json_object_get(b, "value")) {
			rf_buf_printf(&line, "   is ");
			cli_cell(&line, json_object_get(b, "value"));
		}
		fprintf(c->out, "      %s\n", rf_buf_z(&line));
	}
}

/* How a rate limit stands. */
static void print_limit(struct cli *c, const json_t *limit)
{
	long long n[4];
	static const char *const names[] = { "count", "most", "period_seconds", "wait_seconds" };
	for (size_t i = 0; i < 4; i++)
		n[i] = json_integer_value(json_object_get(limit, names[i]));
	fprintf(c->out, "      %lld of %lld in %lld s", n[0], n[1], n[2]);
	if (json_is_true(json_object_get(limit, "over")))
		fprintf(c->out, ", over its limit for %lld s", n[3]);
	fprintf(c->out, "\n");
}

static void print_rule(struct cli *c, const json_t *rule)
{
	static const char *const names[] = { "ref", "description", "rule", "check", "name" };
	RF_BUF_AUTO line = { 0 };
	const json_t *name = NULL;
	bool unnamed = json_equal(json_object_get(rule, "ref"), json_object_get(rule, "rule")); /* nobody has given it a ref */
	for (size_t i = unnamed; i < 5 && !json_string_length(name); i++)
		name = json_object_get(rule, names[i]);
	cli_cell(&line, json_object_get(rule, "phase"));
	rf_buf_printf(&line, "  ");
	cli_cell(&line, name);
	if (json_object_get(rule, "action")) {
		rf_buf_printf(&line, "  ");
		cli_cell(&line, json_object_get(rule, "action"));
	}
	rf_buf_printf(&line, ": ");
	cli_cell(&line, json_object_get(rule, "result"));
	for (const char *const *n = (const char *const[]){ "state", "basis", NULL }; *n; n++)
		if (json_object_get(rule, *n)) {
			rf_buf_printf(&line, "  [");
			cli_cell(&line, json_object_get(rule, *n));
			rf_buf_printf(&line, "]");
		}
	fprintf(c->out, "  %s\n", rf_buf_z(&line));
	if (json_object_get(rule, "limit"))
		print_limit(c, json_object_get(rule, "limit"));
	because(c, rule);
}

static int print_explained(struct cli *c, const json_t *result)
{
	const char *name;
	json_t *v;
	if (c->format != CLI_TABLE || c->quiet)
		return cli_print(c, result);
	json_object_foreach((json_t *)result, name, v) {
		size_t i;
		json_t *one;
		if (!json_is_array(v)) {
			fprintf(c->out, "%s\n", name);
			RF_BUF_AUTO line = { 0 };
			const char *inner;
			json_t *value;
			if (!json_is_object(v)) {
				cli_cell(&line, v);
				fprintf(c->out, "  %s\n", rf_buf_z(&line));
			}
			json_object_foreach(v, inner, value) {
				rf_buf_clear(&line);
				cli_cell(&line, value);
				if (strcmp(rf_buf_z(&line), "-") != 0)
					fprintf(c->out, "  %-10s %s\n", inner, rf_buf_z(&line));
			}
			continue;
		}
		fprintf(c->out, "%s\n", name);
		json_array_foreach(v, i, one)
			print_rule(c, one);
	}
	return RF_OK;
}

static void print_asked(struct cli *c, const char *device, const json_t *request)
{
	static const struct { const char *before, *name; } parts[] = { { ": ", "method" }, { " ", "host" }, { "", "path" } };
	RF_BUF_AUTO line = { 0 };
	json_t *name = json_string(device);
	cli_cell(&line, name);
	json_decref(name);
	for (size_t i = 0; i < 3; i++)
		if (json_object_get(request, parts[i].name)) {
			rf_buf_printf(&line, "%s", parts[i].before);
			cli_cell(&line, json_object_get(request, parts[i].name));
		}
	fprintf(c->out, "%s\n", rf_buf_z(&line));
}

/* A stored record by its RayID, by the rules of its time. */
static int explain_record(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *body = json_pack("{s:s}", "record", cli_get(c, "record")), *result = NULL;
	int rc = cli_path(c, c->command->path, NULL, NULL, &path);
	if (rc == RF_OK)
		rc = cli_result(c, "POST", rf_buf_z(&path), body, &result);
	if (rc == RF_OK)
		rc = print_explained(c, result);
	json_decref(body);
	json_decref(result);
	return rc;
}

int cli_run_explain(struct cli *c)
{
	if (cli_has(c, "record"))
		return explain_record(c);
	if (!cli_has(c, "DEVICE") || !cli_has(c, "REQUEST"))
		return cli_wrong(c, RF_E_MISSING, "say a device and a request, or --record RAY");
	RF_BUF_AUTO path = { 0 };
	const char *device = cli_get(c, "DEVICE");
	json_t *request = NULL, *body, *result = NULL;
	int rc = request_of(c, &request);
	if (rc == RF_OK)
		rc = cli_path(c, c->command->path, NULL, NULL, &path);
	if (rc != RF_OK) {
		json_decref(request);
		return rc;
	}
	body = json_pack("{s:s, s:o}", "device", strcmp(device, "-") == 0 ? "" : device, "request", request);
	rc = cli_result(c, "POST", rf_buf_z(&path), body, &result);
	if (rc == RF_OK && c->format == CLI_TABLE && !c->quiet)
		print_asked(c, device, json_object_get(body, "request"));
	if (rc == RF_OK)
		rc = print_explained(c, result);
	json_decref(body);
	json_decref(result);
	return rc;
}

/* A line for each revocation list: whose, how it stands, and until when it is good. */
static void print_crls(struct cli *c, const json_t *crls)
{
	size_t i;
	json_t *v;
	json_array_foreach(crls, i, v) {
		const char *url = json_string_value(json_object_get(v, "url")), *until = json_string_value(json_object_get(v, "next_update")),
			   *error = json_string_value(json_object_get(v, "last_error"));
		RF_BUF_AUTO line = { 0 };
		cli_cell(&line, json_object_get(v, "root"));
		rf_buf_printf(&line, ": %s", json_string_value(json_object_get(v, "state")));
		if (until)
			rf_buf_printf(&line, ", good until %s, %" JSON_INTEGER_FORMAT " entries", until,
				      json_integer_value(json_object_get(v, "entries")));
		if (url && *url) {
			rf_buf_printf(&line, ", from ");
			cli_cell(&line, json_object_get(v, "url"));
		}
		if (error && *error) {
			rf_buf_printf(&line, ": ");
			cli_cell(&line, json_object_get(v, "last_error"));
		}
		fprintf(c->out, "%-24s  %s\n", "revocation list", rf_buf_z(&line));
	}
}

/* "3 apps with 1003 ports, steered by the kernel at ports, ports6; not open: tcp/99" */
static void ports_text(const json_t *ports, struct rf_buf *to)
{
	const char *way = json_string_value(json_object_get(ports, "way")), *how = !way ? "" : strcmp(way, "steered") == 0 ? "steered by the kernel"
		: strcmp(way, "bound") == 0 ? "with sockets of their own" : "no listener of protocol ports";
	json_int_t missed = json_integer_value(json_object_get(ports, "missed"));
	const json_t *v;
	size_t i;
	rf_buf_printf(to, "%" JSON_INTEGER_FORMAT " apps with %" JSON_INTEGER_FORMAT " ports, %s", json_integer_value(json_object_get(ports, "apps")),
		      json_integer_value(json_object_get(ports, "ports")), how);
	json_array_foreach(json_object_get(ports, "listeners"), i, v)
		rf_buf_printf(to, "%s%s", i ? ", " : " at ", json_string_value(v));
	json_array_foreach(json_object_get(ports, "failed"), i, v)
		rf_buf_printf(to, "%s%s", i ? ", " : "; not open: ", json_string_value(v));
	if (missed)
		rf_buf_printf(to, "; %" JSON_INTEGER_FORMAT " more have no room", missed);
}

/* The changes that wait to be confirmed, where there are any. */
static void print_apply(struct cli *c, const json_t *apply)
{
	const char *error = json_string_value(json_object_get(apply, "error"));
	if (!json_is_object(apply))
		return;
	fprintf(c->out, "%-24s  apply %s, taken back in %" JSON_INTEGER_FORMAT " s unless it is confirmed (ringfence apply confirm, "
		"ringfence apply rollback)%s%s\n", "waits", json_string_value(json_object_get(apply, "id")),
		json_integer_value(json_object_get(apply, "seconds_left")), error && *error ? ": " : "", error ? error : "");
}

static const char *word_of(const json_t *o, const char *key)
{
	const char *z = json_string_value(json_object_get(o, key));
	return z ? z : "";
}

static void reason_text(struct rf_buf *to, const char *why) { rf_buf_printf(to, *why ? " (%s)" : "%s", why); }

/* "edge0 native, edge1 generic (this driver has no native one); SYN cookies: filter", and a line for each thing that is missing. */
static void print_shield(struct cli *c, const json_t *shield)
{
	RF_BUF_AUTO line = { 0 };
	const char *filter = word_of(shield, "filter");
	const json_t *v;
	size_t i;
	if (!json_is_object(shield) || !*filter)
		return;
	if (strcmp(filter, "none") == 0)
		rf_buf_printf(&line, "NONE: %s; sources are refused only when they connect", word_of(shield, "reason"));
	json_array_foreach(json_object_get(shield, "interfaces"), i, v) {
		rf_buf_printf(&line, "%s%s %s", i ? ", " : line.n ? "; " : "", word_of(v, "name"), word_of(v, "mode"));
		reason_text(&line, word_of(v, "reason"));
	}
	if (strcmp(filter, "none") != 0)
		reason_text(&line, word_of(shield, "reason"));
	if (strcmp(word_of(shield, "syn_cookies"), "off") != 0)
		rf_buf_printf(&line, "; SYN cookies: %s", word_of(shield, "syn_cookies"));
	reason_text(&line, word_of(shield, "syn_cookies_reason"));
	fprintf(c->out, "%-24s  %s\n", "kernel filter", rf_buf_z(&line));
	json_array_foreach(json_object_get(shield, "lacks"), i, v)
		fprintf(c->out, "%-24s  %s\n", "nft lacks", json_string_value(v));
	json_array_foreach(json_object_get(shield, "missing"), i, v)
		fprintf(c->out, "%-24s  %s, for %s: %s\n", "kernel lacks", word_of(v, "what"), word_of(v, "for"), word_of(v, "instead"));
}

/* Numbers of objects on one line, those that there are none of left out; zones and revocation lists a line each. */
static int print_status(struct cli *c, json_t *status)
{
	RF_BUF_AUTO line = { 0 };
	RF_BUF_AUTO ports = { 0 };
	json_t *counts = json_object_get(status, "counts"), *zones = json_object_get(status, "zones"), *v;
	const char *name;
	size_t i;
	json_object_foreach(counts, name, v)
		if (json_integer_value(v))
			rf_buf_printf(&line, "%s%" JSON_INTEGER_FORMAT " %s", line.n ? ", " : "", json_integer_value(v), name);
	json_t *rest = json_copy(status);
	json_object_del(rest, "zones");
	json_object_del(rest, "crls");
	json_object_del(rest, "apply");
	json_object_del(rest, "shield");
	json_object_set_new(rest, "counts", json_string(rf_buf_z(&line)));
	ports_text(json_object_get(status, "ports"), &ports);
	if (json_object_get(rest, "ports"))
		json_object_set_new(rest, "ports", json_string(rf_buf_z(&ports)));
	int rc = cli_print_object(c, rest);
	json_decref(rest);
	json_array_foreach(zones, i, v)
		fprintf(c->out, "%-24s  %s (%s)\n", "zone", json_string_value(json_object_get(v, "name")),
			json_string_value(json_object_get(v, "id")));
	print_shield(c, json_object_get(status, "shield"));
	print_crls(c, json_object_get(status, "crls"));
	print_apply(c, json_object_get(status, "apply"));
	return rc;
}

int cli_run_status(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *status = NULL;
	int rc = cli_path(c, c->command->path, NULL, NULL, &path);
	if (rc == RF_OK)
		rc = cli_result(c, "GET", rf_buf_z(&path), NULL, &status);
	if (rc == RF_OK && c->quiet)
		rc = cli_print_object(c, json_object_get(status, "account"));
	else if (rc == RF_OK)
		rc = c->format == CLI_TABLE ? print_status(c, status) : cli_print(c, status);
	json_decref(status);
	return rc;
}
