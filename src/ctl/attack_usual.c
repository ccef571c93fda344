/* ctl/attack_usual: what is usual of hosts and ports, kept in the folder of data over restarts.
 *
 *   start: the file ─► detection, key of its hashes (a new one, where there is no file that is ours)
 *   every KEEP_S: all that is known, as bytes ─► a thread writes them ─► the file; at the end once more
 *
 * While floods are on, nothing is learned, so that what is kept never is a flood.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include "base/way.h"
#include "ctl/attacks.h"
#include "ctl/private.h"
#include "pki/file.h"
#include "records/log.h"
#include "shield/detect_store.h"

enum { KEEP_S = 300, KEPT_MAX = 64 << 20 };

struct rf_attack_usual {
	struct rf_ctl *c;
	struct rf_detect *detect;
	struct rf_attack_hellos *hellos;
	char path[4096];
	uint64_t due;
	pthread_t thread;
	bool runs;
	struct rf_buf all;        /* the thread's while it runs */
	struct rf_err e;
	int rc;
};

static void *write_all(void *arg)
{
	struct rf_attack_usual *u = arg;
	rf_detect_seal(&u->all);
	u->rc = u->all.bad ? rf_fail(&u->e, RF_E_NOMEM, "memory is exhausted") : rf_file_put(u->path, 0600, rf_buf_str(&u->all), &u->e);
	return NULL;
}

static void *in_thread(void *arg)
{
	rf_way_last();
	return write_all(arg);
}

static void tell(const struct rf_attack_usual *u)
{
	if (u->rc != RF_OK)
		rf_log(RF_LOG_WARN, "floods", "what is usual is not kept for the next start: %s", u->e.text);
}

static void written(struct rf_attack_usual *u, bool wait)
{
	if (!u->runs || (wait ? pthread_join(u->thread, NULL) : pthread_tryjoin_np(u->thread, NULL)) != 0)
		return;
	u->runs = false;
	tell(u);
}

static void gather(struct rf_attack_usual *u)
{
	struct rf_usual_port ports[RF_FEED_PORTS];
	rf_buf_clear(&u->all);
	rf_detect_save(u->detect, ports, rf_attack_hellos_usual(u->hellos, ports), &u->all);
}

void rf_attack_usual_tick(struct rf_attack_usual *u)
{
	uint64_t now = rf_loop_now(u->c->loop);
	written(u, false);
	if (u->runs || now < u->due)
		return;
	u->due = now + KEEP_S * RF_NS_S;
	gather(u);
	u->runs = pthread_create(&u->thread, NULL, in_thread, u) == 0;
}

static void take_up(struct rf_attack_usual *u)
{
	struct rf_usual_port ports[RF_FEED_PORTS];
	struct rf_err e;
	size_t n = 0;
	RF_BUF_AUTO all = { 0 };
	int rc = rf_file_get(u->path, KEPT_MAX, true, &all, &e);
	if (rc == RF_E_NOT_FOUND)
		return;
	if (rc == RF_OK && (rc = rf_detect_load(u->detect, rf_buf_str(&all), ports, RF_FEED_PORTS, &n)) != RF_OK)
		rf_fail(&e, rc, "%s is not whole, or of another version", u->path);
	if (rc == RF_OK)
		rf_attack_hellos_take_up(u->hellos, ports, n);
	else
		rf_log(RF_LOG_WARN, "floods", "what is usual is learned anew: %s", e.text);
}

int rf_attack_usual_new(struct rf_ctl *c, struct rf_detect *d, struct rf_attack_hellos *h, struct rf_attack_usual **ret, struct rf_err *e)
{
	uint8_t key[16];
	struct rf_attack_usual *u = calloc(1, sizeof *u);
	if (!u || getrandom(key, sizeof key, 0) != sizeof key) {
		free(u);
		return rf_fail(e, RF_E_NOMEM, "no memory or random numbers for what is usual");
	}
	u->c = c;
	u->detect = d;
	u->hellos = h;
	u->due = rf_loop_now(c->loop) + KEEP_S * RF_NS_S;
	snprintf(u->path, sizeof u->path, "%s/flood-usual", c->boot->data_dir);
	rf_trait_seed(key);
	take_up(u);
	*ret = u;
	return RF_OK;
}

void rf_attack_usual_free(struct rf_attack_usual *u)
{
	if (!u)
		return;
	written(u, true);
	gather(u);
	write_all(u);
	tell(u);
	rf_buf_fini(&u->all);
	free(u);
}
