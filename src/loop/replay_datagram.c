/* loop/replay_datagram: scripted UDP sockets: a list of datagrams to our code, and one from it.
 *
 * What is sent as segments is taken apart again, so that a test sees what a client would.
 */
#include <assert.h>
#include <stdlib.h>
#include "loop/replay_in.h"

struct letter {
	struct rf_node node;
	struct rf_dgram m; /* p: bytes */
	char bytes[];
};

static void post(struct rf_node *list, const struct rf_dgram *m, const char *bytes, size_t n)
{
	struct letter *l = malloc(sizeof *l + n);
	if (!l)
		abort();
	*l = (struct letter){ .m = *m };
	l->m.p = l->bytes;
	l->m.n = n;
	if (n)
		memcpy(l->bytes, bytes, n);
	rf_list_push(list, &l->node);
}

static void burn(struct rf_node *list)
{
	struct rf_node *node;
	while ((node = rf_list_first(list))) {
		rf_list_del(node);
		free(RF_CONTAINER(node, struct letter, node));
	}
}

unsigned replay_datagram_state(const struct rf_peer *p)
{
	return (p->error ? RF_IO_READ | RF_IO_WRITE | RF_IO_HUP : 0) | (rf_list_empty(&p->arrived) ? 0 : RF_IO_READ);
}

void replay_datagram_fini(struct rf_peer *p)
{
	burn(&p->arrived);
	burn(&p->left);
	burn(&p->taken);
}

static struct rf_peer *udp_new(struct rf_replay *r)
{
	struct rf_peer *p = replay_peer_new(r);
	p->datagrams = true;
	return p;
}

int replay_datagram_open(struct rf_loop *loop, struct rf_io *io, const struct rf_addr *to)
{
	struct rf_replay *r = replay_of(loop);
	io->fd = -1;
	if (replay_fails(r, NULL))
		return r->fail_code == RF_E_AGAIN ? RF_E_FULL : r->fail_code;
	struct rf_peer *p = udp_new(r);
	p->addr = *to;
	rf_list_push(&r->dialled, &p->waiting);
	io->fd = replay_fd(p);
	return RF_OK;
}

/* The error that waits, once, as the kernel gives it. */
static int take_error(struct rf_peer *p)
{
	int error = p->error;
	p->error = RF_OK;
	p->reset = false;
	return error;
}

int replay_receive(struct rf_loop *loop, struct rf_io *io, struct rf_dgram *v, int n)
{
	struct rf_peer *p = replay_peer(replay_of(loop), io->fd);
	struct rf_node *node;
	int got = 0;
	assert(n > 0 && p->datagrams);
	if (replay_fails(p->r, p))
		return p->r->fail_code;
	if (p->error)
		return take_error(p);
	for (; got < n && (node = rf_list_first(&p->arrived)); got++) {
		struct letter *l = RF_CONTAINER(node, struct letter, node);
		struct rf_dgram *m = &v[got];
		m->peer = l->m.peer;
		m->local = l->m.local;
		m->n = l->m.n < m->room ? l->m.n : m->room;
		m->segment = l->m.segment;
		m->cut = m->n < l->m.n;
		memcpy(m->p, l->bytes, m->n);
		rf_list_del(node);
		free(l);
	}
	return got ? got : RF_E_AGAIN;
}

int replay_transmit(struct rf_loop *loop, struct rf_io *io, const struct rf_dgram *m, const struct iovec *v, int count)
{
	struct rf_peer *p = replay_peer(replay_of(loop), io->fd);
	struct rf_buf all = { 0 };
	assert(p->datagrams);
	if (replay_fails(p->r, p))
		return p->r->fail_code;
	if (p->error)
		return take_error(p);
	for (int i = 0; i < count; i++)
		rf_buf_add(&all, (struct rf_str){ v[i].iov_base, v[i].iov_len });
	if (all.bad)
		abort();
	bool room = !p->window || p->out.n < p->window; /* out counts: a byte a datagram */
	size_t step = m->segment ? m->segment : all.n ? all.n : 1, at = 0;
	do {
		size_t n = all.n - at < step ? all.n - at : step;
		if (room) {
			post(&p->left, m, all.p + at, n);
			rf_buf_addc(&p->out, '.');
		}
		at += n;
	} while (at < all.n);
	rf_buf_fini(&all);
	return room ? RF_OK : RF_E_AGAIN;
}

/* What the test asks for. */

int rf_replay_udp(struct rf_replay *r)
{
	return replay_fd(udp_new(r));
}

struct rf_peer *rf_replay_udp_peer(struct rf_replay *r, int fd)
{
	return replay_peer(r, fd);
}

struct rf_peer *rf_replay_udp_dialled(struct rf_replay *r, const struct rf_addr *to)
{
	RF_LIST_EACH(node, &r->dialled) {
		struct rf_peer *p = RF_CONTAINER(node, struct rf_peer, waiting);
		if (!p->datagrams || (to && (p->addr.len != to->len || memcmp(&p->addr.any, &to->any, to->len) != 0)))
			continue;
		rf_list_del(node);
		return p;
	}
	return NULL;
}

void rf_replay_arrive(struct rf_peer *p, const struct rf_dgram *m)
{
	assert(p->datagrams);
	if (p->our_closed)
		return;
	post(&p->arrived, m, m->p, m->n);
	replay_edge(p);
}

bool rf_replay_leave(struct rf_peer *p, struct rf_dgram *ret)
{
	struct rf_node *node = rf_list_first(&p->left);
	burn(&p->taken);
	if (!node)
		return false;
	rf_list_del(node);
	rf_list_push(&p->taken, node);
	rf_buf_eat(&p->out, 1);
	*ret = RF_CONTAINER(node, struct letter, node)->m;
	return true;
}
