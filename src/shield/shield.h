/* shield/shield: which sources may reach the edge at all.
 *
 * Where a kernel filter runs (monitor/filter), the tables are its maps, and a change is in force for the next frame. Elsewhere they
 * are own memory. Workers ask the same tables when they accept, so that a source is refused in either case, and also where
 * its address is known only from a PROXY header.
 *
 * Changes belong to the control thread; rf_shield_judge to any.
 */
#pragma once
#include "base/err.h"
#include "base/ip.h"

struct rf_shield;

enum { RF_SHIELD_RULES_MAX = 200000 };

/* What stands at a source. */
enum rf_shield_mode { RF_SHIELD_NONE, RF_SHIELD_ALLOW, RF_SHIELD_DENY };

/* Without a kernel filter. `secret` spreads the hash tables. NULL without memory. */
struct rf_shield *rf_shield_new(uint64_t secret);
/* Go over to the maps of a kernel filter, in the order of RF_FILTER_MAPS; the descriptors are taken over. What they hold from before
 * and is not in the policy goes, what is new comes, and what is in both stays without a gap. `cookies`: it can answer SYNs with
 * them. Before workers run. */
int rf_shield_enter(struct rf_shield *s, const int *fds, size_t count, bool cookies, uint64_t now_ns, struct rf_err *e);
/* Something else stands in the filter's place, and counts rules of the phase packet. Before workers run. RF_E_NOMEM. */
int rf_shield_stand_in(struct rf_shield *s);
void rf_shield_free(struct rf_shield *s); /* NULL is harmless */

/* Frames to this address (family 0: to any) and TCP port pass whatever stands at their source, and any rate: the way of the
 * operator. */
void rf_shield_spare(struct rf_shield *s, const struct rf_ip *ip, uint16_t port);

/* What any source may send through the kernel filter: frames a second, 0 for any, and the UDP source ports (a bit each, 64 a
 * word) from which nobody is answered. */
struct rf_shield_limits {
	uint64_t source, prefix, target; /* of an address, of its /24 or /48, to an address and port */
	uint64_t syn;                    /* SYNs to an address and port, before they are answered with cookies */
	enum rf_shield_cookies { RF_SHIELD_COOKIES_OFF, RF_SHIELD_COOKIES_FLOOD, RF_SHIELD_COOKIES_ALWAYS } cookies;
	unsigned samples;                /* dropped frames that are shown: of each reason, a second and processor */
	uint64_t reflect[1024];
	uint64_t ban[1024];              /* TCP ports to which nothing of our fleet may leave; the same */
	uint64_t scan[1024];             /* those that count as scanned */
	struct rf_prefix fleet[32];      /* networks of the fleet */
	size_t fleet_count;
};
void rf_shield_limit(struct rf_shield *s, const struct rf_shield_limits *l);

/* One rule a prefix. RF_E_FULL, RF_E_NOMEM: nothing has changed. */
int rf_shield_set(struct rf_shield *s, const struct rf_prefix *at, enum rf_shield_mode mode, struct rf_err *e);
int rf_shield_clear(struct rf_shield *s, const struct rf_prefix *at); /* RF_E_NOT_FOUND */
/* All rules, in no order, until one answers other than RF_OK. */
int rf_shield_each(const struct rf_shield *s, int (*each)(void *arg, const struct rf_prefix *at, enum rf_shield_mode mode), void *arg);
uint64_t rf_shield_changes(const struct rf_shield *s); /* another number where rules may have changed */
enum rf_shield_mode rf_shield_judge(const struct rf_shield *s, const struct rf_ip *ip);

/* Rules of the phase packet, in the kernel: the numbers under which they are counted; NULL without a kernel filter, or
 * what stands in its place. */
struct rf_numbers;
const struct rf_numbers *rf_shield_numbers(const struct rf_shield *s);
/* The kernel filter hands frames to the rules, or not. */
void rf_shield_ask_rules(struct rf_shield *s, bool on);

/* The frames that the kernel filter shows; NULL without one. */
struct rf_frames;
struct rf_frames *rf_shield_frames(struct rf_shield *s);
/* Show all frames that the rule counted under number `rule` - 1 (0: none) matches, and those of these reasons (a bit each). */
void rf_shield_capture(struct rf_shield *s, unsigned rule, uint64_t reasons);

/* Where devices of ours are. */
struct rf_homes;
struct rf_homes *rf_shield_homes(struct rf_shield *s);

/* The frames that it gives a glimpse of (struct rf_glimpse); NULL without one. */
struct rf_frames *rf_shield_glimpses(struct rf_shield *s);
/* They have been looked at, or are not wanted any more: none are from then on. */
void rf_shield_looked(struct rf_shield *s, bool wanted);

/* Stops in force (bpf/filter.h), at most RF_STOPS, in place of those before; and which they are, also of the process before. Nothing
 * without a kernel filter. */
struct rf_stop;
struct rf_rate_conf;
struct rf_rate_conf rf_shield_rate(uint64_t frames); /* a second, and as many at once; 0: any */
void rf_shield_stop(struct rf_shield *s, const struct rf_stop *v, unsigned n);
unsigned rf_shield_stops(const struct rf_shield *s, struct rf_stop *ret);
/* The key of a source, in network order, and make it known to them. */
uint64_t rf_shield_source(const struct rf_shield *s, const uint32_t src[4]);
void rf_shield_know(struct rf_shield *s, uint64_t source);

bool rf_shield_in_kernel(const struct rf_shield *s);
/* Frames and bytes by RF_DROP_*, all processors; without a kernel filter what was last told, or zero. */
struct rf_filter_counts;
/* Counters of what stands in the filter's place; they may begin anew. */
void rf_shield_missed(struct rf_shield *s); /* frames to be shown found no room there */
void rf_shield_told(struct rf_shield *s, const struct rf_filter_counts *by_another);
void rf_shield_counts(const struct rf_shield *s, struct rf_filter_counts *ret);
