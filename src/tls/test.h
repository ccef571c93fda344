/* tls/test: an established connection of tls/direct on a replay loop, and the other side's keys. For tests only. */
#pragma once
#include <stdlib.h>
#include "loop/replay.h"
#include "net/listener.h"
#include "tls/layer.h"

struct direct_world {
	struct rf_replay *r;
	struct rf_loop *loop;
	struct rf_tls *tls;
	struct rf_listener l;
	struct rf_stream s;
	struct rf_peer *far;
	struct tls_half far_out, far_in; /* the peer's */
	unsigned events;
};

static struct direct_world dw;

static inline bool dw_no_host(void *arg, struct rf_stream *s, struct rf_str sni, struct rf_tls_host *ret)
{
	(void)arg, (void)s, (void)sni, (void)ret;
	return false;
}

static inline void dw_event(struct rf_stream *s) { (void)s; dw.events++; }

static inline void dw_accept(struct rf_listener *l, int fd, const struct rf_addr *peer)
{
	(void)peer;
	rf_stream_accept(&dw.s, l->loop, fd, dw_event);
}

static inline bool dw_keys(struct tls_half *h, const struct tls_suite *suite, uint8_t fill)
{
	*h = (struct tls_half){ .secret_n = suite->secret_n };
	memset(h->secret, fill, suite->secret_n);
	return tls_half_start(&dw.tls->ciphers, h, suite);
}

/* False when something of it could not be made. */
static inline bool dw_open(uint32_t suite_id, bool client, uint64_t rekey_records)
{
	struct rf_err e;
	const struct tls_suite *suite = tls_suite_of(suite_id);
	dw = (struct direct_world){ .r = rf_replay_new() };
	dw.loop = rf_replay_loop(dw.r);
	struct rf_tls_conf conf = { .host = dw_no_host, .session_cache = 1, .chain_cache = 1, .rekey_records = rekey_records,
				    .clock = rf_clock_system };
	dw.tls = rf_tls_new(&conf, &e);
	int fd = rf_replay_listener(dw.r);
	if (!dw.tls || rf_listener_adopt(&dw.l, dw.loop, fd, dw_accept) != RF_OK)
		return false;
	dw.far = rf_replay_connect(dw.r, fd, NULL);
	struct tls_conn *c = calloc(1, sizeof *c);
	if (rf_replay_run(dw.r, 0) != RF_OK || !rf_stream_open(&dw.s) || !c)
		return false;
	c->tls = dw.tls;
	c->phase = OPEN;
	c->direct.client = client;
	c->direct.most = TLS_PLAIN_MAX;
	rf_stream_layer(&dw.s, &tls_direct_layer, c);
	return dw_keys(&c->direct.in, suite, 1) && dw_keys(&c->direct.out, suite, 2) && dw_keys(&dw.far_out, suite, 1) &&
	       dw_keys(&dw.far_in, suite, 2);
}

static inline void dw_close(void)
{
	tls_half_fini(&dw.far_out);
	tls_half_fini(&dw.far_in);
	rf_stream_close(&dw.s);
	rf_listener_close(&dw.l);
	rf_tls_free(dw.tls);
	rf_loop_free(dw.loop);
}

/* A record of the peer with this inner content, at `to`, which has room for it; its length. */
static inline size_t dw_seal(int type, const void *p, size_t n, uint8_t *to)
{
	if (n)
		memcpy(to + TLS_HEADER, p, n);
	return tls_seal(&dw.tls->ciphers, &dw.far_out, (enum tls_type)type, to, n);
}

static inline void dw_send(const void *p, size_t n)
{
	rf_replay_send(dw.far, (struct rf_str){ p, n });
	rf_replay_run(dw.r, 0);
}

static inline void dw_say(int type, const void *p, size_t n)
{
	static uint8_t record[TLS_RECORD_MAX + 1024];
	dw_send(record, dw_seal(type, p, n, record));
}

/* The next record that we have sent: its type and content at `to`. False when there is none that opens. */
static inline bool dw_hear(struct tls_plain *ret, uint8_t to[TLS_RECORD_MAX])
{
	uint8_t record[TLS_RECORD_MAX];
	struct rf_str sent = rf_replay_sent(dw.far);
	if (sent.n < TLS_HEADER)
		return false;
	size_t length = (size_t)((uint8_t)sent.p[3] << 8 | (uint8_t)sent.p[4]);
	if (sent.n < TLS_HEADER + length || length > TLS_CIPHER_MAX)
		return false;
	rf_replay_take(dw.far, record, TLS_HEADER + length);
	return tls_open(&dw.tls->ciphers, &dw.far_in, record, length, to, ret) == 0;
}
