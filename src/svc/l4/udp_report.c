/* svc/l4/udp_report: records of sessions: one when it begins, one when it ends, one for who is refused.
 *
 * So many a second are recorded; of a flood, most are only counted. A session whose beginning is recorded has its end recorded.
 */
#include <stdio.h>
#include "svc/l4/udp_in.h"

static const struct { uint16_t status; const char *layer, *words; } endings[] = {
	[END_IDLE] = { 200, "", "idle" },
	[END_ROOM] = { 200, "", "made room for another session" },
	[END_SEVERED] = { 403, "net", "ended by the operator" },
	[END_APP_GONE] = { 200, "", "its app is no longer there" },
	[END_BARRED] = { 403, "net", "an access rule blocks the client's address" },
	[END_RULE] = { 403, "rule", "a rule blocked the connection" },
	[END_ORIGIN_REFUSED] = { 503, "origin", "the origin could not be reached" },
	[END_ORIGIN_NONE] = { 503, "origin", "no origin is healthy" },
	[END_NO_REPLY] = { 500, "net", "there is no socket to answer from" },
	[END_MEMORY] = { 500, "limit", "memory or descriptors are exhausted" },
	[END_DRAIN] = { 200, "", "the edge is shutting down" },
	[END_CLOSED] = { 200, "", "the edge has ended" },
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

static struct rf_record record_of(const struct key *k, const char *name)
{
	return (struct rf_record){ .kind = RF_REC_CONNECTION, .src = ip_of(k->client_family, k->client), .src_port = k->client_port,
				   .dst = ip_of(k->edge_family, k->edge), .dst_port = k->edge_port, .host = rf_str_z(name),
				   .action = RF_STR("allow") };
}

static struct rf_str id_text(uint64_t id, char to[17])
{
	snprintf(to, 17, "%016llx", (unsigned long long)id);
	return (struct rf_str){ to, 16 };
}

void report_begin(struct session *s)
{
	struct rf_l4_udp *u = s->udp;
	char id[17];
	if (s->begun)
		return;
	s->begun = true;
	s->recorded = wanted(u);
	if (!s->recorded)
		return;
	struct rf_record r = record_of(&s->key, s->app->name);
	r.at = rf_loop_wall(u->loop);
	r.session = id_text(s->id, id);
	r.origin = s->to ? s->to->url : RF_STR("");
	u->emit(u->arg, &r);
}

void report_end(struct session *s, enum end why)
{
	struct rf_l4_udp *u = s->udp;
	char id[17];
	if (!s->begun)
		report_begin(s);
	if (!s->recorded)
		return;
	uint64_t took = now_of(u) - s->began;
	struct rf_record r = record_of(&s->key, s->app->name);
	r.at = rf_loop_wall(u->loop) - (int64_t)took;
	r.session = id_text(s->id, id);
	r.status = endings[why].status;
	r.layer = rf_str_z(endings[why].layer);
	r.reason = rf_str_z(endings[why].words);
	if (endings[why].status >= 400)
		r.action = endings[why].status == 403 ? RF_STR("block") : RF_STR("error");
	r.origin = s->to ? s->to->url : RF_STR("");
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
	struct rf_record r = record_of(k, name);
	r.at = rf_loop_wall(u->loop);
	r.session = id_text(u->next_id++, id);
	r.action = RF_STR("block");
	r.status = endings[why].status;
	r.layer = rf_str_z(endings[why].layer);
	r.reason = rf_str_z(endings[why].words);
	if (rule) {
		r.rule_id = rule->id;
		r.rule_name = rule->description;
	}
	u->emit(u->arg, &r);
}
