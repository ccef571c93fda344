/* records/writer: see writer.h.
 *
 * One pass: operational lines; then up to PASS_MAX records of each ring, each formatted once for machines and once for people as far as a
 * sink wants it, into one buffer a sink; then each buffer is written. When a pass took nothing, the thread says that it sleeps, looks
 * once more, and waits.
 *
 * Not here: the sinks (sink.c), the forms (format.c).
 */
#include "records/writer.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "records/counters.h"
#include "records/format.h"
#include "records/log_in.h"
#include "records/sink.h"

enum { PASS_MAX = 1024, NAP_MS = 2, SLEEP_MS = 1000 };

struct rf_writer {
	struct rf_writer_conf conf;
	char *paths[3];          /* own copies of the texts in conf: the boot file's go with it at a reload */
	struct rf_ring *rings[RF_WRITER_RINGS_MAX];
	struct rf_recent *recent;
	struct rf_sink file, out, syslog, log;
	bool human, colours;
	struct rf_ring_wake wake;
	_Atomic bool end, reopen;
	bool running;
	pthread_t thread;
	void (*tap)(void *arg, const struct rf_record *rec);
	void *tap_arg;
	struct rf_log_line line;
};

static int open_sinks(struct rf_writer *w, struct rf_err *e)
{
	const struct rf_writer_conf *c = &w->conf;
	int mode = c->stdout_mode;
	bool tty = isatty(c->stdout_fd);
	if (mode == RF_WRITER_AUTO)
		mode = tty ? RF_WRITER_HUMAN : RF_WRITER_OFF;
	w->human = mode == RF_WRITER_HUMAN;
	w->colours = w->human && tty && !getenv("NO_COLOR");
	rf_sink_fd(&w->out, mode == RF_WRITER_OFF ? -1 : c->stdout_fd, RF_C_SINK_STDOUT_BAD);
	rf_sink_fd(&w->log, c->stderr_fd, RF_C_SINK_LOG_BAD);
	int r = rf_sink_file(&w->file, c->file, RF_C_SINK_FILE_BAD, e);
	if (r == RF_OK && *c->log_file)
		r = rf_sink_file(&w->log, c->log_file, RF_C_SINK_LOG_BAD, e);
	if (r == RF_OK)
		r = rf_sink_syslog(&w->syslog, c->syslog, RF_C_SINK_SYSLOG_BAD, e);
	return r;
}

static bool own_paths(struct rf_writer *w)
{
	const char **at[] = { &w->conf.file, &w->conf.syslog, &w->conf.log_file };
	for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
		if (*at[i] && !(w->paths[i] = strdup(*at[i])))
			return false;
		*at[i] = w->paths[i];
	}
	return true;
}

int rf_writer_new(const struct rf_writer_conf *conf, struct rf_writer **ret, struct rf_err *e)
{
	struct rf_writer *w = calloc(1, sizeof *w);
	if (!w || conf->rings > RF_WRITER_RINGS_MAX) {
		free(w);
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted, or there are more than %d workers", RF_WRITER_RINGS_MAX);
	}
	w->conf = *conf;
	rf_sink_init(&w->file);
	rf_sink_init(&w->out);
	rf_sink_init(&w->syslog);
	rf_sink_init(&w->log);
	w->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->recent = rf_recent_new(conf->recent);
	bool ok = w->wake.fd >= 0 && w->recent && own_paths(w);
	for (size_t i = 0; i < conf->rings && ok; i++)
		ok = (w->rings[i] = rf_ring_new(conf->ring_bytes, &w->wake)) != NULL;
	int r = ok ? open_sinks(w, e) : rf_fail(e, RF_E_NOMEM, "memory for records is exhausted");
	if (r != RF_OK)
		rf_writer_free(w);
	else
		*ret = w;
	return r;
}

static void one_record(struct rf_writer *w, const struct rf_record *rec)
{
	RF_BUF_AUTO json = { 0 };
	rf_count(RF_C_RECORDS);
	if (w->tap)
		w->tap(w->tap_arg, rec);
	rf_recent_add(w->recent, rec);
	if (rf_sink_on(&w->file) || rf_sink_on(&w->syslog) || (rf_sink_on(&w->out) && !w->human))
		rf_record_json(&json, rec, 0);
	rf_sink_line(&w->file, rf_buf_str(&json));
	rf_sink_syslog_line(&w->syslog, rf_buf_str(&json), rec->at, !rf_str_eq(rec->action, RF_STR("allow")));
	if (w->human && rf_sink_on(&w->out)) {
		rf_buf_clear(&json);
		rf_record_human(&json, rec, w->colours);
	}
	rf_sink_line(&w->out, rf_buf_str(&json));
}

static size_t take(struct rf_writer *w, struct rf_ring *ring)
{
	struct rf_record rec;
	size_t n = 0;
	for (; n < PASS_MAX && rf_ring_peek(ring, &rec); n++) {
		one_record(w, &rec);
		rf_ring_pop(ring);
	}
	return n;
}

static size_t take_log(struct rf_writer *w)
{
	size_t n = 0;
	for (; n < PASS_MAX && rf_log_take(&w->line); n++) {
		RF_BUF_AUTO text = { 0 };
		if (*w->conf.log_file)
			rf_log_line_json(&text, &w->line);
		else
			rf_log_line_text(&text, &w->line);
		rf_sink_line(&w->log, rf_buf_str(&text));
	}
	return n;
}

size_t rf_writer_turn(struct rf_writer *w)
{
	uint64_t now = w->conf.clock.mono(w->conf.clock.ctx);
	size_t n = 0;
	if (atomic_exchange(&w->reopen, false)) {
		rf_sink_reopen(&w->file);
		rf_sink_reopen(&w->log);
	}
	for (size_t i = 0; i < w->conf.rings; i++)
		n += take(w, w->rings[i]);
	size_t lines = take_log(w);
	rf_sink_flush(&w->file, now);
	rf_sink_flush(&w->out, now);
	rf_sink_flush(&w->log, now);
	return n + lines;
}

static bool waiting(struct rf_writer *w)
{
	struct rf_record rec;
	for (size_t i = 0; i < w->conf.rings; i++)
		if (rf_ring_peek(w->rings[i], &rec))
			return true;
	return false;
}

static void sleep_until_woken(struct rf_writer *w)
{
	uint64_t n;
	struct pollfd p = { w->wake.fd, POLLIN, 0 };
	atomic_store(&w->wake.asleep, true);
	atomic_thread_fence(memory_order_seq_cst);
	if (!waiting(w) && !atomic_load(&w->end) && poll(&p, 1, SLEEP_MS) > 0 && read(w->wake.fd, &n, sizeof n) > 0)
		poll(NULL, 0, NAP_MS); /* take more at once, and let workers do without a system call meanwhile */
	atomic_store(&w->wake.asleep, false);
}

static void *run(void *arg)
{
	struct rf_writer *w = arg;
	pthread_setname_np(pthread_self(), "records");
	rf_counters_attach();
	while (!atomic_load(&w->end))
		if (rf_writer_turn(w) == 0)
			sleep_until_woken(w);
	rf_counters_detach();
	return NULL;
}

int rf_writer_start(struct rf_writer *w, struct rf_err *e)
{
	rf_log_attach(&w->wake);
	int error = pthread_create(&w->thread, NULL, run, w);
	if (error) {
		rf_log_attach(NULL);
		return rf_fail(e, RF_E_NOMEM, "the thread for records cannot be started: %s", strerror(error));
	}
	w->running = true;
	return RF_OK;
}

void rf_writer_free(struct rf_writer *w)
{
	uint64_t one = 1;
	if (!w)
		return;
	if (w->running) {
		atomic_store(&w->end, true);
		if (write(w->wake.fd, &one, sizeof one) == sizeof one || errno == EAGAIN)
			pthread_join(w->thread, NULL);
		rf_log_attach(NULL);
		while (rf_writer_turn(w))
			;
	}
	rf_sink_fini(&w->file);
	rf_sink_fini(&w->out);
	rf_sink_fini(&w->syslog);
	rf_sink_fini(&w->log);
	for (size_t i = 0; i < w->conf.rings; i++)
		rf_ring_free(w->rings[i]);
	rf_recent_free(w->recent);
	for (size_t i = 0; i < sizeof w->paths / sizeof *w->paths; i++)
		free(w->paths[i]);
	if (w->wake.fd >= 0)
		close(w->wake.fd);
	free(w);
}

struct rf_ring *rf_writer_ring(struct rf_writer *w, size_t i) { return i < w->conf.rings ? w->rings[i] : NULL; }
struct rf_recent *rf_writer_recent(struct rf_writer *w) { return w->recent; }

bool rf_writer_wanted(const struct rf_writer *w)
{
	return w->conf.recent || rf_sink_on(&w->file) || rf_sink_on(&w->out) || rf_sink_on(&w->syslog);
}

void rf_writer_reopen(struct rf_writer *w) { atomic_store(&w->reopen, true); }

void rf_writer_tap(struct rf_writer *w, void (*tap)(void *arg, const struct rf_record *rec), void *arg)
{
	w->tap = tap;
	w->tap_arg = arg;
}
