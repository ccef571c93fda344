/* ctl/frame_attacks: floods of frames as attacks, by what the kernel filter counts.
 *
 *   every second: what each counter of refusals has gained ─► at FLOOR frames a second an attack begins, named after the counter ─►
 *   QUIET seconds below it: it has ended
 *
 * Each is told as an object of the state and a record, as attacks on hosts are (ctl/attacks). What stops the frames is the filter itself.
 */
#pragma once
#include "ctl/control.h"

struct rf_ring;
struct rf_frame_attacks;

int rf_frame_attacks_new(struct rf_ctl *c, struct rf_ring *ring, struct rf_frame_attacks **ret, struct rf_err *e);
void rf_frame_attacks_free(struct rf_frame_attacks *a); /* NULL is harmless */
