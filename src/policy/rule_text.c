/* policy/rule_text: see rule_text.h.
 *
 *	text, held against the last plain one: the same but for what is in its holes -> what that one was, with this in them
 *	                                       the same but for strings -> with these strings; where they differ, holes are
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

static bool is_description(size_t which)
{
	return members[which].at == offsetof(struct rf_rule_text, description);
}

/* What a text adds to the digest. False without memory. */
static bool part_of(size_t which, const struct rf_js_text *t, uint64_t *ret)
{
	uint64_t digest = 0;
	*ret = 0;
	if (members[which].computed || (is_description(which) && !t->raw.n))
		return true;
	if (!rf_js_text_digest(t, &digest))
		return false;
	*ret = mix(rf_hash_quick(members[which].name), digest);
	return true;
}

/* --- a text like the last but for holes --- */

static bool goes_on(const char *p, const char *end, const char *bytes, size_t n)
{
	return (size_t)(end - p) >= n && memcmp(p, bytes, n) == 0;
}

/* The holes from the i-th on that are of its string. */
static unsigned of_string(const struct rf_rule_like *l, unsigned i)
{
	unsigned n = 1;
	while (i + n < l->holes && l->hole[i + n].of == l->hole[i].of)
		n++;
	return n;
}

/* What a string says whose holes are these; false where that is much. */
static bool say(struct rf_rule_like *l, const struct rf_rule_hole *h, unsigned n, const struct rf_str *in, struct rf_str *ret)
{
	unsigned first = (unsigned)(h - l->hole) + 1;
	size_t left = sizeof l->room;
	char *at = l->begun == first ? l->room + h->said_n : mempcpy(l->room, l->said + h->said, h->said_n);
	l->begun = first;
	for (unsigned i = 0; i < n; i++) {
		size_t takes = (size_t)h[i].said_n + h[i].rest_n + in[i].n;
		if (takes > left)
			return false;
		left -= takes;
		at = i ? mempcpy(at, l->said + h[i].said, h[i].said_n) : at;
		at = mempcpy(at, in[i].p, in[i].n);
		at = mempcpy(at, l->said + h[i].said + h[i].said_n, h[i].rest_n);
	}
	*ret = (struct rf_str){ l->room, (size_t)(at - l->room) };
	return true;
}

/* A string with these in its holes: may it be a plain rule's, and what does it add to the digest? */
static bool fill_string(struct rf_rule_like *l, const struct rf_rule_hole *h, unsigned n, const struct rf_str *in, bool content,
	uint64_t *part)
{
	size_t which = l->order[h->of];
	struct rf_js_text t = *text_of(&l->is, which);
	struct rf_str said = { in->p - (l->text + h->at - t.raw.p), 0 };
	for (unsigned i = 0; i < n; i++)
		t.raw.n += in[i].n - h[i].n;
	if (!fits(&members[which], &t))
		return false;
	*part = 0;
	if (!content || members[which].computed || (is_description(which) && !t.raw.n))
		return true;
	said.n = t.raw.n;
	if (t.escaped && !say(l, h, n, in, &said))
		return false;
	*part = mix(l->name[h->of], rf_js_said_digest(said));
	return true;
}

bool rf_rule_text_near(struct rf_js *j, bool content, struct rf_rule_like *l, struct rf_rule_near *ret)
{
	const char *p, *from = l->text, *end = l->text + l->n;
	uint64_t sum = l->fixed, part = 0;
	if (!l->n || (content && !l->content))
		return false;
	rf_js_peek(j);
	p = j->at;
	for (unsigned i = 0; i < l->holes; i++) {
		const char *to = l->text + l->hole[i].at;
		if (!goes_on(p, j->end, from, (size_t)(to - from)))
			return false;
		p += to - from;
		ret->in[i] = (struct rf_str){ p, (size_t)(rf_js_plain(p, j->end) - p) };
		p += ret->in[i].n;
		from = to + l->hole[i].n;
	}
	if (!goes_on(p, j->end, from, (size_t)(end - from)))
		return false;
	p += end - from;
	for (unsigned i = 0, n; i < l->holes; i += n) {
		n = of_string(l, i);
		if (!fill_string(l, &l->hole[i], n, &ret->in[i], content, &part))
			return false;
		sum += part;
	}
	ret->all = (struct rf_str){ j->at, (size_t)(p - j->at) };
	ret->content = content ? sum + !sum : 0;
	j->at = p;
	return true;
}

void rf_rule_text_of(const struct rf_rule_like *l, const struct rf_rule_near *near, struct rf_rule_text *ret)
{
	const char *at = near->all.p;
	unsigned h = 0;
	*ret = l->is;
	ret->all = near->all;
	ret->content = near->content;
	for (unsigned i = 0; i < l->texts; i++) {
		struct rf_str *s = &text_of(ret, l->order[i])->raw;
		s->p = at + (s->p - l->text);
		for (; h < l->holes && l->hole[h].of == i; h++) {
			s->n += near->in[h].n - l->hole[h].n;
			at += near->in[h].n - l->hole[h].n;
		}
	}
}

/* --- where texts like the last differ --- */

static bool is_hole(const struct rf_rule_like *l, size_t at)
{
	for (unsigned i = 0; i < l->holes; i++)
		if (l->hole[i].at == at)
			return true;
	return false;
}

/* Stretches in which a string differs from the last text's become holes, if it differs in nothing else. */
static void compare(struct rf_rule_like *l, unsigned of, struct rf_str was, struct rf_str is)
{
	const char *p = was.p, *pe = p + was.n, *q = is.p, *qe = q + is.n;
	unsigned holes = l->holes;
	for (size_t n, m;; p += n, q += n) {
		n = (size_t)(rf_js_plain(p, pe) - p);
		m = (size_t)(rf_js_plain(q, qe) - q);
		if ((n != m || memcmp(p, q, n) != 0) && !is_hole(l, (size_t)(p - l->text))) {
			if (holes == RF_RULE_HOLES)
				return;
			l->hole[holes++] = (struct rf_rule_hole){ .at = (uint16_t)(p - l->text), .n = (uint16_t)n, .of = (uint8_t)of };
		}
		p += n;
		q += m;
		if (p == pe || q == qe)
			break;
		n = *p != '\\' ? 1 : p[1] == 'u' ? 6 : 2;
		if (!goes_on(q, qe, p, n))
			return;
	}
	if (p == pe && q == qe)
		l->holes = holes;
}

static void sort_holes(struct rf_rule_like *l)
{
	for (unsigned i = 1; i < l->holes; i++)
		for (unsigned k = i; k && l->hole[k].at < l->hole[k - 1].at; k--) {
			struct rf_rule_hole h = l->hole[k];
			l->hole[k] = l->hole[k - 1];
			l->hole[k - 1] = h;
		}
}

/* What a piece of a string says. Returns how much. */
static uint16_t decode(const char *from, const char *to, char *at)
{
	struct rf_js_text t = { { from, (size_t)(to - from) }, memchr(from, '\\', (size_t)(to - from)), false };
	return (uint16_t)rf_js_decode(&t, at);
}

/* What is said around the holes, and what the strings add that have none. */
static void settle(struct rf_rule_like *l)
{
	char *to = l->said;
	l->begun = 0;
	l->fixed = l->sum;
	for (unsigned i = 0, n; i < l->holes; i += n) {
		struct rf_rule_hole *h = &l->hole[i];
		struct rf_str s = text_of(&l->is, l->order[h->of])->raw;
		const char *from = s.p;
		n = of_string(l, i);
		l->fixed -= l->part[h->of];
		for (unsigned k = 0; k < n; k++) {
			h[k].said = (uint16_t)(to - l->said);
			to += h[k].said_n = decode(from, l->text + h[k].at, to);
			from = l->text + h[k].at + h[k].n;
		}
		h[n - 1].rest_n = decode(from, s.p + s.n, to);
		to += h[n - 1].rest_n;
	}
}

static void learn(struct rf_rule_like *l, const struct rf_rule_text *r)
{
	unsigned holes = l->holes;
	for (unsigned i = 0; i < l->texts; i++) {
		struct rf_str was = text_of(&l->is, l->order[i])->raw, is = text_of((struct rf_rule_text *)r, l->order[i])->raw;
		if (!rf_str_eq(was, is))
			compare(l, i, was, is);
	}
	if (l->holes == holes)
		return;
	for (unsigned i = 0; i < l->holes; i++)
		l->hole[i].rest_n = 0;
	sort_holes(l);
	settle(l);
}

/* --- a text like the last but for strings --- */

static bool go_past(struct rf_js *j, const char *bytes, size_t n)
{
	if (!goes_on(j->at, j->end, bytes, n))
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
	learn(l, &r);
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
	l->sum = l->fixed = g->sum;
	l->texts = g->texts;
	l->holes = 0;
	l->kept++;
	memcpy(l->order, g->order, sizeof l->order);
	memcpy(l->part, g->part, sizeof l->part);
	for (unsigned i = 0; i < l->texts; i++) {
		struct rf_js_text *t = text_of(&l->is, l->order[i]);
		t->raw.p = l->text + (t->raw.p - g->r.all.p);
		l->name[i] = rf_hash_quick(members[l->order[i]].name);
	}
}

void rf_rule_like_copy(struct rf_rule_like *to, const struct rf_rule_like *from)
{
	*to = *from;
	to->begun = 0;
	for (unsigned i = 0; i < to->texts; i++) {
		struct rf_str *s = &text_of(&to->is, to->order[i])->raw;
		s->p = to->text + (s->p - from->text);
	}
}

static bool read_any(struct rf_js *j, bool content, struct rf_rule_like *like, struct rf_rule_text *ret)
{
	struct reading g = { .j = j, .content = content, .r.plain = true };
	bool first = true;
	rf_js_peek(j);
	const char *from = j->at;
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

bool rf_rule_text_read(struct rf_js *j, bool content, struct rf_rule_like *like, struct rf_rule_text *ret)
{
	struct rf_rule_near near;
	if (like && rf_rule_text_near(j, content, like, &near)) {
		rf_rule_text_of(like, &near, ret);
		return true;
	}
	if (like && read_like(j, content, like, ret))
		return true;
	return read_any(j, content, like, ret);
}
