/* policy/warm: see warm.h. An expression is only scanned: a string behind `matches` or `~` is a pattern. */
#include "policy/warm.h"
#include <stdlib.h>
#include "base/room.h"
#include "base/way.h"
#include "policy/lex.h"
#include "policy/regex.h"

enum { MEMORY = 256 << 10, DEPTH = 32, PIECE = 64 << 10, BLOCK = 256 };

static bool stopped(const struct rf_warm *w) { return w->stop && atomic_load_explicit(w->stop, memory_order_relaxed); }

static void hold(struct rf_warm *w, struct rf_str pattern)
{
	struct rf_err e;
	size_t at;
	if (!RF_ROOM(w->v, w->room, w->n))
		return;
	if (regex_make(pattern, &w->v[w->n], &at, &e) == RF_OK)
		w->n++;
}

void rf_warm_expression(struct rf_warm *w, struct rf_str text)
{
	struct rf_err e;
	struct rf_arena arena;
	struct lexer l = { .text = text, .arena = &arena, .e = &e };
	struct rf_str s;
	rf_arena_init(&arena, MEMORY);
	while (!lex_end(&l) && !stopped(w)) {
		bool pattern = lex_mark(&l, "~") || lex_word(&l, "matches");
		if (lex_at_string(&l)) {
			if (lex_string(&l, pattern, &s) != RF_OK)
				break;
			if (pattern)
				hold(w, s);
		} else if (!pattern && !lex_name(&l, &s)) {
			l.at++;
		}
	}
	rf_arena_fini(&arena);
}

static void walk(struct rf_warm *w, const json_t *v, unsigned depth);

static void pack(struct rf_warm *w, struct rf_str file, unsigned depth)
{
	struct rf_str payload = rf_str_skip(file, rf_str_find(file, '\n') + 1);
	json_t *j = rf_str_starts(file, RF_STR("ringfence-pack ")) && payload.n ? json_loadb(payload.p, payload.n, 0, NULL) : NULL;
	walk(w, j, depth + 1);
	json_decref(j);
}

static void member(struct rf_warm *w, struct rf_str name, const json_t *v, unsigned depth)
{
	struct rf_str text = { json_string_value(v), json_string_length(v) };
	if (!json_is_string(v))
		walk(w, v, depth + 1);
	else if (rf_str_ends(name, RF_STR("expression")))
		rf_warm_expression(w, text);
	else if (rf_str_eq(name, RF_STR("file")))
		pack(w, text, depth);
}

static void walk(struct rf_warm *w, const json_t *v, unsigned depth)
{
	const char *name;
	json_t *one;
	size_t i;
	if (depth > DEPTH)
		return;
	json_object_foreach((json_t *)(uintptr_t)v, name, one)
		member(w, rf_str_z(name), one, depth);
	json_array_foreach(v, i, one)
		walk(w, one, depth + 1);
}

void rf_warm_doc(struct rf_warm *w, const json_t *doc) { walk(w, doc, 0); }

/* Whether a block, and the byte behind it, may have what begins a pattern: most have not, which one pass by many bytes at once tells. */
static bool block_may(const char *p)
{
	unsigned char found = 0;
	for (int i = 0; i < BLOCK; i++)
		found |= (unsigned char)((p[i] == '~') | ((p[i] == 't') & (p[i + 1] == 'c')));
	return found;
}

static bool may(struct rf_str piece)
{
	if (piece.n <= BLOCK)
		return true;
	for (size_t at = 0; at + BLOCK < piece.n; at += BLOCK)
		if (block_may(piece.p + at))
			return true;
	return block_may(piece.p + piece.n - BLOCK - 1) || piece.p[piece.n - 1] == '~';
}

bool rf_warm_worth(struct rf_str text)
{
	static const struct rf_str word = { "matches", 7 };
	for (; text.n; text = rf_str_skip(text, PIECE)) { /* one that lies over an end is found in the piece where it begins */
		struct rf_str piece = { text.p, text.n < PIECE + word.n ? text.n : PIECE + word.n };
		if (may(piece) && (rf_str_search(piece, word) < piece.n || rf_str_find(piece, '~') < piece.n))
			return true;
		rf_way_look();
	}
	return false;
}

void rf_warm_fini(struct rf_warm *w)
{
	while (w->n)
		regex_free(w->v[--w->n]);
	free(w->v);
	w->v = NULL;
	w->room = 0;
}
