/* policy/pack: a managed pack of virtual patches: one file, signed with Ed25519 [RFC 8032].
 *
 *   ringfence-pack 1 ed25519 KEY SIGNATURE LF   KEY: 16 hexadecimal digits; SIGNATURE: base64, over "ringfence-pack 1" LF payload
 *   ringfence-pack 1 unsigned LF                what is built without a key
 *   payload                                     {name, title, version, patches: [...]}, JSON to the end of the file
 *
 * The same patches, version and key always give the same bytes. Nothing of the payload is read before its signature is
 * verified. A patch is a document of tbl/resources.def (Patch) with what the pack says of it besides: category, kind.
 *
 * Not here: files and folders (cli/pack_source), what an edge does with a pack (api/packs, ctl/packs).
 */
#pragma once
#include <jansson.h>
#include <openssl/types.h>
#include "base/buf.h"
#include "policy/expr.h"

enum {
	RF_PACK_BYTES = 8 << 20,
	RF_PACK_PATCHES = 2000,
	RF_PACK_TESTS = 16,       /* requests of a kind that a patch has */
	RF_PACK_KEYS = 16,        /* that are trusted at the same time */
	RF_PACK_KEY_ID = 16,      /* digits of a key's id */
	RF_PACK_NAME = 64,
};

/* Public keys that are trusted. */
struct rf_pack_keys {
	size_t n;
	EVP_PKEY *v[RF_PACK_KEYS];
	char id[RF_PACK_KEYS][RF_PACK_KEY_ID + 1];
};
/* All public keys of a PEM text; at least one, all Ed25519. */
int rf_pack_keys_read(struct rf_str pem, struct rf_pack_keys *ret, struct rf_err *e);
void rf_pack_keys_fini(struct rf_pack_keys *k);
/* The first 16 digits of the SHA-256 of a public key. RF_E_TYPE where it is not Ed25519. */
int rf_pack_key_id(const EVP_PKEY *key, char to[RF_PACK_KEY_ID + 1], struct rf_err *e);

/* A pack that has been read; `doc` is owned. */
struct rf_pack {
	char key[RF_PACK_KEY_ID + 1]; /* "": unsigned */
	json_t *doc;
	const char *name;             /* of doc */
	int64_t version;
	size_t count;                 /* of patches */
};
enum rf_pack_trust {
	RF_PACK_SIGNED,   /* by one of the keys */
	RF_PACK_UNSIGNED, /* by one of the keys, or by nobody */
};
/* Verify, then read and check the shape. Errors: RF_E_SYNTAX (not a pack, cut off), RF_E_UNSUPPORTED (another version of the
 * format), RF_E_DENIED (no signature, unknown key, bad signature), RF_E_TOO_LARGE; shape with a pointer. */
int rf_pack_open(struct rf_str file, const struct rf_pack_keys *keys, enum rf_pack_trust trust, struct rf_pack *ret,
		 struct rf_err *e);
/* The shape of a document alone: names, numbers, no name twice, tests there. */
int rf_pack_shape(const json_t *doc, struct rf_err *e);
void rf_pack_fini(struct rf_pack *p);

/* Compile every expression and run every patch's tests: each attack matches its own, no harmless request matches any. The
 * error names the first patch that fails. */
int rf_pack_check(const struct rf_rule_env *env, const json_t *doc, int64_t wall_ns, struct rf_err *e);

/* Append the file. key NULL: unsigned. */
int rf_pack_seal(const json_t *doc, EVP_PKEY *key, struct rf_buf *to, struct rf_err *e);
