/* wire/http1_fields: the end of a head, its header lines, and the rules that all messages share.
 *
 * http_scan_head searches line feeds from where it stopped last time and gives the first line to
 * its owner as soon as it is complete. When the empty line is there, http_parse_fields walks the
 * bytes once: a table for names, eight bytes at a time for values. The number of lines is known by
 * then, so the array comes from the arena in one piece.
 *
 * Invariants: whatever the pieces in which bytes arrive, the verdict is the same, because each check
 * looks only at bytes up to a place that does not depend on the pieces: a first line at its end, bare
 * LFs in order, all else when the head is complete.
 */
#include <endian.h>
#include "wire/http1_int.h"

/* At most one empty line before the message is skipped [RFC 9112 2.2]; `skip` bytes of it, 0 or 2. */
static int skip_empty(struct rf_http_scan *scan, struct rf_str in, size_t *ret_skip)
{
	*ret_skip = 0;
	if (in.n == 0)
		return RF_E_AGAIN;
	if (in.p[0] == '\n')
		return http_refuse(scan, RF_REJECT_BARE_LF);
	if (in.p[0] != '\r')
		return RF_OK;
	if (in.n >= 2 && in.p[1] != '\n')
		return http_refuse(scan, RF_REJECT_BARE_CR);
	if (in.n < 3)
		return RF_E_AGAIN;
	if (in.p[2] == '\r' || in.p[2] == '\n')
		return http_refuse(scan, RF_REJECT_EMPTY_LINES);
	*ret_skip = 2;
	return RF_OK;
}

static int scan_first(struct rf_http_scan *scan, struct rf_str in, size_t skip, const struct rf_http_limits *lim,
	http_first_line *first, struct rf_http_head *head)
{
	const char *from = in.p + skip;
	size_t room = in.n - skip, bound = (size_t)lim->line + 2;
	if (!http_is(*from, CLASS_TOKEN)) /* also garbage such as TLS on a plain port */
		return http_refuse(scan, RF_REJECT_REQUEST_LINE);
	size_t at = scan->at > skip ? scan->at - skip : 0, n = room < bound ? room : bound;
	const char *lf = n > at ? memchr(from + at, '\n', n - at) : NULL;
	if (!lf && room >= bound)
		return http_refuse(scan, RF_REJECT_TARGET_LENGTH);
	scan->at = (uint32_t)(skip + n);
	if (!lf)
		return RF_E_AGAIN;
	if (lf[-1] != '\r')
		return http_refuse(scan, RF_REJECT_BARE_LF);
	enum rf_http_reject why = first((struct rf_str){ from, (size_t)(lf - 1 - from) }, lim, head);
	if (why)
		return http_refuse(scan, why);
	scan->at = scan->line = (uint32_t)(lf + 1 - in.p);
	scan->first_ok = true;
	return RF_OK;
}

/* The header lines; RF_OK when the empty line was found, and *ret_size is behind it. */
static int scan_lines(struct rf_http_scan *scan, struct rf_str in, const struct rf_http_limits *lim, size_t *ret_size)
{
	size_t n = in.n < lim->head ? in.n : lim->head;
	const char *at = in.p + scan->at, *line = in.p + scan->line, *end = in.p + n, *lf;
	while (at < end && (lf = memchr(at, '\n', (size_t)(end - at)))) {
		if (lf == line || lf[-1] != '\r')
			return http_refuse(scan, RF_REJECT_BARE_LF);
		at = lf + 1;
		if (lf - line == 1) {
			*ret_size = (size_t)(at - in.p);
			return RF_OK;
		}
		line = at;
		if (++scan->lines > lim->headers)
			return http_refuse(scan, RF_REJECT_HEADER_COUNT);
	}
	if (in.n >= lim->head)
		return http_refuse(scan, RF_REJECT_HEAD_LENGTH);
	scan->at = (uint32_t)n;
	scan->line = (uint32_t)(line - in.p);
	return RF_E_AGAIN;
}

int http_scan_head(struct rf_http_scan *scan, struct rf_str in, const struct rf_http_limits *lim,
	http_first_line *first, struct rf_http_head *head, size_t *ret_fields, size_t *ret_size)
{
	size_t skip;
	int r = skip_empty(scan, in, &skip);
	if (r)
		return r;
	if (scan->first_ok) { /* its slices may have moved with the buffer: once more */
		const char *cr = memchr(in.p + skip, '\r', in.n - skip);
		first((struct rf_str){ in.p + skip, (size_t)(cr - in.p) - skip }, lim, head);
		*ret_fields = (size_t)(cr + 2 - in.p);
	} else {
		r = scan_first(scan, in, skip, lim, first, head);
		if (r)
			return r;
		*ret_fields = scan->line;
	}
	return scan_lines(scan, in, lim, ret_size);
}

/* One character of UTF-8 other than ASCII and the C1 controls [RFC 3629 4]; 0 when it is none. */
static size_t utf8(const unsigned char *p, size_t n)
{
	size_t len = p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;
	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	bool bad = (p[0] == 0xc2 && p[1] < 0xa0) || (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90);
	return bad ? 0 : len;
}

/* The first byte from p on that is not a printable ASCII character; `end` when there is none.
 * Eight bytes at a time; a borrow only flags bytes above one that is flagged itself, so the lowest
 * flag is exact. */
static const char *plain(const char *p, const char *end)
{
	const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
	for (; end - p >= 8; p += 8) {
		uint64_t v;
		memcpy(&v, p, sizeof v);
		v = le64toh(v);
		v = ((v - 0x20 * ones) | ((v ^ 0x7f * ones) - ones) | v) & high;
		if (v)
			return p + __builtin_ctzll(v) / 8;
	}
	while (p < end && (unsigned char)(*p - 0x20) < 0x5f)
		p++;
	return p;
}

/* A field value up to its CRLF [RFC 9110 5.5]; *at is left at the CR. */
static enum rf_http_reject value(const char **at, const char *end, bool loose)
{
	const char *p = *at;
	for (;;) {
		p = plain(p, end);
		if (p == end)
			return RF_REJECT_BARE_CR;
		unsigned char c = (unsigned char)*p;
		if (c == '\r')
			break;
		size_t n = c == '\t' ? 1 : c >= 0x80 ? utf8((const unsigned char *)p, (size_t)(end - p)) : 0;
		if (n == 0 && c >= 0x80 && loose)
			n = 1;
		if (n == 0)
			return c >= 0x80 ? RF_REJECT_VALUE_UTF8 : RF_REJECT_VALUE;
		p += n;
	}
	if (p + 1 == end || p[1] != '\n')
		return RF_REJECT_BARE_CR;
	*at = p;
	return RF_HTTP_ACCEPTED;
}

/* Why the byte at p ends a name where a colon should be. */
static enum rf_http_reject bad_name(const char *line, const char *p)
{
	if (*p == '\r' && p[1] != '\n')
		return RF_REJECT_BARE_CR;
	if (p == line)
		return *p == ' ' || *p == '\t' ? RF_REJECT_FOLDED : *p == ':' ? RF_REJECT_NAME_EMPTY : RF_REJECT_NAME;
	if (*p == ' ' || *p == '\t')
		return RF_REJECT_NAME_SPACE; /* [RFC 9112 5.1] */
	return *p == '\r' ? RF_REJECT_NAME_NO_COLON : RF_REJECT_NAME;
}

static bool lookalike(struct rf_str name)
{
	char hyphens[64];
	if (!memchr(name.p, '_', name.n) || name.n > sizeof hyphens)
		return false;
	for (size_t i = 0; i < name.n; i++)
		hyphens[i] = name.p[i] == '_' ? '-' : name.p[i];
	return rf_http_header_of((struct rf_str){ hyphens, name.n }) != RF_HDR_OTHER;
}

enum rf_http_reject http_parse_field(const char **at, const char *end, const struct rf_http_limits *lim,
	struct rf_http_header *ret)
{
	const char *line = *at, *p = line;
	while (http_is(*p, CLASS_TOKEN)) /* stops at the CRLF that is before `end` */
		p++;
	if (*p != ':' || p == line)
		return bad_name(line, p);
	struct rf_str name = { line, (size_t)(p - line) };
	if (name.n > lim->name)
		return RF_REJECT_NAME_LENGTH;
	do
		p++;
	while (*p == ' ' || *p == '\t');
	struct rf_str v = { p, 0 };
	enum rf_http_reject why = value(&p, end, lim->loose_values);
	if (why)
		return why;
	v.n = (size_t)(p - v.p);
	while (v.n && (v.p[v.n - 1] == ' ' || v.p[v.n - 1] == '\t'))
		v.n--;
	enum rf_http_header_id id = rf_http_header_of(name);
	if (id == RF_HDR_OTHER && !lim->loose_names && lookalike(name))
		return RF_REJECT_NAME_LOOKALIKE;
	*ret = (struct rf_http_header){ name, v, (uint8_t)id, rf_http_header_flags(id) & RF_HDR_HOP };
	*at = p + 2;
	return RF_HTTP_ACCEPTED;
}

static enum rf_http_reject repeated(enum rf_http_header_id id)
{
	switch (id) {
	case RF_HDR_HOST:
		return RF_REJECT_HOST_REPEATED;
	case RF_HDR_CONTENT_LENGTH:
		return RF_REJECT_LENGTH_REPEATED;
	case RF_HDR_TRANSFER_ENCODING:
		return RF_REJECT_CODING_REPEATED;
	default:
		return rf_http_header_flags(id) & RF_HDR_ONE ? RF_REJECT_REPEATED : RF_HTTP_ACCEPTED;
	}
}

int http_parse_fields(struct rf_http_scan *scan, const char *at, const char *end, const struct rf_http_limits *lim,
	struct rf_arena *arena, struct rf_http_head *head)
{
	struct rf_http_header *h = rf_arena_array(arena, scan->lines, sizeof *h);
	if (!h)
		return http_refuse(scan, RF_REJECT_NO_MEMORY);
	memset(head->first, 0, sizeof head->first);
	for (unsigned i = 0; i < scan->lines; i++) {
		enum rf_http_reject why = http_parse_field(&at, end, lim, &h[i]);
		uint8_t id = h[i].id;
		if (!why && id != RF_HDR_OTHER) {
			if (head->first[id])
				why = repeated((enum rf_http_header_id)id);
			else
				head->first[id] = (uint8_t)(i + 1);
		}
		if (why)
			return http_refuse(scan, why);
	}
	head->headers = h;
	head->count = scan->lines;
	return RF_OK;
}

/* White space of any kind but plain spaces around a framing value is a way to hide it from another reader. */
static bool tabs_around(const struct rf_http_header *f)
{
	for (const char *p = f->name.p + f->name.n + 1; *p != '\r'; p++)
		if (*p == '\t')
			return true;
	return false;
}

static enum rf_http_reject length(const struct rf_http_header *f, uint64_t *ret)
{
	struct rf_str v = f->value;
	for (size_t i = 0; i < v.n; i++)
		if (!http_is(v.p[i], CLASS_DIGIT))
			return v.p[i] == ',' ? RF_REJECT_LENGTH_REPEATED : RF_REJECT_LENGTH;
	if (v.n == 0 || (v.n > 1 && v.p[0] == '0') || tabs_around(f))
		return RF_REJECT_LENGTH; /* a leading zero is octal to some */
	uint64_t n;
	if (!rf_str_u64(v, &n) || n > INT64_MAX)
		return RF_REJECT_LENGTH_OVERFLOW;
	*ret = n;
	return RF_HTTP_ACCEPTED;
}

enum rf_http_reject http_framing(struct rf_http_head *head)
{
	const struct rf_http_header *cl = rf_http_header(head, RF_HDR_CONTENT_LENGTH);
	const struct rf_http_header *te = rf_http_header(head, RF_HDR_TRANSFER_ENCODING);
	head->body = RF_BODY_NONE;
	head->content_length = RF_HTTP_NO_LENGTH;
	if (te && cl) /* [RFC 9112 6.3] allows refusal */
		return RF_REJECT_LENGTH_AND_CODING;
	if (te && head->minor == 0) /* [RFC 9112 6.1] */
		return RF_REJECT_CODING_VERSION;
	if (te && (!rf_str_ieq(te->value, RF_STR("chunked")) || tabs_around(te)))
		return RF_REJECT_CODING;
	if (te)
		head->body = RF_BODY_CHUNKED;
	if (!cl)
		return RF_HTTP_ACCEPTED;
	head->body = RF_BODY_LENGTH;
	return length(cl, &head->content_length);
}

const struct rf_http_header *rf_http_header_next(const struct rf_http_head *h, const struct rf_http_header *after)
{
	for (const struct rf_http_header *f = after + 1; f < h->headers + h->count; f++)
		if (f->id == after->id && (f->id != RF_HDR_OTHER || rf_str_ieq(f->name, after->name)))
			return f;
	return NULL;
}
