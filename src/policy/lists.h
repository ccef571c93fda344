/* policy/lists: named lists of addresses, host names, numbers, strings and digests.
 *
 * A list is edited live: the control thread adds and removes entries one by one while workers look, without a lock and without a
 * new snapshot. The table of lists of a snapshot gives each name a slot that stays the same in every table made from it, so
 * that compiled rules hold the slot; only a list that comes or goes makes a new table. Both are shared by reference count.
 *
 * Memory: about 18 bytes an IPv4 entry or number, 34 a name, string or digest (of which 128 bits of a keyed hash are
 * kept), 51 an IPv6 entry; at most three times that, beside 1.5 MiB for a list of many prefixes. Looking up allocates nothing.
 */
#pragma once
#include "base/err.h"
#include "policy/value.h"

enum rf_list_kind { RF_LIST_IP, RF_LIST_HOSTNAME, RF_LIST_ASN, RF_LIST_STRING, RF_LIST_HASH, RF_LIST_KIND_COUNT };

enum {
	RF_LIST_ITEMS = 1000000,
	RF_LIST_ROOM = RF_LIST_ITEMS + RF_LIST_ITEMS / 8, /* while all entries are being replaced */
	RF_LISTS = 4096,
	RF_LIST_ITEM_SIZE = 1024,
};

struct rf_list;
struct rf_lists;

const char *rf_list_kind_name(enum rf_list_kind k); /* "ip", "hostname", "asn", "string", "hash" */
bool rf_list_kind_find(struct rf_str name, enum rf_list_kind *ret);
/* 1 to 50 lower-case letters, digits and underscores. */
bool rf_list_name_ok(struct rf_str name);

/* The one way to write an entry, in `to`: "192.0.2.0/24" or "192.0.2.1" (host bits are cleared, an IPv4-mapped prefix is
 * IPv4), "example.com", "*.example.com" (all names below) or "+.example.com" (it and all below), "64512", any text, or
 * 32 to 128 hexadecimal digits in lower case. RF_E_SYNTAX with a sentence. */
int rf_list_item(enum rf_list_kind kind, struct rf_str text, char to[RF_LIST_ITEM_SIZE + 1], struct rf_str *ret,
	struct rf_err *e);

/* An empty list with one reference, the caller's; NULL without memory. */
struct rf_list *rf_list_new(enum rf_list_kind kind);
struct rf_list *rf_list_get(struct rf_list *l);
void rf_list_put(struct rf_list *l);
/* From now on other threads may look, which are registered for QSBR (device/registry) and report quiet points. */
void rf_list_share(struct rf_list *l);
/* Change an entry, given as rf_list_item writes it; one thread. RF_E_EXISTS, RF_E_NOMEM, RF_E_FULL past RF_LIST_ROOM. */
int rf_list_insert(struct rf_list *l, struct rf_str item);
bool rf_list_remove(struct rf_list *l, struct rf_str item); /* false: it was not there */

/* A list of these items in any writing. On error the pointer names the item ("/17"). */
int rf_list_make(enum rf_list_kind kind, const struct rf_str *items, size_t count, struct rf_list **ret,
	struct rf_err *e);
enum rf_list_kind rf_list_kind(const struct rf_list *l);
size_t rf_list_count(const struct rf_list *l); /* of entries */
size_t rf_list_bytes(const struct rf_list *l); /* of memory */

/* Host names and digests are compared without regard to case. */
bool rf_list_has_ip(const struct rf_list *l, const struct rf_ip *ip);
bool rf_list_has_int(const struct rf_list *l, int64_t n);
bool rf_list_has_str(const struct rf_list *l, struct rf_str s);

/* Each entry of a list of addresses or of numbers, in no order; none of others. By the thread that changes it. */
void rf_list_each(const struct rf_list *l, void (*prefix)(void *ctx, const struct rf_prefix *p), void (*number)(void *ctx, int64_t v),
	void *ctx);

/* A table that is `old` (NULL: empty) with `list` under `name`, or without that name where list
 * is NULL. Takes its own reference of the list. RF_E_NOMEM, RF_E_FULL. */
int rf_lists_with(const struct rf_lists *old, struct rf_str name, struct rf_list *list, struct rf_lists **ret);
struct rf_lists *rf_lists_get(struct rf_lists *t);
void rf_lists_put(struct rf_lists *t);
/* The slot of a list that is there, else -1; `t` may be NULL. */
int rf_lists_find(const struct rf_lists *t, struct rf_str name);
/* NULL where the slot holds no list (any more). */
struct rf_list *rf_lists_at(const struct rf_lists *t, int slot);
const char *rf_lists_near(const struct rf_lists *t, struct rf_str name);
