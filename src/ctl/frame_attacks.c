/* ctl/frame_attacks: see frame_attacks.h. */
#include "ctl/frame_attacks.h"
#include <stdio.h>
#include <stdlib.h>
#include "bpf/filter.h"
#include "ctl/attacks.h"
#include "ctl/doc.h"
#include "ctl/private.h"
#include "records/log.h"
#include "records/record.h"
#include "shield/shield.h"

enum { FLOOR = 1000, QUIET = 10 };

static const struct vector {
	const char *name;
	enum rf_drop counter;
} vectors[] = {
	{ "syn_flood", RF_DROP_COOKIE },           { "ack_flood", RF_DROP_COOKIE_BAD },
	{ "reflection", RF_DROP_REFLECTION },      { "source_rate_flood", RF_DROP_RATE_SOURCE },
	{ "prefix_rate_flood", RF_DROP_RATE_PREFIX }, { "target_rate_flood", RF_DROP_RATE_TARGET },
};
enum { VECTORS = sizeof vectors / sizeof *vectors };

static const char *const counters[] = {
#define RF_DROP(name, word, doc) word,
#include "tbl/drops.def"
#undef RF_DROP
};

struct attack {
	char id[RF_ID_LEN + 1];
	bool on;
	unsigned quiet;            /* seconds below the floor */
	int64_t began_ns, ended_ns;
	uint64_t rate, peak, bandwidth, peak_bandwidth, frames, bytes;
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
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:{s:s, s:I, s:i, s:i}, s:I, s:I, s:f, s:f, s:I, s:I, s:i, s:I}", "vector", v->name,
		"status", at->on ? "active" : "ended", "host", "", "started_at", time_of(at->began_ns), "ended_at", time_of(at->ended_ns),
		"counter", "name", counters[v->counter], "value", (json_int_t)at->peak, "threshold", FLOOR, "usual", 0,
		"packets_per_second", (json_int_t)at->rate, "peak_packets_per_second", (json_int_t)at->peak,
		"megabits_per_second", (double)at->bandwidth * 8 / 1e6, "peak_megabits_per_second", (double)at->peak_bandwidth * 8 / 1e6,
		"packets", (json_int_t)at->frames, "stopped", (json_int_t)at->frames, "passed", 0, "bytes_in", (json_int_t)at->bytes);
}

static int store(struct rf_frame_attacks *a, const struct vector *v, struct attack *at, struct rf_err *e)
{
	RF_OBJECT_AUTO o = { .doc = doc_of(v, at) };
	memcpy(o.id, at->id, sizeof o.id);
	memcpy(o.parent, a->c->account_id, sizeof o.parent);
	snprintf(o.name, sizeof o.name, "%s", v->name);
	if (!o.doc)
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	int rc = rf_ctl_begin(a->c, "shield", e);
	if (rc == RF_OK)
		rc = rf_store_put(a->c->store, RF_KIND_ATTACK, &o, 0, e);
	if (rc == RF_OK && !at->id[0])
		rc = rf_attacks_bound(a->c, e);
	if (rc == RF_OK)
		rc = rf_ctl_commit(a->c, false, e);
	if (rc == RF_OK)
		memcpy(at->id, o.id, sizeof at->id);
	else
		rf_ctl_abort(a->c);
	return rc;
}

static void tell(struct rf_frame_attacks *a, const struct vector *v, struct attack *at, const char *what)
{
	struct rf_err e;
	struct rf_record r = { .kind = RF_REC_ATTACK, .at = wall(a), .action = RF_STR("block"), .layer = RF_STR("l4"),
		.attack_event = rf_str_z(what), .attack_vector = rf_str_z(v->name), .attack_rate = (uint32_t)at->rate,
		.attack_peak = (uint32_t)at->peak, .requests = at->frames, .reason = rf_str_z(counters[v->counter]) };
	if (store(a, v, at, &e) != RF_OK)
		rf_log(RF_LOG_ERROR, "floods", "the attack %s cannot be stored: %s", v->name, e.text);
	r.attack_id = rf_str_z(at->id);
	rf_log(RF_LOG_WARN, "floods", "attack %s: %s: %s: %llu frames a second, %llu at its peak", at->id, v->name, what,
		(unsigned long long)at->rate, (unsigned long long)at->peak);
	if (a->ring)
		rf_record_emit(a->ring, &r);
}

static void look(struct rf_frame_attacks *a, const struct vector *v, struct attack *at, uint64_t frames, uint64_t bytes)
{
	if (!at->on && frames < FLOOR)
		return;
	if (!at->on)
		*at = (struct attack){ .on = true, .began_ns = wall(a), .rate = frames, .peak = frames, .bandwidth = bytes, .peak_bandwidth = bytes };
	bool begins = !at->id[0];
	at->rate = frames;
	at->bandwidth = bytes;
	at->frames += frames;
	at->bytes += bytes;
	at->peak = frames > at->peak ? frames : at->peak;
	at->peak_bandwidth = bytes > at->peak_bandwidth ? bytes : at->peak_bandwidth;
	at->quiet = frames < FLOOR ? at->quiet + 1 : 0;
	if (begins)
		tell(a, v, at, "start");
	if (at->quiet < QUIET)
		return;
	at->on = false;
	at->ended_ns = wall(a);
	tell(a, v, at, "end");
}

static void on_time(struct rf_timer *t)
{
	struct rf_frame_attacks *a = RF_CONTAINER(t, struct rf_frame_attacks, timer);
	struct rf_filter_counts now;
	rf_shield_counts(a->c->shield, &now);
	for (int i = 0; i < VECTORS; i++) {
		enum rf_drop c = vectors[i].counter;
		look(a, &vectors[i], &a->attacks[i], now.frames[c] - a->seen.frames[c], now.bytes[c] - a->seen.bytes[c]);
	}
	a->seen = now;
	rf_timer_set(a->c->loop, t, rf_loop_now(a->c->loop) + RF_NS_S);
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
