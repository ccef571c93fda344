/* monitor/nft_policy: the policy of the shield for kernels without the filter: from records of the engine to a text for nft.
 *
 * The engine has no privileges and writes a sealed file: a head and a record a rule, of fixed sizes. Nothing of it but
 * numbers reaches the text, and each is looked at first.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/ip.h"
#include "bpf/facts.h"
#include "bpf/nft.h"

enum { RF_NFT_MAGIC = 0x52464e03, RF_NFT_RULES_MAX = 200000, RF_NFT_RATE_MAX = 100000000, RF_NFT_REFLECT_WORDS = 1024, RF_NFT_NETS = 32 };

enum rf_nft_mode { RF_NFT_ALLOW = 1, RF_NFT_DENY };

struct rf_nft_rule {
	uint8_t family, bits, mode, unused; /* 4 or 6; enum rf_nft_mode; 0 */
	uint8_t address[16];                /* no bits beyond its length */
};

struct rf_nft_head {
	uint32_t magic, count;              /* so many rules follow, */
	uint32_t ops, samples;              /* and so many operations of packet rules; frames recorded, of each reason a second */
	uint64_t capture_why;               /* a bit for each RF_DROP_*: all its frames are shown */
	uint32_t capture_rule;              /* and all that this rule matches, by its number and one more */
	uint32_t cookies;                   /* enum rf_cookies */
	uint64_t source, prefix, target;    /* frames a second, 0: any; as struct rf_shield_limits */
	uint16_t spare_port;                /* TCP to it passes; 0: none */
	uint8_t spare_family, unused[5];    /* 4, 6: only to `spare`; 0: to any address */
	uint8_t spare[16];
	uint32_t fleet_count, syn;          /* syn: SYNs a second to one destination, before there is a flood */
	struct rf_nft_net { uint8_t family, bits, unused[6]; uint8_t address[16]; } fleet[RF_NFT_NETS];
	uint64_t reflect[RF_NFT_REFLECT_WORDS]; /* a bit a UDP source port */
	uint64_t ban[RF_NFT_REFLECT_WORDS];     /* TCP ports to which nothing of `fleet` leaves; the same */
};

/* What is read from a sealed file; rules are malloced, sorted by address and length.
 * RF_E_INVALID with what is wrong, RF_E_TOO_LARGE, RF_E_NOMEM, RF_E_IO. */
struct rf_nft_policy {
	struct rf_nft_head head;
	struct rf_nft_rule *rules;
	struct rf_nft_op *ops;
};
int rf_nft_policy_read(int fd, struct rf_nft_policy *ret, struct rf_err *e);
void rf_nft_policy_fini(struct rf_nft_policy *p);

#define RF_NFT_TABLE "netdev ringfence"

/* What it counted, as the engine gets it, in a file: one for each end of a frame's way, and for each rule. */
struct rf_nft_counted {
	uint32_t why, is_rule;              /* RF_DROP_*; or a rule, by its key */
	uint64_t key, frames, bytes;
};
enum { RF_NFT_COUNTED_MAX = 2048 };

/* Where a frame's way ends: X(counter of tbl/drops.def, word, verdict). */
#define RF_NFT_ENDS(X) X(PASS, "pass", "accept") X(ALLOWED, "allowed", "accept") X(NOT_IP, "not_ip", "accept") X(SOURCE, "source", "drop") \
	X(TCP_FLAGS, "tcp_flags", "drop") X(VLAN_DEPTH, "vlan_depth", "drop") X(IP6_CHAIN, "ip6_chain", "drop") X(DENIED, "denied", "drop") \
	X(REFLECTION, "reflection", "drop") X(RATE_SOURCE, "rate_source", "drop") X(RATE_PREFIX, "rate_prefix", "drop") \
	X(RATE_TARGET, "rate_target", "drop") X(FLEET_PORT, "fleet_port", "drop") X(FLEET, "fleet", "drop") X(RULE, "by_rule", "drop")

/* Commands that bring the table in line, in one transaction: counters stay, all else is replaced. Interfaces are added by
 * rf_nft_hook_text. `group`: of the kernel's log, to which frames are shown; 0: to none. */
void rf_nft_policy_text(const struct rf_nft_policy *p, uint16_t group, struct rf_buf *to);
/* The table on an interface. RF_E_INVALID: its name cannot be said to nft. */
int rf_nft_hook_text(const char *interface, struct rf_buf *to, struct rf_err *e);
/* And away again. */
int rf_nft_unhook_text(const char *interface, struct rf_buf *to, struct rf_err *e);
