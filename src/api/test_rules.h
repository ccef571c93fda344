/* api/test_rules: rules through the API into force, over the real store and control thread; for tests. */
#pragma once
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

static inline int ask(enum rf_http_method m, const char *path, const char *text)
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

static inline const json_t *result(void) { return json_object_get(body, "result"); }
static inline const json_t *rules(void) { return json_object_get(result(), "rules"); }
static inline const char *rule_text(size_t i, const char *member) { return rf_json_text(json_array_get(rules(), i), member); }
static inline const char *pointer(void)
{
	return rf_json_text(json_object_get(json_array_get(json_object_get(body, "errors"), 0), "source"), "pointer");
}

static inline const char *path_of(const char *rule)
{
	static char path[256];
	snprintf(path, sizeof path, rule ? "/rulesets/%s/rules%s%s" : "/rulesets/%s", set, rule && *rule ? "/" : "", rule);
	return path;
}

/* A ruleset of rules named by the letters, each its own condition. */
static inline void replace(const char *letters)
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
static inline const char *refs(const json_t *array)
{
	static char text[256];
	size_t i, n = 0;
	json_t *r;
	text[0] = '\0';
	json_array_foreach(array, i, r)
		n += (size_t)snprintf(text + n, sizeof text - n, "%.1s", rf_json_text(r, "ref"));
	return text;
}

static inline const char *stored(void)
{
	assert_int_equal(ask(RF_HTTP_GET, path_of(NULL), ""), 200);
	return refs(rules());
}

static inline const char *id_of(const char *ref)
{
	static char id[4][33];
	static unsigned turn;
	char *to = id[turn++ % 4];
	RF_OBJECT_AUTO o = { 0 };
	GOOD(rf_store_find(w.ctl.store, RF_KIND_RULE, set, ref, &o, &w.e));
	return memcpy(to, o.id, 33);
}

static inline int add(const char *ref, const char *position)
{
	char text[512];
	snprintf(text, sizeof text, "{\"ref\":\"%s\",\"action\":\"log\",\"expression\":\"http.request.uri.path eq \\\"/%s\\\"\""
		 "%s%s}", ref, ref, *position ? ",\"position\":" : "", position);
	return ask(RF_HTTP_POST, path_of(""), text);
}

static inline const char *position(const char *how, const char *id)
{
	static char text[128];
	snprintf(text, sizeof text, "{\"%s\":\"%.32s\"}", how, id);
	return text;
}

/* --- what is in force against a build from nothing --- */

static inline struct rf_ruleset *in_force(const struct rf_parts *p)
{
	for (size_t i = 0; i < p->rules_count; i++)
		if (strcmp(p->rules[i].id, set) == 0)
			return p->rules[i].set;
	return NULL;
}

static inline void assert_same(struct rf_ruleset *a, struct rf_ruleset *b)
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

static inline size_t rules_of(const struct rf_rule_table *t)
{
	return t->from ? t->from->count : t->rules.count;
}

static inline void assert_as_from_nothing(void)
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

/* --- a test --- */

static inline int setup(void **state)
{
	(void)state;
	world_open("");
	struct rf_api_conf conf = { .store = w.ctl.store, .clock = w.ctl.clock, .version = "test", .state = rf_api_state_of(&w.ctl) };
	api = rf_api_new(&conf, &w.e);
	prefer = "";
	if_match[0] = '\0';
	return api ? 0 : -1;
}

static inline int teardown(void **state)
{
	(void)state;
	json_decref(body);
	body = NULL;
	rf_api_free(api);
	world_close();
	return 0;
}

static inline size_t versions(void)
{
	char path[128];
	snprintf(path, sizeof path, "/rulesets/%s/versions", set);
	assert_int_equal(ask(RF_HTTP_GET, path, ""), 200);
	return json_array_size(result());
}

/* --- many rules in several ways of writing --- */

enum { MANY_RULES = RF_RULESET_EACH + 200, WAYS = 6 };

static inline void write_one(struct rf_buf *b, unsigned way, unsigned i, unsigned seed)
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

static inline void write_all(struct rf_buf *b, unsigned way, unsigned seed)
{
	rf_buf_clear(b);
	rf_buf_printf(b, "{\"rules\":[");
	for (unsigned i = 0; i < MANY_RULES; i++) {
		rf_buf_add(b, i ? RF_STR(", ") : RF_STR(""));
		write_one(b, way, i, seed);
	}
	rf_buf_printf(b, "]}");
}

/* --- random edits against a model --- */

static uint64_t seed;
static inline unsigned draw(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

/* The whole as it is, but one elsewhere, or another gone. */
static inline void random_replacement(void)
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

static inline void random_edit(void)
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
