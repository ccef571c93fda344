#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "policy/field.h"
#include "policy/explain.h"
#include "policy/lists.h"
#include "policy/ruletest.h"

static void versions_compare_by_numbers(void **state)
{
	(void)state;
	static const char *const rising[] = { "", "0.1", "1", "1.0.1", "1.2-alpha", "1.2-rc1", "1.2-rc2", "1.2-rc10", "1.2",
		"1.2b", "1.9", "1.10", "2.4.1", "2.4.10", "10" };
	for (size_t i = 0; i < sizeof rising / sizeof *rising; i++)
		for (size_t j = 0; j < sizeof rising / sizeof *rising; j++) {
			int want = i < j ? -1 : i > j;
			assert_int_equal(rf_version_cmp(rf_str_z(rising[i]), rf_str_z(rising[j])), want);
		}
	assert_int_equal(rf_version_cmp(RF_STR("v2.4"), RF_STR("2.4.0")), 0);
	assert_int_equal(rf_version_cmp(RF_STR("2.04.1"), RF_STR("2.4.1+build7")), 0);
	assert_int_equal(rf_version_cmp(RF_STR("99999999999999999999999"), RF_STR("100000000000000000000000")), -1);
}

static void every_name_is_found(void **state)
{
	(void)state;
	bool old;
	for (int i = 0; i < RF_FIELD_COUNT; i++) {
		assert_int_equal(rf_field_find(rf_str_z(rf_fields[i].name), &old), i);
		assert_false(old);
		assert_true(rf_fields[i].planes != RF_ON_0 && rf_fields[i].doc[0]);
	}
	assert_int_equal(rf_field_find(RF_STR("ip.geoip.country"), &old), RF_F_IP_COUNTRY);
	assert_true(old);
	assert_int_equal(rf_field_find(RF_STR("tls.client.cert_verified"), &old), RF_F_CERT_VERIFIED);
	assert_false(old);
	assert_int_equal(rf_field_find(RF_STR("http.hots"), &old), -1);
	assert_string_equal(rf_field_near(RF_STR("http.hots")), "http.host");
}

static void phases_have_documented_names(void **state)
{
	(void)state;
	enum rf_phase p = RF_PHASE_COUNT;
	struct rf_err e;
	assert_int_equal(rf_phase_find(RF_STR("http_request_firewall_custom"), &p, &e), RF_OK);
	assert_int_equal(p, RF_PHASE_HTTP_REQUEST);
	assert_int_equal(rf_phase_find(RF_STR("http_request_late_transform"), &p, &e), RF_OK);
	assert_int_equal(p, RF_PHASE_HTTP_LATE);
	assert_int_equal(rf_phase_find(RF_STR("magic_transit"), &p, &e), RF_OK);
	assert_int_equal(p, RF_PHASE_PACKET);
	assert_int_equal(rf_phase_find(RF_STR("http_requst"), &p, &e), RF_E_UNKNOWN);
	assert_non_null(strstr(e.text, "did you mean `http_request`"));
	assert_int_equal(p, RF_PHASE_PACKET);
}

static unsigned asked;

static bool get(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_val *ret)
{
	(void)ctx, (void)arena;
	asked++;
	if (f == RF_F_HTTP_HOST)
		*ret = rf_val_str(RF_STR("a.example"));
	return f == RF_F_HTTP_HOST;
}

static void a_fact_is_asked_once(void **state)
{
	(void)state;
	static const struct rf_facts_ops ops = { .get = get };
	struct rf_facts f;
	rf_facts_init(&f, &ops, NULL, NULL, NULL, 1700000000123000000);
	asked = 0;
	assert_true(rf_str_eq(rf_fact(&f, RF_F_HTTP_HOST)->s, RF_STR("a.example")));
	rf_fact(&f, RF_F_HTTP_HOST);
	assert_int_equal(asked, 1);
	assert_int_equal(rf_fact(&f, RF_F_HTTP_PATH)->tag, RF_V_STR);
	assert_int_equal(rf_fact(&f, RF_F_DEVICE_ID)->tag, RF_V_MISSING);
	assert_int_equal(rf_fact(&f, RF_F_HTTP_MSEC)->i, 123);
	assert_int_equal(rf_fact_key(&f, RF_F_HTTP_HEADERS, RF_STR("accept")).tag, RF_V_MISSING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_compare_by_numbers),
		cmocka_unit_test(every_name_is_found),
		cmocka_unit_test(phases_have_documented_names),
		cmocka_unit_test(a_fact_is_asked_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
