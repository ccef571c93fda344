/* monitor/filter: see filter.h.
 *
 *   open: the kernel has what is needed? bpffs is there? -> maps that are pinned are taken over -> program verified -> [attach: driver, else generic -> pinned]
 *
 * A map that was pinned by another version and has another size cannot be taken over: all pins go, and the policy is
 * written anew by the engine before it serves.
 */
#include "monitor/filter.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bpf/facts.h"
#include "bpf/filter.skel.h"
#include "monitor/cookies.h"
#include "monitor/pins.h"
#include "monitor/rules.h"

enum { PATH = 256 };

struct rf_filter {
	struct rf_filter_bpf *bpf;
	struct rf_cookie_prog *cookies;  /* NULL: the kernel has not what they need */
	char why_not[160];           /* it has not */
	bool no_native;              /* nor XDP in drivers */
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

static int load(struct rf_filter *f, const struct rf_kernel *k)
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
	struct rf_err e = { 0 };
	f->bpf->rodata->rf_can_answer = rf_kernel_gives(k, RF_KERNEL_FOR_COOKIES, &e) == RF_OK;
	snprintf(f->why_not, sizeof f->why_not, "%.*s", (int)sizeof f->why_not - 1, e.text);
	int rc = rf_filter_bpf__load(f->bpf);
	__u32 after = RF_PROGRAM_AFTER;
	int program = rc ? -1 : bpf_program__fd(f->bpf->progs.rf_after);
	return rc ? rc : bpf_map_update_elem(bpf_map__fd(f->bpf->maps.rf_programs), &after, &program, BPF_ANY);
}

static void load_cookies(struct rf_filter *f)
{
	struct rf_err e = { 0 };
	if (f->bpf->rodata->rf_can_answer && rf_cookies_open(f->dir, &f->cookies, &e) != RF_OK)
		snprintf(f->why_not, sizeof f->why_not, "%.*s", (int)sizeof f->why_not - 1, e.text);
}

static void unload(struct rf_filter *f)
{
	rf_filter_bpf__destroy(f->bpf);
	f->bpf = NULL;
}

int rf_filter_open(const char *dir, const struct rf_kernel *k, struct rf_filter **ret, bool *ret_fresh, struct rf_err *e)
{
	char path[PATH];
	struct rf_err unsaid;
	if (rf_kernel_gives(k, RF_KERNEL_FOR_FILTER, e) != RF_OK)
		return e->code;
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
	rc = load(f, k);
	if (rc && !fresh) { /* of another version? */
		unload(f);
		for (unsigned i = 0; i < PINS; i++) {
			map_path(f, i, path);
			unlink(path);
		}
		fresh = true;
		rc = load(f, k);
	}
	if (rc) {
		unload(f);
		free(f);
		return rf_fail(e, RF_E_UNSUPPORTED, "the kernel does not take the filter: %s%s", strerror(-rc), rf_pins_complaint());
	}
	f->no_native = rf_kernel_gives(k, RF_KERNEL_FOR_NATIVE, &unsaid) != RF_OK;
	load_cookies(f);
	*ret = f;
	*ret_fresh = fresh;
	return RF_OK;
}

void rf_filter_close(struct rf_filter *f)
{
	if (!f)
		return;
	rf_cookies_close(f->cookies);
	unload(f);
	free(f);
}

bool rf_filter_cookies(const struct rf_filter *f, const char **ret_why_not)
{
	*ret_why_not = f->why_not;
	return f->cookies != NULL;
}

static void link_path(const char *dir, const char *interface, char to[PATH])
{
	snprintf(to, PATH, "%s/link_%.*s", dir, IFNAMSIZ, interface);
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

static int new_link(const struct rf_filter *f, unsigned index, enum rf_gate_want want)
{
	int fd = -EOPNOTSUPP;
	for (enum rf_filter_mode mode = RF_FILTER_NATIVE; mode <= RF_FILTER_GENERIC && fd < 0; mode++) {
		LIBBPF_OPTS(bpf_link_create_opts, o, .flags = mode == RF_FILTER_NATIVE ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
		if (mode == RF_FILTER_NATIVE ? want == RF_GATE_GENERIC || f->no_native : want == RF_GATE_NATIVE)
			continue;
		fd = bpf_link_create(rf_filter_program(f), (int)index, BPF_XDP, &o);
		if (fd == -EBUSY || fd == -EEXIST)
			break;
	}
	return fd;
}

bool rf_filter_is_cable(const char *interface)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq r = { .ifr_data = (void *)&info };
	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", interface);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is = fd >= 0 && ioctl(fd, SIOCETHTOOL, &r) == 0 && strcmp(info.driver, "veth") == 0;
	if (fd >= 0)
		close(fd);
	return is;
}

/* The link that is there already, with this program. RF_E_NOT_FOUND: none, or one of another mode, which goes. */
static int renew(struct rf_filter *f, const char *interface, unsigned index, enum rf_gate_want want, struct rf_err *e)
{
	char path[PATH];
	__u32 stands = 0;
	link_path(f->dir, interface, path);
	int fd = pinned_link(path, index, &stands);
	if (fd < 0)
		return RF_E_NOT_FOUND;
	bool native = mode_of(index) == RF_FILTER_NATIVE;
	if (native ? want == RF_GATE_GENERIC || f->no_native : want == RF_GATE_NATIVE) {
		bpf_link_detach(fd);
		close(fd);
		unlink(path);
		return RF_E_NOT_FOUND;
	}
	int rc = stands == own_program(f) ? 0 : bpf_link_update(fd, rf_filter_program(f), NULL);
	close(fd);
	return rc ? rf_fail(e, RF_E_IO, "the filter on %s cannot be replaced: %s", interface, strerror(-rc)) : RF_OK;
}

static int attach_new(struct rf_filter *f, const char *interface, unsigned index, enum rf_gate_want want, struct rf_err *e)
{
	char path[PATH];
	int fd = new_link(f, index, want);
	if (fd < 0)
		return rf_fail(e, fd == -EBUSY || fd == -EEXIST ? RF_E_EXISTS : RF_E_UNSUPPORTED, "the filter cannot be attached to %s: %s",
			interface, fd == -EBUSY || fd == -EEXIST ? "another XDP program is there (ip link shows it)" : strerror(-fd));
	link_path(f->dir, interface, path);
	int rc = bpf_obj_pin(fd, path);
	close(fd);
	return rc ? rf_fail(e, RF_E_IO, "the filter on %s cannot be pinned at %s: %s", interface, path, strerror(-rc)) : RF_OK;
}

/* Without its program at TC a cookie would lead nowhere, so that then there are none on any interface. */
static bool cookies_attached(struct rf_filter *f, unsigned index)
{
	struct rf_err e = { 0 };
	char name[IF_NAMESIZE];
	if (rf_cookies_attach(f->cookies, index, &e) == RF_OK)
		return true;
	if (!if_indextoname(index, name)) /* it went meanwhile */
		return false;
	snprintf(f->why_not, sizeof f->why_not, "%.*s", (int)sizeof f->why_not - 1, e.text);
	rf_cookies_close(f->cookies);
	f->cookies = NULL;
	return false;
}

int rf_filter_attach(struct rf_filter *f, const char *interface, enum rf_gate_want want, bool cookies, enum rf_filter_mode *ret,
		     struct rf_err *e)
{
	unsigned index = if_nametoindex(interface);
	if (!index)
		return rf_fail(e, RF_E_NOT_FOUND, "there is no network interface %s", interface);
	cookies = cookies && f->cookies;
	if (want == RF_GATE_BEST && cookies && rf_filter_is_cable(interface))
		want = RF_GATE_GENERIC;
	int rc = renew(f, interface, index, want, e);
	if (rc == RF_E_NOT_FOUND)
		rc = attach_new(f, interface, index, want, e);
	if (rc != RF_OK && if_nametoindex(interface) != index) /* it went meanwhile, which says nothing of whether it can have the filter */
		return rf_fail(e, RF_E_NOT_FOUND, "there is no network interface %s", interface);
	if (rc == RF_OK && (!cookies || !cookies_attached(f, index)))
		rf_cookies_detach(index);
	if (rc == RF_OK)
		*ret = mode_of(index);
	return rc;
}

bool rf_filter_stands(const struct rf_filter *f, const char *interface)
{
	char path[PATH];
	link_path(f->dir, interface, path);
	return access(path, F_OK) == 0;
}

void rf_filter_release(const char *dir, const char *interface)
{
	char path[PATH];
	link_path(dir, interface, path);
	unsigned index = if_nametoindex(interface);
	int fd = bpf_obj_get(path);
	if (fd >= 0) {
		bpf_link_detach(fd); /* now, not when the kernel gets round to free it */
		close(fd);
		unlink(path);
	}
	if (index)
		rf_cookies_detach(index);
}

void rf_filter_detach(struct rf_filter *f, const char *interface) { rf_filter_release(f->dir, interface); }

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
