/* ctl/wall: see wall.h. */
#include "ctl/wall.h"
#include "ctl/private.h"
#include "monitor/client.h"
#include "shield/shield.h"

static void spare_operator(const struct rf_ctl *c)
{
	const struct rf_boot_address *api = &c->boot->api_listen;
	static const uint8_t any[16];
	struct rf_ip ip = api->ip;
	if (memcmp(ip.b, any, sizeof any) == 0)
		ip.family = 0;
	rf_shield_spare(c->shield, &ip, api->port);
}

void rf_wall_follow(struct rf_ctl *c)
{
	const struct rf_boot *b = c->boot;
	struct rf_shield_limits l = { .source = b->shield_source, .prefix = b->shield_prefix, .target = b->shield_target,
		.syn = b->shield_syn, .cookies = (enum rf_shield_cookies)b->shield_cookies,
		.samples = (unsigned)b->shield_samples };
	struct rf_str bad;
	rf_boot_reflection(b, l.reflect, &bad);
	rf_shield_limit(c->shield, &l);
	spare_operator(c);
}

void rf_wall_gate(const struct rf_ctl *c, char to[RF_WALL_TEXT])
{
	struct rf_err unused;
	to[0] = 0;
	if (c->priv->monitor_fd >= 0)
		rf_monitor_gate(c->priv->monitor_fd, to, RF_WALL_TEXT, &unused);
}
