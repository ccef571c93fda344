/* shield/dir: IPv4 prefixes of up to 24 bits: an entry for each /24 (the first half of DIR-24-8, Gupta, Lin and McKeown 1998).
 *
 * A prefix writes all entries that it covers and no longer prefix owns; the depth of an entry says which one does. So a /24 is one
 * store, and a /8 is 65,536.
 */
#include <sys/mman.h>
#include "shield/tables.h"

enum { NETS = 1 << 24 };

int dir_init(uint8_t **ret_depth)
{
	/* Pages that are never touched cost nothing. */
	void *p = mmap(NULL, NETS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return RF_E_NOMEM;
	*ret_depth = p;
	return RF_OK;
}

void dir_fini(uint8_t *depth)
{
	munmap(depth, NETS);
}

static uint16_t *entry(const struct rf_tables *t, uint32_t net)
{
	return &t->first[net / RF_DIR_CHUNK].v[net % RF_DIR_CHUNK];
}

static void put(uint16_t *at, uint16_t v)
{
	__atomic_store_n(at, v, __ATOMIC_RELEASE);
}

static void write_all(const struct rf_tables *t, uint8_t *depth, uint32_t ip, unsigned bits, uint8_t least, uint16_t tag,
	uint8_t new_depth)
{
	uint32_t net = ip >> 8, end = net + (1u << (24 - bits));
	for (; net < end; net++) {
		uint16_t *e = entry(t, net);
		if (depth[net] < least || depth[net] > bits + 1)
			continue;
		put(e, tag | (*e & RF_DIR_LONGER));
		depth[net] = new_depth;
	}
}

void dir_set(const struct rf_tables *t, uint8_t *depth, uint32_t ip, unsigned bits, uint16_t tag)
{
	write_all(t, depth, ip, bits, 0, tag, (uint8_t)(bits + 1));
}

void dir_clear(const struct rf_tables *t, uint8_t *depth, uint32_t ip, unsigned bits, uint16_t around, int around_bits)
{
	write_all(t, depth, ip, bits, (uint8_t)(bits + 1), around, (uint8_t)(around_bits + 1));
}

void dir_mark(const struct rf_tables *t, uint32_t ip, bool longer)
{
	uint16_t *e = entry(t, ip >> 8);
	put(e, (uint16_t)(longer ? *e | RF_DIR_LONGER : *e & ~RF_DIR_LONGER));
}
