/* ctl/frame_attacks: see frame_attacks.h. */
#include "ctl/frame_attacks.h"
#include <stdio.h>
#include <stdlib.h>
#include "ctl/alerts.h"
#include "ctl/attacks.h"
#include "ctl/doc.h"
#include "ctl/frame_attack.h"
#include "ctl/private.h"
#include "ctl/wall.h"
#include "policy/geo.h"
#include "records/log.h"
#include "records/record.h"
#include "shield/frames.h"
#include "shield/regulars.h"
#include "shield/shield.h"

enum { TURN = 8192 /* glimpses of one look */, LOOKS = 10 /* a second */, PLACES_MEMORY = 1 << 12 };
#define LOOK_NS (RF_NS_S / LOOKS)

/* Where frames cannot be looked at: the counters that tell a flood. */
static const struct { enum rf_vector vector; enum rf_drop counter; } counted[] = {
	{ RF_VECTOR_REFLECTION, RF_DROP_REFLECTION }, { RF_VECTOR_SOURCE, RF_DROP_RATE_SOURCE },
	{ RF_VECTOR_PREFIX, RF_DROP_RATE_PREFIX }, { RF_VECTOR_TARGET, RF_DROP_RATE_TARGET }, { RF_VECTOR_SYN, RF_DROP_COOKIE } };

struct rf_frame_attacks {
	struct rf_ctl *c;
	struct rf_ring *ring;
	struct rf_timer timer;
	struct rf_arena arena;
	struct rf_filter_counts seen; /* without glimpses */
	struct rf_regulars regulars;
	unsigned look;
	uint64_t number;              /* of the last stop */
	struct rf_frame_attack attacks[RF_VECTORS];
};

static int64_t wall(const struct rf_frame_attacks *a) { return a->c->clock.wall(a->c->clock.ctx); }

static bool off(const struct rf_frame_attacks *a)
{
	return a->c->boot->floods_mode == RF_FLOODS_OFF || a->c->boot->floods_sense == RF_FLOOD_OFF;
}

/* --- what is told --- */

static void alert(struct rf_frame_attacks *a, const struct rf_frame_attack *at)
{
	const struct rf_frame_flood *f = &at->flood;
	const struct rf_frame_end *target = rf_frame_attack_target(at);
	RF_BUF_AUTO text = { 0 };
	char ip[RF_IP_TEXT] = "";
	rf_buf_printf(&text, "%s%s%s %s: up to %llu frames a second, usually %llu", rf_vector_info(at->vector)->word, target ? " on " : "",
		      target ? rf_ip_str(&target->ip, ip) : "", f->on ? "has begun" : "has ended", (unsigned long long)f->peak, (unsigned long long)f->usual);
	json_t *j = rf_attack_envelope(a->c, at->id, "advanced_ddos_attack_l4_alert", !f->on, rf_buf_str(&text), rf_frame_attack_alert(at));
	rf_alerts_post(a->c->priv->alerts, j);
	json_decref(j);
}

static void store(struct rf_frame_attacks *a, struct rf_frame_attack *at)
{
	struct rf_err e;
	const char *word = rf_vector_info(at->vector)->word;
	if (rf_attacks_store(a->c, at->id, word, rf_frame_attack_doc(at), &e) != RF_OK)
		rf_log(RF_LOG_ERROR, "floods", "the attack %s cannot be stored: %s", word, e.text);
}

static void record(struct rf_frame_attacks *a, const struct rf_frame_attack *at, const char *what)
{
	bool least;
	const struct rf_frame_flood *f = &at->flood;
	const struct rf_frame_end *target = rf_frame_attack_target(at);
	struct rf_record r = { .kind = RF_REC_ATTACK, .at = wall(a), .action = f->stopped ? RF_STR("block") : RF_STR("log"), .layer = RF_STR("l4"),
		.attack_id = rf_str_z(at->id), .attack_event = rf_str_z(what), .attack_vector = rf_str_z(rf_vector_info(at->vector)->word),
		.attack_rate = f->on ? f->rate : 0, .attack_peak = f->peak, .attack_bits = f->peak_bandwidth * 8, .requests = f->stopped + f->passed,
		.attack_stopped = f->stopped, .attack_passed = f->passed, .attack_addresses = rf_frame_addresses(&at->tally.all, &least),
		.bytes_in = f->bytes, .reason = rf_str_z(rf_frame_attack_reason(at)), .protocol = rf_str_z(rf_frame_attack_protocol(at)) };
	if (target) {
		r.dst = target->ip;
		r.dst_port = target->port;
	}
	rf_record_emit(a->ring, &r);
}

static void tell(struct rf_frame_attacks *a, struct rf_frame_attack *at, const char *what)
{
	at->to_wall = wall(a) - (int64_t)a->c->clock.mono(a->c->clock.ctx);
	store(a, at);
	rf_log(RF_LOG_WARN, "floods", "attack %s: %s: %s: %llu frames a second, %llu at its peak; %llu stopped, %llu passed", at->id,
		rf_vector_info(at->vector)->word, what, (unsigned long long)at->flood.rate, (unsigned long long)at->flood.peak,
		(unsigned long long)at->flood.stopped, (unsigned long long)at->flood.passed);
	if (a->ring)
		record(a, at, what);
}

/* --- stops --- */

static void put_stops(struct rf_frame_attacks *a)
{
	struct rf_stop all[RF_STOPS];
	unsigned n = 0;
	for (unsigned v = 0; v < RF_VECTORS; v++)
		for (unsigned i = 0; i < a->attacks[v].stops && n < RF_STOPS; i++)
			all[n++] = a->attacks[v].stop[i];
	rf_shield_stop(a->c->shield, all, n);
}

static unsigned room(const struct rf_frame_attacks *a)
{
	unsigned n = 0;
	for (unsigned v = 0; v < RF_VECTORS; v++)
		n += a->attacks[v].stops;
	return RF_STOPS - n;
}

static bool known(void *arg, const struct rf_ip *source)
{
	struct rf_frame_attacks *a = arg;
	uint32_t at[4] = { 0 };
	memcpy(at, source->b, sizeof at);
	return rf_regulars_has(&a->regulars, rf_shield_source(a->c->shield, at));
}

static bool same(const struct rf_stop *x, const struct rf_stop *y)
{
	struct rf_stop a = *x, b = *y;
	a.number = b.number = 0;
	a.rate = b.rate = (struct rf_rate_conf){ 0 };
	return memcmp(&a, &b, sizeof a) == 0;
}

static bool has(const struct rf_frame_attack *at, const struct rf_stop *s)
{
	for (unsigned i = 0; i < at->stops; i++)
		if (same(&at->stop[i], s))
			return true;
	return false;
}

/* What passes of it is still a flood: stop it, or say why not. */
static void stop(struct rf_frame_attacks *a, struct rf_frame_attack *at, uint64_t passed)
{
	struct rf_stop more[RF_STOPS];
	struct rf_frame_flow flow = { at->vector, at->flood.usual, at->flood.limit, &at->tally.through, known, a };
	unsigned before = at->stops, left = room(a), n = rf_frame_stops(&flow, more, left);
	at->inaction = NULL;
	if (passed < at->flood.limit)
		return;
	if (!at->acts) {
		at->inaction = "floods.mode does not say block";
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		if (has(at, &more[i]))
			continue;
		more[i].number = ++a->number;
		more[i].rate = rf_shield_rate(more[i].rate.cost_ns);
		at->stop[at->stops++] = more[i];
	}
	if (at->stops > before)
		put_stops(a);
	else if (!at->stops)
		at->inaction = left ? "neither its sources nor its target tell it from what is usual" : "there is no room for another stop";
}

static void unstop(struct rf_frame_attacks *a, struct rf_frame_attack *at)
{
	if (!at->stops)
		return;
	at->stops = 0;
	put_stops(a);
}

/* --- a second --- */

static void end(struct rf_frame_attacks *a, struct rf_frame_attack *at)
{
	at->ended_ns = wall(a);
	tell(a, at, "end");
	alert(a, at);
	unstop(a, at);
	at->addresses = 0;
	at->id[0] = '\0';
}

static void second(struct rf_frame_attacks *a, struct rf_frame_attack *at)
{
	static const unsigned factors[] = { [RF_FLOOD_HIGH] = 3, [RF_FLOOD_MEDIUM] = 5, [RF_FLOOD_LOW] = 10 };
	struct rf_frame_conf conf = { factors[a->c->boot->floods_sense], a->c->boot->floods_packets };
	struct rf_frame_second s;
	rf_frame_tally_second(&at->tally, &s.stopped, &s.passed, &s.bytes);
	enum rf_frame_event e = rf_frame_flood_tick(&at->flood, &conf, &s);
	if (e == RF_FRAME_START) {
		at->began_ns = wall(a);
		at->ended_ns = 0;
	}
	at->acts = a->c->boot->floods_mode == RF_FLOODS_BLOCK;
	if (at->flood.on && rf_shield_glimpses(a->c->shield))
		stop(a, at, s.passed);
	if (e == RF_FRAME_START || e == RF_FRAME_UPDATE)
		tell(a, at, e == RF_FRAME_START ? "start" : "update");
	if (e == RF_FRAME_START)
		alert(a, at);
	if (e == RF_FRAME_END)
		end(a, at);
	rf_frame_tally_next(&at->tally, at->flood.on);
}

static void count(struct rf_frame_attacks *a)
{
	struct rf_filter_counts now;
	rf_wall_count(a->c);
	rf_shield_counts(a->c->shield, &now);
	for (size_t i = 0; i < sizeof counted / sizeof *counted; i++) {
		enum rf_drop c = counted[i].counter;
		struct rf_frame_tally *t = &a->attacks[counted[i].vector].tally;
		t->stopped = now.frames[c] - a->seen.frames[c];
		t->bytes = now.bytes[c] - a->seen.bytes[c];
		t->reason[c] += t->stopped;
	}
	a->seen = now;
}

static void silence(struct rf_frame_attacks *a)
{
	for (unsigned v = 0; v < RF_VECTORS; v++) {
		struct rf_frame_attack *at = &a->attacks[v];
		if (at->flood.on) {
			at->flood.on = false;
			end(a, at);
		}
		rf_frame_tally_next(&at->tally, false);
	}
}

/* --- glimpses --- */

static void place(struct rf_frame_attacks *a, const struct rf_ip *ip, uint32_t *ret_asn, uint32_t *ret_country)
{
	const struct rf_geo *geo = rf_snap_now()->site->geo;
	struct rf_val v;
	if (!geo)
		return;
	if (rf_geo_fact(geo, ip, RF_F_IP_ASN, &a->arena, &v))
		*ret_asn = (uint32_t)v.i;
	if (rf_geo_fact(geo, ip, RF_F_IP_COUNTRY, &a->arena, &v))
		*ret_country = rf_geo_country(v.s);
	rf_arena_reset(&a->arena);
}

static bool in_flood(void *arg, unsigned kind) { return kind < RF_VECTORS && ((struct rf_frame_attacks *)arg)->attacks[kind].flood.on; }
static void know(void *arg, uint64_t key) { rf_shield_know(((struct rf_frame_attacks *)arg)->c->shield, key); }

static void learn(struct rf_frame_attacks *a)
{
	struct rf_regulars_ops ops = { in_flood, know, a };
	rf_regulars_second(&a->regulars, (uint32_t)(a->c->clock.mono(a->c->clock.ctx) / RF_NS_S), &ops);
}

static void each(void *arg, const void *entry)
{
	struct rf_frame_attacks *a = arg;
	const struct rf_glimpse *g = entry;
	enum rf_vector v = rf_vector_of(g);
	uint32_t asn = 0, country = 0;
	if (g->family && rf_vector_passed(g))
		rf_regulars_came(&a->regulars, rf_shield_source(a->c->shield, g->src), v);
	if (v == RF_VECTORS)
		return;
	if (g->family) {
		struct rf_ip src = rf_vector_ip(g->family, g->src);
		place(a, &src, &asn, &country);
	}
	rf_frame_tally_add(&a->attacks[v].tally, g, asn, country);
}

static void on_time(struct rf_timer *t)
{
	struct rf_frame_attacks *a = RF_CONTAINER(t, struct rf_frame_attacks, timer);
	struct rf_frames *glimpses = rf_shield_glimpses(a->c->shield);
	if (glimpses) {
		rf_frames_take(glimpses, TURN, each, a);
		rf_shield_looked(a->c->shield, !off(a));
	}
	if (++a->look % LOOKS == 0) {
		if (!glimpses)
			count(a);
		if (off(a))
			silence(a);
		for (unsigned v = 0; v < RF_VECTORS && !off(a); v++)
			second(a, &a->attacks[v]);
		learn(a);
	}
	rf_timer_set(a->c->loop, t, rf_loop_now(a->c->loop) + LOOK_NS);
}

/* --- asked --- */

void rf_frame_attacks_live(const struct rf_frame_attacks *a, const char *id, json_t *object)
{
	for (unsigned v = 0; a && v < RF_VECTORS; v++) {
		if (!a->attacks[v].flood.on || strcmp(a->attacks[v].id, id) != 0)
			continue;
		json_t *now = rf_frame_attack_doc(&a->attacks[v]);
		json_object_update(object, now);
		json_decref(now);
	}
}

bool rf_frame_attacks_has(const struct rf_frame_attacks *a, const char *id)
{
	bool is = false;
	for (unsigned v = 0; a && v < RF_VECTORS; v++)
		is |= a->attacks[v].flood.on && strcmp(a->attacks[v].id, id) == 0;
	return is;
}

unsigned rf_frame_attacks_active(const struct rf_frame_attacks *a)
{
	unsigned n = 0;
	for (unsigned v = 0; a && v < RF_VECTORS; v++)
		n += a->attacks[v].flood.on;
	return n;
}

/* --- begin and end --- */

/* One that was on: its stops still stand in the kernel. */
static int resume(const struct rf_object *o, void *arg)
{
	struct rf_frame_attacks *a = arg;
	enum rf_vector v = rf_vector_find(doc_str(o->doc, "vector"));
	if (v < RF_VECTORS && !a->attacks[v].flood.on)
		rf_frame_attack_resume(&a->attacks[v], o->id, o->doc);
	return 0;
}

static void adopt_stops(struct rf_frame_attacks *a)
{
	struct rf_stop had[RF_STOPS];
	unsigned n = rf_shield_stops(a->c->shield, had);
	for (unsigned i = 0; i < n; i++) {
		struct rf_frame_attack *at = had[i].vector < RF_VECTORS ? &a->attacks[had[i].vector] : NULL;
		a->number = had[i].number > a->number ? had[i].number : a->number;
		if (at && at->flood.on)
			at->stop[at->stops++] = had[i];
	}
	put_stops(a);
}

int rf_frame_attacks_new(struct rf_ctl *c, struct rf_ring *ring, struct rf_frame_attacks **ret, struct rf_err *e)
{
	struct rf_store_query open = { .match = { { "status", "active" } } };
	struct rf_frame_attacks *a = calloc(1, sizeof *a);
	if (!a)
		return rf_fail(e, RF_E_NOMEM, "no memory to look for floods");
	a->c = c;
	a->ring = ring;
	a->timer.fire = on_time;
	rf_arena_init(&a->arena, PLACES_MEMORY);
	for (unsigned v = 0; v < RF_VECTORS; v++)
		a->attacks[v].vector = (enum rf_vector)v;
	int rc = rf_store_list(c->store, RF_KIND_ATTACK, &open, resume, a, NULL, e);
	if (rc != RF_OK) {
		rf_arena_fini(&a->arena);
		free(a);
		return rc;
	}
	adopt_stops(a);
	rf_shield_counts(c->shield, &a->seen);
	rf_timer_set(c->loop, &a->timer, rf_loop_now(c->loop) + LOOK_NS);
	*ret = a;
	return RF_OK;
}

void rf_frame_attacks_free(struct rf_frame_attacks *a)
{
	if (!a)
		return;
	rf_timer_stop(a->c->loop, &a->timer);
	for (unsigned v = 0; v < RF_VECTORS; v++)
		if (a->attacks[v].flood.on)
			store(a, &a->attacks[v]);
	rf_arena_fini(&a->arena);
	free(a);
}
