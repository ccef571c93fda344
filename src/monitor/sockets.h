/* monitor/sockets: the listening sockets that the monitor keeps: opened for a plan, or taken over from the service manager or the
 * monitor before. A listener's sockets are those whose address is its own.
 */
#pragma once
#include "base/err.h"
#include "monitor/plan.h"

enum { RF_SOCKETS_MAX = 4096 };

struct rf_socket { int fd; struct rf_ip ip; uint16_t port; char path[108]; };
struct rf_sockets { struct rf_socket v[RF_SOCKETS_MAX]; size_t count; };

/* Take over `fd` if it is a listening socket. */
bool rf_sockets_adopt(struct rf_sockets *s, int fd);
/* Open what the plan needs and is not there; on error everything is as before. */
int rf_sockets_ensure(struct rf_sockets *s, const struct rf_plan *plan, struct rf_err *e);
/* Close what the plan does not name. */
void rf_sockets_trim(struct rf_sockets *s, const struct rf_plan *plan);
/* Those of one listener; the number written, at most RF_PLAN_SOCKETS_MAX. */
size_t rf_sockets_of(const struct rf_sockets *s, const struct rf_plan_listener *l, int *fds);
/* Close all; `unlink_paths`: Unix sockets vanish from the file system, too. */
void rf_sockets_close(struct rf_sockets *s, bool unlink_paths);
