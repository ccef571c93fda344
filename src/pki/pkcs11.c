/* pki/pkcs11: see pkcs11.h.
 *
 * The engine is loaded once a process, by its full path in libcrypto's engine folder, so that no
 * search path decides what code touches the keys. Its module is fixed by the first URI.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* engines: the way to a token that Debian 12 carries */
#include "pki/pkcs11.h"
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include <openssl/engine.h>
#include "base/buf.h"
#include "pki/ossl.h"

enum { PATH = 1024 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the two below */
static ENGINE *engine;
static char module[PATH];

/* Split the URI into what the engine understands and the value of `module-path`, which is ours to obey; "" when
 * absent. Escapes are not decoded in paths. */
static int split_uri(const char *uri, char plain[PATH], char path[PATH], struct rf_err *e)
{
	struct rf_str rest = rf_str_z(uri), part, key;
	struct rf_buf to = { .p = plain, .cap = PATH - 1, .bound = PATH - 1 }; /* in place: never grows */
	size_t query = rf_str_find(rest, '?');
	path[0] = '\0';
	rf_buf_add(&to, (struct rf_str){ rest.p, query });
	rest = rf_str_skip(rest, query + 1);
	for (char sep = '?'; rf_str_split(&rest, '&', &part);) {
		struct rf_str value = part;
		if (!rf_str_split(&value, '=', &key) || !rf_str_eq(key, RF_STR("module-path"))) {
			rf_buf_addc(&to, sep);
			rf_buf_add(&to, part);
			sep = '&';
			continue;
		}
		if (value.n == 0 || value.n >= PATH || value.p[0] != '/' || rf_str_find(value, '%') < value.n)
			return rf_fail(e, RF_E_SYNTAX, "module-path must be a full path without %% escapes");
		memcpy(path, value.p, value.n);
		path[value.n] = '\0';
	}
	if (to.bad)
		return rf_fail(e, RF_E_TOO_LARGE, "a PKCS#11 URI is at most %d bytes", PATH - 1);
	plain[to.n] = '\0';
	return RF_OK;
}

static ENGINE *open_engine(const char *so, const char *path)
{
	ENGINE_load_dynamic();
	ENGINE *dynamic = ENGINE_by_id("dynamic");
	if (!dynamic)
		return NULL;
	bool ready = ENGINE_ctrl_cmd_string(dynamic, "SO_PATH", so, 0) &&
		     ENGINE_ctrl_cmd_string(dynamic, "ID", "pkcs11", 0) &&
		     ENGINE_ctrl_cmd_string(dynamic, "LOAD", NULL, 0) &&
		     ENGINE_ctrl_cmd_string(dynamic, "QUIET", NULL, 1) &&
		     (!path[0] || ENGINE_ctrl_cmd_string(dynamic, "MODULE_PATH", path, 0));
	if (ready && ENGINE_init(dynamic)) {
		ENGINE_free(dynamic); /* the functional reference of ENGINE_init remains */
		return dynamic;
	}
	ENGINE_free(dynamic);
	return NULL;
}

/* Called with `lock` held. */
static int ensure_engine(const char *path, struct rf_err *e)
{
	char so[PATH];
	if (engine && strcmp(path, module) != 0)
		return rf_fail(e, RF_E_CONFLICT, "only one PKCS#11 module a process: %s is loaded already",
			       module[0] ? module : "p11-kit's");
	if (engine)
		return RF_OK;
	const char *dir = OPENSSL_info(OPENSSL_INFO_ENGINES_DIR);
	snprintf(so, sizeof so, "%s/pkcs11.so", dir ? dir : "");
	if (access(so, R_OK) < 0)
		return rf_fail(e, RF_E_UNSUPPORTED,
			       "%s is absent: install the package libengine-pkcs11-openssl", so);
	engine = open_engine(so, path);
	if (!engine)
		return rf_ossl_fail(e, RF_E_UNSUPPORTED, "the PKCS#11 engine or its module cannot be loaded");
	snprintf(module, sizeof module, "%s", path);
	return RF_OK;
}

int rf_pkcs11_key(const char *uri, EVP_PKEY **ret, struct rf_err *e)
{
	char path[PATH], plain[PATH];
	int rc = split_uri(uri, plain, path, e);
	if (rc != RF_OK)
		return rc;
	pthread_mutex_lock(&lock);
	rc = ensure_engine(path, e);
	EVP_PKEY *key = rc == RF_OK ? ENGINE_load_private_key(engine, plain, NULL, NULL) : NULL;
	pthread_mutex_unlock(&lock);
	OPENSSL_cleanse(plain, sizeof plain); /* it may hold a PIN */
	if (rc == RF_OK && !key)
		return rf_ossl_fail(e, RF_E_NOT_FOUND, "the token has no such private key, or the PIN is wrong");
	if (rc == RF_OK)
		*ret = key;
	return rc;
}
