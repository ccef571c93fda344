/* base/list: an intrusive doubly linked list.
 *
 * A head is a node that is linked to itself. A node is unlinked (next == NULL) or in exactly one
 * list. Owned by one thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct rf_node {
	struct rf_node *next, *prev;
};

#define RF_CONTAINER(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

static inline void rf_list_init(struct rf_node *head) { head->next = head->prev = head; }
static inline bool rf_list_empty(const struct rf_node *head) { return head->next == head; }
static inline bool rf_node_linked(const struct rf_node *node) { return node->next != NULL; }

static inline void rf_list_push(struct rf_node *head, struct rf_node *node) /* at the tail */
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

static inline void rf_list_push_front(struct rf_node *head, struct rf_node *node)
{
	rf_list_push(head->next, node);
}

/* Harmless on a node that is not linked. */
static inline void rf_list_del(struct rf_node *node)
{
	if (!node->next)
		return;
	node->next->prev = node->prev;
	node->prev->next = node->next;
	node->next = node->prev = NULL;
}

static inline struct rf_node *rf_list_first(const struct rf_node *head)
{
	return rf_list_empty(head) ? NULL : head->next;
}

/* All of `from` to the tail of `to`, in order. */
static inline void rf_list_move(struct rf_node *to, struct rf_node *from)
{
	if (rf_list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	rf_list_init(from);
}

/* The body may unlink `it`, and nothing else. */
#define RF_LIST_EACH(it, head) \
	for (struct rf_node *it = (head)->next, *it##_next = it->next; it != (head); \
	     it = it##_next, it##_next = it->next)
