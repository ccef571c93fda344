/* shield/usual: what rate is usual, and from which one on it is a flood. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum rf_flood_sense { RF_FLOOD_HIGH, RF_FLOOD_MEDIUM, RF_FLOOD_LOW, RF_FLOOD_OFF };

struct rf_detect_conf {
	enum rf_flood_sense sense;
	uint32_t floor;           /* a second; below it nothing is a flood */
	uint64_t learn_ns;        /* so long is watched before anything is stopped */
	uint64_t ttl_ns;          /* a signature that nothing matches for so long expires */
};

/* Of events a second: mean and mean deviation, over all seconds until it has learned, over the last minutes from then on. */
struct rf_usual {
	double mean, deviation;
	uint32_t seconds;         /* that were learned from */
};

bool rf_usual_learned(const struct rf_usual *u, const struct rf_detect_conf *conf);
uint32_t rf_usual_threshold(const struct rf_usual *u, const struct rf_detect_conf *conf);
/* One more second. */
void rf_usual_learn(struct rf_usual *u, const struct rf_detect_conf *conf, uint32_t rate);
