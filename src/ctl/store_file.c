/* ctl/store_file: see store_file.h.
 *
 *	open by SQLite's own VFS -> a copy of its methods in their place -> each read and write: the original, then a look (base/way)
 *	of the log, what was written -> on its way to the disk after each PIECE, so that the sync of a long one finds little to do
 *	of the database, written by a thread that has time (rf_store_file_steps) -> to the disk after each STEP, and waited for
 *
 * The methods of SQLite's files are a few constant tables (one for the database, one for its log), each of which is copied once. What is
 * ours of a file lies behind what is SQLite's.
 */
#include "ctl/store_file.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>
#include "base/way.h"

enum { TABLES = 4, PIECE = 128 << 10, STEP = 64 << 10 };

static sqlite3_vfs *base, own;

static struct table {
	const sqlite3_io_methods *of;
	sqlite3_io_methods with;
} tables[TABLES];
static unsigned table_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of additions */

struct more {
	int fd;                       /* of a log: its own, to say what the disk may have; else -1 */
	sqlite3_int64 from, to;       /* written, and still ours */
	bool steps;                   /* of a database, written in steps: `fd` is another's; `to`: bytes since the last */
};

static const sqlite3_io_methods *original(const sqlite3_file *f)
{
	return ((const struct table *)((const char *)f->pMethods - offsetof(struct table, with)))->of;
}

static size_t base_size(void)
{
	size_t align = _Alignof(struct more);
	return ((size_t)base->szOsFile + align - 1) & ~(align - 1);
}

static struct more *more_of(sqlite3_file *f)
{
	return (struct more *)((char *)f + base_size());
}

static int file_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	rf_way_look();
	return original(f)->xRead(f, to, n, at);
}

static void sent(struct more *m, sqlite3_int64 at, int n)
{
	if (at != m->to)
		m->from = at;
	m->to = at + n;
	if (m->to - m->from > PIECE) {
		sync_file_range(m->fd, m->from, m->to - m->from, SYNC_FILE_RANGE_WRITE);
		m->from = m->to;
	}
}

static void stepped(struct more *m, int n)
{
	m->to += n;
	if (m->to < STEP)
		return;
	sync_file_range(m->fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
	m->to = 0;
}

static int file_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	struct more *m = more_of(f);
	rf_way_look();
	int rc = original(f)->xWrite(f, from, n, at);
	if (rc == SQLITE_OK && m->steps)
		stepped(m, n);
	else if (rc == SQLITE_OK && m->fd >= 0)
		sent(m, at, n);
	return rc;
}

static int file_sync(sqlite3_file *f, int flags)
{
	rf_way_look();
	int rc = original(f)->xSync(f, flags);
	rf_way_look();
	return rc;
}

static int file_close(sqlite3_file *f)
{
	struct more *m = more_of(f);
	if (m->fd >= 0 && !m->steps)
		close(m->fd);
	m->fd = -1;
	return original(f)->xClose(f);
}

/* NULL: there is no room, and the file stays as it is. */
static const sqlite3_io_methods *giving(const sqlite3_io_methods *of)
{
	unsigned i = 0;
	pthread_mutex_lock(&lock);
	while (i < table_count && tables[i].of != of)
		i++;
	if (i == table_count && i < TABLES) {
		tables[i] = (struct table){ of, *of };
		tables[i].with.xRead = file_read;
		tables[i].with.xWrite = file_write;
		tables[i].with.xSync = file_sync;
		tables[i].with.xClose = file_close;
		table_count++;
	}
	pthread_mutex_unlock(&lock);
	return i < TABLES ? &tables[i].with : NULL;
}

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	(void)vfs;
	int rc = base->xOpen(base, name, f, flags, ret_flags);
	const sqlite3_io_methods *with = rc == SQLITE_OK && f->pMethods ? giving(f->pMethods) : NULL;
	if (!with)
		return rc;
	/* Never of the database: closing a second descriptor gives up a process's locks of a file [POSIX fcntl]. */
	*more_of(f) = (struct more){ .fd = name && flags & SQLITE_OPEN_WAL ? open(name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW) : -1 };
	f->pMethods = with;
	return rc;
}

void rf_store_file_steps(sqlite3 *db, int fd)
{
	sqlite3_file *f = NULL;
	if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &f) == SQLITE_OK && f && f->pMethods && f->pMethods->xClose == file_close)
		*more_of(f) = (struct more){ .fd = fd, .steps = true };
}

static void make(void)
{
	base = sqlite3_vfs_find(NULL);
	if (!base)
		return;
	own = *base;
	own.zName = "ringfence";
	own.pNext = NULL;
	own.xOpen = open_file;
	own.szOsFile = (int)(base_size() + sizeof(struct more));
	if (sqlite3_vfs_register(&own, 0) != SQLITE_OK)
		base = NULL;
}

const char *rf_store_vfs(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, make);
	return base ? own.zName : NULL;
}
