/* svc/http/limits: what a device, a class and an address may do: requests a time, requests of a class at once.
 *
 * The rate of a device and the requests of a class are counted exactly over all workers; rates of addresses are kept by each
 * worker, in a table of buckets: an address comes to one worker (net/listener).
 */
#include <stdlib.h>
#include "device/pace.h"
#include "net/rate.h"
#include "svc/http/conn.h"

enum { BUCKETS = 4096, CLASS_SLOTS = 65536 };

struct rf_limiter {
	struct rf_rate_table table; /* entries NULL: not in use */
	uint32_t burst;
};

static _Atomic uint32_t class_requests[CLASS_SLOTS];

uint32_t rf_http_class_requests(uint16_t slot) { return atomic_load_explicit(&class_requests[slot], memory_order_relaxed); }

/* All requests in flight of a class, over all workers. Counted only where there is a bound. */
bool limits_requests_enter(struct request *q, uint16_t slot, uint32_t max)
{
	if (!max)
		return true;
	q->class_slot = slot;
	q->class_counted = rf_use_enter(&class_requests[slot], max);
	return q->class_counted;
}

void limits_requests_leave(struct request *q)
{
	if (q->class_counted)
		rf_use_leave(&class_requests[q->class_slot]);
	q->class_counted = false;
}

/* So many a second and at once; made at first use, and anew when the number has changed. */
static struct rf_limiter *of_second(struct rf_limiter **at, uint32_t most)
{
	struct rf_limiter *l = *at;
	struct rf_rate rate;
	if (l && l->table.entries && l->burst == most)
		return l;
	if (!l && !(l = *at = calloc(1, sizeof *l)))
		return NULL;
	if (rf_rate_make(most, RF_NS_S, most, &rate))
		return NULL;
	rf_rate_table_fini(&l->table);
	*l = (struct rf_limiter){ .burst = most };
	return rf_rate_table_init(&l->table, &rate, BUCKETS) ? NULL : l;
}

int limits_address(struct rf_http_conn *c, unsigned *ret_wait_s)
{
	if (!c->edge->conf.requests_per_address)
		return RF_OK;
	struct rf_limiter *l = of_second(&c->edge->address_rate, c->edge->conf.requests_per_address);
	uint64_t wait = RF_NS_S;
	struct rf_str key = { (const char *)c->client.src.b, sizeof c->client.src.b };
	int r = l ? rf_rate_take(&l->table, key, conn_now(c), 1, &wait) : RF_E_RATE;
	if (r)
		*ret_wait_s = (unsigned)((wait + RF_NS_S - 1) / RF_NS_S);
	return r;
}

int limits_throttle(struct rf_http_conn *c, unsigned *ret_wait_s)
{
	uint64_t wait;
	int r = rf_client_throttle(&c->client, &wait);
	if (r)
		*ret_wait_s = (unsigned)((wait + RF_NS_S - 1) / RF_NS_S);
	return r;
}

int limits_rate(struct rf_http_conn *c, const struct rf_class *class, unsigned *ret_wait_s)
{
	uint64_t wait;
	if (!c->client.device || !class || !class->request_rate_ns)
		return RF_OK;
	int r = rf_pace_take(&rf_device_use(c->client.device)->paid, class->request_rate_ns, class->request_burst, conn_now(c), &wait);
	if (r)
		*ret_wait_s = (unsigned)((wait + RF_NS_S - 1) / RF_NS_S);
	return r;
}

void limits_fini(struct rf_http_edge *e)
{
	if (e->address_rate)
		rf_rate_table_fini(&e->address_rate->table);
	free(e->address_rate);
	e->address_rate = NULL;
}
