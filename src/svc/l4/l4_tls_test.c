/* Ports where TLS ends at the edge: who is let in, what the origin is told of the device, revocation while connected. */
#include "svc/l4/test.h"
#include "svc/test_tls.h"
#include "wire/proxy.h"

#define NAME "mqtt.example.com"

static int keys_setup(void **state)
{
	(void)state;
	keys_make(NAME);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	world_open();
	w.port->tls = RF_PORT_TLS_FLEXIBLE;
	w.port->auth = RF_AUTH_ENFORCE;
	w.port->header = RF_PORT_HEADER_V2;
	w.port->keypair[0] = k.server;
	tls_start(rf_front_tls_host);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close();
	return 0;
}

static void start(void)
{
	world_start();
	add_class(true);
}

static void tls_expect(struct tls_client *t, const char *text)
{
	char got[256] = "";
	pump(t);
	int n = SSL_read(t->ssl, got, sizeof got - 1);
	assert_int_equal(n, (int)strlen(text));
	assert_memory_equal(got, text, strlen(text));
}

/* The header that the origin was told, taken away. */
static void header_of(struct rf_peer *o, struct rf_proxy *ret, struct rf_str *ret_ski, struct rf_str *ret_device)
{
	static char kept[2048];
	size_t n = rf_replay_sent(o).n;
	assert_true(n < sizeof kept);
	memcpy(kept, rf_replay_sent(o).p, n);
	assert_int_equal(rf_proxy_parse((struct rf_str){ kept, n }, ret), RF_OK);
	rf_replay_take(o, NULL, ret->size);
	struct rf_str rest = ret->tlvs, v;
	uint8_t type;
	*ret_ski = *ret_device = (struct rf_str){ 0 };
	while (rf_proxy_tlv_next(&rest, &type, &v)) {
		*ret_ski = type == RF_PROXY_TLV_SKI ? v : *ret_ski;
		*ret_device = type == RF_PROXY_TLV_DEVICE ? v : *ret_device;
	}
}

static void test_device(void **state)
{
	(void)state;
	struct tls_client c;
	struct rf_proxy p;
	struct rf_str ski, device;
	start();
	tls_open(&c, &k.device, NAME);
	assert_true(c.up);
	struct rf_peer *o = origin();
	assert_non_null(o);
	header_of(o, &p, &ski, &device);
	assert_true(p.checked && p.has_ssl && p.ssl_verify == 0);
	assert_int_equal(p.ssl_client, RF_PROXY_SSL | RF_PROXY_CERT_CONN | RF_PROXY_CERT_SESS);
	assert_true(rf_str_eq(p.ssl_cn, RF_STR("camera-1")) && rf_str_eq(p.ssl_version, RF_STR("TLSv1.3")) && p.ssl_cipher.n);
	assert_true(rf_str_eq(p.authority, RF_STR(NAME)));
	assert_int_equal(ski.n, 40);
	assert_true(rf_str_eq(device, rf_str_z(last()->device)) && device.n);
	tls_say(&c, "reading");
	assert_true(heard(o, RF_STR("reading")));
	rf_replay_send(o, RF_STR("noted"));
	tls_expect(&c, "noted");
	assert_int_equal(rf_front_sever(w.front, device), 1);
	run();
	assert_true(rf_replay_closed(c.p) && rf_replay_closed(o));
	expect_end(403, "clientFiltered");
	assert_string_equal(last()->layer, "device");
	assert_true(last()->in == 7 && last()->out == 5);
	tls_close(&c);
}

static void test_a_throttled_device(void **state)
{
	(void)state;
	struct tls_client c;
	start();
	tls_open(&c, &k.device, NAME);
	assert_true(c.up && origin());
	struct rf_device *d = rf_device_find(w.registry, rf_str_z(last()->device));
	assert_non_null(d);
	assert_int_equal(rf_device_use(d)->requests_total, 1);
	atomic_store(&rf_device_use(d)->throttle, 2);
	tls_close(&c);
	run();
	for (unsigned i = 0; i < 4; i++) { /* two at once, then two a second */
		tls_open(&c, &k.device, NAME);
		struct rf_peer *o = origin();
		assert_int_equal(o != NULL, i < 2);
		tls_close(&c);
		run();
	}
	assert_string_equal(last()->layer, "limit");
	assert_int_equal(rf_device_use(d)->requests_total, 5);
	assert_int_equal(rf_device_use(d)->refused_total, 2);
	atomic_store(&rf_device_use(d)->throttle, 0);
	tls_open(&c, &k.device, NAME);
	assert_true(c.up && origin());
	tls_close(&c);
}

static void test_no_certificate_to_show(void **state)
{
	(void)state;
	struct tls_client c;
	w.port->keypair[0] = NULL;
	start();
	tls_open(&c, NULL, NAME);
	assert_true(!c.up && rf_replay_closed(c.p) && !origin());
	expect_end(540, "clientFiltered");
	tls_close(&c);
}

static void test_strangers(void **state)
{
	(void)state;
	struct tls_client c;
	start();
	tls_open(&c, NULL, NAME);
	assert_true(rf_replay_closed(c.p) && !origin());
	expect_end(403, "clientFiltered");
	assert_string_equal(last()->layer, "tls");
	tls_close(&c);
	tls_open(&c, &k.stranger, NULL);
	assert_true(rf_replay_closed(c.p) && !origin());
	expect_end(403, "clientFiltered");
	tls_close(&c);
	tls_open(&c, &k.device, "other.example.com");
	assert_false(c.up);
	expect_end(400, "clientFiltered");
	tls_close(&c);
	tls_open(&c, &k.device, "198.51.100.1"); /* no name at all, and yet sent */
	assert_true(c.up && origin());
	tls_close(&c);
	struct rf_peer *p = rf_replay_connect(w.r, w.fd, NULL);
	say(p, RF_STR("SSH-2.0-no TLS at all\r\n"));
	expect_end(443, "clientFiltered");
}

static void test_refused_in_the_handshake(void **state)
{
	(void)state;
	struct tls_client c;
	w.port->refuse_handshake = true;
	start();
	tls_open(&c, &k.stranger, NAME);
	assert_true(rf_replay_closed(c.p) && !origin());
	expect_end(443, "clientFiltered");
	tls_close(&c);
	tls_open(&c, &k.device, NAME);
	assert_non_null(origin());
	tls_close(&c);
}

static void test_report(void **state)
{
	(void)state;
	struct tls_client c;
	struct rf_proxy p;
	struct rf_str ski, device;
	w.port->auth = RF_AUTH_REPORT;
	start();
	tls_open(&c, NULL, NAME);
	struct rf_peer *o = origin();
	header_of(o, &p, &ski, &device);
	assert_true(p.ssl_client == RF_PROXY_SSL && p.ssl_verify == 1 && !p.ssl_cn.n && !ski.n);
	assert_string_equal(last()->action, "log");
	assert_string_equal(last()->event, "connect");
	tls_say(&c, "hello");
	assert_true(heard(o, RF_STR("hello")));
	tls_close(&c);
	tls_open(&c, &k.stranger, NAME);
	o = origin();
	header_of(o, &p, &ski, &device);
	assert_true(p.ssl_verify == 1 && rf_str_eq(p.ssl_cn, RF_STR("stranger")) && !device.n);
	tls_close(&c);
}

/* Ends of TLS: a farewell passes as an end, and so does a socket that ends without one. */
static void test_ends(void **state)
{
	(void)state;
	struct tls_client c;
	w.port->auth = RF_AUTH_OFF;
	w.port->header = RF_PORT_HEADER_NONE;
	start();
	tls_open(&c, NULL, NAME);
	struct rf_peer *o = origin();
	tls_say(&c, "last words");
	SSL_shutdown(c.ssl);
	pump(&c);
	rf_replay_fin(c.p);
	run();
	assert_true(heard(o, RF_STR("last words")));
	assert_true(rf_replay_ended(o) && !rf_replay_closed(o));
	rf_replay_send(o, RF_STR("answer"));
	rf_replay_fin(o);
	tls_expect(&c, "answer");
	assert_int_equal(SSL_read(c.ssl, &(char){ 0 }, 1), 0);
	assert_true(SSL_get_shutdown(c.ssl) & SSL_RECEIVED_SHUTDOWN);
	expect_end(200, "disconnect");
	SSL_free(c.ssl);
	SSL_CTX_free(c.ctx);
	tls_open(&c, NULL, NAME);
	o = origin();
	tls_say(&c, "gone");
	rf_replay_fin(c.p);
	run();
	assert_true(heard(o, RF_STR("gone")));
	assert_true(rf_replay_ended(o) && !rf_replay_was_reset(o));
	rf_replay_fin(o);
	run();
	expect_end(200, "disconnect");
	SSL_free(c.ssl);
	SSL_CTX_free(c.ctx);
}

/* What is not TLS after the handshake. */
static void test_broken_tls(void **state)
{
	(void)state;
	struct tls_client c;
	w.port->auth = RF_AUTH_OFF;
	start();
	tls_open(&c, NULL, NAME);
	struct rf_peer *o = origin();
	rf_replay_send(c.p, RF_STR("\x17\x03\x03\0\x20" "0123456789abcdef0123456789abcdef"));
	run();
	assert_true(rf_replay_was_reset(o));
	expect_end(490, "disconnect");
	tls_close(&c);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_device), T(test_a_throttled_device), T(test_strangers), T(test_no_certificate_to_show),
		T(test_refused_in_the_handshake), T(test_report), T(test_ends), T(test_broken_tls),
	};
	return cmocka_run_group_tests(tests, keys_setup, keys_teardown);
}
