/* Rules through the API into force: order, places, versions, what is written and compiled; the real store and control thread. */
#include <time.h>
#include "api/api.h"
#include "api/rulesets.h"
#include "api/state.h"
#include "base/enc.h"
#include "ctl/test.h"
#include "records/counters.h"

static struct rf_api *api;
static json_t *body;      /* of the last answer */
static char headers[1024];
static char set[33];      /* the ruleset */
static const char *prefer = "";
static char if_match[32] = "";

#define ENTRY "/rulesets/phases/http_request/entrypoint"

static int ask(enum rf_http_method m, const char *path, const char *text)
{
	static char target[512];
	struct rf_api_answer a;
	snprintf(target, sizeof target, "/client/v4/accounts/%s%s", w.ctl.account_id, path);
	struct rf_api_request q = { .method = m, .target = rf_str_z(target), .body = rf_str_z(text), .local = "local:test",
				    .content_type = RF_STR("application/json"), .prefer = rf_str_z(prefer),
				    .if_match = rf_str_z(if_match) };
	rf_api_handle(api, &q, &a);
	json_decref(body);
	body = a.body.n ? json_loadb(a.body.p, a.body.n, 0, NULL) : NULL;
	snprintf(headers, sizeof headers, "%s", rf_buf_z(&a.headers));
	int status = a.status;
	rf_api_answer_fini(&a);
	return status;
}

static const json_t *result(void) { return json_object_get(body, "result"); }
static const json_t *rules(void) { return json_object_get(result(), "rules"); }
static const char *rule_text(size_t i, const char *member) { return rf_json_text(json_array_get(rules(), i), member); }
static const char *pointer(void)
{
	return rf_json_text(json_object_get(json_array_get(json_object_get(body, "errors"), 0), "source"), "pointer");
}

static const char *path_of(const char *rule)
{
	static char path[256];
	snprintf(path, sizeof path, rule ? "/rulesets/%s/rules%s%s" : "/rulesets/%s", set, rule && *rule ? "/" : "", rule);
	return path;
}

/* A ruleset of rules named by the letters, each its own condition. */
static void replace(const char *letters)
{
	char text[8192];
	size_t n = (size_t)snprintf(text, sizeof text, "{\"rules\":[");
	for (const char *l = letters; *l; l++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s{\"ref\":\"%c\",\"action\":\"log\",\"expression\":"
				      "\"http.request.uri.path eq \\\"/%c\\\"\"}", l == letters ? "" : ",", *l, *l);
	snprintf(text + n, sizeof text - n, "]}");
	assert_int_equal(ask(RF_HTTP_PUT, ENTRY, text), 200);
	snprintf(set, sizeof set, "%s", rf_json_text(result(), "id"));
}

/* The refs of an answer's rules in a row. */
static const char *refs(const json_t *array)
{
	static char text[256];
	size_t i, n = 0;
	json_t *r;
	text[0] = '\0';
	json_array_foreach(array, i, r)
		n += (size_t)snprintf(text + n, sizeof text - n, "%.1s", rf_json_text(r, "ref"));
	return text;
}

static const char *stored(void)
{
	assert_int_equal(ask(RF_HTTP_GET, path_of(NULL), ""), 200);
	return refs(rules());
}

static const char *id_of(const char *ref)
{
	static char id[4][33];
	static unsigned turn;
	char *to = id[turn++ % 4];
	RF_OBJECT_AUTO o = { 0 };
	GOOD(rf_store_find(w.ctl.store, RF_KIND_RULE, set, ref, &o, &w.e));
	return memcpy(to, o.id, 33);
}

static int add(const char *ref, const char *position)
{
	char text[512];
	snprintf(text, sizeof text, "{\"ref\":\"%s\",\"action\":\"log\",\"expression\":\"http.request.uri.path eq \\\"/%s\\\"\""
		 "%s%s}", ref, ref, *position ? ",\"position\":" : "", position);
	return ask(RF_HTTP_POST, path_of(""), text);
}

static const char *position(const char *how, const char *id)
{
	static char text[128];
	snprintf(text, sizeof text, "{\"%s\":\"%.32s\"}", how, id);
	return text;
}

/* --- what is in force against a build from nothing --- */

static struct rf_ruleset *in_force(const struct rf_parts *p)
{
	for (size_t i = 0; i < p->rules_count; i++)
		if (strcmp(p->rules[i].id, set) == 0)
			return p->rules[i].set;
	return NULL;
}

static void assert_same(struct rf_ruleset *a, struct rf_ruleset *b)
{
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++) {
		struct rf_rule *x = rf_ruleset_at(a, i), *y = rf_ruleset_at(b, i);
		RF_BUF_AUTO p = { 0 };
		RF_BUF_AUTO q = { 0 };
		assert_true(rf_str_eq(x->id, y->id) && rf_str_eq(x->ref, y->ref) && rf_str_eq(x->version, y->version));
		assert_true(rf_str_eq(x->expression, y->expression) && rf_str_eq(x->description, y->description));
		assert_true(x->phase == y->phase && x->action == y->action && x->logging == y->logging && x->revision == y->revision);
		assert_true(x->order == y->order && x->priority == y->priority && x->enabled == y->enabled);
		rf_expr_print(x->cond, &p);
		rf_expr_print(y->cond, &q);
		assert_true(rf_str_eq(rf_buf_str(&p), rf_buf_str(&q)));
	}
}

static size_t rules_of(const struct rf_rule_table *t)
{
	return t->from ? t->from->count : t->rules.count;
}

static void assert_as_from_nothing(void)
{
	struct rf_ctl fresh = w.ctl;
	struct rf_ctl_private priv = { 0 };
	struct rf_parts made = { 0 };
	fresh.priv = &priv;
	GOOD(rf_build_rules(&fresh, false, &made, &w.e));
	rf_rule_index_settle(&priv.rules);
	assert_int_equal(made.rules_count, w.ctl.priv->parts.rules_count);
	assert_int_equal(priv.rules.n, w.ctl.priv->rules.n);
	for (size_t i = 0; i < priv.rules.n; i++)
		assert_int_equal(rules_of(&priv.rules.v[i]), rules_of(&w.ctl.priv->rules.v[i]));
	assert_int_equal(w.ctl.priv->rules.note_count, 0);
	assert_same(in_force(&w.ctl.priv->parts), in_force(&made));
	rf_parts_put(&made);
	rf_rule_index_fini(&priv.rules);
}

/* --- tests --- */

static int setup(void **state)
{
	(void)state;
	world_open("");
	struct rf_api_conf conf = { .store = w.ctl.store, .clock = w.ctl.clock, .version = "test", .state = rf_api_state_of(&w.ctl) };
	api = rf_api_new(&conf, &w.e);
	prefer = "";
	if_match[0] = '\0';
	return api ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	json_decref(body);
	body = NULL;
	rf_api_free(api);
	world_close();
	return 0;
}

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

/* --- versions --- */

static const char *at_version(int v)
{
	char path[128];
	snprintf(path, sizeof path, "/rulesets/%s/versions/%d", set, v);
	return ask(RF_HTTP_GET, path, "") == 200 ? refs(rules()) : "absent";
}

static size_t versions(void)
{
	char path[128];
	snprintf(path, sizeof path, "/rulesets/%s/versions", set);
	assert_int_equal(ask(RF_HTTP_GET, path, ""), 200);
	return json_array_size(result());
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

enum { MANY_RULES = RF_RULESET_EACH + 200, WAYS = 6 };

static void write_one(struct rf_buf *b, unsigned way, unsigned i, unsigned seed)
{
	unsigned v = i * 7 + seed;
	switch (way) {
	case 0: /* one stretch, of any length, or none at all */
		rf_buf_printf(b, "{\"expression\": \"http.request.uri.path eq \\\"/%.*s/%u\\\"\", \"action\": \"block\"}", (int)(v % 5), "rule", v);
		break;
	case 1: /* two; the action; and now and then a text that cannot stand as it is */
		rf_buf_printf(b, "{\"action\":\"%s\",\"expression\":\"http.host eq \\\"%s%u.example\\\"\",\"description\":\"no %u\"}", v % 3 ? "log" : "block",
			      v % 11 ? "" : "\\u0061", v, v % 9);
		break;
	case 2: /* in the description alone, which begins empty */
		rf_buf_printf(b, "{\"description\":\"%.*s\",\"action\":\"log\",\"expression\":\"http.host eq \\\"a\\\"\"}", (int)(i % 40), "what this is for, said at some length ....");
		break;
	case 3: /* not all of them plain */
		rf_buf_printf(b, "{\"expression\":\"http.host eq \\\"%u\\\"\",\"action\":\"log\"%s}", v,
			      v % 4 == 0 ? ",\"enabled\":false" : v % 4 == 1 ? ",\"logging\":{\"enabled\":false}" : "");
		break;
	case 4: /* by names */
		rf_buf_printf(b, "{\"ref\":\"r%u\",\"expression\":\"http.host eq \\\"%u\\\"\",\"action\":\"log\"}", i, v);
		break;
	default: /* in what does not count */
		rf_buf_printf(b, "{\"version\":\"%u\",\"expression\":\"http.host eq \\\"b\\\"\",\"action\":\"log\"}", v);
	}
}

static void write_all(struct rf_buf *b, unsigned way, unsigned seed)
{
	rf_buf_clear(b);
	rf_buf_printf(b, "{\"rules\":[");
	for (unsigned i = 0; i < MANY_RULES; i++) {
		rf_buf_add(b, i ? RF_STR(", ") : RF_STR(""));
		write_one(b, way, i, seed);
	}
	rf_buf_printf(b, "]}");
}

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

/* --- random edits against a model --- */

static uint64_t seed;
static unsigned draw(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

/* The whole as it is, but one elsewhere, or another gone. */
static void random_replacement(void)
{
	json_t *all = json_deep_copy(rules()), *whole = json_pack("{s:o}", "rules", all);
	unsigned n = (unsigned)json_array_size(all), from = draw(n);
	json_t *one = json_incref(json_array_get(all, from));
	json_array_remove(all, from);
	json_array_insert(all, draw(n), one);
	if (draw(2))
		json_array_remove(all, draw(n));
	char *dump = json_dumps(whole, 0);
	assert_int_equal(ask(RF_HTTP_PUT, path_of(NULL), dump), 200);
	free(dump);
	json_decref(whole);
	json_decref(one);
}

static void random_edit(void)
{
	char text[512], ref[8];
	static int next;
	assert_int_equal(ask(RF_HTTP_GET, path_of(NULL), ""), 200);
	size_t n = json_array_size(rules());
	char one[33], other[33];
	snprintf(one, sizeof one, "%s", n ? rule_text(draw((unsigned)n), "id") : "");
	snprintf(other, sizeof other, "%s", n ? rule_text(draw((unsigned)n), "id") : "");
	snprintf(ref, sizeof ref, "n%d", next++ % 100000);
	switch (draw(n ? 6 : 1)) {
	case 0:
		snprintf(text, sizeof text, "{\"ref\":\"%s\",\"action\":\"log\",\"expression\":\"http.request.uri.path eq \\\"%s\\\"\","
			 "\"priority\":%u,\"position\":{\"index\":%u}}", ref, ref, draw(3), 1 + draw((unsigned)n + 2));
		assert_int_equal(ask(RF_HTTP_POST, path_of(""), text), 200);
		break;
	case 1:
		assert_int_equal(ask(RF_HTTP_DELETE, path_of(one), ""), 200);
		break;
	case 2:
		snprintf(text, sizeof text, "{\"position\":{\"index\":%u}}", 1 + draw((unsigned)n));
		assert_int_equal(ask(RF_HTTP_PATCH, path_of(one), text), 200);
		break;
	case 3:
		snprintf(text, sizeof text, "{\"position\":{\"%s\":\"%s\"},\"priority\":%u}", draw(2) ? "before" : "after", other, draw(3));
		assert_int_equal(ask(RF_HTTP_PATCH, path_of(one), text), strcmp(one, other) ? 200 : 400);
		break;
	case 4:
		snprintf(text, sizeof text, "{\"enabled\":%s,\"expression\":\"http.host eq \\\"%s\\\"\"}", draw(2) ? "true" : "false", ref);
		assert_int_equal(ask(RF_HTTP_PATCH, path_of(one), text), 200);
		break;
	default:
		random_replacement();
	}
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
		T(the_etag_is_the_rulesets), T(a_minimal_answer_has_the_one_rule), T(a_dry_run_changes_nothing),
		T(versions_lead_back), T(versions_are_bounded), T(insertions_at_one_point_move_few_rows),
		T(many_rules_are_what_was_said), T(one_of_many_is_wrong), T(few_differ),
		T(random_edits_end_as_from_nothing), T(random_versions_lead_back), T(long_versions_lead_back),
		T(records_with_whole_rules_are_read), T(many_rules_cost_one_push_little),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
