/* wire/http1_conn: Connection, TE and comma-separated lists.
 *
 * Connection lists options and the names of header fields that are for this hop only
 * [RFC 9110 7.6.1]. A sender that names a field which is not (Host, Authorization, a field that the
 * edge sets) wants it cut out of the message behind our back: refused.
 */
#include "wire/http1_int.h"

/* The end of the quoted string whose opening quote is at i, or of s. */
static size_t quoted_end(struct rf_str s, size_t i)
{
	for (i++; i < s.n && s.p[i] != '"'; i++)
		if (s.p[i] == '\\')
			i++;
	return i < s.n ? i : s.n - 1;
}

bool rf_http_list_next(struct rf_str *rest, struct rf_str *ret_item)
{
	while (rest->n) {
		size_t i = 0;
		for (; i < rest->n && rest->p[i] != ','; i++)
			if (rest->p[i] == '"')
				i = quoted_end(*rest, i);
		struct rf_str item = rf_str_trim((struct rf_str){ rest->p, i });
		*rest = rf_str_skip(*rest, i + 1);
		if (item.n) {
			*ret_item = item;
			return true;
		}
	}
	return false;
}

/* Mark every header of that name as hop by hop. */
static void mark(struct rf_http_head *head, struct rf_str name)
{
	enum rf_http_header_id id = rf_http_header_of(name);
	if (id != RF_HDR_OTHER && !head->first[id])
		return;
	for (unsigned i = 0; i < head->count; i++) {
		struct rf_http_header *f = &head->headers[i];
		if (f->id == id && (id != RF_HDR_OTHER || rf_str_ieq(f->name, name)))
			f->hop = true;
	}
}

struct options {
	bool close, keep_alive, upgrade, te;
};

static enum rf_http_reject option(struct rf_http_head *head, struct rf_str item, struct options *o)
{
	if (!rf_http_is_token(item))
		return RF_REJECT_CONNECTION;
	if (rf_str_ieq(item, RF_STR("close")))
		o->close = true;
	else if (rf_str_ieq(item, RF_STR("keep-alive")))
		o->keep_alive = true;
	else if (rf_str_ieq(item, RF_STR("upgrade")))
		o->upgrade = true;
	else if (rf_str_ieq(item, RF_STR("te")))
		o->te = true;
	else if (rf_http_header_flags(rf_http_header_of(item)) & RF_HDR_E2E)
		return RF_REJECT_CONNECTION_NAMES;
	else
		mark(head, item);
	return RF_HTTP_ACCEPTED;
}

static bool wants_trailers(const struct rf_http_head *head)
{
	const struct rf_http_header *te = rf_http_header(head, RF_HDR_TE);
	for (; te; te = rf_http_header_next(head, te)) {
		struct rf_str rest = te->value, item;
		while (rf_http_list_next(&rest, &item))
			if (rf_str_ieq(item, RF_STR("trailers")))
				return true;
	}
	return false;
}

enum rf_http_reject http_connection(const struct rf_http_limits *lim, struct rf_http_head *head, bool *ret_upgrade)
{
	struct options o = { 0 };
	unsigned count = 0;
	const struct rf_http_header *f = rf_http_header(head, RF_HDR_CONNECTION);
	for (; f; f = rf_http_header_next(head, f)) {
		struct rf_str rest = f->value, item;
		while (rf_http_list_next(&rest, &item)) {
			enum rf_http_reject why = ++count > lim->connection ? RF_REJECT_CONNECTION : option(head, item, &o);
			if (why)
				return why;
		}
	}
	head->keep_alive = !o.close && (head->minor == 1 || o.keep_alive); /* [RFC 9112 9.3] */
	head->te_trailers = o.te && wants_trailers(head); /* [RFC 9110 10.1.4] */
	*ret_upgrade = o.upgrade && head->minor == 1; /* [RFC 9110 7.8] */
	return RF_HTTP_ACCEPTED;
}
