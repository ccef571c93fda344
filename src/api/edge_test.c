/* What the API is told of the running daemon: explanations, tests of rules, status, metrics, records, live use. */
#include "ctl/test.h"
#include "api/edge.h"
#include "api/x509.h"
#include "base/enc.h"
#include "ctl/doc.h"
#include "ctl/explain.h"
#include "pki/credkey.h"
#include "records/recent.h"

static struct rf_api_edge edge;
static struct rf_api_hooks api;
static struct rf_recent *recent;
static bool draining;
static char zone[33], app[33], class_id[33], device[33];
static struct rf_cert *cert;

static void put_app(const char *auth)
{
	json_t *doc = json_pack("{s:[s], s:b, s:[{s:s, s:b, s:s, s:i, s:b}], s:s, s:s, s:i, s:[], s:[]}", "hosts", "api.example.com",
				"enabled", 1, "origins", "url", "http://127.0.0.1:9", "verify", 1, "tls_name", "", "weight", 1,
				"backup", 0, "client_auth", auth, "balance", "round_robin", "max_body", 100, "roots", "headers");
	world_put(RF_KIND_APP, zone, "api", doc, app);
}

static void put_rules(const char *phase, const char *json)
{
	char id[33] = "", name[64];
	size_t i;
	json_t *rules = json_loads(json, 0, NULL), *rule;
	assert_non_null(rules);
	snprintf(name, sizeof name, "root:%s", phase);
	world_put(RF_KIND_RULESET, w.ctl.account_id, name,
		  json_pack("{s:s, s:s, s:s}", "kind", "root", "phase", phase, "name", "all"), id);
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	json_array_foreach(rules, i, rule) {
		RF_OBJECT_AUTO o = { .doc = json_incref(rule), .place = (int64_t)i };
		memcpy(o.parent, id, sizeof o.parent);
		snprintf(o.id, sizeof o.id, "%s", json_string_value(json_object_get(rule, "id")));
		GOOD(rf_store_put(w.ctl.store, RF_KIND_RULE, &o, 0, &w.e));
		GOOD(rf_ctl_touch(&w.ctl, RF_KIND_RULE, o.id, &w.e));
	}
	json_decref(rules);
	GOOD(rf_ctl_commit(&w.ctl, false, &w.e));
}

static void put_device(const char *state)
{
	world_put(RF_KIND_DEVICE, w.ctl.account_id, "pump-7",
		  json_pack("{s:s, s:s, s:s, s:s, s:s, s:[s]}", "class_id", class_id, "state", state, "model", "P2", "firmware",
			    "2.0.1", "owner", "", "tags", "site=3"), device);
}

/* A certificate of our CA, kept and bound as the API does. */
static void put_certificate(void)
{
	char id[33] = "", key_id[33] = "", name[128], hex[2 * RF_CREDKEY_MAX + 1];
	struct rf_issue issue = { .days = 30, .cn = RF_STR("pump-7") };
	struct rf_bundle b = { 0 };
	struct rf_credkey key;
	GOOD(rf_ca_bundle(w.ctl.ca, &issue, NOW, &b, &w.e));
	cert = rf_cert_get(b.cert);
	rf_bundle_fini(&b);
	json_t *doc = rf_client_cert_doc(cert, w.ctl.ca, "", device, "", 30);
	snprintf(name, sizeof name, "%s", doc_str(doc, "serial_number").p);
	world_put(RF_KIND_CLIENT_CERT, w.ctl.account_id, name, doc, id);
	GOOD(rf_credkey_ski(rf_str_z(cert->ski), &key));
	rf_hex(key.b, key.n, hex);
	snprintf(name, sizeof name, "ski:%s", hex);
	world_put(RF_KIND_CREDENTIAL, device, name, json_pack("{s:s, s:s}", "kind", "ski", "value", cert->ski), key_id);
}

static int setup(void **state)
{
	(void)state;
	world_open("");
	zone[0] = app[0] = class_id[0] = device[0] = '\0';
	recent = rf_recent_new(100);
	edge = (struct rf_api_edge){ .ctl = &w.ctl, .recent = recent, .draining = &draining };
	api = rf_api_edge_hooks(&edge);
	world_put(RF_KIND_ZONE, w.ctl.account_id, "example.com", json_pack("{s:s}", "status", "active"), zone);
	world_put(RF_KIND_CLASS, w.ctl.account_id, "pumps", json_pack("{s:s, s:[], s:i}", "bind", "ski", "roots", "max_requests", 2),
		  class_id);
	put_app("enforce");
	put_device("active");
	put_certificate();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rf_cert_put(cert);
	rf_recent_free(recent);
	world_close();
	return 0;
}

/* --- explain --- */

static json_t *explained(const char *who, const char *request)
{
	json_t *r = json_loads(request, 0, NULL), *ret = NULL;
	assert_non_null(r);
	json_t *body = json_pack("{s:s, s:o}", "device", who, "request", r);
	GOOD(api.explain(api.ctx, w.ctl.account_id, body, &ret, &w.e));
	json_decref(body);
	return ret;
}

static const char *outcome(const json_t *j, const char *member)
{
	return doc_str(json_object_get(j, "outcome"), member).p;
}

static const char *check(const json_t *j, const char *name)
{
	const json_t *all = json_object_get(j, "checks");
	for (size_t i = 0; i < json_array_size(all); i++)
		if (doc_is(json_array_get(all, i), "check", name))
			return doc_str(json_array_get(all, i), "result").p;
	fail_msg("no check %s", name);
	return "";
}

static const char *rule(const json_t *j, const char *ref)
{
	const json_t *all = json_object_get(j, "rules");
	for (size_t i = 0; i < json_array_size(all); i++)
		if (doc_is(json_array_get(all, i), "ref", ref))
			return doc_str(json_array_get(all, i), "result").p;
	return "";
}

#define GET_API "{\"host\": \"API.example.com\", \"path\": \"/x\"}"

static void a_known_device_is_forwarded(void **state)
{
	(void)state;
	json_t *j = explained("pump-7", GET_API);
	assert_string_equal(outcome(j, "outcome"), "forwarded");
	assert_string_equal(outcome(j, "app"), "api");
	assert_string_equal(check(j, "client certificate"), "passed");
	assert_string_equal(check(j, "root"), "passed");
	assert_string_equal(check(j, "requests at once"), "passed");
	assert_string_equal(check(j, "connections"), "not_asked");
	json_decref(j);
}

static void each_layer_says_no_in_its_place(void **state)
{
	(void)state;
	json_t *j = explained("", GET_API);
	assert_string_equal(outcome(j, "outcome"), "refused");
	assert_string_equal(check(j, "client certificate"), "refused");
	assert_string_equal(check(j, "state"), "not_reached");
	json_decref(j);

	j = explained("pump-7", "{\"host\": \"elsewhere.example\"}");
	assert_string_equal(check(j, "host"), "refused");
	assert_string_equal(outcome(j, "layer"), "tls");
	json_decref(j);

	put_device("quarantined");
	j = explained(device, GET_API);
	assert_string_equal(check(j, "client certificate"), "passed");
	assert_string_equal(check(j, "state"), "refused");
	assert_string_equal(outcome(j, "reason"), "the device is in quarantine");
	json_decref(j);
	put_device("active");

	w.now_s = cert->not_after + 1;
	j = explained(device, GET_API);
	assert_string_equal(check(j, "client certificate"), "refused");
	assert_string_equal(doc_str(json_object_get(j, "identity"), "certificate").p, "invalid");
	json_decref(j);
	w.now_s = NOW;

	rf_device_use(rf_device_find(w.ctl.devices, rf_str_z(device)))->requests = 2;
	j = explained(device, GET_API);
	assert_string_equal(check(j, "requests at once"), "refused");
	assert_int_equal(doc_int(json_object_get(j, "outcome"), "status", 0), 429);
	json_decref(j);
	rf_device_use(rf_device_find(w.ctl.devices, rf_str_z(device)))->requests = 0;
}

static void a_revoked_certificate_is_refused_as_such(void **state)
{
	(void)state;
	RF_OBJECT_AUTO o = { 0 };
	char id[33], name[128];
	size_t n = 0;
	for (; cert->serial[n]; n++)
		name[n] = (char)rf_lower((unsigned char)cert->serial[n]);
	name[n] = '\0';
	GOOD(rf_store_find(w.ctl.store, RF_KIND_CLIENT_CERT, NULL, name, &o, &w.e));
	json_object_set_new(o.doc, "status", json_string("revoked"));
	memcpy(id, o.id, sizeof id);
	world_put(RF_KIND_CLIENT_CERT, o.parent, o.name, json_incref(o.doc), id);
	json_t *j = explained("pump-7", GET_API);
	assert_string_equal(outcome(j, "outcome"), "refused");
	assert_string_equal(doc_str(json_object_get(j, "identity"), "certificate").p, "revoked");
	json_decref(j);
}

static void in_report_mode_it_is_told_and_forwarded(void **state)
{
	(void)state;
	put_app("report");
	json_t *j = explained("", GET_API);
	assert_string_equal(outcome(j, "outcome"), "forwarded");
	assert_string_equal(outcome(j, "would_refuse"), "no client certificate was shown");
	assert_string_equal(check(j, "client certificate"), "reported");
	json_decref(j);
	put_app("off");
	j = explained("", GET_API);
	assert_string_equal(check(j, "client certificate"), "not_asked");
	assert_string_equal(outcome(j, "outcome"), "forwarded");
	json_decref(j);
}

static void rules_see_the_device_and_what_the_operator_says_instead(void **state)
{
	(void)state;
	put_rules("http_request", "[{\"id\": \"a\", \"ref\": \"old\", \"action\": \"block\", \"enabled\": true, "
		  "\"expression\": \"device.firmware lt \\\"2.1\\\" and device.class eq \\\"pumps\\\" and cf.tls_client_auth.cert_verified\"}]");
	json_t *j = explained("pump-7", GET_API);
	assert_string_equal(outcome(j, "outcome"), "refused");
	assert_string_equal(outcome(j, "layer"), "rule");
	assert_string_equal(outcome(j, "rule"), "a");
	assert_string_equal(rule(j, "old"), "matched");
	json_decref(j);
	j = explained("pump-7", "{\"host\": \"api.example.com\", \"device\": {\"firmware\": \"2.1\"}}");
	assert_string_equal(outcome(j, "outcome"), "forwarded");
	assert_string_equal(rule(j, "old"), "not_matched");
	json_decref(j);
	put_device("revoked");
	j = explained("pump-7", GET_API);
	assert_string_equal(rule(j, "old"), "not_reached");
	assert_string_equal(outcome(j, "layer"), "device");
	json_decref(j);
	put_rules("connection", "[{\"id\": \"c\", \"ref\": \"conn\", \"action\": \"block\", \"enabled\": true, "
		  "\"expression\": \"device.known\"}]");
	j = explained("pump-7", GET_API); /* before the request is there */
	assert_string_equal(outcome(j, "rule"), "c");
	assert_string_equal(rule(j, "conn"), "matched");
	json_decref(j);
}

/* A record of pump-7's request, ten seconds ago. */
static json_t *stored(const char *ray, const char *action, const char *layer)
{
	json_t *line = NULL;
	struct rf_record rec = { .kind = RF_REC_REQUEST, .at = (NOW - 10) * (int64_t)RF_NS_S, .ray = rf_str_z(ray), .action = rf_str_z(action),
				 .layer = rf_str_z(layer), .host = RF_STR("api.example.com"), .method = RF_STR("GET"), .path = RF_STR("/x"),
				 .device = rf_str_z(device), .class_name = RF_STR("pumps"), .tls_version = RF_STR("TLSv1.3"),
				 .origin_status = 200 };
	assert_int_not_equal(rf_recent_add(recent, &rec), 0);
	GOOD(api.record(api.ctx, ray, &line, &w.e));
	return line;
}

/* By the rules `then`, or by those of now where it is NULL. */
static json_t *past(json_t *line, const char *basis, const char *then)
{
	RF_OBJECT_AUTO set = { 0 };
	json_t *ret = NULL, *rules = then ? json_loads(then, 0, NULL) : NULL;
	GOOD(rf_store_find(w.ctl.store, RF_KIND_RULESET, w.ctl.account_id, "root:http_request", &set, &w.e));
	json_t *told = json_pack("{s:{s:s, s:o*}}", set.id, "basis", basis, "rules", rules);
	GOOD(api.explain_past(api.ctx, line, told, &ret, &w.e));
	json_decref(told);
	json_decref(line);
	return ret;
}

#define RULE(ref, action, expr) "{\"id\": \"" ref "\", \"ref\": \"" ref "\", \"action\": \"" action "\", \"enabled\": true, \"expression\": \"" expr "\"}"
#define PATH_IS_X "http.request.uri.path eq \\\"/x\\\""

static void a_record_meets_the_rules_of_its_time(void **state)
{
	(void)state;
	put_rules("http_request", "[" RULE("now", "block", PATH_IS_X) "]");
	json_t *j = past(stored("aa01", "allow", ""), RF_BASIS_THEN, "[" RULE("then", "log", PATH_IS_X) "]");
	assert_string_equal(rule(j, "then"), "matched");
	assert_string_equal(rule(j, "now"), "");
	assert_string_equal(outcome(j, "outcome"), "forwarded");
	assert_string_equal(outcome(j, "recorded"), "allow");
	assert_string_equal(doc_str(json_array_get(json_object_get(j, "rules"), 0), "basis").p, RF_BASIS_THEN);
	json_decref(j);
	j = past(stored("aa02", "allow", ""), RF_BASIS_NOW, NULL);
	assert_string_equal(rule(j, "now"), "matched");
	assert_string_equal(outcome(j, "rule"), "now");
	assert_string_equal(doc_str(json_array_get(json_object_get(j, "rules"), 0), "basis").p, RF_BASIS_NOW);
	json_decref(j);
	j = past(stored("aa03", "allow", ""), RF_BASIS_THEN, "[" RULE("gone", "block", "ip.src in $gone") "]"); /* names a list that is no more */
	assert_string_equal(rule(j, "now"), "matched");
	assert_string_equal(doc_str(json_array_get(json_object_get(j, "rules"), 0), "basis").p, RF_BASIS_NOW);
	json_decref(j);
}

static void what_a_record_does_not_hold_cannot_be_known(void **state)
{
	(void)state;
	put_rules("http_request", "[" RULE("query", "block", "http.request.uri.query eq \\\"a\\\"") ","
		  RULE("no", "block", "http.request.uri.query eq \\\"a\\\" and http.request.method eq \\\"PUT\\\"") ","
		  RULE("yes", "block", PATH_IS_X) "," RULE("late", "log", "ssl") "]");
	json_t *j = past(stored("bb01", "allow", ""), RF_BASIS_THEN, NULL);
	const json_t *rules = json_object_get(j, "rules");
	assert_string_equal(rule(j, "query"), "cannot_know");
	assert_string_equal(doc_str(json_array_get(json_object_get(json_array_get(rules, 0), "because"), 0), "expression").p,
			    "http.request.uri.query is not stored");
	assert_string_equal(rule(j, "no"), "not_matched"); /* the method alone decides */
	assert_string_equal(doc_str(json_array_get(json_object_get(json_array_get(rules, 1), "because"), 0), "value").p, "GET");
	assert_string_equal(rule(j, "yes"), "matched");
	assert_string_equal(rule(j, "late"), "not_reached");
	assert_string_equal(outcome(j, "outcome"), "cannot_know");
	assert_string_equal(outcome(j, "rule"), "query");
	json_decref(j);
	j = past(stored("bb02", "block", "device"), RF_BASIS_THEN, NULL); /* refused before any rule */
	assert_string_equal(rule(j, "query"), "not_reached");
	assert_string_equal(rule(j, "yes"), "not_reached");
	assert_string_equal(outcome(j, "outcome"), "refused");
	assert_string_equal(outcome(j, "recorded_layer"), "device");
	json_decref(j);
}

static void put_patch(const char *moves)
{
	char id[33] = "";
	json_t *history = json_loads(moves, 0, NULL), *doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "name", "cve", "title", "Hole", "state",
		"enforce", "expression", "ssl", "action", "block", "history", history);
	assert_non_null(history);
	world_put(RF_KIND_PATCH, w.ctl.account_id, "cve", doc, id);
}

static void the_state_of_a_patch_stands_beside_its_rule(void **state)
{
	(void)state;
	put_rules("http_request", "[]");
	put_patch("[]");
	json_t *j = explained("pump-7", GET_API), *first = json_array_get(json_object_get(j, "rules"), 0);
	assert_string_equal(doc_str(first, "ruleset").p, "patches");
	assert_string_equal(doc_str(first, "state").p, "enforce");
	json_decref(j);
}

static void a_record_is_found_by_its_ray_alone(void **state)
{
	(void)state;
	json_t *line = NULL;
	json_decref(stored("cc01", "allow", ""));
	assert_int_equal(api.record(api.ctx, "cc02", &line, &w.e), RF_E_INVALID);
	assert_string_equal(w.e.pointer, "/record");
	assert_int_equal(api.record(api.ctx, "cc01\",\"Type", &line, &w.e), RF_E_INVALID);
	assert_int_equal(api.record(api.ctx, "", &line, &w.e), RF_E_INVALID);
	assert_null(line);
}

static void what_cannot_be_explained_is_an_error_in_its_place(void **state)
{
	(void)state;
	json_t *ret = NULL, *body = json_pack("{s:s, s:{}}", "device", "nobody", "request");
	assert_int_equal(api.explain(api.ctx, "", body, &ret, &w.e), RF_E_INVALID);
	assert_string_equal(w.e.pointer, "/device");
	json_decref(body);
	body = json_pack("{s:s, s:{s:s}}", "device", "", "request", "hots", "x");
	assert_int_equal(api.explain(api.ctx, "", body, &ret, &w.e), RF_E_UNKNOWN);
	assert_string_equal(w.e.pointer, "/request/hots");
	json_decref(body);
	assert_null(ret);
}

/* --- tests of rules --- */

#define BLOCK_EVIL "[{\"id\": \"a\", \"ref\": \"evil\", \"action\": \"block\", \"enabled\": true, " \
		   "\"expression\": \"http.request.uri.path eq \\\"/evil\\\"\"}]"
#define TESTS "[{\"name\": \"evil stops\", \"request\": {\"path\": \"/evil\"}, \"expect\": {\"action\": \"block\"}}," \
	      " {\"name\": \"good goes\", \"request\": {\"path\": \"/good\"}, \"expect\": {\"action\": \"allow\"}}]"

static json_t *tried(const char *rulesets, const char *zone_id)
{
	json_t *ret = NULL, *body = json_pack("{s:o, s:s}", "tests", json_loads(TESTS, 0, NULL), "zone_id", zone_id);
	if (rulesets)
		json_object_set_new(body, "rulesets", json_loads(rulesets, 0, NULL));
	GOOD(api.rules_test(api.ctx, w.ctl.account_id, body, &ret, &w.e));
	json_decref(body);
	return ret;
}

static void tests_run_over_what_is_in_force_or_given(void **state)
{
	(void)state;
	json_t *j = tried(NULL, "");
	assert_int_equal(doc_int(j, "passed", -1), 1);
	assert_int_equal(doc_int(j, "failed", -1), 1);
	const json_t *first = json_array_get(json_object_get(j, "tests"), 0);
	assert_false(doc_bool(first, "passed", true));
	assert_non_null(strstr(doc_str(first, "why").p, "should be blocked"));
	json_decref(j);
	j = tried("[{\"phase\": \"http_request\", \"rules\": " BLOCK_EVIL "}]", "");
	assert_int_equal(doc_int(j, "passed", -1), 2);
	json_decref(j);
	put_rules("http_request", BLOCK_EVIL);
	j = tried(NULL, zone);
	assert_int_equal(doc_int(j, "passed", -1), 2);
	json_decref(j);
	j = tried("[]", "");
	assert_int_equal(doc_int(j, "failed", -1), 1);
	json_decref(j);
}

static void wrong_rules_and_zones_are_pointed_at(void **state)
{
	(void)state;
	json_t *ret = NULL;
	json_t *body = json_pack("{s:[], s:[{s:s, s:[]}, {s:s, s:[{s:s, s:s}]}]}", "tests", "rulesets", "phase", "connection", "rules",
				 "phase", "http_request", "rules", "action", "block", "expression", "http.hots eq 1");
	assert_int_not_equal(api.rules_test(api.ctx, "", body, &ret, &w.e), RF_OK);
	assert_string_equal(w.e.pointer, "/rulesets/1/rules/0/expression");
	json_decref(body);
	body = json_pack("{s:[], s:s}", "tests", "zone_id", "00000000000000000000000000000001");
	assert_int_equal(api.rules_test(api.ctx, "", body, &ret, &w.e), RF_E_INVALID);
	assert_string_equal(w.e.pointer, "/zone_id");
	json_decref(body);
	assert_null(ret);
}

/* --- the rest --- */

static void status_and_metrics_show_what_runs(void **state)
{
	(void)state;
	json_t *j = json_object();
	GOOD(api.status(api.ctx, j, &w.e));
	assert_true(doc_int(j, "generation", 0) > 0);
	assert_int_equal(doc_int(j, "workers", -1), 0);
	assert_int_equal(doc_int(json_object_get(j, "live"), "devices", -1), 1);
	assert_true(doc_int(json_object_get(j, "device_ca"), "days_left", 0) > 3000);
	assert_string_equal(doc_str(json_array_get(json_object_get(j, "listeners"), 0), "address").p, "127.0.0.1:1");
	assert_true(json_is_array(json_object_get(j, "crls")));
	json_decref(j);
	RF_BUF_AUTO text = { 0 };
	api.metrics(api.ctx, &text);
	assert_non_null(strstr(rf_buf_z(&text), "\nringfence_devices 1.000\n"));
	assert_non_null(strstr(rf_buf_z(&text), "\nringfence_list_entries 0.000\n"));
	assert_non_null(strstr(rf_buf_z(&text), "ringfence_snapshots_total"));
	const char *why = NULL;
	assert_true(api.ready(api.ctx, &why));
	draining = true;
	assert_false(api.ready(api.ctx, &why));
	assert_string_equal(why, "draining");
	draining = false;
}

static void live_use_of_a_device_is_shown(void **state)
{
	(void)state;
	struct rf_device_use *u = rf_device_use(rf_device_find(w.ctl.devices, rf_str_z(device)));
	u->connections = 3;
	u->requests_total = 70;
	u->last_seen_s = (uint32_t)NOW;
	json_t *j = json_object();
	api.live(api.ctx, device, j);
	assert_int_equal(doc_int(j, "connections", 0), 3);
	assert_int_equal(doc_int(j, "requests_total", 0), 70);
	assert_string_equal(doc_str(j, "last_seen").p, "2026-09-21T14:13:20Z");
	json_object_clear(j);
	api.live(api.ctx, "00000000000000000000000000000001", j);
	assert_int_equal(json_object_size(j), 0);
	json_decref(j);
	u->connections = 0;
	j = json_array();
	GOOD(api.unknown(api.ctx, 10, j, &w.e));
	assert_int_equal(json_array_size(j), 0);
	json_decref(j);
}

static size_t found(const char *filter, size_t limit, json_int_t *ret_first)
{
	json_t *f = json_loads(filter, 0, NULL), *a = json_array();
	GOOD(api.records(api.ctx, f, limit, a, &w.e));
	size_t n = json_array_size(a);
	*ret_first = doc_int(json_array_get(a, 0), "ID", 0);
	json_decref(f);
	json_decref(a);
	return n;
}

static void records_are_filtered_and_newest_first(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		struct rf_record r = { .kind = i % 2 ? RF_REC_REQUEST : RF_REC_CONNECTION, .at = (NOW + i) * (int64_t)RF_NS_S,
				       .action = i == 5 ? RF_STR("block") : RF_STR("allow"), .device_name = RF_STR("pump-7"),
				       .host = RF_STR("api.example.com") };
		rf_recent_add(recent, &r);
	}
	json_int_t first;
	assert_int_equal(found("{}", 3, &first), 3);
	assert_int_equal(first, 10);
	assert_int_equal(found("{\"kind\": \"request\"}", 100, &first), 5);
	assert_int_equal(found("{\"action\": \"block\", \"host\": \"API.example.com\"}", 100, &first), 1);
	assert_int_equal(first, 6);
	assert_int_equal(found("{\"device\": \"pump-8\"}", 100, &first), 0);
	assert_int_equal(found("{\"since\": \"4\"}", 3, &first), 3); /* the next three, newest first */
	assert_int_equal(first, 7);
	assert_int_equal(found("{\"since\": \"2026-09-21T14:13:28Z\"}", 100, &first), 2);
	json_t *a = json_array(), *f = json_loads("{\"hots\": \"x\"}", 0, NULL);
	assert_int_equal(api.records(api.ctx, f, 1, a, &w.e), RF_E_UNKNOWN);
	assert_non_null(strstr(w.e.text, "host"));
	json_decref(f);
	f = json_loads("{\"kind\": \"x\"}", 0, NULL);
	assert_int_equal(api.records(api.ctx, f, 1, a, &w.e), RF_E_INVALID);
	json_decref(f);
	json_decref(a);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_known_device_is_forwarded),
		T(each_layer_says_no_in_its_place),
		T(a_revoked_certificate_is_refused_as_such),
		T(in_report_mode_it_is_told_and_forwarded),
		T(rules_see_the_device_and_what_the_operator_says_instead),
		T(a_record_meets_the_rules_of_its_time), T(what_a_record_does_not_hold_cannot_be_known),
		T(the_state_of_a_patch_stands_beside_its_rule), T(a_record_is_found_by_its_ray_alone),
		T(what_cannot_be_explained_is_an_error_in_its_place),
		T(tests_run_over_what_is_in_force_or_given),
		T(wrong_rules_and_zones_are_pointed_at),
		T(status_and_metrics_show_what_runs),
		T(live_use_of_a_device_is_shown),
		T(records_are_filtered_and_newest_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
