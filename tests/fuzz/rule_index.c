/* Fuzz: rules and requests that the input chooses; what the index finds is held against the rules in turn. */
#include "policy/index_random.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RULES = 16, REQUESTS = 3 };

static struct rf_lists *lists;

/* NULL: a rule that the language refuses. */
static struct rf_rule *make(struct draw *d, int64_t order)
{
	const struct rf_rule_env env = { .lists = lists };
	struct rf_rule *r = NULL;
	struct rf_err e;
	json_t *doc = rule_doc(d);
	if (rf_rule_make(&env, RF_PHASE_HTTP_REQUEST, doc, "", &r, &e) == RF_OK)
		r->order = order;
	json_decref(doc);
	return r;
}

static void ask(struct draw *d, const struct rf_ruleset *s)
{
	struct request q;
	for (unsigned i = 0; i < REQUESTS; i++) {
		draw_request(d, &q);
		if (!agree(s, &q, lists))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct draw d = { .p = data, .n = size };
	struct rf_rule_link v[RULES + 1] = { 0 };
	struct rf_rule *one;
	struct rf_ruleset *s = NULL, *with = NULL;
	unsigned count = draw(&d, RULES), n = 0;
	bool frozen = draw(&d, 2);
	if (!lists && !(lists = bad_list()))
		return 0;
	const struct rf_rule_env env = { .lists = lists };
	struct rf_seeds *seeds = rf_seeds_new();
	for (unsigned i = 0; i < count; i++) {
		v[n] = draw(&d, 3) ? rf_link_of(make(&d, i * 2)) : draw_seed(&d, seeds, &env, i * 2);
		n += v[n].to != 0;
	}
	rf_seeds_free(seeds);
	if (rf_ruleset_link(RF_PHASE_HTTP_REQUEST, RF_STR("1"), RF_STR("s"), v, n, &s) || rf_ruleset_index(s, NULL, frozen))
		abort();
	ask(&d, s);
	if ((one = make(&d, 7)) && rf_ruleset_with(s, rf_ruleset_rank(s, one->priority, 7), false, one, &with))
		abort();
	if (with)
		ask(&d, with);
	rf_rule_put(one);
	for (unsigned i = 0; i < n; i++)
		rf_link_put(v[i]);
	rf_ruleset_put(with);
	rf_ruleset_put(s);
	return 0;
}
