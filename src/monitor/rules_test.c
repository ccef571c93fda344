/* Rules of the phase packet in the kernel: the monitor's check of what the engine hands over; and the program as the kernel
 * runs it, beside the evaluator. The latter needs root and BPF. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include "monitor/filter.h"
#include "monitor/rules.h"
#include "policy/packet_random.h"

enum { RULES = 60, FRAMES = 60, SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW };

static struct rf_filter *filter;
static struct rf_filter_conf *conf;
static struct rf_rule_counts *counts;
static struct rf_filter_counts *reasons;
static char dir[64];

static int sealed(const void *p, size_t n, int seals)
{
	int fd = memfd_create("rules", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(write(fd, p, n), n);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

/* --- what the monitor admits --- */

static int check(const struct bpf_insn *v, size_t n)
{
	struct rf_err e = { 0 };
	return rf_rules_check(v, n, &e);
}

#define EXIT { .code = BPF_JMP | BPF_EXIT }

static void only_what_rules_need_is_admitted(void **state)
{
	const struct { const char *what; struct bpf_insn v[3]; size_t n; } bad[] = {
		{ "a jump back", { { .code = BPF_JMP | BPF_JA, .off = -1 }, EXIT }, 2 },
		{ "a jump out", { { .code = BPF_JMP | BPF_JA, .off = 1 }, EXIT }, 2 },
		{ "a jump behind the end", { { .code = BPF_JMP32 | BPF_JEQ | BPF_K, .off = 32767 }, EXIT }, 2 },
		{ "another helper", { { .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect }, EXIT }, 2 },
		{ "a call of its own", { { .code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_CALL, .imm = BPF_FUNC_tail_call }, EXIT }, 2 },
		{ "a kernel function", { { .code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_KFUNC_CALL, .imm = 1 }, EXIT }, 2 },
		{ "another map", { { .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = RF_RULES_MAPS }, { 0 }, EXIT }, 3 },
		{ "a map below the first", { { .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = -1 }, { 0 }, EXIT }, 3 },
		{ "a value of a map", { { .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_VALUE }, { 0 }, EXIT }, 3 },
		{ "half a constant", { { .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 1 } }, 1 },
		{ "a read of the frame", { { .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 1, .src_reg = 6 }, EXIT }, 2 },
		{ "a read through a register at work", { { .code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = 2, .src_reg = 1 }, EXIT }, 2 },
		{ "a write through one", { { .code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = 2, .src_reg = 1 }, EXIT }, 2 },
		{ "an atomic", { { .code = BPF_STX | BPF_ATOMIC | BPF_DW, .dst_reg = 7, .src_reg = 1, .imm = BPF_ADD }, EXIT }, 2 },
		{ "the frame as facts", { { .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 7, .src_reg = 6 }, EXIT }, 2 },
		{ "facts moved", { { .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 7, .imm = 8 }, EXIT }, 2 },
		{ "another stack", { { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 10 }, EXIT }, 2 },
		{ "a register that is not there", { { .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 15 }, EXIT }, 2 },
		{ "an instruction nobody knows", { { .code = 0xff }, EXIT }, 2 },
		{ "no exit", { { .code = BPF_ALU64 | BPF_MOV | BPF_K } }, 1 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (check(bad[i].v, bad[i].n) == RF_OK)
			fail_msg("%s is admitted", bad[i].what);
	assert_int_not_equal(check(NULL, 0), RF_OK);
	struct draw d = { .seed = 7 };
	for (unsigned i = 0; i < 100; i++) {
		struct drawn r;
		draw_rules(&d, &r);
		assert_int_equal(check(r.code.insns, r.code.n), RF_OK);
		drawn_fini(&r);
	}
}

static void only_a_sealed_file_is_read(void **state)
{
	const struct bpf_insn v[] = { EXIT, EXIT };
	struct bpf_insn *got = NULL;
	struct rf_err e = { 0 };
	size_t n = 0;
	const struct { size_t n; int seals, rc; } all[] = { { sizeof v, SEALS, RF_OK }, { sizeof v, F_SEAL_WRITE | F_SEAL_GROW, RF_E_INVALID },
		{ sizeof v, 0, RF_E_INVALID }, { sizeof v - 1, SEALS, RF_E_INVALID } };
	(void)state;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		int fd = sealed(v, all[i].n, all[i].seals);
		assert_int_equal(rf_rules_read(fd, &got, &n, &e), all[i].rc);
		close(fd);
	}
	assert_int_equal(n, 2);
	free(got);
	int fd = memfd_create("rules", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, (RF_RULES_INSNS + 1) * (off_t)sizeof *v), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, SEALS), 0);
	assert_int_equal(rf_rules_read(fd, &got, &n, &e), RF_E_TOO_LARGE);
	close(fd);
	assert_int_equal(rf_rules_read(STDIN_FILENO, &got, &n, &e), RF_E_INVALID);
}

/* --- in the kernel --- */

static void *map_of(unsigned which, size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, rf_filter_map(filter, which), 0);
	assert_true(p != MAP_FAILED);
	return p;
}

static int begin(void **state)
{
	struct rf_err e = { 0 };
	struct rf_kernel k;
	bool fresh;
	(void)state;
	if (geteuid() != 0)
		skip();
	rf_kernel_probe(RF_FILTER_USES, 0, &k);
	snprintf(dir, sizeof dir, "/sys/fs/bpf/rftest-rules-%d", (int)getpid());
	if (rf_filter_open(dir, &k, &filter, &fresh, &e) != RF_OK)
		fail_msg("%s", e.text);
	conf = map_of(RF_FILTER_MAP_conf, sizeof *conf);
	counts = map_of(RF_FILTER_MAP_rule_counts, RF_FILTER_CPUS * sizeof *counts);
	reasons = map_of(RF_FILTER_MAP_counts, RF_FILTER_CPUS * sizeof *reasons);
	conf->rules = 1;
	return 0;
}

static int end(void **state)
{
	static const char *const names[] = {
#define X(name) #name,
		RF_FILTER_MAPS(X) RF_FILTER_KEPT(X)
#undef X
	};
	char path[128];
	(void)state;
	munmap(conf, sizeof *conf);
	munmap(counts, RF_FILTER_CPUS * sizeof *counts);
	munmap(reasons, RF_FILTER_CPUS * sizeof *reasons);
	rf_filter_close(filter);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/rf_%s", dir, names[i]);
		unlink(path);
	}
	return rmdir(dir);
}

static int put(const struct rf_packet_code *c, bool only_try, struct rf_err *e)
{
	uint32_t at = 0;
	int fd = sealed(c->insns, c->n * sizeof(struct bpf_insn), SEALS);
	int rc = rf_filter_rules(filter, fd, only_try, &at, e);
	close(fd);
	return rc;
}

static unsigned run(const struct frame *f)
{
	uint8_t out[512];
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = f->b, .data_size_in = (__u32)f->n, .data_out = out, .data_size_out = sizeof out, .repeat = 1);
	assert_int_equal(bpf_prog_test_run_opts(rf_filter_program(filter), &o), 0);
	return o.retval;
}

static uint64_t frames_of(unsigned rule)
{
	uint64_t n = 0;
	for (int cpu = 0; cpu < RF_FILTER_CPUS; cpu++)
		n += counts[cpu].v[rule].frames;
	return n;
}

static uint64_t blocked(void)
{
	uint64_t n = 0;
	for (int cpu = 0; cpu < RF_FILTER_CPUS; cpu++)
		n += reasons[cpu].frames[RF_DROP_RULE];
	return n;
}

static void the_kernel_says_what_the_evaluator_says(void **state)
{
	const char *more = getenv("RINGFENCE_TEST_RULES"); /* how many sets of rules */
	struct draw d = { .seed = 1738 };
	unsigned sets = more ? (unsigned)atoi(more) : RULES, verdicts[3] = { 0 };
	(void)state;
	for (unsigned i = 0; i < sets; i++) {
		struct drawn r;
		struct rf_err e = { 0 };
		draw_rules(&d, &r);
		if (put(&r.code, false, &e) != RF_OK)
			fail_msg("rules %u: %s", i, e.text);
		for (unsigned k = 0; k < FRAMES; k++) {
			struct frame f;
			struct rf_packet_facts facts;
			struct rf_packet p;
			struct answer a;
			uint64_t before[SETS * SET_RULES], dropped = blocked();
			draw_frame(&d, &f);
			if (f.n < 14 || !read_frame(&f, &facts, &p) || !evaluate(&r, &p, &a))
				continue;
			for (unsigned n = 0; n < SETS * SET_RULES; n++)
				before[n] = frames_of(n);
			if (run(&f) != (a.verdict == RF_RULES_BLOCK ? 1 : 2) || blocked() != dropped + (a.verdict == RF_RULES_BLOCK)) /* XDP_DROP, XDP_PASS */
				fail_msg("rules %u, frame %u: the evaluator says %u", i, k, a.verdict);
			for (unsigned n = 0; n < SETS * SET_RULES; n++)
				if (frames_of(n) != before[n] + a.frames[n])
					fail_msg("rules %u, frame %u: rule %u counted %llu times", i, k, n, (unsigned long long)(frames_of(n) - before[n]));
			verdicts[a.verdict]++;
		}
		drawn_fini(&r);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_true(verdicts[i] > sets / 2);
}

static void one_rule(const char *expression, struct drawn *to)
{
	struct rf_err e = { 0 };
	const struct rf_rule_env env = { 0 };
	struct rf_rule *r = NULL;
	struct rf_ruleset *s = NULL;
	json_t *doc = json_pack("{s:s, s:s}", "action", "block", "expression", expression);
	assert_int_equal(rf_rule_make(&env, RF_PHASE_PACKET, doc, "", &r, &e), RF_OK);
	assert_int_equal(rf_ruleset_of(RF_PHASE_PACKET, RF_STR("a"), RF_STR(""), &r, 1, &s), RF_OK);
	*to = (struct drawn){ 0 };
	assert_int_equal(rf_phase_set_make(RF_PHASE_PACKET, &s, 1, &to->set), RF_OK);
	assert_int_equal(rf_packet_compile(to->set, NULL, &(struct rf_packet_numbers){ number_of, NULL }, &to->code, &e), RF_OK);
	rf_ruleset_put(s);
	rf_rule_put(r);
	json_decref(doc);
}

static void a_program_that_fails_leaves_the_one_before(void **state)
{
	struct drawn all, none;
	struct rf_err e = { 0 };
	struct draw d = { .seed = 3 };
	struct frame f;
	struct rf_packet_facts facts;
	struct rf_packet p;
	uint32_t at = 0;
	(void)state;
	do
		draw_frame(&d, &f);
	while (f.n < 14 || !read_frame(&f, &facts, &p));
	one_rule("true", &all);
	one_rule("false", &none);
	assert_int_equal(run(&f), 2);
	assert_int_equal(put(&all.code, true, &e), RF_OK);
	assert_int_equal(run(&f), 2);
	assert_int_equal(put(&all.code, false, &e), RF_OK);
	assert_int_equal(run(&f), 1);
	struct bpf_insn wild[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1 },
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 1, .src_reg = 7 }, EXIT }; /* register 7 holds nothing */
	int fd = sealed(wild, sizeof wild, SEALS);
	assert_int_equal(rf_filter_rules(filter, fd, false, &at, &e), RF_E_UNSUPPORTED);
	close(fd);
	assert_int_equal(at, 1);
	assert_non_null(strstr(e.text, "R7"));
	assert_int_equal(run(&f), 1);
	assert_int_equal(put(&none.code, false, &e), RF_OK);
	assert_int_equal(run(&f), 2);
	assert_int_equal(put(&all.code, false, &e), RF_OK);
	assert_int_equal(rf_filter_rules(filter, -1, false, &at, &e), RF_OK);
	assert_int_equal(run(&f), 2);
	drawn_fini(&all);
	drawn_fini(&none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_rules_need_is_admitted),
		cmocka_unit_test(only_a_sealed_file_is_read),
		cmocka_unit_test_setup_teardown(the_kernel_says_what_the_evaluator_says, begin, end),
		cmocka_unit_test_setup_teardown(a_program_that_fails_leaves_the_one_before, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
