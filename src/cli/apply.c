/* cli/apply: bring the state in line with a file.
 *
 * The way of a file: read -> every member held against the table of shapes -> the rules as they would be compiled, and the
 * file's tests run over them: one that fails refuses all -> objects of each kind in order, each made or changed
 * where it differs -> rules -> with --prune what the file does not name is deleted, in the reverse order.
 *
 * An object is known by its name. Only members that the file names are compared and set. The same file a second
 * time changes nothing. All changes go to the API as one batch, for the state that was read: all are made or none. With --dry-run the
 * same lines are printed, and the batch is only tried.
 *
 * With --confirm the changes wait to be confirmed (cli/apply_confirm). Objects are in cli/apply_objects, rules in cli/apply_rules.
 */
#include <stdlib.h>
#include "cli/apply.h"

void apply_say(struct apply *a, char sign, const char *kind, const char *name, const char *more)
{
	static const struct { char sign; const char *colour; } colours[] = {
		{ '+', "\33[32m" }, { '~', "\33[33m" }, { '-', "\33[31m" },
	};
	RF_BUF_AUTO clean = { 0 };
	const char *colour = "";
	for (size_t i = 0; i < 3; i++)
		if (a->c->colour && colours[i].sign == sign)
			colour = colours[i].colour;
	json_t *z = json_string(name);
	cli_cell(&clean, z);
	json_decref(z);
	a->changes++;
	if (!a->c->quiet)
		fprintf(a->c->out, "%s%c %s %s%s%s%s\n", colour, sign, kind, rf_buf_z(&clean), more[0] ? ": " : "", more,
			colour[0] ? "\33[0m" : "");
}

const json_t *apply_named(const json_t *array, const char *name)
{
	size_t i;
	json_t *o;
	json_array_foreach(array, i, o)
		if (strcmp(state_name(o), name) == 0)
			return o;
	return NULL;
}

int apply_request(struct apply *a, const char *method, const char *path, const json_t *body, const char *as)
{
	RF_BUF_AUTO whole = { 0 };
	rf_buf_printf(&whole, "/client/v4%s", path);
	json_t *part = json_pack("{s:s, s:s, s:O*, s:s*}", "method", method, "path", rf_buf_z(&whole), "body", body, "as", as);
	return json_array_append_new(a->parts, part) == 0 ? RF_OK : rf_fail(&a->c->e, RF_E_NOMEM, "memory is exhausted");
}

/* *ret: what waits to be confirmed, or NULL; the caller's. */
static int send_batch(struct apply *a, json_t **ret)
{
	RF_BUF_AUTO path = { 0 };
	json_t *result = NULL;
	if (json_array_size(a->parts) == 0)
		return RF_OK;
	json_t *body = json_pack("{s:O, s:I}", "operations", a->parts, "revision", a->revision);
	if (a->confirm)
		json_object_set_new(body, "confirm", json_integer(a->confirm));
	int rc = cli_path(a->c, "/accounts/{account}/batch", NULL, NULL, &path);
	if (a->c->dry_run)
		rf_buf_printf(&path, "?dry_run=true");
	if (rc == RF_OK)
		rc = cli_result(a->c, "POST", rf_buf_z(&path), body, &result);
	if (rc == RF_OK)
		*ret = json_incref(json_object_get(result, "apply"));
	json_decref(body);
	json_decref(result);
	return rc;
}

static int read_revision(struct apply *a)
{
	RF_BUF_AUTO path = { 0 };
	json_t *result = NULL;
	int rc = cli_path(a->c, "/accounts/{account}/batch", NULL, NULL, &path);
	if (rc == RF_OK)
		rc = cli_result(a->c, "GET", rf_buf_z(&path), NULL, &result);
	a->revision = json_integer_value(json_object_get(result, "revision"));
	json_decref(result);
	return rc;
}

/* --- what is not named --- */

/* A file from before access rules were part of it, or that leaves them to who defends, says nothing about them: none goes. */
static bool silent_about(const struct state_kind *k, const json_t *wanted)
{
	return !wanted && strcmp(k->section, "access_rules") == 0;
}

static int prune_kind(struct apply *a, const struct state_kind *k, const json_t *wanted, const char *zone_id)
{
	RF_BUF_AUTO path = { 0 };
	json_t *all = NULL, *one;
	size_t i;
	int rc = silent_about(k, wanted) ? RF_OK : state_objects(a->c, k, zone_id, &all);
	if (rc == RF_OK)
		rc = cli_path(a->c, k->path, "zone", zone_id ? zone_id : "", &path);
	size_t base = path.n;
	json_array_foreach(all, i, one) {
		if (rc != RF_OK || apply_named(wanted, state_name(one)))
			continue;
		apply_say(a, '-', k->kind, state_name(one), "");
		path.n = base;
		rf_buf_printf(&path, "/%s", apply_text(one, "id"));
		rc = apply_request(a, "DELETE", rf_buf_z(&path), NULL, NULL);
	}
	json_decref(all);
	return rc;
}

static int prune_zones(struct apply *a)
{
	json_t *zones = NULL, *zone;
	size_t i;
	int rc = state_objects(a->c, state_kind("zone"), NULL, &zones);
	json_array_foreach(zones, i, zone) {
		const json_t *wanted = apply_named(json_object_get(a->doc, "zones"), apply_text(zone, "name"));
		for (size_t k = 0; k < state_kind_count && rc == RF_OK && wanted; k++)
			if (state_kinds[k].in_zone)
				rc = prune_kind(a, &state_kinds[k], json_object_get(wanted, state_kinds[k].section), apply_text(zone, "id"));
	}
	json_decref(zones);
	return rc;
}

static int prune(struct apply *a)
{
	int rc = prune_zones(a);
	for (size_t i = state_kind_count; rc == RF_OK && i-- > 0;)
		if (!state_kinds[i].in_zone)
			rc = prune_kind(a, &state_kinds[i], json_object_get(a->doc, state_kinds[i].section), NULL);
	return rc;
}

/* --- the file --- */

static int apply_all(struct apply *a, json_t **ret_waits)
{
	int rc = read_revision(a);
	if (rc == RF_OK)
		rc = apply_rehearse(a);
	if (rc == RF_OK)
		rc = state_objects(a->c, &state_kinds[1], NULL, &a->roots);
	for (size_t i = 0; rc == RF_OK && i < state_kind_count; i++)
		if (!state_kinds[i].in_zone)
			rc = apply_kind(a, &state_kinds[i], json_object_get(a->doc, state_kinds[i].section), NULL);
	if (rc == RF_OK)
		rc = apply_rules(a, json_object_get(a->doc, "rules"), NULL, "account");
	if (rc == RF_OK && a->prune)
		rc = prune(a);
	if (rc == RF_OK)
		rc = send_batch(a, ret_waits);
	json_decref(a->roots);
	if (rc != RF_OK && a->changes && !a->c->dry_run)
		cli_note(a->c, "nothing of this was done");
	return rc;
}

/* --confirm SECONDS. */
static int read_confirm(struct cli *c, unsigned *ret)
{
	const char *z = cli_get(c, "confirm");
	uint64_t n = 0;
	if (z && (!rf_str_u64(rf_str_z(z), &n) || n < 5 || n > 86400))
		return cli_wrong(c, RF_E_RANGE, "--confirm wants seconds, 5 to 86400, not \"%s\"", z);
	*ret = (unsigned)n;
	return RF_OK;
}

static int apply_file(struct apply *a, const char *file)
{
	struct cli *c = a->c;
	json_t *doc = NULL, *waits = NULL;
	int rc = cli_file_json(c, file, &doc);
	if (rc == RF_OK)
		rc = cli_apply_check(c, doc);
	a->doc = doc;
	if (rc == RF_OK)
		rc = apply_all(a, &waits);
	else if (doc)
		snprintf(c->e.file, sizeof c->e.file, "%s", file);
	json_decref(doc);
	if (rc == RF_OK && !c->quiet)
		fprintf(c->out, "%zu change%s %s\n", a->changes, a->changes == 1 ? "" : "s", c->dry_run ? "would be made" : "made");
	if (rc == RF_OK && waits)
		rc = apply_wait(c, waits);
	json_decref(waits);
	return rc;
}

int cli_run_apply(struct cli *c)
{
	const char *file = cli_get(c, "file") ? cli_get(c, "file") : cli_get(c, "FILE");
	if (!file)
		return cli_wrong(c, RF_E_MISSING, "name a file, or \"-\" for the input; see ringfence apply --help");
	struct apply a = { .c = c, .prune = cli_has(c, "prune"), .parts = json_array() };
	int rc = read_confirm(c, &a.confirm);
	if (rc == RF_OK)
		rc = apply_file(&a, file);
	json_decref(a.parts);
	return rc;
}
