/* policy/verdict: evaluate the rules of a phase over the facts of one request or connection.
 *
 * A verdict gathers over the phases of one request: init it once, evaluate http_request, and while it
 * is not a block, http_request_transform and http_request_late_transform (rf_http_eval does so).
 * Order: rulesets of the set, rules by priority then place. A match of a terminal action ends the
 * phase. An error while evaluating is a block with reason RF_WHY_ERROR: nothing fails open.
 */
#pragma once
#include "policy/rule.h"

enum { RF_HITS = 16, RF_EDITS = 64, RF_SKIPPERS = 16 };

enum rf_outcome { RF_PASS, RF_ALLOW, RF_BLOCK }; /* PASS: no terminal rule matched */
enum rf_why { RF_WHY_NONE, RF_WHY_RULE, RF_WHY_CHALLENGE, RF_WHY_ERROR };

/* One edit of headers, ready to apply, in order. SET replaces all of that name, ADD appends. */
struct rf_edit {
	enum rf_edit_op op;
	struct rf_str name, value;
	const struct rf_rule *rule;
};

struct rf_verdict {
	enum rf_outcome outcome;
	enum rf_why why;
	int error;                          /* RF_E_* with RF_WHY_ERROR */
	const struct rf_rule *rule;         /* that decided (or failed); NULL with RF_PASS */
	const struct rf_response *response; /* of a block; NULL: the caller's default */
	unsigned nhits, hits_lost;
	const struct rf_rule *hits[RF_HITS]; /* matched rules to record, in order; log-only ones too */
	unsigned nedits;
	struct rf_edit edits[RF_EDITS];
	bool set_path, set_query;
	struct rf_str path, query;          /* in the arena of the facts */
	/* private: what skip rules have switched off */
	uint32_t skipped_phases;
	unsigned nskippers;
	const struct rf_skip *skippers[RF_SKIPPERS];
};

void rf_verdict_init(struct rf_verdict *v);
/* Words for a reason: "", "a rule", "a challenge is meaningless to a device", ... */
const char *rf_why_str(enum rf_why why);

/* What happened to a rule, for explain. */
enum rf_step { RF_STEP_MATCHED, RF_STEP_NOT_MATCHED, RF_STEP_DISABLED, RF_STEP_SKIPPED, RF_STEP_NOT_REACHED,
	RF_STEP_ERROR };
struct rf_trace {
	void (*rule)(void *ctx, const struct rf_ruleset *set, const struct rf_rule *rule, enum rf_step step,
		struct rf_facts *f);
	void *ctx;
};

/* Evaluate one phase; set NULL: nothing to do. trace is NULL on the request path. The rules must
 * outlive the verdict (they are those of the caller's snapshot). */
void rf_phase_eval(const struct rf_phase_set *set, struct rf_facts *f, struct rf_verdict *v,
	const struct rf_trace *trace);

/* The phases of one zone. */
struct rf_policy {
	struct rf_phase_set *phase[RF_PHASE_COUNT]; /* NULL: no rules */
};
/* A packet, where the facts are of one; else a connection and its request. */
void rf_policy_eval(const struct rf_policy *p, struct rf_facts *f, struct rf_verdict *v, const struct rf_trace *trace);
/* The three phases of a request in order. */
void rf_http_eval(const struct rf_policy *p, struct rf_facts *f, struct rf_verdict *v,
	const struct rf_trace *trace);
