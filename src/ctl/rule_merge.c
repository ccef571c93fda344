/* ctl/rule_merge: see rule_merge.h.
 *
 *	rules put in force -> look: does an index want a merge? -> thread: merge -> message -> adopt into the ruleset as it is
 *	by now -> snapshot -> look again
 *
 * Rules that changed too much in the meantime put the merge away, and it begins anew. Invariant: at most one job, and
 * exactly one message for it.
 */
#include "ctl/rule_merge.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/way.h"
#include "ctl/private.h"
#include "records/counters.h"
#include "records/log.h"

struct done {                  /* owned by the loop once posted */
	struct rf_msg msg;
	struct rf_rule_merge *m;   /* NULL: nobody wants it any more */
};

struct rf_rule_merge {
	struct rf_ctl *c;
	pthread_t thread;
	struct rf_index_job *job;  /* NULL: none runs */
	struct done *done;
	char set[RF_ID_LEN + 1];   /* whose index it is */
	int result;
};

static void *merge(void *arg)
{
	struct rf_rule_merge *m = arg;
	pthread_setname_np(pthread_self(), "merge");
	rf_way_last();
	m->result = rf_index_merge(m->job);
	rf_loop_post(m->c->loop, &m->done->msg);
	return NULL;
}

static void finish(struct rf_rule_merge *m)
{
	rf_registry_quiet(NULL, false); /* joining waits: others must not wait for this thread's quiet point */
	pthread_join(m->thread, NULL);
	rf_registry_quiet(NULL, true);
}

static void adopt(struct rf_rule_merge *m)
{
	struct rf_err e = { 0 };
	int rc = m->result == RF_OK ? rf_ctl_adopt(m->c, m->set, m->job, &e) : m->result;
	if (rc == RF_OK)
		rf_count(RF_C_RULE_MERGES);
	else if (rc != RF_E_STALE)
		rf_log(RF_LOG_WARN, "rules", "the index of ruleset %s is not merged: %s", m->set, rf_code_sentence(rc));
}

static void on_done(struct rf_loop *loop, struct rf_msg *msg)
{
	struct done *d = RF_CONTAINER(msg, struct done, msg);
	struct rf_rule_merge *m = d->m;
	(void)loop;
	free(d);
	if (!m)
		return;
	finish(m);
	adopt(m);
	bool again = m->result == RF_OK;
	rf_index_end(m->job);
	m->job = NULL;
	m->done = NULL;
	if (again)
		rf_rule_merge_look(m);
}

static void begin(struct rf_rule_merge *m, const struct rf_built_rules *r)
{
	m->done = calloc(1, sizeof *m->done);
	if (!m->done || rf_index_begin(r->set, &m->job) != RF_OK) {
		free(m->done);
		m->done = NULL;
		return;
	}
	*m->done = (struct done){ .msg.run = on_done, .m = m };
	memcpy(m->set, r->id, sizeof m->set);
	if (pthread_create(&m->thread, NULL, merge, m) == 0)
		return;
	rf_log(RF_LOG_WARN, "rules", "no thread to merge the index of ruleset %s", m->set);
	rf_index_end(m->job);
	free(m->done);
	m->job = NULL;
	m->done = NULL;
}

void rf_rule_merge_look(struct rf_rule_merge *m)
{
	const struct rf_parts *p = m ? &m->c->priv->parts : NULL;
	for (size_t i = 0; p && !m->job && i < p->rules_count; i++)
		if (rf_index_wanted(p->rules[i].set))
			begin(m, &p->rules[i]);
}

struct rf_rule_merge *rf_rule_merge_new(struct rf_ctl *c)
{
	struct rf_rule_merge *m = calloc(1, sizeof *m);
	if (m)
		m->c = c;
	return m;
}

void rf_rule_merge_free(struct rf_rule_merge *m)
{
	if (!m)
		return;
	if (m->job) {
		finish(m);
		m->done->m = NULL; /* its message is still to come */
		rf_index_end(m->job);
	}
	free(m);
}
