/* bench/flood: one end of a cable each, for bench/run shield.
 *
 *	bench-flood send INTERFACE MAC udp|syn denied|any|one PORT   in the attackers' network namespace
 *	bench-flood gate INTERFACE bare|ours|pass [TARGET]             in the attacked one
 *
 * `send` answers each line "SECONDS RATE" (RATE 0: as fast as it goes) when that is over with {"begin", "end", "frames"}; times are those of
 * CLOCK_MONOTONIC in ns. Frames are made by the kernel (live frames of BPF_PROG_TEST_RUN), each with a new source. `gate` has a bare
 * drop on the interface, or our filter with 100,000 denied prefixes and all rates on, so many frames a second to a TARGET, or what lets
 * all pass; it answers each line "MS" with the moments and counters that it saw every millisecond for so long: at, passed, stopped.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "bench/program.h"
#include "bench/flood.skel.h"
#include "monitor/filter.h"
#include "shield/shield.h"

enum { DENIED = 100000, FRAME = 60, BATCH = 64, BURST = 400000 };

/* To 10.78.0.1, without source and sums. */
static void compose(uint8_t f[FRAME], const char *mac, bool syn, uint16_t port)
{
	static const uint8_t ip[] = { 8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 10, 78, 0, 1 };
	memset(f, 0, FRAME);
	if (sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", f, f + 1, f + 2, f + 3, f + 4, f + 5) != 6)
		die(mac, "is no MAC address");
	f[6] = 2;
	memcpy(f + 12, ip, sizeof ip);
	f[17] = syn ? 40 : 46;
	f[23] = syn ? IPPROTO_TCP : IPPROTO_UDP;
	f[36] = (uint8_t)(port >> 8);
	f[37] = (uint8_t)port;
	f[39] = 26; /* UDP's length; a sequence number's byte in TCP */
	if (syn) {
		f[46] = 0x50;
		f[47] = 2;
		f[48] = 0xff;
	}
}

static void burst(int program, unsigned frames)
{
	uint8_t f[FRAME] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = f, .data_size_in = FRAME, .repeat = (int)frames, .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
		    .batch_size = BATCH);
	if (bpf_prog_test_run_opts(program, &o))
		die("the flood", "the kernel refuses live frames");
}

/* `rate` frames a second; a burst, in which the kernel sets up and takes down its pages, makes more frames than are due, and drops those. */
static void send_for(struct rf_bench_flood *b, double seconds, double rate)
{
	uint64_t begin = now(), end = begin + (uint64_t)(seconds * 1e9), at;
	b->bss->cost = rate > 0 ? (uint64_t)(1e9 / rate * 1024) : 0;
	b->bss->next = b->bss->sent = 0;
	while ((at = now()) < end)
		burst(bpf_program__fd(b->progs.send), BURST);
	printf("{\"begin\": %llu, \"end\": %llu, \"frames\": %llu}\n", (unsigned long long)begin, (unsigned long long)at,
	       (unsigned long long)b->bss->sent);
}

static int sender(char **argv)
{
	static const char *const kinds[] = { "denied", "any", "one" };
	struct rf_bench_flood *b = rf_bench_flood__open();
	unsigned index = if_nametoindex(argv[0]), kind = 0;
	char line[64];
	while (kind < 3 && strcmp(kinds[kind], argv[3]))
		kind++;
	if (!b || !index || kind == 3)
		die(argv[0], "no such interface or kind, or no memory");
	compose((uint8_t *)b->rodata->frame, argv[1], !strcmp(argv[2], "syn"), (uint16_t)atoi(argv[4]));
	b->rodata->out = index;
	b->rodata->kind = kind;
	if (rf_bench_flood__load(b))
		die("the flood", "the kernel refuses the program");
	if (bpf_xdp_attach((int)index, bpf_program__fd(b->progs.pass), XDP_FLAGS_DRV_MODE, NULL)) /* takes what a filter sends back */
		die(argv[0], "takes no program");
	puts("ready");
	while (fflush(stdout) == 0 && fgets(line, sizeof line, stdin)) {
		double seconds, rate;
		if (sscanf(line, "%lf %lf", &seconds, &rate) == 2)
			send_for(b, seconds, rate);
	}
	bpf_xdp_detach((int)index, XDP_FLAGS_DRV_MODE, NULL);
	rf_bench_flood__destroy(b);
	return 0;
}

/* The prefixes of flood.bpf.c. */
static void deny(struct rf_shield *s)
{
	struct rf_err e;
	for (uint32_t i = 0; i < DENIED; i++) {
		uint32_t n = i * 7919 & 0xfffff;
		struct rf_prefix p = { .ip = { .family = 4, .b = { (uint8_t)(16 | n >> 16), (uint8_t)(n >> 8), (uint8_t)n } }, .bits = 24 };
		if (rf_shield_set(s, &p, RF_SHIELD_DENY, &e) != RF_OK)
			die("a prefix", e.text);
	}
}

static void watch(const struct rf_shield *s, unsigned ms)
{
	uint64_t begin = now();
	printf("[");
	for (unsigned i = 0; i < ms; i++) {
		struct rf_filter_counts c;
		struct timespec to_next = { 0, 1000000 };
		uint64_t stopped = 0;
		rf_shield_counts(s, &c);
		for (int why = 0; why < RF_DROP_COUNT; why++)
			stopped += why != RF_DROP_PASS ? c.frames[why] : 0;
		printf("%s[%llu, %llu, %llu]", i ? ", " : "", (unsigned long long)now(), (unsigned long long)c.frames[RF_DROP_PASS], (unsigned long long)stopped);
		if (now() - begin > (uint64_t)ms * 1000000)
			break;
		nanosleep(&to_next, NULL);
	}
	printf("]\n");
}

static void answer(const struct rf_shield *s)
{
	char line[64];
	puts("ready");
	while (fflush(stdout) == 0 && fgets(line, sizeof line, stdin))
		if (s)
			watch(s, (unsigned)atoi(line));
}

static int ours(const char *interface, uint64_t target)
{
	char dir[64];
	int fds[RF_FILTER_MAP_COUNT];
	struct rf_err e = { 0 };
	struct rf_filter *f = NULL;
	enum rf_filter_mode mode;
	const char *why;
	struct rf_kernel k;
	bool fresh;
	rf_kernel_probe(RF_FILTER_USES, 0, &k);
	snprintf(dir, sizeof dir, "/sys/fs/bpf/rfflood-%d", (int)getpid());
	if (rf_filter_open(dir, &k, &f, &fresh, &e) != RF_OK)
		die(dir, e.text);
	for (unsigned i = 0; i < RF_FILTER_MAP_COUNT; i++)
		fds[i] = dup(rf_filter_map(f, i));
	struct rf_shield *s = rf_shield_new(0x5eed);
	if (!s || rf_shield_enter(s, fds, RF_FILTER_MAP_COUNT, rf_filter_cookies(f, &why), 1, &e) != RF_OK)
		die("the maps", e.text);
	deny(s);
	struct rf_shield_limits l = { .source = 10000, .prefix = 1000000, .target = target, .syn = 2000, .cookies = RF_SHIELD_COOKIES_FLOOD };
	rf_shield_limit(s, &l);
	int rc = rf_filter_attach(f, interface, RF_GATE_NATIVE, true, &mode, &e);
	if (rc == RF_OK)
		answer(s);
	rf_filter_detach(f, interface);
	rf_shield_free(s);
	rf_filter_close(f);
	char command[160];
	snprintf(command, sizeof command, "rm -rf %s", dir);
	if (system(command))
		fprintf(stderr, "bench-flood: %s is left\n", dir);
	if (rc != RF_OK)
		die(interface, e.text);
	return 0;
}

/* A bare drop; or what lets all pass, so that frames wait in the ring as before a filter. */
static int bare(const char *interface, bool pass)
{
	struct rf_bench_flood *b = rf_bench_flood__open_and_load();
	int index = (int)if_nametoindex(interface);
	if (!b || bpf_xdp_attach(index, bpf_program__fd(pass ? b->progs.pass : b->progs.bare), XDP_FLAGS_DRV_MODE, NULL))
		die(interface, "takes no program");
	answer(NULL);
	bpf_xdp_detach(index, XDP_FLAGS_DRV_MODE, NULL);
	rf_bench_flood__destroy(b);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 7 && !strcmp(argv[1], "send"))
		return sender(argv + 2);
	if (argc < 4 || strcmp(argv[1], "gate"))
		die("usage", "bench-flood send INTERFACE MAC udp|syn denied|any|one PORT, or gate INTERFACE bare|ours|pass [TARGET]");
	if (!strcmp(argv[3], "ours"))
		return ours(argv[2], argc > 4 ? strtoull(argv[4], NULL, 10) : 0);
	return bare(argv[2], strcmp(argv[3], "bare"));
}
