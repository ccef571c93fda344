/* loop/loop: the turn, timers, tasks and messages, over the system calls of an implementation.
 *
 * A turn (rf_loop_turn): how long may it wait -> ops->wait, which runs `ready` of each io ->
 * messages -> due timers -> tasks -> hook. A timer, task or message that starts another of its
 * kind starts it for the next turn, so that no phase runs for ever.
 *
 * Invariants: timers.cap >= ios, so that one timer an io never needs memory. `running` is empty
 * outside run_tasks. Only `posted` and `stop` are touched by other threads.
 *
 * Not here: readiness and sockets (epoll.c, replay.c).
 */
#include "loop/impl.h"
#include <stdlib.h>

enum { OVERDUE = -1 }; /* heap_node.at of a timer in loop->overdue; a heap never gets that large */

void rf_loop_init(struct rf_loop *loop, const struct rf_loop_ops *ops)
{
	loop->ops = ops;
	rf_list_init(&loop->tasks);
	rf_list_init(&loop->running);
	loop->now = ops->mono(loop);
}

void rf_loop_fini(struct rf_loop *loop)
{
	rf_heap_fini(&loop->timers);
}

void rf_loop_free(struct rf_loop *loop)
{
	if (loop)
		loop->ops->free(loop);
}

static void run_messages(struct rf_loop *loop)
{
	struct rf_msg *m = NULL;
	if (!atomic_load_explicit(&loop->posted, memory_order_relaxed))
		return;
	struct rf_msg *newest = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
	while (newest) { /* oldest first */
		struct rf_msg *next = newest->next;
		newest->next = m;
		m = newest;
		newest = next;
	}
	while (m) {
		struct rf_msg *next = m->next;
		m->run(loop, m);
		m = next;
	}
}

static struct rf_heap_node *overdue_pop(struct rf_loop *loop)
{
	struct rf_heap_node *node = loop->overdue;
	if (node) {
		loop->overdue = (struct rf_heap_node *)(uintptr_t)node->key;
		node->at = 0;
	}
	return node;
}

static struct rf_heap_node *due_pop(struct rf_loop *loop)
{
	struct rf_heap_node *node = rf_heap_min(&loop->timers);
	if (!node || node->key > loop->now)
		return NULL;
	rf_heap_del(&loop->timers, node);
	return node;
}

static void run_timers(struct rf_loop *loop)
{
	struct rf_heap_node *node;
	loop->firing = true;
	while ((node = due_pop(loop)) || (node = overdue_pop(loop))) {
		struct rf_timer *t = RF_CONTAINER(node, struct rf_timer, node);
		t->fire(t);
	}
	loop->firing = false;
}

static void run_tasks(struct rf_loop *loop)
{
	if (rf_list_empty(&loop->tasks))
		return;
	loop->running = loop->tasks;
	loop->running.next->prev = loop->running.prev->next = &loop->running;
	rf_list_init(&loop->tasks);
	struct rf_node *node;
	while ((node = rf_list_first(&loop->running))) {
		struct rf_task *t = RF_CONTAINER(node, struct rf_task, node);
		rf_list_del(node);
		t->run(t);
	}
}

static bool has_work(struct rf_loop *loop)
{
	return !rf_list_empty(&loop->tasks) || loop->overdue || atomic_load(&loop->posted);
}

bool rf_loop_idle(struct rf_loop *loop)
{
	struct rf_heap_node *first = rf_heap_min(&loop->timers);
	return !has_work(loop) && (!first || first->key > loop->ops->mono(loop));
}

/* How long the next wait may be: 0 when there is work already. */
static uint64_t may_wait(struct rf_loop *loop, uint64_t wait_ns)
{
	if (has_work(loop) || atomic_load(&loop->stop))
		return 0;
	struct rf_heap_node *first = rf_heap_min(&loop->timers);
	if (!first || !wait_ns)
		return wait_ns;
	uint64_t now = loop->ops->mono(loop); /* the turn that ends here may have been long */
	if (first->key <= now)
		return 0;
	return first->key - now < wait_ns ? first->key - now : wait_ns;
}

void rf_loop_turn(struct rf_loop *loop, uint64_t wait_ns)
{
	loop->ops->wait(loop, may_wait(loop, wait_ns));
	run_messages(loop);
	run_timers(loop);
	run_tasks(loop);
	if (loop->hook)
		loop->hook(loop->hook_arg, true);
}

void rf_loop_run(struct rf_loop *loop)
{
	do
		rf_loop_turn(loop, UINT64_MAX);
	while (!atomic_exchange(&loop->stop, false));
}

void rf_loop_stop(struct rf_loop *loop)
{
	atomic_store(&loop->stop, true);
	loop->ops->wake(loop);
}

uint64_t rf_loop_now(const struct rf_loop *loop)
{
	return loop->now;
}

uint64_t rf_loop_mono(struct rf_loop *loop)
{
	return loop->ops->mono(loop);
}

int64_t rf_loop_wall(struct rf_loop *loop)
{
	return loop->ops->wall(loop);
}

void rf_loop_hook(struct rf_loop *loop, void (*hook)(void *arg, bool online), void *arg)
{
	loop->hook = hook;
	loop->hook_arg = arg;
}

void rf_loop_gather(struct rf_loop *loop, uint64_t ns)
{
	loop->gather_ns = ns;
}

void rf_timer_set(struct rf_loop *loop, struct rf_timer *t, uint64_t at_ns)
{
	if (loop->firing && at_ns <= loop->now)
		at_ns = loop->now + 1;
	if (t->node.at == (size_t)OVERDUE)
		rf_timer_stop(loop, t);
	if (t->node.at) {
		rf_heap_move(&loop->timers, &t->node, at_ns);
	} else if (!rf_heap_add(&loop->timers, &t->node, at_ns)) {
		t->node.at = (size_t)OVERDUE;
		t->node.key = (uintptr_t)loop->overdue;
		loop->overdue = &t->node;
	}
}

void rf_timer_stop(struct rf_loop *loop, struct rf_timer *t)
{
	if (t->node.at != (size_t)OVERDUE) {
		rf_heap_del(&loop->timers, &t->node);
		return;
	}
	struct rf_heap_node *before = loop->overdue;
	if (before == &t->node) {
		overdue_pop(loop);
		return;
	}
	while ((uintptr_t)before->key != (uintptr_t)&t->node)
		before = (struct rf_heap_node *)(uintptr_t)before->key;
	before->key = t->node.key;
	t->node.at = 0;
}

void rf_loop_defer(struct rf_loop *loop, struct rf_task *t)
{
	if (!rf_node_linked(&t->node))
		rf_list_push(&loop->tasks, &t->node);
}

void rf_task_cancel(struct rf_task *t)
{
	rf_list_del(&t->node);
}

void rf_loop_post(struct rf_loop *loop, struct rf_msg *m)
{
	struct rf_msg *head = atomic_load_explicit(&loop->posted, memory_order_relaxed);
	do
		m->next = head;
	while (!atomic_compare_exchange_weak(&loop->posted, &head, m));
	if (!head) /* whoever found it empty has woken, or is about to wake, the loop */
		loop->ops->wake(loop);
}

int rf_loop_add(struct rf_loop *loop, struct rf_io *io)
{
	if (!rf_heap_reserve(&loop->timers, loop->ios + 1))
		return RF_E_NOMEM;
	io->slot = 0;
	int r = loop->ops->add(loop, io);
	if (r)
		return r;
	io->added = true;
	loop->ios++;
	return RF_OK;
}

void rf_loop_close(struct rf_loop *loop, struct rf_io *io)
{
	if (io->fd < 0)
		return;
	loop->ops->close(loop, io);
	loop->ios -= io->added;
	io->fd = -1;
	io->added = false;
	io->slot = 0;
}

ssize_t rf_io_recv(struct rf_loop *loop, struct rf_io *io, void *p, size_t n)
{
	return loop->ops->recv(loop, io, p, n);
}

ssize_t rf_io_send(struct rf_loop *loop, struct rf_io *io, const struct iovec *v, int count)
{
	return loop->ops->send(loop, io, v, count);
}

int rf_io_shutdown(struct rf_loop *loop, struct rf_io *io)
{
	return loop->ops->shutdown(loop, io);
}

void rf_io_doom(struct rf_loop *loop, struct rf_io *io)
{
	loop->ops->doom(loop, io);
}

ssize_t rf_io_splice_in(struct rf_loop *loop, struct rf_io *io, int pipe, size_t n)
{
	return loop->ops->splice_in(loop, io, pipe, n);
}

ssize_t rf_io_splice_out(struct rf_loop *loop, struct rf_io *io, int pipe, size_t n)
{
	return loop->ops->splice_out(loop, io, pipe, n);
}

int rf_io_accept(struct rf_loop *loop, struct rf_io *listener, struct rf_io *ret, struct rf_addr *ret_peer)
{
	return loop->ops->accept(loop, listener, ret, ret_peer);
}

static int added(struct rf_loop *loop, struct rf_io *io)
{
	int r = rf_loop_add(loop, io);
	if (r)
		rf_loop_close(loop, io);
	return r;
}

int rf_io_connect(struct rf_loop *loop, struct rf_io *io, const struct rf_addr *to)
{
	io->added = io->shared = io->mute = false;
	int r = loop->ops->connect(loop, io, to);
	return r ? r : added(loop, io);
}

int rf_io_datagram(struct rf_loop *loop, struct rf_io *io, const struct rf_addr *to)
{
	io->added = io->shared = false;
	io->mute = true;
	int r = loop->ops->datagram(loop, io, to);
	return r ? r : added(loop, io);
}

int rf_io_receive(struct rf_loop *loop, struct rf_io *io, struct rf_dgram *v, int n)
{
	return loop->ops->receive(loop, io, v, n < RF_DGRAMS_MAX ? n : RF_DGRAMS_MAX);
}

int rf_io_transmit(struct rf_loop *loop, struct rf_io *io, const struct rf_dgram *m, const struct iovec *v, int count)
{
	return loop->ops->transmit(loop, io, m, v, count);
}

int rf_io_error(struct rf_loop *loop, struct rf_io *io)
{
	return loop->ops->error(loop, io);
}
