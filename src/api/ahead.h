/* api/ahead: what a large body with rules takes to compile, spent on a thread of its own before its request is answered.
 *
 * The patterns in the body are compiled and held (policy/warm); then the request is answered as any other, and finds them made.
 * So a pack of patches or a file of rules takes the control thread milliseconds, and health and other calls are answered
 * meanwhile. Nothing is decided here: without the thread, or where too many wait, an answer only takes longer. The sender is known
 * to be allowed the request; a pack that he sends is read here before its signature is verified, as rules of his would be.
 */
#pragma once
#include "loop/loop.h"

enum {
	RF_AHEAD_LEAST = 4 << 10, /* bytes of a body for which it is worth while */
	RF_AHEAD_WAITING = 8,     /* bodies that wait or are worked at */
};

struct rf_ahead;
struct rf_ahead_job;

/* NULL without memory or thread. */
struct rf_ahead *rf_ahead_new(struct rf_loop *loop);
void rf_ahead_free(struct rf_ahead *a);

/* Begin with a body, which is copied: `done` is called on the loop when it is over. NULL: there is nothing to do, or no room.
 * The patterns are held until rf_ahead_end, which every job needs; before `done`, it takes the job back. */
struct rf_ahead_job *rf_ahead_begin(struct rf_ahead *a, struct rf_str body, void (*done)(void *arg), void *arg);
void rf_ahead_end(struct rf_ahead_job *j);
