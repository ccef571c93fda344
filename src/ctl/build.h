/* ctl/build: from the state to what workers read.
 *
 * Each part is built by itself from the store, so that a change rebuilds only what depends on it:
 *
 *   trust  roots and their revocation lists            (mtls_certificates)
 *   lists  named lists; their entries change live      (lists)
 *   rules  rulesets, compiled rule by rule, reused     (rulesets, rules, lists)
 *   bars   access rules of zones, each to its rules    (zone_access_rules)
 *   floods rules against floods that are under way      (no object)
 *   patches  virtual patches, each to its rules        (patches, lists)
 *   site   zones, classes, apps, certificates, origins (all else; and trust, whose bits it holds)
 *
 * struct rf_parts holds the parts in force. A build fills a copy; on any error the copy is put away and the
 * old parts stay.
 */
#pragma once
#include "ctl/control.h"
#include "ctl/patch_watch.h"

/* A compiled ruleset and where it applies. */
struct rf_built_rules {
	char id[RF_ID_LEN + 1];
	char zone[RF_ID_LEN + 1]; /* "": of the account */
	bool entry;               /* evaluated in its phase; else a custom one, which is only held ready */
	struct rf_ruleset *set;
};

/* A virtual patch and the rules that it makes. */
struct rf_built_patch {
	char id[RF_ID_LEN + 1];
	uint64_t revision;
	struct rf_watch_spec watch;
	enum rf_phase phase;
	size_t count;             /* 0: it is not live */
	struct rf_rule *rules[RF_PATCH_RULES];
};

/* An access rule of a zone and its rules: of the phase connection, and of http_request. */
enum { RF_BAR_RULES = 2 };
struct rf_built_bar {
	char id[RF_ID_LEN + 1], zone[RF_ID_LEN + 1];
	uint64_t revision;
	struct rf_rule *rules[RF_BAR_RULES];
};
#define RF_BARS_SET "access_rules" /* id and name of their rulesets */

/* A named list. */
struct rf_built_list {
	char name[64], id[RF_ID_LEN + 1];
};

struct rf_parts {
	struct rf_trust *trust;
	struct rf_lists *lists;
	struct rf_built_list *list_names;
	size_t list_count;
	struct rf_built_rules *rules; /* in order of creation */
	size_t rules_count;
	struct rf_built_patch *patches; /* in order of creation */
	size_t patch_count;
	struct rf_ruleset *patched[RF_PHASE_COUNT]; /* theirs, evaluated before all others of the phase; NULL: none */
	struct rf_built_rules *floods; /* ephemeral rules, a ruleset a zone; evaluated before all others of their phase */
	size_t flood_count;
	struct rf_built_bar *bar_rules; /* in any order */
	size_t bar_count;
	struct rf_built_rules *bars; /* RF_BAR_RULES a zone that has some; evaluated before all others of their phase */
	size_t bar_sets;
	struct rf_site *site;
};

enum { RF_PART_TRUST = 1, RF_PART_LISTS = 2, RF_PART_RULES = 4, RF_PART_SITE = 8, RF_PART_PATCHES = 16, RF_PART_FLOODS = 32, RF_PART_BARS = 64, RF_PART_ALL = 127 };

/* The parts that a change of this kind of object makes stale. */
unsigned rf_build_needs(enum rf_kind kind);

/* Build the parts in `what` anew, take the others from `old` (zeroed at the start). */
int rf_build(struct rf_ctl *c, const struct rf_parts *old, unsigned what, struct rf_parts *ret, struct rf_err *e);
/* A snapshot of these parts. */
int rf_build_snap(struct rf_ctl *c, const struct rf_parts *p, struct rf_snap **ret, struct rf_err *e);
void rf_parts_put(struct rf_parts *p);
/* What a zone (id; "": none) evaluates, of parts. What came before a failure is in *ret, to be put away. */
int rf_build_policy(const struct rf_parts *p, const char *zone, struct rf_policy *ret);

/* One part each; build.c calls them. */
int rf_build_trust(struct rf_ctl *c, struct rf_trust **ret, struct rf_err *e);
int rf_build_lists(struct rf_ctl *c, const struct rf_parts *old, struct rf_parts *ret, struct rf_err *e);
/* Bring p->rules, a copy of those in force, in line with the open transaction's touches, or with the whole state where it
 * has none. `afresh`: a list has gone, compile every rule again to find those that name it. */
int rf_build_rules(struct rf_ctl *c, bool afresh, struct rf_parts *p, struct rf_err *e);
/* Compile the patches whose row is another than that in p->patches, a copy of those in force; all where `afresh`. */
int rf_build_patches(struct rf_ctl *c, bool afresh, struct rf_parts *p, struct rf_err *e);
/* The rules against floods that are under way (ctl/attacks), which are in no store. */
int rf_build_floods(struct rf_ctl *c, struct rf_parts *p, struct rf_err *e);
/* Compile the access rules of zones whose row is another than that in p->bar_rules, a copy of those in force. */
int rf_build_bars(struct rf_ctl *c, struct rf_parts *p, struct rf_err *e);
void rf_bars_put(struct rf_built_bar *v, size_t n);
int rf_build_site(struct rf_ctl *c, const struct rf_site *old, const struct rf_trust *trust, struct rf_site **ret,
		  struct rf_err *e);

/* What rules may refer to here, bits of RF_NEED_*. */
unsigned rf_build_have(const struct rf_ctl *c);

/* Entries that the open transaction changes, in lists of `parts`, which are in force. Enter what comes before the commit; after it settle,
 * which takes out what goes; or undo. */
struct rf_edits {
	const struct rf_parts *parts;
	bool *came;
	size_t n;
};
int rf_edits_enter(struct rf_ctl *c, const struct rf_parts *parts, struct rf_edits *ret, struct rf_err *e);
void rf_edits_settle(struct rf_ctl *c, struct rf_edits *d);
void rf_edits_undo(struct rf_ctl *c, struct rf_edits *d);
