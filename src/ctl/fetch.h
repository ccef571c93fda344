/* ctl/fetch: one GET or POST over HTTP on the calling thread: what revocation lists and packs of patches are fetched, and alerts posted with.
 *
 * Redirects are followed, a few; https servers are always verified. Everything of libcurl is in fetch.c.
 */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "base/buf.h"
#include "base/err.h"

enum { RF_FETCH_ETAG_MAX = 256, RF_FETCH_SECRET_MAX = 512 };

struct rf_fetch_ask {
	const char *what;          /* in messages: "the list" */
	const char *type;          /* media type that is asked for */
	const char *url;
	struct rf_str ca;          /* PEM that https servers are verified with; empty: the system's */
	bool https;                /* nothing else, redirects included */
	const char *etag;          /* of what is held, "" where it had none */
	int64_t changed_s;         /* its Last-Modified; -1: not known */
	bool held;                 /* the answer may be that it is unchanged */
	size_t bytes;
	uint64_t timeout_ns;
	const _Atomic bool *stop;  /* becomes true: give up */
	struct rf_str post;        /* p not NULL: POST this JSON; any 2xx is good, and no redirect is followed */
	const char *secret;        /* with it: the value of its header cf-webhook-auth; "" or NULL: none */
};
struct rf_fetch_got {
	struct rf_buf body;        /* the caller's, on failure too */
	char etag[RF_FETCH_ETAG_MAX];
	int64_t changed_s;
	bool unchanged;
};
int rf_fetch(const struct rf_fetch_ask *ask, struct rf_fetch_got *ret, struct rf_err *e);

/* The thread that an owner fetches on. The mutex guards what is the owner's; `wake` is of the monotonic clock. */
struct rf_fetch_thread {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	_Atomic bool stop;         /* `run` returns soon after */
};
/* Before the first fetch, and before the mutex is used; false where there is no memory. rf_fetch_end takes it back, after the join. */
bool rf_fetch_begin(struct rf_fetch_thread *t);
void rf_fetch_end(struct rf_fetch_thread *t);
bool rf_fetch_run(struct rf_fetch_thread *t, void *(*run)(void *arg), void *arg);
/* Returns when `run` has. */
void rf_fetch_join(struct rf_fetch_thread *t);
/* The thread's own: wait to be woken, for at most so long. The mutex is held. */
void rf_fetch_wait(struct rf_fetch_thread *t, uint64_t ns);

/* The PEM text of a file that the boot file names, in place of what `to` has; empty for "". One that cannot be read is logged,
 * and what was there stays. */
struct rf_ctl;
void rf_fetch_ca(struct rf_ctl *c, const char *path, struct rf_buf *to);

/* A tenth more or less, so that edges do not ask all at once. */
uint64_t rf_fetch_jitter(uint64_t ns);
