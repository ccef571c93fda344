/* JSON as text. Beliefs: what is taken the parser in full takes, numbers beyond its bounds and members there twice aside; a text says
 * the same to both; and a rule that is plain compiles to the same as its tree, or is refused for the same; and rules in a row read as each by itself. */
#include <jansson.h>
#include <stdlib.h>
#include "policy/rule_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

static void as_parsed(struct rf_str s)
{
	json_error_t why;
	struct rf_js j = rf_js_over(s);
	bool taken = rf_js_skip(&j, NULL) && rf_js_end(&j);
	json_t *doc = json_loadb(s.p, s.n, JSON_DECODE_ANY, &why);
	uint64_t one = 0, two = 1;
	if (!taken) {
		json_decref(doc);
		return;
	}
	CHECK(doc || json_error_code(&why) == json_error_numeric_overflow);
	j = rf_js_over(s);
	CHECK(rf_js_digest(&j, &one));
	char *text = doc ? json_dumps(doc, JSON_COMPACT | JSON_DECODE_ANY | JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;
	if (text && !strchr(text, '.') && json_object_size(doc) == 0) { /* members there twice are one in the tree */
		j = rf_js_over(rf_str_z(text));
		CHECK(rf_js_digest(&j, &two));
		CHECK(one == two || json_is_array(doc) || json_is_number(doc)); /* -0, 4e+18 */
	}
	free(text);
	json_decref(doc);
}

static void as_tree(struct rf_str s)
{
	struct rf_js j = rf_js_over(s);
	struct rf_rule_text t;
	struct rf_rule *a = NULL, *b = NULL;
	struct rf_err ea = { 0 }, eb = { 0 };
	const struct rf_rule_env env = { 0 };
	if (!rf_rule_text_read(&j, true, NULL, &t) || !rf_js_end(&j) || !t.plain)
		return;
	json_t *doc = json_loadb(s.p, s.n, JSON_REJECT_DUPLICATES, NULL);
	CHECK(doc);
	int ra = rf_rule_make(&env, RF_PHASE_HTTP_REQUEST, doc, "/x", &a, &ea);
	int rb = rf_rule_make_text(&env, RF_PHASE_HTTP_REQUEST, s, RF_STR(""), RF_STR(""), "/x", &b, &eb);
	CHECK(ra == rb && strcmp(ea.pointer, eb.pointer) == 0 && strcmp(ea.text, eb.text) == 0);
	if (ra == RF_OK) {
		CHECK(rf_str_eq(a->id, b->id) && rf_str_eq(a->ref, b->ref) && rf_str_eq(a->expression, b->expression));
		CHECK(rf_str_eq(a->description, b->description) && rf_str_eq(a->version, b->version));
		CHECK(a->action == b->action && a->enabled == b->enabled && a->logging == b->logging && a->nwarnings == b->nwarnings);
	}
	rf_rule_put(a);
	rf_rule_put(b);
	json_decref(doc);
}

static bool same_text(const struct rf_js_text *a, const struct rf_js_text *b)
{
	return a->raw.p == b->raw.p && a->raw.n == b->raw.n && a->escaped == b->escaped && a->ascii == b->ascii;
}

/* Rules one behind the other, each held against those before it, and read by itself. */
static void as_rules(struct rf_str s)
{
	static struct rf_rule_like like;
	struct rf_js j = rf_js_over(s), alone = j;
	struct rf_rule_text t, of;
	like.n = 0;
	while (rf_rule_text_read(&j, true, &like, &t)) {
		CHECK(rf_rule_text_read(&alone, true, NULL, &of) && j.at == alone.at);
		CHECK(t.content == of.content && t.plain == of.plain && t.disabled == of.disabled && t.all.p == of.all.p && t.all.n == of.all.n);
		CHECK(same_text(&t.expression, &of.expression) && same_text(&t.action, &of.action) && same_text(&t.id, &of.id));
		CHECK(same_text(&t.description, &of.description) && same_text(&t.ref, &of.ref) && same_text(&t.version, &of.version));
	}
	CHECK(!rf_rule_text_read(&alone, true, NULL, &of));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	as_rules((struct rf_str){ (const char *)p, n });
	struct rf_str s = { (const char *)p, n };
	as_parsed(s);
	as_tree(s);
	return 0;
}
