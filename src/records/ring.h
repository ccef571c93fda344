/* records/ring: the bounded way of records from one worker to the writer thread.
 *
 * Single producer (rf_record_emit, records/record.h), single consumer (the writer); neither waits for the other.
 */
#pragma once
#include "records/record.h"

/* What rings share to wake the writer: the producer writes to `fd` only when the writer sleeps. */
struct rf_ring_wake {
	int fd; /* eventfd */
	_Atomic bool asleep;
};

/* `bytes` is rounded up to a power of two (at least 64 KiB). wake may be NULL; else it outlives the ring. NULL without memory. */
struct rf_ring *rf_ring_new(size_t bytes, struct rf_ring_wake *wake);
void rf_ring_free(struct rf_ring *r);

/* Consumer: the oldest record, whose strings point into the ring and are valid until rf_ring_pop. False when empty. */
bool rf_ring_peek(struct rf_ring *r, struct rf_record *ret);
void rf_ring_pop(struct rf_ring *r);

/* The same encoding by itself: bytes needed; write; read (trusted bytes of our own only). */
enum { RF_RECORD_STR_MAX = 1024 };
size_t rf_record_size(const struct rf_record *rec);
void rf_record_pack(const struct rf_record *rec, char *to);
void rf_record_unpack(const char *from, struct rf_record *ret);
