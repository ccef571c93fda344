/* tests/traffic/flood: requests from many source addresses of 127.0.0.0/8, in the shape of a known attack.
 *
 * usage: flood PORT HOST SHAPE SOURCES RATE [SLOTS]
 *
 *   cookie  a GET of 121 bytes whose Cookie is fixed, and nothing else odd
 *   body    GET or POST, Content-Length: 800000, a body that begins with a[]=&b[]= and whose parameters vary; the rest never comes
 *
 * Each of SOURCES addresses sends one request, RATE of them a second where the edge keeps up and SLOTS are enough. One that is not answered
 * within WAIT_MS of its sending is given up. At its end it says, in one line of JSON, what became of the requests by tenths of a second of
 * their sending.
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

enum { SLOTS_MAX = 8192, WAIT_MS = 2000, CONNECT_MS = 10000, TENTHS = 1200, REQUEST = 1024, FIRST = 127 << 24 | 16 << 16 };

struct slot {
	int fd; /* -1: free */
	unsigned n;
	uint64_t since, sent; /* sent: 0: not yet */
};

static struct slot slots[SLOTS_MAX];
static unsigned passed[TENTHS], stopped[TENTHS], failed, unanswered;
static const char *host;
static int body;
static uint64_t start;

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
		"Content-Length: 800000\r\nConnection: close\r\n\r\n%c[]=&%c[]=%u&", n % 3 ? "GET" : "POST", n * 2654435761u, host, 'a' + n % 26,
		'a' + n / 26 % 26, n);
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

static void begin(int ep, struct slot *s, unsigned n, uint16_t port)
{
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(FIRST + n) };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = s };
	*s = (struct slot){ socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), n, now_ms(), 0 };
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&from, sizeof from) ||
	    (connect(s->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) || epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &ev)) {
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
		s->sent = now_ms();
	}
	ssize_t got = recv(s->fd, buf, sizeof buf, 0);
	if (got > 12)
		end(s, memcmp(buf + 9, "403", 3) == 0 ? stopped : passed);
	else if (got >= 0 || errno != EAGAIN)
		end(s, &failed);
}

static void report(void)
{
	unsigned last = TENTHS;
	while (last && !passed[last - 1] && !stopped[last - 1])
		last--;
	printf("{\"failed\": %u, \"unanswered\": %u, \"passed\": [", failed, unanswered);
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
	if (argc < 6)
		return 2;
	uint16_t port = (uint16_t)atoi(argv[1]);
	host = argv[2];
	body = strcmp(argv[3], "body") == 0;
	unsigned sources = (unsigned)atoi(argv[4]), rate = (unsigned)atoi(argv[5]), busy = 0, next = 0;
	unsigned count = argc > 6 ? (unsigned)atoi(argv[6]) : 1024;
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
			if (s->fd >= 0 && (s->sent ? now > s->sent + WAIT_MS : now > s->since + CONNECT_MS))
				end(s, s->sent ? &unanswered : &failed);
			if (s->fd < 0 && next < sources && next < (now - start + 1) * rate / 1000)
				begin(ep, s, next++, port);
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
