/* policy/jwt: JSON Web Tokens that requests carry, held against the operator's keys [RFC 7519, RFC 7515].
 *
 * A set of token configurations, immutable and shared by reference count: where a token is looked for, and the keys that it may
 * be signed with. Claims can be read only from a token whose signature is right and whose time is now.
 */
#pragma once
#include "base/arena.h"
#include "policy/field.h"

enum { RF_TOKENS = 32, RF_TOKEN_KEYS = 16, RF_TOKEN_SOURCES = 4, RF_TOKEN_SIZE = 16384 };

struct rf_tokens;

/* Compile a JSON array of {id, title, description, token_type: "jwt", token_sources: ["http.request.headers[\"authorization\"][0]"],
 * credentials: {keys: [JWK]}}. Keys are RSA with RS256, EC P-256 with ES256, and oct with HS256; alg none is refused. Errors have a
 * pointer. The reference is the caller's. */
int rf_tokens_make(struct rf_str json, struct rf_tokens **ret, struct rf_err *e);
struct rf_tokens *rf_tokens_get(struct rf_tokens *t); /* NULL is fine */
void rf_tokens_put(struct rf_tokens *t);              /* NULL is fine */

/* Where a request carries a token: the value of a header (lower-case name) or cookie; false where there is none. */
typedef bool rf_token_source(void *ctx, bool cookie, struct rf_str name, struct rf_str *ret);

struct rf_claims { struct rf_str id, json; }; /* of one configuration; json empty: no good token */

/* The claims of the tokens that a request carries, one for each configuration in order, in the arena; NULL without memory. */
const struct rf_claims *rf_tokens_read(const struct rf_tokens *t, rf_token_source *source, void *ctx, int64_t now_s,
	struct rf_arena *a, size_t *ret_n);
/* The value of a field http.request.jwt.claims.*; false without memory. */
bool rf_claims_fact(const struct rf_claims *c, size_t n, enum rf_field f, struct rf_arena *a, struct rf_val *ret);
