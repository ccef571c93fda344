/* api/api: one request through all its steps; see api.h for the way.
 *
 * Invariants: a handler that fails leaves no open transaction and nothing changed; a handler never runs without
 * the scope that its row asks for.
 */
#include "api/api.h"
#include <stdio.h>
#include <stdlib.h>
#include "api/admit.h"
#include "api/applies.h"
#include "api/bulk.h"
#include "api/call.h"
#include "base/enc.h"
#include "base/way.h"
#include "records/counters.h"

enum {
	ARENA_MAX = 1 << 20,
};

struct rf_api *rf_api_new(const struct rf_api_conf *conf, struct rf_err *e)
{
	struct rf_api *a = calloc(1, sizeof *a);
	if (!a) {
		rf_fail(e, RF_E_NOMEM, "memory is exhausted");
		return NULL;
	}
	a->conf = *conf;
	if (rf_bulk_new(a, conf->loop, &a->bulk, e) == RF_OK)
		return a;
	rf_api_free(a);
	return NULL;
}

void rf_api_free(struct rf_api *a)
{
	if (!a)
		return;
	rf_bulk_free(a->bulk);
	rf_auth_fini(a);
	free(a->openapi);
	free(a);
}

size_t rf_api_body_max(const struct rf_api *a) { return a->conf.body_max ? a->conf.body_max : RF_API_BODY_MAX; }

static int read_query(struct rf_api_call *c, struct rf_str query)
{
	struct rf_str part;
	while (rf_str_split(&query, '&', &part)) {
		if (!part.n)
			continue;
		if (c->query_count == RF_QUERY_MAX)
			return rf_fail(&c->err, RF_E_TOO_LARGE, "the query has more than %d parameters", RF_QUERY_MAX);
		size_t eq = rf_str_find(part, '=');
		struct rf_pair *p = &c->query[c->query_count++];
		struct rf_str value = rf_arena_dup(&c->arena, rf_str_skip(part, eq + 1));
		p->name = (struct rf_str){ part.p, eq };
		if (!value.p)
			return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
		for (size_t i = 0; i < value.n; i++)
			if (value.p[i] == '+')
				((char *)value.p)[i] = ' ';
		value.n = rf_unpercent(value, (char *)value.p);
		((char *)value.p)[value.n] = '\0';
		if (memchr(value.p, '\0', value.n))
			return rf_fail(&c->err, RF_E_INVALID, "a parameter holds a zero byte");
		p->value = value;
	}
	return RF_OK;
}

static int read_target(struct rf_api_call *c)
{
	struct rf_str path = c->req->target, query = { NULL, 0 };
	size_t mark = rf_str_find(path, '?');
	if (mark < path.n)
		query = rf_str_skip(path, mark + 1);
	path.n = mark;
	unsigned allow = 0;
	enum rf_http_method m = c->req->method == RF_HTTP_HEAD ? RF_HTTP_GET : c->req->method;
	int rc = rf_route_find(m, path, &c->route, &c->params, &allow);
	if (rc == RF_E_METHOD) {
		rf_buf_printf(&c->headers, "Allow:");
		const char *sep = " ";
		for (unsigned i = 0; i < RF_HTTP_METHODS; i++)
			if (allow & 1u << i) {
				rf_buf_printf(&c->headers, "%s%s", sep, rf_http_method_name((enum rf_http_method)i));
				sep = ", ";
			}
		rf_buf_printf(&c->headers, "\r\n");
		return rf_fail(&c->err, rc, "this path does not take that method");
	}
	if (rc != RF_OK)
		return rf_fail(&c->err, rc, "there is no such path; /client/v4/openapi.json lists those there are");
	return read_query(c, query);
}

/* If-Match: "REVISION" or *; dry_run=true. */
static int read_conditions(struct rf_api_call *c)
{
	struct rf_str m = c->req->if_match;
	if (m.n && !rf_str_eq(m, RF_STR("*"))) {
		if (m.n < 3 || m.p[0] != '"' || m.p[m.n - 1] != '"' ||
		    !rf_str_u64((struct rf_str){ m.p + 1, m.n - 2 }, &c->if_revision) || !c->if_revision)
			return rf_fail(&c->err, RF_E_STALE, "If-Match is not an ETag of this API");
	}
	const char *dry = rf_api_param(c, "dry_run");
	c->dry_run = dry && strcmp(dry, "true") == 0;
	if (dry && !c->dry_run && strcmp(dry, "false") != 0 && *dry)
		return rf_api_fail(c, RF_E_INVALID, "/dry_run", "dry_run must be true or false");
	return RF_OK;
}

static int first_account(const struct rf_object *o, void *arg)
{
	snprintf(arg, 33, "%s", o->id);
	return 1;
}

/* The account and zone that the request is about; without one in its path, the first account. */
static int load_place(struct rf_api_call *c)
{
	char account[33];
	snprintf(account, sizeof account, "%s", c->params.account);
	if (c->params.zone[0]) {
		int rc = rf_store_get(c->store, RF_KIND_ZONE, c->params.zone, &c->zone, &c->err);
		if (rc == RF_E_NOT_FOUND)
			return rf_fail(&c->err, rc, "there is no zone %s", c->params.zone);
		if (rc != RF_OK)
			return rc;
		snprintf(account, sizeof account, "%s", c->zone.parent);
	}
	if (!account[0]) {
		struct rf_store_query q = { .limit = 1 };
		int rc = rf_store_list(c->store, RF_KIND_ACCOUNT, &q, first_account, account, NULL, &c->err);
		if (rc < 0)
			return rc;
	}
	int rc = rf_store_get(c->store, RF_KIND_ACCOUNT, account, &c->account, &c->err);
	return rc == RF_E_NOT_FOUND ? rf_fail(&c->err, rc, "there is no account %s", account) : rc;
}

static bool is_json(struct rf_str type)
{
	struct rf_str essence = { type.p, rf_str_find(type, ';') };
	return rf_str_ieq(rf_str_trim(essence), RF_STR("application/json"));
}

/* Entries of a list may be many: a large body of them is read elsewhere (api/bulk). */
static bool takes_entries(const struct rf_route *r)
{
	return (r->request == RF_RES_LIST_ITEM && r->shape == RF_SHAPE_ARRAY) || r->request == RF_RES_LIST_ITEM_IDS;
}

size_t rf_api_body_bound(const struct rf_api *a, enum rf_http_method m, struct rf_str target)
{
	const struct rf_route *r;
	struct rf_params params;
	unsigned allow;
	size_t most = rf_api_body_max(a);
	target.n = rf_str_find(target, '?');
	bool many = rf_route_find(m, target, &r, &params, &allow) == RF_OK && takes_entries(r);
	return many && most < RF_BULK_BODY_MAX ? RF_BULK_BODY_MAX : most;
}

static int check_body(struct rf_api_call *c)
{
	const struct rf_route *r = c->route;
	if (r->shape == RF_SHAPE_ARRAY && !json_is_array(c->body))
		return rf_api_fail(c, RF_E_TYPE, "", "the body must be an array");
	c->findings = rf_api_findings(c);
	bool good = true;
	enum rf_schema_mode mode = r->method == RF_HTTP_PATCH ? RF_SCHEMA_PART : RF_SCHEMA_WHOLE;
	if (r->shape != RF_SHAPE_ARRAY)
		good = rf_schema_check(r->request, c->body, mode, "", &c->findings);
	for (size_t i = 0; r->shape == RF_SHAPE_ARRAY && i < json_array_size(c->body); i++) {
		char at[32];
		snprintf(at, sizeof at, "/%zu", i);
		good &= rf_schema_check(r->request, json_array_get(c->body, i), mode, at, &c->findings);
	}
	return good ? RF_OK : c->first_error;
}

/* A ruleset, whose rules are left as text where they can be. */
static int read_ruleset(struct rf_api_call *c)
{
	RF_BUF_AUTO rest = { 0 };
	int rc = rf_rules_split(c->req->body, &c->rules, &rest);
	if (rc == RF_E_NOMEM)
		return rf_fail(&c->err, rc, "memory is exhausted");
	return rf_json_read(rc == RF_OK ? rf_buf_str(&rest) : c->req->body, &c->body, &c->err);
}

/* The body against its shape. A route without a required body takes none as an empty object. */
static int read_body(struct rf_api_call *c)
{
	const struct rf_route *r = c->route;
	if (r->request == RF_RES_NONE)
		return RF_OK;
	if (!c->req->body.n) {
		c->body = r->shape == RF_SHAPE_ARRAY ? NULL : json_object();
	} else if (!is_json(c->req->content_type)) {
		return rf_fail(&c->err, RF_E_MEDIA, "send the body as Content-Type: application/json");
	} else if (c->req->body.n > rf_api_body_bound(c->api, r->method, c->req->target)) {
		return rf_fail(&c->err, RF_E_TOO_LARGE, "the body has %zu bytes; at most %zu are taken (limits.api_body_bytes)",
			       c->req->body.n, rf_api_body_bound(c->api, r->method, c->req->target));
	} else if (takes_entries(r) && c->req->body.n > RF_BULK_AT_ONCE) {
		return RF_OK;
	} else {
		int rc = r->request == RF_RES_RULESET ? read_ruleset(c) : rf_json_read(c->req->body, &c->body, &c->err);
		if (rc != RF_OK)
			return rc;
	}
	return check_body(c);
}

static int admit(struct rf_api_call *c)
{
	int rc = read_target(c);
	if (rc != RF_OK || c->route->access == RF_ACCESS_PUBLIC)
		return rc;
	rc = rf_auth_who(c);
	if (rc == RF_OK)
		rc = load_place(c);
	return rc == RF_OK ? rf_auth_allow(c) : rc;
}

static int run(struct rf_api_call *c)
{
	const struct rf_api_state *state = &c->api->conf.state;
	int rc = admit(c);
	rf_way_look();
	if (rc == RF_OK && state->catch_up)
		state->catch_up(state->ctx);
	if (rc == RF_OK)
		rc = read_conditions(c);
	if (rc == RF_OK)
		rc = rf_applies_admit(c);
	if (rc == RF_OK)
		rc = read_body(c);
	rf_way_look();
	return rc == RF_OK ? c->route->handler(c) : rc;
}

static void call_fini(struct rf_api_call *c)
{
	json_decref(c->body);
	rf_rules_given_free(c->rules);
	json_decref(c->result);
	json_decref(c->info);
	json_decref(c->messages);
	json_decref(c->errors);
	rf_object_fini(&c->account);
	rf_object_fini(&c->zone);
	rf_object_fini(&c->who.token);
	rf_buf_fini(&c->text);
	rf_buf_fini(&c->headers);
	rf_arena_fini(&c->arena);
}

static void counted(const struct rf_api *a, int status, uint64_t began)
{
	rf_count(status < 400 ? RF_C_API_OK : status == 401 || status == 403 || status == 429 ? RF_C_API_DENIED
		 : status < 500 ? RF_C_API_CLIENT : RF_C_API_SERVER);
	rf_observe(RF_H_API, a->conf.clock.mono(a->conf.clock.ctx) - began);
}

void rf_api_handle(struct rf_api *a, const struct rf_api_request *q, struct rf_api_answer *ret)
{
	uint64_t began = a->conf.clock.mono(a->conf.clock.ctx);
	struct rf_api_call c = { .api = a, .store = a->conf.store, .req = q };
	rf_arena_init(&c.arena, ARENA_MAX);
	rf_way_latest();
	int rc = run(&c);
	if (c.in_tx)
		a->conf.state.abort(a->conf.state.ctx);
	rf_reply(&c, rc, ret);
	call_fini(&c);
	rf_observe(RF_H_LATE, rf_way_latest());
	counted(a, ret->status, began);
}

int rf_api_part(const struct rf_api_call *c, struct rf_api_call *ret, const struct rf_api_request *q, json_t *body)
{
	*ret = (struct rf_api_call){ .api = c->api, .store = c->store, .req = q, .batch = true, .who = c->who, .body = body };
	ret->who.token.doc = NULL; /* stays c's */
	rf_arena_init(&ret->arena, ARENA_MAX);
	int rc = read_target(ret);
	if (rc == RF_OK && (ret->route->access != RF_ACCESS_WRITE || strcmp(ret->route->noun, "system") == 0))
		return rf_fail(&ret->err, RF_E_INVALID, "this cannot be a part of others");
	if (rc == RF_OK)
		rc = load_place(ret);
	if (rc == RF_OK)
		rc = rf_auth_allow(ret);
	if (rc == RF_OK)
		rc = read_conditions(ret);
	if (rc == RF_OK && ret->route->request != RF_RES_NONE) {
		if (!ret->body && ret->route->shape != RF_SHAPE_ARRAY)
			ret->body = json_object();
		rc = check_body(ret);
	}
	ret->dry_run = false;
	return rc == RF_OK ? ret->route->handler(ret) : rc;
}

void rf_api_part_fini(struct rf_api_call *part) { call_fini(part); }

int rf_api_admit(struct rf_api *a, const struct rf_api_request *q, struct rf_api_answer *ret)
{
	struct rf_api_call c = { .api = a, .store = a->conf.store, .req = q, .uncounted = true };
	rf_arena_init(&c.arena, ARENA_MAX);
	int rc = admit(&c);
	if (rc != RF_OK) {
		rf_reply(&c, rc, ret);
		counted(a, ret->status, a->conf.clock.mono(a->conf.clock.ctx));
	}
	call_fini(&c);
	return rc;
}
