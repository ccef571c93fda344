/* shield/prefixes: what each prefix was given, and the tables that follow from it.
 *
 *   IPv4 up to /24 -> dir         longer, and IPv6 -> exact, and a mark that such lengths are to be looked for there
 *
 * The store of prefixes is what a removal needs: entries that came from the one that goes take the tag of the next
 * longer one around it. Marks are counted by place and length, so that the last prefix to go takes its mark along.
 */
#include "shield/prefixes.h"
#include <stdlib.h>
#include "shield/tables.h"

struct kept {
	struct rf_map_node node;
	uint8_t key[18]; /* family, bits, address */
	uint16_t tag;
};

struct mark { /* how many prefixes of `bits` lie in a /24 of IPv4 (bits 0: of all lengths) or a /16 of IPv6 */
	struct rf_map_node node;
	uint8_t key[5];
	uint32_t count;
};

struct rf_prefixes {
	struct rf_tables t;
	uint8_t *depth;
	struct rf_map kept, marks;
	uint32_t of_length[2][129]; /* prefixes of each length in `exact`: of IPv4, of IPv6 */
	unsigned six_lengths;
};

static struct rf_str key_of(const struct rf_ip *ip, unsigned bits, uint8_t to[18])
{
	struct rf_prefix p = rf_ip_mask(ip, bits);
	to[0] = ip->family;
	to[1] = (uint8_t)bits;
	memcpy(to + 2, p.ip.b, 16);
	return (struct rf_str){ (const char *)to, 18 };
}

static struct kept *kept_find(const struct rf_prefixes *p, const struct rf_ip *ip, unsigned bits)
{
	uint8_t key[18];
	struct rf_map_node *n = rf_map_find(&p->kept, key_of(ip, bits, key));
	return n ? RF_CONTAINER(n, struct kept, node) : NULL;
}

static uint32_t host4(const struct rf_ip *ip)
{
	return (uint32_t)ip->b[0] << 24 | (uint32_t)ip->b[1] << 16 | (uint32_t)ip->b[2] << 8 | ip->b[3];
}

static struct rf_key exact_key(const struct rf_prefix *at)
{
	uint32_t words[4];
	if (at->ip.family == 4)
		return rf_key4(host4(&at->ip), at->bits);
	memcpy(words, at->ip.b, sizeof words);
	return rf_key_mask(rf_key6(words), at->bits);
}

/* --- marks --- */

static struct mark *mark_of(struct rf_prefixes *p, const struct rf_prefix *at)
{
	uint8_t key[5] = { at->ip.family, at->ip.b[0], at->ip.b[1] };
	key[3] = at->ip.family == 4 ? at->ip.b[2] : at->bits;
	struct rf_map_node *n = rf_map_find(&p->marks, (struct rf_str){ (const char *)key, sizeof key });
	if (n)
		return RF_CONTAINER(n, struct mark, node);
	struct mark *m = calloc(1, sizeof *m);
	if (!m)
		return NULL;
	memcpy(m->key, key, sizeof key);
	rf_map_add(&p->marks, &m->node, (struct rf_str){ (const char *)m->key, sizeof m->key });
	return m;
}

static void mark_put(struct rf_prefixes *p, struct mark *m)
{
	if (m->count)
		return;
	rf_map_del(&p->marks, &m->node);
	free(m);
}

/* The lengths in use around the /16 of a prefix, or all those that it covers. */
static void six_show(const struct rf_prefixes *p, const struct rf_prefix *at, bool on)
{
	uint32_t root = (uint32_t)at->ip.b[0] << 8 | at->ip.b[1], count = at->bits < 16 ? 1u << (16 - at->bits) : 1;
	uint64_t bit = 1ull << (at->bits > 64 ? 128 - at->bits : 64 - at->bits);
	for (uint32_t end = root + count; root < end; root++) {
		__u64 *word = &p->t.root->lengths[root][at->bits <= 64];
		__atomic_store_n(word, on ? *word | bit : *word & ~bit, __ATOMIC_RELEASE);
	}
}

static void show(struct rf_prefixes *p, const struct rf_prefix *at, bool on)
{
	if (at->ip.family == 6)
		six_show(p, at, on);
	else
		dir_mark(&p->t, host4(&at->ip), on);
}

static void count_length(struct rf_prefixes *p, const struct rf_prefix *at, bool one_more)
{
	uint32_t *n = &p->of_length[at->ip.family == 6][at->bits];
	bool edge = one_more ? (*n)++ == 0 : --*n == 0;
	if (!edge)
		return;
	if (at->ip.family == 6)
		p->six_lengths += one_more ? 1u : -1u;
	else
		p->t.conf->four_longer ^= 1u << (32 - at->bits);
}

static int exact_set(struct rf_prefixes *p, const struct rf_prefix *at, uint16_t tag, bool known)
{
	if (known)
		return exact_put(&p->t, exact_key(at), tag);
	if (at->ip.family == 6 && !p->of_length[1][at->bits] && p->six_lengths == RF_SIX_LENGTHS)
		return RF_E_FULL;
	struct mark *m = mark_of(p, at);
	if (!m)
		return RF_E_NOMEM;
	int rc = exact_put(&p->t, exact_key(at), tag);
	if (rc != RF_OK) {
		mark_put(p, m);
		return rc;
	}
	count_length(p, at, true);
	if (m->count++ == 0)
		show(p, at, true);
	return RF_OK;
}

static void exact_clear(struct rf_prefixes *p, const struct rf_prefix *at)
{
	struct mark *m = mark_of(p, at); /* it is there, so no memory is taken */
	exact_drop(&p->t, exact_key(at));
	if (--m->count == 0)
		show(p, at, false);
	mark_put(p, m);
	count_length(p, at, false);
}

/* --- the whole --- */

struct rf_prefixes *rf_prefixes_new(const struct rf_tables *t)
{
	struct rf_prefixes *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->t = *t;
	if (dir_init(&p->depth) == RF_OK)
		return p;
	free(p);
	return NULL;
}

void rf_prefixes_free(struct rf_prefixes *p)
{
	if (!p)
		return;
	struct rf_map_node *next;
	for (struct rf_map_node *n = rf_map_next(&p->kept, NULL); n; n = next) {
		next = rf_map_next(&p->kept, n);
		free(RF_CONTAINER(n, struct kept, node));
	}
	for (struct rf_map_node *n = rf_map_next(&p->marks, NULL); n; n = next) {
		next = rf_map_next(&p->marks, n);
		free(RF_CONTAINER(n, struct mark, node));
	}
	rf_map_fini(&p->kept);
	rf_map_fini(&p->marks);
	dir_fini(p->depth);
	free(p);
}

static bool in_dir(const struct rf_prefix *at) { return at->ip.family == 4 && at->bits <= 24; }

static int tables_set(struct rf_prefixes *p, const struct rf_prefix *at, uint16_t tag, bool known)
{
	if (in_dir(at))
		dir_set(&p->t, p->depth, host4(&at->ip), at->bits, tag);
	else if (at->bits)
		return exact_set(p, at, tag, known);
	else
		p->t.conf->six_all = tag;
	return RF_OK;
}

int rf_prefixes_set(struct rf_prefixes *p, const struct rf_prefix *at, uint16_t tag, struct rf_err *e)
{
	struct kept *k = kept_find(p, &at->ip, at->bits), *made = NULL;
	char text[RF_IP_TEXT];
	if (!k && !(k = made = calloc(1, sizeof *k)))
		return rf_fail(e, RF_E_NOMEM, "no memory for one more prefix");
	int rc = tables_set(p, at, tag, !made);
	if (rc != RF_OK) {
		free(made);
		return rf_fail(e, rc, "%s does not fit into the kernel's tables, which hold prefixes of %d lengths of IPv6, and about %d "
			"prefixes in all that are of IPv6 or longer than 24 bits", rf_prefix_str(at, text), RF_SIX_LENGTHS,
			RF_EXACT_BUCKETS * RF_EXACT_WAYS * 9 / 10);
	}
	k->tag = tag;
	if (made)
		rf_map_add(&p->kept, &made->node, key_of(&at->ip, at->bits, made->key));
	return RF_OK;
}

static void dir_uncover(struct rf_prefixes *p, const struct rf_prefix *at)
{
	const struct kept *around = NULL;
	int bits = at->bits;
	while (!around && --bits >= 0)
		around = kept_find(p, &at->ip, (unsigned)bits);
	dir_clear(&p->t, p->depth, host4(&at->ip), at->bits, around ? around->tag : 0, bits);
}

int rf_prefixes_clear(struct rf_prefixes *p, const struct rf_prefix *at)
{
	struct kept *k = kept_find(p, &at->ip, at->bits);
	if (!k)
		return RF_E_NOT_FOUND;
	rf_map_del(&p->kept, &k->node);
	free(k);
	if (in_dir(at))
		dir_uncover(p, at);
	else if (at->bits)
		exact_clear(p, at);
	else
		p->t.conf->six_all = 0;
	return RF_OK;
}

/* --- going over to other tables --- */

static struct rf_prefix prefix_of(const struct kept *k)
{
	struct rf_prefix at = { .ip.family = k->key[0], .bits = k->key[1] };
	memcpy(at.ip.b, k->key + 2, sizeof at.ip.b);
	return at;
}

int rf_prefixes_each(const struct rf_prefixes *p, int (*each)(void *arg, const struct rf_prefix *at, uint16_t tag), void *arg)
{
	int rc = RF_OK;
	for (struct rf_map_node *n = rf_map_next(&p->kept, NULL); n && rc == RF_OK; n = rf_map_next(&p->kept, n)) {
		const struct kept *k = RF_CONTAINER(n, struct kept, node);
		struct rf_prefix at = prefix_of(k);
		rc = each(arg, &at, k->tag);
	}
	return rc;
}

/* Drop the exact prefixes that are not in the policy. */
static void drop_stale(const struct rf_prefixes *p, const struct rf_tables *to)
{
	for (size_t i = 0; i < RF_EXACT_BUCKETS * RF_EXACT_WAYS; i++) {
		const struct rf_exact *e = &to->buckets[i / RF_EXACT_WAYS].e[i % RF_EXACT_WAYS];
		struct rf_key k = { e->hi, e->lo, e->bits };
		if (e->tag && !rf_exact_find(&p->t, p->t.conf->secret, k.hi, k.lo, k.bits))
			exact_drop(to, k);
	}
}

static int put_all(const struct rf_prefixes *p, const struct rf_tables *to)
{
	int rc = RF_OK;
	for (struct rf_map_node *n = rf_map_next(&p->kept, NULL); n && rc == RF_OK; n = rf_map_next(&p->kept, n)) {
		const struct kept *k = RF_CONTAINER(n, struct kept, node);
		struct rf_prefix at = prefix_of(k);
		if (!in_dir(&at) && at.bits)
			rc = exact_put(to, exact_key(&at), k->tag);
	}
	return rc;
}

/* Store the words that differ. Both are arrays of 64-bit words. */
static void copy_words(void *to, const void *from, size_t size)
{
	const __u64 *f = from;
	__u64 *t = to;
	for (size_t i = 0; i < size / sizeof *f; i++)
		if (t[i] != f[i])
			__atomic_store_n(&t[i], f[i], __ATOMIC_RELEASE);
}

int rf_prefixes_move(struct rf_prefixes *p, const struct rf_tables *to)
{
	drop_stale(p, to);
	int rc = put_all(p, to);
	if (rc != RF_OK)
		return rc;
	to->conf->four_longer |= p->t.conf->four_longer; /* more than is needed only costs a load */
	copy_words(to->first, p->t.first, RF_DIR_CHUNKS * sizeof *to->first);
	copy_words(to->root, p->t.root, sizeof *to->root);
	to->conf->four_longer = p->t.conf->four_longer;
	to->conf->six_all = p->t.conf->six_all;
	p->t = *to;
	return RF_OK;
}

uint16_t rf_prefixes_find(const struct rf_prefixes *p, const struct rf_ip *ip)
{
	uint32_t words[4];
	if (ip->family == 4)
		return rf_tag4(&p->t, p->t.conf, host4(ip));
	memcpy(words, ip->b, sizeof words);
	return rf_tag6(&p->t, p->t.conf, words);
}
