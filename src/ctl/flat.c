/* ctl/flat: see flat.h. One pass from the opening brace to the closing one; `p` is always at the first byte not yet read, and
 * every step is bounded by `end`. Names and texts end at the first quotation mark, as those with a backslash are refused. */
#include "ctl/flat.h"
#include <string.h>

struct flat {
	const char *p, *end;
};

static bool at(struct flat *f, char c)
{
	while (f->p < f->end && (*f->p == ' ' || *f->p == '\n' || *f->p == '\t' || *f->p == '\r'))
		f->p++;
	if (f->p == f->end || *f->p != c)
		return false;
	f->p++;
	return true;
}

/* After its opening quotation mark. */
static bool text(struct flat *f, struct rf_str *ret)
{
	const char *close = memchr(f->p, '"', (size_t)(f->end - f->p));
	if (!close || memchr(f->p, '\\', (size_t)(close - f->p)))
		return false;
	*ret = (struct rf_str){ f->p, (size_t)(close - f->p) };
	f->p = close + 1;
	return true;
}

static bool list(struct flat *f, const struct rf_flat_want *w)
{
	struct rf_str item;
	size_t n = 0;
	bool done = at(f, ']');
	while (!done) {
		if (!at(f, '"') || !text(f, &item))
			return false;
		if (w && w->items && n < w->max)
			w->items[n++] = item;
		done = at(f, ']');
		if (!done && !at(f, ','))
			return false;
	}
	if (w && w->count)
		*w->count = n;
	return true;
}

/* A number, true, false or null: up to what ends it. */
static bool word(struct flat *f)
{
	const char *from = f->p;
	while (f->p < f->end && (*f->p == '-' || *f->p == '+' || *f->p == '.' || (*f->p >= '0' && *f->p <= '9') || (*f->p >= 'a' && *f->p <= 'z') || *f->p == 'E'))
		f->p++;
	return f->p > from;
}

static const struct rf_flat_want *wanted(const struct rf_flat_want *v, size_t n, struct rf_str name)
{
	for (size_t i = 0; i < n; i++)
		if (name.n && v[i].name[0] == *name.p && rf_str_eq(name, rf_str_z(v[i].name)))
			return &v[i];
	return NULL;
}

static bool member(struct flat *f, const struct rf_flat_want *v, size_t n)
{
	struct rf_str name, value;
	if (!at(f, '"') || !text(f, &name) || !at(f, ':'))
		return false;
	const struct rf_flat_want *w = wanted(v, n, name);
	if (at(f, '['))
		return list(f, w);
	if (!at(f, '"'))
		return word(f);
	if (!text(f, &value))
		return false;
	if (w && w->text)
		*w->text = value;
	return true;
}

bool rf_flat_read(struct rf_str doc, const struct rf_flat_want *v, size_t n)
{
	struct flat f = { doc.p, doc.p + doc.n };
	if (!at(&f, '{'))
		return false;
	if (at(&f, '}'))
		return f.p == f.end;
	do
		if (!member(&f, v, n))
			return false;
	while (at(&f, ','));
	return at(&f, '}') && f.p == f.end;
}
