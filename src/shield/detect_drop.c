/* shield/detect_drop: signatures that are never raised again, host by host. */
#include "base/err.h"
#include "base/hash.h"
#include "base/room.h"
#include "shield/detect_own.h"

uint64_t detect_host_hash(struct rf_str host)
{
	uint64_t h = rf_hash(host);
	return h | !h;
}

bool detect_is_dropped(const struct rf_detect *d, uint64_t host, const struct rf_traits *t, uint32_t source)
{
	for (size_t i = 0; i < d->dropped_n; i++)
		if (d->dropped[i].host == host && rf_signature_match(&d->dropped[i].g, t, source))
			return true;
	return false;
}

bool detect_within_dropped(const struct rf_detect *d, uint64_t host, const struct rf_signature *s)
{
	for (size_t i = 0; i < d->dropped_n; i++)
		if (d->dropped[i].host == host && rf_signature_within(s, &d->dropped[i].g))
			return true;
	return false;
}

int rf_detect_drop(struct rf_detect *d, struct rf_str host, const struct rf_signature *g)
{
	if (d->dropped_n == RF_DETECT_DROPPED)
		return RF_E_FULL;
	if (!RF_ROOM(d->dropped, d->dropped_cap, d->dropped_n))
		return RF_E_NOMEM;
	d->dropped[d->dropped_n++] = (struct dropped){ detect_host_hash(host), *g };
	struct watched *w = detect_find(d, detect_host_hash(host));
	for (unsigned i = 0; w && w->flood && i < w->flood->rules; i++) {
		struct rf_flood_rule *r = &w->flood->rule[i];
		if (!r->live || !rf_signature_within(&r->signature, g))
			continue;
		r->live = false;
		detect_tell(d, w->flood, RF_FLOOD_EXPIRED, r);
	}
	return RF_OK;
}

void rf_detect_undrop(struct rf_detect *d, struct rf_str host, const struct rf_signature *g)
{
	for (size_t i = 0; i < d->dropped_n; i++)
		if (d->dropped[i].host == detect_host_hash(host) && rf_signature_within(&d->dropped[i].g, g) && rf_signature_within(g, &d->dropped[i].g)) {
			d->dropped[i] = d->dropped[--d->dropped_n];
			return;
		}
}
