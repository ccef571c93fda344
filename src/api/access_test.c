/* Access rules through the API over a real store and shield, where tables are full: what the answer says, and that all stays as it was. */
#include "api/test_ask.h"
#include "bpf/filter.h"

#define RULES "firewall/access_rules/rules"

static int block(const char *target, const char *value)
{
	char text[256];
	snprintf(text, sizeof text, "{\"mode\":\"block\",\"configuration\":{\"target\":\"%s\",\"value\":\"%s\"}}", target, value);
	return ask(RF_HTTP_POST, RULES, text);
}

static const char *message(void)
{
	const char *z = json_string_value(json_object_get(json_array_get(json_object_get(body, "errors"), 0), "message"));
	return z ? z : "";
}

static json_int_t count_of(const char *path)
{
	assert_int_equal(ask(RF_HTTP_GET, path, ""), 200);
	return json_integer_value(json_object_get(json_object_get(body, "result_info"), "total_count"));
}

static enum rf_shield_mode judge(const char *z)
{
	struct rf_ip ip;
	assert_true(rf_ip_parse(rf_str_z(z), &ip));
	return rf_shield_judge(w.ctl.shield, &ip);
}

static int setup(void **state)
{
	(void)state;
	world_open("");
	struct rf_api_conf conf = { .store = w.ctl.store, .clock = w.ctl.clock, .ca = w.ctl.ca, .version = "test", .state = rf_api_state_of(&w.ctl) };
	assert_non_null(api = rf_api_new(&conf, &w.e));
	assert_int_equal(block("ip", "192.0.2.1"), 200); /* what is to stay */
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	json_decref(body);
	body = NULL;
	rf_api_free(api);
	world_close();
	return 0;
}

static struct rf_prefix one_of_many(uint32_t i)
{
	uint64_t z = (i + 1) * 0x9e3779b97f4a7c15ull;
	struct rf_ip ip = { .family = 6, .b = { 0x20 } };
	for (int k = 0; k < 7; k++)
		ip.b[1 + k] = (uint8_t)(z >> (8 * k));
	return rf_ip_mask(&ip, 64);
}

static void old_state_stands(void)
{
	assert_int_equal(judge("192.0.2.1"), RF_SHIELD_DENY);
	assert_int_equal(judge("192.0.2.2"), RF_SHIELD_NONE);
	assert_int_equal(count_of(RULES), 1);
}

static void a_full_table_refuses_a_rule_and_nothing_changes(void **state)
{
	char value[64];
	int i = 0, no_room = 0;
	uint32_t n = 0;
	struct rf_prefix at;
	(void)state;
	for (; no_room < 1000; n++) {
		at = one_of_many(n);
		no_room += rf_shield_set(w.ctl.shield, &at, RF_SHIELD_DENY, &w.e) == RF_E_FULL;
	}
	assert_true(n > 500000);
	do { /* one for which there is no way to make room */
		snprintf(value, sizeof value, "198.51.%d.%d", 100 + i / 250, 1 + i % 250);
		if (block("ip", value) == 200)
			assert_int_equal(judge(value), RF_SHIELD_DENY);
	} while (answered == 200 && i++ < 2000);
	assert_int_equal(answered, 503);
	assert_non_null(strstr(message(), "does not fit into the kernel's tables"));
	assert_int_equal(judge(value), RF_SHIELD_NONE);
	assert_int_equal(judge("192.0.2.1"), RF_SHIELD_DENY);
	assert_int_equal(count_of(RULES), 1 + i);
	for (uint32_t k = 0; k < n; k++) {
		at = one_of_many(k);
		rf_shield_clear(w.ctl.shield, &at);
	}
	assert_int_equal(block("ip", value), 200);
	assert_int_equal(judge(value), RF_SHIELD_DENY);
}

static void too_many_lengths_of_ipv6_refuse_a_rule_and_nothing_changes(void **state)
{
	struct rf_ip ip = { .family = 6, .b = { 0x20 } };
	(void)state;
	for (unsigned i = 1; i <= RF_SIX_LENGTHS; i++) {
		struct rf_prefix at = rf_ip_mask(&ip, 64 + i);
		GOOD(rf_shield_set(w.ctl.shield, &at, RF_SHIELD_DENY, &w.e));
	}
	assert_int_equal(block("ip_range", "2001:db8::/48"), 503);
	assert_non_null(strstr(message(), "prefixes of 32 lengths of IPv6"));
	assert_int_equal(judge("2001:db8::1"), RF_SHIELD_NONE);
	old_state_stands();
}

static char extra[33]; /* one of those that fill */

static void fill(enum rf_kind kind, const char *parent, size_t count)
{
	GOOD(rf_store_begin(w.ctl.store, "test", &w.e));
	for (size_t i = 0; i < count; i++) {
		RF_OBJECT_AUTO o = { .doc = json_pack("{s:s, s:{s:s, s:s}}", "mode", "block", "configuration", "target", "ip", "value", "x") };
		snprintf(o.parent, sizeof o.parent, "%s", parent);
		snprintf(o.name, sizeof o.name, "10.%zu.%zu.%zu/32", i >> 16, i >> 8 & 255, i & 255);
		GOOD(rf_store_put(w.ctl.store, kind, &o, 0, &w.e));
		snprintf(extra, sizeof extra, "%s", o.id);
	}
	GOOD(rf_store_commit(w.ctl.store, &w.e));
}

static void so_many_rules_and_no_more(void **state)
{
	char path[128];
	(void)state;
	fill(RF_KIND_ACCESS_RULE, w.ctl.account_id, RF_SHIELD_RULES_MAX - 1);
	assert_int_equal(block("ip", "192.0.2.2"), 503);
	assert_string_equal(message(), "there are 200000 access rules, and no more are taken");
	assert_int_equal(judge("192.0.2.1"), RF_SHIELD_DENY);
	assert_int_equal(judge("192.0.2.2"), RF_SHIELD_NONE);
	snprintf(path, sizeof path, RULES "/%s", extra);
	assert_int_equal(ask(RF_HTTP_DELETE, path, ""), 200);
	assert_int_equal(block("ip", "192.0.2.2"), 200);
	assert_int_equal(judge("192.0.2.2"), RF_SHIELD_DENY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_full_table_refuses_a_rule_and_nothing_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(too_many_lengths_of_ipv6_refuse_a_rule_and_nothing_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(so_many_rules_and_no_more, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
