/* monitor/rules: rules of the phase packet, compiled by the engine, into the kernel.
 *
 * Private to monitor/filter and its test. The engine is not trusted: what it hands over is bounded, sealed, and held against a table
 * of what such a program may do, before the kernel's own verifier sees it.
 */
#pragma once
#include "base/err.h"

enum { RF_RULES_INSNS = 32768 };

struct bpf_insn;

/* Read a program out of a sealed file without a name. *ret is the caller's, to be freed. RF_E_INVALID, RF_E_TOO_LARGE, RF_E_NOMEM. */
int rf_rules_read(int fd, struct bpf_insn **ret, size_t *ret_n, struct rf_err *e);
/* May a program of rules consist of these? RF_E_INVALID, with the number of the instruction that may not be there. */
int rf_rules_check(const struct bpf_insn *v, size_t n, struct rf_err *e);
/* Name the maps (RF_RULES_*) by descriptors and load it: the descriptor of the program, or -1, with the verifier's last words in *e and the
 * instruction that they are about in *ret_at. */
int rf_rules_load(struct bpf_insn *v, size_t n, const int *maps, uint32_t *ret_at, struct rf_err *e);
