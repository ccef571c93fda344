/* ctl/port_gate: the engine's side of the sockets of ports: what the snapshot has, the kernel steers or the monitor binds.
 *
 *   start, reload -> follow: sockets from the monitor to the workers, the map of wanted ports into our memory
 *   snapshot published -> apply: steered: the bits of that map; else: single ports are bound and unbound
 *   a worker wants to answer a datagram -> ask -> the monitor's socket -> back to that worker
 *
 * Of the control thread, but for rf_port_gate_ask.
 */
#pragma once
#include <jansson.h>
#include "ctl/control.h"

struct rf_port_gate;
struct rf_port;

/* Nothing is open before rf_port_gate_follow, which needs the workers of `c`. */
int rf_port_gate_new(struct rf_ctl *c, int monitor_fd, struct rf_port_gate **ret, struct rf_err *e);
void rf_port_gate_free(struct rf_port_gate *g); /* what is steered stays so; NULL is harmless */
/* The listeners of the boot file may be others: after the start, and after the monitor has taken a reload. */
void rf_port_gate_follow(struct rf_port_gate *g);
/* Would this port of TCP or UDP, or a range, take the place of another program's at one of its addresses? RF_E_CONFLICT says which. `gate` may
 * be NULL: nobody can tell then. */
int rf_port_gate_free_for(const struct rf_port_gate *gate, const struct rf_port *p, struct rf_err *e);
/* Bring what is open in line with the snapshot in force. */
void rf_port_gate_apply(struct rf_port_gate *g);
/* From a worker's thread (gate: struct rf_port_gate): a UDP socket to answer from this address and port, which comes by
 * rf_worker_port_reply. */
void rf_port_gate_ask(void *gate, struct rf_worker *w, const struct rf_ip *at, uint16_t port);

/* For status: how, where, how many; what could not be opened. NULL without memory. */
json_t *rf_port_gate_status(const struct rf_port_gate *g);

/* The bits of the ports that the site has at a place: TCP, then UDP. An unspecified address is all of its family. */
void rf_port_gate_bits(const struct rf_site *site, const struct rf_ip *place, uint64_t words[2 * 1024]);
