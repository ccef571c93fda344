/* Changes that wait to be confirmed, over a real store and control thread: what is taken back is as it was, to the last row. */
#include "ctl/test.h"
#include "api/call.h"
#include "api/edge.h"
#include "api/state.h"
#include "ctl/applies.h"
#include "ctl/entries.h"
#include "ctl/undo.h"

static struct rf_api *api;
static struct rf_api_edge edge;
static json_t *body;
static char headers[512], zone[33], lamps[33], office[33], device[33], apply[33];

static void api_open(void)
{
	edge = (struct rf_api_edge){ .ctl = &w.ctl };
	struct rf_api_conf conf = { .store = w.ctl.store, .clock = w.ctl.clock, .ca = w.ctl.ca, .version = "test", .loop = w.ctl.loop,
				    .state = rf_api_state_of(&w.ctl), .hooks = { .ctx = &edge, .applies = &rf_api_edge_applies } };
	GOOD(rf_applies_start(&w.ctl, NULL, &w.ctl.priv->applies, &w.e));
	assert_non_null(api = rf_api_new(&conf, &w.e));
}

static void api_close(void)
{
	rf_api_free(api);
	api = NULL;
	if (w.ctl.priv)
		rf_applies_stop(w.ctl.priv->applies);
}

/* "@" stands for the account's path, "%" for the zone's. */
static void expand(struct rf_buf *to, const char *text)
{
	for (; *text; text++)
		if (*text == '@')
			rf_buf_printf(to, "/client/v4/accounts/%s", w.ctl.account_id);
		else if (*text == '%')
			rf_buf_printf(to, "/client/v4/zones/%s", zone);
		else
			rf_buf_addc(to, *text);
}

static int ask(enum rf_http_method m, const char *path, const char *text)
{
	RF_BUF_AUTO target = { 0 };
	RF_BUF_AUTO full = { 0 };
	struct rf_api_answer a;
	expand(&target, path);
	expand(&full, text);
	struct rf_api_request q = { .method = m, .target = rf_buf_str(&target), .body = rf_buf_str(&full), .content_type = RF_STR("application/json"),
				    .local = "local:test" };
	rf_api_handle(api, &q, &a);
	json_decref(body);
	body = a.body.n ? json_loadb(a.body.p, a.body.n, 0, NULL) : NULL;
	snprintf(headers, sizeof headers, "%.*s", (int)a.headers.n, a.headers.n ? a.headers.p : "");
	int status = a.status;
	rf_api_answer_fini(&a);
	return status;
}

static const char *said(const char *a, const char *b)
{
	const json_t *j = json_object_get(json_object_get(body, "result"), a);
	const char *z = json_string_value(b ? json_object_get(j, b) : j);
	return z ? z : "";
}

static const char *wrong(void)
{
	const char *z = NULL;
	json_unpack(body, "{s:[{s:s}]}", "errors", "message", &z);
	return z ? z : "";
}

static void make(const char *path, const char *text, char id[33])
{
	int status = ask(RF_HTTP_POST, path, text);
	if (status != 200)
		fail_msg("%s: %d %s", path, status, wrong());
	if (id)
		snprintf(id, 33, "%s", said("id", NULL));
}

/* --- the whole state as a text --- */

static int dump_row(const struct rf_raw_object *o, void *arg)
{
	json_t *doc = json_loadb(o->doc.p, o->doc.n, 0, NULL);
	char *text = json_dumps(doc, JSON_SORT_KEYS | JSON_COMPACT);
	rf_buf_printf(arg, "%s %s %s %lld %lld %lld ", o->id, o->parent, o->name, (long long)o->place, (long long)o->created_s,
		      (long long)o->modified_s);
	rf_buf_printf(arg, "%s\n", text);
	free(text);
	json_decref(doc);
	return RF_OK;
}

static int dump_entry(const struct rf_list_entry *it, void *arg)
{
	rf_buf_printf(arg, "  %.*s # %.*s %lld %lld\n", RF_ARG(it->value), RF_ARG(it->comment), (long long)it->created_s, (long long)it->modified_s);
	return RF_OK;
}

static int dump_list(const struct rf_object *o, void *arg)
{
	size_t n = 0;
	GOOD(rf_store_entry_count(w.ctl.store, o->id, &n, &w.e));
	rf_buf_printf(arg, "%s %zu\n", o->name, n);
	return rf_store_entries(w.ctl.store, o->id, NULL, false, 0, dump_entry, arg, &w.e);
}

static void dump(struct rf_buf *to)
{
	struct rf_store_query all = { 0 };
	rf_buf_clear(to);
	for (unsigned k = 0; k < RF_KIND_COUNT; k++) {
		if (k == RF_KIND_APPLY)
			continue;
		rf_buf_printf(to, "%s\n", rf_kind_name((enum rf_kind)k));
		GOOD(rf_store_scan(w.ctl.store, (enum rf_kind)k, &all, dump_row, to, &w.e));
	}
	GOOD(rf_store_list(w.ctl.store, RF_KIND_LIST, &all, dump_list, to, NULL, &w.e));
}

/* --- --- */

/* A state with something of everything. Time moves on: what comes back has its own. */
static int setup(void **state)
{
	(void)state;
	char old[33] = "";
	world_open("");
	api_open();
	make("/client/v4/zones", "{\"name\":\"example.test\"}", zone);
	make("@/classes", "{\"name\":\"lamps\"}", lamps);
	make("@/classes", "{\"name\":\"doors\"}", NULL);
	make("@/devices", "{\"name\":\"lamp-1\",\"class\":\"lamps\",\"credentials\":[{\"kind\":\"ski\",\"value\":\"aa01\"}]}", device);
	make("@/devices", "{\"name\":\"lamp-2\",\"class\":\"lamps\"}", NULL);
	make("@/rules/lists", "{\"name\":\"office\",\"kind\":\"ip\"}", office);
	make("@/rules/lists", "{\"name\":\"old\",\"kind\":\"ip\"}", old);
	RF_BUF_AUTO path = { 0 };
	rf_buf_printf(&path, "@/rules/lists/%s/items", office);
	make(rf_buf_z(&path), "[{\"ip\":\"192.0.2.1\",\"comment\":\"one\"},{\"ip\":\"192.0.2.2\",\"comment\":\"two\"}]", NULL);
	rf_buf_clear(&path);
	rf_buf_printf(&path, "@/rules/lists/%s/items", old);
	make(rf_buf_z(&path), "[{\"ip\":\"198.51.100.1\"},{\"ip\":\"198.51.100.2\"}]", NULL);
	make("%/apps", "{\"name\":\"web\",\"hosts\":[\"www.example.test\"],\"origins\":[{\"url\":\"http://127.0.0.1:1\"}]}", NULL);
	assert_int_equal(ask(RF_HTTP_PUT, "%/rulesets/phases/http_request/entrypoint", "{\"rules\":["
		"{\"ref\":\"a\",\"action\":\"block\",\"expression\":\"ip.src in $office\"},"
		"{\"ref\":\"b\",\"action\":\"block\",\"expression\":\"http.request.uri.path eq \\\"/b\\\"\"},"
		"{\"ref\":\"c\",\"action\":\"log\",\"expression\":\"http.request.uri.path eq \\\"/c\\\"\"}]}"), 200);
	make("@/firewall/access_rules/rules", "{\"mode\":\"block\",\"configuration\":{\"target\":\"ip\",\"value\":\"203.0.113.1\"}}", NULL);
	w.now_s += 1000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	api_close();
	json_decref(body);
	body = NULL;
	world_close();
	return 0;
}

/* All that a file can do: made, changed, renamed, moved, deleted, names that change hands, and what goes with its parent. */
static void changes(struct rf_buf *to, const char *more)
{
	static const struct { const char *find, *replace; } ids[] = { { "LAMPS", lamps }, { "OFFICE", office }, { "DEVICE", device } };
	static const char text[] = "{\"confirm\":60,\"operations\":["
		"{\"method\":\"PATCH\",\"path\":\"@/classes/LAMPS\",\"body\":{\"name\":\"bulbs\",\"max_connections\":7}},"
		"{\"method\":\"POST\",\"path\":\"@/classes\",\"body\":{\"name\":\"lamps\"},\"as\":\"new\"},"
		"{\"method\":\"DELETE\",\"path\":\"@/devices/DEVICE\"},"
		"{\"method\":\"POST\",\"path\":\"@/devices\",\"body\":{\"name\":\"lamp-3\",\"class_id\":\"~new~\",\"credentials\":[{\"kind\":\"ski\","
		"\"value\":\"aa01\"}]}},"
		"{\"method\":\"POST\",\"path\":\"@/rules/lists/OFFICE/items\",\"body\":[{\"ip\":\"192.0.2.1\",\"comment\":\"other\"},{\"ip\":\"192.0.2.3\"}]},"
		"{\"method\":\"POST\",\"path\":\"@/rules/lists\",\"body\":{\"name\":\"more\",\"kind\":\"ip\"},\"as\":\"more\"},"
		"{\"method\":\"POST\",\"path\":\"@/rules/lists/~more~/items\",\"body\":[{\"ip\":\"192.0.2.7\"}]},"
		"{\"method\":\"PUT\",\"path\":\"%/rulesets/phases/http_request/entrypoint\",\"body\":{\"rules\":["
		"{\"ref\":\"c\",\"action\":\"block\",\"expression\":\"ip.src in $more\"},"
		"{\"ref\":\"d\",\"action\":\"block\",\"expression\":\"http.host eq \\\"x\\\"\"},"
		"{\"ref\":\"a\",\"action\":\"block\",\"expression\":\"ip.src in $office\"}]}},"
		"{\"method\":\"POST\",\"path\":\"@/firewall/access_rules/rules\",\"body\":{\"mode\":\"block\",\"configuration\":{\"target\":\"ip\","
		"\"value\":\"203.0.113.2\"}}}";
	rf_buf_clear(to);
	for (const char *p = text; *p;) {
		size_t i = 0;
		while (i < 3 && strncmp(p, ids[i].find, strlen(ids[i].find)) != 0)
			i++;
		rf_buf_printf(to, i < 3 ? "%s" : "%.1s", i < 3 ? ids[i].replace : p);
		p += i < 3 ? strlen(ids[i].find) : 1;
	}
	rf_buf_printf(to, "%s]}", more);
}

/* The id of a list of this name, which is there. */
static const char *list_id(const char *name)
{
	static char id[33];
	RF_OBJECT_AUTO o = { 0 };
	GOOD(rf_store_find(w.ctl.store, RF_KIND_LIST, w.ctl.account_id, name, &o, &w.e));
	memcpy(id, o.id, sizeof id);
	return id;
}

static void apply_changes(void)
{
	RF_BUF_AUTO text = { 0 };
	char more[160];
	snprintf(more, sizeof more, ",{\"method\":\"DELETE\",\"path\":\"@/rules/lists/%s\"}", list_id("old"));
	changes(&text, more);
	int status = ask(RF_HTTP_POST, "@/batch", rf_buf_z(&text));
	if (status != 200)
		fail_msg("%d %s", status, wrong());
	snprintf(apply, sizeof apply, "%s", said("apply", "id"));
	assert_string_equal(said("apply", "state"), "pending");
	assert_int_equal(ask(RF_HTTP_GET, "@/status", ""), 200);
	assert_string_equal(said("apply", "id"), apply);
}

static bool shielded(const char *address)
{
	struct rf_ip ip;
	assert_true(rf_ip_parse(rf_str_z(address), &ip));
	return rf_shield_judge(w.ctl.shield, &ip) == RF_SHIELD_DENY;
}

static bool listed(const char *list, const char *address)
{
	struct rf_ip ip;
	const struct rf_lists *t = rf_snap_now()->lists;
	const struct rf_list *l = rf_lists_at(t, rf_lists_find(t, rf_str_z(list)));
	assert_true(rf_ip_parse(rf_str_z(address), &ip));
	return l && rf_list_has_ip(l, &ip);
}

static void in_force_are_the_new_ones(void)
{
	assert_true(shielded("203.0.113.2") && listed("office", "192.0.2.3") && listed("more", "192.0.2.7") && !listed("old", "198.51.100.1"));
}

static void in_force_are_the_old_ones(void)
{
	assert_true(shielded("203.0.113.1") && !shielded("203.0.113.2"));
	assert_true(listed("office", "192.0.2.1") && !listed("office", "192.0.2.3") && listed("old", "198.51.100.1"));
	assert_int_equal(rf_registry_count(w.ctl.devices), 2);
}

static int end(const char *how)
{
	char path[128];
	snprintf(path, sizeof path, "@/applies/%s/%s", apply, how);
	return ask(RF_HTTP_POST, path, "");
}

static void same(struct rf_buf *before)
{
	RF_BUF_AUTO now = { 0 };
	dump(&now);
	struct rf_str a = rf_buf_str(before), b = rf_buf_str(&now), x, y;
	while (rf_str_split(&a, '\n', &x) && rf_str_split(&b, '\n', &y))
		if (!rf_str_eq(x, y))
			fail_msg("was: %.*s\nis:  %.*s", RF_ARG(x), RF_ARG(y));
	assert_int_equal(a.n, b.n);
}

static void taken_back_it_is_as_before(void **state)
{
	(void)state;
	RF_BUF_AUTO before = { 0 };
	for (int round = 0; round < 2; round++) { /* nothing is left over that hinders the next */
		dump(&before);
		apply_changes();
		in_force_are_the_new_ones();
		w.now_s += 10;
		assert_int_equal(end("rollback"), 200);
		assert_string_equal(said("state", NULL), "rolled_back");
		assert_string_equal(said("ended_by", NULL), "local:test");
		same(&before);
		in_force_are_the_old_ones();
		assert_int_equal(end("rollback"), 409);
	}
}

static void its_time_takes_it_back(void **state)
{
	(void)state;
	RF_BUF_AUTO before = { 0 };
	char path[128];
	int64_t left = 0;
	const char *error;
	dump(&before);
	apply_changes();
	assert_string_equal(rf_applies_pending(w.ctl.priv->applies, &left, &error), apply);
	assert_in_range(left, 58, 60);
	rf_applies_stop(w.ctl.priv->applies); /* a process that begins anew in the last moment */
	w.now_s += 60;
	GOOD(rf_applies_start(&w.ctl, NULL, &w.ctl.priv->applies, &w.e));
	rf_loop_turn(w.ctl.loop, RF_NS_S);
	assert_null(rf_applies_pending(w.ctl.priv->applies, &left, &error));
	same(&before);
	in_force_are_the_old_ones();
	snprintf(path, sizeof path, "@/applies/%s", apply);
	assert_int_equal(ask(RF_HTTP_GET, path, ""), 200);
	assert_string_equal(said("ended_by", NULL), "timeout");
}

static void a_start_after_its_time_takes_it_back(void **state)
{
	(void)state;
	RF_BUF_AUTO before = { 0 };
	dump(&before);
	apply_changes();
	api_close();
	rf_ctl_fini(&w.ctl);
	w.now_s += 59;
	GOOD(rf_applies_overdue(w.ctl.store, &w.ctl.clock, &w.e)); /* not yet */
	rf_store_close(w.ctl.store);
	w.now_s += 1;
	rf_registry_free(w.ctl.devices);
	assert_non_null(w.ctl.devices = rf_registry_new(1000));
	rf_shield_free(w.ctl.shield);
	assert_non_null(w.ctl.shield = rf_shield_new(1));
	GOOD(rf_store_open(in_dir("state.db"), &w.ctl.clock, &w.ctl.store, &w.e));
	GOOD(rf_applies_overdue(w.ctl.store, &w.ctl.clock, &w.e));
	same(&before);
	GOOD(rf_ctl_init(&w.ctl, -1, NULL, &w.e));
	api_open();
	in_force_are_the_old_ones();
}

static void a_clock_that_is_set_back_does_not_prolong_it(void **state)
{
	(void)state;
	int64_t left = 0;
	const char *error;
	apply_changes();
	rf_applies_stop(w.ctl.priv->applies);
	w.now_s -= 100000;
	GOOD(rf_applies_start(&w.ctl, NULL, &w.ctl.priv->applies, &w.e));
	assert_non_null(rf_applies_pending(w.ctl.priv->applies, &left, &error));
	assert_in_range(left, 1, 60);
}

static void confirmed_it_stays(void **state)
{
	(void)state;
	RF_BUF_AUTO now = { 0 };
	int64_t left = 0;
	const char *error;
	apply_changes();
	dump(&now);
	assert_int_equal(end("confirm"), 200);
	assert_string_equal(said("state", NULL), "confirmed");
	assert_null(rf_applies_pending(w.ctl.priv->applies, &left, &error));
	same(&now);
	in_force_are_the_new_ones();
	assert_int_equal(end("rollback"), 409);
	make("@/classes", "{\"name\":\"free-again\"}", NULL);
}

static void it_keeps_others_out(void **state)
{
	(void)state;
	RF_BUF_AUTO text = { 0 };
	apply_changes();
	assert_int_equal(ask(RF_HTTP_POST, "@/classes", "{\"name\":\"x\"}"), 409);
	assert_non_null(strstr(wrong(), apply));
	assert_non_null(strstr(headers, "Retry-After: "));
	assert_int_equal(ask(RF_HTTP_POST, "@/batch", "{\"operations\":[]}"), 409);
	changes(&text, "");
	assert_int_equal(ask(RF_HTTP_POST, "@/batch", rf_buf_z(&text)), 409);
	assert_int_equal(ask(RF_HTTP_POST, "@/classes?dry_run=true", "{\"name\":\"x\"}"), 200);
	assert_int_equal(ask(RF_HTTP_GET, "@/classes", ""), 200);
	make("@/firewall/access_rules/rules", "{\"mode\":\"block\",\"configuration\":{\"target\":\"ip\",\"value\":\"203.0.113.9\"}}", NULL);
	assert_int_equal(end("rollback"), 200);
	assert_true(shielded("203.0.113.9")); /* what others wrote stays */
}

static void what_cannot_come_back_is_refused(void **state)
{
	(void)state;
	RF_BUF_AUTO before = { 0 };
	dump(&before);
	static const char *const parts[] = {
		"{\"method\":\"POST\",\"path\":\"@/provisioning_tokens\",\"body\":{\"class\":\"lamps\"}}",
		"{\"method\":\"POST\",\"path\":\"@/devices\",\"body\":{\"name\":\"lamp-9\",\"class\":\"lamps\",\"issue\":true}}",
	};
	for (size_t i = 0; i < 2; i++) {
		RF_BUF_AUTO text = { 0 };
		rf_buf_printf(&text, "{\"confirm\":60,\"operations\":[%s]}", parts[i]);
		assert_int_equal(ask(RF_HTTP_POST, "@/batch", rf_buf_z(&text)), 400);
		assert_non_null(strstr(wrong(), "cannot be taken back"));
	}
	assert_int_equal(ask(RF_HTTP_POST, "@/batch", "{\"confirm\":4,\"operations\":[]}"), 400);
	same(&before);
	make("@/classes", "{\"name\":\"not-held-up\"}", NULL);
}

/* A device that was changed by the apply and then put in quarantine: its notes go back, and it stays there. */
static void what_changed_in_between_is_not_undone(void **state)
{
	(void)state;
	RF_OBJECT_AUTO o = { 0 };
	char path[128], text[512];
	snprintf(text, sizeof text, "{\"confirm\":60,\"operations\":[{\"method\":\"PATCH\",\"path\":\"@/devices/%s\",\"body\":{\"owner\":\"new\",\"model\":"
		 "\"m\"}},{\"method\":\"POST\",\"path\":\"@/devices\",\"body\":{\"name\":\"lamp-4\",\"class\":\"lamps\"},\"as\":\"d\"}]}", device);
	assert_int_equal(ask(RF_HTTP_POST, "@/batch", text), 200);
	snprintf(apply, sizeof apply, "%s", said("apply", "id"));
	char made[33] = "";
	const char *z = NULL;
	assert_int_equal(json_unpack(body, "{s:{s:[{s:s},{s:s}]}}", "result", "results", "id", &z, "id", &z), 0);
	snprintf(made, sizeof made, "%s", z);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "@/devices/%s/quarantine", i ? made : device);
		assert_int_equal(ask(RF_HTTP_POST, path, "{\"reason\":\"odd\"}"), 200);
	}
	assert_int_equal(end("rollback"), 200);
	assert_int_equal(json_array_size(json_object_get(json_object_get(body, "result"), "left")), 2);
	GOOD(rf_store_get(w.ctl.store, RF_KIND_DEVICE, device, &o, &w.e));
	assert_string_equal(rf_json_text(o.doc, "owner"), "");
	assert_string_equal(rf_json_text(o.doc, "state"), "quarantined");
	rf_object_fini(&o);
	GOOD(rf_store_get(w.ctl.store, RF_KIND_DEVICE, made, &o, &w.e)); /* still refused, not forgotten */
}

/* A device that came by itself into a class that goes. */
static void devices_of_a_class_that_goes_go_with_it(void **state)
{
	(void)state;
	RF_BUF_AUTO before = { 0 };
	dump(&before);
	assert_int_equal(ask(RF_HTTP_POST, "@/batch", "{\"confirm\":60,\"operations\":[{\"method\":\"POST\",\"path\":\"@/classes\",\"body\":"
			     "{\"name\":\"strangers\"}}]}"), 200);
	snprintf(apply, sizeof apply, "%s", said("apply", "id"));
	const char *class = NULL;
	char id[33] = "";
	assert_int_equal(json_unpack(body, "{s:{s:[{s:s}]}}", "result", "results", "id", &class), 0);
	world_put(RF_KIND_DEVICE, w.ctl.account_id, "stranger", json_pack("{s:s, s:s, s:s}", "name", "stranger", "state", "active", "class_id", class), id);
	assert_int_equal(rf_registry_count(w.ctl.devices), 3);
	assert_int_equal(end("rollback"), 200);
	same(&before);
	assert_int_equal(rf_registry_count(w.ctl.devices), 2);
}

/* The newest are kept, however many there were. */
static void they_are_bounded(void **state)
{
	(void)state;
	size_t n = 0;
	struct rf_store_query all = { 0 };
	for (int i = 0; i < RF_APPLIES_KEPT + 5; i++) {
		assert_int_equal(ask(RF_HTTP_POST, "@/batch", "{\"confirm\":60,\"operations\":[]}"), 200);
		snprintf(apply, sizeof apply, "%s", said("apply", "id"));
		assert_int_equal(end("confirm"), 200);
	}
	GOOD(rf_store_count(w.ctl.store, RF_KIND_APPLY, &all, &n, &w.e));
	assert_int_equal(n, RF_APPLIES_KEPT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(taken_back_it_is_as_before), TEST(its_time_takes_it_back), TEST(a_start_after_its_time_takes_it_back),
		TEST(a_clock_that_is_set_back_does_not_prolong_it), TEST(confirmed_it_stays), TEST(it_keeps_others_out),
		TEST(what_cannot_come_back_is_refused), TEST(what_changed_in_between_is_not_undone),
		TEST(devices_of_a_class_that_goes_go_with_it), TEST(they_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
