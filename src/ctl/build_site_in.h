/* ctl/build_site_in: what the files that build a site share (build_site.c, build_port.c); nobody else includes it. */
#pragma once
#include "ctl/build.h"
#include "ctl/doc.h"
#include "ctl/private.h"

struct server_cert {
	struct rf_keypair *pair;
	json_t *doc;
	int64_t priority;
	char id[RF_ID_LEN + 1];
};

struct making {
	struct rf_ctl *c;
	const struct rf_site *old;
	const struct rf_trust *trust;
	struct rf_site *site;
	struct rf_err *e;
	struct rf_trust *origin_trust; /* of the boot file; NULL: the system's CAs */
	size_t zones_cap, apps_cap, ports_cap;
	size_t port_at;     /* in the old site, behind the last port that was found there */
	/* of the zone at hand */
	struct rf_zone *zone;
	struct server_cert *certs;
	size_t cert_count;
	json_t *roots_of;   /* host -> array of root ids, from the associations */
	json_t *forward;    /* hosts whose certificates are forwarded */
};

int rf_making_no_memory(struct making *m);
/* Room for one more in a pointer array of n, which the arena takes over at the end (settle). */
/* Bits of the roots that the document names, and of those associated with these hosts; our own CA's where there are none. */
uint64_t rf_making_roots(const struct making *m, const json_t *own, const json_t *hosts);
/* The certificates of the zone for the first of these hosts, else one of our own CA for all of them. The pair of `was` is kept while it fits:
 * *own_cert is the hash of the hosts that it was made for, 0: it was uploaded. */
int rf_making_keypairs(struct making *m, const json_t *hosts, struct rf_keypair *const *was, uint64_t was_own, struct rf_keypair **ret,
		       uint64_t *ret_own);
/* What the origins are verified with, `origin_ca` of the document, else the boot file's; NULL: the system's. To be put. */
int rf_making_trust(struct making *m, const json_t *doc, struct rf_trust **ret);
/* The certificate of the zone that the document shows to origins; NULL: none. */
struct rf_keypair *rf_making_origin_keypair(const struct making *m, const json_t *doc);
enum rf_balance rf_making_balance(const json_t *doc);

/* What a document of an app, or a port's, says of HTTP; what it does not say is as it is by default. */
void rf_making_settings(struct making *m, const json_t *doc, struct rf_app *a);
/* A new app of the zone at hand, empty. */
int rf_making_app(struct making *m, const char *id, struct rf_str name, struct rf_app **ret);

/* build_port: one object into the site, then all of them to be looked up. */
int rf_making_port(const struct rf_object *o, void *making);
int rf_making_ports(struct making *m);
