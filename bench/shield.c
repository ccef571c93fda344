/* bench/shield: what the kernel filter costs a frame, by BPF_PROG_TEST_RUN with random sources.
 *
 *	bench-shield [FRAMES]
 *
 * A program gives each frame a random source and hands it to the one that is measured by a tail call; what that costs with a bare drop
 * behind is in all figures alike. Both filters hold the same 100,000 denied prefixes, of which about one source in ten is in one; ours
 * has the whole policy on: a list of allowed prefixes, rates of source and prefix, SYN cookies in wait. One line says, in ns a frame:
 * the bare drop, ours with prefixes alone, ours whole, and the peer's.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "bench/program.h"
#include "bench/shield.skel.h"
#include "monitor/filter.h"
#include "shield/shield.h"

enum { DENIED = 100000, ALLOWED = 1000, FRAME = 64, ROUNDS = 9, FRAMES = 1000000 };

static uint64_t seed = 42;

static uint32_t draw(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 32);
}

/* A prefix of 22 to 28 bits in 16.0.0.0/4. */
static struct rf_prefix prefix(void)
{
	uint32_t r = draw();
	struct rf_ip ip = { .family = 4, .b = { (uint8_t)(16 + (r >> 28)), (uint8_t)(r >> 16), (uint8_t)(r >> 8), (uint8_t)r } };
	return rf_ip_mask(&ip, 22 + draw() % 7);
}

static void fill(struct rf_shield *s, int trie)
{
	struct rf_err e;
	for (int i = 0; i < DENIED + ALLOWED; i++) {
		struct rf_prefix p = prefix();
		struct { __u32 bits; uint8_t ip[4]; } key = { p.bits, { p.ip.b[0], p.ip.b[1], p.ip.b[2], p.ip.b[3] } };
		__u32 one = 1;
		if (rf_shield_set(s, &p, i < DENIED ? RF_SHIELD_DENY : RF_SHIELD_ALLOW, &e) != RF_OK)
			die("a prefix", e.text);
		if (i < DENIED && bpf_map_update_elem(trie, &key, &one, BPF_ANY))
			die("a prefix", "the trie is full");
	}
}

static void frame(uint8_t f[FRAME])
{
	static const uint8_t udp[] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 16, 0, 0, 1,
		198, 51, 100, 1, 0x9c, 0x40, 0x16, 0x33, 0, 26 };
	memset(f, 0, FRAME);
	memcpy(f, udp, sizeof udp);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* ns a frame, the median of ROUNDS. */
static double measure(struct rf_bench_shield *b, int program, unsigned frames)
{
	uint8_t f[FRAME], out[FRAME];
	double v[ROUNDS];
	__u32 zero = 0;
	if (bpf_map_update_elem(bpf_map__fd(b->maps.next), &zero, &program, BPF_ANY))
		die("the program", "it cannot be put in its place");
	for (int i = 0; i < ROUNDS; i++) {
		frame(f);
		LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = f, .data_size_in = FRAME, .data_out = out, .data_size_out = FRAME, .repeat = (int)frames);
		if (bpf_prog_test_run_opts(bpf_program__fd(b->progs.drive), &o))
			die("the run", "the kernel refuses it");
		if (!o.retval)
			die("the run", "the frame was not judged");
		v[i] = (double)o.duration;
	}
	qsort(v, ROUNDS, sizeof *v, compare);
	return v[ROUNDS / 2];
}

static struct rf_filter *filter_of(const char *dir, int fds[RF_FILTER_MAP_COUNT])
{
	struct rf_filter *f = NULL;
	struct rf_err e = { 0 };
	struct rf_kernel k;
	bool fresh;
	rf_kernel_probe(RF_FILTER_USES, 0, &k);
	if (rf_filter_open(dir, &k, &f, &fresh, &e) != RF_OK)
		die(dir, e.text);
	for (unsigned i = 0; i < RF_FILTER_MAP_COUNT; i++)
		fds[i] = dup(rf_filter_map(f, i));
	return f;
}

static void unpin(const char *dir)
{
	char command[160];
	snprintf(command, sizeof command, "rm -rf %s", dir);
	if (system(command))
		fprintf(stderr, "bench-shield: %s is left\n", dir);
}

int main(int argc, char **argv)
{
	unsigned frames = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : FRAMES;
	char dir[64];
	int fds[RF_FILTER_MAP_COUNT];
	struct rf_err e;
	snprintf(dir, sizeof dir, "/sys/fs/bpf/rfbench-%d", (int)getpid());
	struct rf_filter *f = filter_of(dir, fds);
	struct rf_shield *s = rf_shield_new(0x5eed);
	struct rf_bench_shield *b = rf_bench_shield__open_and_load();
	if (!s || !b)
		die("start", "no memory, or the kernel refuses the programs");
	const char *why;
	if (rf_shield_enter(s, fds, RF_FILTER_MAP_COUNT, rf_filter_cookies(f, &why), 1, &e) != RF_OK)
		die("the maps", e.text);
	fill(s, bpf_map__fd(b->maps.trie));
	double bare = measure(b, bpf_program__fd(b->progs.bare), frames), prefixes = measure(b, rf_filter_program(f), frames);
	struct rf_shield_limits l = { .source = 1000000, .prefix = 10000000, .syn = 2000, .cookies = RF_SHIELD_COOKIES_FLOOD };
	rf_shield_limit(s, &l);
	double blind = measure(b, rf_filter_program(f), frames);
	rf_shield_looked(s, true);
	double ours = measure(b, rf_filter_program(f), frames), peer = measure(b, bpf_program__fd(b->progs.peer), frames);
	printf("{\"bare\": %.0f, \"prefixes\": %.0f, \"blind\": %.0f, \"ours\": %.0f, \"peer\": %.0f}\n", bare, prefixes, blind, ours, peer);
	rf_bench_shield__destroy(b);
	rf_shield_free(s);
	rf_filter_close(f);
	unpin(dir);
	return 0;
}
