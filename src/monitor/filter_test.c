/* The kernel filter as the kernel runs it, beside the same parser on the host and the same tables. Needs root and BPF. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sched.h>
#include <cmocka.h>
#include "bpf/homes.h"
#include "bpf/mix.h"
#include "bpf/parse.h"
#include "monitor/test.h"
#include "shield/frames.h"

static uint64_t *rates;

static void open_filter(bool fresh)
{
	struct rf_err e = { 0 };
	bool is_fresh = false;
	if (test_filter_open("test", &is_fresh, &e) != RF_OK)
		fail_msg("%s", e.text);
	assert_int_equal(is_fresh, fresh);
	rates = test_map(RF_FILTER_MAP_rates, RF_RATE_ROWS * RF_RATE_PLACES * sizeof *rates);
	assert_non_null(rates);
}

static void close_filter(void)
{
	munmap(rates, RF_RATE_ROWS * RF_RATE_PLACES * sizeof *rates);
	test_filter_close();
}

static int begin(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	open_filter(true);
	test.maps.conf->secret = 0x5eed;
	return 0;
}

static int end(void **state)
{
	(void)state;
	close_filter();
	test_filter_unpin();
	return 0;
}

/* --- frames --- */

struct frame { uint8_t b[2048]; size_t n; };

static void be16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static struct frame udp4(const char *src, unsigned sport, unsigned payload)
{
	struct frame f = { .n = 14 + 20 + 8 + payload };
	struct rf_ip s, d;
	uint8_t *ip = f.b + 14, *udp = ip + 20;
	assert_true(rf_ip_parse(rf_str_z(src), &s) && rf_ip_parse(RF_STR("198.51.100.1"), &d));
	be16(f.b + 12, 0x0800);
	ip[0] = 0x45;
	be16(ip + 2, 28 + payload);
	ip[8] = 64;
	ip[9] = RF_PROTO_UDP;
	memcpy(ip + 12, s.b, 4);
	memcpy(ip + 16, d.b, 4);
	be16(udp, sport);
	be16(udp + 2, 5683);
	be16(udp + 4, 8 + payload);
	return f;
}

static struct frame tcp6(const char *src, uint8_t flags)
{
	struct frame f = { .n = 14 + 40 + 20 };
	struct rf_ip s, d;
	uint8_t *ip = f.b + 14, *tcp = ip + 40;
	assert_true(rf_ip_parse(rf_str_z(src), &s) && rf_ip_parse(RF_STR("2001:db8::1"), &d));
	be16(f.b + 12, 0x86dd);
	ip[0] = 0x60;
	be16(ip + 4, 20);
	ip[6] = RF_PROTO_TCP;
	memcpy(ip + 8, s.b, 16);
	memcpy(ip + 24, d.b, 16);
	be16(tcp, 40000);
	be16(tcp + 2, 443);
	tcp[12] = 5 << 4;
	tcp[13] = flags;
	return f;
}

/* Run the frame through the kernel; which counter moved? */
static enum rf_drop run(const struct frame *f)
{
	enum rf_drop why = test_filter_run(f->b, f->n);
	assert_int_not_equal(why, RF_DROP_COUNT);
	return why;
}

static void prefixes_decide(void **state)
{
	(void)state;
	struct rf_err e;
	struct rf_prefix at;
	struct rf_prefixes *p = rf_prefixes_new(&test.maps);
	struct { const char *prefix; uint16_t tag; } policy[] = { { "203.0.113.0/24", 3 }, { "203.0.113.7/32", 2 }, { "2001:db8:bad::/48", 5 } };
	for (size_t i = 0; i < 3; i++) {
		assert_true(rf_prefix_parse(rf_str_z(policy[i].prefix), true, &at));
		assert_int_equal(rf_prefixes_set(p, &at, policy[i].tag, &e), RF_OK);
	}
	struct frame f = udp4("203.0.113.6", 1024, 8);
	assert_int_equal(run(&f), RF_DROP_DENIED);
	f = udp4("203.0.113.7", 1024, 8);
	assert_int_equal(run(&f), RF_DROP_ALLOWED);
	f = udp4("203.0.114.7", 1024, 8);
	assert_int_equal(run(&f), RF_DROP_PASS);
	f = tcp6("2001:db8:bad::1", RF_TCP_SYN);
	assert_int_equal(run(&f), RF_DROP_DENIED);
	f = tcp6("2001:db8:bae::1", RF_TCP_SYN);
	assert_int_equal(run(&f), RF_DROP_PASS);
	for (size_t i = 0; i < 3; i++) {
		assert_true(rf_prefix_parse(rf_str_z(policy[i].prefix), true, &at));
		assert_int_equal(rf_prefixes_clear(p, &at), RF_OK);
	}
	f = udp4("203.0.113.6", 1024, 8);
	assert_int_equal(run(&f), RF_DROP_PASS);
	rf_prefixes_free(p);
}

static void reflection_and_rates_decide(void **state)
{
	(void)state;
	struct frame f = udp4("192.0.2.53", 53, 100);
	assert_int_equal(run(&f), RF_DROP_PASS);
	test.maps.conf->reflect[53 / 64] |= 1ull << (53 % 64);
	assert_int_equal(run(&f), RF_DROP_REFLECTION);
	test.maps.conf->reflect[53 / 64] = 0;
	test.maps.conf->source = (struct rf_rate_conf){ 3600ull * 1000000000, 2 * 3600ull * 1000000000 };
	f = udp4("192.0.2.77", 1000, 8);
	for (int i = 0; i < 3; i++)
		assert_int_equal(run(&f), RF_DROP_PASS);
	assert_int_equal(run(&f), RF_DROP_RATE_SOURCE);
	f = udp4("192.0.2.78", 1000, 8);
	assert_int_equal(run(&f), RF_DROP_PASS);
	test.maps.conf->source.cost_ns = 0;
	f = udp4("192.0.2.77", 1000, 8);
	assert_int_equal(run(&f), RF_DROP_PASS);
}

enum { HOUR_BURST = 100, SPOOFED = 300000 };

/* So many at once, and one an hour more: nothing becomes free while the test runs. */
static struct rf_rate_conf at_once(unsigned frames)
{
	const uint64_t hour = 3600ull * 1000000000;
	return (struct rf_rate_conf){ hour, (frames - 1) * hour };
}

static void from4(struct frame *f, uint32_t ip)
{
	f->b[26] = (uint8_t)(ip >> 24);
	f->b[27] = (uint8_t)(ip >> 16);
	be16(f->b + 28, ip);
}

static unsigned passed(struct frame *f, unsigned n)
{
	unsigned got = 0;
	while (n--)
		got += run(f) == RF_DROP_PASS;
	return got;
}

static void networks_share_a_rate(void **state)
{
	struct frame four = udp4("203.0.113.0", 1000, 8), six = tcp6("2001:db8:7::1", RF_TCP_SYN);
	unsigned got = 0;
	(void)state;
	test.maps.conf->prefix = at_once(10);
	for (uint32_t i = 1; i < 255; i++) {
		from4(&four, 0xcb007100 + i);
		enum rf_drop why = run(&four);
		assert_true(why == RF_DROP_PASS || why == RF_DROP_RATE_PREFIX);
		got += why == RF_DROP_PASS;
	}
	assert_int_equal(got, 10); /* all of 203.0.113.0/24 */
	from4(&four, 0xcb007201);
	assert_int_equal(passed(&four, 20), 10);
	got = 0;
	for (unsigned i = 0; i < 200; i++) {
		be16(six.b + 28, i); /* the last bits of the /64 */
		be16(six.b + 36, i);
		got += run(&six) == RF_DROP_PASS;
	}
	assert_int_equal(got, 10); /* all of 2001:db8:7::/48 */
	six.b[27]++;
	assert_int_equal(passed(&six, 20), 10);
}

static void destinations_share_a_rate(void **state)
{
	struct frame f = udp4("203.0.113.0", 1000, 8), part = udp4("203.0.113.0", 1000, 64);
	unsigned got = 0;
	(void)state;
	test.maps.conf->target = at_once(10);
	for (uint32_t i = 1; i < 100; i++) {
		from4(&f, 0xc6120000 + 256 * i);
		enum rf_drop why = run(&f);
		assert_true(why == RF_DROP_PASS || why == RF_DROP_RATE_TARGET);
		got += why == RF_DROP_PASS;
	}
	assert_int_equal(got, 10);
	be16(f.b + 36, 5684); /* another port, another address */
	assert_int_equal(passed(&f, 20), 10);
	f.b[33]++;
	assert_int_equal(passed(&f, 20), 10);
	be16(part.b + 20, 0x2064); /* later fragments have no port: they share one */
	from4(&part, 0xc6120001);
	assert_int_equal(passed(&part, 20), 10);
}

/* Three hundred thousand sources, each with a frame, and one that keeps within its rate: the tables take no more than they have, and the
 * one loses next to nothing. */
static void rates_hold_under_spoofed_sources(void **state)
{
	struct frame spoofed = udp4("198.18.0.1", 1000, 8), good = udp4("203.0.113.9", 1000, 8), loud = udp4("203.0.113.10", 1000, 8);
	unsigned good_passed = 0, spoofed_passed = 0;
	uint64_t random = 5;
	(void)state;
	test.maps.conf->source = at_once(HOUR_BURST);
	for (unsigned i = 0; i < SPOOFED; i++) {
		random = random * 6364136223846793005ull + 1442695040888963407ull;
		from4(&spoofed, 0x10000000 | (uint32_t)(random >> 40)); /* 16.0.0.0/8 */
		spoofed_passed += run(&spoofed) == RF_DROP_PASS;
		if (i % (SPOOFED / HOUR_BURST) == 0)
			good_passed += run(&good) == RF_DROP_PASS;
	}
	assert_in_range(good_passed, HOUR_BURST - 3, HOUR_BURST);
	assert_in_range(passed(&good, 100), 0, 3); /* and has no more than its rate */
	assert_in_range(passed(&loud, 1000), HOUR_BURST - 3, HOUR_BURST);
	assert_true(spoofed_passed >= SPOOFED - SPOOFED / 1000); /* each of them is within its own */
	struct bpf_map_info info = { 0 };
	__u32 n = sizeof info;
	assert_int_equal(bpf_obj_get_info_by_fd(rf_filter_map(test.filter, RF_FILTER_MAP_rates), &info, &n), 0);
	assert_int_equal(info.type, BPF_MAP_TYPE_ARRAY); /* it does not grow, and nothing is pushed out */
	assert_int_equal(info.max_entries, RF_RATE_ROWS * RF_RATE_PLACES);
}

static uint64_t seed = 11;

static uint32_t draw(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % below;
}

/* A well-formed frame with some bytes changed, some cut or some more. */
static struct frame mutant(void)
{
	static const char *const v4[] = { "192.0.2.1", "127.0.0.1", "224.0.0.1" }, *const v6[] = { "2001:db8::2", "::1", "ff02::1", "2001:db8::1" };
	struct frame f = draw(2) ? udp4(v4[draw(8) ? 0 : draw(3)], draw(65536), draw(64)) : tcp6(v6[draw(8) ? 0 : draw(4)], (uint8_t)draw(64));
	bool six = f.b[12] == 0x86;
	if (six && draw(2)) { /* extension headers in front of TCP */
		unsigned n = 8 * (1 + draw(3));
		static const uint8_t kinds[] = { 0, 43, 44, 60, 51, 135 };
		memmove(f.b + 54 + n, f.b + 54, f.n - 54);
		f.b[20] = kinds[draw(6)];
		f.b[54] = draw(4) ? RF_PROTO_TCP : kinds[draw(6)];
		f.b[55] = (uint8_t)(n / 8 - 1);
		memset(f.b + 56, draw(3) ? 0 : 1, n - 2);
		f.n += n;
		be16(f.b + 18, (unsigned)f.n - 54);
	}
	static const uint16_t parts[] = { 0x2000, 0x2001, 1, 2, 3, 0x1fff, 0x4000 };
	if (!six && !draw(4))
		be16(f.b + 20, draw(2) ? parts[draw(7)] : draw(65536));
	for (unsigned i = draw(4); i--;)
		f.b[12 + draw((uint32_t)f.n - 12)] = (uint8_t)draw(256);
	for (unsigned tags = draw(6) ? 0 : draw(4); tags--;) {
		memmove(f.b + 16, f.b + 12, f.n - 12);
		be16(f.b + 12, 0x8100);
		f.n += 4;
	}
	if (!draw(4))
		f.n = 14 + draw((uint32_t)f.n - 13);
	return f;
}

enum { MUTANTS = 5000 };

/* A row for an address of devices, as the user side would put it. */
static struct rf_home *home_row(struct rf_home_bucket *rows, const char *text)
{
	struct rf_ip ip;
	__u32 a[4];
	assert_true(rf_ip_parse(rf_str_z(text), &ip));
	memcpy(a, ip.b, sizeof a);
	struct rf_key k = ip.family == 4 ? rf_key4(rf_host32(a[0]), 32) : rf_key6(a);
	struct rf_home_bucket *b = &rows[rf_home_bucket_of((struct rf_home_key){ k.hi, k.lo }, test.maps.conf->secret, ip.family == 6)];
	b->key[ip.family == 6 ? 3 : 1] = (struct rf_home_key){ k.hi, k.lo };
	return &b->home[ip.family == 6 ? 3 : 1];
}

static void kernel_and_host_count_homes_alike(void **state)
{
	static const char *const who[] = { "192.0.2.1", "2001:db8::2" };
	struct rf_home_bucket *rows = test_map(RF_FILTER_MAP_homes, RF_HOME_BUCKETS * sizeof *rows);
	struct rf_home *kernel[] = { home_row(rows, who[0]), home_row(rows, who[1]) }, host[2] = { 0 };
	struct rf_ip ip[2];
	(void)state;
	test.maps.conf->fleet = 1;
	test.maps.conf->ban[443 / 64] = 1ull << 443 % 64;
	test.maps.conf->scan[5683 / 64] = 1ull << 5683 % 64;
	for (int i = 0; i < 2; i++) {
		rf_ip_parse(rf_str_z(who[i]), &ip[i]);
		kernel[i]->state = RF_HOME_EXEMPT; /* all are counted, and pass */
	}
	for (int i = 0; i < MUTANTS; i++) {
		struct frame f = mutant();
		struct rf_frame at;
		if (rf_parse_frame(f.b, f.b + f.n, &at) == RF_DROP_PASS)
			for (int k = 0; k < 2; k++)
				if (at.family == ip[k].family && memcmp(at.src, ip[k].b, ip[k].family == 4 ? 4 : 16) == 0)
					rf_home_count(&host[k], test.maps.conf, &at, 1);
		run(&f);
	}
	for (int k = 0; k < 2; k++) {
		assert_int_equal(kernel[k]->syns, host[k].syns);
		assert_int_equal(kernel[k]->datagrams, host[k].datagrams);
		assert_int_equal(kernel[k]->frames, host[k].frames);
		assert_int_equal(kernel[k]->scans, host[k].scans);
		assert_int_equal(kernel[k]->scan_targets, host[k].scan_targets);
		assert_memory_equal(kernel[k]->targets, host[k].targets, sizeof host[k].targets);
	}
	assert_true(host[0].datagrams && host[1].syns && host[1].frames && host[1].scans && host[1].scan_targets);
	struct frame nobody = udp4("192.0.2.99", 5, 8);
	uint64_t before = kernel[0]->datagrams;
	assert_int_equal(run(&nobody), RF_DROP_PASS);
	assert_int_equal(kernel[0]->datagrams, before);
	munmap(rows, RF_HOME_BUCKETS * sizeof *rows);
}

static struct { unsigned n, size, bytes, why, kind; uint8_t last; } shown;

static void note(void *ctx, const void *entry)
{
	const struct rf_shown *s = entry;
	(void)ctx;
	shown.n++;
	shown.size = s->size;
	shown.bytes = s->n;
	shown.why = s->why;
	shown.kind = s->kind;
	shown.last = s->n ? s->bytes[s->n - 1] : 0;
}

static unsigned take(struct rf_frames *frames)
{
	memset(&shown, 0, sizeof shown);
	return rf_frames_take(frames, 10000, note, NULL);
}

static void frames_are_shown_as_wanted(void **state)
{
	struct rf_err e = { 0 };
	struct rf_frames frames;
	struct rf_prefix at;
	(void)state;
	assert_int_equal(rf_frames_init(&frames, rf_filter_map(test.filter, RF_FILTER_MAP_samples), RF_SAMPLES_SIZE, sizeof(struct rf_shown)), RF_OK);
	struct rf_prefixes *p = rf_prefixes_new(&test.maps);
	assert_true(rf_prefix_parse(RF_STR("203.0.113.0/24"), true, &at));
	assert_int_equal(rf_prefixes_set(p, &at, 3, &e), RF_OK);
	struct frame bad = udp4("203.0.113.6", 1024, 600), good = udp4("192.0.2.6", 1024, 8);
	bad.b[bad.n - 1] = 0x5a;
	assert_int_equal(run(&bad), RF_DROP_DENIED);
	assert_int_equal(take(&frames), 0); /* nobody wants any */
	test.maps.conf->samples = 3;
	for (int i = 0; i < 20; i++)
		assert_int_equal(run(&bad), RF_DROP_DENIED);
	assert_int_equal(run(&good), RF_DROP_PASS);
	unsigned n = take(&frames); /* of one second, or of two */
	assert_true(n >= 3 && n <= 6 * (unsigned)sysconf(_SC_NPROCESSORS_ONLN));
	assert_true(shown.size == bad.n && shown.bytes == RF_SAMPLE_HEAD && shown.why == RF_DROP_DENIED && shown.kind == RF_SAMPLE_RECORD);
	test.maps.conf->samples = 0;
	test.maps.conf->capture_why = 1ull << RF_DROP_DENIED | 1ull << RF_DROP_PASS;
	assert_int_equal(run(&bad), RF_DROP_DENIED);
	assert_int_equal(take(&frames), 1);
	assert_true(shown.size == bad.n && shown.bytes == bad.n && shown.last == 0x5a && shown.kind == RF_SAMPLE_CAPTURE);
	assert_int_equal(run(&good), RF_DROP_PASS);
	assert_int_equal(take(&frames), 1);
	assert_int_equal(shown.why, RF_DROP_PASS);
	for (unsigned i = 0; i < RF_SAMPLES_SIZE / RF_SAMPLE_BYTES; i++) /* more than there is room for: told, and it goes on */
		assert_int_equal(run(&good), RF_DROP_PASS);
	uint64_t unshown = 0;
	for (unsigned i = 0; i < RF_FILTER_CPUS; i++)
		unshown += test.counts[i].unshown;
	assert_true(unshown > 0);
	assert_int_equal(take(&frames) + unshown, RF_SAMPLES_SIZE / RF_SAMPLE_BYTES);
	assert_int_equal(run(&good), RF_DROP_PASS);
	assert_int_equal(take(&frames), 1);
	test.maps.conf->capture_why = 0;
	rf_prefixes_free(p);
	rf_frames_fini(&frames);
}

/* --- glimpses and stops --- */

static struct { unsigned n; uint64_t frames; struct rf_glimpse last; } glimpsed;

static void glimpse(void *ctx, const void *entry)
{
	(void)ctx;
	memcpy(&glimpsed.last, entry, sizeof glimpsed.last);
	glimpsed.n++;
	glimpsed.frames += glimpsed.last.weight;
}

static unsigned look(struct rf_frames *frames)
{
	memset(&glimpsed, 0, sizeof glimpsed);
	rf_frames_take(frames, 100000, glimpse, NULL);
	test.maps.conf->look++;
	return glimpsed.n;
}

static void frames_are_glimpsed_the_fewer_the_more_there_are(void **state)
{
	struct rf_frames frames;
	struct frame f = udp4("192.0.2.6", 1024, 8), bad = f;
	cpu_set_t all, one;
	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0); /* each processor has a count of its own */
	assert_int_equal(rf_frames_init(&frames, rf_filter_map(test.filter, RF_FILTER_MAP_glimpses), RF_GLIMPSES_SIZE, sizeof(struct rf_glimpse)), RF_OK);
	assert_int_equal(run(&f), RF_DROP_PASS);
	assert_int_equal(look(&frames), 0); /* nobody looks */
	assert_int_equal(run(&f), RF_DROP_PASS);
	assert_int_equal(look(&frames), 1);
	assert_true(glimpsed.last.family == 4 && glimpsed.last.proto == RF_PROTO_UDP && glimpsed.last.sport == 1024 && glimpsed.last.size == f.n);
	assert_true(glimpsed.last.why == RF_DROP_PASS && glimpsed.last.weight == 1 && glimpsed.last.socket == RF_SOCKET_NONE);
	bad.b[14] = 0x35;
	assert_int_equal(run(&bad), RF_DROP_IP4_HEADER);
	assert_int_equal(look(&frames), 1);
	assert_true(glimpsed.last.family == 0 && glimpsed.last.why == RF_DROP_IP4_HEADER);
	for (unsigned i = 0; i < RF_GLIMPSE_STEP; i++)
		run(&f);
	assert_int_equal(look(&frames), RF_GLIMPSE_STEP);
	for (unsigned i = 0; i < 100000; i++)
		run(&f);
	look(&frames);
	assert_in_range(glimpsed.n, RF_GLIMPSE_STEP * 6, RF_GLIMPSE_STEP * 10); /* of 2, 4, 8 ... frames one, for as many as there are */
	assert_in_range(glimpsed.frames, 95000, 100000);
	assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
	rf_frames_fini(&frames);
}

static void floods_that_were_found_are_stopped(void **state)
{
	struct rf_stops *stops = test_map(RF_FILTER_MAP_stops, sizeof *stops);
	struct frame f = udp4("203.0.113.6", 53, 8), other = udp4("203.0.113.6", 54, 8), regular = udp4("203.0.113.7", 53, 8);
	uint32_t src[4] = { 0 };
	unsigned passed = 0;
	(void)state;
	struct rf_stop s = { .rate = { 1000000000, 1000000000 }, .number = 7, .family = 4, .proto = RF_PROTO_UDP, .sport = 53, .of_dst = 1 };
	memcpy(s.dst, f.b + 30, 4);
	stops->v[1][0] = s;
	test.maps.conf->stops = 1 | RF_STOPS_OTHER;
	memcpy(src, regular.b + 26, 4);
	uint64_t key = rf_known_key(src, test.maps.conf->secret);
	stops->known[rf_known_place(key)] = key;
	for (int i = 0; i < 100; i++)
		passed += run(&f) == RF_DROP_PASS;
	assert_in_range(passed, 1, 3); /* its rate */
	assert_int_equal(run(&other), RF_DROP_PASS);
	for (int i = 0; i < 10; i++)
		assert_int_equal(run(&regular), RF_DROP_PASS); /* who was here before */
	memcpy(s.src, src, sizeof s.src);
	s.of_src = 1;
	s.number = 8;
	stops->v[0][0] = s;
	test.maps.conf->stops = 1; /* a source that is named is stopped all the same, and no other */
	passed = 0;
	for (int i = 0; i < 100; i++)
		passed += run(&regular) == RF_DROP_PASS;
	assert_in_range(passed, 1, 3);
	assert_int_equal(run(&f), RF_DROP_PASS);
	s.dst[0] ^= 1;
	stops->v[0][0] = s;
	assert_int_equal(run(&regular), RF_DROP_PASS);
	test.maps.conf->stops = 0;
	munmap(stops, sizeof *stops);
}

static void the_gate_outlives_the_process(void **state)
{
	struct rf_err e = { 0 };
	enum rf_filter_mode mode;
	struct rf_prefix at;
	(void)state;
	if (unshare(CLONE_NEWNET) != 0)
		skip();
	struct rf_prefixes *p = rf_prefixes_new(&test.maps);
	assert_true(rf_prefix_parse(RF_STR("203.0.113.0/24"), true, &at));
	assert_int_equal(rf_prefixes_set(p, &at, 3, &e), RF_OK);
	rf_prefixes_free(p);
	assert_int_equal(rf_filter_attach(test.filter, "nothere0", RF_GATE_BEST, true, &mode, &e), RF_E_NOT_FOUND);
	if (rf_filter_attach(test.filter, "lo", RF_GATE_BEST, true, &mode, &e) != RF_OK)
		fail_msg("%s", e.text);
	assert_int_equal(mode, RF_FILTER_GENERIC);
	close_filter();
	open_filter(false);
	struct frame f = udp4("203.0.113.6", 1024, 8);
	assert_int_equal(run(&f), RF_DROP_DENIED);
	assert_int_equal(rf_filter_attach(test.filter, "lo", RF_GATE_BEST, true, &mode, &e), RF_OK);
	rf_filter_detach(test.filter, "lo");
	assert_int_equal(rf_filter_attach(test.filter, "lo", RF_GATE_BEST, true, &mode, &e), RF_OK);
	rf_filter_detach(test.filter, "lo");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(prefixes_decide, begin, end),
		cmocka_unit_test_setup_teardown(reflection_and_rates_decide, begin, end),
		cmocka_unit_test_setup_teardown(networks_share_a_rate, begin, end),
		cmocka_unit_test_setup_teardown(destinations_share_a_rate, begin, end),
		cmocka_unit_test_setup_teardown(rates_hold_under_spoofed_sources, begin, end),
		cmocka_unit_test_setup_teardown(kernel_and_host_count_homes_alike, begin, end),
		cmocka_unit_test_setup_teardown(frames_are_shown_as_wanted, begin, end),
		cmocka_unit_test_setup_teardown(frames_are_glimpsed_the_fewer_the_more_there_are, begin, end),
		cmocka_unit_test_setup_teardown(floods_that_were_found_are_stopped, begin, end),
		cmocka_unit_test_setup_teardown(the_gate_outlives_the_process, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
