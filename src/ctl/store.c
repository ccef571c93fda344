/* ctl/store: the SQLite file behind the state: opening, versions, transactions, errors.
 *
 * The way of a write: rf_store_begin (BEGIN IMMEDIATE) -> put and del (store_rw.c), each with its line of
 * audit -> rf_store_commit, which stores the revision, trims the audit and commits with an fsync of the
 * log. A process that dies anywhere before the end of the commit leaves nothing of the transaction.
 *
 * Invariants: no write outside a transaction, also when SQLite itself has rolled one back after a full
 * disk; `revision` never goes down but by a rollback of what was never acknowledged.
 *
 * Not here: the objects themselves (store_rw.c, store_books.c), what they mean (api, ctl/build).
 */
#include "ctl/store_db.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/way.h"
#include "ctl/store_file.h"
#include "ctl/store_log.h"

enum { APPLICATION_ID = 0x52464e43, SCHEMA_VERSION = 4, BUSY_MS = 5000, STEPS = 64 /* of SQLite between two looks at the clock */ };

const struct store_kind rf_store_kinds[RF_KIND_COUNT] = {
#define RF_KIND(id, table, parent, unique, doc) [RF_KIND_##id] = { table, RF_KIND_##parent, UNIQUE_##unique },
#define RF_KIND_NONE RF_KIND_COUNT
#include "tbl/kinds.def"
#undef RF_KIND_NONE
#undef RF_KIND
};

const char *rf_kind_name(enum rf_kind k) { return rf_store_kinds[k].table; }

int rf_store_failed(struct rf_store *s, int rc, const char *doing, struct rf_err *e)
{
	const char *why = s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc);
	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		return rf_fail(e, RF_E_NOMEM, "could not %s: memory is exhausted", doing);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return rf_fail(e, RF_E_AGAIN, "could not %s: another process holds the state file %s", doing, s->path);
	case SQLITE_CORRUPT:
		return rf_fail(e, RF_E_DISK, "could not %s: the state file %s is damaged (%s); restore it from a backup",
			       doing, s->path, why);
	case SQLITE_NOTADB:
		return rf_fail(e, RF_E_INVALID, "could not %s: %s is not a state file of ringfence; give another path "
			       "or move it away", doing, s->path);
	case SQLITE_FULL:
		return rf_fail(e, RF_E_DISK, "could not %s: the disk of %s is full; nothing was changed", doing, s->path);
	case SQLITE_IOERR:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		return rf_fail(e, RF_E_DISK, "could not %s: the state file %s cannot be read or written (%s); nothing "
			       "was changed", doing, s->path, why);
	default:
		return rf_fail(e, RF_E_INTERNAL, "could not %s in %s: %s", doing, s->path, why);
	}
}

static int run(struct rf_store *s, const char *sql, const char *doing, struct rf_err *e)
{
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? RF_OK : rf_store_failed(s, rc, doing, e);
}

static int number(struct rf_store *s, const char *sql, int64_t *ret, struct rf_err *e)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
	if (rc != SQLITE_OK)
		return rf_store_failed(s, rc, "read the state", e);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	if (rc == SQLITE_DONE)
		*ret = 0;
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? RF_OK : rf_store_failed(s, rc, "read the state", e);
}

/* Names are at most this long in bytes; the API's tables are stricter. */
static void table_sql(struct rf_buf *b, const struct store_kind *k)
{
	rf_buf_printf(b, "CREATE TABLE IF NOT EXISTS %s (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, ", k->table);
	if (k->parent != RF_KIND_COUNT)
		rf_buf_printf(b, "parent TEXT NOT NULL REFERENCES %s(id) ON DELETE CASCADE, ",
			      rf_store_kinds[k->parent].table);
	else
		rf_buf_printf(b, "parent TEXT NOT NULL CHECK (parent = ''), ");
	rf_buf_printf(b, "name TEXT NOT NULL, doc TEXT NOT NULL, revision INTEGER NOT NULL, place INTEGER NOT NULL, "
			 "created INTEGER NOT NULL, modified INTEGER NOT NULL) STRICT;\n");
	rf_buf_printf(b, "CREATE INDEX IF NOT EXISTS %s_parent ON %s(parent);\n", k->table, k->table);
	rf_buf_printf(b, "CREATE %sINDEX IF NOT EXISTS %s_name ON %s(%s);\n", k->unique == UNIQUE_ANY ? "" : "UNIQUE ",
		      k->table, k->table, k->unique == UNIQUE_PARENT ? "parent, name" : "name");
}

/* Entries of lists and their operations: entries.c, operations.c. */
const char rf_store_list_sql[] =
	"CREATE TABLE IF NOT EXISTS list_numbers (number INTEGER PRIMARY KEY AUTOINCREMENT, list TEXT UNIQUE REFERENCES lists(id) "
	"ON DELETE SET NULL, count INTEGER NOT NULL) STRICT;\n"
	"CREATE TABLE IF NOT EXISTS list_entries (number INTEGER NOT NULL, key BLOB NOT NULL, value TEXT NOT NULL, comment TEXT NOT NULL, "
	"more TEXT NOT NULL, created INTEGER NOT NULL, modified INTEGER NOT NULL, PRIMARY KEY (number, key)) STRICT, WITHOUT ROWID;\n"
	"CREATE TABLE IF NOT EXISTS list_operations (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, list TEXT NOT NULL, actor TEXT "
	"NOT NULL, mode INTEGER NOT NULL, status INTEGER NOT NULL, error TEXT NOT NULL, completed INTEGER NOT NULL) STRICT;\n"
	"CREATE TABLE IF NOT EXISTS list_batches (operation INTEGER NOT NULL, part INTEGER NOT NULL, data BLOB NOT NULL, "
	"PRIMARY KEY (operation, part)) STRICT;\n"
	"CREATE INDEX IF NOT EXISTS list_operations_open ON list_operations(seq) WHERE completed = 0;\n";

/* The tables of every kind: those that a release adds appear by themselves. */
static int make_tables(struct rf_store *s, struct rf_err *e)
{
	RF_BUF_AUTO sql = { 0 };
	rf_buf_printf(&sql, "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;\n"
			    "CREATE TABLE IF NOT EXISTS audit (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, actor TEXT NOT "
			    "NULL, kind TEXT NOT NULL, id TEXT NOT NULL, action TEXT NOT NULL, old INTEGER NOT NULL, "
			    "new INTEGER NOT NULL) STRICT;\n");
	for (enum rf_kind k = 0; k < RF_KIND_COUNT; k++)
		if (!rf_store_placed(k))
			table_sql(&sql, &rf_store_kinds[k]);
	rf_buf_printf(&sql, "%s%s%s", rf_store_list_sql, rf_store_books_sql, rf_store_undo_sql);
	if (sql.bad)
		return rf_fail(e, RF_E_NOMEM, "could not build the schema: memory is exhausted");
	return run(s, rf_buf_z(&sql), "create the tables", e);
}

/* Pages of rules have had another form since; those of the old one are read, and written anew when they change. */
static int new_pages(struct rf_store *s, struct rf_err *e)
{
	(void)s;
	(void)e;
	return RF_OK;
}

/* migrations[v] leads from version v to v + 1; version 0 is an empty file. Only additions: forward, never back. */
static int (*const migrations[SCHEMA_VERSION])(struct rf_store *s, struct rf_err *e) = { make_tables, rf_store_entries_migrate,
	rf_store_books_migrate, new_pages };

static int check_origin(struct rf_store *s, int64_t *ret_version, struct rf_err *e)
{
	int64_t app = 0, version = 0, tables = 0;
	int rc = number(s, "PRAGMA application_id", &app, e);
	if (rc == RF_OK)
		rc = number(s, "PRAGMA user_version", &version, e);
	if (rc == RF_OK)
		rc = number(s, "SELECT count(*) FROM sqlite_schema", &tables, e);
	if (rc != RF_OK)
		return rc;
	if (app != APPLICATION_ID && (app != 0 || version != 0 || tables != 0))
		return rf_fail(e, RF_E_INVALID, "%s is a database of another program; give another path or move it away",
			       s->path);
	if (version > SCHEMA_VERSION)
		return rf_fail(e, RF_E_UNSUPPORTED, "%s was written by a newer release (version %lld, this one knows %d); "
			       "install that release again or restore a backup", s->path, (long long)version, SCHEMA_VERSION);
	*ret_version = version;
	return RF_OK;
}

static int migrate(struct rf_store *s, struct rf_err *e)
{
	int64_t version = 0, revision = 0;
	int rc = check_origin(s, &version, e);
	if (rc == RF_OK)
		rc = run(s, "BEGIN IMMEDIATE", "lock the state", e);
	if (rc != RF_OK)
		return rc;
	for (int64_t v = version; v < SCHEMA_VERSION && rc == RF_OK; v++)
		rc = migrations[v](s, e);
	if (rc == RF_OK)
		rc = make_tables(s, e);
	char mark[128];
	snprintf(mark, sizeof mark, "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT", APPLICATION_ID,
		 SCHEMA_VERSION);
	if (rc == RF_OK)
		rc = run(s, mark, "write the schema", e);
	if (rc != RF_OK) {
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
		return rc;
	}
	rc = number(s, "SELECT value FROM meta WHERE key='revision'", &revision, e);
	s->revision = s->committed = (uint64_t)revision;
	return rc;
}

static int from_kernel(void *ctx, void *to, size_t n)
{
	(void)ctx;
	return getrandom(to, n, 0) == (ssize_t)n ? 0 : -1;
}

void rf_store_random(struct rf_store *s, int (*fill)(void *ctx, void *to, size_t n), void *ctx)
{
	s->fill = fill ? fill : from_kernel;
	s->fill_ctx = ctx;
	s->pooled = 0;
}

/* Statements over many rows. */
static int give(void *unused)
{
	(void)unused;
	rf_way_look();
	return 0;
}

/* The file is made by us, before SQLite, so that no other user can ever read it. */
static int make_file(const char *path, struct rf_err *e)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return rf_fail(e, RF_E_DISK, "could not open the state file %s: %s", path, strerror(errno));
	close(fd);
	return RF_OK;
}

int rf_store_open(const char *path, const struct rf_clock *clock, struct rf_store **ret, struct rf_err *e)
{
	struct rf_store *s = calloc(1, sizeof *s);
	if (!s || !(s->path = strdup(path))) {
		free(s);
		return rf_fail(e, RF_E_NOMEM, "could not open the state file %s: memory is exhausted", path);
	}
	s->clock = *clock;
	rf_store_random(s, NULL, NULL);
	int rc = make_file(path, e);
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
	if (rc == RF_OK) {
		int sq = sqlite3_open_v2(path, &s->db, flags, rf_store_vfs());
		rc = sq == SQLITE_OK ? RF_OK : rf_store_failed(s, sq, "open the state", e);
	}
	if (rc == RF_OK) {
		sqlite3_busy_timeout(s->db, BUSY_MS);
		sqlite3_progress_handler(s->db, STEPS, give, NULL);
		rc = run(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
			    "PRAGMA trusted_schema=OFF; PRAGMA cache_size=-65536; "
			    "PRAGMA temp_store=MEMORY" /* the sandbox has no place for its files */, "open the state", e);
	}
	if (rc == RF_OK)
		rc = migrate(s, e);
	if (rc != RF_OK) {
		rf_store_close(s);
		return rc;
	}
	*ret = s;
	return RF_OK;
}

static int grew(void *store, sqlite3 *db, const char *name, int pages)
{
	(void)name;
	rf_store_log_grew(((struct rf_store *)store)->log, db, pages);
	return SQLITE_OK;
}

int rf_store_apart(struct rf_store *s, int pages, int max, struct rf_err *e)
{
	int rc = rf_store_log_new(s->path, pages, max, &s->log, e);
	if (rc == RF_OK)
		sqlite3_wal_hook(s->db, grew, s); /* in place of SQLite's own, which is a checkpoint */
	return rc;
}

void rf_store_close(struct rf_store *s)
{
	if (!s)
		return;
	rf_store_rollback(s);
	for (size_t k = 0; k < RF_KIND_COUNT; k++)
		for (size_t op = 0; op < OP_COUNT_; op++)
			sqlite3_finalize(s->cached[k][op]);
	for (size_t i = 0; i < TX_COUNT_; i++)
		sqlite3_finalize(s->tx[i]);
	for (size_t i = 0; i < ENTRY_OPS; i++)
		sqlite3_finalize(s->entry[i]);
	for (size_t i = 0; i < OPERATION_OPS; i++)
		sqlite3_finalize(s->operation[i]);
	rf_books_close(s);
	rf_buf_fini(&s->edit_text);
	free(s->edits);
	sqlite3_finalize(s->audit);
	rf_store_log_stop(s->log);
	sqlite3_close(s->db);
	rf_store_log_free(s->log);
	EVP_CIPHER_CTX_free(s->ids);
	free(s->path);
	free(s);
}

/* A step of every transaction, prepared once. */
static int step(struct rf_store *s, enum store_tx which, const char *doing, struct rf_err *e)
{
	static const char *const sql[TX_COUNT_] = {
		[TX_BEGIN] = "BEGIN IMMEDIATE",
		[TX_REVISION] = "INSERT INTO meta VALUES ('revision', ?1) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
		[TX_TRIM] = "DELETE FROM audit WHERE seq <= (SELECT max(seq) FROM audit) - ?1",
		[TX_COMMIT] = "COMMIT",
	};
	sqlite3_stmt **st = &s->tx[which];
	int rc = *st ? SQLITE_OK : sqlite3_prepare_v3(s->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
	if (rc != SQLITE_OK)
		return rf_store_failed(s, rc, doing, e);
	if (which == TX_REVISION)
		sqlite3_bind_int64(*st, 1, (int64_t)s->revision);
	if (which == TX_TRIM)
		sqlite3_bind_int64(*st, 1, RF_STORE_AUDIT_MAX);
	sqlite3_step(*st);
	rc = sqlite3_reset(*st);
	return rc == SQLITE_OK ? RF_OK : rf_store_failed(s, rc, doing, e);
}

int rf_store_begin(struct rf_store *s, const char *actor, struct rf_err *e)
{
	if (s->open_tx)
		return rf_fail(e, RF_E_INTERNAL, "a transaction is open already");
	int rc = step(s, TX_BEGIN, "begin a change", e);
	if (rc != RF_OK)
		return rc;
	rf_books_tidy(s);
	s->open_tx = true;
	rf_store_entries_forget(s, true);
	snprintf(s->actor, sizeof s->actor, "%s", actor);
	return RF_OK;
}

int rf_store_commit(struct rf_store *s, struct rf_err *e)
{
	if (!s->open_tx)
		return rf_fail(e, RF_E_INTERNAL, "no transaction is open");
	int rc = RF_OK;
	if (sqlite3_get_autocommit(s->db))
		rc = rf_fail(e, RF_E_DISK, "the change was undone because %s could not be written; nothing was changed",
			     s->path);
	if (rc == RF_OK)
		rc = rf_store_entries_settle(s, e);
	if (rc == RF_OK)
		rc = rf_books_flush(s, e);
	for (enum store_tx t = TX_REVISION; t <= TX_COMMIT && rc == RF_OK; t++)
		rc = step(s, t, "store the change", e);
	if (rc != RF_OK) {
		rf_store_rollback(s);
		return rc;
	}
	rf_books_settle(s);
	s->open_tx = false;
	rf_store_unwatch(s);
	s->committed = s->revision;
	return RF_OK;
}

void rf_store_rollback(struct rf_store *s)
{
	if (!s->open_tx)
		return;
	rf_store_unwatch(s);
	if (!sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	rf_books_undo(s);
	s->open_tx = false;
	rf_store_entries_forget(s, true);
	s->revision = s->committed;
}

uint64_t rf_store_revision(struct rf_store *s)
{
	return s->revision;
}

const char *rf_store_path(const struct rf_store *s)
{
	return s->path;
}
