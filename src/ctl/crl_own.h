/* ctl/crl_own: what crl.c and crl_fetch.c share; nobody else includes it. */
#pragma once
#include <stdatomic.h>
#include "ctl/crl.h"
#include "pki/pem.h"

enum { RF_CRL_URLS_MAX = 16, RF_CRL_PATH_MAX = 4200, RF_CRL_ETAG_MAX = 256 };

/* DIR/crl/ROOT-N.crl */
void rf_crl_path(const char *data_dir, const char *root_id, size_t n, char to[RF_CRL_PATH_MAX]);

/* The list in `text`, signed by one of the bundle's certificates. */
int rf_crl_verify(struct rf_str text, STACK_OF(X509) *bundle, struct rf_crl **ret, struct rf_err *e);

/* Does b take the place of a, a list of the same issuer and kind? */
bool rf_crl_newer(const struct rf_crl *b, const struct rf_crl *a);

/* The list that the fetcher holds for a root's n-th URL, verified with this bundle: one reference, or NULL. */
struct rf_crl *rf_crl_fetcher_held(struct rf_crl_fetcher *f, const char *root_id, size_t n, struct rf_str bundle);

/* crl_http.c: one GET, redirects followed within http and https, on the calling thread. */
struct rf_crl_ask {
	const char *url, *ca;      /* ca: PEM file that https servers are verified with; "": the system's */
	const char *etag;          /* of the held list, "" where it had none */
	int64_t changed_s;         /* its Last-Modified; -1: not known */
	bool held;                 /* the answer may be that it is unchanged */
	size_t bytes;
	uint64_t timeout_ns;
	const _Atomic bool *stop;  /* becomes true: give up */
};
struct rf_crl_got {
	struct rf_buf body;        /* the caller's, on failure too */
	char etag[RF_CRL_ETAG_MAX];
	int64_t changed_s;
	bool unchanged;
};
int rf_crl_download(const struct rf_crl_ask *ask, struct rf_crl_got *ret, struct rf_err *e);
bool rf_crl_download_start(void);
void rf_crl_download_end(void);
