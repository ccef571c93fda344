/* svc/l4/udp_via: sockets of the edge: those that receive, and those that are opened to answer from one address and port.
 *
 * A socket that is bound to a port answers from it at any address. One that datagrams to many ports are steered to cannot: for each
 * address and port a socket is asked for once, kept while sessions use it, and beyond that as long as the bound has room.
 */
#include <stdlib.h>
#include "svc/l4/udp_in.h"

#define RETRY_NS RF_NS_S /* after one could not be opened */

static struct rf_str at_of(char to[19], uint8_t family, const uint8_t ip[16], uint16_t port)
{
	to[0] = (char)family;
	memcpy(to + 1, ip, 16);
	memcpy(to + 17, &port, sizeof port);
	return (struct rf_str){ to, 19 };
}

static struct rf_l4_udp_socket *socket_new(struct rf_l4_udp *u)
{
	struct rf_l4_udp_socket *v = calloc(1, sizeof *v);
	if (!v)
		return NULL;
	v->udp = u;
	v->d.io.fd = -1;
	rf_list_init(&v->waiting);
	return v;
}

static void socket_free(struct rf_l4_udp_socket *v)
{
	rf_datagram_close(&v->d);
	rf_list_del(&v->node);
	if (v->reply) {
		rf_map_del(&v->udp->by_at, &v->by_at);
		v->udp->reply_count--;
	}
	free(v);
}

void via_set(struct session *s, struct rf_l4_udp_socket *v)
{
	struct rf_l4_udp_socket *old = s->via;
	if (v)
		v->sessions++;
	s->via = v;
	if (old && !--old->sessions && old->orphan)
		socket_free(old);
}

int rf_l4_udp_listen(struct rf_l4_udp *u, int fd, uint16_t port, struct rf_l4_udp_socket **ret)
{
	struct rf_l4_udp_socket *v = socket_new(u);
	if (!v) {
		rf_loop_close(u->loop, &(struct rf_io){ .fd = fd });
		return RF_E_NOMEM;
	}
	int r = rf_datagram_adopt(&v->d, &u->clients, fd);
	if (r) {
		free(v);
		return r;
	}
	v->port = port;
	rf_list_push(&u->sockets, &v->node);
	*ret = v;
	return RF_OK;
}

void rf_l4_udp_unlisten(struct rf_l4_udp_socket *v)
{
	rf_datagram_close(&v->d);
	v->orphan = true;
	if (!v->sessions)
		socket_free(v);
}

/* --- to answer from --- */

static bool make_room(struct rf_l4_udp *u)
{
	if (u->reply_count < u->conf.reply_sockets)
		return true;
	RF_LIST_EACH(node, &u->replies) {
		struct rf_l4_udp_socket *v = RF_CONTAINER(node, struct rf_l4_udp_socket, node);
		if (!v->sessions) {
			socket_free(v);
			return true;
		}
	}
	return false;
}

static struct rf_l4_udp_socket *reply_new(struct rf_l4_udp *u, const struct key *k)
{
	struct rf_l4_udp_socket *v = u->reply_socket && make_room(u) ? socket_new(u) : NULL;
	if (!v)
		return NULL;
	v->reply = true;
	rf_map_add(&u->by_at, &v->by_at, at_of(v->at, k->edge_family, k->edge, k->edge_port));
	rf_list_push(&u->replies, &v->node);
	u->reply_count++;
	return v;
}

static void ask(struct rf_l4_udp_socket *v, const struct key *k)
{
	struct rf_ip ip = ip_of(k->edge_family, k->edge);
	v->asked = true;
	v->failed_at = 0;
	v->port = k->edge_port;
	v->udp->reply_socket(v->udp->arg, &ip, k->edge_port);
}

struct rf_l4_udp_socket *via_of(struct rf_l4_udp *u, struct rf_l4_udp_socket *by, const struct key *k)
{
	char at[19];
	if (by->port == k->edge_port)
		return by;
	struct rf_map_node *node = rf_map_find(&u->by_at, at_of(at, k->edge_family, k->edge, k->edge_port));
	struct rf_l4_udp_socket *v = node ? RF_CONTAINER(node, struct rf_l4_udp_socket, by_at) : reply_new(u, k);
	if (v) {
		rf_list_del(&v->node);
		rf_list_push(&u->replies, &v->node);
		if (!via_open(v) && !v->asked && (!v->failed_at || now_of(u) - v->failed_at >= RETRY_NS))
			ask(v, k);
	}
	if (v && (via_open(v) || v->asked))
		return v;
	rf_count(RF_C_UDP_NO_REPLY_SOCKET);
	return NULL;
}

void rf_l4_udp_reply(struct rf_l4_udp *u, const struct rf_ip *ip, uint16_t port, int fd)
{
	char at[19];
	struct rf_map_node *node = rf_map_find(&u->by_at, at_of(at, ip->family, ip->b, port));
	struct rf_l4_udp_socket *v = node ? RF_CONTAINER(node, struct rf_l4_udp_socket, by_at) : NULL;
	if (!v || !v->asked) {
		rf_loop_close(u->loop, &(struct rf_io){ .fd = fd });
		return;
	}
	v->asked = false;
	if (fd < 0 || rf_datagram_adopt(&v->d, &u->clients, fd) != RF_OK)
		v->failed_at = now_of(u);
	v->sessions++; /* it stays while its sessions go on */
	for (struct rf_node *n; (n = rf_list_first(&v->waiting));) {
		struct session *s = RF_CONTAINER(n, struct session, waiting);
		session_waits(s, NULL);
		origin_proceed(s);
	}
	v->sessions--;
}

void vias_fini(struct rf_l4_udp *u)
{
	struct rf_node *node;
	while ((node = rf_list_first(&u->sockets)) || (node = rf_list_first(&u->replies)))
		socket_free(RF_CONTAINER(node, struct rf_l4_udp_socket, node));
	rf_map_fini(&u->by_at);
}
