/* api/api_test: an API over a fresh store, with a double in the place of ctl: what is committed is only stored. */
#pragma once
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "api/api.h"
#include "api/call.h"
#include "pki/ca.h"

struct fixture {
	char dir[64], path[96];
	struct rf_store *store;
	struct rf_api *api;
	struct rf_ca *ca;
	struct rf_err e;
	char account[33], zone[33];
	char token[64];        /* "" : requests come from a local administrator */
	unsigned touched[RF_KIND_COUNT];
	int fail_commit;       /* code that the next commit fails with */
	const char *fail_pointer;
	char last[33];         /* id of the last object that was touched */
	/* the last answer */
	int status;
	json_t *body;
	char etag[32], headers[1024];
};

static int64_t test_now_s = 1800000000;
static int64_t test_wall(void *ctx) { (void)ctx; return test_now_s * (int64_t)RF_NS_S; }
static uint64_t test_mono(void *ctx) { (void)ctx; return 0; }
static const struct rf_clock test_clock = { test_mono, test_wall, NULL };

static int double_begin(void *ctx, const char *actor, struct rf_err *e)
{
	return rf_store_begin(((struct fixture *)ctx)->store, actor, e);
}

static int double_touch(void *ctx, enum rf_kind kind, const char *id, struct rf_err *e)
{
	struct fixture *f = ctx;
	(void)e;
	f->touched[kind]++;
	snprintf(f->last, sizeof f->last, "%s", id);
	return RF_OK;
}

static int double_commit(void *ctx, bool dry_run, struct rf_err *e)
{
	struct fixture *f = ctx;
	char pointer[128];
	snprintf(pointer, sizeof pointer, "/rules/%s%s", f->last, f->fail_pointer ? f->fail_pointer : "");
	if (f->fail_commit)
		return rf_fail_ptr(e, f->fail_commit, pointer, "refused by the test");
	if (!dry_run)
		return rf_store_commit(f->store, e);
	rf_store_rollback(f->store);
	return RF_OK;
}

static void double_abort(void *ctx)
{
	rf_store_rollback(((struct fixture *)ctx)->store);
}

static int make_root_objects(struct fixture *f)
{
	RF_OBJECT_AUTO a = { .name = "acme", .doc = json_pack("{s:s, s:s}", "name", "acme", "type", "standard") };
	RF_OBJECT_AUTO z = { .name = "example.com", .doc = json_pack("{s:s, s:s, s:b}", "name", "example.com", "type", "full",
								     "paused", 0) };
	int rc = rf_store_begin(f->store, "test", &f->e) || rf_store_put(f->store, RF_KIND_ACCOUNT, &a, 0, &f->e);
	strcpy(z.parent, a.id);
	rc = rc || rf_store_put(f->store, RF_KIND_ZONE, &z, 0, &f->e) || rf_store_commit(f->store, &f->e);
	strcpy(f->account, a.id);
	strcpy(f->zone, z.id);
	return rc;
}

static int fixture_open(struct fixture *f, unsigned rate)
{
	snprintf(f->dir, sizeof f->dir, "/tmp/rf-api-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof f->path, "%s/state.db", f->dir);
	if (rf_store_open(f->path, &test_clock, &f->store, &f->e) != RF_OK || make_root_objects(f))
		return -1;
	struct rf_ca_conf ca = { .dir = f->dir };
	if (rf_ca_open(&ca, test_now_s, &f->ca, &f->e) != RF_OK)
		return -1;
	struct rf_api_conf conf = {
		.store = f->store, .clock = test_clock, .ca = f->ca, .rate = rate, .version = "test",
		.state = { double_begin, double_touch, double_commit, double_abort, NULL, f },
	};
	f->api = rf_api_new(&conf, &f->e);
	return f->api ? 0 : -1;
}

static void fixture_close(struct fixture *f)
{
	json_decref(f->body);
	f->body = NULL;
	rf_api_free(f->api);
	rf_ca_free(f->ca);
	rf_store_close(f->store);
	static const char *const names[] = { "state.db", "state.db-wal", "state.db-shm", "root.crt", "root.key",
					     "intermediate.crt", "intermediate.key", "lock", ".lock" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[160];
		snprintf(path, sizeof path, "%s/%s", f->dir, names[i]);
		unlink(path);
	}
	rmdir(f->dir);
}
