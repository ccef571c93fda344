/* The small texts that come in everywhere; the first byte chooses. Belief: what is read and written again is read as the same. */
#include <stdlib.h>
#include "base/clock.h"
#include "base/enc.h"
#include "net/addr.h"
#include "pki/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

static void ip(struct rf_str in)
{
	struct rf_ip a, b;
	char text[RF_IP_TEXT];
	if (!rf_ip_parse(in, &a))
		return;
	CHECK(rf_ip_parse(rf_str_z(rf_ip_str(&a, text)), &b) && rf_ip_eq(&a, &b) && rf_ip_cmp(&a, &b) == 0);
}

static void prefix(struct rf_str in)
{
	struct rf_prefix a, b;
	char text[RF_IP_TEXT];
	if (!rf_prefix_parse(in, false, &a))
		return;
	CHECK(rf_prefix_parse(rf_str_z(rf_prefix_str(&a, text)), true, &b) && rf_ip_eq(&a.ip, &b.ip) && a.bits == b.bits);
	CHECK(rf_prefix_has(&a, &a.ip));
}

static void address(struct rf_str in)
{
	struct rf_addr a, b;
	char text[RF_ADDR_TEXT], again[RF_ADDR_TEXT];
	if (!rf_addr_parse(in, &a))
		return;
	CHECK(rf_addr_parse(rf_str_z(rf_addr_str(&a, text)), &b));
	CHECK(rf_str_eq(rf_str_z(text), rf_str_z(rf_addr_str(&b, again))));
}

static void hex(struct rf_str in)
{
	char raw[4096], text[2 * sizeof raw + 1];
	ssize_t n = rf_unhex(in, raw, sizeof raw);
	if (n < 0)
		return;
	rf_hex(raw, (size_t)n, text);
	CHECK(rf_str_ieq(rf_str_z(text), in));
}

static void base64(struct rf_str in)
{
	char raw[4096];
	RF_BUF_AUTO b = { 0 };
	ssize_t n = rf_unb64(in, raw, sizeof raw);
	if (n < 0)
		return;
	rf_b64_add(&b, (struct rf_str){ raw, (size_t)n });
	CHECK(b.n == in.n);
}

static void percent(struct rf_str in)
{
	char *to = malloc(in.n + 1);
	CHECK(to && rf_unpercent(in, to) <= in.n);
	free(to);
}

static void instant(struct rf_str in)
{
	char z[64], text[RF_RFC3339_SIZE];
	int64_t a, b;
	size_t n = in.n < sizeof z ? in.n : sizeof z - 1;
	memcpy(z, in.p, n);
	z[n] = '\0';
	if (rf_rfc3339_parse(z, &a) == 0 && a >= 0 && a < 9000000000)
		CHECK(rf_rfc3339_parse(rf_rfc3339(a * (int64_t)RF_NS_S, 0, text), &b) == 0 && a == b);
}

static void token(struct rf_str in)
{
	uint8_t hash[RF_TOKEN_HASH];
	(void)rf_token_hash(RF_TOKEN_API, in, hash);
	(void)rf_token_hash(RF_TOKEN_PROVISION, in, hash);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const codecs[])(struct rf_str) = { ip, prefix, address, hex, base64, percent, instant, token };
	if (size)
		codecs[data[0] % 8]((struct rf_str){ (const char *)data + 1, size - 1 });
	return 0;
}
