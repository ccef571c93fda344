/* wire/guard_int: what the guards of each protocol are to guard.c. Private to wire. */
#pragma once
#include "base/cur.h"
#include "base/err.h"
#include "wire/guard.h"

#define GUARD_ALL UINT64_MAX /* a frame without end: all that follows passes */

/* The head of a frame at the front of `in`, which is not empty. RF_OK: *ret_size bytes, the head among them, may pass;
 * RF_E_AGAIN: more is needed to tell; RF_E_INVALID. */
int guard_ssh(struct rf_guard *g, struct rf_str in, uint64_t *ret_size);
int guard_mqtt(struct rf_guard *g, struct rf_str in, uint64_t *ret_size);
int guard_modbus(struct rf_guard *g, struct rf_str in, uint64_t *ret_size);
int guard_dns(struct rf_guard *g, struct rf_str in, uint64_t *ret_size);
int guard_tls(struct rf_guard *g, struct rf_str in, uint64_t *ret_size);

static inline int guard_bad(struct rf_guard *g, const char *why)
{
	g->why = why;
	return RF_E_INVALID;
}
