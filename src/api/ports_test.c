/* Ports through the API, over a real store and control thread: the documented shape, what is refused and where it points, and what is in
 * force when the answer goes out. */
#include "ctl/test.h"
#include "api/call.h"
#include "api/state.h"

static struct rf_api *api;
static int status;
static json_t *body;
static char zone[33], etag[32];

static int ask_with(enum rf_http_method m, const char *rest, const char *text, const char *if_match)
{
	char target[512];
	struct rf_api_answer a;
	snprintf(target, sizeof target, "/client/v4/zones/%s/spectrum/apps%s", zone, rest);
	struct rf_api_request q = { .method = m, .target = rf_str_z(target), .body = rf_str_z(text), .content_type = RF_STR("application/json"),
				    .local = "local:test", .if_match = rf_str_z(if_match) };
	rf_api_handle(api, &q, &a);
	json_decref(body);
	body = a.body.n ? json_loadb(a.body.p, a.body.n, 0, NULL) : NULL;
	const char *tag = a.headers.n ? strstr(rf_buf_z(&a.headers), "Etag: ") : NULL;
	snprintf(etag, sizeof etag, "%.*s", tag ? (int)strcspn(tag + 6, "\r") : 0, tag ? tag + 6 : "");
	status = a.status;
	rf_api_answer_fini(&a);
	return status;
}

static int ask(enum rf_http_method m, const char *rest, const char *text)
{
	return ask_with(m, rest, text, "");
}

/* The test writes ' for ". */
static int post(const char *text)
{
	char doubled[2048];
	snprintf(doubled, sizeof doubled, "%s", text);
	for (char *p = doubled; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	return ask(RF_HTTP_POST, "", doubled);
}

static const char *pointer(void)
{
	const char *z = NULL;
	json_unpack(body, "{s:[{s:{s:s}}]}", "errors", "source", "pointer", &z);
	return z ? z : "";
}

static const char *message(void)
{
	const char *z = NULL;
	json_unpack(body, "{s:[{s:s}]}", "errors", "message", &z);
	return z ? z : "";
}

static json_t *result(const char *name) { return json_object_get(json_object_get(body, "result"), name); }
static const char *text(const char *name) { return json_string_value(result(name)) ? json_string_value(result(name)) : ""; }

static const struct rf_port *port_at(enum rf_transport t, const char *at, uint16_t number)
{
	struct rf_ip ip;
	assert_true(rf_ip_parse(rf_str_z(at), &ip));
	return rf_ports_find(rf_snap_now()->site->ports, t, &ip, number);
}

static int setup(void **state)
{
	(void)state;
	zone[0] = '\0';
	world_open("  - address: \"127.0.0.2:0\"\n    protocol: ports\n  - address: \"127.0.0.2:443\"\n    name: front\n");
	struct rf_api_conf conf = { .store = w.ctl.store, .clock = w.ctl.clock, .ca = w.ctl.ca, .version = "test", .loop = w.ctl.loop,
				    .state = rf_api_state_of(&w.ctl) };
	assert_non_null(api = rf_api_new(&conf, &w.e));
	world_put(RF_KIND_ZONE, w.ctl.account_id, "example.com", json_pack("{s:s, s:s, s:b}", "name", "example.com", "type", "full", "paused", 0),
		  zone);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rf_api_free(api);
	json_decref(body);
	body = NULL;
	world_close();
	return 0;
}

#define SSH "{'protocol':'tcp/22','dns':{'type':'CNAME','name':'SSH.example.com'},'origin_direct':['tcp://192.0.2.1:2222']}"

static void the_documented_shape_goes_in_and_comes_out(void **state)
{
	(void)state;
	char path[64];
	assert_int_equal(post("{'protocol':'tcp/22','dns':{'type':'CNAME','name':'SSH.example.com'},'origin_direct':['tcp://192.0.2.1:2222'],"
			      "'tls':'off','ip_firewall':true,'proxy_protocol':'v1','traffic_type':'direct','argo_smart_routing':true,"
			      "'edge_ips':{'type':'static','ips':['192.0.2.9','2001:DB8::0:9']},'virtual_network_id':'f70ff985-a4ef-4643-bbbc-4a0ed4fc8415'}"), 200);
	assert_int_equal(strlen(text("id")), 32);
	assert_string_equal(text("protocol"), "tcp/22");
	assert_string_equal(json_string_value(json_object_get(result("dns"), "name")), "ssh.example.com");
	assert_string_equal(json_string_value(json_array_get(result("origin_direct"), 0)), "tcp://192.0.2.1:2222");
	assert_string_equal(json_string_value(json_array_get(json_object_get(result("edge_ips"), "ips"), 1)), "2001:db8::9");
	assert_true(json_is_true(result("argo_smart_routing")));
	assert_string_equal(text("virtual_network_id"), "f70ff985-a4ef-4643-bbbc-4a0ed4fc8415");
	assert_true(text("created_on")[0] && text("modified_on")[0]);
	const struct rf_port *p = port_at(RF_TRANSPORT_TCP, "2001:db8::9", 22);
	assert_non_null(p);
	assert_int_equal(p->origin_low, 2222);
	assert_int_equal(p->header, RF_PORT_HEADER_V1);
	assert_null(port_at(RF_TRANSPORT_TCP, "192.0.2.10", 22));
	snprintf(path, sizeof path, "/%s", text("id"));
	assert_int_equal(ask(RF_HTTP_GET, path, ""), 200);
	assert_int_equal(ask(RF_HTTP_GET, "?page=1&per_page=1", ""), 200);
	assert_int_equal(json_array_size(json_object_get(body, "result")), 1);
	assert_int_equal(ask(RF_HTTP_DELETE, path, ""), 200);
	assert_string_equal(text("id"), path + 1);
	assert_null(port_at(RF_TRANSPORT_TCP, "192.0.2.9", 22));
	assert_int_equal(ask(RF_HTTP_GET, path, ""), 404);
}

static void changes_are_whole_and_conditional(void **state)
{
	(void)state;
	char path[64], old[32];
	assert_int_equal(post(SSH), 200);
	snprintf(path, sizeof path, "/%s", text("id"));
	snprintf(old, sizeof old, "%s", etag);
	const char *put = "{\"protocol\":\"tcp/23\",\"dns\":{\"name\":\"ssh.example.com\"},\"origin_direct\":[\"tcp://[2001:db8::1]:22\"]}";
	assert_int_equal(ask(RF_HTTP_PUT, path, put), 200);
	assert_null(port_at(RF_TRANSPORT_TCP, "192.0.2.1", 22));
	assert_non_null(port_at(RF_TRANSPORT_TCP, "192.0.2.1", 23));
	assert_int_equal(ask_with(RF_HTTP_PUT, path, put, old), 412);
	assert_int_equal(ask(RF_HTTP_PATCH, path, "{\"max_connections\":7,\"guard\":\"ssh\"}"), 200);
	const struct rf_port *p = port_at(RF_TRANSPORT_TCP, "192.0.2.1", 23);
	assert_int_equal(p->max_connections, 7);
	assert_int_equal(p->guard, RF_PORT_GUARD_SSH);
	assert_int_equal(p->first_byte_ns, 10 * RF_NS_S);
	assert_int_equal(ask(RF_HTTP_PATCH, path, "{\"origin_dns\":{\"name\":\"o.test\"},\"origin_port\":22}"), 200);
	assert_null(result("origin_direct"));
	assert_int_equal(ask(RF_HTTP_PATCH, path, "{\"origins\":[{\"url\":\"tcp://192.0.2.1:22\"}]}"), 200);
	assert_null(result("origin_dns"));
	assert_null(result("origin_port"));
	assert_int_equal(ask(RF_HTTP_PATCH, path, "{\"enabled\":false}"), 200);
	assert_null(port_at(RF_TRANSPORT_TCP, "192.0.2.1", 23));
}

static void a_dry_run_checks_and_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(post(SSH), 200);
	assert_int_equal(ask(RF_HTTP_POST, "?dry_run=true", "{\"protocol\":\"tcp/22\",\"dns\":{\"name\":\"b.example.com\"},"
			     "\"origin_direct\":[\"tcp://192.0.2.1:22\"]}"), 409);
	assert_int_equal(ask(RF_HTTP_POST, "?dry_run=true", "{\"protocol\":\"tcp/24\",\"dns\":{\"name\":\"b.example.com\"},"
			     "\"origin_direct\":[\"tcp://192.0.2.1:22\"]}"), 200);
	assert_null(port_at(RF_TRANSPORT_TCP, "192.0.2.1", 24));
}

static void what_contradicts_itself_is_refused_where_it_stands(void **state)
{
	(void)state;
	static const struct { const char *members, *pointer; } bad[] = {
		{ "'protocol':'tcp/0','origin_direct':['tcp://a:1']", "/protocol" },
		{ "'protocol':'tcp/1-65536','origin_direct':['tcp://a:1']", "/protocol" },
		{ "'protocol':'sctp/22','origin_direct':['tcp://a:1']", "/protocol" },
		{ "'protocol':'tcp/2000-1000','origin_direct':['tcp://a']", "/protocol" },
		{ "'protocol':'tcp/22'", "/origin_direct" },
		{ "'protocol':'tcp/22','origin_direct':[]", "/origin_direct" },
		{ "'protocol':'tcp/22','origin_direct':['tcp://a:1'],'origin_dns':{'name':'b.c'}", "/origin_direct" },
		{ "'protocol':'tcp/22','origin_direct':['http://a:1']", "/origin_direct/0" },
		{ "'protocol':'tcp/22','origin_direct':['tcp://a:1','udp://a:1']", "/origin_direct/1" },
		{ "'protocol':'tcp/22','origin_direct':['tcp://0.0.0.0:22']", "/origin_direct/0" },
		{ "'protocol':'udp/22','origin_direct':['udp://[ff02::1]:22']", "/origin_direct/0" },
		{ "'protocol':'tcp/1000-1009','origin_direct':['tcp://a:1000-1010']", "/origin_direct/0" },
		{ "'protocol':'tcp/1000-1009','origin_direct':['tcp://a:1000']", "/origin_direct/0" },
		{ "'protocol':'tcp/1000-1009','origin_direct':['tcp://a:1000-1009','tcp://b:2000-2009']", "/origin_direct/1" },
		{ "'protocol':'tcp/1000-1009','origin_dns':{'name':'o.test'},'origin_port':'3000-3010'", "/origin_port" },
		{ "'protocol':'tcp/1000-1009','origin_dns':{'name':'o.test'},'origin_port':3000", "/origin_port" },
		{ "'protocol':'tcp/22','origin_dns':{'name':'o.test'},'origin_port':0", "/origin_port" },
		{ "'protocol':'tcp/22','origin_dns':{'name':'o.test'},'origin_port':65536", "/origin_port" },
		{ "'protocol':'tcp/22','origin_dns':{'name':'o.test'},'origin_port':true", "/origin_port" },
		{ "'protocol':'tcp/22','origin_direct':['tcp://a:1'],'origin_port':22", "/origin_port" },
		{ "'protocol':'tcp/22','origin_dns':{'name':'o.test','type':'MX'}", "/origin_dns/type" },
		{ "'protocol':'tcp/22','origin_dns':{'name':'_s._tcp.o.test','type':'SRV'},'origin_port':22", "/origin_port" },
		{ "'protocol':'tcp/22-23','origin_dns':{'name':'_s._tcp.o.test','type':'SRV'}", "/origin_dns/type" },
		{ "'protocol':'tcp/22','origin_direct':['tcp://a:1'],'proxy_protocol':'simple'", "/proxy_protocol" },
		{ "'protocol':'udp/22','origin_direct':['udp://a:1'],'proxy_protocol':'v2'", "/proxy_protocol" },
		{ "'protocol':'udp/22','origin_direct':['udp://a:1'],'tls':'flexible'", "/tls" },
		{ "'protocol':'udp/22','origin_direct':['udp://a:1'],'guard':'ssh'", "/guard" },
		{ "'protocol':'tcp/22','origin_direct':['tcp://a:1'],'guard':'coap'", "/guard" },
		{ "'protocol':'tcp/22','origin_direct':['tcp://a:1'],'amplification':3", "/amplification" },
		{ "'protocol':'udp/22','origin_direct':['udp://a:1'],'amplification':1001", "/amplification" },
		{ "'protocol':'udp/22','origin_direct':['udp://a:1'],'health':{}", "/health" },
		{ "'protocol':'tcp/22','origin_direct':['tcp://a:1'],'tls':'on'", "/tls" },
		{ "'protocol':'tcp/22','origin_direct':['tcp://a:1'],'tls':'strict','guard':'tls'", "/guard" },
		{ "'protocol':'tcp/22','origin_direct':['tcp://a:1'],'client_auth':'enforce'", "/client_auth" },
		{ "'protocol':'tcp/80-81','origin_direct':['tcp://a:1-2'],'traffic_type':'http'", "/traffic_type" },
		{ "'protocol':'udp/80','origin_direct':['udp://a:1'],'traffic_type':'http'", "/traffic_type" },
		{ "'protocol':'tcp/80','origin_direct':['tcp://a:1'],'traffic_type':'http','tls':'full'", "/tls" },
		{ "'protocol':'tcp/80','origin_direct':['tcp://a:1'],'traffic_type':'http','client_auth':'enforce'", "/client_auth" },
		{ "'protocol':'tcp/80','origin_direct':['tcp://a:1'],'traffic_type':'https','proxy_protocol':'v2'", "/proxy_protocol" },
		{ "'protocol':'tcp/80','origin_direct':['tcp://a:1'],'traffic_type':'https','guard':'tls'", "/guard" },
		{ "'protocol':'tcp/80','origin_direct':['tcp://a:1'],'traffic_type':'worker'", "/traffic_type" },
		{ "'protocol':'tcp/22','origin_direct':['tcp://a:1'],'edge_ips':{'type':'static'}", "/edge_ips/ips" },
		{ "'protocol':'tcp/22','origin_direct':['tcp://a:1'],'edge_ips':{'type':'static','ips':['x']}", "/edge_ips/ips/0" },
		{ "'protocol':'tcp/22','origin_direct':['tcp://a:1'],'edge_ips':{'ips':['192.0.2.1']}", "/edge_ips/ips" },
		{ "'protocol':'tcp/22','origins':[{'url':'tcp://a:1','weight':1001}]", "/origins/0/weight" },
		{ "'protocol':'tcp/22','origins':[{'url':'tcp://a:1','wieght':1}]", "/origins/0/wieght" },
		{ "'protocol':'tcp/22','origin_direct':['tcp://a:1'],'roots':['00000000000000000000000000000000']", "/roots/0" },
		{ "'protocol':'tcp/22','origin_direct':['tcp://a:1'],'origin_ca':'x'", "/origin_ca" },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char one[512];
		snprintf(one, sizeof one, "{'dns':{'name':'a.example.com'},%s}", bad[i].members);
		if (post(one) == 200 || strcmp(pointer(), bad[i].pointer) != 0)
			fail_msg("%s: %d %s %s", bad[i].members, status, pointer(), message());
	}
	assert_int_equal(post("{'protocol':'tcp/22','dns':{'name':'a.other.com'},'origin_direct':['tcp://a:1']}"), 400);
	assert_string_equal(pointer(), "/dns/name");
	assert_int_equal(post("{'protocol':'tcp/22','dns':{},'origin_direct':['tcp://a:1']}"), 400);
	assert_string_equal(pointer(), "/dns/name");
	assert_int_equal(ask(RF_HTTP_GET, "", ""), 200);
	assert_int_equal(json_array_size(json_object_get(body, "result")), 0);
}

static void two_at_one_port_are_refused_with_both_names(void **state)
{
	(void)state;
	assert_int_equal(post("{'protocol':'tcp/1000-2000','dns':{'name':'cameras.example.com'},'origin_direct':['tcp://192.0.2.1']}"), 200);
	assert_int_equal(post("{'protocol':'tcp/1500','dns':{'name':'gates.example.com'},'origin_direct':['tcp://192.0.2.1:1']}"), 409);
	assert_string_equal(pointer(), "/protocol");
	assert_non_null(strstr(message(), "cameras.example.com"));
	assert_non_null(strstr(message(), "gates.example.com"));
	assert_int_equal(post("{'protocol':'udp/1500','dns':{'name':'gates.example.com'},'origin_direct':['udp://192.0.2.1:1']}"), 200);
	assert_int_equal(post("{'protocol':'tcp/1500','dns':{'name':'gates.example.com'},'origin_direct':['tcp://192.0.2.1:1'],"
			      "'edge_ips':{'type':'static','ips':['198.51.100.1']}}"), 200);
	assert_string_equal(port_at(RF_TRANSPORT_TCP, "198.51.100.1", 1500)->name.p, "gates.example.com");
	assert_string_equal(port_at(RF_TRANSPORT_TCP, "198.51.100.2", 1500)->name.p, "cameras.example.com");
	assert_int_equal(post("{'protocol':'tcp/1500','dns':{'name':'six.example.com'},'origin_direct':['tcp://192.0.2.1:1'],"
			      "'edge_ips':{'type':'dynamic','connectivity':'ipv6'}}"), 200);
	assert_string_equal(port_at(RF_TRANSPORT_TCP, "2001:db8::1", 1500)->name.p, "six.example.com");
}

static void the_edges_own_listeners_keep_their_ports(void **state)
{
	(void)state;
	assert_int_equal(post("{'protocol':'tcp/400-500','dns':{'name':'a.example.com'},'origin_direct':['tcp://192.0.2.1']}"), 409);
	assert_string_equal(pointer(), "/protocol");
	assert_non_null(strstr(message(), "front"));
	assert_int_equal(post("{'protocol':'udp/443','dns':{'name':'a.example.com'},'origin_direct':['udp://192.0.2.1']}"), 200);
	assert_int_equal(post("{'protocol':'tcp/443','dns':{'name':'a.example.com'},'origin_direct':['tcp://192.0.2.1'],"
			      "'edge_ips':{'type':'static','ips':['127.0.0.3']}}"), 200);
	assert_int_equal(post("{'protocol':'tcp/1','dns':{'name':'a.example.com'},'origin_direct':['tcp://192.0.2.1']}"), 200); /* that one is at 127.0.0.1 */
}

static void http_is_an_app_of_the_name(void **state)
{
	(void)state;
	assert_int_equal(post("{'protocol':'tcp/8080','dns':{'name':'web.example.com'},'origin_direct':['tcp://192.0.2.1:80'],'traffic_type':'http'}"), 200);
	const struct rf_app *a = rf_snap_app(rf_snap_now(), RF_STR("web.example.com"));
	assert_non_null(a);
	assert_int_equal(a->auth, RF_AUTH_OFF);
	assert_true(rf_str_eq(a->origins->origins[0].url, RF_STR("http://192.0.2.1")));
	assert_int_equal(port_at(RF_TRANSPORT_TCP, "192.0.2.9", 8080)->traffic, RF_PORT_HTTP);
	assert_int_equal(post("{'protocol':'tcp/8443','dns':{'name':'web.example.com'},'origin_direct':['tcp://192.0.2.1:80'],'traffic_type':'https'}"), 409);
	assert_string_equal(pointer(), "/dns/name");
	assert_int_equal(post("{'protocol':'tcp/8443','dns':{'name':'tls.example.com'},'origin_direct':['tcp://192.0.2.1:80'],'traffic_type':'https',"
			      "'client_auth':'enforce'}"), 200);
	a = rf_snap_app(rf_snap_now(), RF_STR("tls.example.com"));
	assert_int_equal(a->auth, RF_AUTH_ENFORCE);
	assert_int_not_equal(a->own_cert, 0);
	assert_true(a->roots != 0);
}

static const char *nth(size_t i)
{
	const json_t *one = json_array_get(json_object_get(body, "result"), i);
	const char *z = json_string_value(json_object_get(one, "protocol"));
	return z ? z : "";
}

static void lists_come_in_the_order_that_is_asked_for(void **state)
{
	(void)state;
	static const char *const made[] = { "tcp/1000", "tcp/22", "udp/53" };
	for (size_t i = 0; i < 3; i++) {
		char one[256];
		snprintf(one, sizeof one, "{'protocol':'%s','dns':{'name':'%c.example.com'},'origin_direct':['%.3s://192.0.2.1']}", made[i],
			 (char)('b' + (i + 1) % 3), made[i]);
		assert_int_equal(post(one), 200);
	}
	assert_int_equal(ask(RF_HTTP_GET, "?order=protocol", ""), 200);
	assert_true(strcmp(nth(0), "tcp/22") == 0 && strcmp(nth(1), "tcp/1000") == 0 && strcmp(nth(2), "udp/53") == 0);
	assert_int_equal(ask(RF_HTTP_GET, "?order=dns&direction=desc&per_page=2", ""), 200);
	assert_true(strcmp(nth(0), "tcp/22") == 0 && strcmp(nth(1), "tcp/1000") == 0 && !*nth(2));
	assert_int_equal(ask(RF_HTTP_GET, "?order=dns&direction=desc&per_page=2&page=2", ""), 200);
	assert_string_equal(nth(0), "udp/53");
	assert_int_equal(ask(RF_HTTP_GET, "?order=app_id", ""), 200);
	assert_int_equal(json_array_size(json_object_get(body, "result")), 3);
	assert_int_equal(ask(RF_HTTP_GET, "?order=size", ""), 400);
}

static void names_follow_what_is_named(void **state)
{
	(void)state;
	char path[64];
	assert_int_equal(post(SSH), 200);
	assert_string_equal(text("name"), "ssh.example.com/tcp/22");
	snprintf(path, sizeof path, "/%s", text("id"));
	assert_int_equal(ask(RF_HTTP_PATCH, path, "{\"protocol\":\"tcp/23\"}"), 200);
	assert_string_equal(text("name"), "ssh.example.com/tcp/23");
	assert_int_equal(ask(RF_HTTP_PATCH, path, "{\"name\":\"shell\"}"), 200);
	assert_int_equal(ask(RF_HTTP_PATCH, path, "{\"protocol\":\"tcp/24\"}"), 200);
	assert_string_equal(text("name"), "shell");
}

static void unknown_members_of_the_documented_shape_are_dropped_and_said(void **state)
{
	(void)state;
	assert_int_equal(post("{'protocol':'tcp/22','dns':{'name':'a.example.com'},'origin_direct':['tcp://a:1'],'origin_worker_id':'x'}"), 200);
	assert_null(result("origin_worker_id"));
	assert_int_not_equal(json_array_size(json_object_get(body, "messages")), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_documented_shape_goes_in_and_comes_out), T(changes_are_whole_and_conditional), T(a_dry_run_checks_and_changes_nothing),
		T(what_contradicts_itself_is_refused_where_it_stands), T(two_at_one_port_are_refused_with_both_names),
		T(the_edges_own_listeners_keep_their_ports), T(names_follow_what_is_named), T(lists_come_in_the_order_that_is_asked_for), T(http_is_an_app_of_the_name),
		T(unknown_members_of_the_documented_shape_are_dropped_and_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
