/* policy/segment_keys: what leads to the rules of a segment.
 *
 *	rule -> plan of its access -> ways, each with a probe -> probes sorted -> keys (probe, kind, bytes), each with the ranks of rules it leads to
 *
 *	seed -> probe of its form; its string is its key (segment_make)
 *
 * Keys of one kind and probe are made once. A pattern leads by a gate where the segment is not frozen.
 */
#include <stdlib.h>
#include "base/room.h"
#include "base/way.h"
#include "policy/hash64.h"
#include "policy/segment_make.h"

enum { KEYED = 8 /* keys of one map that are asked for one by one */ };

bool making_grow(struct making *m, void *array, size_t *cap, size_t count, size_t size)
{
	bool room = rf_room(array, cap, count + 1, size);
	m->failed |= !room;
	return room;
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
	uint32_t *more = rf_way_calloc(slots, sizeof *more);
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
	if (!making_grow(m, &s->probe, &m->probe_cap, s->probes, sizeof *s->probe))
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
	if (!rehash(m, &m->slot, &m->mask, m->keys, 2 * m->ways, key_hash) || !making_grow(m, &m->key, &m->key_cap, m->keys, sizeof *m->key))
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
	if (m->failed || !making_grow(m, &m->pair, &m->pair_cap, m->pairs, sizeof *m->pair))
		return;
	m->pair[m->pairs++] = (struct pair){ number, rank };
	m->key[number].count++;
}

/* `last`: the way before this one; NULL: none. */
static void lead_by(struct making *m, const struct way *w, const struct way *last)
{
	const struct access *a = &w->a;
	struct key k = { .kind = (uint8_t)a->kind, .x = cond_at(m, w->rank), .test = a->test };
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
	if (!access_sure(a) && (!last || last->rank != w->rank || last->a.term != a->term))
		lead(m, (struct key){ .kind = KEY_ALL, .probe = k.probe }, w->rank);
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
	for (size_t i = 0; number && i < m->sowns; i++)
		m->sown[i].probe = now[m->sown[i].probe];
	free(number);
	free(m->probe_slot);
	m->probe_slot = NULL;
}

static void add_way(struct making *m, const struct access *a, uint32_t rank)
{
	uint32_t probe = a->term ? probe_of(m, cond_at(m, rank), a->term) : 0;
	if (m->failed || !making_grow(m, &m->way, &m->way_cap, m->ways, sizeof *m->way))
		return;
	m->way[m->ways++] = (struct way){ *a, rank, probe };
}

static void plan_rule(struct making *m, struct access_plan *p, uint32_t rank)
{
	m->failed |= access_plan(cond_at(m, rank), p) != RF_OK;
	bool decided = p->n;
	for (size_t i = 0; i < p->n && !m->failed; i++) {
		add_way(m, &p->v[i], rank);
		decided &= access_decides(cond_at(m, rank), &p->v[i]);
	}
	if (!m->failed)
		m->decided[rank] = decided;
	if (p->always)
		add_way(m, &(struct access){ .kind = ACCESS_GATE }, rank);
}

static void sow(struct making *m, const struct seed_form *f, uint32_t rank)
{
	uint32_t probe = probe_of(m, f->model->cond, f->term);
	if (m->failed || !making_grow(m, &m->sown, &m->sown_cap, m->sowns, sizeof *m->sown))
		return;
	m->sown[m->sowns++] = (struct sown){ rank, probe };
}

static void plan_all(struct making *m)
{
	struct access_plan p = { .arena = &m->arena };
	const struct seed_form *last = NULL;
	m->decided = rf_way_calloc(m->s->count + 1, sizeof *m->decided);
	m->failed |= !m->decided;
	for (uint32_t rank = 0; rank < m->s->count && !m->failed; rank++) {
		const struct rf_rule_seed *seed = link_seed(m->s->rule[rank]);
		rf_way_give_at(rank);
		if (!seed) {
			rf_way_give();
			plan_rule(m, &p, rank);
			continue;
		}
		if (seed->form != last)
			sow(m, last = seed->form, rank);
		m->decided[rank] = seed->form->decides;
		m->seeds++;
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
			lead(m, (struct key){ .kind = KEY_NAME, .probe = k->probe, .bytes = n->lit.s }, i);
	}
}

int segment_keys(struct making *m)
{
	plan_all(m);
	if (!m->failed)
		part_probes(m);
	if (!m->failed)
		lead_all(m);
	if (!m->failed)
		lead_to_probes(m);
	return m->failed ? RF_E_NOMEM : RF_OK;
}
