/* shield/frame_tally: see frame_tally.h. */
#include "shield/frame_tally.h"
#include "base/hash.h"

static uint64_t key_of(const void *p, size_t n) { return rf_hash((struct rf_str){ p, n }) | 1; }

void rf_frame_who_source(struct rf_frame_who *w, const struct rf_ip *ip, uint64_t frames)
{
	uint64_t hash = rf_hash((struct rf_str){ (const char *)ip, sizeof *ip });
	rf_hll_add(w->addresses, RF_HLL, hash);
	w->ip[rf_top_add(w->source, RF_TALLY_SOURCES, hash | 1, frames)] = *ip;
}

void rf_frame_who_network(struct rf_frame_who *w, const struct rf_ip *net, uint64_t frames)
{
	w->net[rf_top_add(w->network, RF_TALLY_TOP, key_of(net, sizeof *net), frames)] = *net;
}

void rf_frame_who_target(struct rf_frame_who *w, const struct rf_frame_end *end, uint64_t frames)
{
	struct { struct rf_ip ip; uint8_t proto; uint16_t port; } whole = { end->ip, end->proto, end->port };
	_Static_assert(sizeof whole == sizeof end->ip + 3, "no byte of it is without meaning");
	w->end[rf_top_add(w->target, RF_TALLY_TOP, key_of(&whole, sizeof whole), frames)] = *end;
	w->own[rf_top_add(w->host, RF_TALLY_TOP, key_of(&end->ip, sizeof end->ip), frames)] = end->ip;
}

static void add_ends(struct rf_frame_who *w, const struct rf_glimpse *g)
{
	struct rf_ip src = rf_vector_ip(g->family, g->src);
	struct rf_prefix net = rf_ip_mask(&src, g->family == 4 ? RF_TALLY_NET4 : RF_TALLY_NET6);
	bool ports = !g->part && (g->proto == RF_PROTO_TCP || g->proto == RF_PROTO_UDP);
	struct rf_frame_end end = { rf_vector_ip(g->family, g->dst), ports ? g->dport : 0, g->proto };
	rf_frame_who_source(w, &src, g->weight);
	rf_frame_who_network(w, &net.ip, g->weight);
	rf_frame_who_target(w, &end, g->weight);
	rf_top_add(w->port, RF_TALLY_TOP, g->sport + 1u, g->weight);
}

static void add(struct rf_frame_who *w, const struct rf_glimpse *g, uint32_t asn, uint32_t country)
{
	w->frames += g->weight;
	w->glimpses++;
	if (!g->family)
		return;
	add_ends(w, g);
	if (asn)
		rf_top_add(w->asn, RF_TALLY_TOP, asn, g->weight);
	if (country)
		rf_top_add(w->country, RF_TALLY_TOP, country, g->weight);
}

void rf_frame_tally_add(struct rf_frame_tally *t, const struct rf_glimpse *g, uint32_t asn, uint32_t country)
{
	bool passed = rf_vector_passed(g);
	*(passed ? &t->passed : &t->stopped) += g->weight;
	t->bytes += (uint64_t)g->weight * g->size;
	if (passed)
		add(&t->through, g, 0, 0);
	else if (g->why < RF_DROP_COUNT)
		t->reason[g->why] += g->weight;
	add(&t->all, g, asn, country);
	if (t->kept < RF_TALLY_KEPT)
		t->sample[t->kept++] = *g;
}

void rf_frame_tally_second(struct rf_frame_tally *t, uint64_t *ret_stopped, uint64_t *ret_passed, uint64_t *ret_bytes)
{
	*ret_stopped = t->stopped;
	*ret_passed = t->passed;
	*ret_bytes = t->bytes;
	t->stopped = t->passed = t->bytes = 0;
}

void rf_frame_tally_next(struct rf_frame_tally *t, bool on)
{
	if (!on && t->all.glimpses)
		*t = (struct rf_frame_tally){ 0 };
	if (t->through.glimpses)
		t->through = (struct rf_frame_who){ 0 };
}

unsigned rf_frame_heaviest(const struct rf_top *v, unsigned n, uint64_t *ret_sure)
{
	unsigned best = n;
	uint64_t most = 0;
	for (unsigned i = 0; i < n; i++)
		if (v[i].key && v[i].weight - v[i].over > most) {
			most = v[i].weight - v[i].over;
			best = i;
		}
	*ret_sure = most;
	return best;
}

uint64_t rf_frame_addresses(const struct rf_frame_who *w, bool *ret_least)
{
	uint64_t seen = rf_hll_count(w->addresses, RF_HLL);
	return rf_distinct(seen < w->glimpses ? seen : w->glimpses, w->glimpses, w->frames, ret_least);
}
