/* policy/lists: a named list over sets of keys (policy/keyset).
 *
 * The way of an entry: its one writing (rf_list_item) -> a key -> the set. Addresses and prefixes of IPv4 are one word each,
 * those of IPv6 three; a look-up asks for each length of prefix that occurs. In a list of many prefixes, a table by the first
 * bits of an address says which lengths occur below them, so that few are asked for. Names, strings and digests are keys
 * of 128 bits, a keyed hash of a letter for the form ('=' itself, '.' below, '+' both) and the text. For a host name
 * its suffixes are asked for whose number of labels occurs.
 *
 * Invariants: what says where to look (lengths, tables, labels) is set before the entry and never cleared: at worst a look is in
 * vain. The set decides.
 */
#include "policy/lists.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/hash.h"
#include "policy/keyset.h"

enum {
	HOST_SIZE = 253, DIGEST_MIN = 32, DIGEST_MAX = 128, /* digits */
	MANY = 4096,            /* prefixes of a family: then there is a table for it */
	TABLE = 1 << 16,
	TOP4 = 16, TOP6 = 32,   /* bits of an address that a table is by */
};

struct rf_list {
	atomic_uint refs;
	enum rf_list_kind kind;
	size_t count;
	struct keyset *set, *v6;                /* v6 of a list of addresses only */
	_Atomic uint64_t lengths4, lengths6[3]; /* bit n: a prefix of n bits */
	_Atomic(_Atomic uint64_t *) top4, top6; /* NULL until there are many */
	_Atomic uint64_t labels;              /* bit n: a suffix of n labels; 63: or more */
};

static const struct {
	const char *name, *shape;
	unsigned words;
} kinds[RF_LIST_KIND_COUNT] = {
	[RF_LIST_IP] = { "ip", "an address or a prefix", 1 },
	[RF_LIST_HOSTNAME] = { "hostname", "a host name, or one that begins with `*.` or `+.`", 2 },
	[RF_LIST_ASN] = { "asn", "a number up to 4294967295", 1 },
	[RF_LIST_STRING] = { "string", "a text of 1 to 1024 bytes", 2 },
	[RF_LIST_HASH] = { "hash", "a digest of 32 to 128 hexadecimal digits", 2 },
};

const char *rf_list_kind_name(enum rf_list_kind k)
{
	return kinds[k].name;
}

bool rf_list_kind_find(struct rf_str name, enum rf_list_kind *ret)
{
	for (unsigned i = 0; i < RF_LIST_KIND_COUNT; i++)
		if (rf_str_eq(name, rf_str_z(kinds[i].name))) {
			*ret = (enum rf_list_kind)i;
			return true;
		}
	return false;
}

/* --- the writing of an entry --- */

static bool ip_item(struct rf_str text, char *to, struct rf_str *ret)
{
	struct rf_prefix p;
	if (!rf_prefix_parse(text, false, &p))
		return false;
	if (p.bits == (p.ip.family == 4 ? 32 : 128))
		rf_ip_str(&p.ip, to);
	else
		rf_prefix_str(&p, to);
	*ret = rf_str_z(to);
	return true;
}

/* In lower case, without a final dot. Labels of letters, digits, '-' and '_'; a star or plus only as the first label. */
static bool host_item(struct rf_str text, char *to, struct rf_str *ret)
{
	bool below = rf_str_starts(text, RF_STR("*.")) || rf_str_starts(text, RF_STR("+."));
	size_t from = below ? 2 : 0;
	if (text.n && text.p[text.n - 1] == '.')
		text.n--;
	if (text.n <= from || text.n > HOST_SIZE)
		return false;
	memcpy(to, text.p, from);
	for (size_t i = from; i < text.n; i++) {
		unsigned char c = rf_lower((unsigned char)text.p[i]);
		bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
		if (!ok || (c == '.' && (i == from || i + 1 == text.n || text.p[i + 1] == '.')))
			return false;
		to[i] = (char)c;
	}
	*ret = (struct rf_str){ to, text.n };
	return true;
}

static bool asn_item(struct rf_str text, char *to, struct rf_str *ret)
{
	uint64_t v;
	if (!rf_str_u64(text, &v) || v > UINT32_MAX)
		return false;
	snprintf(to, 16, "%llu", (unsigned long long)v);
	*ret = rf_str_z(to);
	return true;
}

static bool string_item(struct rf_str text, char *to, struct rf_str *ret)
{
	if (text.n == 0 || text.n > RF_LIST_ITEM_SIZE)
		return false;
	memcpy(to, text.p, text.n);
	*ret = (struct rf_str){ to, text.n };
	return true;
}

static bool hash_item(struct rf_str text, char *to, struct rf_str *ret)
{
	if (text.n < DIGEST_MIN || text.n > DIGEST_MAX || text.n % 2)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = rf_lower((unsigned char)text.p[i]);
		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
			return false;
		to[i] = (char)c;
	}
	*ret = (struct rf_str){ to, text.n };
	return true;
}

int rf_list_item(enum rf_list_kind kind, struct rf_str text, char to[RF_LIST_ITEM_SIZE + 1], struct rf_str *ret,
	struct rf_err *e)
{
	static bool (*const read[RF_LIST_KIND_COUNT])(struct rf_str text, char *to, struct rf_str *ret) = {
		[RF_LIST_IP] = ip_item, [RF_LIST_HOSTNAME] = host_item, [RF_LIST_ASN] = asn_item, [RF_LIST_STRING] = string_item,
		[RF_LIST_HASH] = hash_item };
	struct rf_str made;
	if (!read[kind](text, to, &made))
		return rf_fail(e, RF_E_SYNTAX, "`%.*s` is not %s", text.n < 80 ? (int)text.n : 80, text.p, kinds[kind].shape);
	to[made.n] = '\0';
	*ret = made;
	return RF_OK;
}

/* --- keys --- */

static uint64_t be(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;
	while (n--)
		v = v << 8 | *p++;
	return v;
}

static uint64_t top_bits(uint64_t v, unsigned width, unsigned keep)
{
	return keep == 0 ? 0 : keep >= width ? v : v & ~((1ull << (width - keep)) - 1);
}

static uint64_t key4(uint64_t addr, unsigned bits)
{
	return top_bits(addr, 32, bits) << 8 | (bits + KEYSET_MIN);
}

static void key6(uint64_t hi, uint64_t lo, unsigned bits, uint64_t key[3])
{
	key[0] = top_bits(hi, 64, bits);
	key[1] = bits > 64 ? top_bits(lo, 64, bits - 64) : 0;
	key[2] = bits + KEYSET_MIN;
}

/* The key of a text with a form: 128 bits of a keyed hash. `room` has one byte in front of the text. */
static void key_text(char form, char *room, size_t n, uint64_t key[2])
{
	char was = room[0];
	room[0] = form;
	rf_hash128((struct rf_str){ room, n + 1 }, key);
	room[0] = was;
	if (key[1] < KEYSET_MIN)
		key[1] += KEYSET_MIN;
}

static unsigned labels_of(struct rf_str name)
{
	unsigned n = 1;
	for (size_t i = 0; i < name.n; i++)
		n += name.p[i] == '.';
	return n < 63 ? n : 63;
}

static unsigned at6(uint64_t hi)
{
	uint64_t top = (hi >> (64 - TOP6)) * 0x9e3779b97f4a7c15u;
	return (unsigned)(top >> 48);
}

static void mark(_Atomic uint64_t *word, unsigned bit)
{
	atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) | 1ull << bit, memory_order_release);
}

static void note4(const uint64_t *key, void *table)
{
	unsigned bits = (unsigned)(key[0] & 0xff) - KEYSET_MIN;
	if (bits >= TOP4)
		mark((_Atomic uint64_t *)table + (key[0] >> 8 >> TOP4), bits);
}

static void note6(const uint64_t *key, void *table)
{
	unsigned bits = (unsigned)key[2] - KEYSET_MIN;
	if (bits >= TOP6)
		mark((_Atomic uint64_t *)table + 2 * at6(key[0]) + (bits - TOP6) / 64, (bits - TOP6) % 64);
}

/* The table of a family, once there are many; without memory for it all lengths are asked for. */
static void maybe_table(_Atomic(_Atomic uint64_t *) *table, size_t words, const struct keyset *set,
			void (*note)(const uint64_t *key, void *table), const uint64_t *key)
{
	_Atomic uint64_t *t = atomic_load_explicit(table, memory_order_relaxed);
	if (!t && keyset_count(set) >= MANY && (t = calloc(words, sizeof *t))) {
		keyset_each(set, note, t);
		note(key, t);
		atomic_store_explicit(table, t, memory_order_release);
	} else if (t) {
		note(key, t);
	}
}

/* The set of an item and its key; with `in`, what says where to look is told of it. */
static struct keyset *place(struct rf_list *l, struct rf_str item, uint64_t key[KEYSET_WORDS], bool in)
{
	char room[RF_LIST_ITEM_SIZE + 2];
	struct rf_prefix p;
	uint64_t n = 0;
	if (l->kind == RF_LIST_IP) {
		if (!rf_prefix_parse(item, false, &p))
			return NULL;
		bool v4 = p.ip.family == 4;
		if (v4)
			key[0] = key4(be(p.ip.b, 4), p.bits);
		else
			key6(be(p.ip.b, 8), be(p.ip.b + 8, 8), p.bits, key);
		if (in && v4) {
			mark(&l->lengths4, p.bits);
			maybe_table(&l->top4, TABLE, l->set, note4, key);
		} else if (in) {
			mark(&l->lengths6[p.bits / 64], p.bits % 64);
			maybe_table(&l->top6, 2 * TABLE, l->v6, note6, key);
		}
		return v4 ? l->set : l->v6;
	}
	if (l->kind == RF_LIST_ASN) {
		rf_str_u64(item, &n);
		key[0] = n + KEYSET_MIN;
		return l->set;
	}
	char form = '=';
	if (l->kind == RF_LIST_HOSTNAME && item.n > 2 && (item.p[0] == '*' || item.p[0] == '+')) {
		form = item.p[0] == '*' ? '.' : '+';
		item = rf_str_skip(item, 2);
		if (in)
			mark(&l->labels, labels_of(item));
	}
	if (item.n > RF_LIST_ITEM_SIZE)
		return NULL;
	memcpy(room + 1, item.p, item.n);
	key_text(form, room, item.n, key);
	return l->set;
}

int rf_list_insert(struct rf_list *l, struct rf_str item)
{
	uint64_t key[KEYSET_WORDS];
	struct keyset *set = place(l, item, key, true);
	if (!set)
		return RF_E_SYNTAX;
	if (l->count >= RF_LIST_ROOM && !keyset_has(set, key))
		return RF_E_FULL;
	int rc = keyset_add(set, key);
	l->count += rc == RF_OK;
	return rc;
}

bool rf_list_remove(struct rf_list *l, struct rf_str item)
{
	uint64_t key[KEYSET_WORDS];
	struct keyset *set = place(l, item, key, false);
	bool gone = set && keyset_del(set, key);
	l->count -= gone;
	return gone;
}

/* --- looking --- */

static bool has4(const struct rf_list *l, const struct rf_ip *ip)
{
	uint64_t addr = be(ip->b, 4), lengths = atomic_load_explicit(&l->lengths4, memory_order_acquire);
	_Atomic uint64_t *top = atomic_load_explicit(&l->top4, memory_order_acquire);
	if (top)
		lengths &= ((1ull << TOP4) - 1) | atomic_load_explicit(&top[addr >> TOP4], memory_order_acquire);
	while (lengths) {
		uint64_t key = key4(addr, (unsigned)__builtin_ctzll(lengths));
		if (keyset_has(l->set, &key))
			return true;
		lengths &= lengths - 1;
	}
	return false;
}

static bool has6(const struct rf_list *l, const struct rf_ip *ip)
{
	uint64_t hi = be(ip->b, 8), lo = be(ip->b + 8, 8), key[3];
	_Atomic uint64_t *top = atomic_load_explicit(&l->top6, memory_order_acquire);
	uint64_t low = ~0ull, high = ~0ull;
	if (top) {
		low = atomic_load_explicit(&top[2 * at6(hi)], memory_order_acquire);
		high = atomic_load_explicit(&top[2 * at6(hi) + 1], memory_order_acquire);
	}
	const uint64_t may[3] = { top ? low << TOP6 | 0xffffffffu : ~0ull, top ? low >> TOP6 | high << TOP6 : ~0ull,
				  top ? high >> TOP6 : ~0ull };
	for (unsigned w = 0; w < 3; w++) {
		uint64_t lengths = atomic_load_explicit(&l->lengths6[w], memory_order_acquire) & may[w];
		for (; lengths; lengths &= lengths - 1) {
			key6(hi, lo, w * 64 + (unsigned)__builtin_ctzll(lengths), key);
			if (keyset_has(l->v6, key))
				return true;
		}
	}
	return false;
}

bool rf_list_has_ip(const struct rf_list *l, const struct rf_ip *ip)
{
	if (l->kind != RF_LIST_IP)
		return false;
	return ip->family == 4 ? has4(l, ip) : ip->family == 6 && has6(l, ip);
}

bool rf_list_has_int(const struct rf_list *l, int64_t n)
{
	uint64_t key = (uint64_t)n + KEYSET_MIN;
	return l->kind == RF_LIST_ASN && n >= 0 && n <= UINT32_MAX && keyset_has(l->set, &key);
}

static bool has_form(const struct rf_list *l, char form, char *room, size_t n)
{
	uint64_t key[2];
	key_text(form, room, n, key);
	return keyset_has(l->set, key);
}

/* room: one byte, then the name in lower case. */
static bool has_host(const struct rf_list *l, char *room, size_t n)
{
	uint64_t labels = atomic_load_explicit(&l->labels, memory_order_acquire);
	unsigned left = labels_of((struct rf_str){ room + 1, n });
	bool many = left == 63; /* perhaps more: then each suffix is asked for */
	if (has_form(l, '=', room, n) || (labels >> left & 1 && has_form(l, '+', room, n)))
		return true;
	for (size_t i = 1; labels && i < n; i++) {
		if (room[1 + i] != '.')
			continue;
		left -= !many;
		if ((many || labels >> left & 1) &&
		    (has_form(l, '.', room + i + 1, n - i - 1) || has_form(l, '+', room + i + 1, n - i - 1)))
			return true;
	}
	return false;
}

bool rf_list_has_str(const struct rf_list *l, struct rf_str s)
{
	char room[RF_LIST_ITEM_SIZE + 1];
	bool host = l->kind == RF_LIST_HOSTNAME;
	if (host && s.n && s.p[s.n - 1] == '.')
		s.n--;
	if (kinds[l->kind].words != 2 || s.n == 0 || s.n >= sizeof room || (host && s.n > HOST_SIZE))
		return false;
	memcpy(room + 1, s.p, s.n);
	for (size_t i = 1; l->kind != RF_LIST_STRING && i <= s.n; i++)
		room[i] = (char)rf_lower((unsigned char)room[i]);
	return host ? has_host(l, room, s.n) : has_form(l, '=', room, s.n);
}

/* --- life --- */

struct rf_list *rf_list_new(enum rf_list_kind kind)
{
	struct rf_list *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	atomic_init(&l->refs, 1);
	l->kind = kind;
	l->set = keyset_new(kinds[kind].words);
	l->v6 = kind == RF_LIST_IP ? keyset_new(3) : NULL;
	if (l->set && (l->v6 || kind != RF_LIST_IP))
		return l;
	rf_list_put(l);
	return NULL;
}

void rf_list_share(struct rf_list *l)
{
	keyset_share(l->set);
	if (l->v6)
		keyset_share(l->v6);
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
	keyset_free(l->set);
	keyset_free(l->v6);
	free(atomic_load(&l->top4));
	free(atomic_load(&l->top6));
	free(l);
}

enum rf_list_kind rf_list_kind(const struct rf_list *l) { return l->kind; }
size_t rf_list_count(const struct rf_list *l) { return l->count; }

size_t rf_list_bytes(const struct rf_list *l)
{
	return sizeof *l + keyset_bytes(l->set) + (l->v6 ? keyset_bytes(l->v6) : 0) +
	       ((atomic_load(&l->top4) ? TABLE : 0) + (atomic_load(&l->top6) ? 2 * TABLE : 0)) * sizeof(uint64_t);
}

int rf_list_make(enum rf_list_kind kind, const struct rf_str *items, size_t count, struct rf_list **ret,
	struct rf_err *e)
{
	char room[RF_LIST_ITEM_SIZE + 1], pointer[32];
	struct rf_list *l = rf_list_new(kind);
	int rc = l ? RF_OK : RF_E_NOMEM;
	size_t i = 0;
	for (struct rf_str item; rc == RF_OK && i < count; i += rc == RF_OK) {
		rc = rf_list_item(kind, items[i], room, &item, e);
		if (rc == RF_OK)
			rc = rf_list_insert(l, item);
		if (rc == RF_E_EXISTS)
			rc = RF_OK;
	}
	if (rc == RF_OK) {
		*ret = l;
		return RF_OK;
	}
	rf_list_put(l);
	snprintf(pointer, sizeof pointer, "/%zu", i);
	if (rc == RF_E_FULL)
		return rf_fail(e, RF_E_TOO_LARGE, "a list takes at most %d items", RF_LIST_ROOM);
	if (rc == RF_E_NOMEM)
		return rf_fail(e, rc, "no memory for a list of %zu items", count);
	snprintf(e->pointer, sizeof e->pointer, "%s", pointer);
	return rc;
}

/* --- all entries --- */

struct visit {
	void (*prefix)(void *ctx, const struct rf_prefix *p);
	void (*number)(void *ctx, int64_t v);
	void *ctx;
};

static void to_bytes(uint64_t v, uint8_t *p, unsigned n)
{
	while (n--) {
		p[n] = (uint8_t)v;
		v >>= 8;
	}
}

static void each4(const uint64_t *key, void *arg)
{
	const struct visit *v = arg;
	struct rf_prefix p = { .ip.family = 4, .bits = (uint8_t)((key[0] & 0xff) - KEYSET_MIN) };
	to_bytes(key[0] >> 8, p.ip.b, 4);
	v->prefix(v->ctx, &p);
}

static void each6(const uint64_t *key, void *arg)
{
	const struct visit *v = arg;
	struct rf_prefix p = { .ip.family = 6, .bits = (uint8_t)(key[2] - KEYSET_MIN) };
	to_bytes(key[0], p.ip.b, 8);
	to_bytes(key[1], p.ip.b + 8, 8);
	v->prefix(v->ctx, &p);
}

static void each_number(const uint64_t *key, void *arg)
{
	const struct visit *v = arg;
	v->number(v->ctx, (int64_t)(key[0] - KEYSET_MIN));
}

void rf_list_each(const struct rf_list *l, void (*prefix)(void *ctx, const struct rf_prefix *p), void (*number)(void *ctx, int64_t v),
	void *ctx)
{
	struct visit v = { prefix, number, ctx };
	if (l->kind == RF_LIST_IP) {
		keyset_each(l->set, each4, &v);
		keyset_each(l->v6, each6, &v);
	} else if (l->kind == RF_LIST_ASN)
		keyset_each(l->set, each_number, &v);
}
