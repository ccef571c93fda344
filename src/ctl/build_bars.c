/* ctl/build_bars: access rules of zones, each compiled to two rules: of the phase connection, and of requests.
 *
 *   rows that a change touched; else all of them, of which one with the revision of the copy keeps its rules -> compiled -> the
 *   rulesets of their zones with what has come and without what has gone
 *
 * The nearest rule counts: the longest prefix, then the autonomous system, then the country; that is their order. A source that is let
 * in is asked nothing more by rules that stop: neither those against floods, nor patches, nor rates.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/room.h"
#include "base/way.h"
#include "ctl/build.h"
#include "ctl/doc.h"
#include "ctl/private.h"
#include "records/counters.h"

enum { ORDER_ASN = 200, ORDER_COUNTRY = 201, EACH_MAX = 32 /* changes that a ruleset takes one by one */ };

static const enum rf_phase phases[RF_BAR_RULES] = { RF_PHASE_CONNECTION, RF_PHASE_HTTP_REQUEST };

struct making {
	struct rf_ctl *c;
	struct rf_rule_env env;
	const struct rf_built_bar *old; /* of a walk over all; a part of them is in `v` again */
	size_t old_count, at;           /* where the next row is likely to be */
	bool *stays;                    /* one of `old` each */
	size_t came[EACH_MAX], came_n, gone[EACH_MAX], gone_n; /* places in `v` and `old`; EACH_MAX: too many to tell */
	struct rf_built_bar *v;
	size_t n, cap;
	struct rf_err *e;
};

static int no_memory(struct rf_err *e) { return rf_fail(e, RF_E_NOMEM, "no memory for access rules of zones"); }

static void bar_put(struct rf_built_bar *b)
{
	for (int i = 0; i < RF_BAR_RULES; i++)
		rf_rule_put(b->rules[i]);
}

void rf_bars_put(struct rf_built_bar *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bar_put(&v[i]);
	free(v);
}

/* --- one access rule --- */

/* What it is about, and its place among others. */
static int64_t condition(const char *name, char *to, size_t room)
{
	struct rf_prefix p;
	if (rf_prefix_parse(rf_str_z(name), true, &p)) {
		snprintf(to, room, "ip.src in {%s}", name);
		return p.ip.family == 4 ? 32 - p.bits : 128 - p.bits;
	}
	bool asn = strncmp(name, "AS", 2) == 0 && name[2];
	snprintf(to, room, asn ? "ip.src.asnum eq %s" : "ip.src.country eq \"%s\"", asn ? name + 2 : name);
	return asn ? ORDER_ASN : ORDER_COUNTRY;
}

static json_t *document(const struct rf_raw_object *o, bool allow, enum rf_phase phase, const char *expression)
{
	const char *action = !allow ? "block" : phase == RF_PHASE_CONNECTION ? "allow" : "skip";
	json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:o}", "id", o->id, "ref", o->id, "action", action, "expression", expression, "description",
				json_sprintf("access rule of the zone: %s", o->name));
	if (strcmp(action, "skip") == 0)
		json_object_set_new(doc, "action_parameters", json_pack("{s:s, s:[s, s, s, s]}", "ruleset", "current", "phases", "http_request",
			"http_ratelimit", "http_request_firewall_managed", "http_response_firewall_managed"));
	return doc;
}

static int compile(struct making *m, const struct rf_raw_object *o, bool allow, struct rf_built_bar *to)
{
	char expression[400];
	int64_t order = condition(o->name, expression, sizeof expression);
	for (int i = 0; i < RF_BAR_RULES; i++) {
		json_t *doc = document(o, allow, phases[i], expression);
		m->e->pointer[0] = '\0';
		int rc = doc ? rf_rule_make(&m->env, phases[i], doc, "", &to->rules[i], m->e) : no_memory(m->e);
		json_decref(doc);
		if (rc != RF_OK) {
			snprintf(m->e->pointer, sizeof m->e->pointer, "/configuration/value");
			return rc;
		}
		to->rules[i]->order = order;
		rf_count(RF_C_RULES_COMPILED);
	}
	return RF_OK;
}

static const struct rf_built_bar *before(struct making *m, const char *id)
{
	for (size_t i = 0; i < m->old_count; i++) {
		const struct rf_built_bar *b = &m->old[(m->at + i) % m->old_count];
		if (strcmp(b->id, id) == 0) {
			m->at = (m->at + i + 1) % m->old_count;
			return b;
		}
	}
	return NULL;
}

static int keep(struct making *m, const struct rf_built_bar *was)
{
	if (!RF_ROOM(m->v, m->cap, m->n))
		return no_memory(m->e);
	m->stays[was - m->old] = true;
	m->v[m->n] = *was;
	for (int i = 0; i < RF_BAR_RULES; i++)
		rf_rule_get(m->v[m->n].rules[i]);
	m->n++;
	return RF_OK;
}

static int add(struct making *m, const struct rf_raw_object *o, const json_t *doc)
{
	struct rf_built_bar b = { .revision = o->revision };
	int rc = RF_ROOM(m->v, m->cap, m->n) ? RF_OK : no_memory(m->e);
	snprintf(b.id, sizeof b.id, "%s", o->id);
	snprintf(b.zone, sizeof b.zone, "%s", o->parent);
	if (rc == RF_OK)
		rc = compile(m, o, doc_is(doc, "mode", "whitelist"), &b);
	if (rc != RF_OK) {
		bar_put(&b);
		return rc;
	}
	if (m->came_n < EACH_MAX)
		m->came[m->came_n++] = m->n;
	m->v[m->n++] = b;
	return RF_OK;
}

static int take(const struct rf_raw_object *o, void *arg)
{
	struct making *m = arg;
	const struct rf_built_bar *was = before(m, o->id);
	rf_way_give();
	if (was && was->revision == o->revision)
		return keep(m, was);
	json_t *doc = json_loadb(o->doc.p, o->doc.n, 0, NULL);
	int rc = doc ? add(m, o, doc) : rf_fail(m->e, RF_E_DISK, "the document of access rule %s is damaged; restore a backup", o->id);
	json_decref(doc);
	return rc;
}

/* --- a few of them --- */

/* How many access rules of zones the change touched, where it touched nothing else that has to do with them; else 0. */
static size_t few(const struct rf_ctl_private *p)
{
	size_t n = 0;
	for (size_t i = 0; i < p->touched_count; i++) {
		if (p->touched[i].kind == RF_KIND_ZONE_ACCESS_RULE)
			n++;
		else if (rf_build_needs(p->touched[i].kind) & RF_PART_BARS)
			return 0;
	}
	return n < EACH_MAX ? n : 0;
}

static bool is_touched(const struct rf_ctl_private *p, const char *id, size_t before)
{
	for (size_t i = 0; i < before; i++)
		if (p->touched[i].kind == RF_KIND_ZONE_ACCESS_RULE && strcmp(p->touched[i].id, id) == 0)
			return true;
	return false;
}

static int take_touched(struct making *m)
{
	const struct rf_ctl_private *p = m->c->priv;
	int rc = RF_OK;
	for (size_t i = 0; i < m->old_count && rc == RF_OK; i++)
		if (!is_touched(p, m->old[i].id, p->touched_count))
			rc = keep(m, &m->old[i]);
	for (size_t i = 0; i < p->touched_count && rc == RF_OK; i++) {
		RF_OBJECT_AUTO o = { 0 };
		if (p->touched[i].kind != RF_KIND_ZONE_ACCESS_RULE || is_touched(p, p->touched[i].id, i))
			continue;
		rc = rf_store_get(m->c->store, RF_KIND_ZONE_ACCESS_RULE, p->touched[i].id, &o, m->e);
		struct rf_raw_object row = { .id = o.id, .parent = o.parent, .name = o.name, .revision = o.revision };
		rc = rc == RF_OK ? add(m, &row, o.doc) : rc == RF_E_NOT_FOUND ? RF_OK : rc;
	}
	return rc;
}

/* --- the rulesets of a zone --- */

static int set_of(struct making *m, const char *zone, int i, struct rf_built_rules *to)
{
	struct rf_rule **rules = calloc(m->n + 1, sizeof *rules);
	size_t n = 0;
	for (size_t k = 0; rules && k < m->n; k++)
		if (strcmp(m->v[k].zone, zone) == 0)
			rules[n++] = m->v[k].rules[i];
	*to = (struct rf_built_rules){ .entry = true };
	snprintf(to->id, sizeof to->id, RF_BARS_SET);
	snprintf(to->zone, sizeof to->zone, "%s", zone);
	int rc = rules ? rf_ruleset_of(phases[i], RF_STR(RF_BARS_SET), RF_STR(RF_BARS_SET), rules, n, &to->set) : RF_E_NOMEM;
	if (rc == RF_OK && (rc = rf_ruleset_index(to->set, NULL, false)) != RF_OK)
		rf_ruleset_put(to->set);
	free(rules);
	return rc == RF_OK ? RF_OK : no_memory(m->e);
}

struct making_sets {
	struct rf_built_rules *v;
	size_t n, cap;
};

static const struct rf_built_rules *set_in(const struct rf_built_rules *v, size_t n, const char *zone)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].zone, zone) == 0)
			return &v[i];
	return NULL;
}

static bool in_zone(const struct rf_built_bar *v, const size_t *at, size_t n, const char *zone)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(v[at[i]].zone, zone) == 0)
			return true;
	return false;
}

/* `*set` without a rule, or with it. */
static int swap_in(struct rf_ruleset **set, struct rf_rule *r, bool out)
{
	struct rf_ruleset *with = NULL;
	size_t at = rf_ruleset_rank(*set, r->priority, r->order);
	const struct rf_rule *there;
	while (out && (there = rf_ruleset_at(*set, at)) && there != r)
		at++;
	int rc = rf_ruleset_with(*set, at, out, out ? NULL : r, &with);
	if (rc != RF_OK)
		return rc;
	rf_ruleset_put(*set);
	*set = with;
	return RF_OK;
}

/* One of them as it was in force, with what has come and gone. */
static int changed_set(struct making *m, const struct rf_built_rules *was, int i, struct rf_built_rules *to)
{
	int rc = RF_OK;
	*to = *was;
	rf_ruleset_get(to->set);
	for (size_t k = 0; k < m->gone_n && rc == RF_OK; k++)
		if (strcmp(m->old[m->gone[k]].zone, to->zone) == 0)
			rc = swap_in(&to->set, m->old[m->gone[k]].rules[i], true);
	for (size_t k = 0; k < m->came_n && rc == RF_OK; k++)
		if (strcmp(m->v[m->came[k]].zone, to->zone) == 0)
			rc = swap_in(&to->set, m->v[m->came[k]].rules[i], false);
	if (rc != RF_OK)
		rf_ruleset_put(to->set);
	return rc == RF_OK ? RF_OK : no_memory(m->e);
}

/* Both of them, as in force where nothing of the zone has changed. */
static int add_zone(struct making *m, const struct rf_parts *p, const char *zone, struct making_sets *to)
{
	if (set_in(to->v, to->n, zone))
		return RF_OK;
	if (!rf_room(&to->v, &to->cap, to->n + RF_BAR_RULES, sizeof *to->v))
		return no_memory(m->e);
	const struct rf_built_rules *was = set_in(p->bars, p->bar_sets, zone);
	bool few = m->came_n < EACH_MAX && m->gone_n < EACH_MAX;
	bool same = few && was && !in_zone(m->v, m->came, m->came_n, zone) && !in_zone(m->old, m->gone, m->gone_n, zone);
	for (int i = 0; i < RF_BAR_RULES; i++) {
		int rc = RF_OK;
		if (same) {
			to->v[to->n] = was[i];
			rf_ruleset_get(was[i].set);
		} else {
			rc = few && was ? changed_set(m, &was[i], i, &to->v[to->n]) : set_of(m, zone, i, &to->v[to->n]);
		}
		if (rc != RF_OK)
			return rc;
		to->n++;
	}
	return RF_OK;
}

static int all_sets(struct making *m, const struct rf_parts *p, struct making_sets *to)
{
	int rc = RF_OK;
	for (size_t i = 0; i < m->old_count && m->gone_n < EACH_MAX; i++)
		if (!m->stays[i])
			m->gone[m->gone_n++] = i;
	for (size_t i = 0; i < m->n && rc == RF_OK; i++)
		if (i == 0 || strcmp(m->v[i].zone, m->v[i - 1].zone) != 0)
			rc = add_zone(m, p, m->v[i].zone, to);
	return rc;
}

/* --- the part --- */

static void put_sets(struct rf_built_rules *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		rf_ruleset_put(v[i].set);
	free(v);
}

int rf_build_bars(struct rf_ctl *c, struct rf_parts *p, struct rf_err *e)
{
	struct rf_store_query every = { 0 };
	struct making m = { .c = c, .env = { .lists = p->lists, .have = rf_build_have(c) }, .old = p->bar_rules, .old_count = p->bar_count, .e = e };
	struct making_sets sets = { NULL, 0, 0 };
	m.stays = calloc(m.old_count + 1, sizeof *m.stays);
	int rc = !m.stays ? no_memory(e) : few(c->priv) ? take_touched(&m) :
		rf_store_scan(c->store, RF_KIND_ZONE_ACCESS_RULE, &every, take, &m, e);
	if (rc == RF_OK)
		rc = all_sets(&m, p, &sets);
	free(m.stays);
	if (rc != RF_OK) {
		rf_bars_put(m.v, m.n);
		put_sets(sets.v, sets.n);
		return rc;
	}
	rf_bars_put(p->bar_rules, p->bar_count);
	put_sets(p->bars, p->bar_sets);
	p->bar_rules = m.v;
	p->bar_count = m.n;
	p->bars = sets.v;
	p->bar_sets = sets.n;
	return RF_OK;
}
