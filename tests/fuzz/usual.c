/* shield/detect_store: a file of what is usual, whose end is made right, so that what is within is read. */
#include <stdlib.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "shield/detect_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void nothing(void *arg, enum rf_flood_event what, struct rf_flood *f, struct rf_flood_rule *r) { (void)arg, (void)what, (void)f, (void)r; }

static void put64(struct rf_buf *to, uint64_t v)
{
	for (int i = 0; i < 64; i += 8)
		rf_buf_addc(to, (char)(v >> i & 0xff));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct rf_detect_conf conf = { RF_FLOOD_HIGH, 100, 10 * RF_NS_S, 20 * RF_NS_S };
	static const struct rf_detect_ops ops = { .event = nothing };
	static const uint8_t none[16];
	struct rf_usual_port ports[8];
	size_t count = 0;
	RF_BUF_AUTO all = { 0 };
	RF_BUF_AUTO again = { 0 };
	struct rf_detect *d = rf_detect_new(&conf, &ops, 1);
	rf_buf_add(&all, RF_STR("RFUSUAL1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"));
	put64(&all, rf_trait_edition());
	rf_buf_add(&all, (struct rf_str){ (const char *)data, n });
	put64(&all, rf_hash_keyed(none, rf_buf_str(&all)));
	int rc = rf_detect_load(d, rf_buf_str(&all), ports, 8, &count);
	struct rf_detect_stats stats;
	rf_detect_stats(d, &stats);
	if (rc != RF_OK && (stats.hosts || count))
		abort();
	rf_detect_tick(d, RF_NS_S, 1);
	rf_detect_save(d, ports, count, &again);
	rf_detect_seal(&again);
	if (again.bad)
		abort();
	rf_detect_free(d);
	return 0;
}
