/* tls/direct: an established TLS 1.3 connection without libssl; what takeover hands to direct. Private to src/tls. */
#pragma once
#include <openssl/ssl.h>
#include "net/bufpool.h"
#include "net/stream.h"
#include "tls/record.h"

struct tls_conn;

enum { TLS_MESSAGE_HEAD = 4, TLS_BUFFER = TLS_RECORD_MAX + 64 /* a record, and a KeyUpdate or an alert beside it */ };

/* Bytes of records that came: content that was opened and not yet taken, then what is still protected. */
struct tls_arrived {
	uint8_t *p; /* a buffer of struct rf_tls, NULL while there is nothing */
	uint32_t plain, plain_end;
	uint32_t at, end;
};

/* A record that was made and has not left wholly. */
struct tls_leaving {
	uint8_t *p;
	uint32_t at, end;
	uint32_t claim; /* bytes of the owner in it: he asks with them again, and is told so when it has left */
};

struct tls_direct {
	struct tls_half in, out;
	struct tls_arrived rx;
	struct tls_leaving tx;
	uint16_t most;        /* bytes of content in a record [RFC 6066 4] */
	uint8_t head[TLS_MESSAGE_HEAD + 1], head_n; /* a handshake message that is being read: its header, and the byte of KeyUpdate */
	uint32_t skip;        /* bytes of a session ticket that are still to come */
	uint8_t idle;         /* records in a row without the owner's bytes */
	bool client;          /* our side of the connection */
	bool owe_update;      /* the peer wants new keys of ours [RFC 8446 4.6.3] */
	bool asked_update;    /* we want new keys of the peer's, and have said so */
	bool closed, ended;   /* close_notify has come; ours was made */
};

extern const struct rf_layer tls_direct_layer;

/* Bytes that came behind the handshake; bio.c puts them here. The buffer, NULL at the bound. */
uint8_t *tls_direct_buffer(struct tls_conn *c);
void tls_direct_fini(struct tls_conn *c);

/* takeover.c: what libssl derives on this thread from now on is of this connection (NULL: of none); connections of this context
 * tell their secrets themselves; count one record that libssl has made or begun to read. */
void tls_listen(struct tls_conn *c);
void tls_watch(SSL_CTX *ctx);
void tls_count_record(struct tls_conn *c, bool out);
/* The handshake is over: go on without libssl where that is possible; else nothing changes. */
void tls_take_over(struct rf_stream *s);
