/* Access rules follow the state: with the commit, not with what a commit refuses. */
#include "ctl/test.h"
#include <signal.h>
#include <sys/resource.h>
#include "ctl/access.h"
#include "shield/shield.h"

static int setup(void **state)
{
	(void)state;
	world_open("");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close();
	return 0;
}

static enum rf_shield_mode judge(const char *z)
{
	struct rf_ip ip;
	assert_true(rf_ip_parse(rf_str_z(z), &ip));
	return rf_shield_judge(w.ctl.shield, &ip);
}

static json_t *rule(const char *mode)
{
	return json_pack("{s:s}", "mode", mode);
}

static void what_is_written_is_in_force_and_what_is_deleted_is_not(void **state)
{
	char wide[33] = "", narrow[33] = "";
	(void)state;
	world_put(RF_KIND_ACCESS_RULE, w.ctl.account_id, "192.0.2.0/24", rule("block"), wide);
	world_put(RF_KIND_ACCESS_RULE, w.ctl.account_id, "192.0.2.7/32", rule("whitelist"), narrow);
	assert_int_equal(judge("192.0.2.6"), RF_SHIELD_DENY);
	assert_int_equal(judge("192.0.2.7"), RF_SHIELD_ALLOW);
	world_put(RF_KIND_ACCESS_RULE, w.ctl.account_id, "192.0.2.7/32", rule("challenge"), narrow);
	assert_int_equal(judge("192.0.2.7"), RF_SHIELD_DENY);
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	GOOD(rf_store_del(w.ctl.store, RF_KIND_ACCESS_RULE, wide, 0, &w.e));
	GOOD(rf_ctl_touch(&w.ctl, RF_KIND_ACCESS_RULE, wide, &w.e));
	GOOD(rf_ctl_commit(&w.ctl, false, &w.e));
	assert_int_equal(judge("192.0.2.6"), RF_SHIELD_NONE);
	assert_int_equal(judge("192.0.2.7"), RF_SHIELD_DENY);
}

/* A prefix that cannot be: the rules beside it in the transaction must leave no trace either. */
static void a_refused_commit_leaves_no_trace(void **state)
{
	static const char *const names[] = { "198.51.100.1/32", "no prefix" };
	char kept[33] = "";
	(void)state;
	world_put(RF_KIND_ACCESS_RULE, w.ctl.account_id, "203.0.113.1/32", rule("block"), kept);
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	GOOD(rf_store_del(w.ctl.store, RF_KIND_ACCESS_RULE, kept, 0, &w.e));
	GOOD(rf_ctl_touch(&w.ctl, RF_KIND_ACCESS_RULE, kept, &w.e));
	for (int i = 0; i < 2; i++) {
		RF_OBJECT_AUTO o = { .doc = rule("block") };
		snprintf(o.parent, sizeof o.parent, "%s", w.ctl.account_id);
		snprintf(o.name, sizeof o.name, "%s", names[i]);
		GOOD(rf_store_put(w.ctl.store, RF_KIND_ACCESS_RULE, &o, 0, &w.e));
		GOOD(rf_ctl_touch(&w.ctl, RF_KIND_ACCESS_RULE, o.id, &w.e));
	}
	assert_int_equal(rf_ctl_commit(&w.ctl, false, &w.e), RF_E_INVALID);
	assert_non_null(strstr(w.e.text, "no prefix"));
	assert_int_equal(judge("198.51.100.1"), RF_SHIELD_NONE);
	assert_int_equal(judge("203.0.113.1"), RF_SHIELD_DENY);
	assert_int_equal(rf_access_count(w.ctl.priv->access), 1);
}

/* A rule is in force before the disk has it, and goes again when the disk does not take it. */
static void what_the_disk_refuses_is_taken_back(void **state)
{
	struct rlimit before, none;
	char kept[33] = "";
	(void)state;
	world_put(RF_KIND_ACCESS_RULE, w.ctl.account_id, "203.0.113.1/32", rule("block"), kept);
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	RF_OBJECT_AUTO o = { .name = "198.51.100.1/32", .doc = rule("block") };
	snprintf(o.parent, sizeof o.parent, "%s", w.ctl.account_id);
	GOOD(rf_store_put(w.ctl.store, RF_KIND_ACCESS_RULE, &o, 0, &w.e));
	GOOD(rf_ctl_touch(&w.ctl, RF_KIND_ACCESS_RULE, o.id, &w.e));
	GOOD(rf_store_del(w.ctl.store, RF_KIND_ACCESS_RULE, kept, 0, &w.e));
	GOOD(rf_ctl_touch(&w.ctl, RF_KIND_ACCESS_RULE, kept, &w.e));
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	none = (struct rlimit){ 0, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0); /* as a disk that is full */
	int rc = rf_ctl_commit(&w.ctl, false, &w.e);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(rc, RF_E_DISK);
	assert_int_equal(judge("198.51.100.1"), RF_SHIELD_NONE);
	assert_int_equal(judge("203.0.113.1"), RF_SHIELD_DENY);
	assert_int_equal(rf_access_count(w.ctl.priv->access), 1);
	world_put(RF_KIND_ACCESS_RULE, w.ctl.account_id, "198.51.100.2/32", rule("block"), kept); /* and it goes on */
	assert_int_equal(judge("198.51.100.2"), RF_SHIELD_DENY);
}

static void a_trial_changes_nothing(void **state)
{
	RF_OBJECT_AUTO o = { .name = "198.51.100.9/32", .doc = rule("block") };
	(void)state;
	snprintf(o.parent, sizeof o.parent, "%s", w.ctl.account_id);
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	GOOD(rf_store_put(w.ctl.store, RF_KIND_ACCESS_RULE, &o, 0, &w.e));
	GOOD(rf_ctl_touch(&w.ctl, RF_KIND_ACCESS_RULE, o.id, &w.e));
	GOOD(rf_ctl_commit(&w.ctl, true, &w.e));
	assert_int_equal(judge("198.51.100.9"), RF_SHIELD_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_written_is_in_force_and_what_is_deleted_is_not, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refused_commit_leaves_no_trace, setup, teardown),
		cmocka_unit_test_setup_teardown(what_the_disk_refuses_is_taken_back, setup, teardown),
		cmocka_unit_test_setup_teardown(a_trial_changes_nothing, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
