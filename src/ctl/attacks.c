/* ctl/attacks: see attacks.h.
 *
 * A flood's owner is a row of `attacks`, its rule's owner a row of `rules`. Rows of rules have a counter each, which outlives
 * them: workers may still count into it for a moment after a rule has gone.
 *
 * Invariants: a rule is in force when it has a row, but for the time of one rebuild; what is stored of an attack may be older than what
 * is live, never newer.
 */
#include "ctl/attacks.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include "bpf/filter.h"
#include "ctl/alerts.h"
#include "ctl/doc.h"
#include "ctl/frame_attacks.h"
#include "ctl/private.h"
#include "records/counters.h"
#include "records/log.h"
#include "records/record.h"

enum { ROWS = RF_FLOODS * RF_FLOOD_RULES, MEMORY = 1 << 16 };

#define ITSELF "floods" /* the actor of what happens by itself */

static _Atomic uint64_t hits[ROWS];

struct source { /* a worker */
	struct rf_feed feed;
	struct rf_detect_counts seen[RF_FEED_HOSTS];
	uint64_t lost, hosts_lost;
};

struct rf_attacks {
	struct rf_ctl *c;
	struct rf_ring *ring;
	struct rf_detect *detect;
	struct source *sources;
	unsigned workers;
	struct rf_attack_rule rules[ROWS];
	struct rf_attack attacks[RF_FLOODS];
	struct rf_detect_stats stats;
	struct rf_arena arena;
	struct rf_timer timer;
	struct rf_attack_hellos *hellos;
	struct rf_attack_fleet *fleet;
	struct rf_attack_usual *usual;
	bool dropping;            /* an exception is being made: rules that go now are dropped */
	bool stale;               /* rules have come or gone since the last build */
};

static int64_t wall(const struct rf_attacks *a) { return a->c->clock.wall(a->c->clock.ctx); }

/* --- rules --- */

static uint64_t stopped_by(const struct rf_attacks *a, const struct rf_attack *at)
{
	uint64_t n = at->stopped;
	for (unsigned i = 0; at->flood && i < at->flood->rules; i++) {
		const struct rf_attack_rule *r = at->flood->rule[i].owner;
		if (at->flood->rule[i].live && r && r->blocks)
			n += atomic_load(&hits[r - a->rules]);
	}
	return n;
}

static json_t *told_of(const struct rf_attack *at, const char *rule_id)
{
	for (size_t i = json_array_size(at->rules); i-- > 0;)
		if (doc_is(json_array_get(at->rules, i), "id", rule_id))
			return json_array_get(at->rules, i);
	return NULL;
}

static void close_rule(struct rf_attacks *a, struct rf_attack *at, struct rf_flood_rule *r, const char *state)
{
	struct rf_attack_rule *row = r->owner;
	if (!row)
		return;
	char now[RF_RFC3339_SIZE];
	uint64_t n = atomic_load(&hits[row - a->rules]);
	json_t *told = told_of(at, row->id);
	json_object_set_new(told, "state", json_string(state));
	json_object_set_new(told, "hits", json_integer((json_int_t)n));
	json_object_set_new(told, "ended_at", json_string(rf_rfc3339(wall(a), 1, now)));
	at->stopped += row->blocks ? n : 0;
	rf_rule_put(row->rule);
	*row = (struct rf_attack_rule){ 0 };
	r->owner = NULL;
	a->stale = true;
}

static int compile(struct rf_attacks *a, const struct rf_attack *at, struct rf_attack_rule *row, struct rf_str expression, struct rf_err *e)
{
	struct rf_rule_env env = { rf_snap_now()->lists, rf_build_have(a->c) };
	char words[RF_RULE_TEXT];
	snprintf(words, sizeof words, "flood on %s, attack %s", at->flood->host, at->id);
	json_t *text = json_stringn(expression.p, expression.n);
	json_t *doc = text ? json_pack("{s:s, s:o, s:s, s:s, s:b}", "id", row->id, "expression", text, "action", row->blocks ? "block" : "log",
				       "description", words, "enabled", 1) : NULL;
	int rc = doc ? rf_rule_make(&env, RF_PHASE_HTTP_REQUEST, doc, "", &row->rule, e) : rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	json_decref(doc);
	if (rc != RF_OK)
		return rc;
	row->rule->order = row - a->rules;
	row->rule->hits = &hits[row - a->rules];
	rf_count(RF_C_ATTACK_RULES);
	return RF_OK;
}

static struct rf_attack_rule *row_of(struct rf_attacks *a)
{
	for (unsigned i = 0; i < ROWS; i++)
		if (!a->rules[i].rule)
			return &a->rules[i];
	return NULL;
}

static void open_rule(struct rf_attacks *a, struct rf_attack *at, struct rf_flood_rule *r)
{
	RF_BUF_AUTO expression = { 0 };
	struct rf_err e = { .text = "there is no room for another rule" };
	char now[RF_RFC3339_SIZE];
	struct rf_attack_rule *row = row_of(a);
	bool off = a->c->boot->floods_mode == RF_FLOODS_OFF;
	int rc = row ? RF_OK : RF_E_FULL;
	char id[RF_ID_LEN + 1] = "";
	r->owner = NULL;
	rf_signature_expression(&r->signature, rf_str_z(at->flood->host), &expression);
	if (rc == RF_OK)
		rc = rf_store_draw_id(a->c->store, id, &e);
	if (rc == RF_OK && !off) {
		*row = (struct rf_attack_rule){ .blocks = a->c->boot->floods_mode == RF_FLOODS_BLOCK };
		memcpy(row->id, id, sizeof row->id);
		memcpy(row->zone, at->zone, sizeof row->zone);
		atomic_store(&hits[row - a->rules], 0);
		rc = compile(a, at, row, rf_buf_str(&expression), &e);
	}
	if (rc != RF_OK)
		rf_log(RF_LOG_ERROR, "floods", "no rule against the flood on %s: %s", at->flood->host, e.text);
	else if (!off)
		r->owner = row;
	a->stale |= r->owner != NULL;
	json_array_append_new(at->rules, json_pack("{s:s, s:s, s:o, s:s, s:i, s:f, s:I, s:s}", "id", id, "expression", rf_buf_z(&expression),
		"terms", rf_attack_terms(&r->signature), "state", r->owner ? row->blocks ? "blocks" : "reports" : off ? "found" : "failed",
		"share_percent", (int)r->share, "usual_percent", r->usual / 10.0, "hits", (json_int_t)0, "began_at", rf_rfc3339(wall(a), 1, now)));
}

/* --- what is told --- */

static int first_id(const struct rf_object *o, void *arg)
{
	memcpy(arg, o->id, RF_ID_LEN + 1);
	return 1;
}

static int bound(struct rf_ctl *c, struct rf_err *e)
{
	struct rf_store_query all = { .parent = c->account_id }, oldest = { .parent = c->account_id, .limit = 1 };
	size_t n = 0;
	char id[RF_ID_LEN + 1];
	int rc = rf_store_count(c->store, RF_KIND_ATTACK, &all, &n, e);
	for (; rc == RF_OK && n > RF_ATTACKS_KEPT; n--) {
		int found = rf_store_list(c->store, RF_KIND_ATTACK, &oldest, first_id, id, NULL, e);
		rc = found == 1 ? rf_store_del(c->store, RF_KIND_ATTACK, id, 0, e) : found;
	}
	return rc;
}

int rf_attacks_store(struct rf_ctl *c, char id[RF_ID_LEN + 1], const char *name, json_t *doc, struct rf_err *e)
{
	RF_OBJECT_AUTO o = { .doc = doc };
	memcpy(o.id, id, sizeof o.id);
	memcpy(o.parent, c->account_id, sizeof o.parent);
	snprintf(o.name, sizeof o.name, "%s", name);
	if (!o.doc)
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	int rc = rf_ctl_begin(c, ITSELF, e);
	if (rc == RF_OK)
		rc = rf_store_put(c->store, RF_KIND_ATTACK, &o, 0, e);
	if (rc == RF_OK && !id[0])
		rc = bound(c, e);
	if (rc == RF_OK)
		rc = rf_ctl_commit(c, false, e);
	if (rc == RF_OK)
		memcpy(id, o.id, sizeof o.id);
	else
		rf_ctl_abort(c);
	return rc;
}

static int store(struct rf_attacks *a, struct rf_attack *at, struct rf_err *e)
{
	json_t *doc = json_object();
	if (doc)
		rf_attack_doc(at, stopped_by(a, at), doc);
	return rf_attacks_store(a->c, at->id, at->flood->host, doc, e);
}

/* Once it is known what is done about it, and at its end. */
static void alert(struct rf_attacks *a, struct rf_attack *at, enum rf_flood_event what)
{
	bool begins = !at->alerted && (what == RF_FLOOD_SIGNATURE || (what == RF_FLOOD_START && (at->flood->inaction || at->measure)));
	if (!begins && !(at->alerted && what == RF_FLOOD_END))
		return;
	json_t *j = rf_attack_alert(a->c, at);
	rf_alerts_post(a->c->priv->alerts, j);
	json_decref(j);
	at->alerted = true;
}

void rf_attack_tell(struct rf_attacks *a, struct rf_attack *at, enum rf_flood_event what)
{
	static const char *const words[] = { [RF_FLOOD_START] = "start", [RF_FLOOD_SIGNATURE] = "signature", [RF_FLOOD_EXPIRED] = "expired",
					     [RF_FLOOD_UPDATE] = "update", [RF_FLOOD_END] = "end" };
	struct rf_err e;
	const json_t *last = json_array_get(at->rules, json_array_size(at->rules) - 1);
	RF_BUF_AUTO both = { 0 };
	const char *reason = at->flood->inaction ? at->flood->inaction : at->measure ? at->measure : json_string_value(json_object_get(last, "expression"));
	struct rf_record r = { .kind = RF_REC_ATTACK, .at = wall(a), .action = RF_STR("log"), .layer = at->frames ? RF_STR("l4") : at->port ? RF_STR("tls") : RF_STR("http"), .host = rf_str_z(at->flood->host),
			       .attack_event = rf_str_z(words[what]), .attack_vector = rf_str_z(at->vector), .attack_rate = at->ended ? 0 : at->flood->rate,
			       .attack_peak = at->flood->peak, .requests = at->flood->requests, .rule_id = doc_str(last, "id"),
			       .device = rf_str_z(at->device), .reason = rf_str_z(reason) };
	if (at->why[0]) {
		rf_buf_printf(&both, "%s: %s", at->why, reason);
		r.reason = rf_buf_str(&both);
	}
	if (at->measure || (last && doc_is(last, "state", "blocks")))
		r.action = RF_STR("block");
	if (store(a, at, &e) != RF_OK)
		rf_log(RF_LOG_ERROR, "floods", "the attack on %s cannot be stored: %s", at->flood->host, e.text);
	r.attack_id = rf_str_z(at->id);
	rf_log(RF_LOG_WARN, "floods", "attack %s on %s: %s: %u a second, usually %u%s%.*s", at->id, at->flood->host, words[what], at->flood->rate,
	       at->flood->usual, r.reason.n ? ": " : "", RF_ARG(r.reason));
	if (a->ring)
		rf_record_emit(a->ring, &r);
	alert(a, at, what);
}

/* --- events of the detector --- */

static struct rf_attack *begin(struct rf_attacks *a, struct rf_flood *f)
{
	const struct rf_host *h = rf_snap_host(rf_snap_now(), rf_str_z(f->host));
	for (unsigned i = 0; i < RF_FLOODS; i++) {
		struct rf_attack *at = &a->attacks[i];
		if (at->flood)
			continue;
		*at = (struct rf_attack){ .vector = "http_flood", .counter = rf_measure_name(f->by), .flood = f, .rules = json_array() };
		if (h)
			memcpy(at->zone, h->app->zone->id, sizeof at->zone);
		f->owner = at;
		rf_count(RF_C_ATTACKS_HTTP);
		return at;
	}
	return NULL;
}

static void on_event(void *arg, enum rf_flood_event what, struct rf_flood *f, struct rf_flood_rule *r)
{
	struct rf_attacks *a = arg;
	struct rf_attack *at = what == RF_FLOOD_START ? begin(a, f) : f->owner;
	if (!at)
		return;
	if (what == RF_FLOOD_SIGNATURE)
		open_rule(a, at, r);
	if (what == RF_FLOOD_EXPIRED)
		close_rule(a, at, r, a->dropping ? "dropped" : "expired");
	at->ended = what == RF_FLOOD_END;
	rf_attack_tell(a, at, what);
	if (what != RF_FLOOD_END)
		return;
	json_decref(at->rules);
	*at = (struct rf_attack){ 0 };
}

static void place(void *arg, const struct rf_ip *ip, uint32_t *ret_asn, uint32_t *ret_country)
{
	struct rf_attacks *a = arg;
	const struct rf_geo *geo = rf_snap_now()->site->geo;
	struct rf_val v;
	if (!geo)
		return;
	if (rf_geo_fact(geo, ip, RF_F_IP_ASN, &a->arena, &v))
		*ret_asn = (uint32_t)v.i;
	if (rf_geo_fact(geo, ip, RF_F_IP_COUNTRY, &a->arena, &v) && v.s.n == 2)
		*ret_country = (uint32_t)(unsigned char)v.s.p[0] * 256 + (unsigned char)v.s.p[1];
	rf_arena_reset(&a->arena);
}

/* --- the tick --- */

static uint64_t since(_Atomic uint64_t *now, uint64_t *seen)
{
	uint64_t n = atomic_load_explicit(now, memory_order_relaxed), more = n - *seen;
	*seen = n;
	return more;
}

static void take_host(struct rf_attacks *a, struct rf_feed_host *h, struct rf_detect_counts *seen)
{
	uint64_t hash = h->hash;
	uint8_t registers[RF_HLL];
	struct rf_detect_counts n = { since(&h->requests, &seen->requests), since(&h->bytes_in, &seen->bytes_in),
				      since(&h->bytes_out, &seen->bytes_out), { 0 }, { 0 } };
	for (int i = 0; i < 6; i++) {
		n.status[i] = since(&h->status[i], &seen->status[i]);
		n.answers[i] = since(&h->answers[i], &seen->answers[i]);
	}
	rf_detect_count(a->detect, hash, rf_str_z(h->name), &n);
	uint32_t wanted = rf_detect_wanted(a->detect, hash);
	atomic_store_explicit(&h->wanted, wanted, memory_order_relaxed);
	if (rf_feed_ask(&h->addresses, wanted ? (uint32_t)rf_detect_flood(a->detect, hash) : 0, registers))
		rf_detect_addresses(a->detect, hash, registers);
}

static void take(struct rf_attacks *a, struct source *s)
{
	const struct rf_sample *one;
	uint32_t n = atomic_load_explicit(&s->feed.count, memory_order_acquire);
	for (uint32_t i = 0; i < n; i++)
		take_host(a, &s->feed.hosts[i], &s->seen[i]);
	while ((one = rf_feed_peek(&s->feed))) {
		if (one->host)
			rf_detect_sample(a->detect, one);
		rf_attack_fleet_sample(a->fleet, one);
		rf_feed_done(&s->feed);
	}
	rf_count_n(RF_C_FLOOD_LOST, since(&s->feed.lost, &s->lost));
	rf_count_n(RF_C_FLOOD_HOSTS_LOST, since(&s->feed.hosts_lost, &s->hosts_lost));
}

void rf_attacks_frame(struct rf_attacks *a, unsigned why, const struct rf_ip *src)
{
	if (a && why == RF_DROP_FLEET_PORT)
		rf_attack_fleet_frame(a->fleet, src);
}

static void give_hits(struct rf_attacks *a)
{
	for (unsigned i = 0; i < RF_FLOODS; i++) {
		struct rf_flood *f = a->attacks[i].flood;
		for (unsigned k = 0; f && k < f->rules; k++) {
			struct rf_attack_rule *row = f->rule[k].owner;
			if (row)
				f->rule[k].hits = atomic_load(&hits[row - a->rules]);
		}
	}
}

static void count(struct rf_attacks *a)
{
	struct rf_detect_stats now, was = a->stats;
	rf_detect_stats(a->detect, &now);
	rf_count_n(RF_C_FLOOD_SAMPLES, now.samples - was.samples);
	rf_count_n(RF_C_FLOOD_HOSTS_LOST, now.hosts_lost - was.hosts_lost);
	rf_count_n(RF_C_FLOOD_FLOODS_LOST, now.floods_lost - was.floods_lost);
	a->stats = now;
}

static struct rf_detect_conf conf_of(const struct rf_ctl *c)
{
	const struct rf_boot *b = c->boot;
	return (struct rf_detect_conf){ (enum rf_flood_sense)b->floods_sense, (uint32_t)b->floods_floor, b->floods_learn, b->floods_ttl };
}

static void put_in_force(struct rf_attacks *a)
{
	struct rf_err e;
	if (!a->stale)
		return;
	if (rf_ctl_rebuild(a->c, RF_PART_FLOODS, &e) == RF_OK)
		a->stale = false; /* else the next tick tries again */
	else
		rf_log(RF_LOG_ERROR, "floods", "rules against floods are not in force: %s", e.text);
}

static void on_time(struct rf_timer *t)
{
	struct rf_attacks *a = RF_CONTAINER(t, struct rf_attacks, timer);
	struct rf_detect_conf conf = conf_of(a->c);
	rf_detect_conf(a->detect, &conf);
	for (unsigned i = 0; i < a->workers; i++)
		take(a, &a->sources[i]);
	give_hits(a);
	rf_detect_tick(a->detect, a->c->clock.mono(a->c->clock.ctx), wall(a));
	rf_attack_hellos_tick(a->hellos, &conf);
	rf_attack_fleet_tick(a->fleet, &conf);
	put_in_force(a);
	rf_attack_usual_tick(a->usual);
	count(a);
	rf_timer_set(a->c->loop, &a->timer, rf_loop_now(a->c->loop) + RF_FLOOD_TICK_NS);
}

/* --- asked by the API --- */

struct rf_feed *rf_attacks_feed(struct rf_attacks *a, unsigned worker) { return a ? &a->sources[worker].feed : NULL; }
const struct rf_attack_rule *rf_attacks_rules(const struct rf_attacks *a) { return a ? a->rules : NULL; }

unsigned rf_attacks_active(const struct rf_attacks *a)
{
	unsigned n = a ? rf_attack_hellos_active(a->hellos) + rf_attack_fleet_active(a->fleet) : 0;
	for (unsigned i = 0; a && i < RF_FLOODS; i++)
		n += a->attacks[i].flood != NULL;
	return n;
}

static struct rf_attack *active(struct rf_attacks *a, const char *id)
{
	for (unsigned i = 0; i < RF_FLOODS; i++)
		if (a->attacks[i].flood && strcmp(a->attacks[i].id, id) == 0)
			return &a->attacks[i];
	struct rf_attack *at = rf_attack_hellos_find(a->hellos, id);
	return at ? at : rf_attack_fleet_find(a->fleet, id);
}

void rf_attacks_live(struct rf_attacks *a, const char *id, json_t *object)
{
	struct rf_attack *at = active(a, id);
	if (!at)
		return;
	for (unsigned i = 0; i < at->flood->rules; i++) {
		const struct rf_attack_rule *row = at->flood->rule[i].owner;
		if (row)
			json_object_set_new(told_of(at, row->id), "hits", json_integer((json_int_t)atomic_load(&hits[row - a->rules])));
	}
	rf_attack_doc(at, stopped_by(a, at), object);
}

static int except(struct rf_attacks *a, const struct rf_object *attack, const json_t *signature, struct rf_err *e)
{
	RF_OBJECT_AUTO o = { .doc = json_pack("{s:s, s:O, s:O, s:s}", "host", attack->name, "expression", json_object_get(signature, "expression"),
					      "terms", json_object_get(signature, "terms"), "attack_id", attack->id) };
	memcpy(o.parent, a->c->account_id, sizeof o.parent);
	memcpy(o.name, attack->name, sizeof o.name);
	return o.doc ? rf_store_put(a->c->store, RF_KIND_ATTACK_EXCEPTION, &o, 0, e) : rf_fail(e, RF_E_NOMEM, "memory is exhausted");
}

static int drop_all(struct rf_attacks *a, const struct rf_object *o, const char *actor, bool dry_run, struct rf_err *e)
{
	const json_t *signatures = json_object_get(o->doc, "signatures"), *one;
	struct rf_signature g;
	size_t i;
	int rc = rf_ctl_begin(a->c, actor, e);
	json_array_foreach(signatures, i, one)
		if (rc == RF_OK)
			rc = except(a, o, one, e);
	if (rc == RF_OK)
		rc = rf_ctl_commit(a->c, dry_run, e);
	if (rc != RF_OK) {
		rf_ctl_abort(a->c);
		return rc;
	}
	a->dropping = true;
	json_array_foreach(signatures, i, one)
		if (!dry_run && rf_attack_signature(json_object_get(one, "terms"), &g) == RF_OK && rc == RF_OK &&
		    rf_detect_drop(a->detect, rf_str_z(o->name), &g) != RF_OK)
			rc = rf_fail(e, RF_E_FULL, "there are %d exceptions, and no more are taken", RF_DETECT_DROPPED);
	a->dropping = false;
	put_in_force(a);
	return rc;
}

int rf_attacks_drop(struct rf_attacks *a, const char *id, const char *actor, bool dry_run, struct rf_err *e)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_store_get(a->c->store, RF_KIND_ATTACK, id, &o, e);
	if (rc != RF_OK)
		return rc;
	if (!json_array_size(json_object_get(o.doc, "signatures")))
		return rf_fail(e, RF_E_CONFLICT, "this attack has no signature that could be dropped");
	return drop_all(a, &o, actor, dry_run, e);
}

int rf_attacks_forget(struct rf_attacks *a, const char *exception, const char *actor, bool dry_run, struct rf_err *e)
{
	RF_OBJECT_AUTO o = { 0 };
	struct rf_signature g;
	int rc = rf_store_get(a->c->store, RF_KIND_ATTACK_EXCEPTION, exception, &o, e);
	if (rc == RF_OK)
		rc = rf_ctl_begin(a->c, actor, e);
	if (rc == RF_OK)
		rc = rf_store_del(a->c->store, RF_KIND_ATTACK_EXCEPTION, exception, 0, e);
	if (rc == RF_OK)
		rc = rf_ctl_commit(a->c, dry_run, e);
	if (rc != RF_OK)
		rf_ctl_abort(a->c);
	else if (!dry_run && rf_attack_signature(json_object_get(o.doc, "terms"), &g) == RF_OK)
		rf_detect_undrop(a->detect, rf_str_z(o.name), &g);
	return rc;
}

/* --- life --- */

static int load_exception(const struct rf_object *o, void *arg)
{
	struct rf_attacks *a = arg;
	struct rf_signature g;
	if (rf_attack_signature(json_object_get(o->doc, "terms"), &g) != RF_OK || rf_detect_drop(a->detect, rf_str_z(o->name), &g) != RF_OK)
		rf_log(RF_LOG_ERROR, "floods", "exception %s cannot be read, and does not hold", o->id);
	return RF_OK;
}

struct open_attack { const struct rf_frame_attacks *gone_on; char id[RF_ID_LEN + 1]; };

static int open_attack(const struct rf_object *o, void *arg)
{
	struct open_attack *to = arg;
	if (rf_frame_attacks_has(to->gone_on, o->id))
		return 0;
	return first_id(o, to->id);
}

/* Attacks that were on when the edge ended; floods of frames still are. */
static int end_old(struct rf_attacks *a, struct rf_err *e)
{
	struct rf_store_query open = { .match = { { "status", "active" } } };
	struct open_attack found = { .gone_on = a->c->priv->frame_attacks };
	char *id = found.id;
	int rc;
	while ((rc = rf_store_list(a->c->store, RF_KIND_ATTACK, &open, open_attack, &found, NULL, e)) == 1) {
		RF_OBJECT_AUTO o = { 0 };
		char at[RF_RFC3339_SIZE];
		rc = rf_store_get(a->c->store, RF_KIND_ATTACK, id, &o, e);
		if (rc == RF_OK)
			rc = rf_ctl_begin(a->c, ITSELF, e);
		json_object_set_new(o.doc, "status", json_string("ended"));
		json_object_set_new(o.doc, "ended_at", json_string(rf_rfc3339(o.modified_s * (int64_t)RF_NS_S, 1, at)));
		json_object_set_new(o.doc, "inaction", json_string("the edge ended while it was on"));
		if (rc == RF_OK)
			rc = rf_store_put(a->c->store, RF_KIND_ATTACK, &o, 0, e);
		if (rc == RF_OK)
			rc = rf_ctl_commit(a->c, false, e);
		if (rc != RF_OK) {
			rf_ctl_abort(a->c);
			return rc;
		}
	}
	return rc;
}

static int prepare(struct rf_attacks *a, struct rf_err *e)
{
	struct rf_detect_ops ops = { on_event, place, a };
	struct rf_detect_conf conf = conf_of(a->c);
	struct rf_store_query all = { 0 };
	uint64_t random[2];
	if (getrandom(random, sizeof random, 0) != sizeof random)
		return rf_fail(e, RF_E_IO, "no random numbers");
	a->hellos = rf_attack_hellos_new(a->c, a, a->workers);
	a->fleet = rf_attack_fleet_new(a->c, a);
	if (!a->sources || !a->hellos || !a->fleet || !(a->detect = rf_detect_new(&conf, &ops, random[0] | 1)))
		return rf_fail(e, RF_E_NOMEM, "no memory to look for floods");
	for (unsigned i = 0; i < a->workers; i++)
		if (!rf_feed_init(&a->sources[i].feed, (random[1] + i) | 1))
			return rf_fail(e, RF_E_NOMEM, "no memory to look for floods");
	int rc = rf_attack_usual_new(a->c, a->detect, a->hellos, &a->usual, e);
	if (rc == RF_OK)
		rc = rf_store_list(a->c->store, RF_KIND_ATTACK_EXCEPTION, &all, load_exception, a, NULL, e);
	return rc == RF_OK ? end_old(a, e) : rc;
}

int rf_attacks_new(struct rf_ctl *c, unsigned workers, struct rf_ring *ring, struct rf_attacks **ret, struct rf_err *e)
{
	struct rf_attacks *a = calloc(1, sizeof *a);
	if (!a)
		return rf_fail(e, RF_E_NOMEM, "no memory to look for floods");
	*a = (struct rf_attacks){ .c = c, .ring = ring, .workers = workers, .timer = { .fire = on_time } };
	rf_arena_init(&a->arena, MEMORY);
	a->sources = calloc(workers, sizeof *a->sources);
	int rc = prepare(a, e);
	if (rc != RF_OK) {
		rf_attacks_free(a);
		return rc;
	}
	rf_timer_set(c->loop, &a->timer, rf_loop_now(c->loop) + RF_FLOOD_TICK_NS);
	*ret = a;
	return RF_OK;
}

void rf_attacks_free(struct rf_attacks *a)
{
	if (!a)
		return;
	rf_timer_stop(a->c->loop, &a->timer);
	for (unsigned i = 0; i < ROWS; i++)
		rf_rule_put(a->rules[i].rule);
	for (unsigned i = 0; i < RF_FLOODS; i++)
		json_decref(a->attacks[i].rules);
	for (unsigned i = 0; a->sources && i < a->workers; i++)
		rf_feed_fini(&a->sources[i].feed);
	free(a->sources);
	rf_attack_usual_free(a->usual);
	rf_attack_hellos_free(a->hellos);
	rf_attack_fleet_free(a->fleet);
	rf_detect_free(a->detect);
	rf_arena_fini(&a->arena);
	free(a);
}
