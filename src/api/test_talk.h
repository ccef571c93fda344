/* api/test_talk: requests to the API of a fixture, and what their answers say. */
#pragma once
#include "api/api_test.h"

static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	*state = f;
	return fixture_open(f, 0);
}

static inline int teardown(void **state)
{
	fixture_close(*state);
	free(*state);
	return 0;
}

/* "A" and "Z" stand for the account's and the zone's path. */
static inline void expand(struct fixture *f, const char *path, char to[512])
{
	if (path[0] == 'A')
		snprintf(to, 512, "/client/v4/accounts/%s%s", f->account, path + 1);
	else if (path[0] == 'Z')
		snprintf(to, 512, "/client/v4/zones/%s%s", f->zone, path + 1);
	else
		snprintf(to, 512, "%s", path);
}

static inline int send_with(struct fixture *f, enum rf_http_method m, const char *path, const char *body, const char *if_match)
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

static inline int send(struct fixture *f, enum rf_http_method m, const char *path, const char *body)
{
	return send_with(f, m, path, body, "");
}

#define GET(path) send(f, RF_HTTP_GET, path, "")
#define POST(path, body) send(f, RF_HTTP_POST, path, body)
#define PUT(path, body) send(f, RF_HTTP_PUT, path, body)
#define PATCH(path, body) send(f, RF_HTTP_PATCH, path, body)
#define DELETE(path) send(f, RF_HTTP_DELETE, path, "")

static inline json_t *at(json_t *j, const char *path)
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

static inline const char *text(struct fixture *f, const char *path)
{
	const char *z = json_string_value(at(f->body, path));
	return z ? z : "(none)";
}

static inline long long number(struct fixture *f, const char *path) { return json_integer_value(at(f->body, path)); }
static inline const char *pointer(struct fixture *f) { return text(f, "errors.0.source.pointer"); }

static inline void keep(struct fixture *f, const char *path, char to[33]) { snprintf(to, 33, "%s", text(f, path)); }

__attribute__((noinline, unused)) static void join(char to[256], const char *a, const char *b, const char *c)
{
	to[0] = 0;
	strncat(strncat(strncat(to, a, 150), b, 60), c, 40);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
