/* svc/l4/udp: the service of one worker: made, told of changes, drained, freed.
 *
 * A walk (after a change) and a drain look at some sessions a turn, by their number, so that datagrams have their turn too. What a walk has
 * not reached yet sees to itself with its next datagram.
 *
 * Not here: datagrams (udp_client.c, udp_origin.c), the table (udp_session.c), sockets (udp_via.c), apps (udp_app.c),
 * records (udp_report.c).
 */
#include <stdlib.h>
#include "svc/l4/crowd.h"
#include "svc/l4/udp_in.h"

#define QUIET_NS RF_NS_S              /* a session without a datagram for so long may end in a drain */
#define DRAIN_STEP_NS (100 * RF_NS_MS)

const struct rf_l4_udp_conf rf_l4_udp_conf_default = {
	.sessions = 65536, .sessions_per_address = 4096, .session_rate = 20000, .reply_sockets = 1024, .records_rate = 1000,
	.held_bytes = 1 << 20, .rule_memory = 65536,
};

struct rf_ip ip_of(uint8_t family, const uint8_t b[16])
{
	struct rf_ip ip = { .family = family };
	memcpy(ip.b, b, sizeof ip.b);
	return ip;
}

static struct rf_rate rate_of(uint32_t per_second)
{
	struct rf_rate r = { 0 };
	if (per_second)
		rf_rate_make(per_second, RF_NS_S, per_second / 4 + 1, &r);
	return r;
}

void rf_l4_udp_conf(struct rf_l4_udp *u, const struct rf_l4_udp_conf *conf)
{
	if (!u->most)
		u->most = conf->sessions;
	u->conf = *conf;
	u->conf.sessions = conf->sessions < u->most ? conf->sessions : u->most;
	u->rate = rate_of(conf->session_rate);
	u->record_rate = rate_of(conf->records_rate);
}

/* --- walks --- */

static void walk(struct rf_task *t)
{
	struct rf_l4_udp *u = RF_CONTAINER(t, struct rf_l4_udp, walk);
	for (unsigned i = 0; i < WALK && u->walked < u->chunk_count * CHUNK; i++, u->walked++) {
		struct session *s = &u->chunks[u->walked / CHUNK][u->walked % CHUNK];
		if (s->used)
			session_holds(s);
	}
	if (u->walked < u->chunk_count * CHUNK)
		rf_loop_defer(u->loop, &u->walk);
	else
		apps_sweep(u);
}

void rf_l4_udp_recheck(struct rf_l4_udp *u)
{
	u->walked = 0;
	rf_loop_defer(u->loop, &u->walk);
}

static size_t end_where(struct rf_l4_udp *u, enum end why, bool (*which)(const struct session *s, const void *what), const void *what)
{
	size_t n = 0;
	for (size_t i = 0; i < u->chunk_count * CHUNK; i++) {
		struct session *s = &u->chunks[i / CHUNK][i % CHUNK];
		if (!s->used || !which(s, what))
			continue;
		session_end(s, why);
		n++;
	}
	return n;
}

/* --- drain --- */

static bool is_quiet(const struct session *s, const void *what)
{
	const uint64_t *before = what;
	return s->last <= *before;
}

static void drain_step(struct rf_timer *t)
{
	struct rf_l4_udp *u = RF_CONTAINER(t, struct rf_l4_udp, drain_timer);
	uint64_t now = now_of(u), before = now >= u->drain_until ? now : now - QUIET_NS;
	end_where(u, END_DRAIN, is_quiet, &before);
	if (u->sessions)
		rf_timer_set(u->loop, t, now + DRAIN_STEP_NS < u->drain_until ? now + DRAIN_STEP_NS : u->drain_until);
	else if (u->drained)
		u->drained(u->drained_arg);
}

void rf_l4_udp_drain(struct rf_l4_udp *u, uint64_t bound_ns, void (*done)(void *arg), void *arg)
{
	u->clients.deaf = true;
	u->drain_until = now_of(u) + bound_ns;
	u->drained = done;
	u->drained_arg = arg;
	rf_timer_set(u->loop, &u->drain_timer, now_of(u));
}

/* --- life --- */

void rf_l4_udp_stats(const struct rf_l4_udp *u, struct rf_l4_udp_stats *ret)
{
	*ret = (struct rf_l4_udp_stats){ u->sessions, u->established, u->waiting, u->reply_count, u->begun, u->made_room };
}

struct rf_l4_udp *rf_l4_udp_new(const struct rf_l4_udp_spec *spec)
{
	struct rf_l4_udp *u = calloc(1, sizeof *u);
	if (!u)
		return NULL;
	u->loop = spec->loop;
	u->resolver = spec->resolver;
	u->snap = spec->snap;
	u->emit = spec->emit;
	u->barred = spec->barred;
	u->homes = spec->homes;
	u->reply_socket = spec->reply_socket;
	u->leads_back = spec->leads_back;
	u->leads_back_arg = spec->leads_back_arg;
	u->arg = spec->arg;
	u->next_id = spec->seed;
	u->walk.run = walk;
	u->drain_timer.fire = drain_step;
	rf_list_init(&u->sockets);
	rf_list_init(&u->replies);
	rf_l4_udp_conf(u, spec->conf ? spec->conf : &rf_l4_udp_conf_default);
	bool watched = !spec->feed || (u->crowd = crowd_new(spec->feed, RF_FEED_SESSIONS));
	if (watched && table_init(u) == RF_OK && rf_datagram_use_init(&u->clients, u->loop, client_message, client_error) == RF_OK &&
	    rf_datagram_use_init(&u->origins, u->loop, origin_message, origin_error) == RF_OK)
		return u;
	rf_l4_udp_free(u);
	return NULL;
}

static bool is_any(const struct session *s, const void *what)
{
	(void)s, (void)what;
	return true;
}

void rf_l4_udp_free(struct rf_l4_udp *u)
{
	if (!u)
		return;
	end_where(u, END_CLOSED, is_any, NULL);
	rf_task_cancel(&u->walk);
	rf_timer_stop(u->loop, &u->drain_timer);
	apps_sweep(u);
	crowd_free(u->crowd);
	rf_map_fini(&u->apps);
	vias_fini(u);
	if (u->clients.rooms)
		rf_datagram_use_fini(&u->clients);
	if (u->origins.rooms)
		rf_datagram_use_fini(&u->origins);
	table_fini(u);
	free(u);
}
