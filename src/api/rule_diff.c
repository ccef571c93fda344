/* api/rule_diff: all rules of a ruleset replaced, writing only what differs.
 *
 * Each rule of the request finds its older self (rule_match.c) -> the longest run of rules whose order did not change keeps its places,
 * the others get places between them -> a rule of another content is numbered, and its row put; one that no rule found is deleted.
 * Where that is much, all rows are put at once.
 *
 * A rule that is not plain and has no equal is compared as a tree. Of rules that are new, plain, and alike but for one stretch, the
 * first is written out, and the others are it with another stretch.
 *
 * Not here: what is compiled (ctl), undoing (ruleset_versions.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/rule_match.h"
#include "api/rulesets.h"
#include "base/hash.h"
#include "base/jw.h"
#include "base/way.h"

enum { FRAME = 160 }; /* bytes that a plain rule's document has beyond its texts, at most */

struct wanted {
	int64_t place;
	bool keeps;            /* its old place */
	bool changed;          /* its row's document */
};

/* What is written of rules that are like one of the request: all but the stretch in which they differ. */
struct form {
	uint32_t like;         /* that rule, plus 1; 0: none yet */
	bool good;             /* they differ in something that is written */
	struct rf_buf head, tail;
};

struct diff {
	struct rf_api_call *c;
	struct rf_ruleset_change *ch;
	struct rf_rules_given *given;
	struct rf_rule_match match;
	struct wanted *now;
	size_t count;
	struct form form;
	struct rf_rule_like like, old_like; /* of the request's texts, and of stored ones */
	size_t rows;           /* that are written or deleted */
	size_t size;           /* of the documents that change and are no trees; or a little more */
	struct rf_buf texts;
};

static int no_memory(struct rf_api_call *c)
{
	return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
}

static void diff_fini(struct diff *d)
{
	rf_rule_match_fini(&d->match);
	rf_way_free(d->now);
	rf_buf_fini(&d->form.head);
	rf_buf_fini(&d->form.tail);
	rf_buf_fini(&d->texts);
}

/* --- places --- */

static int64_t old_place(const struct diff *d, size_t i)
{
	return rf_rule_old(&d->match, i)->place;
}

/* Those that have an older self, where these stand in their old order: all keep their places. False where they do not. */
static bool keep_all(struct diff *d)
{
	const struct rf_rule_stored *last = NULL;
	for (size_t i = 0; i < d->count; i++) {
		const struct rf_rule_stored *old = rf_rule_old(&d->match, i);
		rf_way_give_at(i);
		if (old && last && old->place <= last->place)
			return false;
		last = old ? old : last;
	}
	for (size_t i = 0; i < d->count; i++) {
		rf_way_give_at(i);
		if (d->match.is[i])
			d->now[i] = (struct wanted){ .keeps = true, .place = old_place(d, i) };
	}
	return true;
}

/* Mark the longest run of rules whose older selves stand in this order: a classic patience sort. */
static int keep_most(struct diff *d)
{
	uint32_t *tail = rf_way_calloc(d->count + 1, sizeof *tail), *prev = rf_way_calloc(d->count + 1, sizeof *prev);
	size_t length = 0;
	if (!tail || !prev) {
		rf_way_free(tail);
		rf_way_free(prev);
		return no_memory(d->c);
	}
	for (size_t i = 0; i < d->count; i++) {
		rf_way_give();
		if (!d->match.is[i])
			continue;
		size_t lo = 0, hi = length;
		if (hi && old_place(d, tail[hi - 1]) < old_place(d, i))
			lo = hi; /* where they stand as they stood */
		while (lo < hi) {
			size_t mid = (lo + hi) / 2;
			if (old_place(d, tail[mid]) < old_place(d, i))
				lo = mid + 1;
			else
				hi = mid;
		}
		prev[i] = lo ? tail[lo - 1] : (uint32_t)i;
		tail[lo] = (uint32_t)i;
		length += lo == length;
	}
	for (size_t i = length ? tail[length - 1] : 0, n = length; n > 0; n--, i = prev[i]) {
		rf_way_give();
		d->now[i].keeps = true;
		d->now[i].place = old_place(d, i);
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
		rf_way_give_at(i);
		d->now[i].place = lo += step;
	}
	return step > 0 && lo < (int64_t)1 << 60 && lo > -((int64_t)1 << 60);
}

static int place_all(struct diff *d)
{
	int rc = keep_all(d) ? RF_OK : keep_most(d);
	bool room = true;
	for (size_t i = 0, end; rc == RF_OK && i < d->count; i = end + 1) {
		for (end = i; end < d->count && !d->now[end].keeps; end++)
			rf_way_give_at(end);
		room = room && (end == i || fill(d, i, end));
	}
	for (size_t i = 0; !room && i < d->count; i++) {
		const struct rf_rule_stored *old = rf_rule_old(&d->match, i);
		rf_way_give();
		d->now[i].place = (int64_t)i * RF_RULE_GAP;
		d->now[i].keeps = old && old->place == d->now[i].place;
	}
	return rc;
}

/* --- documents --- */

/* What it is called in the end; "" : as its id, which is new. */
static struct rf_str ref_of(const struct diff *d, size_t i)
{
	struct rf_str own = rf_rule_more(d->given, i).own_ref;
	const struct rf_rule_stored *old = own.n ? NULL : rf_rule_old(&d->match, i);
	return old ? rf_str_z(old->ref) : own;
}

/* Each has its new id, or the ref that a stored one alone has. */
static bool no_ref_is_new(const struct diff *d)
{
	for (size_t i = 0; i < d->count && d->given->more_n; i++) {
		const struct rf_rule_stored *old = rf_rule_old(&d->match, i);
		struct rf_str own = rf_rule_more(d->given, i).own_ref;
		rf_way_give_at(i);
		if (own.n && !(old && rf_str_eq(own, rf_str_z(old->ref))))
			return false;
	}
	return true;
}

/* Two rules of the request must not share a ref. One that is a rule's own id is shared by none, but by who gives it as a ref. */
static int check_refs(struct diff *d)
{
	struct rf_rule_lookup seen = { 0 };
	int rc = RF_OK;
	if (no_ref_is_new(d))
		return RF_OK;
	if (!rf_rule_lookup_init(&seen, d->count))
		return no_memory(d->c);
	for (size_t i = 0; i < d->count && rc == RF_OK; i++) {
		struct rf_str ref = ref_of(d, i);
		uint64_t hash = rf_hash(ref);
		char pointer[48];
		rf_way_give();
		if (!ref.n)
			continue;
		RF_RULE_EACH_FOUND(k, &seen, hash)
			if (rc == RF_OK && rf_str_eq(ref, ref_of(d, k))) {
				snprintf(pointer, sizeof pointer, "/rules/%zu/ref", i);
				rc = rf_api_fail(d->c, RF_E_INVALID, pointer, "two rules have the same id or ref");
			}
		rf_rule_lookup_add(&seen, hash, i);
	}
	rf_rule_lookup_fini(&seen);
	return rc;
}

/* A stored rule's document. NULL without memory. */
static json_t *tree_of(const struct rf_rule_stored *s)
{
	json_t *doc = json_loadb(s->text, s->n, 0, NULL);
	if (doc && rf_store_say(doc, s->id, s->ref))
		return doc;
	json_decref(doc);
	return NULL;
}

/* A plain rule's document: its texts are JSON as they are; id and ref are the row's. */
enum { EXPRESSION = 1, ACTION = 3, DESCRIPTION = 5, PARTS = 11 };

static void plain_parts(const struct rf_rule_text *t, const char *version, const char *now, struct rf_str parts[PARTS])
{
	const struct rf_str all[PARTS] = { RF_STR("{\"expression\":\""), t->expression.raw, RF_STR("\",\"action\":\""), t->action.raw,
		RF_STR("\",\"description\":\""), t->description.raw, t->disabled ? RF_STR("\",\"enabled\":false,\"version\":\"") :
		RF_STR("\",\"enabled\":true,\"version\":\""), rf_str_z(version), RF_STR("\",\"last_updated\":\""), rf_str_z(now), RF_STR("\"}") };
	memcpy(parts, all, sizeof all);
}

static bool read_plain(struct diff *d, const struct rf_rule_given *g, struct rf_rule_text *t)
{
	struct rf_js j = rf_js_over((struct rf_str){ g->text, g->n });
	return rf_rule_text_read(&j, false, &d->like, t);
}

/* The form of rules that are like another one but for a stretch, of which this is one. */
static bool form_of(struct diff *d, const struct rf_rule_given *g)
{
	struct form *f = &d->form;
	const struct rf_rule_given *like = g->like ? &d->given->v[g->like - 1] : NULL;
	struct rf_str parts[PARTS];
	struct rf_rule_text t;
	size_t in = EXPRESSION;
	if (!like || f->like == g->like)
		return like && f->good;
	f->like = g->like;
	f->good = false;
	rf_buf_clear(&f->head);
	rf_buf_clear(&f->tail);
	if (!read_plain(d, like, &t))
		return false;
	plain_parts(&t, "1", d->ch->now, parts);
	const char *from = like->text + g->at, *to = from + (like->n - (g->n - g->differs));
	while (in <= DESCRIPTION && !(parts[in].p && from >= parts[in].p && to <= parts[in].p + parts[in].n))
		in += ACTION - EXPRESSION;
	if (in > DESCRIPTION)
		return false;
	for (size_t k = 0; k < PARTS; k++)
		rf_buf_add(k < in ? &f->head : &f->tail, k == in ? (struct rf_str){ to, (size_t)(parts[k].p + parts[k].n - to) } : parts[k]);
	rf_buf_add(&f->head, (struct rf_str){ parts[in].p, (size_t)(from - parts[in].p) });
	f->good = !f->head.bad && !f->tail.bad;
	return f->good;
}

/* Bytes of a plain rule's document that is new or changes; or a few more. */
static size_t text_size(struct diff *d, size_t i)
{
	const struct rf_rule_given *g = &d->given->v[i];
	return !d->match.is[i] && form_of(d, g) ? d->form.head.n + g->differs + d->form.tail.n : g->n + FRAME;
}

/* A rule that has no equal: its tree (borrowed), numbered. */
static int number_tree(struct diff *d, size_t i, json_t **ret)
{
	const struct rf_rule_stored *old = rf_rule_old(&d->match, i);
	json_t *was = old ? tree_of(old) : NULL, *doc = NULL;
	char id[33];
	rf_way_give();
	int rc = old && !was ? no_memory(d->c) : rf_rule_tree(d->c, d->given, i, &doc);
	if (rc == RF_OK && old)
		snprintf(id, sizeof id, "%s", old->id);
	else if (rc == RF_OK)
		rc = rf_store_draw_id(d->c->store, id, &d->c->err);
	if (rc == RF_OK) {
		d->now[i].changed = rf_rule_number(doc, id, was, d->ch->now);
		*ret = doc;
	}
	json_decref(was);
	return rc;
}

/* Whether its document changes, and, where it does and is not plain, to what. Findings are gathered over all rules. */
static int number(struct diff *d, size_t i)
{
	const struct rf_rule_given *g = &d->given->v[i];
	const struct rf_rule_stored *old = rf_rule_old(&d->match, i);
	json_t *doc = NULL;
	struct rf_rule_more more = rf_rule_more(d->given, i);
	if (old && g->content && g->content == old->content && (!more.own_ref.n || rf_str_eq(more.own_ref, rf_str_z(old->ref))))
		return RF_OK;
	d->now[i].changed = true;
	if (!g->plain || more.doc)
		return number_tree(d, i, &doc);
	d->size += text_size(d, i);
	return RF_OK;
}

static int number_all(struct diff *d)
{
	int rc = RF_OK;
	for (size_t i = 0; i < d->count && rc == RF_OK; i++) {
		rf_way_give_at(i);
		rc = number(d, i);
		d->rows += d->now[i].changed || !d->now[i].keeps;
		if (rc != RF_OK && d->c->errors)
			rc = RF_OK; /* tell of the others too */
	}
	if (rc == RF_OK && d->c->errors)
		rc = d->c->first_error;
	return rc == RF_OK ? check_refs(d) : rc;
}

/* The version of a stored rule, plus 1. */
static long long next_version(struct diff *d, const struct rf_rule_stored *old)
{
	struct rf_js j = rf_js_over((struct rf_str){ old->text, old->n });
	struct rf_rule_text t;
	uint64_t v = 0;
	if (rf_rule_text_read(&j, false, &d->old_like, &t))
		rf_str_u64(t.version.raw, &v);
	return (long long)v + 1;
}

static int write_plain(struct diff *d, size_t i)
{
	const struct rf_rule_stored *old = rf_rule_old(&d->match, i);
	struct rf_str parts[PARTS];
	struct rf_rule_text t;
	char version[24] = "1";
	rf_way_give();
	if (!read_plain(d, &d->given->v[i], &t))
		return rf_fail(&d->c->err, RF_E_INTERNAL, "a rule of the request is not what it was");
	if (old)
		snprintf(version, sizeof version, "%lld", next_version(d, old));
	plain_parts(&t, version, d->ch->now, parts);
	size_t n = 0;
	for (size_t k = 0; k < PARTS; k++)
		n += parts[k].n;
	char *to = rf_buf_room(&d->texts, n);
	for (size_t k = 0; to && k < PARTS; k++)
		to = parts[k].n ? mempcpy(to, parts[k].p, parts[k].n) : to;
	d->texts.n += to ? n : 0;
	return RF_OK;
}

static void write_like(struct diff *d, const struct rf_rule_given *g)
{
	const struct form *f = &d->form;
	char *to = rf_buf_room(&d->texts, f->head.n + g->differs + f->tail.n);
	if (!to)
		return;
	to = mempcpy(to, f->head.p, f->head.n);
	to = mempcpy(to, g->text + g->at, g->differs);
	memcpy(to, f->tail.p, f->tail.n);
	d->texts.n += f->head.n + g->differs + f->tail.n;
}

/* --- few rows --- */

static int put_one(struct diff *d, size_t i)
{
	const struct rf_rule_stored *old = rf_rule_old(&d->match, i);
	const struct wanted *w = &d->now[i];
	json_t *doc = rf_rule_more(d->given, i).doc;
	if (!w->changed)
		return w->keeps ? RF_OK : rf_change_move(d->c, d->ch, old->id, w->place);
	int rc = doc ? RF_OK : number_tree(d, i, &doc);
	if (rc != RF_OK)
		return rc;
	RF_OBJECT_AUTO row = { .doc = json_incref(doc), .place = w->place };
	rf_way_give();
	snprintf(row.id, sizeof row.id, "%s", rf_json_text(doc, "id"));
	rf_rule_named(d->given, i, row.id);
	return rf_change_put(d->c, d->ch, &row);
}

static int write_rows(struct diff *d)
{
	int rc = RF_OK;
	for (size_t i = 0; i < d->match.n && rc == RF_OK; i++) {
		rf_way_give_at(i);
		if (!d->match.v[i].taken)
			rc = rf_change_del(d->c, d->ch, d->match.v[i].id);
	}
	for (size_t i = 0; i < d->count && rc == RF_OK; i++) {
		rf_way_give_at(i);
		if (d->match.is[i])
			rf_rule_named(d->given, i, rf_rule_old(&d->match, i)->id);
		rc = put_one(d, i);
	}
	return rc;
}

/* --- many rows --- */

static void note_one(struct diff *d, const char *id, const struct rf_rule_stored *old, bool moves)
{
	struct rf_raw_object was;
	if (old)
		was = (struct rf_raw_object){ .name = old->ref, .doc = { old->text, old->n }, .place = old->place };
	rf_change_note(d->ch, id, old ? &was : NULL, moves);
}

/* How to undo it, unless that is too much to keep. */
static void note_rows(struct diff *d, const struct rf_store_child *v)
{
	bool keeps = !d->ch->unkept && !d->ch->fresh;
	for (size_t i = 0; i < d->match.n && keeps; i++) {
		rf_way_give_at(i);
		if (!d->match.v[i].taken)
			note_one(d, d->match.v[i].id, &d->match.v[i], false);
	}
	for (size_t i = 0; i < d->count && keeps; i++) {
		rf_way_give_at(i);
		if (d->now[i].changed || !d->now[i].keeps)
			note_one(d, v[i].id, rf_rule_old(&d->match, i), !d->now[i].changed);
	}
}

static int write_tree(struct diff *d, const json_t *doc)
{
	char *text = json_dumps(doc, JSON_COMPACT);
	rf_way_give();
	if (text)
		rf_buf_add(&d->texts, rf_str_z(text));
	free(text);
	return text ? RF_OK : no_memory(d->c);
}

/* The row's document, and behind it its name where that is not its id. */
static int write_text(struct diff *d, size_t i, const json_t *doc, struct rf_store_child *to)
{
	const struct rf_rule_given *g = &d->given->v[i];
	size_t from = d->texts.n;
	int rc = RF_OK;
	if (doc)
		rc = write_tree(d, doc);
	else if (to->fresh && form_of(d, g))
		write_like(d, g);
	else
		rc = write_plain(d, i);
	to->doc = d->texts.p + from;
	to->doc_n = (uint32_t)(d->texts.n - from);
	to->note = doc ? 0 : g->content;
	struct rf_str name = to->fresh && !g->more ? RF_STR("") : ref_of(d, i);
	if (name.n && !rf_str_eq(name, rf_str_z(to->id))) {
		to->name_n = (uint16_t)name.n;
		to->name = d->texts.p + d->texts.n;
		rf_buf_add(&d->texts, name);
		rf_buf_addc(&d->texts, '\0');
	}
	return rc == RF_OK && d->texts.bad ? no_memory(d->c) : rc;
}

static int fill_row(struct diff *d, size_t i, struct rf_store_child *to)
{
	const struct rf_rule_stored *old = rf_rule_old(&d->match, i);
	const json_t *doc = rf_rule_more(d->given, i).doc;
	int rc = RF_OK;
	*to = (struct rf_store_child){ .fresh = !old, .place = d->now[i].place };
	const char *id = old ? old->id : doc ? rf_json_text(doc, "id") : NULL;
	if (id)
		memcpy(to->id, id, strnlen(id, sizeof to->id - 1)); /* behind it all is zero */
	else
		rc = rf_store_draw_id(d->c->store, to->id, &d->c->err);
	rf_rule_named(d->given, i, to->id);
	return rc == RF_OK && d->now[i].changed ? write_text(d, i, doc, to) : rc;
}

/* Where the texts of rows are, as they stand one behind the other: they had to move while they were written. */
static void place_texts(struct diff *d, struct rf_store_child *v)
{
	const char *text = d->texts.p;
	for (size_t i = 0; i < d->count; i++) {
		rf_way_give_at(i);
		if (!v[i].doc_n)
			continue;
		v[i].doc = text;
		v[i].name = v[i].name_n ? text + v[i].doc_n : NULL;
		text += v[i].doc_n + (v[i].name_n ? v[i].name_n + 1u : 0);
	}
}

/* The store keeps the texts: they take no more than they need. */
static int fill_rows(struct diff *d)
{
	struct rf_store_child *v = rf_way_grow(NULL, (d->count + 1) * sizeof *v);
	char *room = d->texts.p = rf_way_grow(NULL, d->size + 1);
	int rc = v && room ? RF_OK : no_memory(d->c);
	d->texts.cap = room ? d->size + 1 : 0;
	for (size_t i = 0; i < d->count && rc == RF_OK; i++) {
		rf_way_give_at(i);
		rc = fill_row(d, i, &v[i]);
	}
	if (rc == RF_OK && d->texts.p != room)
		place_texts(d, v);
	if (rc == RF_OK)
		note_rows(d, v);
	if (rc == RF_OK)
		rc = rf_store_fill(d->c->store, RF_KIND_RULE, d->ch->head.id, &v, d->count, &d->texts, &d->c->err);
	rf_way_free(v);
	if (rc == RF_OK && json_object_set_new(d->ch->head.doc, "rule_count", json_integer((json_int_t)d->count)) != 0)
		rc = no_memory(d->c);
	return rc;
}

static int write_all(struct diff *d)
{
	size_t rows = d->rows + d->match.n - d->match.taken;
	d->ch->whole |= rows > RF_RULESET_EACH;
	d->ch->unkept |= rows > RF_RULESET_VERSION_RULES;
	return rows > RF_RULESET_EACH ? fill_rows(d) : write_rows(d);
}

int rf_rules_replace(struct rf_api_call *c, struct rf_ruleset_change *ch)
{
	struct diff d = { .c = c, .ch = ch, .given = c->rules, .count = c->rules->n };
	d.now = rf_way_calloc(d.count + 1, sizeof *d.now);
	int rc = rf_rule_match(c, ch->fresh ? "" : ch->head.id, &d.match);
	if (!d.now)
		rc = no_memory(c);
	if (rc == RF_OK)
		rc = place_all(&d);
	if (rc == RF_OK)
		rc = number_all(&d);
	if (rc == RF_OK)
		rc = write_all(&d);
	diff_fini(&d);
	return rc;
}
