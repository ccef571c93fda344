/* Access rules of zones, from the state to the policy of each zone. */
#include "ctl/test.h"
#include "ctl/build.h"
#include "policy/verdict.h"
#include "records/counters.h"

static char first[33], second[33];

static int setup(void **state)
{
	(void)state;
	world_open("");
	first[0] = second[0] = '\0';
	world_put(RF_KIND_ZONE, w.ctl.account_id, "first.test", json_pack("{s:s}", "name", "first.test"), first);
	world_put(RF_KIND_ZONE, w.ctl.account_id, "second.test", json_pack("{s:s}", "name", "second.test"), second);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close();
	return 0;
}

static void put(const char *zone, const char *name, const char *mode, char id[33])
{
	id[0] = '\0';
	world_put(RF_KIND_ZONE_ACCESS_RULE, zone, name, json_pack("{s:s}", "mode", mode), id);
}

static const struct rf_policy *policy(const char *zone)
{
	const struct rf_snap *s = rf_snap_now();
	for (size_t i = 0; i < s->site->zone_count; i++)
		if (strcmp(s->site->zones[i]->id, zone) == 0)
			return &s->zone_policy[i];
	fail_msg("there is no zone %s", zone);
	return NULL;
}

static bool from(void *ctx, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	(void)a;
	struct rf_ip ip;
	if (f != RF_F_IP_SRC || !rf_ip_parse(rf_str_z(ctx), &ip))
		return false;
	*ret = rf_val_ip(ip);
	return true;
}

static enum rf_outcome judged(const struct rf_phase_set *set, const char *address)
{
	static const struct rf_facts_ops ops = { from, NULL };
	static struct rf_facts facts;
	static struct rf_verdict v;
	struct rf_arena a;
	rf_arena_init(&a, 1 << 20);
	rf_facts_init(&facts, &ops, (void *)(uintptr_t)address, &a, NULL, 0);
	rf_verdict_init(&v);
	rf_phase_eval(set, &facts, &v, NULL);
	rf_arena_fini(&a);
	return v.outcome;
}

static void the_longest_prefix_counts(void **state)
{
	(void)state;
	char id[33];
	put(first, "192.0.2.0/24", "block", id);
	put(first, "192.0.2.16/28", "whitelist", id);
	put(first, "192.0.2.17", "challenge", id);
	put(first, "2001:db8::/32", "block", id);
	const struct rf_policy *p = policy(first);
	assert_int_equal(judged(p->bars, "192.0.2.1"), RF_BLOCK);
	assert_int_equal(judged(p->bars, "192.0.2.18"), RF_ALLOW);
	assert_int_equal(judged(p->bars, "192.0.2.17"), RF_BLOCK);
	assert_int_equal(judged(p->bars, "2001:db8::1"), RF_BLOCK);
	assert_int_equal(judged(p->bars, "198.51.100.1"), RF_PASS);
	assert_int_equal(judged(p->phase[RF_PHASE_HTTP_REQUEST], "192.0.2.1"), RF_BLOCK);
	assert_int_equal(judged(p->phase[RF_PHASE_HTTP_REQUEST], "192.0.2.18"), RF_PASS);
	assert_null(policy(second)->bars);
	assert_null(policy(second)->phase[RF_PHASE_HTTP_REQUEST]);
}

static void what_did_not_change_is_kept(void **state)
{
	(void)state;
	char id[33], other[33];
	put(first, "192.0.2.1", "block", id);
	put(second, "192.0.2.1", "block", other);
	const struct rf_parts *p = &w.ctl.priv->parts;
	assert_int_equal(p->bar_sets, 2 * RF_BAR_RULES);
	const struct rf_ruleset *of_second = policy(second)->bars->sets[0];
	const struct rf_rule *rule = p->bar_rules[0].rules[0];
	put(first, "192.0.2.2", "block", other);
	assert_ptr_equal(policy(second)->bars->sets[0], of_second);
	assert_ptr_equal(p->bar_rules[0].rules[0], rule);
	assert_int_equal(judged(policy(first)->bars, "192.0.2.2"), RF_BLOCK);
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	GOOD(rf_store_del(w.ctl.store, RF_KIND_ZONE_ACCESS_RULE, id, 0, &w.e));
	GOOD(rf_ctl_touch(&w.ctl, RF_KIND_ZONE_ACCESS_RULE, id, &w.e));
	GOOD(rf_ctl_commit(&w.ctl, false, &w.e));
	assert_int_equal(judged(policy(first)->bars, "192.0.2.1"), RF_PASS);
	assert_int_equal(judged(policy(first)->bars, "192.0.2.2"), RF_BLOCK);
}

/* One that is edited, and touched twice, among others: only it is compiled, and only its rulesets are others. */
static void one_of_many_is_edited(void **state)
{
	(void)state;
	char id[33], name[32];
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof name, "192.0.2.%d", i);
		put(i % 2 ? first : second, name, "block", id);
	}
	const struct rf_ruleset *of_second = policy(second)->bars->sets[0];
	uint64_t compiled = rf_counter_sum(RF_C_RULES_COMPILED);
	RF_OBJECT_AUTO o = { 0 };
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	GOOD(rf_store_get(w.ctl.store, RF_KIND_ZONE_ACCESS_RULE, id, &o, &w.e));
	json_object_set_new(o.doc, "mode", json_string("whitelist"));
	GOOD(rf_store_put(w.ctl.store, RF_KIND_ZONE_ACCESS_RULE, &o, 0, &w.e));
	GOOD(rf_ctl_touch(&w.ctl, RF_KIND_ZONE_ACCESS_RULE, id, &w.e));
	GOOD(rf_ctl_touch(&w.ctl, RF_KIND_ZONE_ACCESS_RULE, id, &w.e));
	GOOD(rf_ctl_commit(&w.ctl, false, &w.e));
	assert_int_equal(rf_counter_sum(RF_C_RULES_COMPILED) - compiled, RF_BAR_RULES);
	assert_int_equal(w.ctl.priv->parts.bar_count, 40);
	assert_ptr_equal(policy(second)->bars->sets[0], of_second);
	assert_int_equal(judged(policy(first)->bars, "192.0.2.39"), RF_ALLOW);
	assert_int_equal(judged(policy(first)->bars, "192.0.2.37"), RF_BLOCK);
	assert_int_equal(judged(policy(second)->bars, "192.0.2.38"), RF_BLOCK);
	GOOD(rf_ctl_rebuild(&w.ctl, RF_PART_ALL, &w.e)); /* all of them, from their rows */
	assert_int_equal(rf_counter_sum(RF_C_RULES_COMPILED) - compiled, RF_BAR_RULES);
	assert_int_equal(judged(policy(first)->bars, "192.0.2.39"), RF_ALLOW);
}

static void a_zone_that_goes_takes_them_along(void **state)
{
	(void)state;
	char id[33];
	put(first, "192.0.2.1", "block", id);
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	GOOD(rf_store_del(w.ctl.store, RF_KIND_ZONE, first, 0, &w.e));
	GOOD(rf_ctl_touch(&w.ctl, RF_KIND_ZONE, first, &w.e));
	GOOD(rf_ctl_commit(&w.ctl, false, &w.e));
	assert_int_equal(w.ctl.priv->parts.bar_sets + w.ctl.priv->parts.bar_count, 0);
}

static void what_needs_a_database_is_refused_without_one(void **state)
{
	(void)state;
	static const char *const names[] = { "DE", "AS64496" };
	for (size_t i = 0; i < 2; i++) {
		RF_OBJECT_AUTO o = { .doc = json_pack("{s:s}", "mode", "block") };
		memcpy(o.parent, first, sizeof o.parent);
		snprintf(o.name, sizeof o.name, "%s", names[i]);
		GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
		GOOD(rf_store_put(w.ctl.store, RF_KIND_ZONE_ACCESS_RULE, &o, 0, &w.e));
		GOOD(rf_ctl_touch(&w.ctl, RF_KIND_ZONE_ACCESS_RULE, o.id, &w.e));
		assert_true(rf_ctl_commit(&w.ctl, false, &w.e) != RF_OK);
		assert_string_equal(w.e.pointer, "/configuration/value");
		assert_non_null(strstr(w.e.text, "database"));
		assert_null(policy(first)->bars);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(the_longest_prefix_counts), TEST(what_did_not_change_is_kept),
					    TEST(one_of_many_is_edited), TEST(a_zone_that_goes_takes_them_along), TEST(what_needs_a_database_is_refused_without_one) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
