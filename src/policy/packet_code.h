/* policy/packet_code: rules of the phase packet as a program for the kernel.
 *
 * The program reads facts of a frame (bpf/facts.h), and says the same as the evaluator does of the packet's bytes; a test and
 * a fuzz target hold them against each other. What it cannot say is refused here, with the reason, when the rule is written.
 */
#pragma once
#include "bpf/facts.h"
#include "policy/rule.h"

enum { RF_PACKET_LIST = 4096 }; /* prefixes of a named list in a rule, neighbours as one */

struct rf_packet_part { /* which rule an instruction is of */
	uint32_t end;
	const struct rf_rule *rule;
};

struct rf_packet_code {
	void *insns;       /* struct bpf_insn; maps by the numbers of bpf/facts.h */
	size_t n;          /* of them */
	struct rf_packet_part *parts;
	size_t part_count;
};

struct rf_packet_numbers { /* under which number, below RF_PACKET_RULES, a rule is counted */
	unsigned (*of)(void *ctx, const struct rf_rule *r);
	void *ctx;
};

/* Compile the rules of a phase that are enabled, in order. RF_E_UNSUPPORTED, RF_E_TOO_LARGE, RF_E_NOT_FOUND (a list is gone),
 * with a pointer "/rules/ID/...". Borrows the rules. */
int rf_packet_compile(const struct rf_phase_set *set, const struct rf_lists *lists, const struct rf_packet_numbers *numbers,
	struct rf_packet_code *ret, struct rf_err *e);
void rf_packet_code_fini(struct rf_packet_code *c);
/* The rule of an instruction; NULL: of none. */
const struct rf_rule *rf_packet_code_rule(const struct rf_packet_code *c, uint32_t at);

/* Can this rule be compiled? The pointer of the error is below the rule. `lists` may be NULL: any is taken for small. */
int rf_packet_check(const struct rf_rule *r, const struct rf_lists *lists, struct rf_err *e);
/* Does an enabled rule ask for a named list? */
bool rf_packet_asks_lists(const struct rf_phase_set *set);
