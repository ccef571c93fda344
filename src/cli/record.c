/* cli/record: what the edge decided: a list, or followed as it happens.
 *
 * The human form is one line a record, as the daemon prints it. Following asks for what came after the last id a few times
 * a second; where more came than one answer holds, the next question goes on from there.
 */
#include <stdlib.h>
#include "cli/record.h"

enum { TAIL_POLL_MS = 250, TAIL_LINES = 10, TAIL_BATCH = 1000, LIST_LIMIT = 100 };

static const char *text(const json_t *record, const char *name)
{
	const char *z = json_string_value(json_object_get(record, name));
	return z ? z : "";
}

static const char *colour_of(const char *action)
{
	if (strcmp(action, "block") == 0 || strcmp(action, "error") == 0)
		return "\33[31m";
	return strcmp(action, "log") == 0 ? "\33[33m" : "\33[32m";
}

static void add(struct rf_buf *to, const json_t *record, const char *before, const char *name)
{
	const json_t *v = json_object_get(record, name);
	if (v && !(json_is_string(v) && !json_string_length(v))) {
		rf_buf_printf(to, "%s", before);
		cli_cell(to, v);
	}
}

/* "http_flood on shop.example signature, 3059 a second" */
static void add_attack(struct rf_buf *to, const json_t *record)
{
	static const char *const of_frames[] = { "DestinationIP", "DestinationPort" };
	add(to, record, " ", "AttackVector");
	add(to, record, " on ", text(record, "Host")[0] ? "Host" : of_frames[0]);
	if (!text(record, "Host")[0])
		add(to, record, " port ", of_frames[1]);
	add(to, record, " ", "AttackEvent");
	add(to, record, ", ", "AttackRate");
	rf_buf_printf(to, "%s", json_object_get(record, "AttackRate") ? " a second" : "");
}

/* "12:00:01 BLOCK lamp-7 POST shop.example/login -> 403 the client certificate is revoked" */
void cli_record_line(struct rf_buf *to, const json_t *record, bool colour)
{
	const char *at = text(record, "Datetime"), *action = text(record, "Action");
	RF_BUF_AUTO word = { 0 };
	for (const char *p = action; *p; p++)
		rf_buf_addc(&word, *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p >= 'A' && *p <= 'Z' ? *p : '?');
	rf_buf_printf(to, "%.8s %s%-5s%s", strlen(at) >= 19 ? at + 11 : "--:--:--", colour ? colour_of(action) : "", rf_buf_z(&word),
		      colour ? "\33[0m" : "");
	if (text(record, "AttackEvent")[0]) {
		add(to, record, " ", text(record, "DeviceName")[0] ? "DeviceName" : "DeviceID");
		add_attack(to, record);
		add(to, record, ": ", "Reason");
		return;
	}
	rf_buf_addc(to, ' ');
	cli_cell(to, json_object_get(record, text(record, "DeviceName")[0] ? "DeviceName" : text(record, "DeviceID")[0] ? "DeviceID" : "SourceIP"));
	add(to, record, " ", "Method");
	add(to, record, " ", text(record, "Host")[0] ? "Host" : "SNI");
	add(to, record, "", "Path");
	add(to, record, " -> ", "Status");
	add(to, record, " ", "Reason");
	add(to, record, " | rule ", text(record, "PolicyName")[0] ? "PolicyName" : "PolicyID");
}

static int print_record(struct cli *c, const json_t *record)
{
	RF_BUF_AUTO line = { 0 };
	if (c->format == CLI_YAML) {
		json_t *one = json_pack("[O]", record);
		int rc = cli_yaml_write(one, c->out);
		json_decref(one);
		return rc;
	}
	if (c->quiet)
		cli_cell(&line, json_object_get(record, text(record, "RayID")[0] ? "RayID" : "ID"));
	else if (c->format == CLI_TABLE)
		cli_record_line(&line, record, c->colour);
	char *json = c->format == CLI_JSON && !c->quiet ? json_dumps(record, JSON_COMPACT) : NULL;
	fprintf(c->out, "%s\n", json ? json : rf_buf_z(&line));
	free(json);
	return RF_OK;
}

static int path_of(struct cli *c, struct rf_buf *path, unsigned long long limit)
{
	static const struct { const char *option, *parameter; } filters[] = {
		{ "device", "device" }, { "class", "class" }, { "action", "action" }, { "host", "host" }, { "rule", "rule" },
		{ "kind", "type" },
	};
	rf_buf_clear(path);
	int rc = cli_path(c, c->command->path, NULL, NULL, path);
	rf_buf_printf(path, "?limit=%llu", limit);
	for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
		const char *v = cli_get(c, filters[i].option);
		if (!v)
			continue;
		rf_buf_printf(path, "&%s=", filters[i].parameter);
		cli_escape(path, v);
	}
	if (strcmp(c->command->noun, "attack") == 0)
		rf_buf_printf(path, "&type=attack");
	return rc;
}

static int number(struct cli *c, const char *option, unsigned long long most, unsigned long long def, unsigned long long *ret)
{
	const char *z = cli_get(c, option);
	uint64_t v = def;
	if (z && (!rf_str_u64(rf_str_z(z), &v) || v > most))
		return cli_wrong(c, RF_E_RANGE, "--%s is a number up to %llu", option, most);
	*ret = v;
	return RF_OK;
}

int cli_since(const char *z, int64_t now_s, int64_t *ret_s)
{
	static const struct { char unit; int64_t s; } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	size_t n = strlen(z);
	uint64_t v;
	if (rf_rfc3339_parse(z, ret_s) == 0)
		return RF_OK;
	for (size_t i = 0; n > 1 && i < 4; i++)
		if (z[n - 1] == units[i].unit && rf_str_u64((struct rf_str){ z, n - 1 }, &v) && v < 1000000000) {
			*ret_s = now_s - (int64_t)v * units[i].s;
			return RF_OK;
		}
	return RF_E_SYNTAX;
}

static bool before(const json_t *record, int64_t since_s)
{
	const char *at = text(record, "Datetime");
	char whole[24];
	int64_t s;
	snprintf(whole, sizeof whole, "%.19sZ", at);
	return rf_rfc3339_parse(whole, &s) == 0 && s < since_s;
}

/* The API gives the newest first; people read downwards. */
int cli_run_record_list(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *records = NULL;
	unsigned long long limit = 0;
	int64_t since = 0;
	const char *z = cli_get(c, "since");
	if (z && cli_since(z, c->clock.wall(c->clock.ctx) / (int64_t)RF_NS_S, &since) != RF_OK)
		return cli_wrong(c, RF_E_SYNTAX, "--since wants a time such as 2026-01-31T12:00:00Z, or 90s, 15m, 2h, 1d; not \"%s\"", z);
	int rc = number(c, "limit", 10000, z ? 10000 : LIST_LIMIT, &limit);
	if (rc == RF_OK)
		rc = path_of(c, &path, limit);
	if (rc == RF_OK)
		rc = cli_result(c, "GET", rf_buf_z(&path), NULL, &records);
	if (rc != RF_OK)
		return rc;
	json_t *wanted = json_array();
	for (size_t i = json_array_size(records); i-- > 0;)
		if (!before(json_array_get(records, i), since))
			json_array_append(wanted, json_array_get(records, i));
	if (c->format != CLI_TABLE && !c->quiet)
		rc = cli_print(c, wanted);
	else
		for (size_t i = 0; rc == RF_OK && i < json_array_size(wanted); i++)
			rc = print_record(c, json_array_get(wanted, i));
	json_decref(wanted);
	json_decref(records);
	return rc;
}

static int show_new(struct cli *c, const json_t *records, json_int_t *last)
{
	int rc = RF_OK;
	for (size_t i = json_array_size(records); rc == RF_OK && i-- > 0;) {
		json_t *r = json_array_get(records, i);
		json_int_t id = json_integer_value(json_object_get(r, "ID"));
		if (id && id <= *last)
			continue;
		if (id)
			*last = id;
		rc = print_record(c, r);
	}
	fflush(c->out);
	return rc;
}

int cli_run_record_tail(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	unsigned long long lines = 0;
	json_int_t last = 0;
	bool first = true;
	int rc = number(c, "lines", 1000, TAIL_LINES, &lines);
	while (rc == RF_OK && !c->stop()) {
		json_t *records = NULL;
		rc = path_of(c, &path, first ? (lines ? lines : 1) : TAIL_BATCH);
		if (last)
			rf_buf_printf(&path, "&since=%" JSON_INTEGER_FORMAT, last);
		if (rc == RF_OK)
			rc = cli_result(c, "GET", rf_buf_z(&path), NULL, &records);
		if (rc == RF_OK && first && !lines)
			last = json_integer_value(json_object_get(json_array_get(records, 0), "ID"));
		else if (rc == RF_OK)
			rc = show_new(c, records, &last);
		bool full = json_array_size(records) >= TAIL_BATCH;
		json_decref(records);
		first = false;
		if (rc == RF_OK && ferror(c->out))
			break; /* who read is gone */
		if (rc == RF_OK && !full)
			c->sleep_ms(TAIL_POLL_MS);
	}
	return c->stop() ? RF_OK : rc;
}
