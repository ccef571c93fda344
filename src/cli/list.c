/* cli/list: entries of named lists. A value is shown and taken as one text, whatever the list's kind. */
#include <stdlib.h>
#include "cli/list.h"

void cli_item_text(struct rf_buf *to, const json_t *item)
{
	const json_t *host = json_object_get(json_object_get(item, "hostname"), "url_hostname");
	const json_t *redirect = json_object_get(json_object_get(item, "redirect"), "source_url");
	static const char *const members[] = { "ip", "asn", "string", "hash" };
	for (size_t i = 0; i < 4; i++)
		if (json_object_get(item, members[i]))
			cli_cell(to, json_object_get(item, members[i]));
	size_t at = to->n;
	if (host || redirect)
		cli_cell(to, host ? host : redirect);
	if (host && to->n > at && to->p[at] == '*' && json_is_false(json_object_get(json_object_get(item, "hostname"), "exclude_exact_hostname")))
		to->p[at] = '+';
}

json_t *cli_item_make(const char *kind, const char *value)
{
	if (strcmp(kind, "ip") == 0)
		return json_pack("{s:s}", "ip", value);
	if (strcmp(kind, "hostname") == 0 && strncmp(value, "+.", 2) == 0) /* the name and all below */
		return json_pack("{s:{s:s+, s:b}}", "hostname", "url_hostname", "*", value + 1, "exclude_exact_hostname", 0);
	if (strcmp(kind, "hostname") == 0)
		return json_pack("{s:{s:s}}", "hostname", "url_hostname", value);
	if (strcmp(kind, "hash") == 0)
		return json_pack("{s:s}", "hash", value);
	if (strcmp(kind, "asn") == 0)
		return json_pack("{s:I}", "asn", (json_int_t)strtoll(value, NULL, 10));
	return json_pack("{s:s}", "string", value);
}

static int with_value(struct cli *c, json_t *item, void *arg)
{
	RF_BUF_AUTO text = { 0 };
	cli_item_text(&text, item);
	json_object_set_new(item, "value", json_string(rf_buf_z(&text)));
	return json_array_append(arg, item) == 0 ? RF_OK : rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
}

static int items_path(struct cli *c, char id[33], struct rf_buf *path)
{
	int rc = cli_resolve(c, "list", cli_get(c, "LIST"), id);
	return rc == RF_OK ? cli_path(c, c->command->path, "list", id, path) : rc;
}

int cli_run_list_items(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	char id[33];
	json_t *items = json_array();
	int rc = items_path(c, id, &path);
	if (rc == RF_OK && cli_get(c, "search")) {
		rf_buf_printf(&path, "?search=");
		cli_escape(&path, cli_get(c, "search"));
	}
	if (rc == RF_OK)
		rc = cli_each(c, rf_buf_z(&path), with_value, items);
	if (rc == RF_OK)
		rc = cli_print_list(c, items, c->command->columns);
	json_decref(items);
	return rc;
}

static int kind_of(struct cli *c, const char *id, char kind[16])
{
	RF_BUF_AUTO path = { 0 };
	json_t *list = NULL;
	int rc = cli_path(c, "/accounts/{account}/rules/lists/{list}", "list", id, &path);
	if (rc == RF_OK)
		rc = cli_result(c, "GET", rf_buf_z(&path), NULL, &list);
	const char *z = json_string_value(json_object_get(list, "kind"));
	snprintf(kind, 16, "%s", z ? z : "string");
	json_decref(list);
	return rc;
}

int cli_list_items_path(struct cli *c, struct rf_buf *path, char kind[16])
{
	char id[33];
	int rc = items_path(c, id, path);
	return rc == RF_OK ? kind_of(c, id, kind) : rc;
}

static int add_item(struct cli *c, json_t *items, const char *kind, const char *value)
{
	const char *comment = cli_get(c, "comment");
	json_t *item = cli_item_make(kind, value);
	if (item && comment)
		json_object_set_new(item, "comment", json_string(comment));
	return json_array_append_new(items, item) == 0 ? RF_OK : rf_fail(&c->e, RF_E_TYPE, "\"%s\" is not UTF-8 text", value);
}

/* One entry a line; what follows # and blank lines do not count. */
static int from_file(struct cli *c, json_t *items, const char *kind, const char *name)
{
	RF_BUF_AUTO b = { 0 };
	int rc = cli_file(c, name, &b);
	struct rf_str rest = rf_buf_str(&b), line;
	while (rc == RF_OK && rf_str_split(&rest, '\n', &line)) {
		char value[1024];
		line.n = rf_str_find(line, '#');
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		line = rf_str_trim(line);
		if (!line.n)
			continue;
		if (line.n >= sizeof value)
			return rf_fail(&c->e, RF_E_TOO_LARGE, "a line of %s is longer than an entry may be", name);
		snprintf(value, sizeof value, "%.*s", RF_ARG(line));
		rc = add_item(c, items, kind, value);
	}
	return rc;
}

int cli_run_list_put(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	char kind[16];
	const char *value, *file = cli_get(c, "file");
	json_t *items = json_array(), *operation = NULL;
	bool replace = cli_has(c, "replace");
	int rc = cli_list_items_path(c, &path, kind);
	for (size_t i = 0; rc == RF_OK && (value = cli_get_nth(c, "VALUE", i)); i++)
		rc = add_item(c, items, kind, value);
	if (rc == RF_OK && file)
		rc = from_file(c, items, kind, file);
	if (rc == RF_OK && json_array_size(items) == 0 && !(file && replace))
		rc = cli_wrong(c, RF_E_MISSING, "give entries, or a file of them with --file");
	if (rc == RF_OK)
		rc = cli_result(c, replace ? "PUT" : "POST", rf_buf_z(&path), items, &operation);
	if (rc == RF_OK)
		rc = cli_operation_wait(c, operation);
	if (rc == RF_OK && !c->quiet)
		fprintf(c->out, "%zu entr%s in list %s\n", json_array_size(items), json_array_size(items) == 1 ? "y" : "ies", cli_get(c, "LIST"));
	json_decref(items);
	json_decref(operation);
	return rc;
}

/* Entries of a list that are to go: of all values at once, or of one. */
struct leaving {
	json_t *ids;
	const char *one;
};

static bool meant(struct cli *c, const struct leaving *l, const char *text, const char *id)
{
	const char *value;
	if (l->one)
		return strcmp(l->one, text) == 0;
	for (size_t i = 0; (value = cli_get_nth(c, "VALUE", i)); i++)
		if (strcmp(value, text) == 0 || strcmp(value, id) == 0)
			return true;
	return false;
}

static int mark(struct cli *c, json_t *item, void *arg)
{
	RF_BUF_AUTO text = { 0 };
	struct leaving *l = arg;
	const char *id = json_string_value(json_object_get(item, "id"));
	cli_item_text(&text, item);
	if (id && meant(c, l, rf_buf_z(&text), id))
		json_array_append_new(l->ids, json_pack("{s:s}", "id", id));
	return RF_OK;
}

/* Few values are searched for, which the edge does without sending a million entries; many, or ids, are met on a walk over all. */
static int find_leaving(struct cli *c, const char *path, json_t *ids)
{
	enum { FEW = 8, ID = 32 };
	struct leaving l = { ids, NULL };
	const char *value;
	size_t n = 0;
	bool walk = false;
	for (; (value = cli_get_nth(c, "VALUE", n)); n++)
		walk |= strlen(value) == ID || value[0] == '*' || value[0] == '+';
	if (walk || n > FEW)
		return cli_each(c, path, mark, &l);
	for (size_t i = 0; (l.one = cli_get_nth(c, "VALUE", i)); i++) {
		RF_BUF_AUTO at = { 0 };
		rf_buf_printf(&at, "%s?search=", path);
		cli_escape(&at, l.one);
		int rc = cli_each(c, rf_buf_z(&at), mark, &l);
		if (rc != RF_OK)
			return rc;
	}
	return RF_OK;
}

int cli_run_list_remove(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	char id[33];
	json_t *ids = json_array(), *body = NULL, *operation = NULL;
	int rc = items_path(c, id, &path);
	if (rc == RF_OK)
		rc = find_leaving(c, rf_buf_z(&path), ids);
	if (rc == RF_OK && json_array_size(ids) == 0)
		rc = rf_fail(&c->e, RF_E_NOT_FOUND, "none of these is in list %s", cli_get(c, "LIST"));
	if (rc == RF_OK) {
		body = json_pack("{s:O}", "items", ids);
		rc = cli_result(c, "DELETE", rf_buf_z(&path), body, &operation);
	}
	if (rc == RF_OK)
		rc = cli_operation_wait(c, operation);
	if (rc == RF_OK && !c->quiet)
		fprintf(c->out, "%zu removed from list %s\n", json_array_size(ids), cli_get(c, "LIST"));
	json_decref(ids);
	json_decref(body);
	json_decref(operation);
	return rc;
}
