/* base/way: which thread goes first where several want one processor.
 *
 * Workers answer requests in microseconds; others have work of seconds. Linux is fair: a worker that has just had its share does not
 * run again when it wakes, but when the clock next ticks, which is 1 to 4 ms later. So who has much to do makes way, without a right
 * that an unprivileged container does not have:
 *
 *	worker                rf_way_first: short slices, so that it goes before who runs with a long one
 *	thread of long work   rf_way_last, from its beginning: a small share, which it never has to give back
 *	control thread        rf_way_gives: what it has to do at once has the usual share; in every loop over many it calls rf_way_give,
 *	                      which lets others go first each time that RF_WAY_STRETCH_NS have passed
 *
 * A stretch is what a giving thread runs from one such time to the next. Where processors are full for long, stretches become longer,
 * so that a ninth of one is left for who gives (1 for each RF_WAY_SHARE that it waited).
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum {
	RF_WAY_STRETCH_NS = 50000,
	RF_WAY_SHARE = 8,
	RF_WAY_ITEMS = 8,   /* calls of rf_way_give between two looks at the clock, at least */
	RF_WAY_ITEMS_MOST = 16,
	RF_WAY_MANY = 16,   /* items of some nanoseconds that count as one */
};

/* The calling thread runs for short times, and at once. */
void rf_way_first(void);
/* It takes a small share for the rest of its life. */
void rf_way_last(void);
/* It makes way from here on, where it calls rf_way_give. */
void rf_way_gives(void);

extern _Thread_local unsigned rf_way_left; /* 0: this thread makes no way by giving */

/* Look at the clock, and let others go first if it is time. Where one item takes tens of microseconds. */
void rf_way_look(void);

/* In loops over many: for each item of a few microseconds at most. Costs a branch in threads that do not give. */
static inline void rf_way_give(void)
{
	if (rf_way_left && --rf_way_left == 0)
		rf_way_look();
}

/* In loops over many: for the i-th item of some nanoseconds. */
static inline void rf_way_give_at(size_t i)
{
	if (i % RF_WAY_MANY == 0)
		rf_way_give();
}

/* Of the calling thread, which gives: that it gets on is told by `tell`, at a look at the clock, once in `every` ns. */
void rf_way_tell(void (*tell)(void *arg), void *arg, uint64_t every);

/* free(p), of which, where it is much, the kernel takes back piece by piece. */
void rf_way_free(void *p);

/* calloc(n, size), of which, where it is much, the zeros are written piece by piece. */
void *rf_way_calloc(size_t n, size_t size);

/* realloc(p, size), where what is much and has to be copied is copied piece by piece. */
void *rf_way_grow(void *p, size_t size);

/* By how much a stretch of this thread was too long, at most, since this was last called: ns of its own processor time. */
uint64_t rf_way_latest(void);
