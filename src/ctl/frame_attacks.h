/* ctl/frame_attacks: floods of frames as attacks.
 *
 *   ten times a second: glimpses of frames (shield/frames) ─► kind of flood (shield/vector) ─► its tally (shield/frame_tally); known sources
 *   every second: each kind's rates ─► shield/frame_flood ─► START: an attack ─► what passes is still a flood? shield/frame_stops ─► END
 *
 * Each is told as an object of the state, a record and an alert, as attacks on hosts are (ctl/attacks). What stops the frames is the filter
 * itself: its checks, or the stops that are put in force here. One that was on when the process ended is gone on with. Without a kernel
 * filter its counters alone are looked at, and an attack is named after the one that fired.
 */
#pragma once
#include <jansson.h>
#include "ctl/control.h"

struct rf_ring;
struct rf_frame_attacks;

int rf_frame_attacks_new(struct rf_ctl *c, struct rf_ring *ring, struct rf_frame_attacks **ret, struct rf_err *e);
/* Those that are on are stored as they are. NULL is harmless. */
void rf_frame_attacks_free(struct rf_frame_attacks *a);
/* What has come since the object was stored; nothing where the attack is over, or for a NULL. */
void rf_frame_attacks_live(const struct rf_frame_attacks *a, const char *id, json_t *object);
unsigned rf_frame_attacks_active(const struct rf_frame_attacks *a); /* none for a NULL */
bool rf_frame_attacks_has(const struct rf_frame_attacks *a, const char *id); /* it is on */
