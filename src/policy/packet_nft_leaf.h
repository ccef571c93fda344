/* policy/packet_nft_leaf: what one comparison of a rule asks of a frame, as matches of nft; how comparisons are put together is packet_nft.
 * Private to policy. */
#pragma once
#include "policy/packet_front.h"

enum { PACKET_MATCHES = 5, PACKET_ALTERNATIVES = 16 };

struct packet_match {         /* a field (RF_NFT_*), or bits of a header, in one of the ranges */
	uint8_t field, bytes;
	uint32_t at;
	uint64_t bits;
	size_t range, ranges; /* in `said` */
};

struct packet_alternative {   /* all of its matches */
	uint8_t family;       /* 0: any */
	uint8_t n;
	struct packet_match m[PACKET_MATCHES];
};

struct packet_choice { /* what a leaf asks: one of these */
	size_t n;
	struct packet_alternative v[PACKET_ALTERNATIVES];
};

struct packet_leaves {
	struct packet_front f;
	struct packet_range *said; /* the ranges of all matches since said_n was 0, or was set back */
	size_t said_n, said_cap;
	bool no_room;              /* memory was exhausted */
};

/* What a node that is no connective asks: one of the alternatives, or where `turned`, none of them. No alternative: nothing meets it. A frame
 * that lacks what is asked for meets none. Errors as of packet_leaf_read. */
int packet_choose(struct packet_leaves *c, const struct pnode *n, struct packet_choice *ret, bool *ret_turned);
void packet_leaves_fini(struct packet_leaves *c);
