/* net/listener: accepting connections in batches, and opening listening sockets.
 *
 * An edge, the end of a rest or an unfinished batch -> accept_some, which calls on_accept for
 * each connection until the queue is empty, the batch is full (it goes on by a task, so that
 * connections in service have their turn), or descriptors are exhausted (a rest).
 *
 * Invariants: whenever accepting stops with connections possibly waiting, something will start
 * it again: the task or the timer.
 */
#include "net/listener.h"
#include "records/counters.h"
#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "net/addr.h"

enum { BATCH = 16 /* a turn: each costs a TLS state, and requests under way wait meanwhile */, BACKLOG = 4096 };

static void rest(struct rf_listener *l, int why)
{
	l->resting = true;
	l->exhausted++;
	rf_count(RF_C_ACCEPT_PAUSED);
	if (why == RF_E_FULL)
		rf_count(RF_C_LIMIT_DESCRIPTORS);
	rf_timer_set(l->loop, &l->rest, rf_loop_now(l->loop) + RF_LISTENER_REST_NS);
}

static void accept_some(struct rf_listener *l)
{
	for (int i = 0; i < BATCH; i++) {
		if (l->resting || l->io.fd < 0)
			return;
		struct rf_io io;
		struct rf_addr peer;
		int r = rf_io_accept(l->loop, &l->io, &io, &peer);
		if (r == RF_OK) {
			l->accepted++;
			l->on_accept(l, io.fd, &peer);
		} else if (r == RF_E_AGAIN) {
			return;
		} else if (r == RF_E_RESET) {
			l->aborted++;
		} else {
			rest(l, r);
		}
	}
	if (l->io.fd >= 0)
		rf_loop_defer(l->loop, &l->more);
}

static void ready(struct rf_io *io, unsigned events)
{
	(void)events;
	accept_some(RF_CONTAINER(io, struct rf_listener, io));
}

static void more(struct rf_task *t)
{
	accept_some(RF_CONTAINER(t, struct rf_listener, more));
}

static void rested(struct rf_timer *t)
{
	struct rf_listener *l = RF_CONTAINER(t, struct rf_listener, rest);
	l->resting = false;
	accept_some(l);
}

int rf_listener_adopt(struct rf_listener *l, struct rf_loop *loop, int fd,
		      void (*on_accept)(struct rf_listener *l, int fd, const struct rf_addr *peer))
{
	*l = (struct rf_listener){ .io = { .fd = fd, .ready = ready, .shared = true }, .loop = loop,
				   .on_accept = on_accept, .rest.fire = rested, .more.run = more };
	/* Inherited by what it accepts, which saves a call each; refused by Unix sockets. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	int r = rf_loop_add(loop, &l->io);
	if (r)
		rf_loop_close(loop, &l->io);
	return r;
}

void rf_listener_close(struct rf_listener *l)
{
	if (l->io.fd < 0 || !l->loop)
		return;
	rf_timer_stop(l->loop, &l->rest);
	rf_task_cancel(&l->more);
	rf_loop_close(l->loop, &l->io);
}

/* Choose the socket of a group by the source address: a multiplicative hash of the address, modulo count.
 * Absent or unknown headers give socket 0; the kernel falls back to its own hash past the end of the group. */
int rf_listener_spread(int fd, unsigned count)
{
#define LOAD_NET(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_NET_OFF + (offset)))
#define MIX_INTO_X BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0), BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 0x9e3779b1), \
		   BPF_STMT(BPF_MISC | BPF_TAX, 0)
	struct sock_filter code[] = {
		BPF_STMT(BPF_LDX | BPF_IMM, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x86dd, 0, 14), /* not IPv6: to the load of IPv4's source */
		LOAD_NET(8), MIX_INTO_X,
		LOAD_NET(12), MIX_INTO_X,
		LOAD_NET(16), MIX_INTO_X,
		LOAD_NET(20),
		BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
		LOAD_NET(12),
		MIX_INTO_X,
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 16), /* the upper bits are the well mixed ones */
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog program = { .len = sizeof code / sizeof *code, .filter = code };
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
#undef LOAD_NET
#undef MIX_INTO_X
}

/* Remove the socket file of a server that is gone; one that somebody listens on stays, and bind fails. */
static void remove_stale(const struct rf_addr *at)
{
	const char *path = ((const struct sockaddr_un *)&at->any)->sun_path;
	struct stat st;
	int fd = lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
	if (fd < 0)
		return;
	if (connect(fd, &at->sa, at->len) < 0 && errno == ECONNREFUSED)
		unlink(path);
	close(fd);
}

static int prepare(int fd, const struct rf_addr *at, bool group)
{
	int on = 1, off = 0;
	if (at->sa.sa_family == AF_UNIX)
		return fchmod(fd, 0600); /* what bind gives the file, less the umask */
	if (at->sa.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0)
		return -1;
	if (group && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0)
		return -1;
	return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
}

/* A listening descriptor, or -1 with errno. */
static int open_one(const struct rf_addr *at, bool group)
{
	int fd = socket(at->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (prepare(fd, at, group) == 0 && bind(fd, &at->sa, at->len) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	int err = errno;
	close(fd);
	errno = err;
	return -1;
}

static const char *advice(int err)
{
	switch (err) {
	case EADDRINUSE:
		return "; another program listens there: stop it or choose another port";
	case EACCES:
		return "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
	case EADDRNOTAVAIL:
		return "; this machine does not have that address";
	default:
		return "";
	}
}

int rf_listener_open_group(const struct rf_addr *at, int count, int *ret_fds, struct rf_err *e)
{
	char text[RF_ADDR_TEXT];
	struct rf_addr here = *at;
	bool local = at->sa.sa_family == AF_UNIX;
	if (!at->len || count < 1 || (local && count != 1))
		return rf_fail(e, RF_E_INVALID, "cannot open %d listeners on %s", count, rf_addr_str(at, text));
	if (local)
		remove_stale(at);
	int n = 0;
	for (; n < count; n++) {
		ret_fds[n] = open_one(&here, count > 1);
		if (ret_fds[n] < 0)
			break;
		if (!n && !local)
			here = rf_listener_addr(ret_fds[0]);
	}
	if (n == count && (count == 1 || rf_listener_spread(ret_fds[0], (unsigned)count) == 0))
		return RF_OK;
	int err = errno;
	while (n--)
		close(ret_fds[n]);
	return rf_fail(e, RF_E_IO, "cannot listen on %s: %s%s", rf_addr_str(at, text), strerror(err), advice(err));
}

struct rf_addr rf_listener_addr(int fd)
{
	struct rf_addr a = { .len = sizeof a.any };
	if (getsockname(fd, &a.sa, &a.len) < 0)
		a.len = 0;
	return a;
}
