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

static struct rf_rule *compiled(struct rf_str doc, struct rf_str id, struct rf_str ref)
{
	struct rf_rule *r = NULL;
	struct rf_err e;
	return rf_rule_make_text(&env, RF_PHASE_HTTP_REQUEST, doc, id, ref, "", &r, &e) == RF_OK ? r : NULL;
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
	static const char *const described[] = { "", "a rule of %u", "rule of \\\"%u\\\"", "\xc3\xa4 %u and more", "%u\\\\u00e9" };
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
	if (draw(&form, 2)) {
		rf_buf_printf(to, "\"last_updated\":\"2026-11-22T0%u:%u0:00Z\",", draw(d, 9), draw(d, 6));
		rf_buf_printf(to, "\"description\":\"");
		const char *text = PICK(&form, described), *at = strstr(text, "%u");
		rf_buf_add(to, (struct rf_str){ text, at ? (size_t)(at - text) : 0 });
		if (at)
			rf_buf_printf(to, "%u%s", draw(d, 1000), at + 2);
		rf_buf_printf(to, "\",\"version\":\"%u\",\"action\":\"block\"}", draw(d, 20));
		return;
	}
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
		char id[SEED_ID + 1], ref[SEED_ID + 1];
		RF_BUF_AUTO doc = { 0 };
		struct rf_rule_link l;
		snprintf(id, sizeof id, "%032x", i);
		snprintf(ref, sizeof ref, draw(&form, 2) ? "%032x" : "rule %u", i);
		if (i % 8 == 0)
			form.seed = draw(&d, 1 << 30) * 2 + 1;
		draw_doc(form, &d, &doc);
		struct rf_rule *r = compiled(rf_buf_str(&doc), rf_str_z(id), rf_str_z(ref));
		if (rf_seeds_take(seeds, rf_buf_str(&doc), rf_str_z(id), rf_str_z(ref), i, i + 1, &l)) {
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
	struct rf_str other = RF_STR("{\"expression\":\"http.host eq \\\"b\\\"\",\"action\":\"block\",\"description\":\"why\"}");
	struct rf_rule *model = compiled(first, RF_STR("x"), RF_STR("x")), *like = compiled(other, RF_STR("y"), RF_STR("y"));
	struct rf_rule_link l = { 0 };
	rf_seeds_learn(seeds, first, model);
	assert_false(rf_seeds_take(seeds, second, rf_str_z(id), rf_str_z(id), 5, 6, &l)); /* one is no form */
	rf_seeds_learn(seeds, other, like);
	rf_rule_put(model);
	rf_rule_put(like);
	assert_true(rf_seeds_take(seeds, second, rf_str_z(id), RF_STR("own"), 5, 6, &l));
	assert_non_null(link_seed(l));
	rf_seeds_free(seeds);
	struct rf_rule *r = rf_rule_get(rf_link_rule(l));
	rf_link_put(l);
	assert_true(rf_str_eq(r->expression, RF_STR("http.host eq \"bcd\"")) && rf_str_eq(r->description, RF_STR("why")));
	assert_string_equal(r->id.p, id);
	assert_string_equal(r->ref.p, "own");
	rf_rule_put(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_seed_becomes_the_rule_of_its_document), cmocka_unit_test(a_rule_outlives_its_seed) };
	return cmocka_run_group_tests_name("policy-seed", tests, NULL, NULL);
}
