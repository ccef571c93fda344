/* The way of a session: libssl has sent its ticket -> encoded, the certificate cut out, and kept under its id -> a ClientHello with
 * that id -> decoded, its peer beside it -> libssl goes on as if it had kept it. What libssl finds unfit it asks us to remove.
 *
 * Invariants: an entry is in the map and among the ages, or freed. Secrets are wiped when an entry goes. An entry and the
 * connection that made it know each other, or neither the other.
 */
#include "tls/sessions.h"
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include "pki/der.h"
#include "tls/layer.h"
#include "tls/peer.h"

enum { ENCODED_MAX = 4096, HEAD_MAX = 4, PEER_TAG = 0xa3 /* [3] of libssl's SSL_SESSION: the certificate */ };

struct tls_session {
	struct rf_map_node node;
	struct rf_node age;
	struct rf_tls_peer *peer; /* NULL: none */
	struct tls_conn *maker;   /* the connection that made it, while that lives and has made no other; NULL */
	int64_t until;
	uint8_t id[SSL_MAX_SSL_SESSION_ID_LENGTH];
	uint8_t id_n;
	uint16_t n;
	uint8_t encoded[];
};

static int peer_index = -1, store_index = -1;

/* A session that libssl duplicates carries the same peer. */
static int peer_dup(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **from_d, int idx, long argl, void *argp)
{
	(void)to, (void)from, (void)idx, (void)argl, (void)argp;
	rf_peer_get(*from_d);
	return 1;
}

static void peer_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
	rf_peer_put(ptr);
}

static void make_indexes(void)
{
	peer_index = SSL_SESSION_get_ex_new_index(0, NULL, NULL, peer_dup, peer_free);
	store_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

bool tls_session_set_peer(SSL_SESSION *session, struct rf_tls_peer *peer)
{
	if (SSL_SESSION_set_ex_data(session, peer_index, peer))
		return true;
	rf_peer_put(peer);
	return false;
}

struct rf_tls_peer *tls_session_peer(const SSL_SESSION *session)
{
	return SSL_SESSION_get_ex_data(session, peer_index);
}

static void drop(struct tls_sessions *s, struct tls_session *e)
{
	if (e->maker)
		e->maker->session = NULL;
	rf_map_del(&s->map, &e->node);
	rf_list_del(&e->age);
	rf_peer_put(e->peer);
	OPENSSL_cleanse(e->encoded, e->n);
	free(e);
}

static struct tls_session *oldest(const struct tls_sessions *s)
{
	struct rf_node *n = rf_list_first(&s->ages);
	return n ? RF_CONTAINER(n, struct tls_session, age) : NULL;
}

static struct tls_session *find(const struct tls_sessions *s, const unsigned char *id, size_t n)
{
	struct rf_map_node *node = rf_map_find(&s->map, (struct rf_str){ (const char *)id, n });
	return node ? RF_CONTAINER(node, struct tls_session, node) : NULL;
}

/* The head of a SEQUENCE of n octets, in the shortest form [X.690 10.1]; its length. */
static size_t put_head(uint8_t *to, size_t n)
{
	size_t at = 0;
	to[at++] = RF_DER_SEQ;
	if (n > 255)
		to[at++] = 0x82;
	else if (n > 127)
		to[at++] = 0x81;
	if (n > 255)
		to[at++] = (uint8_t)(n >> 8);
	to[at++] = (uint8_t)n;
	return at;
}

/* libssl's encoding without the certificate, in `to`, which has room for all of it; 0: it is not what we know. */
static size_t without_peer(struct rf_str der, uint8_t *to)
{
	struct rf_cur all = rf_cur_over(der.p, der.n);
	struct rf_cur in = rf_der_into(rf_der_want(&all, RF_DER_SEQ));
	size_t n = HEAD_MAX;
	while (rf_cur_left(&in)) {
		struct rf_tlv t = rf_der_next(&in);
		if (t.tag == PEER_TAG || !t.all.n)
			continue;
		memcpy(to + n, t.all.p, t.all.n);
		n += t.all.n;
	}
	size_t body = n - HEAD_MAX;
	if (!rf_cur_ok(&in) || !rf_cur_ok(&all) || !body || body > ENCODED_MAX)
		return 0;
	size_t head = put_head(to, body);
	memmove(to + head, to + HEAD_MAX, body);
	return head + body;
}

/* The encoding in s->scratch; empty where it cannot be had. */
static struct rf_str encode(struct tls_sessions *s, SSL_SESSION *session)
{
	struct rf_str none = { NULL, 0 };
	int n = i2d_SSL_SESSION(session, NULL);
	rf_buf_clear(&s->scratch);
	char *room = n > 0 ? rf_buf_room(&s->scratch, 2 * (size_t)n + 8) : NULL;
	if (!room)
		return none;
	unsigned char *at = (unsigned char *)room;
	uint8_t *to = (uint8_t *)room + n;
	if (i2d_SSL_SESSION(session, &at) != n)
		return none;
	size_t kept = without_peer((struct rf_str){ room, (size_t)n }, to);
	return (struct rf_str){ (const char *)to, kept };
}

static struct tls_session *session_new(struct tls_sessions *s, SSL_SESSION *session)
{
	unsigned id_n;
	const unsigned char *id = SSL_SESSION_get_id(session, &id_n);
	struct rf_str encoded = encode(s, session);
	struct tls_session *e = encoded.n && id_n && id_n <= sizeof e->id ? malloc(sizeof *e + encoded.n) : NULL;
	if (e) {
		*e = (struct tls_session){ .peer = rf_peer_get(tls_session_peer(session)), .id_n = (uint8_t)id_n, .n = (uint16_t)encoded.n,
				       .until = (int64_t)SSL_SESSION_get_time(session) + SSL_SESSION_get_timeout(session) };
		memcpy(e->id, id, id_n);
		memcpy(e->encoded, encoded.p, encoded.n);
	}
	if (s->scratch.p)
		OPENSSL_cleanse(s->scratch.p, s->scratch.cap);
	return e;
}

/* Make room: for one, and two of those that are over, so that they do not stay for want of a full table. */
static void make_room(struct tls_sessions *s, int64_t now)
{
	struct tls_session *e;
	for (int i = 0; i < 2 && (e = oldest(s)) && e->until < now; i++)
		drop(s, e);
	if (s->map.count >= s->bound && (e = oldest(s)))
		drop(s, e);
}

/* libssl: a session may be resumed from now on. 0: we keep no reference to libssl's. */
static int on_new(SSL *ssl, SSL_SESSION *session)
{
	struct tls_sessions *s = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), store_index);
	struct tls_session *e = session_new(s, session), *same;
	if (!e) {
		ERR_clear_error();
		return 0; /* without memory there is a full handshake the next time */
	}
	if ((same = find(s, e->id, e->id_n)))
		drop(s, same);
	make_room(s, (int64_t)SSL_SESSION_get_time(session));
	rf_map_add(&s->map, &e->node, (struct rf_str){ (const char *)e->id, e->id_n });
	rf_list_push(&s->ages, &e->age);
	struct tls_conn *c = tls_conn_of((struct rf_stream *)SSL_get_app_data(ssl));
	tls_session_leave(c);
	c->session = e;
	e->maker = c;
	return 0;
}

/* libssl: a client names this session. The reference is libssl's. */
static SSL_SESSION *on_get(SSL *ssl, const unsigned char *id, int n, int *copy)
{
	struct tls_sessions *s = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), store_index);
	struct tls_session *e = n > 0 ? find(s, id, (size_t)n) : NULL;
	*copy = 0;
	if (!e)
		return NULL;
	const unsigned char *at = e->encoded;
	SSL_SESSION *session = d2i_SSL_SESSION(NULL, &at, e->n);
	if (session && e->peer && !tls_session_set_peer(session, rf_peer_get(e->peer))) {
		SSL_SESSION_free(session); /* nobody is no substitute for a device */
		session = NULL;
	}
	if (!session)
		ERR_clear_error();
	else if (SSL_SESSION_get_max_early_data(session))
		drop(s, e); /* used once, so that 0-RTT data cannot be replayed [RFC 8446 8.1]; a new one comes with the handshake */
	return session;
}

static void on_remove(SSL_CTX *ctx, SSL_SESSION *session)
{
	struct tls_sessions *s = SSL_CTX_get_ex_data(ctx, store_index);
	unsigned n;
	const unsigned char *id = SSL_SESSION_get_id(session, &n);
	struct tls_session *e = n ? find(s, id, n) : NULL;
	if (e)
		drop(s, e);
}

void tls_session_forget(struct tls_conn *c)
{
	if (c->session)
		drop(&c->tls->sessions, c->session);
}

void tls_session_leave(struct tls_conn *c)
{
	if (c->session)
		c->session->maker = NULL;
	c->session = NULL;
}

bool tls_sessions_init(struct tls_sessions *s, size_t bound)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, make_indexes);
	*s = (struct tls_sessions){ .bound = bound ? bound : 1 };
	rf_list_init(&s->ages);
	return peer_index >= 0 && store_index >= 0;
}

void tls_sessions_fini(struct tls_sessions *s)
{
	while (s->ages.next && oldest(s))
		drop(s, oldest(s));
	rf_map_fini(&s->map);
	rf_buf_fini(&s->scratch);
}

bool tls_sessions_use(struct tls_sessions *s, SSL_CTX *ctx)
{
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_ANTI_REPLAY /* which libssl has for its own cache alone; see on_get */);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_new);
	SSL_CTX_sess_set_get_cb(ctx, on_get);
	SSL_CTX_sess_set_remove_cb(ctx, on_remove);
	return SSL_CTX_set_ex_data(ctx, store_index, s);
}
