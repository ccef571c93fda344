#include "base/map.h"
#include <stdlib.h>
#include "base/hash.h"
#include "base/way.h"

static struct rf_map_node **chain(const struct rf_map *m, uint64_t hash)
{
	return m->slots ? &m->slots[hash & m->mask] : (struct rf_map_node **)&m->single;
}

struct rf_map_node *rf_map_find(const struct rf_map *m, struct rf_str key)
{
	uint64_t hash = rf_hash(key);
	for (struct rf_map_node *n = *chain(m, hash); n; n = n->next)
		if (n->hash == hash && rf_str_eq(n->key, key))
			return n;
	return NULL;
}

static void grow(struct rf_map *m)
{
	size_t size = m->slots ? (m->mask + 1) * 2 : 16;
	struct rf_map_node **slots = calloc(size, sizeof *slots);
	if (!slots)
		return;
	size_t chains = m->slots ? m->mask + 1 : 1;
	for (size_t i = 0; i < chains; i++) {
		rf_way_give();
		for (struct rf_map_node *n = m->slots ? m->slots[i] : m->single, *next; n; n = next) {
			next = n->next;
			n->next = slots[n->hash & (size - 1)];
			slots[n->hash & (size - 1)] = n;
		}
	}
	free(m->slots);
	m->slots = slots;
	m->mask = size - 1;
	m->single = NULL;
}

struct rf_map_node *rf_map_add(struct rf_map *m, struct rf_map_node *node, struct rf_str key)
{
	struct rf_map_node *there = rf_map_find(m, key);
	if (there)
		return there;
	if (m->count > m->mask)
		grow(m);
	node->key = key;
	node->hash = rf_hash(key);
	struct rf_map_node **head = chain(m, node->hash);
	node->next = *head;
	*head = node;
	m->count++;
	return NULL;
}

void rf_map_del(struct rf_map *m, struct rf_map_node *node)
{
	for (struct rf_map_node **at = chain(m, node->hash); *at; at = &(*at)->next)
		if (*at == node) {
			*at = node->next;
			m->count--;
			return;
		}
}

struct rf_map_node *rf_map_next(const struct rf_map *m, const struct rf_map_node *after)
{
	if (after && after->next)
		return after->next;
	if (!m->slots)
		return after ? NULL : m->single;
	for (size_t i = after ? (after->hash & m->mask) + 1 : 0; i <= m->mask; i++)
		if (m->slots[i])
			return m->slots[i];
	return NULL;
}

void rf_map_fini(struct rf_map *m)
{
	free(m->slots);
	*m = (struct rf_map){ 0 };
}
