/* wire/form: parts of a form, and media types by their first bytes.
 *
 *   rest -> the line of a boundary -> header lines -> an empty line -> body up to the next boundary
 */
#include "wire/form.h"
#include "base/err.h"

static bool space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct rf_str trim(struct rf_str s)
{
	while (s.n && space(s.p[0]))
		s = rf_str_skip(s, 1);
	while (s.n && space(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* A token, or a quoted string from after its first quote; *s is left behind it. */
static struct rf_str quoted(struct rf_str *s, struct rf_arena *a)
{
	char *to = rf_arena_alloc(a, s->n + 1);
	size_t n = 0, i = 0;
	while (to && i < s->n && s->p[i] != '"') {
		if (s->p[i] == '\\' && i + 1 < s->n)
			i++;
		to[n++] = s->p[i++];
	}
	*s = rf_str_skip(*s, i < s->n ? i + 1 : i);
	return (struct rf_str){ to, to ? n : 0 };
}

/* The end of one parameter: the next semicolon that is not inside quotes. */
static size_t param_end(struct rf_str s)
{
	bool in = false;
	size_t i = 0;
	for (; i < s.n && (in || s.p[i] != ';'); i++) {
		if (in && s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			in = !in;
	}
	return i < s.n ? i : s.n;
}

bool rf_header_param(struct rf_str value, struct rf_str name, struct rf_arena *a, struct rf_str *ret)
{
	value = rf_str_skip(value, param_end(value));
	while (value.n) {
		value = rf_str_skip(value, 1);
		struct rf_str one = { value.p, param_end(value) };
		size_t eq = rf_str_find(one, '=');
		value = rf_str_skip(value, one.n);
		if (eq == one.n || !rf_str_ieq(trim((struct rf_str){ one.p, eq }), name))
			continue;
		one = trim(rf_str_skip(one, eq + 1));
		if (one.n && one.p[0] == '"') {
			one = rf_str_skip(one, 1);
			*ret = quoted(&one, a);
		} else {
			*ret = one;
		}
		return true;
	}
	return false;
}

/* Where the next line of "--boundary" begins: its dashes, or s.n. */
static size_t find_boundary(struct rf_str s, struct rf_str boundary, bool at_start)
{
	for (size_t at = 0; at < s.n;) {
		struct rf_str line = rf_str_skip(s, at);
		if ((at || at_start) && rf_str_starts(line, RF_STR("--")) && rf_str_starts(rf_str_skip(line, 2), boundary))
			return at;
		const char *next = memchr(line.p, '\n', line.n);
		at = next ? (size_t)(next - s.p) + 1 : s.n;
	}
	return s.n;
}

static struct rf_str line_of(struct rf_str *rest)
{
	size_t n = rf_str_find(*rest, '\n');
	struct rf_str line = { rest->p, n };
	*rest = rf_str_skip(*rest, n < rest->n ? n + 1 : n);
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

static void header(struct rf_part *p, struct rf_str line)
{
	size_t colon = rf_str_find(line, ':');
	struct rf_str name = trim((struct rf_str){ line.p, colon }), value = trim(rf_str_skip(line, colon + 1));
	if (!value.p)
		value = RF_STR("");
	if (rf_str_ieq(name, RF_STR("content-disposition")) && !p->disposition.p)
		p->disposition = value;
	else if (rf_str_ieq(name, RF_STR("content-type")) && !p->type.p)
		p->type = value;
	else if (rf_str_ieq(name, RF_STR("content-transfer-encoding")) && !p->encoding.p)
		p->encoding = value;
}

/* The header lines; a line that begins with white space goes on from the one before [RFC 5322 2.2.3]. */
static int headers(struct rf_str *rest, struct rf_part *p)
{
	struct rf_str whole = *rest, field = { 0 };
	while (rest->n) {
		struct rf_str line = line_of(rest);
		if (whole.n - rest->n > RF_PART_HEADERS)
			return RF_E_TOO_LARGE;
		if (field.p && line.n && (line.p[0] == ' ' || line.p[0] == '\t')) {
			field.n = (size_t)(line.p + line.n - field.p);
			continue;
		}
		if (field.p)
			header(p, field);
		if (!line.n)
			return RF_OK;
		field = line;
	}
	if (field.p)
		header(p, field);
	return RF_OK;
}

static int param(struct rf_str value, const char *name, struct rf_arena *a, struct rf_str *ret)
{
	return rf_header_param(value, rf_str_z(name), a, ret) && !ret->p ? RF_E_NOMEM : RF_OK;
}

int rf_multipart_next(struct rf_str *rest, struct rf_str boundary, struct rf_arena *a, struct rf_part *ret)
{
	struct rf_part p = { .cut = true };
	struct rf_str s = rf_str_skip(*rest, find_boundary(*rest, boundary, true));
	struct rf_str line = line_of(&s);
	if (!line.n || rf_str_starts(rf_str_skip(line, 2 + boundary.n), RF_STR("--")) || !s.n)
		return RF_E_EOF;
	int r = headers(&s, &p);
	if (r)
		return r;
	size_t end = find_boundary(s, boundary, true);
	p.cut = end == s.n;
	p.body = (struct rf_str){ s.p, end };
	*rest = rf_str_skip(s, end);
	if (!p.cut && p.body.n && p.body.p[p.body.n - 1] == '\n') /* the line end belongs to the boundary */
		p.body.n -= 1 + (p.body.n > 1 && p.body.p[p.body.n - 2] == '\r');
	r = param(p.disposition, "name", a, &p.name);
	if (r == RF_OK)
		r = param(p.disposition, "filename", a, &p.filename);
	if (r == RF_OK)
		r = param(p.disposition, "filename*", a, &p.filename_star);
	if (r == RF_OK)
		*ret = p;
	return r;
}

const char *rf_media_of_bytes(struct rf_str body)
{
#define MAGIC(offset, bytes, type) { offset, { bytes, sizeof bytes - 1 }, type }
	static const struct { size_t at; struct rf_str magic; const char *type; } known[] = {
		MAGIC(0, "\xff\xd8\xff", "image/jpeg"), MAGIC(0, "\x89PNG\r\n\x1a\n", "image/png"),
		MAGIC(0, "GIF87a", "image/gif"), MAGIC(0, "GIF89a", "image/gif"), MAGIC(0, "BM", "image/bmp"),
		MAGIC(0, "II*\0", "image/tiff"), MAGIC(0, "MM\0*", "image/tiff"), MAGIC(8, "WEBP", "image/webp"),
		MAGIC(8, "WAVE", "audio/wav"), MAGIC(8, "AVI ", "video/x-msvideo"), MAGIC(4, "ftyp", "video/mp4"),
		MAGIC(0, "\x1a\x45\xdf\xa3", "video/webm"), MAGIC(0, "OggS", "audio/ogg"), MAGIC(0, "ID3", "audio/mpeg"),
		MAGIC(0, "fLaC", "audio/flac"), MAGIC(0, "%PDF-", "application/pdf"), MAGIC(0, "PK\x03\x04", "application/zip"),
		MAGIC(0, "\x1f\x8b", "application/gzip"), MAGIC(0, "\x28\xb5\x2f\xfd", "application/zstd"),
		MAGIC(0, "7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"), MAGIC(0, "Rar!\x1a\x07", "application/vnd.rar"),
		MAGIC(0, "\x7f" "ELF", "application/x-executable"), MAGIC(0, "MZ", "application/vnd.microsoft.portable-executable"),
		MAGIC(0, "#!", "text/x-shellscript"), MAGIC(0, "<?xml", "text/xml"), MAGIC(0, "<!DOCTYPE html", "text/html"),
		MAGIC(0, "<html", "text/html"), MAGIC(0, "<?php", "text/x-php"), MAGIC(257, "ustar", "application/x-tar"),
	};
#undef MAGIC
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (rf_str_starts(rf_str_skip(body, known[i].at), known[i].magic))
			return known[i].type;
	return NULL;
}
