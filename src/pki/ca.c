/* pki/ca: see ca.h. This file opens and creates; pki/issue makes leaves.
 *
 * Creation is a ladder: root.key, root.crt, intermediate.key, intermediate.crt, each written whole
 * or not at all, each step done only when its file is not there. A process that dies between two
 * steps leaves a prefix of the ladder, and the next open climbs on. Then all is checked as if
 * it came from somebody else.
 *
 * Invariant: an open CA has an intermediate whose key is at hand and whose chain verifies.
 */
#include "pki/ca.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/err.h>
#include "pki/ca_own.h"
#include "pki/file.h"
#include "pki/key.h"
#include "pki/pem.h"
#include "pki/x509.h"

enum { PATH = 4096, NAME = 48, DAY = 86400 };

struct step {
	const struct rf_ca_conf *conf;
	struct rf_ca *ca;
	int64_t now;
	struct rf_err *e;
};

static bool path_of(const struct step *s, const char *file, char to[PATH])
{
	return snprintf(to, PATH, "%s/%s", s->conf->dir, file) < PATH - 8;
}

/* -> 1 loaded, 0 not there, negative error. */
static int load_cert(const struct step *s, const char *file, X509 **ret)
{
	char path[PATH];
	RF_BUF_AUTO pem = { 0 };
	path_of(s, file, path);
	int rc = rf_file_get(path, RF_PEM_BYTES_MAX, false, &pem, s->e);
	if (rc == RF_E_NOT_FOUND)
		return 0;
	if (rc == RF_OK && rf_pem_cert(rf_buf_str(&pem), ret, s->e) != RF_OK)
		rc = rf_fail(s->e, RF_E_CERT, "%s does not hold one certificate; restore it from your backup",
			     path);
	return rc == RF_OK ? 1 : rc;
}

static int load_key(const struct step *s, const char *file, EVP_PKEY **ret)
{
	char path[PATH];
	path_of(s, file, path);
	int rc = rf_key_load(path, ret, s->e);
	return rc == RF_E_NOT_FOUND ? 0 : rc == RF_OK ? 1 : rc;
}

static int load_or_make_key(const struct step *s, const char *file, EVP_PKEY **ret)
{
	char path[PATH];
	int rc = load_key(s, file, ret);
	if (rc != 0)
		return rc < 0 ? rc : RF_OK;
	RF_OWN(EVP_PKEY) *key = NULL;
	path_of(s, file, path);
	rc = rf_key_new(&key, s->e);
	if (rc == RF_OK)
		rc = rf_key_save(key, path, s->e);
	if (rc == RF_OK)
		*ret = RF_TAKE(key);
	return rc;
}

static int save_cert(const struct step *s, const char *file, X509 *x)
{
	char path[PATH];
	RF_BUF_AUTO pem = { 0 };
	path_of(s, file, path);
	if (rf_pem_add(&pem, x) != RF_OK)
		return rf_fail(s->e, RF_E_NOMEM, "no memory for a certificate");
	return rf_file_put(path, 0644, rf_buf_str(&pem), s->e);
}

static bool ca_name(const struct step *s, X509_NAME *to, const char *role)
{
	char cn[NAME + 32];
	const char *name = s->conf->name && s->conf->name[0] ? s->conf->name : "Ringfence";
	snprintf(cn, sizeof cn, "%s Device %s", name, role);
	return rf_name_add(to, NID_organizationName, rf_str_z(name)) &&
	       rf_name_add(to, NID_commonName, rf_str_z(cn));
}

static int add_ca_exts(const struct step *s, X509 *x, X509 *issuer, const char *basic)
{
	int rc = rf_x509_ext(x, issuer, NID_basic_constraints, basic, s->e);
	if (rc == RF_OK)
		rc = rf_x509_ext(x, issuer, NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature", s->e);
	if (rc == RF_OK)
		rc = rf_x509_ext(x, issuer, NID_subject_key_identifier, "hash", s->e);
	if (rc == RF_OK)
		rc = rf_x509_ext(x, issuer, NID_authority_key_identifier, "keyid:always", s->e);
	return rc;
}

static int make_root(const struct step *s)
{
	RF_OWN(X509) *x = rf_x509_new(s->ca->root_key, s->now - RF_CA_BACKDATE,
				      s->now + (int64_t)RF_CA_ROOT_DAYS * DAY, s->e);
	if (!x)
		return RF_E_CRYPTO;
	if (!ca_name(s, X509_get_subject_name(x), "Root") || !X509_set_issuer_name(x, X509_get_subject_name(x)))
		return rf_ossl_fail(s->e, RF_E_CRYPTO, "cannot name the root certificate");
	int rc = add_ca_exts(s, x, x, "critical,CA:TRUE");
	if (rc == RF_OK)
		rc = rf_x509_sign(x, s->ca->root_key, s->e);
	if (rc == RF_OK)
		rc = save_cert(s, "root.crt", x);
	if (rc == RF_OK)
		s->ca->root = RF_TAKE(x);
	return rc;
}

static int make_intermediate(const struct step *s)
{
	int64_t end = s->now + (int64_t)RF_CA_INTERMEDIATE_DAYS * DAY, root_end = rf_x509_end(s->ca->root);
	RF_OWN(X509) *x = rf_x509_new(s->ca->key, s->now - RF_CA_BACKDATE, end < root_end ? end : root_end, s->e);
	if (!x)
		return RF_E_CRYPTO;
	if (!ca_name(s, X509_get_subject_name(x), "Issuing CA") ||
	    !X509_set_issuer_name(x, X509_get_subject_name(s->ca->root)))
		return rf_ossl_fail(s->e, RF_E_CRYPTO, "cannot name the intermediate certificate");
	int rc = add_ca_exts(s, x, s->ca->root, "critical,CA:TRUE,pathlen:0");
	if (rc == RF_OK)
		rc = rf_x509_sign(x, s->ca->root_key, s->e);
	if (rc == RF_OK)
		rc = save_cert(s, "intermediate.crt", x);
	if (rc == RF_OK)
		s->ca->cert = RF_TAKE(x);
	return rc;
}

static int climb_root(const struct step *s, bool have_intermediate)
{
	int rc = load_cert(s, "root.crt", &s->ca->root);
	if (rc < 0)
		return rc;
	if (rc == 1) {
		rc = load_key(s, "root.key", &s->ca->root_key);
		return rc < 0 ? rc : RF_OK;
	}
	if (have_intermediate)
		return rf_fail(s->e, RF_E_MISSING,
			       "%s has an intermediate but no root.crt; restore it from your backup",
			       s->conf->dir);
	rc = load_or_make_key(s, "root.key", &s->ca->root_key);
	return rc == RF_OK ? make_root(s) : rc;
}

static int climb_intermediate(const struct step *s, bool have_intermediate)
{
	int rc;
	if (s->conf->key_uri) {
		rc = rf_key_load(s->conf->key_uri, &s->ca->key, s->e);
	} else if (have_intermediate) {
		rc = load_key(s, "intermediate.key", &s->ca->key);
		if (rc == 0)
			return rf_fail(s->e, RF_E_MISSING,
				       "%s has no intermediate.key; restore it from your backup", s->conf->dir);
		rc = rc < 0 ? rc : RF_OK;
	} else {
		rc = load_or_make_key(s, "intermediate.key", &s->ca->key);
	}
	if (rc != RF_OK || have_intermediate)
		return rc;
	if (!s->ca->root_key)
		return rf_fail(s->e, RF_E_MISSING,
			       "%s has no root.key, which is needed to certify the intermediate", s->conf->dir);
	rc = rf_x509_match(s->ca->root, s->ca->root_key, s->e);
	return rc == RF_OK ? make_intermediate(s) : rc;
}

/* Believe nothing that is on disk: keys, chain, time. */
static int check(const struct step *s)
{
	struct rf_ca *ca = s->ca;
	if (ca->root_key && rf_x509_match(ca->root, ca->root_key, s->e) != RF_OK)
		return rf_fail(s->e, RF_E_CERT, "root.key in %s does not belong to root.crt", s->conf->dir);
	if (rf_x509_match(ca->cert, ca->key, s->e) != RF_OK)
		return rf_fail(s->e, RF_E_CERT, "the intermediate's key does not belong to %s/intermediate.crt",
			       s->conf->dir);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int rc = RF_E_NOMEM;
	if (store && ctx && X509_STORE_add_cert(store, ca->root) &&
	    X509_STORE_CTX_init(ctx, store, ca->cert, NULL)) {
		X509_STORE_CTX_set_time(ctx, 0, (time_t)s->now);
		rc = X509_verify_cert(ctx) == 1 && rf_x509_is_ca(ca->cert) ? RF_OK : RF_E_CERT;
		ERR_clear_error();
		if (rc == RF_E_CERT)
			rf_fail(s->e, rc, "the CA in %s is not valid: %s", s->conf->dir,
				X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
	} else {
		rf_ossl_fail(s->e, rc, "no memory to verify the CA");
	}
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return rc;
}

static int climb(const struct step *s)
{
	int have = load_cert(s, "intermediate.crt", &s->ca->cert);
	if (have < 0)
		return have;
	int rc = climb_root(s, have);
	if (rc == RF_OK)
		rc = climb_intermediate(s, have);
	return rc == RF_OK ? check(s) : rc;
}

static bool good_url(const char *url)
{
	size_t n = strlen(url);
	for (const char *p = url; *p; p++)
		if (!isgraph((unsigned char)*p) || strchr(",;\"\\", *p))
			return false;
	return n < RF_CA_URL_MAX && (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0);
}

static int check_conf(const struct rf_ca_conf *conf, struct rf_err *e)
{
	if (!conf->dir || strlen(conf->dir) > PATH - 64)
		return rf_fail(e, RF_E_RANGE, "the CA needs a folder with a path shorter than %d bytes", PATH - 64);
	if (conf->name && strlen(conf->name) >= NAME)
		return rf_fail_ptr(e, RF_E_RANGE, "/name", "the name of the CA is at most %d bytes", NAME - 1);
	return RF_OK;
}

int rf_ca_base_url(struct rf_ca *ca, const char *url, struct rf_err *e)
{
	size_t n = url ? strlen(url) : 0;
	if (n && !good_url(url))
		return rf_fail_ptr(e, RF_E_INVALID, "/base_url",
				   "the base URL must be http://... or https://... without , ; \" \\");
	while (n && url[n - 1] == '/')
		n--;
	snprintf(ca->base_url, sizeof ca->base_url, "%.*s", (int)n, n ? url : "");
	return RF_OK;
}

/* The folder's descriptor, locked until it is closed; negative error. */
static int lock_dir(const char *dir, struct rf_err *e)
{
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return rf_fail(e, RF_E_DISK, "cannot create %s: %s", dir, strerror(errno));
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return rf_fail(e, RF_E_DISK, "cannot open %s: %s", dir, strerror(errno));
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR) {
			int rc = rf_fail(e, RF_E_IO, "cannot lock %s: %s", dir, strerror(errno));
			close(fd);
			return rc;
		}
	return fd;
}

int rf_ca_open(const struct rf_ca_conf *conf, int64_t now, struct rf_ca **ret, struct rf_err *e)
{
	int rc = check_conf(conf, e);
	if (rc != RF_OK)
		return rc;
	struct rf_ca *ca = calloc(1, sizeof *ca);
	if (!ca)
		return rf_fail(e, RF_E_NOMEM, "no memory for the CA");
	rc = rf_ca_base_url(ca, conf->base_url, e);
	int fd = rc == RF_OK ? lock_dir(conf->dir, e) : rc;
	rc = fd < 0 ? fd : climb(&(struct step){ conf, ca, now, e });
	if (fd >= 0)
		close(fd);
	EVP_PKEY_free(RF_TAKE(ca->root_key)); /* not needed any more: out of memory */
	if (rc == RF_OK)
		*ret = ca;
	else
		rf_ca_free(ca);
	return rc;
}

void rf_ca_free(struct rf_ca *ca)
{
	if (!ca)
		return;
	X509_free(ca->root);
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
	EVP_PKEY_free(ca->root_key);
	free(ca);
}

X509 *rf_ca_root(const struct rf_ca *ca) { return ca->root; }
X509 *rf_ca_cert(const struct rf_ca *ca) { return ca->cert; }
EVP_PKEY *rf_ca_key(const struct rf_ca *ca) { return ca->key; }

int rf_ca_chain_pem(const struct rf_ca *ca, struct rf_buf *to)
{
	int rc = rf_pem_add(to, ca->cert);
	return rc == RF_OK ? rf_pem_add(to, ca->root) : rc;
}

int rf_ca_root_pem(const struct rf_ca *ca, struct rf_buf *to)
{
	return rf_pem_add(to, ca->root);
}
