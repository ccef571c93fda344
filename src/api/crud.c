/* api/crud: what handlers share: transactions, pages, rendering, and whole resources that live in one table.
 *
 * The way of a write: rf_api_begin -> (load the old object) -> merge -> the resource's `prepare` -> rf_api_put ->
 * rf_api_commit, which returns once the change is in force -> the result with its ETag.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/call.h"

static int no_memory(struct rf_api_call *c)
{
	return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
}

int64_t rf_api_now(struct rf_api_call *c)
{
	return c->api->conf.clock.wall(c->api->conf.clock.ctx) / (int64_t)RF_NS_S;
}

const char *rf_api_time(int64_t s, char to[RF_RFC3339_SIZE])
{
	return rf_rfc3339(s * (int64_t)RF_NS_S, 0, to);
}

int rf_api_begin(struct rf_api_call *c)
{
	const struct rf_api_state *st = &c->api->conf.state;
	if (c->batch)
		return RF_OK;
	int rc = st->begin(st->ctx, c->who.actor, &c->err);
	c->in_tx = rc == RF_OK;
	return rc;
}

int rf_api_touch(struct rf_api_call *c, enum rf_kind k, const char *id)
{
	const struct rf_api_state *st = &c->api->conf.state;
	return st->touch(st->ctx, k, id, &c->err);
}

int rf_api_put(struct rf_api_call *c, enum rf_kind k, struct rf_object *o, uint64_t if_revision)
{
	int rc = rf_store_put(c->store, k, o, if_revision, &c->err);
	return rc == RF_OK ? rf_api_touch(c, k, o->id) : rc;
}

int rf_api_del(struct rf_api_call *c, enum rf_kind k, const char *id, uint64_t if_revision)
{
	int rc = rf_store_del(c->store, k, id, if_revision, &c->err);
	return rc == RF_OK ? rf_api_touch(c, k, id) : rc;
}

int rf_api_commit(struct rf_api_call *c)
{
	const struct rf_api_state *st = &c->api->conf.state;
	if (c->batch)
		return RF_OK;
	int rc = st->commit(st->ctx, c->dry_run, &c->err);
	if (rc == RF_OK)
		c->in_tx = false;
	return rc;
}

int rf_api_object(struct rf_api_call *c, struct rf_object *o, const char *parent, const char *name, json_t *doc)
{
	*o = (struct rf_object){ .doc = doc };
	snprintf(o->parent, sizeof o->parent, "%s", parent);
	if (strlen(name) >= sizeof o->name)
		return rf_fail(&c->err, RF_E_TOO_LARGE, "a name of %zu bytes is too long", strlen(name));
	strcpy(o->name, name);
	return doc ? RF_OK : no_memory(c);
}

int rf_api_load(struct rf_api_call *c, enum rf_kind k, const char *parent, const char *id, struct rf_object *ret)
{
	struct rf_object o = { 0 };
	int rc = rf_store_get(c->store, k, id, &o, &c->err);
	if (rc == RF_OK && parent && strcmp(o.parent, parent) != 0) {
		rf_object_fini(&o);
		rc = RF_E_NOT_FOUND;
	}
	if (rc == RF_E_NOT_FOUND)
		return rf_fail(&c->err, rc, "there is no %s in %s", id, rf_kind_name(k));
	if (rc == RF_OK)
		*ret = o;
	return rc;
}

json_t *rf_api_plain(enum rf_resource r, const struct rf_object *o)
{
	char at[RF_RFC3339_SIZE];
	json_t *j = json_deep_copy(o->doc);
	if (!j)
		return NULL;
	rf_schema_hide(r, j);
	json_object_set_new(j, "id", json_string(o->id));
	json_object_set_new(j, "created_on", json_string(rf_api_time(o->created_s, at)));
	json_object_set_new(j, "modified_on", json_string(rf_api_time(o->modified_s, at)));
	return j;
}

int rf_api_result(struct rf_api_call *c, json_t *result, uint64_t etag)
{
	if (!result)
		return no_memory(c);
	json_decref(c->result);
	c->result = c->dry_run && c->req->method != RF_HTTP_GET ? json_null() : json_incref(result);
	json_decref(result);
	c->etag = etag;
	return RF_OK;
}

int rf_api_result_id(struct rf_api_call *c, const char *id)
{
	return rf_api_result(c, json_pack("{s:s}", "id", id), 0);
}

int rf_api_page(struct rf_api_call *c, size_t all, size_t *ret_page, size_t *ret_per)
{
	int64_t page, per;
	int64_t most = all > RF_API_PER_PAGE_MAX ? (int64_t)all : RF_API_PER_PAGE_MAX;
	int rc = rf_api_param_int(c, "page", 1, 1000000, 1, &page);
	int rc2 = rf_api_param_int(c, "per_page", 1, most, (int64_t)all, &per);
	if (rc != RF_OK || rc2 != RF_OK)
		return rc != RF_OK ? rc : rc2;
	*ret_page = (size_t)page;
	*ret_per = (size_t)per;
	return RF_OK;
}

int rf_api_info(struct rf_api_call *c, size_t page, size_t per, size_t count, size_t total)
{
	c->info = json_pack("{s:I, s:I, s:I, s:I, s:I}", "page", (json_int_t)page, "per_page", (json_int_t)per, "count",
			    (json_int_t)count, "total_count", (json_int_t)total, "total_pages",
			    (json_int_t)((total + per - 1) / per));
	return c->info ? RF_OK : no_memory(c);
}

struct page {
	struct rf_api_call *c;
	rf_api_show show;
	json_t *array;
};

static int show_one(const struct rf_object *o, void *arg)
{
	struct page *p = arg;
	return json_array_append_new(p->array, p->show(p->c, o)) == 0 ? RF_OK : no_memory(p->c);
}

int rf_api_list(struct rf_api_call *c, enum rf_kind k, struct rf_store_query *q, rf_api_show show, size_t all)
{
	size_t page, per, total = 0;
	int rc = rf_api_page(c, all, &page, &per);
	if (rc != RF_OK)
		return rc;
	const char *direction = rf_api_param(c, "direction");
	q->descending = direction && strcmp(direction, "desc") == 0;
	q->offset = (page - 1) * per;
	q->limit = per;
	struct page p = { c, show, json_array() };
	rc = p.array ? rf_store_list(c->store, k, q, show_one, &p, &total, &c->err) : no_memory(c);
	if (rc == RF_OK)
		rc = rf_api_info(c, page, per, json_array_size(p.array), total);
	if (rc != RF_OK) {
		json_decref(p.array);
		return rc;
	}
	return rf_api_result(c, p.array, 0);
}

static const char *parent_of(struct rf_api_call *c, const struct rf_api_crud *r)
{
	return r->in_zone ? c->zone.id : c->account.id;
}

static json_t *show(struct rf_api_call *c, const struct rf_api_crud *r, const struct rf_object *o)
{
	return r->show ? r->show(c, o) : rf_api_plain(r->shape, o);
}

static const struct rf_api_crud *listed; /* of the list under way: one thread, no nesting */
static json_t *show_listed(struct rf_api_call *c, const struct rf_object *o)
{
	return show(c, listed, o);
}

int rf_crud_list(struct rf_api_call *c, const struct rf_api_crud *r, struct rf_store_query *q, size_t all)
{
	q->parent = parent_of(c, r);
	if (!q->search)
		q->search = rf_api_param(c, "search");
	listed = r;
	return rf_api_list(c, r->kind, q, show_listed, all);
}

/* prepare, put, commit, show: the second half of every write. */
static int store(struct rf_api_call *c, const struct rf_api_crud *r, struct rf_object *o, const json_t *old)
{
	const char *name = rf_json_text(o->doc, "name");
	snprintf(o->name, sizeof o->name, "%s", name);
	int rc = r->prepare ? r->prepare(c, o, old) : RF_OK;
	if (rc == RF_OK)
		rc = rf_api_put(c, r->kind, o, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_api_result(c, show(c, r, o), o->revision) : rc;
}

int rf_crud_create(struct rf_api_call *c, const struct rf_api_crud *r)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_api_begin(c);
	c->if_revision = 0;
	if (rc == RF_OK)
		rc = rf_api_object(c, &o, parent_of(c, r), "", json_incref(c->body));
	return rc == RF_OK ? store(c, r, &o, NULL) : rc;
}

int rf_crud_get(struct rf_api_call *c, const struct rf_api_crud *r)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_api_load(c, r->kind, parent_of(c, r), c->params.id, &o);
	return rc == RF_OK ? rf_api_result(c, show(c, r, &o), o.revision) : rc;
}

/* What the request does not carry over by itself: computed members, and secrets that were not sent again. */
static int keep_hidden(struct rf_api_call *c, enum rf_resource shape, json_t *doc, const json_t *old)
{
	const char *name;
	json_t *v;
	json_object_foreach((json_t *)old, name, v) {
		bool settable = false;
		for (size_t i = 0; i < rf_schema_field_count; i++)
			if (rf_schema_fields[i].of == shape && strcmp(rf_schema_fields[i].name, name) == 0)
				settable = rf_schema_fields[i].flag == RF_FF_REQ || rf_schema_fields[i].flag == RF_FF_OPT;
		if (!settable && !json_object_get(doc, name) && json_object_set(doc, name, v) != 0)
			return no_memory(c);
	}
	return RF_OK;
}

int rf_crud_put(struct rf_api_call *c, const struct rf_api_crud *r)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_api_load(c, r->kind, parent_of(c, r), c->params.id, &o);
	if (rc == RF_OK)
		rc = keep_hidden(c, r->shape, c->body, o.doc);
	if (rc != RF_OK)
		return rc;
	json_t *old = o.doc;
	o.doc = json_incref(c->body);
	rc = store(c, r, &o, old);
	json_decref(old);
	return rc;
}

/* JSON merge patch [RFC 7396] of top-level members and of objects in them. */
static int merge(struct rf_api_call *c, json_t *doc, json_t *patch)
{
	const char *name;
	json_t *v;
	json_object_foreach(patch, name, v) {
		json_t *at = json_object_get(doc, name);
		int bad = 0;
		if (json_is_null(v))
			json_object_del(doc, name);
		else if (json_is_object(v) && json_is_object(at))
			bad = merge(c, at, v);
		else
			bad = json_object_set(doc, name, v);
		if (bad)
			return no_memory(c);
	}
	return RF_OK;
}

static void add_error(void *ctx, int code, const char *pointer, const char *text)
{
	if (code != RF_OK)
		rf_api_fail(ctx, code, pointer, "%s", text);
}

/* A part may be good and the whole that it makes not: an object that it begins can lack what is required. */
static int check_merged(struct rf_api_call *c, enum rf_resource shape, json_t *doc)
{
	if (rf_schema_fill(shape, doc) != RF_OK)
		return no_memory(c);
	json_t *copy = json_deep_copy(doc);
	if (!copy)
		return no_memory(c);
	struct rf_findings f = { .add = add_error, .ctx = c };
	bool good = rf_schema_check(shape, copy, RF_SCHEMA_WHOLE, "", &f);
	json_decref(copy);
	return good ? RF_OK : c->first_error;
}

int rf_crud_edit(struct rf_api_call *c, const struct rf_api_crud *r)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_api_load(c, r->kind, parent_of(c, r), c->params.id, &o);
	if (rc != RF_OK)
		return rc;
	json_t *old = json_deep_copy(o.doc);
	rc = old ? merge(c, o.doc, c->body) : no_memory(c);
	if (rc == RF_OK)
		rc = check_merged(c, r->shape, o.doc);
	if (rc == RF_OK)
		rc = store(c, r, &o, old);
	json_decref(old);
	return rc;
}

int rf_crud_delete(struct rf_api_call *c, const struct rf_api_crud *r)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_api_load(c, r->kind, parent_of(c, r), c->params.id, &o);
	if (rc == RF_OK && r->before_delete)
		rc = r->before_delete(c, &o);
	if (rc == RF_OK)
		rc = rf_api_del(c, r->kind, o.id, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_api_result(c, show(c, r, &o), 0) : rc;
}
