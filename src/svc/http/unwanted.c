/* svc/http/unwanted: head, or heads where interim ones come first -> body, unframed and forgotten, no more than MOST of it. */
#include "svc/http/unwanted.h"

enum { MOST = 64 * 1024 };

void unwanted_start(struct unwanted *u)
{
	rf_arena_rewind(&u->arena);
	u->scan = (struct rf_http_scan){ 0 };
	u->begun = false;
}

void unwanted_fini(struct unwanted *u)
{
	rf_arena_fini(&u->arena);
}

/* May the connection be used after this answer? */
static bool goes_on(const struct rf_http_head *h)
{
	return h->keep_alive && h->status != 101 && h->body != RF_BODY_CLOSE && h->body != RF_BODY_TUNNEL;
}

static void lay(struct unwanted *u, struct rf_http_edge *e, const struct rf_http_head *h, struct rf_stream *from, struct rf_inbuf *in)
{
	rf_flow_init(&u->flow, from, in, NULL, e->bufs, &u->arena);
	rf_flow_body(&u->flow, h->body, h->content_length, &e->conf.heads);
	u->begun = true;
}

bool unwanted_go_on(struct unwanted *u, const struct request *q, struct rf_stream *from, struct rf_inbuf *in)
{
	struct rf_flow *f = &u->flow;
	unwanted_start(u);
	if (!q->origin_status)
		return true; /* its head is yet to come */
	if (!goes_on(&q->answer))
		return false;
	lay(u, q->conn->edge, &q->answer, from, in);
	if (q->answered) {
		f->left = q->fdown.left;
		f->in_done = q->fdown.in_done;
		f->chunked = q->fdown.chunked;
		f->chunked.ctx = f;
	}
	return f->left <= MOST;
}

static int read_head(struct unwanted *u, struct rf_http_edge *e, struct rf_stream *from, struct rf_inbuf *in, enum rf_http_method method)
{
	struct rf_http_head h = { 0 };
	u->arena.bound = e->conf.request_memory;
	while (h.status < 200) {
		int r = in->at == in->end ? RF_E_AGAIN
			: rf_http_parse_response(&u->scan, rf_inbuf_str(in), &e->conf.heads, &u->arena, method, &h);
		if (r == RF_E_AGAIN) {
			h.status = 0;
			ssize_t n = rf_inbuf_read(in, from, e->bufs);
			if (n < 0)
				return (int)n;
			continue;
		}
		if (r || h.status == 101)
			return r ? r : RF_E_INVALID;
		in->at += (uint32_t)h.size;
		u->scan = (struct rf_http_scan){ 0 };
	}
	if (!goes_on(&h))
		return RF_E_EOF;
	lay(u, e, &h, from, in);
	return RF_OK;
}

int unwanted_read(struct unwanted *u, struct rf_http_edge *e, struct rf_stream *from, struct rf_inbuf *in, enum rf_http_method method)
{
	struct rf_str some;
	int r = u->begun ? RF_OK : read_head(u, e, from, in, method);
	if (r)
		return r;
	while (!u->flow.in_done && r == RF_OK) {
		r = rf_flow_take(&u->flow, &some);
		if (u->flow.body > MOST)
			return RF_E_TOO_LARGE;
	}
	return u->flow.in_done ? RF_OK : r;
}
