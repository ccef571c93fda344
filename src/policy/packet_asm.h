/* policy/packet_asm: instructions of BPF with labels, for policy/packet_code. Private to policy.
 *
 * Code only goes forward: a label is placed after all jumps to it. What no way leads to is left out, since the kernel would refuse it
 * (`lost`: from here on, until a label to which there is a jump). Running out of memory or room is remembered (`failed`), and
 * nothing more is written.
 */
#pragma once
#include <linux/bpf.h>
#include "policy/packet_front.h"

enum { ASM_INSNS = 32000 }; /* so that every jump reaches */

struct asm_jump {
	uint32_t at, next; /* next: of those to the same label, and one more; 0: the last */
};

struct assembly {
	struct bpf_insn *v;
	size_t n, cap;
	struct asm_jump *jump;
	size_t jumps, jump_cap;
	uint32_t *label;       /* its last jump, and one more; 0: none */
	size_t labels, label_cap;
	bool lost;
	int failed;            /* RF_E_NOMEM, RF_E_TOO_LARGE */
};

/* Where a test goes, and the one of the two that is placed right behind it (or neither). */
struct asm_ways {
	uint32_t yes, no, next;
};

void asm_fini(struct assembly *a);
uint32_t asm_label(struct assembly *a);
void asm_place(struct assembly *a, uint32_t label);

void asm_put(struct assembly *a, uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm);
void asm_load(struct assembly *a, uint8_t size, uint8_t dst, uint8_t src, int16_t off);   /* dst = *(size *)(src + off) */
void asm_store(struct assembly *a, uint8_t size, uint8_t dst, uint8_t src, int16_t off);  /* *(size *)(dst + off) = src */
void asm_const(struct assembly *a, uint8_t dst, uint64_t v);
void asm_map(struct assembly *a, uint8_t dst, uint32_t map);
void asm_call(struct assembly *a, int32_t helper);
void asm_exit(struct assembly *a);

/* To `label` where the 64 bits of a register are not all 0. */
void asm_if_any(struct assembly *a, uint8_t reg, uint32_t label);
void asm_jump(struct assembly *a, uint32_t label);
void asm_go(struct assembly *a, uint32_t label, const struct asm_ways *w); /* nothing where it is next */
/* To `label` where dst OP imm, both as 32 bits without sign; OP is a BPF_J*. */
void asm_if(struct assembly *a, uint8_t op, uint8_t dst, uint32_t imm, uint32_t label);
/* Branch on dst OP imm, as 32 bits. */
void asm_test(struct assembly *a, uint8_t op, uint8_t dst, uint32_t imm, const struct asm_ways *w);

/* Branch on whether a number is in one of the ranges, which are sorted and apart: by halving. */
void asm_in32(struct assembly *a, uint8_t reg, const struct packet_range *v, size_t n, const struct asm_ways *w);
/* The same for 128 bits in two registers; `spare` is written. */
void asm_in128(struct assembly *a, uint8_t hi, uint8_t lo, uint8_t spare, const struct packet_range *v, size_t n, const struct asm_ways *w);
