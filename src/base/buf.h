/* base/buf: a growable byte buffer with a bound, for building output.
 *
 * The first failed append sticks (`bad`): build in a straight line, ask once. Owned by its
 * holder; rf_buf_fini frees. `bound` 0 means the largest that memory allows.
 */
#pragma once
#include <stdarg.h>
#include "base/str.h"

struct rf_buf {
	char *p;
	size_t n, cap, bound;
	bool bad;
};

static inline struct rf_str rf_buf_str(const struct rf_buf *b) { return (struct rf_str){ b->p, b->n }; }
static inline void rf_buf_clear(struct rf_buf *b) { b->n = 0; b->bad = false; }

/* Room for n more bytes at b->p + b->n; NULL when there is none. Add to b->n what you wrote. */
char *rf_buf_room(struct rf_buf *b, size_t n);
void rf_buf_add(struct rf_buf *b, struct rf_str s);
void rf_buf_addc(struct rf_buf *b, char c);
void rf_buf_printf(struct rf_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void rf_buf_vprintf(struct rf_buf *b, const char *fmt, va_list ap);

/* Drop n bytes from the front. */
void rf_buf_eat(struct rf_buf *b, size_t n);

/* NUL-terminate without counting it; "" where that fails. Valid until the next append. */
const char *rf_buf_z(struct rf_buf *b);
void rf_buf_fini(struct rf_buf *b);
#define RF_BUF_AUTO __attribute__((cleanup(rf_buf_fini))) struct rf_buf
