/* ctl/build_lists: named lists. What did not change since the last build is taken from it, by its revision. */
#include <stdio.h>
#include <stdlib.h>
#include "ctl/build.h"
#include "ctl/doc.h"

struct items {
	struct rf_str *v;
	size_t n, cap;
	struct rf_arena text;
	struct rf_err *e;
};

enum { ITEM_TEXT = 512 << 20 };

static bool room(struct items *t)
{
	if (t->n < t->cap)
		return true;
	size_t cap = t->cap ? t->cap * 2 : 64;
	struct rf_str *v = realloc(t->v, cap * sizeof *v);
	if (v) {
		t->v = v;
		t->cap = cap;
	}
	return v;
}

/* The text of an item in the grammar of rf_list_make. */
static struct rf_str item_text(const json_t *doc, struct rf_arena *a)
{
	const json_t *hostname = json_object_get(doc, "hostname"), *asn = json_object_get(doc, "asn");
	if (json_is_object(hostname))
		return rf_arena_dup(a, doc_str(hostname, "url_hostname"));
	if (json_is_integer(asn))
		return rf_arena_printf(a, "%lld", (long long)json_integer_value(asn));
	struct rf_str ip = doc_str(doc, "ip");
	return rf_arena_dup(a, ip.n ? ip : doc_str(doc, "string"));
}

static int each_item(const struct rf_object *o, void *arg)
{
	struct items *t = arg;
	struct rf_str text = item_text(o->doc, &t->text);
	if (!text.p || !room(t))
		return rf_fail(t->e, RF_E_NOMEM, "no memory for the entries of a list");
	if (text.n) /* a redirect has nothing that rules compare */
		t->v[t->n++] = text;
	return RF_OK;
}

struct making_lists {
	struct rf_ctl *c;
	const struct rf_parts *old;
	struct rf_parts *made; /* its lists and names */
	size_t cap;
	struct rf_err *e;
};

static int put_list(struct making_lists *m, struct rf_str name, struct rf_list *list)
{
	struct rf_lists *with = NULL;
	int rc = rf_lists_with(m->made->lists, name, list, &with);
	if (rc != RF_OK)
		return rf_fail(m->e, rc, "the table of lists is full: at most %d lists", RF_LISTS);
	rf_lists_put(m->made->lists);
	m->made->lists = with;
	return RF_OK;
}

static int compile_list(struct making_lists *m, const struct rf_object *o, enum rf_list_kind kind)
{
	struct items t = { .e = m->e };
	struct rf_store_query q = { .parent = o->id };
	struct rf_list *list = NULL;
	rf_arena_init(&t.text, ITEM_TEXT);
	int rc = rf_store_list(m->c->store, RF_KIND_LIST_ITEM, &q, each_item, &t, NULL, m->e);
	if (rc == RF_OK)
		rc = rf_list_make(kind, t.v, t.n, &list, m->e);
	if (rc == RF_OK)
		rc = put_list(m, rf_str_z(o->name), list);
	rf_list_put(list);
	rf_arena_fini(&t.text);
	free(t.v);
	return rc;
}

static const struct rf_built_list *list_before(const struct rf_parts *p, const char *name)
{
	for (size_t i = 0; i < p->list_count; i++)
		if (strcmp(p->list_names[i].name, name) == 0)
			return &p->list_names[i];
	return NULL;
}

static int note_list(struct making_lists *m, const struct rf_object *o)
{
	struct rf_parts *p = m->made;
	if (p->list_count == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 16;
		struct rf_built_list *v = realloc(p->list_names, cap * sizeof *v);
		if (!v)
			return rf_fail(m->e, RF_E_NOMEM, "no memory for lists");
		p->list_names = v;
		m->cap = cap;
	}
	struct rf_built_list *l = &p->list_names[p->list_count++];
	*l = (struct rf_built_list){ 0 };
	memcpy(l->name, o->name, strnlen(o->name, sizeof l->name - 1)); /* rf_list_name_ok: at most 50 */
	l->revision = o->revision;
	return RF_OK;
}

static int each_list(const struct rf_object *o, void *arg)
{
	struct making_lists *m = arg;
	enum rf_list_kind kind;
	if (!rf_list_kind_find(doc_str(o->doc, "kind"), &kind))
		return RF_OK; /* redirects are kept, and mean nothing to rules */
	const struct rf_built_list *was = list_before(m->old, o->name);
	int rc = note_list(m, o);
	return rc != RF_OK || (was && was->revision == o->revision) ? rc : compile_list(m, o, kind);
}

/* An entry's change also changes its list (number of entries, time), so the list's revision tells. */
int rf_build_lists(struct rf_ctl *c, const struct rf_parts *old, struct rf_parts *ret, struct rf_err *e)
{
	struct making_lists m = { .c = c, .old = old, .made = ret, .e = e };
	struct rf_store_query all = { 0 };
	ret->lists = old->lists ? rf_lists_get(old->lists) : NULL;
	int rc = rf_store_list(c->store, RF_KIND_LIST, &all, each_list, &m, NULL, e);
	for (size_t i = 0; rc == RF_OK && i < old->list_count; i++)
		if (!list_before(ret, old->list_names[i].name))
			rc = put_list(&m, rf_str_z(old->list_names[i].name), NULL);
	return rc;
}
