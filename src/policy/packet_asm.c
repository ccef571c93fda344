/* policy/packet_asm: see packet_asm.h. A jump is written without its distance, and gets it when its label is placed. */
#include "policy/packet_asm.h"
#include <stdlib.h>
#include "base/room.h"

/* Whether there is room; there never will be again where there was none. */
static bool held(struct assembly *a, bool room)
{
	a->failed = room ? a->failed : RF_E_NOMEM;
	return room;
}

void asm_fini(struct assembly *a)
{
	free(a->v);
	free(a->jump);
	free(a->label);
	*a = (struct assembly){ 0 };
}

uint32_t asm_label(struct assembly *a)
{
	if (a->failed || !held(a, RF_ROOM(a->label, a->label_cap, a->labels)))
		return 0;
	a->label[a->labels] = 0;
	return (uint32_t)a->labels++;
}

void asm_place(struct assembly *a, uint32_t label)
{
	if (a->failed)
		return;
	a->lost = a->lost && !a->label[label];
	for (uint32_t j = a->label[label]; j; j = a->jump[j - 1].next) {
		uint32_t at = a->jump[j - 1].at;
		a->v[at].off = (int16_t)(a->n - at - 1);
	}
	a->label[label] = 0;
}

void asm_put(struct assembly *a, uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm)
{
	if (!a->failed && !a->lost && a->n == ASM_INSNS)
		a->failed = RF_E_TOO_LARGE;
	if (a->failed || a->lost || !held(a, RF_ROOM(a->v, a->cap, a->n)))
		return;
	a->v[a->n++] = (struct bpf_insn){ .code = code, .dst_reg = dst & 15, .src_reg = src & 15, .off = off, .imm = imm };
}

void asm_load(struct assembly *a, uint8_t size, uint8_t dst, uint8_t src, int16_t off)
{
	asm_put(a, BPF_LDX | BPF_MEM | size, dst, src, off, 0);
}

void asm_store(struct assembly *a, uint8_t size, uint8_t dst, uint8_t src, int16_t off)
{
	asm_put(a, BPF_STX | BPF_MEM | size, dst, src, off, 0);
}

static void wide(struct assembly *a, uint8_t dst, uint8_t src, uint64_t v)
{
	asm_put(a, BPF_LD | BPF_IMM | BPF_DW, dst, src, 0, (int32_t)(uint32_t)v);
	asm_put(a, 0, 0, 0, 0, (int32_t)(uint32_t)(v >> 32));
}

void asm_const(struct assembly *a, uint8_t dst, uint64_t v)
{
	if (v > INT32_MAX)
		wide(a, dst, 0, v);
	else
		asm_put(a, BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, (int32_t)v);
}

void asm_map(struct assembly *a, uint8_t dst, uint32_t map)
{
	wide(a, dst, BPF_PSEUDO_MAP_FD, map);
}

void asm_call(struct assembly *a, int32_t helper)
{
	asm_put(a, BPF_JMP | BPF_CALL, 0, 0, 0, helper);
}

static void branch(struct assembly *a, uint8_t code, uint8_t dst, uint8_t src, int32_t imm, uint32_t label)
{
	if (a->failed || a->lost || !held(a, RF_ROOM(a->jump, a->jump_cap, a->jumps)))
		return;
	a->jump[a->jumps] = (struct asm_jump){ (uint32_t)a->n, a->label[label] };
	a->label[label] = (uint32_t)++a->jumps;
	asm_put(a, code, dst, src, 0, imm);
}

void asm_jump(struct assembly *a, uint32_t label)
{
	branch(a, BPF_JMP | BPF_JA, 0, 0, 0, label);
	a->lost = true;
}

void asm_exit(struct assembly *a)
{
	asm_put(a, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	a->lost = true;
}

void asm_if_any(struct assembly *a, uint8_t reg, uint32_t label)
{
	branch(a, BPF_JMP | BPF_K | BPF_JNE, reg, 0, 0, label);
}

void asm_go(struct assembly *a, uint32_t label, const struct asm_ways *w)
{
	if (label != w->next)
		asm_jump(a, label);
}

void asm_if(struct assembly *a, uint8_t op, uint8_t dst, uint32_t imm, uint32_t label)
{
	branch(a, BPF_JMP32 | BPF_K | op, dst, 0, (int32_t)imm, label);
}

/* The opposite of an operator; 0: it has none. */
static uint8_t opposite(uint8_t op)
{
	switch (op) {
	case BPF_JEQ:
		return BPF_JNE;
	case BPF_JNE:
		return BPF_JEQ;
	case BPF_JLT:
		return BPF_JGE;
	case BPF_JGE:
		return BPF_JLT;
	case BPF_JLE:
		return BPF_JGT;
	case BPF_JGT:
		return BPF_JLE;
	default:
		return 0;
	}
}

void asm_test(struct assembly *a, uint8_t op, uint8_t dst, uint32_t imm, const struct asm_ways *w)
{
	if (w->yes == w->next && opposite(op)) {
		asm_if(a, opposite(op), dst, imm, w->no);
		return;
	}
	asm_if(a, op, dst, imm, w->yes);
	asm_go(a, w->no, w);
}

static void one32(struct assembly *a, uint8_t reg, const struct packet_range *r, const struct asm_ways *w)
{
	uint32_t from = (uint32_t)r->from, to = (uint32_t)r->to;
	if (from == to) {
		asm_test(a, BPF_JEQ, reg, from, w);
		return;
	}
	if (from && to != UINT32_MAX)
		asm_if(a, BPF_JLT, reg, from, w->no);
	if (to != UINT32_MAX)
		asm_test(a, BPF_JLE, reg, to, w);
	else if (from)
		asm_test(a, BPF_JGE, reg, from, w);
	else
		asm_go(a, w->yes, w);
}

void asm_in32(struct assembly *a, uint8_t reg, const struct packet_range *v, size_t n, const struct asm_ways *w)
{
	if (n == 0) {
		asm_go(a, w->no, w);
		return;
	}
	if (n == 1) {
		one32(a, reg, v, w);
		return;
	}
	uint32_t upper = asm_label(a);
	asm_if(a, BPF_JGE, reg, (uint32_t)v[n / 2].from, upper);
	asm_in32(a, reg, v, n / 2, &(struct asm_ways){ w->yes, w->no, upper });
	asm_place(a, upper);
	asm_in32(a, reg, v + n / 2, n - n / 2, w);
}

/* Branch on (hi, lo) OP (k_hi, k), OP one of BPF_JGE and BPF_JLE. */
static void order128(struct assembly *a, uint8_t op, const uint8_t reg[3], uint64_t k_hi, uint64_t k, const struct asm_ways *w)
{
	uint8_t more = op == BPF_JGE ? BPF_JGT : BPF_JLT, less = op == BPF_JGE ? BPF_JLT : BPF_JGT;
	asm_const(a, reg[2], k_hi);
	branch(a, BPF_JMP | BPF_X | more, reg[0], reg[2], 0, w->yes);
	branch(a, BPF_JMP | BPF_X | less, reg[0], reg[2], 0, w->no);
	if (k == (op == BPF_JGE ? 0 : UINT64_MAX)) {
		asm_go(a, w->yes, w);
		return;
	}
	asm_const(a, reg[2], k);
	branch(a, BPF_JMP | BPF_X | op, reg[1], reg[2], 0, w->yes);
	asm_go(a, w->no, w);
}

static void one128(struct assembly *a, const uint8_t reg[3], const struct packet_range *r, const struct asm_ways *w)
{
	uint32_t above = asm_label(a);
	if (r->from_hi || r->from)
		order128(a, BPF_JGE, reg, r->from_hi, r->from, &(struct asm_ways){ above, w->no, above });
	asm_place(a, above);
	order128(a, BPF_JLE, reg, r->to_hi, r->to, w);
}

static void in128(struct assembly *a, const uint8_t reg[3], const struct packet_range *v, size_t n, const struct asm_ways *w)
{
	if (n == 1) {
		one128(a, reg, v, w);
		return;
	}
	uint32_t upper = asm_label(a), lower = asm_label(a);
	order128(a, BPF_JGE, reg, v[n / 2].from_hi, v[n / 2].from, &(struct asm_ways){ upper, lower, lower });
	asm_place(a, lower);
	in128(a, reg, v, n / 2, &(struct asm_ways){ w->yes, w->no, upper });
	asm_place(a, upper);
	in128(a, reg, v + n / 2, n - n / 2, w);
}

void asm_in128(struct assembly *a, uint8_t hi, uint8_t lo, uint8_t spare, const struct packet_range *v, size_t n, const struct asm_ways *w)
{
	const uint8_t reg[3] = { hi, lo, spare };
	if (n == 0)
		asm_go(a, w->no, w);
	else
		in128(a, reg, v, n, w);
}
