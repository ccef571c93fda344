/* policy/segment_make: from rules to a segment.
 *
 *	rules -> keys (segment_keys) -> hash of strings and numbers | tries | texts | gates; ranks -> postings
 *
 * A text that the quick form cannot hold (a whole pattern), or that vectorscan does not take, leads by a gate instead.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include "base/way.h"
#include "policy/hash64.h"
#include "policy/segment_make.h"

enum { FILTER_BITS = 5 /* log2 of the filter's bits for each exact key */ };

static int post_all(struct making *m)
{
	size_t total = 0;
	for (size_t i = 0; i < m->keys; i++) {
		struct key *k = &m->key[i];
		rf_way_give();
		k->post = (uint32_t)total;
		total += k->count > 1 ? k->count + 1 : 0;
	}
	if (total >= POST_ONE || !(m->s->post = malloc((total + 1) * sizeof *m->s->post)))
		return RF_E_NOMEM;
	m->s->size += total * sizeof *m->s->post;
	for (size_t i = 0; i < m->keys; i++) {
		rf_way_give();
		if (m->key[i].count > 1)
			m->s->post[m->key[i].post] = 0;
	}
	for (size_t i = 0; i < m->pairs; i++) {
		rf_way_give();
		struct key *k = &m->key[m->pair[i].key];
		if (k->count == 1) {
			k->post = m->pair[i].rank | POST_ONE;
			continue;
		}
		uint32_t *p = &m->s->post[k->post];
		if (!p[0] || p[p[0]] != m->pair[i].rank) /* once, though two branches of the rule lead to it */
			p[++p[0]] = m->pair[i].rank;
	}
	return RF_OK;
}

static bool is_exact(const struct key *k)
{
	return k->kind == ACCESS_STRING || k->kind == ACCESS_INT || k->kind == KEY_NAME;
}

static int make_exact(struct making *m)
{
	struct segment *s = m->s;
	size_t count = 0, bytes = 0, slots = 2, at = 0;
	unsigned log = 6;
	for (size_t i = 0; i < m->keys; i++) {
		rf_way_give();
		count += is_exact(&m->key[i]);
		bytes += is_exact(&m->key[i]) ? m->key[i].bytes.n : 0;
	}
	while (slots < count * 2)
		slots *= 2;
	while ((size_t)1 << log < count << FILTER_BITS)
		log++;
	s->filter_shift = 64 - log;
	s->filter = rf_way_calloc((size_t)1 << (log - 6), sizeof *s->filter);
	s->slot = rf_way_calloc(slots, sizeof *s->slot);
	s->key = malloc((count + 1) * sizeof *s->key);
	s->bytes = malloc(bytes + 1);
	s->mask = slots - 1;
	s->size += slots * sizeof *s->slot + count * sizeof *s->key + bytes + ((size_t)1 << (log - 3));
	if (!s->filter || !s->slot || !s->key || !s->bytes)
		return RF_E_NOMEM;
	char *to = s->bytes;
	for (size_t i = 0; i < m->keys; i++) {
		const struct key *k = &m->key[i];
		rf_way_give();
		if (!is_exact(k))
			continue;
		if (k->bytes.n)
			memcpy(to, k->bytes.p, k->bytes.n);
		s->key[at] = (struct exact_key){ { to, k->bytes.n }, k->probe, k->post };
		to += k->bytes.n;
		uint64_t h = hash_bytes(k->probe, s->key[at].bytes);
		s->filter[h >> s->filter_shift >> 6] |= 1ull << (h >> s->filter_shift & 63);
		size_t where = h & s->mask;
		while (s->slot[where].tag)
			where = (where + 1) & s->mask;
		s->slot[where] = (struct exact_slot){ (uint32_t)(h >> 32) | 1, (uint32_t)at++ };
		struct probe *p = &s->probe[k->probe];
		p->ints |= k->kind == ACCESS_INT;
		if (k->kind == ACCESS_STRING)
			p->lengths |= 1ull << (k->bytes.n < 63 ? k->bytes.n : 63);
	}
	return RF_OK;
}

static bool gate_add(struct making *m, const struct key *k)
{
	struct segment *s = m->s;
	if (!making_grow(m, &s->gate, &m->gate_cap, s->gates, sizeof *s->gate))
		return false;
	struct code_at open = { 0, CODE_YES };
	s->gate[s->gates++] = (struct gate){ k->test ? code_make(&m->code, k->x, k->test) : open, k->post };
	return !m->code.failed;
}

static int make_gates(struct making *m)
{
	for (size_t i = 0; i < m->keys; i++) {
		rf_way_give();
		if (m->key[i].kind == ACCESS_GATE && !gate_add(m, &m->key[i]))
			return RF_E_NOMEM;
	}
	return RF_OK;
}

/* Keys of tries and texts, by probe and kind. */
static int by_probe(const void *a, const void *b)
{
	const struct key *const *x = a, *const *y = b;
	rf_way_give();
	int families = (*x)->prefix.ip.family - (*y)->prefix.ip.family;
	return (*x)->probe != (*y)->probe ? ((*x)->probe < (*y)->probe ? -1 : 1) : families;
}

static int make_trie(struct making *m, struct key *const *v, size_t n)
{
	struct trie_item *items = calloc(n + 1, sizeof *items);
	for (size_t i = 0; items && i < n; i++)
		items[i] = (struct trie_item){ v[i]->prefix, v[i]->post };
	struct trie *t = items ? trie_make(items, n) : NULL;
	rf_way_free(items);
	if (!t)
		return RF_E_NOMEM;
	struct probe *p = &m->s->probe[v[0]->probe];
	*(v[0]->prefix.ip.family == 4 ? &p->four : &p->six) = t;
	m->s->size += trie_bytes(t);
	return RF_OK;
}

static int make_text(struct making *m, struct key *const *v, size_t n)
{
	struct text_item *items = calloc(n + 1, sizeof *items);
	size_t literals = 0, patterns = 0;
	bool gates = true;
	if (!items)
		return RF_E_NOMEM;
	for (size_t i = 0; i < n; i++) {
		items[i] = (struct text_item){ v[i]->bytes, v[i]->pattern, (uint32_t)(v[i] - m->key) };
		patterns += items[i].pattern != NULL;
	}
	m->poorer |= n > TEXT_FEW;
	struct text *t = m->frozen && (patterns || n > TEXT_FEW) ? text_frozen(items, n) : NULL;
	if (!t) {
		for (size_t i = 0; i < n; i++) {
			if (items[i].pattern)
				gates &= gate_add(m, v[i]);
			else
				items[literals++] = items[i];
		}
		t = gates ? text_quick(items, literals) : NULL;
	}
	rf_way_free(items);
	m->s->probe[v[0]->probe].text = t;
	m->s->size += t ? text_bytes(t) : 0;
	return t ? RF_OK : RF_E_NOMEM;
}

/* Keys of one kind in runs of one probe (and family). */
static int each_run(struct making *m, bool texts, int (*make)(struct making *m, struct key *const *v, size_t n))
{
	struct key **v = malloc((m->keys + 1) * sizeof(struct key *));
	size_t n = 0;
	int rc = v ? RF_OK : RF_E_NOMEM;
	for (size_t i = 0; v && i < m->keys; i++) {
		enum access_kind kind = (enum access_kind)m->key[i].kind;
		rf_way_give();
		if (texts ? kind == ACCESS_TEXT || kind == ACCESS_PATTERN : kind == ACCESS_PREFIX)
			v[n++] = &m->key[i];
	}
	if (n)
		qsort(v, n, sizeof *v, by_probe);
	for (size_t i = 0, end; rc == RF_OK && i < n; i = end) {
		for (end = i + 1; end < n && by_probe(&v[i], &v[end]) == 0;)
			end++;
		rc = make(m, v + i, end - i);
	}
	rf_way_free(v);
	return rc;
}

static int make_posts_of_texts(struct making *m)
{
	struct segment *s = m->s;
	s->text_post = malloc((m->keys + 1) * sizeof *s->text_post);
	if (!s->text_post)
		return RF_E_NOMEM;
	s->size += m->keys * sizeof *s->text_post;
	for (size_t i = 0; i < m->keys; i++) {
		rf_way_give();
		s->text_post[i] = m->key[i].post;
		if (m->key[i].kind == KEY_ALL)
			s->probe[m->key[i].probe].all = m->key[i].post;
	}
	return RF_OK;
}

static int make_code(struct making *m)
{
	struct segment *s = m->s;
	s->at = malloc((s->count + 1) * sizeof *s->at);
	for (uint32_t i = 0; i < s->count; i++)
		m->code.expected += !m->decided[i];
	for (uint32_t i = 0; s->at && i < s->count; i++) {
		rf_way_give();
		const struct rf_expr *x = s->rule[i]->cond;
		s->at[i] = m->decided[i] ? (struct code_at){ 0, CODE_YES } : code_make(&m->code, x, &x->node[0]);
	}
	return s->at && !m->code.failed ? RF_OK : RF_E_NOMEM;
}

static int make_all(struct making *m)
{
	int rc = segment_keys(m);
	static int (*const steps[])(struct making *m) = { post_all, make_exact, make_gates, make_posts_of_texts, make_code };
	for (size_t i = 0; rc == RF_OK && !m->failed && i < sizeof steps / sizeof *steps; i++)
		rc = steps[i](m);
	if (rc == RF_OK)
		rc = each_run(m, false, make_trie);
	if (rc == RF_OK)
		rc = each_run(m, true, make_text);
	m->s->others = m->s->direct > m->s->plain || m->s->keyeds || m->s->gates;
	return m->failed ? RF_E_NOMEM : rc;
}

static void take_rules(struct segment *s, struct rf_rule *const *rules, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		rf_way_give();
		if (rules[i] && rules[i]->enabled)
			s->rule[s->count++] = rf_rule_get(rules[i]);
	}
}

int segment_make(struct rf_rule *const *rules, uint32_t count, bool frozen, struct segment **ret)
{
	struct segment *s = calloc(1, sizeof *s);
	struct making m = { .s = s, .frozen = frozen };
	if (!s || !(s->rule = malloc((count + 1) * sizeof(struct rf_rule *)))) {
		free(s);
		return RF_E_NOMEM;
	}
	atomic_init(&s->refs, 1);
	s->frozen = frozen;
	take_rules(s, rules, count);
	rf_arena_init(&m.arena, SIZE_MAX / 2);
	int rc = make_all(&m);
	s->code = m.code.code;
	code_maker_fini(&m.code);
	rf_arena_fini(&m.arena);
	rf_way_free(m.key);
	rf_way_free(m.slot);
	rf_way_free(m.pair);
	rf_way_free(m.probe_slot);
	rf_way_free(m.way);
	rf_way_free(m.decided);
	s->settled = frozen || !m.poorer;
	if (rc != RF_OK) {
		segment_put(s);
		return rc;
	}
	s->size += sizeof *s + s->count * (sizeof *s->rule + sizeof *s->at) + s->probes * sizeof *s->probe +
		s->code.ins_count * sizeof *s->code.ins + s->code.pred_count * sizeof *s->code.pred;
	*ret = s;
	return RF_OK;
}

void segment_put(struct segment *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (uint32_t i = 0; i < s->probes; i++) {
		trie_free(s->probe[i].four);
		trie_free(s->probe[i].six);
		text_free(s->probe[i].text);
	}
	for (uint32_t i = 0; i < s->count; i++) {
		rf_way_give();
		rf_rule_put(s->rule[i]);
	}
	code_fini(&s->code);
	free(s->rule);
	free(s->at);
	free(s->slot);
	free(s->filter);
	free(s->key);
	free(s->post);
	free(s->probe);
	free(s->keyed);
	free(s->gate);
	free(s->text_post);
	free(s->bytes);
	free(s);
}
