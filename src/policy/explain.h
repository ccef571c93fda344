/* policy/explain: the verdict of every rule in order, with what decided it, as JSON. */
#pragma once
#include "base/jw.h"
#include "policy/verdict.h"

enum { RF_EXPLAIN_TERMS = 16, RF_EXPLAIN_TEXT = 256 }; /* terms of a rule, bytes of a value, that are shown */

/* Evaluate all phases, from the packets of a request to its answer, and write an array `key` of
 * {phase, ruleset, rule, ref, description, action, result, because: [{expression, line, column, holds, value}]}
 * to *w; result is matched, not_matched, disabled, skipped, not_reached, not_in_force, cannot_know or error. A rate limit that matches
 * has `limit` {count, most, period_seconds, over, wait_seconds}, as the counters of `counting` stand: they are only looked at.
 * NULL: none are known. Of packets, and of an answer that the facts do not have, only what follows from the request is known: else
 * `because` names the fields. `packets_off`: why rules of packets are not in force; NULL: they are. The verdict is left in *v. */
void rf_explain(const struct rf_policy *p, struct rf_facts *f, const struct rf_counting *counting, const char *packets_off,
	struct rf_verdict *v, struct rf_jw *w, const char *key);
/* The same of what is past, over facts of which some are not known. Rules of packets decide nothing: the request was there. Returns the first rule that might have decided otherwise and cannot be known; NULL: none, the verdict is sure. */
const struct rf_rule *rf_explain_known(const struct rf_policy *p, struct rf_facts *f, struct rf_knowledge *know, struct rf_verdict *v,
	struct rf_jw *w, const char *key);
/* {outcome, why, rule, ref, status, location, retry_after, settings: {compress, inspect_body_bytes, record_sample}, log: [..],
 * headers: [{operation, name, value}], path, query, error}. */
void rf_explain_verdict(const struct rf_verdict *v, struct rf_jw *w, const char *key);

const char *rf_outcome_str(enum rf_outcome o); /* "pass", "allow", "block", "answer" */
