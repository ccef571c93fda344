/* shield/sets: access rules of three kinds in one shield: single prefixes, and the networks of autonomous systems and of countries.
 *
 * The nearest kind counts: a rule about a prefix before one about its autonomous system, that before one about its country, whatever
 * the lengths. In the shield the longest prefix counts; so a network that lies within one of a nearer kind is left out there, and
 * comes back when that goes.
 *
 *   prefix -> shield, networks within it out          networks of a layer, sorted and apart -> those not covered -> shield
 *
 * Owned by the control thread.
 */
#pragma once
#include "shield/shield.h"

enum rf_set_layer { RF_LAYER_ASN, RF_LAYER_COUNTRY, RF_LAYERS };

enum { RF_LAYER_MAX = 1000000 }; /* networks of a layer */

struct rf_network {
	struct rf_prefix at;
	uint8_t mode;  /* enum rf_shield_mode, never NONE */
	bool in;       /* it stands in the shield; ours */
};

struct rf_sets;

struct rf_sets *rf_sets_new(struct rf_shield *shield); /* NULL without memory */
void rf_sets_free(struct rf_sets *s);                  /* the shield stays as it is; NULL is harmless */

/* As rf_shield_set and rf_shield_clear. RF_E_FULL, RF_E_NOMEM: nothing has changed. */
int rf_sets_put(struct rf_sets *s, const struct rf_prefix *at, enum rf_shield_mode mode, struct rf_err *e);
int rf_sets_drop(struct rf_sets *s, const struct rf_prefix *at, struct rf_err *e);
/* The networks of a layer from now on, none within another, in any order. `v` is malloc'ed and taken over. RF_E_FULL, RF_E_NOMEM:
 * as before. */
int rf_sets_fill(struct rf_sets *s, enum rf_set_layer layer, struct rf_network *v, size_t n, struct rf_err *e);
size_t rf_sets_count(const struct rf_sets *s, enum rf_set_layer layer);
