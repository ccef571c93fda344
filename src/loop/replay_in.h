/* loop/replay_in: what the files of the scripted loop share. Private to this folder. */
#pragma once
#include "base/buf.h"
#include "loop/impl.h"
#include "loop/replay.h"

enum { FD_BASE = 1 << 24, WINDOW = 256 * 1024, SPLICED = 32768 };

struct rf_peer {
	struct rf_replay *r;
	int index;              /* among all peers */
	struct rf_io *io;       /* while added */
	struct rf_node ready;   /* an edge is to be reported */
	struct rf_node waiting; /* to be accepted by our listener, or to be decided by the test */
	struct rf_node queue;   /* of a listener */
	struct rf_addr addr;
	struct rf_buf in, out;
	size_t window;
	struct rf_node arrived, left, taken; /* datagrams to our code, from it, and the one that the test looks at */
	bool listener, datagrams, held; /* our code holds the descriptor */
	bool connecting, peer_fin, peer_gone, reset, reset_told, our_fin, our_closed;
	bool full; /* our code was told that there is no space */
	bool doomed;    /* our close is a reset */
	size_t spliced; /* bytes that came to our code through a pipe */
	int error;
};

struct rf_replay {
	struct rf_loop loop;
	uint64_t mono;
	int64_t wall;
	struct rf_peer **peers;
	size_t n;
	struct rf_node ready, batch, dialled;
	uint64_t calls, fail_at;
	int fail_code;
};

/* replay.c */
struct rf_replay *replay_of(struct rf_loop *loop);
struct rf_peer *replay_peer(struct rf_replay *r, int fd);
void replay_edge(struct rf_peer *p);
bool replay_fails(struct rf_replay *r, struct rf_peer *p); /* count a call; true when it is the one to fail */
struct rf_peer *replay_peer_new(struct rf_replay *r);
int replay_fd(struct rf_peer *p);

/* replay_datagram.c */
unsigned replay_datagram_state(const struct rf_peer *p);
void replay_datagram_fini(struct rf_peer *p);
int replay_datagram_open(struct rf_loop *loop, struct rf_io *io, const struct rf_addr *to);
int replay_receive(struct rf_loop *loop, struct rf_io *io, struct rf_dgram *v, int n);
int replay_transmit(struct rf_loop *loop, struct rf_io *io, const struct rf_dgram *m, const struct iovec *v, int count);
