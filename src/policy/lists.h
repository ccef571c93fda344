/* policy/lists: named lists of addresses, host names, numbers and strings.
 *
 * A list is an immutable compiled set. The table of lists of a snapshot gives each name a slot
 * that stays the same in every table made from it, so that compiled rules hold the slot and a list is
 * replaced without compiling any rule. Both are shared by reference count. Made on the control
 * thread, read by all; looking up is O(log n) and allocates nothing.
 */
#pragma once
#include "base/err.h"
#include "policy/value.h"

enum rf_list_kind { RF_LIST_IP, RF_LIST_HOSTNAME, RF_LIST_ASN, RF_LIST_STRING, RF_LIST_KIND_COUNT };

enum { RF_LIST_ITEMS = 1000000, RF_LISTS = 4096, RF_LIST_ITEM_SIZE = 1024 };

struct rf_list;
struct rf_lists;

const char *rf_list_kind_name(enum rf_list_kind k); /* "ip", "hostname", "asn", "string" */
bool rf_list_kind_find(struct rf_str name, enum rf_list_kind *ret);
/* 1 to 50 lower-case letters, digits and underscores. */
bool rf_list_name_ok(struct rf_str name);

/* Compile items, each in its text form: "192.0.2.0/24" or "192.0.2.1" or "192.0.2.1..192.0.2.9",
 * "example.com" or "*.example.com", "64512", any bytes. On error the pointer names the item
 * ("/17"). The new list has one reference, the caller's. */
int rf_list_make(enum rf_list_kind kind, const struct rf_str *items, size_t count, struct rf_list **ret,
	struct rf_err *e);
struct rf_list *rf_list_get(struct rf_list *l);
void rf_list_put(struct rf_list *l);
enum rf_list_kind rf_list_kind(const struct rf_list *l);
size_t rf_list_count(const struct rf_list *l); /* items as given */

/* Host names are compared without regard to case; an item "*.example.com" holds every name below. */
bool rf_list_has_ip(const struct rf_list *l, const struct rf_ip *ip);
bool rf_list_has_int(const struct rf_list *l, int64_t n);
bool rf_list_has_str(const struct rf_list *l, struct rf_str s);

/* A table that is `old` (NULL: empty) with `list` under `name`, or without that name where list
 * is NULL. Takes its own reference of the list. RF_E_NOMEM, RF_E_FULL. */
int rf_lists_with(const struct rf_lists *old, struct rf_str name, struct rf_list *list, struct rf_lists **ret);
struct rf_lists *rf_lists_get(struct rf_lists *t);
void rf_lists_put(struct rf_lists *t);
/* The slot of a list that is there, else -1; `t` may be NULL. */
int rf_lists_find(const struct rf_lists *t, struct rf_str name);
/* NULL where the slot holds no list (any more). */
const struct rf_list *rf_lists_at(const struct rf_lists *t, int slot);
const char *rf_lists_near(const struct rf_lists *t, struct rf_str name);
