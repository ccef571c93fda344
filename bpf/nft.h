/* bpf/nft: rules of the phase packet where nft is in the place of the kernel filter: what the engine makes of them
 * (policy/packet_nft), and the monitor says to nft (monitor/nft_rules).
 *
 * A stream of operations of one size. CHAIN: what follows is added to that chain; the first one is 0, and each may be gone on with. A
 * rule of nft is any number of MATCHes, each with the RANGEs behind it, and one of GO to LEAVE. A chain that ends goes back to who called.
 */
#pragma once
#include <linux/types.h>

enum rf_nft_op_kind {
	RF_NFT_CHAIN,   /* to: its number */
	RF_NFT_MATCH,   /* field, with the first range */
	RF_NFT_RANGE,   /* one more of the same */
	RF_NFT_GO,      /* to: a chain */
	RF_NFT_CALL,    /* to: a chain, and back */
	RF_NFT_RETURN,
	RF_NFT_BLOCK,   /* drop the frame */
	RF_NFT_LEAVE,   /* the rules are over for this frame */
	RF_NFT_HIT,     /* to: the number of a rule, which has matched; key: under which it is counted; flags: RF_NFT_SHOWN */
	RF_NFT_OPS
};

/* What a match asks. NETWORK, TRANSPORT: `bytes` bytes from the `at`th on of that header, of which the bits of `key` count. */
enum rf_nft_field {
	RF_NFT_FAMILY,  /* 4, 6 */
	RF_NFT_PROTO, RF_NFT_SRC4, RF_NFT_DST4, RF_NFT_SRC6, RF_NFT_DST6, RF_NFT_LEN4, RF_NFT_LEN6, RF_NFT_TTL4, RF_NFT_TTL6,
	RF_NFT_IHL4,    /* the header of IPv4, in words */
	RF_NFT_NEXT6, RF_NFT_NETWORK, RF_NFT_TRANSPORT, RF_NFT_FIELDS
};

enum { RF_NFT_SHOWN = 1 };             /* what it matches is recorded */
enum { RF_NFT_OPS_MAX = 1 << 17, RF_NFT_CHAINS_MAX = 1 << 15, RF_NFT_BITS_BYTES = 5, RF_NFT_BITS_AT = 4096 };
/* How deep chains may go: the kernel has 16 levels, of which ours are two before these rules and two behind. */
enum { RF_NFT_FIRST_LEVEL = 2, RF_NFT_LAST_LEVEL = 13 };

struct rf_nft_op {
	__u8 op, field, bytes, flags;
	__u32 to;
	__u32 at, unused;
	__u64 key;
	__u64 from_hi, from, to_hi, until; /* the range, ends included; numbers and IPv4 in the low word, in host order */
};
