/* net/ares: c-ares on our loop: its sockets are ios, its timeouts one timer.
 *
 * Readiness of a link -> ares_process_fd until the socket is drained (edges!) -> the timer is set
 * to what c-ares waits for next. Answers come by the callback given to rf_ares_ask, from
 * within any of these.
 *
 * Invariants: a link's fd is -1 or a socket that c-ares knows. The timer is set while c-ares waits.
 */
#include "net/ares.h"
#include <errno.h>
#include <unistd.h>

enum { ROUNDS = 64 }; /* of ares_process_fd for one edge; what is left comes by retries */

static struct rf_ares_link *link_of(struct rf_ares *a, ares_socket_t fd)
{
	for (int i = 0; i < RF_ARES_SOCKETS; i++)
		if (a->links[i].io.fd == fd)
			return &a->links[i];
	return NULL;
}

static void set_timer(struct rf_ares *a)
{
	struct timeval tv;
	if (!ares_timeout(a->channel, NULL, &tv))
		rf_timer_stop(a->loop, &a->timer);
	else
		rf_timer_set(a->loop, &a->timer, rf_loop_now(a->loop) + (uint64_t)tv.tv_sec * RF_NS_S +
							 (uint64_t)tv.tv_usec * RF_NS_US + RF_NS_MS);
}

static void ready(struct rf_io *io, unsigned events)
{
	struct rf_ares_link *link = RF_CONTAINER(io, struct rf_ares_link, io);
	ares_socket_t fd = io->fd, in = events & RF_IO_READ ? fd : ARES_SOCKET_BAD;
	ares_socket_t out = events & RF_IO_WRITE ? fd : ARES_SOCKET_BAD;
	for (int i = 0; i < ROUNDS; i++) {
		link->drained = in == ARES_SOCKET_BAD;
		ares_process_fd(link->a->channel, in, out);
		if (link->drained || io->fd != fd)
			break;
		out = ARES_SOCKET_BAD;
	}
	set_timer(link->a);
}

static void fire(struct rf_timer *t)
{
	struct rf_ares *a = RF_CONTAINER(t, struct rf_ares, timer);
	ares_process_fd(a->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	set_timer(a);
}

static ares_socket_t make(int domain, int type, int protocol, void *arg)
{
	struct rf_ares_link *link = link_of(arg, -1);
	if (!link) {
		errno = EMFILE;
		return ARES_SOCKET_BAD;
	}
	link->io.fd = socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	return link->io.fd;
}

static int unmake(ares_socket_t fd, void *arg)
{
	struct rf_ares *a = arg;
	struct rf_ares_link *link = link_of(a, fd);
	if (link)
		rf_loop_close(a->loop, &link->io);
	return 0;
}

/* Watched from here on: epoll reports a TCP socket that is not connected as hung up. */
static int start(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t len, void *arg)
{
	struct rf_ares *a = arg;
	struct rf_ares_link *link = link_of(a, fd);
	int r = connect(fd, to, len), err = errno;
	if (r < 0 && err != EINPROGRESS)
		return -1;
	if (!link || rf_loop_add(a->loop, &link->io)) {
		errno = ENOMEM;
		return -1;
	}
	errno = err;
	return r;
}

static ares_ssize_t take(ares_socket_t fd, void *to, size_t n, int flags, struct sockaddr *from,
			 ares_socklen_t *from_len, void *arg)
{
	struct rf_ares_link *link = link_of(arg, fd);
	ssize_t r = recvfrom(fd, to, n, flags, from, from_len);
	if (r < 0 && errno == EAGAIN && link)
		link->drained = true;
	return r;
}

static ares_ssize_t give(ares_socket_t fd, const struct iovec *v, int count, void *arg)
{
	(void)arg;
	struct msghdr m = { .msg_iov = (struct iovec *)v, .msg_iovlen = (size_t)count };
	return sendmsg(fd, &m, MSG_NOSIGNAL);
}

static const struct ares_socket_functions functions = { make, unmake, start, take, give };

int rf_ares_init(struct rf_ares *a, struct rf_loop *loop, const char *servers, uint32_t timeout_ms,
		 uint32_t tries, struct rf_err *e)
{
	/* Only DNS: the hosts file is read by net/hosts, before the process locks itself in. */
	struct ares_options o = { .timeout = (int)timeout_ms, .tries = (int)tries, .lookups = "b" };
	*a = (struct rf_ares){ .loop = loop, .timer.fire = fire };
	for (int i = 0; i < RF_ARES_SOCKETS; i++)
		a->links[i] = (struct rf_ares_link){ .io = { .fd = -1, .ready = ready }, .a = a };
	int r = ares_library_init(ARES_LIB_INIT_ALL);
	if (r)
		return rf_fail(e, RF_E_IO, "cannot start the resolver: %s", ares_strerror(r));
	r = ares_init_options(&a->channel, &o, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS);
	if (r) {
		ares_library_cleanup();
		return rf_fail(e, RF_E_IO, "cannot start the resolver: %s; look at /etc/resolv.conf",
			       ares_strerror(r));
	}
	ares_set_socket_functions(a->channel, &functions, a);
	if (servers && (r = ares_set_servers_ports_csv(a->channel, servers))) {
		rf_ares_fini(a);
		return rf_fail(e, RF_E_SYNTAX, "'%s' is no list of DNS servers: %s", servers, ares_strerror(r));
	}
	return RF_OK;
}

void rf_ares_fini(struct rf_ares *a)
{
	ares_destroy(a->channel);
	rf_timer_stop(a->loop, &a->timer);
	ares_library_cleanup();
}

void rf_ares_ask(struct rf_ares *a, const char *name, ares_addrinfo_callback done, void *arg)
{
	/* Without sorting, which would open a socket for each address. */
	struct ares_addrinfo_hints hints = { .ai_flags = ARES_AI_NOSORT, .ai_family = AF_UNSPEC,
					     .ai_socktype = SOCK_STREAM };
	ares_getaddrinfo(a->channel, name, NULL, &hints, done, arg);
	set_timer(a);
}

void rf_ares_query(struct rf_ares *a, const char *name, int type, ares_callback done, void *arg)
{
	ares_query(a->channel, name, 1 /* IN */, type, done, arg);
	set_timer(a);
}
