/* loop/replay: a loop on virtual time whose peers are scripted by a test.
 *
 * The code under test sees an ordinary struct rf_loop. The test plays the other side: it
 * connects to listeners, sends, takes what was sent, limits what its window lets through, ends and
 * resets, answers connects, and lets time pass:
 *
 *	struct rf_replay *r = rf_replay_new();
 *	int fd = rf_replay_listener(r);           // hand it to rf_listener_adopt
 *	struct rf_peer *p = rf_replay_connect(r, fd, NULL);
 *	rf_replay_send(p, RF_STR("GET / HTTP/1.1\r\n"));
 *	rf_replay_run(r, 30 * RF_NS_S);           // 30 s later
 *	assert(rf_replay_closed(p));
 *
 * Readiness follows epoll's edges: an event comes when bytes, an end, a reset or a connection
 * arrive, when space comes back after RF_E_AGAIN or a short write, and once for an io that is
 * ready when it is added; it reports all that is true at that time.
 *
 * For tests: running out of memory aborts. Only rf_loop_post and rf_loop_stop may come from
 * other threads.
 */
#pragma once
#include "base/str.h"
#include "loop/loop.h"

struct rf_replay;
struct rf_peer; /* the far end of one connection; valid until rf_replay_free */

struct rf_replay *rf_replay_new(void); /* at 1000 s of monotonic time, 2026-11-21T00:00:00Z */
struct rf_loop *rf_replay_loop(struct rf_replay *r);
void rf_replay_free(struct rf_replay *r);

/* Let `ns` pass (0: none), turn by turn, until nothing is left to do at the end of it, or rf_loop_stop.
 * RF_E_FULL when the code under test is still busy after RF_REPLAY_TURNS turns of one instant. */
enum { RF_REPLAY_TURNS = 100000 };
int rf_replay_run(struct rf_replay *r, uint64_t ns);
void rf_replay_wall_step(struct rf_replay *r, int64_t ns); /* somebody sets the wall clock */
void rf_replay_busy(struct rf_replay *r, uint64_t ns);     /* what runs now takes so long, within its turn */

int rf_replay_listener(struct rf_replay *r); /* a descriptor */
/* from NULL: 192.0.2.1, a port of its own. The connection waits until it is accepted, and may send before. */
struct rf_peer *rf_replay_connect(struct rf_replay *r, int listener_fd, const struct rf_addr *from);

/* Decide the oldest connect of ours to `to` (NULL: to anywhere) that is undecided; NULL when there is none.
 * HANG leaves it without an answer; rf_replay_reset still ends it. */
enum rf_replay_outcome { RF_REPLAY_ACCEPT, RF_REPLAY_REFUSE, RF_REPLAY_HANG };
struct rf_peer *rf_replay_accept(struct rf_replay *r, const struct rf_addr *to, enum rf_replay_outcome outcome);
struct rf_addr rf_replay_addr(const struct rf_peer *p);

void rf_replay_send(struct rf_peer *p, struct rf_str bytes);
struct rf_str rf_replay_sent(const struct rf_peer *p); /* what we have sent and nobody has taken yet */
size_t rf_replay_take(struct rf_peer *p, void *to, size_t n); /* to may be NULL */
/* Take `bytes`; false, taking none, when something else was sent. */
bool rf_replay_expect(struct rf_peer *p, struct rf_str bytes);
void rf_replay_window(struct rf_peer *p, size_t n); /* bytes that may wait to be taken; 256 KiB at first */
void rf_replay_fin(struct rf_peer *p);   /* the peer ends its side and goes on reading */
void rf_replay_close(struct rf_peer *p); /* it ends its side, and answers what we send with a reset */
void rf_replay_reset(struct rf_peer *p);
bool rf_replay_ended(const struct rf_peer *p);  /* we have ended our side, and all of it was taken */
bool rf_replay_closed(const struct rf_peer *p); /* our descriptor is closed */
bool rf_replay_was_reset(const struct rf_peer *p); /* and its close was a reset */
size_t rf_replay_spliced(const struct rf_peer *p); /* bytes of the peer that our code took into a pipe */

/* UDP. A socket that our code adopts, such as one that the monitor has bound; or the oldest that our code has connected to
 * `to` (NULL: to anywhere) and that was not given yet, NULL when there is none. rf_replay_reset tells such a socket that its peer
 * cannot be reached; rf_replay_window bounds the datagrams that wait to be taken. */
int rf_replay_udp(struct rf_replay *r);
struct rf_peer *rf_replay_udp_peer(struct rf_replay *r, int fd);
struct rf_peer *rf_replay_udp_dialled(struct rf_replay *r, const struct rf_addr *to);
/* Somebody sends to it; `m->segment` as the kernel would have joined them. */
void rf_replay_arrive(struct rf_peer *p, const struct rf_dgram *m);
/* Take the oldest that our code has sent, segments as single datagrams; its bytes are valid until the next is taken. False:
 * there is none. */
bool rf_replay_leave(struct rf_peer *p, struct rf_dgram *ret);

/* Make the n-th call from now (1: the next) to add, recv, send, shutdown, accept, connect, or one of datagrams fail: with
 * RF_E_FULL for add and accept, else with `code`. 0: none. After RF_E_AGAIN an edge follows. */
void rf_replay_fail_at(struct rf_replay *r, uint64_t n, int code);
uint64_t rf_replay_calls(const struct rf_replay *r); /* made so far */
size_t rf_replay_open(const struct rf_replay *r);    /* descriptors that our code holds */
