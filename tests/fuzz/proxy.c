/* PROXY headers. Beliefs: a prefix of a good header asks for more; what is parsed can be built, and parses to the
 * same. */
#include <stdlib.h>
#include "base/err.h"
#include "wire/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

static void rebuild(const struct rf_proxy *p)
{
	RF_BUF_AUTO b = { 0 };
	struct rf_proxy q;
	int r = rf_proxy_build(p, &b);
	if (r == RF_OK)
		r = rf_proxy_parse(rf_buf_str(&b), &q);
	if (r == RF_E_TOO_LARGE) /* a v4-mapped pair may grow by a few bytes */
		return;
	CHECK(r == RF_OK && q.size == b.n && q.local == p->local && q.kind == p->kind);
	CHECK(rf_ip_eq(&p->src, &q.src) && rf_ip_eq(&p->dst, &q.dst) && p->src_port == q.src_port);
	CHECK(rf_str_eq(p->ssl_cn, q.ssl_cn) && rf_str_eq(p->authority, q.authority) && rf_str_eq(p->alpn, q.alpn));
	CHECK(rf_str_eq(p->src_path, q.src_path) && p->ssl_verify == q.ssl_verify);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_str in = { (const char *)data, size };
	struct rf_proxy p, half;
	int r = rf_proxy_parse(in, &p);
	if (r != RF_OK)
		return 0;
	CHECK(p.size > 0 && p.size <= size && (p.version == 1 || p.version == 2));
	for (size_t n = 0; n < p.size; n += 1 + n / 8)
		CHECK(rf_proxy_parse((struct rf_str){ in.p, n }, &half) == RF_E_AGAIN);
	rebuild(&p);
	return 0;
}
