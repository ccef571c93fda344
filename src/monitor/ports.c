/* monitor/ports: see ports.h.
 *
 * The engine names a port by the listener's place in the plan, never an address of its own choosing; what is refused here is refused although
 * it was asked for by somebody who has taken the engine over.
 */
#include "monitor/ports.h"
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

union address { struct sockaddr sa; struct sockaddr_in v4; struct sockaddr_in6 v6; };

static socklen_t address_of(const struct rf_ip *ip, uint16_t port, union address *a)
{
	memset(a, 0, sizeof *a);
	if (ip->family == 4) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = htons(port);
		memcpy(&a->v4.sin_addr, ip->b, 4);
		return sizeof a->v4;
	}
	a->v6.sin6_family = AF_INET6;
	a->v6.sin6_port = htons(port);
	memcpy(&a->v6.sin6_addr, ip->b, 16);
	return sizeof a->v6;
}

/* --- what the plan allows --- */

/* Do two listeners meet at an address? */
static bool meet(const struct rf_plan_listener *a, const struct rf_plan_listener *b)
{
	return a->ip.family == b->ip.family && (rf_ip_unspecified(&a->ip) || rf_ip_unspecified(&b->ip) || rf_ip_eq(&a->ip, &b->ip));
}

static const struct rf_plan_listener *listener_of(const struct rf_plan *p, unsigned i)
{
	return i < p->listener_count && p->listeners[i].ports ? &p->listeners[i] : NULL;
}

bool rf_port_allowed(const struct rf_plan *p, struct rf_port_name n)
{
	const struct rf_plan_listener *l = listener_of(p, n.listener);
	if (!l || !n.port)
		return false;
	if (l->port) /* transparent: only its own, and all connections come by it */
		return n.port == l->port;
	if (!(p->ports_allowed[n.port / 64] >> n.port % 64 & 1))
		return false;
	for (size_t i = 0; i < p->listener_count && !n.udp; i++) {
		const struct rf_plan_listener *other = &p->listeners[i];
		if (!other->path && !other->ports && other->port == n.port && meet(l, other))
			return false;
	}
	return true;
}

void rf_port_allowed_all(const struct rf_plan *p, unsigned listener, uint64_t words[2 * 1024])
{
	const struct rf_plan_listener *l = listener_of(p, listener);
	memset(words, 0, 2 * 1024 * sizeof *words);
	if (!l || l->port)
		return;
	memcpy(words, p->ports_allowed, sizeof p->ports_allowed);
	memcpy(words + 1024, p->ports_allowed, sizeof p->ports_allowed);
	for (size_t i = 0; i < p->listener_count; i++) {
		const struct rf_plan_listener *other = &p->listeners[i];
		if (!other->path && !other->ports && meet(l, other))
			words[other->port / 64] &= ~(1ull << other->port % 64);
	}
	words[0] &= ~1ull;
	words[1024] &= ~1ull;
}

/* --- opening --- */

struct want {
	struct rf_ip ip;
	uint16_t port;
	bool udp, transparent, shared; /* shared: SO_REUSEPORT */
};

static void set(int fd, int level, int name)
{
	int on = 1;
	setsockopt(fd, level, name, &on, sizeof on);
}

static void set_transparent(int fd, bool v6, bool on)
{
	int value = on;
	setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &value, sizeof value);
}

static int new_socket(const struct want *w)
{
	union address a;
	socklen_t n = address_of(&w->ip, w->port, &a);
	bool v6 = w->ip.family == 6;
	int fd = socket(a.sa.sa_family, (w->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (!w->udp)
		set(fd, SOL_SOCKET, SO_REUSEADDR);
	if (w->shared)
		set(fd, SOL_SOCKET, SO_REUSEPORT);
	if (v6)
		set(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	set(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND);
	if (w->transparent)
		set_transparent(fd, v6, true);
	if (bind(fd, &a.sa, n) == 0 && (w->udp || listen(fd, BACKLOG) == 0))
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

static int fail(const struct want *w, int error, struct rf_err *e)
{
	char ip[RF_IP_TEXT];
	return rf_fail(e, error == EADDRINUSE ? RF_E_EXISTS : RF_E_IO, "no %s socket at %s port %u: %s", w->udp ? "UDP" : "TCP",
		       rf_ip_str(&w->ip, ip), w->port, error == EADDRINUSE ? "another program has it" : strerror(error));
}

static bool keep(struct rf_port_sockets *s, int fd, unsigned group, const struct want *w)
{
	if (s->count == RF_PORT_SOCKETS_MAX)
		return false;
	s->v[s->count++] = (struct rf_port_socket){ .fd = fd, .group = (uint8_t)group, .udp = w->udp, .ip = w->ip, .port = w->port };
	return true;
}

static void drop_from(struct rf_port_sockets *s, size_t count)
{
	while (s->count > count)
		close(s->v[--s->count].fd);
}

static int open_many(struct rf_port_sockets *s, unsigned group, const struct want *w, unsigned count, struct rf_err *e)
{
	size_t before = s->count;
	for (unsigned i = 0; i < count; i++) {
		int fd = new_socket(w);
		int rc = fd < 0 ? fail(w, errno, e) : RF_OK;
		if (rc == RF_OK && !keep(s, fd, group, w)) {
			close(fd);
			rc = rf_fail(e, RF_E_FULL, "there are more than %d sockets of ports", RF_PORT_SOCKETS_MAX);
		}
		if (rc != RF_OK) {
			drop_from(s, before);
			return rc;
		}
	}
	return RF_OK;
}

int rf_port_sockets_steered(struct rf_port_sockets *s, unsigned workers, bool transparent, struct rf_err *e)
{
	static const struct rf_ip loopback[] = { { 4, { 127, 0, 0, 1 } }, { 6, { [15] = 1 } } };
	for (unsigned group = 0; group < RF_PORT_GROUPS; group++) {
		struct want w = { .ip = loopback[group / 2], .udp = group & 1, .transparent = transparent };
		int fds[RF_PLAN_SOCKETS_MAX];
		size_t have = rf_port_sockets_group(s, group, fds);
		for (size_t i = 0; i < have; i++) /* a reload may have changed it */
			set_transparent(fds[i], group >= 2, transparent);
		if (have >= workers)
			continue;
		int rc = open_many(s, group, &w, workers - (unsigned)have, e);
		if (rc != RF_OK && w.ip.family == 4)
			return rc;
	}
	return RF_OK;
}

static bool is_of(const struct rf_port_socket *v, const struct rf_plan *p, struct rf_port_name n)
{
	const struct rf_plan_listener *l = listener_of(p, n.listener);
	return l && v->group == RF_PORT_BOUND && v->udp == n.udp && v->port == n.port && rf_ip_eq(&v->ip, &l->ip);
}

static size_t bound_ports(const struct rf_port_sockets *s)
{
	size_t n = 0;
	for (size_t i = 0; i < s->count; i++) {
		const struct rf_port_socket *v = &s->v[i], *last = i ? v - 1 : NULL;
		n += v->group == RF_PORT_BOUND && (!last || last->port != v->port || last->udp != v->udp || !rf_ip_eq(&last->ip, &v->ip));
	}
	return n;
}

int rf_port_sockets_bind(struct rf_port_sockets *s, const struct rf_plan *p, struct rf_port_name n, struct rf_err *e)
{
	int fds[RF_PLAN_SOCKETS_MAX];
	if (!rf_port_allowed(p, n))
		return rf_fail(e, RF_E_DENIED, "the boot file does not allow this port");
	if (rf_port_sockets_of(s, p, n, fds))
		return RF_OK;
	if (bound_ports(s) == RF_PORT_BOUND_MAX)
		return rf_fail(e, RF_E_FULL, "without steering in the kernel there are at most %d ports", RF_PORT_BOUND_MAX);
	const struct rf_plan_listener *l = &p->listeners[n.listener];
	struct want w = { .ip = l->ip, .port = n.port, .udp = n.udp, .transparent = l->transparent };
	int probe = new_socket(&w); /* with SO_REUSEPORT, another program's socket would not be seen */
	if (probe < 0)
		return fail(&w, errno, e);
	close(probe);
	w.shared = true;
	return open_many(s, RF_PORT_BOUND, &w, l->sockets, e);
}

static void remove_at(struct rf_port_sockets *s, size_t i)
{
	close(s->v[i].fd);
	memmove(&s->v[i], &s->v[i + 1], (s->count - i - 1) * sizeof *s->v);
	s->count--;
}

void rf_port_sockets_unbind(struct rf_port_sockets *s, const struct rf_plan *p, struct rf_port_name n)
{
	for (size_t i = s->count; i--;)
		if (is_of(&s->v[i], p, n))
			remove_at(s, i);
}

static bool planned(const struct rf_port_socket *v, const struct rf_plan *p)
{
	for (unsigned i = 0; i < p->listener_count; i++) {
		struct rf_port_name n = { i, v->udp, v->port };
		if (v->group == RF_PORT_BOUND ? is_of(v, p, n) && rf_port_allowed(p, n) : p->listeners[i].ports && !p->listeners[i].port)
			return true;
	}
	return false;
}

void rf_port_sockets_trim(struct rf_port_sockets *s, const struct rf_plan *p)
{
	for (size_t i = s->count; i--;)
		if (!planned(&s->v[i], p))
			remove_at(s, i);
}

void rf_port_sockets_unsteer(struct rf_port_sockets *s)
{
	for (size_t i = s->count; i--;)
		if (s->v[i].group != RF_PORT_BOUND)
			remove_at(s, i);
}

void rf_port_sockets_close(struct rf_port_sockets *s)
{
	drop_from(s, 0);
}

size_t rf_port_sockets_group(const struct rf_port_sockets *s, unsigned group, int fds[RF_PLAN_SOCKETS_MAX])
{
	size_t n = 0;
	for (size_t i = 0; i < s->count && n < RF_PLAN_SOCKETS_MAX; i++)
		if (s->v[i].group == group)
			fds[n++] = s->v[i].fd;
	return n;
}

size_t rf_port_sockets_of(const struct rf_port_sockets *s, const struct rf_plan *p, struct rf_port_name name, int fds[RF_PLAN_SOCKETS_MAX])
{
	size_t n = 0;
	for (size_t i = 0; i < s->count && n < RF_PLAN_SOCKETS_MAX; i++)
		if (is_of(&s->v[i], p, name))
			fds[n++] = s->v[i].fd;
	return n;
}

bool rf_port_sockets_adopt(struct rf_port_sockets *s, unsigned group, int fd)
{
	union address a;
	socklen_t n = sizeof a, type_n = sizeof(int);
	int type = 0;
	struct want w = { .port = 0 };
	memset(&a, 0, sizeof a);
	if (group > RF_PORT_BOUND || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_n) != 0 || getsockname(fd, &a.sa, &n) != 0)
		return false;
	w.udp = type == SOCK_DGRAM;
	w.ip.family = a.sa.sa_family == AF_INET ? 4 : a.sa.sa_family == AF_INET6 ? 6 : 0;
	if (w.ip.family == 4)
		memcpy(w.ip.b, &a.v4.sin_addr, 4);
	else
		memcpy(w.ip.b, &a.v6.sin6_addr, 16);
	w.port = ntohs(w.ip.family == 4 ? a.v4.sin_port : a.v6.sin6_port);
	return w.ip.family && keep(s, fd, group, &w);
}

/* --- answers of UDP --- */

/* It is for sending: what would come by it is left to those that receive. */
static void deafen(int fd)
{
	struct sock_filter none[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	struct sock_fprog program = { 1, none };
	setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

int rf_port_reply(struct rf_port_sockets *s, const struct rf_plan *p, struct rf_port_name n, const struct rf_ip *at, int *ret_fd,
		  struct rf_err *e)
{
	const struct rf_plan_listener *l = listener_of(p, n.listener);
	union address a;
	bool v6 = at->family == 6;
	if (!l || !n.udp || !n.port || (!l->port && !rf_port_allowed(p, n)) || l->ip.family != at->family ||
	    (!rf_ip_unspecified(&l->ip) && !rf_ip_eq(&l->ip, at)))
		return rf_fail(e, RF_E_DENIED, "the boot file does not allow answers from there");
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return rf_fail(e, RF_E_IO, "no socket to answer from: %s", strerror(errno));
	socklen_t size = address_of(at, n.port, &a);
	deafen(fd);
	set(fd, SOL_SOCKET, SO_REUSEADDR);
	set(fd, SOL_SOCKET, SO_REUSEPORT);
	if (v6)
		set(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	if (l->transparent)
		set_transparent(fd, v6, true);
	if (bind(fd, &a.sa, size) != 0) {
		int error = errno;
		close(fd);
		return fail(&(struct want){ .ip = *at, .port = n.port, .udp = true }, error, e);
	}
	struct stat st;
	if (fstat(fd, &st) == 0)
		s->replies[s->reply_at++ % RF_PORT_REPLIES_KEPT] = st.st_ino;
	*ret_fd = fd;
	return RF_OK;
}
