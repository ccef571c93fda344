/* monitor/ports: the sockets of ports (listeners of protocol ports), which the monitor keeps so that an engine that dies loses no connection.
 *
 * Where the kernel steers (monitor/steer), there is one TCP and one UDP socket a worker and family, on loopback, that ports are steered to.
 * Where it does not, and for transparent listeners, sockets are bound to single ports as they are asked for, within the plan and a bound.
 */
#pragma once
#include "base/err.h"
#include "monitor/plan.h"

enum {
	RF_PORT_GROUPS = 4,      /* steered to: TCP and UDP over IPv4, TCP and UDP over IPv6 */
	RF_PORT_BOUND = RF_PORT_GROUPS, /* "group" of a socket that is bound to a port of its own */
	RF_PORT_BOUND_MAX = 256, /* ports at once */
	RF_PORT_SOCKETS_MAX = 4096,
	RF_PORT_REPLIES_KEPT = 8192, /* the last ones are known as ours (monitor/taken) */
};

struct rf_port_socket {
	int fd;
	uint8_t group;
	bool udp;
	struct rf_ip ip;
	uint16_t port;
};

struct rf_port_sockets {
	struct rf_port_socket v[RF_PORT_SOCKETS_MAX];
	size_t count;
	uint64_t replies[RF_PORT_REPLIES_KEPT]; /* inodes of sockets that answer, a ring */
	size_t reply_at;
};

/* A port of a listener, as requests name it. */
struct rf_port_name { unsigned listener; bool udp; uint16_t port; };
static inline struct rf_port_name rf_port_name(uint32_t arg)
{
	return (struct rf_port_name){ arg >> 17, arg >> 16 & 1, (uint16_t)arg };
}
static inline uint32_t rf_port_arg(struct rf_port_name n)
{
	return n.listener << 17 | (uint32_t)n.udp << 16 | n.port;
}

/* May the engine have this port of this listener? Only of protocol ports, only what the boot file allows, never what another listener of the
 * plan has. */
bool rf_port_allowed(const struct rf_plan *p, struct rf_port_name n);
/* The same of all ports: words of bits, TCP and then UDP. */
void rf_port_allowed_all(const struct rf_plan *p, unsigned listener, uint64_t words[2 * 1024]);

/* The sockets that are steered to: `workers` in each group; those that are there stay. A family that this machine has not is left out. */
int rf_port_sockets_steered(struct rf_port_sockets *s, unsigned workers, bool transparent, struct rf_err *e);
/* The sockets of one port, one a worker, opened where they are not there yet. RF_E_FULL, RF_E_EXISTS (another program has it), RF_E_IO. */
int rf_port_sockets_bind(struct rf_port_sockets *s, const struct rf_plan *p, struct rf_port_name n, struct rf_err *e);
void rf_port_sockets_unbind(struct rf_port_sockets *s, const struct rf_plan *p, struct rf_port_name n);
/* Close those of listeners that the plan has no more, or of ports that it no longer allows. */
void rf_port_sockets_trim(struct rf_port_sockets *s, const struct rf_plan *p);
/* Close those that are steered to. */
void rf_port_sockets_unsteer(struct rf_port_sockets *s);
void rf_port_sockets_close(struct rf_port_sockets *s);

/* Descriptors, borrowed; the number. */
size_t rf_port_sockets_group(const struct rf_port_sockets *s, unsigned group, int fds[RF_PLAN_SOCKETS_MAX]);
size_t rf_port_sockets_of(const struct rf_port_sockets *s, const struct rf_plan *p, struct rf_port_name n, int fds[RF_PLAN_SOCKETS_MAX]);
/* Take over a socket of the monitor before; false where it is none. */
bool rf_port_sockets_adopt(struct rf_port_sockets *s, unsigned group, int fd);

/* A UDP socket that answers from `at` and the port: bound there, and nothing is ever received by it. The address must be the listener's
 * (any, where that has none or is transparent). */
int rf_port_reply(struct rf_port_sockets *s, const struct rf_plan *p, struct rf_port_name n, const struct rf_ip *at, int *ret_fd, struct rf_err *e);
