#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "policy/explain.h"
#include "policy/lists.h"
#include "policy/ruletest.h"

static const struct rf_rule_env env;

static json_t *load(const char *text)
{
	json_error_t e;
	json_t *doc = json_loads(text, 0, &e);
	if (!doc)
		fail_msg("%s: %s", text, e.text);
	return doc;
}

static struct rf_ruleset *ruleset(enum rf_phase phase, const char *id, const char *rules, const struct rf_ruleset *old)
{
	struct rf_ruleset *s = NULL;
	struct rf_err e;
	char where[1024];
	json_t *doc = load(rules);
	if (rf_ruleset_make(&env, phase, rf_str_z(id), RF_STR(""), doc, old, &s, &e))
		fail_msg("%s", rf_err_str(&e, where, sizeof where));
	json_decref(doc);
	return s;
}

/* A policy of one ruleset; account rules before it where given. */
static struct rf_policy policy(enum rf_phase phase, const char *account, const char *zone)
{
	struct rf_policy p = { 0 };
	struct rf_ruleset *sets[2];
	size_t n = 0;
	if (account)
		sets[n++] = ruleset(phase, "acc", account, NULL);
	sets[n++] = ruleset(phase, "zone", zone, NULL);
	assert_int_equal(rf_phase_set_make(phase, sets, n, &p.phase[phase]), RF_OK);
	while (n)
		rf_ruleset_put(sets[--n]);
	return p;
}

static void drop(struct rf_policy *p)
{
	for (int i = 0; i < RF_PHASE_COUNT; i++)
		rf_phase_set_put(p->phase[i]);
}

static struct rf_arena arena;
static struct rf_facts facts;
static struct rf_verdict verdict;
static json_t *request;

static const struct rf_verdict *judge(const struct rf_policy *p, const char *text)
{
	struct rf_err e;
	rf_arena_reset(&arena);
	json_decref(request);
	request = load(text);
	if (rf_json_facts(request, "", &arena, NULL, 0, &facts, &e))
		fail_msg("%s: %s", e.pointer, e.text);
	rf_verdict_init(&verdict);
	rf_http_eval(p, &facts, &verdict, NULL);
	return &verdict;
}

static void assert_str(struct rf_str got, const char *want)
{
	if (!rf_str_eq(got, rf_str_z(want)))
		fail_msg("`%.*s` should be `%s`", RF_ARG(got), want);
}

static void the_canonical_rule_guards_a_host(void **state)
{
	(void)state;
	struct rf_policy p = policy(RF_PHASE_HTTP_REQUEST, NULL,
		"[{\"id\": \"r1\", \"action\": \"block\", \"expression\": \"(http.host in {\\\"api.example.com\\\"} and "
		"(not cf.tls_client_auth.cert_verified or cf.tls_client_auth.cert_revoked))\", \"action_parameters\": {\"response\": "
		"{\"status_code\": 418, \"content\": \"{}\", \"content_type\": \"application/json\"}}}]");
	assert_int_equal(judge(&p, "{\"host\": \"api.example.com\"}")->outcome, RF_BLOCK);
	assert_int_equal(verdict.response->status, 418);
	assert_str(verdict.response->content, "{}");
	assert_str(verdict.response->content_type, "application/json");
	assert_str(verdict.rule->id, "r1");
	assert_int_equal(verdict.nhits, 1);
	assert_int_equal(judge(&p, "{\"host\": \"www.example.com\"}")->outcome, RF_PASS);
	assert_int_equal(judge(&p, "{\"host\": \"api.example.com\", \"tls\": {\"cert_verified\": true}}")->outcome, RF_PASS);
	assert_int_equal(judge(&p, "{\"host\": \"api.example.com\", \"tls\": {\"cert_verified\": true, \"cert_revoked\": true}}")->outcome,
		RF_BLOCK);
	assert_true(rf_phase_set_uses(p.phase[RF_PHASE_HTTP_REQUEST], RF_F_CERT_REVOKED));
	assert_false(rf_phase_set_uses(p.phase[RF_PHASE_HTTP_REQUEST], RF_F_HTTP_BODY));
	drop(&p);
}

static void order_and_actions(void **state)
{
	(void)state;
	struct rf_policy p = policy(RF_PHASE_HTTP_REQUEST, "[{\"id\": \"a\", \"action\": \"log\", \"expression\": \"ssl\"}]",
		"[{\"id\": \"late\", \"priority\": 5, \"action\": \"block\", \"expression\": \"ssl\"},"
		" {\"id\": \"off\", \"enabled\": false, \"action\": \"block\", \"expression\": \"ssl\"},"
		" {\"id\": \"ch\", \"priority\": 2, \"action\": \"managed_challenge\", \"expression\": \"http.host eq \\\"c\\\"\"},"
		" {\"id\": \"ok\", \"priority\": 1, \"action\": \"allow\", \"expression\": \"http.host eq \\\"good\\\"\"}]");
	assert_int_equal(judge(&p, "{\"host\": \"good\"}")->outcome, RF_ALLOW);
	assert_str(verdict.rule->id, "ok");
	assert_int_equal(verdict.nhits, 2);
	assert_str(verdict.hits[0]->id, "a");
	assert_int_equal(judge(&p, "{\"host\": \"c\"}")->outcome, RF_BLOCK);
	assert_int_equal(verdict.why, RF_WHY_CHALLENGE);
	assert_int_equal(verdict.rule->nwarnings, 1);
	assert_int_equal(judge(&p, "{\"host\": \"x\"}")->outcome, RF_BLOCK);
	assert_str(verdict.rule->id, "late");
	assert_null(verdict.response);
	assert_int_equal(judge(&p, "{\"host\": \"x\", \"scheme\": \"http\"}")->outcome, RF_PASS);
	drop(&p);
}

#define SKIPPER(parameters) \
	"[{\"id\": \"s\", \"action\": \"skip\", \"expression\": \"ssl\", \"action_parameters\": {" parameters "}}," \
	" {\"id\": \"a\", \"action\": \"block\", \"expression\": \"http.host eq \\\"a\\\"\"}]"

static void skip_leaves_out_what_it_names(void **state)
{
	(void)state;
	static const struct { const char *account; bool a, z1, z2; } table[] = {
		{ SKIPPER("\"ruleset\": \"current\""), false, true, true },
		{ SKIPPER("\"phases\": [\"http_request_firewall_custom\"]"), false, false, false },
		{ SKIPPER("\"phases\": [\"http_ratelimit\"]"), true, true, true },
		{ SKIPPER("\"rulesets\": [\"zone\"]"), true, false, false },
		{ SKIPPER("\"rules\": {\"zone\": [\"z2\"]}"), true, true, false },
		{ SKIPPER("\"products\": [\"waf\"]"), true, true, true } };
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct rf_policy p = policy(RF_PHASE_HTTP_REQUEST, table[i].account,
			"[{\"id\": \"z1\", \"action\": \"block\", \"expression\": \"http.host eq \\\"z1\\\"\"},"
			" {\"id\": \"z2\", \"action\": \"block\", \"expression\": \"http.host eq \\\"z2\\\"\"}]");
		assert_int_equal(judge(&p, "{\"host\": \"a\"}")->outcome == RF_BLOCK, table[i].a);
		assert_int_equal(judge(&p, "{\"host\": \"z1\"}")->outcome == RF_BLOCK, table[i].z1);
		assert_int_equal(judge(&p, "{\"host\": \"z2\"}")->outcome == RF_BLOCK, table[i].z2);
		assert_int_equal(verdict.nhits, table[i].z2); /* skip is recorded only where logging asks for it */
		drop(&p);
	}
}

static void rewrite_edits(void **state)
{
	(void)state;
	struct rf_policy p = policy(RF_PHASE_HTTP_LATE, NULL,
		"[{\"id\": \"w\", \"action\": \"rewrite\", \"expression\": \"tls.client.cert_verified and not tls.client.cert_revoked\","
		" \"action_parameters\": {\"headers\": {"
		" \"X-Ski\": {\"operation\": \"set\", \"expression\": \"tls.client.ski\"},"
		" \"X-Port\": {\"operation\": \"add\", \"expression\": \"tcp.dstport\"},"
		" \"X-Model\": {\"operation\": \"set\", \"expression\": \"device.model\"},"
		" \"X-Fixed\": {\"operation\": \"set\", \"value\": \"1\"}, \"X-Gone\": {\"operation\": \"remove\"},"
		" \"Client-Cert\": {\"operation\": \"set\", \"expression\": \"tls.client.cert_rfc9440\"}},"
		" \"uri\": {\"path\": {\"expression\": \"concat(\\\"/v1\\\", http.request.uri.path)\"}, \"query\": {\"value\": \"\"}}}}]");
	judge(&p, "{\"path\": \"/x?y\", \"port\": 443, \"tls\": {\"cert_verified\": true, \"ski\": \"AA\", \"cert_rfc9440\": \":QQ==:\"}}");
	assert_int_equal(verdict.outcome, RF_PASS);
	assert_int_equal(verdict.nedits, 6);
	assert_str(verdict.edits[0].value, "AA");
	assert_str(verdict.edits[1].value, "443");
	assert_int_equal(verdict.edits[1].op, RF_EDIT_ADD);
	assert_int_equal(verdict.edits[2].op, RF_EDIT_REMOVE); /* set to a missing value: the client's copy goes */
	assert_str(verdict.edits[3].value, "1");
	assert_int_equal(verdict.edits[4].op, RF_EDIT_REMOVE);
	assert_str(verdict.edits[5].value, ":QQ==:");
	assert_str(verdict.path, "/v1/x");
	assert_true(verdict.set_query && verdict.query.n == 0);
	drop(&p);
}

static void client_bytes_cannot_make_a_header(void **state)
{
	(void)state;
	struct rf_policy p = policy(RF_PHASE_HTTP_REQUEST, NULL,
		"[{\"id\": \"w\", \"action\": \"rewrite\", \"expression\": \"ssl\", \"action_parameters\": {\"headers\": {"
		"\"X-Path\": {\"operation\": \"set\", \"expression\": \"url_decode(http.request.uri.path)\"}}}}]");
	assert_int_equal(judge(&p, "{\"path\": \"/a%20b\"}")->outcome, RF_PASS);
	assert_int_equal(judge(&p, "{\"path\": \"/a%0d%0aX-Evil: 1\"}")->outcome, RF_BLOCK);
	assert_int_equal(verdict.why, RF_WHY_ERROR);
	assert_int_equal(verdict.error, RF_E_INVALID);
	drop(&p);
}

static void an_error_blocks(void **state)
{
	(void)state;
	struct rf_policy p = policy(RF_PHASE_HTTP_REQUEST, NULL,
		"[{\"id\": \"w\", \"action\": \"allow\", \"expression\": \"not lower(http.host) eq \\\"a\\\"\"}]");
	judge(&p, "{\"host\": \"b\"}");
	assert_int_equal(verdict.outcome, RF_ALLOW);
	struct rf_arena small;
	rf_arena_init(&small, 0);
	facts.arena = &small;
	facts.kept_count = 0;
	rf_verdict_init(&verdict);
	rf_http_eval(&p, &facts, &verdict, NULL);
	assert_int_equal(verdict.outcome, RF_BLOCK);
	assert_int_equal(verdict.why, RF_WHY_ERROR);
	assert_int_equal(verdict.error, RF_E_NOMEM);
	assert_str(verdict.rule->id, "w");
	rf_arena_fini(&small);
	drop(&p);
}

/* It stops nothing where it holds, so it stops nothing where nobody can tell; the rules behind it are asked. */
static void an_error_of_a_rule_that_logs_lets_pass(void **state)
{
	(void)state;
	char deep[1200] = "{\"path\": \"/x\", \"body\": \"";
	size_t n = strlen(deep);
	memset(deep + n, '[', 1000);
	snprintf(deep + n + 1000, sizeof deep - n - 1000, "\"}");
	static const char rules[] = "[{\"id\": \"l\", \"action\": \"%s\", \"expression\": \"lookup_json_integer(http.request.body.raw, 0) eq 1\"},"
		" {\"id\": \"b\", \"action\": \"block\", \"expression\": \"http.request.uri.path eq \\\"%s\\\"\"}]";
	static const struct { const char *action, *path; enum rf_outcome outcome; enum rf_why why; } table[] = {
		{ "log", "/y", RF_PASS, RF_WHY_NONE }, { "log", "/x", RF_BLOCK, RF_WHY_RULE },
		{ "block", "/y", RF_BLOCK, RF_WHY_ERROR }, { "skip\", \"action_parameters\": {\"ruleset\": \"current\"}, \"ref\": \"r", "/y", RF_BLOCK, RF_WHY_ERROR } };
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		char text[512];
		snprintf(text, sizeof text, rules, table[i].action, table[i].path);
		struct rf_policy p = policy(RF_PHASE_HTTP_REQUEST, NULL, text);
		judge(&p, deep);
		assert_int_equal(verdict.outcome, table[i].outcome);
		assert_int_equal(verdict.why, table[i].why);
		assert_int_equal(verdict.errors, 1);
		assert_int_equal(verdict.nhits, i == 1);
		drop(&p);
	}
}

static void many_rules_need_no_more_memory_than_one(void **state)
{
	(void)state;
	enum { RULES = 400, VALUE = 1000 };
	RF_BUF_AUTO rules = { 0 };
	RF_BUF_AUTO req = { 0 };
	for (int i = 0; i < RULES; i++)
		rf_buf_printf(&rules, "%c{\"id\": \"%d\", \"action\": \"block\", \"expression\": "
			"\"upper(http.request.headers[\\\"a\\\"][0]) contains \\\"Z%d.\\\"\"}", i ? ',' : '[', i, i);
	rf_buf_addc(&rules, ']');
	rf_buf_add(&req, RF_STR("{\"headers\": {\"a\": \""));
	for (int i = 0; i < VALUE; i++)
		rf_buf_addc(&req, 'x');
	rf_buf_add(&req, RF_STR("z399.\"}}"));
	struct rf_policy p = policy(RF_PHASE_HTTP_REQUEST, NULL, rf_buf_z(&rules));
	judge(&p, rf_buf_z(&req));
	struct rf_arena small;
	rf_arena_init(&small, 16384);
	rf_facts_init(&facts, facts.ops, facts.ctx, &small, NULL, 0);
	rf_verdict_init(&verdict);
	rf_http_eval(&p, &facts, &verdict, NULL);
	assert_int_equal(verdict.error, RF_OK);
	assert_str(verdict.rule->id, "399");
	rf_arena_fini(&small);
	drop(&p);
}

static void bad_documents(void **state)
{
	(void)state;
	static const struct { const char *rule, *pointer, *word; } table[] = {
		{ "5", "/rules/1", "object" }, { "{\"action\": \"block\"}", "/rules/1/expression", "needs an expression" },
		{ "{\"expression\": \"ssl\"}", "/rules/1/action", "needs an action" },
		{ "{\"expression\": \"ssl\", \"action\": \"blok\"}", "/rules/1/action", "did you mean `block`" },
		{ "{\"expression\": \"ssl\", \"action\": \"redirect\"}", "/rules/1/action_parameters", "says where" },
		{ "{\"expression\": \"ssl\", \"action\": \"execute\"}", "/rules/1/action", "not offered" },
		{ "{\"expression\": \"ssl\", \"action\": \"set_config\"}", "/rules/1/action", "does not work in the phase" },
		{ "{\"expression\": \"ssl and http.hots eq \\\"a\\\"\", \"action\": \"log\"}", "/rules/1/expression", "http.host" },
		{ "{\"expression\": 7, \"action\": \"log\"}", "/rules/1/expression", "string" },
		{ "{\"expression\": \"ssl\", \"action\": \"log\", \"enable\": true}", "/rules/1/enable", "did you mean `enabled`" },
		{ "{\"expression\": \"ssl\", \"action\": \"log\", \"enabled\": 1}", "/rules/1/enabled", "true or false" },
		{ "{\"expression\": \"ssl\", \"action\": \"log\", \"ratelimit\": {}}", "/rules/1/ratelimit", "only rules of the phase" },
		{ "{\"expression\": \"ssl\", \"action\": \"log\", \"priority\": \"1\"}", "/rules/1/priority", "integer" },
		{ "{\"expression\": \"ssl\", \"action\": \"log\", \"action_parameters\": {\"a\": 1}}", "/rules/1/action_parameters", "no parameters" },
		{ "{\"expression\": \"ssl\", \"action\": \"block\", \"action_parameters\": {\"response\": {\"status_code\": 200}}}",
			"/rules/1/action_parameters/response/status_code", "400" },
		{ "{\"expression\": \"ssl\", \"action\": \"block\", \"action_parameters\": {\"response\": {\"content_type\": \"a/b\"}}}",
			"/rules/1/action_parameters/response/content_type", "text/plain" },
		{ "{\"expression\": \"ssl\", \"action\": \"block\", \"action_parameters\": {\"respons\": {}}}",
			"/rules/1/action_parameters/respons", "did you mean `response`" },
		{ "{\"expression\": \"ssl\", \"action\": \"skip\"}", "/rules/1/action_parameters", "says what" },
		{ "{\"expression\": \"ssl\", \"action\": \"skip\", \"action_parameters\": {\"phases\": [\"http_reqest\"]}}",
			"/rules/1/action_parameters/phases/0", "did you mean `http_request`" },
		{ "{\"expression\": \"ssl\", \"action\": \"rewrite\", \"action_parameters\": {\"headers\": {\"Host\": {\"operation\": \"remove\"}}}}",
			"/rules/1/action_parameters/headers/Host", "belongs to the edge" },
		{ "{\"expression\": \"ssl\", \"action\": \"rewrite\", \"action_parameters\": {\"headers\": {\"a b\": {\"operation\": \"remove\"}}}}",
			"/rules/1/action_parameters/headers/a b", "not a header name" },
		{ "{\"expression\": \"ssl\", \"action\": \"rewrite\", \"action_parameters\": {\"headers\": {\"a\": {\"operation\": \"set\", \"value\": \"x\\r\\n\"}}}}",
			"/rules/1/action_parameters/headers/a", "control" },
		{ "{\"expression\": \"ssl\", \"action\": \"rewrite\", \"action_parameters\": {\"uri\": {\"path\": {\"value\": \"x\"}}}}",
			"/rules/1/action_parameters/uri/path", "begins with" },
		{ "{\"expression\": \"tls.client.cert_verified\", \"action\": \"rewrite\", \"action_parameters\": {\"headers\": {\"Client-Cert\": "
			"{\"operation\": \"set\", \"expression\": \"cf.tls_client_auth.cert_rfc9440\"}}}}",
			"/rules/1/action_parameters/headers/Client-Cert/expression", "cert_revoked" } };
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		char text[1024];
		struct rf_ruleset *s = NULL;
		struct rf_err e = { 0 };
		snprintf(text, sizeof text, "[{\"expression\": \"ssl\", \"action\": \"log\"}, %s]", table[i].rule);
		json_t *doc = load(text);
		if (rf_ruleset_make(&env, RF_PHASE_HTTP_REQUEST, RF_STR("z"), RF_STR(""), doc, NULL, &s, &e) == RF_OK)
			fail_msg("%s was accepted", table[i].rule);
		if (strcmp(e.pointer, table[i].pointer) != 0 || !strstr(e.text, table[i].word))
			fail_msg("%s: %s: %s", table[i].rule, e.pointer, e.text);
		if (strstr(table[i].rule, "hots"))
			assert_int_equal(e.column, 9);
		assert_null(s);
		json_decref(doc);
	}
}

static void unchanged_rules_are_taken_over(void **state)
{
	(void)state;
	static const char one[] = "[{\"id\": \"a\", \"action\": \"log\", \"expression\": \"ssl\"}, {\"id\": \"b\", \"action\": \"log\", \"expression\": \"ssl\"}]";
	static const char two[] = "[{\"expression\": \"ssl\", \"action\": \"log\", \"last_updated\": \"x\", \"id\": \"a\"}, "
		"{\"id\": \"b\", \"action\": \"block\", \"expression\": \"ssl\"}]";
	struct rf_ruleset *a = ruleset(RF_PHASE_HTTP_REQUEST, "z", one, NULL), *b = ruleset(RF_PHASE_HTTP_REQUEST, "z", two, a), *c = NULL;
	assert_ptr_equal(rf_ruleset_at(a, 0), rf_ruleset_at(b, 0));
	assert_ptr_not_equal(rf_ruleset_at(a, 1), rf_ruleset_at(b, 1));
	assert_int_equal(rf_ruleset_with(b, 0, false, rf_ruleset_at(a, 1), &c), RF_OK);
	assert_int_equal(c->count, 3);
	assert_ptr_equal(rf_ruleset_at(c, 0), rf_ruleset_at(a, 1));
	assert_ptr_equal(rf_ruleset_at(c, 2), rf_ruleset_at(b, 1));
	rf_ruleset_put(a);
	rf_ruleset_put(b);
	assert_int_equal(rf_ruleset_with(c, 3, true, NULL, &a), RF_E_RANGE);
	assert_int_equal(rf_ruleset_with(c, 1, true, NULL, &a), RF_OK);
	rf_ruleset_put(c);
	assert_int_equal(a->count, 2);
	assert_int_equal(rf_ruleset_at(a, 1)->action, RF_ACT_BLOCK);
	assert_null(rf_ruleset_at(a, 2));
	rf_ruleset_put(a);
}

static struct rf_rule *numbered(int number, int priority)
{
	char text[128];
	struct rf_rule *r = NULL;
	struct rf_err e;
	snprintf(text, sizeof text, "{\"id\": \"%d\", \"action\": \"log\", \"expression\": \"ssl\", \"priority\": %d}", number, priority);
	json_t *doc = load(text);
	assert_int_equal(rf_rule_make(&env, RF_PHASE_HTTP_REQUEST, doc, "", &r, &e), RF_OK);
	json_decref(doc);
	return r;
}

/* Many single edits against a plain array that is edited in the same way. */
static void blocks_behave_as_one_array(void **state)
{
	(void)state;
	enum { EDITS = 3000, MOST = 1500 };
	struct rf_rule *model[MOST + 1];
	size_t count = 0;
	struct rf_ruleset *s = ruleset(RF_PHASE_HTTP_REQUEST, "z", "[]", NULL), *next = NULL;
	for (unsigned i = 0, x = 1; i < EDITS; i++) {
		x = x * 1103515245 + 12345;
		size_t at = (x >> 8) % (count + 1);
		bool out = count == MOST || ((x >> 4) % 4 == 0 && at < count);
		struct rf_rule *r = out ? NULL : numbered((int)i, 0);
		at = out && at == count ? 0 : at;
		assert_int_equal(rf_ruleset_with(s, at, out, r, &next), RF_OK);
		memmove(model + at + !out, model + at + out, (count - at - out) * sizeof *model);
		if (!out)
			model[at] = r;
		count = out ? count - 1 : count + 1;
		rf_rule_put(r);
		rf_ruleset_put(s);
		s = next;
		assert_int_equal(s->count, count);
	}
	for (size_t i = 0; i < count; i++)
		assert_ptr_equal(rf_ruleset_at(s, i), model[i]);
	assert_true(s->nblocks > 2);
	rf_ruleset_put(s);
}

static void an_edit_keeps_the_order_of_priorities(void **state)
{
	(void)state;
	struct rf_ruleset *s = ruleset(RF_PHASE_HTTP_REQUEST, "z", "[]", NULL), *next = NULL;
	for (int i = 0; i < 1000; i++) {
		struct rf_rule *r = numbered(i, i * 7919 % 100);
		size_t at = (size_t)i * 31 % (s->count + 1);
		assert_int_equal(rf_ruleset_with(s, at, i % 3 == 2 && at < s->count, r, &next), RF_OK);
		rf_rule_put(r);
		rf_ruleset_put(s);
		s = next;
	}
	for (size_t i = 1; i < s->count; i++)
		assert_true(rf_ruleset_at(s, i - 1)->priority <= rf_ruleset_at(s, i)->priority);
	rf_ruleset_put(s);
}

static void explain_names_what_decided(void **state)
{
	(void)state;
	struct rf_policy p = policy(RF_PHASE_HTTP_REQUEST, NULL,
		"[{\"id\": \"no\", \"action\": \"block\", \"expression\": \"ssl and http.host eq \\\"a\\\" and tcp.dstport eq 1\"},"
		" {\"id\": \"off\", \"enabled\": false, \"action\": \"block\", \"expression\": \"ssl\"},"
		" {\"id\": \"yes\", \"action\": \"block\", \"expression\": \"http.host eq \\\"x\\\" or\\n any(device.tags[*] eq \\\"lab\\\")\"},"
		" {\"id\": \"late\", \"action\": \"log\", \"expression\": \"ssl\"}]");
	judge(&p, "{\"host\": \"b\", \"device\": {\"tags\": [\"eu\", \"lab\"]}}");
	RF_BUF_AUTO b = { 0 };
	struct rf_jw w = rf_jw_on(&b);
	rf_jw_open(&w, NULL, '{');
	rf_explain(&p, &facts, NULL, NULL, &verdict, &w, "rules");
	rf_explain_verdict(&verdict, &w, "verdict");
	rf_jw_close(&w, '}');
	json_t *doc = load(rf_buf_z(&b)), *rules = json_object_get(doc, "rules");
	static const char *const results[] = { "not_matched", "disabled", "matched", "not_reached" };
	assert_int_equal(json_array_size(rules), 4);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(json_string_value(json_object_get(json_array_get(rules, i), "result")), results[i]);
	json_t *why = json_object_get(json_array_get(rules, 0), "because");
	assert_int_equal(json_array_size(why), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(why, 0), "expression")), "http.host eq \"a\"");
	assert_string_equal(json_string_value(json_object_get(json_array_get(why, 0), "value")), "b");
	why = json_object_get(json_array_get(rules, 2), "because");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(why, 0), "line")), 2);
	assert_int_equal(json_array_size(json_object_get(json_array_get(why, 0), "value")), 2);
	assert_string_equal(json_string_value(json_object_get(json_object_get(doc, "verdict"), "outcome")), "block");
	assert_string_equal(json_string_value(json_object_get(json_object_get(doc, "verdict"), "rule")), "yes");
	json_decref(doc);
	drop(&p);
}

/* Rules of `phase` explained for a request; the result of each is held against `results`, and what decided the first against `why`. */
static void explained(enum rf_phase phase, const char *rules_json, const char *asked, const char *off, const char *const *results,
		      const char *why, enum rf_outcome outcome)
{
	struct rf_policy p = policy(phase, NULL, rules_json);
	judge(&p, asked);
	RF_BUF_AUTO b = { 0 };
	struct rf_jw w = rf_jw_on(&b);
	rf_jw_open(&w, NULL, '{');
	rf_explain(&p, &facts, NULL, off, &verdict, &w, "rules");
	rf_jw_close(&w, '}');
	json_t *doc = load(rf_buf_z(&b)), *rules = json_object_get(doc, "rules");
	for (size_t i = 0; i < json_array_size(rules); i++)
		assert_string_equal(json_string_value(json_object_get(json_array_get(rules, i), "result")), results[i]);
	json_t *first = json_array_get(json_object_get(json_array_get(rules, 0), "because"), 0);
	assert_string_equal(json_string_value(json_object_get(first, "expression")), why);
	assert_int_equal(verdict.outcome, outcome);
	json_decref(doc);
	drop(&p);
}

static void explain_tells_what_a_request_tells(void **state)
{
	(void)state;
	static const char packets[] =
		"[{\"id\": \"a\", \"action\": \"block\", \"expression\": \"tcp.flags.syn and ip.src in {192.0.2.0/24}\"},"
		" {\"id\": \"b\", \"action\": \"block\", \"expression\": \"ip.proto eq \\\"udp\\\" and ip.ttl lt 9\"},"
		" {\"id\": \"c\", \"action\": \"block\", \"expression\": \"tcp.dstport eq 443\"},"
		" {\"id\": \"d\", \"action\": \"block\", \"expression\": \"ip.src eq 192.0.2.1\"}]";
	static const char answers[] =
		"[{\"id\": \"a\", \"action\": \"block\", \"expression\": \"http.response.code eq 500\"},"
		" {\"id\": \"b\", \"action\": \"block\", \"expression\": \"http.response.code eq 500 and http.host eq \\\"no\\\"\"},"
		" {\"id\": \"c\", \"action\": \"block\", \"expression\": \"http.host eq \\\"b\\\"\"}]";
	static const char from[] = "{\"host\": \"b\", \"src\": \"192.0.2.1\"}";
	explained(RF_PHASE_PACKET, packets, from, NULL, (const char *[]){ "cannot_know", "not_matched", "cannot_know", "matched" },
		  "tcp.flags.syn of its packets is not known", RF_BLOCK);
	explained(RF_PHASE_PACKET, packets, "{\"host\": \"b\", \"port\": 443}", NULL,
		  (const char *[]){ "cannot_know", "not_matched", "matched", "not_reached" }, "ip.src of its packets is not known", RF_BLOCK);
	explained(RF_PHASE_PACKET, packets, from, "no filter", (const char *[]){ "not_in_force", "not_in_force", "not_in_force", "not_in_force" },
		  "no filter", RF_PASS);
	explained(RF_PHASE_HTTP_RESPONSE_MANAGED, answers, "{\"host\": \"b\"}", NULL, (const char *[]){ "cannot_know", "not_matched", "matched" },
		  "http.response.code is known when the origin has answered", RF_BLOCK);
	explained(RF_PHASE_HTTP_RESPONSE_MANAGED, answers, "{\"host\": \"x\", \"response\": {\"code\": 200}}", NULL,
		  (const char *[]){ "not_matched", "not_matched", "not_matched" }, "http.response.code eq 500", RF_PASS);
}

static char told[16][256];
static size_t told_count;

static void tell(void *ctx, const char *name, bool passed, const char *why)
{
	(void)ctx;
	if (told_count < 16)
		snprintf(told[told_count++], sizeof told[0], "%s %s: %s", passed ? "ok" : "no", name, why);
}

static int try_tests(const struct rf_policy *p, const char *text, struct rf_rule_test_report *report, struct rf_err *e)
{
	json_t *doc = load(text);
	*report = (struct rf_rule_test_report){ .each = tell };
	told_count = 0;
	int r = rf_rule_tests_run(p, NULL, doc, 0, report, e);
	json_decref(doc);
	return r;
}

static void an_operators_tests(void **state)
{
	(void)state;
	struct rf_rule_test_report report;
	struct rf_err e;
	struct rf_policy p = policy(RF_PHASE_HTTP_REQUEST, NULL,
		"[{\"id\": \"1\", \"ref\": \"shock\", \"action\": \"block\", \"expression\": \"any(http.request.headers.values[*] contains \\\"() {\\\")\"},"
		" {\"id\": \"2\", \"ref\": \"old\", \"action\": \"log\", \"expression\": \"device.firmware lt \\\"2.4.1\\\"\"}]");
	assert_int_equal(try_tests(&p,
		"{\"tests\": [{\"name\": \"a\", \"request\": {\"headers\": {\"x\": \"() { :;}\"}}, \"expect\": {\"action\": \"block\", \"rule\": \"shock\", \"status\": 403}},"
		" {\"name\": \"b\", \"request\": {}, \"expect\": {\"action\": \"allow\"}},"
		" {\"name\": \"c\", \"request\": {\"device\": {\"firmware\": \"2.4.0\"}}, \"expect\": {\"action\": \"log\", \"rule\": \"old\"}},"
		" {\"name\": \"d\", \"request\": {}, \"expect\": {\"action\": \"block\"}},"
		" {\"request\": {\"headers\": {\"x\": \"() {\"}}, \"expect\": {\"action\": \"allow\"}},"
		" {\"name\": \"f\", \"request\": {}, \"expect\": {\"headers\": {\"X-A\": \"1\"}}}]}", &report, &e), RF_OK);
	assert_int_equal(report.passed, 3);
	assert_int_equal(report.failed, 3);
	assert_string_equal(told[3], "no d: it should be blocked, but no rule stopped it");
	assert_string_equal(told[4], "no test 4: it should pass, but rule `shock` blocked it with 403");
	assert_string_equal(told[5], "no f: the header X-A should be `1`, but no rule sets it");
	static const struct { const char *text, *pointer, *word; } bad[] = {
		{ "{\"tests\": [{\"request\": {\"hots\": 1}, \"expect\": {}}]}", "/tests/0/request/hots", "did you mean `host`" },
		{ "{\"tests\": [{\"request\": {\"src\": \"x\"}, \"expect\": {}}]}", "/tests/0/request/src", "address" },
		{ "{\"tests\": [{\"request\": {\"device\": {\"clas\": \"x\"}}, \"expect\": {}}]}", "/tests/0/request/device/clas", "device.class" },
		{ "{\"tests\": [{\"request\": {}, \"expect\": {}}]}", "/tests/0/expect", "expects" },
		{ "{\"tests\": [{\"request\": {}, \"expect\": {\"action\": \"x\"}}]}", "/tests/0/expect/action", "block" },
		{ "{}", "/tests", "array" } };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_true(try_tests(&p, bad[i].text, &report, &e) < 0);
		assert_string_equal(e.pointer, bad[i].pointer);
		assert_non_null(strstr(e.text, bad[i].word));
	}
	drop(&p);
}

static int start(void **state)
{
	(void)state;
	rf_arena_init(&arena, 1 << 20);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	json_decref(request);
	rf_arena_fini(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_canonical_rule_guards_a_host), cmocka_unit_test(order_and_actions),
		cmocka_unit_test(skip_leaves_out_what_it_names), cmocka_unit_test(rewrite_edits),
		cmocka_unit_test(client_bytes_cannot_make_a_header), cmocka_unit_test(an_error_blocks), cmocka_unit_test(an_error_of_a_rule_that_logs_lets_pass),
		cmocka_unit_test(bad_documents),
		cmocka_unit_test(many_rules_need_no_more_memory_than_one), cmocka_unit_test(unchanged_rules_are_taken_over),
		cmocka_unit_test(blocks_behave_as_one_array), cmocka_unit_test(an_edit_keeps_the_order_of_priorities),
		cmocka_unit_test(explain_names_what_decided), cmocka_unit_test(explain_tells_what_a_request_tells),
		cmocka_unit_test(an_operators_tests),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
