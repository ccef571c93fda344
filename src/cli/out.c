/* cli/out: answers for people and for programs.
 *
 * A table has a head line and columns as wide as their widest cell. On a terminal it is cut to its width, the widest
 * column first, and states have colours unless NO_COLOR is set. Texts come from devices and may hold anything: bytes
 * that a terminal would obey are shown as "?".
 */
#include <stdarg.h>
#include <stdlib.h>
#include "cli/cli.h"

enum { CELL_LEAST = 8 }; /* a column is not cut below this */

const json_t *cli_at(const json_t *object, const char *path, size_t n)
{
	const json_t *at = object;
	while (n && at) {
		size_t k = rf_str_find((struct rf_str){ path, n }, '.');
		char name[64];
		snprintf(name, sizeof name, "%.*s", (int)k, path);
		at = json_object_get(at, name);
		path += k < n ? k + 1 : k;
		n -= k < n ? k + 1 : k;
	}
	return at;
}

static void add_clean(struct rf_buf *to, struct rf_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char ch = (unsigned char)s.p[i];
		bool c1 = ch == 0xc2 && i + 1 < s.n && ((unsigned char)s.p[i + 1] & 0xe0) == 0x80; /* U+0080 to U+009F */
		if (c1)
			i++;
		rf_buf_addc(to, ch < 0x20 || ch == 0x7f || c1 ? '?' : (char)ch);
	}
}

static void cell_array(struct rf_buf *to, const json_t *value)
{
	size_t i;
	json_t *v;
	json_array_foreach(value, i, v) {
		if (i)
			rf_buf_addc(to, ' ');
		const json_t *name = json_object_get(v, "url");
		if (!name)
			name = json_object_get(v, "name");
		cli_cell(to, json_is_object(v) && name ? name : v);
	}
	if (json_array_size(value) == 0)
		rf_buf_addc(to, '-');
}

void cli_cell(struct rf_buf *to, const json_t *value)
{
	if (json_is_string(value) && json_string_length(value)) {
		struct rf_str s = { json_string_value(value), json_string_length(value) };
		size_t line = rf_str_find(s, '\n');
		add_clean(to, (struct rf_str){ s.p, line });
		if (line + 1 < s.n)
			rf_buf_printf(to, " ...");
	} else if (json_is_integer(value)) {
		rf_buf_printf(to, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	} else if (json_is_real(value)) {
		rf_buf_printf(to, "%g", json_real_value(value));
	} else if (json_is_boolean(value)) {
		rf_buf_printf(to, json_is_true(value) ? "yes" : "no");
	} else if (json_is_array(value)) {
		cell_array(to, value);
	} else if (json_is_object(value)) {
		char *z = json_dumps(value, JSON_COMPACT);
		add_clean(to, rf_str_z(z));
		free(z);
	} else {
		rf_buf_addc(to, '-');
	}
}

size_t cli_columns(struct rf_str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

/* Bytes of the first `columns` of s. */
static size_t cut_at(struct rf_str s, size_t columns)
{
	size_t i = 0;
	for (size_t n = 0; i < s.n; i++) {
		if (((unsigned char)s.p[i] & 0xc0) != 0x80 && n++ == columns)
			break;
	}
	return i;
}

struct column { struct rf_str path, title; size_t width; };

static size_t split_columns(const char *spec, struct column col[CLI_COLUMNS_MAX])
{
	struct rf_str rest = rf_str_z(spec), word;
	size_t n = 0;
	while (n < CLI_COLUMNS_MAX && rf_str_split(&rest, ' ', &word)) {
		size_t eq = rf_str_find(word, '=');
		col[n].path = (struct rf_str){ word.p, eq };
		col[n].title = eq < word.n ? rf_str_skip(word, eq + 1) : word;
		col[n].width = cli_columns(col[n].title);
		n++;
	}
	return n;
}

static const char *colour_of(struct rf_str cell)
{
	static const struct { struct rf_str word; const char *colour; } table[] = {
		{ RF_STR("active"), "\33[32m" }, { RF_STR("allow"), "\33[32m" }, { RF_STR("revoked"), "\33[31m" },
		{ RF_STR("block"), "\33[31m" }, { RF_STR("error"), "\33[31m" }, { RF_STR("quarantined"), "\33[33m" },
		{ RF_STR("expired"), "\33[33m" }, { RF_STR("log"), "\33[33m" },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (rf_str_eq(table[i].word, cell))
			return table[i].colour;
	return NULL;
}

static void print_cell(struct cli *c, struct rf_str s, size_t width, bool last, const char *colour)
{
	size_t n = cli_columns(s), bytes = s.n;
	bool cut = c->width && n > width;
	if (cut) {
		bytes = cut_at(s, width - 1);
		n = width;
	}
	fprintf(c->out, "%s%.*s%s%s", colour ? colour : "", (int)bytes, s.p, cut ? "~" : "", colour ? "\33[0m" : "");
	if (!last)
		fprintf(c->out, "%*s", (int)(width > n ? width - n : 0) + 2, "");
}

/* Take from the widest until the line fits. */
static void fit(struct cli *c, struct column *col, size_t n)
{
	for (;;) {
		size_t total = 2 * (n - 1), widest = 0;
		for (size_t i = 0; i < n; i++) {
			total += col[i].width;
			if (col[i].width > col[widest].width)
				widest = i;
		}
		if (!c->width || total <= c->width || col[widest].width <= CELL_LEAST)
			return;
		size_t over = total - c->width, room = col[widest].width - CELL_LEAST;
		size_t second = CELL_LEAST;
		for (size_t i = 0; i < n; i++)
			if (i != widest && col[i].width > second && col[i].width < col[widest].width)
				second = col[i].width;
		size_t step = col[widest].width - second;
		if (step == 0 || step > over)
			step = over;
		col[widest].width -= step < room ? step : room;
	}
}

static int print_table(struct cli *c, const json_t *array, const char *columns)
{
	struct column col[CLI_COLUMNS_MAX];
	size_t n = split_columns(columns, col), i;
	json_t *row;
	RF_BUF_AUTO cell = { 0 };
	json_array_foreach(array, i, row)
		for (size_t k = 0; k < n; k++) {
			rf_buf_clear(&cell);
			cli_cell(&cell, cli_at(row, col[k].path.p, col[k].path.n));
			size_t w = cli_columns(rf_buf_str(&cell));
			if (w > col[k].width)
				col[k].width = w;
		}
	fit(c, col, n);
	for (size_t k = 0; k < n; k++) {
		rf_buf_clear(&cell);
		for (size_t j = 0; j < col[k].title.n; j++)
			rf_buf_addc(&cell, col[k].title.p[j] >= 'a' && col[k].title.p[j] <= 'z' ?
					   (char)(col[k].title.p[j] - 32) : col[k].title.p[j] == '_' ? ' ' : col[k].title.p[j]);
		print_cell(c, rf_buf_str(&cell), col[k].width, k + 1 == n, c->colour ? "\33[1m" : NULL);
	}
	fputc('\n', c->out);
	json_array_foreach(array, i, row) {
		for (size_t k = 0; k < n; k++) {
			rf_buf_clear(&cell);
			cli_cell(&cell, cli_at(row, col[k].path.p, col[k].path.n));
			print_cell(c, rf_buf_str(&cell), col[k].width, k + 1 == n,
				   c->colour ? colour_of(rf_buf_str(&cell)) : NULL);
		}
		fputc('\n', c->out);
	}
	return RF_OK;
}

int cli_print(struct cli *c, const json_t *value)
{
	if (c->format == CLI_YAML)
		return cli_yaml_write(value, c->out);
	if (json_dumpf(value, c->out, JSON_INDENT(2) | JSON_ENCODE_ANY) != 0)
		return rf_fail(&c->e, RF_E_IO, "cannot write the answer");
	fputc('\n', c->out);
	return RF_OK;
}

static void print_ids(struct cli *c, const json_t *array)
{
	size_t i;
	json_t *row;
	json_array_foreach(array, i, row) {
		RF_BUF_AUTO cell = { 0 };
		const json_t *id = json_object_get(row, "id");
		cli_cell(&cell, id ? id : row);
		fprintf(c->out, "%s\n", rf_buf_z(&cell));
	}
}

int cli_print_list(struct cli *c, const json_t *array, const char *columns)
{
	if (c->quiet) {
		print_ids(c, array);
		return RF_OK;
	}
	if (c->format != CLI_TABLE)
		return cli_print(c, array);
	return print_table(c, array, columns);
}

/* Members as lines "name   value"; what is inside objects as "outer.inner". Empty ones are left out. */
static void print_members(struct cli *c, const json_t *object, const char *prefix, int width)
{
	const char *name;
	json_t *v;
	json_object_foreach((json_t *)object, name, v) {
		char full[128];
		RF_BUF_AUTO cell = { 0 };
		snprintf(full, sizeof full, "%s%s%s", prefix, prefix[0] ? "." : "", name);
		if (json_is_object(v) && strlen(full) < 64) {
			print_members(c, v, full, width);
			continue;
		}
		if (json_is_null(v) || (json_is_string(v) && !json_string_length(v)) || (json_is_array(v) && !json_array_size(v)))
			continue;
		cli_cell(&cell, v);
		fprintf(c->out, "%s%-*s%s  %s\n", c->colour ? "\33[1m" : "", width, full, c->colour ? "\33[0m" : "", rf_buf_z(&cell));
	}
}

int cli_print_object(struct cli *c, const json_t *object)
{
	const char *id = json_string_value(json_object_get(object, "id"));
	if (c->quiet) {
		if (id)
			fprintf(c->out, "%s\n", id);
		return RF_OK;
	}
	if (c->format != CLI_TABLE || !json_is_object(object))
		return cli_print(c, object);
	print_members(c, object, "", 24);
	return RF_OK;
}

int cli_print_done(struct cli *c, const char *sentence, const json_t *object)
{
	static const char *const names[] = { "name", "hostname", "ref", "common_name", "description", "id" };
	if (c->quiet || c->format != CLI_TABLE)
		return json_is_object(object) ? cli_print_object(c, object) : RF_OK;
	RF_BUF_AUTO cell = { 0 };
	const char *id = json_string_value(json_object_get(object, "id"));
	const json_t *name = NULL;
	for (size_t i = 0; i < sizeof names / sizeof *names && !json_string_length(name); i++)
		name = json_object_get(object, names[i]);
	if (name)
		cli_cell(&cell, name);
	else if (id)
		rf_buf_printf(&cell, "%s", id);
	const char *at = strstr(sentence, "%s");
	int before = at ? (int)(at - sentence) : (int)strlen(sentence);
	fprintf(c->out, "%.*s%s%s", before, sentence, at ? rf_buf_z(&cell) : "", at ? at + 2 : "");
	if (id && strcmp(id, rf_buf_z(&cell)) != 0)
		fprintf(c->out, " (%s)", id);
	fprintf(c->out, "%s\n", c->dry_run ? ": would be done; this was a dry run" : "");
	return RF_OK;
}

void cli_note(struct cli *c, const char *fmt, ...)
{
	RF_BUF_AUTO text = { 0 }, clean = { 0 };
	va_list ap;
	va_start(ap, fmt);
	rf_buf_vprintf(&text, fmt, ap);
	va_end(ap);
	add_clean(&clean, rf_buf_str(&text));
	fprintf(c->err, "%s\n", rf_buf_z(&clean));
}
