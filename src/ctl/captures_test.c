/* Captures and records of frames, over maps and a ring of our own making. */
#include "ctl/test.h"
#include <sys/mman.h>
#include <unistd.h>
#include "bpf/facts.h"
#include "bpf/filter.h"
#include <linux/bpf.h>
#include "ctl/captures.h"
#include "records/ring.h"
#include "shield/shield.h"

enum { ROOM = 64 << 20, ENTRY = (sizeof(struct rf_shown) + BPF_RINGBUF_HDR_SZ + 7) & ~7 };

static struct rf_captures *captures;
static struct rf_ring *ring;
static uint8_t *samples;             /* the kernel's side: consumer's page, producer's page, ring twice */
static struct rf_filter_conf *conf;
static size_t page;

static uint64_t now_ns;

static uint64_t fake_mono(void *ctx)
{
	(void)ctx;
	return now_ns;
}

static void *map_of(int fd)
{
	void *p = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(p != MAP_FAILED);
	return p;
}

static int setup(void **state)
{
	int fds[RF_FILTER_MAP_COUNT];
	(void)state;
	world_open("");
	now_ns = RF_NS_S;
	w.ctl.clock.mono = fake_mono;
	page = (size_t)sysconf(_SC_PAGESIZE);
	for (int i = 0; i < RF_FILTER_MAP_COUNT; i++) {
		fds[i] = memfd_create("map", MFD_CLOEXEC);
		assert_true(fds[i] >= 0 && ftruncate(fds[i], ROOM) == 0);
	}
	samples = map_of(fds[RF_FILTER_MAP_samples]);
	conf = map_of(fds[RF_FILTER_MAP_conf]);
	GOOD(rf_shield_enter(w.ctl.shield, fds, RF_FILTER_MAP_COUNT, false, 1, &w.e));
	assert_non_null(ring = rf_ring_new(1 << 20, NULL));
	assert_non_null(captures = rf_captures_new(&w.ctl, ring));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rf_captures_free(captures);
	rf_ring_free(ring);
	munmap(samples, ROOM);
	munmap(conf, ROOM);
	world_close();
	return 0;
}

/* As the filter does: one frame from 192.0.2.6, port 1000, to port 5683 of 198.51.100.1, UDP. */
static void show(enum rf_drop why, unsigned kind, uint32_t n)
{
	static const uint8_t frame[] = { 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0x08, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 6,
		198, 51, 100, 1, 0x03, 0xe8, 0x16, 0x33, 0, 8, 0, 0 };
	uint64_t *made = (uint64_t *)(void *)(samples + page), at = *made;
	struct { uint32_t length, place; struct rf_shown s; } e = { sizeof e.s, 0, { .at_ns = now_ns, .size = n, .n = n,
		.why = (uint8_t)why, .kind = (uint8_t)kind } };
	memcpy(e.s.bytes, frame, sizeof frame);
	for (size_t i = 0; i < ENTRY; i++) {
		size_t place = (at + i) & (RF_SAMPLES_SIZE - 1);
		uint8_t b = i < sizeof e ? ((const uint8_t *)&e)[i] : 0;
		samples[2 * page + place] = samples[2 * page + RF_SAMPLES_SIZE + place] = b;
	}
	__atomic_store_n(made, at + ENTRY, __ATOMIC_RELEASE);
}

static json_t *started(const char *reason, int packets, int seconds, char id[33])
{
	json_t *made = NULL, *body = json_pack("{s:s, s:i, s:i}", "reason", reason, "packet_limit", packets, "time_limit", seconds);
	GOOD(rf_captures_start(captures, body, &made, &w.e));
	snprintf(id, 33, "%s", json_string_value(json_object_get(made, "id")));
	json_decref(body);
	return made;
}

static void holds(const char *id, const char *status, int packets)
{
	json_t *now = NULL;
	GOOD(rf_captures_get(captures, id, &now, &w.e));
	assert_string_equal(json_string_value(json_object_get(now, "status")), status);
	assert_int_equal(json_integer_value(json_object_get(now, "packets")), packets);
	json_decref(now);
}

static void it_ends_with_its_frames(void **state)
{
	char id[33];
	json_t *frames = NULL;
	RF_BUF_AUTO file = { 0 };
	(void)state;
	show(RF_DROP_DENIED, RF_SAMPLE_CAPTURE, 42); /* from before */
	now_ns++;
	json_decref(started("denied", 3, 60, id));
	assert_true(conf->capture_why == 1ull << RF_DROP_DENIED && conf->capture_rule == 0);
	for (int i = 0; i < 2; i++)
		show(RF_DROP_DENIED, RF_SAMPLE_CAPTURE, 42);
	holds(id, "running", 2);
	for (int i = 0; i < 4; i++)
		show(RF_DROP_DENIED, RF_SAMPLE_CAPTURE, 42);
	holds(id, "success", 3);
	assert_int_equal(conf->capture_why, 0);
	GOOD(rf_captures_frames(captures, id, 1, &frames, &w.e));
	assert_int_equal(json_array_size(frames), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(frames, 0), "reason")), "denied");
	json_decref(frames);
	GOOD(rf_captures_file(captures, id, &file, &w.e));
	assert_true(file.n > 3 * 42);
	assert_int_equal(rf_captures_frames(captures, "none", 0, &frames, &w.e), RF_E_NOT_FOUND);
}

static void it_ends_with_its_time_or_its_memory(void **state)
{
	char id[33];
	(void)state;
	json_decref(started("pass", 10000, 5, id));
	show(RF_DROP_PASS, RF_SAMPLE_CAPTURE, 42);
	holds(id, "running", 1);
	now_ns += 5 * RF_NS_S;
	holds(id, "success", 1);
	json_decref(started("pass", 10000, 3600, id));
	unsigned most = (16 << 20) / RF_SAMPLE_BYTES;
	for (unsigned i = 1; i <= most; i++) {
		show(RF_DROP_PASS, RF_SAMPLE_CAPTURE, RF_SAMPLE_BYTES);
		if (i % 256 == 0)
			holds(id, "running", (int)i);
	}
	show(RF_DROP_PASS, RF_SAMPLE_CAPTURE, RF_SAMPLE_BYTES);
	holds(id, "success", (int)most);
}

static void one_runs_at_a_time_and_the_last_four_are_kept(void **state)
{
	char id[33], first[33];
	json_t *unused = NULL, *body = json_pack("{s:s}", "reason", "pass");
	(void)state;
	json_decref(started("denied", 9, 60, first));
	assert_int_equal(rf_captures_start(captures, body, &unused, &w.e), RF_E_CONFLICT);
	for (int i = 0; i < 4; i++) {
		GOOD(rf_captures_stop(captures, i ? id : first, &unused, &w.e));
		json_decref(unused);
		json_decref(started("pass", 9, 60, id));
	}
	json_t *all = rf_captures_list(captures);
	assert_int_equal(json_array_size(all), 4);
	assert_string_equal(json_string_value(json_object_get(json_array_get(all, 0), "id")), id);
	assert_int_equal(rf_captures_get(captures, first, &unused, &w.e), RF_E_NOT_FOUND);
	json_decref(all);
	json_decref(body);
}

static void what_is_to_be_recorded_is(void **state)
{
	char id[33];
	struct rf_record r;
	(void)state;
	show(RF_DROP_RATE_SOURCE, RF_SAMPLE_RECORD, 42);
	show(RF_DROP_COUNT, RF_SAMPLE_RECORD, 42); /* no reason of ours */
	show(RF_DROP_PASS, RF_SAMPLE_RECORD, 5);   /* no packet */
	json_decref(started("denied", 9, 60, id));
	holds(id, "running", 0);
	assert_true(rf_ring_peek(ring, &r));
	assert_true(r.kind == RF_REC_PACKET && rf_str_eq(r.action, RF_STR("block")) && rf_str_eq(r.protocol, RF_STR("udp")));
	assert_true(r.src_port == 1000 && r.dst_port == 5683 && r.bytes_in == 42 && rf_str_eq(r.reason, RF_STR("over the rate of its source")));
	rf_ring_pop(ring);
	assert_true(rf_ring_peek(ring, &r));
	assert_true(rf_str_eq(r.action, RF_STR("log")) && r.src.family == 0);
	rf_ring_pop(ring);
	assert_false(rf_ring_peek(ring, &r));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(it_ends_with_its_frames), T(it_ends_with_its_time_or_its_memory), T(one_runs_at_a_time_and_the_last_four_are_kept),
		T(what_is_to_be_recorded_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
