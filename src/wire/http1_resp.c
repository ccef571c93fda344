/* wire/http1_resp: the head of a response, and how its body is delimited [RFC 9112 6.3].
 *
 * LINE -> FIELDS -> FRAMING (with status and method) -> CONNECTION.
 */
#include "wire/http1_int.h"

/* HTTP/1.x SP 3DIGIT [SP reason] [RFC 9112 4] */
static enum rf_http_reject status_line(struct rf_str line, const struct rf_http_limits *lim, struct rf_http_head *head)
{
	(void)lim;
	if (memchr(line.p, '\r', line.n))
		return RF_REJECT_BARE_CR;
	if (line.n < 12 || !rf_str_starts(line, RF_STR("HTTP/")) || line.p[6] != '.' || line.p[8] != ' ' ||
	    (line.n > 12 && line.p[12] != ' '))
		return RF_REJECT_STATUS_LINE;
	if (line.p[5] != '1' || (line.p[7] != '0' && line.p[7] != '1'))
		return http_is(line.p[5], CLASS_DIGIT) && http_is(line.p[7], CLASS_DIGIT) ? RF_REJECT_VERSION :
			RF_REJECT_STATUS_LINE;
	uint64_t status;
	if (!rf_str_u64((struct rf_str){ line.p + 9, 3 }, &status) || status < 100 || status > 599)
		return RF_REJECT_STATUS_LINE;
	head->reason = rf_str_skip(line, 13);
	if (!rf_http_is_value(head->reason))
		return RF_REJECT_STATUS_LINE;
	head->minor = (uint8_t)(line.p[7] - '0');
	head->status = (uint16_t)status;
	return RF_HTTP_ACCEPTED;
}

static enum rf_http_reject framing(struct rf_http_head *head, enum rf_http_method method)
{
	enum rf_http_reject why = http_framing(head);
	if (why)
		return why;
	bool interim = head->status < 200, tunnel = method == RF_HTTP_CONNECT && head->status / 100 == 2;
	bool chunked = head->body == RF_BODY_CHUNKED;
	if (interim || tunnel || head->status == 204) {
		if (chunked) /* [RFC 9112 6.1] */
			return RF_REJECT_CODING_FORBIDDEN;
		if (head->body == RF_BODY_LENGTH && (head->status != 204 || head->content_length != 0))
			return RF_REJECT_LENGTH_FORBIDDEN; /* [RFC 9110 8.6]; a zero misleads nobody after 204 */
		head->body = tunnel || head->status == 101 ? RF_BODY_TUNNEL : RF_BODY_NONE;
	} else if (method == RF_HTTP_HEAD || head->status == 304) {
		head->body = RF_BODY_NONE;
	} else if (head->body == RF_BODY_NONE) {
		head->body = RF_BODY_CLOSE;
		head->keep_alive = false;
	}
	return RF_HTTP_ACCEPTED;
}

static enum rf_http_reject conclude(const struct rf_http_limits *lim, enum rf_http_method method,
	struct rf_http_head *head)
{
	bool upgrade = false;
	enum rf_http_reject why = http_connection(lim, head, &upgrade);
	if (!why)
		why = framing(head, method);
	if (!why && head->status == 101 && !(upgrade && rf_http_header(head, RF_HDR_UPGRADE)))
		why = RF_REJECT_UPGRADE; /* [RFC 9110 15.2.2] */
	if (!why && head->status == 101)
		head->upgrade = rf_str_ieq(rf_http_value(head, RF_HDR_UPGRADE), RF_STR("websocket")) ?
			RF_UPGRADE_WEBSOCKET : RF_UPGRADE_OTHER;
	return why;
}

static int refuse_line(struct rf_http_scan *scan, int r)
{
	if (scan->reject == RF_REJECT_REQUEST_LINE || scan->reject == RF_REJECT_EMPTY_LINES)
		scan->reject = RF_REJECT_STATUS_LINE;
	if (scan->reject == RF_REJECT_TARGET_LENGTH)
		scan->reject = RF_REJECT_HEAD_LENGTH;
	return r;
}

int rf_http_parse_response(struct rf_http_scan *scan, struct rf_str in, const struct rf_http_limits *lim,
	struct rf_arena *arena, enum rf_http_method method, struct rf_http_head *head)
{
	size_t fields = 0, size = 0;
	*head = (struct rf_http_head){ .content_length = RF_HTTP_NO_LENGTH };
	if (in.n && in.p[0] != 'H') /* an empty line before a response is out of place */
		return http_refuse(scan, RF_REJECT_STATUS_LINE);
	int r = http_scan_head(scan, in, lim, status_line, head, &fields, &size);
	if (r)
		return refuse_line(scan, r);
	r = http_parse_fields(scan, in.p + fields, in.p + size, lim, arena, head);
	if (r)
		return r;
	enum rf_http_reject why = conclude(lim, method, head);
	if (why)
		return http_refuse(scan, why);
	head->size = size;
	return RF_OK;
}
