/* policy/rule: rules and rulesets, compiled from the documented JSON shapes.
 *
 * A rule is compiled once to an immutable object; a ruleset is an immutable array of blocks of rules
 * that rulesets share, so that one rule more among 100,000 compiles one rule and copies one block and
 * an array of some hundred pointers. A phase set is
 * what one zone evaluates in one phase: rulesets in order, the account's before the zone's. All
 * three are shared by reference count (get/put, any thread) and never change.
 *
 * Not here: ids, versions, timestamps and storage of the JSON documents (the API's business).
 */
#pragma once
#include <jansson.h>
#include <stdatomic.h>
#include "base/buf.h"
#include "policy/expr.h"
#include "policy/limit.h"

enum {
	RF_RULES = 200000,         /* of a ruleset */
	RF_RULE_BLOCK = 256,       /* rules that are shared between rulesets as one */
	RF_RULE_EDITS = 32,        /* header edits of one rewrite */
	RF_RULE_SKIPS = 256,       /* rules or rulesets named by one skip */
	RF_RULE_TEXT = 500,        /* bytes of a description */
	RF_RESPONSE_SIZE = 65536,  /* bytes of a block's content */
	RF_RULE_WARNINGS = 4,
	RF_PHASE_SETS = 64,        /* rulesets of a phase */
	RF_LIMIT_PARTS = 8,        /* characteristics of a rate limit */
	RF_LIMIT_MOST = 1000000000, /* of what a rate limit counts, in a period */
	RF_TARGET_SIZE = 8192,     /* bytes of a redirection's target */
	RF_CONFIG_BODY = 16 << 20, /* bytes of a body that set_config can let rules see */
	RF_CODINGS_MOST = 8,       /* algorithms of a compress_response */
};

/* What a block or serve_error answers with. */
struct rf_response {
	int status;                 /* 400..599; 0: that of the origin's answer (serve_error) */
	struct rf_str content;      /* may be empty */
	struct rf_str content_type; /* "text/plain", "text/html", "text/xml" or "application/json" */
};

enum rf_edit_op { RF_EDIT_SET, RF_EDIT_ADD, RF_EDIT_REMOVE };

/* One edit of a rewrite action, with the value still an expression where there is one. */
struct rf_edit_spec {
	enum rf_edit_op op;
	struct rf_str name;    /* header name as written */
	struct rf_str value;   /* where expr is NULL */
	struct rf_expr *expr;
};

struct rf_skip {
	bool current;                              /* the rest of this ruleset */
	uint32_t phases;                           /* 1u << RF_PHASE_* */
	size_t nrulesets, nrules;
	struct rf_str *rulesets;                   /* ids */
	struct { struct rf_str ruleset, rule; } *rules;
};

struct rf_redirect {
	int status;                  /* 301, 302, 303, 307 or 308 */
	struct rf_edit_spec *target; /* a URL, or a path of the same host */
	bool keep_query;
};

/* Settings for one request. */
struct rf_config {
	int64_t body_bytes; /* of the body that rules see; -1: untouched */
	int compress;       /* of answers: 0 off, 1 on, -1: untouched */
	uint32_t sample;    /* one of so many requests that pass is recorded; 0: untouched */
};

/* What a compress_response may choose; the same numbers as the words of its table. */
enum rf_algorithm { RF_ALG_NONE, RF_ALG_AUTO, RF_ALG_DEFAULT, RF_ALG_GZIP, RF_ALG_BROTLI, RF_ALG_ZSTD };
struct rf_algorithms {
	unsigned n;
	enum rf_algorithm v[RF_CODINGS_MOST]; /* in order of preference */
};

/* A part of the key of a rate limit. The device is its id, and the address where there is none; the address
 * of IPv6 its first 64 bits. */
struct rf_limit_part {
	enum { RF_LIMIT_DEVICE, RF_LIMIT_ADDRESS, RF_LIMIT_VALUE } kind;
	struct rf_expr *expr;        /* VALUE */
};

/* The documented object `ratelimit`. */
struct rf_rule_limit {
	uint64_t id;                 /* of the rule and this object: edits of the rule elsewhere keep the counters */
	struct rf_limit_rate rate;
	unsigned nparts;
	struct rf_limit_part parts[RF_LIMIT_PARTS];
	struct rf_expr *counting;    /* what counts; NULL: what the rule matches */
	bool at_response;            /* `counting` asks for the response */
	bool to_origin;              /* only what went to the origin counts */
	struct rf_str score_header;  /* of the origin's answer: what it costs; "": each request one */
};

/* Is it counted when the response is there? */
static inline bool rf_limit_late(const struct rf_rule_limit *l)
{
	return l->at_response || l->to_origin || l->score_header.n;
}

struct rf_rule {
	_Atomic unsigned refs;
	struct rf_str id, ref, description, expression, version;
	enum rf_phase phase;
	enum rf_action action;
	bool enabled;
	bool logging;              /* record matches (log always does; skip only where asked) */
	int64_t priority;          /* smaller first; rules without one keep their place (0) */
	struct rf_expr *cond;
	const struct rf_response *response; /* block; NULL: the caller's default; serve_error */
	const struct rf_skip *skip;
	const struct rf_redirect *redirect;
	const struct rf_config *config;
	const struct rf_algorithms *algorithms;
	struct rf_rule_limit *limit;        /* rules of http_ratelimit */
	size_t nedits;
	const struct rf_edit_spec *edits;   /* of headers */
	const struct rf_edit_spec *path, *query; /* NULL: untouched */
	unsigned nwarnings;
	const char *warnings[RF_RULE_WARNINGS]; /* a sentence each */
	int64_t order;             /* among rules of one priority; set by whoever makes it, before it is shared */
	uint64_t revision;         /* of the document it was made from; in the same way */
	size_t bytes;              /* that it takes */
	uint64_t took;             /* nanoseconds that compiling it took; 0 without a clock */
	_Atomic uint64_t *hits;    /* where matches are counted; NULL: nowhere. Set by whoever makes it, before it is shared; outlives it */
	uint64_t digest;           /* private: of the document that was compiled; 0: made from a text */
	void *mem;                 /* private: owns all of the above */
};

static inline void rf_rule_hit(const struct rf_rule *r)
{
	if (r->hits)
		atomic_fetch_add_explicit(r->hits, 1, memory_order_relaxed);
}

/* A rule of a ruleset: made, or one that differs from others in a few strings alone and is made when it is first asked for (policy/seed.h).
 * Whoever keeps one holds a reference. Zeroed: none. */
struct rf_rule_link {
	uintptr_t to;
};

static inline struct rf_rule_link rf_link_of(struct rf_rule *r)
{
	return (struct rf_rule_link){ (uintptr_t)r };
}

struct rf_rule_link rf_link_get(struct rf_rule_link l);
void rf_link_put(struct rf_rule_link l);
/* The rule, borrowed. Where there is no memory to make it, one that is like it but for its strings, which does what it would. */
struct rf_rule *rf_link_rule(struct rf_rule_link l);
/* For what is the same in all that differ in strings: a rule that is like it, perhaps itself. */
const struct rf_rule *rf_link_like(struct rf_rule_link l);
struct rf_str rf_link_id(struct rf_rule_link l);
uint64_t rf_link_revision(struct rf_rule_link l);

struct rf_rule_block {
	_Atomic unsigned refs;
	unsigned count;            /* 1..RF_RULE_BLOCK */
	struct rf_rule_link rules[];
};

/* The rule at a place of a block, borrowed. */
static inline struct rf_rule *rf_block_rule(const struct rf_rule_block *b, unsigned i)
{
	return rf_link_rule(b->rules[i]);
}

struct rf_ruleset {
	_Atomic unsigned refs;
	char id[40];               /* "" where it has none */
	char name[64];
	enum rf_phase phase;
	uint64_t uses[(RF_FIELD_COUNT + 63) / 64]; /* fields that its rules ask for */
	bool counts;               /* there are rate limits that count by themselves (or were, before the last edits) */
	size_t count;              /* rules in all blocks, in order of evaluation */
	size_t bytes;              /* that its rules take */
	size_t nblocks;
	struct rf_rule_block **blocks;
	struct rf_index *index;    /* NULL: rules are evaluated in turn */
};

struct rf_phase_set {
	_Atomic unsigned refs;
	enum rf_phase phase;
	uint64_t uses[(RF_FIELD_COUNT + 63) / 64];
	size_t count;
	struct rf_ruleset *sets[];
};

/* Compile one rule {id, ref, expression, action, action_parameters, description, enabled, logging,
 * priority, version, last_updated, categories}. Errors have a pointer below `at`
 * ("/rules/3" gives "/rules/3/expression"), and line and column inside an expression. */
int rf_rule_make(const struct rf_rule_env *env, enum rf_phase phase, const json_t *doc, const char *at,
	struct rf_rule **ret, struct rf_err *e);
/* A digest of a rule's document without its top-level members `without` (a list that NULL ends). Keyed, so the
 * same only within a process; the order of members is nothing. */
uint64_t rf_rule_digest(const json_t *doc, const char *const *without);
/* Of documents as the store keeps them, which say neither id nor ref: those that are like ones that were compiled, but for a few strings,
 * need not be compiled. rf_seeds_take gives a reference, or false: then compile it, and let rf_seeds_learn see it. The environment and phase
 * are the same all the while. NULL without memory. */
struct rf_seeds;
struct rf_seeds *rf_seeds_new(void);
bool rf_seeds_take(struct rf_seeds *v, struct rf_str doc, struct rf_str id, struct rf_str ref, int64_t order, uint64_t revision,
	struct rf_rule_link *ret);
void rf_seeds_learn(struct rf_seeds *v, struct rf_str doc, struct rf_rule *r);
void rf_seeds_free(struct rf_seeds *v);
struct rf_rule *rf_rule_get(struct rf_rule *r);
void rf_rule_put(struct rf_rule *r);

/* Compile the array `rules` of a ruleset. Rules of `old` (NULL: none) with the same id and the same
 * content are used again as they are, not compiled; pass old only when the environment's `have` is the
 * same and its lists are of the same lineage. */
int rf_ruleset_make(const struct rf_rule_env *env, enum rf_phase phase, struct rf_str id, struct rf_str name,
	const json_t *rules, const struct rf_ruleset *old, struct rf_ruleset **ret, struct rf_err *e);
/* `old` with `rule` put before position `at` (or in place of the rule there when `replace`); a NULL
 * rule with `replace` removes. A rule whose priority does not fit there goes behind the last one of
 * its priority. References are taken, none are consumed. Costs one block, whatever the size. */
int rf_ruleset_with(const struct rf_ruleset *old, size_t at, bool replace, struct rf_rule *rule,
	struct rf_ruleset **ret);
/* A ruleset of compiled rules, by priority, then order. References are taken. RF_E_FULL beyond RF_RULES, RF_E_INVALID for
 * a rule of another phase. */
int rf_ruleset_of(enum rf_phase phase, struct rf_str id, struct rf_str name, struct rf_rule *const *rules, size_t count,
	struct rf_ruleset **ret);
int rf_ruleset_link(enum rf_phase phase, struct rf_str id, struct rf_str name, const struct rf_rule_link *rules, size_t count,
	struct rf_ruleset **ret);
/* How many rules of a ruleset in which they stand by priority, then order, come before one of this priority and order. */
size_t rf_ruleset_rank(const struct rf_ruleset *s, int64_t priority, int64_t order);
/* Give a ruleset that nobody else has yet its index: of its own, or with what it shares with `old` (NULL: none, or has
 * none). Costs some microseconds a rule that is new. `frozen`: as a merge leaves it, which takes longer; not with `old`.
 * rf_ruleset_with keeps the index in line, where rules stand by priority, then order. RF_E_NOMEM: it has none, and is
 * evaluated in turn. */
int rf_ruleset_index(struct rf_ruleset *s, const struct rf_ruleset *old, bool frozen);
/* The rules that take the most memory, the most first; returns how many. */
enum { RF_COSTLY = 3 };
unsigned rf_ruleset_costly(const struct rf_ruleset *s, const struct rf_rule *ret[RF_COSTLY]);
size_t rf_ruleset_index_bytes(const struct rf_ruleset *s);

/* Merging what has come since into the frozen part of the index: wanted? -> begin (a job that holds what it needs) ->
 * merge (slow, any thread) -> adopt into whatever the ruleset is by then -> end. RF_E_STALE: too much has changed, begin
 * again. */
struct rf_index_job;
bool rf_index_wanted(const struct rf_ruleset *s);
int rf_index_begin(const struct rf_ruleset *s, struct rf_index_job **ret);
int rf_index_merge(struct rf_index_job *j);
int rf_ruleset_adopt(const struct rf_ruleset *now, const struct rf_index_job *j, struct rf_ruleset **ret);
void rf_index_end(struct rf_index_job *j);

struct rf_rule *rf_ruleset_at(const struct rf_ruleset *s, size_t i); /* borrowed; NULL past the end */
struct rf_ruleset *rf_ruleset_get(struct rf_ruleset *s);
void rf_ruleset_put(struct rf_ruleset *s);

/* The rulesets of one phase in the order given; all of that phase. Takes references. */
int rf_phase_set_make(enum rf_phase phase, struct rf_ruleset *const *sets, size_t count,
	struct rf_phase_set **ret);
void rf_phase_set_put(struct rf_phase_set *s);
/* Whether any rule asks for the field: for what is costly to provide (bodies, fingerprints). */
bool rf_phase_set_uses(const struct rf_phase_set *s, enum rf_field f);
