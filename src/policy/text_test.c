/* Tests of policy/text, and of what policy/literal says of patterns: held against a plain search and against vectorscan, for
 * random literals, patterns and texts. RINGFENCE_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include <hs.h>
#include "policy/access.h"
#include "policy/draw.h"
#include "policy/text.h"

enum { SETS = 150, TEXTS = 40, LITERALS = 60, SIZE = 220, PATTERNS = 700, KEYS = 5000, FEW = 5, FEW_SETS = 25, MOST = 110 };

static struct draw d;

/* What a text was said to have. */
static bool told[KEYS];

static void tell(void *ctx, uint32_t key)
{
	(void)ctx;
	assert_true(key < KEYS);
	told[key] = true;
}

static struct rf_str random_bytes(char *to, unsigned least, unsigned most, const char *alphabet)
{
	unsigned n = least + draw(&d, most - least + 1);
	for (unsigned i = 0; i < n; i++)
		to[i] = alphabet[draw(&d, (unsigned)strlen(alphabet))];
	return (struct rf_str){ to, n };
}

static bool has(struct rf_str s, struct rf_str lit, bool dull)
{
	for (size_t i = 0; i + lit.n <= s.n; i++) {
		size_t k = 0;
		for (; k < lit.n; k++)
			if (dull ? (s.p[i + k] ^ lit.p[k]) & ~0x20 :
				rf_lower((unsigned char)s.p[i + k]) != rf_lower((unsigned char)lit.p[k]))
				break;
		if (k == lit.n)
			return true;
	}
	return false;
}

static void scan(const struct text *t, struct rf_str s)
{
	memset(told, 0, sizeof told);
	assert_int_equal(text_scan(t, s, &(struct text_found){ tell, NULL }), RF_OK);
}

/* All that is there is found, and not much else. */
static void check(const struct text *t, const struct text_item *items, size_t count, struct rf_str s)
{
	scan(t, s);
	for (size_t i = 0; i < count; i++) {
		bool there = has(s, items[i].lit, false);
		if (there != told[items[i].key] && (there || !has(s, items[i].lit, true)))
			fail_msg("%.*s in %.*s: %d", RF_ARG(items[i].lit), RF_ARG(s), there);
	}
}

static void finds_literals(void **state)
{
	(void)state;
	char room[LITERALS][16], text[SIZE];
	struct text_item items[LITERALS];
	for (unsigned set = 0; set < SETS; set++) {
		unsigned count = 1 + draw(&d, LITERALS), least = 3 + draw(&d, 6);
		for (unsigned i = 0; i < count; i++)
			items[i] = (struct text_item){ random_bytes(room[i], least, 12, "abAB/\xe9_"), NULL, i * 7 };
		struct text *t = set % 3 ? text_quick(items, count) : text_frozen(items, count);
		assert_non_null(t);
		for (unsigned i = 0; i < TEXTS; i++)
			check(t, items, count, random_bytes(text, 0, i % 4 ? 40 : SIZE, "abAB/\xe9_@\x7f"));
		for (unsigned i = 0; i < count; i++)
			check(t, items, count, items[i].lit);
		text_free(t);
	}
}

/* A page between two that cannot be read. */
static char *walled_page(size_t size)
{
	char *p = mmap(NULL, 3 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(mprotect(p + size, size, PROT_READ | PROT_WRITE), 0);
	return p + size;
}

/* The same literals alone and beside others, which are not there, say the same. */
struct few {
	struct text_item items[2 * FEW];
	unsigned count;
	struct text *alone, *beside;
};

static void check_few(const struct few *f, struct rf_str s)
{
	bool before[FEW];
	check(f->alone, f->items, f->count, s);
	memcpy(before, told, sizeof before);
	check(f->beside, f->items, f->count, s);
	assert_memory_equal(before, told, f->count * sizeof *told);
}

/* Write a literal into a text, in letters of either case. */
static void plant(struct rf_str lit, char *to)
{
	for (size_t i = 0; i < lit.n; i++) {
		bool letter = rf_lower((unsigned char)lit.p[i]) >= 'a' && rf_lower((unsigned char)lit.p[i]) <= 'z';
		to[i] = (char)(lit.p[i] ^ (letter && draw(&d, 2) ? 0x20 : 0));
	}
}

static void check_length(const struct few *f, char *at, unsigned n)
{
	struct rf_str s = random_bytes(at, n, n, "abAB/\xe9_@\x7f"), lit = f->items[draw(&d, f->count)].lit;
	check_few(f, s);
	if (lit.n > n)
		return;
	plant(lit, at + draw(&d, (unsigned)(n - lit.n + 1)));
	check_few(f, s);
	plant(lit, at + n - lit.n);
	check_few(f, s);
}

/* Literals that are compared by the vector: texts of all lengths, up to either edge of what may be read. */
static void finds_few_literals(void **state)
{
	(void)state;
	static const char *const others[FEW] = { "zzzzzz0", "yyyyyy-1", "xxxxxxxx2", "wwwwwww3", "vvvvvvvvv4" };
	char room[FEW][24];
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	char *page = walled_page(size);
	for (unsigned set = 0; set < FEW_SETS; set++) {
		struct few f = { .count = 1 + draw(&d, FEW) };
		for (unsigned i = 0; i < f.count; i++)
			f.items[i] = (struct text_item){ random_bytes(room[i], 7, sizeof room[i], "abAB/\xe9_"), NULL, i };
		for (unsigned i = 0; i < FEW; i++)
			f.items[f.count + i] = (struct text_item){ rf_str_z(others[i]), NULL, FEW + i };
		f.alone = text_quick(f.items, f.count);
		f.beside = text_quick(f.items, f.count + FEW);
		for (unsigned n = 0; n < MOST; n++) {
			check_length(&f, page, n);
			check_length(&f, page + size - n, n);
		}
		text_free(f.alone);
		text_free(f.beside);
	}
	munmap(page - size, 3 * size);
}

/* As many as the table does not take. */
static void finds_among_many(void **state)
{
	(void)state;
	static char room[KEYS][12];
	static struct text_item items[KEYS];
	char text[64];
	for (unsigned i = 0; i < KEYS; i++)
		items[i] = (struct text_item){ { room[i], (size_t)snprintf(room[i], sizeof room[i], "/n%xX", i * 40503u) }, NULL, i };
	struct text *t = text_frozen(items, KEYS);
	assert_non_null(t);
	for (unsigned i = 0; i < KEYS; i += 97) {
		int n = snprintf(text, sizeof text, "/v1%.*s/status", RF_ARG(items[i].lit));
		check(t, items, KEYS, (struct rf_str){ text, (size_t)n });
	}
	check(t, items, KEYS, RF_STR(""));
	text_free(t);
}

/* --- patterns --- */

static const char *const pieces[] = { "^", "a", "b", "ab", "ABC", "[a-c]", "[^a]", "[^]b]", "[]a]", "[a\\]b]", "[[:alpha:]]", "[[:]",
	"[\\c]]", "[\\Qa\\E]", "\\.", "(?:a|b)", "(b", "(?:", ")", ")", "*", "+", "?", "{2}", "{0,1}", "{0}", "{,2}", "|", "$", ".", "\\d", "\\x61",
	"(?#[)", "(?#()", "\\Q(\\E", "\\Q[\\E", "(?i)", "(?x)", "#)", "\\ca", "\\c(", "\\[", "\\(", "\n" };

/* False where vectorscan does not take it. */
static bool random_pattern(char *to, size_t size, struct regex **ret)
{
	struct rf_err e;
	size_t at;
	snprintf(to, size, "%s", draw(&d, 4) ? "" : "(?i)");
	if (draw(&d, 2))
		strcat(to, "^");
	for (unsigned i = draw(&d, 7); i > 0; i--)
		strcat(to, PICK(&d, pieces));
	return regex_make(rf_str_z(to), ret, &at, &e) == RF_OK;
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *ctx)
{
	(void)id, (void)from, (void)to, (void)flags;
	*(bool *)ctx = true;
	return 0;
}

static hs_database_t *database(const char *pattern)
{
	hs_database_t *db = NULL;
	hs_compile_error_t *bad = NULL;
	assert_int_equal(hs_compile(pattern, HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY, HS_MODE_BLOCK, NULL, &db, &bad), HS_SUCCESS);
	return db;
}

/* A text that vectorscan matches has the literal, and begins as it must. */
static void check_text(const struct regex *r, const hs_database_t *db, struct rf_str lit, const struct text *t, struct rf_str s)
{
	bool matches = false, says = false;
	assert_int_equal(regex_scan(db, s, on_match, &matches), RF_OK);
	assert_int_equal(regex_test(r, s, &says), RF_OK);
	scan(t, s);
	if (says != matches || told[1] != matches || (matches && lit.n && !has(s, lit, false)))
		fail_msg("%s in '%.*s' (%d): says %d, together %d, literal '%.*s'", regex_pattern(r).p, RF_ARG(s), matches, says, told[1],
			RF_ARG(lit));
}

static void check_pattern(const struct regex *r)
{
	static const char *const more[] = { "efgh", "abcd", "abcda", "abcd(", "]abcd", "\035abcd", "(", "[", "\x01", "ef:]", "[efgh", "abcd:" };
	struct rf_arena arena;
	char room[12];
	rf_arena_init(&arena, 1 << 20);
	hs_database_t *db = database(regex_pattern(r).p);
	struct rf_str lit = regex_literal(regex_pattern(r), &arena);
	struct text_item items[] = { { .pattern = r, .key = 1 }, { .lit = RF_STR("xyzzy"), .key = 2 } };
	struct text *t = text_frozen(items, 2);
	for (unsigned i = 0; t && i < TEXTS; i++)
		check_text(r, db, lit, t, random_bytes(room, 0, 9, "aabbcABC.(]1[x\n\x01"));
	for (size_t i = 0; t && i < sizeof more / sizeof *more; i++)
		check_text(r, db, lit, t, rf_str_z(more[i]));
	text_free(t);
	hs_free_database(db);
	rf_arena_fini(&arena);
}

static void knows_patterns(void **state)
{
	(void)state;
	static const char *const kept[] = { "abcd(?:\\Q(\\E)|efgh", "abcd(?:(?#[))|efgh", "abcd[[:]|efgh", "abcd[[:x]|ef:]", "[\\c]]abcd",
		"^a(?#[)|efgh", "^abcd(?x: # (\n)|efgh", "^[^a-z]|efgh", "^$", "(?i)^[^a]", "^\\x61bcd", "^a{0}efgh", "^a?efgh" };
	unsigned taken = 0;
	struct regex *r;
	struct rf_err e;
	size_t at;
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		if (regex_make(rf_str_z(kept[i]), &r, &at, &e) == RF_OK) {
			check_pattern(r);
			regex_free(r);
		}
	for (unsigned i = 0; i < PATTERNS; i++) {
		char pattern[128];
		if (!random_pattern(pattern, sizeof pattern, &r))
			continue;
		taken++;
		check_pattern(r);
		regex_free(r);
	}
	assert_true(taken > PATTERNS / 10);
}

static bool begins(const char *pattern, char c)
{
	uint64_t first[4];
	regex_first(rf_str_z(pattern), first);
	return first[(uint8_t)c / 64] >> (uint8_t)c % 64 & 1;
}

/* What the front is there for: most texts need no scan. */
static void tells_by_the_first_byte(void **state)
{
	(void)state;
	static const char *const those_with_b[] = { "^b", "^[abc]{3}=", "(?i)^B+", "^[^a]b", "^[a-c].*", "b", "^b*", "^(b)", "^b|c" };
	static const char *const those_without[] = { "^a", "^[c-k]{3}=", "(?i)^A+", "^/[a-z]+", "^[^b]", "^\\.b", "^a(b|c)" };
	for (size_t i = 0; i < sizeof those_with_b / sizeof *those_with_b; i++)
		assert_true(begins(those_with_b[i], 'b'));
	for (size_t i = 0; i < sizeof those_without / sizeof *those_without; i++)
		assert_false(begins(those_without[i], 'b'));
}

static int begin(void **state)
{
	const char *seed = getenv("RINGFENCE_SEED");
	(void)state;
	d.seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 2 + 1;
	print_message("seed %llu\n", (unsigned long long)d.seed);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(finds_literals), cmocka_unit_test(finds_few_literals),
		cmocka_unit_test(finds_among_many), cmocka_unit_test(knows_patterns), cmocka_unit_test(tells_by_the_first_byte) };
	return cmocka_run_group_tests_name("policy-text", tests, begin, NULL);
}
