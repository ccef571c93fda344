/* Tests of ctl/build_rules and ctl/rule_merge: bounds of a ruleset, and merging beside changes. */
#include "ctl/test.h"
#include "policy/index.h"

enum { MANY = 3 * INDEX_FRESH, TURNS = 2000 };

static char set_id[33];

static void open_with(const char *more)
{
	world_open(more);
	set_id[0] = '\0';
	world_put(RF_KIND_RULESET, w.ctl.account_id, "root:http_request", json_pack("{s:s, s:s, s:s, s:s, s:i}", "name", "default",
		  "kind", "root", "phase", "http_request", "zone_id", "", "rule_count", 0), set_id);
}

/* One rule in the open transaction; its id. */
static void put_rule(const char *expression, unsigned place, char id[33])
{
	RF_OBJECT_AUTO o = { .place = place };
	GOOD(rf_store_draw_id(w.ctl.store, o.id, &w.e));
	memcpy(o.parent, set_id, sizeof o.parent);
	memcpy(o.name, o.id, sizeof o.id);
	o.doc = json_pack("{s:s, s:s, s:s, s:s}", "id", o.id, "ref", o.id, "action", "block", "expression", expression);
	GOOD(rf_store_put(w.ctl.store, RF_KIND_RULE, &o, 0, &w.e));
	GOOD(rf_ctl_touch(&w.ctl, RF_KIND_RULE, o.id, &w.e));
	memcpy(id, o.id, sizeof o.id);
}

static size_t in_force(void)
{
	const struct rf_phase_set *p = rf_snap_now()->policy.phase[RF_PHASE_HTTP_REQUEST];
	return p ? p->sets[0]->count : 0;
}

static void refused(const char *words, const char *id)
{
	int rc = rf_ctl_commit(&w.ctl, false, &w.e);
	if (rc != RF_E_TOO_LARGE)
		print_error("%s: %s\n", w.e.pointer, w.e.text);
	assert_int_equal(rc, RF_E_TOO_LARGE);
	assert_non_null(strstr(w.e.text, words));
	assert_non_null(strstr(w.e.text, id)); /* the costly rule is named */
	assert_non_null(strstr(w.e.text, "(\"http.host "));
	assert_non_null(strstr(w.e.pointer, "/rules/"));
	assert_int_equal(in_force(), 1);       /* and the old state stays */
}

static char *long_list(char *to, size_t room)
{
	size_t n = (size_t)snprintf(to, room, "http.host in {");
	for (unsigned i = 0; n + 40 < room; i++)
		n += (size_t)snprintf(to + n, room - n, "\"host-%u.example.com\" ", i);
	snprintf(to + n, room - n, "}");
	return to;
}

static void too_much_memory_is_refused(void **state)
{
	(void)state;
	static char text[60000];
	char small[33], costly[33];
	open_with("limits:\n  rules_memory: 1MB\n");
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	put_rule("http.host eq \"a\"", 1, small);
	GOOD(rf_ctl_commit(&w.ctl, false, &w.e));
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	for (unsigned i = 0; i < 8; i++)
		put_rule(long_list(text, sizeof text - i * 4000), 2 + i, i == 0 ? costly : small);
	refused("limits.rules_memory", costly);
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	put_rule("http.host eq \"b\"", 2, small);
	GOOD(rf_ctl_commit(&w.ctl, false, &w.e));
	assert_int_equal(in_force(), 2);
	world_close();
}

static uint64_t slow_clock(void *ctx)
{
	static uint64_t ns;
	(void)ctx;
	return ns += 6 * RF_NS_MS; /* so long does each rule take */
}

static void too_long_a_compilation_is_refused(void **state)
{
	(void)state;
	char id[33];
	open_with("limits:\n  rules_compile_time: 10ms\n");
	w.ctl.clock.mono = slow_clock;
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	put_rule("http.host eq \"a\"", 1, id);
	GOOD(rf_ctl_commit(&w.ctl, false, &w.e));
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	put_rule("http.host matches \"[a-z]+x\"", 2, id);
	put_rule("http.host matches \"[a-z]+y\"", 3, id);
	refused("limits.rules_compile_time", id);
	world_close();
}

/* Rules that came one by one take longer together than one change may: they are in force again all the same. */
static void a_start_is_no_change(void **state)
{
	(void)state;
	char id[33];
	open_with("limits:\n  rules_compile_time: 10ms\n");
	w.ctl.clock.mono = slow_clock;
	for (unsigned i = 0; i < 5; i++) {
		GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
		put_rule("http.host eq \"a\"", 1 + i, id);
		GOOD(rf_ctl_commit(&w.ctl, false, &w.e));
	}
	rf_loop_turn(w.ctl.loop, 0);
	rf_ctl_fini(&w.ctl);
	GOOD(rf_ctl_init(&w.ctl, -1, NULL, &w.e));
	assert_int_equal(in_force(), 5);
	world_close();
}

static uint64_t still_clock(void *ctx)
{
	(void)ctx;
	return 1;
}

static void put_patch(const char *name, const char *expression, char id[33])
{
	RF_OBJECT_AUTO o = { 0 };
	snprintf(o.parent, sizeof o.parent, "%s", w.ctl.account_id);
	snprintf(o.name, sizeof o.name, "%s", name);
	o.doc = json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", name, "phase", "http_request", "expression", expression, "action", "block",
			  "state", "report");
	GOOD(rf_store_put(w.ctl.store, RF_KIND_PATCH, &o, 0, &w.e));
	GOOD(rf_ctl_touch(&w.ctl, RF_KIND_PATCH, o.id, &w.e));
	memcpy(id, o.id, sizeof o.id);
}

static void patches_have_bounds_too(void **state)
{
	(void)state;
	static char text[60000];
	char id[33], small[33];
	open_with("limits:\n  rules_compile_time: 10ms\n  rules_memory: 1MB\n");
	w.ctl.clock.mono = slow_clock;
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	put_patch("a", "http.host eq \"a\"", id);
	GOOD(rf_ctl_commit(&w.ctl, false, &w.e));
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	put_patch("b", "http.host eq \"b\"", id);
	put_patch("c", "http.host eq \"c\"", small);
	assert_int_equal(rf_ctl_commit(&w.ctl, false, &w.e), RF_E_TOO_LARGE);
	assert_non_null(strstr(w.e.text, "limits.rules_compile_time"));
	assert_non_null(strstr(w.e.text, id));
	assert_non_null(strstr(w.e.text, "(\"b\", "));
	assert_non_null(strstr(w.e.pointer, "/patches/"));
	w.ctl.clock.mono = still_clock;
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	put_patch("d", long_list(text, sizeof text), id);
	for (unsigned i = 0; i < 8; i++) {
		char name[8];
		snprintf(name, sizeof name, "d%u", i);
		put_patch(name, long_list(text, sizeof text - 8000 - i * 4000), small);
	}
	assert_int_equal(rf_ctl_commit(&w.ctl, false, &w.e), RF_E_TOO_LARGE);
	assert_non_null(strstr(w.e.text, "limits.rules_memory"));
	assert_non_null(strstr(w.e.text, id));
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	put_patch("e", "http.host eq \"e\"", id);
	GOOD(rf_ctl_commit(&w.ctl, false, &w.e));
	world_close();
}

static const struct rf_index *index_now(void)
{
	return rf_snap_now()->policy.phase[RF_PHASE_HTTP_REQUEST]->sets[0]->index;
}

static bool any_frozen(void)
{
	const struct rf_index *x = index_now();
	for (unsigned i = 0; i < x->n; i++)
		if (x->v[i].s->frozen)
			return true;
	return false;
}

static size_t alive(void)
{
	const struct rf_index *x = index_now();
	size_t n = 0;
	for (unsigned i = 0; i < x->n; i++)
		n += x->v[i].s->count - (x->v[i].dead ? x->v[i].dead->count : 0);
	return n;
}

/* Rules come while others are merged; in the end all are there, and most are frozen. */
static void merges_in_the_background(void **state)
{
	(void)state;
	char id[33], text[80];
	open_with("");
	w.ctl.priv->merge = rf_rule_merge_new(&w.ctl);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(text, sizeof text, "http.request.uri.path contains \"/literal-%u/\"", i);
		GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
		put_rule(text, i, id);
		GOOD(rf_ctl_commit(&w.ctl, false, &w.e));
		assert_int_equal(alive(), i + 1);
		rf_loop_turn(w.ctl.loop, 0);
	}
	for (unsigned i = 0; i < TURNS && !any_frozen(); i++)
		rf_loop_turn(w.ctl.loop, (int64_t)(10 * RF_NS_MS));
	assert_true(any_frozen());
	assert_int_equal(alive(), MANY);
	assert_int_equal(in_force(), MANY);
	rf_rule_merge_free(w.ctl.priv->merge);
	w.ctl.priv->merge = NULL;
	world_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(too_much_memory_is_refused),
		cmocka_unit_test(too_long_a_compilation_is_refused),
		cmocka_unit_test(a_start_is_no_change), cmocka_unit_test(patches_have_bounds_too), cmocka_unit_test(merges_in_the_background) };
	return cmocka_run_group_tests_name("ctl-rules", tests, NULL, NULL);
}
