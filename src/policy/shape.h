/* policy/shape: expressions that differ in the strings they compare with, and in nothing else. Private to policy.
 *
 * A large ruleset says one thing of a hundred thousand paths. The first of its expressions is parsed; of the others the text around
 * the strings is held against it, and the program copied with other strings in it. What cannot be copied so (a pattern, a set, an
 * escape in a string) is parsed as ever: the program is the same in either way.
 */
#pragma once
#include "policy/program.h"
#include "policy/rule_text.h"

enum { SHAPE_LITERALS = 8 };

/* A text, cut at the strings in it. */
struct cut {
	uint64_t hash;          /* of all but the strings */
	unsigned n;
	struct cut_literal { uint32_t at, n; } lit[SHAPE_LITERALS];
};

struct shape;

void shape_cut(struct rf_str text, struct cut *ret);
/* The shape that a text has; NULL: none that is known, or (ret_cut->n is past SHAPE_LITERALS) that it can have. */
const struct shape *shape_find(struct rf_shapes *v, enum rf_phase phase, struct rf_str text, struct cut *ret_cut);
/* What the program of a text of this shape takes; and that program, in memory of the caller's, aligned for any object, which lives as
 * long as it. */
size_t shape_room(const struct shape *s, size_t text_n);
struct rf_expr *shape_fill(const struct shape *s, struct rf_str text, const struct cut *c, void *to);
/* The document that was read last. */
struct rf_rule_like *shapes_like(struct rf_shapes *v);
/* A shape of its own, of this program. NULL where it can be none, or without memory. */
struct shape *shape_new(enum rf_phase phase, struct rf_expr *x);
void shape_free(struct shape *s);
bool shape_has(const struct shape *s, enum rf_phase phase, struct rf_str text, const struct cut *c);
/* May another string stand in the place of this one, at a byte of its text? */
bool shape_is_free(const struct shape *s, size_t at, size_t n);
/* The program of a text that had no shape. */
void shape_learn(struct rf_shapes *v, enum rf_phase phase, const struct cut *c, struct rf_expr *x);
