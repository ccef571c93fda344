/* base/way: see way.h. A short slice and a small share need no right; to have the usual share again needs RLIMIT_NICE, which who gives
 * up privileges sets where it may. Where the kernel refuses, all is as usual. */
#include "base/way.h"
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	NICE = 10,
	SLICE_NS = 100000,  /* the least that Linux takes */
	RLIMIT_USUAL = 20,  /* of RLIMIT_NICE: a nice value of 0 */
};

static _Thread_local bool made;

void rf_way_first(void)
{
	struct sched_attr a = { .size = sizeof a, .sched_policy = SCHED_NORMAL, .sched_runtime = SLICE_NS };
	a.sched_nice = getpriority(PRIO_PROCESS, (id_t)gettid()); /* of this thread alone, on Linux */
	syscall(SYS_sched_setattr, 0, &a, 0);
}

void rf_way_make(bool back)
{
	struct rlimit most;
	id_t thread = (id_t)gettid();
	if (made || (back && (getrlimit(RLIMIT_NICE, &most) != 0 || most.rlim_cur < RLIMIT_USUAL || getpriority(PRIO_PROCESS, thread) != 0)))
		return;
	made = setpriority(PRIO_PROCESS, thread, NICE) == 0;
}

void rf_way_back(void)
{
	if (made)
		made = setpriority(PRIO_PROCESS, (id_t)gettid(), 0) != 0;
}
