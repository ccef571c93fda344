/* Rules of the phase packet as programs: what they say, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "policy/packet_random.h"

enum { RULES = 400, FRAMES = 60 };

static void programs_say_what_the_evaluator_says(void **state)
{
	struct draw d = { .seed = 20161021 };
	unsigned verdicts[3] = { 0 };
	(void)state;
	for (unsigned i = 0; i < RULES; i++) {
		struct drawn r;
		draw_rules(&d, &r);
		for (unsigned k = 0; k < FRAMES; k++) {
			struct frame f;
			struct rf_packet_facts facts;
			struct rf_packet p;
			struct answer a;
			draw_frame(&d, &f);
			if (!program_agrees(&r, &f))
				fail_msg("rules %u, frame %u", i, k);
			if (read_frame(&f, &facts, &p) && evaluate(&r, &p, &a))
				verdicts[a.verdict]++;
		}
		drawn_fini(&r);
	}
	for (unsigned i = 0; i < 3; i++)
		if (verdicts[i] < RULES)
			fail_msg("only %u frames with verdict %u", verdicts[i], i);
}

static int make(const char *expression, const char *more, struct rf_err *e)
{
	const struct rf_rule_env env = { 0 };
	struct rf_rule *r = NULL;
	json_t *doc = json_pack("{s:s, s:s}", "action", "block", "expression", expression);
	json_t *other = json_loads(more, 0, NULL);
	json_object_update(doc, other);
	int rc = rf_rule_make(&env, RF_PHASE_PACKET, doc, "/rules/0", &r, e);
	rf_rule_put(r);
	json_decref(other);
	json_decref(doc);
	return rc;
}

static void what_the_kernel_cannot_ask_is_refused(void **state)
{
	const struct { const char *expression, *more, *pointer, *words; } all[] = {
		{ "sip", "{}", "/rules/0/expression", "udp.dstport in {5060 5061}" },
		{ "ip.len gt 40 and sip", "{}", "/rules/0/expression", "cannot answer `sip`" },
		{ "ip contains \"x\"", "{}", "/rules/0/expression", "bit_slice()" },
		{ "to_string(ip.ttl) eq \"64\"", "{}", "/rules/0/expression", "a field as it is" },
		{ "concat(ip.proto, cf.colo.name) eq \"tcp\"", "{}", "/rules/0/expression", "concat" },
		{ "tcp", "{}", "/rules/0/expression", "" },
		{ "true", "{\"action_parameters\": {\"response\": {\"status_code\": 403, \"content\": \"x\", \"content_type\": \"text/plain\"}}}",
		  "/rules/0/action_parameters/response", "gets no answer" },
		{ "true", "{\"action\": \"skip\", \"action_parameters\": {\"phases\": [\"http_request\"]}}", "/rules/0/action_parameters", "nothing else" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		struct rf_err e = { 0 };
		assert_int_not_equal(make(all[i].expression, all[i].more, &e), RF_OK);
		assert_string_equal(e.pointer, all[i].pointer);
		if (!strstr(e.text, all[i].words))
			fail_msg("%s: %s", all[i].expression, e.text);
	}
}

static void a_long_list_is_refused(void **state)
{
	enum { MANY = RF_PACKET_LIST + 1 };
	struct rf_list *l = rf_list_new(RF_LIST_IP);
	struct rf_lists *t = NULL;
	struct rf_rule *r = NULL;
	struct rf_err e = { 0 };
	json_t *doc = json_pack("{s:s, s:s}", "action", "block", "expression", "ip.src in $many");
	(void)state;
	for (unsigned i = 0; i < MANY - 1; i++) {
		char text[32];
		snprintf(text, sizeof text, "10.%u.%u.0/25", i >> 8, i & 255);
		assert_int_equal(rf_list_insert(l, rf_str_z(text)), RF_OK);
	}
	assert_int_equal(rf_lists_with(NULL, RF_STR("many"), l, &t), RF_OK);
	const struct rf_rule_env env = { .lists = t };
	assert_int_equal(rf_rule_make(&env, RF_PHASE_PACKET, doc, "", &r, &e), RF_OK);
	rf_rule_put(r);
	assert_int_equal(rf_list_insert(l, RF_STR("192.0.2.1")), RF_OK);
	assert_int_equal(rf_rule_make(&env, RF_PHASE_PACKET, doc, "", &r, &e), RF_E_TOO_LARGE);
	assert_non_null(strstr(e.text, "access block"));
	json_decref(doc);
	rf_lists_put(t);
	rf_list_put(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_say_what_the_evaluator_says),
		cmocka_unit_test(what_the_kernel_cannot_ask_is_refused),
		cmocka_unit_test(a_long_list_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
