/* api/batch: several changes as one: all of them are in force afterwards, or none.
 *
 * The way of a batch: one transaction is opened -> each part goes the way of a request of its own, from its route and scope to its
 * handler, but begins and commits nothing -> one commit builds, checks and publishes it all. What fails names its part.
 *
 * With "confirm" the changes wait to be confirmed (api/applies).
 *
 * A part may be named ("as"); "~NAME~" in a later part's path, or as a whole text in its body, stands for the id that it gave.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/applies.h"

struct batch {
	struct rf_api_call *c;
	json_t *ids;      /* by name */
	json_t *results;
};

/* The id that a reference stands for; NULL: it is none, or of a part that is not there. */
static const char *id_of(const struct batch *b, const char *text, size_t n)
{
	char name[64];
	if (n < 3 || n > sizeof name || text[0] != '~' || text[n - 1] != '~')
		return NULL;
	snprintf(name, sizeof name, "%.*s", (int)n - 2, text + 1);
	return json_string_value(json_object_get(b->ids, name));
}

static json_t *resolved(const struct batch *b, const json_t *v, unsigned depth)
{
	const char *name, *id;
	json_t *one, *made;
	size_t i;
	if (depth > RF_API_DEPTH_MAX)
		return NULL;
	if (json_is_string(v) && (id = id_of(b, json_string_value(v), json_string_length(v))))
		return json_string(id);
	if (json_is_object(v)) {
		made = json_object();
		json_object_foreach((json_t *)v, name, one)
			json_object_set_new(made, name, resolved(b, one, depth + 1));
		return made;
	}
	if (!json_is_array(v))
		return json_incref((json_t *)v);
	made = json_array();
	json_array_foreach(v, i, one)
		json_array_append_new(made, resolved(b, one, depth + 1));
	return made;
}

static void resolve_path(const struct batch *b, const char *path, struct rf_buf *to)
{
	while (*path) {
		const char *end = *path == '~' ? strchr(path + 1, '~') : NULL, *id = end ? id_of(b, path, (size_t)(end + 1 - path)) : NULL;
		rf_buf_printf(to, id ? "%s" : "%.1s", id ? id : path);
		path = id ? end + 1 : path + 1;
	}
}

static int method_of(const char *name, enum rf_http_method *ret)
{
	for (unsigned m = 0; m < RF_HTTP_METHODS; m++)
		if (strcmp(rf_http_method_name((enum rf_http_method)m), name) == 0) {
			*ret = (enum rf_http_method)m;
			return RF_OK;
		}
	return RF_E_METHOD;
}

static void keep_id(struct batch *b, const json_t *op, const json_t *result)
{
	const char *as = rf_json_text(op, "as");
	if (as[0])
		json_object_set(b->ids, as, json_object_get(result, "id"));
}

/* What failed, at its part. */
static int failed(struct batch *b, size_t i, int rc, const struct rf_api_call *part)
{
	char at[160];
	snprintf(at, sizeof at, "/operations/%zu%s%.100s", i, part->err.pointer[0] ? "/body" : "", part->err.pointer);
	return rf_api_fail(b->c, rc, at, "%s", part->err.text);
}

static int run(struct batch *b, size_t i, const json_t *op)
{
	struct rf_api_call part = { .batch = true };
	struct rf_api_request q = *b->c->req;
	RF_BUF_AUTO path = { 0 };
	resolve_path(b, rf_json_text(op, "path"), &path);
	q.target = rf_buf_str(&path);
	q.if_match = rf_str_z(rf_json_text(op, "if_match"));
	q.body = RF_STR("");
	int rc = method_of(rf_json_text(op, "method"), &q.method);
	json_t *body = resolved(b, json_object_get(op, "body"), 0);
	if (rc == RF_OK)
		rc = rf_api_part(b->c, &part, &q, body);
	if (rc == RF_OK) {
		keep_id(b, op, part.result);
		json_array_append(b->results, part.result ? part.result : json_null());
	} else {
		failed(b, i, rc, &part);
	}
	rf_api_part_fini(&part);
	return rc;
}

static int as_read(struct rf_api_call *c)
{
	uint64_t wanted = (uint64_t)json_integer_value(json_object_get(c->body, "revision"));
	if (wanted && wanted != rf_store_revision(c->store))
		return rf_api_fail(c, RF_E_STALE, "/revision", "the state was changed in between; read it again");
	return RF_OK;
}

/* All parts, and what they replace kept where it may have to come back. */
static int run_all(struct batch *b, unsigned confirm, char apply[33])
{
	struct rf_api_call *c = b->c;
	size_t i;
	json_t *op;
	int rc = rf_api_begin(c);
	if (rc == RF_OK && confirm)
		rc = rf_applies_before(c);
	json_array_foreach(json_object_get(c->body, "operations"), i, op)
		if (rc == RF_OK)
			rc = run(b, i, op);
	if (rc == RF_OK && confirm)
		rc = rf_applies_after(c, confirm, apply);
	return rc == RF_OK ? rf_api_commit(c) : rc;
}

int rf_api_batch_run(struct rf_api_call *c)
{
	struct batch b = { c, json_object(), json_array() };
	unsigned confirm = (unsigned)json_integer_value(json_object_get(c->body, "confirm"));
	char apply[33] = "";
	int rc = as_read(c);
	if (rc == RF_OK)
		rc = run_all(&b, c->dry_run ? 0 : confirm, apply);
	json_decref(b.ids);
	if (rc != RF_OK) {
		json_decref(b.results);
		return rc;
	}
	json_t *made = apply[0] ? rf_applies_made(c, apply) : NULL;
	return rf_api_result(c, json_pack("{s:o, s:I, s:o*}", "results", b.results, "revision", (json_int_t)rf_store_revision(c->store), "apply",
					  made), 0);
}

int rf_api_batch_get(struct rf_api_call *c)
{
	return rf_api_result(c, json_pack("{s:I}", "revision", (json_int_t)rf_store_revision(c->store)), 0);
}
