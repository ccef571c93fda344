/* svc/snapshot: publication by one pointer; retirement after a grace period and the last pin.
 *
 * A snapshot begins with one pin, that of being current. Publishing the next one takes that pin away
 * after every registered thread has passed a quiet point, so a reader that saw the pointer can still pin it. Whoever lets go of the
 * last pin does not free: a hundred thousand rules that nobody has any more are the business of the thread that waits for grace periods,
 * and not of a worker's.
 */
#include <stdlib.h>
#include <urcu-qsbr.h>
#include "base/way.h"
#include "svc/snapshot.h"

enum { ARENA_BOUND = 512 << 20 };

struct rf_retired { /* what call_rcu needs, made beforehand so that retiring cannot fail */
	struct rcu_head rcu;
	struct rf_snap *snap;   /* NULL: it never was current */
};

static _Atomic(struct rf_snap *) current;

struct rf_site *rf_site_new(void)
{
	struct rf_site *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	rf_arena_init(&t->arena, ARENA_BOUND);
	atomic_init(&t->refs, 1);
	return t;
}

struct rf_site *rf_site_get(struct rf_site *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

static void app_free(struct rf_app *a)
{
	rf_origin_group_put(a->origins);
	for (int i = 0; i < 2; i++)
		rf_keypair_put(a->keypair[i]);
	for (size_t i = 0; i < a->header_count; i++)
		rf_cert_tmpl_free(a->headers[i].value);
}

static void port_free(struct rf_port *p)
{
	rf_origin_group_put(p->origins);
	rf_port_use_put(p->use);
	for (int i = 0; i < 2; i++)
		rf_keypair_put(p->keypair[i]);
}

void rf_site_put(struct rf_site *t)
{
	if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
		return;
	for (size_t i = 0; i < t->app_count; i++)
		app_free(t->apps[i]);
	for (size_t i = 0; i < t->port_count; i++)
		port_free(t->port[i]);
	for (size_t i = 0; i < t->class_slots; i++)
		if (t->classes[i])
			rf_cert_tmpl_free(t->classes[i]->bind_template);
	rf_keypair_put(t->fallback);
	rf_geo_put(t->geo);
	rf_tokens_put(t->tokens);
	rf_map_fini(&t->hosts);
	rf_arena_fini(&t->arena);
	free(t);
}

int rf_site_host(struct rf_site *t, struct rf_str name, struct rf_app *app)
{
	struct rf_host *h = RF_ARENA_NEW(&t->arena, struct rf_host);
	struct rf_str key = rf_arena_dup(&t->arena, name);
	if (!h || !key.p)
		return RF_E_NOMEM;
	h->app = app;
	return rf_map_add(&t->hosts, &h->node, key) ? RF_E_EXISTS : RF_OK;
}

struct rf_snap *rf_snap_new(struct rf_site *site)
{
	struct rf_snap *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->site = rf_site_get(site);
	atomic_init(&s->pins, 1);
	s->zone_policy = calloc(site->zone_count + 1, sizeof *s->zone_policy);
	s->retired = calloc(1, sizeof *s->retired);
	if (s->retired && s->zone_policy)
		return s;
	rf_snap_unpin(s);
	return NULL;
}

static void policy_free(struct rf_policy *p)
{
	for (size_t i = 0; i < RF_PHASE_COUNT; i++)
		rf_phase_set_put(p->phase[i]);
	rf_phase_set_put(p->bars);
}

static void snap_free(struct rf_snap *s)
{
	for (size_t i = 0; s->zone_policy && i < s->site->zone_count; i++)
		policy_free(&s->zone_policy[i]);
	policy_free(&s->policy);
	rf_lists_put(s->lists);
	rf_trust_put(s->trust);
	rf_site_put(s->site);
	free(s->zone_policy);
	free(s->retired);
	free(s);
}

const struct rf_host *rf_snap_host(const struct rf_snap *s, struct rf_str host)
{
	char wild[256];
	const struct rf_map *hosts = &s->site->hosts;
	struct rf_map_node *n = rf_map_find(hosts, host);
	size_t dot = rf_str_find(host, '.');
	if (!n && dot < host.n && host.n - dot < sizeof wild) { /* one label for the star, as in certificates [RFC 6125 6.4.3] */
		wild[0] = '*';
		memcpy(wild + 1, host.p + dot, host.n - dot);
		n = rf_map_find(hosts, (struct rf_str){ wild, host.n - dot + 1 });
	}
	return n ? RF_CONTAINER(n, struct rf_host, node) : NULL;
}

const struct rf_app *rf_snap_app(const struct rf_snap *s, struct rf_str host)
{
	const struct rf_host *h = rf_snap_host(s, host);
	return h ? h->app : NULL;
}

static bool last_pin(struct rf_snap *s)
{
	return atomic_fetch_sub_explicit(&s->pins, 1, memory_order_acq_rel) == 1;
}

/* The thread of grace periods goes after the workers. It is not ours from its beginning. */
static void last(void)
{
	static _Thread_local bool done;
	if (!done)
		rf_way_last();
	done = true;
}

static void retired(struct rcu_head *head)
{
	last();
	struct rf_snap *s = RF_CONTAINER(head, struct rf_retired, rcu)->snap;
	if (last_pin(s))
		snap_free(s);
}

static void unpinned(struct rcu_head *head)
{
	last();
	snap_free(RF_CONTAINER(head, struct rf_retired, rcu)->snap);
}

struct rf_snap *rf_snap_swap(struct rf_snap *s)
{
	return atomic_exchange_explicit(&current, s, memory_order_acq_rel);
}

void rf_snap_retire(struct rf_snap *old)
{
	if (!old)
		return;
	old->retired->snap = old;
	call_rcu(&old->retired->rcu, retired);
}

void rf_snap_publish(struct rf_snap *s)
{
	rf_snap_retire(rf_snap_swap(s));
}

const struct rf_snap *rf_snap_now(void)
{
	return atomic_load_explicit(&current, memory_order_acquire);
}

const struct rf_snap *rf_snap_pin(const struct rf_snap *s)
{
	atomic_fetch_add_explicit(&((struct rf_snap *)s)->pins, 1, memory_order_relaxed);
	return s;
}

void rf_snap_unpin(const struct rf_snap *snap)
{
	struct rf_snap *s = (struct rf_snap *)snap;
	if (!s || !last_pin(s))
		return;
	if (s->retired && s->retired->snap)
		call_rcu(&s->retired->rcu, unpinned); /* what retired it has run: that was a pin */
	else
		snap_free(s);
}
