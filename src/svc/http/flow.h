/* svc/http/flow: one direction of a body, from one stream to another, unframed and framed again.
 *
 * Bytes are read into the source's buffer, unframed in place, passed through a codec where there is
 * one, and written as spans of that buffer: one read and one writev a readiness. Nothing is read while
 * bytes wait to be written, so that a slow reader holds back its sender and a direction never keeps
 * more than its buffers.
 *
 *   src ---read---> in.p[at..end) ---unframe---> span ---(codec)---> out[] ---writev---> to
 *
 * Invariants: out[] points into the buffer, the codec's buffer, `mark` or memory that outlives the
 * flow; the buffer is not moved while out_n > 0. `done` is only true when the last byte is written.
 */
#pragma once
#include "base/buf.h"
#include "net/inbuf.h"
#include "wire/http1_body.h"

struct rf_codec;

enum { RF_FLOW_OUT = 28, RF_FLOW_HEADS = 2, RF_FLOW_TRAILERS = 16 };
enum rf_flow_side { RF_FLOW_FROM, RF_FLOW_TO };

struct rf_flow {
	struct rf_stream *from, *to;  /* to NULL: not known yet, or nobody (rf_flow_take) */
	struct rf_inbuf *in;
	struct rf_bufpool *bufs;
	struct rf_arena *arena;
	struct rf_codec *codec;       /* NULL: none; the flow's */
	char *codec_buf;
	size_t codec_n;
	struct rf_str span;           /* unframed and not yet through the codec */
	const struct rf_buf *peeked;  /* of rf_flow_peek: to be written before all that follows; NULL: none, or written */
	enum rf_http_body framing;    /* as it comes */
	bool chunk;                   /* as it goes: chunked by us, else as it is */
	bool trailers;                /* forward those that may be */
	bool in_done, ended, done;    /* all has come; the end is in out[]; all is written */
	bool stuck;                   /* the receiver takes no more now */
	bool more;                    /* it stopped only to let others run: pump again soon */
	bool aged;                    /* bytes of the body have been taken: it cannot be sent again */
	uint64_t left;                /* RF_BODY_LENGTH: still to come */
	uint64_t bound;               /* bytes of body allowed; 0: any */
	uint64_t body, wrote;         /* bytes of body that came; bytes written */
	size_t batch;                 /* bytes since the chunk head at out[mark_at] */
	unsigned mark_at, tail_count, out_n, out_at;
	struct rf_str tail;           /* trailers kept to be sent */
	enum rf_flow_side broken;     /* after an error */
	struct rf_chunked chunked;
	char mark[RF_CHUNK_HEAD_MAX + 2];
	struct iovec out[RF_FLOW_OUT]; /* the first RF_FLOW_HEADS are for heads */
};

void rf_flow_init(struct rf_flow *f, struct rf_stream *from, struct rf_inbuf *in, struct rf_stream *to,
		  struct rf_bufpool *bufs, struct rf_arena *arena);
/* How the body comes. `lim` bounds chunks and trailers, and outlives the flow. */
void rf_flow_body(struct rf_flow *f, enum rf_http_body framing, uint64_t length, const struct rf_http_limits *lim);
/* What to write before all else; `b` may be empty. Both outlive the flow. Only before anything is written. */
void rf_flow_head(struct rf_flow *f, struct rf_str a, struct rf_str b);

/* Move what can be moved. RF_OK: all is written. RF_E_AGAIN: waits (stuck: for `to`; more: for its
 * turn; else for `from`). RF_E_TOO_LARGE past `bound`; RF_E_INVALID: badly framed (f->chunked.reject)
 * or badly compressed; RF_E_EOF: the sender ended too early; else the error of the stream `broken`. */
int rf_flow_pump(struct rf_flow *f);
/* Take the front of the body into `to`, unframed and decoded, so that rules can look at it; it is written first when the
 * flow is pumped. RF_OK: to->bound bytes are there, or all (rf_flow_whole); RF_E_AGAIN: waits for the sender; errors as
 * above. `to` outlives the flow and is not touched by others. */
int rf_flow_peek(struct rf_flow *f, struct rf_buf *to);
/* Has all of the body been taken from the sender? */
bool rf_flow_whole(const struct rf_flow *f);
/* The next run of the body, read where needed, for who wants it himself (`to` is NULL). RF_E_EOF: it
 * is complete; else as rf_flow_pump. Valid until the next call. */
int rf_flow_take(struct rf_flow *f, struct rf_str *ret);
/* Gives the codec and its buffer back, not the source's. */
void rf_flow_fini(struct rf_flow *f);
