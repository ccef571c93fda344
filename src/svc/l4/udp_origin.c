/* svc/l4/udp_origin: a session's socket to its origin: opened with the first datagram, anew after a failure; and what comes back.
 *
 *   datagram -> open? -> header -> sent            answer -> header off -> guard -> not more than amplified -> to the client
 *                 | its name or socket is on the way
 *                 held (the first message) -> proceed
 *
 * An origin that cannot be reached is told of by ICMP, to the next call on its socket. It has failed then, for passive health and for this
 * session, which takes another; where there is none, a session that was never answered ends.
 */
#include <stdlib.h>
#include "base/hash.h"
#include "svc/l4/udp_in.h"

static void lost(enum rf_counter why, const struct rf_dgram *m)
{
	rf_count_n(why, rf_dgram_count(m));
}

static const struct rf_origin *choose(struct session *s)
{
	struct rf_origin_group *group = s->app->group;
	if (s->tried_of != group)
		s->tried = 0;
	s->tried_of = group;
	uint64_t key = rf_hash((struct rf_str){ (const char *)s->key.client, sizeof s->key.client });
	return rf_origin_choose(group, key, now_of(s->udp), s->tried);
}

static void failed(struct session *s, const struct rf_origin *o)
{
	if (rf_origin_report(o, false, now_of(s->udp)))
		rf_count(RF_C_ORIGIN_EJECTED);
	if (s->tried_of == o->group)
		s->tried |= 1ull << o->index;
	s->failures++;
}

static int connect_to(struct session *s, const struct rf_origin *o)
{
	struct rf_addr to;
	int r = target_addr(s, o, &to);
	s->failed_by = r == RF_OK ? END_ORIGIN_REFUSED : r == RF_E_DENIED ? END_ORIGIN_BARRED :
		r == RF_E_NOT_FOUND ? END_NAME_NONE : END_NAME_FAILED;
	if (r == RF_OK)
		r = rf_datagram_connect(&s->origin, &s->udp->origins, &to);
	if (r)
		return r;
	s->group = rf_origin_group_get(o->group);
	s->to = o;
	atomic_fetch_add_explicit(&o->live->load, 1, memory_order_relaxed);
	return RF_OK;
}

/* RF_OK; RF_E_AGAIN: it waits; RF_E_NOT_FOUND: no origin can be used; RF_E_FULL: no descriptor is left. */
static int open_origin(struct session *s)
{
	const struct rf_origin *o;
	if (s->origin.io.fd >= 0)
		return RF_OK;
	if (rf_node_linked(&s->waiting))
		return RF_E_AGAIN;
	if (s->via && s->via->asked) {
		session_waits(s, &s->via->waiting);
		return RF_E_AGAIN;
	}
	while ((o = choose(s))) {
		int r = connect_to(s, o);
		if (r == RF_E_FULL)
			rf_count(RF_C_LIMIT_DESCRIPTORS);
		if (r == RF_OK || r == RF_E_AGAIN || r == RF_E_FULL)
			return r;
		failed(s, o);
	}
	s->tried = 0; /* those that are held for failing are tried again with the next datagram */
	return RF_E_NOT_FOUND;
}

void origin_close(struct session *s)
{
	rf_datagram_close(&s->origin);
	if (!s->to)
		return;
	atomic_fetch_sub_explicit(&s->to->live->load, 1, memory_order_relaxed);
	s->to = NULL;
	rf_origin_group_put(s->group);
	s->group = NULL;
}

/* --- to the origin --- */

void held_drop(struct session *s)
{
	if (!s->held)
		return;
	s->udp->held -= sizeof *s->held + s->held->n;
	free(s->held);
	s->held = NULL;
}

static void hold(struct session *s, const struct rf_dgram *m)
{
	size_t size = sizeof *m + m->n;
	bool room = !s->held && s->udp->held + size <= s->udp->conf.held_bytes;
	struct rf_dgram *h = room ? malloc(size) : NULL;
	if (!h) {
		lost(RF_C_UDP_DROP_HELD, m);
		return;
	}
	*h = *m;
	h->p = (char *)(h + 1);
	if (m->n)
		memcpy(h->p, m->p, m->n);
	s->held = h;
	s->udp->held += size;
}

static struct rf_str header_of(const struct session *s, char to[RF_SPP_SIZE])
{
	if (!s->app->header)
		return (struct rf_str){ NULL, 0 };
	struct rf_spp spp = { client_of(s), edge_of(s), s->key.client_port, s->key.edge_port };
	rf_spp_build(&spp, to);
	return (struct rf_str){ to, RF_SPP_SIZE };
}

static void none_left(struct session *s, const struct rf_dgram *m, int error)
{
	lost(RF_C_UDP_DROP_ORIGIN, m);
	if (!s->answered)
		session_end(s, error == RF_E_FULL ? END_MEMORY : s->failures ? (enum end)s->failed_by : END_ORIGIN_NONE);
}

void origin_send(struct session *s, const struct rf_dgram *m)
{
	struct rf_dgram out = { .segment = m->segment };
	char header[RF_SPP_SIZE];
	struct rf_str prefix = header_of(s, header);
	for (int attempt = 0; attempt < 2; attempt++) {
		int why = RF_OK, r = open_origin(s);
		if (r == RF_E_AGAIN)
			hold(s, m);
		else if (r)
			none_left(s, m, r);
		if (r)
			return;
		report_begin(s);
		unsigned n = rf_datagram_send(&s->origin, &out, prefix, (struct rf_str){ m->p, m->n }, &why);
		if (why != RF_E_RESET) {
			rf_count_n(RF_C_UDP_DROP_SEND, n);
			return;
		}
		failed(s, s->to); /* an earlier one did not arrive; this one goes to another */
		origin_close(s);
	}
	lost(RF_C_UDP_DROP_ORIGIN, m);
}

void origin_proceed(struct session *s)
{
	struct rf_dgram *h = s->held;
	if (s->via && !via_open(s->via) && !s->via->asked) {
		session_end(s, END_NO_REPLY);
		return;
	}
	if (!h)
		return;
	s->held = NULL;
	s->udp->held -= sizeof *h + h->n;
	origin_send(s, h);
	free(h);
}

/* --- and back --- */

static struct rf_addr client_addr(const struct session *s)
{
	struct rf_ip ip = client_of(s);
	if (s->mapped) {
		ip = (struct rf_ip){ .family = 6, .b = { [10] = 0xff, [11] = 0xff } };
		memcpy(ip.b + 12, s->key.client, 4);
	}
	struct rf_addr a = rf_addr_of(&ip, s->key.client_port);
	if (ip.family == 6)
		a.v6.sin6_scope_id = s->scope;
	return a;
}

static bool amplified(const struct session *s, size_t n)
{
	uint32_t factor = s->app->amplification;
	return factor && !s->settled && s->bytes_out + n > factor * s->bytes_in;
}

static void answer(struct session *s, const struct rf_dgram *m)
{
	char header[RF_SPP_SIZE];
	struct rf_str data = { m->p, m->n }, prefix = header_of(s, header);
	if (prefix.n)
		data = rf_spp_strip(data, header);
	if (!sane(s->app->guard, data, RF_SANITY_ORIGIN, false)) {
		lost(RF_C_UDP_DROP_GUARD, m);
		return;
	}
	if (amplified(s, data.n)) {
		lost(RF_C_UDP_DROP_AMPLIFIED, m);
		return;
	}
	struct rf_ip edge = edge_of(s);
	struct rf_dgram out = { .peer = client_addr(s), .local = rf_addr_of(&edge, s->key.edge_port), .segment = m->segment };
	unsigned all = rf_dgram_count(m), n = via_open(s->via) ? rf_datagram_send(&s->via->d, &out, RF_STR(""), data, NULL) : all;
	rf_count_n(RF_C_UDP_DROP_SEND, n);
	if (!s->answered)
		rf_origin_report(s->to, true, now_of(s->udp));
	s->answered = true;
	session_touch(s, false);
	s->bytes_out += data.n;
	s->count_out += all - n;
	rf_count_n(RF_C_UDP_OUT, all - n);
	rf_count_n(RF_C_UDP_BYTES_OUT, data.n);
}

void origin_message(struct rf_datagram *d, const struct rf_dgram *m)
{
	struct session *s = RF_CONTAINER(d, struct session, origin);
	if (!session_holds(s))
		return;
	const struct app *a = s->app;
	if (!m->segment || (!a->header && !a->amplification && a->guard == RF_PORT_GUARD_NONE)) {
		answer(s, m);
		return;
	}
	struct rf_dgram one = *m;
	one.segment = 0;
	for (size_t at = 0; at < m->n; at += m->segment) {
		one.p = m->p + at;
		one.n = m->n - at < m->segment ? m->n - at : m->segment;
		answer(s, &one);
	}
}

void origin_error(struct rf_datagram *d, int error)
{
	struct session *s = RF_CONTAINER(d, struct session, origin);
	if (error != RF_E_RESET && error != RF_E_IO)
		return;
	failed(s, s->to);
	origin_close(s);
	if (!s->answered && !choose(s))
		session_end(s, END_ORIGIN_REFUSED);
}
