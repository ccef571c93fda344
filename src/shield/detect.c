/* shield/detect: see detect.h for the way of a flood.
 *
 *   tick: every host: rate of the last second ─► above its threshold twice ─► flood ─► search ─► events
 *         then: samples that are LAG ticks old become usual, where no flood is on and the rate is not above the threshold
 *
 * Samples wait in one ring of all hosts; a reservoir takes so many of them that it is full soon, and from then on one every two
 * seconds, so that it shows the last quarter of an hour.
 *
 * Not here: what is dropped (detect_drop), the search (detect_search), what outlives a restart (detect_store).
 *
 * Invariants: a host has at most one flood; its `flood` points into the table of floods while it is on. Live rules are never more than
 * RF_FLOOD_RULES. The texts of a signature come from a sample that it matches.
 */
#include "shield/detect.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "shield/detect_own.h"
#include "shield/detect_search.h"

enum {
	SECOND = DETECT_SECOND,
	LAG = 8,
	ABOVE = 2,                /* ticks in a row above the threshold begin a flood */
	PATIENCE = 20,            /* ticks after which a flood without a signature is told */
	CALM = 20,                /* ticks below the threshold, without a live rule, end it */
	UPDATE = 40,
	WHERE = 1024,
	RECENT = 2048,            /* samples of a search */
	SEARCH_LEAST = 50,
	FILL = 32,                /* samples a tick that a reservoir takes until it has learned */
	IDLE = 4 * 600,           /* ticks after which a host may make room */
};

#define REFRESH (RF_FLOOD_TICK_NS / 2e9) /* samples a tick that it takes from then on */

static double draw(struct rf_detect *d)
{
	d->random ^= d->random << 13;
	d->random ^= d->random >> 7;
	d->random ^= d->random << 17;
	return (double)(d->random >> 11) / 9007199254740992.0;
}

/* --- hosts --- */

struct watched *detect_find(const struct rf_detect *d, uint64_t hash)
{
	uint8_t *at = &d->where[hash % WHERE];
	if (d->hosts[*at].hash == hash)
		return &d->hosts[*at];
	for (unsigned i = 0; i < RF_DETECT_HOSTS; i++)
		if (d->hosts[i].hash == hash) {
			*at = (uint8_t)i;
			return &d->hosts[i];
		}
	return NULL;
}

static struct watched *room(struct rf_detect *d)
{
	struct watched *idle = NULL;
	for (unsigned i = 0; i < RF_DETECT_HOSTS; i++) {
		struct watched *w = &d->hosts[i];
		if (!w->hash)
			return w;
		if (!w->flood && d->tick - w->last > IDLE && (!idle || w->last < idle->last))
			idle = w;
	}
	if (idle) {
		free(idle->usual[0]);
		free(idle->usual[1]);
		*idle = (struct watched){ 0 };
	}
	return idle;
}

struct watched *detect_watch(struct rf_detect *d, uint64_t hash, struct rf_str name)
{
	struct watched *w = detect_find(d, hash);
	if (w)
		return w;
	if (!(w = room(d))) {
		d->stats.hosts_lost++;
		return NULL;
	}
	w->hash = hash;
	w->first = d->tick;
	snprintf(w->name, sizeof w->name, "%.*s", RF_ARG(name));
	return w;
}

void rf_detect_count(struct rf_detect *d, uint64_t host, struct rf_str name, const struct rf_detect_counts *n)
{
	struct watched *w = n->requests ? detect_watch(d, host, name) : detect_find(d, host);
	if (!w)
		return;
	w->last = d->tick;
	w->now.requests += n->requests;
	w->now.bytes_in += n->bytes_in;
	w->now.bytes_out += n->bytes_out;
	for (int i = 0; i < 6; i++) {
		w->now.status[i] += n->status[i];
		w->now.answers[i] += n->answers[i];
	}
}

/* --- what is usual --- */

static void learn_sample(struct rf_detect *d, struct watched *w, const struct kept *k)
{
	int which = !k->raw.known;
	double most = rf_usual_learned(&w->rate[RF_MEASURE_REQUESTS], &d->conf) && w->usual[which] && w->usual[which]->n == RF_DETECT_BASE ? REFRESH : FILL;
	double chance = w->samples_before > most ? most / w->samples_before : 1;
	if (!w->usual[which] && !(w->usual[which] = calloc(1, sizeof(struct usual))))
		return;
	struct usual *u = w->usual[which];
	if (draw(d) >= chance)
		return;
	unsigned at = u->n < RF_DETECT_BASE ? u->n++ : (unsigned)(draw(d) * RF_DETECT_BASE);
	u->traits[at] = k->traits;
	u->source[at] = k->source;
}

static void learn_samples(struct rf_detect *d)
{
	if (d->in - d->learned > RF_DETECT_WINDOW)
		d->learned = d->in - RF_DETECT_WINDOW; /* a flood has overtaken them */
	for (; d->learned < d->in; d->learned++) {
		const struct kept *k = &d->ring[d->learned % RF_DETECT_WINDOW];
		if (k->tick + LAG > d->tick)
			return;
		struct watched *w = detect_find(d, k->host);
		if (w && !w->flood && !w->hot)
			learn_sample(d, w, k);
	}
}

bool detect_knows(const struct rf_detect *d, const struct watched *w)
{
	size_t n = (w->usual[0] ? w->usual[0]->n : 0) + (w->usual[1] ? w->usual[1]->n : 0);
	return n >= RF_DETECT_BASE_LEAST && rf_usual_learned(&w->rate[RF_MEASURE_REQUESTS], &d->conf);
}

static const struct {
	const char *name;
	unsigned class;
	bool begins;
} measures[] = {
#define RF_MEASURE(id, name, status, begins) { name, status, begins },
#include "tbl/measures.def"
#undef RF_MEASURE
};

const char *rf_measure_name(enum rf_measure m) { return measures[m].name; }

static bool is_above(const struct rf_usual *u, const struct rf_detect *d, uint32_t now)
{
	return u->seconds > 1 && now > rf_usual_threshold(u, &d->conf);
}

/* By which measure are there more than usual? RF_MEASURES: by none. */
static enum rf_measure above(const struct rf_detect *d, const struct watched *w)
{
	unsigned m = 0;
	while (m < RF_MEASURES && !(measures[m].begins && is_above(&w->rate[m], d, w->second[m])))
		m++;
	return (enum rf_measure)m;
}

/* --- samples --- */

static void keep(struct rf_detect *d, struct rf_flood *f, const struct rf_sample *s)
{
	unsigned at = f->kept < RF_FLOOD_KEPT ? f->kept++ : (unsigned)(draw(d) * 64 * RF_FLOOD_KEPT);
	if (at < RF_FLOOD_KEPT)
		f->sample[at] = (struct rf_flood_sample){ d->wall_ns, *s };
}

static bool acts(const struct rf_flood *f)
{
	for (unsigned i = 0; i < f->rules; i++)
		if (f->rule[i].live)
			return true;
	return false;
}

static bool has_rule(const struct rf_flood *f, const struct rf_traits *t, uint32_t source)
{
	for (unsigned i = 0; f && i < f->rules; i++)
		if (f->rule[i].live && rf_signature_match(&f->rule[i].signature, t, source))
			return true;
	return false;
}

/* Where it comes from: of all, until rules say what belongs to it. */
static void note(struct rf_detect *d, struct rf_flood *f, const struct kept *k)
{
	const struct rf_sample *s = &k->raw;
	uint32_t asn = 0, country = 0;
	bool its = has_rule(f, &k->traits, k->source);
	if (!its && acts(f))
		return;
	rf_hll_add(f->addresses, RF_HLL, rf_hash((struct rf_str){ (const char *)s->src.b, sizeof s->src.b }));
	f->ip[rf_top_add(f->source, RF_FLOOD_TOP, k->source, s->weight)] = s->src;
	if (d->ops.place)
		d->ops.place(d->ops.arg, &s->src, &asn, &country);
	if (asn)
		rf_top_add(f->asn, RF_FLOOD_TOP, asn, s->weight);
	if (country)
		rf_top_add(f->country, RF_FLOOD_TOP, country, s->weight);
	if (its)
		keep(d, f, s);
}

void rf_detect_sample(struct rf_detect *d, const struct rf_sample *s)
{
	struct watched *w = detect_find(d, s->host);
	if (!w)
		return;
	struct kept *k = &d->ring[d->in++ % RF_DETECT_WINDOW];
	*k = (struct kept){ .host = s->host, .tick = d->tick, .source = rf_source_hash(&s->src), .raw = *s };
	rf_traits_of(s, &d->room, &k->traits);
	w->samples++;
	d->stats.samples++;
	if (w->flood)
		note(d, w->flood, k);
}

void rf_detect_addresses(struct rf_detect *d, uint64_t host, const uint8_t registers[RF_HLL])
{
	struct watched *w = detect_find(d, host);
	for (unsigned i = 0; w && w->flood && i < RF_HLL; i++)
		if (w->flood->addresses[i] < registers[i])
			w->flood->addresses[i] = registers[i];
}

uint64_t rf_detect_flood(const struct rf_detect *d, uint64_t host)
{
	const struct watched *w = detect_find(d, host);
	return w && w->flood ? w->flood->number : 0;
}

uint32_t rf_detect_wanted(const struct rf_detect *d, uint64_t host)
{
	const struct watched *w = detect_find(d, host);
	return w && (w->flood || w->hot) && detect_knows(d, w) ? RF_FEED_WANTED : 0;
}

/* --- searching --- */

struct gathered {
	struct rf_seen *v;
	const struct kept **raw;
	size_t n;
	double open;              /* share of the weight that no rule and no drop concerns */
};

/* The samples of the last second that neither a rule nor a drop concerns, the newest first. */
static bool gather(const struct rf_detect *d, const struct watched *w, struct gathered *ret)
{
	uint64_t all = 0, open = 0, n = d->in < RF_DETECT_WINDOW ? d->in : RF_DETECT_WINDOW;
	ret->v = calloc(RECENT, sizeof *ret->v);
	ret->raw = calloc(RECENT, sizeof *ret->raw);
	for (uint64_t i = 1; ret->v && ret->raw && i <= n && ret->n < RECENT; i++) {
		const struct kept *k = &d->ring[(d->in - i) % RF_DETECT_WINDOW];
		if (k->tick + SECOND <= d->tick)
			break;
		if (k->host != w->hash)
			continue;
		all += k->raw.weight;
		if (detect_is_dropped(d, w->hash, &k->traits, k->source) || has_rule(w->flood, &k->traits, k->source))
			continue;
		open += k->raw.weight;
		ret->v[ret->n] = (struct rf_seen){ &k->traits, k->source, k->raw.weight };
		ret->raw[ret->n++] = k;
	}
	ret->open = all ? (double)open / (double)all : 0;
	return ret->v && ret->raw;
}

static void gathered_fini(struct gathered *g)
{
	free(g->v);
	free(g->raw);
}

static struct rf_seen *usual_of(const struct usual *u)
{
	struct rf_seen *v = calloc(u ? u->n + 1 : 1, sizeof *v);
	for (unsigned i = 0; v && u && i < u->n; i++)
		v[i] = (struct rf_seen){ &u->traits[i], u->source[i], 1 };
	return v;
}

/* The text of the addresses, and of each term out of a sample that matches. */
static bool complete(struct rf_detect *d, const struct gathered *g, struct rf_signature *s)
{
	RF_BUF_AUTO sources = { 0 };
	const struct kept *one = NULL;
	for (size_t i = 0; i < g->n && !one; i++)
		if (rf_signature_match(s, g->v[i].traits, g->v[i].source))
			one = g->raw[i];
	for (unsigned k = 0; k < s->nsources; k++)
		for (size_t i = 0; i < g->n; i++)
			if (g->v[i].source == s->source[k]) {
				char ip[RF_IP_TEXT];
				rf_buf_printf(&sources, "%s%s", k ? " " : "", rf_ip_str(&g->raw[i]->raw.src, ip));
				break;
			}
	for (unsigned i = 0; one && i < s->n; i++) {
		bool source = s->term[i].trait == RF_TRAIT_SOURCE;
		rf_buf_clear(&d->room);
		if (!source && !rf_trait_value(&one->raw, s->term[i].trait, &d->room))
			return false;
		snprintf(s->term[i].value, sizeof s->term[i].value, "%s", rf_buf_z(source ? &sources : &d->room));
	}
	return one != NULL && !sources.bad;
}

static struct rf_flood_rule *rule_room(struct rf_flood *f)
{
	if (f->rules < RF_FLOOD_RULES)
		return &f->rule[f->rules];
	for (unsigned i = 0; i < f->rules; i++)
		if (!f->rule[i].live)
			return &f->rule[i];
	return NULL;
}

static bool search(struct rf_detect *d, const struct watched *w, const struct gathered *g, double excess, struct rf_flood_rule *ret)
{
	struct rf_seen *known = usual_of(w->usual[0]), *others = usual_of(w->usual[1]);
	struct rf_search s = { .now = g->v, .n = g->n, .usual = { known, others }, .excess = excess,
			       .usual_n = { w->usual[0] ? w->usual[0]->n : 0, w->usual[1] ? w->usual[1]->n : 0 } };
	bool found = known && others && rf_search_run(&s, &ret->signature, &ret->share, &ret->usual) && complete(d, g, &ret->signature) &&
		!detect_within_dropped(d, w->hash, &ret->signature);
	free(known);
	free(others);
	return found;
}

void detect_tell(struct rf_detect *d, struct rf_flood *f, enum rf_flood_event what, struct rf_flood_rule *r)
{
	if (!f->told) {
		f->told = true;
		d->ops.event(d->ops.arg, RF_FLOOD_START, f, NULL);
	}
	if (what != RF_FLOOD_START)
		d->ops.event(d->ops.arg, what, f, r);
}

/* Which share of the requests of the second, without those that a rule or drop concerns, is more than usual. Not positive: none. */
static double too_much(const struct watched *w, double open)
{
	enum rf_measure by = w->flood->by;
	double requests = w->second[RF_MEASURE_REQUESTS] * open, measured = by == RF_MEASURE_REQUESTS ? requests : w->second[by];
	return requests > 0 && measured > w->flood->threshold ? (measured - w->rate[by].mean) / requests : 0;
}

/* Another signature, where too much comes that no rule and no drop concerns. */
static void look(struct rf_detect *d, struct watched *w)
{
	struct gathered g = { 0 };
	struct rf_flood *f = w->flood;
	struct rf_flood_rule found = { .live = true, .last_ns = d->mono_ns }, *to = rule_room(f);
	double excess;
	if (!detect_knows(d, w)) {
		f->inaction = "it is not known yet what is usual for this host";
		return;
	}
	if (!gather(d, w, &g) || (excess = too_much(w, g.open)) <= 0 || g.n < SEARCH_LEAST) {
		gathered_fini(&g);
		return;
	}
	if (!to)
		f->inaction = "it takes more signatures than one flood may have";
	else if (!search(d, w, &g, excess > 0.1 ? excess : 0.1, &found))
		f->inaction = "no combination of traits separates it from what is usual";
	else {
		f->inaction = NULL;
		*to = found;
		f->rules += to == &f->rule[f->rules];
		for (size_t i = 0; i < g.n; i++)
			if (rf_signature_match(&to->signature, g.v[i].traits, g.v[i].source))
				keep(d, f, &g.raw[i]->raw);
		detect_tell(d, f, RF_FLOOD_SIGNATURE, to);
	}
	gathered_fini(&g);
}

/* --- floods --- */

static void usual_mix(const struct watched *w, uint16_t mix[6])
{
	double all = 0;
	for (unsigned m = 0; m < RF_MEASURES; m++)
		all += measures[m].class ? w->rate[m].mean : 0;
	for (unsigned m = 0; all > 0 && m < RF_MEASURES; m++)
		if (measures[m].class)
			mix[measures[m].class] = (uint16_t)(w->rate[m].mean / all * 1000 + 0.5);
}

/* By requests that no drop concerns, else by answers; RF_MEASURES: it does not begin. */
static enum rf_measure begins_by(const struct rf_detect *d, const struct watched *w, struct gathered *g)
{
	unsigned m = gather(d, w, g) ? 0 : RF_MEASURES;
	while (m < RF_MEASURES && !(measures[m].begins &&
				    is_above(&w->rate[m], d, m == RF_MEASURE_REQUESTS ? (uint32_t)(w->second[m] * g->open) : w->second[m])))
		m++;
	return (enum rf_measure)m;
}

static void begin(struct rf_detect *d, struct watched *w)
{
	struct gathered g = { 0 };
	struct rf_flood *f = NULL;
	enum rf_measure by = begins_by(d, w, &g);
	for (unsigned i = 0; by < RF_MEASURES && i < RF_FLOODS && !f; i++)
		f = d->floods[i].on ? NULL : &d->floods[i];
	d->stats.floods_lost += by < RF_MEASURES && !f;
	if (f) {
		*f = (struct rf_flood){ .number = ++d->number, .on = true, .by = by, .usual = (uint32_t)(w->rate[by].mean + 0.5),
					.threshold = rf_usual_threshold(&w->rate[by], &d->conf),
					.began_ns = d->wall_ns - (int64_t)(w->above * RF_FLOOD_TICK_NS) };
		memcpy(f->host, w->name, sizeof f->host);
		usual_mix(w, f->mix);
		w->flood = f;
		w->age = w->calm = 0;
		d->stats.floods++;
		for (size_t i = 0; i < g.n; i++)
			note(d, f, g.raw[i]);
	}
	gathered_fini(&g);
}

static void expire(struct rf_detect *d, struct rf_flood *f)
{
	for (unsigned i = 0; i < f->rules; i++) {
		struct rf_flood_rule *r = &f->rule[i];
		if (!r->live)
			continue;
		if (r->hits != r->seen_hits) {
			r->seen_hits = r->hits;
			r->last_ns = d->mono_ns;
		}
		if (d->mono_ns - r->last_ns < d->conf.ttl_ns)
			continue;
		r->live = false;
		detect_tell(d, f, RF_FLOOD_EXPIRED, r);
	}
}

static void finish(struct rf_detect *d, struct watched *w)
{
	struct rf_flood *f = w->flood;
	f->ended_ns = d->wall_ns;
	if (f->told)
		detect_tell(d, f, RF_FLOOD_END, NULL);
	f->on = false;
	w->flood = NULL;
	w->above = 0;
}

/* Of answers, what no signature separates is how the host answers now: its clients, or itself, have changed. */
static void give_up(struct rf_detect *d, struct watched *w)
{
	w->rate[w->flood->by].mean = w->second[w->flood->by];
	finish(d, w);
}

static void add_up(struct rf_flood *f, const struct watched *w, uint32_t measured)
{
	f->rate = w->second[RF_MEASURE_REQUESTS];
	f->peak = f->rate > f->peak ? f->rate : f->peak;
	f->worst = measured > f->worst ? measured : f->worst;
	f->requests += w->now.requests;
	f->bandwidth = w->now.bytes_in * SECOND;
	f->peak_bandwidth = f->bandwidth > f->peak_bandwidth ? f->bandwidth : f->peak_bandwidth;
	f->bytes_in += w->now.bytes_in;
	f->bytes_out += w->now.bytes_out;
	for (int i = 0; i < 6; i++)
		f->status[i] += w->now.status[i];
}

static void go_on(struct rf_detect *d, struct watched *w)
{
	struct rf_flood *f = w->flood;
	uint32_t measured = w->second[f->by];
	add_up(f, w, measured);
	expire(d, f);
	if (measured > f->threshold)
		look(d, w);
	w->age++;
	w->calm = measured > f->threshold || acts(f) ? 0 : w->calm + 1;
	if (f->by != RF_MEASURE_REQUESTS && w->age >= PATIENCE && measured > f->threshold && !acts(f))
		give_up(d, w);
	else if (w->age == PATIENCE && !f->told && measured > f->threshold)
		detect_tell(d, f, RF_FLOOD_START, NULL);
	else if (w->calm >= CALM || (w->calm && !f->told))
		finish(d, w);
	else if (f->told && w->age % UPDATE == 0)
		detect_tell(d, f, RF_FLOOD_UPDATE, NULL);
}

/* The sum of the ticks of the last second, of which `now` is the newest. */
static uint32_t last_second(const struct rf_detect *d, uint32_t ticks[SECOND], uint64_t now)
{
	uint32_t sum = 0;
	ticks[d->tick % SECOND] = now < UINT32_MAX / SECOND ? (uint32_t)now : UINT32_MAX / SECOND;
	for (int i = 0; i < SECOND; i++)
		sum += ticks[i];
	return sum;
}

static void tick_host(struct rf_detect *d, struct watched *w)
{
	for (unsigned m = 0; m < RF_MEASURES; m++)
		w->second[m] = last_second(d, w->ticks[m], measures[m].class ? w->now.answers[measures[m].class] : w->now.requests);
	w->hot = above(d, w) < RF_MEASURES;
	w->above = w->hot ? w->above + 1 : 0;
	if (!w->flood && w->above >= ABOVE && d->conf.sense != RF_FLOOD_OFF)
		begin(d, w);
	if (w->flood)
		go_on(d, w);
	/* A flood that is stopped teaches nothing; one that only looks like growth becomes what is usual in time. */
	if ((d->tick - w->first) % SECOND == SECOND - 1 && !(w->flood && acts(w->flood)) && !(w->hot && w->above < PATIENCE))
		for (unsigned m = 0; m < RF_MEASURES; m++)
			rf_usual_learn(&w->rate[m], &d->conf, w->second[m]);
	w->now = (struct rf_detect_counts){ 0 };
	w->samples_before = w->samples;
	w->samples = 0;
}

void rf_detect_tick(struct rf_detect *d, uint64_t mono_ns, int64_t wall_ns)
{
	d->mono_ns = mono_ns;
	d->wall_ns = wall_ns;
	for (unsigned i = 0; i < RF_DETECT_HOSTS; i++)
		if (d->hosts[i].hash)
			tick_host(d, &d->hosts[i]);
	learn_samples(d);
	d->tick++;
}

void rf_detect_each(struct rf_detect *d, void (*each)(void *arg, struct rf_flood *f), void *arg)
{
	for (unsigned i = 0; i < RF_FLOODS; i++)
		if (d->floods[i].on && d->floods[i].told)
			each(arg, &d->floods[i]);
}

/* --- life --- */

struct rf_detect *rf_detect_new(const struct rf_detect_conf *conf, const struct rf_detect_ops *ops, uint64_t random)
{
	struct rf_detect *d = calloc(1, sizeof *d);
	if (!d)
		return NULL;
	d->conf = *conf;
	d->ops = *ops;
	d->random = random | 1;
	d->tick = LAG; /* no sample is older than the start */
	d->hosts = calloc(RF_DETECT_HOSTS, sizeof *d->hosts);
	d->where = calloc(WHERE, sizeof *d->where);
	d->ring = malloc(RF_DETECT_WINDOW * sizeof *d->ring);
	d->floods = calloc(RF_FLOODS, sizeof *d->floods);
	if (d->ring)
		memset(d->ring, 0, RF_DETECT_WINDOW * sizeof *d->ring); /* its pages are there before a flood is */
	if (d->hosts && d->where && d->ring && d->floods)
		return d;
	rf_detect_free(d);
	return NULL;
}

void detect_forget_all(struct rf_detect *d)
{
	for (unsigned i = 0; d->hosts && i < RF_DETECT_HOSTS; i++) {
		free(d->hosts[i].usual[0]);
		free(d->hosts[i].usual[1]);
		d->hosts[i] = (struct watched){ 0 };
	}
}

void rf_detect_free(struct rf_detect *d)
{
	if (!d)
		return;
	detect_forget_all(d);
	free(d->hosts);
	free(d->where);
	free(d->ring);
	free(d->floods);
	free(d->dropped);
	rf_buf_fini(&d->room);
	free(d);
}

void rf_detect_conf(struct rf_detect *d, const struct rf_detect_conf *conf) { d->conf = *conf; }

void rf_detect_stats(const struct rf_detect *d, struct rf_detect_stats *ret)
{
	*ret = d->stats;
	ret->hosts = ret->learned = 0;
	for (unsigned i = 0; i < RF_DETECT_HOSTS; i++) {
		ret->hosts += d->hosts[i].hash != 0;
		ret->learned += d->hosts[i].hash && detect_knows(d, &d->hosts[i]);
	}
}
