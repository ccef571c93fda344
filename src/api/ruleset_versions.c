/* api/ruleset_versions: earlier versions of a ruleset, kept as the way back to them.
 *
 * Each change of a ruleset leaves a record under the version that it ended: an array of {"id"} (the rule was not there),
 * {"id", "place"} (it stood there) and {"id", "place", "ref", "rule"} (and read so: its document as it was stored, which may
 * leave id and ref to the row; without "ref", this is the id). A long record goes on in further ones, each under an entry of
 * the history that is hidden and has no version: so none keeps workers waiting while it is written or deleted, and it goes
 * with the one before it. A version is shown by taking the rules as they are and undoing changes from the latest back to it.
 * The head's "history" lists what is kept, oldest first.
 *
 * Bounds: RF_RULESET_VERSIONS, and RF_RULESET_VERSION_RULES changed rules in all of them together; the oldest go first,
 * and a single change of more rules than that leaves no earlier version: what is kept is also what a later push of one
 * rule has to clear away. A version that is deleted is only hidden while an older one needs its record.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/rulesets.h"
#include "base/list.h"
#include "base/map.h"
#include "base/room.h"

static int no_memory(struct rf_api_call *c)
{
	return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
}

static bool hidden(const json_t *entry) { return json_is_true(json_object_get(entry, "hidden")); }

/* --- keeping --- */

static bool over(const json_t *history)
{
	size_t n = 0, i;
	json_int_t rules = 0;
	json_t *entry;
	json_array_foreach(history, i, entry) {
		n += json_object_get(entry, "version") != NULL;
		rules += json_integer_value(json_object_get(entry, "rules"));
	}
	return n > RF_RULESET_VERSIONS || rules > RF_RULESET_VERSION_RULES || hidden(json_array_get(history, 0));
}

static int trim(struct rf_api_call *c, json_t *history, bool all)
{
	int rc = RF_OK;
	while (rc == RF_OK && (over(history) || (all && json_array_size(history)))) {
		rc = rf_store_del(c->store, RF_KIND_RULESET_VERSION, rf_json_text(json_array_get(history, 0), "id"), 0, &c->err);
		json_array_remove(history, 0);
	}
	return rc;
}

/* The history is copied before it changes: what the head was is in other hands. */
static json_t *own_history(json_t *doc)
{
	json_t *old = json_object_get(doc, "history"), *copy = old ? json_deep_copy(old) : json_array();
	return copy && json_object_set_new(doc, "history", copy) == 0 ? copy : NULL;
}

static json_t *first_entry(const struct rf_ruleset_change *ch, const json_t *head)
{
	return json_pack("{s:s, s:I, s:O?, s:O?, s:O?}", "version", rf_json_text(head, "version"), "rules", (json_int_t)ch->notes,
			 "last_updated", json_object_get(head, "last_updated"), "name", json_object_get(head, "name"),
			 "description", json_object_get(head, "description"));
}

/* A record, and its entry (taken), put at the end of the history. */
static int keep_part(struct rf_api_call *c, struct rf_object *v, struct rf_str text, json_t *history, json_t *entry)
{
	int rc = rf_store_put_text(c->store, RF_KIND_RULESET_VERSION, v, text, 0, &c->err);
	if (rc == RF_OK && json_object_set_new(entry, "id", json_string(v->id)) == 0)
		return json_array_append_new(history, entry) == 0 ? RF_OK : no_memory(c);
	json_decref(entry);
	return rc == RF_OK ? no_memory(c) : rc;
}

int rf_version_keep(struct rf_api_call *c, struct rf_ruleset_change *ch, const json_t *old_head)
{
	json_t *history = own_history(ch->head.doc);
	if (history && ch->unkept)
		return trim(c, history, true);
	rf_buf_add(&ch->undo, RF_STR(RF_RULESET_PART_END));
	int rc = history && !ch->undo.bad ? RF_OK : no_memory(c), used;
	for (size_t at = 0, part = 0; rc == RF_OK && at < ch->undo.n; part++) {
		struct rf_object v = { 0 };
		struct rf_str text = rf_str_z(ch->undo.p + at);
		snprintf(v.parent, sizeof v.parent, "%s", ch->head.id);
		used = snprintf(v.name, sizeof v.name, "%s", rf_json_text(old_head, "version"));
		if (part)
			snprintf(v.name + used, sizeof v.name - (size_t)used, ".%zu", part);
		rc = keep_part(c, &v, text, history, part ? json_pack("{s:b}", "hidden", 1) : first_entry(ch, old_head));
		at += text.n + 1;
	}
	return rc == RF_OK ? trim(c, history, false) : rc;
}

static size_t find(const json_t *history, const char *version)
{
	size_t i;
	json_t *entry;
	json_array_foreach(history, i, entry)
		if (strcmp(rf_json_text(entry, "version"), version) == 0 && !hidden(entry))
			break;
	return i;
}

int rf_api_versions_delete(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_ruleset_load(c, c->params.id, &o);
	if (rc == RF_OK && strcmp(c->params.version, rf_json_text(o.doc, "version")) == 0)
		rc = rf_fail(&c->err, RF_E_CONFLICT, "version %s is the present one", c->params.version);
	json_t *history = json_object_get(o.doc, "history");
	size_t at = find(history, c->params.version);
	if (rc == RF_OK && at == json_array_size(history))
		rc = rf_fail(&c->err, RF_E_NOT_FOUND, "the ruleset has no version %s", c->params.version);
	if (rc == RF_OK)
		rc = json_object_set_new(json_array_get(history, at), "hidden", json_true()) == 0 ?
			trim(c, history, false) : no_memory(c);
	if (rc == RF_OK)
		rc = rf_store_put(c->store, RF_KIND_RULESET, &o, c->if_revision, &c->err);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	c->status = 204;
	return rc;
}

/* --- showing --- */

/* The head as it was at an entry of its history. */
static json_t *brief_at(const struct rf_object *head, const json_t *entry)
{
	json_t *j = rf_ruleset_brief(head);
	for (const char *const *m = (const char *const[]){ "version", "last_updated", "name", "description", NULL }; j && *m; m++)
		json_object_set(j, *m, json_object_get(entry, *m));
	return j;
}

int rf_versions_list(struct rf_api_call *c, const struct rf_object *head)
{
	size_t page, per, i, n = 0, shown = 0;
	json_t *entry;
	int rc = rf_api_page(c, RF_API_PER_PAGE_MAX, &page, &per);
	json_t *list = rc == RF_OK ? json_array() : NULL;
	if (rc == RF_OK && !list)
		rc = no_memory(c);
	json_array_foreach(json_object_get(head->doc, "history"), i, entry) {
		if (rc != RF_OK || hidden(entry) || n++ / per != page - 1)
			continue;
		rc = json_array_append_new(list, brief_at(head, entry)) == 0 ? RF_OK : no_memory(c);
		shown++;
	}
	if (rc == RF_OK && n++ / per == page - 1) {
		rc = json_array_append_new(list, rf_ruleset_brief(head)) == 0 ? RF_OK : no_memory(c);
		shown++;
	}
	if (rc == RF_OK)
		rc = rf_api_info(c, page, per, shown, n);
	if (rc == RF_OK)
		return rf_api_result(c, list, 0);
	json_decref(list);
	return rc;
}

/* --- the way back --- */

struct item {
	struct rf_map_node node; /* by id */
	char id[33];
	int64_t place;
	json_t *doc;             /* NULL: not there */
};

struct past {
	struct rf_api_call *c;
	struct rf_map items;
	struct item **v;
	size_t n, cap;
};

static struct item *item(struct past *p, const char *id)
{
	struct rf_map_node *there = p->items.count ? rf_map_find(&p->items, rf_str_z(id)) : NULL;
	if (there)
		return RF_CONTAINER(there, struct item, node);
	if (!RF_ROOM(p->v, p->cap, p->n))
		return NULL;
	struct item *made = calloc(1, sizeof *made);
	if (!made)
		return NULL;
	p->v[p->n++] = made;
	snprintf(made->id, sizeof made->id, "%s", id);
	rf_map_add(&p->items, &made->node, rf_str_z(made->id));
	return made;
}

static int present_rule(const struct rf_object *o, void *arg)
{
	struct past *p = arg;
	struct item *it = item(p, o->id);
	if (!it)
		return no_memory(p->c);
	it->place = o->place;
	it->doc = json_incref(o->doc);
	return RF_OK;
}

static int undo(struct past *p, const json_t *op)
{
	const json_t *place = json_object_get(op, "place");
	json_t *rule = json_object_get(op, "rule");
	struct item *it = item(p, rf_json_text(op, "id"));
	if (!it)
		return no_memory(p->c);
	const char *ref = rf_json_text(op, "ref");
	if (rule && !rf_store_say(rule, it->id, *ref ? ref : it->id))
		return no_memory(p->c);
	if (rule || !place) {
		json_decref(it->doc);
		it->doc = json_incref(rule);
	}
	it->place = json_integer_value(place);
	return RF_OK;
}

static int undo_record(struct past *p, const json_t *entry)
{
	RF_OBJECT_AUTO v = { 0 };
	int rc = rf_store_get(p->c->store, RF_KIND_RULESET_VERSION, rf_json_text(entry, "id"), &v, &p->c->err);
	const json_t *ops = json_object_get(v.doc, "undo");
	for (size_t i = json_array_size(ops); rc == RF_OK && i-- > 0;) /* a rule can be noted twice: the first is what was */
		rc = undo(p, json_array_get(ops, i));
	return rc;
}

static int by_place(const void *a, const void *b)
{
	const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;
	return x->place < y->place ? -1 : x->place > y->place;
}

static json_t *rules_of(struct past *p)
{
	json_t *rules = json_array();
	if (p->n)
		qsort(p->v, p->n, sizeof *p->v, by_place);
	for (size_t i = 0; rules && i < p->n; i++)
		if (p->v[i]->doc && json_array_append(rules, p->v[i]->doc) != 0) {
			json_decref(rules);
			return NULL;
		}
	return rules;
}

static void past_fini(struct past *p)
{
	for (size_t i = 0; i < p->n; i++) {
		json_decref(p->v[i]->doc);
		free(p->v[i]);
	}
	rf_map_fini(&p->items);
	free(p->v);
}

int rf_versions_show(struct rf_api_call *c, const struct rf_object *head)
{
	struct past p = { .c = c };
	struct rf_store_query q = { .parent = head->id, .by_place = true };
	const json_t *history = json_object_get(head->doc, "history");
	size_t at = find(history, c->params.version);
	if (at == json_array_size(history))
		return rf_fail(&c->err, RF_E_NOT_FOUND, "the ruleset has no version %s", c->params.version);
	int rc = rf_store_list(c->store, RF_KIND_RULE, &q, present_rule, &p, NULL, &c->err);
	for (size_t i = json_array_size(history); rc == RF_OK && i-- > at;)
		rc = undo_record(&p, json_array_get(history, i));
	json_t *rules = rc == RF_OK ? rules_of(&p) : NULL, *j = rules ? brief_at(head, json_array_get(history, at)) : NULL;
	past_fini(&p);
	if (rc != RF_OK)
		return rc;
	if (!j) {
		json_decref(rules);
		return no_memory(c);
	}
	json_object_set_new(j, "rules", rules);
	return rf_api_result(c, j, 0);
}
