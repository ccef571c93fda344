/* ctl/access: see access.h.
 *
 *   rule -> its prefix -> shield/sets
 *        -> its autonomous system or country -> that layer is stale -> settle: one walk over the database -> networks -> shield/sets
 *
 * What each rule is about is kept by the rule's id, so that a deleted rule is known by what it held.
 */
#include "ctl/access.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/list.h"
#include "base/map.h"
#include "base/room.h"
#include "ctl/doc.h"
#include "ctl/private.h"
#include "shield/sets.h"

enum { SIX_STEP = 4, SIX_MOST = 64 };

struct held {
	struct rf_map_node node;
	char id[RF_ID_LEN + 1];
	bool single;             /* it is about `at`, else about `value` of `layer` */
	bool fresh;              /* no walk has looked for it yet */
	bool seen;               /* this walk has found it */
	uint8_t mode;
	enum rf_set_layer layer;
	uint32_t value;
	struct rf_prefix at;
};

struct rf_access {
	struct rf_map held; /* by id */
	struct rf_sets *sets;
	bool stale[RF_LAYERS];
};

static const struct { enum rf_geo_file file; unsigned need; const char *what; } layers[RF_LAYERS] = {
	[RF_LAYER_ASN] = { RF_GEO_ASN, RF_NEED_ASN, "an autonomous system" },
	[RF_LAYER_COUNTRY] = { RF_GEO_PLACE, RF_NEED_COUNTRY, "a country" },
};

static struct held *held_of(const struct rf_access *a, const char *id)
{
	struct rf_map_node *n = rf_map_find(&a->held, rf_str_z(id));
	return n ? RF_CONTAINER(n, struct held, node) : NULL;
}

/* --- single rules --- */

/* What a rule is about stands in its name: a prefix, "AS64496", or "DE". */
static int read_rule(const struct rf_object *o, struct held *ret, struct rf_err *e)
{
	struct rf_str name = rf_str_z(o->name);
	uint64_t number;
	ret->mode = doc_is(o->doc, "mode", "whitelist") ? RF_SHIELD_ALLOW : RF_SHIELD_DENY;
	ret->single = rf_prefix_parse(name, true, &ret->at);
	if (ret->single)
		return RF_OK;
	if (rf_str_starts(name, RF_STR("AS")) && rf_str_u64(rf_str_skip(name, 2), &number) && number && number <= UINT32_MAX) {
		ret->layer = RF_LAYER_ASN;
		ret->value = (uint32_t)number;
		return RF_OK;
	}
	ret->layer = RF_LAYER_COUNTRY;
	ret->value = rf_geo_country(name);
	return ret->value ? RF_OK : rf_fail(e, RF_E_INVALID, "access rule %s is about \"%s\", which is no prefix, autonomous system or country",
		o->id, o->name);
}

static bool same_source(const struct held *a, const struct held *b)
{
	if (a->single != b->single)
		return false;
	return a->single ? a->at.bits == b->at.bits && rf_ip_eq(&a->at.ip, &b->at.ip) : a->layer == b->layer && a->value == b->value;
}

static int drop(struct rf_access *a, struct held *h, struct rf_err *e)
{
	int rc = h->single ? rf_sets_drop(a->sets, &h->at, e) : RF_OK;
	if (!h->single)
		a->stale[h->layer] = true;
	if (rc != RF_OK)
		return rc;
	rf_map_del(&a->held, &h->node);
	free(h);
	return RF_OK;
}

static int put(struct rf_access *a, const struct rf_object *o, struct rf_err *e)
{
	struct held want = { .fresh = true }, *h = held_of(a, o->id), *made = NULL;
	int rc = read_rule(o, &want, e);
	if (rc == RF_OK && h && !same_source(h, &want)) {
		rc = drop(a, h, e);
		h = NULL;
	}
	if (rc != RF_OK)
		return rc;
	if (!h && !(h = made = calloc(1, sizeof *h)))
		return rf_fail(e, RF_E_NOMEM, "no memory for access rule %s", o->id);
	if (want.single)
		rc = rf_sets_put(a->sets, &want.at, (enum rf_shield_mode)want.mode, e);
	else
		a->stale[want.layer] = true;
	if (rc != RF_OK) {
		free(made);
		return rc;
	}
	if (made) {
		*made = want;
		memcpy(h->id, o->id, sizeof h->id);
		rf_map_add(&a->held, &h->node, (struct rf_str){ h->id, RF_ID_LEN });
	}
	h->mode = want.mode;
	return RF_OK;
}

int rf_access_follow(struct rf_ctl *c, struct rf_access *a, const char *id, struct rf_err *e)
{
	RF_OBJECT_AUTO o = { 0 };
	struct held *h = held_of(a, id);
	int rc = rf_store_get(c->store, RF_KIND_ACCESS_RULE, id, &o, e);
	if (rc == RF_OK)
		return put(a, &o, e);
	if (rc == RF_E_NOT_FOUND && h)
		return drop(a, h, e);
	return rc == RF_E_NOT_FOUND ? RF_OK : rc;
}

/* --- networks --- */

struct gathering {
	struct held **rules;       /* of the layer, by value */
	size_t rule_count;
	struct rf_network *v;
	size_t n, room;
};

static int by_value(const void *a, const void *b)
{
	uint32_t x = (*(struct held *const *)a)->value, y = (*(struct held *const *)b)->value;
	return x < y ? -1 : x > y;
}

static int add(struct gathering *g, const struct rf_prefix *at, uint8_t mode)
{
	if (g->n == RF_LAYER_MAX)
		return RF_E_FULL;
	if (!RF_ROOM(g->v, g->room, g->n))
		return RF_E_NOMEM;
	g->v[g->n++] = (struct rf_network){ .at = *at, .mode = mode };
	return RF_OK;
}

/* The tables take few lengths of IPv6: a network of another length in parts of the next one. */
static int add_parts(struct gathering *g, const struct rf_prefix *net, uint8_t mode)
{
	unsigned bits = net->bits;
	if (net->ip.family != 6 || bits >= SIX_MOST || bits % SIX_STEP == 0)
		return add(g, net, mode);
	struct rf_prefix part = { net->ip, (uint8_t)((bits / SIX_STEP + 1) * SIX_STEP) };
	unsigned shift = (8 - part.bits % 8) % 8, count = 1u << (part.bits - bits);
	int rc = RF_OK;
	for (unsigned i = 0; i < count && rc == RF_OK; i++) {
		part.ip.b[(part.bits - 1) / 8] = (uint8_t)(net->ip.b[(part.bits - 1) / 8] | i << shift);
		rc = add(g, &part, mode);
	}
	return rc;
}

static int gathered(void *arg, const struct rf_prefix *net, uint32_t value)
{
	struct gathering *g = arg;
	struct held key = { .value = value }, *at = &key;
	struct held **found = bsearch(&at, g->rules, g->rule_count, sizeof *g->rules, by_value);
	if (!found)
		return RF_OK;
	(*found)->seen = true;
	return add_parts(g, net, (*found)->mode);
}

/* The rules of a layer by value; two cannot have the same, their names being one. */
static int rules_of(struct rf_access *a, enum rf_set_layer layer, struct gathering *g)
{
	g->rules = calloc(a->held.count + 1, sizeof *g->rules);
	if (!g->rules)
		return RF_E_NOMEM;
	for (struct rf_map_node *n = rf_map_next(&a->held, NULL); n; n = rf_map_next(&a->held, n)) {
		struct held *h = RF_CONTAINER(n, struct held, node);
		h->seen = false;
		if (!h->single && h->layer == layer)
			g->rules[g->rule_count++] = h;
	}
	qsort(g->rules, g->rule_count, sizeof *g->rules, by_value);
	return RF_OK;
}

static int nothing_found(const struct gathering *g, enum rf_set_layer layer, struct rf_err *e)
{
	for (size_t i = 0; i < g->rule_count; i++) {
		uint32_t v = g->rules[i]->value;
		if (!g->rules[i]->fresh || g->rules[i]->seen)
			continue;
		if (layer == RF_LAYER_ASN)
			return rf_fail_ptr(e, RF_E_INVALID, "/configuration/value", "the database of autonomous systems knows no network of AS%u", v);
		return rf_fail_ptr(e, RF_E_INVALID, "/configuration/value", "the database of countries knows no network of %c%c", (char)(v >> 8), (char)v);
	}
	return RF_OK;
}

static int gather(const struct rf_ctl *c, struct gathering *g, enum rf_set_layer layer, struct rf_err *e)
{
	int rc = g->rule_count ? rf_geo_walk(c->priv->geo, layers[layer].file, gathered, g) : RF_OK;
	if (rc == RF_E_MISSING)
		return rf_fail_ptr(e, rc, "/configuration/target", "an access rule about %s %s", layers[layer].what, rf_needs[layers[layer].need]);
	if (rc == RF_E_FULL)
		return rf_fail_ptr(e, rc, "/configuration/value", "access rules about %s come to more than %d networks", layers[layer].what, RF_LAYER_MAX);
	if (rc != RF_OK)
		return rf_fail(e, rc, "the networks of %s cannot be looked up: %s", layers[layer].what, rf_code_sentence(rc));
	return nothing_found(g, layer, e);
}

static int settle(struct rf_ctl *c, struct rf_access *a, enum rf_set_layer layer, struct rf_err *e)
{
	struct gathering g = { 0 };
	int rc = rules_of(a, layer, &g) == RF_OK ? gather(c, &g, layer, e) : rf_fail(e, RF_E_NOMEM, "no memory for access rules");
	if (rc == RF_OK)
		rc = rf_sets_fill(a->sets, layer, g.v, g.n, e);
	else
		free(g.v);
	for (size_t i = 0; rc == RF_OK && i < g.rule_count; i++)
		g.rules[i]->fresh = false;
	free(g.rules);
	return rc;
}

int rf_access_settle(struct rf_ctl *c, struct rf_access *a, struct rf_err *e)
{
	int rc = RF_OK;
	for (int i = 0; i < RF_LAYERS && rc == RF_OK; i++) {
		if (a->stale[i])
			rc = settle(c, a, (enum rf_set_layer)i, e);
		a->stale[i] &= rc != RF_OK;
	}
	return rc;
}

int rf_access_refresh(struct rf_ctl *c, struct rf_access *a, struct rf_err *e)
{
	for (int i = 0; i < RF_LAYERS; i++)
		a->stale[i] = true;
	return rf_access_settle(c, a, e);
}

/* --- the whole --- */

struct loading { struct rf_access *a; struct rf_err *e; };

static int each(const struct rf_object *o, void *arg)
{
	struct loading *l = arg;
	return put(l->a, o, l->e);
}

int rf_access_load(struct rf_ctl *c, struct rf_access **ret, struct rf_err *e)
{
	struct rf_store_query all = { 0 };
	struct rf_access *a = calloc(1, sizeof *a);
	struct loading l = { a, e };
	if (!a || !(a->sets = rf_sets_new(c->shield))) {
		free(a);
		return rf_fail(e, RF_E_NOMEM, "no memory for access rules");
	}
	int rc = rf_store_list(c->store, RF_KIND_ACCESS_RULE, &all, each, &l, NULL, e);
	if (rc == RF_OK)
		rc = rf_access_settle(c, a, e);
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
	rf_sets_free(a->sets);
	free(a);
}

unsigned rf_access_needs(const struct rf_access *a)
{
	unsigned needs = 0;
	for (struct rf_map_node *n = a ? rf_map_next(&a->held, NULL) : NULL; n; n = rf_map_next(&a->held, n)) {
		const struct held *h = RF_CONTAINER(n, struct held, node);
		needs |= h->single ? 0 : 1u << layers[h->layer].need;
	}
	return needs;
}

size_t rf_access_count(const struct rf_access *a) { return a->held.count; }
