/* ctl/frame_attacks: floods of frames as attacks, by what the kernel filter counts.
 *
 *   every second: what each counter of refusals has gained ─► shield/frame_flood ─► START: an attack, named after the counter ─► END
 *
 * Each is told as an object of the state, a record and an alert, as attacks on hosts are (ctl/attacks). What stops the frames is the filter itself.
 */
#pragma once
#include <jansson.h>
#include "ctl/control.h"

struct rf_ring;
struct rf_frame_attacks;

int rf_frame_attacks_new(struct rf_ctl *c, struct rf_ring *ring, struct rf_frame_attacks **ret, struct rf_err *e);
void rf_frame_attacks_free(struct rf_frame_attacks *a); /* NULL is harmless */
/* What has come since the object was stored; nothing where the attack is over, or for a NULL. */
void rf_frame_attacks_live(const struct rf_frame_attacks *a, const char *id, json_t *object);
unsigned rf_frame_attacks_active(const struct rf_frame_attacks *a); /* none for a NULL */
