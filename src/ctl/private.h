/* ctl/private: what the files of the control thread share and nobody else sees. */
#pragma once
#include "ctl/build.h"
#include "ctl/rule_index.h"
#include "ctl/rule_merge.h"
#include "monitor/plan.h"

/* What the open transaction wrote. */
struct touch {
	enum rf_kind kind;
	char id[RF_ID_LEN + 1];
};

struct rf_access;
struct rf_applies;
struct rf_alerts;
struct rf_attacks;
struct rf_captures;
struct rf_frame_attacks;
struct rf_devices;
struct rf_packets;
struct rf_crl_fetcher;
struct rf_pack_fetcher;
struct rf_patches;
struct rf_port_gate;
struct rf_port_names;
struct rf_replays;

struct rf_ctl_private {
	struct rf_parts parts;     /* in force */
	struct touch *touched;     /* of the open transaction */
	size_t touched_count, touched_cap;
	uint64_t commits;             /* changes that have been put in force */
	struct rf_rule_index rules; /* compiled rules by id */
	struct rf_rule_merge *merge; /* NULL until the engine runs */
	struct rf_devices *devices;
	struct rf_access *access;
	struct rf_packets *packets;
	struct rf_keypair *fallback; /* for clients that name no host: of the boot file, or our own CA's */
	struct rf_replays *replays; /* NULL until they can run */
	struct rf_geo *geo;         /* databases of addresses; NULL before the first load */
	struct rf_tokens *tokens;   /* NULL: none */
	struct rf_applies *applies; /* NULL until the engine runs */
	struct rf_patches *patches; /* NULL until they are watched */
	struct rf_alerts *alerts;   /* NULL until they can be posted */
	struct rf_attacks *attacks; /* NULL until floods are looked for */
	struct rf_frame_attacks *frame_attacks; /* the same */
	struct rf_captures *captures; /* the same */
	struct rf_crl_fetcher *crl; /* NULL until it runs */
	struct rf_pack_fetcher *packs; /* NULL until it runs */
	struct rf_port_names *port_names; /* NULL until it runs */
	struct rf_port_gate *port_gate; /* NULL until it runs */
	uint64_t certificates;      /* changes of client certificates so far: what our own CRL is made of */
	int monitor_fd;             /* -1 without a monitor (tests) */
	bool nft;                   /* nft is in the kernel filter's place */
	uint64_t nft_has;           /* rf_shield_changes of what it was given */
	uint64_t nft_homes;         /* rf_homes_changes of the same */
	int nft_log;                /* a group of the kernel's log to which nft shows frames; -1 */
	bool nft_given;             /* it was given something */
	struct { unsigned rule; uint64_t reasons; } nft_capture; /* as of rf_shield_capture */
	const struct rf_plan *plan; /* of the boot file in force */
	void (*site_changed)(struct rf_ctl *c); /* apps and origins: checks of health follow; NULL */
};

/* Account, registry, first snapshot. The store, registry, CA, boot and loop of *c are set. monitor_fd -1: files are opened
 * directly (tests). */
int rf_ctl_init(struct rf_ctl *c, int monitor_fd, const struct rf_plan *plan, struct rf_err *e);
void rf_ctl_fini(struct rf_ctl *c);

/* Server certificates of our own CA live so long. */
#define RF_CTL_OWN_DAYS 397
/* A key and certificate of our own CA for these names, ready to be shown: the one kept in the data directory while it has a month
 * left, else a new one. */
int rf_ctl_own_keypair(struct rf_ctl *c, const struct rf_issue *req, struct rf_keypair **ret, struct rf_err *e);
/* Forget those that are kept and have ended. */
void rf_ctl_own_tidy(struct rf_ctl *c);

/* A file that the boot file names, at most 1 MiB, appended to *to. */
int rf_ctl_read_file(struct rf_ctl *c, const char *path, struct rf_buf *to, struct rf_err *e);
/* The same, at most `bound` bytes. */
int rf_ctl_read_large(struct rf_ctl *c, const char *path, size_t bound, struct rf_buf *to, struct rf_err *e);
/* Databases of addresses from the files of the boot file. What was read before stays where they cannot be read now. */
int rf_ctl_load_geo(struct rf_ctl *c, struct rf_err *e);
/* Token configurations, in the same way. */
int rf_ctl_load_tokens(struct rf_ctl *c, struct rf_err *e);
/* Does a rule in force ask for a field that has one of these needs? */
bool rf_ctl_rules_need(const struct rf_ctl *c, unsigned needs);
/* A key and certificate from two PEM files that it names, read through the monitor. */
int rf_ctl_keypair_files(struct rf_ctl *c, const char *certificate, const char *key, struct rf_keypair **ret, struct rf_err *e);
/* Everything from files and state again; on any error all stays as it was. */
int rf_ctl_reload_state(struct rf_ctl *c, struct rf_err *e);

/* Build these parts anew from the state as it is and publish them: lists of revocation have come, a file has changed. */
int rf_ctl_rebuild(struct rf_ctl *c, unsigned what, struct rf_err *e);
/* Bring the kernel in line with the rules of packets in force; what fails is logged, and its rules before stay. */
void rf_ctl_keep_packets(struct rf_ctl *c);
/* Put the merged index of a ruleset in force. RF_E_STALE: the ruleset is gone, or has changed too much. */
int rf_ctl_adopt(struct rf_ctl *c, const char *ruleset, const struct rf_index_job *j, struct rf_err *e);
