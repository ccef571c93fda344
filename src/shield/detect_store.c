/* shield/detect_store: what is usual, over a restart.
 *
 *   "RFUSUAL1", key of the hashes, digest of the traits | hosts | ports | digest of all before
 *     a host: name, usual rate of each measure, two reservoirs of traits
 *     a port: what is counted there, usual rate
 *
 * Numbers are little-endian. Only hosts of which enough is known are kept. Hashes of traits mean something under their key alone, and as long as
 * the traits are the same: under others nothing is taken.
 *
 * Invariant: what is read is taken whole, or not at all.
 */
#include "shield/detect_store.h"
#include <math.h>
#include <stdlib.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/way.h"
#include "shield/detect_own.h"

#define MAGIC RF_STR("RFUSUAL1")

enum { KEY = 16, DIGEST = 8 };

/* --- writing --- */

static void put(struct rf_buf *to, uint64_t v, unsigned bytes)
{
	char le[8];
	for (unsigned i = 0; i < bytes; i++)
		le[i] = (char)(v >> (8 * i) & 0xff);
	rf_buf_add(to, (struct rf_str){ le, bytes });
}

static void put_real(struct rf_buf *to, double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof bits);
	put(to, bits, 8);
}

static void put_rate(struct rf_buf *to, const struct rf_usual *u)
{
	put_real(to, u->mean);
	put_real(to, u->deviation);
	put(to, u->seconds, 4);
}

static void put_reservoir(struct rf_buf *to, const struct usual *u)
{
	unsigned n = u ? u->n : 0;
	put(to, n, 4);
	for (unsigned i = 0; i < n; i++) {
		rf_way_give();
		for (unsigned t = 0; t < RF_TRAITS; t++)
			put(to, u->traits[i].hash[t], 4);
		put(to, u->traits[i].late, 4);
		put(to, u->source[i], 4);
	}
}

static void put_host(struct rf_buf *to, const struct watched *w)
{
	size_t n = strlen(w->name);
	put(to, n, 2);
	rf_buf_add(to, (struct rf_str){ w->name, n });
	for (unsigned m = 0; m < RF_MEASURES; m++)
		put_rate(to, &w->rate[m]);
	put_reservoir(to, w->usual[0]);
	put_reservoir(to, w->usual[1]);
}

static uint64_t digest_of(struct rf_str all)
{
	static const uint8_t none[KEY];
	return rf_hash_keyed(none, all);
}

void rf_detect_save(const struct rf_detect *d, const struct rf_usual_port *ports, size_t nports, struct rf_buf *to)
{
	uint8_t key[KEY];
	uint32_t n = 0;
	rf_trait_key(key);
	rf_buf_add(to, MAGIC);
	rf_buf_add(to, (struct rf_str){ (const char *)key, KEY });
	put(to, rf_trait_edition(), 8);
	for (unsigned i = 0; i < RF_DETECT_HOSTS; i++)
		n += d->hosts[i].hash && detect_knows(d, &d->hosts[i]);
	put(to, n, 4);
	for (unsigned i = 0; i < RF_DETECT_HOSTS; i++)
		if (d->hosts[i].hash && detect_knows(d, &d->hosts[i]))
			put_host(to, &d->hosts[i]);
	put(to, nports, 4);
	for (size_t i = 0; i < nports; i++) {
		put(to, ports[i].key, 4);
		put_rate(to, &ports[i].usual);
	}
}

void rf_detect_seal(struct rf_buf *to)
{
	put(to, digest_of(rf_buf_str(to)), DIGEST);
}

/* --- reading --- */

struct reader {
	struct rf_str left;
	bool bad;
};

static uint64_t get(struct reader *r, unsigned bytes)
{
	uint64_t v = 0;
	r->bad |= r->left.n < bytes;
	for (unsigned i = 0; !r->bad && i < bytes; i++)
		v |= (uint64_t)(unsigned char)r->left.p[i] << (8 * i);
	r->left = r->bad ? r->left : rf_str_skip(r->left, bytes);
	return v;
}

/* A rate, or how far it goes up and down. */
static double get_real(struct reader *r)
{
	uint64_t bits = get(r, 8);
	double v;
	memcpy(&v, &bits, sizeof v);
	r->bad |= !isfinite(v) || v < 0 || v > UINT32_MAX;
	return r->bad ? 0 : v;
}

static struct rf_usual get_rate(struct reader *r)
{
	struct rf_usual u;
	u.mean = get_real(r);
	u.deviation = get_real(r);
	u.seconds = (uint32_t)get(r, 4);
	return u;
}

static struct usual *get_reservoir(struct reader *r)
{
	uint64_t n = get(r, 4);
	struct usual *u = r->bad || n > RF_DETECT_BASE ? NULL : calloc(1, sizeof *u);
	r->bad |= !u;
	for (uint64_t i = 0; !r->bad && i < n; i++) {
		for (unsigned t = 0; t < RF_TRAITS; t++)
			u->traits[i].hash[t] = (uint32_t)get(r, 4);
		u->traits[i].late = (uint32_t)get(r, 4);
		u->source[i] = (uint32_t)get(r, 4);
		u->n++;
	}
	return u;
}

static void get_host(struct reader *r, struct rf_detect *d)
{
	size_t n = get(r, 2);
	r->bad |= !n || n >= RF_FEED_NAME || r->left.n < n || memchr(r->left.p, 0, n);
	struct rf_str name = { r->left.p, r->bad ? 0 : n };
	struct watched *w = r->bad ? NULL : detect_watch(d, detect_host_hash(name), name);
	r->bad |= !w || w->usual[0] || w->usual[1]; /* no room, or told twice */
	if (r->bad)
		return;
	r->left = rf_str_skip(r->left, n);
	w->last = d->tick;
	for (unsigned m = 0; m < RF_MEASURES; m++)
		w->rate[m] = get_rate(r);
	w->usual[0] = get_reservoir(r);
	w->usual[1] = get_reservoir(r);
}

static bool is_ours(struct rf_str all)
{
	size_t head = MAGIC.n + KEY + 8;
	if (all.n < head + DIGEST || !rf_str_starts(all, MAGIC))
		return false;
	struct reader edition = { .left = rf_str_skip(all, MAGIC.n + KEY) }, sum = { .left = rf_str_skip(all, all.n - DIGEST) };
	return get(&edition, 8) == rf_trait_edition() && get(&sum, DIGEST) == digest_of((struct rf_str){ all.p, all.n - DIGEST });
}

int rf_detect_load(struct rf_detect *d, struct rf_str all, struct rf_usual_port *ports, size_t room, size_t *ret_ports)
{
	if (!is_ours(all))
		return RF_E_INVALID;
	struct reader r = { .left = rf_str_skip((struct rf_str){ all.p, all.n - DIGEST }, MAGIC.n + KEY + 8) };
	uint64_t hosts = get(&r, 4), n = 0;
	r.bad |= hosts > RF_DETECT_HOSTS;
	for (uint64_t i = 0; !r.bad && i < hosts; i++)
		get_host(&r, d);
	uint64_t wanted = get(&r, 4);
	r.bad |= wanted > room;
	for (; !r.bad && n < wanted; n++) {
		ports[n].key = (uint32_t)get(&r, 4);
		ports[n].usual = get_rate(&r);
	}
	if (r.bad || r.left.n) {
		detect_forget_all(d);
		return RF_E_INVALID;
	}
	rf_trait_seed((const uint8_t *)all.p + MAGIC.n);
	*ret_ports = n;
	return RF_OK;
}
