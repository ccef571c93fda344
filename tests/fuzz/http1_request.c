/* Heads of requests. Beliefs: pieces do not change the verdict; what is accepted has one framing and
 * says the same when it is written out and parsed again. */
#include <stdlib.h>
#include "base/buf.h"
#include "base/err.h"
#include "wire/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

static int in_pieces(struct rf_str in, struct rf_http_scan *scan)
{
	struct rf_arena arena;
	struct rf_http_head head;
	int r = RF_E_AGAIN;
	rf_arena_init(&arena, 1 << 20);
	for (size_t n = 1; n <= in.n && r == RF_E_AGAIN; n++)
		r = rf_http_parse_request(scan, (struct rf_str){ in.p, n }, &rf_http_limits_default, &arena, &head);
	rf_arena_fini(&arena);
	return r;
}

static void write_out(const struct rf_http_head *h, struct rf_buf *b)
{
	rf_buf_printf(b, "%.*s %.*s HTTP/1.%u\r\n", RF_ARG(h->method_s), RF_ARG(h->target), h->minor);
	for (unsigned i = 0; i < h->count; i++) {
		rf_buf_add(b, h->headers[i].name);
		rf_buf_add(b, RF_STR(": "));
		rf_buf_add(b, h->headers[i].value);
		rf_buf_add(b, RF_STR("\r\n"));
	}
	rf_buf_add(b, RF_STR("\r\n"));
}

static void same(const struct rf_http_head *a, const struct rf_http_head *b)
{
	CHECK(rf_str_eq(a->method_s, b->method_s) && a->method == b->method && rf_str_eq(a->target, b->target));
	CHECK(rf_str_eq(a->host, b->host) && a->port == b->port && rf_str_eq(a->path, b->path));
	CHECK(rf_str_eq(a->query, b->query) && a->has_query == b->has_query && a->form == b->form);
	CHECK(a->body == b->body && a->content_length == b->content_length && a->minor == b->minor);
	CHECK(a->keep_alive == b->keep_alive && a->upgrade == b->upgrade && a->expect_continue == b->expect_continue);
	CHECK(a->count == b->count && memcmp(a->first, b->first, sizeof a->first) == 0);
	for (unsigned i = 0; i < a->count; i++) {
		CHECK(rf_str_eq(a->headers[i].name, b->headers[i].name) && a->headers[i].hop == b->headers[i].hop);
		CHECK(rf_str_eq(a->headers[i].value, b->headers[i].value));
	}
}

static void accepted(const struct rf_http_head *head, struct rf_arena *arena, size_t size)
{
	bool length = head->first[RF_HDR_CONTENT_LENGTH], coding = head->first[RF_HDR_TRANSFER_ENCODING];
	CHECK(head->size <= size && !(length && coding));
	CHECK((head->body == RF_BODY_CHUNKED) == coding && (head->body == RF_BODY_LENGTH) == length);
	CHECK(head->minor == 0 || head->host.n > 0);
	CHECK(!memchr(head->target.p, ' ', head->target.n));
	RF_BUF_AUTO b = { 0 };
	struct rf_http_head again;
	struct rf_http_scan scan = { 0 };
	write_out(head, &b);
	CHECK(rf_http_parse_request(&scan, rf_buf_str(&b), &rf_http_limits_default, arena, &again) == RF_OK);
	same(head, &again);
	CHECK(again.size == b.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_str in = { (const char *)data, size };
	struct rf_arena arena;
	struct rf_http_head head;
	struct rf_http_scan scan = { 0 }, pieces = { 0 };
	rf_arena_init(&arena, 1 << 20);
	int r = rf_http_parse_request(&scan, in, &rf_http_limits_default, &arena, &head);
	CHECK(r == RF_OK || r == RF_E_AGAIN || scan.reject);
	if (size <= 2048 && size) {
		CHECK(in_pieces(in, &pieces) == r);
		CHECK(pieces.reject == scan.reject);
	}
	if (r == RF_OK)
		accepted(&head, &arena, size);
	rf_arena_fini(&arena);
	return 0;
}
