/* monitor/steer: see steer.h.
 *
 *   open: bpffs -> the pinned maps of places and wanted ports are taken over -> program verified -> places, sockets -> attach: the pinned link gets the
 *   new program by one swap, else a new link is made and pinned
 *
 * The map of sockets is this process's own: it is full before the link is swapped, and sockets that are closed leave it by themselves.
 */
#include "monitor/steer.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "bpf/steer.skel.h"
#include "monitor/pins.h"

enum { PATH = 256 };

struct rf_steer {
	struct rf_steer_bpf *bpf;
	char link[PATH], ports[PATH], conf[PATH];
};

static int load(struct rf_steer *s)
{
	s->bpf = rf_steer_bpf__open();
	if (!s->bpf)
		return -errno;
	int rc = bpf_map__set_pin_path(s->bpf->maps.rf_steer_ports, s->ports);
	rc = rc ? rc : bpf_map__set_pin_path(s->bpf->maps.rf_steer_conf, s->conf);
	return rc ? rc : rf_steer_bpf__load(s->bpf);
}

static void unload(struct rf_steer *s)
{
	rf_steer_bpf__destroy(s->bpf);
	s->bpf = NULL;
}

static void read_places(const struct rf_steer *s, struct rf_ip at[RF_STEER_PLACES])
{
	struct rf_steer_conf conf = { 0 };
	__u32 key = 0;
	bpf_map_lookup_elem(bpf_map__fd(s->bpf->maps.rf_steer_conf), &key, &conf);
	for (size_t i = 0; i < RF_STEER_PLACES; i++) {
		at[i] = (struct rf_ip){ .family = (uint8_t)conf.at[i].family };
		memcpy(at[i].b, conf.at[i].ip, sizeof at[i].b);
	}
}

int rf_steer_open(const char *dir, struct rf_steer **ret, struct rf_ip at[RF_STEER_PLACES], struct rf_err *e)
{
	struct rf_steer *s = calloc(1, sizeof *s);
	if (!s || snprintf(s->ports, PATH, "%s/steer_ports", dir) >= PATH || snprintf(s->link, PATH, "%s/steer_link", dir) >= PATH ||
	    snprintf(s->conf, PATH, "%s/steer_conf", dir) >= PATH) {
		free(s);
		return rf_fail(e, s ? RF_E_TOO_LARGE : RF_E_NOMEM, "the steering of ports: no memory, or the name of the directory for pins is too long");
	}
	rf_pins_listen();
	int rc = rf_pins_dir(dir, e);
	if (rc != RF_OK) {
		free(s);
		return rc;
	}
	rc = load(s);
	if (rc && access(s->ports, F_OK) == 0) { /* of another version? */
		unload(s);
		unlink(s->ports);
		unlink(s->conf);
		rc = load(s);
	}
	if (rc) {
		unload(s);
		free(s);
		return rf_fail(e, RF_E_UNSUPPORTED, "the kernel does not steer ports: %s%s", strerror(-rc), rf_pins_complaint());
	}
	read_places(s, at);
	*ret = s;
	return RF_OK;
}

void rf_steer_close(struct rf_steer *s)
{
	if (!s)
		return;
	unload(s);
	free(s);
}

static int put(const struct bpf_map *m, __u32 key, const void *value, struct rf_err *e)
{
	int rc = bpf_map_update_elem(bpf_map__fd(m), &key, value, BPF_ANY);
	return rc ? rf_fail(e, RF_E_IO, "%s cannot be written: %s", bpf_map__name(m), strerror(-rc)) : RF_OK;
}

int rf_steer_places(struct rf_steer *s, unsigned workers, const struct rf_ip at[RF_STEER_PLACES], struct rf_err *e)
{
	struct rf_steer_conf conf = { .workers = workers < RF_STEER_WORKERS ? workers : RF_STEER_WORKERS };
	for (size_t i = 0; i < RF_STEER_PLACES; i++) {
		static const uint8_t zero[16];
		conf.at[i] = (struct rf_steer_place){ .family = at[i].family, .any = memcmp(at[i].b, zero, sizeof zero) == 0 };
		memcpy(conf.at[i].ip, at[i].b, sizeof conf.at[i].ip);
	}
	return put(s->bpf->maps.rf_steer_conf, 0, &conf, e);
}

int rf_steer_allow(struct rf_steer *s, size_t place, const uint64_t *words, struct rf_err *e)
{
	int rc = RF_OK;
	for (__u32 i = 0; i < RF_STEER_PLACE_WORDS && rc == RF_OK; i++)
		rc = put(s->bpf->maps.rf_steer_allowed, (__u32)place * RF_STEER_PLACE_WORDS + i, &words[i], e);
	return rc;
}

int rf_steer_socket(struct rf_steer *s, unsigned group, unsigned worker, int fd, struct rf_err *e)
{
	__u64 value = (__u64)fd;
	return put(s->bpf->maps.rf_steer_sockets, group * RF_STEER_WORKERS + worker, &value, e);
}

/* The pinned link, where it belongs to this namespace and still stands. */
static int pinned_link(const struct rf_steer *s, __u32 namespace)
{
	struct bpf_link_info info = { 0 };
	__u32 n = sizeof info;
	int fd = bpf_obj_get(s->link);
	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &n) == 0 && info.type == BPF_LINK_TYPE_NETNS && info.netns.netns_ino == namespace)
		return fd;
	if (fd >= 0) {
		close(fd);
		unlink(s->link);
	}
	return -1;
}

static int new_link(struct rf_steer *s, int namespace, struct rf_err *e)
{
	int fd = bpf_link_create(rf_steer_program(s), namespace, BPF_SK_LOOKUP, NULL);
	if (fd < 0)
		return rf_fail(e, RF_E_UNSUPPORTED, "ports cannot be steered in this network namespace: %s", strerror(-fd));
	int rc = bpf_obj_pin(fd, s->link);
	close(fd);
	return rc ? rf_fail(e, RF_E_IO, "the steering of ports cannot be pinned at %s: %s", s->link, strerror(-rc)) : RF_OK;
}

int rf_steer_attach(struct rf_steer *s, struct rf_err *e)
{
	struct stat st;
	int namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (namespace < 0 || fstat(namespace, &st) != 0) {
		if (namespace >= 0)
			close(namespace);
		return rf_fail(e, RF_E_IO, "/proc/self/ns/net: %s", strerror(errno));
	}
	int rc = RF_OK, fd = pinned_link(s, (__u32)st.st_ino), swap;
	if (fd < 0)
		rc = new_link(s, namespace, e);
	else if ((swap = bpf_link_update(fd, rf_steer_program(s), NULL)) != 0)
		rc = rf_fail(e, RF_E_IO, "the steering of ports cannot be replaced: %s", strerror(-swap));
	if (fd >= 0)
		close(fd);
	close(namespace);
	return rc;
}

void rf_steer_detach(struct rf_steer *s)
{
	int fd = bpf_obj_get(s->link);
	if (fd < 0)
		return;
	bpf_link_detach(fd);
	close(fd);
	unlink(s->link);
	unlink(s->ports);
	unlink(s->conf);
}

int rf_steer_ports(const struct rf_steer *s) { return bpf_map__fd(s->bpf->maps.rf_steer_ports); }
int rf_steer_program(const struct rf_steer *s) { return bpf_program__fd(s->bpf->progs.rf_steer); }
