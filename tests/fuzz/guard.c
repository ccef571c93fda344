/* Guards. The first byte chooses the protocol, the second how the rest is cut. Beliefs: the verdict does not depend on how
 * the bytes were cut, nor do the bytes that pass; no more pass than were given. */
#include <stdlib.h>
#include "base/err.h"
#include "wire/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

static int feed(enum rf_guard_kind kind, struct rf_str in, size_t step, size_t *ret_passed)
{
	struct rf_guard g;
	size_t at = 0, given = 0;
	int r = RF_OK;
	rf_guard_init(&g, kind);
	while (given < in.n && r == RF_OK) {
		size_t pass = 0;
		given = given + step < in.n ? given + step : in.n;
		r = rf_guard_feed(&g, (struct rf_str){ in.p + at, given - at }, &pass);
		CHECK(r == RF_OK || (r == RF_E_INVALID && g.why));
		CHECK(pass <= given - at);
		at += pass;
	}
	*ret_passed = at;
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3 || size > 2 + RF_GUARD_HELD)
		return 0;
	enum rf_guard_kind kind = data[0] % RF_GUARDS;
	struct rf_str in = { (const char *)data + 2, size - 2 };
	size_t whole, cut;
	int r = feed(kind, in, in.n, &whole);
	CHECK(feed(kind, in, 1 + data[1] % 64, &cut) == r);
	CHECK(whole == cut);
	return 0;
}
