/* ctl/boot_yaml: one YAML file into settings, event by event.
 *
 * next() gives one event or an error with its place; mapping() walks keys against a table of rows by their dotted path;
 * what a key leads to is a value (scalar, list of networks), a deeper mapping, `listeners`, or `include`.
 *
 * Invariants: nothing is built in memory but the settings themselves. Aliases are refused, so that a small file cannot
 * grow large. Nesting is bounded by BOOT_NEST_MAX, includes by BOOT_INCLUDE_DEPTH.
 */
#include <glob.h>
#include <libgen.h>
#include <yaml.h>
#include "base/near.h"
#include "ctl/boot_in.h"

struct walk {
	yaml_parser_t parser;
	struct rf_boot *boot;
	struct rf_str text;
	const char *name, *dir;
	unsigned file, depth;
	struct rf_err *e;
};

struct table { /* where keys go */
	const struct boot_row *rows;
	size_t count;
	char *base;
	struct rf_boot_source *source;
	bool top;
};

struct seen { struct seen *next; const char *key; unsigned line; };

enum { PATH_MAX_KEY = 128 };

static int at_mark(struct walk *w, const yaml_mark_t *m, int r)
{
	size_t n = strlen(w->name), room = sizeof w->e->file - 1;
	w->e->line = (unsigned)m->line + 1;
	w->e->column = (unsigned)m->column + 1;
	memcpy(w->e->file, w->name + (n > room ? n - room : 0), n > room ? room + 1 : n + 1);
	return r;
}

/* The parser's own complaint. */
static int bad_yaml(struct walk *w)
{
	yaml_parser_t *p = &w->parser;
	yaml_mark_t m = p->problem_mark;
	if (p->error == YAML_READER_ERROR) { /* no mark, only an offset in bytes */
		m = (yaml_mark_t){ 0 };
		for (size_t i = 0; i < p->problem_offset && i < w->text.n; i++)
			m.column = w->text.p[i] == '\n' ? (m.line++, 0) : m.column + 1;
	}
	if (p->error == YAML_MEMORY_ERROR)
		return rf_fail(w->e, RF_E_NOMEM, "memory is exhausted");
	return at_mark(w, &m, rf_fail(w->e, RF_E_SYNTAX, "this is not YAML: %s%s%s", p->problem ? p->problem : "cannot be read",
				      p->context ? ", " : "", p->context ? p->context : ""));
}

static int next(struct walk *w, yaml_event_t *ev)
{
	if (!yaml_parser_parse(&w->parser, ev))
		return bad_yaml(w);
	if (ev->type != YAML_ALIAS_EVENT)
		return RF_OK;
	yaml_mark_t m = ev->start_mark;
	yaml_event_delete(ev);
	return at_mark(w, &m, rf_fail(w->e, RF_E_UNSUPPORTED, "aliases (*name) are not supported here; write the value out"));
}

static struct rf_str scalar(const yaml_event_t *ev)
{
	return (struct rf_str){ (const char *)ev->data.scalar.value, ev->data.scalar.length };
}

static struct rf_boot_source source(const struct walk *w, const yaml_event_t *ev)
{
	return (struct rf_boot_source){ w->file, (unsigned)ev->start_mark.line + 1, (unsigned)ev->start_mark.column + 1 };
}

/* Unknown key: the nearest of the names that may stand here. */
static int unknown(struct walk *w, const struct table *t, const char *prefix, struct rf_str key)
{
	const char *names[BOOT_ROWS + 2];
	size_t count = 0, skip = strlen(prefix);
	for (size_t i = 0; i < t->count; i++) {
		if (strncmp(t->rows[i].path, prefix, skip) != 0)
			continue;
		struct rf_str rest = rf_str_z(t->rows[i].path + skip), part;
		rf_str_split(&rest, '.', &part);
		struct rf_str name = rf_arena_dup(&w->boot->own->arena, part);
		if (name.p)
			names[count++] = name.p;
	}
	if (t->top && skip == 0) {
		names[count++] = "listeners";
		names[count++] = "include";
	}
	const char *near = rf_near(key, names, count);
	char in[PATH_MAX_KEY + 8] = "";
	if (skip)
		snprintf(in, sizeof in, " in %.*s", (int)skip - 1, prefix);
	return rf_fail(w->e, RF_E_UNKNOWN, "unknown setting \"%.*s\"%s%s%s%s", (int)(key.n > 64 ? 64 : key.n), key.p, in,
		       near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static int is_new(struct walk *w, struct seen **list, const yaml_event_t *ev)
{
	struct rf_arena *a = &w->boot->own->arena;
	struct rf_str key = scalar(ev);
	for (struct seen *s = *list; s; s = s->next)
		if (rf_str_eq(rf_str_z(s->key), key))
			return rf_fail(w->e, RF_E_EXISTS, "\"%.*s\" is set already, in line %u", RF_ARG(key), s->line);
	struct seen *s = RF_ARENA_NEW(a, struct seen);
	struct rf_str copy = rf_arena_dup(a, key);
	if (!s || !copy.p)
		return rf_fail(w->e, RF_E_NOMEM, "memory is exhausted");
	*s = (struct seen){ *list, copy.p, (unsigned)ev->start_mark.line + 1 };
	*list = s;
	return RF_OK;
}

static int networks(struct walk *w, const struct boot_row *row, struct rf_boot_prefixes *to)
{
	struct rf_prefix *v = rf_arena_array(&w->boot->own->arena, BOOT_LIST_MAX, sizeof *v);
	yaml_event_t ev;
	size_t n = 0;
	int r = v ? RF_OK : rf_fail(w->e, RF_E_NOMEM, "memory is exhausted");
	while (r == RF_OK && (r = next(w, &ev)) == RF_OK) {
		struct rf_str text;
		yaml_mark_t m = ev.start_mark;
		bool end = ev.type == YAML_SEQUENCE_END_EVENT;
		if (!end && ev.type != YAML_SCALAR_EVENT)
			r = rf_fail(w->e, RF_E_TYPE, "%s must be a list of networks", row->path);
		else if (!end && n == BOOT_LIST_MAX)
			r = rf_fail(w->e, RF_E_TOO_LARGE, "%s has more than %d networks", row->path, BOOT_LIST_MAX);
		else if (!end && (r = rf_boot_expand(&w->boot->own->arena, scalar(&ev), &text, w->e)) == RF_OK)
			r = rf_boot_prefix(text, &v[n++], w->e);
		yaml_event_delete(&ev);
		if (r != RF_OK)
			at_mark(w, &m, r);
		if (end)
			break;
	}
	if (r == RF_OK)
		*to = (struct rf_boot_prefixes){ v, n };
	return r;
}

/* The value of a row. */
static int value(struct walk *w, const struct table *t, size_t i)
{
	const struct boot_row *row = &t->rows[i];
	struct rf_arena *a = &w->boot->own->arena;
	struct rf_str text;
	yaml_event_t ev;
	int r = next(w, &ev);
	if (r != RF_OK)
		return r;
	struct rf_boot_source src = source(w, &ev);
	yaml_mark_t m = ev.start_mark;
	bool list = ev.type == YAML_SEQUENCE_START_EVENT && row->type == BOOT_PREFIXES;
	if (list)
		r = networks(w, row, (struct rf_boot_prefixes *)(void *)(t->base + row->offset));
	else if (ev.type != YAML_SCALAR_EVENT)
		r = at_mark(w, &m, rf_fail(w->e, RF_E_TYPE, "%s takes one value, not a %s", row->path,
					   ev.type == YAML_SEQUENCE_START_EVENT ? "list" : "group of settings"));
	else if ((r = rf_boot_expand(a, scalar(&ev), &text, w->e)) != RF_OK ||
		 (r = rf_boot_value(a, row, text, w->dir, w->boot->own->on_disk, t->base + row->offset, w->e)) != RF_OK)
		at_mark(w, &m, r);
	yaml_event_delete(&ev);
	if (r == RF_OK)
		t->source[i] = src;
	return r;
}

static int include_one(struct walk *w, struct rf_str pattern)
{
	struct rf_arena *a = &w->boot->own->arena;
	glob_t found;
	struct rf_str full = pattern.n && pattern.p[0] == '/' ? rf_arena_dup(a, pattern)
							      : rf_arena_printf(a, "%s/%.*s", w->dir, RF_ARG(pattern));
	if (!full.p)
		return rf_fail(w->e, RF_E_NOMEM, "memory is exhausted");
	if (!w->boot->own->on_disk)
		return RF_OK;
	if (w->depth >= BOOT_INCLUDE_DEPTH)
		return rf_fail(w->e, RF_E_TOO_LARGE, "includes nest deeper than %d; does a file include itself?", BOOT_INCLUDE_DEPTH);
	if (glob(full.p, 0, NULL, &found) != 0)
		return strpbrk(full.p, "*?[") ? RF_OK : rf_fail(w->e, RF_E_NOT_FOUND, "the included file %s cannot be read", full.p);
	int r = RF_OK;
	for (size_t i = 0; i < found.gl_pathc && r == RF_OK; i++)
		r = rf_boot_file(w->boot, found.gl_pathv[i], w->depth + 1, w->e);
	globfree(&found);
	return r;
}

/* A name or a list of names; errors inside an included file keep their own place. */
static int include(struct walk *w)
{
	bool list = false;
	int r;
	do {
		yaml_event_t ev;
		struct rf_str text;
		if ((r = next(w, &ev)) != RF_OK)
			return r;
		yaml_mark_t m = ev.start_mark;
		bool end = list && ev.type == YAML_SEQUENCE_END_EVENT, begin = !list && ev.type == YAML_SEQUENCE_START_EVENT;
		if (ev.type == YAML_SCALAR_EVENT) {
			r = rf_boot_expand(&w->boot->own->arena, scalar(&ev), &text, w->e);
			r = r == RF_OK ? include_one(w, text) : r;
		} else if (!begin && !end)
			r = rf_fail(w->e, RF_E_TYPE, "include takes a file name or a list of them");
		yaml_event_delete(&ev);
		if (r != RF_OK)
			return w->e->line ? r : at_mark(w, &m, r);
		list = list ? !end : begin;
	} while (list);
	return RF_OK;
}

static int mapping(struct walk *w, const struct table *t, const char *prefix, unsigned nest);

static int listener(struct walk *w, const yaml_event_t *ev)
{
	struct rf_boot *b = w->boot;
	yaml_mark_t m = ev->start_mark;
	if (ev->type != YAML_MAPPING_START_EVENT)
		return at_mark(w, &m, rf_fail(w->e, RF_E_TYPE, "an entry of listeners must be settings, such as \"- address: 0.0.0.0:443\""));
	if (b->listener_count == RF_BOOT_LISTENERS_MAX)
		return at_mark(w, &m, rf_fail(w->e, RF_E_TOO_LARGE, "there are more than %d listeners", RF_BOOT_LISTENERS_MAX));
	struct rf_boot_listener *l = &b->listeners[b->listener_count];
	struct table t = { rf_boot_listener_rows, BOOT_LISTENER_ROWS, (char *)l, b->own->listener_source[b->listener_count], false };
	for (size_t i = 0; i < BOOT_LISTENER_ROWS; i++) {
		const struct boot_row *row = &rf_boot_listener_rows[i];
		int r = rf_boot_value(&b->own->arena, row, rf_str_z(row->def), "", false, t.base + row->offset, w->e);
		if (r != RF_OK)
			return r;
	}
	l->at = source(w, ev);
	b->listener_count++;
	return mapping(w, &t, "", 1);
}

static int listeners(struct walk *w)
{
	yaml_event_t ev;
	int r = next(w, &ev);
	if (r != RF_OK)
		return r;
	yaml_mark_t m = ev.start_mark;
	bool more = ev.type == YAML_SEQUENCE_START_EVENT;
	yaml_event_delete(&ev);
	if (!more)
		return at_mark(w, &m, rf_fail(w->e, RF_E_TYPE, "listeners must be a list, each entry with \"- \""));
	while (more && (r = next(w, &ev)) == RF_OK) {
		more = ev.type != YAML_SEQUENCE_END_EVENT;
		r = more ? listener(w, &ev) : RF_OK;
		yaml_event_delete(&ev);
		more = more && r == RF_OK;
	}
	return r;
}

/* The mapping of a group of settings, which must begin here. */
static int group(struct walk *w, const struct table *t, const char *path, unsigned nest)
{
	char prefix[PATH_MAX_KEY + 2];
	yaml_event_t ev;
	int r = next(w, &ev);
	if (r != RF_OK)
		return r;
	yaml_mark_t m = ev.start_mark;
	bool begins = ev.type == YAML_MAPPING_START_EVENT;
	yaml_event_delete(&ev);
	if (!begins)
		return at_mark(w, &m, rf_fail(w->e, RF_E_TYPE, "%s is a group of settings, not a value", path));
	if (nest == BOOT_NEST_MAX)
		return at_mark(w, &m, rf_fail(w->e, RF_E_TOO_LARGE, "settings nest too deep"));
	snprintf(prefix, sizeof prefix, "%s.", path);
	return mapping(w, t, prefix, nest + 1);
}

enum { KEY_UNKNOWN = -1, KEY_GROUP = -2, KEY_LISTENERS = -3, KEY_INCLUDE = -4 };

/* The row of a path, or what else it leads to. */
static int find(const struct table *t, const char *path)
{
	size_t n = strlen(path);
	for (size_t i = 0; i < t->count; i++) {
		if (strcmp(t->rows[i].path, path) == 0)
			return (int)i;
		if (strncmp(t->rows[i].path, path, n) == 0 && t->rows[i].path[n] == '.')
			return KEY_GROUP;
	}
	return t->top && strcmp(path, "listeners") == 0 ? KEY_LISTENERS : t->top && strcmp(path, "include") == 0 ? KEY_INCLUDE
													       : KEY_UNKNOWN;
}

static int key(struct walk *w, const struct table *t, const char *prefix, const yaml_event_t *ev, struct seen **seen,
	       unsigned nest)
{
	char path[PATH_MAX_KEY];
	yaml_mark_t m = ev->start_mark;
	if (ev->type != YAML_SCALAR_EVENT)
		return at_mark(w, &m, rf_fail(w->e, RF_E_TYPE, "a setting's name must be a word"));
	struct rf_str name = scalar(ev);
	size_t n = strlen(prefix);
	bool fits = name.n && n + name.n < sizeof path && !memchr(name.p, 0, name.n) && !memchr(name.p, '.', name.n);
	if (fits)
		snprintf(path, sizeof path, "%s%.*s", prefix, RF_ARG(name));
	int what = fits ? find(t, path) : KEY_UNKNOWN;
	int r = what == KEY_UNKNOWN ? unknown(w, t, prefix, name) : is_new(w, seen, ev);
	if (r != RF_OK)
		return at_mark(w, &m, r);
	switch (what) {
	case KEY_GROUP: return group(w, t, path, nest);
	case KEY_LISTENERS: return listeners(w);
	case KEY_INCLUDE: return include(w);
	default: return value(w, t, (size_t)what);
	}
}

/* Keys and values up to the end of the mapping that has begun. */
static int mapping(struct walk *w, const struct table *t, const char *prefix, unsigned nest)
{
	struct seen *seen = NULL;
	yaml_event_t ev;
	int r;
	bool end = false;
	while (!end && (r = next(w, &ev)) == RF_OK) {
		end = ev.type == YAML_MAPPING_END_EVENT;
		r = end ? RF_OK : key(w, t, prefix, &ev, &seen, nest);
		yaml_event_delete(&ev);
		if (r != RF_OK)
			return r;
	}
	return r;
}

/* The stream: at most one document, which is a mapping; an empty one is fine. */
static int stream(struct walk *w, const struct table *t)
{
	yaml_event_t ev;
	unsigned documents = 0;
	int r;
	while ((r = next(w, &ev)) == RF_OK) {
		yaml_event_type_t type = ev.type;
		yaml_mark_t m = ev.start_mark;
		bool empty = type == YAML_SCALAR_EVENT && scalar(&ev).n == 0;
		yaml_event_delete(&ev);
		if (type == YAML_STREAM_END_EVENT)
			return RF_OK;
		if (type == YAML_DOCUMENT_START_EVENT && ++documents > 1)
			return at_mark(w, &m, rf_fail(w->e, RF_E_SYNTAX, "a boot file is one YAML document"));
		if (type == YAML_MAPPING_START_EVENT)
			r = mapping(w, t, "", 0);
		else if ((type == YAML_SCALAR_EVENT && !empty) || type == YAML_SEQUENCE_START_EVENT)
			r = at_mark(w, &m, rf_fail(w->e, RF_E_TYPE, "a boot file consists of settings, \"name: value\""));
		if (r != RF_OK)
			return r;
	}
	return r;
}

int rf_boot_yaml(struct rf_boot *b, struct rf_str text, const char *name, unsigned depth, struct rf_err *e)
{
	struct rf_boot_own *own = b->own;
	struct rf_str copy = rf_arena_dup(&own->arena, rf_str_z(name)), dir = rf_arena_dup(&own->arena, rf_str_z(name));
	if (own->file_count == RF_BOOT_FILES_MAX)
		return rf_fail(e, RF_E_TOO_LARGE, "the boot configuration has more than %d files", RF_BOOT_FILES_MAX);
	if (!copy.p || !dir.p)
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	struct walk w = { .boot = b, .text = text, .name = copy.p, .dir = dirname((char *)(uintptr_t)dir.p),
			  .file = own->file_count, .depth = depth, .e = e };
	own->files[own->file_count++] = copy.p;
	if (!yaml_parser_initialize(&w.parser))
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	yaml_parser_set_encoding(&w.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&w.parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
	struct table t = { rf_boot_rows, BOOT_ROWS, (char *)b, own->source, true };
	int r = stream(&w, &t);
	yaml_parser_delete(&w.parser);
	return r;
}
