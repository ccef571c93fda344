/* Lists through the API, over a real store, control thread and loop: what is answered is in force; large changes go on behind the
 * answer, whole or not at all, also over a process that is killed. */
#include "api/test_ask.h"
#include "api/bulk.h"
#include "base/test_child.h"

enum { OLD = 3000, NEW = 20000 }; /* entries before and after a replacement that is killed */

static char list[33];

static void api_open(struct rf_loop *loop)
{
	struct rf_api_conf conf = { .store = w.ctl.store, .clock = w.ctl.clock, .ca = w.ctl.ca, .version = "test", .loop = loop,
				    .state = rf_api_state_of(&w.ctl) };
	assert_non_null(api = rf_api_new(&conf, &w.e));
}

static json_t *result(const char *name) { return json_object_get(json_object_get(body, "result"), name); }
static const char *text(const char *name) { return json_string_value(result(name)) ? json_string_value(result(name)) : ""; }
static const char *pointer(void)
{
	const char *z = NULL;
	json_unpack(body, "{s:[{s:{s:s}}]}", "errors", "source", "pointer", &z);
	return z ? z : "";
}

static const char *items(void)
{
	static char path[128];
	snprintf(path, sizeof path, "rules/lists/%s/items", list);
	return path;
}

static void make_list(const char *name, const char *kind)
{
	char text_of[128];
	snprintf(text_of, sizeof text_of, "{\"name\":\"%s\",\"kind\":\"%s\"}", name, kind);
	assert_int_equal(ask(RF_HTTP_POST, "rules/lists", text_of), 200);
	snprintf(list, sizeof list, "%s", text("id"));
}

static int setup(void **state)
{
	(void)state;
	world_open("");
	api_open(w.ctl.loop);
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

/* In the lists that workers look into. */
static bool in_force(const char *name, const char *ip)
{
	const struct rf_lists *t = rf_snap_now()->lists;
	struct rf_ip at;
	assert_true(rf_ip_parse(rf_str_z(ip), &at));
	return rf_list_has_ip(rf_lists_at(t, rf_lists_find(t, rf_str_z(name))), &at);
}

static long long num_items(void)
{
	char path[64];
	snprintf(path, sizeof path, "rules/lists/%s", list);
	assert_int_equal(ask(RF_HTTP_GET, path, ""), 200);
	return json_integer_value(result("num_items"));
}

/* [{"ip":"10.a.b.c"}...] for n numbers from `from` on. */
static struct rf_str many(struct rf_buf *b, unsigned from, unsigned n, const char *comment)
{
	rf_buf_clear(b);
	for (unsigned i = from; i < from + n; i++)
		rf_buf_printf(b, "%s{\"ip\":\"10.%u.%u.%u\",\"comment\":\"%s\"}", i == from ? "[" : ",", i >> 16, i >> 8 & 255, i & 255, comment);
	rf_buf_addc(b, ']');
	return rf_buf_str(b);
}

static const char *operation(void)
{
	static char path[128];
	snprintf(path, sizeof path, "rules/lists/bulk_operations/%s", text("operation_id"));
	return path;
}

/* Turns of the loop until the operation is over; other calls are made meanwhile. Returns how many were answered. */
static unsigned wait_over(const char *path)
{
	unsigned others = 0;
	char at[128];
	snprintf(at, sizeof at, "%s", path);
	for (;;) {
		assert_int_equal(ask(RF_HTTP_GET, at, ""), 200);
		if (strcmp(text("status"), "completed") == 0 || strcmp(text("status"), "failed") == 0)
			return others;
		rf_loop_turn(w.ctl.loop, 1000000);
		others++;
	}
}

static void a_change_is_in_force_when_it_is_answered(void **state)
{
	(void)state;
	make_list("office", "ip");
	uint64_t generation = rf_snap_now()->generation;
	assert_int_equal(ask(RF_HTTP_POST, items(), "[{\"ip\":\"192.0.2.77/24\",\"comment\":\"a\"},{\"ip\":\"2001:db8::1\"}]"), 200);
	assert_true(in_force("office", "192.0.2.1") && in_force("office", "2001:db8::1"));
	assert_int_equal(ask(RF_HTTP_GET, operation(), ""), 200);
	assert_string_equal(text("status"), "completed");
	assert_int_equal(ask(RF_HTTP_PUT, items(), "[{\"ip\":\"2001:db8::1\"},{\"ip\":\"198.51.100.1\"}]"), 200);
	assert_true(in_force("office", "198.51.100.1") && in_force("office", "2001:db8::1"));
	assert_false(in_force("office", "192.0.2.1"));
	assert_int_equal(num_items(), 2);
	assert_int_equal(ask(RF_HTTP_DELETE, items(), "{}"), 200);
	assert_false(in_force("office", "198.51.100.1"));
	assert_int_equal(num_items(), 0);
	assert_int_equal(rf_snap_now()->generation, generation); /* no snapshot for entries */
}

static void a_refused_change_changes_nothing(void **state)
{
	(void)state;
	char path[160], etag[32];
	make_list("office", "ip");
	assert_int_equal(ask(RF_HTTP_POST, items(), "[{\"ip\":\"192.0.2.1\"}]"), 200);
	assert_int_equal(ask(RF_HTTP_POST, items(), "[{\"ip\":\"192.0.2.2\"},{\"string\":\"x\"}]"), 400);
	assert_string_equal(pointer(), "/1");
	snprintf(path, sizeof path, "%s?dry_run=true", items());
	assert_int_equal(ask(RF_HTTP_POST, path, "[{\"ip\":\"192.0.2.3\"}]"), 200);
	snprintf(etag, sizeof etag, "\"%llu\"", 1ull);
	assert_int_equal(ask_with(RF_HTTP_POST, items(), RF_STR("[{\"ip\":\"192.0.2.4\"}]"), etag), 412);
	assert_int_equal(ask(RF_HTTP_DELETE, items(), "{\"items\":[{\"id\":\"00000000000000000000000000000000\"}]}"), 404);
	assert_string_equal(pointer(), "/items/0/id");
	assert_false(in_force("office", "192.0.2.2") || in_force("office", "192.0.2.3") || in_force("office", "192.0.2.4"));
	assert_true(in_force("office", "192.0.2.1"));
	assert_int_equal(num_items(), 1);
}

static void every_kind_shows_what_it_was_given(void **state)
{
	(void)state;
	static const struct { const char *kind, *item; } cases[] = {
		{ "hostname", "{\"url_hostname\":\"*.example.com\",\"exclude_exact_hostname\":false}" }, { "asn", "64512" },
		{ "string", "\"red\"" }, { "hash", "\"d41d8cd98f00b204e9800998ecf8427e\"" },
		{ "redirect", "{\"source_url\":\"a.example/x\",\"target_url\":\"https://b.example\"}" } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char json[256], path[200];
		make_list(cases[i].kind, cases[i].kind);
		snprintf(json, sizeof json, "[{\"%s\":%s,\"comment\":\"why\"}]", cases[i].kind, cases[i].item);
		assert_int_equal(ask(RF_HTTP_POST, items(), json), 200);
		assert_int_equal(ask(RF_HTTP_GET, items(), ""), 200);
		json_t *it = json_array_get(json_object_get(body, "result"), 0), *wanted = json_loads(cases[i].item, JSON_DECODE_ANY, NULL);
		assert_true(json_equal(json_object_get(it, cases[i].kind), wanted));
		assert_string_equal(json_string_value(json_object_get(it, "comment")), "why");
		json_decref(wanted);
		snprintf(path, sizeof path, "%s/%s", items(), json_string_value(json_object_get(it, "id")));
		assert_int_equal(ask(RF_HTTP_GET, path, ""), 200);
		assert_string_equal(text("comment"), "why");
		snprintf(json, sizeof json, "[{\"%s\":%s}]", cases[i].kind, cases[i].item);
		assert_int_equal(ask(RF_HTTP_POST, items(), json), 200); /* given again: its comment changes */
		assert_int_equal(ask(RF_HTTP_GET, path, ""), 200);
		assert_null(result("comment"));
	}
}

static void pages_go_both_ways(void **state)
{
	(void)state;
	RF_BUF_AUTO b = { 0 };
	char path[256], seen[3][64], first[64] = "";
	make_list("office", "ip");
	assert_int_equal(ask_with(RF_HTTP_POST, items(), many(&b, 0, 25, "x"), ""), 200);
	snprintf(path, sizeof path, "%s?per_page=10", items());
	for (int i = 0; i < 3; i++) {
		const char *after = NULL, *before = NULL;
		assert_int_equal(ask(RF_HTTP_GET, path, ""), 200);
		json_t *info = json_object_get(body, "result_info"), *cursors = json_object_get(info, "cursors");
		assert_int_equal(json_integer_value(json_object_get(info, "total_count")), 25);
		assert_int_equal(json_array_size(json_object_get(body, "result")), i < 2 ? 10 : 5);
		json_unpack(json_array_get(json_object_get(body, "result"), 0), "{s:s}", "id", &after);
		snprintf(seen[i], sizeof seen[i], "%s", after);
		after = json_string_value(json_object_get(cursors, "after"));
		before = json_string_value(json_object_get(cursors, "before"));
		assert_int_equal(after != NULL, i < 2);
		assert_int_equal(before != NULL, i > 0);
		if (i == 2)
			snprintf(first, sizeof first, "%s", before);
		snprintf(path, sizeof path, "%s?per_page=10&cursor=%s", items(), after ? after : "");
	}
	snprintf(path, sizeof path, "%s?per_page=10&cursor=%s", items(), first);
	assert_int_equal(ask(RF_HTTP_GET, path, ""), 200);
	const char *id = NULL;
	json_unpack(json_array_get(json_object_get(body, "result"), 0), "{s:s}", "id", &id);
	assert_string_equal(id, seen[1]);
	snprintf(path, sizeof path, "%s?search=0.0.2", items());
	assert_int_equal(ask(RF_HTTP_GET, path, ""), 200);
	assert_int_equal(json_array_size(json_object_get(body, "result")), 6); /* 2, 20 to 24 */
	snprintf(path, sizeof path, "%s?cursor=nonsense", items());
	assert_int_equal(ask(RF_HTTP_GET, path, ""), 400);
}

/* Slices, between which others are answered: how many is a matter of work, not of time. */
static void a_large_change_lets_others_go_on(void **state)
{
	(void)state;
	enum { N = 60000 };
	RF_BUF_AUTO b = { 0 };
	make_list("big", "ip");
	assert_int_equal(ask_with(RF_HTTP_POST, items(), many(&b, 0, N, "first"), ""), 200);
	char path[128];
	snprintf(path, sizeof path, "%s", operation());
	assert_int_equal(ask(RF_HTTP_POST, items(), "[{\"ip\":\"192.0.2.1\"}]"), 409); /* one change at a time */
	unsigned others = wait_over(path);
	assert_string_equal(text("status"), "completed");
	assert_true(others >= 10);
	assert_int_equal(num_items(), N);
	assert_true(in_force("big", "10.0.0.0") && in_force("big", "10.0.234.95"));
	assert_int_equal(ask_with(RF_HTTP_PUT, items(), many(&b, N / 2, N, "second"), ""), 200); /* half of it stays */
	wait_over(operation());
	assert_string_equal(text("status"), "completed");
	assert_int_equal(num_items(), N);
	assert_false(in_force("big", "10.0.0.0") || in_force("big", "10.0.117.47"));
	assert_true(in_force("big", "10.0.117.48") && in_force("big", "10.1.95.143"));
	assert_int_equal(ask(RF_HTTP_DELETE, items(), "{}"), 200);
	wait_over(operation());
	assert_int_equal(num_items(), 0);
	assert_false(in_force("big", "10.1.95.143"));
}

static void a_large_change_with_a_bad_entry_fails_whole(void **state)
{
	(void)state;
	RF_BUF_AUTO b = { 0 };
	static const struct { const char *tail, *why; } cases[] = {
		{ ",{\"ip\":\"x\"}]", "/3000/ip" }, { ",{\"asn\":1}]", "/3000" }, { ",{]", "JSON" }, { "", "neither" }, { "]x", "behind" } };
	make_list("office", "ip");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		many(&b, 0, 3000, "x");
		b.n--;
		rf_buf_printf(&b, "%s", cases[i].tail);
		assert_int_equal(ask_with(RF_HTTP_POST, items(), rf_buf_str(&b), ""), 200);
		wait_over(operation());
		assert_string_equal(text("status"), "failed");
		if (!strstr(text("error"), cases[i].why))
			fail_msg("%s", text("error"));
		assert_int_equal(num_items(), 0);
		assert_false(in_force("office", "10.0.0.1"));
	}
}

static int store_count(void)
{
	size_t n = 0;
	GOOD(rf_store_entry_count(w.ctl.store, list, &n, &w.e));
	return (int)n;
}

/* The child: begins a replacement, and after so many turns, counted from its beginning or from when it runs, is gone. */
static int replace(const char *dir, bool begun, unsigned turns)
{
	RF_BUF_AUTO b = { 0 };
	char path[128];
	world_open_in(dir, "");
	api_open(w.ctl.loop);
	ask_with(RF_HTTP_PUT, items(), many(&b, OLD / 2, NEW, "new"), "");
	snprintf(path, sizeof path, "%s", operation());
	while (begun && (ask(RF_HTTP_GET, path, ""), strcmp(text("status"), "running")) != 0)
		rf_loop_turn(w.ctl.loop, 1000000);
	for (unsigned i = 0; i < turns; i++)
		rf_loop_turn(w.ctl.loop, 100000);
	return raise(SIGKILL);
}

/* A child that is killed at some slice of a replacement; the parent opens what is left. */
static void all_or_nothing_over_a_kill(void **state)
{
	(void)state;
	unsigned nothing = 0, all = 0;
	static const char *const rounds[][2] = { { "", "0" }, { "", "8" }, { "begun", "0" }, { "begun", "3" }, { "begun", "9" } };
	for (size_t k = 0; k < sizeof rounds / sizeof *rounds; k++) {
		RF_BUF_AUTO b = { 0 };
		struct rf_operation op;
		world_open("");
		api_open(w.ctl.loop);
		make_list("big", "ip");
		assert_int_equal(ask_with(RF_HTTP_POST, items(), many(&b, 0, OLD, "old"), ""), 200);
		wait_over(operation());
		rf_api_free(api);
		rf_ctl_fini(&w.ctl);
		rf_store_close(w.ctl.store);
		test_again("replace", w.dir, list, rounds[k][0], rounds[k][1], NULL);
		assert_int_equal(test_child_wait(), -SIGKILL);
		GOOD(rf_store_open(in_dir("state.db"), &w.ctl.clock, &w.ctl.store, &w.e));
		GOOD(rf_ctl_init(&w.ctl, -1, NULL, &w.e));
		api_open(w.ctl.loop);
		while (rf_store_op_open(w.ctl.store, NULL, 0, &op, &w.e) == RF_OK)
			rf_loop_turn(w.ctl.loop, 1000000);
		nothing += store_count() == OLD;
		all += store_count() == NEW;
		assert_true(store_count() == OLD || store_count() == NEW);
		assert_int_equal(in_force("big", "10.0.0.0"), store_count() == OLD);
		assert_int_equal(in_force("big", "10.0.60.0"), store_count() == NEW);
		rf_api_free(api);
		json_decref(body);
		body = NULL;
		world_close();
	}
	assert_true(nothing && all); /* both were seen */
}

static void a_deleted_list_leaves_nothing(void **state)
{
	(void)state;
	RF_BUF_AUTO b = { 0 };
	char path[80];
	make_list("big", "ip");
	assert_int_equal(ask_with(RF_HTTP_POST, items(), many(&b, 0, 4000, "x"), ""), 200);
	wait_over(operation());
	snprintf(path, sizeof path, "rules/lists/%s", list);
	assert_int_equal(ask(RF_HTTP_DELETE, path, ""), 200);
	make_list("big", "ip"); /* the name is free at once, and the new list empty */
	assert_int_equal(num_items(), 0);
	assert_false(in_force("big", "10.0.0.1"));
	for (int i = 0; i < 30; i++)
		rf_loop_turn(w.ctl.loop, 0);
	bool more = true;
	GOOD(rf_store_begin(w.ctl.store, "test", &w.e));
	GOOD(rf_store_entries_sweep(w.ctl.store, 10, &more, &w.e));
	rf_store_rollback(w.ctl.store);
	assert_false(more);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[1], "replace") == 0) {
		snprintf(list, sizeof list, "%s", argv[3]);
		return replace(argv[2], argv[4][0], (unsigned)atoi(argv[5]));
	}
	const struct CMUnitTest tests[] = {
		TEST(a_change_is_in_force_when_it_is_answered), TEST(a_refused_change_changes_nothing),
		TEST(every_kind_shows_what_it_was_given), TEST(pages_go_both_ways), TEST(a_large_change_lets_others_go_on),
		TEST(a_large_change_with_a_bad_entry_fails_whole), cmocka_unit_test_teardown(all_or_nothing_over_a_kill, test_child_end),
		TEST(a_deleted_list_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
