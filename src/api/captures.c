/* api/captures: captures of the frames that a rule of packets, or a reason, hits. */
#include <stdlib.h>
#include "api/call.h"

static int hooks(struct rf_api_call *c, const struct rf_api_packet_hooks **ret, void **ret_ctx)
{
	*ret = c->api->conf.hooks.packets;
	*ret_ctx = c->api->conf.hooks.ctx;
	return *ret ? RF_OK : rf_fail(&c->err, RF_E_UNSUPPORTED, "this process has no shield");
}

int rf_api_pcaps_list(struct rf_api_call *c)
{
	const struct rf_api_packet_hooks *h;
	void *ctx;
	int rc = hooks(c, &h, &ctx);
	return rc == RF_OK ? rf_api_result(c, h->captures(ctx), 0) : rc;
}

int rf_api_pcaps_create(struct rf_api_call *c)
{
	const struct rf_api_packet_hooks *h;
	void *ctx;
	json_t *made = NULL;
	int rc = hooks(c, &h, &ctx);
	if (rc == RF_OK)
		rc = h->capture(ctx, c->body, &made, &c->err);
	return rc == RF_OK ? rf_api_result(c, made, 0) : rc;
}

static int one(struct rf_api_call *c, bool stop)
{
	const struct rf_api_packet_hooks *h;
	void *ctx;
	json_t *found = NULL;
	int rc = hooks(c, &h, &ctx);
	if (rc == RF_OK)
		rc = h->captured(ctx, c->params.id, stop, &found, &c->err);
	return rc == RF_OK ? rf_api_result(c, found, 0) : rc;
}

int rf_api_pcaps_get(struct rf_api_call *c) { return one(c, false); }
int rf_api_pcaps_stop(struct rf_api_call *c) { return one(c, true); }

int rf_api_pcaps_frames(struct rf_api_call *c)
{
	const struct rf_api_packet_hooks *h;
	void *ctx;
	json_t *frames = NULL;
	const char *from = rf_api_param(c, "from");
	int rc = hooks(c, &h, &ctx);
	if (rc == RF_OK)
		rc = h->frames(ctx, c->params.id, from ? strtoul(from, NULL, 10) : 0, &frames, &c->err);
	return rc == RF_OK ? rf_api_result(c, frames, 0) : rc;
}

int rf_api_pcaps_download(struct rf_api_call *c)
{
	const struct rf_api_packet_hooks *h;
	void *ctx;
	int rc = hooks(c, &h, &ctx);
	c->text_type = "application/x-pcapng";
	return rc == RF_OK ? h->file(ctx, c->params.id, &c->text, &c->err) : rc;
}
