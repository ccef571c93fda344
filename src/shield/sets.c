/* shield/sets: see sets.h.
 *
 * A change first puts what is new into the shield, and takes out what is old at the end, so that what is in both is never out.
 */
#include "shield/sets.h"
#include <stdlib.h>
#include "base/list.h"
#include "base/map.h"

struct single { /* a rule about a prefix */
	struct rf_map_node node;
	uint8_t key[18];
};

struct layer {
	struct rf_network *v; /* sorted, none within another */
	size_t n;
};

struct rf_sets {
	struct rf_shield *shield;
	struct rf_map singles;
	uint32_t of_length[2][129]; /* singles of IPv4, of IPv6 */
	struct layer layers[RF_LAYERS];
};

static int compare(const struct rf_prefix *a, const struct rf_prefix *b)
{
	int c = rf_ip_cmp(&a->ip, &b->ip);
	return c ? c : (int)a->bits - (int)b->bits;
}

static int by_place(const void *a, const void *b)
{
	return compare(&((const struct rf_network *)a)->at, &((const struct rf_network *)b)->at);
}

static bool within(const struct rf_prefix *inner, const struct rf_prefix *outer)
{
	return inner->bits >= outer->bits && rf_prefix_has(outer, &inner->ip);
}

static struct rf_str key_of(const struct rf_prefix *at, uint8_t to[18])
{
	to[0] = at->ip.family;
	to[1] = at->bits;
	memcpy(to + 2, at->ip.b, 16);
	return (struct rf_str){ (const char *)to, 18 };
}

static struct single *single_at(const struct rf_sets *s, const struct rf_prefix *at)
{
	uint8_t key[18];
	struct rf_map_node *n = rf_map_find(&s->singles, key_of(at, key));
	return n ? RF_CONTAINER(n, struct single, node) : NULL;
}

/* The first network of the layer that is not before `at`. */
static size_t place_of(const struct layer *l, const struct rf_prefix *at)
{
	size_t low = 0, high = l->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (compare(&l->v[mid].at, at) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool has_around(const struct layer *l, const struct rf_prefix *at)
{
	size_t i = place_of(l, at);
	return (i < l->n && compare(&l->v[i].at, at) == 0) || (i > 0 && within(at, &l->v[i - 1].at));
}

/* Does a rule of a nearer kind hold for all of it? */
static bool covered(const struct rf_sets *s, enum rf_set_layer layer, const struct rf_prefix *at)
{
	for (unsigned bits = 0; bits <= at->bits; bits++) {
		struct rf_prefix around = rf_ip_mask(&at->ip, bits);
		if (s->of_length[at->ip.family == 6][bits] && single_at(s, &around))
			return true;
	}
	return layer == RF_LAYER_COUNTRY && has_around(&s->layers[RF_LAYER_ASN], at);
}

static int into(struct rf_sets *s, struct rf_network *w, struct rf_err *e)
{
	int rc = rf_shield_set(s->shield, &w->at, (enum rf_shield_mode)w->mode, e);
	w->in = rc == RF_OK;
	return rc;
}

/* --- single prefixes --- */

struct rf_sets *rf_sets_new(struct rf_shield *shield)
{
	struct rf_sets *s = calloc(1, sizeof *s);
	if (s)
		s->shield = shield;
	return s;
}

void rf_sets_free(struct rf_sets *s)
{
	if (!s)
		return;
	struct rf_map_node *next;
	for (struct rf_map_node *n = rf_map_next(&s->singles, NULL); n; n = next) {
		next = rf_map_next(&s->singles, n);
		free(RF_CONTAINER(n, struct single, node));
	}
	rf_map_fini(&s->singles);
	for (int i = 0; i < RF_LAYERS; i++)
		free(s->layers[i].v);
	free(s);
}

/* Networks within a prefix that has a rule now leave the shield. */
static void hide(struct rf_sets *s, struct layer *l, const struct rf_prefix *at)
{
	for (size_t i = place_of(l, at); i < l->n && within(&l->v[i].at, at); i++) {
		struct rf_network *w = &l->v[i];
		if (w->in && compare(&w->at, at) != 0) /* where it is the same, the rule stands in its place */
			rf_shield_clear(s->shield, &w->at);
		w->in = false;
	}
}

int rf_sets_put(struct rf_sets *s, const struct rf_prefix *at, enum rf_shield_mode mode, struct rf_err *e)
{
	struct single *made = NULL;
	if (!single_at(s, at) && !(made = calloc(1, sizeof *made)))
		return rf_fail(e, RF_E_NOMEM, "no memory for one more access rule");
	int rc = rf_shield_set(s->shield, at, mode, e);
	if (rc != RF_OK || !made) {
		free(made);
		return rc;
	}
	rf_map_add(&s->singles, &made->node, key_of(at, made->key));
	s->of_length[at->ip.family == 6][at->bits]++;
	for (int i = 0; i < RF_LAYERS; i++)
		hide(s, &s->layers[i], at);
	return RF_OK;
}

/* Networks within a prefix that has no rule any more come into the shield. *ret_same: one of them is that prefix. */
static int uncover(struct rf_sets *s, enum rf_set_layer layer, const struct rf_prefix *at, bool *ret_same, struct rf_err *e)
{
	struct layer *l = &s->layers[layer];
	int rc = RF_OK;
	for (size_t i = place_of(l, at); i < l->n && within(&l->v[i].at, at) && rc == RF_OK; i++) {
		if (l->v[i].in || covered(s, layer, &l->v[i].at))
			continue;
		rc = into(s, &l->v[i], e);
		*ret_same |= rc == RF_OK && compare(&l->v[i].at, at) == 0;
	}
	return rc;
}

int rf_sets_drop(struct rf_sets *s, const struct rf_prefix *at, struct rf_err *e)
{
	struct single *one = single_at(s, at);
	bool same = false;
	int rc = RF_OK;
	if (!one)
		return rf_fail(e, RF_E_NOT_FOUND, "there is no such access rule");
	rf_map_del(&s->singles, &one->node);
	s->of_length[at->ip.family == 6][at->bits]--;
	for (int i = 0; i < RF_LAYERS && rc == RF_OK; i++)
		rc = uncover(s, (enum rf_set_layer)i, at, &same, e);
	if (rc == RF_OK) {
		if (!same)
			rf_shield_clear(s->shield, at);
		free(one);
		return RF_OK;
	}
	rf_map_add(&s->singles, &one->node, key_of(at, one->key));
	s->of_length[at->ip.family == 6][at->bits]++;
	for (int i = 0; i < RF_LAYERS; i++)
		hide(s, &s->layers[i], at);
	return rc;
}

/* --- layers --- */

static struct rf_network *same_in(const struct layer *l, const struct rf_prefix *at)
{
	size_t i = place_of(l, at);
	return i < l->n && compare(&l->v[i].at, at) == 0 ? &l->v[i] : NULL;
}

static bool already(const struct rf_network *was, const struct rf_network *w)
{
	return was && was->in && was->mode == w->mode;
}

/* Take back what the first `n` of `new` have changed of `old`. */
static void take_back(struct rf_sets *s, const struct layer *old, const struct layer *new, size_t n)
{
	struct rf_err e;
	for (size_t i = 0; i < n; i++) {
		const struct rf_network *w = &new->v[i], *was = same_in(old, &w->at);
		if (!w->in || already(was, w))
			continue;
		if (was && was->in)
			rf_shield_set(s->shield, &was->at, (enum rf_shield_mode)was->mode, &e); /* it has its place */
		else
			rf_shield_clear(s->shield, &w->at);
	}
}

static int bring_in(struct rf_sets *s, enum rf_set_layer layer, const struct layer *old, struct layer *new, struct rf_err *e)
{
	for (size_t i = 0; i < new->n; i++) {
		struct rf_network *w = &new->v[i];
		w->in = !covered(s, layer, &w->at);
		if (!w->in || already(same_in(old, &w->at), w))
			continue;
		int rc = into(s, w, e);
		if (rc != RF_OK) {
			take_back(s, old, new, i);
			return rc;
		}
	}
	return RF_OK;
}

/* Another layer before it has changed: what is covered now goes, what is not any more comes. */
static int follow(struct rf_sets *s, enum rf_set_layer layer, struct rf_err *e)
{
	struct layer *l = &s->layers[layer];
	int rc = RF_OK;
	for (size_t i = 0; i < l->n && rc == RF_OK; i++) {
		bool want = !covered(s, layer, &l->v[i].at);
		if (want && !l->v[i].in)
			rc = into(s, &l->v[i], e);
		else if (!want && l->v[i].in) {
			l->v[i].in = false;
			if (!same_in(&s->layers[RF_LAYER_ASN], &l->v[i].at) && !single_at(s, &l->v[i].at))
				rf_shield_clear(s->shield, &l->v[i].at);
		}
	}
	return rc;
}

static void take_out(struct rf_sets *s, enum rf_set_layer layer, const struct layer *old)
{
	for (size_t i = 0; i < old->n; i++) {
		const struct rf_network *w = &old->v[i], *now = same_in(&s->layers[layer], &w->at);
		const struct rf_network *other = same_in(&s->layers[RF_LAYERS - 1 - layer], &w->at);
		if (w->in && !(now && now->in) && !(other && other->in))
			rf_shield_clear(s->shield, &w->at);
	}
}

int rf_sets_fill(struct rf_sets *s, enum rf_set_layer layer, struct rf_network *v, size_t n, struct rf_err *e)
{
	struct layer old = s->layers[layer], new = { v, n };
	struct rf_err unused;
	if (n)
		qsort(v, n, sizeof *v, by_place);
	int rc = n > RF_LAYER_MAX ? rf_fail(e, RF_E_FULL, "%zu networks are more than the %d that are taken", n, RF_LAYER_MAX) :
		bring_in(s, layer, &old, &new, e);
	if (rc != RF_OK) {
		free(v);
		return rc;
	}
	s->layers[layer] = new;
	if (layer == RF_LAYER_ASN && (rc = follow(s, RF_LAYER_COUNTRY, e)) != RF_OK) {
		s->layers[layer] = old;
		take_back(s, &old, &new, n);
		follow(s, RF_LAYER_COUNTRY, &unused); /* what it takes out was not there before; what it puts in was */
		free(v);
		return rc;
	}
	take_out(s, layer, &old);
	free(old.v);
	return RF_OK;
}

size_t rf_sets_count(const struct rf_sets *s, enum rf_set_layer layer) { return s->layers[layer].n; }
