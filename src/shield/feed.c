/* shield/feed: see feed.h.
 *
 * Invariants: a row is never given back; it is complete before it counts. The interval between samples follows from the tick before, so that
 * FEW are made, or as many as are wanted; within a tick it doubles with every STEP samples, so that the first moments of a flood of
 * any rate leave some hundred. The next one is drawn at random around the interval, so that no regular
 * sender hides between samples.
 */
#include "shield/feed.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/hash.h"

enum { FEW = 8, STEP = 32, INTERVAL_MOST = 1 << 20, PROBES = 16 };

static const uint16_t most[RF_PIECES] = {
#define RF_PIECE(id, n) n,
#include "tbl/traits.def"
#undef RF_PIECE
};

bool rf_feed_init(struct rf_feed *f, uint64_t random)
{
	*f = (struct rf_feed){ .random = random };
	f->hosts = calloc(RF_FEED_HOSTS, sizeof *f->hosts);
	f->ring = malloc(RF_FEED_SAMPLES * sizeof *f->ring);
	if (f->hosts && f->ring) {
		memset(f->ring, 0, RF_FEED_SAMPLES * sizeof *f->ring); /* its pages are there before a flood is */
		return true;
	}
	rf_feed_fini(f);
	return false;
}

void rf_feed_fini(struct rf_feed *f)
{
	free(f->hosts);
	free(f->ring);
	f->hosts = NULL;
	f->ring = NULL;
}

static struct rf_feed_host *new_row(struct rf_feed *f, uint64_t hash, struct rf_str name)
{
	uint32_t n = atomic_load_explicit(&f->count, memory_order_relaxed);
	struct rf_feed_host *h = &f->hosts[n];
	if (n == RF_FEED_HOSTS || name.n >= sizeof h->name)
		return NULL;
	memcpy(h->name, name.p, name.n);
	h->name[name.n] = '\0';
	h->hash = hash;
	atomic_store_explicit(&f->count, n + 1, memory_order_release);
	return h;
}

struct rf_feed_host *rf_feed_host(struct rf_feed *f, uint64_t hash, struct rf_str name)
{
	enum { SLOTS = sizeof f->index / sizeof *f->index };
	hash |= !hash;
	for (unsigned i = 0; i < PROBES; i++) {
		uint16_t *slot = &f->index[(hash + i) % SLOTS];
		if (*slot && f->hosts[*slot - 1].hash == hash)
			return &f->hosts[*slot - 1];
		struct rf_feed_host *h = *slot ? NULL : new_row(f, hash, name);
		if (*slot)
			continue;
		if (!h)
			break;
		*slot = (uint16_t)(h - f->hosts + 1);
		return h;
	}
	rf_feed_add(&f->hosts_lost, 1);
	return NULL;
}

static void count_address(struct rf_feed_addresses *a, const struct rf_ip *src)
{
	uint32_t asked = atomic_load_explicit(&a->asked, memory_order_relaxed);
	if (!asked)
		return;
	if (a->epoch != asked) {
		for (unsigned i = 0; i < RF_HLL; i++)
			atomic_store_explicit(&a->registers[i], 0, memory_order_relaxed);
		a->epoch = asked;
	}
	uint64_t hash = rf_hash((struct rf_str){ (const char *)src->b, sizeof src->b });
	_Atomic uint8_t *at = &a->registers[hash % RF_HLL];
	uint8_t rank = (uint8_t)(__builtin_ctzll(hash / RF_HLL | 1ull << 53) + 1);
	if (atomic_load_explicit(at, memory_order_relaxed) < rank)
		atomic_store_explicit(at, rank, memory_order_relaxed);
}

static uint64_t draw(struct rf_feed *f)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return f->random;
}

static void next_tick(struct rf_feed_host *h, uint64_t tick)
{
	uint32_t last = tick == h->tick + 1 ? h->in_tick : 0, wanted = atomic_load_explicit(&h->wanted, memory_order_relaxed);
	h->interval = 1;
	while (h->interval < last / (wanted ? wanted : FEW))
		h->interval *= 2;
	h->left = h->left < 2 * h->interval ? h->left : h->interval;
	h->tick = tick;
	h->in_tick = h->taken = 0;
}

uint32_t rf_feed_count(struct rf_feed *f, struct rf_feed_host *h, uint64_t now_ns, const struct rf_ip *src)
{
	uint64_t tick = now_ns / RF_FLOOD_TICK_NS;
	rf_feed_add(&h->requests, 1);
	if (tick != h->tick || !h->interval)
		next_tick(h, tick);
	h->in_tick++;
	count_address(&h->addresses, src);
	if (h->left > 1) {
		h->left--;
		return 0;
	}
	uint32_t weight = h->interval;
	if (++h->taken % STEP == 0 && h->interval < INTERVAL_MOST)
		h->interval *= 2;
	h->left = h->interval == 1 ? 1 : 1 + (uint32_t)(draw(f) % (2 * h->interval - 1));
	return weight;
}

struct rf_sample *rf_feed_slot(struct rf_feed *f, const struct rf_feed_host *h, uint32_t weight)
{
	uint32_t head = atomic_load_explicit(&f->head, memory_order_relaxed);
	if (head - atomic_load_explicit(&f->tail, memory_order_acquire) == RF_FEED_SAMPLES) {
		rf_feed_add(&f->lost, 1);
		return NULL;
	}
	struct rf_sample *s = &f->ring[head % RF_FEED_SAMPLES];
	s->host = h->hash;
	s->weight = weight;
	s->cut = s->late = s->used = 0;
	s->known = false;
	s->device[0] = '\0';
	memset(s->at, 0, sizeof s->at);
	memset(s->len, 0, sizeof s->len);
	return s;
}

void rf_feed_give(struct rf_feed *f)
{
	atomic_fetch_add_explicit(&f->head, 1, memory_order_release);
}

void rf_feed_visit(struct rf_feed *f, uint64_t now_ns, const struct rf_ip *src, const char *device)
{
	uint32_t weight = rf_feed_count(f, &f->visits, now_ns, src);
	struct rf_sample *s = weight ? rf_feed_slot(f, &f->visits, weight) : NULL;
	if (!s)
		return;
	s->known = true;
	s->src = *src;
	snprintf(s->device, sizeof s->device, "%s", device);
	rf_feed_give(f);
}

struct rf_feed_port *rf_feed_port(struct rf_feed *f, enum rf_feed_kind kind, uint16_t port)
{
	uint32_t key = (uint32_t)kind << 16 | port;
	for (unsigned i = 0; f && port && i < RF_FEED_PORTS; i++) {
		struct rf_feed_port *p = &f->ports[i];
		uint32_t there = atomic_load_explicit(&p->key, memory_order_relaxed);
		if (!there)
			atomic_store_explicit(&p->key, key, memory_order_release);
		if (!there || there == key)
			return p;
	}
	if (f && port)
		rf_feed_add(&f->hosts_lost, 1);
	return NULL;
}

void rf_feed_begun(struct rf_feed_port *p, const struct rf_ip *src)
{
	if (!p)
		return;
	rf_feed_add(&p->begun, 1);
	count_address(&p->addresses, src);
}

bool rf_feed_ask(struct rf_feed_addresses *a, uint32_t number, uint8_t ret[RF_HLL])
{
	if (atomic_exchange_explicit(&a->asked, number, memory_order_relaxed) != number || !number)
		return false; /* until the worker has seen the number, the registers may be another one's */
	for (unsigned i = 0; i < RF_HLL; i++)
		ret[i] = atomic_load_explicit(&a->registers[i], memory_order_relaxed);
	return true;
}

void rf_sample_put(struct rf_sample *s, enum rf_piece p, struct rf_str v)
{
	s->at[p] = s->used;
	s->len[p] = 0;
	if (v.n > most[p] || s->used + v.n > sizeof s->text) {
		s->cut |= (uint16_t)(1u << p);
		return;
	}
	if (v.n)
		memcpy(s->text + s->used, v.p, v.n);
	s->len[p] = (uint16_t)v.n;
	s->used = (uint16_t)(s->used + v.n);
}

void rf_sample_more(struct rf_sample *s, enum rf_piece p, struct rf_str name)
{
	size_t comma = s->len[p] > 0, n = comma + name.n;
	if (!s->len[p])
		s->at[p] = s->used;
	if (s->cut >> p & 1 || s->len[p] + n > most[p] || s->used + n > sizeof s->text) {
		s->cut |= (uint16_t)(1u << p);
		return;
	}
	if (comma)
		s->text[s->used] = ',';
	for (size_t i = 0; i < name.n; i++)
		s->text[s->used + comma + i] = (char)rf_lower((unsigned char)name.p[i]);
	s->used = (uint16_t)(s->used + n);
	s->len[p] = (uint16_t)(s->len[p] + n);
}

const struct rf_sample *rf_feed_peek(struct rf_feed *f)
{
	uint32_t tail = atomic_load_explicit(&f->tail, memory_order_relaxed);
	return tail == atomic_load_explicit(&f->head, memory_order_acquire) ? NULL : &f->ring[tail % RF_FEED_SAMPLES];
}

void rf_feed_done(struct rf_feed *f)
{
	atomic_fetch_add_explicit(&f->tail, 1, memory_order_release);
}
