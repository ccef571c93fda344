/* ctl/rule_merge: freezes the indexes of rulesets in the background.
 *
 * One merge at a time, on a thread of the lowest priority; its end is a message to the control thread, which puts the
 * merged index in force in a snapshot of its own. Control thread only.
 */
#pragma once
#include "ctl/control.h"

struct rf_rule_merge;

struct rf_rule_merge *rf_rule_merge_new(struct rf_ctl *c); /* NULL without memory */
/* Begin one where a ruleset in force wants it and none runs. NULL: nothing. */
void rf_rule_merge_look(struct rf_rule_merge *m);
/* Waits for the merge that runs. */
void rf_rule_merge_free(struct rf_rule_merge *m);
