/* api/schema: the shapes of tbl/resources.def: checking a body, filling defaults, hiding secrets, OpenAPI.
 *
 * Pure: reads and changes JSON values, knows no state.
 */
#pragma once
#include <jansson.h>
#include "base/err.h"

enum rf_resource {
#define RF_RESOURCE(id, name, policy, doc) RF_RES_##id,
#include "tbl/resources.def"
	RF_RES_COUNT
};

enum rf_field_type { RF_FT_STR, RF_FT_INT, RF_FT_BOOL, RF_FT_TIME, RF_FT_OBJ, RF_FT_OBJS, RF_FT_STRS, RF_FT_FREE, RF_FT_ANY };
enum rf_field_flag { RF_FF_REQ, RF_FF_OPT, RF_FF_RO, RF_FF_WO, RF_FF_WREQ };

struct rf_schema_field {
	enum rf_resource of;
	const char *name;
	enum rf_field_type type;
	enum rf_resource ref;
	enum rf_field_flag flag;
	int64_t least, most;
	const char *check, *def, *doc;
};
struct rf_schema {
	const char *name;
	bool strict;
	const char *doc;
};
extern const struct rf_schema rf_schemas[RF_RES_COUNT];
extern const struct rf_schema_field rf_schema_fields[];
extern const size_t rf_schema_field_count;

/* Where findings go. Code RF_OK: only a message. The pointer is below `at`, as given. */
struct rf_findings {
	void (*add)(void *ctx, int code, const char *pointer, const char *text);
	void *ctx;
	size_t errors;
};
void rf_finding(struct rf_findings *f, int code, const char *pointer, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

enum rf_schema_mode {
	RF_SCHEMA_WHOLE, /* required members must be there, defaults are filled in, null is as absent */
	RF_SCHEMA_PART,  /* a PATCH: null removes an optional member; objects in it are parts too, arrays are whole */
};

/* Check *doc and bring it into the form that is stored: read-only members and, in a LENIENT shape, unknown ones are
 * dropped. True when no error was found; *doc may be changed either way. At most RF_SCHEMA_ERRORS are told. */
enum { RF_SCHEMA_ERRORS = 20, RF_SCHEMA_DEPTH = 16, RF_SCHEMA_POINTER = 120 };
bool rf_schema_check(enum rf_resource r, json_t *doc, enum rf_schema_mode mode, const char *at, struct rf_findings *f);

/* Fill in defaults of members that are absent, also in nested objects: for documents of an earlier release. */
int rf_schema_fill(enum rf_resource r, json_t *doc);
/* Remove what is never shown. */
void rf_schema_hide(enum rf_resource r, json_t *doc);

/* One string against a check of the table; NULL when it is good, else what it should be. */
const char *rf_check_text(const char *check, const char *value);

/* The OpenAPI schema of a shape. NULL without memory. */
json_t *rf_schema_openapi(enum rf_resource r);
