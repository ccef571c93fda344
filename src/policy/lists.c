/* policy/lists: named lists as compiled sets, and the table that gives each name a slot.
 *
 * Host names are kept in lower case; "*.example.com" is kept as ".example.com" and found by asking
 * for each suffix of a name that begins with a dot.
 *
 * Invariant: a slot keeps its name in every table made from this one, also when its list is gone, so
 * that a list of that name gets the same slot again.
 */
#include "policy/lists.h"
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/near.h"
#include "policy/set.h"

enum { NAME_SIZE = 50, HOST_SIZE = 253 };

struct rf_list {
	atomic_uint refs;
	enum rf_list_kind kind;
	size_t count;
	struct set *set;
};

struct slot {
	char name[NAME_SIZE + 1];
	struct rf_list *list;
};

struct rf_lists {
	atomic_uint refs;
	size_t count;
	struct slot slot[];
};

static const char *const kinds[RF_LIST_KIND_COUNT] = {
	[RF_LIST_IP] = "ip", [RF_LIST_HOSTNAME] = "hostname", [RF_LIST_ASN] = "asn", [RF_LIST_STRING] = "string" };

const char *rf_list_kind_name(enum rf_list_kind k)
{
	return kinds[k];
}

bool rf_list_kind_find(struct rf_str name, enum rf_list_kind *ret)
{
	for (unsigned i = 0; i < RF_LIST_KIND_COUNT; i++)
		if (rf_str_eq(name, rf_str_z(kinds[i]))) {
			*ret = (enum rf_list_kind)i;
			return true;
		}
	return false;
}

bool rf_list_name_ok(struct rf_str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_')
			return false;
	}
	return name.n > 0 && name.n <= NAME_SIZE;
}

static bool ip_item(struct rf_str text, struct set_item *ret)
{
	size_t dots = rf_str_search(text, RF_STR(".."));
	struct rf_prefix p;
	if (dots == text.n) {
		if (!rf_prefix_parse(text, true, &p))
			return false;
		prefix_range(&p, &ret->from, &ret->to);
		return true;
	}
	return rf_ip_parse((struct rf_str){ text.p, dots }, &ret->from) &&
		rf_ip_parse(rf_str_skip(text, dots + 2), &ret->to) && ret->from.family == ret->to.family &&
		rf_ip_cmp(&ret->from, &ret->to) <= 0;
}

/* In lower case in `to`, without a final dot. Labels of letters, digits, '-' and '_'; a star only as
 * the first label. */
static bool host_item(struct rf_str text, char to[HOST_SIZE + 1], struct rf_str *ret)
{
	bool star = rf_str_starts(text, RF_STR("*."));
	if (star)
		text = rf_str_skip(text, 1);
	if (text.n && text.p[text.n - 1] == '.')
		text.n--;
	if (text.n <= (star ? 1u : 0u) || text.n > HOST_SIZE)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = rf_lower((unsigned char)text.p[i]);
		bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
		bool empty = c == '.' && (i + 1 == text.n || text.p[i + 1] == '.' || (i == 0 && !star));
		if (!ok || empty)
			return false;
		to[i] = (char)c;
	}
	*ret = (struct rf_str){ to, text.n };
	return true;
}

static bool asn_item(struct rf_str text, struct set_item *ret)
{
	uint64_t v;
	if (!rf_str_u64(text, &v) || v > INT64_MAX)
		return false;
	ret->lo = ret->hi = (int64_t)v;
	return true;
}

static const char *const shapes[RF_LIST_KIND_COUNT] = {
	[RF_LIST_IP] = "an address, a prefix without host bits, or a range of addresses",
	[RF_LIST_HOSTNAME] = "a host name, or one that begins with `*.`",
	[RF_LIST_ASN] = "a number",
	[RF_LIST_STRING] = "a string of at most 1024 bytes",
};

static int item_fail(enum rf_list_kind kind, size_t i, struct rf_str text, struct rf_err *e)
{
	char pointer[32];
	snprintf(pointer, sizeof pointer, "/%zu", i);
	return rf_fail_ptr(e, RF_E_SYNTAX, pointer, "`%.*s` is not %s", text.n < 80 ? (int)text.n : 80, text.p,
		shapes[kind]);
}

static int read_items(enum rf_list_kind kind, const struct rf_str *text, size_t count, struct set_item *item,
	char *names, struct rf_err *e)
{
	for (size_t i = 0; i < count; i++) {
		bool ok = true;
		if (kind == RF_LIST_IP)
			ok = ip_item(text[i], &item[i]);
		else if (kind == RF_LIST_ASN)
			ok = asn_item(text[i], &item[i]);
		else if (kind == RF_LIST_HOSTNAME)
			ok = host_item(text[i], names, &item[i].s);
		else
			ok = text[i].n <= RF_LIST_ITEM_SIZE;
		if (!ok)
			return item_fail(kind, i, text[i], e);
		if (kind == RF_LIST_HOSTNAME)
			names += item[i].s.n;
		if (kind == RF_LIST_STRING)
			item[i].s = text[i];
	}
	return RF_OK;
}

static int make(enum rf_list_kind kind, const struct rf_str *text, size_t count, struct set_item *item, char *names,
	struct rf_list **ret, struct rf_err *e)
{
	static const enum set_kind of[] = { [RF_LIST_IP] = SET_IP, [RF_LIST_HOSTNAME] = SET_STR, [RF_LIST_ASN] = SET_INT,
		[RF_LIST_STRING] = SET_STR };
	struct rf_list *l = malloc(sizeof *l);
	if (!l || !item || !names) {
		free(l);
		return rf_fail(e, RF_E_NOMEM, "no memory for a list of %zu items", count);
	}
	int r = read_items(kind, text, count, item, names, e);
	struct set *set = r ? NULL : set_make(of[kind], item, count);
	if (!set) {
		free(l);
		return r ? r : rf_fail(e, RF_E_NOMEM, "no memory for a list of %zu items", count);
	}
	*l = (struct rf_list){ .refs = 1, .kind = kind, .count = count, .set = set };
	*ret = l;
	return RF_OK;
}

int rf_list_make(enum rf_list_kind kind, const struct rf_str *items, size_t count, struct rf_list **ret,
	struct rf_err *e)
{
	if (count > RF_LIST_ITEMS)
		return rf_fail(e, RF_E_TOO_LARGE, "a list takes at most %d items", RF_LIST_ITEMS);
	size_t bytes = HOST_SIZE + 1; /* room for the name that turns out to be wrong */
	for (size_t i = 0; kind == RF_LIST_HOSTNAME && i < count; i++)
		bytes += items[i].n < HOST_SIZE ? items[i].n : HOST_SIZE;
	struct set_item *item = malloc((count + 1) * sizeof *item);
	char *names = malloc(bytes);
	int r = make(kind, items, count, item, names, ret, e);
	free(item);
	free(names);
	return r;
}

struct rf_list *rf_list_get(struct rf_list *l)
{
	atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
	return l;
}

void rf_list_put(struct rf_list *l)
{
	if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
		return;
	set_free(l->set);
	free(l);
}

enum rf_list_kind rf_list_kind(const struct rf_list *l)
{
	return l->kind;
}

size_t rf_list_count(const struct rf_list *l)
{
	return l->count;
}

bool rf_list_has_ip(const struct rf_list *l, const struct rf_ip *ip)
{
	return l->kind == RF_LIST_IP && set_has_ip(l->set, ip);
}

bool rf_list_has_int(const struct rf_list *l, int64_t n)
{
	return l->kind == RF_LIST_ASN && set_has_int(l->set, n);
}

bool rf_list_has_str(const struct rf_list *l, struct rf_str s)
{
	if (l->kind == RF_LIST_STRING)
		return set_has_str(l->set, s);
	char lower[HOST_SIZE];
	if (s.n && s.p[s.n - 1] == '.')
		s.n--;
	if (l->kind != RF_LIST_HOSTNAME || s.n > HOST_SIZE || s.n == 0 || s.p[0] == '.')
		return false;
	for (size_t i = 0; i < s.n; i++)
		lower[i] = (char)rf_lower((unsigned char)s.p[i]);
	if (set_has_str(l->set, (struct rf_str){ lower, s.n }))
		return true;
	for (size_t i = 1; i < s.n; i++)
		if (lower[i] == '.' && set_has_str(l->set, (struct rf_str){ lower + i, s.n - i }))
			return true;
	return false;
}

static int slot_of(const struct rf_lists *t, struct rf_str name)
{
	for (size_t i = 0; t && i < t->count; i++)
		if (rf_str_eq(name, rf_str_z(t->slot[i].name)))
			return (int)i;
	return -1;
}

int rf_lists_with(const struct rf_lists *old, struct rf_str name, struct rf_list *list, struct rf_lists **ret)
{
	size_t count = old ? old->count : 0;
	int at = slot_of(old, name);
	size_t grown = count + (at < 0);
	if (grown > RF_LISTS)
		return RF_E_FULL;
	if (!rf_list_name_ok(name))
		return RF_E_SYNTAX;
	struct rf_lists *t = calloc(1, sizeof *t + grown * sizeof *t->slot);
	if (!t)
		return RF_E_NOMEM;
	t->refs = 1;
	t->count = grown;
	if (count)
		memcpy(t->slot, old->slot, count * sizeof *t->slot);
	if (at < 0)
		memcpy(t->slot[at = (int)count].name, name.p, name.n);
	t->slot[at].list = list;
	for (size_t i = 0; i < grown; i++)
		if (t->slot[i].list)
			rf_list_get(t->slot[i].list);
	*ret = t;
	return RF_OK;
}

struct rf_lists *rf_lists_get(struct rf_lists *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void rf_lists_put(struct rf_lists *t)
{
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < t->count; i++)
		rf_list_put(t->slot[i].list);
	free(t);
}

int rf_lists_find(const struct rf_lists *t, struct rf_str name)
{
	int at = slot_of(t, name);
	return at >= 0 && t->slot[at].list ? at : -1;
}

const struct rf_list *rf_lists_at(const struct rf_lists *t, int slot)
{
	return t && slot >= 0 && (size_t)slot < t->count ? t->slot[slot].list : NULL;
}

const char *rf_lists_near(const struct rf_lists *t, struct rf_str name)
{
	const char *names[RF_LISTS];
	size_t n = 0;
	for (size_t i = 0; t && i < t->count; i++)
		if (t->slot[i].list)
			names[n++] = t->slot[i].name;
	return rf_near(name, names, n);
}
