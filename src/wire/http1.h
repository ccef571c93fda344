/* wire/http1: strict heads of HTTP/1.1 and HTTP/1.0 messages [RFC 9110, RFC 9112].
 *
 * A head is parsed out of a contiguous buffer. What two readers could understand differently is
 * refused with a reason (tbl/rejects.def), never repaired: both lengths, bare CR or LF, folding,
 * spaces before colons, several Hosts, and so on. The result borrows from the buffer; nothing is
 * copied and nothing is changed in place.
 *
 * Not here: bodies (wire/http1_body), limits on body size, what to do with the message.
 */
#pragma once
#include "base/arena.h"
#include "wire/http1_names.h"

enum rf_http_reject {
	RF_HTTP_ACCEPTED,
#define RF_REJECT(name, status, sentence) RF_REJECT_##name,
#include "tbl/rejects.def"
#undef RF_REJECT
	RF_REJECTS
};

const char *rf_http_reject_name(enum rf_http_reject r);     /* "BARE_CR"; "" for RF_HTTP_ACCEPTED */
const char *rf_http_reject_sentence(enum rf_http_reject r); /* without final stop */
int rf_http_reject_status(enum rf_http_reject r);           /* status that answers the request */

/* Bounds; all in bytes unless the name says otherwise. See tbl/limits.def. */
struct rf_http_limits {
	uint32_t line;       /* the first line */
	uint32_t head;       /* the whole head */
	uint16_t method;
	uint16_t name;
	uint16_t headers;    /* count, at most 250 */
	uint16_t connection; /* options in Connection, count */
	uint8_t chunk_digits;    /* of a chunk size, at most 15 */
	uint16_t chunk_ext;      /* extensions of one chunk */
	uint32_t chunk_overhead; /* chunk heads beyond eight bytes for each byte of data */
	uint32_t trailers;       /* all trailers */
	bool loose_target;   /* allow the bytes "<>[]^`{|} in targets, which no URI may have */
	bool loose_escape;   /* allow a '%' without two hexadecimal digits in targets */
	bool loose_values;   /* allow bytes >= 0x80 that are not UTF-8 in values [RFC 9110 5.5 obs-text] */
	bool loose_names;    /* allow names that differ from a known one by underscores only */
};

extern const struct rf_http_limits rf_http_limits_default;

/* Progress through a head that arrives in pieces. Zero it at the start of every message; the
 * bytes already seen must stay (they may move as a whole). */
struct rf_http_scan {
	uint32_t at;               /* bytes searched for line ends */
	uint32_t line;             /* start of the line being searched */
	uint16_t lines;            /* header lines found */
	bool first_ok;             /* the first line was found and is good */
	uint8_t reject;            /* enum rf_http_reject, set with every error but RF_E_AGAIN */
};

enum rf_http_body {
	RF_BODY_NONE,
	RF_BODY_LENGTH,  /* content_length bytes, which may be 0 */
	RF_BODY_CHUNKED,
	RF_BODY_CLOSE,   /* responses only: up to the end of the connection */
	RF_BODY_TUNNEL   /* after this head the connection speaks something else (101, 2xx to CONNECT) */
};

enum rf_http_form { RF_FORM_ORIGIN, RF_FORM_ABSOLUTE, RF_FORM_AUTHORITY, RF_FORM_ASTERISK };

enum rf_http_upgrade {
	RF_UPGRADE_NONE,
	RF_UPGRADE_WEBSOCKET, /* complete and well-formed [RFC 6455 4.1] */
	RF_UPGRADE_OTHER      /* may be ignored [RFC 9110 7.8] */
};

struct rf_http_header {
	struct rf_str name;  /* as sent */
	struct rf_str value; /* without surrounding white space */
	uint8_t id;          /* enum rf_http_header_id */
	bool hop;            /* for this hop only: do not forward */
};

#define RF_HTTP_NO_LENGTH UINT64_MAX

struct rf_http_head {
	size_t size;                  /* bytes of the head; the body starts there */
	uint8_t minor;                /* HTTP/1.minor */
	/* Requests */
	enum rf_http_method method;
	struct rf_str method_s;
	enum rf_http_form form;
	struct rf_str target;         /* as sent */
	struct rf_str scheme;         /* absolute-form only */
	struct rf_str authority;      /* absolute- and authority-form only */
	struct rf_str path;           /* "*" in asterisk-form, "" in authority-form, else starts with '/' */
	struct rf_str query;          /* without '?', which `has_query` tells */
	bool has_query;
	struct rf_str host;           /* name, IPv4 address, or IPv6 address without brackets; no final dot, case
	                               * as sent; p NULL where an HTTP/1.0 request names none */
	uint16_t port;                /* 0 where none was given */
	bool host_v6;
	/* Responses */
	uint16_t status;
	struct rf_str reason;
	/* Both */
	struct rf_http_header *headers; /* in the order sent, from the arena */
	uint16_t count;
	uint8_t first[RF_HDR_COUNT];  /* 1 + index of the first header with that id, 0 for none */
	enum rf_http_body body;
	uint64_t content_length;      /* RF_HTTP_NO_LENGTH where not given */
	enum rf_http_upgrade upgrade;
	bool keep_alive;              /* the peer is willing to go on after this message */
	bool expect_continue;
	bool te_trailers;             /* the client reads trailers */
};

/* Parse the head of a request at the start of `in`.
 *
 * RF_OK: *head is filled, head->size bytes are used. RF_E_AGAIN: incomplete; call again with the
 * same scan and more bytes. Anything else: refused for scan->reject, and only head->method,
 * method_s and target may be looked at, for records: they are set as far as they were understood
 * (p NULL where not). head->headers comes from the arena, which must outlive it. Linear in the
 * bytes however they arrive. */
int rf_http_parse_request(struct rf_http_scan *scan, struct rf_str in, const struct rf_http_limits *lim,
	struct rf_arena *arena, struct rf_http_head *head);

/* As above for a response to a request with `method`, which decides on the body [RFC 9112 6.3].
 * An interim response (1xx) is a message of its own: zero the scan and go on after it. */
int rf_http_parse_response(struct rf_http_scan *scan, struct rf_str in, const struct rf_http_limits *lim,
	struct rf_arena *arena, enum rf_http_method method, struct rf_http_head *head);

/* The first header with that id or NULL; constant time. */
static inline const struct rf_http_header *rf_http_header(const struct rf_http_head *h, enum rf_http_header_id id)
{
	return h->first[id] ? &h->headers[h->first[id] - 1] : NULL;
}

/* Its value; p NULL where there is none. */
static inline struct rf_str rf_http_value(const struct rf_http_head *h, enum rf_http_header_id id)
{
	const struct rf_http_header *f = rf_http_header(h, id);
	return f ? f->value : (struct rf_str){ NULL, 0 };
}

/* The next header of the same id after `after`, or NULL. */
const struct rf_http_header *rf_http_header_next(const struct rf_http_head *h, const struct rf_http_header *after);

/* Check "host[:port]" [RFC 9110 4.2.4, 7.2]: a DNS name of letters, digits, '-', '_' and '.', an IPv4 address, or an
 * IPv6 address in brackets. *ret_host is without brackets and final dot; *ret_port 0 where none is given. */
bool rf_http_host_parse(struct rf_str s, struct rf_str *ret_host, uint16_t *ret_port, bool *ret_v6);

/* The next element of a comma-separated list [RFC 9110 5.6.1], trimmed; empty elements are skipped and commas in
 * quoted strings do not separate. False at the end. */
bool rf_http_list_next(struct rf_str *rest, struct rf_str *ret_item);

/* Is all of s a token [RFC 9110 5.6.2], and not empty? */
bool rf_http_is_token(struct rf_str s);
/* Has s only bytes that a header value may have (for values from configuration)? */
bool rf_http_is_value(struct rf_str s);
