/* ctl/fetch: one transfer over HTTP, bounded in bytes, time and redirects; and how its thread waits for the next. */
#include "ctl/fetch.h"
#include <curl/curl.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>
#include "base/clock.h"
#include "ctl/private.h"
#include "records/log.h"

enum { REDIRECTS_MAX = 4 };

struct transfer {
	const struct rf_fetch_ask *ask;
	struct rf_fetch_got *got;
	char error[CURL_ERROR_SIZE];
};

static size_t take_body(char *p, size_t size, size_t n, void *arg)
{
	struct rf_buf *to = &((struct transfer *)arg)->got->body;
	rf_buf_add(to, (struct rf_str){ p, size * n });
	return to->bad ? 0 : size * n;
}

/* Every response of a chain of redirects comes by here; the last one's tag stays. */
static size_t take_header(char *p, size_t size, size_t n, void *arg)
{
	char *etag = ((struct transfer *)arg)->got->etag;
	struct rf_str line = { p, size * n };
	while (line.n && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == '\n'))
		line.n--;
	if (rf_str_starts(line, RF_STR("HTTP/")))
		etag[0] = '\0';
	if (line.n > 5 && rf_str_ieq((struct rf_str){ p, 5 }, RF_STR("ETag:"))) {
		struct rf_str v = rf_str_trim(rf_str_skip(line, 5));
		snprintf(etag, RF_FETCH_ETAG_MAX, "%.*s", v.n < RF_FETCH_ETAG_MAX ? (int)v.n : 0, v.p);
	}
	return size * n;
}

static int stopped(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	(void)down_total, (void)down, (void)up_total, (void)up;
	return atomic_load(((struct transfer *)arg)->ask->stop);
}

static struct curl_slist *header(struct curl_slist *h, const char *line)
{
	struct curl_slist *more = h && line ? curl_slist_append(h, line) : NULL;
	return more ? more : h;
}

static struct curl_slist *headers_of(const struct rf_fetch_ask *ask)
{
	char line[RF_FETCH_SECRET_MAX + 64];
	snprintf(line, sizeof line, "Accept: %s, */*;q=0.1", ask->type);
	struct curl_slist *h = curl_slist_append(NULL, line);
	snprintf(line, sizeof line, "If-None-Match: %s", ask->etag);
	h = header(h, ask->held && ask->etag[0] ? line : NULL);
	h = header(h, ask->post.p ? "Content-Type: application/json" : NULL);
	snprintf(line, sizeof line, "cf-webhook-auth: %.*s", RF_FETCH_SECRET_MAX, ask->secret ? ask->secret : "");
	return header(h, ask->secret && ask->secret[0] ? line : NULL);
}

static void prepare(CURL *h, struct transfer *t, struct curl_slist *headers)
{
	const struct rf_fetch_ask *ask = t->ask;
	curl_easy_setopt(h, CURLOPT_URL, ask->url);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, ask->https ? "https" : "http,https");
	curl_easy_setopt(h, CURLOPT_REDIR_PROTOCOLS_STR, ask->https ? "https" : "http,https");
	curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, ask->post.p ? 0L : 1L);
	if (ask->post.p) {
		curl_easy_setopt(h, CURLOPT_POSTFIELDS, ask->post.p);
		curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)ask->post.n);
	}
	curl_easy_setopt(h, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)(ask->timeout_ns / RF_NS_MS));
	curl_easy_setopt(h, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)ask->bytes);
	curl_easy_setopt(h, CURLOPT_USERAGENT, "ringfence/" RF_VERSION);
	curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(h, CURLOPT_FILETIME, 1L);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(h, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, stopped);
	curl_easy_setopt(h, CURLOPT_XFERINFODATA, t);
	curl_easy_setopt(h, CURLOPT_ERRORBUFFER, t->error);
	if (ask->ca.n) {
		struct curl_blob ca = { .data = (char *)(uintptr_t)ask->ca.p, .len = ask->ca.n, .flags = CURL_BLOB_NOCOPY };
		curl_easy_setopt(h, CURLOPT_CAINFO_BLOB, &ca);
	}
	if (ask->held && ask->changed_s >= 0) {
		curl_easy_setopt(h, CURLOPT_TIMECONDITION, (long)CURL_TIMECOND_IFMODSINCE);
		curl_easy_setopt(h, CURLOPT_TIMEVALUE_LARGE, (curl_off_t)ask->changed_s);
	}
}

static int judge(struct transfer *t, CURL *h, CURLcode rc, struct rf_err *e)
{
	long unmet = 0, status = 0;
	curl_off_t changed = -1;
	curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(h, CURLINFO_CONDITION_UNMET, &unmet);
	curl_easy_getinfo(h, CURLINFO_FILETIME_T, &changed);
	t->got->changed_s = changed;
	if (t->got->body.bad || rc == CURLE_FILESIZE_EXCEEDED)
		return rf_fail(e, RF_E_TOO_LARGE, "%s is larger than %zu bytes", t->ask->what, t->ask->bytes);
	if (rc == CURLE_OPERATION_TIMEDOUT)
		return rf_fail(e, RF_E_TIMEOUT, "%s did not arrive in %llu ms", t->ask->what,
			       (unsigned long long)(t->ask->timeout_ns / RF_NS_MS));
	if (rc != CURLE_OK)
		return rf_fail(e, RF_E_IO, "%s", t->error[0] ? t->error : curl_easy_strerror(rc));
	t->got->unchanged = t->ask->held && (status == 304 || unmet);
	if (t->ask->post.p ? status / 100 != 2 : !t->got->unchanged && status != 200)
		return rf_fail(e, RF_E_IO, "the server answered with status %ld", status);
	return RF_OK;
}

int rf_fetch(const struct rf_fetch_ask *ask, struct rf_fetch_got *ret, struct rf_err *e)
{
	struct transfer t = { .ask = ask, .got = ret };
	CURL *h = curl_easy_init();
	struct curl_slist *headers = h ? headers_of(ask) : NULL;
	if (!headers) {
		curl_easy_cleanup(h);
		return rf_fail(e, RF_E_NOMEM, "no memory to fetch");
	}
	prepare(h, &t, headers);
	ret->body.bound = ask->bytes;
	CURLcode done = curl_easy_perform(h);
	int rc = judge(&t, h, done, e);
	curl_easy_cleanup(h);
	curl_slist_free_all(headers);
	return rc;
}

bool rf_fetch_begin(struct rf_fetch_thread *t)
{
	pthread_condattr_t attr;
	if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
		return false;
	pthread_mutex_init(&t->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->wake, &attr);
	pthread_condattr_destroy(&attr);
	return true;
}

void rf_fetch_end(struct rf_fetch_thread *t)
{
	pthread_mutex_destroy(&t->mutex);
	pthread_cond_destroy(&t->wake);
	curl_global_cleanup();
}

bool rf_fetch_run(struct rf_fetch_thread *t, void *(*run)(void *arg), void *arg)
{
	return pthread_create(&t->thread, NULL, run, arg) == 0;
}

void rf_fetch_join(struct rf_fetch_thread *t)
{
	atomic_store(&t->stop, true);
	pthread_mutex_lock(&t->mutex);
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->mutex);
	pthread_join(t->thread, NULL);
}

void rf_fetch_ca(struct rf_ctl *c, const char *path, struct rf_buf *to)
{
	RF_BUF_AUTO text = { 0 };
	struct rf_err e;
	if (path[0] && rf_ctl_read_file(c, path, &text, &e) != RF_OK) {
		rf_log(RF_LOG_ERROR, "fetch", "%s", e.text);
		return;
	}
	rf_buf_fini(to);
	*to = text;
	text = (struct rf_buf){ 0 };
}

uint64_t rf_fetch_jitter(uint64_t ns)
{
	uint32_t r = 0;
	if (getrandom(&r, sizeof r, GRND_NONBLOCK) != sizeof r)
		return ns;
	return ns - ns / 10 + ns / 5 * (r % 1024) / 1024;
}

void rf_fetch_wait(struct rf_fetch_thread *thread, uint64_t ns)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	uint64_t at = (uint64_t)t.tv_sec * RF_NS_S + (uint64_t)t.tv_nsec + ns + RF_NS_MS;
	t.tv_sec = (time_t)(at / RF_NS_S);
	t.tv_nsec = (long)(at % RF_NS_S);
	pthread_cond_timedwait(&thread->wake, &thread->mutex, &t);
}
