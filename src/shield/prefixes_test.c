#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "shield/tables.h"

static struct rf_prefixes *p;
static struct rf_tables t;

static int begin(void **state)
{
	(void)state;
	t = (struct rf_tables){ calloc(RF_DIR_CHUNKS, sizeof *t.first), calloc(RF_EXACT_BUCKETS, sizeof *t.buckets),
				calloc(1, sizeof *t.root), calloc(1, sizeof *t.conf) };
	t.conf->secret = 0x1234567;
	p = rf_prefixes_new(&t);
	assert_non_null(p);
	return 0;
}

static int end(void **state)
{
	(void)state;
	rf_prefixes_free(p);
	free(t.first);
	free(t.root);
	free(t.buckets);
	free(t.conf);
	return 0;
}

static struct rf_prefix prefix(const char *z)
{
	struct rf_prefix at;
	assert_true(rf_prefix_parse(rf_str_z(z), true, &at));
	return at;
}

static int set(const char *z, uint16_t tag)
{
	struct rf_prefix at = prefix(z);
	struct rf_err e;
	return rf_prefixes_set(p, &at, tag, &e);
}

static int clear(const char *z)
{
	struct rf_prefix at = prefix(z);
	return rf_prefixes_clear(p, &at);
}

static unsigned find(const char *z)
{
	struct rf_ip ip;
	assert_true(rf_ip_parse(rf_str_z(z), &ip));
	return rf_prefixes_find(p, &ip);
}

static void the_longest_prefix_counts(void **state)
{
	(void)state;
	assert_int_equal(find("192.0.2.1"), 0);
	assert_int_equal(set("192.0.2.1/32", 5), RF_OK);
	assert_int_equal(set("192.0.0.0/8", 7), RF_OK);
	assert_int_equal(set("192.0.2.0/25", 9), RF_OK);
	assert_int_equal(find("192.0.2.1"), 5);
	assert_int_equal(find("192.0.2.2"), 9);
	assert_int_equal(find("192.0.2.128"), 7);
	assert_int_equal(find("192.255.255.255"), 7);
	assert_int_equal(find("193.0.0.0"), 0);
	assert_int_equal(set("2001:db8::/32", 11), RF_OK);
	assert_int_equal(set("2001:db8:0:1::/64", 13), RF_OK);
	assert_int_equal(set("2001:db8::7/128", 15), RF_OK);
	assert_int_equal(set("::/0", 17), RF_OK);
	assert_int_equal(find("2001:db8::7"), 15);
	assert_int_equal(find("2001:db8:0:1::7"), 13);
	assert_int_equal(find("2001:db8:ffff::"), 11);
	assert_int_equal(find("2002::1"), 17);
}

static void a_removal_uncovers_what_is_around(void **state)
{
	(void)state;
	set("10.0.0.0/8", 1);
	set("10.1.0.0/16", 2);
	set("10.1.2.0/24", 3);
	set("10.1.2.128/25", 4);
	set("10.1.2.129/32", 6);
	assert_int_equal(clear("10.1.2.128/25"), RF_OK);
	assert_int_equal(find("10.1.2.130"), 3);
	assert_int_equal(find("10.1.2.129"), 6);
	assert_int_equal(clear("10.1.2.0/24"), RF_OK);
	assert_int_equal(find("10.1.2.130"), 2);
	assert_int_equal(find("10.1.2.129"), 6);
	assert_int_equal(clear("10.1.2.129/32"), RF_OK);
	assert_int_equal(find("10.1.2.129"), 2);
	assert_int_equal(clear("10.0.0.0/8"), RF_OK);
	assert_int_equal(find("10.2.0.0"), 0);
	assert_int_equal(find("10.1.0.0"), 2);
	assert_int_equal(clear("10.0.0.0/8"), RF_E_NOT_FOUND);
	assert_int_equal(clear("10.1.0.0/16"), RF_OK);
}

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % below;
}

enum { MANY = 300, STEPS = 3000 };

static struct rf_prefix random_prefix(void)
{
	static const uint8_t lengths[] = { 0, 7, 16, 29, 32, 33, 48, 56, 64, 65, 96, 127, 128 };
	struct rf_ip ip = { .family = draw(2) ? 4 : 6 };
	for (int i = 0; i < (ip.family == 4 ? 4 : 16); i++) /* crowded, so that prefixes lie in each other */
		ip.b[i] = (uint8_t)(draw(4) ? draw(3) : draw(256));
	unsigned bits = ip.family == 4 ? 5 + draw(28) : lengths[draw(sizeof lengths)];
	return rf_ip_mask(&ip, bits);
}

/* What a plain list says. */
static uint16_t scan(const struct rf_prefix *v, const uint16_t *tags, size_t n, const struct rf_ip *ip)
{
	int best = -1;
	uint16_t tag = 0;
	for (size_t i = 0; i < n; i++)
		if (tags[i] && rf_prefix_has(&v[i], ip) && v[i].bits > best) {
			best = v[i].bits;
			tag = tags[i];
		}
	return tag;
}

static void agrees_with_a_plain_scan(void **state)
{
	static struct rf_prefix v[MANY];
	static uint16_t tags[MANY];
	struct rf_err e;
	(void)state;
	seed = 7;
	memset(tags, 0, sizeof tags);
	for (size_t i = 0; i < MANY; i++)
		do {
			v[i] = random_prefix();
			for (size_t k = 0; k < i; k++)
				if (v[k].bits == v[i].bits && rf_ip_eq(&v[k].ip, &v[i].ip))
					v[i].ip.family = 0;
		} while (!v[i].ip.family);
	for (int step = 0; step < STEPS; step++) {
		size_t i = draw(MANY);
		if (tags[i] && draw(2)) {
			assert_int_equal(rf_prefixes_clear(p, &v[i]), RF_OK);
			tags[i] = 0;
		} else {
			tags[i] = (uint16_t)(1 + draw(RF_TAG_MAX));
			assert_int_equal(rf_prefixes_set(p, &v[i], tags[i], &e), RF_OK);
		}
		for (int k = 0; k < 20; k++) {
			struct rf_prefix at = draw(2) ? v[draw(MANY)] : random_prefix();
			at.ip.b[at.ip.family == 4 ? 3 : 15] ^= (uint8_t)draw(3);
			if (rf_prefixes_find(p, &at.ip) != scan(v, tags, MANY, &at.ip)) {
				char text[RF_IP_TEXT];
				fail_msg("step %d: %s is %u, not %u", step, rf_ip_str(&at.ip, text), rf_prefixes_find(p, &at.ip),
					scan(v, tags, MANY, &at.ip));
			}
		}
	}
}

/* The process before left a policy in other tables, spread by another secret: what both have never goes. */
static void moves_into_tables_that_hold_an_older_policy(void **state)
{
	static const char *const both[] = { "192.0.2.0/24", "192.0.2.9/32", "2001:db8::/48" }, *const old_only[] = { "198.51.100.0/24",
		"198.51.100.7/32", "2001:db8:1::/48", "::/0" }, *const new_only[] = { "203.0.113.0/24", "203.0.113.64/26", "2001:db8:2::/64" };
	(void)state;
	struct rf_tables mine = t;
	struct rf_prefixes *now = p;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(set(both[i], 5), RF_OK);
		assert_int_equal(set(new_only[i], 7), RF_OK);
	}
	t.first = calloc(RF_DIR_CHUNKS, sizeof *t.first);
	t.buckets = calloc(RF_EXACT_BUCKETS, sizeof *t.buckets);
	t.root = calloc(1, sizeof *t.root);
	t.conf = calloc(1, sizeof *t.conf);
	t.conf->secret = 99;
	p = rf_prefixes_new(&t);
	for (int i = 0; i < 3; i++)
		assert_int_equal(set(both[i], 5), RF_OK);
	for (int i = 0; i < 4; i++)
		assert_int_equal(set(old_only[i], 3), RF_OK);
	rf_prefixes_free(p);
	p = now;
	assert_int_equal(rf_prefixes_move(p, &t), RF_OK);
	free(mine.first);
	free(mine.buckets);
	free(mine.root);
	free(mine.conf);
	assert_int_equal(find("192.0.2.1"), 5);
	assert_int_equal(find("192.0.2.9"), 5);
	assert_int_equal(find("2001:db8::1"), 5);
	assert_int_equal(find("203.0.113.1"), 7);
	assert_int_equal(find("203.0.113.65"), 7);
	assert_int_equal(find("2001:db8:2::1"), 7);
	assert_int_equal(find("198.51.100.7"), 0);
	assert_int_equal(find("198.51.100.8"), 0);
	assert_int_equal(find("2001:db8:1::1"), 0);
	assert_int_equal(clear("192.0.2.9/32"), RF_OK);
	assert_int_equal(clear("192.0.2.0/24"), RF_OK);
	assert_int_equal(find("192.0.2.9"), 0);
}

static void lengths_of_ipv6_are_bounded(void **state)
{
	struct rf_prefix at;
	struct rf_err e;
	(void)state;
	for (unsigned bits = 1; bits <= RF_SIX_LENGTHS; bits++) {
		struct rf_ip ip = { .family = 6, .b = { 0x20 } };
		at = rf_ip_mask(&ip, 32 + bits);
		assert_int_equal(rf_prefixes_set(p, &at, 3, &e), RF_OK);
	}
	assert_int_equal(set("2000::/16", 5), RF_E_FULL);
	assert_int_equal(find("2000:8000::"), 0);
	assert_int_equal(set("2000:0:1::/48", 5), RF_OK);
	assert_int_equal(clear("2000::/33"), RF_OK);
	assert_int_equal(set("2000::/16", 5), RF_OK);
	assert_int_equal(find("2000:8000::"), 5);
}

static void address(uint32_t i, struct rf_ip *ip)
{
	uint64_t z = (i + 1) * 0x9e3779b97f4a7c15ull;
	for (int k = 0; k < 8; k++)
		ip->b[k] = (uint8_t)(z >> (8 * k));
	if (ip->family == 4)
		memset(ip->b + 4, 0, 4);
}

static void holds_half_a_million_and_says_when_it_is_full(void **state)
{
	struct rf_ip ip = { 0 };
	struct rf_err e;
	uint32_t n = 0;
	int rc = RF_OK;
	(void)state;
	while (rc == RF_OK && n <= RF_EXACT_BUCKETS * RF_EXACT_WAYS) {
		ip.family = n & 1 ? 6 : 4;
		address(n, &ip);
		struct rf_prefix at = rf_ip_mask(&ip, n & 1 ? 64 : 32);
		rc = rf_prefixes_set(p, &at, (uint16_t)(1 + n % 1000), &e);
		n += rc == RF_OK;
	}
	assert_int_equal(rc, RF_E_FULL);
	assert_non_null(strstr(e.text, "does not fit"));
	assert_true(n > 500000);
	assert_int_equal(rf_prefixes_find(p, &ip), 0);
	for (uint32_t i = 0; i < n; i++) { /* some of the IPv4 addresses may be twice the same: the later tag counts */
		ip = (struct rf_ip){ .family = i & 1 ? 6 : 4 };
		address(i, &ip);
		unsigned tag = rf_prefixes_find(p, &ip);
		if (tag != 1 + i % 1000 && i & 1)
			fail_msg("number %u of %u has tag %u", i, n, tag);
		assert_true(tag);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_longest_prefix_counts, begin, end),
		cmocka_unit_test_setup_teardown(a_removal_uncovers_what_is_around, begin, end),
		cmocka_unit_test_setup_teardown(agrees_with_a_plain_scan, begin, end),
		cmocka_unit_test_setup_teardown(moves_into_tables_that_hold_an_older_policy, begin, end),
		cmocka_unit_test_setup_teardown(lengths_of_ipv6_are_bounded, begin, end),
		cmocka_unit_test_setup_teardown(holds_half_a_million_and_says_when_it_is_full, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
