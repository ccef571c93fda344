/* ctl/files: files that the boot file names, read through the monitor because the engine may not. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "ctl/plan.h"
#include "ctl/private.h"
#include "monitor/client.h"

enum { STEP = 4096, FILE_MAX = (1 << 20) + STEP };

static int open_file(struct rf_ctl *c, const char *path, int *ret, struct rf_err *e)
{
	if (c->priv->monitor_fd < 0) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return rf_fail(e, RF_E_IO, "%s cannot be read: %s", path, strerror(errno));
		*ret = fd;
		return RF_OK;
	}
	int index = rf_plan_file(c->priv->plan, path);
	if (index < 0)
		return rf_fail(e, RF_E_INTERNAL, "%s is not in the plan", path);
	return rf_monitor_open(c->priv->monitor_fd, (unsigned)index, path, ret, e);
}

int rf_ctl_read_file(struct rf_ctl *c, const char *path, struct rf_buf *to, struct rf_err *e)
{
	return rf_ctl_read_large(c, path, FILE_MAX, to, e);
}

int rf_ctl_read_large(struct rf_ctl *c, const char *path, size_t bound, struct rf_buf *to, struct rf_err *e)
{
	int fd = -1;
	int rc = open_file(c, path, &fd, e);
	if (rc != RF_OK)
		return rc;
	to->bound = bound;
	for (;;) {
		char *room = rf_buf_room(to, STEP);
		ssize_t n = room ? read(fd, room, STEP) : 0;
		if (!room)
			rc = rf_fail(e, RF_E_TOO_LARGE, "%s is larger than %zu bytes", path, bound - STEP);
		else if (n < 0)
			rc = rf_fail(e, RF_E_IO, "%s cannot be read: %s", path, strerror(errno));
		if (n <= 0)
			break;
		to->n += (size_t)n;
	}
	close(fd);
	return rc;
}

int rf_ctl_keypair_files(struct rf_ctl *c, const char *certificate, const char *key, struct rf_keypair **ret, struct rf_err *e)
{
	RF_BUF_AUTO cert_pem = { 0 };
	RF_BUF_AUTO key_pem = { 0 };
	int rc = rf_ctl_read_file(c, certificate, &cert_pem, e);
	if (rc == RF_OK)
		rc = rf_ctl_read_file(c, key, &key_pem, e);
	if (rc == RF_OK && (rc = rf_keypair_from_pem(rf_buf_str(&cert_pem), rf_buf_str(&key_pem), ret, e)) != RF_OK)
		snprintf(e->file, sizeof e->file, "%.*s", (int)sizeof e->file - 1, certificate);
	if (key_pem.p)
		explicit_bzero(key_pem.p, key_pem.cap);
	return rc;
}
