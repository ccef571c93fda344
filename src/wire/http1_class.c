/* wire/http1_class: the byte classes, default limits and reasons of the HTTP/1.1 parser. */
#include "tbl/limits.h"
#include "wire/http1_int.h"

#define T CLASS_TOKEN
#define U CLASS_TARGET
#define L CLASS_LOOSE
#define D CLASS_DNS
#define N (CLASS_DIGIT | CLASS_HEX | T | U | D)
#define H (CLASS_HEX | T | U | D)
#define A (T | U | D)

const uint8_t rf_http_class[256] = {
	['!'] = T | U, ['"'] = L, ['#'] = T, ['$'] = T | U, ['%'] = T | U, ['&'] = T | U, ['\''] = T | U,
	['('] = U, [')'] = U, ['*'] = T | U, ['+'] = T | U, [','] = U, ['-'] = A, ['.'] = A, ['/'] = U,
	['0' ... '9'] = N, [':'] = U, [';'] = U, ['<'] = L, ['='] = U, ['>'] = L, ['?'] = U, ['@'] = U,
	['A' ... 'F'] = H, ['G' ... 'Z'] = A, ['['] = L, [']'] = L, ['^'] = T | L, ['_'] = A, ['`'] = T | L,
	['a' ... 'f'] = H, ['g' ... 'z'] = A, ['{'] = L, ['|'] = T | L, ['}'] = L, ['~'] = T | U,
};

const struct rf_http_limits rf_http_limits_default = {
	.line = RF_LIMIT_HTTP_LINE,
	.head = RF_LIMIT_HTTP_HEAD,
	.method = RF_LIMIT_HTTP_METHOD,
	.name = RF_LIMIT_HTTP_NAME,
	.headers = RF_LIMIT_HTTP_HEADERS,
	.connection = RF_LIMIT_HTTP_CONNECTION,
	.chunk_digits = RF_LIMIT_HTTP_CHUNK_DIGITS,
	.chunk_ext = RF_LIMIT_HTTP_CHUNK_EXT,
	.chunk_overhead = RF_LIMIT_HTTP_CHUNK_OVERHEAD,
	.trailers = RF_LIMIT_HTTP_TRAILERS,
};

static const struct {
	const char *name, *sentence;
	int status;
} rejects[RF_REJECTS] = {
	[RF_HTTP_ACCEPTED] = { "", "the message is good", 200 },
#define RF_REJECT(name, status, sentence) [RF_REJECT_##name] = { #name, sentence, status },
#include "tbl/rejects.def"
#undef RF_REJECT
};

const char *rf_http_reject_name(enum rf_http_reject r)
{
	return (unsigned)r < RF_REJECTS ? rejects[r].name : "";
}

const char *rf_http_reject_sentence(enum rf_http_reject r)
{
	return (unsigned)r < RF_REJECTS ? rejects[r].sentence : "";
}

int rf_http_reject_status(enum rf_http_reject r)
{
	return (unsigned)r < RF_REJECTS ? rejects[r].status : 400;
}

bool rf_http_is_token(struct rf_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!http_is(s.p[i], CLASS_TOKEN))
			return false;
	return s.n > 0;
}

bool rf_http_is_value(struct rf_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}
