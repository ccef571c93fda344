/* ctl/attack_doc: an attack as JSON, and signatures there and back.
 *
 * Samples are of requests that a signature of the attack matches. Values of cookies are told in the signature alone: there hardly
 * anything usual has them.
 */
#include <stdlib.h>
#include "ctl/attacks.h"
#include "ctl/doc.h"

static json_t *time_of(int64_t ns)
{
	char at[RF_RFC3339_SIZE];
	return ns ? json_string(rf_rfc3339(ns, 1, at)) : json_null();
}

json_t *rf_attack_terms(const struct rf_signature *g)
{
	json_t *all = json_array();
	for (unsigned i = 0; i < g->n; i++) {
		RF_BUF_AUTO quoted = { 0 };
		const char *v = g->term[i].value;
		json_t *value = json_string(v);
		if (!value) { /* not UTF-8: byte by byte */
			for (; *v; v++)
				rf_buf_printf(&quoted, "%02x", (unsigned char)*v);
			value = json_pack("{s:s}", "hex", rf_buf_z(&quoted));
		}
		json_array_append_new(all, json_pack("{s:s, s:o}", "trait", rf_trait_name(g->term[i].trait), "value", value));
	}
	return all;
}

static bool unhex(struct rf_str hex, char *to, size_t room)
{
	uint64_t byte = 0;
	size_t n = hex.n / 2;
	if (hex.n % 2 || n >= room)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!rf_str_hex64((struct rf_str){ hex.p + 2 * i, 2 }, &byte))
			return false;
		to[i] = (char)byte;
	}
	to[n] = '\0';
	return true;
}

static bool sources_of(struct rf_str text, struct rf_signature *to)
{
	struct rf_str part;
	struct rf_ip ip;
	while (rf_str_split(&text, ' ', &part)) {
		if (to->nsources == RF_SIGNATURE_SOURCES || !rf_ip_parse(part, &ip))
			return false;
		to->source[to->nsources++] = rf_source_hash(&ip);
	}
	return to->nsources > 0;
}

int rf_attack_signature(const json_t *terms, struct rf_signature *ret)
{
	struct rf_signature g = { 0 };
	size_t i;
	const json_t *one;
	json_array_foreach(terms, i, one) {
		struct rf_str value = doc_str(one, "value"), hex = doc_str(json_object_get(one, "value"), "hex");
		enum rf_trait t = rf_trait_find(doc_str(one, "trait"));
		struct rf_term *to = &g.term[g.n < RF_SIGNATURE_TERMS ? g.n : 0];
		if (t == RF_TRAITS || g.n == RF_SIGNATURE_TERMS || value.n >= sizeof to->value)
			return RF_E_INVALID;
		memcpy(to->value, value.p, value.n);
		if (hex.n && !unhex(hex, to->value, sizeof to->value))
			return RF_E_INVALID;
		to->trait = t;
		to->hash = rf_trait_hash(t, rf_str_z(to->value));
		if (t == RF_TRAIT_SOURCE && !sources_of(value, &g))
			return RF_E_INVALID;
		g.n++;
	}
	if (!g.n)
		return RF_E_INVALID;
	*ret = g;
	return RF_OK;
}

/* What it sent for sure: a table of few rows tells more of who came last. */
static uint64_t sure(const struct rf_top *t) { return t->weight - t->over; }

/* The heaviest first; sources stand beside their addresses, and are picked one by one. */
static json_t *top_sources(const struct rf_flood *f)
{
	json_t *all = json_array();
	bool told[RF_FLOOD_TOP] = { false };
	for (unsigned n = 0; n < RF_FLOOD_TOP; n++) {
		unsigned at = RF_FLOOD_TOP;
		char ip[RF_IP_TEXT];
		for (unsigned i = 0; i < RF_FLOOD_TOP; i++)
			if (f->source[i].key && !told[i] && (at == RF_FLOOD_TOP || sure(&f->source[i]) > sure(&f->source[at])))
				at = i;
		if (at == RF_FLOOD_TOP)
			break;
		told[at] = true;
		json_array_append_new(all, json_pack("{s:s, s:I}", "ip", rf_ip_str(&f->ip[at], ip), "requests", (json_int_t)sure(&f->source[at])));
	}
	return all;
}

static int heavier(const void *a, const void *b)
{
	uint64_t x = sure(a), y = sure(b);
	return x < y ? 1 : x > y ? -1 : 0;
}

static json_t *top(const struct rf_top *from, bool country)
{
	struct rf_top v[RF_FLOOD_TOP];
	json_t *all = json_array();
	memcpy(v, from, sizeof v);
	qsort(v, RF_FLOOD_TOP, sizeof *v, heavier);
	for (unsigned i = 0; i < RF_FLOOD_TOP && v[i].key; i++) {
		char letters[3] = { (char)(v[i].key / 256), (char)(v[i].key % 256), '\0' };
		json_array_append_new(all, json_pack("{s:o, s:I}", country ? "country" : "asn", country ? json_string(letters) :
			json_integer((json_int_t)v[i].key), "requests", (json_int_t)sure(&v[i])));
	}
	return all;
}

static json_t *piece(const struct rf_sample *s, enum rf_piece p)
{
	struct rf_str v = rf_sample_piece(s, p);
	json_t *j = json_stringn(v.n ? v.p : "", v.n);
	return j ? j : json_string("(not UTF-8)");
}

static json_t *samples(const struct rf_flood *f)
{
	static const struct { const char *name; enum rf_piece p; } pieces[] = {
		{ "method", RF_PIECE_METHOD }, { "path", RF_PIECE_PATH }, { "query", RF_PIECE_QUERY }, { "headers", RF_PIECE_NAMES },
		{ "user_agent", RF_PIECE_AGENT }, { "content_type", RF_PIECE_TYPE }, { "content_length", RF_PIECE_LENGTH },
		{ "body", RF_PIECE_BODY }, { "ja4", RF_PIECE_PRINT } };
	json_t *all = json_array();
	for (unsigned i = 0; i < f->kept; i++) {
		const struct rf_sample *s = &f->sample[i].s;
		char ip[RF_IP_TEXT];
		json_t *one = json_pack("{s:o, s:s}", "at", time_of(f->sample[i].wall_ns), "source", rf_ip_str(&s->src, ip));
		if (s->device[0])
			json_object_set_new(one, "device_id", json_string(s->device));
		for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++)
			if (s->len[pieces[k].p])
				json_object_set_new(one, pieces[k].name, piece(s, pieces[k].p));
		json_array_append_new(all, one);
	}
	return all;
}

static const char *const classes[] = { "none", "1xx", "2xx", "3xx", "4xx", "5xx" };

static json_t *statuses(const struct rf_flood *f)
{
	json_t *all = json_object();
	for (int i = 0; i < 6; i++)
		if (f->status[i])
			json_object_set_new(all, classes[i], json_integer((json_int_t)f->status[i]));
	return all;
}

/* In percent of the answers of the origin. */
static json_t *usual_statuses(const struct rf_flood *f)
{
	json_t *all = json_object();
	for (int i = 0; i < 6; i++)
		if (f->mix[i])
			json_object_set_new(all, classes[i], json_real(f->mix[i] / 10.0));
	return all;
}

void rf_attack_doc(const struct rf_attack *a, uint64_t stopped, json_t *object)
{
	const struct rf_flood *f = a->flood;
	uint64_t requests = f->requests > stopped ? f->requests : stopped; /* those are told each tick, these at once */
	const struct { const char *name; json_t *value; } rows[] = {
		{ "vector", json_string(a->vector) }, { "status", json_string(a->ended ? "ended" : "active") },
		{ "host", json_string(f->host) }, { "zone_id", json_string(a->zone) },
		{ "started_at", time_of(f->began_ns) }, { "ended_at", time_of(a->ended ? f->ended_ns : 0) },
		{ "counter", json_pack("{s:s, s:I, s:I, s:I}", "name", a->counter, "value", (json_int_t)(f->by == RF_MEASURE_REQUESTS ? f->peak : f->worst), "threshold",
				       (json_int_t)f->threshold, "usual", (json_int_t)f->usual) },
		{ "requests_per_second", json_integer(a->ended ? 0 : f->rate) }, { "peak_requests_per_second", json_integer(f->peak) },
		{ "megabits_per_second", json_real(a->ended ? 0 : (double)f->bandwidth * 8 / 1e6) },
		{ "peak_megabits_per_second", json_real((double)f->peak_bandwidth * 8 / 1e6) },
		{ "requests", json_integer((json_int_t)requests) }, { "stopped", json_integer((json_int_t)stopped) },
		{ "passed", json_integer((json_int_t)(requests - stopped)) },
		{ "bytes_in", json_integer((json_int_t)f->bytes_in) }, { "bytes_out", json_integer((json_int_t)f->bytes_out) },
		{ "statuses", statuses(f) }, { "usual_statuses", usual_statuses(f) },
		{ "addresses", json_pack("{s:I, s:i}", "estimate", (json_int_t)rf_hll_count(f->addresses, RF_HLL), "error_percent", 3) },
		{ "top_sources", top_sources(f) }, { "top_asns", top(f->asn, false) }, { "top_countries", top(f->country, true) },
		{ "signatures", json_incref(a->rules) }, { "inaction", f->inaction ? json_string(f->inaction) : json_null() },
		{ "device_id", json_string(a->device) }, { "reason", json_string(a->why) }, { "measure", a->measure ? json_string(a->measure) : json_null() }, { "samples", samples(f) },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		json_object_set_new(object, rows[i].name, rows[i].value);
}
