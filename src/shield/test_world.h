/* shield/test_world: ordinary traffic and floods in virtual time, through the workers' feed to the detection, for its tests. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "policy/expr.h"
#include "shield/detect.h"

#define HOST "api.example.com"

struct world {
	struct rf_feed feed;
	struct rf_detect *d;
	uint64_t now, random, sent[2], stopped[2]; /* ordinary, flood */
	struct rf_detect_counts before;
	const struct rf_flood_rule *live[8];
	size_t nlive;
	unsigned starts, signatures, expired, ends;
	uint64_t signature_at;
	char expression[4096], inaction[200];
	uint64_t addresses, peak;
	const char *host;
	unsigned wrong;           /* percent of ordinary requests that the origin answers with... */
	unsigned wrong_class;     /* ... this class of status, 4 where it is 0 */
	enum rf_measure by;       /* that the flood is measured by */
	uint16_t mix[6];
	struct rf_signature signature;
	void (*usual)(struct world *w); /* sends an ordinary request; NULL: `ordinary` does */
};

static inline uint64_t draw(struct world *w)
{
	w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
	return w->random >> 33;
}

static inline void on_event(void *arg, enum rf_flood_event what, struct rf_flood *f, struct rf_flood_rule *r)
{
	struct world *w = arg;
	RF_BUF_AUTO b = { 0 };
	w->starts += what == RF_FLOOD_START;
	w->signatures += what == RF_FLOOD_SIGNATURE;
	w->expired += what == RF_FLOOD_EXPIRED;
	w->ends += what == RF_FLOOD_END;
	w->addresses = rf_hll_count(f->addresses, RF_HLL);
	w->peak = f->peak;
	w->by = f->by;
	memcpy(w->mix, f->mix, sizeof w->mix);
	snprintf(w->inaction, sizeof w->inaction, "%s", f->inaction ? f->inaction : "");
	if (what == RF_FLOOD_SIGNATURE) {
		rf_signature_expression(&r->signature, rf_str_z(f->host), &b);
		snprintf(w->expression, sizeof w->expression, "%s", rf_buf_z(&b));
		w->live[w->nlive++] = r;
		w->signature = r->signature;
		w->signature_at = w->now;
	}
	for (size_t i = 0; what == RF_FLOOD_EXPIRED && i < w->nlive; i++)
		if (w->live[i] == r)
			w->live[i] = w->live[--w->nlive];
}

static inline void place(void *arg, const struct rf_ip *ip, uint32_t *ret_asn, uint32_t *ret_country)
{
	(void)arg;
	*ret_asn = 64512 + ip->b[2] % 200;
	*ret_country = 'D' * 256 + 'E';
}

static inline struct world *world(uint32_t floor)
{
	static const struct rf_detect_conf conf = { RF_FLOOD_HIGH, 100, 10 * RF_NS_S, 20 * RF_NS_S };
	struct world *w = calloc(1, sizeof *w);
	struct rf_detect_ops ops = { on_event, place, w };
	struct rf_detect_conf c = conf;
	c.floor = floor ? floor : conf.floor;
	w->random = 42;
	w->now = 1000 * RF_NS_S;
	w->host = HOST;
	assert_true(rf_feed_init(&w->feed, 7));
	assert_non_null(w->d = rf_detect_new(&c, &ops, 9));
	return w;
}

static inline void world_free(struct world *w)
{
	rf_detect_free(w->d);
	rf_feed_fini(&w->feed);
	free(w);
}

struct request {
	const char *method, *names, *cookie, *agent, *type, *connection, *body, *device, *print, *version;
	char path[64], query[64], length[64], whole[64];
	uint32_t address;
};

static inline struct rf_ip address(uint32_t n)
{
	struct rf_ip ip = { .family = 4, .b = { 10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n } };
	return ip;
}

static inline void fill(struct rf_sample *s, const struct request *q)
{
	const struct { enum rf_piece p; const char *z; } rows[] = {
		{ RF_PIECE_METHOD, q->method }, { RF_PIECE_PATH, q->path }, { RF_PIECE_QUERY, q->query }, { RF_PIECE_NAMES, q->names },
		{ RF_PIECE_COOKIE, q->cookie }, { RF_PIECE_AGENT, q->agent }, { RF_PIECE_TYPE, q->type }, { RF_PIECE_LENGTH, q->length },
		{ RF_PIECE_CONNECTION, q->connection }, { RF_PIECE_BODY, q->body },
		{ RF_PIECE_WHOLE, q->whole }, { RF_PIECE_PRINT, q->print }, { RF_PIECE_VERSION, q->version ? q->version : "HTTP/1.1" } };
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		rf_sample_put(s, rows[i].p, rf_str_z(rows[i].z ? rows[i].z : ""));
	s->src = address(q->address);
	s->known = q->device != NULL;
	snprintf(s->device, sizeof s->device, "%s", q->device ? q->device : "");
}

/* One request: fed, then judged by the rules in force. True: one has stopped it. */
static inline bool send(struct world *w, const struct request *q, bool flood)
{
	static struct rf_sample judged;
	struct rf_feed_host *h = rf_feed_host(&w->feed, rf_hash(rf_str_z(w->host)), rf_str_z(w->host));
	struct rf_ip ip = address(q->address);
	uint32_t weight = rf_feed_count(&w->feed, h, w->now, &ip);
	struct rf_sample *s = weight ? rf_feed_slot(&w->feed, h, weight) : NULL;
	if (s) {
		fill(s, q);
		rf_feed_give(&w->feed);
	}
	w->sent[flood]++;
	if (!w->nlive)
		return false;
	struct rf_traits t;
	RF_BUF_AUTO room = { 0 };
	memset(&judged, 0, offsetof(struct rf_sample, text));
	fill(&judged, q);
	rf_traits_of(&judged, &room, &t);
	for (size_t i = 0; i < w->nlive; i++)
		if (rf_signature_match(&w->live[i]->signature, &t, rf_source_hash(&ip))) {
			((struct rf_flood_rule *)(uintptr_t)w->live[i])->hits++;
			w->stopped[flood]++;
			return true;
		}
	return false;
}

/* The origin answers what has come to it, not well. */
static inline void send_wrong(struct world *w, const struct request *q, bool flood)
{
	struct rf_feed_host *h = rf_feed_host(&w->feed, rf_hash(rf_str_z(w->host)), rf_str_z(w->host));
	if (!send(w, q, flood))
		h->answers[w->wrong_class ? w->wrong_class : 4]++;
}

static inline void end_tick(struct world *w)
{
	const struct rf_sample *s;
	for (unsigned i = 0; i < w->feed.count; i++) {
		struct rf_feed_host *h = &w->feed.hosts[i];
		h->wanted = rf_detect_wanted(w->d, h->hash);
		struct rf_detect_counts n = { .requests = h->requests - w->before.requests, .answers = { 0 } };
		w->before.requests = h->requests;
		for (int k = 0; k < 6; k++) {
			n.answers[k] = h->answers[k] - w->before.answers[k];
			w->before.answers[k] = h->answers[k];
		}
		rf_detect_count(w->d, h->hash, rf_str_z(h->name), &n);
		uint8_t registers[RF_HLL];
		if (rf_feed_ask(&h->addresses, (uint32_t)rf_detect_flood(w->d, h->hash), registers))
			rf_detect_addresses(w->d, h->hash, registers);
	}
	while ((s = rf_feed_peek(&w->feed))) {
		rf_detect_sample(w->d, s);
		rf_feed_done(&w->feed);
	}
	rf_detect_tick(w->d, w->now, (int64_t)w->now);
	w->now += RF_FLOOD_TICK_NS;
}

static inline void wanted(struct world *w, const struct request *q, bool flood)
{
	struct rf_feed_host *h = rf_feed_host(&w->feed, rf_hash(rf_str_z(w->host)), rf_str_z(w->host));
	if (!send(w, q, flood))
		h->answers[2]++;
}

/* Gateways that post measurements, thermostats that ask for their settings, people with browsers. */
static inline void ordinary(struct world *w)
{
	struct request q = { .method = "GET", .address = 1 << 20 | (uint32_t)(draw(w) % 800) };
	unsigned kind = (unsigned)(draw(w) % 10);
	if (kind < 5) {
		q.method = "POST";
		q.names = "host,user-agent,content-type,content-length";
		q.agent = "gateway/2.1";
		q.type = "application/json";
		q.body = "{\"temp\":21.5,\"hum\":40}";
		q.device = "0123456789abcdef0123456789abcdef";
		snprintf(q.path, sizeof q.path, "/v1/devices/%u/readings", (unsigned)(draw(w) % 5000));
		snprintf(q.length, sizeof q.length, "%u", 60 + (unsigned)(draw(w) % 60));
	} else if (kind < 8) {
		q.names = "host,user-agent,accept";
		q.agent = "thermostat/1.0";
		q.device = "00000000000000000000000000000001";
		snprintf(q.path, sizeof q.path, "/v1/settings");
		snprintf(q.query, sizeof q.query, "since=%u", (unsigned)draw(w) % 100000);
	} else {
		static const char *const agents[] = { "Mozilla/5.0 (X11)", "Mozilla/5.0 (Macintosh)", "Mozilla/5.0 (Windows)" };
		static char cookies[64];
		q.names = "host,user-agent,accept,accept-language,cookie";
		q.agent = agents[draw(w) % 3];
		snprintf(cookies, sizeof cookies, "session=%u", (unsigned)draw(w) % 300);
		q.cookie = cookies;
		snprintf(q.path, sizeof q.path, "/");
	}
	(draw(w) % 100 < w->wrong ? send_wrong : wanted)(w, &q, false);
}

static inline void run(struct world *w, double seconds, unsigned usual, unsigned flood, void (*attack)(struct world *w, unsigned sources),
	unsigned sources)
{
	for (int t = 0; t < (int)(seconds * 4); t++) {
		unsigned n = usual / 4 + (unsigned)(draw(w) % (usual / 8 + 1)), f = attack ? flood / 4 : 0;
		while (n + f) {
			bool ours = draw(w) % (n + f) < n;
			if (ours)
				(w->usual ? w->usual : ordinary)(w);
			else
				attack(w, sources);
			n -= ours;
			f -= !ours;
		}
		end_tick(w);
	}
}

static inline void must_compile(const char *text)
{
	static const struct rf_rule_env env = { NULL, 0 };
	struct rf_expr *x = NULL;
	struct rf_err e;
	int rc = rf_expr_compile(&env, RF_PHASE_HTTP_REQUEST, rf_str_z(text), &x, &e);
	if (rc != RF_OK)
		fail_msg("%s: %s", text, e.text);
	rf_expr_put(x);
}
