/* shield/regulars: sources that were here before a flood.
 *
 *   source, kind of its frame ─► waits for a second ─► a flood of that kind is on? forgotten : noted ─► again, RF_REGULARS_AFTER_S later: known
 *
 * So neither whom spoofed frames name is known, nor who came with the first moments of a flood. A fixed table, in which a source that has not
 * been seen for RF_REGULARS_FORGET_S, or never again, makes room.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum {
	RF_REGULARS_PLACES = 16384, RF_REGULARS_AFTER_S = 10, RF_REGULARS_FORGET_S = 3600,
	RF_REGULARS_WAIT = 8192,  /* frames of a second that are looked at */
};

struct rf_regulars_wait {
	unsigned n;
	struct { uint64_t key; unsigned kind; } v[RF_REGULARS_WAIT];
};

struct rf_regulars {
	struct { uint64_t key; uint32_t first_s, last_s; } v[RF_REGULARS_PLACES];
	struct rf_regulars_wait wait[2]; /* of this second, and of the one before */
	unsigned turn;
};

struct rf_regulars_ops {
	bool (*flood)(void *arg, unsigned kind); /* one is on */
	void (*known)(void *arg, uint64_t key);  /* it is from now on, or still */
	void *arg;
};

/* A frame of a kind has come. Keys are not 0. */
void rf_regulars_came(struct rf_regulars *r, uint64_t key, unsigned kind);
/* A second is over: what came in the one before it is learned. */
void rf_regulars_second(struct rf_regulars *r, uint32_t now_s, const struct rf_regulars_ops *ops);
bool rf_regulars_has(const struct rf_regulars *r, uint64_t key);
