/* Tokens. Input: a line with a token, then a token configuration file. Beliefs: whatever is configured, a token that is not signed by
 * the one secret here has no claims of it; every field can be asked for. */
#include <stdlib.h>
#include "policy/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rf_str token;

static bool source(void *ctx, bool cookie, struct rf_str name, struct rf_str *ret)
{
	(void)ctx;
	(void)cookie;
	*ret = token;
	return name.n > 0;
}

static void ask(const struct rf_tokens *t)
{
	struct rf_arena a;
	size_t n;
	rf_arena_init(&a, 1 << 20);
	const struct rf_claims *c = rf_tokens_read(t, source, NULL, 1700000000, &a, &n);
	for (unsigned f = 0; c && f < RF_FIELD_COUNT; f++) {
		struct rf_val v;
		if (rf_fields[f].need == RF_NEED_JWT && !rf_claims_fact(c, n, (enum rf_field)f, &a, &v) && !a.full)
			abort();
	}
	rf_arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char fixed[] = "[{\"id\": \"x\", \"token_sources\": [\"http.request.headers[\\\"a\\\"][0]\"], \"credentials\": {\"keys\": ["
		"{\"kty\": \"oct\", \"k\": \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}]}}]";
	struct rf_str in = { (const char *)data, size };
	struct rf_tokens *t = NULL;
	struct rf_err e = { 0 };
	token = in;
	token.n = rf_str_find(in, '\n');
	if (rf_tokens_make(rf_str_z(fixed), &t, &e) != RF_OK)
		return 0;
	ask(t);
	rf_tokens_put(t);
	if (rf_tokens_make(rf_str_skip(in, token.n + 1), &t, &e) == RF_OK) {
		ask(t);
		rf_tokens_put(t);
	}
	return 0;
}
