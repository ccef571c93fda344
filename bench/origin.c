/* bench/origin: the origin behind every server of the benchmark.
 *
 * usage: origin PORT [bodies]
 *
 * One epoll loop on 127.0.0.1. A request is a head that ends in an empty line; the answer is 200 with a
 * fixed body of 128 bytes that bench/load checks, or for BULK_PATH one of BULK_LEN bytes. Keeps connections alive, unless the request is HTTP/1.0
 * or says `Connection: close`. Prints "ready" when it listens.
 *
 * With `bodies` it reads a request's body by Content-Length before it answers; without, there are none.
 *
 * Not here: chunked bodies, pipelines longer than one buffer, errors of HTTP. The servers under test are
 * the only clients.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "body.h"

#define MAX_FD 20000
#define HEAD_MAX 4096
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 128\r\n\r\n" BODY

struct peer {
	size_t have, owed; /* bytes of a request; of a bulk body */
	size_t left;       /* bytes of its body still to come */
	bool last;         /* its answer ends the connection */
	char in[HEAD_MAX + 1];
};

static struct peer *peers[MAX_FD];
static bool bodies;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int listen_on(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 4096))
		die("listen");
	return fd;
}

static void drop(int fd)
{
	free(peers[fd]);
	peers[fd] = NULL;
	close(fd);
}

static void accept_all(int ep, int lfd)
{
	int fd, on = 1;
	while ((fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (fd >= MAX_FD || !(peers[fd] = calloc(1, sizeof(struct peer)))) {
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		epoll_ctl(ep, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = fd});
	}
}

/* As much of a bulk body as fits. False when the connection has broken. */
static bool pour(int fd, struct peer *p)
{
	static char x[1 << 16];
	if (!x[0])
		memset(x, 'x', sizeof(x));
	while (p->owed) {
		ssize_t n = write(fd, x, p->owed < sizeof(x) ? p->owed : sizeof(x));
		if (n < 0)
			return errno == EAGAIN;
		p->owed -= n;
	}
	return true;
}

static bool begin_bulk(int fd, struct peer *p)
{
	char head[128];
	int n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BULK_LEN);
	if (write(fd, head, n) != n)
		return false;
	p->owed = BULK_LEN;
	return pour(fd, p);
}

static size_t length_of(const char *head)
{
	const char *at = bodies ? strcasestr(head, "\r\ncontent-length:") : NULL;
	return at ? strtoul(at + sizeof("\r\ncontent-length:") - 1, NULL, 10) : 0;
}

/* A head, whose end was cut off. False when the connection shall end, but for a body that comes first. */
static bool begin(int fd, struct peer *p, const char *head)
{
	bool bulk = !strncmp(head, "GET " BULK_PATH " ", sizeof("GET " BULK_PATH " ") - 1);
	p->last = strstr(head, " HTTP/1.0") || strcasestr(head, "\r\nconnection: close");
	p->left = length_of(head);
	if (p->left)
		return true;
	if (bulk ? !begin_bulk(fd, p) : write(fd, ANSWER, sizeof(ANSWER) - 1) != (ssize_t)sizeof(ANSWER) - 1)
		return false;
	return !p->last;
}

/* As much of the body as is there. False when the connection shall end. */
static bool take_body(int fd, struct peer *p, char **at)
{
	size_t there = p->have - (size_t)(*at - p->in), n = p->left < there ? p->left : there;
	bool whole = p->left && n == p->left;
	*at += n;
	p->left -= n;
	return !whole || (write(fd, ANSWER, sizeof(ANSWER) - 1) == (ssize_t)sizeof(ANSWER) - 1 && !p->last);
}

/* Answer each whole request in the buffer. False when the connection shall end. */
static bool answer(int fd, struct peer *p)
{
	char *end, *at = p->in;
	p->in[p->have] = 0;
	while (take_body(fd, p, &at)) {
		if (p->left || !(end = strstr(at, "\r\n\r\n"))) {
			p->have -= at - p->in;
			memmove(p->in, at, p->have);
			return p->have < HEAD_MAX;
		}
		*end = 0;
		if (!begin(fd, p, at))
			return false;
		at = end + 4;
	}
	return false;
}

static void serve(int fd)
{
	struct peer *p = peers[fd];
	if (!pour(fd, p)) {
		drop(fd);
		return;
	}
	for (;;) {
		ssize_t n = read(fd, p->in + p->have, HEAD_MAX - p->have);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n > 0)
			p->have += n;
		if (n <= 0 || !answer(fd, p)) {
			drop(fd);
			return;
		}
	}
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return fprintf(stderr, "usage: origin PORT [bodies]\n"), 2;
	bodies = argc > 2;
	int lfd = listen_on(atoi(argv[1])), ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev[256];
	epoll_ctl(ep, EPOLL_CTL_ADD, lfd, &(struct epoll_event){.events = EPOLLIN, .data.fd = lfd});
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(ep, ev, 256, -1);
		for (int i = 0; i < n; i++) {
			if (ev[i].data.fd == lfd)
				accept_all(ep, lfd);
			else
				serve(ev[i].data.fd);
		}
	}
}
