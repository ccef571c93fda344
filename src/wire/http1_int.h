/* wire/http1_int: what the files of the HTTP/1.1 parser share; nothing outside includes it. */
#pragma once
#include "base/err.h"
#include "wire/http1.h"

enum {
	CLASS_TOKEN = 1,  /* tchar [RFC 9110 5.6.2] */
	CLASS_TARGET = 2, /* may stand in a request target [RFC 3986 2] */
	CLASS_LOOSE = 4,  /* may stand in one under loose_target */
	CLASS_DNS = 8,    /* may stand in a host name */
	CLASS_DIGIT = 16,
	CLASS_HEX = 32
};

extern const uint8_t rf_http_class[256];

static inline bool http_is(char c, unsigned class) { return rf_http_class[(unsigned char)c] & class; }

/* Every refusal passes here. */
static inline int http_refuse(struct rf_http_scan *scan, enum rf_http_reject why)
{
	scan->reject = (uint8_t)why;
	return why == RF_REJECT_NO_MEMORY ? RF_E_NOMEM : RF_E_INVALID;
}

typedef enum rf_http_reject http_first_line(struct rf_str line, const struct rf_http_limits *lim, struct rf_http_head *head);

/* Find the end of the head. The first line, without CRLF, goes to `first` as soon as it is there.
 * RF_OK: *ret_fields is where the header lines start, *ret_size is where the head ends. */
int http_scan_head(struct rf_http_scan *scan, struct rf_str in, const struct rf_http_limits *lim,
	http_first_line *first, struct rf_http_head *head, size_t *ret_fields, size_t *ret_size);

/* Parse scan->lines header lines at `at`, each ended by CRLF, followed by an empty line. */
int http_parse_fields(struct rf_http_scan *scan, const char *at, const char *end, const struct rf_http_limits *lim,
	struct rf_arena *arena, struct rf_http_head *head);

/* One header line [RFC 9112 5] at *at, which ends before `end`; *at moves past its CRLF. */
enum rf_http_reject http_parse_field(const char **at, const char *end, const struct rf_http_limits *lim,
	struct rf_http_header *ret);

/* Content-Length and Transfer-Encoding of either kind of message, without the rules of methods and
 * statuses: sets body (NONE where neither is there) and content_length. */
enum rf_http_reject http_framing(struct rf_http_head *head);

/* Connection, Upgrade's form and TE: sets keep_alive, te_trailers, hop marks;
 * *ret_upgrade tells whether Connection has the option "upgrade". */
enum rf_http_reject http_connection(const struct rf_http_limits *lim, struct rf_http_head *head, bool *ret_upgrade);
