/* ctl/record_facts: a line to a request object of ringfence-rules(5), and that to facts (policy/jsonfacts).
 *
 * Where a line is silent, an empty value is not a fact: only fields that a record has are known, and of those that it cuts
 * (User-Agent) only what is shorter than the cut.
 */
#include "ctl/record_facts.h"
#include <stdio.h>
#include "base/clock.h"
#include "ctl/doc.h"
#include "policy/ruletest.h"

enum { AGENT_CUT = 256 };

/* Fields that every record of a request answers; an absent member is the empty value. */
static const enum rf_field of_record[] = {
	RF_F_HTTP_HOST, RF_F_HTTP_METHOD, RF_F_HTTP_PATH, RF_F_HTTP_PATH_EXT, RF_F_HTTP_SEC, RF_F_HTTP_MSEC, RF_F_SSL, RF_F_IP_SRC,
	RF_F_IP_DST, RF_F_TCP_SRCPORT, RF_F_TCP_DSTPORT, RF_F_EDGE_IP, RF_F_EDGE_PORT, RF_F_RAY_ID, RF_F_TLS_VERSION, RF_F_TLS_CIPHER,
	RF_F_TLS_SNI, RF_F_TLS_RESUMED, RF_F_CERT_PRESENTED, RF_F_CERT_VERIFIED, RF_F_CERT_REVOKED, RF_F_CERT_SUBJECT_DN,
	RF_F_CERT_SUBJECT_2253, RF_F_CERT_SERIAL, RF_F_CERT_SKI, RF_F_CERT_STATUS, RF_F_CERT_REASON, RF_F_DEVICE_KNOWN, RF_F_DEVICE_ID,
	RF_F_DEVICE_NAME, RF_F_DEVICE_CLASS };
static const enum rf_field of_device[] = { RF_F_DEVICE_MODEL, RF_F_DEVICE_FIRMWARE, RF_F_DEVICE_OWNER, RF_F_DEVICE_STATE,
	RF_F_DEVICE_TAGS, RF_F_DEVICE_CREATED };
/* Fields that a sample does not answer by itself: of the handshake's first message and of what the edge measured. */
static const enum rf_field not_of_sample[] = { RF_F_RANDOM_SEED, RF_F_RTT_MSEC, RF_F_TLS_HELLO_LENGTH, RF_F_TLS_RANDOM,
	RF_F_TLS_CIPHERS_SHA1, RF_F_TLS_EXT_SHA1, RF_F_TLS_EXT_SHA1_LE, RF_F_JA3, RF_F_JA4, RF_F_CERT_9440, RF_F_CHAIN_9440 };

static void set(uint64_t *bits, enum rf_field f, bool on)
{
	if (on)
		bits[f >> 6] |= 1ull << (f & 63);
	else
		bits[f >> 6] &= ~(1ull << (f & 63));
}

static bool masked(const struct rf_record_facts *r, struct rf_str key)
{
	size_t i;
	json_t *v;
	const json_t *all = json_object_get(r->sample, "masked");
	json_array_foreach(all, i, v)
		if (!key.n || rf_str_ieq(key, rf_str_z(json_string_value(v))))
			return true;
	return false;
}

static bool knows(void *ctx, enum rf_field f, struct rf_str key)
{
	struct rf_record_facts *r = ctx;
	bool known = r->knows[f >> 6] >> (f & 63) & 1;
	if (f == RF_F_HTTP_HEADERS)
		return r->sample ? !masked(r, key) : rf_str_eq(key, RF_STR("user-agent")) && r->knows[RF_F_HTTP_USER_AGENT >> 6] >>
			(RF_F_HTTP_USER_AGENT & 63) & 1;
	if (f == RF_F_HTTP_HEADER_VALUES)
		return r->sample && !masked(r, RF_STR(""));
	if (f == RF_F_HTTP_COOKIE || f == RF_F_HTTP_COOKIES)
		return r->sample && !masked(r, RF_STR("cookie"));
	return known;
}

/* --- of a record --- */

static void copy(json_t *to, const char *name, const json_t *line, const char *from)
{
	json_t *v = json_object_get(line, from);
	if (v)
		json_object_set(to, name, v);
}

static json_t *tls_of(const json_t *line)
{
	static const char *const names[][2] = { { "version", "TLSVersion" }, { "cipher", "TLSCipher" }, { "sni", "SNI" },
		{ "status", "ClientCertStatus" }, { "reason", "ClientCertReason" }, { "cert_ski", "ClientCertSKI" },
		{ "cert_subject_dn", "ClientCertSubject" }, { "cert_subject_dn_rfc2253", "ClientCertSubject" },
		{ "cert_serial", "ClientCertSerial" } };
	json_t *tls = json_object();
	bool revoked = doc_is(line, "ClientCertStatus", "revoked"), valid = doc_is(line, "ClientCertStatus", "valid");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		copy(tls, names[i][0], line, names[i][1]);
	json_object_set_new(tls, "resumed", json_boolean(doc_int(line, "TLSResumed", 0) != 0));
	json_object_set_new(tls, "cert_verified", json_boolean(valid || revoked));
	json_object_set_new(tls, "cert_revoked", json_boolean(revoked));
	json_object_set_new(tls, "cert_presented", json_boolean(valid || revoked || doc_is(line, "ClientCertStatus", "invalid")));
	return tls;
}

static json_t *device_of(const json_t *line, const struct rf_device *d)
{
	const struct rf_device_text *t = d ? rf_device_text(d) : NULL;
	json_t *o = json_object(), *tags = json_array();
	copy(o, "id", line, "DeviceID");
	copy(o, "name", line, "DeviceName");
	copy(o, "class", line, "Class");
	for (uint16_t i = 0; t && i < t->tag_count; i++)
		json_array_append_new(tags, json_stringn(t->tags[i].p, t->tags[i].n));
	if (t) {
		json_object_set_new(o, "model", json_stringn(t->model.p, t->model.n));
		json_object_set_new(o, "owner", json_stringn(t->owner.p, t->owner.n));
		json_object_set_new(o, "state", json_string(rf_device_state_name(rf_device_state(d))));
		json_object_set_new(o, "created", json_integer(rf_device_created(d)));
		json_object_set(o, "tags", tags);
	}
	if (t && t->firmware.n)
		json_object_set_new(o, "firmware", json_stringn(t->firmware.p, t->firmware.n));
	json_decref(tags);
	return o;
}

static json_t *request_of(const json_t *line, const struct rf_device *d)
{
	static const char *const names[][2] = { { "method", "Method" }, { "host", "Host" }, { "path", "Path" }, { "src", "SourceIP" },
		{ "dst", "DestinationIP" }, { "sport", "SourcePort" }, { "port", "DestinationPort" } };
	json_t *q = json_object();
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		copy(q, names[i][0], line, names[i][1]);
	json_object_set_new(q, "scheme", json_string(doc_str(line, "TLSVersion").n ? "https" : "http"));
	json_object_set_new(q, "tls", tls_of(line));
	if (json_object_get(line, "UserAgent"))
		json_object_set_new(q, "headers", json_pack("{s:O}", "User-Agent", json_object_get(line, "UserAgent")));
	if (json_object_get(line, "DeviceID"))
		json_object_set_new(q, "device", device_of(line, d));
	return q;
}

static void known_of_record(struct rf_record_facts *r, const json_t *line)
{
	for (size_t i = 0; i < sizeof of_record / sizeof *of_record; i++)
		set(r->knows, of_record[i], true);
	set(r->knows, RF_F_RESPONSE_CODE, doc_int(line, "OriginStatus", 0) > 0);
	set(r->knows, RF_F_HTTP_USER_AGENT, doc_str(line, "UserAgent").n < AGENT_CUT);
}

/* --- of a sample --- */

static void known_of_sample(struct rf_record_facts *r, const json_t *line)
{
	for (int f = 0; f < RF_FIELD_COUNT; f++)
		set(r->knows, (enum rf_field)f, true);
	for (size_t i = 0; i < sizeof not_of_sample / sizeof *not_of_sample; i++)
		set(r->knows, not_of_sample[i], false);
	for (int f = 0; f < RF_FIELD_COUNT; f++)
		if ((strncmp(rf_fields[f].name, "http.request.body.", 18) == 0 && !doc_is(line, "body", "whole")) ||
		    strncmp(rf_fields[f].name, "http.response.", 14) == 0 || rf_fields[f].need != RF_NEED_NONE)
			set(r->knows, (enum rf_field)f, false);
	known_of_record(r, line);
	set(r->knows, RF_F_HTTP_USER_AGENT, true);
}

static json_t *sampled(const json_t *line, const struct rf_device *d)
{
	json_t *q = json_deep_copy(json_object_get(line, "request"));
	json_object_set_new(q, "tls", tls_of(line));
	if (json_object_get(line, "DeviceID"))
		json_object_set_new(q, "device", device_of(line, d));
	return q;
}

static void take(struct rf_record_facts *r, const json_t *line)
{
	r->type = doc_str(line, "Type");
	r->ray = doc_str(line, "RayID");
	r->host = doc_str(line, "Host");
	r->path = doc_str(line, "Path");
	r->device_id = doc_str(line, "DeviceID");
	r->class_name = doc_str(line, "Class");
	r->action = doc_str(line, "Action");
	r->rule_id = doc_str(line, "PolicyID");
	r->status = doc_int(line, "Status", 0);
	rf_rfc3339_parse(doc_str(line, "Datetime").p, &r->at_s);
}

int rf_record_facts(const json_t *line, const struct rf_device *device, struct rf_str class_name, bool device_as_then,
		    struct rf_arena *arena, const struct rf_lists *lists, struct rf_record_facts *ret, struct rf_err *e)
{
	*ret = (struct rf_record_facts){ .know = { .knows = knows, .ctx = ret } };
	if (!json_is_object(line) || !json_object_get(line, "Datetime") || !json_object_get(line, "Type"))
		return rf_fail(e, RF_E_TYPE, "this is no record");
	take(ret, line);
	ret->sample = json_is_object(json_object_get(line, "request")) ? line : NULL;
	ret->request = ret->sample ? sampled(line, device) : request_of(line, device);
	if (device && class_name.n && !ret->class_name.n)
		ret->class_name = class_name;
	if (!ret->request)
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	json_object_set(ret->request, "time", json_object_get(line, "Datetime"));
	if (doc_int(line, "OriginStatus", 0) > 0)
		json_object_set_new(ret->request, "response", json_pack("{s:O}", "code", json_object_get(line, "OriginStatus")));
	if (ret->sample)
		known_of_sample(ret, line);
	else
		known_of_record(ret, line);
	for (size_t i = 0; i < sizeof of_device / sizeof *of_device; i++)
		set(ret->knows, of_device[i], !ret->device_id.n || (device && device_as_then));
	return rf_json_facts(ret->request, "", arena, lists, ret->at_s * (int64_t)RF_NS_S, &ret->facts, e);
}

void rf_record_facts_fini(struct rf_record_facts *f)
{
	json_decref(f->request);
	f->request = NULL;
}
