/* ClientHellos, bare and in records, and their fingerprints. */
#include <stdlib.h>
#include "base/err.h"
#include "wire/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

static void one(struct rf_str message)
{
	struct rf_hello h;
	if (rf_hello_parse(message, &h) != RF_OK)
		return;
	RF_BUF_AUTO b = { 0 };
	struct rf_str rest = h.alpn, name;
	while (rf_hello_alpn_next(&rest, &name))
		CHECK(name.n > 0);
	CHECK(rest.n == 0 && h.ciphers.n % 2 == 0 && h.groups.n % 2 == 0);
	CHECK(rf_hello_ja3(&h, &b) == RF_OK);
	rf_buf_clear(&b);
	int r = rf_hello_ja4(&h, false, NULL, NULL, &b);
	CHECK(r == RF_OK || (r == RF_E_TOO_LARGE && b.n == 0));
	CHECK(r != RF_OK || (b.n > 10 && b.p[10] == '_'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_str in = { (const char *)data, size }, message;
	struct rf_arena arena;
	one(in);
	rf_arena_init(&arena, 1 << 20);
	if (rf_hello_from_records(in, &arena, &message) == RF_OK) {
		CHECK(message.n >= 4 && message.n <= size);
		one(message);
	}
	rf_arena_fini(&arena);
	return 0;
}
