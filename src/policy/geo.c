/* policy/geo: fields of addresses as paths into the databases. */
#include "policy/geo.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "wire/mmdb.h"

struct rf_geo {
	atomic_uint refs;
	unsigned have;
	struct rf_mmdb db[RF_GEO_FILES]; /* nodes 0: none */
	char *mem[RF_GEO_FILES];
};

enum { PATH = 4 };

static const struct place {
	enum rf_field field;
	enum rf_geo_file file;
	const char *path[PATH], *other[PATH]; /* tried where the first gives nothing */
} places[] = {
	{ RF_F_IP_COUNTRY, RF_GEO_PLACE, { "country", "iso_code" }, { "registered_country", "iso_code" } },
	{ RF_F_IP_DST_COUNTRY, RF_GEO_PLACE, { "country", "iso_code" }, { "registered_country", "iso_code" } },
	{ RF_F_IP_CONTINENT, RF_GEO_PLACE, { "continent", "code" }, { NULL } },
	{ RF_F_IP_EU, RF_GEO_PLACE, { "country", "is_in_european_union" }, { "registered_country", "is_in_european_union" } },
	{ RF_F_IP_CITY, RF_GEO_PLACE, { "city", "names", "en" }, { NULL } },
	{ RF_F_IP_LAT, RF_GEO_PLACE, { "location", "latitude" }, { NULL } },
	{ RF_F_IP_LON, RF_GEO_PLACE, { "location", "longitude" }, { NULL } },
	{ RF_F_IP_METRO, RF_GEO_PLACE, { "location", "metro_code" }, { NULL } },
	{ RF_F_IP_TIMEZONE, RF_GEO_PLACE, { "location", "time_zone" }, { NULL } },
	{ RF_F_IP_POSTAL, RF_GEO_PLACE, { "postal", "code" }, { NULL } },
	{ RF_F_IP_REGION, RF_GEO_PLACE, { "subdivisions", "0", "names", "en" }, { NULL } },
	{ RF_F_IP_REGION_CODE, RF_GEO_PLACE, { "subdivisions", "0", "iso_code" }, { NULL } },
	{ RF_F_IP_SUB1, RF_GEO_PLACE, { "subdivisions", "0", "iso_code" }, { NULL } },
	{ RF_F_IP_SUB2, RF_GEO_PLACE, { "subdivisions", "1", "iso_code" }, { NULL } },
	{ RF_F_IP_ASN, RF_GEO_ASN, { "autonomous_system_number" }, { NULL } },
};

static bool names(struct rf_str type, const char *word)
{
	return rf_str_search(type, rf_str_z(word)) < type.n;
}

/* What a database of this type answers, as a file of this kind; 0: it is not of the kind. */
static unsigned answers(struct rf_str type, enum rf_geo_file file)
{
	bool city = names(type, "City") || names(type, "Enterprise") || names(type, "Insights");
	if (file == RF_GEO_ASN)
		return names(type, "ASN") || names(type, "ISP") ? 1u << RF_NEED_ASN : 0;
	return city ? 1u << RF_NEED_CITY | 1u << RF_NEED_COUNTRY : names(type, "Country") ? 1u << RF_NEED_COUNTRY : 0;
}

static int open_one(struct rf_geo *g, enum rf_geo_file file, struct rf_str bytes, struct rf_err *e)
{
	int r = rf_mmdb_open(bytes, &g->db[file], e);
	unsigned have = r ? 0 : answers(g->db[file].type, file);
	if (r == RF_OK && !have)
		r = rf_fail(e, RF_E_INVALID, "this is a database of type `%.60s`; one of %s is wanted", g->db[file].type.n ?
			g->db[file].type.p : "", file == RF_GEO_ASN ? "autonomous systems (ASN)" : "countries or cities");
	g->have |= have;
	return r;
}

int rf_geo_make(struct rf_str bytes[RF_GEO_FILES], struct rf_geo **ret, struct rf_err *e)
{
	struct rf_geo *g = calloc(1, sizeof *g);
	int r = g ? RF_OK : rf_fail(e, RF_E_NOMEM, "no memory for databases of addresses");
	for (int i = 0; i < RF_GEO_FILES; i++) {
		if (g)
			g->mem[i] = (char *)(uintptr_t)bytes[i].p;
		else
			free((char *)(uintptr_t)bytes[i].p);
		if (r == RF_OK && bytes[i].n)
			r = open_one(g, (enum rf_geo_file)i, bytes[i], e);
		if (r && !e->pointer[0])
			snprintf(e->pointer, sizeof e->pointer, "/%d", i);
	}
	if (g)
		atomic_init(&g->refs, 1);
	if (r) {
		rf_geo_put(g);
		return r;
	}
	*ret = g;
	return RF_OK;
}

struct rf_geo *rf_geo_get(struct rf_geo *g)
{
	if (g)
		atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
	return g;
}

void rf_geo_put(struct rf_geo *g)
{
	if (!g || atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (int i = 0; i < RF_GEO_FILES; i++)
		free(g->mem[i]);
	free(g);
}

unsigned rf_geo_have(const struct rf_geo *g)
{
	return g ? g->have : 0;
}

bool rf_geo_of_dst(enum rf_field f)
{
	return f == RF_F_IP_DST_COUNTRY;
}

static struct rf_str degrees(struct rf_arena *a, double v)
{
	struct rf_str s = rf_arena_printf(a, "%.5f", v);
	while (s.n > 1 && s.p[s.n - 1] == '0' && s.p[s.n - 2] != '.')
		s.n--;
	return s;
}

static bool convert(enum rf_field f, const struct rf_mmdb_value *v, struct rf_arena *a, struct rf_val *ret)
{
	bool real = v->type == RF_MMDB_DOUBLE || v->type == RF_MMDB_FLOAT, text = v->type == RF_MMDB_TEXT;
	switch (rf_fields[f].type) {
	case RF_T_BOOL:
		*ret = rf_val_bool(v->number);
		return v->type == RF_MMDB_BOOL;
	case RF_T_INT:
		*ret = rf_val_int((int64_t)v->number);
		return !text && !real;
	default:
		*ret = rf_val_str(text ? v->text : real ? degrees(a, v->real) :
			rf_arena_printf(a, "%llu", (unsigned long long)v->number));
		return ret->s.p;
	}
}

/* ISO 3166-2: the code of a region stands behind its country's. */
static bool region(const struct rf_mmdb *m, size_t at, struct rf_arena *a, struct rf_val *ret)
{
	static const char *const path[] = { "country", "iso_code", NULL };
	struct rf_mmdb_value country;
	if (!rf_mmdb_get(m, at, path, &country) || country.type != RF_MMDB_TEXT)
		return false;
	*ret = rf_val_str(rf_arena_printf(a, "%.*s-%.*s", RF_ARG(country.text), RF_ARG(ret->s)));
	return ret->s.p;
}

static bool look_up(const struct rf_mmdb *m, size_t at, const struct place *p, struct rf_mmdb_value *ret)
{
	const char *path[PATH + 1] = { p->path[0], p->path[1], p->path[2], p->path[3], NULL };
	return rf_mmdb_get(m, at, path, ret) || (p->other[0] && rf_mmdb_get(m, at, p->other, ret)) ||
		(p->field == RF_F_IP_EU && rf_mmdb_get(m, at, (const char *const[]){ "country", "iso_code", NULL }, ret));
}

bool rf_geo_fact(const struct rf_geo *g, const struct rf_ip *ip, enum rf_field f, struct rf_arena *a, struct rf_val *ret)
{
	const struct place *p = places;
	struct rf_mmdb_value v;
	size_t at;
	while (p < places + sizeof places / sizeof *places && p->field != f)
		p++;
	if (!g || p == places + sizeof places / sizeof *places || !g->db[p->file].nodes)
		return false;
	const struct rf_mmdb *m = &g->db[p->file];
	if (!rf_mmdb_find(m, ip, &at) || !look_up(m, at, p, &v))
		return false;
	if (f == RF_F_IP_EU && v.type == RF_MMDB_TEXT) { /* files leave it out where it is false */
		*ret = rf_val_bool(false);
		return true;
	}
	if (!convert(f, &v, a, ret))
		return false;
	return (f != RF_F_IP_SUB1 && f != RF_F_IP_SUB2) || region(m, at, a, ret);
}

uint32_t rf_geo_country(struct rf_str s)
{
	bool letters = s.n == 2 && s.p[0] >= 'A' && s.p[0] <= 'Z' && s.p[1] >= 'A' && s.p[1] <= 'Z';
	return letters ? (uint32_t)(uint8_t)s.p[0] << 8 | (uint8_t)s.p[1] : 0;
}

enum { WALK_CACHE = 4096 }; /* many networks share their data */

struct geo_walk {
	const struct rf_mmdb *m;
	const struct place *p;
	int (*each)(void *arg, const struct rf_prefix *net, uint32_t value);
	void *arg;
	struct { size_t at; uint32_t value; } cache[WALK_CACHE];
};

static int walked(void *arg, const struct rf_prefix *net, size_t at)
{
	struct geo_walk *w = arg;
	size_t i = (at ^ at >> 12) % WALK_CACHE;
	if (w->cache[i].at != at + 1) {
		struct rf_mmdb_value v = { 0 };
		bool there = look_up(w->m, at, w->p, &v);
		w->cache[i].at = at + 1;
		w->cache[i].value = !there ? 0 : v.type == RF_MMDB_TEXT ? rf_geo_country(v.text) : (uint32_t)v.number;
	}
	return w->cache[i].value ? w->each(w->arg, net, w->cache[i].value) : RF_OK;
}

int rf_geo_walk(const struct rf_geo *g, enum rf_geo_file file, int (*each)(void *arg, const struct rf_prefix *net, uint32_t value), void *arg)
{
	if (!g || !g->db[file].nodes)
		return RF_E_MISSING;
	struct geo_walk *w = calloc(1, sizeof *w);
	if (!w)
		return RF_E_NOMEM;
	w->m = &g->db[file];
	w->p = places;
	while (w->p->field != (file == RF_GEO_ASN ? RF_F_IP_ASN : RF_F_IP_COUNTRY))
		w->p++;
	w->each = each;
	w->arg = arg;
	int rc = rf_mmdb_walk(w->m, walked, w);
	free(w);
	return rc;
}
