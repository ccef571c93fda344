/* The store: objects, names, parents, revisions, audit; power cuts, full disks, files that are not ours. */
#include <fcntl.h>
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
#include <sqlite3.h>
#include "base/test_child.h"
#include "ctl/store.h"

static int64_t now_s = 1800000000;
static int64_t wall(void *ctx) { (void)ctx; return now_s * (int64_t)RF_NS_S; }
static uint64_t mono(void *ctx) { (void)ctx; return 0; }
static const struct rf_clock test_clock = { mono, wall, NULL };

enum { LOG_PAGES = 8, LOG_MAX = 64 }; /* few, so that thread and writer carry them over all the time */

struct fixture {
	char dir[64], path[96];
	struct rf_store *s;
	struct rf_err e;
	char account[33];
};

static int open_store(struct fixture *f)
{
	int rc = rf_store_open(f->path, &test_clock, &f->s, &f->e);
	return rc == RF_OK ? rf_store_apart(f->s, LOG_PAGES, LOG_MAX, &f->e) : rc;
}

static int put(struct fixture *f, enum rf_kind k, const char *parent, const char *name, char id[33], uint64_t if_revision)
{
	RF_OBJECT_AUTO o = { .doc = json_pack("{s:s, s:s}", "name", name, "class", "c1") };
	snprintf(o.parent, sizeof o.parent, "%s", parent);
	snprintf(o.name, sizeof o.name, "%s", name);
	if (id)
		snprintf(o.id, sizeof o.id, "%s", id);
	int rc = rf_store_put(f->s, k, &o, if_revision, &f->e);
	if (rc == RF_OK && id)
		snprintf(id, 33, "%s", o.id);
	return rc;
}

static int put_now(struct fixture *f, enum rf_kind k, const char *parent, const char *name, char id[33])
{
	assert_int_equal(rf_store_begin(f->s, "tester", &f->e), RF_OK);
	int rc = put(f, k, parent, name, id, 0);
	if (rc == RF_OK)
		return rf_store_commit(f->s, &f->e);
	rf_store_rollback(f->s);
	return rc;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	snprintf(f->dir, sizeof f->dir, "/tmp/rf-store-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof f->path, "%s/state.db", f->dir);
	*state = f;
	return open_store(f) || put_now(f, RF_KIND_ACCOUNT, "", "acme", f->account);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	test_child_end(NULL);
	rf_store_close(f->s);
	for (const char *const *x = (const char *const[]){ "", "-wal", "-shm", NULL }; *x; x++) {
		char path[128];
		snprintf(path, sizeof path, "%s%s", f->path, *x);
		unlink(path);
	}
	rmdir(f->dir);
	free(f);
	return 0;
}

static void reads_what_it_wrote(void **state)
{
	struct fixture *f = *state;
	char id[33] = "";
	assert_int_equal(put_now(f, RF_KIND_ZONE, f->account, "example.com", id), RF_OK);
	assert_int_equal(strlen(id), 32);
	struct rf_object o;
	assert_int_equal(rf_store_get(f->s, RF_KIND_ZONE, id, &o, &f->e), RF_OK);
	assert_string_equal(o.name, "example.com");
	assert_string_equal(o.parent, f->account);
	assert_int_equal(o.created_s, now_s);
	assert_string_equal(json_string_value(json_object_get(o.doc, "name")), "example.com");
	rf_object_fini(&o);
	assert_int_equal(rf_store_find(f->s, RF_KIND_ZONE, f->account, "example.com", &o, &f->e), RF_OK);
	assert_string_equal(o.id, id);
	rf_object_fini(&o);
	assert_int_equal(rf_store_find(f->s, RF_KIND_ZONE, "other", "example.com", &o, &f->e), RF_E_NOT_FOUND);
	assert_int_equal(rf_store_get(f->s, RF_KIND_DEVICE, id, &o, &f->e), RF_E_NOT_FOUND);
	struct stat st;
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void refuses_taken_names_and_absent_parents(void **state)
{
	struct fixture *f = *state;
	char a[33] = "";
	assert_int_equal(put_now(f, RF_KIND_ZONE, f->account, "example.com", NULL), RF_OK);
	assert_int_equal(put_now(f, RF_KIND_ZONE, f->account, "example.com", NULL), RF_E_EXISTS);
	assert_int_equal(put_now(f, RF_KIND_ZONE, "00000000000000000000000000000000", "b.example", NULL), RF_E_CONFLICT);
	assert_int_equal(put_now(f, RF_KIND_DEVICE, f->account, "same", a), RF_OK);
	assert_int_equal(put_now(f, RF_KIND_DEVICE, f->account, "same", NULL), RF_OK);
	assert_int_equal(put(f, RF_KIND_DEVICE, f->account, "outside", NULL, 0), RF_E_INTERNAL);
}

static void one_of_two_writers_is_told(void **state)
{
	struct fixture *f = *state;
	char id[33] = "";
	assert_int_equal(put_now(f, RF_KIND_CLASS, f->account, "meter", id), RF_OK);
	uint64_t seen = rf_store_revision(f->s);
	assert_int_equal(rf_store_begin(f->s, "one", &f->e), RF_OK);
	assert_int_equal(put(f, RF_KIND_CLASS, f->account, "meter2", id, seen), RF_OK);
	assert_int_equal(rf_store_commit(f->s, &f->e), RF_OK);
	assert_int_equal(rf_store_begin(f->s, "two", &f->e), RF_OK);
	assert_int_equal(put(f, RF_KIND_CLASS, f->account, "meter3", id, seen), RF_E_STALE);
	assert_int_equal(rf_store_del(f->s, RF_KIND_CLASS, id, seen, &f->e), RF_E_STALE);
	rf_store_rollback(f->s);
	assert_int_equal(rf_store_revision(f->s), seen + 1);
}

static void a_parent_takes_its_children_along(void **state)
{
	struct fixture *f = *state;
	char dev[33] = "", cred[33] = "";
	assert_int_equal(put_now(f, RF_KIND_DEVICE, f->account, "d", dev), RF_OK);
	assert_int_equal(put_now(f, RF_KIND_CREDENTIAL, dev, "ski:00", cred), RF_OK);
	assert_int_equal(rf_store_begin(f->s, "x", &f->e), RF_OK);
	assert_int_equal(rf_store_del(f->s, RF_KIND_DEVICE, dev, 0, &f->e), RF_OK);
	assert_int_equal(rf_store_del(f->s, RF_KIND_DEVICE, dev, 0, &f->e), RF_E_NOT_FOUND);
	assert_int_equal(rf_store_commit(f->s, &f->e), RF_OK);
	struct rf_object o;
	assert_int_equal(rf_store_get(f->s, RF_KIND_CREDENTIAL, cred, &o, &f->e), RF_E_NOT_FOUND);
}

static int collect(const struct rf_object *o, void *arg)
{
	strcat(strcat(arg, o->name), " ");
	return 0;
}

static void lists_in_order_with_filters(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 5; i++) {
		char name[16];
		snprintf(name, sizeof name, "Dev%d", i);
		assert_int_equal(put_now(f, RF_KIND_DEVICE, f->account, name, NULL), RF_OK);
	}
	char got[128] = "";
	size_t total;
	struct rf_store_query q = { .parent = f->account, .offset = 1, .limit = 2 };
	assert_int_equal(rf_store_list(f->s, RF_KIND_DEVICE, &q, collect, got, &total, &f->e), RF_OK);
	assert_string_equal(got, "Dev1 Dev2 ");
	assert_int_equal(total, 5);
	got[0] = '\0';
	q = (struct rf_store_query){ .descending = true, .limit = 2 };
	assert_int_equal(rf_store_list(f->s, RF_KIND_DEVICE, &q, collect, got, NULL, &f->e), RF_OK);
	assert_string_equal(got, "Dev4 Dev3 ");
	got[0] = '\0';
	q = (struct rf_store_query){ .search = "EV3", .match = { { "class", "c1" } } };
	assert_int_equal(rf_store_list(f->s, RF_KIND_DEVICE, &q, collect, got, &total, &f->e), RF_OK);
	assert_string_equal(got, "Dev3 ");
	q = (struct rf_store_query){ .match = { { "class", "it's \"other\"" } } };
	assert_int_equal(rf_store_count(f->s, RF_KIND_DEVICE, &q, &total, &f->e), RF_OK);
	assert_int_equal(total, 0);
}

static int collect_audit(const struct rf_audit *a, void *arg)
{
	char line[200];
	snprintf(line, sizeof line, "%s:%s:%s:%d:%d ", a->actor, a->kind, a->action, a->old_revision != 0,
		 a->new_revision != 0);
	strcat(arg, line);
	return 0;
}

static void every_write_is_audited(void **state)
{
	struct fixture *f = *state;
	char id[33] = "";
	assert_int_equal(put_now(f, RF_KIND_CLASS, f->account, "a", id), RF_OK);
	assert_int_equal(put_now(f, RF_KIND_CLASS, f->account, "b", id), RF_OK);
	assert_int_equal(rf_store_begin(f->s, "bob", &f->e), RF_OK);
	assert_int_equal(rf_store_del(f->s, RF_KIND_CLASS, id, 0, &f->e), RF_OK);
	rf_store_rollback(f->s);
	char got[512] = "";
	size_t total;
	assert_int_equal(rf_store_audit(f->s, 0, 2, collect_audit, got, &total, &f->e), RF_OK);
	assert_string_equal(got, "tester:classes:update:1:1 tester:classes:create:0:1 ");
	assert_int_equal(total, 3);
}

static void survives_a_restart(void **state)
{
	struct fixture *f = *state;
	uint64_t revision = rf_store_revision(f->s);
	rf_store_close(f->s);
	f->s = NULL;
	assert_int_equal(open_store(f), RF_OK);
	assert_int_equal(rf_store_revision(f->s), revision);
	struct rf_object o;
	assert_int_equal(rf_store_get(f->s, RF_KIND_ACCOUNT, f->account, &o, &f->e), RF_OK);
	rf_object_fini(&o);
}

static void sql(const char *path, const char *text)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void refuses_files_that_are_not_its_own(void **state)
{
	struct fixture *f = *state;
	rf_store_close(f->s);
	f->s = NULL;
	sql(f->path, "PRAGMA user_version=99");
	assert_int_equal(open_store(f), RF_E_UNSUPPORTED);
	assert_non_null(strstr(f->e.text, "newer release"));
	unlink(f->path);
	sql(f->path, "CREATE TABLE other(x)");
	assert_int_equal(open_store(f), RF_E_INVALID);
	assert_non_null(strstr(f->e.text, "another program"));
	unlink(f->path);
	int fd = open(f->path, O_CREAT | O_WRONLY, 0600);
	for (int i = 0; i < 200; i++)
		assert_int_equal(write(fd, "this is a letter to my mother, not a database.\n", 47), 47);
	close(fd);
	assert_int_equal(open_store(f), RF_E_INVALID);
	assert_non_null(strstr(f->e.text, "not a state file"));
	unlink(f->path);
	snprintf(f->path, sizeof f->path, "%s/absent/state.db", f->dir);
	assert_int_equal(open_store(f), RF_E_DISK);
	snprintf(f->path, sizeof f->path, "%s/state.db", f->dir);
}

static void a_damaged_file_is_named(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 200; i++)
		assert_int_equal(put_now(f, RF_KIND_DEVICE, f->account, "d", NULL), RF_OK);
	rf_store_close(f->s);
	f->s = NULL;
	int fd = open(f->path, O_WRONLY);
	char junk[4096];
	memset(junk, 0xa5, sizeof junk);
	struct stat st;
	fstat(fd, &st);
	for (off_t at = 4096; at < st.st_size; at += 4096)
		assert_int_equal(pwrite(fd, junk, sizeof junk, at), 4096);
	close(fd);
	int rc = open_store(f);
	char got[8192] = "";
	if (rc == RF_OK)
		rc = rf_store_list(f->s, RF_KIND_DEVICE, &(struct rf_store_query){ 0 }, collect, got, NULL, &f->e);
	assert_int_equal(rc, RF_E_DISK);
	assert_non_null(strstr(f->e.text, "damaged"));
}

/* A child may write no more than a few pages: the change that does not fit is absent, the earlier ones are there,
 * and the store still answers. */
static void a_full_disk_loses_nothing(void **state)
{
	struct fixture *f = *state;
	rf_store_close(f->s);
	f->s = NULL;
	if (test_fork() == 0) {
		signal(SIGXFSZ, SIG_IGN);
		if (open_store(f) != RF_OK)
			_exit(10);
		struct stat st = { 0 };
		char wal[128];
		snprintf(wal, sizeof wal, "%s-wal", f->path);
		stat(wal, &st);
		setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 600000, 600000 });
		int stored = 0, rc = RF_OK;
		for (; stored < 10000 && rc == RF_OK; stored += rc == RF_OK)
			rc = put_now(f, RF_KIND_DEVICE, f->account, "device with some name", NULL);
		size_t count = 0;
		if (rc != RF_E_DISK || rf_store_count(f->s, RF_KIND_DEVICE, &(struct rf_store_query){ 0 }, &count, &f->e))
			_exit(11);
		_exit(count == (size_t)stored && stored > 0 ? 0 : 12);
	}
	assert_int_equal(test_child_wait(), 0);
	assert_int_equal(open_store(f), RF_OK);
}

/* A child writes pairs (two objects a transaction) and tells each acknowledged one over a pipe, until it is
 * killed: what it told is there, and no half of a pair ever is. */
static void kill_at_random_points(void **state)
{
	struct fixture *f = *state;
	rf_store_close(f->s);
	f->s = NULL;
	size_t told = 0;
	for (int round = 0; round < 8; round++) {
		int fds[2];
		assert_int_equal(pipe(fds), 0);
		pid_t pid = test_fork();
		if (pid == 0) {
			if (open_store(f) != RF_OK)
				_exit(1);
			for (;;) {
				if (rf_store_begin(f->s, "child", &f->e) || put(f, RF_KIND_DEVICE, f->account, "left", NULL, 0) ||
				    put(f, RF_KIND_DEVICE, f->account, "right", NULL, 0) || rf_store_commit(f->s, &f->e) ||
				    write(fds[1], "x", 1) != 1)
					_exit(2);
			}
		}
		close(fds[1]);
		char c;
		for (int i = 0; i < 3 + round * 5; i++)
			told += read(fds[0], &c, 1) == 1;
		usleep((useconds_t)(round * 211));
		kill(pid, SIGKILL);
		while (read(fds[0], &c, 1) == 1)
			told++;
		close(fds[0]);
		assert_int_equal(test_child_wait(), -SIGKILL);
		assert_int_equal(open_store(f), RF_OK);
		size_t left, right;
		struct rf_store_query q = { .name = "left" };
		assert_int_equal(rf_store_count(f->s, RF_KIND_DEVICE, &q, &left, &f->e), RF_OK);
		q.name = "right";
		assert_int_equal(rf_store_count(f->s, RF_KIND_DEVICE, &q, &right, &f->e), RF_OK);
		assert_int_equal(left, right);
		assert_true(left >= told);
		assert_true(left <= told + (size_t)round + 1); /* at most one a round was stored but not told */
		rf_store_close(f->s);
		f->s = NULL;
	}
}

enum { GROW = 100000 /* generations from here on are ever larger */ };

static size_t rules_of(int generation)
{
	return 200 + (generation < GROW ? (size_t)(generation % 7) * 90 : (size_t)(generation - GROW) * 200);
}

/* All rules of a ruleset by others; each says of which generation it is. Some are of the one before; the first of all goes again. */
static int replace_rules(struct fixture *f, const char *set, int generation)
{
	size_t n = rules_of(generation) + 1;
	struct rf_store_child *v = calloc(n, sizeof *v);
	struct rf_buf texts = { 0 };
	int rc = v && rf_buf_room(&texts, n * 200) ? rf_store_begin(f->s, "tester", &f->e) : RF_E_NOMEM;
	for (size_t i = 0; i < n && rc == RF_OK; i++) {
		char *doc = texts.p + texts.n;
		unsigned long long x = ((unsigned long long)generation * 10000 + i) * 0x9e3779b97f4a7c15;
		rf_buf_printf(&texts, "{\"g\":\"%06d\",\"t\":\"%llx%llx%llx\"}", generation, x, x * x, x * 3);
		v[i] = (struct rf_store_child){ .doc = doc, .doc_n = (uint32_t)strlen(doc), .place = (int64_t)i, .fresh = i > 50 };
		if (v[i].fresh)
			rc = rf_store_draw_id(f->s, v[i].id, &f->e);
		else
			snprintf(v[i].id, sizeof v[i].id, "stays-%zu", i);
	}
	if (rc == RF_OK)
		rc = rf_store_fill(f->s, RF_KIND_RULE, set, &v, n, &texts, &f->e);
	if (rc == RF_OK && generation % 2)
		rc = rf_store_del(f->s, RF_KIND_RULE, "stays-0", 0, &f->e);
	if (rc == RF_OK)
		rc = rf_store_commit(f->s, &f->e);
	rf_store_rollback(f->s);
	free(v);
	rf_buf_fini(&texts);
	return rc;
}

struct seen {
	int generation;
	size_t n;
};

static int see_rule(const struct rf_raw_object *o, void *arg)
{
	struct seen *s = arg;
	int generation = atoi(o->doc.p + strlen("{\"g\":\""));
	if (s->n++ && generation != s->generation)
		return RF_E_CONFLICT;
	s->generation = generation;
	return RF_OK;
}

/* Of which generation all rules are; -1: they are of several, or not all are there. */
static int generation_of(struct fixture *f, const char *set)
{
	struct rf_store_query q = { .parent = set };
	struct seen s = { 0 };
	int rc = rf_store_scan(f->s, RF_KIND_RULE, &q, see_rule, &s, &f->e);
	return rc == RF_OK && s.n == rules_of(s.generation) + 1 - (unsigned)s.generation % 2 ? s.generation : -1;
}

static void a_full_disk_leaves_the_rules_before(void **state)
{
	struct fixture *f = *state;
	char set[33] = "";
	assert_int_equal(put_now(f, RF_KIND_RULESET, f->account, "root:http_request", set), RF_OK);
	rf_store_close(f->s);
	f->s = NULL;
	if (test_fork() == 0) {
		signal(SIGXFSZ, SIG_IGN);
		if (open_store(f) != RF_OK)
			_exit(100);
		setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 300000, 300000 });
		int stored = 0, rc = RF_OK;
		while (stored < 90 && (rc = replace_rules(f, set, GROW + stored + 1)) == RF_OK)
			stored++;
		for (int again = 0; again < 3 && rc == RF_E_DISK; again++)
			if (generation_of(f, set) != GROW + stored || replace_rules(f, set, GROW + stored + 1) == RF_OK)
				_exit(101);
		rf_store_close(f->s);
		_exit(rc == RF_E_DISK ? stored : 102);
	}
	int stored = test_child_wait();
	assert_in_range(stored, 1, 89);
	assert_int_equal(open_store(f), RF_OK);
	assert_int_equal(generation_of(f, set), GROW + stored);
	assert_int_equal(replace_rules(f, set, 5), RF_OK);
	assert_int_equal(generation_of(f, set), 5);
}

static void write_generations(struct fixture *f, const char *set, int from, int told)
{
	if (open_store(f) != RF_OK)
		_exit(1);
	for (int g = from; replace_rules(f, set, g) == RF_OK && write(told, &g, sizeof g) == sizeof g;)
		g++;
	_exit(2);
}

/* Whenever it is killed who replaces them: the rules are those of one replacement, and not of one before the last that was told. */
static void a_replacement_is_there_as_a_whole(void **state)
{
	struct fixture *f = *state;
	char set[33] = "";
	int there = 0;
	assert_int_equal(put_now(f, RF_KIND_RULESET, f->account, "root:http_request", set), RF_OK);
	rf_store_close(f->s);
	f->s = NULL;
	for (int round = 0; round < 12; round++) {
		int fds[2], told = there;
		assert_int_equal(pipe(fds), 0);
		pid_t pid = test_fork();
		if (pid == 0)
			write_generations(f, set, there + 1, fds[1]);
		close(fds[1]);
		for (int i = 0; i < 2 + round; i++)
			assert_int_equal(read(fds[0], &told, sizeof told), sizeof told);
		usleep((useconds_t)(round * 307));
		kill(pid, SIGKILL);
		while (read(fds[0], &told, sizeof told) == sizeof told)
			;
		close(fds[0]);
		assert_int_equal(test_child_wait(), -SIGKILL);
		assert_int_equal(open_store(f), RF_OK);
		there = generation_of(f, set);
		assert_in_range(there, told, told + 1);
		rf_store_close(f->s);
		f->s = NULL;
	}
}

static int no_randomness(void *ctx, void *to, size_t n)
{
	(void)ctx, (void)to, (void)n;
	return -1;
}

static void an_id_needs_randomness(void **state)
{
	struct fixture *f = *state;
	rf_store_random(f->s, no_randomness, NULL);
	assert_int_equal(put_now(f, RF_KIND_CLASS, f->account, "a", NULL), RF_E_CRYPTO);
}

static int from_a_number(void *ctx, void *to, size_t n)
{
	unsigned *drawn = ctx;
	memset(to, (int)++*drawn, n);
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Over several times that randomness was asked for, which is seldom. */
static void ids_are_their_own(void **state)
{
	enum { IDS = 5000 };
	struct fixture *f = *state;
	unsigned drawn = 0;
	char (*id)[33] = calloc(IDS, sizeof *id), first[33];
	assert_non_null(id);
	rf_store_random(f->s, from_a_number, &drawn);
	for (size_t i = 0; i < IDS; i++) {
		assert_int_equal(rf_store_draw_id(f->s, id[i], &f->e), RF_OK);
		assert_int_equal(strspn(id[i], "0123456789abcdef"), 32);
	}
	assert_in_range(drawn, 2, IDS / 500);
	memcpy(first, id[0], sizeof first);
	qsort(id, IDS, sizeof *id, by_text);
	for (size_t i = 1; i < IDS; i++)
		assert_string_not_equal(id[i - 1], id[i]);
	drawn = 0;
	rf_store_random(f->s, from_a_number, &drawn); /* nothing is left of what came from another source */
	assert_int_equal(rf_store_draw_id(f->s, id[0], &f->e), RF_OK);
	assert_string_equal(id[0], first);
	free(id);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(reads_what_it_wrote), T(refuses_taken_names_and_absent_parents), T(one_of_two_writers_is_told),
		T(a_parent_takes_its_children_along), T(lists_in_order_with_filters), T(every_write_is_audited),
		T(survives_a_restart), T(refuses_files_that_are_not_its_own), T(a_damaged_file_is_named),
		T(a_full_disk_loses_nothing), T(kill_at_random_points), T(a_full_disk_leaves_the_rules_before),
		T(a_replacement_is_there_as_a_whole), T(an_id_needs_randomness), T(ids_are_their_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
