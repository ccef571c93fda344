/* ctl/build_patches: virtual patches, each compiled to its rules; what did not change is not compiled again.
 *
 * All rows of patches are walked: one whose revision is that of the copy keeps its rules. Then the rules of each phase
 * become one ruleset, which stands before all others of the phase.
 *
 * A patch that is not live is compiled too: what the state holds would compile at any time. Errors point to
 * "/patches/ID/...", which the API cuts.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/room.h"
#include "ctl/build.h"
#include "ctl/doc.h"
#include "ctl/private.h"
#include "ctl/rule_cost.h"
#include "records/counters.h"

enum { PATCHES_MAX = 20000 };

struct making {
	struct rf_ctl *c;
	struct rf_rule_env env;
	bool afresh;
	const struct rf_built_patch *old;
	size_t old_count, at;     /* where the next row is likely to be: both are in order of creation */
	struct rf_built_patch *v;
	size_t n, cap;
	struct rf_rule_costs costs;
	struct rf_err *e;
};

static int no_memory(struct rf_err *e) { return rf_fail(e, RF_E_NOMEM, "no memory for patches"); }

static const struct rf_built_patch *before(struct making *m, const char *id)
{
	for (size_t i = 0; i < m->old_count; i++) {
		const struct rf_built_patch *p = &m->old[(m->at + i) % m->old_count];
		if (strcmp(p->id, id) == 0) {
			m->at = (m->at + i + 1) % m->old_count;
			return p;
		}
	}
	return NULL;
}

static void below(struct rf_err *e, const char *id)
{
	char pointer[sizeof e->pointer];
	snprintf(pointer, sizeof pointer, "/patches/%s%.80s", id, e->pointer);
	memcpy(e->pointer, pointer, sizeof pointer);
}

/* What of the document its watch needs. */
static void watch_of(const json_t *doc, const char *id, struct rf_watch_spec *to)
{
	const json_t *halt = json_object_get(doc, "halt");
	snprintf(to->id, sizeof to->id, "%s", id);
	to->state = rf_patch_state_of(doc);
	rf_rfc3339_parse(doc_str(doc, "state_since").p, &to->since_s);
	to->moves = json_array_size(json_object_get(doc, "history"));
	to->halt = (struct rf_watch_halt){ .enabled = doc_bool(halt, "enabled", true),
					   .devices = (uint32_t)doc_int(halt, "devices", 2),
					   .percent = (uint32_t)doc_int(halt, "percent", 5),
					   .window_s = (uint32_t)doc_int(halt, "window_s", 60) };
}

static void put_rules(struct rf_built_patch *p)
{
	for (size_t i = 0; i < p->count; i++)
		rf_rule_put(p->rules[i]);
	p->count = 0;
}

static int compile(struct making *m, const struct rf_raw_object *o, struct rf_built_patch *to)
{
	json_error_t why;
	json_t *doc = json_loadb(o->doc.p, o->doc.n, 0, &why);
	if (!doc)
		return rf_fail(m->e, RF_E_DISK, "the document of patch %s is damaged (%s); restore a backup", o->id, why.text);
	const struct rf_clock *clock = &m->c->clock;
	uint64_t began = clock->mono(clock->ctx);
	m->e->pointer[0] = '\0';
	watch_of(doc, o->id, &to->watch);
	int rc = rf_patch_check(&m->env, doc, m->e);
	if (rc == RF_OK)
		rc = rf_patch_phase(doc, &to->phase, m->e);
	if (rc == RF_OK)
		rc = rf_patch_rules(&m->env, doc, o->id, to->rules, &to->count, m->e);
	json_decref(doc);
	rf_count_n(RF_C_RULES_COMPILED, to->count);
	if (rc != RF_OK)
		below(m->e, o->id);
	else if ((rc = rf_rule_cost(&m->costs, o->id, rf_str_z(o->name), clock->mono(clock->ctx) - began, m->e)) != RF_OK)
		put_rules(to);
	for (size_t i = 0; rc == RF_OK && i < to->count; i++)
		to->rules[i]->order = (int64_t)(m->n * RF_PATCH_RULES + i);
	return rc;
}

static int each(const struct rf_raw_object *o, void *arg)
{
	struct making *m = arg;
	if (m->n == PATCHES_MAX)
		return rf_fail(m->e, RF_E_TOO_LARGE, "there can be at most %d patches", PATCHES_MAX);
	if (!RF_ROOM(m->v, m->cap, m->n))
		return no_memory(m->e);
	const struct rf_built_patch *was = before(m, o->id);
	struct rf_built_patch *to = &m->v[m->n];
	*to = (struct rf_built_patch){ .revision = o->revision };
	snprintf(to->id, sizeof to->id, "%s", o->id);
	int rc = RF_OK;
	if (was && was->revision == o->revision && !m->afresh) {
		*to = *was;
		for (size_t i = 0; i < to->count; i++)
			rf_rule_get(to->rules[i]);
	} else {
		rc = compile(m, o, to);
	}
	m->n += rc == RF_OK;
	return rc;
}

static int sets_of(struct making *m, struct rf_ruleset *ret[RF_PHASE_COUNT])
{
	struct rf_rule **rules = calloc(m->n * RF_PATCH_RULES + 1, sizeof *rules);
	int rc = rules ? RF_OK : no_memory(m->e);
	for (int phase = 0; rc == RF_OK && phase < RF_PHASE_COUNT; phase++) {
		size_t count = 0;
		for (size_t i = 0; i < m->n; i++)
			for (size_t k = 0; k < m->v[i].count && (int)m->v[i].phase == phase; k++)
				rules[count++] = m->v[i].rules[k];
		if (count && rf_ruleset_of((enum rf_phase)phase, RF_STR(RF_PATCH_SET), RF_STR(RF_PATCH_SET), rules, count,
					   &ret[phase]) != RF_OK)
			rc = no_memory(m->e);
		if (rc == RF_OK && count && rf_ruleset_index(ret[phase], NULL, false) != RF_OK)
			rc = no_memory(m->e);
		if (rc == RF_OK && count && m->costs.bound)
			rc = rf_rule_cost_memory(ret[phase], 0, m->costs.where, m->c->boot->limits_rules_memory, m->e);
	}
	free(rules);
	return rc;
}

static void put_all(struct rf_built_patch *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put_rules(&v[i]);
	free(v);
}

int rf_build_patches(struct rf_ctl *c, bool afresh, struct rf_parts *p, struct rf_err *e)
{
	struct rf_store_query every = { 0 };
	bool change = c->priv->touched_count && !afresh;
	struct making m = { .c = c, .env = { .lists = p->lists, .have = rf_build_have(c) }, .afresh = afresh, .old = p->patches,
			    .old_count = p->patch_count, .e = e,
			    .costs = { .where = "/patches", .bound = change ? c->boot->limits_rules_compile_time : 0 } };
	struct rf_ruleset *sets[RF_PHASE_COUNT] = { NULL };
	int rc = rf_store_scan(c->store, RF_KIND_PATCH, &every, each, &m, e);
	if (rc == RF_OK)
		rc = sets_of(&m, sets);
	if (rc != RF_OK) {
		put_all(m.v, m.n);
		for (int phase = 0; phase < RF_PHASE_COUNT; phase++)
			rf_ruleset_put(sets[phase]);
		return rc;
	}
	put_all(p->patches, p->patch_count);
	p->patches = m.v;
	p->patch_count = m.n;
	for (int phase = 0; phase < RF_PHASE_COUNT; phase++) {
		rf_ruleset_put(p->patched[phase]);
		p->patched[phase] = sets[phase];
	}
	return RF_OK;
}
