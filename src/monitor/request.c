/* monitor/request: see request.h. The check is what stands between a taken-over engine and root: it looks at nothing
 * but numbers, and at a text that it cuts.
 */
#include "monitor/request.h"
#include <errno.h>
#include <sys/socket.h>
#include "monitor/ports.h"

enum argument { NONE, LISTENER, FILE_, FLAG, NUMBER, GROUP, PORT, ANSWER };
#define FILE FILE_
static const enum argument arguments[RF_REQUEST_COUNT] = {
#define RF_REQUEST(name, argument, doc) argument,
#include "monitor/request.def"
#undef RF_REQUEST
};
#undef FILE

/* A transparent listener answers from whatever port was asked. */
static bool answers(const struct rf_plan *plan, struct rf_port_name n)
{
	const struct rf_plan_listener *l = n.listener < plan->listener_count ? &plan->listeners[n.listener] : NULL;
	return l && l->ports && n.udp && n.port && (l->port || rf_port_allowed(plan, n));
}

int rf_request_check(const void *p, size_t n, const struct rf_plan *plan, struct rf_request *ret)
{
	struct rf_request r;
	if (n != sizeof r)
		return RF_E_SYNTAX;
	memcpy(&r, p, sizeof r);
	if (r.magic != RF_REQUEST_MAGIC || !memchr(r.text, 0, sizeof r.text))
		return RF_E_SYNTAX;
	if (r.kind >= RF_REQUEST_COUNT)
		return RF_E_UNKNOWN;
	const size_t bound[] = { [NONE] = 1, [LISTENER] = plan->listener_count, [FILE_] = plan->file_count, [FLAG] = 2,
				 [NUMBER] = 4096, [GROUP] = RF_PORT_GROUPS, [PORT] = UINT32_MAX, [ANSWER] = UINT32_MAX };
	if (r.arg >= bound[arguments[r.kind]])
		return RF_E_RANGE;
	if ((arguments[r.kind] == PORT && !rf_port_allowed(plan, rf_port_name(r.arg))) ||
	    (arguments[r.kind] == ANSWER && !answers(plan, rf_port_name(r.arg))))
		return RF_E_RANGE;
	for (size_t i = 0; r.text[i]; i++)
		if ((unsigned char)r.text[i] < ' ')
			r.text[i] = ' ';
	*ret = r;
	return RF_OK;
}

int rf_request_send(int fd, const struct rf_request *r, const int *fds, size_t count)
{
	union { struct cmsghdr align; char room[CMSG_SPACE(RF_PLAN_SOCKETS_MAX * sizeof(int))]; } control;
	struct iovec v = { (void *)(uintptr_t)r, sizeof *r };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	if (count > RF_PLAN_SOCKETS_MAX)
		return RF_E_FULL;
	if (count) {
		memset(&control, 0, sizeof control);
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(count * sizeof *fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(count * sizeof *fds);
		memcpy(CMSG_DATA(c), fds, count * sizeof *fds);
	}
	ssize_t n;
	do
		n = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof *r ? RF_OK : n < 0 && errno == EAGAIN ? RF_E_AGAIN : n < 0 && errno == EPIPE ? RF_E_EOF : RF_E_IO;
}

int rf_request_recv(int fd, struct rf_request *ret, int *fds, size_t *count)
{
	union { struct cmsghdr align; char room[CMSG_SPACE(RF_PLAN_SOCKETS_MAX * sizeof(int))]; } control;
	struct rf_request r;
	struct iovec v = { &r, sizeof r };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = fds ? &control : NULL,
			    .msg_controllen = fds ? CMSG_SPACE(*count * sizeof *fds) : 0 };
	ssize_t n;
	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n == 0 || errno == ECONNRESET ? RF_E_EOF : errno == EAGAIN ? RF_E_AGAIN : RF_E_IO;
	size_t got = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); fds && c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
			got = (c->cmsg_len - CMSG_LEN(0)) / sizeof *fds;
			memcpy(fds, CMSG_DATA(c), got * sizeof *fds);
		}
	if (count)
		*count = got;
	*ret = r;
	return n == (ssize_t)sizeof r && !(m.msg_flags & MSG_TRUNC) ? RF_OK : RF_E_SYNTAX;
}
