/* cli/yaml: JSON values from YAML and to it.
 *
 * The subset that both have: mappings with unique string keys, sequences, scalars of the core schema. A text that is JSON
 * is read as JSON. Anchors, aliases, tags and several documents are refused: an alias makes a large value of a small text.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <yaml.h>
#include "cli/cli.h"

enum { DEPTH_MAX = 32, VALUES_MAX = 2000000 };

struct reader {
	yaml_parser_t parser;
	const char *name;
	size_t values;
	struct rf_err *e;
};

static int fail_at(struct reader *r, int code, yaml_mark_t at, const char *text)
{
	rf_fail_at(r->e, code, (unsigned)at.line + 1, (unsigned)at.column + 1, "%s", text);
	snprintf(r->e->file, sizeof r->e->file, "%s", r->name);
	return code;
}

static int next(struct reader *r, yaml_event_t *ev)
{
	if (yaml_parser_parse(&r->parser, ev))
		return RF_OK;
	char text[256];
	snprintf(text, sizeof text, "%s%s%s", r->parser.problem ? r->parser.problem : "not YAML", r->parser.context ? " " : "",
		 r->parser.context ? r->parser.context : "");
	yaml_mark_t at = r->parser.problem_mark;
	return fail_at(r, r->parser.error == YAML_MEMORY_ERROR ? RF_E_NOMEM : RF_E_SYNTAX, at, text);
}

static bool one_of(struct rf_str s, const char *const *words)
{
	for (; *words; words++)
		if (rf_str_eq(s, rf_str_z(*words)))
			return true;
	return false;
}

static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
static const char *const trues[] = { "true", "True", "TRUE", NULL };
static const char *const falses[] = { "false", "False", "FALSE", NULL };

static bool as_integer(struct rf_str s, long long *ret)
{
	char z[24], *end;
	size_t sign = s.n && (s.p[0] == '-' || s.p[0] == '+');
	if (s.n <= sign || s.n >= sizeof z || strspn(s.p + sign, "0123456789") != s.n - sign)
		return false;
	if (s.n > sign + 1 && s.p[sign] == '0')
		return false; /* 007 is a text: leading zeros mean something to who writes them */
	memcpy(z, s.p, s.n);
	z[s.n] = '\0';
	errno = 0;
	*ret = strtoll(z, &end, 10);
	return errno == 0;
}

static bool as_real(struct rf_str s, double *ret)
{
	char z[64], *end;
	if (!s.n || s.n >= sizeof z || s.p[0] == '.' || !strpbrk(s.p, ".eE") || strspn(s.p, "0123456789+-.eE") != s.n)
		return false;
	memcpy(z, s.p, s.n);
	z[s.n] = '\0';
	*ret = strtod(z, &end);
	return !*end && isfinite(*ret);
}

static json_t *plain(struct rf_str s)
{
	long long n;
	double d;
	if (one_of(s, nulls))
		return json_null();
	if (one_of(s, trues))
		return json_true();
	if (one_of(s, falses))
		return json_false();
	if (as_integer(s, &n))
		return json_integer(n);
	if (as_real(s, &d))
		return json_real(d);
	return json_stringn(s.p, s.n);
}

static int scalar(struct reader *r, const yaml_event_t *ev, json_t **ret)
{
	struct rf_str s = { (const char *)ev->data.scalar.value, ev->data.scalar.length };
	if (ev->data.scalar.anchor || ev->data.scalar.tag)
		return fail_at(r, RF_E_UNSUPPORTED, ev->start_mark, "anchors and tags are not taken here; write the value out");
	*ret = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? plain(s) : json_stringn(s.p, s.n);
	return *ret ? RF_OK : fail_at(r, RF_E_SYNTAX, ev->start_mark, "this text is not UTF-8");
}

static int value(struct reader *r, yaml_event_t *ev, unsigned depth, json_t **ret);

static int key(struct reader *r, const yaml_event_t *ev, json_t *object, char **ret)
{
	const char *z = (const char *)ev->data.scalar.value;
	if (ev->type != YAML_SCALAR_EVENT || ev->data.scalar.anchor || ev->data.scalar.tag)
		return fail_at(r, RF_E_SYNTAX, ev->start_mark, "a key must be a plain text");
	if (strlen(z) != ev->data.scalar.length)
		return fail_at(r, RF_E_SYNTAX, ev->start_mark, "a key must not hold a NUL");
	if (json_object_get(object, z))
		return fail_at(r, RF_E_EXISTS, ev->start_mark, "this key is there already");
	*ret = strdup(z);
	return *ret ? RF_OK : fail_at(r, RF_E_NOMEM, ev->start_mark, "memory is exhausted");
}

static int mapping(struct reader *r, unsigned depth, json_t *object)
{
	for (;;) {
		yaml_event_t ev;
		char *name = NULL;
		json_t *v = NULL;
		int rc = next(r, &ev);
		if (rc != RF_OK)
			return rc;
		if (ev.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&ev);
			return RF_OK;
		}
		rc = key(r, &ev, object, &name);
		yaml_event_delete(&ev);
		if (rc == RF_OK && (rc = next(r, &ev)) == RF_OK) {
			yaml_mark_t at = ev.start_mark;
			rc = value(r, &ev, depth, &v);
			yaml_event_delete(&ev);
			if (rc == RF_OK && json_object_set_new(object, name, v) != 0)
				rc = fail_at(r, RF_E_SYNTAX, at, "the key is not UTF-8");
		}
		free(name);
		if (rc != RF_OK)
			return rc;
	}
}

static int sequence(struct reader *r, unsigned depth, json_t *array)
{
	for (;;) {
		yaml_event_t ev;
		json_t *v = NULL;
		int rc = next(r, &ev);
		if (rc != RF_OK)
			return rc;
		if (ev.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&ev);
			return RF_OK;
		}
		rc = value(r, &ev, depth, &v);
		yaml_event_delete(&ev);
		if (rc != RF_OK)
			return rc;
		if (json_array_append_new(array, v) != 0)
			return rf_fail(r->e, RF_E_NOMEM, "memory is exhausted");
	}
}

/* The value that begins with `ev`; the caller deletes ev. */
static int value(struct reader *r, yaml_event_t *ev, unsigned depth, json_t **ret)
{
	if (depth >= DEPTH_MAX || ++r->values > VALUES_MAX)
		return fail_at(r, RF_E_TOO_LARGE, ev->start_mark, "this is nested too deeply, or holds too many values");
	if (ev->type == YAML_SCALAR_EVENT)
		return scalar(r, ev, ret);
	bool map = ev->type == YAML_MAPPING_START_EVENT;
	if (!map && ev->type != YAML_SEQUENCE_START_EVENT)
		return fail_at(r, RF_E_UNSUPPORTED, ev->start_mark, "aliases are not taken here; write the value out");
	if (map ? ev->data.mapping_start.anchor || ev->data.mapping_start.tag :
		  ev->data.sequence_start.anchor || ev->data.sequence_start.tag)
		return fail_at(r, RF_E_UNSUPPORTED, ev->start_mark, "anchors and tags are not taken here; write the value out");
	json_t *v = map ? json_object() : json_array();
	int rc = !v ? rf_fail(r->e, RF_E_NOMEM, "memory is exhausted") :
		 map ? mapping(r, depth + 1, v) : sequence(r, depth + 1, v);
	if (rc != RF_OK) {
		json_decref(v);
		return rc;
	}
	*ret = v;
	return RF_OK;
}

/* Stream start, document start, the value, document end, stream end. */
static int document(struct reader *r, json_t **ret)
{
	json_t *v = NULL;
	int rc = RF_OK;
	bool ended = false;
	while (rc == RF_OK && !ended) {
		yaml_event_t ev;
		if ((rc = next(r, &ev)) != RF_OK)
			break;
		switch (ev.type) {
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			break;
		case YAML_STREAM_END_EVENT:
			ended = true;
			break;
		case YAML_DOCUMENT_START_EVENT:
			if (v)
				rc = fail_at(r, RF_E_UNSUPPORTED, ev.start_mark, "a file holds one document; begin another file");
			break;
		default:
			rc = value(r, &ev, 0, &v);
		}
		yaml_event_delete(&ev);
	}
	if (rc == RF_OK && !v)
		rc = rf_fail(r->e, RF_E_MISSING, "%s is empty", r->name);
	if (rc != RF_OK) {
		json_decref(v);
		return rc;
	}
	*ret = v;
	return RF_OK;
}

int cli_yaml_read(struct rf_str text, const char *name, json_t **ret, struct rf_err *e)
{
	struct rf_str begin = rf_str_trim(text);
	if (begin.n && (begin.p[0] == '{' || begin.p[0] == '[')) {
		json_t *v = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
		if (v) {
			*ret = v;
			return RF_OK;
		}
	}
	struct reader r = { .name = name, .e = e };
	if (!yaml_parser_initialize(&r.parser))
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.p, text.n);
	int rc = document(&r, ret);
	yaml_parser_delete(&r.parser);
	return rc;
}

/* A text that a reader would take for something else is quoted; one of several lines is a block. */
static yaml_scalar_style_t style_of(struct rf_str s)
{
	json_t *v = plain(s);
	bool same = json_is_string(v);
	json_decref(v);
	static const char *const others[] = { "yes", "no", "on", "off", "Yes", "No", "On", "Off", "y", "n", "Y", "N", NULL };
	if (!same || one_of(s, others) || (s.n && strchr("0123456789+-.", s.p[0])))
		return YAML_SINGLE_QUOTED_SCALAR_STYLE;
	return rf_str_find(s, '\n') < s.n ? YAML_LITERAL_SCALAR_STYLE : YAML_ANY_SCALAR_STYLE;
}

static int emit(yaml_emitter_t *em, yaml_event_t *ev) { return yaml_emitter_emit(em, ev); }

static int emit_text(yaml_emitter_t *em, struct rf_str s, yaml_scalar_style_t style)
{
	yaml_event_t ev;
	return yaml_scalar_event_initialize(&ev, NULL, NULL, (const unsigned char *)s.p, (int)s.n, 1, 1, style) && emit(em, &ev);
}

static int emit_value(yaml_emitter_t *em, const json_t *v);

static int emit_object(yaml_emitter_t *em, const json_t *v)
{
	yaml_event_t ev;
	const char *name;
	json_t *inner;
	bool flow = json_object_size(v) == 0;
	int ok = yaml_mapping_start_event_initialize(&ev, NULL, NULL, 1, flow ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE) &&
		 emit(em, &ev);
	json_object_foreach((json_t *)v, name, inner)
		ok = ok && emit_text(em, rf_str_z(name), style_of(rf_str_z(name))) && emit_value(em, inner);
	return ok && yaml_mapping_end_event_initialize(&ev) && emit(em, &ev);
}

static int emit_array(yaml_emitter_t *em, const json_t *v)
{
	yaml_event_t ev;
	size_t i;
	json_t *inner;
	bool flow = json_array_size(v) == 0;
	int ok = yaml_sequence_start_event_initialize(&ev, NULL, NULL, 1,
						      flow ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE) && emit(em, &ev);
	json_array_foreach(v, i, inner)
		ok = ok && emit_value(em, inner);
	return ok && yaml_sequence_end_event_initialize(&ev) && emit(em, &ev);
}

/* With a point or an exponent, so that it stays a real. */
static void real_text(double d, char *to, size_t size)
{
	int n = snprintf(to, size, "%.17g", d);
	if (!strpbrk(to, ".e"))
		snprintf(to + n, size - (size_t)n, ".0");
}

static int emit_value(yaml_emitter_t *em, const json_t *v)
{
	char z[64];
	if (json_is_object(v))
		return emit_object(em, v);
	if (json_is_array(v))
		return emit_array(em, v);
	if (json_is_string(v)) {
		struct rf_str s = { json_string_value(v), json_string_length(v) };
		return emit_text(em, s, style_of(s));
	}
	if (json_is_integer(v))
		snprintf(z, sizeof z, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_real(v))
		real_text(json_real_value(v), z, sizeof z);
	else
		snprintf(z, sizeof z, "%s", json_is_true(v) ? "true" : json_is_false(v) ? "false" : "null");
	return emit_text(em, rf_str_z(z), YAML_PLAIN_SCALAR_STYLE);
}

static int write_out(void *arg, unsigned char *p, size_t n)
{
	return fwrite(p, 1, n, arg) == n;
}

int cli_yaml_write(const json_t *v, FILE *to)
{
	yaml_emitter_t em;
	yaml_event_t ev;
	if (!yaml_emitter_initialize(&em))
		return RF_E_NOMEM;
	yaml_emitter_set_output(&em, write_out, to);
	yaml_emitter_set_unicode(&em, 1);
	yaml_emitter_set_width(&em, -1);
	yaml_emitter_set_indent(&em, 2);
	int ok = yaml_stream_start_event_initialize(&ev, YAML_UTF8_ENCODING) && emit(&em, &ev) &&
		 yaml_document_start_event_initialize(&ev, NULL, NULL, NULL, 1) && emit(&em, &ev) && emit_value(&em, v) &&
		 yaml_document_end_event_initialize(&ev, 1) && emit(&em, &ev) && yaml_stream_end_event_initialize(&ev) &&
		 emit(&em, &ev);
	yaml_emitter_delete(&em);
	return ok ? RF_OK : RF_E_IO;
}
