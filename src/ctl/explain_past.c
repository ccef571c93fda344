/* ctl/explain_past: a stored record of a request, held against the rules of its time.
 *
 *   line -> facts, each with whether it is known (record_facts) -> patches by their histories, rulesets by their versions, as
 *   parts like those in force -> the policy of the zone -> each rule in three values (policy/explain)
 *
 * Each verdict says whose rules it is of. Where those of then are not kept, those of now are taken, and it says that. A change
 * within the record's second counts as before it, and it says that too. Lists, and what else rules refer to, are those of now.
 *
 * Not here: which version of a ruleset was in force (api/explain_past), which line it is (record_find).
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/jw.h"
#include "ctl/doc.h"
#include "ctl/explain.h"
#include "ctl/private.h"
#include "ctl/record_facts.h"
#include "policy/explain.h"
#include "policy/patch.h"

enum { MEMORY = 4 << 20, PATCHES_MAX = 20000 };

struct past {
	struct rf_ctl *c;
	const json_t *line;
	struct rf_rule_env env;
	struct rf_record_facts f;
	struct rf_parts then;            /* patched and rules */
	struct rf_rule **patched;        /* a reference each */
	size_t patched_count, patches;
	json_t *notes;                   /* id of a ruleset or a patch -> what is said beside each of its rules */
	struct rf_err *e;
};

static int no_memory(struct past *p) { return rf_fail(p->e, RF_E_NOMEM, "memory is exhausted"); }

static int note(struct past *p, const char *id, const char *basis, const char *state)
{
	json_t *n = json_pack("{s:s}", "basis", basis);
	if (n && state)
		json_object_set_new(n, "state", json_string(state));
	return json_object_set_new(p->notes, id, n) == 0 ? RF_OK : no_memory(p);
}

void rf_explain_note(json_t *rules, const json_t *notes)
{
	size_t i;
	json_t *rule;
	json_array_foreach(rules, i, rule) {
		const char *key = doc_is(rule, "ruleset", RF_PATCH_SET) ? "rule" : "ruleset";
		json_t *n = json_object_get(notes, doc_str(rule, key).p);
		if (n)
			json_object_update(rule, n);
	}
}

/* --- patches --- */

/* The patch as its last move before the record left it; the words for that, NULL: it was not there. */
static const char *as_then(json_t *doc, int64_t at_s)
{
	static const char *const members[] = { "expression", "phase", "action", "action_parameters", "classes", "until", "canary" };
	const json_t *history = json_object_get(doc, "history");
	json_t *move, *last = NULL;
	int64_t when = INT64_MIN, last_s = INT64_MIN;
	size_t i;
	json_array_foreach(history, i, move)
		if (rf_rfc3339_parse(doc_str(move, "when").p, &when) == RF_OK && when <= at_s) {
			last = move;
			last_s = when;
		}
	if (!last)
		return json_array_size(history) >= RF_PATCH_HISTORY ? RF_BASIS_NOW : NULL;
	for (i = 0; i < sizeof members / sizeof *members; i++) {
		json_t *v = json_object_get(last, members[i]);
		if (v)
			json_object_set(doc, members[i], v);
		else
			json_object_del(doc, members[i]);
	}
	json_object_set(doc, "state", json_object_get(last, "to"));
	return last_s == at_s ? RF_BASIS_SECOND : RF_BASIS_THEN;
}

static int take_patch(struct past *p, const char *id, const json_t *doc)
{
	struct rf_rule *made[RF_PATCH_RULES];
	size_t n = 0;
	int rc = rf_patch_rules(&p->env, doc, id, made, &n, p->e);
	if (rc != RF_OK)
		return rc;
	struct rf_rule **v = realloc(p->patched, (p->patched_count + n + 1) * sizeof(struct rf_rule *));
	for (size_t i = 0; i < n; i++) {
		made[i]->order = (int64_t)(p->patches * RF_PATCH_RULES + i);
		if (v)
			v[p->patched_count++] = made[i];
		else
			rf_rule_put(made[i]);
	}
	p->patched = v ? v : p->patched;
	return v ? RF_OK : no_memory(p);
}

static int each_patch(const struct rf_object *o, void *arg)
{
	struct past *p = arg;
	if (o->created_s > p->f.at_s || p->patches++ >= PATCHES_MAX)
		return RF_OK;
	json_t *doc = json_deep_copy(o->doc);
	const char *basis = doc ? as_then(doc, p->f.at_s) : NULL;
	int rc = doc ? RF_OK : no_memory(p);
	if (basis)
		rc = take_patch(p, o->id, doc);
	bool now = basis && rc != RF_OK && rc != RF_E_NOMEM; /* it names what is no more */
	if (now) {
		basis = RF_BASIS_NOW;
		rc = take_patch(p, o->id, o->doc);
	}
	if (basis && rc == RF_OK)
		rc = note(p, o->id, basis, doc_str(now ? o->doc : doc, "state").p);
	json_decref(doc);
	return rc;
}

static int patches(struct past *p)
{
	struct rf_store_query every = { 0 };
	int rc = rf_store_list(p->c->store, RF_KIND_PATCH, &every, each_patch, p, NULL, p->e);
	struct rf_rule **one = rc == RF_OK ? calloc(p->patched_count + 1, sizeof(struct rf_rule *)) : NULL;
	if (rc == RF_OK && !one)
		rc = no_memory(p);
	for (int phase = 0; rc == RF_OK && phase < RF_PHASE_COUNT; phase++) {
		size_t n = 0;
		for (size_t i = 0; i < p->patched_count; i++)
			if ((int)p->patched[i]->phase == phase)
				one[n++] = p->patched[i];
		if (n && rf_ruleset_of((enum rf_phase)phase, RF_STR(RF_PATCH_SET), RF_STR(RF_PATCH_SET), one, n,
				       &p->then.patched[phase]) != RF_OK)
			rc = no_memory(p);
	}
	free(one);
	return rc;
}

/* --- rulesets --- */

/* One that is in force now, as `told` says that it was then. */
static int ruleset(struct past *p, const struct rf_built_rules *now, const json_t *told)
{
	struct rf_built_rules *to = &p->then.rules[p->then.rules_count];
	const json_t *rules = json_object_get(told, "rules");
	const char *basis = doc_str(told, "basis").p;
	struct rf_err e;
	*to = *now;
	to->set = NULL;
	int rc = rules ? rf_ruleset_make(&p->env, now->set->phase, rf_str_z(now->id), rf_str_z(now->set->name), rules, now->set, &to->set, &e) :
			 RF_OK;
	if (rc == RF_E_NOMEM)
		return no_memory(p);
	if (!rules || rc != RF_OK)
		to->set = rf_ruleset_get(now->set);
	p->then.rules_count++;
	return note(p, now->id, rc == RF_OK ? basis : RF_BASIS_NOW, NULL);
}

static int rulesets(struct past *p, const json_t *told)
{
	const struct rf_parts *now = &p->c->priv->parts;
	int rc = RF_OK;
	p->then.rules = calloc(now->rules_count + 1, sizeof *p->then.rules);
	if (!p->then.rules)
		return no_memory(p);
	for (size_t i = 0; rc == RF_OK && i < now->rules_count; i++) {
		const json_t *one = json_object_get(told, now->rules[i].id);
		if (one && now->rules[i].entry)
			rc = ruleset(p, &now->rules[i], one);
	}
	return rc;
}

/* --- the answer --- */

/* Refused by a check of the edge, before rules for requests. */
static bool before_rules(const json_t *line) { return doc_is(line, "Action", "block") && !doc_str(line, "PolicyID").n; }

static json_t *outcome(const struct rf_verdict *v, const struct rf_rule *doubt, const json_t *line)
{
	static const char *const recorded[][2] = { { "recorded", "Action" }, { "recorded_rule", "PolicyID" }, { "recorded_layer", "Layer" },
						   { "recorded_reason", "Reason" } };
	if (before_rules(line) && !(doubt && doubt->phase == RF_PHASE_CONNECTION))
		doubt = NULL;
	bool refused = v->outcome == RF_BLOCK || before_rules(line);
	const char *word = doubt ? "cannot_know" : refused ? "refused" : v->outcome == RF_ANSWER ? "answered" : "forwarded";
	const struct rf_rule *r = doubt ? doubt : rf_verdict_ends(v) && !before_rules(line) ? v->rule : NULL;
	json_t *o = json_pack("{s:s}", "outcome", word);
	if (o && r)
		json_object_set_new(o, "rule", json_stringn(r->id.n ? r->id.p : r->ref.p, r->id.n ? r->id.n : r->ref.n));
	for (size_t i = 0; o && i < sizeof recorded / sizeof *recorded; i++)
		if (doc_str(line, recorded[i][1]).n)
			json_object_set(o, recorded[i][0], json_object_get(line, recorded[i][1]));
	return o;
}

static int answer(struct past *p, const struct rf_policy *policy, json_t **ret)
{
	RF_BUF_AUTO b = { 0 };
	struct rf_jw jw = rf_jw_on(&b);
	struct rf_verdict *v = malloc(sizeof *v);
	if (!v)
		return no_memory(p);
	rf_jw_open(&jw, NULL, '{');
	const struct rf_rule *doubt = rf_explain_known(policy, &p->f.facts, &p->f.know, v, &jw, "rules");
	rf_jw_close(&jw, '}');
	json_t *said = b.bad ? NULL : json_loadb(b.p, b.n, 0, NULL), *rules = json_object_get(said, "rules");
	if (before_rules(p->line))
		rf_explain_cut(rules);
	rf_explain_note(rules, p->notes);
	*ret = said ? json_pack("{s:O, s:O, s:o}", "record", p->line, "rules", rules, "outcome", outcome(v, doubt, p->line)) : NULL;
	json_decref(said);
	free(v);
	return *ret ? RF_OK : no_memory(p);
}

static int evaluate(struct past *p, json_t **ret)
{
	struct rf_policy policy = { 0 };
	char host[256];
	snprintf(host, sizeof host, "%.*s", RF_ARG(p->f.host));
	const struct rf_app *app = rf_snap_app(rf_snap_now(), rf_str_z(host));
	int rc = rf_build_policy(&p->then, app ? app->zone->id : "", &policy);
	rc = rc == RF_OK ? answer(p, &policy, ret) : no_memory(p);
	for (size_t i = 0; i < RF_PHASE_COUNT; i++)
		rf_phase_set_put(policy.phase[i]);
	rf_phase_set_put(policy.bars);
	return rc;
}

static void past_fini(struct past *p)
{
	for (size_t i = 0; i < p->patched_count; i++)
		rf_rule_put(p->patched[i]);
	free(p->patched);
	for (size_t i = 0; i < p->then.rules_count; i++)
		rf_ruleset_put(p->then.rules[i].set);
	free(p->then.rules);
	for (size_t i = 0; i < RF_PHASE_COUNT; i++)
		rf_ruleset_put(p->then.patched[i]);
	json_decref(p->notes);
	rf_record_facts_fini(&p->f);
}

static bool unchanged_since(struct rf_ctl *c, struct rf_str id, int64_t at_s)
{
	RF_OBJECT_AUTO o = { 0 };
	struct rf_err e;
	return id.n == RF_ID_LEN && rf_store_get(c->store, RF_KIND_DEVICE, id.p, &o, &e) == RF_OK && o.modified_s <= at_s;
}

int rf_ctl_explain_past(struct rf_ctl *c, const json_t *line, const json_t *told, json_t **ret, struct rf_err *e)
{
	const struct rf_snap *s = rf_snap_now();
	struct past p = { .c = c, .line = line, .env = { .lists = s->lists, .have = rf_build_have(c) }, .notes = json_object(), .e = e };
	struct rf_str id = doc_str(line, "DeviceID");
	const struct rf_device *d = id.n ? rf_device_find(c->devices, id) : NULL;
	int64_t at_s = 0;
	struct rf_arena a;
	rf_arena_init(&a, MEMORY);
	rf_rfc3339_parse(doc_str(line, "Datetime").p, &at_s);
	int rc = p.notes ? RF_OK : no_memory(&p);
	if (rc == RF_OK)
		rc = rf_record_facts(line, d, RF_STR(""), unchanged_since(c, id, at_s), &a, s->lists, &p.f, e);
	if (rc == RF_OK)
		rc = patches(&p);
	if (rc == RF_OK)
		rc = rulesets(&p, told);
	if (rc == RF_OK)
		rc = evaluate(&p, ret);
	past_fini(&p);
	rf_arena_fini(&a);
	return rc;
}
