/* tls/direct: the two directions of an established TLS 1.3 connection.
 *
 *   read:   recv -> rx: whole records -> opened, straight to where the owner wants the bytes -> by type:
 *             content     to the owner; what does not fit stays in rx
 *             handshake   KeyUpdate; a session ticket of an origin is passed over; all else ends the connection
 *             alert       close_notify is the end; all others are an error
 *   write:  pieces -> one record in tx -> one send. What does not leave at once stays, and the owner, who is told
 *           RF_E_AGAIN, asks with the same bytes again, as he would with libssl.
 *
 * Invariants: a buffer is held only while bytes are under way: an idle connection has none. A record that is broken ends the
 * connection with an alert and forgets its session [RFC 8446 6.2], and nothing is read or written after that. New keys come at the
 * bound of their cipher [RFC 8446 5.5].
 *
 * Not here: keys and records themselves (record).
 */
#include <openssl/ssl.h>
#include <string.h>
#include "tls/layer.h"

enum { IDLE_MAX = 32 /* records in a row without content */, TICKET_MAX = 1 << 18, UPDATE_N = TLS_MESSAGE_HEAD + 1 };

/* --- buffers --- */

uint8_t *tls_direct_buffer(struct tls_conn *c)
{
	struct tls_arrived *rx = &c->direct.rx;
	if (!rx->p) {
		rx->p = rf_bufpool_get(&c->tls->bufs);
		rx->plain = rx->plain_end = rx->at = rx->end = 0;
	}
	return rx->p;
}

static void rx_release(struct tls_conn *c)
{
	struct tls_arrived *rx = &c->direct.rx;
	if (!rx->p || rx->plain < rx->plain_end || rx->at < rx->end)
		return;
	rf_bufpool_put(&c->tls->bufs, rx->p);
	*rx = (struct tls_arrived){ 0 };
}

static void tx_release(struct tls_conn *c)
{
	rf_bufpool_put(&c->tls->bufs, c->direct.tx.p);
	c->direct.tx = (struct tls_leaving){ 0 };
}

void tls_direct_fini(struct tls_conn *c)
{
	struct tls_direct *d = &c->direct;
	tls_half_fini(&d->in);
	tls_half_fini(&d->out);
	rf_bufpool_put(&c->tls->bufs, d->rx.p);
	tx_release(c);
	d->rx = (struct tls_arrived){ 0 };
}

/* --- out --- */

/* Send what is in tx. RF_OK when all of it has left. */
static int flush(struct rf_stream *s)
{
	struct tls_conn *c = tls_conn_of(s);
	struct tls_leaving *tx = &c->direct.tx;
	while (tx->at < tx->end) {
		struct iovec v = { tx->p + tx->at, tx->end - tx->at };
		ssize_t r = rf_stream_send(s, &v, 1);
		if (r < 0)
			return (int)r;
		tx->at += (uint32_t)r;
	}
	return RF_OK;
}

static bool tx_take(struct tls_conn *c)
{
	struct tls_leaving *tx = &c->direct.tx;
	if (!tx->p)
		*tx = (struct tls_leaving){ .p = rf_bufpool_get(&c->tls->bufs) };
	return tx->p;
}

/* Append a record whose n bytes of content are at its place already, or are copied from `from`. */
static bool append(struct tls_conn *c, enum tls_type type, const void *from, size_t n)
{
	struct tls_leaving *tx = &c->direct.tx;
	uint8_t *to = tx->p + tx->end;
	if (tx->end + n + TLS_OVERHEAD > TLS_BUFFER)
		return false;
	if (from)
		memcpy(to + TLS_HEADER, from, n);
	size_t made = tls_seal(&c->tls->ciphers, &c->direct.out, type, to, n);
	tx->end += (uint32_t)made;
	return made;
}

/* The connection is of no use any more; the peer is told why, if that can be done at once. */
static int fatal(struct rf_stream *s, int alert, const char *words)
{
	struct tls_conn *c = tls_conn_of(s);
	const uint8_t message[2] = { SSL3_AL_FATAL, (uint8_t)alert };
	c->phase = FAILED;
	tls_session_forget(c);
	if (!c->error)
		c->error = words;
	if (!c->direct.ended && tx_take(c) && append(c, TLS_TYPE_ALERT, message, sizeof message))
		flush(s);
	tls_direct_fini(c);
	return RF_E_CRYPTO;
}

static int failed_inside(struct rf_stream *s)
{
	return fatal(s, SSL_AD_INTERNAL_ERROR, "TLS records could not be protected");
}

/* New keys of ours, before the next content [RFC 8446 4.6.3]. */
static bool update_out(struct tls_conn *c)
{
	struct tls_direct *d = &c->direct;
	uint64_t bound = c->tls->conf.rekey_records;
	bool ask = d->in.seq >= bound && !d->asked_update;
	if (!d->owe_update && !ask && d->out.seq < bound)
		return true;
	const uint8_t message[UPDATE_N] = { SSL3_MT_KEY_UPDATE, 0, 0, 1, ask };
	d->owe_update = false;
	d->asked_update |= ask;
	rf_count(RF_C_TLS_REKEYED);
	return append(c, TLS_TYPE_HANDSHAKE, message, sizeof message) && tls_half_update(&c->tls->ciphers, &d->out);
}

static size_t gather(const struct iovec *v, int count, uint8_t *to, size_t max)
{
	size_t n = 0;
	for (int i = 0; i < count && n < max; i++) {
		size_t take = v[i].iov_len < max - n ? v[i].iov_len : max - n;
		if (take)
			memcpy(to + n, v[i].iov_base, take);
		n += take;
	}
	return n;
}

static size_t total(const struct iovec *v, int count)
{
	size_t n = 0;
	for (int i = 0; i < count; i++)
		n += v[i].iov_len;
	return n;
}

static ssize_t direct_write(struct rf_stream *s, const struct iovec *v, int count)
{
	struct tls_conn *c = tls_conn_of(s);
	struct tls_leaving *tx = &c->direct.tx;
	if (c->phase == FAILED || c->direct.ended)
		return RF_E_CRYPTO;
	size_t offered = total(v, count);
	if (!offered)
		return 0;
	if (tx->claim > offered)
		return failed_inside(s); /* our owner forgot what he asked for */
	if (!tx->claim) {
		if (!s->writable)
			return RF_E_AGAIN;
		if (!tx_take(c))
			return RF_E_NOMEM;
		if (!update_out(c))
			return failed_inside(s);
		size_t n = gather(v, count, tx->p + tx->end + TLS_HEADER, c->direct.most);
		if (!append(c, TLS_TYPE_DATA, NULL, n))
			return failed_inside(s);
		tx->claim = (uint32_t)n;
	}
	int r = flush(s);
	if (r)
		return r;
	ssize_t done = tx->claim;
	tx_release(c);
	return done;
}

static int direct_shutdown(struct rf_stream *s)
{
	static const uint8_t message[2] = { SSL3_AL_WARNING, SSL_AD_CLOSE_NOTIFY };
	struct tls_conn *c = tls_conn_of(s);
	if (c->phase == FAILED)
		return RF_OK;
	if (!c->direct.ended) {
		if (!tx_take(c))
			return RF_E_NOMEM;
		c->direct.ended = true;
		if (!append(c, TLS_TYPE_ALERT, message, sizeof message))
			return failed_inside(s);
	}
	int r = flush(s);
	if (r == RF_OK)
		tx_release(c);
	return r;
}

/* --- in --- */

static int on_alert(struct rf_stream *s, const uint8_t *p, size_t n)
{
	struct tls_conn *c = tls_conn_of(s);
	if (n != 2) /* never in pieces, never two at once [RFC 8446 5.1] */
		return fatal(s, SSL_AD_DECODE_ERROR, "the peer sends a malformed alert");
	if (p[1] == SSL_AD_CLOSE_NOTIFY) {
		c->direct.closed = true; /* what comes after it is ignored [RFC 8446 6.1] */
		c->direct.rx.at = c->direct.rx.end;
		return RF_OK;
	}
	if (p[1] == SSL_AD_USER_CANCELLED)
		return RF_OK;
	c->phase = FAILED; /* whatever its level says [RFC 8446 6] */
	tls_session_forget(c);
	c->error = SSL_alert_desc_string_long(p[1]);
	tls_direct_fini(c);
	return RF_E_CRYPTO;
}

/* The peer's keys change with the next record, so that nothing may follow the message in its own [RFC 8446 5.1]. */
static int on_key_update(struct rf_stream *s, uint8_t request, bool last)
{
	struct tls_conn *c = tls_conn_of(s);
	if (!last)
		return fatal(s, SSL_AD_UNEXPECTED_MESSAGE, "a KeyUpdate is not the end of its record");
	if (request > SSL_KEY_UPDATE_REQUESTED)
		return fatal(s, SSL_AD_ILLEGAL_PARAMETER, "a KeyUpdate asks for something unknown");
	if (!tls_half_update(&c->tls->ciphers, &c->direct.in))
		return failed_inside(s);
	c->direct.asked_update = false;
	c->direct.owe_update |= request == SSL_KEY_UPDATE_REQUESTED;
	return RF_OK;
}

/* A whole header of a message: how many more bytes of it we look at. Negative: it may not come. */
static int expected(struct tls_direct *d)
{
	const uint8_t *h = d->head;
	uint32_t length = (uint32_t)h[1] << 16 | (uint32_t)h[2] << 8 | h[3];
	if (h[0] == SSL3_MT_KEY_UPDATE && length == 1)
		return 1;
	if (h[0] == SSL3_MT_NEWSESSION_TICKET && d->client && length && length <= TICKET_MAX) {
		d->skip = length; /* connections to origins are kept, not resumed */
		return 0;
	}
	return -1;
}

/* Messages after the handshake, of which one may lie in several records. */
static int on_handshake(struct rf_stream *s, const uint8_t *p, size_t n)
{
	struct tls_direct *d = &tls_conn_of(s)->direct;
	if (!n)
		return fatal(s, SSL_AD_UNEXPECTED_MESSAGE, "an empty handshake record"); /* [RFC 8446 5.1] */
	while (n) {
		if (d->skip) {
			size_t take = n < d->skip ? n : d->skip;
			d->skip -= (uint32_t)take;
			p += take;
			n -= take;
			continue;
		}
		d->head[d->head_n++] = *p++;
		n--;
		if (d->head_n == TLS_MESSAGE_HEAD) {
			int more = expected(d);
			if (more < 0)
				return fatal(s, SSL_AD_UNEXPECTED_MESSAGE, "the peer sends a message that has no place after the handshake");
			d->head_n = more ? d->head_n : 0;
		} else if (d->head_n == UPDATE_N) {
			d->head_n = 0;
			int r = on_key_update(s, d->head[TLS_MESSAGE_HEAD], !n);
			if (r)
				return r;
		}
	}
	return RF_OK;
}

/* The content of a record, at p: where the owner wants it, or else in rx, where it then stays. *ret_n: how many the owner has. */
static int on_content(struct rf_stream *s, const uint8_t *p, struct tls_plain plain, bool in_place, size_t *ret_n)
{
	struct tls_conn *c = tls_conn_of(s);
	struct tls_direct *d = &c->direct;
	if (plain.n > d->most)
		return fatal(s, SSL_AD_RECORD_OVERFLOW, "a record is longer than was agreed");
	d->idle = plain.n && plain.type == TLS_TYPE_DATA ? 0 : d->idle + 1;
	if (d->idle > IDLE_MAX)
		return fatal(s, SSL_AD_UNEXPECTED_MESSAGE, "the peer sends records without content");
	if (plain.type == TLS_TYPE_ALERT)
		return on_alert(s, p, plain.n);
	if (plain.type == TLS_TYPE_HANDSHAKE)
		return on_handshake(s, p, plain.n);
	if (plain.type != TLS_TYPE_DATA || d->head_n || d->skip) /* [RFC 8446 5, 5.1] */
		return fatal(s, SSL_AD_UNEXPECTED_MESSAGE, "a record of a type that has no place here");
	if (in_place) {
		d->rx.plain = (uint32_t)(p - d->rx.p);
		d->rx.plain_end = d->rx.plain + (uint32_t)plain.n;
	} else {
		*ret_n = plain.n;
	}
	return RF_OK;
}

/* Open the next record of rx. RF_E_AGAIN when it is not whole yet. */
static int next_record(struct rf_stream *s, uint8_t *to, size_t room, size_t *ret_n)
{
	struct tls_conn *c = tls_conn_of(s);
	struct tls_arrived *rx = &c->direct.rx;
	uint8_t *record = rx->p + rx->at;
	size_t have = rx->end - rx->at, length;
	struct tls_plain plain;
	*ret_n = 0;
	if (have && record[0] != TLS_TYPE_DATA)
		return fatal(s, SSL_AD_UNEXPECTED_MESSAGE, "a record that is not protected");
	if (have < TLS_HEADER)
		return RF_E_AGAIN;
	length = (size_t)record[3] << 8 | record[4];
	if (length > TLS_CIPHER_MAX)
		return fatal(s, SSL_AD_RECORD_OVERFLOW, "a record is too long");
	if (length < TLS_TAG)
		return fatal(s, SSL_AD_BAD_RECORD_MAC, "a record is too short");
	if (have < TLS_HEADER + length)
		return RF_E_AGAIN;
	bool in_place = room < length - TLS_TAG;
	if (in_place)
		to = record + TLS_HEADER;
	rx->at += TLS_HEADER + (uint32_t)length;
	int alert = tls_open(&c->tls->ciphers, &c->direct.in, record, length, to, &plain);
	if (alert)
		return fatal(s, alert, alert == SSL_AD_BAD_RECORD_MAC ? "a record was changed on its way" : "a record is malformed");
	return on_content(s, to, plain, in_place, ret_n);
}

/* The socket has ended. A device that loses its link says no good-bye, and what was cut short shows in the framing of HTTP; an
 * origin's answer may have no other end [RFC 9112 9.8]. */
static int truncated(struct tls_conn *c)
{
	const struct tls_arrived *rx = &c->direct.rx;
	if (rx->at == rx->end && !c->direct.client)
		return RF_E_EOF;
	c->error = rx->at < rx->end ? "the peer closed the connection within a record"
				    : "the peer closed the connection without TLS's good-bye";
	return RF_E_RESET;
}

static int more(struct rf_stream *s)
{
	struct tls_conn *c = tls_conn_of(s);
	struct tls_arrived *rx = &c->direct.rx;
	uint8_t none;
	if (!s->readable) { /* no buffer for what does not come */
		int r = (int)rf_stream_recv(s, &none, 1);
		return r == RF_E_EOF ? truncated(c) : r;
	}
	if (!tls_direct_buffer(c))
		return RF_E_NOMEM;
	if (rx->at) {
		memmove(rx->p, rx->p + rx->at, rx->end - rx->at);
		rx->end -= rx->at;
		rx->at = 0;
	}
	ssize_t r = rf_stream_recv(s, rx->p + rx->end, TLS_BUFFER - rx->end);
	if (r > 0)
		rx->end += (uint32_t)r;
	return r == RF_E_EOF ? truncated(c) : r > 0 ? RF_OK : (int)r;
}

static size_t take_plain(struct tls_arrived *rx, uint8_t *to, size_t room)
{
	size_t n = rx->plain_end - rx->plain;
	n = n < room ? n : room;
	if (n)
		memcpy(to, rx->p + rx->plain, n);
	rx->plain += (uint32_t)n;
	return n;
}

/* Fill p with what there is. RF_OK when it is full or the peer has said good-bye; else why there is no more. */
static int fill(struct rf_stream *s, uint8_t *p, size_t n, size_t *ret_got)
{
	struct tls_conn *c = tls_conn_of(s);
	size_t got = 0;
	int r = RF_OK;
	while (r == RF_OK) {
		size_t k = take_plain(&c->direct.rx, p + got, n - got);
		got += k;
		*ret_got = got;
		if (got == n || c->direct.closed)
			return RF_OK;
		r = c->direct.rx.p ? next_record(s, p + got, n - got, &k) : RF_E_AGAIN;
		if (r == RF_OK)
			got += k;
		else if (r == RF_E_AGAIN && !got)
			r = more(s);
	}
	*ret_got = got;
	return r;
}

static ssize_t direct_read(struct rf_stream *s, void *p, size_t n)
{
	struct tls_conn *c = tls_conn_of(s);
	size_t got = 0;
	if (c->early)
		return tls_take_early(c, p, n);
	if (c->phase == FAILED)
		return RF_E_CRYPTO;
	int r = fill(s, p, n, &got);
	if (c->phase != FAILED)
		rx_release(c);
	return got ? (ssize_t)got : r ? r : RF_E_EOF;
}

static int direct_handshake(struct rf_stream *s)
{
	return tls_conn_of(s)->phase == FAILED ? RF_E_CRYPTO : RF_OK;
}

const struct rf_layer tls_direct_layer = { direct_handshake, direct_read, direct_write, direct_shutdown, tls_free };
