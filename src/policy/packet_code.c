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
#include "policy/packet_asm.h"
#include "policy/packet_front.h"

enum { R0, R1, R2, R3, R4, FRAME = 6, FACTS = 7, COUNTS = 8, STACK = 10 };
enum { XOR_DEPTH = 32 };
#define FACT(member) ((int16_t)offsetof(struct rf_packet_facts, member))

struct compiling {
	struct assembly a;
	struct packet_front f;
	const struct rf_rule *rule;
	unsigned depth;          /* of the xors around */
};

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

/* The index of a field in one of the tables above; its length: it is not there. */
#define FIND(table, field) find_in(&(table)[0].f, sizeof *(table), sizeof(table) / sizeof *(table), field)
static size_t find_in(const enum rf_field *first, size_t size, size_t count, uint16_t field)
{
	size_t i = 0;
	while (i < count && *(const enum rf_field *)((const char *)first + i * size) != (enum rf_field)field)
		i++;
	return i;
}

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

/* Load it into register 1. */
static void load_number(struct compiling *c, const struct packet_leaf *l, uint32_t missing)
{
	if (l->kind == LEAF_BITS) {
		load_bits(c, FIND(raws, l->field), l->from, l->to, missing);
		return;
	}
	size_t i = FIND(numbers, l->field);
	if (numbers[i].has)
		need(c, numbers[i].has, missing);
	asm_load(&c->a, BPF_W, R1, FACTS, numbers[i].at);
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

static struct asm_ways turned(const struct packet_leaf *l, const struct asm_ways *w)
{
	return l->turned ? (struct asm_ways){ w->no, w->yes, w->next } : *w;
}

static int number(struct compiling *c, const struct packet_leaf *l, const struct asm_ways *w)
{
	load_number(c, l, w->no);
	int rc = packet_leaf_ranges(&c->f, l, 0);
	struct asm_ways to = turned(l, w);
	if (rc == RF_OK)
		asm_in32(&c->a, R1, c->f.range, c->f.ranges, &to);
	return rc;
}

static int address(struct compiling *c, const struct packet_leaf *l, const struct asm_ways *w)
{
	bool src = l->field == RF_F_IP_SRC;
	int16_t hi = src ? FACT(src_hi) : FACT(dst_hi), lo = src ? FACT(src_lo) : FACT(dst_lo);
	uint32_t four = asm_label(&c->a);
	struct asm_ways to = turned(l, w), six = { to.yes, to.no, four };
	asm_load(&c->a, BPF_W, R1, FACTS, FACT(has));
	asm_if(&c->a, BPF_JSET, R1, src ? RF_HAS_SRC4 : RF_HAS_DST4, four);
	int rc = packet_leaf_ranges(&c->f, l, 6);
	if (rc == RF_OK && c->f.ranges) {
		asm_load(&c->a, BPF_DW, R1, FACTS, hi);
		asm_load(&c->a, BPF_DW, R2, FACTS, lo);
		keep_bits(c, R1, l->bits6);
		keep_bits(c, R2, l->bits6 > 64 ? l->bits6 - 64 : 0);
	}
	asm_in128(&c->a, R1, R2, R3, c->f.range, c->f.ranges, &six);
	asm_place(&c->a, four);
	if (rc == RF_OK)
		rc = packet_leaf_ranges(&c->f, l, 4);
	if (c->f.ranges)
		asm_load(&c->a, BPF_DW, R1, FACTS, lo);
	if (c->f.ranges && l->bits4 < 32)
		asm_put(&c->a, BPF_ALU | BPF_AND | BPF_K, R1, 0, 0, (int32_t)(l->bits4 ? ~0u << (32 - l->bits4) : 0));
	asm_in32(&c->a, R1, c->f.range, c->f.ranges, &to);
	return rc;
}

static void flag(struct compiling *c, const struct packet_leaf *l, const struct asm_ways *w)
{
	need(c, RF_HAS_TCP, w->no);
	asm_load(&c->a, BPF_W, R1, FACTS, FACT(tcp_flags));
	asm_put(&c->a, BPF_ALU | BPF_AND | BPF_K, R1, 0, 0, l->bit);
	asm_test(&c->a, l->set ? BPF_JNE : BPF_JEQ, R1, 0, w);
}

static int by_protocol(struct compiling *c, const struct packet_leaf *l, const struct asm_ways *w)
{
	int rc = packet_leaf_ranges(&c->f, l, 0);
	asm_load(&c->a, BPF_W, R1, FACTS, FACT(proto));
	asm_in32(&c->a, R1, c->f.range, c->f.ranges, w);
	return rc;
}

static int leaf(struct compiling *c, const struct pnode *n, const struct asm_ways *w)
{
	struct packet_leaf l;
	int rc = packet_leaf_read(&c->f, n, &l);
	if (rc != RF_OK)
		return rc;
	if (l.kind == LEAF_FLAG)
		flag(c, &l, w);
	else
		rc = l.kind == LEAF_PROTOCOL ? by_protocol(c, &l, w) : l.kind == LEAF_ADDRESS ? address(c, &l, w) : number(c, &l, w);
	packet_leaf_fini(&l);
	return rc;
}

/* --- connectives --- */

static int condition(struct compiling *c, const struct pnode *n, const struct asm_ways *w);

/* Terms of `and` (all must hold) or `or`, each but the last with the next one behind it. */
static int terms(struct compiling *c, const struct pnode *n, const struct asm_ways *w)
{
	int rc = RF_OK;
	for (unsigned i = 0; i < n->nkids && rc == RF_OK; i++) {
		const struct pnode *kid = &c->f.x->node[n->kid + i];
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
		return rf_fail(c->f.e, RF_E_UNSUPPORTED, "a packet rule takes at most %d xors within each other", XOR_DEPTH);
	uint32_t bit = 1u << c->depth++;
	parity(c, BPF_AND, ~bit);
	for (unsigned i = 0; i < n->nkids && rc == RF_OK; i++) {
		uint32_t holds = asm_label(&c->a), next = asm_label(&c->a);
		rc = condition(c, &c->f.x->node[n->kid + i], &(struct asm_ways){ holds, next, holds });
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
		return condition(c, &c->f.x->node[n->kid], &(struct asm_ways){ w->no, w->yes, w->next });
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
	if (last || (r->action == RF_ACT_SKIP && packet_ends_phase(r)))
		asm_jump(&c->a, end);
	else if (r->action == RF_ACT_SKIP)
		asm_jump(&c->a, set_end);
}

static int rule(struct compiling *c, const struct rf_rule *r, unsigned number, uint32_t set_end, uint32_t end)
{
	uint32_t hit = asm_label(&c->a), next = asm_label(&c->a);
	c->rule = r;
	c->f.x = r->cond;
	int rc = packet_refuse_action(r, c->f.e);
	if (rc == RF_OK && (rc = condition(c, &c->f.x->node[0], &(struct asm_ways){ hit, next, hit })) != RF_OK)
		snprintf(c->f.e->pointer, sizeof c->f.e->pointer, "/expression");
	if (rc == RF_OK) {
		asm_place(&c->a, hit);
		act(c, number, set_end, end);
		asm_place(&c->a, next);
	}
	if (rc == RF_OK && c->a.failed)
		rc = c->a.failed == RF_E_NOMEM ? rf_fail(c->f.e, RF_E_NOMEM, "memory is exhausted") :
			rf_fail_ptr(c->f.e, RF_E_TOO_LARGE, "/expression", "the rules of the phase packet make more than %d instructions", ASM_INSNS);
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
	packet_front_fini(&c->f);
}

static int add_part(struct compiling *c, struct rf_packet_code *to, const struct rf_rule *r)
{
	if (to->part_count == RF_PACKET_RULES)
		return rf_fail_ptr(c->f.e, RF_E_TOO_LARGE, "", "at most %d rules of the phase packet can be in force", RF_PACKET_RULES);
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
			const struct rf_rule *r = rf_block_rule(s->blocks[b], i);
			if (!r->enabled)
				continue;
			rc = rule(c, r, numbers_of->of(numbers_of->ctx, r), set_end, end);
			if (rc == RF_OK)
				rc = add_part(c, to, r);
			if (rc != RF_OK)
				packet_point(r, c->f.e);
		}
	asm_place(&c->a, set_end);
	return rc;
}

int rf_packet_compile(const struct rf_phase_set *set, const struct rf_lists *lists, const struct rf_packet_numbers *numbers_of,
	struct rf_packet_code *ret, struct rf_err *e)
{
	struct compiling c = { .f = { .lists = lists, .e = e } };
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
	struct compiling c = { .f = { .lists = lists, .any_list = true, .e = e } };
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
				if (asks_lists(rf_block_rule(set->sets[i]->blocks[b], k)))
					return true;
	return false;
}
