/* bpf/filter: what the kernel filter and its user side share: the layout of the maps and what a verdict is called.
 *
 * Every map is an array that the user side maps into its memory: policy is changed by plain stores, and read while it
 * changes. What is wider than one aligned store is made ready first and linked by one store.
 */
#pragma once
#include <linux/types.h>

#define RF_INLINE static __inline __attribute__((always_inline))
#ifdef __bpf__ /* a function that the verifier looks at once by itself, not again at every call */
#define RF_FAR __attribute__((noinline))
#else
#define RF_FAR static inline
#endif

RF_INLINE __u32 rf_host32(__u32 network)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return __builtin_bswap32(network);
#else
	return network;
#endif
}

enum rf_drop {
#define RF_DROP(name, word, doc) RF_DROP_##name,
#include "tbl/drops.def"
#undef RF_DROP
	RF_DROP_COUNT
};

enum { RF_DROP_LAST_PASS = RF_DROP_COOKIE_GOOD };
enum { RF_PROTO_ICMP = 1, RF_PROTO_TCP = 6, RF_PROTO_UDP = 17, RF_PROTO_ICMP6 = 58 };
enum { RF_TCP_FIN = 1, RF_TCP_SYN = 2, RF_TCP_RST = 4, RF_TCP_PSH = 8, RF_TCP_ACK = 16, RF_TCP_URG = 32 };

/* What a prefix means: 0 nothing, else a number whose low bit says deny; the rest names the rule. */
enum { RF_TAG_MAX = 0x7fff };
RF_INLINE int rf_tag_denies(__u16 tag) { return tag & 1; }

/* Prefixes with a tag, up to 24 bits of IPv4: an entry for each /24, a tag or 0. RF_DIR_LONGER beside it says that longer
 * prefixes lie in that /24; those are in the table of exact prefixes. */
enum {
	RF_DIR_LONGER = 0x8000,
	RF_DIR_CHUNK = 65536,          /* entries in one element of the map */
	RF_DIR_CHUNKS = 256,
};
struct rf_dir_chunk { __u16 v[RF_DIR_CHUNK]; };

/* Exact prefixes of more than 24 bits of IPv4 (as ::ffff:a.b.c.d, 96 bits longer) and all of IPv6: a hash table in which each
 * stands in one of two buckets. */
enum { RF_EXACT_BUCKETS = 131072, RF_EXACT_WAYS = 5 };
struct rf_exact { __u64 hi, lo; __u16 tag; __u8 bits; }; /* in host order; tag 0: free */
struct rf_exact_bucket { struct rf_exact e[RF_EXACT_WAYS]; };

/* IPv6: the lengths of the prefixes around and in each /16. */
enum { RF_SIX_LENGTHS = 32 };          /* different ones in use at a time, ::/0 not counted */
struct rf_six_root { __u64 lengths[65536][2]; }; /* bit n of [0]: a prefix of 128 - n bits; of [1]: of 64 - n */

/* Rates are leaky buckets: an array of times at which each is empty again. A source has one place in each of two rows and
 * is over its rate where both are, so that a flood from spoofed sources, which fills all places a little, cannot push a
 * known one out as it would from a table of sources. */
enum { RF_RATE_PLACES = 1 << 19, RF_RATE_ROWS = 2 };
struct rf_rate_conf { __u64 cost_ns, burst_ns; }; /* cost 0: no bound */

enum { RF_REFLECT_WORDS = 1024 }; /* a bit a UDP source port */
enum { RF_HOME_NETS = 32 };

/* SYN cookies: whether, and for each destination (by hash; two in one place share it) until when. Cookies that went out are taken
 * for a while longer. */
enum rf_cookies { RF_COOKIES_OFF, RF_COOKIES_FLOOD, RF_COOKIES_ALWAYS };
enum { RF_SYN_PLACES = 4096 };
#define RF_SYN_FLOOD_NS 10000000000ull
#define RF_SYN_VALID_NS 120000000000ull

struct rf_filter_conf {
	__u64 secret;                  /* of hashes */
	struct rf_rate_conf source, prefix, target;
	struct rf_rate_conf syn;       /* of SYNs to a destination, before cookies begin */
	__u32 six_all;                 /* tag of ::/0 */
	__u32 four_longer;             /* bit n: an IPv4 prefix of 32 - n bits is in use, n up to 7 */
	__u16 spare_port;              /* TCP frames to it pass whatever stands at their source; 0: none */
	__u8 spare_family;             /* 4 or 6: only to `spare`; 0: to any address */
	__u8 rules;                    /* there are rules of the phase packet */
	__u8 cookies;                  /* enum rf_cookies */
	__u8 stops;                    /* how many of rf_stops are in force; RF_STOPS_OTHER: of the second half */
	__u32 look;                    /* raised when the user side has looked at the glimpses; 0: it wants none */
	__u16 samples;                 /* of dropped frames: so many a second for each reason and processor */
	__u16 capture_rule;            /* all frames that the rule of this number less one matches; 0: none */
	__u64 capture_why;             /* a bit for each reason: all its frames */
	__u32 spare[4];                /* in network order */
	__u64 reflect[RF_REFLECT_WORDS];
	__u32 fleet;                   /* there are homes or networks: look at who sends */
	__u32 fleet_nets;              /* so many of `net` */
	struct rf_home_net { __u64 hi, lo; __u64 bits; } net[RF_HOME_NETS]; /* of the fleet; as keys of bpf/key.h */
	__u64 ban[RF_REFLECT_WORDS];   /* TCP ports to which nothing of the fleet leaves; a bit each */
	__u64 scan[RF_REFLECT_WORDS];  /* those to which what leaves is told apart: bots scan them too */
};

/* Where devices of ours are: by address, what is done about what comes from there (the user side's), and what came (the filter's). A row
 * stands in one of two buckets; a key of zeros is free. */
enum { RF_HOME_BUCKETS = 16384, RF_HOME_WAYS = 4, RF_HOME_TARGET_WORDS = 8 };
enum {
	RF_HOME_EXEMPT = 1,            /* nothing is done */
	RF_HOME_SLOW = 2,              /* little may leave */
	RF_HOME_HELD = 4,              /* nothing may leave */
	RF_HOME_SHARED = 8,            /* of several devices; for who reads the rows of a process before */
};
#define RF_HOME_ATTEMPT_NS 200000000ull /* between SYNs, datagrams and pings that leave while it is slow: five a second, each device */
#define RF_HOME_FRAME_NS 10000000ull    /* between other frames: a hundred a second */
struct rf_home_key { __u64 hi, lo; };   /* as keys of bpf/key.h */
struct rf_home {
	__u32 state, share;            /* RF_HOME_*; so many devices share what is let through */
	__u64 syns, datagrams, frames; /* that begin TCP connections; UDP and pings; all others */
	__u64 banned, stopped;         /* to `ban`; stopped because it is slow or held */
	__u64 scans, bots;             /* to `ban` and `scan`; SYNs that only a bot's scanner sends */
	__u64 attempt_free, frame_free; /* when its leaky buckets are empty */
	__u64 scan_targets;            /* of `scans`: a bit by hash for each destination; the user side clears them */
	__u64 targets[RF_HOME_TARGET_WORDS];
	__u8 device[16];               /* whose, where it is one's alone */
};
struct rf_home_bucket { struct rf_home_key key[RF_HOME_WAYS]; struct rf_home home[RF_HOME_WAYS]; };

/* A line for each processor, so that none waits for another. */
enum { RF_FILTER_CPUS = 256 };
struct rf_filter_counts {
	__u64 frames[RF_DROP_COUNT], bytes[RF_DROP_COUNT];
	__u64 unshown, unseen;         /* that found no room in `samples`, in `glimpses` */
	__u32 look, made;              /* glimpses since the last look */
	__u32 until, skipped;          /* frames up to the next one: still, all in all */
};

/* Frames that are shown: some of those dropped or recorded by a rule, with their first bytes; and those that somebody asked for, as long
 * as there is room. */
enum { RF_SAMPLES_SIZE = 1 << 20, RF_SAMPLE_HEAD = 128, RF_SAMPLE_BYTES = 2048 };
enum { RF_SAMPLE_RECORD = 1, RF_SAMPLE_CAPTURE = 2 };
struct rf_shown {
	__u64 at_ns;                   /* CLOCK_MONOTONIC */
	__u32 size, n;                 /* of the frame; of its bytes here */
	__u16 rule;                    /* the number of the rule that matched last, and one more; 0: none */
	__u8 why, kind;                /* enum rf_drop; RF_SAMPLE_* */
	__u8 bytes[RF_SAMPLE_BYTES];
};

/* Glimpses: frames in a few words, dropped ones and others, one of so many, for which it stands: of all at first, then at random of twice as
 * many after every RF_GLIMPSE_STEP, until the user side has looked again. So a flood leaves some thousands, and no sender hides. */
enum { RF_GLIMPSES_SIZE = 1 << 20, RF_GLIMPSE_STEP = 256, RF_GLIMPSE_STEPS = 20 };
/* The socket of this machine that the frame would meet. ELSEWHERE: none, and it goes on to another machine. */
enum rf_glimpse_socket { RF_SOCKET_NONE, RF_SOCKET_OPEN, RF_SOCKET_CONNECTED, RF_SOCKET_ELSEWHERE };
struct rf_glimpse {
	__u64 at_ns;                   /* CLOCK_MONOTONIC */
	__u32 weight, size;            /* frames that it stands for; bytes of this one */
	__u32 src[4], dst[4];          /* as in struct rf_frame, and so the rest */
	__u16 sport, dport;
	__u8 family;                   /* 0: no frame that could be read */
	__u8 proto, tcp_flags, part, why, socket, unused[2];
};

/* Stops: what floods that were found consist of, each with a rate. Frames of a connection of this machine, or to another
 * one that it routes to, are never stopped, those of known sources only where a stop names the source. Rows of the half that is not in force are written, then put in force by one store. */
enum { RF_STOPS = 16, RF_STOPS_OTHER = 128, RF_KNOWN = 16384 };
struct rf_stop {
	struct rf_rate_conf rate;
	__u64 number;                  /* of its rate */
	__u32 src[4], dst[4];
	__u16 sport, dport;            /* 0: any */
	__u8 family, proto;
	__u8 flags_mask, flags;        /* of TCP */
	__u8 part, of_src, of_dst;     /* fragments; whether src and dst are compared */
	__u8 vector;                   /* the user side's */
};
struct rf_stops {
	struct rf_stop v[2][RF_STOPS];
	__u64 known[RF_KNOWN];         /* keys of sources, each where its key says */
};

/* The maps by name, in the order in which their descriptors are handed over. */
#define RF_FILTER_MAPS(X) X(conf) X(dir_first) X(exact) X(six_root) X(rates) X(counts) X(rule_counts) X(rule_ids) X(syn) X(samples) \
	X(homes) X(glimpses) X(stops)
enum {
#define X(name) RF_FILTER_MAP_##name,
	RF_FILTER_MAPS(X)
#undef X
	RF_FILTER_MAP_COUNT
};
/* Those that are pinned and stay with the monitor. */
#define RF_FILTER_KEPT(X) X(facts) X(programs) X(budgets)
