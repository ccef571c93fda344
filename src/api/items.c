/* api/items: entries of lists: all of a request or nothing of it.
 *
 * A small change is done in one transaction before it is answered; a large one becomes an operation that goes on behind the answer
 * (api/bulk). Either way the answer names an operation, whose state can be asked for. While one of a list is not over, the
 * list takes no other change.
 *
 * Pages are in order of entries' ids; a cursor is the id before the page. A search reads at most SEARCH_ENTRIES entries a call:
 * where those are not all, the page has a cursor to go on with, even if it is short.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/bulk.h"
#include "api/call.h"
#include "base/enc.h"

enum { PER_PAGE = 500, SEARCH_ENTRIES = 10000 };

static int load_list(struct rf_api_call *c, struct rf_object *ret)
{
	return rf_api_load(c, RF_KIND_LIST, c->account.id, c->params.id, ret);
}

static const char *kind_of(const struct rf_object *list) { return rf_json_text(list->doc, "kind"); }

/* --- reading --- */

struct page {
	struct rf_api_call *c;
	const char *kind, *search;
	json_t *array;
	size_t per, seen;
	bool full;                      /* there is more behind it */
	uint8_t first[RF_ENTRY_KEY], last[RF_ENTRY_KEY]; /* that were looked at */
};

static bool matches(const struct page *p, struct rf_str value)
{
	size_t n = p->search ? strlen(p->search) : 0;
	for (size_t i = 0; n && i + n <= value.n; i++)
		if (rf_str_ieq((struct rf_str){ value.p + i, n }, (struct rf_str){ p->search, n }))
			return true;
	return n == 0;
}

static int add(const struct rf_list_entry *it, void *arg)
{
	struct page *p = arg;
	p->full = json_array_size(p->array) == p->per || p->seen == SEARCH_ENTRIES;
	if (p->full)
		return 1;
	if (p->seen++ == 0)
		memcpy(p->first, it->key, sizeof p->first);
	memcpy(p->last, it->key, sizeof p->last);
	if (matches(p, it->value) && json_array_append_new(p->array, rf_entry_show(p->kind, it)) != 0)
		return rf_fail(&p->c->err, RF_E_NOMEM, "memory is exhausted");
	return RF_OK;
}

static json_t *cursor(const uint8_t key[RF_ENTRY_KEY])
{
	char text[2 * RF_ENTRY_KEY + 1];
	rf_hex(key, RF_ENTRY_KEY, text);
	return json_string(text);
}

static int keep_last(const struct rf_list_entry *it, void *arg)
{
	memcpy(arg, it->key, RF_ENTRY_KEY);
	return RF_OK;
}

/* The cursor of the page before this one: of the entry before its first. */
static int before(struct rf_api_call *c, const char *list, const struct page *p, json_t *cursors)
{
	uint8_t key[RF_ENTRY_KEY] = { 0 };
	int rc = rf_store_entries(c->store, list, p->first, true, p->per + 1, keep_last, key, &c->err);
	if (rc == RF_OK)
		json_object_set_new(cursors, "before", cursor(key));
	return rc;
}

static int info(struct rf_api_call *c, const char *list, const struct page *p, bool from_start)
{
	size_t total = 0;
	json_t *cursors = json_object();
	int rc = rf_store_entry_count(c->store, list, &total, &c->err);
	if (rc == RF_OK && p->full)
		json_object_set_new(cursors, "after", cursor(p->last));
	if (rc == RF_OK && !from_start && p->seen)
		rc = before(c, list, p, cursors);
	json_decref(c->info);
	c->info = json_pack("{s:o, s:I, s:I}", "cursors", cursors, "per_page", (json_int_t)p->per, "count",
			    (json_int_t)json_array_size(p->array));
	if (c->info && !p->search)
		json_object_set_new(c->info, "total_count", json_integer((json_int_t)total));
	return rc != RF_OK || c->info ? rc : rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
}

int rf_api_items_list(struct rf_api_call *c)
{
	RF_OBJECT_AUTO list = { 0 };
	int64_t per;
	uint8_t after[RF_ENTRY_KEY];
	const char *from = rf_api_param(c, "cursor");
	bool start = !from || !*from;
	int rc = load_list(c, &list);
	if (rc == RF_OK)
		rc = rf_api_param_int(c, "per_page", 1, RF_API_PER_PAGE_MAX, PER_PAGE, &per);
	if (rc == RF_OK && !start && !rf_entry_id(from, after))
		rc = rf_api_fail(c, RF_E_INVALID, "/cursor", "that is no cursor of this list");
	if (rc != RF_OK)
		return rc;
	struct page p = { .c = c, .kind = kind_of(&list), .search = rf_api_param(c, "search"), .array = json_array(), .per = (size_t)per };
	rc = rf_store_entries(c->store, list.id, start ? NULL : after, false, 0, add, &p, &c->err);
	if (rc == RF_OK || rc == 1)
		rc = info(c, list.id, &p, start);
	if (rc != RF_OK) {
		json_decref(p.array);
		return rc;
	}
	return rf_api_result(c, p.array, 0);
}

static int show_one(const struct rf_list_entry *it, void *arg)
{
	struct page *p = arg;
	return rf_api_result(p->c, rf_entry_show(p->kind, it), 0);
}

int rf_api_items_get(struct rf_api_call *c)
{
	RF_OBJECT_AUTO list = { 0 };
	uint8_t key[RF_ENTRY_KEY];
	int rc = load_list(c, &list);
	if (rc == RF_OK && !rf_entry_id(c->params.item, key))
		rc = rf_fail(&c->err, RF_E_NOT_FOUND, "there is no such entry in this list");
	struct page p = { .c = c, .kind = kind_of(&list) };
	return rc == RF_OK ? rf_store_entry_get(c->store, list.id, key, show_one, &p, &c->err) : rc;
}

/* --- changing --- */

static int put_items(struct rf_api_call *c, const struct rf_object *list)
{
	size_t i;
	json_t *item;
	json_array_foreach(c->body, i, item) {
		struct rf_entry_room room = { .more = NULL };
		struct rf_list_entry it;
		char at[32];
		snprintf(at, sizeof at, "/%zu", i);
		int rc = rf_entry_read(kind_of(list), list->id, item, &room, &it, &c->err);
		if (rc == RF_OK)
			rc = rf_store_entry_put(c->store, list->id, &it, &c->err);
		rf_entry_room_fini(&room);
		if (rc != RF_OK)
			return rf_api_fail(c, rc, at, "%s", c->err.text);
	}
	return RF_OK;
}

static int remove_named(struct rf_api_call *c, const struct rf_object *list)
{
	size_t i;
	json_t *v;
	json_array_foreach(json_object_get(c->body, "items"), i, v) {
		uint8_t key[RF_ENTRY_KEY];
		char at[48];
		snprintf(at, sizeof at, "/items/%zu/id", i);
		int rc = rf_entry_id(rf_json_text(v, "id"), key) ? rf_store_entry_del(c->store, list->id, key, &c->err) : RF_E_NOT_FOUND;
		if (rc == RF_E_NOT_FOUND)
			return rf_api_fail(c, rc, at, "there is no such entry in this list");
		if (rc != RF_OK)
			return rc;
	}
	return RF_OK;
}

struct keys {
	uint8_t v[RF_BULK_AT_ONCE_ENTRIES][RF_ENTRY_KEY];
	size_t n;
};

static int collect(const struct rf_list_entry *it, void *arg)
{
	struct keys *k = arg;
	memcpy(k->v[k->n++], it->key, RF_ENTRY_KEY);
	return RF_OK;
}

static int by_key(const void *a, const void *b) { return memcmp(a, b, RF_ENTRY_KEY); }

/* Those of the body are put first, and what is not among them goes: what is in both stays as it is. */
static int replace(struct rf_api_call *c, const struct rf_object *list)
{
	struct keys old = { .n = 0 };
	size_t n = json_array_size(c->body);
	uint8_t (*new)[RF_ENTRY_KEY] = calloc(n + 1, sizeof *new);
	int rc = new ? rf_store_entries(c->store, list->id, NULL, false, RF_BULK_AT_ONCE_ENTRIES, collect, &old, &c->err) :
		 rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
	if (rc == RF_OK)
		rc = put_items(c, list);
	for (size_t i = 0; rc == RF_OK && i < n; i++) {
		struct rf_entry_room room = { .more = NULL };
		struct rf_list_entry it;
		rc = rf_entry_read(kind_of(list), list->id, json_array_get(c->body, i), &room, &it, &c->err);
		memcpy(new[i], it.key, sizeof new[i]);
		rf_entry_room_fini(&room);
	}
	if (rc == RF_OK)
		qsort(new, n, sizeof *new, by_key);
	for (size_t i = 0; rc == RF_OK && i < old.n; i++)
		if (!bsearch(old.v[i], new, n, sizeof *new, by_key))
			rc = rf_store_entry_del(c->store, list->id, old.v[i], &c->err);
	free(new);
	return rc;
}

static int result(struct rf_api_call *c, const struct rf_operation *op)
{
	return rf_api_result(c, json_pack("{s:s}", "operation_id", op->id), 0);
}

/* The list is put too: that is the line in the audit. Its entries are no part of a snapshot, and so it is not announced. */
static int at_once(struct rf_api_call *c, struct rf_object *list, struct rf_operation *op)
{
	static int (*const change[])(struct rf_api_call *c, const struct rf_object *list) = {
		[RF_OP_ADD] = put_items, [RF_OP_REPLACE] = replace, [RF_OP_REMOVE] = remove_named };
	op->status = RF_OP_COMPLETED;
	op->completed_s = rf_api_now(c);
	int rc = change[op->mode](c, list);
	if (rc == RF_OK)
		rc = rf_store_put(c->store, RF_KIND_LIST, list, c->if_revision, &c->err);
	if (rc == RF_OK)
		rc = rf_store_op_new(c->store, op, &c->err);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? result(c, op) : rc;
}

/* The operation is on the disk before it is named to anyone. */
static int behind(struct rf_api_call *c, const struct rf_object *list, struct rf_operation *op)
{
	bool none = json_is_array(c->body) && json_array_size(c->body) == 0;
	struct rf_bulk_start start = { .kind = kind_of(list), .body = none ? RF_STR("") : c->req->body, .dry_run = c->dry_run };
	if (c->batch)
		return rf_fail(&c->err, RF_E_TOO_LARGE, "a change of so many entries cannot be a part of others; make it by itself");
	if (c->if_revision && c->if_revision != list->revision)
		return rf_fail(&c->err, RF_E_STALE, "the list was changed in between; read it again");
	c->dry_run = false;
	int rc = rf_store_op_new(c->store, op, &c->err);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	start.op = *op;
	if (rc == RF_OK)
		rc = rf_bulk_start(c->api->bulk, &start, &c->err);
	return rc == RF_OK ? result(c, op) : rc;
}

/* Removing all is replacing by nothing. */
static int change(struct rf_api_call *c, enum rf_op_mode mode)
{
	RF_OBJECT_AUTO list = { 0 };
	struct rf_operation op = { .mode = mode }, open;
	size_t count = 0;
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = load_list(c, &list);
	if (rc != RF_OK)
		return rc;
	rc = rf_store_op_open(c->store, list.id, 0, &open, &c->err);
	if (rc == RF_OK)
		return rf_fail(&c->err, RF_E_CONFLICT, "operation %s changes this list; wait for its end", open.id);
	if (rc != RF_E_NOT_FOUND)
		return rc;
	rc = rf_store_entry_count(c->store, list.id, &count, &c->err);
	if (rc != RF_OK)
		return rc;
	snprintf(op.list, sizeof op.list, "%s", list.id);
	snprintf(op.actor, sizeof op.actor, "%s", c->who.actor);
	bool small = c->body && (mode != RF_OP_REPLACE || count <= RF_BULK_AT_ONCE_ENTRIES);
	return small ? at_once(c, &list, &op) : behind(c, &list, &op);
}

int rf_api_items_add(struct rf_api_call *c) { return change(c, RF_OP_ADD); }
int rf_api_items_replace(struct rf_api_call *c) { return change(c, RF_OP_REPLACE); }

int rf_api_items_remove(struct rf_api_call *c)
{
	if (c->body && !json_object_get(c->body, "items")) {
		json_decref(c->body);
		c->body = json_array();
		return change(c, RF_OP_REPLACE);
	}
	return change(c, RF_OP_REMOVE);
}
