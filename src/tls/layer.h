/* tls/layer: what the server and client halves share; private to src/tls. */
#pragma once
#include <openssl/ssl.h>
#include "base/list.h"
#include "base/map.h"
#include "tls/direct.h"
#include "tls/fingerprint.h"
#include "tls/peer.h"
#include "tls/sessions.h"

struct rf_tls {
	struct rf_tls_conf conf;
	SSL_CTX *base;             /* settings and the session cache; its certificate is never shown */
	SSL_CTX *client;
	struct rf_map hosts;       /* pair of keypairs -> struct host_ctx */
	struct rf_node hosts_used; /* least recently first */
	struct rf_peer_cache *peers;
	struct tls_sessions sessions;
	BIO_METHOD *bio;
	struct rf_buf hello;       /* the ClientHello that is being read */
	struct rf_tls_stats stats;
	struct tls_ciphers ciphers;
	struct rf_bufpool bufs;    /* of TLS_BUFFER bytes: at most two a connection */
};

enum phase { HANDSHAKE, EARLY, OPEN, FAILED };

/* The state of one stream's layer. */
struct tls_conn {
	struct rf_tls *tls;
	SSL *ssl;           /* NULL after the take-over */
	struct tls_direct direct;
	struct rf_tls_peer *peer;
	struct rf_tls_info info;
	uint64_t begun_ns;
	const char *error;  /* static words, NULL */
	struct rf_trust *trust; /* of a client: what the origin is verified with */
	uint64_t roots;     /* of the host that was asked for */
	struct tls_session *session; /* that this connection has made, kept in tls->sessions; NULL: none, or it has left */
	uint64_t denials;   /* the world's number of them when `denied` was found; 0: not known */
	uint8_t phase;
	uint8_t random[32]; /* of the client */
	uint8_t frame[TLS_HEADER], frame_n; /* of the record that libssl is getting */
	uint16_t frame_left;
	uint16_t hello_length;
	bool framed : 1;    /* libssl gets one record at a time, so that what is behind the handshake is not in it */
	bool alpn : 1;      /* http/1.1 was agreed */
	bool any_protocol : 1; /* nothing is to be agreed */
	bool hello_seen : 1;
	bool denied : 1;    /* the peer */
	bool early_over : 1; /* libssl has said that no (more) 0-RTT data comes */
	bool refuse : 1;    /* the host wants a handshake without a good certificate to fail */
	char ja4[RF_JA4_TEXT]; /* of the ClientHello; "" where it has none */
	char *sni;
	char *hello;        /* the ClientHello where the host wants it kept, hello_length bytes; NULL */
	char *early;        /* 0-RTT data that was read and not yet taken, NULL */
	size_t early_n;
};

static inline struct tls_conn *tls_conn_of(const struct rf_stream *s)
{
	return s->layer_state;
}

/* A BIO over the stream's socket; bio.c. */
BIO_METHOD *tls_bio_method(void);

/* Make the connection; layer.c. */
int tls_attach(struct rf_tls *t, struct rf_stream *s, SSL_CTX *ctx, const struct rf_layer *layer);

/* The result of an SSL_* call that did not succeed, in our codes; layer.c. */
int tls_result(struct rf_stream *s, int ret);

/* 0-RTT data that was kept; layer.c. */
ssize_t tls_take_early(struct tls_conn *c, void *p, size_t n);
/* Free libssl's part, and keep its session; layer.c. */
void tls_ssl_free(struct tls_conn *c);
/* What libssl sends and reads, in pieces; layer.c. */
void tls_on_message(int out, int version, int type, const void *p, size_t n, SSL *ssl, void *arg);
/* The ClientHello as it came; server.c. */
void tls_note_hello(struct tls_conn *c, const void *p, size_t n);

/* Shared by both halves. */
ssize_t tls_read(struct rf_stream *s, void *p, size_t n);
ssize_t tls_write(struct rf_stream *s, const struct iovec *v, int count);
int tls_shutdown(struct rf_stream *s);
void tls_free(struct rf_stream *s);

/* The context that shows these certificates; host.c. Borrowed, valid until the next call. */
SSL_CTX *tls_host_ctx(struct rf_tls *t, const struct rf_keypair *const pair[2]);
void tls_hosts_fini(struct rf_tls *t);
/* Settings that every server context shares; server.c. */
int tls_server_settings(struct rf_tls *t, SSL_CTX *ctx);
/* The client context; client.c. */
SSL_CTX *tls_client_ctx(void);
