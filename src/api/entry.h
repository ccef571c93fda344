/* api/entry: an entry of a list between its JSON, the store, and the packed form of bulk changes. */
#pragma once
#include "api/schema.h"
#include "base/buf.h"
#include "ctl/entries.h"
#include "policy/lists.h"

enum { RF_ENTRY_VALUE = 2304 }; /* bytes, of a redirect's source */

/* Room for the texts of an entry that is read. */
struct rf_entry_room {
	char value[RF_ENTRY_VALUE + 1];
	char *more; /* allocated; rf_entry_room_fini */
};
void rf_entry_room_fini(struct rf_entry_room *r);

/* The entry of a list of that kind that a JSON object is; the object has passed the shape LIST_ITEM. Borrows the comment. RF_E_INVALID, RF_E_SYNTAX,
 * RF_E_NOMEM. */
int rf_entry_read(const char *kind, const char *list_id, const json_t *item, struct rf_entry_room *room, struct rf_list_entry *ret,
		  struct rf_err *e);
/* As the API shows it; NULL without memory. */
json_t *rf_entry_show(const char *kind, const struct rf_list_entry *it);
bool rf_entry_id(const char *id, uint8_t ret[RF_ENTRY_KEY]);

/* Packed entries, one after another. */
void rf_entry_pack(struct rf_buf *to, const struct rf_list_entry *it);
/* Cuts the first one off; false at the end, or where the rest is no entry. */
bool rf_entry_unpack(struct rf_str *rest, struct rf_list_entry *ret);
