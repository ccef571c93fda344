/* cli/generic: a command that is one request, made from its row of the table.
 *
 * Values fill the path ({device} by id or name), the query, and the body at the members that the row names; the
 * answer is printed as a list, as an object, or as a sentence where the row has one.
 */
#include <stdlib.h>
#include "cli/cli.h"

/* The member at "origins/0/url" or "name", made where it is missing. Takes `value`. */
static int put(struct cli *c, json_t *at, const char *path, json_t *value)
{
	char name[64];
	for (;;) {
		size_t n = strcspn(path, "/");
		snprintf(name, sizeof name, "%.*s", (int)n, path);
		if (!path[n])
			break;
		bool array = path[n + 1] >= '0' && path[n + 1] <= '9';
		json_t *next = json_object_get(at, name);
		if (!next) {
			next = array ? json_array() : json_object();
			json_object_set_new(at, name, next);
		}
		path += n + 1;
		if (array) {
			if (json_array_size(next) == 0)
				json_array_append_new(next, json_object());
			next = json_array_get(next, 0);
			path += strcspn(path, "/") + 1;
		}
		at = next;
	}
	if (json_object_set_new(at, name, value) != 0)
		return rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
	return RF_OK;
}

static int integer(struct cli *c, const struct cli_value *v, json_t **ret)
{
	char *end;
	long long n = strtoll(v->text, &end, 10);
	if (!v->text[0] || *end)
		return cli_wrong(c, RF_E_TYPE, "--%s wants a whole number, not \"%s\"", v->option->name, v->text);
	*ret = json_integer(n);
	return RF_OK;
}

static int each_text(struct cli *c, json_t *body, const struct cli_value *v)
{
	char id[33];
	const char *text = v->text;
	if (v->option->use == CLI_ROOTS && strcmp(text, "device_ca") != 0) {
		int rc = cli_resolve(c, "root", text, id);
		if (rc != RF_OK)
			return rc;
		text = id;
	}
	json_t *array = json_object_get(body, v->option->to);
	if (!array) {
		array = json_array();
		json_object_set_new(body, v->option->to, array);
	}
	if (json_array_append_new(array, json_string(text)) != 0)
		return rf_fail(&c->e, RF_E_TYPE, "\"%s\" is not UTF-8 text", v->text);
	return RF_OK;
}

static int string(struct cli *c, const char *z, json_t **ret)
{
	*ret = json_string(z);
	return *ret ? RF_OK : rf_fail(&c->e, RF_E_TYPE, "a text is not UTF-8");
}

static int file_text(struct cli *c, const char *path, json_t **ret)
{
	RF_BUF_AUTO b = { 0 };
	int rc = cli_file(c, path, &b);
	return rc == RF_OK ? string(c, rf_buf_z(&b), ret) : rc;
}

/* "health/fall=2": a number, true, a list ... where it is JSON, else the text itself. */
static int set_member(struct cli *c, json_t *body, const char *text)
{
	size_t n = strcspn(text, "=");
	char member[64];
	if (!text[n] || !n || n >= sizeof member)
		return cli_wrong(c, RF_E_SYNTAX, "--set wants MEMBER=VALUE, not \"%s\"", text);
	snprintf(member, sizeof member, "%.*s", (int)n, text);
	json_t *value = json_loads(text + n + 1, JSON_DECODE_ANY, NULL);
	int rc = value ? RF_OK : string(c, text + n + 1, &value);
	return rc == RF_OK ? put(c, body, member, value) : rc;
}

static int body_member(struct cli *c, json_t *body, const struct cli_value *v)
{
	char member[64], id[33];
	json_t *value = NULL;
	int rc = RF_OK;
	snprintf(member, sizeof member, "%s", v->option->to ? v->option->to : "");
	switch (v->option->use) {
	case CLI_TEXT: rc = string(c, v->text, &value); break;
	case CLI_FILE: rc = file_text(c, v->text, &value); break;
	case CLI_INT: rc = integer(c, v, &value); break;
	case CLI_TRUE: value = json_true(); break;
	case CLI_FALSE: value = json_false(); break;
	case CLI_SET: return set_member(c, body, v->text);
	case CLI_EACH:
	case CLI_ROOTS: return each_text(c, body, v);
	case CLI_OBJECT_ID:
		rc = cli_resolve(c, v->option->to, v->text, id);
		snprintf(member, sizeof member, "%s_id", v->option->to);
		if (rc == RF_OK)
			rc = string(c, id, &value);
		break;
	default: return RF_OK;
	}
	return rc == RF_OK ? put(c, body, member, value) : rc;
}

int cli_body(struct cli *c, json_t **ret)
{
	json_t *body = json_object();
	int rc = body ? RF_OK : rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
	for (size_t i = 0; i < c->value_count && rc == RF_OK; i++)
		rc = body_member(c, body, &c->values[i]);
	if (rc != RF_OK) {
		json_decref(body);
		return rc;
	}
	*ret = body;
	return RF_OK;
}

static void query(struct cli *c, struct rf_buf *path)
{
	char sep = '?';
	for (size_t i = 0; i < c->value_count; i++) {
		const struct cli_value *v = &c->values[i];
		if (v->option->use != CLI_QUERY)
			continue;
		rf_buf_printf(path, "%c%s=", sep, v->option->to);
		cli_escape(path, v->option->value ? v->text : "true");
		sep = '&';
	}
	if (c->dry_run)
		rf_buf_printf(path, "%cdry_run=true", sep);
}

static int request_path(struct cli *c, struct rf_buf *path)
{
	char id[33] = "";
	const char *kind = NULL;
	for (size_t i = 0; i < c->value_count && !kind; i++) {
		if (c->values[i].option->use != CLI_OBJECT)
			continue;
		kind = c->values[i].option->to;
		int rc = cli_resolve(c, kind, c->values[i].text, id);
		if (rc != RF_OK)
			return rc;
	}
	int rc = cli_path(c, c->command->path, kind, id, path);
	if (rc == RF_OK)
		query(c, path);
	return rc;
}

static bool has_body(const char *method)
{
	return strcmp(method, "GET") != 0 && strcmp(method, "DELETE") != 0;
}

int cli_run_generic(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *body = NULL, *result = NULL;
	const struct cli_command *m = c->command;
	int rc = request_path(c, &path);
	if (rc != RF_OK)
		return rc;
	if (m->columns && strcmp(m->method, "GET") == 0) {
		rc = cli_all(c, rf_buf_z(&path), &result);
		if (rc == RF_OK)
			rc = cli_print_list(c, result, m->columns);
		json_decref(result);
		return rc;
	}
	if (has_body(m->method))
		rc = cli_body(c, &body);
	if (rc == RF_OK)
		rc = cli_result(c, m->method, rf_buf_z(&path), body, &result);
	json_decref(body);
	if (rc == RF_OK)
		rc = m->done ? cli_print_done(c, m->done, result) : cli_print_object(c, result);
	json_decref(result);
	return rc;
}
