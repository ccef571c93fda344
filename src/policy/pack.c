/* policy/pack: the file of a pack: its head, its signature, the shape of what it holds.
 *
 *   head line -> key by its id -> signature over the payload's bytes -> JSON -> shape
 */
#include "policy/pack.h"
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/err.h>
#include <stdio.h>
#include "base/enc.h"

enum { SIGNATURE = 64, PUBLIC = 32, HEAD_MAX = 256 };

#define MAGIC "ringfence-pack "
#define CONTEXT "ringfence-pack 1\n" /* what is signed begins with this, so that no other signature of the key is one of a pack */

/* --- keys --- */

int rf_pack_key_id(const EVP_PKEY *key, char to[RF_PACK_KEY_ID + 1], struct rf_err *e)
{
	unsigned char raw[PUBLIC], digest[EVP_MAX_MD_SIZE];
	size_t n = sizeof raw;
	unsigned size = 0;
	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519 || EVP_PKEY_get_raw_public_key(key, raw, &n) != 1 || n != PUBLIC)
		return rf_fail(e, RF_E_TYPE, "this is not an Ed25519 key");
	if (EVP_Digest(raw, n, digest, &size, EVP_sha256(), NULL) != 1)
		return rf_fail(e, RF_E_CRYPTO, "no SHA-256");
	rf_hex(digest, RF_PACK_KEY_ID / 2, to);
	return RF_OK;
}

static int add_key(struct rf_pack_keys *k, EVP_PKEY *key, struct rf_err *e)
{
	if (k->n == RF_PACK_KEYS)
		return rf_fail(e, RF_E_FULL, "there are more than %d keys", RF_PACK_KEYS);
	int rc = rf_pack_key_id(key, k->id[k->n], e);
	if (rc == RF_OK)
		k->v[k->n++] = key;
	return rc;
}

/* The next block of the text; RF_E_EOF behind the last one. */
static int next_key(BIO *in, EVP_PKEY **ret, struct rf_err *e)
{
	char *name = NULL, *header = NULL;
	unsigned char *data = NULL;
	long n = 0;
	if (PEM_read_bio(in, &name, &header, &data, &n) != 1) {
		bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
		ERR_clear_error();
		return end ? RF_E_EOF : rf_fail(e, RF_E_SYNTAX, "a block of PEM is broken");
	}
	const unsigned char *at = data;
	EVP_PKEY *key = strcmp(name, PEM_STRING_PUBLIC) == 0 ? d2i_PUBKEY(NULL, &at, n) : NULL;
	ERR_clear_error();
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(data);
	if (!key)
		return rf_fail(e, RF_E_SYNTAX, "a block of PEM is no public key");
	*ret = key;
	return RF_OK;
}

int rf_pack_keys_read(struct rf_str pem, struct rf_pack_keys *ret, struct rf_err *e)
{
	struct rf_pack_keys k = { 0 };
	BIO *in = pem.n <= INT32_MAX ? BIO_new_mem_buf(pem.n ? pem.p : "", (int)pem.n) : NULL;
	EVP_PKEY *key = NULL;
	int rc = in ? RF_OK : rf_fail(e, RF_E_NOMEM, "no memory for keys");
	while (rc == RF_OK && (rc = next_key(in, &key, e)) == RF_OK)
		if ((rc = add_key(&k, key, e)) != RF_OK)
			EVP_PKEY_free(key);
	BIO_free(in);
	if (rc == RF_E_EOF)
		rc = k.n ? RF_OK : rf_fail(e, RF_E_SYNTAX, "no public key of PEM is here; ringfence pack key makes a pair");
	if (rc != RF_OK) {
		rf_pack_keys_fini(&k);
		return rc;
	}
	*ret = k;
	return RF_OK;
}

void rf_pack_keys_fini(struct rf_pack_keys *k)
{
	while (k->n)
		EVP_PKEY_free(k->v[--k->n]);
}

/* --- head and signature --- */

struct head {
	struct rf_str key, signature; /* "" where it is unsigned */
	struct rf_str payload;
};

static int read_head(struct rf_str file, struct head *ret, struct rf_err *e)
{
	struct rf_str line = { file.p, rf_str_find(file, '\n') }, word, rest;
	if (file.n > RF_PACK_BYTES)
		return rf_fail(e, RF_E_TOO_LARGE, "a pack has at most %d bytes", RF_PACK_BYTES);
	if (!rf_str_starts(file, RF_STR(MAGIC)) || line.n == file.n || line.n > HEAD_MAX)
		return rf_fail(e, RF_E_SYNTAX, "this is not a pack: it does not begin with the line \"ringfence-pack 1 ...\"");
	struct head h = { .payload = rf_str_skip(file, line.n + 1) };
	rest = rf_str_skip(line, sizeof MAGIC - 1);
	if (!rf_str_split(&rest, ' ', &word) || !rf_str_eq(word, RF_STR("1")))
		return rf_fail(e, RF_E_UNSUPPORTED, "this is a pack of format %.*s; this version reads format 1", word.n > 20 ? 20 : (int)word.n,
			       word.n ? word.p : "");
	bool good = rf_str_split(&rest, ' ', &word), sealed = good && rf_str_eq(word, RF_STR("ed25519"));
	if (sealed)
		good = rf_str_split(&rest, ' ', &h.key) && rf_str_split(&rest, ' ', &h.signature) && h.key.n == RF_PACK_KEY_ID;
	else
		good = good && rf_str_eq(word, RF_STR("unsigned"));
	if (!good || rest.n)
		return rf_fail_at(e, RF_E_SYNTAX, 1, 1, "the head of the pack is neither \"ed25519 KEY SIGNATURE\" nor \"unsigned\"");
	*ret = h;
	return RF_OK;
}

static int signed_bytes(struct rf_str payload, struct rf_buf *to, struct rf_err *e)
{
	rf_buf_add(to, RF_STR(CONTEXT));
	rf_buf_add(to, payload);
	return to->bad ? rf_fail(e, RF_E_NOMEM, "no memory for a pack") : RF_OK;
}

static int verify(const struct head *h, const struct rf_pack_keys *keys, struct rf_err *e)
{
	unsigned char signature[SIGNATURE];
	RF_BUF_AUTO bytes = { 0 };
	size_t i = 0;
	while (keys && i < keys->n && !rf_str_eq(h->key, rf_str_z(keys->id[i])))
		i++;
	if (!keys || i == keys->n)
		return rf_fail(e, RF_E_DENIED, "the pack is signed with key %.*s, which is not trusted here (patches.keys)", RF_ARG(h->key));
	if (rf_unb64(h->signature, signature, sizeof signature) != SIGNATURE)
		return rf_fail(e, RF_E_SYNTAX, "the signature of the pack is not %d bytes of base64", SIGNATURE);
	int rc = signed_bytes(h->payload, &bytes, e);
	EVP_MD_CTX *m = rc == RF_OK ? EVP_MD_CTX_new() : NULL;
	bool good = m && EVP_DigestVerifyInit(m, NULL, NULL, NULL, keys->v[i]) == 1 &&
		    EVP_DigestVerify(m, signature, sizeof signature, (unsigned char *)bytes.p, bytes.n) == 1;
	EVP_MD_CTX_free(m);
	ERR_clear_error();
	if (rc == RF_OK && !good)
		rc = rf_fail(e, RF_E_DENIED, "the signature of the pack is not right: it was changed or cut off after key %.*s signed it",
			     RF_ARG(h->key));
	return rc;
}

int rf_pack_open(struct rf_str file, const struct rf_pack_keys *keys, enum rf_pack_trust trust, struct rf_pack *ret, struct rf_err *e)
{
	struct head h = { 0 };
	json_error_t why;
	int rc = read_head(file, &h, e);
	if (rc == RF_OK && !h.key.n && trust != RF_PACK_UNSIGNED)
		return rf_fail(e, RF_E_DENIED, "the pack is not signed; only the local administrator may install it, by the Unix socket");
	if (rc == RF_OK && h.key.n)
		rc = verify(&h, keys, e);
	if (rc != RF_OK)
		return rc;
	struct rf_pack p = { .doc = json_loadb(h.payload.n ? h.payload.p : "", h.payload.n, JSON_REJECT_DUPLICATES, &why) };
	if (!p.doc)
		return rf_fail(e, RF_E_SYNTAX, "the pack is not JSON behind its first line, or is cut off: %s", why.text);
	rc = rf_pack_shape(p.doc, e);
	if (rc != RF_OK) {
		json_decref(p.doc);
		return rc;
	}
	snprintf(p.key, sizeof p.key, "%.*s", RF_ARG(h.key));
	p.name = json_string_value(json_object_get(p.doc, "name"));
	p.version = json_integer_value(json_object_get(p.doc, "version"));
	p.count = json_array_size(json_object_get(p.doc, "patches"));
	*ret = p;
	return RF_OK;
}

void rf_pack_fini(struct rf_pack *p)
{
	json_decref(p->doc);
	p->doc = NULL;
}

int rf_pack_seal(const json_t *doc, EVP_PKEY *key, struct rf_buf *to, struct rf_err *e)
{
	RF_BUF_AUTO bytes = { 0 };
	RF_BUF_AUTO head = { 0 };
	char id[RF_PACK_KEY_ID + 1] = "";
	unsigned char signature[SIGNATURE];
	size_t n = sizeof signature;
	int rc = rf_pack_shape(doc, e);
	if (rc == RF_OK && key)
		rc = rf_pack_key_id(key, id, e);
	char *text = rc == RF_OK ? json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	if (rc == RF_OK)
		rc = text ? signed_bytes(rf_str_z(text), &bytes, e) : rf_fail(e, RF_E_NOMEM, "no memory for a pack");
	EVP_MD_CTX *m = rc == RF_OK && key ? EVP_MD_CTX_new() : NULL;
	if (rc == RF_OK && key && !(m && EVP_DigestSignInit(m, NULL, NULL, NULL, key) == 1 &&
				    EVP_DigestSign(m, signature, &n, (unsigned char *)bytes.p, bytes.n) == 1))
		rc = rf_fail(e, RF_E_CRYPTO, "the pack cannot be signed with this key");
	EVP_MD_CTX_free(m);
	ERR_clear_error();
	rf_buf_printf(&head, MAGIC "1 %s", key ? "ed25519 " : "unsigned");
	if (rc == RF_OK && key) {
		rf_buf_printf(&head, "%s ", id);
		rf_b64_add(&head, (struct rf_str){ (char *)signature, n });
	}
	rf_buf_addc(&head, '\n');
	if (rc == RF_OK) {
		rf_buf_add(to, rf_buf_str(&head));
		rf_buf_add(to, rf_str_z(text));
		if (to->bad || head.bad || to->n > RF_PACK_BYTES)
			rc = rf_fail(e, RF_E_TOO_LARGE, "a pack has at most %d bytes", RF_PACK_BYTES);
	}
	free(text);
	return rc;
}
