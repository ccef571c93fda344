/* api/edge_pack: what the API asks of the running edge about packs. */
#include "api/edge.h"
#include "ctl/pack_fetch.h"
#include "ctl/private.h"

static struct rf_ctl *ctl(void *ctx) { return ((struct rf_api_edge *)ctx)->ctl; }

static int keys(void *ctx, struct rf_buf *pem, struct rf_err *e)
{
	const char *path = ctl(ctx)->boot->patches_keys;
	return path[0] ? rf_ctl_read_file(ctl(ctx), path, pem, e) : RF_OK;
}

static int update(void *ctx, struct rf_err *e)
{
	struct rf_ctl *c = ctl(ctx);
	if (!c->boot->patches_url[0])
		return rf_fail(e, RF_E_CONFLICT, "there is nowhere to fetch a pack from: set patches.url in the boot file");
	if (c->priv->packs)
		rf_pack_fetcher_kick(c->priv->packs);
	return RF_OK;
}

static void status(void *ctx, json_t *object)
{
	struct rf_pack_fetcher *f = ctl(ctx)->priv->packs;
	json_t *j = f ? rf_pack_fetcher_status(f) : NULL;
	if (j)
		json_object_set_new(object, "update", j);
}

const struct rf_api_pack_hooks rf_api_edge_packs = { keys, update, status };
