/* monitor/nft_homes: what is refused of the engine's records, and the text that the rest becomes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/ip.h"
#include "bpf/filter.h"
#include "monitor/nft_homes.h"

static struct rf_nft_home home(const char *address, uint8_t state, uint8_t share)
{
	struct rf_ip ip;
	assert_true(rf_ip_parse(rf_str_z(address), &ip));
	struct rf_nft_home r = { .family = ip.family, .state = state, .share = share };
	memcpy(r.address, ip.b, sizeof r.address);
	return r;
}

static int read_of(const void *p, size_t n, bool seal, struct rf_nft_homes *ret)
{
	struct rf_err e = { 0 };
	int fd = memfd_create("homes", MFD_ALLOW_SEALING);
	assert_int_equal(write(fd, p, n), n);
	if (seal)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
	int rc = rf_nft_homes_read(fd, ret, &e);
	assert_true(rc == RF_OK || e.text[0]);
	close(fd);
	return rc;
}

static void records_are_looked_at(void **state)
{
	const struct rf_nft_home good = home("10.0.0.1", RF_HOME_SLOW, 1);
	struct rf_nft_home v[2] = { good, home("10.0.0.2", RF_HOME_HELD, 4) }, bad;
	struct rf_nft_homes h = { NULL, 7 };
	(void)state;
	assert_int_equal(read_of(v, sizeof v, false, &h), RF_E_INVALID);
	assert_int_equal(read_of(v, sizeof v - 1, true, &h), RF_E_INVALID);
	v[1] = good; /* twice */
	assert_int_equal(read_of(v, sizeof v, true, &h), RF_E_INVALID);
	for (size_t i = 0; i < 4 + 16; i++) { /* each byte has its meaning */
		bad = good;
		((uint8_t *)&bad)[i] ^= 0x80;
		int want = i >= 4 && i < 8 ? RF_OK : RF_E_INVALID;
		assert_int_equal(read_of(&bad, sizeof bad, true, &h), want);
		if (want == RF_OK)
			rf_nft_homes_fini(&h);
	}
	bad = home("10.0.0.1", RF_HOME_SLOW, 0);
	assert_int_equal(read_of(&bad, sizeof bad, true, &h), RF_E_INVALID);
	bad = home("10.0.0.1", RF_HOME_SLOW, RF_NFT_SHARES + 1);
	assert_int_equal(read_of(&bad, sizeof bad, true, &h), RF_E_INVALID);
	bad = home("10.0.0.1", RF_HOME_SLOW | RF_HOME_HELD, 1);
	assert_int_equal(read_of(&bad, sizeof bad, true, &h), RF_E_INVALID);
	struct rf_nft_home *many = calloc(RF_NFT_HOMES_MAX + 1, sizeof *many);
	assert_int_equal(read_of(many, (RF_NFT_HOMES_MAX + 1) * sizeof *many, true, &h), RF_E_TOO_LARGE);
	free(many);
	assert_int_equal(read_of(v, 0, true, &h), RF_OK);
	assert_int_equal(h.n, 0);
	rf_nft_homes_fini(&h);
}

static void what_an_engine_before_said_stays_where_this_one_says_nothing(void **state)
{
	struct rf_nft_home left[] = { home("10.0.0.1", RF_HOME_HELD, 1), home("10.0.0.3", RF_HOME_HELD, 1), home("10.0.0.4", RF_HOME_EXEMPT, 1) },
		now[] = { home("10.0.0.3", 0, 1), home("10.0.0.5", 0, 1), home("10.0.0.2", RF_HOME_SLOW, 1), home("10.0.0.4", RF_HOME_HELD, 2) },
		want[] = { home("10.0.0.1", RF_HOME_HELD, 1), home("10.0.0.2", RF_HOME_SLOW, 1), home("10.0.0.4", RF_HOME_HELD, 2) };
	struct rf_nft_homes was, h, wanted;
	(void)state;
	assert_int_equal(read_of(left, sizeof left, true, &was), RF_OK);
	assert_int_equal(read_of(now, sizeof now, true, &h), RF_OK);
	assert_int_equal(read_of(want, sizeof want, true, &wanted), RF_OK);
	assert_false(rf_nft_homes_same(&h, &wanted));
	assert_int_equal(rf_nft_homes_merge(&h, &was), RF_OK);
	assert_true(rf_nft_homes_same(&h, &wanted));
	rf_nft_homes_fini(&was);
	assert_int_equal(rf_nft_homes_merge(&h, &was), RF_OK);
	assert_true(rf_nft_homes_same(&h, &wanted));
	rf_nft_homes_fini(&h);
	rf_nft_homes_fini(&wanted);
}

static void the_maps_hold_them_and_no_others(void **state)
{
	struct rf_nft_home v[] = { home("10.0.0.2", RF_HOME_HELD, 2), home("2001:db8::1", RF_HOME_SLOW, 3), home("10.0.0.1", RF_HOME_EXEMPT, 1) };
	struct rf_nft_homes h;
	RF_BUF_AUTO b = { 0 };
	RF_BUF_AUTO chains = { 0 };
	(void)state;
	assert_int_equal(read_of(v, sizeof v, true, &h), RF_OK);
	rf_nft_homes_text(&h, &b);
	assert_string_equal(rf_buf_z(&b), "flush map netdev ringfence home4\nflush map netdev ringfence home6\n"
		"add element netdev ringfence home4 { 10.0.0.1 : return }\nadd element netdev ringfence home4 { 10.0.0.2 : goto held }\n"
		"add element netdev ringfence home6 { 2001:db8::1 : goto slow6x3 }\n");
	rf_nft_homes_fini(&h);
	rf_nft_homes_chains(&chains);
	assert_non_null(strstr(rf_buf_z(&chains), "add rule netdev ringfence try6x3 update @try6x3 { ip6 saddr limit rate over 15/second burst 5 packets } goto end_fleet\n"));
	assert_non_null(strstr(rf_buf_z(&chains), "add rule netdev ringfence sent4x1 update @sent4x1 { ip saddr limit rate over 100/second burst 5 packets } goto end_fleet\n"));
	assert_non_null(strstr(rf_buf_z(&chains), "add rule netdev ringfence held fib daddr . iif type != local goto end_fleet\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_are_looked_at),
		cmocka_unit_test(what_an_engine_before_said_stays_where_this_one_says_nothing),
		cmocka_unit_test(the_maps_hold_them_and_no_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
