/* ctl/local_own: what local.c, local_est.c and local_ca.c share; nobody else includes it. */
#pragma once
#include "ctl/local.h"
#include "net/rate.h"
#include "pki/crl.h"

struct local_crls { /* our own lists, and what they were made of */
	uint64_t certificates;           /* struct rf_ctl_private's count of changes; what is cached is of this state */
	int64_t made_s, base_s;          /* 0: not yet */
	uint64_t number, base_number;    /* number: the last that was given out */
	struct rf_crl_entry *base;       /* entries of the full list that deltas build on */
	size_t base_count;
	struct rf_buf full, delta;       /* DER */
};

struct local_responder { /* who signs OCSP responses; its key is never kept */
	X509 *cert;              /* NULL: not yet */
	EVP_PKEY *key;
	int64_t made_s;
};

struct rf_local {
	struct rf_ctl *c;
	void (*answered)(struct rf_local_request *q); /* rf_http_local_answer; tests have their own */
	struct rf_rate sign_rate;
	struct rf_bucket sign;
	struct local_crls crls;
	struct local_responder responder;
};

/* Fill the answer. `path`: behind the service's own prefix. */
void local_est(struct rf_local *l, struct rf_local_request *q, struct rf_str path);
void local_pki(struct rf_local *l, struct rf_local_request *q, struct rf_str path);

/* Status and a sentence as the body. */
void local_text(struct rf_local_request *q, int status, const char *text);
/* May one more signature be made? Else answers 503 with Retry-After. */
bool local_may_sign(struct rf_local *l, struct rf_local_request *q);
int64_t local_now(const struct rf_local *l); /* wall, seconds */

/* local_ca.c: the number of the list that is kept from an earlier run. */
void local_crls_open(struct rf_local *l);
void local_crls_close(struct rf_local *l);
void local_responder_close(struct rf_local *l);
