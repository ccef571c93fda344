/* policy/warm: patterns compiled before those who need them ask.
 *
 * To compile a pattern takes about a millisecond, the rest of a rule some microseconds. Who has time, on a thread that nobody waits
 * for, compiles the patterns of a text here and holds them; who compiles the rules then shares them (policy/regex).
 * What is wrong is passed over: who compiles the rule says so.
 */
#pragma once
#include <jansson.h>
#include <stdatomic.h>
#include "base/str.h"

struct regex;

struct rf_warm {
	struct regex **v;
	size_t n, room;
	const _Atomic bool *stop; /* becomes true: compile no more. NULL: never */
};

/* The patterns of one expression. */
void rf_warm_expression(struct rf_warm *w, struct rf_str text);
/* Of all expressions in a document: every text whose name ends with "expression", at any depth; and those of a pack
 * (policy/pack) that it has as "file". */
void rf_warm_doc(struct rf_warm *w, const json_t *doc);
/* Whether a text can have patterns at all. */
bool rf_warm_worth(struct rf_str text);
void rf_warm_fini(struct rf_warm *w);
