/* base/enc: hexadecimal, base64 and percent coding [RFC 4648, RFC 3986 2.1].
 *
 * Encoders append to an rf_buf; decoders write at most the given room and return the number of
 * bytes written, or -1 on a byte that does not belong (strict: no white space, right padding).
 */
#pragma once
#include <sys/types.h>
#include "base/buf.h"

void rf_hex(const void *p, size_t n, char *to); /* 2n lower-case digits and a NUL */
void rf_hex_upper(const void *p, size_t n, char *to);
ssize_t rf_unhex(struct rf_str s, void *to, size_t room);

void rf_b64_add(struct rf_buf *b, struct rf_str s);
ssize_t rf_unb64(struct rf_str s, void *to, size_t room);
/* Base64 without the alphabet's + and / and without padding [RFC 4648 5], for tokens. */
void rf_b64url_add(struct rf_buf *b, struct rf_str s);

/* %XX decoded in place of `s` into `to` (room >= s.n); invalid escapes stay as they are. */
size_t rf_unpercent(struct rf_str s, char *to);
