/* policy/explain: evaluate with a trace, and find for each rule the terms that decided it.
 *
 * A false `and` is decided by its first false term, a true `or` by its first true one; where all terms
 * were needed, all are shown. Terms are evaluated again for that, over facts that are kept.
 */
#include "policy/explain.h"
#include "policy/geo.h"
#include "policy/program.h"

struct telling {
	struct rf_jw *w;
	const struct rf_expr *x;
	struct rf_facts *f;
	unsigned terms;
	struct rf_knowledge *know; /* NULL: all facts are known */
};

static void tell_value(struct rf_jw *w, const char *key, const struct rf_val *v, unsigned depth);

static void tell_many(struct rf_jw *w, const char *key, const struct rf_val *v, unsigned depth)
{
	rf_jw_open(w, key, '[');
	for (uint32_t i = 0; i < v->n && i < RF_EXPLAIN_TERMS && depth < 3; i++) {
		if (v->tag == RF_V_ARRAY) {
			tell_value(w, NULL, &v->a[i], depth + 1);
		} else {
			rf_jw_open(w, NULL, '{');
			rf_jw_str(w, "key", v->m[i].key);
			tell_value(w, "value", &v->m[i].val, depth + 1);
			rf_jw_close(w, '}');
		}
	}
	rf_jw_close(w, ']');
}

static void tell_value(struct rf_jw *w, const char *key, const struct rf_val *v, unsigned depth)
{
	char text[RF_IP_TEXT];
	struct rf_str s;
	switch (v->tag) {
	case RF_V_MISSING:
		rf_jw_null(w, key);
		break;
	case RF_V_BOOL:
		rf_jw_bool(w, key, v->b);
		break;
	case RF_V_INT:
		rf_jw_i64(w, key, v->i);
		break;
	case RF_V_IP:
		rf_jw_str(w, key, rf_str_z(rf_ip_str(&v->ip, text)));
		break;
	case RF_V_STR:
		s = v->s;
		s.n = s.n > RF_EXPLAIN_TEXT ? RF_EXPLAIN_TEXT : s.n;
		rf_jw_str(w, key, s);
		break;
	default:
		tell_many(w, key, v, depth);
	}
}

/* What a term looked at: its left side, or the array that any() and all() went through. */
static const struct pnode *looked_at(const struct rf_expr *x, const struct pnode *n)
{
	bool quantifier = n->op == N_CALL && (n->sub == FN_ANY || n->sub == FN_ALL);
	bool first = n->op == N_CALL || n->op == N_CMP || n->op == N_CONTAINS || n->op == N_MATCHES || n->op == N_WILD ||
		n->op == N_IN || n->op == N_LIST;
	if (!first)
		return n;
	n = &x->node[n->kid];
	while (quantifier && n->op != N_EACH)
		n = &x->node[n->kid];
	return quantifier ? &x->node[n->kid] : n;
}

static void tell_term(struct telling *t, const struct pnode *n, bool holds)
{
	struct rf_val v = { 0 };
	unsigned line = 1, column = 1;
	if (t->terms++ >= RF_EXPLAIN_TERMS)
		return;
	for (size_t i = 0; i < n->at && i < t->x->text.n; i++) {
		column = t->x->text.p[i] == '\n' ? 1 : column + 1;
		line += t->x->text.p[i] == '\n';
	}
	RF_BUF_AUTO text = { .bound = 4096 };
	node_print(t->x, n, &text);
	rf_jw_open(t->w, NULL, '{');
	rf_jw_str(t->w, "expression", rf_buf_str(&text));
	rf_jw_u64(t->w, "line", line);
	rf_jw_u64(t->w, "column", column);
	rf_jw_bool(t->w, "holds", holds);
	if (node_value(t->x, looked_at(t->x, n), t->f, &v) == RF_OK)
		tell_value(t->w, "value", &v, 0);
	rf_jw_close(t->w, '}');
}

/* Does a term decide, where one does? */
static bool decides(struct telling *t, const struct pnode *n, bool term, bool holds)
{
	int err = RF_OK;
	return term == holds && !(t->know && node_known(t->x, n, t->f, t->know, &err) == RF_HOLDS_UNKNOWN);
}

static void tell_why(struct telling *t, const struct pnode *n)
{
	const struct pnode *kid = &t->x->node[n->kid];
	bool holds, term;
	if (node_test(t->x, n, t->f, &holds))
		return;
	if (n->op == N_NOT) {
		tell_why(t, kid);
		return;
	}
	if (n->op != N_AND && n->op != N_OR && n->op != N_XOR) {
		tell_term(t, n, holds);
		return;
	}
	bool one = (n->op == N_AND && !holds) || (n->op == N_OR && holds); /* a single term decides */
	for (unsigned i = 0; i < n->nkids; i++) {
		if (node_test(t->x, kid + i, t->f, &term))
			return;
		if (one && !decides(t, kid + i, term, holds))
			continue;
		tell_why(t, kid + i);
		if (one)
			return;
	}
}

static const char *const steps[] = { [RF_STEP_MATCHED] = "matched", [RF_STEP_NOT_MATCHED] = "not_matched",
	[RF_STEP_DISABLED] = "disabled", [RF_STEP_SKIPPED] = "skipped", [RF_STEP_NOT_REACHED] = "not_reached",
	[RF_STEP_ERROR] = "error", [RF_STEP_UNKNOWN] = "cannot_know", [RF_STEP_NOT_IN_FORCE] = "not_in_force" };

struct explaining {
	struct rf_jw *w;
	const struct rf_verdict *v;
	struct rf_knowledge *know;    /* NULL: all facts are known */
	const char *unknown;          /* words behind the name of a field that is not */
	const char *off;              /* why rules are not in force */
	const struct rf_rule *doubt;  /* the first that might have decided, and is not known to */
};

static void tell_words(struct rf_jw *w, const char *before, const char *after)
{
	RF_BUF_AUTO b = { .bound = 256 };
	rf_buf_printf(&b, "%s%s", before, after);
	rf_jw_open(w, NULL, '{');
	rf_jw_str(w, "expression", rf_buf_str(&b));
	rf_jw_close(w, '}');
}

/* What would have to be known of a rule, and is not; the fields that it asked for are forgotten for the next one. */
static void tell_missed(struct explaining *x, const struct rf_rule *rule)
{
	rf_jw_open(x->w, "because", '[');
	bool any = false;
	for (int f = 0; f < RF_FIELD_COUNT; f++)
		if (x->know->missed[f >> 6] >> (f & 63) & 1) {
			tell_words(x->w, rf_fields[f].name, x->unknown);
			any = true;
		}
	if (!any && rule->limit)
		tell_words(x->w, "it matches; ", "how far it had been counted is not stored");
	rf_jw_close(x->w, ']');
	if (!x->doubt && (rule->limit || rule->action == RF_ACT_SKIP || rf_actions[rule->action].kind != RF_KIND_PASS))
		x->doubt = rule;
}

static void tell_limit(const struct explaining *x, const struct rf_limit_rate *rate)
{
	const struct rf_limit_state *s = &x->v->limit;
	rf_jw_open(x->w, "limit", '{');
	rf_jw_u64(x->w, "count", s->count);
	rf_jw_u64(x->w, "most", rate->most);
	rf_jw_u64(x->w, "period_seconds", rate->period_ns / 1000000000);
	rf_jw_bool(x->w, "over", s->over);
	if (s->over)
		rf_jw_u64(x->w, "wait_seconds", (s->wait_ns + 999999999) / 1000000000);
	rf_jw_close(x->w, '}');
}

static void tell_rule(void *ctx, const struct rf_ruleset *set, const struct rf_rule *rule, enum rf_step step,
	struct rf_facts *f)
{
	struct explaining *x = ctx;
	struct rf_jw *w = x->w;
	struct telling t = { .w = w, .x = rule->cond, .f = f, .know = x->know };
	rf_jw_open(w, NULL, '{');
	rf_jw_str(w, "phase", rf_str_z(rf_phases[set->phase].name));
	rf_jw_str(w, "ruleset", rf_str_z(set->id));
	rf_jw_str(w, "rule", rule->id);
	rf_jw_str(w, "ref", rule->ref);
	rf_jw_str(w, "description", rule->description);
	rf_jw_str(w, "action", rf_str_z(rf_actions[rule->action].name));
	rf_jw_str(w, "result", rf_str_z(steps[step]));
	if (step == RF_STEP_MATCHED && rule->limit && x->v->counting.table)
		tell_limit(x, &rule->limit->rate);
	if (step == RF_STEP_MATCHED || step == RF_STEP_NOT_MATCHED) {
		const struct rf_arena mark = *f->arena;
		unsigned asked = f->asked, kept = f->kept_count;
		rf_jw_open(w, "because", '[');
		tell_why(&t, &rule->cond->node[0]);
		rf_jw_close(w, ']');
		if (f->asked == asked && f->kept_count == kept)
			rf_arena_release(f->arena, &mark); /* as rf_expr_test does */
	}
	if (step == RF_STEP_UNKNOWN)
		tell_missed(x, rule);
	if (step == RF_STEP_NOT_IN_FORCE) {
		rf_jw_open(w, "because", '[');
		tell_words(w, x->off, "");
		rf_jw_close(w, ']');
	}
	if (x->know)
		memset(x->know->missed, 0, sizeof x->know->missed);
	rf_jw_close(w, '}');
}

/* --- packets and answers, of which a request tells only some --- */

struct of_request {
	struct rf_facts *f;
	const struct rf_knowledge *base; /* of the request; NULL: all of it is known */
};

/* The packets of a request are TCP, with its addresses and ports. */
static bool knows_packet(void *ctx, enum rf_field f, struct rf_str key)
{
	const struct of_request *q = ctx;
	if (f == RF_F_IP_PROTO || f == RF_F_IP_PROTO_NUM || rf_fields[f].planes == RF_ON_CP)
		return true;
	if (rf_fields[f].planes == RF_ON_P || f == RF_F_RANDOM_SEED)
		return false;
	if (q->base)
		return q->base->knows(q->base->ctx, f, key);
	if (rf_fields[f].need != RF_NEED_NONE)
		f = rf_geo_of_dst(f) ? RF_F_IP_DST : RF_F_IP_SRC;
	return rf_fact(q->f, f)->tag != RF_V_MISSING;
}

static bool knows_before_answer(void *ctx, enum rf_field f, struct rf_str key)
{
	(void)ctx, (void)key;
	return rf_fields[f].planes != RF_ON_R;
}

static void tell_off(struct explaining *x, const struct rf_phase_set *set, struct rf_facts *f)
{
	for (size_t i = 0; set && i < set->count; i++)
		for (size_t b = 0; b < set->sets[i]->nblocks; b++)
			for (unsigned r = 0; r < set->sets[i]->blocks[b]->count; r++)
				tell_rule(x, set->sets[i], rf_block_rule(set->sets[i]->blocks[b], r), RF_STEP_NOT_IN_FORCE, f);
}

/* The rules of packets; *v is as new unless one drops them. */
static void tell_packets(const struct explaining *of, const struct rf_policy *p, struct rf_facts *f, struct rf_verdict *v)
{
	struct of_request q = { f, of->know };
	struct rf_knowledge know = { .knows = knows_packet, .ctx = &q };
	struct explaining x = { .w = of->w, .v = v, .know = &know, .unknown = " of its packets is not known", .off = of->off };
	const struct rf_trace trace = { .rule = tell_rule, .ctx = &x, .know = &know };
	if (rf_fact(f, RF_F_PACKET)->s.n)
		return; /* of which the facts are */
	if (x.off) {
		tell_off(&x, p->phase[RF_PHASE_PACKET], f);
		return;
	}
	rf_phase_eval(p->phase[RF_PHASE_PACKET], f, v, &trace);
	if (v->outcome != RF_BLOCK || of->know)
		rf_verdict_init(v);
}

/* The rules of an answer that is not there yet. */
static void tell_answer(const struct explaining *of, const struct rf_policy *p, struct rf_facts *f, struct rf_verdict *v)
{
	struct rf_knowledge know = { .knows = knows_before_answer };
	struct explaining x = { .w = of->w, .v = v, .know = &know, .unknown = " is known when the origin has answered" };
	const struct rf_trace trace = { .rule = tell_rule, .ctx = &x, .know = &know };
	if (!rf_verdict_ends(v) && !rf_fact(f, RF_F_PACKET)->s.n && rf_fact(f, RF_F_RESPONSE_CODE)->tag == RF_V_MISSING)
		rf_response_eval(p, f, v, &trace);
}

void rf_explain(const struct rf_policy *p, struct rf_facts *f, const struct rf_counting *counting, const char *packets_off,
	struct rf_verdict *v, struct rf_jw *w, const char *key)
{
	struct explaining x = { .w = w, .v = v, .off = packets_off };
	const struct rf_trace trace = { .rule = tell_rule, .ctx = &x };
	rf_verdict_init(v);
	rf_jw_open(w, key, '[');
	tell_packets(&x, p, f, v);
	if (counting)
		v->counting = *counting;
	v->counting.look = true;
	if (!rf_verdict_ends(v)) {
		rf_policy_eval(p, f, v, &trace);
		tell_answer(&x, p, f, v);
	}
	rf_jw_close(w, ']');
}

const struct rf_rule *rf_explain_known(const struct rf_policy *p, struct rf_facts *f, struct rf_knowledge *know, struct rf_verdict *v,
	struct rf_jw *w, const char *key)
{
	struct explaining x = { .w = w, .v = v, .know = know, .unknown = " is not stored" };
	const struct rf_trace trace = { .rule = tell_rule, .ctx = &x, .know = know };
	rf_verdict_init(v);
	memset(know->missed, 0, sizeof know->missed);
	rf_jw_open(w, key, '[');
	tell_packets(&x, p, f, v);
	rf_policy_eval(p, f, v, &trace);
	rf_jw_close(w, ']');
	return x.doubt;
}

const char *rf_outcome_str(enum rf_outcome o)
{
	static const char *const words[] = { [RF_PASS] = "pass", [RF_ALLOW] = "allow", [RF_BLOCK] = "block", [RF_ANSWER] = "answer" };
	return words[o];
}

static void tell_edits(const struct rf_verdict *v, struct rf_jw *w)
{
	static const char *const operations[] = {
		[RF_EDIT_SET] = "set", [RF_EDIT_ADD] = "add", [RF_EDIT_REMOVE] = "remove" };
	rf_jw_open(w, "headers", '[');
	for (unsigned i = 0; i < v->nedits; i++) {
		rf_jw_open(w, NULL, '{');
		rf_jw_str(w, "operation", rf_str_z(operations[v->edits[i].op]));
		rf_jw_str(w, "name", v->edits[i].name);
		if (v->edits[i].op != RF_EDIT_REMOVE)
			rf_jw_str(w, "value", v->edits[i].value);
		rf_jw_close(w, '}');
	}
	rf_jw_close(w, ']');
	if (v->set_path)
		rf_jw_str(w, "path", v->path);
	if (v->set_query)
		rf_jw_str(w, "query", v->query);
}

static void tell_settings(const struct rf_config *k, struct rf_jw *w)
{
	if (k->compress < 0 && k->body_bytes < 0 && !k->sample)
		return;
	rf_jw_open(w, "settings", '{');
	if (k->compress >= 0)
		rf_jw_bool(w, "compress", k->compress);
	if (k->body_bytes >= 0)
		rf_jw_i64(w, "inspect_body_bytes", k->body_bytes);
	if (k->sample)
		rf_jw_u64(w, "record_sample", k->sample);
	rf_jw_close(w, '}');
}

void rf_explain_verdict(const struct rf_verdict *v, struct rf_jw *w, const char *key)
{
	rf_jw_open(w, key, '{');
	rf_jw_str(w, "outcome", rf_str_z(rf_outcome_str(v->outcome)));
	if (v->why != RF_WHY_NONE)
		rf_jw_str(w, "why", rf_str_z(rf_why_str(v->why)));
	if (v->rule) {
		rf_jw_str(w, "rule", v->rule->id);
		rf_jw_str(w, "ref", v->rule->ref);
		rf_jw_str(w, "description", v->rule->description);
	}
	if (rf_verdict_ends(v))
		rf_jw_i64(w, "status", rf_verdict_status(v));
	if (v->location.n)
		rf_jw_str(w, "location", v->location);
	if (v->why == RF_WHY_LIMIT)
		rf_jw_u64(w, "retry_after", (v->wait_ns + 999999999) / 1000000000);
	tell_settings(&v->config, w);
	if (v->error)
		rf_jw_str(w, "error", rf_str_z(rf_code_sentence(v->error)));
	rf_jw_open(w, "log", '[');
	for (unsigned i = 0; i < v->nhits; i++)
		rf_jw_str(w, NULL, v->hits[i]->id.n ? v->hits[i]->id : v->hits[i]->ref);
	rf_jw_close(w, ']');
	tell_edits(v, w);
	rf_jw_close(w, '}');
}
