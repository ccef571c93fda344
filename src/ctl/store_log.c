/* ctl/store_log: see store_log.h.
 *
 *	commit -> grew: many pages? -> thread: carry over, in steps of a page (store_file.c) -> next commit: the log begins anew
 *	                too many?   -> the thread's pass is broken off, the writer carries over what is left
 *
 * Invariants: one pass at a time in this process (`pass`); of two processes, one upgrading the other, SQLite's lock lets one at it. A
 * pass never waits for readers or writers: who reads an old state keeps what is newer in the log. A process that dies in a pass
 * leaves log and file as good as before: the log is what counts until it is begun anew.
 *
 * No disk space, a damaged disk: counted, told once until it is good again, tried again when the log has grown; what is committed
 * is in the log.
 */
#include "ctl/store_log.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/way.h"
#include "ctl/store_file.h"
#include "records/counters.h"
#include "records/log.h"

struct rf_store_log {
	sqlite3 *db;             /* of the thread */
	int fd;                  /* the file once more, to say what the disk may have */
	int pages, max, tried;   /* tried: how many there were when the writer last carried over; 0: it need not */
	pthread_t thread;
	bool runs;
	pthread_mutex_t pass;    /* held for as long as one lasts; guards `bad` */
	bool bad;
	pthread_mutex_t mutex;   /* guards what is below */
	pthread_cond_t wake;
	bool wanted, stop;
};

/* With `pass` held. False: there is a reason why some stay, which has not been told. */
static bool carry(struct rf_store_log *l, sqlite3 *db)
{
	int in_log = 0, carried = 0;
	int rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &carried);
	bool failed = rc != SQLITE_OK && rc != SQLITE_BUSY && rc != SQLITE_INTERRUPT;
	rf_count(failed ? RF_C_STATE_LOG_FAILED : rc == SQLITE_OK && carried == in_log ? RF_C_STATE_LOG_WHOLE : RF_C_STATE_LOG_PART);
	if (failed && !l->bad)
		rf_log(RF_LOG_ERROR, "state", "the log of the state file cannot be brought into it, and grows: %s", sqlite3_errmsg(db));
	if (failed || rc == SQLITE_OK)
		l->bad = failed;
	return failed || carried == in_log;
}

static bool wait_wanted(struct rf_store_log *l)
{
	pthread_mutex_lock(&l->mutex);
	while (!l->wanted && !l->stop)
		pthread_cond_wait(&l->wake, &l->mutex);
	bool go = !l->stop;
	l->wanted = false;
	pthread_mutex_unlock(&l->mutex);
	return go;
}

static void *work(void *arg)
{
	struct rf_store_log *l = arg;
	pthread_setname_np(pthread_self(), "state-log");
	rf_way_last();
	rf_counters_attach();
	while (wait_wanted(l)) {
		pthread_mutex_lock(&l->pass);
		carry(l, l->db);
		pthread_mutex_unlock(&l->pass);
	}
	rf_counters_detach();
	return NULL;
}

static void call(struct rf_store_log *l, bool stop)
{
	pthread_mutex_lock(&l->mutex);
	l->wanted = true;
	l->stop |= stop;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->mutex);
}

void rf_store_log_grew(struct rf_store_log *l, sqlite3 *db, int pages)
{
	if (pages < l->max)
		l->tried = 0;
	if (pages >= l->pages && pages < l->max)
		call(l, false);
	if (pages < l->max || (l->tried && pages - l->tried < l->pages))
		return;
	sqlite3_interrupt(l->db);
	pthread_mutex_lock(&l->pass);
	rf_count(RF_C_STATE_LOG_WRITER);
	if (!carry(l, db) && !l->tried)
		rf_log(RF_LOG_WARN, "state", "the log of the state file grows, %d pages by now, for as long as another program reads that file", pages);
	pthread_mutex_unlock(&l->pass);
	l->tried = pages;
}

static int open_db(struct rf_store_log *l, const char *path, struct rf_err *e)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
	int rc = sqlite3_open_v2(path, &l->db, flags, rf_store_vfs());
	if (rc == SQLITE_OK) /* the statement opens the log, without which nothing is carried over */
		rc = sqlite3_exec(l->db, "PRAGMA synchronous=FULL; PRAGMA cache_size=0; SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return rf_fail(e, RF_E_DISK, "could not open the log of the state file %s: %s", path, l->db ? sqlite3_errmsg(l->db) : sqlite3_errstr(rc));
	l->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (l->fd < 0)
		return rf_fail(e, RF_E_DISK, "could not open the state file %s: %s", path, strerror(errno));
	rf_store_file_steps(l->db, l->fd);
	return RF_OK;
}

int rf_store_log_new(const char *path, int pages, int max, struct rf_store_log **ret, struct rf_err *e)
{
	struct rf_store_log *l = calloc(1, sizeof *l);
	if (!l)
		return rf_fail(e, RF_E_NOMEM, "no memory for the log of the state file");
	*l = (struct rf_store_log){ .fd = -1, .pages = pages, .max = max };
	pthread_mutex_init(&l->pass, NULL);
	pthread_mutex_init(&l->mutex, NULL);
	pthread_cond_init(&l->wake, NULL);
	int rc = open_db(l, path, e);
	if (rc == RF_OK) {
		l->runs = pthread_create(&l->thread, NULL, work, l) == 0;
		rc = l->runs ? RF_OK : rf_fail(e, RF_E_NOMEM, "no thread for the log of the state file");
	}
	if (rc != RF_OK) {
		rf_store_log_stop(l);
		rf_store_log_free(l);
		return rc;
	}
	*ret = l;
	return RF_OK;
}

void rf_store_log_stop(struct rf_store_log *l)
{
	if (!l)
		return;
	if (l->runs) {
		sqlite3_interrupt(l->db);
		call(l, true);
		pthread_join(l->thread, NULL);
	}
	sqlite3_close(l->db);
	l->runs = false;
	l->db = NULL;
}

void rf_store_log_free(struct rf_store_log *l)
{
	if (!l)
		return;
	if (l->fd >= 0)
		close(l->fd);
	pthread_cond_destroy(&l->wake);
	pthread_mutex_destroy(&l->mutex);
	pthread_mutex_destroy(&l->pass);
	free(l);
}
