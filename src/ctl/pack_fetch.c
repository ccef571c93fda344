/* ctl/pack_fetch: see pack_fetch.h.
 *
 *   due -> conditional GET -> 304: nothing to do
 *                          -> a file: where it is signed by a trusted key, its patterns are compiled (policy/warm)
 *                          -> posted to the control loop -> POST packs, source url -> what became of it is kept for status
 *
 * Invariants: the mutex guards all of the fetcher; one file is under way at a time. The validators of a file are kept only where it was
 * installed, so that one that was refused is asked for again.
 */
#include "ctl/pack_fetch.h"
#include <stdio.h>
#include <stdlib.h>
#include "api/api.h"
#include "ctl/fetch.h"
#include "ctl/private.h"
#include "policy/pack.h"
#include "policy/warm.h"
#include "records/counters.h"
#include "records/log.h"

enum { TEXT = 512, PATH = 4200, TIMEOUT_S = 60, LOOK_S = 3600, AGAIN_LEAST_S = 60 };
#define NEVER UINT64_MAX
#define ACTOR "pack-update"

struct arrival { /* lives until the loop has run it */
	struct rf_msg msg;
	struct rf_pack_fetcher *f; /* NULL: the fetcher has gone */
	struct rf_fetch_got got;
	struct rf_warm warm;
};

struct rf_pack_fetcher {
	struct rf_ctl *c;
	struct rf_api *api;
	struct rf_fetch_thread t;
	char url[PATH];
	struct rf_buf ca, keys;    /* PEM of origin_ca and of patches.keys, empty where none is set */
	uint64_t refresh_ns, due;  /* due: monotonic; NEVER: no URL, or under way */
	char etag[RF_FETCH_ETAG_MAX];
	int64_t changed_s;
	bool held;
	int64_t succeeded_s;       /* 0: never */
	char error[TEXT];
	struct arrival *arrival;   /* NULL: none is under way */
};

static uint64_t mono(const struct rf_pack_fetcher *f) { return f->c->clock.mono(f->c->clock.ctx); }

/* --- what became of it; the mutex is held --- */

static void went_well(struct rf_pack_fetcher *f)
{
	if (f->error[0])
		rf_log(RF_LOG_INFO, "packs", "the pack can be fetched from %s again", f->url);
	f->error[0] = '\0';
	f->succeeded_s = f->c->clock.wall(f->c->clock.ctx) / (int64_t)RF_NS_S;
	rf_count(RF_C_PACK_FETCHED);
}

static void went_wrong(struct rf_pack_fetcher *f, const char *why)
{
	if (strcmp(f->error, why) != 0)
		rf_log(RF_LOG_WARN, "packs", "no new pack from %s: %s", f->url, why);
	snprintf(f->error, sizeof f->error, "%s", why);
	rf_count(RF_C_PACK_FAILED);
}

static void set_due(struct rf_pack_fetcher *f)
{
	uint64_t ns = f->error[0] && f->refresh_ns > AGAIN_LEAST_S * RF_NS_S * 15 ? AGAIN_LEAST_S * RF_NS_S * 15 : f->refresh_ns;
	f->due = f->url[0] ? mono(f) + rf_fetch_jitter(ns) : NEVER;
}

static void arrival_free(struct arrival *a)
{
	if (!a)
		return;
	rf_warm_fini(&a->warm);
	rf_buf_fini(&a->got.body);
	free(a);
}

/* --- control thread --- */

/* The text of the first error of an envelope; RF_OK where there is none. */
static int outcome(const struct rf_api_answer *a, char why[TEXT])
{
	json_t *j = json_loadb(a->body.n ? a->body.p : "", a->body.n, 0, NULL);
	const char *text = json_string_value(json_object_get(json_array_get(json_object_get(j, "errors"), 0), "message"));
	bool good = json_is_true(json_object_get(j, "success"));
	snprintf(why, TEXT, "%s", good ? "" : text ? text : "the pack was not installed");
	json_decref(j);
	return good ? RF_OK : RF_E_INVALID;
}

static int install(struct rf_pack_fetcher *f, struct rf_str file, char why[TEXT])
{
	RF_BUF_AUTO target = { 0 };
	struct rf_api_answer a = { 0 };
	json_t *text = json_stringn(file.n ? file.p : "", file.n);
	json_t *body = text ? json_pack("{s:o, s:s}", "file", text, "source", "url") : NULL;
	char *sent = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	rf_buf_printf(&target, "/client/v4/accounts/%s/packs", f->c->account_id);
	if (!sent) {
		snprintf(why, TEXT, "the file is not text");
		return RF_E_SYNTAX;
	}
	struct rf_api_request q = { .method = RF_HTTP_POST, .target = rf_buf_str(&target), .local = ACTOR, .body = rf_str_z(sent),
				    .content_type = RF_STR("application/json") };
	rf_api_handle(f->api, &q, &a);
	int rc = outcome(&a, why);
	rf_api_answer_fini(&a);
	free(sent);
	return rc;
}

static void arrived(struct rf_loop *loop, struct rf_msg *m)
{
	struct arrival *a = RF_CONTAINER(m, struct arrival, msg);
	struct rf_pack_fetcher *f = a->f;
	char why[TEXT];
	(void)loop;
	if (f) {
		int rc = install(f, rf_buf_str(&a->got.body), why);
		pthread_mutex_lock(&f->t.mutex);
		f->arrival = NULL;
		if (rc == RF_OK) {
			memcpy(f->etag, a->got.etag, sizeof f->etag);
			f->changed_s = a->got.changed_s;
			f->held = true;
			went_well(f);
		} else {
			went_wrong(f, why);
		}
		set_due(f);
		pthread_cond_signal(&f->t.wake);
		pthread_mutex_unlock(&f->t.mutex);
	}
	arrival_free(a);
}

/* --- the thread --- */

/* What takes long of installing the pack: on this thread, so that the control thread need not. */
static void warm(struct arrival *a, struct rf_str pem)
{
	struct rf_pack_keys keys = { 0 };
	struct rf_pack pack;
	struct rf_err e;
	a->warm.stop = &a->f->t.stop;
	if (rf_pack_keys_read(pem, &keys, &e) == RF_OK && rf_pack_open(rf_buf_str(&a->got.body), &keys, RF_PACK_SIGNED, &pack, &e) == RF_OK) {
		rf_warm_doc(&a->warm, pack.doc);
		rf_pack_fini(&pack);
	}
	rf_pack_keys_fini(&keys);
	a->warm.stop = NULL;
}

/* Called and returns with the mutex held. */
static void fetch(struct rf_pack_fetcher *f)
{
	char url[PATH], etag[RF_FETCH_ETAG_MAX];
	RF_BUF_AUTO ca = { 0 };
	RF_BUF_AUTO keys = { 0 };
	struct arrival *a = calloc(1, sizeof *a);
	struct rf_err e = { .text = "memory is exhausted" };
	memcpy(url, f->url, sizeof url);
	rf_buf_add(&ca, rf_buf_str(&f->ca));
	rf_buf_add(&keys, rf_buf_str(&f->keys));
	memcpy(etag, f->etag, sizeof etag);
	struct rf_fetch_ask ask = { .what = "the pack", .type = "application/octet-stream", .url = url, .ca = rf_buf_str(&ca), .https = true, .etag = etag,
				    .changed_s = f->changed_s, .held = f->held, .bytes = RF_PACK_BYTES,
				    .timeout_ns = TIMEOUT_S * RF_NS_S, .stop = &f->t.stop };
	f->due = NEVER;
	pthread_mutex_unlock(&f->t.mutex);
	int rc = a ? rf_fetch(&ask, &a->got, &e) : RF_E_NOMEM;
	bool fresh = rc == RF_OK && !a->got.unchanged;
	if (a)
		a->f = f;
	if (fresh)
		warm(a, rf_buf_str(&keys));
	pthread_mutex_lock(&f->t.mutex);
	if (fresh && !atomic_load(&f->t.stop)) {
		a->msg.run = arrived;
		f->arrival = a;
		rf_loop_post(f->c->loop, &a->msg);
		return;
	}
	if (rc == RF_OK)
		went_well(f);
	else if (!atomic_load(&f->t.stop))
		went_wrong(f, e.text);
	set_due(f);
	arrival_free(a);
}

static void *run(void *arg)
{
	struct rf_pack_fetcher *f = arg;
	pthread_mutex_lock(&f->t.mutex);
	while (!atomic_load(&f->t.stop)) {
		uint64_t now = mono(f);
		if (f->due <= now && !f->arrival)
			fetch(f);
		else
			rf_fetch_wait(&f->t, f->due - now < LOOK_S * RF_NS_S && f->due > now ? f->due - now : LOOK_S * RF_NS_S);
	}
	pthread_mutex_unlock(&f->t.mutex);
	return NULL;
}

/* --- life --- */

static void configure(struct rf_pack_fetcher *f)
{
	const struct rf_boot *b = f->c->boot;
	if (strcmp(f->url, b->patches_url) != 0) {
		snprintf(f->url, sizeof f->url, "%s", b->patches_url);
		f->held = false;
		f->etag[0] = f->error[0] = '\0';
		f->changed_s = -1;
		f->succeeded_s = 0;
	}
	rf_fetch_ca(f->c, b->system_ca, &f->ca);
	rf_fetch_ca(f->c, b->patches_keys, &f->keys);
	f->refresh_ns = b->patches_refresh;
	f->due = f->url[0] ? 0 : NEVER;
}

int rf_pack_fetcher_start(struct rf_ctl *c, struct rf_api *api, struct rf_pack_fetcher **ret, struct rf_err *e)
{
	struct rf_pack_fetcher *f = calloc(1, sizeof *f);
	if (!f || !rf_fetch_begin(&f->t)) {
		free(f);
		return rf_fail(e, RF_E_NOMEM, "no memory to fetch packs");
	}
	f->c = c;
	f->api = api;
	f->changed_s = -1;
	configure(f);
	if (!rf_fetch_run(&f->t, run, f)) {
		rf_buf_fini(&f->ca);
		rf_buf_fini(&f->keys);
		rf_fetch_end(&f->t);
		free(f);
		return rf_fail(e, RF_E_FULL, "no thread to fetch packs");
	}
	*ret = f;
	return RF_OK;
}

void rf_pack_fetcher_kick(struct rf_pack_fetcher *f)
{
	pthread_mutex_lock(&f->t.mutex);
	configure(f);
	pthread_cond_signal(&f->t.wake);
	pthread_mutex_unlock(&f->t.mutex);
}

void rf_pack_fetcher_stop(struct rf_pack_fetcher *f)
{
	if (!f)
		return;
	rf_fetch_join(&f->t);
	if (f->arrival)
		f->arrival->f = NULL;
	rf_buf_fini(&f->ca);
	rf_buf_fini(&f->keys);
	rf_fetch_end(&f->t);
	free(f);
}

json_t *rf_pack_fetcher_status(struct rf_pack_fetcher *f)
{
	char at[RF_RFC3339_SIZE];
	json_t *j = NULL;
	pthread_mutex_lock(&f->t.mutex);
	if (f->url[0])
		j = json_pack("{s:s, s:o, s:s}", "url", f->url, "last_success", f->succeeded_s ?
			json_string(rf_rfc3339(f->succeeded_s * (int64_t)RF_NS_S, 0, at)) : json_null(), "last_error", f->error);
	pthread_mutex_unlock(&f->t.mutex);
	return j;
}
