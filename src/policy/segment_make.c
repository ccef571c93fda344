/* policy/segment_make: from rules to a segment.
 *
 *	rules -> keys (segment_keys) -> hash of strings and numbers | tries | texts | gates; ranks -> postings
 *	seeds -> hash of strings; two of one string, or a rule and a seed -> a posting more
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
	m->posts = total;
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

/* Room for all exact keys, of rules and of seeds. */
static int exact_room(struct making *m)
{
	struct segment *s = m->s;
	size_t count = m->seeds, bytes = 0, slots = 2;
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
	return s->filter && s->slot && s->key && s->bytes ? RF_OK : RF_E_NOMEM;
}

/* A key of this hash, which is there not yet. */
static void exact_add(struct segment *s, uint64_t h, struct exact_key k)
{
	size_t where = h & s->mask;
	while (s->slot[where].tag)
		where = (where + 1) & s->mask;
	s->filter[h >> s->filter_shift >> 6] |= 1ull << (h >> s->filter_shift & 63);
	s->slot[where] = (struct exact_slot){ (uint32_t)(h >> 32) | 1, s->keys };
	s->key[s->keys++] = k;
}

static void has_length(struct probe *p, size_t n)
{
	p->lengths |= 1ull << (n < 63 ? n : 63);
}

static void keys_of_rules(struct making *m)
{
	struct segment *s = m->s;
	char *to = s->bytes;
	for (size_t i = 0; i < m->keys; i++) {
		const struct key *k = &m->key[i];
		rf_way_give();
		if (!is_exact(k))
			continue;
		if (k->bytes.n)
			memcpy(to, k->bytes.p, k->bytes.n);
		struct rf_str bytes = { to, k->bytes.n };
		to += k->bytes.n;
		exact_add(s, hash_bytes(k->probe, bytes), (struct exact_key){ bytes, k->probe, k->post });
		s->probe[k->probe].ints |= k->kind == ACCESS_INT;
		if (k->kind == ACCESS_STRING)
			has_length(&s->probe[k->probe], k->bytes.n);
	}
}

/* --- seeds --- */

enum { AHEAD = 16 }; /* seeds that are fetched together: slots of a large table are far */

struct sowing {
	struct making *m;
	const struct rf_rule_seed *seed[AHEAD];
	uint64_t hash[AHEAD];
	uint32_t rank[AHEAD], probe[AHEAD];
	unsigned n;
};

static void sow_all(struct sowing *g)
{
	struct making *m = g->m;
	struct segment *s = m->s;
	for (unsigned i = 0; i < g->n && !m->failed; i++) {
		struct rf_str bytes = seed_string(g->seed[i]);
		const struct exact_key *there = exact_find(s, g->hash[i], g->probe[i], bytes);
		has_length(&s->probe[g->probe[i]], bytes.n);
		if (!there)
			exact_add(s, g->hash[i], (struct exact_key){ bytes, g->probe[i], g->rank[i] | POST_ONE });
		else if (making_grow(m, &m->more, &m->more_cap, m->mores, sizeof *m->more))
			m->more[m->mores++] = (struct pair){ (uint32_t)(there - s->key), g->rank[i] };
	}
	g->n = 0;
}

static void keys_of_seeds(struct making *m)
{
	struct segment *s = m->s;
	struct sowing g = { .m = m };
	uint32_t probe = 0;
	for (uint32_t rank = m->seeds ? m->sown->rank : s->count, run = 0; rank < s->count; rank++) {
		const struct rf_rule_seed *seed = link_seed(s->rule[rank]);
		rf_way_give_at(rank);
		if (run < m->sowns && m->sown[run].rank == rank)
			probe = m->sown[run++].probe;
		if (!seed)
			continue;
		uint64_t h = hash_bytes(probe, seed_string(seed));
		__builtin_prefetch(&s->slot[h & s->mask], 1);
		__builtin_prefetch(&s->filter[h >> s->filter_shift >> 6], 1);
		g.seed[g.n] = seed;
		g.hash[g.n] = h;
		g.rank[g.n] = rank;
		g.probe[g.n++] = probe;
		if (g.n == AHEAD)
			sow_all(&g);
	}
	sow_all(&g);
}

static int by_key(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	rf_way_give();
	return x->key != y->key ? (x->key < y->key ? -1 : 1) : x->rank < y->rank ? -1 : x->rank > y->rank;
}

/* Append the posting of a key with n ranks more, rising as its own; returns where the next one goes. */
static size_t post_more(struct segment *s, struct exact_key *k, const struct pair *more, size_t n, size_t at)
{
	uint32_t one = k->post & ~POST_ONE, had = k->post & POST_ONE ? 1 : s->post[k->post];
	const uint32_t *own = k->post & POST_ONE ? &one : &s->post[k->post + 1];
	uint32_t *to = &s->post[at], i = 0;
	for (size_t next = 0; i < had + n; i++) {
		bool another = next < n && (i - next == had || more[next].rank < own[i - next]);
		to[1 + i] = another ? more[next].rank : own[i - next];
		next += another;
	}
	to[0] = i;
	k->post = (uint32_t)at;
	return at + 1 + i;
}

static int postings_of_seeds(struct making *m)
{
	struct segment *s = m->s;
	size_t room = m->posts, at = m->posts;
	qsort(m->more, m->mores, sizeof *m->more, by_key);
	for (size_t i = 0; i < m->mores; i++) {
		uint32_t post = s->key[m->more[i].key].post;
		bool first = !i || m->more[i - 1].key != m->more[i].key;
		room += 1 + (first ? 1 + (post & POST_ONE ? 1 : s->post[post]) : 0);
	}
	uint32_t *v = room < POST_ONE ? rf_way_grow(s->post, (room + 1) * sizeof *v) : NULL;
	if (!v)
		return RF_E_NOMEM;
	s->post = v;
	s->size += (room - m->posts) * sizeof *v;
	for (size_t i = 0, end; i < m->mores; i = end) {
		rf_way_give();
		for (end = i + 1; end < m->mores && m->more[end].key == m->more[i].key;)
			end++;
		at = post_more(s, &s->key[m->more[i].key], m->more + i, end - i, at);
	}
	return RF_OK;
}

static int make_exact(struct making *m)
{
	int rc = exact_room(m);
	if (rc != RF_OK)
		return rc;
	keys_of_rules(m);
	keys_of_seeds(m);
	return m->failed ? RF_E_NOMEM : m->mores ? postings_of_seeds(m) : RF_OK;
}

/* --- the others --- */

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
	for (uint32_t i = 0; i < s->count; i++) {
		rf_way_give_at(i);
		m->code.expected += !m->decided[i] && !link_seed(s->rule[i]);
	}
	for (uint32_t i = 0; s->at && i < s->count; i++) {
		rf_way_give_at(i);
		s->at[i] = (struct code_at){ 0, CODE_YES };
		if (m->decided[i] || link_seed(s->rule[i]))
			continue;
		rf_way_give();
		s->at[i] = code_make(&m->code, cond_at(m, i), &cond_at(m, i)->node[0]);
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

static void take_rules(struct segment *s, const struct rf_rule_link *rules, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		rf_way_give_at(i);
		if (rules[i].to && link_like(rules[i])->enabled)
			s->rule[s->count++] = rf_link_get(rules[i]);
	}
}

int segment_make(const struct rf_rule_link *rules, uint32_t count, bool frozen, struct segment **ret)
{
	struct segment *s = calloc(1, sizeof *s);
	struct making m = { .s = s, .frozen = frozen };
	if (!s || !(s->rule = malloc((count + 1) * sizeof *s->rule))) {
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
	rf_way_free(m.more);
	rf_way_free(m.sown);
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
		rf_link_put(s->rule[i]);
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
