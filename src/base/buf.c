#include "base/buf.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/way.h"

enum {
	FIRST = 256,
	MORE = 64, /* a piece that is larger than all before is mostly the last but for a few bytes */
};

char *rf_buf_room(struct rf_buf *b, size_t n)
{
	size_t want, bound = b->bound ? b->bound : SIZE_MAX / 2;
	if (b->bad || __builtin_add_overflow(b->n, n, &want) || want > bound) {
		b->bad = true;
		return NULL;
	}
	if (want > b->cap) {
		size_t cap = b->cap ? 2 * b->cap : FIRST;
		if (cap < want)
			cap = want + MORE;
		char *p = rf_way_grow(b->p, cap);
		if (!p) {
			b->bad = true;
			return NULL;
		}
		b->p = p;
		b->cap = cap;
	}
	return b->n ? b->p + b->n : b->p;
}

void rf_buf_add(struct rf_buf *b, struct rf_str s)
{
	char *to = s.n ? rf_buf_room(b, s.n) : NULL;
	if (!to)
		return;
	memcpy(to, s.p, s.n);
	b->n += s.n;
}

void rf_buf_addc(struct rf_buf *b, char c)
{
	rf_buf_add(b, (struct rf_str){ &c, 1 });
}

void rf_buf_vprintf(struct rf_buf *b, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	char *to = n < 0 ? NULL : rf_buf_room(b, (size_t)n + 1);
	if (!to) {
		b->bad = true;
		return;
	}
	vsnprintf(to, (size_t)n + 1, fmt, ap);
	b->n += (size_t)n;
}

void rf_buf_printf(struct rf_buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	rf_buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void rf_buf_eat(struct rf_buf *b, size_t n)
{
	if (n > b->n)
		n = b->n;
	if (n)
		memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

const char *rf_buf_z(struct rf_buf *b)
{
	char *to = rf_buf_room(b, 1);
	if (!to)
		return "";
	*to = '\0';
	return b->p;
}

void rf_buf_fini(struct rf_buf *b)
{
	rf_way_free(b->p);
	*b = (struct rf_buf){ .bound = b->bound };
}
