/* cli/device: adding a device with its bundle, and binding credentials.
 *
 * The private key of a bundle exists in the API's one answer only. With --out it goes to a file of mode 0600 that must not
 * be there yet; else to the output, before certificate and CA, so that one redirection makes a file for curl --cert.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/cli.h"

static int write_file(struct cli *c, const char *dir, const char *name, const char *ending, mode_t mode, const char *text,
		      struct rf_buf *path)
{
	rf_buf_clear(path);
	rf_buf_printf(path, "%s%s", dir, *dir && dir[strlen(dir) - 1] == '/' ? "" : "/");
	for (const char *p = name; *p; p++)
		rf_buf_addc(path, *p == '/' || (unsigned char)*p < 0x21 || (*p == '.' && p == name) ? '_' : *p);
	rf_buf_printf(path, "%s", ending);
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (mode == 0600 ? O_EXCL : O_TRUNC);
	int fd = open(rf_buf_z(path), flags, mode);
	if (fd < 0)
		return rf_fail(&c->e, RF_E_IO, "cannot write %s: %s", rf_buf_z(path), strerror(errno));
	size_t n = strlen(text);
	bool good = write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;
	if (close(fd) != 0 || !good)
		return rf_fail(&c->e, RF_E_IO, "cannot write %s: %s", rf_buf_z(path), strerror(errno));
	return RF_OK;
}

static int first_host(struct cli *c, json_t *zone, void *arg)
{
	RF_BUF_AUTO path = { 0 };
	json_t *apps = NULL;
	size_t i;
	json_t *app;
	struct rf_buf *host = arg;
	if (host->n)
		return RF_OK;
	rf_buf_printf(&path, "/zones/%s/apps", json_string_value(json_object_get(zone, "id")));
	int rc = cli_all(c, rf_buf_z(&path), &apps);
	json_array_foreach(apps, i, app) {
		const char *h = json_string_value(json_array_get(json_object_get(app, "hosts"), 0));
		if (h && !host->n)
			rf_buf_printf(host, "%s%s", strncmp(h, "*.", 2) == 0 ? "device" : "", strncmp(h, "*.", 2) == 0 ? h + 1 : h);
	}
	json_decref(apps);
	return rc;
}

/* " --connect-to ::127.0.0.1:8443": the way to the first HTTPS listener from here; nothing where it is not known. */
static void connect_to(struct cli *c, struct rf_buf *to)
{
	RF_BUF_AUTO path = { 0 };
	json_t *status = NULL, *listener;
	size_t i;
	if (cli_path(c, "/accounts/{account}/status", NULL, NULL, &path) != RF_OK ||
	    cli_result(c, "GET", rf_buf_z(&path), NULL, &status) != RF_OK)
		return;
	json_array_foreach(json_object_get(status, "listeners"), i, listener) {
		const char *at = json_string_value(json_object_get(listener, "address"));
		const char *protocol = json_string_value(json_object_get(listener, "protocol"));
		if (!at || to->n || (protocol && strcmp(protocol, "https") != 0))
			continue;
		if (strncmp(at, "0.0.0.0:", 8) == 0)
			rf_buf_printf(to, " --connect-to ::127.0.0.1:%s", at + 8);
		else if (strncmp(at, "[::]:", 5) == 0)
			rf_buf_printf(to, " --connect-to '::[::1]:%s'", at + 5);
		else
			rf_buf_printf(to, " --connect-to '::%s'", at);
	}
	json_decref(status);
}

/* The line that calls the edge; a host of an app where there is one. */
static void print_curl(struct cli *c, const char *certificate, const char *key, const char *ca)
{
	RF_BUF_AUTO host = { 0 };
	RF_BUF_AUTO way = { 0 };
	if (cli_each(c, "/zones", first_host, &host) != RF_OK || !host.n)
		rf_buf_printf(&host, "HOST");
	connect_to(c, &way);
	fprintf(c->out, "Call the edge with it:\n  curl --cert %s --key %s --cacert %s%s https://%s/\n"
		"(--cacert is for a server certificate of this CA; --connect-to for a name that does not lead to the edge yet)\n",
		certificate, key, ca, rf_buf_z(&way), rf_buf_z(&host));
}

static int write_bundle(struct cli *c, const char *dir, const char *name, const char *key, const char *cert, const char *ca)
{
	RF_BUF_AUTO key_path = { 0 }, cert_path = { 0 }, ca_path = { 0 };
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return rf_fail(&c->e, RF_E_IO, "cannot make %s: %s", dir, strerror(errno));
	int rc = key ? write_file(c, dir, name, ".key", 0600, key, &key_path) : RF_OK;
	if (rc == RF_OK)
		rc = write_file(c, dir, name, ".crt", 0644, cert, &cert_path);
	if (rc == RF_OK)
		rc = write_file(c, dir, "ca", ".crt", 0644, ca, &ca_path);
	if (rc != RF_OK)
		return rc;
	if (c->format != CLI_TABLE || c->quiet)
		return RF_OK;
	fprintf(c->out, "Wrote %s%s%s and %s.\n", key ? rf_buf_z(&key_path) : "", key ? ", " : "", rf_buf_z(&cert_path), rf_buf_z(&ca_path));
	print_curl(c, rf_buf_z(&cert_path), key ? rf_buf_z(&key_path) : "KEY", rf_buf_z(&ca_path));
	return RF_OK;
}

static int show_bundle(struct cli *c, const json_t *device)
{
	const json_t *bundle = json_object_get(device, "bundle");
	const char *key = json_string_value(json_object_get(bundle, "private_key"));
	const char *cert = json_string_value(json_object_get(bundle, "certificate"));
	const char *ca = json_string_value(json_object_get(bundle, "ca"));
	const char *dir = cli_get(c, "out");
	if (!cert)
		return RF_OK;
	if (dir)
		return write_bundle(c, dir, cli_get(c, "NAME"), key, cert, ca ? ca : "");
	if (c->format != CLI_TABLE || c->quiet)
		return RF_OK;
	fprintf(c->out, "%s%s%s", key ? key : "", cert, ca ? ca : "");
	if (key)
		fprintf(c->err, "The key is shown this once; keep the lines above in a file of mode 0600, or use --out DIR.\n");
	return RF_OK;
}

int cli_run_device_add(struct cli *c)
{
	RF_BUF_AUTO path = { 0 };
	json_t *body = NULL, *device = NULL;
	int rc = cli_path(c, c->command->path, NULL, NULL, &path);
	if (rc == RF_OK)
		rc = cli_body(c, &body);
	if (rc != RF_OK)
		return rc;
	if (!cli_has(c, "csr") && !cli_has(c, "no-certificate"))
		json_object_set_new(body, "issue", json_true());
	if (c->dry_run)
		rf_buf_printf(&path, "?dry_run=true");
	rc = cli_result(c, "POST", rf_buf_z(&path), body, &device);
	json_decref(body);
	if (rc != RF_OK)
		return rc;
	rc = show_bundle(c, device);
	if (rc == RF_OK && c->format == CLI_TABLE && !c->quiet)
		fprintf(cli_has(c, "out") ? c->out : c->err, "Device %s added (%s)%s.\n", cli_get(c, "NAME"),
			json_string_value(json_object_get(device, "id")) ? json_string_value(json_object_get(device, "id")) : "no id",
			c->dry_run ? "; this was a dry run" : "");
	else if (rc == RF_OK)
		rc = cli_print_object(c, device);
	json_decref(device);
	return rc;
}

/* Hexadecimal without colons, upper case, as keys of certificates are kept. */
static void clean_hex(const char *from, struct rf_buf *to)
{
	for (; *from; from++)
		if (*from != ':' && *from != ' ')
			rf_buf_addc(to, *from >= 'a' && *from <= 'f' ? (char)(*from - 32) : *from);
}

int cli_run_device_bind(struct cli *c)
{
	static const struct { const char *option, *kind; } ways[] = {
		{ "ski", "ski" }, { "fingerprint", "fingerprint" }, { "cert-name", "name" }, { "serial", "serial" },
		{ "address", "address" },
	};
	RF_BUF_AUTO path = { 0 }, value = { 0 };
	json_t *body = NULL, *result = NULL;
	const char *kind = NULL;
	char id[33];
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		const char *text = cli_get(c, ways[i].option);
		if (!text)
			continue;
		if (kind)
			return cli_wrong(c, RF_E_INVALID, "give one of --ski, --fingerprint, --cert-name, --serial and --address at a time");
		kind = ways[i].kind;
		if (strcmp(kind, "name") == 0 || strcmp(kind, "address") == 0)
			rf_buf_printf(&value, "%s", text);
		else
			clean_hex(text, &value);
	}
	if (!kind)
		return cli_wrong(c, RF_E_MISSING, "say what to bind: --ski, --fingerprint, --cert-name, --serial or --address");
	int rc = cli_resolve(c, "device", cli_get(c, "DEVICE"), id);
	if (rc == RF_OK)
		rc = cli_path(c, c->command->path, "device", id, &path);
	if (rc == RF_OK)
		rc = cli_body(c, &body);
	if (rc != RF_OK)
		return rc;
	json_object_set_new(body, "kind", json_string(kind));
	json_object_set_new(body, "value", json_string(rf_buf_z(&value)));
	if (c->dry_run)
		rf_buf_printf(&path, "?dry_run=true");
	rc = cli_result(c, "POST", rf_buf_z(&path), body, &result);
	json_decref(body);
	if (rc == RF_OK)
		rc = cli_print_done(c, "credential %s bound", result);
	json_decref(result);
	return rc;
}
