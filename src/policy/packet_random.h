/* policy/packet_random: random rules of the phase packet and random frames; what the program made of the rules says is held against
 * what the evaluator says of the packet. For the unit tests, one of which asks the kernel, and the fuzz target.
 */
#pragma once
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include "bpf/rules.h"
#include "policy/draw.h"
#include "policy/lists.h"
#include "policy/packet.h"
#include "policy/packet_code.h"
#include "policy/verdict.h"

/* --- rules --- */

static inline void write_leaf(struct draw *d, struct rf_buf *to)
{
	static const char *const numbers[] = { "ip.proto.num", "ip.len", "ip.hdr_len", "ip.ttl", "ip.opt.type", "tcp.srcport", "tcp.dstport",
		"tcp.flags", "udp.srcport", "udp.dstport", "icmp.type", "icmp.code", "bit_slice(ip, 0, 8)", "bit_slice(ip, 4, 36)",
		"bit_slice(tcp, 0, 32)", "bit_slice(tcp, 97, 99)", "bit_slice(udp, 64, 80)", "bit_slice(icmp, 13, 14)", "bit_slice(udp, 2000, 2003)",
		"bit_slice(ip, 311, 320)" };
	static const char *const flags[] = { "tcp.flags.syn", "tcp.flags.ack", "tcp.flags.fin", "tcp.flags.reset", "tcp.flags.push",
		"tcp.flags.urg", "tcp.flags.ecn", "tcp.flags.cwr", "not tcp.flags.ack", "tcp.flags.syn ne true", "tcp.flags.psh eq false" };
	static const char *const values[] = { "0", "1", "2", "6", "8", "17", "20", "40", "48", "53", "64", "80", "443", "1024", "65535", "69",
		"2147483648", "4294967295", "4294967296", "-1" };
	static const char *const operators[] = { "eq", "ne", "lt", "le", "gt", "ge" };
	static const char *const sources[] = { "ip.src", "ip.dst", "ip.src", "cidr(ip.src, 24, 64)", "cidr6(ip.dst, 33)", "cidr(ip.src, 0, 0)",
		"cidr(ip.src, 31, 127)" };
	static const char *const prefixes[] = { "192.0.2.0/24", "192.0.2.7", "10.0.0.0/8", "0.0.0.0/0", "192.0.2.5..192.0.2.9", "2001:db8::/32",
		"2001:db8::7", "::/0", "2001:db8::5..2001:db8::1:0", "2001:db8:0:1::/64", "255.255.255.255", "8000::/1" };
	static const char *const hosts[] = { "192.0.2.7", "192.0.2.0", "10.1.2.3", "2001:db8::7", "::", "2001:db8::" };
	static const char *const protocols[] = { "ip.proto eq \"tcp\"", "ip.proto in {\"udp\" \"icmp\"}", "ip.proto ne \"\"", "ip.proto contains \"cmp\"",
		"len(ip.proto) gt 3", "upper(ip.proto) eq \"TCP\"", "starts_with(ip.proto, \"u\")", "ip.proto matches \"^i\"" };
	switch (draw(d, 10)) {
	case 0: case 1:
		rf_buf_printf(to, "%s %s %s", PICK(d, numbers), PICK(d, operators), PICK(d, values));
		break;
	case 2:
		rf_buf_printf(to, "%s in {%s %s %u..%u %s}", PICK(d, numbers), PICK(d, values), PICK(d, values), 5 * draw(d, 100), 600 + draw(d, 9),
			PICK(d, values));
		break;
	case 3: case 4:
		rf_buf_printf(to, "%s in {%s %s %s}", PICK(d, sources), PICK(d, prefixes), PICK(d, prefixes), PICK(d, prefixes));
		break;
	case 5:
		rf_buf_printf(to, "%s %s %s", PICK(d, sources), draw(d, 2) ? "eq" : "ne", PICK(d, hosts));
		break;
	case 6:
		rf_buf_printf(to, draw(d, 3) ? "%s in $bad" : "tcp.dstport in $numbers", PICK(d, sources));
		break;
	case 7:
		rf_buf_printf(to, "%s", PICK(d, protocols));
		break;
	default:
		rf_buf_printf(to, "%s", PICK(d, flags));
	}
}

static inline void write_rule(struct draw *d, unsigned depth, struct rf_buf *to)
{
	static const char *const joins[] = { "and", "and", "or", "xor" };
	unsigned kids = 2 + draw(d, 2), what = depth ? draw(d, 5) : 0;
	if (what == 4) {
		rf_buf_printf(to, draw(d, 6) ? "not (" : draw(d, 2) ? "true and (" : "false or (");
		write_rule(d, depth - 1, to);
		rf_buf_printf(to, ")");
	} else if (what >= 2) {
		const char *join = PICK(d, joins);
		for (unsigned i = 0; i < kids; i++) {
			rf_buf_printf(to, i ? " %s (" : "(", join);
			write_rule(d, depth - 1, to);
			rf_buf_printf(to, ")");
		}
	} else
		write_leaf(d, to);
}

/* NULL: one that the language or the kernel refuses. */
static inline struct rf_rule *draw_rule(struct draw *d, const struct rf_lists *lists, unsigned number)
{
	static const char *const actions[] = { "block", "block", "allow", "log", "log", "skip", "skip" };
	const struct rf_rule_env env = { .lists = lists };
	const char *action = PICK(d, actions);
	struct rf_rule *r = NULL;
	struct rf_err e;
	char id[16];
	RF_BUF_AUTO text = { 0 };
	write_rule(d, 3, &text);
	snprintf(id, sizeof id, "r%u", number);
	json_t *doc = json_pack("{s:s, s:s, s:s%, s:b}", "id", id, "action", action, "expression", rf_buf_str(&text).p, rf_buf_str(&text).n,
		"enabled", draw(d, 10) != 0);
	if (!strcmp(action, "skip") && draw(d, 2))
		json_object_set_new(doc, "action_parameters", json_pack("{s:s}", "ruleset", "current"));
	else if (!strcmp(action, "skip"))
		json_object_set_new(doc, "action_parameters", json_pack("{s:[s]}", "phases", "packet"));
	if (rf_rule_make(&env, RF_PHASE_PACKET, doc, "", &r, &e) == RF_OK)
		r->order = number;
	json_decref(doc);
	return r;
}

enum { SETS = 2, SET_RULES = 6 };

struct drawn {
	struct rf_lists *lists;
	struct rf_phase_set *set;
	struct rf_packet_code code;
	unsigned rules;
};

static inline unsigned number_of(void *ctx, const struct rf_rule *r)
{
	(void)ctx;
	return (unsigned)r->order;
}

static inline struct rf_lists *draw_lists(void)
{
	const struct { const char *name; enum rf_list_kind kind; struct rf_str v[5]; } all[] = {
		{ "bad", RF_LIST_IP, { RF_STR("192.0.2.0/28"), RF_STR("192.0.2.7"), RF_STR("2001:db8::/33"), RF_STR("10.1.2.3"), RF_STR("2001:db8::1:0:0/96") } },
		{ "numbers", RF_LIST_ASN, { RF_STR("80"), RF_STR("81"), RF_STR("443"), RF_STR("0"), RF_STR("4294967295") } } };
	struct rf_lists *t = NULL;
	for (size_t i = 0; i < 2; i++) {
		struct rf_list *l = NULL;
		struct rf_lists *with = NULL;
		struct rf_err e;
		if (rf_list_make(all[i].kind, all[i].v, 5, &l, &e) != RF_OK || rf_lists_with(t, rf_str_z(all[i].name), l, &with) != RF_OK)
			abort();
		rf_list_put(l);
		rf_lists_put(t);
		t = with;
	}
	return t;
}

static inline void draw_rules(struct draw *d, struct drawn *to)
{
	struct rf_ruleset *sets[SETS] = { 0 };
	const struct rf_packet_numbers numbers = { number_of, NULL };
	struct rf_err e = { 0 };
	*to = (struct drawn){ .lists = draw_lists() };
	for (unsigned s = 0; s < SETS; s++) {
		struct rf_rule *v[SET_RULES];
		size_t n = 0;
		for (unsigned i = 1 + draw(d, SET_RULES); i--;)
			if ((v[n] = draw_rule(d, to->lists, to->rules)))
				n++, to->rules++;
		if (rf_ruleset_of(RF_PHASE_PACKET, s ? RF_STR("b") : RF_STR("a"), RF_STR(""), v, n, &sets[s]) != RF_OK)
			abort();
		while (n)
			rf_rule_put(v[--n]);
	}
	if (rf_phase_set_make(RF_PHASE_PACKET, sets, SETS, &to->set) != RF_OK ||
	    rf_packet_compile(to->set, to->lists, &numbers, &to->code, &e) != RF_OK) {
		fprintf(stderr, "%s %s\n", e.pointer, e.text);
		abort();
	}
	for (unsigned s = 0; s < SETS; s++)
		rf_ruleset_put(sets[s]);
}

static inline void drawn_fini(struct drawn *r)
{
	rf_packet_code_fini(&r->code);
	rf_phase_set_put(r->set);
	rf_lists_put(r->lists);
}

/* --- frames --- */

struct frame { uint8_t b[512]; size_t n; };

static inline void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline size_t draw_transport(struct draw *d, uint8_t proto, uint8_t *p)
{
	static const uint16_t ports[] = { 53, 80, 443, 1024, 5683, 0, 65535, 600 };
	static const uint8_t flags[] = { 2, 16, 18, 24, 17, 4, 20, 0xc2, 0x52, 0x38 };
	size_t payload = draw(d, 4) ? draw(d, 40) : 240;
	switch (proto) {
	case 6:
		put16(p, PICK(d, ports));
		put16(p + 2, PICK(d, ports));
		p[12] = 5 << 4;
		p[13] = PICK(d, flags);
		return 20 + payload;
	case 17:
		put16(p, PICK(d, ports));
		put16(p + 2, PICK(d, ports));
		put16(p + 4, (unsigned)(8 + payload));
		return 8 + payload;
	default:
		p[0] = (uint8_t)draw(d, 12);
		p[1] = (uint8_t)draw(d, 3);
		return 8 + payload;
	}
}

static inline size_t draw_four(struct draw *d, uint8_t *ip)
{
	static const uint8_t protos[] = { 6, 6, 17, 17, 1, 58, 47, 50 };
	static const uint16_t parts[] = { 0x2000, 0x2004, 4, 100, 0x4000 };
	size_t header = 20 + 4 * (draw(d, 4) ? 0 : draw(d, 4));
	uint8_t proto = PICK(d, protos);
	ip[0] = (uint8_t)(0x40 | header / 4);
	ip[8] = (uint8_t)(draw(d, 2) ? 64 : draw(d, 256));
	ip[9] = proto;
	memcpy(ip + 12, draw(d, 2) ? "\xc0\x00\x02\x00" : "\x0a\x01\x02\x00", 4);
	ip[15] = (uint8_t)draw(d, 12);
	memcpy(ip + 16, "\xc6\x33\x64\x01", 4);
	for (size_t i = 20; i < header; i++)
		ip[i] = (uint8_t)draw(d, 256);
	if (!draw(d, 6))
		put16(ip + 6, PICK(d, parts));
	size_t n = header + draw_transport(d, proto, ip + header);
	put16(ip + 2, (unsigned)n);
	return n;
}

static inline void draw_six_address(struct draw *d, uint8_t *p)
{
	static const uint8_t mapped[14] = { [10] = 0xff, 0xff, 192, 0 };
	memcpy(p, "\x20\x01\x0d\xb8", 4);
	p[7] = (uint8_t)draw(d, 3);
	p[draw(d, 2) ? 13 : 15] = (uint8_t)(draw(d, 2) ? 1 : 7);
	if (draw(d, 8))
		return;
	memcpy(p, mapped, 14);
	p[14] = 2;
}

static inline size_t draw_six(struct draw *d, uint8_t *ip)
{
	static const uint8_t protos[] = { 6, 6, 17, 17, 58, 1, 59 }, kinds[] = { 60, 43, 135, 44, 51 };
	uint8_t proto = PICK(d, protos), *next = ip + 6;
	size_t at = 40;
	ip[0] = 0x60;
	ip[7] = (uint8_t)(draw(d, 2) ? 64 : draw(d, 256));
	draw_six_address(d, ip + 8);
	draw_six_address(d, ip + 24);
	for (unsigned i = draw(d, 3) ? 0 : draw(d, 3); i--;) {
		*next = PICK(d, kinds);
		if (*next == 44 && draw(d, 2))
			put16(ip + at + 2, draw(d, 2) ? 1 : 0x100);
		next = ip + at;
		at += 8;
	}
	*next = proto;
	at += draw_transport(d, proto, ip + at);
	put16(ip + 4, (unsigned)(at - 40));
	return at;
}

/* Mostly well-formed; sometimes with bytes changed, cut, or with more behind it. */
static inline void draw_frame(struct draw *d, struct frame *f)
{
	size_t at = 14;
	bool six = draw(d, 2);
	memset(f, 0, sizeof *f);
	for (unsigned tags = draw(d, 8) ? 0 : draw(d, 3); tags--; at += 4)
		put16(f->b + at - 2, 0x8100);
	put16(f->b + at - 2, six ? 0x86dd : 0x0800);
	f->n = at + (six ? draw_six(d, f->b + at) : draw_four(d, f->b + at)) + (draw(d, 4) ? 0 : draw(d, 12));
	for (unsigned i = draw(d, 4) ? 0 : draw(d, 4); i--;)
		f->b[12 + draw(d, (unsigned)f->n - 12)] = (uint8_t)draw(d, 256);
	if (!draw(d, 16))
		f->n = at + draw(d, (unsigned)(f->n - at));
}

/* --- the answer of the evaluator --- */

struct answer {
	unsigned verdict;            /* RF_RULES_* */
	uint64_t frames[SETS * SET_RULES]; /* of each rule */
};

static inline void note_match(void *ctx, const struct rf_ruleset *set, const struct rf_rule *rule, enum rf_step step, struct rf_facts *f)
{
	(void)set, (void)f;
	((struct answer *)ctx)->frames[rule->order] += step == RF_STEP_MATCHED;
}

/* False: a rule could not be asked. */
static inline bool evaluate(const struct drawn *r, const struct rf_packet *p, struct answer *ret)
{
	static struct rf_facts facts;
	struct rf_arena arena;
	struct rf_verdict v;
	*ret = (struct answer){ 0 };
	const struct rf_trace trace = { note_match, ret, NULL };
	rf_arena_init(&arena, 1 << 20);
	rf_facts_init(&facts, &rf_packet_ops, (void *)(uintptr_t)p, &arena, r->lists, 0);
	rf_verdict_init(&v);
	rf_phase_eval(r->set, &facts, &v, &trace);
	rf_arena_fini(&arena);
	ret->verdict = v.outcome == RF_BLOCK ? RF_RULES_BLOCK : v.outcome == RF_ALLOW ? RF_RULES_ALLOW : RF_RULES_PASS;
	return v.why != RF_WHY_ERROR;
}

/* Does the filter hand the frame to rules? Facts and packet then. */
static inline bool read_frame(const struct frame *f, struct rf_packet_facts *facts, struct rf_packet *packet)
{
	struct rf_frame at;
	if (rf_parse_frame(f->b, f->b + f->n, &at) != RF_DROP_PASS)
		return false;
	rf_facts_fill(&at, 0, (__u32)f->n, facts);
	if (rf_packet_parse((struct rf_str){ (const char *)f->b + at.at, f->n - at.at }, packet) != RF_OK)
		abort(); /* what the filter reads, the other parser reads as well */
	return true;
}

/* --- the answer of the program, run here --- */

struct machine {
	struct rf_packet_facts facts;
	struct rf_rule_counts counts;
	const struct frame *frame;
	uint8_t stack[64];
	uint64_t r[11];
};

static inline bool jumps(uint8_t op, uint64_t a, uint64_t b)
{
	switch (op) {
	case BPF_JA: return true;
	case BPF_JEQ: return a == b;
	case BPF_JNE: return a != b;
	case BPF_JGT: return a > b;
	case BPF_JGE: return a >= b;
	case BPF_JLT: return a < b;
	case BPF_JLE: return a <= b;
	case BPF_JSET: return a & b;
	default: abort();
	}
}

static inline uint64_t computed(uint8_t op, uint64_t a, uint64_t b)
{
	switch (op) {
	case BPF_MOV: return b;
	case BPF_ADD: return a + b;
	case BPF_AND: return a & b;
	case BPF_XOR: return a ^ b;
	case BPF_RSH: return a >> b;
	default: abort();
	}
}

static inline uint64_t helped(struct machine *m, int32_t helper)
{
	if (helper == BPF_FUNC_map_lookup_elem)
		return (uint64_t)(uintptr_t)(m->r[1] == RF_RULES_FACTS ? (void *)&m->facts : (void *)&m->counts);
	if (helper != BPF_FUNC_xdp_load_bytes)
		abort();
	if (m->r[2] + m->r[4] > m->frame->n)
		return (uint64_t)-22;
	memcpy((void *)(uintptr_t)m->r[3], m->frame->b + m->r[2], m->r[4]);
	return 0;
}

static inline void moved(struct machine *m, const struct bpf_insn *i)
{
	size_t size = BPF_SIZE(i->code) == BPF_DW ? 8 : 4;
	void *at = (void *)(uintptr_t)(m->r[BPF_CLASS(i->code) == BPF_LDX ? i->src_reg : i->dst_reg] + (uint64_t)(int64_t)i->off);
	uint64_t v = BPF_CLASS(i->code) == BPF_ST ? (uint64_t)(int64_t)i->imm : m->r[i->src_reg];
	if (BPF_CLASS(i->code) == BPF_LDX) {
		m->r[i->dst_reg] = 0;
		memcpy(&m->r[i->dst_reg], at, size);
	} else
		memcpy(at, &v, size);
}

static inline void run_program(const struct rf_packet_code *c, struct machine *m)
{
	const struct bpf_insn *v = c->insns;
	m->r[10] = (uint64_t)(uintptr_t)(m->stack + sizeof m->stack);
	for (size_t at = 0; at < c->n; at++) {
		const struct bpf_insn *i = &v[at];
		uint64_t *dst = &m->r[i->dst_reg], src = BPF_SRC(i->code) == BPF_X ? m->r[i->src_reg] : (uint64_t)(int64_t)i->imm;
		switch (BPF_CLASS(i->code)) {
		case BPF_LDX: case BPF_STX: case BPF_ST:
			moved(m, i);
			break;
		case BPF_LD:
			*dst = (uint32_t)i->imm | (uint64_t)(uint32_t)v[++at].imm << 32;
			break;
		case BPF_ALU64:
			*dst = computed(BPF_OP(i->code), *dst, src);
			break;
		case BPF_ALU:
			*dst = BPF_OP(i->code) == BPF_END ? __builtin_bswap64(*dst) : (uint32_t)computed(BPF_OP(i->code), *dst, src);
			break;
		case BPF_JMP32:
			at += jumps(BPF_OP(i->code), (uint32_t)*dst, (uint32_t)src) ? (size_t)i->off : 0;
			break;
		default:
			if (BPF_OP(i->code) == BPF_CALL && i->imm == BPF_FUNC_tail_call)
				return;
			if (BPF_OP(i->code) == BPF_EXIT)
				abort(); /* rules go on to rf_after */
			if (BPF_OP(i->code) == BPF_CALL)
				m->r[0] = helped(m, i->imm);
			else
				at += jumps(BPF_OP(i->code), *dst, src) ? (size_t)i->off : 0;
		}
	}
}

/* Do program and evaluator say the same of a frame? */
static inline bool program_agrees(const struct drawn *r, const struct frame *f)
{
	static struct machine m;
	struct rf_packet p;
	struct answer a;
	memset(&m, 0, sizeof m);
	m.frame = f;
	if (!read_frame(f, &m.facts, &p) || !evaluate(r, &p, &a))
		return true;
	run_program(&r->code, &m);
	bool same = m.facts.verdict == a.verdict;
	for (unsigned i = 0; i < SETS * SET_RULES; i++)
		same = same && m.counts.v[i].frames == a.frames[i] && m.counts.v[i].bytes == a.frames[i] * f->n;
	return same;
}
