/* api/edge_packets: rules of the phase packet as the kernel has them: what each has counted. */
#include "api/edge.h"
#include "ctl/packets.h"
#include "ctl/private.h"
#include "shield/numbers.h"
#include "shield/shield.h"
#include "svc/snapshot.h"

static const struct rf_numbers *numbers_of(const struct rf_ctl *c)
{
	return c->shield ? rf_shield_numbers(c->shield) : NULL;
}

static json_t *one_rule(const struct rf_ctl *c, const struct rf_rule *r)
{
	const struct rf_numbers *n = numbers_of(c);
	uint64_t frames = 0, bytes = 0;
	unsigned number;
	bool counted = n && rf_numbers_find(n, r->id, &number) == RF_OK;
	if (counted)
		rf_numbers_counted(n, number, &frames, &bytes);
	return json_pack("{s:s%, s:s%, s:s%, s:s, s:s%, s:b, s:b, s:I, s:I}", "id", r->id.p, r->id.n, "ref", r->ref.n ? r->ref.p : "", r->ref.n,
		"description", r->description.n ? r->description.p : "", r->description.n, "action", rf_actions[r->action].name,
		"expression", r->expression.p, r->expression.n, "enabled", r->enabled, "in_force", r->enabled && counted && !rf_packets_missing(c),
		"frames", (json_int_t)frames, "bytes", (json_int_t)bytes);
}

static json_t *rules(void *ctx)
{
	const struct rf_ctl *c = ((struct rf_api_edge *)ctx)->ctl;
	const struct rf_phase_set *set = rf_snap_now()->policy.phase[RF_PHASE_PACKET];
	json_t *array = json_array();
	for (size_t i = 0; set && i < set->count; i++)
		for (size_t b = 0; b < set->sets[i]->nblocks; b++)
			for (unsigned k = 0; k < set->sets[i]->blocks[b]->count; k++)
				json_array_append_new(array, one_rule(c, set->sets[i]->blocks[b]->rules[k]));
	return array;
}

void rf_api_edge_packet_metrics(const struct rf_ctl *c, struct rf_buf *to)
{
	const struct rf_numbers *n = numbers_of(c);
	for (int what = 0; n && what < 2; what++) {
		const char *unit = what ? "bytes" : "frames";
		rf_buf_printf(to, "# HELP ringfence_packet_rule_%s_total What rules of packets have matched\n"
			"# TYPE ringfence_packet_rule_%s_total counter\n", unit, unit);
		for (unsigned i = 0; i < RF_PACKET_RULES; i++) {
			struct rf_str id = rf_numbers_rule(n, i);
			uint64_t counted[2];
			if (!id.n)
				continue;
			rf_numbers_counted(n, i, &counted[0], &counted[1]);
			rf_buf_printf(to, "ringfence_packet_rule_%s_total{rule=\"%.*s\"} %llu\n", unit, RF_ARG(id), (unsigned long long)counted[what]);
		}
	}
}

const struct rf_api_packet_hooks rf_api_edge_packets = { .rules = rules };
