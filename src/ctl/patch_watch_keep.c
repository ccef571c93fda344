/* ctl/patch_watch_keep: a watch as bytes, and back.
 *
 *   head | baselines | a patch: its counts, its devices, those that it only matches | the next patch ...
 *
 * All in the layout of this machine, 8-byte aligned, behind a sum over everything after it. Entries come from the tables and go
 * into them one by one, so that neither the size of a table nor its order is kept.
 *
 * Loading goes into a watch of its own, which is put in place only when all of it is good.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/list.h"
#include "ctl/patch_watch_in.h"

enum { HISTORY_S = 60 * 86400 /* kept before the time of a loaded watch */ };
#define MAGIC "rfwatch1"

struct head {
	char magic[8];
	uint64_t sum;
	uint32_t now, unused; /* the tick at which it was saved */
	uint64_t baselines, patches;
};

struct kept_patch {
	struct rf_watch_spec spec;
	uint64_t halted, matched, stopped, class_count, devices, devices_lost, seen, seen_lost;
	struct rf_watch_class classes[RF_WATCH_CLASSES + 1];
};

static uint64_t sum_of(struct rf_str s)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (uint8_t)s.p[i]) * 0x100000001b3u;
	return h;
}

/* --- saving --- */

static void add(struct rf_buf *to, const void *p, size_t n)
{
	rf_buf_add(to, (struct rf_str){ p, n });
}

static uint64_t save_table(const struct rf_watch_table *t, struct rf_buf *to)
{
	uint64_t n = 0;
	for (size_t i = 0; i < t->size; i++) {
		const void *v = rf_watch_entry(t, i);
		if (!v)
			continue;
		add(to, v, RF_WATCH_ENTRY);
		n++;
	}
	return n;
}

static uint64_t save_baselines(const struct rf_watch *w, uint32_t now, struct rf_buf *to)
{
	uint64_t n = 0;
	for (size_t i = 0; i < w->devices.size; i++) {
		const struct rf_usual *u = rf_watch_entry(&w->devices, i);
		if (!u || (now > u->seen && (now - u->seen) / RF_WATCH_CENTI > RF_WATCH_IDLE_S))
			continue;
		add(to, u, RF_WATCH_ENTRY);
		n++;
	}
	return n;
}

static void save_patch(const struct rf_watched *p, struct rf_buf *to)
{
	struct kept_patch k = { .spec = p->spec, .halted = p->halted, .matched = p->matched, .stopped = p->stopped,
				.class_count = p->class_count, .devices = p->devices.count, .devices_lost = p->devices.lost,
				.seen = p->seen.count, .seen_lost = p->seen.lost };
	memcpy(k.classes, p->classes, sizeof k.classes);
	add(to, &k, sizeof k);
	save_table(&p->devices, to);
	save_table(&p->seen, to);
}

void rf_watch_save(struct rf_watch *w, int64_t now_ns, struct rf_buf *to)
{
	struct head h = { .magic = MAGIC };
	size_t from = to->n;
	add(to, &h, sizeof h);
	pthread_mutex_lock(&w->lock);
	h.now = rf_watch_tick(w, now_ns);
	h.baselines = save_baselines(w, h.now, to);
	RF_WATCH_EACH(w, n) {
		save_patch(RF_CONTAINER(n, struct rf_watched, node), to);
		h.patches++;
	}
	pthread_mutex_unlock(&w->lock);
	if (!h.baselines && !h.patches)
		to->n = from;
	if (to->bad || to->n == from)
		return;
	memcpy(to->p + from, &h, sizeof h);
	h.sum = sum_of(rf_str_skip(rf_buf_str(to), from + sizeof h.magic + sizeof h.sum));
	memcpy(to->p + from, &h, sizeof h);
}

/* --- loading --- */

struct loading {
	struct rf_watch *w;
	struct rf_str rest;
	uint32_t back; /* ticks that all times go back by */
};

static bool take(struct loading *l, void *to, size_t n)
{
	if (l->rest.n < n)
		return false;
	memcpy(to, l->rest.p, n);
	l->rest = rf_str_skip(l->rest, n);
	return true;
}

static uint32_t earlier(const struct loading *l, uint32_t t)
{
	return !t ? 0 : t > l->back ? t - l->back : 1;
}

static bool load_baselines(struct loading *l, uint64_t n)
{
	struct rf_usual u;
	bool fresh;
	for (; n; n--) {
		if (!take(l, &u, sizeof u) || !u.key)
			return false;
		struct rf_usual *to = rf_watch_at(&l->w->devices, u.key, &fresh);
		if (!to)
			continue; /* fewer are kept than were */
		*to = u;
		to->last = earlier(l, u.last);
		to->seen = earlier(l, u.seen);
	}
	return true;
}

static bool load_table(struct loading *l, struct rf_watch_table *t, uint64_t n, uint64_t lost)
{
	struct rf_stopped s;
	bool fresh;
	t->lost = lost;
	for (; n; n--) {
		if (!take(l, &s, sizeof s) || !s.key)
			return false;
		struct rf_stopped *to = rf_watch_at(t, s.key, &fresh);
		if (!to)
			continue;
		*to = s;
		to->first = earlier(l, s.first);
		to->last = earlier(l, s.last);
	}
	return true;
}

static bool load_patch(struct loading *l)
{
	struct kept_patch k;
	if (!take(l, &k, sizeof k) || k.class_count > RF_WATCH_CLASSES || memchr(k.spec.id, '\0', sizeof k.spec.id) == NULL)
		return false;
	for (size_t i = 0; i <= RF_WATCH_CLASSES; i++)
		k.classes[i].name[sizeof k.classes[i].name - 1] = '\0';
	struct rf_watched *p = rf_watch_begin(l->w, &k.spec);
	if (!p)
		return false;
	p->halted = k.halted != 0;
	p->matched = k.matched;
	p->stopped = k.stopped;
	p->class_count = k.class_count;
	memcpy(p->classes, k.classes, sizeof p->classes);
	return load_table(l, &p->devices, k.devices, k.devices_lost) && load_table(l, &p->seen, k.seen, k.seen_lost);
}

static bool load(struct loading *l, const struct head *h)
{
	bool good = load_baselines(l, h->baselines);
	for (uint64_t i = 0; good && i < h->patches; i++)
		good = load_patch(l);
	return good && !l->rest.n;
}

/* What was loaded takes the place of what is there. */
static void put_in_place(struct rf_watch *w, struct rf_watch *from)
{
	struct rf_watch_table devices = w->devices;
	struct rf_map patches = w->patches;
	w->devices = from->devices;
	w->patches = from->patches;
	w->epoch_ns = from->epoch_ns;
	from->devices = devices;
	from->patches = patches;
}

int rf_watch_load(struct rf_watch *w, struct rf_str from, int64_t now_ns)
{
	struct head h;
	struct loading l = { .rest = from };
	if (!take(&l, &h, sizeof h) || memcmp(h.magic, MAGIC, sizeof h.magic) != 0 ||
	    h.sum != sum_of(rf_str_skip(from, sizeof h.magic + sizeof h.sum)))
		return RF_E_SYNTAX;
	l.back = h.now > (uint32_t)HISTORY_S * RF_WATCH_CENTI ? h.now - (uint32_t)HISTORY_S * RF_WATCH_CENTI : 0;
	l.w = rf_watch_new(w->devices.most, now_ns);
	if (!l.w)
		return RF_E_NOMEM;
	l.w->epoch_ns = now_ns - (int64_t)(h.now - l.back) * RF_WATCH_TICK_NS;
	int rc = load(&l, &h) ? RF_OK : RF_E_SYNTAX;
	pthread_mutex_lock(&w->lock);
	if (rc == RF_OK && (w->devices.count || w->patches.count))
		rc = RF_E_CONFLICT;
	if (rc == RF_OK)
		put_in_place(w, l.w);
	pthread_mutex_unlock(&w->lock);
	rf_watch_free(l.w);
	return rc;
}
