/* monitor/sockets: see sockets.h.
 *
 * A TCP listener is one SO_REUSEPORT group with a socket for each worker, so that workers share nothing. Before the first socket of
 * a group a bind without SO_REUSEPORT shows whether another program has the address: with it, both would get half of the
 * connections and nobody would know.
 */
#include "monitor/sockets.h"
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

union address { struct sockaddr sa; struct sockaddr_in v4; struct sockaddr_in6 v6; struct sockaddr_un un; };

static socklen_t address_of(const struct rf_plan_listener *l, union address *a)
{
	memset(a, 0, sizeof *a);
	if (l->path) {
		a->un.sun_family = AF_UNIX;
		snprintf(a->un.sun_path, sizeof a->un.sun_path, "%s", l->path);
		return sizeof a->un;
	}
	if (l->ip.family == 4) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = htons(l->port);
		memcpy(&a->v4.sin_addr, l->ip.b, 4);
		return sizeof a->v4;
	}
	a->v6.sin6_family = AF_INET6;
	a->v6.sin6_port = htons(l->port);
	memcpy(&a->v6.sin6_addr, l->ip.b, 16);
	return sizeof a->v6;
}

static bool is_of(const struct rf_socket *s, const struct rf_plan_listener *l)
{
	if (l->path)
		return strcmp(s->path, l->path) == 0;
	return !s->path[0] && s->port == l->port && rf_ip_eq(&s->ip, &l->ip);
}

bool rf_sockets_adopt(struct rf_sockets *s, int fd)
{
	union address a;
	struct rf_socket *k = &s->v[s->count];
	socklen_t n = sizeof a, on_n = sizeof(int);
	int on = 0;
	memset(&a, 0, sizeof a);
	if (s->count == RF_SOCKETS_MAX || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &on_n) != 0 || !on ||
	    getsockname(fd, &a.sa, &n) != 0)
		return false;
	*k = (struct rf_socket){ .fd = fd };
	if (a.sa.sa_family == AF_UNIX)
		snprintf(k->path, sizeof k->path, "%.107s", a.un.sun_path);
	else if (a.sa.sa_family == AF_INET) {
		k->ip.family = 4;
		k->port = ntohs(a.v4.sin_port);
		memcpy(k->ip.b, &a.v4.sin_addr, 4);
	} else if (a.sa.sa_family == AF_INET6) {
		k->ip.family = 6;
		k->port = ntohs(a.v6.sin6_port);
		memcpy(k->ip.b, &a.v6.sin6_addr, 16);
	} else
		return false;
	s->count++;
	return true;
}

static int new_socket(const struct rf_plan_listener *l, bool reuseport)
{
	union address a;
	int on = 1;
	address_of(l, &a);
	int fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && !l->path)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (fd >= 0 && reuseport)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	if (fd >= 0 && a.sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	return fd;
}

/* A Unix socket file that nobody listens on is removed. */
static void remove_stale(const struct rf_plan_listener *l)
{
	union address a;
	struct stat st;
	socklen_t n = address_of(l, &a);
	if (lstat(l->path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, &a.sa, n) != 0 && errno == ECONNREFUSED)
		unlink(l->path);
	if (fd >= 0)
		close(fd);
}

static int give_path(const struct rf_plan_listener *l, const char *user, struct rf_err *e)
{
	const struct passwd *pw = geteuid() == 0 ? getpwnam(user) : NULL;
	const struct group *gr = *l->group ? getgrnam(l->group) : NULL;
	if (*l->group && !gr)
		return rf_fail(e, RF_E_NOT_FOUND, "there is no group %s for the socket %s", l->group, l->path);
	if ((pw || gr) && chown(l->path, pw ? pw->pw_uid : (uid_t)-1, gr ? gr->gr_gid : pw->pw_gid) != 0)
		return rf_fail(e, RF_E_IO, "%s cannot be given to its user: %s", l->path, strerror(errno));
	return chmod(l->path, 0660) == 0 ? RF_OK : rf_fail(e, RF_E_IO, "%s: %s", l->path, strerror(errno));
}

static int fail_listen(const struct rf_plan_listener *l, int error, struct rf_err *e)
{
	char ip[RF_IP_TEXT] = "";
	const char *why = error == EADDRINUSE ? "another program has this address" : error == EACCES
		? "a port below 1024 needs root or CAP_NET_BIND_SERVICE" : strerror(error);
	if (l->path)
		return rf_fail(e, error == EADDRINUSE ? RF_E_EXISTS : RF_E_IO, "cannot listen on %s: %s", l->path, why);
	return rf_fail(e, error == EADDRINUSE ? RF_E_EXISTS : RF_E_IO, "cannot listen on %s%s%s:%u (listener %s): %s",
		       l->ip.family == 6 ? "[" : "", rf_ip_str(&l->ip, ip), l->ip.family == 6 ? "]" : "", l->port, l->name, why);
}

static int open_one(struct rf_sockets *s, const struct rf_plan_listener *l, const char *user, bool first, struct rf_err *e)
{
	union address a;
	socklen_t n = address_of(l, &a);
	if (s->count == RF_SOCKETS_MAX)
		return rf_fail(e, RF_E_FULL, "there are more than %d listening sockets", RF_SOCKETS_MAX);
	if (l->path)
		remove_stale(l);
	int probe = first && !l->path ? new_socket(l, false) : -1;
	bool taken = probe >= 0 && bind(probe, &a.sa, n) != 0;
	int error = errno;
	if (probe >= 0)
		close(probe);
	if (taken)
		return fail_listen(l, error, e);
	mode_t old = umask(0117);
	int fd = new_socket(l, !l->path);
	bool ok = fd >= 0 && bind(fd, &a.sa, n) == 0;
	error = errno;
	umask(old);
	int r = ok ? l->path ? give_path(l, user, e) : RF_OK : fail_listen(l, error, e);
	if (r == RF_OK && listen(fd, l->backlog) != 0)
		r = fail_listen(l, errno, e);
	if (r == RF_OK && !rf_sockets_adopt(s, fd))
		r = rf_fail(e, RF_E_INTERNAL, "listener %s is not what was opened", l->name);
	if (r != RF_OK && fd >= 0)
		close(fd);
	return r;
}

/* May more sockets join the group of this one? Not where the service manager opened it without SO_REUSEPORT. */
static bool shares(int fd)
{
	int on = 0;
	socklen_t n = sizeof on;
	return getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, &n) == 0 && on;
}

static int ensure_one(struct rf_sockets *s, const struct rf_plan_listener *l, const char *user, struct rf_err *e)
{
	int fds[RF_PLAN_SOCKETS_MAX];
	size_t have = rf_sockets_of(s, l, fds);
	for (size_t i = 0; i < have; i++)
		listen(fds[i], l->backlog);
	if (have && (l->path || !shares(fds[0])))
		return RF_OK;
	for (; have < l->sockets; have++) {
		int r = open_one(s, l, user, have == 0, e);
		if (r != RF_OK)
			return r;
	}
	return RF_OK;
}

int rf_sockets_ensure(struct rf_sockets *s, const struct rf_plan *plan, struct rf_err *e)
{
	size_t before = s->count;
	for (size_t i = 0; i < plan->listener_count; i++) {
		int r = plan->listeners[i].ports ? RF_OK : ensure_one(s, &plan->listeners[i], plan->user, e);
		if (r == RF_OK)
			continue;
		while (s->count > before)
			close(s->v[--s->count].fd);
		return r;
	}
	return RF_OK;
}

void rf_sockets_trim(struct rf_sockets *s, const struct rf_plan *plan)
{
	size_t kept = 0;
	for (size_t i = 0; i < s->count; i++) {
		size_t k = 0;
		while (k < plan->listener_count && (plan->listeners[k].ports || !is_of(&s->v[i], &plan->listeners[k])))
			k++;
		if (k < plan->listener_count)
			s->v[kept++] = s->v[i];
		else
			close(s->v[i].fd);
	}
	s->count = kept;
}

size_t rf_sockets_of(const struct rf_sockets *s, const struct rf_plan_listener *l, int *fds)
{
	size_t n = 0;
	for (size_t i = 0; i < s->count && n < RF_PLAN_SOCKETS_MAX; i++)
		if (is_of(&s->v[i], l))
			fds[n++] = s->v[i].fd;
	return n;
}

void rf_sockets_close(struct rf_sockets *s, bool unlink_paths)
{
	for (size_t i = 0; i < s->count; i++) {
		close(s->v[i].fd);
		if (unlink_paths && s->v[i].path[0])
			unlink(s->v[i].path);
	}
	s->count = 0;
}
