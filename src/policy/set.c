/* policy/set: sort, merge, search.
 *
 * One block: the header, the array of ranges or strings, then the bytes of the strings. Strings are
 * ordered by length first, since most comparisons are decided by it.
 */
#include "policy/set.h"
#include <inttypes.h>
#include <stdlib.h>

struct set {
	enum set_kind kind;
	uint32_t count;
	struct set_item item[];
};

static int by_int(const void *a, const void *b)
{
	const struct set_item *x = a, *y = b;
	return x->lo != y->lo ? (x->lo < y->lo ? -1 : 1) : x->hi < y->hi ? -1 : x->hi > y->hi;
}

static int by_ip(const void *a, const void *b)
{
	const struct set_item *x = a, *y = b;
	int c = rf_ip_cmp(&x->from, &y->from);
	return c ? c : rf_ip_cmp(&x->to, &y->to);
}

static int str_order(struct rf_str a, struct rf_str b)
{
	if (a.n != b.n)
		return a.n < b.n ? -1 : 1;
	return a.n ? memcmp(a.p, b.p, a.n) : 0;
}

static int by_str(const void *a, const void *b)
{
	return str_order(((const struct set_item *)a)->s, ((const struct set_item *)b)->s);
}

/* Versions that are equal but written differently keep a fixed order, so that printing is stable. */
static int by_version(const void *a, const void *b)
{
	struct rf_str x = ((const struct set_item *)a)->s, y = ((const struct set_item *)b)->s;
	int c = rf_version_cmp(x, y);
	return c ? c : rf_str_cmp(x, y);
}

/* The address after ip; false after the last one of its family. */
static bool ip_next(const struct rf_ip *ip, struct rf_ip *ret)
{
	struct rf_ip n = *ip;
	for (int i = ip->family == 4 ? 3 : 15; i >= 0; i--)
		if (++n.b[i]) {
			*ret = n;
			return true;
		}
	return false;
}

static bool touches(enum set_kind kind, const struct set_item *last, const struct set_item *next)
{
	struct rf_ip after;
	if (kind == SET_INT)
		return last->hi == INT64_MAX || next->lo <= last->hi + 1;
	if (kind == SET_IP)
		return last->to.family == next->from.family &&
			(!ip_next(&last->to, &after) || rf_ip_cmp(&next->from, &after) <= 0);
	return rf_str_eq(last->s, next->s);
}

static size_t merge(enum set_kind kind, struct set_item *item, size_t count)
{
	size_t n = 0;
	for (size_t i = 0; i < count; i++) {
		if (n == 0 || !touches(kind, &item[n - 1], &item[i])) {
			item[n++] = item[i];
			continue;
		}
		struct set_item *last = &item[n - 1];
		if (kind == SET_INT && item[i].hi > last->hi)
			last->hi = item[i].hi;
		if (kind == SET_IP && rf_ip_cmp(&item[i].to, &last->to) > 0)
			last->to = item[i].to;
	}
	return n;
}

struct set *set_make(enum set_kind kind, struct set_item *items, size_t count)
{
	static int (*const order[])(const void *, const void *) = {
		[SET_INT] = by_int, [SET_IP] = by_ip, [SET_STR] = by_str, [SET_VERSION] = by_version };
	if (count)
		qsort(items, count, sizeof *items, order[kind]);
	count = merge(kind, items, count);
	bool text = kind == SET_STR || kind == SET_VERSION;
	size_t bytes = 0;
	for (size_t i = 0; text && i < count; i++)
		bytes += items[i].s.n;
	struct set *s = malloc(sizeof *s + count * sizeof *items + bytes);
	if (!s)
		return NULL;
	s->kind = kind;
	s->count = (uint32_t)count;
	char *at = (char *)(s->item + count);
	for (size_t i = 0; i < count; i++) {
		s->item[i] = items[i];
		if (!text)
			continue;
		s->item[i].s.p = at;
		if (items[i].s.n)
			memcpy(at, items[i].s.p, items[i].s.n);
		at += items[i].s.n;
	}
	return s;
}

void set_free(struct set *s)
{
	free(s);
}

size_t set_count(const struct set *s)
{
	return s->count;
}

const struct set_item *set_items(const struct set *s, size_t *ret_count)
{
	*ret_count = s->count;
	return s->item;
}

size_t set_bytes(const struct set *s)
{
	size_t n = sizeof *s + s->count * sizeof *s->item;
	bool text = s->kind == SET_STR || s->kind == SET_VERSION;
	for (size_t i = 0; text && i < s->count; i++)
		n += s->item[i].s.n;
	return n;
}

bool set_has_int(const struct set *s, int64_t v)
{
	size_t lo = 0, hi = s->count; /* the first item that begins after v is in lo..hi */
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (s->item[mid].lo <= v)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo > 0 && v <= s->item[lo - 1].hi;
}

bool set_has_ip(const struct set *s, const struct rf_ip *ip)
{
	size_t lo = 0, hi = s->count;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (rf_ip_cmp(&s->item[mid].from, ip) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo > 0 && rf_ip_cmp(ip, &s->item[lo - 1].to) <= 0;
}

bool set_has_str(const struct set *s, struct rf_str v)
{
	size_t lo = 0, hi = s->count;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = s->kind == SET_STR ? str_order(v, s->item[mid].s) : rf_version_cmp(v, s->item[mid].s);
		if (c == 0)
			return true;
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return false;
}

/* The widest prefix that begins at `from` and does not go beyond `to`. */
static struct rf_prefix widest(const struct rf_ip *from, const struct rf_ip *to, struct rf_ip *ret_last)
{
	unsigned bits = from->family == 4 ? 32 : 128;
	struct rf_prefix best = { *from, (uint8_t)bits };
	*ret_last = *from;
	while (bits > 0) {
		struct rf_prefix p = rf_ip_mask(from, --bits);
		struct rf_ip first, last;
		prefix_range(&p, &first, &last);
		if (!rf_ip_eq(&first, from) || rf_ip_cmp(&last, to) > 0)
			break;
		best = p;
		*ret_last = last;
	}
	return best;
}

static bool each_prefix(const struct set_item *item, const struct set_visit *v)
{
	struct rf_ip from = item->from, last;
	do {
		struct rf_prefix p = widest(&from, &item->to, &last);
		if (!v->prefix(v->ctx, &p))
			return false;
	} while (!rf_ip_eq(&last, &item->to) && ip_next(&last, &from));
	return true;
}

bool set_each(const struct set *s, const struct set_visit *v)
{
	for (size_t i = 0; i < s->count; i++) {
		bool on = s->kind == SET_STR ? v->string(v->ctx, s->item[i].s) :
			s->kind == SET_INT ? v->range(v->ctx, s->item[i].lo, s->item[i].hi) :
			s->kind == SET_IP && each_prefix(&s->item[i], v);
		if (!on)
			return false;
	}
	return true;
}

void literal_print(struct rf_str s, struct rf_buf *to)
{
	rf_buf_addc(to, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\')
			rf_buf_printf(to, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			rf_buf_printf(to, "\\x%02x", c);
		else
			rf_buf_addc(to, (char)c);
	}
	rf_buf_addc(to, '"');
}

static void print_ips(const struct set_item *item, struct rf_buf *to)
{
	char text[RF_IP_TEXT];
	rf_buf_printf(to, "%s", rf_ip_str(&item->from, text));
	if (!rf_ip_eq(&item->from, &item->to))
		rf_buf_printf(to, "..%s", rf_ip_str(&item->to, text));
}

void set_print(const struct set *s, struct rf_buf *to)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct set_item *item = &s->item[i];
		if (i)
			rf_buf_addc(to, ' ');
		if (s->kind == SET_IP)
			print_ips(item, to);
		else if (s->kind != SET_INT)
			literal_print(item->s, to);
		else if (item->lo == item->hi)
			rf_buf_printf(to, "%" PRId64, item->lo);
		else
			rf_buf_printf(to, "%" PRId64 "..%" PRId64, item->lo, item->hi);
	}
}

bool set_same(const struct set *a, const struct set *b)
{
	if (a->kind != b->kind || a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct set_item *x = &a->item[i], *y = &b->item[i];
		bool same = a->kind == SET_INT ? by_int(x, y) == 0 :
			a->kind == SET_IP ? by_ip(x, y) == 0 : rf_str_eq(x->s, y->s);
		if (!same)
			return false;
	}
	return true;
}

void prefix_range(const struct rf_prefix *p, struct rf_ip *ret_from, struct rf_ip *ret_to)
{
	struct rf_ip last = p->ip;
	unsigned width = p->ip.family == 4 ? 4 : 16;
	for (unsigned i = 0; i < width; i++) {
		unsigned keep = p->bits > 8 * i ? p->bits - 8 * i : 0;
		last.b[i] |= keep >= 8 ? 0 : (uint8_t)(0xff >> keep);
	}
	*ret_from = p->ip;
	*ret_to = last;
}
