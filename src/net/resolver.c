/* net/resolver: watched names, asked when their TTL has passed, through net/ares.
 *
 * A name: watch -> queue -> asking -> answer -> its timer -> queue again ... A change marks the
 * name dirty; a task tells its watches at the end of the turn, outside of c-ares, so that they may
 * do anything. A name without watches goes at once, or when its question has come back.
 *
 * Invariants: a name is in the map. It is in `queue`, or `asking`, or its timer is set, or it
 * is fixed (literal or hosts file) and none of them. asking <= asking_max, and the queue is empty unless
 * they are equal, but for the time of one call.
 *
 * Not here: which address to use, and when to give up on one (egress).
 */
#include "net/resolver.h"
#include <stdlib.h>
#include "base/map.h"
#include "net/addr.h"
#include "net/ares.h"
#include "net/hosts.h"
#include "records/counters.h"

struct rf_name {
	struct rf_map_node node;
	struct rf_resolver *r;
	struct rf_node watches;
	struct rf_node queued;
	struct rf_node dirty;
	struct rf_timer timer;
	uint64_t version; /* of the answer; a watch that has seen less is to be told */
	int status;
	bool stale, asking;
	unsigned count;
	struct rf_ip addrs[RF_RESOLVER_ADDRS];
	char host[RF_RESOLVER_NAME + 1];
};

struct rf_resolver {
	struct rf_loop *loop;
	struct rf_resolver_opts opts;
	struct rf_resolver_stats stats;
	struct rf_ares ares;
	struct rf_hosts hosts;
	struct rf_map names;
	struct rf_node queue, dirty;
	struct rf_task tell;
	struct rf_name *telling; /* kept while its watches are told */
	uint32_t asking;
	bool pumping, ending;
};

static void free_name(struct rf_name *n)
{
	if (n->asking || n == n->r->telling || !rf_list_empty(&n->watches))
		return;
	rf_timer_stop(n->r->loop, &n->timer);
	rf_list_del(&n->queued);
	rf_list_del(&n->dirty);
	rf_map_del(&n->r->names, &n->node);
	free(n);
}

static void answered(void *arg, int status, int timeouts, struct ares_addrinfo *info);

static void ask_next(struct rf_resolver *r)
{
	struct rf_node *node;
	if (r->pumping) /* an answer that came at once: the loop below goes on */
		return;
	r->pumping = true;
	while (!r->ending && r->asking < r->opts.asking_max && (node = rf_list_first(&r->queue))) {
		struct rf_name *n = RF_CONTAINER(node, struct rf_name, queued);
		rf_list_del(node);
		n->asking = true;
		r->asking++;
		r->stats.asked++;
		rf_ares_ask(&r->ares, n->host, answered, n);
	}
	r->pumping = false;
}

static void due(struct rf_timer *t)
{
	struct rf_name *n = RF_CONTAINER(t, struct rf_name, timer);
	rf_list_push(&n->r->queue, &n->queued);
	ask_next(n->r);
}

static void changed(struct rf_name *n)
{
	n->version++;
	if (!rf_node_linked(&n->dirty))
		rf_list_push(&n->r->dirty, &n->dirty);
	rf_loop_defer(n->r->loop, &n->r->tell);
}

static int by_ip(const void *a, const void *b)
{
	return rf_ip_cmp(a, b);
}

static bool holds(const struct rf_ip *v, unsigned count, const struct rf_ip *ip)
{
	for (unsigned i = 0; i < count; i++)
		if (rf_ip_eq(&v[i], ip))
			return true;
	return false;
}

/* The addresses of an answer, and the seconds it holds in *ret_ttl. */
static unsigned collect(struct rf_resolver *r, const struct ares_addrinfo *info, struct rf_ip *ret,
			uint32_t *ret_ttl)
{
	unsigned count = 0;
	for (const struct ares_addrinfo_node *a = info->nodes; a; a = a->ai_next) {
		struct rf_addr addr = { .len = a->ai_addrlen };
		if (a->ai_addrlen > sizeof addr.any)
			continue;
		memcpy(&addr.any, a->ai_addr, a->ai_addrlen);
		struct rf_ip ip = rf_addr_ip(&addr);
		if ((uint32_t)a->ai_ttl < *ret_ttl)
			*ret_ttl = (uint32_t)a->ai_ttl;
		if (!ip.family || holds(ret, count, &ip))
			continue;
		if (count == RF_RESOLVER_ADDRS) {
			r->stats.truncated++;
			break;
		}
		ret[count++] = ip;
	}
	for (const struct ares_addrinfo_cname *c = info->cnames; c; c = c->next)
		if ((uint32_t)c->ttl < *ret_ttl)
			*ret_ttl = (uint32_t)c->ttl;
	qsort(ret, count, sizeof *ret, by_ip);
	return count;
}

static void good(struct rf_name *n, const struct rf_ip *addrs, unsigned count)
{
	bool same = n->status == RF_OK && n->count == count;
	for (unsigned i = 0; same && i < count; i++)
		same = rf_ip_eq(&n->addrs[i], &addrs[i]);
	n->stale = false;
	n->status = RF_OK;
	if (same)
		return;
	memcpy(n->addrs, addrs, count * sizeof *addrs);
	n->count = count;
	changed(n);
}

static void bad(struct rf_name *n, int status)
{
	n->stale = n->status == RF_OK;
	if (n->stale || n->status == status)
		return;
	n->status = status;
	changed(n);
}

static int code_of(int ares_status)
{
	switch (ares_status) {
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
		return RF_E_NOT_FOUND;
	case ARES_ETIMEOUT:
		return RF_E_TIMEOUT;
	default:
		return RF_E_IO;
	}
}

/* Take an answer over; how long it holds. */
static uint64_t settle(struct rf_name *n, int status, const struct ares_addrinfo *info)
{
	struct rf_resolver *r = n->r;
	struct rf_ip addrs[RF_RESOLVER_ADDRS];
	uint32_t ttl = INT32_MAX; /* [RFC 2181 8] */
	unsigned count = status == ARES_SUCCESS && info ? collect(r, info, addrs, &ttl) : 0;
	if (count) {
		r->stats.answered++;
		rf_count(RF_C_RESOLVE_OK);
		good(n, addrs, count);
		uint64_t ns = ttl * RF_NS_S;
		return ns < r->opts.ttl_min_ns ? r->opts.ttl_min_ns : ns > r->opts.ttl_max_ns ? r->opts.ttl_max_ns : ns;
	}
	int code = status == ARES_SUCCESS ? RF_E_NOT_FOUND : code_of(status);
	*(code == RF_E_NOT_FOUND ? &r->stats.absent : &r->stats.failed) += 1;
	rf_count(RF_C_RESOLVE_BAD);
	bad(n, code);
	return r->opts.retry_ns;
}

static void answered(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct rf_name *n = arg;
	struct rf_resolver *r = n->r;
	(void)timeouts;
	n->asking = false;
	r->asking--;
	if (!r->ending && !rf_list_empty(&n->watches))
		rf_timer_set(r->loop, &n->timer, rf_loop_now(r->loop) + settle(n, status, info));
	if (info)
		ares_freeaddrinfo(info);
	free_name(n);
	ask_next(r);
}

static struct rf_watch *untold(struct rf_name *n)
{
	RF_LIST_EACH(node, &n->watches) {
		struct rf_watch *w = RF_CONTAINER(node, struct rf_watch, node);
		if (w->seen != n->version)
			return w;
	}
	return NULL;
}

static void tell(struct rf_task *t)
{
	struct rf_resolver *r = RF_CONTAINER(t, struct rf_resolver, tell);
	struct rf_node *node;
	while ((node = rf_list_first(&r->dirty))) {
		struct rf_watch *w;
		struct rf_name *n = r->telling = RF_CONTAINER(node, struct rf_name, dirty);
		rf_list_del(node);
		while ((w = untold(n))) { /* the list may change at each call */
			w->seen = n->version;
			w->changed(w);
		}
		r->telling = NULL;
		free_name(n);
	}
}

static void defaults(struct rf_resolver_opts *o)
{
	o->names_max = o->names_max ? o->names_max : 10000;
	o->asking_max = o->asking_max ? o->asking_max : 64;
	o->ttl_min_ns = o->ttl_min_ns ? o->ttl_min_ns : RF_NS_S;
	o->ttl_max_ns = o->ttl_max_ns ? o->ttl_max_ns : 300 * RF_NS_S;
	o->retry_ns = o->retry_ns ? o->retry_ns : 5 * RF_NS_S;
	o->timeout_ms = o->timeout_ms ? o->timeout_ms : 2000;
	o->tries = o->tries ? o->tries : 2;
	o->hosts = o->hosts ? o->hosts : "/etc/hosts";
}

struct rf_resolver *rf_resolver_new(struct rf_loop *loop, const struct rf_resolver_opts *opts, struct rf_err *e)
{
	struct rf_resolver *r = calloc(1, sizeof *r);
	if (!r) {
		rf_fail(e, RF_E_NOMEM, "no memory for a resolver");
		return NULL;
	}
	r->loop = loop;
	if (opts)
		r->opts = *opts;
	defaults(&r->opts);
	rf_list_init(&r->queue);
	rf_list_init(&r->dirty);
	r->tell.run = tell;
	if (rf_ares_init(&r->ares, loop, r->opts.servers, r->opts.timeout_ms, r->opts.tries, e)) {
		free(r);
		return NULL;
	}
	rf_hosts_read(&r->hosts, r->opts.hosts);
	r->opts.servers = r->opts.hosts = NULL; /* the caller's */
	return r;
}

void rf_resolver_free(struct rf_resolver *r)
{
	if (!r)
		return;
	r->ending = true;
	rf_ares_fini(&r->ares);
	rf_task_cancel(&r->tell);
	struct rf_map_node *node = rf_map_next(&r->names, NULL);
	while (node) {
		struct rf_name *n = RF_CONTAINER(node, struct rf_name, node);
		struct rf_node *w;
		node = rf_map_next(&r->names, node);
		while ((w = rf_list_first(&n->watches))) {
			rf_list_del(w);
			RF_CONTAINER(w, struct rf_watch, node)->name = NULL;
		}
		free_name(n);
	}
	rf_map_fini(&r->names);
	rf_hosts_fini(&r->hosts);
	free(r);
}

/* Letters, digits, '-' and '_' in labels of 1 to 63 [RFC 1035 2.3.4]; lower case to `to`, a final dot kept. */
static bool host_ok(struct rf_str host, char to[RF_RESOLVER_NAME + 1])
{
	size_t label = 0;
	if (!host.n || host.n > RF_RESOLVER_NAME)
		return false;
	for (size_t i = 0; i < host.n; i++) {
		unsigned char c = rf_lower((unsigned char)host.p[i]);
		bool dot = c == '.';
		if (dot ? !label : ++label > 63)
			return false;
		if (!dot && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return false;
		label = dot ? 0 : label;
		to[i] = (char)c;
	}
	to[host.n] = 0;
	return true;
}

/* A literal address or one of the hosts file needs no question. */
static bool fixed(struct rf_name *n, struct rf_str host)
{
	struct rf_str name = host;
	if (name.n && name.p[name.n - 1] == '.')
		name.n--;
	if (rf_ip_parse(host, n->addrs))
		n->count = 1;
	else
		n->count = rf_hosts_find(&n->r->hosts, name, n->addrs, RF_RESOLVER_ADDRS);
	n->status = n->count ? RF_OK : RF_E_AGAIN;
	qsort(n->addrs, n->count, sizeof *n->addrs, by_ip);
	return n->count;
}

static int new_name(struct rf_resolver *r, struct rf_str key, struct rf_name **ret)
{
	if (r->names.count >= r->opts.names_max) {
		r->stats.full++;
		return RF_E_FULL;
	}
	struct rf_name *n = calloc(1, sizeof *n);
	if (!n)
		return RF_E_NOMEM;
	n->r = r;
	n->timer.fire = due;
	n->version = 1;
	rf_list_init(&n->watches);
	memcpy(n->host, key.p, key.n);
	rf_map_add(&r->names, &n->node, (struct rf_str){ n->host, key.n });
	if (!fixed(n, key))
		rf_list_push(&r->queue, &n->queued);
	*ret = n;
	return RF_OK;
}

int rf_resolver_watch(struct rf_resolver *r, struct rf_watch *w, struct rf_str host)
{
	char text[RF_RESOLVER_NAME + 1];
	struct rf_ip ip;
	struct rf_name *n;
	if (rf_ip_parse(host, &ip))
		host = rf_str_z(rf_ip_str(&ip, text));
	else if (!host_ok(host, text))
		return RF_E_SYNTAX;
	struct rf_str key = { text, host.n };
	struct rf_map_node *node = rf_map_find(&r->names, key);
	int e = RF_OK;
	if (node)
		n = RF_CONTAINER(node, struct rf_name, node);
	else
		e = new_name(r, key, &n);
	if (e)
		return e;
	w->name = n;
	w->seen = n->version;
	rf_list_push(&n->watches, &w->node);
	ask_next(r);
	return RF_OK;
}

void rf_resolver_unwatch(struct rf_resolver *r, struct rf_watch *w)
{
	struct rf_name *n = w->name;
	(void)r;
	if (!n)
		return;
	rf_list_del(&w->node);
	w->name = NULL;
	free_name(n);
}

struct rf_answer rf_watch_answer(const struct rf_watch *w)
{
	const struct rf_name *n = w->name;
	if (!n)
		return (struct rf_answer){ .status = RF_E_NOT_FOUND };
	return (struct rf_answer){ n->status, n->stale, n->status == RF_OK ? n->count : 0, n->addrs };
}

const struct rf_resolver_stats *rf_resolver_stats(const struct rf_resolver *r)
{
	return &r->stats;
}
