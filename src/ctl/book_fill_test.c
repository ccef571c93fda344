/* All children at once: what is kept of those before, what they take of memory and of the file, what is wrong. */
#include "ctl/test_book.h"
#include "ctl/undo.h"

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

static int dump_one(const struct rf_raw_object *o, void *arg)
{
	rf_buf_printf(arg, "%s %s %lld %llu %.*s\n", o->id, o->name, (long long)o->place, (unsigned long long)o->revision, RF_ARG(o->doc));
	return RF_OK;
}

static void same_as(struct fixture *f, struct rf_buf *want)
{
	struct rf_store_query q = { .parent = f->set };
	RF_BUF_AUTO now = { 0 };
	GOOD(rf_store_scan(f->s, RF_KIND_RULE, &q, dump_one, &now, &f->e));
	assert_string_equal(rf_buf_z(&now), rf_buf_z(want));
}

static int no_tell(enum rf_kind k, const char *id, const char *parent, const char *name, enum rf_undone how, void *arg)
{
	(void)k, (void)id, (void)parent, (void)name, (void)how, (void)arg;
	return RF_OK;
}

/* A replacement that is not confirmed: the pages that it wrote over are what they were, and no other is there. */
static void a_replacement_is_taken_back(void **state)
{
	struct fixture *f = *state;
	static const size_t sizes[][2] = { { 300, 300 }, { 300, 1200 }, { 1200, 300 }, { 300, 0 }, { 0, 300 } };
	for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
		struct rf_store_query q = { .parent = f->set };
		struct rf_undo_count count;
		RF_BUF_AUTO before = { 0 };
		GOOD(rf_store_begin(f->s, "test", &f->e));
		fill_anew(f, sizes[i / 2][0], 20);
		GOOD(rf_store_commit(f->s, &f->e));
		GOOD(rf_store_scan(f->s, RF_KIND_RULE, &q, dump_one, &before, &f->e));
		GOOD(rf_store_begin(f->s, "test", &f->e));
		GOOD(rf_store_watch(f->s, &f->e));
		fill_anew(f, sizes[i / 2][1], 30);
		GOOD(rf_store_keep(f->s, &count, &f->e));
		GOOD(rf_store_commit(f->s, &f->e));
		if (i % 2)
			reopen(f);
		assert_int_equal(rows_left(f), sizes[i / 2][1]);
		GOOD(rf_store_begin(f->s, "test", &f->e));
		GOOD(rf_store_undo(f->s, no_tell, NULL, &f->e));
		same_as(f, &before);
		GOOD(rf_store_commit(f->s, &f->e));
		same_as(f, &before);
		reopen(f);
		same_as(f, &before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pages_are_written_over, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_of_rows_that_went_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(two_rows_of_one_id_are_not_stored, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_kept_of_a_row, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_filled_stays_the_callers, setup, teardown),
		cmocka_unit_test_setup_teardown(a_replacement_is_taken_back, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
