/* Tests of policy/seed: a rule that came from a seed is the one that its document makes. RINGFENCE_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <cmocka.h>
#include "policy/index_random.h"
#include "policy/seed.h"

enum { DOCS = 3000 };

static const struct rf_rule_env env = { 0 };

static struct rf_rule *compiled(struct rf_str doc, struct rf_str id)
{
	struct rf_rule *r = NULL;
	struct rf_err e;
	return rf_rule_make_text(&env, RF_PHASE_HTTP_REQUEST, doc, id, id, "", &r, &e) == RF_OK ? r : NULL;
}

static void assert_same(const struct rf_rule *a, const struct rf_rule *b)
{
	RF_BUF_AUTO x = { 0 };
	RF_BUF_AUTO y = { 0 };
	rf_expr_print(a->cond, &x);
	rf_expr_print(b->cond, &y);
	assert_true(rf_str_eq(rf_buf_str(&x), rf_buf_str(&y)));
	assert_true(rf_str_eq(a->id, b->id) && rf_str_eq(a->ref, b->ref) && rf_str_eq(a->expression, b->expression));
	assert_true(rf_str_eq(a->version, b->version) && rf_str_eq(a->description, b->description));
	assert_true(a->phase == b->phase && a->action == b->action && a->enabled == b->enabled && a->logging == b->logging);
	assert_true(a->priority == b->priority && a->nwarnings == b->nwarnings && !a->nedits == !b->nedits);
	for (unsigned i = 0; i < a->nwarnings; i++)
		assert_string_equal(a->warnings[i], b->warnings[i]);
	assert_true(!a->response && !b->response && !a->skip && !b->skip && !a->limit && !b->limit && !a->redirect && !b->redirect);
	assert_true(!a->config && !b->config && !a->algorithms && !b->algorithms);
}

#define MOSTLY_FIRST(form, v) ((v)[draw(form, 3) ? 0 : draw(form, sizeof(v) / sizeof *(v))])

/* A document of the form that `form` draws, with a string that is plain mostly; some only look like it. */
static void draw_doc(struct draw form, struct draw *d, struct rf_buf *to)
{
	static const char *const fields[] = { "http.request.uri.path", "(http.host", "ip.geoip.country", "lower(http.host)", "tcp.dstport",
		"device.firmware", "any(device.tags[*]", "http.host eq \\\"b\\\" and http.host",
		"not ssl and device.class in {\\\"a\\\"} and http.request.uri.path", "ip.src in {10.0.0.0/8} and http.request.uri.path",
		"http.request.method ne \\\"GET\\\" and http.request.uri.path", "ssl or http.request.uri.path" };
	static const char *const operators[] = { "eq", "eq", "eq", "==", "ne", "contains", "lt" };
	static const char *const closed[] = { "\\\"", "\\\"", "\\\")", "\\\" # ", "\\\\\\\"" };
	static const char *const odd[] = { "\\\\x41", "\\u0041", "\xc3\xa9", "a\\\" or http.host eq \\\"b", "r", "", "\x01" };
	static const char *const rest[] = { "\"action\":\"log\",\"description\":\"\",\"enabled\":true,\"version\":\"3\"", "\"action\":\"block\"",
		"\"action\":\"managed_challenge\",\"description\":\"d\"", "\"enabled\":false,\"action\":\"log\"", "\"action\":\"block\",\"priority\":7",
		"\"action\":\"block\",\"ref\":\"own\"", "\"action\":\"block\",\"action_parameters\":{\"response\":{\"status_code\":404}}" };
	rf_buf_printf(to, "{%s\"expression\":\"%s ", draw(&form, 8) ? "" : " ", MOSTLY_FIRST(&form, fields));
	rf_buf_printf(to, "%s %s\\\"", MOSTLY_FIRST(&form, operators), draw(&form, 8) ? "" : "r");
	if (draw(d, 3))
		rf_buf_printf(to, "/rule/%u", draw(d, 100000));
	else
		rf_buf_printf(to, "%s", draw(d, 2) ? PICK(d, odd) : PICK(d, words));
	rf_buf_printf(to, "%s\",", MOSTLY_FIRST(&form, closed));
	rf_buf_printf(to, "%s}", MOSTLY_FIRST(&form, rest));
}

static void a_seed_becomes_the_rule_of_its_document(void **state)
{
	(void)state;
	const char *seed = getenv("RINGFENCE_SEED");
	struct draw d = { .seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 2 + 1 };
	struct draw form = { 0 };
	struct rf_seeds *seeds = rf_seeds_new();
	unsigned taken = 0, made = 0;
	print_message("seed %llu\n", (unsigned long long)d.seed);
	for (unsigned i = 0; i < DOCS; i++) {
		char id[SEED_ID + 1];
		RF_BUF_AUTO doc = { 0 };
		struct rf_rule_link l;
		snprintf(id, sizeof id, "%032x", i);
		if (i % 8 == 0)
			form.seed = draw(&d, 1 << 30) * 2 + 1;
		draw_doc(form, &d, &doc);
		struct rf_rule *r = compiled(rf_buf_str(&doc), rf_str_z(id));
		if (rf_seeds_take(seeds, rf_buf_str(&doc), rf_str_z(id), i, i + 1, &l)) {
			assert_non_null(r);
			assert_same(rf_link_rule(l), r);
			assert_ptr_equal(rf_link_rule(l), rf_link_rule(l));
			assert_true(rf_link_rule(l)->order == i && rf_link_revision(l) == i + 1 && rf_str_eq(rf_link_id(l), rf_str_z(id)));
			rf_link_put(l);
			taken++;
		} else if (r) {
			rf_seeds_learn(seeds, rf_buf_str(&doc), r);
			made++;
		}
		rf_rule_put(r);
	}
	rf_seeds_free(seeds);
	assert_true(taken > 100 && made > 100);
}

/* What another wants of it outlives where it stood. */
static void a_rule_outlives_its_seed(void **state)
{
	(void)state;
	static const char id[] = "0123456789abcdef0123456789abcdef";
	struct rf_str first = RF_STR("{\"expression\":\"http.host eq \\\"a\\\"\",\"action\":\"block\",\"description\":\"why\"}");
	struct rf_str second = RF_STR("{\"expression\":\"http.host eq \\\"bcd\\\"\",\"action\":\"block\",\"description\":\"why\"}");
	struct rf_seeds *seeds = rf_seeds_new();
	struct rf_rule *model = compiled(first, RF_STR("x"));
	struct rf_rule_link l = { 0 };
	rf_seeds_learn(seeds, first, model);
	assert_false(rf_seeds_take(seeds, second, rf_str_z(id), 5, 6, &l)); /* one is no form */
	rf_seeds_learn(seeds, first, model);
	rf_rule_put(model);
	assert_true(rf_seeds_take(seeds, second, rf_str_z(id), 5, 6, &l));
	assert_non_null(link_seed(l));
	rf_seeds_free(seeds);
	struct rf_rule *r = rf_rule_get(rf_link_rule(l));
	rf_link_put(l);
	assert_true(rf_str_eq(r->expression, RF_STR("http.host eq \"bcd\"")) && rf_str_eq(r->description, RF_STR("why")));
	assert_string_equal(r->id.p, id);
	rf_rule_put(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_seed_becomes_the_rule_of_its_document), cmocka_unit_test(a_rule_outlives_its_seed) };
	return cmocka_run_group_tests_name("policy-seed", tests, NULL, NULL);
}
