/* shield/frames: the frames that the kernel filter shows (struct rf_shown), read out of the kernel's ring without a system call. */
#pragma once
#include "base/err.h"

struct rf_shown;

struct rf_frames {
	uint64_t *taken;         /* ours to write; NULL: there is no ring */
	const uint8_t *made;     /* where the kernel has got to, and behind a page the ring, twice in a row */
	size_t page;
};

/* Over a ring of RF_SAMPLES_SIZE bytes; the descriptor stays the caller's. RF_E_NOMEM. */
int rf_frames_init(struct rf_frames *f, int fd);
void rf_frames_fini(struct rf_frames *f);
/* Take at most `most` frames, the oldest first; says how many were taken. */
unsigned rf_frames_take(struct rf_frames *f, unsigned most, void (*each)(void *ctx, const struct rf_shown *s), void *ctx);
