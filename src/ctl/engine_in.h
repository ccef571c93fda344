/* ctl/engine_in: what the files of the engine share. Private to ctl/engine*.
 *
 * A step of the engine's life comes up and goes down: int NAME_up(g, e), void NAME_down(g), where down is called also after its own
 * up has failed half-way. Their order is in engine.c.
 */
#pragma once
#include "api/edge.h"
#include "ctl/private.h"
#include "records/writer.h"

struct worker_end { /* a worker's thread has ended its loop */
	struct rf_msg msg;
	struct engine *engine;
};

struct engine {
	struct rf_ctl ctl;
	int monitor_fd, notices;
	struct rf_io notice_io;
	struct rf_timer alive;
	struct rf_writer *writer;
	struct rf_watch *watch;
	struct rf_samples *samples;
	struct rf_plan *plan;
	struct rf_health *health;
	struct rf_local *local;
	struct rf_api_edge edge;
	struct rf_api *api;
	struct rf_api_server *server;
	struct rf_tls *tls;
	struct rf_resolver *resolver;
	struct rf_keypair *api_pair;
	int api_fd;              /* its listener over TLS; -1: none */
	struct rf_boot *started; /* as it was when this engine began: what a restart would change is told by it */
	struct worker_end *ends;  /* one a worker */
	size_t ended_count;
	bool draining;
};

/* The engine is one a process; reload needs it from struct rf_ctl, which its callers have. */
static inline struct engine *engine_of(struct rf_ctl *c)
{
	return RF_CONTAINER(c, struct engine, ctl);
}

/* engine_state.c: what is kept, and what decides by it */
int records_up(struct engine *g, struct rf_err *e);
void records_down(struct engine *g);
int loop_up(struct engine *g, struct rf_err *e);
void loop_down(struct engine *g);
int registry_up(struct engine *g, struct rf_err *e);
void registry_down(struct engine *g);
int limits_up(struct engine *g, struct rf_err *e);
void limits_down(struct engine *g);
int store_up(struct engine *g, struct rf_err *e);
void store_down(struct engine *g);
int ca_up(struct engine *g, struct rf_err *e);
void ca_down(struct engine *g);
int plan_up(struct engine *g, struct rf_err *e);
void plan_down(struct engine *g);
int shield_up(struct engine *g, struct rf_err *e);
void shield_down(struct engine *g);
int control_up(struct engine *g, struct rf_err *e);
void control_down(struct engine *g);
int filter_up(struct engine *g, struct rf_err *e);

/* What of the network a change of the boot file asks for, made before anything changes. */
struct serving {
	struct rf_worker_message **listening; /* one a worker */
	struct rf_keypair *api_pair;
	int api_fd;                           /* as that of the engine where it stays */
};

/* engine_serve.c: what meets the network */
/* By the boot file and plan of *g, where `before` was in force. On failure nothing is left behind; else one of the others. */
int serving_make(struct engine *g, const struct rf_boot *before, struct serving *ret, struct rf_err *e);
void serving_go(struct engine *g, struct serving *s); /* cannot fail */
void serving_drop(struct engine *g, struct serving *s);
int tls_up(struct engine *g, struct rf_err *e);
void tls_down(struct engine *g);
int health_up(struct engine *g, struct rf_err *e);
void health_down(struct engine *g);
int ports_up(struct engine *g, struct rf_err *e);
void ports_down(struct engine *g);
int api_up(struct engine *g, struct rf_err *e);
void api_down(struct engine *g);
int local_up(struct engine *g, struct rf_err *e);
void local_down(struct engine *g);
int gate_up(struct engine *g, struct rf_err *e);
void gate_down(struct engine *g);
int workers_up(struct engine *g, struct rf_err *e);
void workers_down(struct engine *g);
int listeners_up(struct engine *g, struct rf_err *e);
int server_up(struct engine *g, struct rf_err *e);
void server_down(struct engine *g);
void drain(struct engine *g);

/* engine_work.c: what goes on beside */
void captures_down(struct engine *g); /* also when draining begins: who takes over reads the frames */
int samples_up(struct engine *g, struct rf_err *e);
void samples_down(struct engine *g);
int applies_up(struct engine *g, struct rf_err *e);
void applies_down(struct engine *g);
int patches_up(struct engine *g, struct rf_err *e);
void patches_down(struct engine *g);
int alerts_up(struct engine *g, struct rf_err *e);
void alerts_down(struct engine *g);
int attacks_up(struct engine *g, struct rf_err *e);
void attacks_down(struct engine *g);
int crl_up(struct engine *g, struct rf_err *e);
void crl_down(struct engine *g);
int merge_up(struct engine *g, struct rf_err *e);
void merge_down(struct engine *g);
int packs_up(struct engine *g, struct rf_err *e);
void packs_down(struct engine *g);
