/* base/js: walking over JSON as text, without building it [RFC 8259].
 *
 * For texts of many megabytes of which little is wanted. Strict: what it takes is JSON, but that members may be there twice and
 * numbers beyond all bounds. Its first error sticks; it says no more than that, and whoever wants to know what is wrong parses the
 * text in full. Depth is bounded by RF_JS_DEPTH.
 */
#pragma once
#include "base/str.h"
#include "base/way.h"

enum { RF_JS_DEPTH = 16 };

struct rf_js {
	const char *at, *end;
	bool bad;
};

/* A text between its quotation marks, as written. */
struct rf_js_text {
	struct rf_str raw;
	bool escaped;  /* rf_js_decode says what it is */
	bool ascii;
};

static inline struct rf_js rf_js_over(struct rf_str s) { return (struct rf_js){ s.p, s.p + s.n, false }; }

/* The next byte that is no space, which stays; 0 at the end or after an error. */
static inline char rf_js_peek(struct rf_js *j)
{
	while (j->at < j->end && (*j->at == ' ' || *j->at == '\n' || *j->at == '\t' || *j->at == '\r'))
		j->at++;
	return j->bad || j->at == j->end ? '\0' : *j->at;
}

/* Go past this byte, spaces before it aside. False, and nothing but spaces is passed, where another one stands there. */
static inline bool rf_js_take(struct rf_js *j, char c)
{
	if (rf_js_peek(j) != c || j->at == j->end)
		return false;
	j->at++;
	return true;
}

/* In an object or array whose bracket was taken: is there one more? Call it before each; it takes the comma, or the end. */
static inline bool rf_js_more(struct rf_js *j, char close, bool *first)
{
	bool begun = !*first;
	rf_way_give();
	*first = false;
	if (rf_js_take(j, close))
		return false;
	if (!begun || rf_js_take(j, ','))
		return true;
	j->bad = true;
	return false;
}

bool rf_js_text(struct rf_js *j, struct rf_js_text *ret);
/* A member's name and the colon. */
bool rf_js_name(struct rf_js *j, struct rf_js_text *ret);
/* Past any value. *ret (may be NULL): all of it, as written. */
bool rf_js_skip(struct rf_js *j, struct rf_str *ret);
/* Past any value; a keyed digest that is the same however it is written: spaces, escapes, the order of members. (A fraction, and
 * what has an exponent, is what it is written as.) */
bool rf_js_digest(struct rf_js *j, uint64_t *ret);
/* The digest of a text that was passed. False without memory. */
bool rf_js_text_digest(const struct rf_js_text *t, uint64_t *ret);
/* The same, of what it says. */
uint64_t rf_js_said_digest(struct rf_str said);
/* Inside a text: past characters of ASCII that stand for themselves, to the first byte that is none. */
const char *rf_js_plain(const char *p, const char *end);
/* Nothing but spaces is left. */
bool rf_js_end(struct rf_js *j);

/* What a text says, in UTF-8; takes as many bytes as the text, at most. Returns how many. */
size_t rf_js_decode(const struct rf_js_text *t, char *to);
