/* pki/est: Enrolment over Secure Transport [RFC 7030, RFC 8951], without a transport.
 *
 * The caller hands over a request as facts and gets a response to send. Who may enrol, and what a device
 * is called, is the caller's answer through callbacks, which also keep the state: this file only decides what
 * the protocol decides.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "pki/ca.h"

#define RF_EST_BODY_MAX (RF_CSR_MAX * 2)
#define RF_EST_PATH "/.well-known/est/"

enum rf_est_peer { /* the certificate of the TLS connection */
	RF_EST_NONE,    /* none, or one that proves nothing */
	RF_EST_VALID,   /* verified, not revoked */
	RF_EST_EXPIRED, /* ours and not revoked, the signature verified, but past its end */
};

struct rf_est_request {
	struct rf_str method;       /* "GET", "POST" */
	struct rf_str path;         /* behind RF_EST_PATH: "simpleenroll" or "LABEL/simpleenroll" */
	struct rf_str content_type; /* empty when absent */
	struct rf_str body;
	struct rf_str token;        /* from Authorization: Bearer, or the password of Basic; empty when absent */
	enum rf_est_peer peer;
	struct rf_cert *peer_cert;  /* NULL with RF_EST_NONE */
	struct rf_str device;       /* id of the device that peer_cert is bound to; empty when not known */
	struct rf_str tls_unique;   /* base64 of the channel binding; empty when the transport has none (TLS 1.3) */
};

struct rf_est_response {
	int status;               /* HTTP */
	const char *content_type;
	bool base64;              /* send Content-Transfer-Encoding: base64 */
	unsigned retry_after;     /* seconds; 0: no such header */
	bool authenticate;        /* send WWW-Authenticate */
	struct rf_buf body;       /* free with rf_buf_fini */
	struct rf_cert *issued;   /* one reference, or NULL */
	bool quarantine;          /* re-enrolled with an expired certificate: goes to the quarantine class */
	bool reenrolled;
};

/* What the caller grants: filled by the callbacks. */
struct rf_est_grant {
	char device[64];          /* id, for `store` */
	char cn[65];              /* "" : the subject of the CSR */
	struct rf_san sans[RF_CA_SANS_MAX];
	size_t san_count;         /* values live until rf_est_handle returns; 0 in a renewal: the old names stay */
	unsigned days;
	unsigned retry_after;     /* seconds; with RF_E_AGAIN: not yet decided, ask again [RFC 7030 4.2.3] */
};

struct rf_est_ops {
	/* Spend a provisioning token for a first enrolment: of two concurrent calls with a one-use token one at
	 * most gets RF_OK. Else RF_E_UNAUTH, or RF_E_AGAIN (not spent). Called only once the CSR is known to be
	 * good. */
	int (*spend)(void *ctx, struct rf_str token, struct rf_str csr_subject, struct rf_est_grant *ret);
	/* May this device renew? peer_cert is valid, or expired with `expired`. RF_OK, RF_E_DENIED (not known
	 * or revoked). */
	int (*renew)(void *ctx, const struct rf_est_request *r, bool expired, struct rf_est_grant *ret);
	/* Keep the certificate before it is sent: what this refuses is never handed out. */
	int (*store)(void *ctx, const struct rf_est_grant *g, struct rf_cert *c, bool quarantine, struct rf_err *e);
	/* After `spend` had granted, nothing was issued or stored: give the token back. */
	void (*unspend)(void *ctx, struct rf_str token, const struct rf_est_grant *g);
};

/* Handle one request at wall time `now`. Always fills *ret with something to send, also on a refusal, whose
 * reason is returned and told in e for the record. */
int rf_est_handle(const struct rf_ca *ca, const struct rf_est_ops *ops, void *ctx, const struct rf_est_request *r,
		  int64_t now, struct rf_est_response *ret, struct rf_err *e);
void rf_est_response_fini(struct rf_est_response *r);
