/* svc/live: which connections a device has on this worker, so that revoking it ends them at once.
 *
 * A hash table of lists; the nodes are in the connections. It doubles at a load of one; without memory
 * for that the lists grow instead.
 */
#include <stdlib.h>
#include "base/hash.h"
#include "svc/front_own.h"

static struct rf_node *bucket(struct rf_front *f, struct rf_str id)
{
	return &f->live[rf_hash(id) & f->live_mask];
}

static struct rf_str id_of(const struct rf_client *c)
{
	return (struct rf_str){ rf_device_id(c->device), RF_ID_LEN };
}

static void grow(struct rf_front *f)
{
	size_t n = (f->live_mask + 1) * 2;
	struct rf_node *old = f->live, *now = malloc(n * sizeof *now);
	if (!now)
		return;
	for (size_t i = 0; i < n; i++)
		rf_list_init(&now[i]);
	size_t was = f->live_mask + 1;
	f->live = now;
	f->live_mask = n - 1;
	for (size_t i = 0; i < was; i++) {
		while (!rf_list_empty(&old[i])) {
			struct rf_node *node = rf_list_first(&old[i]);
			rf_list_del(node);
			rf_list_push(bucket(f, id_of(RF_CONTAINER(node, struct rf_client, place))), node);
		}
	}
	if (old != &f->live_one)
		free(old);
}

void live_add(struct rf_client *c)
{
	struct rf_front *f = c->front;
	if (f->live_count > f->live_mask)
		grow(f);
	rf_list_push(bucket(f, id_of(c)), &c->place);
	f->live_count++;
}

void live_del(struct rf_client *c)
{
	rf_list_del(&c->place);
	c->front->live_count--;
}

struct rf_client *live_find(struct rf_front *f, struct rf_str device_id)
{
	RF_LIST_EACH(n, bucket(f, device_id)) {
		struct rf_client *c = RF_CONTAINER(n, struct rf_client, place);
		if (rf_str_eq(id_of(c), device_id) && !c->dead)
			return c;
	}
	return NULL;
}
