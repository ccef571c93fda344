/* base/room: arrays that grow, by doubling. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Room for `need` elements of `size` bytes. `array` is the address of the pointer to them, NULL while *cap, how many there is room
 * for, is 0; its owner frees it. False, and all as it was, without memory. */
bool rf_room_more(void *array, size_t *cap, size_t need, size_t size);
static inline bool rf_room(void *array, size_t *cap, size_t need, size_t size)
{
	return need <= *cap || rf_room_more(array, cap, need, size);
}
/* For one more behind `count`. */
#define RF_ROOM(v, cap, count) rf_room(&(v), &(cap), (count) + 1, sizeof *(v))
