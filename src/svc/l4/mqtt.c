/* svc/l4/mqtt: floods of CONNECTs to the brokers behind apps that are guarded as MQTT.
 *
 *   CONNECT passes the guard -> counted at its port (shield/feed) -> the control thread finds a flood -> a bound for the port ->
 *   here: an address that no known device connects from gets so many connections a second, until the bound is gone
 *
 * Not here: what a CONNECT looks like (wire/guard), what is usual (shield/hellos).
 */
#include "base/clock.h"
#include "records/counters.h"
#include "shield/feed.h"
#include "svc/l4/conn.h"

enum { ADDRESSES = 16384 };

static struct rf_feed_port *fed(const struct conn *n)
{
	return rf_feed_port(n->client.front->feed, RF_FEED_CONNECTS, n->client.dst_port);
}

static bool known(const struct conn *n)
{
	const struct rf_tls_info *info = rf_client_tls(&n->client);
	return n->client.device && info && info->verified;
}

bool l4_mqtt_crowded(struct conn *n)
{
	uint32_t most = n->guard.kind == RF_GUARD_MQTT ? rf_feed_bound(fed(n)) : 0;
	struct rf_rate_table *t = &n->l4->connects;
	struct rf_rate rate;
	if (!most || known(n))
		return false;
	if (!t->entries && (rf_rate_make(most, RF_NS_S, most, &rate) || rf_rate_table_init(t, &rate, ADDRESSES)))
		return true;
	struct rf_str address = { (const char *)n->client.src.b, sizeof n->client.src.b };
	if (rf_rate_take(t, address, l4_now(n), 1, NULL) == RF_OK)
		return false;
	rf_feed_begun(fed(n), &n->client.src); /* it would have sent one: the flood goes on */
	rf_count(RF_C_L4_CONNECTS);
	return true;
}

void l4_mqtt_see(struct conn *n)
{
	if (n->connected || n->guard.kind != RF_GUARD_MQTT || !n->guard.frames)
		return;
	n->connected = true;
	rf_feed_begun(fed(n), &n->client.src);
}
