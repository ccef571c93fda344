/* api/edge_patch: what the API asks of the running edge about virtual patches; see api.h. */
#include "api/edge.h"
#include "ctl/patches.h"
#include "ctl/patch_replay.h"
#include "ctl/private.h"
#include "device/registry.h"

static struct rf_ctl *ctl(void *ctx) { return ((struct rf_api_edge *)ctx)->ctl; }

static int test(void *ctx, const json_t *doc, json_t **ret, struct rf_err *e)
{
	return rf_patches_test(ctl(ctx), doc, ret, e);
}

static int fleet(void *ctx, const json_t *doc, const char *id, json_t **ret, struct rf_err *e)
{
	return rf_patches_fleet(ctl(ctx), doc, id, ret, e);
}

static bool fleet_is_small(void *ctx)
{
	return rf_registry_count(ctl(ctx)->devices) <= RF_PATCHES_FLEET_MAX;
}

static void live(void *ctx, const char *id, json_t *object)
{
	rf_patches_live(ctl(ctx), id, object);
}

static int exposure(void *ctx, bool devices, json_t **ret, struct rf_err *e)
{
	return rf_patches_exposure(ctl(ctx), devices, ret, e);
}

static int replay(void *ctx, const json_t *doc, const char *id, const json_t *body, json_t **ret, struct rf_err *e)
{
	return rf_replay_start(ctl(ctx)->priv->replays, doc, id, body, ret, e);
}

static int replay_get(void *ctx, const char *id, json_t **ret, struct rf_err *e)
{
	return rf_replay_get(ctl(ctx)->priv->replays, id, ret, e);
}

static int replay_cancel(void *ctx, const char *id, json_t **ret, struct rf_err *e)
{
	return rf_replay_cancel(ctl(ctx)->priv->replays, id, ret, e);
}

const struct rf_api_patch_hooks rf_api_edge_patches = {
	.test = test, .fleet = fleet, .fleet_is_small = fleet_is_small, .live = live, .exposure = exposure,
	.replay = replay, .replay_get = replay_get, .replay_cancel = replay_cancel,
};
