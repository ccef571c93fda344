/* ctl/crl_own: what crl.c and crl_fetch.c share; nobody else includes it. */
#pragma once
#include "ctl/crl.h"
#include "ctl/fetch.h"
#include "pki/pem.h"

enum { RF_CRL_URLS_MAX = 16, RF_CRL_PATH_MAX = 4200 };

/* DIR/crl/ROOT-N.crl */
void rf_crl_path(const char *data_dir, const char *root_id, size_t n, char to[RF_CRL_PATH_MAX]);

/* The list in `text`, signed by one of the bundle's certificates. */
int rf_crl_verify(struct rf_str text, STACK_OF(X509) *bundle, struct rf_crl **ret, struct rf_err *e);

/* Does b take the place of a, a list of the same issuer and kind? */
bool rf_crl_newer(const struct rf_crl *b, const struct rf_crl *a);

/* The list that the fetcher holds for a root's n-th URL, verified with this bundle: one reference, or NULL. */
struct rf_crl *rf_crl_fetcher_held(struct rf_crl_fetcher *f, const char *root_id, size_t n, struct rf_str bundle);
