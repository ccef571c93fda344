/* ctl/crl_fetch: the thread that fetches revocation lists.
 *
 * The control thread plans: one source for every URL of every root of which lists are expected -> the thread takes the source that is
 * due, asks its server (the held list unchanged? a newer one?) -> verifies -> keeps the file -> holds the parsed list ->
 * posts to the control loop, where a new trust set is built.
 *
 * Not here: the transfer itself (fetch.c).
 *
 * Invariants: a held list verifies with its root's bundle and is never replaced by an older one of its issuer. The mutex guards all
 * of the fetcher and its sources; a source that is being fetched is referenced, and its texts never change.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/list.h"
#include "ctl/crl_own.h"
#include "ctl/doc.h"
#include "ctl/private.h"
#include "pki/file.h"
#include "records/counters.h"
#include "records/log.h"

enum {
	ERROR_MAX = 512, BACKOFF_STEPS = 8,
	INTERVAL_LEAST_S = 10, INTERVAL_MOST_S = 30 * 86400, LOOK_S = 3600,
};
#define NEVER UINT64_MAX

enum state { MISSING, FRESH, EXPIRED, NOT_YET };

struct facts { /* of a list that is held or uploaded */
	bool there;
	uint64_t number;
	int64_t entries, this_update, next_update;
};

struct source {
	struct rf_node node;
	unsigned refs;
	char root_id[RF_ID_LEN + 1];
	size_t n;
	char *url;                /* NULL: uploaded, or nothing at all is there */
	struct rf_str bundle;     /* owned */
	struct rf_crl *held;
	struct facts facts;
	bool loaded;              /* its file has been looked at */
	char etag[RF_FETCH_ETAG_MAX];
	int64_t changed_s;        /* Last-Modified of the held list; -1: not known */
	uint64_t due;             /* monotonic; 0: at once; NEVER: none, or being fetched */
	unsigned failures;        /* in a row */
	int64_t succeeded_s;      /* 0: never */
	char error[ERROR_MAX];    /* of the last attempt, "" when it went well */
	enum state reported;
};

struct conf {
	char dir[RF_CRL_PATH_MAX];
	size_t bytes;
	uint64_t timeout_ns, refresh_ns;
};

struct change { /* lives until the loop has run it */
	struct rf_msg msg;
	struct rf_crl_fetcher *f; /* NULL: the fetcher has gone */
};

struct rf_crl_fetcher {
	struct rf_ctl *c;
	struct rf_clock clock;
	struct rf_fetch_thread t;
	struct rf_node sources;
	struct conf conf;
	struct rf_buf ca;       /* PEM of origin_ca, empty where none is set */
	struct change *posted; /* NULL: none is under way */
};

static int64_t wall_s(const struct rf_clock *c)
{
	return c->wall(c->ctx) / (int64_t)RF_NS_S;
}

/* --- sources --- */

static void source_put(struct source *s)
{
	if (--s->refs)
		return;
	rf_crl_put(s->held);
	free(s->url);
	free((char *)(uintptr_t)s->bundle.p);
	free(s);
}

static struct source *source_new(const char *root_id, size_t n, struct rf_str url, struct rf_str bundle)
{
	struct source *s = calloc(1, sizeof *s);
	char *copy = s ? strndup(bundle.p, bundle.n) : NULL;
	if (s && copy && url.n)
		s->url = strndup(url.p, url.n);
	if (!copy || (url.n && !s->url)) {
		free(copy);
		free(s);
		return NULL;
	}
	s->refs = 1;
	s->n = n;
	s->bundle = (struct rf_str){ copy, bundle.n };
	s->changed_s = -1;
	s->due = url.n ? 0 : NEVER;
	s->reported = FRESH;
	snprintf(s->root_id, sizeof s->root_id, "%s", root_id);
	return s;
}

static struct source *source_find(const struct rf_node *list, const char *root_id, size_t n, const char *url,
				  struct rf_str bundle)
{
	RF_LIST_EACH(it, list) {
		struct source *s = RF_CONTAINER(it, struct source, node);
		bool same_url = !url || (s->url && strcmp(s->url, url) == 0);
		if (s->url && s->n == n && same_url && strcmp(s->root_id, root_id) == 0 && rf_str_eq(s->bundle, bundle))
			return s;
	}
	return NULL;
}

static struct facts facts_of(const struct rf_crl *crl)
{
	return (struct facts){ .there = true, .number = crl->number, .entries = (int64_t)crl->count,
			       .this_update = crl->this_update, .next_update = crl->next_update };
}

static enum state state_of(const struct facts *f, int64_t now)
{
	struct rf_crl like = { .this_update = f->this_update, .next_update = f->next_update };
	if (!f->there)
		return MISSING;
	switch (rf_crl_state(&like, now)) {
	case RF_CRL_EXPIRED:
		return EXPIRED;
	case RF_CRL_NOT_YET:
		return NOT_YET;
	default:
		return FRESH;
	}
}

/* --- one fetch --- */

struct fetch {
	struct rf_crl_fetcher *f;
	struct source *s;
	struct conf conf;
	struct rf_fetch_got got;
};

static int verify(const struct source *s, struct rf_str text, struct rf_crl **ret, struct rf_err *e)
{
	STACK_OF(X509) *bundle = NULL;
	int rc = rf_pem_certs(s->bundle, &bundle, e);
	if (rc == RF_OK)
		rc = rf_crl_verify(text, bundle, ret, e);
	sk_X509_pop_free(bundle, X509_free);
	return rc;
}

static bool same_line(const struct rf_crl *a, const struct rf_crl *b)
{
	return a->delta == b->delta && rf_str_eq(a->issuer, b->issuer);
}

/* What has come, if it is to be kept: *ret stays NULL when it is the list that is held. */
static int accept_list(struct fetch *t, struct rf_crl **ret, struct rf_err *e)
{
	struct rf_crl *crl = NULL;
	const struct rf_crl *held = t->s->held;
	int rc = verify(t->s, rf_buf_str(&t->got.body), &crl, e);
	if (rc == RF_OK && rf_crl_state(crl, wall_s(&t->f->clock)) == RF_CRL_NOT_YET)
		rc = rf_fail(e, RF_E_CERT, "the list is not valid yet: compare the clocks");
	if (rc == RF_OK && held && same_line(crl, held) && rf_crl_newer(held, crl))
		rc = rf_fail(e, RF_E_STALE, "the list (number %llu) is older than the one that is held (number %llu)",
			     (unsigned long long)crl->number, (unsigned long long)held->number);
	if (rc == RF_OK && (!held || !same_line(crl, held) || rf_crl_newer(crl, held))) {
		char path[RF_CRL_PATH_MAX];
		rf_crl_path(t->conf.dir, t->s->root_id, t->s->n, path);
		rc = rf_file_put(path, 0600, rf_buf_str(&t->got.body), e);
		if (rc == RF_OK) {
			*ret = crl;
			return rc;
		}
	}
	rf_crl_put(crl);
	return rc;
}

/* --- the thread --- */

static void lists_changed(struct rf_loop *loop, struct rf_msg *m)
{
	struct change *g = RF_CONTAINER(m, struct change, msg);
	struct rf_crl_fetcher *f = g->f;
	struct rf_err e;
	(void)loop;
	free(g);
	if (!f)
		return;
	pthread_mutex_lock(&f->t.mutex);
	f->posted = NULL;
	pthread_mutex_unlock(&f->t.mutex);
	if (rf_ctl_rebuild(f->c, RF_PART_TRUST | RF_PART_SITE, &e) != RF_OK)
		rf_log(RF_LOG_ERROR, "crl", "the lists that were fetched are not in force: %s", e.text);
}

/* The mutex is held. One message at a time: it finds all that has come until it runs. */
static void post_change(struct rf_crl_fetcher *f)
{
	if (f->posted || !(f->posted = calloc(1, sizeof *f->posted)))
		return;
	f->posted->msg.run = lists_changed;
	f->posted->f = f;
	rf_loop_post(f->c->loop, &f->posted->msg);
}

static uint64_t interval(const struct fetch *t)
{
	int64_t s = (int64_t)(t->conf.refresh_ns / RF_NS_S), left = 0;
	if (t->s->facts.there && t->s->facts.next_update)
		left = (t->s->facts.next_update - wall_s(&t->f->clock)) / 2;
	if (t->s->failures && t->s->failures <= BACKOFF_STEPS && s > (INTERVAL_LEAST_S << (t->s->failures - 1)))
		s = INTERVAL_LEAST_S << (t->s->failures - 1);
	else if (!t->s->failures && left > 0 && left < s)
		s = left;
	s = s < INTERVAL_LEAST_S ? INTERVAL_LEAST_S : s > INTERVAL_MOST_S ? INTERVAL_MOST_S : s;
	return rf_fetch_jitter((uint64_t)s * RF_NS_S);
}

/* The mutex is held. `crl`: new, taken over; NULL: as it was. */
static void succeeded(struct fetch *t, struct rf_crl *crl)
{
	struct source *s = t->s;
	rf_count(RF_C_CRL_FETCHED);
	if (s->failures)
		rf_log(RF_LOG_INFO, "crl", "the list of root %s can be fetched from %s again", s->root_id, s->url);
	s->failures = 0;
	s->error[0] = '\0';
	s->succeeded_s = wall_s(&t->f->clock);
	if (!t->got.unchanged) {
		memcpy(s->etag, t->got.etag, sizeof s->etag);
		s->changed_s = t->got.changed_s;
	}
	if (!crl)
		return;
	rf_crl_put(s->held);
	s->held = crl;
	s->facts = facts_of(crl);
	if (rf_node_linked(&s->node))
		post_change(t->f);
}

static void failed(struct source *s, const struct rf_err *e)
{
	rf_count(RF_C_CRL_FAILED);
	if (!s->failures || strcmp(s->error, e->text) != 0)
		rf_log(RF_LOG_WARN, "crl", "no new list of root %s from %s: %s", s->root_id, s->url, e->text);
	snprintf(s->error, sizeof s->error, "%s", e->text);
	if (s->failures < UINT32_MAX)
		s->failures++;
}

/* The list kept before a restart: later ones must not be older, and the server may say that it is unchanged. */
static void load_file(struct fetch *t)
{
	char path[RF_CRL_PATH_MAX];
	RF_BUF_AUTO text = { 0 };
	struct rf_crl *crl = NULL;
	struct rf_err e;
	rf_crl_path(t->conf.dir, t->s->root_id, t->s->n, path);
	if (rf_file_get(path, RF_CRL_BYTES_MAX, false, &text, &e) == RF_OK &&
	    verify(t->s, rf_buf_str(&text), &crl, &e) == RF_OK) {
		pthread_mutex_lock(&t->f->t.mutex);
		t->s->held = crl;
		t->s->facts = facts_of(crl);
		pthread_mutex_unlock(&t->f->t.mutex);
	}
	t->s->loaded = true;
}

/* Called and returns with the mutex held. */
static void load(struct rf_crl_fetcher *f, struct source *s)
{
	struct fetch t = { .f = f, .s = s, .conf = f->conf };
	pthread_mutex_unlock(&f->t.mutex);
	load_file(&t);
	pthread_mutex_lock(&f->t.mutex);
}

static void fetch(struct rf_crl_fetcher *f, struct source *s)
{
	RF_BUF_AUTO ca = { 0 };
	rf_buf_add(&ca, rf_buf_str(&f->ca));
	struct fetch t = { .f = f, .s = s, .conf = f->conf };
	struct rf_fetch_ask ask = { .what = "the list", .type = "application/pkix-crl", .url = s->url, .etag = s->etag, .changed_s = s->changed_s, .held = s->held,
				  .bytes = t.conf.bytes, .timeout_ns = t.conf.timeout_ns, .ca = rf_buf_str(&ca), .stop = &f->t.stop };
	struct rf_crl *crl = NULL;
	struct rf_err e;
	s->due = NEVER;
	pthread_mutex_unlock(&f->t.mutex);
	int rc = rf_fetch(&ask, &t.got, &e);
	if (rc == RF_OK && !t.got.unchanged)
		rc = accept_list(&t, &crl, &e);
	rf_buf_fini(&t.got.body);
	pthread_mutex_lock(&f->t.mutex);
	if (rc == RF_OK)
		succeeded(&t, crl);
	else if (!atomic_load(&f->t.stop))
		failed(s, &e);
	if (s->due == NEVER) /* else somebody wants it at once */
		s->due = f->clock.mono(f->clock.ctx) + interval(&t);
}

/* The mutex is held. Tell of every change between fresh and not, once. */
static void report(struct rf_crl_fetcher *f)
{
	int64_t now = wall_s(&f->clock);
	RF_LIST_EACH(it, &f->sources) {
		struct source *s = RF_CONTAINER(it, struct source, node);
		enum state is = state_of(&s->facts, now);
		char at[RF_RFC3339_SIZE];
		if (is == s->reported || is == MISSING || is == NOT_YET)
			continue;
		s->reported = is;
		rf_rfc3339(s->facts.next_update * (int64_t)RF_NS_S, 0, at);
		if (is == EXPIRED)
			rf_log(RF_LOG_WARN, "crl", "the list of root %s (%s) has expired at %s", s->root_id,
			       s->url ? s->url : "uploaded", at);
		else
			rf_log(RF_LOG_INFO, "crl", "the list of root %s (%s) is fresh again, until %s", s->root_id,
			       s->url ? s->url : "uploaded", at);
	}
}

/* The source whose turn it is, those whose file is yet to be read first; else NULL, and when to look again. */
static struct source *next_due(struct rf_crl_fetcher *f, uint64_t *ret_wait_ns)
{
	uint64_t now = f->clock.mono(f->clock.ctx), first = now + LOOK_S * RF_NS_S;
	int64_t wall = wall_s(&f->clock);
	struct source *best = NULL;
	RF_LIST_EACH(it, &f->sources) {
		struct source *s = RF_CONTAINER(it, struct source, node);
		int64_t left = s->facts.there ? s->facts.next_update - wall : 0;
		if (s->url && !s->loaded)
			return s;
		if (s->due <= now && (!best || s->due < best->due))
			best = s;
		if (s->due < first)
			first = s->due;
		if (left > 0 && left < LOOK_S && now + (uint64_t)left * RF_NS_S < first)
			first = now + (uint64_t)left * RF_NS_S;
	}
	*ret_wait_ns = first > now ? first - now : 0;
	return best;
}

static void *run(void *arg)
{
	struct rf_crl_fetcher *f = arg;
	uint64_t wait_ns = 0;
	pthread_mutex_lock(&f->t.mutex);
	while (!atomic_load(&f->t.stop)) {
		struct source *s = next_due(f, &wait_ns);
		if (s) {
			s->refs++;
			(s->loaded ? fetch : load)(f, s);
			source_put(s);
		}
		report(f);
		if (!s && !atomic_load(&f->t.stop))
			rf_fetch_wait(&f->t, wait_ns);
	}
	pthread_mutex_unlock(&f->t.mutex);
	return NULL;
}

/* --- the plan --- */

struct planning {
	struct rf_crl_fetcher *f;
	struct rf_node made;
	bool bad;
};

static void plan_url(struct planning *p, const char *root_id, size_t n, struct rf_str url, struct rf_str bundle)
{
	struct source *s = source_find(&p->f->sources, root_id, n, url.p, bundle);
	if (s)
		rf_list_del(&s->node);
	else if (!(s = source_new(root_id, n, url, bundle))) {
		p->bad = true;
		return;
	}
	rf_list_push(&p->made, &s->node);
}

static int64_t time_of(const json_t *crl, const char *member)
{
	int64_t s = 0;
	return rf_rfc3339_parse(doc_str(crl, member).p, &s) == 0 ? s : 0;
}

/* The fetcher only watches over what was uploaded: `crl` NULL where nothing was. */
static void plan_uploaded(struct planning *p, const char *root_id, const json_t *crl)
{
	struct source *s = source_new(root_id, 0, RF_STR(""), RF_STR(""));
	if (!s) {
		p->bad = true;
		return;
	}
	if (crl)
		s->facts = (struct facts){ .there = true, .number = (uint64_t)doc_int(crl, "number", 0),
					   .entries = doc_int(crl, "entries", 0), .this_update = time_of(crl, "this_update"),
					   .next_update = time_of(crl, "next_update") };
	rf_list_push(&p->made, &s->node);
}

static int plan_root(const struct rf_object *o, void *arg)
{
	struct planning *p = arg;
	const json_t *urls = json_object_get(o->doc, "crl_urls"), *crls = json_object_get(o->doc, "crls");
	size_t n = json_array_size(urls), there = json_array_size(crls);
	if (!doc_bool(o->doc, "ca", true) || !(doc_is(o->doc, "crl_mode", "open") || doc_is(o->doc, "crl_mode", "closed")))
		return RF_OK;
	for (size_t i = 0; i < n && i < RF_CRL_URLS_MAX; i++)
		plan_url(p, o->id, i, doc_at(urls, i), doc_str(o->doc, "certificates"));
	for (size_t i = 0; i < there && i < RF_CRL_URLS_MAX; i++)
		plan_uploaded(p, o->id, json_array_get(crls, i));
	if (!n && !there)
		plan_uploaded(p, o->id, NULL);
	return RF_OK;
}

static void forget(struct rf_node *list)
{
	RF_LIST_EACH(it, list) {
		rf_list_del(it);
		source_put(RF_CONTAINER(it, struct source, node));
	}
}

/* Files of roots that are no more. */
static void sweep(struct rf_ctl *c)
{
	char path[RF_CRL_PATH_MAX], id[RF_ID_LEN + 1];
	struct rf_err e;
	struct dirent *d;
	snprintf(path, sizeof path, "%s/crl", c->boot->data_dir);
	DIR *dir = opendir(path);
	while (dir && (d = readdir(dir))) {
		RF_OBJECT_AUTO o = { 0 };
		if (strlen(d->d_name) < RF_ID_LEN + 6 || d->d_name[RF_ID_LEN] != '-')
			continue;
		snprintf(id, sizeof id, "%.*s", RF_ID_LEN, d->d_name);
		if (rf_store_get(c->store, RF_KIND_ROOT, id, &o, &e) == RF_E_NOT_FOUND)
			unlinkat(dirfd(dir), d->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

static void configure(struct rf_crl_fetcher *f, const struct rf_boot *b)
{
	snprintf(f->conf.dir, sizeof f->conf.dir, "%s", b->data_dir);
	rf_fetch_ca(f->c, b->system_ca, &f->ca);
	f->conf.bytes = b->crl_bytes < RF_CRL_BYTES_MAX ? b->crl_bytes : RF_CRL_BYTES_MAX;
	f->conf.timeout_ns = b->crl_timeout;
	f->conf.refresh_ns = b->crl_refresh;
}

void rf_crl_fetcher_plan(struct rf_crl_fetcher *f)
{
	struct planning p = { .f = f };
	struct rf_store_query all = { 0 };
	struct rf_node old;
	struct rf_err e;
	rf_list_init(&p.made);
	rf_list_init(&old);
	pthread_mutex_lock(&f->t.mutex);
	configure(f, f->c->boot);
	int rc = rf_store_list(f->c->store, RF_KIND_ROOT, &all, plan_root, &p, NULL, &e);
	if (rc != RF_OK || p.bad) /* what could be planned, and what was there before: nothing is given up */
		rf_log(RF_LOG_ERROR, "crl", "not all lists are fetched: %s", rc != RF_OK ? e.text : "memory is exhausted");
	else
		forget(&f->sources);
	RF_LIST_EACH(it, &p.made) {
		rf_list_del(it);
		rf_list_push(&f->sources, it);
	}
	pthread_cond_signal(&f->t.wake);
	pthread_mutex_unlock(&f->t.mutex);
	if (rc == RF_OK)
		sweep(f->c);
}

void rf_crl_fetcher_kick(struct rf_crl_fetcher *f)
{
	pthread_mutex_lock(&f->t.mutex);
	configure(f, f->c->boot);
	RF_LIST_EACH(it, &f->sources) {
		struct source *s = RF_CONTAINER(it, struct source, node);
		if (s->url)
			s->due = 0;
	}
	pthread_cond_signal(&f->t.wake);
	pthread_mutex_unlock(&f->t.mutex);
}

struct rf_crl *rf_crl_fetcher_held(struct rf_crl_fetcher *f, const char *root_id, size_t n, struct rf_str bundle)
{
	pthread_mutex_lock(&f->t.mutex);
	struct source *s = source_find(&f->sources, root_id, n, NULL, bundle);
	struct rf_crl *crl = s && s->held ? rf_crl_get(s->held) : NULL;
	pthread_mutex_unlock(&f->t.mutex);
	return crl;
}

/* --- life --- */

int rf_crl_fetcher_start(struct rf_ctl *c, struct rf_crl_fetcher **ret, struct rf_err *e)
{
	char path[RF_CRL_PATH_MAX];
	snprintf(path, sizeof path, "%s/crl", c->boot->data_dir);
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return rf_fail(e, RF_E_DISK, "cannot make %s: %s", path, strerror(errno));
	struct rf_crl_fetcher *f = calloc(1, sizeof *f);
	if (!f || !rf_fetch_begin(&f->t)) {
		free(f);
		return rf_fail(e, RF_E_NOMEM, "no memory to fetch revocation lists");
	}
	f->c = c;
	f->clock = c->clock;
	rf_list_init(&f->sources);
	rf_crl_fetcher_plan(f);
	if (!rf_fetch_run(&f->t, run, f)) {
		forget(&f->sources);
		rf_buf_fini(&f->ca);
		rf_fetch_end(&f->t);
		free(f);
		return rf_fail(e, RF_E_FULL, "no thread to fetch revocation lists");
	}
	*ret = f;
	return RF_OK;
}

void rf_crl_fetcher_stop(struct rf_crl_fetcher *f)
{
	if (!f)
		return;
	rf_fetch_join(&f->t);
	if (f->posted)
		f->posted->f = NULL;
	forget(&f->sources);
	rf_buf_fini(&f->ca);
	rf_fetch_end(&f->t);
	free(f);
}

/* --- status --- */

static json_t *time_json(int64_t s)
{
	char at[RF_RFC3339_SIZE];
	return s ? json_string(rf_rfc3339(s * (int64_t)RF_NS_S, 0, at)) : json_null();
}

static json_t *name_of(struct rf_ctl *c, const char *root_id)
{
	RF_OBJECT_AUTO o = { 0 };
	struct rf_err e;
	bool named = rf_store_get(c->store, RF_KIND_ROOT, root_id, &o, &e) == RF_OK && o.name[0];
	return json_string(named ? o.name : root_id);
}

static json_t *source_json(struct rf_ctl *c, const struct source *s, int64_t now)
{
	static const char *const names[] = { [MISSING] = "missing", [FRESH] = "fresh", [EXPIRED] = "expired",
					     [NOT_YET] = "not_yet" };
	return json_pack("{s:s, s:o, s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:s}", "root_id", s->root_id, "root", name_of(c, s->root_id), "url", s->url ? s->url : "",
			 "state", names[state_of(&s->facts, now)], "number", (json_int_t)s->facts.number, "entries",
			 (json_int_t)s->facts.entries, "this_update", time_json(s->facts.this_update), "next_update",
			 time_json(s->facts.next_update), "last_success", time_json(s->succeeded_s), "last_error", s->error);
}

int rf_crl_status(struct rf_ctl *c, json_t *array, struct rf_err *e)
{
	struct rf_crl_fetcher *f = c->priv->crl;
	int rc = RF_OK;
	if (!f)
		return RF_OK;
	pthread_mutex_lock(&f->t.mutex);
	RF_LIST_EACH(it, &f->sources)
		if (rc == RF_OK && json_array_append_new(array, source_json(c, RF_CONTAINER(it, struct source, node),
									    wall_s(&f->clock))) != 0)
			rc = rf_fail(e, RF_E_NOMEM, "no memory for the state of revocation lists");
	pthread_mutex_unlock(&f->t.mutex);
	return rc;
}
