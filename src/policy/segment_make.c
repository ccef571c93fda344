/* policy/segment_make: from rules to a segment.
 *
 *	rule -> plan of its access -> probes, which are then sorted -> keys (probe, kind, bytes), each with the ranks of rules it leads to
 *	keys -> hash of strings and numbers | tries | texts | gates; ranks -> postings
 *
 * Keys of one kind and probe are made once. A text that the quick form cannot hold (a whole pattern), or that vectorscan
 * does not take, leads by a gate instead.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include "base/way.h"
#include "policy/access.h"
#include "policy/hash64.h"
#include "policy/segment.h"

enum {
	KEYED = 8,         /* keys of one map that are asked for one by one */
	FILTER_BITS = 5,   /* log2 of the filter's bits for each exact key */
	ALL = ACCESS_GATE + 1, NAME, /* kinds of keys beside those of accesses */
};

struct key {
	uint64_t hash;
	struct rf_str bytes;       /* of a string or number, literal or pattern; else empty */
	struct rf_prefix prefix;
	const struct regex *pattern; /* whose text is in `bytes` */
	const struct rf_expr *x;
	const struct pnode *test;
	uint32_t probe;
	uint32_t count, post;      /* ranks; then where they stand */
	uint8_t kind;              /* enum access_kind, ALL: of a probe, NAME: a map's key that leads to probes */
};

struct pair {
	uint32_t key, rank;
};

/* By what a rule is reached; `a.test` and `a.term` NULL where nothing leads to it. */
struct way {
	struct access a;
	uint32_t rank, probe;
};

struct making {
	struct segment *s;
	bool frozen;
	bool poorer;               /* a frozen one would have another form */
	struct code_maker code;
	struct rf_arena arena;     /* of plans */
	struct way *way;           /* of all rules, in turn */
	size_t ways, way_cap;
	struct key *key;
	size_t keys, key_cap;
	uint32_t *slot;
	size_t mask;
	struct pair *pair;
	size_t pairs, pair_cap;
	size_t probe_cap;
	uint32_t *probe_slot;
	size_t probe_mask;
	size_t gate_cap;
	bool failed;
};

static bool grow(struct making *m, void **v, size_t *cap, size_t count, size_t size)
{
	if (count < *cap)
		return true;
	size_t more = *cap ? *cap * 2 : 32;
	void *p = realloc(*v, more * size);
	if (!p) {
		m->failed = true;
		return false;
	}
	*v = p;
	*cap = more;
	return true;
}

/* --- probes --- */

/* Twice as many slots as entries; false without memory. */
static bool rehash(struct making *m, uint32_t **slot, size_t *mask, size_t count, size_t first, uint64_t (*hash)(const struct making *m, uint32_t i))
{
	if (*slot && count * 2 <= *mask)
		return true;
	size_t slots = *slot ? (*mask + 1) * 2 : 64;
	while (!*slot && slots < first)
		slots *= 2;
	uint32_t *more = calloc(slots, sizeof *more);
	if (!more) {
		m->failed = true;
		return false;
	}
	rf_way_free(*slot);
	*slot = more;
	*mask = slots - 1;
	for (uint32_t i = 0; i < count; i++) {
		rf_way_give();
		size_t at = hash(m, i) & *mask;
		while (more[at])
			at = (at + 1) & *mask;
		more[at] = i + 1;
	}
	return true;
}

static uint64_t probe_hash(const struct making *m, uint32_t i)
{
	const struct probe *p = &m->s->probe[i];
	return p->term ? node_hash(p->x, p->term) : i;
}

static uint64_t key_hash(const struct making *m, uint32_t i)
{
	return m->key[i].hash;
}

static const struct pnode *each_below(const struct rf_expr *x, const struct pnode *n)
{
	if (!n->each)
		return NULL;
	while (n->op != N_EACH)
		n = &x->node[n->kid];
	return &x->node[n->kid];
}

static uint32_t probe_add(struct making *m, const struct rf_expr *x, const struct pnode *term)
{
	struct segment *s = m->s;
	if (!grow(m, (void **)&s->probe, &m->probe_cap, s->probes, sizeof *s->probe))
		return 0;
	s->probe[s->probes] = (struct probe){ .x = x, .term = term, .each = term ? each_below(x, term) : NULL,
		.all = POST_NONE, .field = term && term->op == N_FIELD ? term->field : RF_FIELD_COUNT };
	return s->probes++;
}

static uint32_t probe_of(struct making *m, const struct rf_expr *x, const struct pnode *term)
{
	struct segment *s = m->s;
	const struct probe *last = m->ways && m->way[m->ways - 1].a.term ? &s->probe[m->way[m->ways - 1].probe] : NULL; /* often the same */
	if (last && node_same(last->x, last->term, x, term))
		return m->way[m->ways - 1].probe;
	if (!rehash(m, &m->probe_slot, &m->probe_mask, s->probes, 0, probe_hash))
		return 0;
	size_t at = node_hash(x, term) & m->probe_mask;
	for (; m->probe_slot[at]; at = (at + 1) & m->probe_mask) {
		const struct probe *p = &s->probe[m->probe_slot[at] - 1];
		if (node_same(p->x, p->term, x, term))
			return m->probe_slot[at] - 1;
	}
	uint32_t number = probe_add(m, x, term);
	if (!m->failed)
		m->probe_slot[at] = number + 1;
	return number;
}

/* --- keys --- */

static bool same_key(const struct key *a, const struct key *b)
{
	if (a->hash != b->hash || a->kind != b->kind || a->probe != b->probe || !rf_str_eq(a->bytes, b->bytes))
		return false;
	if (a->kind == ACCESS_PREFIX)
		return a->prefix.bits == b->prefix.bits && rf_ip_eq(&a->prefix.ip, &b->prefix.ip);
	return a->kind != ACCESS_GATE || (a->test && b->test ? node_same(a->x, a->test, b->x, b->test) : a->test == b->test);
}

static uint64_t hash_key(const struct key *k)
{
	uint64_t h = hash_mix((uint64_t)k->probe << 8 | k->kind, k->prefix.bits);
	if (k->kind == ACCESS_PREFIX)
		return hash_bytes(h, (struct rf_str){ (const char *)k->prefix.ip.b, sizeof k->prefix.ip.b });
	if (k->kind == ACCESS_GATE)
		return k->test ? hash_mix(h, node_hash(k->x, k->test)) : h;
	return hash_bytes(h, k->bytes);
}

static uint32_t key_of(struct making *m, struct key k)
{
	if (!rehash(m, &m->slot, &m->mask, m->keys, 2 * m->ways, key_hash) || !grow(m, (void **)&m->key, &m->key_cap, m->keys, sizeof *m->key))
		return 0;
	k.hash = hash_key(&k);
	size_t at = k.hash & m->mask;
	for (; m->slot[at]; at = (at + 1) & m->mask)
		if (same_key(&m->key[m->slot[at] - 1], &k))
			return m->slot[at] - 1;
	m->key[m->keys] = k;
	m->slot[at] = (uint32_t)++m->keys;
	return m->slot[at] - 1;
}

static void lead(struct making *m, struct key k, uint32_t rank)
{
	uint32_t number = key_of(m, k);
	if (m->failed || !grow(m, (void **)&m->pair, &m->pair_cap, m->pairs, sizeof *m->pair))
		return;
	m->pair[m->pairs++] = (struct pair){ number, rank };
	m->key[number].count++;
}

/* `last`: the way before this one; NULL: none. */
static void lead_by(struct making *m, const struct way *w, const struct way *last)
{
	const struct access *a = &w->a;
	struct key k = { .kind = (uint8_t)a->kind, .x = m->s->rule[w->rank]->cond, .test = a->test };
	if (a->kind == ACCESS_PATTERN && !m->frozen) {
		k.kind = ACCESS_GATE;
		m->poorer = true;
	}
	if (k.kind == ACCESS_GATE) {
		lead(m, k, w->rank);
		return;
	}
	k.probe = w->probe;
	if (k.kind == ACCESS_PREFIX)
		k.prefix = a->prefix;
	else if (k.kind == ACCESS_INT)
		k.bytes = (struct rf_str){ (const char *)&a->number, sizeof a->number };
	else if (k.kind == ACCESS_PATTERN)
		k.bytes = regex_pattern(k.pattern = a->pattern);
	else
		k.bytes = a->lit;
	lead(m, k, w->rank);
	if (!last || last->rank != w->rank || last->a.term != a->term)
		lead(m, (struct key){ .kind = ALL, .probe = k.probe }, w->rank);
}

static void lead_all(struct making *m)
{
	for (size_t i = 0; i < m->ways && !m->failed; i++) {
		rf_way_give();
		lead_by(m, &m->way[i], i ? &m->way[i - 1] : NULL);
	}
}

/* --- many keys of one map --- */

/* The map and key that a term looks into, if its value comes from one entry; NULL: none. */
static const struct pnode *entry_of(const struct rf_expr *x, const struct pnode *n)
{
	while (n->op != N_KEY && n->nkids && (n->op == N_INDEX || n->op == N_EACH || n->op == N_CALL))
		n = &x->node[n->kid];
	return n->op == N_KEY && x->node[n->kid].op == N_FIELD ? n : NULL;
}

static void swap_probes(struct segment *s, uint32_t *number, uint32_t i, uint32_t k)
{
	struct probe p = s->probe[i];
	uint32_t n = number[i];
	s->probe[i] = s->probe[k];
	s->probe[k] = p;
	number[i] = number[k];
	number[k] = n;
}

/* Plain fields go to the front, and probes of keyed maps behind those that are asked of every request; number[i] says which one is now
 * the i-th. */
static void sort_probes(struct segment *s, uint32_t *number)
{
	uint32_t many[RF_FIELD_COUNT] = { 0 };
	s->direct = s->probes;
	for (uint32_t i = 0; i < s->probes; i++) {
		const struct pnode *n = entry_of(s->probe[i].x, s->probe[i].term);
		if (n)
			many[s->probe[i].x->node[n->kid].field]++;
	}
	for (uint32_t i = 0; i < s->direct;) {
		const struct pnode *n = entry_of(s->probe[i].x, s->probe[i].term);
		if (!n || many[s->probe[i].x->node[n->kid].field] <= KEYED) {
			i++;
			continue;
		}
		swap_probes(s, number, i, --s->direct);
	}
	for (uint32_t i = 0; i < s->direct; i++) {
		uint32_t field = s->probe[i].field;
		if (field == RF_FIELD_COUNT || rf_fact_of_clock((enum rf_field)field))
			continue;
		s->asks[field / 64] |= 1ull << field % 64;
		swap_probes(s, number, i, s->plain++);
	}
}

/* Numbers of probes change, so no key may have one yet. */
static void part_probes(struct making *m)
{
	uint32_t n = m->s->probes, *number = malloc((2 * (size_t)n + 1) * sizeof *number), *now = number ? number + n : NULL;
	m->failed |= !number;
	for (uint32_t i = 0; number && i < n; i++)
		number[i] = i;
	if (number)
		sort_probes(m->s, number);
	for (uint32_t i = 0; number && i < n; i++)
		now[number[i]] = i;
	for (size_t i = 0; number && i < m->ways; i++) {
		rf_way_give();
		if (m->way[i].a.term)
			m->way[i].probe = now[m->way[i].probe];
	}
	free(number);
	free(m->probe_slot);
	m->probe_slot = NULL;
}

static void add_way(struct making *m, const struct access *a, uint32_t rank)
{
	uint32_t probe = a->term ? probe_of(m, m->s->rule[rank]->cond, a->term) : 0;
	if (m->failed || !grow(m, (void **)&m->way, &m->way_cap, m->ways, sizeof *m->way))
		return;
	m->way[m->ways++] = (struct way){ *a, rank, probe };
}

static void plan_all(struct making *m)
{
	struct access_plan p = { .arena = &m->arena };
	for (uint32_t rank = 0; rank < m->s->count && !m->failed; rank++) {
		rf_way_give();
		m->failed |= access_plan(m->s->rule[rank]->cond, &p) != RF_OK;
		for (size_t i = 0; i < p.n && !m->failed; i++)
			add_way(m, &p.v[i], rank);
		if (p.always)
			add_way(m, &(struct access){ .kind = ACCESS_GATE }, rank);
	}
}

static struct keyed *keyed_of(struct making *m, enum rf_field map)
{
	struct segment *s = m->s;
	for (uint32_t i = 0; i < s->keyeds; i++)
		if (s->keyed[i].map == map)
			return &s->keyed[i];
	struct keyed *v = realloc(s->keyed, (s->keyeds + 1) * sizeof *v);
	if (!v) {
		m->failed = true;
		return NULL;
	}
	s->keyed = v;
	v[s->keyeds] = (struct keyed){ map, probe_add(m, NULL, NULL) };
	return &v[s->keyeds++];
}

static void lead_to_probes(struct making *m)
{
	uint32_t probes = m->s->probes;
	for (uint32_t i = m->s->direct; i < probes && !m->failed; i++) {
		const struct probe *p = &m->s->probe[i];
		const struct pnode *n = entry_of(p->x, p->term);
		const struct keyed *k = keyed_of(m, (enum rf_field)p->x->node[n->kid].field);
		if (k)
			lead(m, (struct key){ .kind = NAME, .probe = k->probe, .bytes = n->lit.s }, i);
	}
}

/* --- structures --- */

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
	return k->kind == ACCESS_STRING || k->kind == ACCESS_INT || k->kind == NAME;
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
	s->filter = calloc((size_t)1 << (log - 6), sizeof *s->filter);
	s->slot = calloc(slots, sizeof *s->slot);
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
	if (!grow(m, (void **)&s->gate, &m->gate_cap, s->gates, sizeof *s->gate))
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
		if (m->key[i].kind == ALL)
			s->probe[m->key[i].probe].all = m->key[i].post;
	}
	return RF_OK;
}

static int make_code(struct making *m)
{
	struct segment *s = m->s;
	s->at = malloc((s->count + 1) * sizeof *s->at);
	for (uint32_t i = 0; s->at && i < s->count; i++) {
		rf_way_give();
		s->at[i] = code_make(&m->code, s->rule[i]->cond, &s->rule[i]->cond->node[0]);
	}
	return s->at && !m->code.failed ? RF_OK : RF_E_NOMEM;
}

static int make_all(struct making *m)
{
	plan_all(m);
	if (m->failed)
		return RF_E_NOMEM;
	part_probes(m);
	if (!m->failed)
		lead_all(m);
	if (!m->failed)
		lead_to_probes(m);
	int rc = m->failed ? RF_E_NOMEM : RF_OK;
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
	m.code.expected = s->count;
	int rc = make_all(&m);
	s->code = m.code.code;
	code_maker_fini(&m.code);
	rf_arena_fini(&m.arena);
	rf_way_free(m.key);
	rf_way_free(m.slot);
	rf_way_free(m.pair);
	rf_way_free(m.probe_slot);
	rf_way_free(m.way);
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
