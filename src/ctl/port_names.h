/* ctl/port_names: the origins of ports that are given by name and need more than an address (A or AAAA alone, SRV), asked for in the
 * background and kept fresh.
 *
 *   snapshot published -> follow: names that are new are asked for, those that went are dropped
 *   answer, or its time has passed -> asked again; another answer -> the snapshot is built anew (rf_ctl_rebuild)
 *
 * While asking fails, the last good answer stays. Of the control thread.
 */
#pragma once
#include "ctl/control.h"

struct rf_port_names;
struct rf_resolver_opts;

enum rf_port_name_type { RF_PORT_NAME_A, RF_PORT_NAME_AAAA, RF_PORT_NAME_SRV };
enum { RF_PORT_NAMES_MAX = 4096, RF_PORT_NAME_ORIGINS = 64, RF_PORT_NAME_TEXT = 256 };

struct rf_port_named {
	char host[RF_PORT_NAME_TEXT]; /* an address, or the target of SRV */
	uint16_t port;                /* of SRV; else 0 */
	unsigned weight;              /* 1..1000 */
	unsigned backup;              /* 0: of the first priority, 1: of the next ... */
};

/* `servers` NULL: those of resolv.conf. */
int rf_port_names_new(struct rf_ctl *c, const char *servers, struct rf_port_names **ret, struct rf_err *e);
void rf_port_names_free(struct rf_port_names *n); /* NULL is harmless */
/* Ask for what the ports of the state name, and for nothing else. */
void rf_port_names_follow(struct rf_port_names *n);
/* The last good answer, at most RF_PORT_NAME_ORIGINS, in an order that does not change by itself; 0: none yet. `n` may be NULL. Borrowed
 * until the loop's next turn. */
size_t rf_port_names_find(const struct rf_port_names *n, struct rf_str name, enum rf_port_name_type type, const struct rf_port_named **ret);

/* From the answer to a question for SRV records [RFC 2782]: sorted, with weights and tiers as above; false where it is none. A target "." is no
 * service: nothing then. */
bool rf_port_names_srv(const unsigned char *answer, size_t n, struct rf_port_named ret[RF_PORT_NAME_ORIGINS], size_t *ret_count);
