/* base/jw: a JSON writer for hot paths (records); the API uses jansson [RFC 8259].
 *
 * Appends to an rf_buf, which carries the error. Commas are its business; matching of open and
 * close is the caller's. Bytes that are not UTF-8 are written as U+FFFD, so that the output is
 * always valid.
 */
#pragma once
#include "base/buf.h"

struct rf_jw {
	struct rf_buf *b;
	bool comma; /* the next value in this object or array needs one */
};

static inline struct rf_jw rf_jw_on(struct rf_buf *b) { return (struct rf_jw){ b, false }; }

/* key NULL: a value in an array, or the whole text. */
void rf_jw_open(struct rf_jw *w, const char *key, char bracket);  /* '{' or '[' */
void rf_jw_close(struct rf_jw *w, char bracket);                  /* '}' or ']' */
void rf_jw_str(struct rf_jw *w, const char *key, struct rf_str v);
void rf_jw_u64(struct rf_jw *w, const char *key, uint64_t v);
void rf_jw_i64(struct rf_jw *w, const char *key, int64_t v);
void rf_jw_bool(struct rf_jw *w, const char *key, bool v);
void rf_jw_null(struct rf_jw *w, const char *key);

/* Only the quoted string. */
void rf_json_quote(struct rf_buf *b, struct rf_str v);
