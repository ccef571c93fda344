/* pki/file: see file.h.
 *
 * A file is written as PATH.new, then renamed over PATH. A PATH.new that a crash left behind is
 * removed by the next write of the same path.
 */
#include "pki/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/crypto.h>

enum { PATH = 4096 };

static bool write_all(int fd, struct rf_str s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		s = rf_str_skip(s, (size_t)n);
	}
	return fsync(fd) == 0;
}

static bool sync_folder(const char *path)
{
	char dir[PATH];
	snprintf(dir, sizeof dir, "%s", path);
	char *slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = '\0';
	int fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool done = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	return done;
}

int rf_file_put(const char *path, mode_t mode, struct rf_str data, struct rf_err *e)
{
	char new[PATH];
	if (snprintf(new, sizeof new, "%s.new", path) >= (int)sizeof new)
		return rf_fail(e, RF_E_TOO_LARGE, "the path is too long");
	unlink(new);
	int fd = open(new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return rf_fail(e, RF_E_DISK, "cannot create %s: %s", new, strerror(errno));
	bool written = fchmod(fd, mode) == 0 && write_all(fd, data);
	int why = errno;
	if (close(fd) < 0 && written) {
		why = errno;
		written = false;
	}
	if (!written || rename(new, path) < 0) {
		why = written ? errno : why;
		unlink(new);
		return rf_fail(e, RF_E_DISK, "cannot write %s: %s", path, strerror(why));
	}
	if (!sync_folder(path))
		return rf_fail(e, RF_E_DISK, "cannot sync the folder of %s: %s", path, strerror(errno));
	return RF_OK;
}

/* Everything is reserved before the first read: growing would leave copies of a key behind. */
static int read_fd(int fd, const char *path, size_t size, struct rf_buf *to, struct rf_err *e)
{
	if (!rf_buf_room(to, size + 1))
		return rf_fail(e, RF_E_NOMEM, "no memory for %s", path);
	for (size_t left = size; left;) {
		ssize_t n = read(fd, to->p + to->n, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return rf_fail(e, RF_E_IO, "cannot read %s: %s", path, strerror(errno));
		if (n == 0)
			break;
		to->n += (size_t)n;
		left -= (size_t)n;
	}
	return RF_OK;
}

int rf_file_get(const char *path, size_t bound, bool secret, struct rf_buf *to, struct rf_err *e)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return rf_fail(e, errno == ENOENT ? RF_E_NOT_FOUND : RF_E_IO, "cannot open %s: %s", path,
			       strerror(errno));
	int rc = RF_OK;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		rc = rf_fail(e, RF_E_IO, "%s is not a regular file", path);
	else if (secret && st.st_mode & (S_IRWXG | S_IRWXO))
		rc = rf_fail(e, RF_E_DENIED,
			     "%s may be read by others than its owner (mode %04o): run chmod 600 %s", path,
			     st.st_mode & 07777, path);
	else if ((uintmax_t)st.st_size > bound)
		rc = rf_fail(e, RF_E_TOO_LARGE, "%s is larger than %zu bytes", path, bound);
	else
		rc = read_fd(fd, path, (size_t)st.st_size, to, e);
	close(fd);
	return rc;
}

void rf_buf_wipe(struct rf_buf *b)
{
	if (b->p)
		OPENSSL_cleanse(b->p, b->cap);
	rf_buf_fini(b);
}
