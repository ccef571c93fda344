/* ctl/frame_attack_doc: a flood of frames as JSON, there and, for a restart, back. */
#include <stdio.h>
#include <stdlib.h>
#include "base/str.h"
#include "ctl/attacks.h"
#include "ctl/doc.h"
#include "ctl/frame_attack.h"
#include "policy/geo.h"
#include "wire/packet.h"

enum {
	SHARE = 100,              /* a row is told with one part in so many, for sure */
	ERROR_PERCENT = 3, ERROR_PART_PERCENT = 10, /* of an estimate from all frames, and from a part of them */
};

static const struct { const char *word, *doc; } counters[] = {
#define RF_DROP(name, word, doc) { word, doc },
#include "tbl/drops.def"
#undef RF_DROP
};

enum rf_drop rf_frame_attack_counter(const struct rf_frame_attack *a)
{
	enum rf_drop best = RF_DROP_PASS;
	for (int i = 0; i < RF_DROP_COUNT; i++)
		if (a->tally.reason[i] > a->tally.reason[best])
			best = (enum rf_drop)i;
	return best;
}

const char *rf_frame_attack_reason(const struct rf_frame_attack *a) { return counters[rf_frame_attack_counter(a)].word; }

const struct rf_frame_end *rf_frame_attack_target(const struct rf_frame_attack *a)
{
	uint64_t n;
	unsigned at = rf_frame_heaviest(a->tally.all.target, RF_TALLY_TOP, &n);
	return at < RF_TALLY_TOP ? &a->tally.all.end[at] : NULL;
}

const char *rf_frame_attack_protocol(const struct rf_frame_attack *a)
{
	const struct rf_frame_end *target = rf_frame_attack_target(a);
	switch (rf_vector_info(a->vector)->kind) {
	case RF_FRAMES_TCP: return "TCP";
	case RF_FRAMES_UDP:
	case RF_FRAMES_REFLECTION: return "UDP";
	case RF_FRAMES_ICMP: return "ICMP";
	default: break;
	}
	return a->vector == RF_VECTOR_REFLECTION ? "UDP" : target ? rf_packet_proto_name(target->proto) : "";
}

static json_t *time_of(int64_t ns)
{
	char at[RF_RFC3339_SIZE];
	return ns ? json_string(rf_rfc3339(ns, 1, at)) : json_null();
}

/* --- lists --- */

static json_t *text_of_ip(const void *row)
{
	char ip[RF_IP_TEXT];
	return json_pack("{s:s}", "ip", rf_ip_str(row, ip));
}

static json_t *text_of_net(const void *row)
{
	char text[RF_IP_TEXT];
	struct rf_prefix net = { *(const struct rf_ip *)row, ((const struct rf_ip *)row)->family == 4 ? RF_TALLY_NET4 : RF_TALLY_NET6 };
	return json_pack("{s:s}", "network", rf_prefix_str(&net, text));
}

static json_t *text_of_end(const void *row)
{
	const struct rf_frame_end *end = row;
	char ip[RF_IP_TEXT];
	json_t *j = json_pack("{s:s, s:s}", "ip", rf_ip_str(&end->ip, ip), "protocol", rf_packet_proto_name(end->proto));
	if (end->port)
		json_object_set_new(j, "port", json_integer(end->port));
	return j;
}

static json_t *text_of_asn(const void *row) { return json_pack("{s:I}", "asn", (json_int_t)((const struct rf_top *)row)->key); }
static json_t *text_of_port(const void *row) { return json_pack("{s:I}", "port", (json_int_t)((const struct rf_top *)row)->key - 1); }

static json_t *text_of_country(const void *row)
{
	uint64_t key = ((const struct rf_top *)row)->key;
	char letters[3] = { (char)(key / 256), (char)(key % 256), '\0' };
	return json_pack("{s:s}", "country", letters);
}

/* What is sure, the most first; `beside` (NULL: the list itself) stands row by row beside it. */
static json_t *list(const struct rf_top *v, unsigned n, const void *beside, size_t size, json_t *(*text)(const void *row), uint64_t all)
{
	json_t *j = json_array();
	struct rf_top left[RF_TALLY_SOURCES];
	uint64_t sure;
	memcpy(left, v, n * sizeof *v);
	for (unsigned told = 0; told < RF_TALLY_TOP; told++) {
		unsigned at = rf_frame_heaviest(left, n, &sure);
		if (at == n || sure * SHARE < all)
			break;
		json_t *one = text(beside ? (const char *)beside + at * size : (const char *)&v[at]);
		json_object_set_new(one, "packets", json_integer((json_int_t)sure));
		json_array_append_new(j, one);
		left[at].key = 0;
	}
	return j;
}

static json_t *reasons(const struct rf_frame_attack *a)
{
	json_t *all = json_object();
	for (int i = 0; i < RF_DROP_COUNT; i++)
		if (a->tally.reason[i])
			json_object_set_new(all, counters[i].word, json_integer((json_int_t)a->tally.reason[i]));
	return all;
}

static json_t *addresses(const struct rf_frame_attack *a)
{
	bool least = false;
	const struct rf_frame_who *w = &a->tally.all;
	uint64_t n = rf_frame_addresses(w, &least);
	return json_pack("{s:I, s:i, s:b}", "estimate", (json_int_t)(n > a->addresses ? n : a->addresses), "error_percent",
		w->glimpses < w->frames ? ERROR_PART_PERCENT : ERROR_PERCENT, "at_least",
		least || a->addresses > n);
}

static json_t *samples(const struct rf_frame_attack *a)
{
	json_t *all = json_array();
	for (unsigned i = 0; i < a->tally.kept; i++) {
		const struct rf_glimpse *g = &a->tally.sample[i];
		char src[RF_IP_TEXT], dst[RF_IP_TEXT];
		struct rf_ip from = rf_vector_ip(g->family, g->src), to = rf_vector_ip(g->family, g->dst);
		json_array_append_new(all, json_pack("{s:o, s:s, s:i, s:s, s:i, s:s, s:i, s:i, s:s}", "at", time_of((int64_t)g->at_ns + a->to_wall),
			"source", rf_ip_str(&from, src), "source_port", g->sport, "destination", rf_ip_str(&to, dst), "destination_port", g->dport,
			"protocol", rf_packet_proto_name(g->proto), "tcp_flags", g->tcp_flags, "size", (int)g->size, "verdict",
			g->why < RF_DROP_COUNT ? counters[g->why].word : ""));
	}
	return all;
}

/* --- what stops it --- */

static const char *state_of(const struct rf_frame_attack *a)
{
	return a->stops || a->flood.stopped > a->flood.passed ? "blocks" : a->acts ? "found" : "reports";
}

static json_t *signature(const struct rf_stop *s, const char *state)
{
	RF_BUF_AUTO text = { 0 };
	rf_frame_stop_expression(s, &text);
	json_t *j = json_pack("{s:s, s:s}", "expression", rf_buf_z(&text), "state", state);
	if (s->rate.cost_ns)
		json_object_set_new(j, "packets_per_second", json_integer((json_int_t)(RF_NS_S / s->rate.cost_ns)));
	return j;
}

static json_t *signatures(const struct rf_frame_attack *a)
{
	json_t *all = json_array();
	struct rf_stop s;
	for (unsigned i = 0; i < a->stops; i++)
		json_array_append_new(all, signature(&a->stop[i], "blocks"));
	if (!a->stops && rf_frame_signature(a->vector, &a->tally.all, &s))
		json_array_append_new(all, signature(&s, state_of(a)));
	return all;
}

static json_t *measure(const struct rf_frame_attack *a)
{
	enum rf_drop c = rf_frame_attack_counter(a);
	return a->stops ? json_string("stops of what it consists of, at a rate") : c != RF_DROP_PASS ? json_string(counters[c].doc) : json_null();
}

/* --- all of it --- */

static void add_target(const struct rf_frame_attack *a, json_t *object, const char *of_ip, const char *of_port)
{
	const struct rf_frame_end *target = rf_frame_attack_target(a);
	char ip[RF_IP_TEXT] = "";
	json_object_set_new(object, of_ip, json_string(target ? rf_ip_str(&target->ip, ip) : ""));
	json_object_set_new(object, of_port, json_integer(target ? target->port : 0));
	json_object_set_new(object, "protocol", json_string(rf_frame_attack_protocol(a)));
}

static json_t *figures(const struct rf_frame_attack *a)
{
	const struct rf_frame_flood *f = &a->flood;
	uint64_t stopped = f->stopped + a->tally.stopped, passed = f->passed + a->tally.passed; /* up to this moment */
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:{s:s, s:I, s:I, s:I}, s:I, s:I, s:f, s:f, s:I, s:I, s:I, s:I}",
		"vector", rf_vector_info(a->vector)->word, "status", f->on ? "active" : "ended",
		"host", "", "started_at", time_of(a->began_ns), "ended_at", time_of(a->ended_ns), "counter",
		"name", rf_frame_attack_reason(a), "value", (json_int_t)f->peak, "threshold", (json_int_t)f->threshold, "usual", (json_int_t)f->usual,
		"packets_per_second", (json_int_t)(f->on ? f->rate : 0), "peak_packets_per_second", (json_int_t)f->peak,
		"megabits_per_second", f->on ? (double)f->bandwidth * 8 / 1e6 : 0.0, "peak_megabits_per_second", (double)f->peak_bandwidth * 8 / 1e6,
		"packets", (json_int_t)(stopped + passed), "stopped", (json_int_t)stopped, "passed", (json_int_t)passed,
		"bytes_in", (json_int_t)(f->bytes + a->tally.bytes));
}

json_t *rf_frame_attack_doc(const struct rf_frame_attack *a)
{
	const struct rf_frame_who *w = &a->tally.all;
	json_t *j = figures(a);
	if (!j)
		return NULL;
	add_target(a, j, "target_ip", "target_port");
	const struct { const char *name; json_t *value; } rows[] = {
		{ "targets", list(w->target, RF_TALLY_TOP, w->end, sizeof *w->end, text_of_end, w->frames) },
		{ "addresses", addresses(a) },
		{ "top_sources", list(w->source, RF_TALLY_SOURCES, w->ip, sizeof *w->ip, text_of_ip, w->frames) },
		{ "top_networks", list(w->network, RF_TALLY_TOP, w->net, sizeof *w->net, text_of_net, w->frames) },
		{ "top_asns", list(w->asn, RF_TALLY_TOP, NULL, 0, text_of_asn, w->frames) },
		{ "top_countries", list(w->country, RF_TALLY_TOP, NULL, 0, text_of_country, w->frames) },
		{ "source_ports", list(w->port, RF_TALLY_TOP, NULL, 0, text_of_port, w->frames) },
		{ "stopped_by", reasons(a) }, { "signatures", signatures(a) }, { "measure", measure(a) },
		{ "inaction", a->inaction ? json_string(a->inaction) : json_null() }, { "samples", samples(a) },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		json_object_set_new(j, rows[i].name, rows[i].value);
	return j;
}

json_t *rf_frame_attack_alert(const struct rf_frame_attack *a)
{
	const struct rf_frame_flood *f = &a->flood;
	enum rf_drop c = rf_frame_attack_counter(a);
	char began[RF_RFC3339_SIZE], ended[RF_RFC3339_SIZE], rate[32];
	snprintf(rate, sizeof rate, "%llu pps", (unsigned long long)f->peak);
	json_t *from = addresses(a);
	json_t *j = json_pack("{s:s, s:s, s:s, s:I, s:f, s:s, s:s, s:s, s:s, s:s, s:O}", "attack_id", a->id,
		"attack_vector", rf_vector_info(a->vector)->word,
		"max_rate", rate, "packets_per_second", (json_int_t)f->peak, "megabits_per_second", (double)f->peak_bandwidth * 8 / 1e6, "rule_id",
		counters[c].word, "rule_description", c == RF_DROP_PASS ? rf_vector_info(a->vector)->doc : counters[c].doc, "mitigation",
		c != RF_DROP_PASS || a->stops ? "block" : "log", "start_time", rf_rfc3339(a->began_ns, 0, began), "end_time",
		f->on ? "" : rf_rfc3339(a->ended_ns, 0, ended), "source_addresses", json_object_get(from, "estimate"));
	json_decref(from);
	if (j)
		add_target(a, j, "target_ip", "target_port");
	return j;
}

/* --- back --- */

static int64_t time_at(const json_t *doc, const char *name)
{
	struct rf_str z = doc_str(doc, name);
	const char *fraction = z.n ? strchr(z.p, '.') : NULL;
	int64_t s = 0;
	if (!z.n || rf_rfc3339_parse(z.p, &s) != 0)
		return 0;
	return s * (int64_t)RF_NS_S + (fraction ? atoll(fraction + 1) * (int64_t)RF_NS_US : 0);
}

static uint64_t number(const json_t *doc, const char *name)
{
	int64_t n = doc_int(doc, name, 0);
	return n > 0 ? (uint64_t)n : 0;
}

static void resume_flood(struct rf_frame_flood *f, const json_t *doc)
{
	const json_t *counter = json_object_get(doc, "counter");
	uint64_t threshold = number(counter, "threshold");
	*f = (struct rf_frame_flood){ .on = true, .usual = number(counter, "usual"), .threshold = threshold, .limit = threshold,
		.limit_stopped = RF_FRAME_FLOOR, .peak = number(doc, "peak_packets_per_second"), .stopped = number(doc, "stopped"),
		.passed = number(doc, "passed"), .bytes = number(doc, "bytes_in"),
		.peak_bandwidth = (uint64_t)(json_number_value(json_object_get(doc, "peak_megabits_per_second")) * 1e6 / 8) };
	f->mean = (double)f->usual;
}

static uint8_t protocol_of(struct rf_str name)
{
	unsigned p = 0;
	while (p < 256 && !(name.n && rf_str_eq(name, rf_str_z(rf_packet_proto_name((uint8_t)p)))))
		p++;
	return (uint8_t)p;
}

static void resume_ends(struct rf_frame_who *w, const json_t *doc)
{
	size_t i;
	const json_t *row;
	struct rf_ip ip;
	struct rf_prefix net;
	json_array_foreach(json_object_get(doc, "top_sources"), i, row)
		if (rf_ip_parse(doc_str(row, "ip"), &ip))
			rf_frame_who_source(w, &ip, number(row, "packets"));
	json_array_foreach(json_object_get(doc, "top_networks"), i, row)
		if (rf_prefix_parse(doc_str(row, "network"), true, &net))
			rf_frame_who_network(w, &net.ip, number(row, "packets"));
	json_array_foreach(json_object_get(doc, "targets"), i, row) {
		struct rf_frame_end end = { .port = (uint16_t)number(row, "port"), .proto = protocol_of(doc_str(row, "protocol")) };
		if (rf_ip_parse(doc_str(row, "ip"), &end.ip))
			rf_frame_who_target(w, &end, number(row, "packets"));
	}
}

static void resume_numbers(struct rf_frame_who *w, const json_t *doc)
{
	size_t i;
	const json_t *row;
	json_array_foreach(json_object_get(doc, "top_asns"), i, row)
		if (number(row, "asn"))
			rf_top_add(w->asn, RF_TALLY_TOP, number(row, "asn"), number(row, "packets"));
	json_array_foreach(json_object_get(doc, "source_ports"), i, row)
		rf_top_add(w->port, RF_TALLY_TOP, number(row, "port") + 1, number(row, "packets"));
	json_array_foreach(json_object_get(doc, "top_countries"), i, row)
		if (rf_geo_country(doc_str(row, "country")))
			rf_top_add(w->country, RF_TALLY_TOP, rf_geo_country(doc_str(row, "country")), number(row, "packets"));
}

void rf_frame_attack_resume(struct rf_frame_attack *a, const char *id, const json_t *doc)
{
	const json_t *stopped = json_object_get(doc, "stopped_by");
	snprintf(a->id, sizeof a->id, "%s", id);
	a->began_ns = time_at(doc, "started_at");
	a->addresses = number(json_object_get(doc, "addresses"), "estimate");
	for (int i = 0; i < RF_DROP_COUNT; i++)
		a->tally.reason[i] = number(stopped, counters[i].word);
	resume_flood(&a->flood, doc);
	resume_ends(&a->tally.all, doc);
	resume_numbers(&a->tally.all, doc);
}
