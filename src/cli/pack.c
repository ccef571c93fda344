/* cli/pack: packs of virtual patches: keys, building, verifying, measuring, and what an edge does with them.
 *
 * Everything up to a signed file needs no daemon. A folder that is installed is built here and sent without a signature: a daemon
 * takes that by its Unix socket only.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/pack_source.h"
#include "policy/pack.h"
#include "policy/patch_try.h"

static const struct rf_rule_env env = { .have = ~0u, .any_list = true };

static int64_t now(struct cli *c)
{
	return c->clock.wall(c->clock.ctx);
}

static bool is_folder(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* --- keys --- */

static int write_pem(struct cli *c, const char *path, EVP_PKEY *key, bool secret)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, secret ? 0600 : 0644);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!f) {
		int why = errno;
		if (fd >= 0)
			close(fd);
		return rf_fail(&c->e, why == EEXIST ? RF_E_EXISTS : RF_E_IO, "%s: %s", path, strerror(why));
	}
	int good = secret ? PEM_write_PKCS8PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) : PEM_write_PUBKEY(f, key);
	good = fclose(f) == 0 && good == 1;
	return good ? RF_OK : rf_fail(&c->e, RF_E_IO, "%s cannot be written", path);
}

int cli_run_pack_key(struct cli *c)
{
	char path[1024], id[RF_PACK_KEY_ID + 1];
	const char *name = cli_get(c, "NAME");
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	int rc = key ? rf_pack_key_id(key, id, &c->e) : rf_fail(&c->e, RF_E_CRYPTO, "no key can be made");
	if (rc == RF_OK && (size_t)snprintf(path, sizeof path, "%s.key", name) >= sizeof path)
		rc = rf_fail(&c->e, RF_E_TOO_LARGE, "the name is too long");
	if (rc == RF_OK)
		rc = write_pem(c, path, key, true);
	snprintf(path, sizeof path, "%.1000s.pub", name);
	if (rc == RF_OK)
		rc = write_pem(c, path, key, false);
	EVP_PKEY_free(key);
	if (rc == RF_OK && !c->quiet)
		fprintf(c->out, "key %s: sign with %s.key, trust %s\n", id, name, path);
	return rc;
}

static int read_key(struct cli *c, const char *path, EVP_PKEY **ret)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return rf_fail(&c->e, RF_E_NOT_FOUND, "%s: %s", path, strerror(errno));
	EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, "");
	fclose(f);
	if (!key)
		return rf_fail(&c->e, RF_E_SYNTAX, "%s is no private key of PEM without a password; ringfence pack key makes one", path);
	*ret = key;
	return RF_OK;
}

/* --- a pack from a file or a folder --- */

/* A folder is built; a file is opened, and its signature verified where --trust names keys. */
static int load(struct cli *c, const char *path, json_t **ret, char key[RF_PACK_KEY_ID + 1])
{
	RF_BUF_AUTO text = { 0 };
	RF_BUF_AUTO pem = { 0 };
	struct rf_pack_keys keys = { 0 };
	struct rf_pack p;
	key[0] = '\0';
	if (is_folder(path)) {
		int rc = cli_pack_source(c, path, ret);
		return rc == RF_OK ? rf_pack_shape(*ret, &c->e) : rc;
	}
	int rc = cli_file(c, path, &text);
	if (rc == RF_OK && !cli_get(c, "trust"))
		return cli_wrong(c, RF_E_MISSING, "a file is verified with --trust FILE, the public keys");
	if (rc == RF_OK)
		rc = cli_file(c, cli_get(c, "trust"), &pem);
	if (rc == RF_OK)
		rc = rf_pack_keys_read(rf_buf_str(&pem), &keys, &c->e);
	if (rc == RF_OK)
		rc = rf_pack_open(rf_buf_str(&text), &keys, RF_PACK_SIGNED, &p, &c->e);
	rf_pack_keys_fini(&keys);
	if (rc == RF_OK) {
		memcpy(key, p.key, sizeof p.key);
		*ret = p.doc;
	}
	return rc;
}

static int set_version(struct cli *c, json_t *doc)
{
	const char *z = cli_get(c, "version");
	uint64_t n = 0;
	if (!z)
		return RF_OK;
	if (!rf_str_u64(rf_str_z(z), &n) || n < 1 || n > INT64_MAX)
		return cli_wrong(c, RF_E_TYPE, "--version wants a whole number from 1 on");
	json_object_set_new(doc, "version", json_integer((json_int_t)n));
	return RF_OK;
}

static int write_pack(struct cli *c, const char *path, const struct rf_buf *text)
{
	FILE *f = strcmp(path, "-") == 0 ? c->out : fopen(path, "we");
	if (!f)
		return rf_fail(&c->e, RF_E_IO, "%s: %s", path, strerror(errno));
	bool good = fwrite(text->p, 1, text->n, f) == text->n;
	good = (f == c->out ? fflush(f) : fclose(f)) == 0 && good;
	return good ? RF_OK : rf_fail(&c->e, RF_E_IO, "%s cannot be written", path);
}

static const char *plural(size_t n) { return n == 1 ? "" : "es"; }

static void tell(struct cli *c, const json_t *doc, const char *key)
{
	size_t n = json_array_size(json_object_get(doc, "patches"));
	if (!c->quiet)
		cli_note(c, "pack %s, version %lld: %zu patch%s, %s%s", json_string_value(json_object_get(doc, "name")),
			 json_integer_value(json_object_get(doc, "version")), n, plural(n), key[0] ? "signed by " : "not signed", key);
}

int cli_run_pack_build(struct cli *c)
{
	RF_BUF_AUTO text = { 0 };
	json_t *doc = NULL;
	EVP_PKEY *key = NULL;
	char id[RF_PACK_KEY_ID + 1] = "";
	const char *out = cli_get(c, "out"), *with = cli_get(c, "key");
	int rc = cli_pack_source(c, cli_get(c, "DIR"), &doc);
	if (rc == RF_OK)
		rc = set_version(c, doc);
	if (rc == RF_OK && with)
		rc = read_key(c, with, &key);
	if (rc == RF_OK && key)
		rc = rf_pack_key_id(key, id, &c->e);
	if (rc == RF_OK)
		rc = rf_pack_seal(doc, key, &text, &c->e);
	if (rc == RF_OK)
		rc = rf_pack_check(&env, doc, now(c), &c->e);
	if (rc == RF_OK)
		rc = write_pack(c, out, &text);
	if (rc == RF_OK)
		tell(c, doc, id);
	EVP_PKEY_free(key);
	json_decref(doc);
	return rc;
}

int cli_run_pack_verify(struct cli *c)
{
	json_t *doc = NULL;
	char key[RF_PACK_KEY_ID + 1];
	int rc = load(c, cli_get(c, "PACK"), &doc, key);
	if (rc == RF_OK)
		rc = rf_pack_check(&env, doc, now(c), &c->e);
	if (rc == RF_OK)
		tell(c, doc, key);
	json_decref(doc);
	return rc;
}

/* --- measuring --- */

struct measuring {
	struct cli *c;
	const json_t *patches;
	struct rf_expr **x;
	size_t *hits;      /* by patch */
	bool *now;         /* of the request at hand */
	size_t requests, stopped, examples;
};

enum { EXAMPLES = 5 };

static bool selected(struct cli *c, const json_t *patch)
{
	const char *category = cli_get(c, "category");
	const char *is = json_string_value(json_object_get(patch, "category"));
	return !category || (is && strcmp(is, category) == 0);
}

static int compile(struct measuring *m)
{
	size_t i;
	json_t *patch;
	int rc = RF_OK;
	json_array_foreach(m->patches, i, patch)
		if (rc == RF_OK && selected(m->c, patch))
			rc = rf_expr_compile(&env, RF_PHASE_HTTP_REQUEST, rf_str_z(json_string_value(json_object_get(patch, "expression"))),
					     &m->x[i], &m->c->e);
	return rc;
}

static int measure_one(struct measuring *m, const json_t *request, size_t n)
{
	bool any = false;
	size_t i;
	json_t *patch;
	int rc = rf_patch_try(m->x, json_array_size(m->patches), NULL, request, "traffic", n, now(m->c), m->now, &m->c->e);
	if (rc != RF_OK)
		return rc;
	json_array_foreach(m->patches, i, patch) {
		bool yes = m->now[i];
		m->hits[i] += yes;
		any |= yes;
		if (yes && m->examples++ < EXAMPLES && !m->c->quiet)
			cli_note(m->c, "request %zu would be stopped by %s: %s", n, json_string_value(json_object_get(patch, "name")),
				 json_string_value(json_object_get(request, "path")));
	}
	m->requests++;
	m->stopped += any;
	return RF_OK;
}

static int print_measure(struct measuring *m)
{
	size_t i;
	json_t *patch, *by = json_object();
	json_array_foreach(m->patches, i, patch)
		if (m->hits[i])
			json_object_set_new(by, json_string_value(json_object_get(patch, "name")), json_integer((json_int_t)m->hits[i]));
	json_t *all = json_pack("{s:I, s:I, s:o}", "requests", (json_int_t)m->requests, "stopped", (json_int_t)m->stopped, "by", by);
	int rc = RF_OK;
	if (m->c->format == CLI_TABLE)
		fprintf(m->c->out, "%zu of %zu ordinary requests would be stopped (%.3f %%)\n", m->stopped, m->requests,
			m->requests ? 100.0 * (double)m->stopped / (double)m->requests : 0.0);
	else
		rc = cli_print(m->c, all);
	json_decref(all);
	return rc;
}

int cli_run_pack_measure(struct cli *c)
{
	json_t *doc = NULL, *traffic = NULL, *request;
	char key[RF_PACK_KEY_ID + 1];
	size_t i;
	int rc = load(c, cli_get(c, "PACK"), &doc, key);
	if (rc == RF_OK)
		rc = cli_file_json(c, cli_get(c, "TRAFFIC"), &traffic);
	if (rc == RF_OK && !json_is_array(traffic))
		rc = rf_fail(&c->e, RF_E_TYPE, "%s is not an array of requests", cli_get(c, "TRAFFIC"));
	struct measuring m = { .c = c, .patches = json_object_get(doc, "patches") };
	size_t count = json_array_size(m.patches);
	m.x = calloc(count + 1, sizeof *m.x);
	m.hits = calloc(count + 1, sizeof *m.hits);
	m.now = calloc(count + 1, sizeof *m.now);
	if (rc == RF_OK)
		rc = m.x && m.hits && m.now ? compile(&m) : rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
	json_array_foreach(traffic, i, request)
		if (rc == RF_OK)
			rc = measure_one(&m, request, i);
	if (rc == RF_OK)
		rc = print_measure(&m);
	for (i = 0; m.x && i < count; i++)
		rf_expr_put(m.x[i]);
	free(m.x);
	free(m.hits);
	free(m.now);
	json_decref(doc);
	json_decref(traffic);
	return rc;
}

/* --- on an edge --- */

static int print_changes(struct cli *c, const json_t *pack)
{
	const char *what;
	json_t *n;
	bool first = true;
	if (c->format != CLI_TABLE || c->quiet || !json_is_object(pack))
		return c->quiet || !json_is_object(pack) ? RF_OK : cli_print_object(c, pack);
	fprintf(c->out, "pack %s, version %lld:", json_string_value(json_object_get(pack, "name")), json_integer_value(json_object_get(pack, "version")));
	json_object_foreach(json_object_get(pack, "changes"), what, n) {
		if (json_integer_value(n))
			fprintf(c->out, "%s %lld %s", first ? "" : ",", json_integer_value(n), what);
		first = first && !json_integer_value(n);
	}
	fprintf(c->out, "%s\n", first ? " nothing to do" : "");
	return RF_OK;
}

static int send_body(struct cli *c, const char *id, const json_t *body)
{
	RF_BUF_AUTO path = { 0 };
	json_t *pack = NULL;
	int rc = cli_path(c, c->command->path, id ? "pack" : NULL, id, &path);
	if (rc == RF_OK && c->dry_run)
		rf_buf_printf(&path, "?dry_run=true");
	if (rc == RF_OK)
		rc = cli_result(c, "POST", rf_buf_z(&path), body, &pack);
	if (rc == RF_OK)
		rc = print_changes(c, pack);
	json_decref(pack);
	return rc;
}

int cli_run_pack_change(struct cli *c)
{
	char id[33];
	json_t *body = NULL;
	int rc = cli_body(c, &body);
	if (rc == RF_OK)
		rc = cli_resolve(c, "pack", cli_get(c, "PACK"), id);
	if (rc == RF_OK)
		rc = send_body(c, id, body);
	json_decref(body);
	return rc;
}

/* A folder is sent as an unsigned pack. */
int cli_run_pack_install(struct cli *c)
{
	RF_BUF_AUTO text = { 0 };
	json_t *body = NULL, *doc = NULL;
	const char *path = cli_get(c, "PACK");
	int rc = cli_body(c, &body);
	if (rc == RF_OK)
		rc = is_folder(path) ? cli_pack_source(c, path, &doc) : cli_file(c, path, &text);
	if (rc == RF_OK && doc)
		rc = rf_pack_seal(doc, NULL, &text, &c->e);
	json_t *file = rc == RF_OK ? json_stringn(text.p, text.n) : NULL;
	if (rc == RF_OK && (!file || json_object_set_new(body, "file", file)))
		rc = rf_fail(&c->e, RF_E_SYNTAX, "%s is not a pack: it is not text", path);
	if (rc == RF_OK)
		rc = send_body(c, NULL, body);
	json_decref(body);
	json_decref(doc);
	return rc;
}
