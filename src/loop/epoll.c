/* loop/epoll: the loop over Linux epoll, edge-triggered.
 *
 * A descriptor costs one epoll_ctl in its life. Closing takes it out of the set by itself, but
 * for a `shared` one, which is taken out by hand. Other threads wake the loop through an eventfd that is
 * never read: each write is a new edge.
 *
 * Invariants: batch[i].data.ptr is NULL, &l->wake_fd, or an io whose slot is i + 1. An io that is
 * closed takes its event out of the batch.
 *
 * Not here: timers, tasks, messages (loop.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include "loop/impl.h"

enum {
	EVENTS_A_TURN = 256,   /* more stay in the kernel for the next turn, which does not wait */
	GATHER_FEW = 16,       /* events of a turn behind which more are waited for */
	GATHER_EVENTS = 32,    /* in each GATHER_NS, at least: then some come while they are */
	GATHER_NS = 1000000,
};

struct epoll_loop {
	struct rf_loop loop;
	int fd, wake_fd;
	unsigned last, events; /* of the last turn; since `counted` */
	uint64_t counted;
	bool busy;             /* they were so many in the time before */
	struct epoll_event batch[EVENTS_A_TURN];
};

static struct epoll_loop *of(struct rf_loop *loop)
{
	return RF_CONTAINER(loop, struct epoll_loop, loop);
}

static int code_of(int err)
{
	switch (err) {
	case EAGAIN:
		return RF_E_AGAIN;
	case ECONNRESET:
	case ECONNABORTED:
		return RF_E_RESET;
	case ECONNREFUSED:
		return RF_E_REFUSED;
	case EPIPE:
		return RF_E_PIPE;
	case ETIMEDOUT:
		return RF_E_TIMEOUT;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case ENOSPC:
		return RF_E_FULL;
	default:
		return RF_E_IO;
	}
}

static int timeout_ms(uint64_t ns)
{
	if (ns == UINT64_MAX)
		return -1;
	uint64_t ms = ns / RF_NS_MS + (ns % RF_NS_MS != 0);
	return ms > INT_MAX ? INT_MAX : (int)ms; /* the turn ends early then, which is harmless */
}

static unsigned events_of(uint32_t e)
{
	unsigned events = (e & EPOLLIN ? RF_IO_READ : 0) | (e & EPOLLOUT ? RF_IO_WRITE : 0);
	if (e & EPOLLRDHUP)
		events |= RF_IO_READ | RF_IO_EOF;
	if (e & (EPOLLHUP | EPOLLERR))
		events |= RF_IO_READ | RF_IO_WRITE | RF_IO_EOF | RF_IO_HUP;
	return events;
}

static void run_batch(struct epoll_loop *l, int n)
{
	for (int i = 0; i < n; i++) {
		struct rf_io *io = l->batch[i].data.ptr;
		if (io == (void *)&l->wake_fd)
			l->batch[i].data.ptr = NULL;
		else
			io->slot = (unsigned)i + 1;
	}
	for (int i = 0; i < n; i++) {
		struct rf_io *io = l->batch[i].data.ptr;
		if (!io)
			continue;
		io->slot = 0;
		io->ready(io, events_of(l->batch[i].events));
	}
}

/* Whether turns are to be gathered is decided anew each GATHER_NS, by what came in it. */
static void count(struct epoll_loop *l, unsigned n)
{
	uint64_t now = l->loop.now, past = now - l->counted;
	l->last = n;
	l->events += n;
	if (past < GATHER_NS)
		return;
	l->busy = l->events >= past / GATHER_NS * GATHER_EVENTS;
	l->events = 0;
	l->counted = now;
}

static void gather(const struct epoll_loop *l, uint64_t wait_ns)
{
	const struct timespec t = { .tv_nsec = (long)l->loop.gather_ns };
	if (l->busy && t.tv_nsec && l->last && l->last < GATHER_FEW && wait_ns > l->loop.gather_ns)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

static void wait(struct rf_loop *loop, uint64_t wait_ns)
{
	struct epoll_loop *l = of(loop);
	bool tell = loop->hook && wait_ns;
	if (tell)
		loop->hook(loop->hook_arg, false);
	gather(l, wait_ns);
	int n = epoll_wait(l->fd, l->batch, EVENTS_A_TURN, timeout_ms(wait_ns)); /* a signal ends the turn: n < 0 */
	if (tell)
		loop->hook(loop->hook_arg, true);
	loop->now = rf_clock_system.mono(NULL);
	count(l, n > 0 ? (unsigned)n : 0);
	run_batch(l, n);
}

static void wake(struct rf_loop *loop)
{
	int keep = errno;
	if (write(of(loop)->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t)) < 0)
		errno = keep; /* only at 2^64 - 1 unread, and then an edge is pending */
}

static uint64_t mono(struct rf_loop *loop)
{
	(void)loop;
	return rf_clock_system.mono(NULL);
}

static int64_t wall(struct rf_loop *loop)
{
	(void)loop;
	return rf_clock_system.wall(NULL);
}

static int add_fd(struct epoll_loop *l, int fd, void *ptr, uint32_t events)
{
	struct epoll_event e = { .events = events | EPOLLET, .data.ptr = ptr };
	if (epoll_ctl(l->fd, EPOLL_CTL_ADD, fd, &e) == 0)
		return RF_OK;
	return errno == ENOMEM ? RF_E_NOMEM : code_of(errno);
}

static int add(struct rf_loop *loop, struct rf_io *io)
{
	return add_fd(of(loop), io->fd, io, io->mute ? EPOLLIN : EPOLLIN | EPOLLOUT | EPOLLRDHUP);
}

static void close_io(struct rf_loop *loop, struct rf_io *io)
{
	struct epoll_loop *l = of(loop);
	if (io->slot)
		l->batch[io->slot - 1].data.ptr = NULL;
	if (io->added && io->shared)
		epoll_ctl(l->fd, EPOLL_CTL_DEL, io->fd, NULL);
	close(io->fd);
}

static ssize_t recv_io(struct rf_loop *loop, struct rf_io *io, void *p, size_t n)
{
	(void)loop;
	ssize_t r;
	do
		r = recv(io->fd, p, n, 0);
	while (r < 0 && errno == EINTR);
	return r > 0 ? r : r == 0 ? RF_E_EOF : code_of(errno);
}

static ssize_t send_io(struct rf_loop *loop, struct rf_io *io, const struct iovec *v, int count)
{
	(void)loop;
	struct msghdr m = { .msg_iov = (struct iovec *)v, .msg_iovlen = (size_t)count };
	ssize_t r;
	do /* one piece, the usual case, is cheaper without a header for the kernel to check */
		r = count == 1 ? send(io->fd, v->iov_base, v->iov_len, MSG_NOSIGNAL) : sendmsg(io->fd, &m, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r >= 0 ? r : code_of(errno);
}

static int shutdown_io(struct rf_loop *loop, struct rf_io *io)
{
	(void)loop;
	if (shutdown(io->fd, SHUT_WR) == 0)
		return RF_OK;
	return errno == ENOTCONN ? RF_E_RESET : code_of(errno);
}

static void doom_io(struct rf_loop *loop, struct rf_io *io)
{
	(void)loop;
	struct linger now = { .l_onoff = 1 };
	setsockopt(io->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now); /* fails only where there is nothing to reset */
}

static ssize_t splice_fds(int from, int to, size_t n)
{
	ssize_t r;
	do
		r = splice(from, NULL, to, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (r < 0 && errno == EINTR);
	return r > 0 ? r : r == 0 ? RF_E_EOF : code_of(errno);
}

static ssize_t splice_in_io(struct rf_loop *loop, struct rf_io *io, int pipe, size_t n)
{
	(void)loop;
	return splice_fds(io->fd, pipe, n);
}

static ssize_t splice_out_io(struct rf_loop *loop, struct rf_io *io, int pipe, size_t n)
{
	(void)loop;
	return splice_fds(pipe, io->fd, n);
}

static int accept_io(struct rf_loop *loop, struct rf_io *listener, struct rf_io *ret, struct rf_addr *ret_peer)
{
	(void)loop;
	struct rf_addr peer;
	peer.len = sizeof peer.any;
	int fd;
	do
		fd = accept4(listener->fd, &peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	if (fd < 0) {
		int r = code_of(errno);
		/* Anything else is an error of the new connection, not of the listener (accept(2)). */
		bool ours = r == RF_E_AGAIN || r == RF_E_FULL || errno == EBADF || errno == EINVAL || errno == ENOTSOCK;
		return ours ? r : RF_E_RESET;
	}
	if (peer.len <= sizeof(sa_family_t))
		peer.len = 0;
	ret->fd = fd;
	*ret_peer = peer;
	return RF_OK;
}

static int connect_io(struct rf_loop *loop, struct rf_io *io, const struct rf_addr *to)
{
	(void)loop;
	io->fd = -1;
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return code_of(errno);
	if (to->sa.sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)); /* only slower without */
	if (connect(fd, &to->sa, to->len) < 0 && errno != EINPROGRESS && errno != EINTR) {
		int r = errno == EAGAIN ? RF_E_FULL : code_of(errno); /* AGAIN: backlog of a Unix socket, or no port left */
		close(fd);
		return r;
	}
	io->fd = fd;
	return RF_OK;
}

static int error_io(struct rf_loop *loop, struct rf_io *io)
{
	(void)loop;
	int err = 0;
	socklen_t len = sizeof err;
	if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		return RF_E_IO;
	return err == 0 ? RF_OK : code_of(err);
}

static void free_loop(struct rf_loop *loop)
{
	struct epoll_loop *l = of(loop);
	rf_loop_fini(loop);
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}

static const struct rf_loop_ops ops = {
	.wait = wait, .wake = wake, .mono = mono, .wall = wall, .free = free_loop, .add = add, .close = close_io,
	.recv = recv_io, .send = send_io, .shutdown = shutdown_io, .doom = doom_io,
	.splice_in = splice_in_io, .splice_out = splice_out_io, .accept = accept_io, .connect = connect_io,
	.error = error_io, .datagram = rf_datagram_open, .receive = rf_datagram_receive, .transmit = rf_datagram_transmit,
};

struct rf_loop *rf_loop_epoll(struct rf_err *e)
{
	struct epoll_loop *l = calloc(1, sizeof *l);
	if (!l) {
		rf_fail(e, RF_E_NOMEM, "no memory for an event loop");
		return NULL;
	}
	rf_loop_init(&l->loop, &ops);
	l->fd = epoll_create1(EPOLL_CLOEXEC);
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->fd < 0 || l->wake_fd < 0 || add_fd(l, l->wake_fd, &l->wake_fd, EPOLLIN)) {
		rf_fail(e, RF_E_FULL, "cannot make an event loop (%s); raise the limit of open files", strerror(errno));
		free_loop(&l->loop);
		return NULL;
	}
	return &l->loop;
}
