/* api/openapi: the description of the API [OpenAPI 3.1], made from the tables of routes and shapes.
 *
 * Each route is an operation with its parameters, its body's shape and its answer's; each shape is a schema.
 * Made once at start and served as it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/call.h"

static json_t *reference(enum rf_resource r)
{
	char at[96];
	snprintf(at, sizeof at, "#/components/schemas/%s", rf_schemas[r].name);
	return json_pack("{s:s}", "$ref", at);
}

static json_t *words(const char *list)
{
	json_t *a = json_array();
	struct rf_str rest = rf_str_z(list), word;
	while (rf_str_split(&rest, '|', &word))
		json_array_append_new(a, json_stringn(word.p, word.n));
	return a;
}

static json_t *text_schema(const struct rf_schema_field *f, bool bounds)
{
	json_t *j = json_pack("{s:s}", "type", "string");
	if (f->check[0] == '@')
		json_object_set_new(j, "format", json_string(f->check + 1));
	else if (f->check[0])
		json_object_set_new(j, "enum", words(f->check));
	if (bounds && f->least)
		json_object_set_new(j, "minLength", json_integer(f->least));
	if (bounds && f->most)
		json_object_set_new(j, "maxLength", json_integer(f->most));
	return j;
}

static json_t *array_schema(const struct rf_schema_field *f)
{
	json_t *j = json_pack("{s:s, s:o}", "type", "array", "items",
			      f->type == RF_FT_OBJS ? reference(f->ref) : text_schema(f, false));
	if (f->most)
		json_object_set_new(j, "maxItems", json_integer(f->most));
	if (f->least)
		json_object_set_new(j, "minItems", json_integer(f->least));
	return j;
}

static json_t *field_schema(const struct rf_schema_field *f)
{
	switch (f->type) {
	case RF_FT_STR:
		return text_schema(f, true);
	case RF_FT_INT:
		return f->most > f->least ? json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum",
						      (json_int_t)f->least, "maximum", (json_int_t)f->most)
					  : json_pack("{s:s}", "type", "integer");
	case RF_FT_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case RF_FT_TIME:
		return json_pack("{s:s, s:s}", "type", "string", "format", "date-time");
	case RF_FT_OBJ:
		return reference(f->ref);
	case RF_FT_OBJS:
	case RF_FT_STRS:
		return array_schema(f);
	case RF_FT_FREE:
		return json_pack("{s:s}", "type", "object");
	case RF_FT_ANY:
		return json_object();
	}
	return NULL;
}

json_t *rf_schema_openapi(enum rf_resource r)
{
	if (r == RF_RES_ANY)
		return json_pack("{s:s}", "description", rf_schemas[r].doc);
	json_t *properties = json_object(), *required = json_array();
	for (size_t i = 0; i < rf_schema_field_count; i++) {
		const struct rf_schema_field *f = &rf_schema_fields[i];
		if (f->of != r)
			continue;
		json_t *j = field_schema(f);
		if (f->doc[0])
			json_object_set_new(j, "description", json_string(f->doc));
		if (f->flag == RF_FF_RO)
			json_object_set_new(j, "readOnly", json_true());
		if (f->flag == RF_FF_WO || f->flag == RF_FF_WREQ)
			json_object_set_new(j, "writeOnly", json_true());
		if (f->def[0])
			json_object_set_new(j, "default", json_loads(f->def, JSON_DECODE_ANY, NULL));
		json_object_set_new(properties, f->name, j);
		if (f->flag == RF_FF_REQ || f->flag == RF_FF_WREQ)
			json_array_append_new(required, json_string(f->name));
	}
	json_t *j = json_pack("{s:s, s:s, s:o}", "type", "object", "description", rf_schemas[r].doc, "properties", properties);
	if (json_array_size(required))
		json_object_set(j, "required", required);
	if (rf_schemas[r].strict)
		json_object_set_new(j, "additionalProperties", json_false());
	json_decref(required);
	return j;
}

static json_t *parameters(const struct rf_route *r)
{
	json_t *a = json_array();
	for (const char *at = r->path; (at = strchr(at, '{')); at++) {
		const char *end = strchr(at, '}');
		json_array_append_new(a, json_pack("{s:o, s:s, s:b, s:{s:s}}", "name",
						   json_stringn(at + 1, (size_t)(end - at - 1)), "in", "path", "required", 1,
						   "schema", "type", "string"));
	}
	if (r->access == RF_ACCESS_WRITE)
		json_array_append_new(a, json_pack("{s:s, s:s, s:{s:s}}", "name", "dry_run", "in", "query", "schema", "type",
						   "boolean"));
	if (r->shape == RF_SHAPE_MANY)
		for (const char *const *p = (const char *const[]){ "page", "per_page", NULL }; *p; p++)
			json_array_append_new(a, json_pack("{s:s, s:s, s:{s:s, s:i}}", "name", *p, "in", "query", "schema",
							   "type", "integer", "minimum", 1));
	return a;
}

static json_t *body(const struct rf_route *r)
{
	json_t *schema = reference(r->request);
	if (r->shape == RF_SHAPE_ARRAY)
		schema = json_pack("{s:s, s:o}", "type", "array", "items", schema);
	return json_pack("{s:{s:{s:o}}}", "content", "application/json", "schema", schema);
}

static json_t *answer(const struct rf_route *r)
{
	if (r->shape == RF_SHAPE_TEXT)
		return json_pack("{s:s}", "description", r->doc);
	if (r->response == RF_RES_NONE)
		return json_pack("{s:s}", "description", "done");
	json_t *schema = reference(r->response);
	if (r->shape == RF_SHAPE_MANY)
		schema = json_pack("{s:s, s:o}", "type", "array", "items", schema);
	if (r->access == RF_ACCESS_WRITE) /* null: it was a dry run */
		schema = json_pack("{s:[o, {s:s}]}", "anyOf", schema, "type", "null");
	return json_pack("{s:s, s:{s:{s:{s:[o, o]}}}}", "description", "done", "content", "application/json", "schema",
			 "allOf", json_pack("{s:s}", "$ref", "#/components/schemas/Envelope"),
			 json_pack("{s:{s:o}}", "properties", "result", schema));
}

static json_t *operation(const struct rf_route *r)
{
	bool empty = r->response == RF_RES_NONE && r->shape != RF_SHAPE_TEXT;
	const char *scope = strncmp(r->path, "/client/v4/zones/", 17) == 0 ? "zone_" : "";
	char id[96];
	snprintf(id, sizeof id, "%s%s%s", strstr(r->path, "/user/") ? "user_" : "", scope, r->name);
	json_t *j = json_pack("{s:s, s:s, s:o, s:{s:o, s:{s:s}}}", "operationId", id, "summary", r->doc, "parameters",
			      parameters(r), "responses", empty ? "204" : "200", answer(r), "default", "$ref",
			      "#/components/responses/Error");
	if (r->request != RF_RES_NONE)
		json_object_set_new(j, "requestBody", body(r));
	if (r->access == RF_ACCESS_PUBLIC)
		json_object_set_new(j, "security", json_array());
	if (r->access == RF_ACCESS_READ || r->access == RF_ACCESS_WRITE) {
		char need[64];
		snprintf(need, sizeof need, "%s:%s", r->noun, r->access == RF_ACCESS_READ ? "read" : "write");
		json_object_set_new(j, "x-scope", json_string(need));
	}
	return j;
}

static void lower(const char *from, char *to, size_t size)
{
	size_t i = 0;
	for (; from[i] && i + 1 < size; i++)
		to[i] = (char)rf_lower((unsigned char)from[i]);
	to[i] = '\0';
}

static json_t *paths(void)
{
	json_t *all = json_object();
	for (size_t i = 0; i < rf_route_count; i++) {
		const struct rf_route *r = &rf_routes[i];
		json_t *path = json_object_get(all, r->path);
		if (!path) {
			path = json_object();
			json_object_set_new(all, r->path, path);
		}
		char method[16];
		lower(rf_http_method_name(r->method), method, sizeof method);
		json_object_set_new(path, method, operation(r));
	}
	return all;
}

static const char fixed[] =
	"{\"Envelope\":{\"type\":\"object\",\"required\":[\"success\",\"errors\",\"messages\",\"result\"],\"properties\":{"
	"\"success\":{\"type\":\"boolean\"},\"errors\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/Message\"}},"
	"\"messages\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/Message\"}},\"result\":{},"
	"\"result_info\":{\"type\":\"object\"}}},"
	"\"Message\":{\"type\":\"object\",\"required\":[\"code\",\"message\"],\"properties\":{\"code\":{\"type\":\"integer\"},"
	"\"message\":{\"type\":\"string\"},\"documentation_url\":{\"type\":\"string\"},\"source\":{\"type\":\"object\","
	"\"properties\":{\"pointer\":{\"type\":\"string\"}}}}}}";

static json_t *components(void)
{
	json_t *schemas = json_loads(fixed, 0, NULL);
	for (size_t r = 0; r < RF_RES_COUNT; r++)
		json_object_set_new(schemas, rf_schemas[r].name, rf_schema_openapi((enum rf_resource)r));
	return json_pack("{s:o, s:{s:{s:s, s:{s:{s:{s:s}}}}}, s:{s:{s:s, s:s}}}", "schemas", schemas, "responses", "Error",
			 "description", "errors has what was wrong, with pointers into the body", "content",
			 "application/json", "schema", "$ref", "#/components/schemas/Envelope", "securitySchemes", "token",
			 "type", "http", "scheme", "bearer");
}

char *rf_openapi_make(const char *version)
{
	json_t *j = json_pack("{s:s, s:{s:s, s:s, s:{s:s}}, s:[{s:[]}], s:o, s:o}", "openapi", "3.1.0", "info", "title",
			      "Ringfence", "version", version, "license", "name", "Apache-2.0", "security", "token", "paths",
			      paths(), "components", components());
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	return text;
}
