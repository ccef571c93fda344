/* ctl/frame_attacks: see frame_attacks.h. */
#include "ctl/frame_attacks.h"
#include <stdio.h>
#include <stdlib.h>
#include "bpf/filter.h"
#include "ctl/alerts.h"
#include "ctl/attacks.h"
#include "ctl/doc.h"
#include "ctl/private.h"
#include "ctl/wall.h"
#include "records/log.h"
#include "records/record.h"
#include "shield/frame_flood.h"
#include "shield/shield.h"

static const struct vector {
	const char *name;
	enum rf_drop counter;
	const char *protocol; /* of all frames that it counts; NULL: of several */
} vectors[] = {
	{ "syn_flood", RF_DROP_COOKIE, "TCP" },
	{ "ack_flood", RF_DROP_COOKIE_BAD, "TCP" },
	{ "reflection", RF_DROP_REFLECTION, "UDP" },
	{ "source_rate_flood", RF_DROP_RATE_SOURCE, NULL },
	{ "prefix_rate_flood", RF_DROP_RATE_PREFIX, NULL },
	{ "target_rate_flood", RF_DROP_RATE_TARGET, NULL },
};
enum { VECTORS = sizeof vectors / sizeof *vectors };

static const struct { const char *word, *doc; } counters[] = {
#define RF_DROP(name, word, doc) { word, doc },
#include "tbl/drops.def"
#undef RF_DROP
};

struct attack {
	char id[RF_ID_LEN + 1];
	struct rf_frame_flood flood;
	int64_t began_ns, ended_ns;
};

struct rf_frame_attacks {
	struct rf_ctl *c;
	struct rf_ring *ring;
	struct rf_timer timer;
	struct rf_filter_counts seen;
	struct attack attacks[VECTORS];
};

static int64_t wall(const struct rf_frame_attacks *a) { return a->c->clock.wall(a->c->clock.ctx); }

static json_t *time_of(int64_t ns)
{
	char at[RF_RFC3339_SIZE];
	return ns ? json_string(rf_rfc3339(ns, 1, at)) : json_null();
}

static json_t *doc_of(const struct vector *v, const struct attack *at)
{
	const struct rf_frame_flood *f = &at->flood;
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:{s:s, s:I, s:I, s:I}, s:I, s:I, s:f, s:f, s:I, s:I, s:i, s:I}", "vector", v->name,
		"status", f->on ? "active" : "ended", "host", "", "started_at", time_of(at->began_ns), "ended_at", time_of(at->ended_ns), "counter",
		"name", counters[v->counter].word, "value", (json_int_t)f->peak, "threshold", (json_int_t)f->threshold, "usual", (json_int_t)f->usual,
		"packets_per_second", (json_int_t)f->rate, "peak_packets_per_second", (json_int_t)f->peak,
		"megabits_per_second", (double)f->bandwidth * 8 / 1e6, "peak_megabits_per_second", (double)f->peak_bandwidth * 8 / 1e6,
		"packets", (json_int_t)f->frames, "stopped", (json_int_t)f->frames, "passed", 0, "bytes_in", (json_int_t)f->bytes);
}

static void alert(struct rf_frame_attacks *a, const struct vector *v, const struct attack *at)
{
	const struct rf_frame_flood *f = &at->flood;
	RF_BUF_AUTO text = { 0 };
	char began[RF_RFC3339_SIZE], ended[RF_RFC3339_SIZE], rate[32];
	snprintf(rate, sizeof rate, "%llu pps", (unsigned long long)f->peak);
	rf_buf_printf(&text, "%s %s: up to %llu frames a second, usually %llu", v->name, f->on ? "has begun" : "has ended",
		      (unsigned long long)f->peak, (unsigned long long)f->usual);
	json_t *data = json_pack("{s:s, s:s, s:s, s:I, s:f, s:s, s:s, s:s, s:s, s:s}", "attack_id", at->id, "attack_vector", v->name, "max_rate", rate,
		"packets_per_second", (json_int_t)f->peak, "megabits_per_second", (double)f->peak_bandwidth * 8 / 1e6, "rule_id",
		counters[v->counter].word, "rule_description", counters[v->counter].doc, "mitigation", "block", "start_time",
		rf_rfc3339(at->began_ns, 0, began), "end_time", f->on ? "" : rf_rfc3339(at->ended_ns, 0, ended));
	if (v->protocol)
		json_object_set_new(data, "protocol", json_string(v->protocol));
	json_t *j = rf_attack_envelope(a->c, at->id, "advanced_ddos_attack_l4_alert", !f->on, rf_buf_str(&text), data);
	rf_alerts_post(a->c->priv->alerts, j);
	json_decref(j);
}

static void tell(struct rf_frame_attacks *a, const struct vector *v, struct attack *at, const char *what)
{
	struct rf_err e;
	const struct rf_frame_flood *f = &at->flood;
	struct rf_record r = { .kind = RF_REC_ATTACK, .at = wall(a), .action = RF_STR("block"), .layer = RF_STR("l4"),
		.attack_event = rf_str_z(what), .attack_vector = rf_str_z(v->name), .attack_rate = (uint32_t)f->rate,
		.attack_peak = (uint32_t)f->peak, .requests = f->frames, .reason = rf_str_z(counters[v->counter].word) };
	if (rf_attacks_store(a->c, at->id, v->name, doc_of(v, at), &e) != RF_OK)
		rf_log(RF_LOG_ERROR, "floods", "the attack %s cannot be stored: %s", v->name, e.text);
	r.attack_id = rf_str_z(at->id);
	rf_log(RF_LOG_WARN, "floods", "attack %s: %s: %s: %llu frames a second, %llu at its peak", at->id, v->name, what,
		(unsigned long long)f->rate, (unsigned long long)f->peak);
	if (a->ring)
		rf_record_emit(a->ring, &r);
	alert(a, v, at);
}

static void look(struct rf_frame_attacks *a, const struct vector *v, struct attack *at, uint64_t frames, uint64_t bytes)
{
	enum rf_frame_event e = rf_frame_flood_tick(&at->flood, frames, bytes);
	if (e == RF_FRAME_START) {
		at->id[0] = '\0';
		at->began_ns = wall(a);
		at->ended_ns = 0;
		tell(a, v, at, "start");
	} else if (e == RF_FRAME_END) {
		at->ended_ns = wall(a);
		tell(a, v, at, "end");
	}
}

static void on_time(struct rf_timer *t)
{
	struct rf_frame_attacks *a = RF_CONTAINER(t, struct rf_frame_attacks, timer);
	struct rf_filter_counts now;
	rf_wall_count(a->c);
	rf_shield_counts(a->c->shield, &now);
	for (int i = 0; i < VECTORS; i++) {
		enum rf_drop c = vectors[i].counter;
		look(a, &vectors[i], &a->attacks[i], now.frames[c] - a->seen.frames[c], now.bytes[c] - a->seen.bytes[c]);
	}
	a->seen = now;
	rf_timer_set(a->c->loop, t, rf_loop_now(a->c->loop) + RF_NS_S);
}

void rf_frame_attacks_live(const struct rf_frame_attacks *a, const char *id, json_t *object)
{
	for (int i = 0; a && i < VECTORS; i++) {
		if (!a->attacks[i].flood.on || strcmp(a->attacks[i].id, id) != 0)
			continue;
		json_t *now = doc_of(&vectors[i], &a->attacks[i]);
		json_object_update(object, now);
		json_decref(now);
	}
}

unsigned rf_frame_attacks_active(const struct rf_frame_attacks *a)
{
	unsigned n = 0;
	for (int i = 0; a && i < VECTORS; i++)
		n += a->attacks[i].flood.on;
	return n;
}

int rf_frame_attacks_new(struct rf_ctl *c, struct rf_ring *ring, struct rf_frame_attacks **ret, struct rf_err *e)
{
	struct rf_frame_attacks *a = calloc(1, sizeof *a);
	if (!a)
		return rf_fail(e, RF_E_NOMEM, "no memory to look for floods");
	*a = (struct rf_frame_attacks){ .c = c, .ring = ring, .timer = { .fire = on_time } };
	rf_shield_counts(c->shield, &a->seen);
	rf_timer_set(c->loop, &a->timer, rf_loop_now(c->loop) + RF_NS_S);
	*ret = a;
	return RF_OK;
}

void rf_frame_attacks_free(struct rf_frame_attacks *a)
{
	if (!a)
		return;
	rf_timer_stop(a->c->loop, &a->timer);
	free(a);
}
