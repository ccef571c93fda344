/* api/edge: the API's questions to the control thread, the registry and the recent records.
 *
 * All run on the control thread; records are read under their own lock and copied.
 *
 * Not here: explanations and tests of rules (edge_rules.c).
 */
#include "api/edge.h"
#include <stdio.h>
#include <stdlib.h>
#include "ctl/crl.h"
#include "ctl/devices.h"
#include "ctl/private.h"
#include "records/format.h"
#include "records/metrics.h"
#include "records/recent.h"

static bool ready(void *ctx, const char **ret_why)
{
	const struct rf_api_edge *e = ctx;
	*ret_why = e->draining && *e->draining ? "draining" : "no snapshot is in force yet";
	return !(e->draining && *e->draining) && rf_snap_now() != NULL;
}

static void metrics(void *ctx, struct rf_buf *to)
{
	(void)ctx;
	rf_metrics_write(to);
}

static int status(void *ctx, json_t *object, struct rf_err *e)
{
	struct rf_ctl *c = ((struct rf_api_edge *)ctx)->ctl;
	const struct rf_snap *s = rf_snap_now();
	uint64_t up = c->clock.mono(c->clock.ctx) - c->started_mono;
	json_t *crls = json_array();
	int rc = rf_crl_status(c, crls, e);
	json_object_set_new(object, "crls", crls);
	json_object_set_new(object, "uptime_s", json_integer((json_int_t)(up / RF_NS_S)));
	json_object_set_new(object, "workers", json_integer((json_int_t)c->worker_count));
	json_object_set_new(object, "generation", json_integer(s ? (json_int_t)s->generation : 0));
	json_object_set_new(object, "devices_known", json_integer((json_int_t)rf_registry_count(c->devices)));
	return rc;
}

static void live(void *ctx, const char *device_id, json_t *object)
{
	char at[RF_RFC3339_SIZE];
	struct rf_device *d = rf_device_find(((struct rf_api_edge *)ctx)->ctl->devices, rf_str_z(device_id));
	if (!d)
		return;
	const struct rf_device_use *use = rf_device_use(d);
	const struct { const char *name; uint64_t value; } rows[] = {
		{ "connections", use->connections }, { "requests", use->requests }, { "requests_total", use->requests_total },
		{ "refused_total", use->refused_total }, { "bytes_in", use->bytes_in }, { "bytes_out", use->bytes_out },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		json_object_set_new(object, rows[i].name, json_integer((json_int_t)rows[i].value));
	int64_t seen = use->last_seen_s;
	if (seen)
		json_object_set_new(object, "last_seen", json_string(rf_rfc3339(seen * (int64_t)RF_NS_S, 0, at)));
}

static int unknown(void *ctx, size_t limit, json_t *array, struct rf_err *e)
{
	return rf_devices_unknown(((struct rf_api_edge *)ctx)->ctl->priv->devices, limit, array, e);
}

struct reading {
	json_t *array;
	struct rf_buf text;
	bool lost; /* memory ran out */
};

/* They come oldest first and are given newest first. */
static void take(void *arg, uint64_t id, const struct rf_record *rec)
{
	struct reading *r = arg;
	rf_buf_clear(&r->text);
	rf_record_json(&r->text, rec, id);
	json_t *j = r->text.bad ? NULL : json_loadb(r->text.p, r->text.n, 0, NULL);
	if (json_array_append_new(r->array, j) != 0)
		r->lost = true;
}

static int read_filter(const json_t *filter, struct rf_recent_filter *f, struct rf_err *e)
{
	const struct { const char *name; struct rf_str *to; } texts[] = {
		{ "device", &f->device }, { "DeviceID", &f->device }, { "DeviceName", &f->device }, { "class", &f->class_name },
		{ "Class", &f->class_name }, { "action", &f->action }, { "Action", &f->action }, { "host", &f->host },
		{ "Host", &f->host }, { "rule", &f->rule_id }, { "PolicyID", &f->rule_id },
	};
	static const char *const kinds[] = { [RF_REC_CONNECTION] = "connection", [RF_REC_REQUEST] = "request",
					     [RF_REC_EVENT] = "event" };
	struct rf_str since = rf_str_z(json_string_value(json_object_get(filter, "since")));
	struct rf_str before = rf_str_z(json_string_value(json_object_get(filter, "before")));
	const char *type = json_string_value(json_object_get(filter, "type"));
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (json_object_get(filter, texts[i].name))
			*texts[i].to = rf_str_z(json_string_value(json_object_get(filter, texts[i].name)));
	if (since.n && !rf_str_u64(since, &f->since))
		return rf_fail_ptr(e, RF_E_INVALID, "/since", "since is the ID of a record");
	if (before.n && !rf_str_u64(before, &f->before))
		return rf_fail_ptr(e, RF_E_INVALID, "/before", "before is the ID of a record");
	for (int k = 0; type && k < 3; k++)
		if (strcmp(type, kinds[k]) == 0)
			f->kind = k;
	if (type && f->kind < 0)
		return rf_fail_ptr(e, RF_E_INVALID, "/type", "type is connection, request or event");
	return RF_OK;
}

static int records(void *ctx, const json_t *filter, size_t limit, json_t *array, struct rf_err *e)
{
	struct rf_recent *recent = ((struct rf_api_edge *)ctx)->recent;
	struct rf_recent_filter f = { .kind = -1, .limit = limit };
	struct reading r = { .array = json_array() };
	if (!recent)
		return rf_fail(e, RF_E_UNSUPPORTED, "no records are kept in memory (records.recent is 0)");
	int rc = read_filter(filter, &f, e);
	f.newest = !f.since; /* whoever goes on from a record wants the next ones */
	if (rc == RF_OK && r.array)
		rf_recent_read(recent, &f, take, &r);
	for (size_t i = json_array_size(r.array); i-- > 0;)
		r.lost |= json_array_append(array, json_array_get(r.array, i)) != 0;
	rf_buf_fini(&r.text);
	if (rc == RF_OK && (r.lost || !r.array))
		rc = rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	json_decref(r.array);
	return rc;
}

struct rf_api_hooks rf_api_edge_hooks(struct rf_api_edge *e)
{
	return (struct rf_api_hooks){ .ctx = e, .ready = ready, .metrics = metrics, .status = status, .live = live,
				      .records = records, .unknown = unknown, .explain = rf_edge_explain,
				      .rules_test = rf_edge_rules_test };
}
