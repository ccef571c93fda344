/* svc/l4/tube: kernel pipes through which bulk moves between two sockets without being copied (splice(2)).
 *
 * A worker keeps a few; a direction has one only while bytes are in it. At the bound a direction goes on by copying.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/list.h"

struct tube {
	struct rf_node node;
	int in, out;     /* ends of the pipe: written to, read from */
	uint32_t bytes;  /* in it */
};

struct tubes {
	struct rf_node idle;
	unsigned made, bound;
	uint64_t refused; /* at the bound, or without descriptors */
};

void tubes_init(struct tubes *t, unsigned bound);
void tubes_fini(struct tubes *t); /* all must be back */
/* An empty one; NULL at the bound, and where the kernel gives none. */
struct tube *tube_get(struct tubes *t);
void tube_put(struct tubes *t, struct tube *tube); /* what is left in it is lost; harmless for NULL */
