/* policy/packet_nft: see packet_nft.h.
 *
 *   ruleset: a chain that calls one of each rule -> what it leaves open goes on
 *   rule: condition -> counted -> answer
 *   condition: a conjunction is  a rule of nft for each term that must not hold -> no
 *                                those that must, in one rule of nft             -> yes
 *              `or` is one turned round; `xor` is written twice, for each parity
 *   leaf: alternatives, each of matches that must all hold (of IPv4, of IPv6)
 *
 * Control goes from chain to chain and never back within a rule, so that whatever ends a rule returns to its ruleset. Each chain is a level,
 * of which the kernel has few: so as much as can be is said in one chain.
 *
 * Invariants: what is missing makes a comparison false, whatever it is, and `not` of it true, as in policy/eval.
 */
#include "policy/packet_nft.h"
#include <stdio.h>
#include <stdlib.h>
#include "policy/hash64.h"
#include "policy/packet_front.h"

enum { MATCHES = 5, ALTERNATIVES = 16, TERMS = 16, PRODUCT = 64, RESTS = 256 };
enum { TCP = 6, UDP = 17, ICMP = 1, ICMP6 = 58 };
enum { RETURN, LEAVE, NO_LABEL = -1 }; /* labels that are always there */

struct match {
	uint8_t field, bytes;
	uint32_t at;
	uint64_t bits;
	size_t range, ranges; /* in `said` */
};

struct alternative {
	uint8_t family;       /* 0: any */
	uint8_t n;
	struct match m[MATCHES];
};

struct choice { /* what a leaf asks: one of these */
	size_t n;
	struct alternative v[ALTERNATIVES];
};

struct label {
	uint32_t chain;       /* 0: nothing goes there yet */
	unsigned level;
};

struct chains {
	struct packet_front f;
	struct rf_nft_op *op;
	size_t n, cap;
	struct label *label;
	size_t labels, label_cap;
	struct packet_range *said; /* of the matches of a conjunction */
	size_t said_n, said_cap;
	uint32_t made, at;    /* chains; the one that is written */
	unsigned level;
	bool lost;            /* nothing comes here */
	int failed;
};

struct ways { int yes, no, next; };

/* --- chains --- */

static void *grown(struct chains *c, void *v, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return v;
	size_t more = *cap ? *cap * 2 : 64;
	void *p = realloc(v, more * size);
	if (p)
		*cap = more;
	else
		c->failed = RF_E_NOMEM;
	return p;
}

static void put(struct chains *c, const struct rf_nft_op *op)
{
	struct rf_nft_op *v = c->n < RF_NFT_OPS_MAX ? grown(c, c->op, c->n, &c->cap, sizeof *v) : NULL;
	if (c->n >= RF_NFT_OPS_MAX)
		c->failed = RF_E_TOO_LARGE;
	if (!v)
		return;
	c->op = v;
	c->op[c->n++] = *op;
}

static int label_new(struct chains *c)
{
	struct label *v = grown(c, c->label, c->labels, &c->label_cap, sizeof *v);
	if (!v)
		return NO_LABEL;
	c->label = v;
	c->label[c->labels] = (struct label){ 0 };
	return (int)c->labels++;
}

/* One level below this chain. */
static void reach(struct chains *c, int label)
{
	struct label *l = &c->label[label];
	if (!l->chain && label != LEAVE) {
		l->chain = ++c->made;
		if (c->made >= RF_NFT_CHAINS_MAX)
			c->failed = RF_E_TOO_LARGE;
	}
	l->level = l->level > c->level + 1 ? l->level : c->level + 1;
	if (l->level > RF_NFT_LAST_LEVEL + (label == LEAVE) && !c->failed)
		c->failed = RF_E_UNSUPPORTED;
}

/* What ends a rule of nft. */
static void verdict(struct chains *c, int label)
{
	if (label == NO_LABEL)
		return;
	if (label != RETURN)
		reach(c, label);
	put(c, &(struct rf_nft_op){ .op = label == RETURN ? RF_NFT_RETURN : label == LEAVE ? RF_NFT_LEAVE : RF_NFT_GO, .to = c->label[label].chain });
}

static void go(struct chains *c, int label)
{
	if (!c->lost)
		verdict(c, label);
	c->lost = true;
}

static void open_chain(struct chains *c, uint32_t chain, unsigned level)
{
	put(c, &(struct rf_nft_op){ .op = RF_NFT_CHAIN, .to = chain });
	c->at = chain;
	c->level = level;
	c->lost = false;
}

/* What goes there comes here. */
static void place(struct chains *c, int label)
{
	if (label == NO_LABEL || !c->label[label].chain)
		return;
	go(c, label);
	open_chain(c, c->label[label].chain, c->label[label].level);
}

/* --- matches --- */

static struct match *add_match(struct alternative *a, uint8_t field)
{
	struct match *m = &a->m[a->n++];
	*m = (struct match){ .field = field };
	return m;
}

static void say(struct chains *c, struct match *m, const struct packet_range *r)
{
	struct packet_range *v = grown(c, c->said, c->said_n, &c->said_cap, sizeof *v);
	if (!v)
		return;
	c->said = v;
	if (!m->ranges)
		m->range = c->said_n;
	m->ranges++;
	c->said[c->said_n++] = *r;
}

static void say_number(struct chains *c, struct match *m, uint64_t from, uint64_t to)
{
	say(c, m, &(struct packet_range){ 0, from, 0, to });
}

static void match_number(struct chains *c, struct alternative *a, uint8_t field, uint64_t from, uint64_t to)
{
	say_number(c, add_match(a, field), from, to);
}

/* The ranges of the leaf as far as a field of so many values has them, moved down. False: there are none. */
static bool match_ranges(struct chains *c, struct alternative *a, uint8_t field, uint64_t most, uint64_t down)
{
	struct match *m = add_match(a, field);
	for (size_t i = 0; i < c->f.ranges; i++) {
		uint64_t from = c->f.range[i].from, to = c->f.range[i].to;
		from = from > down ? from - down : 0;
		if (to >= down && from <= most)
			say_number(c, m, from, to - down < most ? to - down : most);
	}
	return m->ranges;
}

/* Some kernels look for one, two or four bytes of a transport's header without asking whether there is one, as later fragments have none:
 * they are asked for with a byte or two beside them. Says how many were put behind. */
static unsigned widen(struct match *m)
{
	unsigned more = m->bytes == 1 ? 2 : 1;
	if (m->bytes != 1 && m->bytes != 2 && m->bytes != 4)
		return 0;
	m->bytes = (uint8_t)(m->bytes + more);
	if (m->at < more)
		return more;
	m->at -= more;
	return 0;
}

/* Bytes of a header, of which these bits are compared, `shift` up. */
static struct match *match_bits(struct chains *c, struct alternative *a, uint8_t field, unsigned from, unsigned to, unsigned *ret_shift)
{
	enum { LEAST = 3 };
	bool first_four = field == RF_NFT_TRANSPORT && from < 8 && to > 24;
	if (first_four) { /* there may be no more than these: asked for by a match of its own */
		struct match *there = add_match(a, field);
		there->bytes = LEAST;
		there->bits = (1ull << 8 * LEAST) - 1;
		say_number(c, there, 0, there->bits);
	}
	struct match *m = add_match(a, field);
	m->at = from / 8;
	m->bytes = (uint8_t)((to + 7) / 8 - from / 8);
	*ret_shift = (8 - to % 8) % 8 + (field == RF_NFT_TRANSPORT && !first_four ? 8 * widen(m) : 0);
	m->bits = ((1ull << (to - from)) - 1) << *ret_shift;
	return m;
}

static bool match_bit_ranges(struct chains *c, struct alternative *a, uint8_t field, unsigned from, unsigned to)
{
	unsigned shift;
	struct match *m = match_bits(c, a, field, from, to, &shift);
	uint64_t most = (1ull << (to - from)) - 1;
	for (size_t i = 0; i < c->f.ranges; i++) {
		uint64_t end = c->f.range[i].to < most ? c->f.range[i].to : most;
		if (c->f.range[i].from <= most)
			say_number(c, m, c->f.range[i].from << shift, end << shift);
	}
	return m->ranges;
}

static struct alternative *another(struct choice *o, uint8_t family)
{
	struct alternative *a = &o->v[o->n++];
	*a = (struct alternative){ .family = family };
	return a;
}

/* --- leaves --- */

/* All numbers of 32 bits but those. */
static int turn(struct chains *c)
{
	size_t n = c->f.ranges;
	uint64_t next = 0;
	int rc = RF_OK;
	for (size_t i = 0; i < n && rc == RF_OK; i++) {
		struct packet_range r = c->f.range[i];
		if (r.from > next)
			rc = packet_add_range(&c->f, &(struct packet_range){ 0, next, 0, r.from - 1 });
		next = r.to + 1;
	}
	if (rc == RF_OK && next <= UINT32_MAX)
		rc = packet_add_range(&c->f, &(struct packet_range){ 0, next, 0, UINT32_MAX });
	c->f.ranges -= n;
	memmove(c->f.range, c->f.range + n, c->f.ranges * sizeof *c->f.range);
	return rc;
}

static int number_ranges(struct chains *c, const struct packet_leaf *l)
{
	int rc = packet_leaf_ranges(&c->f, l, 0);
	return rc == RF_OK && l->turned ? turn(c) : rc;
}

static void keep_if(struct choice *o, bool is) { o->n -= !is; }

static void of_protocol(struct chains *c, struct alternative *a, enum rf_field field)
{
	struct match *m = add_match(a, RF_NFT_PROTO);
	bool icmp = field == RF_F_ICMP_TYPE || field == RF_F_ICMP_CODE || field == RF_F_PKT_ICMP;
	bool udp = field == RF_F_UDP_SRCPORT || field == RF_F_UDP_DSTPORT || field == RF_F_PKT_UDP;
	say_number(c, m, icmp ? ICMP : udp ? UDP : TCP, icmp ? ICMP : udp ? UDP : TCP);
	if (icmp)
		say_number(c, m, ICMP6, ICMP6);
}

static const struct { enum rf_field f; uint8_t from, to; } transport[] = {
	{ RF_F_TCP_SRCPORT, 0, 16 }, { RF_F_TCP_DSTPORT, 16, 32 }, { RF_F_TCP_FLAGS, 104, 112 }, { RF_F_UDP_SRCPORT, 0, 16 },
	{ RF_F_UDP_DSTPORT, 16, 32 }, { RF_F_ICMP_TYPE, 0, 8 }, { RF_F_ICMP_CODE, 8, 16 },
};

static int number(struct chains *c, const struct packet_leaf *l, struct choice *o)
{
	int rc = number_ranges(c, l);
	switch (l->field) {
	case RF_F_IP_PROTO_NUM:
		keep_if(o, match_ranges(c, another(o, 0), RF_NFT_PROTO, 255, 0));
		return rc;
	case RF_F_IP_LEN:
		keep_if(o, match_ranges(c, another(o, 4), RF_NFT_LEN4, 65535, 0));
		keep_if(o, match_ranges(c, another(o, 6), RF_NFT_LEN6, 65535, 40));
		return rc;
	case RF_F_IP_TTL:
		keep_if(o, match_ranges(c, another(o, 4), RF_NFT_TTL4, 255, 0));
		keep_if(o, match_ranges(c, another(o, 6), RF_NFT_TTL6, 255, 0));
		return rc;
	case RF_F_IP_OPT: {
		struct alternative *a = another(o, 4);
		match_number(c, a, RF_NFT_IHL4, 6, 15);
		keep_if(o, match_bit_ranges(c, a, RF_NFT_NETWORK, 160, 168));
		return rc;
	}
	case RF_F_IP_HDR_LEN:
		return packet_refuse(&c->f, l->n, "nft here", "it does not know where the headers of IPv6 end");
	default:
		break;
	}
	for (size_t i = 0; i < sizeof transport / sizeof *transport; i++)
		if (transport[i].f == l->field) {
			struct alternative *a = another(o, 0);
			of_protocol(c, a, l->field);
			keep_if(o, match_bit_ranges(c, a, RF_NFT_TRANSPORT, transport[i].from, transport[i].to));
		}
	return rc;
}

/* Bytes behind the transport's header, which is known to be there, must be of the packet: its length says so, less its header, of each
 * length that IPv4 can have; of IPv6 without extension headers, and with them as far as the frame goes. */
static void deep(struct chains *c, const struct packet_leaf *l, unsigned bytes, struct choice *o)
{
	uint8_t protos[] = { l->field == RF_F_PKT_TCP ? TCP : l->field == RF_F_PKT_UDP ? UDP : ICMP, ICMP6 };
	for (unsigned words = 5; words <= 15; words++) {
		struct alternative *a = another(o, 4);
		match_number(c, a, RF_NFT_IHL4, words, words);
		match_number(c, a, RF_NFT_LEN4, 4 * words + bytes, 65535);
		of_protocol(c, a, l->field);
		keep_if(o, match_bit_ranges(c, a, RF_NFT_TRANSPORT, l->from, l->to));
	}
	for (int chain = 0; chain < 2; chain++) {
		struct alternative *a = another(o, 6);
		struct match *m = add_match(a, RF_NFT_NEXT6);
		static const uint8_t extensions[] = { 0, 43, 44, 60 };
		for (size_t i = 0; i < (chain ? sizeof extensions : l->field == RF_F_PKT_ICMP ? 2u : 1u); i++)
			say_number(c, m, chain ? extensions[i] : protos[i], chain ? extensions[i] : protos[i]);
		match_number(c, a, RF_NFT_LEN6, bytes, 65535);
		of_protocol(c, a, l->field);
		keep_if(o, match_bit_ranges(c, a, RF_NFT_TRANSPORT, l->from, l->to));
	}
}

static int bits(struct chains *c, const struct packet_leaf *l, struct choice *o)
{
	unsigned bytes = (l->to + 7) / 8, least = l->field == RF_F_PKT_TCP ? 20 : l->field == RF_F_PKT_UDP ? 8 : 4;
	int rc = number_ranges(c, l);
	if (l->to / 8 + RF_NFT_BITS_BYTES > RF_NFT_BITS_AT)
		return packet_refuse(&c->f, l->n, "nft here", "it asks no further than 4,000 bytes into a packet");
	if (l->field == RF_F_PACKET) {
		for (uint8_t family = 4; family <= 6; family += 2) {
			struct alternative *a = another(o, family);
			if (bytes > (family == 4 ? 20 : 40))
				match_number(c, a, family == 4 ? RF_NFT_LEN4 : RF_NFT_LEN6, family == 4 ? bytes : bytes - 40, 65535);
			else
				match_number(c, a, RF_NFT_FAMILY, family, family);
			keep_if(o, match_bit_ranges(c, a, RF_NFT_NETWORK, l->from, l->to));
		}
	} else if (bytes <= least) {
		struct alternative *a = another(o, 0);
		of_protocol(c, a, l->field);
		keep_if(o, match_bit_ranges(c, a, RF_NFT_TRANSPORT, l->from, l->to));
	} else
		deep(c, l, bytes, o);
	return rc;
}

static void flag(struct chains *c, const struct packet_leaf *l, struct choice *o)
{
	enum { FLAGS_AT = 13 };
	struct alternative *a = another(o, 0);
	unsigned shift;
	of_protocol(c, a, RF_F_TCP_FLAGS);
	struct match *m = match_bits(c, a, RF_NFT_TRANSPORT, 8 * FLAGS_AT, 8 * FLAGS_AT + 8, &shift);
	m->bits = (uint64_t)l->bit << shift;
	say_number(c, m, l->set ? m->bits : 0, l->set ? m->bits : 0);
}

/* --- addresses --- */

struct wide { uint64_t hi, lo; };

static int compared(struct wide a, struct wide b)
{
	return a.hi != b.hi ? a.hi < b.hi ? -1 : 1 : a.lo != b.lo ? a.lo < b.lo ? -1 : 1 : 0;
}

static struct wide low_bits(unsigned bits) /* those behind the first `bits` */
{
	return (struct wide){ bits >= 64 ? 0 : bits ? ~0ull >> bits : ~0ull, bits >= 128 ? 0 : bits > 64 ? ~0ull >> (bits - 64) : ~0ull };
}

/* What lies in a range once its last bits are cut, as a range of what they were before. False: nothing does. */
static bool uncut(struct packet_range *r, struct wide low)
{
	if ((r->from_hi & low.hi) || (r->from & low.lo)) {
		struct wide was = { r->from_hi, r->from };
		r->from_hi |= low.hi;
		r->from |= low.lo;
		r->from++;
		r->from_hi += !r->from;
		if (compared((struct wide){ r->from_hi, r->from }, was) < 0)
			return false;
	}
	r->to_hi |= low.hi;
	r->to |= low.lo;
	return compared((struct wide){ r->from_hi, r->from }, (struct wide){ r->to_hi, r->to }) <= 0;
}

#define MAPPED 0xffff00000000ull /* ::ffff:0:0/96: an address of IPv4 [RFC 4291 2.5.5.2] */

static struct wide first_of(const struct packet_range *r) { return (struct wide){ r->from_hi, r->from }; }
static struct wide last_of(const struct packet_range *r) { return (struct wide){ r->to_hi, r->to }; }

/* A range of IPv6 without what is one of IPv4. */
static void say_six(struct chains *c, struct match *m, const struct packet_range *r)
{
	const struct packet_range mapped = { 0, MAPPED, 0, MAPPED | UINT32_MAX };
	struct packet_range below = *r, above = *r;
	if (compared(last_of(r), first_of(&mapped)) >= 0)
		below.to_hi = 0, below.to = mapped.from - 1;
	if (compared(first_of(r), last_of(&mapped)) <= 0)
		above.from_hi = 0, above.from = mapped.to + 1;
	if (compared(first_of(r), first_of(&mapped)) < 0)
		say(c, m, &below);
	if (compared(last_of(r), last_of(&mapped)) > 0)
		say(c, m, &above);
}

static int address(struct chains *c, const struct packet_leaf *l, struct choice *o)
{
	bool src = l->field == RF_F_IP_SRC;
	struct alternative four = { .family = 4 }, six = { .family = 6 };
	struct match *m4 = add_match(&four, src ? RF_NFT_SRC4 : RF_NFT_DST4), *m6 = add_match(&six, src ? RF_NFT_SRC6 : RF_NFT_DST6);
	int rc = packet_leaf_ranges(&c->f, l, 4);
	for (int six_too = 0; six_too < 2; six_too++)
		for (size_t i = 0; i < c->f.ranges; i++) {
			struct packet_range r = c->f.range[i];
			if (uncut(&r, low_bits(96 + l->bits4)))
				say_number(c, six_too ? m6 : m4, r.from | (six_too ? MAPPED : 0), r.to | (six_too ? MAPPED : 0));
		}
	if (rc == RF_OK)
		rc = packet_leaf_ranges(&c->f, l, 6);
	for (size_t i = 0; i < c->f.ranges; i++) {
		struct packet_range r = c->f.range[i];
		if (uncut(&r, low_bits(l->bits6)))
			say_six(c, m6, &r);
	}
	if (m4->ranges)
		o->v[o->n++] = four;
	if (m6->ranges)
		o->v[o->n++] = six;
	return rc;
}

static int choice_of(struct chains *c, const struct pnode *n, struct choice *o, bool *ret_turned)
{
	struct packet_leaf l;
	int rc = packet_leaf_read(&c->f, n, &l);
	o->n = 0;
	*ret_turned = false;
	if (rc != RF_OK)
		return rc;
	switch (l.kind) {
	case LEAF_PROTOCOL:
		rc = packet_leaf_ranges(&c->f, &l, 0);
		keep_if(o, match_ranges(c, another(o, 0), RF_NFT_PROTO, 255, 0));
		break;
	case LEAF_FLAG:
		flag(c, &l, o);
		break;
	case LEAF_ADDRESS:
		rc = address(c, &l, o);
		*ret_turned = l.turned; /* every packet has one */
		break;
	case LEAF_NUMBER:
		rc = number(c, &l, o);
		break;
	default:
		rc = bits(c, &l, o);
	}
	packet_leaf_fini(&l);
	return rc;
}

/* --- conjunctions --- */

static void put_match(struct chains *c, const struct match *m)
{
	for (size_t i = 0; i < m->ranges; i++) {
		const struct packet_range *r = &c->said[m->range + i];
		put(c, &(struct rf_nft_op){ .op = i ? RF_NFT_RANGE : RF_NFT_MATCH, .field = m->field, .bytes = m->bytes, .at = m->at, .key = m->bits,
			.from_hi = r->from_hi, .from = r->from, .until = r->to, .to_hi = r->to_hi });
	}
}

struct terms { /* those that must hold; what one asks */
	size_t n;
	struct choice v[TERMS];
};

/* A rule of nft for each way in which the terms from `first` to `end` can hold. */
static void put_product(struct chains *c, const struct terms *t, size_t first, size_t end, int to)
{
	size_t at[TERMS] = { 0 }, i = first;
	while (i + 1 > first) {
		if (at[i] == t->v[i].n) {
			at[i] = 0;
			if (i-- == first)
				return;
			at[i]++;
			continue;
		}
		uint8_t family = t->v[i].v[at[i]].family;
		bool fits = true;
		for (size_t k = first; k < i; k++) {
			uint8_t other = t->v[k].v[at[k]].family;
			fits = fits && (!family || !other || family == other);
		}
		if (fits && i + 1 < end) {
			i++;
			continue;
		}
		for (size_t k = first; fits && k < end; k++)
			for (uint8_t m = 0; m < t->v[k].v[at[k]].n; m++)
				put_match(c, &t->v[k].v[at[k]].m[m]);
		if (fits)
			verdict(c, to);
		at[i]++;
	}
}

static void put_choice(struct chains *c, const struct choice *o, int to)
{
	for (size_t i = 0; i < o->n; i++) {
		for (uint8_t m = 0; m < o->v[i].n; m++)
			put_match(c, &o->v[i].m[m]);
		verdict(c, to);
	}
}

/* All of the terms, in as few chains as can be. */
static void put_terms(struct chains *c, const struct terms *t, bool last, const struct ways *w)
{
	for (size_t first = 0; first < t->n && !c->lost;) {
		size_t end = first, ways = 1;
		while (end < t->n && (end == first || ways * t->v[end].n <= PRODUCT))
			ways *= t->v[end++].n;
		bool ends = last && end == t->n;
		int next = ends ? w->yes : label_new(c);
		put_product(c, t, first, end, next);
		if (!ends || w->next != w->no)
			go(c, w->no);
		if (!ends)
			place(c, next);
		first = end;
	}
}

static int condition(struct chains *c, const struct pnode *n, bool is, const struct ways *w);

static bool connects(const struct pnode *n) { return n->op == N_AND || n->op == N_OR || n->op == N_XOR || n->op == N_CONST || n->op == N_NOT; }

struct conjunction {
	const struct pnode *rest[RESTS]; /* what is no leaf */
	bool rest_is[RESTS];
	size_t rests;
	struct terms terms;
};

/* A leaf: where it must not hold, that is written at once. */
static int take_leaf(struct chains *c, const struct pnode *n, bool is, struct conjunction *k, int no)
{
	bool turned;
	struct choice *o = &k->terms.v[k->terms.n];
	int rc = choice_of(c, n, o, &turned);
	if (rc != RF_OK || c->lost)
		return rc;
	if (is != turned)
		k->terms.n++;
	else
		put_choice(c, o, no);
	return rc;
}

/* Its terms, those of the same kind within it as well. */
static int gather(struct chains *c, const struct pnode *n, bool is, struct conjunction *k, int no)
{
	if (n->op == N_NOT)
		return gather(c, &c->f.x->node[n->kid], !is, k, no);
	int rc = RF_OK;
	if (n->op == (is ? N_AND : N_OR)) {
		for (unsigned i = 0; i < n->nkids && rc == RF_OK; i++)
			rc = gather(c, &c->f.x->node[n->kid + i], is, k, no);
		return rc;
	}
	if (connects(n) || k->terms.n == TERMS) {
		if (k->rests == RESTS)
			return rf_fail(c->f.e, RF_E_UNSUPPORTED, "nft here takes at most %d terms side by side", RESTS);
		k->rest[k->rests] = n;
		k->rest_is[k->rests++] = is;
		return RF_OK;
	}
	return take_leaf(c, n, is, k, no);
}

/* It holds where all of its terms do. */
static int all(struct chains *c, const struct pnode *n, bool is, const struct ways *w)
{
	struct conjunction *k = malloc(sizeof *k);
	size_t said = c->said_n;
	if (!k)
		return rf_fail(c->f.e, RF_E_NOMEM, "memory is exhausted");
	k->rests = k->terms.n = 0;
	int rc = gather(c, n, is, k, w->no);
	if (rc == RF_OK)
		put_terms(c, &k->terms, !k->rests, w);
	if (rc == RF_OK && !k->terms.n && !k->rests && w->next != w->yes)
		go(c, w->yes);
	for (size_t i = 0; i < k->rests && rc == RF_OK; i++) {
		bool last = i + 1 == k->rests;
		int next = last ? w->yes : label_new(c);
		rc = condition(c, k->rest[i], k->rest_is[i], last ? w : &(struct ways){ next, w->no, next });
		if (!last)
			place(c, next);
	}
	c->said_n = said;
	free(k);
	return rc;
}

/* Once for each parity that what comes before may have. */
static int odd(struct chains *c, const struct pnode *n, bool is, const struct ways *w)
{
	int to[2] = { is ? w->no : w->yes, is ? w->yes : w->no }, from[2] = { NO_LABEL, NO_LABEL }, rc = RF_OK;
	for (unsigned i = 0; i < n->nkids && rc == RF_OK; i++) {
		bool last = i + 1 == n->nkids;
		int next[2] = { last ? to[0] : label_new(c), last ? to[1] : label_new(c) };
		for (int parity = 0; parity < (i ? 2 : 1) && rc == RF_OK; parity++) {
			if (i) {
				c->lost = true;
				place(c, from[parity]);
			}
			rc = condition(c, &c->f.x->node[n->kid + i], true, &(struct ways){ next[!parity], next[parity], NO_LABEL });
		}
		from[0] = next[0];
		from[1] = next[1];
	}
	return rc;
}

static int condition(struct chains *c, const struct pnode *n, bool is, const struct ways *w)
{
	if (c->failed == RF_E_NOMEM || c->failed == RF_E_TOO_LARGE)
		return RF_OK; /* said at the end */
	while (n->op == N_NOT) {
		n = &c->f.x->node[n->kid];
		is = !is;
	}
	if (n->op == N_CONST) {
		int to = n->lit.b == is ? w->yes : w->no;
		if (to != w->next)
			go(c, to);
		return RF_OK;
	}
	if (n->op == N_XOR)
		return odd(c, n, is, w);
	if (n->op == (is ? N_OR : N_AND))
		return all(c, n, !is, &(struct ways){ w->no, w->yes, w->next });
	return all(c, n, is, w);
}

/* --- rules --- */

uint64_t rf_packet_nft_key(struct rf_str id) { return hash_bytes(0, id); }

static void act(struct chains *c, const struct rf_rule *r, unsigned number, int set_end)
{
	put(c, &(struct rf_nft_op){ .op = RF_NFT_HIT, .to = number, .key = rf_packet_nft_key(r->id),
		.flags = r->logging || r->action == RF_ACT_LOG ? RF_NFT_SHOWN : 0 });
	if (r->action == RF_ACT_BLOCK) {
		reach(c, LEAVE);
		put(c, &(struct rf_nft_op){ .op = RF_NFT_BLOCK });
	} else if (r->action == RF_ACT_ALLOW || (r->action == RF_ACT_SKIP && packet_ends_phase(r)))
		go(c, LEAVE);
	else
		go(c, r->action == RF_ACT_SKIP ? set_end : RETURN);
	c->lost = true;
}

static int failure(const struct chains *c, struct rf_err *e)
{
	switch (c->failed) {
	case RF_OK:
		return RF_OK;
	case RF_E_NOMEM:
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	case RF_E_UNSUPPORTED:
		return rf_fail_ptr(e, RF_E_UNSUPPORTED, "/expression", "nft, which is in the kernel filter's place, would need more levels of chains for "
			"this rule than the kernel has: write it as several rules");
	default:
		return rf_fail_ptr(e, RF_E_TOO_LARGE, "/expression", "the rules of the phase packet make more than nft takes here");
	}
}

static int rule(struct chains *c, const struct rf_rule *r, unsigned number, int set_end)
{
	uint32_t set = c->at;
	unsigned level = c->level;
	int body = label_new(c), hit = label_new(c);
	c->f.x = r->cond;
	if (body == NO_LABEL || hit == NO_LABEL)
		return failure(c, c->f.e);
	int rc = packet_refuse_action(r, c->f.e);
	reach(c, body);
	put(c, &(struct rf_nft_op){ .op = RF_NFT_CALL, .to = c->label[body].chain });
	open_chain(c, c->label[body].chain, c->label[body].level);
	if (rc == RF_OK && (rc = condition(c, &c->f.x->node[0], true, &(struct ways){ hit, RETURN, hit })) != RF_OK)
		snprintf(c->f.e->pointer, sizeof c->f.e->pointer, "/expression");
	place(c, hit);
	if (!c->lost)
		act(c, r, number, set_end);
	if (rc == RF_OK)
		rc = failure(c, c->f.e);
	open_chain(c, set, level);
	return rc;
}

/* One rule, or nothing of it. */
static int try_rule(struct chains *c, const struct rf_rule *r, unsigned number, int set_end)
{
	const struct label before = c->label[set_end], leave = c->label[LEAVE];
	size_t n = c->n, labels = c->labels;
	uint32_t made = c->made;
	int rc = rule(c, r, number, set_end);
	if (rc == RF_OK)
		return RF_OK;
	packet_point(r, c->f.e);
	c->n = n;
	c->labels = labels;
	c->made = made;
	c->label[set_end] = before;
	c->label[LEAVE] = leave;
	return rc;
}

static int ruleset(struct chains *c, const struct rf_ruleset *s, const struct rf_packet_numbers *numbers, const struct rf_packet_refusals *refusals,
	struct rf_packet_chains *to)
{
	int set_end = label_new(c), rc = set_end == NO_LABEL ? failure(c, c->f.e) : RF_OK;
	for (size_t b = 0; b < s->nblocks && rc == RF_OK; b++)
		for (unsigned i = 0; i < s->blocks[b]->count && rc == RF_OK; i++) {
			const struct rf_rule *r = s->blocks[b]->rules[i];
			if (!r->enabled)
				continue;
			if (to->rules == RF_PACKET_RULES)
				return rf_fail_ptr(c->f.e, RF_E_TOO_LARGE, "", "at most %d rules of the phase packet can be in force", RF_PACKET_RULES);
			rc = try_rule(c, r, numbers->of(numbers->ctx, r), set_end);
			to->rules += rc == RF_OK;
			if (refusals && (rc == RF_E_UNSUPPORTED || rc == RF_E_TOO_LARGE || rc == RF_E_NOT_FOUND)) {
				refusals->told(refusals->ctx, r, c->f.e);
				c->failed = rc = RF_OK;
			}
		}
	if (rc == RF_OK)
		place(c, set_end);
	return rc;
}

static void chains_fini(struct chains *c)
{
	packet_front_fini(&c->f);
	free(c->op);
	free(c->label);
	free(c->said);
}

int rf_packet_nft(const struct rf_phase_set *set, const struct rf_lists *lists, const struct rf_packet_numbers *numbers,
	const struct rf_packet_refusals *refusals, struct rf_packet_chains *ret, struct rf_err *e)
{
	struct chains c = { .f = { .lists = lists, .e = e } };
	struct rf_packet_chains made = { 0 };
	bool room = label_new(&c) == RETURN && label_new(&c) == LEAVE;
	int rc = room ? RF_OK : failure(&c, e);
	open_chain(&c, 0, RF_NFT_FIRST_LEVEL);
	for (size_t i = 0; set && i < set->count && rc == RF_OK; i++)
		rc = ruleset(&c, set->sets[i], numbers, refusals, &made);
	if (rc == RF_OK)
		go(&c, LEAVE);
	if (rc == RF_OK)
		rc = failure(&c, e);
	if (rc == RF_OK) {
		made.ops = c.op;
		made.n = c.n;
		c.op = NULL;
		*ret = made;
	}
	chains_fini(&c);
	return rc;
}

void rf_packet_chains_fini(struct rf_packet_chains *c)
{
	free(c->ops);
	*c = (struct rf_packet_chains){ 0 };
}
