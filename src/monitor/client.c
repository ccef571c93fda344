/* monitor/client: see client.h. One call: a request, its answer, and the answer's descriptors. */
#include "monitor/client.h"
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void close_all(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

static int answer_of(int fd, struct rf_request *answer, int *fds, size_t *count, struct rf_err *e)
{
	answer->arg = UINT32_MAX;
	int r = rf_request_recv(fd, answer, fds, count);
	if (r != RF_OK)
		return rf_fail(e, r == RF_E_AGAIN ? RF_E_TIMEOUT : r, "the monitor does not answer");
	if (answer->code == RF_OK)
		return RF_OK;
	if (count)
		close_all(fds, *count);
	answer->text[sizeof answer->text - 1] = 0;
	return rf_fail(e, answer->code, "%s", answer->text);
}

static int call(int fd, enum rf_request_kind kind, uint32_t arg, const char *text, struct rf_request *answer, int *fds,
		size_t *count, struct rf_err *e)
{
	struct rf_request q = { .magic = RF_REQUEST_MAGIC, .kind = kind, .arg = arg };
	snprintf(q.text, sizeof q.text, "%s", text);
	int r = rf_request_send(fd, &q, NULL, 0);
	if (r != RF_OK)
		return rf_fail(e, r == RF_E_AGAIN ? RF_E_TIMEOUT : r, "the monitor does not answer");
	return answer_of(fd, answer, fds, count, e);
}

/* As call, for what gives `want` descriptors (0: one or more) and is known by the same name to both. */
static int call_fds(int fd, enum rf_request_kind kind, uint32_t arg, const char *name, int *fds, size_t *count, size_t want,
		    struct rf_err *e)
{
	struct rf_request answer;
	int r = call(fd, kind, arg, "", &answer, fds, count, e);
	if (r != RF_OK)
		return r;
	answer.text[sizeof answer.text - 1] = 0;
	if (name && strcmp(answer.text, name) != 0)
		r = rf_fail(e, RF_E_STALE, "the monitor knows \"%s\" where \"%s\" was expected; reload", answer.text, name);
	else if (*count == 0 || (want && *count != want))
		r = rf_fail(e, RF_E_IO, "the monitor gave %zu descriptors for \"%s\"", *count, answer.text);
	if (r != RF_OK)
		close_all(fds, *count);
	return r;
}

int rf_monitor_watch(int fd, int *ret_notices, struct rf_err *e)
{
	struct timeval limit = { .tv_sec = RF_MONITOR_ANSWER_S };
	int got;
	size_t count = 1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	int r = call_fds(fd, RF_REQUEST_WATCH, 0, NULL, &got, &count, 1, e);
	if (r == RF_OK)
		*ret_notices = got;
	return r;
}

int rf_monitor_notice(int notices, enum rf_notice *ret)
{
	struct rf_request q;
	int r = rf_request_recv(notices, &q, NULL, NULL);
	if (r == RF_OK)
		*ret = (enum rf_notice)q.arg;
	return r;
}

int rf_monitor_listen(int fd, unsigned index, const char *name, int *fds, size_t room, size_t *ret_count, struct rf_err *e)
{
	int got[RF_PLAN_SOCKETS_MAX];
	size_t count = RF_PLAN_SOCKETS_MAX;
	int r = call_fds(fd, RF_REQUEST_LISTEN, index, name, got, &count, 0, e);
	if (r != RF_OK)
		return r;
	if (count > room) {
		close_all(got, count);
		return rf_fail(e, RF_E_FULL, "listener %s has %zu sockets, more than there is room for", name, count);
	}
	memcpy(fds, got, count * sizeof *got);
	*ret_count = count;
	return RF_OK;
}

int rf_monitor_open(int fd, unsigned index, const char *path, int *ret_fd, struct rf_err *e)
{
	int got;
	size_t count = 1;
	int r = call_fds(fd, RF_REQUEST_OPEN, index, path, &got, &count, 1, e);
	if (r == RF_OK)
		*ret_fd = got;
	return r;
}

int rf_monitor_filter(int fd, int *fds, size_t room, size_t *ret_count, uint32_t *ret_can, char *where, size_t size, struct rf_err *e)
{
	struct rf_request answer;
	int got[RF_PLAN_SOCKETS_MAX];
	size_t count = RF_PLAN_SOCKETS_MAX;
	int r = call(fd, RF_REQUEST_FILTER, 0, "", &answer, got, &count, e);
	if (r != RF_OK)
		return r;
	if (count > room) {
		close_all(got, count);
		return rf_fail(e, RF_E_INTERNAL, "the monitor gave %zu maps of the kernel filter", count);
	}
	memcpy(fds, got, count * sizeof *got);
	*ret_count = count;
	*ret_can = answer.arg;
	answer.text[sizeof answer.text - 1] = 0;
	snprintf(where, size, "%s", answer.text);
	return RF_OK;
}

static int text_of(int fd, enum rf_request_kind kind, char *to, size_t size, struct rf_err *e)
{
	struct rf_request answer;
	int r = call(fd, kind, 0, "", &answer, NULL, NULL, e);
	if (r != RF_OK)
		return r;
	answer.text[sizeof answer.text - 1] = 0;
	snprintf(to, size, "%s", answer.text);
	return RF_OK;
}

int rf_monitor_gate(int fd, char *where, size_t size, struct rf_err *e) { return text_of(fd, RF_REQUEST_GATE, where, size, e); }

static int file_of(int fd, enum rf_request_kind kind, int *ret_file, struct rf_err *e)
{
	struct rf_request answer;
	int got;
	size_t count = 1;
	int r = call(fd, kind, 0, "", &answer, &got, &count, e);
	if (r == RF_OK)
		*ret_file = count ? got : -1;
	return r;
}

int rf_monitor_counts(int fd, int *ret_file, struct rf_err *e) { return file_of(fd, RF_REQUEST_COUNTS, ret_file, e); }
int rf_monitor_standing(int fd, int *ret_file, struct rf_err *e) { return file_of(fd, RF_REQUEST_STANDING, ret_file, e); }

static int give(int fd, enum rf_request_kind kind, int file, struct rf_err *e)
{
	struct rf_request q = { .magic = RF_REQUEST_MAGIC, .kind = kind }, answer;
	int r = rf_request_send(fd, &q, &file, 1);
	return r == RF_OK ? answer_of(fd, &answer, NULL, NULL, e) : rf_fail(e, r, "the monitor does not answer");
}

int rf_monitor_policy(int fd, int policy, struct rf_err *e) { return give(fd, RF_REQUEST_POLICY, policy, e); }
int rf_monitor_homes(int fd, int homes, struct rf_err *e) { return give(fd, RF_REQUEST_HOMES, homes, e); }

int rf_monitor_rules(int fd, int program, bool in_force, uint32_t *ret_at, struct rf_err *e)
{
	struct rf_request q = { .magic = RF_REQUEST_MAGIC, .kind = RF_REQUEST_RULES, .arg = in_force }, answer;
	int r = rf_request_send(fd, &q, &program, program >= 0);
	if (r != RF_OK)
		return rf_fail(e, r, "the monitor does not answer");
	r = answer_of(fd, &answer, NULL, NULL, e);
	if (r != RF_OK)
		*ret_at = answer.arg;
	return r;
}

/* As call, for what gives any number of descriptors up to `room`. */
static int call_some(int fd, enum rf_request_kind kind, uint32_t arg, const char *text, struct rf_request *answer, int *fds, size_t room,
		     size_t *ret_count, struct rf_err *e)
{
	int got[RF_PLAN_SOCKETS_MAX];
	size_t count = RF_PLAN_SOCKETS_MAX;
	int r = call(fd, kind, arg, text, answer, got, &count, e);
	if (r != RF_OK)
		return r;
	if (count > room) {
		close_all(got, count);
		return rf_fail(e, RF_E_FULL, "the monitor gave %zu descriptors, more than there is room for", count);
	}
	memcpy(fds, got, count * sizeof *got);
	*ret_count = count;
	answer->text[sizeof answer->text - 1] = 0;
	return RF_OK;
}

int rf_monitor_steer(int fd, int *ret_fd, char *places, size_t size, struct rf_err *e)
{
	struct rf_request answer;
	int got;
	size_t count = 0;
	int r = call_some(fd, RF_REQUEST_STEER, 0, "", &answer, &got, 1, &count, e);
	if (r != RF_OK)
		return r;
	*ret_fd = count ? got : -1;
	snprintf(places, size, "%s", answer.text);
	return RF_OK;
}

int rf_monitor_steered(int fd, unsigned group, int *fds, size_t room, size_t *ret_count, struct rf_err *e)
{
	struct rf_request answer;
	return call_some(fd, RF_REQUEST_STEERED, group, "", &answer, fds, room, ret_count, e);
}

int rf_monitor_bind(int fd, uint32_t port, int *fds, size_t room, size_t *ret_count, struct rf_err *e)
{
	struct rf_request answer;
	return call_some(fd, RF_REQUEST_BIND, port, "", &answer, fds, room, ret_count, e);
}

int rf_monitor_reply(int fd, uint32_t port, const struct rf_ip *at, int *ret_fd, struct rf_err *e)
{
	struct rf_request answer;
	char text[RF_IP_TEXT];
	int got;
	size_t count = 0;
	int r = call_some(fd, RF_REQUEST_REPLY, port, rf_ip_str(at, text), &answer, &got, 1, &count, e);
	if (r == RF_OK && !count)
		r = rf_fail(e, RF_E_IO, "the monitor gave no socket");
	if (r == RF_OK)
		*ret_fd = got;
	return r;
}

int rf_monitor_taken(int fd, unsigned listener, uint64_t words[2 * 1024], struct rf_err *e)
{
	struct rf_request answer;
	int got;
	size_t count = 0, size = 2 * 1024 * sizeof *words;
	int r = call_some(fd, RF_REQUEST_TAKEN, listener, "", &answer, &got, 1, &count, e);
	memset(words, 0, size);
	if (r != RF_OK || !count)
		return r;
	ssize_t n = pread(got, words, size, 0);
	close(got);
	return n == (ssize_t)size ? RF_OK : rf_fail(e, RF_E_IO, "the ports of other programs cannot be read");
}

int rf_monitor_replan(int fd, struct rf_buf *text, struct rf_err *e)
{
	int got;
	size_t count = 1;
	int r = call_fds(fd, RF_REQUEST_REPLAN, 0, NULL, &got, &count, 1, e);
	if (r != RF_OK)
		return r;
	ssize_t n = 0;
	off_t at = 0;
	for (char *to; (to = rf_buf_room(text, 16384)) && (n = pread(got, to, 16384, at)) > 0; at += n)
		text->n += (size_t)n;
	close(got);
	return n == 0 && !text->bad ? RF_OK : rf_fail(e, RF_E_IO, "the settings from the monitor cannot be read");
}

static int tell(int fd, enum rf_request_kind kind, uint32_t arg, const char *text, struct rf_err *e)
{
	struct rf_request answer;
	return call(fd, kind, arg, text, &answer, NULL, NULL, e);
}

int rf_monitor_ready(int fd, struct rf_err *e) { return tell(fd, RF_REQUEST_READY, 0, "", e); }
int rf_monitor_alive(int fd, struct rf_err *e) { return tell(fd, RF_REQUEST_ALIVE, 0, "", e); }
int rf_monitor_status(int fd, const char *line, struct rf_err *e) { return tell(fd, RF_REQUEST_STATUS, 0, line, e); }
int rf_monitor_reloaded(int fd, bool ok, const char *why, struct rf_err *e)
{
	return tell(fd, RF_REQUEST_RELOADED, ok, why, e);
}
int rf_monitor_unbind(int fd, uint32_t port, struct rf_err *e) { return tell(fd, RF_REQUEST_UNBIND, port, "", e); }
