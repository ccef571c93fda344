/* ctl/engine_work: samples, patches, attacks, alerts, lists of revocation, merges, packs: what goes on beside. */
#include "ctl/alerts.h"
#include "ctl/applies.h"
#include "ctl/attacks.h"
#include "ctl/captures.h"
#include "ctl/crl.h"
#include "ctl/engine_in.h"
#include "ctl/frame_attacks.h"
#include "ctl/pack_fetch.h"
#include "ctl/patch_replay.h"
#include "ctl/patches.h"
#include "ctl/plan.h"
#include "ctl/worker.h"

/* --- samples, patches --- */

int samples_up(struct engine *g, struct rf_err *e)
{
	return g->ctl.boot->records_samples[0] ? rf_samples_new(&g->ctl, &g->samples, e) : RF_OK;
}

void samples_down(struct engine *g)
{
	rf_samples_free(g->samples);
}

int patches_up(struct engine *g, struct rf_err *e)
{
	struct rf_ring *own = rf_writer_ring(g->writer, rf_boot_workers(g->ctl.boot));
	g->ctl.priv->replays = rf_replays_new(&g->ctl, g->ctl.boot->records_recent ? rf_writer_recent(g->writer) : NULL);
	if (!g->ctl.priv->replays)
		return rf_fail(e, RF_E_NOMEM, "no memory for replays");
	return rf_patches_start(&g->ctl, g->watch, own, &g->ctl.priv->patches, e);
}

void patches_down(struct engine *g)
{
	if (!g->ctl.priv)
		return;
	rf_patches_stop(g->ctl.priv->patches);
	g->ctl.priv->patches = NULL;
	rf_replays_free(g->ctl.priv->replays);
	g->ctl.priv->replays = NULL;
}

int applies_up(struct engine *g, struct rf_err *e)
{
	struct rf_ring *own = rf_writer_ring(g->writer, rf_boot_workers(g->ctl.boot));
	return rf_applies_start(&g->ctl, own, &g->ctl.priv->applies, e);
}

void applies_down(struct engine *g)
{
	if (!g->ctl.priv)
		return;
	rf_applies_stop(g->ctl.priv->applies);
	g->ctl.priv->applies = NULL;
}

void captures_down(struct engine *g)
{
	if (!g->ctl.priv)
		return;
	rf_captures_free(g->ctl.priv->captures);
	g->ctl.priv->captures = NULL;
}

/* --- floods --- */

int alerts_up(struct engine *g, struct rf_err *e)
{
	return rf_alerts_start(&g->ctl, &g->ctl.priv->alerts, e);
}

void alerts_down(struct engine *g)
{
	if (!g->ctl.priv)
		return;
	rf_alerts_stop(g->ctl.priv->alerts);
	g->ctl.priv->alerts = NULL;
}

int attacks_up(struct engine *g, struct rf_err *e)
{
	unsigned workers = rf_boot_workers(g->ctl.boot);
	struct rf_ring *ring = rf_writer_ring(g->writer, workers);
	int rc = rf_frame_attacks_new(&g->ctl, ring, &g->ctl.priv->frame_attacks, e); /* first: it goes on with what the other would end */
	if (rc == RF_OK)
		rc = rf_attacks_new(&g->ctl, workers, ring, &g->ctl.priv->attacks, e);
	if (rc == RF_OK && !(g->ctl.priv->captures = rf_captures_new(&g->ctl, ring)))
		rc = rf_fail(e, RF_E_NOMEM, "no memory for captures");
	return rc;
}

void attacks_down(struct engine *g)
{
	if (!g->ctl.priv)
		return;
	captures_down(g);
	rf_attacks_free(g->ctl.priv->attacks);
	g->ctl.priv->attacks = NULL;
	rf_frame_attacks_free(g->ctl.priv->frame_attacks);
	g->ctl.priv->frame_attacks = NULL;
}

/* --- lists of revocation --- */

int crl_up(struct engine *g, struct rf_err *e)
{
	return rf_crl_fetcher_start(&g->ctl, &g->ctl.priv->crl, e);
}

void crl_down(struct engine *g)
{
	rf_crl_fetcher_stop(g->ctl.priv->crl);
	g->ctl.priv->crl = NULL;
}

int merge_up(struct engine *g, struct rf_err *e)
{
	g->ctl.priv->merge = rf_rule_merge_new(&g->ctl);
	rf_rule_merge_look(g->ctl.priv->merge);
	return g->ctl.priv->merge ? RF_OK : rf_fail(e, RF_E_NOMEM, "no memory for the merging of rules");
}

void merge_down(struct engine *g)
{
	rf_rule_merge_free(g->ctl.priv->merge);
	g->ctl.priv->merge = NULL;
}

int packs_up(struct engine *g, struct rf_err *e)
{
	return rf_pack_fetcher_start(&g->ctl, g->api, &g->ctl.priv->packs, e);
}

void packs_down(struct engine *g)
{
	rf_pack_fetcher_stop(g->ctl.priv->packs);
	g->ctl.priv->packs = NULL;
}
