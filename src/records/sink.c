/* records/sink: see sink.h. */
#include "records/sink.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/ip.h"
#include "records/log.h"

enum { BUFFER_MAX = 4 << 20, CHUNK = 4096 /* PIPE_BUF: after POLLOUT a pipe takes it without blocking */, STALL_MS = 200 };

void rf_sink_init(struct rf_sink *s)
{
	*s = (struct rf_sink){ .fd = -1, .buf.bound = BUFFER_MAX };
}

void rf_sink_fini(struct rf_sink *s)
{
	if (s->owned && s->fd >= 0)
		close(s->fd);
	rf_buf_fini(&s->buf);
	rf_sink_init(s);
}

void rf_sink_fd(struct rf_sink *s, int fd, enum rf_counter lost)
{
	s->fd = fd;
	s->on = fd >= 0;
	s->lost = lost;
}

static int open_file(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
}

int rf_sink_file(struct rf_sink *s, const char *path, enum rf_counter lost, struct rf_err *e)
{
	if (!*path)
		return RF_OK;
	if (strlen(path) >= sizeof s->path)
		return rf_fail(e, RF_E_TOO_LARGE, "the path %s is too long", path);
	int fd = open_file(path);
	if (fd < 0)
		return rf_fail(e, RF_E_IO, "%s cannot be opened for writing: %s", path, strerror(errno));
	s->fd = fd;
	s->on = s->owned = true;
	s->lost = lost;
	memcpy(s->path, path, strlen(path) + 1);
	return RF_OK;
}

static int connect_unix(struct rf_str path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	if (path.n == 0 || path.n >= sizeof a.sun_path)
		return -1;
	memcpy(a.sun_path, path.p, path.n);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int connect_udp(struct rf_str where)
{
	union { struct sockaddr sa; struct sockaddr_in v4; struct sockaddr_in6 v6; } a;
	struct rf_ip ip;
	uint64_t port;
	size_t colon = where.n;
	while (colon && where.p[colon - 1] != ':')
		colon--;
	struct rf_str host = { where.p, colon ? colon - 1 : 0 };
	if (host.n > 2 && host.p[0] == '[')
		host = (struct rf_str){ host.p + 1, host.n - 2 };
	if (!rf_ip_parse(host, &ip) || !rf_str_u64(rf_str_skip(where, colon), &port) || port == 0 || port > 65535)
		return -1;
	memset(&a, 0, sizeof a);
	a.sa.sa_family = ip.family == 4 ? AF_INET : AF_INET6;
	a.v4.sin_port = htons((uint16_t)port); /* at the same place in both */
	memcpy(ip.family == 4 ? (void *)&a.v4.sin_addr : (void *)&a.v6.sin6_addr, ip.b, ip.family == 4 ? 4 : 16);
	int fd = socket(a.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, &a.sa, sizeof a) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int connect_syslog(const char *where)
{
	struct rf_str s = rf_str_z(where);
	return rf_str_starts(s, RF_STR("unix:")) ? connect_unix(rf_str_skip(s, 5))
	     : rf_str_starts(s, RF_STR("udp:")) ? connect_udp(rf_str_skip(s, 4)) : -1;
}

int rf_sink_syslog(struct rf_sink *s, const char *where, enum rf_counter lost, struct rf_err *e)
{
	if (!*where)
		return RF_OK;
	if (strlen(where) >= sizeof s->path || (s->fd = connect_syslog(where)) < 0)
		return rf_fail(e, RF_E_IO, "syslog at %s cannot be reached", where);
	s->on = s->owned = true;
	s->lost = lost;
	memcpy(s->path, where, strlen(where) + 1);
	return RF_OK;
}

void rf_sink_line(struct rf_sink *s, struct rf_str line)
{
	if (!s->on)
		return;
	if (!rf_buf_room(&s->buf, line.n + 1)) {
		s->buf.bad = false;
		rf_count(s->lost);
		return;
	}
	rf_buf_add(&s->buf, line);
	rf_buf_addc(&s->buf, '\n');
	s->lines++;
}

static void failed(struct rf_sink *s, int error, uint64_t lines)
{
	rf_count_n(s->lost, lines);
	if (!s->failing)
		rf_log(RF_LOG_ERROR, "records", "%s cannot be written (%s); lines are lost until it can",
		       *s->path ? s->path : "standard output or error", strerror(error));
	s->failing = true;
}

static void works(struct rf_sink *s)
{
	if (s->failing)
		rf_log(RF_LOG_INFO, "records", "%s can be written again", *s->path ? s->path : "standard output or error");
	s->failing = false;
}

/* A descriptor that does not take more within STALL_MS (at once when it failed before) is as bad as one that fails. */
static ssize_t put(struct rf_sink *s, const char *p, size_t n)
{
	struct pollfd w = { s->fd, POLLOUT, 0 };
	if (!s->owned) {
		n = n < CHUNK ? n : CHUNK;
		if (poll(&w, 1, s->failing ? 0 : STALL_MS) == 0) {
			errno = EAGAIN;
			return -1;
		}
	}
	return write(s->fd, p, n);
}

static uint64_t lines_in(const char *p, size_t n)
{
	uint64_t lines = 0;
	for (size_t i = 0; i < n; i++)
		lines += p[i] == '\n';
	return lines;
}

static bool ready(struct rf_sink *s, uint64_t now)
{
	if (s->fd >= 0)
		return true;
	if (!s->owned || now < s->retry_at)
		return false;
	s->fd = open_file(s->path);
	s->retry_at = now + RF_NS_S;
	return s->fd >= 0;
}

void rf_sink_flush(struct rf_sink *s, uint64_t now)
{
	size_t at = 0;
	if (!s->on || s->buf.n == 0)
		return;
	errno = ENOENT;
	bool ok = ready(s, now) && (!s->mid_line || put(s, "\n", 1) == 1);
	if (ok)
		s->mid_line = false;
	while (ok && at < s->buf.n) {
		ssize_t n = put(s, s->buf.p + at, s->buf.n - at);
		if (n < 0 && errno == EINTR)
			continue;
		ok = n > 0;
		at += ok ? (size_t)n : 0;
	}
	s->mid_line |= at > 0 && s->buf.p[at - 1] != '\n';
	if (ok)
		works(s);
	else
		failed(s, errno, lines_in(s->buf.p + at, s->buf.n - at));
	rf_buf_clear(&s->buf);
	s->lines = 0;
}

void rf_sink_reopen(struct rf_sink *s)
{
	if (!s->owned)
		return;
	int fd = open_file(s->path);
	if (fd < 0) { /* the old one is better than none */
		failed(s, errno, 0);
		return;
	}
	if (s->fd >= 0)
		close(s->fd);
	s->fd = fd;
}

/* [RFC 5424 6]: facility 3 (daemon), severity 4 for what was not simply allowed, else 6. */
void rf_sink_syslog_line(struct rf_sink *s, struct rf_str json, int64_t at, bool notable)
{
	char host[256] = "-", time[RF_RFC3339_SIZE];
	RF_BUF_AUTO line = { 0 };
	if (!s->on)
		return;
	gethostname(host, sizeof host - 1);
	rf_buf_printf(&line, "<%d>1 %s %s ringfenced %d record - ", 3 * 8 + (notable ? 4 : 6), rf_rfc3339(at, 1, time), host, (int)getpid());
	rf_buf_add(&line, json);
	if (send(s->fd, line.p, line.n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)line.n) {
		works(s);
		return;
	}
	int error = errno;
	int fd = error == ENOTCONN || error == ECONNREFUSED || error == ECONNRESET ? connect_syslog(s->path) : -1;
	if (fd >= 0) { /* the daemon was started again */
		close(s->fd);
		s->fd = fd;
		if (send(fd, line.p, line.n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)line.n)
			return;
	}
	failed(s, error, 1);
}
