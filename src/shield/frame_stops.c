/* shield/frame_stops: see frame_stops.h. */
#include "shield/frame_stops.h"

enum {
	SOURCES = 8,              /* that are named for one flood */
	TARGETS = 4,
	PART = 10,                /* a source or target is worth a stop with a tenth of the flood */
	LEAST = 10,               /* frames a second that a source keeps, in parts of the limit: one in so many */
};

static uint64_t sure(const struct rf_top *t) { return t->weight - t->over; }

/* Most of the frames have the same: a port; 0: they have not. */
static uint16_t common_port(const struct rf_frame_who *w)
{
	uint64_t n;
	unsigned at = rf_frame_heaviest(w->port, RF_TALLY_TOP, &n);
	return at < RF_TALLY_TOP && n * 10 >= w->frames * 9 ? (uint16_t)(w->port[at].key - 1) : 0;
}

static struct rf_stop of_vector(enum rf_vector v, const struct rf_frame_who *w, const struct rf_frame_end *end, uint64_t rate)
{
	const struct rf_vector_info *i = rf_vector_info(v);
	struct rf_stop s = { .rate.cost_ns = rate, .family = end->ip.family, .proto = end->proto, .part = i->kind == RF_FRAMES_FRAGMENT,
			     .vector = (uint8_t)v, .sport = i->kind == RF_FRAMES_ICMP || i->kind == RF_FRAMES_COUNTER ? common_port(w) : i->port };
	rf_vector_flags(v, &s.flags_mask, &s.flags);
	return s;
}

/* The target of most; frames of a kind have one protocol, but for ICMP and others. */
static const struct rf_frame_end *main_end(const struct rf_frame_who *w)
{
	uint64_t n;
	unsigned at = rf_frame_heaviest(w->target, RF_TALLY_TOP, &n);
	return at < RF_TALLY_TOP ? &w->end[at] : NULL;
}

static unsigned by_source(const struct rf_frame_flow *f, struct rf_stop *to, unsigned room, uint64_t *left)
{
	const struct rf_frame_who *w = f->through;
	const struct rf_frame_end *end = main_end(w);
	unsigned n = 0;
	for (unsigned i = 0; i < RF_TALLY_SOURCES && n < SOURCES && n < room; i++) {
		uint64_t frames = w->source[i].key ? sure(&w->source[i]) : 0;
		if (frames * PART < w->frames || frames * PART < f->limit || w->ip[i].family != end->ip.family)
			continue;
		if (f->known(f->arg, &w->ip[i]) && frames * 2 < w->frames)
			continue;
		struct rf_stop s = of_vector(f->vector, w, end, f->limit / LEAST);
		s.of_src = 1;
		memcpy(s.src, w->ip[i].b, sizeof s.src);
		to[n++] = s;
		*left -= frames < *left ? frames : *left;
	}
	return n;
}

/* The only port of this address that it comes to, or 0. */
static uint16_t port_at(const struct rf_frame_who *w, unsigned host)
{
	for (unsigned i = 0; i < RF_TALLY_TOP; i++)
		if (w->target[i].key && rf_ip_eq(&w->end[i].ip, &w->own[host]) && sure(&w->target[i]) * 10 >= sure(&w->host[host]) * 9)
			return w->end[i].port;
	return 0;
}

static unsigned by_target(const struct rf_frame_flow *f, struct rf_stop *to, unsigned room)
{
	const struct rf_frame_who *w = f->through;
	const struct rf_frame_end *end = main_end(w);
	uint64_t rate = f->usual + f->usual / 2 > f->limit / 2 ? f->usual + f->usual / 2 : f->limit / 2;
	unsigned n = 0;
	for (unsigned i = 0; i < RF_TALLY_TOP && n < TARGETS && n < room; i++) {
		if (!w->host[i].key || sure(&w->host[i]) * PART < w->frames || w->own[i].family != end->ip.family)
			continue;
		struct rf_stop s = of_vector(f->vector, w, end, rate);
		s.of_dst = 1;
		s.dport = port_at(w, i);
		memcpy(s.dst, w->own[i].b, sizeof s.dst);
		to[n++] = s;
	}
	if (!n && room)
		to[n++] = of_vector(f->vector, w, end, rate);
	return n;
}

bool rf_frame_signature(enum rf_vector v, const struct rf_frame_who *w, struct rf_stop *ret)
{
	const struct rf_frame_end *end = main_end(w);
	uint64_t n, of_target;
	if (!end)
		return false;
	struct rf_stop s = of_vector(v, w, end, 0);
	unsigned source = rf_frame_heaviest(w->source, RF_TALLY_SOURCES, &n);
	rf_frame_heaviest(w->target, RF_TALLY_TOP, &of_target);
	s.of_dst = 1;
	s.dport = of_target * 10 >= w->frames * 9 ? end->port : 0;
	memcpy(s.dst, end->ip.b, sizeof s.dst);
	if (source < RF_TALLY_SOURCES && n * 10 >= w->frames * 9) {
		s.of_src = 1;
		memcpy(s.src, w->ip[source].b, sizeof s.src);
	}
	*ret = s;
	return true;
}

unsigned rf_frame_stops(const struct rf_frame_flow *f, struct rf_stop *to, unsigned room)
{
	uint64_t left = f->through->frames;
	enum rf_vector_kind kind = rf_vector_info(f->vector)->kind;
	if (left < f->limit || kind == RF_FRAMES_MALFORMED || kind == RF_FRAMES_COUNTER || !main_end(f->through))
		return 0;
	unsigned n = by_source(f, to, room, &left);
	if (left >= f->limit && f->vector != RF_VECTOR_SYN)
		n += by_target(f, to + n, room - n);
	return n;
}

static void flags_of(const struct rf_stop *s, struct rf_buf *to)
{
	static const struct { uint8_t bit; const char *name; } flags[] = { { RF_TCP_SYN, "syn" }, { RF_TCP_ACK, "ack" }, { RF_TCP_RST, "reset" } };
	for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++)
		if (s->flags_mask & flags[i].bit)
			rf_buf_printf(to, " and %stcp.flags.%s", s->flags & flags[i].bit ? "" : "not ", flags[i].name);
}

void rf_frame_stop_expression(const struct rf_stop *s, struct rf_buf *to)
{
	char ip[RF_IP_TEXT];
	const char *layer = s->proto == RF_PROTO_TCP ? "tcp" : "udp";
	struct rf_ip src = rf_vector_ip(s->family, s->src), dst = rf_vector_ip(s->family, s->dst);
	rf_buf_printf(to, "ip.proto.num eq %u", s->proto);
	if (s->proto == RF_PROTO_ICMP || s->proto == RF_PROTO_ICMP6) {
		if (s->sport)
			rf_buf_printf(to, " and icmp.type eq %u", s->sport);
	} else {
		if (s->sport)
			rf_buf_printf(to, " and %s.srcport eq %u", layer, s->sport);
		if (s->dport)
			rf_buf_printf(to, " and %s.dstport eq %u", layer, s->dport);
	}
	flags_of(s, to);
	if (s->of_src)
		rf_buf_printf(to, " and ip.src eq %s", rf_ip_str(&src, ip));
	if (s->of_dst)
		rf_buf_printf(to, " and ip.dst eq %s", rf_ip_str(&dst, ip));
}
