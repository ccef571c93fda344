/* ctl/captures: see captures.h.
 *
 *   ring of the kernel (shield/frames), looked at by the clock -> record, where the kernel says so
 *                                                              -> the capture that runs, until it has enough or its time is over
 *
 * Where nft is in the filter's place, it shows frames to a group of the kernel's log (shield/nflog), and what is wanted is part of its policy.
 * What is wanted is else written into the filter's configuration; the kernel shows no other frame, and drops what finds no room in its
 * ring. Nothing here waits for it.
 */
#include "ctl/captures.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/enc.h"
#include "bpf/filter.h"
#include "ctl/attacks.h"
#include "ctl/doc.h"
#include "ctl/private.h"
#include "ctl/wall.h"
#include "policy/rule.h"
#include "records/log.h"
#include "records/record.h"
#include "shield/frames.h"
#include "shield/nflog.h"
#include "shield/numbers.h"
#include "shield/shield.h"
#include "wire/packet.h"
#include "wire/pcapng.h"

enum { CAPTURES = 4, TURN_FRAMES = 400, CAPTURE_BYTES = 16 << 20, PACKETS_USUAL = 100, SECONDS_USUAL = 60 };
#define LOOK_NS (100 * RF_NS_MS)

struct kept {
	int64_t at;
	uint32_t size, n;
	uint8_t why;
	char rule[RF_RULE_ID];
	uint8_t *bytes;
};

struct capture {
	char id[RF_ID_LEN + 1], rule[RF_RULE_ID]; /* rule "": by reason */
	unsigned why;
	size_t limit, n, bytes;
	int64_t seconds, began;
	uint64_t since, until;
	bool running;
	struct kept *v;
};

struct rf_captures {
	struct rf_ctl *c;
	struct rf_ring *ring;
	struct rf_timer timer;
	struct capture v[CAPTURES]; /* the newest first */
	size_t n;
	int64_t to_wall;            /* what CLOCK_MONOTONIC lacks */
};

static const struct { const char *word, *doc; } reasons[] = {
#define RF_DROP(name, word, doc) { word, doc },
#include "tbl/drops.def"
#undef RF_DROP
};

static void capture_fini(struct capture *k)
{
	for (size_t i = 0; i < k->n; i++)
		free(k->v[i].bytes);
	free(k->v);
	*k = (struct capture){ 0 };
}

/* --- records --- */

static struct rf_str rule_of(const struct rf_captures *t, const struct rf_shown *s)
{
	const struct rf_numbers *n = rf_shield_numbers(t->c->shield);
	return n && s->rule && s->rule <= RF_PACKET_RULES ? rf_numbers_rule(n, s->rule - 1u) : RF_STR("");
}

static const struct rf_rule *find_rule(struct rf_str name)
{
	const struct rf_phase_set *set = rf_snap_now()->policy.phase[RF_PHASE_PACKET];
	for (size_t i = 0; name.n && set && i < set->count; i++)
		for (size_t b = 0; b < set->sets[i]->nblocks; b++)
			for (unsigned k = 0; k < set->sets[i]->blocks[b]->count; k++) {
				const struct rf_rule *r = rf_block_rule(set->sets[i]->blocks[b], k);
				if (rf_str_eq(r->id, name) || rf_str_eq(r->ref, name))
					return r;
			}
	return NULL;
}

/* The packet in a frame, behind its VLAN tags. */
static bool packet_of(const struct rf_shown *s, struct rf_packet *ret)
{
	size_t at = 12;
	while (at + 6 <= s->n && s->bytes[at] == 0x81 && s->bytes[at + 1] == 0 && at < 20)
		at += 4;
	at += 2;
	return at < s->n && rf_packet_parse((struct rf_str){ (const char *)s->bytes + at, s->n - at }, ret) == RF_OK;
}

static void record(struct rf_captures *t, const struct rf_shown *s)
{
	bool dropped = s->why > RF_DROP_COOKIE;
	struct rf_packet p;
	struct rf_record r = { .kind = RF_REC_PACKET, .at = (int64_t)s->at_ns + t->to_wall, .action = dropped ? RF_STR("block") : RF_STR("log"),
			       .layer = RF_STR("packet"), .reason = dropped ? rf_str_z(reasons[s->why].doc) : RF_STR(""),
			       .rule_id = rule_of(t, s), .bytes_in = s->size };
	const struct rf_rule *rule = find_rule(r.rule_id);
	if (rule)
		r.rule_name = rule->description;
	if (packet_of(s, &p)) {
		r.src = p.src;
		r.dst = p.dst;
		r.src_port = p.src_port;
		r.dst_port = p.dst_port;
		r.protocol = rf_str_z(rf_packet_proto_name(p.proto));
		rf_attacks_frame(t->c->priv->attacks, s->why, &p.src);
	}
	rf_record_emit(t->ring, &r);
}

/* --- the capture that runs --- */

static void end(struct rf_captures *t, struct capture *k)
{
	struct rf_err e;
	bool was = k->running;
	k->running = false;
	if (was && t->c->shield && rf_wall_capture(t->c, 0, 0, &e) != RF_OK)
		rf_log(RF_LOG_ERROR, "captures", "frames of a capture that is over are still shown: %s", e.text);
}

static void keep(struct rf_captures *t, struct capture *k, const struct rf_shown *s)
{
	struct rf_str rule = rule_of(t, s);
	if (!k->running || s->at_ns < k->since) /* for one before */
		return;
	uint8_t *bytes = malloc(s->n + 1u);
	if (!bytes || k->n == k->limit || k->bytes + s->n > CAPTURE_BYTES) {
		free(bytes);
		end(t, k);
		return;
	}
	memcpy(bytes, s->bytes, s->n);
	struct kept *f = &k->v[k->n++];
	*f = (struct kept){ (int64_t)s->at_ns + t->to_wall, s->size, s->n, s->why, "", bytes };
	snprintf(f->rule, sizeof f->rule, "%.*s", RF_ARG(rule));
	k->bytes += s->n;
	if (k->n == k->limit)
		end(t, k);
}

static void each(void *ctx, const void *entry)
{
	const struct rf_shown *s = entry;
	struct rf_captures *t = ctx;
	if (s->why >= RF_DROP_COUNT || s->n > RF_SAMPLE_BYTES)
		return;
	if (s->kind & RF_SAMPLE_RECORD && t->ring)
		record(t, s);
	if (s->kind & RF_SAMPLE_CAPTURE && t->n)
		keep(t, &t->v[0], s);
}

static bool nft_shows(const struct rf_captures *t) { return t->c->priv && t->c->priv->nft && t->c->priv->nft_log >= 0; }

static void look(struct rf_captures *t)
{
	struct rf_frames *f = t->c->shield ? rf_shield_frames(t->c->shield) : NULL;
	uint64_t now = t->c->clock.mono(t->c->clock.ctx);
	t->to_wall = t->c->clock.wall(t->c->clock.ctx) - (int64_t)now;
	bool missed = false;
	if (f)
		rf_frames_take(f, TURN_FRAMES, each, t);
	else if (nft_shows(t))
		rf_nflog_take(t->c->priv->nft_log, TURN_FRAMES, now, each, t, &missed);
	if (missed)
		rf_shield_missed(t->c->shield);
	if (t->n && t->v[0].running && now >= t->v[0].until)
		end(t, &t->v[0]);
	rf_timer_set(t->c->loop, &t->timer, now + LOOK_NS);
}

static void on_time(struct rf_timer *timer)
{
	look(RF_CONTAINER(timer, struct rf_captures, timer));
}

struct rf_captures *rf_captures_new(struct rf_ctl *c, struct rf_ring *ring)
{
	struct rf_captures *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	*t = (struct rf_captures){ .c = c, .ring = ring, .timer.fire = on_time };
	if (c->shield && rf_shield_frames(c->shield))
		rf_shield_capture(c->shield, 0, 0);
	if (c->shield && (rf_shield_frames(c->shield) || nft_shows(t)))
		look(t);
	return t;
}

void rf_captures_free(struct rf_captures *t)
{
	if (!t)
		return;
	rf_timer_stop(t->c->loop, &t->timer);
	for (size_t i = 0; i < t->n; i++) {
		end(t, &t->v[i]);
		capture_fini(&t->v[i]);
	}
	free(t);
}

/* --- what is asked for --- */

static int choose(struct rf_captures *t, const json_t *body, struct capture *k, unsigned *ret_number, struct rf_err *e)
{
	struct rf_str rule = doc_str(body, "rule"), why = doc_str(body, "reason");
	if (!rule.n == !why.n)
		return rf_fail_ptr(e, RF_E_INVALID, rule.n ? "/reason" : "/rule", "say a rule or a reason, one of them");
	const struct rf_rule *r = find_rule(rule);
	if (rule.n && (!r || rf_numbers_find(rf_shield_numbers(t->c->shield), r->id, ret_number) != RF_OK))
		return rf_fail_ptr(e, RF_E_NOT_FOUND, "/rule", "there is no rule %.*s of the phase packet in force", rule.n < 80 ? (int)rule.n : 80, rule.p);
	if (rule.n) {
		snprintf(k->rule, sizeof k->rule, "%.*s", RF_ARG(r->id));
		return RF_OK;
	}
	while (k->why < RF_DROP_COUNT && !rf_str_eq(why, rf_str_z(reasons[k->why].word)))
		k->why++;
	return k->why < RF_DROP_COUNT ? RF_OK : rf_fail_ptr(e, RF_E_UNKNOWN, "/reason", "`%.*s` is no reason; `ringfence shield status` shows them",
		why.n < 80 ? (int)why.n : 80, why.p);
}

static json_t *shown(const struct capture *k)
{
	char at[RF_RFC3339_SIZE];
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:s}", "id", k->id, "type", "simple", "system", "magic-transit", "status",
		k->running ? "running" : "success", "rule", k->rule, "reason", k->rule[0] ? "" : reasons[k->why].word, "packet_limit",
		(json_int_t)k->limit, "time_limit", (json_int_t)k->seconds, "packets", (json_int_t)k->n, "submitted",
		rf_rfc3339(k->began, 0, at));
}

static int give(json_t *j, json_t **ret, struct rf_err *e)
{
	*ret = j;
	return j ? RF_OK : rf_fail(e, RF_E_NOMEM, "memory is exhausted");
}

int rf_captures_start(struct rf_captures *t, const json_t *body, json_t **ret, struct rf_err *e)
{
	struct capture k = { .limit = (size_t)doc_int(body, "packet_limit", PACKETS_USUAL), .seconds = doc_int(body, "time_limit", SECONDS_USUAL) };
	unsigned number = 0;
	if (!t->c->shield || !(rf_shield_frames(t->c->shield) || nft_shows(t)))
		return rf_fail(e, RF_E_UNSUPPORTED, "there is no kernel filter here that could capture (shield.interfaces)");
	if (t->n && t->v[0].running)
		return rf_fail(e, RF_E_CONFLICT, "the capture %s is running; stop it, or wait until it is over", t->v[0].id);
	int rc = choose(t, body, &k, &number, e);
	if (rc == RF_OK)
		rc = rf_store_draw_id(t->c->store, k.id, e);
	if (rc == RF_OK && !(k.v = calloc(k.limit, sizeof *k.v)))
		rc = rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	if (rc != RF_OK)
		return rc;
	if (t->n == CAPTURES)
		capture_fini(&t->v[--t->n]);
	memmove(t->v + 1, t->v, t->n++ * sizeof *t->v);
	k.began = t->c->clock.wall(t->c->clock.ctx);
	k.since = t->c->clock.mono(t->c->clock.ctx);
	k.until = k.since + (uint64_t)k.seconds * RF_NS_S;
	k.running = true;
	t->v[0] = k;
	rc = rf_wall_capture(t->c, k.rule[0] ? number + 1 : 0, k.rule[0] ? 0 : 1ull << k.why, e);
	if (rc != RF_OK) {
		end(t, &t->v[0]);
		return rc;
	}
	return give(shown(&t->v[0]), ret, e);
}

static struct capture *find(struct rf_captures *t, const char *id, struct rf_err *e)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->v[i].id, id) == 0)
			return &t->v[i];
	rf_fail(e, RF_E_NOT_FOUND, "there is no capture %s (any more)", id);
	return NULL;
}

json_t *rf_captures_list(struct rf_captures *t)
{
	json_t *array = json_array();
	for (size_t i = 0; i < t->n; i++)
		json_array_append_new(array, shown(&t->v[i]));
	return array;
}

int rf_captures_get(struct rf_captures *t, const char *id, json_t **ret, struct rf_err *e)
{
	look(t);
	struct capture *k = find(t, id, e);
	return k ? give(shown(k), ret, e) : RF_E_NOT_FOUND;
}

int rf_captures_stop(struct rf_captures *t, const char *id, json_t **ret, struct rf_err *e)
{
	struct capture *k = find(t, id, e);
	if (k)
		end(t, k);
	return k ? give(shown(k), ret, e) : RF_E_NOT_FOUND;
}

static json_t *frame(const struct kept *f)
{
	RF_BUF_AUTO data = { 0 };
	rf_b64_add(&data, (struct rf_str){ (const char *)f->bytes, f->n });
	return json_pack("{s:I, s:I, s:s%, s:s, s:s}", "at_ns", (json_int_t)f->at, "size", (json_int_t)f->size, "data", rf_buf_z(&data), data.n,
		"rule", f->rule, "reason", reasons[f->why].word);
}

int rf_captures_frames(struct rf_captures *t, const char *id, size_t from, json_t **ret, struct rf_err *e)
{
	struct capture *k = find(t, id, e);
	json_t *array = k ? json_array() : NULL;
	for (size_t i = from; k && i < k->n && i - from < RF_CAPTURE_PAGE; i++)
		json_array_append_new(array, frame(&k->v[i]));
	return k ? give(array, ret, e) : RF_E_NOT_FOUND;
}

int rf_captures_file(struct rf_captures *t, const char *id, struct rf_buf *to, struct rf_err *e)
{
	struct capture *k = find(t, id, e);
	if (!k)
		return RF_E_NOT_FOUND;
	rf_pcapng_begin(to, RF_SAMPLE_BYTES);
	for (size_t i = 0; i < k->n; i++) {
		const struct kept *f = &k->v[i];
		char why[RF_RULE_ID + 40];
		snprintf(why, sizeof why, "%s %s", reasons[f->why].word, f->rule);
		rf_pcapng_frame(to, f->at, f->size, (struct rf_str){ (const char *)f->bytes, f->n }, rf_str_z(why));
	}
	return to->bad ? rf_fail(e, RF_E_NOMEM, "memory is exhausted") : RF_OK;
}
