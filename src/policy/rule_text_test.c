/* Documents read as text: what one holds is the same whether it is held against the one before or read by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/jw.h"
#include "policy/rule_text.h"

enum { ROUNDS = 200000, TEXT = 2048 };

static uint64_t state = 88172645463325252u;

static unsigned pick(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 33) % n;
}

#define ONE_OF(...) (((const char *const[]){ __VA_ARGS__ })[pick(sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))])

/* Mostly of one of two forms, whose strings have every length, and now and then an escape, a character beyond ASCII, or an end. */
static void add_expression(struct rf_buf *b)
{
	static const char *const odd[] = { "\\\"", "\\\\", "\\n", "\\u0041", "\\u00e4", "\\ud83d\\ude00", "\\ud83d", "\xc3\xa4", "\xc3", "\x01", "\"", "\\x", "\\u00" };
	static const char path[] = "/a/path/that/goes/on/and/on/for/as/long/as/it/is/let/to/";
	rf_buf_printf(b, "\"expression\":\"http.request.uri.path eq \\\"%.*s", (int)pick(sizeof path), path);
	if (pick(8))
		rf_buf_printf(b, "%u", pick(300));
	if (!pick(12))
		rf_buf_add(b, rf_str_z(odd[pick(sizeof odd / sizeof *odd)]));
	static bool two;
	two ^= !pick(30);
	rf_buf_add(b, two ? RF_STR("\\\" and http.host in {\\\"\\\" \\\"\xc3\xa4") : RF_STR("\\\""));
	rf_buf_printf(b, two || !pick(30) ? "%u\\\"}\"" : "\"", pick(1000));
}

/* A member: of one kind, in most cases, with few values. */
static void add_member(struct rf_buf *b, unsigned which)
{
	switch (which) {
	case 0:
		add_expression(b);
		break;
	case 1:
		rf_buf_printf(b, "\"action\": \"%s\"", ONE_OF("block", "block", "block", "block", "log", "skip", "bl\\u006fck", "", "a-name-that-no-action-has-and-which-is-longer-than-any-text-of-a-plain-rule"));
		break;
	case 2:
		rf_buf_printf(b, "\"description\":%s", ONE_OF("\"\"", "\"\"", "\"one\"", "\"one more\"", "\"two\"", "\"\\u0000\"", "\"\xc3\xa4\"", "null", "7"));
		break;
	case 3:
		rf_buf_printf(b, "\"enabled\":%s", ONE_OF("true", "true", "true", "true", "true", "false", "\"true\""));
		break;
	case 4:
		rf_buf_printf(b, "\"%s\":\"%u\"", ONE_OF("id", "ref", "version", "last_updated"), pick(20));
		break;
	default:
		rf_buf_printf(b, "\"%s\":%s", ONE_OF("action_parameters", "priority", "id", "expr\\u0065ssion"), ONE_OF("{}", "1", "[\"\\\"\"]", "\"x\""));
	}
}

/* Which members, of which hardly one is there twice. */
static unsigned lay_out(unsigned *order, unsigned most)
{
	unsigned n = 0, seen = 0;
	while (n < most) {
		unsigned which = n < 2 && pick(8) ? n : pick(pick(8) ? 5 : 6);
		if (seen >> which & 1 && pick(20))
			break;
		seen |= 1u << which;
		order[n++] = which;
	}
	return n;
}

/* Often in the layout of the one before, sometimes cut or with a byte changed. */
static void write_document(struct rf_buf *b)
{
	static unsigned order[8], members;
	if (!members || !pick(30))
		members = lay_out(order, 2 + pick(5));
	rf_buf_clear(b);
	rf_buf_add(b, pick(50) ? RF_STR("{") : RF_STR(" { "));
	for (unsigned i = 0; i < members; i++) {
		if (i)
			rf_buf_addc(b, ',');
		add_member(b, order[i]);
	}
	rf_buf_add(b, pick(50) ? RF_STR("}") : RF_STR("}x"));
	if (!pick(20))
		b->p[pick((unsigned)b->n)] = (char)pick(256);
	if (!pick(20))
		b->n = pick((unsigned)b->n + 1);
}

static bool same_text(const struct rf_js_text *a, const struct rf_js_text *b)
{
	return a->raw.p == b->raw.p && a->raw.n == b->raw.n && a->escaped == b->escaped && a->ascii == b->ascii;
}

static bool same(const struct rf_rule_text *a, const struct rf_rule_text *b)
{
	return a->all.p == b->all.p && a->all.n == b->all.n && same_text(&a->id, &b->id) && same_text(&a->ref, &b->ref) &&
		same_text(&a->version, &b->version) && same_text(&a->updated, &b->updated) && same_text(&a->expression, &b->expression) &&
		same_text(&a->action, &b->action) && same_text(&a->description, &b->description) && a->disabled == b->disabled &&
		a->plain == b->plain && a->content == b->content;
}

static void like_the_last_or_by_itself(void **ctx)
{
	(void)ctx;
	struct rf_rule_like like = { .n = 0 };
	RF_BUF_AUTO b = { 0 };
	struct rf_rule_near near;
	unsigned held = 0, well_formed = 0, told = 0;
	for (unsigned i = 0; i < ROUNDS; i++) {
		bool content = i % 1000 < 800;
		struct rf_rule_text a, c;
		write_document(&b);
		char *exact = malloc(b.n + 1); /* whoever reads past it is caught */
		assert_non_null(exact);
		memcpy(exact, b.p, b.n);
		struct rf_js one = rf_js_over((struct rf_str){ exact, b.n }), two = one, three = one;
		told += like.holes && rf_rule_text_near(&three, content, &like, &near);
		bool read = rf_rule_text_read(&one, content, NULL, &a);
		assert_int_equal(rf_rule_text_read(&two, content, &like, &c), read);
		if (read) {
			well_formed++;
			assert_true(same(&a, &c));
			assert_ptr_equal(one.at, two.at);
			held += like.n && (like.n != c.all.n || memcmp(like.text, c.all.p, c.all.n) != 0); /* what is not becomes the last */
		}
		free(exact);
	}
	print_message("%u well-formed, %u like the last, %u but for holes\n", well_formed, held, told);
	assert_true(well_formed > ROUNDS / 3);
	assert_true(held > ROUNDS / 20);
	assert_true(told > ROUNDS / 50);
}

static uint64_t content_of(const char *text, struct rf_rule_like *like)
{
	struct rf_js j = rf_js_over(rf_str_z(text));
	struct rf_rule_text t;
	assert_true(rf_rule_text_read(&j, true, like, &t));
	assert_true(rf_js_end(&j));
	return t.content;
}

/* However a rule is written, and whatever was read before it, its content is the same, and another one's is another. */
static void one_content(void **ctx)
{
	(void)ctx;
	static const char *const ways[] = {
		"{\"expression\":\"http.host eq \\\"b\\\"\",\"action\":\"log\"}",
		"{\"expression\": \"http.host eq \\u0022b\\u0022\", \"action\":\"log\", \"enabled\":true}",
		"{\"action\":\"log\",\"description\":\"\",\"expression\":\"http.host eq \\\"\\u0062\\\"\"}",
		"{\"id\":\"x\",\"ref\":\"y\",\"expression\":\"http.host eq \\\"b\\\"\",\"version\":\"7\",\"action\":\"log\"}",
	};
	static const char *const others[] = { "{\"expression\":\"http.host eq \\\"a\\\"\",\"action\":\"log\"}",
		"{\"expression\":\"http.host eq \\\"cc\\\"\",\"action\":\"log\"}" };
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		struct rf_rule_like like = { .n = 0 };
		for (size_t k = 0; k < sizeof others / sizeof *others; k++)
			assert_int_not_equal(content_of(others[k], &like), content_of(ways[0], NULL));
		assert_int_equal(like.holes, 1);
		assert_int_equal(content_of(ways[i], &like), content_of(ways[0], NULL));
	}
}

/* What differs in many places has no more holes than there is room for, and is read all the same. */
static void many_holes(void **ctx)
{
	(void)ctx;
	struct rf_rule_like like = { .n = 0 };
	for (unsigned i = 0; i < 40; i++) {
		RF_BUF_AUTO b = { 0 };
		rf_buf_printf(&b, "{\"expression\":\"http.host in {");
		for (unsigned k = 0; k < 12; k++)
			rf_buf_printf(&b, " \\\"%u\\\"", i >= 2 * k ? i : k);
		rf_buf_printf(&b, "}\",\"action\":\"log\"}");
		assert_int_equal(content_of(rf_buf_z(&b), &like), content_of(rf_buf_z(&b), NULL));
		assert_true(like.holes <= RF_RULE_HOLES);
	}
	assert_int_equal(like.kept, 1);
	assert_int_equal(like.holes, RF_RULE_HOLES);
}

/* A document that is too long to be held against, and one that is not plain, leave nothing behind. */
static void what_is_not_kept(void **ctx)
{
	(void)ctx;
	struct rf_rule_like like = { .n = 0 };
	struct rf_rule_text t;
	RF_BUF_AUTO b = { 0 };
	struct rf_js j = rf_js_over(RF_STR("{\"expression\":\"true\",\"action\":\"log\"}"));
	assert_true(rf_rule_text_read(&j, true, &like, &t));
	assert_int_not_equal(like.n, 0);
	j = rf_js_over(RF_STR("{\"expression\":\"true\",\"action\":\"log\",\"priority\":1}"));
	assert_true(rf_rule_text_read(&j, true, &like, &t));
	assert_false(t.plain);
	assert_int_equal(like.n, 0);
	rf_buf_printf(&b, "{\"action\":\"log\",\"expression\":\"%*s\"}", TEXT, "true");
	j = rf_js_over(rf_buf_str(&b));
	assert_true(rf_rule_text_read(&j, true, &like, &t));
	assert_true(t.plain);
	assert_int_equal(like.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(like_the_last_or_by_itself), cmocka_unit_test(one_content), cmocka_unit_test(many_holes),
		cmocka_unit_test(what_is_not_kept) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
