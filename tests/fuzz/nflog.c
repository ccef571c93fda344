/* Messages of the kernel's log, as nothing but a fault of the kernel would make them. Beliefs: what is shown fits, is no more than came,
 * and is at most as long as it says that it is. */
#include <stdlib.h>
#include <string.h>
#include "shield/nflog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

enum { LINK_HEADERS = 20 }; /* of the link, with a tag, where the message has none */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rf_shown shown;
	void *copy = malloc(size ? size : 1); /* aligned as a receive buffer is, and guarded at its end */
	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	if (rf_nflog_read(copy, size, &shown)) {
		CHECK(shown.n <= RF_SAMPLE_BYTES && shown.n <= size + LINK_HEADERS && shown.n <= shown.size);
		CHECK(shown.why < RF_DROP_COUNT);
	}
	free(copy);
	return 0;
}
