/* records/writer: the thread that takes records from all rings and gives them to the sinks.
 *
 * Sinks: a file of JSON Lines, standard output (JSON Lines, or the human form on a terminal), syslog, the recent records in
 * memory; operational lines go to their file or standard error. A sink that fails loses its line, is counted, says so once,
 * and is tried again (a file is opened again after a second); the others go on. Workers never notice.
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "records/log.h"
#include "records/recent.h"
#include "records/ring.h"

enum rf_writer_stdout { RF_WRITER_AUTO, RF_WRITER_OFF, RF_WRITER_JSON, RF_WRITER_HUMAN }; /* as enum rf_boot_stdout */

struct rf_writer_conf {
	const char *file;      /* "": none */
	int stdout_mode;       /* enum rf_writer_stdout */
	const char *syslog;    /* "unix:PATH", "udp:ADDRESS:PORT"; "": none */
	const char *log_file;  /* "": standard error */
	size_t recent;         /* records kept */
	size_t ring_bytes;
	size_t rings;          /* one a worker, and one more for the control thread */
	struct rf_clock clock;
	int stdout_fd, stderr_fd; /* 1 and 2, other ones in tests */
};

enum { RF_WRITER_RINGS_MAX = 256 };
struct rf_writer;

/* Opens the sinks; a file that cannot be opened at the start is an error. Strings of conf are copied. */
int rf_writer_new(const struct rf_writer_conf *conf, struct rf_writer **ret, struct rf_err *e);
/* Run it on a thread of its own. */
int rf_writer_start(struct rf_writer *w, struct rf_err *e);
/* Write what is left, end the thread, free all (rings included). NULL is harmless. */
void rf_writer_free(struct rf_writer *w);

struct rf_ring *rf_writer_ring(struct rf_writer *w, size_t i);
struct rf_recent *rf_writer_recent(struct rf_writer *w);
/* Does anybody but the tap read records? Where nobody does, workers need not make them. */
bool rf_writer_wanted(const struct rf_writer *w);
/* Any thread: close and open the files again, for logrotate. */
void rf_writer_reopen(struct rf_writer *w);
/* Called on the writer's thread with every record, before the sinks have it. Set before rf_writer_start. */
void rf_writer_tap(struct rf_writer *w, void (*tap)(void *arg, const struct rf_record *rec), void *arg);
/* One pass without waiting, for tests and for the thread itself: the number of records taken. */
size_t rf_writer_turn(struct rf_writer *w);
