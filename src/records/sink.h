/* records/sink: where lines go: a file, a descriptor, syslog. Lines gather in a buffer and are written together; what cannot be
 * written is lost, counted, and said once until it works again. Used by the writer's thread only.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "records/counters.h"

struct rf_sink {
	int fd;             /* -1: off, or to be opened again */
	bool on, owned;
	bool failing;       /* said already */
	bool mid_line;      /* a line was cut by a failure: end it first */
	char path[512];     /* of a file; "": none */
	uint64_t retry_at;  /* mono, ns */
	enum rf_counter lost;
	struct rf_buf buf;
	size_t lines;       /* in buf */
};

void rf_sink_init(struct rf_sink *s);
void rf_sink_fini(struct rf_sink *s);
void rf_sink_fd(struct rf_sink *s, int fd, enum rf_counter lost); /* fd stays the caller's; -1: off */
int rf_sink_file(struct rf_sink *s, const char *path, enum rf_counter lost, struct rf_err *e); /* "": off */
int rf_sink_syslog(struct rf_sink *s, const char *where, enum rf_counter lost, struct rf_err *e);
static inline bool rf_sink_on(const struct rf_sink *s) { return s->on; }

void rf_sink_line(struct rf_sink *s, struct rf_str line);
/* As one RFC 5424 datagram, at once. */
void rf_sink_syslog_line(struct rf_sink *s, struct rf_str json, int64_t at, bool notable);
void rf_sink_flush(struct rf_sink *s, uint64_t now);
void rf_sink_reopen(struct rf_sink *s);
