/* Fuzz: rules of the phase packet and frames that the input chooses; what the program made of the rules says is held against the
 * evaluator; what is made of them for nft is what the monitor takes.
 */
#include "monitor/nft_rules.h"
#include "policy/packet_nft.h"
#include "policy/packet_random.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FRAMES = 4 };

static void refused(void *ctx, const struct rf_rule *r, const struct rf_err *e) { (void)ctx, (void)r, (void)e; }

static void say_to_nft(const struct drawn *r)
{
	const struct rf_packet_numbers numbers = { number_of, NULL };
	const struct rf_packet_refusals refusals = { refused, NULL };
	struct rf_packet_chains c = { 0 };
	struct rf_err e = { 0 };
	if (rf_packet_nft(r->set, r->lists, &numbers, &refusals, &c, &e) != RF_OK || rf_nft_rules_check(c.ops, c.n, &e) != RF_OK)
		abort();
	rf_packet_chains_fini(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct draw d = { .p = data, .n = size };
	struct drawn r;
	draw_rules(&d, &r);
	say_to_nft(&r);
	for (unsigned i = 0; i < FRAMES; i++) {
		struct frame f;
		draw_frame(&d, &f);
		if (!program_agrees(&r, &f))
			abort();
	}
	drawn_fini(&r);
	return 0;
}
