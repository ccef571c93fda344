/* svc/port: one sorted array; a place is a transport, an address (or any) and a range of ports.
 *
 * Ranges of one transport and address never overlap, so the last place that begins at or before a port is the only one that
 * can hold it. The place for any address of the family comes second, that for any at all last.
 */
#include <stdlib.h>
#include "svc/port.h"

struct place {
	enum rf_transport transport;
	struct rf_ip at; /* family 0: any */
	uint16_t low, high;
	const struct rf_port *port;
};

struct rf_ports {
	size_t n;
	struct place v[];
};

struct rf_port_use *rf_port_use_get(struct rf_port_use *was)
{
	struct rf_port_use *u = was ? was : calloc(1, sizeof *u);
	if (u)
		atomic_fetch_add(&u->refs, 1);
	return u;
}

void rf_port_use_put(struct rf_port_use *u)
{
	if (u && atomic_fetch_sub(&u->refs, 1) == 1)
		free(u);
}

bool rf_port_enter(const struct rf_port *p)
{
	uint32_t before = atomic_fetch_add_explicit(&p->use->live, 1, memory_order_relaxed);
	if (!p->max_connections || before < p->max_connections)
		return true;
	rf_port_leave(p->use);
	return false;
}

void rf_port_leave(struct rf_port_use *u)
{
	atomic_fetch_sub_explicit(&u->live, 1, memory_order_relaxed);
}

static int by_start(const void *left, const void *right)
{
	const struct place *a = left, *b = right;
	if (a->transport != b->transport)
		return a->transport < b->transport ? -1 : 1;
	int c = rf_ip_cmp(&a->at, &b->at);
	return c ? c : (a->low > b->low) - (a->low < b->low);
}

static bool overlap(const struct place *a, const struct place *b)
{
	return a->transport == b->transport && rf_ip_eq(&a->at, &b->at) && a->high >= b->low;
}

static struct place *put(struct place *to, const struct rf_port *p)
{
	struct place one = { .transport = p->transport, .low = p->low, .high = p->high, .port = p };
	for (size_t i = 0; i < p->address_count; i++) {
		one.at = p->addresses[i];
		*to++ = one;
	}
	if (!p->address_count)
		*to++ = one;
	return to;
}

int rf_ports_new(struct rf_arena *a, struct rf_port *const *v, size_t n, struct rf_ports **ret, struct rf_err *e)
{
	size_t places = 0;
	for (size_t i = 0; i < n; i++)
		places += v[i]->address_count ? v[i]->address_count : 1;
	struct rf_ports *all = rf_arena_alloc(a, sizeof *all + places * sizeof *all->v);
	if (!all)
		return rf_fail(e, RF_E_NOMEM, "there is no memory for %zu ports", n);
	struct place *end = all->v;
	for (size_t i = 0; i < n; i++)
		end = put(end, v[i]);
	all->n = places;
	qsort(all->v, places, sizeof *all->v, by_start);
	for (struct place *p = all->v + 1; p < end; p++)
		if (overlap(p - 1, p))
			return rf_fail(e, RF_E_CONFLICT, "%.*s and %.*s both stand at port %u", RF_ARG(p[-1].port->name),
				       RF_ARG(p->port->name), p->low);
	*ret = all;
	return RF_OK;
}

static const struct rf_port *find(const struct rf_ports *ports, struct place key)
{
	size_t low = 0, high = ports->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (by_start(&ports->v[mid], &key) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	const struct place *last = low ? &ports->v[low - 1] : NULL;
	return last && overlap(last, &key) ? last->port : NULL;
}

const struct rf_port *rf_ports_find(const struct rf_ports *ports, enum rf_transport t, const struct rf_ip *at, uint16_t port)
{
	if (!ports)
		return NULL;
	struct place key = { .transport = t, .at = *at, .low = port, .high = port };
	const struct rf_port *p = find(ports, key);
	if (p)
		return p;
	key.at = (struct rf_ip){ .family = at->family };
	p = find(ports, key);
	if (p)
		return p;
	key.at = (struct rf_ip){ 0 };
	return find(ports, key);
}
