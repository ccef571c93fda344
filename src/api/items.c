/* api/items: entries of lists, changed in bulk in one transaction: all of a request or nothing of it.
 *
 * The name of an entry is its value in canonical text, so that one value is in a list once; giving it again changes
 * its comment.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/lists.h"
#include "base/ip.h"

enum { PER_PAGE = 500 };

static int load_list(struct rf_api_call *c, struct rf_object *ret)
{
	return rf_api_load(c, RF_KIND_LIST, c->account.id, c->params.id, ret);
}

static json_t *show(struct rf_api_call *c, const struct rf_object *o)
{
	(void)c;
	return rf_api_plain(RF_RES_LIST_ITEM, o);
}

static int info(struct rf_api_call *c, size_t offset, size_t per, size_t count, size_t total)
{
	char after[32], before[32];
	snprintf(after, sizeof after, "%zu", offset + count);
	snprintf(before, sizeof before, "%zu", offset > per ? offset - per : 0);
	json_t *cursors = json_object();
	if (offset + count < total)
		json_object_set_new(cursors, "after", json_string(after));
	if (offset)
		json_object_set_new(cursors, "before", json_string(before));
	json_decref(c->info);
	c->info = json_pack("{s:o, s:I, s:I, s:I}", "cursors", cursors, "per_page", (json_int_t)per, "count", (json_int_t)count,
			    "total_count", (json_int_t)total);
	return c->info ? RF_OK : rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
}

struct page {
	struct rf_api_call *c;
	json_t *array;
};

static int add(const struct rf_object *o, void *arg)
{
	struct page *p = arg;
	return json_array_append_new(p->array, show(p->c, o)) == 0 ? RF_OK : RF_E_NOMEM;
}

int rf_api_items_list(struct rf_api_call *c)
{
	RF_OBJECT_AUTO list = { 0 };
	int64_t offset, per;
	size_t total = 0;
	struct page p = { c, NULL };
	int rc = load_list(c, &list);
	if (rc == RF_OK)
		rc = rf_api_param_int(c, "cursor", 0, INT32_MAX, 0, &offset);
	if (rc == RF_OK)
		rc = rf_api_param_int(c, "per_page", 1, RF_API_PER_PAGE_MAX, PER_PAGE, &per);
	if (rc != RF_OK)
		return rc;
	struct rf_store_query q = { .parent = list.id, .search = rf_api_param(c, "search"), .offset = (size_t)offset,
				    .limit = (size_t)per };
	p.array = json_array();
	rc = rf_store_list(c->store, RF_KIND_LIST_ITEM, &q, add, &p, &total, &c->err);
	if (rc == RF_OK)
		rc = info(c, (size_t)offset, (size_t)per, json_array_size(p.array), total);
	if (rc != RF_OK) {
		json_decref(p.array);
		return rc;
	}
	return rf_api_result(c, p.array, 0);
}

int rf_api_items_get(struct rf_api_call *c)
{
	RF_OBJECT_AUTO list = { 0 }, o = { 0 };
	int rc = load_list(c, &list);
	if (rc == RF_OK)
		rc = rf_api_load(c, RF_KIND_LIST_ITEM, list.id, c->params.item, &o);
	return rc == RF_OK ? rf_api_result(c, show(c, &o), o.revision) : rc;
}

static void lower(const char *from, char to[320])
{
	size_t n = 0;
	for (; from[n] && n + 1 < 320; n++)
		to[n] = (char)rf_lower((unsigned char)from[n]);
	to[n] = '\0';
}

/* The value of an item of that kind as canonical text; `item` has exactly that one value. */
static int value(struct rf_api_call *c, const char *kind, json_t *item, size_t i, char to[320])
{
	static const char *const members[] = { "ip", "hostname", "asn", "redirect", "string" };
	char at[64];
	size_t given = 0;
	for (size_t m = 0; m < sizeof members / sizeof *members; m++)
		given += json_object_get(item, members[m]) != NULL;
	json_t *v = json_object_get(item, kind);
	snprintf(at, sizeof at, "/%zu", i);
	if (!v || given != 1)
		return rf_api_fail(c, RF_E_INVALID, at, "an entry of this list has \"%s\" and no other value", kind);
	if (strcmp(kind, "ip") == 0) {
		struct rf_prefix p;
		char text[RF_IP_TEXT];
		rf_prefix_parse(rf_str_z(json_string_value(v)), false, &p);
		bool single = p.bits == (p.ip.family == 4 ? 32 : 128);
		snprintf(to, 320, "%s", single ? rf_ip_str(&p.ip, text) : rf_prefix_str(&p, text));
		json_object_set_new(item, "ip", json_string(to));
	} else if (strcmp(kind, "hostname") == 0) {
		lower(rf_json_text(v, "url_hostname"), to);
		json_object_set_new(v, "url_hostname", json_string(to));
	} else if (strcmp(kind, "asn") == 0) {
		snprintf(to, 320, "%lld", (long long)json_integer_value(v));
	} else {
		const char *text = kind[0] == 'r' ? rf_json_text(v, "source_url") : json_string_value(v);
		if (strlen(text) >= 320)
			return rf_api_fail(c, RF_E_TOO_LARGE, at, "a value of at most 319 bytes can be kept");
		snprintf(to, 320, "%s", text);
	}
	return RF_OK;
}

static int put_item(struct rf_api_call *c, const struct rf_object *list, json_t *item, size_t i)
{
	RF_OBJECT_AUTO o = { 0 };
	char name[320];
	int rc = value(c, rf_json_text(list->doc, "kind"), item, i, name);
	if (rc != RF_OK)
		return rc;
	rc = rf_store_find(c->store, RF_KIND_LIST_ITEM, list->id, name, &o, &c->err);
	if (rc == RF_OK) {
		json_decref(o.doc);
		o.doc = json_incref(item);
	} else if (rc == RF_E_NOT_FOUND) {
		rc = rf_api_object(c, &o, list->id, name, json_incref(item));
	}
	return rc == RF_OK ? rf_store_put(c->store, RF_KIND_LIST_ITEM, &o, 0, &c->err) : rc;
}

static int put_items(struct rf_api_call *c, const struct rf_object *list)
{
	size_t i;
	json_t *item;
	json_array_foreach(c->body, i, item) {
		int rc = put_item(c, list, item, i);
		if (rc != RF_OK)
			return rc;
	}
	return RF_OK;
}

/* The list is put too: that is the line in the audit, and what ctl builds anew. */
static int finish(struct rf_api_call *c, struct rf_object *list)
{
	int rc = rf_api_put(c, RF_KIND_LIST, list, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_operation_done(c) : rc;
}

int rf_api_items_add(struct rf_api_call *c)
{
	RF_OBJECT_AUTO list = { 0 };
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = load_list(c, &list);
	if (rc == RF_OK)
		rc = put_items(c, &list);
	return rc == RF_OK ? finish(c, &list) : rc;
}

static int collect(const struct rf_raw_object *o, void *arg)
{
	return json_array_append_new(arg, json_string(o->id)) == 0 ? RF_OK : RF_E_NOMEM;
}

static int remove_all(struct rf_api_call *c, const char *list)
{
	struct rf_store_query q = { .parent = list };
	json_t *ids = json_array(), *id;
	size_t i;
	int rc = rf_store_scan(c->store, RF_KIND_LIST_ITEM, &q, collect, ids, &c->err);
	json_array_foreach(ids, i, id)
		if (rc == RF_OK)
			rc = rf_store_del(c->store, RF_KIND_LIST_ITEM, json_string_value(id), 0, &c->err);
	json_decref(ids);
	return rc;
}

int rf_api_items_replace(struct rf_api_call *c)
{
	RF_OBJECT_AUTO list = { 0 };
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = load_list(c, &list);
	if (rc == RF_OK)
		rc = remove_all(c, list.id);
	if (rc == RF_OK)
		rc = put_items(c, &list);
	return rc == RF_OK ? finish(c, &list) : rc;
}

static int remove_named(struct rf_api_call *c, const char *list)
{
	size_t i;
	json_t *v;
	json_array_foreach(json_object_get(c->body, "items"), i, v) {
		RF_OBJECT_AUTO o = { 0 };
		char at[48];
		snprintf(at, sizeof at, "/items/%zu/id", i);
		if (rf_api_load(c, RF_KIND_LIST_ITEM, list, rf_json_text(v, "id"), &o) != RF_OK)
			return rf_api_fail(c, RF_E_NOT_FOUND, at, "there is no such entry in this list");
		int rc = rf_store_del(c->store, RF_KIND_LIST_ITEM, o.id, 0, &c->err);
		if (rc != RF_OK)
			return rc;
	}
	return RF_OK;
}

int rf_api_items_remove(struct rf_api_call *c)
{
	RF_OBJECT_AUTO list = { 0 };
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = load_list(c, &list);
	if (rc == RF_OK)
		rc = json_object_get(c->body, "items") ? remove_named(c, list.id) : remove_all(c, list.id);
	return rc == RF_OK ? finish(c, &list) : rc;
}
