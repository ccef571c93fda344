/* Fuzz: an OCSP request. The fuzzer cannot know our issuer, so its certificate ids are seldom ours; the first
 * byte chooses between POST and GET. */
#include <stdint.h>
#include "pki/ocsp.h"
#include "pki_ca.h"

static struct rf_ocsp_answer lookup(void *ctx, const char *serial)
{
	(void)ctx;
	return (struct rf_ocsp_answer){ strlen(serial) % 2 ? RF_OCSP_GOOD : RF_OCSP_UNKNOWN, 0, 0 };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_ca *ca = fuzz_ca();
	struct rf_ocsp o = { rf_ca_cert(ca), rf_ca_key(ca), 60, lookup, NULL };
	RF_BUF_AUTO to = { 0 };
	struct rf_err e;
	unsigned age;
	if (size == 0)
		return 0;
	struct rf_str in = { (const char *)data + 1, size - 1 };
	int rc = data[0] & 1 ? rf_ocsp_answer_get(&o, in, NOW, &to, &age, &e)
			     : rf_ocsp_answer(&o, in, NOW, &to, &age, &e);
	if (rc != RF_OK || to.n < 5)
		__builtin_trap();
	return 0;
}
