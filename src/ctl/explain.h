/* ctl/explain: a request of a device, judged without sending it; and an operator's table of requests held against rules.
 *
 * Over what is in force now: the published snapshot, the registry, the certificates in the state. Nothing is changed or counted.
 */
#pragma once
#include <jansson.h>
#include "ctl/control.h"

/* body {device, request} ->
 * {identity: {device, certificate}, checks: [{phase, check, result, because}], rules: [...], verdict: {...},
 *  outcome: {outcome, status, layer, reason, app, would_refuse}}.
 * `device`: id or name, "" for none. What the request says of device and tls goes before what is known of them.
 * result: passed, refused, reported (the host is in report mode), not_reached, not_asked. */
int rf_ctl_explain(struct rf_ctl *c, const json_t *body, json_t **ret, struct rf_err *e);

/* Whose rules a verdict on a past record is of. */
#define RF_BASIS_THEN "rules of then"
#define RF_BASIS_SECOND "rules of then, or of within a second of it"
#define RF_BASIS_NOW "rules of now"
/* A stored line (record_find) against patches by their histories and rulesets as told: {id: {basis, rules}}, without rules those
 * in force; one that is not told is left out -> {record, rules: [{..., basis, state}], outcome: {outcome, rule, recorded, ...}}. */
int rf_ctl_explain_past(struct rf_ctl *c, const json_t *line, const json_t *told, json_t **ret, struct rf_err *e);
/* The request was refused before its rules: all but those of the connection were not reached. */
void rf_explain_cut(json_t *rules);
/* Say beside each rule of the array what `notes` has for its ruleset, or of a patch for it: by id. */
void rf_explain_note(json_t *rules, const json_t *notes);

/* The rules in force that are asked of every request, since no index leads to them: [{phase, ruleset_id, id, ref, action,
 * expression, reason}]. */
int rf_ctl_rules_lint(struct rf_ctl *c, json_t **ret, struct rf_err *e);

/* body {tests, zone_id, rulesets} -> {passed, failed, tests: [{name, passed, why}]}. */
int rf_ctl_rules_test(struct rf_ctl *c, const json_t *body, json_t **ret, struct rf_err *e);
