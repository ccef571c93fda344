/* monitor/rules: see rules.h.
 *
 *   sealed? of a sound size? -> each instruction is one of the table, its jumps go forward and stay inside, its maps and helpers are
 *   those that rules need -> maps by descriptor -> verifier
 *
 * Registers: 0 what a helper gave, 1 to 4 at work, 6 the frame, which only helpers look into, 7 facts, 8 counters, 10 the stack.
 *
 * Invariant: nothing is loaded that could read or write a frame's bytes directly, touch another map, call another helper, or
 * run for ever.
 */
#include "monitor/rules.h"
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "bpf/facts.h"

enum { LOG_SIZE = 1 << 20, WORK_FIRST = 1, WORK_LAST = 4, FRAME = 6, FACTS = 7, COUNTS = 8, STACK = 10 };

/* What an instruction of each code may be. */
enum { MOVES = 1, READS = 2, WRITES = 4, JUMPS = 8, CALLS = 16, MAP_OR_CONST = 32, ENDS = 64 };

static const struct { uint8_t code, kind; } known[] = {
	{ BPF_ALU64 | BPF_MOV | BPF_X, MOVES }, { BPF_ALU64 | BPF_MOV | BPF_K, MOVES }, { BPF_ALU64 | BPF_ADD | BPF_X, MOVES },
	{ BPF_ALU64 | BPF_ADD | BPF_K, MOVES }, { BPF_ALU64 | BPF_AND | BPF_X, MOVES }, { BPF_ALU64 | BPF_RSH | BPF_K, MOVES },
	{ BPF_ALU | BPF_AND | BPF_K, MOVES }, { BPF_ALU | BPF_XOR | BPF_K, MOVES }, { BPF_ALU | BPF_END | BPF_TO_BE, MOVES },
	{ BPF_LDX | BPF_MEM | BPF_W, READS }, { BPF_LDX | BPF_MEM | BPF_DW, READS },
	{ BPF_STX | BPF_MEM | BPF_W, WRITES }, { BPF_STX | BPF_MEM | BPF_DW, WRITES },
	{ BPF_ST | BPF_MEM | BPF_W, WRITES }, { BPF_ST | BPF_MEM | BPF_DW, WRITES },
	{ BPF_JMP | BPF_JA, JUMPS }, { BPF_JMP | BPF_JNE | BPF_K, JUMPS }, { BPF_JMP | BPF_JGT | BPF_X, JUMPS },
	{ BPF_JMP | BPF_JLT | BPF_X, JUMPS }, { BPF_JMP | BPF_JGE | BPF_X, JUMPS }, { BPF_JMP | BPF_JLE | BPF_X, JUMPS },
	{ BPF_JMP32 | BPF_JEQ | BPF_K, JUMPS }, { BPF_JMP32 | BPF_JNE | BPF_K, JUMPS }, { BPF_JMP32 | BPF_JGT | BPF_K, JUMPS },
	{ BPF_JMP32 | BPF_JGE | BPF_K, JUMPS }, { BPF_JMP32 | BPF_JLT | BPF_K, JUMPS }, { BPF_JMP32 | BPF_JLE | BPF_K, JUMPS },
	{ BPF_JMP32 | BPF_JSET | BPF_K, JUMPS }, { BPF_JMP | BPF_CALL, CALLS }, { BPF_LD | BPF_IMM | BPF_DW, MAP_OR_CONST },
	{ BPF_JMP | BPF_EXIT, ENDS },
};

static uint8_t kind_of(uint8_t code)
{
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (known[i].code == code)
			return known[i].kind;
	return 0;
}

/* A value for register dst: those at work take any, the others one of their own kind. */
static bool may_move(const struct bpf_insn *i, size_t at)
{
	bool copies = i->code == (BPF_ALU64 | BPF_MOV | BPF_X);
	switch (i->dst_reg) {
	case 0:
		return i->code == (BPF_ALU64 | BPF_MOV | BPF_K);
	case FRAME:
		return copies && at == 0 && i->src_reg == 1;
	case FACTS: case COUNTS:
		return copies && i->src_reg == 0;
	default:
		return i->dst_reg >= WORK_FIRST && i->dst_reg <= WORK_LAST;
	}
}

static bool ours(uint8_t reg) { return reg == FACTS || reg == COUNTS || reg == STACK; }
static bool at_work(uint8_t reg) { return reg >= WORK_FIRST && reg <= WORK_LAST; }

/* A constant of 64 bits, or a map: two places. */
static bool may_load(const struct bpf_insn *i)
{
	const struct bpf_insn *more = i + 1;
	bool map = i->src_reg == BPF_PSEUDO_MAP_FD && i->imm >= 0 && i->imm < RF_RULES_MAPS && !more->imm;
	return at_work(i->dst_reg) && (i->src_reg == 0 || map) && !i->off && !more->code && !more->dst_reg && !more->src_reg && !more->off;
}

/* How many places the instruction takes; 0: it may not be there. */
static size_t admitted(const struct bpf_insn *v, size_t at, size_t n)
{
	const struct bpf_insn *i = &v[at];
	switch (kind_of(i->code)) {
	case MOVES:
		return may_move(i, at) && i->src_reg <= STACK;
	case READS:
		return at_work(i->dst_reg) && ours(i->src_reg);
	case WRITES:
		return ours(i->dst_reg) && (BPF_CLASS(i->code) == BPF_ST || at_work(i->src_reg));
	case JUMPS:
		return i->off >= 0 && at + 1 + (size_t)i->off < n;
	case CALLS:
		return i->src_reg == 0 && (i->imm == BPF_FUNC_map_lookup_elem || i->imm == BPF_FUNC_tail_call || i->imm == BPF_FUNC_xdp_load_bytes);
	case MAP_OR_CONST:
		return at + 1 < n && may_load(i) ? 2 : 0;
	default:
		return kind_of(i->code) == ENDS;
	}
}

int rf_rules_check(const struct bpf_insn *v, size_t n, struct rf_err *e)
{
	for (size_t at = 0, size; at < n; at += size) {
		size = admitted(v, at, n);
		if (!size)
			return rf_fail(e, RF_E_INVALID, "instruction %zu is none that a program of rules has", at);
	}
	return n && v[n - 1].code == (BPF_JMP | BPF_EXIT) ? RF_OK : rf_fail(e, RF_E_INVALID, "a program of rules should end with an exit");
}

int rf_rules_read(int fd, struct bpf_insn **ret, size_t *ret_n, struct rf_err *e)
{
	const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
	struct stat st;
	int has = fcntl(fd, F_GET_SEALS);
	if (has < 0 || (has & seals) != seals || fstat(fd, &st) != 0)
		return rf_fail(e, RF_E_INVALID, "a program of rules should come in a sealed file");
	size_t n = (size_t)st.st_size / sizeof **ret;
	if (n > RF_RULES_INSNS)
		return rf_fail(e, RF_E_TOO_LARGE, "a program of rules has at most %d instructions", RF_RULES_INSNS);
	if ((size_t)st.st_size != n * sizeof **ret)
		return rf_fail(e, RF_E_INVALID, "a program of rules ends within an instruction");
	struct bpf_insn *v = malloc(n * sizeof *v + 1);
	if (!v)
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	if (pread(fd, v, n * sizeof *v, 0) != (ssize_t)(n * sizeof *v)) {
		free(v);
		return rf_fail(e, RF_E_IO, "a program of rules cannot be read");
	}
	*ret = v;
	*ret_n = n;
	return RF_OK;
}

/* The last line of the verifier's log that says something, and the last one that begins with the number of an instruction. */
static void last_words(char *log, char *to, size_t room, uint32_t *ret_at)
{
	char *rest = log, *line;
	snprintf(to, room, "no reason given");
	while ((line = strsep(&rest, "\n"))) {
		char *end;
		unsigned long at = strtoul(line, &end, 10);
		if (end != line && *end == ':')
			*ret_at = (uint32_t)at;
		else if (*line && strncmp(line, "processed ", 10) != 0)
			snprintf(to, room, "%s", line);
	}
}

int rf_rules_load(struct bpf_insn *v, size_t n, const int *maps, uint32_t *ret_at, struct rf_err *e)
{
	char why[256];
	for (size_t i = 0; i < n; i += v[i].code == (BPF_LD | BPF_IMM | BPF_DW) ? 2 : 1)
		if (v[i].code == (BPF_LD | BPF_IMM | BPF_DW) && v[i].src_reg == BPF_PSEUDO_MAP_FD)
			v[i].imm = maps[v[i].imm];
	LIBBPF_OPTS(bpf_prog_load_opts, o, .expected_attach_type = BPF_XDP); /* as the filter's: else it may not call the other */
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "rf_rules", "Dual BSD/GPL", v, n, &o);
	if (fd >= 0)
		return fd;
	char *log = calloc(1, LOG_SIZE);
	o.log_level = log ? 1 : 0;
	o.log_buf = log;
	o.log_size = log ? LOG_SIZE : 0;
	fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "rf_rules", "Dual BSD/GPL", v, n, &o);
	if (fd < 0) {
		last_words(log ? log : (char[]){ "" }, why, sizeof why, ret_at);
		rf_fail(e, RF_E_UNSUPPORTED, "the kernel does not take the rules (%s): %s", strerror(-fd), why);
	}
	free(log);
	return fd;
}
