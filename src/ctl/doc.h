/* ctl/doc: reading members of a stored JSON document, whose shape the API has checked (tbl/resources.def).
 *
 * A member that is absent (an older document) reads as the default. Strings are borrowed from the document.
 */
#pragma once
#include <jansson.h>
#include "base/str.h"

static inline struct rf_str doc_str(const json_t *doc, const char *key)
{
	const json_t *v = json_object_get(doc, key);
	return json_is_string(v) ? (struct rf_str){ json_string_value(v), json_string_length(v) } : RF_STR("");
}

static inline int64_t doc_int(const json_t *doc, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(doc, key);
	return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

static inline bool doc_bool(const json_t *doc, const char *key, bool otherwise)
{
	const json_t *v = json_object_get(doc, key);
	return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

static inline bool doc_is(const json_t *doc, const char *key, const char *word)
{
	return rf_str_eq(doc_str(doc, key), rf_str_z(word));
}

/* The string at an index of an array. */
static inline struct rf_str doc_at(const json_t *array, size_t i)
{
	const json_t *v = json_array_get(array, i);
	return json_is_string(v) ? (struct rf_str){ json_string_value(v), json_string_length(v) } : RF_STR("");
}
