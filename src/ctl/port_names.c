/* ctl/port_names: see port_names.h.
 *
 * A name: follow -> asked (net/ares) -> answered -> its timer -> asked again ... It goes when no port of the state has it any more, or, where a
 * question is under way, when that has come back. Another answer than before defers one rebuild to the end of the turn.
 *
 * Invariants: a name is in the map and not `gone`, or `gone`, asking and in no map. A name of the map is asking or its timer is set.
 */
#include "ctl/port_names.h"
#include <ares_nameser.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include "base/buf.h"
#include "ctl/doc.h"
#include "ctl/private.h"
#include "net/ares.h"
#include "records/counters.h"
#include "records/log.h"

enum { TIMEOUT_MS = 2000, TRIES = 2, WEIGHT_MAX = 1000, RARE = 10 };
#define RETRY_NS (5 * RF_NS_S)

static const struct { const char *word; int type; } types[] = {
	[RF_PORT_NAME_A] = { "A", T_A }, [RF_PORT_NAME_AAAA] = { "AAAA", T_AAAA }, [RF_PORT_NAME_SRV] = { "SRV", T_SRV },
};

struct name {
	struct rf_map_node node;
	struct rf_port_names *all;
	struct rf_timer timer;
	enum rf_port_name_type type;
	uint64_t ttl_ns;
	bool asking, wanted, gone, failing;
	struct rf_port_named *v;
	size_t n;
	char key[RF_PORT_NAME_TEXT + 8]; /* "SRV _ssh._tcp.example.com" */
};

struct rf_port_names {
	struct rf_ctl *c;
	struct rf_ares ares;
	struct rf_map names;
	struct rf_task rebuild;
	bool ending;
};

static const char *host_of(const struct name *n)
{
	return strchr(n->key, ' ') + 1;
}

/* --- answers --- */

static int by_rank(const void *left, const void *right)
{
	const struct ares_srv_reply *a = *(void *const *)left, *b = *(void *const *)right;
	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	int c = strcmp(a->host, b->host);
	return c ? c : (a->port > b->port) - (a->port < b->port);
}

static unsigned divisor(unsigned a, unsigned b)
{
	while (b) {
		unsigned rest = a % b;
		a = b;
		b = rest;
	}
	return a;
}

/* Weights of one priority, as small as their proportions allow, because the choice between origins goes round in steps of them. One of 0 is
 * chosen rarely, not never [RFC 2782]. */
static void scale(struct rf_port_named *v, size_t n)
{
	unsigned common = 0, most = 0, zeros = 0;
	for (size_t i = 0; i < n; i++) {
		common = divisor(common, v[i].weight);
		most = v[i].weight > most ? v[i].weight : most;
		zeros += !v[i].weight;
	}
	unsigned times = zeros && most ? RARE : 1;
	for (size_t i = 0; i < n; i++) {
		uint64_t w = common ? (uint64_t)v[i].weight / common * times : 0, top = common ? (uint64_t)most / common * times : 0;
		w = top > WEIGHT_MAX ? w * WEIGHT_MAX / top : w;
		v[i].weight = w ? (unsigned)w : 1;
	}
}

static size_t take_srv(struct ares_srv_reply **sorted, size_t count, struct rf_port_named *ret)
{
	size_t n = 0, tier = 0;
	unsigned rank = 0, priority = 0;
	for (size_t i = 0; i < count && n < RF_PORT_NAME_ORIGINS; i++) {
		const struct ares_srv_reply *r = sorted[i];
		if (!r->host[0] || strcmp(r->host, ".") == 0 || !r->port || strlen(r->host) >= RF_PORT_NAME_TEXT)
			continue;
		if (n > tier && r->priority != priority) {
			scale(ret + tier, n - tier);
			tier = n;
			rank++;
		}
		priority = r->priority;
		ret[n] = (struct rf_port_named){ .port = r->port, .weight = r->weight, .backup = rank };
		memcpy(ret[n].host, r->host, strlen(r->host) + 1);
		n++;
	}
	scale(ret + tier, n - tier);
	return n;
}

bool rf_port_names_srv(const unsigned char *answer, size_t n, struct rf_port_named ret[RF_PORT_NAME_ORIGINS], size_t *ret_count)
{
	struct ares_srv_reply *all = NULL, *sorted[4 * RF_PORT_NAME_ORIGINS];
	size_t count = 0;
	if (ares_parse_srv_reply(answer, (int)n, &all) != ARES_SUCCESS)
		return false;
	for (struct ares_srv_reply *r = all; r && count < sizeof sorted / sizeof *sorted; r = r->next)
		sorted[count++] = r;
	qsort(sorted, count, sizeof *sorted, by_rank);
	*ret_count = take_srv(sorted, count, ret);
	ares_free_data(all);
	return true;
}

static int by_host(const void *a, const void *b)
{
	return strcmp(((const struct rf_port_named *)a)->host, ((const struct rf_port_named *)b)->host);
}

static bool take_addresses(const unsigned char *answer, int n, bool v6, struct rf_port_named *ret, size_t *ret_count)
{
	struct ares_addrttl a4[RF_PORT_NAME_ORIGINS];
	struct ares_addr6ttl a6[RF_PORT_NAME_ORIGINS];
	int count = RF_PORT_NAME_ORIGINS;
	int rc = v6 ? ares_parse_aaaa_reply(answer, n, NULL, a6, &count) : ares_parse_a_reply(answer, n, NULL, a4, &count);
	if (rc != ARES_SUCCESS)
		return false;
	for (int i = 0; i < count; i++) {
		ret[i] = (struct rf_port_named){ .weight = 1 };
		inet_ntop(v6 ? AF_INET6 : AF_INET, v6 ? (const void *)&a6[i].ip6addr : (const void *)&a4[i].ipaddr, ret[i].host, sizeof ret[i].host);
	}
	qsort(ret, (size_t)count, sizeof *ret, by_host);
	*ret_count = (size_t)count;
	return true;
}

static bool take(const struct name *n, const unsigned char *answer, int size, struct rf_port_named *ret, size_t *ret_count)
{
	return n->type == RF_PORT_NAME_SRV ? rf_port_names_srv(answer, (size_t)size, ret, ret_count)
					   : take_addresses(answer, size, n->type == RF_PORT_NAME_AAAA, ret, ret_count);
}

/* --- one name --- */

static void name_free(struct name *n)
{
	rf_timer_stop(n->all->c->loop, &n->timer);
	free(n->v);
	free(n);
}

static void name_drop(struct name *n)
{
	rf_map_del(&n->all->names, &n->node);
	rf_timer_stop(n->all->c->loop, &n->timer);
	n->gone = true;
	if (!n->asking)
		name_free(n);
}

static bool same(const struct rf_port_named *a, const struct rf_port_named *b)
{
	return strcmp(a->host, b->host) == 0 && a->port == b->port && a->weight == b->weight && a->backup == b->backup;
}

/* Take over an answer; without memory the one before stays. */
static void keep(struct name *n, const struct rf_port_named *v, size_t count)
{
	bool news = count != n->n;
	for (size_t i = 0; i < count && !news; i++)
		news = !same(&v[i], &n->v[i]);
	if (!news)
		return;
	struct rf_port_named *copy = malloc(count ? count * sizeof *v : 1);
	if (!copy)
		return;
	if (count)
		memcpy(copy, v, count * sizeof *v);
	free(n->v);
	n->v = copy;
	n->n = count;
	rf_loop_defer(n->all->c->loop, &n->all->rebuild);
}

static void failed(struct name *n, int status)
{
	rf_count(RF_C_RESOLVE_BAD);
	if (!n->failing)
		rf_log(RF_LOG_WARN, "ports", "the origins %s are not found: %s; %s", n->key, ares_strerror(status),
		       n->n ? "the last answer stays" : "the port refuses until they are");
	n->failing = true;
}

static void answered(void *arg, int status, int timeouts, unsigned char *answer, int size)
{
	struct name *n = arg;
	struct rf_port_named v[RF_PORT_NAME_ORIGINS];
	size_t count = 0;
	(void)timeouts;
	n->asking = false;
	if (n->gone || n->all->ending) {
		if (n->gone)
			name_free(n);
		return;
	}
	if (status == ARES_SUCCESS && !take(n, answer, size, v, &count))
		status = ARES_EBADRESP;
	if (status == ARES_SUCCESS) {
		rf_count(RF_C_RESOLVE_OK);
		n->failing = false;
		keep(n, v, count);
	} else {
		failed(n, status);
	}
	uint64_t wait = status == ARES_SUCCESS || n->ttl_ns < RETRY_NS ? n->ttl_ns : RETRY_NS;
	rf_timer_set(n->all->c->loop, &n->timer, rf_loop_now(n->all->c->loop) + wait);
}

static void ask(struct name *n)
{
	n->asking = true;
	rf_ares_query(&n->all->ares, host_of(n), types[n->type].type, answered, n);
}

static void due(struct rf_timer *t)
{
	ask(RF_CONTAINER(t, struct name, timer));
}

static struct name *find(const struct rf_port_names *all, struct rf_str host, enum rf_port_name_type type, char key[RF_PORT_NAME_TEXT + 8])
{
	int n = snprintf(key, RF_PORT_NAME_TEXT + 8, "%s %.*s", types[type].word, RF_ARG(host));
	struct rf_map_node *node = n < RF_PORT_NAME_TEXT + 8 ? rf_map_find(&all->names, rf_str_z(key)) : NULL;
	return node ? RF_CONTAINER(node, struct name, node) : NULL;
}

static int want(struct rf_port_names *all, struct rf_str host, enum rf_port_name_type type, uint64_t ttl_ns)
{
	char key[RF_PORT_NAME_TEXT + 8];
	struct name *n = find(all, host, type, key);
	if (n) {
		n->ttl_ns = n->wanted && n->ttl_ns < ttl_ns ? n->ttl_ns : ttl_ns;
		n->wanted = true;
		return RF_OK;
	}
	if (all->names.count == RF_PORT_NAMES_MAX)
		return RF_E_FULL;
	if (!(n = calloc(1, sizeof *n)))
		return RF_E_NOMEM;
	n->all = all;
	n->type = type;
	n->ttl_ns = ttl_ns;
	n->wanted = true;
	n->timer.fire = due;
	memcpy(n->key, key, sizeof key);
	rf_map_add(&all->names, &n->node, rf_str_z(n->key));
	ask(n);
	return RF_OK;
}

/* --- all of them --- */

static int each_port(const struct rf_object *o, void *arg)
{
	const json_t *dns = json_object_get(o->doc, "origin_dns");
	for (int type = 0; type < 3 && doc_bool(o->doc, "enabled", true); type++)
		if (doc_is(dns, "type", types[type].word)) {
			int rc = want(arg, doc_str(dns, "name"), (enum rf_port_name_type)type, (uint64_t)doc_int(dns, "ttl", 60) * RF_NS_S);
			if (rc != RF_OK)
				rf_log(RF_LOG_ERROR, "ports", "the origins of %s are not asked for: %s", o->name, rf_code_sentence(rc));
		}
	return RF_OK;
}

void rf_port_names_follow(struct rf_port_names *all)
{
	struct rf_store_query every = { 0 };
	struct rf_err e;
	struct rf_map_node *node = NULL;
	while ((node = rf_map_next(&all->names, node)))
		RF_CONTAINER(node, struct name, node)->wanted = false;
	if (rf_store_list(all->c->store, RF_KIND_PORT, &every, each_port, all, NULL, &e) != RF_OK) {
		rf_log(RF_LOG_ERROR, "ports", "the origins of ports cannot be read: %s", e.text);
		return;
	}
	for (node = rf_map_next(&all->names, NULL); node;) {
		struct name *n = RF_CONTAINER(node, struct name, node);
		node = rf_map_next(&all->names, node);
		if (!n->wanted)
			name_drop(n);
	}
}

size_t rf_port_names_find(const struct rf_port_names *all, struct rf_str host, enum rf_port_name_type type, const struct rf_port_named **ret)
{
	char key[RF_PORT_NAME_TEXT + 8];
	const struct name *n = all ? find(all, host, type, key) : NULL;
	if (!n)
		return 0;
	*ret = n->v;
	return n->n;
}

static void rebuild(struct rf_task *t)
{
	struct rf_port_names *all = RF_CONTAINER(t, struct rf_port_names, rebuild);
	struct rf_err e;
	if (rf_ctl_rebuild(all->c, RF_PART_SITE, &e) != RF_OK)
		rf_log(RF_LOG_ERROR, "ports", "origins have changed, and those before stay: %s", e.text);
}

int rf_port_names_new(struct rf_ctl *c, const char *servers, struct rf_port_names **ret, struct rf_err *e)
{
	struct rf_port_names *all = calloc(1, sizeof *all);
	if (!all)
		return rf_fail(e, RF_E_NOMEM, "no memory for the names of origins");
	all->c = c;
	all->rebuild.run = rebuild;
	int rc = rf_ares_init(&all->ares, c->loop, servers, TIMEOUT_MS, TRIES, e);
	if (rc != RF_OK) {
		free(all);
		return rc;
	}
	*ret = all;
	return RF_OK;
}

void rf_port_names_free(struct rf_port_names *all)
{
	if (!all)
		return;
	all->ending = true;
	rf_ares_fini(&all->ares);
	rf_task_cancel(&all->rebuild);
	for (struct rf_map_node *node; (node = rf_map_next(&all->names, NULL));) {
		struct name *n = RF_CONTAINER(node, struct name, node);
		rf_map_del(&all->names, node);
		name_free(n);
	}
	rf_map_fini(&all->names);
	free(all);
}
