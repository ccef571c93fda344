/* svc/l4/udp_app: apps as this worker knows them, kept up with the snapshot, and the addresses of their endpoints.
 *
 * An app is made when its first session begins and refreshed by the first look at it under a new snapshot. When its group of origins has
 * changed, its targets are made anew, and the sessions that waited for a name choose again.
 */
#include <stdlib.h>
#include "base/hash.h"
#include "svc/l4/udp_in.h"

static struct target *target_of(struct app *a, const struct rf_origin *o)
{
	return o->group == a->group && o->index < a->target_count ? &a->targets[o->index] : NULL;
}

static void move(struct rf_node *from, struct rf_node *to)
{
	struct rf_node *node;
	while ((node = rf_list_first(from))) {
		rf_list_del(node);
		rf_list_push(to, node);
	}
}

/* Each gets on, or ends. */
static void proceed(struct rf_node *list)
{
	struct rf_node *node;
	while ((node = rf_list_first(list))) {
		struct session *s = RF_CONTAINER(node, struct session, waiting);
		session_waits(s, NULL);
		origin_proceed(s);
	}
}

static void changed(struct rf_watch *w)
{
	struct target *t = RF_CONTAINER(w, struct target, watch);
	struct rf_node now;
	rf_list_init(&now);
	move(&t->waiting, &now);
	proceed(&now);
}

static void targets_free(struct app *a, struct rf_node *ret_waiting)
{
	for (size_t i = 0; i < a->target_count; i++) {
		struct target *t = &a->targets[i];
		if (t->watching)
			rf_resolver_unwatch(a->udp->resolver, &t->watch);
		move(&t->waiting, ret_waiting);
	}
	free(a->targets);
	a->targets = NULL;
	a->target_count = 0;
	rf_origin_group_put(a->group);
	a->group = NULL;
}

static int targets_new(struct app *a, struct rf_origin_group *group)
{
	struct target *v = calloc(group->spec.count, sizeof *v);
	struct rf_node waiting;
	if (!v)
		return RF_E_NOMEM;
	rf_list_init(&waiting);
	targets_free(a, &waiting);
	for (size_t i = 0; i < group->spec.count; i++) {
		v[i] = (struct target){ .watch.changed = changed, .app = a, .origin = &group->origins[i] };
		rf_list_init(&v[i].waiting);
	}
	a->targets = v;
	a->target_count = group->spec.count;
	a->group = rf_origin_group_get(group);
	proceed(&waiting);
	return RF_OK;
}

static int refresh(struct app *a, const struct rf_snap *snap, const struct rf_port *p)
{
	char *name = strndup(p->name.n ? p->name.p : "", p->name.n);
	if (!name)
		return RF_E_NOMEM;
	free(a->name);
	a->name = name;
	a->generation = snap->generation;
	a->idle_ns = p->idle_ns;
	a->low = p->low;
	a->high = p->high;
	a->origin_low = p->origin_low;
	a->guard = p->guard;
	a->amplification = p->amplification;
	a->header = p->header == RF_PORT_HEADER_SIMPLE;
	a->ip_firewall = p->ip_firewall;
	return a->group == p->origins ? RF_OK : targets_new(a, p->origins);
}

static void app_free(struct app *a)
{
	struct rf_node none;
	rf_list_init(&none);
	targets_free(a, &none);
	rf_map_del(&a->udp->apps, &a->by_id);
	rf_port_use_put(a->use);
	free(a->name);
	free(a);
}

struct app *app_of(struct rf_l4_udp *u, const struct rf_snap *snap, const struct rf_port *p)
{
	struct rf_map_node *node = rf_map_find(&u->apps, rf_str_z(p->id));
	struct app *a = node ? RF_CONTAINER(node, struct app, by_id) : NULL;
	if (!a) {
		a = calloc(1, sizeof *a);
		if (!a)
			return NULL;
		a->udp = u;
		memcpy(a->id, p->id, sizeof a->id);
		a->use = rf_port_use_get(p->use);
		a->generation = snap->generation - 1;
		rf_map_add(&u->apps, &a->by_id, rf_str_z(a->id));
	}
	if (a->generation == snap->generation || refresh(a, snap, p) == RF_OK)
		return a;
	a->generation = snap->generation - 1; /* again next time: nothing is decided by half of it */
	return NULL;
}

void apps_sweep(struct rf_l4_udp *u)
{
	for (struct rf_map_node *node = rf_map_next(&u->apps, NULL), *next; node; node = next) {
		next = rf_map_next(&u->apps, node);
		struct app *a = RF_CONTAINER(node, struct app, by_id);
		if (!a->sessions)
			app_free(a);
	}
}

/* One of the addresses of a name: always the same for a session, another after a failure. */
static struct rf_ip pick(const struct session *s, const struct rf_answer *answer)
{
	uint64_t hash = rf_hash((struct rf_str){ (const char *)&s->key, sizeof s->key });
	return answer->addrs[(hash + s->failures) % answer->count];
}

uint16_t origin_port(const struct session *s, const struct rf_origin *o)
{
	const struct app *a = s->app;
	return a->low == a->high ? o->spec.port : (uint16_t)(a->origin_low + (s->key.edge_port - a->low));
}

/* An address of the endpoint's host: itself, or what its name leads to. */
static int look_up(struct session *s, const struct rf_origin *o, struct rf_ip *ret)
{
	struct target *t = target_of(s->app, o);
	if (rf_ip_parse(o->spec.host, ret))
		return RF_OK;
	if (!t || !s->udp->resolver)
		return RF_E_UNSUPPORTED;
	if (!t->watching && rf_resolver_watch(s->udp->resolver, &t->watch, o->spec.host) != RF_OK)
		return RF_E_UNSUPPORTED;
	t->watching = true;
	struct rf_answer answer = rf_watch_answer(&t->watch);
	if (answer.status == RF_E_AGAIN)
		session_waits(s, &t->waiting);
	if (answer.status != RF_OK)
		return answer.status;
	if (!answer.count)
		return RF_E_NOT_FOUND;
	*ret = pick(s, &answer);
	return RF_OK;
}

int target_addr(struct session *s, const struct rf_origin *o, struct rf_addr *ret)
{
	const struct rf_l4_udp *u = s->udp;
	struct rf_ip ip;
	int r = look_up(s, o, &ip);
	if (r)
		return r;
	struct rf_addr to = rf_addr_of(&ip, origin_port(s, o));
	if (!rf_ip_one_host(&ip) || (u->leads_back && u->leads_back(u->leads_back_arg, o->group->spec.id, &to)))
		return RF_E_DENIED;
	*ret = to;
	return RF_OK;
}
