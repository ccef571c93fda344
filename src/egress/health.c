/* egress/health: active checks of origins.
 *
 *   timer -> take a fresh connection -> ready: write the request -> read the head -> verdict -> give back -> timer
 *
 * A check that is not over at its timeout has failed. A check never waits for another; two of one
 * endpoint never overlap.
 *
 * Where a connection is enough (connect), the verdict comes with it.
 *
 * Invariant: a check holds a reference to its group, so that `origin` stays.
 */
#include "egress/health.h"
#include <stdlib.h>
#include "records/counters.h"
#include "wire/http1.h"

enum { HEAD_MAX = 8192, REQUEST_MAX = 2048, ARENA_MAX = 65536 };
#define FIRST_NS (200 * RF_NS_MS) /* first checks are spread over this */

struct check {
	struct rf_node node;
	struct rf_health *health;
	struct rf_origin_group *group;
	const struct rf_origin *origin;
	struct rf_timer timer;       /* the next check, or the end of this one's time */
	uint64_t began;
	struct rf_upstream *up;      /* while one is under way */
	char *text;                  /* request to send, then the answer */
	size_t n, sent;
	bool asked;
	bool keep;                   /* still wanted, in rf_health_watch */
};

struct rf_health {
	struct rf_loop *loop;
	struct rf_pool *pool;
	struct rf_node checks;
	unsigned turn;
	void (*changed)(void *arg, const struct rf_origin *o, bool up);
	void *arg;
};

struct rf_health *rf_health_new(struct rf_loop *loop, struct rf_tls *tls, struct rf_resolver *resolver)
{
	struct rf_health *h = calloc(1, sizeof *h);
	if (!h)
		return NULL;
	h->loop = loop;
	rf_list_init(&h->checks);
	h->pool = rf_pool_new(loop, tls, resolver);
	if (h->pool)
		return h;
	free(h);
	return NULL;
}

void rf_health_tell(struct rf_health *h, void (*changed)(void *arg, const struct rf_origin *o, bool up), void *arg)
{
	h->changed = changed;
	h->arg = arg;
}

static void over(struct check *c)
{
	if (c->up)
		rf_pool_give(c->up, false);
	c->up = NULL;
	free(c->text);
	c->text = NULL;
}

static void verdict(struct check *c, bool ok)
{
	struct rf_health *h = c->health;
	uint64_t next = c->began + c->group->spec.health.interval_ns, now = rf_loop_now(h->loop);
	over(c);
	rf_count(ok ? RF_C_ORIGIN_CHECK_OK : RF_C_ORIGIN_CHECK_BAD);
	rf_timer_set(h->loop, &c->timer, next > now ? next : now + 1);
	if (rf_origin_checked(c->origin, ok) && h->changed)
		h->changed(h->arg, c->origin, ok);
}

/* Write the request. RF_OK when all is out. */
static int ask(struct check *c)
{
	while (c->sent < c->n) {
		struct iovec v = { c->text + c->sent, c->n - c->sent };
		ssize_t r = rf_stream_write(&c->up->stream, &v, 1);
		if (r < 0)
			return (int)r;
		c->sent += (size_t)r;
	}
	c->asked = true;
	c->n = 0;
	return RF_OK;
}

/* Read until the status is known. RF_OK and *ret_ok; RF_E_AGAIN; an error. */
static int listen_to(struct check *c, bool *ret_ok)
{
	const struct rf_health_spec *spec = &c->group->spec.health;
	for (;;) {
		struct rf_http_scan scan = { 0 };
		struct rf_http_head head;
		struct rf_arena a;
		rf_arena_init(&a, ARENA_MAX);
		int r = rf_http_parse_response(&scan, (struct rf_str){ c->text, c->n }, &rf_http_limits_default, &a,
					       RF_HTTP_GET, &head);
		rf_arena_fini(&a);
		if (r == RF_OK && head.status >= 200) {
			*ret_ok = head.status >= spec->expect_low && head.status <= spec->expect_high;
			return RF_OK;
		}
		if (r == RF_OK) { /* an interim one */
			memmove(c->text, c->text + head.size, c->n - head.size);
			c->n -= head.size;
			continue;
		}
		if (r != RF_E_AGAIN || c->n == HEAD_MAX)
			return RF_E_INVALID;
		ssize_t got = rf_stream_read(&c->up->stream, c->text + c->n, HEAD_MAX - c->n);
		if (got < 0)
			return (int)got;
		c->n += (size_t)got;
	}
}

static void event(struct rf_upstream *u)
{
	struct check *c = u->arg;
	bool ok = false;
	int r = rf_upstream_ready(u);
	if (c->group->spec.health.connect && r != RF_E_AGAIN) {
		verdict(c, r == RF_OK);
		return;
	}
	if (r == RF_OK && !c->asked)
		r = ask(c);
	if (r == RF_OK)
		r = listen_to(c, &ok);
	if (r != RF_E_AGAIN)
		verdict(c, r == RF_OK && ok);
}

/* The request, in room that the answer will have; false without memory. */
static bool phrase(struct check *c)
{
	const struct rf_health_spec *spec = &c->group->spec.health;
	struct rf_str host = spec->host.n ? spec->host : c->origin->authority;
	struct rf_str path = spec->path.n ? spec->path : RF_STR("/");
	struct rf_buf b = { .bound = REQUEST_MAX };
	c->asked = false;
	c->sent = 0;
	rf_buf_printf(&b, "GET %.*s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: ringfence-health\r\nConnection: close\r\n\r\n",
		      RF_ARG(path), RF_ARG(host));
	c->n = b.n;
	c->text = b.bad ? NULL : malloc(HEAD_MAX);
	if (c->text)
		memcpy(c->text, b.p, b.n);
	rf_buf_fini(&b);
	return c->text;
}

static int take(struct check *c)
{
	const struct rf_health_spec *spec = &c->group->spec.health;
	struct rf_pool *pool = c->health->pool;
	return spec->connect ? rf_pool_open(pool, c->origin, 0, spec->first, event, c, &c->up) :
		rf_pool_take(pool, c->origin, true, event, c, &c->up);
}

static void begin(struct check *c)
{
	const struct rf_health_spec *spec = &c->group->spec.health;
	struct rf_health *h = c->health;
	c->began = rf_loop_now(h->loop);
	if ((!spec->connect && !phrase(c)) || take(c) != RF_OK) {
		verdict(c, false);
		return;
	}
	rf_timer_set(h->loop, &c->timer, c->began + spec->timeout_ns);
	event(c->up);
}

static void fire(struct rf_timer *t)
{
	struct check *c = RF_CONTAINER(t, struct check, timer);
	if (c->up)
		verdict(c, false);
	else
		begin(c);
}

static void check_free(struct check *c)
{
	rf_timer_stop(c->health->loop, &c->timer);
	over(c);
	rf_list_del(&c->node);
	rf_origin_group_put(c->group);
	free(c);
}

/* The check of the same endpoint in the same way, from before. */
static struct check *known(struct rf_health *h, const struct rf_origin *o)
{
	RF_LIST_EACH(n, &h->checks) {
		struct check *c = RF_CONTAINER(n, struct check, node);
		if (c->origin->live == o->live && !c->keep)
			return c;
	}
	return NULL;
}

static int add(struct rf_health *h, struct rf_origin_group *g, const struct rf_origin *o)
{
	struct check *c = known(h, o);
	if (c && c->up) /* what is under way belongs to the old group */
		over(c);
	if (!c) {
		c = calloc(1, sizeof *c);
		if (!c)
			return RF_E_NOMEM;
		c->health = h;
		c->timer.fire = fire;
		rf_list_push(&h->checks, &c->node);
	}
	if (!c->timer.node.at || !c->group)
		rf_timer_set(h->loop, &c->timer, rf_loop_now(h->loop) + h->turn++ * 7919 * RF_NS_US % FIRST_NS);
	struct rf_origin_group *old = c->group;
	c->group = rf_origin_group_get(g);
	c->origin = o;
	c->keep = true;
	rf_origin_group_put(old);
	return RF_OK;
}

int rf_health_watch(struct rf_health *h, struct rf_origin_group *const *groups, size_t count)
{
	int r = RF_OK;
	RF_LIST_EACH(n, &h->checks)
		RF_CONTAINER(n, struct check, node)->keep = false;
	for (size_t i = 0; i < count; i++) {
		if (!groups[i]->spec.health.interval_ns)
			continue;
		for (size_t k = 0; k < groups[i]->spec.count; k++) {
			int one = add(h, groups[i], &groups[i]->origins[k]);
			r = one ? one : r;
		}
	}
	RF_LIST_EACH(n, &h->checks) {
		struct check *c = RF_CONTAINER(n, struct check, node);
		if (!c->keep)
			check_free(c);
	}
	return r;
}

void rf_health_free(struct rf_health *h)
{
	if (!h)
		return;
	while (!rf_list_empty(&h->checks))
		check_free(RF_CONTAINER(rf_list_first(&h->checks), struct check, node));
	rf_pool_free(h->pool);
	free(h);
}
