/* monitor/nft_policy: see nft_policy.h.
 *
 *   sealed file -> each record checked -> sorted -> [prefixes within prefixes -> intervals that do not overlap] -> sets of the table
 *
 * The longest prefix counts, as in the kernel filter: a prefix is cut where a longer one lies within, so that an address
 * is in one set at most and the order of the rules says nothing about prefixes.
 */
#include "monitor/nft_policy.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "bpf/parse.h"
#include "monitor/nft_homes.h"
#include "monitor/nft_rules.h"

enum { DEPTH = 130 };

/* --- records --- */

static bool zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

static bool address_ok(unsigned family, unsigned bits, const uint8_t address[16])
{
	struct rf_ip ip = { .family = (uint8_t)family };
	memcpy(ip.b, address, 16);
	if ((family != 4 && family != 6) || bits > (family == 4 ? 32 : 128))
		return false;
	struct rf_prefix p = rf_ip_mask(&ip, bits);
	return memcmp(p.ip.b, address, 16) == 0;
}

static bool rule_ok(const struct rf_nft_rule *r)
{
	return (r->mode == RF_NFT_ALLOW || r->mode == RF_NFT_DENY) && !r->unused && address_ok(r->family, r->bits, r->address);
}

static bool head_ok(const struct rf_nft_head *h)
{
	if (h->magic != RF_NFT_MAGIC || !zero(h->unused, sizeof h->unused) || h->cookies > RF_COOKIES_ALWAYS)
		return false;
	if (h->samples > RF_NFT_RATE_MAX || h->capture_rule > RF_PACKET_RULES)
		return false;
	if (h->source > RF_NFT_RATE_MAX || h->prefix > RF_NFT_RATE_MAX || h->target > RF_NFT_RATE_MAX)
		return false;
	if (h->fleet_count > RF_NFT_NETS || h->syn > RF_NFT_RATE_MAX || (h->cookies && !h->syn))
		return false;
	for (uint32_t i = 0; i < h->fleet_count; i++) {
		const struct rf_nft_net *n = &h->fleet[i];
		if (!zero(n->unused, sizeof n->unused) || !address_ok(n->family, n->bits, n->address))
			return false;
	}
	return !h->spare_family || address_ok(h->spare_family, h->spare_family == 4 ? 32 : 128, h->spare);
}

static int by_place(const void *a, const void *b)
{
	const struct rf_nft_rule *x = a, *y = b;
	if (x->family != y->family)
		return x->family < y->family ? -1 : 1;
	int c = memcmp(x->address, y->address, sizeof x->address);
	return c ? c : (int)x->bits - (int)y->bits;
}

static int check(struct rf_nft_policy *p, struct rf_err *e)
{
	if (!head_ok(&p->head))
		return rf_fail(e, RF_E_INVALID, "the head of a policy for nft is not right");
	for (uint32_t i = 0; i < p->head.count; i++)
		if (!rule_ok(&p->rules[i]))
			return rf_fail(e, RF_E_INVALID, "record %u of a policy for nft is no rule", i);
	if (rf_nft_rules_check(p->ops, p->head.ops, e) != RF_OK)
		return RF_E_INVALID;
	if (p->head.count)
		qsort(p->rules, p->head.count, sizeof *p->rules, by_place);
	for (uint32_t i = 1; i < p->head.count; i++)
		if (by_place(&p->rules[i - 1], &p->rules[i]) == 0)
			return rf_fail(e, RF_E_INVALID, "a policy for nft has two rules for one prefix");
	return RF_OK;
}

static int read_whole(int fd, struct rf_nft_policy *p, struct rf_err *e)
{
	const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
	struct stat st;
	int has = fd >= 0 ? fcntl(fd, F_GET_SEALS) : -1;
	if (has < 0 || (has & seals) != seals || fstat(fd, &st) != 0)
		return rf_fail(e, RF_E_INVALID, "a policy for nft should come in a sealed file");
	if (pread(fd, &p->head, sizeof p->head, 0) != (ssize_t)sizeof p->head)
		return rf_fail(e, RF_E_INVALID, "a policy for nft ends within its head");
	if (p->head.count > RF_NFT_RULES_MAX)
		return rf_fail(e, RF_E_TOO_LARGE, "nft is given at most %d access rules and networks", RF_NFT_RULES_MAX);
	if (p->head.ops > RF_NFT_OPS_MAX)
		return rf_fail(e, RF_E_TOO_LARGE, "nft is given at most %d operations of packet rules", RF_NFT_OPS_MAX);
	size_t n = p->head.count * sizeof *p->rules, ops = p->head.ops * sizeof *p->ops;
	if ((size_t)st.st_size != sizeof p->head + n + ops)
		return rf_fail(e, RF_E_INVALID, "a policy for nft has not the length that its head says");
	p->rules = malloc(n + 1);
	p->ops = malloc(ops + 1);
	if (!p->rules || !p->ops)
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	bool whole = pread(fd, p->rules, n, sizeof p->head) == (ssize_t)n && pread(fd, p->ops, ops, (off_t)(sizeof p->head + n)) == (ssize_t)ops;
	return whole ? RF_OK : rf_fail(e, RF_E_IO, "a policy for nft cannot be read");
}

int rf_nft_policy_read(int fd, struct rf_nft_policy *ret, struct rf_err *e)
{
	struct rf_nft_policy p = { 0 };
	int rc = read_whole(fd, &p, e);
	if (rc == RF_OK)
		rc = check(&p, e);
	if (rc == RF_OK)
		*ret = p;
	else
		rf_nft_policy_fini(&p);
	return rc;
}

void rf_nft_policy_fini(struct rf_nft_policy *p)
{
	free(p->rules);
	free(p->ops);
	p->rules = NULL;
	p->ops = NULL;
	p->head.count = p->head.ops = 0;
}

/* --- intervals --- */

struct sweep { /* of one family: from here on the innermost open prefix counts */
	struct rf_buf lists[3]; /* by enum rf_nft_mode */
	struct { struct rf_ip last; uint8_t mode; } open[DEPTH];
	size_t depth;
	struct rf_ip at;
};

static void step(struct rf_ip *ip, bool up)
{
	for (int i = ip->family == 4 ? 3 : 15; i >= 0; i--) {
		ip->b[i] = (uint8_t)(up ? ip->b[i] + 1 : ip->b[i] - 1);
		if (ip->b[i] != (up ? 0 : 255))
			return;
	}
}

static void put(struct sweep *s, const struct rf_ip *last, uint8_t mode)
{
	char text[RF_IP_TEXT];
	struct rf_buf *to = &s->lists[mode];
	if (memcmp(s->at.b, last->b, sizeof last->b) > 0)
		return;
	rf_buf_printf(to, "%s%s", to->n ? ", " : "", rf_ip_str(&s->at, text));
	if (memcmp(s->at.b, last->b, sizeof last->b) != 0)
		rf_buf_printf(to, "-%s", rf_ip_str(last, text));
}

/* The prefixes that end before `to` (NULL: all). */
static void close_until(struct sweep *s, const struct rf_ip *to)
{
	while (s->depth && (!to || memcmp(s->open[s->depth - 1].last.b, to->b, sizeof to->b) < 0)) {
		struct rf_ip last = s->open[--s->depth].last;
		put(s, &last, s->open[s->depth].mode);
		struct rf_ip next = last;
		step(&next, true);
		if (memcmp(next.b, last.b, sizeof next.b) < 0) { /* the end of all addresses */
			s->depth = 0;
			return;
		}
		s->at = memcmp(next.b, s->at.b, sizeof next.b) > 0 ? next : s->at;
	}
}

static void open_prefix(struct sweep *s, const struct rf_nft_rule *r)
{
	struct rf_ip first = { .family = r->family }, last = first;
	memcpy(first.b, r->address, sizeof first.b);
	last = first;
	for (unsigned bit = r->bits; bit < (r->family == 4 ? 32u : 128u); bit++)
		last.b[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	close_until(s, &first);
	if (s->depth && memcmp(s->at.b, first.b, sizeof first.b) < 0) {
		struct rf_ip before = first;
		step(&before, false);
		put(s, &before, s->open[s->depth - 1].mode);
	}
	s->at = first;
	s->open[s->depth].last = last;
	s->open[s->depth++].mode = r->mode;
}

static void add_elements(const char *set, int family, struct rf_buf *list, struct rf_buf *to)
{
	if (list->n) {
		rf_buf_printf(to, "add element " RF_NFT_TABLE " %s%d { ", set, family);
		rf_buf_add(to, rf_buf_str(list));
		rf_buf_printf(to, " }\n");
	}
	to->bad |= list->bad;
	rf_buf_fini(list);
}

static void family_elements(const struct rf_nft_policy *p, int family, struct rf_buf *to)
{
	struct sweep s = { .depth = 0 };
	for (uint32_t i = 0; i < p->head.count; i++)
		if (p->rules[i].family == family)
			open_prefix(&s, &p->rules[i]);
	close_until(&s, NULL);
	add_elements("allow", family, &s.lists[RF_NFT_ALLOW], to);
	add_elements("deny", family, &s.lists[RF_NFT_DENY], to);
}

/* --- the table --- */

#define SET(name, type, more) "add set " RF_NFT_TABLE " " name " { type " type "; " more " }\nflush set " RF_NFT_TABLE " " name "\n"
#define RATES "size 65536; flags dynamic,timeout; timeout 10s;"
#define RULE "add rule " RF_NFT_TABLE " filter "
#define PORTS "meta l4proto { tcp, udp } " /* protocols that have them */
#define AFTER "add rule " RF_NFT_TABLE " after "

static const char skeleton[] =
	"add table " RF_NFT_TABLE "\nflush table " RF_NFT_TABLE "\n"
#define X(name, word, verdict) "add counter " RF_NFT_TABLE " " word "\nadd chain " RF_NFT_TABLE " end_" word "\n"
	RF_NFT_ENDS(X)
#undef X
	"add chain " RF_NFT_TABLE " filter\nadd chain " RF_NFT_TABLE " after\n"
	SET("allow4", "ipv4_addr", "flags interval;") SET("allow6", "ipv6_addr", "flags interval;")
	SET("deny4", "ipv4_addr", "flags interval;") SET("deny6", "ipv6_addr", "flags interval;")
	SET("reflect", "inet_service", "") SET("ban", "inet_service", "")
	SET("fleet4", "ipv4_addr", "flags interval; auto-merge;") SET("fleet6", "ipv6_addr", "flags interval; auto-merge;")
	SET("source4", "ipv4_addr", RATES) SET("source6", "ipv6_addr", RATES) SET("prefix4", "ipv4_addr", RATES) SET("prefix6", "ipv6_addr", RATES)
	SET("target4", "ipv4_addr . inet_proto . inet_service", RATES) SET("target6", "ipv6_addr . inet_proto . inet_service", RATES)
	SET("other4", "ipv4_addr . inet_proto", RATES) SET("other6", "ipv6_addr . inet_proto", RATES);

/* The ends of a frame's way: shown, counted, and gone. */
static void ends(const struct rf_nft_head *h, const struct rf_nft_shown *s, struct rf_buf *to)
{
	static const struct { unsigned why; const char *word, *verdict; } all[] = {
#define X(name, word, verdict) { RF_DROP_##name, word, verdict },
		RF_NFT_ENDS(X)
#undef X
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		char chain[RF_NFT_NAME];
		snprintf(chain, sizeof chain, "end_%s", all[i].word);
		if (h->capture_why >> all[i].why & 1)
			rf_nft_show_text(s, chain, all[i].why, 0, RF_SAMPLE_CAPTURE, to);
		if (all[i].why > RF_DROP_LAST_PASS && all[i].why != RF_DROP_RULE) /* what a rule drops it shows itself */
			rf_nft_show_text(s, chain, all[i].why, 0, RF_SAMPLE_RECORD, to);
		rf_buf_printf(to, "add rule " RF_NFT_TABLE " %s counter name \"%s\" %s\n", chain, all[i].word, all[i].verdict);
	}
}

/* What no host sends (bpf/parse.h), as far as nft can ask, and what it cannot look into. */
static void sane(struct rf_buf *to)
{
	rf_buf_printf(to, RULE "meta protocol { 8021q, 8021ad } goto end_vlan_depth\n"
		RULE "ip saddr { 127.0.0.0/8, 224.0.0.0/3 } goto end_source\n" RULE "ip saddr 0.0.0.0/8 ip daddr != 255.0.0.0/8 goto end_source\n"
		RULE "ip6 saddr { ::1, ff00::/8 } goto end_source\n" RULE "meta l4proto 6 @th,88,24 & 63 { 0"); /* three bytes: see widen() of policy/packet_nft_leaf */
	for (unsigned f = 1; f < 64; f++)
		if (rf_bad_tcp_flags((__u8)f))
			rf_buf_printf(to, ", %u", f);
	rf_buf_printf(to, " } goto end_tcp_flags\n");
}

static void spare(const struct rf_nft_head *h, struct rf_buf *to)
{
	char text[RF_IP_TEXT];
	struct rf_ip ip = { .family = h->spare_family };
	memcpy(ip.b, h->spare, sizeof ip.b);
	if (!h->spare_port)
		return;
	rf_buf_printf(to, RULE);
	if (ip.family)
		rf_buf_printf(to, "%s daddr %s ", ip.family == 4 ? "ip" : "ip6", rf_ip_str(&ip, text));
	rf_buf_printf(to, "tcp dport %u goto end_pass\n", h->spare_port);
}

/* Into a set; false: there are none. */
static bool ports(const char *set, const uint64_t bits[RF_NFT_REFLECT_WORDS], struct rf_buf *to)
{
	size_t n = 0;
	for (unsigned port = 0; port < 65536; port++)
		if (bits[port / 64] >> port % 64 & 1) {
			if (!n++)
				rf_buf_printf(to, "add element " RF_NFT_TABLE " %s { %u", set, port);
			else
				rf_buf_printf(to, ", %u", port);
		}
	if (n)
		rf_buf_printf(to, " }\n");
	return n > 0;
}

static void reflection(const struct rf_nft_head *h, struct rf_buf *to)
{
	if (ports("reflect", h->reflect, to))
		rf_buf_printf(to, RULE "udp sport @reflect goto end_reflection\n");
}

/* What devices of ours send away from here: those that are exempt, slowed or held; and to ports that bots scan from networks of the fleet. */
static void fleet(const struct rf_nft_head *h, struct rf_buf *to)
{
	bool has[2] = { false, false }, banned = ports("ban", h->ban, to);
	rf_nft_homes_chains(to);
	rf_nft_homes_rules(to);
	rf_buf_printf(to, RULE "jump fleet\n");
	if (!h->fleet_count || !banned)
		return;
	for (uint32_t i = 0; i < h->fleet_count; i++) {
		const struct rf_nft_net *n = &h->fleet[i];
		char text[RF_IP_TEXT];
		struct rf_prefix p = { .ip = { .family = n->family }, .bits = n->bits };
		memcpy(p.ip.b, n->address, sizeof p.ip.b);
		has[n->family == 6] = true;
		rf_buf_printf(to, "add element " RF_NFT_TABLE " fleet%d { %s }\n", n->family, rf_prefix_str(&p, text));
	}
	for (int six = 0; six < 2; six++)
		if (has[six])
			rf_buf_printf(to, "add rule " RF_NFT_TABLE " fleet %s saddr @fleet%d tcp dport @ban fib daddr . iif type != local goto end_fleet_port\n",
				six ? "ip6" : "ip", six ? 6 : 4);
}

static void rate(const char *key4, const char *key6, const char *word, uint64_t n, struct rf_buf *to)
{
	unsigned long long limit = n;
	const char *const keys[] = { key4, key6 };
	for (int i = 0; n && i < 2; i++)
		if (keys[i])
			rf_buf_printf(to, AFTER "%s limit rate over %llu/second burst %llu packets } goto end_%s\n", keys[i], limit, limit, word);
}

/* A fragment that is not the first has no ports: it is counted by its protocol alone, in IPv6 by the header that it says would follow, since
 * the kernel looks no further. */
static void target_rates(uint64_t n, struct rf_buf *to)
{
	static const char *const keys[][2] = {
		{ PORTS "ip frag-off & 0x1fff == 0 update @target4 { ip daddr . meta l4proto . th dport",
			PORTS "exthdr frag missing update @target6 { ip6 daddr . meta l4proto . th dport" },
		{ PORTS "ip frag-off & 0x1fff != 0 update @other4 { ip daddr . meta l4proto",
			PORTS "frag frag-off 0 update @target6 { ip6 daddr . meta l4proto . th dport" },
		{ "meta l4proto != { tcp, udp } update @other4 { ip daddr . meta l4proto",
			"meta l4proto != { tcp, udp } update @other6 { ip6 daddr . meta l4proto" },
	};
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		rate(keys[i][0], keys[i][1], "rate_target", n, to);
	rate(NULL, "frag frag-off != 0 frag nexthdr { 0, 6, 17, 43, 44, 51, 60 } update @other6 { ip6 daddr . frag nexthdr", "rate_target", n, to);
}

static void rates(const struct rf_nft_head *h, struct rf_buf *to)
{
	rate("update @source4 { ip saddr", "update @source6 { ip6 saddr", "rate_source", h->source, to);
	rate("update @prefix4 { ip saddr & 255.255.255.0", "update @prefix6 { ip6 saddr & ffff:ffff:ffff::", "rate_prefix", h->prefix, to);
	target_rates(h->target, to);
}

/* Extension headers that nft does not look behind would hide ports from rules: AH, mobility, HIP, shim6. */
static void rules(const struct rf_nft_policy *p, const struct rf_nft_shown *s, struct rf_buf *to)
{
	char chain[RF_NFT_NAME];
	rf_nft_rules_text(p->ops, p->head.ops, s, to);
	if (p->head.ops)
		rf_buf_printf(to, RULE "meta protocol ip6 meta l4proto { 51, 135, 139, 140 } goto end_ip6_chain\n"
			RULE "meta protocol { ip, ip6 } goto %s\n", rf_nft_chain_name(0, chain));
}

void rf_nft_policy_text(const struct rf_nft_policy *p, uint16_t group, struct rf_buf *to)
{
	const struct rf_nft_head *h = &p->head;
	const struct rf_nft_shown s = { .group = group, .rule = (uint16_t)h->capture_rule, .samples = h->samples };
	rf_buf_add(to, (struct rf_str){ skeleton, sizeof skeleton - 1 });
	ends(h, &s, to);
	sane(to);
	rf_buf_printf(to, RULE "ip saddr @allow4 goto end_allowed\n" RULE "ip6 saddr @allow6 goto end_allowed\n");
	spare(h, to);
	rf_buf_printf(to, RULE "ip saddr @deny4 goto end_denied\n" RULE "ip6 saddr @deny6 goto end_denied\n");
	fleet(h, to);
	reflection(h, to);
	rules(p, &s, to);
	rf_buf_printf(to, RULE "goto after\n");
	rates(h, to);
	rf_buf_printf(to, AFTER "meta protocol { ip, ip6 } goto end_pass\n" AFTER "goto end_not_ip\n");
	family_elements(p, 4, to);
	family_elements(p, 6, to);
}

/* --- interfaces --- */

/* Of each name its own: letters and digits as they are, all else by its number. */
static int chain_name(const char *interface, char to[64], struct rf_err *e)
{
	size_t n = (size_t)snprintf(to, 64, "on_");
	for (const char *p = interface; *p && n < 60; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
		if (!plain && !strchr("._-@:", *p))
			return rf_fail(e, RF_E_INVALID, "nft cannot be told of an interface named \"%s\"", interface);
		n += (size_t)snprintf(to + n, 64 - n, plain ? "%c" : "_%02x", *p);
	}
	return RF_OK;
}

int rf_nft_hook_text(const char *interface, struct rf_buf *to, struct rf_err *e)
{
	char chain[64];
	int rc = chain_name(interface, chain, e);
	if (rc == RF_OK)
		rf_buf_printf(to, "add chain " RF_NFT_TABLE " %s { type filter hook ingress device \"%s\" priority -500; policy accept; }\n"
			"flush chain " RF_NFT_TABLE " %s\nadd rule " RF_NFT_TABLE " %s jump filter\n", chain, interface, chain, chain);
	return rc;
}

int rf_nft_unhook_text(const char *interface, struct rf_buf *to, struct rf_err *e)
{
	char chain[64];
	int rc = chain_name(interface, chain, e);
	if (rc == RF_OK)
		rf_buf_printf(to, "flush chain " RF_NFT_TABLE " %s\ndelete chain " RF_NFT_TABLE " %s\n", chain, chain);
	return rc;
}
