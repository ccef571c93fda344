/* monitor/nft_syn: see nft_syn.h. */
#include "monitor/nft_syn.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "monitor/nft.h"

enum { COOKIES_ALWAYS = 2, IP4_HEADERS = 40, IP6_HEADERS = 60, MTU_LEAST = 576, SCALE_MOST = 14, WINDOW_BITS = 15 };

#define CHAIN "add chain " RF_NFT_SYN_TABLE " "
#define RULE "add rule " RF_NFT_SYN_TABLE " "
#define SYN "tcp flags & (fin|syn|rst|ack) == syn "

/* --- the kernel's settings --- */

static bool read_text(const char *path, char *to, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, to, room - 1) : -1;
	if (fd >= 0)
		close(fd);
	to[n > 0 ? n : 0] = 0;
	return n > 0;
}

static uint64_t setting(const char *path, unsigned place, uint64_t usual)
{
	char text[128], *at = text;
	uint64_t v = usual;
	if (!read_text(path, text, sizeof text))
		return usual;
	for (unsigned i = 0; i <= place; i++)
		v = strtoull(at, &at, 10);
	return v;
}

/* As the kernel chooses its scale of windows: the largest window that a socket may come to, in 16 bits. */
struct rf_nft_tcp rf_nft_tcp_now(void)
{
	uint64_t room = setting("/proc/sys/net/ipv4/tcp_rmem", 2, 6291456), most = setting("/proc/sys/net/core/rmem_max", 0, 212992);
	struct rf_nft_tcp t = { .sack = setting("/proc/sys/net/ipv4/tcp_sack", 0, 1), .stamps = setting("/proc/sys/net/ipv4/tcp_timestamps", 0, 1) };
	room = room > most ? room : most;
	while (t.scale < SCALE_MOST && room >> (WINDOW_BITS + 1 + t.scale))
		t.scale++;
	return t;
}

int rf_nft_syn_strict(struct rf_err *e)
{
	static const char path[] = "/proc/sys/net/netfilter/nf_conntrack_tcp_loose";
	int fd = open(path, O_WRONLY | O_CLOEXEC), rc = fd >= 0 && write(fd, "0", 1) == 1 ? RF_OK : RF_E_IO;
	if (rc != RF_OK)
		rf_fail(e, RF_E_IO, "%s cannot be set to 0: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

bool rf_nft_syn_counts(uint64_t *ret_cookies, uint64_t *ret_good, uint64_t *ret_bad)
{
	unsigned syns, bad, good;
	char line[256];
	FILE *f = fopen("/proc/net/stat/synproxy", "re");
	*ret_cookies = *ret_good = *ret_bad = 0;
	if (!f)
		return false;
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "%*x %x %x %x", &syns, &bad, &good) == 3) {
			*ret_cookies += syns;
			*ret_bad += bad;
			*ret_good += good;
		}
	fclose(f);
	return true;
}

/* --- text --- */

int rf_nft_syn_probe(struct rf_err *e)
{
	return rf_nft_run(RF_STR("add table inet ringfence_try\nadd chain inet ringfence_try i { type filter hook input priority 0; }\n"
		"add chain inet ringfence_try p { type filter hook prerouting priority raw; }\n"
		"add rule inet ringfence_try p tcp flags syn socket wildcard 0 notrack\n"
		"add rule inet ringfence_try i ct state { invalid, untracked } tcp dport 1 synproxy mss 1460 wscale 7 timestamp sack-perm\n"
		"delete table inet ringfence_try\n"), e);
}

void rf_nft_syn_text(const struct rf_nft_head *h, struct rf_buf *to)
{
	unsigned long long rate = h->syn;
	rf_buf_printf(to, "add table " RF_NFT_SYN_TABLE "\ndelete table " RF_NFT_SYN_TABLE "\n");
	if (!h->cookies)
		return;
	rf_buf_printf(to, "add table " RF_NFT_SYN_TABLE "\n" CHAIN "open\n" CHAIN "syn\n"
		CHAIN "before { type filter hook prerouting priority raw; policy accept; }\n"
		CHAIN "arrive { type filter hook input priority filter; policy accept; }\n"
		RULE "syn socket wildcard 0 goto open\n" RULE "syn socket wildcard 1 goto open\n");
	for (int six = 0; six < 2; six++) {
		int n = six ? 6 : 4;
		const char *ip = six ? "ip6" : "ip";
		rf_buf_printf(to, "add set " RF_NFT_SYN_TABLE " rate%d { type ipv%d_addr . inet_service; size 4096; flags dynamic,timeout; timeout 10s; }\n"
			"add set " RF_NFT_SYN_TABLE " flood%d { type ipv%d_addr . inet_service; size 4096; flags dynamic,timeout; timeout 10s; }\n", n, n, n, n);
		if (h->cookies != COOKIES_ALWAYS)
			rf_buf_printf(to, RULE "open update @rate%d { %s daddr . tcp dport limit rate over %llu/second burst %llu packets } "
				"update @flood%d { %s daddr . tcp dport }\n" RULE "open %s daddr . tcp dport @flood%d notrack\n", n, ip, rate, rate, n, ip, ip, n);
	}
	if (h->cookies == COOKIES_ALWAYS)
		rf_buf_printf(to, RULE "open notrack\n");
}

int rf_nft_syn_hook_text(const struct rf_nft_head *h, const struct rf_nft_tcp *tcp, const char *interface, unsigned mtu, struct rf_buf *to,
	struct rf_err *e)
{
	RF_BUF_AUTO checked = { 0 };
	int rc = h->cookies ? rf_nft_hook_text(interface, &checked, e) : RF_OK; /* can its name be said? */
	if (rc != RF_OK || !h->cookies)
		return rc;
	mtu = mtu < MTU_LEAST ? MTU_LEAST : mtu > UINT16_MAX ? UINT16_MAX : mtu;
	rf_buf_printf(to, RULE "before iifname \"%s\" tcp dport != %u " SYN "fib daddr type local jump syn\n", interface, h->spare_port);
	for (int six = 0; six < 2; six++) {
		rf_buf_printf(to, RULE "arrive iifname \"%s\" meta nfproto ipv%d tcp dport != %u ct state { invalid, untracked } ", interface, six ? 6 : 4,
			h->spare_port);
		if (h->cookies != COOKIES_ALWAYS)
			rf_buf_printf(to, "%s daddr . tcp dport @flood%d ", six ? "ip6" : "ip", six ? 6 : 4);
		rf_buf_printf(to, "synproxy mss %u wscale %u%s%s\n", mtu - (six ? IP6_HEADERS : IP4_HEADERS), tcp->scale, tcp->stamps ? " timestamp" : "",
			tcp->sack ? " sack-perm" : "");
	}
	return RF_OK;
}
