/* wire/accept: choosing among what we have by Accept and Accept-Encoding [RFC 9110 12]. */
#pragma once
#include "base/str.h"

/* The index of the best of `have` (media types such as "application/json", ours first where equal) under the
 * field value, or -1 when none is acceptable. An empty value, or a broken one, accepts all: index 0. */
int rf_accept_type(struct rf_str accept, const char *const *have, size_t count);

/* As above for content codings ("gzip", "br"), the one we like most first: the index of the best, or -1 for
 * "identity". An empty value means identity. */
int rf_accept_coding(struct rf_str accept, const char *const *have, size_t count);

/* Is the type/subtype of a Content-Type value, without parameters and case, `type`? */
/* The type/subtype part of a media type, trimmed. */
struct rf_str rf_media_essence(struct rf_str value);
