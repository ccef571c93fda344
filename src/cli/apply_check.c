/* cli/apply_check: whether a file for apply has the right shape, before anything is asked or changed.
 *
 * Every member is held against the table of shapes; names are there and unique. What members mean together, the API says.
 */
#include "base/near.h"
#include "cli/shape.h"
#include "cli/state.h"

static int check_rules(struct cli *c, const json_t *phases, const char *at)
{
	const char *phase;
	json_t *rules, *rule;
	size_t i;
	int rc = RF_OK;
	if (phases && !json_is_object(phases))
		return rf_fail_ptr(&c->e, RF_E_TYPE, at, "must be a mapping of phases to sequences of rules");
	json_object_foreach((json_t *)phases, phase, rules) {
		char pointer[96];
		if (!json_is_array(rules))
			return rf_fail_ptr(&c->e, RF_E_TYPE, at, "%s must be a sequence of rules", phase);
		json_array_foreach(rules, i, rule) {
			snprintf(pointer, sizeof pointer, "%.40s/%.32s/%zu", at, phase, i);
			if (rc == RF_OK)
				rc = cli_shape_check(c, "RULE", rule, pointer, NULL);
		}
	}
	return rc;
}

static int check_objects(struct cli *c, const struct state_kind *k, const json_t *array, const char *at)
{
	size_t i;
	json_t *one, *names = json_object();
	int rc = !array || json_is_array(array) ? RF_OK : rf_fail_ptr(&c->e, RF_E_TYPE, at, "must be a sequence");
	json_array_foreach(array, i, one) {
		char pointer[96];
		snprintf(pointer, sizeof pointer, "%.60s/%zu", at, i);
		if (rc == RF_OK)
			rc = cli_shape_check(c, k->resource, one, pointer, k->also);
		if (rc == RF_OK && !state_name(one)[0])
			rc = rf_fail_ptr(&c->e, RF_E_MISSING, pointer, "%s %s of a file needs a %s", strchr("aeiou", k->kind[0]) ? "an" : "a",
					 k->kind, strcmp(k->section, "access_rules") == 0 ? "configuration with a value" : "name");
		if (rc == RF_OK && json_object_get(names, state_name(one)))
			rc = rf_fail_ptr(&c->e, RF_E_INVALID, pointer, "the %s %s is there already", k->kind, state_name(one));
		if (rc == RF_OK)
			json_object_set_new(names, state_name(one), json_true());
	}
	json_decref(names);
	return rc;
}

static int check_zones(struct cli *c, const json_t *zones)
{
	size_t i;
	json_t *zone;
	int rc = RF_OK;
	json_array_foreach(zones, i, zone) {
		char at[64];
		for (size_t k = 0; k < state_kind_count && rc == RF_OK; k++) {
			snprintf(at, sizeof at, "/zones/%zu/%s", i, state_kinds[k].section);
			if (state_kinds[k].in_zone)
				rc = check_objects(c, &state_kinds[k], json_object_get(zone, state_kinds[k].section), at);
		}
		snprintf(at, sizeof at, "/zones/%zu/rules", i);
		if (rc == RF_OK)
			rc = check_rules(c, json_object_get(zone, "rules"), at);
	}
	return rc;
}

int cli_apply_check(struct cli *c, const json_t *doc)
{
	static const char *const sections[] = { "lists", "roots", "classes", "devices", "patches", "access_rules", "zones", "rules", "tests" };
	enum { SECTIONS = sizeof sections / sizeof *sections };
	const char *name;
	json_t *v;
	int rc = json_is_object(doc) ? RF_OK : rf_fail(&c->e, RF_E_TYPE, "a file for apply is a mapping of sections");
	json_object_foreach((json_t *)doc, name, v) {
		size_t i = 0;
		while (i < SECTIONS && strcmp(sections[i], name) != 0)
			i++;
		if (rc == RF_OK && i == SECTIONS) {
			const char *near = rf_near(rf_str_z(name), sections, SECTIONS);
			rc = rf_fail(&c->e, RF_E_UNKNOWN, "unknown section \"%s\"%s%s%s", name, near ? "; did you mean \"" : "",
				     near ? near : "", near ? "\"?" : "");
		}
	}
	for (size_t i = 0; rc == RF_OK && i < state_kind_count; i++) {
		char at[32];
		snprintf(at, sizeof at, "/%s", state_kinds[i].section);
		if (!state_kinds[i].in_zone)
			rc = check_objects(c, &state_kinds[i], json_object_get(doc, state_kinds[i].section), at);
	}
	if (rc == RF_OK)
		rc = check_zones(c, json_object_get(doc, "zones"));
	return rc == RF_OK ? check_rules(c, json_object_get(doc, "rules"), "/rules") : rc;
}
