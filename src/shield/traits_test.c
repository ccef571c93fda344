/* Floods that differ from what is usual by one attribute, or by two that are usual each: the rule that is found names it, and nothing
 * besides. */
#include "shield/test_world.h"

static unsigned row_now, row_chunked;

/* A measurement of a gateway. */
static struct request gateway(struct world *w)
{
	struct request q = {
		.method = "POST", .names = "host,user-agent,content-type,content-length,connection", .agent = "gateway/2.1", .type = "application/json",
		.body = "{\"temp\":21.5,\"hum\":40}", .print = "t13d1516h2_8daaf6152771_02713d6af862", .cookie = "", .connection = "keep-alive",
		.path = "/v1/readings", .address = 1 << 20 | (uint32_t)(draw(w) % 800) };
	unsigned size = 60 + (unsigned)(draw(w) % 40);
	snprintf(q.query, sizeof q.query, "since=%u", (unsigned)draw(w) % 100000);
	if (row_chunked)
		q.names = "host,user-agent,content-type,transfer-encoding,connection";
	snprintf(row_chunked ? q.whole : q.length, sizeof q.length, "%u", size);
	return q;
}

static void usual(struct world *w)
{
	struct request q = gateway(w);
	wanted(w, &q, false);
}

#define AT(member) offsetof(struct request, member)
enum kind { TEXT, ARRAY };

static const struct row {
	const char *what;        /* name of the trait that must be named */
	enum kind kind;
	size_t at;
	const char *value;       /* #: a number that varies, of three digits */
	unsigned terms;          /* of the signature; what tells little alone is named with something that tells more */
	bool chunked;
} rows[] = {
	{ "method", TEXT, AT(method), "PATCH", 2, false },
	{ "path", ARRAY, AT(path), "/v1/firmware", 1, false },
	{ "path_shape", ARRAY, AT(path), "/v1/users/#", 1, false },
	{ "query", ARRAY, AT(query), "q=#&page=1", 1, false },
	{ "headers", TEXT, AT(names), "host,user-agent,content-type,content-length,connection,x-probe", 1, false }, /* set */
	{ "headers", TEXT, AT(names), "host,connection,user-agent,content-type,content-length", 1, false },         /* order */
	{ "cookie", TEXT, AT(cookie), "id=1", 1, false },
	{ "user_agent", TEXT, AT(agent), "curl/7.88.1", 1, false },
	{ "user_agent", TEXT, AT(agent), "", 2, false },
	{ "content_type", TEXT, AT(type), "text/plain", 1, false },
	{ "body", TEXT, AT(body), "a[]=1&b[]=2", 1, false },
	{ "length", ARRAY, AT(length), "800000", 1, false },
	{ "size", ARRAY, AT(length), "8#", 2, false },
	{ "body", TEXT, AT(body), "a[]=1&b[]=2", 1, true },
	{ "chunked_size", ARRAY, AT(whole), "2#", 2, true },
	{ "ja4", TEXT, AT(print), "t12d0404h1_000000000000_111111111111", 1, false },
	{ "connection", TEXT, AT(connection), "close", 2, false },
	{ "version", TEXT, AT(version), "HTTP/1.0", 2, false },
};

/* As a gateway sends it, but for the row's member. */
static void differs(struct world *w, unsigned sources)
{
	const struct row *r = &rows[row_now];
	struct request q = gateway(w);
	char *to = (char *)&q + r->at;
	const char *hash = strchr(r->value, '#');
	if (r->kind == TEXT)
		memcpy(to, &r->value, sizeof r->value);
	else if (hash)
		snprintf(to, sizeof q.path, "%.*s%03u%s", (int)(hash - r->value), r->value, (unsigned)(draw(w) % 900), hash + 1);
	else
		snprintf(to, sizeof q.path, "%s", r->value);
	q.address = (uint32_t)(draw(w) % sources);
	wanted(w, &q, true);
}

static bool names(const struct rf_signature *g, const char *trait)
{
	for (unsigned i = 0; i < g->n; i++)
		if (strcmp(rf_trait_name(g->term[i].trait), trait) == 0)
			return true;
	return false;
}

static void test_one_attribute(void **state)
{
	(void)state;
	for (row_now = 0; row_now < sizeof rows / sizeof *rows; row_now++) {
		const struct row *r = &rows[row_now];
		struct world *w = world(0);
		row_chunked = r->chunked;
		w->usual = usual;
		run(w, 30, 200, 0, NULL, 0);
		assert_int_equal(w->starts, 0);
		uint64_t began = w->now;
		run(w, 6, 200, 4000, differs, 30000);
		if (w->signatures != 1 || w->signature.n != r->terms || !names(&w->signature, r->what) || names(&w->signature, "source"))
			fail_msg("%s \"%s\": %u signatures, %u terms, %s", r->what, r->value, w->signatures, w->signature.n, w->expression);
		assert_true(w->signature_at - began <= 3 * RF_NS_S);
		assert_int_equal(w->stopped[0], 0);
		assert_true(w->stopped[1] * 10 > w->sent[1] * 7);
		must_compile(w->expression);
		world_free(w);
	}
}

/* One app on a phone, one in a browser, each with its own path: what asks for the one as the other is told by both. */
static void two_apps(struct world *w)
{
	struct request q = gateway(w);
	bool phone = draw(w) % 2;
	q.agent = phone ? "phone/1" : "browser/1";
	snprintf(q.path, sizeof q.path, phone ? "/phone" : "/browser");
	wanted(w, &q, false);
}

static void crossed(struct world *w, unsigned sources)
{
	struct request q = gateway(w);
	q.agent = "phone/1";
	snprintf(q.path, sizeof q.path, "/browser");
	q.address = (uint32_t)(draw(w) % sources);
	wanted(w, &q, true);
}

static void test_two_attributes(void **state)
{
	(void)state;
	struct world *w = world(0);
	row_chunked = 0;
	w->usual = two_apps;
	run(w, 30, 200, 0, NULL, 0);
	run(w, 6, 200, 4000, crossed, 30000);
	assert_int_equal(w->signatures, 1);
	assert_int_equal(w->signature.n, 2);
	assert_true(names(&w->signature, "path") && names(&w->signature, "user_agent"));
	assert_int_equal(w->stopped[0], 0);
	assert_true(w->stopped[1] * 10 > w->sent[1] * 7);
	world_free(w);
}

/* Of these, too, few are sent for the host, and many for the origin. */
static void probes(struct world *w, unsigned sources)
{
	struct request q = gateway(w);
	snprintf(q.path, sizeof q.path, "/report");
	q.address = (uint32_t)(draw(w) % sources);
	send_wrong(w, &q, true);
}

static void test_mix_of_statuses(void **state)
{
	(void)state;
	static const struct { unsigned class; enum rf_measure by; } all[] = {
		{ 3, RF_MEASURE_REDIRECTED }, { 4, RF_MEASURE_REFUSED }, { 5, RF_MEASURE_FAILED } };
	row_chunked = 0;
	for (size_t i = 0; i < 3; i++) {
		struct world *w = world(0);
		w->usual = usual;
		w->wrong_class = all[i].class;
		run(w, 30, 400, 0, NULL, 0);
		uint64_t began = w->now;
		run(w, 10, 400, 250, probes, 5000);
		assert_int_equal(w->starts, 1);
		assert_int_equal(w->by, all[i].by);
		assert_int_equal(w->mix[2], 1000);
		assert_true(w->signature_at - began <= 3 * RF_NS_S);
		assert_true(names(&w->signature, "path"));
		assert_int_equal(w->signature.n, 1);
		assert_int_equal(w->stopped[0], 0);
		run(w, 60, 400, 0, NULL, 0);
		assert_int_equal(w->ends, 1);
		world_free(w);
	}
}

/* An origin that answers all with errors is not attacked by who asks it. */
static void test_failing_origin(void **state)
{
	(void)state;
	struct world *w = world(0);
	w->wrong = 1;
	w->wrong_class = 5;
	run(w, 30, 200, 0, NULL, 0);
	w->wrong = 100;
	run(w, 60, 200, 0, NULL, 0);
	assert_int_equal(w->signatures, 0);
	assert_int_equal(w->stopped[0], 0);
	world_free(w);
}

/* Bodies of usual requests that come after their heads may be anything: nothing is separated by what they have not shown. */
static void test_late_bodies(void **state)
{
	(void)state;
	struct rf_sample s = { 0 };
	struct rf_traits t;
	RF_BUF_AUTO room = { 0 };
	struct rf_signature g = { .n = 1, .term = { { .trait = RF_TRAIT_BODY, .hash = rf_trait_hash(RF_TRAIT_BODY, RF_STR("^[A-Za-z]+\\x3d")) } } };
	rf_sample_put(&s, RF_PIECE_BODY, RF_STR("a="));
	rf_traits_of(&s, &room, &t);
	assert_true(rf_signature_match(&g, &t, 1) && rf_signature_may(&g, &t, 1));
	s = (struct rf_sample){ 0 };
	rf_sample_late(&s, RF_PIECE_BODY);
	rf_traits_of(&s, &room, &t);
	assert_true(!rf_signature_match(&g, &t, 1) && rf_signature_may(&g, &t, 1));
	rf_sample_put(&s, RF_PIECE_BODY, RF_STR("{\"a\":"));
	s.cut = s.late = 0;
	rf_traits_of(&s, &room, &t);
	assert_true(!rf_signature_match(&g, &t, 1) && !rf_signature_may(&g, &t, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_attribute), cmocka_unit_test(test_two_attributes), cmocka_unit_test(test_mix_of_statuses),
		cmocka_unit_test(test_failing_origin), cmocka_unit_test(test_late_bodies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
