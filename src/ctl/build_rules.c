/* ctl/build_rules: rulesets, compiled rule by rule; what did not change is not compiled again.
 *
 * One rule that changed: its row -> compiled -> where its priority and place put it (a search among compiled rules) ->
 * a ruleset that shares all blocks but that one with the old. A ruleset that was touched as a whole, and all at the
 * start and at a reload: its rows in order of place, each compiled unless the index has its revision.
 *
 * Invariants: rules of a ruleset stand by priority, then place, and rf_rule.order is the place; the index is only
 * noted in, its owner settles it when the build is in force. Errors point to "/rules/ID/...": the id of a rule, which
 * the API turns into what its request said.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/room.h"
#include "base/way.h"
#include "ctl/build.h"
#include "ctl/doc.h"
#include "ctl/private.h"
#include "ctl/rule_cost.h"
#include "policy/rule_text.h"
#include "records/counters.h"

enum { EACH_MAX = 1024 }; /* rules of a change that are brought in one by one; beyond it, all are compared */

struct making {
	struct rf_ctl *c;
	struct rf_rule_index *index;
	struct rf_rule_env env;
	bool afresh;
	struct rf_parts *made;
	bool change;              /* and no start: bounds hold */
	struct rf_rule_costs costs;
	struct rf_err *e;
};

static int no_memory(struct rf_err *e)
{
	return rf_fail(e, RF_E_NOMEM, "no memory for rules");
}

static int in_memory(struct making *m, const struct rf_ruleset *s)
{
	return rf_rule_cost_memory(s, rf_store_held(m->c->store, s->id), "/rules", m->change ? m->c->boot->limits_rules_memory : 0, m->e);
}

/* Row to rule. */
static int compile(struct making *m, enum rf_phase phase, const struct rf_raw_object *o, struct rf_rule **ret)
{
	char at[48] = "/rules/";
	struct rf_rule *made = NULL;
	struct rf_str id = rf_str_z(o->id);
	size_t before = strlen(at), shown = id.n < sizeof at - before ? id.n : sizeof at - before - 1;
	memcpy(at + before, id.p, shown);
	at[before + shown] = '\0';
	int rc = rf_rule_make_text(&m->env, phase, o->doc, id, rf_str_z(o->name), at, &made, m->e);
	if (rc == RF_E_SYNTAX && strcmp(m->e->pointer, at) == 0)
		rc = rf_fail(m->e, RF_E_DISK, "the document of rule %s is damaged; restore a backup", o->id);
	if (rc != RF_OK)
		return rc;
	rf_count(RF_C_RULES_COMPILED);
	made->order = o->place;
	made->revision = o->revision;
	if (!rf_str_eq(made->id, id))
		rc = rf_fail(m->e, RF_E_DISK, "the document of rule %s is another rule's; restore a backup", o->id);
	if (rc == RF_OK)
		rc = rf_rule_cost(&m->costs, o->id, rf_rule_label(made), made->took, m->e);
	if (rc == RF_OK)
		*ret = made;
	else
		rf_rule_put(made);
	return rc;
}

/* --- a whole ruleset --- */

struct scanning {
	struct making *m;
	const char *set;
	enum rf_phase phase;
	struct rf_seeds *seeds;
	struct rf_rule_link *v; /* a reference each */
	size_t n, cap;
};

/* A rule that is like one before it is not compiled. */
static int make_rule(struct scanning *s, const struct rf_raw_object *o, struct rf_rule_link *ret)
{
	struct rf_rule *made = NULL;
	struct rf_str id = rf_str_z(o->id), ref = o->name == o->id ? id : rf_str_z(o->name);
	if (rf_seeds_take(s->seeds, o->doc, id, ref, o->place, o->revision, ret)) {
		rf_count(RF_C_RULES_COMPILED);
		return RF_OK;
	}
	int rc = compile(s->m, s->phase, o, &made);
	if (rc == RF_OK)
		rf_seeds_learn(s->seeds, o->doc, made);
	*ret = rf_link_of(made);
	return rc;
}

static int each_rule(const struct rf_raw_object *o, void *arg)
{
	struct scanning *s = arg;
	struct rf_rule_link was = { 0 };
	if (!s->m->afresh)
		was = rf_rule_index_in(s->m->index, s->set, o->id, o->revision);
	if (!RF_ROOM(s->v, s->cap, s->n))
		return no_memory(s->m->e);
	int rc = RF_OK;
	if (was.to)
		s->v[s->n] = rf_link_get(was);
	else
		rc = make_rule(s, o, &s->v[s->n]);
	s->n += rc == RF_OK;
	return rc;
}

static int whole_set(struct making *m, const struct rf_object *o, struct rf_ruleset **ret)
{
	struct scanning s = { .m = m, .set = o->id, .seeds = rf_seeds_new() };
	struct rf_store_query rows = { .parent = o->id, .by_place = true };
	int rc = rf_phase_find(doc_str(o->doc, "phase"), &s.phase, m->e);
	if (rc == RF_OK && (!s.seeds || !RF_ROOM(s.v, s.cap, 0)))
		rc = RF_E_NOMEM;
	if (rc == RF_OK)
		rc = rf_store_scan(m->c->store, RF_KIND_RULE, &rows, each_rule, &s, m->e);
	if (rc == RF_OK)
		rc = rf_ruleset_link(s.phase, rf_str_z(o->id), doc_str(o->doc, "name"), s.v, s.n, ret);
	if (rc == RF_OK && (rc = rf_rule_index_note_set(m->index, o->id, *ret)) != RF_OK) {
		rf_ruleset_put(*ret);
		*ret = NULL;
	}
	if (rc == RF_E_FULL)
		rf_fail_ptr(m->e, rc, "/rules", "a ruleset takes at most %d rules", RF_RULES);
	else if (rc == RF_E_NOMEM)
		no_memory(m->e);
	for (size_t i = 0; i < s.n; i++) {
		rf_way_give();
		rf_link_put(s.v[i]);
	}
	rf_way_free(s.v);
	rf_seeds_free(s.seeds);
	return rc;
}

static struct rf_built_rules *built(struct rf_parts *p, const char *id)
{
	for (size_t i = 0; i < p->rules_count; i++)
		if (strcmp(p->rules[i].id, id) == 0)
			return &p->rules[i];
	return NULL;
}

static struct rf_built_rules *append(struct making *m, const struct rf_object *o)
{
	struct rf_parts *p = m->made;
	struct rf_built_rules *v = realloc(p->rules, (p->rules_count + 1) * sizeof *v);
	if (!v)
		return NULL;
	p->rules = v;
	struct rf_built_rules *r = &v[p->rules_count];
	*r = (struct rf_built_rules){ .entry = doc_is(o->doc, "kind", "root") || doc_is(o->doc, "kind", "zone") };
	memcpy(r->id, o->id, sizeof r->id);
	snprintf(r->zone, sizeof r->zone, "%.*s", RF_ARG(doc_str(o->doc, "zone_id")));
	return r;
}

static int build_set(struct making *m, const struct rf_object *o)
{
	struct rf_ruleset *set = NULL;
	int rc = whole_set(m, o, &set);
	struct rf_built_rules *r = rc == RF_OK ? built(m->made, o->id) : NULL;
	if (rc == RF_OK && rf_ruleset_index(set, r && !m->afresh ? r->set : NULL, false) != RF_OK)
		rc = no_memory(m->e);
	if (rc == RF_OK)
		rc = in_memory(m, set);
	if (rc == RF_OK && !r && !(r = append(m, o)))
		rc = no_memory(m->e);
	if (rc != RF_OK) {
		rf_ruleset_put(set);
		return rc;
	}
	m->made->rules_count += r == &m->made->rules[m->made->rules_count];
	rf_ruleset_put(r->set);
	r->set = set;
	return RF_OK;
}

static int drop_set(struct making *m, struct rf_built_rules *r)
{
	struct rf_parts *p = m->made;
	if (rf_rule_index_note_set(m->index, r->id, NULL) != RF_OK)
		return no_memory(m->e);
	rf_ruleset_put(r->set);
	memmove(r, r + 1, (size_t)(&p->rules[--p->rules_count] - r) * sizeof *r);
	return RF_OK;
}

/* --- all --- */

struct all {
	struct making *m;
	json_t *ids; /* of the rulesets that are there */
};

static int each_set(const struct rf_object *o, void *arg)
{
	struct all *a = arg;
	if (json_object_set_new(a->ids, o->id, json_true()) != 0)
		return no_memory(a->m->e);
	return build_set(a->m, o);
}

static int build_all(struct making *m)
{
	struct rf_store_query every = { 0 };
	struct all a = { m, json_object() };
	int rc = a.ids ? rf_store_list(m->c->store, RF_KIND_RULESET, &every, each_set, &a, NULL, m->e) : no_memory(m->e);
	for (size_t i = m->made->rules_count; rc == RF_OK && i-- > 0;)
		if (!json_object_get(a.ids, m->made->rules[i].id))
			rc = drop_set(m, &m->made->rules[i]);
	json_decref(a.ids);
	return rc;
}

/* --- what was touched --- */

static int touched_set(struct making *m, const char *id)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_store_get(m->c->store, RF_KIND_RULESET, id, &o, m->e);
	if (rc == RF_OK)
		return build_set(m, &o);
	struct rf_built_rules *r = built(m->made, id);
	return rc != RF_E_NOT_FOUND ? rc : r ? drop_set(m, r) : RF_OK;
}

/* `set` with `rule` put where it belongs, or where `at` and `replace` say. */
static int swap_in(struct rf_built_rules *r, size_t at, bool replace, struct rf_rule *rule, struct rf_err *e)
{
	struct rf_ruleset *with = NULL;
	int rc = rf_ruleset_with(r->set, at, replace, rule, &with);
	if (rc == RF_E_FULL)
		return rf_fail_ptr(e, rc, "/rules", "a ruleset takes at most %d rules", RF_RULES);
	if (rc != RF_OK)
		return rc == RF_E_NOMEM ? no_memory(e) : rf_fail(e, RF_E_INTERNAL, "a rule could not be put in its place");
	rf_ruleset_put(r->set);
	r->set = with;
	return RF_OK;
}

static int take_out(struct rf_built_rules *r, const struct rf_rule *rule, struct rf_err *e)
{
	size_t at = rf_ruleset_rank(r->set, rule->priority, rule->order);
	const struct rf_rule *there;
	while ((there = rf_ruleset_at(r->set, at)) && there != rule && there->order == rule->order)
		at++; /* one that is moving here */
	return there == rule ? swap_in(r, at, true, NULL, e) : rf_fail(e, RF_E_INTERNAL, "a rule is not in its place");
}

static int put_in(struct making *m, struct rf_built_rules *r, const struct rf_raw_object *row, struct rf_rule **ret)
{
	struct rf_rule *rule = NULL;
	int rc = compile(m, r->set->phase, row, &rule);
	if (rc != RF_OK)
		return rc;
	rc = swap_in(r, rf_ruleset_rank(r->set, rule->priority, rule->order), false, rule, m->e);
	if (rc == RF_OK)
		rc = in_memory(m, r->set);
	if (rc == RF_OK)
		*ret = rule;
	else
		rf_rule_put(rule);
	return rc;
}

static int touched_rule(struct making *m, const char *id)
{
	struct rf_raw_object row = { 0 };
	const char *set = NULL;
	if (rf_rule_index_noted(m->index, id))
		return RF_OK; /* touched twice */
	struct rf_rule_link found;
	if (rf_rule_index_find(m->index, id, &set, &found) != RF_OK)
		return no_memory(m->e);
	struct rf_rule *was = found.to ? rf_link_rule(found) : NULL;
	int rc = rf_store_raw(m->c->store, RF_KIND_RULE, id, &row, m->e);
	if (rc != RF_OK && rc != RF_E_NOT_FOUND)
		return rc;
	bool there = rc == RF_OK;
	struct rf_built_rules *r = there ? built(m->made, row.parent) : was ? built(m->made, set) : NULL;
	if (r && rf_rule_index_noted_set(m->index, r->id))
		return RF_OK; /* its ruleset was built as a whole */
	if (!r || (there && was && was->revision == row.revision))
		return RF_OK; /* the ruleset went, or holds it as it is */
	struct rf_rule *rule = NULL;
	rc = was ? take_out(r, was, m->e) : RF_OK;
	if (rc == RF_OK && there)
		rc = put_in(m, r, &row, &rule);
	if (rc == RF_OK && rf_rule_index_note(m->index, id, r->id, rf_link_of(rule)) != RF_OK)
		rc = no_memory(m->e);
	rf_rule_put(rule);
	return rc;
}

static size_t touched(const struct rf_ctl_private *p, enum rf_kind kind)
{
	size_t n = 0;
	for (size_t i = 0; i < p->touched_count; i++)
		n += p->touched[i].kind == kind;
	return n;
}

static int build_touched(struct making *m)
{
	const struct rf_ctl_private *p = m->c->priv;
	int rc = RF_OK;
	for (size_t i = 0; i < p->touched_count && rc == RF_OK; i++)
		if (p->touched[i].kind == RF_KIND_RULESET)
			rc = touched_set(m, p->touched[i].id);
	for (size_t i = 0; i < p->touched_count && rc == RF_OK; i++)
		if (p->touched[i].kind == RF_KIND_RULE)
			rc = touched_rule(m, p->touched[i].id);
	return rc;
}

int rf_build_rules(struct rf_ctl *c, bool afresh, struct rf_parts *p, struct rf_err *e)
{
	struct rf_ctl_private *own = c->priv;
	struct making m = { .c = c, .index = &own->rules, .env = { .lists = p->lists, .have = rf_build_have(c), .clock = &c->clock }, .afresh = afresh,
			    .change = own->touched_count && !afresh, .made = p, .e = e };
	size_t rules = touched(own, RF_KIND_RULE);
	m.costs = (struct rf_rule_costs){ .where = "/rules", .bound = m.change ? c->boot->limits_rules_compile_time : 0 };
	bool some = rules + touched(own, RF_KIND_RULESET) > 0 && rules <= EACH_MAX && !afresh;
	rf_rule_index_drop(&own->rules);
	m.env.shapes = rf_shapes_new();
	int rc = some ? build_touched(&m) : build_all(&m);
	rf_shapes_free(m.env.shapes);
	return rc;
}
