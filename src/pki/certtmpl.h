/* pki/certtmpl: text with certificate fields: "dev-${cert.subject.cn}", "${cert.san.uri[0]}".
 *
 * Compiled once, expanded for each connection. `$${` stands for a plain "${".
 *
 *   cert.subject  cert.issuer  and with .rfc2253 or .legacy; cert.subject.NAME[I], cert.issuer.NAME[I] with NAME
 *   of rf_cert_attr_names; cert.san.dns[I] .uri[I] .email[I] .ip[I]; cert.serial, issuer_serial, ski,
 *   issuer_ski, sha256, sha1, not_before, not_after, key, der, rfc9440. [I] counts from 0, which is the default.
 */
#pragma once
#include "pki/cert.h"

#define RF_CERT_TMPL_BYTES 1024
#define RF_CERT_TMPL_PARTS 32
#define RF_CERT_TMPL_INDEX 63

struct rf_cert_tmpl; /* immutable */

/* Errors: RF_E_UNKNOWN names the variable and the nearest known one, RF_E_SYNTAX, RF_E_TOO_LARGE; with the
 * column. */
int rf_cert_tmpl_compile(struct rf_str text, struct rf_cert_tmpl **ret, struct rf_err *e);
void rf_cert_tmpl_free(struct rf_cert_tmpl *t);

/* The text for a certificate, in the arena. RF_E_MISSING when the certificate has no such field (for a header:
 * send none; for binding a device: it does not match), RF_E_INVALID when a value holds control bytes, which
 * could end a header line or make two names look the same, RF_E_NOMEM. */
int rf_cert_tmpl_expand(const struct rf_cert_tmpl *t, const struct rf_cert *c, struct rf_arena *a,
			struct rf_str *ret);
