/* api/server: the API over HTTP/1.1 on the control thread's loop: a Unix socket, TLS, and plain text for tests.
 *
 * A peer of the Unix socket whose credentials (SO_PEERCRED) are root, the daemon's own user or the administrators'
 * group is a local administrator; any other peer shows a token.
 */
#pragma once
#include <sys/types.h>
#include "api/api.h"
#include "loop/loop.h"

struct rf_api_server;
struct rf_tls;

enum rf_api_listen { RF_API_UNIX, RF_API_PLAIN, RF_API_TLS };
enum {
	RF_API_CONNECTIONS = 256,
	RF_API_LISTENERS = 8,
	RF_API_BUFFERED_MAX = 128 << 20, /* bytes of requests being received, all connections together, besides one largest body */
	RF_API_EARLY_BODY = 64 << 10,    /* a larger body is not received before its sender is known */
};

struct rf_api_server_conf {
	struct rf_loop *loop;
	struct rf_api *api;
	struct rf_tls *tls;      /* for RF_API_TLS; outlives the server */
	unsigned connections;    /* at once; 0: RF_API_CONNECTIONS */
	gid_t admin_gid;         /* (gid_t)-1: none */
	uint64_t body_ns;        /* that a client has to send a body; 0: a minute */
};

struct rf_api_server *rf_api_server_new(const struct rf_api_server_conf *conf, struct rf_err *e);
/* Take over a listening descriptor, also on failure. */
int rf_api_server_listen(struct rf_api_server *s, int fd, enum rf_api_listen kind, struct rf_err *e);
/* Accept no more by this descriptor, and close it; connections that it has brought stay. -1 is harmless. */
void rf_api_server_close(struct rf_api_server *s, int fd);
/* Close listeners and connections; before the loop and the API go. */
void rf_api_server_free(struct rf_api_server *s);

struct rf_api_server_stats { uint64_t requests, connections, refused, bad; };
void rf_api_server_stats(const struct rf_api_server *s, struct rf_api_server_stats *ret);
