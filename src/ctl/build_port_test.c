/* Ports from their objects to the snapshot: origins by list, by name and by SRV, certificates, times; names that answer late, anew, or not. */
#include <netinet/in.h>
#include <sys/socket.h>
#include "ctl/test.h"
#include "ctl/port_names.h"
#include "net/ares.h"

static char zone[33];
static int dns = -1;
static uint16_t dns_port;

static int setup(void **state)
{
	(void)state;
	zone[0] = '\0';
	world_open("");
	world_put(RF_KIND_ZONE, w.ctl.account_id, "example.com", json_pack("{s:s}", "name", "example.com"), zone);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rf_port_names_free(w.ctl.priv->port_names);
	w.ctl.priv->port_names = NULL;
	if (dns >= 0)
		close(dns);
	dns = -1;
	world_close();
	return 0;
}

/* An object of ports; the test writes ' for ". */
static const struct rf_port *put(const char *members)
{
	char text[1024], id[33] = "";
	snprintf(text, sizeof text, "{'dns':{'name':'a.example.com'},%s}", members);
	for (char *p = text; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	world_put(RF_KIND_PORT, zone, "a.example.com", json_loads(text, 0, NULL), id);
	const struct rf_site *s = rf_snap_now()->site;
	return s->port[s->port_count - 1];
}

static const struct rf_port *only(void)
{
	assert_int_equal(rf_snap_now()->site->port_count, 1);
	return rf_snap_now()->site->port[0];
}

static void lists_become_endpoints(void **state)
{
	(void)state;
	const struct rf_port *p = put("'protocol':'tcp/1000-1009','tls':'full','origins':[{'url':'tcp://192.0.2.1:2000-2009','weight':3},"
				      "{'url':'tcp://[2001:db8::1]:2000-2009','backup':true,'tls_name':'inner.test'}]");
	assert_int_equal(p->origin_low, 2000);
	assert_int_equal(p->origins->spec.count, 2);
	assert_int_equal(p->origins->origins[0].spec.weight, 3);
	assert_int_equal(p->origins->origins[0].spec.tls, RF_ORIGIN_TLS_UNVERIFIED);
	assert_true(p->origins->origins[1].spec.backup);
	assert_true(rf_str_eq(p->origins->origins[1].spec.tls_name, RF_STR("inner.test")));
	assert_true(rf_str_eq(p->origins->origins[1].url, RF_STR("tcp://[2001:db8::1]:2000")));
	assert_non_null(p->keypair[0]);
	assert_int_not_equal(p->roots, 0);
	p = put("'protocol':'tcp/22','origin_direct':['tcp://192.0.2.1:22','tcp://192.0.2.2:2222']");
	assert_int_equal(p->origins->origins[0].spec.port, 22);
	assert_int_equal(p->origins->origins[1].spec.port, 2222);
	assert_null(p->keypair[0]);
	p = put("'protocol':'tcp/80','origin_dns':{'name':'o.test','type':''},'origin_port':8080");
	assert_true(rf_str_eq(p->origins->origins[0].spec.host, RF_STR("o.test")));
	assert_int_equal(p->origins->origins[0].spec.port, 8080);
	p = put("'protocol':'udp/5683','origin_direct':['udp://192.0.2.1:5683']");
	assert_int_equal(p->idle_ns, 60 * RF_NS_S);
	assert_true(p->ip_firewall && p->guard == RF_PORT_GUARD_NONE && !p->amplification);
	p = put("'protocol':'udp/5684','origin_direct':['udp://192.0.2.1:5684'],'guard':'dtls','amplification':3,'proxy_protocol':'simple'");
	assert_true(p->guard == RF_PORT_GUARD_DTLS && p->amplification == 3 && p->header == RF_PORT_HEADER_SIMPLE);
}

static void certificates_and_health_stay_over_rebuilds(void **state)
{
	(void)state;
	struct rf_keypair *pair = rf_keypair_get(put("'protocol':'tcp/22','tls':'flexible','health':{},'origin_direct':['tcp://192.0.2.1:22']")->keypair[0]);
	atomic_store(&only()->origins->origins[0].live->down, true);
	assert_true(only()->origins->spec.health.connect);
	GOOD(rf_ctl_rebuild(&w.ctl, RF_PART_SITE, &w.e));
	assert_ptr_equal(only()->keypair[0], pair);
	assert_true(atomic_load(&only()->origins->origins[0].live->down));
	rf_keypair_put(pair);
}

/* --- names --- */

static void put16(unsigned char *to, unsigned v)
{
	to[0] = (unsigned char)(v >> 8);
	to[1] = (unsigned char)v;
}

struct srv { unsigned priority, weight, port; const char *host; };

static size_t put_name(unsigned char *to, const char *name)
{
	size_t n = 0;
	for (const char *p = name; *p;) {
		size_t label = strcspn(p, ".");
		to[n++] = (unsigned char)label;
		memcpy(to + n, p, label);
		n += label;
		p += label + (p[label] == '.');
	}
	to[n++] = 0;
	return n;
}

/* An answer to the question in `q`, whose header and question it keeps. */
static size_t answer_srv(const unsigned char *q, size_t q_n, const struct srv *v, size_t count, unsigned char *to)
{
	size_t n = 12;
	while (n < q_n && q[n])
		n += q[n] + 1u;
	n += 5;
	memcpy(to, q, n);
	to[2] = 0x84;
	to[3] = 0;
	put16(to + 6, (unsigned)count);
	memset(to + 8, 0, 4);
	for (size_t i = 0; i < count; i++) {
		static const unsigned char head[] = { 0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60 };
		memcpy(to + n, head, sizeof head);
		n += sizeof head;
		size_t name = put_name(to + n + 8, v[i].host);
		put16(to + n, (unsigned)name + 6);
		put16(to + n + 2, v[i].priority);
		put16(to + n + 4, v[i].weight);
		put16(to + n + 6, v[i].port);
		n += 8 + name;
	}
	return n;
}

static const unsigned char question[] = { 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 's', 1, 't', 0, 0, 33, 0, 1 };

static size_t read_srv(const struct srv *v, size_t count, struct rf_port_named *ret)
{
	unsigned char a[2048];
	size_t n = answer_srv(question, sizeof question, v, count, a), got = 99;
	assert_true(rf_port_names_srv(a, n, ret, &got));
	return got;
}

static void srv_gives_tiers_weights_and_ports(void **state)
{
	(void)state;
	struct rf_port_named v[RF_PORT_NAME_ORIGINS];
	static const struct srv records[] = { { 20, 5, 23, "late.test" }, { 10, 60, 22, "b.test" }, { 10, 20, 2222, "a.test" }, { 10, 0, 24, "c.test" } };
	assert_int_equal(read_srv(records, 4, v), 4);
	assert_string_equal(v[0].host, "a.test");
	assert_int_equal(v[0].port, 2222);
	assert_false(v[0].backup);
	assert_int_equal(v[1].weight, 3 * v[0].weight);
	assert_true(v[2].weight >= 1 && v[2].weight < v[0].weight);
	assert_string_equal(v[3].host, "late.test");
	assert_int_equal(v[3].backup, 1);
	static const struct srv three[] = { { 30, 1, 3, "c.test" }, { 10, 1, 1, "a.test" }, { 20, 1, 2, "b.test" } };
	assert_int_equal(read_srv(three, 3, v), 3);
	assert_true(v[0].backup == 0 && v[1].backup == 1 && v[2].backup == 2 && v[2].port == 3);
	static const struct srv wide[] = { { 1, 65535, 1, "a.test" }, { 1, 1, 1, "b.test" } };
	assert_int_equal(read_srv(wide, 2, v), 2);
	assert_int_equal(v[0].weight, 1000);
	assert_int_equal(v[1].weight, 1);
	static const struct srv none[] = { { 0, 0, 0, "" } };
	assert_int_equal(read_srv(none, 1, v), 0);
	size_t untouched = 7;
	assert_false(rf_port_names_srv(question, 5, v, &untouched));
	assert_int_equal(untouched, 7);
}

static void dns_open(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof at;
	char servers[32];
	assert_true((dns = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0)) >= 0);
	assert_int_equal(bind(dns, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(getsockname(dns, (struct sockaddr *)&at, &n), 0);
	dns_port = ntohs(at.sin_port);
	snprintf(servers, sizeof servers, "127.0.0.1:%u", dns_port);
	GOOD(rf_port_names_new(&w.ctl, servers, &w.ctl.priv->port_names, &w.e));
}

/* Answer the next question with these records, or, where count is 0, with a failure of the server; false: none came. */
static bool dns_answer(const struct srv *v, size_t count)
{
	unsigned char q[512], a[2048];
	struct sockaddr_in from;
	socklen_t n = sizeof from;
	for (int i = 0; i < 300; i++) {
		ssize_t got = recvfrom(dns, q, sizeof q, 0, (struct sockaddr *)&from, &n);
		if (got > 0) {
			size_t size = answer_srv(q, (size_t)got, v, count, a);
			a[3] = count ? 0 : 2;
			assert_true(sendto(dns, a, size, 0, (struct sockaddr *)&from, n) > 0);
			rf_loop_turn(w.ctl.loop, 50 * RF_NS_MS);
			return true;
		}
		rf_loop_turn(w.ctl.loop, 10 * RF_NS_MS);
	}
	return false;
}

static void wait_for(bool (*done)(void))
{
	for (int i = 0; i < 100 && !done(); i++)
		rf_loop_turn(w.ctl.loop, 10 * RF_NS_MS);
	assert_true(done());
}

static bool at_first(void) { return only()->origins->spec.count == 1 && only()->origins->origins[0].spec.port == 2222; }
static bool at_second(void) { return only()->origins->spec.count == 2; }

static void names_are_answered_late_and_anew_and_kept(void **state)
{
	(void)state;
	static const struct srv first[] = { { 1, 1, 2222, "a.test" } }, second[] = { { 1, 1, 2222, "a.test" }, { 2, 1, 22, "b.test" } };
	dns_open();
	put("'protocol':'tcp/22','origin_dns':{'name':'_ssh._tcp.o.test','type':'SRV','ttl':1}");
	assert_int_equal(only()->origins->spec.count, 1);
	assert_null(rf_origin_choose(only()->origins, 0, 1, 0)); /* nothing to go to, and the port is there */
	rf_port_names_follow(w.ctl.priv->port_names);
	assert_true(dns_answer(first, 1));
	wait_for(at_first);
	assert_non_null(rf_origin_choose(only()->origins, 0, 1, 0));
	assert_true(dns_answer(NULL, 0));
	wait_for(at_first);
	while (!at_second())
		assert_true(dns_answer(second, 2));
	assert_true(only()->origins->origins[1].spec.backup);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(lists_become_endpoints), T(certificates_and_health_stay_over_rebuilds), cmocka_unit_test(srv_gives_tiers_weights_and_ports),
		T(names_are_answered_late_and_anew_and_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
