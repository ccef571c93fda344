/* Floods beside ordinary traffic, through the workers' feed, in virtual time. */
#include "shield/hellos.h"
#include "shield/test_world.h"

/* The first attack: small requests whose Cookie is fixed, and nothing else odd. */
static void cookie_attack(struct world *w, unsigned sources)
{
	static const char *const agents[] = { "Mozilla/5.0 (X11)", "Mozilla/5.0 (Macintosh)", "Mozilla/5.0 (Windows)" };
	struct request q = { .method = "GET", .path = "/", .names = "host,user-agent,accept,accept-language,cookie",
			     .cookie = "session=dead-beef", .agent = agents[draw(w) % 3], .address = (uint32_t)(draw(w) % sources) };
	send(w, &q, true);
}

/* The second: GET or POST, Content-Length: 800000, a body of a[]=&b[]= whose parameters vary. */
static void body_attack(struct world *w, unsigned sources)
{
	struct request q = { .path = "/", .names = "host,user-agent,content-type,content-length,connection", .agent = "Mozilla/5.0 (X11)",
			     .type = "application/x-www-form-urlencoded", .connection = "close", .address = (uint32_t)(draw(w) % sources) };
	char body[40];
	q.method = draw(w) % 2 ? "GET" : "POST";
	snprintf(body, sizeof body, "%c[]=&%c[]=%u", (char)('a' + draw(w) % 26), (char)('a' + draw(w) % 26), (unsigned)draw(w) % 100);
	q.body = body;
	snprintf(q.length, sizeof q.length, "800000");
	send(w, &q, true);
}

static void attack_of(struct world *w, void (*attack)(struct world *w, unsigned sources), unsigned sources, const char *must_have)
{
	run(w, 30, 200, 0, NULL, 0);
	assert_int_equal(w->starts, 0);
	uint64_t began = w->now;
	run(w, 10, 200, 20000, attack, sources);
	assert_int_equal(w->starts, 1);
	assert_true(w->signatures >= 1);
	assert_true(w->signature_at - began <= 3 * RF_NS_S);
	assert_int_equal(w->stopped[0], 0);
	assert_true(w->stopped[1] * 10 > w->sent[1] * 8);
	assert_non_null(strstr(w->expression, must_have));
	assert_null(strstr(w->expression, "ip.src"));
	assert_int_equal(w->signature.n, 1);
	must_compile(w->expression);
	run(w, 60, 200, 0, NULL, 0);
	assert_int_equal(w->expired, w->signatures);
	assert_int_equal(w->ends, 1);
	assert_int_equal(w->stopped[0], 0);
	assert_true(w->peak >= 20000 && w->peak < 21000);
}

static void test_cookie(void **state)
{
	(void)state;
	struct world *w = world(0);
	attack_of(w, cookie_attack, 50000, "http.cookie eq \"session=dead-beef\"");
	assert_in_range(w->addresses, 44000, 56000);
	world_free(w);
}

static void test_body(void **state)
{
	(void)state;
	struct world *w = world(0);
	attack_of(w, body_attack, 100000, "800000");
	assert_in_range(w->addresses, 75000, 97000); /* of 200,000 draws out of 100,000: 86,466 */
	world_free(w);
}

/* More of the same is no attack that could be told apart, and nothing is stopped. */
static void test_crowd(void **state)
{
	(void)state;
	struct world *w = world(0);
	run(w, 30, 200, 0, NULL, 0);
	run(w, 30, 8000, 0, NULL, 0);
	assert_int_equal(w->signatures, 0);
	assert_int_equal(w->starts, 1);
	assert_string_equal(w->inaction, "no combination of traits separates it from what is usual");
	world_free(w);
}

static void copy_attack(struct world *w, unsigned sources)
{
	struct request q = { .method = "GET", .names = "host,user-agent,accept", .agent = "thermostat/1.0", .path = "/v1/settings",
			     .device = "00000000000000000000000000000001", .address = (uint32_t)(draw(w) % sources) };
	snprintf(q.query, sizeof q.query, "since=%u", (unsigned)draw(w) % 100000);
	send(w, &q, true);
}

/* One source that does what all do, only more: its address is all that tells it. */
static void test_one_source(void **state)
{
	(void)state;
	struct world *w = world(0);
	run(w, 30, 200, 0, NULL, 0);
	run(w, 5, 200, 5000, copy_attack, 1);
	assert_int_equal(w->signatures, 1);
	assert_non_null(strstr(w->expression, "ip.src in {10.0.0.0}"));
	assert_int_equal(w->stopped[0], 0);
	must_compile(w->expression);
	world_free(w);
}

/* Passwords are guessed, slower than what would be many requests for this host. */
static void guess_attack(struct world *w, unsigned sources)
{
	struct request q = { .method = "POST", .path = "/login", .names = "host,user-agent,content-type,content-length", .agent = "Mozilla/5.0 (X11)",
			     .type = "application/x-www-form-urlencoded", .body = "user=admin&pass=", .address = (uint32_t)(draw(w) % sources) };
	snprintf(q.length, sizeof q.length, "%u", 20 + (unsigned)(draw(w) % 12));
	send_wrong(w, &q, true);
}

static void test_refused(void **state)
{
	(void)state;
	struct world *w = world(0);
	w->wrong = 2;
	run(w, 30, 200, 0, NULL, 0);
	uint64_t began = w->now;
	run(w, 10, 200, 300, guess_attack, 5000);
	assert_int_equal(w->starts, 1);
	assert_int_equal(w->by, RF_MEASURE_REFUSED);
	assert_in_range(w->mix[4], 10, 30);
	assert_in_range(w->mix[2], 970, 990);
	assert_true(w->signature_at - began <= 3 * RF_NS_S);
	assert_non_null(strstr(w->expression, "/login"));
	assert_int_equal(w->stopped[0], 0);
	assert_true(w->stopped[1] * 10 > w->sent[1] * 6);
	run(w, 60, 200, 0, NULL, 0);
	assert_int_equal(w->ends, 1);
	world_free(w);
}

/* An origin that begins to refuse what is usual is not under attack, and becomes usual itself. */
static void test_refusing_origin(void **state)
{
	(void)state;
	struct world *w = world(0);
	w->wrong = 1;
	run(w, 30, 200, 0, NULL, 0);
	w->wrong = 90;
	run(w, 60, 200, 0, NULL, 0);
	assert_int_equal(w->starts, 0);
	assert_int_equal(w->signatures, 0);
	run(w, 10, 200, 300, guess_attack, 5000);
	assert_int_equal(w->stopped[0], 0);
	world_free(w);
}

/* The same from many sources cannot be told apart by anything, and least of all by addresses. */
static void test_many_copies(void **state)
{
	(void)state;
	struct world *w = world(0);
	run(w, 30, 200, 0, NULL, 0);
	run(w, 8, 200, 5000, copy_attack, 30000);
	assert_int_equal(w->signatures, 0);
	assert_int_equal(w->stopped[1], 0);
	world_free(w);
}

static void test_not_learned(void **state)
{
	(void)state;
	struct world *w = world(0);
	run(w, 3, 200, 0, NULL, 0);
	run(w, 8, 200, 20000, cookie_attack, 50000);
	assert_int_equal(w->signatures, 0);
	assert_string_equal(w->inaction, "it is not known yet what is usual for this host");
	world_free(w);
}

static void mixed_attack(struct world *w, unsigned sources)
{
	if (draw(w) % 2)
		cookie_attack(w, sources);
	else
		body_attack(w, sources);
}

static void test_two_at_once(void **state)
{
	(void)state;
	struct world *w = world(0);
	run(w, 30, 200, 0, NULL, 0);
	run(w, 6, 200, 20000, mixed_attack, 50000);
	assert_int_equal(w->signatures, 2);
	assert_true(w->stopped[1] * 10 > w->sent[1] * 7);
	assert_int_equal(w->stopped[0], 0);
	world_free(w);
}

static void test_drop(void **state)
{
	(void)state;
	struct world *w = world(0);
	run(w, 30, 200, 0, NULL, 0);
	run(w, 3, 200, 20000, cookie_attack, 50000);
	assert_int_equal(w->nlive, 1);
	struct rf_signature g = w->live[0]->signature;
	assert_int_equal(rf_detect_drop(w->d, rf_str_z(HOST), &g), RF_OK);
	assert_int_equal(w->nlive, 0);
	uint64_t before = w->stopped[1];
	run(w, 20, 200, 20000, cookie_attack, 50000);
	assert_int_equal(w->signatures, 1);
	assert_int_equal(w->stopped[1], before);
	run(w, 30, 200, 0, NULL, 0);
	run(w, 4, 200, 20000, body_attack, 50000); /* another one is still found */
	assert_int_equal(w->signatures, 2);
	rf_detect_undrop(w->d, rf_str_z(HOST), &g);
	run(w, 60, 200, 0, NULL, 0);
	run(w, 3, 200, 20000, cookie_attack, 50000);
	assert_int_equal(w->signatures, 3);
	world_free(w);
}

static void test_bounds(void **state)
{
	(void)state;
	struct world *w = world(0);
	struct rf_detect_stats n;
	char name[32];
	for (unsigned i = 0; i < RF_DETECT_HOSTS + 10; i++) {
		struct rf_detect_counts one = { .requests = 1 };
		snprintf(name, sizeof name, "h%u.example.com", i);
		rf_detect_count(w->d, rf_hash(rf_str_z(name)), rf_str_z(name), &one);
	}
	rf_detect_stats(w->d, &n);
	assert_int_equal(n.hosts, RF_DETECT_HOSTS);
	assert_int_equal(n.hosts_lost, 10);
	struct rf_feed_host *h = rf_feed_host(&w->feed, 1, RF_STR("x"));
	for (unsigned i = 0; i < RF_FEED_SAMPLES; i++) {
		assert_non_null(rf_feed_slot(&w->feed, h, 1));
		rf_feed_give(&w->feed);
	}
	assert_null(rf_feed_slot(&w->feed, h, 1));
	assert_int_equal(w->feed.lost, 1);
	for (unsigned i = 0; i < RF_FEED_PORTS; i++)
		assert_non_null(rf_feed_port(&w->feed, RF_FEED_HANDSHAKES, (uint16_t)(1000 + i)));
	assert_null(rf_feed_port(&w->feed, RF_FEED_HANDSHAKES, 999));
	struct rf_signature g = { .n = 1, .term = { { .trait = RF_TRAIT_COOKIE, .hash = 5 } } };
	for (unsigned i = 0; i < RF_DETECT_DROPPED; i++)
		assert_int_equal(rf_detect_drop(w->d, RF_STR("z"), &g), RF_OK);
	assert_int_equal(rf_detect_drop(w->d, RF_STR("z"), &g), RF_E_FULL);
	world_free(w);
}

/* A flood leaves some hundred samples a tick, whose weights add up to it. */
static void test_feed(void **state)
{
	(void)state;
	struct rf_feed f;
	struct rf_ip ip = address(1);
	assert_true(rf_feed_init(&f, 3));
	struct rf_feed_host *h = rf_feed_host(&f, 77, RF_STR("a"));
	assert_ptr_equal(rf_feed_host(&f, 77, RF_STR("a")), h);
	uint64_t weight = 0, samples = 0;
	for (unsigned i = 0; i < 400000; i++) {
		uint32_t n = rf_feed_count(&f, h, (uint64_t)i * RF_FLOOD_TICK_NS / 100000, &ip);
		weight += n;
		samples += n > 0;
	}
	assert_in_range(weight, 300000, 500000); /* few samples, of a wide range of weights */
	assert_true(samples < 1000);
	rf_feed_fini(&f);
}

static void value_of(enum rf_piece p, const char *text, enum rf_trait t, const char *want)
{
	struct rf_sample s = { 0 };
	RF_BUF_AUTO b = { 0 };
	rf_sample_put(&s, p, rf_str_z(text));
	bool has = rf_trait_value(&s, t, &b);
	if (has != (want != NULL) || (want && strcmp(rf_buf_z(&b), want) != 0))
		fail_msg("%s: \"%s\" instead of \"%s\"", text, has ? rf_buf_z(&b) : "(none)", want ? want : "(none)");
}

static void test_values(void **state)
{
	(void)state;
	value_of(RF_PIECE_PATH, "/v1/devices/17/x", RF_TRAIT_SHAPE, "^/v1/devices/[0-9]+/x$");
	value_of(RF_PIECE_PATH, "/u/0f3c9a77e1/", RF_TRAIT_SHAPE, "^/u/[0-9A-Fa-f-]{8,}/$");
	value_of(RF_PIECE_PATH, "/index.html", RF_TRAIT_SHAPE, NULL);
	value_of(RF_PIECE_PATH, "/a.b/1", RF_TRAIT_SHAPE, "^/a\\x2eb/[0-9]+$");
	value_of(RF_PIECE_QUERY, "a=1&b&c=", RF_TRAIT_QUERY, "a&b&c");
	value_of(RF_PIECE_QUERY, "", RF_TRAIT_QUERY, NULL);
	value_of(RF_PIECE_BODY, "a[]=&b[]=1", RF_TRAIT_BODY, "^[A-Za-z]+\\x5b\\x5d\\x3d");
	value_of(RF_PIECE_BODY, "{\"temp\":2}", RF_TRAIT_BODY, "^\\x7b\\x22[A-Za-z]+\\x22\\x3a");
	value_of(RF_PIECE_BODY, "abc", RF_TRAIT_BODY, NULL);
	value_of(RF_PIECE_LENGTH, "800000", RF_TRAIT_SIZE, "6");
	value_of(RF_PIECE_WHOLE, "7", RF_TRAIT_CHUNKED, "0..9");
	value_of(RF_PIECE_WHOLE, "713", RF_TRAIT_CHUNKED, "100..999");
	value_of(RF_PIECE_WHOLE, "", RF_TRAIT_CHUNKED, NULL);
	value_of(RF_PIECE_COOKIE, "", RF_TRAIT_COOKIE, "");
	char long_path[300];
	memset(long_path, 'a', sizeof long_path - 1);
	long_path[sizeof long_path - 1] = '\0';
	value_of(RF_PIECE_PATH, long_path, RF_TRAIT_PATH, NULL); /* cut: not compared */
}

/* Whatever peers send becomes a string that compiles and means the same. */
static void test_expression(void **state)
{
	(void)state;
	struct rf_signature g = { .n = 4, .term = { { .trait = RF_TRAIT_COOKIE, .value = "a\"b\\c\x01\xff" },
		{ .trait = RF_TRAIT_SHAPE, .value = "^/a/[0-9]+\\x22$" }, { .trait = RF_TRAIT_SIZE, .value = "6" },
		{ .trait = RF_TRAIT_BODY, .value = "^[A-Za-z]+\\x5b\\x5d\\x3d" } } };
	RF_BUF_AUTO b = { 0 };
	rf_signature_expression(&g, RF_STR("*.example.com"), &b);
	assert_string_equal(rf_buf_z(&b), "ends_with(http.host, \".example.com\") and http.cookie eq \"a\\x22b\\x5cc\\x01\\xff\" and "
		"http.request.uri.path matches \"^/a/[0-9]+\\x22$\" and len(http.request.headers[\"content-length\"][0]) eq 6 and "
		"http.request.body.raw matches \"^[A-Za-z]+\\x5b\\x5d\\x3d\"");
	must_compile(rf_buf_z(&b));
	for (unsigned t = 0; t < RF_TRAITS; t++) {
		struct rf_signature one = { .n = 1, .term = { { .trait = (enum rf_trait)t, .value = "7" } } };
		rf_buf_clear(&b);
		if (t == RF_TRAIT_CHUNKED)
			snprintf(one.term[0].value, sizeof one.term[0].value, "10..99");
		if (t == RF_TRAIT_SOURCE)
			snprintf(one.term[0].value, sizeof one.term[0].value, "192.0.2.1 2001:db8::1");
		rf_signature_expression(&one, RF_STR("a.example.com"), &b);
		must_compile(rf_buf_z(&b));
		assert_int_equal(rf_trait_find(rf_str_z(rf_trait_name((enum rf_trait)t))), t);
	}
}

static void test_within(void **state)
{
	(void)state;
	struct rf_signature wide = { .n = 1, .term = { { .trait = RF_TRAIT_COOKIE, .hash = 1 } } };
	struct rf_signature narrow = { .n = 2, .term = { { .trait = RF_TRAIT_PATH, .hash = 2 }, { .trait = RF_TRAIT_COOKIE, .hash = 1 } } };
	struct rf_signature none = { 0 };
	assert_true(rf_signature_within(&narrow, &wide));
	assert_false(rf_signature_within(&wide, &narrow));
	assert_false(rf_signature_within(&wide, &none));
	struct rf_signature one = { .n = 1, .term = { { .trait = RF_TRAIT_SOURCE } }, .nsources = 1, .source = { 4 } };
	struct rf_signature two = { .n = 1, .term = { { .trait = RF_TRAIT_SOURCE } }, .nsources = 2, .source = { 3, 4 } };
	assert_true(rf_signature_within(&one, &two));
	assert_false(rf_signature_within(&two, &one));
}

static void test_sketch(void **state)
{
	(void)state;
	uint8_t registers[RF_HLL] = { 0 };
	struct rf_top top[8] = { { 0 } };
	for (uint64_t i = 0; i < 100000; i++)
		rf_hll_add(registers, RF_HLL, rf_hash((struct rf_str){ (const char *)&i, sizeof i }));
	assert_in_range(rf_hll_count(registers, RF_HLL), 90000, 110000);
	memset(registers, 0, sizeof registers);
	assert_int_equal(rf_hll_count(registers, RF_HLL), 0);
	for (uint64_t i = 1; i < 10000; i++)
		rf_top_add(top, 8, i % 3 ? 77 : i, 1);
	rf_top_sort(top, 8);
	assert_int_equal(top[0].key, 77);
	assert_true(top[0].weight >= 6666);
}

/* Some handshakes always fail; a thousand a second is a flood, which ends. */
static void test_hellos(void **state)
{
	(void)state;
	const struct rf_detect_conf conf = { RF_FLOOD_HIGH, 50, 10 * RF_NS_S, 20 * RF_NS_S };
	struct rf_hellos h = { 0 };
	for (unsigned i = 0; i < 80; i++)
		assert_int_equal(rf_hellos_tick(&h, &conf, i % 4 ? 1 : 4), RF_HELLOS_NOTHING);
	assert_int_equal(rf_hellos_tick(&h, &conf, 250), RF_HELLOS_NOTHING);
	assert_int_equal(rf_hellos_tick(&h, &conf, 250), RF_HELLOS_START);
	for (unsigned i = 0; i < 38; i++)
		assert_int_equal(rf_hellos_tick(&h, &conf, 250), RF_HELLOS_NOTHING);
	assert_int_equal(h.peak, 1000);
	assert_int_equal(h.was, 7);
	unsigned ticks = 0;
	enum rf_hellos_event e;
	while ((e = rf_hellos_tick(&h, &conf, 2)) != RF_HELLOS_END && ticks < 100)
		ticks += e != RF_HELLOS_UPDATE;
	assert_in_range(ticks, 18, 26);
	assert_false(h.on);
	struct rf_hellos fresh = { 0 };
	for (unsigned i = 0; i < 20; i++) /* what is usual is not known yet: it is learned */
		assert_int_equal(rf_hellos_tick(&fresh, &conf, 250), RF_HELLOS_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cookie), cmocka_unit_test(test_body), cmocka_unit_test(test_crowd), cmocka_unit_test(test_one_source),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_refusing_origin),
		cmocka_unit_test(test_many_copies), cmocka_unit_test(test_not_learned), cmocka_unit_test(test_two_at_once),
		cmocka_unit_test(test_drop), cmocka_unit_test(test_bounds), cmocka_unit_test(test_feed), cmocka_unit_test(test_values),
		cmocka_unit_test(test_expression), cmocka_unit_test(test_within), cmocka_unit_test(test_sketch),
		cmocka_unit_test(test_hellos),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
