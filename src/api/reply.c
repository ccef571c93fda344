/* api/reply: the envelope: success, errors with numbers and pointers, messages, result, result_info.
 *
 * A failure has the findings of the call, or else its one error. The status is that of the first. Clients that
 * retry by themselves are told by X-Should-Retry whether that can help.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/admit.h"
#include "api/call.h"

static int code_number(int code)
{
	static const struct { int code, number; } table[] = {
#define RF_API_CODE(name, number) { RF_E_##name, number },
#include "tbl/api_codes.def"
#undef RF_API_CODE
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (table[i].code == code)
			return table[i].number;
	return 20020;
}

static json_t *finding(int code, const char *pointer, const char *text)
{
	json_t *j = json_pack("{s:i, s:s}", "code", code == RF_OK ? 0 : code_number(code), "message", text);
	if (j && pointer && pointer[0])
		json_object_set_new(j, "source", json_pack("{s:s}", "pointer", pointer));
	return j;
}

static void add(void *ctx, int code, const char *pointer, const char *text)
{
	struct rf_api_call *c = ctx;
	json_t **to = code == RF_OK ? &c->messages : &c->errors;
	if (!*to)
		*to = json_array();
	if (code != RF_OK && !c->first_error) {
		c->first_error = code;
		rf_fail_ptr(&c->err, code, pointer, "%s", text);
	}
	json_array_append_new(*to, finding(code, pointer, text));
}

struct rf_findings rf_api_findings(struct rf_api_call *c)
{
	return (struct rf_findings){ .add = add, .ctx = c };
}

int rf_api_fail(struct rf_api_call *c, int code, const char *pointer, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	add(c, code, pointer, text);
	return code;
}

void rf_api_message(struct rf_api_call *c, const char *pointer, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	add(c, RF_OK, pointer, text);
}

static bool temporary(int code)
{
	return code == RF_E_AGAIN || code == RF_E_NOMEM || code == RF_E_RATE || code == RF_E_FULL;
}

static json_t *or_empty(json_t *array)
{
	return array ? json_incref(array) : json_array();
}

static json_t *envelope(struct rf_api_call *c, bool good)
{
	json_t *j = json_pack("{s:b, s:o, s:o}", "success", good, "errors", or_empty(c->errors), "messages",
			      or_empty(c->messages));
	if (j)
		json_object_set(j, "result", good && c->result ? c->result : json_null());
	if (j && good && c->info)
		json_object_set(j, "result_info", c->info);
	return j;
}

static void write_json(struct rf_api_answer *ret, json_t *j)
{
	if (!j || !rf_doc_write(&ret->body, j)) {
		rf_buf_fini(&ret->body);
		ret->status = 503;
		rf_buf_add(&ret->body, RF_STR("{\"success\":false,\"errors\":[{\"code\":20014,\"message\":\"memory is "
					      "exhausted\"}],\"messages\":[],\"result\":null}"));
	}
	ret->content_type = "application/json";
}

static bool etag_matches(struct rf_str header, uint64_t etag)
{
	char z[32];
	snprintf(z, sizeof z, "\"%llu\"", (unsigned long long)etag);
	return rf_str_eq(header, rf_str_z(z)) || rf_str_eq(header, RF_STR("*"));
}

static void good_reply(struct rf_api_call *c, struct rf_api_answer *ret)
{
	ret->status = c->status ? c->status : 200;
	if (c->etag && !c->dry_run)
		rf_buf_printf(&c->headers, "Etag: \"%llu\"\r\n", (unsigned long long)c->etag);
	if (c->etag && c->req->if_none_match.n && c->req->method == RF_HTTP_GET &&
	    etag_matches(c->req->if_none_match, c->etag)) {
		ret->status = 304;
	} else if (c->text_type) {
		ret->content_type = c->text_type;
		ret->body = c->text;
		c->text = (struct rf_buf){ 0 };
	} else if (ret->status != 204) {
		json_t *j = envelope(c, true);
		write_json(ret, j);
		json_decref(j);
	}
}

void rf_reply(struct rf_api_call *c, int rc, struct rf_api_answer *ret)
{
	*ret = (struct rf_api_answer){ .status = 500 };
	if (rc == RF_OK && !c->errors) {
		good_reply(c, ret);
	} else {
		struct rf_err e = c->err; /* which `add` writes anew */
		if (e.line && !c->errors)
			rf_api_fail(c, rc, e.pointer, "%s (line %u, column %u)", e.text, e.line, e.column);
		else if (!c->errors)
			add(c, rc == RF_OK ? RF_E_INTERNAL : rc, e.pointer, e.text[0] ? e.text : rf_code_sentence(rc));
		ret->status = c->status >= 400 ? c->status : rf_code_http(c->first_error);
		rf_buf_printf(&c->headers, "X-Should-Retry: %s\r\n", temporary(c->first_error) ? "true" : "false");
		if (ret->status == 401)
			rf_buf_printf(&c->headers, "Www-Authenticate: Bearer\r\n");
		json_t *j = envelope(c, false);
		write_json(ret, j);
		json_decref(j);
	}
	ret->headers = c->headers;
	c->headers = (struct rf_buf){ 0 };
}

void rf_api_answer_fini(struct rf_api_answer *r)
{
	rf_buf_fini(&r->body);
	rf_buf_fini(&r->headers);
}

const char *rf_status_words(int status)
{
	static const struct { int status; const char *words; } table[] = {
		{ 200, "OK" }, { 204, "No Content" }, { 304, "Not Modified" }, { 400, "Bad Request" }, { 401, "Unauthorized" },
		{ 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" }, { 409, "Conflict" },
		{ 412, "Precondition Failed" }, { 413, "Content Too Large" }, { 415, "Unsupported Media Type" },
		{ 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" },
		{ 501, "Not Implemented" }, { 503, "Service Unavailable" }, { 507, "Insufficient Storage" },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (table[i].status == status)
			return table[i].words;
	return "Error";
}
