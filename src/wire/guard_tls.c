/* wire/guard_tls: a client's half of TLS as a third party can see it [RFC 8446 5.1, RFC 5246 6.2].
 *
 * The ClientHello is read whole, also over several records; then the head of each record.
 */
#include "wire/guard_int.h"
#include "wire/hello.h"

enum { HEAD = 5, CHANGE_CIPHER = 20, DATA = 23, RECORD_MOST = 16384 + 2048 };
enum { HELLO_MEMORY = 64 * 1024 }; /* to put it together where it comes in pieces */

/* How many bytes of records hold the message, which is whole. */
static size_t records_of(struct rf_str in, size_t message)
{
	size_t at = 0;
	for (size_t got = 0; got < message;) {
		size_t n = (size_t)(uint8_t)in.p[at + 3] << 8 | (uint8_t)in.p[at + 4];
		got += n;
		at += HEAD + n;
	}
	return at;
}

static int hello(struct rf_guard *g, struct rf_str in, uint64_t *ret_size)
{
	struct rf_arena a;
	struct rf_str message;
	struct rf_hello h;
	rf_arena_init(&a, HELLO_MEMORY);
	int r = rf_hello_from_records(in, &a, &message);
	if (r == RF_OK)
		r = rf_hello_parse(message, &h);
	size_t n = message.n;
	rf_arena_fini(&a);
	if (r == RF_E_AGAIN)
		return r;
	if (r)
		return guard_bad(g, "the client does not begin with a well-formed TLS ClientHello");
	*ret_size = records_of(in, n);
	return RF_OK;
}

int guard_tls(struct rf_guard *g, struct rf_str in, uint64_t *ret_size)
{
	if (!g->frames)
		return hello(g, in, ret_size);
	struct rf_cur c = rf_cur_over(in.p, in.n);
	uint8_t type = rf_cur_u8(&c), major = rf_cur_u8(&c), minor = rf_cur_u8(&c);
	uint16_t length = rf_cur_u16(&c);
	if (!rf_cur_ok(&c))
		return RF_E_AGAIN;
	if (type < CHANGE_CIPHER || type > DATA)
		return guard_bad(g, "a TLS record of a type that does not exist");
	if (major != 3 || minor > 4)
		return guard_bad(g, "a TLS record of a version that does not exist");
	if (length > RECORD_MOST || (!length && type != DATA)) /* [RFC 8446 5.1] */
		return guard_bad(g, "a TLS record of a length that no record has");
	*ret_size = HEAD + (uint64_t)length;
	return RF_OK;
}
