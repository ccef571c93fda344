/* policy/lex: white space, words, strings, numbers and addresses out of an expression's text. */
#include "policy/lex.h"
#include <stdarg.h>
#include <stdio.h>

enum { HASHES = 255, NUMBER_SIZE = 24 };

int lex_fail(struct lexer *l, size_t at, int code, const char *fmt, ...)
{
	char text[sizeof l->e->text];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	unsigned line = 1, column = 1;
	for (size_t i = 0; i < at && i < l->text.n; i++) {
		column = l->text.p[i] == '\n' ? 1 : column + 1;
		line += l->text.p[i] == '\n';
	}
	return rf_fail_at(l->e, code, line, column, "%s", text);
}

static bool space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool letter(char c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool name_byte(char c)
{
	return letter(c) || digit(c) || c == '_' || c == '.';
}

static char peek(const struct lexer *l, size_t ahead)
{
	return ahead < l->text.n - l->at ? l->text.p[l->at + ahead] : '\0';
}

size_t lex_here(struct lexer *l)
{
	while (l->at < l->text.n && space(l->text.p[l->at]))
		l->at++;
	return l->at;
}

bool lex_end(struct lexer *l)
{
	return lex_here(l) == l->text.n;
}

bool lex_peek_mark(struct lexer *l, const char *mark)
{
	return rf_str_starts(rf_str_skip(l->text, lex_here(l)), rf_str_z(mark));
}

bool lex_mark(struct lexer *l, const char *mark)
{
	if (!lex_peek_mark(l, mark))
		return false;
	l->at += strlen(mark);
	return true;
}

bool lex_word(struct lexer *l, const char *word)
{
	size_t n = strlen(word);
	if (!lex_peek_mark(l, word) || name_byte(peek(l, n)))
		return false;
	l->at += n;
	return true;
}

bool lex_name(struct lexer *l, struct rf_str *ret)
{
	lex_here(l);
	size_t n = 0;
	if (!letter(peek(l, 0)))
		return false;
	while (name_byte(peek(l, n)))
		n++;
	*ret = (struct rf_str){ l->text.p + l->at, n };
	l->at += n;
	return true;
}

bool lex_at_string(struct lexer *l)
{
	lex_here(l);
	return peek(l, 0) == '"' || (peek(l, 0) == 'r' && (peek(l, 1) == '"' || peek(l, 1) == '#'));
}

/* r"..." or r#"..."# with as many hashes as are needed. */
static int raw_string(struct lexer *l, struct rf_str *ret)
{
	size_t start = l->at, hashes = 0;
	while (peek(l, 1 + hashes) == '#')
		hashes++;
	if (hashes > HASHES)
		return lex_fail(l, start, RF_E_SYNTAX, "a raw string takes at most %d #", HASHES);
	if (peek(l, 1 + hashes) != '"')
		return lex_fail(l, start + 1 + hashes, RF_E_SYNTAX, "a raw string needs a quote here: r#\"...\"#");
	size_t from = start + hashes + 2;
	for (size_t i = from; i < l->text.n; i++) {
		size_t k = 0;
		if (l->text.p[i] != '"')
			continue;
		while (k < hashes && i + 1 + k < l->text.n && l->text.p[i + 1 + k] == '#')
			k++;
		if (k < hashes)
			continue;
		*ret = (struct rf_str){ l->text.p + from, i - from };
		l->at = i + 1 + hashes;
		return RF_OK;
	}
	return lex_fail(l, start, RF_E_SYNTAX, "this raw string does not end");
}

static int hex_digit(char c)
{
	return digit(c) ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

static bool octal(char c)
{
	return c >= '0' && c <= '7';
}

/* The byte that the escape at the cursor stands for: \" \\ \xHH or \ooo. */
static int escape(struct lexer *l, char *ret)
{
	char c = peek(l, 1);
	int hi = hex_digit(peek(l, 2)), lo = hi < 0 ? -1 : hex_digit(peek(l, 3));
	if (c == '"' || c == '\\') {
		*ret = c;
		l->at += 2;
	} else if (c == 'x' && lo >= 0) {
		*ret = (char)(hi << 4 | lo);
		l->at += 4;
	} else if (c >= '0' && c <= '3' && octal(peek(l, 2)) && octal(peek(l, 3))) {
		*ret = (char)((c - '0') << 6 | (peek(l, 2) - '0') << 3 | (peek(l, 3) - '0'));
		l->at += 4;
	} else {
		return lex_fail(l, l->at, RF_E_SYNTAX,
			"unknown escape: a string takes \\\" \\\\ \\xHH and \\ooo; r\"...\" takes bytes as they are");
	}
	return RF_OK;
}

/* At least as many bytes as the string at the cursor stands for. */
static size_t quoted_size(const struct lexer *l)
{
	size_t i = l->at;
	while (i < l->text.n && l->text.p[i] != '"')
		i += l->text.p[i] == '\\' ? 2 : 1;
	return i - l->at + 2;
}

static int quoted_string(struct lexer *l, bool regex, struct rf_str *ret)
{
	size_t start = l->at++, n = 0;
	char *to = rf_arena_alloc(l->arena, quoted_size(l));
	if (!to)
		return lex_fail(l, start, RF_E_NOMEM, "the expression needs too much memory");
	while (l->at < l->text.n) {
		char c = peek(l, 0);
		if (c == '"') {
			l->at++;
			*ret = (struct rf_str){ to, n };
			return RF_OK;
		}
		bool plain = c != '\\' || (regex && peek(l, 1) != '"');
		if (plain) {
			unsigned take = c == '\\' && peek(l, 1) == '\\' ? 2 : 1; /* so that \\" ends the pattern */
			memcpy(to + n, l->text.p + l->at, take);
			n += take;
			l->at += take;
		} else if (escape(l, &to[n++])) {
			return l->e->code;
		}
	}
	return lex_fail(l, start, RF_E_SYNTAX, "this string does not end");
}

int lex_string(struct lexer *l, bool regex, struct rf_str *ret)
{
	size_t here = lex_here(l);
	if (!lex_at_string(l))
		return lex_fail(l, here, RF_E_SYNTAX, "expected a string in quotes here");
	return peek(l, 0) == 'r' ? raw_string(l, ret) : quoted_string(l, regex, ret);
}

int lex_int(struct lexer *l, int64_t *ret)
{
	size_t start = lex_here(l);
	bool minus = peek(l, 0) == '-';
	size_t at = minus;
	unsigned base = 10;
	if (peek(l, at) == '0' && (peek(l, at + 1) | 0x20) == 'x') {
		base = 16;
		at += 2;
	} else if (peek(l, at) == '0' && digit(peek(l, at + 1))) {
		base = 8;
		at++;
	}
	uint64_t v = 0;
	size_t first = at;
	for (int d; (d = hex_digit(peek(l, at))) >= 0 && (unsigned)d < base; at++)
		if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, (uint64_t)d, &v) || v > INT64_MAX)
			return lex_fail(l, start, RF_E_RANGE, "this number does not fit into 64 bits");
	if (at == first)
		return lex_fail(l, start, RF_E_SYNTAX, "expected an integer here");
	if (letter(peek(l, at)) || digit(peek(l, at)) || peek(l, at) == '_')
		return lex_fail(l, l->at + at, RF_E_SYNTAX, "this does not belong to an integer");
	l->at += at;
	*ret = minus ? -(int64_t)v : (int64_t)v;
	return RF_OK;
}

int lex_prefix(struct lexer *l, struct rf_prefix *ret, bool *ret_slash)
{
	size_t start = lex_here(l), n = 0;
	while ((hex_digit(peek(l, n)) >= 0 || peek(l, n) == ':' || peek(l, n) == '.' || peek(l, n) == '/') &&
		!(peek(l, n) == '.' && peek(l, n + 1) == '.'))
		n++;
	struct rf_str text = { l->text.p + start, n };
	bool slash = rf_str_find(text, '/') < n;
	if (n == 0)
		return lex_fail(l, start, RF_E_SYNTAX, "expected an address here");
	if (!rf_prefix_parse(text, false, ret))
		return lex_fail(l, start, RF_E_SYNTAX, "`%.*s` is not an address or a prefix", n < 60 ? (int)n : 60, text.p);
	if (slash && !rf_prefix_parse(text, true, ret)) {
		char right[RF_IP_TEXT];
		return lex_fail(l, start, RF_E_INVALID, "`%.*s` has host bits set, did you mean `%s`?", n < 60 ? (int)n : 60,
			text.p, rf_prefix_str(ret, right));
	}
	l->at += n;
	*ret_slash = slash;
	return RF_OK;
}
