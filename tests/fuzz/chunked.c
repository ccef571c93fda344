/* Chunked bodies. Beliefs: pieces change neither verdict nor data; every byte is data or overhead; the data
 * coded and decoded again is the same. */
#include <stdlib.h>
#include "base/buf.h"
#include "base/err.h"
#include "wire/http1_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

struct result {
	struct rf_buf data;
	size_t used;
	int r;
	uint8_t reject;
};

static void decode(struct rf_str in, size_t step, struct result *o)
{
	struct rf_chunked c;
	rf_chunked_init(&c, &rf_http_limits_default);
	o->r = RF_E_AGAIN;
	for (size_t n = 0; n < in.n && o->r == RF_E_AGAIN;) {
		n = in.n - n < step ? in.n : n + step;
		struct rf_str rest = { in.p + o->used, n - o->used }, data;
		while ((o->r = rf_chunked_feed(&c, &rest, &data)) == RF_OK) {
			CHECK(data.n > 0 && data.p >= in.p && data.p + data.n <= in.p + in.n);
			rf_buf_add(&o->data, data);
		}
		o->used = n - rest.n;
	}
	o->reject = c.reject;
	CHECK(o->r != RF_E_EOF || c.data + c.overhead == o->used);
	CHECK(c.data == o->data.n);
}

static void round_trip(struct rf_str data)
{
	RF_BUF_AUTO b = { 0 };
	char head[RF_CHUNK_HEAD_MAX];
	if (data.n) {
		rf_buf_add(&b, (struct rf_str){ head, rf_chunk_head(head, data.n) });
		rf_buf_add(&b, data);
		rf_buf_add(&b, RF_STR("\r\n"));
	}
	rf_buf_add(&b, RF_CHUNK_LAST);
	struct result o = { .used = 0 };
	decode(rf_buf_str(&b), b.n, &o);
	CHECK(o.r == RF_E_EOF && o.used == b.n && rf_str_eq(rf_buf_str(&o.data), data));
	rf_buf_fini(&o.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_str in = { (const char *)data, size };
	struct result whole = { .used = 0 }, pieces = { .used = 0 };
	if (size == 0)
		return 0;
	decode(in, size, &whole);
	decode(in, 1 + data[0] % 5, &pieces);
	CHECK(whole.r == pieces.r && whole.reject == pieces.reject);
	CHECK(rf_str_eq(rf_buf_str(&whole.data), rf_buf_str(&pieces.data)));
	CHECK(whole.r != RF_E_EOF || whole.used == pieces.used);
	round_trip(rf_buf_str(&whole.data));
	rf_buf_fini(&whole.data);
	rf_buf_fini(&pieces.data);
	return 0;
}
