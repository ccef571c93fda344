/* ctl/worker_ports: the part of a worker that serves ports: its sockets of them, TCP by svc/l4, UDP by svc/l4/udp.
 *
 * All of the worker's thread, but for new and free.
 */
#pragma once
#include "ctl/worker.h"
#include "svc/front.h"
#include "svc/l4/udp.h"
#include "svc/l4/udp.h"

struct rf_worker_ports;

struct rf_worker_ports_spec {
	struct rf_loop *loop;
	struct rf_front *front;
	struct rf_http_edge *edge; /* of ports whose traffic is HTTP */
	struct rf_pool *pool;
	struct rf_resolver *resolver;
	void (*emit)(void *arg, const struct rf_record *rec); /* NULL: no records */
	bool (*barred)(void *arg, const struct rf_ip *src);
	void (*reply_socket)(void *arg, const struct rf_ip *at, uint16_t port); /* answered by rf_worker_ports_reply */
	void *arg;
	uint64_t seed;
};

/* What the boot file says of ports. */
struct rf_worker_ports_conf {
	struct rf_l4_udp_conf udp;
	struct rf_ip at[RF_BOOT_LISTENERS_MAX]; /* where ports stand */
	size_t at_count;
};

/* NULL without memory. */
struct rf_worker_ports *rf_worker_ports_new(const struct rf_worker_ports_spec *spec, const struct rf_boot *b, size_t workers);
/* Before the front is freed: its sockets close, and sessions and connections of ports end. NULL is harmless. */
void rf_worker_ports_free(struct rf_worker_ports *p);
/* Bounds and times of the boot file, for one of so many workers; of any thread. */
struct rf_worker_ports_conf rf_worker_ports_conf_of(const struct rf_boot *b, size_t workers);
void rf_worker_ports_conf(struct rf_worker_ports *p, const struct rf_worker_ports_conf *conf);

/* The descriptor is taken over. */
int rf_worker_ports_open(struct rf_worker_ports *p, const struct rf_worker_port *what);
void rf_worker_ports_close(struct rf_worker_ports *p, uint32_t key);
void rf_worker_ports_reply(struct rf_worker_ports *p, const struct rf_ip *at, uint16_t port, int fd);

/* Ports, trust, devices or bars have changed. The number of connections ended. */
size_t rf_worker_ports_recheck(struct rf_worker_ports *p);
/* Accept no more; `done` when the sessions of UDP have ended, or bound_ns has passed. Connections drain with the front. */
void rf_worker_ports_drain(struct rf_worker_ports *p, uint64_t bound_ns, void (*done)(void *arg), void *arg);
