/* api/patches: what the handlers of virtual patches share, and others ask of them. */
#pragma once
#include "api/call.h"
#include "policy/patch.h"

extern const struct rf_api_crud rf_patch_resource;

/* The oldest patch that names the class; ret->id "" where there is none. */
int rf_patch_of_class(struct rf_api_call *c, const char *class_name, struct rf_object *ret);

/* The patch as it is shown, with what is counted of it. NULL without memory. */
json_t *rf_patch_show(struct rf_api_call *c, const struct rf_object *o);

/* The exposure report (an array of hooks.patches->exposure) as a page to print. */
void rf_patch_page(const json_t *exposure, const char *when, struct rf_buf *to);
