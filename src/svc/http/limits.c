/* svc/http/limits: what a device, a class and an address may do: requests a time, requests of a class at once.
 *
 * Rates are kept by each worker, in a table of buckets a class, keyed by device: a device's
 * connections come to one worker (net/listener). Requests of a class are counted exactly over all
 * workers.
 */
#include <stdlib.h>
#include "net/rate.h"
#include "svc/http/conn.h"

enum { BUCKETS = 4096, CLASS_SLOTS = 65536 };

struct rf_limiter {
	struct rf_rate_table table; /* entries NULL: not in use */
	uint64_t cost_ns;
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

/* The table of a class, made at first use and anew when the class's rate has changed. */
static struct rf_limiter *limiter(struct rf_http_edge *e, uint16_t slot, const struct rf_class *class)
{
	if (slot >= e->limiter_count) {
		struct rf_limiter *v = realloc(e->limiters, (slot + 1u) * sizeof *v);
		if (!v)
			return NULL;
		memset(v + e->limiter_count, 0, (slot + 1u - e->limiter_count) * sizeof *v);
		e->limiters = v;
		e->limiter_count = slot + 1u;
	}
	struct rf_limiter *l = &e->limiters[slot];
	if (l->table.entries && l->cost_ns == class->request_rate_ns && l->burst == class->request_burst)
		return l;
	struct rf_rate rate;
	if (rf_rate_make(1, class->request_rate_ns, class->request_burst ? class->request_burst : 1, &rate))
		return NULL;
	rf_rate_table_fini(&l->table);
	l->table = (struct rf_rate_table){ 0 };
	l->cost_ns = class->request_rate_ns;
	l->burst = class->request_burst;
	return rf_rate_table_init(&l->table, &rate, BUCKETS) ? NULL : l;
}

int limits_rate(struct rf_http_conn *c, const struct rf_class *class, unsigned *ret_wait_s)
{
	if (!c->client.device || !class || !class->request_rate_ns)
		return RF_OK;
	struct rf_limiter *l = limiter(c->edge, rf_device_class_slot(c->client.device), class);
	uint64_t wait = RF_NS_S;
	struct rf_str key = { (const char *)&c->client.device, sizeof c->client.device };
	/* Without a table nobody can be held to the rate: refuse rather than let all pass. */
	int r = l ? rf_rate_take(&l->table, key, conn_now(c), 1, &wait) : RF_E_RATE;
	if (r)
		*ret_wait_s = (unsigned)((wait + RF_NS_S - 1) / RF_NS_S);
	return r;
}

void limits_fini(struct rf_http_edge *e)
{
	for (size_t i = 0; i < e->limiter_count; i++)
		rf_rate_table_fini(&e->limiters[i].table);
	if (e->address_rate)
		rf_rate_table_fini(&e->address_rate->table);
	free(e->address_rate);
	e->address_rate = NULL;
	free(e->limiters);
	e->limiters = NULL;
	e->limiter_count = 0;
}
