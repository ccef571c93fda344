/* pki/ca: the device CA: a root, an intermediate, and leaves for devices.
 *
 * A struct rf_ca is immutable once open; several threads may issue with it. It keeps no list of what it
 * issued: the caller stores every certificate before handing it out, and passes the revoked ones to
 * pki/crl and pki/ocsp.
 */
#pragma once
#include <openssl/types.h>
#include "base/buf.h"
#include "base/err.h"
#include "pki/cert.h"

struct rf_ca;

#define RF_CA_ROOT_DAYS 7305         /* 20 years */
#define RF_CA_INTERMEDIATE_DAYS 3652 /* 10 years */
#define RF_CA_BACKDATE 3600          /* seconds: the clocks of devices run late */
#define RF_CA_DAYS_MAX 3650          /* longest validity of a leaf */
#define RF_CA_SANS_MAX 100
#define RF_CSR_MAX 16384             /* bytes, PEM or DER */
#define RF_CA_URL_MAX 512            /* bytes of a base URL, with its end */

struct rf_ca_conf {
	const char *dir;      /* holds root.crt, root.key, intermediate.crt, intermediate.key */
	const char *key_uri;  /* PKCS#11 URI of the intermediate's key, made beforehand; NULL: a file in dir */
	const char *base_url; /* "http://ca.example.com": adds BASE/crl, BASE/ocsp, BASE/ca.crt; NULL: none */
	const char *name;     /* "Acme": subjects become "Acme Device Root" and so on; NULL: "Ringfence" */
};

/* Open the CA in conf->dir, creating what is not there yet. Every step can be interrupted and the next
 * call goes on from there; a key or certificate that exists is never replaced. Afterwards root.key may
 * be moved offline. `now`: seconds since 1970. Two processes wait for each other.
 * Errors: RF_E_CERT when a key does not match or the chain is broken or out of its time,
 * RF_E_MISSING when a file is gone that later ones need, RF_E_DENIED, RF_E_DISK. */
int rf_ca_open(const struct rf_ca_conf *conf, int64_t now, struct rf_ca **ret, struct rf_err *e);
void rf_ca_free(struct rf_ca *ca); /* NULL is fine; wipes the key */
/* Another conf.base_url for what is issued from now on; NULL or "": none. RF_E_INVALID: it stays as it was. */
int rf_ca_base_url(struct rf_ca *ca, const char *url, struct rf_err *e);

/* Borrowed, as long as the CA lives. */
X509 *rf_ca_root(const struct rf_ca *ca);
X509 *rf_ca_cert(const struct rf_ca *ca); /* the intermediate, which signs everything */
EVP_PKEY *rf_ca_key(const struct rf_ca *ca);
/* PEM: intermediate then root (for devices), or the root only (a trust anchor). */
int rf_ca_chain_pem(const struct rf_ca *ca, struct rf_buf *to);
int rf_ca_root_pem(const struct rf_ca *ca, struct rf_buf *to);

struct rf_issue {
	struct rf_str csr;        /* PKCS#10, PEM or DER; unused by rf_ca_bundle */
	unsigned days;            /* 1..RF_CA_DAYS_MAX, cut at the CA's own end */
	struct rf_str cn;         /* subject CN=...; empty: the subject of the CSR */
	const struct rf_san *sans; /* RF_SAN_DNS, RF_SAN_URI ("urn:uuid:..."), RF_SAN_EMAIL or RF_SAN_IP as text */
	size_t san_count;         /* SANs that the CSR asks for are ignored: they are the caller's to grant */
	bool server;              /* for TLS server authentication (a host of the edge), not for a device */
};

/* A fresh key, and its certificate for signing OCSP responses of this CA [RFC 6960 4.2.2.2], so that the CA's own key does not. Both are
 * the caller's. Errors as rf_ca_issue. */
int rf_ca_responder(const struct rf_ca *ca, unsigned days, int64_t now, X509 **ret, EVP_PKEY **ret_key, struct rf_err *e);

/* Certify the CSR's key for TLS client authentication (or, with `server`, server authentication). The CSR must be signed by its own key. The facts of the new
 * certificate (DER, serial, SKI, digests, times) are *ret; one reference is the caller's. PEM: rf_cert_pem.
 * Errors: RF_E_SYNTAX, RF_E_TOO_LARGE, RF_E_RANGE, RF_E_INVALID, RF_E_CERT (key policy, signature, CA at its end),
 * with the pointer /csr, /validity_days, /subject or /sans/N. */
int rf_ca_issue(const struct rf_ca *ca, const struct rf_issue *req, int64_t now, struct rf_cert **ret,
		struct rf_err *e);

/* The subject Name and public key of a CSR, DER (for EST's checks), after verifying its signature and key. */
struct rf_csr;
int rf_csr_parse(struct rf_str text, struct rf_csr **ret, struct rf_err *e);
void rf_csr_free(struct rf_csr *csr);
struct rf_str rf_csr_subject(const struct rf_csr *csr);
/* The challengePassword attribute; the empty string when absent. */
struct rf_str rf_csr_challenge(const struct rf_csr *csr);
/* As rf_ca_issue for a CSR that is parsed already; req->csr is not read. */
int rf_ca_issue_csr(const struct rf_ca *ca, const struct rf_csr *csr, const struct rf_issue *req, int64_t now,
		    struct rf_cert **ret, struct rf_err *e);

/* What a device without its own key generator gets. The key exists nowhere else. */
struct rf_bundle {
	struct rf_cert *cert;
	struct rf_buf key_pem;   /* PKCS#8, mode 0600 wherever it goes */
	struct rf_buf cert_pem;  /* the leaf, then the intermediate: what a TLS client presents */
	struct rf_buf ca_pem;    /* the root */
};

/* Generate a P-256 key and certify it. rf_bundle_fini wipes the key. */
int rf_ca_bundle(const struct rf_ca *ca, const struct rf_issue *req, int64_t now, struct rf_bundle *ret,
		 struct rf_err *e);
void rf_bundle_fini(struct rf_bundle *b);
