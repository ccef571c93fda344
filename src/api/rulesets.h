/* api/rulesets: a ruleset being changed: loaded, edited, numbered, stored with its earlier version. */
#pragma once
#include "api/call.h"

enum { RF_RULESET_VERSIONS = 20 }; /* earlier ones that are kept */

/* The ruleset of the path, of the account or the zone that the path names. */
int rf_ruleset_load(struct rf_api_call *c, const char *id, struct rf_object *ret);
/* Number the rules of o->doc against those of `old` (NULL: none): ids, refs, versions, times. */
int rf_ruleset_number(struct rf_api_call *c, json_t *doc, const json_t *old);
/* Keep `old` as an earlier version, store and commit, and make the ruleset the result. `rule`: index of the one
 * rule that the request is about, so that pointers fit its body; -1: all. Takes no reference. */
int rf_ruleset_save(struct rf_api_call *c, struct rf_object *o, const json_t *old, int rule);
json_t *rf_ruleset_show(struct rf_api_call *c, const struct rf_object *o);
