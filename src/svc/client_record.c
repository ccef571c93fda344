/* svc/client_record: what is left of a connection when it is over: one record, counters.
 *
 * Not here: records of what happened on it (svc/x), which begin with the same facts of the client.
 */
#include "svc/front_own.h"

/* What the certificate is worth, judged by the roots of where it was shown. */
static void certificate(const struct rf_tls_info *info, uint64_t roots, struct rf_record *r)
{
	r->cert_status = info->revoked && info->verified ? RF_STR("revoked") :
		info->status == RF_CERT_VALID ? RF_STR("valid") : RF_STR("invalid");
	/* A list that is stale and let pass is told where that root is accepted. */
	bool let_pass = info->stale_roots & info->roots & roots;
	r->cert_reason = rf_str_z(info->reason[0] ? info->reason : let_pass ? info->stale : "");
	r->cert_ski = rf_str_z(info->peer->cert->ski);
	r->cert_serial = rf_str_z(info->peer->cert->serial);
	r->cert_subject = info->peer->subject;
}

void rf_client_record(const struct rf_client *c, const struct rf_snap *snap, uint64_t roots, struct rf_record *r)
{
	const struct rf_tls_info *info = rf_tls_info(&c->stream); /* also of a handshake that was refused: who it was */
	r->src = c->src;
	r->src_port = c->src_port;
	r->dst = c->dst;
	r->dst_port = c->dst_port;
	r->cert_status = RF_STR("none");
	if (c->device) {
		const struct rf_class *class = rf_client_class(c, snap);
		r->device = rf_str_z(rf_device_id(c->device));
		r->device_name = rf_device_text(c->device)->name;
		r->class_name = class ? class->name : RF_STR("");
	}
	if (!info)
		return;
	r->sni = rf_str_z(info->sni);
	r->tls_version = rf_str_z(info->version);
	r->tls_cipher = rf_str_z(info->cipher);
	r->tls_resumed = info->resumed;
	if (info->peer)
		certificate(info, roots, r);
}

void report_client(struct rf_client *c)
{
	struct rf_front *f = c->front;
	char session[17];
	const struct rf_tls_info *info = rf_client_tls(c);
	uint64_t took = rf_client_now(c) - c->began;
	struct rf_record r = { .kind = RF_REC_CONNECTION, .at = rf_loop_wall(f->loop) - (int64_t)took };
	rf_client_record(c, f->snap(), UINT64_MAX, &r);
	r.session = rf_front_id_text(c->id, session);
	r.action = c->refused ? RF_STR("block") : c->logged ? RF_STR("log") : RF_STR("allow");
	r.layer = rf_str_z(c->refused ? rf_reason_layer(c->end_reason) : c->logged ? "rule" : "");
	r.reason = rf_str_z(c->end ? c->end : "");
	if (c->rule) {
		r.rule_id = c->rule->id;
		r.rule_name = c->rule->description;
	}
	r.logged_rules = rf_str_z(c->logged ? c->logged : "");
	r.bytes_in = c->stream.in;
	r.bytes_out = c->stream.out;
	r.duration_us = took / RF_NS_US;
	r.handshake_us = info ? info->handshake_ns / RF_NS_US : 0;
	if (c->listener->service->report)
		c->listener->service->report(c, &r);
	f->stats.bytes_in += r.bytes_in;
	f->stats.bytes_out += r.bytes_out;
	rf_count(RF_C_CONN_CLOSED);
	if (c->refused)
		rf_count_refused(c->end_reason, false);
	if (f->emit)
		f->emit(f->arg, &r);
}
