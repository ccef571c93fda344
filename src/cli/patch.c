/* cli/patch: virtual patches: what takes more than one request, or says more than an object.
 *
 * new: a name where none is given (that of the CVE), tests from a file. replay: begun, followed to its end, shown.
 */
#include <stdlib.h>
#include "cli/cli.h"

enum { POLL_MS = 200 };

static const char *text(const json_t *o, const char *name)
{
	const char *z = json_string_value(json_object_get(o, name));
	return z ? z : "";
}

static int path_of(struct cli *c, const char *below, struct rf_buf *to)
{
	char id[33];
	int rc = cli_resolve(c, "patch", cli_get(c, "PATCH"), id);
	if (rc == RF_OK)
		rc = cli_path(c, "/accounts/{account}/patches/{patch}", "patch", id, to);
	rf_buf_add(to, rf_str_z(below));
	return rc;
}

static int member_file(struct cli *c, json_t *body, const char *option, const char *member)
{
	json_t *v = NULL;
	if (!cli_has(c, option))
		return RF_OK;
	int rc = cli_file_json(c, cli_get(c, option), &v);
	return rc == RF_OK && json_object_set_new(body, member, v) != 0 ? rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted") : rc;
}

static int parameters(struct cli *c, json_t *body)
{
	json_t *v = NULL;
	if (!cli_has(c, "parameters"))
		return RF_OK;
	int rc = cli_yaml_read(rf_str_z(cli_get(c, "parameters")), "--parameters", &v, &c->e);
	return rc == RF_OK && json_object_set_new(body, "action_parameters", v) != 0 ? RF_E_NOMEM : rc;
}

/* "cve-2014-6271" where it has no name of its own. */
static int name(struct cli *c, json_t *body)
{
	char to[101];
	size_t n = 0;
	const char *from = json_string_value(json_array_get(json_object_get(body, "cve"), 0));
	if (json_object_get(body, "name"))
		return RF_OK;
	if (!from)
		return cli_wrong(c, RF_E_MISSING, "a patch wants --cve or --name");
	for (; from[n] && n + 1 < sizeof to; n++)
		to[n] = (char)rf_lower((unsigned char)from[n]);
	to[n] = '\0';
	return json_object_set_new(body, "name", json_string(to)) == 0 ? RF_OK : rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
}

int cli_run_patch_new(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *body = NULL, *made = NULL;
	bool new = strcmp(c->command->verb, "new") == 0;
	int rc = cli_body(c, &body);
	if (rc == RF_OK)
		rc = member_file(c, body, "tests", "tests");
	if (rc == RF_OK)
		rc = parameters(c, body);
	if (rc == RF_OK && new)
		rc = name(c, body);
	if (rc == RF_OK && !new && json_object_size(body) == 0)
		rc = cli_wrong(c, RF_E_MISSING, "say what to change; see ringfence patch edit --help");
	if (rc == RF_OK)
		rc = new ? cli_path(c, c->command->path, NULL, NULL, &path) : path_of(c, "", &path);
	if (c->dry_run)
		rf_buf_printf(&path, "?dry_run=true");
	if (rc == RF_OK)
		rc = cli_result(c, c->command->method, rf_buf_z(&path), body, &made);
	if (rc == RF_OK)
		rc = cli_print_done(c, c->command->done, made);
	json_decref(body);
	json_decref(made);
	return rc;
}

/* A percentage, with a fraction where it has one. */
static int percent(struct cli *c, json_t *body)
{
	const char *z = cli_get(c, "percent");
	char *end;
	if (!z)
		return RF_OK;
	double p = strtod(z, &end);
	if (end == z || (*end && strcmp(end, "%") != 0))
		return cli_wrong(c, RF_E_TYPE, "--percent wants a number, not \"%s\"", z);
	json_t *v = p == (double)(long)p ? json_integer((long)p) : json_real(p);
	return json_object_set_new(body, "percent", v) == 0 ? RF_OK : rf_fail(&c->e, RF_E_RANGE, "--percent is no number");
}

int cli_run_patch_canary(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *body = NULL, *moved = NULL;
	int rc = cli_body(c, &body);
	if (rc == RF_OK)
		rc = percent(c, body);
	if (rc == RF_OK)
		rc = path_of(c, c->dry_run ? "/canary?dry_run=true" : "/canary", &path);
	if (rc == RF_OK)
		rc = cli_result(c, "POST", rf_buf_z(&path), body, &moved);
	if (rc == RF_OK && c->format == CLI_TABLE && !c->quiet && !c->dry_run)
		cli_note(c, "it acts on %" JSON_INTEGER_FORMAT " of the %" JSON_INTEGER_FORMAT " devices that need it",
			 json_integer_value(json_object_get(json_object_get(moved, "fleet"), "canary")),
			 json_integer_value(json_object_get(json_object_get(moved, "fleet"), "needed")));
	if (rc == RF_OK)
		rc = cli_print_done(c, c->command->done, moved);
	json_decref(body);
	json_decref(moved);
	return rc;
}

/* --- replay --- */

static bool running(const json_t *replay) { return strcmp(text(replay, "status"), "running") == 0; }

static void progress(struct cli *c, const json_t *replay)
{
	if (c->terminal && !c->quiet)
		fprintf(c->err, "\r%" JSON_INTEGER_FORMAT " %% of the stored traffic, %" JSON_INTEGER_FORMAT " lines ",
			json_integer_value(json_object_get(replay, "percent")), json_integer_value(json_object_get(replay, "lines")));
}

static int follow(struct cli *c, const char *path, json_t **replay)
{
	int rc = RF_OK;
	while (rc == RF_OK && running(*replay)) {
		json_t *now = NULL;
		progress(c, *replay);
		c->sleep_ms(POLL_MS);
		rc = cli_result(c, "GET", path, NULL, &now);
		if (rc == RF_OK) {
			json_decref(*replay);
			*replay = now;
		}
	}
	if (c->terminal && !c->quiet)
		fprintf(c->err, "\r\33[K");
	return rc;
}

static int rows(struct cli *c, const json_t *replay, const char *member, const char *title, const char *columns)
{
	const json_t *all = json_object_get(replay, member);
	if (!json_array_size(all))
		return RF_OK;
	fprintf(c->out, "\n%s\n", title);
	return cli_print_list(c, all, columns);
}

static int show_replay(struct cli *c, const json_t *r)
{
	if (c->format != CLI_TABLE || c->quiet)
		return cli_print(c, r);
	const char *const numbers[] = { "would_stop", "requests", "cannot_know", "healthy_devices", "lines", "bad_lines" };
	json_int_t n[6];
	size_t i;
	json_t *at;
	for (i = 0; i < 6; i++)
		n[i] = json_integer_value(json_object_get(r, numbers[i]));
	fprintf(c->out, "would have stopped %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " requests; %" JSON_INTEGER_FORMAT
		" more cannot be known from what is stored\n", n[0], n[1], n[2]);
	fprintf(c->out, "devices that look healthy among those: %" JSON_INTEGER_FORMAT "\n", n[3]);
	if (n[5])
		fprintf(c->out, "%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " lines could not be read:\n", n[5], n[4]);
	json_array_foreach(json_object_get(r, "bad_at"), i, at)
		fprintf(c->out, "  %s\n", json_string_value(at));
	int rc = rows(c, r, "devices", "by device", "name class healthy requests id");
	if (rc == RF_OK)
		rc = rows(c, r, "hosts", "by host", "host requests");
	if (rc == RF_OK)
		rc = rows(c, r, "paths", "by path", "path requests");
	return rc == RF_OK ? rows(c, r, "unknown_fields", "asked for, and not stored", "field requests") : rc;
}

int cli_run_patch_replay(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *body = NULL, *replay = NULL;
	int rc = cli_body(c, &body);
	if (rc == RF_OK)
		rc = path_of(c, "/replay", &path);
	if (rc == RF_OK && cli_has(c, "cancel"))
		rc = cli_result(c, "DELETE", rf_buf_z(&path), NULL, &replay);
	else if (rc == RF_OK && cli_has(c, "status"))
		rc = cli_result(c, "GET", rf_buf_z(&path), NULL, &replay);
	else if (rc == RF_OK)
		rc = cli_result(c, "POST", rf_buf_z(&path), body, &replay);
	if (rc == RF_OK && !cli_has(c, "no-wait") && !cli_has(c, "status"))
		rc = follow(c, rf_buf_z(&path), &replay);
	if (rc == RF_OK)
		rc = show_replay(c, replay);
	json_decref(body);
	json_decref(replay);
	return rc;
}

/* --- tests, exposure --- */

int cli_run_patch_test(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *result = NULL, *f;
	size_t i;
	int rc = path_of(c, "/test", &path);
	if (rc == RF_OK)
		rc = cli_result(c, "POST", rf_buf_z(&path), NULL, &result);
	if (rc != RF_OK)
		return rc;
	const json_t *failed = json_object_get(result, "failed");
	if (c->format != CLI_TABLE) {
		rc = cli_print(c, result);
	} else {
		json_array_foreach(failed, i, f)
			cli_note(c, "FAILED %s %" JSON_INTEGER_FORMAT ": %s", text(f, "kind"), json_integer_value(json_object_get(f, "index")),
				 text(f, "why"));
		fprintf(c->out, "%" JSON_INTEGER_FORMAT " attacks, %" JSON_INTEGER_FORMAT " harmless requests, %zu failed\n",
			json_integer_value(json_object_get(result, "attacks")), json_integer_value(json_object_get(result, "harmless")),
			json_array_size(failed));
	}
	if (rc == RF_OK && json_array_size(failed))
		rc = rf_fail(&c->e, RF_E_CONFLICT, "%zu of the patch's own tests failed", json_array_size(failed));
	json_decref(result);
	return rc;
}

static int page(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *html = NULL;
	int rc = cli_path(c, "/accounts/{account}/patches/exposure.html", NULL, NULL, &path);
	if (rc == RF_OK)
		rc = cli_call(c, "GET", rf_buf_z(&path), NULL, &html);
	if (rc == RF_OK)
		fwrite(json_string_value(html), 1, json_string_length(html), c->out);
	json_decref(html);
	return rc;
}

int cli_run_patch_exposure(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *all = NULL, *one;
	size_t i;
	if (cli_has(c, "html"))
		return page(c);
	int rc = cli_path(c, c->command->path, NULL, NULL, &path);
	if (cli_has(c, "devices"))
		rf_buf_printf(&path, "?devices=true");
	if (rc == RF_OK)
		rc = cli_result(c, "GET", rf_buf_z(&path), NULL, &all);
	if (rc == RF_OK && (c->format != CLI_TABLE || !cli_has(c, "devices")))
		rc = cli_print_list(c, all, c->command->columns);
	else
		json_array_foreach(all, i, one) {
			fprintf(c->out, "%s%s %s\n", i ? "\n" : "", text(one, "cve"), text(one, "title"));
			if (rc == RF_OK)
				rc = cli_print_list(c, json_object_get(one, "devices"), "name class firmware status since");
		}
	json_decref(all);
	return rc;
}
