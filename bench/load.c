/* bench/load: devices that call an edge on 127.0.0.1, and check every answer.
 *
 * usage: load MODE --port P [--devices FILE --chain FILE --first N --count N | --tls off] [--conns N]
 *
 *   full    each unit: TCP connect, full mTLS handshake, one request, close
 *   resume  the same, resuming the newest session of the device (a device's first unit is full)
 *   keep    each unit: one request on one of --conns keepalive mTLS connections
 *   bulk    the same, with an answer of BULK_LEN bytes
 *   flood   each unit: TCP connect, ClientHello, wait for the first byte of the answer, reset
 *
 * With `--tls off` full makes a connection for each unit, keep and bulk keep theirs.
 *
 * Commands come on stdin, one a line; each is answered by one line of JSON on stdout:
 *
 *   open N           (keep) open connections until there are N, one request on each
 *   run N            closed loop: N units, all slots busy
 *   rate R SECONDS   open loop: Poisson arrivals, R a second; latency counts from the arrival
 *   get PATH STATUS  one unit that asks for PATH and expects STATUS; so do all units after it
 *   echo             nothing; proves that the generator is ready
 *
 * The way of one unit: launch -> (CONNECT -> HANDSHAKE ->) SEND -> RECEIVE -> finish, each step run again
 * when epoll says so. The devices of a mode are used in turn, so `--count` at least the units of all
 * commands gives every handshake a certificate that the server has not seen.
 *
 * A unit is bad when the connection fails, or the answer is not the expected status, length and body.
 *
 * Not here: verification of the server's certificate (the answer's body proves the way to our origin).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "body.h"
#include "device.h"

#define HOST "bench.test"
#define ANSWER_MAX 4096
#define HELLO_MAX 1024
#define SAMPLES_MAX 4000000
#define OPENING_MAX 16 /* handshakes at a time while connections are opened */
#define STALL_NS 5000000000ull /* a closed loop without progress for so long is broken */
#define FLOOD_WAIT_NS 500000000ull

enum mode { FULL, RESUME, KEEP, FLOOD, BULK };
enum state { FREE, CONNECT, HANDSHAKE, SEND, RECEIVE };

struct conn {
	int fd;
	SSL *ssl;
	enum state state;
	struct device *device;
	uint64_t due; /* when the unit should have begun, ns */
	size_t have, left; /* bytes of the answer in `in`; of a bulk body still to come */
	char in[ANSWER_MAX + 1];
};

struct tally {
	size_t launched, done, bad, reused;
	char error[160];
};

static enum mode mode;
static const char *const mode_names[] = {"full", "resume", "keep", "flood", "bulk"};
static bool plain;
static uint16_t port;
static size_t slots = 8;
static unsigned status_expected = 200;
static char request[1024];
static size_t request_len;
static unsigned char hello[HELLO_MAX];
static size_t hello_len;
static struct fleet fleet;
static size_t next_device;
static SSL_CTX *ctx;
static int ep;
static struct conn *conns;
static struct conn **idle; /* ring of connections without a unit, longest idle first */
static size_t idle_first, idle_count, opened;
static struct tally tally;
static uint32_t *samples; /* latency of each unit, ns/16 */

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "load: %s\n", what);
	exit(1);
}

static void idle_push(struct conn *c)
{
	idle[(idle_first + idle_count++) % slots] = c;
}

static struct conn *idle_pop(void)
{
	struct conn *c = idle[idle_first];
	idle_first = (idle_first + 1) % slots;
	idle_count--;
	return c;
}

/* -- one connection ------------------------------------------------------------------------------ */

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct conn *c = SSL_get_app_data(ssl);
	SSL_SESSION_free(c->device->session);
	c->device->session = session;
	return 1;
}

static void make_context(void)
{
	ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
	    !SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") || !SSL_CTX_set1_groups_list(ctx, "X25519"))
		die("no TLS context");
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
	if (mode != RESUME)
		return;
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
}

/* The bytes of one ClientHello, used again by every unit of a flood. */
static void make_hello(void)
{
	SSL *ssl = SSL_new(ctx);
	BIO *out = BIO_new(BIO_s_mem());
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
	SSL_set_tlsext_host_name(ssl, HOST);
	SSL_connect(ssl);
	int n = BIO_read(out, hello, sizeof(hello));
	if (n <= 0)
		die("no ClientHello");
	hello_len = n;
	SSL_free(ssl);
	ERR_clear_error();
}

static void set_up_tls(struct conn *c)
{
	c->device = &fleet.devices[next_device++ % fleet.count];
	c->ssl = SSL_new(ctx);
	if (!c->ssl || SSL_use_cert_and_key(c->ssl, c->device->cert, c->device->key, fleet.chain, 1) != 1)
		die("certificate not usable");
	SSL_set_fd(c->ssl, c->fd);
	SSL_set_app_data(c->ssl, c);
	SSL_set_tlsext_host_name(c->ssl, HOST);
	if (mode == RESUME && c->device->session)
		SSL_set_session(c->ssl, c->device->session);
	SSL_set_connect_state(c->ssl);
}

static void shut(struct conn *c)
{
	if (c->ssl && c->state == FREE)
		SSL_shutdown(c->ssl);
	else if (mode == FLOOD)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
	SSL_free(c->ssl);
	close(c->fd);
	c->ssl = NULL;
	c->fd = -1;
}

static bool keeps(void)
{
	return mode == KEEP || mode == BULK;
}

/* End the unit of `c`, well when `error` is NULL. The connection of a good keepalive unit stays. */
static void finish(struct conn *c, const char *error)
{
	if (tally.done < SAMPLES_MAX)
		samples[tally.done] = (now_ns() - c->due) / 16;
	tally.done++;
	if (error && !tally.bad++)
		snprintf(tally.error, sizeof(tally.error), "%s: %.100s", error, ERR_peek_error() ?
			 ERR_reason_error_string(ERR_peek_error()) : strerror(errno));
	ERR_clear_error();
	if (!error)
		c->state = FREE;
	if (!error && c->ssl && !keeps())
		tally.reused += SSL_session_reused(c->ssl);
	if (error || !keeps())
		shut(c);
	c->state = FREE;
	idle_push(c);
}

/* 1 when the answer is whole and right, 0 when bytes are missing, -1 when it is wrong. */
static int check_answer(struct conn *c)
{
	c->in[c->have] = 0;
	char *head_end = strstr(c->in, "\r\n\r\n"), *length;
	if (!head_end)
		return c->have < ANSWER_MAX ? 0 : -1;
	length = strcasestr(c->in, "\r\ncontent-length:");
	if (strncmp(c->in, "HTTP/1.1 ", 9) || strtoul(c->in + 9, NULL, 10) != status_expected || !length)
		return -1;
	size_t body = c->in + c->have - (head_end + 4), want = strtoul(length + 17, NULL, 10);
	if (mode == BULK && want == BULK_LEN && body <= want) {
		c->left = want - body;
		return !c->left;
	}
	if (body != want)
		return body < want && c->have < ANSWER_MAX ? 0 : -1;
	if (status_expected != 200)
		return 1;
	return want == BODY_LEN && !memcmp(head_end + 4, BODY, BODY_LEN) ? 1 : -1;
}

static bool again(struct conn *c, int ret)
{
	if (!c->ssl)
		return ret < 0 && errno == EAGAIN;
	int e = SSL_get_error(c->ssl, ret);
	return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE;
}

static int get_bytes(struct conn *c, void *to, size_t n)
{
	return c->ssl ? SSL_read(c->ssl, to, n) : (int)recv(c->fd, to, n, 0);
}

static int put_bytes(struct conn *c, const void *from, size_t n)
{
	return c->ssl ? SSL_write(c->ssl, from, n) : (int)send(c->fd, from, n, MSG_NOSIGNAL);
}

static void step_flood(struct conn *c)
{
	char byte;
	if (c->state == CONNECT) {
		ssize_t n = send(c->fd, hello, hello_len, MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
			return;
		if (n != (ssize_t)hello_len) {
			finish(c, "hello");
			return;
		}
		c->state = RECEIVE;
	}
	ssize_t n = recv(c->fd, &byte, 1, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	finish(c, n == 1 ? NULL : "flood");
}

/* The rest of a bulk body: each byte is looked at. False when the unit is over. */
static bool take_bulk(struct conn *c, const char *p, size_t n)
{
	static char want[1 << 16];
	if (!want[0])
		memset(want, 'x', sizeof(want));
	c->left -= n;
	if (!memcmp(p, want, n) && c->left)
		return true;
	finish(c, memcmp(p, want, n) ? "wrong answer" : NULL);
	return false;
}

static void receive(struct conn *c)
{
	static char bulk[1 << 16];
	for (;;) {
		char *to = c->left ? bulk : c->in + c->have;
		size_t room = !c->left ? ANSWER_MAX - c->have : c->left < sizeof(bulk) ? c->left : sizeof(bulk);
		int n = get_bytes(c, to, room);
		if (n <= 0) {
			if (!again(c, n))
				finish(c, "read");
			return;
		}
		if (c->left) {
			if (!take_bulk(c, bulk, n))
				return;
			continue;
		}
		c->have += n;
		int whole = check_answer(c);
		if (whole) {
			finish(c, whole > 0 ? NULL : "wrong answer");
			return;
		}
	}
}

static void step(struct conn *c)
{
	if (mode == FLOOD) {
		step_flood(c);
		return;
	}
	if (c->state == CONNECT)
		c->state = c->ssl ? HANDSHAKE : SEND;
	if (c->state == HANDSHAKE) {
		int n = SSL_do_handshake(c->ssl);
		if (n != 1) {
			if (!again(c, n))
				finish(c, "handshake");
			return;
		}
		c->state = SEND;
	}
	if (c->state == SEND) {
		int n = put_bytes(c, request, request_len);
		if (n != (int)request_len) {
			if (c->ssl || (n != -1 || (errno != EAGAIN && errno != ENOTCONN)))
				finish(c, "write");
			return;
		}
		c->state = RECEIVE;
	}
	receive(c);
}

static void connect_to(struct conn *c)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int on = 1;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("out of descriptors");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (mode != FLOOD && !plain)
		set_up_tls(c);
	c->state = CONNECT;
	connect(c->fd, (struct sockaddr *)&a, sizeof(a));
	epoll_ctl(ep, EPOLL_CTL_ADD, c->fd,
		  &(struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c});
}

static void launch(struct conn *c, uint64_t due)
{
	tally.launched++;
	c->due = due;
	c->have = c->left = 0;
	if (c->fd < 0) {
		connect_to(c);
		return;
	}
	c->state = SEND;
	step(c);
}

/* -- loops --------------------------------------------------------------------------------------- */

static void poll_once(uint64_t wait_ns)
{
	struct epoll_event ev[256];
	struct timespec t = {wait_ns / 1000000000, wait_ns % 1000000000};
	int n = epoll_pwait2(ep, ev, 256, &t, NULL);
	for (int i = 0; i < n; i++) {
		struct conn *c = ev[i].data.ptr;
		if (c->state != FREE) {
			step(c);
		} else if (c->fd >= 0 && ev[i].events & (EPOLLRDHUP | EPOLLHUP)) {
			shut(c);
		}
	}
}

/* Every unit under way that was due before `due_before` ends as bad: the server does not answer. */
static void abandon(const char *why, uint64_t due_before)
{
	for (size_t i = 0; i < slots; i++) {
		if (conns[i].state == FREE || conns[i].due >= due_before)
			continue;
		errno = ETIMEDOUT;
		finish(&conns[i], why);
	}
}

static void closed_loop(size_t units)
{
	uint64_t progress = now_ns();
	for (size_t before = 0; tally.done < units; before = tally.done) {
		while (idle_count && tally.launched < units)
			launch(idle_pop(), now_ns());
		poll_once(STALL_NS / 10);
		if (tally.done != before) {
			progress = now_ns();
		} else if (now_ns() - progress > STALL_NS) {
			abandon("no progress for 5 s", UINT64_MAX);
			return;
		}
	}
}

static void open_connections(size_t want)
{
	for (; opened < want && opened < slots; opened++) {
		while (tally.launched - tally.done >= OPENING_MAX)
			poll_once(STALL_NS);
		launch(idle_pop(), now_ns());
	}
	while (tally.done < tally.launched)
		poll_once(STALL_NS);
}

static void open_loop(double rate, double seconds)
{
	uint64_t start = now_ns(), end = start + seconds * 1e9, due = start, now = start, swept = start;
	bool draining = false;
	while ((now = now_ns()) < end + STALL_NS) {
		while (idle_count && due <= now && due < end) {
			launch(idle_pop(), due);
			due += -log(1 - drand48()) / rate * 1e9;
		}
		draining = due >= end;
		if (draining && (tally.done == tally.launched || mode == FLOOD))
			break;
		uint64_t wait = !idle_count || draining ? 10000000 : due > now_ns() ? due - now_ns() : 0;
		poll_once(wait < 10000000 ? wait : 10000000);
		if (mode == FLOOD && now - swept > FLOOD_WAIT_NS / 10) {
			abandon("no answer", now - FLOOD_WAIT_NS);
			swept = now;
		}
	}
	abandon("no answer", UINT64_MAX);
}

/* -- commands ------------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static double percentile_us(size_t count, double share)
{
	return count ? samples[(size_t)((count - 1) * share)] * 16 / 1000.0 : 0;
}

static void report(uint64_t started)
{
	size_t n = tally.done < SAMPLES_MAX ? tally.done : SAMPLES_MAX;
	double seconds = (now_ns() - started) / 1e9;
	qsort(samples, n, sizeof(*samples), by_value);
	printf("{\"units\":%zu,\"bad\":%zu,\"reused\":%zu,\"seconds\":%.6f,\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f,"
	       "\"error\":\"%s\"}\n", tally.done, tally.bad, tally.reused, seconds, percentile_us(n, 0.5),
	       percentile_us(n, 0.99), percentile_us(n, 0.999), percentile_us(n, 1), tally.error);
	fflush(stdout);
}

static void set_path(const char *path)
{
	request_len = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: " HOST "\r\n"
			       "User-Agent: bench\r\nAccept: */*\r\n\r\n", path);
}

static void get(const char *path)
{
	set_path(path);
	closed_loop(1);
}

static void obey(const char *line)
{
	size_t n;
	double rate, seconds;
	char path[200];
	uint64_t started = now_ns();
	tally = (struct tally){0};
	if (sscanf(line, "run %zu", &n) == 1)
		closed_loop(n);
	else if (sscanf(line, "open %zu", &n) == 1)
		open_connections(n);
	else if (sscanf(line, "rate %lf %lf", &rate, &seconds) == 2)
		open_loop(rate, seconds);
	else if (sscanf(line, "get %199s %u", path, &status_expected) == 2)
		get(path);
	else if (strcmp(line, "echo\n"))
		die("unknown command");
	report(started);
}

static void make_slots(void)
{
	ep = epoll_create1(EPOLL_CLOEXEC);
	conns = calloc(slots, sizeof(*conns));
	idle = calloc(slots, sizeof(*idle));
	samples = calloc(SAMPLES_MAX, sizeof(*samples));
	if (ep < 0 || !conns || !idle || !samples)
		die("out of memory");
	for (size_t i = 0; i < slots; i++) {
		conns[i].fd = -1;
		idle_push(&conns[i]);
	}
}

static enum mode parse_mode(const char *name)
{
	for (size_t i = 0; name && i < sizeof(mode_names) / sizeof(*mode_names); i++)
		if (!strcmp(name, mode_names[i]))
			return i;
	die("usage: load full|resume|keep|bulk|flood --port P ...");
	return FULL;
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {{"port", 1, NULL, 'p'}, {"devices", 1, NULL, 'd'}, {"chain", 1, NULL, 'c'},
		{"first", 1, NULL, 'f'}, {"count", 1, NULL, 'n'}, {"conns", 1, NULL, 's'},
		{"tls", 1, NULL, 't'}, {0}};
	const char *devices = NULL, *chain = NULL;
	size_t first = 0, count = 64;
	int o;
	mode = parse_mode(argv[1]);
	while ((o = getopt_long(argc - 1, argv + 1, "", options, NULL)) != -1) {
		switch (o) {
		case 'p': port = atoi(optarg); break;
		case 'd': devices = optarg; break;
		case 'c': chain = optarg; break;
		case 'f': first = strtoul(optarg, NULL, 10); break;
		case 'n': count = strtoul(optarg, NULL, 10); break;
		case 's': slots = strtoul(optarg, NULL, 10); break;
		case 't': plain = !strcmp(optarg, "off"); break;
		default: exit(2);
		}
	}
	if (mode != FLOOD && !plain && (!devices || !chain))
		die("--devices and --chain are needed");
	if (mode != FLOOD && !plain)
		fleet_load(&fleet, devices, chain, first, count);
}

int main(int argc, char **argv)
{
	char line[128];
	if (argc < 2)
		parse_mode(NULL);
	parse(argc, argv);
	prctl(PR_SET_TIMERSLACK, 1);
	make_context();
	make_slots();
	set_path(mode == BULK ? BULK_PATH : "/v1/readings");
	if (mode == FLOOD)
		make_hello();
	while (fgets(line, sizeof(line), stdin))
		obey(line);
	return 0;
}
