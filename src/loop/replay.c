/* loop/replay: scripted sockets behind the interface of the loop, on virtual time.
 *
 * A descriptor is FD_BASE + the index of a struct rf_peer, which holds both directions of a connection (`in` to
 * our code, `out` from it) or the queue of a listener. What a script or our code does to it calls
 * edge(), which puts it in `ready`; the next wait reports its state then. When nothing is ready, a
 * wait moves the clock instead.
 *
 * Invariants: a peer is in `ready` or `batch` only while its io is added. Descriptors are never used
 * again, so that use after close is always noticed.
 */
#include <assert.h>
#include <stdlib.h>
#include <unistd.h>
#include "loop/replay_in.h"

struct rf_replay *replay_of(struct rf_loop *loop)
{
	return RF_CONTAINER(loop, struct rf_replay, loop);
}

struct rf_peer *replay_peer(struct rf_replay *r, int fd)
{
	assert(fd >= FD_BASE && (size_t)(fd - FD_BASE) < r->n);
	struct rf_peer *p = r->peers[fd - FD_BASE];
	assert(p->held); /* else our code uses a descriptor that it has closed */
	return p;
}

static unsigned state_of(const struct rf_peer *p)
{
	if (p->listener)
		return rf_list_empty(&p->queue) ? 0 : RF_IO_READ;
	if (p->connecting)
		return 0;
	if (p->datagrams)
		return replay_datagram_state(p);
	if (p->reset || (p->peer_fin && p->our_fin))
		return RF_IO_READ | RF_IO_WRITE | RF_IO_EOF | RF_IO_HUP;
	return (p->in.n || p->peer_fin ? RF_IO_READ : 0) | (p->out.n < p->window || p->our_fin ? RF_IO_WRITE : 0) |
	       (p->peer_fin ? RF_IO_EOF : 0);
}

void replay_edge(struct rf_peer *p)
{
	if (p->io && !rf_node_linked(&p->ready))
		rf_list_push(&p->r->ready, &p->ready);
}

static void space(struct rf_peer *p)
{
	if (p->full && p->out.n < p->window) {
		p->full = false;
		replay_edge(p);
	}
}

/* Count a call; true when it is the one to fail. */
bool replay_fails(struct rf_replay *r, struct rf_peer *p)
{
	if (++r->calls != r->fail_at)
		return false;
	if (p && r->fail_code == RF_E_AGAIN)
		replay_edge(p);
	else if (p && r->fail_code == RF_E_RESET)
		p->reset = true;
	return true;
}

struct rf_peer *replay_peer_new(struct rf_replay *r)
{
	struct rf_peer *p = calloc(1, sizeof *p);
	if (!(r->n & (r->n - 1))) /* at a power of two: double */
		r->peers = realloc(r->peers, (r->n ? 2 * r->n : 1) * sizeof *r->peers);
	if (!r->peers || !p)
		abort();
	p->r = r;
	p->index = (int)r->n;
	r->peers[r->n++] = p;
	p->window = WINDOW;
	rf_list_init(&p->queue);
	rf_list_init(&p->arrived);
	rf_list_init(&p->left);
	rf_list_init(&p->taken);
	return p;
}

int replay_fd(struct rf_peer *p)
{
	p->held = true;
	return FD_BASE + p->index;
}

/* What the loop asks for. */

static void wait(struct rf_loop *loop, uint64_t wait_ns)
{
	struct rf_replay *r = replay_of(loop);
	struct rf_node *node;
	bool tell = loop->hook && wait_ns;
	if (tell)
		loop->hook(loop->hook_arg, false);
	if (rf_list_empty(&r->ready) && wait_ns) {
		assert(wait_ns != UINT64_MAX); /* else it would wait for ever: nothing is left that could happen */
		r->mono += wait_ns;
	}
	if (tell)
		loop->hook(loop->hook_arg, true);
	loop->now = r->mono;
	while ((node = rf_list_first(&r->ready))) {
		rf_list_del(node);
		rf_list_push(&r->batch, node);
	}
	while ((node = rf_list_first(&r->batch))) {
		struct rf_peer *p = RF_CONTAINER(node, struct rf_peer, ready);
		rf_list_del(node);
		unsigned events = state_of(p);
		if (events)
			p->io->ready(p->io, events);
	}
}

static void wake(struct rf_loop *loop)
{
	(void)loop; /* a wait never blocks */
}

static uint64_t mono(struct rf_loop *loop)
{
	return replay_of(loop)->mono;
}

static int64_t wall(struct rf_loop *loop)
{
	return replay_of(loop)->wall + (int64_t)replay_of(loop)->mono;
}

static int add(struct rf_loop *loop, struct rf_io *io)
{
	struct rf_peer *p = replay_peer(replay_of(loop), io->fd);
	assert(!p->io);
	if (replay_fails(p->r, NULL))
		return RF_E_FULL;
	p->io = io;
	if (state_of(p))
		replay_edge(p);
	return RF_OK;
}

static void close_io(struct rf_loop *loop, struct rf_io *io)
{
	struct rf_peer *p = replay_peer(replay_of(loop), io->fd);
	struct rf_node *node;
	rf_list_del(&p->ready);
	rf_list_del(&p->waiting);
	p->io = NULL;
	p->held = false;
	p->our_fin = p->our_closed = true;
	while ((node = rf_list_first(&p->queue))) { /* nobody will accept these any more */
		rf_list_del(node);
		RF_CONTAINER(node, struct rf_peer, waiting)->our_closed = true;
	}
}

static ssize_t recv_io(struct rf_loop *loop, struct rf_io *io, void *to, size_t n)
{
	struct rf_peer *p = replay_peer(replay_of(loop), io->fd);
	assert(n && !p->listener);
	if (replay_fails(p->r, p))
		return p->r->fail_code;
	if (p->in.n) {
		n = n < p->in.n ? n : p->in.n;
		memcpy(to, p->in.p, n);
		rf_buf_eat(&p->in, n);
		return (ssize_t)n;
	}
	p->reset_told |= p->reset;
	return p->reset ? RF_E_RESET : p->peer_fin ? RF_E_EOF : RF_E_AGAIN;
}

/* Of a send: a reset is told once, and not as one where the peer had closed before [Linux, tcp_reset]. */
static int unsendable(struct rf_peer *p)
{
	if (p->our_fin || p->reset_told || (p->reset && p->peer_fin))
		return RF_E_PIPE;
	p->reset_told = p->reset;
	return p->reset ? RF_E_RESET : RF_OK;
}

static ssize_t send_io(struct rf_loop *loop, struct rf_io *io, const struct iovec *v, int count)
{
	struct rf_peer *p = replay_peer(replay_of(loop), io->fd);
	size_t room = p->out.n < p->window ? p->window - p->out.n : 0, sent = 0, all = 0;
	assert(!p->listener);
	if (replay_fails(p->r, p))
		return p->r->fail_code;
	int gone = unsendable(p);
	if (gone)
		return gone;
	for (int i = 0; i < count; i++)
		all += v[i].iov_len;
	assert(all);
	if (p->peer_gone) { /* gone: the bytes are lost, and the answer is a reset */
		p->reset = true;
		replay_edge(p);
		return (ssize_t)all;
	}
	for (int i = 0; i < count && sent < room && !p->connecting; i++) {
		size_t n = v[i].iov_len < room - sent ? v[i].iov_len : room - sent;
		rf_buf_add(&p->out, (struct rf_str){ v[i].iov_base, n });
		sent += n;
	}
	if (p->out.bad)
		abort();
	p->full = sent < all;
	return sent ? (ssize_t)sent : RF_E_AGAIN;
}

static int shutdown_io(struct rf_loop *loop, struct rf_io *io)
{
	struct rf_peer *p = replay_peer(replay_of(loop), io->fd);
	if (replay_fails(p->r, p))
		return p->r->fail_code;
	if (p->reset || p->connecting)
		return RF_E_RESET;
	p->our_fin = true;
	replay_edge(p);
	return RF_OK;
}

static void doom_io(struct rf_loop *loop, struct rf_io *io)
{
	replay_peer(replay_of(loop), io->fd)->doomed = true;
}

/* The pipe is a real one. */
static ssize_t splice_in_io(struct rf_loop *loop, struct rf_io *io, int pipe, size_t n)
{
	struct rf_peer *p = replay_peer(replay_of(loop), io->fd);
	char some[SPLICED];
	ssize_t r = recv_io(loop, io, some, n < sizeof some ? n : sizeof some);
	if (r > 0 && write(pipe, some, (size_t)r) != r)
		abort();
	p->spliced += r > 0 ? (size_t)r : 0;
	return r;
}

static ssize_t splice_out_io(struct rf_loop *loop, struct rf_io *io, int pipe, size_t n)
{
	struct rf_peer *p = replay_peer(replay_of(loop), io->fd);
	size_t room = p->out.n < p->window ? p->window - p->out.n : 0, most = n < SPLICED ? n : SPLICED;
	char some[SPLICED];
	if (!room && !p->reset && !p->our_fin) {
		p->full = true;
		return RF_E_AGAIN;
	}
	ssize_t got = read(pipe, some, room && room < most ? room : most);
	if (got <= 0)
		return RF_E_AGAIN;
	struct iovec v = { some, (size_t)got };
	return send_io(loop, io, &v, 1);
}

static int accept_io(struct rf_loop *loop, struct rf_io *listener, struct rf_io *ret, struct rf_addr *ret_peer)
{
	struct rf_peer *l = replay_peer(replay_of(loop), listener->fd);
	assert(l->listener);
	if (replay_fails(l->r, l))
		return l->r->fail_code == RF_E_AGAIN ? RF_E_AGAIN : RF_E_FULL;
	struct rf_node *node = rf_list_first(&l->queue);
	if (!node)
		return RF_E_AGAIN;
	rf_list_del(node);
	struct rf_peer *p = RF_CONTAINER(node, struct rf_peer, waiting);
	ret->fd = replay_fd(p);
	*ret_peer = p->addr;
	return RF_OK;
}

static int connect_io(struct rf_loop *loop, struct rf_io *io, const struct rf_addr *to)
{
	struct rf_replay *r = replay_of(loop);
	io->fd = -1;
	if (replay_fails(r, NULL))
		return r->fail_code == RF_E_AGAIN ? RF_E_FULL : r->fail_code;
	struct rf_peer *p = replay_peer_new(r);
	p->addr = *to;
	p->connecting = true;
	rf_list_push(&r->dialled, &p->waiting);
	io->fd = replay_fd(p);
	return RF_OK;
}

static int error_io(struct rf_loop *loop, struct rf_io *io)
{
	struct rf_peer *p = replay_peer(replay_of(loop), io->fd);
	int error = p->error;
	p->error = RF_OK;
	return error;
}

static void free_loop(struct rf_loop *loop)
{
	struct rf_replay *r = replay_of(loop);
	rf_loop_fini(loop);
	for (size_t i = 0; i < r->n; i++) {
		rf_buf_fini(&r->peers[i]->in);
		rf_buf_fini(&r->peers[i]->out);
		replay_datagram_fini(r->peers[i]);
		free(r->peers[i]);
	}
	free(r->peers);
	free(r);
}

static const struct rf_loop_ops ops = {
	.wait = wait, .wake = wake, .mono = mono, .wall = wall, .free = free_loop, .add = add, .close = close_io,
	.recv = recv_io, .send = send_io, .shutdown = shutdown_io, .doom = doom_io,
	.splice_in = splice_in_io, .splice_out = splice_out_io, .accept = accept_io, .connect = connect_io,
	.error = error_io, .datagram = replay_datagram_open, .receive = replay_receive, .transmit = replay_transmit,
};

/* What the test asks for. */

struct rf_replay *rf_replay_new(void)
{
	struct rf_replay *r = calloc(1, sizeof *r);
	if (!r)
		abort();
	r->mono = 1000 * RF_NS_S;
	r->wall = (int64_t)(1795219200 * RF_NS_S - r->mono);
	rf_list_init(&r->ready);
	rf_list_init(&r->batch);
	rf_list_init(&r->dialled);
	rf_loop_init(&r->loop, &ops);
	return r;
}

struct rf_loop *rf_replay_loop(struct rf_replay *r)
{
	return &r->loop;
}

void rf_replay_free(struct rf_replay *r)
{
	rf_loop_free(&r->loop);
}

int rf_replay_run(struct rf_replay *r, uint64_t ns)
{
	uint64_t end = r->mono + ns, at = r->mono;
	for (int turns = 0; turns < RF_REPLAY_TURNS; turns++) {
		rf_loop_turn(&r->loop, end - r->mono);
		if (atomic_exchange(&r->loop.stop, false))
			return RF_OK;
		if (r->mono > end) /* busy for longer */
			end = r->mono;
		if (r->mono != at)
			turns = 0;
		at = r->mono;
		if (at == end && rf_list_empty(&r->ready) && rf_loop_idle(&r->loop))
			return RF_OK;
	}
	return RF_E_FULL;
}

void rf_replay_wall_step(struct rf_replay *r, int64_t ns)
{
	r->wall += ns;
}

void rf_replay_busy(struct rf_replay *r, uint64_t ns)
{
	r->mono += ns;
}

int rf_replay_listener(struct rf_replay *r)
{
	struct rf_peer *p = replay_peer_new(r);
	p->listener = true;
	return replay_fd(p);
}

struct rf_peer *rf_replay_connect(struct rf_replay *r, int listener_fd, const struct rf_addr *from)
{
	struct rf_peer *l = replay_peer(r, listener_fd), *p = replay_peer_new(r);
	assert(l->listener);
	if (from) {
		p->addr = *from;
	} else {
		p->addr.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000201),
						   .sin_port = htons((uint16_t)(1024 + r->n % 60000)) };
		p->addr.len = sizeof p->addr.v4;
	}
	rf_list_push(&l->queue, &p->waiting);
	replay_edge(l);
	return p;
}

struct rf_peer *rf_replay_accept(struct rf_replay *r, const struct rf_addr *to, enum rf_replay_outcome outcome)
{
	RF_LIST_EACH(node, &r->dialled) {
		struct rf_peer *p = RF_CONTAINER(node, struct rf_peer, waiting);
		if (to && (p->addr.len != to->len || memcmp(&p->addr.any, &to->any, to->len) != 0))
			continue;
		rf_list_del(node);
		if (outcome == RF_REPLAY_REFUSE) {
			rf_replay_reset(p);
			p->error = RF_E_REFUSED;
		} else if (outcome == RF_REPLAY_ACCEPT) {
			p->connecting = false;
			replay_edge(p);
		}
		return p;
	}
	return NULL;
}

struct rf_addr rf_replay_addr(const struct rf_peer *p)
{
	return p->addr;
}

void rf_replay_send(struct rf_peer *p, struct rf_str bytes)
{
	if (p->our_closed || p->reset)
		return;
	assert(!p->connecting && !p->peer_fin);
	rf_buf_add(&p->in, bytes);
	if (p->in.bad)
		abort();
	replay_edge(p);
}

struct rf_str rf_replay_sent(const struct rf_peer *p)
{
	return rf_buf_str(&p->out);
}

size_t rf_replay_take(struct rf_peer *p, void *to, size_t n)
{
	n = n < p->out.n ? n : p->out.n;
	if (to && n)
		memcpy(to, p->out.p, n);
	rf_buf_eat(&p->out, n);
	space(p);
	return n;
}

bool rf_replay_expect(struct rf_peer *p, struct rf_str bytes)
{
	if (!rf_str_starts(rf_buf_str(&p->out), bytes))
		return false;
	rf_replay_take(p, NULL, bytes.n);
	return true;
}

void rf_replay_window(struct rf_peer *p, size_t n)
{
	p->window = n;
	space(p);
}

void rf_replay_fin(struct rf_peer *p)
{
	p->peer_fin = true;
	replay_edge(p);
}

void rf_replay_close(struct rf_peer *p)
{
	p->peer_gone = true;
	rf_replay_fin(p);
}

void rf_replay_reset(struct rf_peer *p)
{
	p->connecting = false;
	p->reset = true;
	p->error = RF_E_RESET;
	replay_edge(p);
}

bool rf_replay_ended(const struct rf_peer *p)
{
	return p->our_fin && !p->out.n;
}

bool rf_replay_closed(const struct rf_peer *p)
{
	return p->our_closed;
}

bool rf_replay_was_reset(const struct rf_peer *p)
{
	return p->our_closed && p->doomed;
}

size_t rf_replay_spliced(const struct rf_peer *p)
{
	return p->spliced;
}

void rf_replay_fail_at(struct rf_replay *r, uint64_t n, int code)
{
	r->fail_at = n ? r->calls + n : 0;
	r->fail_code = code;
}

uint64_t rf_replay_calls(const struct rf_replay *r)
{
	return r->calls;
}

size_t rf_replay_open(const struct rf_replay *r)
{
	size_t n = 0;
	for (size_t i = 0; i < r->n; i++)
		n += r->peers[i]->held;
	return n;
}
