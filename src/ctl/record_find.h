/* ctl/record_find: the stored record of a request, or the sample of it, by its RayID. */
#pragma once
#include <jansson.h>
#include "ctl/boot.h"
#include "records/recent.h"

enum { RF_FIND_BYTES = 64 << 20 /* of each file, the newest */, RF_FIND_RAY_MAX = 64 };

/* A new reference in *ret. RF_E_INVALID with the pointer /record: it is not stored, or that is no RayID. `recent` may be NULL. */
int rf_record_find(const struct rf_boot *boot, struct rf_recent *recent, const char *ray, json_t **ret, struct rf_err *e);
