/* Fuzz: a CSR, PEM or DER, as the API and EST read it. */
#include <stdint.h>
#include "pki/ca.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_csr *csr = NULL;
	struct rf_err e;
	if (rf_csr_parse((struct rf_str){ (const char *)data, size }, &csr, &e) != RF_OK)
		return 0;
	if (rf_csr_subject(csr).n == 0)
		__builtin_trap();
	rf_csr_free(csr);
	return 0;
}
