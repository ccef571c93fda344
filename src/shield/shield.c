/* shield/shield: see shield.h.
 *
 * The policy is first made in own memory. To enter a kernel's maps, which may hold that of the process before, each word
 * that differs is stored: an entry that both have is never absent.
 */
#include "shield/shield.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/clock.h"
#include "bpf/mix.h"
#include "shield/frames.h"
#include "shield/homes.h"
#include "shield/numbers.h"
#include "shield/tables.h"

enum { TAG_ALLOW = 2, TAG_DENY = 3 };

struct rf_shield {
	struct rf_tables t;
	struct rf_prefixes *prefixes;
	struct rf_homes *homes;
	struct rf_home_bucket *home_rows; /* NULL without a kernel filter */
	struct rf_filter_counts *counts; /* NULL without a kernel filter */
	struct rf_numbers numbers;       /* the same */
	struct rf_frames frames, glimpses;
	struct rf_stops *stops;          /* the same */
	bool mapped, cookies;
	uint64_t changes;
	struct rf_filter_counts told, told_last; /* by what stands in the kernel filter's place: all in all, and last */
};

static void *memory(size_t n, int fd)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED, fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

enum { FIRST_SIZE = RF_DIR_CHUNKS * sizeof(struct rf_dir_chunk), EXACT_SIZE = RF_EXACT_BUCKETS * sizeof(struct rf_exact_bucket),
       COUNTS_SIZE = RF_FILTER_CPUS * sizeof(struct rf_filter_counts), HOMES_SIZE = RF_HOME_BUCKETS * sizeof(struct rf_home_bucket) };

static void tables_fini(struct rf_tables *t)
{
	const struct { void *p; size_t n; } all[] = { { t->first, FIRST_SIZE }, { t->buckets, EXACT_SIZE }, { t->root, sizeof *t->root },
						      { t->conf, sizeof *t->conf } };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (all[i].p)
			munmap(all[i].p, all[i].n);
	*t = (struct rf_tables){ 0 };
}

/* fds NULL: own memory. */
static int tables_init(struct rf_tables *t, const int *fds)
{
	*t = (struct rf_tables){
		.first = memory(FIRST_SIZE, fds ? fds[RF_FILTER_MAP_dir_first] : -1),
		.buckets = memory(EXACT_SIZE, fds ? fds[RF_FILTER_MAP_exact] : -1),
		.root = memory(sizeof *t->root, fds ? fds[RF_FILTER_MAP_six_root] : -1),
		.conf = memory(sizeof *t->conf, fds ? fds[RF_FILTER_MAP_conf] : -1),
	};
	if (t->first && t->buckets && t->root && t->conf)
		return RF_OK;
	tables_fini(t);
	return RF_E_NOMEM;
}

struct rf_shield *rf_shield_new(uint64_t secret)
{
	struct rf_shield *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	if (tables_init(&s->t, NULL) == RF_OK) {
		s->t.conf->secret = secret;
		s->prefixes = rf_prefixes_new(&s->t);
		s->homes = rf_homes_new(s->t.conf);
	}
	if (s->prefixes && s->homes)
		return s;
	rf_shield_free(s);
	return NULL;
}

void rf_shield_free(struct rf_shield *s)
{
	if (!s)
		return;
	rf_prefixes_free(s->prefixes);
	rf_homes_free(s->homes);
	tables_fini(&s->t);
	if (s->home_rows)
		munmap(s->home_rows, HOMES_SIZE);
	if (s->counts)
		munmap(s->counts, COUNTS_SIZE);
	rf_numbers_fini(&s->numbers);
	rf_frames_fini(&s->frames);
	rf_frames_fini(&s->glimpses);
	if (s->stops)
		munmap(s->stops, sizeof *s->stops);
	free(s);
}

int rf_shield_enter(struct rf_shield *s, const int *fds, size_t count, bool cookies, uint64_t now_ns, struct rf_err *e)
{
	struct rf_tables kernel = { 0 };
	int rc = count == RF_FILTER_MAP_COUNT ? tables_init(&kernel, fds) : RF_E_INVALID;
	if (rc == RF_OK && !(s->counts = memory(COUNTS_SIZE, fds[RF_FILTER_MAP_counts])))
		rc = RF_E_NOMEM;
	if (rc == RF_OK)
		rc = rf_numbers_init(&s->numbers, fds[RF_FILTER_MAP_rule_ids], fds[RF_FILTER_MAP_rule_counts]);
	if (rc == RF_OK && !(s->stops = memory(sizeof *s->stops, fds[RF_FILTER_MAP_stops])))
		rc = RF_E_NOMEM;
	if (rc == RF_OK)
		rc = rf_frames_init(&s->frames, fds[RF_FILTER_MAP_samples], RF_SAMPLES_SIZE, sizeof(struct rf_shown));
	if (rc == RF_OK)
		rc = rf_frames_init(&s->glimpses, fds[RF_FILTER_MAP_glimpses], RF_GLIMPSES_SIZE, sizeof(struct rf_glimpse));
	if (rc == RF_OK && !(s->home_rows = memory(HOMES_SIZE, fds[RF_FILTER_MAP_homes])))
		rc = RF_E_NOMEM;
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	if (rc == RF_OK && !kernel.conf->secret)
		kernel.conf->secret = s->t.conf->secret;
	if (rc == RF_OK)
		rc = rf_prefixes_move(s->prefixes, &kernel);
	if (rc == RF_OK)
		rc = rf_homes_enter(s->homes, kernel.conf, s->home_rows, now_ns);
	if (rc != RF_OK) {
		tables_fini(&kernel);
		return rf_fail(e, rc, "the maps of the kernel filter cannot be used");
	}
	tables_fini(&s->t);
	s->t = kernel;
	s->mapped = true;
	s->cookies = cookies;
	return RF_OK;
}

int rf_shield_stand_in(struct rf_shield *s) { return rf_numbers_init_own(&s->numbers); }

void rf_shield_spare(struct rf_shield *s, const struct rf_ip *ip, uint16_t port)
{
	struct rf_filter_conf *k = s->t.conf;
	k->spare_port = 0;
	k->spare_family = ip->family;
	memcpy(k->spare, ip->b, sizeof k->spare);
	__atomic_store_n(&k->spare_port, port, __ATOMIC_RELEASE);
}

struct rf_rate_conf rf_shield_rate(uint64_t frames)
{
	return frames ? (struct rf_rate_conf){ RF_NS_S / frames, RF_NS_S } : (struct rf_rate_conf){ 0 };
}

void rf_shield_limit(struct rf_shield *s, const struct rf_shield_limits *l)
{
	struct rf_filter_conf *k = s->t.conf;
	k->source = rf_shield_rate(l->source);
	k->prefix = rf_shield_rate(l->prefix);
	k->target = rf_shield_rate(l->target);
	k->syn = rf_shield_rate(l->syn);
	k->cookies = s->cookies ? (__u8)l->cookies : RF_COOKIES_OFF;
	k->samples = (__u16)l->samples;
	for (size_t i = 0; i < RF_REFLECT_WORDS; i++)
		__atomic_store_n(&k->reflect[i], l->reflect[i], __ATOMIC_RELEASE);
	for (size_t i = 0; i < RF_REFLECT_WORDS; i++) {
		__atomic_store_n(&k->ban[i], l->ban[i], __ATOMIC_RELEASE);
		__atomic_store_n(&k->scan[i], l->scan[i], __ATOMIC_RELEASE);
	}
	rf_homes_networks(s->homes, l->fleet, l->fleet_count);
}

struct rf_homes *rf_shield_homes(struct rf_shield *s) { return s->homes; }

int rf_shield_set(struct rf_shield *s, const struct rf_prefix *at, enum rf_shield_mode mode, struct rf_err *e)
{
	s->changes++;
	return rf_prefixes_set(s->prefixes, at, mode == RF_SHIELD_DENY ? TAG_DENY : TAG_ALLOW, e);
}

int rf_shield_clear(struct rf_shield *s, const struct rf_prefix *at)
{
	s->changes++;
	return rf_prefixes_clear(s->prefixes, at);
}

struct walk { int (*each)(void *arg, const struct rf_prefix *at, enum rf_shield_mode mode); void *arg; };

static int each_tag(void *arg, const struct rf_prefix *at, uint16_t tag)
{
	struct walk *w = arg;
	return w->each(w->arg, at, rf_tag_denies(tag) ? RF_SHIELD_DENY : RF_SHIELD_ALLOW);
}

int rf_shield_each(const struct rf_shield *s, int (*each)(void *arg, const struct rf_prefix *at, enum rf_shield_mode mode), void *arg)
{
	struct walk w = { each, arg };
	return rf_prefixes_each(s->prefixes, each_tag, &w);
}

uint64_t rf_shield_changes(const struct rf_shield *s) { return s->changes; }

enum rf_shield_mode rf_shield_judge(const struct rf_shield *s, const struct rf_ip *ip)
{
	uint16_t tag = ip->family ? rf_prefixes_find(s->prefixes, ip) : 0;
	return !tag ? RF_SHIELD_NONE : rf_tag_denies(tag) ? RF_SHIELD_DENY : RF_SHIELD_ALLOW;
}

const struct rf_numbers *rf_shield_numbers(const struct rf_shield *s) { return s->numbers.ids ? &s->numbers : NULL; }
void rf_shield_ask_rules(struct rf_shield *s, bool on) { __atomic_store_n(&s->t.conf->rules, on, __ATOMIC_RELEASE); }

struct rf_frames *rf_shield_frames(struct rf_shield *s) { return s->mapped ? &s->frames : NULL; }

void rf_shield_capture(struct rf_shield *s, unsigned rule, uint64_t reasons)
{
	__atomic_store_n(&s->t.conf->capture_rule, (uint16_t)rule, __ATOMIC_RELAXED);
	__atomic_store_n(&s->t.conf->capture_why, reasons, __ATOMIC_RELAXED);
}

struct rf_frames *rf_shield_glimpses(struct rf_shield *s) { return s->mapped ? &s->glimpses : NULL; }

void rf_shield_looked(struct rf_shield *s, bool wanted)
{
	uint32_t next = s->t.conf->look + 1;
	__atomic_store_n(&s->t.conf->look, !wanted ? 0 : next ? next : 1, __ATOMIC_RELAXED);
}

void rf_shield_stop(struct rf_shield *s, const struct rf_stop *v, unsigned n)
{
	struct rf_filter_conf *k = s->t.conf;
	unsigned other = !(k->stops & RF_STOPS_OTHER);
	if (!s->stops)
		return;
	n = n < RF_STOPS ? n : RF_STOPS;
	memcpy(s->stops->v[other], v, n * sizeof *v);
	__atomic_store_n(&k->stops, (uint8_t)(n ? n | (other ? RF_STOPS_OTHER : 0) : 0), __ATOMIC_RELEASE);
}

unsigned rf_shield_stops(const struct rf_shield *s, struct rf_stop *ret)
{
	unsigned n = s->t.conf->stops & (RF_STOPS_OTHER - 1);
	if (!s->stops || n > RF_STOPS)
		return 0;
	memcpy(ret, s->stops->v[s->t.conf->stops / RF_STOPS_OTHER], n * sizeof *ret);
	return n;
}

uint64_t rf_shield_source(const struct rf_shield *s, const uint32_t src[4]) { return rf_known_key(src, s->t.conf->secret); }

void rf_shield_know(struct rf_shield *s, uint64_t source)
{
	if (s->stops)
		__atomic_store_n(&s->stops->known[rf_known_place(source)], source, __ATOMIC_RELAXED);
}

bool rf_shield_in_kernel(const struct rf_shield *s) { return s->mapped; }

static void gain(__u64 *sum, __u64 *last, __u64 now)
{
	*sum += now >= *last ? now - *last : now; /* it began anew */
	*last = now;
}

void rf_shield_missed(struct rf_shield *s) { s->told.unshown++; }

void rf_shield_told(struct rf_shield *s, const struct rf_filter_counts *by_another)
{
	for (int i = 0; i < RF_DROP_COUNT; i++) {
		gain(&s->told.frames[i], &s->told_last.frames[i], by_another->frames[i]);
		gain(&s->told.bytes[i], &s->told_last.bytes[i], by_another->bytes[i]);
	}
}

void rf_shield_counts(const struct rf_shield *s, struct rf_filter_counts *ret)
{
	*ret = s->told;
	for (int cpu = 0; s->counts && cpu < RF_FILTER_CPUS; cpu++) {
		ret->unshown += s->counts[cpu].unshown;
		ret->unseen += s->counts[cpu].unseen;
		for (int i = 0; i < RF_DROP_COUNT; i++) {
			ret->frames[i] += s->counts[cpu].frames[i];
			ret->bytes[i] += s->counts[cpu].bytes[i];
		}
	}
}
