/* monitor/steering: ports of the plan: where the kernel can, it steers them; where not, single ports are bound as the engine asks.
 *
 *   start, reload -> addresses of the plan have places -> sockets are open and in the kernel's map -> program attached
 *
 * An address keeps its place as long as the plan has it, also over an upgrade: the map of wanted ports goes by places.
 */
#include <stdio.h>
#include "monitor/monitor_in.h"

static bool wanted(const struct rf_plan *plan, const struct rf_ip *ip)
{
	for (size_t i = 0; i < plan->listener_count; i++) {
		const struct rf_plan_listener *l = &plan->listeners[i];
		if (l->ports && !l->port && rf_ip_eq(&l->ip, ip))
			return true;
	}
	return false;
}

static int place_of(const struct monitor *m, const struct rf_ip *ip)
{
	for (int i = 0; i < RF_STEER_PLACES; i++)
		if (m->places[i].family == ip->family && rf_ip_eq(&m->places[i], ip))
			return i;
	return -1;
}

/* Places of addresses that went are free again; new addresses take free ones. */
static int settle(struct monitor *m, const struct rf_plan *plan, struct rf_err *e)
{
	static const struct rf_ip none;
	for (size_t i = 0; i < RF_STEER_PLACES; i++)
		if (m->places[i].family && !wanted(plan, &m->places[i]))
			m->places[i] = none;
	for (size_t i = 0; i < plan->listener_count; i++) {
		const struct rf_plan_listener *l = &plan->listeners[i];
		if (!l->ports || l->port || place_of(m, &l->ip) >= 0)
			continue;
		int free_one = place_of(m, &none);
		if (free_one < 0)
			return rf_fail(e, RF_E_FULL, "ports are steered at %d addresses at most", RF_STEER_PLACES);
		m->places[free_one] = l->ip;
	}
	return RF_OK;
}

static int allow(struct monitor *m, const struct rf_plan *plan, struct rf_err *e)
{
	static uint64_t words[RF_STEER_PLACES][RF_STEER_PLACE_WORDS];
	int rc = RF_OK;
	memset(words, 0, sizeof words);
	for (unsigned i = 0; i < plan->listener_count; i++)
		if (plan->listeners[i].ports && !plan->listeners[i].port)
			rf_port_allowed_all(plan, i, words[place_of(m, &plan->listeners[i].ip)]);
	for (size_t i = 0; i < RF_STEER_PLACES && rc == RF_OK; i++)
		rc = rf_steer_allow(m->steer, i, words[i], e);
	return rc;
}

static int give_sockets(struct monitor *m, unsigned workers, struct rf_err *e)
{
	int rc = RF_OK;
	for (unsigned group = 0; group < RF_PORT_GROUPS; group++) {
		int fds[RF_PLAN_SOCKETS_MAX];
		size_t n = rf_port_sockets_group(&m->ports, group, fds);
		for (unsigned i = 0; i < n && i < workers && rc == RF_OK; i++)
			rc = rf_steer_socket(m->steer, group, i, fds[i], e);
	}
	return rc;
}

static int steer(struct monitor *m, const struct rf_plan *plan, unsigned workers, bool transparent, struct rf_err *e)
{
	int rc = m->steer ? RF_OK : rf_kernel_gives(&m->kernel, RF_KERNEL_FOR_STEER, e);
	if (rc == RF_OK && !m->steer)
		rc = rf_steer_open(plan->filter_dir, &m->steer, m->places, e);
	if (rc == RF_OK)
		rc = settle(m, plan, e);
	if (rc == RF_OK)
		rc = rf_port_sockets_steered(&m->ports, workers, transparent, e);
	if (rc == RF_OK)
		rc = give_sockets(m, workers, e);
	if (rc == RF_OK)
		rc = allow(m, plan, e);
	if (rc == RF_OK)
		rc = rf_steer_places(m->steer, workers, m->places, e);
	return rc == RF_OK ? rf_steer_attach(m->steer, e) : rc;
}

static void stop(struct monitor *m)
{
	if (m->steer)
		rf_steer_detach(m->steer);
	rf_steer_close(m->steer);
	m->steer = NULL;
	rf_port_sockets_unsteer(&m->ports);
	memset(m->places, 0, sizeof m->places);
}

void rf_mon_ports_follow(struct monitor *m, const struct rf_plan *plan)
{
	unsigned workers = 0;
	bool transparent = false;
	struct rf_err e = { 0 };
	for (size_t i = 0; i < plan->listener_count; i++) {
		const struct rf_plan_listener *l = &plan->listeners[i];
		workers = l->ports && !l->port ? l->sockets : workers;
		transparent |= l->ports && !l->port && l->transparent;
	}
	rf_port_sockets_trim(&m->ports, plan);
	if (!workers) {
		stop(m);
		return;
	}
	if (!plan->steer) {
		stop(m);
	} else if (steer(m, plan, workers, transparent, &e) != RF_OK) {
		stop(m);
		rf_mon_say(m, 'w', "%s; each port gets sockets of its own, at most %d ports at once", e.text, RF_PORT_BOUND_MAX);
	}
}

/* What is attached goes with its sockets. */
void rf_mon_ports_end(struct monitor *m)
{
	rf_port_sockets_close(&m->ports);
	stop(m);
}

void rf_mon_ports_text(const struct monitor *m, const struct rf_plan *plan, char *to, size_t room)
{
	size_t n = 0;
	to[0] = 0;
	for (unsigned i = 0; m->steer && i < plan->listener_count && n < room; i++) {
		const struct rf_plan_listener *l = &plan->listeners[i];
		int place = l->ports && !l->port ? place_of(m, &l->ip) : -1;
		if (place >= 0)
			n += (size_t)snprintf(to + n, room - n, "%s%d:%u", n ? "," : "", place, i);
	}
}
