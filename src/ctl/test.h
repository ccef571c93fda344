/* ctl/test: what the tests of the control thread share: a real store, registry, CA and snapshot in a folder of their own. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "ctl/private.h"
#include "pki/file.h"
#include "shield/shield.h"

#define NOW 1790000000 /* 2026-09-21 */

static struct world {
	char dir[64];
	struct rf_ctl ctl;
	int64_t now_s;
	struct rf_err e;
} w;

/* Doubles of what the tests do not need; the real ones win where they are linked. */
__attribute__((weak)) int rf_ctl_keypair_files(struct rf_ctl *c, const char *certificate, const char *key,
					       struct rf_keypair **ret, struct rf_err *e)
{
	(void)c, (void)certificate, (void)key, (void)ret;
	return rf_fail(e, RF_E_UNSUPPORTED, "no files here");
}

static uint64_t world_mono(void *ctx)
{
	return rf_clock_system.mono(ctx);
}

static int64_t world_wall(void *ctx)
{
	(void)ctx;
	return __atomic_load_n(&w.now_s, __ATOMIC_SEQ_CST) * (int64_t)RF_NS_S;
}

#define GOOD(call) world_good((call), #call, __FILE__, __LINE__)
__attribute__((unused)) static void world_good(int rc, const char *call, const char *file, int line)
{
	if (rc != RF_OK)
		print_error("%s: %s\n", call, w.e.text);
	_assert_int_equal(rc, RF_OK, file, line);
}

__attribute__((unused)) static const char *in_dir(const char *name)
{
	static char path[4][128];
	static unsigned turn;
	char *to = path[turn++ % 4];
	snprintf(to, sizeof path[0], "%s/%s", w.dir, name);
	return to;
}

/* In a folder that has been there before, as after a restart. */
__attribute__((unused)) static void world_open_in(const char *dir, const char *more)
{
	char text[2048];
	snprintf(w.dir, sizeof w.dir, "%s", dir);
	w.now_s = NOW;
	snprintf(text, sizeof text, "data_dir: %s\nlisteners:\n  - address: \"127.0.0.1:1\"\n    protocol: http\n%s", w.dir, more);
	w.ctl = (struct rf_ctl){ .clock = { world_mono, world_wall, NULL } };
	GOOD(rf_boot_parse(rf_str_z(text), "boot.yaml", &w.ctl.boot, &w.e));
	assert_non_null(w.ctl.loop = rf_loop_epoll(&w.e));
	rf_registry_thread_start();
	assert_non_null(w.ctl.devices = rf_registry_new(1000));
	assert_non_null(w.ctl.shield = rf_shield_new(1));
	GOOD(rf_store_open(in_dir("state.db"), &w.ctl.clock, &w.ctl.store, &w.e));
	char ca[128];
	snprintf(ca, sizeof ca, "%s/ca", w.dir);
	struct rf_ca_conf conf = { .dir = ca };
	GOOD(rf_ca_open(&conf, w.now_s, &w.ctl.ca, &w.e));
	GOOD(rf_ctl_init(&w.ctl, -1, NULL, &w.e));
	w.ctl.started_mono = world_mono(NULL);
}

/* `more`: further lines of the boot file. */
__attribute__((unused)) static void world_open(const char *more)
{
	char dir[] = "/tmp/rf-ctl-XXXXXX", ca[32];
	assert_non_null(mkdtemp(dir));
	snprintf(ca, sizeof ca, "%s/ca", dir);
	assert_int_equal(mkdir(ca, 0700), 0);
	world_open_in(dir, more);
}

__attribute__((unused)) static void world_close(void)
{
	char cmd[128];
	rf_loop_turn(w.ctl.loop, 0);
	rf_ctl_fini(&w.ctl);
	rf_ca_free(w.ctl.ca);
	rf_store_close(w.ctl.store);
	rf_shield_free(w.ctl.shield);
	rf_registry_free(w.ctl.devices);
	rf_registry_thread_stop();
	rf_loop_free(w.ctl.loop);
	rf_boot_free(w.ctl.boot);
	snprintf(cmd, sizeof cmd, "rm -rf %s", w.dir);
	assert_int_equal(system(cmd), 0);
}

/* Put one object in a transaction of its own; takes doc; the id is in `id`, "" beforehand for a new one. */
__attribute__((unused)) static void world_put(enum rf_kind kind, const char *parent, const char *name, json_t *doc, char id[33])
{
	RF_OBJECT_AUTO o = { .doc = doc };
	assert_non_null(doc);
	snprintf(o.id, sizeof o.id, "%s", id);
	snprintf(o.parent, sizeof o.parent, "%s", parent);
	snprintf(o.name, sizeof o.name, "%s", name);
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	GOOD(rf_store_put(w.ctl.store, kind, &o, 0, &w.e));
	GOOD(rf_ctl_touch(&w.ctl, kind, o.id, &w.e));
	GOOD(rf_ctl_commit(&w.ctl, false, &w.e));
	memcpy(id, o.id, sizeof o.id);
}
