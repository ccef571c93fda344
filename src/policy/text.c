/* policy/text: see text.h.
 *
 * Few literals: for each, two bytes of it that stand some apart are compared with sixteen places of the text at once.
 * Quick: literals in lower case -> for each the four bytes (three, where a literal is that short) that the fewest others
 * have chosen -> a table from such bytes to a chain of literals, and a bitmap before it that most bytes of a text do not
 * pass.
 */
#include "policy/text.h"
#include <hs.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/err.h"
#include "policy/regex.h"

typedef uint8_t sixteen __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint64_t two __attribute__((vector_size(16), may_alias));

enum { NONE = UINT32_MAX, NEAR_TEXT = 512, VECTOR = 16 };

struct piece {
	struct rf_str lit; /* in lower case */
	uint32_t gram, key, next;
	uint32_t at;       /* where its gram is */
};

struct text {
	hs_database_t *db; /* frozen: ids are keys */
	size_t bytes;
	/* quick */
	unsigned width, shift; /* bytes of a gram; of the hash */
	uint32_t *head;        /* chains by hash */
	uint64_t *bits;
	unsigned bits_shift;
	char *lits;
	struct piece *piece;
	size_t few;            /* so many pieces, which are compared one by one; else 0 */
};

static uint32_t gram_of(const char *p, unsigned width)
{
	uint32_t v = 0;
	memcpy(&v, p, 4);
	return width == 4 ? v : v & 0xffffff;
}

static uint32_t spread(uint32_t gram)
{
	return gram * 0x9e3779b1u ^ gram >> 15;
}

static uint32_t slot(const struct text *t, uint32_t gram)
{
	return spread(gram) * 0x85ebca6bu >> t->shift;
}

static uint32_t bit(const struct text *t, uint32_t gram)
{
	return spread(gram) * 0xc2b2ae35u >> t->bits_shift;
}

/* Room for all, the literals in lower case with three bytes behind the last. */
static bool make_room(struct text *t, const struct text_item *items, size_t count)
{
	size_t bytes = 4;
	unsigned log = 6;
	t->width = 4;
	for (size_t i = 0; i < count; i++) {
		bytes += items[i].lit.n;
		if (items[i].lit.n < 4)
			t->width = 3;
	}
	while (log < 27 && (size_t)1 << log < count * 2)
		log++;
	t->shift = 32 - log;
	t->bits_shift = 32 - log - 4;
	t->head = malloc(sizeof *t->head << log);
	t->bits = calloc((size_t)1 << (log + 4 - 6), sizeof *t->bits);
	t->lits = malloc(bytes);
	t->piece = malloc((count + 1) * sizeof *t->piece);
	t->bytes = (sizeof *t->head << log) + ((size_t)2 << log) + bytes + count * sizeof *t->piece;
	if (!t->head || !t->bits || !t->lits || !t->piece)
		return false;
	memset(t->head, 0xff, sizeof *t->head << log);
	memset(t->lits + bytes - 4, 0, 4);
	return true;
}

static unsigned chain(const struct text *t, uint32_t gram)
{
	unsigned n = 0;
	for (uint32_t i = t->head[slot(t, gram)]; i != NONE && n < 64; i = t->piece[i].next)
		n++;
	return n;
}

static void put(struct text *t, uint32_t at, const struct text_item *item, char *to)
{
	struct piece *p = &t->piece[at];
	unsigned least = UINT32_MAX;
	*p = (struct piece){ .lit = { to, item->lit.n }, .key = item->key };
	for (size_t i = 0; i < item->lit.n; i++)
		to[i] = (char)rf_lower((unsigned char)item->lit.p[i]);
	for (uint32_t i = 0; i + t->width <= item->lit.n && least; i++) {
		char four[4] = { 0 };
		memcpy(four, to + i, t->width);
		uint32_t gram = gram_of(four, t->width);
		unsigned others = chain(t, gram);
		if (others < least) {
			least = others;
			p->gram = gram;
			p->at = i;
		}
	}
	uint32_t *head = &t->head[slot(t, p->gram)], b = bit(t, p->gram);
	p->next = *head;
	*head = at;
	t->bits[b / 64] |= 1ull << b % 64;
}

struct text *text_quick(const struct text_item *items, size_t count)
{
	struct text *t = calloc(1, sizeof *t);
	if (!t || !make_room(t, items, count)) {
		text_free(t);
		return NULL;
	}
	char *to = t->lits;
	t->few = count <= TEXT_FEW ? count : 0;
	for (size_t i = 0; i < count; i++) {
		put(t, (uint32_t)i, &items[i], to);
		to += items[i].lit.n;
	}
	return t;
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
		c->patterns += items[i].pattern;
	for (size_t i = 0; i < count; i++) {
		c->ids[i] = items[i].key;
		c->len[i] = items[i].lit.n;
		c->flags[i] = items[i].pattern ? HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY : HS_FLAG_CASELESS;
		c->text[i] = items[i].lit.p;
		if (!c->patterns)
			continue;
		c->own[i] = items[i].pattern ? strndup(items[i].lit.p, items[i].lit.n) : escaped(items[i].lit);
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

struct text *text_frozen(const struct text_item *items, size_t count)
{
	struct compiling c = { malloc((count + 1) * sizeof(char *)), calloc(count + 1, sizeof(char *)),
		malloc((count + 1) * sizeof(size_t)), malloc((count + 1) * sizeof(unsigned)),
		malloc((count + 1) * sizeof(unsigned)), 0 };
	struct text *t = calloc(1, sizeof *t);
	if (t && c.text && c.own && c.len && c.flags && c.ids)
		t->db = compile(&c, items, count);
	for (size_t i = 0; c.own && i < count; i++)
		free(c.own[i]);
	free(c.text);
	free(c.own);
	free(c.len);
	free(c.flags);
	free(c.ids);
	if (t && t->db && hs_database_size(t->db, &t->bytes) == HS_SUCCESS)
		return t;
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
	free(t->lits);
	free(t->piece);
	free(t);
}

size_t text_bytes(const struct text *t)
{
	return t->bytes;
}

struct hits {
	text_found *found;
	void *ctx;
};

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *ctx)
{
	struct hits *h = ctx;
	(void)from, (void)to, (void)flags;
	h->found(h->ctx, id);
	return 0;
}

/* All literals whose gram is at byte i. */
static void look(const struct text *t, const char *low, size_t n, size_t i, uint32_t gram, struct hits *h)
{
	for (uint32_t k = t->head[slot(t, gram)]; k != NONE; k = t->piece[k].next) {
		const struct piece *p = &t->piece[k];
		if (p->gram == gram && i >= p->at && n - (i - p->at) >= p->lit.n &&
			memcmp(low + i - p->at, p->lit.p, p->lit.n) == 0)
			h->found(h->ctx, p->key);
	}
}

static bool any(sixteen v)
{
	two w = (two)v;
	return w[0] | w[1];
}

/* In lower case, with zeros behind. */
static void fold(char *low, struct rf_str s)
{
	const sixteen none = { 0 };
	memcpy(low, s.p, s.n);
	*(sixteen *)(low + s.n) = none;
	*(sixteen *)(low + s.n + VECTOR) = none;
	for (size_t i = 0; i < s.n; i += VECTOR) {
		sixteen v = *(const sixteen *)(low + i), upper = (v - 'A') < 26;
		*(sixteen *)(low + i) = v | (upper & 0x20);
	}
}

/* Whether a piece is in the text: where the first and the last byte of its gram stand right, the rest is compared. */
static bool has(const struct text *t, const char *low, size_t n, const struct piece *p)
{
	const char *gram = p->lit.p + p->at;
	unsigned last = t->width - 1;
	sixteen a = (sixteen){ 0 } + (uint8_t)gram[0], b = (sixteen){ 0 } + (uint8_t)gram[last];
	for (size_t i = p->at; i + p->lit.n - p->at <= n; i += VECTOR) {
		sixteen hit = (sixteen)((*(const sixteen *)(low + i) == a) & (*(const sixteen *)(low + i + last) == b));
		if (!any(hit))
			continue;
		for (size_t k = 0; k < VECTOR && i + k + p->lit.n - p->at <= n; k++)
			if (hit[k] && memcmp(low + i + k - p->at, p->lit.p, p->lit.n) == 0)
				return true;
	}
	return false;
}

static void scan_few(const struct text *t, const char *low, size_t n, struct hits *h)
{
	for (size_t i = 0; i < t->few; i++)
		if (has(t, low, n, &t->piece[i]))
			h->found(h->ctx, t->piece[i].key);
}

static void scan_grams(const struct text *t, const char *low, size_t n, struct hits *h)
{
	for (size_t i = 0; i + t->width <= n; i++) {
		uint32_t gram = gram_of(low + i, t->width), b = bit(t, gram);
		if (t->bits[b / 64] >> b % 64 & 1)
			look(t, low, n, i, gram, h);
	}
}

int text_scan(const struct text *t, struct rf_str s, struct rf_arena *arena, text_found *found, void *ctx)
{
	struct hits h = { found, ctx };
	if (t->db)
		return regex_scan(t->db, s, on_match, &h);
	char near_text[NEAR_TEXT + 2 * VECTOR], *low = near_text;
	if (s.n < t->width)
		return RF_OK;
	if (s.n > NEAR_TEXT && !(low = rf_arena_alloc(arena, s.n + 2 * VECTOR)))
		return RF_E_NOMEM;
	fold(low, s);
	if (t->few)
		scan_few(t, low, s.n, &h);
	else
		scan_grams(t, low, s.n, &h);
	return RF_OK;
}
