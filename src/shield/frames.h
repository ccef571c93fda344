/* shield/frames: what the kernel filter shows of frames (struct rf_shown, struct rf_glimpse), read out of a ring of the kernel's without a
 * system call. */
#pragma once
#include "base/err.h"

struct rf_frames {
	uint64_t *taken;         /* ours to write; NULL: there is no ring */
	const uint8_t *made;     /* where the kernel has got to, and behind a page the ring, twice in a row */
	size_t page, ring, entry; /* bytes: of a page, of the ring, of what is shown at a time */
};

/* Over a ring of `ring` bytes, whose records have `entry` bytes each; the descriptor stays the caller's. RF_E_NOMEM. */
int rf_frames_init(struct rf_frames *f, int fd, size_t ring, size_t entry);
void rf_frames_fini(struct rf_frames *f);
/* Take at most `most` records, the oldest first; says how many were taken. */
unsigned rf_frames_take(struct rf_frames *f, unsigned most, void (*each)(void *ctx, const void *entry), void *ctx);
