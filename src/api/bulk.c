/* api/bulk: see bulk.h.
 *
 * The way of an operation:
 *
 *   READ    on the thread: the body becomes parts of packed entries, in order of key
 *   KEEP    in slices: the parts go into the state (for what only adds to a nearly full list, CHECK counts first)
 *   SYNC    on the thread: they reach the disk
 *   BEGIN   one transaction: the operation is running, and its list has changed; from here on it is done to its end
 *   RUN     in slices: entries are put or removed, in the state and in the lists of workers alike
 *   END     one transaction: completed; its parts go later, in slices
 *
 * What fails before BEGIN goes to FAIL, one transaction that says why.
 *
 * A replacement walks old and new entries together, in order of key, so that one that is in both stays in force throughout and
 * the list never holds many more than it may. What cannot be written now (a full disk) is tried again each second.
 *
 * Invariants: one operation runs at a time, and at most one is open for a list; the job belongs to the thread in READ and SYNC, to
 * the loop otherwise.
 */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "api/bulk.h"
#include "api/bulk_read.h"
#include "api/call.h"
#include "base/enc.h"
#include "records/log.h"

enum stage { READ, CHECK, KEEP, SYNC, BEGIN, RUN, END, FAIL, OVER };
enum { OLD_KEYS = 512, KEEP_PARTS = 4, SWEEP_ENTRIES = 500 };

struct job {
	struct rf_node node;
	struct rf_operation op;
	char kind[16];
	enum stage stage;
	bool dry_run, stored;          /* stored: its parts are only in the state */
	struct rf_buf body;
	struct rf_bulk_parts parts;
	size_t part, at, done, known;  /* place in the parts; entries done; entries that are there already (CHECK) */
	struct rf_buf loaded;          /* the part at hand of one that is stored */
	struct rf_err err;
	int rc;                        /* of the thread */
	uint8_t last[RF_ENTRY_KEY];    /* a replacement's place among the old entries */
	bool begun_old, old_over;
	uint8_t old[OLD_KEYS][RF_ENTRY_KEY];
	size_t old_n, old_at;
};

struct rf_bulk {
	struct rf_api *api;
	struct rf_loop *loop;
	pthread_t thread;
	pthread_mutex_t mutex;         /* guards to_thread, stop */
	pthread_cond_t wake;
	struct job *to_thread;
	bool stop, started, sweeping;
	bool away;                     /* the job is with the thread */
	struct rf_msg back;            /* the thread has done its part */
	struct rf_task slice;
	struct rf_timer again;
	struct rf_node waiting;
	size_t waiting_count;
	struct job *job;               /* that runs */
};

static void next(struct rf_bulk *b);

static struct rf_store *store_of(struct rf_bulk *b) { return b->api->conf.store; }

static void job_free(struct job *j)
{
	rf_buf_fini(&j->body);
	rf_buf_fini(&j->loaded);
	rf_bulk_parts_fini(&j->parts);
	free(j);
}

/* --- the thread --- */

static void thread_part(struct rf_bulk *b, struct job *j)
{
	if (j->stage == SYNC) {
		char path[PATH_MAX];
		snprintf(path, sizeof path, "%s-wal", rf_store_path(store_of(b)));
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0) { /* so that the commit which follows has little left to wait for */
			fdatasync(fd);
			close(fd);
		}
		return;
	}
	j->rc = rf_bulk_read(rf_buf_str(&j->body), j->kind, j->op.list, j->op.mode == RF_OP_REMOVE, &j->parts, &j->err);
	rf_buf_fini(&j->body);
}

static void *life(void *arg)
{
	struct rf_bulk *b = arg;
	pthread_mutex_lock(&b->mutex);
	while (!b->stop) {
		struct job *j = b->to_thread;
		if (!j) {
			pthread_cond_wait(&b->wake, &b->mutex);
			continue;
		}
		pthread_mutex_unlock(&b->mutex);
		thread_part(b, j);
		pthread_mutex_lock(&b->mutex);
		b->to_thread = NULL;
		rf_loop_post(b->loop, &b->back);
	}
	pthread_mutex_unlock(&b->mutex);
	return NULL;
}

static void hand_over(struct rf_bulk *b, struct job *j)
{
	b->away = true;
	if (!b->loop) {
		thread_part(b, j);
		b->back.run(NULL, &b->back);
		return;
	}
	pthread_mutex_lock(&b->mutex);
	b->to_thread = j;
	pthread_cond_signal(&b->wake);
	pthread_mutex_unlock(&b->mutex);
}

/* --- transactions --- */

static int begin(struct rf_bulk *b, struct job *j)
{
	const struct rf_api_state *st = &b->api->conf.state;
	return st->begin(st->ctx, j ? j->op.actor : "edge", &j->err);
}

static int commit(struct rf_bulk *b, struct job *j, int rc)
{
	const struct rf_api_state *st = &b->api->conf.state;
	if (rc == RF_OK)
		rc = st->commit(st->ctx, false, &j->err);
	if (rc != RF_OK)
		st->abort(st->ctx);
	return rc;
}

/* A slice: a transaction that need not be on the disk yet. */
static int slice(struct rf_bulk *b, struct job *j, int (*work)(struct rf_bulk *b, struct job *j))
{
	int rc = rf_store_relaxed(store_of(b), true, &j->err);
	if (rc == RF_OK)
		rc = begin(b, j);
	if (rc == RF_OK)
		rc = commit(b, j, work(b, j));
	struct rf_err e;
	if (rf_store_relaxed(store_of(b), false, &e) != RF_OK && rc == RF_OK)
		rc = e.code;
	return rc;
}

static uint64_t now(struct rf_bulk *b) { return b->api->conf.clock.mono(b->api->conf.clock.ctx); }

/* --- entries of the parts, one after another --- */

/* RF_E_NOT_FOUND behind the last. */
static int part_text(struct rf_bulk *b, struct job *j, struct rf_str *ret)
{
	if (!j->stored && j->part >= j->parts.n)
		return RF_E_NOT_FOUND;
	if (!j->stored) {
		*ret = rf_buf_str(&j->parts.v[j->part]);
		return RF_OK;
	}
	int rc = j->loaded.n ? RF_OK : rf_store_op_part_get(store_of(b), j->op.seq, j->part, &j->loaded, &j->err);
	*ret = rf_buf_str(&j->loaded);
	return rc;
}

static int entry(struct rf_bulk *b, struct job *j, struct rf_list_entry *ret, size_t *ret_size)
{
	for (;;) {
		struct rf_str text, rest;
		int rc = part_text(b, j, &text);
		if (rc != RF_OK)
			return rc;
		rest = rf_str_skip(text, j->at);
		size_t before = rest.n;
		if (rf_entry_unpack(&rest, ret)) {
			*ret_size = before - rest.n;
			return RF_OK;
		}
		j->part++;
		j->at = 0;
		rf_buf_clear(&j->loaded);
	}
}

static void pass(struct job *j, size_t size)
{
	j->at += size;
	j->done++;
}

static void rewind_parts(struct job *j)
{
	j->part = j->at = j->done = 0;
	rf_buf_clear(&j->loaded);
}

/* --- the old entries of a replacement --- */

static int collect(const struct rf_list_entry *it, void *arg)
{
	struct job *j = arg;
	memcpy(j->old[j->old_n++], it->key, RF_ENTRY_KEY);
	return RF_OK;
}

static int more_old(struct rf_bulk *b, struct job *j)
{
	if (j->old_at < j->old_n || j->old_over)
		return RF_OK;
	if (j->old_n)
		memcpy(j->last, j->old[j->old_n - 1], RF_ENTRY_KEY);
	const uint8_t *after = j->begun_old ? j->last : NULL;
	j->old_n = j->old_at = 0;
	j->begun_old = true;
	int rc = rf_store_entries(store_of(b), j->op.list, after, false, OLD_KEYS, collect, j, &j->err);
	j->old_over = rc == RF_OK && j->old_n == 0;
	return rc;
}

/* Remove the old entries before `key` (NULL: all), and pass the one that is it; at most one a call. *ret: the turn is the new one's. */
static int old_before(struct rf_bulk *b, struct job *j, const uint8_t *key, bool *ret)
{
	int rc = more_old(b, j);
	*ret = true;
	if (rc != RF_OK || j->old_at == j->old_n)
		return rc;
	const uint8_t *old = j->old[j->old_at];
	int c = key ? memcmp(old, key, RF_ENTRY_KEY) : -1;
	if (c > 0)
		return RF_OK;
	j->old_at++;
	*ret = c == 0;
	return c == 0 ? RF_OK : rf_store_entry_del(store_of(b), j->op.list, old, &j->err);
}

/* One entry further; RF_E_EOF: all are done. */
static int advance(struct rf_bulk *b, struct job *j)
{
	struct rf_list_entry it;
	size_t size;
	bool mine = true;
	int rc = entry(b, j, &it, &size);
	bool over = rc == RF_E_NOT_FOUND;
	if (rc != RF_OK && !over)
		return rc;
	if (j->op.mode == RF_OP_REPLACE) {
		rc = old_before(b, j, over ? NULL : it.key, &mine);
		if (rc != RF_OK || !mine)
			return rc;
	}
	if (over)
		return RF_E_EOF;
	if (j->op.mode == RF_OP_REMOVE) {
		rc = rf_store_entry_del(store_of(b), j->op.list, it.key, &j->err);
		rc = rc == RF_E_NOT_FOUND ? RF_OK : rc; /* done before a restart */
	} else {
		rc = rf_store_entry_put(store_of(b), j->op.list, &it, &j->err);
	}
	if (rc == RF_OK)
		pass(j, size);
	return rc;
}

/* --- stages --- */

static int found(const struct rf_list_entry *it, void *arg)
{
	(void)it, (void)arg;
	return RF_OK;
}

/* RF_E_EOF: all were looked at. What is to be removed must be there; what is added must fit. */
static int work_check(struct rf_bulk *b, struct job *j)
{
	uint64_t until = now(b) + RF_BULK_SLICE_NS;
	struct rf_list_entry it;
	size_t size;
	int rc;
	while ((rc = entry(b, j, &it, &size)) == RF_OK) {
		rc = rf_store_entry_get(store_of(b), j->op.list, it.key, found, NULL, &j->err);
		if (rc == RF_E_NOT_FOUND && j->op.mode == RF_OP_REMOVE) {
			char id[2 * RF_ENTRY_KEY + 1];
			rf_hex(it.key, RF_ENTRY_KEY, id);
			return rf_fail(&j->err, RF_E_NOT_FOUND, "there is no entry %s in this list", id);
		}
		if (rc != RF_OK && rc != RF_E_NOT_FOUND)
			return rc;
		j->known += rc == RF_OK;
		pass(j, size);
		if (j->done % 32 == 0 && now(b) >= until)
			return RF_OK;
	}
	return rc == RF_E_NOT_FOUND ? RF_E_EOF : rc;
}

static int work_keep(struct rf_bulk *b, struct job *j)
{
	int rc = RF_OK;
	for (size_t i = 0; i < KEEP_PARTS && j->part + i < j->parts.n && rc == RF_OK; i++)
		rc = rf_store_op_part_put(store_of(b), j->op.seq, j->part + i, rf_buf_str(&j->parts.v[j->part + i]), &j->err);
	return rc;
}

static int work_run(struct rf_bulk *b, struct job *j)
{
	uint64_t until = now(b) + RF_BULK_SLICE_NS;
	for (size_t n = 1;; n++) {
		int rc = advance(b, j);
		if (rc == RF_E_EOF)
			j->stage = END;
		if (rc != RF_OK)
			return rc == RF_E_EOF ? RF_OK : rc;
		if (n % 32 == 0 && now(b) >= until)
			return RF_OK;
	}
}

/* The list is put too: that is the line in the audit. */
static int work_begin(struct rf_bulk *b, struct job *j)
{
	RF_OBJECT_AUTO list = { 0 };
	int rc = rf_store_get(store_of(b), RF_KIND_LIST, j->op.list, &list, &j->err);
	if (rc == RF_OK)
		rc = rf_store_put(store_of(b), RF_KIND_LIST, &list, 0, &j->err);
	j->op.status = RF_OP_RUNNING;
	return rc == RF_OK ? rf_store_op_set(store_of(b), &j->op, &j->err) : rc;
}

static int over(struct rf_bulk *b, struct job *j, enum rf_op_status status)
{
	j->op.status = status;
	j->op.completed_s = b->api->conf.clock.wall(b->api->conf.clock.ctx) / (int64_t)RF_NS_S;
	return rf_store_op_set(store_of(b), &j->op, &j->err);
}

static int work_end(struct rf_bulk *b, struct job *j) { return over(b, j, RF_OP_COMPLETED); }
static int work_fail(struct rf_bulk *b, struct job *j) { return over(b, j, RF_OP_FAILED); }

static int whole(struct rf_bulk *b, struct job *j, int (*work)(struct rf_bulk *b, struct job *j))
{
	int rc = begin(b, j);
	return rc == RF_OK ? commit(b, j, work(b, j)) : rc;
}

/* Nothing of it has begun: it fails, and says why. */
static void fail(struct job *j)
{
	snprintf(j->op.error, sizeof j->op.error, "%s%s%.300s", j->err.pointer, j->err.pointer[0] ? ": " : "", j->err.text);
	j->stage = FAIL;
}

static bool must_check(struct rf_bulk *b, struct job *j)
{
	size_t count = 0;
	struct rf_err e;
	if (j->op.mode == RF_OP_ADD && rf_store_entry_count(store_of(b), j->op.list, &count, &e) == RF_OK)
		return count + j->parts.entries > RF_LIST_ITEMS;
	return j->op.mode == RF_OP_REMOVE;
}

static int step_check(struct rf_bulk *b, struct job *j)
{
	size_t count = 0;
	int rc = work_check(b, j);
	if (rc != RF_E_EOF)
		return rc;
	rc = rf_store_entry_count(store_of(b), j->op.list, &count, &j->err);
	if (rc == RF_OK && j->op.mode == RF_OP_ADD && count + j->parts.entries - j->known > RF_LIST_ITEMS)
		rc = rf_fail(&j->err, RF_E_TOO_LARGE, "the list has %zu entries and would have %zu more; it takes at most %d", count,
			     j->parts.entries - j->known, RF_LIST_ITEMS);
	rewind_parts(j);
	j->stage = j->dry_run ? END : KEEP;
	return rc;
}

static int step_keep(struct rf_bulk *b, struct job *j)
{
	int rc = slice(b, j, work_keep);
	if (rc == RF_OK)
		j->part += KEEP_PARTS;
	if (rc == RF_OK && j->part >= j->parts.n) {
		rewind_parts(j);
		j->stage = SYNC;
	}
	return rc;
}

/* A slice that failed is done again from where it began; old keys are read again. */
static int step_run(struct rf_bulk *b, struct job *j)
{
	size_t part = j->part, at = j->at, done = j->done;
	bool begun = j->begun_old;
	uint8_t last[RF_ENTRY_KEY];
	memcpy(last, j->old_at ? j->old[j->old_at - 1] : j->last, sizeof last);
	int rc = slice(b, j, work_run);
	if (rc == RF_OK)
		return rc;
	j->stage = RUN;
	j->part = part;
	j->at = at;
	j->done = done;
	rf_buf_clear(&j->loaded);
	j->old_n = j->old_at = 0;
	j->old_over = false;
	j->begun_old = begun;
	memcpy(j->last, last, sizeof last);
	return rc;
}

/* One step of the job. Errors before BEGIN end it; later ones are tried again. */
static int step(struct rf_bulk *b, struct job *j)
{
	int rc = RF_OK;
	switch (j->stage) {
	case READ:
		rc = j->rc;
		j->stage = rc == RF_OK && must_check(b, j) ? CHECK : j->dry_run ? END : KEEP;
		break;
	case CHECK:
		rc = step_check(b, j);
		break;
	case KEEP:
		rc = step_keep(b, j);
		break;
	case SYNC:
		j->stage = BEGIN;
		break;
	case BEGIN:
		rc = whole(b, j, work_begin);
		if (rc == RF_OK)
			j->stage = RUN;
		break;
	case RUN:
		return step_run(b, j);
	case END:
	case FAIL:
		rc = whole(b, j, j->stage == END ? work_end : work_fail);
		if (rc == RF_OK)
			j->stage = OVER;
		return rc;
	case OVER:
		break;
	}
	if (rc != RF_OK)
		fail(j);
	return RF_OK;
}

/* --- the loop --- */

static void go_on(struct rf_bulk *b);

static void run_slice(struct rf_task *t)
{
	go_on(RF_CONTAINER(t, struct rf_bulk, slice));
}

static void run_again(struct rf_timer *t)
{
	go_on(RF_CONTAINER(t, struct rf_bulk, again));
}

static void retry(struct rf_bulk *b, struct job *j)
{
	rf_log(RF_LOG_ERROR, "lists", "operation %s waits: %s", j->op.id, j->err.text);
	if (b->loop)
		rf_timer_set(b->loop, &b->again, rf_loop_now(b->loop) + RF_NS_S);
}

/* Parts of what is over, entries of deleted lists: when nothing else is to do. */
static int work_sweep(struct rf_bulk *b, struct job *j)
{
	bool entries = false;
	int rc = rf_store_op_parts_sweep(store_of(b), KEEP_PARTS, &b->sweeping, &j->err);
	if (rc == RF_OK && !b->sweeping)
		rc = rf_store_entries_sweep(store_of(b), SWEEP_ENTRIES, &entries, &j->err);
	b->sweeping |= entries;
	return rc;
}

static void sweep(struct rf_bulk *b)
{
	struct job none = { .op = { .actor = "edge" } };
	if (slice(b, &none, work_sweep) != RF_OK)
		b->sweeping = false;
}

static void go_on(struct rf_bulk *b)
{
	while (!b->away) {
		struct job *j = b->job;
		if (!j && !b->sweeping)
			return;
		if (!j) {
			sweep(b);
		} else if (step(b, j) != RF_OK) {
			retry(b, j);
			return;
		} else if (j->stage == SYNC) {
			hand_over(b, j);
			return;
		} else if (j->stage == OVER) {
			b->job = NULL;
			b->sweeping = true;
			job_free(j);
			next(b);
			return;
		}
		if (b->loop) {
			rf_loop_defer(b->loop, &b->slice);
			return;
		}
	}
}

static void came_back(struct rf_loop *loop, struct rf_msg *m)
{
	(void)loop;
	struct rf_bulk *b = RF_CONTAINER(m, struct rf_bulk, back);
	b->away = false;
	go_on(b);
}

static void next(struct rf_bulk *b)
{
	struct rf_node *n = rf_list_first(&b->waiting);
	if (b->job)
		return;
	if (n) {
		rf_list_del(n);
		b->waiting_count--;
		b->job = RF_CONTAINER(n, struct job, node);
		if (b->job->stage == READ) {
			hand_over(b, b->job);
			return;
		}
	}
	if (b->loop)
		rf_loop_defer(b->loop, &b->slice);
	else
		go_on(b);
}

static void enqueue(struct rf_bulk *b, struct job *j)
{
	rf_list_push(&b->waiting, &j->node);
	b->waiting_count++;
	next(b);
}

int rf_bulk_start(struct rf_bulk *b, const struct rf_bulk_start *in, struct rf_err *e)
{
	if (b->waiting_count >= RF_BULK_WAITING)
		return rf_fail(e, RF_E_FULL, "%d changes of lists are waiting already; try again when one is over", RF_BULK_WAITING);
	struct job *j = calloc(1, sizeof *j);
	if (j)
		rf_buf_add(&j->body, in->body);
	if (!j || j->body.bad) {
		if (j)
			job_free(j);
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	}
	j->op = in->op;
	j->dry_run = in->dry_run;
	snprintf(j->kind, sizeof j->kind, "%s", in->kind);
	enqueue(b, j);
	return RF_OK;
}

void rf_bulk_sweep(struct rf_bulk *b)
{
	b->sweeping = true;
	next(b);
}

bool rf_bulk_progress(const struct rf_bulk *b, const char *id, size_t *ret_total, size_t *ret_done)
{
	const struct job *j = b->job;
	if (!j || strcmp(j->op.id, id) != 0 || j->stage != RUN || j->stored)
		return false;
	*ret_total = j->parts.entries;
	*ret_done = j->done;
	return true;
}

/* --- life --- */

/* What the last process left: begun operations go on, others have failed. */
static int take_up(struct rf_bulk *b, struct rf_err *e)
{
	struct rf_operation op;
	int64_t last = 0;
	int rc;
	while ((rc = rf_store_op_open(store_of(b), NULL, last, &op, e)) == RF_OK) {
		struct job *j = calloc(1, sizeof *j);
		if (!j)
			return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
		last = op.seq;
		j->op = op;
		j->stored = true;
		j->stage = RUN;
		if (op.status != RF_OP_RUNNING) {
			rf_fail(&j->err, RF_E_AGAIN, "the daemon ended before all entries were kept; nothing was changed");
			fail(j);
		}
		enqueue(b, j);
	}
	return rc == RF_E_NOT_FOUND ? RF_OK : rc;
}

int rf_bulk_new(struct rf_api *a, struct rf_loop *loop, struct rf_bulk **ret, struct rf_err *e)
{
	struct rf_bulk *b = calloc(1, sizeof *b);
	if (!b)
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	b->api = a;
	b->loop = loop;
	b->back.run = came_back;
	b->slice.run = run_slice;
	b->again.fire = run_again;
	b->sweeping = true;
	rf_list_init(&b->waiting);
	pthread_mutex_init(&b->mutex, NULL);
	pthread_cond_init(&b->wake, NULL);
	b->started = loop && pthread_create(&b->thread, NULL, life, b) == 0;
	if (loop && !b->started) {
		rf_bulk_free(b);
		return rf_fail(e, RF_E_NOMEM, "no thread for changes of lists");
	}
	int rc = take_up(b, e);
	if (rc != RF_OK) {
		rf_bulk_free(b);
		return rc;
	}
	next(b);
	*ret = b;
	return RF_OK;
}

void rf_bulk_free(struct rf_bulk *b)
{
	if (!b)
		return;
	pthread_mutex_lock(&b->mutex);
	b->stop = true;
	pthread_cond_signal(&b->wake);
	pthread_mutex_unlock(&b->mutex);
	if (b->started)
		pthread_join(b->thread, NULL);
	if (b->loop) {
		rf_task_cancel(&b->slice);
		rf_timer_stop(b->loop, &b->again);
	}
	while (!rf_list_empty(&b->waiting)) {
		struct rf_node *n = rf_list_first(&b->waiting);
		rf_list_del(n);
		job_free(RF_CONTAINER(n, struct job, node));
	}
	if (b->job)
		job_free(b->job);
	pthread_mutex_destroy(&b->mutex);
	pthread_cond_destroy(&b->wake);
	free(b);
}
