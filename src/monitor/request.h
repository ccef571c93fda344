/* monitor/request: the messages between engine and monitor, as datagrams of one fixed size. */
#pragma once
#include "base/err.h"
#include "monitor/plan.h"

enum rf_request_kind {
#define RF_REQUEST(name, argument, doc) RF_REQUEST_##name,
#include "monitor/request.def"
#undef RF_REQUEST
	RF_REQUEST_COUNT
};

enum { RF_FILTER_HAS_COOKIES = 1, RF_FILTER_IS_NFT = 2 }; /* the number of the answer to FILTER */
enum { RF_REQUEST_TEXT = 480, RF_REQUEST_MAGIC = 0x52460001 };

struct rf_request {     /* and its answer */
	uint32_t magic;
	uint32_t kind;
	uint32_t arg;
	int32_t code;   /* of an answer: RF_OK or RF_E_* */
	char text[RF_REQUEST_TEXT]; /* ends with NUL */
};

/* Is this a request that the plan allows? Copies it to *ret then. RF_E_SYNTAX, RF_E_UNKNOWN, RF_E_RANGE. */
int rf_request_check(const void *p, size_t n, const struct rf_plan *plan, struct rf_request *ret);

/* One message with descriptors; blocks as the socket does. RF_OK, RF_E_AGAIN, RF_E_EOF, RF_E_IO; RF_E_SYNTAX for
 * a message of another size. *count: room in, number out; descriptors received are close-on-exec. */
int rf_request_send(int fd, const struct rf_request *r, const int *fds, size_t count);
int rf_request_recv(int fd, struct rf_request *ret, int *fds, size_t *count);

enum rf_notice { RF_NOTICE_RELOAD, RF_NOTICE_DRAIN };
