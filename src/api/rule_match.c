/* api/rule_match: see rule_match.h.
 *
 *	stored rules, by place, as text -> their ids, refs, contents
 *	each rule of the request: the stored one that stands behind the one before's, where it is that -> else by tables, which are made
 *	only then, and of contents from what nobody has taken
 *
 * Contents are compared by digests of the texts (policy/rule_text.h).
 */
#include "api/rule_match.h"
#include <stdio.h>
#include <stdlib.h>
#include "api/call.h"
#include "base/hash.h"
#include "base/room.h"
#include "base/way.h"

enum {
	AHEAD = 4,    /* stored rules that are looked at for the next one of the request */
	BITS = 8,     /* of the sieve, for each rule of the request */
	ASTRAY = 64,  /* rules of the request that are none of those: the rest is looked for otherwise */
};

static int no_memory(struct rf_api_call *c)
{
	return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
}

/* --- tables --- */

bool rf_rule_lookup_init(struct rf_rule_lookup *l, size_t n)
{
	size_t slots = 16;
	while (slots < n * 2)
		slots *= 2;
	l->slot = rf_way_calloc(slots, sizeof *l->slot);
	l->mask = slots - 1;
	return l->slot;
}

void rf_rule_lookup_add(struct rf_rule_lookup *l, uint64_t hash, size_t number)
{
	size_t at = hash & l->mask;
	while (l->slot[at].number)
		at = (at + 1) & l->mask;
	l->slot[at] = (struct rf_rule_slot){ (uint32_t)number + 1, (uint32_t)(hash >> 32) };
}

void rf_rule_lookup_fini(struct rf_rule_lookup *l)
{
	rf_way_free(l->slot);
	l->slot = NULL;
}

/* --- what is stored --- */

static uint64_t content_of(const struct rf_raw_object *o, struct rf_rule_like *like)
{
	struct rf_js j = rf_js_over(o->doc);
	struct rf_rule_text t;
	if (!*o->note && rf_rule_text_read(&j, true, like, &t))
		*o->note = t.content;
	return *o->note;
}

static int read_one(const struct rf_raw_object *o, void *arg)
{
	struct rf_rule_match *m = arg;
	if (!RF_ROOM(m->v, m->cap, m->n))
		return no_memory(m->c);
	m->v[m->n++] = (struct rf_rule_stored){ .id = o->id, .ref = o->name, .text = o->doc.p, .n = (uint32_t)o->doc.n,
		.content = content_of(o, &m->like), .place = o->place };
	return RF_OK;
}

static int read_stored(struct rf_rule_match *m, const char *ruleset)
{
	struct rf_store_query q = { .parent = ruleset, .by_place = true };
	size_t n = 0;
	int rc = *ruleset ? rf_store_count(m->c->store, RF_KIND_RULE, &q, &n, &m->c->err) : RF_OK;
	if (rc == RF_OK && !rf_room(&m->v, &m->cap, n, sizeof *m->v))
		rc = no_memory(m->c);
	return rc == RF_OK && n ? rf_store_scan(m->c->store, RF_KIND_RULE, &q, read_one, m, &m->c->err) : rc;
}

static void take(struct rf_rule_match *m, size_t i, size_t stored)
{
	m->is[i] = (uint32_t)stored + 1;
	m->v[stored].taken = true;
	m->taken++;
}

/* --- by name --- */

static int name_table(struct rf_rule_match *m)
{
	if (m->ids.slot)
		return RF_OK;
	if (!rf_rule_lookup_init(&m->ids, m->n) || !rf_rule_lookup_init(&m->refs, m->n))
		return no_memory(m->c);
	for (size_t i = 0; i < m->n; i++) {
		rf_way_give();
		rf_rule_lookup_add(&m->ids, rf_hash(rf_str_z(m->v[i].id)), i);
		rf_rule_lookup_add(&m->refs, rf_hash(rf_str_z(m->v[i].ref)), i);
	}
	return RF_OK;
}

static size_t find_id(const struct rf_rule_match *m, struct rf_str id)
{
	uint64_t hash = rf_hash(id);
	RF_RULE_EACH_FOUND(k, &m->ids, hash)
		if (rf_str_eq(id, rf_str_z(m->v[k].id)))
			return k;
	return m->n;
}

static size_t find_ref(const struct rf_rule_match *m, struct rf_str ref)
{
	uint64_t hash = rf_hash(ref);
	RF_RULE_EACH_FOUND(k, &m->refs, hash)
		if (rf_str_eq(ref, rf_str_z(m->v[k].ref)))
			return k;
	return m->n;
}

/* The stored rule that it names, or m->n; `next` is where it may well be. */
static int by_name(struct rf_rule_match *m, const struct rf_rule_more *x, size_t next, size_t *ret)
{
	const char *as = next < m->n ? x->own_id.n ? m->v[next].id : m->v[next].ref : NULL;
	*ret = next;
	if (as && rf_str_eq(x->own_id.n ? x->own_id : x->own_ref, rf_str_z(as)))
		return RF_OK;
	int rc = name_table(m);
	if (rc != RF_OK)
		return rc;
	*ret = x->own_id.n ? find_id(m, x->own_id) : m->n;
	if (*ret == m->n && x->own_ref.n)
		*ret = find_ref(m, x->own_ref);
	return RF_OK;
}

static int match_names(struct rf_rule_match *m)
{
	int rc = RF_OK;
	for (size_t i = 0, next = 0, k; i < m->given->n && m->given->more_n && rc == RF_OK; i++) {
		rf_way_give();
		struct rf_rule_more x = rf_rule_more(m->given, i);
		if (!x.own_id.n && !x.own_ref.n)
			continue;
		rc = by_name(m, &x, next, &k);
		if (rc != RF_OK || k == m->n)
			continue;
		if (m->v[k].taken) {
			char at[48];
			snprintf(at, sizeof at, "/rules/%zu/id", i);
			return rf_api_fail(m->c, RF_E_INVALID, at, "two rules have the same id or ref");
		}
		take(m, i, k);
		next = k + 1;
	}
	return rc;
}

/* --- by content --- */

/* Is the i-th of the request to be found by its content? */
static bool is_open(const struct rf_rule_match *m, size_t i)
{
	return !m->is[i] && m->given->v[i].content && !(m->given->v[i].more && rf_rule_more(m->given, i).own_ref.n);
}

/* A stored rule that nobody names, and that has no name of its own. */
static bool is_free(const struct rf_rule_stored *s)
{
	return !s->taken && (s->ref == s->id || strcmp(s->ref, s->id) == 0);
}

/* Along both rows at once, from their beginnings or from their ends, as far as they are alike. */
static void follow(struct rf_rule_match *m, bool back)
{
	size_t n = m->given->n, here = 0;
	for (size_t x = 0, astray = 0; x < n && here < m->n && astray < ASTRAY; x++) {
		size_t i = back ? n - 1 - x : x, a = 0, k = 0;
		rf_way_give_at(x);
		if (!is_open(m, i))
			continue;
		for (; a < AHEAD && here + a < m->n; a++) {
			k = back ? m->n - 1 - here - a : here + a;
			if (m->v[k].content == m->given->v[i].content && is_free(&m->v[k]))
				break;
		}
		if (a == AHEAD || here + a == m->n) {
			astray++;
			continue;
		}
		take(m, i, k);
		here += a + 1;
		astray = 0;
	}
}

/* A bit for each content that an open rule of the request has, and, by chance, for few others. */
struct sieve {
	uint64_t *bits;
	size_t mask, open;
};

static bool sieve_init(struct sieve *s, const struct rf_rule_match *m)
{
	size_t bits = 64;
	while (bits < m->given->n * BITS)
		bits *= 2;
	*s = (struct sieve){ .bits = rf_way_calloc(bits / 64, sizeof *s->bits), .mask = bits - 1 };
	for (size_t i = 0; i < m->given->n && s->bits; i++) {
		size_t bit = m->given->v[i].content & s->mask;
		rf_way_give_at(i);
		if (!is_open(m, i))
			continue;
		s->bits[bit / 64] |= (uint64_t)1 << bit % 64;
		s->open++;
	}
	return s->bits;
}

static bool passes(const struct sieve *s, const struct rf_rule_stored *r)
{
	size_t bit = r->content & s->mask;
	return !r->taken && r->content && s->bits[bit / 64] >> bit % 64 & 1;
}

/* Of each content the first in the table, and the others behind it, by place: the last one comes first. */
static void add_content(struct rf_rule_match *m, size_t i)
{
	struct rf_rule_stored *s = &m->v[i];
	RF_RULE_EACH_FOUND(k, &m->contents, s->content) {
		if (m->v[k].content != s->content)
			continue;
		s->same = (uint32_t)k + 1;
		m->contents.slot[at_].number = (uint32_t)i + 1;
		return;
	}
	rf_rule_lookup_add(&m->contents, s->content, i);
}

/* Empty where no rule is open. */
static bool content_table(struct rf_rule_match *m)
{
	struct sieve s;
	size_t n = 0;
	if (!sieve_init(&s, m))
		return false;
	for (size_t i = 0; i < m->n && s.open; i++) {
		rf_way_give_at(i);
		n += passes(&s, &m->v[i]);
	}
	bool good = !n || rf_rule_lookup_init(&m->contents, n);
	for (size_t i = m->n; i-- > 0 && good && n;) {
		rf_way_give_at(i);
		if (passes(&s, &m->v[i]))
			add_content(m, i);
	}
	rf_way_free(s.bits);
	return good;
}

/* Whoever finds one takes it from the table, as does who finds that one has a name of its own. */
static void find_content(struct rf_rule_match *m, size_t i)
{
	uint64_t content = m->given->v[i].content;
	RF_RULE_EACH_FOUND(first, &m->contents, content) {
		size_t k = first;
		if (m->v[k].content != content)
			continue;
		while (!is_free(&m->v[k]) && m->v[k].same)
			k = m->v[k].same - 1;
		if (is_free(&m->v[k]))
			take(m, i, k);
		m->contents.slot[at_].number = m->v[k].same ? m->v[k].same : (uint32_t)k + 1;
		return;
	}
}

static int match_contents(struct rf_rule_match *m)
{
	if (m->taken == m->n)
		return RF_OK;
	follow(m, false);
	follow(m, true);
	if (m->taken < m->n && !content_table(m))
		return no_memory(m->c);
	for (size_t i = 0; i < m->given->n && m->contents.slot; i++) {
		rf_way_give_at(i);
		if (is_open(m, i))
			find_content(m, i);
	}
	return RF_OK;
}

int rf_rule_match(struct rf_api_call *c, const char *ruleset, struct rf_rule_match *m)
{
	*m = (struct rf_rule_match){ .c = c, .given = c->rules };
	m->is = rf_way_calloc(c->rules->n + 1, sizeof *m->is);
	int rc = m->is ? read_stored(m, ruleset) : no_memory(c);
	if (rc == RF_OK)
		rc = match_names(m);
	return rc == RF_OK ? match_contents(m) : rc;
}

void rf_rule_match_fini(struct rf_rule_match *m)
{
	rf_rule_lookup_fini(&m->ids);
	rf_rule_lookup_fini(&m->refs);
	rf_rule_lookup_fini(&m->contents);
	rf_way_free(m->v);
	rf_way_free(m->is);
}
