/* Fuzz: the walk over a certificate, and every text made from it. */
#include <stdint.h>
#include "pki/cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_cert *c = NULL;
	struct rf_arena a;
	struct rf_err e;
	struct rf_str v;
	if (rf_cert_from_der((struct rf_str){ (const char *)data, size }, &c, &e) != RF_OK)
		return 0;
	rf_arena_init(&a, 1 << 20);
	for (int style = RF_DN_DEFAULT; style <= RF_DN_LEGACY; style++) {
		rf_cert_subject(c, (enum rf_dn_style)style, &a);
		rf_cert_issuer(c, (enum rf_dn_style)style, &a);
	}
	for (size_t i = 0; rf_cert_attr_names[i]; i++)
		rf_cert_attr(c, false, rf_str_z(rf_cert_attr_names[i]), 0, &a, &v);
	for (int kind = RF_SAN_EMAIL; kind <= RF_SAN_OTHER; kind++)
		rf_cert_san(c, (enum rf_san_kind)kind, 0, &a, &v);
	if (!c->ski[0] || !c->serial[0])
		__builtin_trap();
	rf_arena_fini(&a);
	rf_cert_put(c);
	return 0;
}
