/* shield/fleet: see fleet.h.
 *
 * What is usual of a device is its own average since the start, followed second by second while it is a suspect and does not flood; of a
 * class, that of those of its devices that did anything in the last whole window, floods left out.
 *
 * Invariants: rows of throttled devices never make room; THROTTLE is followed by exactly one RELEASE or QUARANTINE while the
 * detection runs.
 */
#include "shield/fleet.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/hash.h"
#include "shield/sketch.h"

enum {
	SECOND = 4,               /* ticks */
	ABOVE = 2,                /* ticks above the threshold until it is throttled */
	MORE = 3,                 /* ticks above it, each by itself, that it has after that */
	CALM = 40,                /* ticks after which a throttle ends */
	WINDOW = 240,             /* ticks of a class's average */
	REGISTERS = 256,
};

struct suspect {
	char name[RF_FLEET_NAME]; /* "": free */
	uint64_t weight;          /* of its samples, halved every second */
	uint64_t totals[SECOND];  /* of requests, at the last ticks */
	struct rf_usual usual;
	unsigned above, calm, more; /* ticks */
	bool throttled;
	struct rf_fleet_deed seen; /* in this tick, other than a flood of requests; FLOOD: nothing */
	struct rf_fleet_deed deed; /* as it was throttled for */
};

struct class {
	uint32_t slot;            /* 1 + slot; 0: free */
	uint64_t weight;
	uint8_t devices[REGISTERS];
	double usual;             /* of one of its devices */
};

struct rf_fleet {
	struct rf_fleet_ops ops;
	uint64_t tick;
	struct suspect suspects[RF_FLEET_SUSPECTS];
	struct class classes[RF_FLEET_CLASSES];
};

static const struct {
	const char *bot;
	enum rf_piece piece;
	const char *text;
} bots[] = {
#define RF_BOT(bot, piece, text, doc) { bot, RF_PIECE_##piece, text },
#include "tbl/bots.def"
#undef RF_BOT
};

const char *rf_fleet_bot(const struct rf_sample *s)
{
	for (size_t i = 0; i < sizeof bots / sizeof *bots; i++) {
		struct rf_str v = rf_sample_piece(s, bots[i].piece);
		if (v.n && rf_str_search(v, rf_str_z(bots[i].text)) < v.n)
			return bots[i].bot;
	}
	return NULL;
}

/* --- samples --- */

static struct suspect *new_suspect(struct rf_fleet *f, struct suspect *p, const char *name, const struct rf_fleet_use *use)
{
	*p = (struct suspect){ .usual = { .seconds = (uint32_t)(f->tick / SECOND) } };
	snprintf(p->name, sizeof p->name, "%s", name);
	for (unsigned i = 0; i < SECOND; i++)
		p->totals[i] = use->requests;
	p->usual.mean = f->tick ? (double)use->requests * SECOND / (double)f->tick : 0;
	return p;
}

static struct suspect *suspect_of(struct rf_fleet *f, const char *name, const struct rf_fleet_use *use)
{
	struct suspect *lightest = NULL;
	for (unsigned i = 0; i < RF_FLEET_SUSPECTS; i++) {
		struct suspect *s = &f->suspects[i];
		if (strcmp(s->name, name) == 0)
			return s;
		if (!s->throttled && !s->seen.what && (!lightest || s->weight < lightest->weight))
			lightest = s;
	}
	return lightest ? new_suspect(f, lightest, name, use) : NULL;
}

static struct class *class_of(struct rf_fleet *f, uint32_t slot)
{
	for (unsigned i = 0; i < RF_FLEET_CLASSES; i++) {
		struct class *c = &f->classes[i];
		if (!c->slot)
			c->slot = slot + 1;
		if (c->slot == slot + 1)
			return c;
	}
	return NULL;
}

void rf_fleet_sample(struct rf_fleet *f, const struct rf_sample *s)
{
	struct rf_fleet_use use;
	if (!s->known || !s->device[0] || !f->ops.use(f->ops.arg, s->device, &use))
		return;
	struct suspect *p = suspect_of(f, s->device, &use);
	const char *bot = rf_fleet_bot(s);
	if (p) {
		p->weight += s->weight;
		if (bot)
			p->seen = (struct rf_fleet_deed){ .what = RF_DEED_BOT, .bot = bot };
	}
	struct class *c = p && (p->above || p->throttled) ? NULL : class_of(f, use.class_slot);
	if (!c)
		return;
	c->weight += s->weight;
	rf_hll_add(c->devices, REGISTERS, rf_hash(rf_str_z(s->device)));
}

void rf_fleet_offends(struct rf_fleet *f, const char *subject, const struct rf_fleet_deed *deed)
{
	struct rf_fleet_use use;
	struct suspect *p = f->ops.use(f->ops.arg, subject, &use) ? suspect_of(f, subject, &use) : NULL;
	if (p)
		p->seen = *deed;
}

/* --- ticks --- */

static void end_window(struct rf_fleet *f)
{
	for (unsigned i = 0; i < RF_FLEET_CLASSES; i++) {
		struct class *c = &f->classes[i];
		uint64_t n = rf_hll_count(c->devices, REGISTERS);
		c->usual = n ? (double)c->weight * SECOND / WINDOW / (double)n : 0;
		c->weight = 0;
		memset(c->devices, 0, sizeof c->devices);
	}
}

static void act(struct rf_fleet *f, struct suspect *p, enum rf_fleet_act what)
{
	f->ops.act(f->ops.arg, p->name, what, &p->deed);
	p->throttled = what == RF_FLEET_DO_THROTTLE;
	if (!p->throttled)
		*p = (struct suspect){ .weight = 0 };
}

/* What it does now, against what is usual, and what has been done so far. */
static void judge(struct rf_fleet *f, struct suspect *p, const struct rf_fleet_deed *now, uint64_t tick_rate, bool quarantines)
{
	bool floods = !now->what && now->threshold && now->rate > now->threshold && tick_rate > now->threshold;
	p->above = floods ? p->above + 1 : 0;
	if (!p->throttled && !now->what && p->above < ABOVE)
		return;
	if (!p->throttled) {
		p->deed = *now;
		p->more = p->calm = 0;
		act(f, p, RF_FLEET_DO_THROTTLE);
		return;
	}
	if (now->what == p->deed.what)
		f->ops.rate(f->ops.arg, p->name, now->rate);
	p->more += floods;
	p->calm = floods || now->what ? 0 : p->calm + 1;
	if (quarantines && (now->what || (floods && p->more >= MORE)))
		act(f, p, RF_FLEET_DO_QUARANTINE);
	else if (p->calm >= CALM)
		act(f, p, RF_FLEET_DO_RELEASE);
}

/* 0: not known yet. */
static uint32_t threshold(struct rf_fleet *f, const struct suspect *p, uint32_t slot, const struct rf_detect_conf *conf, double *ret_usual)
{
	const struct class *c = class_of(f, slot);
	*ret_usual = c && c->usual > p->usual.mean ? c->usual : p->usual.mean;
	if (f->tick * RF_FLOOD_TICK_NS <= conf->learn_ns || conf->sense == RF_FLOOD_OFF)
		return 0;
	double most = *ret_usual * RF_FLEET_FACTOR, own = rf_usual_threshold(&p->usual, conf);
	most = most > own ? most : own;
	return most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
}

static void tick_one(struct rf_fleet *f, struct suspect *p, const struct rf_detect_conf *conf, bool quarantines)
{
	struct rf_fleet_use use;
	if (!f->ops.use(f->ops.arg, p->name, &use) || use.exempt) { /* gone, or somebody has seen to it */
		if (p->throttled)
			act(f, p, RF_FLEET_DO_RELEASE);
		*p = (struct suspect){ .weight = 0 };
		return;
	}
	uint64_t *then = &p->totals[f->tick % SECOND], more = use.requests - *then;
	uint64_t tick_rate = (use.requests - p->totals[(f->tick - 1) % SECOND]) * SECOND;
	double usual;
	struct rf_fleet_deed now = { .rate = more < UINT32_MAX ? (uint32_t)more : UINT32_MAX };
	*then = use.requests;
	now.threshold = threshold(f, p, use.class_slot, conf, &usual);
	now.usual = (uint32_t)(usual + 0.5);
	if (f->tick % SECOND == 0) {
		p->weight /= 2;
		if (!p->above && !p->throttled && (!now.threshold || now.rate <= now.threshold))
			rf_usual_learn(&p->usual, conf, now.rate);
	}
	if (p->seen.what && conf->sense != RF_FLOOD_OFF)
		now = p->seen;
	p->seen = (struct rf_fleet_deed){ 0 };
	judge(f, p, &now, tick_rate, quarantines && !use.address);
}

void rf_fleet_tick(struct rf_fleet *f, const struct rf_detect_conf *conf, bool quarantines)
{
	f->tick++;
	for (unsigned i = 0; i < RF_FLEET_SUSPECTS; i++)
		if (f->suspects[i].name[0])
			tick_one(f, &f->suspects[i], conf, quarantines);
	if (f->tick % WINDOW == 0)
		end_window(f);
}

struct rf_fleet *rf_fleet_new(const struct rf_fleet_ops *ops)
{
	struct rf_fleet *f = calloc(1, sizeof *f);
	if (f)
		f->ops = *ops;
	return f;
}

void rf_fleet_free(struct rf_fleet *f) { free(f); }
