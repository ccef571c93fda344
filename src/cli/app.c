/* cli/app: apps over all zones, making one with its zone, its origins, pausing zones. */
#include <stdlib.h>
#include "cli/cli.h"

static int add_all(struct cli *c, const json_t *zone, const char *collection, json_t *to)
{
	RF_BUF_AUTO path = { 0 };
	json_t *apps = NULL;
	rf_buf_printf(&path, "/zones/%s%s", json_string_value(json_object_get(zone, "id")), collection);
	int rc = cli_all(c, rf_buf_z(&path), &apps);
	if (rc == RF_OK && json_array_extend(to, apps) != 0)
		rc = rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
	json_decref(apps);
	return rc;
}

/* Those of the command's path; apps are of hosts and of ports. */
static int apps_of_zone(struct cli *c, json_t *zone, void *arg)
{
	int rc = add_all(c, zone, c->command->path + strlen("/zones/{zone}"), arg);
	return rc == RF_OK && strcmp(c->command->noun, "app") == 0 ? add_all(c, zone, "/spectrum/apps", arg) : rc;
}

int cli_run_app_list(struct cli *c)
{
	json_t *all = json_array();
	int rc;
	if (cli_has(c, "zone")) {
		rc = cli_zone(c);
		json_t *zone = json_pack("{s:s}", "id", c->zone_id);
		if (rc == RF_OK)
			rc = apps_of_zone(c, zone, all);
		json_decref(zone);
	} else {
		rc = cli_each(c, "/zones", apps_of_zone, all);
	}
	if (rc == RF_OK)
		rc = cli_print_list(c, all, c->command->columns);
	json_decref(all);
	return rc;
}

static bool covers(const char *zone, const char *host)
{
	size_t n = strlen(zone), m = strlen(host);
	return m >= n && rf_str_ieq(rf_str_z(zone), rf_str_z(host + m - n)) && (m == n || host[m - n - 1] == '.');
}

struct cover { const char *host; size_t longest; char id[33]; };

static int consider_zone(struct cli *c, json_t *zone, void *arg)
{
	struct cover *best = arg;
	const char *name = json_string_value(json_object_get(zone, "name"));
	const char *id = json_string_value(json_object_get(zone, "id"));
	(void)c;
	if (name && id && strlen(id) == 32 && covers(name, best->host) && strlen(name) > best->longest) {
		best->longest = strlen(name);
		snprintf(best->id, sizeof best->id, "%s", id);
	}
	return RF_OK;
}

static int make_zone(struct cli *c, const char *name)
{
	json_t *body = json_pack("{s:s}", "name", name), *zone = NULL;
	if (!body)
		return rf_fail(&c->e, RF_E_TYPE, "\"%s\" is no name for a zone", name);
	if (c->dry_run) {
		json_decref(body);
		return rf_fail(&c->e, RF_E_NOT_FOUND, "there is no zone for it; \"ringfence zone add %s\" would have to come first", name);
	}
	int rc = cli_result(c, "POST", "/zones", body, &zone);
	const char *id = json_string_value(json_object_get(zone, "id"));
	if (rc == RF_OK && id && strlen(id) == 32) {
		snprintf(c->zone_id, sizeof c->zone_id, "%s", id);
		cli_note(c, "zone %s added (%s)", name, id);
	}
	json_decref(body);
	json_decref(zone);
	return rc;
}

int cli_zone_for(struct cli *c, const char *host)
{
	const char *name = cli_get(c, "zone");
	struct cover best = { .host = name ? name : strncmp(host, "*.", 2) == 0 ? host + 2 : host };
	if (name && cli_resolve(c, "zone", name, c->zone_id) == RF_OK)
		return RF_OK;
	if (name && c->e.code != RF_E_NOT_FOUND)
		return c->e.code;
	if (name)
		return make_zone(c, name);
	int rc = cli_each(c, "/zones", consider_zone, &best);
	if (rc != RF_OK)
		return rc;
	if (best.longest) {
		snprintf(c->zone_id, sizeof c->zone_id, "%s", best.id);
		return RF_OK;
	}
	const char *dot = strchr(best.host, '.'); /* api.example.com: example.com; example.com: itself */
	return make_zone(c, dot && strchr(dot + 1, '.') ? dot + 1 : best.host);
}

/* Where it turned out to be one of hosts: what only ports have was not said. */
static int check_options(struct cli *c)
{
	const struct cli_command *ports = cli_command_of("port", c->command->verb);
	for (size_t i = 0; ports && i < c->value_count; i++) {
		const char *name = c->values[i].option->name;
		if (cli_option_of(ports, name) && !cli_option_of(c->command, name))
			return cli_wrong(c, RF_E_INVALID, "--%s is of apps of ports, and this is one of hosts", name);
	}
	return RF_OK;
}

int cli_run_app_add(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *body = NULL, *app = NULL;
	const char *url;
	if (cli_has(c, "protocol"))
		return cli_run_port(c);
	if (!cli_has(c, "host") || !cli_has(c, "origin"))
		return cli_wrong(c, RF_E_MISSING, cli_has(c, "host") ? "--origin is missing: http://host:port or https://host:port" :
			"say which hosts it serves with --host, or which port with --protocol tcp/22");
	json_t *origins = json_array();
	int rc = check_options(c);
	if (rc == RF_OK)
		rc = cli_body(c, &body);
	for (size_t i = 0; rc == RF_OK && (url = cli_get_nth(c, "origin", i)); i++)
		if (json_array_append_new(origins, json_pack("{s:s}", "url", url)) != 0)
			rc = rf_fail(&c->e, RF_E_TYPE, "\"%s\" is no URL", url);
	if (rc == RF_OK)
		json_object_set(body, "origins", origins);
	json_decref(origins);
	if (rc == RF_OK)
		rc = cli_zone_for(c, cli_get(c, "host"));
	if (rc == RF_OK)
		rc = cli_path(c, c->command->path, NULL, NULL, &path);
	if (rc == RF_OK && c->dry_run)
		rf_buf_printf(&path, "?dry_run=true");
	if (rc == RF_OK)
		rc = cli_result(c, "POST", rf_buf_z(&path), body, &app);
	if (rc == RF_OK)
		rc = cli_print_done(c, c->command->done, app);
	json_decref(body);
	json_decref(app);
	return rc;
}

/* Is what APP names an app of hosts ("app") or of ports ("port")? */
static int resolve_app(struct cli *c, char id[33], const char **ret_kind)
{
	const char *name = cli_get(c, "APP");
	*ret_kind = "app";
	int rc = cli_resolve(c, "app", name, id);
	if (rc != RF_E_NOT_FOUND)
		return rc;
	struct rf_err none = c->e;
	*ret_kind = "port";
	rc = cli_resolve(c, "port", name, id);
	if (rc == RF_E_NOT_FOUND)
		c->e = none;
	else if (rc == RF_OK)
		c->e = (struct rf_err){ 0 };
	return rc;
}

/* Show, change or delete one, of whichever kind it is. */
int cli_run_app(struct cli *c)
{
	const char *kind;
	char id[33];
	int rc = resolve_app(c, id, &kind);
	if (rc != RF_OK)
		return rc;
	if (strcmp(kind, "port") == 0)
		return cli_run_port(c);
	if (cli_has(c, "origin"))
		return cli_wrong(c, RF_E_INVALID, "origins of hosts are changed one by one: ringfence origin add, edit and delete");
	rc = check_options(c);
	return rc == RF_OK ? cli_run_generic(c) : rc;
}

/* Origins of ports may be given as plain URLs. */
static int list_origins(struct cli *c, json_t *port)
{
	size_t i;
	json_t *url, *origins = json_object_get(port, "origins") ? NULL : json_array();
	if (!origins)
		return RF_OK;
	if (json_object_get(port, "origin_dns")) {
		json_decref(origins);
		return rf_fail(&c->e, RF_E_CONFLICT, "the origins of %s are those of a name: ringfence app edit --origin-name", cli_get(c, "APP"));
	}
	json_array_foreach(json_object_get(port, "origin_direct"), i, url)
		json_array_append_new(origins, json_pack("{s:O}", "url", url));
	return json_object_set_new(port, "origins", origins) == 0 ? RF_OK : rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
}

/* The app of APP, with `origins`, and its path. */
static int load_app(struct cli *c, struct rf_buf *path, json_t **ret)
{
	const char *kind;
	char id[33];
	int rc = resolve_app(c, id, &kind);
	bool port = rc == RF_OK && strcmp(kind, "port") == 0;
	if (rc == RF_OK)
		rc = cli_path(c, port ? "/zones/{zone}/spectrum/apps/{port}" : "/zones/{zone}/apps/{app}", kind, id, path);
	if (rc == RF_OK)
		rc = cli_result(c, "GET", rf_buf_z(path), NULL, ret);
	return rc == RF_OK && port ? list_origins(c, *ret) : rc;
}

int cli_run_origin_list(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *app = NULL;
	int rc = load_app(c, &path, &app);
	if (rc == RF_OK)
		rc = cli_print_list(c, json_object_get(app, "origins"), c->command->columns);
	json_decref(app);
	return rc;
}

static int save_origins(struct cli *c, struct rf_buf *path, json_t *origins)
{
	json_t *body = json_pack("{s:O}", "origins", origins), *app = NULL;
	if (c->dry_run)
		rf_buf_printf(path, "?dry_run=true");
	int rc = body ? cli_result(c, "PATCH", rf_buf_z(path), body, &app) : rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
	if (rc == RF_OK)
		rc = cli_print_done(c, c->command->done, app);
	json_decref(body);
	json_decref(app);
	return rc;
}

static int place_of(const json_t *origins, const char *url)
{
	size_t i;
	json_t *o;
	json_array_foreach(origins, i, o) {
		const char *z = json_string_value(json_object_get(o, "url"));
		if (z && strcmp(z, url) == 0)
			return (int)i;
	}
	return -1;
}

int cli_run_origin_add(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *app = NULL, *origin = NULL;
	const char *url = cli_get(c, "URL");
	int rc = load_app(c, &path, &app);
	json_t *origins = json_object_get(app, "origins");
	if (rc == RF_OK && place_of(origins, url) >= 0)
		rc = rf_fail(&c->e, RF_E_EXISTS, "the app has the origin %s already", url);
	if (rc == RF_OK)
		rc = cli_body(c, &origin);
	if (rc == RF_OK) {
		json_object_set_new(origin, "url", json_string(url));
		json_array_append(origins, origin);
		rc = save_origins(c, &path, origins);
	}
	json_decref(origin);
	json_decref(app);
	return rc;
}

/* The app's origins, and the place among them of the one that the command names. The caller owns *ret_app. */
static int find_origin(struct cli *c, struct rf_buf *path, json_t **ret_app, json_t **ret_origins, size_t *ret_at)
{
	const char *url = cli_get(c, "URL");
	int rc = load_app(c, path, ret_app);
	if (rc != RF_OK)
		return rc;
	*ret_origins = json_object_get(*ret_app, "origins");
	int at = place_of(*ret_origins, url);
	if (at < 0)
		return rf_fail(&c->e, RF_E_NOT_FOUND, "the app has no origin %s; ringfence origin list %s shows them", url, cli_get(c, "APP"));
	*ret_at = (size_t)at;
	return RF_OK;
}

int cli_run_origin_edit(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *app = NULL, *origins = NULL, *change = NULL;
	size_t at = 0;
	int rc = find_origin(c, &path, &app, &origins, &at);
	if (rc == RF_OK)
		rc = cli_body(c, &change);
	if (rc == RF_OK) {
		json_object_update(json_array_get(origins, at), change);
		rc = save_origins(c, &path, origins);
	}
	json_decref(change);
	json_decref(app);
	return rc;
}

int cli_run_origin_delete(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *app = NULL, *origins = NULL;
	size_t at = 0;
	int rc = find_origin(c, &path, &app, &origins, &at);
	if (rc == RF_OK && json_array_size(origins) == 1)
		rc = rf_fail(&c->e, RF_E_CONFLICT, "%s is the app's last origin; add another first, or delete the app", cli_get(c, "URL"));
	if (rc == RF_OK) {
		json_array_remove(origins, at);
		rc = save_origins(c, &path, origins);
	}
	json_decref(app);
	return rc;
}

int cli_run_zone_pause(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	char id[33];
	json_t *zone = NULL, *body = json_pack("{s:b}", "paused", strcmp(c->command->verb, "pause") == 0);
	int rc = cli_resolve(c, "zone", cli_get(c, "ZONE"), id);
	if (rc == RF_OK)
		rc = cli_path(c, c->command->path, "zone", id, &path);
	if (rc == RF_OK && c->dry_run)
		rf_buf_printf(&path, "?dry_run=true");
	if (rc == RF_OK)
		rc = cli_result(c, "PATCH", rf_buf_z(&path), body, &zone);
	if (rc == RF_OK)
		rc = cli_print_done(c, c->command->done, zone);
	json_decref(body);
	json_decref(zone);
	return rc;
}
