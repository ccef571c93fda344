/* Bodies of forms. Input: a line with the Content-Type, then the body. Beliefs: what fields hold are slices of the body or
 * shorter; parts do not overlap and stand in order; all fields of a body can be asked for. */
#include <stdlib.h>
#include "base/err.h"
#include "policy/body.h"
#include "wire/form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

static void parts(struct rf_str rest, struct rf_arena *a)
{
	struct rf_str boundary = { rest.p, rest.n < 3 ? rest.n : 3 };
	const char *after = rest.p, *end = rest.p + rest.n;
	struct rf_part p;
	while (rf_multipart_next(&rest, boundary, a, &p) == RF_OK) {
		CHECK(p.body.p >= after && p.body.p + p.body.n <= end && rest.p >= p.body.p);
		CHECK(p.name.n <= p.disposition.n && p.filename.n <= p.disposition.n);
		after = p.body.p + p.body.n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_str in = { (const char *)data, size };
	size_t line = rf_str_find(in, '\n');
	struct rf_str type = { in.p, line }, body = rf_str_skip(in, line + 1);
	struct rf_arena a;
	rf_arena_init(&a, 4 << 20);
	for (unsigned f = 0; f < RF_FIELD_COUNT; f++) {
		struct rf_val v = { 0 };
		if (rf_fields[f].planes == RF_ON_B && f != RF_F_HTTP_BODY && f != RF_F_HTTP_BODY_SIZE && f != RF_F_HTTP_BODY_CUT)
			if (rf_body_fact(&a, (enum rf_field)f, body, type, &v))
				CHECK(v.tag != RF_V_MISSING);
	}
	parts(body, &a);
	rf_arena_fini(&a);
	return 0;
}
