/* base/way: see way.h. Nothing here needs a right, and where the kernel refuses, all is as usual.
 *
 * sched_yield takes from the share of who calls it, so that whoever wakes meanwhile is ahead, and runs at once.
 */
#include "base/way.h"
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"

enum {
	LAST = 19,
	SLICE_NS = 100000,  /* the least that Linux takes */
	SLACK_NS = 1000,    /* by which a timer may be late */
	OFTEN_NS = 2000,    /* between two looks, where items are many and short */
	PAGE = 4096,
	PIECE = 32 * PAGE,
	MUCH = 2 * PIECE,
	FRESH = 8 * PAGE,   /* at once, of pages that the kernel has to give first */
};

_Thread_local unsigned rf_way_left;

static _Thread_local struct {
	bool gives;
	unsigned items;     /* until the next look */
	uint64_t looked;    /* the clock at the last one */
	uint64_t since;     /* the clock at the end of the last wait */
	uint64_t due;       /* how long it may run from there */
	uint64_t used;      /* processor time there */
	uint64_t latest;
	void (*tell)(void *arg);
	void *arg;
	uint64_t every, told;
} mine;

static uint64_t ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * RF_NS_S + (uint64_t)t.tv_nsec;
}

void rf_way_first(void)
{
	struct sched_attr a = { .size = sizeof a, .sched_policy = SCHED_NORMAL, .sched_runtime = SLICE_NS };
	a.sched_nice = getpriority(PRIO_PROCESS, (id_t)gettid()); /* of this thread alone, on Linux */
	syscall(SYS_sched_setattr, 0, &a, 0);
	prctl(PR_SET_TIMERSLACK, SLACK_NS);
}

void rf_way_last(void)
{
	setpriority(PRIO_PROCESS, (id_t)gettid(), LAST);
}

void rf_way_gives(void)
{
	mine.gives = true;
	mine.items = RF_WAY_ITEMS;
	mine.used = ns(CLOCK_THREAD_CPUTIME_ID);
	rf_way_left = 1;
}

void rf_way_tell(void (*tell)(void *arg), void *arg, uint64_t every)
{
	mine.tell = tell;
	mine.arg = arg;
	mine.every = every;
	mine.told = ns(CLOCK_MONOTONIC);
}

static void end_stretch(void)
{
	uint64_t used = ns(CLOCK_THREAD_CPUTIME_ID), stretch = used - mine.used;
	if (stretch > mine.due && stretch - mine.due > mine.latest)
		mine.latest = stretch - mine.due;
	mine.used = used;
}

/* A look costs as much as a short item. */
static unsigned items(uint64_t took)
{
	if (took < OFTEN_NS && mine.items < RF_WAY_ITEMS_MOST)
		mine.items *= 2;
	else if (took > 2 * OFTEN_NS)
		mine.items = RF_WAY_ITEMS;
	return mine.items;
}

void rf_way_look(void)
{
	uint64_t now = mine.gives ? ns(CLOCK_MONOTONIC) : 0;
	if (!mine.gives)
		return;
	rf_way_left = items(now - mine.looked);
	mine.looked = now;
	if (mine.tell && now - mine.told >= mine.every) {
		mine.told = now;
		mine.tell(mine.arg);
	}
	if (now - mine.since < mine.due)
		return;
	end_stretch();
	syscall(SYS_sched_yield);
	mine.since = ns(CLOCK_MONOTONIC);
	mine.due = (mine.since - now) / RF_WAY_SHARE;
	if (mine.due < RF_WAY_STRETCH_NS)
		mine.due = RF_WAY_STRETCH_NS;
}

/* Whether p, of n usable bytes, has a mapping of its own, which begins with two words of malloc's and ends where it ends. (By chance
 * something of the heap may look like it; then its pages come back at the next touch.) What is of the heap stays there when it is
 * freed. */
static bool is_mapped(const void *p, size_t n)
{
	return ((uintptr_t)p & (PAGE - 1)) == 2 * sizeof(size_t) && (((uintptr_t)p + n) & (PAGE - 1)) == 0;
}

void rf_way_free(void *p)
{
	size_t n = mine.gives ? malloc_usable_size(p) : 0;
	uintptr_t at = ((uintptr_t)p + PAGE - 1) & ~(uintptr_t)(PAGE - 1), end = (uintptr_t)p + n;
	for (bool mapped = n >= MUCH && is_mapped(p, n); mapped && at < end; at += PIECE) {
		madvise((void *)at, end - at < PIECE ? end - at : PIECE, MADV_DONTNEED);
		rf_way_look();
	}
	free(p);
}

void *rf_way_calloc(size_t n, size_t size)
{
	size_t bytes;
	if (!mine.gives || __builtin_mul_overflow(n, size, &bytes) || bytes < MUCH)
		return calloc(n, size);
	char *to = malloc(bytes);
	for (size_t at = 0; to && at < bytes; at += FRESH) {
		memset(to + at, 0, bytes - at < FRESH ? bytes - at : FRESH);
		rf_way_look();
	}
	return to;
}

void *rf_way_grow(void *p, size_t size)
{
	size_t n = mine.gives ? malloc_usable_size(p) : 0;
	char *to = n >= MUCH && n < size && !is_mapped(p, n) ? malloc(size) : NULL;
	if (!to)
		return realloc(p, size);
	for (size_t at = 0; at < n; at += PIECE) {
		memcpy(to + at, (const char *)p + at, n - at < PIECE ? n - at : PIECE);
		rf_way_look();
	}
	rf_way_free(p);
	return to;
}

uint64_t rf_way_latest(void)
{
	if (!mine.gives)
		return 0;
	end_stretch();
	uint64_t latest = mine.latest;
	mine.latest = 0;
	return latest;
}
