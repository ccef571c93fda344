/* Floods of frames as attacks, over maps and a ring of our own making, on virtual time. */
#include "ctl/test.h"
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include "bpf/filter.h"
#include "ctl/doc.h"
#include "ctl/frame_attacks.h"
#include "loop/replay.h"
#include "records/ring.h"
#include "records/record.h"

enum { ROOM = 64 << 20, ENTRY = sizeof(struct rf_glimpse) + BPF_RINGBUF_HDR_SZ, TENTH = RF_NS_S / 10 };

static struct rf_frame_attacks *attacks;
static struct rf_replay *replay;
static struct rf_loop *epoll;
static struct rf_ring *ring;
static uint8_t *glimpses; /* the kernel's side: consumer's page, producer's page, ring twice */
static struct rf_filter_conf *conf;
static struct rf_stops *stops;
static size_t page;
static uint32_t source;

static uint64_t now_mono(void *ctx)
{
	(void)ctx;
	return rf_loop_now(rf_replay_loop(replay));
}

static int64_t now_wall(void *ctx) { return (int64_t)now_mono(ctx) + NOW * (int64_t)RF_NS_S; }

static void *map_of(int fd, size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(p != MAP_FAILED);
	return p;
}

static void begin(void) { GOOD(rf_frame_attacks_new(&w.ctl, ring, &attacks, &w.e)); }

static int setup(void **state)
{
	int fds[RF_FILTER_MAP_COUNT];
	(void)state;
	world_open("");
	replay = rf_replay_new();
	epoll = w.ctl.loop;
	w.ctl.loop = rf_replay_loop(replay);
	w.ctl.clock = (struct rf_clock){ now_mono, now_wall, NULL };
	page = (size_t)sysconf(_SC_PAGESIZE);
	for (int i = 0; i < RF_FILTER_MAP_COUNT; i++) {
		fds[i] = memfd_create("map", MFD_CLOEXEC);
		assert_true(fds[i] >= 0 && ftruncate(fds[i], ROOM) == 0);
	}
	glimpses = map_of(fds[RF_FILTER_MAP_glimpses], 2 * page + 2 * RF_GLIMPSES_SIZE);
	conf = map_of(fds[RF_FILTER_MAP_conf], sizeof *conf);
	stops = map_of(fds[RF_FILTER_MAP_stops], sizeof *stops);
	GOOD(rf_shield_enter(w.ctl.shield, fds, RF_FILTER_MAP_COUNT, false, now_mono(NULL), &w.e));
	assert_non_null(ring = rf_ring_new(1 << 20, NULL));
	source = 0x0a000000;
	begin();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rf_frame_attacks_free(attacks);
	rf_ring_free(ring);
	munmap(glimpses, 2 * page + 2 * RF_GLIMPSES_SIZE);
	munmap(conf, sizeof *conf);
	munmap(stops, sizeof *stops);
	w.ctl.loop = epoll;
	rf_replay_free(replay);
	world_close();
	return 0;
}

/* As the filter does. */
static void put(const struct rf_glimpse *g)
{
	uint64_t *made = (uint64_t *)(void *)(glimpses + page), at = *made;
	struct { uint32_t length, place; struct rf_glimpse g; } e = { sizeof *g, 0, *g };
	_Static_assert(sizeof e == ENTRY, "entries follow one another");
	for (size_t i = 0; i < ENTRY; i++) {
		size_t place = (at + i) & (RF_GLIMPSES_SIZE - 1);
		glimpses[2 * page + place] = glimpses[2 * page + RF_GLIMPSES_SIZE + place] = ((const uint8_t *)&e)[i];
	}
	__atomic_store_n(made, at + ENTRY, __ATOMIC_RELEASE);
}

/* So many frames a second of UDP to 198.51.100.1, each from another source, for so long. */
static void flood(unsigned seconds, unsigned frames, uint16_t sport, enum rf_drop why)
{
	struct rf_glimpse g = { .weight = 10, .size = 100, .dst = { htonl(0xc6336401) }, .sport = sport, .dport = 5683, .family = 4,
				.proto = RF_PROTO_UDP, .why = (uint8_t)why };
	for (unsigned tenth = 0; tenth < 10 * seconds; tenth++) {
		for (unsigned i = 0; i < frames / 100; i++) {
			g.src[0] = htonl(source++);
			put(&g);
		}
		assert_int_equal(rf_replay_run(replay, TENTH), RF_OK);
	}
}

static void quiet(unsigned seconds) { assert_int_equal(rf_replay_run(replay, seconds * RF_NS_S), RF_OK); }

static int take(const struct rf_object *o, void *arg)
{
	json_t *all = arg, *doc = json_copy(o->doc);
	json_object_set_new(doc, "id", json_string(o->id));
	rf_frame_attacks_live(attacks, o->id, doc);
	json_array_append_new(all, doc);
	return 0;
}

/* All that are kept, the caller's. */
static json_t *kept(void)
{
	struct rf_store_query all = { 0 };
	json_t *list = json_array();
	GOOD(rf_store_list(w.ctl.store, RF_KIND_ATTACK, &all, take, list, NULL, &w.e));
	return list;
}

static int64_t at(const json_t *list, size_t i, const char *name) { return doc_int(json_array_get(list, i), name, -1); }

static unsigned stops_in_force(void) { return conf->stops & (RF_STOPS_OTHER - 1); }

static void a_flood_is_an_attack_with_its_facts_until_it_is_over(void **state)
{
	struct rf_record r;
	(void)state;
	flood(1, 3000, 4000, RF_DROP_PASS); /* below floods.packets */
	assert_int_equal(rf_frame_attacks_active(attacks), 0);
	flood(2, 20000, 4000, RF_DROP_PASS);
	json_t *list = kept(), *one = json_array_get(list, 0);
	assert_int_equal(json_array_size(list), 1);
	assert_true(doc_is(one, "vector", "udp_flood") && doc_is(one, "status", "active") && doc_is(one, "target_ip", "198.51.100.1"));
	assert_true(doc_is(one, "protocol", "UDP") && at(list, 0, "target_port") == 5683 && at(list, 0, "packets_per_second") == 20000);
	assert_true(at(list, 0, "packets") == 40000 && at(list, 0, "passed") == 40000 && at(list, 0, "stopped") == 0);
	assert_true(json_number_value(json_object_get(one, "megabits_per_second")) == 16);
	assert_in_range(doc_int(json_object_get(one, "addresses"), "estimate", 0), 3500, 4500); /* of all that a glimpse was had of */
	assert_true(doc_bool(json_object_get(one, "addresses"), "at_least", false));
	assert_int_equal(stops_in_force(), 1);
	const struct rf_stop *s = &stops->v[conf->stops / RF_STOPS_OTHER][0];
	assert_true(s->of_dst && !s->of_src && s->dst[0] == htonl(0xc6336401) && s->dport == 5683 && s->rate.cost_ns == RF_NS_S / 2500);
	json_decref(list);
	assert_true(rf_ring_peek(ring, &r) && rf_str_eq(r.attack_event, RF_STR("start")) && rf_str_eq(r.attack_vector, RF_STR("udp_flood")));
	assert_true(r.dst.b[3] == 1 && r.dst_port == 5683 && rf_str_eq(r.protocol, RF_STR("UDP")) && r.attack_bits == 16000000);
	rf_ring_pop(ring);
	flood(20, 20000, 4000, RF_DROP_FLOOD); /* stopped: it is a flood all the same */
	assert_true(rf_frame_attacks_active(attacks) == 1 && stops_in_force() == 1);
	quiet(12);
	assert_true(rf_frame_attacks_active(attacks) == 0 && stops_in_force() == 0);
	list = kept();
	assert_true(json_array_size(list) == 1 && doc_is(json_array_get(list, 0), "status", "ended") && at(list, 0, "packets_per_second") == 0);
	assert_true(at(list, 0, "stopped") == 400000 && doc_int(json_object_get(json_array_get(list, 0), "stopped_by"), "flood", 0) == 400000);
	json_decref(list);
}

static void kinds_are_attacks_of_their_own(void **state)
{
	(void)state;
	flood(2, 20000, 53, RF_DROP_PASS);
	flood(2, 2000, 123, RF_DROP_REFLECTION); /* stopped: a lower floor */
	json_t *list = kept();
	assert_true(json_array_size(list) == 2 && doc_is(json_array_get(list, 0), "vector", "dns_reflection"));
	assert_true(doc_is(json_array_get(list, 1), "vector", "ntp_reflection"));
	assert_true(doc_is(json_object_get(json_array_get(list, 1), "counter"), "name", "reflection"));
	assert_int_equal(stops_in_force(), 1); /* what is stopped needs none */
	assert_int_equal(stops->v[conf->stops / RF_STOPS_OTHER][0].sport, 53);
	json_decref(list);
}

static void a_report_goes_on_through_a_restart_and_so_do_its_stops(void **state)
{
	(void)state;
	flood(3, 20000, 4000, RF_DROP_PASS);
	json_t *before = kept();
	rf_frame_attacks_free(attacks);
	attacks = NULL;
	assert_int_equal(stops_in_force(), 1);
	begin();
	assert_true(rf_frame_attacks_has(attacks, doc_str(json_array_get(before, 0), "id").p));
	assert_true(!rf_frame_attacks_has(attacks, "none") && stops_in_force() == 1);
	flood(3, 20000, 4000, RF_DROP_FLOOD);
	json_t *after = kept();
	assert_int_equal(json_array_size(after), 1);
	for (size_t i = 0; i < 2; i++) {
		const char *name = i ? "started_at" : "id";
		assert_true(rf_str_eq(doc_str(json_array_get(before, 0), name), doc_str(json_array_get(after, 0), name)));
	}
	assert_true(at(after, 0, "passed") == at(before, 0, "passed") && at(after, 0, "stopped") == 60000);
	assert_true(doc_is(json_array_get(after, 0), "target_ip", "198.51.100.1") && doc_is(json_array_get(after, 0), "status", "active"));
	quiet(12);
	assert_true(rf_frame_attacks_active(attacks) == 0 && stops_in_force() == 0);
	json_decref(before);
	json_decref(after);
}

static void the_mode_says_what_is_done(void **state)
{
	(void)state;
	struct rf_boot *boot = (struct rf_boot *)(uintptr_t)w.ctl.boot;
	boot->floods_mode = RF_FLOODS_REPORT;
	flood(2, 20000, 4000, RF_DROP_PASS);
	json_t *list = kept();
	assert_true(json_array_size(list) == 1 && stops_in_force() == 0 && doc_is(json_array_get(list, 0), "inaction", "floods.mode does not say block"));
	json_decref(list);
	boot->floods_mode = RF_FLOODS_OFF; /* it ends, and no other begins */
	flood(3, 20000, 53, RF_DROP_PASS);
	list = kept();
	assert_true(json_array_size(list) == 1 && doc_is(json_array_get(list, 0), "status", "ended") && conf->look == 0);
	json_decref(list);
	boot->floods_mode = RF_FLOODS_BLOCK;
	flood(2, 20000, 53, RF_DROP_PASS);
	assert_true(stops_in_force() == 1 && conf->look != 0);
}

static void who_was_here_before_is_known_to_the_kernel(void **state)
{
	unsigned n = 0;
	(void)state;
	for (int i = 0; i < 15; i++) {
		source = 0xc0000207;
		flood(1, 100, 4000, RF_DROP_PASS); /* ten from one source and its neighbours */
	}
	for (unsigned i = 0; i < RF_KNOWN; i++)
		n += stops->known[i] != 0;
	assert_int_equal(n, 10);
	flood(15, 20000, 4000, RF_DROP_PASS);
	unsigned more = 0;
	for (unsigned i = 0; i < RF_KNOWN; i++)
		more += stops->known[i] != 0;
	assert_int_equal(more, n);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_flood_is_an_attack_with_its_facts_until_it_is_over), T(kinds_are_attacks_of_their_own),
		T(a_report_goes_on_through_a_restart_and_so_do_its_stops), T(the_mode_says_what_is_done), T(who_was_here_before_is_known_to_the_kernel),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
