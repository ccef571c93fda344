/* The API without a transport: envelopes, credentials, shapes, conditions, and each resource. */
#include "api/test_talk.h"
#include "base/enc.h"

static void answers_in_the_envelope(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(GET("/client/v4/accounts"), 200);
	assert_true(json_is_true(at(f->body, "success")));
	assert_int_equal(json_array_size(at(f->body, "errors")), 0);
	assert_string_equal(text(f, "result.0.id"), f->account);
	assert_int_equal(number(f, "result_info.total_count"), 1);
	assert_int_equal(number(f, "result_info.per_page"), 20);
	assert_int_equal(GET("/client/v4/nonsense"), 404);
	assert_false(json_is_true(at(f->body, "success")));
	assert_int_equal(number(f, "errors.0.code"), 7003);
	assert_int_equal(DELETE("/client/v4/accounts"), 405);
	assert_non_null(strstr(f->headers, "Allow: GET"));
	assert_int_equal(GET("/client/v4/accounts/00000000000000000000000000000000"), 404);
	assert_int_equal(GET("/client/v4/accounts/XYZ"), 404);
	assert_int_equal(GET("A"), 200);
	assert_string_equal(text(f, "result.name"), "acme");
	assert_int_equal(PUT("A", "{\"id\":\"x\",\"name\":\"acme2\",\"type\":\"standard\"}"), 200);
	assert_int_equal(GET("/client/v4/user"), 200);
	assert_int_equal(strlen(text(f, "result.id")), 32);
}

static void zones_are_made_and_deleted(void **state)
{
	struct fixture *f = *state;
	char body[200], path[256], id[33];
	snprintf(body, sizeof body, "{\"name\":\"Fleet.Example\",\"account\":{\"id\":\"%s\"},\"jump_start\":true}", f->account);
	assert_int_equal(POST("/client/v4/zones", body), 200);
	keep(f, "result.id", id);
	assert_string_equal(text(f, "result.name"), "fleet.example");
	assert_string_equal(text(f, "result.account.id"), f->account);
	assert_non_null(strstr(text(f, "messages.0.message"), "jump_start"));
	assert_int_equal(POST("/client/v4/zones", body), 409);
	assert_string_equal(pointer(f), "/name");
	assert_int_equal(POST("/client/v4/zones", "{\"name\":\"nodot\"}"), 400);
	assert_int_equal(POST("/client/v4/zones", "{\"name\":\"a.example\",\"account\":{\"id\":\"0123456789abcdef0123456789abcdef\"}}"),
			 400);
	assert_string_equal(pointer(f), "/account/id");
	assert_int_equal(GET("/client/v4/zones?per_page=1&page=2"), 200);
	assert_string_equal(text(f, "result.0.id"), id);
	assert_int_equal(number(f, "result_info.total_pages"), 2);
	assert_int_equal(GET("/client/v4/zones?name=example.com"), 200);
	assert_int_equal(json_array_size(at(f->body, "result")), 1);
	join(path, "/client/v4/zones/", id, "");
	assert_int_equal(PATCH(path, "{\"paused\":true}"), 200);
	assert_true(json_is_true(at(f->body, "result.paused")));
	assert_int_equal(PATCH(path, "{\"paused\":1}"), 400);
	assert_string_equal(pointer(f), "/paused");
	assert_int_equal(DELETE(path), 200);
	assert_string_equal(text(f, "result.id"), id);
	assert_int_equal(GET(path), 404);
}

static void bad_bodies_are_told_where(void **state)
{
	struct fixture *f = *state;
	static const struct { const char *body; int status; const char *pointer; } cases[] = {
		{ "{\"name\":", 400, "(none)" },
		{ "[]", 400, "(none)" },
		{ "{\"name\":\"a\",\"name\":\"b\"}", 400, "(none)" },
		{ "{}", 400, "/name" },
		{ "{\"name\":5}", 400, "/name" },
		{ "{\"name\":\"\"}", 400, "/name" },
		{ "{\"name\":\"c\",\"max_conections\":5}", 400, "/max_conections" },
		{ "{\"name\":\"c\",\"max_connections\":-1}", 400, "/max_connections" },
		{ "{\"name\":\"c\",\"max_connections\":1.5}", 400, "/max_connections" },
		{ "{\"name\":\"c\",\"bind\":\"magic\"}", 400, "/bind" },
		{ "{\"name\":\"c\",\"rate\":{\"requests\":0}}", 400, "/rate/requests" },
		{ "{\"name\":\"c\",\"roots\":[\"device_ca\",\"x\"]}", 400, "/roots/1" },
		{ "{\"name\":\"c\",\"roots\":{}}", 400, "/roots" },
		{ "{\"name\":\"c\",\"a/b~c\":1}", 400, "/a~1b~0c" },
		{ "{\"name\":\"c\\u0000\"}", 400, "(none)" },
		{ "{\"name\":\"\xff\"}", 400, "(none)" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(POST("A/classes", cases[i].body), cases[i].status);
		assert_string_equal(pointer(f), cases[i].pointer);
	}
	assert_int_equal(POST("A/classes", "{\"name\":\"c\",\"max_conections\":5}"), 400);
	assert_non_null(strstr(text(f, "errors.0.message"), "did you mean \"max_connections\""));
	char deep[200] = "";
	memset(deep, '[', 100);
	assert_int_equal(POST("A/classes", deep), 413);
	char *huge = malloc(RF_API_BODY_MAX + 2);
	memset(huge, ' ', RF_API_BODY_MAX + 1);
	huge[RF_API_BODY_MAX + 1] = '\0';
	assert_int_equal(POST("A/classes", huge), 413);
	free(huge);
	assert_int_equal(POST("A/classes", "{\"bind\":1,\"nme\":2,\"first_sight\":3}"), 400);
	assert_int_equal(json_array_size(at(f->body, "errors")), 4); /* all of them, and the name that is missing */
}

static void only_json_is_taken(void **state)
{
	struct fixture *f = *state;
	char target[512];
	expand(f, "A/classes", target);
	struct rf_api_answer a;
	struct rf_api_request q = { .method = RF_HTTP_POST, .target = rf_str_z(target), .local = "local:test",
				    .body = RF_STR("name=c"), .content_type = RF_STR("application/x-www-form-urlencoded") };
	rf_api_handle(f->api, &q, &a);
	assert_int_equal(a.status, 415);
	rf_api_answer_fini(&a);
}

static void one_of_two_racing_writers_gets_412(void **state)
{
	struct fixture *f = *state;
	char path[256], id[33], etag[32];
	assert_int_equal(POST("A/classes", "{\"name\":\"meter\"}"), 200);
	keep(f, "result.id", id);
	join(path, "A/classes/", id, "");
	assert_int_equal(GET(path), 200);
	snprintf(etag, sizeof etag, "%s", f->etag);
	assert_int_equal(send_with(f, RF_HTTP_PUT, path, "{\"name\":\"one\"}", etag), 200);
	assert_int_equal(send_with(f, RF_HTTP_PUT, path, "{\"name\":\"two\"}", etag), 412);
	assert_non_null(strstr(f->headers, "X-Should-Retry: false"));
	assert_int_equal(send_with(f, RF_HTTP_DELETE, path, "", etag), 412);
	assert_int_equal(send_with(f, RF_HTTP_PUT, path, "{\"name\":\"x\"}", "rubbish"), 412);
	assert_int_equal(GET(path), 200);
	assert_string_equal(text(f, "result.name"), "one");
}

static void dry_run_changes_nothing(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(POST("A/classes?dry_run=true", "{\"name\":\"meter\"}"), 200);
	assert_true(json_is_null(at(f->body, "result")));
	assert_int_equal(POST("A/classes?dry_run=maybe", "{\"name\":\"meter\"}"), 400);
	assert_int_equal(GET("A/classes"), 200);
	assert_int_equal(json_array_size(at(f->body, "result")), 0);
}

static void a_failed_commit_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	f->fail_commit = RF_E_DISK;
	f->fail_pointer = "";
	assert_int_equal(POST("A/classes", "{\"name\":\"meter\"}"), 507);
	f->fail_commit = 0;
	assert_int_equal(GET("A/classes"), 200);
	assert_int_equal(json_array_size(at(f->body, "result")), 0);
	assert_int_equal(POST("A/classes", "{\"name\":\"meter\"}"), 200);
}

static void pages_have_bounds(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = { "A/classes?page=0", "A/classes?per_page=0", "A/classes?per_page=1001",
					   "A/classes?page=x", "A/classes?page=-1" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(GET(bad[i]), 400);
	for (int i = 0; i < 5; i++) {
		char body[64];
		snprintf(body, sizeof body, "{\"name\":\"class %d\"}", i);
		assert_int_equal(POST("A/classes", body), 200);
	}
	assert_int_equal(GET("A/classes?per_page=2&page=3"), 200);
	assert_string_equal(text(f, "result.0.name"), "class 4");
	assert_int_equal(number(f, "result_info.count"), 1);
	assert_int_equal(number(f, "result_info.total_pages"), 3);
	assert_int_equal(GET("A/classes?per_page=2&page=4"), 200);
	assert_int_equal(json_array_size(at(f->body, "result")), 0);
	assert_int_equal(GET("A/classes?name=class%202"), 200);
	assert_int_equal(json_array_size(at(f->body, "result")), 1);
	assert_int_equal(GET("A/classes?name=class+3&direction=desc"), 200);
	assert_string_equal(text(f, "result.0.name"), "class 3");
}

static void devices_are_added_and_revoked(void **state)
{
	struct fixture *f = *state;
	char id[33], path[256], sub[256];
	assert_int_equal(POST("A/classes", "{\"name\":\"meter\"}"), 200);
	assert_int_equal(POST("A/devices", "{\"name\":\"m1\",\"class\":\"meter\",\"tags\":[\"site=a\"],\"issue\":true}"), 200);
	keep(f, "result.id", id);
	assert_string_equal(text(f, "result.class"), "meter");
	assert_string_equal(text(f, "result.state"), "active");
	assert_non_null(strstr(text(f, "result.bundle.private_key"), "PRIVATE KEY"));
	assert_non_null(strstr(text(f, "result.bundle.certificate"), "BEGIN CERTIFICATE"));
	assert_string_equal(text(f, "result.credentials.0.kind"), "ski");
	char ski[80];
	snprintf(ski, sizeof ski, "A/devices?ski=%s", text(f, "result.bundle.ski"));
	assert_int_equal(GET(ski), 200);
	assert_string_equal(text(f, "result.0.id"), id);
	join(path, "A/devices/", id, "");
	assert_int_equal(GET(path), 200);
	assert_string_equal(text(f, "result.bundle"), "(none)");
	assert_int_equal(GET("A/devices?class=meter&state=active"), 200);
	assert_int_equal(number(f, "result_info.total_count"), 1);
	assert_int_equal(GET("A/devices?class=none"), 400);
	join(sub, path, "/revoke", "");
	assert_int_equal(POST(sub, "{\"reason\":\"stolen\"}"), 200);
	assert_string_equal(text(f, "result.state"), "revoked");
	assert_int_equal(GET(path), 200);
	assert_string_equal(text(f, "result.reason"), "stolen");
	assert_true(f->touched[RF_KIND_CLIENT_CERT] >= 2); /* issued, then revoked with its device */
	join(sub, path, "/activate", "");
	assert_int_equal(POST(sub, ""), 200);
	assert_int_equal(GET("A/devices?state=revoked"), 200);
	assert_int_equal(number(f, "result_info.total_count"), 0);
	assert_int_equal(PATCH(path, "{\"firmware\":\"2.1\",\"owner\":null}"), 200);
	assert_string_equal(text(f, "result.firmware"), "2.1");
	assert_int_equal(PATCH(path, "{\"name\":null}"), 400);
	assert_int_equal(DELETE(path), 200);
	assert_int_equal(GET(path), 404);
	assert_int_equal(POST("A/devices", "{\"name\":\"m1\",\"class\":\"absent\"}"), 400);
	assert_string_equal(pointer(f), "/class");
}

static void a_credential_names_one_device(void **state)
{
	struct fixture *f = *state;
	char a[33], b[33], path[256], item[256];
	assert_int_equal(POST("A/devices", "{\"name\":\"a\",\"credentials\":[{\"kind\":\"ski\",\"value\":\"AB01\"}]}"), 200);
	keep(f, "result.id", a);
	assert_int_equal(POST("A/devices", "{\"name\":\"b\",\"credentials\":[{\"kind\":\"ski\",\"value\":\"ab01\"}]}"), 409);
	assert_string_equal(pointer(f), "/credentials/0/value");
	assert_int_equal(POST("A/devices", "{\"name\":\"b\"}"), 200);
	keep(f, "result.id", b);
	join(path, "A/devices/", b, "/credentials");
	assert_int_equal(POST(path, "{\"kind\":\"fingerprint\",\"value\":\"12\"}"), 400);
	assert_int_equal(POST(path, "{\"kind\":\"serial\",\"value\":\"0102\",\"issuer_ski\":\"AA\"}"), 200);
	assert_int_equal(POST(path, "{\"kind\":\"name\",\"value\":\"dev-7\"}"), 200);
	snprintf(item, sizeof item, "%.150s/%s", path, text(f, "result.id"));
	assert_int_equal(GET(path), 200);
	assert_int_equal(json_array_size(at(f->body, "result")), 2);
	assert_int_equal(DELETE(item), 200);
	assert_int_equal(DELETE(item), 404);
}

static const char app_body[] =
	"{\"name\":\"api\",\"hosts\":[\"API.example.com\",\"*.example.com\"],\"origins\":[{\"url\":\"http://127.0.0.1:9000\"}],"
	"\"headers\":[{\"name\":\"X-Device\",\"value\":\"${cert.subject.cn}\"}],\"health\":{\"path\":\"/h\"}}";

static void apps_are_checked_whole(void **state)
{
	struct fixture *f = *state;
	char id[33], path[256];
	assert_int_equal(POST("Z/apps", app_body), 200);
	keep(f, "result.id", id);
	assert_string_equal(text(f, "result.hosts.0"), "api.example.com");
	assert_string_equal(text(f, "result.client_auth"), "enforce");
	assert_int_equal(number(f, "result.deny_status"), 403);
	assert_int_equal(number(f, "result.health.expect_high"), 399);
	assert_int_equal(number(f, "result.origins.0.weight"), 1);
	assert_int_equal(number(f, "result.origins.0.pipeline"), 0);
	assert_int_equal(POST("Z/apps", app_body), 409);
	static const struct { const char *body, *pointer; } bad[] = {
		{ "{\"name\":\"b\",\"hosts\":[\"b.example.com\",\"api.example.com\"],\"origins\":[{\"url\":\"http://a\"}]}", "/hosts/1" },
		{ "{\"name\":\"b\",\"hosts\":[\"b.other.com\"],\"origins\":[{\"url\":\"http://a\"}]}", "/hosts/0" },
		{ "{\"name\":\"b\",\"hosts\":[],\"origins\":[{\"url\":\"http://a\"}]}", "/hosts" },
		{ "{\"name\":\"b\",\"hosts\":[\"b.example.com\"],\"origins\":[{\"url\":\"ftp://a\"}]}", "/origins/0/url" },
		{ "{\"name\":\"b\",\"hosts\":[\"b.example.com\"],\"origins\":[{\"url\":\"http://a/path\"}]}", "/origins/0/url" },
		{ "{\"name\":\"b\",\"hosts\":[\"b.example.com\"],\"origins\":[{}]}", "/origins/0/url" },
		{ "{\"name\":\"b\",\"hosts\":[\"b.example.com\"],\"origins\":[{\"url\":\"http://a\",\"weight\":\"1\"}]}",
		  "/origins/0/weight" },
		{ "{\"name\":\"b\",\"hosts\":[\"b.example.com\"],\"origins\":[{\"url\":\"http://a\",\"pipeline\":65}]}", "/origins/0/pipeline" },
		{ "{\"name\":\"b\",\"hosts\":[\"b.example.com\"],\"origins\":[{\"url\":\"http://a\"}],\"headers\":[{\"name\":\"X\","
		  "\"value\":\"${cert.nonsense}\"}]}", "/headers/0/value" },
		{ "{\"name\":\"b\",\"hosts\":[\"b.example.com\"],\"origins\":[{\"url\":\"http://a\"}],\"origin_ca\":\"x\"}", "/origin_ca" },
		{ "{\"name\":\"b\",\"hosts\":[\"b.example.com\"],\"origins\":[{\"url\":\"http://a\"}],\"roots\":["
		  "\"00000000000000000000000000000000\"]}", "/roots/0" },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_not_equal(POST("Z/apps", bad[i].body), 200);
		assert_string_equal(pointer(f), bad[i].pointer);
	}
	join(path, "Z/apps/", id, "");
	assert_int_equal(PATCH(path, "{\"health\":{\"interval_ms\":500},\"client_auth\":\"report\"}"), 200);
	assert_string_equal(text(f, "result.health.path"), "/h");
	assert_int_equal(number(f, "result.health.interval_ms"), 500);
	assert_int_equal(PATCH(path, "{\"origins\":[{\"weight\":3}]}"), 400);
	assert_string_equal(pointer(f), "/origins/0/url");
	assert_int_equal(PATCH(path, "{\"health\":null}"), 200);
	assert_null(at(f->body, "result.health"));
	assert_int_equal(DELETE(path), 200);
}

static void rules_keep_ids_and_versions(void **state)
{
	struct fixture *f = *state;
	char set[33], first[65], second[65], path[256];
	const char *entry = "A/rulesets/phases/http_request_firewall_custom/entrypoint";
	assert_int_equal(GET(entry), 404);
	assert_int_equal(PUT(entry, "{\"rules\":[{\"action\":\"block\",\"expression\":\"true\",\"ref\":\"mine\"}]}"), 200);
	keep(f, "result.id", set);
	snprintf(first, sizeof first, "%s", text(f, "result.rules.0.id"));
	assert_string_equal(text(f, "result.kind"), "root");
	assert_string_equal(text(f, "result.version"), "1");
	assert_string_equal(text(f, "result.rules.0.version"), "1");
	assert_int_equal(PUT("A/rulesets/phases/http_request/entrypoint", "{\"rules\":[{\"action\":\"log\",\"expression\":\"true\","
			 "\"ref\":\"mine\"}]}"), 200);
	assert_string_equal(text(f, "result.id"), set);
	assert_string_equal(text(f, "result.rules.0.id"), first);
	assert_string_equal(text(f, "result.rules.0.version"), "2");
	join(path, "A/rulesets/", set, "/rules");
	assert_int_equal(POST(path, "{\"action\":\"block\",\"expression\":\"false\",\"position\":{\"before\":\"\"}}"), 200);
	snprintf(second, sizeof second, "%s", text(f, "result.rules.0.id"));
	assert_string_equal(text(f, "result.rules.1.id"), first);
	assert_string_equal(text(f, "result.rules.1.version"), "2");
	assert_int_equal(POST(path, "{\"action\":\"block\",\"expression\":\"x\",\"position\":{\"before\":\"a\",\"index\":1}}"), 400);
	assert_int_equal(POST(path, "{\"action\":\"block\",\"expression\":\"x\",\"position\":{\"after\":\"absent\"}}"), 400);
	assert_string_equal(pointer(f), "/position/after");
	snprintf(path, sizeof path, "A/rulesets/%s/rules/%s", set, second);
	assert_int_equal(PATCH(path, "{\"enabled\":false,\"position\":{\"index\":2}}"), 200);
	assert_string_equal(text(f, "result.rules.1.id"), second);
	assert_true(json_is_false(at(f->body, "result.rules.1.enabled")));
	assert_int_equal(DELETE(path), 200);
	assert_int_equal(json_array_size(at(f->body, "result.rules")), 1);
	assert_int_equal(DELETE(path), 404);
	join(path, "A/rulesets/", set, "/versions");
	assert_int_equal(GET(path), 200);
	assert_int_equal(json_array_size(at(f->body, "result")), 5);
	join(path, "A/rulesets/", set, "/versions/1");
	assert_int_equal(GET(path), 200);
	assert_string_equal(text(f, "result.rules.0.action"), "block");
	assert_int_equal(DELETE(path), 204);
	assert_int_equal(GET(path), 404);
	assert_int_equal(GET("A/rulesets"), 200);
	assert_null(at(f->body, "result.0.rules"));
	join(path, "A/rulesets/", set, "");
	assert_int_equal(DELETE(path), 204);
	assert_int_equal(GET(path), 404);
}

static void errors_of_the_compiler_point_into_the_body(void **state)
{
	struct fixture *f = *state;
	char path[256];
	assert_int_equal(PUT("Z/rulesets/phases/http_request/entrypoint", "{\"rules\":[{\"action\":\"log\",\"expression\":\"true\"}]}"),
			 200);
	assert_string_equal(text(f, "result.kind"), "zone");
	snprintf(path, sizeof path, "Z/rulesets/%s/rules", text(f, "result.id"));
	f->fail_commit = RF_E_UNKNOWN;
	f->fail_pointer = "/expression";
	assert_int_equal(POST(path, "{\"action\":\"block\",\"expression\":\"http.hots eq 1\"}"), 400);
	assert_string_equal(pointer(f), "/expression");
	f->fail_commit = 0;
	assert_int_equal(PUT("Z/rulesets/phases/http_reqest/entrypoint", "{\"rules\":[]}"), 404);
	assert_int_equal(POST("Z/rulesets", "{\"name\":\"x\",\"kind\":\"zone\",\"phase\":\"http_request\",\"rules\":[]}"), 409);
	assert_int_equal(POST("Z/rulesets", "{\"name\":\"x\",\"kind\":\"root\",\"phase\":\"http_request\",\"rules\":[]}"), 400);
	assert_string_equal(pointer(f), "/kind");
	assert_int_equal(PUT("Z/rulesets/phases/http_request/entrypoint", "{\"rules\":[{\"action\":\"log\"},{\"expression\":1}]}"), 400);
	assert_string_equal(pointer(f), "/rules/0/expression");
}

static void lists_change_in_bulk(void **state)
{
	struct fixture *f = *state;
	char id[33], path[256], op[256];
	assert_int_equal(POST("A/rules/lists", "{\"name\":\"Bad Name\",\"kind\":\"ip\"}"), 400);
	assert_int_equal(POST("A/rules/lists", "{\"name\":\"office\",\"kind\":\"ip\",\"description\":\"x\"}"), 200);
	keep(f, "result.id", id);
	join(path, "A/rules/lists/", id, "/items");
	assert_int_equal(POST(path, "[{\"ip\":\"10.0.0.1\",\"comment\":\"a\"},{\"ip\":\"10.1.0.0/16\"},{\"ip\":\"10.0.0.1\"}]"), 200);
	snprintf(op, sizeof op, "A/rules/lists/bulk_operations/%s", text(f, "result.operation_id"));
	assert_int_equal(GET(op), 200);
	assert_string_equal(text(f, "result.status"), "completed");
	assert_int_equal(POST(path, "[{\"ip\":\"10.0.0.2\"},{\"ip\":\"nonsense\"}]"), 400);
	assert_string_equal(pointer(f), "/1/ip");
	assert_int_equal(POST(path, "[{\"asn\":5}]"), 400);
	assert_int_equal(POST(path, "{\"ip\":\"10.0.0.2\"}"), 400);
	assert_int_equal(GET(path), 200);
	assert_int_equal(number(f, "result_info.total_count"), 2);
	char body[100];
	snprintf(body, sizeof body, "{\"items\":[{\"id\":\"%s\"}]}", text(f, "result.0.id"));
	assert_int_equal(send(f, RF_HTTP_DELETE, path, body), 200);
	assert_int_equal(PUT(path, "[{\"ip\":\"192.0.2.0/24\"}]"), 200);
	assert_int_equal(GET("A/rules/lists"), 200);
	assert_int_equal(number(f, "result.0.num_items"), 1);
	assert_int_equal(PUT("A/rulesets/phases/http_request/entrypoint", "{\"rules\":[{\"action\":\"block\",\"expression\":"
			 "\"ip.src in $office\"},{\"action\":\"block\",\"expression\":\"ip.src in $office_network\"}]}"), 200);
	join(path, "A/rules/lists/", id, "");
	assert_int_equal(GET(path), 200);
	assert_int_equal(number(f, "result.num_referencing_filters"), 1);
	assert_int_equal(DELETE(path), 409);
	assert_int_equal(PUT("A/rulesets/phases/http_request/entrypoint", "{\"rules\":[]}"), 200);
	assert_int_equal(DELETE(path), 200);
}

static void the_whole_is_described(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(POST("A/provisioning_tokens", "{\"device_name\":\"d\"}"), 200);
	assert_memory_equal(text(f, "result.value"), "rfp_", 4);
	assert_string_equal(text(f, "result.expires_on"), "2027-01-16T08:00:00Z");
	assert_int_equal(GET("A/provisioning_tokens"), 200);
	assert_string_equal(text(f, "result.0.value"), "(none)");
	assert_int_equal(GET("A/status"), 200);
	assert_string_equal(text(f, "result.account.id"), f->account);
	assert_string_equal(text(f, "result.zones.0.id"), f->zone);
	assert_int_equal(number(f, "result.counts.provisioning_tokens"), 1);
	assert_int_equal(GET("A/audit_logs"), 200);
	assert_string_equal(text(f, "result.0.actor.id"), "local:test");
	assert_string_equal(text(f, "result.0.action.type"), "create");
	assert_int_equal(GET("A/records"), 501);
	assert_int_equal(POST("A/explain", "{\"request\":{}}"), 501);
	assert_int_equal(GET("/healthz"), 200);
	assert_int_equal(GET("/readyz"), 200);
	assert_int_equal(GET("/metrics"), 200);
}

static void openapi_has_every_route(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(GET("/client/v4/openapi.json"), 200);
	assert_string_equal(text(f, "openapi"), "3.1.0");
	for (size_t i = 0; i < rf_route_count; i++) {
		json_t *path = json_object_get(json_object_get(f->body, "paths"), rf_routes[i].path);
		char method[16] = "";
		for (size_t k = 0; rf_http_method_name(rf_routes[i].method)[k]; k++)
			method[k] = (char)rf_lower((unsigned char)rf_http_method_name(rf_routes[i].method)[k]);
		assert_non_null(json_object_get(json_object_get(path, method), "responses"));
	}
	json_t *schemas = json_object_get(json_object_get(f->body, "components"), "schemas");
	for (size_t r = 0; r < RF_RES_COUNT; r++)
		assert_non_null(json_object_get(schemas, rf_schemas[r].name));
}

/* No route is hidden by one above it, and every default of a shape is JSON that its own row accepts. */
static void tables_are_sound(void **state)
{
	(void)state;
	for (size_t i = 0; i < rf_route_count; i++) {
		char path[256];
		size_t n = 0;
		for (const char *p = rf_routes[i].path; *p; p++) {
			if (*p == '{') {
				bool word = strncmp(p, "{phase}", 7) == 0 || strncmp(p, "{version}", 9) == 0 || strncmp(p, "{rule}", 6) == 0;
				n += (size_t)snprintf(path + n, sizeof path - n, "%s", word ? "1" : "0123456789abcdef0123456789abcdef");
				p = strchr(p, '}');
			} else {
				path[n++] = *p;
			}
		}
		const struct rf_route *r = NULL;
		struct rf_params params;
		unsigned allow;
		assert_int_equal(rf_route_find(rf_routes[i].method, (struct rf_str){ path, n }, &r, &params, &allow), RF_OK);
		assert_ptr_equal(r, &rf_routes[i]);
	}
	for (size_t i = 0; i < rf_schema_field_count; i++) {
		const struct rf_schema_field *f = &rf_schema_fields[i];
		json_t *v = f->def[0] ? json_loads(f->def, JSON_DECODE_ANY, NULL) : json_null();
		assert_non_null(v);
		if (json_is_string(v))
			assert_null(rf_check_text(f->check, json_string_value(v)));
		json_decref(v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(answers_in_the_envelope), T(zones_are_made_and_deleted), T(bad_bodies_are_told_where), T(only_json_is_taken),
		T(one_of_two_racing_writers_gets_412), T(dry_run_changes_nothing), T(a_failed_commit_leaves_nothing),
		T(pages_have_bounds), T(devices_are_added_and_revoked), T(a_credential_names_one_device),
		T(apps_are_checked_whole), T(rules_keep_ids_and_versions), T(errors_of_the_compiler_point_into_the_body),
		T(lists_change_in_bulk), T(the_whole_is_described),
		T(openapi_has_every_route), cmocka_unit_test(tables_are_sound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
