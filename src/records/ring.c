/* records/ring: see ring.h.
 *
 * A ring of bytes with entries of a multiple of 8: a length, then the packed record. An entry never wraps: where the end is
 * too near, a length with SKIP fills it. `head` is the producer's, `tail` the consumer's; both only grow. A packed record is a bit
 * for each field that is there, the kind, then those fields in the order of tbl/records.def.
 */
#include "records/ring.h"
#include <stdlib.h>
#include <unistd.h>
#include "records/counters.h"

enum { RING_MIN = 64 << 10, ENTRY_HEAD = 8 };
#define SKIP 0x80000000u

struct rf_ring {
	_Alignas(64) _Atomic uint64_t head;
	uint64_t tail_seen;          /* the producer's last look at tail */
	_Alignas(64) _Atomic uint64_t tail;
	_Alignas(64) size_t size;
	struct rf_ring_wake *wake;
	char bytes[];
};

enum field {
#define RF_REC_STR(id, json, doc) F_##id,
#define RF_REC_U64 RF_REC_STR
#define RF_REC_IP RF_REC_STR
#define RF_REC_TIME RF_REC_STR
#include "tbl/records.def"
#undef RF_REC_STR
#undef RF_REC_U64
#undef RF_REC_IP
#undef RF_REC_TIME
	F_COUNT
};
_Static_assert(F_COUNT <= 64, "a bit for each field");

struct packed_head { uint64_t present; uint32_t kind; };

static size_t str_len(struct rf_str s) { return s.n < RF_RECORD_STR_MAX ? s.n : RF_RECORD_STR_MAX; }

size_t rf_record_size(const struct rf_record *rec)
{
	size_t n = sizeof(struct packed_head);
#define RF_REC_STR(id, json, doc) n += rec->id.n ? 2 + str_len(rec->id) : 0;
#define RF_REC_U64(id, json, doc) n += rec->id ? 8 : 0;
#define RF_REC_IP(id, json, doc) n += rec->id.family ? sizeof rec->id : 0;
#define RF_REC_TIME(id, json, doc) n += rec->id ? 8 : 0;
#include "tbl/records.def"
#undef RF_REC_STR
#undef RF_REC_U64
#undef RF_REC_IP
#undef RF_REC_TIME
	return n;
}

static char *put(char *to, const void *p, size_t n)
{
	memcpy(to, p, n);
	return to + n;
}

static char *put_str(char *to, struct rf_str s)
{
	uint16_t n = (uint16_t)str_len(s);
	to = put(put(to, &n, 2), s.p, n);
	if (s.n > n) {
		memcpy(to - 3, "...", 3);
		rf_count(RF_C_RECORDS_CUT);
	}
	return to;
}

void rf_record_pack(const struct rf_record *rec, char *to)
{
	struct packed_head h = { 0, rec->kind };
	char *start = to;
	to += sizeof h;
#define PUT(id, there, ...) if (there) { h.present |= 1ull << F_##id; to = __VA_ARGS__; }
#define RF_REC_STR(id, json, doc) PUT(id, rec->id.n, put_str(to, rec->id))
#define RF_REC_U64(id, json, doc) PUT(id, rec->id, put(to, &rec->id, 8))
#define RF_REC_IP(id, json, doc) PUT(id, rec->id.family, put(to, &rec->id, sizeof rec->id))
#define RF_REC_TIME RF_REC_U64
#include "tbl/records.def"
#undef RF_REC_STR
#undef RF_REC_U64
#undef RF_REC_IP
#undef RF_REC_TIME
#undef PUT
	memcpy(start, &h, sizeof h);
}

static const char *get(const char *from, void *p, size_t n)
{
	memcpy(p, from, n);
	return from + n;
}

static const char *get_str(const char *from, struct rf_str *s)
{
	uint16_t n;
	from = get(from, &n, 2);
	*s = (struct rf_str){ from, n };
	return from + n;
}

void rf_record_unpack(const char *from, struct rf_record *ret)
{
	struct packed_head h;
	from = get(from, &h, sizeof h);
	*ret = (struct rf_record){ .kind = (enum rf_record_kind)h.kind };
#define THERE(id) (h.present >> F_##id & 1)
#define RF_REC_STR(id, json, doc) if (THERE(id)) from = get_str(from, &ret->id);
#define RF_REC_U64(id, json, doc) if (THERE(id)) from = get(from, &ret->id, 8);
#define RF_REC_IP(id, json, doc) if (THERE(id)) from = get(from, &ret->id, sizeof ret->id);
#define RF_REC_TIME RF_REC_U64
#include "tbl/records.def"
#undef RF_REC_STR
#undef RF_REC_U64
#undef RF_REC_IP
#undef RF_REC_TIME
#undef THERE
}

struct rf_ring *rf_ring_new(size_t bytes, struct rf_ring_wake *wake)
{
	size_t size = RING_MIN;
	while (size < bytes && size < (size_t)1 << 30)
		size *= 2;
	struct rf_ring *r = aligned_alloc(64, sizeof *r + size);
	if (!r)
		return NULL;
	memset(r, 0, sizeof *r);
	r->size = size;
	r->wake = wake;
	return r;
}

void rf_ring_free(struct rf_ring *r) { free(r); }

static bool room(struct rf_ring *r, uint64_t head, size_t n)
{
	if (r->size - (head - r->tail_seen) >= n)
		return true;
	r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
	return r->size - (head - r->tail_seen) >= n;
}

static void wake(struct rf_ring *r)
{
	uint64_t one = 1;
	if (!r->wake)
		return;
	atomic_thread_fence(memory_order_seq_cst); /* head is seen before we look whether the writer sleeps */
	if (atomic_load_explicit(&r->wake->asleep, memory_order_relaxed) && atomic_exchange(&r->wake->asleep, false) &&
	    write(r->wake->fd, &one, sizeof one) < 0)
		atomic_store(&r->wake->asleep, true); /* it wakes by itself within a second */
}

bool rf_record_emit(struct rf_ring *r, const struct rf_record *rec)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	uint32_t n = (uint32_t)((ENTRY_HEAD + rf_record_size(rec) + 7) & ~(size_t)7);
	size_t at = head & (r->size - 1), left = r->size - at, fill = left < n ? left : 0;
	if (!room(r, head, n + fill)) {
		rf_count(RF_C_RECORDS_DROPPED);
		return false;
	}
	if (fill) {
		uint32_t skip = (uint32_t)fill | SKIP;
		memcpy(r->bytes + at, &skip, sizeof skip);
		at = 0;
	}
	memcpy(r->bytes + at, &n, sizeof n);
	rf_record_pack(rec, r->bytes + at + ENTRY_HEAD);
	atomic_store_explicit(&r->head, head + fill + n, memory_order_release);
	wake(r);
	return true;
}

/* The entry at tail, past a skip; NULL when empty. */
static const char *entry(struct rf_ring *r, uint32_t *ret_n)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	for (;;) {
		if (tail == atomic_load_explicit(&r->head, memory_order_acquire))
			return NULL;
		const char *p = r->bytes + (tail & (r->size - 1));
		memcpy(ret_n, p, sizeof *ret_n);
		if (!(*ret_n & SKIP))
			return p;
		tail += *ret_n & ~SKIP;
		atomic_store_explicit(&r->tail, tail, memory_order_release);
	}
}

bool rf_ring_peek(struct rf_ring *r, struct rf_record *ret)
{
	uint32_t n;
	const char *p = entry(r, &n);
	if (p)
		rf_record_unpack(p + ENTRY_HEAD, ret);
	return p != NULL;
}

void rf_ring_pop(struct rf_ring *r)
{
	uint32_t n;
	if (entry(r, &n))
		atomic_fetch_add_explicit(&r->tail, n, memory_order_release);
}
