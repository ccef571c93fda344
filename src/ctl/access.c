/* ctl/access: see access.h.
 *
 * The prefix of each rule is kept by the rule's id, so that a deleted rule is known by what it held.
 */
#include "ctl/access.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/list.h"
#include "base/map.h"
#include "ctl/doc.h"
#include "shield/shield.h"

struct held {
	struct rf_map_node node;
	char id[RF_ID_LEN + 1];
	struct rf_prefix at;
};

struct rf_access {
	struct rf_map held; /* by id */
};

static struct held *held_of(const struct rf_access *a, const char *id)
{
	struct rf_map_node *n = rf_map_find(&a->held, rf_str_z(id));
	return n ? RF_CONTAINER(n, struct held, node) : NULL;
}

static enum rf_shield_mode mode_of(const json_t *doc)
{
	return doc_is(doc, "mode", "whitelist") ? RF_SHIELD_ALLOW : RF_SHIELD_DENY;
}

static int put(struct rf_ctl *c, struct rf_access *a, const struct rf_object *o, struct rf_err *e)
{
	struct held *h = held_of(a, o->id), *made = NULL;
	struct rf_prefix at;
	if (!rf_prefix_parse(rf_str_z(o->name), true, &at))
		return rf_fail(e, RF_E_INVALID, "access rule %s is about \"%s\", which is no prefix", o->id, o->name);
	if (!h && !(h = made = calloc(1, sizeof *h)))
		return rf_fail(e, RF_E_NOMEM, "no memory for access rule %s", o->id);
	int rc = rf_shield_set(c->shield, &at, mode_of(o->doc), e);
	if (rc != RF_OK) {
		free(made);
		return rc;
	}
	h->at = at;
	if (made) {
		memcpy(h->id, o->id, sizeof h->id);
		rf_map_add(&a->held, &h->node, (struct rf_str){ h->id, RF_ID_LEN });
	}
	return RF_OK;
}

static void drop(struct rf_ctl *c, struct rf_access *a, struct held *h)
{
	rf_shield_clear(c->shield, &h->at);
	rf_map_del(&a->held, &h->node);
	free(h);
}

struct loading { struct rf_ctl *c; struct rf_access *a; struct rf_err *e; };

static int each(const struct rf_object *o, void *arg)
{
	struct loading *l = arg;
	return put(l->c, l->a, o, l->e);
}

int rf_access_load(struct rf_ctl *c, struct rf_access **ret, struct rf_err *e)
{
	struct rf_store_query all = { 0 };
	struct rf_access *a = calloc(1, sizeof *a);
	struct loading l = { c, a, e };
	if (!a)
		return rf_fail(e, RF_E_NOMEM, "no memory for access rules");
	int rc = rf_store_list(c->store, RF_KIND_ACCESS_RULE, &all, each, &l, NULL, e);
	if (rc != RF_OK) {
		rf_access_free(a);
		return rc;
	}
	*ret = a;
	return RF_OK;
}

void rf_access_free(struct rf_access *a)
{
	if (!a)
		return;
	struct rf_map_node *next;
	for (struct rf_map_node *n = rf_map_next(&a->held, NULL); n; n = next) {
		next = rf_map_next(&a->held, n);
		free(RF_CONTAINER(n, struct held, node));
	}
	rf_map_fini(&a->held);
	free(a);
}

int rf_access_follow(struct rf_ctl *c, struct rf_access *a, const char *id, struct rf_err *e)
{
	RF_OBJECT_AUTO o = { 0 };
	struct held *h = held_of(a, id);
	int rc = rf_store_get(c->store, RF_KIND_ACCESS_RULE, id, &o, e);
	if (rc == RF_OK)
		return put(c, a, &o, e);
	if (rc == RF_E_NOT_FOUND && h)
		drop(c, a, h);
	return rc == RF_E_NOT_FOUND ? RF_OK : rc;
}

size_t rf_access_count(const struct rf_access *a) { return a->held.count; }
