#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/cur.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/heap.h"
#include "base/ip.h"
#include "base/jw.h"
#include "base/list.h"
#include "base/map.h"
#include "base/near.h"
#include "base/room.h"

static void assert_str(struct rf_str got, const char *want)
{
	assert_int_equal(got.n, strlen(want));
	assert_memory_equal(got.p, want, got.n);
}

static void arena_holds_its_bound(void **state)
{
	(void)state;
	struct rf_arena a;
	rf_arena_init(&a, 10000);
	assert_non_null(rf_arena_alloc(&a, 8000));
	assert_null(rf_arena_alloc(&a, 8000));
	assert_null(rf_arena_alloc(&a, SIZE_MAX));
	assert_null(rf_arena_array(&a, SIZE_MAX / 2, 4));
	assert_str(rf_arena_printf(&a, "%d-%s", 7, "x"), "7-x");
	rf_arena_reset(&a);
	assert_non_null(rf_arena_alloc(&a, 8000));
	rf_arena_fini(&a);
}

static void cursor_error_sticks(void **state)
{
	(void)state;
	struct rf_cur c = rf_cur_over("\x01\x02\x03\x04\x05", 5);
	assert_int_equal(rf_cur_u16(&c), 0x0102);
	struct rf_cur sub = rf_cur_sub(&c, 2);
	assert_int_equal(rf_cur_u24(&sub), 0);
	assert_false(rf_cur_ok(&sub));
	assert_int_equal(rf_cur_u8(&c), 5);
	assert_true(rf_cur_ok(&c));
	assert_int_equal(rf_cur_u8(&c), 0);
	assert_false(rf_cur_ok(&c));
	assert_int_equal(rf_cur_left(&c), 0);
}

static void buffer_refuses_past_its_bound(void **state)
{
	(void)state;
	RF_BUF_AUTO b = { .bound = 10 };
	rf_buf_add(&b, RF_STR("12345678"));
	rf_buf_add(&b, RF_STR("999"));
	assert_true(b.bad);
	assert_str(rf_buf_str(&b), "12345678");
	rf_buf_clear(&b);
	rf_buf_printf(&b, "%s", "abc");
	rf_buf_eat(&b, 1);
	assert_str(rf_buf_str(&b), "bc");
}

static void strings(void **state)
{
	(void)state;
	uint64_t v = 42;
	assert_true(rf_str_ieq(RF_STR("HoSt"), RF_STR("host")));
	assert_false(rf_str_u64(RF_STR("18446744073709551616"), &v));
	assert_int_equal(v, 42);
	assert_true(rf_str_u64(RF_STR("18446744073709551615"), &v));
	assert_false(rf_str_u64(RF_STR("+1"), &v));
	assert_true(rf_str_hex64(RF_STR("fF"), &v));
	assert_int_equal(v, 255);
	struct rf_str rest = RF_STR("a,,b"), part;
	assert_true(rf_str_split(&rest, ',', &part) && part.n == 1);
	assert_true(rf_str_split(&rest, ',', &part) && part.n == 0);
	assert_true(rf_str_split(&rest, ',', &part) && part.p[0] == 'b');
	assert_false(rf_str_split(&rest, ',', &part));
	assert_str(rf_str_trim(RF_STR(" \t x y\t")), "x y");
	assert_int_equal(rf_str_search(RF_STR("hello"), RF_STR("lo")), 3);
}

static void room_grows_by_doubling(void **state)
{
	struct { uint64_t a; char b; } *v = NULL;
	size_t cap = 0, moves = 0;
	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		size_t before = cap;
		assert_true(RF_ROOM(v, cap, i));
		assert_true(cap > i);
		moves += cap != before;
		v[i].a = i;
	}
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(v[i].a, i);
	assert_int_equal(moves, 7); /* 16 .. 1024 */
	assert_true(rf_room(&v, &cap, 5000, sizeof *v));
	assert_int_equal(cap, 8192);
	void *was = v;
	assert_false(rf_room(&v, &cap, SIZE_MAX / 2, sizeof *v)); /* more bytes than a size_t counts */
	assert_false(rf_room(&v, &cap, SIZE_MAX, 1));
	assert_ptr_equal(v, was);
	assert_int_equal(cap, 8192);
	free(v);
}

static void hex_of_all_bytes_and_lengths(void **state)
{
	uint8_t from[256];
	char to[513], one[3];
	(void)state;
	for (unsigned i = 0; i < sizeof from; i++)
		from[i] = (uint8_t)(i * 37);
	for (size_t n = 0; n <= sizeof from; n++) {
		rf_hex(from, n, to);
		assert_int_equal(strlen(to), 2 * n);
		for (size_t i = 0; i < n; i++) {
			snprintf(one, sizeof one, "%02x", from[i]);
			assert_memory_equal(to + 2 * i, one, 2);
		}
	}
	rf_hex_upper((uint8_t[]){ 0x0a, 0xbc, 0x9f, 0xe0, 0xfd }, 5, to);
	assert_string_equal(to, "0ABC9FE0FD");
}

static void coding(void **state)
{
	(void)state;
	static const struct { const char *plain, *coded; } table[] = { /* RFC 4648 10 */
		{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" } };
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		char out[16];
		RF_BUF_AUTO b = { 0 };
		rf_b64_add(&b, rf_str_z(table[i].plain));
		assert_str(rf_buf_str(&b), table[i].coded);
		ssize_t n = rf_unb64(rf_str_z(table[i].coded), out, sizeof out);
		assert_int_equal(n, strlen(table[i].plain));
		assert_memory_equal(out, table[i].plain, (size_t)n);
	}
	char to[8];
	assert_int_equal(rf_unb64(RF_STR("Zh=="), to, 8), -1); /* not canonical */
	assert_int_equal(rf_unb64(RF_STR("Z=g="), to, 8), -1);
	assert_int_equal(rf_unhex(RF_STR("0aFf"), to, 8), 2);
	assert_int_equal(rf_unhex(RF_STR("0g"), to, 8), -1);
	for (unsigned at = 0; at < 22; at++)
		for (unsigned c = 0; c < 256; c++) { /* each byte at each place of what is read by eights, and behind it */
			char digits[23] = "0123456789abcdefABCDEF", want[12] = "\x01\x23\x45\x67\x89\xab\xcd\xef\xab\xcd\xef", got[12] = "";
			const char *all = "0123456789abcdef", *low = c ? strchr(all, c >= 'A' && c <= 'F' ? (int)c | 0x20 : (int)c) : NULL;
			int value = low ? (int)(low - all) : 0, byte = want[at / 2] & 0xff;
			digits[at] = (char)c;
			want[at / 2] = (char)(at % 2 ? (byte & 0xf0) | value : value << 4 | (byte & 15));
			assert_int_equal(rf_unhex((struct rf_str){ digits, 22 }, got, 12), low ? 11 : -1);
			if (low)
				assert_memory_equal(got, want, 11);
		}
	char text[16];
	size_t n = rf_unpercent(RF_STR("%2Fa%zz%4"), text);
	assert_str((struct rf_str){ text, n }, "/a%zz%4");
}

static void map_finds_what_it_holds(void **state)
{
	(void)state;
	enum { N = 1000 };
	static struct { struct rf_map_node node; char key[8]; } item[N];
	struct rf_map m = { 0 };
	for (int i = 0; i < N; i++) {
		snprintf(item[i].key, sizeof item[i].key, "%d", i);
		assert_null(rf_map_add(&m, &item[i].node, rf_str_z(item[i].key)));
	}
	assert_ptr_equal(rf_map_find(&m, RF_STR("777")), &item[777].node);
	rf_map_del(&m, &item[777].node);
	assert_null(rf_map_find(&m, RF_STR("777")));
	size_t seen = 0;
	for (struct rf_map_node *n = rf_map_next(&m, NULL); n; n = rf_map_next(&m, n))
		seen++;
	assert_int_equal(seen, N - 1);
	rf_map_fini(&m);
}

static void heap_gives_the_least(void **state)
{
	(void)state;
	enum { N = 500 };
	static struct rf_heap_node node[N];
	struct rf_heap h = { 0 };
	for (size_t i = 0; i < N; i++)
		assert_true(rf_heap_add(&h, &node[i], i * 7919 % 1009));
	for (size_t i = 0; i < N; i += 3)
		rf_heap_del(&h, &node[i]);
	rf_heap_move(&h, &node[1], 5000);
	rf_heap_move(&h, &node[2], 0);
	uint64_t last = 0;
	while (h.n) {
		struct rf_heap_node *least = rf_heap_min(&h);
		assert_true(least->key >= last);
		last = least->key;
		rf_heap_del(&h, least);
	}
	assert_int_equal(last, 5000);
	rf_heap_fini(&h);
}

static void hash_is_siphash(void **state)
{
	(void)state;
	uint8_t key[16], zero[16] = { 0 };
	char in[15];
	for (int i = 0; i < 16; i++)
		key[i] = (uint8_t)i;
	for (int i = 0; i < 15; i++)
		in[i] = (char)i;
	rf_hash_seed(key);
	assert_int_equal(rf_hash((struct rf_str){ in, 15 }), 0xa129ca6149be45e5u); /* the paper's vector */
	rf_hash_seed(zero);
}

static void json_is_always_valid(void **state)
{
	(void)state;
	RF_BUF_AUTO b = { 0 };
	struct rf_jw w = rf_jw_on(&b);
	rf_jw_open(&w, NULL, '{');
	rf_jw_str(&w, "a\"", RF_STR("x\n\x01\xff\xc3\xa9\xed\xa0\x80"));
	rf_jw_open(&w, "v", '[');
	rf_jw_u64(&w, NULL, UINT64_MAX);
	rf_jw_i64(&w, NULL, -5);
	rf_jw_close(&w, ']');
	rf_jw_bool(&w, "t", true);
	rf_jw_null(&w, "n");
	rf_jw_close(&w, '}');
	assert_str(rf_buf_str(&b), "{\"a\\\"\":\"x\\n\\u0001\\ufffd\xc3\xa9\\ufffd\\ufffd\\ufffd\","
		   "\"v\":[18446744073709551615,-5],\"t\":true,\"n\":null}");
}

static void near_names(void **state)
{
	(void)state;
	static const char *const names[] = { "http.host", "http.request.uri", "ip.src" };
	assert_string_equal(rf_near(RF_STR("http.hots"), names, 3), "http.host");
	assert_string_equal(rf_near(RF_STR("ip.scr"), names, 3), "ip.src");
	assert_null(rf_near(RF_STR("zzzzzz"), names, 3));
}

static void errors_say_where(void **state)
{
	(void)state;
	struct rf_err e;
	char text[256];
	assert_int_equal(rf_fail_at(&e, RF_E_SYNTAX, 3, 9, "unknown field `%s`", "x"), RF_E_SYNTAX);
	strcpy(e.file, "rules.txt");
	assert_string_equal(rf_err_str(&e, text, sizeof text), "rules.txt:3:9: unknown field `x`");
	assert_int_equal(rf_code_http(RF_E_STALE), 412);
	assert_string_equal(rf_code_name(-5), "INTERNAL");
}

static void times(void **state)
{
	(void)state;
	char to[RF_RFC3339_SIZE];
	int64_t s = 0;
	assert_string_equal(rf_rfc3339(1700000000123456789, 1, to), "2023-11-14T22:13:20.123456Z");
	assert_string_equal(rf_rfc3339(-1, 0, to), "1969-12-31T23:59:59Z");
	assert_int_equal(rf_rfc3339_parse("2023-11-14T22:13:20.5Z", &s), 0);
	assert_int_equal(s, 1700000000);
	assert_int_equal(rf_rfc3339_parse("2023-11-14", &s), -1);
}

static void addresses(void **state)
{
	(void)state;
	struct rf_ip ip, mapped;
	struct rf_prefix p;
	char text[RF_IP_TEXT];
	assert_true(rf_ip_parse(RF_STR("192.0.2.1"), &ip) && rf_ip_parse(RF_STR("::ffff:192.0.2.1"), &mapped));
	assert_true(rf_ip_eq(&ip, &mapped));
	assert_false(rf_ip_unspecified(&ip));
	assert_true(rf_ip_parse(RF_STR("::"), &mapped) && rf_ip_unspecified(&mapped));
	assert_true(rf_ip_parse(RF_STR("0.0.0.0"), &mapped) && rf_ip_unspecified(&mapped));
	static const struct { const char *text; bool one; } hosts[] = {
		{ "192.0.2.1", true }, { "127.0.0.1", true }, { "223.255.255.255", true }, { "224.0.0.0", false }, { "239.1.2.3", false },
		{ "240.0.0.1", true }, { "255.255.255.255", false }, { "0.0.0.0", false }, { "2001:db8::1", true }, { "::1", true },
		{ "fe80::1", true }, { "ff02::1", false }, { "::", false }, { "::ffff:224.0.0.1", false },
	};
	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
		assert_true(rf_ip_parse(rf_str_z(hosts[i].text), &mapped) && rf_ip_one_host(&mapped) == hosts[i].one);
	assert_false(rf_ip_parse(RF_STR("192.0.2.01x"), &ip));
	assert_true(rf_prefix_parse(RF_STR("192.0.2.0/30"), true, &p) && rf_prefix_has(&p, &ip));
	assert_false(rf_prefix_parse(RF_STR("192.0.2.1/30"), true, &p));
	assert_false(rf_prefix_parse(RF_STR("192.0.2.0/33"), true, &p));
	assert_true(rf_prefix_parse(RF_STR("::ffff:192.0.2.0/126"), true, &p) && rf_prefix_has(&p, &ip) && p.bits == 30);
	assert_false(rf_prefix_parse(RF_STR("::ffff:192.0.2.0/24"), false, &p)); /* would be most of IPv6 */
	assert_true(rf_prefix_parse(RF_STR("2001:db8:ffff::/33"), false, &p));
	assert_string_equal(rf_prefix_str(&p, text), "2001:db8:8000::/33");
	assert_false(rf_prefix_has(&p, &ip));
	static const char *const texts[] = { "0.0.0.0", "10.9.100.255", "255.255.255.255" };
	for (size_t i = 0; i < 3; i++) {
		assert_true(rf_ip_parse(rf_str_z(texts[i]), &ip));
		assert_string_equal(rf_ip_str(&ip, text), texts[i]);
	}
	assert_true(rf_prefix_parse(RF_STR("0.0.0.0/0"), true, &p) && rf_prefix_has(&p, &ip));
}

static void arena_rewinds(void **state)
{
	(void)state;
	struct rf_arena a;
	rf_arena_init(&a, 100000);
	for (int round = 0; round < 3; round++) {
		char *first = rf_arena_alloc(&a, 3000);
		struct rf_arena mark = a;
		char *second = rf_arena_alloc(&a, 3000), *large = rf_arena_alloc(&a, 20000);
		assert_true(first && second && large);
		assert_int_equal(first[2999] | second[0] | large[19999], 0); /* zeroed, also when used before */
		memset(first, 'x', 3000);
		memset(second, 'x', 3000);
		rf_arena_release(&a, &mark);
		assert_non_null(rf_arena_alloc(&a, 3000));
		assert_int_equal(first[0], 'x');
		rf_arena_rewind(&a);
		assert_int_equal(a.used, 0);
	}
	rf_arena_fini(&a);
}

static void addresses_as_text(void **state)
{
	(void)state;
	static const char *const same[] = { "0.0.0.0", "1.20.255.100", "10.0.0.1", "2001:db8::1", "255.255.255.255" };
	for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
		struct rf_ip ip;
		char text[RF_IP_TEXT];
		assert_true(rf_ip_parse(rf_str_z(same[i]), &ip));
		assert_string_equal(rf_ip_str(&ip, text), same[i]);
	}
}

static void lists_move_whole(void **state)
{
	(void)state;
	struct rf_node to, from, v[4] = { 0 };
	rf_list_init(&to);
	rf_list_init(&from);
	rf_list_move(&to, &from);
	assert_true(rf_list_empty(&to));
	for (size_t i = 0; i < 4; i++)
		rf_list_push(i < 2 ? &to : &from, &v[i]);
	rf_list_move(&to, &from);
	assert_true(rf_list_empty(&from));
	for (size_t i = 0; i < 4; i++) {
		assert_ptr_equal(rf_list_first(&to), &v[i]);
		rf_list_del(&v[i]);
	}
	assert_true(rf_list_empty(&to));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arena_holds_its_bound), cmocka_unit_test(cursor_error_sticks),
		cmocka_unit_test(buffer_refuses_past_its_bound), cmocka_unit_test(strings),
		cmocka_unit_test(lists_move_whole),
		cmocka_unit_test(hex_of_all_bytes_and_lengths), cmocka_unit_test(room_grows_by_doubling),
		cmocka_unit_test(coding), cmocka_unit_test(map_finds_what_it_holds),
		cmocka_unit_test(heap_gives_the_least), cmocka_unit_test(hash_is_siphash),
		cmocka_unit_test(json_is_always_valid), cmocka_unit_test(near_names),
		cmocka_unit_test(errors_say_where), cmocka_unit_test(times), cmocka_unit_test(addresses),
		cmocka_unit_test(arena_rewinds), cmocka_unit_test(addresses_as_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
