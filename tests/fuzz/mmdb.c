/* Databases of addresses. Beliefs: a file opens or not; whatever it is, any address can be looked up for any field, and texts
 * lie within the file. */
#include <stdlib.h>
#include "policy/geo.h"
#include "wire/mmdb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

static void ask(const struct rf_geo *g, const struct rf_mmdb *m)
{
	static const char *const ips[] = { "192.0.2.1", "198.51.100.7", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::", "ff02::1" };
	struct rf_arena a;
	rf_arena_init(&a, 1 << 20);
	for (size_t i = 0; i < sizeof ips / sizeof *ips; i++) {
		struct rf_ip ip;
		struct rf_val v;
		size_t at;
		CHECK(rf_ip_parse(rf_str_z(ips[i]), &ip));
		for (unsigned f = 0; g && f < RF_FIELD_COUNT; f++)
			if (rf_geo_fact(g, &ip, (enum rf_field)f, &a, &v))
				CHECK(v.tag != RF_V_MISSING && rf_fields[f].need != RF_NEED_NONE);
		if (rf_mmdb_find(m, &ip, &at)) {
			static const char *const path[] = { "country", "iso_code", NULL };
			struct rf_mmdb_value got;
			CHECK(at < m->data.n);
			if (rf_mmdb_get(m, at, path, &got) && got.type == RF_MMDB_TEXT)
				CHECK(got.text.p >= m->data.p && got.text.p + got.text.n <= m->data.p + m->data.n);
		}
	}
	rf_arena_fini(&a);
}

/* All networks: none is met twice, each has host bits of zero and data in bounds. */
struct met { const struct rf_mmdb *m; size_t count; };

static int net(void *arg, const struct rf_prefix *p, size_t at)
{
	struct met *met = arg;
	struct rf_prefix masked = rf_ip_mask(&p->ip, p->bits);
	CHECK(at < met->m->data.n && p->bits <= (p->ip.family == 4 ? 32 : 128) && rf_ip_eq(&masked.ip, &p->ip));
	CHECK(++met->count <= (size_t)met->m->nodes + 1);
	return RF_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_mmdb m;
	struct rf_geo *g = NULL;
	struct rf_err e = { 0 };
	if (rf_mmdb_open((struct rf_str){ (const char *)data, size }, &m, &e))
		return 0;
	char *copy = malloc(size ? size : 1);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	struct rf_str bytes[RF_GEO_FILES] = { { copy, size } };
	(void)rf_geo_make(bytes, &g, &e);
	ask(g, &m);
	struct met met = { &m, 0 };
	rf_mmdb_walk(&m, net, &met);
	rf_geo_put(g);
	return 0;
}
