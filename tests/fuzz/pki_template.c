/* Fuzz: the template language, expanded over a certificate of its own. */
#include <stdint.h>
#include "pki/certtmpl.h"

static struct rf_cert cert = { .serial = "2A", .ski = "0102", .key = "EC P-256" };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_cert_tmpl *t = NULL;
	struct rf_arena a;
	struct rf_err e;
	struct rf_str v;
	if (rf_cert_tmpl_compile((struct rf_str){ (const char *)data, size }, &t, &e) != RF_OK)
		return 0;
	rf_arena_init(&a, 1 << 16);
	if (rf_cert_tmpl_expand(t, &cert, &a, &v) == RF_OK)
		for (size_t i = 0; i < v.n; i++)
			if ((unsigned char)v.p[i] < 0x20)
				__builtin_trap();
	rf_arena_fini(&a);
	rf_cert_tmpl_free(t);
	return 0;
}
