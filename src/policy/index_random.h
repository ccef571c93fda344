/* policy/index_random: random rules and requests out of few words, and the index held against the rules in turn. For the
 * unit test and the fuzz target.
 */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include "policy/draw.h"
#include "policy/lists.h"
#include "policy/rule_text.h"
#include "policy/verdict.h"

static const char *const words[] = { "/", "/admin", "/setup.cgi", "/v1/Data", "abc", "ABC", "cmd=", "x", "a.test", "camera", "GET",
	"\\xff\\x00z", "aaaaaaaaaaaaaaaaaaaaaaaa", "/v1/data/../admin", "b", "" };
static const char *const strings[] = { "http.host", "http.request.uri.path", "http.user_agent", "http.request.uri.query",
	"device.class", "lower(http.request.uri.path)", "url_decode(http.request.uri.query, \"r\")", "http.request.method",
	"http.request.headers[\"x-%u\"][0]", "http.request.uri.args[\"k%u\"][0]", "concat(http.host, \"/\")",
	"decode_base64(http.cookie)", "device.tags[0]" };
static const char *const arrays[] = { "device.tags[*]", "http.request.headers[\"x-%u\"][*]", "lower(device.tags[*])[*]",
	"http.request.headers.names[*]" };
static const char *const prefixes[] = { "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "10.1.2.0..10.1.3.9", "2001:db8::/32", "2001:db8::1",
	"0.0.0.0/0" };
static const char *const patterns[] = { "adm[a-z]+", "^/v1/", "(?i)SETUP", "a|b", "[0-9]{2,}", "x?abc+d*", "cmd=(.*)/tmp", "^$",
	"/v1/.*/admin", "^[a-c]{2,}", "^[^/]", "(?i)^A" };

static const char *const numbers[] = { "tcp.dstport in {80 440..445}", "http.request.body.size gt 5",
	"http.request.timestamp.sec in {0 7}", "http.request.timestamp.msec eq 1" };
static const char *const wildcards[] = { "*ABC*", "/v1*", "/v1*data", "*a*b*c*", "*", "/ADMIN", "*camera", "*\\\\**" };

static inline void write_name(struct draw *d, const char *name, struct rf_buf *to)
{
	const char *at = strstr(name, "%u");
	if (!at) {
		rf_buf_printf(to, "%s", name);
		return;
	}
	rf_buf_add(to, (struct rf_str){ name, (size_t)(at - name) });
	rf_buf_printf(to, "%u%s", draw(d, 12), at + 2);
}

static inline void write_text_test(struct draw *d, struct rf_buf *to)
{
	static const char *const operators[] = { "eq", "ne", "contains", "contains", "lt", "ge" };
	switch (draw(d, 4)) {
	case 0:
		rf_buf_printf(to, " matches r\"%s\"", PICK(d, patterns));
		break;
	case 1:
		rf_buf_printf(to, draw(d, 2) ? " wildcard \"" : " strict wildcard \"");
		rf_buf_printf(to, "%s\"", PICK(d, wildcards));
		break;
	case 2:
		rf_buf_printf(to, " in {\"%s\" \"%s\"}", PICK(d, words), PICK(d, words));
		break;
	default:
		rf_buf_printf(to, " %s \"%s\"", PICK(d, operators), PICK(d, words));
	}
}

static inline void write_test(struct draw *d, struct rf_buf *to)
{
	switch (draw(d, 12)) {
	case 0:
		rf_buf_printf(to, "ip.src in {%s %s}", PICK(d, prefixes), PICK(d, prefixes));
		break;
	case 1:
		rf_buf_printf(to, draw(d, 2) ? "ip.src eq 10.1.2.3" : "ip.src in $bad");
		break;
	case 2:
		rf_buf_printf(to, "%s", PICK(d, numbers));
		break;
	case 3:
		rf_buf_printf(to, draw(d, 2) ? "device.known" : "ssl eq false");
		break;
	case 4:
		rf_buf_printf(to, "device.firmware %s \"2.%u\"", draw(d, 2) ? "lt" : "eq", draw(d, 4));
		break;
	case 5: case 6:
		rf_buf_printf(to, draw(d, 4) ? "any(" : "all(");
		write_name(d, PICK(d, arrays), to);
		write_text_test(d, to);
		rf_buf_printf(to, ")");
		break;
	case 7:
		rf_buf_printf(to, draw(d, 2) ? "starts_with(" : "ends_with(");
		write_name(d, PICK(d, strings), to);
		rf_buf_printf(to, ", \"%s\")", PICK(d, words));
		break;
	default:
		write_name(d, PICK(d, strings), to);
		write_text_test(d, to);
	}
}

static inline void write_condition(struct draw *d, unsigned depth, struct rf_buf *to)
{
	static const char *const joins[] = { "and", "and", "or", "xor" };
	unsigned kids = 2 + draw(d, 2), what = depth ? draw(d, 5) : 0;
	if (what == 4) {
		rf_buf_printf(to, draw(d, 6) ? "not (" : draw(d, 2) ? "true and (" : "false or (");
		write_condition(d, depth - 1, to);
		rf_buf_printf(to, ")");
	} else if (what >= 2) {
		const char *join = PICK(d, joins);
		for (unsigned i = 0; i < kids; i++) {
			rf_buf_printf(to, i ? " %s (" : "(", join);
			write_condition(d, depth - 1, to);
			rf_buf_printf(to, ")");
		}
	} else {
		write_test(d, to);
	}
}

static inline json_t *rule_doc(struct draw *d)
{
	static const char *const actions[] = { "block", "block", "allow", "log", "log", "log", "skip" };
	const char *action = PICK(d, actions);
	RF_BUF_AUTO text = { 0 };
	write_condition(d, 3, &text);
	json_t *doc = json_pack("{s:s, s:s%, s:b, s:i}", "action", action, "expression", rf_buf_str(&text).p, rf_buf_str(&text).n,
		"enabled", draw(d, 10) != 0, "priority", (int)draw(d, 3));
	if (!strcmp(action, "skip"))
		json_object_set_new(doc, "action_parameters", json_pack("{s:s}", "ruleset", "current"));
	return doc;
}

/* A rule as the store keeps it, of few forms: most become seeds. Zeroed where it cannot be made. */
static inline struct rf_rule_link draw_seed(struct draw *d, struct rf_seeds *seeds, const struct rf_rule_env *env, int64_t order)
{
	static const char *const fields[] = { "http.request.uri.path", "http.host", "device.class", "ssl and http.host",
		"http.host eq \\\"a.test\\\" and http.request.uri.path" };
	static const char *const ends[] = { "log", "block", "skip", "log\",\"enabled\":false,\"version\":\"1" };
	char id[33];
	RF_BUF_AUTO doc = { 0 };
	struct rf_rule_link l = { 0 };
	struct rf_rule *r = NULL;
	struct rf_err e;
	snprintf(id, sizeof id, "%032llx", (unsigned long long)order);
	rf_buf_printf(&doc, "{\"expression\":\"%s eq \\\"", PICK(d, fields));
	rf_buf_printf(&doc, "%s\\\"\",\"action\":\"", draw(d, 6) ? PICK(d, words) : "\\\\x41");
	rf_buf_printf(&doc, "%s\"}", PICK(d, ends));
	if (rf_seeds_take(seeds, rf_buf_str(&doc), rf_str_z(id), rf_str_z(id), order, 1, &l))
		return l;
	if (rf_rule_make_text(env, RF_PHASE_HTTP_REQUEST, rf_buf_str(&doc), rf_str_z(id), rf_str_z(id), "", &r, &e) != RF_OK)
		return l;
	r->order = order;
	rf_seeds_learn(seeds, rf_buf_str(&doc), r);
	return rf_link_of(r);
}

/* --- a request --- */

struct request {
	struct rf_val val[RF_FIELD_COUNT];
	struct rf_val tags[3], names[4];
	struct rf_entry header[4], arg[3];
	struct rf_val header_value[4], arg_value[3];
	char key[7][8];
};

static inline struct rf_val word(struct draw *d)
{
	static const char *const more[] = { "/v1/xx/admin", "rm -rf abcd /tmp", "cmd=%2561bc%2fadmin/tmp/12", "YWJj", "2.1", "2.03",
		"Mozilla/5.0 (X11; camera) AppleWebKit/537.36 /SETUP.cgi /v1/data/../admin", "GET /v1/dat/a /v1/data/../admi" };
	return rf_val_str(rf_str_z(draw(d, 2) ? PICK(d, words) : PICK(d, more)));
}

static inline struct rf_val address(struct draw *d)
{
	static const char *const texts[] = { "10.1.2.3", "10.1.3.9", "10.200.0.1", "192.0.2.1", "2001:db8::1", "2001:db9::1" };
	struct rf_ip ip;
	rf_ip_parse(rf_str_z(PICK(d, texts)), &ip);
	return rf_val_ip(ip);
}

static inline void fill_map(struct draw *d, struct rf_entry *m, struct rf_val *v, char (*key)[8], unsigned n, const char *stem)
{
	for (unsigned i = 0; i < n; i++) {
		snprintf(key[i], sizeof key[i], "%s%u", stem, i * 3 + draw(d, 3));
		v[i] = word(d);
		m[i] = (struct rf_entry){ rf_str_z(key[i]), rf_val_array(&v[i], 1) };
	}
}

static inline void draw_request(struct draw *d, struct request *q)
{
	static const enum rf_field texts[] = { RF_F_HTTP_HOST, RF_F_HTTP_PATH, RF_F_HTTP_USER_AGENT, RF_F_HTTP_QUERY,
		RF_F_DEVICE_CLASS, RF_F_HTTP_METHOD, RF_F_HTTP_COOKIE, RF_F_DEVICE_FIRMWARE };
	memset(q, 0, sizeof *q);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (draw(d, 8))
			q->val[texts[i]] = word(d);
	if (draw(d, 8))
		q->val[RF_F_IP_SRC] = address(d);
	if (draw(d, 8))
		q->val[RF_F_TCP_DSTPORT] = rf_val_int(draw(d, 2) ? 80 : 443 + draw(d, 5));
	q->val[RF_F_DEVICE_KNOWN] = rf_val_bool(draw(d, 2));
	q->val[RF_F_SSL] = rf_val_bool(draw(d, 2));
	for (unsigned i = 0; i < 3; i++)
		q->tags[i] = word(d);
	q->val[RF_F_DEVICE_TAGS] = rf_val_array(q->tags, draw(d, 4));
	fill_map(d, q->header, q->header_value, q->key, 4, "x-");
	fill_map(d, q->arg, q->arg_value, q->key + 4, 3, "k");
	for (unsigned i = 0; i < 4; i++)
		q->names[i] = rf_val_str(q->header[i].key);
	q->val[RF_F_HTTP_HEADER_NAMES] = rf_val_array(q->names, 4);
	q->val[RF_F_HTTP_HEADERS] = rf_val_map(q->header, 4);
	q->val[RF_F_HTTP_ARGS] = rf_val_map(q->arg, 3);
}

static inline bool give(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_val *ret)
{
	(void)arena;
	*ret = ((struct request *)ctx)->val[f];
	return ret->tag != RF_V_MISSING;
}

/* --- both ways --- */

static inline bool same_verdict(const struct rf_verdict *a, const struct rf_verdict *b)
{
	bool same = a->outcome == b->outcome && a->why == b->why && a->rule == b->rule && a->nhits == b->nhits &&
		a->hits_lost == b->hits_lost && a->error == b->error;
	for (unsigned i = 0; same && i < a->nhits; i++)
		same = a->hits[i] == b->hits[i];
	return same;
}

static inline void judge(const struct rf_phase_set *set, struct request *q, const struct rf_lists *lists, const struct rf_trace *trace,
	struct rf_verdict *v)
{
	static const struct rf_facts_ops ops = { give, NULL };
	struct rf_arena arena;
	struct rf_facts f;
	rf_arena_init(&arena, 64 << 20);
	rf_facts_init(&f, &ops, q, &arena, lists, 0);
	rf_verdict_init(v);
	rf_phase_eval(set, &f, v, trace);
	rf_arena_fini(&arena);
}

static inline void no_trace(void *ctx, const struct rf_ruleset *set, const struct rf_rule *rule, enum rf_step step, struct rf_facts *f)
{
	(void)ctx, (void)set, (void)rule, (void)step, (void)f;
}

/* True where the index and the rules in turn say the same of a request. */
static inline bool agree(const struct rf_ruleset *s, struct request *q, const struct rf_lists *lists)
{
	static const struct rf_trace in_turn = { no_trace, NULL };
	struct rf_phase_set *set = NULL;
	struct rf_verdict fast, plain;
	if (rf_phase_set_make(s->phase, (struct rf_ruleset *const[]){ (struct rf_ruleset *)(uintptr_t)s }, 1, &set))
		return true;
	judge(set, q, lists, NULL, &fast);
	judge(set, q, lists, &in_turn, &plain);
	rf_phase_set_put(set);
	return plain.why == RF_WHY_ERROR || same_verdict(&fast, &plain);
}

static inline struct rf_lists *bad_list(void)
{
	struct rf_list *l = NULL;
	struct rf_lists *t = NULL;
	struct rf_str items[] = { RF_STR("10.1.0.0/16"), RF_STR("2001:db8::/33") };
	if (!rf_list_make(RF_LIST_IP, items, 2, &l, NULL))
		rf_lists_with(NULL, RF_STR("bad"), l, &t);
	rf_list_put(l);
	return t;
}
