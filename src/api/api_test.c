/* The API without a transport: envelopes, credentials, shapes, conditions, and each resource. */
#include "api/api_test.h"
#include "base/enc.h"

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	*state = f;
	return fixture_open(f, 0);
}

static int teardown(void **state)
{
	fixture_close(*state);
	free(*state);
	return 0;
}

/* "A" and "Z" stand for the account's and the zone's path. */
static void expand(struct fixture *f, const char *path, char to[512])
{
	if (path[0] == 'A')
		snprintf(to, 512, "/client/v4/accounts/%s%s", f->account, path + 1);
	else if (path[0] == 'Z')
		snprintf(to, 512, "/client/v4/zones/%s%s", f->zone, path + 1);
	else
		snprintf(to, 512, "%s", path);
}

static int send_with(struct fixture *f, enum rf_http_method m, const char *path, const char *body, const char *if_match)
{
	char target[512], auth[96];
	struct rf_api_answer a;
	expand(f, path, target);
	snprintf(auth, sizeof auth, "Bearer %s", f->token);
	struct rf_api_request q = { .method = m, .target = rf_str_z(target), .body = rf_str_z(body),
				    .content_type = RF_STR("application/json"), .if_match = rf_str_z(if_match),
				    .authorization = f->token[0] ? rf_str_z(auth) : RF_STR(""),
				    .local = f->token[0] ? NULL : "local:test" };
	q.src.family = 4;
	q.src.b[0] = 10;
	rf_api_handle(f->api, &q, &a);
	json_decref(f->body);
	f->body = a.body.n ? json_loadb(a.body.p, a.body.n, 0, NULL) : NULL;
	f->status = a.status;
	snprintf(f->headers, sizeof f->headers, "%s", rf_buf_z(&a.headers));
	const char *etag = strstr(f->headers, "Etag: ");
	f->etag[0] = '\0';
	if (etag)
		snprintf(f->etag, sizeof f->etag, "%.*s", (int)strcspn(etag + 6, "\r"), etag + 6);
	rf_api_answer_fini(&a);
	return f->status;
}

static int send(struct fixture *f, enum rf_http_method m, const char *path, const char *body)
{
	return send_with(f, m, path, body, "");
}

#define GET(path) send(f, RF_HTTP_GET, path, "")
#define POST(path, body) send(f, RF_HTTP_POST, path, body)
#define PUT(path, body) send(f, RF_HTTP_PUT, path, body)
#define PATCH(path, body) send(f, RF_HTTP_PATCH, path, body)
#define DELETE(path) send(f, RF_HTTP_DELETE, path, "")

static json_t *at(json_t *j, const char *path)
{
	char key[64];
	while (j && *path) {
		size_t n = strcspn(path, ".");
		snprintf(key, sizeof key, "%.*s", (int)n, path);
		j = json_is_array(j) ? json_array_get(j, (size_t)atoi(key)) : json_object_get(j, key);
		path += n + (path[n] == '.');
	}
	return j;
}

static const char *text(struct fixture *f, const char *path)
{
	const char *z = json_string_value(at(f->body, path));
	return z ? z : "(none)";
}

static long long number(struct fixture *f, const char *path) { return json_integer_value(at(f->body, path)); }
static const char *pointer(struct fixture *f) { return text(f, "errors.0.source.pointer"); }

static void keep(struct fixture *f, const char *path, char to[33]) { snprintf(to, 33, "%s", text(f, path)); }

__attribute__((noinline)) static void join(char to[256], const char *a, const char *b, const char *c)
{
	to[0] = 0;
	strncat(strncat(strncat(to, a, 150), b, 60), c, 40);
}

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

static void make_token(struct fixture *f, const char *scope, const char *resource, char to[64], char id[33])
{
	char body[400];
	snprintf(body, sizeof body, "{\"name\":\"t\",\"policies\":[{\"effect\":\"allow\",\"permission_groups\":[{\"id\":\"%s\"}],"
		 "\"resources\":{\"com.example.api.account%s\":\"*\"}}]}", scope, resource);
	f->token[0] = '\0';
	assert_int_equal(POST("/client/v4/user/tokens", body), 200);
	snprintf(to, 64, "%s", text(f, "result.value"));
	keep(f, "result.id", id);
}

static void tokens_have_scopes(void **state)
{
	struct fixture *f = *state;
	char all[64], reader[64], devices[64], zone[64], id[33], account[64], in_zone[64];
	snprintf(account, sizeof account, ".%s", f->account);
	snprintf(in_zone, sizeof in_zone, ".zone.%s", f->zone);
	make_token(f, "*", account, all, id);
	make_token(f, "read", ".*", reader, id);
	make_token(f, "devices:write", account, devices, id);
	make_token(f, "apps:write", in_zone, zone, id);
	strcpy(f->token, all);
	assert_int_equal(POST("A/classes", "{\"name\":\"meter\"}"), 200);
	strcpy(f->token, reader);
	assert_int_equal(GET("A/classes"), 200);
	assert_int_equal(POST("A/classes", "{\"name\":\"b\"}"), 403);
	assert_int_equal(number(f, "errors.0.code"), 9109);
	strcpy(f->token, devices);
	assert_int_equal(GET("A/devices"), 200);
	assert_int_equal(POST("A/devices", "{\"name\":\"d\"}"), 200);
	assert_int_equal(GET("A/classes"), 403);
	assert_int_equal(GET("/client/v4/zones"), 200);
	assert_int_equal(json_array_size(at(f->body, "result")), 0);
	strcpy(f->token, zone);
	assert_int_equal(GET("Z/apps"), 200);
	assert_int_equal(GET("A/devices"), 403);
	assert_int_equal(GET("Z"), 403);
	strcpy(f->token, "nonsense");
	assert_int_equal(GET("A/devices"), 401);
	strcpy(f->token, "rft_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	assert_int_equal(GET("A/devices"), 401);
	assert_int_equal(number(f, "errors.0.code"), 10000);
}

static void nobody_gives_more_than_they_have(void **state)
{
	struct fixture *f = *state;
	char token[64], id[33];
	make_token(f, "tokens:write", ".*", token, id);
	strcpy(f->token, token);
	assert_int_equal(POST("/client/v4/user/tokens", "{\"name\":\"t\",\"policies\":[{\"effect\":\"allow\",\"permission_groups\":"
			 "[{\"id\":\"*\"}],\"resources\":{\"account.*\":\"*\"}}]}"), 403);
	assert_string_equal(pointer(f), "/policies/0/permission_groups/0/id");
	assert_int_equal(POST("/client/v4/user/tokens", "{\"name\":\"t\",\"policies\":[{\"effect\":\"allow\",\"permission_groups\":"
			 "[{\"id\":\"tokens:read\"}],\"resources\":{\"account.*\":\"*\"}}]}"), 200);
	assert_int_equal(POST("/client/v4/user/tokens", "{\"name\":\"t\",\"policies\":[{\"effect\":\"allow\",\"permission_groups\":"
			 "[{\"id\":\"fly\"}],\"resources\":{\"account.*\":\"*\"}}]}"), 400);
}

static void tokens_live_and_die(void **state)
{
	struct fixture *f = *state;
	char token[64], id[33], path[256];
	make_token(f, "*", ".*", token, id);
	join(path, "/client/v4/user/tokens/", id, "");
	strcpy(f->token, token);
	assert_int_equal(GET("/client/v4/user/tokens/verify"), 200);
	assert_string_equal(text(f, "result.status"), "active");
	assert_int_equal(GET(path), 200);
	assert_string_equal(text(f, "result.last_used_on"), "2027-01-15T08:00:00Z");
	assert_string_equal(text(f, "result.value"), "(none)");
	const char *put = "{\"name\":\"t2\",\"expires_on\":\"2027-01-15T09:00:00Z\",\"policies\":[{\"effect\":\"allow\","
			  "\"permission_groups\":[{\"id\":\"*\"}],\"resources\":{\"account.*\":\"*\"}}],"
			  "\"condition\":{\"request_ip\":{\"in\":[\"10.0.0.0/8\"]}}}";
	assert_int_equal(PUT(path, put), 200);
	assert_int_equal(GET(path), 200);
	test_now_s += 3600;
	assert_int_equal(GET(path), 401);
	test_now_s -= 3600;
	char value[256];
	join(value, path, "/value", "");
	assert_int_equal(PUT(value, "{}"), 200);
	assert_true(json_is_string(at(f->body, "result")));
	assert_int_equal(GET(path), 401);
	f->token[0] = '\0';
	assert_int_equal(DELETE(path), 200);
	assert_int_equal(GET(path), 404);
	assert_int_equal(GET("/client/v4/user/tokens/permission_groups"), 200);
	assert_string_equal(text(f, "result.0.name"), "*");
}

static void requests_of_a_token_are_limited(void **state)
{
	(void)state;
	struct fixture own = { 0 }, *f = &own;
	char token[64], id[33];
	assert_int_equal(fixture_open(f, 3), 0);
	make_token(f, "*", ".*", token, id);
	strcpy(f->token, token);
	for (int i = 0; i < 3; i++)
		assert_int_equal(GET("A/classes"), 200);
	assert_non_null(strstr(f->headers, "Ratelimit: \"default\";r=0"));
	assert_int_equal(GET("A/classes"), 429);
	assert_non_null(strstr(f->headers, "Retry-After: "));
	test_now_s += RF_API_RATE_WINDOW_S;
	assert_int_equal(GET("A/classes"), 200);
	test_now_s -= RF_API_RATE_WINDOW_S;
	fixture_close(f);
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

static json_t *with_pem(const char *name, struct rf_buf *pem, const char *more)
{
	json_t *j = json_loads(more, 0, NULL);
	json_object_set_new(j, name, json_string(rf_buf_z(pem)));
	return j;
}

static int post_json(struct fixture *f, const char *path, json_t *j)
{
	char *z = json_dumps(j, 0);
	int status = POST(path, z);
	free(z);
	json_decref(j);
	return status;
}

static void roots_are_read_and_associated(void **state)
{
	struct fixture *f = *state;
	RF_BUF_AUTO pem = { 0 };
	char id[33], path[256], body[200];
	assert_int_equal(rf_ca_root_pem(f->ca, &pem), RF_OK);
	assert_int_equal(post_json(f, "A/mtls_certificates", with_pem("certificates", &pem, "{\"ca\":true,\"name\":\"r\"}")), 200);
	keep(f, "result.id", id);
	assert_non_null(strstr(text(f, "result.issuer"), "CN="));
	assert_string_equal(text(f, "result.signature"), "ECDSAWithSHA256");
	assert_true(strspn(text(f, "result.serial_number"), "0123456789") > 8);
	assert_string_equal(text(f, "result.type"), "custom");
	assert_int_equal(post_json(f, "A/mtls_certificates", with_pem("certificates", &pem, "{\"ca\":true}")), 409);
	assert_int_equal(POST("A/mtls_certificates", "{\"ca\":true,\"certificates\":\"nonsense\"}"), 400);
	assert_string_equal(pointer(f), "/certificates");
	snprintf(body, sizeof body, "{\"hostnames\":[\"api.example.com\",\"A.example.com\"],\"mtls_certificate_id\":\"%s\"}", id);
	assert_int_equal(PUT("Z/certificate_authorities/hostname_associations", body), 200);
	assert_int_equal(json_array_size(at(f->body, "result.hostnames")), 2);
	snprintf(body, sizeof body, "{\"hostnames\":[\"api.other.com\"],\"mtls_certificate_id\":\"%s\"}", id);
	assert_int_equal(PUT("Z/certificate_authorities/hostname_associations", body), 400);
	assert_string_equal(pointer(f), "/hostnames/0");
	snprintf(path, sizeof path, "Z/certificate_authorities/hostname_associations?mtls_certificate_id=%s", id);
	assert_int_equal(GET(path), 200);
	assert_string_equal(text(f, "result.hostnames.1"), "a.example.com");
	join(path, "A/mtls_certificates/", id, "/associations");
	assert_int_equal(GET(path), 200);
	assert_int_equal(json_array_size(at(f->body, "result")), 2);
	join(path, "A/mtls_certificates/", id, "");
	assert_int_equal(DELETE(path), 409);
	assert_int_equal(PATCH(path, "{\"crl_mode\":\"closed\",\"crl_urls\":[\"ftp://x\"]}"), 400);
	assert_int_equal(PATCH(path, "{\"crl_mode\":\"closed\",\"crl_urls\":[\"http://ca.example/crl\"]}"), 200);
	snprintf(body, sizeof body, "{\"hostnames\":[],\"mtls_certificate_id\":\"%s\"}", id);
	assert_int_equal(PUT("Z/certificate_authorities/hostname_associations", body), 200);
	assert_int_equal(DELETE(path), 200);
}

static void client_certificates_are_issued_and_revoked(void **state)
{
	struct fixture *f = *state;
	static const char csr[] =
		"-----BEGIN CERTIFICATE REQUEST-----\n"
#include "api/csr_test.h"
		"-----END CERTIFICATE REQUEST-----\n";
	char id[33], path[256];
	json_t *j = json_pack("{s:s, s:i}", "csr", csr, "validity_days", 30);
	assert_int_equal(post_json(f, "Z/client_certificates", j), 200);
	keep(f, "result.id", id);
	assert_string_equal(text(f, "result.status"), "active");
	assert_string_equal(text(f, "result.common_name"), "dev-1");
	assert_int_equal(strlen(text(f, "result.fingerprint_sha256")), 64);
	assert_int_equal(number(f, "result.validity_days"), 30);
	join(path, "Z/client_certificates/", id, "");
	assert_int_equal(DELETE(path), 200);
	assert_string_equal(text(f, "result.status"), "revoked");
	assert_int_equal(GET("A/client_certificates?status=revoked"), 200);
	assert_string_equal(text(f, "result.0.status"), "revoked");
	assert_int_equal(GET("A/device_ca"), 200);
	assert_non_null(strstr(text(f, "result.certificates"), "BEGIN CERTIFICATE"));
	assert_int_equal(GET("Z/client_certificates?status=revoked"), 200);
	assert_int_equal(number(f, "result_info.count"), 1);
	assert_int_equal(PATCH(path, "{\"reactivate\":true}"), 200);
	assert_string_equal(text(f, "result.status"), "active");
	assert_int_equal(POST("Z/client_certificates", "{\"csr\":\"nonsense\",\"validity_days\":30}"), 400);
	assert_string_equal(pointer(f), "/csr");
	assert_int_equal(POST("Z/client_certificates", "{\"csr\":\"x\",\"validity_days\":30000}"), 400);
	assert_string_equal(pointer(f), "/validity_days");
}

static void server_certificates_hide_their_keys(void **state)
{
	struct fixture *f = *state;
	struct rf_bundle b = { 0 };
	struct rf_issue issue = { .days = 10, .cn = RF_STR("server") };
	assert_int_equal(rf_ca_bundle(f->ca, &issue, test_now_s, &b, &f->e), RF_OK);
	json_t *j = json_pack("{s:s, s:s}", "certificate", rf_buf_z(&b.cert_pem), "private_key", rf_buf_z(&b.key_pem));
	assert_int_equal(post_json(f, "Z/custom_certificates", j), 200);
	assert_string_equal(text(f, "result.private_key"), "(none)");
	assert_string_equal(text(f, "result.status"), "active");
	char path[256];
	join(path, "Z/custom_certificates/", text(f, "result.id"), "");
	struct rf_bundle other = { 0 };
	assert_int_equal(rf_ca_bundle(f->ca, &issue, test_now_s, &other, &f->e), RF_OK);
	j = json_pack("{s:s, s:s}", "certificate", rf_buf_z(&b.cert_pem), "private_key", rf_buf_z(&other.key_pem));
	assert_int_equal(post_json(f, "Z/custom_certificates", j), 400);
	assert_string_equal(pointer(f), "/private_key");
	assert_int_equal(PATCH(path, "{\"priority\":3}"), 200);
	assert_int_equal(number(f, "result.priority"), 3);
	assert_int_equal(DELETE(path), 200);
	rf_bundle_fini(&b);
	rf_bundle_fini(&other);
}

static void access_settings_and_certificates(void **state)
{
	struct fixture *f = *state;
	RF_BUF_AUTO pem = { 0 };
	char path[256];
	assert_int_equal(PUT("Z/access/certificates/settings", "{\"settings\":[{\"hostname\":\"api.example.com\","
			 "\"client_certificate_forwarding\":true,\"china_network\":false}]}"), 200);
	assert_int_equal(GET("Z/access/certificates/settings"), 200);
	assert_true(json_is_true(at(f->body, "result.0.client_certificate_forwarding")));
	assert_int_equal(PUT("Z/access/certificates/settings", "{\"settings\":[{\"hostname\":\"b.c\",\"client_certificate_forwarding\":"
			 "true}]}"), 400);
	assert_int_equal(rf_ca_root_pem(f->ca, &pem), RF_OK);
	assert_int_equal(post_json(f, "Z/access/certificates", with_pem("certificate", &pem,
			 "{\"name\":\"r\",\"associated_hostnames\":[\"a.example.com\"]}")), 200);
	assert_string_equal(text(f, "result.associated_hostnames.0"), "a.example.com");
	join(path, "Z/access/certificates/", text(f, "result.id"), "");
	assert_int_equal(PUT(path, "{\"associated_hostnames\":[\"b.example.com\"]}"), 200);
	assert_string_equal(text(f, "result.associated_hostnames.0"), "b.example.com");
	assert_string_equal(text(f, "result.name"), "r");
	assert_int_equal(DELETE(path), 200);
	assert_int_equal(GET("A/mtls_certificates"), 200);
	assert_int_equal(json_array_size(at(f->body, "result")), 0);
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
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(answers_in_the_envelope), T(zones_are_made_and_deleted), T(bad_bodies_are_told_where), T(only_json_is_taken),
		T(one_of_two_racing_writers_gets_412), T(dry_run_changes_nothing), T(a_failed_commit_leaves_nothing),
		T(pages_have_bounds), T(tokens_have_scopes), T(nobody_gives_more_than_they_have), T(tokens_live_and_die),
		T(requests_of_a_token_are_limited), T(devices_are_added_and_revoked), T(a_credential_names_one_device),
		T(apps_are_checked_whole), T(rules_keep_ids_and_versions), T(errors_of_the_compiler_point_into_the_body),
		T(lists_change_in_bulk), T(roots_are_read_and_associated), T(client_certificates_are_issued_and_revoked),
		T(server_certificates_hide_their_keys), T(access_settings_and_certificates), T(the_whole_is_described),
		T(openapi_has_every_route), cmocka_unit_test(tables_are_sound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
