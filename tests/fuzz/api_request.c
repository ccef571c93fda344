/* A whole request against the API over a small store: "METHOD target\n" and the body. Every write is undone at its commit,
 * so that the state stays what it is. The answer must be JSON, or text where a route gives text. */
#include <stdlib.h>
#include <unistd.h>
#include "api/call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rf_store *store;
static struct rf_api *api;
static char dir[] = "/tmp/rf-fuzz-api-XXXXXX";

static int64_t wall(void *ctx) { (void)ctx; return 1800000000ll * (int64_t)RF_NS_S; }
static uint64_t mono(void *ctx) { (void)ctx; return 0; }
static int begin(void *ctx, const char *actor, struct rf_err *e) { (void)ctx; return rf_store_begin(store, actor, e); }
static void undo(void *ctx) { (void)ctx; rf_store_rollback(store); }

static int touch(void *ctx, enum rf_kind k, const char *id, struct rf_err *e)
{
	(void)ctx, (void)k, (void)id, (void)e;
	return RF_OK;
}

static int commit(void *ctx, bool dry_run, struct rf_err *e)
{
	(void)dry_run, (void)e;
	undo(ctx);
	return RF_OK;
}

static void put(enum rf_kind k, const char *id, const char *parent, const char *name, const char *doc)
{
	RF_OBJECT_AUTO o = { .doc = json_loads(doc, 0, NULL) };
	struct rf_err e;
	strcpy(o.id, id);
	strcpy(o.parent, parent);
	strcpy(o.name, name);
	if (rf_store_put(store, k, &o, 0, &e) != RF_OK)
		abort();
}

#define A "a0000000000000000000000000000000"
#define Z "b0000000000000000000000000000000"

static void fill(void)
{
	put(RF_KIND_ACCOUNT, A, "", "acme", "{\"name\":\"acme\"}");
	put(RF_KIND_ZONE, Z, A, "example.com", "{\"name\":\"example.com\"}");
	put(RF_KIND_CLASS, "c0000000000000000000000000000000", A, "meter", "{\"name\":\"meter\",\"roots\":[]}");
	put(RF_KIND_DEVICE, "d0000000000000000000000000000000", A, "dev", "{\"name\":\"dev\",\"state\":\"active\"}");
	put(RF_KIND_APP, "e0000000000000000000000000000000", Z, "api", "{\"name\":\"api\",\"hosts\":[\"api.example.com\"]}");
	put(RF_KIND_LIST, "f0000000000000000000000000000000", A, "office", "{\"name\":\"office\",\"kind\":\"ip\"}");
	put(RF_KIND_RULESET, "10000000000000000000000000000000", A, "root:http_request",
	    "{\"name\":\"default\",\"kind\":\"root\",\"phase\":\"http_request\",\"version\":\"3\",\"zone_id\":\"\",\"rules\":[{\"id\":\"r1\","
	    "\"ref\":\"r1\",\"action\":\"log\",\"expression\":\"ip.src in $office\",\"version\":\"1\"}]}");
}

static void clean(void)
{
	char path[80];
	rf_api_free(api);
	rf_store_close(store);
	for (const char *const *x = (const char *const[]){ "", "-wal", "-shm", NULL }; *x; x++) {
		snprintf(path, sizeof path, "%s/s%s", dir, *x);
		unlink(path);
	}
	rmdir(dir);
}

static void start(void)
{
	struct rf_err e;
	char path[64];
	if (!mkdtemp(dir))
		abort();
	snprintf(path, sizeof path, "%s/s", dir);
	const struct rf_clock clock = { mono, wall, NULL };
	if (rf_store_open(path, &clock, &store, &e) != RF_OK || rf_store_begin(store, "fuzz", &e) != RF_OK)
		abort();
	fill();
	struct rf_api_conf conf = { .store = store, .clock = clock, .version = "fuzz",
				    .state = { begin, touch, commit, undo, NULL, NULL } };
	api = rf_api_new(&conf, &e);
	if (rf_store_commit(store, &e) != RF_OK || !api)
		abort();
	atexit(clean);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_str rest = { (const char *)data, size }, line;
	if (!api)
		start();
	if (!size || !rf_str_split(&rest, '\n', &line))
		return 0;
	size_t space = rf_str_find(line, ' ');
	struct rf_api_request q = { .method = rf_http_method_of((struct rf_str){ line.p, space }),
				    .target = rf_str_skip(line, space + 1), .body = rest, .local = "fuzz",
				    .content_type = RF_STR("application/json") };
	struct rf_api_answer a;
	rf_api_handle(api, &q, &a);
	if (a.content_type && strcmp(a.content_type, "application/json") == 0) {
		json_t *j = json_loadb(a.body.p, a.body.n, 0, NULL);
		if (!j || a.status < 200 || a.status > 599)
			abort();
		json_decref(j);
	}
	rf_api_answer_fini(&a);
	return 0;
}
