/* What workers see first outlives a restart, over a real store and registry. */
#include "ctl/test.h"
#include "ctl/devices.h"
#include "ctl/doc.h"
#include "loop/replay.h"
#include "pki/credkey.h"

#define SKI "00112233445566778899aabbccddeeff00112233"

static char device[33], key_id[33];

static int setup(void **state)
{
	(void)state;
	char name[2 * 20 + 5] = "ski:" SKI;
	world_open("");
	device[0] = key_id[0] = '\0';
	world_put(RF_KIND_DEVICE, w.ctl.account_id, "pump",
		  json_pack("{s:s, s:s, s:s, s:[s, s]}", "state", "active", "model", "p\"1", "owner", "me", "tags", "a", "b"), device);
	world_put(RF_KIND_CREDENTIAL, device, name, json_pack("{s:s, s:s}", "kind", "ski", "value", SKI), key_id);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close();
	return 0;
}

static struct rf_str key(struct rf_credkey *k)
{
	assert_int_equal(rf_credkey_ski(RF_STR(SKI), k), RF_OK);
	return rf_credkey_str(k);
}

static void load_again(void)
{
	rf_registry_free(w.ctl.devices);
	assert_non_null(w.ctl.devices = rf_registry_new(10));
	GOOD(rf_devices_load(&w.ctl, &w.e));
}

static void a_pin_outlives_a_restart(void **state)
{
	(void)state;
	struct rf_credkey k;
	RF_OBJECT_AUTO o = { 0 };
	bool new;
	struct rf_identity_event ev = { .pinned = true, .bind = RF_BIND_SKI, .bind_value = SKI, .pin = "6669727374206b657900000000000000" };
	memcpy(ev.device, device, sizeof ev.device);
	rf_devices_event(w.ctl.priv->devices, &ev);
	memset(ev.device, 'f', 32); /* of a device that is gone by now: harmless, and the others are kept */
	rf_devices_event(w.ctl.priv->devices, &ev);
	rf_loop_turn(w.ctl.loop, 0);
	GOOD(rf_store_get(w.ctl.store, RF_KIND_CREDENTIAL, key_id, &o, &w.e));
	assert_true(doc_is(o.doc, "pin", ev.pin));
	assert_true(doc_is(o.doc, "value", SKI));
	load_again();
	assert_int_equal(rf_registry_pin(w.ctl.devices, RF_CRED_SKI, key(&k), (const uint8_t *)"another key\0\0\0\0\0", &new), RF_E_CONFLICT);
	assert_int_equal(rf_registry_pin(w.ctl.devices, RF_CRED_SKI, key(&k), (const uint8_t *)"first key\0\0\0\0\0\0\0", &new), RF_OK);
	assert_false(new);
}

static void a_first_sight_keeps_device_and_pin(void **state)
{
	(void)state;
	struct rf_identity_event ev = { .created = true, .bind = RF_BIND_SKI, .bind_value = "aabb", .name = "new one",
					.pin = "6669727374206b657900000000000000", .device = "0123456789abcdef0123456789abcdef" };
	RF_OBJECT_AUTO o = { 0 };
	rf_devices_event(w.ctl.priv->devices, &ev);
	rf_loop_turn(w.ctl.loop, 0);
	GOOD(rf_store_find(w.ctl.store, RF_KIND_CREDENTIAL, NULL, "ski:aabb", &o, &w.e));
	assert_true(doc_is(o.doc, "pin", ev.pin));
	load_again();
	assert_non_null(rf_device_find(w.ctl.devices, rf_str_z(ev.device)));
}

static struct rf_identity_event sighting(unsigned number)
{
	struct rf_identity_event ev = { .created = true, .bind = RF_BIND_SKI };
	snprintf(ev.device, sizeof ev.device, "%032x", number);
	snprintf(ev.bind_value, sizeof ev.bind_value, "%08x", number);
	snprintf(ev.name, sizeof ev.name, "device %u", number);
	return ev;
}

static bool kept(unsigned number)
{
	RF_OBJECT_AUTO o = { 0 };
	struct rf_identity_event ev = sighting(number);
	return rf_store_get(w.ctl.store, RF_KIND_DEVICE, ev.device, &o, &w.e) == RF_OK;
}

static void see(unsigned number)
{
	struct rf_identity_event ev = sighting(number);
	assert_true(rf_devices_event(w.ctl.priv->devices, &ev));
}

/* The first is kept at once, those that follow soon with one another: after a pause, when they are asked for, when another
 * device must be stopped, or at the end. */
static void those_that_come_together_are_kept_together(void **state)
{
	(void)state;
	struct rf_loop *real = w.ctl.loop;
	struct rf_replay *r = rf_replay_new();
	struct rf_identity_event bad = { .quarantined = true, .rule = "aaaabbbbccccddddaaaabbbbccccdddd" };
	memcpy(bad.device, device, sizeof bad.device);
	w.ctl.loop = rf_replay_loop(r);
	see(1);
	rf_replay_run(r, 0);
	assert_true(kept(1));
	for (unsigned first = 2; first < 6; first += 2) { /* also after a pause that was used */
		see(first);
		see(first + 1);
		rf_replay_run(r, 10 * RF_NS_MS);
		assert_false(kept(first) || kept(first + 1));
		rf_replay_run(r, 50 * RF_NS_MS);
		assert_true(kept(first) && kept(first + 1));
	}
	rf_replay_run(r, 100 * RF_NS_MS);
	see(6);
	rf_replay_run(r, 0);
	assert_true(kept(6)); /* after one that was not */
	see(7);
	rf_replay_run(r, 0);
	assert_false(kept(7));
	rf_ctl_catch_up(&w.ctl);
	assert_true(kept(7));
	see(8);
	assert_true(rf_devices_event(w.ctl.priv->devices, &bad));
	rf_replay_run(r, 0);
	assert_true(kept(8));
	see(9);
	rf_replay_run(r, 0);
	assert_false(kept(9));
	rf_devices_free(w.ctl.priv->devices);
	assert_true(kept(9));
	w.ctl.loop = real;
	rf_replay_free(r);
	assert_non_null(w.ctl.priv->devices = rf_devices_new(&w.ctl));
}

static int audited(const struct rf_audit *a, void *arg)
{
	if (strcmp(a->actor, "rule:aaaabbbbccccddddaaaabbbbccccdddd") == 0)
		++*(int *)arg;
	return RF_OK;
}

static int audits(void)
{
	int n = 0;
	size_t total;
	GOOD(rf_store_audit(w.ctl.store, 0, 1000, audited, &n, &total, &w.e));
	return n;
}

/* Kept once, by its rule, over a restart; a later activation by an operator stands until a rule matches again. */
static void a_quarantine_is_kept(void **state)
{
	(void)state;
	RF_OBJECT_AUTO o = { 0 };
	struct rf_identity_event ev = { .quarantined = true, .rule = "aaaabbbbccccddddaaaabbbbccccdddd", .subject = "scans" };
	load_again();
	memcpy(ev.device, device, sizeof ev.device);
	for (int i = 0; i < 3; i++)
		assert_true(rf_devices_event(w.ctl.priv->devices, &ev));
	memset(ev.device, 'f', 32); /* gone */
	assert_true(rf_devices_event(w.ctl.priv->devices, &ev));
	rf_loop_turn(w.ctl.loop, 0);
	GOOD(rf_store_get(w.ctl.store, RF_KIND_DEVICE, device, &o, &w.e));
	assert_true(doc_is(o.doc, "state", "quarantined"));
	assert_true(doc_is(o.doc, "reason", "rule aaaabbbbccccddddaaaabbbbccccdddd: scans"));
	assert_int_equal(rf_device_state(rf_device_find(w.ctl.devices, rf_str_z(device))), RF_DEVICE_QUARANTINED);
	assert_int_equal(audits(), 1);
	load_again();
	assert_int_equal(rf_device_state(rf_device_find(w.ctl.devices, rf_str_z(device))), RF_DEVICE_QUARANTINED);
	assert_false(rf_device_turn(rf_device_find(w.ctl.devices, rf_str_z(device)), RF_DEVICE_ACTIVE, RF_DEVICE_QUARANTINED));
}

static void a_revoked_device_stays_revoked(void **state)
{
	(void)state;
	RF_OBJECT_AUTO o = { 0 };
	struct rf_identity_event ev = { .quarantined = true, .rule = "aaaabbbbccccddddaaaabbbbccccdddd" };
	memcpy(ev.device, device, sizeof ev.device);
	GOOD(rf_store_get(w.ctl.store, RF_KIND_DEVICE, device, &o, &w.e));
	json_object_set_new(o.doc, "state", json_string("revoked"));
	GOOD(rf_store_begin(w.ctl.store, "operator", &w.e));
	GOOD(rf_store_put(w.ctl.store, RF_KIND_DEVICE, &o, 0, &w.e));
	GOOD(rf_store_commit(w.ctl.store, &w.e));
	rf_devices_event(w.ctl.priv->devices, &ev);
	rf_loop_turn(w.ctl.loop, 0);
	RF_OBJECT_AUTO now = { 0 };
	GOOD(rf_store_get(w.ctl.store, RF_KIND_DEVICE, device, &now, &w.e));
	assert_true(doc_is(now.doc, "state", "revoked"));
	assert_int_equal(audits(), 0);
}

static void a_full_queue_says_so(void **state)
{
	(void)state;
	struct rf_identity_event ev = { .pinned = true, .bind = RF_BIND_SKI, .bind_value = "00" };
	memset(ev.device, 'f', 32);
	for (int i = 0; i < RF_DEVICES_EVENTS_MAX; i++)
		assert_true(rf_devices_event(w.ctl.priv->devices, &ev));
	assert_false(rf_devices_event(w.ctl.priv->devices, &ev));
	ev.pinned = false;
	ev.unknown = true; /* only listed: takes no place */
	assert_true(rf_devices_event(w.ctl.priv->devices, &ev));
}

/* With a text that the quick reader leaves to the parser, and without. */
static void texts_are_loaded(void **state)
{
	(void)state;
	char other[33] = "";
	world_put(RF_KIND_DEVICE, w.ctl.account_id, "valve",
		  json_pack("{s:s, s:s, s:s, s:[s]}", "state", "quarantined", "model", "v1", "firmware", "2", "tags", "c"), other);
	load_again();
	const struct rf_device_text *t = rf_device_text(rf_device_find(w.ctl.devices, rf_str_z(device)));
	assert_true(rf_str_eq(t->model, RF_STR("p\"1")) && rf_str_eq(t->owner, RF_STR("me")));
	assert_int_equal(t->tag_count, 2);
	struct rf_device *d = rf_device_find(w.ctl.devices, rf_str_z(other));
	t = rf_device_text(d);
	assert_true(rf_str_eq(t->model, RF_STR("v1")) && rf_str_eq(t->firmware, RF_STR("2")) && t->owner.n == 0);
	assert_true(t->tag_count == 1 && rf_str_eq(t->tags[0], RF_STR("c")));
	assert_int_equal(rf_device_state(d), RF_DEVICE_QUARANTINED);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(a_pin_outlives_a_restart), TEST(a_first_sight_keeps_device_and_pin),
					    TEST(those_that_come_together_are_kept_together),
					    TEST(texts_are_loaded), TEST(a_quarantine_is_kept),
					    TEST(a_revoked_device_stays_revoked), TEST(a_full_queue_says_so) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
