/* shield/homes: see homes.h.
 *
 * One lock guards all but the rows, which the kernel counts into: bits are taken by exchange, counts are read and grow on. A home is at the
 * place of its row, and in `used`, an array without gaps that a tick walks in slices, so that a worker never waits for longer than one.
 *
 * Invariants: h->at[place] <=> its key stands in the row <=> it is in `used`. A device is in who[] of a home once.
 */
#include "shield/homes.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/enc.h"
#include "base/err.h"
#include "bpf/homes.h"
#include "shield/feed.h"

enum { SLICE = 512, DEVICE = 33, TURNS = 16, /* ticks in which each home without traffic is looked at once; */
       TURNS_UNSEEN = 4,  /* and where nothing counts traffic */
       DONE = RF_HOME_SLOW | RF_HOME_HELD | RF_HOME_EXEMPT };

struct who {
	char device[DEVICE];      /* "": free */
	uint8_t id[16];           /* the same */
	bool bound;
	uint32_t live;
	uint64_t left_ns;
};

struct home {
	uint32_t place, used;     /* its row; where it stands in `used` */
	struct rf_ip ip;
	struct who who[RF_HOMES_WHO];
	bool many;                /* there were more than fit into `who` */
	bool slow;                /* as an address */
	bool kept;                /* of a process before, and nobody has come since */
	uint64_t until_ns;        /* when it goes, if nobody is there */
	uint64_t frames;          /* of all kinds, at the last tick */
	uint64_t scans, bots;     /* the same */
	uint32_t idle;            /* ticks without one */
	struct rf_traffic traffic;
};

struct rf_homes {
	pthread_mutex_t lock;
	struct rf_filter_conf *conf;
	struct rf_home_bucket *rows, *own; /* own: those of rf_homes_new */
	struct home **at, **used;
	uint32_t count, lost;
	uint64_t ticks, changes;
	bool retired;
	struct told { char subject[RF_HOMES_NAME]; struct rf_fleet_deed deed; } told[RF_HOMES_TOLD];
};

/* --- rows --- */

static struct rf_home_key key_of(const struct rf_ip *ip)
{
	__u32 a[4];
	memcpy(a, ip->b, sizeof a);
	struct rf_key k = ip->family == 4 ? rf_key4(rf_host32(a[0]), 32) : rf_key6(a);
	return (struct rf_home_key){ k.hi, k.lo };
}

static struct rf_ip ip_of(const struct rf_home_key *k)
{
	struct rf_ip ip = { .family = 6 };
	for (int i = 0; i < 8; i++) {
		ip.b[i] = (uint8_t)(k->hi >> (56 - 8 * i));
		ip.b[8 + i] = (uint8_t)(k->lo >> (56 - 8 * i));
	}
	return rf_ip_unmap(ip);
}

static struct rf_home_key *key_at(struct rf_homes *h, uint32_t place) { return &h->rows[place / RF_HOME_WAYS].key[place % RF_HOME_WAYS]; }
static struct rf_home *row_at(struct rf_homes *h, uint32_t place) { return &h->rows[place / RF_HOME_WAYS].home[place % RF_HOME_WAYS]; }

static struct home *find(struct rf_homes *h, const struct rf_ip *ip)
{
	struct rf_home_key k = key_of(ip);
	for (int second = 0; second < 2; second++)
		for (uint32_t i = 0, at = rf_home_bucket_of(k, h->conf->secret, second) * RF_HOME_WAYS; i < RF_HOME_WAYS; i++)
			if (h->at[at + i] && key_at(h, at + i)->hi == k.hi && key_at(h, at + i)->lo == k.lo)
				return h->at[at + i];
	return NULL;
}

/* --- who is there --- */

static unsigned devices(const struct home *m)
{
	unsigned n = 0;
	for (unsigned i = 0; i < RF_HOMES_WHO; i++)
		n += m->who[i].device[0] != '\0';
	return n;
}

static bool occupied(const struct home *m)
{
	for (unsigned i = 0; i < RF_HOMES_WHO; i++)
		if (m->who[i].live || m->who[i].bound)
			return true;
	return false;
}

static bool in_fleet(const struct rf_homes *h, const struct rf_ip *ip) { return rf_home_in_fleet(h->conf, key_of(ip)); }

/* [RFC 1918 3], [RFC 4193 3.1]: inside of somebody's network, and so before an address translator. */
static bool is_private(const struct rf_ip *ip)
{
	const uint8_t *b = ip->b;
	if (ip->family == 6)
		return (b[0] & 0xfe) == 0xfc;
	return b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) || (b[0] == 192 && b[1] == 168);
}

/* The one device whose address this is; NULL: nobody's alone. */
static const struct who *owner(const struct rf_homes *h, const struct home *m)
{
	const struct who *one = NULL;
	for (unsigned i = 0; i < RF_HOMES_WHO; i++)
		if (m->who[i].device[0])
			one = &m->who[i];
	if (!one || m->many || devices(m) != 1)
		return NULL;
	return one->bound || is_private(&m->ip) || in_fleet(h, &m->ip) ? one : NULL;
}

static void subject_of(const struct rf_homes *h, const struct home *m, char to[RF_HOMES_NAME])
{
	char text[RF_IP_TEXT];
	const struct who *one = owner(h, m);
	snprintf(to, RF_HOMES_NAME, "%s%s", one ? "" : "address:", one ? one->device : rf_ip_str(&m->ip, text));
}

/* Found once all of its row is there: no key of ours has lo 0. */
static void put_key(struct rf_home_key *to, const struct rf_ip *ip)
{
	struct rf_home_key k = key_of(ip);
	if (to->lo == k.lo && to->hi == k.hi)
		return;
	__atomic_store_n(&to->lo, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&to->hi, k.hi, __ATOMIC_RELAXED);
	__atomic_store_n(&to->lo, k.lo, __ATOMIC_RELEASE);
}

static void put_state(struct rf_homes *h, const struct home *m, uint32_t state)
{
	struct rf_home *row = row_at(h, m->place);
	put_key(key_at(h, m->place), &m->ip); /* the engine before may have written here before it retired */
	unsigned n = devices(m);
	const struct who *one = owner(h, m);
	if (one)
		memcpy(row->device, one->id, sizeof row->device);
	else
		memset(row->device, 0, sizeof row->device);
	uint32_t share = n ? n : 1;
	state |= m->many || n > 1 ? RF_HOME_SHARED : 0;
	h->changes += row->state != state || (row->share != share && state & DONE);
	row->share = share;
	__atomic_store_n(&row->state, state, __ATOMIC_RELEASE);
}

/* --- homes come and go --- */

static void forget(struct rf_homes *h, struct home *m)
{
	struct rf_home_key *k = key_at(h, m->place);
	struct rf_home *row = row_at(h, m->place);
	h->changes++;
	__atomic_store_n(&row->state, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&k->lo, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&k->hi, 0, __ATOMIC_RELAXED);
	h->at[m->place] = NULL;
	h->used[m->used] = h->used[--h->count];
	h->used[m->used]->used = m->used;
	free(m);
}

/* A place in one of its two buckets: a free one, else that of the home which has been left for longest. -1: all are occupied. */
static int64_t place_for(struct rf_homes *h, struct rf_home_key k)
{
	struct home *oldest = NULL;
	for (int second = 0; second < 2; second++)
		for (uint32_t i = 0, at = rf_home_bucket_of(k, h->conf->secret, second) * RF_HOME_WAYS; i < RF_HOME_WAYS; i++) {
			struct home *m = h->at[at + i];
			if (!m)
				return at + i;
			if (!occupied(m) && (!oldest || m->until_ns < oldest->until_ns))
				oldest = m;
		}
	if (!oldest)
		return -1;
	uint32_t place = oldest->place;
	forget(h, oldest);
	return place;
}

static void settle(struct rf_homes *h, struct home *m, uint32_t place)
{
	m->place = place;
	m->used = h->count;
	h->at[place] = h->used[h->count++] = m;
	h->changes++;
	__atomic_store_n(&h->conf->fleet, 1, __ATOMIC_RELEASE);
}

static struct home *make(struct rf_homes *h, const struct rf_ip *ip, uint64_t now_ns)
{
	struct home *m = h->retired ? NULL : find(h, ip);
	if (m || h->retired)
		return m;
	int64_t place = ip->family ? place_for(h, key_of(ip)) : -1;
	m = place < 0 ? NULL : calloc(1, sizeof *m);
	if (!m) {
		h->lost++;
		return NULL;
	}
	*m = (struct home){ .ip = *ip, .until_ns = now_ns + RF_HOMES_KEPT_NS };
	settle(h, m, (uint32_t)place);
	memset(row_at(h, m->place), 0, sizeof(struct rf_home));
	put_key(key_at(h, m->place), ip);
	return m;
}

static struct who *who_of(struct home *m, const char *device)
{
	for (unsigned i = 0; i < RF_HOMES_WHO; i++)
		if (strcmp(m->who[i].device, device) == 0)
			return &m->who[i];
	return NULL;
}

static struct who *add_who(struct home *m, const char *device)
{
	struct who *w = who_of(m, device);
	if (!w && (w = who_of(m, ""))) {
		snprintf(w->device, sizeof w->device, "%s", device);
		rf_unhex(rf_str_z(w->device), w->id, sizeof w->id);
	}
	m->many |= !w;
	m->kept = false;
	return w;
}

void rf_homes_come(struct rf_homes *h, const struct rf_ip *ip, const char *device, uint32_t state, uint64_t now_ns)
{
	pthread_mutex_lock(&h->lock);
	struct home *m = make(h, ip, now_ns);
	bool new = m && !who_of(m, device);
	struct who *w = m ? add_who(m, device) : NULL;
	if (w)
		w->live++;
	if (new)
		put_state(h, m, owner(h, m) ? state : (m->slow ? RF_HOME_SLOW : 0) | (devices(m) == 1 ? state & RF_HOME_EXEMPT : 0));
	pthread_mutex_unlock(&h->lock);
}

void rf_homes_go(struct rf_homes *h, const struct rf_ip *ip, const char *device, uint64_t now_ns)
{
	pthread_mutex_lock(&h->lock);
	struct home *m = find(h, ip);
	struct who *w = m ? who_of(m, device) : NULL;
	if (w && w->live) {
		w->live--;
		w->left_ns = now_ns;
		m->until_ns = now_ns + RF_HOMES_KEPT_NS;
	}
	pthread_mutex_unlock(&h->lock);
}

/* As the kernel finds it: without the lock. A row that is given to another address meanwhile has counted for it once. */
static struct rf_home *row_of(struct rf_homes *h, const struct rf_ip *ip)
{
	struct rf_home_key k = key_of(ip);
	for (int second = 0; second < 2; second++) {
		struct rf_home_bucket *b = &h->rows[rf_home_bucket_of(k, h->conf->secret, second)];
		for (int i = 0; i < RF_HOME_WAYS; i++)
			if (__atomic_load_n(&b->key[i].lo, __ATOMIC_ACQUIRE) == k.lo && __atomic_load_n(&b->key[i].hi, __ATOMIC_RELAXED) == k.hi)
				return &b->home[i];
	}
	return NULL;
}

int rf_homes_ask(struct rf_homes *h, const struct rf_ip *src, const struct rf_ip *dst, uint16_t port, bool tcp, uint32_t n,
		 uint64_t now_ns)
{
	struct rf_home *row = __atomic_load_n(&h->conf->fleet, __ATOMIC_RELAXED) ? row_of(h, src) : NULL;
	if (!row)
		return RF_OK;
	struct rf_frame f = { .family = dst->family, .proto = tcp ? RF_PROTO_TCP : RF_PROTO_UDP, .tcp_flags = tcp ? RF_TCP_SYN : 0,
			      .dport = port };
	memcpy(f.dst, dst->b, sizeof f.dst);
	if (h->rows == h->own)
		rf_home_count(row, h->conf, &f, n);
	uint32_t state = __atomic_load_n(&row->state, __ATOMIC_ACQUIRE);
	bool held = state & RF_HOME_HELD;
	if (state & RF_HOME_EXEMPT || !(state & (RF_HOME_HELD | RF_HOME_SLOW)) || (!held && !rf_home_over(row, true, now_ns)))
		return RF_OK;
	__atomic_fetch_add(&row->stopped, n, __ATOMIC_RELAXED);
	return held ? RF_E_DENIED : RF_E_RATE;
}

void rf_homes_bind(struct rf_homes *h, const struct rf_ip *ip, const char *device, bool is, uint64_t now_ns)
{
	pthread_mutex_lock(&h->lock);
	struct home *m = is ? make(h, ip, now_ns) : find(h, ip);
	struct who *w = !m ? NULL : is ? add_who(m, device) : who_of(m, device);
	if (w) {
		w->bound = is;
		w->left_ns = now_ns;
		m->until_ns = now_ns + RF_HOMES_KEPT_NS;
	}
	pthread_mutex_unlock(&h->lock);
}

void rf_homes_watch(struct rf_homes *h, const struct rf_ip *ip, uint64_t now_ns)
{
	pthread_mutex_lock(&h->lock);
	struct home *m = in_fleet(h, ip) ? make(h, ip, now_ns) : NULL;
	if (m)
		m->until_ns = now_ns + RF_HOMES_KEPT_NS;
	pthread_mutex_unlock(&h->lock);
}

void rf_homes_slow(struct rf_homes *h, const char *subject, bool slow)
{
	struct rf_ip ip;
	struct rf_str text = rf_str_z(subject);
	if (!rf_str_starts(text, RF_STR("address:")) || !rf_ip_parse(rf_str_skip(text, sizeof "address:" - 1), &ip))
		return;
	pthread_mutex_lock(&h->lock);
	struct home *m = h->retired ? NULL : find(h, &ip);
	if (m) {
		m->slow = slow;
		put_state(h, m, slow ? RF_HOME_SLOW : 0);
	}
	pthread_mutex_unlock(&h->lock);
}

/* --- ticks --- */

static uint32_t state_now(struct rf_homes *h, const struct home *m, const struct rf_homes_ops *ops)
{
	uint32_t exempt = m->many || !devices(m) ? 0 : RF_HOME_EXEMPT;
	if (m->kept && !devices(m))
		return __atomic_load_n(&row_at(h, m->place)->state, __ATOMIC_RELAXED);
	const struct who *one = owner(h, m);
	if (one)
		return ops->state(ops->arg, one->device);
	for (unsigned i = 0; i < RF_HOMES_WHO; i++)
		if (m->who[i].device[0])
			exempt &= ops->state(ops->arg, m->who[i].device);
	return exempt | (m->slow ? RF_HOME_SLOW : 0);
}

/* Devices that were there are forgotten in time, one that is held not before somebody else comes. True: so is the home. */
static bool age(struct rf_homes *h, struct home *m, uint32_t state, uint64_t now_ns)
{
	unsigned left = 0;
	for (unsigned i = 0; i < RF_HOMES_WHO; i++) {
		struct who *w = &m->who[i];
		bool there = w->live || w->bound || now_ns < w->left_ns + RF_HOMES_KEPT_NS || (state & RF_HOME_HELD && owner(h, m));
		if (w->device[0] && !there)
			*w = (struct who){ .live = 0 };
		left += w->device[0] != '\0';
	}
	m->many &= left > 1;
	if (left || now_ns < m->until_ns || m->slow)
		return false;
	forget(h, m);
	return true;
}

static void read_row(struct rf_home *row, struct home *m, struct rf_traffic_seen *to)
{
	*to = (struct rf_traffic_seen){ .counts = { __atomic_load_n(&row->syns, __ATOMIC_RELAXED),
		__atomic_load_n(&row->datagrams, __ATOMIC_RELAXED), __atomic_load_n(&row->frames, __ATOMIC_RELAXED) } };
	uint64_t all = to->counts[0] + to->counts[1] + to->counts[2];
	uint64_t scans = __atomic_load_n(&row->scans, __ATOMIC_RELAXED), bots = __atomic_load_n(&row->bots, __ATOMIC_RELAXED);
	to->scans = scans - m->scans;
	to->bots = bots - m->bots;
	m->scans = scans;
	m->bots = bots;
	m->idle = all == m->frames ? m->idle + 1 : 0;
	if (m->idle)
		return;
	m->frames = all;
	if (row->scan_targets)
		to->scanned = __atomic_exchange_n(&row->scan_targets, 0, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < RF_HOME_TARGET_WORDS; i++)
		if (row->targets[i])
			to->targets[i] = __atomic_exchange_n(&row->targets[i], 0, __ATOMIC_RELAXED);
}

struct tick {
	const struct rf_traffic_conf *conf;
	const struct rf_detect_conf *floods;
	const struct rf_homes_ops *ops;
	uint64_t now_ns;
	bool learned;
};

/* One home. True: it attacks; false also where it was forgotten, and another stands in its place. */
static bool tick_one(struct rf_homes *h, struct home *m, const struct tick *t, struct rf_fleet_deed *ret)
{
	enum { ACTS = RF_HOME_SLOW | RF_HOME_HELD };
	uint64_t turns = h->rows == h->own ? TURNS_UNSEEN : TURNS;
	struct rf_traffic_seen seen;
	struct rf_home *row = row_at(h, m->place);
	uint32_t state = row->state & ~(uint32_t)RF_HOME_SHARED;
	read_row(row, m, &seen);
	if (!m->idle || state & ACTS || m->used % turns == h->ticks % turns) {
		state = state_now(h, m, t->ops);
		put_state(h, m, state);
		if (age(h, m, state, t->now_ns))
			return false;
	}
	if (m->idle > 2 * RF_TRAFFIC_WINDOW) /* nothing in it would change */
		return false;
	return rf_traffic_tick(&m->traffic, t->conf, t->floods, t->learned, &seen, ret) && !(state & (RF_HOME_EXEMPT | RF_HOME_HELD)) &&
	       t->floods->sense != RF_FLOOD_OFF;
}

static unsigned slice(struct rf_homes *h, uint32_t from, unsigned told, const struct tick *t)
{
	for (uint32_t i = from + SLICE; i-- > from;) { /* downwards: one that goes is replaced by one that was looked at, or is of a later slice */
		struct rf_fleet_deed deed;
		if (i < h->count && tick_one(h, h->used[i], t, &deed) && told < RF_HOMES_TOLD) {
			subject_of(h, h->used[i], h->told[told].subject);
			h->told[told++].deed = deed;
		}
	}
	return told;
}

void rf_homes_tick(struct rf_homes *h, const struct rf_traffic_conf *conf, const struct rf_detect_conf *floods, uint64_t now_ns,
		   const struct rf_homes_ops *ops)
{
	struct tick t = { conf, floods, ops, now_ns, ++h->ticks * RF_FLOOD_TICK_NS > floods->learn_ns };
	unsigned told = 0;
	bool more = true;
	for (uint32_t from = 0; more; from += SLICE) {
		pthread_mutex_lock(&h->lock);
		told = h->retired ? 0 : slice(h, from, told, &t);
		more = from + SLICE < h->count && !h->retired;
		pthread_mutex_unlock(&h->lock);
	}
	for (unsigned i = 0; i < told; i++)
		ops->offends(ops->arg, h->told[i].subject, &h->told[i].deed);
}

void rf_homes_retire(struct rf_homes *h)
{
	pthread_mutex_lock(&h->lock);
	h->retired = true;
	pthread_mutex_unlock(&h->lock);
}

/* --- asked --- */

bool rf_homes_count(struct rf_homes *h, const char *subject, uint64_t *ret_frames, uint64_t *ret_stopped)
{
	bool any = false;
	*ret_frames = *ret_stopped = 0;
	pthread_mutex_lock(&h->lock);
	for (uint32_t i = 0; i < h->count; i++) {
		char name[RF_HOMES_NAME];
		const struct rf_home *row = row_at(h, h->used[i]->place);
		subject_of(h, h->used[i], name);
		if (strcmp(name, subject) != 0)
			continue;
		any = true;
		*ret_frames += row->syns + row->datagrams + row->frames;
		*ret_stopped += row->banned + row->stopped;
	}
	pthread_mutex_unlock(&h->lock);
	return any;
}

unsigned rf_homes_of(struct rf_homes *h, const char *device, struct rf_homes_at v[RF_HOMES_SHOWN])
{
	unsigned n = 0;
	pthread_mutex_lock(&h->lock);
	for (uint32_t i = 0; i < h->count && n < RF_HOMES_SHOWN; i++) {
		struct home *m = h->used[i];
		const struct who *w = who_of(m, device);
		if (w)
			v[n++] = (struct rf_homes_at){ m->ip, w->live, w->bound, owner(h, m) == w };
	}
	pthread_mutex_unlock(&h->lock);
	return n;
}

size_t rf_homes_done(struct rf_homes *h, struct rf_homes_done *v, size_t room)
{
	static const uint32_t order[] = { RF_HOME_HELD, RF_HOME_SLOW, RF_HOME_EXEMPT, 0 };
	size_t n = 0;
	pthread_mutex_lock(&h->lock);
	for (size_t turn = 0; turn < sizeof order / sizeof *order; turn++)
		for (uint32_t i = 0; i < h->count && n < room; i++) {
			const struct rf_home *row = row_at(h, h->used[i]->place);
			uint32_t what = row->state & RF_HOME_EXEMPT ? RF_HOME_EXEMPT : row->state & RF_HOME_HELD ? RF_HOME_HELD : row->state & RF_HOME_SLOW;
			if (what == order[turn])
				v[n++] = (struct rf_homes_done){ h->used[i]->ip, what, row->share };
		}
	pthread_mutex_unlock(&h->lock);
	return n;
}

uint64_t rf_homes_changes(struct rf_homes *h)
{
	pthread_mutex_lock(&h->lock);
	uint64_t n = h->changes;
	pthread_mutex_unlock(&h->lock);
	return n;
}

void rf_homes_stats(struct rf_homes *h, struct rf_homes_stats *ret)
{
	pthread_mutex_lock(&h->lock);
	*ret = (struct rf_homes_stats){ .homes = h->count, .lost = h->lost };
	for (uint32_t i = 0; i < h->count; i++) {
		ret->shared += h->used[i]->many || devices(h->used[i]) > 1;
		ret->watched += !devices(h->used[i]);
	}
	pthread_mutex_unlock(&h->lock);
}

/* --- life --- */

void rf_homes_networks(struct rf_homes *h, const struct rf_prefix *v, size_t n)
{
	pthread_mutex_lock(&h->lock);
	__atomic_store_n(&h->conf->fleet_nets, 0, __ATOMIC_RELEASE);
	n = n < RF_HOME_NETS ? n : RF_HOME_NETS;
	for (size_t i = 0; i < n; i++) {
		struct rf_home_key k = key_of(&v[i].ip);
		h->conf->net[i] = (struct rf_home_net){ k.hi, k.lo, v[i].bits + (v[i].ip.family == 4 ? 96u : 0u) };
	}
	__atomic_store_n(&h->conf->fleet_nets, (uint32_t)n, __ATOMIC_RELEASE);
	__atomic_store_n(&h->conf->fleet, h->count || n, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&h->lock);
}

/* A row that a process before has left: with its device, where it is one's alone. */
static int adopt(struct rf_homes *h, uint32_t place, uint64_t now_ns)
{
	static const uint8_t nobody[16];
	const struct rf_home *row = row_at(h, place);
	struct home *m = calloc(1, sizeof *m);
	if (!m)
		return RF_E_NOMEM;
	*m = (struct home){ .ip = ip_of(key_at(h, place)), .until_ns = now_ns + RF_HOMES_KEPT_NS, .kept = true,
			    .many = row->state & RF_HOME_SHARED };
	if (memcmp(row->device, nobody, sizeof nobody) != 0)
		rf_hex(row->device, sizeof row->device, m->who[0].device);
	memcpy(m->who[0].id, row->device, sizeof row->device);
	m->who[0].left_ns = now_ns;
	settle(h, m, place);
	struct rf_traffic_seen seen;
	read_row(row_at(h, place), m, &seen);
	rf_traffic_begin(&m->traffic, &seen);
	return RF_OK;
}

int rf_homes_enter(struct rf_homes *h, struct rf_filter_conf *conf, struct rf_home_bucket *rows, uint64_t now_ns)
{
	uint32_t n = h->count;
	int rc = RF_OK;
	struct home **before = calloc(n + 1u, sizeof(struct home *));
	if (!before)
		return RF_E_NOMEM;
	memcpy(before, h->used, n * sizeof(struct home *));
	memset(h->at, 0, RF_HOMES_MAX * sizeof(struct home *));
	h->count = 0;
	h->conf = conf;
	h->rows = rows;
	for (uint32_t i = 0; rc == RF_OK && i < RF_HOMES_MAX; i++)
		if (key_at(h, i)->lo)
			rc = adopt(h, i, now_ns);
	for (uint32_t i = 0; i < n; i++) {
		for (unsigned k = 0; rc == RF_OK && k < RF_HOMES_WHO; k++)
			if (before[i]->who[k].bound)
				rf_homes_bind(h, &before[i]->ip, before[i]->who[k].device, true, now_ns);
		free(before[i]);
	}
	free(before);
	return rc;
}

struct rf_homes *rf_homes_new(struct rf_filter_conf *conf)
{
	struct rf_homes *h = calloc(1, sizeof *h);
	if (!h)
		return NULL;
	pthread_mutex_init(&h->lock, NULL);
	h->conf = conf;
	h->rows = h->own = calloc(RF_HOME_BUCKETS, sizeof *h->own);
	h->at = calloc(RF_HOMES_MAX, sizeof(struct home *));
	h->used = calloc(RF_HOMES_MAX, sizeof(struct home *));
	if (h->own && h->at && h->used)
		return h;
	rf_homes_free(h);
	return NULL;
}

void rf_homes_free(struct rf_homes *h)
{
	if (!h)
		return;
	for (uint32_t i = 0; i < h->count; i++)
		free(h->used[i]);
	pthread_mutex_destroy(&h->lock);
	free(h->own);
	free(h->at);
	free(h->used);
	free(h);
}
