/* policy/ruleset: ordered rules of one phase, and the rulesets that a zone evaluates in it.
 *
 * Rules stand by priority, those of equal priority as given (a stable sort). A ruleset that is made
 * while an older one of the same rules exists takes over every rule whose document is unchanged; one
 * that differs by a rule shares every block but the one with that rule.
 *
 * Invariant: a block is never empty and holds one reference of each of its rules. What is the same in rules that differ in a string is
 * looked up in one that is like them (seed.h): none is made here.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/list.h"
#include "base/map.h"
#include "base/way.h"
#include "policy/index.h"
#include "policy/rule_int.h"
#include "policy/seed.h"

static void uses_of(const struct rf_rule *r, uint64_t uses[(RF_FIELD_COUNT + 63) / 64])
{
	rf_expr_add_uses(r->cond, uses);
	for (size_t i = 0; i < r->nedits; i++)
		if (r->edits[i].expr)
			rf_expr_add_uses(r->edits[i].expr, uses);
	if (r->path && r->path->expr)
		rf_expr_add_uses(r->path->expr, uses);
	if (r->query && r->query->expr)
		rf_expr_add_uses(r->query->expr, uses);
	if (r->redirect && r->redirect->target->expr)
		rf_expr_add_uses(r->redirect->target->expr, uses);
	if (r->limit)
		rule_limit_add_uses(r->limit, uses);
}

static bool counts(const struct rf_rule *r)
{
	return r->limit && r->limit->counting;
}

/* A block of rules that the caller has referenced. */
static struct rf_rule_block *block_of(const struct rf_rule_link *rules, unsigned count)
{
	struct rf_rule_block *b = malloc(sizeof *b + count * sizeof *b->rules);
	if (!b)
		return NULL;
	atomic_init(&b->refs, 1);
	b->count = count;
	memcpy(b->rules, rules, count * sizeof *rules);
	return b;
}

static void block_put(struct rf_rule_block *b)
{
	if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < b->count; i++)
		rf_link_put(b->rules[i]);
	free(b);
}

static struct rf_ruleset *empty(enum rf_phase phase, size_t blocks)
{
	struct rf_ruleset *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	atomic_init(&s->refs, 1);
	s->phase = phase;
	s->blocks = malloc((blocks + 1) * sizeof(struct rf_rule_block *));
	if (!s->blocks) {
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
	for (size_t i = 0; i < s->nblocks; i++) {
		rf_way_look();
		block_put(s->blocks[i]);
	}
	index_put(s->index);
	free(s->blocks);
	free(s);
}

struct rf_rule *rf_ruleset_at(const struct rf_ruleset *s, size_t i)
{
	for (size_t b = 0; b < s->nblocks; i -= s->blocks[b++]->count)
		if (i < s->blocks[b]->count)
			return rf_block_rule(s->blocks[b], (unsigned)i);
	return NULL;
}

static struct rf_rule_link link_at(const struct rf_ruleset *s, size_t i)
{
	for (size_t b = 0; b < s->nblocks; i -= s->blocks[b++]->count)
		if (i < s->blocks[b]->count)
			return s->blocks[b]->rules[i];
	return (struct rf_rule_link){ 0 };
}

/* Append rules in blocks. Owns their references from here on where it succeeds. */
static bool append(struct rf_ruleset *s, const struct rf_rule_link *rules, size_t count, size_t most)
{
	size_t first = s->nblocks;
	for (size_t i = 0; i < count; i += most) {
		unsigned n = (unsigned)(count - i < most ? count - i : most);
		rf_way_give();
		struct rf_rule_block *b = block_of(rules + i, n);
		if (!b) {
			while (s->nblocks > first) /* the caller still has the references */
				free(s->blocks[--s->nblocks]);
			return false;
		}
		s->blocks[s->nblocks++] = b;
	}
	s->count += count;
	return true;
}

/* Stable, and fast where the rules are in order already, which they nearly always are. */
static void by_priority(struct rf_rule_link *rules, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct rf_rule_link r = rules[i];
		int64_t priority = link_like(r)->priority;
		rf_way_give();
		size_t lo = 0, hi = i;
		if (link_like(rules[i - 1])->priority <= priority)
			continue;
		while (lo < hi) {
			size_t mid = (lo + hi) / 2;
			if (link_like(rules[mid])->priority <= priority)
				lo = mid + 1;
			else
				hi = mid;
		}
		memmove(&rules[lo + 1], &rules[lo], (i - lo) * sizeof *rules);
		rules[lo] = r;
	}
}

struct old_rule {
	struct rf_map_node node;
	struct rf_rule *rule;
};

static void index_old(const struct rf_ruleset *old, struct rf_map *m, struct old_rule *at)
{
	for (size_t b = 0; b < old->nblocks; b++)
		for (unsigned i = 0; i < old->blocks[b]->count; i++, at++) {
			at->rule = rf_block_rule(old->blocks[b], i);
			if (at->rule->id.n)
				rf_map_add(m, &at->node, at->rule->id);
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
	return rule_digest(doc) == r->digest ? rf_rule_get(r) : NULL;
}

struct made {
	struct rf_rule_link *rules;
	size_t count, bytes;
	uint64_t uses[(RF_FIELD_COUNT + 63) / 64];
	bool counts;
};

static int make_rules(const struct rf_rule_env *env, enum rf_phase phase, const json_t *docs, const struct rf_map *m,
	struct made *made, struct rf_err *e)
{
	size_t count = json_array_size(docs);
	for (size_t i = 0; i < count; i++) {
		const json_t *doc = json_array_get(docs, i);
		char at[32];
		snprintf(at, sizeof at, "/rules/%zu", i);
		rf_way_give();
		struct rf_rule *r = unchanged(m, doc);
		int c = r ? RF_OK : rf_rule_make(env, phase, doc, at, &r, e);
		if (c)
			return c;
		made->rules[made->count++] = rf_link_of(r);
		made->bytes += r->bytes;
		uses_of(r, made->uses);
		made->counts |= counts(r);
	}
	return RF_OK;
}

static int compile_all(const struct rf_rule_env *env, enum rf_phase phase, const json_t *docs,
	const struct rf_ruleset *old, struct made *made, struct rf_err *e)
{
	struct old_rule *at = old && old->phase == phase ? calloc(old->count + 1, sizeof *at) : NULL;
	struct rf_map m = { 0 };
	if (at)
		index_old(old, &m, at);
	int c = make_rules(env, phase, docs, &m, made, e);
	rf_map_fini(&m);
	free(at);
	return c;
}

int rf_ruleset_make(const struct rf_rule_env *env, enum rf_phase phase, struct rf_str id, struct rf_str name,
	const json_t *rules, const struct rf_ruleset *old, struct rf_ruleset **ret, struct rf_err *e)
{
	size_t count = json_array_size(rules);
	if (!json_is_array(rules))
		return rf_fail_ptr(e, RF_E_TYPE, "/rules", "this should be an array of rules");
	if (count > RF_RULES)
		return rf_fail_ptr(e, RF_E_TOO_LARGE, "/rules", "a ruleset takes at most %d rules", RF_RULES);
	struct made made = { .rules = malloc((count + 1) * sizeof *made.rules) };
	struct rf_ruleset *s = empty(phase, count / RF_RULE_BLOCK + 1);
	int c = made.rules && s ? compile_all(env, phase, rules, old, &made, e) :
		rf_fail_ptr(e, RF_E_NOMEM, "/rules", "no memory for these rules");
	if (!c) {
		by_priority(made.rules, made.count);
		if (!append(s, made.rules, made.count, RF_RULE_BLOCK))
			c = rf_fail_ptr(e, RF_E_NOMEM, "/rules", "no memory for these rules");
	}
	for (size_t i = 0; c && i < made.count; i++)
		rf_link_put(made.rules[i]);
	free(made.rules);
	if (c) {
		rf_ruleset_put(s);
		return c;
	}
	memcpy(s->uses, made.uses, sizeof s->uses);
	s->counts = made.counts;
	s->bytes = made.bytes;
	snprintf(s->id, sizeof s->id, "%.*s", RF_ARG(id));
	snprintf(s->name, sizeof s->name, "%.*s", RF_ARG(name));
	*ret = s;
	return RF_OK;
}

static int by_order(const void *a, const void *b)
{
	const struct rf_rule_link *x = a, *y = b;
	rf_way_give();
	return link_compare(*x, *y);
}

/* `strictly`: no two share a place. */
static bool in_order(const struct rf_rule_link *rules, size_t count, bool strictly)
{
	for (size_t i = 1; i < count; i++) {
		rf_way_give_at(i);
		if (link_compare(rules[i - 1], rules[i]) > -(int)strictly)
			return false;
	}
	return true;
}

/* What the rules of a ruleset have together. */
static void sum_up(struct rf_ruleset *s, const struct rf_rule_link *rules, size_t count)
{
	const struct rf_rule *last = NULL;
	for (size_t i = 0; i < count; i++) {
		const struct rf_rule *like = link_like(rf_link_get(rules[i]));
		rf_way_give_at(i);
		s->bytes += link_bytes(rules[i]);
		if (like == last)
			continue;
		uses_of(like, s->uses);
		s->counts |= counts(like);
		last = like;
	}
}

/* A copy, sorted; NULL without memory. */
static struct rf_rule_link *by_places(const struct rf_rule_link *rules, size_t count)
{
	struct rf_rule_link *v = malloc((count + 1) * sizeof *v);
	for (size_t i = 0; v && i < count; i++) {
		rf_way_give_at(i);
		v[i] = rules[i];
	}
	if (v)
		qsort(v, count, sizeof *v, by_order);
	return v;
}

int rf_ruleset_link(enum rf_phase phase, struct rf_str id, struct rf_str name, const struct rf_rule_link *rules, size_t count,
	struct rf_ruleset **ret)
{
	if (count > RF_RULES)
		return RF_E_FULL;
	for (size_t i = 0; i < count; i++) {
		rf_way_give_at(i);
		if (link_like(rules[i])->phase != phase)
			return RF_E_INVALID;
	}
	bool ordered = in_order(rules, count, false);
	struct rf_rule_link *sorted = ordered ? NULL : by_places(rules, count);
	struct rf_ruleset *s = empty(phase, count / RF_RULE_BLOCK + 1);
	bool done = (ordered || sorted) && s && append(s, ordered ? rules : sorted, count, RF_RULE_BLOCK);
	rf_way_free(sorted);
	if (!done) {
		rf_ruleset_put(s);
		return RF_E_NOMEM;
	}
	sum_up(s, rules, count);
	snprintf(s->id, sizeof s->id, "%.*s", RF_ARG(id));
	snprintf(s->name, sizeof s->name, "%.*s", RF_ARG(name));
	*ret = s;
	return RF_OK;
}

int rf_ruleset_of(enum rf_phase phase, struct rf_str id, struct rf_str name, struct rf_rule *const *rules, size_t count,
	struct rf_ruleset **ret)
{
	struct rf_rule_link *v = malloc((count + 1) * sizeof *v);
	for (size_t i = 0; v && i < count; i++)
		v[i] = rf_link_of(rules[i]);
	int rc = v ? rf_ruleset_link(phase, id, name, v, count, ret) : RF_E_NOMEM;
	free(v);
	return rc;
}

size_t rf_ruleset_rank(const struct rf_ruleset *s, int64_t priority, int64_t order)
{
	struct rf_rule key = { .priority = priority, .order = order };
	const struct rf_rule_link at = rf_link_of(&key);
	size_t lo = 0, hi = s->nblocks, rank = 0;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct rf_rule_block *k = s->blocks[mid];
		if (link_compare(k->rules[k->count - 1], at) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (size_t b = 0; b < lo; b++)
		rank += s->blocks[b]->count;
	if (lo == s->nblocks)
		return rank;
	const struct rf_rule_block *in = s->blocks[lo];
	for (lo = 0, hi = in->count; lo < hi;) {
		size_t mid = (lo + hi) / 2;
		if (link_compare(in->rules[mid], at) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return rank + lo;
}

/* Where a rule goes that is wanted before `at`, its priority permitting. */
static size_t place(const struct rf_ruleset *s, size_t at, const struct rf_rule *r)
{
	struct rf_rule_link before = at ? link_at(s, at - 1) : (struct rf_rule_link){ 0 }, after = link_at(s, at);
	if ((!before.to || link_like(before)->priority <= r->priority) && (!after.to || r->priority <= link_like(after)->priority))
		return at;
	size_t i = 0;
	for (size_t b = 0; b < s->nblocks; i += s->blocks[b++]->count) {
		const struct rf_rule_block *k = s->blocks[b];
		if (link_like(k->rules[k->count - 1])->priority <= r->priority)
			continue;
		for (unsigned n = 0; n < k->count; n++)
			if (link_like(k->rules[n])->priority > r->priority)
				return i + n;
	}
	return s->count;
}

/* `old` with one block made anew: without the rule at `at` where `out`, with `rule` there where given. */
static struct rf_ruleset *edited(const struct rf_ruleset *old, size_t at, bool out, struct rf_rule *rule)
{
	struct rf_rule_link rules[RF_RULE_BLOCK + 1];
	unsigned n = 0;
	size_t b = 0;
	struct rf_ruleset *s = empty(old->phase, old->nblocks + 1);
	if (!s)
		return NULL;
	while (b + 1 < old->nblocks && at >= old->blocks[b]->count)
		at -= old->blocks[b++]->count;
	const struct rf_rule_block *from = old->nblocks ? old->blocks[b] : NULL;
	for (unsigned i = 0; i <= (from ? from->count : 0); i++) {
		if (i == at && rule)
			rules[n++] = rf_link_get(rf_link_of(rule));
		if (from && i < from->count && !(i == at && out))
			rules[n++] = rf_link_get(from->rules[i]);
	}
	for (size_t i = 0; i < b; i++)
		s->blocks[s->nblocks++] = old->blocks[i];
	bool done = append(s, rules, n, n > RF_RULE_BLOCK ? RF_RULE_BLOCK / 2 + 1 : RF_RULE_BLOCK);
	for (size_t i = b + 1; done && i < old->nblocks; i++)
		s->blocks[s->nblocks++] = old->blocks[i];
	if (!done) {
		for (unsigned i = 0; i < n; i++)
			rf_link_put(rules[i]);
		free(s->blocks);
		free(s);
		return NULL;
	}
	for (size_t i = 0; i < old->nblocks; i++)
		if (i != b)
			atomic_fetch_add_explicit(&old->blocks[i]->refs, 1, memory_order_relaxed);
	s->count = old->count - out + (rule != NULL);
	return s;
}

/* Whether a rule's rank follows from its priority and order: no neighbour has the same. */
static bool ranked(const struct rf_ruleset *s, struct rf_rule *rule)
{
	size_t at = rf_ruleset_rank(s, rule->priority, rule->order);
	struct rf_rule_link own = rf_link_of(rule), next = link_at(s, at + 1);
	return link_same(link_at(s, at), own) && (!next.to || link_compare(own, next) < 0);
}

/* The index of `old`, without one rule and with another. None where rules do not stand by priority, then order. */
static int reindex(struct rf_ruleset *s, const struct rf_ruleset *old, struct rf_rule_link out, struct rf_rule *in)
{
	if (!old->index || (in && !ranked(s, in)))
		return RF_OK;
	int rc = index_with(old->index, out, rf_link_of(in), &s->index);
	return rc == RF_E_NOMEM ? rc : RF_OK;
}

static struct rf_rule_link *all_rules(const struct rf_ruleset *s)
{
	struct rf_rule_link *v = malloc((s->count + 1) * sizeof *v);
	for (size_t b = 0, n = 0; v && b < s->nblocks; n += s->blocks[b++]->count) {
		rf_way_give();
		memcpy(v + n, s->blocks[b]->rules, s->blocks[b]->count * sizeof *v);
	}
	return v;
}

int rf_ruleset_index(struct rf_ruleset *s, const struct rf_ruleset *old, bool frozen)
{
	struct rf_rule_link *v = all_rules(s);
	struct rf_index *made = NULL;
	bool share = old && old->index && in_order(v, v ? s->count : 0, true);
	int rc = !v ? RF_E_NOMEM : share ? index_remake(old->index, v, (uint32_t)s->count, &made) :
		index_make(v, (uint32_t)s->count, frozen, &made);
	rf_way_free(v);
	if (rc != RF_OK)
		return rc;
	index_put(s->index);
	s->index = made;
	return RF_OK;
}

unsigned rf_ruleset_costly(const struct rf_ruleset *s, const struct rf_rule *ret[RF_COSTLY])
{
	struct rf_rule_link most[RF_COSTLY];
	unsigned n = 0;
	for (size_t b = 0; b < s->nblocks; b++)
		for (unsigned i = 0; i < s->blocks[b]->count; i++) {
			unsigned at = n < RF_COSTLY ? n++ : RF_COSTLY;
			for (; at > 0 && link_bytes(most[at - 1]) < link_bytes(s->blocks[b]->rules[i]); at--)
				if (at < RF_COSTLY)
					most[at] = most[at - 1];
			if (at < RF_COSTLY)
				most[at] = s->blocks[b]->rules[i];
		}
	for (unsigned i = 0; i < n; i++)
		ret[i] = rf_link_rule(most[i]);
	return n;
}

size_t rf_ruleset_index_bytes(const struct rf_ruleset *s)
{
	return s->index ? index_bytes(s->index) : 0;
}

/* The same rules without an index. */
static struct rf_ruleset *twin(const struct rf_ruleset *old)
{
	struct rf_ruleset *s = empty(old->phase, old->nblocks);
	if (!s)
		return NULL;
	for (; s->nblocks < old->nblocks; s->nblocks++) {
		rf_way_give();
		s->blocks[s->nblocks] = old->blocks[s->nblocks];
		atomic_fetch_add_explicit(&s->blocks[s->nblocks]->refs, 1, memory_order_relaxed);
	}
	s->count = old->count;
	s->bytes = old->bytes;
	s->counts = old->counts;
	memcpy(s->id, old->id, sizeof s->id);
	memcpy(s->name, old->name, sizeof s->name);
	memcpy(s->uses, old->uses, sizeof s->uses);
	return s;
}

int rf_ruleset_adopt(const struct rf_ruleset *now, const struct rf_index_job *j, struct rf_ruleset **ret)
{
	if (!now->index)
		return RF_E_STALE;
	struct rf_ruleset *s = twin(now);
	int rc = s ? index_adopt(now->index, j, &s->index) : RF_E_NOMEM;
	if (rc == RF_OK)
		*ret = s;
	else
		rf_ruleset_put(s);
	return rc;
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
	struct rf_ruleset *without = replace ? edited(old, at, true, NULL) : NULL, *s = without;
	if (replace && !without)
		return RF_E_NOMEM;
	if (rule) {
		const struct rf_ruleset *base = without ? without : old;
		s = edited(base, place(base, at, rule), false, rule);
		rf_ruleset_put(without);
	}
	if (!s)
		return RF_E_NOMEM;
	memcpy(s->id, old->id, sizeof s->id);
	memcpy(s->name, old->name, sizeof s->name);
	struct rf_rule_link out = replace ? link_at(old, at) : (struct rf_rule_link){ 0 };
	s->bytes = old->bytes - (out.to ? link_bytes(out) : 0) + (rule ? rule->bytes : 0);
	if (reindex(s, old, out, rule) != RF_OK) {
		rf_ruleset_put(s);
		return RF_E_NOMEM;
	}
	memcpy(s->uses, old->uses, sizeof s->uses); /* a removed rule's fields stay until all are made anew */
	if (rule)
		uses_of(rule, s->uses);
	s->counts = old->counts || (rule && counts(rule));
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
