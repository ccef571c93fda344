/* ctl/store_file: the files of SQLite, whose user makes way for workers between pages.
 *
 * One call of SQLite can read and write many thousand pages: a commit of all rules, a checkpoint.
 */
#pragma once
#include <sqlite3.h>

/* What sqlite3_open_v2 takes as the name of its VFS; NULL: as usual. */
const char *rf_store_vfs(void);
/* What `db` writes into the database itself goes to the disk in steps of 64 KB, each waited for: by a thread that has time. `fd`, the
 * file once more, is closed after the last connection to it: closing it gives up the locks that this process has there [POSIX fcntl]. */
void rf_store_file_steps(sqlite3 *db, int fd);
