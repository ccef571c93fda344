/* monitor/pins: see pins.h. */
#include "monitor/pins.h"
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

enum { PATH = 256 };

static _Thread_local char said[400];

static int keep_complaint(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[sizeof said - 2];
	if (level != LIBBPF_WARN)
		return 0;
	int n = vsnprintf(line, sizeof line, fmt, ap);
	if (n > 0 && !strstr(line, "END PROG LOAD LOG"))
		snprintf(said, sizeof said, ": %.*s", (int)strcspn(line, "\n"), line);
	return n;
}

void rf_pins_listen(void)
{
	libbpf_set_print(keep_complaint);
	said[0] = 0;
}

const char *rf_pins_complaint(void) { return said; }

/* bpffs is not mounted everywhere. */
int rf_pins_dir(const char *dir, struct rf_err *e)
{
	struct statfs fs;
	char parent[PATH];
	snprintf(parent, sizeof parent, "%s", dir);
	char *slash = strrchr(parent, '/');
	if (!slash || slash == parent)
		return rf_fail(e, RF_E_INVALID, "%s is no directory below a bpf file system", dir);
	*slash = 0;
	if (statfs(parent, &fs) == 0 && fs.f_type != BPF_FS_MAGIC && strcmp(parent, "/sys/fs/bpf") == 0)
		mount("bpf", parent, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700");
	if (statfs(parent, &fs) != 0 || fs.f_type != BPF_FS_MAGIC)
		return rf_fail(e, RF_E_UNSUPPORTED, "%s is not on a bpf file system, and none could be mounted there", parent);
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return rf_fail(e, RF_E_IO, "%s cannot be made: %s", dir, strerror(errno));
	return RF_OK;
}
