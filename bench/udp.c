/* bench/udp: datagrams through a relay: the origin that sends them back, and the devices that check each one.
 *
 * usage: bench-udp echo PORT               the origin, on 127.0.0.1; prints "ready"
 *        bench-udp load PORT SESSIONS      devices, each with a socket of its own; commands on standard input:
 *             ask N SIZE                   N datagrams, one under way a session; each must come back as it was
 *             churn N SIZE                 the same, each from a new socket
 *             bulk N SIZE                  N datagrams in bursts of 32, from one session
 *
 * A command is answered by a line of JSON: units, bad, seconds, error. A datagram that is not back within a second is bad.
 */
#include <arpa/inet.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, LONGEST = 1472, SESSIONS_MAX = 15000, BURST = 32, LATE_MS = 1000 };

static struct sockaddr_in server;
static int devices[SESSIONS_MAX], count, poller;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- the origin --- */

static void echo(void)
{
	static char room[BATCH][65536];
	static struct sockaddr_in from[BATCH];
	static char control[BATCH][CMSG_SPACE(sizeof(int))];
	struct mmsghdr m[BATCH];
	struct iovec v[BATCH];
	int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
	if (fd < 0 || bind(fd, (struct sockaddr *)&server, sizeof server))
		die("bind");
	setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int){ 8 << 20 }, sizeof(int));
	puts("ready");
	fflush(stdout);
	for (;;) {
		for (int i = 0; i < BATCH; i++) {
			v[i] = (struct iovec){ room[i], sizeof room[i] };
			m[i].msg_hdr = (struct msghdr){ .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &v[i], .msg_iovlen = 1,
							.msg_control = control[i], .msg_controllen = sizeof control[i] };
		}
		int n = recvmmsg(fd, m, BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < n; i++) { /* what came as segments goes back as segments */
			struct cmsghdr *c = CMSG_FIRSTHDR(&m[i].msg_hdr);
			v[i].iov_len = m[i].msg_len;
			if (c)
				c->cmsg_type = UDP_SEGMENT, c->cmsg_len = CMSG_LEN(sizeof(uint16_t)), m[i].msg_hdr.msg_controllen = CMSG_SPACE(sizeof(uint16_t));
		}
		for (int at = 0, sent; at < n; at += sent > 0 ? sent : 1)
			sent = sendmmsg(fd, m + at, (unsigned)(n - at), 0);
	}
}

/* --- the devices --- */

static int device(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server))
		die("connect");
	return fd;
}

static void fill(char *to, size_t size, uint64_t number)
{
	for (size_t i = 0; i < size; i += sizeof number)
		memcpy(to + i, &number, size - i < sizeof number ? size - i : sizeof number);
}

/* Is the datagram `number` back at fd, as it was? Waits at most LATE_MS. */
static bool back(int fd, size_t size, uint64_t number)
{
	char want[LONGEST], got[LONGEST + 1];
	struct pollfd p = { fd, POLLIN, 0 };
	fill(want, size, number);
	for (;;) {
		ssize_t n = recv(fd, got, sizeof got, 0);
		if (n >= 0)
			return (size_t)n == size && memcmp(got, want, size) == 0;
		if (poll(&p, 1, LATE_MS) <= 0)
			return false;
	}
}

static void put(int fd, size_t size, uint64_t number)
{
	char out[LONGEST];
	fill(out, size, number);
	if (send(fd, out, size, 0) < 0)
		die("send");
}

/* All sessions have one under way; whichever is back goes out again. */
static uint64_t ask(uint64_t n, size_t size)
{
	static uint64_t number[SESSIONS_MAX];
	struct epoll_event e[BATCH];
	uint64_t sent = 0, done = 0, bad = 0;
	for (int i = 0; i < count && sent < n; i++)
		put(devices[i], size, number[i] = sent++);
	while (done < n) {
		int k = epoll_wait(poller, e, BATCH, LATE_MS);
		if (k <= 0)
			return bad + n - done;
		for (int j = 0; j < k; j++) {
			uint32_t i = e[j].data.u32;
			bad += !back(devices[i], size, number[i]);
			done++;
			if (sent < n)
				put(devices[i], size, number[i] = sent++);
		}
	}
	return bad;
}

static uint64_t churn(uint64_t n, size_t size)
{
	uint64_t bad = 0;
	for (uint64_t i = 0; i < n; i++) {
		int fd = device();
		put(fd, size, i);
		bad += !back(fd, size, i);
		close(fd);
	}
	return bad;
}

/* Bursts leave by one call, as a device with much to say would send them. */
static uint64_t bulk(uint64_t n, size_t size)
{
	static char out[BURST * LONGEST];
	uint64_t bad = 0;
	if (setsockopt(devices[0], SOL_UDP, UDP_SEGMENT, &(int){ (int)size }, sizeof(int)))
		die("UDP_SEGMENT");
	for (uint64_t i = 0; i < n;) {
		uint64_t burst = n - i < BURST ? n - i : BURST;
		for (uint64_t k = 0; k < burst; k++)
			fill(out + k * size, size, i + k);
		if (send(devices[0], out, burst * size, 0) < 0)
			die("send");
		for (uint64_t k = 0; k < burst; k++)
			bad += !back(devices[0], size, i + k);
		i += burst;
	}
	setsockopt(devices[0], SOL_UDP, UDP_SEGMENT, &(int){ 0 }, sizeof(int));
	return bad;
}

static void obey(const char *line)
{
	char what[8];
	unsigned long long n;
	size_t size;
	uint64_t (*run)(uint64_t n, size_t size) = NULL;
	if (sscanf(line, "%7s %llu %zu", what, &n, &size) == 3 && size && size <= LONGEST)
		run = !strcmp(what, "ask") ? ask : !strcmp(what, "churn") ? churn : !strcmp(what, "bulk") && size * BURST < 65000 ? bulk : NULL;
	double start = now();
	uint64_t bad = run ? run(n, size) : 1;
	printf("{\"units\": %llu, \"bad\": %llu, \"seconds\": %.6f, \"error\": \"%s\"}\n", run ? n : 0, (unsigned long long)bad, now() - start,
	       !run ? "no such command" : bad ? "not back as it was" : "");
	fflush(stdout);
}

static void load(void)
{
	char line[256];
	poller = epoll_create1(0);
	for (int i = 0; i < count; i++) {
		devices[i] = device();
		if (epoll_ctl(poller, EPOLL_CTL_ADD, devices[i], &(struct epoll_event){ .events = EPOLLIN, .data.u32 = (uint32_t)i }))
			die("epoll_ctl");
	}
	while (fgets(line, sizeof line, stdin))
		obey(line);
}

int main(int argc, char **argv)
{
	int port = argc > 2 ? atoi(argv[2]) : 0;
	count = argc > 3 ? atoi(argv[3]) : 1;
	server = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (argc > 2 && !strcmp(argv[1], "echo"))
		echo();
	else if (argc > 3 && !strcmp(argv[1], "load") && count > 0 && count <= SESSIONS_MAX)
		load();
	else
		fprintf(stderr, "usage: bench-udp echo PORT | load PORT SESSIONS\n");
	return argc < 3;
}
