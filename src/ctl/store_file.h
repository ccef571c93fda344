/* ctl/store_file: the files of SQLite, whose user makes way for workers between pages.
 *
 * One call of SQLite can read and write many thousand pages: a commit of all rules, a checkpoint.
 */
#pragma once

/* What sqlite3_open_v2 takes as the name of its VFS; NULL: as usual. */
const char *rf_store_vfs(void);
