/* policy/packet_code: see packet_code.h.
 *
 *   rule: condition -> count -> answer, or the next rule          (registers: 6 the frame, 7 facts, 8 counters, 1-4 at work)
 *   condition: not, and, or, xor are jumps; a leaf is
 *     a flag of TCP       present? -> bit
 *     a number            present? -> load -> in ranges, by halving
 *     an address          family? -> load [-> mask] -> in ranges of that family
 *     only ip.proto       whatever is asked of it: asked here of all 256 protocols, which gives ranges
 *
 * Invariants: what is missing makes a comparison false, whatever it is, and `not` of it true, as in policy/eval; code goes only
 * forward.
 */
#include "policy/packet_code.h"
#include <stdio.h>
#include <stdlib.h>
#include "policy/lists.h"
#include "policy/packet_asm.h"
#include "policy/program.h"
#include "wire/packet.h"

enum { R0, R1, R2, R3, R4, FRAME = 6, FACTS = 7, COUNTS = 8, STACK = 10 };
enum { XOR_DEPTH = 32, PROTOCOLS = 256, PROTOCOL_MEMORY = 256 << 10 };
#define FACT(member) ((int16_t)offsetof(struct rf_packet_facts, member))

struct compiling {
	struct assembly a;
	const struct rf_lists *lists;
	bool any_list;           /* one that is not there is taken for empty */
	const struct rf_rule *rule;
	const struct rf_expr *x; /* its condition */
	struct asm_range *range; /* of the leaf */
	size_t ranges, range_cap;
	struct rf_facts *facts;  /* for questions about ip.proto */
	unsigned depth;          /* of the xors around */
	struct rf_err *e;
};

/* --- what is refused --- */

static const struct { enum rf_field f; const char *what; } elsewhere[] = {
	{ RF_F_SIP, "the edge looks into payloads only when it has the whole of them; name the ports: udp.dstport in {5060 5061}" },
	{ RF_F_IP_COUNTRY, "countries are not known there; write a rule of the phase connection, or a list of prefixes" },
	{ RF_F_IP_ASN, "systems are not known there; write a rule of the phase connection, or a list of prefixes" },
	{ RF_F_PACKET, "bytes are asked for by bit_slice()" }, { RF_F_PKT_TCP, "bytes are asked for by bit_slice()" },
	{ RF_F_PKT_UDP, "bytes are asked for by bit_slice()" }, { RF_F_PKT_ICMP, "bytes are asked for by bit_slice()" },
};

static void add_fields(const struct compiling *c, const struct pnode *n, uint64_t uses[])
{
	if (n->op == N_FIELD)
		uses[n->field >> 6] |= 1ull << (n->field & 63);
	for (unsigned i = 0; i < n->nkids; i++)
		add_fields(c, &c->x->node[n->kid + i], uses);
}

static int refuse(struct compiling *c, const struct pnode *n)
{
	uint64_t uses[(RF_FIELD_COUNT + 63) / 64] = { 0 };
	const char *why = "it can only be asked of a field as it is, of cidr() of an address, and of bit_slice()";
	RF_BUF_AUTO text = { 0 };
	add_fields(c, n, uses);
	for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
		if (uses[elsewhere[i].f >> 6] >> (elsewhere[i].f & 63) & 1)
			why = elsewhere[i].what;
	node_print(c->x, n, &text);
	return rf_fail(c->e, RF_E_UNSUPPORTED, "rules of the phase packet run in the kernel, which cannot answer `%.120s`: %s",
		rf_buf_z(&text), why);
}

/* --- ranges of a leaf --- */

static int add_range(struct compiling *c, const struct asm_range *r)
{
	if (c->ranges == c->range_cap) {
		size_t cap = c->range_cap ? c->range_cap * 2 : 64;
		struct asm_range *v = realloc(c->range, cap * sizeof *v);
		if (!v)
			return rf_fail(c->e, RF_E_NOMEM, "memory is exhausted");
		c->range = v;
		c->range_cap = cap;
	}
	c->range[c->ranges++] = *r;
	return RF_OK;
}

/* From lo to hi, as far as they are numbers of 32 bits. */
static int add_numbers(struct compiling *c, int64_t lo, int64_t hi)
{
	lo = lo < 0 ? 0 : lo;
	hi = hi > UINT32_MAX ? UINT32_MAX : hi;
	return lo > hi ? RF_OK : add_range(c, &(struct asm_range){ 0, (uint64_t)lo, 0, (uint64_t)hi });
}

static uint64_t be64(const uint8_t *p)
{
	uint64_t v = 0;
	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static int add_addresses(struct compiling *c, const struct set_item *item)
{
	if (item->from.family == 4)
		return add_range(c, &(struct asm_range){ 0, be64(item->from.b) >> 32, 0, be64(item->to.b) >> 32 });
	return add_range(c, &(struct asm_range){ be64(item->from.b), be64(item->from.b + 8), be64(item->to.b), be64(item->to.b + 8) });
}

/* The items of a set as ranges; of addresses those of a family. */
static int add_set(struct compiling *c, const struct set *s, uint8_t family)
{
	size_t n;
	const struct set_item *item = set_items(s, &n);
	int rc = RF_OK;
	for (size_t i = 0; i < n && rc == RF_OK; i++)
		if (!family)
			rc = add_numbers(c, item[i].lo, item[i].hi);
		else if (item[i].from.family == family)
			rc = add_addresses(c, &item[i]);
	return rc;
}

struct gathering {
	struct set_item *v;
	size_t n;
};

static void gather_prefix(void *ctx, const struct rf_prefix *p)
{
	struct gathering *g = ctx;
	prefix_range(p, &g->v[g->n].from, &g->v[g->n].to);
	g->n++;
}

static void gather_number(void *ctx, int64_t v)
{
	struct gathering *g = ctx;
	g->v[g->n].lo = g->v[g->n].hi = v;
	g->n++;
}

/* A named list as a set that the caller frees. */
static int list_set(struct compiling *c, const struct pnode *n, bool addresses, struct set **ret)
{
	const struct rf_list *l = rf_lists_at(c->lists, n->slot);
	if (!l && !c->any_list)
		return rf_fail(c->e, RF_E_NOT_FOUND, "a named list of this rule is gone");
	if (l && rf_list_kind(l) != (addresses ? RF_LIST_IP : RF_LIST_ASN))
		return refuse(c, n);
	struct gathering g = { calloc(l ? rf_list_count(l) + 1 : 1, sizeof *g.v), 0 };
	if (g.v && l)
		rf_list_each(l, gather_prefix, gather_number, &g);
	*ret = g.v ? set_make(addresses ? SET_IP : SET_INT, g.v, g.n) : NULL;
	free(g.v);
	if (!*ret)
		return rf_fail(c->e, RF_E_NOMEM, "memory is exhausted");
	if (set_count(*ret) <= RF_PACKET_LIST)
		return RF_OK;
	rf_fail(c->e, RF_E_TOO_LARGE, "a named list of a packet rule holds at most %d prefixes, and this one %zu; block many sources by access "
		"rules (`ringfence access block`)", RF_PACKET_LIST, set_count(*ret));
	set_free(*ret);
	*ret = NULL;
	return RF_E_TOO_LARGE;
}

/* What a comparison of a number asks for, but for `ne`, which is `eq` turned round. */
static int compared_range(struct compiling *c, const struct pnode *n)
{
	int64_t v = n->lit.i;
	switch (n->sub) {
	case CMP_LT:
		return v == INT64_MIN ? RF_OK : add_numbers(c, 0, v - 1);
	case CMP_LE:
		return add_numbers(c, 0, v);
	case CMP_GT:
		return v == INT64_MAX ? RF_OK : add_numbers(c, v + 1, INT64_MAX);
	case CMP_GE:
		return add_numbers(c, v, INT64_MAX);
	default:
		return add_numbers(c, v, v);
	}
}

static int ranges_of(struct compiling *c, const struct pnode *n, const struct set *list, uint8_t family)
{
	c->ranges = 0;
	if (n->op == N_LIST)
		return add_set(c, list, family);
	if (n->op == N_IN)
		return add_set(c, n->set, family);
	if (!family)
		return compared_range(c, n);
	return n->lit.ip.family == family ? add_addresses(c, &(struct set_item){ .from = n->lit.ip, .to = n->lit.ip }) : RF_OK;
}

static struct asm_ways turned(const struct pnode *n, const struct asm_ways *w)
{
	bool ne = n->op == N_CMP && n->sub == CMP_NE;
	return ne ? (struct asm_ways){ w->no, w->yes, w->next } : *w;
}

/* --- loads --- */

/* To `missing` where the frame has none of these. Writes register 1. */
static void need(struct compiling *c, uint32_t bits, uint32_t missing)
{
	asm_load(&c->a, BPF_W, R1, FACTS, FACT(has));
	asm_put(&c->a, BPF_ALU | BPF_AND | BPF_K, R1, 0, 0, (int32_t)bits);
	asm_if(&c->a, BPF_JEQ, R1, 0, missing);
}

static const struct { enum rf_field f; uint32_t has; int16_t at; } numbers[] = {
	{ RF_F_IP_PROTO_NUM, 0, FACT(proto) }, { RF_F_IP_LEN, 0, FACT(len) }, { RF_F_IP_HDR_LEN, 0, FACT(hdr_len) },
	{ RF_F_IP_TTL, 0, FACT(ttl) }, { RF_F_IP_OPT, RF_HAS_OPTION, FACT(option) },
	{ RF_F_TCP_SRCPORT, RF_HAS_TCP, FACT(sport) }, { RF_F_TCP_DSTPORT, RF_HAS_TCP, FACT(dport) },
	{ RF_F_TCP_FLAGS, RF_HAS_TCP, FACT(tcp_flags) }, { RF_F_UDP_SRCPORT, RF_HAS_UDP, FACT(sport) },
	{ RF_F_UDP_DSTPORT, RF_HAS_UDP, FACT(dport) }, { RF_F_ICMP_TYPE, RF_HAS_ICMP, FACT(icmp_type) },
	{ RF_F_ICMP_CODE, RF_HAS_ICMP, FACT(icmp_code) },
};

static const struct { enum rf_field f; uint32_t has; int16_t at, n; } raws[] = {
	{ RF_F_PACKET, 0, FACT(ip_at), FACT(len) }, { RF_F_PKT_TCP, RF_HAS_TCP, FACT(l4_at), FACT(l4_len) },
	{ RF_F_PKT_UDP, RF_HAS_UDP, FACT(l4_at), FACT(l4_len) }, { RF_F_PKT_ICMP, RF_HAS_ICMP, FACT(l4_at), FACT(l4_len) },
};

static const struct { enum rf_field f; uint32_t bit; } flags[] = { /* [RFC 9293 3.1] */
	{ RF_F_TCP_FIN, 1 }, { RF_F_TCP_SYN, 2 }, { RF_F_TCP_RESET, 4 }, { RF_F_TCP_PUSH, 8 }, { RF_F_TCP_ACK, 16 },
	{ RF_F_TCP_URG, 32 }, { RF_F_TCP_ECN, 64 }, { RF_F_TCP_CWR, 128 },
};

/* The index of a field in one of the tables above; its length: it is not there. */
#define FIND(table, field) find_in(&(table)[0].f, sizeof *(table), sizeof(table) / sizeof *(table), field)
static size_t find_in(const enum rf_field *first, size_t size, size_t count, uint16_t field)
{
	size_t i = 0;
	while (i < count && *(const enum rf_field *)((const char *)first + i * size) != (enum rf_field)field)
		i++;
	return i;
}
#define COUNT(table) (sizeof(table) / sizeof *(table))

/* Bits [from, to) of what begins at a place: at most five bytes, to the stack and from there. */
static void load_bits(struct compiling *c, size_t raw, unsigned from, unsigned to, uint32_t missing)
{
	enum { ROOM = -16 };
	unsigned bytes = (to + 7) / 8 - from / 8, width = to - from;
	if (raws[raw].has)
		need(c, raws[raw].has, missing);
	asm_load(&c->a, BPF_W, R1, FACTS, raws[raw].n);
	asm_if(&c->a, BPF_JLT, R1, (to + 7) / 8, missing);
	asm_load(&c->a, BPF_W, R2, FACTS, raws[raw].at);
	asm_put(&c->a, BPF_ALU64 | BPF_ADD | BPF_K, R2, 0, 0, (int32_t)(from / 8));
	asm_put(&c->a, BPF_ST | BPF_MEM | BPF_DW, STACK, 0, ROOM, 0);
	asm_put(&c->a, BPF_ALU64 | BPF_MOV | BPF_X, R1, FRAME, 0, 0);
	asm_put(&c->a, BPF_ALU64 | BPF_MOV | BPF_X, R3, STACK, 0, 0);
	asm_put(&c->a, BPF_ALU64 | BPF_ADD | BPF_K, R3, 0, 0, ROOM);
	asm_put(&c->a, BPF_ALU64 | BPF_MOV | BPF_K, R4, 0, 0, (int32_t)bytes);
	asm_call(&c->a, BPF_FUNC_xdp_load_bytes);
	asm_if(&c->a, BPF_JNE, R0, 0, missing);
	asm_load(&c->a, BPF_DW, R1, STACK, ROOM);
	asm_put(&c->a, BPF_ALU | BPF_END | BPF_TO_BE, R1, 0, 0, 64);
	asm_put(&c->a, BPF_ALU64 | BPF_RSH | BPF_K, R1, 0, 0, (int32_t)(64 - 8 * bytes + (8 - to % 8) % 8));
	asm_put(&c->a, BPF_ALU | BPF_AND | BPF_K, R1, 0, 0, (int32_t)(uint32_t)((1ull << width) - 1));
}

/* Can it be a number? Loads it into register 1. */
static bool load_number(struct compiling *c, const struct pnode *v, uint32_t missing)
{
	const struct pnode *arg = &c->x->node[v->kid];
	size_t i = v->op == N_FIELD ? FIND(numbers, v->field) : COUNT(numbers);
	if (i < COUNT(numbers)) {
		if (numbers[i].has)
			need(c, numbers[i].has, missing);
		asm_load(&c->a, BPF_W, R1, FACTS, numbers[i].at);
		return true;
	}
	if (v->op != N_CALL || v->sub != FN_BIT_SLICE || arg[0].op != N_FIELD || (i = FIND(raws, arg[0].field)) == COUNT(raws))
		return false;
	load_bits(c, i, (unsigned)arg[1].lit.i, (unsigned)arg[2].lit.i, missing);
	return true;
}

struct address {
	int16_t hi, lo;
	uint32_t four;         /* the bit that says it is one of IPv4 */
	unsigned bits4, bits6; /* of which so many count */
};

static bool address_of(const struct compiling *c, const struct pnode *v, struct address *ret)
{
	const struct pnode *arg = &c->x->node[v->kid];
	bool cidr = v->op == N_CALL && (v->sub == FN_CIDR || v->sub == FN_CIDR6), six = cidr && v->sub == FN_CIDR6;
	const struct pnode *f = cidr ? arg : v;
	if (f->op != N_FIELD || (f->field != RF_F_IP_SRC && f->field != RF_F_IP_DST))
		return false;
	bool src = f->field == RF_F_IP_SRC;
	*ret = (struct address){ src ? FACT(src_hi) : FACT(dst_hi), src ? FACT(src_lo) : FACT(dst_lo), src ? RF_HAS_SRC4 : RF_HAS_DST4, 32, 128 };
	if (cidr) {
		ret->bits4 = six ? 32 : (unsigned)arg[1].lit.i;
		ret->bits6 = (unsigned)arg[six ? 1 : 2].lit.i;
	}
	return true;
}

/* Keep the first `bits` of 64. */
static void keep_bits(struct compiling *c, uint8_t reg, unsigned bits)
{
	if (bits >= 64)
		return;
	asm_const(&c->a, R3, bits ? ~0ull << (64 - bits) : 0);
	asm_put(&c->a, BPF_ALU64 | BPF_AND | BPF_X, reg, R3, 0, 0);
}

/* --- leaves --- */

static int number(struct compiling *c, const struct pnode *n, const struct asm_ways *w, bool *ret_is)
{
	struct set *list = NULL;
	*ret_is = load_number(c, &c->x->node[n->kid], w->no);
	if (!*ret_is || (n->op != N_CMP && n->op != N_IN && n->op != N_LIST))
		return RF_OK;
	int rc = n->op == N_LIST ? list_set(c, n, false, &list) : RF_OK;
	if (rc == RF_OK)
		rc = ranges_of(c, n, list, 0);
	struct asm_ways to = turned(n, w);
	if (rc == RF_OK)
		asm_in32(&c->a, R1, c->range, c->ranges, &to);
	set_free(list);
	return rc;
}

static int address_in(struct compiling *c, const struct pnode *n, const struct address *at, const struct set *list,
	const struct asm_ways *w)
{
	uint32_t four = asm_label(&c->a);
	struct asm_ways six = { w->yes, w->no, four };
	asm_load(&c->a, BPF_W, R1, FACTS, FACT(has));
	asm_if(&c->a, BPF_JSET, R1, at->four, four);
	int rc = ranges_of(c, n, list, 6);
	if (rc == RF_OK && c->ranges) {
		asm_load(&c->a, BPF_DW, R1, FACTS, at->hi);
		asm_load(&c->a, BPF_DW, R2, FACTS, at->lo);
		keep_bits(c, R1, at->bits6);
		keep_bits(c, R2, at->bits6 > 64 ? at->bits6 - 64 : 0);
	}
	asm_in128(&c->a, R1, R2, R3, c->range, c->ranges, &six);
	asm_place(&c->a, four);
	if (rc == RF_OK)
		rc = ranges_of(c, n, list, 4);
	if (c->ranges)
		asm_load(&c->a, BPF_DW, R1, FACTS, at->lo);
	if (c->ranges && at->bits4 < 32)
		asm_put(&c->a, BPF_ALU | BPF_AND | BPF_K, R1, 0, 0, (int32_t)(at->bits4 ? ~0u << (32 - at->bits4) : 0));
	asm_in32(&c->a, R1, c->range, c->ranges, w);
	return rc;
}

static int address(struct compiling *c, const struct pnode *n, const struct asm_ways *w, bool *ret_is)
{
	struct address at;
	struct set *list = NULL;
	*ret_is = (n->op == N_CMP || n->op == N_IN || n->op == N_LIST) && address_of(c, &c->x->node[n->kid], &at);
	if (!*ret_is)
		return RF_OK;
	int rc = n->op == N_LIST ? list_set(c, n, true, &list) : RF_OK;
	struct asm_ways to = turned(n, w);
	if (rc == RF_OK)
		rc = address_in(c, n, &at, list, &to);
	set_free(list);
	return rc;
}

/* A flag of TCP, alone or compared with true or false. */
static bool flag(struct compiling *c, const struct pnode *n, const struct asm_ways *w)
{
	const struct pnode *f = n->op == N_CMP ? &c->x->node[n->kid] : n;
	size_t i = f->op == N_FIELD ? FIND(flags, f->field) : COUNT(flags);
	if (i == COUNT(flags))
		return false;
	bool set = n->op != N_CMP || n->lit.b == (n->sub == CMP_EQ);
	need(c, RF_HAS_TCP, w->no);
	asm_load(&c->a, BPF_W, R1, FACTS, FACT(tcp_flags));
	asm_put(&c->a, BPF_ALU | BPF_AND | BPF_K, R1, 0, 0, (int32_t)flags[i].bit);
	asm_test(&c->a, set ? BPF_JNE : BPF_JEQ, R1, 0, w);
	return true;
}

static bool protocol_fact(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_val *ret)
{
	const uint8_t *proto = ctx;
	(void)arena;
	*ret = rf_val_str(rf_str_z(rf_packet_proto_name(*proto)));
	return f == RF_F_IP_PROTO;
}

static bool of_protocol_only(const struct compiling *c, const struct pnode *n)
{
	uint64_t uses[(RF_FIELD_COUNT + 63) / 64] = { 0 };
	add_fields(c, n, uses);
	uses[RF_F_IP_PROTO >> 6] &= ~(1ull << (RF_F_IP_PROTO & 63));
	uint64_t others = 0;
	for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
		others |= uses[i];
	return !others;
}

static int by_protocol(struct compiling *c, const struct pnode *n, const struct asm_ways *w)
{
	static const struct rf_facts_ops ops = { .get = protocol_fact };
	struct rf_arena arena;
	int rc = RF_OK;
	if (!c->facts && !(c->facts = malloc(sizeof *c->facts)))
		return rf_fail(c->e, RF_E_NOMEM, "memory is exhausted");
	rf_arena_init(&arena, PROTOCOL_MEMORY);
	c->ranges = 0;
	for (int i = 0; i < PROTOCOLS && rc == RF_OK; i++) {
		uint8_t proto = (uint8_t)i;
		bool holds = false;
		rf_facts_init(c->facts, &ops, &proto, &arena, c->lists, 0);
		if (node_test(c->x, n, c->facts, &holds) != RF_OK)
			rc = refuse(c, n);
		else if (holds && c->ranges && c->range[c->ranges - 1].to + 1 == (uint64_t)i)
			c->range[c->ranges - 1].to++;
		else if (holds)
			rc = add_numbers(c, i, i);
		rf_arena_reset(&arena);
	}
	rf_arena_fini(&arena);
	asm_load(&c->a, BPF_W, R1, FACTS, FACT(proto));
	asm_in32(&c->a, R1, c->range, c->ranges, w);
	return rc;
}

static int leaf(struct compiling *c, const struct pnode *n, const struct asm_ways *w)
{
	bool is = false;
	if (of_protocol_only(c, n))
		return by_protocol(c, n, w);
	if (flag(c, n, w))
		return RF_OK;
	int rc = n->nkids ? address(c, n, w, &is) : RF_OK;
	if (rc == RF_OK && !is && (n->op == N_CMP || n->op == N_IN || n->op == N_LIST))
		rc = number(c, n, w, &is);
	return rc == RF_OK && !is ? refuse(c, n) : rc;
}

/* --- connectives --- */

static int condition(struct compiling *c, const struct pnode *n, const struct asm_ways *w);

/* Terms of `and` (all must hold) or `or`, each but the last with the next one behind it. */
static int terms(struct compiling *c, const struct pnode *n, const struct asm_ways *w)
{
	int rc = RF_OK;
	for (unsigned i = 0; i < n->nkids && rc == RF_OK; i++) {
		const struct pnode *kid = &c->x->node[n->kid + i];
		if (i + 1 == n->nkids)
			return condition(c, kid, w);
		uint32_t next = asm_label(&c->a);
		rc = condition(c, kid, n->op == N_AND ? &(struct asm_ways){ next, w->no, next } : &(struct asm_ways){ w->yes, next, next });
		asm_place(&c->a, next);
	}
	return rc;
}

/* Change the bit of this xor by OP with an operand. */
static void parity(struct compiling *c, uint8_t op, uint32_t v)
{
	asm_load(&c->a, BPF_W, R1, FACTS, FACT(parity));
	asm_put(&c->a, (uint8_t)(BPF_ALU | BPF_K | op), R1, 0, 0, (int32_t)v);
	asm_store(&c->a, BPF_W, FACTS, R1, FACT(parity));
}

static int odd(struct compiling *c, const struct pnode *n, const struct asm_ways *w)
{
	int rc = RF_OK;
	if (c->depth == XOR_DEPTH)
		return rf_fail(c->e, RF_E_UNSUPPORTED, "a packet rule takes at most %d xors within each other", XOR_DEPTH);
	uint32_t bit = 1u << c->depth++;
	parity(c, BPF_AND, ~bit);
	for (unsigned i = 0; i < n->nkids && rc == RF_OK; i++) {
		uint32_t holds = asm_label(&c->a), next = asm_label(&c->a);
		rc = condition(c, &c->x->node[n->kid + i], &(struct asm_ways){ holds, next, holds });
		asm_place(&c->a, holds);
		parity(c, BPF_XOR, bit);
		asm_place(&c->a, next);
	}
	c->depth--;
	asm_load(&c->a, BPF_W, R1, FACTS, FACT(parity));
	asm_put(&c->a, BPF_ALU | BPF_AND | BPF_K, R1, 0, 0, (int32_t)bit);
	asm_test(&c->a, BPF_JNE, R1, 0, w);
	return rc;
}

static int condition(struct compiling *c, const struct pnode *n, const struct asm_ways *w)
{
	switch (n->op) {
	case N_CONST:
		asm_go(&c->a, n->lit.b ? w->yes : w->no, w);
		return RF_OK;
	case N_NOT:
		return condition(c, &c->x->node[n->kid], &(struct asm_ways){ w->no, w->yes, w->next });
	case N_AND: case N_OR:
		return terms(c, n, w);
	case N_XOR:
		return odd(c, n, w);
	default:
		return leaf(c, n, w);
	}
}

/* --- rules --- */

static void answer(struct compiling *c, int16_t at, uint32_t v)
{
	asm_put(&c->a, BPF_ST | BPF_MEM | BPF_W, FACTS, 0, at, (int32_t)v);
}

/* One more frame, and its bytes. */
static void count(struct compiling *c, unsigned number)
{
	int16_t at = (int16_t)(number * sizeof ((struct rf_rule_counts *)0)->v[0]);
	asm_load(&c->a, BPF_DW, R1, COUNTS, at);
	asm_put(&c->a, BPF_ALU64 | BPF_ADD | BPF_K, R1, 0, 0, 1);
	asm_store(&c->a, BPF_DW, COUNTS, R1, at);
	asm_load(&c->a, BPF_DW, R1, COUNTS, (int16_t)(at + 8));
	asm_load(&c->a, BPF_W, R2, FACTS, FACT(size));
	asm_put(&c->a, BPF_ALU64 | BPF_ADD | BPF_X, R1, R2, 0, 0);
	asm_store(&c->a, BPF_DW, COUNTS, R1, (int16_t)(at + 8));
}

static bool ends_phase(const struct rf_rule *r)
{
	return r->skip->phases >> RF_PHASE_PACKET & 1;
}

static int refuse_action(const struct rf_rule *r, struct rf_err *e)
{
	if (r->response)
		return rf_fail_ptr(e, RF_E_UNSUPPORTED, "/action_parameters/response", "a packet that is blocked gets no answer");
	if (r->skip && (r->skip->nrulesets || r->skip->nrules || (!r->skip->current && !ends_phase(r))))
		return rf_fail_ptr(e, RF_E_UNSUPPORTED, "/action_parameters", "a rule of the phase packet skips the rest of its ruleset "
			"(\"ruleset\": \"current\") or the phase (\"phases\": [\"packet\"]), nothing else");
	return RF_OK;
}

/* What follows where the condition holds; falls through to the next rule where it goes on. */
static void act(struct compiling *c, unsigned number, uint32_t set_end, uint32_t end)
{
	const struct rf_rule *r = c->rule;
	bool last = r->action == RF_ACT_BLOCK || r->action == RF_ACT_ALLOW;
	uint32_t unwanted = asm_label(&c->a);
	count(c, number);
	asm_load(&c->a, BPF_W, R1, FACTS, FACT(want));
	asm_if(&c->a, BPF_JNE, R1, number + 1, unwanted);
	answer(c, FACT(wanted), 1);
	asm_place(&c->a, unwanted);
	if (last || r->logging || r->action == RF_ACT_LOG) {
		answer(c, FACT(rule), number + 1);
		answer(c, FACT(log), r->logging || r->action == RF_ACT_LOG);
	}
	if (last)
		answer(c, FACT(verdict), r->action == RF_ACT_BLOCK ? RF_RULES_BLOCK : RF_RULES_ALLOW);
	if (last || (r->action == RF_ACT_SKIP && ends_phase(r)))
		asm_jump(&c->a, end);
	else if (r->action == RF_ACT_SKIP)
		asm_jump(&c->a, set_end);
}

static int rule(struct compiling *c, const struct rf_rule *r, unsigned number, uint32_t set_end, uint32_t end)
{
	uint32_t hit = asm_label(&c->a), next = asm_label(&c->a);
	c->rule = r;
	c->x = r->cond;
	int rc = refuse_action(r, c->e);
	if (rc == RF_OK && (rc = condition(c, &c->x->node[0], &(struct asm_ways){ hit, next, hit })) != RF_OK)
		snprintf(c->e->pointer, sizeof c->e->pointer, "/expression");
	if (rc == RF_OK) {
		asm_place(&c->a, hit);
		act(c, number, set_end, end);
		asm_place(&c->a, next);
	}
	if (rc == RF_OK && c->a.failed)
		rc = c->a.failed == RF_E_NOMEM ? rf_fail(c->e, RF_E_NOMEM, "memory is exhausted") :
			rf_fail_ptr(c->e, RF_E_TOO_LARGE, "/expression", "the rules of the phase packet make more than %d instructions", ASM_INSNS);
	return rc;
}

/* The element of a map whose key is at the top of the stack, into `to`; where there is none, the frame is dropped. */
static void look_up(struct compiling *c, uint32_t map, uint8_t to, uint32_t fail)
{
	uint32_t there = asm_label(&c->a);
	asm_map(&c->a, R1, map);
	asm_put(&c->a, BPF_ALU64 | BPF_MOV | BPF_X, R2, STACK, 0, 0);
	asm_put(&c->a, BPF_ALU64 | BPF_ADD | BPF_K, R2, 0, 0, -4);
	asm_call(&c->a, BPF_FUNC_map_lookup_elem);
	asm_if_any(&c->a, R0, there);
	asm_jump(&c->a, fail);
	asm_place(&c->a, there);
	asm_put(&c->a, BPF_ALU64 | BPF_MOV | BPF_X, to, R0, 0, 0);
}

static void begin(struct compiling *c, uint32_t fail)
{
	asm_put(&c->a, BPF_ALU64 | BPF_MOV | BPF_X, FRAME, R1, 0, 0);
	asm_put(&c->a, BPF_ST | BPF_MEM | BPF_W, STACK, 0, -4, 0);
	look_up(c, RF_RULES_FACTS, FACTS, fail);
	asm_load(&c->a, BPF_W, R1, FACTS, FACT(cpu));
	asm_store(&c->a, BPF_W, STACK, R1, -4);
	look_up(c, RF_RULES_COUNTS, COUNTS, fail);
}

static void finish(struct compiling *c, uint32_t end, uint32_t fail)
{
	enum { DROP = 1 }; /* XDP_DROP */
	asm_place(&c->a, end);
	asm_put(&c->a, BPF_ALU64 | BPF_MOV | BPF_X, R1, FRAME, 0, 0);
	asm_map(&c->a, R2, RF_RULES_PROGRAMS);
	asm_put(&c->a, BPF_ALU64 | BPF_MOV | BPF_K, R3, 0, 0, RF_PROGRAM_AFTER);
	asm_call(&c->a, BPF_FUNC_tail_call);
	asm_place(&c->a, fail);
	asm_put(&c->a, BPF_ALU64 | BPF_MOV | BPF_K, R0, 0, 0, DROP);
	asm_exit(&c->a);
}

static void compiling_fini(struct compiling *c)
{
	asm_fini(&c->a);
	free(c->range);
	free(c->facts);
}

static int add_part(struct compiling *c, struct rf_packet_code *to, const struct rf_rule *r)
{
	if (to->part_count == RF_PACKET_RULES)
		return rf_fail_ptr(c->e, RF_E_TOO_LARGE, "", "at most %d rules of the phase packet can be in force", RF_PACKET_RULES);
	to->parts[to->part_count++] = (struct rf_packet_part){ (uint32_t)c->a.n, r };
	return RF_OK;
}

static int ruleset(struct compiling *c, const struct rf_ruleset *s, const struct rf_packet_numbers *numbers_of, uint32_t end,
	struct rf_packet_code *to)
{
	uint32_t set_end = asm_label(&c->a);
	int rc = RF_OK;
	for (size_t b = 0; b < s->nblocks && rc == RF_OK; b++)
		for (unsigned i = 0; i < s->blocks[b]->count && rc == RF_OK; i++) {
			const struct rf_rule *r = s->blocks[b]->rules[i];
			if (!r->enabled)
				continue;
			rc = rule(c, r, numbers_of->of(numbers_of->ctx, r), set_end, end);
			if (rc == RF_OK)
				rc = add_part(c, to, r);
			if (rc != RF_OK) {
				char below[sizeof c->e->pointer];
				memcpy(below, c->e->pointer, sizeof below);
				snprintf(c->e->pointer, sizeof c->e->pointer, "/rules/%.*s%.60s", r->id.n < 60 ? (int)r->id.n : 60, r->id.p, below);
			}
		}
	asm_place(&c->a, set_end);
	return rc;
}

int rf_packet_compile(const struct rf_phase_set *set, const struct rf_lists *lists, const struct rf_packet_numbers *numbers_of,
	struct rf_packet_code *ret, struct rf_err *e)
{
	struct compiling c = { .lists = lists, .e = e };
	struct rf_packet_code made = { .parts = calloc(RF_PACKET_RULES, sizeof *made.parts) };
	uint32_t end = asm_label(&c.a), fail = asm_label(&c.a);
	int rc = made.parts ? RF_OK : rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	begin(&c, fail);
	for (size_t i = 0; set && i < set->count && rc == RF_OK; i++)
		rc = ruleset(&c, set->sets[i], numbers_of, end, &made);
	finish(&c, end, fail);
	if (rc == RF_OK && c.a.failed)
		rc = rf_fail(e, c.a.failed, "the rules of the phase packet make more than %d instructions", ASM_INSNS);
	if (rc == RF_OK) {
		made.insns = c.a.v;
		made.n = c.a.n;
		c.a.v = NULL;
		*ret = made;
	} else
		free(made.parts);
	compiling_fini(&c);
	return rc;
}

void rf_packet_code_fini(struct rf_packet_code *c)
{
	free(c->insns);
	free(c->parts);
	*c = (struct rf_packet_code){ 0 };
}

const struct rf_rule *rf_packet_code_rule(const struct rf_packet_code *c, uint32_t at)
{
	for (size_t i = 0; i < c->part_count; i++)
		if (at < c->parts[i].end)
			return c->parts[i].rule;
	return NULL;
}

int rf_packet_check(const struct rf_rule *r, const struct rf_lists *lists, struct rf_err *e)
{
	struct compiling c = { .lists = lists, .any_list = true, .e = e };
	uint32_t end = asm_label(&c.a);
	int rc = rule(&c, r, 0, end, end);
	compiling_fini(&c);
	return rc;
}

static bool asks_lists(const struct rf_rule *r)
{
	for (uint32_t n = 0; n < r->cond->count && r->enabled; n++)
		if (r->cond->node[n].op == N_LIST)
			return true;
	return false;
}

bool rf_packet_asks_lists(const struct rf_phase_set *set)
{
	for (size_t i = 0; set && i < set->count; i++)
		for (size_t b = 0; b < set->sets[i]->nblocks; b++)
			for (unsigned k = 0; k < set->sets[i]->blocks[b]->count; k++)
				if (asks_lists(set->sets[i]->blocks[b]->rules[k]))
					return true;
	return false;
}
