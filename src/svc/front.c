/* svc/front: the connections of a worker, from accept to the end, whatever service they are for.
 *
 *   accept -> hello_begin (svc/hello) -> the service -> rf_client_end -> record, release, freed
 *
 * Invariants: a client is in front->clients exactly while stats.connections counts it. It is freed by end_now alone: from
 * outside of the service's work, or when that work is done (rf_client_ran).
 */
#include "svc/front_own.h"
#include <endian.h>
#include <stdlib.h>
#include "net/addr.h"
#include "net/listener.h"

#define DRAIN_GRACE_NS (2 * RF_NS_S)   /* for who was accepted and has not asked for anything yet */

const struct rf_front_conf rf_front_conf_default = {
	.connections = 100000,
	.handshakes = 2048,
	.handshakes_per_turn = 2,
	.handshake_turn_ns = 500 * RF_NS_US,
	.handshake_ns = 10 * RF_NS_S,
	.rule_memory = 256 * 1024,
};

uint64_t rf_front_id(struct rf_front *f) /* splitmix64: never the same twice on one worker */
{
	uint64_t z = f->next_id += 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* Eight hexadecimal digits at once, the first in the highest byte. */
static uint64_t hex_digits(uint32_t v)
{
	uint64_t x = v;
	x = (x | x << 16) & 0x0000ffff0000ffffull;
	x = (x | x << 8) & 0x00ff00ff00ff00ffull;
	x = (x | x << 4) & 0x0f0f0f0f0f0f0f0full;
	uint64_t letters = (x + 0x0606060606060606ull) >> 4 & 0x0101010101010101ull;
	return x + 0x3030303030303030ull + letters * ('a' - '0' - 10);
}

struct rf_str rf_front_id_text(uint64_t id, char to[17])
{
	uint64_t digits[2] = { htobe64(hex_digits((uint32_t)(id >> 32))), htobe64(hex_digits((uint32_t)id)) };
	memcpy(to, digits, 16);
	to[16] = '\0';
	return (struct rf_str){ to, 16 };
}

/* --- the end of a connection --- */

static void drain_look(struct rf_front *f)
{
	if (f->draining && !f->stats.connections && !f->holds)
		rf_loop_defer(f->loop, &f->drain_task);
}

static void end_now(struct rf_client *c)
{
	struct rf_front *f = c->front;
	const struct rf_service *s = c->listener->service;
	c->running = c->dead = true; /* what the service still does ends nothing twice */
	report_client(c);
	if (s->release)
		s->release(c);
	hello_leave(c);
	who_leave(c);
	rf_tally_put(&f->by_address, c->tally_conn);
	rf_timer_stop(f->loop, &c->timer);
	rf_list_del(&c->turn);
	rf_list_del(&c->all);
	rf_inbuf_drop(&c->in, f->bufs);
	rf_stream_close(&c->stream);
	f->stats.connections--;
	free(c->logged);
	free(c);
	drain_look(f);
}

void rf_client_end(struct rf_client *c, const char *why)
{
	if (!c->end)
		c->end = why;
	if (c->running)
		c->dead = true;
	else
		end_now(c);
}

void rf_client_refuse(struct rf_client *c, enum rf_reason reason, const char *words)
{
	c->refused = true;
	c->end_reason = reason;
	rf_client_end(c, words ? words : rf_reason_words(reason));
}

bool rf_client_ran(struct rf_client *c)
{
	c->running = false;
	if (!c->dead)
		return true;
	end_now(c);
	return false;
}

bool rf_client_barred(const struct rf_client *c)
{
	const struct rf_front *f = c->front;
	return !c->unbarred && f->barred && c->src.family && f->barred(f->arg, &c->src);
}

/* --- accept --- */

static int refuse_descriptor(struct rf_front *f, int fd, enum rf_counter why, int code)
{
	struct rf_io io = { .fd = fd };
	rf_count(why);
	rf_loop_close(f->loop, &io);
	return code;
}

/* Where the client came to. */
static void arrived_at(struct rf_client *c, const struct rf_front_listener *l, int fd)
{
	struct rf_addr at = { .len = 0 };
	if (l->any)
		at = rf_listener_addr(fd);
	c->dst = at.len ? rf_addr_ip(&at) : l->ip;
	c->dst_port = at.len ? rf_addr_port(&at) : l->port;
}

int rf_front_accept(struct rf_front *f, const struct rf_front_listener *l, int fd, const struct rf_addr *peer)
{
	if (f->draining)
		return refuse_descriptor(f, fd, RF_C_REFUSED_DRAINING, RF_E_FULL);
	if (f->stats.connections >= f->conf.connections)
		return refuse_descriptor(f, fd, RF_C_LIMIT_CONNECTIONS, RF_E_FULL);
	struct rf_client *c = calloc(1, l->service->size);
	if (!c)
		return refuse_descriptor(f, fd, RF_C_REFUSED_MEMORY, RF_E_NOMEM);
	int r = rf_stream_accept(&c->stream, f->loop, fd, NULL);
	if (r) {
		rf_count(RF_C_REFUSED_MEMORY);
		free(c);
		return r;
	}
	c->front = f;
	c->listener = l;
	c->src = rf_addr_ip(peer);
	c->src_port = rf_addr_port(peer);
	arrived_at(c, l, fd);
	c->tls = l->tls;
	c->proxy = l->proxy;
	c->min_version = (uint16_t)l->min_version;
	c->class_slot = UINT16_MAX;
	c->id = rf_front_id(f);
	c->began = rf_client_now(c);
	rf_list_push(&f->clients, &c->all);
	f->stats.connections++;
	f->stats.accepted++;
	rf_count(RF_C_CONN_ACCEPTED);
	hello_begin(c);
	return RF_OK;
}

/* --- what reaches all of them --- */

static size_t sever(struct rf_front *f, struct rf_client *c, enum rf_reason reason, const char *words)
{
	f->stats.severed++;
	rf_count(RF_C_CONN_SEVERED);
	rf_client_refuse(c, reason, words);
	return 1;
}

size_t rf_front_sever(struct rf_front *f, struct rf_str device_id)
{
	size_t n = 0;
	for (struct rf_client *c; (c = live_find(f, device_id)) != NULL;)
		n += sever(f, c, RF_REASON_DEVICE_REVOKED, "the device was revoked");
	return n;
}

/* NULL, or why a connection that was good may not go on. */
static const char *gone_bad(struct rf_client *c, enum rf_reason *ret)
{
	*ret = RF_REASON_BARRED;
	if (rf_client_barred(c) || who_shut_out(c))
		return rf_reason_words(RF_REASON_BARRED);
	*ret = RF_REASON_CERT_REVOKED;
	const struct rf_tls_info *info = rf_client_tls(c);
	if (!info || !info->peer)
		return NULL;
	bool was = info->verified && !info->revoked;
	rf_tls_recheck(&c->stream);
	if (was && info->revoked)
		return "the certificate was revoked";
	if (was && !info->verified)
		return "the certificate is no longer trusted";
	if (c->device && !rf_identity_holds(&c->front->identity, c->front->snap(), info->peer, c->device))
		return "the certificate is no longer that of the device";
	return NULL;
}

size_t rf_front_recheck(struct rf_front *f)
{
	size_t n = 0;
	RF_LIST_EACH(node, &f->clients) {
		struct rf_client *c = RF_CONTAINER(node, struct rf_client, all);
		enum rf_reason reason;
		const char *why = gone_bad(c, &reason);
		if (why)
			n += sever(f, c, reason, why);
	}
	return n;
}

static void end_all(struct rf_front *f, const char *why)
{
	while (!rf_list_empty(&f->clients))
		rf_client_end(RF_CONTAINER(rf_list_first(&f->clients), struct rf_client, all), why);
}

static void drain_all(struct rf_front *f, bool late)
{
	RF_LIST_EACH(n, &f->clients) {
		struct rf_client *c = RF_CONTAINER(n, struct rf_client, all);
		if (c->welcomed)
			c->listener->service->drain(c, late);
		else if (late)
			rf_client_end(c, "the edge is shutting down");
	}
	drain_look(f);
}

static void drain_grace_over(struct rf_timer *t)
{
	drain_all(RF_CONTAINER(t, struct rf_front, grace_timer), true);
}

static void drain_late(struct rf_timer *t)
{
	end_all(RF_CONTAINER(t, struct rf_front, drain_timer), "the edge is shutting down");
}

static void drain_over(struct rf_task *t)
{
	struct rf_front *f = RF_CONTAINER(t, struct rf_front, drain_task);
	void (*done)(void *) = f->drained;
	f->drained = NULL;
	rf_timer_stop(f->loop, &f->drain_timer);
	rf_timer_stop(f->loop, &f->grace_timer);
	if (done)
		done(f->drained_arg);
}

void rf_front_drain(struct rf_front *f, uint64_t bound_ns, void (*done)(void *arg), void *arg)
{
	f->draining = true;
	f->drained = done;
	f->drained_arg = arg;
	rf_timer_set(f->loop, &f->drain_timer, rf_loop_now(f->loop) + bound_ns);
	rf_timer_set(f->loop, &f->grace_timer, rf_loop_now(f->loop) + DRAIN_GRACE_NS);
	drain_all(f, false);
}

void rf_front_hold(struct rf_front *f)
{
	f->holds++;
}

void rf_front_let_go(struct rf_front *f)
{
	f->holds--;
	drain_look(f);
}

/* --- what TLS asks --- */

bool rf_front_tls_host(void *arg, struct rf_stream *s, struct rf_str sni, struct rf_tls_host *ret)
{
	struct rf_client *c = RF_CONTAINER(s, struct rf_client, stream);
	(void)arg;
	return c->listener->service->host(c, sni, ret);
}

bool rf_front_wants_hello(const struct rf_policy *p)
{
	static const enum rf_field prints[] = { RF_F_JA3, RF_F_TLS_CIPHERS_SHA1, RF_F_TLS_EXT_SHA1, RF_F_TLS_EXT_SHA1_LE };
	for (size_t i = 0; i < RF_PHASE_COUNT; i++)
		for (size_t k = 0; p->phase[i] && k < sizeof prints / sizeof *prints; k++)
			if (rf_phase_set_uses(p->phase[i], prints[k]))
				return true;
	return false;
}

/* --- life --- */

void rf_front_conf(struct rf_front *f, const struct rf_front_conf *conf)
{
	f->conf = *conf;
	if (!f->conf.handshakes_per_turn)
		f->conf.handshakes_per_turn = 1;
}

struct rf_front *rf_front_new(const struct rf_front_spec *s)
{
	struct rf_front *f = calloc(1, sizeof *f);
	if (!f)
		return NULL;
	*f = (struct rf_front){ .loop = s->loop, .tls = s->tls, .bufs = s->bufs, .identity = s->identity, .snap = s->snap,
		.emit = s->emit, .barred = s->barred, .arg = s->arg, .feed = s->feed, .homes = s->homes, .next_id = s->seed, .turn_task.run = hello_turn,
		.drain_task.run = drain_over, .drain_timer.fire = drain_late,
		.grace_timer.fire = drain_grace_over };
	rf_front_conf(f, s->conf ? s->conf : &rf_front_conf_default);
	struct rf_node *lists[] = { &f->clients, &f->handshaking, &f->hellos, &f->turns, &f->live_one };
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		rf_list_init(lists[i]);
	f->live = &f->live_one;
	return f;
}

void rf_front_free(struct rf_front *f)
{
	if (!f)
		return;
	f->drained = NULL;
	end_all(f, "the edge has stopped");
	rf_timer_stop(f->loop, &f->drain_timer);
	rf_timer_stop(f->loop, &f->grace_timer);
	rf_task_cancel(&f->turn_task);
	rf_task_cancel(&f->drain_task);
	rf_tally_fini(&f->by_address);
	rf_tally_fini(&f->hs_by_address);
	rf_rate_table_fini(&f->throttled);
	if (f->live != &f->live_one)
		free(f->live);
	free(f);
}
