/* api/edge_attacks: the API's questions about attacks to ctl/attacks. */
#include "api/edge.h"
#include "ctl/attacks.h"
#include "ctl/frame_attacks.h"
#include "ctl/private.h"

static struct rf_attacks *attacks(void *ctx) { return ((struct rf_api_edge *)ctx)->ctl->priv->attacks; }

static int absent(struct rf_err *e) { return rf_fail(e, RF_E_UNSUPPORTED, "this process does not look for attacks"); }

static void live(void *ctx, const char *id, json_t *object)
{
	if (attacks(ctx))
		rf_attacks_live(attacks(ctx), id, object);
	rf_frame_attacks_live(((struct rf_api_edge *)ctx)->ctl->priv->frame_attacks, id, object);
}

static int drop(void *ctx, const char *id, const char *actor, bool dry_run, struct rf_err *e)
{
	return attacks(ctx) ? rf_attacks_drop(attacks(ctx), id, actor, dry_run, e) : absent(e);
}

static int forget(void *ctx, const char *exception, const char *actor, bool dry_run, struct rf_err *e)
{
	return attacks(ctx) ? rf_attacks_forget(attacks(ctx), exception, actor, dry_run, e) : absent(e);
}

const struct rf_api_attack_hooks rf_api_edge_attacks = { .live = live, .drop = drop, .forget = forget };
