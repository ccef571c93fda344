/* base/map: an intrusive hash table from byte strings to objects, for one thread.
 *
 * The object embeds a struct rf_map_node and keeps its key bytes alive and unchanged while it
 * is linked. Keys are unique. The table doubles at a load of one; when memory for that is
 * missing the chains grow instead, so insertion never fails.
 */
#pragma once
#include "base/str.h"

struct rf_map_node {
	struct rf_map_node *next;
	struct rf_str key;
	uint64_t hash;
};

struct rf_map {
	struct rf_map_node **slots;
	size_t mask; /* slots - 1; 0 with slots == NULL before the first insertion */
	size_t count;
	struct rf_map_node *single; /* the chain while there are no slots */
};

struct rf_map_node *rf_map_find(const struct rf_map *m, struct rf_str key);

/* Link `node` under `key`. Returns the node already there under that key (nothing is changed
 * then), or NULL when `node` went in. */
struct rf_map_node *rf_map_add(struct rf_map *m, struct rf_map_node *node, struct rf_str key);
void rf_map_del(struct rf_map *m, struct rf_map_node *node);

/* Walk in no order: start with NULL. To delete a node, fetch its successor first. */
struct rf_map_node *rf_map_next(const struct rf_map *m, const struct rf_map_node *after);

/* Free the table; the objects are the caller's. */
void rf_map_fini(struct rf_map *m);
