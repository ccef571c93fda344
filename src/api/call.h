/* api/call: one request on its way through the API, and what handlers share.
 *
 * A handler returns RF_OK with call->result (or text) set, or an error with call->err filled, or findings in
 * call->errors. It may return with its transaction open: the dispatcher aborts it.
 */
#pragma once
#include "api/api.h"
#include "api/rules_given.h"
#include "api/schema.h"
#include "base/arena.h"
#include "base/map.h"

enum rf_api_access { RF_ACCESS_PUBLIC, RF_ACCESS_ANY, RF_ACCESS_READ, RF_ACCESS_WRITE };
enum rf_api_shape { RF_SHAPE_ONE, RF_SHAPE_MANY, RF_SHAPE_TEXT, RF_SHAPE_ARRAY };

struct rf_api_call;

struct rf_route {
	enum rf_http_method method;
	const char *path, *noun;
	enum rf_api_access access;
	const char *name;
	int (*handler)(struct rf_api_call *c);
	enum rf_resource request, response;
	enum rf_api_shape shape;
	const char *doc;
};
extern const struct rf_route rf_routes[];
extern const size_t rf_route_count;

/* Values of the path's parameters; "" where it has none. */
struct rf_params {
	char account[33], zone[33], id[33], item[33], phase[65], version[65], rule[65];
};
/* The route of a method and path (without query). RF_E_NOT_FOUND; RF_E_METHOD, and then *ret_allow holds
 * the methods that are there, one bit each. */
int rf_route_find(enum rf_http_method m, struct rf_str path, const struct rf_route **ret, struct rf_params *params,
		  unsigned *ret_allow);

struct rf_api_who {
	char actor[128];
	bool local;              /* may do all */
	char token_id[33];
	json_t *policies;        /* borrowed from `token` */
	struct rf_object token;
};

struct rf_pair { struct rf_str name, value; };
enum { RF_QUERY_MAX = 32 };

struct rf_api_call {
	struct rf_api *api;
	struct rf_store *store;
	const struct rf_api_request *req;
	const struct rf_route *route;
	struct rf_params params;
	struct rf_pair query[RF_QUERY_MAX];
	size_t query_count;
	struct rf_api_who who;
	struct rf_object account, zone; /* of the path; id "" where it has none */
	json_t *body;
	struct rf_rules_given *rules; /* of a body that is a ruleset; NULL: they are in `body` */
	bool dry_run, in_tx;
	bool batch;              /* a part of a batch, whose transaction is open around it */
	bool uncounted;          /* only asked whether it would be allowed */
	uint64_t if_revision;    /* from If-Match; 0: any */
	struct rf_arena arena;
	struct rf_err err;
	/* the answer */
	int status;              /* 0: by the outcome */
	json_t *result, *info, *messages, *errors;
	int first_error;         /* code of the first of `errors` */
	struct rf_findings findings; /* that errors of the body are told to */
	struct rf_buf text;      /* of SHAPE_TEXT */
	const char *text_type;
	uint64_t etag;
	struct rf_buf headers;
};

#define RF_API_HANDLER(name) int rf_api_##name(struct rf_api_call *c)
#define RF_ROUTE(method, path, noun, access, handler, request, response, shape, doc) RF_API_HANDLER(handler);
#include "tbl/routes.def"
#undef RF_ROUTE

/* The value of a query parameter as a NUL-terminated text in the arena, or NULL. */
const char *rf_api_param(struct rf_api_call *c, const char *name);
/* An integer parameter within bounds; `def` where it is absent. */
int rf_api_param_int(struct rf_api_call *c, const char *name, int64_t least, int64_t most, int64_t def, int64_t *ret);

/* Findings: errors with a pointer, and messages. rf_api_fail also returns the code. */
int rf_api_fail(struct rf_api_call *c, int code, const char *pointer, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void rf_api_message(struct rf_api_call *c, const char *pointer, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
struct rf_findings rf_api_findings(struct rf_api_call *c);

/* A part of a batch: run the request `q` with this body (taken; NULL: none) for who asks in `c`, in c's transaction. Its result and errors are in
 * *ret, which the caller finishes also on failure. */
int rf_api_part(const struct rf_api_call *c, struct rf_api_call *ret, const struct rf_api_request *q, json_t *body);
void rf_api_part_fini(struct rf_api_call *part);

/* Writing. Every put and del is announced to ctl. */
int rf_api_begin(struct rf_api_call *c);
int rf_api_put(struct rf_api_call *c, enum rf_kind k, struct rf_object *o, uint64_t if_revision);
int rf_api_del(struct rf_api_call *c, enum rf_kind k, const char *id, uint64_t if_revision);
int rf_api_commit(struct rf_api_call *c);
/* Announce what a change of something else means for this object. */
int rf_api_touch(struct rf_api_call *c, enum rf_kind k, const char *id);

/* A new object of the kind with a document (taken, also on failure; NULL is RF_E_NOMEM). */
int rf_api_object(struct rf_api_call *c, struct rf_object *o, const char *parent, const char *name, json_t *doc);

/* Reading an object that must belong to `parent` (else it is not found). */
int rf_api_load(struct rf_api_call *c, enum rf_kind k, const char *parent, const char *id, struct rf_object *ret);

typedef json_t *(*rf_api_show)(struct rf_api_call *c, const struct rf_object *o);
/* A page of objects as the result. `all`: how many are given where the request names no page. */
int rf_api_list(struct rf_api_call *c, enum rf_kind k, struct rf_store_query *q, rf_api_show show, size_t all);
/* Page and offset of a request; per_page up to RF_API_PER_PAGE_MAX or `all`. */
int rf_api_page(struct rf_api_call *c, size_t all, size_t *ret_page, size_t *ret_per);
int rf_api_info(struct rf_api_call *c, size_t page, size_t per, size_t count, size_t total);

/* The plain rendering: the document without its secrets, with id, created_on, modified_on. NULL without memory. */
json_t *rf_api_plain(enum rf_resource r, const struct rf_object *o);
/* Set it as the result with its ETag; NULL is RF_E_NOMEM. */
int rf_api_result(struct rf_api_call *c, json_t *result, uint64_t etag);
int rf_api_result_id(struct rf_api_call *c, const char *id);

/* A resource that only lives in one table, and whose document is its request. */
struct rf_api_crud {
	enum rf_kind kind;
	enum rf_resource shape;
	bool in_zone;                /* parent is the zone; else the account */
	/* Check what members mean together and set what is derived; o->doc is complete, o->name is set from doc.name.
	 * In the transaction, before the put. `old` is NULL for a new object. */
	int (*prepare)(struct rf_api_call *c, struct rf_object *o, const json_t *old);
	rf_api_show show;            /* NULL: rf_api_plain */
	/* Before the delete; may refuse. */
	int (*before_delete)(struct rf_api_call *c, const struct rf_object *o);
};
int rf_crud_list(struct rf_api_call *c, const struct rf_api_crud *r, struct rf_store_query *q, size_t all);
int rf_crud_create(struct rf_api_call *c, const struct rf_api_crud *r);
int rf_crud_get(struct rf_api_call *c, const struct rf_api_crud *r);
int rf_crud_put(struct rf_api_call *c, const struct rf_api_crud *r);
int rf_crud_edit(struct rf_api_call *c, const struct rf_api_crud *r);
int rf_crud_delete(struct rf_api_call *c, const struct rf_api_crud *r);

/* RFC 3339 of now, or of a second. */
const char *rf_api_time(int64_t s, char to[RF_RFC3339_SIZE]);
int64_t rf_api_now(struct rf_api_call *c);
static inline const char *rf_json_text(const json_t *doc, const char *name)
{
	const char *z = json_string_value(json_object_get(doc, name));
	return z ? z : "";
}

/* Who asks, and may they. Fill c->who; RF_E_UNAUTH, RF_E_RATE, RF_E_DENIED. */
int rf_auth_who(struct rf_api_call *c);
int rf_auth_allow(struct rf_api_call *c);
/* Nouns of scopes, for permission groups. */
const char *const *rf_auth_nouns(size_t *ret_count);
void rf_auth_scope_id(const char *scope, char to[33]);
void rf_auth_fini(struct rf_api *a);

/* Read JSON with the bounds of the API. RF_E_SYNTAX with line and column, RF_E_TOO_LARGE, RF_E_NOMEM. */
int rf_json_read(struct rf_str text, json_t **ret, struct rf_err *e);

/* Complete the answer from the call. */
void rf_reply(struct rf_api_call *c, int rc, struct rf_api_answer *ret);

struct rf_api {
	struct rf_api_conf conf;
	char *openapi;               /* NULL until somebody asks for it */
	struct rf_map seen;          /* tokens by id: last use, rate (auth.c) */
	struct rf_bulk *bulk;
};

/* The document that /client/v4/openapi.json serves; the caller frees it. NULL without memory. */
char *rf_openapi_make(const char *version);
