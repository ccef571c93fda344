/* monitor/cookies: see cookies.h. Its place at TC is known by number (HANDLE, PRIORITY), so that a later process finds it. */
#include "monitor/cookies.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "bpf/cookie.skel.h"

enum { HANDLE = 1, PRIORITY = 0x7266 };

struct rf_cookie_prog {
	struct rf_cookie_bpf *bpf;
};

static int load(struct rf_cookie_prog *c, const char *dir)
{
	char path[256];
	c->bpf = rf_cookie_bpf__open();
	if (!c->bpf)
		return -errno;
	struct bpf_map *const maps[] = { c->bpf->maps.rf_conf, c->bpf->maps.rf_syn };
	for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, bpf_map__name(maps[i]));
		int rc = bpf_map__set_pin_path(maps[i], path);
		if (rc)
			return rc;
	}
	return rf_cookie_bpf__load(c->bpf);
}

int rf_cookies_open(const char *dir, struct rf_cookie_prog **ret, struct rf_err *e)
{
	struct rf_cookie_prog *c = calloc(1, sizeof *c);
	if (!c)
		return rf_fail(e, RF_E_NOMEM, "no memory for SYN cookies");
	int rc = load(c, dir);
	if (rc) {
		rf_cookies_close(c);
		return rf_fail(e, RF_E_UNSUPPORTED, "the kernel does not take the program of SYN cookies: %s", strerror(-rc));
	}
	*ret = c;
	return RF_OK;
}

void rf_cookies_close(struct rf_cookie_prog *c)
{
	if (!c)
		return;
	rf_cookie_bpf__destroy(c->bpf);
	free(c);
}

int rf_cookies_attach(struct rf_cookie_prog *c, unsigned index, struct rf_err *e)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)index, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, o, .handle = HANDLE, .priority = PRIORITY, .prog_fd = bpf_program__fd(c->bpf->progs.rf_cookie),
		.flags = BPF_TC_F_REPLACE);
	int rc = bpf_tc_hook_create(&hook);
	if (!rc || rc == -EEXIST)
		rc = bpf_tc_attach(&hook, &o);
	return rc ? rf_fail(e, RF_E_UNSUPPORTED, "the program of SYN cookies cannot be attached: %s", strerror(-rc)) : RF_OK;
}

void rf_cookies_detach(unsigned index)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)index, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, o, .handle = HANDLE, .priority = PRIORITY);
	bpf_tc_detach(&hook, &o);
}
