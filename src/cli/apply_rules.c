/* cli/apply_rules: rules of a file: where they differ from those in force, and how they would fare.
 *
 * A rule is known by its ref, else its description, else its expression. Those of a phase are set as a whole, in the order of the
 * file; without --prune those that the file does not name stand behind them.
 */
#include <stdlib.h>
#include "cli/apply.h"
#include "cli/try.h"

/* A rule without a name of its own has its id for one, which means nothing to a file. */
static const char *rule_name(const json_t *rule)
{
	static const char *const members[] = { "ref", "description", "expression" };
	for (size_t i = strcmp(apply_text(rule, "ref"), apply_text(rule, "id")) == 0; i < 3; i++)
		if (apply_text(rule, members[i])[0])
			return apply_text(rule, members[i]);
	return "";
}

static const json_t *same_rule(const json_t *rules, const json_t *wanted)
{
	size_t i;
	json_t *r;
	json_array_foreach(rules, i, r)
		if (strcmp(rule_name(r), rule_name(wanted)) == 0)
			return r;
	return NULL;
}

/* What a rule is, with what the API adds taken off. */
static json_t *bare(const json_t *rule)
{
	json_t *r = json_deep_copy(rule);
	state_strip_rule(r);
	return r;
}

/* The rules of a phase as they would be: those of the file, then, without --prune, those that it does not name. */
static json_t *merged(const struct apply *a, const json_t *now, const json_t *wanted)
{
	json_t *out = json_array(), *r;
	size_t i;
	json_array_foreach(wanted, i, r) {
		json_t *copy = json_deep_copy(r);
		const json_t *old = same_rule(now, r);
		if (old && json_is_object(copy))
			json_object_set(copy, "id", json_object_get(old, "id"));
		json_array_append_new(out, copy);
	}
	json_array_foreach(now, i, r)
		if (!a->prune && !same_rule(wanted, r))
			json_array_append(out, r);
	return out;
}

static bool same_order(const json_t *now, const json_t *next)
{
	size_t i;
	json_t *r;
	if (json_array_size(now) != json_array_size(next))
		return false;
	json_array_foreach(next, i, r)
		if (strcmp(rule_name(json_array_get(now, i)), rule_name(r)) != 0)
			return false;
	return true;
}

static void say_rules(struct apply *a, const char *where, const char *phase, const json_t *now, const json_t *next)
{
	size_t i, before = a->changes;
	json_t *r;
	RF_BUF_AUTO place = { 0 };
	rf_buf_printf(&place, "rule of %s, %s,", where, phase);
	json_array_foreach(next, i, r) {
		const json_t *old = same_rule(now, r);
		json_t *x = bare(r), *y = old ? bare(old) : NULL;
		if (!old)
			apply_say(a, '+', rf_buf_z(&place), rule_name(r), "");
		else if (!json_equal(x, y))
			apply_say(a, '~', rf_buf_z(&place), rule_name(r), "");
		json_decref(x);
		json_decref(y);
	}
	json_array_foreach(now, i, r)
		if (!same_rule(next, r))
			apply_say(a, '-', rf_buf_z(&place), rule_name(r), "");
	if (a->changes == before && !same_order(now, next))
		apply_say(a, '~', rf_buf_z(&place), "all", "their order");
}

static int apply_phase(struct apply *a, const char *zone_id, const char *where, const char *phase, const json_t *now,
		       const json_t *wanted)
{
	RF_BUF_AUTO path = { 0 };
	json_t *next = merged(a, now, wanted), *body = json_pack("{s:O}", "rules", next);
	size_t before = a->changes;
	int rc = RF_OK;
	say_rules(a, where, phase, now, next);
	if (a->changes != before) {
		rc = cli_path(a->c, zone_id ? "/zones/{zone}/rulesets/phases/" : "/accounts/{account}/rulesets/phases/", "zone",
			      zone_id ? zone_id : "", &path);
		cli_escape(&path, phase);
		rf_buf_printf(&path, "/entrypoint");
		if (rc == RF_OK)
			rc = apply_request(a, "PUT", rf_buf_z(&path), body, NULL);
	}
	json_decref(body);
	json_decref(next);
	return rc;
}

int apply_rules(struct apply *a, const json_t *wanted, const char *zone_id, const char *where)
{
	json_t *now = NULL, *rules;
	const char *phase;
	if (!wanted && !a->prune)
		return RF_OK;
	int rc = zone_id && apply_fresh(zone_id) ? RF_OK : state_rules(a->c, zone_id, &now);
	json_object_foreach((json_t *)wanted, phase, rules)
		if (rc == RF_OK)
			rc = apply_phase(a, zone_id, where, phase, json_object_get(now, phase), rules);
	json_object_foreach(now, phase, rules)
		if (rc == RF_OK && a->prune && !json_object_get(wanted, phase))
			rc = apply_phase(a, zone_id, where, phase, rules, NULL);
	json_decref(now);
	return rc;
}

/* --- how they would fare --- */

/* Put `rules` of the file over those of now, phase by phase. */
static json_t *rules_after(const struct apply *a, const json_t *now, const json_t *wanted)
{
	json_t *out = a->prune ? json_object() : now ? json_deep_copy(now) : json_object();
	const char *phase;
	json_t *rules;
	json_object_foreach((json_t *)wanted, phase, rules)
		json_object_set_new(out, phase, merged(a, json_object_get(now, phase), rules));
	return out;
}

/* Objects of `now` with those of the file in their place or after them. */
static json_t *named_after(const struct apply *a, const json_t *now, const json_t *wanted)
{
	json_t *out = json_array(), *one;
	size_t i;
	json_array_foreach(now, i, one)
		if (!apply_named(wanted, apply_text(one, "name")) && !a->prune)
			json_array_append(out, one);
	json_array_foreach(wanted, i, one)
		json_array_append_new(out, json_deep_copy(one));
	return out;
}

/* Patches as they stand, each with its state, with what the file says of them; new ones are drafts. */
static int patches_after(const struct apply *a, json_t **ret)
{
	const struct state_kind *k = state_kind("patch");
	json_t *now = NULL, *out = json_array(), *one;
	size_t i;
	int rc = state_objects(a->c, k, NULL, &now);
	const json_t *wanted = json_object_get(a->doc, k->section);
	json_array_foreach(now, i, one) {
		const json_t *changed = apply_named(wanted, apply_text(one, "name"));
		if (changed)
			json_object_update(one, (json_t *)changed);
		if (changed || !a->prune)
			json_array_append(out, one);
	}
	json_array_foreach(wanted, i, one)
		if (!apply_named(now, apply_text(one, "name")))
			json_array_append(out, one);
	json_decref(now);
	*ret = out;
	return rc;
}

int apply_rehearse(struct apply *a)
{
	struct cli *c = a->c;
	json_t *now = NULL, *zones, *zone;
	struct rules_try *t = NULL;
	size_t i, passed = 0, failed = 0;
	const json_t *tests = json_object_get(a->doc, "tests");
	int rc = state_read(c, STATE_NO_DEVICES | STATE_NO_ACCESS, &now);
	if (rc != RF_OK)
		return rc;
	zones = named_after(a, json_object_get(now, "zones"), json_object_get(a->doc, "zones"));
	json_array_foreach(zones, i, zone) {
		const json_t *old = apply_named(json_object_get(now, "zones"), apply_text(zone, "name"));
		const json_t *wanted = apply_named(json_object_get(a->doc, "zones"), apply_text(zone, "name"));
		json_object_set_new(zone, "rules", rules_after(a, json_object_get(old, "rules"),
							      json_object_get(wanted ? wanted : old, "rules")));
	}
	json_t *lists = named_after(a, json_object_get(now, "lists"), json_object_get(a->doc, "lists"));
	json_t *rules = rules_after(a, json_object_get(now, "rules"), json_object_get(a->doc, "rules"));
	json_t *patches = NULL;
	rc = patches_after(a, &patches);
	json_t *after = json_pack("{s:o, s:o, s:o, s:o}", "lists", lists, "zones", zones, "rules", rules, "patches", patches);
	if (rc == RF_OK)
		rc = cli_try_new(c, after, &t);
	if (rc == RF_OK)
		rc = cli_try_own(t, json_object_get(a->doc, "patches"), &failed);
	if (rc == RF_OK && failed)
		rc = rf_fail(&c->e, RF_E_CONFLICT, "%zu of the tests of patches fail with this file; nothing was changed", failed);
	if (rc == RF_OK && tests)
		rc = cli_try_run(t, tests, NULL, &passed, &failed);
	if (rc == RF_OK && failed)
		rc = rf_fail(&c->e, RF_E_CONFLICT, "%zu of %zu tests of rules fail with this file; nothing was changed", failed,
			     passed + failed);
	cli_try_free(t);
	json_decref(after);
	json_decref(now);
	return rc;
}
