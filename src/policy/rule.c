/* policy/rule: one rule from its JSON document to an immutable object.
 *
 * All parts of a rule are small allocations in one chain that its last put frees; a plain one whose expression has a known shape is a
 * single allocation. Errors say where with a JSON pointer and, inside an expression, line and column.
 */
#include "policy/rule.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/hash.h"
#include "base/near.h"
#include "policy/packet_code.h"
#include "policy/rule_int.h"
#include "policy/rule_text.h"
#include "policy/shape.h"

enum { SHAPED = 1024 }; /* bytes of the longest expression that may have a shape */

struct chunk {
	struct chunk *next;
	_Alignas(max_align_t) char data[];
};

void *rule_alloc(struct rf_rule *r, size_t n)
{
	struct chunk *c = calloc(1, sizeof *c + n);
	if (!c)
		return NULL;
	c->next = r->mem;
	r->mem = c;
	r->bytes += sizeof *c + n;
	return c->data;
}

int rule_dup(struct rule_read *in, struct rf_str s, struct rf_str *ret)
{
	char *p = rule_alloc(in->rule, s.n + 1);
	if (!p)
		return rf_fail(in->e, RF_E_NOMEM, "no memory for this rule");
	if (s.n)
		memcpy(p, s.p, s.n);
	*ret = (struct rf_str){ p, s.n };
	return RF_OK;
}

int rule_fail(struct rule_read *in, int code, const char *below, const char *fmt, ...)
{
	char text[sizeof in->e->text], pointer[sizeof in->e->pointer];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	snprintf(pointer, sizeof pointer, "%s%s", in->at, below);
	return rf_fail_ptr(in->e, code, pointer, "%s", text);
}

static int expression(struct rule_read *in, struct rf_str s, const char *below, bool condition, struct rf_expr **ret)
{
	int r = condition ? rf_expr_compile(in->env, in->rule->phase, s, ret, in->e) :
		rf_expr_compile_value(in->env, in->rule->phase, s, ret, in->e);
	if (r)
		snprintf(in->e->pointer, sizeof in->e->pointer, "%s%s", in->at, below);
	else
		in->rule->bytes += rf_expr_bytes(*ret);
	return r;
}

int rule_expr(struct rule_read *in, const json_t *text, const char *below, bool condition, struct rf_expr **ret)
{
	struct rf_str s = { json_string_value(text), json_string_length(text) };
	if (!json_is_string(text))
		return rule_fail(in, RF_E_TYPE, below, "an expression is a string");
	return expression(in, s, below, condition, ret);
}

static uint64_t measured(const struct rf_rule_env *env)
{
	return env->clock ? env->clock->mono(env->clock->ctx) : 0;
}

void rule_warn(struct rf_rule *r, const char *sentence)
{
	if (r->nwarnings < RF_RULE_WARNINGS)
		r->warnings[r->nwarnings++] = sentence;
}

static int text_member(struct rule_read *in, const json_t *doc, const char *name, size_t bound, struct rf_str *ret)
{
	const json_t *v = json_object_get(doc, name);
	char below[32];
	snprintf(below, sizeof below, "/%s", name);
	if (!v || json_is_null(v))
		return RF_OK;
	if (!json_is_string(v))
		return rule_fail(in, RF_E_TYPE, below, "this should be a string");
	if (json_string_length(v) > bound)
		return rule_fail(in, RF_E_TOO_LARGE, below, "this takes at most %zu bytes", bound);
	return rule_dup(in, (struct rf_str){ json_string_value(v), json_string_length(v) }, ret);
}

/* Whether matches are recorded where the rule does not say. */
static bool logs(enum rf_action a)
{
	return a != RF_ACT_SKIP && a != RF_ACT_SET_CONFIG && a != RF_ACT_COMPRESS;
}

static int flags(struct rule_read *in, const json_t *doc)
{
	const json_t *enabled = json_object_get(doc, "enabled"), *logging = json_object_get(doc, "logging");
	const json_t *priority = json_object_get(doc, "priority");
	const json_t *on = logging ? json_object_get(logging, "enabled") : NULL;
	if (enabled && !json_is_boolean(enabled))
		return rule_fail(in, RF_E_TYPE, "/enabled", "this should be true or false");
	if (logging && (!json_is_object(logging) || (on && !json_is_boolean(on))))
		return rule_fail(in, RF_E_TYPE, "/logging", "this should be {\"enabled\": true} or false");
	if (priority && !json_is_null(priority) && !json_is_integer(priority))
		return rule_fail(in, RF_E_TYPE, "/priority", "this should be an integer");
	in->rule->enabled = !enabled || json_is_true(enabled);
	in->rule->logging = on ? json_is_true(on) : logs(in->rule->action);
	in->rule->priority = json_integer_value(priority);
	return RF_OK;
}

static int known_members(struct rule_read *in, const json_t *doc)
{
	static const char *const names[] = { "id", "ref", "expression", "action", "action_parameters", "description",
		"enabled", "logging", "priority", "version", "last_updated", "categories", "ratelimit", "position",
		"exposed_credential_check" };
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)doc, key, v) {
		size_t i = 0, count = sizeof names / sizeof *names;
		while (i < count && strcmp(names[i], key) != 0)
			i++;
		char below[64];
		snprintf(below, sizeof below, "/%s", key);
		const char *near = i == count ? rf_near(rf_str_z(key), names, count) : NULL;
		if (i == count)
			return rule_fail(in, RF_E_UNKNOWN, below, near ? "a rule has no `%.40s`, did you mean `%s`?" :
				"a rule has no `%.40s`", key, near);
	}
	if (json_is_object(json_object_get(doc, "exposed_credential_check")))
		return rule_fail(in, RF_E_UNSUPPORTED, "/exposed_credential_check", "this is not supported");
	return RF_OK;
}

static int action_named(struct rule_read *in, struct rf_str name)
{
	int a = rf_action_find(name);
	const char *near = a < 0 ? rf_action_near(name) : NULL;
	if (a < 0)
		return rule_fail(in, RF_E_UNKNOWN, "/action", near ? "unknown action `%.*s`, did you mean `%s`?" :
			"unknown action `%.*s`", name.n < 40 ? (int)name.n : 40, name.p, near);
	const struct rf_action_info *info = &rf_actions[a];
	if (info->kind == RF_KIND_REFUSED)
		return rule_fail(in, RF_E_UNSUPPORTED, "/action", "the action `%s` is not offered: %s", info->name, info->doc);
	if (!(rf_phases[in->rule->phase].actions >> a & 1))
		return rule_fail(in, RF_E_INVALID, "/action", "the action `%s` does not work in the phase `%s`", info->name,
			rf_phases[in->rule->phase].name);
	in->rule->action = (enum rf_action)a;
	if (info->kind == RF_KIND_CHALLENGE)
		rule_warn(in->rule, "a challenge is meaningless to a device: this rule blocks");
	return RF_OK;
}

static int action(struct rule_read *in, const json_t *doc)
{
	const json_t *v = json_object_get(doc, "action");
	if (!json_is_string(v))
		return rule_fail(in, v ? RF_E_TYPE : RF_E_MISSING, "/action", "a rule needs an action, a string");
	return action_named(in, (struct rf_str){ json_string_value(v), json_string_length(v) });
}

/* A rule that the kernel could not ask must not seem to be in force. */
static int for_packets(struct rule_read *in)
{
	struct rf_err why = { 0 };
	int c = rf_packet_check(in->rule, in->env->lists, &why);
	return c ? rule_fail(in, c, why.pointer, "%s", why.text) : RF_OK;
}

/* Once its texts, action and flags are there. */
static int compile(struct rule_read *in, const json_t *parameters, const json_t *limit)
{
	struct rf_rule *r = in->rule;
	int c = r->cond ? RF_OK : expression(in, r->expression, "/expression", true, &r->cond);
	if (!c)
		c = rule_parameters(in, parameters);
	if (!c)
		c = rule_limit(in, limit);
	if (!c && r->phase == RF_PHASE_PACKET)
		c = for_packets(in);
	if (!c && rf_expr_deprecated(r->cond))
		rule_warn(r, "the expression uses a deprecated field name (ip.geoip.*): write ip.src.*");
	return c;
}

static int read_rule(struct rule_read *in, const json_t *doc)
{
	struct rf_rule *r = in->rule;
	const json_t *text = json_object_get(doc, "expression");
	int c = known_members(in, doc);
	if (!c && text && !json_is_string(text))
		c = rule_fail(in, RF_E_TYPE, "/expression", "an expression is a string");
	if (!c)
		c = text_member(in, doc, "id", 64, &r->id);
	if (!c)
		c = text_member(in, doc, "ref", 64, &r->ref);
	if (!c)
		c = text_member(in, doc, "version", 32, &r->version);
	if (!c)
		c = text_member(in, doc, "description", RF_RULE_TEXT, &r->description);
	if (!c)
		c = text_member(in, doc, "expression", RF_EXPR_SIZE, &r->expression);
	if (!c && !text)
		c = rule_fail(in, RF_E_MISSING, "/expression", "a rule needs an expression; `true` holds always");
	if (!c)
		c = action(in, doc);
	if (!c)
		c = flags(in, doc);
	return c ? c : compile(in, json_object_get(doc, "action_parameters"), json_object_get(doc, "ratelimit"));
}

/* Copies of a plain rule's texts, in one piece. */
static int plain_texts(struct rule_read *in, const struct rf_rule_text *t)
{
	struct rf_rule *r = in->rule;
	const struct { const struct rf_js_text *from; struct rf_str *to; } texts[] = { { &t->id, &r->id }, { &t->ref, &r->ref },
		{ &t->version, &r->version }, { &t->description, &r->description }, { &t->expression, &r->expression } };
	enum { TEXTS = sizeof texts / sizeof *texts };
	size_t n = TEXTS;
	for (size_t i = 0; i < TEXTS; i++)
		n += texts[i].from->raw.n;
	char *at = rule_alloc(r, n);
	if (!at)
		return rule_no_memory(in);
	for (size_t i = 0; i < TEXTS; i++) {
		if (!texts[i].from->raw.n)
			continue;
		*texts[i].to = (struct rf_str){ at, rf_js_decode(texts[i].from, at) };
		at += texts[i].to->n + 1;
	}
	return RF_OK;
}

/* What is left of it once its texts are there, and perhaps its condition. */
static int finish_plain(struct rule_read *in, const struct rf_rule_text *t)
{
	struct rf_rule *r = in->rule;
	int c = action_named(in, t->action.raw);
	r->enabled = !t->disabled;
	r->logging = logs(r->action);
	return c ? c : compile(in, NULL, NULL);
}

static int read_plain(struct rule_read *in, const struct rf_rule_text *t)
{
	int c = plain_texts(in, t);
	return c ? c : finish_plain(in, t);
}

static struct rf_str put_text(char **at, const struct rf_js_text *t)
{
	struct rf_str s = { *at, t->raw.n ? rf_js_decode(t, *at) : 0 };
	(*at)[s.n] = '\0';
	*at += s.n + 1;
	return s;
}

struct rf_rule *rule_in_one(enum rf_phase phase, const struct shape *shape, struct rf_str expression, const struct cut *cut,
	const struct rf_rule_text *t)
{
	enum { ALIGN = _Alignof(max_align_t) };
	bool own_ref = !rf_str_eq(t->ref.raw, t->id.raw);
	size_t program = (shape_room(shape, expression.n) + ALIGN - 1) / ALIGN * ALIGN, head = (sizeof(struct rf_rule) + ALIGN - 1) / ALIGN * ALIGN;
	size_t texts = t->id.raw.n + (own_ref ? t->ref.raw.n + 1 : 0) + t->version.raw.n + t->description.raw.n + 3;
	char *block = malloc(head + program + texts), *at = block ? block + head + program : NULL;
	if (!block)
		return NULL;
	struct rf_rule *r = (struct rf_rule *)block;
	*r = (struct rf_rule){ .phase = phase, .cond = shape_fill(shape, expression, cut, block + head), .bytes = head + program + texts };
	atomic_init(&r->refs, 1);
	r->expression = rf_expr_text(r->cond);
	r->id = put_text(&at, &t->id);
	r->ref = own_ref ? put_text(&at, &t->ref) : r->id;
	r->version = put_text(&at, &t->version);
	r->description = put_text(&at, &t->description);
	return r;
}

/* A plain rule whose expression `s` has a known shape. */
static int make_shaped(struct rule_read *in, const struct rf_rule_text *t, const struct shape *shape, struct rf_str s, const struct cut *cut)
{
	in->rule = rule_in_one(in->phase, shape, s, cut, t);
	int c = in->rule ? finish_plain(in, t) : rf_fail_ptr(in->e, RF_E_NOMEM, in->at, "no memory for this rule");
	if (c)
		rf_rule_put(in->rule);
	return c;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xd6e8feb86659fd93u);
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static bool among(const char *key, const char *const *names)
{
	while (*names && strcmp(*names, key) != 0)
		names++;
	return *names;
}

/* Depth is what the JSON parser admits. */
static uint64_t digest(const json_t *v, const char *const *without)
{
	uint64_t h = (uint64_t)json_typeof(v);
	double real;
	const char *key;
	json_t *item;
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		json_object_foreach((json_t *)v, key, item)
			if (!without || !among(key, without))
				h += mix(rf_hash(rf_str_z(key)), digest(item, NULL));
		return h;
	case JSON_ARRAY:
		for (size_t i = 0; i < json_array_size(v); i++)
			h = mix(h + i, digest(json_array_get(v, i), NULL));
		return h;
	case JSON_STRING:
		return mix(h, rf_hash((struct rf_str){ json_string_value(v), json_string_length(v) }));
	case JSON_INTEGER:
		return mix(h, (uint64_t)json_integer_value(v));
	case JSON_REAL:
		real = json_real_value(v);
		return mix(h, rf_hash((struct rf_str){ (const char *)&real, sizeof real }));
	default:
		return mix(h, 1);
	}
}

uint64_t rf_rule_digest(const json_t *doc, const char *const *without)
{
	return digest(doc, without);
}

uint64_t rule_digest(const json_t *doc)
{
	static const char *const time[] = { "last_updated", NULL };
	return digest(doc, time);
}

/* From a document, or from a plain text where it is NULL. */
static int make(const struct rf_rule_env *env, enum rf_phase phase, const json_t *doc, const struct rf_rule_text *text, const char *at,
	struct rf_rule **ret, struct rf_err *e)
{
	struct rf_rule *r = calloc(1, sizeof *r);
	if (!r)
		return rf_fail_ptr(e, RF_E_NOMEM, at, "no memory for this rule");
	atomic_init(&r->refs, 1);
	r->phase = phase;
	struct rule_read in = { .env = env, .rule = r, .at = at, .e = e };
	in.phase = phase;
	uint64_t began = measured(env);
	int c = doc ? read_rule(&in, doc) : read_plain(&in, text);
	if (c) {
		rf_rule_put(r);
		return c;
	}
	r->bytes += sizeof *r;
	r->took = measured(env) - began;
	r->digest = doc ? rule_digest(doc) : 0;
	*ret = r;
	return RF_OK;
}

int rf_rule_make(const struct rf_rule_env *env, enum rf_phase phase, const json_t *doc, const char *at,
	struct rf_rule **ret, struct rf_err *e)
{
	if (!json_is_object(doc))
		return rf_fail_ptr(e, RF_E_TYPE, at, "a rule should be an object");
	return make(env, phase, doc, NULL, at, ret, e);
}

static int make_plain(const struct rf_rule_env *env, enum rf_phase phase, const struct rf_rule_text *t, const char *at, struct rf_rule **ret,
	struct rf_err *e)
{
	char room[SHAPED];
	struct cut cut;
	if (!env->shapes || t->expression.raw.n > sizeof room)
		return make(env, phase, NULL, t, at, ret, e);
	struct rf_str s = { room, rf_js_decode(&t->expression, room) };
	const struct shape *shape = shape_find(env->shapes, phase, s, &cut);
	struct rule_read in = { .env = env, .phase = phase, .at = at, .e = e };
	int c = shape ? make_shaped(&in, t, shape, s, &cut) : make(env, phase, NULL, t, at, ret, e);
	if (!c && shape)
		*ret = in.rule;
	else if (!c)
		shape_learn(env->shapes, phase, &cut, (*ret)->cond);
	return c;
}

int rf_rule_make_text(const struct rf_rule_env *env, enum rf_phase phase, struct rf_str doc, struct rf_str id, struct rf_str ref,
	const char *at, struct rf_rule **ret, struct rf_err *e)
{
	struct rf_js j = rf_js_over(doc);
	struct rf_rule_text text;
	bool plain = rf_rule_text_read(&j, false, env->shapes ? shapes_like(env->shapes) : NULL, &text) && text.plain && rf_js_end(&j);
	if (plain && !text.id.raw.p)
		text.id.raw = id;
	if (plain && !text.ref.raw.p)
		text.ref.raw = ref;
	if (plain)
		return make_plain(env, phase, &text, at, ret, e);
	json_error_t why;
	json_t *tree = json_loadb(doc.p, doc.n, JSON_REJECT_DUPLICATES, &why);
	if (!tree)
		return rf_fail_ptr(e, RF_E_SYNTAX, at, "this is not JSON: %.160s", why.text);
	int rc = rf_rule_make(env, phase, tree, at, ret, e);
	json_decref(tree);
	return rc;
}

struct rf_rule *rf_rule_get(struct rf_rule *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

static void put_edit(const struct rf_edit_spec *s)
{
	if (s)
		rf_expr_put(s->expr);
}

void rf_rule_put(struct rf_rule *r)
{
	if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	rf_expr_put(r->cond);
	for (size_t i = 0; i < r->nedits; i++)
		put_edit(&r->edits[i]);
	put_edit(r->path);
	put_edit(r->query);
	put_edit(r->redirect ? r->redirect->target : NULL);
	rule_limit_put(r->limit);
	for (struct chunk *c = r->mem, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	free(r);
}
