/* api/patches: what the handlers of virtual patches share, and others ask of them. */
#pragma once
#include "api/call.h"
#include "policy/patch.h"

enum { RF_PATCH_HISTORY = 100 };

extern const struct rf_api_crud rf_patch_resource;

/* The oldest patch that names the class; ret->id "" where there is none. */
int rf_patch_of_class(struct rf_api_call *c, const char *class_name, struct rf_object *ret);

/* The patch as it is shown, with what is counted of it. NULL without memory. */
json_t *rf_patch_show(struct rf_api_call *c, const struct rf_object *o);

/* Put a document into another state: state_since, live_since, history. */
int rf_patch_note(json_t *doc, enum rf_patch_state to, const char *who, const char *why, int64_t now_s, struct rf_err *e);

/* The exposure report (an array of hooks.patches->exposure) as a page to print. */
void rf_patch_page(const json_t *exposure, const char *when, struct rf_buf *to);
