/* cli/port: apps of TCP and UDP ports: making and changing them. The verbs of `app` do the same where an app is one of ports. */
#include "cli/cli.h"

int cli_run_port(struct cli *c)
{
	const struct cli_command *was = c->command, *m = cli_command_of("port", was->verb);
	if (!m)
		return rf_fail(&c->e, RF_E_INTERNAL, "ports have no verb %s", was->verb);
	for (size_t i = 0; i < c->value_count; i++) {
		const char *name = c->values[i].option->name;
		const struct cli_option *o = cli_option_of(m, strcmp(name, "APP") == 0 ? "PORT" : name);
		if (!o && !cli_option_of(was, name)) /* one of all commands */
			continue;
		if (!o)
			return cli_wrong(c, RF_E_INVALID, "--%s is of apps of hosts, and this is one of ports", name);
		c->values[i].option = o;
	}
	c->command = m;
	return m->run(c);
}

/* The name that is given first is what the port is published under. */
static int published(struct cli *c, json_t *body, const char *name)
{
	json_t *dns = json_pack("{s:s}", "name", name);
	json_object_del(body, "name");
	return json_object_set_new(body, "dns", dns) == 0 ? RF_OK : rf_fail(&c->e, RF_E_TYPE, "\"%s\" is no name", name);
}

static int each(struct cli *c, const char *option, json_t *to)
{
	const char *text;
	for (size_t i = 0; (text = cli_get_nth(c, option, i)); i++)
		if (json_array_append_new(to, json_string(text)) != 0)
			return rf_fail(&c->e, RF_E_TYPE, "\"%s\" is not UTF-8 text", text);
	return RF_OK;
}

/* Options that are no single members. */
static int more(struct cli *c, json_t *body)
{
	json_t *origins = json_array(), *ips = json_array();
	int rc = each(c, "origin", origins);
	if (rc == RF_OK)
		rc = each(c, "address", ips);
	if (rc == RF_OK && json_array_size(origins))
		json_object_set(body, "origin_direct", origins);
	if (rc == RF_OK && json_array_size(ips))
		json_object_set_new(body, "edge_ips", json_pack("{s:s, s:O}", "type", "static", "ips", ips));
	if (rc == RF_OK && cli_has(c, "protocol"))
		json_object_set_new(body, "protocol", json_string(cli_get(c, "protocol")));
	json_decref(origins);
	json_decref(ips);
	return rc;
}

/* The object's path; for a new one, of its collection in the zone of its name, which is made where there is none. */
static int path_of(struct cli *c, const char *name, struct rf_buf *path)
{
	char id[33];
	int rc = name ? cli_zone_for(c, name) : cli_resolve(c, "port", cli_get(c, "PORT"), id);
	if (rc == RF_OK)
		rc = cli_path(c, name ? "/zones/{zone}/spectrum/apps" : "/zones/{zone}/spectrum/apps/{port}", "port", name ? "" : id, path);
	if (rc == RF_OK && c->dry_run)
		rf_buf_printf(path, "?dry_run=true");
	return rc;
}

int cli_run_port_put(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *body = NULL, *port = NULL;
	bool fresh = strcmp(c->command->method, "POST") == 0;
	const char *name = fresh ? cli_get(c, "NAME") : NULL;
	int rc = cli_body(c, &body);
	if (rc == RF_OK && name)
		rc = published(c, body, name);
	if (rc == RF_OK)
		rc = more(c, body);
	if (rc == RF_OK)
		rc = path_of(c, name, &path);
	if (rc == RF_OK)
		rc = cli_result(c, c->command->method, rf_buf_z(&path), body, &port);
	if (rc == RF_OK)
		rc = cli_print_done(c, c->command->done, port);
	json_decref(body);
	json_decref(port);
	return rc;
}
