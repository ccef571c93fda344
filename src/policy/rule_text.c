/* policy/rule_text: see rule_text.h.
 *
 *	text, held against the last plain one: the same but for strings -> what that one was, with these strings
 *	else: member -> known, as a text: kept where it stands | enabled | else: not plain
 *	             -> into the digest, unless the store says it, or it has its default
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

static struct rf_js_text *text_of(struct rf_rule_text *r, size_t which)
{
	return (struct rf_js_text *)((char *)r + members[which].at);
}

/* May a plain rule have this text? */
static bool fits(const struct member *m, const struct rf_js_text *t)
{
	return t->raw.n >= m->least && t->raw.n <= m->most && !(m->bare && t->escaped);
}

/* What a text adds to the digest. False without memory. */
static bool part_of(size_t which, const struct rf_js_text *t, uint64_t *ret)
{
	bool described = members[which].at == offsetof(struct rf_rule_text, description);
	uint64_t digest = 0;
	*ret = 0;
	if (members[which].computed || (described && !t->raw.n))
		return true;
	if (!rf_js_text_digest(t, &digest))
		return false;
	*ret = mix(rf_hash_quick(members[which].name), digest);
	return true;
}

/* --- a text like the last --- */

static bool go_past(struct rf_js *j, const char *bytes, size_t n)
{
	if ((size_t)(j->end - j->at) < n || memcmp(j->at, bytes, n) != 0)
		return false;
	j->at += n;
	return true;
}

/* Another string; the cursor is at its first quotation mark. */
static bool read_other(struct rf_js *j, size_t which, struct rf_js_text *to, bool content, uint64_t *part)
{
	return rf_js_text(j, to) && fits(&members[which], to) && (!content || part_of(which, to, part));
}

/* From `from` in the last text on, all is the same: the strings from the i-th on. */
static bool same_rest(struct rf_js *j, struct rf_rule_like *l, unsigned i, const char *from, struct rf_rule_text *r)
{
	const char *here = j->at;
	if (!go_past(j, from, (size_t)(l->text + l->n - from)))
		return false;
	for (; i < l->texts; i++)
		text_of(r, l->order[i])->raw.p = here + (text_of(&l->is, l->order[i])->raw.p - from);
	return true;
}

static bool read_like(struct rf_js *j, bool content, struct rf_rule_like *l, struct rf_rule_text *ret)
{
	struct rf_rule_text r = l->is;
	struct rf_js at = *j;
	const char *from = l->text;
	uint64_t sum = l->sum;
	if (!l->n || (content && !l->content))
		return false;
	for (unsigned i = 0; !same_rest(&at, l, i, from, &r); i++) {
		if (i == l->texts)
			return false;
		struct rf_js_text *to = text_of(&r, l->order[i]);
		const struct rf_js_text *was = text_of(&l->is, l->order[i]);
		uint64_t part = l->part[i];
		if (!go_past(&at, from, (size_t)(was->raw.p - 1 - from)))
			return false;
		if (go_past(&at, was->raw.p - 1, was->raw.n + 2))
			to->raw.p = at.at - was->raw.n - 1;
		else if (!read_other(&at, l->order[i], to, content, &part))
			return false;
		sum += part - l->part[i];
		from = was->raw.p + was->raw.n + 1;
	}
	r.all = (struct rf_str){ j->at, (size_t)(at.at - j->at) };
	r.content = content ? sum + !sum : 0;
	*j = at;
	*ret = r;
	return true;
}

/* --- any text --- */

struct reading {
	struct rf_js *j;
	bool content;
	struct rf_rule_text r;
	unsigned seen, texts;
	uint8_t order[RF_RULE_TEXTS]; /* which member each text is */
	uint64_t part[RF_RULE_TEXTS]; /* what it adds to the sum */
	uint64_t sum;
};

static bool is_enabled(size_t which)
{
	return which == member_count;
}

/* The value of a member that is no text, or should be none. */
static bool other(struct reading *g, size_t which, struct rf_str name)
{
	struct rf_str value;
	struct rf_js from = *g->j;
	uint64_t digest;
	if (!rf_js_skip(g->j, &value) || rf_str_eq(value, RF_STR("null")))
		return false;
	bool on = is_enabled(which) && rf_str_eq(value, RF_STR("true"));
	g->r.disabled |= is_enabled(which) && rf_str_eq(value, RF_STR("false"));
	g->r.plain &= is_enabled(which) && (g->r.disabled || on);
	if (on || !g->content || (which < member_count && members[which].computed))
		return true;
	if (!rf_js_digest(&from, &digest))
		return false;
	g->sum += mix(rf_hash_quick(name), digest);
	return true;
}

static bool member(struct reading *g)
{
	struct rf_js_text name;
	uint64_t part = 0;
	if (!rf_js_name(g->j, &name) || name.escaped)
		return false;
	size_t which = find(name.raw);
	if (which <= member_count && g->seen >> which & 1)
		return false;
	g->seen |= 1u << which;
	if (which >= member_count || rf_js_peek(g->j) != '"')
		return other(g, which, name.raw);
	struct rf_js_text *to = text_of(&g->r, which);
	if (!rf_js_text(g->j, to) || (g->content && !part_of(which, to, &part)))
		return false;
	g->r.plain &= fits(&members[which], to);
	g->sum += part;
	g->part[g->texts] = part;
	g->order[g->texts++] = (uint8_t)which;
	return true;
}

static void keep(struct rf_rule_like *l, const struct reading *g)
{
	l->n = 0;
	if (!g->r.plain || g->r.all.n > sizeof l->text)
		return;
	l->n = g->r.all.n;
	memcpy(l->text, g->r.all.p, l->n);
	l->is = g->r;
	l->content = g->content;
	l->sum = g->sum;
	l->texts = g->texts;
	memcpy(l->order, g->order, sizeof l->order);
	memcpy(l->part, g->part, sizeof l->part);
	for (unsigned i = 0; i < l->texts; i++) {
		struct rf_js_text *t = text_of(&l->is, l->order[i]);
		t->raw.p = l->text + (t->raw.p - g->r.all.p);
	}
}

bool rf_rule_text_read(struct rf_js *j, bool content, struct rf_rule_like *like, struct rf_rule_text *ret)
{
	struct reading g = { .j = j, .content = content, .r.plain = true };
	bool first = true;
	rf_js_peek(j);
	const char *from = j->at;
	if (like && read_like(j, content, like, ret))
		return true;
	if (!rf_js_take(j, '{'))
		return false;
	while (rf_js_more(j, '}', &first))
		if (!member(&g))
			return false;
	if (j->bad)
		return false;
	g.r.all = (struct rf_str){ from, (size_t)(j->at - from) };
	g.r.plain &= g.r.expression.raw.n && g.r.action.raw.n;
	g.r.content = content ? g.sum + !g.sum : 0;
	if (like)
		keep(like, &g);
	*ret = g.r;
	return true;
}
