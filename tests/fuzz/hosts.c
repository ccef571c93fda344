/* A hosts file, and the name in its first line looked up in it. Belief: only addresses that are written there are found. */
#include <stdlib.h>
#include "net/hosts.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct rf_str all = { (const char *)p, n };
	size_t line = rf_str_find(all, '\n');
	struct rf_hosts h = { .text = malloc(n + 1), .n = n };
	struct rf_ip found[4];
	if (!h.text)
		return 0;
	memcpy(h.text, p, n);
	unsigned count = rf_hosts_find(&h, (struct rf_str){ all.p, line }, found, 4);
	for (unsigned i = 0; i < count && i < 4; i++)
		if (found[i].family != 4 && found[i].family != 6)
			abort();
	if (count > 4)
		abort();
	rf_hosts_fini(&h);
	return 0;
}
