/* monitor/nft_log: see nft_log.h [linux/netfilter/nfnetlink_log.h].
 *
 *   socket -> bind to a group, the next one where another process has it -> how much of a packet, how many at once, how late
 *
 * What finds no room in the socket is dropped by the kernel, and that is told to who reads.
 */
#include "monitor/nft_log.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "bpf/filter.h"

enum { AT_ONCE = 16, LATE = 5 /* hundredths of a second */, SOCKET_ROOM = 4 << 20, VALUE = 8 };

/* One attribute for a group, and the kernel's answer: 0, or an errno. */
static int configure(int fd, uint16_t group, uint16_t type, const void *value, uint16_t n)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
		struct nlattr a;
		char value[VALUE];
	} q = { .h = { .nlmsg_len = (uint32_t)(NLMSG_SPACE(sizeof q.g) + NLA_ALIGN(NLA_HDRLEN + n)),
			.nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.g = { .version = NFNETLINK_V0, .res_id = htons(group) }, .a = { .nla_len = (uint16_t)(NLA_HDRLEN + n), .nla_type = type } };
	struct { struct nlmsghdr h; struct nlmsgerr e; char more[256]; } answer;
	memcpy(q.value, value, n);
	if (send(fd, &q, q.h.nlmsg_len, 0) != (ssize_t)q.h.nlmsg_len)
		return errno;
	ssize_t got = recv(fd, &answer, sizeof answer, 0);
	if (got < (ssize_t)(sizeof answer.h + sizeof answer.e) || answer.h.nlmsg_type != NLMSG_ERROR)
		return got < 0 ? errno : EIO;
	return -answer.e.error;
}

static int take_group(int fd, uint16_t group)
{
	const struct nfulnl_msg_config_cmd bind = { .command = NFULNL_CFG_CMD_BIND };
	const struct nfulnl_msg_config_mode mode = { .copy_range = htonl(RF_SAMPLE_BYTES), .copy_mode = NFULNL_COPY_PACKET };
	const uint32_t many = htonl(AT_ONCE), late = htonl(LATE);
	int bad = configure(fd, group, NFULA_CFG_CMD, &bind, sizeof bind);
	if (!bad)
		bad = configure(fd, group, NFULA_CFG_MODE, &mode, sizeof mode);
	if (!bad)
		bad = configure(fd, group, NFULA_CFG_QTHRESH, &many, sizeof many);
	return bad ? bad : configure(fd, group, NFULA_CFG_TIMEOUT, &late, sizeof late);
}

int rf_nft_log_open(int *ret_fd, uint16_t *ret_group, struct rf_err *e)
{
	const struct timeval limit = { .tv_sec = 1 }, none = { 0 };
	int room = SOCKET_ROOM, bad = EBUSY, fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	uint16_t group = RF_NFT_LOG_FIRST;
	if (fd < 0)
		return rf_fail(e, RF_E_UNSUPPORTED, "no log of netfilter: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	while (group < RF_NFT_LOG_FIRST + RF_NFT_LOG_GROUPS && (bad = take_group(fd, group)) == EBUSY)
		group++;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none);
	if (!bad) {
		*ret_fd = fd;
		*ret_group = group;
		return RF_OK;
	}
	close(fd);
	return rf_fail(e, bad == EBUSY ? RF_E_FULL : RF_E_UNSUPPORTED, "no group of netfilter's log (nfnetlink_log): %s", strerror(bad));
}
