/* policy/outcome: what a rule that matches does to the verdict.
 *
 * Invariant: an outcome of RF_BLOCK or RF_ALLOW has the rule that made it. An error blocks, but of a rule that only logs.
 */
#include "policy/outcome.h"
#include "policy/rule_int.h"
#include "policy/seed.h"

static void end(struct run *r, const struct rf_rule *rule, enum rf_outcome outcome, enum rf_why why)
{
	r->v->outcome = outcome;
	r->v->why = why;
	r->v->rule = rule;
	r->v->response = outcome >= RF_BLOCK ? rule->response : NULL;
	r->done = true;
}

void outcome_broke(struct run *r, const struct rf_rule *rule, int error)
{
	r->v->errors++;
	if (rule->action == RF_ACT_LOG) /* it stops nothing where it holds, so it opens nothing where it cannot be told */
		return;
	r->v->error = error;
	r->v->status = 403;
	end(r, rule, RF_BLOCK, RF_WHY_ERROR);
	r->v->response = NULL;
}

static void hit(struct rf_verdict *v, const struct rf_rule *rule)
{
	if (!rule->logging && rule->action != RF_ACT_LOG)
		return;
	if (v->nhits < RF_HITS)
		v->hits[v->nhits++] = rule;
	else
		v->hits_lost++;
}

/* The text of an edit; an empty one where the expression has no value. */
static int edit_text(struct run *r, const struct rf_edit_spec *s, struct rf_str *ret)
{
	struct rf_val v;
	if (!s->expr) {
		*ret = s->value;
		return RF_OK;
	}
	int c = rf_expr_value(s->expr, r->f, &v);
	if (c)
		return c;
	*ret = v.tag == RF_V_STR ? v.s : RF_STR("");
	return RF_OK;
}

static int edit_header(struct run *r, const struct rf_rule *rule, const struct rf_edit_spec *s)
{
	struct rf_edit e = { s->op, s->name, RF_STR(""), rule };
	int c = s->op == RF_EDIT_REMOVE ? RF_OK : edit_text(r, s, &e.value);
	if (c)
		return c;
	if (!edit_value_ok(e.value))
		return RF_E_INVALID; /* bytes of a client that would make a second header */
	if (e.value.n == 0 && s->op == RF_EDIT_ADD)
		return RF_OK;
	if (e.value.n == 0)
		e.op = RF_EDIT_REMOVE; /* set to nothing: the client's own copy must not pass either */
	if (r->v->nedits == RF_EDITS)
		return RF_E_FULL;
	r->v->edits[r->v->nedits++] = e;
	return RF_OK;
}

static int rewrite(struct run *r, const struct rf_rule *rule)
{
	int c = RF_OK;
	for (size_t i = 0; i < rule->nedits && !c; i++)
		c = edit_header(r, rule, &rule->edits[i]);
	if (!c && rule->path) {
		c = edit_text(r, rule->path, &r->v->path);
		r->v->set_path = true;
		if (!c && !edit_uri_ok(r->v->path, true))
			c = RF_E_INVALID;
	}
	if (!c && rule->query) {
		c = edit_text(r, rule->query, &r->v->query);
		r->v->set_query = true;
		if (!c && !edit_uri_ok(r->v->query, false))
			c = RF_E_INVALID;
	}
	return c;
}

static int skip(struct run *r, const struct rf_skip *s)
{
	r->v->skipped.phases |= s->phases;
	r->set_done |= s->current;
	r->done |= s->phases >> r->set->phase & 1;
	if (s->nrulesets == 0 && s->nrules == 0)
		return RF_OK;
	if (r->v->skipped.nskippers == RF_SKIPPERS)
		return RF_E_FULL;
	r->v->skipped.skippers[r->v->skipped.nskippers++] = s;
	return RF_OK;
}

/* A target may hold bytes of the request: what could end a header line, or is no part of a URL, is percent-encoded. */
static struct rf_str url_of(struct rf_arena *a, struct rf_str s)
{
	static const char digits[] = "0123456789ABCDEF";
	char *to = rf_arena_alloc(a, s.n * 3 + 1);
	size_t n = 0;
	for (size_t i = 0; to && i < s.n; i++) {
		unsigned char b = (unsigned char)s.p[i];
		bool plain = b > ' ' && b < 0x7f && b != '"' && b != '<' && b != '>' && b != '\\' && b != '^' && b != '`' &&
			b != '{' && b != '|' && b != '}'; /* [RFC 3986 2] */
		if (plain)
			to[n++] = s.p[i];
		else {
			to[n++] = '%';
			to[n++] = digits[b >> 4];
			to[n++] = digits[b & 15];
		}
	}
	return (struct rf_str){ to, n };
}

/* The query of the request behind that of the target, before its fragment. */
static struct rf_str with_query(struct run *r, struct rf_str url)
{
	const struct rf_val *q = rf_fact(r->f, RF_F_HTTP_QUERY);
	size_t hash = rf_str_find(url, '#');
	struct rf_str before = { url.p, hash };
	if (q->tag != RF_V_STR || !q->s.n)
		return url;
	return rf_arena_printf(r->f->arena, "%.*s%c%.*s%.*s", RF_ARG(before), rf_str_find(before, '?') < before.n ? '&' : '?',
		RF_ARG(q->s), RF_ARG(rf_str_skip(url, hash)));
}

static int redirect(struct run *r, const struct rf_rule *rule)
{
	struct rf_str url;
	int c = edit_text(r, rule->redirect->target, &url);
	if (c)
		return c;
	if (rule->redirect->keep_query)
		url = with_query(r, url);
	if (!url.p)
		return RF_E_NOMEM;
	if (!redirect_target_ok(url))
		return RF_E_INVALID;
	r->v->location = url_of(r->f->arena, url);
	r->v->status = rule->redirect->status;
	if (!r->v->location.p)
		return RF_E_NOMEM;
	end(r, rule, RF_ANSWER, RF_WHY_RULE);
	return RF_OK;
}

/* With the status of the origin's answer where the rule gives none. */
static void serve_error(struct run *r, const struct rf_rule *rule)
{
	const struct rf_val *code = rf_fact(r->f, RF_F_RESPONSE_CODE);
	r->v->status = code->tag == RF_V_INT ? (int)code->i : 500;
	end(r, rule, RF_ANSWER, RF_WHY_RULE);
}

static void configure(struct rf_config *to, const struct rf_config *k)
{
	if (k->body_bytes >= 0)
		to->body_bytes = k->body_bytes;
	if (k->compress >= 0)
		to->compress = k->compress;
	if (k->sample)
		to->sample = k->sample;
}

/* --- rate limits --- */

static int later(struct run *r, const struct rf_rule *rule, const struct rf_limit_key *k)
{
	struct rf_verdict *v = r->v;
	if (v->counting.look)
		return RF_OK;
	if (v->nlate == RF_LATE_COUNTS)
		return RF_E_FULL;
	v->late[v->nlate++] = (struct rf_late_count){ rule, *k };
	return RF_OK;
}

/* Ask the counter of a rule that applies, and count this request: now, or when its answer is there. */
static int ask(struct run *r, const struct rf_rule *rule)
{
	const struct rf_rule_limit *l = rule->limit;
	struct rf_verdict *v = r->v;
	struct rf_limit_key k;
	bool counted = true, late = rf_limit_late(l);
	int c = rule_limit_key(l, r->f, &k);
	if (!c && l->counting && !l->at_response)
		c = rf_expr_test(l->counting, r->f, &counted);
	if (c)
		return c;
	if (v->counting.look)
		rf_limit_look(v->counting.table, &k, &l->rate, v->counting.now, &v->limit);
	else
		rf_limit_take(v->counting.table, &k, &l->rate, v->counting.now, counted && !late, &v->limit);
	v->limits_evicted += v->limit.evicted;
	return !v->limit.over && late && counted ? later(r, rule, &k) : RF_OK;
}

/* False: it is within its limit. */
static int limited(struct run *r, const struct rf_rule *rule, bool *ret)
{
	*ret = false;
	if (!r->v->counting.table)
		return RF_OK;
	int c = ask(r, rule);
	*ret = !c && r->v->limit.over;
	if (*ret) {
		r->v->wait_ns = r->v->limit.wait_ns;
		r->v->status = 429; /* [RFC 6585 4] */
	}
	return c;
}

static int count_one(struct run *r, const struct rf_rule *rule)
{
	const struct rf_rule_limit *l = rule->limit;
	struct rf_limit_key k;
	bool applies, counted = true;
	if (verdict_skips(r->v, r->set, rule))
		return RF_OK;
	int c = rf_expr_test(rule->cond, r->f, &applies);
	if (!c && !applies && !l->at_response)
		c = rf_expr_test(l->counting, r->f, &counted);
	if (c || applies || !counted)
		return c; /* what applies has been counted */
	c = rule_limit_key(l, r->f, &k);
	if (c || rf_limit_late(l))
		return c ? c : later(r, rule, &k);
	struct rf_limit_state s;
	rf_limit_add(r->v->counting.table, &k, &l->rate, r->v->counting.now, 1, &s);
	r->v->limits_evicted += s.evicted;
	return RF_OK;
}

void outcome_count(struct run *r)
{
	if (!r->v->counting.table || r->v->counting.look)
		return;
	for (size_t b = 0; b < r->set->nblocks && !r->done; b++)
		for (unsigned i = 0; i < r->set->blocks[b]->count && !r->done; i++) {
			const struct rf_rule *rule = link_like(r->set->blocks[b]->rules[i]); /* what counts is no seed */
			int c = rule->enabled && rule->limit && rule->limit->counting ? count_one(r, rule) : RF_OK;
			if (c)
				outcome_broke(r, rule, c);
		}
}

/* A header of the origin's answer that says what it cost; what is no number costs nothing. */
static uint32_t cost_of(struct rf_str s)
{
	uint64_t n;
	s = rf_str_trim(s);
	return !rf_str_u64(s, &n) ? 0 : n > RF_LIMIT_MOST ? RF_LIMIT_MOST : (uint32_t)n;
}

void rf_late_counts(const struct rf_late_count *late, unsigned n, const struct rf_counting *counting, struct rf_facts *facts,
	bool forwarded, struct rf_str (*score)(void *ctx, struct rf_str header), void *ctx, unsigned *ret_evicted)
{
	*ret_evicted = 0;
	for (unsigned i = 0; i < n; i++) {
		const struct rf_rule_limit *l = late[i].rule->limit;
		struct rf_limit_state s;
		bool counted = true;
		if (l->to_origin && !forwarded)
			continue;
		if (l->at_response && rf_expr_test(l->counting, facts, &counted) != RF_OK)
			counted = true; /* what cannot be told is counted */
		uint32_t cost = l->score_header.n ? cost_of(score(ctx, l->score_header)) : 1;
		if (!counted || !cost)
			continue;
		rf_limit_add(counting->table, &late[i].key, &l->rate, counting->now, cost, &s);
		*ret_evicted += s.evicted;
	}
}

/* --- --- */

void outcome_act(struct run *r, const struct rf_rule *rule)
{
	bool over = true;
	int c = rule->limit ? limited(r, rule, &over) : RF_OK;
	if (c)
		outcome_broke(r, rule, c);
	if (c || !over)
		return;
	hit(r->v, rule);
	enum rf_why why = rule->limit ? RF_WHY_LIMIT : RF_WHY_RULE;
	switch (rule->action) {
	case RF_ACT_BLOCK:
	case RF_ACT_RATE_LIMIT:
		end(r, rule, RF_BLOCK, why);
		break;
	case RF_ACT_ALLOW:
		end(r, rule, RF_ALLOW, RF_WHY_RULE);
		break;
	case RF_ACT_LOG:
		break;
	case RF_ACT_SKIP:
		c = skip(r, rule->skip);
		break;
	case RF_ACT_REWRITE:
		c = rewrite(r, rule);
		break;
	case RF_ACT_REDIRECT:
		c = redirect(r, rule);
		break;
	case RF_ACT_SET_CONFIG:
		configure(&r->v->config, rule->config);
		break;
	case RF_ACT_COMPRESS:
		r->v->algorithms = rule->algorithms;
		break;
	case RF_ACT_SERVE_ERROR:
		serve_error(r, rule);
		break;
	case RF_ACT_QUARANTINE:
		end(r, rule, RF_BLOCK, RF_WHY_QUARANTINE);
		break;
	default:
		end(r, rule, RF_BLOCK, rule->limit ? RF_WHY_LIMIT : RF_WHY_CHALLENGE);
	}
	if (c)
		outcome_broke(r, rule, c);
}

void outcome_known(struct run *r, const struct rf_rule *rule)
{
	switch (rule->action) {
	case RF_ACT_REDIRECT:
		end(r, rule, RF_ANSWER, RF_WHY_RULE);
		break;
	case RF_ACT_REWRITE:
	case RF_ACT_SET_CONFIG:
	case RF_ACT_COMPRESS:
		hit(r->v, rule);
		break;
	default:
		outcome_act(r, rule);
	}
}
