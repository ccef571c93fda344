/* ctl/patch_watch: see patch_watch.h.
 *
 *   record -> baseline of its device; what it was before is kept at the first stop -> counts of the patches that it names
 *   judge  -> each patch that acts: its stopped devices, healthy ones apart -> does one suffer? -> do enough?
 *
 * Both tables are open-addressed arrays of 32 bytes an entry, bounded; what does not fit is counted as lost and judged
 * by nobody. Times are in hundredths of a second since the table began (497 days).
 */
#include "ctl/patch_watch.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"

enum { CENTI = 100, FIRST = 1024, HORIZON = 10 /* windows */, REPEATS = 3,
       ENOUGH = 5 /* usual intervals before silence or a rate is judged */ };

#define EACH_PATCH(w, n) \
	for (struct rf_map_node *n = rf_map_next(&(w)->patches, NULL); n; n = rf_map_next(&(w)->patches, n))
#define TICK_NS ((int64_t)RF_NS_S / CENTI)
#define ALL_GOOD 65535
#define HEALTHY (ALL_GOOD / 10 * 9)

/* How a device usually fares. */
struct usual {
	uint64_t key;      /* 0: free */
	uint32_t last;     /* its last success */
	uint32_t interval; /* between successes, smoothed; 0: unknown */
	uint32_t paths;    /* a bit for each request that succeeded, by hash */
	uint32_t since;
	uint16_t good;     /* share of successes, smoothed, of ALL_GOOD */
	uint16_t count;    /* of requests, at most UINT16_MAX */
	uint16_t stopped;  /* times that patches stopped it */
	uint16_t unused;
};
_Static_assert(sizeof(struct usual) == 32, "a device's baseline is 32 bytes");

/* A device since a patch first stopped it. */
struct stopped {
	uint64_t key;
	uint32_t first, last; /* first stop; last request of any kind */
	uint32_t interval;    /* as it was before */
	uint16_t hits, good, repeats;
	bool healthy, suffers;
	uint8_t unused[2];
};
_Static_assert(sizeof(struct stopped) <= 32, "a stopped device is 32 bytes at most");

struct table {
	void *v;
	size_t size, count, most; /* size: a power of two */
	uint64_t lost;
};

struct by_class {
	char name[64];
	uint64_t matched, stopped;
};

struct watched {
	struct rf_map_node node;
	struct rf_watch_spec spec;
	bool halted, keep;
	uint64_t matched, stopped;
	size_t class_count;
	struct by_class classes[RF_WATCH_CLASSES + 1]; /* the last: all others */
	struct table devices;      /* struct stopped: those that it stops */
	struct table seen;         /* struct stopped: those that it only matches */
};

struct rf_watch {
	pthread_mutex_t lock;
	int64_t epoch_ns;
	struct table devices;
	struct rf_map patches;
	_Atomic bool on;
};

/* --- tables --- */

static const size_t entry = 32;

static uint64_t key_at(const struct table *t, size_t i)
{
	return *(const uint64_t *)(const void *)((const char *)t->v + i * entry);
}

static void *find(const struct table *t, uint64_t key)
{
	if (!t->size)
		return NULL;
	for (size_t i = key & (t->size - 1);; i = (i + 1) & (t->size - 1)) {
		uint64_t k = key_at(t, i);
		if (k == key)
			return (char *)t->v + i * entry;
		if (!k)
			return NULL;
	}
}

static void *place(struct table *t, uint64_t key)
{
	size_t i = key & (t->size - 1);
	while (key_at(t, i))
		i = (i + 1) & (t->size - 1);
	void *p = (char *)t->v + i * entry;
	*(uint64_t *)p = key;
	t->count++;
	return p;
}

static bool grow(struct table *t)
{
	struct table bigger = { .size = t->size ? t->size * 2 : FIRST, .most = t->most, .lost = t->lost };
	bigger.v = calloc(bigger.size, entry);
	if (!bigger.v)
		return false;
	for (size_t i = 0; i < t->size; i++)
		if (key_at(t, i))
			memcpy(place(&bigger, key_at(t, i)), (char *)t->v + i * entry, entry);
	free(t->v);
	*t = bigger;
	return true;
}

/* Found, or made and zeroed; NULL (and counted) where it is full. */
static void *at(struct table *t, uint64_t key, bool *ret_new)
{
	void *there = find(t, key);
	*ret_new = !there;
	if (there)
		return there;
	if (t->count >= t->most || (t->count * 4 >= t->size * 3 && !grow(t))) {
		t->lost++;
		return NULL;
	}
	return place(t, key);
}

/* --- one record --- */

static uint64_t key_of(struct rf_str id)
{
	uint64_t k = rf_hash(id);
	return k ? k : 1;
}

static uint32_t tick(const struct rf_watch *w, int64_t ns)
{
	return ns > w->epoch_ns ? (uint32_t)((ns - w->epoch_ns) / TICK_NS) : 0;
}

static uint32_t path_bit(const struct rf_record *r)
{
	return 1u << ((key_of(r->method) ^ key_of(r->host) * 3 ^ key_of(r->path) * 7) >> 20 & 31);
}

static bool succeeded(const struct rf_record *r)
{
	return r->status >= 100 && r->status < 400 && (rf_str_eq(r->action, RF_STR("allow")) || rf_str_eq(r->action, RF_STR("log")));
}

static struct watched *patch(const struct rf_watch *w, struct rf_str id)
{
	struct rf_map_node *n = id.n && w->patches.count ? rf_map_find(&w->patches, id) : NULL;
	return n ? RF_CONTAINER(n, struct watched, node) : NULL;
}

static void count_class(struct watched *p, struct rf_str name, bool stops)
{
	size_t i = 0;
	while (i < p->class_count && !rf_str_eq(rf_str_z(p->classes[i].name), name))
		i++;
	if (i == p->class_count && i < RF_WATCH_CLASSES && name.n < sizeof p->classes[i].name) {
		memcpy(p->classes[i].name, name.p ? name.p : "", name.n);
		p->class_count++;
	} else if (i == p->class_count) {
		i = RF_WATCH_CLASSES;
	}
	p->classes[i].matched++;
	p->classes[i].stopped += stops;
}

static bool is_healthy(const struct usual *u)
{
	return u && u->count >= RF_WATCH_KNOWN && u->good >= HEALTHY;
}

static uint32_t horizon(const struct watched *p, const struct stopped *s)
{
	uint32_t window = p->spec.halt.window_s * CENTI * HORIZON, usual = s->interval * 2 * ENOUGH;
	return window > usual ? window : usual;
}

static void note(struct watched *p, struct table *t, const struct usual *u, uint64_t key, uint32_t now, bool used_to)
{
	bool fresh;
	struct stopped *s = at(t, key, &fresh);
	if (!s)
		return;
	if (fresh || (now - s->first > horizon(p, s) && !s->suffers))
		*s = (struct stopped){ .key = key, .first = now, .interval = u ? u->interval : 0, .healthy = is_healthy(u) };
	s->last = now;
	s->hits += s->hits < UINT16_MAX;
	s->repeats += used_to && s->repeats < UINT16_MAX;
}

/* The patch `id` is named by the record. */
static bool matched(struct rf_watch *w, struct rf_str id, const struct rf_record *r, const struct usual *u, bool stops)
{
	struct watched *p = patch(w, id);
	if (!p)
		return false;
	p->matched++;
	p->stopped += stops;
	count_class(p, r->class_name, stops);
	if (r->device.n)
		note(p, stops ? &p->devices : &p->seen, u, key_of(r->device), tick(w, r->at), u && u->paths & path_bit(r));
	return true;
}

/* What the device does besides, told to the patches that have stopped it. */
static void fares(struct rf_watch *w, uint64_t key, uint32_t now, bool good)
{
	EACH_PATCH(w, n) {
		struct watched *p = RF_CONTAINER(n, struct watched, node);
		struct stopped *s = find(&p->devices, key);
		if (!s)
			continue;
		s->last = now;
		s->good += good && s->good < UINT16_MAX;
	}
}

static void learn(struct usual *u, const struct rf_record *r, uint32_t now)
{
	bool good = succeeded(r);
	uint32_t gap = now - u->last;
	u->good = u->count ? (uint16_t)(u->good + ((good ? ALL_GOOD : 0) - (int)u->good) / 16) : good ? ALL_GOOD : 0;
	u->count += u->count < UINT16_MAX;
	if (!good)
		return;
	if (u->last && now >= u->last)
		u->interval = u->interval ? u->interval + (uint32_t)(((int64_t)gap - u->interval) / 8) : gap ? gap : 1;
	u->interval = u->last && !u->interval ? 1 : u->interval;
	u->last = now;
	u->paths |= path_bit(r);
}

static void take(struct rf_watch *w, const struct rf_record *r)
{
	bool fresh;
	uint64_t key = key_of(r->device);
	uint32_t now = tick(w, r->at);
	struct usual *u = r->device.n ? at(&w->devices, key, &fresh) : NULL;
	bool stopped = rf_str_eq(r->action, RF_STR("block")) && matched(w, r->rule_id, r, u, true);
	struct rf_str rest = r->logged_rules, id;
	while (rest.n && rf_str_split(&rest, ',', &id))
		matched(w, id, r, u, false);
	if (!u)
		return;
	if (u->stopped)
		fares(w, key, now, !stopped && succeeded(r));
	if (stopped)
		u->stopped += u->stopped < UINT16_MAX;
	else
		learn(u, r, now);
}

void rf_watch_record(struct rf_watch *w, const struct rf_record *rec)
{
	if (rec->kind == RF_REC_EVENT || rec->kind == RF_REC_ATTACK || rec->kind == RF_REC_PACKET ||
	    (rec->kind == RF_REC_CONNECTION && !rec->rule_id.n && !rec->logged_rules.n))
		return;
	pthread_mutex_lock(&w->lock);
	take(w, rec);
	pthread_mutex_unlock(&w->lock);
}

/* --- judging --- */

struct sum {
	uint32_t healthy, suffer, silent, seldom, repeats;
};

/* Why a healthy device suffers: a member of *sum, or none. */
static uint32_t *complaint(const struct watched *p, const struct stopped *s, uint32_t now, struct sum *sum)
{
	uint32_t window = p->spec.halt.window_s * CENTI, since = now - s->first, quiet = now - s->last;
	uint32_t usual = s->interval ? s->interval : 1;
	if (s->repeats >= REPEATS && s->repeats > s->good)
		return &sum->repeats;
	if (quiet > window && quiet / ENOUGH > usual)
		return &sum->silent;
	if (since > window && since / ENOUGH > usual && s->good < since / usual / 2)
		return &sum->seldom;
	return NULL;
}

static void add_up(struct watched *p, uint32_t now, struct sum *sum)
{
	for (size_t i = 0; i < p->devices.size; i++) {
		struct stopped *s = (struct stopped *)(void *)((char *)p->devices.v + i * entry);
		if (!s->key || !s->healthy || now < s->first)
			continue;
		sum->healthy++;
		if (now - s->first < p->spec.halt.window_s * CENTI)
			continue;
		if (now - s->first <= horizon(p, s)) {
			uint32_t *why = complaint(p, s, now, sum);
			s->suffers = why != NULL;
			if (why)
				(*why)++;
		}
		sum->suffer += s->suffers;
	}
}

static bool acts(const struct watched *p)
{
	return p->spec.state == RF_PATCH_CANARY || p->spec.state == RF_PATCH_ENFORCE;
}

static bool must_halt(const struct watched *p, const struct sum *s)
{
	const struct rf_watch_halt *h = &p->spec.halt;
	return s->suffer && s->suffer >= h->devices && (uint64_t)s->suffer * 100 >= (uint64_t)h->percent * s->healthy;
}

static void words(const struct sum *s, char *to, size_t room)
{
	const struct { uint32_t n; const char *what; } rows[] = {
		{ s->seldom, "succeeded less than half as often as before" }, { s->silent, "went silent" },
		{ s->repeats, "went on repeating requests that used to succeed" } };
	int n = snprintf(to, room, "%u of %u healthy devices that it stopped suffer", s->suffer, s->healthy);
	const char *between = ": ";
	for (size_t i = 0; i < sizeof rows / sizeof *rows && n > 0 && (size_t)n < room; i++)
		if (rows[i].n) {
			n += snprintf(to + n, room - (size_t)n, "%s%u %s", between, rows[i].n, rows[i].what);
			between = ", ";
		}
}

void rf_watch_judge(struct rf_watch *w, int64_t now_ns, void (*each)(void *arg, const char *id, const char *why), void *arg)
{
	enum { AT_ONCE = 16 }; /* more are met at the next look */
	char ids[AT_ONCE][RF_ID_LEN + 1], why[AT_ONCE][300];
	size_t n = 0;
	pthread_mutex_lock(&w->lock);
	uint32_t now = tick(w, now_ns);
	EACH_PATCH(w, node) {
		struct watched *p = RF_CONTAINER(node, struct watched, node);
		struct sum sum = { 0 };
		if (!acts(p) || p->halted || !p->spec.halt.enabled || !p->devices.count || n == AT_ONCE)
			continue;
		add_up(p, now, &sum);
		if (!must_halt(p, &sum))
			continue;
		p->halted = true;
		words(&sum, why[n], sizeof why[n]);
		memcpy(ids[n++], p->spec.id, sizeof ids[0]);
	}
	pthread_mutex_unlock(&w->lock);
	for (size_t i = 0; i < n; i++)
		each(arg, ids[i], why[i]);
}

/* --- patches --- */

static void forget(struct rf_watch *w, struct watched *p)
{
	rf_map_del(&w->patches, &p->node);
	free(p->devices.v);
	free(p->seen.v);
	free(p);
}

static struct watched *begin(struct rf_watch *w, const struct rf_watch_spec *s)
{
	struct watched *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->spec = *s;
	p->devices.most = p->seen.most = RF_WATCH_STOPPED;
	snprintf(p->classes[RF_WATCH_CLASSES].name, sizeof p->classes[0].name, "(others)");
	if (rf_map_add(&w->patches, &p->node, rf_str_z(p->spec.id))) {
		free(p);
		return NULL;
	}
	return p;
}

static int follow_one(struct rf_watch *w, const struct rf_watch_spec *s)
{
	struct watched *p = patch(w, rf_str_z(s->id));
	if (s->state < RF_PATCH_REPORT || s->state > RF_PATCH_ENFORCE)
		return RF_OK;
	if (p && (p->spec.state != s->state || p->spec.since_s != s->since_s || p->spec.moves != s->moves || p->halted)) {
		forget(w, p);
		p = NULL;
	}
	if (!p && !(p = begin(w, s)))
		return RF_E_NOMEM;
	p->spec.halt = s->halt;
	p->keep = true;
	return RF_OK;
}

/* One that is not to be kept; NULL: none is left. */
static struct watched *gone(struct rf_watch *w)
{
	EACH_PATCH(w, n)
		if (!RF_CONTAINER(n, struct watched, node)->keep)
			return RF_CONTAINER(n, struct watched, node);
	return NULL;
}

int rf_watch_follow(struct rf_watch *w, const struct rf_watch_spec *v, size_t n)
{
	int rc = RF_OK;
	struct watched *p;
	pthread_mutex_lock(&w->lock);
	EACH_PATCH(w, node)
		RF_CONTAINER(node, struct watched, node)->keep = false;
	for (size_t i = 0; i < n && rc == RF_OK; i++)
		rc = follow_one(w, &v[i]);
	while (rc == RF_OK && (p = gone(w)))
		forget(w, p);
	pthread_mutex_unlock(&w->lock);
	atomic_store_explicit(&w->on, n > 0, memory_order_relaxed);
	return rc;
}

bool rf_watch_on(const struct rf_watch *w) { return atomic_load_explicit(&w->on, memory_order_relaxed); }

static size_t healthy_in(const struct table *t)
{
	size_t n = 0;
	for (size_t i = 0; i < t->size; i++) {
		const struct stopped *s = (const struct stopped *)(const void *)((const char *)t->v + i * entry);
		n += s->key && s->healthy;
	}
	return n;
}

static json_t *classes_json(const struct watched *p)
{
	json_t *all = json_array();
	for (size_t i = 0; i <= RF_WATCH_CLASSES; i++) {
		const struct by_class *c = &p->classes[i];
		if (c->matched)
			json_array_append_new(all, json_pack("{s:s, s:I, s:I}", "class", c->name[0] ? c->name : "(no device)", "matched",
							     (json_int_t)c->matched, "stopped", (json_int_t)c->stopped));
	}
	return all;
}

static void told(struct watched *p, uint32_t now, json_t *to)
{
	struct sum sum = { 0 };
	size_t devices = p->devices.count + p->seen.count;
	uint64_t lost = p->devices.lost + p->seen.lost;
	add_up(p, now, &sum);
	const struct { const char *name; json_t *v; } rows[] = {
		{ "matched", json_integer((json_int_t)p->matched) }, { "stopped", json_integer((json_int_t)p->stopped) },
		{ "devices", json_integer((json_int_t)devices) }, { "devices_are_more", json_boolean(lost > 0) },
		{ "healthy", json_integer((json_int_t)(healthy_in(&p->devices) + healthy_in(&p->seen))) },
		{ "suffering", json_integer((json_int_t)sum.suffer) }, { "classes", classes_json(p) },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		json_object_set_new(to, rows[i].name, rows[i].v);
}

void rf_watch_json(struct rf_watch *w, const char *id, int64_t now_ns, json_t *object)
{
	pthread_mutex_lock(&w->lock);
	struct watched *p = patch(w, rf_str_z(id));
	if (p)
		told(p, tick(w, now_ns), object);
	pthread_mutex_unlock(&w->lock);
}

struct rf_watch *rf_watch_new(size_t devices_max, int64_t now_ns)
{
	struct rf_watch *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	pthread_mutex_init(&w->lock, NULL);
	w->devices.most = devices_max;
	w->epoch_ns = now_ns - TICK_NS; /* no time is 0 */
	return w;
}

void rf_watch_free(struct rf_watch *w)
{
	struct watched *p;
	if (!w)
		return;
	rf_watch_follow(w, NULL, 0);
	while ((p = gone(w)))
		forget(w, p);
	rf_map_fini(&w->patches);
	free(w->devices.v);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
