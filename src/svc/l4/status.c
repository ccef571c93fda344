/* svc/l4/status: which number says what happened. */
#include "svc/l4/status.h"
#include "base/err.h"

const struct l4_status_row l4_statuses[L4_STATUSES] = {
#define RF_L4_STATUS(id, code, event, doc) [L4_##id] = { code, L4_EVENT_##event, doc },
#include "tbl/l4_status.def"
#undef RF_L4_STATUS
};

const char *const l4_events[L4_EVENTS] = {
#define RF_L4_EVENT(id, name, doc) [L4_EVENT_##id] = name,
#include "tbl/l4_status.def"
#undef RF_L4_EVENT
};

enum l4_status l4_status_refused(enum rf_reason reason)
{
	switch (reason) {
	case RF_REASON_HANDSHAKE:
		return L4_HANDSHAKE;
	case RF_REASON_SLOW:
		return L4_CLIENT_SILENT;
	case RF_REASON_MEMORY:
	case RF_REASON_OVERLOAD:
	case RF_REASON_DRAINING:
		return L4_INTERNAL;
	default:
		return L4_FILTERED;
	}
}

enum l4_status l4_status_broken(enum l4_side side, int error)
{
	static const struct { enum l4_status reset, pipe, silent, lost, failed; } by[2] = {
		[L4_CLIENT] = { L4_CLIENT_RESET, L4_CLIENT_PIPE, L4_CLIENT_SILENT, L4_CLIENT_LOST, L4_CLIENT_FAILED },
		[L4_ORIGIN] = { L4_ORIGIN_RESET, L4_ORIGIN_PIPE, L4_ORIGIN_SILENT, L4_ORIGIN_LOST, L4_ORIGIN_FAILED },
	};
	switch (error) {
	case RF_E_RESET:
		return by[side].reset;
	case RF_E_PIPE:
		return by[side].pipe;
	case RF_E_TIMEOUT:
		return by[side].silent;
	case RF_E_IO:
		return by[side].lost;
	case RF_E_CRYPTO:
		return side == L4_CLIENT ? L4_CLIENT_TLS : L4_ORIGIN_FAILED;
	case RF_E_NOMEM:
	case RF_E_FULL:
		return L4_INTERNAL;
	default:
		return by[side].failed;
	}
}

enum l4_status l4_status_unopened(int error)
{
	switch (error) {
	case RF_E_REFUSED:
	case RF_E_RESET:
	case RF_E_PIPE:
		return L4_ORIGIN_REFUSED;
	case RF_E_TIMEOUT:
		return L4_ORIGIN_TIMEOUT;
	case RF_E_IO:
		return L4_ORIGIN_NOWAY;
	case RF_E_NOMEM:
	case RF_E_FULL:
		return L4_ORIGIN_LOCAL;
	case RF_E_DENIED:
		return L4_ORIGIN_BARRED;
	default:
		return L4_ORIGIN_UNKNOWN;
	}
}

enum l4_status l4_status_unresolved(int error)
{
	switch (error) {
	case RF_E_NOT_FOUND:
		return L4_RESOLVE_NONE;
	case RF_E_TIMEOUT:
	case RF_E_IO:
		return L4_RESOLVE_FAILED;
	default:
		return L4_RESOLVE_LOCAL;
	}
}
