/* svc/http/who: the device behind a connection, from the handshake to the end.
 *
 * The device is found once (svc/identity) and again when the snapshot has changed or none was known,
 * so that one that is added while its connection stands is known at its next request. It is
 * referenced, counted in its use and its class's, and linked for revocation, all as long as the
 * connection lasts.
 *
 * Invariant: c->device set <=> linked in edge->live. `counted` <=> its connection is counted.
 */
#include <stdio.h>
#include "svc/http/conn.h"

void who_leave(struct rf_http_conn *c)
{
	if (!c->device)
		return;
	live_del(c);
	if (c->counted)
		rf_use_leave(&rf_device_use(c->device)->connections);
	if (c->class_slot != UINT16_MAX)
		limits_class_leave(c->class_slot);
	c->counted = false;
	c->class_slot = UINT16_MAX;
	rf_device_put(c->device);
	c->device = NULL;
}

const struct rf_class *who_class(const struct rf_http_conn *c, const struct rf_snap *snap)
{
	return c->device ? rf_snap_class(snap, rf_device_class_slot(c->device)) : NULL;
}

static void who_enter(struct rf_http_conn *c, struct rf_device *d, const struct rf_class *class)
{
	uint32_t max = class && class->max_connections ? class->max_connections : UINT32_MAX;
	c->device = rf_device_get(d);
	live_add(c);
	c->counted = rf_use_enter(&rf_device_use(d)->connections, max);
	uint16_t slot = rf_device_class_slot(d);
	if (limits_class_enter(slot, class ? class->class_max_connections : 0))
		c->class_slot = slot;
	c->over = !c->counted || c->class_slot == UINT16_MAX;
}

void who_identify(struct rf_http_conn *c, const struct rf_snap *snap)
{
	const struct rf_tls_info *info = c->handshaken ? rf_tls_info(&c->stream) : NULL;
	struct rf_identity id;
	rf_identify(&c->edge->identity, snap, info, rf_loop_wall(c->edge->loop) / (int64_t)RF_NS_S, &id);
	c->who = id.refusal;
	c->who_reason = id.reason;
	c->who_generation = snap->generation;
	if (id.device == c->device)
		return;
	who_leave(c);
	if (id.device)
		who_enter(c, id.device, id.class);
}

/* In force before this returns, for every further request of the device; the control thread keeps it and ends the device's
 * other connections. Where the control thread cannot be told, the device stays as it was: its next request tries again. */
void who_quarantine(struct rf_http_conn *c, const struct rf_rule *rule)
{
	const struct rf_identity_env *env = &c->edge->identity;
	if (!c->device || !rf_device_turn(c->device, RF_DEVICE_ACTIVE, RF_DEVICE_QUARANTINED))
		return;
	struct rf_identity_event ev = { .quarantined = true, .at_s = rf_loop_wall(c->edge->loop) / (int64_t)RF_NS_S };
	memcpy(ev.device, rf_device_id(c->device), sizeof ev.device);
	snprintf(ev.rule, sizeof ev.rule, "%.*s", RF_ARG(rule->id));
	snprintf(ev.subject, sizeof ev.subject, "%.*s", RF_ARG(rule->description));
	if (env->event && !env->event(env->arg, &ev)) {
		rf_device_turn(c->device, RF_DEVICE_QUARANTINED, RF_DEVICE_ACTIVE);
		return;
	}
	c->last = true;
	rf_count(RF_C_QUARANTINED);
}

static const struct rf_policy *policy_of(struct rf_http_conn *c, const struct rf_snap *snap)
{
	const struct rf_tls_info *info = c->handshaken ? rf_tls_info(&c->stream) : NULL;
	const struct rf_app *app = info && info->sni[0] ? rf_snap_app(snap, rf_str_z(info->sni)) : NULL;
	return rf_snap_policy(snap, app);
}

enum step who_welcome(struct rf_http_conn *c)
{
	struct rf_http_edge *e = c->edge;
	const struct rf_snap *snap = e->snap();
	if (c->handshaken && rf_tls_info(&c->stream)->peer)
		who_identify(c, snap);
	const struct rf_phase_set *set = policy_of(c, snap)->phase[RF_PHASE_CONNECTION];
	if (!set)
		return STEP_HEAD;
	struct rf_arena a;
	rf_arena_init(&a, e->conf.request_memory);
	rf_facts_init(&e->facts, &facts_ops, c, &a, snap->lists, rf_loop_wall(e->loop));
	rf_verdict_init(&e->verdict);
	rf_phase_eval(set, &e->facts, &e->verdict, NULL);
	rf_arena_fini(&a);
	if (e->verdict.outcome != RF_BLOCK)
		return STEP_HEAD;
	if (e->verdict.why == RF_WHY_QUARANTINE)
		who_quarantine(c, e->verdict.rule);
	c->refused = true;
	c->end_reason = RF_REASON_RULE_CONNECTION;
	c->end = rf_reason_words(RF_REASON_RULE_CONNECTION);
	return STEP_CLOSE;
}
