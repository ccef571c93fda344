/* svc/snapshot: all that a worker reads to serve one request, immutable and swapped by pointer.
 *
 * The control thread builds it from the state (ctl/build), publishes it with rf_snap_publish, and frees it after
 * every worker has passed a quiet point and every request that pinned it has ended. What can have millions of
 * entries (devices, list entries) is not in it but pointed to.
 */
#pragma once
#include "base/arena.h"
#include "base/map.h"
#include "base/list.h"
#include "device/registry.h"
#include "egress/origin.h"
#include "pki/certtmpl.h"
#include "policy/geo.h"
#include "policy/jwt.h"
#include "policy/lists.h"
#include "policy/verdict.h"
#include "svc/port.h"
#include "tls/tls.h"

/* Client authentication of a host. */
enum rf_auth_mode { RF_AUTH_OFF, RF_AUTH_REPORT, RF_AUTH_ENFORCE };

/* How a verified certificate becomes a device. */
enum rf_bind { RF_BIND_SKI, RF_BIND_FINGERPRINT, RF_BIND_TEMPLATE };

struct rf_class {
	char id[RF_ID_LEN + 1];
	struct rf_str name;
	enum rf_bind bind;
	struct rf_cert_tmpl *bind_template; /* for RF_BIND_TEMPLATE */
	uint64_t roots;               /* certificates of these roots (bits of the trust set) may be of this class */
	bool first_sight;             /* create unknown devices of these roots */
	uint32_t max_connections;     /* a device; 0: no bound */
	uint32_t max_requests;        /* a device, in flight; 0: no bound */
	uint64_t request_rate_ns;     /* credit a request costs; 0: no rate */
	uint32_t request_burst;
	uint32_t class_max_connections; /* all devices of the class together; 0: no bound */
	uint32_t class_max_requests;  /* the same, in flight */
	bool flood_exempt;            /* its devices are never met as attackers */
};

struct rf_zone {
	char id[RF_ID_LEN + 1];
	struct rf_str name; /* "example.com" */
	size_t index;       /* of its rules in a snapshot */
};

struct rf_header_template { struct rf_str name; struct rf_cert_tmpl *value; };

struct rf_error_body { struct rf_str json, html; }; /* "" : the built-in ones */

struct rf_app {
	char id[RF_ID_LEN + 1];
	struct rf_str name;
	const struct rf_zone *zone;
	struct rf_origin_group *origins;
	struct rf_keypair *keypair[2]; /* ECDSA, RSA; at least one */
	uint64_t own_cert;             /* hash of the hosts that our own CA certified; 0: an uploaded certificate */

	enum rf_auth_mode auth;
	bool refuse_handshake;
	uint64_t roots;                  /* accepted roots, bits of the trust set */
	unsigned deny_status;            /* 403 */
	struct rf_error_body deny_body;

	bool forward_rfc9440;            /* Client-Cert, Client-Cert-Chain */
	bool forward_der;                /* Cf-Client-Cert-Der-Base64, -Sha256 */
	struct rf_header_template *headers; /* operator's own, from certificate fields */
	size_t header_count;

	bool preserve_host;              /* else the origin's own host name is sent */
	bool websocket;
	bool compress, decompress_requests;
	uint64_t max_body;               /* bytes; 0: no bound */
	uint64_t header_timeout_ns, body_timeout_ns, response_timeout_ns, idle_timeout_ns;
	uint32_t min_body_rate;          /* bytes a second that a sender must keep up; 0: none */
	unsigned retries;
	const struct rf_str *idempotent_paths; /* for these and all below them 0-RTT is taken */
	size_t idempotent_count;
	struct rf_error_body error_body;  /* for 4xx and 5xx of the edge itself */
};

/* Zones, apps, classes and hosts: what a change of rules or lists leaves as it is. Refcounted. */
struct rf_site {
	struct rf_map hosts;               /* lower-case host, or "*.example.com" -> struct rf_host */
	struct rf_class **classes;         /* by class slot; NULL entries */
	size_t class_slots;
	struct rf_zone **zones;
	size_t zone_count;
	struct rf_app **apps;
	size_t app_count;
	struct rf_port **port;
	size_t port_count;
	struct rf_ports *ports;            /* the same, to be looked up; NULL: none */
	bool ports_http;                   /* one of them has traffic other than RF_PORT_DIRECT */
	struct rf_geo *geo;                /* of addresses; NULL: none */
	struct rf_tokens *tokens;          /* NULL: none */
	struct rf_str place_name, place_region;
	struct rf_keypair *fallback;       /* shown to clients that name no host */
	struct rf_arena arena;             /* owns all strings and small objects of the site */
	_Atomic uint32_t refs;
};

struct rf_snap {
	uint64_t generation;
	struct rf_site *site;
	struct rf_trust *trust;
	struct rf_lists *lists;
	struct rf_policy policy;           /* rules of the account alone: for what belongs to no zone */
	struct rf_policy *zone_policy;     /* by rf_zone.index: rules of the account, then of the zone */
	char account_id[RF_ID_LEN + 1];
	_Atomic uint32_t pins;
	struct rf_retired *retired;        /* private to snapshot.c */
};

struct rf_host {
	struct rf_map_node node;
	struct rf_app *app;
};

/* The host of the configuration that means a host (lower-case, no port): exact, then one level of wildcard ("*." + parent). NULL: none. */
const struct rf_host *rf_snap_host(const struct rf_snap *s, struct rf_str host);
/* Its app. */
const struct rf_app *rf_snap_app(const struct rf_snap *s, struct rf_str host);

/* The rules that requests for this app meet; those of the account alone for NULL. */
static inline const struct rf_policy *rf_snap_policy(const struct rf_snap *s, const struct rf_app *app)
{
	return app ? &s->zone_policy[app->zone->index] : &s->policy;
}

static inline const struct rf_class *rf_snap_class(const struct rf_snap *s, uint16_t slot)
{
	return slot < s->site->class_slots ? s->site->classes[slot] : NULL;
}

/* An empty site with one reference. */
struct rf_site *rf_site_new(void);
struct rf_site *rf_site_get(struct rf_site *t);
void rf_site_put(struct rf_site *t);
/* Put a host in; RF_E_EXISTS when another app has it. The name is copied. */
int rf_site_host(struct rf_site *t, struct rf_str name, struct rf_app *app);

/* A snapshot over the site (a reference is taken) with one pin, which rf_snap_publish takes; rf_snap_unpin frees one
 * that was not published. Room for the policies of the site's zones is made. */
struct rf_snap *rf_snap_new(struct rf_site *site);

/* Publish a new one (control thread); NULL at the end of the process. The old is retired and freed when nobody can see it. */
void rf_snap_publish(struct rf_snap *s);
/* In two steps, so that it can be taken back: the one that was in force (may be NULL), which is swapped in again or retired; and the
 * end of one that was swapped out. */
struct rf_snap *rf_snap_swap(struct rf_snap *s);
void rf_snap_retire(struct rf_snap *old);
/* Of any registered thread; valid until its next quiet point. Never NULL once the engine serves. */
const struct rf_snap *rf_snap_now(void);
/* Hold it longer. */
const struct rf_snap *rf_snap_pin(const struct rf_snap *s);
void rf_snap_unpin(const struct rf_snap *s);
