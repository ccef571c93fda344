/* api/ahead: see ahead.h.
 *
 *   begin -> waiting -> thread: JSON, its patterns -> message -> done -> end
 *
 * Invariants: the mutex guards `waiting` and `stop`; a job is the thread's until it is posted. One that is ended before its message
 * comes is let go by that, also where all this has gone by then.
 */
#include "api/ahead.h"
#include <pthread.h>
#include <stdlib.h>
#include "base/buf.h"
#include "base/way.h"
#include "policy/warm.h"

enum { PIECE = 64 << 10 };

struct rf_ahead_job {
	struct rf_msg msg;
	struct rf_node waits;       /* of the thread */
	struct rf_node node;        /* of the loop */
	struct rf_ahead *of;        /* NULL: it is gone */
	struct rf_buf body;
	struct rf_warm warm;
	_Atomic bool stop;
	bool over;                  /* its message has come */
	void (*done)(void *arg);    /* NULL: nobody waits */
	void *arg;
};

struct rf_ahead {
	struct rf_loop *loop;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct rf_node waiting;
	struct rf_node all;         /* whose message is still to come; of the loop alone, as is their number */
	size_t count;
	bool stop;
};

static void job_free(struct rf_ahead_job *j)
{
	rf_warm_fini(&j->warm);
	rf_buf_fini(&j->body);
	free(j);
}

static void came_back(struct rf_loop *loop, struct rf_msg *m)
{
	struct rf_ahead_job *j = RF_CONTAINER(m, struct rf_ahead_job, msg);
	(void)loop;
	j->over = true;
	if (j->of)
		j->of->count--;
	rf_list_del(&j->node);
	if (j->done)
		j->done(j->arg);
	else
		job_free(j);
}

static void work(struct rf_ahead_job *j)
{
	json_t *doc = json_loadb(j->body.p, j->body.n, 0, NULL);
	rf_warm_doc(&j->warm, doc);
	json_decref(doc);
	rf_buf_fini(&j->body);
}

/* The next one, in its turn; NULL: all is done, and there will be none. Called and returns with the mutex held. */
static struct rf_ahead_job *next(struct rf_ahead *a)
{
	while (rf_list_empty(&a->waiting) && !a->stop)
		pthread_cond_wait(&a->wake, &a->mutex);
	if (rf_list_empty(&a->waiting))
		return NULL;
	struct rf_ahead_job *j = RF_CONTAINER(rf_list_first(&a->waiting), struct rf_ahead_job, waits);
	rf_list_del(&j->waits);
	return j;
}

static void *life(void *arg)
{
	struct rf_ahead *a = arg;
	struct rf_ahead_job *j;
	pthread_setname_np(pthread_self(), "ahead");
	rf_way_last();
	pthread_mutex_lock(&a->mutex);
	while ((j = next(a))) {
		pthread_mutex_unlock(&a->mutex);
		work(j);
		rf_loop_post(a->loop, &j->msg);
		pthread_mutex_lock(&a->mutex);
	}
	pthread_mutex_unlock(&a->mutex);
	return NULL;
}

struct rf_ahead_job *rf_ahead_begin(struct rf_ahead *a, struct rf_str body, void (*done)(void *arg), void *arg)
{
	if (!a || a->count >= RF_AHEAD_WAITING || body.n < RF_AHEAD_LEAST || !rf_warm_worth(body))
		return NULL;
	struct rf_ahead_job *j = calloc(1, sizeof *j);
	for (struct rf_str left = body; j && left.n; left = rf_str_skip(left, PIECE)) {
		rf_buf_add(&j->body, (struct rf_str){ left.p, left.n < PIECE ? left.n : PIECE });
		rf_way_look();
	}
	if (!j || j->body.bad) {
		if (j)
			job_free(j);
		return NULL;
	}
	j->of = a;
	j->msg.run = came_back;
	j->warm.stop = &j->stop;
	j->done = done;
	j->arg = arg;
	a->count++;
	rf_list_push(&a->all, &j->node);
	pthread_mutex_lock(&a->mutex);
	rf_list_push(&a->waiting, &j->waits);
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->mutex);
	return j;
}

void rf_ahead_end(struct rf_ahead_job *j)
{
	if (!j)
		return;
	j->done = NULL;
	atomic_store(&j->stop, true);
	if (j->over)
		job_free(j);
}

struct rf_ahead *rf_ahead_new(struct rf_loop *loop)
{
	struct rf_ahead *a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	a->loop = loop;
	rf_list_init(&a->waiting);
	rf_list_init(&a->all);
	pthread_mutex_init(&a->mutex, NULL);
	pthread_cond_init(&a->wake, NULL);
	if (pthread_create(&a->thread, NULL, life, a) == 0)
		return a;
	pthread_mutex_destroy(&a->mutex);
	pthread_cond_destroy(&a->wake);
	free(a);
	return NULL;
}

void rf_ahead_free(struct rf_ahead *a)
{
	if (!a)
		return;
	RF_LIST_EACH(n, &a->all)
		rf_ahead_end(RF_CONTAINER(n, struct rf_ahead_job, node));
	pthread_mutex_lock(&a->mutex);
	a->stop = true;
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->mutex);
	pthread_join(a->thread, NULL);
	RF_LIST_EACH(n, &a->all) {
		RF_CONTAINER(n, struct rf_ahead_job, node)->of = NULL;
		rf_list_del(n);
	}
	pthread_mutex_destroy(&a->mutex);
	pthread_cond_destroy(&a->wake);
	free(a);
}
