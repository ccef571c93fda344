/* svc/l4/tube: a free list of kernel pipes. Invariant: an idle tube is empty. */
#include "svc/l4/tube.h"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { TUBE_SIZE = 256 * 1024 }; /* as many bytes as one turn moves; the kernel may give less */

void tubes_init(struct tubes *t, unsigned bound)
{
	*t = (struct tubes){ .bound = bound };
	rf_list_init(&t->idle);
}

static void tube_free(struct tubes *t, struct tube *tube)
{
	close(tube->in);
	close(tube->out);
	free(tube);
	t->made--;
}

static struct tube *tube_new(struct tubes *t)
{
	int ends[2];
	struct tube *tube = t->made < t->bound ? calloc(1, sizeof *tube) : NULL;
	if (!tube || pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0) {
		free(tube);
		t->refused++;
		return NULL;
	}
	fcntl(ends[1], F_SETPIPE_SZ, TUBE_SIZE); /* smaller ones work too */
	tube->out = ends[0];
	tube->in = ends[1];
	t->made++;
	return tube;
}

struct tube *tube_get(struct tubes *t)
{
	struct rf_node *n = rf_list_first(&t->idle);
	if (!n)
		return tube_new(t);
	rf_list_del(n);
	return RF_CONTAINER(n, struct tube, node);
}

void tube_put(struct tubes *t, struct tube *tube)
{
	if (!tube)
		return;
	if (tube->bytes)
		tube_free(t, tube);
	else
		rf_list_push_front(&t->idle, &tube->node); /* the one that is warm is taken next */
}

void tubes_fini(struct tubes *t)
{
	RF_LIST_EACH(n, &t->idle)
		tube_free(t, RF_CONTAINER(n, struct tube, node));
	rf_list_init(&t->idle);
}
