/* ctl/own_cert: server certificates of our own CA, for the API and for hosts that have none.
 *
 * Names -> the file of these names in DATA_DIR/own -> the pair in it, where this CA issued it and it has time left -> else a
 * new pair, kept there. So what clients have pinned or saved stays over reloads, restarts and crashes.
 *
 * A file that cannot be read or written costs that only: the pair is made and used.
 */
#include <dirent.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/enc.h"
#include "ctl/private.h"
#include "pki/file.h"
#include "records/log.h"

#define CHAIN_BEGIN "-----BEGIN CERTIFICATE-----"

enum { PATH = 4200, FILE_MAX = 65536, LEFT_S = 30 * 86400 };

static int64_t now_s(const struct rf_ctl *c)
{
	return c->clock.wall(c->clock.ctx) / (int64_t)RF_NS_S;
}

/* The file is named by what the certificate says. */
static bool path_of(const struct rf_ctl *c, const struct rf_issue *req, char to[PATH])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	char hex[2 * 32 + 1];
	RF_BUF_AUTO names = { 0 };
	rf_buf_add(&names, req->cn);
	for (size_t i = 0; i < req->san_count; i++)
		rf_buf_printf(&names, "\n%d %.*s", (int)req->sans[i].kind, RF_ARG(req->sans[i].value));
	if (names.bad || !EVP_Digest(names.p, names.n, digest, &n, EVP_sha256(), NULL) || n != 32)
		return false;
	rf_hex(digest, n, hex);
	return snprintf(to, PATH, "%s/own/%s.pem", c->boot->data_dir, hex) < PATH;
}

static bool good(const struct rf_ctl *c, const struct rf_keypair *k)
{
	return rf_keypair_not_after(k) > now_s(c) + LEFT_S &&
	       X509_check_issued(rf_ca_cert(c->ca), rf_keypair_leaf(k)) == X509_V_OK;
}

static struct rf_keypair *kept(const struct rf_ctl *c, const char *path)
{
	RF_SECRET_AUTO pem = { 0 };
	struct rf_keypair *k = NULL;
	struct rf_err e;
	int rc = rf_file_get(path, FILE_MAX, true, &pem, &e);
	char *chain = rc == RF_OK ? memmem(pem.p, pem.n, CHAIN_BEGIN, strlen(CHAIN_BEGIN)) : NULL; /* behind the key */
	size_t key_n = chain ? (size_t)(chain - pem.p) : pem.n;
	if (rc == RF_OK)
		rc = rf_keypair_from_pem(rf_str_skip(rf_buf_str(&pem), key_n), (struct rf_str){ pem.p, key_n }, &k, &e);
	if (rc != RF_OK && rc != RF_E_NOT_FOUND)
		rf_log(RF_LOG_WARN, "ca", "%s cannot be used, a new certificate is made: %s", path, e.text);
	if (!k || good(c, k))
		return k;
	rf_keypair_put(k);
	return NULL;
}

static void keep(const struct rf_ctl *c, const char *path, const struct rf_bundle *b)
{
	RF_SECRET_AUTO pem = { 0 };
	struct rf_err e;
	char folder[PATH];
	snprintf(folder, sizeof folder, "%s/own", c->boot->data_dir);
	rf_buf_add(&pem, rf_buf_str(&b->key_pem));
	rf_buf_add(&pem, rf_buf_str(&b->cert_pem));
	int rc = pem.bad ? rf_fail(&e, RF_E_NOMEM, "no memory for it") : RF_OK;
	if (rc == RF_OK && mkdir(folder, 0700) != 0 && errno != EEXIST)
		rc = rf_fail(&e, RF_E_DISK, "cannot make %s: %s", folder, strerror(errno));
	if (rc == RF_OK)
		rc = rf_file_put(path, 0600, rf_buf_str(&pem), &e);
	if (rc != RF_OK)
		rf_log(RF_LOG_WARN, "ca", "a certificate of our own is not kept, the next start makes another: %s", e.text);
}

int rf_ctl_own_keypair(struct rf_ctl *c, const struct rf_issue *req, struct rf_keypair **ret, struct rf_err *e)
{
	struct rf_bundle b = { 0 };
	char path[PATH];
	bool named = path_of(c, req, path);
	struct rf_keypair *k = named ? kept(c, path) : NULL;
	if (k) {
		*ret = k;
		return RF_OK;
	}
	int rc = rf_ca_bundle(c->ca, req, now_s(c), &b, e);
	if (rc != RF_OK)
		return rc;
	rc = rf_keypair_from_pem(rf_buf_str(&b.cert_pem), rf_buf_str(&b.key_pem), ret, e);
	if (rc == RF_OK && named)
		keep(c, path, &b);
	rf_bundle_fini(&b);
	return rc;
}

/* A file is older than what is in it lives: nobody can use it. */
static void drop_if_old(const struct rf_ctl *c, const char *name)
{
	char path[PATH];
	struct stat st;
	if (snprintf(path, sizeof path, "%s/own/%s", c->boot->data_dir, name) < PATH && stat(path, &st) == 0 &&
	    S_ISREG(st.st_mode) && st.st_mtime < now_s(c) - (int64_t)RF_CTL_OWN_DAYS * 86400)
		unlink(path);
}

void rf_ctl_own_tidy(struct rf_ctl *c)
{
	char folder[PATH];
	snprintf(folder, sizeof folder, "%s/own", c->boot->data_dir);
	DIR *d = opendir(folder);
	for (struct dirent *each; d && (each = readdir(d));)
		drop_if_old(c, each->d_name);
	if (d)
		closedir(d);
}
