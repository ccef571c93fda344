/* svc/l4/times: what a connection waits for, and for how long.
 *
 * One timer a connection. It is set when a time comes that is earlier than what it stands at, and looks at all of them when it
 * fires: bytes that move only note when, so that a message sets no timer.
 *
 *   first byte   of the client, where the port asks for one soon
 *   pause        in the first bytes, where rules look at them
 *   queue        for a place at the origin
 *   idle         no byte in either direction
 *   progress     a record of a connection that goes on
 */
#include "svc/l4/conn.h"

static uint64_t idle_until(const struct conn *n)
{
	return n->moved_at + (n->port->idle_ns ? n->port->idle_ns : n->l4->conf.idle_ns);
}

void l4_times_begin(struct conn *n)
{
	uint64_t now = l4_now(n);
	n->moved_at = now;
	if (n->port->first_byte_ns)
		n->first_until = now + n->port->first_byte_ns;
	if (n->l4->conf.progress_ns)
		n->progress_at = now + n->l4->conf.progress_ns;
}

void l4_times_moved(struct conn *n)
{
	uint64_t seen = n->up.read + n->up.passed + n->down.read + n->down.passed;
	if (seen == n->seen)
		return;
	n->up_last = n->down.read + n->down.passed == n->seen_down;
	n->seen_down = n->down.read + n->down.passed;
	n->seen = seen;
	n->moved_at = l4_now(n);
}

void l4_times_arm(struct conn *n)
{
	uint64_t at = idle_until(n), others[] = { n->up.read ? 0 : n->first_until, n->pause_until, n->queue_until, n->progress_at };
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		at = others[i] && others[i] < at ? others[i] : at;
	if (n->armed && n->armed <= at)
		return;
	n->armed = at;
	rf_timer_set(n->client.front->loop, &n->client.timer, at);
}

/* Who owed a byte, or did not take one? */
static enum l4_status silent(const struct conn *n)
{
	if (n->up.stuck || n->down.stuck)
		return n->up.stuck ? L4_ORIGIN_SILENT : L4_CLIENT_SILENT;
	return n->up_last ? L4_ORIGIN_SILENT : L4_CLIENT_SILENT;
}

static bool past(uint64_t until, uint64_t now)
{
	return until && until <= now;
}

static void look(struct conn *n, uint64_t now)
{
	if (past(n->progress_at, now)) {
		l4_tell_progress(n);
		n->progress_at = now + n->l4->conf.progress_ns;
	}
	if (past(n->pause_until, now)) {
		n->pause_until = 0;
		n->paused = true;
	}
	if (!n->up.read && past(n->first_until, now))
		l4_refused(n, RF_REASON_SLOW, "the client sent nothing in time");
	else if (past(n->queue_until, now))
		l4_over(n, L4_ORIGIN_LOCAL, "too many connections wait for the origin");
	else if (idle_until(n) <= now)
		l4_over(n, silent(n), "no byte in either direction for too long");
}

void l4_times_fire(struct rf_timer *t)
{
	struct conn *n = RF_CONTAINER(t, struct conn, client.timer);
	n->armed = 0;
	n->client.running = true;
	look(n, l4_now(n));
	if (rf_client_ran(&n->client))
		l4_run(n);
}
