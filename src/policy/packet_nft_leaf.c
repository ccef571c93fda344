/* policy/packet_nft_leaf: see packet_nft_leaf.h.
 *
 *   node -> what it asks, as ranges (packet_front) -> the places of a frame where that lies -> alternatives of matches
 *
 * Bytes are asked for only where the frame has them: a match before says so, or the kernel does as it fetches them.
 */
#include "policy/packet_nft_leaf.h"
#include <stdlib.h>
#include "base/room.h"
#include "bpf/nft.h"

enum { TCP = 6, UDP = 17, ICMP = 1, ICMP6 = 58 };

/* --- matches --- */

static struct packet_match *add_match(struct packet_alternative *a, uint8_t field)
{
	struct packet_match *m = &a->m[a->n++];
	*m = (struct packet_match){ .field = field };
	return m;
}

static void say(struct packet_leaves *c, struct packet_match *m, const struct packet_range *r)
{
	if (!RF_ROOM(c->said, c->said_cap, c->said_n)) {
		c->no_room = true;
		return;
	}
	if (!m->ranges)
		m->range = c->said_n;
	m->ranges++;
	c->said[c->said_n++] = *r;
}

static void say_number(struct packet_leaves *c, struct packet_match *m, uint64_t from, uint64_t to)
{
	say(c, m, &(struct packet_range){ 0, from, 0, to });
}

static void match_number(struct packet_leaves *c, struct packet_alternative *a, uint8_t field, uint64_t from, uint64_t to)
{
	say_number(c, add_match(a, field), from, to);
}

/* The ranges of the leaf as far as a field of so many values has them, moved down. False: there are none. */
static bool match_ranges(struct packet_leaves *c, struct packet_alternative *a, uint8_t field, uint64_t most, uint64_t down)
{
	struct packet_match *m = add_match(a, field);
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
static unsigned widen(struct packet_match *m)
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
static struct packet_match *match_bits(struct packet_leaves *c, struct packet_alternative *a, uint8_t field, unsigned from, unsigned to, unsigned *ret_shift)
{
	enum { LEAST = 3 };
	bool first_four = field == RF_NFT_TRANSPORT && from < 8 && to > 24;
	if (first_four) { /* there may be no more than these: asked for by a match of its own */
		struct packet_match *there = add_match(a, field);
		there->bytes = LEAST;
		there->bits = (1ull << 8 * LEAST) - 1;
		say_number(c, there, 0, there->bits);
	}
	struct packet_match *m = add_match(a, field);
	m->at = from / 8;
	m->bytes = (uint8_t)((to + 7) / 8 - from / 8);
	*ret_shift = (8 - to % 8) % 8 + (field == RF_NFT_TRANSPORT && !first_four ? 8 * widen(m) : 0);
	m->bits = ((1ull << (to - from)) - 1) << *ret_shift;
	return m;
}

static bool match_bit_ranges(struct packet_leaves *c, struct packet_alternative *a, uint8_t field, unsigned from, unsigned to)
{
	unsigned shift;
	struct packet_match *m = match_bits(c, a, field, from, to, &shift);
	uint64_t most = (1ull << (to - from)) - 1;
	for (size_t i = 0; i < c->f.ranges; i++) {
		uint64_t end = c->f.range[i].to < most ? c->f.range[i].to : most;
		if (c->f.range[i].from <= most)
			say_number(c, m, c->f.range[i].from << shift, end << shift);
	}
	return m->ranges;
}

static struct packet_alternative *another(struct packet_choice *o, uint8_t family)
{
	struct packet_alternative *a = &o->v[o->n++];
	*a = (struct packet_alternative){ .family = family };
	return a;
}

/* --- leaves --- */

/* All numbers of 32 bits but those. */
static int turn(struct packet_leaves *c)
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

static int number_ranges(struct packet_leaves *c, const struct packet_leaf *l)
{
	int rc = packet_leaf_ranges(&c->f, l, 0);
	return rc == RF_OK && l->turned ? turn(c) : rc;
}

static void keep_if(struct packet_choice *o, bool is) { o->n -= !is; }

static void of_protocol(struct packet_leaves *c, struct packet_alternative *a, enum rf_field field)
{
	struct packet_match *m = add_match(a, RF_NFT_PROTO);
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

static int number(struct packet_leaves *c, const struct packet_leaf *l, struct packet_choice *o)
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
		struct packet_alternative *a = another(o, 4);
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
			struct packet_alternative *a = another(o, 0);
			of_protocol(c, a, l->field);
			keep_if(o, match_bit_ranges(c, a, RF_NFT_TRANSPORT, transport[i].from, transport[i].to));
		}
	return rc;
}

/* Bytes behind the transport's header, which is known to be there, must be of the packet: its length says so, less its header, of each
 * length that IPv4 can have; of IPv6 without extension headers, and with them as far as the frame goes. */
static void deep(struct packet_leaves *c, const struct packet_leaf *l, unsigned bytes, struct packet_choice *o)
{
	uint8_t protos[] = { l->field == RF_F_PKT_TCP ? TCP : l->field == RF_F_PKT_UDP ? UDP : ICMP, ICMP6 };
	for (unsigned words = 5; words <= 15; words++) {
		struct packet_alternative *a = another(o, 4);
		match_number(c, a, RF_NFT_IHL4, words, words);
		match_number(c, a, RF_NFT_LEN4, 4 * words + bytes, 65535);
		of_protocol(c, a, l->field);
		keep_if(o, match_bit_ranges(c, a, RF_NFT_TRANSPORT, l->from, l->to));
	}
	for (int chain = 0; chain < 2; chain++) {
		struct packet_alternative *a = another(o, 6);
		struct packet_match *m = add_match(a, RF_NFT_NEXT6);
		static const uint8_t extensions[] = { 0, 43, 44, 60 };
		for (size_t i = 0; i < (chain ? sizeof extensions : l->field == RF_F_PKT_ICMP ? 2u : 1u); i++)
			say_number(c, m, chain ? extensions[i] : protos[i], chain ? extensions[i] : protos[i]);
		match_number(c, a, RF_NFT_LEN6, bytes, 65535);
		of_protocol(c, a, l->field);
		keep_if(o, match_bit_ranges(c, a, RF_NFT_TRANSPORT, l->from, l->to));
	}
}

static int bits(struct packet_leaves *c, const struct packet_leaf *l, struct packet_choice *o)
{
	unsigned bytes = (l->to + 7) / 8, least = l->field == RF_F_PKT_TCP ? 20 : l->field == RF_F_PKT_UDP ? 8 : 4;
	int rc = number_ranges(c, l);
	if (l->to / 8 + RF_NFT_BITS_BYTES > RF_NFT_BITS_AT)
		return packet_refuse(&c->f, l->n, "nft here", "it asks no further than 4,000 bytes into a packet");
	if (l->field == RF_F_PACKET) {
		for (uint8_t family = 4; family <= 6; family += 2) {
			struct packet_alternative *a = another(o, family);
			if (bytes > (family == 4 ? 20 : 40))
				match_number(c, a, family == 4 ? RF_NFT_LEN4 : RF_NFT_LEN6, family == 4 ? bytes : bytes - 40, 65535);
			else
				match_number(c, a, RF_NFT_FAMILY, family, family);
			keep_if(o, match_bit_ranges(c, a, RF_NFT_NETWORK, l->from, l->to));
		}
	} else if (bytes <= least) {
		struct packet_alternative *a = another(o, 0);
		of_protocol(c, a, l->field);
		keep_if(o, match_bit_ranges(c, a, RF_NFT_TRANSPORT, l->from, l->to));
	} else
		deep(c, l, bytes, o);
	return rc;
}

static void flag(struct packet_leaves *c, const struct packet_leaf *l, struct packet_choice *o)
{
	enum { FLAGS_AT = 13 };
	struct packet_alternative *a = another(o, 0);
	unsigned shift;
	of_protocol(c, a, RF_F_TCP_FLAGS);
	struct packet_match *m = match_bits(c, a, RF_NFT_TRANSPORT, 8 * FLAGS_AT, 8 * FLAGS_AT + 8, &shift);
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
static void say_six(struct packet_leaves *c, struct packet_match *m, const struct packet_range *r)
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

static int address(struct packet_leaves *c, const struct packet_leaf *l, struct packet_choice *o)
{
	bool src = l->field == RF_F_IP_SRC;
	struct packet_alternative four = { .family = 4 }, six = { .family = 6 };
	struct packet_match *m4 = add_match(&four, src ? RF_NFT_SRC4 : RF_NFT_DST4), *m6 = add_match(&six, src ? RF_NFT_SRC6 : RF_NFT_DST6);
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

int packet_choose(struct packet_leaves *c, const struct pnode *n, struct packet_choice *o, bool *ret_turned)
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
	return rc == RF_OK && c->no_room ? rf_fail(c->f.e, RF_E_NOMEM, "memory is exhausted") : rc;
}

void packet_leaves_fini(struct packet_leaves *c)
{
	packet_front_fini(&c->f);
	free(c->said);
}
