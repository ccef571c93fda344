/* monitor/landlock: see landlock.h.
 *
 * What a kernel's Landlock cannot handle is left out, by its version. Paths that are absent are left out, too: they stay
 * unreadable. Nothing may be executed.
 */
#include "monitor/landlock.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

enum {
	READ = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
	OF_FILE = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE,
	WRITE = READ | OF_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
		LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REFER,
	ALL = WRITE | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_SOCK |
	      LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM,
};

/* Libraries, certificates of the system, names, time zones, processors. */
static const char *const usual[] = {
	"/usr", "/lib", "/lib64", "/etc/ssl", "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf",
	"/etc/services", "/etc/protocols", "/etc/localtime", "/etc/ld.so.cache", "/etc/passwd", "/etc/group", "/dev/urandom",
	"/run/systemd/resolve", "/proc/self", "/proc/meminfo", "/proc/stat", "/proc/cpuinfo", "/proc/sys/net/core", "/proc/sys/vm",
	"/sys/devices/system/cpu",
};

static int allow(int rules, const char *path, uint64_t access, struct rf_err *e)
{
	struct stat st;
	struct landlock_path_beneath_attr a = { .allowed_access = access };
	a.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (a.parent_fd < 0)
		return RF_OK;
	if (fstat(a.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
		a.allowed_access &= OF_FILE;
	long r = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &a, 0);
	int error = errno;
	close(a.parent_fd);
	return r == 0 ? RF_OK : rf_fail(e, RF_E_UNSUPPORTED, "Landlock refuses a rule for %s: %s", path, strerror(error));
}

int rf_landlock_make(const struct rf_plan *plan, int *ret, struct rf_err *e)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	uint64_t handled = ALL;
	if (version < 1) {
		*ret = -1;
		return RF_OK;
	}
	if (version < 2)
		handled &= ~LANDLOCK_ACCESS_FS_REFER;
	if (version < 3)
		handled &= ~LANDLOCK_ACCESS_FS_TRUNCATE;
	struct landlock_ruleset_attr attr = { .handled_access_fs = handled };
	int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
	if (rules < 0)
		return rf_fail(e, RF_E_UNSUPPORTED, "Landlock cannot be set up: %s", strerror(errno));
	int r = allow(rules, "/dev/null", (READ | OF_FILE) & handled, e);
	for (size_t i = 0; i < sizeof usual / sizeof *usual && r == RF_OK; i++)
		r = allow(rules, usual[i], READ & handled, e);
	for (size_t i = 0; i < plan->readable_count && r == RF_OK; i++)
		r = allow(rules, plan->readable[i], READ & handled, e);
	for (size_t i = 0; i < plan->writable_count && r == RF_OK; i++)
		r = allow(rules, plan->writable[i].path, WRITE & handled, e);
	if (r != RF_OK)
		close(rules);
	else
		*ret = rules;
	return r;
}

int rf_landlock_enter(int rules, struct rf_err *e)
{
	if (syscall(SYS_landlock_restrict_self, rules, 0) != 0)
		return rf_fail(e, RF_E_UNSUPPORTED, "Landlock cannot be put in force: %s", strerror(errno));
	return RF_OK;
}
