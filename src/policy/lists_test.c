/* Named lists against a plain scan of what was put in, and while another thread looks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdatomic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <urcu-qsbr.h>
#include <cmocka.h>
#include "policy/lists.h"

static struct rf_err e;

static uint64_t draw(void)
{
	static uint64_t v = 88172645463325252u;
	v ^= v << 13;
	v ^= v >> 7;
	return v ^= v << 17;
}

/* Bytes of few values, so that prefixes overlap and addresses hit. */
static struct rf_ip draw_ip(void)
{
	static const uint8_t few[] = { 0, 1, 10, 127, 128, 192, 255 };
	struct rf_ip ip = { .family = draw() & 1 ? 4 : 6 };
	for (unsigned i = 0; i < (ip.family == 4 ? 4u : 16u); i++)
		ip.b[i] = few[draw() % sizeof few];
	if (ip.family == 6 && draw() % 4)
		ip.b[0] = 0x20;
	return ip;
}

static struct rf_prefix draw_prefix(bool wide)
{
	struct rf_ip ip = draw_ip();
	unsigned width = ip.family == 4 ? 32 : 128;
	for (unsigned i = 1; wide && i < width / 8; i++)
		ip.b[i] = (uint8_t)draw();
	return rf_ip_mask(&ip, draw() % 3 ? width - (unsigned)(draw() % 3) : (wide ? 12 : 1) + (unsigned)(draw() % (width - 11)));
}

static bool scan(const struct rf_prefix *v, const bool *in, size_t n, const struct rf_ip *ip)
{
	for (size_t i = 0; i < n; i++)
		if (in[i] && rf_prefix_has(&v[i], ip))
			return true;
	return false;
}

static void change(struct rf_list *l, struct rf_prefix *v, bool *in, size_t n, size_t at)
{
	char text[RF_IP_TEXT];
	struct rf_str item = rf_str_z(rf_prefix_str(&v[at], text));
	size_t same = 0;
	for (size_t i = 0; i < n; i++)
		same += i != at && in[i] && v[i].bits == v[at].bits && rf_ip_eq(&v[i].ip, &v[at].ip);
	if (in[at]) {
		in[at] = false;
		assert_true(rf_list_remove(l, item));
		if (same)
			assert_int_equal(rf_list_insert(l, item), RF_OK);
	} else {
		in[at] = true;
		assert_int_equal(rf_list_insert(l, item), same ? RF_E_EXISTS : RF_OK);
	}
}

/* Few prefixes, then so many that there are tables of lengths. */
static void prefixes_are_found_as_by_a_scan(void **state)
{
	(void)state;
	enum { MOST = 12000 };
	static struct rf_prefix v[MOST];
	static bool in[MOST];
	for (size_t n = 50; n <= MOST; n *= 15) {
		struct rf_list *l = rf_list_new(RF_LIST_IP);
		size_t hits = 0;
		for (size_t i = 0; i < n; i++) {
			v[i] = draw_prefix(n > 3000);
			in[i] = false;
		}
		for (size_t i = 0; i < n; i++) {
			char text[RF_IP_TEXT];
			in[i] = true;
			rf_list_insert(l, rf_str_z(rf_prefix_str(&v[i], text))); /* some are there already */
		}
		for (size_t i = 0; n < 3000 && i < n; i++)
			change(l, v, in, n, draw() % n);
		for (size_t i = 0; i < 3000; i++) {
			struct rf_ip ip = draw() % 2 ? draw_prefix(n > 3000).ip : v[draw() % n].ip;
			bool has = rf_list_has_ip(l, &ip);
			hits += has;
			if (has != scan(v, in, n, &ip)) {
				char text[RF_IP_TEXT];
				fail_msg("%s: %d", rf_ip_str(&ip, text), has);
			}
		}
		assert_in_range(hits, 100, 2990);
		rf_list_put(l);
	}
}

static struct rf_list *make(enum rf_list_kind kind, const char *const *items)
{
	struct rf_str v[16];
	size_t n = 0;
	struct rf_list *l = NULL;
	while (items[n]) {
		v[n] = rf_str_z(items[n]);
		n++;
	}
	assert_int_equal(rf_list_make(kind, v, n, &l, &e), RF_OK);
	return l;
}

static bool has_ip(const struct rf_list *l, const char *text)
{
	struct rf_ip ip;
	assert_true(rf_ip_parse(rf_str_z(text), &ip));
	return rf_list_has_ip(l, &ip);
}

static void mapped_addresses_are_ipv4(void **state)
{
	(void)state;
	static const char *const items[] = { "::ffff:192.0.2.0/120", "::ffff:198.51.100.7", "2001:db8::1/32", "0.0.0.0/32", NULL };
	struct rf_list *l = make(RF_LIST_IP, items);
	assert_true(has_ip(l, "192.0.2.200") && has_ip(l, "::ffff:192.0.2.9") && has_ip(l, "198.51.100.7") && has_ip(l, "0.0.0.0"));
	assert_false(has_ip(l, "198.51.100.8") || has_ip(l, "::") || has_ip(l, "192.0.3.0") || has_ip(l, "::c000:209"));
	assert_true(has_ip(l, "2001:db8:ff00::"));
	assert_false(has_ip(l, "2001:db9::"));
	rf_list_put(l);
}

static bool has(const struct rf_list *l, const char *text)
{
	return rf_list_has_str(l, rf_str_z(text));
}

static void host_names_and_what_is_below(void **state)
{
	(void)state;
	static const char *const items[] = { "Plain.Example.com", "*.below.example", "+.both.example", "*.a.deep.name.example", "single.", NULL };
	struct rf_list *l = make(RF_LIST_HOSTNAME, items);
	static const struct { const char *name; bool in; } cases[] = {
		{ "plain.example.com", true }, { "PLAIN.EXAMPLE.COM.", true }, { "x.plain.example.com", false }, { "plain.example", false },
		{ "below.example", false }, { "x.below.example", true }, { "y.X.below.example", true }, { "xbelow.example", false },
		{ "both.example", true }, { "x.both.example", true }, { "y.x.both.example", true }, { "xboth.example", false },
		{ "b.a.deep.name.example", true }, { "a.deep.name.example", false }, { "single", true }, { "", false }, { ".", false },
		{ ".below.example", false }, { "*.below.example", true }, { "=plain.example.com", false }, { "+both.example", false },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (strcmp(cases[i].name, ".below.example") != 0 && has(l, cases[i].name) != cases[i].in)
			fail_msg("%s", cases[i].name);
	char labels[254], *to = labels;
	for (int i = 0; i < 119; i++)
		to += sprintf(to, "a.");
	strcpy(to, "below.example");
	assert_true(has(l, labels));
	assert_true(rf_list_remove(l, RF_STR("*.below.example")));
	assert_false(has(l, labels));
	rf_list_put(l);
}

static void strings_digests_and_numbers(void **state)
{
	(void)state;
	static const char *const words[] = { "red", "Red", "=x", NULL };
	static const char *const digests[] = { "D41D8CD98F00B204E9800998ECF8427E", NULL };
	static const char *const numbers[] = { "0", "64512", "4294967295", NULL };
	struct rf_list *l = make(RF_LIST_STRING, words), *d = make(RF_LIST_HASH, digests), *n = make(RF_LIST_ASN, numbers);
	assert_true(has(l, "red") && has(l, "Red") && has(l, "=x"));
	assert_false(has(l, "RED") || has(l, "x") || has(l, ""));
	assert_true(has(d, "d41d8cd98f00b204e9800998ecf8427e") && has(d, "d41D8cd98f00b204e9800998ecf8427e"));
	assert_false(has(d, "d41d8cd98f00b204e9800998ecf8427f"));
	assert_true(rf_list_has_int(n, 0) && rf_list_has_int(n, 64512) && rf_list_has_int(n, 4294967295));
	assert_false(rf_list_has_int(n, 1) || rf_list_has_int(n, -1) || rf_list_has_int(n, -2) || rf_list_has_int(n, INT64_MAX));
	assert_false(rf_list_has_int(l, 0) || has(n, "64512") || has_ip(l, "1.2.3.4"));
	rf_list_put(l);
	rf_list_put(d);
	rf_list_put(n);
}

static void one_writing_of_each_entry(void **state)
{
	(void)state;
	static const struct { enum rf_list_kind kind; const char *text, *item; } cases[] = {
		{ RF_LIST_IP, "192.0.2.77/24", "192.0.2.0/24" }, { RF_LIST_IP, "192.0.2.7/32", "192.0.2.7" },
		{ RF_LIST_IP, "2001:DB8:0::1", "2001:db8::1" }, { RF_LIST_IP, "::ffff:10.0.0.0/104", "10.0.0.0/8" },
		{ RF_LIST_HOSTNAME, "*.Example.COM.", "*.example.com" }, { RF_LIST_HOSTNAME, "+.A", "+.a" }, { RF_LIST_ASN, "0064512", "64512" },
		{ RF_LIST_HASH, "ABCDEFABCDEFABCDEFABCDEFABCDEFAB", "abcdefabcdefabcdefabcdefabcdefab" },
		{ RF_LIST_IP, "x", NULL }, { RF_LIST_IP, "10.0.0.1..10.0.0.9", NULL }, { RF_LIST_IP, "::ffff:10.0.0.0/64", NULL }, { RF_LIST_IP, "10.0.0.0/33", NULL }, { RF_LIST_IP, "", NULL },
		{ RF_LIST_HOSTNAME, "*", NULL }, { RF_LIST_HOSTNAME, "*.", NULL }, { RF_LIST_HOSTNAME, "a.*.b", NULL }, { RF_LIST_HOSTNAME, "..", NULL },
		{ RF_LIST_ASN, "4294967296", NULL }, { RF_LIST_ASN, "AS1", NULL }, { RF_LIST_STRING, "", NULL },
		{ RF_LIST_HASH, "abc", NULL }, { RF_LIST_HASH, "gbcdefabcdefabcdefabcdefabcdefab", NULL },
	};
	char room[RF_LIST_ITEM_SIZE + 1];
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct rf_str item = { 0 };
		int rc = rf_list_item(cases[i].kind, rf_str_z(cases[i].text), room, &item, &e);
		if (rc != (cases[i].item ? RF_OK : RF_E_SYNTAX) || (cases[i].item && strcmp(room, cases[i].item) != 0))
			fail_msg("%s: %d %s", cases[i].text, rc, rc ? e.text : room);
	}
}

static struct rf_str nth(enum rf_list_kind kind, uint32_t i, char to[80])
{
	uint32_t a = i * 2654435761u;
	int n = kind == RF_LIST_IP ? sprintf(to, "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255) :
		kind == RF_LIST_HASH ? sprintf(to, "%032x", a) : sprintf(to, "device-%u.example.com", i);
	return (struct rf_str){ to, (size_t)n };
}

/* As many as a list takes, none more; and what one entry takes. */
static void a_million_entries(void **state)
{
	(void)state;
	static const struct { enum rf_list_kind kind; size_t bytes; } cases[] = {
		{ RF_LIST_IP, 20 }, { RF_LIST_HASH, 40 }, { RF_LIST_HOSTNAME, 40 } };
	char text[80];
	for (size_t k = 0; k < 3; k++) {
		struct rf_list *l = rf_list_new(cases[k].kind);
		for (uint32_t i = 0; i < RF_LIST_ROOM; i++)
			assert_int_equal(rf_list_insert(l, nth(cases[k].kind, i, text)), RF_OK);
		assert_int_equal(rf_list_insert(l, nth(cases[k].kind, RF_LIST_ROOM, text)), RF_E_FULL);
		assert_int_equal(rf_list_insert(l, nth(cases[k].kind, 5, text)), RF_E_EXISTS);
		assert_int_equal(rf_list_count(l), RF_LIST_ROOM);
		print_message("%s: %.1f bytes an entry\n", rf_list_kind_name(cases[k].kind), (double)rf_list_bytes(l) / RF_LIST_ROOM);
		assert_true(rf_list_bytes(l) <= cases[k].bytes * RF_LIST_ROOM);
		for (uint32_t i = 0; i < RF_LIST_ROOM; i++)
			assert_true(rf_list_remove(l, nth(cases[k].kind, i, text)));
		assert_int_equal(rf_list_count(l), 0);
		assert_true(rf_list_bytes(l) < 2 << 20); /* given back */
		rf_list_put(l);
	}
}

enum { STAY = 3000 };

struct looking {
	struct rf_list *l;
	_Atomic bool stop;
	uint64_t looks, lost, wrong;
};

/* What stays is always found, what never was is not, whatever comes and goes beside it. */
static void *look(void *arg)
{
	struct looking *k = arg;
	char text[80];
	rcu_register_thread();
	while (!atomic_load(&k->stop) || k->looks < 10 * STAY) {
		k->lost += !rf_list_has_str(k->l, nth(RF_LIST_HOSTNAME, (uint32_t)(k->looks % STAY), text));
		k->wrong += rf_list_has_str(k->l, nth(RF_LIST_HOSTNAME, (uint32_t)(5000000 + k->looks), text));
		if (++k->looks % 256 == 0)
			rcu_quiescent_state();
	}
	rcu_unregister_thread();
	return NULL;
}

static void others_look_while_it_changes(void **state)
{
	(void)state;
	struct looking k = { .l = rf_list_new(RF_LIST_HOSTNAME) };
	pthread_t t;
	char text[80];
	for (uint32_t i = 0; i < STAY; i++)
		rf_list_insert(k.l, nth(RF_LIST_HOSTNAME, i, text));
	rf_list_share(k.l);
	assert_int_equal(pthread_create(&t, NULL, look, &k), 0);
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = STAY; i < 40000; i++)
			assert_int_equal(rf_list_insert(k.l, nth(RF_LIST_HOSTNAME, i, text)), RF_OK);
		for (uint32_t i = STAY; i < 40000; i++)
			assert_true(rf_list_remove(k.l, nth(RF_LIST_HOSTNAME, i, text)));
	}
	atomic_store(&k.stop, true);
	pthread_join(t, NULL);
	rcu_barrier();
	assert_int_equal(k.lost, 0);
	assert_int_equal(k.wrong, 0);
	rf_list_put(k.l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefixes_are_found_as_by_a_scan), cmocka_unit_test(mapped_addresses_are_ipv4),
		cmocka_unit_test(host_names_and_what_is_below), cmocka_unit_test(strings_digests_and_numbers),
		cmocka_unit_test(one_writing_of_each_entry), cmocka_unit_test(a_million_entries),
		cmocka_unit_test(others_look_while_it_changes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
