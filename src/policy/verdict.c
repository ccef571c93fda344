/* policy/verdict: rules in order over facts, until one decides.
 *
 *	ruleset -> candidates of its index, by rank -> not skipped? -> code of the condition -> outcome_act (outcome.c)
 *
 * With a trace, and where a ruleset has no index, every rule is a candidate and its tree is walked: explain shows why a
 * rule did not match, and the answer is the same.
 *
 * Invariant: an outcome of RF_BLOCK or RF_ALLOW has the rule that made it. An error blocks, but of a rule
 * that only logs.
 */
#include "policy/verdict.h"
#include "policy/index.h"
#include "policy/outcome.h"
#include "policy/seed.h"

void rf_verdict_init(struct rf_verdict *v)
{
	v->outcome = RF_PASS;
	v->why = RF_WHY_NONE;
	v->error = RF_OK;
	v->errors = 0;
	v->rule = NULL;
	v->response = NULL;
	v->status = 403;
	v->location = RF_STR("");
	v->wait_ns = 0;
	v->nhits = v->hits_lost = v->nedits = v->nlate = v->limits_evicted = 0;
	v->set_path = v->set_query = false;
	v->config = (struct rf_config){ -1, -1, 0 };
	v->algorithms = NULL;
	v->counting = (struct rf_counting){ 0 };
	v->limit = (struct rf_limit_state){ 0 };
	v->skipped.phases = 0;
	v->skipped.nskippers = 0;
}

int rf_verdict_status(const struct rf_verdict *v)
{
	return v->response && v->response->status ? v->response->status : v->status;
}

const char *rf_why_str(enum rf_why why)
{
	switch (why) {
	case RF_WHY_NONE:
		return "";
	case RF_WHY_RULE:
		return "a rule";
	case RF_WHY_CHALLENGE:
		return "a challenge is meaningless to a device";
	case RF_WHY_LIMIT:
		return "more requests than a rule allows";
	case RF_WHY_QUARANTINE:
		return "a rule moved the device to quarantine";
	default:
		return "a rule could not be evaluated";
	}
}

static __attribute__((noinline)) bool set_skipped(const struct rf_verdict *v, const struct rf_ruleset *set)
{
	for (unsigned i = 0; i < v->skipped.nskippers; i++)
		for (size_t k = 0; k < v->skipped.skippers[i]->nrulesets; k++)
			if (rf_str_eq(v->skipped.skippers[i]->rulesets[k], rf_str_z(set->id)))
				return true;
	return false;
}

bool verdict_skips(const struct rf_verdict *v, const struct rf_ruleset *set, const struct rf_rule *rule)
{
	for (unsigned i = 0; i < v->skipped.nskippers; i++)
		for (size_t k = 0; k < v->skipped.skippers[i]->nrules; k++)
			if (rf_str_eq(v->skipped.skippers[i]->rules[k].rule, rule->id) &&
				rf_str_eq(v->skipped.skippers[i]->rules[k].ruleset, rf_str_z(set->id)))
				return true;
	return false;
}

/* Where the condition is. */
struct cond {
	const struct segment *s; /* NULL: the rule's tree */
	uint32_t rank;
};

static enum rf_step known_step(struct run *r, const struct rf_rule *rule)
{
	enum rf_known known;
	int c = rf_expr_know(rule->cond, r->f, r->trace->know, &known);
	if (c) {
		outcome_broke(r, rule, c);
		return RF_STEP_ERROR;
	}
	if (known == RF_HOLDS && !rule->limit) {
		outcome_known(r, rule);
		return r->v->why == RF_WHY_ERROR ? RF_STEP_ERROR : RF_STEP_MATCHED;
	}
	return known == RF_HOLDS_NOT ? RF_STEP_NOT_MATCHED : RF_STEP_UNKNOWN;
}

static enum rf_step step(struct run *r, const struct rf_rule *rule, struct cond at)
{
	bool matched;
	if (r->done)
		return RF_STEP_NOT_REACHED;
	if (r->set_done)
		return RF_STEP_SKIPPED;
	if (!rule->enabled)
		return RF_STEP_DISABLED;
	if (r->v->skipped.nskippers && verdict_skips(r->v, r->set, rule))
		return RF_STEP_SKIPPED;
	if (r->trace && r->trace->know)
		return known_step(r, rule);
	int c = at.s ? segment_test(at.s, at.rank, r->f, &matched) : rf_expr_test(rule->cond, r->f, &matched);
	if (c) {
		outcome_broke(r, rule, c);
		return RF_STEP_ERROR;
	}
	if (!matched)
		return RF_STEP_NOT_MATCHED;
	outcome_act(r, rule);
	return r->v->why == RF_WHY_ERROR ? RF_STEP_ERROR : RF_STEP_MATCHED;
}

static void run_block(struct run *r, const struct rf_rule_block *b)
{
	for (unsigned i = 0; i < b->count && (!r->done || r->trace); i++) {
		enum rf_step s = step(r, rf_block_rule(b, i), (struct cond){ 0 });
		if (r->trace)
			r->trace->rule(r->trace->ctx, r->set, rf_block_rule(b, i), s, r->f);
	}
}

/* The candidates of each segment, and the next one of each. */
struct heads {
	const struct rf_index *x;
	struct candidates of[INDEX_SEGMENTS];
	uint32_t rank[INDEX_SEGMENTS];
	bool left[INDEX_SEGMENTS];
};

static inline void advance(struct heads *h, unsigned i)
{
	do
		h->left[i] = candidates_next(&h->of[i], &h->rank[i]);
	while (h->left[i] && index_dead(h->x, i, h->rank[i]));
}

/* The segment whose next candidate comes first; INDEX_SEGMENTS where none has one. */
static unsigned first_of(const struct heads *h)
{
	unsigned best = INDEX_SEGMENTS;
	struct rf_rule_link at = { 0 };
	for (unsigned i = 0; i < h->x->n; i++) {
		if (!h->left[i])
			continue;
		struct rf_rule_link r = h->x->v[i].s->rule[h->rank[i]];
		if (at.to && link_compare(r, at) > 0)
			continue;
		best = i;
		at = r;
	}
	return best;
}

/* Of the one segment that most indexes are. False where candidates could not be found: nothing was done. */
static bool run_segment(struct run *r, const struct rf_index *x)
{
	const struct segment *s = x->v[0].s;
	struct candidates c;
	uint32_t rank;
	if (segment_find(s, r->f, &c) != RF_OK)
		return false;
	while (!r->done && !r->set_done && candidates_next(&c, &rank))
		if (!index_dead(x, 0, rank))
			step(r, rf_link_rule(s->rule[rank]), (struct cond){ s, rank });
	return true;
}

/* The same of several. */
static __attribute__((noinline)) bool run_segments(struct run *r, const struct rf_index *x)
{
	struct heads h;
	h.x = x;
	for (unsigned i = 0; i < h.x->n; i++) {
		if (segment_find(h.x->v[i].s, r->f, &h.of[i]) != RF_OK)
			return false;
		advance(&h, i);
	}
	for (unsigned i; !r->done && !r->set_done && (i = first_of(&h)) < INDEX_SEGMENTS; advance(&h, i))
		step(r, rf_link_rule(h.x->v[i].s->rule[h.rank[i]]), (struct cond){ h.x->v[i].s, h.rank[i] });
	return true;
}

/* Every rule. */
static __attribute__((noinline)) void run_blocks(struct run *r)
{
	for (size_t b = 0; b < r->set->nblocks && (!r->done || r->trace); b++)
		run_block(r, r->set->blocks[b]);
}

static void run_set(struct run *r)
{
	const struct rf_index *x = r->trace ? NULL : r->set->index;
	r->set_done = (r->v->skipped.nskippers && set_skipped(r->v, r->set)) || (r->v->skipped.phases >> r->set->phase & 1);
	if (!x || (!r->set_done && !(x->n == 1 ? run_segment(r, x) : run_segments(r, x))))
		run_blocks(r);
	if (r->set->counts && !r->done && !r->set_done && !(r->trace && r->trace->know))
		outcome_count(r);
}

void rf_phase_eval(const struct rf_phase_set *set, struct rf_facts *f, struct rf_verdict *v,
	const struct rf_trace *trace)
{
	struct run r = { .f = f, .v = v, .trace = trace };
	for (size_t i = 0; set && i < set->count && (!r.done || trace); i++) {
		r.set = set->sets[i];
		run_set(&r);
	}
}

static void eval_in_order(const enum rf_phase *order, size_t n, const struct rf_policy *p, struct rf_facts *f,
	struct rf_verdict *v, const struct rf_trace *trace)
{
	for (size_t i = 0; i < n && !rf_verdict_ends(v); i++)
		rf_phase_eval(p->phase[order[i]], f, v, trace);
}

void rf_connection_eval(const struct rf_policy *p, bool bars, struct rf_facts *f, struct rf_verdict *v, const struct rf_trace *trace)
{
	if (bars)
		rf_phase_eval(p->bars, f, v, trace);
	if (v->outcome != RF_BLOCK && v->outcome != RF_ALLOW)
		rf_phase_eval(p->phase[RF_PHASE_CONNECTION], f, v, trace);
}

void rf_policy_eval(const struct rf_policy *p, struct rf_facts *f, struct rf_verdict *v, const struct rf_trace *trace)
{
	if (rf_fact(f, RF_F_PACKET)->s.n) {
		rf_phase_eval(p->phase[RF_PHASE_PACKET], f, v, trace);
		return;
	}
	rf_connection_eval(p, true, f, v, trace);
	if (v->outcome != RF_BLOCK)
		rf_config_eval(p, f, v, trace);
	if (v->outcome != RF_BLOCK)
		rf_http_eval(p, f, v, trace);
	if (rf_verdict_ends(v) || rf_fact(f, RF_F_RESPONSE_CODE)->tag == RF_V_MISSING)
		return;
	v->nedits = 0; /* from here on they are of the answer */
	rf_response_eval(p, f, v, trace);
}

void rf_flow_eval(const struct rf_policy *p, struct rf_facts *f, struct rf_verdict *v, const struct rf_trace *trace)
{
	if (rf_fact(f, RF_F_PACKET)->s.n > 0)
		rf_phase_eval(p->phase[RF_PHASE_PACKET], f, v, trace);
	else
		rf_connection_eval(p, true, f, v, trace);
}

void rf_config_eval(const struct rf_policy *p, struct rf_facts *f, struct rf_verdict *v, const struct rf_trace *trace)
{
	rf_phase_eval(p->phase[RF_PHASE_HTTP_CONFIG], f, v, trace);
}

void rf_http_eval(const struct rf_policy *p, struct rf_facts *f, struct rf_verdict *v, const struct rf_trace *trace)
{
	static const enum rf_phase order[] = { RF_PHASE_HTTP_REQUEST, RF_PHASE_HTTP_RATELIMIT, RF_PHASE_HTTP_MANAGED,
		RF_PHASE_HTTP_REDIRECT, RF_PHASE_HTTP_TRANSFORM, RF_PHASE_HTTP_LATE };
	eval_in_order(order, sizeof order / sizeof *order, p, f, v, trace);
}

void rf_response_eval(const struct rf_policy *p, struct rf_facts *f, struct rf_verdict *v, const struct rf_trace *trace)
{
	static const enum rf_phase order[] = { RF_PHASE_HTTP_RESPONSE_MANAGED, RF_PHASE_HTTP_ERRORS, RF_PHASE_HTTP_RESPONSE,
		RF_PHASE_HTTP_COMPRESSION };
	eval_in_order(order, sizeof order / sizeof *order, p, f, v, trace);
}
