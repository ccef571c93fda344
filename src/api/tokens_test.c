/* Tokens: what they may, who gives them, how long they live, how often they ask. */
#include "api/test_talk.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(tokens_have_scopes),
		T(nobody_gives_more_than_they_have),
		T(tokens_live_and_die),
		T(requests_of_a_token_are_limited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
