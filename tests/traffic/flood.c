/* tests/traffic/flood: requests from many source addresses, in the shape of a known attack.
 *
 * usage: flood TARGET PORT HOST SHAPE FIRST SOURCES RATE [SLOTS]
 *
 *   cookie  a GET of 121 bytes whose Cookie is fixed, and nothing else odd
 *   body    GET or POST with Content-Length: 800000 and a body of that length: a[]=&b[]= and so on, with names and values that vary
 *
 * Each of SOURCES addresses from FIRST on, which must be local here, sends one request, RATE of them a second where the edge keeps up and
 * SLOTS are enough. A body is sent until it is whole or there is an answer. One with which nothing goes on for WAIT_MS is given up. At its
 * end it says, in one line of JSON, what became of the requests by tenths of a second of their sending, and how much of bodies was sent.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS_MAX = 8192, WAIT_MS = 2000, CONNECT_MS = 10000, TENTHS = 1200, REQUEST = 1024, LENGTH = 800000, PART = 65536 };

struct slot {
	int fd; /* -1: free */
	unsigned n, body; /* of the body: sent */
	uint64_t since, sent, moved; /* sent: 0: not yet */
};

static struct slot slots[SLOTS_MAX];
static unsigned passed[TENTHS], stopped[TENTHS], failed, unanswered, whole;
static const char *host;
static struct sockaddr_in target;
static uint32_t first;
static int body;
static uint64_t start, body_bytes;

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int request(unsigned n, char *to)
{
	if (!body) {
		int len = snprintf(to, REQUEST, "GET / HTTP/1.1\r\nHost: %s\r\nUser-Agent: Mozilla/5.0\r\nCookie: ", host);
		while (len < 117)
			to[len++] = 'c';
		return len + snprintf(to + len, REQUEST - (size_t)len, "\r\n\r\n");
	}
	return snprintf(to, REQUEST, "%s /?p=%u HTTP/1.1\r\nHost: %s\r\nUser-Agent: Mozilla/5.0\r\nContent-Type: application/x-www-form-urlencoded\r\n"
		"Content-Length: %d\r\nConnection: close\r\n\r\n", n % 3 ? "GET" : "POST", n * 2654435761u, host, LENGTH);
}

/* The parameters of the n-th body; it repeats after PART bytes. */
static const char *parameters(unsigned n)
{
	enum { KINDS = 26 };
	static char text[KINDS][PART + 32];
	char *to = text[n % KINDS];
	for (unsigned i = 0, at = *to ? PART : 0; at < PART; i++)
		at += (unsigned)sprintf(to + at, "%c[]=%s&", 'a' + (n + i) % 26, i % 3 ? "" : "1");
	return to;
}

/* As much of the body as it takes now. -1: it takes no more. */
static int pour(struct slot *s)
{
	while (body && s->body < LENGTH) {
		unsigned at = s->body % PART, n = PART - at < LENGTH - s->body ? PART - at : LENGTH - s->body;
		ssize_t sent = send(s->fd, parameters(s->n) + at, n, MSG_NOSIGNAL);
		if (sent < 0)
			return errno == EAGAIN ? 0 : -1;
		s->moved = now_ms();
		s->body += (unsigned)sent;
		body_bytes += (uint64_t)sent;
		whole += s->body == LENGTH;
	}
	return 0;
}

static void end(struct slot *s, unsigned *count)
{
	struct linger none = { 1, 0 };
	uint64_t tenth = ((s->sent ? s->sent : s->since) - start) / 100;
	setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
	close(s->fd);
	s->fd = -1;
	if (count == &failed || count == &unanswered)
		++*count;
	else if (tenth < TENTHS)
		count[tenth]++;
}

static void begin(int ep, struct slot *s, unsigned n)
{
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(first + n) };
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = s };
	*s = (struct slot){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), .n = n, .since = now_ms() };
	int room = PART / 4; /* of what the edge did not read yet, or a body is whole at once */
	if (s->fd < 0 || setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room) || bind(s->fd, (struct sockaddr *)&from, sizeof from) ||
	    (connect(s->fd, (struct sockaddr *)&target, sizeof target) && errno != EINPROGRESS) || epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &ev)) {
		if (s->fd < 0)
			failed++;
		else
			end(s, &failed);
		s->fd = -1;
	}
}

static void go_on(struct slot *s, unsigned events)
{
	char buf[REQUEST];
	if (!s->sent && events & EPOLLOUT) {
		int n = request(s->n, buf);
		if (send(s->fd, buf, (size_t)n, MSG_NOSIGNAL) != n) {
			end(s, &failed);
			return;
		}
		s->sent = s->moved = now_ms();
	}
	int more = s->sent ? pour(s) : 0;
	ssize_t got = recv(s->fd, buf, sizeof buf, 0);
	if (got > 12)
		end(s, memcmp(buf + 9, "403", 3) == 0 ? stopped : passed);
	else if (got >= 0 || errno != EAGAIN || more)
		end(s, &failed);
}

static void report(void)
{
	unsigned last = TENTHS;
	while (last && !passed[last - 1] && !stopped[last - 1])
		last--;
	printf("{\"failed\": %u, \"unanswered\": %u, \"whole\": %u, \"body_bytes\": %llu, \"passed\": [", failed, unanswered, whole,
	       (unsigned long long)body_bytes);
	for (unsigned i = 0; i < last; i++)
		printf("%s%u", i ? "," : "", passed[i]);
	printf("], \"stopped\": [");
	for (unsigned i = 0; i < last; i++)
		printf("%s%u", i ? "," : "", stopped[i]);
	printf("]}\n");
}

int main(int argc, char **argv)
{
	struct epoll_event ev[256];
	struct in_addr from;
	if (argc < 8 || !inet_aton(argv[1], &target.sin_addr) || !inet_aton(argv[5], &from))
		return 2;
	target.sin_family = AF_INET;
	target.sin_port = htons((uint16_t)atoi(argv[2]));
	first = ntohl(from.s_addr);
	host = argv[3];
	body = strcmp(argv[4], "body") == 0;
	unsigned sources = (unsigned)atoi(argv[6]), rate = (unsigned)atoi(argv[7]), busy = 0, next = 0;
	unsigned count = argc > 8 ? (unsigned)atoi(argv[8]) : 1024;
	int ep = epoll_create1(0);
	count = count > SLOTS_MAX ? SLOTS_MAX : count;
	for (unsigned i = 0; i < SLOTS_MAX; i++)
		slots[i].fd = -1;
	start = now_ms();
	while (next < sources || busy) {
		uint64_t now = now_ms();
		busy = 0;
		for (unsigned i = 0; i < count; i++) {
			struct slot *s = &slots[i];
			if (s->fd >= 0 && (s->sent ? now > s->moved + WAIT_MS : now > s->since + CONNECT_MS))
				end(s, s->sent ? &unanswered : &failed);
			if (s->fd < 0 && next < sources && next < (now - start + 1) * rate / 1000)
				begin(ep, s, next++);
			busy += s->fd >= 0;
		}
		int n = epoll_wait(ep, ev, 256, 1);
		for (int i = 0; i < n; i++)
			if (((struct slot *)ev[i].data.ptr)->fd >= 0)
				go_on(ev[i].data.ptr, ev[i].events);
	}
	report();
	return 0;
}
