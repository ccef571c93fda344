/* cli/apply_objects: lists with their entries, roots, classes, devices with their credentials, patches, access rules, zones, apps, ports:
 * made or changed where they differ from the file.
 *
 * An object is known by its name, an access rule by its source, and only members that the file names are compared and set.
 */
#include <stdlib.h>
#include "cli/apply.h"
#include "cli/list.h"

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
		json_array_append_new(items, cli_item_make(apply_text(list, "kind"), rf_buf_z(&value)));
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
		json_object_set_new(set, key, json_string(apply_text(item, "comment")));
	}
	json_array_foreach(from, i, item) {
		key_of(item, key);
		const char *comment = json_string_value(json_object_get(set, key));
		if (comment && (ids || strcmp(comment, apply_text(item, "comment")) == 0))
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
	int rc = json_object_get(wanted, "items") && !apply_fresh(id) ? state_items(a->c, id, &now) : RF_OK;
	json_t *more = missing(all, now, false), *less = a->prune ? missing(now, all, true) : json_array();
	char counted[64];
	if (rc == RF_OK && json_object_get(wanted, "items") && (json_array_size(more) || json_array_size(less))) {
		snprintf(counted, sizeof counted, "%zu entries more, %zu fewer", json_array_size(more), json_array_size(less));
		apply_say(a, '~', "list", apply_text(wanted, "name"), counted);
		rc = cli_path(a->c, "/accounts/{account}/rules/lists/{list}/items", "list", id, &path);
		if (rc == RF_OK && json_array_size(more))
			rc = apply_request(a, "POST", rf_buf_z(&path), more, NULL);
		json_t *body = json_pack("{s:O}", "items", less);
		if (rc == RF_OK && json_array_size(less))
			rc = apply_request(a, "DELETE", rf_buf_z(&path), body, NULL);
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
		if (strcmp(apply_text(o, "kind"), apply_text(wanted, "kind")) == 0 &&
		    rf_str_ieq(rf_str_z(apply_text(o, "value")), rf_str_z(apply_text(wanted, "value"))))
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
			apply_say(a, '+', "credential of device", apply_text(wanted, "name"), apply_text(one, "kind"));
			rc = apply_request(a, "POST", rf_buf_z(&path), one, NULL);
		}
	json_array_foreach(now, i, one)
		if (rc == RF_OK && a->prune && !same_credential(list, one)) {
			apply_say(a, '-', "credential of device", apply_text(wanted, "name"), apply_text(one, "kind"));
			path.n = base;
			rf_buf_printf(&path, "/%s", apply_text(one, "id"));
			rc = apply_request(a, "DELETE", rf_buf_z(&path), NULL, NULL);
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
	if (strcmp(k->section, "access_rules") == 0 && strcmp(apply_text(body, "mode"), "allow") == 0)
		json_object_set_new(body, "mode", json_string("whitelist")); /* as the API shows it */
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
	apply_say(a, '+', k->kind, state_name(wanted), "");
	snprintf(as, sizeof as, "part%u", (unsigned)json_array_size(a->parts));
	rc = apply_request(a, "POST", path, body, as);
	snprintf(id, 33, "~%.30s~", as);
	if (rc == RF_OK && strcmp(k->kind, "root") == 0)
		json_array_append_new(a->roots, json_pack("{s:s, s:s}", "id", id, "name", apply_text(wanted, "name")));
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
			     apply_text(wanted, "name"));
	} else if (diff.n) {
		apply_say(a, '~', k->kind, state_name(wanted), rf_buf_z(&diff));
		if (strcmp(k->edit, "PATCH") != 0 || strcmp(k->kind, "root") == 0 || strcmp(k->kind, "list") == 0) {
			json_object_del(body, "certificates");
			json_object_del(body, "ca");
			json_object_del(body, "kind");
		}
		rf_buf_printf(&at, "%s/%s", path, apply_text(now, "id"));
		rc = apply_request(a, k->edit, rf_buf_z(&at), body, NULL);
	}
	json_decref(body);
	return rc;
}

static int apply_zone(struct apply *a, const json_t *zone, const char *id);

static int apply_one(struct apply *a, const struct state_kind *k, const char *path, const json_t *all, const json_t *wanted)
{
	char id[33] = "";
	const json_t *now = apply_named(all, state_name(wanted));
	int rc = now ? change(a, k, path, now, wanted) : create(a, k, path, wanted, id);
	if (now)
		snprintf(id, sizeof id, "%s", apply_text(now, "id"));
	if (rc == RF_OK && strcmp(k->kind, "list") == 0)
		rc = apply_items(a, wanted, id);
	if (rc == RF_OK && now && strcmp(k->kind, "device") == 0)
		rc = apply_credentials(a, wanted, id);
	if (rc == RF_OK && strcmp(k->kind, "zone") == 0)
		rc = apply_zone(a, wanted, id);
	return rc;
}

int apply_kind(struct apply *a, const struct state_kind *k, const json_t *wanted, const char *zone_id)
{
	RF_BUF_AUTO path = { 0 };
	json_t *all = NULL, *one;
	size_t i;
	if (!wanted)
		return RF_OK;
	int rc = zone_id && apply_fresh(zone_id) ? RF_OK : state_objects(a->c, k, zone_id, &all);
	if (rc == RF_OK)
		rc = cli_path(a->c, k->path, "zone", zone_id ? zone_id : "", &path);
	json_array_foreach(wanted, i, one)
		if (rc == RF_OK)
			rc = apply_one(a, k, rf_buf_z(&path), all, one);
	json_decref(all);
	return rc;
}

static int apply_zone(struct apply *a, const json_t *zone, const char *id)
{
	int rc = RF_OK;
	for (size_t i = 0; i < state_kind_count && rc == RF_OK; i++)
		if (state_kinds[i].in_zone)
			rc = apply_kind(a, &state_kinds[i], json_object_get(zone, state_kinds[i].section), id);
	return rc == RF_OK ? apply_rules(a, json_object_get(zone, "rules"), id, apply_text(zone, "name")) : rc;
}
