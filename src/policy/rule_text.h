/* policy/rule_text: a rule's document as text: what it holds, found without building a tree.
 *
 * Most rules of a large ruleset are plain: an expression, an action, a description, whether it is enabled, and what the store says of it
 * (id, ref, version, time). Such a one is compiled, compared and written as text; any other, and any that is wrong, goes the way of a
 * tree.
 */
#pragma once
#include "base/js.h"
#include "policy/rule.h"

struct rf_rule_text {
	struct rf_str all;                   /* from brace to brace */
	struct rf_js_text id, ref, version, updated, expression, action, description; /* raw.p NULL: not there */
	bool disabled;
	bool plain;                          /* it has no other members, and none that is too long or empty */
	uint64_t content;                    /* a keyed digest of what the store does not say of it, defaults aside: rules of the same
	                                      * content have the same; 0: it was not asked for */
};

/* A stretch of a string of the last plain text in which those after it differed: characters that stand for themselves, up to ones
 * that do not. */
struct rf_rule_hole {
	uint16_t at, n;
	uint16_t said, said_n, rest_n;       /* what the string says before it, behind the one before, is in `said`; behind that, of the
	                                      * last hole of a string, what it says behind it */
	uint8_t of;                          /* of which string, in order */
};

/* The last plain text that was read. One that is the same but for its strings, as those of a large ruleset are, is read by holding it
 * against this one: at first string by string, then, once it shows where they differ, but for these stretches, byte by byte. Zeroed:
 * none. */
enum { RF_RULE_LIKE = 1024, RF_RULE_TEXTS = 7, RF_RULE_HOLES = 8 };
struct rf_rule_like {
	char text[RF_RULE_LIKE];
	size_t n;                            /* 0: none */
	unsigned kept;                       /* how many have been the last so far */
	struct rf_rule_text is;              /* whose strings are in `text` */
	unsigned texts, holes;
	uint8_t order[RF_RULE_TEXTS];        /* of its members that are texts: which, as they stand */
	uint64_t part[RF_RULE_TEXTS], sum;   /* of the digest: what each of those adds, and the whole */
	uint64_t name[RF_RULE_TEXTS];        /* digests of their names */
	bool content;                        /* it has a digest */
	struct rf_rule_hole hole[RF_RULE_HOLES];
	char said[RF_RULE_LIKE];
	char room[2 * RF_RULE_LIKE];         /* what a string says that was read last */
	unsigned begun;                      /* the hole up to which it is there for the next one, plus 1 */
	uint64_t fixed;                      /* what all strings without holes add */
};

void rf_rule_like_copy(struct rf_rule_like *to, const struct rf_rule_like *from);

/* A rule that is the last plain one but for what is in the holes of that. */
struct rf_rule_near {
	struct rf_str all;
	struct rf_str in[RF_RULE_HOLES];
	uint64_t content;
};

/* The rule that stands next, if it is one; only spaces are passed if not. */
bool rf_rule_text_near(struct rf_js *j, bool content, struct rf_rule_like *like, struct rf_rule_near *ret);
/* As rf_rule_text_read would have read it. */
void rf_rule_text_of(const struct rf_rule_like *like, const struct rf_rule_near *near, struct rf_rule_text *ret);

/* The rule that stands next. False where it is no object or not well-formed, and where what it is shows only in a tree: a name with
 * escapes, one of the above twice, or null for what is absent. `like` may be NULL; what is read is the same with it and without. */
bool rf_rule_text_read(struct rf_js *j, bool content, struct rf_rule_like *like, struct rf_rule_text *ret);

/* As rf_rule_make, from a document's text; `id` and `ref` are its own where a plain one does not say them. RF_E_SYNTAX where it is not
 * JSON. */
int rf_rule_make_text(const struct rf_rule_env *env, enum rf_phase phase, struct rf_str doc, struct rf_str id, struct rf_str ref,
	const char *at, struct rf_rule **ret, struct rf_err *e);
