/* shield/numbers: see numbers.h. */
#include "shield/numbers.h"
#include <sys/mman.h>
#include "bpf/filter.h"

static size_t counts_size(const struct rf_numbers *n) { return (size_t)n->lines * sizeof *n->counts; }

static void *shared(size_t n, int fd)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

static int init(struct rf_numbers *n, int ids, int counts, int lines)
{
	struct rf_numbers made = { .lines = lines, .ids = shared(sizeof *made.ids, ids) };
	made.counts = shared(counts_size(&made), counts);
	if (!made.ids || !made.counts) {
		rf_numbers_fini(&made);
		return RF_E_NOMEM;
	}
	for (unsigned i = 0; i < RF_PACKET_RULES; i++)
		made.ids->v[i][RF_RULE_ID - 1] = 0;
	*n = made;
	return RF_OK;
}

int rf_numbers_init(struct rf_numbers *n, int ids, int counts) { return init(n, ids, counts, RF_FILTER_CPUS); }
int rf_numbers_init_own(struct rf_numbers *n) { return init(n, -1, -1, 1); }

void rf_numbers_fini(struct rf_numbers *n)
{
	if (n->ids)
		munmap(n->ids, sizeof *n->ids);
	if (n->counts)
		munmap(n->counts, counts_size(n));
	*n = (struct rf_numbers){ 0 };
}

struct rf_str rf_numbers_rule(const struct rf_numbers *n, unsigned number)
{
	return rf_str_z(n->ids->v[number]);
}

int rf_numbers_find(const struct rf_numbers *n, struct rf_str id, unsigned *ret)
{
	for (unsigned i = 0; id.n && i < RF_PACKET_RULES; i++)
		if (rf_str_eq(rf_numbers_rule(n, i), id)) {
			*ret = i;
			return RF_OK;
		}
	return RF_E_NOT_FOUND;
}

static void clear(const struct rf_numbers *n, unsigned number)
{
	for (int cpu = 0; cpu < n->lines; cpu++)
		n->counts[cpu].v[number].frames = n->counts[cpu].v[number].bytes = 0;
}

static bool is_in(const struct rf_number_set *s, unsigned i) { return s->bits[i / 64] >> (i % 64) & 1; }

int rf_numbers_take(const struct rf_numbers *n, struct rf_str id, struct rf_number_set *used, unsigned *ret)
{
	unsigned at = 0;
	if (id.n >= RF_RULE_ID)
		return RF_E_RANGE;
	if (rf_numbers_find(n, id, &at) != RF_OK) {
		while (at < RF_PACKET_RULES && (n->ids->v[at][0] || is_in(used, at)))
			at++;
		if (at == RF_PACKET_RULES)
			return RF_E_FULL;
		clear(n, at);
		memcpy(n->ids->v[at], id.p, id.n);
		n->ids->v[at][id.n] = 0;
	}
	used->bits[at / 64] |= 1ull << (at % 64);
	*ret = at;
	return RF_OK;
}

void rf_numbers_keep(const struct rf_numbers *n, const struct rf_number_set *used)
{
	for (unsigned i = 0; i < RF_PACKET_RULES; i++)
		if (!is_in(used, i))
			n->ids->v[i][0] = 0;
}

void rf_numbers_told(const struct rf_numbers *n, unsigned number, uint64_t frames, uint64_t bytes)
{
	n->counts[0].v[number].frames = frames;
	n->counts[0].v[number].bytes = bytes;
}

void rf_numbers_counted(const struct rf_numbers *n, unsigned number, uint64_t *ret_frames, uint64_t *ret_bytes)
{
	*ret_frames = *ret_bytes = 0;
	for (int cpu = 0; cpu < n->lines; cpu++) {
		*ret_frames += n->counts[cpu].v[number].frames;
		*ret_bytes += n->counts[cpu].v[number].bytes;
	}
}
