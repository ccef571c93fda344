/* svc/l4/udp_report: records of sessions: one when it begins, one when it ends, one for who is refused.
 *
 * So many a second are recorded; of a flood, most are only counted. A session whose beginning is recorded has its end recorded.
 */
#include <stdio.h>
#include "svc/l4/status.h"
#include "svc/l4/udp_in.h"

enum { ORIGIN_TEXT = 300 };

static const struct { enum l4_status status; const char *layer, *words; } endings[] = {
	[END_IDLE] = { L4_NORMAL, "", "idle" },
	[END_ROOM] = { L4_INTERNAL, "limit", "made room for another session" },
	[END_APP_GONE] = { L4_NORMAL, "", "its app is no longer there" },
	[END_BARRED] = { L4_FILTERED, "net", "an access rule blocks the client's address" },
	[END_RULE] = { L4_FILTERED, "rule", "a rule blocked the connection" },
	[END_ORIGIN_REFUSED] = { L4_ORIGIN_REFUSED, "origin", "the origin could not be reached" },
	[END_ORIGIN_NONE] = { L4_ORIGIN_NOWAY, "origin", "no origin is healthy" },
	[END_NO_REPLY] = { L4_INTERNAL, "net", "there is no socket to answer from" },
	[END_MEMORY] = { L4_ORIGIN_LOCAL, "limit", "memory or descriptors are exhausted" },
	[END_DRAIN] = { L4_INTERNAL, "net", "the edge is shutting down" },
	[END_NAME_NONE] = { L4_RESOLVE_NONE, "origin", "the name of the origin has no address" },
	[END_NAME_FAILED] = { L4_RESOLVE_FAILED, "origin", "the name of the origin could not be looked up" },
	[END_ORIGIN_BARRED] = { L4_ORIGIN_BARRED, "origin", "the origin's address is no host's, or leads back to the same port" },
	[END_CLOSED] = { L4_INTERNAL, "net", "the edge has ended" },
};

static bool wanted(struct rf_l4_udp *u)
{
	if (!u->emit)
		return false;
	if (!u->conf.records_rate || rf_bucket_take(&u->record_bucket, &u->record_rate, now_of(u), 1, NULL) == RF_OK)
		return true;
	rf_count(RF_C_UDP_UNRECORDED);
	return false;
}

static struct rf_record record_of(const struct key *k, const char *app, const char *name, enum l4_status status)
{
	return (struct rf_record){ .kind = RF_REC_CONNECTION, .src = ip_of(k->client_family, k->client), .src_port = k->client_port,
				   .dst = ip_of(k->edge_family, k->edge), .dst_port = k->edge_port, .app = rf_str_z(app), .host = rf_str_z(name),
				   .action = RF_STR("allow"), .status = l4_statuses[status].code,
				   .event = rf_str_z(l4_events[l4_statuses[status].event]) };
}

/* Where its socket leads, in `to`; empty where it has none. */
static struct rf_str origin_text(const struct session *s, char to[ORIGIN_TEXT])
{
	const struct rf_origin *o = s->to;
	if (!o)
		return RF_STR("");
	bool v6 = rf_str_find(o->spec.host, ':') < o->spec.host.n;
	int n = snprintf(to, ORIGIN_TEXT, v6 ? "udp://[%.*s]:%u" : "udp://%.*s:%u", RF_ARG(o->spec.host), origin_port(s, o));
	return (struct rf_str){ to, n < ORIGIN_TEXT ? (size_t)n : ORIGIN_TEXT - 1 };
}

static void rule_of(struct rf_record *r, const struct rf_rule *rule)
{
	if (!rule)
		return;
	r->rule_id = rule->id;
	r->rule_name = rule->description;
}

static void ending(struct rf_record *r, enum end why)
{
	enum l4_event event = l4_statuses[endings[why].status].event;
	r->layer = rf_str_z(endings[why].layer);
	r->reason = rf_str_z(endings[why].words);
	if (event != L4_EVENT_DISCONNECT)
		r->action = event == L4_EVENT_CLIENT_FILTERED ? RF_STR("block") : RF_STR("error");
}

static struct rf_str id_text(uint64_t id, char to[17])
{
	snprintf(to, 17, "%016llx", (unsigned long long)id);
	return (struct rf_str){ to, 16 };
}

void report_begin(struct session *s)
{
	struct rf_l4_udp *u = s->udp;
	char id[17], origin[ORIGIN_TEXT];
	if (s->begun)
		return;
	s->begun = true;
	s->recorded = wanted(u);
	if (!s->recorded)
		return;
	struct rf_record r = record_of(&s->key, s->app->id, s->app->name, L4_OPEN);
	r.at = rf_loop_wall(u->loop);
	r.session = id_text(s->id, id);
	r.origin = origin_text(s, origin);
	u->emit(u->arg, &r);
}

void report_end(struct session *s, enum end why)
{
	struct rf_l4_udp *u = s->udp;
	char id[17], origin[ORIGIN_TEXT];
	if (!s->begun)
		report_begin(s);
	if (!s->recorded)
		return;
	uint64_t took = now_of(u) - s->began;
	struct rf_record r = record_of(&s->key, s->app->id, s->app->name, endings[why].status);
	r.at = rf_loop_wall(u->loop) - (int64_t)took;
	r.session = id_text(s->id, id);
	ending(&r, why);
	if (why == END_RULE)
		rule_of(&r, u->verdict.rule);
	r.origin = origin_text(s, origin);
	r.bytes_in = s->bytes_in;
	r.bytes_out = s->bytes_out;
	r.duration_us = took / RF_NS_US;
	u->emit(u->arg, &r);
}

void report_refused(struct rf_l4_udp *u, const struct rf_port *p, const struct key *k, enum end why, const struct rf_rule *rule)
{
	char id[17], name[256];
	rf_count_refused(why == END_BARRED ? RF_REASON_BARRED : RF_REASON_RULE_CONNECTION, false);
	if (!wanted(u))
		return;
	snprintf(name, sizeof name, "%.*s", RF_ARG(p->name));
	struct rf_record r = record_of(k, p->id, name, endings[why].status);
	r.at = rf_loop_wall(u->loop);
	r.session = id_text(u->next_id++, id);
	ending(&r, why);
	rule_of(&r, rule);
	u->emit(u->arg, &r);
}
