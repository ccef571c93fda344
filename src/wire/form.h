/* wire/form: bodies of forms: the parts of multipart/form-data [RFC 7578, RFC 2046 5.1].
 *
 * Read to look into, not to pass on: lines may end with LF alone, a header may stand twice, and the last part may be cut
 * off, since an origin may read such a body too. urlencoded bodies are query strings (wire/uri).
 */
#pragma once
#include "base/arena.h"

enum { RF_PART_HEADERS = 16384, RF_BOUNDARY_MAX = 256 }; /* bytes of the headers of one part, of a boundary */

/* One part; p NULL where it has no such header or parameter. Names are without quotes and escapes. */
struct rf_part {
	struct rf_str disposition, type, encoding; /* Content-Disposition, -Type, -Transfer-Encoding */
	struct rf_str name, filename;
	struct rf_str filename_star;               /* filename* as written [RFC 6266 4.3] */
	struct rf_str body;
	bool cut;                                  /* no boundary follows: it may go on */
};

/* A parameter of a header's value such as `form-data; name="x"`, without quotes and escapes. False where it is not there;
 * p of *ret NULL without memory. */
bool rf_header_param(struct rf_str value, struct rf_str name, struct rf_arena *a, struct rf_str *ret);

/* The next part of what is left of a body, which begins at the start of the body. RF_OK; RF_E_EOF: no more; RF_E_NOMEM;
 * RF_E_TOO_LARGE: its headers do not end within RF_PART_HEADERS. */
int rf_multipart_next(struct rf_str *rest, struct rf_str boundary, struct rf_arena *a, struct rf_part *ret);

/* The media type that the first bytes of a body show, such as "image/jpeg"; NULL where they show none. */
const char *rf_media_of_bytes(struct rf_str body);
