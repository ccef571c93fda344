#include "base/room.h"
#include <string.h>
#include "base/way.h"

enum { FIRST = 16 };

bool rf_room_more(void *array, size_t *cap, size_t need, size_t size)
{
	size_t more = *cap ? *cap : FIRST, bytes;
	void *v;
	while (more < need)
		if (__builtin_mul_overflow(more, 2, &more))
			return false;
	memcpy(&v, array, sizeof v); /* a pointer to any type */
	if (__builtin_mul_overflow(more, size, &bytes) || !(v = rf_way_grow(v, bytes)))
		return false;
	memcpy(array, &v, sizeof v);
	*cap = more;
	return true;
}
