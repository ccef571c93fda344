/* api/server: connections of the API.
 *
 *   HANDSHAKE -> HEAD -> BODY -> [AHEAD] -> WRITE -> HEAD (kept alive) or close
 *
 * HEAD: bytes gather in `in` until a head is complete. BODY: the rest gathers, decoded into `chunks` where it is
 * chunked; a large body is refused before it is received unless its sender may make the request. AHEAD: where it has rules in
 * it, their patterns are compiled on a thread (api/ahead). Then the API answers at once, and WRITE sends that. One timer
 * bounds each state.
 *
 * Invariants: memory for requests is bounded for each connection (rf_api_body_max) and over all
 * (RF_API_BUFFERED_MAX), also what is reserved for bodies that are announced; what a request or an answer took is let go
 * when it is over, not when its connection is; a head that the strict parser refuses ends the connection.
 *
 * Not here: what requests mean (api/api).
 */
#include "api/server.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "api/admit.h"
#include "api/ahead.h"
#include "base/arena.h"
#include "base/way.h"
#include "net/addr.h"
#include "net/listener.h"
#include "net/stream.h"
#include "records/counters.h"
#include "tls/tls.h"
#include "wire/http1_body.h"

#define TOO_LARGE "the body is larger than limits.api_body_bytes allows"

enum state { HANDSHAKE, HEAD, BODY, AHEAD, WRITE };
enum { READ_SIZE = 16384, READ_BODY = 131072, ARENA_MAX = 65536, KEPT = 131072 };

static const uint64_t state_ns[] = {
	[HANDSHAKE] = 10 * RF_NS_S, [HEAD] = 60 * RF_NS_S, [BODY] = 60 * RF_NS_S, [AHEAD] = 600 * RF_NS_S, [WRITE] = 60 * RF_NS_S,
};

struct conn {
	struct rf_stream stream;
	struct rf_timer timer;
	struct rf_node node;
	struct rf_api_server *server;
	enum state state;
	char local[48];          /* "" : not a local administrator */
	struct rf_ip src;
	struct rf_buf in;        /* the request, from its first byte */
	struct rf_buf chunks;    /* its body, where it comes in chunks */
	struct rf_http_scan scan;
	struct rf_http_head head; /* slices point into `in` and are good only until more is read */
	struct rf_arena arena;
	struct rf_chunked chunked;
	size_t bound;            /* bytes that its body may have */
	size_t decoded;          /* bytes of `in` that `chunked` has used, head included */
	size_t whole;            /* bytes of `in` that are the request */
	size_t reserved;         /* bytes of `in` that its body was promised, before they came */
	struct rf_ahead_job *ahead;
	uint64_t busy_ns;        /* the server's, when its state began */
	bool told_to_go_on, keep;
	struct rf_buf out;
	size_t sent;
};

struct listener {
	struct rf_listener l;
	struct rf_api_server *server;
	enum rf_api_listen kind;
};

struct rf_api_server {
	struct rf_api_server_conf conf;
	struct rf_ahead *ahead;  /* NULL: it goes without */
	struct listener listeners[RF_API_LISTENERS];
	size_t listener_count, conn_count, buffered, reserved;
	uint64_t busy_ns;        /* spent in answering, in which nobody can be read from */
	struct rf_node conns;
	struct rf_api_server_stats stats;
};

static void conn_free(struct conn *c)
{
	struct rf_api_server *s = c->server;
	rf_timer_stop(s->conf.loop, &c->timer);
	rf_ahead_end(c->ahead);
	rf_stream_close(&c->stream);
	rf_list_del(&c->node);
	s->conn_count--;
	s->buffered -= c->in.n + c->chunks.n;
	s->reserved -= c->reserved;
	rf_buf_fini(&c->in);
	rf_buf_fini(&c->chunks);
	rf_buf_fini(&c->out);
	rf_arena_fini(&c->arena);
	free(c);
}

/* The clock is read anew: this turn began before an answer that may have taken long. */
static void enter(struct conn *c, enum state state)
{
	c->state = state;
	c->busy_ns = c->server->busy_ns;
	uint64_t most = state == BODY && c->server->conf.body_ns ? c->server->conf.body_ns : state_ns[state];
	rf_timer_set(c->server->conf.loop, &c->timer, rf_loop_mono(c->server->conf.loop) + most);
}

static void queue_answer(struct conn *c, const struct rf_api_answer *a, bool head_only)
{
	bool empty = a->status == 204 || a->status == 304;
	c->keep = c->keep && a->status != 413;
	rf_buf_printf(&c->out, "HTTP/1.1 %d %s\r\nServer: ringfence\r\nCache-Control: no-store\r\n"
			       "X-Content-Type-Options: nosniff\r\n", a->status, rf_status_words(a->status));
	rf_buf_add(&c->out, rf_buf_str(&a->headers));
	if (a->content_type)
		rf_buf_printf(&c->out, "Content-Type: %s\r\n", a->content_type);
	if (!empty)
		rf_buf_printf(&c->out, "Content-Length: %zu\r\n", a->body.n);
	rf_buf_printf(&c->out, "%s\r\n", c->keep ? "" : "Connection: close\r\n");
	if (!empty && !head_only)
		rf_buf_add(&c->out, rf_buf_str(&a->body));
	enter(c, WRITE);
}

/* An answer without the API: to what cannot be understood, or not be taken. */
static void refuse(struct conn *c, int status, const char *why)
{
	struct rf_api_answer a = { .status = status, .content_type = "application/json" };
	c->keep = false;
	c->server->stats.bad++;
	rf_buf_printf(&a.body, "{\"success\":false,\"errors\":[{\"code\":6003,\"message\":\"%s\"}],\"messages\":[],"
			       "\"result\":null}", why);
	queue_answer(c, &a, false);
	rf_api_answer_fini(&a);
}

static struct rf_str header(const struct conn *c, const char *name)
{
	for (size_t i = 0; i < c->head.count; i++)
		if (rf_str_ieq(c->head.headers[i].name, rf_str_z(name)))
			return c->head.headers[i].value;
	return RF_STR("");
}

static void make_request(const struct conn *c, struct rf_str body, struct rf_api_request *q)
{
	*q = (struct rf_api_request){
		.method = c->head.method, .target = c->head.target, .body = body,
		.authorization = header(c, "authorization"), .auth_email = header(c, "x-auth-email"),
		.auth_key = header(c, "x-auth-key"), .if_match = header(c, "if-match"),
		.if_none_match = header(c, "if-none-match"), .content_type = header(c, "content-type"),
		.prefer = header(c, "prefer"),
		.local = c->local[0] ? c->local : NULL, .src = c->src,
	};
}

/* The head again over the whole request: the buffer may have moved since it was parsed first. */
static bool parse_head(struct conn *c)
{
	struct rf_http_scan scan = { 0 };
	rf_arena_reset(&c->arena);
	return rf_http_parse_request(&scan, rf_buf_str(&c->in), &rf_http_limits_default, &c->arena, &c->head) == RF_OK;
}

static void answer(struct conn *c, struct rf_str body)
{
	struct rf_api_request q;
	struct rf_api_answer a;
	make_request(c, body, &q);
	c->server->stats.requests++;
	uint64_t began = rf_loop_mono(c->server->conf.loop);
	rf_api_handle(c->server->conf.api, &q, &a);
	c->server->busy_ns += rf_loop_mono(c->server->conf.loop) - began;
	queue_answer(c, &a, c->head.method == RF_HTTP_HEAD);
	rf_api_answer_fini(&a);
}

/* What a buffer has, in one that is no larger than need be. */
static void let_go(struct rf_buf *b)
{
	struct rf_buf rest = { 0 };
	if (b->cap <= KEPT)
		return;
	rf_buf_add(&rest, rf_buf_str(b));
	rf_buf_fini(b);
	*b = rest;
}

/* The request is over: forget it and keep what came behind it. */
static void next_request(struct conn *c, size_t used)
{
	c->server->buffered -= used + c->chunks.n;
	c->server->reserved -= c->reserved;
	c->reserved = 0;
	rf_buf_eat(&c->in, used);
	let_go(&c->in);
	rf_buf_fini(&c->chunks);
	rf_arena_reset(&c->arena);
	c->scan = (struct rf_http_scan){ 0 };
	c->decoded = 0;
	c->told_to_go_on = false;
}

/* Before a large body: would the request be allowed? */
static bool admitted(struct conn *c)
{
	struct rf_api_request q;
	struct rf_api_answer a;
	make_request(c, RF_STR(""), &q);
	if (rf_api_admit(c->server->conf.api, &q, &a) == RF_OK)
		return true;
	c->keep = false;
	queue_answer(c, &a, false);
	rf_api_answer_fini(&a);
	return false;
}

/* Room for all of a large body, so that it is never moved. Of what is reserved the kernel gives a page when it is first written
 * to: a client that announces much and sends nothing costs addresses. Where many do, bodies get room as they come. */
static void reserve(struct conn *c, size_t length)
{
	struct rf_api_server *s = c->server;
	size_t whole = c->head.size + length;
	if (length <= RF_API_EARLY_BODY || whole <= c->in.n || length > RF_API_BUFFERED_MAX - s->reserved)
		return;
	c->reserved = length;
	s->reserved += length;
	rf_buf_room(&c->in, whole - c->in.n);
}

static int on_head(struct conn *c)
{
	int rc = rf_http_parse_request(&c->scan, rf_buf_str(&c->in), &rf_http_limits_default, &c->arena, &c->head);
	if (rc == RF_E_AGAIN)
		return rc;
	if (rc != RF_OK) {
		refuse(c, rf_http_reject_status((enum rf_http_reject)c->scan.reject),
		       rf_http_reject_sentence((enum rf_http_reject)c->scan.reject));
		return RF_OK;
	}
	c->keep = c->head.keep_alive;
	bool length = c->head.body == RF_BODY_LENGTH;
	c->bound = rf_api_body_bound(c->server->conf.api, c->head.method, c->head.target);
	if (length && c->head.content_length > c->bound) {
		refuse(c, 413, TOO_LARGE);
		return RF_OK;
	}
	if ((!length && c->head.body == RF_BODY_CHUNKED) || (length && c->head.content_length > RF_API_EARLY_BODY))
		if (!admitted(c))
			return RF_OK;
	if (length)
		reserve(c, (size_t)c->head.content_length);
	c->decoded = c->head.size;
	rf_chunked_init(&c->chunked, &rf_http_limits_default);
	if (c->head.expect_continue && c->head.body != RF_BODY_NONE && !c->told_to_go_on) {
		rf_buf_add(&c->out, RF_STR("HTTP/1.1 100 Continue\r\n\r\n"));
		c->told_to_go_on = true;
	}
	enter(c, BODY);
	return RF_OK;
}

/* The request is whole. */
static int finish(struct conn *c)
{
	bool chunked = c->head.body == RF_BODY_CHUNKED;
	if (!parse_head(c)) {
		refuse(c, 503, "memory is exhausted");
		return RF_OK;
	}
	answer(c, chunked ? rf_buf_str(&c->chunks) : (struct rf_str){ c->in.p + c->head.size, c->whole - c->head.size });
	rf_ahead_end(c->ahead);
	c->ahead = NULL;
	next_request(c, c->whole);
	return RF_OK;
}

static void on_event(struct rf_stream *stream);

static void on_ahead(void *arg)
{
	struct conn *c = arg;
	finish(c);
	on_event(&c->stream);
}

/* The body is there, and its request takes so many bytes of `in`. */
static int on_whole(struct conn *c, size_t whole)
{
	bool chunked = c->head.body == RF_BODY_CHUNKED;
	size_t size = c->head.size, n = chunked ? c->chunks.n : whole - size;
	c->whole = whole;
	if (n >= RF_AHEAD_LEAST && n <= rf_api_body_max(c->server->conf.api) && parse_head(c)) {
		if (!admitted(c)) {
			next_request(c, whole);
			return RF_OK;
		}
		c->ahead = rf_ahead_begin(c->server->ahead, chunked ? rf_buf_str(&c->chunks) : (struct rf_str){ c->in.p + size, n }, on_ahead, c);
	}
	if (!c->ahead)
		return finish(c);
	enter(c, AHEAD);
	return RF_E_AGAIN;
}

static int on_chunks(struct conn *c)
{
	struct rf_str in = rf_str_skip(rf_buf_str(&c->in), c->decoded), data;
	int rc;
	while ((rc = rf_chunked_feed(&c->chunked, &in, &data)) == RF_OK) {
		rf_buf_add(&c->chunks, data);
		c->server->buffered += data.n;
		if (c->chunks.n > c->bound || c->chunks.bad)
			break;
	}
	c->decoded = c->in.n - in.n;
	if (rc == RF_E_AGAIN)
		return rc;
	if (rc != RF_E_EOF) {
		refuse(c, rc == RF_OK ? 413 : 400, rc == RF_OK ? TOO_LARGE : "the chunks are malformed");
		return RF_OK;
	}
	return on_whole(c, c->decoded);
}

static int on_body(struct conn *c)
{
	if (c->head.body == RF_BODY_CHUNKED)
		return on_chunks(c);
	size_t length = c->head.body == RF_BODY_LENGTH ? (size_t)c->head.content_length : 0, size = c->head.size;
	return c->in.n - size < length ? RF_E_AGAIN : on_whole(c, size + length);
}

/* How much to read at once. Of a body whose length is known, no more than is left of it. */
static size_t piece(const struct conn *c)
{
	if (c->state != BODY || c->in.n < READ_SIZE)
		return READ_SIZE;
	size_t whole = c->head.body == RF_BODY_LENGTH ? c->head.size + (size_t)c->head.content_length : SIZE_MAX;
	return whole - c->in.n < READ_BODY ? whole - c->in.n : READ_BODY;
}

/* RF_OK when bytes came. */
static int fill(struct conn *c)
{
	struct rf_api_server *s = c->server;
	rf_way_look();
	size_t body = c->state == BODY ? c->bound : rf_api_body_max(s->conf.api), most = body + 2 * RF_API_EARLY_BODY + (c->state == BODY ? body : 0);
	if (c->in.n >= most || s->buffered >= RF_API_BUFFERED_MAX + body) {
		rf_count(RF_C_LIMIT_API_BODY);
		refuse(c, c->in.n >= most ? 413 : 503, "too much is being received");
		return RF_OK;
	}
	size_t want = piece(c);
	char *room = rf_buf_room(&c->in, want);
	if (!room)
		return RF_E_NOMEM;
	ssize_t n = rf_stream_read(&c->stream, room, want);
	if (n <= 0)
		return n ? (int)n : RF_E_EOF;
	c->in.n += (size_t)n;
	s->buffered += (size_t)n;
	return RF_OK;
}

static int flush(struct conn *c)
{
	while (c->sent < c->out.n) {
		struct iovec v = { c->out.p + c->sent, c->out.n - c->sent };
		ssize_t n = rf_stream_write(&c->stream, &v, 1);
		if (n <= 0)
			return n ? (int)n : RF_E_IO;
		c->sent += (size_t)n;
	}
	rf_buf_clear(&c->out);
	let_go(&c->out);
	c->sent = 0;
	return RF_OK;
}

static int on_write(struct conn *c)
{
	if (c->out.bad)
		return RF_E_NOMEM;
	int rc = flush(c);
	if (rc != RF_OK)
		return rc;
	if (c->keep) {
		enter(c, HEAD);
		return RF_OK;
	}
	rf_stream_shutdown(&c->stream);
	return RF_E_EOF;
}

/* One step; RF_E_AGAIN: wait for an event; another error: the connection is over. */
static int step(struct conn *c)
{
	int rc;
	switch (c->state) {
	case HANDSHAKE:
		rc = rf_stream_handshake(&c->stream);
		if (rc == RF_OK)
			enter(c, HEAD);
		return rc;
	case HEAD:
	case BODY:
		rc = c->in.n ? (c->state == HEAD ? on_head(c) : on_body(c)) : RF_E_AGAIN;
		if (rc == RF_OK || c->state == AHEAD)
			return rc;
		if (c->out.n && (rc = flush(c)) != RF_OK && rc != RF_E_AGAIN)
			return rc;
		return fill(c);
	case AHEAD:
		return RF_E_AGAIN;
	case WRITE:
		return on_write(c);
	}
	return RF_E_INTERNAL;
}

static void on_event(struct rf_stream *stream)
{
	struct conn *c = RF_CONTAINER(stream, struct conn, stream);
	int rc;
	while ((rc = step(c)) == RF_OK)
		;
	if (rc != RF_E_AGAIN)
		conn_free(c);
}

/* The time of a state is what its client has: what the server was busy with others does not count. */
static void on_timeout(struct rf_timer *t)
{
	struct conn *c = RF_CONTAINER(t, struct conn, timer);
	struct rf_api_server *s = c->server;
	uint64_t owed = s->busy_ns - c->busy_ns;
	c->busy_ns = s->busy_ns;
	if (owed)
		rf_timer_set(s->conf.loop, t, rf_loop_mono(s->conf.loop) + owed);
	else
		conn_free(c);
}

static bool in_group(int fd, const struct ucred *peer, gid_t group)
{
	gid_t groups[256];
	socklen_t size = sizeof groups;
	if (group == (gid_t)-1)
		return false;
	if (peer->gid == group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0)
		return false;
	for (size_t i = 0; i < size / sizeof *groups; i++)
		if (groups[i] == group)
			return true;
	return false;
}

static void know_local(struct conn *c, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof peer;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
		return;
	if (peer.uid == 0 || peer.uid == geteuid() || in_group(fd, &peer, c->server->conf.admin_gid))
		snprintf(c->local, sizeof c->local, "local:uid=%u", (unsigned)peer.uid);
}

static void on_accept(struct rf_listener *l, int fd, const struct rf_addr *peer)
{
	struct listener *own = RF_CONTAINER(l, struct listener, l);
	struct rf_api_server *s = own->server;
	unsigned most = s->conf.connections ? s->conf.connections : RF_API_CONNECTIONS;
	struct conn *c = s->conn_count < most ? calloc(1, sizeof *c) : NULL;
	if (!c) {
		rf_count(RF_C_LIMIT_API_CONNECTIONS);
		s->stats.refused++;
		close(fd);
		return;
	}
	c->server = s;
	c->timer.fire = on_timeout;
	c->src = rf_addr_ip(peer);
	rf_arena_init(&c->arena, ARENA_MAX);
	rf_list_push(&s->conns, &c->node);
	s->conn_count++;
	s->stats.connections++;
	if (own->kind == RF_API_UNIX)
		know_local(c, fd);
	int rc = rf_stream_accept(&c->stream, s->conf.loop, fd, on_event);
	if (rc == RF_OK && own->kind == RF_API_TLS)
		rc = rf_tls_accept(s->conf.tls, &c->stream, 0);
	enter(c, HANDSHAKE);
	if (rc != RF_OK) {
		s->stats.refused++;
		conn_free(c);
	}
}

struct rf_api_server *rf_api_server_new(const struct rf_api_server_conf *conf, struct rf_err *e)
{
	struct rf_api_server *s = calloc(1, sizeof *s);
	if (!s) {
		rf_fail(e, RF_E_NOMEM, "memory is exhausted");
		return NULL;
	}
	s->conf = *conf;
	s->ahead = rf_ahead_new(conf->loop);
	rf_list_init(&s->conns);
	return s;
}

int rf_api_server_listen(struct rf_api_server *s, int fd, enum rf_api_listen kind, struct rf_err *e)
{
	size_t i = 0;
	while (i < s->listener_count && s->listeners[i].l.io.fd >= 0)
		i++;
	if (i == RF_API_LISTENERS || (kind == RF_API_TLS && !s->conf.tls)) {
		close(fd);
		return rf_fail(e, RF_E_FULL, "the API cannot take this listener");
	}
	struct listener *l = &s->listeners[i];
	l->server = s;
	l->kind = kind;
	int rc = rf_listener_adopt(&l->l, s->conf.loop, fd, on_accept);
	if (rc != RF_OK)
		return rf_fail(e, rc, "the API cannot listen: %s", rf_code_sentence(rc));
	s->listener_count += i == s->listener_count;
	return RF_OK;
}

void rf_api_server_close(struct rf_api_server *s, int fd)
{
	for (size_t i = 0; i < s->listener_count; i++)
		if (fd >= 0 && s->listeners[i].l.io.fd == fd) {
			rf_listener_close(&s->listeners[i].l);
			return;
		}
}

void rf_api_server_free(struct rf_api_server *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->listener_count; i++)
		rf_listener_close(&s->listeners[i].l);
	RF_LIST_EACH(n, &s->conns)
		conn_free(RF_CONTAINER(n, struct conn, node));
	rf_ahead_free(s->ahead);
	free(s);
}

void rf_api_server_stats(const struct rf_api_server *s, struct rf_api_server_stats *ret)
{
	*ret = s->stats;
}
