#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "pki/ca.h"
#include "svc/identity.h"

static char dir[64];
static struct rf_ca *ca;
static struct rf_bundle bundle;
static struct rf_registry *registry;
static struct rf_snap *snap;
static struct rf_class class;
static struct rf_identity_event last;
static unsigned events;

static bool event(void *arg, const struct rf_identity_event *ev)
{
	(void)arg;
	last = *ev;
	events++;
	return true;
}

static struct rf_identity_env env(void)
{
	return (struct rf_identity_env){ .registry = registry, .event = event };
}

static struct rf_tls_peer peer(void)
{
	struct rf_tls_peer p = { .cert = bundle.cert, .roots = 1, .root_id = "r", .pin = "first key" };
	rf_credkey_ski(rf_str_z(bundle.cert->ski), &p.ski);
	rf_credkey_fingerprint(rf_str_z(bundle.cert->sha256), &p.fingerprint);
	rf_credkey_serial(rf_str_z(bundle.cert->issuer_ski), rf_str_z(bundle.cert->serial), &p.serial);
	return p;
}

static struct rf_identity identify(const struct rf_tls_peer *p, enum rf_cert_status status)
{
	struct rf_tls_info info = { .status = status, .reason = "certificate has expired", .why = RF_REASON_CERT_EXPIRED,
				    .verified = status == RF_CERT_VALID, .peer = p, .roots = p->roots };
	struct rf_identity_env e = env();
	struct rf_identity i;
	rf_identify(&e, snap, &info, 1000, &i);
	return i;
}

static int setup(void **state)
{
	(void)state;
	struct rf_err e;
	char path[80];
	strcpy(dir, "/tmp/rf-id-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/ca", dir);
	assert_int_equal(rf_ca_open(&(struct rf_ca_conf){ .dir = path }, 1790000000, &ca, &e), RF_OK);
	struct rf_issue req = { .days = 10, .cn = RF_STR("camera-7") };
	assert_int_equal(rf_ca_bundle(ca, &req, 1790000000, &bundle, &e), RF_OK);
	registry = rf_registry_new(100);
	struct rf_site *site = rf_site_new();
	class = (struct rf_class){ .id = "c", .name = RF_STR("camera"), .roots = 1 };
	uint16_t slot;
	strcpy(class.id, "0123456789abcdef0123456789abcdef");
	rf_registry_class_slot(registry, class.id, &slot);
	site->class_slots = 1;
	site->classes = RF_ARENA_NEW(&site->arena, struct rf_class *);
	site->classes[0] = &class;
	snap = rf_snap_new(site);
	rf_site_put(site);
	events = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	char cmd[80];
	class.bind_template = NULL;
	rf_snap_unpin(snap);
	rf_registry_free(registry);
	rf_bundle_fini(&bundle);
	rf_ca_free(ca);
	snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
	return system(cmd);
}

static void an_unknown_certificate_is_refused_and_told(void **state)
{
	(void)state;
	struct rf_tls_peer p = peer();
	struct rf_identity i = identify(&p, RF_CERT_VALID);
	assert_null(i.device);
	assert_int_equal(i.reason, RF_REASON_DEVICE_UNKNOWN);
	assert_non_null(i.refusal);
	assert_int_equal(events, 1);
	assert_true(last.unknown);
	assert_string_equal(last.subject, "CN=camera-7");
	assert_int_equal(rf_registry_count(registry), 0);
}

static void first_sight_creates_once(void **state)
{
	(void)state;
	class.first_sight = true;
	struct rf_tls_peer p = peer();
	struct rf_identity one = identify(&p, RF_CERT_VALID), two = identify(&p, RF_CERT_VALID);
	assert_true(one.created && !two.created);
	assert_null(two.refusal);
	assert_ptr_equal(one.device, two.device);
	assert_ptr_equal(two.class, &class);
	assert_int_equal(events, 1);
	assert_string_equal(last.name, "camera-7");
	assert_string_equal(last.bind_value, bundle.cert->ski);
	assert_string_equal(last.pin, "6669727374206b657900000000000000"); /* "first key" */
	p.roots = 2; /* a root that the class does not take */
	assert_int_equal(identify(&p, RF_CERT_VALID).reason, RF_REASON_CERT_UNKNOWN_CA);
}

static void an_expired_certificate_creates_nothing(void **state)
{
	(void)state;
	class.first_sight = true;
	struct rf_tls_peer p = peer();
	struct rf_identity i = identify(&p, RF_CERT_INVALID);
	assert_null(i.device);
	assert_int_equal(i.reason, RF_REASON_CERT_EXPIRED);
	identify(&p, RF_CERT_VALID);
	i = identify(&p, RF_CERT_INVALID); /* known by then: named, and refused all the same */
	assert_non_null(i.device);
	assert_string_equal(i.refusal, "certificate has expired");
	p.roots = 0;
	assert_null(identify(&p, RF_CERT_INVALID).device);
}

static void a_second_key_under_one_identifier_is_refused(void **state)
{
	(void)state;
	class.first_sight = true;
	struct rf_tls_peer p = peer();
	identify(&p, RF_CERT_VALID);
	memcpy(p.pin, "other key", 9);
	struct rf_identity i = identify(&p, RF_CERT_VALID);
	assert_null(i.device);
	assert_int_equal(i.reason, RF_REASON_CERT_INVALID);
}

static void another_ca_takes_no_identifier(void **state)
{
	(void)state;
	struct rf_err e;
	char owner[RF_ID_LEN + 1];
	struct rf_tls_peer genuine = peer(), stranger = peer();
	struct rf_device_spec spec = { .name = RF_STR("camera-7") };
	strcpy(spec.id, "fedcba9876543210fedcba9876543210");
	assert_int_equal(rf_registry_put(registry, &spec, &e), RF_OK);
	assert_int_equal(rf_registry_bind(registry, spec.id, RF_CRED_SKI, rf_credkey_str(&genuine.ski), owner), RF_OK);
	memcpy(stranger.pin, "other key", 9);
	stranger.roots = 2; /* trusted, but not for this class */
	struct rf_identity i = identify(&stranger, RF_CERT_VALID);
	assert_null(i.device);
	assert_int_equal(i.reason, RF_REASON_CERT_UNKNOWN_CA);
	i = identify(&genuine, RF_CERT_VALID);
	assert_non_null(i.device);
	assert_null(i.refusal);
}

static void the_first_key_of_a_known_device_is_told_once(void **state)
{
	(void)state;
	struct rf_tls_peer p = peer();
	struct rf_err e;
	char owner[RF_ID_LEN + 1];
	struct rf_device_spec spec = { .id = "00112233445566778899aabbccddeeff" };
	rf_registry_put(registry, &spec, &e);
	rf_registry_bind(registry, spec.id, RF_CRED_SKI, rf_credkey_str(&p.ski), owner);
	assert_null(identify(&p, RF_CERT_VALID).refusal);
	identify(&p, RF_CERT_VALID);
	assert_int_equal(events, 1);
	assert_true(last.pinned && !last.created && !last.unknown);
	assert_string_equal(last.device, spec.id);
	assert_string_equal(last.bind_value, bundle.cert->ski);
	assert_string_equal(last.pin, "6669727374206b657900000000000000");
}

static void states_refuse(void **state)
{
	(void)state;
	class.first_sight = true;
	struct rf_tls_peer p = peer();
	struct rf_err e;
	struct rf_identity i = identify(&p, RF_CERT_VALID);
	struct rf_device_spec spec = { .state = RF_DEVICE_REVOKED };
	strcpy(spec.id, rf_device_id(i.device));
	rf_registry_put(registry, &spec, &e);
	assert_int_equal(identify(&p, RF_CERT_VALID).reason, RF_REASON_DEVICE_REVOKED);
	spec.state = RF_DEVICE_QUARANTINED;
	rf_registry_put(registry, &spec, &e);
	assert_int_equal(identify(&p, RF_CERT_VALID).reason, RF_REASON_DEVICE_QUARANTINED);
	assert_false(rf_identity_denied(registry, &p));
	rf_registry_deny(registry, RF_CRED_SERIAL, rf_credkey_str(&p.serial), true);
	assert_true(rf_identity_denied(registry, &p));
}

static void a_template_binds_by_name(void **state)
{
	(void)state;
	struct rf_err e;
	class.first_sight = true;
	class.bind = RF_BIND_TEMPLATE;
	assert_int_equal(rf_cert_tmpl_compile(RF_STR("dev-${cert.subject.cn}"), &class.bind_template, &e), RF_OK);
	struct rf_tls_peer p = peer();
	struct rf_identity one = identify(&p, RF_CERT_VALID);
	assert_true(one.created);
	assert_string_equal(last.bind_value, "dev-camera-7");
	assert_ptr_equal(identify(&p, RF_CERT_VALID).device, one.device);
	rf_cert_tmpl_free(class.bind_template);
}

static void hosts_match_exactly_or_by_one_label(void **state)
{
	(void)state;
	struct rf_app a = { 0 }, b = { 0 };
	assert_int_equal(rf_site_host(snap->site, RF_STR("api.example.com"), &a), RF_OK);
	assert_int_equal(rf_site_host(snap->site, RF_STR("*.example.com"), &b), RF_OK);
	assert_int_equal(rf_site_host(snap->site, RF_STR("*.example.com"), &a), RF_E_EXISTS);
	assert_ptr_equal(rf_snap_app(snap, RF_STR("api.example.com")), &a);
	assert_ptr_equal(rf_snap_app(snap, RF_STR("cam.example.com")), &b);
	assert_null(rf_snap_app(snap, RF_STR("x.cam.example.com")));
	assert_null(rf_snap_app(snap, RF_STR("example.com")));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_unknown_certificate_is_refused_and_told), TEST(first_sight_creates_once),
		TEST(an_expired_certificate_creates_nothing), TEST(a_second_key_under_one_identifier_is_refused),
		TEST(another_ca_takes_no_identifier), TEST(the_first_key_of_a_known_device_is_told_once), TEST(states_refuse), TEST(a_template_binds_by_name), TEST(hosts_match_exactly_or_by_one_label),
	};
	rf_registry_thread_start();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	rf_registry_thread_stop();
	return failed;
}
