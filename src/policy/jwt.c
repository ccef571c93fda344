/* policy/jwt: token configurations, signatures and claims.
 *
 *   token from its source -> three parts -> head says alg and kid -> a key of just that algorithm -> signature -> exp, nbf -> claims
 *
 * Invariant: a key verifies by the one algorithm that its type has here, whatever the token says; a token without a key of its
 * algorithm has no claims.
 */
#include "policy/jwt.h"
#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/enc.h"

enum { COORDINATE = 32, MODULUS = 1024, SECRET = 512, NAME = 128, POINTER = 120, SKEW_S = 60 };

struct key {
	char kid[NAME];        /* "": any */
	const char *alg;       /* "RS256", "ES256", "HS256" */
	EVP_PKEY *public;      /* NULL: the secret */
	unsigned char secret[SECRET];
	size_t secret_n;
};

struct config {
	char id[NAME];
	size_t key_count, keys_made, source_count; /* made: room, of which the first key_count are whole */
	struct key *keys;
	struct { bool cookie; char name[NAME]; } sources[RF_TOKEN_SOURCES];
};

struct rf_tokens {
	atomic_uint refs;
	size_t n;
	struct config v[RF_TOKENS];
};

/* base64url without padding [RFC 7515 2]; -1 where it is not. */
static ssize_t unb64url(struct rf_str s, void *to, size_t room)
{
	char t[RF_TOKEN_SIZE + 4];
	size_t n = s.n;
	if (n > RF_TOKEN_SIZE || n % 4 == 1)
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '+' || s.p[i] == '/' || s.p[i] == '=')
			return -1;
		t[i] = s.p[i] == '-' ? '+' : s.p[i] == '_' ? '/' : s.p[i];
	}
	while (n % 4)
		t[n++] = '=';
	return rf_unb64((struct rf_str){ t, n }, to, room);
}

static struct rf_str member(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);
	return (struct rf_str){ json_is_string(v) ? json_string_value(v) : "", json_string_length(v) };
}

static bool copy_name(char to[NAME], struct rf_str s)
{
	if (s.n >= NAME || rf_str_find(s, '\0') < s.n)
		return false;
	memcpy(to, s.p, s.n);
	to[s.n] = '\0';
	return true;
}

static EVP_PKEY *public_key(const char *type, OSSL_PARAM_BLD *b)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(b);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;
	if (params && ctx && EVP_PKEY_fromdata_init(ctx) > 0)
		EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params);
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return key;
}

static EVP_PKEY *rsa_key(const json_t *jwk)
{
	unsigned char n[MODULUS], e[8];
	ssize_t nn = unb64url(member(jwk, "n"), n, sizeof n), en = unb64url(member(jwk, "e"), e, sizeof e);
	if (nn < 256 || en < 1) /* 2048 bits at least */
		return NULL;
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	BIGNUM *modulus = BN_bin2bn(n, (int)nn, NULL), *exponent = BN_bin2bn(e, (int)en, NULL);
	EVP_PKEY *key = NULL;
	if (b && modulus && exponent && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, modulus) &&
		OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, exponent))
		key = public_key("RSA", b);
	BN_free(modulus);
	BN_free(exponent);
	OSSL_PARAM_BLD_free(b);
	return key;
}

static EVP_PKEY *ec_key(const json_t *jwk)
{
	unsigned char point[1 + 2 * COORDINATE] = { 4 };
	OSSL_PARAM_BLD *b = NULL;
	EVP_PKEY *key = NULL;
	if (!rf_str_eq(member(jwk, "crv"), RF_STR("P-256")) || unb64url(member(jwk, "x"), point + 1, COORDINATE) != COORDINATE ||
		unb64url(member(jwk, "y"), point + 1 + COORDINATE, COORDINATE) != COORDINATE || !(b = OSSL_PARAM_BLD_new()))
		return NULL;
	if (OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) &&
		OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point))
		key = public_key("EC", b);
	OSSL_PARAM_BLD_free(b);
	return key;
}

static int read_key(const json_t *jwk, struct key *k, const char *at, struct rf_err *e)
{
	struct rf_str type = member(jwk, "kty"), alg = member(jwk, "alg");
	if (!copy_name(k->kid, member(jwk, "kid")))
		return rf_fail_ptr(e, RF_E_RANGE, at, "the kid of a key is at most %d bytes", NAME - 1);
	if (rf_str_eq(type, RF_STR("RSA"))) {
		k->alg = "RS256";
		k->public = rsa_key(jwk);
	} else if (rf_str_eq(type, RF_STR("EC"))) {
		k->alg = "ES256";
		k->public = ec_key(jwk);
	} else if (rf_str_eq(type, RF_STR("oct"))) {
		ssize_t n = unb64url(member(jwk, "k"), k->secret, sizeof k->secret);
		k->alg = "HS256";
		k->secret_n = n >= 32 ? (size_t)n : 0; /* [RFC 7518 3.2] */
	} else {
		return rf_fail_ptr(e, RF_E_UNSUPPORTED, at, "a key is of kty RSA, EC or oct");
	}
	if (alg.n && !rf_str_eq(alg, rf_str_z(k->alg)))
		return rf_fail_ptr(e, RF_E_UNSUPPORTED, at, "keys of this kty are used with alg %s here", k->alg);
	if (!k->public && !k->secret_n)
		return rf_fail_ptr(e, RF_E_INVALID, at, "this key is not whole, or too weak: RSA takes 2048 bits, EC P-256, oct 32 bytes");
	return RF_OK;
}

/* http.request.headers["name"][0] or http.request.cookies["name"][0] */
static bool read_source(struct rf_str s, struct config *c)
{
	static const struct { const char *begin; bool cookie; } forms[] = {
		{ "http.request.headers[\"", false }, { "http.request.cookies[\"", true } };
	for (size_t i = 0; i < 2; i++) {
		struct rf_str begin = rf_str_z(forms[i].begin), rest = rf_str_skip(s, begin.n), name = rest;
		if (!rf_str_starts(s, begin))
			continue;
		name.n = rf_str_find(rest, '"');
		if (!name.n || !rf_str_eq(rf_str_skip(rest, name.n), RF_STR("\"][0]")) ||
			!copy_name(c->sources[c->source_count].name, name))
			return false;
		for (char *p = c->sources[c->source_count].name; !forms[i].cookie && *p; p++)
			*p = (char)rf_lower((unsigned char)*p);
		c->sources[c->source_count++].cookie = forms[i].cookie;
		return true;
	}
	return false;
}

static int read_config(const json_t *o, size_t index, struct config *c, struct rf_err *e)
{
	const json_t *sources = json_object_get(o, "token_sources"), *keys = json_object_get(json_object_get(o, "credentials"), "keys");
	struct rf_str type = member(o, "token_type");
	char at[POINTER];
	snprintf(at, sizeof at, "/%zu", index);
	if (!member(o, "id").n || !copy_name(c->id, member(o, "id")))
		return rf_fail_ptr(e, RF_E_MISSING, at, "a token configuration needs an `id` of at most %d bytes", NAME - 1);
	if (type.n && !rf_str_ieq(type, RF_STR("jwt")))
		return rf_fail_ptr(e, RF_E_UNSUPPORTED, at, "the token_type is jwt");
	if (json_array_size(sources) < 1 || json_array_size(sources) > RF_TOKEN_SOURCES)
		return rf_fail_ptr(e, RF_E_RANGE, at, "token_sources is an array of 1 to %d texts", RF_TOKEN_SOURCES);
	for (size_t i = 0; i < json_array_size(sources); i++) {
		const json_t *v = json_array_get(sources, i);
		if (!read_source((struct rf_str){ json_string_value(v), json_string_length(v) }, c))
			return rf_fail_ptr(e, RF_E_INVALID, at,
				"a token source is http.request.headers[\"name\"][0] or http.request.cookies[\"name\"][0]");
	}
	if (json_array_size(keys) < 1 || json_array_size(keys) > RF_TOKEN_KEYS)
		return rf_fail_ptr(e, RF_E_RANGE, at, "credentials.keys is an array of 1 to %d keys", RF_TOKEN_KEYS);
	c->keys = calloc(json_array_size(keys), sizeof *c->keys);
	if (!c->keys)
		return rf_fail(e, RF_E_NOMEM, "no memory for keys");
	c->keys_made = json_array_size(keys);
	for (; c->key_count < json_array_size(keys); c->key_count++) {
		snprintf(at, sizeof at, "/%zu/credentials/keys/%zu", index, c->key_count);
		int r = read_key(json_array_get(keys, c->key_count), &c->keys[c->key_count], at, e);
		if (r)
			return r;
	}
	return RF_OK;
}

int rf_tokens_make(struct rf_str json, struct rf_tokens **ret, struct rf_err *e)
{
	json_error_t why;
	json_t *doc = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, &why);
	struct rf_tokens *t = calloc(1, sizeof *t);
	int r = !t ? rf_fail(e, RF_E_NOMEM, "no memory for token configurations") : RF_OK;
	if (!r && !json_is_array(doc))
		r = rf_fail(e, RF_E_SYNTAX, "token configurations are a JSON array%s%s", doc ? "" : ": ", doc ? "" : why.text);
	if (!r && json_array_size(doc) > RF_TOKENS)
		r = rf_fail(e, RF_E_TOO_LARGE, "there can be at most %d token configurations", RF_TOKENS);
	if (t)
		atomic_init(&t->refs, 1);
	for (size_t i = 0; !r && i < json_array_size(doc); i++) {
		r = read_config(json_array_get(doc, i), i, &t->v[i], e);
		t->n = i + 1;
	}
	json_decref(doc);
	if (r) {
		rf_tokens_put(t);
		return r;
	}
	*ret = t;
	return RF_OK;
}

struct rf_tokens *rf_tokens_get(struct rf_tokens *t)
{
	if (t)
		atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void rf_tokens_put(struct rf_tokens *t)
{
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < t->n; i++) {
		for (size_t k = 0; t->v[i].keys && k < t->v[i].keys_made; k++) {
			EVP_PKEY_free(t->v[i].keys[k].public);
			OPENSSL_cleanse(t->v[i].keys[k].secret, SECRET);
		}
		free(t->v[i].keys);
	}
	free(t);
}

/* The two numbers of ES256 as libcrypto reads them [RFC 7518 3.4]. */
static int to_der(const unsigned char *raw, unsigned char **ret)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, COORDINATE, NULL), *s = BN_bin2bn(raw + COORDINATE, COORDINATE, NULL);
	int n = -1;
	if (sig && r && s && ECDSA_SIG_set0(sig, r, s)) {
		n = i2d_ECDSA_SIG(sig, ret);
	} else {
		BN_free(r);
		BN_free(s);
	}
	ECDSA_SIG_free(sig);
	return n;
}

static bool signed_by(const struct key *k, struct rf_str text, const unsigned char *sig, size_t n)
{
	unsigned char mac[32], *der = NULL;
	if (!k->public)
		return n == sizeof mac && HMAC(EVP_sha256(), k->secret, (int)k->secret_n, (const unsigned char *)text.p, text.n, mac, NULL) &&
			CRYPTO_memcmp(mac, sig, sizeof mac) == 0;
	if (k->alg[0] == 'E') {
		int size = n == 2 * COORDINATE ? to_der(sig, &der) : -1;
		if (size < 0)
			return false;
		sig = der;
		n = (size_t)size;
	}
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, k->public) > 0 &&
		EVP_DigestVerify(ctx, sig, n, (const unsigned char *)text.p, text.n) == 1;
	EVP_MD_CTX_free(ctx);
	OPENSSL_free(der);
	return good;
}

static json_t *part(struct rf_str s, struct rf_arena *a, struct rf_str *ret)
{
	char *to = rf_arena_alloc(a, s.n + 1);
	ssize_t n = to ? unb64url(s, to, s.n + 1) : -1;
	*ret = (struct rf_str){ to, n > 0 ? (size_t)n : 0 };
	json_t *v = n > 0 ? json_loadb(to, (size_t)n, JSON_REJECT_DUPLICATES, NULL) : NULL;
	if (json_is_object(v))
		return v;
	json_decref(v);
	return NULL;
}

static bool verified(const struct config *c, const json_t *head, struct rf_str text, struct rf_str signature)
{
	unsigned char sig[MODULUS];
	ssize_t n = unb64url(signature, sig, sizeof sig);
	struct rf_str alg = member(head, "alg"), kid = member(head, "kid");
	if (n <= 0 || json_object_get(head, "crit")) /* extensions that must be understood are not [RFC 7515 4.1.11] */
		return false;
	for (size_t i = 0; i < c->key_count; i++) {
		const struct key *k = &c->keys[i];
		bool named = !kid.n || !k->kid[0] || rf_str_eq(kid, rf_str_z(k->kid));
		if (named && rf_str_eq(alg, rf_str_z(k->alg)) && signed_by(k, text, sig, (size_t)n))
			return true;
	}
	return false;
}

static bool timely(const json_t *claims, int64_t now_s)
{
	const json_t *exp = json_object_get(claims, "exp"), *nbf = json_object_get(claims, "nbf");
	return (!exp || (json_is_number(exp) && json_number_value(exp) + SKEW_S > (double)now_s)) &&
		(!nbf || (json_is_number(nbf) && json_number_value(nbf) - SKEW_S <= (double)now_s));
}

/* The claims as JSON; empty where the token is not good. */
static struct rf_str claims_of(const struct config *c, struct rf_str token, int64_t now_s, struct rf_arena *a)
{
	size_t one = rf_str_find(token, '.'), two = one + 1 + rf_str_find(rf_str_skip(token, one + 1), '.');
	struct rf_str json, unused;
	if (token.n > RF_TOKEN_SIZE || two >= token.n)
		return RF_STR("");
	json_t *head = part((struct rf_str){ token.p, one }, a, &unused);
	json_t *claims = part((struct rf_str){ token.p + one + 1, two - one - 1 }, a, &json);
	bool good = head && claims && verified(c, head, (struct rf_str){ token.p, two }, rf_str_skip(token, two + 1)) &&
		timely(claims, now_s);
	json_decref(head);
	json_decref(claims);
	return good ? json : RF_STR("");
}

const struct rf_claims *rf_tokens_read(const struct rf_tokens *t, rf_token_source *source, void *ctx, int64_t now_s,
	struct rf_arena *a, size_t *ret_n)
{
	size_t n = t ? t->n : 0;
	struct rf_claims *v = rf_arena_array(a, n + 1, sizeof *v);
	*ret_n = v ? n : 0;
	for (size_t i = 0; v && i < n; i++) {
		const struct config *c = &t->v[i];
		v[i].id = rf_str_z(c->id);
		for (size_t k = 0; k < c->source_count && !v[i].json.n; k++) {
			struct rf_str token;
			if (!source(ctx, c->sources[k].cookie, rf_str_z(c->sources[k].name), &token))
				continue;
			if (token.n > 7 && rf_str_ieq((struct rf_str){ token.p, 7 }, RF_STR("Bearer "))) /* [RFC 6750 2.1] */
				token = rf_str_trim(rf_str_skip(token, 7));
			v[i].json = claims_of(c, token, now_s, a);
		}
	}
	return v;
}

/* The values of a claim: texts or integers; a claim of another type has none. */
static bool values(const json_t *claim, bool integers, struct rf_arena *a, struct rf_val *ret)
{
	size_t n = json_is_array(claim) ? json_array_size(claim) : 1;
	struct rf_val *v = rf_arena_array(a, n + 1, sizeof *v);
	uint32_t got = 0;
	for (size_t i = 0; v && i < n; i++) {
		const json_t *one = json_is_array(claim) ? json_array_get(claim, i) : claim;
		if (integers && json_is_number(one))
			v[got++] = rf_val_int((int64_t)json_number_value(one));
		else if (!integers && json_is_string(one))
			v[got++] = rf_val_str(rf_arena_dup(a, (struct rf_str){ json_string_value(one), json_string_length(one) }));
	}
	*ret = rf_val_array(v, got);
	return v;
}

enum shape { MAP, NAMES, VALUES };

static const struct { enum rf_field f; const char *claim; enum shape shape; bool integers; } claim_fields[] = {
	{ RF_F_JWT, NULL, MAP, false },
#define CLAIM(name, claim, integers) { RF_F_JWT_##name, claim, MAP, integers }, \
	{ RF_F_JWT_##name##_NAMES, claim, NAMES, integers }, { RF_F_JWT_##name##_VALUES, claim, VALUES, integers }
	CLAIM(AUD, "aud", false), CLAIM(ISS, "iss", false), CLAIM(SUB, "sub", false), CLAIM(JTI, "jti", false),
	CLAIM(IAT, "iat", true), CLAIM(NBF, "nbf", true), CLAIM(EXP, "exp", true),
#undef CLAIM
};

bool rf_claims_fact(const struct rf_claims *c, size_t n, enum rf_field f, struct rf_arena *a, struct rf_val *ret)
{
	size_t k = 0;
	while (k < sizeof claim_fields / sizeof *claim_fields && claim_fields[k].f != f)
		k++;
	struct rf_entry *m = rf_arena_array(a, n + 1, sizeof *m);
	struct rf_val *all = rf_arena_array(a, n + 1, sizeof *all), *flat;
	uint32_t got = 0, total = 0, at = 0;
	if (k == sizeof claim_fields / sizeof *claim_fields || !m || !all)
		return false;
	for (size_t i = 0; i < n; i++) {
		json_t *doc = c[i].json.n ? json_loadb(c[i].json.p, c[i].json.n, 0, NULL) : NULL;
		const json_t *claim = claim_fields[k].claim ? json_object_get(doc, claim_fields[k].claim) : NULL;
		all[got] = rf_val_str(c[i].json);
		struct rf_val v = rf_val_array(&all[got], doc ? 1 : 0);
		bool room = !claim_fields[k].claim || values(claim, claim_fields[k].integers, a, &v);
		json_decref(doc);
		if (!room)
			return false;
		if (v.n)
			m[got++] = (struct rf_entry){ c[i].id, v };
		total += v.n;
	}
	flat = rf_arena_array(a, total + got + 1, sizeof *flat);
	if (!flat)
		return false;
	for (uint32_t i = 0; i < got; i++)
		for (uint32_t j = 0; j < (claim_fields[k].shape == NAMES ? 1 : m[i].val.n); j++)
			flat[at++] = claim_fields[k].shape == NAMES ? rf_val_str(m[i].key) : m[i].val.a[j];
	*ret = claim_fields[k].shape == MAP ? rf_val_map(m, got) : rf_val_array(flat, at);
	return true;
}
