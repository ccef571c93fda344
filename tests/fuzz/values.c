/* The small value codecs; the first byte chooses. Beliefs: normalised paths are stable and never climb; what is
 * quoted in Forwarded stays one value. */
#include <stdlib.h>
#include <sys/types.h>
#include "base/err.h"
#include "wire/accept.h"
#include "wire/fields.h"
#include "wire/http1.h"
#include "wire/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

static void negotiation(struct rf_str in)
{
	static const char *have[] = { "application/json", "text/html", "gzip", "br" };
	int type = rf_accept_type(in, have, 2), coding = rf_accept_coding(in, have + 2, 2);
	CHECK(type >= -1 && type < 2 && coding >= -1 && coding < 2);
}

static void path(struct rf_str in)
{
	struct rf_arena arena;
	struct rf_str once, twice;
	rf_arena_init(&arena, 1 << 20);
	if (rf_uri_path(in, true, &arena, &once) == RF_OK) {
		CHECK(once.n <= in.n && once.n > 0 && once.p[0] == '/');
		CHECK(rf_str_search(once, RF_STR("/../")) == once.n && rf_str_search(once, RF_STR("//")) == once.n);
		CHECK(rf_uri_path(once, true, &arena, &twice) == RF_OK && rf_str_eq(once, twice));
	}
	rf_arena_fini(&arena);
}

static void pairs(struct rf_str in)
{
	struct rf_str rest = in, name, value;
	while (rf_query_next(&rest, &name, &value))
		CHECK(name.n <= in.n);
	rest = in;
	while (rf_cookie_next(&rest, &name, &value))
		CHECK(name.n > 0);
}

static void forwarded(struct rf_str in)
{
	RF_BUF_AUTO b = { 0 };
	struct rf_forwarded f = { .host = in };
	struct rf_str rest, item;
	rf_forwarded_add(&b, &f);
	rest = rf_buf_str(&b);
	CHECK(rf_http_list_next(&rest, &item) && item.n == b.n && rf_http_is_value(item));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const codecs[])(struct rf_str) = { negotiation, path, pairs, forwarded };
	if (size)
		codecs[data[0] % 4]((struct rf_str){ (const char *)data + 1, size - 1 });
	return 0;
}
