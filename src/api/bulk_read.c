/* api/bulk_read: see bulk_read.h. One object of the array at a time becomes a tree, is held against its shape, and is packed;
 * then places of packed entries are sorted by key and copied into parts. */
#include "api/bulk_read.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/room.h"

struct reading {
	struct rf_str rest;
	const char *kind, *list_id;
	bool remove;
	struct rf_buf packed;
	struct place { uint8_t key[RF_ENTRY_KEY]; size_t at, order; } *place;
	size_t n, cap;
	struct rf_err *e;
};

static void blanks(struct reading *r)
{
	while (r->rest.n && strchr(" \t\r\n", r->rest.p[0]) && r->rest.p[0])
		r->rest = rf_str_skip(r->rest, 1);
}

static bool mark(struct reading *r, char c)
{
	blanks(r);
	if (!r->rest.n || r->rest.p[0] != c)
		return false;
	r->rest = rf_str_skip(r->rest, 1);
	return true;
}

struct first_finding {
	int code;
	struct rf_err *e;
};

static void keep_first(void *ctx, int code, const char *pointer, const char *text)
{
	struct first_finding *f = ctx;
	if (code != RF_OK && f->code == RF_OK)
		f->code = rf_fail_ptr(f->e, code, pointer, "%s", text);
}

static int shaped(struct reading *r, json_t *item, const char *at)
{
	struct first_finding first = { RF_OK, r->e };
	struct rf_findings f = { .add = keep_first, .ctx = &first };
	rf_schema_check(r->remove ? RF_RES_REFERENCE : RF_RES_LIST_ITEM, item, RF_SCHEMA_WHOLE, at, &f);
	return first.code;
}

static int pack(struct reading *r, const struct rf_list_entry *it)
{
	if (r->n == RF_LIST_ITEMS)
		return rf_fail(r->e, RF_E_TOO_LARGE, "a list takes at most %d entries", RF_LIST_ITEMS);
	if (!RF_ROOM(r->place, r->cap, r->n))
		return rf_fail(r->e, RF_E_NOMEM, "memory is exhausted");
	struct place *p = &r->place[r->n];
	*p = (struct place){ .at = r->packed.n, .order = r->n };
	memcpy(p->key, it->key, sizeof p->key);
	r->n++;
	rf_entry_pack(&r->packed, it);
	return r->packed.bad ? rf_fail(r->e, RF_E_NOMEM, "memory is exhausted") : RF_OK;
}

static int take(struct reading *r, json_t *item)
{
	struct rf_entry_room room = { .more = NULL };
	struct rf_list_entry it = { .created_s = 0 };
	char at[32];
	snprintf(at, sizeof at, "/%zu", r->n);
	int rc = shaped(r, item, at);
	if (rc == RF_OK && r->remove && !rf_entry_id(json_string_value(json_object_get(item, "id")), it.key))
		rc = rf_fail(r->e, RF_E_INVALID, "there is no such entry in this list");
	else if (rc == RF_OK && !r->remove)
		rc = rf_entry_read(r->kind, r->list_id, item, &room, &it, r->e);
	if (rc != RF_OK && !r->e->pointer[0])
		snprintf(r->e->pointer, sizeof r->e->pointer, "%s", at);
	if (rc == RF_OK)
		rc = pack(r, &it);
	rf_entry_room_fini(&room);
	return rc;
}

static int one(struct reading *r)
{
	json_error_t why;
	blanks(r);
	json_t *item = json_loadb(r->rest.p, r->rest.n, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &why);
	if (!item)
		return rf_fail(r->e, RF_E_SYNTAX, "entry %zu is not JSON: %.160s", r->n, why.text);
	r->rest = rf_str_skip(r->rest, (size_t)why.position);
	int rc = take(r, item);
	json_decref(item);
	return rc;
}

static int read_all(struct reading *r)
{
	bool open = true;
	if (r->remove) {
		open = mark(r, '{') && mark(r, '"') && rf_str_starts(r->rest, RF_STR("items\""));
		r->rest = rf_str_skip(r->rest, 6);
		open = open && mark(r, ':');
	}
	if (!open || !mark(r, '['))
		return rf_fail(r->e, RF_E_TYPE, r->remove ? "the body must be {\"items\": [{\"id\": ...}, ...]}" : "the body must be an array");
	bool done = mark(r, ']');
	while (!done) {
		int rc = one(r);
		if (rc != RF_OK)
			return rc;
		done = mark(r, ']');
		if (!done && !mark(r, ','))
			return rf_fail(r->e, RF_E_SYNTAX, "after entry %zu there is neither a comma nor the end", r->n - 1);
	}
	if (r->remove && !mark(r, '}'))
		return rf_fail(r->e, RF_E_SYNTAX, "the body does not end with its entries");
	blanks(r);
	return r->rest.n ? rf_fail(r->e, RF_E_SYNTAX, "there is something behind the body") : RF_OK;
}

static int by_key(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int c = memcmp(x->key, y->key, RF_ENTRY_KEY);
	return c ? c : x->order < y->order ? -1 : 1;
}

static struct rf_str packed_at(const struct reading *r, const struct place *p)
{
	struct rf_str rest = rf_str_skip(rf_buf_str(&r->packed), p->at), from = rest;
	struct rf_list_entry it;
	rf_entry_unpack(&rest, &it);
	return (struct rf_str){ from.p, from.n - rest.n };
}

/* The part that has room, or a new one. */
static struct rf_buf *part(struct rf_bulk_parts *p)
{
	if (p->n && p->v[p->n - 1].n < RF_BULK_PART)
		return &p->v[p->n - 1];
	if (!RF_ROOM(p->v, p->cap, p->n))
		return NULL;
	p->v[p->n] = (struct rf_buf){ 0 };
	return &p->v[p->n++];
}

static int sort(struct reading *r, struct rf_bulk_parts *ret)
{
	if (r->n)
		qsort(r->place, r->n, sizeof *r->place, by_key);
	for (size_t i = 0; i < r->n; i++) {
		if (i + 1 < r->n && memcmp(r->place[i].key, r->place[i + 1].key, RF_ENTRY_KEY) == 0)
			continue;
		struct rf_buf *to = part(ret);
		if (to)
			rf_buf_add(to, packed_at(r, &r->place[i]));
		if (!to || to->bad)
			return rf_fail(r->e, RF_E_NOMEM, "memory is exhausted");
		ret->entries++;
	}
	return RF_OK;
}

void rf_bulk_parts_fini(struct rf_bulk_parts *p)
{
	for (size_t i = 0; i < p->n; i++)
		rf_buf_fini(&p->v[i]);
	free(p->v);
	*p = (struct rf_bulk_parts){ 0 };
}

int rf_bulk_read(struct rf_str body, const char *kind, const char *list_id, bool remove, struct rf_bulk_parts *ret,
		 struct rf_err *e)
{
	struct reading r = { .rest = body, .kind = kind, .list_id = list_id, .remove = remove, .e = e };
	struct rf_bulk_parts made = { 0 };
	e->pointer[0] = '\0';
	int rc = body.n ? read_all(&r) : RF_OK;
	if (rc == RF_OK)
		rc = sort(&r, &made);
	rf_buf_fini(&r.packed);
	free(r.place);
	if (rc != RF_OK)
		rf_bulk_parts_fini(&made);
	else
		*ret = made;
	return rc;
}
