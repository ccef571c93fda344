/* bpf/facts: what the kernel filter tells the rules of the phase packet about a frame, and what they answer.
 *
 * Rules are compiled to a program of their own (policy/packet_code), which the filter calls by a tail call. It reads these
 * facts, adds to the counters of the rules that match, leaves its answer here and goes on to the program rf_after. It has
 * no other effect.
 */
#pragma once
#include <linux/types.h>

/* Places of the array of programs that the filter calls. */
enum { RF_PROGRAM_RULES, RF_PROGRAM_AFTER, RF_PROGRAMS };

/* How instructions of rules name maps: by these numbers, which the monitor replaces. */
enum { RF_RULES_FACTS, RF_RULES_COUNTS, RF_RULES_PROGRAMS, RF_RULES_MAPS };

enum { RF_PACKET_RULES = 1024 }; /* that are counted at a time */

/* What a frame has. An IPv4-mapped address is one of IPv4. */
enum { RF_HAS_TCP = 1, RF_HAS_UDP = 2, RF_HAS_ICMP = 4, RF_HAS_OPTION = 8, RF_HAS_SRC4 = 16, RF_HAS_DST4 = 32 };

enum { RF_RULES_PASS, RF_RULES_ALLOW, RF_RULES_BLOCK };

struct rf_packet_facts {
	__u64 src_hi, src_lo, dst_hi, dst_lo; /* in host order; IPv4 in the low 32 bits of lo */
	__u32 has, parity;                    /* parity: room for rules, a bit for each xor around */
	__u32 proto, ttl, option;
	__u32 len, hdr_len;                   /* of the IP packet, and of its headers */
	__u32 ip_at, l4_at, l4_len;           /* places in the frame; of what follows the headers of IP */
	__u32 sport, dport, tcp_flags, icmp_type, icmp_code;
	__u32 cpu, size;                      /* size of the frame */
	__u32 want;                           /* a rule by its number, and one more; 0: none */
	/* the answer */
	__u32 verdict;
	__u32 rule;                           /* the number of the last rule that matched, and one more; 0: none */
	__u32 log;                            /* its match is to be recorded */
	__u32 wanted;                         /* the rule `want` matched */
};

/* Which rule is counted under which number, so that the next process knows: "" for a number that is free. */
enum { RF_RULE_ID = 40 };
struct rf_rule_ids { char v[RF_PACKET_RULES][RF_RULE_ID]; };

struct rf_rule_counts { struct { __u64 frames, bytes; } v[RF_PACKET_RULES]; }; /* a line for each processor */
