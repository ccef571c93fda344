/* api/classes: what other resources need of classes and roots. */
#pragma once
#include "api/call.h"

/* `class` (a name) or `class_id` of a document to class_id. */
int rf_class_resolve(struct rf_api_call *c, json_t *doc);
/* RF_OK when every element of the document's `roots` is an uploaded root or device_ca. */
int rf_roots_exist(struct rf_api_call *c, const json_t *doc);
