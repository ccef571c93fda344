/* tls/tls: TLS 1.3 and 1.2 on streams, for clients of the edge and towards origins.
 *
 * A worker owns one struct rf_tls: its OpenSSL library context, session cache and cache of verified
 * chains. rf_tls_accept puts the server layer on a stream; the handshake asks the owner's `host`
 * callback by SNI which certificate to show and whether to ask for one. What the client proved is in
 * struct rf_tls_info and never stops the handshake unless the host says so: refusing politely (403) is the
 * service's business.
 *
 * After a TLS 1.3 handshake a connection leaves libssl (tls/takeover, tls/direct); to the owner nothing changes.
 *
 * Not here: who the device is (device/identity), the trust set (tls/trust), server certificates (tls/keypair).
 */
#pragma once
#include "net/stream.h"
#include "pki/cert.h"
#include "pki/credkey.h"
#include "records/counters.h"
#include "tls/keypair.h"
#include "tls/trust.h"

struct rf_tls;
struct rf_tls_peer;

/* How one host wants its handshakes. Owned by the snapshot; valid during the callback only. */
struct rf_tls_host {
	const struct rf_keypair *keypair[2]; /* ECDSA first, RSA second; NULL where absent */
	bool ask_client;       /* send CertificateRequest */
	bool refuse_handshake; /* fail it unless the client certificate verifies and is not revoked */
	bool keep_hello;       /* for rf_tls_hello */
	bool early_data;       /* 0-RTT allowed (for paths marked idempotent) */
	bool any_protocol;     /* what the client offers by ALPN is not looked at, and none is chosen; else http/1.1 or none */
	uint64_t roots;        /* bit set of trusted roots (struct rf_trust index) for refuse_handshake */
};

struct rf_tls_conf {
	/* Whose stream, and which name it asks for: `sni` "" when absent. false: no such host, the handshake fails with
	 * unrecognized_name. */
	bool (*host)(void *arg, struct rf_stream *s, struct rf_str sni, struct rf_tls_host *ret);
	/* The trust set in force; the layer holds a reference while a session is negotiated. */
	const struct rf_trust *(*trust)(void *arg);
	void *arg;
	/* Denied by key, serial or fingerprint right now? NULL: nothing is. */
	bool (*denied)(void *arg, const struct rf_tls_peer *peer);
	/* Not 0, and another number whenever `denied` may answer otherwise than before. NULL: it is asked each time. */
	uint64_t (*denials)(void *arg);
	unsigned session_cache;  /* sessions kept a worker */
	unsigned chain_cache;    /* verified chains kept a worker */
	uint32_t session_timeout_s;
	uint64_t rekey_records;  /* of TLS 1.3, after which a direction gets new keys; 0: what the ciphers are good for */
	struct rf_clock clock;
};

enum rf_cert_status { RF_CERT_NONE, RF_CERT_VALID, RF_CERT_INVALID }; /* revoked is INVALID with a reason */

/* What a client proved with its certificate; shared by the sessions of that chain on one worker. */
struct rf_tls_peer {
	struct rf_cert *cert;
	struct rf_cert **chain;    /* the rest as sent, leaf excluded */
	size_t chain_count;
	struct rf_str subject;     /* of the leaf, RFC 2253; its own memory, because decoding a name costs as much as half a request */
	uint8_t pin[16];           /* start of the SHA-256 of the leaf's public key */
	struct rf_credkey ski, fingerprint, serial; /* for the device registry; n 0 where there is none */
	int64_t valid_from, valid_until; /* of the whole chain, seconds since 1970 */
	/* Of the trust set `generation`: */
	uint64_t generation;
	int root;                  /* index of the anchor, -1: none */
	uint64_t roots;            /* bits of every root that holds the anchor: what to test a host's roots against */
	char root_id[33];
	int chain_error;           /* X509_V_OK, or what is wrong apart from time */
	bool revoked;              /* on a revocation list */
	uint64_t crl_expected;     /* bits of `roots`: those whose lists are looked at */
	uint64_t crl_closed;       /* those whose lists must be there and fresh */
	int64_t *crl_until;        /* one for each bit of crl_expected, in order: fresh until then; -1: one is missing */
	unsigned refs;             /* of one thread */
};

/* What a finished handshake established. Owned by the layer, valid as long as the stream. */
struct rf_tls_info {
	const char *version;       /* "TLSv1.3" */
	const char *cipher;
	const char *sni;           /* lower case; "" when absent */
	bool resumed;
	bool early;                /* what is read now came as 0-RTT data */
	bool asked;                /* a client certificate was asked for */
	bool verified;             /* chain and times are good (true also when revoked) */
	bool revoked;
	enum rf_cert_status status;
	enum rf_reason why;        /* with RF_CERT_INVALID or RF_CERT_NONE */
	const char *reason;        /* "" or words such as "certificate has expired"; static */
	uint64_t roots;            /* those of the peer's that vouch for it now: without the closed ones whose lists are stale */
	const char *stale;         /* "" or what is the matter with the lists of stale_roots; static */
	uint64_t stale_roots;      /* those whose lists are missing or expired, open or closed */
	const struct rf_tls_peer *peer; /* NULL when no certificate was presented */
	uint64_t handshake_ns;     /* from the first byte to the end */
};

struct rf_tls *rf_tls_new(const struct rf_tls_conf *conf, struct rf_err *e);
void rf_tls_free(struct rf_tls *t);

/* Put the server layer on an accepted stream; then drive rf_stream_handshake. min_version as libssl writes it (TLS1_2_VERSION; 0
 * means that): older ones only where a listener says so, with the ciphers that such devices have. */
int rf_tls_accept(struct rf_tls *t, struct rf_stream *s, int min_version);
const struct rf_tls_info *rf_tls_info(const struct rf_stream *s); /* NULL on a plain stream */

/* Check again what may have changed since the handshake: validity in time, revocation, trust set.
 * Cheap (two look-ups); called once a request. Updates the info. */
void rf_tls_recheck(struct rf_stream *s);

/* Why none of `roots` vouches for a peer now, where info->roots has none of them: its CA is another, or its lists are stale. */
static inline enum rf_reason rf_tls_unvouched(const struct rf_tls_info *info, uint64_t roots)
{
	return info->peer->roots & roots ? RF_REASON_CRL_STALE : RF_REASON_CERT_UNKNOWN_CA;
}

/* While info->early: finish the handshake. RF_OK when what is read from now on is not 0-RTT data any more. */
int rf_tls_settle(struct rf_stream *s);

/* For rules, on demand. Hex needs 65 bytes. */
void rf_tls_client_random(const struct rf_stream *s, char to[65]);
unsigned rf_tls_hello_length(const struct rf_stream *s);
struct rf_str rf_tls_hello(const struct rf_stream *s); /* the ClientHello; p NULL where it was not kept */
struct rf_str rf_tls_ja4(const struct rf_stream *s);   /* of the ClientHello; empty where it has none */
struct rf_str rf_tls_alpn(const struct rf_stream *s);

/* Towards an origin. */
struct rf_tls_client {
	struct rf_str name;               /* SNI and the name to verify */
	bool verify;
	struct rf_trust *trust;           /* NULL: the system's CA store */
	const struct rf_keypair *keypair; /* for mutual TLS; NULL: none */
};
int rf_tls_connect(struct rf_tls *t, struct rf_stream *s, const struct rf_tls_client *c);
/* Why the handshake failed, for a record: a short sentence, never NULL. */
const char *rf_tls_error(const struct rf_stream *s);

struct rf_tls_stats { uint64_t full, resumed, failed, chain_hits, chain_misses, early; };
void rf_tls_stats(const struct rf_tls *t, struct rf_tls_stats *ret);
