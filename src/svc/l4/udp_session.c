/* svc/l4/udp_session: the table of sessions, its bounds, and who makes room for whom.
 *
 * Sessions are made in chunks and never freed, so that they can be walked by number; a hash table of chains finds them by key. Two lists
 * hold them by age: `fresh` until the client has answered an answer, then `settled`.
 *
 * Invariants: used == in the table == in one of the lists. sessions <= conf.sessions, but for a bound that was just lowered.
 */
#include <stdlib.h>
#include "base/hash.h"
#include "svc/l4/udp_in.h"

enum { IDLE_MIN_MS = 100 };

int table_init(struct rf_l4_udp *u)
{
	size_t places = 1024;
	while (places < u->conf.sessions)
		places *= 2;
	u->table = calloc(places, sizeof(struct session *)); /* touched only where there is somebody */
	u->mask = places - 1;
	rf_list_init(&u->fresh);
	rf_list_init(&u->settled);
	/* One more than sessions: a newcomer is counted before another makes room for it. */
	return u->table && rf_tally_init(&u->by_address, u->conf.sessions + 1) == RF_OK ? RF_OK : RF_E_NOMEM;
}

void table_fini(struct rf_l4_udp *u)
{
	for (size_t i = 0; i < u->chunk_count; i++)
		free(u->chunks[i]);
	free(u->chunks);
	free(u->table);
	rf_tally_fini(&u->by_address);
}

static struct session **place(const struct rf_l4_udp *u, const struct key *k)
{
	return &u->table[rf_hash((struct rf_str){ (const char *)k, sizeof *k }) & u->mask];
}

struct session *session_find(const struct rf_l4_udp *u, const struct key *k)
{
	struct session *s = *place(u, k);
	while (s && memcmp(&s->key, k, sizeof *k) != 0)
		s = s->next;
	return s;
}

static bool more(struct rf_l4_udp *u)
{
	struct session *chunk = calloc(CHUNK, sizeof *chunk);
	struct session **chunks = chunk ? realloc(u->chunks, (u->chunk_count + 1) * sizeof(struct session *)) : NULL;
	if (!chunks) {
		free(chunk);
		return false;
	}
	u->chunks = chunks;
	u->chunks[u->chunk_count++] = chunk;
	for (size_t i = CHUNK; i--; u->free = &chunk[i])
		chunk[i].next = u->free;
	return true;
}

static struct session *oldest(struct rf_node *list)
{
	struct rf_node *node = rf_list_first(list);
	return node ? RF_CONTAINER(node, struct session, age) : NULL;
}

/* The oldest that is not established goes first; of the established, one that has been quiet for long. */
static bool make_room(struct rf_l4_udp *u)
{
	struct session *s = oldest(&u->fresh);
	if (!s) {
		s = oldest(&u->settled);
		if (!s || now_of(u) - s->last < RF_L4_UDP_SETTLED_NS)
			return false;
	}
	u->made_room++;
	rf_count(RF_C_UDP_MADE_ROOM);
	session_end(s, END_ROOM);
	return true;
}

static int tally(struct rf_l4_udp *u, const struct key *k, struct rf_tally_entry **ret)
{
	size_t n = k->client_family == 6 ? 8 : 4; /* a host of IPv6 has a /64 */
	if (!u->conf.sessions_per_address)
		return RF_OK;
	int r = rf_tally_get(&u->by_address, (struct rf_str){ (const char *)k->client, n }, u->conf.sessions_per_address, ret);
	if (r)
		rf_count(RF_C_LIMIT_UDP_SESSIONS_ADDRESS);
	return r;
}

static uint64_t idle_of(const struct session *s)
{
	uint64_t ns = s->app->idle_ns;
	return ns > IDLE_MIN_MS * RF_NS_MS ? ns : IDLE_MIN_MS * RF_NS_MS;
}

static void idle(struct rf_timer *t)
{
	struct session *s = RF_CONTAINER(t, struct session, timer);
	uint64_t until = s->last + idle_of(s);
	if (until > now_of(s->udp))
		rf_timer_set(s->udp->loop, t, until);
	else
		session_end(s, END_IDLE);
}

void session_time(struct session *s)
{
	rf_timer_set(s->udp->loop, &s->timer, s->last + idle_of(s));
}

static void fill(struct session *s, struct rf_l4_udp *u, const struct key *k, struct app *a)
{
	*s = (struct session){ .origin.io.fd = -1, .udp = u, .timer.fire = idle, .key = *k, .app = a, .used = true,
			       .id = u->next_id++, .began = now_of(u), .last = now_of(u), .generation = a->generation };
	struct session **at = place(u, k);
	s->next = *at;
	*at = s;
	rf_list_push(&u->fresh, &s->age);
	u->sessions++;
	u->begun++;
	a->sessions++;
	rf_count(RF_C_UDP_BEGUN);
	session_time(s);
}

struct session *session_new(struct rf_l4_udp *u, const struct key *k, const struct rf_port *p, struct app *a)
{
	struct rf_tally_entry *entry = NULL;
	if (tally(u, k, &entry))
		return NULL;
	if (!rf_port_enter(p)) {
		rf_count(RF_C_UDP_DROP_APP_FULL);
		rf_tally_put(&u->by_address, entry);
		return NULL;
	}
	while (u->sessions >= u->conf.sessions && make_room(u)) {
	}
	if (u->sessions >= u->conf.sessions || (!u->free && !more(u))) {
		rf_count(RF_C_LIMIT_UDP_SESSIONS);
		rf_port_leave(a->use);
		rf_tally_put(&u->by_address, entry);
		return NULL;
	}
	struct session *s = u->free;
	u->free = s->next;
	fill(s, u, k, a);
	s->tally = entry;
	return s;
}

static void unlink_of(struct session *s)
{
	struct session **at = place(s->udp, &s->key);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	rf_list_del(&s->age);
}

void session_end(struct session *s, enum end why)
{
	struct rf_l4_udp *u = s->udp;
	report_end(s, why);
	rf_timer_stop(u->loop, &s->timer);
	origin_close(s);
	session_waits(s, NULL);
	held_drop(s);
	via_set(s, NULL);
	rf_tally_put(&u->by_address, s->tally);
	rf_port_leave(s->app->use);
	s->app->sessions--;
	unlink_of(s);
	u->sessions--;
	u->established -= s->settled;
	s->used = false;
	s->next = u->free;
	u->free = s;
	rf_count(RF_C_UDP_ENDED);
}

void session_touch(struct session *s, bool by_client)
{
	struct rf_l4_udp *u = s->udp;
	s->last = now_of(u);
	if (by_client && s->answered && !s->settled) {
		s->settled = true;
		u->established++;
		rf_count(RF_C_UDP_ESTABLISHED);
	}
	rf_list_del(&s->age);
	rf_list_push(s->settled ? &u->settled : &u->fresh, &s->age);
}

void session_waits(struct session *s, struct rf_node *list)
{
	if (rf_node_linked(&s->waiting))
		s->udp->waiting--;
	rf_list_del(&s->waiting);
	if (!list)
		return;
	rf_list_push(list, &s->waiting);
	s->udp->waiting++;
}
