/* ctl/record_facts: what a stored line says of a request: a record (tbl/records.def), or a sample of one (records.samples).
 *
 * A sample holds the request as rules would test it; a record holds less. Each says what it does not know.
 */
#pragma once
#include <jansson.h>
#include "device/registry.h"
#include "policy/know.h"

struct rf_record_facts {
	struct rf_facts facts;
	struct rf_knowledge know;       /* over the facts; its ctx is this */
	/* what the line says, borrowed from it */
	struct rf_str type, ray, host, path, device_id, class_name, action, rule_id;
	int64_t at_s, status;
	/* private */
	json_t *request;
	const json_t *sample;           /* NULL: of a record */
	bool device_known;
	uint64_t knows[(RF_FIELD_COUNT + 63) / 64];
};

/* `device`: who it is now, with the name of its class; NULL: nobody knows. Its texts are taken for those of then where
 * `device_as_then`. The line outlives the facts, which live in the arena. RF_E_TYPE: no line of ours. Always rf_record_facts_fini. */
int rf_record_facts(const json_t *line, const struct rf_device *device, struct rf_str class_name, bool device_as_then,
		    struct rf_arena *arena, const struct rf_lists *lists, struct rf_record_facts *ret, struct rf_err *e);
void rf_record_facts_fini(struct rf_record_facts *f);
