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

/* A member: of one kind, in most cases, with few values. */
static void add_member(struct rf_buf *b, unsigned which)
{
	switch (which) {
	case 0:
		rf_buf_printf(b, "\"expression\":\"http.request.uri.path eq \\\"/rule/%u\\\"\"", pick(300));
		break;
	case 1:
		rf_buf_printf(b, "\"action\": \"%s\"", ONE_OF("block", "block", "block", "block", "log", "skip", "bl\\u006fck", "", "a-name-that-no-action-has-and-which-is-longer-than-any-text-of-a-plain-rule"));
		break;
	case 2:
		rf_buf_printf(b, "\"description\":%s", ONE_OF("\"\"", "\"\"", "\"one\"", "\"two\"", "\"\\u0000\"", "\"\xc3\xa4\"", "null", "7"));
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
	if (!members || !pick(8))
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
	unsigned held = 0, well_formed = 0;
	for (unsigned i = 0; i < ROUNDS; i++) {
		bool content = i % 1000 < 800;
		struct rf_rule_text a, c;
		write_document(&b);
		char *exact = malloc(b.n + 1); /* whoever reads past it is caught */
		assert_non_null(exact);
		memcpy(exact, b.p, b.n);
		struct rf_js one = rf_js_over((struct rf_str){ exact, b.n }), two = one;
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
	print_message("%u well-formed, %u like the last\n", well_formed, held);
	assert_true(well_formed > ROUNDS / 3);
	assert_true(held > ROUNDS / 20);
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
	const struct CMUnitTest tests[] = { cmocka_unit_test(like_the_last_or_by_itself), cmocka_unit_test(what_is_not_kept) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
