/* records/log: see log.h. One queue for the process under one lock: operational lines are few, and a worker that writes one has met something
 * rare. The queue is bounded; what does not fit is dropped and counted (RF_C_LOG_DROPPED).
 */
#include "records/log.h"
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/jw.h"
#include "records/counters.h"
#include "records/log_in.h"

enum { SUBSYSTEMS_MAX = 32, NAME_MAX_ = 24 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below but the levels' values */
static struct rf_log_line queue[RF_LOG_QUEUE_MAX];
static size_t first, count;
static struct rf_ring_wake *waker;
static struct { char name[NAME_MAX_]; _Atomic int level; } levels[SUBSYSTEMS_MAX];
static _Atomic size_t level_count;
static _Atomic int level_all = RF_LOG_INFO;

static const char *const words[] = { "error", "warn", "info", "debug" };

void rf_log_level(const char *subsystem, enum rf_log_level level)
{
	if (!subsystem) {
		atomic_store(&level_all, (int)level);
		return;
	}
	pthread_mutex_lock(&lock);
	size_t n = atomic_load(&level_count), i = 0;
	while (i < n && strcmp(levels[i].name, subsystem) != 0)
		i++;
	if (i < SUBSYSTEMS_MAX) {
		atomic_store(&levels[i].level, (int)level);
		if (i == n) {
			snprintf(levels[i].name, sizeof levels[i].name, "%s", subsystem);
			atomic_store(&level_count, n + 1);
		}
	}
	pthread_mutex_unlock(&lock);
}

bool rf_log_on(enum rf_log_level level, const char *subsystem)
{
	for (size_t i = 0, n = atomic_load(&level_count); i < n; i++)
		if (strcmp(levels[i].name, subsystem) == 0)
			return (int)level <= atomic_load(&levels[i].level);
	return (int)level <= atomic_load(&level_all);
}

void rf_log_line_text(struct rf_buf *out, const struct rf_log_line *l)
{
	char at[RF_RFC3339_SIZE];
	rf_buf_printf(out, "%s %-5s %s: %s", rf_rfc3339(l->at, 0, at), words[l->level], l->subsystem, l->text);
}

void rf_log_line_json(struct rf_buf *out, const struct rf_log_line *l)
{
	char at[RF_RFC3339_SIZE];
	struct rf_jw w = rf_jw_on(out);
	rf_jw_open(&w, NULL, '{');
	rf_jw_str(&w, "Datetime", rf_str_z(rf_rfc3339(l->at, 1, at)));
	rf_jw_str(&w, "Level", rf_str_z(words[l->level]));
	rf_jw_str(&w, "Subsystem", rf_str_z(l->subsystem));
	rf_jw_str(&w, "Message", rf_str_z(l->text));
	rf_jw_close(&w, '}');
}

static void fill(struct rf_log_line *l, enum rf_log_level level, const char *subsystem, const char *fmt, va_list ap)
{
	l->at = rf_clock_system.wall(NULL);
	l->level = level;
	l->subsystem = subsystem;
	vsnprintf(l->text, sizeof l->text, fmt, ap);
	for (char *p = l->text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
}

static void at_once(const struct rf_log_line *l)
{
	RF_BUF_AUTO out = { 0 };
	rf_log_line_text(&out, l);
	rf_buf_addc(&out, '\n');
	ssize_t n = write(STDERR_FILENO, out.p, out.n);
	(void)n; /* there is nobody left to tell */
}

static void put(enum rf_log_level level, const char *subsystem, const char *fmt, va_list ap)
{
	uint64_t one = 1;
	pthread_mutex_lock(&lock);
	if (!waker) {
		static struct rf_log_line now;
		fill(&now, level, subsystem, fmt, ap);
		at_once(&now);
	} else if (count == RF_LOG_QUEUE_MAX)
		rf_count(RF_C_LOG_DROPPED);
	else {
		fill(&queue[(first + count++) % RF_LOG_QUEUE_MAX], level, subsystem, fmt, ap);
		if (atomic_exchange(&waker->asleep, false) && write(waker->fd, &one, sizeof one) < 0)
			atomic_store(&waker->asleep, true);
	}
	pthread_mutex_unlock(&lock);
}

void rf_log(enum rf_log_level level, const char *subsystem, const char *fmt, ...)
{
	va_list ap;
	if (!rf_log_on(level, subsystem))
		return;
	va_start(ap, fmt);
	put(level, subsystem, fmt, ap);
	va_end(ap);
}

void rf_log_attach(struct rf_ring_wake *wake)
{
	pthread_mutex_lock(&lock);
	waker = wake;
	pthread_mutex_unlock(&lock);
}

bool rf_log_take(struct rf_log_line *ret)
{
	pthread_mutex_lock(&lock);
	bool any = count > 0;
	if (any) {
		*ret = queue[first];
		first = (first + 1) % RF_LOG_QUEUE_MAX;
		count--;
	}
	pthread_mutex_unlock(&lock);
	return any;
}
