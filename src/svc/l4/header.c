/* svc/l4/header: the PROXY header that tells an origin who the client is: its addresses, and in version 2 its TLS and its device.
 *
 * It is built anew for each endpoint that is tried, since it is gone when one fails.
 */
#include "svc/l4/conn.h"
#include "wire/proxy.h"

enum { NAME_MEMORY = 4096 };

static void tls_part(const struct conn *n, struct rf_arena *a, struct rf_proxy *p)
{
	const struct rf_client *c = &n->client;
	const struct rf_tls_info *info = rf_client_tls(c);
	if (!info)
		return;
	p->has_ssl = true;
	p->ssl_client = RF_PROXY_SSL;
	p->ssl_verify = 1; /* not, unless something follows */
	p->ssl_version = rf_str_z(info->version);
	p->ssl_cipher = rf_str_z(info->cipher);
	if (info->sni[0])
		p->authority = rf_str_z(info->sni);
	if (!info->peer)
		return;
	p->ssl_client |= RF_PROXY_CERT_SESS | (info->resumed ? 0 : RF_PROXY_CERT_CONN);
	p->ssl_verify = info->status == RF_CERT_VALID && info->roots & n->port->roots ? 0 : 1;
	rf_cert_attr(info->peer->cert, false, RF_STR("cn"), 0, a, &p->ssl_cn);
	p->ski = rf_str_z(info->peer->cert->ski);
	if (c->device)
		p->device = rf_str_z(rf_device_id(c->device));
}

int l4_header(struct conn *n)
{
	const struct rf_client *c = &n->client;
	struct rf_proxy p = { .kind = RF_PROXY_TCP, .src = c->src, .dst = c->dst, .src_port = c->src_port,
			      .dst_port = c->dst_port, .checked = true };
	rf_buf_clear(&n->text);
	if (n->port->header == RF_PORT_HEADER_V1)
		return rf_proxy_build_line(&p, &n->text);
	if (n->port->header != RF_PORT_HEADER_V2)
		return RF_OK;
	char id[17];
	struct rf_arena a;
	p.unique_id = rf_front_id_text(c->id, id);
	rf_arena_init(&a, NAME_MEMORY);
	tls_part(n, &a, &p);
	int r = rf_proxy_build(&p, &n->text);
	rf_arena_fini(&a);
	return r;
}
