/* wire/http1_req: the head of a request.
 *
 * LINE (method, target, version) -> FIELDS -> HOST -> FRAMING -> CONNECTION -> UPGRADE; each step
 * refuses or goes on, and the order is fixed so that a message with several faults has one reason.
 */
#include "wire/http1_int.h"

static enum rf_http_reject method(struct rf_str *rest, const struct rf_http_limits *lim, struct rf_http_head *head)
{
	size_t n = 0;
	while (n < rest->n && http_is(rest->p[n], CLASS_TOKEN))
		n++;
	if (n > lim->method)
		return RF_REJECT_METHOD_LENGTH;
	if (n == rest->n)
		return RF_REJECT_REQUEST_LINE;
	if (rest->p[n] == '\r')
		return RF_REJECT_BARE_CR;
	if (n == 0 || rest->p[n] != ' ')
		return RF_REJECT_METHOD;
	head->method_s = (struct rf_str){ rest->p, n };
	head->method = rf_http_method_of(head->method_s);
	*rest = rf_str_skip(*rest, n + 1);
	return RF_HTTP_ACCEPTED;
}

static enum rf_http_reject bad_target_byte(char c)
{
	return c == '#' ? RF_REJECT_TARGET_FRAGMENT : c == '\r' ? RF_REJECT_BARE_CR : RF_REJECT_TARGET;
}

/* Up to the space behind it; only bytes are checked, the form comes later. */
static enum rf_http_reject target(struct rf_str *rest, const struct rf_http_limits *lim, struct rf_http_head *head)
{
	unsigned good = CLASS_TARGET | (lim->loose_target ? CLASS_LOOSE : 0);
	bool authority = head->method == RF_HTTP_CONNECT; /* brackets of an IPv6 address */
	const char *p = rest->p, *end = p + rest->n;
	if (rest->n == 0 || *p == ' ')
		return RF_REJECT_REQUEST_LINE;
	for (; p < end && *p != ' '; p++) {
		if (!http_is(*p, good) && !((*p == '[' || *p == ']') && (authority || *rest->p != '/')))
			return bad_target_byte(*p);
		if (*p == '%' && !lim->loose_escape &&
		    (end - p < 3 || !http_is(p[1], CLASS_HEX) || !http_is(p[2], CLASS_HEX)))
			return RF_REJECT_TARGET_ESCAPE;
	}
	head->target = (struct rf_str){ rest->p, (size_t)(p - rest->p) };
	*rest = rf_str_skip(*rest, head->target.n);
	return RF_HTTP_ACCEPTED;
}

/* Begins with the space before it [RFC 9112 2.3]. */
static enum rf_http_reject version(struct rf_str rest, struct rf_http_head *head)
{
	if (rest.n == 0)
		return RF_REJECT_VERSION_MISSING;
	rest = rf_str_skip(rest, 1);
	if (memchr(rest.p, '\r', rest.n))
		return RF_REJECT_BARE_CR;
	if (rf_str_eq(rest, RF_STR("HTTP/1.1")))
		head->minor = 1;
	else if (rf_str_eq(rest, RF_STR("HTTP/1.0")))
		head->minor = 0;
	else if (rf_str_eq(rest, RF_STR("HTTP/2.0")) && rf_str_eq(head->method_s, RF_STR("PRI")))
		return RF_REJECT_HTTP2_PREFACE; /* [RFC 9113 3.4] */
	else if (rf_str_starts(rest, RF_STR("HTTP/")) && rest.n == 8 && http_is(rest.p[5], CLASS_DIGIT) &&
	         rest.p[6] == '.' && http_is(rest.p[7], CLASS_DIGIT))
		return RF_REJECT_VERSION;
	else
		return RF_REJECT_REQUEST_LINE;
	return RF_HTTP_ACCEPTED;
}

static void split_query(struct rf_http_head *head, struct rf_str s)
{
	size_t mark = rf_str_find(s, '?');
	head->has_query = mark < s.n;
	head->path = (struct rf_str){ s.p, mark };
	head->query = rf_str_skip(s, mark + 1);
}

/* scheme://authority[/path][?query] [RFC 9112 3.2.2] */
static enum rf_http_reject absolute(struct rf_http_head *head)
{
	struct rf_str t = head->target;
	size_t colon = rf_str_find(t, ':');
	struct rf_str scheme = { t.p, colon };
	if (!rf_str_starts(rf_str_skip(t, colon), RF_STR("://")))
		return RF_REJECT_TARGET_FORM;
	if (!rf_str_ieq(scheme, RF_STR("http")) && !rf_str_ieq(scheme, RF_STR("https")))
		return RF_REJECT_TARGET_SCHEME;
	struct rf_str rest = rf_str_skip(t, colon + 3);
	size_t n = 0;
	while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
		n++;
	if (memchr(rest.p, '@', n))
		return RF_REJECT_TARGET_USERINFO; /* [RFC 9110 4.2.4] */
	head->form = RF_FORM_ABSOLUTE;
	head->scheme = scheme;
	head->authority = (struct rf_str){ rest.p, n };
	split_query(head, rf_str_skip(rest, n));
	if (head->path.n == 0) /* [RFC 9112 3.2.4] */
		head->path = head->method == RF_HTTP_OPTIONS && !head->has_query ? RF_STR("*") : RF_STR("/");
	for (size_t i = 0; i < rest.n; i++) /* brackets only in the authority */
		if ((rest.p[i] == '[' || rest.p[i] == ']') && i > n)
			return RF_REJECT_TARGET;
	return RF_HTTP_ACCEPTED;
}

/* [RFC 9112 3.2] */
static enum rf_http_reject form(struct rf_http_head *head)
{
	struct rf_str t = head->target;
	if (head->method == RF_HTTP_CONNECT) {
		if (memchr(t.p, '@', t.n))
			return RF_REJECT_TARGET_USERINFO;
		if (memchr(t.p, '/', t.n) || memchr(t.p, '?', t.n))
			return RF_REJECT_TARGET_FORM;
		head->form = RF_FORM_AUTHORITY;
		head->authority = t;
		head->path = RF_STR("");
		return RF_HTTP_ACCEPTED;
	}
	if (t.p[0] == '/') {
		head->form = RF_FORM_ORIGIN;
		split_query(head, t);
		return RF_HTTP_ACCEPTED;
	}
	if (!rf_str_eq(t, RF_STR("*")))
		return absolute(head);
	head->form = RF_FORM_ASTERISK;
	head->path = t;
	return head->method == RF_HTTP_OPTIONS ? RF_HTTP_ACCEPTED : RF_REJECT_TARGET_FORM;
}

static enum rf_http_reject request_line(struct rf_str line, const struct rf_http_limits *lim, struct rf_http_head *head)
{
	struct rf_str rest = line;
	enum rf_http_reject why = method(&rest, lim, head);
	if (!why)
		why = target(&rest, lim, head);
	if (!why)
		why = version(rest, head);
	return why ? why : form(head);
}

static uint16_t port_of(uint16_t port, struct rf_str scheme)
{
	return port ? port : rf_str_ieq(scheme, RF_STR("https")) ? 443 : 80;
}

/* Host must be there, be good, and be what the target says; then it is the host [RFC 9112 3.2]. */
static enum rf_http_reject host(struct rf_http_head *head)
{
	const struct rf_http_header *f = rf_http_header(head, RF_HDR_HOST);
	struct rf_str name = { NULL, 0 };
	uint16_t port = 0;
	bool v6 = false;
	if (!f && head->minor == 1)
		return RF_REJECT_HOST_MISSING;
	if (f && f->value.n == 0)
		return RF_REJECT_HOST_EMPTY;
	if (f && !rf_http_host_parse(f->value, &name, &port, &v6))
		return RF_REJECT_HOST;
	if (head->authority.p) {
		struct rf_str a;
		uint16_t a_port;
		bool a_v6;
		if (!rf_http_host_parse(head->authority, &a, &a_port, &a_v6) ||
		    (head->form == RF_FORM_AUTHORITY && a_port == 0))
			return RF_REJECT_HOST;
		bool same = f && rf_str_ieq(a, name) && a_v6 == v6 &&
			port_of(a_port, head->scheme) == port_of(port, head->scheme);
		if (f && !same)
			return RF_REJECT_HOST_DISAGREES;
		name = a, port = a_port, v6 = a_v6;
	}
	head->host = name;
	head->port = port;
	head->host_v6 = v6;
	return RF_HTTP_ACCEPTED;
}

static enum rf_http_reject expect(struct rf_http_head *head)
{
	const struct rf_http_header *f = rf_http_header(head, RF_HDR_EXPECT);
	if (f && !rf_str_ieq(f->value, RF_STR("100-continue")))
		return RF_REJECT_EXPECT;
	head->expect_continue = f && head->minor == 1 && head->body != RF_BODY_NONE && head->content_length != 0;
	return RF_HTTP_ACCEPTED; /* in HTTP/1.0 it is ignored [RFC 9110 10.1.1] */
}

/* 24 characters of base64 that stand for 16 bytes [RFC 6455 4.1]. */
static bool websocket_key(struct rf_str s)
{
	if (s.n != 24 || !rf_str_ends(s, RF_STR("==")))
		return false;
	for (size_t i = 0; i < 22; i++) {
		unsigned char c = rf_lower((unsigned char)s.p[i]);
		if (!(c >= 'a' && c <= 'z') && !http_is(s.p[i], CLASS_DIGIT) && c != '+' && c != '/')
			return false;
	}
	return true;
}

/* protocol-name["/"version] [RFC 9110 7.8] */
static bool is_protocol(struct rf_str s)
{
	size_t slash = rf_str_find(s, '/');
	return rf_http_is_token((struct rf_str){ s.p, slash }) &&
		(slash == s.n || rf_http_is_token(rf_str_skip(s, slash + 1)));
}

static enum rf_http_reject upgrade(struct rf_http_head *head, bool connection_upgrade)
{
	const struct rf_http_header *f = rf_http_header(head, RF_HDR_UPGRADE);
	bool websocket = false;
	unsigned count = 0;
	for (; f; f = rf_http_header_next(head, f)) {
		struct rf_str rest = f->value, item;
		for (; rf_http_list_next(&rest, &item); count++) {
			if (!is_protocol(item))
				return RF_REJECT_UPGRADE;
			websocket = websocket || rf_str_ieq(item, RF_STR("websocket"));
		}
	}
	if (count == 0 || !connection_upgrade)
		return RF_HTTP_ACCEPTED;
	head->upgrade = RF_UPGRADE_OTHER;
	if (!websocket || count > 1 || head->method != RF_HTTP_GET)
		return RF_HTTP_ACCEPTED;
	if (head->body != RF_BODY_NONE)
		return RF_REJECT_UPGRADE_BODY;
	if (!rf_str_eq(rf_http_value(head, RF_HDR_SEC_WEBSOCKET_VERSION), RF_STR("13")) ||
	    !websocket_key(rf_http_value(head, RF_HDR_SEC_WEBSOCKET_KEY)))
		return RF_REJECT_WEBSOCKET;
	head->upgrade = RF_UPGRADE_WEBSOCKET;
	return RF_HTTP_ACCEPTED;
}

static enum rf_http_reject conclude(const struct rf_http_limits *lim, struct rf_http_head *head)
{
	bool connection_upgrade = false;
	enum rf_http_reject why = host(head);
	if (!why)
		why = http_framing(head);
	if (!why && head->body != RF_BODY_NONE && head->content_length != 0 &&
	    (head->method == RF_HTTP_CONNECT || head->method == RF_HTTP_TRACE))
		why = RF_REJECT_BODY_FORBIDDEN; /* [RFC 9110 9.3.6, 9.3.8] */
	if (!why)
		why = expect(head);
	if (!why)
		why = http_connection(lim, head, &connection_upgrade);
	return why ? why : upgrade(head, connection_upgrade);
}

static void start(struct rf_http_head *head)
{
	memset(head, 0, offsetof(struct rf_http_head, first));
	head->body = RF_BODY_NONE;
	head->content_length = RF_HTTP_NO_LENGTH;
	head->upgrade = RF_UPGRADE_NONE;
	head->keep_alive = head->expect_continue = head->te_trailers = false;
}

int rf_http_parse_request(struct rf_http_scan *scan, struct rf_str in, const struct rf_http_limits *lim,
	struct rf_arena *arena, struct rf_http_head *head)
{
	size_t fields = 0, size = 0;
	start(head);
	int r = http_scan_head(scan, in, lim, request_line, head, &fields, &size);
	if (r)
		return r;
	r = http_parse_fields(scan, in.p + fields, in.p + size, lim, arena, head);
	if (r)
		return r;
	enum rf_http_reject why = conclude(lim, head);
	if (why)
		return http_refuse(scan, why);
	head->size = size;
	return RF_OK;
}
