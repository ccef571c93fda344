/* svc/snapshot: publication by one pointer; retirement after a grace period and the last pin.
 *
 * A snapshot begins with one pin, that of being current. Publishing the next one takes that pin away
 * after every registered thread has passed a quiet point, so a reader that saw the pointer can still pin it.
 */
#include <stdlib.h>
#include <urcu-qsbr.h>
#include "svc/snapshot.h"

enum { ARENA_BOUND = 512 << 20 };

struct rf_retired { /* what call_rcu needs, made beforehand so that retiring cannot fail */
	struct rcu_head rcu;
	struct rf_snap *snap;
};

static _Atomic(struct rf_snap *) current;

struct rf_snap *rf_snap_new(void)
{
	struct rf_snap *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	rf_arena_init(&s->arena, ARENA_BOUND);
	atomic_init(&s->pins, 1);
	s->retired = malloc(sizeof *s->retired);
	if (s->retired)
		return s;
	free(s);
	return NULL;
}

static void policy_free(struct rf_policy *p)
{
	for (size_t i = 0; i < RF_PHASE_COUNT; i++)
		rf_phase_set_put(p->phase[i]);
}

static void app_free(struct rf_app *a)
{
	rf_origin_group_put(a->origins);
	for (int i = 0; i < 2; i++)
		rf_keypair_put(a->keypair[i]);
	for (size_t i = 0; i < a->header_count; i++)
		rf_cert_tmpl_free(a->headers[i].value);
}

static void snap_free(struct rf_snap *s)
{
	for (size_t i = 0; i < s->app_count; i++)
		app_free(s->apps[i]);
	for (size_t i = 0; i < s->zone_count; i++)
		policy_free(&s->zones[i]->policy);
	for (size_t i = 0; i < s->class_slots; i++)
		if (s->classes[i])
			rf_cert_tmpl_free(s->classes[i]->bind_template);
	for (int i = 0; i < 2; i++)
		rf_keypair_put(s->fallback[i]);
	policy_free(&s->policy);
	rf_lists_put(s->lists);
	rf_trust_put(s->trust);
	rf_map_fini(&s->hosts);
	rf_arena_fini(&s->arena);
	free(s->retired);
	free(s);
}

int rf_snap_host(struct rf_snap *s, struct rf_str name, struct rf_app *app)
{
	struct rf_host *h = RF_ARENA_NEW(&s->arena, struct rf_host);
	struct rf_str key = rf_arena_dup(&s->arena, name);
	if (!h || !key.p)
		return RF_E_NOMEM;
	h->app = app;
	return rf_map_add(&s->hosts, &h->node, key) ? RF_E_EXISTS : RF_OK;
}

const struct rf_app *rf_snap_app(const struct rf_snap *s, struct rf_str host)
{
	char wild[256];
	struct rf_map_node *n = rf_map_find(&s->hosts, host);
	size_t dot = rf_str_find(host, '.');
	if (!n && dot < host.n && host.n - dot < sizeof wild) { /* one label for the star, as in certificates [RFC 6125 6.4.3] */
		wild[0] = '*';
		memcpy(wild + 1, host.p + dot, host.n - dot);
		n = rf_map_find(&s->hosts, (struct rf_str){ wild, host.n - dot + 1 });
	}
	return n ? RF_CONTAINER(n, struct rf_host, node)->app : NULL;
}

static void retired(struct rcu_head *head)
{
	rf_snap_unpin(RF_CONTAINER(head, struct rf_retired, rcu)->snap);
}

void rf_snap_publish(struct rf_snap *s)
{
	struct rf_snap *old = atomic_exchange(&current, s);
	if (!old)
		return;
	old->retired->snap = old;
	call_rcu(&old->retired->rcu, retired);
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

void rf_snap_unpin(const struct rf_snap *s)
{
	if (s && atomic_fetch_sub_explicit(&((struct rf_snap *)s)->pins, 1, memory_order_acq_rel) == 1)
		snap_free((struct rf_snap *)s);
}
