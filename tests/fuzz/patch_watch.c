/* The file in which it is kept how devices fare, under a sum that is right. Beliefs: what is refused leaves nothing behind; what is taken
 * is saved and taken again. */
#include <stdlib.h>
#include <string.h>
#include "ctl/patch_watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

enum { SUM_AT = 8, SUMMED = 16, LARGEST = 65536 };

static const int64_t now_ns = 1700000000000000000;

static void put_sum(char *p, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = SUMMED; i < n; i++)
		h = (h ^ (uint8_t)p[i]) * 0x100000001b3u;
	memcpy(p + SUM_AT, &h, sizeof h);
}

static void again(struct rf_watch *w)
{
	struct rf_watch *other = rf_watch_new(100, now_ns);
	RF_BUF_AUTO saved = { 0 };
	if (!other)
		return;
	rf_watch_save(w, now_ns, &saved);
	CHECK(!saved.n || rf_watch_load(other, rf_buf_str(&saved), now_ns) == RF_OK);
	rf_watch_free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_Alignas(uint64_t) static char text[LARGEST];
	if (size < SUMMED || size > LARGEST)
		return 0;
	memcpy(text, data, size);
	memcpy(text, "rfwatch1", 8);
	put_sum(text, size);
	struct rf_watch *w = rf_watch_new(100, now_ns);
	if (!w)
		return 0;
	if (rf_watch_load(w, (struct rf_str){ text, size }, now_ns) == RF_OK)
		again(w);
	rf_watch_free(w);
	return 0;
}
