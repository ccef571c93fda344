/* api/rule_diff: all rules of a ruleset replaced, writing only the rows that differ.
 *
 * The stored rules are read -> each rule of the request finds its older self by id, by ref, or, without a ref, by
 * content -> the longest run of rules whose order did not change keeps its places, the others get places between
 * them -> rows whose document or place differs are put, those that no rule found are deleted.
 *
 * Not here: what is compiled (ctl), undoing (ruleset_versions.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/rulesets.h"
#include "base/list.h"
#include "base/map.h"

struct stored {
	struct rf_map_node by_id, by_ref, by_content;
	struct stored *same;   /* the next of the same content */
	struct stored *last;   /* of the first of a content: the last */
	char id[33];
	uint64_t content;
	int64_t place;
	json_t *doc;
	bool taken;
};

struct wanted {
	json_t *doc;            /* of the request */
	struct stored *old;     /* NULL: new */
	int64_t place;
	bool keeps;             /* its old place */
};

struct diff {
	struct rf_api_call *c;
	struct rf_ruleset_change *ch;
	struct stored **old;
	size_t old_count, old_cap;
	struct rf_map ids, refs, contents;
	struct wanted *now;
	size_t count;
};

static int no_memory(struct rf_api_call *c)
{
	return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
}

/* --- what is stored --- */

/* Chains keep the order of places: rules of one content are found in it. */
static void add_content(struct diff *d, struct stored *s)
{
	s->content = rf_rule_content(s->doc);
	struct rf_str key = { (const char *)&s->content, sizeof s->content };
	struct rf_map_node *there = rf_map_add(&d->contents, &s->by_content, key);
	struct stored *first = there ? RF_CONTAINER(there, struct stored, by_content) : s;
	if (there)
		first->last->same = s;
	first->last = s;
}

static int read_one(const struct rf_object *o, void *arg)
{
	struct diff *d = arg;
	if (d->old_count == d->old_cap) {
		size_t cap = d->old_cap ? d->old_cap * 2 : 64;
		struct stored **v = realloc(d->old, cap * sizeof(struct stored *));
		if (!v)
			return no_memory(d->c);
		d->old = v;
		d->old_cap = cap;
	}
	struct stored *s = calloc(1, sizeof *s);
	if (!s)
		return no_memory(d->c);
	d->old[d->old_count++] = s;
	memcpy(s->id, o->id, sizeof s->id);
	s->place = o->place;
	s->doc = json_incref(o->doc);
	rf_map_add(&d->ids, &s->by_id, rf_str_z(s->id));
	rf_map_add(&d->refs, &s->by_ref, rf_str_z(rf_json_text(s->doc, "ref")));
	return RF_OK;
}

static int read_old(struct diff *d)
{
	struct rf_store_query q = { .parent = d->ch->head.id, .by_place = true };
	int rc = d->ch->fresh ? RF_OK : rf_store_list(d->c->store, RF_KIND_RULE, &q, read_one, d, NULL, &d->c->err);
	for (size_t i = 0; rc == RF_OK && i < d->old_count; i++)
		add_content(d, d->old[i]);
	return rc;
}

static void diff_fini(struct diff *d)
{
	for (size_t i = 0; i < d->old_count; i++) {
		json_decref(d->old[i]->doc);
		free(d->old[i]);
	}
	rf_map_fini(&d->ids);
	rf_map_fini(&d->refs);
	rf_map_fini(&d->contents);
	free(d->old);
	free(d->now);
}

/* --- which is which --- */

static struct stored *by_name(const struct diff *d, const json_t *rule)
{
	const char *id = rf_json_text(rule, "id"), *ref = rf_json_text(rule, "ref");
	struct rf_map_node *n = id[0] && d->ids.count ? rf_map_find(&d->ids, rf_str_z(id)) : NULL;
	if (n)
		return RF_CONTAINER(n, struct stored, by_id);
	n = ref[0] && d->refs.count ? rf_map_find(&d->refs, rf_str_z(ref)) : NULL;
	return n ? RF_CONTAINER(n, struct stored, by_ref) : NULL;
}

/* A stored rule of the same content that no rule of the request names, and that has no name of its own. */
static struct stored *by_content(const struct diff *d, const json_t *rule)
{
	uint64_t content = rf_rule_content(rule);
	struct rf_map_node *n = d->contents.count ?
		rf_map_find(&d->contents, (struct rf_str){ (const char *)&content, sizeof content }) : NULL;
	struct stored *first = n ? RF_CONTAINER(n, struct stored, by_content) : NULL;
	struct stored **at = first ? &first->same : NULL, *s = first;
	while (s && (s->taken || strcmp(rf_json_text(s->doc, "ref"), s->id) != 0)) {
		if (s != first)
			*at = s->same; /* not looked at again */
		s = *at;
	}
	return s;
}

static int match(struct diff *d)
{
	for (size_t i = 0; i < d->count; i++) {
		struct wanted *w = &d->now[i];
		w->old = by_name(d, w->doc);
		if (w->old && w->old->taken) {
			char at[48];
			snprintf(at, sizeof at, "/rules/%zu/id", i);
			return rf_api_fail(d->c, RF_E_INVALID, at, "two rules have the same id or ref");
		}
		if (w->old)
			w->old->taken = true;
	}
	for (size_t i = 0; i < d->count; i++) {
		struct wanted *w = &d->now[i];
		if (w->old || rf_json_text(w->doc, "ref")[0])
			continue;
		w->old = by_content(d, w->doc);
		if (w->old)
			w->old->taken = true;
	}
	return RF_OK;
}

/* --- places --- */

/* Mark the longest run of rules in which old places grow: a classic patience sort. */
static int keep_places(struct diff *d)
{
	size_t *tail = calloc(d->count + 1, sizeof *tail), *prev = calloc(d->count + 1, sizeof *prev), length = 0;
	if (!tail || !prev) {
		free(tail);
		free(prev);
		return no_memory(d->c);
	}
	for (size_t i = 0; i < d->count; i++) {
		if (!d->now[i].old)
			continue;
		size_t lo = 0, hi = length;
		while (lo < hi) {
			size_t mid = (lo + hi) / 2;
			if (d->now[tail[mid]].old->place < d->now[i].old->place)
				lo = mid + 1;
			else
				hi = mid;
		}
		prev[i] = lo ? tail[lo - 1] : i;
		tail[lo] = i;
		length += lo == length;
	}
	for (size_t i = length ? tail[length - 1] : 0, n = length; n > 0; n--, i = prev[i]) {
		d->now[i].keeps = true;
		d->now[i].place = d->now[i].old->place;
	}
	free(tail);
	free(prev);
	return RF_OK;
}

/* Places for now[from..to) between those around; false without room. */
static bool fill(struct diff *d, size_t from, size_t to)
{
	int64_t n = (int64_t)(to - from), step = RF_RULE_GAP;
	int64_t lo = from ? d->now[from - 1].place : 0, hi = to < d->count ? d->now[to].place : 0;
	if (from && to < d->count)
		step = (hi - lo) / (n + 1);
	else if (to < d->count)
		lo = hi - (n + 1) * step;
	for (size_t i = from; i < to; i++)
		d->now[i].place = lo += step;
	return step > 0 && lo < (int64_t)1 << 60 && lo > -((int64_t)1 << 60);
}

static int place_all(struct diff *d)
{
	int rc = keep_places(d);
	bool room = true;
	for (size_t i = 0, end; rc == RF_OK && i < d->count; i = end + 1) {
		for (end = i; end < d->count && !d->now[end].keeps;)
			end++;
		room = room && (end == i || fill(d, i, end));
	}
	for (size_t i = 0; !room && i < d->count; i++) {
		d->now[i].place = (int64_t)i * RF_RULE_GAP;
		d->now[i].keeps = d->now[i].old && d->now[i].old->place == d->now[i].place;
	}
	return rc;
}

/* --- rows --- */

/* A ref that was a rule's own id follows from it; two rules of the request must not share one. */
static int number(struct diff *d, bool *changed)
{
	json_t *seen = json_object();
	int rc = seen ? RF_OK : no_memory(d->c);
	for (size_t i = 0; i < d->count && rc == RF_OK; i++) {
		struct wanted *w = &d->now[i];
		char id[33], at[48];
		if (w->old)
			memcpy(id, w->old->id, sizeof id);
		else
			rc = rf_store_draw_id(d->c->store, id, &d->c->err);
		if (rc != RF_OK)
			break;
		changed[i] = rf_rule_number(w->doc, id, w->old ? w->old->doc : NULL, d->ch->now);
		const char *ref = rf_json_text(w->doc, "ref");
		snprintf(at, sizeof at, "/rules/%zu/ref", i);
		if (json_object_get(seen, ref))
			rc = rf_api_fail(d->c, RF_E_INVALID, at, "two rules have the same id or ref");
		else if (json_object_set_new(seen, ref, json_true()) != 0)
			rc = no_memory(d->c);
	}
	json_decref(seen);
	return rc;
}

static int put_one(struct diff *d, struct wanted *w, bool changed)
{
	if (!changed)
		return w->keeps ? RF_OK : rf_change_move(d->c, d->ch, w->old->id, w->old->place, w->place);
	RF_OBJECT_AUTO row = { .doc = json_incref(w->doc), .place = w->place };
	snprintf(row.id, sizeof row.id, "%s", rf_json_text(w->doc, "id"));
	return rf_change_put(d->c, d->ch, &row, w->old ? w->old->doc : NULL, w->old ? w->old->place : 0);
}

static int write_rows(struct diff *d, const bool *changed)
{
	size_t rows = 0;
	int rc = RF_OK;
	for (size_t i = 0; i < d->old_count; i++)
		rows += !d->old[i]->taken;
	for (size_t i = 0; i < d->count; i++)
		rows += changed[i] || !d->now[i].keeps;
	d->ch->whole |= rows > RF_RULESET_EACH;
	for (size_t i = 0; i < d->old_count && rc == RF_OK; i++)
		if (!d->old[i]->taken)
			rc = rf_change_del(d->c, d->ch, d->old[i]->id, d->old[i]->doc, d->old[i]->place);
	for (size_t i = 0; i < d->count && rc == RF_OK; i++)
		rc = put_one(d, &d->now[i], changed[i]);
	return rc;
}

int rf_rules_replace(struct rf_api_call *c, struct rf_ruleset_change *ch, json_t *rules)
{
	struct diff d = { .c = c, .ch = ch, .count = json_array_size(rules) };
	bool *changed = calloc(d.count + 1, sizeof *changed);
	d.now = calloc(d.count + 1, sizeof *d.now);
	int rc = d.now && changed ? read_old(&d) : no_memory(c);
	for (size_t i = 0; rc == RF_OK && i < d.count; i++)
		d.now[i].doc = json_array_get(rules, i);
	if (rc == RF_OK)
		rc = match(&d);
	if (rc == RF_OK)
		rc = place_all(&d);
	if (rc == RF_OK)
		rc = number(&d, changed);
	if (rc == RF_OK)
		rc = write_rows(&d, changed);
	diff_fini(&d);
	free(changed);
	return rc;
}
