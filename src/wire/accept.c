/* wire/accept: choosing among what we have by Accept and Accept-Encoding [RFC 9110 12].
 *
 * For each thing we have, the most specific element that covers it gives its quality; the best
 * quality wins, our order decides between equals. At most ELEMENTS elements are read, the rest
 * is ignored: a longer list is nothing that a client needs.
 */
#include "wire/accept.h"
#include "wire/http1.h"

enum { ELEMENTS = 64 };

/* "0.5" -> 500; -1 when it is no qvalue [RFC 9110 12.4.2]. */
static int qvalue(struct rf_str s)
{
	int q = 0, scale = 100;
	if (s.n == 0 || s.n > 5 || (s.p[0] != '0' && s.p[0] != '1') || (s.n > 1 && s.p[1] != '.'))
		return -1;
	for (size_t i = 2; i < s.n; i++, scale /= 10) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -1;
		q += (s.p[i] - '0') * scale;
	}
	return s.p[0] == '0' ? q : q == 0 ? 1000 : -1;
}

/* Split "thing;p=v;q=0.5" into the thing and its quality, -1 for a broken one. */
static int quality(struct rf_str item, struct rf_str *ret_thing)
{
	struct rf_str part, rest = item;
	int q = 1000;
	rf_str_split(&rest, ';', &part);
	*ret_thing = rf_str_trim(part);
	while (rf_str_split(&rest, ';', &part)) {
		part = rf_str_trim(part);
		if (part.n > 2 && rf_lower((unsigned char)part.p[0]) == 'q' && part.p[1] == '=')
			return qvalue(rf_str_skip(part, 2));
	}
	return q;
}

/* How specifically does a media range cover a type: 0 not at all, 1 by "* / *", 2 by "type / *", 3 exactly. */
static int covers_type(struct rf_str range, struct rf_str type)
{
	size_t slash = rf_str_find(range, '/');
	if (rf_str_ieq(range, type))
		return 3;
	if (rf_str_eq(range, RF_STR("*/*")))
		return 1;
	bool wild = slash < range.n && rf_str_eq(rf_str_skip(range, slash), RF_STR("/*"));
	return wild && type.n > slash && rf_str_ieq((struct rf_str){ range.p, slash + 1 }, (struct rf_str){ type.p, slash + 1 }) ?
		2 : 0;
}

/* "x-gzip" is another name of gzip [RFC 9110 8.4.1.3]. */
static int covers_coding(struct rf_str range, struct rf_str coding)
{
	if (rf_str_ieq(range, coding) || (rf_str_ieq(range, RF_STR("x-gzip")) && rf_str_eq(coding, RF_STR("gzip"))))
		return 2;
	return rf_str_eq(range, RF_STR("*"));
}

/* The quality that the list gives `thing`; `missing` when nothing covers it. */
static int judge(struct rf_str accept, struct rf_str thing, int (*covers)(struct rf_str, struct rf_str), int missing)
{
	struct rf_str rest = accept, item, range;
	int best = 0, q = missing;
	for (int i = 0; i < ELEMENTS && rf_http_list_next(&rest, &item); i++) {
		int this = quality(item, &range), how = covers(range, thing);
		if (this >= 0 && how > best) {
			best = how;
			q = this;
		}
	}
	return q;
}

static bool has_elements(struct rf_str accept)
{
	struct rf_str rest = accept, item, range;
	for (int i = 0; i < ELEMENTS && rf_http_list_next(&rest, &item); i++)
		if (quality(item, &range) >= 0 && range.n)
			return true;
	return false;
}

int rf_accept_type(struct rf_str accept, const char *const *have, size_t count)
{
	int best = -1, best_q = 0;
	if (!has_elements(accept))
		return count ? 0 : -1;
	for (size_t i = 0; i < count; i++) {
		int q = judge(accept, rf_str_z(have[i]), covers_type, 0);
		if (q > best_q) {
			best_q = q;
			best = (int)i;
		}
	}
	return best;
}

int rf_accept_coding(struct rf_str accept, const char *const *have, size_t count)
{
	int best = -1, best_q = 0;
	for (size_t i = 0; i < count; i++) {
		int q = judge(accept, rf_str_z(have[i]), covers_coding, 0);
		if (q > best_q) {
			best_q = q;
			best = (int)i;
		}
	}
	/* Only a client that names identity can like it better [RFC 9110 12.5.3]. */
	return best >= 0 && judge(accept, RF_STR("identity"), covers_coding, 0) > best_q ? -1 : best;
}

struct rf_str rf_media_essence(struct rf_str value)
{
	return rf_str_trim((struct rf_str){ value.p, rf_str_find(value, ';') });
}
