/* policy/rule_text: see rule_text.h.
 *
 *	member -> known, as a text: kept where it stands | enabled | else: not plain
 *	       -> into the digest, unless the store says it, or it has its default
 */
#include "policy/rule_text.h"
#include <stddef.h>
#include "base/hash.h"

static const struct member {
	struct rf_str name;
	size_t at;        /* in struct rf_rule_text */
	size_t least, most;
	bool computed;    /* no part of the content */
	bool bare;        /* of a plain rule: without escapes */
} members[] = {
#define TEXT(name, member, least, most, computed, bare) \
	{ { name, sizeof name - 1 }, offsetof(struct rf_rule_text, member), least, most, computed, bare }
	TEXT("expression", expression, 1, RF_EXPR_SIZE, false, false),
	TEXT("action", action, 1, 64, false, true),
	TEXT("description", description, 0, RF_RULE_TEXT, false, false),
	TEXT("id", id, 0, 64, true, true),
	TEXT("ref", ref, 0, 64, true, true),
	TEXT("version", version, 0, 32, true, true),
	TEXT("last_updated", updated, 0, 64, true, true),
#undef TEXT
};
static const size_t member_count = sizeof members / sizeof *members;

static uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xd6e8feb86659fd93u);
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* The row of a name; `member_count` for enabled, one more for any other. */
static size_t find(struct rf_str name)
{
	for (size_t i = 0; i < member_count; i++)
		if (rf_str_eq(name, members[i].name))
			return i;
	return member_count + !rf_str_eq(name, RF_STR("enabled"));
}

/* A text of a plain rule. False, and the cursor where it was, for a value of another kind. */
static bool text(struct rf_js *j, const struct member *m, struct rf_rule_text *r)
{
	struct rf_js_text *to = (struct rf_js_text *)((char *)r + m->at);
	if (rf_js_peek(j) != '"')
		return false;
	if (rf_js_text(j, to))
		r->plain &= to->raw.n >= m->least && to->raw.n <= m->most && !(m->bare && to->escaped);
	return true;
}

static bool is_default(size_t which, struct rf_str value)
{
	return which == member_count ? rf_str_eq(value, RF_STR("true")) :
		which < member_count && members[which].at == offsetof(struct rf_rule_text, description) && rf_str_eq(value, RF_STR("\"\""));
}

static bool member(struct rf_js *j, bool content, struct rf_rule_text *r, unsigned *seen)
{
	struct rf_js_text name;
	struct rf_str value = { NULL, 0 };
	uint64_t digest = 0;
	if (!rf_js_name(j, &name) || name.escaped)
		return false;
	size_t which = find(name.raw);
	const struct member *m = which < member_count ? &members[which] : NULL;
	if (which <= member_count && *seen >> which & 1)
		return false;
	*seen |= 1u << which;
	rf_js_peek(j);
	struct rf_js from = *j;
	bool known = m && text(j, m, r);
	if (!known) {
		if (!rf_js_skip(j, &value) || rf_str_eq(value, RF_STR("null")))
			return false;
		r->disabled |= which == member_count && rf_str_eq(value, RF_STR("false"));
		r->plain &= which == member_count && (r->disabled || rf_str_eq(value, RF_STR("true")));
	}
	value = (struct rf_str){ from.at, (size_t)(j->at - from.at) };
	if (j->bad || !content || (m && m->computed) || is_default(which, value))
		return !j->bad;
	if (!(known ? rf_js_text_digest((struct rf_js_text *)((char *)r + m->at), &digest) : rf_js_digest(&from, &digest)))
		return false;
	r->content += mix(rf_hash_quick(name.raw), digest);
	return true;
}

bool rf_rule_text_read(struct rf_js *j, bool content, struct rf_rule_text *ret)
{
	struct rf_rule_text r = { .plain = true };
	unsigned seen = 0;
	bool first = true;
	rf_js_peek(j);
	const char *from = j->at;
	if (!rf_js_take(j, '{'))
		return false;
	while (rf_js_more(j, '}', &first))
		if (!member(j, content, &r, &seen))
			return false;
	if (j->bad)
		return false;
	r.all = (struct rf_str){ from, (size_t)(j->at - from) };
	r.plain &= r.expression.raw.n && r.action.raw.n;
	r.content += content && !r.content;
	*ret = r;
	return true;
}
