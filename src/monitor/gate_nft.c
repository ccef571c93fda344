/* monitor/gate_nft: nft on the interfaces of the plan, where the kernel takes no filter or shield.mode says so.
 *
 *   policy from the engine, or an interface came -> the whole table in one transaction -> interfaces have it
 *
 * Until the first policy the table that stands from before is left alone. One that nft cannot bring in line (of another version) is
 * replaced in the same transaction.
 */
#include <net/if.h>
#include <stdio.h>
#include "monitor/monitor_in.h"
#include "monitor/nft.h"
#include "monitor/nft_counts.h"

static int table_text(const struct monitor *m, bool anew, struct rf_buf *to, struct rf_err *e)
{
	int rc = RF_OK;
	if (anew)
		rf_buf_printf(to, "add table " RF_NFT_TABLE "\ndelete table " RF_NFT_TABLE "\n");
	rf_nft_policy_text(&m->nft.policy, to);
	for (size_t i = 0; i < m->gate_count && rc == RF_OK; i++)
		if (if_nametoindex(m->gates[i].name))
			rc = rf_nft_hook_text(m->gates[i].name, to, e);
	return to->bad ? rf_fail(e, RF_E_NOMEM, "memory is exhausted") : rc;
}

static int put_in_force(const struct monitor *m, struct rf_err *e)
{
	int rc = RF_E_INVALID;
	for (int anew = 0; anew < 2 && rc == RF_E_INVALID; anew++) {
		RF_BUF_AUTO text = { 0 };
		rc = table_text(m, anew, &text, e);
		if (rc != RF_OK)
			return rc;
		rc = rf_nft_run(rf_buf_str(&text), e);
	}
	return rc;
}

static void settle(struct monitor *m, int rc, const struct rf_err *e)
{
	for (size_t i = 0; i < m->gate_count; i++) {
		struct gate *g = &m->gates[i];
		unsigned index = if_nametoindex(g->name);
		enum gate_state now = !index ? GATE_ABSENT : rc == RF_OK ? GATE_NFT : GATE_FAILED;
		if (now != g->state || !g->said)
			rf_mon_say(m, now == GATE_NFT ? 'i' : 'w', now == GATE_NFT ? "nft filters %s%s%s" : "no nft filter on %s%s%s", g->name,
				now == GATE_NFT ? "" : ": ", now == GATE_NFT ? "" : now == GATE_ABSENT ? "there is no such network interface" : e->text);
		g->state = now;
		g->said = true;
		g->index = rc == RF_OK ? index : 0;
	}
}

void rf_mon_nft_ensure(struct monitor *m)
{
	struct rf_err e = { 0 };
	bool changed = false;
	for (size_t i = 0; i < m->gate_count; i++)
		changed |= m->gates[i].index != if_nametoindex(m->gates[i].name);
	if (m->nft.known && changed)
		settle(m, put_in_force(m, &e), &e);
}

int rf_mon_nft_policy(struct monitor *m, int fd, struct rf_err *e)
{
	struct rf_nft_policy next, before = m->nft.policy;
	if (!m->nft.on)
		return rf_fail(e, RF_E_UNSUPPORTED, "nft is not in use");
	int rc = rf_nft_policy_read(fd, &next, e);
	if (rc != RF_OK)
		return rc;
	m->nft.policy = next;
	rc = put_in_force(m, e);
	if (rc == RF_OK || !m->nft.known) {
		m->nft.known = true;
		rf_nft_policy_fini(&before);
		settle(m, rc, e);
		return rc;
	}
	rf_nft_policy_fini(&m->nft.policy);
	m->nft.policy = before;
	return rc;
}

void rf_mon_nft_detach(struct monitor *m, const char *interface)
{
	RF_BUF_AUTO text = { 0 };
	struct rf_err e = { 0 };
	if (rf_nft_unhook_text(interface, &text, &e) != RF_OK || rf_nft_run(rf_buf_str(&text), &e) != RF_OK)
		rf_mon_say(m, 'w', "nft may still filter %s: %s", interface, e.text);
}

void rf_mon_nft_counts(char *to, size_t room)
{
	static const char *const words[] = {
#define X(name, word) word,
		RF_NFT_COUNTERS(X)
#undef X
	};
	enum { COUNTERS = sizeof words / sizeof *words };
	uint64_t v[COUNTERS][2];
	size_t n = 0;
	to[0] = 0;
	if (rf_nft_counts(words, COUNTERS, v) != RF_OK)
		return;
	for (size_t i = 0; i < COUNTERS && n < room; i++)
		n += (size_t)snprintf(to + n, room - n, "%llu %llu ", (unsigned long long)v[i][0], (unsigned long long)v[i][1]);
}

bool rf_mon_nft_begin(struct monitor *m, const char *why)
{
	struct rf_err e = { 0 };
	int rc = rf_nft_run(RF_STR("add table " RF_NFT_TABLE "\n"), &e);
	if (rc != RF_OK) {
		rf_mon_say(m, 'w', "no kernel filter: %s; and not by nft: %s; sources are refused only when they connect", why, e.text);
		return false;
	}
	m->nft.on = true;
	snprintf(m->nft.why, sizeof m->nft.why, "%s", why);
	rf_mon_say(m, 'i', "nft takes the place of the kernel filter: %s", why);
	return true;
}

void rf_mon_nft_end(struct monitor *m)
{
	rf_nft_policy_fini(&m->nft.policy);
}

/* The other way is in force now, with all of the policy. */
void rf_mon_nft_yield(struct monitor *m)
{
	struct rf_err e = { 0 };
	if (m->nft.on)
		for (size_t i = 0; i < m->gate_count; i++)
			rf_filter_release(m->plan->filter_dir, m->gates[i].name);
	else if (m->filter && m->gate_count)
		rf_nft_run(RF_STR("add table " RF_NFT_TABLE "\ndelete table " RF_NFT_TABLE "\n"), &e);
}
