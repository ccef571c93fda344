/* wire/uri: paths and query strings [RFC 3986]. */
#pragma once
#include "base/arena.h"

/* Normalise a path for comparison: escapes of unreserved bytes are decoded, the digits of other escapes made
 * upper case [RFC 3986 6.2.2], empty segments joined where `join`, dot segments (also escaped ones) removed.
 * RF_OK; RF_E_INVALID when the path does not start with '/', has a broken escape, an escaped NUL, slash or
 * backslash or a raw control byte or backslash, or climbs above the root: two readers may see two paths there;
 * RF_E_NOMEM. The result is a slice of `path` where nothing changes, else from the arena. */
int rf_uri_path(struct rf_str path, bool join, struct rf_arena *arena, struct rf_str *ret);

/* The next "name=value" of a query string, still escaped; a part without '=' has p NULL for its value.
 * Empty parts are skipped. False at the end. */
bool rf_query_next(struct rf_str *rest, struct rf_str *ret_name, struct rf_str *ret_value);
