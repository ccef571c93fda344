/* pki/ocsp: an OCSP responder for our own issuer [RFC 6960], without a transport. */
#pragma once
#include <openssl/types.h>
#include "base/buf.h"
#include "base/err.h"

#define RF_OCSP_REQUEST_MAX 4096
#define RF_OCSP_CERTS_MAX 16
#define RF_OCSP_NONCE_MAX 128 /* [RFC 9654 2.1] */
#define RF_OCSP_REQUEST_TYPE "application/ocsp-request"
#define RF_OCSP_RESPONSE_TYPE "application/ocsp-response"

enum rf_ocsp_status { RF_OCSP_GOOD, RF_OCSP_REVOKED, RF_OCSP_UNKNOWN };

struct rf_ocsp_answer {
	enum rf_ocsp_status status;
	int64_t revoked_at; /* seconds since 1970 */
	unsigned reason;    /* RF_REASON_* */
};

struct rf_ocsp {
	X509 *ca;             /* whose certificates are asked about */
	EVP_PKEY *key;        /* of the signer */
	unsigned valid_for;   /* seconds until nextUpdate */
	/* What is known of a serial, upper hex as rf_cert.serial has it. */
	struct rf_ocsp_answer (*lookup)(void *ctx, const char *serial);
	void *ctx;
	X509 *signer;         /* whom ca has certified for it (rf_ca_responder); NULL: ca itself */
};

/* Answer a DER request at wall time `now`. A DER response is appended to `to` in every case that has one
 * (malformedRequest and unauthorized too: RF_OK), with the seconds a cache may keep it in *ret_max_age (0: do not).
 * Errors: RF_E_CRYPTO, RF_E_NOMEM. */
int rf_ocsp_answer(const struct rf_ocsp *o, struct rf_str request, int64_t now, struct rf_buf *to,
		   unsigned *ret_max_age, struct rf_err *e);

/* The same for GET: the part of the path behind the responder's own, percent-encoded base64 [RFC 6960 A.1]. */
int rf_ocsp_answer_get(const struct rf_ocsp *o, struct rf_str path, int64_t now, struct rf_buf *to,
		       unsigned *ret_max_age, struct rf_err *e);
