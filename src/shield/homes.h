/* shield/homes: where devices of ours are: which address is whose, and what comes from there.
 *
 *   worker: a device's connection begins, ends ─► who is at the address ─► its row of the kernel filter (bpf/homes.h)
 *   control: an address is bound to a device   ─┘                              │ counts, bits of destinations
 *   control, each tick: rows ─► shield/traffic ─► who attacks ─► ops.offends    ◄┘
 *                       state of the device (ops.state) ─► its row
 *
 * An address is one device's own where it is bound to it, or lies in a network of the fleet or a private one and no other device was
 * there of late; then what comes from it is the device's. Else there may be neighbours behind it, and what is done is done to the
 * address, at most throttled: so it is told as "address:192.0.2.1" in the place of a device's id.
 *
 * Services ask too (rf_homes_ask): what comes from an address to a port without certificates. Where no kernel filter counts, that counts.
 *
 * Rows without a device are those of addresses in networks of the fleet that were seen trying (rf_homes_watch). Bounds: RF_HOMES_MAX, and
 * the two buckets of an address; who is there now pushes out who was there.
 *
 * rf_homes_come, rf_homes_go and rf_homes_ask: any thread. All else: the control thread.
 */
#pragma once
#include <stdbool.h>
#include "base/err.h"
#include "base/ip.h"
#include "bpf/filter.h"
#include "shield/traffic.h"

enum {
	RF_HOMES_MAX = RF_HOME_BUCKETS * RF_HOME_WAYS,
	RF_HOMES_WHO = 4,         /* devices of one address that are known apart */
	RF_HOMES_NAME = 64,       /* of a device, or "address:..." */
	RF_HOMES_TOLD = 256,      /* attackers that are told in one tick; the others in the next */
};
#define RF_HOMES_KEPT_NS 600000000000ull /* how long it is remembered who was there */

struct rf_homes;

struct rf_homes_ops {
	/* RF_HOME_EXEMPT, RF_HOME_SLOW, RF_HOME_HELD of a device. Inside of a lock: calls nothing of homes. */
	uint32_t (*state)(void *arg, const char *device);
	/* `subject` attacks in this tick. */
	void (*offends)(void *arg, const char *subject, const struct rf_fleet_deed *deed);
	void *arg;
};

/* With rows of its own; `conf` is read and written. NULL without memory. */
struct rf_homes *rf_homes_new(struct rf_filter_conf *conf);
void rf_homes_free(struct rf_homes *h); /* NULL is harmless */

/* Its rows and the configuration that says so are there from now on. Those that a process before has left are kept for
 * RF_HOMES_KEPT_NS: whoever was held stays held until it is known otherwise. Before workers run. RF_E_NOMEM. */
int rf_homes_enter(struct rf_homes *h, struct rf_filter_conf *conf, struct rf_home_bucket *rows, uint64_t now_ns);
/* Networks of the fleet: in `conf`, at most RF_HOME_NETS. */
void rf_homes_networks(struct rf_homes *h, const struct rf_prefix *v, size_t n);

/* A device, in the state RF_HOME_*, has one connection more, or one less, from there. */
void rf_homes_come(struct rf_homes *h, const struct rf_ip *ip, const char *device, uint32_t state, uint64_t now_ns);
void rf_homes_go(struct rf_homes *h, const struct rf_ip *ip, const char *device, uint64_t now_ns);
/* May a connection (tcp), or so many datagrams, from src to dst, which are for us, pass? RF_OK, RF_E_DENIED: its device is in
 * quarantine, RF_E_RATE: it is throttled. Takes no lock. */
int rf_homes_ask(struct rf_homes *h, const struct rf_ip *src, const struct rf_ip *dst, uint16_t port, bool tcp, uint32_t n,
		 uint64_t now_ns);
/* The address is this device's, or no more. */
void rf_homes_bind(struct rf_homes *h, const struct rf_ip *ip, const char *device, bool is, uint64_t now_ns);
/* A frame of an address that nobody is known at. Nothing outside of networks of the fleet. */
void rf_homes_watch(struct rf_homes *h, const struct rf_ip *ip, uint64_t now_ns);
/* Throttle an address, "address:...", or no more. */
void rf_homes_slow(struct rf_homes *h, const char *subject, bool slow);

void rf_homes_tick(struct rf_homes *h, const struct rf_traffic_conf *conf, const struct rf_detect_conf *floods, uint64_t now_ns,
		   const struct rf_homes_ops *ops);

/* Another engine has the rows from now on: nothing is written any more. */
void rf_homes_retire(struct rf_homes *h);

/* Frames so far of all addresses of a device, or of an address: stopped, and all. False: it is nowhere. */
bool rf_homes_count(struct rf_homes *h, const char *subject, uint64_t *ret_frames, uint64_t *ret_stopped);

/* Where a device is, or was of late: at most RF_HOMES_SHOWN addresses; how many. Walks all. */
enum { RF_HOMES_SHOWN = 16 };
struct rf_homes_at {
	struct rf_ip ip;
	uint32_t live;            /* connections from there */
	bool bound, own;          /* own: what comes from there is the device's */
};
unsigned rf_homes_of(struct rf_homes *h, const char *device, struct rf_homes_at v[RF_HOMES_SHOWN]);

/* What is done to the addresses of devices, for what cannot read rows: those in quarantine first, then the throttled, then the exempt, then
 * those to which nothing is done. How many, at most `room`. */
struct rf_homes_done { struct rf_ip ip; uint32_t state, share; }; /* one of RF_HOME_HELD, _SLOW, _EXEMPT, or 0 */
size_t rf_homes_done(struct rf_homes *h, struct rf_homes_done *v, size_t room);
/* Grows whenever what rf_homes_done says may have changed. */
uint64_t rf_homes_changes(struct rf_homes *h);

struct rf_homes_stats { uint32_t homes, shared, watched, lost; }; /* addresses now; lost: that found no room, so far */
void rf_homes_stats(struct rf_homes *h, struct rf_homes_stats *ret);
