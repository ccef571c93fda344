/* ctl/crl: revocation lists of uploaded roots: those uploaded with them, and those fetched from their URLs.
 *
 * A thread of its own fetches (HTTP may hang, parsing a million entries takes time), keeps each list that verifies in
 * DATA_DIR/crl/ROOT-N.crl, and posts a message; the control thread then builds a new trust set. A list
 * that does not verify, is older than the one held, or does not arrive changes nothing and is counted.
 */
#pragma once
#include "pki/crl.h"
#include "ctl/control.h"

enum { RF_CRL_SET_MAX = 32 };

/* The lists of one root, one an issuer, deltas applied. */
struct rf_crl_set {
	struct rf_crl *v[RF_CRL_SET_MAX];
	size_t n;
};
/* From the root's document and from what was fetched. A list that is kept and does not verify any more is left out and logged;
 * an uploaded one is an error. */
int rf_crl_set_load(struct rf_ctl *c, const char *root_id, const json_t *doc, struct rf_crl_set *ret, struct rf_err *e);
void rf_crl_set_fini(struct rf_crl_set *s);

struct rf_crl_fetcher;
/* `changed` is posted to the control loop after new lists were kept. */
int rf_crl_fetcher_start(struct rf_ctl *c, struct rf_crl_fetcher **ret, struct rf_err *e);
/* What to fetch: called by the control thread whenever roots have changed, and at the start. */
void rf_crl_fetcher_plan(struct rf_crl_fetcher *f);
/* Fetch all now, whatever came of the last attempt. */
void rf_crl_fetcher_kick(struct rf_crl_fetcher *f);
void rf_crl_fetcher_stop(struct rf_crl_fetcher *f);

/* For status: an object for every URL (url "" for what was uploaded) of every root of which lists are expected:
 * {root_id, root (its name), url, state: fresh|expired|not_yet|missing, number, entries, this_update, next_update, last_success, last_error}.
 * Control thread; empty while the fetcher does not run. */
int rf_crl_status(struct rf_ctl *c, json_t *array, struct rf_err *e);
