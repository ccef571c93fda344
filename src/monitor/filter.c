/* monitor/filter: see filter.h.
 *
 *   open: bpffs is there? -> maps that are pinned are taken over -> program verified -> [attach: driver, else generic -> pinned]
 *
 * A map that was pinned by another version and has another size cannot be taken over: all pins go, and the policy is
 * written anew by the engine before it serves.
 */
#include "monitor/filter.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "bpf/facts.h"
#include "bpf/filter.skel.h"
#include "monitor/pins.h"
#include "monitor/rules.h"

enum { PATH = 256 };

struct rf_filter {
	struct rf_filter_bpf *bpf;
	char dir[PATH - 64];
};

/* What is pinned: first what is handed over. */
static const char *const names[] = {
#define X(name) "rf_" #name,
	RF_FILTER_MAPS(X)
	RF_FILTER_KEPT(X)
#undef X
};
enum { PINS = sizeof names / sizeof *names };

static void map_path(const struct rf_filter *f, unsigned which, char to[PATH])
{
	snprintf(to, PATH, "%s/%s", f->dir, names[which]);
}

static int load(struct rf_filter *f)
{
	char path[PATH];
	f->bpf = rf_filter_bpf__open();
	if (!f->bpf)
		return -errno;
	for (unsigned i = 0; i < PINS; i++) {
		struct bpf_map *m = bpf_object__find_map_by_name(f->bpf->obj, names[i]);
		map_path(f, i, path);
		int rc = m ? bpf_map__set_pin_path(m, path) : -ENOENT;
		if (rc)
			return rc;
	}
	int rc = rf_filter_bpf__load(f->bpf);
	__u32 after = RF_PROGRAM_AFTER;
	int program = rc ? -1 : bpf_program__fd(f->bpf->progs.rf_after);
	return rc ? rc : bpf_map_update_elem(bpf_map__fd(f->bpf->maps.rf_programs), &after, &program, BPF_ANY);
}

static void unload(struct rf_filter *f)
{
	rf_filter_bpf__destroy(f->bpf);
	f->bpf = NULL;
}

int rf_filter_open(const char *dir, struct rf_filter **ret, bool *ret_fresh, struct rf_err *e)
{
	char path[PATH];
	struct rf_filter *f = calloc(1, sizeof *f);
	if (!f || strlen(dir) >= sizeof f->dir) {
		free(f);
		return rf_fail(e, f ? RF_E_TOO_LARGE : RF_E_NOMEM, "the directory for pins of the kernel filter: no memory, or its name is too long");
	}
	snprintf(f->dir, sizeof f->dir, "%s", dir);
	rf_pins_listen();
	int rc = rf_pins_dir(dir, e);
	if (rc != RF_OK) {
		free(f);
		return rc;
	}
	map_path(f, RF_FILTER_MAP_conf, path);
	bool fresh = access(path, F_OK) != 0;
	rc = load(f);
	if (rc && !fresh) { /* of another version? */
		unload(f);
		for (unsigned i = 0; i < PINS; i++) {
			map_path(f, i, path);
			unlink(path);
		}
		fresh = true;
		rc = load(f);
	}
	if (rc) {
		unload(f);
		free(f);
		return rf_fail(e, RF_E_UNSUPPORTED, "the kernel does not take the filter: %s%s", strerror(-rc), rf_pins_complaint());
	}
	*ret = f;
	*ret_fresh = fresh;
	return RF_OK;
}

void rf_filter_close(struct rf_filter *f)
{
	if (!f)
		return;
	unload(f);
	free(f);
}

static void link_path(const struct rf_filter *f, const char *interface, char to[PATH])
{
	snprintf(to, PATH, "%s/link_%.*s", f->dir, IFNAMSIZ, interface);
}

/* The pinned link and its program, where it still belongs to this interface: one that went and came again has another index. */
static int pinned_link(const char *path, unsigned index, __u32 *ret_program)
{
	struct bpf_link_info info = { 0 };
	__u32 n = sizeof info;
	int fd = bpf_obj_get(path);
	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &n) == 0 && info.type == BPF_LINK_TYPE_XDP && info.xdp.ifindex == index) {
		*ret_program = info.prog_id;
		return fd;
	}
	if (fd >= 0) {
		close(fd);
		unlink(path);
	}
	return -1;
}

static __u32 own_program(const struct rf_filter *f)
{
	struct bpf_prog_info info = { 0 };
	__u32 n = sizeof info;
	return bpf_obj_get_info_by_fd(rf_filter_program(f), &info, &n) == 0 ? info.id : 0;
}

static enum rf_filter_mode mode_of(unsigned index)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, q);
	return bpf_xdp_query((int)index, 0, &q) == 0 && q.attach_mode == XDP_ATTACHED_SKB ? RF_FILTER_GENERIC : RF_FILTER_NATIVE;
}

static int new_link(const struct rf_filter *f, unsigned index)
{
	static const __u32 modes[] = { XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE };
	int fd = -1;
	for (size_t i = 0; i < 2 && fd < 0; i++) {
		LIBBPF_OPTS(bpf_link_create_opts, o, .flags = modes[i]);
		fd = bpf_link_create(rf_filter_program(f), (int)index, BPF_XDP, &o);
		if (fd == -EBUSY || fd == -EEXIST)
			break;
	}
	return fd;
}

int rf_filter_attach(struct rf_filter *f, const char *interface, enum rf_filter_mode *ret, struct rf_err *e)
{
	char path[PATH];
	unsigned index = if_nametoindex(interface);
	if (!index)
		return rf_fail(e, RF_E_NOT_FOUND, "there is no network interface %s", interface);
	link_path(f, interface, path);
	__u32 stands = 0;
	int fd = pinned_link(path, index, &stands);
	if (fd >= 0) {
		int rc = stands == own_program(f) ? 0 : bpf_link_update(fd, rf_filter_program(f), NULL);
		close(fd);
		if (rc)
			return rf_fail(e, RF_E_IO, "the filter on %s cannot be replaced: %s", interface, strerror(-rc));
		*ret = mode_of(index);
		return RF_OK;
	}
	fd = new_link(f, index);
	if (fd < 0)
		return rf_fail(e, fd == -EBUSY || fd == -EEXIST ? RF_E_EXISTS : RF_E_UNSUPPORTED, "the filter cannot be attached to %s: %s",
			interface, fd == -EBUSY || fd == -EEXIST ? "another XDP program is there (ip link shows it)" : strerror(-fd));
	int rc = bpf_obj_pin(fd, path);
	close(fd);
	if (rc)
		return rf_fail(e, RF_E_IO, "the filter on %s cannot be pinned at %s: %s", interface, path, strerror(-rc));
	*ret = mode_of(index);
	return RF_OK;
}

void rf_filter_detach(struct rf_filter *f, const char *interface)
{
	char path[PATH];
	link_path(f, interface, path);
	int fd = bpf_obj_get(path);
	if (fd < 0)
		return;
	bpf_link_detach(fd); /* now, not when the kernel gets round to free it */
	close(fd);
	unlink(path);
}

static int put_rules(struct rf_filter *f, int program, struct rf_err *e)
{
	__u32 at = RF_PROGRAM_RULES;
	int map = bpf_map__fd(f->bpf->maps.rf_programs);
	int rc = program >= 0 ? bpf_map_update_elem(map, &at, &program, BPF_ANY) : bpf_map_delete_elem(map, &at);
	return rc == 0 || rc == -ENOENT ? RF_OK : rf_fail(e, RF_E_IO, "the program of rules cannot be put in force: %s", strerror(-rc));
}

int rf_filter_rules(struct rf_filter *f, int program, bool only_try, uint32_t *ret_at, struct rf_err *e)
{
	const int maps[RF_RULES_MAPS] = {
		[RF_RULES_FACTS] = bpf_map__fd(f->bpf->maps.rf_facts), [RF_RULES_COUNTS] = bpf_map__fd(f->bpf->maps.rf_rule_counts),
		[RF_RULES_PROGRAMS] = bpf_map__fd(f->bpf->maps.rf_programs) };
	struct bpf_insn *v = NULL;
	size_t n = 0;
	if (program < 0)
		return only_try ? RF_OK : put_rules(f, -1, e);
	int rc = rf_rules_read(program, &v, &n, e);
	if (rc == RF_OK)
		rc = rf_rules_check(v, n, e);
	int fd = rc == RF_OK ? rf_rules_load(v, n, maps, ret_at, e) : -1;
	free(v);
	if (rc != RF_OK || fd < 0)
		return e->code;
	rc = only_try ? RF_OK : put_rules(f, fd, e);
	close(fd);
	return rc;
}

int rf_filter_map(const struct rf_filter *f, unsigned which)
{
	return bpf_map__fd(bpf_object__find_map_by_name(f->bpf->obj, names[which]));
}

int rf_filter_program(const struct rf_filter *f) { return bpf_program__fd(f->bpf->progs.rf_filter); }
