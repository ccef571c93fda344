/* monitor/gate: the kernel filter on the interfaces of the plan.
 *
 *   start, reload, an interface came or changed -> each interface of the plan has the filter; those that left the plan have not
 *
 * An interface that is absent is no error: a watch on the kernel's links tells when it comes. Where the kernel takes no filter, or an
 * interface cannot have it at the start, that is said once, and nft takes its place (gate_nft) on all of them; where that is missing
 * too, the edge serves without: its workers ask the same tables. A filter of before whose tables this one cannot take stays until the
 * engine has filled new ones.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/buf.h"
#include "monitor/monitor_in.h"

static const char *const words[] = { [GATE_ABSENT] = "absent", [GATE_NATIVE] = "native", [GATE_GENERIC] = "generic", [GATE_NFT] = "nft", [GATE_FAILED] = "failed" };

static void native_why_not(const struct monitor *m, const char *interface, char *to, size_t room)
{
	struct rf_err e = { 0 };
	if (m->gate_want == RF_GATE_GENERIC)
		snprintf(to, room, "shield.mode says so");
	else if (rf_kernel_gives(&m->kernel, RF_KERNEL_FOR_NATIVE, &e) != RF_OK)
		snprintf(to, room, "%.150s", e.text);
	else
		snprintf(to, room, m->gate_cookies && rf_filter_is_cable(interface) ? "the other end of a virtual cable would lose its SYN cookies" :
			"this driver has no native one");
}

static enum gate_state attach(struct monitor *m, struct gate *g)
{
	enum rf_filter_mode mode;
	struct rf_err e = { 0 };
	int rc = rf_filter_attach(m->filter, g->name, m->gate_want, m->gate_cookies, &mode, &e);
	enum gate_state now = rc == RF_OK ? mode == RF_FILTER_NATIVE ? GATE_NATIVE : GATE_GENERIC : rc == RF_E_NOT_FOUND ? GATE_ABSENT : GATE_FAILED;
	if (now == GATE_GENERIC)
		native_why_not(m, g->name, g->why, sizeof g->why);
	else
		snprintf(g->why, sizeof g->why, "%.159s", now == GATE_FAILED ? e.text : "");
	if (now == g->state && g->said)
		return now;
	if (rc == RF_OK)
		rf_mon_say(m, now == GATE_NATIVE ? 'i' : 'w', "the kernel filter stands on %s%s%s%s", g->name,
			now == GATE_NATIVE ? "" : ", in generic mode: ", now == GATE_NATIVE ? "" : g->why, now == GATE_NATIVE ? "" : "; frames cost more");
	else
		rf_mon_say(m, now == GATE_ABSENT ? 'w' : 'e', "no kernel filter on %s: %s", g->name, e.text);
	g->said = true;
	return now;
}

void rf_mon_gate_ensure(struct monitor *m)
{
	if (m->nft.on)
		rf_mon_nft_ensure(m);
	for (size_t i = 0; m->filter && !m->gate_waits && i < m->gate_count; i++) {
		enum gate_state was = m->gates[i].state;
		m->gates[i].state = attach(m, &m->gates[i]);
		m->gate_turns |= m->served && was != GATE_FAILED && m->gates[i].state == GATE_FAILED;
	}
}

/* The tables are new and empty, because those that are pinned are of another version: what stands keeps its own until the engine has
 * filled the new ones. */
static bool must_wait(const struct monitor *m)
{
	bool stands = false;
	for (size_t i = 0; i < m->plan->interface_count; i++)
		stands |= rf_filter_stands(m->filter, m->plan->interfaces[i]);
	return stands;
}

void rf_mon_gate_filled(struct monitor *m)
{
	if (!m->gate_waits)
		return;
	m->gate_waits = false;
	rf_mon_gate_ensure(m);
}

static bool planned(const struct rf_plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->interface_count; i++)
		if (strcmp(plan->interfaces[i], name) == 0)
			return true;
	return false;
}

static struct gate *known(struct monitor *m, const char *name)
{
	for (size_t i = 0; i < m->gate_count; i++)
		if (strcmp(m->gates[i].name, name) == 0)
			return &m->gates[i];
	return NULL;
}

static void add(struct monitor *m, const char *name)
{
	struct gate *g = &m->gates[m->gate_count++];
	*g = (struct gate){ .state = GATE_ABSENT };
	snprintf(g->name, sizeof g->name, "%s", name);
}

void rf_mon_gate_follow(struct monitor *m, const struct rf_plan *plan)
{
	size_t kept = 0;
	for (size_t i = 0; i < m->gate_count; i++)
		if (planned(plan, m->gates[i].name))
			m->gates[kept++] = m->gates[i];
		else if (m->nft.on)
			rf_mon_nft_detach(m, m->gates[i].name);
		else
			rf_filter_detach(m->filter, m->gates[i].name);
	m->gate_count = kept;
	m->gate_want = plan->gate;
	m->gate_cookies = plan->cookies;
	for (size_t i = 0; i < plan->interface_count; i++)
		if (!known(m, plan->interfaces[i]))
			add(m, plan->interfaces[i]);
	rf_mon_gate_ensure(m);
}

/* Where the filter answers no SYN with a cookie, the kernel does when a listener's queue is full, if it may. */
static void allow_cookies(struct monitor *m)
{
	static const char path[] = "/proc/sys/net/ipv4/tcp_syncookies";
	char now = '0';
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || pread(fd, &now, 1, 0) != 1 || (now == '0' && pwrite(fd, "1", 1, 0) != 1))
		rf_mon_say(m, 'w', "no SYN cookies: %s cannot be set: %s", path, strerror(errno));
	else if (now == '0')
		rf_mon_say(m, 'i', "%s was 0 and is 1 now, for SYN cookies", path);
	if (fd >= 0)
		close(fd);
}

static void say_cookies(struct monitor *m)
{
	const char *why;
	if (!m->gate_cookies)
		return;
	allow_cookies(m);
	if (m->nft.on && m->nft.cookies)
		return;
	if (!m->filter)
		why = m->nft.on ? m->nft.no_cookies : "there is no kernel filter";
	if (!m->filter || !rf_filter_cookies(m->filter, &why))
		rf_mon_say(m, 'w', "SYN cookies only by the kernel's own means, when a listener's queue is full: %s", why);
}

/* Told whenever a link comes, goes or changes; what it says is not read. */
static int watch_links(void)
{
	struct sockaddr_nl at = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

void rf_mon_gate_links(struct monitor *m)
{
	char unread[4096];
	while (recv(m->links, unread, sizeof unread, MSG_TRUNC) > 0)
		;
	rf_mon_gate_ensure(m);
}

static const struct gate *refused(const struct monitor *m)
{
	size_t i = 0;
	while (i < m->gate_count && m->gates[i].state != GATE_FAILED)
		i++;
	return i < m->gate_count ? &m->gates[i] : NULL;
}

/* Where the filter cannot stand on an interface that is there, nft takes its place, on all of them: one policy has one form. */
static void fall_back(struct monitor *m)
{
	const struct gate *g = m->filter ? refused(m) : NULL;
	if (!g)
		return;
	if (!rf_mon_nft_begin(m, g->why)) {
		rf_mon_say(m, 'e', "nothing filters %s: %s; and not by nft: %s; sources there are refused only when they connect", g->name, g->why,
			m->nft.why_not);
		return;
	}
	rf_filter_close(m->filter);
	m->filter = NULL;
	rf_mon_gate_follow(m, m->plan);
}

/* The same later, while an engine serves: its tables are those of the filter, so that another takes over from it, as at an upgrade.
 * Until that has given nft its policy, what stands stays. */
void rf_mon_gate_turn(struct monitor *m)
{
	if (!m->gate_turns || m->stopping || !m->now.ready || m->old.pid || m->next || m->checker)
		return;
	m->gate_turns = false;
	if (!m->filter || !refused(m))
		return;
	fall_back(m);
	if (!m->nft.on)
		return;
	m->old = m->now;
	rf_mon_engine_init(&m->now);
	rf_mon_engine_start(m);
}

void rf_mon_gate_begin(struct monitor *m)
{
	struct rf_err e = { 0 };
	bool fresh = false;
	if (!m->plan->interface_count)
		return;
	bool chosen = m->plan->gate == RF_GATE_NFT;
	if (chosen)
		rf_fail(&e, RF_E_UNSUPPORTED, "shield.mode says so");
	if (chosen || rf_filter_open(m->plan->filter_dir, &m->kernel, &m->filter, &fresh, &e) != RF_OK) {
		snprintf(m->gate_why, sizeof m->gate_why, "%.199s", e.text);
		if (!rf_mon_nft_begin(m, m->gate_why)) {
			rf_mon_say(m, 'e', "NOTHING FILTERS FRAMES, on no interface: %s; and not by nft: %s; sources are refused only when they connect",
				m->gate_why, m->nft.why_not);
			return;
		}
	}
	m->gate_waits = m->filter && fresh && must_wait(m);
	if (m->gate_waits)
		rf_mon_say(m, 'i', "the pinned filter is of another version: it stays until this one has its policy");
	m->links = watch_links();
	rf_mon_gate_follow(m, m->plan);
	fall_back(m);
	say_cookies(m);
}

/* What is attached stays: a stop must not open the gate. */
void rf_mon_gate_end(struct monitor *m)
{
	rf_filter_close(m->filter);
	rf_mon_nft_end(m);
	if (m->links >= 0)
		close(m->links);
}

void rf_mon_gate_text(const struct monitor *m, char *to, size_t room)
{
	size_t n = 0;
	to[0] = 0;
	for (size_t i = 0; i < m->gate_count && n < room; i++)
		n += (size_t)snprintf(to + n, room - n, "%s%s %s", i ? ", " : "", m->gates[i].name,
			m->gate_waits ? "as before" : words[m->gates[i].state]);
	const char *why;
	if (n && n < room && m->nft.on)
		n += (size_t)snprintf(to + n, room - n, " (%s)", m->nft.why);
	if (n && n < room && m->gate_cookies)
		snprintf(to + n, room - n, "; SYN cookies: %s", m->filter && rf_filter_cookies(m->filter, &why) ? "filter" :
			m->nft.on && m->nft.cookies ? "nft" : "kernel");
}

static void filter_line(const struct monitor *m, struct rf_buf *to)
{
	if (!m->plan->interface_count)
		rf_buf_printf(to, "filter\tnone\tshield.interfaces names no network interface\n");
	else if (m->nft.on)
		rf_buf_printf(to, "filter\tnft\t%s\n", m->nft.why);
	else if (m->filter)
		rf_buf_printf(to, "filter\tfilter\t%s\n", m->gate_waits ? "tables of another version stand until the new ones have the policy" : "");
	else
		rf_buf_printf(to, "filter\tnone\t%s; and not by nft: %s\n", m->gate_why, m->nft.why_not);
}

static void interface_lines(const struct monitor *m, struct rf_buf *to)
{
	for (size_t i = 0; i < m->gate_count; i++)
		rf_buf_printf(to, "interface\t%s\t%s\t%s\n", m->gates[i].name, words[m->gates[i].state], m->gates[i].why);
	for (size_t i = 0; !m->filter && !m->nft.on && i < m->plan->interface_count; i++)
		rf_buf_printf(to, "interface\t%s\tnone\t\n", m->plan->interfaces[i]);
}

static void cookies_line(const struct monitor *m, struct rf_buf *to)
{
	const char *why = m->nft.on ? m->nft.no_cookies : "there is no kernel filter";
	if (!m->plan->cookies || !m->plan->interface_count)
		rf_buf_printf(to, "cookies\toff\t\n");
	else if (m->filter ? rf_filter_cookies(m->filter, &why) : m->nft.on && m->nft.cookies)
		rf_buf_printf(to, "cookies\t%s\t\n", m->filter ? "filter" : "nft");
	else
		rf_buf_printf(to, "cookies\tkernel\t%s\n", why);
}

int rf_mon_gate_standing(const struct monitor *m)
{
	RF_BUF_AUTO to = { 0 };
	uint32_t missing = m->kernel.missing | (m->nft.why_not[0] ? 1u << RF_KERNEL_NFT : 0);
	filter_line(m, &to);
	interface_lines(m, &to);
	cookies_line(m, &to);
	for (unsigned i = 0; i < RF_KERNEL_COUNT; i++) {
		enum rf_kernel_use use = rf_kernel_use_of((enum rf_kernel_thing)i);
		if (missing >> i & 1)
			rf_buf_printf(&to, "missing\t%s\t%s\t%s\n", rf_kernel_word((enum rf_kernel_thing)i), rf_kernel_what(use), rf_kernel_instead(use));
	}
	int fd = to.bad ? -1 : memfd_create("standing", MFD_CLOEXEC);
	if (fd < 0 || write(fd, to.p, to.n) == (ssize_t)to.n)
		return fd;
	close(fd);
	return -1;
}
