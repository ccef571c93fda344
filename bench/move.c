/* bench/move: what it costs to move bytes from one TCP socket to another: by copying, by splicing, in the kernel by a map of sockets.
 *
 *	bench-move copy|splice|sockmap|direct small|bulk CONNECTIONS UNITS
 *
 * A relay that does nothing else, in a process of its own, between clients and origins in this one, all on 127.0.0.1; direct: none, what they cost themselves. small: UNITS rounds, in
 * each a message of 64 bytes on every connection and its answer. bulk: UNITS MiB one way on one connection. The answer is a line of
 * JSON: seconds a unit (a message with its answer, or a MiB), and seconds of processors that it took: of clients and origins, of the
 * relay, and of the threads of the kernel (of the whole machine: best where nothing else runs).
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <netinet/tcp.h>
#include <unistd.h>
#include "bench/move.skel.h"
#include "bench/program.h"

enum { CONNECTIONS_MAX = 128, MESSAGE = 64, PIECE = 16384, PIPE = 256 * 1024 };

static struct { int client, front, back, origin; } pair[CONNECTIONS_MAX];
static int count, pipes[2 * CONNECTIONS_MAX][2];
static char room[1 << 20];

/* Seconds of processors that threads of the kernel have had, which move what is redirected: whose name begins so. */
static double kernel_threads(void)
{
	static const char *const names[] = { "kworker", "ksoftirqd" };
	double sum = 0;
	DIR *d = opendir("/proc");
	for (struct dirent *e; d && (e = readdir(d));) {
		char path[300], name[32] = "";
		unsigned long long ns = 0;
		snprintf(path, sizeof path, "/proc/%s/comm", e->d_name);
		FILE *f = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? fopen(path, "r") : NULL;
		if (!f || !fgets(name, sizeof name, f))
			name[0] = 0;
		if (f)
			fclose(f);
		if (strncmp(name, names[0], strlen(names[0])) != 0 && strncmp(name, names[1], strlen(names[1])) != 0)
			continue;
		snprintf(path, sizeof path, "/proc/%s/schedstat", e->d_name);
		f = fopen(path, "r");
		if (f && fscanf(f, "%llu", &ns) == 1)
			sum += (double)ns * 1e-9;
		if (f)
			fclose(f);
	}
	closedir(d);
	return sum;
}

static double seconds_of(clockid_t clock)
{
	struct timespec t = { 0 };
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Seconds of processors: of this process, of the relay, of the kernel's threads. */
static double spent(pid_t relay)
{
	clockid_t clock;
	struct rusage gone; /* the sender of bulk */
	getrusage(RUSAGE_CHILDREN, &gone);
	double sum = seconds_of(CLOCK_PROCESS_CPUTIME_ID) + kernel_threads() + (double)(gone.ru_utime.tv_sec + gone.ru_stime.tv_sec) +
		(double)(gone.ru_utime.tv_usec + gone.ru_stime.tv_usec) * 1e-6;
	return sum + (relay > 0 && !clock_getcpuclockid(relay, &clock) ? seconds_of(clock) : 0);
}

/* --- sockets --- */

static void connected(int listener, int *near, int *far)
{
	struct sockaddr_in at;
	socklen_t n = sizeof at;
	*near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (getsockname(listener, (struct sockaddr *)&at, &n) || connect(*near, (struct sockaddr *)&at, n) || (*far = accept(listener, NULL, NULL)) < 0)
		die("a connection", strerror(errno));
	setsockopt(*near, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	setsockopt(*far, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
}

static void make_pairs(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, CONNECTIONS_MAX))
		die("a listener", strerror(errno));
	for (int i = 0; i < count; i++) {
		connected(listener, &pair[i].client, &pair[i].front);
		connected(listener, &pair[i].back, &pair[i].origin);
	}
	close(listener);
}

/* --- the relay --- */

static void wait_for(int to)
{
	poll(&(struct pollfd){ .fd = to, .events = POLLOUT }, 1, -1);
}

/* Take all that is there. False: nothing more comes. */
static bool copy(int from, int to)
{
	ssize_t n;
	while ((n = recv(from, room, PIECE, 0)) > 0)
		for (ssize_t at = 0; at < n;) {
			ssize_t w = send(to, room + at, (size_t)(n - at), 0);
			if (w < 0 && errno != EAGAIN)
				die("a send", strerror(errno));
			if (w < 0)
				wait_for(to);
			at += w > 0 ? w : 0;
			if (n < PIECE && at == n)
				return true;
		}
	return n < 0;
}

static bool spliced(int from, int to, const int tube[2])
{
	ssize_t n;
	while ((n = splice(from, NULL, tube[1], NULL, PIPE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)) > 0)
		for (ssize_t left = n; left;) {
			ssize_t w = splice(tube[0], NULL, to, NULL, (size_t)left, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
			if (w < 0 && errno != EAGAIN)
				die("a splice", strerror(errno));
			if (w < 0)
				wait_for(to);
			left -= w > 0 ? w : 0;
		}
	return n < 0;
}

static void relay(bool by_splice)
{
	int poller = epoll_create1(EPOLL_CLOEXEC), left = 2 * count;
	for (int i = 0; i < 2 * count; i++) {
		struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.u32 = (uint32_t)i };
		if (pipe2(pipes[i], O_CLOEXEC) || epoll_ctl(poller, EPOLL_CTL_ADD, i & 1 ? pair[i / 2].back : pair[i / 2].front, &e))
			die("the relay", strerror(errno));
		fcntl(pipes[i][1], F_SETPIPE_SZ, PIPE);
		fcntl(i & 1 ? pair[i / 2].back : pair[i / 2].front, F_SETFL, O_NONBLOCK);
	}
	while (left) {
		struct epoll_event got[64];
		int n = epoll_wait(poller, got, 64, -1);
		for (int k = 0; k < n; k++) {
			unsigned i = got[k].data.u32;
			int from = i & 1 ? pair[i / 2].back : pair[i / 2].front, to = i & 1 ? pair[i / 2].front : pair[i / 2].back;
			left -= by_splice ? !spliced(from, to, pipes[i]) : !copy(from, to);
		}
	}
}

static uint64_t key_of(int fd)
{
	struct sockaddr_in here, there;
	socklen_t n = sizeof here;
	if (getsockname(fd, (struct sockaddr *)&here, &n) || getpeername(fd, (struct sockaddr *)&there, &n))
		die("a socket", strerror(errno));
	return (uint64_t)ntohs(here.sin_port) << 32 | ntohs(there.sin_port);
}

/* Each socket's bytes go to the place of its partner. */
static void join_in_the_kernel(void)
{
	struct rf_bench_move *m = rf_bench_move__open_and_load();
	if (!m)
		die("the program", strerror(errno));
	int map = bpf_map__fd(m->maps.sockets), partners = bpf_map__fd(m->maps.partners);
	for (int i = 0; i < 2 * count; i++) {
		int fd = i & 1 ? pair[i / 2].back : pair[i / 2].front;
		uint64_t key = key_of(fd), value = (uint64_t)fd;
		uint32_t place = (uint32_t)i, other = place ^ 1;
		if (bpf_map_update_elem(partners, &key, &other, BPF_ANY))
			die("a partner", strerror(errno));
		if (i == 0 && bpf_prog_attach(bpf_program__fd(m->progs.move), map, BPF_SK_SKB_STREAM_VERDICT, 0))
			die("the program", strerror(errno));
		if (bpf_map_update_elem(map, &place, &value, BPF_ANY))
			die("a socket in the map", strerror(errno));
	}
}

/* --- the load --- */

static void take(int fd, size_t n)
{
	while (n) {
		ssize_t r = recv(fd, room, n < sizeof room ? n : sizeof room, 0);
		if (r <= 0)
			die("a receive", r ? strerror(errno) : "ended");
		n -= (size_t)r;
	}
}

static void give(int fd, size_t n)
{
	while (n) {
		ssize_t w = send(fd, room, n < sizeof room ? n : sizeof room, 0);
		if (w < 0)
			die("a send", strerror(errno));
		n -= (size_t)w;
	}
}

static void small(int rounds)
{
	for (int k = 0; k < rounds; k++) {
		for (int i = 0; i < count; i++)
			give(pair[i].client, MESSAGE);
		for (int i = 0; i < count; i++) {
			take(pair[i].origin, MESSAGE);
			give(pair[i].origin, MESSAGE);
		}
		for (int i = 0; i < count; i++)
			take(pair[i].client, MESSAGE);
	}
}

static void bulk(int mib)
{
	pid_t sender = fork();
	if (!sender) {
		for (int k = 0; k < mib; k++)
			for (int i = 0; i < count; i++)
				give(pair[i].client, 1 << 20);
		_exit(0);
	}
	for (int k = 0; k < mib; k++)
		for (int i = 0; i < count; i++)
			take(pair[i].origin, 1 << 20);
	waitpid(sender, NULL, 0);
}

int main(int argc, char **argv)
{
	static const char *const ways[] = { "copy", "splice", "sockmap", "direct" };
	int way = 0, units = argc == 5 ? atoi(argv[4]) : 0;
	count = argc == 5 ? atoi(argv[3]) : 0;
	while (way < 4 && argc == 5 && strcmp(argv[1], ways[way]) != 0)
		way++;
	if (argc != 5 || way == 4 || count < 1 || count > CONNECTIONS_MAX || units < 1 || (argv[2][0] == 'b' && count > 1))
		die("usage", "bench-move copy|splice|sockmap|direct small|bulk CONNECTIONS UNITS");
	make_pairs();
	pid_t child = way < 2 ? fork() : -1;
	if (way == 2)
		join_in_the_kernel();
	for (int i = 0; i < count && way == 3; i++)
		pair[i].origin = pair[i].front;
	if (!child) {
		relay(way == 1);
		_exit(0);
	}
	void (*load)(int) = strcmp(argv[2], "bulk") == 0 ? bulk : small;
	load(1 + units / 20);
	uint64_t began = now();
	double before = spent(child);
	load(units);
	double n = (double)units * count;
	printf("{\"seconds\": %.9f, \"cpu\": %.9f}\n", (double)(now() - began) * 1e-9 / n, (spent(child) - before) / n);
	if (child > 0)
		kill(child, SIGKILL);
	return 0;
}
