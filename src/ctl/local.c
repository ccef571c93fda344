/* ctl/local: see local.h. Here: from the worker to the control thread, which service, and what all of them use.
 *
 * Not here: enrolment (local_est.c), our CA's lists and OCSP (local_ca.c).
 */
#include <stdlib.h>
#include "ctl/local_own.h"

struct handed { /* lives from the worker's thread to the control thread */
	struct rf_msg msg;
	struct rf_local *l;
	struct rf_local_request *q;
};

int64_t local_now(const struct rf_local *l)
{
	return l->c->clock.wall(l->c->clock.ctx) / (int64_t)RF_NS_S;
}

void local_text(struct rf_local_request *q, int status, const char *text)
{
	q->status = status;
	q->answer_type = RF_STR("text/plain; charset=utf-8");
	rf_buf_clear(&q->answer);
	rf_buf_printf(&q->answer, "%s\n", text);
}

bool local_may_sign(struct rf_local *l, struct rf_local_request *q)
{
	if (rf_bucket_take(&l->sign, &l->sign_rate, l->c->clock.mono(l->c->clock.ctx), 1, NULL) == RF_OK)
		return true;
	local_text(q, 503, "too many certificates and OCSP responses are asked for at once; ask again");
	rf_buf_printf(&q->headers, "Retry-After: 1\r\n");
	return false;
}

static const struct {
	const char *prefix;
	void (*run)(struct rf_local *l, struct rf_local_request *q, struct rf_str path);
} services[] = {
	{ "/.well-known/est/", local_est },
	{ "/.well-known/pki/", local_pki },
};

static void answer(struct rf_local *l, struct rf_local_request *q)
{
	if (rf_str_eq(q->path, RF_STR("/healthz"))) {
		local_text(q, 200, "ok");
		return;
	}
	for (size_t i = 0; i < sizeof services / sizeof *services; i++)
		if (rf_str_starts(q->path, rf_str_z(services[i].prefix))) {
			services[i].run(l, q, rf_str_skip(q->path, strlen(services[i].prefix)));
			if (q->answer.bad)
				local_text(q, 503, "memory is exhausted");
			return;
		}
	local_text(q, 404, "there is no such service here");
}

static void arrived(struct rf_loop *loop, struct rf_msg *m)
{
	struct handed *h = RF_CONTAINER(m, struct handed, msg);
	(void)loop;
	answer(h->l, h->q);
	h->l->answered(h->q);
	free(h);
}

void rf_local_handle(void *local, struct rf_local_request *q)
{
	struct rf_local *l = local;
	struct handed *h = malloc(sizeof *h);
	if (!h) {
		local_text(q, 503, "memory is exhausted");
		l->answered(q);
		return;
	}
	*h = (struct handed){ .msg.run = arrived, .l = l, .q = q };
	rf_loop_post(l->c->loop, &h->msg);
}

int rf_local_new(struct rf_ctl *c, struct rf_local **ret, struct rf_err *e)
{
	struct rf_local *l = calloc(1, sizeof *l);
	if (!l)
		return rf_fail(e, RF_E_NOMEM, "no memory for enrolment");
	l->c = c;
	l->answered = rf_http_local_answer;
	rf_rate_make(RF_LOCAL_SIGN_RATE, RF_NS_S, RF_LOCAL_SIGN_BURST, &l->sign_rate);
	rf_bucket_fill(&l->sign, &l->sign_rate, c->clock.mono(c->clock.ctx));
	local_crls_open(l);
	*ret = l;
	return RF_OK;
}

void rf_local_free(struct rf_local *l)
{
	if (!l)
		return;
	local_crls_close(l);
	local_responder_close(l);
	free(l);
}
