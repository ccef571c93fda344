/* The ring's reader over a ring of our own making, laid out as the kernel's: a file of the consumer's page, the producer's, the ring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <linux/bpf.h>
#include "bpf/filter.h"
#include "shield/frames.h"

enum { PAGE = 4096, RECORD = (sizeof(struct rf_shown) + BPF_RINGBUF_HDR_SZ + 7) & ~7 };

static struct rf_frames frames;
static uint64_t taken;
static uint8_t *made;
static unsigned seen[64], seen_count;

static void each(void *ctx, const void *entry)
{
	const struct rf_shown *s = entry;
	assert_ptr_equal(ctx, seen);
	assert_true(seen_count < 64);
	seen[seen_count++] = s->size;
}

static int begin(void **state)
{
	(void)state;
	made = calloc(1, PAGE + 2 * RF_SAMPLES_SIZE);
	taken = 0;
	seen_count = 0;
	frames = (struct rf_frames){ &taken, made, PAGE, RF_SAMPLES_SIZE, sizeof(struct rf_shown) };
	return made ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	free(made);
	return 0;
}

static uint64_t *produced(void) { return (uint64_t *)(void *)made; }

/* One entry, as the two mappings of the ring show it. */
static void put(uint32_t size, uint32_t length, uint32_t flags)
{
	static uint8_t entry[RECORD];
	uint64_t at = *produced();
	struct rf_shown s = { .size = size };
	uint32_t word = length | flags;
	memset(entry, 0, sizeof entry);
	memcpy(entry, &word, sizeof word);
	memcpy(entry + BPF_RINGBUF_HDR_SZ, &s, sizeof s < length ? sizeof s : length);
	size_t n = (length + BPF_RINGBUF_HDR_SZ + 7) & ~(size_t)7;
	for (size_t i = 0; i < n; i++) {
		size_t place = (at + i) & (RF_SAMPLES_SIZE - 1);
		made[PAGE + place] = made[PAGE + RF_SAMPLES_SIZE + place] = entry[i];
	}
	*produced() = at + n;
}

static void entries_come_in_order_and_no_more_than_asked_for(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++)
		put(i, sizeof(struct rf_shown), 0);
	assert_int_equal(rf_frames_take(&frames, 3, each, seen), 3);
	assert_int_equal(taken, 3 * RECORD);
	assert_int_equal(rf_frames_take(&frames, 3, each, seen), 2);
	assert_int_equal(rf_frames_take(&frames, 3, each, seen), 0);
	assert_int_equal(seen_count, 5);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(seen[i], i);
	assert_int_equal(taken, *produced());
}

static void one_that_is_being_written_is_waited_for(void **state)
{
	(void)state;
	put(1, sizeof(struct rf_shown), 0);
	uint64_t second = *produced();
	put(2, sizeof(struct rf_shown), BPF_RINGBUF_BUSY_BIT);
	put(3, sizeof(struct rf_shown), 0);
	assert_int_equal(rf_frames_take(&frames, 9, each, seen), 1);
	assert_int_equal(taken, second);
	made[PAGE + second + 3] &= 0x7f; /* it is done */
	assert_int_equal(rf_frames_take(&frames, 9, each, seen), 2);
	assert_int_equal(seen[2], 3);
}

static void what_is_discarded_is_passed_over(void **state)
{
	(void)state;
	put(1, sizeof(struct rf_shown), BPF_RINGBUF_DISCARD_BIT);
	put(4, sizeof(struct rf_shown), 0);
	assert_int_equal(rf_frames_take(&frames, 9, each, seen), 1);
	assert_int_equal(seen[0], 4);
	assert_int_equal(taken, *produced());
}

static void a_place_that_is_no_entry_is_left_for_what_comes(void **state)
{
	static const uint32_t none[] = { 24, 0, 0x3fffffff, BPF_RINGBUF_BUSY_BIT | 24 };
	(void)state;
	for (unsigned i = 0; i < sizeof none / sizeof *none; i++) {
		put(1, 24, 0);
		memcpy(made + PAGE + (taken & (RF_SAMPLES_SIZE - 1)), &none[i], sizeof none[i]);
		put(2, sizeof(struct rf_shown), 0);
		assert_int_equal(rf_frames_take(&frames, 9, each, seen), 0);
		assert_int_equal(taken, *produced());
		put(3, sizeof(struct rf_shown), 0);
		assert_int_equal(rf_frames_take(&frames, 9, each, seen), 1);
	}
	taken += 8; /* beyond what was made */
	assert_int_equal(rf_frames_take(&frames, 9, each, seen), 0);
	assert_int_equal(taken, *produced());
}

static void an_entry_over_the_end_of_the_ring_is_whole(void **state)
{
	(void)state;
	uint64_t rounds = RF_SAMPLES_SIZE / RECORD + 2;
	for (unsigned i = 0; i < rounds; i++) {
		seen_count = 0;
		put(i, sizeof(struct rf_shown), 0);
		assert_int_equal(rf_frames_take(&frames, 9, each, seen), 1);
		assert_int_equal(seen[0], i);
	}
	assert_true(taken > RF_SAMPLES_SIZE);
}

static void without_a_ring_there_is_nothing(void **state)
{
	struct rf_frames none = { 0 };
	(void)state;
	assert_int_equal(rf_frames_take(&none, 9, each, seen), 0);
	assert_int_equal(rf_frames_init(&none, -1, RF_SAMPLES_SIZE, sizeof(struct rf_shown)), RF_E_NOMEM);
	assert_null(none.taken);
	assert_null(none.made);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(entries_come_in_order_and_no_more_than_asked_for), T(one_that_is_being_written_is_waited_for),
		T(what_is_discarded_is_passed_over), T(a_place_that_is_no_entry_is_left_for_what_comes), T(an_entry_over_the_end_of_the_ring_is_whole),
		T(without_a_ring_there_is_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
