/* policy/text: see text.h.
 *
 *	literals, dulled (0x20 set in each byte) -> step: as many bytes as the shortest has grams, 4 at most
 *	-> for each literal and each place it can have between two steps, the gram there that the fewest others have chosen
 *	-> a table from grams to literals, and a bitmap before it that most of a text does not pass; where grams are few, vectors
 *	of them before both, which tell of sixteen bytes at once that none is there
 *
 * A text is looked at once a step: wherever a literal is in it, one of its grams lies on a step. Dulled bytes are equal
 * where letters differ in case only, and for some other pairs; what is found is tested by who asks.
 *
 * Frozen: vectorscan costs too much to begin with for what is mostly asked, paths and names; it sees a text that is long,
 * or that a pattern could match by its length and first byte, and all texts where literals are very many.
 */
#include "policy/text.h"
#include <hs.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/err.h"
#include "base/way.h"
#include "policy/regex.h"

enum {
	NONE = UINT32_MAX,
	STEPS_SHORT = 32,  /* steps in a text from which on vectorscan is quicker, */
	TABLE_MOST = 4096, /* and literals from which on it always is: the table leaves the caches */
	LANES = 4,         /* grams that are compared at once */
	FEW_GRAMS = 16,    /* more are quicker by the table; whole LANES */
	BITS = 5,          /* log2 of the bits of the bitmap for each gram */
};

#define DULL 0x20202020u

struct piece {
	struct rf_str lit; /* dulled */
	uint32_t key;
};

struct gram {
	uint32_t bytes, piece, at; /* where it is in the literal */
	uint32_t next;             /* of its chain */
};

struct text {
	hs_database_t *db;     /* NULL where the table is enough; ids are keys */
	struct regex_front front; /* of any of the patterns */
	size_t bytes;
	unsigned width, step;  /* bytes of a gram; between two looks, 0: there is no table */
	size_t least;          /* bytes of the shortest literal; SIZE_MAX: there is none */
	size_t few;            /* grams in few_gram, whole LANES; 0: more than those, or they are not LANES apart */
	unsigned shift, bits_shift;
	uint32_t *head;        /* chains by hash */
	uint64_t *bits;
	struct gram *gram;
	size_t grams;
	struct piece *piece;
	char *lits;
	uint32_t few_gram[FEW_GRAMS][LANES]; /* each in all lanes, as it lies in a text */
};

static inline uint32_t gram_at(const char *p, unsigned width)
{
	uint32_t v = (uint8_t)p[0] | (uint32_t)(uint8_t)p[1] << 8 | (uint32_t)(uint8_t)p[2] << 16;
	if (width == 4)
		v |= (uint32_t)(uint8_t)p[3] << 24;
	return v | DULL;
}

static uint32_t hash(uint32_t gram)
{
	return gram * 0x9e3779b1u;
}

/* The longest step with which no literal is missed. */
static void measure(struct text *t, const struct text_item *items, size_t count, size_t *ret_bytes)
{
	size_t least = LANES + 3;
	*ret_bytes = 0;
	t->least = SIZE_MAX;
	for (size_t i = 0; i < count; i++) {
		rf_way_give();
		if (items[i].pattern)
			continue;
		*ret_bytes += items[i].lit.n;
		if (items[i].lit.n < t->least)
			t->least = items[i].lit.n;
	}
	if (t->least < least)
		least = t->least;
	t->width = least < 4 ? 3 : 4;
	t->step = (unsigned)least + 1 - t->width;
}

static bool make_room(struct text *t, const struct text_item *items, size_t count)
{
	size_t bytes, grams;
	unsigned log = 3;
	measure(t, items, count, &bytes);
	grams = count * t->step;
	while (log < 32 - BITS && (size_t)1 << log < grams)
		log++;
	t->shift = 32 - log;
	t->bits_shift = 32 - log - BITS;
	t->head = malloc(sizeof *t->head << log);
	t->bits = calloc((size_t)1 << (log + BITS - 6), sizeof *t->bits);
	t->lits = malloc(bytes + 1);
	t->piece = malloc((count + 1) * sizeof *t->piece);
	t->gram = malloc((grams + 1) * sizeof *t->gram);
	t->bytes = sizeof *t + (sizeof *t->head << log) + ((size_t)1 << (log + BITS - 3)) + bytes + count * sizeof *t->piece +
		grams * sizeof *t->gram;
	if (!t->head || !t->bits || !t->lits || !t->piece || !t->gram)
		return false;
	memset(t->head, 0xff, sizeof *t->head << log);
	return true;
}

static unsigned chain(const struct text *t, uint32_t gram)
{
	unsigned n = 0;
	for (uint32_t i = t->head[hash(gram) >> t->shift]; i != NONE && n < 64; i = t->gram[i].next)
		n++;
	return n;
}

/* Of the grams of a literal at `last` and whole steps before it the rarest: the ends of names differ most. */
static void put_gram(struct text *t, uint32_t piece, size_t last)
{
	struct rf_str lit = t->piece[piece].lit;
	struct gram g = { .piece = piece };
	unsigned least = UINT32_MAX;
	for (size_t end = last + t->step; end >= t->step && least; end -= t->step) {
		size_t i = end - t->step;
		uint32_t bytes = gram_at(lit.p + i, t->width);
		unsigned others = chain(t, bytes);
		if (others < least) {
			least = others;
			g.bytes = bytes;
			g.at = (uint32_t)i;
		}
	}
	uint32_t h = hash(g.bytes), bit = h >> t->bits_shift;
	g.next = t->head[h >> t->shift];
	t->head[h >> t->shift] = (uint32_t)t->grams;
	t->bits[bit / 64] |= 1ull << bit % 64;
	t->gram[t->grams++] = g;
}

static bool make_table(struct text *t, const struct text_item *items, size_t count)
{
	uint32_t pieces = 0;
	if (!make_room(t, items, count))
		return false;
	char *to = t->lits;
	for (size_t i = 0; i < count; i++) {
		struct rf_str lit = items[i].lit;
		rf_way_give();
		if (items[i].pattern)
			continue;
		t->piece[pieces] = (struct piece){ { to, lit.n }, items[i].key };
		for (size_t k = 0; k < lit.n; k++)
			*to++ = (char)(lit.p[k] | (char)DULL);
		for (size_t k = 0; k < t->step; k++)
			put_gram(t, pieces, lit.n - t->width - k);
		pieces++;
	}
	return true;
}

static void gather_few(struct text *t)
{
	if (t->step != LANES || t->grams > FEW_GRAMS)
		return;
	for (size_t i = 0; i < t->grams; i++) {
		const struct gram *g = &t->gram[i];
		uint32_t bytes;
		memcpy(&bytes, t->piece[g->piece].lit.p + g->at, sizeof bytes);
		for (unsigned k = 0; k < LANES; k++)
			t->few_gram[i][k] = bytes;
	}
	t->few = t->grams;
}

struct text *text_quick(const struct text_item *items, size_t count)
{
	struct text *t = calloc(1, sizeof *t);
	if (t && make_table(t, items, count)) {
		gather_few(t);
		return t;
	}
	text_free(t);
	return NULL;
}

static char *escaped(struct rf_str s)
{
	char *z = malloc(s.n * 4 + 1);
	for (size_t i = 0; z && i < s.n; i++)
		snprintf(z + i * 4, 5, "\\x%02x", (unsigned char)s.p[i]);
	return z;
}

struct compiling {
	const char **text;
	char **own;       /* texts made here; NULL entries */
	size_t *len;
	unsigned *flags, *ids;
	size_t patterns;
};

static bool prepare(struct compiling *c, const struct text_item *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		c->patterns += items[i].pattern != NULL;
	for (size_t i = 0; i < count; i++) {
		bool pattern = items[i].pattern;
		c->ids[i] = items[i].key;
		c->len[i] = items[i].lit.n;
		c->flags[i] = pattern ? HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY : HS_FLAG_CASELESS;
		c->text[i] = pattern ? regex_pattern(items[i].pattern).p : items[i].lit.p;
		if (!c->patterns || pattern)
			continue;
		c->own[i] = escaped(items[i].lit);
		c->text[i] = c->own[i];
		if (!c->own[i])
			return false;
	}
	return true;
}

static hs_database_t *compile(struct compiling *c, const struct text_item *items, size_t count)
{
	hs_database_t *db = NULL;
	hs_compile_error_t *bad = NULL;
	if (!prepare(c, items, count) || c->patterns > TEXT_PATTERNS)
		return NULL;
	hs_error_t rc = c->patterns ?
		hs_compile_multi(c->text, c->flags, c->ids, (unsigned)count, HS_MODE_BLOCK, NULL, &db, &bad) :
		hs_compile_lit_multi(c->text, c->flags, c->ids, c->len, (unsigned)count, HS_MODE_BLOCK, NULL, &db, &bad);
	hs_free_compile_error(bad);
	return rc == HS_SUCCESS ? db : NULL;
}

static hs_database_t *database(const struct text_item *items, size_t count)
{
	struct compiling c = { malloc((count + 1) * sizeof(char *)), calloc(count + 1, sizeof(char *)),
		malloc((count + 1) * sizeof(size_t)), malloc((count + 1) * sizeof(unsigned)),
		malloc((count + 1) * sizeof(unsigned)), 0 };
	hs_database_t *db = c.text && c.own && c.len && c.flags && c.ids ? compile(&c, items, count) : NULL;
	for (size_t i = 0; c.own && i < count; i++)
		free(c.own[i]);
	free(c.text);
	free(c.own);
	free(c.len);
	free(c.flags);
	free(c.ids);
	return db;
}

static void join_fronts(struct text *t, const struct text_item *items, size_t count)
{
	t->front.least = SIZE_MAX;
	for (size_t i = 0; i < count; i++) {
		const struct regex_front *f = items[i].pattern ? regex_front(items[i].pattern) : &(struct regex_front){ SIZE_MAX, { 0 } };
		t->front.least = f->least < t->front.least ? f->least : t->front.least;
		for (unsigned k = 0; k < 4; k++)
			t->front.first[k] |= f->first[k];
	}
}

struct text *text_frozen(const struct text_item *items, size_t count)
{
	struct text *t = count > TABLE_MOST ? calloc(1, sizeof *t) : text_quick(items, count);
	size_t size = 0;
	if (t && count > TABLE_MOST)
		t->least = SIZE_MAX;
	if (t && (t->db = database(items, count)) && hs_database_size(t->db, &size) == HS_SUCCESS) {
		join_fronts(t, items, count);
		t->bytes += size;
		return t;
	}
	text_free(t);
	return NULL;
}

void text_free(struct text *t)
{
	if (!t)
		return;
	hs_free_database(t->db);
	free(t->head);
	free(t->bits);
	free(t->gram);
	free(t->piece);
	free(t->lits);
	free(t);
}

size_t text_bytes(const struct text *t)
{
	return t->bytes;
}

static bool same(struct rf_str lit, const char *p)
{
	size_t i = 0;
	while (i < lit.n && (char)(p[i] | (char)DULL) == lit.p[i])
		i++;
	return i == lit.n;
}

/* All literals with a gram that is at byte i. */
static __attribute__((noinline)) void look(const struct text *t, struct rf_str s, size_t i, uint32_t gram, const struct text_found *f)
{
	for (uint32_t k = t->head[hash(gram) >> t->shift]; k != NONE; k = t->gram[k].next) {
		const struct gram *g = &t->gram[k];
		const struct piece *p = &t->piece[g->piece];
		if (g->bytes == gram && i >= g->at && s.n - (i - g->at) >= p->lit.n && same(p->lit, s.p + i - g->at))
			f->found(f->ctx, p->key);
	}
}

/* With a width that the compiler knows. */
static inline void scan_by(const struct text *t, struct rf_str s, unsigned width, const struct text_found *f)
{
	const uint64_t *bits = t->bits;
	const unsigned shift = t->bits_shift;
	const size_t step = t->step;
	for (size_t i = 0, last = s.n - width; i <= last; i += step) {
		uint32_t gram = gram_at(s.p + i, width), bit = hash(gram) >> shift;
		if (__builtin_expect(bits[bit / 64] >> bit % 64 & 1, 0))
			look(t, s, i, gram, f);
	}
}

/* A text that is as long as the shortest literal. */
static __attribute__((noinline)) int scan_table(const struct text *t, struct rf_str s, const struct text_found *f)
{
	if (t->width == 4)
		scan_by(t, s, 4, f);
	else
		scan_by(t, s, 3, f);
	return RF_OK;
}

/* Vectors as the compiler makes them of what the processor has. */
typedef uint32_t lanes __attribute__((vector_size(4 * LANES)));
typedef uint64_t halves __attribute__((vector_size(4 * LANES)));

static inline lanes dulled(const char *p)
{
	lanes v;
	memcpy(&v, p, sizeof v);
	return v | DULL;
}

/* Not 0 where a lane of either is one of the grams. */
static inline lanes few_in(const struct text *t, lanes a, lanes b)
{
	lanes hit = { 0 }, gram;
	for (size_t i = 0; i < t->few; i += LANES)
		for (size_t k = 0; k < LANES; k++) {
			memcpy(&gram, t->few_gram[i + k], sizeof gram);
			hit |= (lanes)(a == gram) | (lanes)(b == gram);
		}
	return hit;
}

/* The first and the last steps of less than a vector. */
static inline lanes few_in_short(const struct text *t, struct rf_str s)
{
	uint64_t first = 0, last;
	if (s.n < sizeof first) {
		uint32_t only;
		memcpy(&only, s.p, sizeof only);
		first = last = only;
	} else {
		memcpy(&first, s.p, sizeof first);
		memcpy(&last, s.p + ((s.n - sizeof last) & ~(size_t)(LANES - 1)), sizeof last);
	}
	lanes v = (lanes)(halves){ first, last } | DULL;
	return few_in(t, v, v);
}

/* Whether one of few grams is at a step of a text, which is as long as the shortest literal. Vectors of its end lie on steps as
 * well, and so over those before them. */
static inline bool few_has(const struct text *t, struct rf_str s)
{
	const size_t size = sizeof(lanes), steps = ~(size_t)(LANES - 1);
	lanes hit = { 0 };
	if (s.n < size) {
		hit = few_in_short(t, s);
	} else if (s.n < 2 * size) {
		hit = few_in(t, dulled(s.p), dulled(s.p + ((s.n - size) & steps)));
	} else {
		size_t end = (s.n - 2 * size) & steps;
		for (size_t i = 0; i < end; i += 2 * size)
			hit |= few_in(t, dulled(s.p + i), dulled(s.p + i + size));
		hit |= few_in(t, dulled(s.p + end), dulled(s.p + end + size));
	}
	halves both = (halves)hit;
	return both[0] | both[1];
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *ctx)
{
	const struct text_found *f = ctx;
	(void)from, (void)to, (void)flags;
	f->found(f->ctx, id);
	return 0;
}

int text_scan(const struct text *t, struct rf_str s, const struct text_found *f)
{
	if (t->db && (s.n > (size_t)STEPS_SHORT * t->step || regex_front_has(&t->front, s)))
		return regex_scan(t->db, s, on_match, (void *)(uintptr_t)f);
	if (s.n < t->least || (t->few && !few_has(t, s)))
		return RF_OK;
	return scan_table(t, s, f);
}
