/* ctl/attack_fleet: our own devices as attackers (shield/fleet): an attack for each, its throttle, its quarantine.
 *
 *   sample ─► shield/fleet ─► THROTTLE: rf_device_use.throttle, which workers hold its requests to; an attack begins
 *     ─► QUARANTINE: as a rule's action does it (ctl/devices); the attack ends
 *     ─► RELEASE: the throttle goes; the attack ends
 *
 * A throttle is not kept over a restart; a quarantine is state, and `device activate` takes it back.
 */
#include <stdio.h>
#include <stdlib.h>
#include "ctl/attacks.h"
#include "ctl/devices.h"
#include "ctl/private.h"
#include "records/counters.h"
#include "shield/fleet.h"

struct rf_attack_fleet {
	struct rf_ctl *c;
	struct rf_attacks *a;
	struct rf_fleet *fleet;
	struct rf_attack attacks[RF_FLEET_SUSPECTS]; /* their floods are NULL: free */
	uint64_t requests[RF_FLEET_SUSPECTS], refused[RF_FLEET_SUSPECTS]; /* of the device, before the attack */
};

static bool acts(const struct rf_attack_fleet *f) { return f->c->boot->floods_mode == RF_FLOODS_BLOCK; }

static bool use(void *arg, const char *device, struct rf_fleet_use *ret)
{
	struct rf_attack_fleet *f = arg;
	struct rf_device *d = rf_device_find(f->c->devices, rf_str_z(device));
	if (!d || rf_device_state(d) != RF_DEVICE_ACTIVE)
		return false;
	const struct rf_site *site = rf_snap_now()->site;
	uint16_t slot = rf_device_class_slot(d);
	const struct rf_class *class = slot < site->class_slots ? site->classes[slot] : NULL;
	*ret = (struct rf_fleet_use){ .requests = atomic_load_explicit(&rf_device_use(d)->requests_total, memory_order_relaxed),
				      .class_slot = slot, .exempt = class && class->flood_exempt };
	return true;
}

static struct rf_attack *attack_of(struct rf_attack_fleet *f, const char *device)
{
	for (unsigned i = 0; i < RF_FLEET_SUSPECTS; i++)
		if (f->attacks[i].flood && strcmp(f->attacks[i].device, device) == 0)
			return &f->attacks[i];
	return NULL;
}

static void set_throttle(struct rf_attack_fleet *f, const char *device, uint32_t rate)
{
	struct rf_device *d = rf_device_find(f->c->devices, rf_str_z(device));
	if (d)
		atomic_store_explicit(&rf_device_use(d)->throttle, rate, memory_order_relaxed);
}

static void describe(struct rf_attack_fleet *f, struct rf_attack *at, const char *device, const struct rf_fleet_deed *deed)
{
	struct rf_flood *flood = at->flood;
	*at = (struct rf_attack){ .vector = deed->bot ? "device_bot" : "device_flood", .counter = deed->bot ? "bot_requests" : "requests_per_second",
				  .flood = flood, .rules = json_array(), .measure = acts(f) ? "the device is throttled" : NULL };
	memcpy(at->device, device, sizeof at->device);
	snprintf(flood->host, sizeof flood->host, "device:%s", device);
	flood->began_ns = f->c->clock.wall(f->c->clock.ctx);
	flood->usual = deed->usual;
	flood->threshold = deed->threshold;
	flood->rate = flood->peak = deed->rate;
	flood->inaction = acts(f) ? NULL : "floods.mode does not say block";
}

/* What it has sent and what of it was refused since the attack began. */
static void count(struct rf_attack_fleet *f, struct rf_attack *at)
{
	struct rf_device *d = rf_device_find(f->c->devices, rf_str_z(at->device));
	if (!d)
		return;
	at->flood->requests = atomic_load(&rf_device_use(d)->requests_total) - f->requests[at - f->attacks];
	at->stopped = atomic_load(&rf_device_use(d)->refused_total) - f->refused[at - f->attacks];
}

static void begin(struct rf_attack_fleet *f, const char *device, const struct rf_fleet_deed *deed)
{
	struct rf_attack *at = NULL;
	if (acts(f))
		set_throttle(f, device, RF_FLEET_THROTTLE);
	for (unsigned i = 0; i < RF_FLEET_SUSPECTS && !at; i++)
		at = f->attacks[i].flood ? NULL : &f->attacks[i];
	if (!at || !(at->flood = calloc(1, sizeof *at->flood)))
		return; /* it is throttled all the same, and goes unreported */
	describe(f, at, device, deed);
	f->requests[at - f->attacks] = f->refused[at - f->attacks] = 0;
	count(f, at);
	f->requests[at - f->attacks] = at->flood->requests;
	f->refused[at - f->attacks] = at->stopped;
	at->flood->requests = at->stopped = 0;
	rf_count(deed->bot ? RF_C_ATTACKS_BOT : RF_C_ATTACKS_DEVICE);
	rf_attack_tell(f->a, at, RF_FLOOD_START);
}

/* As a rule's action: in force at once, then kept, and its connections end. */
static bool quarantine(struct rf_attack_fleet *f, const char *device, const struct rf_attack *at, const struct rf_fleet_deed *deed)
{
	struct rf_device *d = rf_device_find(f->c->devices, rf_str_z(device));
	struct rf_identity_event ev = { .quarantined = true, .attack = true, .at_s = f->c->clock.wall(f->c->clock.ctx) / (int64_t)RF_NS_S };
	memcpy(ev.device, device, sizeof ev.device);
	memcpy(ev.rule, at ? at->id : "", at ? sizeof ev.rule : 1);
	if (deed->bot)
		snprintf(ev.subject, sizeof ev.subject, "requests of the bot %s", deed->bot);
	else
		snprintf(ev.subject, sizeof ev.subject, "%u requests a second, usually %u", deed->rate, deed->usual);
	if (!d || !rf_device_turn(d, RF_DEVICE_ACTIVE, RF_DEVICE_QUARANTINED))
		return false;
	if (!rf_devices_event(f->c->priv->devices, &ev)) {
		rf_device_turn(d, RF_DEVICE_QUARANTINED, RF_DEVICE_ACTIVE);
		return false;
	}
	rf_count(RF_C_QUARANTINED);
	return true;
}

static void finish(struct rf_attack_fleet *f, struct rf_attack *at)
{
	count(f, at);
	at->flood->ended_ns = f->c->clock.wall(f->c->clock.ctx);
	at->ended = true;
	rf_attack_tell(f->a, at, RF_FLOOD_END);
	json_decref(at->rules);
	free(at->flood);
	*at = (struct rf_attack){ 0 };
}

static void act(void *arg, const char *device, enum rf_fleet_act what, const struct rf_fleet_deed *deed)
{
	struct rf_attack_fleet *f = arg;
	if (what == RF_FLEET_DO_THROTTLE) {
		begin(f, device, deed);
		return;
	}
	struct rf_attack *at = attack_of(f, device);
	bool done = what == RF_FLEET_DO_QUARANTINE && quarantine(f, device, at, deed);
	if (done && at)
		at->measure = "the device was throttled, then quarantined";
	set_throttle(f, device, 0);
	if (at)
		finish(f, at);
}

static void rate(void *arg, const char *device, uint32_t now)
{
	struct rf_attack *at = attack_of(arg, device);
	if (!at)
		return;
	count(arg, at);
	at->flood->rate = now;
	at->flood->peak = now > at->flood->peak ? now : at->flood->peak;
}

void rf_attack_fleet_sample(struct rf_attack_fleet *f, const struct rf_sample *s) { rf_fleet_sample(f->fleet, s); }

void rf_attack_fleet_tick(struct rf_attack_fleet *f, const struct rf_detect_conf *conf) { rf_fleet_tick(f->fleet, conf, acts(f)); }

struct rf_attack *rf_attack_fleet_find(struct rf_attack_fleet *f, const char *id)
{
	for (unsigned i = 0; i < RF_FLEET_SUSPECTS; i++)
		if (f->attacks[i].flood && strcmp(f->attacks[i].id, id) == 0)
			return &f->attacks[i];
	return NULL;
}

unsigned rf_attack_fleet_active(const struct rf_attack_fleet *f)
{
	unsigned n = 0;
	for (unsigned i = 0; i < RF_FLEET_SUSPECTS; i++)
		n += f->attacks[i].flood != NULL;
	return n;
}

struct rf_attack_fleet *rf_attack_fleet_new(struct rf_ctl *c, struct rf_attacks *a)
{
	struct rf_attack_fleet *f = calloc(1, sizeof *f);
	struct rf_fleet_ops ops = { use, act, rate, f };
	if (f && !(f->fleet = rf_fleet_new(&ops))) {
		free(f);
		return NULL;
	}
	if (f) {
		f->c = c;
		f->a = a;
	}
	return f;
}

void rf_attack_fleet_free(struct rf_attack_fleet *f)
{
	if (!f)
		return;
	for (unsigned i = 0; i < RF_FLEET_SUSPECTS; i++) {
		json_decref(f->attacks[i].rules);
		free(f->attacks[i].flood);
	}
	rf_fleet_free(f->fleet);
	free(f);
}
