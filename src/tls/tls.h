/* tls/tls: TLS 1.3 and 1.2 on streams, for clients of the edge and towards origins.
 *
 * A worker owns one struct rf_tls: its OpenSSL library context, session cache and cache of verified
 * chains. rf_tls_accept puts the server layer on a stream; the handshake asks the owner's `host`
 * callback by SNI which certificate to show and whether to ask for one. What the client proved is in
 * struct rf_tls_info and never stops the handshake unless the host says so: refusing politely (403) is the
 * service's business.
 *
 * Not here: who the device is (device/identity), the trust set (tls/trust), server certificates (tls/keypair).
 */
#pragma once
#include "net/stream.h"
#include "pki/cert.h"
#include "tls/keypair.h"
#include "tls/trust.h"

struct rf_tls;

/* How one host wants its handshakes. Owned by the snapshot; valid during the callback only. */
struct rf_tls_host {
	const struct rf_keypair *keypair[2]; /* ECDSA first, RSA second; NULL where absent */
	bool ask_client;       /* send CertificateRequest */
	bool refuse_handshake; /* fail it unless the client certificate verifies and is not revoked */
	bool early_data;       /* 0-RTT allowed (for paths marked idempotent) */
	uint64_t roots;        /* bit set of trusted roots (struct rf_trust index) for refuse_handshake */
};

struct rf_tls_conf {
	/* `sni` "" when absent. false: no such host, the handshake fails with unrecognized_name. */
	bool (*host)(void *arg, struct rf_str sni, struct rf_tls_host *ret);
	/* The trust set in force; the layer holds a reference while a session is negotiated. */
	const struct rf_trust *(*trust)(void *arg);
	void *arg;
	int min_version;         /* TLS1_2_VERSION unless the listener says lower */
	unsigned session_cache;  /* sessions kept a worker */
	unsigned chain_cache;    /* verified chains kept a worker */
	uint32_t session_timeout_s;
	struct rf_clock clock;
};

enum rf_cert_status { RF_CERT_NONE, RF_CERT_VALID, RF_CERT_INVALID }; /* revoked is INVALID with a reason */

/* What a finished handshake established. Owned by the layer, valid as long as the stream. */
struct rf_tls_info {
	const char *version; /* "TLSv1.3" */
	const char *cipher;
	struct rf_str sni, alpn;
	bool resumed;
	bool early;                /* what is read now came as 0-RTT data */
	enum rf_cert_status status;
	bool verified;             /* chain and times are good (true also when revoked) */
	bool revoked;
	const char *reason;        /* "" or words for a header and a record, such as "certificate has expired" */
	const struct rf_cert *cert; /* NULL when none was presented */
	const struct rf_cert *const *chain; /* the rest as sent, leaf excluded */
	size_t chain_count;
	int root;                  /* index in the trust set of the anchor, -1 */
	char root_id[33];
	char client_random[65];
	uint16_t hello_length;
	struct rf_str ja3, ja4;    /* "" until asked for by the configuration */
	uint64_t handshake_ns;     /* from first byte to finished */
};

struct rf_tls *rf_tls_new(const struct rf_tls_conf *conf, struct rf_err *e);
void rf_tls_free(struct rf_tls *t);

/* Put the server layer on an accepted stream; then drive rf_stream_handshake. */
int rf_tls_accept(struct rf_tls *t, struct rf_stream *s);
const struct rf_tls_info *rf_tls_info(const struct rf_stream *s); /* NULL on a plain stream */

/* Check again what may have changed since the handshake: validity in time, revocation, trust set.
 * Cheap (two look-ups); called once a request. Updates the info. */
void rf_tls_recheck(struct rf_stream *s);

/* Towards an origin. */
struct rf_tls_client {
	struct rf_str name;               /* SNI and the name to verify */
	bool verify;
	const struct rf_trust *trust;     /* NULL: the system's CA store */
	const struct rf_keypair *keypair; /* for mutual TLS; NULL: none */
};
int rf_tls_connect(struct rf_tls *t, struct rf_stream *s, const struct rf_tls_client *c);
/* Why the handshake failed, for a record: a short sentence, never NULL. */
const char *rf_tls_error(const struct rf_stream *s);

struct rf_tls_stats { uint64_t full, resumed, failed, chain_hits, chain_misses, early; };
void rf_tls_stats(const struct rf_tls *t, struct rf_tls_stats *ret);
