/* What is usual outlives a restart: a flood that is on when the edge starts is found at once, and teaches nothing. */
#include "shield/detect_store.h"
#include "shield/test_world.h"

static void attack(struct world *w, unsigned sources)
{
	struct request q = { .method = "GET", .path = "/", .names = "host,user-agent,accept,accept-language,cookie",
			     .cookie = "session=dead-beef", .agent = "Mozilla/5.0 (X11)", .address = (uint32_t)(draw(w) % sources) };
	send(w, &q, true);
}

static struct rf_buf saved(void)
{
	static const uint8_t key[16] = "of the first one";
	static const struct rf_usual_port ports[] = { { 1 << 16 | 1883, { 12.5, 3, 400 } }, { 8443, { 0, 0, 90 } } };
	struct rf_buf all = { 0 };
	rf_trait_seed(key);
	struct world *w = world(0);
	run(w, 30, 200, 0, NULL, 0);
	rf_detect_save(w->d, ports, 2, &all);
	rf_detect_seal(&all);
	world_free(w);
	assert_false(all.bad);
	return all;
}

static void test_a_flood_at_the_start(void **state)
{
	(void)state;
	struct rf_buf all = saved();
	static const uint8_t other[16] = { 7 };
	rf_trait_seed(other);
	struct rf_usual_port ports[4];
	size_t n = 0;
	struct world *w = world(0);
	assert_int_equal(rf_detect_load(w->d, rf_buf_str(&all), ports, 4, &n), RF_OK);
	assert_int_equal(n, 2);
	assert_int_equal(ports[0].key, 1 << 16 | 1883);
	assert_true(ports[0].usual.mean == 12.5 && ports[0].usual.deviation == 3 && ports[0].usual.seconds == 400 && ports[1].key == 8443);
	uint64_t began = w->now;
	run(w, 10, 200, 20000, attack, 50000);
	assert_int_equal(w->signatures, 1);
	assert_true(w->signature_at - began <= 2 * RF_NS_S);
	assert_non_null(strstr(w->expression, "dead-beef"));
	assert_int_equal(w->stopped[0], 0);
	run(w, 60, 200, 0, NULL, 0);
	assert_int_equal(w->ends, 1);
	world_free(w);
	rf_buf_fini(&all);
}

/* The same is written of what was read. */
static void test_there_and_back(void **state)
{
	(void)state;
	struct rf_buf all = saved(), again = { 0 };
	struct rf_usual_port ports[4];
	size_t n = 0;
	struct world *w = world(0);
	assert_int_equal(rf_detect_load(w->d, rf_buf_str(&all), ports, 4, &n), RF_OK);
	rf_detect_save(w->d, ports, n, &again);
	rf_detect_seal(&again);
	assert_int_equal(again.n, all.n);
	assert_memory_equal(again.p, all.p, all.n);
	world_free(w);
	rf_buf_fini(&all);
	rf_buf_fini(&again);
}

static void refused(const struct rf_buf *all, size_t length)
{
	struct rf_usual_port ports[1] = { { .key = 5 } };
	struct rf_detect_stats stats;
	size_t n = 77;
	struct world *w = world(0);
	assert_int_equal(rf_detect_load(w->d, (struct rf_str){ all->p, length }, ports, length == all->n ? 1 : 4, &n), RF_E_INVALID);
	rf_detect_stats(w->d, &stats);
	assert_int_equal(stats.hosts, 0);
	assert_int_equal(n, 77);
	world_free(w);
}

static void test_what_is_not_whole(void **state)
{
	(void)state;
	struct rf_buf all = saved();
	refused(&all, all.n); /* two ports, and room for one */
	for (size_t n = 0; n < 200; n++)
		refused(&all, n);
	refused(&all, all.n - 1);
	for (size_t at = 0; at < all.n; at += all.n / 40) {
		all.p[at] ^= 0x20;
		struct rf_buf longer = { .p = all.p, .n = all.n };
		refused(&longer, longer.n);
		all.p[at] ^= 0x20;
	}
	rf_buf_fini(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_flood_at_the_start), cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_what_is_not_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
