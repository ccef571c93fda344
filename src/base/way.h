/* base/way: which thread goes first where several want one processor.
 *
 * Workers, which answer requests in microseconds, ask for short slices: Linux, from 6.12 on, lets who wakes up with one go before who
 * runs with a long one. Who does what takes long makes way for them, as far as it may.
 */
#pragma once
#include <stdbool.h>

/* The calling thread runs for short times, and at once. */
void rf_way_first(void);
/* It takes a small share from here on; with `back`, only where it may have the usual one again. */
void rf_way_make(bool back);
void rf_way_back(void);
