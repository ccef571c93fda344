/* api/edge_packets: rules of the phase packet as the kernel has them: what each has counted. */
#include "api/edge.h"
#include "ctl/captures.h"
#include "ctl/packets.h"
#include "ctl/private.h"
#include "ctl/wall.h"
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
		"expression", r->expression.p, r->expression.n, "enabled", r->enabled, "in_force", r->enabled && counted && !rf_packets_missing(c) && !rf_packets_left_out(c, r->id),
		"frames", (json_int_t)frames, "bytes", (json_int_t)bytes);
}

static json_t *rules(void *ctx)
{
	const struct rf_ctl *c = ((struct rf_api_edge *)ctx)->ctl;
	const struct rf_phase_set *set = rf_snap_now()->policy.phase[RF_PHASE_PACKET];
	json_t *array = json_array();
	rf_wall_count(c);
	for (size_t i = 0; set && i < set->count; i++)
		for (size_t b = 0; b < set->sets[i]->nblocks; b++)
			for (unsigned k = 0; k < set->sets[i]->blocks[b]->count; k++)
				json_array_append_new(array, one_rule(c, rf_block_rule(set->sets[i]->blocks[b], k)));
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

/* --- captures --- */

static struct rf_captures *captures_of(void *ctx) { return ((struct rf_api_edge *)ctx)->ctl->priv->captures; }

static int ready(void *ctx, struct rf_err *e)
{
	return captures_of(ctx) ? RF_OK : rf_fail(e, RF_E_UNSUPPORTED, "nothing can be captured while the edge comes up or goes down");
}

static json_t *captures(void *ctx) { return captures_of(ctx) ? rf_captures_list(captures_of(ctx)) : json_array(); }

static int capture(void *ctx, const json_t *body, json_t **ret, struct rf_err *e)
{
	int rc = ready(ctx, e);
	return rc == RF_OK ? rf_captures_start(captures_of(ctx), body, ret, e) : rc;
}

static int captured(void *ctx, const char *id, bool stop, json_t **ret, struct rf_err *e)
{
	int rc = ready(ctx, e);
	if (rc != RF_OK)
		return rc;
	return stop ? rf_captures_stop(captures_of(ctx), id, ret, e) : rf_captures_get(captures_of(ctx), id, ret, e);
}

static int frames(void *ctx, const char *id, size_t from, json_t **ret, struct rf_err *e)
{
	int rc = ready(ctx, e);
	return rc == RF_OK ? rf_captures_frames(captures_of(ctx), id, from, ret, e) : rc;
}

static int file(void *ctx, const char *id, struct rf_buf *to, struct rf_err *e)
{
	int rc = ready(ctx, e);
	return rc == RF_OK ? rf_captures_file(captures_of(ctx), id, to, e) : rc;
}

static const char *missing(void *ctx) { return rf_packets_missing(((struct rf_api_edge *)ctx)->ctl); }

const struct rf_api_packet_hooks rf_api_edge_packets = { .rules = rules, .missing = missing, .captures = captures, .capture = capture, .captured = captured,
	.frames = frames, .file = file };
