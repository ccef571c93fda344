/* monitor/steer: the program that steers ports to sockets (bpf/steer.bpf.c): loaded, attached to the network namespace, its link and the maps of
 * places and of wanted ports pinned, so that a new monitor takes over without a gap.
 *
 * Not here: which ports are wanted (the engine writes that map by mapping it), the sockets themselves (monitor/ports).
 */
#pragma once
#include "base/err.h"
#include "base/ip.h"
#include "bpf/steer.h"

struct rf_steer;

/* Load it; nothing is attached yet. `at` gets the places of before, family 0 where there is none. RF_E_UNSUPPORTED with the kernel's
 * reason. */
int rf_steer_open(const char *dir, struct rf_steer **ret, struct rf_ip at[RF_STEER_PLACES], struct rf_err *e);
/* Forget it; what is attached stays so. NULL is harmless. */
void rf_steer_close(struct rf_steer *s);

/* The addresses; one of family 0: a place that is not used, unspecified: all of its family. */
int rf_steer_places(struct rf_steer *s, unsigned workers, const struct rf_ip at[RF_STEER_PLACES], struct rf_err *e);
/* What may be steered at a place: RF_STEER_PLACE_WORDS words. */
int rf_steer_allow(struct rf_steer *s, size_t place, const uint64_t *words, struct rf_err *e);
/* Give a worker's socket of a group (RF_STEER_GROUPS) connections, or datagrams. It goes by itself when it is closed. */
int rf_steer_socket(struct rf_steer *s, unsigned group, unsigned worker, int fd, struct rf_err *e);

/* Attach to this process's network namespace, in the place of an older program of ours there. */
int rf_steer_attach(struct rf_steer *s, struct rf_err *e);
/* Ports go the way that they would go without us; harmless where nothing is attached. */
void rf_steer_detach(struct rf_steer *s);

int rf_steer_ports(const struct rf_steer *s);   /* the map of wanted ports: a descriptor, borrowed */
int rf_steer_program(const struct rf_steer *s); /* the same */
