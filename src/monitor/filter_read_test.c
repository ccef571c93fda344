/* Frames as the kernel filter reads them, beside the same parser on the host: equal verdicts for every kept input of the fuzzer, and
 * for mutants of them. Needs root and BPF. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include "bpf/parse.h"
#include "monitor/test.h"

enum { MUTANTS = 150000, TEMPLATES = 128, ROOM = 2048 };

struct frame { uint8_t b[ROOM]; size_t n; };

static struct frame templates[TEMPLATES];
static size_t template_count;

static void keep(const uint8_t *b, size_t n)
{
	assert_true(template_count < TEMPLATES && n <= ROOM);
	memcpy(templates[template_count].b, b, n);
	templates[template_count++].n = n;
}

static void read_kept(void)
{
	static const char dir[] = "tests/fuzz/corpus/frame";
	char path[512];
	DIR *d = opendir(dir);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));) {
		uint8_t b[ROOM];
		snprintf(path, sizeof path, "%s/%.200s", dir, e->d_name);
		FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "rb");
		if (!f)
			continue;
		size_t n = fread(b, 1, sizeof b, f);
		fclose(f);
		keep(b, n);
	}
	closedir(d);
	assert_true(template_count >= 20);
}

static int begin(void **state)
{
	struct rf_err e = { 0 };
	bool fresh;
	(void)state;
	if (geteuid() != 0)
		skip();
	if (test_filter_open("read", &fresh, &e) != RF_OK)
		fail_msg("%s", e.text);
	if (!template_count)
		read_kept();
	return 0;
}

static int end(void **state)
{
	(void)state;
	test_filter_close();
	test_filter_unpin();
	return 0;
}

static uint64_t seed = 18;

static uint32_t draw(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % below;
}

static void be16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void insert(struct frame *f, size_t at, const uint8_t *p, size_t n)
{
	if (at > f->n || f->n + n > ROOM)
		return;
	memmove(f->b + at + n, f->b + at, f->n - at);
	memcpy(f->b + at, p, n);
	f->n += n;
}

/* Where the header of IP begins, behind all tags; 0: nowhere. */
static size_t ip_of(const struct frame *f)
{
	size_t at = 12;
	while (at + 6 <= f->n && ((f->b[at] == 0x81 && f->b[at + 1] == 0) || (f->b[at] == 0x88 && f->b[at + 1] == 0xa8)))
		at += 4;
	return at + 2 + 20 <= f->n && ((f->b[at] == 8 && !f->b[at + 1]) || (f->b[at] == 0x86 && f->b[at + 1] == 0xdd)) ? at + 2 : 0;
}

static bool is_six(const struct frame *f, size_t ip) { return f->b[ip] >> 4 == 6; }

static void tag(struct frame *f)
{
	const uint8_t tags[2][4] = { { 0x81, 0, 0, (uint8_t)draw(256) }, { 0x88, 0xa8, (uint8_t)draw(256), 1 } };
	insert(f, 12, tags[draw(2)], 4);
}

/* Options of IPv4, a length that is right or not. */
static void four_options(struct frame *f, size_t ip)
{
	static const uint8_t kinds[] = { 0, 1, 7, 68, 131, 137, 148 };
	uint8_t option[40] = { kinds[draw(7)], (uint8_t)draw(44), 4 };
	size_t n = 4 * (1 + draw(10)), had = (size_t)(f->b[ip] & 15) * 4;
	if (had + n > 60 || ip + had > f->n)
		return;
	insert(f, ip + had, option, n);
	f->b[ip] = (uint8_t)(0x40 | (had + n) / 4);
	be16(f->b + ip + 2, (unsigned)(f->b[ip + 2] << 8 | f->b[ip + 3]) + (unsigned)n);
}

static void four_part(struct frame *f, size_t ip)
{
	static const uint16_t parts[] = { 0x2000, 0x2001, 1, 2, 3, 4, 0x2003, 0x1fff, 0x3fff, 0x4000, 0x6000, 0x8000 };
	be16(f->b + ip + 6, draw(3) ? parts[draw(12)] : draw(65536));
}

/* An extension header in front of what is first: of any kind and length, right or not. */
static void six_chain(struct frame *f, size_t ip)
{
	static const uint8_t kinds[] = { 0, 43, 44, 44, 44, 50, 51, 59, 60, 135, 139, 140 };
	static const uint16_t parts[] = { 0, 1, 8, 9, 24, 25, 32, 0xfff8, 0xfff9 };
	uint8_t header[64] = { f->b[ip + 6], 0 }, kind = kinds[draw(12)];
	size_t n = kind == 44 ? 8 : 8 * (1 + draw(4));
	if (ip + 40 > f->n)
		return;
	header[1] = (uint8_t)(kind == 51 ? n / 4 - 2 : kind == 44 ? 0 : n / 8 - 1);
	if (kind == 44)
		be16(header + 2, parts[draw(9)]);
	else if (!draw(4))
		header[1] = (uint8_t)draw(256);
	insert(f, ip + 40, header, n);
	f->b[ip + 6] = kind;
	be16(f->b + ip + 4, (unsigned)(f->b[ip + 4] << 8 | f->b[ip + 5]) + (unsigned)n);
}

static void cut_or_lengthen(struct frame *f)
{
	if (draw(2) && f->n > TEST_FRAME_LEAST)
		f->n = TEST_FRAME_LEAST + draw((uint32_t)(f->n - TEST_FRAME_LEAST + 1));
	else if (f->n + 64 <= ROOM)
		f->n += draw(64);
}

static struct frame mutant(void)
{
	struct frame f = templates[draw((uint32_t)template_count)];
	size_t ip = ip_of(&f);
	if (f.n < TEST_FRAME_LEAST)
		f.n = TEST_FRAME_LEAST;
	for (unsigned i = draw(3); ip && i--;)
		(is_six(&f, ip) ? six_chain : draw(2) ? four_options : four_part)(&f, ip);
	for (unsigned i = draw(4); i--;) {
		size_t from = draw(4) ? (ip ? ip : 12) : 12, room = f.n - from < 80 ? f.n - from : 80;
		if (f.n > from)
			f.b[from + draw((uint32_t)room)] = draw(3) ? (uint8_t)draw(256) : (uint8_t)(draw(2) ? 0 : 255);
	}
	for (unsigned i = draw(6) ? 0 : draw(4); i--;)
		tag(&f);
	if (!draw(4))
		cut_or_lengthen(&f);
	return f;
}

static enum rf_drop on_host(const struct frame *f)
{
	struct rf_frame at;
	uint8_t *exact = malloc(f->n); /* so that a byte too far is seen */
	assert_non_null(exact);
	memcpy(exact, f->b, f->n);
	enum rf_drop why = rf_parse_frame(exact, exact + f->n, &at);
	free(exact);
	return why;
}

static void kept_inputs_of_the_fuzzer_are_read_alike(void **state)
{
	(void)state;
	for (size_t i = 0; i < template_count; i++) {
		const struct frame *f = &templates[i];
		if (f->n < TEST_FRAME_LEAST)
			assert_int_equal(on_host(f), RF_DROP_RUNT); /* the kernel has none so short */
		else
			assert_int_equal(test_filter_run(f->b, f->n), on_host(f));
	}
}

static void mutants_are_read_alike(void **state)
{
	unsigned seen[RF_DROP_COUNT] = { 0 };
	(void)state;
	for (int i = 0; i < MUTANTS; i++) {
		struct frame f = mutant();
		enum rf_drop host = on_host(&f), kernel = test_filter_run(f.b, f.n);
		if (host != kernel)
			fail_msg("mutant %d: %d on the host, %d in the kernel", i, host, kernel);
		seen[kernel]++;
	}
	static const enum rf_drop all[] = { RF_DROP_PASS, RF_DROP_NOT_IP, RF_DROP_RUNT, RF_DROP_VLAN_DEPTH, RF_DROP_IP4_HEADER,
		RF_DROP_IP6_HEADER, RF_DROP_IP6_CHAIN, RF_DROP_FRAGMENT, RF_DROP_SOURCE, RF_DROP_TCP_HEADER, RF_DROP_TCP_FLAGS,
		RF_DROP_UDP_LENGTH };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (seen[all[i]] < MUTANTS / 1000)
			fail_msg("only %u mutants had the end %d", seen[all[i]], all[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(kept_inputs_of_the_fuzzer_are_read_alike, begin, end),
		cmocka_unit_test_setup_teardown(mutants_are_read_alike, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
