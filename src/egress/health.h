/* egress/health: active checks of origins, on one loop for all workers.
 *
 * Each endpoint of a group with an interval is asked over a connection of its own: GET path, and the
 * status must lie in the group's range before the timeout; or, where the group says so, the connection alone counts. `rise` good or `fall` bad answers in a row
 * change what all workers believe (struct rf_origin_live). Owned by the loop's thread.
 */
#pragma once
#include "egress/pool.h"

struct rf_health;

/* resolver NULL: only literal addresses; tls NULL: only plain origins. NULL without memory. */
struct rf_health *rf_health_new(struct rf_loop *loop, struct rf_tls *tls, struct rf_resolver *resolver);
void rf_health_free(struct rf_health *h);

/* The groups to check from now on (references are taken); endpoints that were checked before go on as
 * they were. RF_E_NOMEM: some of them are not checked. */
int rf_health_watch(struct rf_health *h, struct rf_origin_group *const *groups, size_t count);
/* Called at each change between up and down; may be NULL. */
void rf_health_tell(struct rf_health *h, void (*changed)(void *arg, const struct rf_origin *o, bool up), void *arg);
