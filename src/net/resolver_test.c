/* A scripted DNS server on a UDP socket of 127.0.0.1, answered from within the turns of the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>
#include "net/addr.h"
#include "net/hosts.h"
#include "net/resolver.h"

struct script { /* one name; the last entry of a table has none */
	const char *name;
	const char *a[20]; /* addresses, of both families */
	uint32_t ttl;
	int rcode;
	bool silent, garbage;
};

struct world {
	struct rf_loop *loop;
	struct rf_resolver *r;
	struct script *script;
	int server, asked;
	char hosts[64];
};

struct watcher {
	struct rf_watch w;
	int calls;
	struct rf_answer at_call;
	struct rf_resolver *r;
	struct watcher *drops; /* unwatches that one when called */
};

static void changed(struct rf_watch *w)
{
	struct watcher *x = RF_CONTAINER(w, struct watcher, w);
	x->calls++;
	x->at_call = rf_watch_answer(w);
	if (x->drops)
		rf_resolver_unwatch(x->r, &x->drops->w);
}

static size_t put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return 2;
}

/* The question's name as text; its end, or 0. */
static size_t name_of(const uint8_t *q, size_t n, char *to)
{
	size_t at = 12, len = 0;
	while (at < n && q[at]) {
		if (at + 1 + q[at] >= n || len + q[at] + 1 > 250)
			return 0;
		memcpy(to + len, q + at + 1, q[at]);
		len += q[at];
		to[len++] = '.';
		at += 1u + q[at];
	}
	to[len ? len - 1 : 0] = 0;
	return at + 5 <= n ? at + 5 : 0;
}

/* [RFC 1035 4.1] */
static size_t reply(const struct script *s, uint8_t *m, size_t end)
{
	unsigned type = (unsigned)(m[end - 4] << 8 | m[end - 3]), count = 0;
	size_t n = end;
	for (int i = 0; s && i < 20 && s->a[i]; i++) {
		struct rf_ip ip;
		assert_true(rf_ip_parse(rf_str_z(s->a[i]), &ip));
		size_t len = ip.family == 4 ? 4 : 16;
		if ((type == 1) != (len == 4) || (type != 1 && type != 28))
			continue;
		n += put16(m + n, 0xc00c);
		n += put16(m + n, type);
		n += put16(m + n, 1);
		n += put16(m + n, s->ttl >> 16);
		n += put16(m + n, s->ttl & 0xffff);
		n += put16(m + n, (unsigned)len);
		memcpy(m + n, ip.b, len);
		n += len;
		count++;
	}
	put16(m + 2, 0x8180u | (unsigned)(s ? s->rcode : 3));
	put16(m + 6, count);
	memset(m + 8, 0, 4);
	return n;
}

static void serve(struct world *w)
{
	uint8_t m[4096];
	char name[256];
	struct sockaddr_in from;
	socklen_t from_len = sizeof from;
	ssize_t got;
	while ((got = recvfrom(w->server, m, 512, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len)) > 0) {
		const struct script *s = w->script;
		size_t n = name_of(m, (size_t)got, name);
		assert_true(n > 0);
		w->asked++;
		while (s && s->name && strcmp(s->name, name) != 0)
			s++;
		s = s && s->name ? s : NULL;
		if (s && s->silent)
			continue;
		n = reply(s, m, n);
		if (s && s->garbage)
			memset(m + 12, 0xff, n - 12);
		assert_int_equal(sendto(w->server, m, n, 0, (struct sockaddr *)&from, from_len), n);
	}
}

#define UNTIL(w, condition)                                        \
	do {                                                       \
		int turns_ = 0;                                    \
		while (!(condition)) {                             \
			if (turns_++ == 5000)                      \
				fail_msg("never: %s", #condition); \
			rf_loop_turn((w)->loop, RF_NS_MS);         \
			serve(w);                                  \
		}                                                  \
	} while (0)

/* At the end of each test, whose watches are on its stack. */
static void done(struct world *w)
{
	rf_resolver_free(w->r);
	w->r = NULL;
}

static struct rf_resolver *resolver(struct world *w, struct rf_resolver_opts o)
{
	char servers[64];
	struct rf_err e = { 0 };
	struct rf_addr at = { .len = sizeof at.any };
	getsockname(w->server, &at.sa, &at.len);
	snprintf(servers, sizeof servers, "127.0.0.1:%u", rf_addr_port(&at));
	o.servers = servers;
	o.hosts = w->hosts;
	o.ttl_min_ns = o.ttl_min_ns ? o.ttl_min_ns : RF_NS_MS;
	o.retry_ns = o.retry_ns ? o.retry_ns : RF_NS_MS;
	o.timeout_ms = o.timeout_ms ? o.timeout_ms : 2000; /* a busy machine is no failure */
	w->r = rf_resolver_new(w->loop, &o, &e);
	assert_string_equal(e.text, "");
	assert_non_null(w->r);
	return w->r;
}

static int setup(void **state)
{
	struct rf_err e;
	struct rf_addr at;
	static struct world w;
	w = (struct world){ .loop = rf_loop_epoll(&e), .hosts = "/tmp/rf-hosts-XXXXXX" };
	static const char text[] = "# mine\n127.0.0.1\tlocalhost\n10.1.2.3 Gate.example gate # the gate\r\n"
				   "fd00::1 gate\nbad line\n10.9.9.9\n1.2.3.4 last";
	int fd = mkstemp(w.hosts);
	assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
	close(fd);
	w.server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(rf_addr_parse(RF_STR("127.0.0.1:0"), &at));
	assert_int_equal(bind(w.server, &at.sa, at.len), 0);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	rf_loop_free(w->loop);
	unlink(w->hosts);
	close(w->server);
	return 0;
}

static void assert_addrs(const struct rf_watch *w, const char *const *want)
{
	struct rf_answer a = rf_watch_answer(w);
	char text[RF_IP_TEXT];
	unsigned n = 0;
	assert_int_equal(a.status, RF_OK);
	for (; want[n]; n++) {
		assert_true(n < a.count);
		assert_string_equal(rf_ip_str(&a.addrs[n], text), want[n]);
	}
	assert_int_equal(a.count, n);
}

#define ADDRS(...) (const char *const[]){ __VA_ARGS__, NULL }

static void literals_and_hosts_need_no_question(void **state)
{
	struct world *w = *state;
	struct rf_resolver *r = resolver(w, (struct rf_resolver_opts){ 0 });
	struct rf_watch a = { .changed = changed }, b = a, c = a, d = a;
	assert_int_equal(rf_resolver_watch(r, &a, RF_STR("192.0.2.7")), RF_OK);
	assert_int_equal(rf_resolver_watch(r, &b, RF_STR("2001:DB8::1")), RF_OK);
	assert_int_equal(rf_resolver_watch(r, &c, RF_STR("GATE")), RF_OK);
	assert_int_equal(rf_resolver_watch(r, &d, RF_STR("gate.example.")), RF_OK);
	assert_addrs(&a, ADDRS("192.0.2.7"));
	assert_addrs(&b, ADDRS("2001:db8::1"));
	assert_addrs(&c, ADDRS("10.1.2.3", "fd00::1"));
	assert_addrs(&d, ADDRS("10.1.2.3"));
	rf_loop_turn(w->loop, 0);
	assert_int_equal(rf_resolver_stats(r)->asked, 0);
	rf_resolver_unwatch(r, &a);
	rf_resolver_unwatch(r, &a);
	done(w);
}

static void bad_names_are_refused(void **state)
{
	struct world *w = *state;
	struct rf_resolver *r = resolver(w, (struct rf_resolver_opts){ 0 });
	static const char *const bad[] = { "", ".", "a..b", ".a", "a b", "a/b", "caf\xc3\xa9", "[::1]", "a:80" };
	struct rf_watch x = { .changed = changed };
	char longest[260];
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(rf_resolver_watch(r, &x, rf_str_z(bad[i])), RF_E_SYNTAX);
	memset(longest, 'a', sizeof longest);
	assert_int_equal(rf_resolver_watch(r, &x, (struct rf_str){ longest, 64 }), RF_E_SYNTAX);
	for (size_t i = 63; i < sizeof longest; i += 64)
		longest[i] = '.';
	assert_int_equal(rf_resolver_watch(r, &x, (struct rf_str){ longest, 254 }), RF_E_SYNTAX);
	assert_null(x.name);
	done(w);
}

static void both_families_are_asked_and_changes_are_told(void **state)
{
	struct world *w = *state;
	struct script s[] = { { "origin.test", { "192.0.2.2", "192.0.2.1", "2001:db8::5" }, 0, 0, 0, 0 }, { 0 } };
	struct rf_resolver *r = resolver(w, (struct rf_resolver_opts){ 0 });
	struct watcher x = { .w.changed = changed }, y = { .w.changed = changed };
	w->script = s;
	assert_int_equal(rf_resolver_watch(r, &x.w, RF_STR("Origin.Test")), RF_OK);
	assert_int_equal(rf_resolver_watch(r, &y.w, RF_STR("origin.test")), RF_OK);
	assert_int_equal(rf_watch_answer(&x.w).status, RF_E_AGAIN);
	UNTIL(w, x.calls && y.calls);
	assert_addrs(&x.w, ADDRS("192.0.2.1", "192.0.2.2", "2001:db8::5"));
	assert_int_equal(rf_resolver_stats(r)->asked, 1); /* one question for both */
	UNTIL(w, rf_resolver_stats(r)->answered >= 4); /* the TTL is over again and again */
	assert_int_equal(x.calls, 1); /* the same addresses: nothing to tell */
	s[0].a[0] = "192.0.2.9";
	UNTIL(w, x.calls == 2 && y.calls == 2);
	assert_addrs(&y.w, ADDRS("192.0.2.1", "192.0.2.9", "2001:db8::5"));
	rf_resolver_unwatch(r, &x.w);
	rf_resolver_unwatch(r, &y.w);
	int asked = w->asked;
	for (int i = 0; i < 10; i++) {
		rf_loop_turn(w->loop, RF_NS_MS);
		serve(w);
	}
	assert_in_range(w->asked, asked, asked + 2); /* what was under way, and no more */
	done(w);
}

static void answer_is_kept_for_its_ttl(void **state)
{
	struct world *w = *state;
	struct script s[] = { { "kept.test", { "192.0.2.1" }, 3600, 0, 0, 0 },
			      { "short.test", { "192.0.2.1" }, 0, 0, 0, 0 }, { 0 } };
	struct rf_resolver *r = resolver(w, (struct rf_resolver_opts){ 0 });
	struct watcher x = { .w.changed = changed }, y = { .w.changed = changed };
	w->script = s;
	rf_resolver_watch(r, &x.w, RF_STR("kept.test"));
	UNTIL(w, x.calls);
	rf_resolver_watch(r, &y.w, RF_STR("short.test"));
	UNTIL(w, rf_resolver_stats(r)->answered >= 6);
	assert_int_equal(rf_resolver_stats(r)->asked - rf_resolver_stats(r)->answered, 0);
	s[0].a[0] = "192.0.2.2"; /* unseen: it is not asked again */
	UNTIL(w, rf_resolver_stats(r)->answered >= 9);
	assert_addrs(&x.w, ADDRS("192.0.2.1"));
	done(w);
}

static void no_such_name_and_its_arrival(void **state)
{
	struct world *w = *state;
	struct script s[] = { { "later.test", { NULL }, 0, 3, 0, 0 }, { "empty.test", { NULL }, 0, 0, 0, 0 }, { 0 } };
	struct rf_resolver *r = resolver(w, (struct rf_resolver_opts){ 0 });
	struct watcher x = { .w.changed = changed }, y = { .w.changed = changed };
	w->script = s;
	rf_resolver_watch(r, &x.w, RF_STR("later.test."));
	rf_resolver_watch(r, &y.w, RF_STR("empty.test."));
	UNTIL(w, x.calls && y.calls);
	assert_int_equal(x.at_call.status, RF_E_NOT_FOUND);
	assert_int_equal(y.at_call.status, RF_E_NOT_FOUND);
	assert_int_equal(x.at_call.count, 0);
	s[0] = (struct script){ "later.test", { "192.0.2.1" }, 0, 0, 0, 0 };
	UNTIL(w, x.calls == 2);
	assert_addrs(&x.w, ADDRS("192.0.2.1"));
	done(w);
}

static void last_good_answer_outlives_failures(void **state)
{
	struct world *w = *state;
	struct script s[] = { { "origin.test", { "192.0.2.1" }, 0, 0, 0, 0 }, { 0 } };
	struct rf_resolver *r = resolver(w, (struct rf_resolver_opts){ .tries = 1, .timeout_ms = 300 });
	const struct rf_resolver_stats *st = rf_resolver_stats(r);
	struct watcher x = { .w.changed = changed };
	w->script = s;
	rf_resolver_watch(r, &x.w, RF_STR("origin.test"));
	UNTIL(w, x.calls);
	s[0].silent = true;
	UNTIL(w, st->failed >= 2);
	s[0].silent = false;
	s[0].rcode = 2; /* SERVFAIL */
	s[0].a[0] = NULL;
	uint64_t failed = st->failed;
	UNTIL(w, st->failed >= failed + 2);
	s[0].rcode = 3;
	UNTIL(w, st->absent >= 2);
	assert_addrs(&x.w, ADDRS("192.0.2.1"));
	assert_true(rf_watch_answer(&x.w).stale);
	assert_int_equal(x.calls, 1);
	s[0] = (struct script){ "origin.test", { "192.0.2.1" }, 0, 0, 0, 0 };
	UNTIL(w, !rf_watch_answer(&x.w).stale);
	assert_int_equal(x.calls, 1);
	done(w);
}

static void silence_and_garbage_are_failures(void **state)
{
	struct world *w = *state;
	struct script s[] = { { "silent.test", { NULL }, 0, 0, true, false },
			      { "garbage.test", { "192.0.2.1" }, 0, 0, false, true }, { 0 } };
	struct rf_resolver *r = resolver(w, (struct rf_resolver_opts){ .tries = 1, .timeout_ms = 300 });
	struct watcher x = { .w.changed = changed }, y = { .w.changed = changed };
	w->script = s;
	rf_resolver_watch(r, &x.w, RF_STR("silent.test."));
	rf_resolver_watch(r, &y.w, RF_STR("garbage.test."));
	UNTIL(w, x.calls && y.calls);
	assert_int_equal(x.at_call.status, RF_E_TIMEOUT);
	assert_true(y.at_call.status == RF_E_IO || y.at_call.status == RF_E_TIMEOUT);
	done(w);
}

static void many_addresses_and_many_names_hold_their_bounds(void **state)
{
	struct world *w = *state;
	static char text[20][16];
	struct script s[] = { { "many.test", { NULL }, 60, 0, 0, 0 }, { 0 } };
	struct rf_resolver *r = resolver(w, (struct rf_resolver_opts){ .names_max = 101, .asking_max = 3,
								      .retry_ns = 60 * RF_NS_S });
	struct watcher x = { .w.changed = changed }, y[100] = { 0 };
	char name[32];
	for (int i = 0; i < 20; i++) {
		snprintf(text[i], sizeof text[i], "192.0.2.%d", 100 + i);
		s[0].a[i] = text[i];
	}
	w->script = s;
	rf_resolver_watch(r, &x.w, RF_STR("many.test"));
	for (int i = 0; i < 100; i++) {
		y[i].w.changed = changed;
		snprintf(name, sizeof name, "n%d.test.", i);
		assert_int_equal(rf_resolver_watch(r, &y[i].w, rf_str_z(name)), RF_OK);
	}
	assert_int_equal(rf_resolver_stats(r)->asked, 3);
	struct rf_watch more = { .changed = changed };
	assert_int_equal(rf_resolver_watch(r, &more, RF_STR("more.test")), RF_E_FULL);
	assert_int_equal(rf_resolver_stats(r)->full, 1);
	UNTIL(w, rf_resolver_stats(r)->absent >= 100);
	assert_int_equal(rf_watch_answer(&x.w).count, RF_RESOLVER_ADDRS);
	assert_int_equal(rf_resolver_stats(r)->truncated, 1);
	for (int i = 0; i < 100; i++)
		rf_resolver_unwatch(r, &y[i].w);
	assert_int_equal(rf_resolver_watch(r, &y[0].w, RF_STR("more.test")), RF_OK);
	done(w);
}

static void watches_may_go_while_they_are_told(void **state)
{
	struct world *w = *state;
	struct script s[] = { { "origin.test", { "192.0.2.1" }, 60, 0, 0, 0 }, { 0 } };
	struct rf_resolver *r = resolver(w, (struct rf_resolver_opts){ 0 });
	struct watcher a = { .w.changed = changed, .r = r }, b = a, c = a;
	a.drops = &b;
	b.drops = &a;
	c.drops = &c;
	w->script = s;
	rf_resolver_watch(r, &a.w, RF_STR("origin.test"));
	rf_resolver_watch(r, &b.w, RF_STR("origin.test"));
	rf_resolver_watch(r, &c.w, RF_STR("origin.test"));
	UNTIL(w, c.calls);
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 0);
	rf_resolver_unwatch(r, &a.w);
	/* And one whose question is under way when it goes. */
	rf_resolver_watch(r, &a.w, RF_STR("origin.test"));
	rf_resolver_unwatch(r, &a.w);
	UNTIL(w, rf_resolver_stats(r)->asked == 2 && w->asked >= 4);
	rf_loop_turn(w->loop, RF_NS_MS);
	/* The rest is asked when the resolver is freed. */
	a.drops = NULL;
	s[0].silent = true;
	rf_resolver_watch(r, &a.w, RF_STR("origin.test"));
	done(w);
	assert_null(a.w.name);
}

static void wrong_servers_are_refused(void **state)
{
	struct world *w = *state;
	struct rf_err e = { 0 };
	struct rf_resolver_opts o = { .servers = "not a server" };
	assert_null(rf_resolver_new(w->loop, &o, &e));
	assert_non_null(strstr(e.text, "not a server"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(literals_and_hosts_need_no_question),
		T(bad_names_are_refused),
		T(both_families_are_asked_and_changes_are_told),
		T(answer_is_kept_for_its_ttl),
		T(no_such_name_and_its_arrival),
		T(last_good_answer_outlives_failures),
		T(silence_and_garbage_are_failures),
		T(many_addresses_and_many_names_hold_their_bounds),
		T(watches_may_go_while_they_are_told),
		T(wrong_servers_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
