/* svc/l4/status: the documented numbers of how a connection or session of a port ended (tbl/l4_status.def). */
#pragma once
#include "records/counters.h"

enum l4_status {
#define RF_L4_STATUS(id, code, event, doc) L4_##id,
#include "tbl/l4_status.def"
#undef RF_L4_STATUS
	L4_STATUSES
};

enum l4_event {
#define RF_L4_EVENT(id, name, doc) L4_EVENT_##id,
#include "tbl/l4_status.def"
#undef RF_L4_EVENT
	L4_EVENTS
};

struct l4_status_row {
	unsigned code;
	enum l4_event event; /* of the record that tells it */
	const char *words;
};

extern const struct l4_status_row l4_statuses[L4_STATUSES];
extern const char *const l4_events[L4_EVENTS];

enum l4_side { L4_CLIENT, L4_ORIGIN };

/* Of a reason to refuse. */
enum l4_status l4_status_refused(enum rf_reason reason);
/* Of an error of one side's established stream. */
enum l4_status l4_status_broken(enum l4_side side, int error);
/* Of an origin that was not opened; of one whose name has led to no address. */
enum l4_status l4_status_unopened(int error);
enum l4_status l4_status_unresolved(int error);
