#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <pthread.h>
#include <cmocka.h>
#include "device/registry.h"

static struct rf_device_spec spec(unsigned n)
{
	struct rf_device_spec s = { .name = RF_STR("camera"), .firmware = RF_STR("2.4.0"), .created_s = 7 };
	snprintf(s.id, sizeof s.id, "%032x", n);
	return s;
}

static void finds_by_id_and_credential(void **state)
{
	(void)state;
	struct rf_registry *r = rf_registry_new(10);
	struct rf_err e;
	char owner[RF_ID_LEN + 1] = "";
	struct rf_str tags[] = { RF_STR("site=lab"), RF_STR("blue") };
	struct rf_device_spec one = spec(1), two = spec(2);
	one.tags = tags;
	one.tag_count = 2;
	assert_int_equal(rf_registry_put(r, &one, &e), RF_OK);
	assert_int_equal(rf_registry_put(r, &two, &e), RF_OK);
	assert_int_equal(rf_registry_bind(r, one.id, RF_CRED_SKI, RF_STR("ski-1"), owner), RF_OK);
	assert_int_equal(rf_registry_bind(r, one.id, RF_CRED_SKI, RF_STR("ski-1"), owner), RF_OK);
	assert_int_equal(rf_registry_bind(r, two.id, RF_CRED_SKI, RF_STR("ski-1"), owner), RF_E_EXISTS);
	assert_string_equal(owner, one.id);
	assert_int_equal(rf_registry_bind(r, two.id, RF_CRED_FINGERPRINT, RF_STR("ski-1"), owner), RF_OK);
	struct rf_device *d = rf_device_by_cred(r, RF_CRED_SKI, RF_STR("ski-1"));
	assert_non_null(d);
	assert_string_equal(rf_device_id(d), one.id);
	assert_true(rf_str_eq(rf_device_text(d)->tags[1], RF_STR("blue")));
	assert_int_equal(rf_registry_credentials(r, one.id, NULL, 0), RF_OK);
	assert_null(rf_device_by_cred(r, RF_CRED_SKI, RF_STR("ski-1")));
	rf_registry_free(r);
}

static char told[8][64];
static unsigned told_n;

static void note(void *arg, const char *device, struct rf_str key, bool bound)
{
	assert_ptr_equal(arg, told);
	snprintf(told[told_n++ % 8], sizeof told[0], "%c%.*s of %c", bound ? '+' : '-', RF_ARG(key), device[RF_ID_LEN - 1]);
}

static void who_watches_is_told_of_each_that_comes_and_goes(void **state)
{
	(void)state;
	struct rf_registry *r = rf_registry_new(10);
	struct rf_err e;
	char owner[RF_ID_LEN + 1] = "";
	struct rf_device_spec one = spec(1), two = spec(2);
	struct rf_cred_ref next[] = { { RF_CRED_ADDRESS, RF_STR("b") }, { RF_CRED_SKI, RF_STR("s") } };
	rf_registry_put(r, &one, &e);
	rf_registry_put(r, &two, &e);
	told_n = 0;
	rf_registry_watch(r, RF_CRED_ADDRESS, note, told);
	rf_registry_bind(r, one.id, RF_CRED_ADDRESS, RF_STR("a"), owner);
	rf_registry_bind(r, one.id, RF_CRED_ADDRESS, RF_STR("a"), owner);
	rf_registry_bind(r, two.id, RF_CRED_ADDRESS, RF_STR("a"), owner);
	rf_registry_bind(r, one.id, RF_CRED_SKI, RF_STR("k"), owner);
	rf_registry_credentials(r, one.id, next, 2);
	rf_registry_del(r, one.id);
	rf_registry_bind(r, two.id, RF_CRED_ADDRESS, RF_STR("a"), owner);
	rf_registry_watch(r, RF_CRED_ADDRESS, NULL, NULL);
	rf_registry_free(r);
	static const char *const want[] = { "+a of 1", "+b of 1", "-a of 1", "-b of 1", "+a of 2" };
	assert_int_equal(told_n, 5);
	for (unsigned i = 0; i < told_n; i++)
		assert_string_equal(told[i], want[i]);
}

static void a_held_device_outlives_its_removal(void **state)
{
	(void)state;
	struct rf_registry *r = rf_registry_new(10);
	struct rf_err e;
	struct rf_device_spec one = spec(1);
	char owner[RF_ID_LEN + 1];
	rf_registry_put(r, &one, &e);
	rf_registry_bind(r, one.id, RF_CRED_SKI, RF_STR("k"), owner);
	struct rf_device *d = rf_device_get(rf_device_find(r, rf_str_z(one.id)));
	assert_int_equal(rf_registry_del(r, one.id), RF_OK);
	assert_int_equal(rf_registry_del(r, one.id), RF_E_NOT_FOUND);
	assert_null(rf_device_find(r, rf_str_z(one.id)));
	assert_null(rf_device_by_cred(r, RF_CRED_SKI, RF_STR("k")));
	assert_int_equal(rf_device_state(d), RF_DEVICE_REVOKED);
	rf_registry_free(r);
	assert_string_equal(rf_device_id(d), one.id);
	rf_device_put(d);
}

static void refuses_past_its_bound(void **state)
{
	(void)state;
	struct rf_registry *r = rf_registry_new(2);
	struct rf_err e;
	struct rf_device_spec s = spec(5), t = spec(6), u = spec(7);
	assert_int_equal(rf_registry_put(r, &s, &e), RF_OK);
	assert_int_equal(rf_registry_put(r, &u, &e), RF_OK);
	assert_int_equal(rf_registry_put(r, &s, &e), RF_OK); /* a change, not one more */
	assert_int_equal(rf_registry_put(r, &t, &e), RF_E_FULL);
	assert_int_equal(rf_registry_count(r), 2);
	rf_registry_free(r);
}

static void a_denied_key_stays_denied_when_bound(void **state)
{
	(void)state;
	struct rf_registry *r = rf_registry_new(10);
	struct rf_err e;
	struct rf_device_spec one = spec(1);
	char owner[RF_ID_LEN + 1];
	rf_registry_put(r, &one, &e);
	uint64_t denials = rf_registry_denials(r);
	assert_true(denials > 0);
	assert_int_equal(rf_registry_deny(r, RF_CRED_SERIAL, RF_STR("s"), true), RF_OK);
	assert_true(rf_cred_denied(r, RF_CRED_SERIAL, RF_STR("s")));
	assert_true(rf_registry_denials(r) > denials); /* with every change that an answer could have seen */
	denials = rf_registry_denials(r);
	assert_int_equal(rf_registry_bind(r, one.id, RF_CRED_SERIAL, RF_STR("s"), owner), RF_OK);
	assert_true(rf_cred_denied(r, RF_CRED_SERIAL, RF_STR("s")));
	assert_true(rf_registry_denials(r) > denials);
	denials = rf_registry_denials(r);
	assert_int_equal(rf_registry_bind(r, one.id, RF_CRED_SKI, RF_STR("other"), owner), RF_OK);
	assert_int_equal(rf_registry_denials(r), denials);
	assert_int_equal(rf_registry_deny(r, RF_CRED_SERIAL, RF_STR("s"), false), RF_OK);
	assert_true(rf_registry_denials(r) > denials);
	assert_false(rf_cred_denied(r, RF_CRED_SERIAL, RF_STR("s")));
	assert_non_null(rf_device_by_cred(r, RF_CRED_SERIAL, RF_STR("s")));
	rf_registry_free(r);
}

static void room_is_made_for_any_number(void **state)
{
	(void)state;
	struct rf_registry *r = rf_registry_new(10);
	struct rf_err e;
	struct rf_device_spec one = spec(1);
	rf_registry_put(r, &one, &e);
	static const size_t numbers[] = { 0, 3, 1025, 5000, 7, 70000 };
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		rf_load_free(rf_load_new(r, numbers[i], numbers[i] + 1));
	assert_non_null(rf_device_find(r, rf_str_z(one.id)));
	rf_registry_free(r);
}

/* As if each had been put, bound and pinned by itself. */
static void many_are_loaded_at_once(void **state)
{
	(void)state;
	enum { MANY = 3000 };
	static struct rf_device *v[MANY];
	struct rf_registry *r = rf_registry_new(MANY);
	struct rf_load *l = rf_load_new(r, MANY, MANY);
	const uint8_t pin[RF_PIN_LEN] = "first key";
	char key[16], owner[RF_ID_LEN + 1];
	bool new;
	told_n = 0;
	rf_registry_watch(r, RF_CRED_ADDRESS, note, told);
	for (unsigned i = 0; i < MANY; i++) {
		struct rf_device_spec s = spec(i);
		assert_int_equal(rf_load_device(l, &s, &v[i]), RF_OK);
	}
	struct rf_device_spec more = spec(MANY);
	struct rf_device *none = NULL;
	assert_int_equal(rf_load_device(l, &more, &none), RF_E_FULL);
	assert_null(none);
	assert_int_equal(rf_registry_count(r), 0);
	assert_int_equal(rf_load_settle(l), RF_OK);
	assert_int_equal(rf_registry_count(r), MANY);
	for (unsigned i = 0; i < MANY; i++) {
		struct rf_str k = { key, (size_t)snprintf(key, sizeof key, "key %u", i) };
		assert_int_equal(rf_load_credential(l, v[i], RF_CRED_SKI, k, i % 2 ? pin : NULL), RF_OK);
	}
	assert_int_equal(rf_load_credential(l, v[1], RF_CRED_SKI, RF_STR("key 0"), pin), RF_OK); /* left out: it is another's */
	assert_int_equal(rf_load_credential(l, v[2], RF_CRED_ADDRESS, RF_STR("a"), NULL), RF_OK);
	assert_int_equal(rf_load_credential(l, v[2], RF_CRED_SKI, (struct rf_str){ key, 0 }, NULL), RF_E_RANGE);
	assert_int_equal(rf_load_settle(l), RF_OK);
	rf_load_free(l);
	for (unsigned i = 0; i < MANY; i++) {
		struct rf_device_spec s = spec(i);
		struct rf_str k = { key, (size_t)snprintf(key, sizeof key, "key %u", i) };
		assert_ptr_equal(rf_device_find(r, rf_str_z(s.id)), v[i]);
		assert_ptr_equal(rf_device_by_cred(r, RF_CRED_SKI, k), v[i]);
		assert_int_equal(rf_registry_pin(r, RF_CRED_SKI, k, (const uint8_t *)"another key.....", &new), i % 2 ? RF_E_CONFLICT : RF_OK);
	}
	assert_int_equal(told_n, 1);
	assert_string_equal(told[0], "+a of 2");
	assert_int_equal(rf_registry_bind(r, rf_device_id(v[1]), RF_CRED_SKI, RF_STR("key 0"), owner), RF_E_EXISTS);
	struct rf_device_spec s = spec(1);
	assert_int_equal(rf_registry_del(r, s.id), RF_OK);
	assert_null(rf_device_by_cred(r, RF_CRED_SKI, RF_STR("key 1")));
	rf_registry_free(r);
}

static void two_devices_of_one_id_are_no_state(void **state)
{
	(void)state;
	struct rf_registry *r = rf_registry_new(10);
	struct rf_load *l = rf_load_new(r, 2, 2);
	struct rf_device_spec one = spec(1), two = spec(2);
	struct rf_device *d;
	assert_int_equal(rf_load_device(l, &one, &d), RF_OK);
	assert_int_equal(rf_load_device(l, &two, &d), RF_OK);
	assert_int_equal(rf_load_device(l, &one, &d), RF_OK);
	assert_int_equal(rf_load_settle(l), RF_E_EXISTS);
	assert_int_equal(rf_load_credential(l, d, RF_CRED_SKI, RF_STR("k"), NULL), RF_E_EXISTS); /* still */
	rf_load_free(l); /* with what is not in the registry */
	rf_registry_free(r);
}

static void credentials_become_those_given(void **state)
{
	(void)state;
	struct rf_registry *r = rf_registry_new(10);
	struct rf_err e;
	struct rf_device_spec one = spec(1);
	char owner[RF_ID_LEN + 1];
	rf_registry_put(r, &one, &e);
	rf_registry_bind(r, one.id, RF_CRED_SKI, RF_STR("old"), owner);
	rf_registry_bind(r, one.id, RF_CRED_SKI, RF_STR("kept"), owner);
	rf_registry_deny(r, RF_CRED_SKI, RF_STR("old"), true);
	struct rf_cred_ref now[] = { { RF_CRED_SKI, RF_STR("kept") }, { RF_CRED_FINGERPRINT, RF_STR("new") } };
	assert_int_equal(rf_registry_credentials(r, one.id, now, 2), RF_OK);
	assert_null(rf_device_by_cred(r, RF_CRED_SKI, RF_STR("old")));
	assert_true(rf_cred_denied(r, RF_CRED_SKI, RF_STR("old")));
	assert_non_null(rf_device_by_cred(r, RF_CRED_SKI, RF_STR("kept")));
	assert_non_null(rf_device_by_cred(r, RF_CRED_FINGERPRINT, RF_STR("new")));
	assert_int_equal(rf_registry_credentials(r, "nobody", now, 2), RF_E_NOT_FOUND);
	rf_registry_free(r);
}

static void a_pin_holds_the_first_key(void **state)
{
	(void)state;
	struct rf_registry *r = rf_registry_new(10);
	struct rf_err e;
	struct rf_device_spec one = spec(1);
	char owner[RF_ID_LEN + 1];
	bool new;
	rf_registry_put(r, &one, &e);
	assert_int_equal(rf_registry_pin(r, RF_CRED_SKI, RF_STR("k"), (const uint8_t *)"0123456789abcdef", &new),
			 RF_E_NOT_FOUND);
	rf_registry_bind(r, one.id, RF_CRED_SKI, RF_STR("k"), owner);
	assert_int_equal(rf_registry_pin(r, RF_CRED_SKI, RF_STR("k"), (const uint8_t *)"0123456789abcdef", &new), RF_OK);
	assert_true(new);
	assert_int_equal(rf_registry_pin(r, RF_CRED_SKI, RF_STR("k"), (const uint8_t *)"0123456789abcdef", &new), RF_OK);
	assert_false(new);
	assert_int_equal(rf_registry_pin(r, RF_CRED_SKI, RF_STR("k"), (const uint8_t *)"0123456789abcdeX", &new),
			 RF_E_CONFLICT);
	rf_registry_free(r);
}

static void limits_are_exact(void **state)
{
	(void)state;
	_Atomic uint32_t n = 0;
	assert_true(rf_use_enter(&n, 2) && rf_use_enter(&n, 2));
	assert_false(rf_use_enter(&n, 2));
	rf_use_leave(&n);
	assert_true(rf_use_enter(&n, 2));
	assert_true(rf_use_enter(&n, 0)); /* 0: no bound */
}

static _Atomic bool stop;

static void *reader(void *arg)
{
	rf_registry_thread_start();
	struct rf_registry *r = arg;
	while (!atomic_load(&stop)) {
		struct rf_device *d = rf_device_by_cred(r, RF_CRED_SKI, RF_STR("k"));
		if (d && rf_device_text(d)->name.n != 6)
			atomic_store(&stop, true);
		rf_registry_quiet(NULL, false);
		rf_registry_quiet(NULL, true);
	}
	rf_registry_thread_stop();
	return NULL;
}

static void readers_walk_while_writers_change(void **state)
{
	(void)state;
	struct rf_registry *r = rf_registry_new(100);
	struct rf_err e;
	pthread_t t;
	char owner[RF_ID_LEN + 1];
	atomic_store(&stop, false);
	pthread_create(&t, NULL, reader, r);
	for (unsigned i = 0; i < 3000; i++) {
		struct rf_device_spec s = spec(i % 7);
		rf_registry_put(r, &s, &e);
		rf_registry_bind(r, s.id, RF_CRED_SKI, RF_STR("k"), owner);
		rf_registry_put(r, &s, &e);
		rf_registry_del(r, s.id);
		rf_registry_quiet(NULL, false);
		rf_registry_quiet(NULL, true);
	}
	assert_false(atomic_exchange(&stop, true));
	rf_registry_quiet(NULL, false);
	pthread_join(t, NULL);
	rf_registry_quiet(NULL, true);
	rf_registry_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_by_id_and_credential), cmocka_unit_test(a_held_device_outlives_its_removal),
		cmocka_unit_test(who_watches_is_told_of_each_that_comes_and_goes),
		cmocka_unit_test(refuses_past_its_bound), cmocka_unit_test(a_denied_key_stays_denied_when_bound),
		cmocka_unit_test(room_is_made_for_any_number),
		cmocka_unit_test(many_are_loaded_at_once),
		cmocka_unit_test(two_devices_of_one_id_are_no_state), cmocka_unit_test(credentials_become_those_given),
		cmocka_unit_test(a_pin_holds_the_first_key), cmocka_unit_test(limits_are_exact), cmocka_unit_test(readers_walk_while_writers_change),
	};
	rf_registry_thread_start();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	rf_registry_thread_stop();
	return failed;
}
