/* The log of the state: the thread carries it over and the writer does not, but at the bound; readers that hold it; a full disk. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <limits.h>
#include <sqlite3.h>
#include "base/test_child.h"
#include "ctl/store.h"
#include "records/counters.h"

enum { RULES = 5000, PAGE = 4096, FRAME = PAGE + 24, NEVER = INT_MAX, GIVE_UP_MS = 20000 };

static int64_t wall(void *ctx) { (void)ctx; return 1800000000 * (int64_t)RF_NS_S; }
static uint64_t mono(void *ctx) { (void)ctx; return 0; }
static const struct rf_clock test_clock = { mono, wall, NULL };

static struct fixture {
	char dir[64], path[96], log[100];
	struct rf_store *s;
	struct rf_err e;
	char account[33], set[33];
	int64_t place;
} f;

#define GOOD(call) good((call), #call, __LINE__)
static void good(int rc, const char *call, int line)
{
	if (rc != RF_OK)
		print_error("%s: %s\n", call, f.e.text);
	_assert_int_equal(rc, RF_OK, __FILE__, line);
}

static void put(enum rf_kind k, const char *parent, char id[33])
{
	RF_OBJECT_AUTO o = { .doc = json_object() };
	snprintf(o.parent, sizeof o.parent, "%s", parent);
	GOOD(rf_store_begin(f.s, "tester", &f.e));
	GOOD(rf_store_put(f.s, k, &o, 0, &f.e));
	GOOD(rf_store_commit(f.s, &f.e));
	memcpy(id, o.id, sizeof o.id);
}

static int setup(void **state)
{
	(void)state;
	f = (struct fixture){ .dir = "/tmp/rf-log-XXXXXX" };
	if (!mkdtemp(f.dir))
		return -1;
	snprintf(f.path, sizeof f.path, "%s/state.db", f.dir);
	snprintf(f.log, sizeof f.log, "%s-wal", f.path);
	GOOD(rf_store_open(f.path, &test_clock, &f.s, &f.e));
	put(RF_KIND_ACCOUNT, "", f.account);
	put(RF_KIND_RULESET, f.account, f.set);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_child_end(NULL);
	rf_store_close(f.s);
	for (const char *const *x = (const char *const[]){ "", "-wal", "-shm", NULL }; *x; x++) {
		char path[128];
		snprintf(path, sizeof path, "%s%s", f.path, *x);
		unlink(path);
	}
	return rmdir(f.dir);
}

/* All rules by others, as the API does. The result of the commit. */
static int replace(void)
{
	enum { LONGEST = 200 };
	struct rf_store_child *v = calloc(RULES, sizeof *v);
	struct rf_buf texts = { 0 };
	GOOD(rf_store_begin(f.s, "tester", &f.e));
	assert_non_null(rf_buf_room(&texts, RULES * LONGEST));
	for (size_t i = 0; i < RULES; i++) {
		char *doc = texts.p + texts.n;
		unsigned long long n = (unsigned long long)++f.place * 0x9e3779b97f4a7c15;
		rf_buf_printf(&texts, "{\"expression\":\"http.request.uri.path eq \\\"/%llx/%llx/%llx/%llx\\\"\"}", n, n * n, n * 3, n * 5);
		v[i] = (struct rf_store_child){ .doc = doc, .doc_n = (uint32_t)strlen(doc), .place = f.place, .fresh = true };
		GOOD(rf_store_draw_id(f.s, v[i].id, &f.e));
	}
	GOOD(rf_store_fill(f.s, RF_KIND_RULE, f.set, &v, RULES, &texts, &f.e));
	return rf_store_commit(f.s, &f.e);
}

static int add(void)
{
	RF_OBJECT_AUTO o = { .doc = json_pack("{s:s}", "model", "a camera of some make") };
	memcpy(o.parent, f.account, sizeof o.parent);
	int rc = rf_store_begin(f.s, "tester", &f.e);
	if (rc == RF_OK)
		rc = rf_store_put(f.s, RF_KIND_DEVICE, &o, 0, &f.e);
	if (rc == RF_OK)
		rc = rf_store_commit(f.s, &f.e);
	rf_store_rollback(f.s);
	return rc;
}

static struct stat of(const char *path)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return st;
}

static uint64_t passes(void)
{
	return rf_counter_sum(RF_C_STATE_LOG_WHOLE) + rf_counter_sum(RF_C_STATE_LOG_PART) + rf_counter_sum(RF_C_STATE_LOG_FAILED);
}

static bool grows_beyond(enum rf_counter c, uint64_t n)
{
	for (int ms = 0; ms < GIVE_UP_MS && rf_counter_sum(c) <= n; ms++)
		usleep(1000);
	return rf_counter_sum(c) > n;
}

/* No page of the file itself changes while the thread sleeps, however long the log gets. */
static void who_replaces_rules_does_not_carry_the_log(void **state)
{
	(void)state;
	GOOD(rf_store_apart(f.s, NEVER, NEVER, &f.e));
	struct stat before = of(f.path);
	uint64_t done = passes();
	while (of(f.log).st_size < 2 * RF_STORE_LOG_PAGES * FRAME)
		GOOD(replace());
	struct stat after = of(f.path);
	assert_int_equal(after.st_size, before.st_size);
	assert_int_equal(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
	assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
	assert_int_equal(passes(), done);
}

static void the_thread_does(void **state)
{
	(void)state;
	uint64_t whole = rf_counter_sum(RF_C_STATE_LOG_WHOLE), writer = rf_counter_sum(RF_C_STATE_LOG_WRITER);
	GOOD(rf_store_apart(f.s, 20, RF_STORE_LOG_MAX, &f.e));
	off_t before = of(f.path).st_size;
	GOOD(replace());
	assert_true(grows_beyond(RF_C_STATE_LOG_WHOLE, whole));
	assert_true(of(f.path).st_size > before);
	off_t log = of(f.log).st_size;
	for (int i = 0; i < 5; i++) { /* each begins the log anew */
		whole = rf_counter_sum(RF_C_STATE_LOG_WHOLE);
		GOOD(replace());
		assert_true(grows_beyond(RF_C_STATE_LOG_WHOLE, whole));
	}
	assert_true(of(f.log).st_size < 2 * log);
	assert_int_equal(rf_counter_sum(RF_C_STATE_LOG_WRITER), writer);
}

/* With a thread that never comes to it: the writer bounds the log. */
static void the_writer_does_at_the_bound(void **state)
{
	(void)state;
	enum { MAX = 200 };
	uint64_t writer = rf_counter_sum(RF_C_STATE_LOG_WRITER);
	GOOD(rf_store_apart(f.s, NEVER, MAX, &f.e));
	GOOD(replace());
	off_t one = of(f.log).st_size;
	for (int i = 0; i < 30; i++)
		GOOD(replace());
	assert_true(rf_counter_sum(RF_C_STATE_LOG_WRITER) > writer);
	assert_true(of(f.log).st_size <= MAX * FRAME + 2 * one);
}

/* A reader of an old state keeps the log; nobody waits for it, and when it ends the log is begun anew. */
static void a_reader_holds_the_log_and_nothing_else(void **state)
{
	(void)state;
	enum { PAGES = 20, MAX = 200 };
	sqlite3 *reader;
	GOOD(rf_store_apart(f.s, PAGES, MAX, &f.e));
	assert_int_equal(sqlite3_open_v2(f.path, &reader, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM meta", NULL, NULL, NULL), SQLITE_OK);
	uint64_t writer = rf_counter_sum(RF_C_STATE_LOG_WRITER);
	int commits = 0;
	for (; of(f.log).st_size < 3 * MAX * FRAME; commits++)
		GOOD(replace());
	uint64_t tries = rf_counter_sum(RF_C_STATE_LOG_WRITER) - writer;
	assert_true(tries > 0 && tries <= (uint64_t)commits);
	assert_int_equal(sqlite3_close(reader), SQLITE_OK);
	GOOD(replace());
	off_t held = of(f.log).st_size;
	for (int i = 0; i < 2 * commits; i++)
		GOOD(replace());
	assert_true(of(f.log).st_size <= held);
}

/* In a child: the file may not grow, the log may a little. 0: all as it should be. */
static int on_a_full_disk(void)
{
	uint64_t failed = rf_counter_sum(RF_C_STATE_LOG_FAILED), whole;
	struct rlimit was, few = { 0 };
	signal(SIGXFSZ, SIG_IGN);
	if (rf_store_open(f.path, &test_clock, &f.s, &f.e) != RF_OK || rf_store_apart(f.s, 20, 100, &f.e) != RF_OK)
		return 10;
	getrlimit(RLIMIT_FSIZE, &was);
	few = (struct rlimit){ (rlim_t)of(f.path).st_size + 100 * PAGE, was.rlim_max };
	setrlimit(RLIMIT_FSIZE, &few);
	int rc = RF_OK, commits = 0;
	for (; rc == RF_OK && commits < 10000; commits += rc == RF_OK)
		rc = add();
	if (rc != RF_E_DISK || !commits || rf_counter_sum(RF_C_STATE_LOG_FAILED) == failed)
		return 11;
	setrlimit(RLIMIT_FSIZE, &was);
	whole = rf_counter_sum(RF_C_STATE_LOG_WHOLE);
	for (int i = 0; i < 5; i++, commits++)
		if (add() != RF_OK)
			return 12;
	if (!grows_beyond(RF_C_STATE_LOG_WHOLE, whole))
		return 13;
	size_t n = 0;
	rf_store_close(f.s);
	if (rf_store_open(f.path, &test_clock, &f.s, &f.e) || rf_store_count(f.s, RF_KIND_DEVICE, &(struct rf_store_query){ 0 }, &n, &f.e))
		return 14;
	return n == (size_t)commits ? 0 : 15;
}

static void a_full_disk_is_counted_and_got_over(void **state)
{
	(void)state;
	rf_store_close(f.s);
	f.s = NULL;
	if (test_fork() == 0)
		_exit(on_a_full_disk());
	assert_int_equal(test_child_wait(), 0);
}

static void what_is_missing_is_told(void **state)
{
	(void)state;
	unlink(f.path);
	assert_int_equal(rf_store_apart(f.s, 1, 1, &f.e), RF_E_DISK);
	assert_non_null(strstr(f.e.text, f.path));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(who_replaces_rules_does_not_carry_the_log), T(the_thread_does), T(the_writer_does_at_the_bound),
		T(a_reader_holds_the_log_and_nothing_else), T(a_full_disk_is_counted_and_got_over), T(what_is_missing_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
