/* cli/push: as many entries as a list can take, from a file, as one change.
 *
 * The way of a file: each line is read, held against the kind of the list, and written as JSON to a file that has no name -> one
 * bad line ends it, before anything is sent -> the file is sent as the body of one request -> the operation that it starts
 * is waited for. A line is a value, or a value and a comment with a comma between (either may be in quotes, where two
 * stand for one), or a JSON object as the API has it.
 */
#include <stdlib.h>
#include "cli/list.h"
#include "policy/lists.h"

enum { LINE_MAX_BYTES = 16384, WAIT_MS_MAX = 500 };

struct push {
	struct cli *c;
	FILE *in, *body;
	const char *name, *kind;
	unsigned line;
	size_t entries;
};

static int bad_line(struct push *p, int code, const char *why)
{
	int rc = rf_fail_at(&p->c->e, code, p->line, 1, "%s; nothing was sent", why);
	snprintf(p->c->e.file, sizeof p->c->e.file, "%s", p->name);
	return rc;
}

/* The next field of a line; false where a quotation does not end. */
static bool field(struct rf_str *rest, struct rf_buf *to)
{
	rf_buf_clear(to);
	if (!rest->n || rest->p[0] != '"') {
		size_t n = rf_str_find(*rest, ',');
		rf_buf_add(to, rf_str_trim((struct rf_str){ rest->p, n }));
		*rest = rf_str_skip(*rest, n + 1);
		return true;
	}
	for (size_t i = 1; i < rest->n; i++) {
		if (rest->p[i] != '"') {
			rf_buf_addc(to, rest->p[i]);
		} else if (i + 1 < rest->n && rest->p[i + 1] == '"') {
			rf_buf_addc(to, rest->p[i++]);
		} else {
			struct rf_str after = rf_str_trim(rf_str_skip(*rest, i + 1));
			*rest = rf_str_skip(after, after.n ? 1 : 0);
			return !after.n || after.p[0] == ',';
		}
	}
	return false;
}

static json_t *from_csv(struct push *p, struct rf_str line)
{
	RF_BUF_AUTO value = { 0 };
	RF_BUF_AUTO comment = { 0 };
	if (!field(&line, &value) || !field(&line, &comment) || line.n)
		return NULL;
	json_t *item = cli_item_make(p->kind, rf_buf_z(&value));
	if (item && comment.n && json_object_set_new(item, "comment", json_string(rf_buf_z(&comment))) != 0) {
		json_decref(item);
		return NULL;
	}
	return item;
}

/* Whether the API will take it: its value has the right kind and writing. */
static int check(struct push *p, const json_t *item)
{
	char room[RF_LIST_ITEM_SIZE + 1];
	RF_BUF_AUTO text = { 0 };
	struct rf_str ret;
	struct rf_err e;
	enum rf_list_kind kind;
	if (!json_object_get(item, p->kind))
		return bad_line(p, RF_E_TYPE, "an entry of this list has another kind of value");
	if (!rf_list_kind_find(rf_str_z(p->kind), &kind))
		return RF_OK; /* redirects: the API says what is wrong */
	cli_item_text(&text, item);
	int rc = rf_list_item(kind, rf_buf_str(&text), room, &ret, &e);
	return rc == RF_OK ? rc : bad_line(p, rc, e.text);
}

static int take_line(struct push *p, struct rf_str line)
{
	json_error_t why;
	line = rf_str_trim(line);
	if (!line.n || line.p[0] == '#')
		return RF_OK;
	if (p->entries == RF_LIST_ITEMS)
		return bad_line(p, RF_E_TOO_LARGE, "a list takes at most 1000000 entries");
	bool object = line.p[0] == '{';
	json_t *item = object ? json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, &why) : from_csv(p, line);
	if (!item)
		return bad_line(p, RF_E_SYNTAX, object ? why.text : "this is no value, nor a value and a comment");
	int rc = check(p, item);
	char *text = rc == RF_OK ? json_dumps(item, JSON_COMPACT) : NULL;
	if (rc == RF_OK && (!text || fprintf(p->body, "%s%s", p->entries ? "," : "[", text) < 0))
		rc = rf_fail(&p->c->e, RF_E_DISK, "there is no room for a copy of the entries");
	p->entries++;
	free(text);
	json_decref(item);
	return rc;
}

static int take_lines(struct push *p)
{
	char line[LINE_MAX_BYTES];
	int rc = RF_OK;
	while (rc == RF_OK && fgets(line, sizeof line, p->in)) {
		size_t n = strlen(line);
		p->line++;
		if (n && line[n - 1] != '\n' && !feof(p->in))
			return bad_line(p, RF_E_TOO_LARGE, "the line is longer than an entry may be, or holds a zero byte");
		while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			n--;
		rc = take_line(p, (struct rf_str){ line, n });
	}
	if (rc == RF_OK && ferror(p->in))
		rc = rf_fail(&p->c->e, RF_E_IO, "%s cannot be read to its end", p->name);
	if (rc == RF_OK && fprintf(p->body, p->entries ? "]" : "[]") < 0)
		rc = rf_fail(&p->c->e, RF_E_DISK, "there is no room for a copy of the entries");
	return rc;
}

static void progress(struct cli *c, const char *what, long long done, long long of)
{
	if (c->terminal && !c->quiet && of > 0)
		fprintf(c->err, "\r%s %3lld %%\33[K", what, done * 100 / of);
}

int cli_operation_wait(struct cli *c, const json_t *operation)
{
	RF_BUF_AUTO path = { 0 };
	const char *id = json_string_value(json_object_get(operation, "operation_id")), *state = "";
	unsigned ms = 10;
	int rc = id ? cli_path(c, "/accounts/{account}/rules/lists/bulk_operations/{operation}", "operation", id, &path) : RF_OK;
	json_t *now = NULL;
	while (id && rc == RF_OK) {
		json_decref(now);
		now = NULL;
		rc = cli_result(c, "GET", rf_buf_z(&path), NULL, &now);
		state = json_string_value(json_object_get(now, "status"));
		if (rc != RF_OK || !state || strcmp(state, "completed") == 0 || strcmp(state, "failed") == 0)
			break;
		progress(c, "in force:", json_integer_value(json_object_get(now, "done")), json_integer_value(json_object_get(now, "entries")));
		c->sleep_ms(ms);
		ms = ms * 2 < WAIT_MS_MAX ? ms * 2 : WAIT_MS_MAX;
	}
	if (rc == RF_OK && id && state && strcmp(state, "failed") == 0) {
		const char *why = json_string_value(json_object_get(now, "error"));
		rc = rf_fail(&c->e, RF_E_INVALID, "%s", why ? why : "the change of the list failed; nothing was changed");
	}
	if (id && c->terminal && !c->quiet)
		fprintf(c->err, "\r\33[K");
	json_decref(now);
	return rc;
}

static int push(struct push *p, const char *path)
{
	struct cli *c = p->c;
	json_t *operation = NULL;
	p->body = tmpfile();
	int rc = p->body ? take_lines(p) : rf_fail(&c->e, RF_E_DISK, "there is no place for a copy of the entries");
	if (rc == RF_OK && p->entries == 0 && !cli_has(c, "replace"))
		rc = rf_fail(&c->e, RF_E_MISSING, "%s has no entries", p->name);
	if (rc == RF_OK)
		rc = cli_upload(c, cli_has(c, "replace") ? "PUT" : "POST", path, p->body, progress, &operation);
	if (rc == RF_OK)
		rc = cli_operation_wait(c, operation);
	if (rc == RF_OK && !c->quiet)
		fprintf(c->out, "%zu entries %s list %s\n", p->entries, c->dry_run ? "would go into" : "are in force in", cli_get(c, "LIST"));
	if (p->body)
		fclose(p->body);
	json_decref(operation);
	return rc;
}

int cli_run_list_push(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	char kind[16];
	struct push p = { .c = c, .name = cli_get(c, "FILE"), .kind = kind };
	int rc = cli_list_items_path(c, &path, kind);
	if (rc == RF_OK && c->dry_run)
		rf_buf_printf(&path, "?dry_run=true");
	if (rc != RF_OK)
		return rc;
	p.in = strcmp(p.name, "-") == 0 ? c->in : fopen(p.name, "r");
	if (!p.in)
		return rf_fail(&c->e, RF_E_NOT_FOUND, "cannot read %s", p.name);
	rc = push(&p, rf_buf_z(&path));
	if (p.in != c->in)
		fclose(p.in);
	return rc;
}
