/* Rules through the API: order, places, what is written and compiled. */
#include "api/test_rules.h"

static void positions_put_a_rule_where_they_say(void **state)
{
	(void)state;
	replace("abc");
	assert_int_equal(add("d", ""), 200);
	assert_int_equal(add("e", "{\"before\":\"\"}"), 200);
	assert_int_equal(add("f", position("before", id_of("b"))), 200);
	assert_int_equal(add("g", position("after", id_of("b"))), 200);
	assert_int_equal(add("h", "{\"index\":1}"), 200);
	assert_int_equal(add("i", "{\"index\":99}"), 200);
	assert_int_equal(add("j", "{\"index\":3}"), 200);
	assert_int_equal(add("k", "{\"index\":9}"), 200);
	assert_int_equal(add("l", "{\"after\":\"\"}"), 200);
	assert_string_equal(stored(), "hejafbgckdil");
	assert_int_equal(add("a", ""), 400);
	assert_string_equal(pointer(), "/ref");
	assert_int_equal(add("z", position("after", "0123")), 400);
	assert_string_equal(pointer(), "/position/after");
	assert_as_from_nothing();
}

static void move(const char *ref, const char *where)
{
	char text[256];
	snprintf(text, sizeof text, "{\"position\":%s}", where);
	assert_int_equal(ask(RF_HTTP_PATCH, path_of(id_of(ref)), text), 200);
}

static void a_rule_moves_and_is_not_counted_where_it_was(void **state)
{
	(void)state;
	replace("abcde");
	move("a", position("after", id_of("c")));
	assert_string_equal(refs(rules()), "bcade");
	assert_string_equal(rule_text(2, "version"), "1");
	move("a", "{\"index\":1}");
	assert_string_equal(refs(rules()), "abcde");
	move("a", "{\"index\":4}");
	assert_string_equal(refs(rules()), "bcdae");
	move("e", "{\"index\":2}");
	assert_string_equal(refs(rules()), "becda");
	move("e", "{\"index\":2}");
	assert_string_equal(refs(rules()), "becda");
	move("b", position("before", id_of("e")));
	assert_string_equal(refs(rules()), "becda");
	move("a", "{\"before\":\"\"}");
	move("b", "{\"after\":\"\"}");
	assert_string_equal(refs(rules()), "aecdb");
	char text[160];
	snprintf(text, sizeof text, "{\"position\":%s}", position("before", id_of("c")));
	assert_int_equal(ask(RF_HTTP_PATCH, path_of(id_of("c")), text), 400);
	assert_as_from_nothing();
}

static void one_rule_compiles_once(void **state)
{
	(void)state;
	replace("abcdefgh");
	uint64_t before = rf_counter_sum(RF_C_RULES_COMPILED);
	assert_int_equal(add("i", "{\"before\":\"\"}"), 200);
	assert_int_equal(rf_counter_sum(RF_C_RULES_COMPILED), before + 1);
	assert_int_equal(ask(RF_HTTP_PATCH, path_of(id_of("c")), "{\"enabled\":false}"), 200);
	assert_int_equal(rf_counter_sum(RF_C_RULES_COMPILED), before + 2);
	assert_string_equal(rule_text(3, "version"), "2");
	assert_false(rf_ruleset_at(in_force(&w.ctl.priv->parts), 3)->enabled);
	assert_int_equal(ask(RF_HTTP_DELETE, path_of(id_of("d")), ""), 200);
	assert_string_equal(refs(rules()), "iabcefgh");
	replace("iabcefgh"); /* c is enabled again */
	assert_int_equal(rf_counter_sum(RF_C_RULES_COMPILED), before + 3);
	replace("iabcefgh");
	assert_int_equal(rf_counter_sum(RF_C_RULES_COMPILED), before + 3);
	replace("abcefghi"); /* one moves */
	assert_int_equal(rf_counter_sum(RF_C_RULES_COMPILED), before + 4);
	GOOD(rf_ctl_rebuild(&w.ctl, RF_PART_ALL, &w.e));
	assert_int_equal(rf_counter_sum(RF_C_RULES_COMPILED), before + 4);
	assert_as_from_nothing();
}

static void rules_without_names_are_known_by_content(void **state)
{
	(void)state;
	const char *two = "{\"rules\":[{\"action\":\"log\",\"expression\":\"true\"},{\"action\":\"log\",\"expression\":\"true\"}]}";
	char first[33], second[33];
	assert_int_equal(ask(RF_HTTP_PUT, ENTRY, two), 200);
	snprintf(first, sizeof first, "%s", rule_text(0, "id"));
	snprintf(second, sizeof second, "%s", rule_text(1, "id"));
	assert_int_equal(ask(RF_HTTP_PUT, ENTRY, two), 200);
	assert_string_equal(rule_text(0, "id"), first);
	assert_string_equal(rule_text(1, "id"), second);
	assert_int_equal(ask(RF_HTTP_PUT, ENTRY, "{\"rules\":[{\"action\":\"log\",\"expression\":\"false\"},{\"action\":\"log\","
			     "\"expression\":\"true\"},{\"action\":\"log\",\"expression\":\"true\"},{\"action\":\"log\",\"expression\":"
			     "\"true\"}]}"), 200);
	assert_string_equal(rule_text(1, "id"), first);
	assert_string_equal(rule_text(2, "id"), second);
	assert_int_equal(json_array_size(rules()), 4);
	assert_int_equal(ask(RF_HTTP_PUT, ENTRY, "{\"rules\":[{\"ref\":\"x\",\"action\":\"log\",\"expression\":\"true\"},"
			     "{\"ref\":\"x\",\"action\":\"log\",\"expression\":\"false\"}]}"), 400);
}

static void refs_can_be_swapped(void **state)
{
	(void)state;
	char a[33], b[33], text[512];
	replace("ab");
	snprintf(a, sizeof a, "%s", id_of("a"));
	snprintf(b, sizeof b, "%s", id_of("b"));
	snprintf(text, sizeof text, "{\"rules\":[{\"id\":\"%s\",\"ref\":\"b\",\"action\":\"log\",\"expression\":\"true\"},"
		 "{\"id\":\"%s\",\"ref\":\"a\",\"action\":\"log\",\"expression\":\"true\"}]}", a, b);
	assert_int_equal(ask(RF_HTTP_PUT, ENTRY, text), 200);
	assert_string_equal(id_of("b"), a);
	assert_string_equal(id_of("a"), b);
	assert_as_from_nothing();
}

static void errors_point_into_the_request(void **state)
{
	(void)state;
	replace("abc");
	assert_int_equal(ask(RF_HTTP_POST, path_of(""), "{\"action\":\"block\",\"expression\":\"http.hots eq \\\"x\\\"\"}"), 400);
	assert_string_equal(pointer(), "/expression");
	assert_int_equal(ask(RF_HTTP_PATCH, path_of(id_of("b")), "{\"expression\":\"1\"}"), 400);
	assert_string_equal(pointer(), "/expression");
	assert_int_equal(ask(RF_HTTP_PUT, ENTRY, "{\"rules\":[{\"action\":\"log\",\"expression\":\"true\"},{\"ref\":\"b\",\"action\":"
			     "\"log\",\"expression\":\"ip.src in $nothing\"}]}"), 400);
	assert_string_equal(pointer(), "/rules/1/expression");
	assert_string_equal(stored(), "abc");
	assert_as_from_nothing();
}

static int compiled(const char *text)
{
	uint64_t before = rf_counter_sum(RF_C_RULES_COMPILED);
	assert_int_equal(ask(RF_HTTP_PUT, ENTRY, text), 200);
	snprintf(set, sizeof set, "%s", rf_json_text(result(), "id"));
	int n = (int)(rf_counter_sum(RF_C_RULES_COMPILED) - before);
	assert_as_from_nothing();
	return n;
}

/* However it is written: what says the same is the same rule, and is not compiled again. */
static void writing_it_otherwise_changes_nothing(void **state)
{
	static const char *const ways[] = {
		"{\"rules\":[{\"expression\":\"http.request.uri.path eq \\\"/\u00e9\\\"\",\"action\":\"block\",\"action_parameters\":{\"response\":"
		"{\"status_code\":403,\"content\":\"a\",\"content_type\":\"text/plain\"}}},{\"expression\":\"ssl\",\"action\":\"log\"}]}",
		" { \"description\" : \"x\", \"rules\" : [ {\"action\":\"block\" , \"action_parameters\":{ \"response\":{\"content\":\"\\u0061\",\"content_type\":"
		"\"text\\/plain\",\"status_code\":403}},\n\t\"expression\":\"http.request.uri.path eq \\\"\\/\\u00e9\\\"\"},{\"action\":\"log\",\"enabled\":true,"
		"\"description\":\"\",\"expression\":\"ss\\u006c\"} ] } ",
		"{\"rules\":[{\"expression\":\"http.request.uri.path eq \\\"/\u00e9\\\"\",\"enabled\":null,\"action\":\"block\",\"action_parameters\":{\"response\":"
		"{\"status_code\":403,\"content\":\"a\",\"content_type\":\"text/plain\"}}},{\"\\u0065xpression\":\"ssl\",\"action\":\"log\",\"version\":\"7\","
		"\"last_updated\":\"2020-01-01T00:00:00Z\"}]}" };
	char first[33], second[33], text[512];
	(void)state;
	replace("");
	assert_int_equal(compiled(ways[0]), 2);
	snprintf(first, sizeof first, "%s", rule_text(0, "id"));
	snprintf(second, sizeof second, "%s", rule_text(1, "id"));
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		assert_int_equal(compiled(ways[i]), 0);
		assert_string_equal(rule_text(0, "id"), first);
		assert_string_equal(rule_text(1, "id"), second);
		assert_string_equal(rule_text(1, "version"), "1");
	}
	snprintf(text, sizeof text, "{\"rules\":[{\"expression\":\"not ssl\",\"action\":\"log\"},{\"id\":\"%s\",\"expression\":\"ssl\",\"priority\":null,"
		 "\"action\":\"log\"}]}", rule_text(1, "id"));
	assert_int_equal(compiled(text), 1);
	assert_string_equal(rule_text(1, "version"), "1");
	assert_int_equal(json_array_size(rules()), 2);
}

static void a_bad_rule_among_good_ones_changes_nothing(void **state)
{
	static const struct { const char *rule, *at; } bad[] = {
		{ "{\"action\":\"log\"}", "/rules/1/expression" }, { "{\"expression\":\"ssl\",\"action\":7}", "/rules/1/action" },
		{ "{\"expression\":\"\",\"action\":\"log\"}", "/rules/1/expression" }, { "{\"expression\":\"ssl\",\"action\":\"lok\"}", "/rules/1/action" },
		{ "{\"expression\":\"ssl\",\"action\":\"log\",\"position\":3}", "/rules/1/position" }, { "7", "/rules/1" },
		{ "{\"expression\":\"ssl\",\"action\":\"log\",\"enabled\":true,\"enabled\":true}", "" },
		{ "{\"expression\":\"ssl\",\"action\":\"log\",\"ref\":\"a\",\"ref\":\"a\"}", "" },
		{ "{\"expression\":\"ssl\",\"action\":\"log\",\"categories\":[1,]}", "" }, { "{\"expression\":\"ssl\" \"action\":\"log\"}", "" },
		{ "{\"expression\":\"ssl\",\"action\":\"log\",\"priority\":1e9}", "/rules/1/priority" },
		{ "{\"expression\":\"ssl\",\"action\":\"log\",\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}", "" },
		{ "{\"expression\":\"ssl\",\"action\":\"log\",\"description\":\"\xff\"}", "" }, { "{\"expression\":\"s\\u0000\",\"action\":\"log\"}", "" },
	};
	(void)state;
	replace("abc");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char text[512];
		snprintf(text, sizeof text, "{\"rules\":[{\"ref\":\"d\",\"expression\":\"ssl\",\"action\":\"log\"},%s]}", bad[i].rule);
		if (ask(RF_HTTP_PUT, ENTRY, text) / 100 != 4)
			fail_msg("taken: %s", bad[i].rule);
		assert_string_equal(pointer(), bad[i].at);
		assert_string_equal(stored(), "abc");
	}
	assert_int_equal(ask(RF_HTTP_PUT, ENTRY, "{\"rules\":[{\"action\":\"log\"},{\"expression\":\"ssl\"}]}"), 400);
	assert_int_equal(json_array_size(json_object_get(body, "errors")), 2);
	assert_int_equal(ask(RF_HTTP_PUT, ENTRY, "{\"rules\":[],\"rules\":[]}"), 400);
	assert_int_equal(ask(RF_HTTP_PUT, ENTRY, "{\"rules\":{}}"), 400);
	assert_string_equal(pointer(), "/rules");
	assert_int_equal(ask(RF_HTTP_PUT, ENTRY, "{\"rules\":[{\"expression\":\"ssl\",\"action\":\"log\",\"what\":1}]}"), 200);
	assert_int_equal(json_array_size(json_object_get(body, "messages")), 1);
	assert_as_from_nothing();
}

static void the_etag_is_the_rulesets(void **state)
{
	(void)state;
	replace("abc");
	char etag[32];
	snprintf(etag, sizeof etag, "%.*s", (int)strcspn(strstr(headers, "Etag: ") + 6, "\r"), strstr(headers, "Etag: ") + 6);
	memcpy(if_match, etag, sizeof if_match);
	assert_int_equal(add("d", ""), 200);
	assert_int_equal(add("e", ""), 412);
	assert_int_equal(ask(RF_HTTP_DELETE, path_of(id_of("a")), ""), 412);
	if_match[0] = '\0';
	assert_string_equal(stored(), "abcd");
	assert_as_from_nothing();
}

static void a_minimal_answer_has_the_one_rule(void **state)
{
	(void)state;
	replace("abc");
	prefer = "wait=1; x, Return=minimal";
	assert_int_equal(add("d", ""), 200);
	assert_non_null(strstr(headers, "Preference-Applied: return=minimal\r\n"));
	assert_null(rules());
	assert_string_equal(rf_json_text(result(), "id"), set);
	assert_string_equal(rf_json_text(result(), "version"), "2");
	assert_string_equal(rf_json_text(json_object_get(result(), "rule"), "ref"), "d");
	prefer = "return=representation";
	assert_int_equal(add("e", ""), 200);
	assert_null(strstr(headers, "Preference-Applied"));
	assert_string_equal(refs(rules()), "abcde");
}

static void a_dry_run_changes_nothing(void **state)
{
	(void)state;
	char path[300];
	replace("abc");
	snprintf(path, sizeof path, "%s?dry_run=true", path_of(""));
	assert_int_equal(ask(RF_HTTP_POST, path, "{\"action\":\"log\",\"expression\":\"true\"}"), 200);
	assert_int_equal(ask(RF_HTTP_POST, path, "{\"action\":\"log\",\"expression\":\"tru\"}"), 400);
	snprintf(path, sizeof path, ENTRY "?dry_run=true");
	assert_int_equal(ask(RF_HTTP_PUT, path, "{\"rules\":[]}"), 200);
	assert_string_equal(stored(), "abc");
	assert_as_from_nothing();
}

static void insertions_at_one_point_move_few_rows(void **state)
{
	(void)state;
	char ids[301][33];
	replace("ab");
	memcpy(ids[0], id_of("b"), 33);
	prefer = "return=minimal";
	uint64_t before = rf_counter_sum(RF_C_RULES_COMPILED);
	for (int i = 1; i <= 300; i++) {
		char ref[8];
		snprintf(ref, sizeof ref, "r%d", i);
		assert_int_equal(add(ref, position("before", ids[i - 1])), 200);
		memcpy(ids[i], id_of(ref), 33);
	}
	assert_in_range(rf_counter_sum(RF_C_RULES_COMPILED) - before, 300, 2000);
	prefer = "";
	assert_int_equal(ask(RF_HTTP_GET, path_of(NULL), ""), 200);
	assert_string_equal(rule_text(0, "ref"), "a");
	for (size_t i = 1; i <= 300; i++)
		assert_string_equal(rule_text(i, "id"), ids[301 - i]);
	assert_string_equal(rule_text(301, "ref"), "b");
	assert_as_from_nothing();
	char version[64];
	int v = 302 - RF_RULESET_VERSIONS;
	snprintf(version, sizeof version, "/rulesets/%s/versions/%d", set, v);
	assert_int_equal(ask(RF_HTTP_GET, version, ""), 200);
	assert_int_equal(json_array_size(rules()), v + 1);
	for (int i = 1; i < v; i++)
		assert_string_equal(rule_text((size_t)i, "id"), ids[v - i]);
}

/* --- many rules in several ways of writing --- */

static void assert_said(const char *text)
{
	json_t *doc = json_loads(text, 0, NULL), *said;
	size_t i;
	assert_int_equal(ask(RF_HTTP_GET, path_of(NULL), ""), 200);
	assert_int_equal(json_array_size(rules()), json_array_size(json_object_get(doc, "rules")));
	json_array_foreach(json_object_get(doc, "rules"), i, said) {
		const json_t *is = json_array_get(rules(), i);
		for (const char *const *m = (const char *const[]){ "expression", "action", "description", "ref", NULL }; *m; m++)
			if (json_object_get(said, *m) || strcmp(*m, "ref") != 0)
				assert_string_equal(rf_json_text(is, *m), rf_json_text(said, *m));
		assert_int_equal(json_is_false(json_object_get(is, "enabled")), json_is_false(json_object_get(said, "enabled")));
		assert_true(json_equal(json_object_get(is, "logging"), json_object_get(said, "logging")) || !json_object_get(said, "logging"));
		assert_int_equal(strlen(rf_json_text(is, "id")), 32);
	}
	json_decref(doc);
}

/* All new, all others, some others; then what was answered is sent back, and is what is there. */
static void many_rules_are_what_was_said(void **state)
{
	(void)state;
	RF_BUF_AUTO b = { 0 };
	for (unsigned way = 0; way < WAYS; way++)
		for (unsigned turn = 0; turn < 3; turn++) {
			write_all(&b, way, turn == 2 ? MANY_RULES + 7 : turn * MANY_RULES);
			assert_int_equal(ask(RF_HTTP_PUT, ENTRY, rf_buf_z(&b)), 200);
			snprintf(set, sizeof set, "%s", rf_json_text(result(), "id"));
			assert_said(rf_buf_z(&b));
			json_t *before = json_deep_copy(rules()), *again = json_pack("{s:O}", "rules", before);
			char *text = json_dumps(again, 0);
			assert_int_equal(ask(RF_HTTP_PUT, ENTRY, text), 200);
			assert_true(json_equal(rules(), before));
			assert_said(rf_buf_z(&b));
			assert_as_from_nothing();
			json_decref(before);
			json_decref(again);
			free(text);
		}
}

/* A rule of many that cannot be compiled is told by where it stands; and all is as it was. */
static void one_of_many_is_wrong(void **state)
{
	(void)state;
	RF_BUF_AUTO b = { 0 };
	write_all(&b, 0, 0);
	assert_int_equal(ask(RF_HTTP_PUT, ENTRY, rf_buf_z(&b)), 200);
	snprintf(set, sizeof set, "%s", rf_json_text(result(), "id"));
	const unsigned wrong[] = { 0, 1, 2, 650, MANY_RULES - 1 };
	for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
		RF_BUF_AUTO bad = { 0 };
		char at[48];
		rf_buf_printf(&bad, "{\"rules\":[");
		for (unsigned i = 0; i < MANY_RULES; i++) {
			rf_buf_add(&bad, i ? RF_STR(",") : RF_STR(""));
			if (i == wrong[k])
				rf_buf_printf(&bad, "{\"expression\": \"http.request.uri.nowhere eq \\\"/rule\\\"\", \"action\": \"block\"}");
			else
				write_one(&bad, 0, i, k & 1 ? MANY_RULES : 0); /* all others, or all the same */
		}
		rf_buf_printf(&bad, "]}");
		assert_int_equal(ask(RF_HTTP_PUT, ENTRY, rf_buf_z(&bad)), 400);
		snprintf(at, sizeof at, "/rules/%u/expression", wrong[k]);
		assert_string_equal(pointer(), at);
		assert_said(rf_buf_z(&b));
	}
}

/* Where few differ, the others are who they were, wherever they stand now. */
static void few_differ(void **state)
{
	(void)state;
	RF_BUF_AUTO b = { 0 };
	write_all(&b, 0, 0);
	assert_int_equal(ask(RF_HTTP_PUT, ENTRY, rf_buf_z(&b)), 200);
	json_t *before = json_deep_copy(rules());
	const size_t n = MANY_RULES;
	for (size_t moved = 1; moved < n; moved += 97) { /* from the front to the end, in a body of its own text */
		rf_buf_clear(&b);
		rf_buf_printf(&b, "{\"rules\":[{\"action\":\"log\",\"expression\":\"http.host eq \\\"new%zu\\\"\"}", moved);
		for (size_t i = 0; i < n; i++) {
			rf_buf_printf(&b, ",");
			write_one(&b, 0, (unsigned)((i + moved) % n), 0);
		}
		rf_buf_printf(&b, "]}");
		assert_int_equal(ask(RF_HTTP_PUT, ENTRY, rf_buf_z(&b)), 200);
		assert_int_equal(json_array_size(rules()), n + 1);
		for (size_t i = 0; i < n; i++)
			assert_true(json_equal(json_array_get(rules(), i + 1), json_array_get(before, (i + moved) % n)));
	}
	json_decref(before);
}

static void random_edits_end_as_from_nothing(void **state)
{
	(void)state;
	replace("abcdefghij");
	seed = 42;
	for (int i = 0; i < 400; i++) {
		random_edit();
		if (i % 8 == 0)
			assert_as_from_nothing();
	}
	assert_as_from_nothing();
}

/* --- size --- */

static double ms_since(const struct timespec *t)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)(now.tv_sec - t->tv_sec) * 1e3 + (double)(now.tv_nsec - t->tv_nsec) / 1e6;
}

static void timed(const char *what, enum rf_http_method m, const char *path, const char *text)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	assert_int_equal(ask(m, path, text), 200);
	print_message("%-40s %8.2f ms of CPU\n", what, ms_since(&t));
}

static char *many(size_t first, size_t count)
{
	RF_BUF_AUTO b = { 0 };
	rf_buf_printf(&b, "{\"rules\":[");
	for (size_t i = first; i < first + count; i++)
		rf_buf_printf(&b, "%s{\"expression\":\"http.request.uri.path eq \\\"/rule/%zu\\\"\",\"action\":\"block\"}",
			      i > first ? "," : "", i);
	rf_buf_printf(&b, "]}");
	return strdup(rf_buf_z(&b));
}

/* RF_TEST_RULES=100000 for the size of the goal; what is asserted holds for any. */
static void many_rules_cost_one_push_little(void **state)
{
	(void)state;
	const char *want = getenv("RF_TEST_RULES");
	size_t n = want ? strtoul(want, NULL, 10) : 3000;
	char *first = many(0, n), *second = many(n, n);
	prefer = "return=minimal";
	timed("put all", RF_HTTP_PUT, ENTRY, first);
	snprintf(set, sizeof set, "%s", rf_json_text(result(), "id"));
	timed("put all again", RF_HTTP_PUT, ENTRY, first);
	timed("put all others", RF_HTTP_PUT, ENTRY, second);
	timed("put back", RF_HTTP_PUT, ENTRY, first);
	assert_int_equal(versions(), 4 * n <= RF_RULESET_VERSION_RULES ? 4 : 2 * n <= RF_RULESET_VERSION_RULES ? 2 : 1);
	uint64_t before = rf_counter_sum(RF_C_RULES_COMPILED);
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	for (int i = 0; i < 100; i++) {
		char ref[16];
		snprintf(ref, sizeof ref, "one%d", i);
		assert_int_equal(add(ref, i & 1 ? "" : "{\"before\":\"\"}"), 200);
	}
	print_message("%-40s %8.3f ms of CPU\n", "one rule", ms_since(&t) / 100);
	assert_int_equal(rf_counter_sum(RF_C_RULES_COMPILED), before + 100);
	assert_int_equal(in_force(&w.ctl.priv->parts)->count, n + 100);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	assert_as_from_nothing();
	print_message("%-40s %8.2f ms of CPU\n", "build all from the state", ms_since(&t));
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	assert_int_equal(ask(RF_HTTP_GET, path_of(NULL), ""), 200);
	print_message("%-40s %8.2f ms of CPU\n", "get all", ms_since(&t));
	free(first);
	free(second);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(positions_put_a_rule_where_they_say), T(a_rule_moves_and_is_not_counted_where_it_was), T(one_rule_compiles_once),
		T(rules_without_names_are_known_by_content), T(refs_can_be_swapped), T(errors_point_into_the_request),
		T(writing_it_otherwise_changes_nothing), T(a_bad_rule_among_good_ones_changes_nothing),
		T(the_etag_is_the_rulesets), T(a_minimal_answer_has_the_one_rule), T(a_dry_run_changes_nothing), T(insertions_at_one_point_move_few_rows),
		T(many_rules_are_what_was_said), T(one_of_many_is_wrong), T(few_differ),
		T(random_edits_end_as_from_nothing), T(many_rules_cost_one_push_little),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
