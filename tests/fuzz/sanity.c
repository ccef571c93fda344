/* The form of datagrams; the first byte says of which protocol. Beliefs: nothing outside the bytes is read; a message of DNS
 * that is good is none with a byte less or more; what opens a session of DTLS may also follow. */
#include <stdlib.h>
#include "wire/sanity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

static void dns(struct rf_str m, enum rf_sanity_side from)
{
	if (!rf_sane_dns(m, from))
		return;
	CHECK(!rf_sane_dns(m, from == RF_SANITY_CLIENT ? RF_SANITY_ORIGIN : RF_SANITY_CLIENT));
	CHECK(!rf_sane_dns((struct rf_str){ m.p, m.n - 1 }, from));
	char *more = malloc(m.n + 1);
	memcpy(more, m.p, m.n);
	more[m.n] = 0;
	CHECK(!rf_sane_dns((struct rf_str){ more, m.n + 1 }, from));
	free(more);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	struct rf_str m = { (const char *)data + 1, size - 1 };
	if (data[0] == 'q')
		dns(m, RF_SANITY_CLIENT);
	else if (data[0] == 'a')
		dns(m, RF_SANITY_ORIGIN);
	else if (data[0] == 'c')
		CHECK(!rf_sane_coap(m) || m.n >= 4);
	else
		CHECK(!rf_sane_dtls(m, true) || rf_sane_dtls(m, false));
	return 0;
}
