/* policy/ruletest: an operator's own table of requests held against rules.
 *
 * A test with `flow` in place of `request` (the same members) asks the rules of a packet or a connection alone.
 * {tests: [{name, request, expect: {action, rule?, status?, headers?, location?}}]}. A request is
 * {method, host, path (with query), scheme, version, headers: {name: value or [values]}, cookies, body,
 *  src, dst, port, time, device: {id, class, firmware, tags, ...}, tls: {version, sni, cert_verified, ...},
 *  response: {code, headers}, packet: hexadecimal bytes, fields: {"ip.src.country": "DE"}}; all optional. Also makes the facts of `explain`.
 */
#pragma once
#include "policy/verdict.h"

enum { RF_RULE_TESTS = 10000 };

struct rf_json_facts;

/* Facts from such a request object, in the arena. The object must outlive them. Errors have a pointer
 * below `at`. */
int rf_json_facts(const json_t *request, const char *at, struct rf_arena *arena, const struct rf_lists *lists,
	int64_t wall_ns, struct rf_facts *ret, struct rf_err *e);

struct rf_rule_test_report {
	size_t passed, failed;
	/* Called for each test; why is "" where it passed, else a sentence that says what was expected
	 * and what came. */
	void (*each)(void *ctx, const char *name, bool passed, const char *why);
	void *ctx;
};

/* Run all tests over the rules of a zone. RF_OK when the document could be read, whatever failed. */
int rf_rule_tests_run(const struct rf_policy *p, const struct rf_lists *lists, const json_t *doc, int64_t wall_ns,
	struct rf_rule_test_report *report, struct rf_err *e);
