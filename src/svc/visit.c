/* svc/visit: devices that attack, at the door of services: the throttle of a device, and visits to ports.
 *
 *   throttle: rf_device_use.throttle says so ─► a bucket of the device on this worker
 *   visit: a device by its certificate ─► counted, and told to the detection (shield/fleet) ─► throttle
 *          nobody by a certificate     ─► its address (shield/homes): whose device in quarantine or throttled?
 */
#include <stdlib.h>
#include "shield/feed.h"
#include "shield/homes.h"
#include "svc/front_own.h"

enum { BUCKETS = 4096 };

/* So many a second and at once; made at first use, and anew when the number has changed. */
static struct rf_rate_table *table_of(struct rf_front *f, uint32_t most)
{
	struct rf_rate rate;
	if (f->throttled.entries && f->throttled_most == most)
		return &f->throttled;
	rf_rate_table_fini(&f->throttled);
	f->throttled = (struct rf_rate_table){ 0 };
	f->throttled_most = most;
	if (rf_rate_make(most, RF_NS_S, most, &rate) || rf_rate_table_init(&f->throttled, &rate, BUCKETS))
		return NULL;
	return &f->throttled;
}

int rf_client_throttle(struct rf_client *c, uint64_t *ret_wait_ns)
{
	uint32_t most = c->device ? atomic_load_explicit(&rf_device_use(c->device)->throttle, memory_order_relaxed) : 0;
	*ret_wait_ns = RF_NS_S;
	if (!most)
		return RF_OK;
	struct rf_rate_table *t = table_of(c->front, most);
	struct rf_str key = { (const char *)&c->device, sizeof c->device };
	return t ? rf_rate_take(t, key, rf_client_now(c), 1, ret_wait_ns) : RF_E_RATE;
}

int rf_client_visit(struct rf_client *c, enum rf_reason *ret)
{
	struct rf_front *f = c->front;
	const struct rf_tls_info *info = rf_client_tls(c);
	uint64_t wait;
	int rc = RF_OK;
	*ret = RF_REASON_THROTTLED;
	if (c->device && info && info->verified) {
		atomic_fetch_add_explicit(&rf_device_use(c->device)->requests_total, 1, memory_order_relaxed);
		if (f->feed)
			rf_feed_visit(f->feed, rf_client_now(c), &c->src, rf_device_id(c->device));
		return rf_client_throttle(c, &wait);
	}
	if (f->homes && !c->listener->proxy)
		rc = rf_homes_ask(f->homes, &c->src, &c->dst, c->dst_port, true, 1, rf_client_now(c));
	*ret = rc == RF_E_DENIED ? RF_REASON_DEVICE_QUARANTINED : RF_REASON_THROTTLED;
	return rc;
}
