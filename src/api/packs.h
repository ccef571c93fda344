/* api/packs: packs of virtual patches: what the files of their handlers share. */
#pragma once
#include "api/patches.h"
#include "policy/pack.h"

/* The patches that came with a pack, with their documents. */
struct rf_pack_patches {
	size_t n, room;
	struct rf_object *v;
};
int rf_pack_load(struct rf_api_call *c, const char *pack, struct rf_pack_patches *ret);
void rf_pack_patches_fini(struct rf_pack_patches *p);
#define RF_PACK_PATCHES_AUTO __attribute__((cleanup(rf_pack_patches_fini))) struct rf_pack_patches
struct rf_object *rf_pack_find(const struct rf_pack_patches *p, const char *name); /* NULL: none */

/* For whom patches of a pack are: {classes, kinds, categories, patches, everywhere}. Bring a draft that is selected into
 * report for them; *ret_moved says whether the document has changed. What is in canary, in force or retired stays. */
int rf_pack_enable(struct rf_api_call *c, json_t *patch, const json_t *selection, bool *ret_moved);

/* Into a state, by who asks. */
int rf_pack_note(struct rf_api_call *c, json_t *patch, enum rf_patch_state to, const char *why);

/* In the open transaction: bring the patches of a pack in line with what has been opened. `counts` gets added, changed, waiting,
 * retired, unchanged. `fresh`: the pack was not installed; what is left of it from earlier is a draft again. */
int rf_pack_take(struct rf_api_call *c, const struct rf_pack *p, const json_t *enabled, bool fresh, json_t *counts);

/* Put the text that waits in force; `back`: in report first. */
int rf_pack_accept(struct rf_api_call *c, json_t *patch, bool back);
