/* tls/sessions: the TLS sessions of a worker, to be resumed.
 *
 * libssl would keep a session with the parsed certificates in it, ten kilobytes each; here it is what a resumption needs:
 * its secret and settings in some 150 bytes, and the peer, whom all sessions of a chain share. The least recent leave at
 * the bound, and those that are over leave as new ones come. Owned by one thread. Private to src/tls.
 */
#pragma once
#include <openssl/ssl.h>
#include "base/map.h"
#include "tls/tls.h"

struct tls_conn;

struct tls_sessions {
	struct rf_map map;   /* id -> struct tls_session */
	struct rf_node ages; /* oldest first */
	size_t bound;
	struct rf_buf scratch;
};

/* False where libssl has no more places for data of ours. */
bool tls_sessions_init(struct tls_sessions *s, size_t bound);
void tls_sessions_fini(struct tls_sessions *s);
/* Have libssl keep and find the sessions of this context here. False without memory. */
bool tls_sessions_use(struct tls_sessions *s, SSL_CTX *ctx);

/* A TLS error has ended the connection: its session is not to be resumed [RFC 8446 6.2]. */
void tls_session_forget(struct tls_conn *c);
/* The connection is gone; its session stays. */
void tls_session_leave(struct tls_conn *c);

/* The peer that was verified when the session began. set takes the caller's reference; get lends. */
bool tls_session_set_peer(SSL_SESSION *session, struct rf_tls_peer *peer);
struct rf_tls_peer *tls_session_peer(const SSL_SESSION *session);
