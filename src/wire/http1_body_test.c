/* The chunked coding: what is decoded, what is refused, whatever the pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "base/err.h"
#include "wire/http1_body.h"

struct outcome {
	char data[512];
	size_t n, used;
	unsigned trailers;
	enum rf_http_reject why;
	int r;
};

static void count_trailer(void *ctx, const struct rf_http_header *f)
{
	assert_true(f->name.n > 0);
	(*(unsigned *)ctx)++;
}

/* Feed in pieces of `step` bytes, each copied to a place of exactly its size. */
static struct outcome decode(struct rf_str in, size_t step, const struct rf_http_limits *lim)
{
	struct outcome o = { 0 };
	struct rf_chunked c;
	size_t kept = 0;
	rf_chunked_init(&c, lim);
	c.on_trailer = count_trailer;
	c.ctx = &o.trailers;
	o.r = RF_E_AGAIN;
	for (size_t seen = 0; o.r == RF_E_AGAIN && seen < in.n;) {
		size_t n = in.n - seen < step ? in.n - seen : step;
		char *piece = malloc(kept + n);
		memcpy(piece, in.p + seen - kept, kept + n);
		seen += n;
		struct rf_str rest = { piece, kept + n }, data;
		while ((o.r = rf_chunked_feed(&c, &rest, &data)) == RF_OK) {
			assert_true(data.n > 0 && o.n + data.n <= sizeof o.data);
			memcpy(o.data + o.n, data.p, data.n);
			o.n += data.n;
		}
		kept = rest.n;
		o.used = seen - kept;
		free(piece);
	}
	o.why = (enum rf_http_reject)c.reject;
	if (o.r == RF_E_EOF)
		assert_int_equal(c.data + c.overhead, o.used);
	return o;
}

static void good_bodies(void **state)
{
	(void)state;
	static const struct {
		const char *in, *data, *rest;
		unsigned trailers;
	} cases[] = {
		{ "0\r\n\r\n", "", "", 0 },
		{ "5\r\nhello\r\n0\r\n\r\nGET /", "hello", "GET /", 0 },
		{ "3\r\nabc\r\n00A\r\n0123456789\r\n000\r\n\r\n", "abc0123456789", "", 0 },
		{ "1;a;b=c;d=\"x\\\"; \\\\\ty\"\r\nz\r\n0;e\r\n\r\n", "z", "", 0 },
		{ "1\r\n\n\r\n0\r\nX-Sum: 1\r\nServer-Timing: a\r\n\r\n\r\n", "\n", "\r\n", 2 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t step = 1; step < 40; step++) {
			struct rf_str in = rf_str_z(cases[i].in);
			struct outcome o = decode(in, step, &rf_http_limits_default);
			if (o.r != RF_E_EOF)
				fail_msg("%s: %s", rf_http_reject_name(o.why), cases[i].in);
			assert_true(rf_str_eq((struct rf_str){ o.data, o.n }, rf_str_z(cases[i].data)));
			assert_true(rf_str_eq(rf_str_skip(in, o.used), rf_str_z(cases[i].rest)));
			assert_int_equal(o.trailers, cases[i].trailers);
		}
}

static void bad_bodies(void **state)
{
	(void)state;
	static const struct {
		const char *in;
		enum rf_http_reject why;
	} cases[] = {
		{ "\r\n", RF_REJECT_CHUNK_SIZE }, { "0x5\r\n", RF_REJECT_CHUNK_SIZE }, { "+5\r\n", RF_REJECT_CHUNK_SIZE },
		{ "-1\r\n", RF_REJECT_CHUNK_SIZE }, { " 5\r\n", RF_REJECT_CHUNK_SIZE }, { "5 \r\n", RF_REJECT_CHUNK_SIZE },
		{ "5\t;a\r\n", RF_REJECT_CHUNK_SIZE }, { "g\r\n", RF_REJECT_CHUNK_SIZE }, { "5,5\r\n", RF_REJECT_CHUNK_SIZE },
		{ ";a\r\n", RF_REJECT_CHUNK_SIZE }, { "5\n", RF_REJECT_BARE_LF }, { "5\rx", RF_REJECT_BARE_CR },
		{ "1234567890123\r\n", RF_REJECT_CHUNK_SIZE_OVERFLOW }, { "0000000000000\r\n", RF_REJECT_CHUNK_SIZE_OVERFLOW },
		{ "5;\r\n", RF_REJECT_CHUNK_EXTENSION }, { "5; a\r\n", RF_REJECT_CHUNK_EXTENSION },
		{ "5;a=\r\n", RF_REJECT_CHUNK_EXTENSION }, { "5;a=\"\x01\"\r\n", RF_REJECT_CHUNK_EXTENSION },
		{ "5;a=\"b\"c\r\n", RF_REJECT_CHUNK_EXTENSION }, { "5;a=\"\r\n", RF_REJECT_CHUNK_EXTENSION },
		{ "5;a=\"\\\r\n", RF_REJECT_CHUNK_EXTENSION }, { "5;a b\r\n", RF_REJECT_CHUNK_EXTENSION },
		{ "5;a\nX", RF_REJECT_BARE_LF }, { "5;a=\"\n\"\r\n", RF_REJECT_BARE_LF }, { "5;a\rX", RF_REJECT_BARE_CR },
		{ "5\r\nhelloX", RF_REJECT_CHUNK_END }, { "5\r\nhello\n0", RF_REJECT_CHUNK_END },
		{ "5\r\nhello\rX", RF_REJECT_BARE_CR }, { "0\r\n\n", RF_REJECT_BARE_LF }, { "0\r\nA: b\n\r\n", RF_REJECT_BARE_LF },
		{ "0\r\nContent-Length: 5\r\n\r\n", RF_REJECT_TRAILER }, { "0\r\nHost: a\r\n\r\n", RF_REJECT_TRAILER },
		{ "0\r\nTransfer-Encoding: chunked\r\n\r\n", RF_REJECT_TRAILER },
		{ "0\r\nClient-Cert: x\r\n\r\n", RF_REJECT_TRAILER }, { "0\r\n A: b\r\n\r\n", RF_REJECT_FOLDED },
		{ "0\r\nA : b\r\n\r\n", RF_REJECT_NAME_SPACE }, { "0\r\nGET / HTTP/1.1\r\n\r\n", RF_REJECT_NAME_SPACE },
		{ "0\r\nA: b\rc\r\n\r\n", RF_REJECT_BARE_CR },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t step = 1; step < 20; step++) {
			struct outcome o = decode(rf_str_z(cases[i].in), step, &rf_http_limits_default);
			if (o.r != RF_E_INVALID || o.why != cases[i].why)
				fail_msg("%s instead of %s: %s", rf_http_reject_name(o.why),
					rf_http_reject_name(cases[i].why), cases[i].in);
		}
	assert_int_equal(decode(RF_STR("5;a=\"\x7f"), 1, &rf_http_limits_default).why, RF_REJECT_CHUNK_EXTENSION);
	assert_int_equal(decode(RF_STR("5;a=\0b"), 1, &rf_http_limits_default).why, RF_REJECT_CHUNK_EXTENSION);
}

static void bounds(void **state)
{
	(void)state;
	struct rf_http_limits lim = rf_http_limits_default;
	lim.chunk_ext = 4, lim.chunk_overhead = 20, lim.trailers = 12, lim.headers = 1;
	for (size_t step = 1; step < 30; step += 7) {
		assert_int_equal(decode(RF_STR("1;abcd\r\n"), step, &lim).why, RF_REJECT_CHUNK_EXTENSION_LENGTH);
		assert_int_equal(decode(RF_STR("1;ab\r\nx\r\n1;ab\r\nx\r\n1;ab\r\nx\r\n1;ab\r\nx\r\n1;ab\r\nx\r\n"), step, &lim).r,
			RF_E_AGAIN); /* eight bytes of overhead for one of data are fine for ever */
		assert_int_equal(decode(RF_STR("0\r\nA: 1\r\nB: 2\r\n\r\n"), step, &lim).why, RF_REJECT_TRAILER_LENGTH);
		assert_int_equal(decode(RF_STR("0\r\nABCDEFGHIJKLMN: 1\r\n\r\n"), step, &lim).why, RF_REJECT_TRAILER_LENGTH);
	}
	lim.chunk_overhead = 2;
	assert_int_equal(decode(RF_STR("001\r\nx"), 1, &lim).why, RF_REJECT_CHUNK_OVERHEAD);
}

static void chunk_heads(void **state)
{
	(void)state;
	char to[RF_CHUNK_HEAD_MAX];
	assert_true(rf_str_eq((struct rf_str){ to, rf_chunk_head(to, 1) }, RF_STR("1\r\n")));
	assert_true(rf_str_eq((struct rf_str){ to, rf_chunk_head(to, 0x1f0) }, RF_STR("1f0\r\n")));
	assert_int_equal(rf_chunk_head(to, UINT64_MAX), RF_CHUNK_HEAD_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_bodies),
		cmocka_unit_test(bad_bodies),
		cmocka_unit_test(bounds),
		cmocka_unit_test(chunk_heads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
