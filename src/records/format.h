/* records/format: a record as a line, for machines and for people. */
#pragma once
#include "base/buf.h"
#include "records/record.h"

/* One JSON object without line end; fields of tbl/records.def, "ID" where id is not 0, and "Type". */
void rf_record_json(struct rf_buf *out, const struct rf_record *rec, uint64_t id);

/* "12:00:01 BLOCK lamp-7 POST shop.example/login -> 403 the client certificate is revoked", without line end. Bytes that a terminal would
 * obey are shown as "?". */
void rf_record_human(struct rf_buf *out, const struct rf_record *rec, bool colours);
