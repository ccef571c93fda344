/* cli/ca: our device CA, enrolment tokens, uploaded roots; and tokens of the API. */
#include <stdlib.h>
#include "cli/cli.h"

int cli_run_ca_show(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *ca = NULL;
	int rc = cli_path(c, "/accounts/{account}/device_ca", NULL, NULL, &path);
	if (rc == RF_OK)
		rc = cli_result(c, "GET", rf_buf_z(&path), NULL, &ca);
	const char *pem = json_string_value(json_object_get(ca, "certificates"));
	if (rc == RF_OK && pem && c->format == CLI_TABLE)
		fputs(pem, c->out);
	else if (rc == RF_OK)
		rc = cli_print_object(c, ca);
	json_decref(ca);
	return rc;
}

static int post(struct cli *c, json_t *body, json_t **ret)
{
	RF_BUF_AUTO path = { 0 };
	int rc = cli_path(c, c->command->path, NULL, NULL, &path);
	if (rc == RF_OK && c->dry_run)
		rf_buf_printf(&path, "?dry_run=true");
	return rc == RF_OK ? cli_result(c, "POST", rf_buf_z(&path), body, ret) : rc;
}

/* Print the one member that matters where a table is asked for: what a redirection should hold. */
static int print_secret(struct cli *c, const json_t *object, const char *member, const char *note)
{
	const char *text = json_string_value(json_object_get(object, member));
	if (!text || c->format != CLI_TABLE || c->quiet)
		return cli_print_object(c, object);
	fprintf(c->out, "%s%s", text, text[0] && text[strlen(text) - 1] == '\n' ? "" : "\n");
	if (note)
		cli_note(c, "%s", note);
	return RF_OK;
}

int cli_run_ca_issue(struct cli *c)
{
	json_t *body = NULL, *cert = NULL;
	int rc = cli_body(c, &body);
	if (rc == RF_OK && !json_object_get(body, "validity_days"))
		json_object_set_new(body, "validity_days", json_integer(365));
	if (rc == RF_OK)
		rc = post(c, body, &cert);
	if (rc == RF_OK)
		rc = print_secret(c, cert, "certificate", NULL);
	json_decref(body);
	json_decref(cert);
	return rc;
}

static int delete_enrolment(struct cli *c, const char *name)
{
	RF_BUF_AUTO path = { 0 };
	char id[33];
	json_t *gone = NULL;
	int rc = cli_resolve(c, "enrolment", name, id);
	if (rc == RF_OK)
		rc = cli_path(c, "/accounts/{account}/provisioning_tokens/{enrolment}", "enrolment", id, &path);
	if (rc == RF_OK)
		rc = cli_result(c, "DELETE", rf_buf_z(&path), NULL, &gone);
	if (rc == RF_OK)
		rc = cli_print_done(c, "enrolment token deleted%s", NULL);
	json_decref(gone);
	return rc;
}

int cli_run_ca_token(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *body = NULL, *result = NULL;
	int rc;
	if (cli_get(c, "delete"))
		return delete_enrolment(c, cli_get(c, "delete"));
	if (!cli_has(c, "class")) {
		rc = cli_path(c, c->command->path, NULL, NULL, &path);
		if (rc == RF_OK)
			rc = cli_all(c, rf_buf_z(&path), &result);
		if (rc == RF_OK)
			rc = cli_print_list(c, result, c->command->columns);
		json_decref(result);
		return rc;
	}
	rc = cli_body(c, &body);
	if (rc == RF_OK)
		rc = post(c, body, &result);
	if (rc == RF_OK)
		rc = print_secret(c, result, "value", "It works once, and is shown this once.");
	json_decref(body);
	json_decref(result);
	return rc;
}

int cli_run_ca_upload(struct cli *c)
{
	json_t *body = NULL, *root = NULL;
	int rc = cli_body(c, &body);
	if (rc == RF_OK) {
		json_object_set_new(body, "ca", json_true());
		rc = post(c, body, &root);
	}
	if (rc == RF_OK)
		rc = cli_print_done(c, c->command->done, root);
	json_decref(body);
	json_decref(root);
	return rc;
}

int cli_run_ca_crl(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	char id[33];
	const char *file;
	json_t *lists = json_array(), *body = NULL, *root = NULL;
	int rc = cli_resolve(c, "root", cli_get(c, "ROOT"), id);
	if (rc == RF_OK)
		rc = cli_path(c, c->command->path, "root", id, &path);
	for (size_t i = 0; rc == RF_OK && (file = cli_get_nth(c, "FILE", i)); i++) {
		RF_BUF_AUTO pem = { 0 };
		rc = cli_file(c, file, &pem);
		if (rc == RF_OK && json_array_append_new(lists, json_string(rf_buf_z(&pem))) != 0)
			rc = rf_fail(&c->e, RF_E_TYPE, "%s is not PEM text", file);
	}
	if (rc == RF_OK && c->dry_run)
		rf_buf_printf(&path, "?dry_run=true");
	if (rc == RF_OK) {
		body = json_pack("{s:O}", "crls", lists);
		rc = cli_result(c, "PUT", rf_buf_z(&path), body, &root);
	}
	if (rc == RF_OK)
		rc = cli_print_done(c, c->command->done, root);
	json_decref(lists);
	json_decref(body);
	json_decref(root);
	return rc;
}

int cli_run_ca_associate(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	char id[33] = "";
	const char *root = cli_get(c, "root");
	bool write = cli_has(c, "HOST") || cli_has(c, "none");
	json_t *body = NULL, *result = NULL;
	int rc = root && strcmp(root, "device_ca") != 0 ? cli_resolve(c, "root", root, id) : RF_OK;
	if (rc == RF_OK)
		rc = cli_path(c, c->command->path, NULL, NULL, &path);
	if (rc == RF_OK && write)
		rc = cli_body(c, &body);
	if (rc == RF_OK && write) {
		if (cli_has(c, "none"))
			json_object_set_new(body, "hostnames", json_array());
		if (id[0])
			json_object_set_new(body, "mtls_certificate_id", json_string(id));
		if (c->dry_run)
			rf_buf_printf(&path, "?dry_run=true");
	} else if (rc == RF_OK && id[0]) {
		rf_buf_printf(&path, "?mtls_certificate_id=%s", id);
	}
	if (rc == RF_OK)
		rc = cli_result(c, write ? "PUT" : "GET", rf_buf_z(&path), body, &result);
	if (rc == RF_OK)
		rc = cli_print_object(c, result);
	json_decref(body);
	json_decref(result);
	return rc;
}

/* The resources of a token's policy: zones where any are named, else the account with all its zones. */
static int resources(struct cli *c, json_t *to)
{
	char key[96], id[33];
	const char *zone;
	int rc = cli_account(c);
	for (size_t i = 0; rc == RF_OK && (zone = cli_get_nth(c, "zone", i)); i++) {
		rc = cli_resolve(c, "zone", zone, id);
		snprintf(key, sizeof key, "com.ringfence.api.account.zone.%s", id);
		if (rc == RF_OK)
			json_object_set_new(to, key, json_string("*"));
	}
	if (rc == RF_OK && json_object_size(to) == 0) {
		snprintf(key, sizeof key, "com.ringfence.api.account.%s", c->account_id);
		json_object_set_new(to, key, json_string("*"));
	}
	return rc;
}

static int policy(struct cli *c, json_t *body)
{
	json_t *groups = json_array(), *where = json_object(), *from = json_array();
	const char *text;
	for (size_t i = 0; (text = cli_get_nth(c, "scope", i)); i++)
		json_array_append_new(groups, json_pack("{s:s}", "id", text));
	if (json_array_size(groups) == 0)
		json_array_append_new(groups, json_pack("{s:s}", "id", "read"));
	for (size_t i = 0; (text = cli_get_nth(c, "from", i)); i++)
		json_array_append_new(from, json_string(text));
	int rc = resources(c, where);
	if (rc == RF_OK) {
		json_object_set_new(body, "policies", json_pack("[{s:s, s:O, s:O}]", "effect", "allow", "permission_groups", groups,
								"resources", where));
		if (json_array_size(from))
			json_object_set_new(body, "condition", json_pack("{s:{s:O}}", "request_ip", "in", from));
	}
	json_decref(groups);
	json_decref(where);
	json_decref(from);
	return rc;
}

int cli_run_token_add(struct cli *c)
{
	json_t *body = NULL, *token = NULL;
	int rc = cli_body(c, &body);
	if (rc == RF_OK)
		rc = policy(c, body);
	if (rc == RF_OK)
		rc = post(c, body, &token);
	if (rc == RF_OK)
		rc = print_secret(c, token, "value", "This is the token; it is shown this once.");
	json_decref(body);
	json_decref(token);
	return rc;
}
