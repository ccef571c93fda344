/* svc/http/wait: a time limit for every wait, two directions a connection, one timer.
 *
 * The timer is lazy: a wait that ends later than what the timer is set to leaves it alone, and a timer that
 * fires too early is set again. So a keep-alive request moves no timer at all.
 *
 * Not here: how long each wait may be (edge.h, the app).
 */
#include "svc/http/conn.h"

/* What the end of a wait means: a request that can be answered is, everything else closes. */
static const struct {
	enum rf_reason reason;
	const char *words;
	int status; /* of the answer where none has begun; 0: close */
} ends[] = {
	[WAIT_IDLE] = { RF_REASON_SLOW, "idle", 0 },
	[WAIT_HEAD] = { RF_REASON_SLOW, "the head of the request took too long", 408 },
	[WAIT_BODY] = { RF_REASON_SLOW, "the body of the request came too slowly", 408 },
	[WAIT_ORIGIN] = { RF_REASON_ORIGIN_TIMEOUT, "connecting to the origin took too long", 504 },
	[WAIT_RESPONSE] = { RF_REASON_ORIGIN_TIMEOUT, "the origin took too long to answer", 504 },
	[WAIT_RESPONSE_BODY] = { RF_REASON_ORIGIN_TIMEOUT, "the origin paused too long within its answer", 0 },
	[WAIT_WRITE] = { RF_REASON_SLOW, "the client took its answer too slowly", 0 },
	[WAIT_WRITE_ORIGIN] = { RF_REASON_ORIGIN_TIMEOUT, "the origin took the request too slowly", 504 },
	[WAIT_TUNNEL] = { RF_REASON_SLOW, "nothing moved on the upgraded connection", 0 },
	[WAIT_LINGER] = { RF_REASON_SLOW, NULL, 0 },
	[WAIT_LOCAL] = { RF_REASON_OVERLOAD, "the local service took too long", 503 },
	[WAIT_QUEUE] = { RF_REASON_OVERLOAD, "no connection to the origin became free in time", 503 },
};

static uint64_t earliest(const struct rf_http_conn *c)
{
	uint64_t t = UINT64_MAX;
	for (int i = 0; i < 2; i++)
		if (c->wait[i].what != WAIT_NONE && c->wait[i].until < t)
			t = c->wait[i].until;
	return t;
}

static void arm(struct rf_http_conn *c)
{
	uint64_t t = earliest(c);
	if (t != UINT64_MAX && (!c->client.timer.node.at || t < c->client.timer.node.key))
		rf_timer_set(c->edge->loop, &c->client.timer, t);
}

void wait_for(struct rf_http_conn *c, int direction, enum wait what, uint64_t ns)
{
	struct waiting *w = &c->wait[direction];
	w->what = what;
	w->until = conn_now(c) + ns;
	w->seen = 0;
	if (what != WAIT_NONE)
		arm(c);
}

void wait_while(struct rf_http_conn *c, int direction, enum wait what, uint64_t ns, uint64_t progress)
{
	struct waiting *w = &c->wait[direction];
	if (w->what == what && w->seen == progress)
		return;
	wait_for(c, direction, what, ns);
	w->seen = progress;
}

void wait_fire(struct rf_timer *t)
{
	struct rf_http_conn *c = RF_CONTAINER(t, struct rf_http_conn, client.timer);
	uint64_t now = conn_now(c);
	for (int i = 0; i < 2; i++) {
		enum wait what = c->wait[i].what;
		if (what == WAIT_NONE || c->wait[i].until > now)
			continue;
		c->wait[i].what = WAIT_NONE;
		if (what != WAIT_IDLE && what != WAIT_LINGER && what != WAIT_TUNNEL && !c->req) {
			c->client.refused = true;
			c->client.end_reason = ends[what].reason;
		}
		if (!c->req || what == WAIT_TUNNEL || what == WAIT_LINGER) {
			rf_client_end(&c->client, ends[what].words);
			return;
		}
		c->client.last |= ends[what].status != 504; /* what the client still sends cannot be told from a new request */
		enum step next = refuse(c, ends[what].status, ends[what].reason, ends[what].words);
		if (next == STEP_CLOSE) {
			rf_client_end(&c->client, ends[what].words);
			return;
		}
		c->step = (uint8_t)next;
		conn_run(c);
		return;
	}
	arm(c);
}
