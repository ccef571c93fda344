/* svc/http/live: which connections a device has on this worker, so that revoking it ends them at once.
 *
 * A hash table of lists; the nodes are in the connections. It doubles at a load of one; without memory
 * for that the lists grow instead.
 */
#include <stdlib.h>
#include "base/hash.h"
#include "svc/http/conn.h"

static struct rf_node *bucket(struct rf_http_edge *e, struct rf_str id)
{
	return &e->live[rf_hash(id) & e->live_mask];
}

static struct rf_str id_of(const struct rf_http_conn *c)
{
	return (struct rf_str){ rf_device_id(c->device), RF_ID_LEN };
}

static void grow(struct rf_http_edge *e)
{
	size_t n = (e->live_mask + 1) * 2;
	struct rf_node *old = e->live, *now = malloc(n * sizeof *now);
	if (!now)
		return;
	for (size_t i = 0; i < n; i++)
		rf_list_init(&now[i]);
	size_t was = e->live_mask + 1;
	e->live = now;
	e->live_mask = n - 1;
	for (size_t i = 0; i < was; i++) {
		while (!rf_list_empty(&old[i])) {
			struct rf_node *node = rf_list_first(&old[i]);
			rf_list_del(node);
			rf_list_push(bucket(e, id_of(RF_CONTAINER(node, struct rf_http_conn, by_device))), node);
		}
	}
	if (old != &e->live_one)
		free(old);
}

void live_add(struct rf_http_conn *c)
{
	struct rf_http_edge *e = c->edge;
	if (e->live_count > e->live_mask)
		grow(e);
	rf_list_push(bucket(e, id_of(c)), &c->by_device);
	e->live_count++;
}

void live_del(struct rf_http_conn *c)
{
	if (!rf_node_linked(&c->by_device))
		return;
	rf_list_del(&c->by_device);
	c->edge->live_count--;
}

struct rf_http_conn *live_find(struct rf_http_edge *e, struct rf_str device_id)
{
	RF_LIST_EACH(n, bucket(e, device_id)) {
		struct rf_http_conn *c = RF_CONTAINER(n, struct rf_http_conn, by_device);
		if (rf_str_eq(id_of(c), device_id) && !c->dead)
			return c;
	}
	return NULL;
}
