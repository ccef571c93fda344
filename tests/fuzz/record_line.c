/* A record whose texts are what a client sent, as a line. Beliefs: the line of JSON is one valid object; the human line has no
 * byte that a terminal obeys; a record that went through a ring says the same. */
#include <jansson.h>
#include <stdlib.h>
#include "records/format.h"
#include "records/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

struct input { const uint8_t *p; size_t n; };

/* A byte says how long the next text is. */
static struct rf_str text(struct input *in)
{
	size_t want = in->n ? *in->p : 0, n = in->n ? in->n - 1 : 0;
	struct rf_str s = { (const char *)in->p + (in->n > 0), want < n ? want : n };
	in->p += s.n + (in->n > 0);
	in->n = n - s.n;
	return s;
}

static uint64_t number(struct input *in)
{
	struct rf_str s = text(in);
	uint64_t v = 0;
	for (size_t i = 0; i < s.n; i++)
		v = v << 8 | (uint8_t)s.p[i];
	return v >> 2; /* jansson reads no larger ones */
}

static struct rf_ip ip(struct input *in)
{
	struct rf_str s = text(in);
	struct rf_ip a = { .family = s.n == 4 ? 4 : s.n == 16 ? 6 : 0 };
	if (a.family)
		memcpy(a.b, s.p, s.n);
	return a;
}

static void fill(struct input *in, struct rf_record *r)
{
	*r = (struct rf_record){ .kind = (enum rf_record_kind)(number(in) % 3) };
#define RF_REC_STR(id, json, doc) r->id = text(in);
#define RF_REC_U64(id, json, doc) r->id = number(in);
#define RF_REC_IP(id, json, doc) r->id = ip(in);
#define RF_REC_TIME(id, json, doc) r->id = (int64_t)number(in);
#include "tbl/records.def"
#undef RF_REC_STR
#undef RF_REC_U64
#undef RF_REC_IP
#undef RF_REC_TIME
}

static void as_json(const struct rf_record *r, struct rf_buf *to)
{
	rf_record_json(to, r, 7);
	json_t *doc = json_loadb(to->p, to->n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	CHECK(!to->bad && json_is_object(doc) && !memchr(to->p, '\n', to->n));
	json_decref(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct input in = { p, n };
	struct rf_record r, same;
	RF_BUF_AUTO line = { 0 }, again = { 0 }, human = { 0 };
	fill(&in, &r);
	as_json(&r, &line);
	rf_record_human(&human, &r, false);
	for (size_t i = 0; i < human.n; i++)
		CHECK((uint8_t)human.p[i] >= 0x20 && human.p[i] != 0x7f);
	uint64_t *packed = malloc(rf_record_size(&r) + 8); /* aligned, as in a ring */
	CHECK(packed);
	rf_record_pack(&r, (char *)packed);
	rf_record_unpack((const char *)packed, &same);
	as_json(&same, &again);
	CHECK(rf_str_eq(rf_buf_str(&line), rf_buf_str(&again)));
	free(packed);
	return 0;
}
