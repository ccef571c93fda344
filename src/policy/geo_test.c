#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "policy/geo.h"
#include "wire/mmdb.h"

static struct rf_arena arena;

static int start(void **state)
{
	(void)state;
	rf_arena_init(&arena, 1 << 20);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	rf_arena_fini(&arena);
	return 0;
}

/* A file that tests/mmdb.py has made. */
static struct rf_str file(const char *name)
{
	char path[128];
	snprintf(path, sizeof path, "tests/fuzz/corpus/mmdb/%s", name);
	FILE *f = fopen(path, "rb");
	if (!f)
		fail_msg("%s is not there", path);
	char *p = malloc(1 << 20);
	size_t n = fread(p, 1, 1 << 20, f);
	fclose(f);
	return (struct rf_str){ p, n };
}

static struct rf_geo *geo(const char *place, const char *asn)
{
	struct rf_str bytes[RF_GEO_FILES] = { { 0 } };
	struct rf_geo *g = NULL;
	struct rf_err e = { 0 };
	if (place)
		bytes[RF_GEO_PLACE] = file(place);
	if (asn)
		bytes[RF_GEO_ASN] = file(asn);
	if (rf_geo_make(bytes, &g, &e))
		fail_msg("%s", e.text);
	return g;
}

static bool ask(const struct rf_geo *g, const char *ip, enum rf_field f, struct rf_val *ret)
{
	struct rf_ip a;
	assert_true(rf_ip_parse(rf_str_z(ip), &a));
	return rf_geo_fact(g, &a, f, &arena, ret);
}

static void is(const struct rf_geo *g, const char *ip, enum rf_field f, const char *want)
{
	struct rf_val v = { 0 };
	bool there = ask(g, ip, f, &v);
	if (!want && there)
		fail_msg("%s of %s is known", rf_fields[f].name, ip);
	if (want && (!there || !rf_str_eq(v.s, rf_str_z(want))))
		fail_msg("%s of %s is `%.*s`, not `%s`", rf_fields[f].name, ip, RF_ARG(v.s), want);
}

static void a_city(void **state)
{
	static const char *const files[] = { "city", "city_24", "city_32" };
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct rf_geo *g = geo(files[i], "asn");
		struct rf_val v;
		is(g, "192.0.2.77", RF_F_IP_COUNTRY, "DE");
		is(g, "192.0.2.77", RF_F_IP_DST_COUNTRY, "DE");
		is(g, "192.0.2.77", RF_F_IP_CONTINENT, "EU");
		is(g, "192.0.2.77", RF_F_IP_CITY, "Berlin");
		is(g, "192.0.2.77", RF_F_IP_LAT, "52.52");
		is(g, "192.0.2.77", RF_F_IP_LON, "13.405");
		is(g, "192.0.2.77", RF_F_IP_METRO, "635");
		is(g, "192.0.2.77", RF_F_IP_POSTAL, "10115");
		is(g, "192.0.2.77", RF_F_IP_TIMEZONE, "Europe/Berlin");
		is(g, "192.0.2.77", RF_F_IP_REGION, "Land Berlin");
		is(g, "192.0.2.77", RF_F_IP_REGION_CODE, "BE");
		is(g, "192.0.2.77", RF_F_IP_SUB1, "DE-BE");
		is(g, "192.0.2.77", RF_F_IP_SUB2, "DE-MI");
		is(g, "198.51.100.7", RF_F_IP_COUNTRY, "FR");
		is(g, "198.51.100.6", RF_F_IP_COUNTRY, NULL);
		is(g, "2001:db8:1::1", RF_F_IP_COUNTRY, "CH");
		is(g, "2001:db8:1::1", RF_F_IP_LAT, "46.5");
		is(g, "2001:db8:1::1", RF_F_IP_LON, "-7.25");
		is(g, "2001:db9::1", RF_F_IP_COUNTRY, NULL);
		assert_true(ask(g, "192.0.2.77", RF_F_IP_EU, &v) && v.b);
		assert_true(ask(g, "2001:db8::1", RF_F_IP_EU, &v) && !v.b);
		assert_true(ask(g, "192.0.2.77", RF_F_IP_ASN, &v) && v.i == 64500);
		assert_true(ask(g, "2001:db8::1", RF_F_IP_ASN, &v) && v.i == 4200000000);
		assert_false(ask(g, "198.51.100.7", RF_F_IP_ASN, &v));
		assert_false(ask(g, "192.0.2.77", RF_F_HTTP_HOST, &v));
		assert_int_equal(rf_geo_have(g), 1u << RF_NEED_COUNTRY | 1u << RF_NEED_CITY | 1u << RF_NEED_ASN);
		rf_geo_put(g);
	}
}

static void a_country(void **state)
{
	(void)state;
	struct rf_geo *g = geo("country", NULL);
	struct rf_val v;
	is(g, "192.0.2.1", RF_F_IP_COUNTRY, "DE");
	is(g, "2001:db8::1", RF_F_IP_COUNTRY, NULL); /* its tree is of IPv4 */
	assert_false(ask(g, "192.0.2.1", RF_F_IP_ASN, &v));
	assert_int_equal(rf_geo_have(g), 1u << RF_NEED_COUNTRY);
	rf_geo_put(g);
	assert_int_equal(rf_geo_have(NULL), 0);
}

static void wrong_files_are_refused(void **state)
{
	(void)state;
	static const struct { const char *file; enum rf_geo_file as; const char *words; } rows[] = {
		{ "marker_alone", RF_GEO_PLACE, "metadata are missing" }, { "no_metadata", RF_GEO_PLACE, "metadata are missing" },
		{ "cut_tree", RF_GEO_PLACE, "cut off" }, { "many_nodes", RF_GEO_PLACE, "cut off" },
		{ "other_format", RF_GEO_PLACE, "format other than 2" }, { "record_size_7", RF_GEO_PLACE, "make no sense" },
		{ "no_nodes", RF_GEO_PLACE, "make no sense" }, { "ip_version_9", RF_GEO_PLACE, "make no sense" },
		{ "no_type", RF_GEO_PLACE, "what it is a database of" }, { "asn", RF_GEO_PLACE, "countries or cities" },
		{ "city", RF_GEO_ASN, "autonomous systems" } };
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct rf_str bytes[RF_GEO_FILES] = { { 0 } };
		struct rf_geo *g = NULL;
		struct rf_err e = { 0 };
		bytes[rows[i].as] = file(rows[i].file);
		assert_int_not_equal(rf_geo_make(bytes, &g, &e), RF_OK);
		assert_null(g);
		if (!strstr(e.text, rows[i].words))
			fail_msg("%s is refused with `%s`", rows[i].file, e.text);
	}
}

static void broken_data_are_nothing(void **state)
{
	(void)state;
	static const char *const files[] = { "pointer_to_itself", "pointer_past_the_end", "pointer_in_key", "wide", "wide_array", "deep",
		"extended_type_200", "array_country", "scalar", "garbled_data" };
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		struct rf_str bytes = file(files[i]);
		struct rf_mmdb m;
		struct rf_err e = { 0 };
		static const char *const path[] = { "country", "iso_code", NULL };
		struct rf_mmdb_value v;
		struct rf_ip ip;
		size_t at;
		assert_true(rf_ip_parse(RF_STR("192.0.2.1"), &ip));
		if (rf_mmdb_open(bytes, &m, &e) == RF_OK && rf_mmdb_find(&m, &ip, &at) && rf_mmdb_get(&m, at, path, &v) &&
		    i < sizeof files / sizeof *files - 1)
			fail_msg("%s has a country", files[i]);
		free((char *)(uintptr_t)bytes.p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_city, start, stop), cmocka_unit_test_setup_teardown(a_country, start, stop),
		cmocka_unit_test(wrong_files_are_refused), cmocka_unit_test(broken_data_are_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
