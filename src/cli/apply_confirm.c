/* cli/apply_confirm: changes that wait to be confirmed.
 *
 * On a terminal `apply --confirm` asks whether to keep them and counts the seconds; elsewhere it says how to. The edge keeps the time: a
 * tool that is gone, or that reaches the edge no more, confirms nothing, and so all is taken back. The answer goes over a new
 * connection, because that is what has to work with the changes.
 */
#include <poll.h>
#include "cli/apply.h"

enum answer { KEEP, TAKE_BACK, LATE };

static int64_t left_of(const json_t *made) { return json_integer_value(json_object_get(made, "seconds_left")); }

static int end(struct cli *c, const char *id, const char *how, json_t **ret)
{
	RF_BUF_AUTO path = { 0 };
	cli_http_close(c);
	int rc = cli_path(c, "/accounts/{account}/applies/{id}", "id", id, &path);
	rf_buf_printf(&path, "/%s%s", how, c->dry_run ? "?dry_run=true" : "");
	return rc == RF_OK ? cli_result(c, "POST", rf_buf_z(&path), NULL, ret) : rc;
}

/* What had changed meanwhile and was left. */
static void tell_left(struct cli *c, const json_t *made)
{
	size_t i;
	json_t *one;
	json_array_foreach(json_object_get(made, "left"), i, one)
		cli_note(c, "%s %s (%s) was %s", apply_text(one, "kind"), apply_text(one, "name"), apply_text(one, "id"), apply_text(one, "what"));
}

static int finish(struct cli *c, const char *id, bool keep)
{
	json_t *made = NULL;
	int rc = end(c, id, keep ? "confirm" : "rollback", &made);
	if (rc == RF_OK) {
		if (c->format != CLI_TABLE)
			rc = cli_print(c, made);
		else if (c->dry_run)
			fprintf(c->out, "apply %s would be %s\n", id, keep ? "kept" : "taken back");
		else
			fprintf(c->out, keep ? "apply %s is kept\n" : "apply %s is taken back: everything is as before\n", id);
		tell_left(c, made);
	} else {
		cli_note(c, "apply %s could not be %s; without a confirmation the edge takes it back by itself", id, keep ? "confirmed" :
			 "taken back now");
	}
	json_decref(made);
	return rc;
}

/* One line of the input: KEEP where it begins with y. */
static enum answer answer_of(struct cli *c)
{
	char line[64];
	if (!fgets(line, sizeof line, c->in))
		return TAKE_BACK;
	return line[0] == 'y' || line[0] == 'Y' ? KEEP : TAKE_BACK;
}

static enum answer ask(struct cli *c, int64_t seconds)
{
	uint64_t end = c->clock.mono(c->clock.ctx) + (uint64_t)seconds * RF_NS_S, now;
	while ((now = c->clock.mono(c->clock.ctx)) < end) {
		struct pollfd p = { .fd = fileno(c->in), .events = POLLIN };
		fprintf(c->out, "\rKeep these changes? [y/N] (%lld s left) ", (long long)((end - now + RF_NS_S - 1) / RF_NS_S));
		fflush(c->out);
		int got = poll(&p, 1, 1000);
		if (c->stop()) {
			fputc('\n', c->out);
			return TAKE_BACK;
		}
		if (got > 0)
			return answer_of(c);
	}
	fputc('\n', c->out);
	return LATE;
}

int apply_wait(struct cli *c, const json_t *made)
{
	const char *id = apply_text(made, "id");
	if (!c->asks) {
		if (c->quiet)
			fprintf(c->out, "%s\n", id);
		else
			cli_note(c, "this is taken back in %lld s, unless you confirm it: ringfence apply confirm %s", (long long)left_of(made), id);
		return RF_OK;
	}
	switch (ask(c, left_of(made))) {
	case KEEP:
		return finish(c, id, true);
	case TAKE_BACK:
		return finish(c, id, false);
	default:
		return rf_fail(&c->e, RF_E_TIMEOUT, "nobody confirmed apply %s: the edge takes it back", id);
	}
}

/* --- commands --- */

/* The one that waits; NULL where there is none. */
static int find(struct cli *c, json_t **ret)
{
	RF_BUF_AUTO path = { 0 };
	json_t *all = NULL;
	int rc = cli_path(c, "/accounts/{account}/applies?state=pending", NULL, NULL, &path);
	if (rc == RF_OK)
		rc = cli_result(c, "GET", rf_buf_z(&path), NULL, &all);
	if (rc == RF_OK)
		*ret = json_incref(json_array_get(all, 0));
	json_decref(all);
	return rc;
}

static int finish_named(struct cli *c, bool keep)
{
	const char *id = cli_get(c, "APPLY");
	json_t *made = NULL;
	int rc = id ? RF_OK : find(c, &made);
	if (rc == RF_OK && !id && !made)
		rc = rf_fail(&c->e, RF_E_NOT_FOUND, "nothing waits to be confirmed");
	if (rc == RF_OK)
		rc = finish(c, id ? id : apply_text(made, "id"), keep);
	json_decref(made);
	return rc;
}

int cli_run_apply_confirm(struct cli *c) { return finish_named(c, true); }
int cli_run_apply_rollback(struct cli *c) { return finish_named(c, false); }

int cli_run_apply_pending(struct cli *c)
{
	json_t *made = NULL;
	int rc = find(c, &made);
	if (rc == RF_OK && c->format != CLI_TABLE)
		rc = cli_print(c, made ? made : json_null());
	else if (rc == RF_OK && !made && !c->quiet)
		fprintf(c->out, "nothing waits to be confirmed\n");
	else if (rc == RF_OK && made && c->quiet)
		fprintf(c->out, "%s\n", apply_text(made, "id"));
	else if (rc == RF_OK && made)
		rc = cli_print_object(c, made);
	json_decref(made);
	return rc;
}
