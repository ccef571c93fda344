/* ctl/attacks: floods, from the workers' feeds to rules in force, and what is told of them.
 *
 *   timer (RF_FLOOD_TICK_NS): counts and samples of all workers ─► shield/detect ─► events:
 *     START      an object of the state, a record
 *     SIGNATURE  its expression is compiled and put in force in a snapshot of its own (ctl/build_floods), in no ruleset of the user
 *     EXPIRED    the rule goes
 *     END        the object says how it ended
 *
 * An exception (a signature that was dropped) is an object too, and so outlives a restart. A flood that was on when the edge ended is
 * found anew, against what was usual before (attack_usual.c).
 *
 * Floods of TLS handshakes are looked for beside them, port by port (attack_hellos.c), and devices of ours that attack (attack_fleet.c).
 *
 * Not here: what an attack looks like as JSON (attack_doc.c).
 */
#pragma once
#include <jansson.h>
#include "ctl/control.h"
#include "shield/detect.h"

struct rf_ring;
struct rf_attacks;

enum { RF_ATTACKS_KEPT = 1000 }; /* attacks in the state; the oldest goes */

/* A rule in force against a flood. */
struct rf_attack_rule {
	struct rf_rule *rule;     /* NULL: free */
	char id[RF_ID_LEN + 1], zone[RF_ID_LEN + 1];
	bool blocks;
};

struct rf_attack {
	char id[RF_ID_LEN + 1], zone[RF_ID_LEN + 1];
	const char *vector, *counter; /* counter: that fired */
	const char *measure;      /* what is done besides rules; NULL: nothing */
	uint16_t port;            /* of a flood of handshakes or connections; 0: of requests */
	char device[RF_ID_LEN + 1]; /* of ours, that it comes from; "": many sources, or one address */
	char why[96];             /* what a device or an address does; "": a flood of requests or handshakes, of anybody */
	bool frames;              /* it is of frames or connections, not of requests or handshakes */
	struct rf_flood *flood;
	json_t *rules;            /* all that it had, as they are told */
	uint64_t stopped;         /* by rules that are gone */
	bool ended;
	bool alerted;             /* the alert of its beginning was given */
};

int rf_attacks_new(struct rf_ctl *c, unsigned workers, struct rf_ring *ring, struct rf_attacks **ret, struct rf_err *e);
/* The workers have ended. NULL is harmless. */
void rf_attacks_free(struct rf_attacks *a);
struct rf_feed *rf_attacks_feed(struct rf_attacks *a, unsigned worker); /* NULL for a NULL */

/* Rules in force, RF_FLOODS * RF_FLOOD_RULES rows, free ones among them; NULL for a NULL. */
const struct rf_attack_rule *rf_attacks_rules(const struct rf_attacks *a);
unsigned rf_attacks_active(const struct rf_attacks *a);
/* What has come since the object was stored; nothing where the attack is over. */
void rf_attacks_live(struct rf_attacks *a, const char *id, json_t *object);
/* Never raise the signatures of this attack again for its host; its rules go at once. RF_E_NOT_FOUND, RF_E_CONFLICT (it has none),
 * RF_E_FULL. */
int rf_attacks_drop(struct rf_attacks *a, const char *id, const char *actor, bool dry_run, struct rf_err *e);
/* Take an exception back. */
int rf_attacks_forget(struct rf_attacks *a, const char *exception, const char *actor, bool dry_run, struct rf_err *e);

/* A frame that the kernel filter showed, from here and for this reason (RF_DROP_*). Harmless for a NULL. */
void rf_attacks_frame(struct rf_attacks *a, unsigned why, const struct rf_ip *src);

/* Keep an attack in the state, under `id`; "": a new one, whose id is drawn, and the oldest beyond RF_ATTACKS_KEPT goes. The document is taken, NULL is
 * RF_E_NOMEM. */
int rf_attacks_store(struct rf_ctl *c, char id[RF_ID_LEN + 1], const char *name, json_t *doc, struct rf_err *e);

/* Store it, write a record and a line of the log, post an alert: `what` has happened. */
void rf_attack_tell(struct rf_attacks *a, struct rf_attack *at, enum rf_flood_event what);

/* attack_hellos.c: floods of TLS handshakes. NULL without memory; NULL is harmless to free. */
struct rf_attack_hellos;
struct rf_attack_hellos *rf_attack_hellos_new(struct rf_ctl *c, struct rf_attacks *a, unsigned workers);
void rf_attack_hellos_free(struct rf_attack_hellos *h);
void rf_attack_hellos_tick(struct rf_attack_hellos *h, const struct rf_detect_conf *conf);
/* The one with this id, while it is on; NULL: none. */
struct rf_attack *rf_attack_hellos_find(struct rf_attack_hellos *h, const char *id);
unsigned rf_attack_hellos_active(const struct rf_attack_hellos *h);

/* What is usual of ports of which enough is known, RF_FEED_PORTS at most; as it was before a restart. */
struct rf_usual_port;
size_t rf_attack_hellos_usual(const struct rf_attack_hellos *h, struct rf_usual_port *to);
void rf_attack_hellos_take_up(struct rf_attack_hellos *h, const struct rf_usual_port *from, size_t n);

/* attack_usual.c: what is usual, over restarts. RF_E_NOMEM. The last word is written when it is freed; NULL is harmless. */
struct rf_attack_usual;
int rf_attack_usual_new(struct rf_ctl *c, struct rf_detect *d, struct rf_attack_hellos *h, struct rf_attack_usual **ret, struct rf_err *e);
void rf_attack_usual_tick(struct rf_attack_usual *u);
void rf_attack_usual_free(struct rf_attack_usual *u);

/* attack_fleet.c: devices of ours that scan, flood or send what bots send. The same. */
struct rf_attack_fleet;
struct rf_attack_fleet *rf_attack_fleet_new(struct rf_ctl *c, struct rf_attacks *a);
void rf_attack_fleet_free(struct rf_attack_fleet *f);
void rf_attack_fleet_sample(struct rf_attack_fleet *f, const struct rf_sample *s);
void rf_attack_fleet_frame(struct rf_attack_fleet *f, const struct rf_ip *src); /* one that the kernel filter stopped for fleet.ports */
void rf_attack_fleet_tick(struct rf_attack_fleet *f, const struct rf_detect_conf *conf); /* after the samples */
struct rf_attack *rf_attack_fleet_find(struct rf_attack_fleet *f, const char *id);
unsigned rf_attack_fleet_active(const struct rf_attack_fleet *f);

/* attack_alert.c: the documented envelope, of its beginning or its end. NULL without memory. */
json_t *rf_attack_alert(struct rf_ctl *c, const struct rf_attack *a);
/* The envelope around any attack's `data`, which it takes. NULL without memory. */
json_t *rf_attack_envelope(struct rf_ctl *c, const char *id, const char *type, bool ended, struct rf_str text, json_t *data);
/* attack_doc.c: as it is stored and told, into `object`. `stopped`: by all of its rules. */
void rf_attack_doc(const struct rf_attack *a, uint64_t stopped, json_t *object);
json_t *rf_attack_terms(const struct rf_signature *g);
/* RF_E_INVALID: these are no terms of ours. */
int rf_attack_signature(const json_t *terms, struct rf_signature *ret);
