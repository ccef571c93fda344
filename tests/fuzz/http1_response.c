/* Heads of responses, under each kind of request that matters (first byte). Beliefs: pieces do not change the
 * verdict; what has no body by its status has none. */
#include <stdlib.h>
#include "base/err.h"
#include "wire/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

static int in_pieces(struct rf_str in, struct rf_http_scan *scan, enum rf_http_method method)
{
	struct rf_arena arena;
	struct rf_http_head head;
	int r = RF_E_AGAIN;
	rf_arena_init(&arena, 1 << 20);
	for (size_t n = 1; n <= in.n && r == RF_E_AGAIN; n++)
		r = rf_http_parse_response(scan, (struct rf_str){ in.p, n }, &rf_http_limits_default, &arena, method, &head);
	rf_arena_fini(&arena);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum rf_http_method methods[] = { RF_HTTP_GET, RF_HTTP_HEAD, RF_HTTP_CONNECT, RF_HTTP_POST };
	struct rf_arena arena;
	struct rf_http_head head;
	struct rf_http_scan scan = { 0 }, pieces = { 0 };
	if (size < 2)
		return 0;
	enum rf_http_method method = methods[data[0] & 3];
	struct rf_str in = { (const char *)data + 1, size - 1 };
	rf_arena_init(&arena, 1 << 20);
	int r = rf_http_parse_response(&scan, in, &rf_http_limits_default, &arena, method, &head);
	CHECK(r == RF_OK || r == RF_E_AGAIN || scan.reject);
	if (size <= 2048) {
		CHECK(in_pieces(in, &pieces, method) == r);
		CHECK(pieces.reject == scan.reject);
	}
	if (r == RF_OK) {
		CHECK(head.size <= in.n && head.status >= 100 && head.status <= 599);
		CHECK(!(head.first[RF_HDR_CONTENT_LENGTH] && head.first[RF_HDR_TRANSFER_ENCODING]));
		if (method == RF_HTTP_HEAD || head.status == 204 || head.status == 304 || head.status < 200)
			CHECK(head.body == RF_BODY_NONE || head.body == RF_BODY_TUNNEL);
		CHECK(head.body != RF_BODY_CLOSE || !head.keep_alive);
	}
	rf_arena_fini(&arena);
	return 0;
}
