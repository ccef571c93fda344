/* Tests of policy/trie: against a walk over all prefixes, with random ones of both families. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "policy/trie.h"

enum { MANY = 3000, ASKED = 4000, SMALL = 200 };

static uint64_t seed = 7;

static uint8_t byte(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint8_t)(seed >> 56);
}

/* Few different bytes, so that prefixes lie in one another. */
static struct rf_ip draw(uint8_t family)
{
	struct rf_ip ip = { .family = family };
	for (unsigned i = 0; i < (family == 4 ? 4u : 16u); i++)
		ip.b[i] = byte() & 0x83;
	return ip;
}

static size_t fill(struct trie_item *items, size_t most, uint8_t family)
{
	size_t n = 0;
	for (size_t k = 0; k < most; k++) {
		struct rf_ip ip = draw(family);
		struct rf_prefix p = rf_ip_mask(&ip, byte() % (family == 4 ? 33 : 129));
		bool there = false;
		for (size_t i = 0; i < n && !there; i++)
			there = items[i].prefix.bits == p.bits && rf_ip_eq(&items[i].prefix.ip, &p.ip);
		if (!there) {
			items[n] = (struct trie_item){ p, (uint32_t)n };
			n++;
		}
	}
	return n;
}

static void compare(uint8_t family, size_t most, unsigned asked)
{
	struct trie_item *items = malloc(MANY * sizeof *items), *copy = malloc(MANY * sizeof *copy);
	size_t n = fill(items, most, family);
	memcpy(copy, items, n * sizeof *copy);
	struct trie *t = trie_make(items, n);
	for (unsigned k = 0; k < asked; k++) {
		struct rf_ip ip = draw(family);
		size_t found = 0, expected = 0;
		unsigned last = 129;
		for (size_t i = 0; i < n; i++)
			expected += rf_prefix_has(&copy[i].prefix, &ip);
		for (uint32_t at = trie_find(t, &ip); at != TRIE_NONE; at = trie_wider(t, at), found++) {
			const struct rf_prefix *p = &copy[trie_key(t, at)].prefix;
			assert_true(rf_prefix_has(p, &ip));
			assert_true(p->bits < last); /* the most specific first */
			last = p->bits;
		}
		assert_int_equal(found, expected);
	}
	trie_free(t);
	free(items);
	free(copy);
}

static void four(void **state)
{
	(void)state;
	compare(4, MANY, ASKED);
}

static void six(void **state)
{
	(void)state;
	compare(6, MANY, ASKED);
}

/* Most addresses are told by the root of these. */
static void few(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SMALL; i++)
		compare(i % 2 ? 4 : 6, 1 + i % 5, 30);
}

static void none(void **state)
{
	(void)state;
	struct rf_ip ip = draw(4);
	struct trie *t = trie_make(NULL, 0);
	assert_int_equal(trie_find(t, &ip), TRIE_NONE);
	trie_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(four), cmocka_unit_test(six), cmocka_unit_test(few), cmocka_unit_test(none) };
	return cmocka_run_group_tests_name("policy-trie", tests, NULL, NULL);
}
