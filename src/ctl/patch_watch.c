/* ctl/patch_watch: see patch_watch.h.
 *
 *   record -> baseline of its device; what it was before is kept at the first stop -> counts of the patches that it names
 *   judge  -> each patch that acts: its stopped devices, healthy ones apart -> does one suffer? -> do enough?
 *
 * Both tables are open-addressed arrays of 32 bytes an entry, bounded; what does not fit is counted as lost and judged
 * by nobody. Times are in hundredths of a second since the table began (497 days). Keys are the same in every process, since
 * both outlive it (patch_watch_keep.c); what they are made of is chosen by us, but for paths, of which only five bits count.
 */
#include "ctl/patch_watch_in.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/list.h"

enum { FIRST = 1024, HORIZON = 10 /* windows */, REPEATS = 3, ENOUGH = 5 /* usual intervals before silence or a rate is judged */ };

#define ALL_GOOD 65535
#define HEALTHY (ALL_GOOD / 10 * 9)

/* --- tables --- */

static uint64_t key_at(const struct rf_watch_table *t, size_t i)
{
	return *(const uint64_t *)(const void *)((const char *)t->v + i * RF_WATCH_ENTRY);
}

static void *find(const struct rf_watch_table *t, uint64_t key)
{
	if (!t->size)
		return NULL;
	for (size_t i = key & (t->size - 1);; i = (i + 1) & (t->size - 1)) {
		uint64_t k = key_at(t, i);
		if (k == key)
			return (char *)t->v + i * RF_WATCH_ENTRY;
		if (!k)
			return NULL;
	}
}

static void *place(struct rf_watch_table *t, uint64_t key)
{
	size_t i = key & (t->size - 1);
	while (key_at(t, i))
		i = (i + 1) & (t->size - 1);
	void *p = (char *)t->v + i * RF_WATCH_ENTRY;
	*(uint64_t *)p = key;
	t->count++;
	return p;
}

static bool grow(struct rf_watch_table *t)
{
	struct rf_watch_table bigger = { .size = t->size ? t->size * 2 : FIRST, .most = t->most, .lost = t->lost };
	bigger.v = calloc(bigger.size, RF_WATCH_ENTRY);
	if (!bigger.v)
		return false;
	for (size_t i = 0; i < t->size; i++)
		if (key_at(t, i))
			memcpy(place(&bigger, key_at(t, i)), (char *)t->v + i * RF_WATCH_ENTRY, RF_WATCH_ENTRY);
	free(t->v);
	*t = bigger;
	return true;
}

void *rf_watch_at(struct rf_watch_table *t, uint64_t key, bool *ret_new)
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

void *rf_watch_entry(const struct rf_watch_table *t, size_t i)
{
	return key_at(t, i) ? (char *)t->v + i * RF_WATCH_ENTRY : NULL;
}

/* --- one record --- */

/* FNV-1a, mixed. */
static uint64_t key_of(struct rf_str id)
{
	uint64_t k = 0xcbf29ce484222325u;
	for (size_t i = 0; i < id.n; i++)
		k = (k ^ (uint8_t)id.p[i]) * 0x100000001b3u;
	k = (k ^ k >> 32) * 0x9e3779b97f4a7c15u;
	k ^= k >> 29;
	return k ? k : 1;
}

uint32_t rf_watch_tick(const struct rf_watch *w, int64_t ns)
{
	return ns > w->epoch_ns ? (uint32_t)((ns - w->epoch_ns) / RF_WATCH_TICK_NS) : 0;
}

static uint32_t path_bit(const struct rf_record *r)
{
	return 1u << ((key_of(r->method) ^ key_of(r->host) * 3 ^ key_of(r->path) * 7) >> 20 & 31);
}

static bool succeeded(const struct rf_record *r)
{
	return r->status >= 100 && r->status < 400 && (rf_str_eq(r->action, RF_STR("allow")) || rf_str_eq(r->action, RF_STR("log")));
}

static struct rf_watched *patch(const struct rf_watch *w, struct rf_str id)
{
	struct rf_map_node *n = id.n && w->patches.count ? rf_map_find(&w->patches, id) : NULL;
	return n ? RF_CONTAINER(n, struct rf_watched, node) : NULL;
}

static void count_class(struct rf_watched *p, struct rf_str name, bool stops)
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

static bool is_healthy(const struct rf_usual *u)
{
	return u && u->count >= RF_WATCH_KNOWN && u->good >= HEALTHY;
}

static uint32_t horizon(const struct rf_watched *p, const struct rf_stopped *s)
{
	uint32_t window = p->spec.halt.window_s * RF_WATCH_CENTI * HORIZON, usual = s->interval * 2 * ENOUGH;
	return window > usual ? window : usual;
}

static void note(struct rf_watched *p, struct rf_watch_table *t, const struct rf_usual *u, uint64_t key, uint32_t now, bool used_to)
{
	bool fresh;
	struct rf_stopped *s = rf_watch_at(t, key, &fresh);
	if (!s)
		return;
	if (fresh || (now - s->first > horizon(p, s) && !s->suffers))
		*s = (struct rf_stopped){ .key = key, .first = now, .interval = u ? u->interval : 0, .healthy = is_healthy(u) };
	s->last = now;
	s->hits += s->hits < UINT16_MAX;
	s->repeats += used_to && s->repeats < UINT16_MAX;
}

/* The patch `id` is named by the record. */
static bool matched(struct rf_watch *w, struct rf_str id, const struct rf_record *r, const struct rf_usual *u, bool stops)
{
	struct rf_watched *p = patch(w, id);
	if (!p)
		return false;
	p->matched++;
	p->stopped += stops;
	count_class(p, r->class_name, stops);
	if (r->device.n)
		note(p, stops ? &p->devices : &p->seen, u, key_of(r->device), rf_watch_tick(w, r->at), u && u->paths & path_bit(r));
	return true;
}

/* What the device does besides, told to the patches that have stopped it. */
static void fares(struct rf_watch *w, uint64_t key, uint32_t now, bool good)
{
	RF_WATCH_EACH(w, n) {
		struct rf_watched *p = RF_CONTAINER(n, struct rf_watched, node);
		struct rf_stopped *s = find(&p->devices, key);
		if (!s)
			continue;
		s->last = now;
		s->good += good && s->good < UINT16_MAX;
	}
}

static void learn(struct rf_usual *u, const struct rf_record *r, uint32_t now)
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
	uint32_t now = rf_watch_tick(w, r->at);
	struct rf_usual *u = r->device.n ? rf_watch_at(&w->devices, key, &fresh) : NULL;
	bool stopped = rf_str_eq(r->action, RF_STR("block")) && matched(w, r->rule_id, r, u, true);
	struct rf_str rest = r->logged_rules, id;
	while (rest.n && rf_str_split(&rest, ',', &id))
		matched(w, id, r, u, false);
	if (!u)
		return;
	u->seen = now;
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
static uint32_t *complaint(const struct rf_watched *p, const struct rf_stopped *s, uint32_t now, struct sum *sum)
{
	uint32_t window = p->spec.halt.window_s * RF_WATCH_CENTI, since = now - s->first, quiet = now - s->last;
	uint32_t usual = s->interval ? s->interval : 1;
	if (s->repeats >= REPEATS && s->repeats > s->good)
		return &sum->repeats;
	if (quiet > window && quiet / ENOUGH > usual)
		return &sum->silent;
	if (since > window && since / ENOUGH > usual && s->good < since / usual / 2)
		return &sum->seldom;
	return NULL;
}

static void add_up(struct rf_watched *p, uint32_t now, struct sum *sum)
{
	for (size_t i = 0; i < p->devices.size; i++) {
		struct rf_stopped *s = rf_watch_entry(&p->devices, i);
		if (!s || !s->healthy || now < s->first)
			continue;
		sum->healthy++;
		if (now - s->first < p->spec.halt.window_s * RF_WATCH_CENTI)
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

static bool acts(const struct rf_watched *p)
{
	return p->spec.state == RF_PATCH_CANARY || p->spec.state == RF_PATCH_ENFORCE;
}

static bool must_halt(const struct rf_watched *p, const struct sum *s)
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
	uint32_t now = rf_watch_tick(w, now_ns);
	RF_WATCH_EACH(w, node) {
		struct rf_watched *p = RF_CONTAINER(node, struct rf_watched, node);
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

static void forget(struct rf_watch *w, struct rf_watched *p)
{
	rf_map_del(&w->patches, &p->node);
	free(p->devices.v);
	free(p->seen.v);
	free(p);
}

struct rf_watched *rf_watch_begin(struct rf_watch *w, const struct rf_watch_spec *s)
{
	struct rf_watched *p = calloc(1, sizeof *p);
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
	struct rf_watched *p = patch(w, rf_str_z(s->id));
	if (s->state < RF_PATCH_REPORT || s->state > RF_PATCH_ENFORCE)
		return RF_OK;
	if (p && (p->spec.state != s->state || p->spec.since_s != s->since_s || p->spec.moves != s->moves || p->halted)) {
		forget(w, p);
		p = NULL;
	}
	if (!p && !(p = rf_watch_begin(w, s)))
		return RF_E_NOMEM;
	p->spec.halt = s->halt;
	p->keep = true;
	return RF_OK;
}

/* One that is not to be kept; NULL: none is left. */
static struct rf_watched *gone(struct rf_watch *w)
{
	RF_WATCH_EACH(w, n)
		if (!RF_CONTAINER(n, struct rf_watched, node)->keep)
			return RF_CONTAINER(n, struct rf_watched, node);
	return NULL;
}

int rf_watch_follow(struct rf_watch *w, const struct rf_watch_spec *v, size_t n)
{
	int rc = RF_OK;
	struct rf_watched *p;
	pthread_mutex_lock(&w->lock);
	RF_WATCH_EACH(w, node)
		RF_CONTAINER(node, struct rf_watched, node)->keep = false;
	for (size_t i = 0; i < n && rc == RF_OK; i++)
		rc = follow_one(w, &v[i]);
	while (rc == RF_OK && (p = gone(w)))
		forget(w, p);
	pthread_mutex_unlock(&w->lock);
	atomic_store_explicit(&w->on, n > 0, memory_order_relaxed);
	return rc;
}

bool rf_watch_on(const struct rf_watch *w) { return atomic_load_explicit(&w->on, memory_order_relaxed); }

static size_t healthy_in(const struct rf_watch_table *t)
{
	size_t n = 0;
	for (size_t i = 0; i < t->size; i++) {
		const struct rf_stopped *s = rf_watch_entry(t, i);
		n += s && s->healthy;
	}
	return n;
}

static json_t *classes_json(const struct rf_watched *p)
{
	json_t *all = json_array();
	for (size_t i = 0; i <= RF_WATCH_CLASSES; i++) {
		const struct rf_watch_class *c = &p->classes[i];
		if (c->matched)
			json_array_append_new(all, json_pack("{s:s, s:I, s:I}", "class", c->name[0] ? c->name : "(no device)", "matched",
							     (json_int_t)c->matched, "stopped", (json_int_t)c->stopped));
	}
	return all;
}

static void told(struct rf_watched *p, uint32_t now, json_t *to)
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
	struct rf_watched *p = patch(w, rf_str_z(id));
	if (p)
		told(p, rf_watch_tick(w, now_ns), object);
	pthread_mutex_unlock(&w->lock);
}

struct rf_watch *rf_watch_new(size_t devices_max, int64_t now_ns)
{
	struct rf_watch *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	pthread_mutex_init(&w->lock, NULL);
	w->devices.most = devices_max;
	w->epoch_ns = now_ns - RF_WATCH_TICK_NS; /* no time is 0 */
	return w;
}

void rf_watch_free(struct rf_watch *w)
{
	struct rf_watched *p;
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
