/* api/edge_applies: the API's requests about changes that wait to be confirmed, to ctl/applies. */
#include "api/edge.h"
#include "ctl/applies.h"
#include "ctl/private.h"

static struct rf_applies *applies(void *ctx) { return ((struct rf_api_edge *)ctx)->ctl->priv->applies; }

static int absent(struct rf_err *e) { return rf_fail(e, RF_E_AGAIN, "the edge is only starting"); }

static int watch(void *ctx, struct rf_err *e) { return applies(ctx) ? rf_applies_watch(applies(ctx), e) : absent(e); }

static int keep(void *ctx, const char *actor, unsigned seconds, char id[33], struct rf_err *e)
{
	return rf_applies_keep(applies(ctx), actor, seconds, id, e);
}

static void look(void *ctx) { rf_applies_look(applies(ctx)); }

static const char *pending(void *ctx, int64_t *ret_left_s, const char **ret_error)
{
	return applies(ctx) ? rf_applies_pending(applies(ctx), ret_left_s, ret_error) : NULL;
}

static int end(void *ctx, const char *id, bool confirm, const char *actor, struct rf_err *e)
{
	return applies(ctx) ? rf_applies_end(applies(ctx), id, confirm, actor, e) : absent(e);
}

const struct rf_api_apply_hooks rf_api_edge_applies = { .watch = watch, .keep = keep, .look = look, .pending = pending, .end = end };
