/* shield/detect_own: what the files of the detection share. Private to shield/detect*.c. */
#pragma once
#include "shield/detect.h"

enum { DETECT_SECOND = 4 }; /* ticks */

struct usual {
	struct rf_traits traits[RF_DETECT_BASE];
	uint32_t source[RF_DETECT_BASE];
	unsigned n;
};

_Static_assert(RF_DETECT_HOSTS <= 256, "a row of hosts is a byte in `where`");

struct watched {
	uint64_t hash;            /* 0: free */
	char name[RF_FEED_NAME];
	uint64_t first, last;     /* ticks: seen */
	struct rf_detect_counts now; /* of this tick */
	uint32_t ticks[RF_MEASURES][DETECT_SECOND], second[RF_MEASURES]; /* the last ones, and their sum */
	uint32_t samples, samples_before; /* of this tick and the one before */
	struct rf_usual rate[RF_MEASURES];
	unsigned above, calm, age;
	bool hot;                 /* above a threshold now */
	struct usual *usual[2];   /* of known devices, of others */
	struct rf_flood *flood;
};

struct kept { /* a sample in the ring */
	uint64_t host, tick;
	struct rf_traits traits;
	uint32_t source;
	struct rf_sample raw;
};

struct dropped {
	uint64_t host;            /* hash of its name */
	struct rf_signature g;
};

struct rf_detect {
	struct rf_detect_conf conf;
	struct rf_detect_ops ops;
	uint64_t random, tick, mono_ns, number;
	int64_t wall_ns;
	struct watched *hosts;
	uint8_t *where;           /* a host by its hash, where it was found last */
	struct kept *ring;
	uint64_t in, learned;     /* of the ring: written; looked at by learning */
	struct rf_flood *floods;
	struct dropped *dropped;
	size_t dropped_n, dropped_cap;
	struct rf_buf room;
	struct rf_detect_stats stats;
};

/* detect.c */
struct watched *detect_find(const struct rf_detect *d, uint64_t hash);
/* The same, or a new row; NULL: there is no room. */
struct watched *detect_watch(struct rf_detect *d, uint64_t hash, struct rf_str name);
/* Is enough known of what is usual there? */
bool detect_knows(const struct rf_detect *d, const struct watched *w);
/* Say what has happened, after START where that was not said. */
void detect_tell(struct rf_detect *d, struct rf_flood *f, enum rf_flood_event what, struct rf_flood_rule *r);
void detect_forget_all(struct rf_detect *d);

/* detect_drop.c */
uint64_t detect_host_hash(struct rf_str host);
/* Is a request, or all that a signature means, what was dropped for this host? */
bool detect_is_dropped(const struct rf_detect *d, uint64_t host, const struct rf_traits *t, uint32_t source);
bool detect_within_dropped(const struct rf_detect *d, uint64_t host, const struct rf_signature *s);
