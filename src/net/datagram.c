/* net/datagram: reading in turns and sending in pieces.
 *
 * An edge -> batches, until one is not full (there is no more), or the socket's turn is over (it goes on by a task, so that others
 * have theirs).
 *
 * Invariant: a socket with messages left is in `waiting`, or will have an edge.
 */
#include "net/datagram.h"
#include <stdlib.h>
#include "base/err.h"

enum { TURN = 4 /* batches */ };

static void read_turn(struct rf_datagram *s)
{
	struct rf_datagram_use *u = s->use;
	for (int turn = 0; turn < TURN; turn++) {
		if (u->deaf)
			return;
		int n = rf_io_receive(u->loop, &s->io, u->batch, RF_DGRAMS_MAX);
		if (n == RF_E_AGAIN)
			return;
		if (n < 0)
			u->error(s, n);
		for (int i = 0; i < n && s->io.fd >= 0; i++)
			u->message(s, &u->batch[i]);
		if (s->io.fd < 0 || (n >= 0 && n < RF_DGRAMS_MAX))
			return;
	}
	if (!rf_node_linked(&s->more))
		rf_list_push(&u->waiting, &s->more);
	rf_loop_defer(u->loop, &u->more);
}

static void ready(struct rf_io *io, unsigned events)
{
	if (events & RF_IO_READ)
		read_turn(RF_CONTAINER(io, struct rf_datagram, io));
}

static void more(struct rf_task *t)
{
	struct rf_datagram_use *u = RF_CONTAINER(t, struct rf_datagram_use, more);
	struct rf_node now = u->waiting, *node;
	if (rf_list_empty(&u->waiting))
		return;
	now.next->prev = now.prev->next = &now;
	rf_list_init(&u->waiting);
	while ((node = rf_list_first(&now))) {
		rf_list_del(node);
		read_turn(RF_CONTAINER(node, struct rf_datagram, more));
	}
}

int rf_datagram_use_init(struct rf_datagram_use *u, struct rf_loop *loop, void (*message)(struct rf_datagram *s, const struct rf_dgram *m),
			 void (*error)(struct rf_datagram *s, int error))
{
	char *rooms = malloc((size_t)RF_DGRAMS_MAX * RF_DATAGRAM_MAX); /* touched only where something is received */
	if (!rooms)
		return RF_E_NOMEM;
	*u = (struct rf_datagram_use){ .loop = loop, .message = message, .error = error, .rooms = rooms, .more.run = more };
	for (size_t i = 0; i < RF_DGRAMS_MAX; i++) {
		u->batch[i].p = rooms + i * RF_DATAGRAM_MAX;
		u->batch[i].room = RF_DATAGRAM_MAX;
	}
	rf_list_init(&u->waiting);
	return RF_OK;
}

void rf_datagram_use_fini(struct rf_datagram_use *u)
{
	rf_task_cancel(&u->more);
	free(u->rooms);
	u->rooms = NULL;
}

int rf_datagram_adopt(struct rf_datagram *s, struct rf_datagram_use *u, int fd)
{
	*s = (struct rf_datagram){ .io = { .fd = fd, .ready = ready, .shared = true, .mute = true }, .use = u };
	rf_io_datagram_prepare(fd);
	int r = rf_loop_add(u->loop, &s->io);
	if (r)
		rf_loop_close(u->loop, &s->io);
	return r;
}

int rf_datagram_connect(struct rf_datagram *s, struct rf_datagram_use *u, const struct rf_addr *to)
{
	*s = (struct rf_datagram){ .io.ready = ready, .use = u };
	return rf_io_datagram(u->loop, &s->io, to);
}

void rf_datagram_close(struct rf_datagram *s)
{
	rf_list_del(&s->more);
	if (s->use)
		rf_loop_close(s->use->loop, &s->io);
}

/* One call: the datagrams of `data`, of which there are at most RF_SEGMENTS_MAX. */
static int send_some(struct rf_datagram *s, const struct rf_dgram *m, struct rf_str prefix, struct rf_str data)
{
	struct iovec v[2 * RF_SEGMENTS_MAX];
	struct rf_dgram out = { .peer = m->peer, .local = m->local };
	size_t step = m->segment && m->segment < data.n ? m->segment : data.n;
	int n = 0;
	if (step < data.n)
		out.segment = (uint16_t)(prefix.n + step);
	if (!prefix.n) {
		v[n++] = (struct iovec){ (void *)(uintptr_t)data.p, data.n };
		return rf_io_transmit(s->use->loop, &s->io, &out, v, n);
	}
	do {
		size_t size = data.n < step ? data.n : step;
		v[n++] = (struct iovec){ (void *)(uintptr_t)prefix.p, prefix.n };
		v[n++] = (struct iovec){ (void *)(uintptr_t)data.p, size };
		data = rf_str_skip(data, size);
	} while (data.n);
	return rf_io_transmit(s->use->loop, &s->io, &out, v, n);
}

/* How many bytes of `data` one call may take: whole datagrams that fit into one packet of the stack with their prefixes. */
static size_t portion(size_t prefix, size_t step, size_t all)
{
	size_t count = (RF_DATAGRAM_MAX - 128) / (prefix + step);
	count = count < 1 ? 1 : count > RF_SEGMENTS_MAX ? RF_SEGMENTS_MAX : count;
	return count * step < all ? count * step : all;
}

unsigned rf_datagram_send(struct rf_datagram *s, const struct rf_dgram *m, struct rf_str prefix, struct rf_str data, int *ret_error)
{
	size_t step = m->segment && m->segment < data.n ? m->segment : data.n;
	size_t most = step ? portion(prefix.n, step, data.n) : 0;
	unsigned lost = 0;
	do {
		struct rf_str part = { data.p, most < data.n ? most : data.n };
		int r = s->io.fd < 0 ? RF_E_IO : send_some(s, m, prefix, part);
		if (r && part.n > step) { /* the path may take no segments, or only smaller ones: one by one */
			most = step;
			continue;
		}
		if (r && ret_error)
			*ret_error = r;
		lost += r != RF_OK;
		data = rf_str_skip(data, part.n);
	} while (data.n);
	return lost;
}
