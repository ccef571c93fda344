/* Rules of three kinds in one shield, beside a model that asks them one after another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "shield/sets.h"

enum { SINGLES = 12, NETWORKS = 24, ROUNDS = 1500, PROBES = 60 };

static struct rf_shield *shield;
static struct rf_sets *sets;
static uint64_t seed;

static uint32_t draw(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % below;
}

static struct rf_prefix at(const char *z)
{
	struct rf_prefix p;
	assert_true(rf_prefix_parse(rf_str_z(z), true, &p));
	return p;
}

static enum rf_shield_mode judge(const char *z)
{
	struct rf_ip ip;
	assert_true(rf_ip_parse(rf_str_z(z), &ip));
	return rf_shield_judge(shield, &ip);
}

static int setup(void **state)
{
	(void)state;
	assert_non_null(shield = rf_shield_new(0x5eed));
	assert_non_null(sets = rf_sets_new(shield));
	seed = 1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rf_sets_free(sets);
	rf_shield_free(shield);
	return 0;
}

static void fill(enum rf_set_layer layer, const struct rf_network *v, size_t n)
{
	struct rf_err e;
	struct rf_network *copy = calloc(n + 1, sizeof *copy);
	assert_non_null(copy);
	if (n)
		memcpy(copy, v, n * sizeof *v);
	assert_int_equal(rf_sets_fill(sets, layer, copy, n, &e), RF_OK);
}

static void the_nearest_kind_counts(void **state)
{
	(void)state;
	struct rf_err e;
	const struct rf_network asn[] = { { at("192.0.2.0/25"), RF_SHIELD_ALLOW, false } };
	const struct rf_network country[] = { { at("192.0.2.0/26"), RF_SHIELD_DENY, false }, { at("192.0.2.128/25"), RF_SHIELD_DENY, false },
		{ at("2001:db8::/32"), RF_SHIELD_DENY, false } };
	struct rf_prefix wide = at("192.0.0.0/16"), same = at("192.0.2.128/25");
	fill(RF_LAYER_COUNTRY, country, 3);
	assert_int_equal(judge("192.0.2.1"), RF_SHIELD_DENY);
	fill(RF_LAYER_ASN, asn, 1);
	assert_int_equal(judge("192.0.2.1"), RF_SHIELD_ALLOW); /* though the country's network is the longer one */
	assert_int_equal(judge("192.0.2.200"), RF_SHIELD_DENY);
	assert_int_equal(judge("2001:db8::9"), RF_SHIELD_DENY);
	assert_int_equal(rf_sets_put(sets, &wide, RF_SHIELD_DENY, &e), RF_OK);
	assert_int_equal(judge("192.0.2.1"), RF_SHIELD_DENY);
	assert_int_equal(rf_sets_put(sets, &same, RF_SHIELD_ALLOW, &e), RF_OK);
	assert_int_equal(judge("192.0.2.200"), RF_SHIELD_ALLOW);
	assert_int_equal(rf_sets_drop(sets, &wide, &e), RF_OK);
	assert_int_equal(judge("192.0.2.1"), RF_SHIELD_ALLOW);
	assert_int_equal(rf_sets_drop(sets, &same, &e), RF_OK);
	assert_int_equal(judge("192.0.2.200"), RF_SHIELD_DENY);
	assert_int_equal(rf_sets_drop(sets, &same, &e), RF_E_NOT_FOUND);
	fill(RF_LAYER_ASN, NULL, 0);
	assert_int_equal(judge("192.0.2.1"), RF_SHIELD_DENY);
	fill(RF_LAYER_COUNTRY, NULL, 0);
	assert_int_equal(judge("192.0.2.1"), RF_SHIELD_NONE);
	assert_int_equal(rf_sets_count(sets, RF_LAYER_COUNTRY), 0);
}

/* --- the model --- */

static struct rf_network singles[SINGLES], layers[RF_LAYERS][NETWORKS];
static size_t single_count, layer_count[RF_LAYERS];

static struct rf_prefix random_prefix(void)
{
	struct rf_ip ip = { .family = draw(3) ? 4 : 6 };
	ip.b[0] = 10;
	for (int i = 1; i < 4; i++)
		ip.b[i] = (uint8_t)(draw(2) * 128 + draw(2));
	return rf_ip_mask(&ip, ip.family == 4 ? 9 + draw(24) : 4 * (4 + draw(5)));
}

static bool has(const struct rf_network *v, size_t n, const struct rf_prefix *p, bool or_overlaps)
{
	for (size_t i = 0; i < n; i++)
		if ((v[i].at.bits == p->bits && rf_ip_eq(&v[i].at.ip, &p->ip)) ||
		    (or_overlaps && (rf_prefix_has(&v[i].at, &p->ip) || rf_prefix_has(p, &v[i].at.ip))))
			return true;
	return false;
}

static enum rf_shield_mode expected(const struct rf_ip *ip)
{
	const struct rf_network *best = NULL;
	for (size_t i = 0; i < single_count; i++)
		if (rf_prefix_has(&singles[i].at, ip) && (!best || singles[i].at.bits > best->at.bits))
			best = &singles[i];
	for (int l = 0; l < RF_LAYERS && !best; l++)
		for (size_t i = 0; i < layer_count[l]; i++)
			if (rf_prefix_has(&layers[l][i].at, ip))
				best = &layers[l][i];
	return best ? (enum rf_shield_mode)best->mode : RF_SHIELD_NONE;
}

static void change_single(void)
{
	struct rf_err e;
	if (single_count == SINGLES || (single_count && draw(3) == 0)) {
		size_t i = draw((uint32_t)single_count);
		assert_int_equal(rf_sets_drop(sets, &singles[i].at, &e), RF_OK);
		singles[i] = singles[--single_count];
		return;
	}
	struct rf_network one = { .at = random_prefix(), .mode = draw(2) ? RF_SHIELD_DENY : RF_SHIELD_ALLOW };
	if (draw(3) == 0 && layer_count[0]) /* the same as a network */
		one.at = layers[0][draw((uint32_t)layer_count[0])].at;
	if (has(singles, single_count, &one.at, false))
		return;
	assert_int_equal(rf_sets_put(sets, &one.at, (enum rf_shield_mode)one.mode, &e), RF_OK);
	singles[single_count++] = one;
}

static void change_layer(void)
{
	int l = (int)draw(RF_LAYERS);
	for (unsigned i = draw(NETWORKS); i--;)
		if (layer_count[l] && draw(2)) {
			size_t k = draw((uint32_t)layer_count[l]);
			layers[l][k] = layers[l][--layer_count[l]];
		} else if (layer_count[l] < NETWORKS) {
			struct rf_network one = { .at = random_prefix(), .mode = draw(2) ? RF_SHIELD_DENY : RF_SHIELD_ALLOW };
			if (!has(layers[l], layer_count[l], &one.at, true))
				layers[l][layer_count[l]++] = one;
		}
	fill((enum rf_set_layer)l, layers[l], layer_count[l]);
}

static void changes_follow_the_model(void **state)
{
	(void)state;
	single_count = layer_count[0] = layer_count[1] = 0;
	for (int round = 0; round < ROUNDS; round++) {
		if (draw(4))
			change_single();
		else
			change_layer();
		for (int i = 0; i < PROBES; i++) {
			struct rf_prefix p = random_prefix();
			if (rf_shield_judge(shield, &p.ip) != expected(&p.ip)) {
				char text[RF_IP_TEXT];
				fail_msg("round %d: %s is %d, and should be %d", round, rf_ip_str(&p.ip, text), (int)rf_shield_judge(shield, &p.ip), (int)expected(&p.ip));
			}
		}
	}
}

/* Too many lengths of IPv6 in the middle of a layer: all is as before. */
static void what_does_not_fit_changes_nothing(void **state)
{
	(void)state;
	struct rf_err e;
	const struct rf_network before[] = { { at("2001:db8::/32"), RF_SHIELD_DENY, false }, { at("192.0.2.0/24"), RF_SHIELD_DENY, false } };
	fill(RF_LAYER_COUNTRY, before, 2);
	struct rf_network *v = calloc(80, sizeof *v);
	assert_non_null(v);
	for (unsigned i = 0; i < 80; i++) {
		struct rf_ip ip = { .family = 6, .b = { 0x20, (uint8_t)i } };
		v[i] = (struct rf_network){ rf_ip_mask(&ip, 17 + i), RF_SHIELD_ALLOW, false };
	}
	assert_int_equal(rf_sets_fill(sets, RF_LAYER_ASN, v, 80, &e), RF_E_FULL);
	assert_int_equal(rf_sets_count(sets, RF_LAYER_ASN), 0);
	assert_int_equal(judge("2001:db8::1"), RF_SHIELD_DENY);
	assert_int_equal(judge("2003::1"), RF_SHIELD_NONE);
	assert_int_equal(judge("192.0.2.9"), RF_SHIELD_DENY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_nearest_kind_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(changes_follow_the_model, setup, teardown),
		cmocka_unit_test_setup_teardown(what_does_not_fit_changes_nothing, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
