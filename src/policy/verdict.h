/* policy/verdict: evaluate the rules of a phase over the facts of one request or connection.
 *
 * A verdict gathers over the phases of one request: init it once, rf_config_eval before the body is looked at,
 * rf_http_eval for the phases before it is forwarded; another verdict and rf_response_eval when the head of the answer
 * is there. Order: rulesets of the set, rules by priority then place. A match of a terminal action ends the phase; one
 * that refuses or answers ends them all. An error while evaluating is a block with reason RF_WHY_ERROR: nothing
 * fails open. A rule that only logs stops nothing by its error either: that is counted.
 */
#pragma once
#include "policy/know.h"
#include "policy/rule.h"

enum { RF_HITS = 16, RF_EDITS = 64, RF_SKIPPERS = 16, RF_LATE_COUNTS = 16 };

/* PASS: no terminal rule matched; ANSWER: a rule answers (a redirection, another page), which is no refusal. */
enum rf_outcome { RF_PASS, RF_ALLOW, RF_BLOCK, RF_ANSWER };
enum rf_why { RF_WHY_NONE, RF_WHY_RULE, RF_WHY_CHALLENGE, RF_WHY_ERROR, RF_WHY_LIMIT, RF_WHY_QUARANTINE };

/* One edit of headers, ready to apply, in order. SET replaces all of that name, ADD appends. */
struct rf_edit {
	enum rf_edit_op op;
	struct rf_str name, value;
	const struct rf_rule *rule;
};

/* What skip rules have left out, for the phases to come. */
struct rf_skipped {
	uint32_t phases;
	unsigned nskippers;
	const struct rf_skip *skippers[RF_SKIPPERS];
};

/* To be counted when the answer is there. */
struct rf_late_count {
	const struct rf_rule *rule;
	struct rf_limit_key key;
};

/* What the rate limits of a request count in. The zero value counts nothing, and no limit is ever reached. */
struct rf_counting {
	struct rf_limits *table;
	uint64_t now;  /* monotonic, ns */
	bool look;     /* only look at the counters, as explain does */
};

struct rf_verdict {
	enum rf_outcome outcome;
	enum rf_why why;
	int error;                          /* RF_E_* with RF_WHY_ERROR */
	unsigned errors;                    /* rules that could not be evaluated, those that only log among them */
	const struct rf_rule *rule;         /* that decided (or failed); NULL with RF_PASS */
	const struct rf_response *response; /* of a block or serve_error; NULL: the caller's default */
	int status;                         /* of a block without a response, or of a redirection */
	struct rf_str location;             /* of a redirection, ready for a header; "": none */
	uint64_t wait_ns;                   /* over a limit: until it may pass again */
	unsigned nhits, hits_lost;
	const struct rf_rule *hits[RF_HITS]; /* matched rules to record, in order; log-only ones too */
	unsigned nedits;
	struct rf_edit edits[RF_EDITS];
	bool set_path, set_query;
	struct rf_str path, query;          /* in the arena of the facts */
	struct rf_config config;            /* what set_config rules have said, the last of each */
	const struct rf_algorithms *algorithms; /* of the last compress_response; NULL: none */
	struct rf_counting counting;        /* given by the caller after rf_verdict_init */
	struct rf_limit_state limit;        /* of the last rate limit that was asked */
	unsigned limits_evicted;            /* counters that had to make room */
	unsigned nlate;
	struct rf_late_count late[RF_LATE_COUNTS];
	struct rf_skipped skipped;
};

void rf_verdict_init(struct rf_verdict *v);
/* It is decided what the client gets, and not by the origin. */
static inline bool rf_verdict_ends(const struct rf_verdict *v) { return v->outcome >= RF_BLOCK; }
/* The status of a block. */
int rf_verdict_status(const struct rf_verdict *v);
/* Words for a reason: "", "a rule", "a challenge is meaningless to a device", ... */
const char *rf_why_str(enum rf_why why);

/* What happened to a rule, for explain. */
enum rf_step { RF_STEP_MATCHED, RF_STEP_NOT_MATCHED, RF_STEP_DISABLED, RF_STEP_SKIPPED, RF_STEP_NOT_REACHED,
	RF_STEP_ERROR, RF_STEP_UNKNOWN, RF_STEP_NOT_IN_FORCE };
/* With `know` only what follows from known facts is done: no edit, no setting, and no rate limit, whose counters are gone. */
struct rf_trace {
	void (*rule)(void *ctx, const struct rf_ruleset *set, const struct rf_rule *rule, enum rf_step step,
		struct rf_facts *f);
	void *ctx;
	struct rf_knowledge *know; /* NULL: all facts are known */
};

/* Evaluate one phase; set NULL: nothing to do. trace is NULL on the request path. The rules must
 * outlive the verdict (they are those of the caller's snapshot). */
void rf_phase_eval(const struct rf_phase_set *set, struct rf_facts *f, struct rf_verdict *v,
	const struct rf_trace *trace);

/* The phases of one zone. */
struct rf_policy {
	struct rf_phase_set *phase[RF_PHASE_COUNT]; /* NULL: no rules */
	struct rf_phase_set *bars; /* access rules of the zone, in the phase connection before its rules; not where a port is without
	                            * a firewall of addresses. NULL: none */
};
/* The phase of the connection: its bars, then its rules. */
void rf_connection_eval(const struct rf_policy *p, bool bars, struct rf_facts *f, struct rf_verdict *v, const struct rf_trace *trace);
/* A packet, where the facts are of one; else a connection, its request, and the answer where the facts have one: then the
 * edits of headers are those of the answer. */
void rf_policy_eval(const struct rf_policy *p, struct rf_facts *f, struct rf_verdict *v, const struct rf_trace *trace);
/* What comes before any request: the phase of the packet where the facts have one, else of the connection. */
void rf_flow_eval(const struct rf_policy *p, struct rf_facts *f, struct rf_verdict *v, const struct rf_trace *trace);
/* Settings for the request, before its body is looked at. An error blocks. */
void rf_config_eval(const struct rf_policy *p, struct rf_facts *f, struct rf_verdict *v, const struct rf_trace *trace);
/* The phases of a request in order. */
void rf_http_eval(const struct rf_policy *p, struct rf_facts *f, struct rf_verdict *v,
	const struct rf_trace *trace);
/* The phases of the origin's answer in order. */
void rf_response_eval(const struct rf_policy *p, struct rf_facts *f, struct rf_verdict *v, const struct rf_trace *trace);
/* Count what the request's verdict has left to be counted. `facts` are those of the response; where it never reached the
 * origin, `forwarded` is false. `score` gives the value of a header of the origin's answer. */
void rf_late_counts(const struct rf_late_count *late, unsigned n, const struct rf_counting *counting, struct rf_facts *facts,
	bool forwarded, struct rf_str (*score)(void *ctx, struct rf_str header), void *ctx, unsigned *ret_evicted);
