/* svc/l4/relay: one direction of a TCP connection: bytes from one stream to another, until the sender has ended its side and
 * the receiver was told.
 *
 *   from --read--> buf --(guard: how much may pass?)--> write--> to
 *     \------------- splice --> tube --> splice ---------------/      where it is bulk
 *
 * What cannot be written is not read, so that a slow receiver holds back its sender: a direction keeps one buffer or one tube,
 * and neither while nothing is under way. An end of one side is passed on when all before it was; the other direction goes on.
 *
 * Without a receiver bytes are read as far as the buffer goes, and wait.
 *
 * Not here: resets (conn), times (times), which streams.
 */
#pragma once
#include "net/bufpool.h"
#include "net/stream.h"
#include "svc/l4/tube.h"
#include "wire/guard.h"

enum relay_side { RELAY_FROM, RELAY_TO };

struct relay {
	struct rf_stream *from, *to; /* to NULL: none yet */
	struct rf_bufpool *bufs;
	struct tubes *tubes;         /* NULL: always copied */
	struct rf_guard *guard;      /* NULL: all may pass */
	struct rf_pipe buf;
	struct tube *tube;           /* NULL: none now */
	uint32_t cleared;            /* bytes at the front of buf that may pass */
	uint8_t full;                /* reads in a row that filled the buffer */
	bool eof, done;              /* `from` has ended; `to` was told, behind all bytes */
	bool more;                   /* it stopped only to let others run: pump again soon */
	bool stuck;                  /* bytes wait for `to` */
	bool last;                   /* the other direction is done: `to` is closed next, which tells it as well */
	enum relay_side broken;      /* after an error */
	uint64_t read, passed, spliced; /* bytes; the last are among those passed */
};

/* Move what can be moved. RF_OK: done. RF_E_AGAIN: waits (more: for its turn; stuck: for `to`; else for `from`). RF_E_INVALID:
 * the guard says no. RF_E_NOMEM; else the error of the stream `broken`. */
int relay_pump(struct relay *d);
/* What was read and has not been passed on. */
static inline struct rf_str relay_waiting(const struct relay *d) { return rf_pipe_str(&d->buf); }
void relay_fini(struct relay *d); /* gives back buffer and tube; may be called twice */
