/* The API over a real Unix socket and loop: framing, keep-alive, limits, peers. */
#include "api/api_test.h"
#include <errno.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "api/ahead.h"
#include "api/call.h"
#include "api/server.h"
#include "net/addr.h"
#include "net/listener.h"
#include "policy/regex.h"
#include "tls/tls.h"

struct world {
	struct fixture f;
	struct rf_loop *loop;
	struct rf_api_server *server;
	char socket[128];
};

enum { BODY_NS = 200 * RF_NS_MS };

static int setup_for(void **state, uint64_t body_ns)
{
	struct world *w = calloc(1, sizeof *w);
	struct rf_addr at;
	int fd;
	*state = w;
	if (fixture_open(&w->f, 0) != 0 || !(w->loop = rf_loop_epoll(&w->f.e)))
		return -1;
	struct rf_api_server_conf conf = { .loop = w->loop, .api = w->f.api, .admin_gid = (gid_t)-1, .body_ns = body_ns };
	w->server = rf_api_server_new(&conf, &w->f.e);
	snprintf(w->socket, sizeof w->socket, "unix:%s/api.sock", w->f.dir);
	if (!rf_addr_parse(rf_str_z(w->socket), &at) || rf_listener_open(&at, &fd, &w->f.e) != RF_OK)
		return -1;
	return rf_api_server_listen(w->server, fd, RF_API_UNIX, &w->f.e);
}

static int setup(void **state) { return setup_for(state, 0); }
static int setup_short(void **state) { return setup_for(state, BODY_NS); }

static int teardown(void **state)
{
	struct world *w = *state;
	rf_api_server_free(w->server);
	rf_loop_turn(w->loop, 0); /* what is still posted */
	rf_loop_free(w->loop);
	unlink(w->socket + 5);
	fixture_close(&w->f);
	free(w);
	return 0;
}

static int dial(struct world *w)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	snprintf(to.sun_path, sizeof to.sun_path, "%s", w->socket + 5);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void turn(struct world *w)
{
	for (int i = 0; i < 6; i++)
		rf_loop_turn(w->loop, 0);
}

/* Send all, with turns of the loop in between; then read what has come. *ret_closed may be NULL. */
static char *talk(struct world *w, int fd, const char *bytes, size_t n, bool *ret_closed)
{
	static char got[1 << 16];
	size_t sent = 0, have = 0;
	bool closed = false;
	while (sent < n) {
		ssize_t r = send(fd, bytes + sent, n - sent, MSG_NOSIGNAL);
		if (r < 0 && errno != EAGAIN)
			break; /* refused in the middle: the answer is there to read */
		sent += r > 0 ? (size_t)r : 0;
		turn(w);
	}
	turn(w);
	for (ssize_t r; have < sizeof got - 1 && (r = read(fd, got + have, sizeof got - 1 - have)) != -1; have += (size_t)r)
		if (r == 0) {
			closed = true;
			break;
		}
	got[have] = '\0';
	if (ret_closed)
		*ret_closed = closed;
	return got;
}

static char *say(struct world *w, int fd, const char *text)
{
	return talk(w, fd, text, strlen(text), NULL);
}

static void answers_a_local_administrator(void **state)
{
	struct world *w = *state;
	int fd = dial(w);
	char *got = say(w, fd, "GET /client/v4/accounts HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_memory_equal(got, "HTTP/1.1 200 OK\r\n", 17);
	assert_non_null(strstr(got, "\"success\":true"));
	assert_non_null(strstr(got, w->f.account));
	got = say(w, fd, "GET /client/v4/zones HTTP/1.1\r\nHost: x\r\n\r\n"); /* the same connection */
	assert_non_null(strstr(got, "example.com"));
	got = say(w, fd, "HEAD /client/v4/zones HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_non_null(strstr(got, "Content-Length: "));
	assert_string_equal(strstr(got, "\r\n\r\n"), "\r\n\r\n");
	close(fd);
}

static void bytes_may_come_one_by_one_and_requests_together(void **state)
{
	struct world *w = *state;
	int fd = dial(w);
	const char *text = "POST /client/v4/zones HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 23"
			   "\r\n\r\n{\"name\":\"slow.example\"}";
	char *got = NULL;
	for (const char *p = text; *p; p++)
		got = talk(w, fd, p, 1, NULL);
	assert_non_null(strstr(got, "slow.example"));
	got = say(w, fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
	char *second = strstr(got + 1, "HTTP/1.1 200 OK");
	assert_non_null(second);
	close(fd);
}

static void chunked_bodies_and_expectations(void **state)
{
	struct world *w = *state;
	int fd = dial(w);
	char *got = say(w, fd, "POST /client/v4/zones HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
			       "Transfer-Encoding: chunked\r\n\r\n8\r\n{\"name\":\r\n11\r\n\"chunked.example\"\r\n1\r\n}\r\n0\r\n\r\n");
	assert_non_null(strstr(got, "chunked.example"));
	got = say(w, fd, "POST /client/v4/zones HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 25\r\n"
			 "Expect: 100-continue\r\n\r\n");
	assert_string_equal(got, "HTTP/1.1 100 Continue\r\n\r\n");
	got = say(w, fd, "{\"name\":\"expect.example\"} ");
	assert_non_null(strstr(got, "expect.example"));
	close(fd);
}

static void nonsense_is_refused_and_closed(void **state)
{
	struct world *w = *state;
	static const struct { const char *text, *status; } cases[] = {
		{ "GET / HTTP/1.1\r\n\r\n", "400" },
		{ "nonsense\r\n\r\n", "400" },
		{ "POST /client/v4/zones HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400" },
		{ "POST /client/v4/zones HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", "413" },
		{ "POST /client/v4/zones HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "400" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		bool closed;
		int fd = dial(w);
		char *got = talk(w, fd, cases[i].text, strlen(cases[i].text), &closed);
		assert_memory_equal(got + 9, cases[i].status, 3);
		assert_true(closed);
		close(fd);
	}
}

static void a_large_body_needs_a_known_sender(void **state)
{
	struct world *w = *state;
	struct rf_addr at;
	int fd;
	assert_true(rf_addr_parse(RF_STR("127.0.0.1:0"), &at));
	assert_int_equal(rf_listener_open(&at, &fd, &w->f.e), RF_OK);
	at = rf_listener_addr(fd);
	assert_int_equal(rf_api_server_listen(w->server, fd, RF_API_PLAIN, &w->f.e), RF_OK);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, &at.sa, at.len), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	bool closed;
	const char *text = "POST /client/v4/zones HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
	char *got = talk(w, fd, text, strlen(text), &closed);
	assert_memory_equal(got, "HTTP/1.1 401", 12);
	assert_true(closed);
	close(fd);
}

/* A request with a body of `size` bytes that makes a zone, much of it spaces; `behind` follows. The caller frees. */
static char *large_request(const char *headers, const char *name, int size, const char *behind, size_t *ret_n)
{
	char *text = NULL;
	int n = asprintf(&text, "POST /client/v4/zones HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s"
				"Content-Length: %d\r\n\r\n{\"name\":\"%s\"%*s}%s",
			 headers, size, name, size - (int)strlen(name) - 11, "", behind);
	assert_true(n > 0);
	*ret_n = (size_t)n;
	return text;
}

static void a_large_body_has_room_and_ends_where_it_ends(void **state)
{
	struct world *w = *state;
	int fd = dial(w);
	for (int i = 0; i < 3; i++) {
		char name[32];
		size_t n;
		snprintf(name, sizeof name, "large%d.example", i);
		char *text = large_request("", name, (1 << 20) + i, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", &n);
		char *got = talk(w, fd, text, n, NULL);
		assert_non_null(strstr(got, name));
		char *second = strstr(got + 1, "HTTP/1.1 200 OK");
		assert_non_null(second);
		assert_null(strstr(second + 1, "HTTP/1.1"));
		free(text);
	}
	close(fd);
}

/* More than may be reserved for them all; and who sends what he announced is served, also where nothing could be reserved for him. */
static void who_announces_much_and_sends_nothing_is_in_nobodys_way(void **state)
{
	enum { SILENT = 20 };
	struct world *w = *state;
	int fds[SILENT];
	size_t n;
	for (int i = 0; i < SILENT; i++) {
		char *got = say(w, fds[i] = dial(w), "POST /client/v4/zones HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
						     "Content-Length: 8388608\r\n\r\n{");
		assert_string_equal(got, "");
	}
	char *text = large_request("", "loud.example", 3 << 20, "", &n);
	int fd = dial(w);
	assert_non_null(strstr(talk(w, fd, text, n, NULL), "loud.example"));
	for (int i = 0; i < SILENT; i++)
		close(fds[i]);
	turn(w);
	turn(w);
	free(text);
	text = large_request("", "later.example", 3 << 20, "", &n);
	assert_non_null(strstr(talk(w, fd, text, n, NULL), "later.example"));
	free(text);
	close(fd);
}

static void connections_are_bounded(void **state)
{
	struct world *w = *state;
	int fds[RF_API_CONNECTIONS + 1];
	for (int i = 0; i <= RF_API_CONNECTIONS; i++) {
		fds[i] = dial(w);
		turn(w);
	}
	struct rf_api_server_stats stats;
	rf_api_server_stats(w->server, &stats);
	assert_int_equal(stats.refused, 1);
	char *got = say(w, fds[0], "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	assert_non_null(strstr(got, "Connection: close"));
	for (int i = 0; i <= RF_API_CONNECTIONS; i++)
		close(fds[i]);
	turn(w);
	int fd = dial(w);
	assert_non_null(strstr(say(w, fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), "200 OK"));
	close(fd);
}

static bool any_host(void *arg, struct rf_stream *s, struct rf_str sni, struct rf_tls_host *ret)
{
	(void)s, (void)sni;
	*ret = (struct rf_tls_host){ .keypair = { arg } };
	return true;
}

static const struct rf_trust *no_trust(void *arg)
{
	(void)arg;
	return NULL;
}

struct tls_client {
	struct rf_addr at;
	const char *token;
	int verdict;        /* 0: it was answered as it should */
	atomic_bool over;
};

static bool tls_send_large(const struct tls_client *c, SSL *ssl)
{
	char headers[200];
	size_t n;
	snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\n", c->token);
	char *text = large_request(headers, "tls.example", 1 << 20, "", &n);
	bool sent = SSL_write(ssl, text, (int)n) == (int)n;
	free(text);
	return sent;
}

static int tls_talk(const struct tls_client *c, SSL *ssl, int fd)
{
	char text[300], got[16384] = "";
	int have = 0;
	if (connect(fd, &c->at.sa, c->at.len) != 0 || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1)
		return 2;
	if (!tls_send_large(c, ssl))
		return 5;
	for (int i = 0; i < 2; i++) {
		int n = snprintf(text, sizeof text, "GET /client/v4/zones HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s\r\n",
				 c->token, i ? "Connection: close\r\n" : "");
		if (SSL_write(ssl, text, n) != n)
			return 3;
	}
	for (int n; have < (int)sizeof got - 1 && (n = SSL_read(ssl, got + have, (int)sizeof got - 1 - have)) > 0;)
		have += n;
	got[have] = '\0';
	char *made = strstr(got, "tls.example"), *first = made ? strstr(made, "example.com") : NULL;
	return first && strstr(first + 1, "Connection: close") ? 0 : 4;
}

/* A thread and no process: the server has threads, and what is forked beside them may find their locks held for ever. */
static void *tls_client(void *arg)
{
	struct tls_client *c = arg;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	c->verdict = tls_talk(c, ssl, fd);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(fd);
	c->over = true;
	return NULL;
}

static void speaks_tls(void **state)
{
	struct world *w = *state;
	struct rf_bundle b = { 0 };
	struct rf_keypair *pair = NULL;
	struct rf_issue issue = { .days = 10, .cn = RF_STR("api") };
	char token[64];
	int fd;
	struct tls_client client = { .token = token };
	pthread_t thread;
	assert_int_equal(rf_ca_bundle(w->f.ca, &issue, test_now_s, &b, &w->f.e), RF_OK);
	assert_int_equal(rf_keypair_from_pem(rf_buf_str(&b.cert_pem), rf_buf_str(&b.key_pem), &pair, &w->f.e), RF_OK);
	rf_bundle_fini(&b);
	struct rf_tls_conf tls_conf = { .host = any_host, .trust = no_trust, .arg = pair,
					.session_cache = 16, .chain_cache = 16, .session_timeout_s = 60,
					.clock = rf_clock_system };
	struct rf_tls *tls = rf_tls_new(&tls_conf, &w->f.e);
	struct rf_api_server_conf conf = { .loop = w->loop, .api = w->f.api, .tls = tls, .admin_gid = (gid_t)-1 };
	struct rf_api_server *server = rf_api_server_new(&conf, &w->f.e);
	assert_true(rf_addr_parse(RF_STR("127.0.0.1:0"), &client.at));
	assert_int_equal(rf_listener_open(&client.at, &fd, &w->f.e), RF_OK);
	client.at = rf_listener_addr(fd);
	assert_int_equal(rf_api_server_listen(server, fd, RF_API_TLS, &w->f.e), RF_OK);
	assert_int_equal(rf_api_first_token(w->f.api, w->f.account, "t", token, &w->f.e), RF_OK);
	assert_int_equal(pthread_create(&thread, NULL, tls_client, &client), 0);
	while (!client.over)
		rf_loop_turn(w->loop, 20 * RF_NS_MS);
	pthread_join(thread, NULL);
	assert_int_equal(client.verdict, 0);
	rf_api_server_free(server);
	rf_tls_free(tls);
	rf_keypair_put(pair);
}

enum { PATTERNS = 100 }; /* two of a rule; a body of more than RF_AHEAD_LEAST */

/* A body with many patterns: {"name": ..., "x": [{"expression": ...}]}. */
static size_t with_patterns(char *to, size_t room, unsigned seed, const char *headers, bool chunked)
{
	static char body[16384];
	int n = snprintf(body, sizeof body, "{\"name\":\"ahead.example\",\"x\":[");
	for (unsigned i = 0; i < PATTERNS / 2; i++)
		n += snprintf(body + n, sizeof body - (size_t)n, "%s{\"expression\":\"http.host matches r#\\\"^p%u-%u[a-f]{40}$\\\"# and "
			      "http.host ~ \\\"^q%u\\\\\\\\.%u$\\\"\"}", i ? "," : "", seed, i, seed, i);
	n += snprintf(body + n, sizeof body - (size_t)n, "]}");
	return (size_t)snprintf(to, room, chunked ? "POST /client/v4/zones HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s"
				"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" :
				"POST /client/v4/zones HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s",
				headers, n, body);
}

/* Turns until it answers, or closes without. */
static char *awaited(struct world *w, int fd)
{
	bool closed;
	char *got;
	while (!*(got = talk(w, fd, "", 0, &closed)) && !closed)
		rf_loop_turn(w->loop, 10 * RF_NS_MS);
	return got;
}

static void patterns_are_compiled_before_the_answer(void **state)
{
	static char text[20000];
	struct world *w = *state;
	for (unsigned seed = 0; seed < 2; seed++) {
		int fd = dial(w), other = dial(w);
		size_t n = with_patterns(text, sizeof text, seed, "", seed == 1);
		size_t before = regex_idle();
		char got[16];
		snprintf(got, sizeof got, "%s", talk(w, fd, text, n, NULL)); /* a thread is at it, and seldom done by now */
		assert_non_null(strstr(say(w, other, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), "200 OK")); /* meanwhile */
		if (!*got)
			snprintf(got, sizeof got, "%s", awaited(w, fd));
		assert_memory_equal(got, seed ? "HTTP/1.1 409" : "HTTP/1.1 200", 12); /* the second has the same name */
	assert_true(regex_idle() > before + PATTERNS * 500); /* let go, and there for who asks next */
		assert_non_null(strstr(say(w, fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), "200 OK"));
		close(fd);
		close(other);
	}
}

static void who_leaves_does_not_leave_its_job(void **state)
{
	static char text[20000];
	struct world *w = *state;
	for (unsigned i = 0; i < RF_AHEAD_WAITING + 2; i++) {
		int fd = dial(w);
		talk(w, fd, text, with_patterns(text, sizeof text, 100 + i, "", false), NULL);
		close(fd);
		turn(w);
	}
	int fd = dial(w);
	talk(w, fd, text, with_patterns(text, sizeof text, 1, "", false), NULL);
	close(fd); /* the server goes while the thread works */
}

static struct world *busy_world;

/* A call that takes three times as long as a client has to send its body. */
static void busy(void *ctx, struct rf_buf *to)
{
	(void)ctx;
	for (uint64_t end = rf_loop_mono(busy_world->loop) + 3 * (uint64_t)BODY_NS; rf_loop_mono(busy_world->loop) < end;)
		;
	rf_buf_addc(to, '\n');
}

static void the_server_own_time_is_not_the_clients(void **state)
{
	struct world *w = busy_world = *state;
	int fd = dial(w), other = dial(w);
	w->f.api->conf.hooks.metrics = busy;
	say(w, fd, "PATCH /client/v4/zones/0 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{");
	assert_non_null(strstr(say(w, other, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), " 200 "));
	assert_non_null(strstr(say(w, fd, "}"), "HTTP/1.1 404"));
	say(w, fd, "PATCH /client/v4/zones/0 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{");
	bool closed = false;
	for (uint64_t end = rf_loop_mono(w->loop) + 40 * (uint64_t)BODY_NS; !closed && rf_loop_mono(w->loop) < end;) {
		rf_loop_turn(w->loop, BODY_NS);
		talk(w, fd, "", 0, &closed);
	}
	assert_true(closed); /* who owes is cut */
	close(fd);
	close(other);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(answers_a_local_administrator), T(bytes_may_come_one_by_one_and_requests_together),
		T(chunked_bodies_and_expectations), T(nonsense_is_refused_and_closed), T(a_large_body_needs_a_known_sender),
		T(a_large_body_has_room_and_ends_where_it_ends), T(who_announces_much_and_sends_nothing_is_in_nobodys_way),
		T(connections_are_bounded), T(speaks_tls),
		T(patterns_are_compiled_before_the_answer), T(who_leaves_does_not_leave_its_job),
		cmocka_unit_test_setup_teardown(the_server_own_time_is_not_the_clients, setup_short, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
