/* api/ruleset_change: the steps of a change that all writers of rules share.
 *
 * rf_change_open -> rf_change_put, _move and _del, each a row and a note of how to undo it -> rf_change_finish ->
 * rf_change_result
 *
 * Invariants: the head's rule_count is the number of its rows; a rule's name is its ref; every row that is written is
 * announced, by itself or with its ruleset.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/rulesets.h"
#include "base/jw.h"
#include "base/way.h"
#include "policy/rule.h"

static int no_memory(struct rf_api_call *c)
{
	return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
}

static void begin_part(struct rf_ruleset_change *ch)
{
	rf_buf_add(&ch->undo, RF_STR("{\"undo\":["));
	ch->part = ch->undo.n;
}

void rf_change_begin(struct rf_api_call *c, struct rf_ruleset_change *ch)
{
	begin_part(ch);
	rf_rfc3339(c->api->conf.clock.wall(c->api->conf.clock.ctx), 1, ch->now);
}

int rf_change_open(struct rf_api_call *c, struct rf_ruleset_change *ch)
{
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_ruleset_load(c, c->params.id, &ch->head);
	rf_change_begin(c, ch);
	return rc;
}

void rf_change_fini(struct rf_ruleset_change *ch)
{
	rf_object_fini(&ch->head);
	rf_buf_fini(&ch->undo);
}

void rf_change_note(struct rf_ruleset_change *ch, const char *id, const struct rf_raw_object *was, bool moves)
{
	ch->unkept |= ch->notes >= RF_RULESET_VERSION_RULES;
	if (ch->fresh || ch->unkept)
		return;
	if (ch->undo.n - ch->part >= RF_RULESET_PART) {
		rf_buf_add(&ch->undo, RF_STR(RF_RULESET_PART_END));
		begin_part(ch);
	}
	struct rf_jw w = { &ch->undo, ch->undo.n > ch->part };
	ch->notes++;
	rf_way_give();
	rf_jw_open(&w, NULL, '{');
	rf_jw_str(&w, "id", rf_str_z(id));
	if (was)
		rf_jw_i64(&w, "place", was->place);
	if (was && !moves) {
		if (strcmp(was->name, id) != 0)
			rf_jw_str(&w, "ref", rf_str_z(was->name));
		rf_buf_add(w.b, RF_STR(",\"rule\":"));
		rf_buf_add(w.b, was->doc);
	}
	rf_jw_close(&w, '}');
}

/* Of a rule as it is stored; whether it `is`. */
static int note(struct rf_api_call *c, struct rf_ruleset_change *ch, const char *id, bool moves, bool *is)
{
	struct rf_raw_object was;
	struct rf_err e = { 0 };
	int rc = rf_store_raw(c->store, RF_KIND_RULE, id, &was, &e);
	*is = rc == RF_OK;
	if (rc == RF_OK || rc == RF_E_NOT_FOUND)
		rf_change_note(ch, id, *is ? &was : NULL, moves);
	else
		c->err = e;
	return rc == RF_E_NOT_FOUND ? RF_OK : rc;
}

static int announce(struct rf_api_call *c, const struct rf_ruleset_change *ch, const char *id)
{
	const struct rf_api_state *st = &c->api->conf.state;
	return ch->whole ? RF_OK : st->touch(st->ctx, RF_KIND_RULE, id, &c->err);
}

static void count(struct rf_ruleset_change *ch, int by)
{
	json_int_t n = json_integer_value(json_object_get(ch->head.doc, "rule_count"));
	json_object_set_new(ch->head.doc, "rule_count", json_integer(n + by));
}

int rf_change_put(struct rf_api_call *c, struct rf_ruleset_change *ch, struct rf_object *row)
{
	bool is;
	int rc = note(c, ch, row->id, false, &is);
	snprintf(row->name, sizeof row->name, "%s", rf_json_text(row->doc, "ref"));
	memcpy(row->parent, ch->head.id, sizeof row->parent);
	if (rc == RF_OK)
		rc = rf_store_put(c->store, RF_KIND_RULE, row, 0, &c->err);
	if (rc == RF_OK && !is)
		count(ch, 1);
	return rc == RF_OK ? announce(c, ch, row->id) : rc;
}

int rf_change_move(struct rf_api_call *c, struct rf_ruleset_change *ch, const char *id, int64_t place)
{
	bool is;
	int rc = note(c, ch, id, true, &is);
	if (rc == RF_OK)
		rc = rf_store_move(c->store, RF_KIND_RULE, id, place, &c->err);
	return rc == RF_OK ? announce(c, ch, id) : rc;
}

int rf_change_del(struct rf_api_call *c, struct rf_ruleset_change *ch, const char *id)
{
	bool is;
	int rc = note(c, ch, id, false, &is);
	if (rc == RF_OK)
		rc = rf_store_del(c->store, RF_KIND_RULE, id, 0, &c->err);
	if (rc == RF_OK)
		count(ch, -1);
	return rc == RF_OK ? announce(c, ch, id) : rc;
}

static void next_version(json_t *to, const json_t *from)
{
	char text[24];
	snprintf(text, sizeof text, "%lld", from ? strtoll(rf_json_text(from, "version"), NULL, 10) + 1 : 1ll);
	json_object_set_new(to, "version", json_string(text));
}

uint64_t rf_rule_content(const json_t *rule)
{
	static const char *const computed[] = { "version", "last_updated", "id", "ref", NULL };
	return rf_rule_digest(rule, computed);
}

bool rf_rule_number(json_t *rule, const char *id, const json_t *old, const char *now)
{
	json_object_del(rule, "position");
	json_object_set_new(rule, "id", json_string(id));
	if (!rf_json_text(rule, "ref")[0])
		json_object_set_new(rule, "ref", json_string(old ? rf_json_text(old, "ref") : id));
	bool differs = !old || rf_rule_content(rule) != rf_rule_content(old);
	if (differs) {
		next_version(rule, old);
		json_object_set_new(rule, "last_updated", json_string(now));
	} else {
		json_object_set(rule, "version", json_object_get(old, "version"));
		json_object_set(rule, "last_updated", json_object_get(old, "last_updated"));
	}
	return differs || strcmp(rf_json_text(rule, "ref"), rf_json_text(old, "ref")) != 0;
}

/* An error of ctl at "/rules/ID/expression" is at "/expression" of a request that was that rule, and at
 * "/rules/3/expression" of one that had it fourth. What the request did not hold has no pointer. */
static void move_pointer(struct rf_api_call *c, const char *one)
{
	char id[33], rest[sizeof c->err.pointer];
	int used = 0;
	if (sscanf(c->err.pointer, "/rules/%32[0-9a-f]%n", id, &used) != 1 || strlen(id) != 32)
		return;
	snprintf(rest, sizeof rest, "%s", c->err.pointer + used);
	c->err.pointer[0] = '\0';
	if (one && strcmp(one, id) == 0)
		snprintf(c->err.pointer, sizeof c->err.pointer, "%s", rest);
	size_t at = !one && c->rules ? rf_rule_by_id(c->rules, id) : 0;
	if (!one && c->rules && at < c->rules->n)
		snprintf(c->err.pointer, sizeof c->err.pointer, "/rules/%zu%.*s", at, 80, rest);
}

/* The head, announced where all rules are to be compared; else only its rules were. */
static int put_head(struct rf_api_call *c, struct rf_ruleset_change *ch)
{
	uint64_t expected = ch->fresh ? 0 : c->if_revision;
	if (ch->whole)
		return rf_api_put(c, RF_KIND_RULESET, &ch->head, expected);
	return rf_store_put(c->store, RF_KIND_RULESET, &ch->head, expected, &c->err);
}

/* Rules of packets are kept where no kernel filter is that would ask them; who writes them is told. */
static void say_missing(struct rf_api_call *c, const json_t *doc)
{
	const struct rf_api_packet_hooks *h = c->api->conf.hooks.packets;
	const char *why = h && !strcmp(rf_json_text(doc, "phase"), "packet") ? h->missing(c->api->conf.hooks.ctx) : NULL;
	if (why)
		rf_api_message(c, "", "%s", why);
}

int rf_change_finish(struct rf_api_call *c, struct rf_ruleset_change *ch, const char *one)
{
	json_t *doc = ch->head.doc, *old = ch->fresh ? NULL : json_copy(doc);
	int rc = !ch->fresh && !old ? no_memory(c) : RF_OK;
	next_version(doc, old);
	json_object_set_new(doc, "last_updated", json_string(ch->now));
	if (rc == RF_OK && old)
		rc = rf_version_keep(c, ch, old);
	json_decref(old);
	if (rc == RF_OK)
		rc = put_head(c, ch);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	if (rc == RF_OK)
		say_missing(c, doc);
	else
		move_pointer(c, one);
	return rc;
}

json_t *rf_ruleset_brief(const struct rf_object *head)
{
	json_t *j = json_copy(head->doc);
	if (!j)
		return NULL;
	for (const char *const *m = (const char *const[]){ "zone_id", "rule_count", "history", NULL }; *m; m++)
		json_object_del(j, *m);
	json_object_set_new(j, "id", json_string(head->id));
	return j;
}

json_t *rf_ruleset_full(const struct rf_object *head, json_t *rules)
{
	json_t *j = rf_ruleset_brief(head);
	if (j && json_object_set_new(j, "rules", rules) == 0)
		return j;
	if (!j)
		json_decref(rules);
	json_decref(j);
	return NULL;
}

struct gathering {
	struct rf_api_call *c;
	json_t *to;
};

static int gather(const struct rf_object *o, void *arg)
{
	struct gathering *g = arg;
	return json_array_append(g->to, o->doc) == 0 ? RF_OK : no_memory(g->c);
}

int rf_ruleset_rules(struct rf_api_call *c, const struct rf_object *head, json_t **ret)
{
	struct gathering g = { c, json_array() };
	struct rf_store_query q = { .parent = head->id, .by_place = true };
	int rc = g.to ? rf_store_list(c->store, RF_KIND_RULE, &q, gather, &g, NULL, &c->err) : no_memory(c);
	if (rc == RF_OK)
		*ret = g.to;
	else
		json_decref(g.to);
	return rc;
}

/* [RFC 7240 4.2] */
static bool wants_little(const struct rf_api_call *c)
{
	struct rf_str rest = c->req->prefer, part;
	while (rf_str_split(&rest, ',', &part)) {
		part.n = rf_str_find(part, ';');
		if (rf_str_ieq(rf_str_trim(part), RF_STR("return=minimal")))
			return true;
	}
	return false;
}

static json_t *little(const struct rf_ruleset_change *ch, json_t *rule)
{
	json_t *j = json_pack("{s:s, s:s, s:s}", "id", ch->head.id, "version", rf_json_text(ch->head.doc, "version"),
			      "last_updated", rf_json_text(ch->head.doc, "last_updated"));
	if (j && rule)
		json_object_set(j, "rule", rule);
	return j;
}

int rf_change_result(struct rf_api_call *c, const struct rf_ruleset_change *ch, json_t *rule)
{
	if (c->dry_run)
		return rf_api_result(c, json_null(), 0);
	if (wants_little(c)) {
		rf_buf_printf(&c->headers, "Preference-Applied: return=minimal\r\n");
		return rf_api_result(c, little(ch, rule), ch->head.revision);
	}
	json_t *all = NULL;
	int rc = rf_ruleset_rules(c, &ch->head, &all);
	return rc == RF_OK ? rf_api_result(c, rf_ruleset_full(&ch->head, all), ch->head.revision) : rc;
}
