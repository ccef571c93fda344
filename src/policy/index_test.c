/* Tests of policy/index: held against the rules in turn, for random rules and requests, while rules come, go and are
 * merged. RINGFENCE_SEED repeats a run, RINGFENCE_ROUNDS makes it longer. */
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>
#include <cmocka.h>
#include "policy/index.h"
#include "policy/index_random.h"

enum { RULES = 120, CHANGES = 60, REQUESTS = 40, PLACES = 100000 };

static struct rf_lists *lists;

static struct rf_rule *random_rule(struct draw *d, int64_t order)
{
	const struct rf_rule_env env = { .lists = lists };
	struct rf_rule *r = NULL;
	struct rf_err e = { 0 };
	json_t *doc = rule_doc(d);
	if (rf_rule_make(&env, RF_PHASE_HTTP_REQUEST, doc, "", &r, &e))
		fail_msg("%s: %s", json_string_value(json_object_get(doc, "expression")), e.text);
	r->order = order;
	json_decref(doc);
	return r;
}

static struct rf_ruleset *random_set(struct draw *d, unsigned count, bool frozen)
{
	const struct rf_rule_env env = { .lists = lists };
	struct rf_rule_link v[RULES] = { 0 };
	struct rf_ruleset *s = NULL;
	struct rf_seeds *seeds = rf_seeds_new();
	for (unsigned i = 0; i < count; i++) {
		if (draw(d, 2))
			v[i] = draw_seed(d, seeds, &env, (int64_t)i * PLACES);
		if (!v[i].to)
			v[i] = rf_link_of(random_rule(d, (int64_t)i * PLACES));
	}
	rf_seeds_free(seeds);
	assert_int_equal(rf_ruleset_link(RF_PHASE_HTTP_REQUEST, RF_STR("1"), RF_STR("s"), v, count, &s), RF_OK);
	for (unsigned i = 0; i < count; i++)
		rf_link_put(v[i]);
	assert_int_equal(rf_ruleset_index(s, NULL, frozen), RF_OK);
	return s;
}

static void tell(const struct rf_ruleset *s)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct rf_rule *r = rf_ruleset_at(s, i);
		print_message("%s%s %.*s\n", r->enabled ? "" : "# ", rf_actions[r->action].name, RF_ARG(r->expression));
	}
}

static void check(struct draw *d, const struct rf_ruleset *s, unsigned requests)
{
	struct request q;
	for (unsigned i = 0; i < requests; i++) {
		draw_request(d, &q);
		if (agree(s, &q, lists))
			continue;
		tell(s);
		fail_msg("the index and the rules in turn differ");
	}
}

static void add_one(struct draw *d, struct rf_ruleset **s)
{
	struct rf_ruleset *with = NULL;
	struct rf_rule *r = random_rule(d, (int64_t)draw(d, RULES) * PLACES + draw(d, PLACES));
	size_t at = rf_ruleset_rank(*s, r->priority, r->order);
	const struct rf_rule *there = rf_ruleset_at(*s, at);
	if (!there || there->priority != r->priority || there->order != r->order) {
		assert_int_equal(rf_ruleset_with(*s, at, false, r, &with), RF_OK);
		assert_non_null(with->index);
		rf_ruleset_put(*s);
		*s = with;
	}
	rf_rule_put(r);
}

static void take_one(struct draw *d, struct rf_ruleset **s)
{
	struct rf_ruleset *with = NULL;
	if ((*s)->count == 0)
		return;
	assert_int_equal(rf_ruleset_with(*s, draw(d, (unsigned)(*s)->count), true, NULL, &with), RF_OK);
	rf_ruleset_put(*s);
	*s = with;
}

static void change(struct draw *d, struct rf_ruleset **s)
{
	if (draw(d, 3))
		add_one(d, s);
	else
		take_one(d, s);
}

/* A merge, with changes while it runs. */
static void merge(struct draw *d, struct rf_ruleset **s)
{
	struct rf_index_job *j = NULL;
	struct rf_ruleset *with = NULL;
	if (!rf_index_wanted(*s))
		return;
	assert_int_equal(rf_index_begin(*s, &j), RF_OK);
	for (unsigned i = draw(d, 8); i > 0; i--)
		change(d, s);
	assert_int_equal(rf_index_merge(j), RF_OK);
	assert_int_equal(rf_ruleset_adopt(*s, j, &with), RF_OK);
	rf_index_end(j);
	rf_ruleset_put(*s);
	*s = with;
}

/* All rules given anew, most of them the same objects. */
static void remake(struct draw *d, struct rf_ruleset **s)
{
	struct rf_rule_link *v = malloc(((*s)->count + 1) * sizeof *v);
	struct rf_ruleset *now = NULL;
	size_t n = 0;
	for (size_t b = 0; b < (*s)->nblocks; b++)
		for (unsigned i = 0; i < (*s)->blocks[b]->count; i++)
			if (draw(d, 8))
				v[n++] = (*s)->blocks[b]->rules[i];
	assert_int_equal(rf_ruleset_link(RF_PHASE_HTTP_REQUEST, RF_STR("1"), RF_STR("s"), v, n, &now), RF_OK);
	assert_int_equal(rf_ruleset_index(now, *s, false), RF_OK);
	free(v);
	rf_ruleset_put(*s);
	*s = now;
}

static void one_life(struct draw *d)
{
	struct rf_ruleset *s = random_set(d, draw(d, RULES), draw(d, 2));
	check(d, s, REQUESTS);
	for (unsigned i = 0; i < CHANGES; i++) {
		change(d, &s);
		check(d, s, 2);
		if (draw(d, 16) == 0)
			merge(d, &s);
		if (draw(d, 40) == 0)
			remake(d, &s);
	}
	check(d, s, REQUESTS);
	rf_ruleset_put(s);
}

static void differs_nowhere(void **state)
{
	(void)state;
	const char *seed = getenv("RINGFENCE_SEED"), *rounds = getenv("RINGFENCE_ROUNDS");
	struct draw d = { .seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 2 + 1 };
	print_message("seed %llu\n", (unsigned long long)d.seed);
	for (long i = rounds ? atol(rounds) : 12; i > 0; i--)
		one_life(&d);
}

static struct rf_ruleset *set_of(const char *const *texts, unsigned count, bool frozen)
{
	const struct rf_rule_env env = { .lists = lists };
	struct rf_rule *v[RULES] = { 0 };
	struct rf_ruleset *s = NULL;
	struct rf_err e;
	for (unsigned i = 0; i < count; i++) {
		json_t *doc = json_pack("{s:s, s:s}", "action", "log", "expression", texts[i]);
		assert_int_equal(rf_rule_make(&env, RF_PHASE_HTTP_REQUEST, doc, "", &v[i], &e), RF_OK);
		v[i]->order = i;
		json_decref(doc);
	}
	assert_int_equal(rf_ruleset_of(RF_PHASE_HTTP_REQUEST, RF_STR("1"), RF_STR("s"), v, count, &s), RF_OK);
	assert_int_equal(rf_ruleset_index(s, NULL, frozen), RF_OK);
	for (unsigned i = 0; i < count; i++)
		rf_rule_put(v[i]);
	return s;
}

static unsigned candidates(const struct rf_ruleset *s, struct request *q)
{
	static const struct rf_facts_ops ops = { give, NULL };
	struct rf_arena arena;
	struct rf_facts f;
	struct candidates c;
	uint32_t rank;
	unsigned n = 0;
	rf_arena_init(&arena, 1 << 20);
	rf_facts_init(&f, &ops, q, &arena, lists, 0);
	assert_int_equal(segment_find(s->index->v[0].s, &f, &c), RF_OK);
	while (candidates_next(&c, &rank))
		n++;
	rf_arena_fini(&arena);
	return n;
}

/* Each of these is no candidate of an ordinary request, and is one of its own. */
static void candidates_are_few(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"http.request.uri.path eq \"/only\"",
		"device.class eq \"camera\" and http.request.uri.path in {\"/a\" \"/only\"}",
		"http.request.uri.path contains \"nly\"",
		"http.request.uri.path strict wildcard \"/onl*\"",
		"http.request.uri.path matches \"^/on(l|m)y$\"",
		"ip.src in {192.0.2.0/24 198.51.100.0/24}",
		"any(http.request.headers[\"x-1\"][*] contains \"evil\") or lower(http.request.uri.path) eq \"/only\"",
		"starts_with(http.request.uri.path, \"/only\")",
		"not ssl and http.request.uri.path eq \"/only\"",
		"tcp.dstport in {8000..8009}",
	};
	struct request q = { 0 };
	struct rf_ip ip;
	for (int frozen = 0; frozen < 2; frozen++) {
		struct rf_ruleset *s = set_of(texts, sizeof texts / sizeof *texts, frozen);
		q.val[RF_F_HTTP_PATH] = rf_val_str(RF_STR("/v1/data"));
		q.val[RF_F_DEVICE_CLASS] = rf_val_str(RF_STR("camera"));
		q.val[RF_F_TCP_DSTPORT] = rf_val_int(443);
		rf_ip_parse(RF_STR("10.0.0.1"), &ip);
		q.val[RF_F_IP_SRC] = rf_val_ip(ip);
		/* a pattern without a literal leads by itself only in a frozen segment; else its rule is a gate, and is closed */
		assert_int_equal(candidates(s, &q), 0);
		q.val[RF_F_HTTP_PATH] = rf_val_str(RF_STR("/only"));
		q.val[RF_F_TCP_DSTPORT] = rf_val_int(8009);
		rf_ip_parse(RF_STR("192.0.2.7"), &ip);
		q.val[RF_F_IP_SRC] = rf_val_ip(ip);
		assert_int_equal(candidates(s, &q), sizeof texts / sizeof *texts);
		rf_ruleset_put(s);
	}
}

static void reached(const char *text, bool indexed, const char *says)
{
	const struct rf_ruleset *s = set_of(&text, 1, false);
	RF_BUF_AUTO b = { 0 };
	assert_int_equal(rf_expr_reached(rf_ruleset_at(s, 0)->cond, &b), indexed);
	rf_buf_addc(&b, '\0');
	if (!strstr(b.p, says))
		fail_msg("%s: %s", text, b.p);
	rf_ruleset_put((struct rf_ruleset *)(uintptr_t)s);
}

static void says_how_a_rule_is_reached(void **state)
{
	(void)state;
	reached("device.class eq \"camera\" and http.request.uri.path eq \"/x\"", true, "http.request.uri.path eq \"/x\"");
	reached("http.host eq \"a\" or http.host eq \"b\"", true, "and 1 more");
	reached("not http.host eq \"a\"", false, "`not` holds");
	reached("http.host eq \"a\" or device.firmware lt \"2\"", false, "an order has no index: device.firmware lt");
	reached("true", false, "every request");
	reached("http.host contains \"ab\"", false, "too short");
	reached("false", true, "cannot hold");
}

static int begin(void **state)
{
	(void)state;
	lists = bad_list();
	return !lists;
}

static int end(void **state)
{
	(void)state;
	rf_lists_put(lists);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(differs_nowhere), cmocka_unit_test(candidates_are_few),
		cmocka_unit_test(says_how_a_rule_is_reached) };
	return cmocka_run_group_tests_name("policy-index", tests, begin, end);
}
