/* Replacements of all children of which one allocation after the other fails: each is there as a whole, or nothing of it is. The test is
 * linked so that what the core asks of malloc, calloc and realloc comes here. */
#include "ctl/test_book.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

enum { NEVER = -1, MOST = 60 /* allocations, of which the last does not happen any more */, ROWS = 700 };

static int left = NEVER; /* allocations until the one that fails */

static bool fails(void)
{
	return left >= 0 && left-- == 0;
}

void *__wrap_malloc(size_t n) { return fails() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return fails() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return fails() ? NULL : __real_realloc(p, n); }

struct filling {
	struct rf_store_child *v;
	struct rf_buf texts;
	char ids[ROWS][33];
};

/* A third of the rows stays as it is, of those that there are; the others say which replacement they are of. */
static void prepare(struct fixture *f, const char was[ROWS][33], unsigned generation, struct filling *to)
{
	to->v = calloc(ROWS, sizeof *to->v);
	to->texts = (struct rf_buf){ 0 };
	assert_non_null(rf_buf_room(&to->texts, ROWS * 200));
	for (unsigned i = 0; i < ROWS; i++) {
		struct rf_store_child *c = &to->v[i];
		*c = (struct rf_store_child){ .place = i, .fresh = !was || i % 3 };
		if (c->fresh) {
			GOOD(rf_store_draw_id(f->s, c->id, &f->e));
			text_of(&to->texts, c, generation, i % 5 ? NULL : "a name");
		} else {
			memcpy(c->id, was[i], sizeof c->id);
		}
		memcpy(to->ids[i], c->id, sizeof c->id);
	}
}

/* What an operator does: all rows, and then one of them, in one transaction. */
static int replace(struct fixture *f, struct filling *x, bool look)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_store_begin(f->s, "test", &f->e);
	if (rc == RF_OK)
		rc = rf_store_fill(f->s, RF_KIND_RULE, f->set, &x->v, ROWS, &x->texts, &f->e);
	assert_true(rc == RF_OK ? !x->v && !x->texts.p : x->v && x->texts.p);
	if (rc == RF_OK && look)
		rc = rf_store_get(f->s, RF_KIND_RULE, x->ids[7], &o, &f->e);
	if (rc == RF_OK && look)
		rc = rf_store_move(f->s, RF_KIND_RULE, x->ids[7], -1, &f->e);
	if (rc == RF_OK)
		rc = rf_store_commit(f->s, &f->e);
	rf_store_rollback(f->s);
	free(x->v);
	rf_buf_fini(&x->texts);
	return rc;
}

struct seen {
	size_t n, newest; /* the longest document is of the last replacement */
};

static int see(const struct rf_raw_object *o, void *arg)
{
	struct seen *s = arg;
	s->n++;
	s->newest = o->doc.n > s->newest ? o->doc.n : s->newest;
	return RF_OK;
}

static void there_is(struct fixture *f, unsigned generation)
{
	struct rf_store_query q = { .parent = f->set };
	struct seen s = { 0 };
	GOOD(rf_store_scan(f->s, RF_KIND_RULE, &q, see, &s, &f->e));
	assert_int_equal(s.n, ROWS);
	assert_int_equal(s.newest, generation + strlen("{\"t\":\"\"}"));
}

static void each_allocation_fails(void **state)
{
	struct fixture *f = *state;
	static struct filling first, next;
	static char there[ROWS][33];
	unsigned generation = 1, done = 0;
	prepare(f, NULL, generation, &first);
	GOOD(replace(f, &first, false));
	memcpy(there, first.ids, sizeof there);
	for (int at = 0; at < 4 * MOST; at++) {
		prepare(f, (const char (*)[33])there, generation + 1, &next);
		if (at % 4 > 1)
			reopen(f);
		left = at / 4;
		int rc = replace(f, &next, at % 2);
		bool failed = left < 0;
		left = NEVER;
		assert_true(rc == RF_OK || (rc == RF_E_NOMEM && failed));
		if (rc == RF_OK) {
			generation++;
			memcpy(there, next.ids, sizeof there);
		}
		done += !failed;
		there_is(f, generation);
		if (at % 8 == 7)
			reopen(f);
		there_is(f, generation);
	}
	assert_true(done > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(each_allocation_fails, setup, teardown) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
