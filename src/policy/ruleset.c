/* policy/ruleset: ordered rules of one phase, and the rulesets that a zone evaluates in it.
 *
 * Rules stand by priority, those of equal priority as given (a stable sort). A ruleset that is made
 * while an older one of the same rules exists takes over every rule whose document is unchanged.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/list.h"
#include "base/map.h"
#include "policy/rule_int.h"

static void uses_of(const struct rf_rule *r, uint64_t uses[(RF_FIELD_COUNT + 63) / 64])
{
	for (int f = 0; f < RF_FIELD_COUNT; f++) {
		bool used = rf_expr_uses(r->cond, (enum rf_field)f);
		for (size_t i = 0; i < r->nedits && !used; i++)
			used = r->edits[i].expr && rf_expr_uses(r->edits[i].expr, (enum rf_field)f);
		used |= r->path && r->path->expr && rf_expr_uses(r->path->expr, (enum rf_field)f);
		used |= r->query && r->query->expr && rf_expr_uses(r->query->expr, (enum rf_field)f);
		if (used)
			uses[f >> 6] |= 1ull << (f & 63);
	}
}

static struct rf_ruleset *empty(size_t room)
{
	struct rf_ruleset *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	atomic_init(&s->refs, 1);
	s->rules = malloc((room + 1) * sizeof *s->rules);
	if (!s->rules) {
		free(s);
		return NULL;
	}
	return s;
}

struct rf_ruleset *rf_ruleset_get(struct rf_ruleset *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void rf_ruleset_put(struct rf_ruleset *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < s->count; i++)
		rf_rule_put(s->rules[i]);
	free(s->rules);
	free(s);
}

/* Stable and fast where the rules are in order already, which they nearly always are. */
static void by_priority(struct rf_ruleset *s)
{
	for (size_t i = 1; i < s->count; i++) {
		struct rf_rule *r = s->rules[i];
		size_t lo = 0, hi = i;
		if (s->rules[i - 1]->priority <= r->priority)
			continue;
		while (lo < hi) {
			size_t mid = (lo + hi) / 2;
			if (s->rules[mid]->priority <= r->priority)
				lo = mid + 1;
			else
				hi = mid;
		}
		memmove(&s->rules[lo + 1], &s->rules[lo], (i - lo) * sizeof *s->rules);
		s->rules[lo] = r;
	}
}

struct old_rule {
	struct rf_map_node node;
	struct rf_rule *rule;
};

static void index_old(const struct rf_ruleset *old, struct rf_map *m, struct old_rule *at)
{
	for (size_t i = 0; old && at && i < old->count; i++)
		if (old->rules[i]->id.n) {
			at[i].rule = old->rules[i];
			rf_map_add(m, &at[i].node, old->rules[i]->id);
		}
}

/* The old rule of that id where its document is the same; referenced. */
static struct rf_rule *unchanged(const struct rf_map *m, const json_t *doc)
{
	const char *id = json_string_value(json_object_get(doc, "id"));
	struct rf_map_node *n = id && m->count ? rf_map_find(m, rf_str_z(id)) : NULL;
	if (!n)
		return NULL;
	struct rf_rule *r = RF_CONTAINER(n, struct old_rule, node)->rule;
	struct rf_str source = rule_source(doc);
	bool same = source.n && rf_str_eq(source, r->source);
	free((char *)source.p);
	return same ? rf_rule_get(r) : NULL;
}

static int fill(const struct rf_rule_env *env, const json_t *rules, const struct rf_map *m, struct rf_ruleset *s,
	struct rf_err *e)
{
	size_t count = json_array_size(rules);
	for (size_t i = 0; i < count; i++) {
		const json_t *doc = json_array_get(rules, i);
		char at[32];
		snprintf(at, sizeof at, "/rules/%zu", i);
		struct rf_rule *r = unchanged(m, doc);
		int c = r ? RF_OK : rf_rule_make(env, s->phase, doc, at, &r, e);
		if (c)
			return c;
		s->rules[s->count++] = r;
		uses_of(r, s->uses);
	}
	return RF_OK;
}

int rf_ruleset_make(const struct rf_rule_env *env, enum rf_phase phase, struct rf_str id, struct rf_str name,
	const json_t *rules, const struct rf_ruleset *old, struct rf_ruleset **ret, struct rf_err *e)
{
	if (!json_is_array(rules))
		return rf_fail_ptr(e, RF_E_TYPE, "/rules", "this should be an array of rules");
	if (json_array_size(rules) > RF_RULES)
		return rf_fail_ptr(e, RF_E_TOO_LARGE, "/rules", "a ruleset takes at most %d rules", RF_RULES);
	struct rf_ruleset *s = empty(json_array_size(rules));
	struct old_rule *at = old && old->phase == phase ? calloc(old->count + 1, sizeof *at) : NULL;
	struct rf_map m = { 0 };
	if (!s) {
		free(at);
		return rf_fail_ptr(e, RF_E_NOMEM, "/rules", "no memory for these rules");
	}
	s->phase = phase;
	snprintf(s->id, sizeof s->id, "%.*s", RF_ARG(id));
	snprintf(s->name, sizeof s->name, "%.*s", RF_ARG(name));
	if (at)
		index_old(old, &m, at);
	int c = fill(env, rules, &m, s, e);
	rf_map_fini(&m);
	free(at);
	if (c) {
		rf_ruleset_put(s);
		return c;
	}
	by_priority(s);
	*ret = s;
	return RF_OK;
}

int rf_ruleset_with(const struct rf_ruleset *old, size_t at, bool replace, struct rf_rule *rule,
	struct rf_ruleset **ret)
{
	if (at > old->count || (replace && at == old->count) || (!replace && !rule))
		return RF_E_RANGE;
	if (old->count >= RF_RULES && !replace)
		return RF_E_FULL;
	if (rule && rule->phase != old->phase)
		return RF_E_INVALID;
	struct rf_ruleset *s = empty(old->count + 1);
	if (!s)
		return RF_E_NOMEM;
	s->phase = old->phase;
	memcpy(s->id, old->id, sizeof s->id);
	memcpy(s->name, old->name, sizeof s->name);
	memcpy(s->uses, old->uses, sizeof s->uses); /* a removed rule's fields stay until all are made anew */
	for (size_t i = 0; i <= old->count; i++) {
		if (i == at && rule)
			s->rules[s->count++] = rf_rule_get(rule);
		if (i < old->count && !(i == at && replace))
			s->rules[s->count++] = rf_rule_get(old->rules[i]);
	}
	if (rule)
		uses_of(rule, s->uses);
	by_priority(s);
	*ret = s;
	return RF_OK;
}

int rf_phase_set_make(enum rf_phase phase, struct rf_ruleset *const *sets, size_t count, struct rf_phase_set **ret)
{
	if (count > RF_PHASE_SETS)
		return RF_E_FULL;
	struct rf_phase_set *p = calloc(1, sizeof *p + count * sizeof *p->sets);
	if (!p)
		return RF_E_NOMEM;
	atomic_init(&p->refs, 1);
	p->phase = phase;
	for (size_t i = 0; i < count; i++) {
		if (sets[i]->phase != phase) {
			rf_phase_set_put(p);
			return RF_E_INVALID;
		}
		p->sets[p->count++] = rf_ruleset_get(sets[i]);
		for (size_t w = 0; w < sizeof p->uses / sizeof *p->uses; w++)
			p->uses[w] |= sets[i]->uses[w];
	}
	*ret = p;
	return RF_OK;
}

struct rf_phase_set *rf_phase_set_get(struct rf_phase_set *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void rf_phase_set_put(struct rf_phase_set *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < s->count; i++)
		rf_ruleset_put(s->sets[i]);
	free(s);
}

bool rf_phase_set_uses(const struct rf_phase_set *s, enum rf_field f)
{
	return s && s->uses[f >> 6] >> (f & 63) & 1;
}
