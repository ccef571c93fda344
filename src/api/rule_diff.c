/* api/rule_diff: all rules of a ruleset replaced, writing only what differs.
 *
 * The stored rules are gone through, as text -> each rule of the request finds its older self by id, by ref, or, without a ref, by
 * content -> the longest run of rules whose order did not change keeps its places, the others get places between them -> a rule of
 * another content is numbered, and its row put; one that no rule found is deleted. Where that is much, all rows are put at once.
 *
 * Content is compared by digests of the texts (policy/rule_text.h). A rule that is not plain and has no equal is compared as a tree.
 *
 * Not here: what is compiled (ctl), undoing (ruleset_versions.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/rulesets.h"
#include "base/hash.h"
#include "base/jw.h"
#include "base/room.h"
#include "base/way.h"

struct stored {
	const char *id, *ref;  /* the store's, as is the text */
	struct rf_str text;
	uint64_t content;
	int64_t place;
	uint32_t same, last;   /* the next of the same content; of the first of a content, the last; plus 1 */
	bool taken;
};

struct wanted {
	struct rf_rule_given *given;
	struct stored *old;    /* NULL: new */
	int64_t place;
	bool keeps;            /* its old place */
	bool changed;          /* its row's document */
	struct rf_str ref;     /* of one that changed */
	size_t from, n;        /* of its document, where all rows are put at once */
};

/* Numbers under hashes, several perhaps under one; those that came first are found first. */
struct lookup {
	uint32_t *slot;        /* plus 1 */
	size_t mask;
};

struct diff {
	struct rf_api_call *c;
	struct rf_ruleset_change *ch;
	struct stored *old;
	size_t old_count, old_cap;
	struct lookup ids, refs, contents;
	struct wanted *now;
	size_t count;
	struct rf_buf texts;
	struct rf_rule_like like; /* of the store */
};

static int no_memory(struct rf_api_call *c)
{
	return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
}

static bool lookup_for(struct lookup *l, size_t n)
{
	size_t slots = 16;
	while (slots < n * 2)
		slots *= 2;
	l->slot = rf_way_calloc(slots, sizeof *l->slot);
	l->mask = slots - 1;
	return l->slot;
}

static void lookup_add(struct lookup *l, uint64_t hash, size_t number)
{
	size_t at = hash & l->mask;
	while (l->slot[at])
		at = (at + 1) & l->mask;
	l->slot[at] = (uint32_t)number + 1;
}

#define EACH_FOUND(at, l, hash) \
	for (size_t at = (hash) & (l)->mask; (l)->slot[at]; at = (at + 1) & (l)->mask)

/* --- what is stored --- */

static uint64_t content_of(const struct rf_raw_object *o, struct rf_rule_like *like)
{
	struct rf_js j = rf_js_over(o->doc);
	struct rf_rule_text t;
	if (!*o->note && rf_rule_text_read(&j, true, like, &t))
		*o->note = t.content;
	return *o->note;
}

static int read_one(const struct rf_raw_object *o, void *arg)
{
	struct diff *d = arg;
	if (!RF_ROOM(d->old, d->old_cap, d->old_count))
		return no_memory(d->c);
	d->old[d->old_count++] = (struct stored){ .id = o->id, .ref = o->name, .text = o->doc, .content = content_of(o, &d->like), .place = o->place };
	return RF_OK;
}

/* Chains keep the order of places: rules of one content are found in it. */
static void add_content(struct diff *d, uint32_t i)
{
	struct stored *s = &d->old[i];
	EACH_FOUND(at, &d->contents, s->content) {
		struct stored *first = &d->old[d->contents.slot[at] - 1];
		if (first->content != s->content)
			continue;
		d->old[first->last - 1].same = i + 1;
		first->last = i + 1;
		return;
	}
	s->last = i + 1;
	lookup_add(&d->contents, s->content, i);
}

static int read_old(struct diff *d)
{
	struct rf_store_query q = { .parent = d->ch->head.id, .by_place = true };
	int rc = d->ch->fresh ? RF_OK : rf_store_scan(d->c->store, RF_KIND_RULE, &q, read_one, d, &d->c->err);
	if (rc != RF_OK)
		return rc;
	if (!lookup_for(&d->ids, d->old_count) || !lookup_for(&d->refs, d->old_count) || !lookup_for(&d->contents, d->old_count))
		return no_memory(d->c);
	bool named = false;
	for (size_t i = 0; i < d->count; i++) {
		rf_way_give();
		named |= d->now[i].given->own_id.n || d->now[i].given->own_ref.n;
	}
	for (size_t i = 0; i < d->old_count; i++) {
		rf_way_give();
		add_content(d, (uint32_t)i);
		if (!named)
			continue;
		lookup_add(&d->ids, rf_hash(rf_str_z(d->old[i].id)), i);
		lookup_add(&d->refs, rf_hash(rf_str_z(d->old[i].ref)), i);
	}
	return RF_OK;
}

static void diff_fini(struct diff *d)
{
	rf_way_free(d->ids.slot);
	rf_way_free(d->refs.slot);
	rf_way_free(d->contents.slot);
	rf_way_free(d->old);
	rf_way_free(d->now);
	rf_buf_fini(&d->texts);
}

/* --- which is which --- */

static struct stored *by_name(const struct diff *d, const struct rf_rule_given *g)
{
	if (g->own_id.n)
		EACH_FOUND(at, &d->ids, rf_hash(g->own_id))
			if (rf_str_eq(g->own_id, rf_str_z(d->old[d->ids.slot[at] - 1].id)))
				return &d->old[d->ids.slot[at] - 1];
	if (g->own_ref.n)
		EACH_FOUND(at, &d->refs, rf_hash(g->own_ref))
			if (rf_str_eq(g->own_ref, rf_str_z(d->old[d->refs.slot[at] - 1].ref)))
				return &d->old[d->refs.slot[at] - 1];
	return NULL;
}

/* A stored rule of the same content that no rule of the request names, and that has no name of its own. */
static struct stored *by_content(const struct diff *d, uint64_t content)
{
	struct stored *first = NULL, *s;
	EACH_FOUND(at, &d->contents, content) {
		s = &d->old[d->contents.slot[at] - 1];
		if (s->content == content) {
			first = s;
			break;
		}
	}
	for (s = first; s && (s->taken || strcmp(s->ref, s->id) != 0); s = s->same ? &d->old[s->same - 1] : NULL)
		if (s != first)
			first->same = s->same; /* not looked at again */
	return s;
}

static int match(struct diff *d)
{
	for (size_t i = 0; i < d->count; i++) {
		struct wanted *w = &d->now[i];
		rf_way_give();
		w->old = by_name(d, w->given);
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
		rf_way_give();
		if (w->old || w->given->own_ref.n || !w->given->text.content)
			continue;
		w->old = by_content(d, w->given->text.content);
		if (w->old)
			w->old->taken = true;
	}
	return RF_OK;
}

/* --- places --- */

/* Mark the longest run of rules in which old places grow: a classic patience sort. */
static int keep_places(struct diff *d)
{
	size_t *tail = rf_way_calloc(d->count + 1, sizeof *tail), *prev = rf_way_calloc(d->count + 1, sizeof *prev), length = 0;
	if (!tail || !prev) {
		free(tail);
		free(prev);
		return no_memory(d->c);
	}
	for (size_t i = 0; i < d->count; i++) {
		rf_way_give();
		if (!d->now[i].old)
			continue;
		size_t lo = 0, hi = length;
		if (hi && d->now[tail[hi - 1]].old->place < d->now[i].old->place)
			lo = hi; /* where they stand as they stood */
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
		rf_way_give();
		d->now[i].keeps = true;
		d->now[i].place = d->now[i].old->place;
	}
	rf_way_free(tail);
	rf_way_free(prev);
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
	for (size_t i = from; i < to; i++) {
		rf_way_give();
		d->now[i].place = lo += step;
	}
	return step > 0 && lo < (int64_t)1 << 60 && lo > -((int64_t)1 << 60);
}

static int place_all(struct diff *d)
{
	int rc = keep_places(d);
	bool room = true;
	for (size_t i = 0, end; rc == RF_OK && i < d->count; i = end + 1) {
		for (end = i; end < d->count && !d->now[end].keeps; end++)
			rf_way_give();
		room = room && (end == i || fill(d, i, end));
	}
	for (size_t i = 0; !room && i < d->count; i++) {
		d->now[i].place = (int64_t)i * RF_RULE_GAP;
		d->now[i].keeps = d->now[i].old && d->now[i].old->place == d->now[i].place;
	}
	return rc;
}

/* --- documents --- */

/* Two rules of the request must not share a ref. One that is a rule's own id is shared by none, but by who gives it as a ref. */
static int check_refs(struct diff *d)
{
	struct lookup seen = { 0 };
	int rc = RF_OK;
	bool named = false;
	for (size_t i = 0; i < d->count; i++) {
		rf_way_give();
		named |= !rf_str_eq(d->now[i].ref, rf_str_z(d->now[i].given->id));
	}
	if (named && !lookup_for(&seen, d->count))
		return no_memory(d->c);
	for (size_t i = 0; i < d->count && named && rc == RF_OK; i++) {
		rf_way_give();
		uint64_t hash = rf_hash(d->now[i].ref);
		char pointer[48];
		snprintf(pointer, sizeof pointer, "/rules/%zu/ref", i);
		EACH_FOUND(at, &seen, hash)
			if (rc == RF_OK && rf_str_eq(d->now[i].ref, d->now[seen.slot[at] - 1].ref))
				rc = rf_api_fail(d->c, RF_E_INVALID, pointer, "two rules have the same id or ref");
		lookup_add(&seen, hash, i);
	}
	rf_way_free(seen.slot);
	return rc;
}

/* A stored rule's document. NULL without memory. */
static json_t *tree_of(const struct stored *s)
{
	json_t *doc = json_loadb(s->text.p, s->text.n, 0, NULL);
	if (doc && rf_store_say(doc, s->id, s->ref))
		return doc;
	json_decref(doc);
	return NULL;
}

/* A rule that has no equal: its tree, numbered. */
static int number_tree(struct diff *d, struct wanted *w)
{
	json_t *old = w->old ? tree_of(w->old) : NULL;
	int rc = w->old && !old ? no_memory(d->c) : rf_rule_tree(d->c, d->c->rules, (size_t)(w->given - d->c->rules->v));
	if (rc == RF_OK) {
		w->changed = rf_rule_number(w->given->doc, w->given->id, old, d->ch->now);
		w->ref = rf_str_z(rf_json_text(w->given->doc, "ref"));
	}
	json_decref(old);
	return rc;
}

/* Who it is, whether its document changes, and, where it does and is not plain, to what. Findings are gathered over all rules. */
static int number(struct diff *d, struct wanted *w)
{
	struct rf_rule_given *g = w->given;
	int rc = RF_OK;
	if (w->old)
		memcpy(g->id, w->old->id, strnlen(w->old->id, sizeof g->id - 1) + 1);
	else
		rc = rf_store_draw_id(d->c->store, g->id, &d->c->err);
	w->ref = g->own_ref.n ? g->own_ref : rf_str_z(w->old ? w->old->ref : g->id);
	if (rc != RF_OK || (w->old && g->text.content && g->text.content == w->old->content && rf_str_eq(w->ref, rf_str_z(w->old->ref))))
		return rc;
	w->changed = true;
	return g->text.plain && !g->doc ? RF_OK : number_tree(d, w);
}

static int number_all(struct diff *d)
{
	int rc = RF_OK;
	for (size_t i = 0; i < d->count && rc == RF_OK; i++) {
		rf_way_give();
		rc = number(d, &d->now[i]);
		if (rc != RF_OK && d->c->errors)
			rc = RF_OK; /* tell of the others too */
	}
	if (rc == RF_OK && d->c->errors)
		rc = d->c->first_error;
	return rc == RF_OK ? check_refs(d) : rc;
}

/* The version of a stored rule, plus 1. */
static long long next_version(const struct stored *old)
{
	struct rf_js j = rf_js_over(old ? old->text : RF_STR("{}"));
	struct rf_rule_text t;
	uint64_t v = 0;
	if (old && rf_rule_text_read(&j, false, NULL, &t))
		rf_str_u64(t.version.raw, &v);
	return (long long)v + 1;
}

/* A plain rule's document: its texts are JSON as they are; id and ref are the row's. */
static void write_plain(struct rf_buf *b, const struct wanted *w, const char *now)
{
	const struct rf_rule_text *t = &w->given->text;
	char version[24];
	if (w->old)
		snprintf(version, sizeof version, "%lld", next_version(w->old));
	const struct rf_str parts[] = { RF_STR("{\"expression\":\""), t->expression.raw, RF_STR("\",\"action\":\""), t->action.raw,
		RF_STR("\",\"description\":\""), t->description.raw, t->disabled ? RF_STR("\",\"enabled\":false,\"version\":\"") :
		RF_STR("\",\"enabled\":true,\"version\":\""), rf_str_z(w->old ? version : "1"), RF_STR("\",\"last_updated\":\""),
		rf_str_z(now), RF_STR("\"}") };
	size_t n = 0;
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		n += parts[i].n;
	char *to = rf_buf_room(b, n);
	for (size_t i = 0; to && i < sizeof parts / sizeof *parts; i++)
		to = parts[i].n ? mempcpy(to, parts[i].p, parts[i].n) : to;
	b->n += to ? n : 0;
}

/* --- few rows --- */

static int put_one(struct diff *d, struct wanted *w)
{
	struct rf_rule_given *g = w->given;
	rf_way_give();
	if (!w->changed)
		return w->keeps ? RF_OK : rf_change_move(d->c, d->ch, w->old->id, w->old->place, w->place);
	int rc = g->doc ? RF_OK : number_tree(d, w);
	if (rc != RF_OK)
		return rc;
	RF_OBJECT_AUTO row = { .doc = json_incref(g->doc), .place = w->place };
	memcpy(row.id, g->id, sizeof row.id);
	json_t *old = w->old ? tree_of(w->old) : NULL;
	rc = w->old && !old ? no_memory(d->c) : rf_change_put(d->c, d->ch, &row, old, w->old ? w->old->place : 0);
	json_decref(old);
	return rc;
}

static int del_one(struct diff *d, const struct stored *s)
{
	rf_way_give();
	json_t *old = tree_of(s);
	int rc = old ? rf_change_del(d->c, d->ch, s->id, old, s->place) : no_memory(d->c);
	json_decref(old);
	return rc;
}

static int write_rows(struct diff *d)
{
	int rc = RF_OK;
	for (size_t i = 0; i < d->old_count && rc == RF_OK; i++)
		if (!d->old[i].taken)
			rc = del_one(d, &d->old[i]);
	for (size_t i = 0; i < d->count && rc == RF_OK; i++)
		rc = put_one(d, &d->now[i]);
	return rc;
}

/* --- many rows --- */

static int note_one(struct diff *d, const char *id, const struct stored *old, bool text)
{
	rf_way_give();
	json_t *doc = old && text ? tree_of(old) : NULL;
	int rc = old && text && !doc ? no_memory(d->c) : rf_change_note(d->c, d->ch, id, old ? &old->place : NULL, doc);
	json_decref(doc);
	return rc;
}

/* How to undo it, unless that is too much to keep. */
static int note_rows(struct diff *d)
{
	int rc = RF_OK;
	for (size_t i = 0; i < d->old_count && rc == RF_OK && !d->ch->unkept && !d->ch->fresh; i++)
		if (!d->old[i].taken)
			rc = note_one(d, d->old[i].id, &d->old[i], true);
	for (size_t i = 0; i < d->count && rc == RF_OK && !d->ch->unkept && !d->ch->fresh; i++)
		if (d->now[i].changed || !d->now[i].keeps)
			rc = note_one(d, d->now[i].given->id, d->now[i].old, d->now[i].changed);
	return rc;
}

static bool own_name(const struct wanted *w)
{
	return rf_str_eq(w->ref, rf_str_z(w->given->id));
}

/* The row's document, and behind it its name where that is not its id. */
static int write_text(struct diff *d, struct wanted *w)
{
	rf_way_give();
	w->from = d->texts.n;
	if (w->changed && !w->given->doc)
		write_plain(&d->texts, w, d->ch->now);
	char *text = w->changed && w->given->doc ? json_dumps(w->given->doc, JSON_COMPACT) : NULL;
	if (w->changed && w->given->doc && !text)
		return no_memory(d->c);
	if (text)
		rf_buf_add(&d->texts, rf_str_z(text));
	free(text);
	w->n = d->texts.n - w->from;
	if (w->n && !own_name(w)) {
		rf_buf_add(&d->texts, w->ref);
		rf_buf_addc(&d->texts, '\0');
	}
	return d->texts.bad ? no_memory(d->c) : RF_OK;
}

/* Texts stay where they are from here on. */
static struct rf_store_child child_of(const struct diff *d, const struct wanted *w)
{
	struct rf_store_child c = { .fresh = !w->old, .place = w->place };
	memcpy(c.id, w->given->id, sizeof c.id);
	if (!w->n)
		return c;
	c.doc = d->texts.p + w->from;
	c.doc_n = (uint32_t)w->n;
	c.name = own_name(w) ? NULL : c.doc + w->n;
	c.name_n = (uint16_t)(c.name ? w->ref.n : 0);
	c.note = w->given->doc ? 0 : w->given->text.content;
	return c;
}

static int fill_rows(struct diff *d)
{
	int rc = note_rows(d);
	for (size_t i = 0; i < d->count && rc == RF_OK; i++)
		rc = write_text(d, &d->now[i]);
	struct rf_store_child *v = rf_way_calloc(d->count + 1, sizeof *v);
	if (rc == RF_OK && !v)
		rc = no_memory(d->c);
	for (size_t i = 0; i < d->count && rc == RF_OK; i++) {
		rf_way_give();
		v[i] = child_of(d, &d->now[i]);
	}
	if (rc == RF_OK)
		rc = rf_store_fill(d->c->store, RF_KIND_RULE, d->ch->head.id, &v, d->count, &d->texts, &d->c->err);
	rf_way_free(v);
	if (rc == RF_OK && json_object_set_new(d->ch->head.doc, "rule_count", json_integer((json_int_t)d->count)) != 0)
		rc = no_memory(d->c);
	return rc;
}

static int write_all(struct diff *d)
{
	size_t rows = 0;
	for (size_t i = 0; i < d->old_count; i++) {
		rf_way_give();
		rows += !d->old[i].taken;
	}
	for (size_t i = 0; i < d->count; i++) {
		rf_way_give();
		rows += d->now[i].changed || !d->now[i].keeps;
	}
	d->ch->whole |= rows > RF_RULESET_EACH;
	d->ch->unkept |= rows > RF_RULESET_VERSION_RULES;
	return rows > RF_RULESET_EACH ? fill_rows(d) : write_rows(d);
}

int rf_rules_replace(struct rf_api_call *c, struct rf_ruleset_change *ch)
{
	struct diff d = { .c = c, .ch = ch, .count = c->rules->n };
	d.now = rf_way_calloc(d.count + 1, sizeof *d.now);
	for (size_t i = 0; d.now && i < d.count; i++) {
		rf_way_give();
		d.now[i].given = &c->rules->v[i];
	}
	int rc = d.now ? read_old(&d) : no_memory(c);
	if (rc == RF_OK)
		rc = match(&d);
	if (rc == RF_OK)
		rc = place_all(&d);
	if (rc == RF_OK)
		rc = number_all(&d);
	if (rc == RF_OK)
		rc = write_all(&d);
	diff_fini(&d);
	return rc;
}
