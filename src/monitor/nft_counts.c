/* monitor/nft_counts: see nft_counts.h.
 *
 *   dump of the table's counters, or chains -> messages -> attributes of each: name [, data] -> told
 */
#include "monitor/nft_counts.h"
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "base/nlattr.h"

enum { ROOM = 65536, MESSAGES_MAX = 512 };

struct dump {
	uint16_t message, name;
	void (*counter)(void *ctx, struct rf_str name, uint64_t frames, uint64_t bytes);
	void (*chain)(void *ctx, struct rf_str name);
	void *ctx;
};

static uint64_t number(const struct nlattr *data, unsigned type)
{
	uint64_t v = 0;
	const struct nlattr *a = rf_nlattr_find(rf_nlattr_value(data), rf_nlattr_length(data), type);
	if (a && rf_nlattr_length(a) == sizeof v)
		memcpy(&v, rf_nlattr_value(a), sizeof v);
	return be64toh(v);
}

static void take(const struct dump *d, const struct nlmsghdr *h)
{
	const char *at = (const char *)NLMSG_DATA(h) + NLMSG_ALIGN(sizeof(struct nfgenmsg));
	if (h->nlmsg_len < NLMSG_SPACE(sizeof(struct nfgenmsg)))
		return;
	size_t n = h->nlmsg_len - NLMSG_SPACE(sizeof(struct nfgenmsg));
	const struct nlattr *name = rf_nlattr_find(at, n, d->name), *data = rf_nlattr_find(at, n, NFTA_OBJ_DATA);
	if (!name || !rf_nlattr_length(name))
		return;
	struct rf_str s = { rf_nlattr_value(name), rf_nlattr_length(name) - 1 };
	if (d->chain)
		d->chain(d->ctx, s);
	else if (data)
		d->counter(d->ctx, s, number(data, NFTA_COUNTER_PACKETS), number(data, NFTA_COUNTER_BYTES));
}

static bool ask(int fd, const struct dump *d)
{
	static const char table[12] = "ringfence";
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
		struct nlattr table_is; char table[12];
		struct nlattr type_is; uint32_t type;
	} q = { .h = { .nlmsg_len = sizeof q, .nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | d->message), .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.g = { .nfgen_family = NFPROTO_NETDEV, .version = NFNETLINK_V0 },
		.table_is = { .nla_len = NLA_HDRLEN + sizeof "ringfence", .nla_type = NFTA_OBJ_TABLE },
		.type_is = { .nla_len = NLA_HDRLEN + sizeof(uint32_t), .nla_type = NFTA_OBJ_TYPE }, .type = htobe32(NFT_OBJECT_COUNTER) };
	memcpy(q.table, table, sizeof table);
	if (d->chain) /* there is one type of them */
		q.h.nlmsg_len -= NLA_HDRLEN + sizeof q.type;
	return send(fd, &q, q.h.nlmsg_len, 0) == (ssize_t)q.h.nlmsg_len;
}

/* True: there is more to come. */
static bool answer(int fd, const struct dump *d, int *rc)
{
	_Alignas(struct nlmsghdr) static char room[ROOM];
	ssize_t got = recv(fd, room, sizeof room, 0);
	*rc = RF_E_IO;
	if (got < 0)
		return false;
	size_t n = (size_t)got;
	for (const struct nlmsghdr *h = (const void *)room; n >= sizeof *h && h->nlmsg_len >= sizeof *h && h->nlmsg_len <= n;) {
		if (h->nlmsg_type == NLMSG_DONE)
			*rc = RF_OK;
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			return false;
		take(d, h);
		size_t step = NLMSG_ALIGN(h->nlmsg_len);
		if (step >= n)
			return true;
		n -= step;
		h = (const void *)((const char *)h + step);
	}
	return n == 0;
}

static int run(const struct dump *d)
{
	const struct timeval limit = { .tv_sec = 1 };
	int rc = RF_E_IO, fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (fd < 0)
		return RF_E_IO;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (ask(fd, d))
		for (int i = 0; i < MESSAGES_MAX && answer(fd, d, &rc); i++)
			;
	close(fd);
	return rc;
}

int rf_nft_counts(void (*each)(void *ctx, struct rf_str name, uint64_t frames, uint64_t bytes), void *ctx)
{
	return run(&(struct dump){ .message = NFT_MSG_GETOBJ, .name = NFTA_OBJ_NAME, .counter = each, .ctx = ctx });
}

int rf_nft_chains(void (*each)(void *ctx, struct rf_str name), void *ctx)
{
	return run(&(struct dump){ .message = NFT_MSG_GETCHAIN, .name = NFTA_CHAIN_NAME, .chain = each, .ctx = ctx });
}
