/* wire/sf: structured fields as far as certificates need them [RFC 8941, RFC 9440].
 *
 * Client-Cert is one byte sequence, ":base64:"; Client-Cert-Chain is a list of them.
 */
#pragma once
#include "base/buf.h"

/* Append a byte sequence [RFC 8941 4.1.8]. The buffer carries the error. */
void rf_sf_bytes_add(struct rf_buf *b, struct rf_str bytes);

/* Bytes that a sequence of n bytes takes. */
static inline size_t rf_sf_bytes_size(size_t n) { return 2 + (n + 2) / 3 * 4; }

/* Decode the whole of s as one byte sequence without parameters into `to`; the number of bytes, or -1. */
ssize_t rf_sf_bytes_parse(struct rf_str s, void *to, size_t room);

/* Cut the next member off a list of byte sequences: 1 and its text in *ret_item (with colons); 0 at the end;
 * -1 when the list is broken (such as a comma at the end). */
int rf_sf_list_next(struct rf_str *rest, struct rf_str *ret_item);
