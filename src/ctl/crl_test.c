/* Lists of uploaded roots: put together, fetched from a server in this process, and what happens when they are bad. */
#include "ctl/test.h"
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include "ctl/crl.h"
#include "pki/pem.h"
#include "records/counters.h"

/* --- a server of one answer --- */

static struct {
	int fd;
	uint16_t port;
	pthread_t thread;
	pthread_mutex_t mutex;
	struct rf_buf answer;    /* whole response; bad requests of the test are not looked at */
	char etag[32];           /* 304 where the request has it */
	char request[2048];
	unsigned served;
	bool hang, stop;
} srv = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void send_all(int fd, struct rf_str s)
{
	while (s.n) {
		ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		s = rf_str_skip(s, (size_t)n);
	}
}

static void serve_one(int fd)
{
	char buf[2048];
	size_t n = 0;
	ssize_t r;
	while (n < sizeof buf - 1 && (r = read(fd, buf + n, sizeof buf - 1 - n)) > 0) {
		n += (size_t)r;
		buf[n] = '\0';
		if (strstr(buf, "\r\n\r\n"))
			break;
	}
	buf[n] = '\0';
	pthread_mutex_lock(&srv.mutex);
	memcpy(srv.request, buf, sizeof buf);
	srv.served++;
	bool hang = srv.hang;
	if (!hang && srv.etag[0] && strstr(buf, srv.etag))
		send_all(fd, RF_STR("HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n"));
	else if (!hang)
		send_all(fd, rf_buf_str(&srv.answer));
	pthread_mutex_unlock(&srv.mutex);
	if (hang) /* until the client gives up */
		(void)!read(fd, buf, 1);
	close(fd);
}

static void *serve(void *arg)
{
	(void)arg;
	for (;;) {
		int fd = accept(srv.fd, NULL, NULL);
		if (fd < 0)
			return NULL;
		serve_one(fd);
	}
}

static void server_start(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof a;
	srv.fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(srv.fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(srv.fd, 8), 0);
	getsockname(srv.fd, (struct sockaddr *)&a, &n);
	srv.port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&srv.thread, NULL, serve, NULL), 0);
}

static void server_stop(void)
{
	shutdown(srv.fd, SHUT_RDWR);
	pthread_join(srv.thread, NULL);
	close(srv.fd);
	rf_buf_fini(&srv.answer);
}

static void server_says(const char *status, const char *headers, struct rf_str body)
{
	pthread_mutex_lock(&srv.mutex);
	rf_buf_clear(&srv.answer);
	rf_buf_printf(&srv.answer, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n", status, headers, body.n);
	rf_buf_add(&srv.answer, body);
	srv.etag[0] = '\0';
	pthread_mutex_unlock(&srv.mutex);
}

/* --- lists and roots --- */

static struct rf_ca *other;

static struct rf_buf list_of(struct rf_ca *ca, const char *serial, uint64_t number, uint64_t base, unsigned valid_for)
{
	struct rf_buf der = { 0 };
	struct rf_crl_entry entry;
	GOOD(rf_crl_entry(rf_str_z(serial), NOW - 10, RF_REASON_KEY_COMPROMISE, &entry));
	struct rf_crl_make m = { .ca = rf_ca_cert(ca), .key = rf_ca_key(ca), .entries = &entry, .count = 1, .number = number,
				 .base = base, .delta = base != 0, .now = NOW - 60 + (int64_t)number, .valid_for = valid_for };
	GOOD(rf_crl_build(&m, &der, &w.e));
	return der;
}

static json_t *pem_of(struct rf_str der)
{
	RF_BUF_AUTO pem = { 0 };
	rf_pem_wrap(&pem, "X509 CRL", der);
	return json_pack("{s:s}", "pem", rf_buf_z(&pem));
}

static json_t *root_doc(const char *path, json_t *crls)
{
	RF_BUF_AUTO pem = { 0 };
	char url[128];
	GOOD(rf_ca_chain_pem(other, &pem));
	snprintf(url, sizeof url, "http://127.0.0.1:%u%s", srv.port, path ? path : "");
	json_t *urls = json_array();
	if (path)
		json_array_append_new(urls, json_string(url));
	return json_pack("{s:b, s:s, s:s, s:o, s:o}", "ca", 1, "certificates", rf_buf_z(&pem), "crl_mode", "closed", "crl_urls",
			 urls, "crls", crls ? crls : json_array());
}

static int setup(void **state)
{
	(void)state;
	world_open("crl:\n  timeout: 1s\n  max_bytes: 4KB\n  refresh: 1h\n");
	char dir[128];
	snprintf(dir, sizeof dir, "%s", in_dir("other"));
	assert_int_equal(mkdir(dir, 0700), 0);
	struct rf_ca_conf conf = { .dir = dir };
	GOOD(rf_ca_open(&conf, NOW, &other, &w.e));
	server_start();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rf_crl_fetcher_stop(w.ctl.priv->crl);
	w.ctl.priv->crl = NULL;
	server_stop();
	rf_ca_free(other);
	world_close();
	return 0;
}

static void fetcher_start(void)
{
	GOOD(rf_crl_fetcher_start(&w.ctl, &w.ctl.priv->crl, &w.e));
}

static json_t *status(void)
{
	json_t *a = json_array();
	GOOD(rf_crl_status(&w.ctl, a, &w.e));
	return a;
}

/* The member of the only entry becomes this; the control loop turns meanwhile. */
static void until(const char *member, const char *want)
{
	uint64_t end = world_mono(NULL) + 10 * RF_NS_S;
	for (;;) {
		json_t *a = status();
		const json_t *v = json_object_get(json_array_get(a, 0), member);
		char is[256] = "";
		if (json_is_string(v))
			snprintf(is, sizeof is, "%s", json_string_value(v));
		else if (json_is_integer(v))
			snprintf(is, sizeof is, "%lld", (long long)json_integer_value(v));
		json_decref(a);
		if (want[0] ? strstr(is, want) != NULL : !is[0])
			return;
		if (world_mono(NULL) > end)
			fail_msg("%s is \"%s\", not \"%s\"", member, is, want);
		rf_loop_turn(w.ctl.loop, 5 * RF_NS_MS);
	}
}

/* The next fetch has failed with a text that says so. */
static void fails_with(const char *text)
{
	rf_crl_fetcher_kick(w.ctl.priv->crl);
	until("last_error", text);
}

static void set_of(const char *root_id, const json_t *doc, struct rf_crl_set *ret)
{
	GOOD(rf_crl_set_load(&w.ctl, root_id, doc, ret, &w.e));
}

static bool has(const struct rf_crl_set *s, const char *serial)
{
	struct rf_crl_entry e;
	GOOD(rf_crl_entry(rf_str_z(serial), 0, 0, &e));
	return s->n == 1 && rf_crl_find(s->v[0], (struct rf_str){ (const char *)e.serial, e.serial_len });
}

/* --- tests --- */

#define ROOT "0123456789abcdef0123456789abcdef"

static void the_newest_uploaded_list_wins_and_deltas_apply(void **state)
{
	(void)state;
	RF_BUF_AUTO one = list_of(other, "11", 1, 0, 3600);
	RF_BUF_AUTO two = list_of(other, "22", 2, 0, 3600);
	RF_BUF_AUTO delta = list_of(other, "33", 3, 2, 3600);
	RF_BUF_AUTO far = list_of(other, "44", 9, 8, 3600);
	struct rf_crl_set s;
	json_t *doc = root_doc(NULL, json_pack("[o,o,o,o]", pem_of(rf_buf_str(&far)), pem_of(rf_buf_str(&two)),
					       pem_of(rf_buf_str(&one)), pem_of(rf_buf_str(&delta))));
	set_of(ROOT, doc, &s);
	assert_true(has(&s, "22"));
	assert_true(has(&s, "33"));
	assert_false(has(&s, "11"));
	assert_false(has(&s, "44"));
	assert_int_equal(s.v[0]->number, 3);
	rf_crl_set_fini(&s);
	json_decref(doc);
}

static void a_bad_uploaded_list_is_an_error_and_a_bad_kept_one_is_left_out(void **state)
{
	(void)state;
	RF_BUF_AUTO foreign = list_of(w.ctl.ca, "11", 1, 0, 3600);
	struct rf_crl_set s = { .n = 7 };
	json_t *doc = root_doc(NULL, json_pack("[o]", pem_of(rf_buf_str(&foreign))));
	assert_int_equal(rf_crl_set_load(&w.ctl, ROOT, doc, &s, &w.e), RF_E_CERT);
	assert_int_equal(s.n, 7);
	json_decref(doc);

	doc = root_doc("/x", NULL);
	assert_int_equal(mkdir(in_dir("crl"), 0700), 0);
	GOOD(rf_file_put(in_dir("crl/" ROOT "-0.crl"), 0600, rf_buf_str(&foreign), &w.e));
	set_of(ROOT, doc, &s);
	assert_int_equal(s.n, 0);
	RF_BUF_AUTO good = list_of(other, "11", 1, 0, 3600);
	GOOD(rf_file_put(in_dir("crl/" ROOT "-0.crl"), 0600, rf_buf_str(&good), &w.e));
	set_of(ROOT, doc, &s);
	assert_true(has(&s, "11"));
	rf_crl_set_fini(&s);
	json_decref(doc);
}

static void a_list_is_fetched_kept_and_put_in_force(void **state)
{
	(void)state;
	RF_BUF_AUTO one = list_of(other, "11", 1, 0, 3600);
	char id[33] = "", path[128];
	uint64_t snapshots = rf_counter_sum(RF_C_SNAPSHOTS), fetched = rf_counter_sum(RF_C_CRL_FETCHED);
	server_says("200 OK", "ETag: \"v1\"\r\nLast-Modified: Mon, 21 Sep 2026 12:00:00 GMT\r\n", rf_buf_str(&one));
	fetcher_start();
	world_put(RF_KIND_ROOT, w.ctl.account_id, "r", root_doc("/a", NULL), id);
	until("state", "fresh");
	while (w.ctl.priv->parts.trust && rf_counter_sum(RF_C_SNAPSHOTS) < snapshots + 2)
		rf_loop_turn(w.ctl.loop, 5 * RF_NS_MS);
	assert_int_equal(rf_counter_sum(RF_C_CRL_FETCHED), fetched + 1);
	snprintf(path, sizeof path, "%s/crl/%s-0.crl", w.dir, id);
	assert_int_equal(access(path, R_OK), 0);

	/* The same again is asked for by its tag, and nothing is built. */
	pthread_mutex_lock(&srv.mutex);
	snprintf(srv.etag, sizeof srv.etag, "\"v1\"");
	unsigned served = srv.served;
	pthread_mutex_unlock(&srv.mutex);
	rf_crl_fetcher_kick(w.ctl.priv->crl);
	for (uint64_t end = world_mono(NULL) + 10 * RF_NS_S; rf_counter_sum(RF_C_CRL_FETCHED) < fetched + 2;) {
		assert_true(world_mono(NULL) < end);
		rf_loop_turn(w.ctl.loop, 5 * RF_NS_MS);
	}
	pthread_mutex_lock(&srv.mutex);
	assert_int_equal(srv.served, served + 1);
	assert_non_null(strstr(srv.request, "If-None-Match: \"v1\""));
	assert_non_null(strstr(srv.request, "If-Modified-Since: Mon, 21 Sep 2026 12:00:00 GMT"));
	pthread_mutex_unlock(&srv.mutex);
	assert_int_equal(rf_counter_sum(RF_C_SNAPSHOTS), snapshots + 2);

	/* When the root goes, its list goes. */
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	GOOD(rf_store_del(w.ctl.store, RF_KIND_ROOT, id, 0, &w.e));
	GOOD(rf_ctl_touch(&w.ctl, RF_KIND_ROOT, id, &w.e));
	GOOD(rf_ctl_commit(&w.ctl, false, &w.e));
	assert_int_not_equal(access(path, R_OK), 0);
}

static void what_is_bad_changes_nothing(void **state)
{
	(void)state;
	RF_BUF_AUTO two = list_of(other, "22", 2, 0, 3600);
	RF_BUF_AUTO one = list_of(other, "11", 1, 0, 3600);
	RF_BUF_AUTO foreign = list_of(w.ctl.ca, "11", 9, 0, 3600);
	RF_BUF_AUTO large = { 0 };
	char id[33] = "";
	uint64_t failed = rf_counter_sum(RF_C_CRL_FAILED);
	server_says("200 OK", "", rf_buf_str(&two));
	fetcher_start();
	world_put(RF_KIND_ROOT, w.ctl.account_id, "r", root_doc("/a", NULL), id);
	until("number", "2");

	server_says("200 OK", "", rf_buf_str(&one));
	fails_with("older than the one that is held");
	server_says("200 OK", "", rf_buf_str(&foreign));
	fails_with("CRL");
	server_says("200 OK", "", RF_STR("<html>captive portal</html>"));
	fails_with("DER");
	server_says("404 Not Found", "", RF_STR("no"));
	fails_with("status 404");
	rf_buf_room(&large, 8192);
	large.n = 8192;
	memset(large.p, 'x', large.n);
	server_says("200 OK", "", rf_buf_str(&large));
	fails_with("larger than 4096 bytes");
	char loop[128];
	snprintf(loop, sizeof loop, "Location: http://127.0.0.1:%u/b\r\n", srv.port);
	server_says("302 Found", loop, RF_STR(""));
	fails_with("redirects");
	server_says("302 Found", "Location: file:///etc/passwd\r\n", RF_STR(""));
	fails_with("rotocol");
	pthread_mutex_lock(&srv.mutex);
	srv.hang = true;
	pthread_mutex_unlock(&srv.mutex);
	fails_with("did not arrive");
	pthread_mutex_lock(&srv.mutex);
	srv.hang = false;
	pthread_mutex_unlock(&srv.mutex);
	until("number", "2");
	assert_true(rf_counter_sum(RF_C_CRL_FAILED) >= failed + 8);

	server_says("200 OK", "", rf_buf_str(&two));
	fails_with("");
	until("state", "fresh");
}

static void a_list_that_expires_is_told_as_such(void **state)
{
	(void)state;
	RF_BUF_AUTO one = list_of(other, "11", 1, 0, 3600);
	RF_BUF_AUTO two = list_of(other, "22", 2, 0, 360000);
	char id[33] = "";
	server_says("200 OK", "", rf_buf_str(&one));
	fetcher_start();
	world_put(RF_KIND_ROOT, w.ctl.account_id, "r", root_doc("/a", NULL), id);
	until("state", "fresh");
	__atomic_store_n(&w.now_s, NOW + 4000, __ATOMIC_SEQ_CST);
	until("state", "expired");
	server_says("200 OK", "", rf_buf_str(&two));
	rf_crl_fetcher_kick(w.ctl.priv->crl);
	until("state", "fresh");
	until("number", "2");
}

static void after_a_restart_the_kept_list_still_bars_older_ones(void **state)
{
	(void)state;
	RF_BUF_AUTO two = list_of(other, "22", 2, 0, 3600);
	RF_BUF_AUTO one = list_of(other, "11", 1, 0, 3600);
	char id[33] = "";
	server_says("200 OK", "", rf_buf_str(&two));
	fetcher_start();
	world_put(RF_KIND_ROOT, w.ctl.account_id, "r", root_doc("/a", NULL), id);
	until("number", "2");
	rf_crl_fetcher_stop(w.ctl.priv->crl);
	w.ctl.priv->crl = NULL;
	server_says("200 OK", "", rf_buf_str(&one));
	fetcher_start();
	until("last_error", "older than the one that is held (number 2)");
}

static void uploaded_and_missing_lists_are_told(void **state)
{
	(void)state;
	char id[33] = "";
	fetcher_start();
	world_put(RF_KIND_ROOT, w.ctl.account_id, "r", root_doc(NULL, NULL), id);
	until("state", "missing");
	RF_BUF_AUTO one = list_of(other, "11", 1, 0, 3600);
	json_t *crl = pem_of(rf_buf_str(&one));
	json_object_set_new(crl, "number", json_integer(1));
	json_object_set_new(crl, "this_update", json_string("2026-09-21T00:00:00Z"));
	json_object_set_new(crl, "next_update", json_string("2026-09-22T00:00:00Z"));
	world_put(RF_KIND_ROOT, w.ctl.account_id, "r", root_doc(NULL, json_pack("[o]", crl)), id);
	until("number", "1");
	__atomic_store_n(&w.now_s, NOW + 10 * 86400, __ATOMIC_SEQ_CST);
	until("state", "expired");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_newest_uploaded_list_wins_and_deltas_apply),
		T(a_bad_uploaded_list_is_an_error_and_a_bad_kept_one_is_left_out),
		T(a_list_is_fetched_kept_and_put_in_force),
		T(what_is_bad_changes_nothing),
		T(a_list_that_expires_is_told_as_such),
		T(after_a_restart_the_kept_list_still_bars_older_ones),
		T(uploaded_and_missing_lists_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
