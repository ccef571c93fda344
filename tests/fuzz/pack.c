/* Any bytes as a pack: its head, a signature of whoever, and, where it says that it is unsigned, all of its patches. */
#include "policy/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char trusted[] = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rf_pack_keys keys;
	const struct rf_rule_env env = { .have = ~0u };
	struct rf_str file = { (const char *)data, size };
	struct rf_pack_keys others;
	struct rf_pack p;
	struct rf_err e;
	if (!keys.n && rf_pack_keys_read(rf_str_z(trusted), &keys, &e) != RF_OK)
		__builtin_trap();
	if (rf_pack_open(file, &keys, RF_PACK_SIGNED, &p, &e) == RF_OK)
		rf_pack_fini(&p);
	if (rf_pack_open(file, &keys, RF_PACK_UNSIGNED, &p, &e) == RF_OK) {
		RF_BUF_AUTO again = { 0 };
		(void)rf_pack_check(&env, p.doc, 0, &e);
		if (!p.key[0] && rf_pack_seal(p.doc, NULL, &again, &e) != RF_OK)
			__builtin_trap();
		rf_pack_fini(&p);
	}
	if (rf_pack_keys_read(file, &others, &e) == RF_OK)
		rf_pack_keys_fini(&others);
	return 0;
}
