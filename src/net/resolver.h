/* net/resolver: names to addresses, kept fresh while somebody watches them.
 *
 * A watch (embedded by its owner) names a host. The resolver asks for A and AAAA, asks again when
 * the TTL has passed, and tells every watch of the name when the addresses change. While
 * asking again fails, the last good answer stays (`stale`). Literal addresses and names of
 * the hosts file are answered at once and never asked.
 *
 * The hosts file and resolv.conf are read once, by rf_resolver_new: later the process may be
 * unable to. For an epoll loop; owned by its thread. Several resolvers of one process must not be
 * made at the same time.
 */
#pragma once
#include "base/ip.h"
#include "loop/loop.h"

enum { RF_RESOLVER_ADDRS = 16, RF_RESOLVER_NAME = 253 };

struct rf_resolver;

struct rf_resolver_opts { /* 0 and NULL: the default */
	uint32_t names_max;   /* 10000: names watched at a time */
	uint32_t asking_max;  /* 64: questions under way at a time; others wait in a queue */
	uint64_t ttl_min_ns;  /* 1 s: an answer is kept no shorter */
	uint64_t ttl_max_ns;  /* 300 s: and no longer */
	uint64_t retry_ns;    /* 5 s: after a failure or "no such name" */
	uint32_t timeout_ms;  /* 2000: for each try of each server */
	uint32_t tries;       /* 2 */
	const char *servers;  /* "192.0.2.1:53,[2001:db8::1]:53"; NULL: those of resolv.conf */
	const char *hosts;    /* path; NULL: /etc/hosts */
};

struct rf_resolver_stats {
	uint64_t asked, answered, absent, failed; /* questions; good; no such name or no address; no answer */
	uint64_t full;      /* RF_E_FULL of rf_resolver_watch */
	uint64_t truncated; /* answers with more than RF_RESOLVER_ADDRS addresses */
};

struct rf_name;

struct rf_watch {
	void (*changed)(struct rf_watch *w); /* may unwatch any watch; not called from within rf_resolver_watch */
	struct rf_name *name;                /* the resolver's, as are these */
	struct rf_node node;
	uint64_t seen;
};

struct rf_answer {
	int status; /* RF_OK; RF_E_AGAIN before the first answer; RF_E_NOT_FOUND (also when not watching);
		     * RF_E_TIMEOUT; RF_E_IO */
	bool stale; /* RF_OK, but asking again has failed since */
	unsigned count;
	const struct rf_ip *addrs; /* sorted; until the next turn */
};

/* NULL and *e on failure. */
struct rf_resolver *rf_resolver_new(struct rf_loop *loop, const struct rf_resolver_opts *opts, struct rf_err *e);
/* Every watch ends, without a call. */
void rf_resolver_free(struct rf_resolver *r);

/* Begin to watch `host`, a name or an address without brackets; w->changed is set. The answer may be
 * there at once: look at it; `changed` tells what comes later. RF_E_SYNTAX, RF_E_FULL, RF_E_NOMEM. */
int rf_resolver_watch(struct rf_resolver *r, struct rf_watch *w, struct rf_str host);
void rf_resolver_unwatch(struct rf_resolver *r, struct rf_watch *w); /* harmless when not watching */
struct rf_answer rf_watch_answer(const struct rf_watch *w);
const struct rf_resolver_stats *rf_resolver_stats(const struct rf_resolver *r);
