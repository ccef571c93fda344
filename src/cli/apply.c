/* cli/apply: bring the state in line with a file.
 *
 * The way of a file: read -> every member held against the table of shapes -> the rules as they would be compiled, and the
 * file's tests run over them: one that fails refuses all -> objects of each kind in order, each made or changed
 * where it differs -> rules -> with --prune what the file does not name is deleted, in the reverse order.
 *
 * An object is known by its name. Only members that the file names are compared and set. The same file a second
 * time changes nothing. All changes go to the API as one batch, for the state that was read: all are made or none. With --dry-run the
 * same lines are printed, and the batch is only tried.
 */
#include <stdlib.h>
#include "cli/list.h"
#include "cli/state.h"
#include "cli/try.h"

struct apply {
	struct cli *c;
	const json_t *doc;
	json_t *roots;        /* as they are, for names of roots */
	bool prune;
	size_t changes;
	json_t *parts;        /* of the batch */
	json_int_t revision;  /* of the state as it was read */
};

/* What will be made has no id yet, but a reference to the part that makes it. */
static bool fresh(const char *id) { return id[0] == '~'; }

static const char *text(const json_t *o, const char *name)
{
	const char *z = json_string_value(json_object_get(o, name));
	return z ? z : "";
}

static void say(struct apply *a, char sign, const char *kind, const char *name, const char *more)
{
	static const struct { char sign; const char *colour; } colours[] = {
		{ '+', "\33[32m" }, { '~', "\33[33m" }, { '-', "\33[31m" },
	};
	RF_BUF_AUTO clean = { 0 };
	const char *colour = "";
	for (size_t i = 0; i < 3; i++)
		if (a->c->colour && colours[i].sign == sign)
			colour = colours[i].colour;
	json_t *z = json_string(name);
	cli_cell(&clean, z);
	json_decref(z);
	a->changes++;
	if (!a->c->quiet)
		fprintf(a->c->out, "%s%c %s %s%s%s%s\n", colour, sign, kind, rf_buf_z(&clean), more[0] ? ": " : "", more,
			colour[0] ? "\33[0m" : "");
}

/* Whether `now` has all that `wanted` says; arrays as a whole, objects member by member. */
static bool holds(const json_t *now, const json_t *wanted)
{
	const char *name;
	json_t *v;
	size_t i;
	if (json_is_object(wanted)) {
		if (!json_is_object(now))
			return false;
		json_object_foreach((json_t *)wanted, name, v)
			if (!holds(json_object_get(now, name), v))
				return false;
		return true;
	}
	if (json_is_array(wanted)) {
		if (json_array_size(now) != json_array_size(wanted))
			return false;
		json_array_foreach(wanted, i, v)
			if (!holds(json_array_get(now, i), v))
				return false;
		return true;
	}
	if (!now || json_is_null(now))
		return json_is_null(wanted) || (json_is_string(wanted) && !json_string_length(wanted)) || json_is_false(wanted);
	return json_equal(now, wanted);
}

/* Members of `wanted` that `now` has otherwise, ", " between. */
static void differences(const json_t *now, const json_t *wanted, struct rf_buf *to)
{
	const char *name;
	json_t *v;
	json_object_foreach((json_t *)wanted, name, v)
		if (!holds(json_object_get(now, name), v))
			rf_buf_printf(to, "%s%s", to->n ? ", " : "", name);
}

static const json_t *by_name(const json_t *array, const char *name)
{
	size_t i;
	json_t *o;
	json_array_foreach(array, i, o)
		if (strcmp(text(o, "name"), name) == 0)
			return o;
	return NULL;
}

/* One part more; `as`, where not NULL, names the id that it will give. */
static int request(struct apply *a, const char *method, const char *path, const json_t *body, const char *as)
{
	RF_BUF_AUTO whole = { 0 };
	rf_buf_printf(&whole, "/client/v4%s", path);
	json_t *part = json_pack("{s:s, s:s, s:O*, s:s*}", "method", method, "path", rf_buf_z(&whole), "body", body, "as", as);
	return json_array_append_new(a->parts, part) == 0 ? RF_OK : rf_fail(&a->c->e, RF_E_NOMEM, "memory is exhausted");
}

static int send_batch(struct apply *a)
{
	RF_BUF_AUTO path = { 0 };
	json_t *result = NULL;
	if (json_array_size(a->parts) == 0)
		return RF_OK;
	json_t *body = json_pack("{s:O, s:I}", "operations", a->parts, "revision", a->revision);
	int rc = cli_path(a->c, "/accounts/{account}/batch", NULL, NULL, &path);
	if (a->c->dry_run)
		rf_buf_printf(&path, "?dry_run=true");
	if (rc == RF_OK)
		rc = cli_result(a->c, "POST", rf_buf_z(&path), body, &result);
	json_decref(body);
	json_decref(result);
	return rc;
}

static int read_revision(struct apply *a)
{
	RF_BUF_AUTO path = { 0 };
	json_t *result = NULL;
	int rc = cli_path(a->c, "/accounts/{account}/batch", NULL, NULL, &path);
	if (rc == RF_OK)
		rc = cli_result(a->c, "GET", rf_buf_z(&path), NULL, &result);
	a->revision = json_integer_value(json_object_get(result, "revision"));
	json_decref(result);
	return rc;
}

/* --- entries of lists, credentials of devices --- */

static json_t *full_items(const json_t *list)
{
	json_t *items = json_array(), *item;
	size_t i;
	json_array_foreach(json_object_get(list, "items"), i, item) {
		RF_BUF_AUTO value = { 0 };
		if (json_is_object(item)) {
			json_array_append(items, item);
			continue;
		}
		cli_cell(&value, item);
		json_array_append_new(items, cli_item_make(text(list, "kind"), rf_buf_z(&value)));
	}
	return items;
}

static void key_of(const json_t *item, char to[400])
{
	RF_BUF_AUTO value = { 0 };
	cli_item_text(&value, item);
	snprintf(to, 400, "%s", rf_buf_z(&value));
}

/* Entries in `from` that `other` has not, by value and comment; their ids where `ids`. */
static json_t *missing(const json_t *from, const json_t *other, bool ids)
{
	json_t *set = json_object(), *out = json_array(), *item;
	size_t i;
	char key[400];
	json_array_foreach(other, i, item) {
		key_of(item, key);
		json_object_set_new(set, key, json_string(text(item, "comment")));
	}
	json_array_foreach(from, i, item) {
		key_of(item, key);
		const char *comment = json_string_value(json_object_get(set, key));
		if (comment && (ids || strcmp(comment, text(item, "comment")) == 0))
			continue;
		if (ids)
			json_array_append_new(out, json_pack("{s:O}", "id", json_object_get(item, "id")));
		else
			json_array_append(out, item);
	}
	json_decref(set);
	return out;
}

static int apply_items(struct apply *a, const json_t *wanted, const char *id)
{
	RF_BUF_AUTO path = { 0 };
	json_t *now = NULL, *all = full_items(wanted);
	int rc = json_object_get(wanted, "items") && !fresh(id) ? state_items(a->c, id, &now) : RF_OK;
	json_t *more = missing(all, now, false), *less = a->prune ? missing(now, all, true) : json_array();
	char counted[64];
	if (rc == RF_OK && json_object_get(wanted, "items") && (json_array_size(more) || json_array_size(less))) {
		snprintf(counted, sizeof counted, "%zu entries more, %zu fewer", json_array_size(more), json_array_size(less));
		say(a, '~', "list", text(wanted, "name"), counted);
		rc = cli_path(a->c, "/accounts/{account}/rules/lists/{list}/items", "list", id, &path);
		if (rc == RF_OK && json_array_size(more))
			rc = request(a, "POST", rf_buf_z(&path), more, NULL);
		json_t *body = json_pack("{s:O}", "items", less);
		if (rc == RF_OK && json_array_size(less))
			rc = request(a, "DELETE", rf_buf_z(&path), body, NULL);
		json_decref(body);
	}
	json_decref(now);
	json_decref(all);
	json_decref(more);
	json_decref(less);
	return rc;
}

static const json_t *same_credential(const json_t *array, const json_t *wanted)
{
	size_t i;
	json_t *o;
	json_array_foreach(array, i, o)
		if (strcmp(text(o, "kind"), text(wanted, "kind")) == 0 &&
		    rf_str_ieq(rf_str_z(text(o, "value")), rf_str_z(text(wanted, "value"))))
			return o;
	return NULL;
}

static int apply_credentials(struct apply *a, const json_t *wanted, const char *id)
{
	RF_BUF_AUTO path = { 0 };
	json_t *now = NULL, *one;
	const json_t *list = json_object_get(wanted, "credentials");
	size_t i;
	if (!list || !id[0])
		return RF_OK;
	int rc = state_credentials(a->c, id, &now);
	if (rc == RF_OK)
		rc = cli_path(a->c, "/accounts/{account}/devices/{device}/credentials", "device", id, &path);
	size_t base = path.n;
	json_array_foreach(list, i, one)
		if (rc == RF_OK && !same_credential(now, one)) {
			say(a, '+', "credential of device", text(wanted, "name"), text(one, "kind"));
			rc = request(a, "POST", rf_buf_z(&path), one, NULL);
		}
	json_array_foreach(now, i, one)
		if (rc == RF_OK && a->prune && !same_credential(list, one)) {
			say(a, '-', "credential of device", text(wanted, "name"), text(one, "kind"));
			path.n = base;
			rf_buf_printf(&path, "/%s", text(one, "id"));
			rc = request(a, "DELETE", rf_buf_z(&path), NULL, NULL);
		}
	json_decref(now);
	return rc;
}

/* --- objects --- */

/* The members of the file's object that the API takes; roots by id. */
static int body_of(struct apply *a, const struct state_kind *k, const json_t *wanted, bool create, json_t **ret)
{
	json_t *body = json_deep_copy(wanted);
	for (size_t i = 0; k->also[i]; i++)
		if (!(create && strcmp(k->also[i], "credentials") == 0))
			json_object_del(body, k->also[i]);
	if (strcmp(k->kind, "root") == 0 && create && !json_object_get(body, "ca"))
		json_object_set_new(body, "ca", json_true());
	int rc = state_roots_to(a->c, body, a->roots, true);
	if (rc != RF_OK) {
		json_decref(body);
		return rc;
	}
	*ret = body;
	return RF_OK;
}

static int create(struct apply *a, const struct state_kind *k, const char *path, const json_t *wanted, char id[33])
{
	json_t *body = NULL;
	char as[32];
	int rc = body_of(a, k, wanted, true, &body);
	if (rc != RF_OK)
		return rc;
	say(a, '+', k->kind, text(wanted, "name"), "");
	snprintf(as, sizeof as, "part%u", (unsigned)json_array_size(a->parts));
	rc = request(a, "POST", path, body, as);
	snprintf(id, 33, "~%.30s~", as);
	if (rc == RF_OK && strcmp(k->kind, "root") == 0)
		json_array_append_new(a->roots, json_pack("{s:s, s:s}", "id", id, "name", text(wanted, "name")));
	json_decref(body);
	return rc;
}

static int change(struct apply *a, const struct state_kind *k, const char *path, const json_t *now, const json_t *wanted)
{
	RF_BUF_AUTO diff = { 0 };
	RF_BUF_AUTO at = { 0 };
	json_t *body = NULL;
	int rc = body_of(a, k, wanted, false, &body);
	if (rc != RF_OK)
		return rc;
	differences(now, body, &diff);
	const json_t *pem = json_object_get(body, "certificates");
	if (diff.n && strcmp(k->kind, "root") == 0 && pem && !holds(json_object_get(now, "certificates"), pem)) {
		rc = rf_fail(&a->c->e, RF_E_CONFLICT, "root %s is there with other certificates; give the new one another name",
			     text(wanted, "name"));
	} else if (diff.n) {
		say(a, '~', k->kind, text(wanted, "name"), rf_buf_z(&diff));
		if (strcmp(k->edit, "PATCH") != 0 || strcmp(k->kind, "root") == 0 || strcmp(k->kind, "list") == 0) {
			json_object_del(body, "certificates");
			json_object_del(body, "ca");
			json_object_del(body, "kind");
		}
		rf_buf_printf(&at, "%s/%s", path, text(now, "id"));
		rc = request(a, k->edit, rf_buf_z(&at), body, NULL);
	}
	json_decref(body);
	return rc;
}

static int apply_zone(struct apply *a, const json_t *zone, const char *id);

static int apply_one(struct apply *a, const struct state_kind *k, const char *path, const json_t *all, const json_t *wanted)
{
	char id[33] = "";
	const json_t *now = by_name(all, text(wanted, "name"));
	int rc = now ? change(a, k, path, now, wanted) : create(a, k, path, wanted, id);
	if (now)
		snprintf(id, sizeof id, "%s", text(now, "id"));
	if (rc == RF_OK && strcmp(k->kind, "list") == 0)
		rc = apply_items(a, wanted, id);
	if (rc == RF_OK && now && strcmp(k->kind, "device") == 0)
		rc = apply_credentials(a, wanted, id);
	if (rc == RF_OK && strcmp(k->kind, "zone") == 0)
		rc = apply_zone(a, wanted, id);
	return rc;
}

static int apply_kind(struct apply *a, const struct state_kind *k, const json_t *wanted, const char *zone_id)
{
	RF_BUF_AUTO path = { 0 };
	json_t *all = NULL, *one;
	size_t i;
	if (!wanted)
		return RF_OK;
	int rc = zone_id && fresh(zone_id) ? RF_OK : state_objects(a->c, k, zone_id, &all);
	if (rc == RF_OK)
		rc = cli_path(a->c, k->path, "zone", zone_id ? zone_id : "", &path);
	json_array_foreach(wanted, i, one)
		if (rc == RF_OK)
			rc = apply_one(a, k, rf_buf_z(&path), all, one);
	json_decref(all);
	return rc;
}

/* --- rules --- */

/* A rule without a name of its own has its id for one, which means nothing to a file. */
static const char *rule_name(const json_t *rule)
{
	static const char *const members[] = { "ref", "description", "expression" };
	for (size_t i = strcmp(text(rule, "ref"), text(rule, "id")) == 0; i < 3; i++)
		if (text(rule, members[i])[0])
			return text(rule, members[i]);
	return "";
}

static const json_t *same_rule(const json_t *rules, const json_t *wanted)
{
	size_t i;
	json_t *r;
	json_array_foreach(rules, i, r)
		if (strcmp(rule_name(r), rule_name(wanted)) == 0)
			return r;
	return NULL;
}

/* What a rule is, with what the API adds taken off. */
static json_t *bare(const json_t *rule)
{
	json_t *r = json_deep_copy(rule);
	state_strip_rule(r);
	return r;
}

/* The rules of a phase as they would be: those of the file, then, without --prune, those that it does not name. */
static json_t *merged(const struct apply *a, const json_t *now, const json_t *wanted)
{
	json_t *out = json_array(), *r;
	size_t i;
	json_array_foreach(wanted, i, r) {
		json_t *copy = json_deep_copy(r);
		const json_t *old = same_rule(now, r);
		if (old && json_is_object(copy))
			json_object_set(copy, "id", json_object_get(old, "id"));
		json_array_append_new(out, copy);
	}
	json_array_foreach(now, i, r)
		if (!a->prune && !same_rule(wanted, r))
			json_array_append(out, r);
	return out;
}

static bool same_order(const json_t *now, const json_t *next)
{
	size_t i;
	json_t *r;
	if (json_array_size(now) != json_array_size(next))
		return false;
	json_array_foreach(next, i, r)
		if (strcmp(rule_name(json_array_get(now, i)), rule_name(r)) != 0)
			return false;
	return true;
}

static void say_rules(struct apply *a, const char *where, const char *phase, const json_t *now, const json_t *next)
{
	size_t i, before = a->changes;
	json_t *r;
	RF_BUF_AUTO place = { 0 };
	rf_buf_printf(&place, "rule of %s, %s,", where, phase);
	json_array_foreach(next, i, r) {
		const json_t *old = same_rule(now, r);
		json_t *x = bare(r), *y = old ? bare(old) : NULL;
		if (!old)
			say(a, '+', rf_buf_z(&place), rule_name(r), "");
		else if (!json_equal(x, y))
			say(a, '~', rf_buf_z(&place), rule_name(r), "");
		json_decref(x);
		json_decref(y);
	}
	json_array_foreach(now, i, r)
		if (!same_rule(next, r))
			say(a, '-', rf_buf_z(&place), rule_name(r), "");
	if (a->changes == before && !same_order(now, next))
		say(a, '~', rf_buf_z(&place), "all", "their order");
}

static int apply_phase(struct apply *a, const char *zone_id, const char *where, const char *phase, const json_t *now,
		       const json_t *wanted)
{
	RF_BUF_AUTO path = { 0 };
	json_t *next = merged(a, now, wanted), *body = json_pack("{s:O}", "rules", next);
	size_t before = a->changes;
	int rc = RF_OK;
	say_rules(a, where, phase, now, next);
	if (a->changes != before) {
		rc = cli_path(a->c, zone_id ? "/zones/{zone}/rulesets/phases/" : "/accounts/{account}/rulesets/phases/", "zone",
			      zone_id ? zone_id : "", &path);
		cli_escape(&path, phase);
		rf_buf_printf(&path, "/entrypoint");
		if (rc == RF_OK)
			rc = request(a, "PUT", rf_buf_z(&path), body, NULL);
	}
	json_decref(body);
	json_decref(next);
	return rc;
}

static int apply_rules(struct apply *a, const json_t *wanted, const char *zone_id, const char *where)
{
	json_t *now = NULL, *rules;
	const char *phase;
	if (!wanted && !a->prune)
		return RF_OK;
	int rc = zone_id && fresh(zone_id) ? RF_OK : state_rules(a->c, zone_id, &now);
	json_object_foreach((json_t *)wanted, phase, rules)
		if (rc == RF_OK)
			rc = apply_phase(a, zone_id, where, phase, json_object_get(now, phase), rules);
	json_object_foreach(now, phase, rules)
		if (rc == RF_OK && a->prune && !json_object_get(wanted, phase))
			rc = apply_phase(a, zone_id, where, phase, rules, NULL);
	json_decref(now);
	return rc;
}

static int apply_zone(struct apply *a, const json_t *zone, const char *id)
{
	int rc = RF_OK;
	for (size_t i = 0; i < state_kind_count && rc == RF_OK; i++)
		if (state_kinds[i].in_zone)
			rc = apply_kind(a, &state_kinds[i], json_object_get(zone, state_kinds[i].section), id);
	return rc == RF_OK ? apply_rules(a, json_object_get(zone, "rules"), id, text(zone, "name")) : rc;
}

/* --- what is not named --- */

static int prune_kind(struct apply *a, const struct state_kind *k, const json_t *wanted, const char *zone_id)
{
	RF_BUF_AUTO path = { 0 };
	json_t *all = NULL, *one;
	size_t i;
	int rc = state_objects(a->c, k, zone_id, &all);
	if (rc == RF_OK)
		rc = cli_path(a->c, k->path, "zone", zone_id ? zone_id : "", &path);
	size_t base = path.n;
	json_array_foreach(all, i, one) {
		if (rc != RF_OK || by_name(wanted, text(one, "name")))
			continue;
		say(a, '-', k->kind, text(one, "name"), "");
		path.n = base;
		rf_buf_printf(&path, "/%s", text(one, "id"));
		rc = request(a, "DELETE", rf_buf_z(&path), NULL, NULL);
	}
	json_decref(all);
	return rc;
}

static int prune_zones(struct apply *a)
{
	json_t *zones = NULL, *zone;
	size_t i;
	int rc = state_objects(a->c, state_kind("zone"), NULL, &zones);
	json_array_foreach(zones, i, zone) {
		const json_t *wanted = by_name(json_object_get(a->doc, "zones"), text(zone, "name"));
		for (size_t k = 0; k < state_kind_count && rc == RF_OK && wanted; k++)
			if (state_kinds[k].in_zone)
				rc = prune_kind(a, &state_kinds[k], json_object_get(wanted, state_kinds[k].section), text(zone, "id"));
	}
	json_decref(zones);
	return rc;
}

static int prune(struct apply *a)
{
	int rc = prune_zones(a);
	for (size_t i = state_kind_count; rc == RF_OK && i-- > 0;)
		if (!state_kinds[i].in_zone)
			rc = prune_kind(a, &state_kinds[i], json_object_get(a->doc, state_kinds[i].section), NULL);
	return rc;
}

/* --- the file --- */

/* Put `rules` of the file over those of now, phase by phase. */
static json_t *rules_after(const struct apply *a, const json_t *now, const json_t *wanted)
{
	json_t *out = a->prune ? json_object() : now ? json_deep_copy(now) : json_object();
	const char *phase;
	json_t *rules;
	json_object_foreach((json_t *)wanted, phase, rules)
		json_object_set_new(out, phase, merged(a, json_object_get(now, phase), rules));
	return out;
}

/* Objects of `now` with those of the file in their place or after them. */
static json_t *named_after(const struct apply *a, const json_t *now, const json_t *wanted)
{
	json_t *out = json_array(), *one;
	size_t i;
	json_array_foreach(now, i, one)
		if (!by_name(wanted, text(one, "name")) && !a->prune)
			json_array_append(out, one);
	json_array_foreach(wanted, i, one)
		json_array_append_new(out, json_deep_copy(one));
	return out;
}

/* Patches as they stand, each with its state, with what the file says of them; new ones are drafts. */
static int patches_after(const struct apply *a, json_t **ret)
{
	const struct state_kind *k = state_kind("patch");
	json_t *now = NULL, *out = json_array(), *one;
	size_t i;
	int rc = state_objects(a->c, k, NULL, &now);
	const json_t *wanted = json_object_get(a->doc, k->section);
	json_array_foreach(now, i, one) {
		const json_t *changed = by_name(wanted, text(one, "name"));
		if (changed)
			json_object_update(one, (json_t *)changed);
		if (changed || !a->prune)
			json_array_append(out, one);
	}
	json_array_foreach(wanted, i, one)
		if (!by_name(now, text(one, "name")))
			json_array_append(out, one);
	json_decref(now);
	*ret = out;
	return rc;
}

/* Compile the rules as they would be, and run the file's tests over them. */
static int rehearse(struct apply *a)
{
	struct cli *c = a->c;
	json_t *now = NULL, *zones, *zone;
	struct rules_try *t = NULL;
	size_t i, passed = 0, failed = 0;
	const json_t *tests = json_object_get(a->doc, "tests");
	int rc = state_read(c, false, &now);
	if (rc != RF_OK)
		return rc;
	zones = named_after(a, json_object_get(now, "zones"), json_object_get(a->doc, "zones"));
	json_array_foreach(zones, i, zone) {
		const json_t *old = by_name(json_object_get(now, "zones"), text(zone, "name"));
		const json_t *wanted = by_name(json_object_get(a->doc, "zones"), text(zone, "name"));
		json_object_set_new(zone, "rules", rules_after(a, json_object_get(old, "rules"),
							      json_object_get(wanted ? wanted : old, "rules")));
	}
	json_t *lists = named_after(a, json_object_get(now, "lists"), json_object_get(a->doc, "lists"));
	json_t *rules = rules_after(a, json_object_get(now, "rules"), json_object_get(a->doc, "rules"));
	json_t *patches = NULL;
	rc = patches_after(a, &patches);
	json_t *after = json_pack("{s:o, s:o, s:o, s:o}", "lists", lists, "zones", zones, "rules", rules, "patches", patches);
	if (rc == RF_OK)
		rc = cli_try_new(c, after, &t);
	if (rc == RF_OK)
		rc = cli_try_own(t, json_object_get(a->doc, "patches"), &failed);
	if (rc == RF_OK && failed)
		rc = rf_fail(&c->e, RF_E_CONFLICT, "%zu of the tests of patches fail with this file; nothing was changed", failed);
	if (rc == RF_OK && tests)
		rc = cli_try_run(t, tests, NULL, &passed, &failed);
	if (rc == RF_OK && failed)
		rc = rf_fail(&c->e, RF_E_CONFLICT, "%zu of %zu tests of rules fail with this file; nothing was changed", failed,
			     passed + failed);
	cli_try_free(t);
	json_decref(after);
	json_decref(now);
	return rc;
}

static int apply_all(struct apply *a)
{
	int rc = read_revision(a);
	if (rc == RF_OK)
		rc = rehearse(a);
	if (rc == RF_OK)
		rc = state_objects(a->c, &state_kinds[1], NULL, &a->roots);
	for (size_t i = 0; rc == RF_OK && i < state_kind_count; i++)
		if (!state_kinds[i].in_zone)
			rc = apply_kind(a, &state_kinds[i], json_object_get(a->doc, state_kinds[i].section), NULL);
	if (rc == RF_OK)
		rc = apply_rules(a, json_object_get(a->doc, "rules"), NULL, "account");
	if (rc == RF_OK && a->prune)
		rc = prune(a);
	if (rc == RF_OK)
		rc = send_batch(a);
	json_decref(a->roots);
	if (rc != RF_OK && a->changes && !a->c->dry_run)
		cli_note(a->c, "nothing of this was done");
	return rc;
}

int cli_run_apply(struct cli *c)
{
	json_t *doc = NULL;
	const char *file = cli_get(c, "file") ? cli_get(c, "file") : cli_get(c, "FILE");
	if (!file)
		return cli_wrong(c, RF_E_MISSING, "name a file, or \"-\" for the input; see ringfence apply --help");
	int rc = cli_file_json(c, file, &doc);
	if (rc == RF_OK)
		rc = cli_apply_check(c, doc);
	struct apply a = { .c = c, .doc = doc, .prune = cli_has(c, "prune"), .parts = json_array() };
	if (rc == RF_OK)
		rc = apply_all(&a);
	else if (doc)
		snprintf(c->e.file, sizeof c->e.file, "%s", file);
	json_decref(doc);
	json_decref(a.parts);
	if (rc == RF_OK && !c->quiet)
		fprintf(c->out, "%zu change%s %s\n", a.changes, a.changes == 1 ? "" : "s", c->dry_run ? "would be made" : "made");
	return rc;
}
