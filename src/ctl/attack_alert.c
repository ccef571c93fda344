/* ctl/attack_alert: the documented alert about an attack, for the webhook: advanced_ddos_attack_l7_alert of a flood of requests,
 * advanced_ddos_attack_l4_alert of one of TLS handshakes or of frames. Of a device of ours it names the device, and what it does.
 */
#include <stdio.h>
#include <stdlib.h>
#include "ctl/attacks.h"
#include "ctl/doc.h"

static const char *mitigation(const struct rf_attack *a, const json_t *last)
{
	if (a->flood->inaction)
		return a->flood->inaction;
	return a->measure || doc_is(last, "state", "blocks") || a->stopped ? "block" : "log";
}

static json_t *data_of(const struct rf_attack *a)
{
	const struct rf_flood *f = a->flood;
	const json_t *last = json_array_get(a->rules, json_array_size(a->rules) - 1);
	char began[RF_RFC3339_SIZE], ended[RF_RFC3339_SIZE], rate[48];
	snprintf(rate, sizeof rate, "%u %s", f->peak, a->frames ? a->counter : "rps");
	json_t *j = json_pack("{s:s, s:s, s:s, s:I, s:f, s:s, s:s, s:s, s:s, s:s}", "attack_id", a->id, "attack_vector", a->vector, "max_rate", rate,
		"requests_per_second", (json_int_t)f->peak, "megabits_per_second", (double)f->peak_bandwidth * 8 / 1e6, "rule_id",
		doc_str(last, "id").n ? doc_str(last, "id").p : "", "rule_description", doc_str(last, "expression").n ? doc_str(last, "expression").p : "",
		"mitigation", mitigation(a, last), "start_time", rf_rfc3339(f->began_ns, 0, began), "end_time",
		a->ended ? rf_rfc3339(f->ended_ns, 0, ended) : "");
	if (a->why[0])
		json_object_set_new(j, "reason", json_string(a->why));
	if (a->device[0]) {
		json_object_set_new(j, "device_id", json_string(a->device));
	} else if (a->why[0]) {
		json_object_set_new(j, "source", json_string(f->host));
	} else if (a->port) {
		json_object_set_new(j, "protocol", json_string("TCP"));
		json_object_set_new(j, "target_port", json_integer(a->port));
	} else {
		json_object_set_new(j, "target_hostname", json_string(f->host));
		json_object_set_new(j, "target_zone_id", json_string(a->zone));
	}
	return j;
}

json_t *rf_attack_envelope(struct rf_ctl *c, const char *id, const char *type, bool ended, struct rf_str text, json_t *data)
{
	return json_pack("{s:s, s:s%, s:o, s:I, s:s, s:s, s:s, s:s, s:s, s:s}", "name", "Ringfence attack", "text", text.p, text.n, "data", data,
		"ts", (json_int_t)(c->clock.wall(c->clock.ctx) / (int64_t)RF_NS_S), "account_id", c->account_id, "policy_id", "", "policy_name", "floods",
		"alert_type", type, "alert_correlation_id", id, "alert_event", ended ? "ALERT_STATE_EVENT_END" : "ALERT_STATE_EVENT_START");
}

json_t *rf_attack_alert(struct rf_ctl *c, const struct rf_attack *a)
{
	RF_BUF_AUTO text = { 0 };
	rf_buf_printf(&text, "%s %s %s %s: ", a->vector, a->why[0] ? "by" : "on", a->flood->host, a->ended ? "has ended" : "has begun");
	if (a->why[0])
		rf_buf_printf(&text, "%s", a->why);
	else
		rf_buf_printf(&text, "up to %u a second, usually %u", a->flood->peak, a->flood->usual);
	return rf_attack_envelope(c, a->id, a->port || a->frames ? "advanced_ddos_attack_l4_alert" : "advanced_ddos_attack_l7_alert", a->ended,
		rf_buf_str(&text), data_of(a));
}
