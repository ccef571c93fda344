/* wire/mmdb: the tree, the data, and the metadata at the end, which are data themselves.
 *
 * Invariant: `at` of a reading never passes the end of its section; what would sets `bad`, and nothing is read after that.
 */
#include "wire/mmdb.h"

enum { SEPARATOR = 16, METADATA_MAX = 128 * 1024 };

static const char marker[] = "\xab\xcd\xefMaxMind.com";

struct reading {
	struct rf_str s;
	size_t at;
	unsigned steps;
	bool bad;
};

static uint64_t number(struct reading *r, size_t n)
{
	uint64_t v = 0;
	if (r->bad || r->s.n - r->at < n) {
		r->bad = true;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		v = v << 8 | (uint8_t)r->s.p[r->at++];
	return v;
}

/* The head of a value: its type and size. Pointers give the place that they lead to as the size. */
static unsigned head(struct reading *r, uint64_t *ret_size)
{
	unsigned control = (unsigned)number(r, 1), type = control >> 5;
	if (++r->steps > RF_MMDB_STEPS)
		r->bad = true;
	if (type == RF_MMDB_POINTER) {
		static const uint32_t base[] = { 0, 2048, 526336, 0 };
		unsigned width = control >> 3 & 3;
		uint64_t high = width < 3 ? control & 7 : 0;
		*ret_size = (high << 8 * (width + 1) | number(r, width + 1)) + base[width];
		return type;
	}
	if (!type)
		type = (unsigned)number(r, 1) + 7;
	uint64_t size = control & 31;
	if (size >= 29) {
		static const uint32_t base[] = { 29, 285, 65821 };
		unsigned more = (unsigned)size - 28;
		size = base[more - 1] + number(r, more);
	}
	*ret_size = size;
	return type;
}

/* The head behind a pointer, where there is one; r->at is moved there and *ret_back is where reading goes on. */
static unsigned resolve(struct reading *r, uint64_t *ret_size, size_t *ret_back)
{
	unsigned type = head(r, ret_size);
	*ret_back = SIZE_MAX;
	if (type != RF_MMDB_POINTER || r->bad)
		return type;
	*ret_back = r->at;
	r->bad = *ret_size >= r->s.n;
	r->at = r->bad ? r->at : (size_t)*ret_size;
	type = head(r, ret_size);
	r->bad |= type == RF_MMDB_POINTER;
	return type;
}

static struct rf_str slice(struct reading *r, uint64_t n)
{
	struct rf_str s = { r->s.p + r->at, (size_t)n };
	if (r->bad || n > r->s.n - r->at) {
		r->bad = true;
		return RF_STR("");
	}
	r->at += (size_t)n;
	return s;
}

/* Pass over what follows a head of this type and size. */
static void skip(struct reading *r, unsigned type, uint64_t size, unsigned depth)
{
	uint64_t inner, n = type == RF_MMDB_MAP ? 2 * size : size;
	if (type == RF_MMDB_BOOL)
		return;
	if (type != RF_MMDB_MAP && type != RF_MMDB_ARRAY) {
		slice(r, size);
		return;
	}
	r->bad |= depth == RF_MMDB_DEPTH;
	for (uint64_t i = 0; i < n && !r->bad; i++) {
		unsigned t = head(r, &inner);
		if (t != RF_MMDB_POINTER)
			skip(r, t, inner, depth + 1);
	}
}

static void skip_value(struct reading *r)
{
	uint64_t size;
	unsigned type = head(r, &size);
	if (type != RF_MMDB_POINTER)
		skip(r, type, size, 0);
}

/* Move to the value of a key of a map whose head was read. */
static bool to_key(struct reading *r, uint64_t entries, struct rf_str want)
{
	for (uint64_t i = 0; i < entries && !r->bad; i++) {
		uint64_t size;
		size_t back;
		bool text = resolve(r, &size, &back) == RF_MMDB_TEXT;
		struct rf_str key = text ? slice(r, size) : RF_STR("");
		if (back != SIZE_MAX)
			r->at = back;
		r->bad |= !text;
		if (!r->bad && rf_str_eq(key, want))
			return true;
		skip_value(r);
	}
	return false;
}

static bool to_element(struct reading *r, uint64_t elements, struct rf_str index)
{
	uint64_t want;
	if (!rf_str_u64(index, &want) || want >= elements)
		return false;
	for (uint64_t i = 0; i < want && !r->bad; i++)
		skip_value(r);
	return !r->bad;
}

static bool scalar(struct reading *r, unsigned type, uint64_t size, struct rf_mmdb_value *v)
{
	static const uint8_t widths[] = { [RF_MMDB_U16] = 2, [RF_MMDB_U32] = 4, [RF_MMDB_I32] = 4, [RF_MMDB_U64] = 8 };
	uint64_t bits;
	uint32_t half;
	float f;
	switch (type) {
	case RF_MMDB_TEXT: case RF_MMDB_BYTES:
		v->text = slice(r, size);
		return !r->bad;
	case RF_MMDB_DOUBLE:
		bits = number(r, 8);
		memcpy(&v->real, &bits, sizeof bits);
		return size == 8 && !r->bad;
	case RF_MMDB_FLOAT:
		half = (uint32_t)number(r, 4);
		memcpy(&f, &half, sizeof half);
		v->real = (double)f;
		return size == 4 && !r->bad;
	case RF_MMDB_U16: case RF_MMDB_U32: case RF_MMDB_I32: case RF_MMDB_U64:
		v->number = size <= widths[type] ? number(r, (size_t)size) : 0;
		return size <= widths[type] && !r->bad;
	case RF_MMDB_BOOL: case RF_MMDB_MAP: case RF_MMDB_ARRAY:
		v->number = size;
		return !r->bad;
	default:
		return false;
	}
}

static bool get(struct rf_str data, size_t at, const char *const *path, struct rf_mmdb_value *ret)
{
	struct reading r = { .s = data, .at = at, .bad = at >= data.n };
	uint64_t size;
	size_t back;
	unsigned type = resolve(&r, &size, &back);
	for (; *path && !r.bad; path++) {
		bool there = type == RF_MMDB_MAP ? to_key(&r, size, rf_str_z(*path)) :
			type == RF_MMDB_ARRAY && to_element(&r, size, rf_str_z(*path));
		if (!there)
			return false;
		type = resolve(&r, &size, &back);
	}
	struct rf_mmdb_value v = { .type = (enum rf_mmdb_type)type };
	if (r.bad || !scalar(&r, type, size, &v))
		return false;
	*ret = v;
	return true;
}

bool rf_mmdb_get(const struct rf_mmdb *m, size_t at, const char *const *path, struct rf_mmdb_value *ret)
{
	return get(m->data, at, path, ret);
}

/* The metadata are behind the last marker. */
static struct rf_str metadata(struct rf_str bytes)
{
	size_t n = sizeof marker - 1, least = bytes.n > METADATA_MAX ? bytes.n - METADATA_MAX : 0;
	for (size_t at = bytes.n; at >= least + n; at--)
		if (memcmp(bytes.p + at - n, marker, n) == 0)
			return rf_str_skip(bytes, at);
	return RF_STR("");
}

static uint64_t meta(struct rf_str s, const char *key)
{
	const char *path[] = { key, NULL };
	struct rf_mmdb_value v = { 0 };
	return get(s, 0, path, &v) ? v.number : 0;
}

int rf_mmdb_open(struct rf_str bytes, struct rf_mmdb *ret, struct rf_err *e)
{
	static const char *const type[] = { "database_type", NULL };
	struct rf_str about = metadata(bytes);
	struct rf_mmdb_value name = { 0 };
	if (!about.n)
		return rf_fail(e, RF_E_INVALID, "this is no MMDB file: its metadata are missing");
	if (meta(about, "binary_format_major_version") != 2)
		return rf_fail(e, RF_E_UNSUPPORTED, "this MMDB file is of a format other than 2");
	uint64_t nodes = meta(about, "node_count"), bits = meta(about, "record_size"), version = meta(about, "ip_version");
	size_t room = (size_t)(about.p - bytes.p) - (sizeof marker - 1);
	if ((bits != 24 && bits != 28 && bits != 32) || (version != 4 && version != 6) || !nodes || nodes > UINT32_MAX)
		return rf_fail(e, RF_E_INVALID, "the metadata of this MMDB file make no sense");
	uint64_t tree = nodes * bits / 4;
	if (tree + SEPARATOR > room)
		return rf_fail(e, RF_E_INVALID, "this MMDB file is cut off: its tree does not fit into it");
	if (!get(about, 0, type, &name) || name.type != RF_MMDB_TEXT)
		return rf_fail(e, RF_E_INVALID, "this MMDB file does not say what it is a database of");
	*ret = (struct rf_mmdb){ .tree = { bytes.p, (size_t)tree },
		.data = { bytes.p + tree + SEPARATOR, room - (size_t)tree - SEPARATOR }, .nodes = (uint32_t)nodes,
		.record_bits = (unsigned)bits, .six = version == 6, .type = name.text, .built = meta(about, "build_epoch") };
	return RF_OK;
}

static uint32_t record(const struct rf_mmdb *m, uint32_t node, bool right)
{
	const uint8_t *p = (const uint8_t *)m->tree.p + (size_t)node * m->record_bits / 4;
	unsigned at = right ? m->record_bits / 8 : 0;
	if (m->record_bits == 28) /* the nibbles of the middle byte are the high bits of both */
		return right ? (uint32_t)(p[3] & 15) << 24 | (uint32_t)p[4] << 16 | (uint32_t)p[5] << 8 | p[6] :
			(uint32_t)(p[3] >> 4) << 24 | (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
	uint32_t v = (uint32_t)p[at] << 16 | (uint32_t)p[at + 1] << 8 | p[at + 2];
	return m->record_bits == 24 ? v : v << 8 | p[at + 3];
}

bool rf_mmdb_find(const struct rf_mmdb *m, const struct rf_ip *ip, size_t *ret)
{
	unsigned bits = ip->family == 4 ? 32 : 128, zeros = ip->family == 4 && m->six ? 96 : 0;
	uint32_t node = 0;
	if (!ip->family || (ip->family == 6 && !m->six))
		return false;
	for (unsigned i = 0; i < zeros && node < m->nodes; i++)
		node = record(m, node, false);
	for (unsigned i = 0; i < bits && node < m->nodes; i++)
		node = record(m, node, ip->b[i / 8] >> (7 - i % 8) & 1);
	if (node <= m->nodes) /* equal: nothing is known; less: the tree is deeper than addresses are long */
		return false;
	uint32_t at = node - m->nodes;
	if (at < SEPARATOR || at - SEPARATOR >= m->data.n)
		return false;
	*ret = at - SEPARATOR;
	return true;
}

/* --- all networks --- */

struct walk {
	const struct rf_mmdb *m;
	int (*each)(void *arg, const struct rf_prefix *net, size_t at);
	void *arg;
	uint32_t four;      /* where IPv4 begins in a tree of IPv6 */
	uint64_t seen;      /* nodes; each is seen once where the tree is one */
	struct rf_prefix at;
};

static int leaf(struct walk *w, uint32_t node)
{
	struct rf_prefix net = w->at;
	uint32_t at = node - w->m->nodes;
	if (at == 0)
		return RF_OK;
	if (at < SEPARATOR || at - SEPARATOR >= w->m->data.n)
		return RF_E_INVALID;
	if (w->m->six && net.bits >= 96 && memcmp(net.ip.b, (const uint8_t[12]){ 0 }, 12) == 0) {
		memmove(net.ip.b, net.ip.b + 12, 4);
		memset(net.ip.b + 4, 0, 12);
		net.ip.family = 4;
		net.bits = (uint8_t)(net.bits - 96);
	} else
		net.ip.family = w->m->six ? 6 : 4;
	return w->each(w->arg, &net, at - SEPARATOR);
}

/* Depth is bounded by the length of an address. The tree of IPv4 may hang at other places too, as ::ffff:0:0/96 and 2002::/16. */
static int walk(struct walk *w, uint32_t node)
{
	unsigned bit = w->at.bits, most = w->m->six ? 128 : 32;
	bool alias = w->m->six && node == w->four && memcmp(w->at.ip.b, (const uint8_t[16]){ 0 }, 16) != 0;
	int rc = RF_OK;
	if (node >= w->m->nodes)
		return leaf(w, node);
	if (alias)
		return RF_OK;
	if (bit == most || ++w->seen > w->m->nodes)
		return RF_E_INVALID;
	w->at.bits++;
	for (int right = 0; right < 2 && rc == RF_OK; right++) {
		if (right)
			w->at.ip.b[bit / 8] |= (uint8_t)(128 >> bit % 8);
		rc = walk(w, record(w->m, node, right));
	}
	w->at.ip.b[bit / 8] &= (uint8_t)~(128 >> bit % 8);
	w->at.bits--;
	return rc;
}

int rf_mmdb_walk(const struct rf_mmdb *m, int (*each)(void *arg, const struct rf_prefix *net, size_t at), void *arg)
{
	struct walk w = { .m = m, .each = each, .arg = arg };
	for (int i = 0; m->six && i < 96 && w.four < m->nodes; i++)
		w.four = record(m, w.four, false);
	return walk(&w, 0);
}
