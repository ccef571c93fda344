#include <stdlib.h>
#include "ctl/build.h"
#include "ctl/private.h"

unsigned rf_build_needs(enum rf_kind kind)
{
	switch (kind) {
	case RF_KIND_ROOT:
		return RF_PART_TRUST | RF_PART_SITE;
	case RF_KIND_LIST:
		return RF_PART_LISTS;
	case RF_KIND_RULESET:
	case RF_KIND_RULE:
		return RF_PART_RULES;
	case RF_KIND_PATCH:
		return RF_PART_PATCHES;
	case RF_KIND_ZONE_ACCESS_RULE:
		return RF_PART_BARS;
	case RF_KIND_ZONE:
		return RF_PART_SITE | RF_PART_BARS;
	case RF_KIND_CLASS:
	case RF_KIND_APP:
	case RF_KIND_PORT:
	case RF_KIND_HOSTNAME_ASSOCIATION:
	case RF_KIND_ACCESS_SETTING:
	case RF_KIND_SERVER_CERT:
		return RF_PART_SITE;
	default:
		return 0;
	}
}

unsigned rf_build_have(const struct rf_ctl *c)
{
	return rf_geo_have(c->priv->geo) | (c->priv->tokens ? 1u << RF_NEED_JWT : 0);
}

static void rules_put(struct rf_built_rules *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		rf_ruleset_put(v[i].set);
	free(v);
}

static void patches_put(struct rf_parts *p)
{
	for (size_t i = 0; i < p->patch_count; i++)
		for (size_t k = 0; k < p->patches[i].count; k++)
			rf_rule_put(p->patches[i].rules[k]);
	free(p->patches);
	for (size_t phase = 0; phase < RF_PHASE_COUNT; phase++)
		rf_ruleset_put(p->patched[phase]);
}

void rf_parts_put(struct rf_parts *p)
{
	rf_trust_put(p->trust);
	rf_lists_put(p->lists);
	free(p->list_names);
	rules_put(p->rules, p->rules_count);
	rules_put(p->floods, p->flood_count);
	rules_put(p->bars, p->bar_sets);
	rf_bars_put(p->bar_rules, p->bar_count);
	patches_put(p);
	rf_site_put(p->site);
	*p = (struct rf_parts){ 0 };
}

static int keep_lists(const struct rf_parts *old, struct rf_parts *ret, struct rf_err *e)
{
	ret->list_names = calloc(old->list_count + 1, sizeof *ret->list_names);
	if (!ret->list_names)
		return rf_fail(e, RF_E_NOMEM, "no memory for lists");
	if (old->list_count)
		memcpy(ret->list_names, old->list_names, old->list_count * sizeof *ret->list_names);
	ret->list_count = old->list_count;
	ret->lists = old->lists ? rf_lists_get(old->lists) : NULL;
	return RF_OK;
}

/* Has a list gone that was there before? */
static bool list_gone(const struct rf_parts *old, const struct rf_parts *now)
{
	for (size_t i = 0; i < old->list_count; i++)
		if (!rf_lists_at(now->lists, rf_lists_find(now->lists, rf_str_z(old->list_names[i].name))))
			return true;
	return false;
}

static int keep_rules(const struct rf_built_rules *old, size_t n, struct rf_built_rules **ret, size_t *ret_n, struct rf_err *e)
{
	struct rf_built_rules *v = calloc(n + 1, sizeof *v);
	if (!v)
		return rf_fail(e, RF_E_NOMEM, "no memory for rules");
	for (size_t i = 0; i < n; i++) {
		v[i] = old[i];
		rf_ruleset_get(old[i].set);
	}
	*ret = v;
	*ret_n = n;
	return RF_OK;
}

static int keep_patches(const struct rf_parts *old, struct rf_parts *ret, struct rf_err *e)
{
	ret->patches = calloc(old->patch_count + 1, sizeof *ret->patches);
	if (!ret->patches)
		return rf_fail(e, RF_E_NOMEM, "no memory for patches");
	for (size_t i = 0; i < old->patch_count; i++, ret->patch_count++) {
		ret->patches[i] = old->patches[i];
		for (size_t k = 0; k < old->patches[i].count; k++)
			rf_rule_get(old->patches[i].rules[k]);
	}
	for (size_t phase = 0; phase < RF_PHASE_COUNT; phase++)
		ret->patched[phase] = old->patched[phase] ? rf_ruleset_get(old->patched[phase]) : NULL;
	return RF_OK;
}

static int keep_bars(const struct rf_parts *old, struct rf_parts *ret, struct rf_err *e)
{
	ret->bar_rules = calloc(old->bar_count + 1, sizeof *ret->bar_rules);
	if (!ret->bar_rules)
		return rf_fail(e, RF_E_NOMEM, "no memory for access rules of zones");
	for (; ret->bar_count < old->bar_count; ret->bar_count++) {
		ret->bar_rules[ret->bar_count] = old->bar_rules[ret->bar_count];
		for (int i = 0; i < RF_BAR_RULES; i++)
			rf_rule_get(old->bar_rules[ret->bar_count].rules[i]);
	}
	return keep_rules(old->bars, old->bar_sets, &ret->bars, &ret->bar_sets, e);
}

int rf_build(struct rf_ctl *c, const struct rf_parts *old, unsigned what, struct rf_parts *ret, struct rf_err *e)
{
	struct rf_parts p = { 0 };
	int rc = RF_OK;
	if (what & RF_PART_TRUST)
		rc = rf_build_trust(c, &p.trust, e);
	else
		p.trust = rf_trust_get(old->trust);
	if (rc == RF_OK)
		rc = what & RF_PART_LISTS ? rf_build_lists(c, old, &p, e) : keep_lists(old, &p, e);
	bool afresh = rc == RF_OK && list_gone(old, &p);
	if (rc == RF_OK)
		rc = keep_rules(old->rules, old->rules_count, &p.rules, &p.rules_count, e);
	if (rc == RF_OK && (what & RF_PART_RULES || afresh))
		rc = rf_build_rules(c, afresh, &p, e);
	if (rc == RF_OK)
		rc = keep_patches(old, &p, e);
	if (rc == RF_OK && (what & RF_PART_PATCHES || afresh))
		rc = rf_build_patches(c, afresh, &p, e);
	if (rc == RF_OK)
		rc = what & RF_PART_FLOODS ? rf_build_floods(c, &p, e) : keep_rules(old->floods, old->flood_count, &p.floods, &p.flood_count, e);
	if (rc == RF_OK)
		rc = keep_bars(old, &p, e);
	if (rc == RF_OK && what & RF_PART_BARS)
		rc = rf_build_bars(c, &p, e);
	if (rc == RF_OK && what & RF_PART_SITE)
		rc = rf_build_site(c, old->site, p.trust, &p.site, e);
	else if (rc == RF_OK)
		p.site = rf_site_get(old->site);
	if (rc != RF_OK) {
		rf_parts_put(&p);
		return rc;
	}
	*ret = p;
	return RF_OK;
}

/* The access rules of a zone, of the phase that comes as the `i`th. */
static struct rf_ruleset *bars_of(const struct rf_parts *p, const char *zone, int i)
{
	for (size_t k = 0; k < p->bar_sets; k += RF_BAR_RULES)
		if (strcmp(p->bars[k].zone, zone) == 0)
			return p->bars[k + (size_t)i].set;
	return NULL;
}

/* The rulesets of one phase: access rules of the zone, those against floods, that of patches, the account's, then those of the zone ("" : none). */
static int phase_of(const struct rf_parts *p, enum rf_phase phase, const char *zone, struct rf_phase_set **ret)
{
	struct rf_ruleset *sets[RF_PHASE_SETS];
	size_t n = 0;
	struct rf_ruleset *bars = phase == RF_PHASE_HTTP_REQUEST ? bars_of(p, zone, 1) : NULL;
	if (bars)
		sets[n++] = bars;
	for (size_t i = 0; i < p->flood_count && n < RF_PHASE_SETS; i++)
		if (p->floods[i].set->phase == phase && strcmp(p->floods[i].zone, zone) == 0)
			sets[n++] = p->floods[i].set;
	if (p->patched[phase] && n < RF_PHASE_SETS)
		sets[n++] = p->patched[phase];
	for (int of_zone = 0; of_zone < 2; of_zone++)
		for (size_t i = 0; i < p->rules_count && n < RF_PHASE_SETS; i++) {
			const struct rf_built_rules *r = &p->rules[i];
			bool here = of_zone ? zone[0] && strcmp(r->zone, zone) == 0 : !r->zone[0];
			if (here && r->entry && r->set->phase == phase)
				sets[n++] = r->set;
		}
	return n ? rf_phase_set_make(phase, sets, n, ret) : RF_OK;
}

int rf_build_policy(const struct rf_parts *p, const char *zone, struct rf_policy *ret)
{
	for (int phase = 0; phase < RF_PHASE_COUNT; phase++) {
		int rc = phase_of(p, (enum rf_phase)phase, zone, &ret->phase[phase]);
		if (rc != RF_OK)
			return rc;
	}
	struct rf_ruleset *bars = bars_of(p, zone, 0);
	return bars ? rf_phase_set_make(RF_PHASE_CONNECTION, &bars, 1, &ret->bars) : RF_OK;
}

int rf_build_snap(struct rf_ctl *c, const struct rf_parts *p, struct rf_snap **ret, struct rf_err *e)
{
	static uint64_t generation;
	struct rf_snap *s = rf_snap_new(p->site);
	if (!s)
		return rf_fail(e, RF_E_NOMEM, "no memory for a snapshot");
	s->generation = ++generation;
	s->trust = rf_trust_get(p->trust);
	s->lists = p->lists ? rf_lists_get(p->lists) : NULL;
	memcpy(s->account_id, c->account_id, sizeof s->account_id);
	int rc = rf_build_policy(p, "", &s->policy);
	for (size_t i = 0; rc == RF_OK && i < p->site->zone_count; i++)
		rc = rf_build_policy(p, p->site->zones[i]->id, &s->zone_policy[i]);
	if (rc != RF_OK) {
		rf_snap_unpin(s);
		return rf_fail(e, rc, "no memory for the rules of a snapshot");
	}
	*ret = s;
	return RF_OK;
}
