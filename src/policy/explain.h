/* policy/explain: the verdict of every rule in order, with what decided it, as JSON. */
#pragma once
#include "base/jw.h"
#include "policy/verdict.h"

/* Evaluate as rf_http_eval (or only the connection phase) and write an array `key` of
 * {phase, ruleset, rule, ref, description, action, result, because:[{expression, line, column, value}]}
 * to *w. The verdict is left in *v. */
void rf_explain_http(const struct rf_policy *p, struct rf_facts *f, struct rf_verdict *v, struct rf_jw *w,
	const char *key);
void rf_explain_phase(const struct rf_phase_set *set, struct rf_facts *f, struct rf_verdict *v, struct rf_jw *w,
	const char *key);
/* The outcome: {action, reason, rule, ref, status, hits:[..], headers:[..], path, query}. */
void rf_explain_verdict(const struct rf_verdict *v, struct rf_jw *w, const char *key);
