/* api/edge: what the API asks of the running edge: status, metrics, records, devices as they are, explanations. */
#pragma once
#include "api/api.h"

struct rf_ctl;
struct rf_recent;

struct rf_api_edge {
	struct rf_ctl *ctl;
	struct rf_recent *recent; /* NULL: no records are kept */
	const bool *draining;     /* NULL: never; true: not ready any more */
};

/* The hooks over `e`, which outlives the API. */
struct rf_api_hooks rf_api_edge_hooks(struct rf_api_edge *e);

extern const struct rf_api_pack_hooks rf_api_edge_packs;     /* ctx: struct rf_api_edge */
extern const struct rf_api_attack_hooks rf_api_edge_attacks; /* ctx: struct rf_api_edge */
extern const struct rf_api_apply_hooks rf_api_edge_applies; /* ctx: struct rf_api_edge */
extern const struct rf_api_packet_hooks rf_api_edge_packets; /* ctx: struct rf_api_edge */
void rf_api_edge_packet_metrics(const struct rf_ctl *c, struct rf_buf *to);
extern const struct rf_api_patch_hooks rf_api_edge_patches; /* ctx: struct rf_api_edge */
