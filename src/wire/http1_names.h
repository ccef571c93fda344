/* wire/http1_names: numbers for the methods and header fields that are known by name.
 *
 * Both come from tables (tbl/methods.def, tbl/headers.def); lookup of a header name is one
 * multiplication-free perfect hash and one comparison, whatever the number of names.
 */
#pragma once
#include "base/str.h"

enum rf_http_method {
	RF_HTTP_OTHER, /* a valid token that is not in the table */
#define RF_METHOD(name, flags) RF_HTTP_##name,
#include "tbl/methods.def"
#undef RF_METHOD
	RF_HTTP_METHODS
};

enum rf_http_header_id {
	RF_HDR_OTHER, /* a name that is not in the table */
#define RF_HEADER(id, name, flags) RF_HDR_##id,
#include "tbl/headers.def"
#undef RF_HEADER
	RF_HDR_COUNT
};

enum {
	RF_HDR_ONE = 1,  /* repetition is refused */
	RF_HDR_HOP = 2,  /* for one hop, never forwarded */
	RF_HDR_E2E = 4,  /* must not be named in Connection */
	RF_HDR_EDGE = 8, /* set by the edge; a client's copy is removed */
	RF_METHOD_SAFE = 1,
	RF_METHOD_IDEM = 2
};

/* The method of a token, by exact case [RFC 9110 9.1]. */
enum rf_http_method rf_http_method_of(struct rf_str token);
/* "GET"; "" for RF_HTTP_OTHER. */
const char *rf_http_method_name(enum rf_http_method m);
/* RF_METHOD_* bits; 0 for RF_HTTP_OTHER. */
unsigned rf_http_method_flags(enum rf_http_method m);

/* The number of a header name, in any case; `name` should be a token. */
enum rf_http_header_id rf_http_header_of(struct rf_str name);
/* "content-length"; "" for RF_HDR_OTHER. */
struct rf_str rf_http_header_name(enum rf_http_header_id id);
/* RF_HDR_* bits; 0 for RF_HDR_OTHER. */
unsigned rf_http_header_flags(enum rf_http_header_id id);

/* Would a CGI-like origin take the two for the same? Case is ignored and '_' equals '-'. */
bool rf_http_name_alike(struct rf_str a, struct rf_str b);

/* Does the name, or one alike, frame a message, concern one hop only, or tell what the edge itself says to origins? Nobody
 * else, not even an operator by mistake, may write a second one. */
bool rf_http_name_reserved(struct rf_str name);
