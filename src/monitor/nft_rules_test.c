/* Rules of the phase packet by nft: what is refused of the engine's operations; and random rules and frames in a network namespace,
 * where nft must say what the evaluator says. The latter needs root and nft. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "monitor/nft.h"
#include "monitor/nft_counts.h"
#include "monitor/nft_rules.h"
#include "policy/packet_nft.h"
#include "policy/packet_random.h"

enum { RULES = 80, FRAMES = 60, WAITS = 20000 };

/* --- what the monitor admits --- */

static void only_operations_that_there_are_are_taken(void **state)
{
	enum { TRIES = 400 };
	const struct rf_nft_op chain = { .op = RF_NFT_CHAIN }, leave = { .op = RF_NFT_LEAVE };
	const struct rf_nft_op good = { .op = RF_NFT_MATCH, .field = RF_NFT_PROTO, .from = 6, .until = 17 };
	const struct { const char *what; struct rf_nft_op op; } bad[] = {
		{ "no operation", { .op = RF_NFT_OPS } }, { "no field", { .op = RF_NFT_MATCH, .field = RF_NFT_FIELDS } },
		{ "a chain that is not there", { .op = RF_NFT_GO, .to = 1 } }, { "a chain far off", { .op = RF_NFT_CHAIN, .to = RF_NFT_CHAINS_MAX } },
		{ "a range turned round", { .op = RF_NFT_MATCH, .field = RF_NFT_PROTO, .from = 7, .until = 6 } },
		{ "a number too large", { .op = RF_NFT_MATCH, .field = RF_NFT_TTL4, .until = 256 } },
		{ "no bytes", { .op = RF_NFT_MATCH, .field = RF_NFT_NETWORK, .key = 1 } },
		{ "bytes too many", { .op = RF_NFT_MATCH, .field = RF_NFT_NETWORK, .bytes = 6, .key = 1 } },
		{ "bits beyond the bytes", { .op = RF_NFT_MATCH, .field = RF_NFT_NETWORK, .bytes = 1, .key = 256 } },
		{ "bytes far off", { .op = RF_NFT_MATCH, .field = RF_NFT_TRANSPORT, .bytes = 1, .key = 1, .at = RF_NFT_BITS_AT + 1 } },
		{ "a wide number", { .op = RF_NFT_MATCH, .field = RF_NFT_SRC4, .from_hi = 1, .to_hi = 1 } },
		{ "no family", { .op = RF_NFT_MATCH, .field = RF_NFT_FAMILY, .from = 5, .until = 5 } },
		{ "a range of nothing", { .op = RF_NFT_RANGE, .field = RF_NFT_PROTO, .until = 1 } },
		{ "a rule beyond the last", { .op = RF_NFT_HIT, .to = RF_PACKET_RULES } },
		{ "bytes that mean nothing", { .op = RF_NFT_LEAVE, .unused = 1 } },
	};
	struct rf_err e = { 0 };
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		const struct rf_nft_op v[] = { chain, bad[i].op, leave };
		if (rf_nft_rules_check(v, 3, &e) == RF_OK)
			fail_msg("%s is taken", bad[i].what);
	}
	const struct rf_nft_op open[] = { chain, good }, hit[] = { chain, good, { .op = RF_NFT_HIT }, leave }, none[] = { leave };
	assert_int_equal(rf_nft_rules_check(open, 2, &e), RF_E_INVALID);
	assert_int_equal(rf_nft_rules_check(hit, 4, &e), RF_E_INVALID);
	assert_int_equal(rf_nft_rules_check(none, 1, &e), RF_E_INVALID);
	assert_int_equal(rf_nft_rules_check(NULL, 0, &e), RF_OK);
	struct draw d = { .seed = 9 };
	for (unsigned i = 0; i < TRIES; i++) {
		struct drawn r;
		struct rf_packet_chains c = { 0 };
		const struct rf_packet_numbers numbers = { number_of, NULL };
		draw_rules(&d, &r);
		if (rf_packet_nft(r.set, r.lists, &numbers, NULL, &c, &e) == RF_OK && rf_nft_rules_check(c.ops, c.n, &e) != RF_OK)
			fail_msg("rules %u: %s", i, e.text);
		rf_packet_chains_fini(&c);
		drawn_fini(&r);
	}
}

/* --- in a network namespace --- */

static int wire = -1; /* sends frames into one end of a cable, whose other end nft looks at */

static int begin(void **state)
{
	(void)state;
	if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0 || system("ip link add t0 type veth peer name t1 && ip link set t0 up && "
	    "sysctl -qw net.ipv6.conf.t1.disable_ipv6=1 net.ipv6.conf.t0.disable_ipv6=1 && ip link set t1 up") != 0)
		skip();
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("t0") };
	wire = socket(AF_PACKET, SOCK_RAW, 0);
	assert_true(wire >= 0 && bind(wire, (struct sockaddr *)&at, sizeof at) == 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	if (wire >= 0)
		close(wire);
	return 0;
}

struct counts { uint64_t pass, all, sane, rule[SETS * SET_RULES]; };

static uint64_t keys[SETS * SET_RULES];

static void note(void *ctx, struct rf_str name, uint64_t frames, uint64_t bytes)
{
	struct counts *c = ctx;
	uint64_t key = 0;
	(void)bytes;
	if (rf_nft_rule_named(name, &key)) {
		for (size_t i = 0; i < SETS * SET_RULES; i++)
			if (keys[i] == key)
				c->rule[i] = frames;
		return;
	}
	c->all += frames;
	c->pass += rf_str_eq(name, RF_STR("pass")) ? frames : 0;
	c->sane += rf_str_eq(name, RF_STR("pass")) || rf_str_eq(name, RF_STR("by_rule")) ? frames : 0;
}

static struct counts counts(void)
{
	struct counts c = { 0 };
	assert_int_equal(rf_nft_counts(note, &c), RF_OK);
	return c;
}

static void put(const struct rf_packet_chains *c)
{
	struct rf_nft_policy p = { .head = { .magic = RF_NFT_MAGIC, .ops = (uint32_t)c->n }, .ops = c->ops };
	RF_BUF_AUTO text = { 0 };
	struct rf_err e = { 0 };
	rf_buf_printf(&text, "add table " RF_NFT_TABLE "\ndelete table " RF_NFT_TABLE "\n");
	rf_nft_policy_text(&p, 0, &text);
	assert_int_equal(rf_nft_hook_text("t1", &text, &e), RF_OK);
	if (rf_nft_run(rf_buf_str(&text), &e) != RF_OK)
		fail_msg("%s\n%s", e.text, rf_buf_z(&text));
}

/* What nft cannot see as the filter does, which is documented: extension headers that it does not look behind, two tags. */
static bool seen_alike(const struct frame *f)
{
	static const uint8_t hidden[] = { 51, 135, 139, 140 };
	struct rf_frame at;
	if (rf_parse_frame(f->b, f->b + f->n, &at) != RF_DROP_PASS || at.at > 18)
		return false;
	size_t next = at.at + 6u, header = at.at + 40u;
	for (int i = 0; at.family == 6 && i < RF_EXTENSIONS && header + 8 <= f->n; i++) {
		if (memchr(hidden, f->b[next], sizeof hidden))
			return false;
		if (header >= (size_t)at.at + at.header)
			break;
		next = header;
		header += f->b[header + 1] * 8u + 8u;
	}
	return !(at.family == 6 && at.header > 40 && f->n > (size_t)at.at + at.size);
}

static bool agrees(const struct drawn *r, const struct frame *f, struct counts *last)
{
	struct rf_packet_facts facts;
	struct rf_packet p;
	struct answer a;
	if (!read_frame(f, &facts, &p) || !evaluate(r, &p, &a))
		return true;
	assert_int_equal(send(wire, f->b, f->n, 0), f->n);
	struct counts now = counts();
	for (int i = 0; now.all == last->all && i < WAITS; i++)
		now = counts();
	bool same = now.all == last->all + 1 && now.pass - last->pass == (a.verdict != RF_RULES_BLOCK) && now.sane == last->sane + 1;
	for (unsigned i = 0; i < SETS * SET_RULES; i++)
		same = same && now.rule[i] - last->rule[i] == a.frames[i];
	if (!same) {
		print_message("all %llu pass %llu sane %llu, verdict %u\n", (unsigned long long)(now.all - last->all), (unsigned long long)(now.pass - last->pass),
			(unsigned long long)(now.sane - last->sane), a.verdict);
		for (unsigned i = 0; i < SETS * SET_RULES; i++)
			print_message("rule %u: %llu, not %llu\n", i, (unsigned long long)(now.rule[i] - last->rule[i]), (unsigned long long)a.frames[i]);
	}
	*last = now;
	return same;
}

static void show_difference(const struct drawn *r, const struct frame *f, const struct counts *c)
{
	for (size_t s = 0; s < r->set->count; s++)
		for (size_t b = 0; b < r->set->sets[s]->nblocks; b++)
			for (unsigned k = 0; k < r->set->sets[s]->blocks[b]->count; k++) {
				const struct rf_rule *x = rf_block_rule(r->set->sets[s]->blocks[b], k);
				print_message("%u %s %.*s (%llu)\n", (unsigned)x->order, x->enabled ? "" : "off", RF_ARG(x->expression),
					(unsigned long long)c->rule[x->order]);
			}
	for (size_t i = 0; i < f->n; i++)
		print_message("%02x%s", f->b[i], i % 32 == 31 ? "\n" : "");
	print_message("\n");
}

static void left(void *ctx, const struct rf_rule *r, const struct rf_err *e)
{
	(void)e;
	((struct rf_rule *)(uintptr_t)r)->enabled = false; /* the evaluator leaves it out as well */
	++*(unsigned *)ctx;
}

static void nft_says_what_the_evaluator_says(void **state)
{
	struct draw d = { .seed = 20160921 };
	const struct rf_packet_numbers numbers = { number_of, NULL };
	unsigned refused = 0, rules = 0, frames = 0;
	(void)state;
	for (unsigned i = 0; i < SETS * SET_RULES; i++) {
		char id[16];
		snprintf(id, sizeof id, "r%u", i);
		keys[i] = rf_packet_nft_key(rf_str_z(id));
	}
	for (unsigned i = 0; i < RULES; i++) {
		struct drawn r;
		struct rf_packet_chains c;
		struct rf_err e = { 0 };
		const struct rf_packet_refusals refusals = { left, &refused };
		struct counts last = { 0 };
		draw_rules(&d, &r);
		assert_int_equal(rf_packet_nft(r.set, r.lists, &numbers, &refusals, &c, &e), RF_OK);
		rules += (unsigned)c.rules;
		put(&c);
		for (unsigned k = 0; k < FRAMES; k++) {
			struct frame f;
			draw_frame(&d, &f);
			if (!seen_alike(&f))
				continue;
			frames++;
			if (!agrees(&r, &f, &last)) {
				show_difference(&r, &f, &last);
				fail_msg("rules %u, frame %u", i, k);
			}
		}
		rf_packet_chains_fini(&c);
		drawn_fini(&r);
	}
	print_message("%u rules, %u of them not by nft; %u frames\n", rules + refused, refused, frames);
	assert_true(frames > RULES * FRAMES / 2 && refused < rules / 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_operations_that_there_are_are_taken),
		cmocka_unit_test_setup_teardown(nft_says_what_the_evaluator_says, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
