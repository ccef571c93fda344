/* ctl/alerts: see alerts.h.
 *
 *   post -> queue -> the thread: the first one that is due -> POST -> 2xx: done; else due again later, or given up
 *
 * Invariants: the mutex guards all but the thread; one alert is under way at a time, and stands in the queue meanwhile.
 */
#include "ctl/alerts.h"
#include <stdio.h>
#include <stdlib.h>
#include "ctl/fetch.h"
#include "ctl/private.h"
#include "records/counters.h"
#include "records/log.h"

enum { URL = 4200, ANSWER = 64 << 10, TIMEOUT_S = 10, PAUSE_S = 2, PAUSE_FACTOR = 3, LOOK_S = 3600 };

struct waiting {
	char *text;               /* NULL: free */
	uint64_t number, due;     /* due: monotonic */
	unsigned tries;
};

struct rf_alerts {
	struct rf_ctl *c;
	struct rf_fetch_thread t;
	char url[URL];
	struct rf_buf ca, secret;
	struct waiting queue[RF_ALERTS_WAITING];
	uint64_t number;
};

static uint64_t mono(const struct rf_alerts *a) { return a->c->clock.mono(a->c->clock.ctx); }

static struct waiting *next(struct rf_alerts *a)
{
	struct waiting *first = NULL;
	for (unsigned i = 0; i < RF_ALERTS_WAITING; i++) {
		struct waiting *w = &a->queue[i];
		if (w->text && (!first || w->due < first->due || (w->due == first->due && w->number < first->number)))
			first = w;
	}
	return first;
}

static void finish(struct waiting *w)
{
	free(w->text);
	*w = (struct waiting){ 0 };
}

static void went_wrong(struct rf_alerts *a, struct waiting *w, const char *why)
{
	uint64_t pause = PAUSE_S;
	for (unsigned i = 0; i < w->tries; i++)
		pause *= PAUSE_FACTOR;
	rf_count(RF_C_ALERTS_FAILED);
	if (++w->tries < RF_ALERT_TRIES) {
		w->due = mono(a) + rf_fetch_jitter(pause * RF_NS_S);
		return;
	}
	rf_log(RF_LOG_ERROR, "alerts", "an alert could not be posted to %s, and is given up: %s", a->url, why);
	rf_count(RF_C_ALERTS_LOST);
	finish(w);
}

/* Called and returns with the mutex held. */
static void deliver(struct rf_alerts *a, struct waiting *w)
{
	char url[URL], secret[RF_FETCH_SECRET_MAX + 1];
	RF_BUF_AUTO ca = { 0 };
	struct rf_fetch_got got = { 0 };
	struct rf_err e;
	memcpy(url, a->url, sizeof url);
	rf_buf_add(&ca, rf_buf_str(&a->ca));
	struct rf_str line = rf_str_trim((struct rf_str){ a->secret.p, rf_str_find(rf_buf_str(&a->secret), '\n') });
	snprintf(secret, sizeof secret, "%.*s", line.n < sizeof secret ? (int)line.n : 0, line.n ? line.p : "");
	struct rf_fetch_ask ask = { .what = "the answer", .type = "application/json", .url = url, .ca = rf_buf_str(&ca), .changed_s = -1, .etag = "",
				    .bytes = ANSWER, .timeout_ns = TIMEOUT_S * RF_NS_S, .stop = &a->t.stop, .post = rf_str_z(w->text), .secret = secret };
	pthread_mutex_unlock(&a->t.mutex);
	int rc = rf_fetch(&ask, &got, &e);
	rf_buf_fini(&got.body);
	pthread_mutex_lock(&a->t.mutex);
	if (rc == RF_OK) {
		rf_count(RF_C_ALERTS);
		finish(w);
	} else if (!atomic_load(&a->t.stop)) {
		went_wrong(a, w, e.text);
	}
}

static void *run(void *arg)
{
	struct rf_alerts *a = arg;
	pthread_mutex_lock(&a->t.mutex);
	while (!atomic_load(&a->t.stop)) {
		struct waiting *w = next(a);
		uint64_t now = mono(a);
		if (w && w->due <= now)
			deliver(a, w);
		else
			rf_fetch_wait(&a->t, w && w->due - now < LOOK_S * RF_NS_S ? w->due - now : LOOK_S * RF_NS_S);
	}
	pthread_mutex_unlock(&a->t.mutex);
	return NULL;
}

void rf_alerts_post(struct rf_alerts *a, const json_t *alert)
{
	if (!a || !alert)
		return;
	pthread_mutex_lock(&a->t.mutex);
	struct waiting *room = NULL;
	for (unsigned i = 0; a->url[0] && i < RF_ALERTS_WAITING && !room; i++)
		room = a->queue[i].text ? NULL : &a->queue[i];
	char *text = room ? json_dumps(alert, JSON_COMPACT) : NULL;
	if (text) {
		*room = (struct waiting){ text, ++a->number, mono(a), 0 };
		pthread_cond_signal(&a->t.wake);
	} else if (a->url[0]) {
		rf_count(RF_C_ALERTS_LOST);
	}
	pthread_mutex_unlock(&a->t.mutex);
}

/* --- life --- */

static void configure(struct rf_alerts *a)
{
	snprintf(a->url, sizeof a->url, "%s", a->c->boot->alerts_webhook);
	rf_fetch_ca(a->c, a->c->boot->system_ca, &a->ca);
	rf_fetch_ca(a->c, a->c->boot->alerts_secret, &a->secret);
}

void rf_alerts_kick(struct rf_alerts *a)
{
	pthread_mutex_lock(&a->t.mutex);
	configure(a);
	pthread_cond_signal(&a->t.wake);
	pthread_mutex_unlock(&a->t.mutex);
}

static void release(struct rf_alerts *a)
{
	for (unsigned i = 0; i < RF_ALERTS_WAITING; i++)
		free(a->queue[i].text);
	rf_buf_fini(&a->ca);
	rf_buf_fini(&a->secret);
	rf_fetch_end(&a->t);
	free(a);
}

int rf_alerts_start(struct rf_ctl *c, struct rf_alerts **ret, struct rf_err *e)
{
	struct rf_alerts *a = calloc(1, sizeof *a);
	if (!a || !rf_fetch_begin(&a->t)) {
		free(a);
		return rf_fail(e, RF_E_NOMEM, "no memory for alerts");
	}
	a->c = c;
	configure(a);
	if (!rf_fetch_run(&a->t, run, a)) {
		release(a);
		return rf_fail(e, RF_E_FULL, "no thread for alerts");
	}
	*ret = a;
	return RF_OK;
}

void rf_alerts_stop(struct rf_alerts *a)
{
	if (!a)
		return;
	rf_fetch_join(&a->t);
	release(a);
}
