/* svc/port: TCP and UDP ports of the edge that stand before origins, and which of them a connection or datagram meets.
 *
 * Made with the snapshot (ctl), immutable with it, read by svc/l4. A range of ports maps to a range of equal length at the origin:
 * port n of the edge is origin port n - low + origin_low.
 *
 * Where two have the same port, each stands at addresses of its own; one that names none stands at all that no other names, and one that names
 * a family at all of it that no other names.
 * What is ambiguous is refused.
 */
#pragma once
#include <stdatomic.h>
#include "base/arena.h"
#include "base/err.h"
#include "base/ip.h"
#include "egress/origin.h"
#include "tls/keypair.h"

struct rf_zone;

enum rf_transport { RF_TRANSPORT_TCP, RF_TRANSPORT_UDP, RF_TRANSPORTS };

/* TLS: none touched (bytes pass as they are); ended here with clear text to the origin; new TLS to the origin, whose
 * certificate is not verified; the same, verified. */
enum rf_port_tls { RF_PORT_TLS_OFF, RF_PORT_TLS_FLEXIBLE, RF_PORT_TLS_FULL, RF_PORT_TLS_STRICT };

/* What tells the origin who the client is: nothing, the PROXY protocol, or for UDP the 38-byte simple header. */
enum rf_port_header { RF_PORT_HEADER_NONE, RF_PORT_HEADER_V1, RF_PORT_HEADER_V2, RF_PORT_HEADER_SIMPLE };

/* The protocol whose first bytes and frames must make sense. */
enum rf_port_guard {
	RF_PORT_GUARD_NONE, RF_PORT_GUARD_SSH, RF_PORT_GUARD_MQTT, RF_PORT_GUARD_MODBUS, RF_PORT_GUARD_DNS, RF_PORT_GUARD_TLS,
	RF_PORT_GUARD_COAP, RF_PORT_GUARD_DTLS, /* of UDP, as is DNS too */
};

/* Who serves it: svc/l4, or the HTTP edge as an app of the port's name, over clear text or TLS. */
enum rf_port_traffic { RF_PORT_DIRECT, RF_PORT_HTTP, RF_PORT_HTTPS };

/* What all workers count of a port, shared by the snapshots that have a port of this id. */
struct rf_port_use {
	_Atomic uint32_t refs;
	_Atomic uint32_t live; /* connections, or sessions */
};

struct rf_port {
	char id[33];
	struct rf_str name;              /* for records: the DNS name that it is published under */
	const struct rf_zone *zone;
	enum rf_transport transport;
	enum rf_port_traffic traffic;
	uint16_t low, high, origin_low;
	const struct rf_ip *addresses;   /* of the edge; an unspecified one (0.0.0.0, ::) is all of its family */
	size_t address_count;            /* 0: any */
	struct rf_origin_group *origins; /* their port is origin_low, or of their own where low == high */
	enum rf_port_tls tls;
	enum rf_port_header header;
	enum rf_port_guard guard;
	bool take_over;                  /* also where another program has the port */
	bool ip_firewall;                /* access rules hold here */
	struct rf_keypair *keypair[2];   /* ECDSA, RSA; at least one where TLS ends here */
	uint64_t own_cert;               /* hash of the name that our own CA certified; 0: an uploaded certificate, or none */
	int auth;                        /* enum rf_auth_mode of client certificates, where TLS ends here */
	bool refuse_handshake;
	uint64_t roots;                  /* accepted ones, bits of the trust set */
	uint64_t first_byte_ns;          /* for the client's first byte; 0: it may be silent */
	uint64_t idle_ns;                /* without a byte in either direction; for UDP, the life of a session */
	uint32_t max_connections;        /* at once, or sessions; all workers; 0: no bound */
	uint32_t amplification;          /* of UDP: bytes to a client for each of its own, until it is established; 0: any */
	struct rf_port_use *use;         /* a reference */
};

/* A reference to `was`, or a new one where that is NULL. NULL without memory. */
struct rf_port_use *rf_port_use_get(struct rf_port_use *was);
void rf_port_use_put(struct rf_port_use *u); /* harmless for NULL */
/* One more, unless the port has as many as it may: false then. */
bool rf_port_enter(const struct rf_port *p);
void rf_port_leave(struct rf_port_use *u);

enum { RF_PORTS_MAX = 20000 }; /* of the whole state */

struct rf_ports;

/* The ports, to be looked up; the arena and *v must outlive it. RF_E_CONFLICT when two have a port and an address in
 * common, with both their names; RF_E_NOMEM. */
int rf_ports_new(struct rf_arena *a, struct rf_port *const *v, size_t n, struct rf_ports **ret, struct rf_err *e);

/* What stands at this address and port of the edge; NULL: nothing. `ports` NULL: nothing at all. */
const struct rf_port *rf_ports_find(const struct rf_ports *ports, enum rf_transport t, const struct rf_ip *at, uint16_t port);

/* The origin's port for a port of the edge. */
static inline uint16_t rf_port_origin(const struct rf_port *p, uint16_t port)
{
	return (uint16_t)(p->origin_low + (port - p->low));
}
