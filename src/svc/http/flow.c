/* svc/http/flow: one direction of a body.
 *
 * A pump: gather spans of unframed bytes into out[] -> put a chunk head before them where the
 * receiver wants chunks -> writev -> when all is out, the buffer is empty again -> read.
 *
 * Trailers are kept only where the receiver may be told them [RFC 9110 6.5.1]; which fields may be
 * trailers at all is the decoder's judgement.
 */
#include "svc/http/flow.h"
#include <stdlib.h>
#include "svc/http/compress.h"

enum { PEEK_STEP = 8192 }; /* bytes decoded at once */
enum { ROUNDS = 16 }; /* buffers moved before others may run */
enum { END_PIECES = 5 }; /* CRLF of a chunk and what rf_flow_pump puts at the end */

void rf_flow_init(struct rf_flow *f, struct rf_stream *from, struct rf_inbuf *in, struct rf_stream *to,
		  struct rf_bufpool *bufs, struct rf_arena *arena)
{
	memset(f, 0, offsetof(struct rf_flow, chunked));
	memset(f->out, 0, RF_FLOW_HEADS * sizeof *f->out);
	f->out_n = RF_FLOW_HEADS;
	f->from = from;
	f->in = in;
	f->to = to;
	f->bufs = bufs;
	f->arena = arena;
}

static void keep_trailer(void *ctx, const struct rf_http_header *h)
{
	struct rf_flow *f = ctx;
	if (!f->trailers || f->tail_count >= RF_FLOW_TRAILERS)
		return;
	struct rf_str more = rf_arena_printf(f->arena, "%.*s%.*s: %.*s\r\n", RF_ARG(f->tail), RF_ARG(h->name),
					     RF_ARG(h->value));
	if (!more.p)
		return;
	f->tail = more;
	f->tail_count++;
}

void rf_flow_body(struct rf_flow *f, enum rf_http_body framing, uint64_t length, const struct rf_http_limits *lim)
{
	f->framing = framing;
	f->left = framing == RF_BODY_LENGTH ? length : 0;
	f->in_done = framing == RF_BODY_NONE || (framing == RF_BODY_LENGTH && !length);
	if (framing == RF_BODY_CHUNKED) {
		rf_chunked_init(&f->chunked, lim);
		f->chunked.on_trailer = keep_trailer;
		f->chunked.ctx = f;
	}
}

void rf_flow_head(struct rf_flow *f, struct rf_str a, struct rf_str b)
{
	f->out[0] = (struct iovec){ (void *)a.p, a.n };
	f->out[1] = (struct iovec){ (void *)b.p, b.n };
}

static void put(struct rf_flow *f, struct rf_str bytes)
{
	f->out[f->out_n++] = (struct iovec){ (void *)bytes.p, bytes.n };
}

/* The next run of the body out of the buffer. RF_OK, RF_E_AGAIN, RF_E_EOF at the body's end, RF_E_INVALID. */
static int unframe(struct rf_flow *f, struct rf_str *ret)
{
	struct rf_str in = rf_inbuf_str(f->in);
	if (f->framing == RF_BODY_CHUNKED) {
		int r = rf_chunked_feed(&f->chunked, &in, ret);
		f->in->at = (uint32_t)(f->in->end - in.n);
		return r;
	}
	if (!in.n)
		return RF_E_AGAIN;
	if (f->framing == RF_BODY_LENGTH && in.n > f->left)
		in.n = (size_t)f->left;
	*ret = in;
	f->in->at += (uint32_t)in.n;
	f->left -= f->framing == RF_BODY_LENGTH ? in.n : 0;
	return RF_OK;
}

/* Take one more run into f->span. */
static int next_span(struct rf_flow *f)
{
	int r = unframe(f, &f->span);
	if (r == RF_E_EOF) {
		f->in_done = true;
		return RF_OK;
	}
	if (r)
		return r;
	f->body += f->span.n;
	f->aged = true;
	f->in_done = f->framing == RF_BODY_LENGTH && !f->left;
	return f->bound && f->body > f->bound ? RF_E_TOO_LARGE : RF_OK;
}

/* Fill the codec's buffer. RF_E_AGAIN when the codec waits for more, and what it had is flushed, so that
 * nobody waits for a sender that pauses. */
static int through_codec(struct rf_flow *f)
{
	if (!f->codec_buf && !(f->codec_buf = rf_bufpool_get(f->bufs)))
		return RF_E_NOMEM;
	size_t from = f->codec_n;
	int r = RF_OK, wait = RF_OK;
	while (f->codec_n < RF_BUFPOOL_SIZE && r == RF_OK) {
		wait = !f->span.n && !f->in_done ? next_span(f) : RF_OK;
		if (wait && wait != RF_E_AGAIN)
			return wait;
		enum rf_codec_mode mode = f->in_done ? RF_CODEC_FINISH : wait ? RF_CODEC_FLUSH : RF_CODEC_RUN;
		size_t got = 0;
		r = rf_codec_run(f->codec, &f->span, mode, f->codec_buf + f->codec_n, RF_BUFPOOL_SIZE - f->codec_n, &got);
		f->codec_n += got;
		if (r == RF_E_AGAIN && !wait)
			r = RF_OK;
	}
	if (f->codec_n > from)
		put(f, (struct rf_str){ f->codec_buf + from, f->codec_n - from });
	f->batch += f->codec_n - from;
	return r == RF_E_EOF ? wait : r; /* the coding may end before the body does */
}

static int gather_spans(struct rf_flow *f)
{
	int r = RF_OK;
	while ((!f->in_done || f->span.n) && r == RF_OK && f->out_n < RF_FLOW_OUT - END_PIECES) {
		r = f->span.n ? RF_OK : next_span(f);
		if (r)
			break;
		if (f->span.n) {
			put(f, f->span);
			f->batch += f->span.n;
		}
		f->span.n = 0;
	}
	return r;
}

static bool source_done(const struct rf_flow *f)
{
	return f->in_done && !f->span.n && (!f->codec || rf_codec_done(f->codec));
}

static bool out_full(const struct rf_flow *f)
{
	return f->out_n >= RF_FLOW_OUT - END_PIECES || f->codec_n == RF_BUFPOOL_SIZE;
}

/* Take what the buffer has. RF_OK: all has come, or out[] is full; RF_E_AGAIN: more is needed. */
static int gather(struct rf_flow *f)
{
	if (f->chunk && !f->mark_at) { /* the place of the chunk's head, which is known later */
		f->mark_at = f->out_n;
		put(f, RF_STR(""));
	}
	if (f->peeked && f->peeked->n) {
		put(f, rf_buf_str(f->peeked));
		f->batch += f->peeked->n;
	}
	f->peeked = NULL;
	if (source_done(f) || out_full(f))
		return RF_OK;
	return f->codec ? through_codec(f) : gather_spans(f);
}

/* Make what was gathered ready to be written: the chunk's head and end, and the end of the body. */
static void seal(struct rf_flow *f)
{
	if (f->ended)
		return;
	if (f->mark_at && f->batch) {
		f->out[f->mark_at] = (struct iovec){ f->mark, rf_chunk_head(f->mark, f->batch) };
		put(f, RF_STR("\r\n"));
	}
	f->mark_at = 0;
	f->batch = 0;
	if (!source_done(f))
		return;
	f->ended = true;
	if (f->chunk && !f->tail.n) {
		put(f, RF_CHUNK_LAST);
	} else if (f->chunk) {
		put(f, RF_STR("0\r\n"));
		put(f, f->tail);
		put(f, RF_STR("\r\n"));
	}
}

static void written(struct rf_flow *f, size_t n)
{
	f->wrote += n;
	while (f->out_at < f->out_n) {
		struct iovec *v = &f->out[f->out_at];
		if (n < v->iov_len) {
			v->iov_base = (char *)v->iov_base + n;
			v->iov_len -= n;
			break;
		}
		n -= v->iov_len;
		v->iov_len = 0; /* a head is written once */
		f->out_at++;
	}
}

static int flush(struct rf_flow *f)
{
	written(f, 0); /* past what is empty */
	while (f->out_at < f->out_n) {
		ssize_t r = rf_stream_write(f->to, f->out + f->out_at, (int)(f->out_n - f->out_at));
		if (r < 0) {
			f->broken = RF_FLOW_TO;
			f->stuck = r == RF_E_AGAIN;
			return (int)r;
		}
		written(f, (size_t)r);
	}
	f->stuck = false;
	f->out_at = 0;
	f->out_n = RF_FLOW_HEADS;
	f->codec_n = 0;
	return RF_OK;
}

/* The sender has ended its side. */
static int source_ends(struct rf_flow *f)
{
	if (f->framing != RF_BODY_CLOSE && f->framing != RF_BODY_TUNNEL)
		return RF_E_EOF;
	f->in_done = true;
	return RF_OK;
}

static int fill(struct rf_flow *f)
{
	ssize_t r = rf_inbuf_read(f->in, f->from, f->bufs);
	if (r > 0)
		return RF_OK;
	f->broken = RF_FLOW_FROM;
	if (r == RF_E_EOF)
		return source_ends(f);
	if (r == RF_E_AGAIN && f->in->at == f->in->end && !f->in->floor)
		rf_inbuf_drop(f->in, f->bufs);
	return (int)r;
}

int rf_flow_pump(struct rf_flow *f)
{
	f->more = false;
	for (int round = 0; !f->done; round++) {
		if (round == ROUNDS) {
			f->more = true;
			return RF_E_AGAIN;
		}
		int want = f->stuck ? RF_OK : gather(f);
		if (want && want != RF_E_AGAIN) {
			f->broken = RF_FLOW_FROM;
			return want;
		}
		if (!f->stuck)
			seal(f);
		int r = flush(f);
		if (r)
			return r;
		f->done = f->ended;
		if (f->done || want == RF_OK)
			continue;
		r = fill(f);
		if (r)
			return r == RF_E_FULL ? RF_E_TOO_LARGE : r; /* one line of trailers fills the buffer */
	}
	return RF_OK;
}

/* Move what there is of the span into `to`. RF_OK, also when that is full; errors of the codec. */
static int peek_span(struct rf_flow *f, struct rf_buf *to)
{
	size_t left = to->bound - to->n, n = f->span.n < left ? f->span.n : left;
	if (!f->codec) {
		rf_buf_add(to, (struct rf_str){ f->span.p, n });
		f->span = rf_str_skip(f->span, n);
		return to->bad ? RF_E_NOMEM : RF_OK;
	}
	int r = RF_OK;
	while (r == RF_OK && (left = to->bound - to->n) > 0) {
		size_t some = left < PEEK_STEP ? left : PEEK_STEP, got = 0;
		char *room = rf_buf_room(to, some);
		if (!room)
			return RF_E_NOMEM;
		r = rf_codec_run(f->codec, &f->span, f->in_done ? RF_CODEC_FINISH : RF_CODEC_RUN, room, some, &got);
		to->n += got;
	}
	return r == RF_E_AGAIN || r == RF_E_EOF ? RF_OK : r;
}

int rf_flow_peek(struct rf_flow *f, struct rf_buf *to)
{
	f->peeked = to;
	while (to->n < to->bound && !source_done(f)) {
		int wait = f->span.n || f->in_done ? RF_OK : next_span(f);
		if (wait && wait != RF_E_AGAIN)
			return wait;
		int r = peek_span(f, to);
		if (r == RF_OK && wait)
			r = fill(f);
		if (r)
			return r == RF_E_FULL ? RF_E_TOO_LARGE : r;
	}
	return RF_OK;
}

bool rf_flow_whole(const struct rf_flow *f)
{
	return source_done(f);
}

int rf_flow_take(struct rf_flow *f, struct rf_str *ret)
{
	while (!f->in_done) {
		int r = next_span(f);
		if (r == RF_E_AGAIN)
			r = fill(f);
		if (r)
			return r == RF_E_FULL ? RF_E_TOO_LARGE : r;
		if (f->span.n) {
			*ret = f->span;
			f->span.n = 0;
			return RF_OK;
		}
	}
	return RF_E_EOF;
}

void rf_flow_fini(struct rf_flow *f)
{
	rf_codec_free(f->codec);
	f->codec = NULL;
	rf_bufpool_put(f->bufs, f->codec_buf);
	f->codec_buf = NULL;
}
