#include "base/err.h"
#include <stdarg.h>
#include <stdio.h>

static const struct {
	int code;
	int http;
	const char *name;
	const char *sentence;
} table[] = {
	{ RF_OK, 200, "OK", "it went well" },
#define RF_ERR(name, http, sentence) { RF_E_##name, http, #name, sentence },
#include "tbl/errors.def"
#undef RF_ERR
};

static size_t row(int code)
{
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (table[i].code == code)
			return i;
	return sizeof table / sizeof *table - 1; /* INTERNAL is the last row */
}

const char *rf_code_name(int code) { return table[row(code)].name; }
const char *rf_code_sentence(int code) { return table[row(code)].sentence; }
int rf_code_http(int code) { return table[row(code)].http; }

static int fill(struct rf_err *e, int code, const char *fmt, va_list ap)
{
	*e = (struct rf_err){ .code = code };
	vsnprintf(e->text, sizeof e->text, fmt, ap);
	return code;
}

int rf_fail(struct rf_err *e, int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fill(e, code, fmt, ap);
	va_end(ap);
	return code;
}

int rf_fail_at(struct rf_err *e, int code, unsigned line, unsigned column, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fill(e, code, fmt, ap);
	va_end(ap);
	e->line = line;
	e->column = column;
	return code;
}

int rf_fail_ptr(struct rf_err *e, int code, const char *pointer, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fill(e, code, fmt, ap);
	va_end(ap);
	snprintf(e->pointer, sizeof e->pointer, "%s", pointer);
	return code;
}

char *rf_err_str(const struct rf_err *e, char *buf, size_t size)
{
	char place[32] = "";
	if (e->line)
		snprintf(place, sizeof place, "%s%u:%u", e->file[0] ? ":" : "", e->line, e->column);
	snprintf(buf, size, "%s%s%s%s%s%s", e->file, place, e->file[0] || e->line ? ": " : "",
		 e->pointer, e->pointer[0] ? ": " : "", e->text[0] ? e->text : rf_code_sentence(e->code));
	return buf;
}
