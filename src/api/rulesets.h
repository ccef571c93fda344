/* api/rulesets: a ruleset being changed, shared by its handlers (rulesets.c), single rules (rules.c), the replacement of
 * all (rule_diff.c), places (rule_place.c) and earlier versions (ruleset_versions.c).
 *
 * A ruleset's row is its head: what it is, its version, how many rules it has, and what earlier versions are kept. Each
 * rule is a row of its own. A change writes the rows that differ, notes for each how to undo it, and ends with
 * rf_change_finish, which stores the notes as the earlier version, puts the head and commits.
 */
#pragma once
#include "api/call.h"

enum {
	RF_RULESET_VERSIONS = 20,         /* earlier ones that are kept */
	RF_RULESET_VERSION_RULES = 20000, /* and rules that changed in all of them together; see ruleset_versions.c */
	RF_RULESET_PART = 128 << 10,      /* bytes of notes after which another record begins */
	RF_RULESET_EACH = 512,            /* rules that are announced to ctl one by one; beyond it, the ruleset */
};
#define RF_RULESET_PART_END "]}\0"

struct rf_ruleset_change {
	struct rf_object head;
	struct rf_buf undo;       /* documents of records, one behind the other; see ruleset_versions.c */
	size_t part;              /* where the notes of the last one begin */
	size_t notes;             /* in all */
	bool fresh;               /* the ruleset is being made */
	bool whole;               /* announce the ruleset, not each rule */
	bool unkept;              /* too much changes for a way back */
	char now[RF_RFC3339_SIZE];
};

/* The ruleset of the path, of the account or the zone that the path names. */
int rf_ruleset_load(struct rf_api_call *c, const char *id, struct rf_object *ret);
/* Begin a transaction on it. rf_change_fini in any case. */
int rf_change_open(struct rf_api_call *c, struct rf_ruleset_change *ch);
void rf_change_begin(struct rf_api_call *c, struct rf_ruleset_change *ch);
void rf_change_fini(struct rf_ruleset_change *ch);
#define RF_CHANGE_AUTO __attribute__((cleanup(rf_change_fini))) struct rf_ruleset_change

/* Write a rule's row whose document has changed, or that is new. */
int rf_change_put(struct rf_api_call *c, struct rf_ruleset_change *ch, struct rf_object *row);
/* Give a rule another place. */
int rf_change_move(struct rf_api_call *c, struct rf_ruleset_change *ch, const char *id, int64_t place);
int rf_change_del(struct rf_api_call *c, struct rf_ruleset_change *ch, const char *id);
/* Note how to undo a change of a rule, as the above do: name, document and place before it, only the place where it `moves`; NULL: it
 * was not there. That memory is exhausted is said by rf_change_finish. */
void rf_change_note(struct rf_ruleset_change *ch, const char *id, const struct rf_raw_object *was, bool moves);
/* Keep what was, put the head, commit. Errors of the compiler point into the request: `one` is the id of the rule that it
 * is about; NULL: it had all rules (c->rules). */
int rf_change_finish(struct rf_api_call *c, struct rf_ruleset_change *ch, const char *one);
/* The result: the whole ruleset, or by the client's wish (Prefer: return=minimal) its id, version and time, with the one rule where
 * there is one. */
int rf_change_result(struct rf_api_call *c, const struct rf_ruleset_change *ch, json_t *rule);

/* Id, ref, version and time of a rule's document whose older one is `old` (NULL: new). True when its content differs. */
bool rf_rule_number(json_t *rule, const char *id, const json_t *old, const char *now);
uint64_t rf_rule_content(const json_t *rule); /* digest of what is not computed */

/* Replace all rules by those of the request, c->rules. */
int rf_rules_replace(struct rf_api_call *c, struct rf_ruleset_change *ch);
/* The place that a position of a request means; rule `self` (a row with its place; id "": none) is not counted. Makes
 * room by moving neighbours where there is none. */
int rf_rule_place(struct rf_api_call *c, struct rf_ruleset_change *ch, const json_t *position,
		  const struct rf_placed *self, int64_t *ret);
enum { RF_RULE_GAP = 1 << 24 }; /* between the places of neighbours that were not squeezed */

/* The ruleset without and with its rules. NULL without memory; `rules` is taken. */
json_t *rf_ruleset_brief(const struct rf_object *head);
json_t *rf_ruleset_full(const struct rf_object *head, json_t *rules);
/* Its rules in order as an array. */
int rf_ruleset_rules(struct rf_api_call *c, const struct rf_object *head, json_t **ret);

/* explain_past.c: the request of a stored record, by its RayID. */
int rf_api_explain_past(struct rf_api_call *c, const char *ray);

/* ruleset_versions.c */
int rf_version_keep(struct rf_api_call *c, struct rf_ruleset_change *ch, const json_t *old_head);
int rf_versions_list(struct rf_api_call *c, const struct rf_object *head);
int rf_versions_show(struct rf_api_call *c, const struct rf_object *head);
