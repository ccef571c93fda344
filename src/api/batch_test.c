/* A batch over a real store and control thread: all of it is in force, or nothing is there. */
#include "api/test_ask.h"
#include "base/test_child.h"

enum { MANY = 400 }; /* operations of a batch that is killed */

static void api_open(void)
{
	struct rf_api_conf conf = { .store = w.ctl.store, .clock = w.ctl.clock, .ca = w.ctl.ca, .version = "test", .loop = w.ctl.loop,
				    .state = rf_api_state_of(&w.ctl) };
	assert_non_null(api = rf_api_new(&conf, &w.e));
}

/* "@" stands for the account's path. */
static int batch(const char *query, const char *operations, long long revision)
{
	RF_BUF_AUTO b = { 0 };
	char rest[64];
	rf_buf_printf(&b, "{\"revision\":%lld,\"operations\":[", revision);
	for (const char *p = operations; *p; p++)
		if (*p == '@')
			rf_buf_printf(&b, "/client/v4/accounts/%s", w.ctl.account_id);
		else
			rf_buf_addc(&b, *p);
	rf_buf_printf(&b, "]}");
	snprintf(rest, sizeof rest, "batch%s", query);
	return ask(RF_HTTP_POST, rest, rf_buf_z(&b));
}

static const char *pointer(void)
{
	const char *z = NULL;
	json_unpack(body, "{s:[{s:{s:s}}]}", "errors", "source", "pointer", &z);
	return z ? z : "";
}

static size_t count(enum rf_kind k)
{
	size_t n = 0;
	struct rf_store_query all = { 0 };
	GOOD(rf_store_count(w.ctl.store, k, &all, &n, &w.e));
	return n;
}

/* A list, its entries, a rule that names it, a class, a device of it: each needs the one before. */
static const char good[] =
	"{\"method\":\"POST\",\"path\":\"@/rules/lists\",\"body\":{\"name\":\"office\",\"kind\":\"ip\"},\"as\":\"office\"},"
	"{\"method\":\"POST\",\"path\":\"@/rules/lists/~office~/items\",\"body\":[{\"ip\":\"192.0.2.0/24\"}]},"
	"{\"method\":\"PUT\",\"path\":\"@/rulesets/phases/http_request/entrypoint\",\"body\":{\"rules\":[{\"action\":\"block\","
	"\"expression\":\"ip.src in $office\"}]}},"
	"{\"method\":\"POST\",\"path\":\"@/classes\",\"body\":{\"name\":\"lamps\"},\"as\":\"class\"},"
	"{\"method\":\"POST\",\"path\":\"@/devices\",\"body\":{\"name\":\"lamp-1\",\"class_id\":\"~class~\"}}";

static int setup(void **state)
{
	(void)state;
	world_open("");
	api_open();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rf_api_free(api);
	json_decref(body);
	body = NULL;
	world_close();
	return 0;
}

static bool in_force(void)
{
	const struct rf_lists *t = rf_snap_now()->lists;
	const struct rf_list *l = rf_lists_at(t, rf_lists_find(t, RF_STR("office")));
	struct rf_ip ip = { 4, { 192, 0, 2, 9 } };
	return l && rf_list_has_ip(l, &ip) && rf_snap_now()->policy.phase[RF_PHASE_HTTP_REQUEST];
}

static void all_of_it_is_in_force(void **state)
{
	(void)state;
	uint64_t generation = rf_snap_now()->generation;
	assert_int_equal(batch("", good, 0), 200);
	assert_true(in_force());
	assert_int_equal(rf_snap_now()->generation, generation + 1); /* one change */
	assert_int_equal(count(RF_KIND_DEVICE), 1);
	assert_int_equal(rf_registry_count(w.ctl.devices), 1);
	assert_int_equal(json_array_size(json_object_get(json_object_get(body, "result"), "results")), 5);
}

static void one_bad_part_undoes_all(void **state)
{
	(void)state;
	static const struct { const char *last, *pointer; int status; } cases[] = {
		{ ",{\"method\":\"POST\",\"path\":\"@/classes\",\"body\":{\"name\":\"lamps\"}}", "/operations/5/body/name", 409 },
		{ ",{\"method\":\"POST\",\"path\":\"@/classes\",\"body\":{\"nam\":\"x\"}}", "/operations/5/body/nam", 400 },
		{ ",{\"method\":\"GET\",\"path\":\"@/classes\"}", "/operations/5/method", 400 },
		{ ",{\"method\":\"POST\",\"path\":\"/client/v4/reload\"}", "/operations/5", 400 },
		{ ",{\"method\":\"POST\",\"path\":\"@/batch\",\"body\":{\"operations\":[]}}", "/operations/5", 400 },
		{ ",{\"method\":\"DELETE\",\"path\":\"@/devices/~nobody~\"}", "/operations/5", 404 },
		{ ",{\"method\":\"PUT\",\"path\":\"@/rulesets/phases/http_request/entrypoint\",\"body\":{\"rules\":[{\"action\":\"block\","
		  "\"expression\":\"nonsense\"}]}}", "", 400 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char all[2048];
		snprintf(all, sizeof all, "%s%s", good, cases[i].last);
		int status = batch("", all, 0);
		if (status != cases[i].status || (cases[i].pointer[0] && strcmp(pointer(), cases[i].pointer) != 0))
			fail_msg("%zu: %d %s", i, status, pointer());
		assert_int_equal(count(RF_KIND_LIST) + count(RF_KIND_CLASS) + count(RF_KIND_DEVICE) + count(RF_KIND_RULE), 0);
		assert_false(in_force());
	}
}

static void a_try_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(batch("?dry_run=true", good, 0), 200);
	assert_int_equal(count(RF_KIND_LIST) + count(RF_KIND_DEVICE), 0);
	assert_false(in_force());
}

static void who_has_read_an_older_state_is_refused(void **state)
{
	(void)state;
	assert_int_equal(ask(RF_HTTP_GET, "batch", ""), 200);
	long long revision = json_integer_value(json_object_get(json_object_get(body, "result"), "revision"));
	assert_int_equal(ask(RF_HTTP_POST, "classes", "{\"name\":\"between\"}"), 200);
	assert_int_equal(batch("", good, revision), 412);
	assert_int_equal(count(RF_KIND_LIST), 0);
	assert_int_equal(ask(RF_HTTP_GET, "batch", ""), 200);
	revision = json_integer_value(json_object_get(json_object_get(body, "result"), "revision"));
	assert_int_equal(batch("", good, revision), 200);
}

/* So many classes at once; the status. */
static int many_classes(void)
{
	RF_BUF_AUTO many = { 0 };
	for (int i = 0; i < MANY; i++)
		rf_buf_printf(&many, "%s{\"method\":\"POST\",\"path\":\"@/classes\",\"body\":{\"name\":\"c%d\"}}", i ? "," : "", i);
	return batch("", rf_buf_z(&many), 0);
}

/* The child: works at a batch once it is continued, or is over with it and ends as if it had been killed. */
static int work(const char *dir, bool at_once)
{
	world_open_in(dir, "");
	api_open();
	if (at_once && many_classes() == 200)
		raise(SIGKILL);
	raise(SIGSTOP);
	many_classes();
	return 0;
}

/* A process that is killed while it works at a batch leaves all of it or nothing. */
static void all_or_nothing_over_a_kill(void **state)
{
	(void)state;
	unsigned left = 0;
	for (unsigned round = 0; round < 8; round++) {
		siginfo_t how;
		world_open("");
		rf_ctl_fini(&w.ctl);
		rf_store_close(w.ctl.store);
		pid_t pid = test_again("work", w.dir, round == 7 ? "at once" : "slowly", NULL);
		assert_int_equal(waitid(P_PID, (id_t)pid, &how, WSTOPPED | WEXITED | WNOWAIT), 0);
		if (how.si_code == CLD_STOPPED) {
			kill(pid, SIGCONT);
			usleep(round * 3000);
			kill(pid, SIGKILL);
		}
		int status = test_child_wait();
		assert_true(status == -SIGKILL || status == 0);
		GOOD(rf_store_open(in_dir("state.db"), &w.ctl.clock, &w.ctl.store, &w.e));
		GOOD(rf_ctl_init(&w.ctl, -1, NULL, &w.e));
		size_t n = count(RF_KIND_CLASS);
		assert_true(n == 0 || n == MANY);
		left += n == MANY;
		world_close();
	}
	assert_true(left > 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "work") == 0)
		return work(argv[2], strcmp(argv[3], "at once") == 0);
	const struct CMUnitTest tests[] = {
		TEST(all_of_it_is_in_force), TEST(one_bad_part_undoes_all), TEST(a_try_changes_nothing),
		TEST(who_has_read_an_older_state_is_refused), cmocka_unit_test_teardown(all_or_nothing_over_a_kill, test_child_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
