/* wire/guard_ssh: the beginning of SSH, in the clear [RFC 4253 4.2, 6, 7.1].
 *
 * The identification line, then one binary packet that must be SSH_MSG_KEXINIT: a client may send nothing else before
 * it. What follows is soon encrypted, and passes.
 */
#include "wire/guard_int.h"

enum { LINE_MAX_BYTES = 255, PACKET_MAX = 35000, PADDING_LEAST = 4, KEXINIT = 20, KEXINIT_LEAST = 16 + 10 * 4 + 5 };

/* "SSH-2.0-software comments" CR LF; the CR may be missing, as in old clients. */
static int line(struct rf_guard *g, struct rf_str in, uint64_t *ret_size)
{
	static const struct rf_str magic = { "SSH-", 4 };
	size_t n = in.n < magic.n ? in.n : magic.n;
	if (memcmp(in.p, magic.p, n) != 0)
		return guard_bad(g, "the client does not begin with an SSH identification");
	struct rf_str most = { in.p, in.n < LINE_MAX_BYTES ? in.n : LINE_MAX_BYTES };
	size_t lf = rf_str_find(most, '\n');
	for (size_t i = 0; i < lf; i++) {
		unsigned char c = (unsigned char)in.p[i];
		if ((c < ' ' || c > '~') && !(c == '\r' && (i + 1 == lf || i + 1 == most.n)))
			return guard_bad(g, "the SSH identification has bytes that are not printable ASCII");
	}
	if (lf == most.n)
		return in.n >= LINE_MAX_BYTES ? guard_bad(g, "the SSH identification is longer than 255 bytes") : RF_E_AGAIN;
	struct rf_str text = { in.p, lf && in.p[lf - 1] == '\r' ? lf - 1 : lf };
	if (!rf_str_starts(text, RF_STR("SSH-2.0-")) && !rf_str_starts(text, RF_STR("SSH-1.99-")))
		return guard_bad(g, "the client speaks another version of SSH than 2.0");
	if (text.p[text.n - 1] == '-')
		return guard_bad(g, "the SSH identification names no software");
	*ret_size = lf + 1;
	return RF_OK;
}

static int first_packet(struct rf_guard *g, struct rf_str in, uint64_t *ret_size)
{
	struct rf_cur c = rf_cur_over(in.p, in.n);
	uint32_t size = rf_cur_u32(&c), padding = rf_cur_u8(&c), type = rf_cur_u8(&c);
	if (!rf_cur_ok(&c))
		return RF_E_AGAIN;
	if (size > PACKET_MAX || padding < PADDING_LEAST || size < 1 + padding + 1)
		return guard_bad(g, "the first SSH packet has a length that no packet has");
	if (type != KEXINIT || size - padding - 1 < KEXINIT_LEAST)
		return guard_bad(g, "the first SSH packet begins no key exchange");
	*ret_size = GUARD_ALL;
	return RF_OK;
}

int guard_ssh(struct rf_guard *g, struct rf_str in, uint64_t *ret_size)
{
	return g->frames ? first_packet(g, in, ret_size) : line(g, in, ret_size);
}
