/* records/format: see format.h. The JSON names are the rows of tbl/records.def; the human line picks what a person looks for first. */
#include "records/format.h"
#include "base/clock.h"
#include "base/jw.h"

static const char *const kinds[] = { [RF_REC_CONNECTION] = "connection", [RF_REC_REQUEST] = "request", [RF_REC_EVENT] = "event",
	[RF_REC_ATTACK] = "attack", [RF_REC_PACKET] = "packet" };

static void json_ip(struct rf_jw *w, const char *name, const struct rf_ip *ip)
{
	char text[RF_IP_TEXT];
	if (ip->family)
		rf_jw_str(w, name, rf_str_z(rf_ip_str(ip, text)));
}

static void json_time(struct rf_jw *w, const char *name, int64_t at)
{
	char text[RF_RFC3339_SIZE];
	if (at)
		rf_jw_str(w, name, rf_str_z(rf_rfc3339(at, 1, text)));
}

/* Numbers that are 0 go without saying, but for that of a port's connection that is open. */
static bool says_zero(const struct rf_record *rec, const uint64_t *member)
{
	return rec->kind == RF_REC_CONNECTION && rec->event.n && member == &rec->status;
}

void rf_record_json(struct rf_buf *out, const struct rf_record *rec, uint64_t id)
{
	struct rf_jw w = rf_jw_on(out);
	rf_jw_open(&w, NULL, '{');
	if (id)
		rf_jw_u64(&w, "ID", id);
	rf_jw_str(&w, "Type", rf_str_z(kinds[rec->kind]));
#define RF_REC_STR(member, json, doc) if (rec->member.n || strcmp(json, "Action") == 0) rf_jw_str(&w, json, rec->member);
#define RF_REC_U64(member, json, doc) if (rec->member || says_zero(rec, &rec->member)) rf_jw_u64(&w, json, rec->member);
#define RF_REC_IP(member, json, doc) json_ip(&w, json, &rec->member);
#define RF_REC_TIME(member, json, doc) json_time(&w, json, rec->member);
#include "tbl/records.def"
#undef RF_REC_STR
#undef RF_REC_U64
#undef RF_REC_IP
#undef RF_REC_TIME
	rf_jw_close(&w, '}');
}

/* A terminal obeys control bytes, and C1 controls hide in what is not UTF-8 to it: both become "?". */
static void shown(struct rf_buf *out, struct rf_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool c1 = c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0;
		rf_buf_addc(out, c < ' ' || c == 0x7f || c1 ? '?' : s.p[i]);
	}
}

static void verdict(struct rf_buf *out, struct rf_str action, bool colours)
{
	static const struct { const char *action, *word, *colour; } words[] = {
		{ "allow", "allow", "\033[32m" }, { "block", "BLOCK", "\033[1;31m" }, { "log", "log  ", "\033[36m" },
		{ "error", "ERROR", "\033[1;33m" },
	};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (rf_str_eq(action, rf_str_z(words[i].action))) {
			rf_buf_printf(out, "%s%s%s", colours ? words[i].colour : "", words[i].word, colours ? "\033[0m" : "");
			return;
		}
	shown(out, action);
}

static void who(struct rf_buf *out, const struct rf_record *rec)
{
	char ip[RF_IP_TEXT];
	struct rf_str name = rec->device_name.n ? rec->device_name : rec->device;
	rf_buf_addc(out, ' ');
	if (name.n)
		shown(out, name);
	else if (rec->src.family)
		rf_buf_printf(out, "%s (no device)", rf_ip_str(&rec->src, ip));
	else
		rf_buf_addc(out, '-');
}

static void attack(struct rf_buf *out, const struct rf_record *rec)
{
	char ip[RF_IP_TEXT];
	rf_buf_addc(out, ' ');
	shown(out, rec->attack_vector.n ? rec->attack_vector : RF_STR("attack"));
	rf_buf_add(out, RF_STR(" on "));
	if (rec->host.n || !rec->dst.family)
		shown(out, rec->host);
	else
		rf_buf_printf(out, rec->dst.family == 6 && rec->dst_port ? "[%s]" : "%s", rf_ip_str(&rec->dst, ip));
	if (!rec->host.n && rec->dst_port)
		rf_buf_printf(out, ":%llu", (unsigned long long)rec->dst_port);
	if (rec->attack_event.n) {
		rf_buf_addc(out, ' ');
		shown(out, rec->attack_event);
		rf_buf_printf(out, ", %llu a second", (unsigned long long)rec->attack_rate);
	}
}

static void what(struct rf_buf *out, const struct rf_record *rec)
{
	if (rec->kind == RF_REC_REQUEST) {
		rf_buf_addc(out, ' ');
		shown(out, rec->method);
		rf_buf_addc(out, ' ');
		shown(out, rec->host);
		shown(out, rec->path);
	} else if (rec->kind == RF_REC_ATTACK) {
		attack(out, rec);
	} else if (rec->kind == RF_REC_CONNECTION) {
		rf_buf_add(out, RF_STR(" connection"));
		rf_buf_add(out, rec->sni.n ? RF_STR(" to ") : RF_STR(""));
		shown(out, rec->sni);
	}
}

void rf_record_human(struct rf_buf *out, const struct rf_record *rec, bool colours)
{
	char time[RF_RFC3339_SIZE];
	rf_rfc3339(rec->at, 0, time);
	rf_buf_printf(out, "%.8s ", time + 11);
	verdict(out, rec->action, colours);
	who(out, rec);
	what(out, rec);
	if (rec->status)
		rf_buf_printf(out, " -> %llu", (unsigned long long)rec->status);
	if (rec->reason.n) {
		rf_buf_add(out, RF_STR(": "));
		shown(out, rec->reason);
	}
	if (rec->rule_id.n) {
		rf_buf_add(out, RF_STR(" (rule "));
		shown(out, rec->rule_name.n ? rec->rule_name : rec->rule_id);
		rf_buf_addc(out, ')');
	}
}
