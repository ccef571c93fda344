/* api/schema: bodies against the shapes of tbl/resources.def.
 *
 * The way of a body: each member is looked up in its shape -> dropped (read-only, unknown and lenient) or its
 * type, bounds and check are held against the row -> nested shapes the same, one level deeper -> what is
 * required and absent is told -> defaults are filled in.
 *
 * Not here: what members mean together (each resource's file), reading JSON (api/body).
 */
#include "api/schema.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/near.h"

#define STRICT true
#define LENIENT false
const struct rf_schema rf_schemas[RF_RES_COUNT] = {
#define RF_RESOURCE(id, name, policy, doc) [RF_RES_##id] = { name, policy, doc },
#include "tbl/resources.def"
};
#undef STRICT
#undef LENIENT

const struct rf_schema_field rf_schema_fields[] = {
#define RF_FIELD(resource, name, type, ref, flag, least, most, check, def, doc) \
	{ RF_RES_##resource, name, RF_FT_##type, RF_RES_##ref, RF_FF_##flag, least, most, check, def, doc },
#include "tbl/resources.def"
};
const size_t rf_schema_field_count = sizeof rf_schema_fields / sizeof *rf_schema_fields;

#define EACH_FIELD(f, r) \
	for (const struct rf_schema_field *f = rf_schema_fields; f < rf_schema_fields + rf_schema_field_count; f++) \
		if (f->of == (r))

void rf_finding(struct rf_findings *f, int code, const char *pointer, const char *fmt, ...)
{
	if (code != RF_OK && f->errors++ >= RF_SCHEMA_ERRORS)
		return;
	char text[400];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	f->add(f->ctx, code, pointer, text);
}

struct walk {
	struct rf_findings *f;
	enum rf_schema_mode mode;
	unsigned depth;
};

static bool object(struct walk *w, enum rf_resource r, json_t *doc, const char *at);

static const struct rf_schema_field *find(enum rf_resource r, const char *name)
{
	EACH_FIELD(f, r)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

static void unknown(struct walk *w, enum rf_resource r, const char *name, const char *pointer)
{
	const char *names[128];
	size_t n = 0;
	EACH_FIELD(f, r)
		if (f->flag != RF_FF_RO && n < sizeof names / sizeof *names)
			names[n++] = f->name;
	const char *near = rf_near(rf_str_z(name), names, n);
	if (!rf_schemas[r].strict)
		rf_finding(w->f, RF_OK, pointer, "\"%.100s\" means nothing here and was ignored", name);
	else if (near)
		rf_finding(w->f, RF_E_UNKNOWN, pointer, "%s has no member \"%.100s\"; did you mean \"%s\"?",
			   rf_schemas[r].name, name, near);
	else
		rf_finding(w->f, RF_E_UNKNOWN, pointer, "%s has no member \"%.100s\"", rf_schemas[r].name, name);
}

static bool wrong(struct walk *w, const char *at, json_t *v, const char *want)
{
	static const char *const is[] = { [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string",
					  [JSON_INTEGER] = "an integer", [JSON_REAL] = "a fraction",
					  [JSON_TRUE] = "true", [JSON_FALSE] = "false", [JSON_NULL] = "null" };
	rf_finding(w->f, RF_E_TYPE, at, "must be %s, and is %s", want, is[json_typeof(v)]);
	return false;
}

static bool text(struct walk *w, const struct rf_schema_field *f, json_t *v, const char *at, bool bounds)
{
	if (!json_is_string(v))
		return wrong(w, at, v, "a string");
	size_t n = json_string_length(v);
	if (bounds && (n < (size_t)f->least || n > (size_t)f->most)) {
		rf_finding(w->f, RF_E_RANGE, at, "must be %lld to %lld bytes long, and has %zu", (long long)f->least,
			   (long long)f->most, n);
		return false;
	}
	const char *why = rf_check_text(f->check, json_string_value(v));
	if (why)
		rf_finding(w->f, RF_E_INVALID, at, "must be %s, and is \"%.80s\"", why, json_string_value(v));
	return !why;
}

static bool integer(struct walk *w, const struct rf_schema_field *f, json_t *v, const char *at)
{
	if (!json_is_integer(v))
		return wrong(w, at, v, "an integer");
	if (json_integer_value(v) >= f->least && json_integer_value(v) <= f->most)
		return true;
	rf_finding(w->f, RF_E_RANGE, at, "must be %lld to %lld, and is %lld", (long long)f->least, (long long)f->most,
		   (long long)json_integer_value(v));
	return false;
}

static bool instant(struct walk *w, json_t *v, const char *at)
{
	int64_t s;
	if (!json_is_string(v))
		return wrong(w, at, v, "a string");
	if (rf_rfc3339_parse(json_string_value(v), &s) == 0)
		return true;
	rf_finding(w->f, RF_E_INVALID, at, "must be a time such as 2026-11-21T21:00:00Z (RFC 3339, UTC)");
	return false;
}

static bool array(struct walk *w, const struct rf_schema_field *f, json_t *v, const char *at)
{
	if (!json_is_array(v))
		return wrong(w, at, v, "an array");
	size_t n = json_array_size(v);
	if (n < (size_t)f->least || n > (size_t)f->most) {
		rf_finding(w->f, RF_E_RANGE, at, "must have %lld to %lld elements, and has %zu", (long long)f->least,
			   (long long)f->most, n);
		return false;
	}
	bool good = true;
	enum rf_schema_mode mode = w->mode;
	w->mode = RF_SCHEMA_WHOLE; /* a PATCH replaces arrays */
	for (size_t i = 0; i < n; i++) {
		char pointer[RF_SCHEMA_POINTER];
		snprintf(pointer, sizeof pointer, "%.*s/%zu", RF_SCHEMA_POINTER - 24, at, i);
		json_t *item = json_array_get(v, i);
		good &= f->type == RF_FT_STRS ? text(w, f, item, pointer, false) : object(w, f->ref, item, pointer);
	}
	w->mode = mode;
	return good;
}

static bool value(struct walk *w, const struct rf_schema_field *f, json_t *v, const char *at)
{
	switch (f->type) {
	case RF_FT_STR:
		return text(w, f, v, at, true);
	case RF_FT_INT:
		return integer(w, f, v, at);
	case RF_FT_BOOL:
		return json_is_boolean(v) || wrong(w, at, v, "true or false");
	case RF_FT_TIME:
		return instant(w, v, at);
	case RF_FT_OBJ:
		return object(w, f->ref, v, at);
	case RF_FT_OBJS:
	case RF_FT_STRS:
		return array(w, f, v, at);
	case RF_FT_FREE:
		return json_is_object(v) || wrong(w, at, v, "an object");
	case RF_FT_ANY:
		return true;
	}
	return false;
}

static bool required(const struct rf_schema_field *f)
{
	return f->flag == RF_FF_REQ || f->flag == RF_FF_WREQ;
}

/* A member with the value null: as absent in a whole object; in a part it asks for removal. */
static bool nothing(struct walk *w, const struct rf_schema_field *f, json_t *doc, const char *at)
{
	bool part = w->mode == RF_SCHEMA_PART;
	if (part && required(f)) {
		rf_finding(w->f, RF_E_MISSING, at, "is required and cannot be removed");
		return false;
	}
	if (!part)
		json_object_del(doc, f->name);
	return true;
}

/* RFC 6901: ~ and / of a member's name are escaped. */
static void point(char to[RF_SCHEMA_POINTER], const char *at, const char *name)
{
	size_t n = (size_t)snprintf(to, RF_SCHEMA_POINTER, "%s/", at);
	for (; *name && n + 3 < RF_SCHEMA_POINTER; name++) {
		if (*name == '~' || *name == '/') {
			to[n++] = '~';
			to[n++] = *name == '~' ? '0' : '1';
		} else {
			to[n++] = *name;
		}
	}
	to[n < RF_SCHEMA_POINTER ? n : RF_SCHEMA_POINTER - 1] = '\0';
}

static bool members(struct walk *w, enum rf_resource r, json_t *doc, const char *at)
{
	bool good = true;
	const char *name;
	json_t *v;
	void *next;
	json_object_foreach_safe(doc, next, name, v) {
		char pointer[RF_SCHEMA_POINTER];
		point(pointer, at, name);
		const struct rf_schema_field *f = find(r, name);
		if (!f) {
			unknown(w, r, name, pointer);
			good &= !rf_schemas[r].strict;
			json_object_del(doc, name);
		} else if (f->flag == RF_FF_RO) {
			json_object_del(doc, name);
		} else if (json_is_null(v)) {
			good &= nothing(w, f, doc, pointer);
		} else {
			good &= value(w, f, v, pointer);
		}
	}
	return good;
}

static bool object(struct walk *w, enum rf_resource r, json_t *doc, const char *at)
{
	if (r == RF_RES_ANY)
		return true;
	if (!json_is_object(doc))
		return wrong(w, at, doc, "an object");
	if (w->depth >= RF_SCHEMA_DEPTH) {
		rf_finding(w->f, RF_E_TOO_LARGE, at, "is nested too deeply");
		return false;
	}
	w->depth++;
	bool good = members(w, r, doc, at);
	bool whole = w->mode == RF_SCHEMA_WHOLE;
	EACH_FIELD(f, r) {
		if (!whole || !required(f) || json_object_get(doc, f->name))
			continue;
		char pointer[RF_SCHEMA_POINTER];
		point(pointer, at, f->name);
		rf_finding(w->f, RF_E_MISSING, pointer, "\"%s\" is required", f->name);
		good = false;
	}
	if (whole && good && rf_schema_fill(r, doc) != RF_OK) {
		rf_finding(w->f, RF_E_NOMEM, at, "memory is exhausted");
		good = false;
	}
	w->depth--;
	return good;
}

bool rf_schema_check(enum rf_resource r, json_t *doc, enum rf_schema_mode mode, const char *at, struct rf_findings *f)
{
	struct walk w = { f, mode, 0 };
	return object(&w, r, doc, at);
}

static int fill_nested(const struct rf_schema_field *f, json_t *v)
{
	if (f->type == RF_FT_OBJ)
		return rf_schema_fill(f->ref, v);
	int rc = RF_OK;
	for (size_t i = 0; f->type == RF_FT_OBJS && i < json_array_size(v) && rc == RF_OK; i++)
		rc = rf_schema_fill(f->ref, json_array_get(v, i));
	return rc;
}

int rf_schema_fill(enum rf_resource r, json_t *doc)
{
	EACH_FIELD(f, r) {
		json_t *v = json_object_get(doc, f->name);
		if (v && !json_is_null(v)) {
			if (fill_nested(f, v) != RF_OK)
				return RF_E_NOMEM;
		} else if (f->def[0]) {
			v = json_loads(f->def, JSON_DECODE_ANY, NULL);
			if (!v || json_object_set_new(doc, f->name, v) != 0)
				return RF_E_NOMEM;
		}
	}
	return RF_OK;
}

void rf_schema_hide(enum rf_resource r, json_t *doc)
{
	EACH_FIELD(f, r)
		if (f->flag == RF_FF_WO || f->flag == RF_FF_WREQ)
			json_object_del(doc, f->name);
}
