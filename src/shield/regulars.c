/* shield/regulars: see regulars.h. */
#include "shield/regulars.h"

static bool lasting(uint32_t first_s, uint32_t last_s) { return last_s - first_s >= RF_REGULARS_AFTER_S; }

static bool note(struct rf_regulars *r, uint64_t key, uint32_t now_s)
{
	uint32_t at = (uint32_t)(key >> 32) % RF_REGULARS_PLACES;
	bool same = r->v[at].key == key, stale = now_s - r->v[at].last_s >= RF_REGULARS_FORGET_S;
	if (!same && !stale && lasting(r->v[at].first_s, r->v[at].last_s))
		return false;
	if (!same || stale) {
		r->v[at].key = key;
		r->v[at].first_s = now_s;
	}
	r->v[at].last_s = now_s;
	return lasting(r->v[at].first_s, now_s);
}

void rf_regulars_came(struct rf_regulars *r, uint64_t key, unsigned kind)
{
	struct rf_regulars_wait *w = &r->wait[r->turn];
	if (w->n == RF_REGULARS_WAIT)
		return;
	w->v[w->n].key = key;
	w->v[w->n++].kind = kind;
}

void rf_regulars_second(struct rf_regulars *r, uint32_t now_s, const struct rf_regulars_ops *ops)
{
	r->turn = !r->turn;
	struct rf_regulars_wait *before = &r->wait[r->turn];
	for (unsigned i = 0; i < before->n; i++)
		if (!ops->flood(ops->arg, before->v[i].kind) && note(r, before->v[i].key, now_s))
			ops->known(ops->arg, before->v[i].key);
	before->n = 0;
}

bool rf_regulars_has(const struct rf_regulars *r, uint64_t key)
{
	uint32_t at = (uint32_t)(key >> 32) % RF_REGULARS_PLACES;
	return r->v[at].key == key && lasting(r->v[at].first_s, r->v[at].last_s);
}
