/* ctl/build_lists: named lists: loaded once, then edited live.
 *
 * The way of a list: a build finds it in the state; one that is in force already, by its id, is taken as it is; one that is new is
 * loaded with the entries that the state has in the open transaction. The way of an edit: what comes is entered before the
 * commit, since that may want memory; what goes is taken out after it, which cannot fail.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/room.h"
#include "ctl/build.h"
#include "ctl/doc.h"
#include "ctl/entries.h"
#include "records/log.h"

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

struct loading_list {
	struct rf_list *list;
	const char *name;
	struct rf_err *e;
};

static int enter(const struct rf_list_entry *it, void *arg)
{
	struct loading_list *l = arg;
	int rc = rf_list_insert(l->list, it->value);
	if (rc == RF_E_SYNTAX)
		return rf_fail(l->e, rc, "the entry `%.*s` of list %s cannot be read; restore a backup of the state", RF_ARG(it->value),
			       l->name);
	return rc == RF_OK || rc == RF_E_EXISTS ? RF_OK : rf_fail(l->e, RF_E_NOMEM, "no memory for the entries of a list");
}

static int load_list(struct making_lists *m, const struct rf_object *o, enum rf_list_kind kind)
{
	struct loading_list l = { rf_list_new(kind), o->name, m->e };
	int rc = l.list ? RF_OK : rf_fail(m->e, RF_E_NOMEM, "no memory for a list");
	if (rc == RF_OK)
		rc = rf_store_entries(m->c->store, o->id, NULL, false, 0, enter, &l, m->e);
	if (rc == RF_OK) {
		rf_list_share(l.list);
		rc = put_list(m, rf_str_z(o->name), l.list);
	}
	rf_list_put(l.list);
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
	if (!RF_ROOM(p->list_names, m->cap, p->list_count))
		return rf_fail(m->e, RF_E_NOMEM, "no memory for lists");
	struct rf_built_list *l = &p->list_names[p->list_count++];
	*l = (struct rf_built_list){ 0 };
	memcpy(l->name, o->name, strnlen(o->name, sizeof l->name - 1)); /* rf_list_name_ok: at most 50 */
	memcpy(l->id, o->id, sizeof l->id);
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
	return rc != RF_OK || (was && strcmp(was->id, o->id) == 0) ? rc : load_list(m, o, kind);
}

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

/* --- edits --- */

/* NULL: not in force yet, or of a kind that rules do not know. */
static struct rf_list *list_of(const struct rf_parts *p, const char *id, struct rf_list *last, const char **last_id)
{
	if (*last_id && strcmp(*last_id, id) == 0)
		return last;
	*last_id = id;
	for (size_t i = 0; i < p->list_count; i++)
		if (strcmp(p->list_names[i].id, id) == 0)
			return rf_lists_at(p->lists, rf_lists_find(p->lists, rf_str_z(p->list_names[i].name)));
	return NULL;
}

int rf_edits_enter(struct rf_ctl *c, const struct rf_parts *p, struct rf_edits *ret, struct rf_err *e)
{
	size_t n = rf_store_edit_count(c->store);
	struct rf_list *l = NULL;
	const char *id = NULL;
	*ret = (struct rf_edits){ .parts = p, .came = n ? calloc(n, sizeof *ret->came) : NULL };
	if (n && !ret->came)
		return rf_fail(e, RF_E_NOMEM, "no memory for the changes of a list");
	for (; ret->n < n; ret->n++) {
		struct rf_entry_edit d = rf_store_edit(c->store, ret->n);
		l = list_of(p, d.list_id, l, &id);
		int rc = l && d.in ? rf_list_insert(l, d.value) : RF_E_EXISTS;
		ret->came[ret->n] = rc == RF_OK;
		if (rc != RF_OK && rc != RF_E_EXISTS) {
			rf_edits_undo(c, ret);
			return rf_fail(e, rc, rc == RF_E_NOMEM ? "no memory for the entries of a list" : "a list is full");
		}
	}
	return RF_OK;
}

void rf_edits_undo(struct rf_ctl *c, struct rf_edits *d)
{
	struct rf_list *l = NULL;
	const char *id = NULL;
	for (size_t i = 0; i < d->n; i++) {
		struct rf_entry_edit it = rf_store_edit(c->store, i);
		l = list_of(d->parts, it.list_id, l, &id);
		if (d->came[i])
			rf_list_remove(l, it.value);
	}
	free(d->came);
	*d = (struct rf_edits){ 0 };
}

static int found(const struct rf_list_entry *it, void *arg)
{
	(void)it, (void)arg;
	return RF_OK;
}

void rf_edits_settle(struct rf_ctl *c, struct rf_edits *d)
{
	struct rf_list *l = NULL;
	const char *id = NULL;
	struct rf_err e;
	for (size_t i = 0; i < d->n; i++) {
		struct rf_entry_edit it = rf_store_edit(c->store, i);
		uint8_t key[RF_ENTRY_KEY];
		l = list_of(d->parts, it.list_id, l, &id);
		if (!l || it.in)
			continue;
		rf_entry_key(it.list_id, it.value, key); /* it may have come back later in the same change */
		if (rf_store_entry_get(c->store, it.list_id, key, found, NULL, &e) == RF_E_NOT_FOUND)
			rf_list_remove(l, it.value);
	}
	free(d->came);
	*d = (struct rf_edits){ 0 };
}
