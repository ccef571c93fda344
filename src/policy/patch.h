/* policy/patch: what a virtual patch is to the edge: its states, and the rules that it makes in each.
 *
 * A patch is a JSON document {name, title, phase, expression, action, action_parameters, classes, until, state,
 * canary: {percent | group}, ...} (tbl/resources.def, Patch). In force it is one rule, or two while it is a canary: one
 * that acts on the share of the fleet, one that only counts on the rest. A device whose firmware has passed the fix is
 * none of its business: the condition of each rule leaves it out.
 *
 * Not here: storage, who moves a patch and when (api/patches), what a patch does to devices (ctl/patch_watch).
 */
#pragma once
#include <jansson.h>
#include "policy/rule.h"

enum rf_patch_state { RF_PATCH_DRAFT, RF_PATCH_REPLAY, RF_PATCH_REPORT, RF_PATCH_CANARY, RF_PATCH_ENFORCE, RF_PATCH_RETIRED,
		      RF_PATCH_STATES };

enum { RF_PATCH_RULES = 2, RF_PATCH_SHARES = 10000 /* of the fleet: one is 0.01 % */ };

#define RF_PATCH_SET "patches" /* id and name of the ruleset that they stand in */

const char *rf_patch_state_name(enum rf_patch_state s);
/* By name; RF_PATCH_DRAFT for what is none. */
enum rf_patch_state rf_patch_state_of(const json_t *doc);
bool rf_patch_may(enum rf_patch_state from, enum rf_patch_state to);
/* "report, replay or draft": where a patch may go from a state. */
const char *rf_patch_ways(enum rf_patch_state from, char to[96]);

/* Put a document into a state: state_since, live_since, history (who, when, from, to, why, with what it stopped). RF_E_NOMEM. */
enum { RF_PATCH_HISTORY = 100 /* moves kept */ };
int rf_patch_note(json_t *doc, enum rf_patch_state to, const char *who, const char *why, int64_t now_s);

/* The phase of a patch: connection, http_request, http_response. */
int rf_patch_phase(const json_t *doc, enum rf_phase *ret, struct rf_err *e);

/* Compile the parts by themselves, so that an error points to the part: /expression, /until, /canary/group. until and
 * group may ask for fields of the device only. */
int rf_patch_check(const struct rf_rule_env *env, const json_t *doc, struct rf_err *e);

/* The rules that a patch makes in its state, none where it is not live: ret[0..*ret_count). Each has the id `id` and a
 * reference, the caller's. `doc` has passed rf_patch_check, or fails as it would. */
int rf_patch_rules(const struct rf_rule_env *env, const json_t *doc, const char *id, struct rf_rule *ret[RF_PATCH_RULES],
		   size_t *ret_count, struct rf_err *e);

/* What a patch asks of devices, compiled: does it concern this device, is the device fixed, is it a canary? */
struct rf_patch_scope {
	const json_t *classes;                /* borrowed from the document */
	struct rf_expr *until, *group;         /* NULL: none */
	int64_t share;                        /* of RF_PATCH_SHARES */
	const char *id;
};
int rf_patch_scope_make(const struct rf_rule_env *env, const json_t *doc, const char *id, struct rf_patch_scope *ret,
			struct rf_err *e);
void rf_patch_scope_fini(struct rf_patch_scope *s);
bool rf_patch_class(const struct rf_patch_scope *s, struct rf_str class_name);
/* The rest over facts of one device. An error of evaluation is false. */
bool rf_patch_fixed(const struct rf_patch_scope *s, struct rf_facts *f);
bool rf_patch_canary(const struct rf_patch_scope *s, struct rf_str device_id, struct rf_facts *f);

/* 0..RF_PATCH_SHARES-1, always the same for the same texts, on every machine: what stable_share() of the language gives. */
int64_t rf_stable_share(struct rf_str who, struct rf_str salt);
