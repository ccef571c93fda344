/* ctl/attack_fleet: our own devices as attackers (shield/fleet): an attack for each, its throttle, its quarantine.
 *
 *   samples of requests, deeds of frames (shield/homes) ─► shield/fleet
 *     ─► THROTTLE: rf_device_use.throttle, which workers hold its requests to, and the kernel filter what leaves; an attack begins
 *     ─► QUARANTINE: as a rule's action does it (ctl/devices), and nothing leaves any more; the attack ends
 *     ─► RELEASE: the throttle goes; the attack ends
 *
 * Of an address that is nobody's alone only what leaves is throttled. A throttle is not kept over a restart; a quarantine is state, and
 * `device activate` takes it back.
 */
#include <stdio.h>
#include <stdlib.h>
#include "ctl/attacks.h"
#include "ctl/devices.h"
#include "ctl/private.h"
#include "ctl/wall.h"
#include "records/counters.h"
#include "shield/fleet.h"
#include "shield/homes.h"
#include "shield/shield.h"

struct rf_attack_fleet {
	struct rf_ctl *c;
	struct rf_attacks *a;
	struct rf_fleet *fleet;
	struct rf_attack attacks[RF_FLEET_SUSPECTS]; /* their floods are NULL: free */
	uint64_t requests[RF_FLEET_SUSPECTS], refused[RF_FLEET_SUSPECTS]; /* requests and frames of the subject, before the attack */
};

static const struct { const char *vector, *counter, *words; } deeds[] = {
#define RF_DEED(id, vector, counter, words) [RF_DEED_##id] = { vector, counter, words },
#include "tbl/deeds.def"
#undef RF_DEED
};

static bool is_address(const char *subject) { return strchr(subject, ':') != NULL; }
static struct rf_homes *homes(const struct rf_attack_fleet *f) { return rf_shield_homes(f->c->shield); }

static bool acts(const struct rf_attack_fleet *f) { return f->c->boot->floods_mode == RF_FLOODS_BLOCK; }

static bool exempt(uint16_t slot)
{
	const struct rf_site *site = rf_snap_now()->site;
	const struct rf_class *class = slot < site->class_slots ? site->classes[slot] : NULL;
	return class && class->flood_exempt;
}

static bool use(void *arg, const char *subject, struct rf_fleet_use *ret)
{
	struct rf_attack_fleet *f = arg;
	uint64_t frames, stopped;
	if (is_address(subject)) {
		*ret = (struct rf_fleet_use){ .class_slot = UINT16_MAX, .address = true };
		return rf_homes_count(homes(f), subject, &frames, &stopped);
	}
	struct rf_device *d = rf_device_find(f->c->devices, rf_str_z(subject));
	if (!d || rf_device_state(d) != RF_DEVICE_ACTIVE)
		return false;
	uint16_t slot = rf_device_class_slot(d);
	*ret = (struct rf_fleet_use){ .requests = atomic_load_explicit(&rf_device_use(d)->requests_total, memory_order_relaxed),
				      .class_slot = slot, .exempt = exempt(slot) };
	return true;
}

static struct rf_attack *attack_of(struct rf_attack_fleet *f, const char *subject)
{
	for (unsigned i = 0; i < RF_FLEET_SUSPECTS; i++) {
		struct rf_attack *at = &f->attacks[i];
		if (at->flood && strcmp(at->device[0] ? at->device : at->flood->host, subject) == 0)
			return at;
	}
	return NULL;
}

static void set_throttle(struct rf_attack_fleet *f, const char *subject, uint32_t rate)
{
	struct rf_device *d = is_address(subject) ? NULL : rf_device_find(f->c->devices, rf_str_z(subject));
	if (d)
		atomic_store_explicit(&rf_device_use(d)->throttle, rate, memory_order_relaxed);
	else
		rf_homes_slow(homes(f), subject, rate);
}

static const char *measure(const struct rf_attack_fleet *f, const char *subject)
{
	return !acts(f) ? NULL : !is_address(subject) ? "the device is throttled" :
		"what leaves from the address is throttled: several devices may have it";
}

static void deed_words(const struct rf_fleet_deed *deed, char *to, size_t room)
{
	if (deed->bot)
		snprintf(to, room, "%s %s", deeds[deed->what].words, deed->bot);
	else
		snprintf(to, room, "%u %s, usually %u", deed->rate, deeds[deed->what].words, deed->usual);
}

static void describe(struct rf_attack_fleet *f, struct rf_attack *at, const char *subject, const struct rf_fleet_deed *deed)
{
	struct rf_flood *flood = at->flood;
	*at = (struct rf_attack){ .vector = deeds[deed->what].vector, .counter = deeds[deed->what].counter, .flood = flood, .rules = json_array(),
				  .measure = measure(f, subject) };
	deed_words(deed, at->why, sizeof at->why);
	at->frames = deed->what != RF_DEED_FLOOD && deed->what != RF_DEED_BOT;
	if (!is_address(subject))
		memcpy(at->device, subject, sizeof at->device);
	snprintf(flood->host, sizeof flood->host, "%s%s", is_address(subject) ? "" : "device:", subject);
	flood->began_ns = f->c->clock.wall(f->c->clock.ctx);
	flood->usual = deed->usual;
	flood->threshold = deed->threshold;
	flood->rate = flood->peak = deed->rate;
	flood->inaction = acts(f) ? NULL : "floods.mode does not say block";
}

/* What it has sent and what of it was refused since the attack began: requests, and frames that the kernel filter saw. */
static void count(struct rf_attack_fleet *f, struct rf_attack *at)
{
	uint64_t frames = 0, stopped = 0;
	struct rf_device *d = at->device[0] ? rf_device_find(f->c->devices, rf_str_z(at->device)) : NULL;
	rf_homes_count(homes(f), at->device[0] ? at->device : at->flood->host, &frames, &stopped);
	if (d) {
		frames += atomic_load(&rf_device_use(d)->requests_total);
		stopped += atomic_load(&rf_device_use(d)->refused_total);
	}
	at->flood->requests = frames - f->requests[at - f->attacks];
	at->stopped = stopped - f->refused[at - f->attacks];
}

static void begin(struct rf_attack_fleet *f, const char *subject, const struct rf_fleet_deed *deed)
{
	struct rf_attack *at = NULL;
	if (acts(f))
		set_throttle(f, subject, RF_FLEET_THROTTLE);
	for (unsigned i = 0; i < RF_FLEET_SUSPECTS && !at; i++)
		at = f->attacks[i].flood ? NULL : &f->attacks[i];
	if (!at || !(at->flood = calloc(1, sizeof *at->flood)))
		return; /* it is throttled all the same, and goes unreported */
	describe(f, at, subject, deed);
	f->requests[at - f->attacks] = f->refused[at - f->attacks] = 0;
	count(f, at);
	f->requests[at - f->attacks] = at->flood->requests;
	f->refused[at - f->attacks] = at->stopped;
	at->flood->requests = at->stopped = 0;
	rf_count(deed->bot ? RF_C_ATTACKS_BOT : strcmp(at->vector, "device_scan") == 0 ? RF_C_ATTACKS_SCAN : RF_C_ATTACKS_DEVICE);
	rf_attack_tell(f->a, at, RF_FLOOD_START);
}

static bool quarantine(struct rf_attack_fleet *f, const char *device, const struct rf_attack *at, const struct rf_fleet_deed *deed)
{
	struct rf_device *d = rf_device_find(f->c->devices, rf_str_z(device));
	struct rf_identity_event ev = { .quarantined = true, .attack = true, .at_s = f->c->clock.wall(f->c->clock.ctx) / (int64_t)RF_NS_S };
	memcpy(ev.device, device, sizeof ev.device);
	memcpy(ev.rule, at ? at->id : "", at ? sizeof ev.rule : 1);
	deed_words(deed, ev.subject, sizeof ev.subject);
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

/* Inside of the lock of homes. */
static uint32_t state(void *arg, const char *device)
{
	struct rf_attack_fleet *f = arg;
	struct rf_device *d = rf_device_find(f->c->devices, rf_str_z(device));
	if (!d)
		return 0;
	bool held = rf_device_state(d) != RF_DEVICE_ACTIVE, slow = atomic_load_explicit(&rf_device_use(d)->throttle, memory_order_relaxed);
	return (exempt(rf_device_class_slot(d)) ? RF_HOME_EXEMPT : 0) | (held ? RF_HOME_HELD : 0) | (slow ? RF_HOME_SLOW : 0);
}

static void offends(void *arg, const char *subject, const struct rf_fleet_deed *deed)
{
	rf_fleet_offends(((struct rf_attack_fleet *)arg)->fleet, subject, deed);
}

void rf_attack_fleet_frame(struct rf_attack_fleet *f, const struct rf_ip *src)
{
	rf_homes_watch(homes(f), src, f->c->clock.mono(f->c->clock.ctx));
}

void rf_attack_fleet_tick(struct rf_attack_fleet *f, const struct rf_detect_conf *conf)
{
	const struct rf_boot *b = f->c->boot;
	struct rf_traffic_conf traffic = { { (uint32_t)b->fleet_syns, (uint32_t)b->fleet_datagrams, (uint32_t)b->fleet_frames },
					   (uint32_t)b->fleet_targets };
	struct rf_homes_ops ops = { state, offends, f };
	rf_fleet_tick(f->fleet, conf, acts(f));
	rf_homes_tick(homes(f), &traffic, conf, f->c->clock.mono(f->c->clock.ctx), &ops); /* puts in force what was decided */
	rf_wall_homes(f->c);
}

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
