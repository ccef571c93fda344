/* Earlier versions of a ruleset, through the API. */
#include "api/test_rules.h"

static const char *at_version(int v)
{
	char path[128];
	snprintf(path, sizeof path, "/rulesets/%s/versions/%d", set, v);
	return ask(RF_HTTP_GET, path, "") == 200 ? refs(rules()) : "absent";
}

static size_t records(void)
{
	struct rf_store_query q = { .parent = set };
	size_t n = 0;
	GOOD(rf_store_count(w.ctl.store, RF_KIND_RULESET_VERSION, &q, &n, &w.e));
	return n;
}

static void versions_lead_back(void **state)
{
	(void)state;
	char path[128];
	replace("abc");                                                            /* 1 */
	assert_int_equal(add("d", position("before", id_of("b"))), 200);           /* 2: adbc */
	assert_int_equal(ask(RF_HTTP_PATCH, path_of(id_of("a")), "{\"action\":\"block\",\"position\":{\"after\":\"\"}}"), 200);
	assert_int_equal(ask(RF_HTTP_DELETE, path_of(id_of("b")), ""), 200);       /* 3: dbca, 4: dca */
	replace("xcay");                                                           /* 5 */
	assert_string_equal(at_version(5), "xcay");
	assert_string_equal(at_version(4), "dca");
	assert_string_equal(rule_text(2, "action"), "block");
	assert_string_equal(at_version(3), "dbca");
	assert_string_equal(at_version(2), "adbc");
	assert_string_equal(rule_text(0, "action"), "log");
	assert_string_equal(rf_json_text(result(), "version"), "2");
	assert_string_equal(at_version(1), "abc");
	assert_string_equal(at_version(6), "absent");
	assert_int_equal(versions(), 5);
	snprintf(path, sizeof path, "/rulesets/%s/versions/3", set);
	assert_int_equal(ask(RF_HTTP_DELETE, path, ""), 204);
	assert_int_equal(ask(RF_HTTP_DELETE, path, ""), 404);
	assert_string_equal(at_version(3), "absent");
	assert_string_equal(at_version(2), "adbc"); /* by way of the hidden one */
	assert_int_equal(versions(), 4);
	snprintf(path, sizeof path, "/rulesets/%s/versions/1", set);
	assert_int_equal(ask(RF_HTTP_DELETE, path, ""), 204);
	snprintf(path, sizeof path, "/rulesets/%s/versions/2", set);
	assert_int_equal(ask(RF_HTTP_DELETE, path, ""), 204);
	assert_string_equal(at_version(4), "dca");
	assert_int_equal(records(), 1);
}

static void versions_are_bounded(void **state)
{
	(void)state;
	replace("a");
	for (int i = 0; i < RF_RULESET_VERSIONS + 5; i++)
		replace(i & 1 ? "ab" : "ba");
	assert_int_equal(versions(), RF_RULESET_VERSIONS + 1);
	assert_string_equal(at_version(5), "absent");
	assert_string_equal(at_version(6), "ba");
	assert_string_equal(at_version(7), "ab");
	assert_int_equal(ask(RF_HTTP_DELETE, path_of(NULL), ""), 204);
	assert_int_equal(w.ctl.priv->rules.n, 0);
}

static void assert_version(int v, const json_t *was)
{
	char path[128];
	snprintf(path, sizeof path, "/rulesets/%s/versions/%d", set, v);
	assert_int_equal(ask(RF_HTTP_GET, path, ""), 200);
	assert_true(json_equal(result(), was));
}

/* Each version of random edits is what was there. */
static void random_versions_lead_back(void **state)
{
	(void)state;
	json_t *was[RF_RULESET_VERSIONS + 40] = { NULL };
	int last = 0;
	replace("abcdefgh");
	seed = 7;
	for (int i = 0; i < 30; i++) {
		random_edit();
		assert_int_equal(ask(RF_HTTP_GET, path_of(NULL), ""), 200);
		last = atoi(rf_json_text(result(), "version"));
		json_decref(was[last]);
		was[last] = json_deep_copy(result());
	}
	for (int v = last - RF_RULESET_VERSIONS; v <= last; v++)
		assert_version(v, was[v]);
	for (size_t i = 0; i < sizeof was / sizeof *was; i++)
		json_decref(was[i]);
}

/* --- versions that many changes ended, each with more notes than one record holds --- */

enum { LONG_VERSIONS = 2 * WAYS };

/* All rules by their ids, the last one first, some of another content. */
static void turn_around(void)
{
	json_t *all = json_array(), *whole = json_pack("{s:o}", "rules", all);
	for (size_t i = json_array_size(rules()); i-- > 0;) {
		json_t *r = json_deep_copy(json_array_get(rules(), i));
		if (i % 3)
			json_object_set_new(r, "description", json_sprintf("turned \"%zu\"", i));
		json_array_append_new(all, r);
	}
	char *dump = json_dumps(whole, 0);
	assert_int_equal(ask(RF_HTTP_PUT, path_of(NULL), dump), 200);
	free(dump);
	json_decref(whole);
}

static void put_long_versions(json_t *was[LONG_VERSIONS])
{
	RF_BUF_AUTO b = { 0 };
	for (unsigned i = 0; i < LONG_VERSIONS; i++) {
		write_all(&b, i / 2, i);
		if (i % 2)
			turn_around();
		else
			assert_int_equal(ask(RF_HTTP_PUT, ENTRY, rf_buf_z(&b)), 200);
		snprintf(set, sizeof set, "%s", rf_json_text(result(), "id"));
		assert_int_equal(ask(RF_HTTP_GET, path_of(NULL), ""), 200);
		was[i] = json_deep_copy(result());
	}
}

static void long_versions_lead_back(void **state)
{
	(void)state;
	json_t *was[LONG_VERSIONS];
	char path[128];
	put_long_versions(was);
	assert_int_equal(versions(), LONG_VERSIONS);
	assert_in_range(records(), LONG_VERSIONS + 4, 4 * LONG_VERSIONS);
	for (int v = 1; v <= LONG_VERSIONS; v++)
		assert_version(v, was[v - 1]);
	snprintf(path, sizeof path, "/rulesets/%s/versions/2", set);
	assert_int_equal(ask(RF_HTTP_DELETE, path, ""), 204);
	assert_version(1, was[0]); /* by way of the hidden ones */
	for (int v = 1; v < LONG_VERSIONS; v++) {
		snprintf(path, sizeof path, "/rulesets/%s/versions/%d", set, v);
		assert_int_equal(ask(RF_HTTP_DELETE, path, ""), v == 2 ? 404 : 204);
		assert_version(LONG_VERSIONS, was[LONG_VERSIONS - 1]);
	}
	assert_int_equal(records(), 0);
	for (size_t i = 0; i < LONG_VERSIONS; i++)
		json_decref(was[i]);
}

/* Id and ref in the rule itself, as records had them that are older than the others. */
static void records_with_whole_rules_are_read(void **state)
{
	(void)state;
	RF_OBJECT_AUTO o = { 0 };
	size_t i;
	json_t *op;
	replace("abc");
	assert_int_equal(ask(RF_HTTP_GET, path_of(NULL), ""), 200);
	json_t *was = json_deep_copy(result());
	replace("cb");
	GOOD(rf_store_find(w.ctl.store, RF_KIND_RULESET_VERSION, set, "1", &o, &w.e));
	json_array_foreach(json_object_get(o.doc, "undo"), i, op) {
		json_t *rule = json_object_get(op, "rule");
		assert_true(!rule || rf_store_say(rule, rf_json_text(op, "id"), rf_json_text(op, "ref")));
		assert_true(!rule || rf_json_text(rule, "ref")[0]);
		json_object_del(op, "ref");
	}
	GOOD(rf_store_begin(w.ctl.store, "test", &w.e));
	GOOD(rf_store_put(w.ctl.store, RF_KIND_RULESET_VERSION, &o, 0, &w.e));
	GOOD(rf_store_commit(w.ctl.store, &w.e));
	assert_version(1, was);
	json_decref(was);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(versions_lead_back), T(versions_are_bounded), T(random_versions_lead_back), T(long_versions_lead_back),
		T(records_with_whole_rules_are_read),
	};
	return cmocka_run_group_tests_name("api-ruleset-versions", tests, NULL, NULL);
}
