/* records/recent: see recent.h. A circle of packed records; slot of an id: id % count. */
#include "records/recent.h"
#include <pthread.h>
#include <stdlib.h>
#include "records/ring.h"

struct slot { char *packed; size_t size; };

struct rf_recent {
	pthread_mutex_t lock; /* guards all below */
	struct slot *slots;
	size_t count, bytes;
	uint64_t first, next; /* ids kept: first..next-1 */
};

struct rf_recent *rf_recent_new(size_t count)
{
	struct rf_recent *r = calloc(1, sizeof *r);
	struct slot *slots = calloc(count ? count : 1, sizeof *slots);
	if (!r || !slots) {
		free(r);
		free(slots);
		return NULL;
	}
	*r = (struct rf_recent){ .slots = slots, .count = count, .first = 1, .next = 1 };
	pthread_mutex_init(&r->lock, NULL);
	return r;
}

static void drop_first(struct rf_recent *r)
{
	struct slot *s = &r->slots[r->first++ % r->count];
	r->bytes -= s->size;
	free(s->packed);
	*s = (struct slot){ 0 };
}

void rf_recent_free(struct rf_recent *r)
{
	if (!r)
		return;
	while (r->first < r->next)
		drop_first(r);
	pthread_mutex_destroy(&r->lock);
	free(r->slots);
	free(r);
}

uint64_t rf_recent_add(struct rf_recent *r, const struct rf_record *rec)
{
	size_t size = rf_record_size(rec);
	char *packed = r->count ? malloc(size) : NULL;
	if (!packed)
		return 0;
	rf_record_pack(rec, packed);
	pthread_mutex_lock(&r->lock);
	while (r->first < r->next && (r->next - r->first == r->count || r->bytes + size > RF_RECENT_BYTES_MAX))
		drop_first(r);
	uint64_t id = r->next++;
	r->slots[id % r->count] = (struct slot){ packed, size };
	r->bytes += size;
	pthread_mutex_unlock(&r->lock);
	return id;
}

static bool is(struct rf_str want, struct rf_str have) { return !want.n || rf_str_eq(want, have); }

static bool wanted(const struct rf_recent_filter *f, const struct rf_record *rec)
{
	return (f->kind < 0 || f->kind == (int)rec->kind) && (is(f->device, rec->device) || is(f->device, rec->device_name)) &&
	       is(f->class_name, rec->class_name) && is(f->action, rec->action) && is(f->rule_id, rec->rule_id) &&
	       (!f->host.n || rf_str_ieq(f->host, rec->host));
}

/* The first id of the last `limit` that match. */
static uint64_t last_ones(struct rf_recent *r, const struct rf_recent_filter *f, uint64_t from, uint64_t end)
{
	size_t found = 0;
	uint64_t id = end;
	while (id > from && found < f->limit) {
		struct rf_record rec;
		rf_record_unpack(r->slots[--id % r->count].packed, &rec);
		found += wanted(f, &rec);
	}
	return id;
}

uint64_t rf_recent_read(struct rf_recent *r, const struct rf_recent_filter *f,
			void (*each)(void *arg, uint64_t id, const struct rf_record *rec), void *arg)
{
	pthread_mutex_lock(&r->lock);
	uint64_t from = f->since + 1 > r->first ? f->since + 1 : r->first, end = f->before && f->before < r->next ? f->before : r->next;
	uint64_t last = f->since < r->next ? f->since : r->next - 1; /* a since of another run starts anew */
	size_t given = 0;
	if (f->newest && f->limit)
		from = last_ones(r, f, from, end);
	for (uint64_t id = from; id < end && (!f->limit || given < f->limit); id++) {
		struct rf_record rec;
		rf_record_unpack(r->slots[id % r->count].packed, &rec);
		last = id;
		if (!wanted(f, &rec))
			continue;
		given++;
		each(arg, id, &rec);
	}
	pthread_mutex_unlock(&r->lock);
	return last;
}
