/* Requests of several clients on one connection to an origin: each gets its own answer or none, whatever the origin and the other
 * clients do. In virtual time. */
#include "svc/http/test.h"

#define OK_TEXT(n, body) "HTTP/1.1 200 OK\r\nContent-Length: " n "\r\n\r\n" body

#define WEBSOCKET "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" \
	"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"

static int setup(void **state)
{
	(void)state;
	world_open();
	w.origin[0].pipeline = 4;
	w.group.passive_fails = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close();
	return 0;
}

static void send_get(struct rf_peer *c, const char *path)
{
	char text[128];
	snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: app.test\r\n\r\n", path);
	rf_replay_send(c, rf_str_z(text));
}

/* n clients that ask for /0, /1, ... in one turn. */
static void ask(struct rf_peer **c, unsigned n)
{
	char path[16];
	for (unsigned i = 0; i < n; i++)
		c[i] = client();
	for (unsigned i = 0; i < n; i++) {
		snprintf(path, sizeof path, "/%u", i);
		send_get(c[i], path);
	}
	run();
}

/* The same in a world that begins with them: the origin's end of their lane, which has read what they ask. */
static struct rf_peer *asked_of(struct rf_peer **c, unsigned n)
{
	world_start();
	ask(c, n);
	struct rf_peer *o = origin();
	heard(o);
	return o;
}

static unsigned gets(const char *text)
{
	unsigned n = 0;
	for (; (text = strstr(text, "GET /")); text++)
		n++;
	return n;
}

static bool is_body(const char *text, const char *body)
{
	const char *at = strstr(text, "\r\n\r\n");
	return has(text, "HTTP/1.1 200 ") && at && strcmp(at + 4, body) == 0;
}

/* It comes alone on a connection of its own, and is answered. */
static void repeated(struct rf_peer *c, const char *path, const char *body)
{
	char line[32];
	struct rf_peer *o = origin();
	assert_non_null(o);
	snprintf(line, sizeof line, "GET %s HTTP", path);
	const char *asked = heard(o);
	assert_true(has(asked, line));
	assert_int_equal(gets(asked), 1);
	answer(o, body);
	assert_true(is_body(heard(c), body));
}

static void test_shared(void **state)
{
	(void)state;
	struct rf_peer *c[3];
	world_start();
	ask(c, 3);
	struct rf_peer *o = origin();
	const char *a = heard(o), *b = strstr(a, "GET /1 "), *d = strstr(a, "GET /2 ");
	assert_true(has(a, "GET /0 ") && b && d && b < d);
	assert_null(origin());
	say(o, OK_TEXT("5", "first") OK_TEXT("6", "second") "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nth");
	assert_true(is_body(heard(c[0]), "first"));
	assert_true(is_body(heard(c[1]), "second"));
	assert_true(has(heard(c[2]), "\r\n\r\nth"));
	say(o, "ird");
	assert_string_equal(heard(c[2]), "ird");
	assert_false(rf_replay_closed(o));
	say(c[1], GET("/again")); /* the connection is kept */
	assert_true(has(heard(o), "GET /again "));
	answer(o, "well");
	assert_true(is_body(heard(c[1]), "well"));
	assert_int_equal(w.bufs.out, 0);
}

/* Off as it comes; and never for what has effects, a body, or an upgrade. */
static void test_alone(void **state)
{
	(void)state;
	static const char *const alone[] = {
		"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n",
		"DELETE / HTTP/1.1\r\nHost: app.test\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 2\r\n\r\nhi",
		WEBSOCKET,
	};
	world_start();
	struct rf_peer *first = client();
	say(first, GET("/"));
	struct rf_peer *o = origin();
	heard(o);
	for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) {
		struct rf_peer *c = client();
		say(c, alone[i]);
		pass(2 * RF_NS_MS);
		assert_string_equal(heard(o), "");
		struct rf_peer *own = origin();
		assert_non_null(own);
		assert_true(has(heard(own), " HTTP/1.1\r\n"));
	}
	char path[6000] = "/";
	memset(path + 1, 'x', 5000);
	struct rf_peer *c = client();
	char text[6100];
	snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: app.test\r\n\r\n", path);
	say(c, text);
	assert_non_null(origin());
}

static void test_off(void **state)
{
	(void)state;
	struct rf_peer *c[2];
	w.origin[0].pipeline = 0;
	world_start();
	ask(c, 2);
	assert_int_equal(gets(heard(origin())), 1);
	assert_int_equal(gets(heard(origin())), 1);
}

/* Behind those that are under way, others wait for the last of their answers, or a millisecond. */
static void test_gathering(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *a = client(), *b = client(), *c = client();
	say(a, GET("/a"));
	struct rf_peer *o = origin();
	assert_int_equal(gets(heard(o)), 1);
	say(b, GET("/b"));
	assert_int_equal(gets(heard(o)), 0);
	pass(2 * RF_NS_MS);
	assert_int_equal(gets(heard(o)), 1);
	say(c, GET("/c"));
	assert_int_equal(gets(heard(o)), 0);
	answer(o, "a");
	assert_int_equal(gets(heard(o)), 0);
	answer(o, "b");
	assert_int_equal(gets(heard(o)), 1);
	answer(o, "c");
	assert_true(is_body(heard(a), "a") && is_body(heard(b), "b") && is_body(heard(c), "c"));
}

static void test_depth(void **state)
{
	(void)state;
	struct rf_peer *c[6];
	world_start();
	ask(c, 6);
	struct rf_peer *o = origin(), *other = origin();
	assert_int_equal(gets(heard(o)), 4);
	assert_int_equal(gets(heard(other)), 2); /* as many may wait, and the next lane is quiet */
}

static void test_no_bodies(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c[5];
	for (unsigned i = 0; i < 4; i++)
		c[i] = client();
	rf_replay_send(c[0], RF_STR("HEAD /0 HTTP/1.1\r\nHost: app.test\r\n\r\n"));
	for (unsigned i = 1; i < 4; i++)
		send_get(c[i], "/x");
	run();
	struct rf_peer *o = origin();
	heard(o);
	say(o, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"
	       "HTTP/1.1 204 No Content\r\n\r\n" "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
	assert_true(has(heard(c[0]), "Content-Length: 10\r\n"));
	assert_true(has(heard(c[1]), "HTTP/1.1 304 "));
	assert_true(has(heard(c[2]), "HTTP/1.1 204 "));
	assert_true(has(heard(c[3]), "3\r\nabc\r\n0\r\n\r\n"));
	assert_false(rf_replay_closed(o));
}

/* The origin ends the connection in good order, or without a word, after the first answer; within the second; or says nothing. */
static void test_early_close(void **state)
{
	(void)state;
	static const char *const says[] = {
		OK_TEXT("1", "a"), "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na",
		"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", "HTTP/1.1 200 OK\r\n\r\na",
	};
	world_start();
	for (size_t i = 0; i < sizeof says / sizeof *says; i++) {
		struct rf_peer *c[3];
		ask(c, 3);
		struct rf_peer *o = origin();
		assert_int_equal(gets(heard(o)), 3);
		say(o, says[i]);
		rf_replay_close(o);
		run();
		assert_true(has(heard(c[0]), "a"));
		assert_true(rf_replay_closed(o));
		repeated(c[1], "/1", "one");
		repeated(c[2], "/2", "two");
		for (unsigned k = 0; k < 3; k++)
			rf_replay_close(c[k]);
		pass(100 * RF_NS_S); /* no connection is kept */
	}
}

static void test_dies_within_the_second(void **state)
{
	(void)state;
	struct rf_peer *c[3];
	struct rf_peer *o = asked_of(c, 3);
	say(o, OK_TEXT("1", "a") "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
	rf_replay_close(o);
	run();
	assert_true(is_body(heard(c[0]), "a"));
	assert_true(has(heard(c[1]), "half"));
	assert_true(rf_replay_closed(c[1])); /* so that it can tell */
	repeated(c[2], "/2", "two");
}

static void test_silent(void **state)
{
	(void)state;
	struct rf_peer *c[3];
	struct rf_peer *o = asked_of(c, 3);
	rf_replay_close(o);
	run();
	for (unsigned i = 0; i < 3; i++) { /* in any order */
		struct rf_peer *p = origin();
		const char *asked = heard(p);
		assert_int_equal(gets(asked), 1);
		answer(p, has(asked, "GET /0 ") ? "0" : has(asked, "GET /1 ") ? "1" : "2");
	}
	assert_true(is_body(heard(c[0]), "0") && is_body(heard(c[1]), "1") && is_body(heard(c[2]), "2"));
}

/* What is behind the last answer belongs to nobody; the origin is not trusted with lanes for a minute. */
static void test_excess(void **state)
{
	(void)state;
	struct rf_peer *c[2];
	struct rf_peer *o = asked_of(c, 2);
	say(o, OK_TEXT("1", "a") OK_TEXT("1", "b") OK_TEXT("4", "evil"));
	assert_true(is_body(heard(c[0]), "a") && is_body(heard(c[1]), "b"));
	assert_true(rf_replay_closed(o));
	for (int i = 0; i < 2; i++) {
		send_get(c[0], "/2");
		send_get(c[1], "/3");
		run();
		struct rf_peer *p = origin(), *q = origin();
		unsigned first = gets(heard(p));
		assert_int_equal(first, i ? 2 : 1);
		if (q)
			assert_int_equal(gets(heard(q)), 1);
		assert_int_equal(q == NULL, i == 1);
		say(p, i ? OK_TEXT("1", "x") OK_TEXT("1", "x") : OK_TEXT("1", "x"));
		if (q)
			answer(q, "x");
		assert_true(is_body(heard(c[0]), "x") && is_body(heard(c[1]), "x"));
		pass(70 * RF_NS_S);
	}
}

/* Unasked bytes while requests only wait to be gathered, and on a lane whose request has not left. */
static void test_nonsense(void **state)
{
	(void)state;
	struct rf_peer *c[3];
	struct rf_peer *o = asked_of(c, 3);
	say(o, OK_TEXT("1", "a") "rest of the body\r\n\r\n" OK_TEXT("1", "b"));
	assert_true(is_body(heard(c[0]), "a"));
	assert_true(rf_replay_closed(o));
	struct rf_peer *p = origin(), *q = origin();
	const char *asked = heard(p);
	answer(p, has(asked, "GET /1 ") ? "one" : "two");
	asked = heard(q);
	answer(q, has(asked, "GET /1 ") ? "one" : "two");
	assert_true(is_body(heard(c[1]), "one"));
	assert_true(is_body(heard(c[2]), "two"));
}

static void test_bad_chunk(void **state)
{
	(void)state;
	struct rf_peer *c[2];
	struct rf_peer *o = asked_of(c, 2);
	say(o, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz" OK_TEXT("1", "b"));
	assert_true(rf_replay_closed(c[0]));
	assert_true(rf_replay_closed(o));
	repeated(c[1], "/1", "one");
}

static void test_interim(void **state)
{
	(void)state;
	struct rf_peer *c[3];
	struct rf_peer *o = asked_of(c, 3);
	say(o, "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" OK_TEXT("1", "a") "HTTP/1.1 100 Continue\r\n\r\n" OK_TEXT("1", "b")
	       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
	const char *a = heard(c[0]);
	assert_true(has(a, "HTTP/1.1 103 ") && has(a, "\r\n\r\na"));
	assert_true(has(heard(c[1]), "\r\n\r\nb"));
	assert_true(rf_replay_closed(o));
	repeated(c[2], "/2", "two");
}

/* The one in front takes too long: those behind it are repeated elsewhere, and its late answer is only its own. */
static void test_slow_origin(void **state)
{
	(void)state;
	struct rf_peer *c[3];
	struct rf_peer *o = asked_of(c, 3);
	pass(25 * RF_NS_MS);
	struct rf_peer *p = origin(), *q = origin();
	assert_int_equal(gets(heard(p)), 1);
	assert_int_equal(gets(heard(q)), 1);
	answer(p, "p");
	answer(q, "q");
	assert_true(has(heard(c[1]), "\r\n\r\np"));
	assert_true(has(heard(c[2]), "\r\n\r\nq"));
	say(o, OK_TEXT("5", "front") OK_TEXT("3", "bad") OK_TEXT("3", "bad"));
	assert_true(is_body(heard(c[0]), "front"));
	assert_true(rf_replay_closed(o));
	assert_string_equal(heard(c[1]), "");
	send_get(c[0], "/3"); /* no lanes for a while, then again */
	send_get(c[1], "/4");
	run();
	assert_int_equal(gets(heard(p)), 1);
	assert_int_equal(gets(heard(q)), 1);
	answer(p, "p");
	answer(q, "q");
	heard(c[0]), heard(c[1]);
	pass(RF_NS_S);
	send_get(c[0], "/5");
	send_get(c[1], "/6");
	run();
	assert_int_equal(gets(heard(p)) + gets(heard(q)), 2);
	assert_null(origin());
}

/* A long poll holds nobody up: nobody joins it, and its connection is kept where nobody had to leave. */
static void test_long_poll(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *a = client(), *b = client();
	say(a, GET("/poll"));
	struct rf_peer *o = origin();
	heard(o);
	pass(5 * RF_NS_S);
	say(b, GET("/b"));
	struct rf_peer *p = origin();
	assert_int_equal(gets(heard(p)), 1);
	answer(p, "b");
	assert_true(is_body(heard(b), "b"));
	answer(o, "late");
	assert_true(is_body(heard(a), "late"));
	assert_false(rf_replay_closed(o) || rf_replay_closed(p));
}

static void test_slow_client(void **state)
{
	(void)state;
	static char big[60000];
	struct rf_peer *c[2];
	world_start();
	for (unsigned i = 0; i < 2; i++)
		c[i] = client();
	rf_replay_window(c[0], 1000);
	send_get(c[0], "/0");
	send_get(c[1], "/1");
	run();
	struct rf_peer *o = origin();
	heard(o);
	memset(big, 'x', sizeof big - 1);
	say(o, "HTTP/1.1 200 OK\r\nContent-Length: 59999\r\n\r\n");
	say(o, big);
	say(o, OK_TEXT("3", "bad"));
	pass(25 * RF_NS_MS);
	repeated(c[1], "/1", "one");
	size_t got = 0;
	for (size_t n; (n = strlen(heard(c[0]))) > 0; got += n)
		;
	assert_true(got > 59999);
	assert_true(rf_replay_closed(o));
	send_get(c[0], "/2"); /* it rides alone from now on, the other does not */
	send_get(c[1], "/3");
	run();
	struct rf_peer *p = origin();
	assert_non_null(p);
	assert_int_equal(gets(heard(p)), 1);
}

/* A client goes: before its request leaves, while it is under way, in front, within its answer. */
static void test_client_goes(void **state)
{
	(void)state;
	struct rf_peer *c[4];
	world_start();
	ask(c, 4);
	struct rf_peer *o = origin();
	assert_int_equal(gets(heard(o)), 4);
	rf_replay_reset(c[1]);
	run();
	say(o, OK_TEXT("1", "a") "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecret");
	assert_true(is_body(heard(c[0]), "a"));
	rf_replay_reset(c[2]);
	run();
	say(o, "\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsec");
	say(o, "ret" OK_TEXT("4", "mine"));
	assert_true(is_body(heard(c[3]), "mine"));
	assert_false(rf_replay_closed(o));
	struct rf_peer *d = client(), *e = client();
	send_get(d, "/d");
	send_get(e, "/e");
	run();
	heard(o);
	say(o, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegin");
	assert_true(has(heard(d), "begin"));
	rf_replay_reset(d); /* within its answer */
	run();
	say(o, "rest!" OK_TEXT("4", "mine"));
	assert_true(is_body(heard(e), "mine"));
	assert_false(rf_replay_closed(o));
	say(e, GET("/f"));
	heard(o);
	rf_replay_reset(e); /* nobody is left: the connection goes as well */
	run();
	assert_true(rf_replay_closed(o));
}

static void test_goes_while_waiting(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *a = client(), *b = client(), *c = client();
	say(a, GET("/a"));
	struct rf_peer *o = origin();
	heard(o);
	say(b, GET("/b"));
	say(c, GET("/c"));
	rf_replay_reset(b);
	run();
	answer(o, "a");
	const char *asked = heard(o);
	assert_true(has(asked, "GET /c ") && !has(asked, "GET /b "));
	answer(o, "c");
	assert_true(is_body(heard(a), "a") && is_body(heard(c), "c"));
	assert_false(rf_replay_closed(o));
}

/* What is read away for somebody who has gone is bounded. */
static void test_large_for_nobody(void **state)
{
	(void)state;
	struct rf_peer *c[2];
	struct rf_peer *o = asked_of(c, 2);
	rf_replay_reset(c[0]);
	run();
	say(o, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
	for (unsigned i = 0; i < 30 && !rf_replay_closed(o); i++) {
		static char some[4000];
		memset(some, 'x', sizeof some - 1);
		say(o, some);
	}
	assert_true(rf_replay_closed(o));
	repeated(c[1], "/1", "one");
}

static void test_cannot_connect(void **state)
{
	(void)state;
	struct rf_peer *c[2];
	world_start();
	ask(c, 2);
	for (int i = 0; i < 5; i++) {
		rf_replay_accept(w.r, NULL, RF_REPLAY_REFUSE);
		run();
	}
	assert_true(has(heard(c[0]), "HTTP/1.1 502 "));
	assert_true(has(heard(c[1]), "HTTP/1.1 502 "));
	pass(RF_NS_S);
	ask(c, 2);
	assert_non_null(rf_replay_accept(w.r, NULL, RF_REPLAY_REFUSE));
	run();
	repeated(c[0], "/0", "zero");
	repeated(c[1], "/1", "one");
}

static void test_drain_of_the_edge(void **state)
{
	(void)state;
	struct rf_peer *c[3];
	struct rf_peer *o = asked_of(c, 3);
	rf_front_drain(w.front, 10 * RF_NS_S, NULL, NULL);
	run();
	say(o, OK_TEXT("1", "a") OK_TEXT("1", "b"));
	assert_true(is_body(heard(c[0]), "a") && is_body(heard(c[1]), "b"));
}

/* --- every system call fails, and any order of events --- */

static void conversation(void)
{
	struct rf_peer *c[3] = { client(), client(), client() };
	for (unsigned i = 0; i < 3; i++)
		if (c[i])
			send_get(c[i], "/x");
	run();
	struct rf_peer *o;
	for (unsigned k = 0; k < 6; k++) {
		while ((o = origin())) {
			const char *asked = heard(o);
			for (unsigned n = gets(asked); n && !rf_replay_closed(o); n--)
				rf_replay_send(o, RF_STR(OK_TEXT("2", "ok")));
			rf_replay_fin(o);
		}
		run();
		pass(30 * RF_NS_MS);
	}
	for (unsigned i = 0; i < 3; i++) {
		if (!c[i])
			continue;
		const char *a = heard(c[i]);
		assert_true(!a[0] || has(a, "HTTP/1.1 502") || has(a, "HTTP/1.1 200 "));
		rf_replay_close(c[i]);
	}
	pass(200 * RF_NS_S);
}

static void test_each_call_fails(void **state)
{
	(void)state;
	world_start();
	fail_each_call(conversation);
}

enum { CLIENTS = 12, ORIGINS = 64 };

struct speaker { /* a scripted origin: answers each request with its path, in one of several framings */
	struct rf_peer *p;
	char asked[1 << 14], out[1 << 15];
	size_t n, left, at;
	bool over;
};

static uint32_t seed;
static unsigned chance(unsigned n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static void speak(struct speaker *s, const char *path)
{
	char *to = s->out + s->left;
	size_t room = sizeof s->out - s->left;
	int n;
	if (chance(3) == 0)
		n = snprintf(to, room, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n%s\r\n0\r\n\r\n", strlen(path), path);
	else
		n = snprintf(to, room, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(path), path);
	s->left += (size_t)n;
}

static void origin_listens(struct speaker *s)
{
	if (s->over)
		return;
	s->n += rf_replay_take(s->p, s->asked + s->n, sizeof s->asked - 1 - s->n);
	s->asked[s->n] = '\0';
	for (char *end; (end = strstr(s->asked, "\r\n\r\n"));) {
		char path[32];
		assert_int_equal(sscanf(s->asked, "GET %31s HTTP/1.1\r\n", path), 1);
		speak(s, path);
		s->n -= (size_t)(end + 4 - s->asked);
		memmove(s->asked, end + 4, s->n + 1);
	}
}

/* Some of what it has to say, whatever the boundaries; or it ends. */
static void origin_speaks(struct speaker *s)
{
	if (s->over)
		return;
	size_t n = s->left - s->at;
	n = chance(3) ? n : n ? chance((unsigned)n) : 0;
	rf_replay_send(s->p, (struct rf_str){ s->out + s->at, n });
	s->at += n;
	if (s->at == s->left)
		s->at = s->left = 0;
	if (chance(40) == 0) {
		rf_replay_close(s->p);
		s->over = true;
	}
}

struct asker {
	struct rf_peer *p;
	char path[32], got[2048]; /* since it asked */
	size_t n;
	bool waits;
};

/* It gets its own answer, a refusal, or the end; never another's. */
static void client_listens(struct asker *a)
{
	if (!a->p)
		return;
	a->n += rf_replay_take(a->p, a->got + a->n, sizeof a->got - 1 - a->n);
	a->got[a->n] = '\0';
	const char *mine = strstr(a->got, "/c");
	if (mine)
		assert_int_equal(strncmp(mine, a->path, strcspn(mine, "\r")), 0);
	bool whole = has(a->got, a->path) && (!has(a->got, "chunked") || has(a->got, "\r\n0\r\n\r\n"));
	if (a->n && !a->waits)
		assert_true(whole || has(a->got, " 502 "));
	if (whole || has(a->got, " 502 ") || has(a->got, " 503 "))
		a->waits = false;
}

static void client_acts(struct asker *a, unsigned i, unsigned round)
{
	if (!a->p || rf_replay_closed(a->p)) {
		*a = (struct asker){ .p = rf_replay_connect(w.r, w.fd, NULL) };
		return;
	}
	if (chance(60) == 0) {
		rf_replay_reset(a->p);
		a->p = NULL;
	} else if (!a->waits && chance(2)) {
		snprintf(a->path, sizeof a->path, "/c%u-%u.", i, round);
		send_get(a->p, a->path);
		a->waits = true;
		a->n = 0;
	}
}

static void test_any_order(void **state)
{
	(void)state;
	static struct speaker origins[ORIGINS];
	struct asker clients[CLIENTS] = { 0 };
	world_start();
	unsigned made = 0;
	for (unsigned round = 0; round < 3000; round++) {
		for (unsigned i = 0; i < CLIENTS; i++)
			client_acts(&clients[i], i, round);
		run();
		for (struct rf_peer *p; (p = rf_replay_accept(w.r, NULL, RF_REPLAY_ACCEPT));) {
			origins[made % ORIGINS] = (struct speaker){ .p = p };
			made++;
			run();
		}
		for (unsigned i = 0; i < ORIGINS && i < made; i++) {
			origin_listens(&origins[i]);
			origin_speaks(&origins[i]);
		}
		run();
		for (unsigned i = 0; i < CLIENTS; i++)
			client_listens(&clients[i]);
		if (chance(20) == 0)
			pass(chance(50) * RF_NS_MS);
	}
	unsigned served = 0;
	for (unsigned i = 0; i < w.seen_count; i++)
		served += w.seen[i].kind == RF_REC_REQUEST && w.seen[i].status == 200;
	assert_true(served > TEST_RECORDS / 3);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (clients[i].p)
			rf_replay_close(clients[i].p);
	pass(4000 * RF_NS_S);
	assert_int_equal(rf_http_requests(w.edge), 0);
	assert_int_equal(w.bufs.out, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_shared), T(test_alone), T(test_off), T(test_gathering), T(test_depth), T(test_no_bodies), T(test_early_close),
		T(test_dies_within_the_second), T(test_silent), T(test_excess), T(test_nonsense), T(test_bad_chunk), T(test_interim),
		T(test_slow_origin), T(test_long_poll), T(test_slow_client), T(test_client_goes), T(test_goes_while_waiting),
		T(test_large_for_nobody), T(test_cannot_connect), T(test_drain_of_the_edge), T(test_each_call_fails), T(test_any_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
