/* svc/l4/crowd: floods of connections to TCP ports, and of sessions of UDP ports.
 *
 *   one that is welcome -> counted at its port (shield/feed) -> the control thread finds a flood -> bounds for the port ->
 *   here: who is no known device, and was not here before (shield/regulars), gets so many a second of one address, and so many in all
 *
 * So a flood from many addresses that send one connection each is held as one from few is, and those that come every day go on. An address of
 * IPv6 counts by its /64.
 *
 * Not here: CONNECTs of MQTT (mqtt.c); what is usual (shield/hellos).
 */
#include "svc/l4/crowd.h"
#include <stdlib.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "net/rate.h"
#include "shield/regulars.h"

enum { ADDRESSES = 16384 };

struct crowd {
	struct rf_feed *feed;
	enum rf_feed_kind kind;
	struct rf_regulars regulars;
	struct rf_rate_table addresses;              /* entries NULL: there was no flood yet */
	struct rf_bucket strangers[RF_FEED_PORTS];   /* of a port, row by row */
	uint32_t second;                             /* that is going on */
};

struct crowd *crowd_new(struct rf_feed *feed, enum rf_feed_kind kind)
{
	struct crowd *w = calloc(1, sizeof *w);
	if (w) {
		w->feed = feed;
		w->kind = kind;
	}
	return w;
}

void crowd_free(struct crowd *w)
{
	if (w)
		rf_rate_table_fini(&w->addresses);
	free(w);
}

static struct rf_str net_of(const struct rf_ip *ip)
{
	return (struct rf_str){ (const char *)ip->b, ip->family == 6 ? 8 : 4 };
}

static bool floods(void *arg, unsigned row)
{
	return rf_feed_bound(&((struct crowd *)arg)->feed->ports[row]) > 0;
}

static void nothing(void *arg, uint64_t key) { (void)arg, (void)key; }

/* What came in the second before the last one is learned, where there was no flood. */
static void turn(struct crowd *w, uint64_t now)
{
	const struct rf_regulars_ops ops = { .flood = floods, .known = nothing, .arg = w };
	uint32_t second = (uint32_t)(now / RF_NS_S), gone = second - w->second;
	w->second = second;
	for (uint32_t i = 0; i < gone && i < 2; i++)
		rf_regulars_second(&w->regulars, second, &ops);
}

static bool past_address(struct crowd *w, struct rf_str net, uint32_t most, uint64_t now)
{
	struct rf_rate rate;
	if (!w->addresses.entries && (rf_rate_make(most, RF_NS_S, most, &rate) || rf_rate_table_init(&w->addresses, &rate, ADDRESSES)))
		return true;
	return rf_rate_take(&w->addresses, net, now, 1, NULL) != RF_OK;
}

static bool past_all(struct crowd *w, const struct rf_feed_port *p, uint64_t now)
{
	struct rf_rate rate;
	uint32_t most = atomic_load_explicit(&p->strangers, memory_order_relaxed);
	return rf_rate_make(most, RF_NS_S, most, &rate) || rf_bucket_take(&w->strangers[p - w->feed->ports], &rate, now, 1, NULL) != RF_OK;
}

bool crowd_bars(struct crowd *w, uint16_t app, const struct rf_ip *src, bool known, uint64_t now)
{
	struct rf_feed_port *p = rf_feed_port(w->feed, w->kind, app);
	if (!p)
		return false;
	struct rf_str net = net_of(src);
	uint64_t key = (rf_hash(net) ^ (uint64_t)app << 48) | 1;
	uint32_t bound = rf_feed_bound(p);
	turn(w, now);
	rf_feed_begun(p, src);
	if (known)
		return false;
	bool regular = rf_regulars_has(&w->regulars, key);
	rf_regulars_came(&w->regulars, key, (unsigned)(p - w->feed->ports));
	return bound && !regular && (past_address(w, net, bound, now) || past_all(w, p, now));
}
