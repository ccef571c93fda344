/* monitor/nft_policy: what is refused of the engine's records, and the text that the rest becomes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "bpf/filter.h"
#include "monitor/nft_policy.h"
#include "monitor/nft_syn.h"

static int file(const void *head, size_t n, const struct rf_nft_rule *rules, size_t count, bool seal)
{
	int fd = memfd_create("policy", MFD_ALLOW_SEALING);
	assert_int_equal(write(fd, head, n), n);
	assert_int_equal(write(fd, rules, count * sizeof *rules), count * sizeof *rules);
	if (seal)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
	return fd;
}

static struct rf_nft_rule rule(const char *prefix, enum rf_nft_mode mode)
{
	struct rf_prefix p;
	assert_true(rf_prefix_parse(rf_str_z(prefix), true, &p));
	struct rf_nft_rule r = { .family = p.ip.family, .bits = p.bits, .mode = (uint8_t)mode };
	memcpy(r.address, p.ip.b, sizeof r.address);
	return r;
}

static int read_of(struct rf_nft_head h, const struct rf_nft_rule *rules, size_t count, struct rf_nft_policy *ret)
{
	struct rf_err e = { 0 };
	int fd = file(&h, sizeof h, rules, count, true), rc = rf_nft_policy_read(fd, ret, &e);
	assert_true(rc == RF_OK || e.text[0]);
	close(fd);
	return rc;
}

static void text_of(struct rf_nft_head h, const struct rf_nft_rule *rules, size_t count, struct rf_buf *to)
{
	struct rf_nft_policy p;
	h.count = (uint32_t)count;
	assert_int_equal(read_of(h, rules, count, &p), RF_OK);
	rf_nft_policy_text(&p, 0, to);
	rf_nft_policy_fini(&p);
}

#define HEAD (struct rf_nft_head){ .magic = RF_NFT_MAGIC }
#define HAS(b, z) assert_non_null(strstr(rf_buf_z(b), z))
#define HAS_NOT(b, z) assert_null(strstr(rf_buf_z(b), z))

static void the_longest_prefix_counts(void **unused)
{
	(void)unused;
	RF_BUF_AUTO b = { 0 };
	struct rf_nft_rule rules[] = { rule("10.0.0.7/32", RF_NFT_ALLOW), rule("10.0.0.0/24", RF_NFT_DENY), rule("10.0.0.0/8", RF_NFT_ALLOW),
		rule("255.255.255.0/24", RF_NFT_DENY), rule("255.255.255.255/32", RF_NFT_ALLOW), rule("2001:db8::/32", RF_NFT_DENY),
		rule("2001:db8::1/128", RF_NFT_ALLOW), rule("0.0.0.0/32", RF_NFT_DENY) };
	text_of(HEAD, rules, sizeof rules / sizeof *rules, &b);
	HAS(&b, "deny4 { 0.0.0.0, 10.0.0.0-10.0.0.6, 10.0.0.8-10.0.0.255, 255.255.255.0-255.255.255.254 }\n");
	HAS(&b, "allow4 { 10.0.0.7, 10.0.1.0-10.255.255.255, 255.255.255.255 }\n");
	HAS(&b, "deny6 { 2001:db8::, 2001:db8::2-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff }\n");
	HAS(&b, "allow6 { 2001:db8::1 }\n");
}

static void a_prefix_that_is_whole_within_others_leaves_nothing(void **unused)
{
	(void)unused;
	RF_BUF_AUTO b = { 0 };
	struct rf_nft_rule rules[] = { rule("10.0.0.0/8", RF_NFT_DENY), rule("10.0.0.0/9", RF_NFT_ALLOW), rule("10.128.0.0/9", RF_NFT_ALLOW),
		rule("::/0", RF_NFT_DENY) };
	text_of(HEAD, rules, sizeof rules / sizeof *rules, &b);
	HAS(&b, "allow4 { 10.0.0.0-10.127.255.255, 10.128.0.0-10.255.255.255 }\n");
	HAS_NOT(&b, "add element netdev ringfence deny4");
	HAS(&b, "deny6 { ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff }\n");
}

static void limits_ports_and_the_way_of_the_operator(void **unused)
{
	(void)unused;
	RF_BUF_AUTO b = { 0 };
	struct rf_nft_head h = { .magic = RF_NFT_MAGIC, .source = 50, .target = 7, .spare_port = 8443, .spare_family = 4,
		.spare = { 192, 0, 2, 1 } };
	h.reflect[0] = 1ull << 19;
	h.reflect[1900 / 64] = 1ull << 1900 % 64;
	text_of(h, NULL, 0, &b);
	HAS(&b, "filter ip daddr 192.0.2.1 tcp dport 8443 goto end_pass\n");
	HAS(&b, "reflect { 19, 1900 }\n");
	HAS(&b, "update @source4 { ip saddr limit rate over 50/second burst 50 packets } goto end_rate_source\n");
	HAS(&b, "update @other6 { ip6 daddr . meta l4proto limit rate over 7/second burst 7 packets } goto end_rate_target\n");
	HAS(&b, "after meta l4proto { tcp, udp } ip frag-off & 0x1fff == 0 update @target4 { ip daddr . meta l4proto . th dport limit");
	HAS(&b, "after meta l4proto { tcp, udp } exthdr frag missing update @target6 { ip6 daddr . meta l4proto . th dport limit");
	HAS(&b, "after meta l4proto { tcp, udp } frag frag-off 0 update @target6 { ip6 daddr . meta l4proto . th dport limit");
	HAS(&b, "after meta l4proto { tcp, udp } ip frag-off & 0x1fff != 0 update @other4 { ip daddr . meta l4proto limit");
	HAS(&b, "after frag frag-off != 0 frag nexthdr { 0, 6, 17, 43, 44, 51, 60 } update @other6 { ip6 daddr . frag nexthdr limit");
	HAS_NOT(&b, "after meta l4proto { tcp, udp } update");
	HAS_NOT(&b, "update @prefix4");
	const char *text = rf_buf_z(&b);
	assert_true(strstr(text, "ip saddr @allow4") < strstr(text, "dport 8443") && strstr(text, "dport 8443") < strstr(text, "ip saddr @deny4"));
}

static void the_fleet_is_held_to_its_ports(void **unused)
{
	(void)unused;
	RF_BUF_AUTO b = { 0 };
	RF_BUF_AUTO none = { 0 };
	struct rf_nft_head h = { .magic = RF_NFT_MAGIC, .fleet_count = 2,
		.fleet = { { .family = 4, .bits = 8, .address = { 10 } }, { .family = 6, .bits = 7, .address = { 0xfc } } } };
	text_of(h, NULL, 0, &none);
	HAS_NOT(&none, "saddr @fleet4");
	h.ban[0] = 1ull << 23;
	h.ban[2323 / 64] = 1ull << 2323 % 64;
	text_of(h, NULL, 0, &b);
	HAS(&b, "ban { 23, 2323 }\n");
	HAS(&b, "fleet4 { 10.0.0.0/8 }\n");
	HAS(&b, "ip6 saddr @fleet6 tcp dport @ban fib daddr . iif type != local goto end_fleet_port\n");
	const char *text = rf_buf_z(&b);
	assert_true(strstr(text, "ip saddr @deny4") < strstr(text, "ip saddr @fleet4") && strstr(text, "ip saddr @allow4") < strstr(text, "ip saddr @fleet4"));
}

static void cookies_are_said_as_the_kernel_would(void **unused)
{
	(void)unused;
	const struct rf_nft_tcp tcp = { .scale = 9, .sack = true };
	struct rf_nft_head h = { .magic = RF_NFT_MAGIC, .cookies = 1, .syn = 70, .spare_port = 8443 };
	struct rf_err e = { 0 };
	RF_BUF_AUTO b = { 0 };
	RF_BUF_AUTO none = { 0 };
	RF_BUF_AUTO always = { 0 };
	rf_nft_syn_text(&h, &b);
	assert_int_equal(rf_nft_syn_hook_text(&h, &tcp, "eth0", 1500, &b, &e), RF_OK);
	HAS(&b, "update @rate4 { ip daddr . tcp dport limit rate over 70/second burst 70 packets } update @flood4 { ip daddr . tcp dport }\n");
	HAS(&b, "ip6 daddr . tcp dport @flood6 synproxy mss 1440 wscale 9 sack-perm\n");
	HAS(&b, "before iifname \"eth0\" tcp dport != 8443 ");
	assert_int_equal(rf_nft_syn_hook_text(&h, &tcp, "a\"b", 1500, &b, &e), RF_E_INVALID);
	h.cookies = 2;
	rf_nft_syn_text(&h, &always);
	assert_int_equal(rf_nft_syn_hook_text(&h, &tcp, "eth0", 1, &always, &e), RF_OK);
	HAS(&always, "open notrack\n");
	HAS(&always, "ct state { invalid, untracked } synproxy mss 536 ");
	h.cookies = 0;
	rf_nft_syn_text(&h, &none);
	assert_int_equal(rf_nft_syn_hook_text(&h, &tcp, "eth0", 1500, &none, &e), RF_OK);
	assert_string_equal(rf_buf_z(&none), "add table inet ringfence\ndelete table inet ringfence\n");
}

static void frames_are_shown_where_that_is_wanted(void **unused)
{
	(void)unused;
	RF_BUF_AUTO b = { 0 };
	struct rf_nft_op ops[] = { { .op = RF_NFT_CHAIN }, { .op = RF_NFT_HIT, .to = 4, .key = 0xab, .flags = RF_NFT_SHOWN }, { .op = RF_NFT_BLOCK } };
	struct rf_nft_policy p = { .head = { .magic = RF_NFT_MAGIC, .samples = 7, .capture_rule = 5, .capture_why = 1ull << RF_DROP_DENIED, .ops = 3 },
		.ops = ops };
	char words[64];
	rf_nft_policy_text(&p, 9, &b);
	snprintf(words, sizeof words, "prefix \"%d 5 2\" group 9 snaplen 2048\n", RF_DROP_RULE);
	HAS(&b, words);
	snprintf(words, sizeof words, "limit rate 7/second burst 7 packets log prefix \"%d 5 1\"", RF_DROP_RULE);
	HAS(&b, words);
	snprintf(words, sizeof words, "packets log prefix \"%d 0 2\"", RF_DROP_DENIED);
	HAS(&b, words);
	snprintf(words, sizeof words, "packets log prefix \"%d 0 1\"", RF_DROP_REFLECTION);
	HAS(&b, words);
	HAS(&b, "counter name \"rule_00000000000000ab\"\n");
	RF_BUF_AUTO quiet = { 0 };
	rf_nft_policy_text(&p, 0, &quiet);
	HAS_NOT(&quiet, " log ");
}

static void bad_records_are_refused(void **unused)
{
	(void)unused;
	struct rf_nft_policy p;
	struct rf_nft_rule good = rule("10.0.0.0/24", RF_NFT_DENY), bad[8] = { good, good, good, good, good, good, good, good };
	bad[0].family = 5;
	bad[1].bits = 33;
	bad[2].mode = 3;
	bad[3].mode = 0;
	bad[4].unused = 1;
	bad[5].address[3] = 1;   /* beyond its length */
	bad[6].address[15] = 1;  /* beyond its family */
	bad[7].bits = 23, bad[7].address[2] = 1;
	struct rf_nft_head h = { .magic = RF_NFT_MAGIC, .count = 1 };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(read_of(h, &bad[i], 1, &p), RF_E_INVALID);
	struct rf_nft_rule twice[] = { good, good };
	h.count = 2;
	assert_int_equal(read_of(h, twice, 2, &p), RF_E_INVALID);
	assert_int_equal(read_of(h, twice, 1, &p), RF_E_INVALID);
	h.count = RF_NFT_RULES_MAX + 1;
	assert_int_equal(read_of(h, twice, 2, &p), RF_E_TOO_LARGE);
}

static void bad_heads_are_refused(void **unused)
{
	(void)unused;
	struct rf_nft_policy p;
	struct rf_err e;
	struct rf_nft_head bad[10] = { HEAD, HEAD, HEAD, HEAD, HEAD, HEAD, HEAD, HEAD, HEAD, HEAD }, good = HEAD;
	bad[0].magic++;
	bad[1].source = RF_NFT_RATE_MAX + 1ull;
	bad[2].prefix = UINT64_MAX;
	bad[3].target = RF_NFT_RATE_MAX + 1ull;
	bad[4].unused[2] = 1;
	bad[5].spare_family = 9;
	bad[6].fleet_count = RF_NFT_NETS + 1;
	for (size_t i = 7; i < 10; i++)
		bad[i].fleet_count = 1, bad[i].fleet[0] = (struct rf_nft_net){ .family = 4, .bits = 8, .address = { 10 } };
	bad[7].fleet[0].family = 7;
	bad[8].fleet[0].address[1] = 1;
	bad[9].fleet[0].unused[5] = 1;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(read_of(bad[i], NULL, 0, &p), RF_E_INVALID);
	int open = file(&good, sizeof good, NULL, 0, false), cut = file(&good, sizeof good - 1, NULL, 0, true);
	assert_int_equal(rf_nft_policy_read(open, &p, &e), RF_E_INVALID);
	assert_int_equal(rf_nft_policy_read(cut, &p, &e), RF_E_INVALID);
	assert_int_equal(rf_nft_policy_read(-1, &p, &e), RF_E_INVALID);
	close(open);
	close(cut);
}

static void interfaces_have_their_chains(void **unused)
{
	(void)unused;
	RF_BUF_AUTO b = { 0 };
	struct rf_err e;
	assert_int_equal(rf_nft_hook_text("eth0.7", &b, &e), RF_OK);
	HAS(&b, "add chain netdev ringfence on_eth0_2e7 { type filter hook ingress device \"eth0.7\" priority -500; policy accept; }\n");
	assert_int_equal(rf_nft_unhook_text("eth0.7", &b, &e), RF_OK);
	HAS(&b, "delete chain netdev ringfence on_eth0_2e7\n");
	size_t n = b.n;
	assert_int_equal(rf_nft_hook_text("a\"; }", &b, &e), RF_E_INVALID);
	assert_int_equal(b.n, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_prefix_counts), cmocka_unit_test(a_prefix_that_is_whole_within_others_leaves_nothing),
		cmocka_unit_test(limits_ports_and_the_way_of_the_operator), cmocka_unit_test(the_fleet_is_held_to_its_ports),
		cmocka_unit_test(cookies_are_said_as_the_kernel_would),
		cmocka_unit_test(frames_are_shown_where_that_is_wanted),
		cmocka_unit_test(bad_records_are_refused),
		cmocka_unit_test(bad_heads_are_refused), cmocka_unit_test(interfaces_have_their_chains),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
