/* svc/l4/crowd: who is let in while far more come to a port than usual. Private to svc/l4, one of TCP and one of UDP a worker. */
#pragma once
#include "shield/feed.h"

struct crowd;
/* `feed` outlives it. NULL without memory; NULL is harmless to free. */
struct crowd *crowd_new(struct rf_feed *feed, enum rf_feed_kind kind);
void crowd_free(struct crowd *w);
/* Count one that begins at an app, which its first port names. Does it come too often, or as one of too many? Never where it is known. */
bool crowd_bars(struct crowd *w, uint16_t app, const struct rf_ip *src, bool known, uint64_t now);
