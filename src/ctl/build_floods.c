/* ctl/build_floods: the rules against floods, a ruleset for each zone that has some. They are compiled already (ctl/attacks). */
#include <stdio.h>
#include <stdlib.h>
#include "ctl/attacks.h"
#include "ctl/build.h"
#include "ctl/private.h"

enum { ROWS = RF_FLOODS * RF_FLOOD_RULES };

#define NAME "floods" /* of their rulesets */

static int no_memory(struct rf_err *e) { return rf_fail(e, RF_E_NOMEM, "no memory for rules against floods"); }

static bool has_zone(const struct rf_built_rules *v, size_t n, const char *zone)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].zone, zone) == 0)
			return true;
	return false;
}

static int set_of(const struct rf_attack_rule *rows, const char *zone, struct rf_built_rules *to, struct rf_err *e)
{
	struct rf_rule *rules[ROWS];
	size_t n = 0;
	for (unsigned i = 0; i < ROWS; i++)
		if (rows[i].rule && strcmp(rows[i].zone, zone) == 0)
			rules[n++] = rows[i].rule;
	*to = (struct rf_built_rules){ .entry = true };
	snprintf(to->id, sizeof to->id, NAME);
	snprintf(to->zone, sizeof to->zone, "%s", zone);
	if (rf_ruleset_of(RF_PHASE_HTTP_REQUEST, RF_STR(NAME), RF_STR(NAME), rules, n, &to->set) != RF_OK)
		return no_memory(e);
	if (rf_ruleset_index(to->set, NULL, false) == RF_OK)
		return RF_OK;
	rf_ruleset_put(to->set);
	return no_memory(e);
}

int rf_build_floods(struct rf_ctl *c, struct rf_parts *p, struct rf_err *e)
{
	const struct rf_attack_rule *rows = rf_attacks_rules(c->priv->attacks);
	struct rf_built_rules *v = calloc(ROWS + 1, sizeof *v);
	size_t n = 0;
	int rc = v ? RF_OK : no_memory(e);
	for (unsigned i = 0; rows && rc == RF_OK && i < ROWS; i++)
		if (rows[i].rule && !has_zone(v, n, rows[i].zone)) {
			rc = set_of(rows, rows[i].zone, &v[n], e);
			n += rc == RF_OK;
		}
	if (rc == RF_OK) {
		p->floods = v;
		p->flood_count = n;
		return RF_OK;
	}
	while (n)
		rf_ruleset_put(v[--n].set);
	free(v);
	return rc;
}
