/* base/err: one error space, one sentence per error.
 *
 * A function that can fail returns `int`: RF_OK (0) or a negative RF_E_* of tbl/errors.def, and
 * leaves its outputs untouched on failure. Where a person will read the reason, the function
 * also takes a `struct rf_err *` (never NULL there) and fills it with rf_fail(). Libraries
 * never log: the layer that decides does, once.
 */
#pragma once
#include <stddef.h>
#include "base/str.h"

enum {
	RF_OK = 0,
	RF_E_FIRST_ = -1000,
#define RF_ERR(name, http, sentence) RF_E_##name,
#include "tbl/errors.def"
#undef RF_ERR
};

struct rf_err {
	int code;          /* RF_E_* */
	unsigned line;     /* 1-based place in the input, 0 where unknown */
	unsigned column;
	char pointer[128]; /* JSON pointer [RFC 6901] to the culprit, "" where there is none */
	char file[128];    /* file or other name of the input, "" where there is none */
	char text[512];    /* what was wrong and what to do, a sentence without final stop */
};

/* Record a failure and return `code`. Keeps nothing of an earlier one. */
int rf_fail(struct rf_err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As rf_fail, with a place in a text. */
int rf_fail_at(struct rf_err *e, int code, unsigned line, unsigned column, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* As rf_fail, with a JSON pointer such as "/hostnames/0". */
int rf_fail_ptr(struct rf_err *e, int code, const char *pointer, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* "file:line:column: pointer: text" with the parts that are known; always NUL-terminated. */
char *rf_err_str(const struct rf_err *e, char *buf, size_t size);

const char *rf_code_name(int code);     /* "NOT_FOUND" */
const char *rf_code_sentence(int code); /* "there is no such object" */
int rf_code_http(int code);             /* HTTP status of the API */
