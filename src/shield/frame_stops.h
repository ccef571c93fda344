/* shield/frame_stops: what stops a flood of frames, where no check of the kernel filter does (bpf/stop.h).
 *
 *   who sends what still passes ─► few sources make it: a stop for each
 *     ─► what is left goes to few targets: a stop for each; else one for all
 *
 * A stop lets a part through, at a rate below which there is no flood. Known sources (shield/regulars) are never named unless they are the
 * flood; connections never fall under one. SYNs are stopped by their source only: cookies meet the others.
 */
#pragma once
#include "base/buf.h"
#include "shield/frame_tally.h"

struct rf_frame_flow {
	enum rf_vector vector;
	uint64_t usual, limit;    /* frames a second: usual; from which on it is a flood */
	const struct rf_frame_who *through; /* of the last second */
	bool (*known)(void *arg, const struct rf_ip *source);
	void *arg;
};

/* Further stops, at most `room`, into `to`; `to->rate.cost_ns` holds frames a second yet, and `number` is not set. Returns how many:
 * none where what passes is no flood, or nothing can be said of it. */
unsigned rf_frame_stops(const struct rf_frame_flow *f, struct rf_stop *to, unsigned room);
/* What these frames have in common, as a stop without a rate: the target of most, and the source where there is only one. False:
 * nothing is known. */
bool rf_frame_signature(enum rf_vector v, const struct rf_frame_who *w, struct rf_stop *ret);
/* As an expression of the phase packet. */
void rf_frame_stop_expression(const struct rf_stop *s, struct rf_buf *to);
