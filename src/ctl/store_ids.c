/* ctl/store_ids: where the ids of new objects come from.
 *
 *	32 bytes of the source (rf_store_random) -> a key and a counter -> AES in counter mode -> a pool of ids -> one at a time
 *
 * An id tells nothing of the one before or behind it, and each pool has a key of its own; a hundred thousand ids cost less so than
 * their bytes would cost from the kernel.
 */
#include <openssl/evp.h>
#include "base/enc.h"
#include "ctl/store_db.h"

enum { KEY = 16, SEED = 2 * KEY }; /* key, counter */

/* Under the pool's lengths an int is enough. */
static bool fill_pool(struct rf_store *s)
{
	unsigned char seed[SEED];
	int n;
	if (!s->ids && !(s->ids = EVP_CIPHER_CTX_new()))
		return false;
	memset(s->pool, 0, sizeof s->pool);
	return s->fill(s->fill_ctx, seed, sizeof seed) == 0 && EVP_EncryptInit_ex(s->ids, EVP_aes_128_ctr(), NULL, seed, seed + KEY) == 1 &&
		EVP_EncryptUpdate(s->ids, s->pool, &n, s->pool, sizeof s->pool) == 1;
}

int rf_store_draw_id(struct rf_store *s, char to[33], struct rf_err *e)
{
	if (!s->pooled && !fill_pool(s))
		return rf_fail(e, RF_E_CRYPTO, "the system gave no random bytes for an id");
	s->pooled = (s->pooled ? s->pooled : sizeof s->pool) - ID_RAW;
	rf_hex(s->pool + s->pooled, ID_RAW, to);
	return RF_OK;
}
