/* ctl/geo: databases of addresses from the files that the boot file names.
 *
 * Parsed first, then in force: with a file that is broken or gone, or with one less than rules need, a reload is refused, and the
 * engine does not come up.
 */
#include <stdio.h>
#include <stdlib.h>
#include "ctl/access.h"
#include "ctl/private.h"

enum { DATABASE_MAX = 1 << 30 };

static int load(struct rf_ctl *c, struct rf_geo **ret, struct rf_err *e)
{
	const char *const path[RF_GEO_FILES] = { c->boot->geo_place, c->boot->geo_asn };
	struct rf_str bytes[RF_GEO_FILES] = { { 0 } };
	int rc = RF_OK;
	for (int i = 0; i < RF_GEO_FILES && rc == RF_OK; i++) {
		struct rf_buf b = { 0 };
		if (!path[i][0])
			continue;
		rc = rf_ctl_read_large(c, path[i], DATABASE_MAX, &b, e);
		bytes[i] = rf_buf_str(&b);
	}
	if (rc != RF_OK) {
		for (int i = 0; i < RF_GEO_FILES; i++)
			free((char *)(uintptr_t)bytes[i].p);
		return rc;
	}
	rc = rf_geo_make(bytes, ret, e);
	if (rc != RF_OK) {
		const char *at = path[strtoul(e->pointer[0] ? e->pointer + 1 : "", NULL, 10) % RF_GEO_FILES];
		snprintf(e->file, sizeof e->file, "%.*s", (int)sizeof e->file - 1, at);
		e->pointer[0] = '\0';
	}
	return rc;
}

bool rf_ctl_rules_need(const struct rf_ctl *c, unsigned needs)
{
	const struct rf_parts *p = &c->priv->parts;
	for (unsigned f = 0; f < RF_FIELD_COUNT; f++) {
		if (!(needs >> rf_fields[f].need & 1) || rf_fields[f].need == RF_NEED_NONE)
			continue;
		for (size_t i = 0; i < p->rules_count; i++)
			if (p->rules[i].set->uses[f >> 6] >> (f & 63) & 1)
				return true;
		for (size_t i = 0; i < p->bar_sets; i++)
			if (p->bars[i].set->uses[f >> 6] >> (f & 63) & 1)
				return true;
		for (size_t i = 0; i < RF_PHASE_COUNT; i++)
			if (p->patched[i] && p->patched[i]->uses[f >> 6] >> (f & 63) & 1)
				return true;
	}
	return false;
}

int rf_ctl_load_geo(struct rf_ctl *c, struct rf_err *e)
{
	struct rf_geo *now = NULL, *old = c->priv->geo;
	int rc = load(c, &now, e);
	if (rc != RF_OK)
		return rc;
	unsigned lost = rf_geo_have(old) & ~rf_geo_have(now);
	if (rf_access_needs(c->priv->access) & lost || rf_ctl_rules_need(c, lost)) {
		rf_geo_put(now);
		return rf_fail(e, RF_E_CONFLICT, "rules in force need a database of addresses that the boot file no longer names");
	}
	c->priv->geo = now;
	rf_geo_put(old);
	return RF_OK;
}
