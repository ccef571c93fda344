/* svc/http/flood: what the detection of floods is told of a request (shield/feed).
 *
 *   before it is judged: counted at its host; one of so many becomes a sample of its head and of what is there of its body
 *   when it is over: its status and bytes
 *
 * Nothing is waited for: of a body only what has come with the head is looked at, without its chunks; the rest is told to be late.
 */
#include <stdio.h>
#include "svc/http/conn.h"

/* A header that stands once; one that stands several times cannot be compared. */
static void put_header(struct rf_sample *s, enum rf_piece p, const struct rf_http_head *h, enum rf_http_header_id id)
{
	const struct rf_http_header *one = rf_http_header(h, id);
	rf_sample_put(s, p, one ? one->value : RF_STR(""));
	if (one && rf_http_header_next(h, one))
		s->cut |= (uint16_t)(1u << p);
}

static void put_names(struct rf_sample *s, const struct rf_http_head *h)
{
	for (uint16_t i = 0; i < h->count; i++)
		rf_sample_more(s, RF_PIECE_NAMES, h->headers[i].id == RF_HDR_OTHER ? h->headers[i].name :
			rf_http_header_name((enum rf_http_header_id)h->headers[i].id));
}

enum { START = 48 }; /* bytes of a body that are looked at */

/* What is there of the data of a chunked body: its first bytes, and its size where it is whole. What breaks the coding is refused later. */
static struct rf_str unchunked(struct rf_sample *s, const struct rf_http_conn *c, char start[START])
{
	struct rf_str in = rf_inbuf_str(&c->client.in), data;
	struct rf_chunked k;
	char size[24];
	size_t n = 0;
	int r;
	rf_chunked_init(&k, &c->edge->conf.heads);
	while ((r = rf_chunked_feed(&k, &in, &data)) == RF_OK) {
		size_t more = data.n < START - n ? data.n : START - n;
		memcpy(start + n, data.p, more);
		n += more;
	}
	if (r == RF_E_EOF)
		rf_sample_put(s, RF_PIECE_WHOLE, (struct rf_str){ size, (size_t)snprintf(size, sizeof size, "%llu", (unsigned long long)k.data) });
	else
		rf_sample_late(s, RF_PIECE_WHOLE);
	return (struct rf_str){ start, n };
}

/* Rules see a body without its coding, as nothing does here. */
static void put_body(struct rf_sample *s, const struct rf_http_conn *c)
{
	const struct rf_http_head *h = &c->req->head;
	char start[START];
	struct rf_str there = { NULL, 0 };
	uint64_t wanted = h->body == RF_BODY_LENGTH ? h->content_length : 0;
	if (h->body == RF_BODY_CHUNKED) {
		there = unchunked(s, c, start);
		wanted = s->late >> RF_PIECE_WHOLE & 1 ? START : there.n;
	} else if (wanted) {
		there = rf_inbuf_str(&c->client.in);
	}
	wanted = wanted > START ? START : wanted;
	if (there.n < wanted || rf_http_header(h, RF_HDR_CONTENT_ENCODING))
		rf_sample_late(s, RF_PIECE_BODY);
	else
		rf_sample_put(s, RF_PIECE_BODY, (struct rf_str){ there.p, wanted });
}

static void fill(struct rf_sample *s, struct rf_http_conn *c)
{
	const struct rf_tls_info *info = rf_client_tls(&c->client);
	const struct request *q = c->req;
	const struct rf_http_head *h = &q->head;
	s->src = c->client.src;
	s->known = c->client.device && info && info->verified;
	if (c->client.device)
		memcpy(s->device, rf_device_id(c->client.device), sizeof s->device);
	rf_sample_put(s, RF_PIECE_METHOD, h->method_s);
	rf_sample_put(s, RF_PIECE_PATH, q->path);
	rf_sample_put(s, RF_PIECE_QUERY, q->query);
	put_names(s, h);
	put_header(s, RF_PIECE_COOKIE, h, RF_HDR_COOKIE);
	put_header(s, RF_PIECE_AGENT, h, RF_HDR_USER_AGENT);
	put_header(s, RF_PIECE_TYPE, h, RF_HDR_CONTENT_TYPE);
	put_header(s, RF_PIECE_LENGTH, h, RF_HDR_CONTENT_LENGTH);
	put_header(s, RF_PIECE_CONNECTION, h, RF_HDR_CONNECTION);
	put_body(s, c);
	rf_sample_put(s, RF_PIECE_PRINT, info ? rf_tls_ja4(&c->client.stream) : RF_STR(""));
	rf_sample_put(s, RF_PIECE_VERSION, h->minor ? RF_STR("HTTP/1.1") : RF_STR("HTTP/1.0"));
}

void flood_see(struct rf_http_conn *c)
{
	struct rf_feed *f = c->edge->feed;
	struct request *q = c->req;
	if (!f || !q->at_host || !(q->fed = rf_feed_host(f, q->at_host->node.hash, q->at_host->node.key)))
		return;
	uint32_t weight = rf_feed_count(f, q->fed, conn_now(c), &c->client.src);
	struct rf_sample *s = weight ? rf_feed_slot(f, q->fed, weight) : NULL;
	if (!s)
		return;
	fill(s, c);
	rf_feed_give(f);
}

static int class_of(int status) { return status >= 100 && status < 600 ? status / 100 : 0; }

void flood_end(struct rf_http_conn *c, const struct rf_record *r)
{
	struct request *q = c->req;
	if (!q->fed)
		return;
	rf_feed_add(&q->fed->bytes_in, r->bytes_in);
	rf_feed_add(&q->fed->bytes_out, r->bytes_out);
	int answered = q->origin_status ? q->origin_status : q->status >= 500 ? q->status : 0; /* what the origin fails at, we answer */
	rf_feed_add(&q->fed->answers[class_of(answered)], 1);
	rf_feed_add(&q->fed->status[class_of(q->status)], 1);
}
