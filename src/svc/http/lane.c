/* svc/http/lane: several requests on one connection.
 *
 *   join: a seat at the end of a lane ─► end of the loop's turn: the heads of those that wait are laid behind each other and written
 *     at once ─► first seat: the connection is lent to its request, which relays its answer ─► done: the next seat
 *
 *        first       sent   laid        end
 *     ─────┬───┬───┬───┬──┬───┬───┬───┬──── seats by number
 *          │ sent      │ leaving  │ wait
 *
 * Gathering, as Nagle's algorithm does it: while answers are outstanding, those that come wait for the last of them, for as
 * many as may be under way, or for HOLD_NS; on a quiet lane they go at the end of the turn.
 *
 * When the one in front takes longer than TURN_NS, those behind it leave: what was not sent goes another way, what was sent is
 * repeated there, alone, and the connection ends with the one in front. An origin that was the reason gets no lanes for a while, the longer
 * the more often it is, nor does one whose framing is broken. A client that was the reason gets into no lane again.
 *
 * Invariants: bytes from the origin are the answer to the first seat, whose head has left completely, or the lane ends. A seat
 * whose request has gone keeps its place until its answer was read away. A lane that nobody waits in is given back to the pool, or
 * closed where an answer is outstanding.
 */
#include "svc/http/lane.h"
#include <stdlib.h>
#include "svc/http/unwanted.h"

enum {
	SEATS = 2 * RF_LANE_MOST, /* of a lane: those under way, and as many that wait */
	HEAD_MOST = 4096,         /* a larger head goes alone */
	OUT_KEPT = 64 * 1024,     /* memory that a free lane keeps */
	FREE_LANES = 16, SETS_SWEPT = 64, TRIED = 4,
	SLOW_MOST = 8, GOOD = 1000, /* doublings; answers after which it is trusted as at first */
	ROOM = 4096,              /* for a head, behind the answers before it */
};
#define GATHERED_NS (50 * RF_NS_US) /* that pass between turns under load: more heads leave at once, more answers come */
#define HOLD_NS RF_NS_MS
#define TURN_NS (20 * RF_NS_MS)
#define SLOW_NS (100 * RF_NS_MS) /* and twice as long each time */
#define MALFORMED_NS (60 * RF_NS_S)

struct lane_set { /* of one endpoint */
	struct rf_map_node node; /* by the address of `live` */
	struct rf_origin_live *live;
	struct rf_node lanes;    /* those that take more */
	unsigned count;          /* of all */
	uint64_t off_until;
	unsigned slow, good;     /* times that it was the reason to wait, answers since */
};

struct seat {
	struct request *q; /* NULL: it has gone */
	uint64_t until;    /* byte of the lane at which its head ends, once it is laid */
	enum rf_http_method method;
};

struct lane {
	struct rf_node node;     /* of its set, or of the edge's free ones */
	struct rf_http_edge *edge;
	struct lane_set *set;
	struct rf_upstream *up;
	struct rf_inbuf in;      /* what came behind the answers that are over, while nobody has it lent */
	struct rf_task task;     /* at the end of a turn */
	struct rf_timer timer;   /* set while somebody waits behind somebody */
	struct rf_buf out;       /* heads that were laid */
	size_t out_at;
	uint64_t laid_bytes, sent_bytes;
	struct seat seats[SEATS];
	uint64_t first, sent, laid, end;
	unsigned alive, depth;   /* seats whose request is there; most that may be under way */
	uint64_t since, held_since; /* the first seat has its turn; the first of those that wait has joined */
	bool running;            /* inside of an event: settled when that is over */
	bool ended;
	bool dirty;              /* answers will come that nobody waits for: nothing more is sent */
	struct unwanted unwanted; /* the answer in front, where its request has gone */
};

static struct seat *seat(struct lane *l, uint64_t n)
{
	return &l->seats[n % SEATS];
}

static struct request *in_front(struct lane *l)
{
	return l->first != l->sent ? seat(l, l->first)->q : NULL;
}

static uint64_t now_of(const struct lane *l)
{
	return rf_loop_now(l->edge->loop);
}

static void on_event(struct rf_upstream *u);
static void on_turn(struct rf_task *t);
static void on_time(struct rf_timer *t);

/* --- sets and lanes --- */

static void set_free(struct rf_http_edge *e, struct lane_set *s)
{
	rf_map_del(&e->lane_sets, &s->node);
	rf_origin_live_put(s->live);
	free(s);
}

static void sweep(struct rf_http_edge *e)
{
	struct rf_map_node *next;
	for (struct rf_map_node *n = rf_map_next(&e->lane_sets, NULL); n; n = next) {
		struct lane_set *s = RF_CONTAINER(n, struct lane_set, node);
		next = rf_map_next(&e->lane_sets, n);
		if (!s->count && s->off_until <= rf_loop_now(e->loop))
			set_free(e, s);
	}
}

static struct lane_set *set_of(struct rf_http_edge *e, const struct rf_origin *o)
{
	struct rf_map_node *n = rf_map_find(&e->lane_sets, (struct rf_str){ (const char *)&o->live, sizeof o->live });
	if (n)
		return RF_CONTAINER(n, struct lane_set, node);
	if (e->lane_sets.count >= SETS_SWEPT)
		sweep(e);
	struct lane_set *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->live = rf_origin_live_get(o->live);
	rf_list_init(&s->lanes);
	rf_map_add(&e->lane_sets, &s->node, (struct rf_str){ (const char *)&s->live, sizeof s->live });
	return s;
}

static void lane_destroy(struct lane *l)
{
	rf_buf_fini(&l->out);
	unwanted_fini(&l->unwanted);
	free(l);
}

static void lane_free(struct lane *l)
{
	struct rf_http_edge *e = l->edge;
	rf_list_del(&l->node);
	rf_task_cancel(&l->task);
	rf_timer_stop(e->loop, &l->timer);
	rf_inbuf_drop(&l->in, e->bufs);
	l->set->count--;
	if (--e->lanes == 0)
		rf_loop_gather(e->loop, 0);
	l->up = NULL;
	unwanted_start(&l->unwanted);
	if (e->free_lane_count >= FREE_LANES || l->out.cap > OUT_KEPT) {
		lane_destroy(l);
		return;
	}
	rf_list_push_front(&e->free_lanes, &l->node);
	e->free_lane_count++;
}

static struct lane *lane_new(struct rf_http_edge *e, struct lane_set *s, const struct rf_origin *o)
{
	struct rf_node *n = rf_list_first(&e->free_lanes);
	struct lane *l = n ? RF_CONTAINER(n, struct lane, node) : calloc(1, sizeof *l);
	if (!l)
		return NULL;
	if (n) {
		rf_list_del(n);
		e->free_lane_count--;
	}
	rf_buf_clear(&l->out);
	l->edge = e;
	l->set = s;
	l->task.run = on_turn;
	l->timer.fire = on_time;
	l->out_at = 0;
	l->laid_bytes = l->sent_bytes = 0;
	l->first = l->sent = l->laid = l->end = 0;
	l->ended = l->dirty = false;
	s->count++;
	e->lanes++;
	rf_loop_gather(e->loop, GATHERED_NS);
	if (rf_pool_take(e->pool, o, false, on_event, l, &l->up)) {
		lane_free(l);
		return NULL;
	}
	rf_list_push_front(&s->lanes, &l->node);
	return l;
}

/* At the end of whatever touched the lane: it is freed where it is over. */
static void settle(struct lane *l)
{
	if (l->running || (!l->ended && l->alive))
		return;
	bool quiet = l->first == l->laid && l->out_at == l->out.n && l->in.at == l->in.end;
	struct rf_upstream *up = l->up;
	bool keep = !l->ended && !l->dirty && quiet;
	lane_free(l);
	rf_pool_give(up, keep);
}

static void stop_for(struct lane *l, uint64_t ns, enum rf_counter why)
{
	uint64_t until = now_of(l) + ns;
	if (until > l->set->off_until)
		l->set->off_until = until;
	rf_count(why);
}

static void origin_slow(struct lane *l)
{
	struct lane_set *s = l->set;
	if (s->off_until > now_of(l))
		return;
	stop_for(l, SLOW_NS << s->slow, RF_C_ORIGIN_LANES_SLOW);
	s->slow += s->slow < SLOW_MOST;
	s->good = 0;
}

/* --- seats --- */

static void stand_up(struct lane *l, uint64_t n)
{
	struct request *q = seat(l, n)->q;
	seat(l, n)->q = NULL;
	q->lane = NULL;
	q->up = NULL;
	q->alone = true;
	if (--l->alive)
		atomic_fetch_sub_explicit(&l->set->live->load, 1, memory_order_relaxed);
}

/* It goes another way, where it is repeated if it was sent. */
static void move(struct lane *l, uint64_t n)
{
	struct request *q = seat(l, n)->q;
	if (!q)
		return;
	if (q->fup.wrote) {
		rf_count(RF_C_ORIGIN_REPEATS);
		q->attempts--;
	}
	stand_up(l, n);
	rf_client_later(&q->conn->client);
}

/* Nobody sits from seat n on, and nobody joins any more. */
static void clear_from(struct lane *l, uint64_t n)
{
	l->dirty |= l->laid != n;
	for (uint64_t i = n; i < l->end; i++)
		move(l, i);
	l->sent = l->sent > n ? n : l->sent;
	l->laid = l->laid > n ? n : l->laid;
	l->end = n;
	rf_list_del(&l->node);
}

static void end(struct lane *l)
{
	if (!l->ended)
		clear_from(l, l->first);
	l->ended = true;
}

/* The first seat has its turn. */
static void lend(struct lane *l)
{
	struct request *q = in_front(l);
	l->since = now_of(l);
	if (!q)
		return;
	q->up = l->up;
	q->oin = l->in;
	l->in = (struct rf_inbuf){ 0 };
	q->oscan = (struct rf_http_scan){ 0 };
	relay_begins(q->conn);
}

/* The next answer has room for its head. */
static void make_room(struct rf_inbuf *in)
{
	if (!in->at || in->cap - in->end >= ROOM)
		return;
	memmove(in->p, in->p + in->at, in->end - in->at);
	in->end -= in->at;
	in->at = 0;
}

/* The answer in front is over. */
static void next_seat(struct lane *l)
{
	l->first++;
	l->up->reused = true;
	if (++l->set->good == GOOD)
		l->set->slow = 0;
	unwanted_start(&l->unwanted);
	if (l->first != l->sent) {
		make_room(&l->in);
		lend(l);
		return;
	}
	bool excess = l->in.at < l->in.end; /* [RFC 9112 9.2] */
	rf_inbuf_drop(&l->in, l->edge->bufs);
	if (excess && !l->dirty)
		stop_for(l, MALFORMED_NS, RF_C_ORIGIN_LANES_MALFORMED);
	if (excess || l->dirty)
		end(l);
}

/* --- to the origin --- */

/* Those that went while they waited leave no gap. */
static void close_ranks(struct lane *l)
{
	uint64_t to = l->laid;
	for (uint64_t i = l->laid; i < l->end; i++) {
		struct seat s = *seat(l, i);
		if (!s.q)
			continue;
		s.q->seat = to;
		*seat(l, to++) = s;
	}
	l->end = to;
}

static bool lay(struct lane *l, struct seat *s)
{
	struct request *q = s->q;
	size_t n = q->out_line.n + q->out_rest.n;
	rf_buf_add(&l->out, q->out_line);
	rf_buf_add(&l->out, q->out_rest);
	if (l->out.bad)
		return false;
	l->laid_bytes += n;
	s->until = l->laid_bytes;
	q->fup.wrote = n;
	q->fup.done = q->fup.ended = true;
	q->sent_at = now_of(l);
	q->attempts++;
	return true;
}

static int write_out(struct lane *l)
{
	while (l->out_at < l->out.n) {
		struct iovec v = { l->out.p + l->out_at, l->out.n - l->out_at };
		ssize_t r = rf_stream_write(&l->up->stream, &v, 1);
		if (r < 0)
			return (int)r;
		l->out_at += (size_t)r;
		l->sent_bytes += (uint64_t)r;
	}
	l->out_at = 0;
	rf_buf_clear(&l->out);
	return RF_OK;
}

/* Has the one in front had its turn for too long? */
static bool late(const struct lane *l)
{
	return l->first < l->sent && now_of(l) >= l->since + TURN_NS;
}

static bool may_lay(const struct lane *l)
{
	return l->laid < l->end && l->laid - l->first < l->depth && l->out_at == l->out.n && !l->dirty && !late(l);
}

static bool due(const struct lane *l)
{
	return l->first == l->laid || l->end - l->laid >= l->depth || now_of(l) >= l->held_since + HOLD_NS;
}

static void arm(struct lane *l)
{
	uint64_t at = may_lay(l) ? l->held_since + HOLD_NS : l->since + TURN_NS;
	if (l->end - l->first > 1 && (!l->timer.node.at || at < l->timer.node.key))
		rf_timer_set(l->edge->loop, &l->timer, at);
}

/* Send what may go now. */
static void send_more(struct lane *l)
{
	if (l->ended)
		return;
	bool idle = l->first == l->sent;
	close_ranks(l);
	if (may_lay(l) && due(l)) {
		while (l->laid != l->end && l->laid - l->first < l->depth && lay(l, seat(l, l->laid)))
			l->laid++;
		l->held_since = now_of(l);
	}
	int r = l->out.bad ? RF_E_NOMEM : write_out(l);
	while (l->sent != l->laid && seat(l, l->sent)->until <= l->sent_bytes)
		l->sent++;
	if (idle && l->first != l->sent)
		lend(l);
	if (r && r != RF_E_AGAIN) { /* the answer to the one in front may be there all the same */
		if (l->first == l->sent)
			end(l);
		else
			clear_from(l, l->first + 1);
		l->dirty = true;
		return;
	}
	arm(l);
}

/* --- from the origin --- */

/* Nothing is outstanding: has the origin closed, or does it speak unasked? */
static bool unasked(struct lane *l)
{
	char c;
	ssize_t r = rf_stream_read(&l->up->stream, &c, 1);
	if (r > 0 && !l->dirty)
		stop_for(l, MALFORMED_NS, RF_C_ORIGIN_LANES_MALFORMED);
	return r != RF_E_AGAIN;
}

/* The first seats, as far as there are answers. */
static void take_answers(struct lane *l)
{
	while (!l->ended && l->first != l->sent) {
		uint64_t first = l->first;
		struct request *q = in_front(l);
		if (q) {
			conn_run(q->conn);
			if (!l->ended && l->first == first && in_front(l) == q)
				return;
			continue;
		}
		int r = unwanted_read(&l->unwanted, l->edge, &l->up->stream, &l->in, seat(l, first)->method);
		if (r == RF_E_AGAIN)
			return;
		if (r)
			end(l);
		else
			next_seat(l);
	}
	if (!l->ended && unasked(l))
		end(l);
}

/* --- events --- */

static void over(struct lane *l)
{
	l->running = false;
	if (!l->ended && may_lay(l) && due(l))
		rf_loop_defer(l->edge->loop, &l->task);
	settle(l);
}

/* False: not yet, or never; then each request finds out by itself what is wrong. */
static bool connected(struct lane *l)
{
	int r = rf_upstream_ready(l->up);
	if (r && r != RF_E_AGAIN) {
		end(l);
		settle(l);
	}
	return r == RF_OK;
}

static void on_event(struct rf_upstream *u)
{
	struct lane *l = u->arg;
	if (!connected(l))
		return;
	l->running = true;
	if (l->out_at < l->out.n)
		send_more(l);
	if (!l->ended)
		take_answers(l);
	over(l);
}

static void on_turn(struct rf_task *t)
{
	struct lane *l = RF_CONTAINER(t, struct lane, task);
	struct request *q = in_front(l);
	if (!connected(l))
		return;
	l->running = true;
	if (l->first != l->sent && (!q || q->oin.at < q->oin.end || l->up->stream.readable))
		take_answers(l);
	send_more(l);
	over(l);
}

static void on_time(struct rf_timer *t)
{
	struct lane *l = RF_CONTAINER(t, struct lane, timer);
	struct request *q = in_front(l);
	l->running = true;
	if (!late(l) || l->end - l->first < 2) {
		send_more(l);
	} else {
		if (q && q->answered && q->fdown.stuck)
			q->conn->slow = true;
		else
			origin_slow(l);
		if (q)
			clear_from(l, l->first + 1);
		else
			end(l);
	}
	over(l);
}

/* --- requests --- */

bool lane_takes(const struct rf_http_conn *c)
{
	const struct request *q = c->req;
	const struct rf_http_head *h = &q->head;
	return q->origin->spec.pipeline > 1 && !q->alone && !q->attempts && !c->slow &&
	       (h->method == RF_HTTP_GET || h->method == RF_HTTP_HEAD) && h->body == RF_BODY_NONE &&
	       h->upgrade == RF_UPGRADE_NONE && !h->expect_continue;
}

/* A lane that takes one more. Those that are full make way for others, one that is late takes none again; no more than TRIED are
 * looked at. */
static struct lane *with_room(struct rf_http_edge *e, const struct rf_origin *o)
{
	struct lane_set *s = set_of(e, o);
	if (!s || s->off_until > rf_loop_now(e->loop))
		return NULL;
	for (unsigned i = 0; i < TRIED && !rf_list_empty(&s->lanes); i++) {
		struct rf_node *n = rf_list_first(&s->lanes);
		struct lane *l = RF_CONTAINER(n, struct lane, node);
		bool slow = late(l);
		if (!slow && l->end - l->laid < l->depth)
			return l;
		rf_list_del(n);
		if (!slow)
			rf_list_push(&s->lanes, n);
	}
	return lane_new(e, s, o);
}

int lane_join(struct rf_http_conn *c)
{
	struct request *q = c->req;
	struct lane *l = with_room(c->edge, q->origin);
	if (!l)
		return RF_E_FULL;
	int r = headers_line(q, q->origin);
	if (r == RF_OK && q->out_line.n + q->out_rest.n > HEAD_MOST)
		r = RF_E_TOO_LARGE;
	if (r) {
		settle(l);
		return r;
	}
	l->depth = q->origin->spec.pipeline > RF_LANE_MOST ? RF_LANE_MOST : q->origin->spec.pipeline;
	if (l->end == l->laid)
		l->held_since = conn_now(c);
	q->lane = l;
	q->seat = l->end;
	q->ahead = l->end - l->first;
	*seat(l, l->end++) = (struct seat){ .q = q, .method = q->head.method };
	if (l->alive++) {
		atomic_fetch_add_explicit(&l->set->live->load, 1, memory_order_relaxed);
		rf_count(RF_C_ORIGIN_SHARED);
	}
	q->origin_url = q->origin->url;
	c->wait[0].what = c->wait[1].what = WAIT_NONE; /* on_time bounds it, and the pool connecting */
	rf_loop_defer(c->edge->loop, &l->task);
	return RF_OK;
}

/* The request in front hands the connection back. */
static struct lane *hand_back(struct request *q)
{
	struct lane *l = q->lane;
	l->in = q->oin;
	q->oin = (struct rf_inbuf){ 0 };
	stand_up(l, q->seat);
	return l;
}

void lane_done(struct request *q)
{
	struct lane *l = hand_back(q);
	next_seat(l);
	if (!l->ended && !l->running)
		rf_loop_defer(l->edge->loop, &l->task);
	settle(l);
}

void lane_broken(struct request *q)
{
	struct lane *l = hand_back(q);
	end(l);
	settle(l);
}

bool lane_distrust(struct request *q)
{
	struct lane *l = q->lane;
	bool among = l && (l->first > 0 || l->sent - l->first > 1);
	if (among)
		stop_for(l, MALFORMED_NS, RF_C_ORIGIN_LANES_MALFORMED);
	return among;
}

void lane_leave(struct request *q)
{
	struct lane *l = q->lane;
	bool go_on = true;
	if (q->up) {
		hand_back(q);
		go_on = unwanted_go_on(&l->unwanted, q, &l->up->stream, &l->in);
	} else {
		stand_up(l, q->seat);
	}
	if (!go_on || (!l->alive && l->first != l->laid))
		end(l);
	else
		rf_loop_defer(l->edge->loop, &l->task);
	settle(l);
}

void lanes_fini(struct rf_http_edge *e)
{
	while (!rf_list_empty(&e->free_lanes)) {
		struct lane *l = RF_CONTAINER(rf_list_first(&e->free_lanes), struct lane, node);
		rf_list_del(&l->node);
		lane_destroy(l);
	}
	struct rf_map_node *n;
	while ((n = rf_map_next(&e->lane_sets, NULL)))
		set_free(e, RF_CONTAINER(n, struct lane_set, node));
	rf_map_fini(&e->lane_sets);
}
