/* What a TLS 1.3 peer sends after the handshake. Beliefs: the owner gets exactly the content of the records that are whole and
 * right, in any split of the bytes; a connection that has failed stays failed; nothing is held when nothing is under way.
 *
 * The input is a list of steps: an operation and its operands. Records are protected with the peer's keys, so that the
 * fuzzer reaches what is behind the AEAD.
 *
 *   0 T L ...     a record of type T with L bytes of content
 *   1 L ...       L bytes as they are: broken headers, other types
 *   2 B           flip bit B of the next record
 *   3             the peer changes its keys
 *   4 N           let the next bytes arrive N at a time
 *   5 N           we write N bytes
 *   6             the peer ends its side
 */
#include <stdlib.h>
#include "tls/test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)
enum { SENT_MAX = 65536 };

static struct {
	uint8_t want[SENT_MAX]; /* content that is whole and right so far */
	size_t want_n, got_n;
	bool spoilt;            /* from here on nothing may come */
	int flip;
	size_t pieces;
} z;

static void drain(void)
{
	char got[700];
	for (;;) {
		ssize_t r = rf_stream_read(&dw.s, got, sizeof got);
		if (r <= 0) {
			CHECK(r == RF_E_AGAIN || r == RF_E_EOF || r == RF_E_RESET || r == RF_E_CRYPTO);
			CHECK(r != RF_E_CRYPTO || rf_stream_read(&dw.s, got, sizeof got) == RF_E_CRYPTO);
			return;
		}
		CHECK(z.got_n + (size_t)r <= z.want_n && !memcmp(z.want + z.got_n, got, (size_t)r));
		z.got_n += (size_t)r;
	}
}

static void arrive(const uint8_t *p, size_t n)
{
	size_t step = z.pieces ? z.pieces : n;
	for (size_t at = 0; at < n; at += step) {
		dw_send(p + at, n - at < step ? n - at : step);
		drain();
	}
	z.pieces = 0;
}

static void record(int type, const uint8_t *p, size_t n)
{
	uint8_t to[256 + TLS_OVERHEAD];
	size_t made = dw_seal(type, p, n, to);
	if (z.flip >= 0) {
		to[(size_t)z.flip / 8 % made] ^= (uint8_t)(1 << z.flip % 8);
		z.spoilt = true;
	}
	z.flip = -1;
	while (!type && n) /* then what is in front of the padding is the type */
		type = p[--n];
	if (type == TLS_TYPE_DATA && !z.spoilt && z.want_n + n <= SENT_MAX) {
		memcpy(z.want + z.want_n, p, n);
		z.want_n += n;
	}
	arrive(to, made);
}

/* One step; false at the end of the input. */
static bool step(struct rf_cur *c)
{
	static char zeros[256];
	uint8_t op = rf_cur_u8(c);
	if (!rf_cur_ok(c))
		return false;
	if (op == 0) {
		int type = rf_cur_u8(c);
		struct rf_str s = rf_cur_take(c, rf_cur_u8(c));
		if (rf_cur_ok(c))
			record(type, (const uint8_t *)s.p, s.n);
	} else if (op == 1) {
		struct rf_str s = rf_cur_take(c, rf_cur_u8(c));
		z.spoilt |= s.n > 0;
		if (s.n)
			arrive((const uint8_t *)s.p, s.n);
	} else if (op == 2) {
		z.flip = rf_cur_u8(c);
	} else if (op == 3) {
		record(TLS_TYPE_HANDSHAKE, (const uint8_t *)"\x18\0\0\1\1", 5);
		CHECK(tls_half_update(&dw.tls->ciphers, &dw.far_out));
	} else if (op == 4) {
		z.pieces = rf_cur_u8(c);
	} else if (op == 5) {
		struct iovec v = { zeros, rf_cur_u8(c) };
		rf_stream_write(&dw.s, &v, 1);
		rf_replay_take(dw.far, NULL, SIZE_MAX);
	} else if (op == 6) {
		rf_replay_fin(dw.far);
		rf_replay_run(dw.r, 0);
		drain();
		return false;
	}
	return rf_cur_ok(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 4096)
		return 0;
	struct rf_cur c = rf_cur_over(data + 1, size - 1);
	static const uint32_t suites[] = { TLS1_3_CK_AES_128_GCM_SHA256, TLS1_3_CK_AES_256_GCM_SHA384, TLS1_3_CK_CHACHA20_POLY1305_SHA256 };
	memset(&z, 0, sizeof z);
	z.flip = -1;
	CHECK(dw_open(suites[data[0] % 3], data[0] & 4, 3));
	while (step(&c))
		;
	drain();
	CHECK(z.spoilt || tls_conn_of(&dw.s)->phase == FAILED || tls_conn_of(&dw.s)->direct.closed || z.got_n == z.want_n);
	const struct tls_arrived *rx = &tls_conn_of(&dw.s)->direct.rx;
	CHECK(!rx->p || rx->at < rx->end);
	dw_close();
	return 0;
}
