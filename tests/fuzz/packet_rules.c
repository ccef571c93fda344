/* Fuzz: rules of the phase packet and frames that the input chooses; what the program made of the rules says is held against the
 * evaluator.
 */
#include "policy/packet_random.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FRAMES = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct draw d = { .p = data, .n = size };
	struct drawn r;
	draw_rules(&d, &r);
	for (unsigned i = 0; i < FRAMES; i++) {
		struct frame f;
		draw_frame(&d, &f);
		if (!program_agrees(&r, &f))
			abort();
	}
	drawn_fini(&r);
	return 0;
}
