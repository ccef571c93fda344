/* api/rule_place: where a rule stands among the others, as a number, so that putting one between two writes one row.
 *
 * A new rule gets the middle between its neighbours' places. Where they are too close, the rules around are spread
 * evenly over the smallest stretch of neighbours that has room: some tens of rows, once in some tens of insertions at
 * one point, and all rows only when places have wandered to the ends of the number range.
 *
 * Invariants: places of a ruleset differ; they stay within +-PLACE_MAX.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/rulesets.h"

enum { STRETCH = 16, CLOSE = 256 };
static const int64_t PLACE_MAX = (int64_t)1 << 60;

/* The neighbours of a gap; a missing one means the end. */
struct gap {
	struct rf_placed lo, hi;
	bool has_lo, has_hi;
};

/* The nearest rule to a place on one side, but not `self`. */
static int nearest(struct rf_api_call *c, const char *set, int64_t place, bool before, const char *self,
		   struct rf_placed *ret, bool *ret_has)
{
	struct rf_placed two[2];
	size_t n = 0;
	int rc = rf_store_beside(c->store, RF_KIND_RULE, set, place, before, two, 2, &n, &c->err);
	size_t i = n && strcmp(two[0].id, self) == 0;
	*ret_has = i < n;
	if (i < n)
		*ret = two[i];
	return rc;
}

/* The gap on one side of a rule. */
static int gap_beside(struct rf_api_call *c, const char *set, const struct rf_placed *anchor, bool before,
		      const char *self, struct gap *g)
{
	if (before) {
		g->hi = *anchor;
		g->has_hi = true;
		return nearest(c, set, anchor->place, true, self, &g->lo, &g->has_lo);
	}
	g->lo = *anchor;
	g->has_lo = true;
	return nearest(c, set, anchor->place, false, self, &g->hi, &g->has_hi);
}

static int gap_at_rule(struct rf_api_call *c, const char *set, const char *id, bool before, const char *self,
		       struct gap *g)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_store_get(c->store, RF_KIND_RULE, id, &o, &c->err);
	if (rc == RF_E_NOT_FOUND || (rc == RF_OK && (strcmp(o.parent, set) != 0 || strcmp(id, self) == 0)))
		return rf_api_fail(c, RF_E_INVALID, before ? "/position/before" : "/position/after",
				   "there is no rule %s in this ruleset", id);
	if (rc != RF_OK)
		return rc;
	struct rf_placed anchor = { .place = o.place };
	memcpy(anchor.id, o.id, sizeof anchor.id);
	return gap_beside(c, set, &anchor, before, self, g);
}

static int take_row(const struct rf_raw_object *o, void *arg)
{
	struct rf_placed *p = arg;
	snprintf(p->id, sizeof p->id, "%s", o->id);
	p->place = o->place;
	return 1;
}

/* Where the rule becomes number `index`, from 1. Walks to it. */
static int gap_at_index(struct rf_api_call *c, const struct rf_object *head, json_int_t index,
			const struct rf_placed *self, struct gap *g)
{
	json_int_t count = json_integer_value(json_object_get(head->doc, "rule_count"));
	bool far = index > count / 2 && index <= count;
	struct rf_placed at = { 0 };
	struct rf_store_query q = { .parent = head->id, .by_place = true, .descending = far, .limit = 1,
				    .offset = (size_t)(far ? count - index : index - 1) };
	int rc = rf_store_scan(c->store, RF_KIND_RULE, &q, take_row, &at, &c->err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return nearest(c, head->id, INT64_MAX, true, self->id, &g->lo, &g->has_lo);
	if (strcmp(at.id, self->id) == 0) { /* it is there already */
		rc = nearest(c, head->id, at.place, true, self->id, &g->lo, &g->has_lo);
		return rc == RF_OK ? nearest(c, head->id, at.place, false, self->id, &g->hi, &g->has_hi) : rc;
	}
	return gap_beside(c, head->id, &at, !self->id[0] || self->place > at.place, self->id, g);
}

static int find_gap(struct rf_api_call *c, const struct rf_object *head, const json_t *position,
		    const struct rf_placed *self, struct gap *g)
{
	const char *before = json_string_value(json_object_get(position, "before"));
	const char *after = json_string_value(json_object_get(position, "after"));
	const json_t *index = json_object_get(position, "index");
	if (!!before + !!after + !!index > 1)
		return rf_api_fail(c, RF_E_INVALID, "/position", "give one of before, after and index");
	if (index)
		return gap_at_index(c, head, json_integer_value(index), self, g);
	if (before && before[0])
		return gap_at_rule(c, head->id, before, true, self->id, g);
	if (after && after[0])
		return gap_at_rule(c, head->id, after, false, self->id, g);
	if (before)
		return nearest(c, head->id, INT64_MIN, false, self->id, &g->hi, &g->has_hi);
	return nearest(c, head->id, INT64_MAX, true, self->id, &g->lo, &g->has_lo);
}

/* The place in a gap. False where it has no room. */
static bool middle(const struct gap *g, int64_t *ret)
{
	if (!g->has_lo && !g->has_hi)
		*ret = 0;
	else if (!g->has_hi)
		*ret = g->lo.place + RF_RULE_GAP;
	else if (!g->has_lo)
		*ret = g->hi.place - RF_RULE_GAP;
	else
		*ret = g->lo.place + (g->hi.place - g->lo.place) / 2;
	bool close = g->has_lo && g->has_hi && g->hi.place - g->lo.place < 2;
	return !close && *ret >= -PLACE_MAX && *ret <= PLACE_MAX;
}

/* Neighbours of the gap on one side, nearest first, without `self`; the last of them stays where there are more beyond. */
struct side {
	struct rf_placed *v;
	size_t n;
	bool more;
};

static int load_side(struct rf_api_call *c, const char *set, int64_t from, bool before, const char *self, size_t room,
		     struct side *s)
{
	free(s->v);
	*s = (struct side){ .v = calloc(room + 2, sizeof *s->v) };
	if (!s->v)
		return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
	int rc = rf_store_beside(c->store, RF_KIND_RULE, set, from, before, s->v, room + 2, &s->n, &c->err);
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->v[i].id, self) == 0) {
			memmove(&s->v[i], &s->v[i + 1], (--s->n - i) * sizeof *s->v);
			break;
		}
	s->more = s->n > room;
	if (s->more)
		s->n = room;
	return rc;
}

/* Bounds of the stretch, exclusive. False where the rules would stand too close, or too far out. */
static bool stretch(const struct side *lo, const struct side *hi, int64_t *ret_first, int64_t *ret_step)
{
	int64_t count = (int64_t)(lo->n + hi->n + 1), span = (count + 1) * RF_RULE_GAP;
	int64_t from = lo->more ? lo->v[lo->n].place : 0, to = hi->more ? hi->v[hi->n].place : 0;
	if (!lo->more && !hi->more)
		to = span;
	else if (!lo->more)
		from = to - span;
	else if (!hi->more)
		to = from + span;
	*ret_step = (to - from) / (count + 1);
	*ret_first = from + *ret_step;
	bool all = !lo->more && !hi->more;
	return all || (*ret_step >= CLOSE && from >= -PLACE_MAX && to <= PLACE_MAX);
}

/* Move the neighbours evenly apart and leave room in the gap. */
static int spread(struct rf_api_call *c, struct rf_ruleset_change *ch, const struct gap *g, const char *self, int64_t *ret)
{
	struct side lo = { 0 }, hi = { 0 };
	int64_t first = 0, step = 0;
	int rc = RF_OK;
	size_t room = STRETCH / 2;
	do {
		room *= 2;
		rc = load_side(c, ch->head.id, g->has_lo ? g->lo.place + 1 : INT64_MIN, true, self, room, &lo);
		if (rc == RF_OK)
			rc = load_side(c, ch->head.id, g->has_hi ? g->hi.place - 1 : INT64_MAX, false, self, room, &hi);
	} while (rc == RF_OK && !stretch(&lo, &hi, &first, &step));
	ch->whole |= lo.n + hi.n > RF_RULESET_EACH;
	for (size_t i = lo.n; rc == RF_OK && i-- > 0; first += step)
		rc = rf_change_move(c, ch, lo.v[i].id, first);
	*ret = first;
	first += step;
	for (size_t i = 0; rc == RF_OK && i < hi.n; i++, first += step)
		rc = rf_change_move(c, ch, hi.v[i].id, first);
	free(lo.v);
	free(hi.v);
	return rc;
}

int rf_rule_place(struct rf_api_call *c, struct rf_ruleset_change *ch, const json_t *position,
		  const struct rf_placed *self, int64_t *ret)
{
	struct gap g = { 0 };
	int rc = find_gap(c, &ch->head, position, self, &g);
	if (rc != RF_OK)
		return rc;
	return middle(&g, ret) ? RF_OK : spread(c, ch, &g, self->id, ret);
}
