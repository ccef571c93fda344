/* Placed children: pages against a plain array, rollbacks, what the file holds, files of an earlier version, damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include <sqlite3.h>
#include "ctl/book.h"
#include "ctl/store.h"

enum { MOST = 600 };

static int64_t now_s = 1800000000;
static int64_t wall(void *ctx) { (void)ctx; return now_s * (int64_t)RF_NS_S; }
static uint64_t mono(void *ctx) { (void)ctx; return 0; }
static const struct rf_clock test_clock = { mono, wall, NULL };

struct model_row {
	char id[33];
	int64_t place;
	unsigned text; /* how long its document is */
	char name[12]; /* "" : its id */
};

struct model {
	struct model_row v[MOST];
	size_t n;
};

struct fixture {
	char dir[64], path[96], account[33], set[33];
	struct rf_store *s;
	struct rf_err e;
	uint64_t seed;
	struct model now, kept;
};

#define GOOD(call) do { int rc_ = (call); if (rc_ != RF_OK) fail_msg("%s: %s", #call, f->e.text); } while (0)

static unsigned draw(struct fixture *f, unsigned below)
{
	f->seed = f->seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(f->seed >> 33) % below;
}

static void put_object(struct fixture *f, enum rf_kind k, const char *parent, const char *name, char id[33])
{
	RF_OBJECT_AUTO o = { .doc = json_object() };
	snprintf(o.parent, sizeof o.parent, "%s", parent);
	snprintf(o.name, sizeof o.name, "%s", name);
	GOOD(rf_store_begin(f->s, "test", &f->e));
	GOOD(rf_store_put(f->s, k, &o, 0, &f->e));
	GOOD(rf_store_commit(f->s, &f->e));
	memcpy(id, o.id, 33);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	snprintf(f->dir, sizeof f->dir, "/tmp/rf-book-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof f->path, "%s/state.db", f->dir);
	GOOD(rf_store_open(f->path, &test_clock, &f->s, &f->e));
	put_object(f, RF_KIND_ACCOUNT, "", "a", f->account);
	put_object(f, RF_KIND_RULESET, f->account, "root:http_request", f->set);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];
	rf_store_close(f->s);
	snprintf(command, sizeof command, "rm -r %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void reopen(struct fixture *f)
{
	rf_store_close(f->s);
	GOOD(rf_store_open(f->path, &test_clock, &f->s, &f->e));
}

static int by_place(const void *a, const void *b)
{
	const struct model_row *x = a, *y = b;
	return x->place != y->place ? (x->place < y->place ? -1 : 1) : strcmp(x->id, y->id);
}

struct compare {
	const struct model *m;
	size_t at;
	bool backwards;
};

static int compare_one(const struct rf_raw_object *o, void *arg)
{
	struct compare *c = arg;
	assert_in_range(c->at, 0, c->m->n - 1);
	const struct model_row *r = &c->m->v[c->backwards ? c->m->n - 1 - c->at : c->at];
	c->at++;
	assert_string_equal(o->id, r->id);
	assert_int_equal(o->place, r->place);
	assert_int_equal(o->doc.n, r->text + strlen("{\"t\":\"\"}"));
	assert_memory_equal(o->doc.p, "{\"t\":\"", strlen("{\"t\":\""));
	assert_memory_equal(o->doc.p + o->doc.n - 2, "\"}", 2);
	assert_string_equal(o->name, r->name[0] ? r->name : r->id);
	return 0;
}

/* Going through all of them, which leaves a flat book flat. */
static void same_rows(struct fixture *f, struct model *m)
{
	qsort(m->v, m->n, sizeof *m->v, by_place);
	struct rf_store_query q = { .parent = f->set, .by_place = true };
	struct compare c = { m, 0, false };
	GOOD(rf_store_scan(f->s, RF_KIND_RULE, &q, compare_one, &c, &f->e));
	assert_int_equal(c.at, m->n);
	c = (struct compare){ m, m->n / 3, true };
	q.descending = true;
	q.offset = m->n / 3;
	GOOD(rf_store_scan(f->s, RF_KIND_RULE, &q, compare_one, &c, &f->e));
	assert_int_equal(c.at, m->n);
	c = (struct compare){ m, m->n / 2, false };
	q = (struct rf_store_query){ .parent = f->set, .by_place = true, .offset = m->n / 2, .limit = 5 };
	GOOD(rf_store_scan(f->s, RF_KIND_RULE, &q, compare_one, &c, &f->e));
	assert_int_equal(c.at, m->n < m->n / 2 + 5 ? m->n : m->n / 2 + 5);
}

static void same(struct fixture *f, struct model *m)
{
	size_t n = 0;
	struct rf_store_query q = { .parent = f->set };
	same_rows(f, m);
	GOOD(rf_store_count(f->s, RF_KIND_RULE, &q, &n, &f->e));
	assert_int_equal(n, m->n);
	for (size_t i = 0; i < m->n; i += 7) {
		RF_OBJECT_AUTO o = { 0 };
		struct rf_placed near[2];
		GOOD(rf_store_get(f->s, RF_KIND_RULE, m->v[i].id, &o, &f->e));
		assert_string_equal(o.parent, f->set);
		GOOD(rf_store_beside(f->s, RF_KIND_RULE, f->set, o.place, false, near, 2, &n, &f->e));
		assert_int_equal(n, m->n - 1 - i > 2 ? 2 : m->n - 1 - i);
		if (n)
			assert_string_equal(near[0].id, m->v[i + 1].id);
		GOOD(rf_store_beside(f->s, RF_KIND_RULE, f->set, o.place, true, near, 2, &n, &f->e));
		assert_int_equal(n, i > 2 ? 2 : i);
		if (n)
			assert_string_equal(near[0].id, m->v[i - 1].id);
	}
}

static json_t *doc_of(unsigned text)
{
	char *t = malloc(text + 1);
	memset(t, 'x', text);
	t[text] = '\0';
	json_t *doc = json_pack("{s:s}", "t", t);
	free(t);
	return doc;
}

static int64_t free_place(struct fixture *f)
{
	for (;;) {
		int64_t place = (int64_t)draw(f, 1 << 20) - (1 << 19);
		size_t i = 0;
		while (i < f->now.n && f->now.v[i].place != place)
			i++;
		if (i == f->now.n)
			return place;
	}
}

static void put_row(struct fixture *f, struct model_row *r)
{
	RF_OBJECT_AUTO o = { .place = r->place, .doc = doc_of(r->text) };
	memcpy(o.id, r->id, sizeof o.id);
	memcpy(o.parent, f->set, sizeof o.parent);
	r->name[0] = '\0';
	if (draw(f, 2))
		memcpy(o.name, r->name, (size_t)snprintf(r->name, sizeof r->name, "name-%u", draw(f, 5)) + 1); /* not unique */
	else if (!o.id[0])
		GOOD(rf_store_draw_id(f->s, o.id, &f->e));
	if (!o.name[0])
		memcpy(o.name, o.id, sizeof o.id);
	GOOD(rf_store_put(f->s, RF_KIND_RULE, &o, 0, &f->e));
	memcpy(r->id, o.id, sizeof r->id);
}

static void change(struct fixture *f)
{
	struct model *m = &f->now;
	unsigned what = draw(f, 10), at = m->n ? draw(f, (unsigned)m->n) : 0;
	unsigned text = draw(f, 20) ? draw(f, 200) : draw(f, 3 * BOOK_PAGE_BYTES);
	if (m->n < MOST && (what < 5 || !m->n)) {
		m->v[m->n] = (struct model_row){ .place = free_place(f), .text = text };
		put_row(f, &m->v[m->n++]);
	} else if (what < 7) {
		m->v[at].text = text;
		put_row(f, &m->v[at]);
	} else if (what < 8) {
		m->v[at].place = free_place(f);
		GOOD(rf_store_move(f->s, RF_KIND_RULE, m->v[at].id, m->v[at].place, &f->e));
	} else {
		GOOD(rf_store_del(f->s, RF_KIND_RULE, m->v[at].id, 0, &f->e));
		m->v[at] = m->v[--m->n];
	}
}

static void text_of(struct rf_buf *texts, struct rf_store_child *c, unsigned text, const char *name)
{
	json_t *doc = doc_of(text);
	char *t = json_dumps(doc, JSON_COMPACT);
	c->doc_n = (uint32_t)strlen(t);
	c->doc = texts->p + texts->n;
	rf_buf_add(texts, rf_str_z(t));
	free(t);
	json_decref(doc);
	if (!name)
		return;
	c->name_n = (uint16_t)strlen(name);
	c->name = texts->p + texts->n;
	rf_buf_add(texts, (struct rf_str){ name, strlen(name) + 1 });
}

/* Places change hands. */
static void stir(struct fixture *f, struct model *m, struct rf_store_child *v)
{
	for (size_t i = 1; i < m->n && draw(f, 2); i++) {
		size_t k = draw(f, (unsigned)m->n);
		struct model_row r = m->v[i];
		struct rf_store_child c = v[i];
		int64_t here = c.place, there = v[k].place;
		v[i] = v[k], m->v[i] = m->v[k];
		v[k] = c, m->v[k] = r;
		v[i].place = m->v[i].place = here;
		v[k].place = m->v[k].place = there;
	}
}

/* All at once: some stay as they are, some change, some go, some come. */
static void fill(struct fixture *f)
{
	struct model next = { .n = 0 };
	struct rf_store_child *v = calloc(MOST, sizeof *v);
	struct rf_buf texts = { 0 };
	size_t n = 0;
	assert_non_null(rf_buf_room(&texts, MOST * 400));
	qsort(f->now.v, f->now.n, sizeof *f->now.v, by_place);
	for (size_t i = 0; i < f->now.n; i++) {
		struct model_row *r = &next.v[n];
		*r = f->now.v[i];
		unsigned what = draw(f, 4);
		if (what == 0)
			continue;
		if (what == 1)
			r->text = draw(f, 300);
		if (what == 2) {
			r->text = 7;
			GOOD(rf_store_draw_id(f->s, r->id, &f->e));
		}
		v[n] = (struct rf_store_child){ .place = r->place, .fresh = what == 2 };
		memcpy(v[n].id, r->id, sizeof v[n].id);
		if (what != 3) {
			strcpy(r->name, draw(f, 2) ? "n" : "");
			text_of(&texts, &v[n], r->text, r->name[0] ? r->name : NULL);
		}
		n++;
	}
	next.n = n;
	stir(f, &next, v);
	if (n > 1) { /* what is wrong changes nothing */
		int64_t place = v[n - 1].place;
		v[n - 1].place = v[0].place;
		assert_int_equal(rf_store_fill(f->s, RF_KIND_RULE, f->set, &v, n, &texts, &f->e), RF_E_CONFLICT);
		v[n - 1].place = place;
		same_rows(f, &f->now);
	}
	GOOD(rf_store_fill(f->s, RF_KIND_RULE, f->set, &v, n, &texts, &f->e));
	assert_null(v);
	assert_int_equal(texts.n + texts.cap, 0);
	f->now = next;
}

/* Transactions of many steps, of which some are rolled back, and the file read anew in between. */
static void pages_are_as_a_plain_array(void **state)
{
	struct fixture *f = *state;
	for (int round = 0; round < 120; round++) {
		GOOD(rf_store_begin(f->s, "test", &f->e));
		for (unsigned i = 0, n = draw(f, 40); i < n; i++)
			change(f);
		for (unsigned n = draw(f, 4); n > 1; n--) {
			fill(f);
			if (draw(f, 3) == 0)
				change(f);
		}
		if (draw(f, 2))
			same(f, &f->now);
		if (draw(f, 3) == 0) {
			rf_store_rollback(f->s);
			f->now = f->kept;
		} else {
			GOOD(rf_store_commit(f->s, &f->e));
			f->kept = f->now;
		}
		if (draw(f, 4) == 0)
			reopen(f);
		same(f, &f->now);
	}
}

static size_t rows_left(struct fixture *f)
{
	size_t n = 0;
	GOOD(rf_store_count(f->s, RF_KIND_RULE, &(struct rf_store_query){ 0 }, &n, &f->e));
	return n;
}

static int64_t number(struct fixture *f, const char *text)
{
	sqlite3 *db;
	sqlite3_stmt *st;
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	int64_t n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

/* So many rows that are new, with documents of so many bytes. */
static void fill_anew(struct fixture *f, size_t n, unsigned text)
{
	struct rf_store_child *v = calloc(n, sizeof *v);
	struct rf_buf texts = { 0 };
	assert_non_null(rf_buf_room(&texts, n * (text + 30) + 1));
	for (size_t i = 0; i < n; i++) {
		v[i] = (struct rf_store_child){ .place = (int64_t)i * 16, .fresh = true };
		GOOD(rf_store_draw_id(f->s, v[i].id, &f->e));
		text_of(&texts, &v[i], text, i % 10 ? NULL : "a name");
	}
	GOOD(rf_store_fill(f->s, RF_KIND_RULE, f->set, &v, n, &texts, &f->e));
}

static int take_id(const struct rf_raw_object *o, void *arg)
{
	memcpy(arg, o->id, 33);
	return 1;
}

static void first_id(struct fixture *f, char to[33])
{
	struct rf_store_query q = { .parent = f->set };
	assert_int_equal(rf_store_scan(f->s, RF_KIND_RULE, &q, take_id, to, &f->e), 1);
}

/* The pages of rows that went are those of the rows that came, and what is too many goes. */
static void pages_are_written_over(void **state)
{
	struct fixture *f = *state;
	static const size_t sizes[] = { 2000, 2000, 3000, 500, 0, 10 };
	int64_t last = 0;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		GOOD(rf_store_begin(f->s, "test", &f->e));
		fill_anew(f, sizes[i], 20);
		if (i % 2)
			fill_anew(f, sizes[i], 30); /* once more, over one that no page has */
		GOOD(rf_store_commit(f->s, &f->e));
		assert_int_equal(number(f, "SELECT count(*) FROM rule_pages"), (sizes[i] + BOOK_PAGE_ROWS - 1) / BOOK_PAGE_ROWS);
		if (i == 1 || i == 3)
			assert_true(number(f, "SELECT max(page) FROM rule_pages") <= last);
		last = number(f, "SELECT coalesce(max(page), 0) FROM rule_pages");
		if (i > 2)
			reopen(f);
		assert_int_equal(rows_left(f), sizes[i]);
	}
}

static void near(size_t a, size_t b)
{
	assert_in_range(a, b - b / 100, b + b / 100);
}

/* What a change is held against its bound by: as much before rows are in pages as after. */
static void memory_is_told(void **state)
{
	struct fixture *f = *state;
	static const unsigned sizes[] = { 20, 200, 2000 };
	char id[33];
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		GOOD(rf_store_begin(f->s, "test", &f->e));
		fill_anew(f, 5000, sizes[i]);
		size_t flat = rf_store_held(f->s, f->set);
		assert_in_range(flat, 5000 * (sizes[i] + sizeof(struct rf_store_child)), 5000 * (sizes[i] * 3 / 2 + 100 + sizeof(struct rf_store_child)));
		first_id(f, id);
		assert_int_equal(rf_store_held(f->s, f->set), flat);
		RF_OBJECT_AUTO o = { 0 };
		GOOD(rf_store_get(f->s, RF_KIND_RULE, id, &o, &f->e));
		near(rf_store_held(f->s, f->set), flat);
		GOOD(rf_store_commit(f->s, &f->e));
		near(rf_store_held(f->s, f->set), flat);
		GOOD(rf_store_begin(f->s, "test", &f->e));
		fill_anew(f, 10, 20);
		assert_true(rf_store_held(f->s, f->set) < 10000);
		rf_store_rollback(f->s);
		near(rf_store_held(f->s, f->set), flat);
	}
}

/* Rows that go one by one leave their memory to the rest, until the rest is the lesser part. */
static void memory_of_rows_that_went_comes_back(void **state)
{
	struct fixture *f = *state;
	enum { ROWS = 6000, GO = 5000 };
	char id[33];
	GOOD(rf_store_begin(f->s, "test", &f->e));
	fill_anew(f, ROWS, 300);
	GOOD(rf_store_commit(f->s, &f->e));
	size_t before = rf_store_held(f->s, f->set);
	for (int i = 0; i < GO; i++) {
		if (i % 1000 == 0)
			GOOD(rf_store_begin(f->s, "test", &f->e));
		first_id(f, id);
		GOOD(rf_store_del(f->s, RF_KIND_RULE, id, 0, &f->e));
		if (i % 1000 == 999)
			GOOD(rf_store_commit(f->s, &f->e));
	}
	GOOD(rf_store_begin(f->s, "test", &f->e));
	assert_int_equal(rows_left(f), ROWS - GO);
	assert_true(rf_store_held(f->s, f->set) < before / 2);
	rf_store_rollback(f->s);
	assert_int_equal(rows_left(f), ROWS - GO);
}

static void two_rows_of_one_id_are_not_stored(void **state)
{
	struct fixture *f = *state;
	char id[33];
	GOOD(rf_store_begin(f->s, "test", &f->e));
	fill_anew(f, 300, 20);
	GOOD(rf_store_commit(f->s, &f->e));
	first_id(f, id);
	for (int round = 0; round < 4; round++) {
		bool looked = round % 2, kept = round / 2; /* two of one id that was there before, or was not */
		struct rf_store_child *v = calloc(2, sizeof *v);
		struct rf_buf texts = { 0 };
		struct rf_object o;
		assert_non_null(rf_buf_room(&texts, 1000));
		for (int i = 0; i < 2; i++) {
			v[i] = (struct rf_store_child){ .place = i };
			strcpy(v[i].id, kept ? id : "5");
			if (!kept)
				text_of(&texts, &v[i], 5, NULL);
		}
		GOOD(rf_store_begin(f->s, "test", &f->e));
		GOOD(rf_store_fill(f->s, RF_KIND_RULE, f->set, &v, 2, &texts, &f->e));
		if (looked)
			assert_int_equal(rf_store_get(f->s, RF_KIND_RULE, id, &o, &f->e), RF_E_CONFLICT);
		assert_int_equal(rf_store_commit(f->s, &f->e), RF_E_CONFLICT);
		assert_int_equal(rows_left(f), 300);
		reopen(f);
		assert_int_equal(rows_left(f), 300);
	}
}

/* One of them stays, one moves, one changes, one is new; one that is kept is none. */
static void what_is_kept_of_a_row(void **state)
{
	struct fixture *f = *state;
	static const struct { const char *id; bool text; int64_t place, created_s, modified_s; uint64_t revision, note; } want[] = {
		{ "stays", false, 10, 1, 1, 0, 70 }, { "moves", false, 15, 1, 2, 1, 71 },
		{ "changes", true, 30, 1, 2, 2, 9 }, { "new", true, 40, 2, 2, 3, 9 },
	};
	int64_t began_s = now_s;
	uint64_t was[2] = { rf_store_revision(f->s) };
	for (int again = 0; again < 2; again++) {
		size_t n = again ? 4 : 3;
		struct rf_store_child *v = calloc(n, sizeof *v);
		struct rf_buf texts = { 0 };
		assert_non_null(rf_buf_room(&texts, 1000));
		was[again] = rf_store_revision(f->s) + 1;
		now_s = began_s + 1 + again;
		for (size_t i = 0; i < n; i++) {
			v[i] = (struct rf_store_child){ .place = again ? want[i].place : (int64_t)i, .note = again ? 9 : 70 + i };
			strcpy(v[i].id, want[i].id);
			if (!again || want[i].text)
				text_of(&texts, &v[i], 5, "named");
		}
		v[0].place = 10;
		v[1].place = again ? 15 : 20;
		v[2].place = 30;
		GOOD(rf_store_begin(f->s, "test", &f->e));
		GOOD(rf_store_fill(f->s, RF_KIND_RULE, f->set, &v, n, &texts, &f->e));
		GOOD(rf_store_commit(f->s, &f->e));
	}
	for (size_t i = 0; i < 8; i++) {
		struct rf_raw_object o;
		if (i == 4)
			reopen(f);
		GOOD(rf_store_raw(f->s, RF_KIND_RULE, want[i % 4].id, &o, &f->e));
		assert_int_equal(o.created_s, began_s + want[i % 4].created_s);
		assert_int_equal(o.modified_s, began_s + want[i % 4].modified_s);
		assert_int_equal(o.revision, i % 4 ? was[1] + want[i % 4].revision : was[0]);
		assert_int_equal(*o.note, i < 4 ? want[i].note : 0);
		assert_string_equal(o.name, "named");
	}
	now_s = began_s;
}

static void what_cannot_be_filled_stays_the_callers(void **state)
{
	struct fixture *f = *state;
	struct rf_store_child *v = calloc(2, sizeof *v);
	struct rf_buf texts = { 0 };
	assert_non_null(rf_buf_room(&texts, 1000));
	strcpy(v[0].id, "a");
	text_of(&texts, &v[0], 5, "b");
	strcpy(v[1].id, "nobody");
	v[1].place = 1;
	assert_int_equal(rf_store_fill(f->s, RF_KIND_RULE, f->set, &v, 2, &texts, &f->e), RF_E_INTERNAL); /* no transaction */
	GOOD(rf_store_begin(f->s, "test", &f->e));
	assert_int_equal(rf_store_fill(f->s, RF_KIND_RULE, f->set, &v, 2, &texts, &f->e), RF_E_CONFLICT);
	assert_non_null(strstr(f->e.text, "nobody"));
	assert_int_equal(rf_store_fill(f->s, RF_KIND_RULE, "none", &v, 1, &texts, &f->e), RF_E_NOT_FOUND);
	v[0].name_n--;
	assert_int_equal(rf_store_fill(f->s, RF_KIND_RULE, f->set, &v, 1, &texts, &f->e), RF_E_INTERNAL);
	v[0].name_n++;
	assert_non_null(texts.p);
	GOOD(rf_store_fill(f->s, RF_KIND_RULE, f->set, &v, 1, &texts, &f->e));
	GOOD(rf_store_commit(f->s, &f->e));
	assert_int_equal(rows_left(f), 1);
}

static void rows_go_with_their_parent(void **state)
{
	struct fixture *f = *state;
	GOOD(rf_store_begin(f->s, "test", &f->e));
	for (int i = 0; i < 200; i++)
		change(f);
	GOOD(rf_store_commit(f->s, &f->e));
	size_t n = rows_left(f);
	assert_int_equal(n, f->now.n);
	GOOD(rf_store_begin(f->s, "test", &f->e));
	GOOD(rf_store_del(f->s, RF_KIND_RULESET, f->set, 0, &f->e));
	assert_int_equal(rows_left(f), 0);
	rf_store_rollback(f->s);
	assert_int_equal(rows_left(f), n);
	GOOD(rf_store_begin(f->s, "test", &f->e));
	GOOD(rf_store_del(f->s, RF_KIND_RULESET, f->set, 0, &f->e));
	GOOD(rf_store_commit(f->s, &f->e));
	reopen(f);
	assert_int_equal(rows_left(f), 0);
	GOOD(rf_store_begin(f->s, "test", &f->e));
	RF_OBJECT_AUTO o = { .doc = json_object() };
	memcpy(o.parent, f->set, sizeof o.parent);
	assert_int_equal(rf_store_put(f->s, RF_KIND_RULE, &o, 0, &f->e), RF_E_CONFLICT);
	rf_store_rollback(f->s);
}

static void a_name_is_found_while_rules_swap_theirs(void **state)
{
	struct fixture *f = *state;
	RF_OBJECT_AUTO a = { .name = "x", .place = 1, .doc = json_object() };
	RF_OBJECT_AUTO b = { .name = "y", .place = 2, .doc = json_object() };
	memcpy(a.parent, f->set, sizeof a.parent);
	memcpy(b.parent, f->set, sizeof b.parent);
	GOOD(rf_store_begin(f->s, "test", &f->e));
	GOOD(rf_store_put(f->s, RF_KIND_RULE, &a, 0, &f->e));
	GOOD(rf_store_put(f->s, RF_KIND_RULE, &b, 0, &f->e));
	strcpy(a.name, "y");
	strcpy(b.name, "x");
	GOOD(rf_store_put(f->s, RF_KIND_RULE, &a, 0, &f->e));
	GOOD(rf_store_put(f->s, RF_KIND_RULE, &b, 0, &f->e));
	GOOD(rf_store_commit(f->s, &f->e));
	for (int again = 0; again < 2; again++, reopen(f)) {
		RF_OBJECT_AUTO x = { 0 }, y = { 0 };
		GOOD(rf_store_find(f->s, RF_KIND_RULE, f->set, "x", &x, &f->e));
		GOOD(rf_store_find(f->s, RF_KIND_RULE, NULL, "y", &y, &f->e));
		assert_string_equal(x.id, b.id);
		assert_string_equal(y.id, a.id);
		assert_int_equal(rf_store_find(f->s, RF_KIND_RULE, f->set, "z", &x, &f->e), RF_E_NOT_FOUND);
	}
}

static void sql(struct fixture *f, const char *text)
{
	sqlite3 *db;
	char *why = NULL;
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s", why);
	sqlite3_close(db);
}

/* Version 2 had a row for each rule. */
static void an_older_file_keeps_its_rules(void **state)
{
	struct fixture *f = *state;
	char text[1024];
	rf_store_close(f->s);
	f->s = NULL;
	sql(f, "DROP TABLE rule_pages; PRAGMA user_version=2; CREATE TABLE rules (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, parent TEXT "
	    "NOT NULL REFERENCES rulesets(id) ON DELETE CASCADE, name TEXT NOT NULL, doc TEXT NOT NULL, revision INTEGER NOT NULL, place "
	    "INTEGER NOT NULL, created INTEGER NOT NULL, modified INTEGER NOT NULL) STRICT");
	snprintf(text, sizeof text, "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO rules "
		 "(id, parent, name, doc, revision, place, created, modified) SELECT printf('%%032x', i), '%s', printf('ref %%d', i), '{\"t\":\"\"}', i, -i, 7, 8 "
		 "FROM n", f->set);
	sql(f, text);
	for (int again = 0; again < 2; again++) {
		RF_OBJECT_AUTO o = { 0 };
		GOOD(rf_store_open(f->path, &test_clock, &f->s, &f->e));
		struct model m = { .n = 500 };
		for (int i = 1; i <= 500; i++) {
			snprintf(m.v[i - 1].id, 33, "%032x", (unsigned)i);
			m.v[i - 1].place = -i;
			snprintf(m.v[i - 1].name, sizeof m.v[i - 1].name, "ref %d", i);
		}
		same(f, &m);
		GOOD(rf_store_find(f->s, RF_KIND_RULE, f->set, "ref 77", &o, &f->e));
		assert_int_equal(o.revision, 77);
		assert_int_equal(o.created_s, 7);
		assert_int_equal(o.modified_s, 8);
		rf_store_close(f->s);
		f->s = NULL;
	}
}

/* Version 3 had pages in which each row was written in full. */
static void pages_of_an_earlier_form_are_read(void **state)
{
	struct fixture *f = *state;
	char text[1024];
	rf_store_close(f->s);
	f->s = NULL;
	snprintf(text, sizeof text, "INSERT INTO rule_pages VALUES (5, '%s', CAST(x'20000100000008fffffffffffffffe0000000000000003"
		 "00000000000000070000000000000008' || CAST(printf('%%032x', 1) || 'n{\"t\":\"\"}' AS BLOB) AS BLOB)); PRAGMA user_version=3", f->set);
	sql(f, text);
	for (int again = 0; again < 2; again++) {
		RF_OBJECT_AUTO o = { 0 };
		GOOD(rf_store_open(f->path, &test_clock, &f->s, &f->e));
		GOOD(rf_store_find(f->s, RF_KIND_RULE, f->set, "n", &o, &f->e));
		assert_true(o.place == (again ? 9 : -2) && o.created_s == 7);
		GOOD(rf_store_begin(f->s, "test", &f->e));
		GOOD(rf_store_move(f->s, RF_KIND_RULE, o.id, 9, &f->e)); /* from here on it is as today's */
		GOOD(rf_store_commit(f->s, &f->e));
		rf_store_close(f->s);
		f->s = NULL;
	}
}

static void damaged_pages_are_told(void **state)
{
	struct fixture *f = *state;
	static const char *const damage[] = { "UPDATE rule_pages SET data = substr(data, 1, length(data) - 1)", "UPDATE rule_pages SET data = x''",
		"UPDATE rule_pages SET data = CAST(data || data AS BLOB)", "UPDATE rule_pages SET data = CAST(x'ff' || substr(data, 2) AS BLOB)",
		"UPDATE rule_pages SET data = x'80'", "UPDATE rule_pages SET data = CAST(substr(data, 1, 18) || x'ffffffffffffffffffffff' AS BLOB)",
		"UPDATE rule_pages SET data = CAST(substr(data, 1, 18) || x'0000000001007f' AS BLOB)", /* an end that there is not */
		"UPDATE rule_pages SET data = CAST(x'20' || substr(data, 3, 2) || x'7fffffff' || substr(data, 8) AS BLOB)" };
	for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
		GOOD(rf_store_begin(f->s, "test", &f->e));
		f->now.n = 0;
		for (int k = 0; k < 10; k++)
			put_row(f, &(struct model_row){ .place = k, .text = 20 });
		GOOD(rf_store_commit(f->s, &f->e));
		rf_store_close(f->s);
		sql(f, damage[i]);
		GOOD(rf_store_open(f->path, &test_clock, &f->s, &f->e));
		size_t n;
		assert_int_equal(rf_store_count(f->s, RF_KIND_RULE, &(struct rf_store_query){ .parent = f->set }, &n, &f->e), RF_E_DISK);
		assert_non_null(strstr(f->e.text, "damaged"));
		rf_store_close(f->s);
		sql(f, "DELETE FROM rule_pages");
		GOOD(rf_store_open(f->path, &test_clock, &f->s, &f->e));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pages_are_as_a_plain_array, setup, teardown),
		cmocka_unit_test_setup_teardown(pages_are_written_over, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_of_rows_that_went_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(two_rows_of_one_id_are_not_stored, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_kept_of_a_row, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_filled_stays_the_callers, setup, teardown),
		cmocka_unit_test_setup_teardown(rows_go_with_their_parent, setup, teardown),
		cmocka_unit_test_setup_teardown(a_name_is_found_while_rules_swap_theirs, setup, teardown),
		cmocka_unit_test_setup_teardown(an_older_file_keeps_its_rules, setup, teardown),
		cmocka_unit_test_setup_teardown(pages_of_an_earlier_form_are_read, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_pages_are_told, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
