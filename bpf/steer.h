/* bpf/steer: what the program that steers ports to sockets and its user side share.
 *
 * A place is an address of the edge (or all of its family). For each place and transport there is a bit for every port, twice: what
 * is wanted (the engine's, by plain stores) and what is allowed (the monitor's). A port is steered where both are set.
 */
#pragma once
#include <linux/types.h>

enum {
	RF_STEER_PLACES = 16,
	RF_STEER_PORT_WORDS = 65536 / 64,
	RF_STEER_PLACE_WORDS = 2 * RF_STEER_PORT_WORDS, /* TCP, then UDP */
	RF_STEER_WORKERS = 128,
	RF_STEER_GROUPS = 4,                            /* TCP and UDP over IPv4, TCP and UDP over IPv6 */
};

struct rf_steer_place {
	__u32 family; /* 4, 6; 0: none */
	__u32 any;    /* all addresses of the family */
	__u32 ip[4];  /* in network order */
};

struct rf_steer_conf {
	__u32 workers; /* 0: nothing is steered */
	__u32 unused;
	struct rf_steer_place at[RF_STEER_PLACES];
};
