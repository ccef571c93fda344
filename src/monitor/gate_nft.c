/* monitor/gate_nft: nft on the interfaces of the plan, where the kernel takes no filter or shield.mode says so.
 *
 *   policy from the engine, or an interface came -> the whole table in one transaction -> interfaces have it
 *
 * Until the first policy the table that stands from before is left alone. One that nft cannot bring in line (of another version) is
 * replaced in the same transaction.
 */
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "monitor/monitor_in.h"
#include "monitor/nft.h"
#include "monitor/nft_counts.h"
#include "monitor/nft_log.h"
#include "monitor/nft_rules.h"
#include "monitor/nft_syn.h"

/* --- what stands from before and is not used any more --- */

struct leftovers {
	const struct rf_nft_policy *p;
	struct rf_buf *to;
};

static void left_chain(void *ctx, struct rf_str name)
{
	const struct leftovers *l = ctx;
	uint32_t chain;
	if (rf_nft_chain_named(name, &chain) && chain >= rf_nft_rules_chains(l->p->ops, l->p->head.ops))
		rf_buf_printf(l->to, "delete chain " RF_NFT_TABLE " %.*s\n", RF_ARG(name));
}

static void left_counter(void *ctx, struct rf_str name, uint64_t frames, uint64_t bytes)
{
	const struct leftovers *l = ctx;
	uint64_t key;
	(void)frames, (void)bytes;
	if (!rf_nft_rule_named(name, &key))
		return;
	for (uint32_t i = 0; i < l->p->head.ops; i++)
		if (l->p->ops[i].op == RF_NFT_HIT && l->p->ops[i].key == key)
			return;
	rf_buf_printf(l->to, "delete counter " RF_NFT_TABLE " %.*s\n", RF_ARG(name));
}

static unsigned mtu_of(const char *interface)
{
	struct ifreq q = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(q.ifr_name, sizeof q.ifr_name, "%s", interface);
	bool is = fd >= 0 && ioctl(fd, SIOCGIFMTU, &q) == 0;
	if (fd >= 0)
		close(fd);
	return is ? (unsigned)q.ifr_mtu : 0;
}

static int cookies_text(const struct monitor *m, struct rf_buf *to, struct rf_err *e)
{
	const struct rf_nft_head *h = &m->nft.policy.head;
	const struct rf_nft_tcp tcp = rf_nft_tcp_now();
	int rc = RF_OK;
	rf_nft_syn_text(h, to);
	for (size_t i = 0; i < m->gate_count && rc == RF_OK; i++)
		rc = rf_nft_syn_hook_text(h, &tcp, m->gates[i].name, mtu_of(m->gates[i].name), to, e);
	return rc;
}

static int table_text(const struct monitor *m, bool anew, struct rf_buf *to, struct rf_err *e)
{
	struct leftovers l = { &m->nft.policy, to };
	int rc = RF_OK;
	if (anew)
		rf_buf_printf(to, "add table " RF_NFT_TABLE "\ndelete table " RF_NFT_TABLE "\n");
	rf_nft_policy_text(&m->nft.policy, m->nft.group, to);
	if (m->nft.homes_known)
		rf_nft_homes_text(&m->nft.homes, to);
	for (size_t i = 0; i < m->gate_count && rc == RF_OK; i++)
		if (if_nametoindex(m->gates[i].name))
			rc = rf_nft_hook_text(m->gates[i].name, to, e);
	if (rc == RF_OK && m->nft.cookies)
		rc = cookies_text(m, to, e);
	if (!anew) {
		rf_nft_chains(left_chain, &l);
		rf_nft_counts(left_counter, &l);
	}
	return to->bad ? rf_fail(e, RF_E_NOMEM, "memory is exhausted") : rc;
}

static int put_in_force(struct monitor *m, struct rf_err *e)
{
	struct rf_err unsaid = { 0 };
	int rc = RF_E_INVALID;
	for (int anew = 0; anew < 2 && rc == RF_E_INVALID; anew++) {
		RF_BUF_AUTO text = { 0 };
		rc = table_text(m, anew, &text, e);
		if (rc != RF_OK)
			return rc;
		rc = rf_nft_run(rf_buf_str(&text), e);
	}
	if (rc == RF_OK && m->nft.cookies && m->nft.policy.head.cookies && rf_nft_syn_strict(&unsaid) != RF_OK)
		rf_mon_say(m, 'w', "SYN cookies may let ACKs through that belong to no connection: %s", unsaid.text);
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
		snprintf(g->why, sizeof g->why, "%.159s", now == GATE_FAILED ? e->text : "");
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

/* What the engine before has said stays for a while, where this one says nothing of an address. */
static void homes_before(struct monitor *m)
{
	if (m->nft.homes_of != m->now.pid) {
		rf_nft_homes_fini(&m->nft.left);
		m->nft.left = m->nft.homes;
		m->nft.homes = (struct rf_nft_homes){ NULL, 0 };
		m->nft.homes_known = false;
		m->nft.homes_of = m->now.pid;
		m->nft.left_until = rf_mon_mono(m) + HOMES_LEFT_NS;
	}
	if (rf_mon_mono(m) > m->nft.left_until)
		rf_nft_homes_fini(&m->nft.left);
}

static int put_homes(const struct rf_nft_homes *h, struct rf_err *e)
{
	RF_BUF_AUTO text = { 0 };
	rf_nft_homes_text(h, &text);
	return text.bad ? rf_fail(e, RF_E_NOMEM, "memory is exhausted") : rf_nft_run(rf_buf_str(&text), e);
}

int rf_mon_nft_homes(struct monitor *m, int fd, struct rf_err *e)
{
	struct rf_nft_homes next;
	if (!m->nft.on)
		return rf_fail(e, RF_E_UNSUPPORTED, "nft is not in use");
	int rc = rf_nft_homes_read(fd, &next, e);
	if (rc != RF_OK)
		return rc;
	homes_before(m);
	rc = rf_nft_homes_merge(&next, &m->nft.left) == RF_OK ? RF_OK : rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	if (rc == RF_OK && m->nft.known && !(m->nft.homes_known && rf_nft_homes_same(&next, &m->nft.homes)))
		rc = put_homes(&next, e);
	if (rc != RF_OK) {
		rf_nft_homes_fini(&next);
		return rc;
	}
	rf_nft_homes_fini(&m->nft.homes);
	m->nft.homes = next;
	m->nft.homes_known = true;
	return RF_OK;
}

void rf_mon_nft_detach(struct monitor *m, const char *interface)
{
	RF_BUF_AUTO text = { 0 };
	struct rf_err e = { 0 };
	if (rf_nft_unhook_text(interface, &text, &e) != RF_OK || rf_nft_run(rf_buf_str(&text), &e) != RF_OK)
		rf_mon_say(m, 'w', "nft may still filter %s: %s", interface, e.text);
}

/* --- what it counted --- */

struct counting {
	struct rf_nft_counted v[RF_NFT_COUNTED_MAX];
	size_t n;
};

static void counted(void *ctx, struct rf_str name, uint64_t frames, uint64_t bytes)
{
	static const struct { uint32_t why; const char *word; } ends[] = {
#define X(name, word, verdict) { RF_DROP_##name, word },
		RF_NFT_ENDS(X)
#undef X
	};
	struct counting *c = ctx;
	struct rf_nft_counted one = { .frames = frames, .bytes = bytes };
	one.is_rule = rf_nft_rule_named(name, &one.key);
	size_t i = 0;
	while (!one.is_rule && i < sizeof ends / sizeof *ends && !rf_str_eq(name, rf_str_z(ends[i].word)))
		i++;
	if ((!one.is_rule && i == sizeof ends / sizeof *ends) || c->n == RF_NFT_COUNTED_MAX)
		return;
	one.why = one.is_rule ? 0 : ends[i].why;
	c->v[c->n++] = one;
}

int rf_mon_nft_counts(void)
{
	static struct counting c;
	struct rf_nft_counted cookies[] = { { .why = RF_DROP_COOKIE }, { .why = RF_DROP_COOKIE_GOOD }, { .why = RF_DROP_COOKIE_BAD } };
	c.n = 0;
	if (rf_nft_syn_counts(&cookies[0].frames, &cookies[1].frames, &cookies[2].frames)) {
		memcpy(c.v, cookies, sizeof cookies);
		c.n = sizeof cookies / sizeof *cookies;
	}
	int fd = rf_nft_counts(counted, &c) == RF_OK ? memfd_create("counts", MFD_CLOEXEC) : -1;
	if (fd >= 0 && write(fd, c.v, c.n * sizeof *c.v) == (ssize_t)(c.n * sizeof *c.v))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

bool rf_mon_nft_begin(struct monitor *m, const char *why)
{
	struct rf_err e = { 0 };
	int rc = rf_kernel_gives(&m->kernel, RF_KERNEL_FOR_NFT, &e);
	if (rc == RF_OK)
		rc = rf_nft_run(RF_STR("add table " RF_NFT_TABLE "\n"), &e);
	snprintf(m->nft.why_not, sizeof m->nft.why_not, "%.199s", rc == RF_OK ? "" : e.text);
	if (rc != RF_OK)
		return false;
	m->nft.on = true;
	snprintf(m->nft.why, sizeof m->nft.why, "%s", why);
	rf_mon_say(m, 'i', "nft takes the place of the kernel filter: %s", why);
	m->nft.cookies = rf_kernel_gives(&m->kernel, RF_KERNEL_FOR_SYNPROXY, &e) == RF_OK && rf_nft_syn_probe(&e) == RF_OK;
	if (!m->nft.cookies)
		snprintf(m->nft.no_cookies, sizeof m->nft.no_cookies, "%.199s", e.text);
	if (rf_nft_log_open(&m->nft.log, &m->nft.group, &e) != RF_OK)
		rf_mon_say(m, 'w', "nft shows no frames, for records and captures: %s", e.text);
	return true;
}

void rf_mon_nft_end(struct monitor *m)
{
	rf_nft_policy_fini(&m->nft.policy);
	rf_nft_homes_fini(&m->nft.homes);
	rf_nft_homes_fini(&m->nft.left);
	if (m->nft.group)
		close(m->nft.log);
}

/* The other way is in force now, with all of the policy. */
void rf_mon_nft_yield(struct monitor *m)
{
	struct rf_err e = { 0 };
	if (m->nft.on)
		for (size_t i = 0; i < m->gate_count; i++)
			rf_filter_release(m->plan->filter_dir, m->gates[i].name);
	else if (m->filter && m->gate_count)
		rf_nft_run(RF_STR("add table " RF_NFT_TABLE "\ndelete table " RF_NFT_TABLE "\n"
			"add table " RF_NFT_SYN_TABLE "\ndelete table " RF_NFT_SYN_TABLE "\n"), &e);
}
