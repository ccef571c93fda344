/* Devices of ours that flood, send what bots send, or do neither, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "base/clock.h"
#include "shield/fleet.h"

enum { DEVICES = 600, LEARN = 40 /* ticks */ };

struct device {
	struct rf_fleet_use use;
	bool gone;
	unsigned throttles, releases, quarantines;
	uint64_t throttled_at, quarantined_at;
	struct rf_fleet_deed deed;
};

struct world {
	struct rf_fleet *f;
	struct device v[DEVICES];
	uint64_t tick;
	bool reports;
};

static unsigned index_of(const char *device)
{
	unsigned i = 0;
	assert_int_equal(sscanf(device, "%32x", &i), 1);
	return i;
}

static bool use(void *arg, const char *device, struct rf_fleet_use *ret)
{
	struct world *w = arg;
	struct device *d = &w->v[index_of(device)];
	*ret = d->use;
	return !d->gone && !d->quarantines;
}

static void act(void *arg, const char *device, enum rf_fleet_act what, const struct rf_fleet_deed *deed)
{
	struct world *w = arg;
	struct device *d = &w->v[index_of(device)];
	if (what == RF_FLEET_DO_THROTTLE) {
		assert_int_equal(d->throttles, d->releases + d->quarantines);
		d->throttles++;
		d->throttled_at = w->tick;
		d->deed = *deed;
		return;
	}
	assert_int_equal(d->throttles, d->releases + d->quarantines + 1);
	d->quarantines += what == RF_FLEET_DO_QUARANTINE;
	d->releases += what == RF_FLEET_DO_RELEASE;
	d->quarantined_at = w->tick;
}

static void rate(void *arg, const char *device, uint32_t now)
{
	struct world *w = arg;
	assert_true(w->v[index_of(device)].throttles > 0);
	(void)now;
}

/* `n` requests of a device, in samples of up to eight. */
static void sends(struct world *w, unsigned i, unsigned n, const char *agent)
{
	struct rf_sample s = { .known = true };
	snprintf(s.device, sizeof s.device, "%032x", i);
	rf_sample_put(&s, RF_PIECE_PATH, RF_STR("/v1/readings"));
	rf_sample_put(&s, RF_PIECE_AGENT, rf_str_z(agent));
	w->v[i].use.requests += n;
	for (unsigned k = 0; k < 8 && k < n; k++) {
		s.weight = n < 8 ? 1 : n / 8;
		rf_fleet_sample(w->f, &s);
	}
}

static void tick(struct world *w)
{
	struct rf_detect_conf conf = { .floor = 100, .learn_ns = LEARN * RF_FLOOD_TICK_NS };
	w->tick++;
	rf_fleet_tick(w->f, &conf, !w->reports);
}

/* `devices` of them send a request each, as they do. */
static void lives(struct world *w, unsigned devices, unsigned ticks)
{
	for (unsigned t = 0; t < ticks; t++) {
		for (unsigned i = 0; i < devices; i++)
			sends(w, i, 1, "gateway/2.1");
		tick(w);
	}
}

static int setup(void **state)
{
	static struct world w;
	w = (struct world){ 0 };
	struct rf_fleet_ops ops = { use, act, rate, &w };
	w.f = rf_fleet_new(&ops);
	*state = &w;
	return w.f ? 0 : -1;
}

static int teardown(void **state)
{
	rf_fleet_free(((struct world *)*state)->f);
	return 0;
}

static void a_flood_is_throttled_then_quarantined(void **state)
{
	struct world *w = *state;
	struct device *d = &w->v[3];
	lives(w, 20, 2 * LEARN);
	uint64_t began = w->tick;
	for (unsigned t = 0; t < 8; t++) {
		if (!d->quarantines)
			sends(w, 3, 100, "gateway/2.1");
		lives(w, 20, 1);
	}
	assert_int_equal(d->throttles, 1);
	assert_int_equal(d->quarantines, 1);
	assert_true(d->throttled_at - began <= 4 && d->quarantined_at > d->throttled_at);
	assert_true((d->quarantined_at - began) * RF_FLOOD_TICK_NS <= 2 * RF_NS_S);
	assert_null(d->deed.bot);
	assert_true(d->deed.rate > d->deed.threshold && d->deed.threshold >= 100 && d->deed.usual <= 8);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(w->v[i].throttles, i == 3);
}

static void one_that_stops_is_released(void **state)
{
	struct world *w = *state;
	struct device *d = &w->v[3];
	lives(w, 20, 2 * LEARN);
	for (unsigned t = 0; t < 8 && !d->throttles; t++) {
		sends(w, 3, 100, "gateway/2.1");
		lives(w, 20, 1);
	}
	assert_int_equal(d->throttles, 1);
	lives(w, 20, 60);
	assert_int_equal(d->releases, 1);
	assert_int_equal(d->quarantines, 0);
}

static void one_that_always_sends_much_is_usual(void **state)
{
	struct world *w = *state;
	for (unsigned t = 0; t < 4 * LEARN; t++) {
		sends(w, 3, 100, "gateway/2.1");
		lives(w, 20, 1);
	}
	assert_int_equal(w->v[3].throttles, 0);
}

static void a_class_that_sends_much_makes_it_usual(void **state)
{
	struct world *w = *state;
	for (unsigned t = 0; t < 300; t++) { /* a window and more */
		for (unsigned i = 0; i < 9; i++)
			sends(w, i, 20, "camera/1.0");
		tick(w);
	}
	for (unsigned t = 0; t < 8; t++) { /* a new one, at twice their rate */
		sends(w, 9, 40, "camera/1.0");
		tick(w);
	}
	assert_int_equal(w->v[9].throttles, 0);
}

static void nothing_is_a_flood_before_it_has_learned(void **state)
{
	struct world *w = *state;
	for (unsigned t = 0; t < LEARN; t++) {
		sends(w, 3, t < LEARN / 2 ? 0 : 500, "gateway/2.1");
		tick(w);
	}
	assert_int_equal(w->v[3].throttles, 0);
}

static void requests_of_a_bot(void **state)
{
	struct world *w = *state;
	lives(w, 20, 4);
	sends(w, 3, 1, "Hello, World");
	tick(w);
	assert_int_equal(w->v[3].throttles, 1);
	assert_int_equal(w->v[3].quarantines, 0);
	assert_string_equal(w->v[3].deed.bot, "mirai");
	sends(w, 4, 1, "Hello, World");
	lives(w, 20, 3);
	assert_int_equal(w->v[3].quarantines, 0);
	sends(w, 3, 1, "Hello, World");
	tick(w);
	assert_int_equal(w->v[3].quarantines, 1);
	assert_int_equal(w->v[4].throttles, 1);
	lives(w, 20, 60); /* once may be a chance */
	assert_int_equal(w->v[4].releases, 1);
	assert_int_equal(w->v[4].quarantines, 0);
}

static void a_class_can_be_exempt(void **state)
{
	struct world *w = *state;
	w->v[3].use.exempt = true;
	lives(w, 20, 2 * LEARN);
	for (unsigned t = 0; t < 20; t++) {
		sends(w, 3, 500, "Hello, World");
		lives(w, 20, 1);
	}
	assert_int_equal(w->v[3].throttles, 0);
}

static void a_throttle_ends_when_its_class_is_exempt_or_it_is_gone(void **state)
{
	struct world *w = *state;
	sends(w, 3, 1, "Hello, World");
	sends(w, 4, 1, "Hello, World");
	tick(w);
	assert_true(w->v[3].throttles && w->v[4].throttles);
	w->v[3].use.exempt = true;
	w->v[4].gone = true;
	tick(w);
	assert_true(w->v[3].releases && w->v[4].releases);
}

static void where_it_only_reports_nobody_is_quarantined(void **state)
{
	struct world *w = *state;
	w->reports = true;
	lives(w, 20, 2 * LEARN);
	for (unsigned t = 0; t < 40; t++) {
		sends(w, 3, 500, "Hello, World");
		tick(w);
	}
	assert_int_equal(w->v[3].throttles, 1);
	assert_int_equal(w->v[3].quarantines + w->v[3].releases, 0);
}

/* More devices than rows: the flood is among the heaviest all the same; rows that are throttled stay. */
static void many_devices(void **state)
{
	enum { LIVELY = RF_FLEET_SUSPECTS };
	struct world *w = *state;
	for (unsigned i = LIVELY; i < LIVELY + RF_FLEET_SUSPECTS / 2; i++)
		sends(w, i, 1, "Hello, World");
	tick(w);
	lives(w, LIVELY, LEARN);
	for (unsigned t = 0; t < 10 && !w->v[7].quarantines; t++) {
		sends(w, 7, 300, "gateway/2.1");
		lives(w, LIVELY, 1);
	}
	assert_int_equal(w->v[7].quarantines, 1);
	lives(w, LIVELY, 60);
	for (unsigned i = 0; i < LIVELY + RF_FLEET_SUSPECTS / 2; i++)
		assert_int_equal(w->v[i].throttles, i == 7 || i >= LIVELY);
	for (unsigned i = LIVELY; i < LIVELY + RF_FLEET_SUSPECTS / 2; i++)
		assert_int_equal(w->v[i].releases, 1);
}

/* A deed of this device's frames, in this tick. */
static void offends(struct world *w, unsigned i, enum rf_deed what)
{
	struct rf_fleet_deed deed = { .what = what, .rate = 80, .threshold = 50 };
	char name[33];
	snprintf(name, sizeof name, "%032x", i);
	rf_fleet_offends(w->f, name, &deed);
}

static void a_scan_is_throttled_then_quarantined(void **state)
{
	struct world *w = *state;
	offends(w, 5, RF_DEED_TELNET); /* from the first moment: nothing is learned of it */
	tick(w);
	assert_int_equal(w->v[5].throttles, 1);
	assert_int_equal(w->v[5].deed.what, RF_DEED_TELNET);
	tick(w);
	tick(w);
	assert_int_equal(w->v[5].quarantines, 0);
	offends(w, 5, RF_DEED_SCAN);
	tick(w);
	assert_int_equal(w->v[5].quarantines, 1);
	assert_in_range(w->v[5].quarantined_at - w->v[5].throttled_at, 1, 4);
	offends(w, 6, RF_DEED_SCAN);
	for (unsigned t = 0; t < 45; t++)
		tick(w);
	assert_true(w->v[6].throttles == 1 && w->v[6].releases == 1 && w->v[6].quarantines == 0);
}

static void an_address_is_throttled_at_most(void **state)
{
	struct world *w = *state;
	w->v[9].use.address = true;
	for (unsigned t = 0; t < 100; t++) {
		offends(w, 9, RF_DEED_TELNET);
		tick(w);
	}
	assert_true(w->v[9].throttles == 1 && w->v[9].quarantines + w->v[9].releases == 0);
	for (unsigned t = 0; t < 45; t++)
		tick(w);
	assert_int_equal(w->v[9].releases, 1);
}

/* However many offend at once, each has its turn. */
static void an_outbreak(void **state)
{
	enum { SICK = 2 * RF_FLEET_SUSPECTS };
	struct world *w = *state;
	unsigned held = 0;
	for (unsigned t = 0; t < 8; t++) {
		for (unsigned i = 0; i < SICK; i++)
			offends(w, i, RF_DEED_TELNET);
		tick(w);
	}
	for (unsigned i = 0; i < SICK; i++)
		held += w->v[i].quarantines;
	assert_int_equal(held, SICK);
}

static void strangers_are_not_the_fleet(void **state)
{
	struct world *w = *state;
	struct rf_sample s = { .weight = 1 };
	snprintf(s.device, sizeof s.device, "%032x", 3);
	rf_sample_put(&s, RF_PIECE_AGENT, RF_STR("Hello, World"));
	assert_string_equal(rf_fleet_bot(&s), "mirai");
	rf_fleet_sample(w->f, &s); /* its certificate was not verified */
	tick(w);
	assert_int_equal(w->v[3].throttles, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_flood_is_throttled_then_quarantined), T(one_that_stops_is_released), T(one_that_always_sends_much_is_usual),
		T(a_class_that_sends_much_makes_it_usual), T(nothing_is_a_flood_before_it_has_learned), T(requests_of_a_bot),
		T(a_class_can_be_exempt), T(a_throttle_ends_when_its_class_is_exempt_or_it_is_gone),
		T(where_it_only_reports_nobody_is_quarantined), T(many_devices), T(a_scan_is_throttled_then_quarantined),
		T(an_address_is_throttled_at_most), T(an_outbreak), T(strangers_are_not_the_fleet),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
