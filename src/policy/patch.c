/* policy/patch: a patch's document to its rules.
 *
 *   (expression) and device.class in {classes} and not (until) and (canary)   -> action
 *   (expression) and device.class in {classes} and not (until) and not (canary) -> log
 *
 * What the patch asks is thereby written in the language itself: it is compiled, indexed and explained as any rule is.
 *
 * Invariants: the two rules of a canary never match the same request; a share that grows keeps the devices it has.
 */
#include <stdio.h>
#include "base/clock.h"
#include "policy/patch.h"

static const char *const names[RF_PATCH_STATES] = { "draft", "replay", "report", "canary", "enforce", "retired" };

#define BIT(s) (1u << RF_PATCH_##s)
static const unsigned ways[RF_PATCH_STATES] = {
	[RF_PATCH_DRAFT] = BIT(REPLAY) | BIT(REPORT) | BIT(RETIRED),
	[RF_PATCH_REPLAY] = BIT(REPORT) | BIT(DRAFT) | BIT(RETIRED),
	[RF_PATCH_REPORT] = BIT(CANARY) | BIT(DRAFT) | BIT(REPLAY) | BIT(RETIRED),
	[RF_PATCH_CANARY] = BIT(ENFORCE) | BIT(CANARY) | BIT(REPORT) | BIT(DRAFT) | BIT(RETIRED),
	[RF_PATCH_ENFORCE] = BIT(CANARY) | BIT(REPORT) | BIT(DRAFT) | BIT(RETIRED),
	[RF_PATCH_RETIRED] = BIT(DRAFT) | BIT(REPORT),
};

const char *rf_patch_state_name(enum rf_patch_state s) { return names[s]; }

static struct rf_str text(const json_t *doc, const char *key)
{
	const json_t *v = json_object_get(doc, key);
	return json_is_string(v) ? (struct rf_str){ json_string_value(v), json_string_length(v) } : RF_STR("");
}

enum rf_patch_state rf_patch_state_of(const json_t *doc)
{
	for (int s = 0; s < RF_PATCH_STATES; s++)
		if (rf_str_eq(text(doc, "state"), rf_str_z(names[s])))
			return (enum rf_patch_state)s;
	return RF_PATCH_DRAFT;
}

bool rf_patch_may(enum rf_patch_state from, enum rf_patch_state to) { return ways[from] >> to & 1; }

const char *rf_patch_ways(enum rf_patch_state from, char to[96])
{
	size_t n = 0;
	unsigned left = ways[from];
	to[0] = '\0';
	for (int s = RF_PATCH_STATES - 1; s >= 0; s--) {
		if (!(left >> s & 1))
			continue;
		left &= ~(1u << s);
		n += (size_t)snprintf(to + n, 96 - n, "%s%s", n == 0 ? "" : left ? ", " : " or ", names[s]);
	}
	return to;
}

static json_t *move_of(const json_t *doc, enum rf_patch_state to, const char *who, const char *why, const char *when)
{
	static const char *const members[] = { "expression", "phase", "action", "action_parameters", "classes", "until", "canary" };
	json_t *move = json_pack("{s:s, s:s, s:s, s:s, s:s}", "who", who, "when", when, "from", text(doc, "state").p, "to",
				 names[to], "why", why);
	for (size_t i = 0; move && i < sizeof members / sizeof *members; i++)
		if (json_object_get(doc, members[i]))
			json_object_set(move, members[i], json_object_get(doc, members[i]));
	return move;
}

int rf_patch_note(json_t *doc, enum rf_patch_state to, const char *who, const char *why, int64_t now_s)
{
	char at[RF_RFC3339_SIZE];
	json_t *history = json_object_get(doc, "history");
	bool live = to >= RF_PATCH_REPORT && to <= RF_PATCH_ENFORCE;
	int bad = 0;
	rf_rfc3339(now_s * (int64_t)RF_NS_S, 0, at);
	if (!json_is_array(history)) {
		history = json_array();
		bad |= json_object_set_new(doc, "history", history);
	}
	while (json_array_size(history) >= RF_PATCH_HISTORY)
		json_array_remove(history, 0);
	bad |= json_array_append_new(history, move_of(doc, to, who, why, at));
	bad |= json_object_set_new(doc, "state", json_string(names[to]));
	bad |= json_object_set_new(doc, "state_since", json_string(at));
	if (!live)
		json_object_del(doc, "live_since");
	else if (!json_object_get(doc, "live_since"))
		bad |= json_object_set_new(doc, "live_since", json_string(at));
	return bad ? RF_E_NOMEM : RF_OK;
}

int rf_patch_phase(const json_t *doc, enum rf_phase *ret, struct rf_err *e)
{
	struct rf_str name = text(doc, "phase");
	enum rf_phase p = RF_PHASE_HTTP_REQUEST;
	int rc = name.n ? rf_phase_find(name, &p, e) : RF_OK;
	if (rc == RF_OK && p == RF_PHASE_PACKET)
		rc = rf_fail_ptr(e, RF_E_INVALID, "/phase", "a patch is of devices, which no packet tells; write a rule of the phase packet");
	if (rc == RF_OK && !(rf_phases[p].actions >> RF_ACT_BLOCK & 1))
		rc = rf_fail_ptr(e, RF_E_INVALID, "/phase", "nothing can be blocked in the phase `%s`; a patch is of connection or "
				 "http_request", rf_phases[p].name);
	if (rc != RF_OK) {
		snprintf(e->pointer, sizeof e->pointer, "/phase");
		return rc;
	}
	*ret = p;
	return RF_OK;
}

/* --- parts --- */

static int point(struct rf_err *e, const char *pointer)
{
	snprintf(e->pointer, sizeof e->pointer, "%s", pointer);
	return e->code;
}

static bool of_device(const struct rf_expr *x, struct rf_err *e, const char *pointer)
{
	for (int f = 0; f < RF_FIELD_COUNT; f++)
		if (rf_expr_uses(x, (enum rf_field)f) && strncmp(rf_fields[f].name, "device.", 7) != 0) {
			rf_fail_ptr(e, RF_E_INVALID, pointer, "`%s` is not about the device: only device.* can stand here",
				    rf_fields[f].name);
			return false;
		}
	return true;
}

/* An expression over device.*; "" gives NULL. */
static int device_expr(const struct rf_rule_env *env, struct rf_str s, const char *pointer, struct rf_expr **ret,
		       struct rf_err *e)
{
	struct rf_expr *x = NULL;
	*ret = NULL;
	if (!s.n)
		return RF_OK;
	if (rf_expr_compile(env, RF_PHASE_CONNECTION, s, &x, e) != RF_OK)
		return point(e, pointer);
	if (!of_device(x, e, pointer)) {
		rf_expr_put(x);
		return e->code;
	}
	*ret = x;
	return RF_OK;
}

static struct rf_str group(const json_t *doc) { return text(json_object_get(doc, "canary"), "group"); }

/* Percent of the document, whole or with a fraction, in shares. */
static int64_t share(const json_t *doc)
{
	const json_t *v = json_object_get(json_object_get(doc, "canary"), "percent");
	double percent = json_number_value(v);
	return percent <= 0 ? 0 : percent >= 100 ? RF_PATCH_SHARES : (int64_t)(percent * (RF_PATCH_SHARES / 100) + 0.5);
}

int rf_patch_check(const struct rf_rule_env *env, const json_t *doc, struct rf_err *e)
{
	enum rf_phase phase;
	struct rf_expr *x = NULL;
	struct rf_patch_scope s;
	int rc = rf_patch_phase(doc, &phase, e);
	if (rc == RF_OK && rf_expr_compile(env, phase, text(doc, "expression"), &x, e) != RF_OK)
		rc = point(e, "/expression");
	rf_expr_put(x);
	if (rc == RF_OK)
		rc = rf_patch_scope_make(env, doc, "", &s, e);
	if (rc == RF_OK)
		rf_patch_scope_fini(&s);
	return rc;
}

int rf_patch_scope_make(const struct rf_rule_env *env, const json_t *doc, const char *id, struct rf_patch_scope *ret,
			struct rf_err *e)
{
	struct rf_patch_scope s = { .classes = json_object_get(doc, "classes"), .share = share(doc), .id = id };
	int rc = device_expr(env, text(doc, "until"), "/until", &s.until, e);
	if (rc == RF_OK)
		rc = device_expr(env, group(doc), "/canary/group", &s.group, e);
	if (rc != RF_OK) {
		rf_patch_scope_fini(&s);
		return rc;
	}
	*ret = s;
	return RF_OK;
}

void rf_patch_scope_fini(struct rf_patch_scope *s)
{
	rf_expr_put(s->until);
	rf_expr_put(s->group);
	s->until = s->group = NULL;
}

bool rf_patch_class(const struct rf_patch_scope *s, struct rf_str class_name)
{
	size_t n = json_array_size(s->classes);
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(s->classes, i);
		if (rf_str_eq(class_name, (struct rf_str){ json_string_value(v), json_string_length(v) }))
			return true;
	}
	return n == 0;
}

static bool holds(const struct rf_expr *x, struct rf_facts *f)
{
	bool yes = false;
	return x && rf_expr_test(x, f, &yes) == RF_OK && yes;
}

bool rf_patch_fixed(const struct rf_patch_scope *s, struct rf_facts *f) { return holds(s->until, f); }

bool rf_patch_canary(const struct rf_patch_scope *s, struct rf_str device_id, struct rf_facts *f)
{
	return s->group ? holds(s->group, f) : rf_stable_share(device_id, rf_str_z(s->id)) < s->share;
}

/* FNV-1a over both, then the finalizer of splitmix64: fixed for ever, as canaries must stay who they are. */
int64_t rf_stable_share(struct rf_str who, struct rf_str salt)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < salt.n; i++)
		h = (h ^ (uint8_t)salt.p[i]) * 0x100000001b3u;
	h = (h ^ 0xff) * 0x100000001b3u;
	for (size_t i = 0; i < who.n; i++)
		h = (h ^ (uint8_t)who.p[i]) * 0x100000001b3u;
	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
	h = (h ^ h >> 27) * 0x94d049bb133111ebu;
	h ^= h >> 31;
	return (int64_t)((h >> 32) * RF_PATCH_SHARES >> 32);
}

/* --- rules --- */

static void quote(struct rf_buf *b, const json_t *v)
{
	rf_buf_addc(b, '"');
	for (const char *z = json_string_value(v); z && *z; z++) {
		if (*z == '"' || *z == '\\')
			rf_buf_addc(b, '\\');
		rf_buf_addc(b, *z);
	}
	rf_buf_addc(b, '"');
}

/* What is common to the rules of a patch. */
static void condition(const json_t *doc, struct rf_buf *b)
{
	const json_t *classes = json_object_get(doc, "classes");
	struct rf_str until = text(doc, "until");
	rf_buf_printf(b, "(%.*s)", RF_ARG(text(doc, "expression")));
	for (size_t i = 0; i < json_array_size(classes); i++) {
		rf_buf_add(b, i ? RF_STR(" ") : RF_STR(" and device.class in {"));
		quote(b, json_array_get(classes, i));
	}
	rf_buf_add(b, json_array_size(classes) ? RF_STR("}") : RF_STR(""));
	if (until.n)
		rf_buf_printf(b, " and not (%.*s)", RF_ARG(until));
}

static void canaries(const json_t *doc, const char *id, bool others, struct rf_buf *b)
{
	struct rf_str g = group(doc);
	rf_buf_add(b, others ? RF_STR(" and not ") : RF_STR(" and "));
	if (g.n)
		rf_buf_printf(b, "(%.*s)", RF_ARG(g));
	else
		rf_buf_printf(b, "(stable_share(device.id, \"%s\") lt %lld)", id, (long long)share(doc));
}

enum who { EVERYBODY, CANARIES, OTHERS };

static json_t *rule_doc(const json_t *doc, const char *id, const char *expression, bool act)
{
	const char *action = text(doc, "action").p;
	json_t *with = json_object_get(doc, "action_parameters");
	json_t *rule = json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", id, "ref", text(doc, "name").p, "expression", expression,
				 "description", text(doc, "title").p, "action", !act ? "log" : action[0] ? action : "block");
	if (rule && act && json_is_object(with))
		json_object_set(rule, "action_parameters", with);
	return rule;
}

static int make(const struct rf_rule_env *env, const json_t *doc, const char *id, enum who who, bool act,
		struct rf_rule **ret, struct rf_err *e)
{
	RF_BUF_AUTO b = { 0 };
	enum rf_phase phase;
	int rc = rf_patch_phase(doc, &phase, e);
	if (rc != RF_OK)
		return rc;
	condition(doc, &b);
	if (who != EVERYBODY)
		canaries(doc, id, who == OTHERS, &b);
	json_t *rule = b.bad ? NULL : rule_doc(doc, id, rf_buf_z(&b), act);
	rc = rule ? rf_rule_make(env, phase, rule, "", ret, e) : rf_fail(e, RF_E_NOMEM, "no memory for a patch");
	json_decref(rule);
	return rc;
}

int rf_patch_rules(const struct rf_rule_env *env, const json_t *doc, const char *id, struct rf_rule *ret[RF_PATCH_RULES],
		   size_t *ret_count, struct rf_err *e)
{
	enum rf_patch_state state = rf_patch_state_of(doc);
	bool canary = state == RF_PATCH_CANARY, live = state >= RF_PATCH_REPORT && state <= RF_PATCH_ENFORCE;
	struct rf_rule *first = NULL, *second = NULL;
	/* What is not live is compiled all the same: its action and parameters must be good before it is. */
	int rc = make(env, doc, id, canary ? CANARIES : EVERYBODY, state != RF_PATCH_REPORT, &first, e);
	if (rc == RF_OK && canary)
		rc = make(env, doc, id, OTHERS, false, &second, e);
	if (rc != RF_OK || !live) {
		rf_rule_put(first);
		*ret_count = rc == RF_OK ? 0 : *ret_count;
		return rc;
	}
	ret[0] = first;
	ret[1] = second;
	*ret_count = canary ? 2 : 1;
	return RF_OK;
}
