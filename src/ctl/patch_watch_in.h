/* ctl/patch_watch_in: the tables of ctl/patch_watch, shared by its files. */
#pragma once
#include <pthread.h>
#include "base/clock.h"
#include "base/map.h"
#include "ctl/patch_watch.h"

enum { RF_WATCH_CENTI = 100, RF_WATCH_ENTRY = 32 /* bytes of an entry of a table, of which the first 8 are its key, 0: free */ };
#define RF_WATCH_TICK_NS ((int64_t)RF_NS_S / RF_WATCH_CENTI)

/* How a device usually fares. */
struct rf_usual {
	uint64_t key;
	uint32_t last;     /* its last success */
	uint32_t interval; /* between successes, smoothed; 0: unknown */
	uint32_t paths;    /* a bit for each request that succeeded, by hash */
	uint32_t seen;     /* its last request */
	uint16_t good;     /* share of successes, smoothed, of 65535 */
	uint16_t count;    /* of requests, at most UINT16_MAX */
	uint16_t stopped;  /* times that patches stopped it */
	uint16_t unused;
};
_Static_assert(sizeof(struct rf_usual) == RF_WATCH_ENTRY, "a device's baseline is an entry");

/* A device since a patch first stopped it. */
struct rf_stopped {
	uint64_t key;
	uint32_t first, last; /* first stop; last request of any kind */
	uint32_t interval;    /* as it was before */
	uint16_t hits, good, repeats;
	bool healthy, suffers;
	uint8_t unused[4];
};
_Static_assert(sizeof(struct rf_stopped) == RF_WATCH_ENTRY, "a stopped device is an entry");

struct rf_watch_table {
	void *v;
	size_t size, count, most; /* size: a power of two */
	uint64_t lost;
};

struct rf_watch_class {
	char name[64];
	uint64_t matched, stopped;
};

struct rf_watched {
	struct rf_map_node node;
	struct rf_watch_spec spec;
	bool halted, keep;
	uint64_t matched, stopped;
	size_t class_count;
	struct rf_watch_class classes[RF_WATCH_CLASSES + 1]; /* the last: all others */
	struct rf_watch_table devices;      /* struct rf_stopped: those that it stops */
	struct rf_watch_table seen;         /* struct rf_stopped: those that it only matches */
};

struct rf_watch {
	pthread_mutex_t lock;
	int64_t epoch_ns;
	struct rf_watch_table devices;      /* struct rf_usual */
	struct rf_map patches;
	_Atomic bool on;
};

#define RF_WATCH_EACH(w, n) \
	for (struct rf_map_node *n = rf_map_next(&(w)->patches, NULL); n; n = rf_map_next(&(w)->patches, n))

uint32_t rf_watch_tick(const struct rf_watch *w, int64_t ns);
/* Found, or made and zeroed; NULL (and counted) where it is full. */
void *rf_watch_at(struct rf_watch_table *t, uint64_t key, bool *ret_new);
/* The entry at a place of the array; NULL where that is free. */
void *rf_watch_entry(const struct rf_watch_table *t, size_t i);
/* Follow one patch; NULL without memory, or where it is followed already. */
struct rf_watched *rf_watch_begin(struct rf_watch *w, const struct rf_watch_spec *s);
