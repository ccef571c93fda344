/* loop/datagram: messages of UDP sockets over Linux: many a system call, several datagrams a message.
 *
 * A batch is one recvmmsg. Where a message arrived comes from its control data (IP_ORIGDSTADDR and its IPv6 counterpart: the
 * address and port of the packet, whatever socket it was steered to), as does the size of its segments (UDP_GRO). To send,
 * the address of ours goes the same way (IP_PKTINFO), as does UDP_SEGMENT.
 *
 * Errors of the path to a connected peer wait in the socket's error queue (IP_RECVERR); the call that hears of one empties it.
 *
 * Not here: readiness (epoll.c), what a batch is for (net/datagram).
 */
#include <errno.h>
#include <netinet/udp.h>
#include <unistd.h>
#include "loop/impl.h"

enum { CONTROL = 128, ERRORS_MAX = 64, RECEIVE_BUFFER = 4 << 20 /* as far as net.core.rmem_max lets it */ };

union control { /* aligned for a header */
	struct cmsghdr align;
	char bytes[CONTROL];
};

static void empty_errors(int fd)
{
	union control control;
	struct sockaddr_storage to;
	for (int i = 0; i < ERRORS_MAX; i++) {
		struct msghdr m = { .msg_name = &to, .msg_namelen = sizeof to, .msg_control = &control,
				    .msg_controllen = sizeof control };
		if (recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			return;
	}
}

static int code_of(int fd, int err)
{
	switch (err) {
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
		return RF_E_AGAIN;
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENOPROTOOPT:
	case EPROTO:
		empty_errors(fd);
		return RF_E_RESET;
	case EMSGSIZE:
		empty_errors(fd);
		return RF_E_TOO_LARGE;
	case EINVAL:
		return RF_E_INVALID;
	default:
		empty_errors(fd);
		return RF_E_IO;
	}
}

static void set_to(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof value);
}

static void set(int fd, int level, int option)
{
	set_to(fd, level, option, 1);
}

void rf_io_datagram_prepare(int fd)
{
	set_to(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
	set(fd, SOL_UDP, UDP_GRO);
	set(fd, SOL_IP, IP_RECVORIGDSTADDR); /* of an IPv6 socket too, which may have both */
	set(fd, SOL_IPV6, IPV6_RECVORIGDSTADDR);
}

int rf_datagram_open(struct rf_loop *loop, struct rf_io *io, const struct rf_addr *to)
{
	(void)loop;
	io->fd = -1;
	int fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno == EAFNOSUPPORT ? RF_E_IO : RF_E_FULL;
	bool v6 = to->sa.sa_family == AF_INET6;
	set(fd, SOL_UDP, UDP_GRO);
	set(fd, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_RECVERR : IP_RECVERR); /* without, only refusals are heard of */
	if (connect(fd, &to->sa, to->len) < 0) {
		int r = errno == EAGAIN ? RF_E_FULL : code_of(fd, errno); /* AGAIN: no port is left */
		close(fd);
		return r;
	}
	io->fd = fd;
	return RF_OK;
}

static void read_control(struct msghdr *h, struct rf_dgram *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			int segment;
			memcpy(&segment, CMSG_DATA(c), sizeof segment);
			m->segment = (size_t)segment < m->n ? (uint16_t)segment : 0;
		} else if (c->cmsg_level == SOL_IP && c->cmsg_type == IP_ORIGDSTADDR) {
			memcpy(&m->local.v4, CMSG_DATA(c), m->local.len = sizeof m->local.v4);
		} else if (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_ORIGDSTADDR) {
			memcpy(&m->local.v6, CMSG_DATA(c), m->local.len = sizeof m->local.v6);
		}
	}
}

int rf_datagram_receive(struct rf_loop *loop, struct rf_io *io, struct rf_dgram *v, int n)
{
	struct mmsghdr all[RF_DGRAMS_MAX];
	struct iovec room[RF_DGRAMS_MAX];
	union control control[RF_DGRAMS_MAX];
	(void)loop;
	for (int i = 0; i < n; i++) {
		room[i] = (struct iovec){ v[i].p, v[i].room };
		all[i].msg_hdr = (struct msghdr){ .msg_name = &v[i].peer.any, .msg_namelen = sizeof v[i].peer.any, .msg_iov = &room[i],
						  .msg_iovlen = 1, .msg_control = &control[i], .msg_controllen = CONTROL };
	}
	int got;
	do
		got = recvmmsg(io->fd, all, (unsigned)n, MSG_DONTWAIT, NULL);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return code_of(io->fd, errno);
	for (int i = 0; i < got; i++) {
		struct msghdr *h = &all[i].msg_hdr;
		v[i].peer.len = h->msg_namelen;
		v[i].local.len = 0;
		v[i].n = all[i].msg_len;
		v[i].segment = 0;
		v[i].cut = h->msg_flags & MSG_TRUNC;
		read_control(h, &v[i]);
	}
	return got;
}

/* Append control data; the header counts what is there. */
static void put_control(struct msghdr *h, int level, int type, const void *p, size_t n)
{
	struct cmsghdr *c = (struct cmsghdr *)((char *)h->msg_control + h->msg_controllen);
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(c), p, n);
	h->msg_controllen += CMSG_SPACE(n);
}

/* From which of our addresses: as the family of the peer wants it written, which is that of the socket. */
static void put_local(struct msghdr *h, const struct rf_dgram *m)
{
	bool v4 = m->local.sa.sa_family == AF_INET;
	if (m->peer.sa.sa_family == AF_INET && v4) {
		struct in_pktinfo info = { .ipi_spec_dst = m->local.v4.sin_addr };
		put_control(h, SOL_IP, IP_PKTINFO, &info, sizeof info);
	} else if (m->peer.sa.sa_family == AF_INET6) {
		struct in6_pktinfo info = { .ipi6_addr = m->local.v6.sin6_addr };
		if (v4) {
			info.ipi6_addr = (struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff } };
			memcpy(&info.ipi6_addr.s6_addr[12], &m->local.v4.sin_addr, 4);
		}
		put_control(h, SOL_IPV6, IPV6_PKTINFO, &info, sizeof info);
	}
}

int rf_datagram_transmit(struct rf_loop *loop, struct rf_io *io, const struct rf_dgram *m, const struct iovec *v, int count)
{
	union control control = { .bytes = { 0 } };
	struct msghdr h = { .msg_iov = (struct iovec *)v, .msg_iovlen = (size_t)count, .msg_control = &control };
	ssize_t r;
	(void)loop;
	if (m->peer.len) {
		h.msg_name = (void *)(uintptr_t)&m->peer.any;
		h.msg_namelen = m->peer.len;
	}
	if (m->peer.len && m->local.len)
		put_local(&h, m);
	if (m->segment)
		put_control(&h, SOL_UDP, UDP_SEGMENT, &m->segment, sizeof m->segment);
	do
		r = sendmsg(io->fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (r < 0 && errno == EINTR);
	return r >= 0 ? RF_OK : code_of(io->fd, errno);
}
