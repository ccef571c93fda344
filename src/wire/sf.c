/* wire/sf: structured fields as far as certificates need them [RFC 8941, RFC 9440]. */
#include <sys/types.h>
#include "base/enc.h"
#include "wire/sf.h"

void rf_sf_bytes_add(struct rf_buf *b, struct rf_str bytes)
{
	rf_buf_addc(b, ':');
	rf_b64_add(b, bytes);
	rf_buf_addc(b, ':');
}

ssize_t rf_sf_bytes_parse(struct rf_str s, void *to, size_t room)
{
	if (s.n < 2 || s.p[0] != ':' || s.p[s.n - 1] != ':')
		return -1;
	return rf_unb64((struct rf_str){ s.p + 1, s.n - 2 }, to, room);
}

int rf_sf_list_next(struct rf_str *rest, struct rf_str *ret_item)
{
	struct rf_str s = *rest;
	while (s.n && s.p[0] == ' ')
		s = rf_str_skip(s, 1);
	if (s.n == 0)
		return 0;
	size_t close = s.p[0] == ':' ? rf_str_find(rf_str_skip(s, 1), ':') + 1 : s.n;
	if (close >= s.n)
		return -1;
	struct rf_str item = { s.p, close + 1 }, after = rf_str_skip(s, close + 1);
	while (after.n && (after.p[0] == ' ' || after.p[0] == '\t'))
		after = rf_str_skip(after, 1);
	if (after.n) {
		if (after.p[0] != ',')
			return -1;
		after = rf_str_trim(rf_str_skip(after, 1));
		if (after.n == 0) /* [RFC 8941 4.2.1] */
			return -1;
	}
	*rest = after;
	*ret_item = item;
	return 1;
}
