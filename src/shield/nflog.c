/* shield/nflog: see nflog.h.
 *
 *   datagram -> messages -> attributes: prefix, header of the link, VLAN tag, packet -> a frame as it came
 *
 * The packet begins behind the link's header, and a tag was taken out of that by the kernel: both are put in front again. How long a
 * frame was that is cut is what its own header says.
 */
#include "shield/nflog.h"
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "base/nlattr.h"
#include "bpf/parse.h"

enum { ROOM = 131072, LINK_HEADER = 14, TAG = 4 };

static bool words_of(const struct nlattr *prefix, struct rf_shown *to)
{
	char text[64], end;
	unsigned why, rule, kind;
	size_t n = rf_nlattr_length(prefix);
	if (!n || n > sizeof text || !memchr(rf_nlattr_value(prefix), 0, n))
		return false;
	memcpy(text, rf_nlattr_value(prefix), n);
	if (sscanf(text, "%u %u %u%c", &why, &rule, &kind, &end) != 3 || why >= RF_DROP_COUNT || rule > UINT16_MAX || kind > UINT8_MAX)
		return false;
	to->why = (uint8_t)why;
	to->rule = (uint16_t)rule;
	to->kind = (uint8_t)kind;
	return true;
}

static void add(struct rf_shown *to, const void *p, size_t n)
{
	n = n < RF_SAMPLE_BYTES - to->n ? n : RF_SAMPLE_BYTES - to->n;
	memcpy(to->bytes + to->n, p, n);
	to->n += (uint32_t)n;
}

/* The header of the link, with the tag in it that the kernel has taken out. */
static void add_link(const void *attributes, size_t n, struct rf_shown *to)
{
	const struct nlattr *link = rf_nlattr_find(attributes, n, NFULA_HWHEADER), *vlan = rf_nlattr_find(attributes, n, NFULA_VLAN);
	static const uint8_t nothing[LINK_HEADER];
	bool whole = link && rf_nlattr_length(link) == LINK_HEADER;
	const uint8_t *header = whole ? rf_nlattr_value(link) : nothing;
	add(to, header, LINK_HEADER - 2);
	const struct nlattr *proto = vlan ? rf_nlattr_find(rf_nlattr_value(vlan), rf_nlattr_length(vlan), NFULA_VLAN_PROTO) : NULL;
	const struct nlattr *tci = vlan ? rf_nlattr_find(rf_nlattr_value(vlan), rf_nlattr_length(vlan), NFULA_VLAN_TCI) : NULL;
	if (proto && tci && rf_nlattr_length(proto) == 2 && rf_nlattr_length(tci) == 2) {
		add(to, rf_nlattr_value(proto), 2);
		add(to, rf_nlattr_value(tci), 2);
	}
}

/* As long as the packet says that it is. */
static uint32_t size_of(const struct rf_shown *s, size_t at)
{
	uint32_t n = at + 6 <= s->n && s->bytes[at] >> 4 == 4 ? rf_be16(s->bytes + at + 2) :
		at + 6 <= s->n && s->bytes[at] >> 4 == 6 ? 40u + rf_be16(s->bytes + at + 4) : 0;
	return n + at > s->n ? (uint32_t)(n + at) : s->n;
}

bool rf_nflog_read(const void *message, size_t n, struct rf_shown *ret)
{
	const struct nlmsghdr *h = message;
	if (n < NLMSG_SPACE(sizeof(struct nfgenmsg)) || h->nlmsg_len < NLMSG_SPACE(sizeof(struct nfgenmsg)) || h->nlmsg_len > n ||
	    h->nlmsg_type != (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET))
		return false;
	const char *at = (const char *)message + NLMSG_SPACE(sizeof(struct nfgenmsg));
	size_t left = h->nlmsg_len - NLMSG_SPACE(sizeof(struct nfgenmsg));
	const struct nlattr *prefix = rf_nlattr_find(at, left, NFULA_PREFIX), *payload = rf_nlattr_find(at, left, NFULA_PAYLOAD);
	const struct nlattr *packet = rf_nlattr_find(at, left, NFULA_PACKET_HDR);
	struct nfulnl_msg_packet_hdr what;
	ret->n = 0;
	if (!prefix || !payload || !packet || rf_nlattr_length(packet) < sizeof what || !words_of(prefix, ret))
		return false;
	memcpy(&what, rf_nlattr_value(packet), sizeof what);
	add_link(at, left, ret);
	add(ret, &what.hw_protocol, sizeof what.hw_protocol);
	size_t start = ret->n;
	add(ret, rf_nlattr_value(payload), rf_nlattr_length(payload));
	ret->size = size_of(ret, start);
	return true;
}

static unsigned take(const char *room, size_t got, uint64_t now_ns, void (*each)(void *ctx, const void *shown), void *ctx)
{
	static struct rf_shown one; /* of the one thread that reads */
	unsigned n = 0;
	for (size_t at = 0; at + sizeof(struct nlmsghdr) <= got;) {
		const struct nlmsghdr *h = (const void *)(room + at);
		if (h->nlmsg_len < sizeof *h || h->nlmsg_len > got - at)
			break;
		if (rf_nflog_read(h, got - at, &one)) {
			one.at_ns = now_ns;
			each(ctx, &one);
			n++;
		}
		at += NLMSG_ALIGN(h->nlmsg_len);
	}
	return n;
}

unsigned rf_nflog_take(int fd, unsigned most, uint64_t now_ns, void (*each)(void *ctx, const void *shown), void *ctx, bool *ret_missed)
{
	_Alignas(struct nlmsghdr) static char room[ROOM]; /* the same */
	unsigned n = 0;
	*ret_missed = false;
	for (unsigned i = 0; i < most && n < most; i++) {
		ssize_t got = recv(fd, room, sizeof room, MSG_DONTWAIT);
		if (got < 0 && errno != ENOBUFS)
			break;
		*ret_missed |= got < 0;
		n += got > 0 ? take(room, (size_t)got, now_ns, each, ctx) : 0;
	}
	return n;
}
