/* Placed children: pages against a plain array, rollbacks, what the file holds, files of an earlier version, damage. */
#include "ctl/test_book.h"

enum { MOST = 600 };

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

static struct {
	uint64_t seed;
	struct model now, kept;
} play;

static int begin(void **state)
{
	memset(&play, 0, sizeof play);
	return setup(state);
}

static unsigned draw(unsigned below)
{
	play.seed = play.seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(play.seed >> 33) % below;
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

static int64_t free_place(void)
{
	for (;;) {
		int64_t place = (int64_t)draw(1 << 20) - (1 << 19);
		size_t i = 0;
		while (i < play.now.n && play.now.v[i].place != place)
			i++;
		if (i == play.now.n)
			return place;
	}
}

static void put_row(struct fixture *f, struct model_row *r)
{
	RF_OBJECT_AUTO o = { .place = r->place, .doc = doc_of(r->text) };
	memcpy(o.id, r->id, sizeof o.id);
	memcpy(o.parent, f->set, sizeof o.parent);
	r->name[0] = '\0';
	if (draw(2))
		memcpy(o.name, r->name, (size_t)snprintf(r->name, sizeof r->name, "name-%u", draw(5)) + 1); /* not unique */
	else if (!o.id[0])
		GOOD(rf_store_draw_id(f->s, o.id, &f->e));
	if (!o.name[0])
		memcpy(o.name, o.id, sizeof o.id);
	GOOD(rf_store_put(f->s, RF_KIND_RULE, &o, 0, &f->e));
	memcpy(r->id, o.id, sizeof r->id);
}

static void change(struct fixture *f)
{
	struct model *m = &play.now;
	unsigned what = draw(10), at = m->n ? draw((unsigned)m->n) : 0;
	unsigned text = draw(20) ? draw(200) : draw(3 * BOOK_PAGE_BYTES);
	if (m->n < MOST && (what < 5 || !m->n)) {
		m->v[m->n] = (struct model_row){ .place = free_place(), .text = text };
		put_row(f, &m->v[m->n++]);
	} else if (what < 7) {
		m->v[at].text = text;
		put_row(f, &m->v[at]);
	} else if (what < 8) {
		m->v[at].place = free_place();
		GOOD(rf_store_move(f->s, RF_KIND_RULE, m->v[at].id, m->v[at].place, &f->e));
	} else {
		GOOD(rf_store_del(f->s, RF_KIND_RULE, m->v[at].id, 0, &f->e));
		m->v[at] = m->v[--m->n];
	}
}

/* Places change hands. */
static void stir(struct model *m, struct rf_store_child *v)
{
	for (size_t i = 1; i < m->n && draw(2); i++) {
		size_t k = draw((unsigned)m->n);
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
	qsort(play.now.v, play.now.n, sizeof *play.now.v, by_place);
	for (size_t i = 0; i < play.now.n; i++) {
		struct model_row *r = &next.v[n];
		*r = play.now.v[i];
		unsigned what = draw(4);
		if (what == 0)
			continue;
		if (what == 1)
			r->text = draw(300);
		if (what == 2) {
			r->text = 7;
			GOOD(rf_store_draw_id(f->s, r->id, &f->e));
		}
		v[n] = (struct rf_store_child){ .place = r->place, .fresh = what == 2 };
		memcpy(v[n].id, r->id, sizeof v[n].id);
		if (what != 3) {
			strcpy(r->name, draw(2) ? "n" : "");
			text_of(&texts, &v[n], r->text, r->name[0] ? r->name : NULL);
		}
		n++;
	}
	next.n = n;
	stir(&next, v);
	if (n > 1) { /* what is wrong changes nothing */
		int64_t place = v[n - 1].place;
		v[n - 1].place = v[0].place;
		assert_int_equal(rf_store_fill(f->s, RF_KIND_RULE, f->set, &v, n, &texts, &f->e), RF_E_CONFLICT);
		v[n - 1].place = place;
		same_rows(f, &play.now);
	}
	GOOD(rf_store_fill(f->s, RF_KIND_RULE, f->set, &v, n, &texts, &f->e));
	assert_null(v);
	assert_int_equal(texts.n + texts.cap, 0);
	play.now = next;
}

/* Transactions of many steps, of which some are rolled back, and the file read anew in between. */
static void pages_are_as_a_plain_array(void **state)
{
	struct fixture *f = *state;
	for (int round = 0; round < 120; round++) {
		GOOD(rf_store_begin(f->s, "test", &f->e));
		for (unsigned i = 0, n = draw(40); i < n; i++)
			change(f);
		for (unsigned n = draw(4); n > 1; n--) {
			fill(f);
			if (draw(3) == 0)
				change(f);
		}
		if (draw(2))
			same(f, &play.now);
		if (draw(3) == 0) {
			rf_store_rollback(f->s);
			play.now = play.kept;
		} else {
			GOOD(rf_store_commit(f->s, &f->e));
			play.kept = play.now;
		}
		if (draw(4) == 0)
			reopen(f);
		same(f, &play.now);
	}
}

static void rows_go_with_their_parent(void **state)
{
	struct fixture *f = *state;
	GOOD(rf_store_begin(f->s, "test", &f->e));
	for (int i = 0; i < 200; i++)
		change(f);
	GOOD(rf_store_commit(f->s, &f->e));
	size_t n = rows_left(f);
	assert_int_equal(n, play.now.n);
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
		play.now.n = 0;
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
		cmocka_unit_test_setup_teardown(pages_are_as_a_plain_array, begin, teardown),
		cmocka_unit_test_setup_teardown(rows_go_with_their_parent, begin, teardown),
		cmocka_unit_test_setup_teardown(a_name_is_found_while_rules_swap_theirs, begin, teardown),
		cmocka_unit_test_setup_teardown(an_older_file_keeps_its_rules, begin, teardown),
		cmocka_unit_test_setup_teardown(pages_of_an_earlier_form_are_read, begin, teardown),
		cmocka_unit_test_setup_teardown(damaged_pages_are_told, begin, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
