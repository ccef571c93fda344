/* Fuzz: a CRL before and after its signature: rf_crl_read is the walk without the verification. */
#include <stdint.h>
#include "pki/crl.h"
#include "pki/crl_own.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_crl *c = NULL, *merged = NULL;
	struct rf_err e;
	if (rf_crl_read((struct rf_str){ (const char *)data, size }, NULL, &c, &e) != RF_OK)
		return 0;
	for (size_t i = 0; i < c->count; i++)
		if (rf_crl_find(c, rf_crl_serial(&c->entries[i])) != &c->entries[i])
			__builtin_trap(); /* not sorted, or not unique */
	if (rf_crl_apply(c, c, &merged, &e) == RF_OK)
		__builtin_trap(); /* nothing is its own delta */
	rf_crl_put(c);
	return 0;
}
