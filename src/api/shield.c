/* api/shield: the kernel filter: what it counted, and the rules of the phase packet in it. */
#include "api/call.h"

int rf_api_shield_get(struct rf_api_call *c)
{
	const struct rf_api_hooks *h = &c->api->conf.hooks;
	if (!h->shield)
		return rf_fail(&c->err, RF_E_UNSUPPORTED, "this process has no shield");
	return rf_api_result(c, h->shield(h->ctx), 0);
}

int rf_api_shield_rules(struct rf_api_call *c)
{
	const struct rf_api_hooks *h = &c->api->conf.hooks;
	if (!h->packets)
		return rf_fail(&c->err, RF_E_UNSUPPORTED, "this process has no shield");
	return rf_api_result(c, h->packets->rules(h->ctx), 0);
}
