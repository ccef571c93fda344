/* Expressions that are copied from one of the same shape: the same programs as those that are parsed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "base/jw.h"
#include "policy/rule_text.h"
#include "policy/shape.h"

static struct rf_shapes *shapes;

static struct rf_rule *made(struct rf_shapes *with, const char *expression, const char *action, int want)
{
	struct rf_rule_env env = { .have = ~0u, .any_list = true, .shapes = with };
	struct rf_rule *r = NULL;
	struct rf_err e = { 0 };
	bool saying = strlen(expression) % 2; /* what the row says too */
	RF_BUF_AUTO doc = { 0 };
	rf_buf_printf(&doc, "{%s\"version\":\"7\",\"description\":\"d\\n\",\"action\":\"%s\",\"expression\":", saying ? "\"id\":\"0123\",\"ref\":\"a\"," : "", action);
	rf_json_quote(&doc, rf_str_z(expression));
	rf_buf_addc(&doc, '}');
	int rc = rf_rule_make_text(&env, RF_PHASE_HTTP_REQUEST, rf_buf_str(&doc), RF_STR("0123"), RF_STR("a"), "/rules/0", &r, &e);
	if (rc != want)
		fail_msg("%s: %d %s %s", expression, rc, e.pointer, e.text);
	return r;
}

static bool copied(const char *expression)
{
	struct rf_rule *a = made(shapes, expression, "block", RF_OK), *b = made(NULL, expression, "block", RF_OK);
	bool lent = a->cond->lent;
	assert_false(b->cond->lent);
	assert_true(rf_expr_same(a->cond, b->cond));
	assert_true(rf_str_eq(rf_expr_text(a->cond), rf_str_z(expression)) && rf_str_eq(a->expression, b->expression));
	assert_memory_equal(a->cond->uses, b->cond->uses, sizeof a->cond->uses);
	for (uint32_t i = 0; i < a->cond->count; i++) {
		const struct pnode *x = &a->cond->node[i], *y = &b->cond->node[i];
		assert_true(x->at == y->at && x->kid == y->kid && x->memo == y->memo);
	}
	assert_true(rf_str_eq(a->id, b->id) && rf_str_eq(a->ref, b->ref) && rf_str_eq(a->version, b->version));
	assert_true(rf_str_eq(a->description, RF_STR("d\n")) && a->description.p[2] == '\0');
	assert_true(a->enabled && a->logging && a->action == b->action && a->bytes > 0);
	rf_rule_put(a);
	rf_rule_put(b);
	return lent;
}

static int setup(void **state)
{
	(void)state;
	shapes = rf_shapes_new();
	return shapes ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	rf_shapes_free(shapes);
	return 0;
}

/* Of each row the first two are parsed, the others copied. */
static void the_same_is_copied(void **state)
{
	static const char *const rows[][5] = {
		{ "http.host eq \"a\"",
		  "http.host eq \"bcd\"",
		  "http.host eq \"\"",
		  "http.host eq \"a\"",
		  "http.host eq \"a much longer one\"" },
		{ "(http.host eq \"a\" and http.request.uri.path contains \"/b\") or ip.src eq 1.2.3.4",
		  "(http.host eq \"xx\" and http.request.uri.path contains \"/\") or ip.src eq 1.2.3.4",
		  "(http.host eq \"\" and http.request.uri.path contains \"/zzz\") or ip.src eq 1.2.3.4",
		  "(http.host eq \"abcdef\" and http.request.uri.path contains \"/c\") or ip.src eq 1.2.3.4",
		  "(http.host eq \"yyyyyy\" and http.request.uri.path contains \"/b\") or ip.src eq 1.2.3.4" },
		{ "any(http.request.headers[\"X-One\"][*] eq \"1\") and lower(http.host) ne \"x\"",
		  "any(http.request.headers[\"X-One\"][*] eq \"12\") and lower(http.host) ne \"xyz\"",
		  "any(http.request.headers[\"X-One\"][*] eq \"\") and lower(http.host) ne \"\"",
		  "any(http.request.headers[\"X-One\"][*] eq \"123\") and lower(http.host) ne \"x\"",
		  "any(http.request.headers[\"X-One\"][*] eq \"1\") and lower(http.host) ne \"q\"" },
		{ "starts_with(http.host, \"a\") and http.host ne \"b\" and url_decode(http.request.uri.path, \"r\") eq \"c\"",
		  "starts_with(http.host, \"a\") and http.host ne \"bb\" and url_decode(http.request.uri.path, \"r\") eq \"\"",
		  "starts_with(http.host, \"a\") and http.host ne \"\" and url_decode(http.request.uri.path, \"r\") eq \"ccc\"",
		  "starts_with(http.host, \"a\") and http.host ne \"b\" and url_decode(http.request.uri.path, \"r\") eq \"c\"",
		  "starts_with(http.host, \"a\") and http.host ne \"bbbb\" and url_decode(http.request.uri.path, \"r\") eq \"c\"" },
		{ "true", "true", "true", "true", "true" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (size_t k = 0; k < 5; k++)
			assert_int_equal(copied(rows[i][k]), k >= 2);
}

/* What the parser looks into is not taken from another text. */
static void other_strings_are_other_shapes(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		copied("any(http.request.headers[\"a\"][*] eq \"1\")");
		copied("starts_with(http.host, \"a\")");
		copied("http.request.uri.path wildcard \"/a*\"");
	}
	assert_false(copied("any(http.request.headers[\"bb\"][*] eq \"1\")"));
	assert_false(copied("starts_with(http.host, \"b\")"));
	assert_false(copied("http.request.uri.path wildcard \"/b*\""));
	assert_null(made(shapes, "http.request.uri.path wildcard \"/a**\"", "block", RF_E_SYNTAX));
	for (int i = 0; i < 3; i++) {
		assert_false(copied("http.host matches \"a+\""));
		assert_false(copied("http.host in {\"a\" \"b\"}"));
		assert_false(copied("http.host eq \"a\\x62\""));
		assert_false(copied("http.host eq r\"ab\""));
	}
}

/* An action that a copied one cannot have is refused as ever. */
static void a_copied_rule_can_be_wrong(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		copied("http.host eq \"a\"");
	assert_null(made(shapes, "http.host eq \"b\"", "blok", RF_E_UNKNOWN));
	assert_null(made(shapes, "http.host eq \"b", "block", RF_E_SYNTAX));
	assert_null(made(shapes, "http.host eq \"b\" x", "block", RF_E_SYNTAX));
}

/* More shapes than are kept. */
static void many_shapes(void **state)
{
	(void)state;
	for (int turn = 0; turn < 4; turn++)
		for (int i = 0; i < 100; i++) {
			char text[80];
			snprintf(text, sizeof text, "http.host eq \"a%d\" and tcp.dstport eq %d", turn, i);
			copied(text);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_same_is_copied, setup, teardown),
		cmocka_unit_test_setup_teardown(other_strings_are_other_shapes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_copied_rule_can_be_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(many_shapes, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
