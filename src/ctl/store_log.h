/* ctl/store_log: carries what is committed from the log of the state file into the file itself, on a thread of its own.
 *
 * A writer appends pages to the log. Carrying them over (a checkpoint of SQLite) sorts them, writes each to its place and waits for the disk:
 * milliseconds of a processor, which the control thread does not spend. A log is begun anew by the first write that finds it carried over.
 */
#pragma once
#include <sqlite3.h>
#include "base/err.h"

struct rf_store_log;
/* The thread begins, at the least priority. `path` is a state file that is open in this process. So many `pages` in the log wake it;
 * at `max` the writer does its work. RF_E_NOMEM, RF_E_DISK. */
int rf_store_log_new(const char *path, int pages, int max, struct rf_store_log **ret, struct rf_err *e);
/* The writer, through `db`, has committed and holds no lock; there are `pages` in the log now. */
void rf_store_log_grew(struct rf_store_log *l, sqlite3 *db, int pages);
/* Ends the thread at the page it is at; what is left in the log stays there. Harmless twice, and with NULL. */
void rf_store_log_stop(struct rf_store_log *l);
/* Once it is stopped, and the file closed by all in this process. NULL: nothing. */
void rf_store_log_free(struct rf_store_log *l);
