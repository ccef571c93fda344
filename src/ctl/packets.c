/* ctl/packets: see packets.h.
 *
 *   rules of the phase -> program (policy/packet_code) -> the same as in force? -> sealed file -> monitor -> verifier -> in force
 *
 * Where nft is in the kernel filter's place:
 *
 *   rules of the phase -> operations (policy/packet_nft) -> the same as in force? -> part of nft's policy (ctl/wall) -> in force
 *
 * Invariant: a program that is refused leaves the one before, with the numbers under which its rules are counted.
 */
#include "ctl/packets.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "ctl/private.h"
#include "ctl/wall.h"
#include "monitor/client.h"
#include "policy/packet_nft.h"
#include "records/log.h"
#include "shield/numbers.h"
#include "shield/shield.h"

enum { INSN = 8, LEFT_OUT = 16 }; /* INSN: bytes of an instruction */

struct rf_packets {
	struct rf_packet_code code;   /* in force; no instructions: none */
	struct rf_number_set used;    /* by it */
	size_t rules;
	bool known;                   /* what the kernel has is `code` */
	char why[512];                /* not in force, for this reason; "": it is */
	struct rf_packet_chains chains; /* for nft */
	struct { char id[RF_RULE_ID], why[256]; } left[LEFT_OUT]; /* rules that it cannot have */
	size_t left_out;              /* so many; only the first are told */
};

struct rf_packets *rf_packets_new(void) { return calloc(1, sizeof(struct rf_packets)); }

void rf_packets_free(struct rf_packets *p)
{
	if (!p)
		return;
	rf_packet_code_fini(&p->code);
	rf_packet_chains_fini(&p->chains);
	free(p);
}

/* --- numbers --- */

struct numbering {
	const struct rf_numbers *numbers; /* NULL: in turn */
	struct rf_number_set used;
	unsigned next;
};

static unsigned number_of(void *ctx, const struct rf_rule *r)
{
	struct numbering *n = ctx;
	unsigned number = n->next++ % RF_PACKET_RULES;
	if (n->numbers && rf_numbers_take(n->numbers, r->id, &n->used, &number) != RF_OK)
		number = 0; /* more rules than can be in force: the compiler says so */
	return number;
}

/* --- to the kernel --- */

static int as_file(const void *p, size_t n, struct rf_err *e)
{
	int fd = memfd_create("rules", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	const char *from = p;
	while (fd >= 0 && n) {
		ssize_t k = write(fd, from, n);
		if (k <= 0)
			break;
		from += k;
		n -= (size_t)k;
	}
	if (fd >= 0 && !n && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	return -1;
}

/* Which rule the kernel's complaint is about. */
static void point(const struct rf_packet_code *code, uint32_t at, struct rf_err *e)
{
	const struct rf_rule *r = rf_packet_code_rule(code, at);
	if (r)
		snprintf(e->pointer, sizeof e->pointer, "/rules/%.*s/expression", r->id.n < 60 ? (int)r->id.n : 60, r->id.p);
}

static int hand_over(struct rf_ctl *c, const struct rf_packet_code *code, bool only_try, struct rf_err *e)
{
	uint32_t at = UINT32_MAX;
	if (!code->part_count) {
		if (!only_try)
			rf_shield_ask_rules(c->shield, false);
		return rf_monitor_rules(c->priv->monitor_fd, -1, !only_try, &at, e);
	}
	int fd = as_file(code->insns, code->n * INSN, e);
	if (fd < 0)
		return e->code;
	int rc = rf_monitor_rules(c->priv->monitor_fd, fd, !only_try, &at, e);
	close(fd);
	if (rc != RF_OK)
		point(code, at, e);
	else if (!only_try)
		rf_shield_ask_rules(c->shield, true);
	return rc;
}

static bool same(const struct rf_packets *p, const struct rf_packet_code *code)
{
	return p->known && p->code.part_count == code->part_count && p->code.n == code->n && memcmp(p->code.insns, code->insns, code->n * INSN) == 0;
}

static void take_over(struct rf_packets *p, struct rf_packet_code *code, const struct numbering *n)
{
	rf_packet_code_fini(&p->code);
	for (size_t i = 0; i < code->part_count; i++)
		code->parts[i].rule = NULL; /* the snapshot's, which goes before us */
	p->code = *code;
	p->used = n->used;
	p->rules = code->part_count;
	p->known = true;
	p->why[0] = 0;
	*code = (struct rf_packet_code){ 0 };
}

/* --- to nft --- */

static void leave_out(void *ctx, const struct rf_rule *r, const struct rf_err *e)
{
	struct rf_packets *p = ctx;
	rf_log(RF_LOG_ERROR, "packets", "the rule %.*s of packets is not in force: %s", RF_ARG(r->id), e->text);
	if (p->left_out < LEFT_OUT) {
		snprintf(p->left[p->left_out].id, RF_RULE_ID, "%.*s", RF_ARG(r->id));
		snprintf(p->left[p->left_out].why, sizeof p->left[0].why, "%.255s", e->text);
	}
	p->left_out++;
}

static bool same_ops(const struct rf_packets *p, const struct rf_packet_chains *now)
{
	return p->known && p->chains.n == now->n && memcmp(p->chains.ops, now->ops, now->n * sizeof *now->ops) == 0;
}

/* In force, or all as it was. */
static int replace(struct rf_ctl *c, struct rf_packet_chains *now, const struct numbering *n, struct rf_err *e)
{
	struct rf_packets *p = c->priv->packets;
	struct rf_packet_chains before = p->chains;
	if (!same_ops(p, now)) {
		p->chains = *now;
		int rc = rf_wall_rules(c, e);
		if (rc != RF_OK) {
			p->chains = before;
			return rc;
		}
		*now = before;
	}
	p->used = n->used;
	p->rules = p->chains.rules;
	p->known = true;
	p->why[0] = 0;
	return RF_OK;
}

static int follow_nft(struct rf_ctl *c, const struct rf_phase_set *set, const struct rf_lists *lists, enum rf_packets_how how, struct rf_err *e)
{
	struct rf_packets *p = c->priv->packets;
	struct rf_packet_chains now = { 0 };
	struct numbering n = { .numbers = rf_shield_numbers(c->shield) };
	const struct rf_packet_refusals left = { leave_out, p };
	if (how != RF_PACKETS_TRY)
		p->left_out = 0;
	int rc = rf_packet_nft(set, lists, &(struct rf_packet_numbers){ number_of, &n }, how == RF_PACKETS_KEEP ? &left : NULL, &now, e);
	if (rc == RF_OK && how != RF_PACKETS_TRY)
		rc = replace(c, &now, &n, e);
	if (n.numbers && p->known)
		rf_numbers_keep(n.numbers, &p->used);
	if (rc != RF_OK && !p->known)
		snprintf(p->why, sizeof p->why, "%s", e->text);
	rf_packet_chains_fini(&now);
	return rc;
}

const struct rf_nft_op *rf_packets_ops(const struct rf_ctl *c, size_t *ret_n)
{
	const struct rf_packets *p = c->priv->packets;
	*ret_n = p->chains.rules ? p->chains.n : 0;
	return p->chains.ops;
}

void rf_packets_without(struct rf_ctl *c, const char *why)
{
	struct rf_packets *p = c->priv->packets;
	rf_packet_chains_fini(&p->chains);
	snprintf(p->why, sizeof p->why, "%s", why);
}

void rf_packets_told(const struct rf_ctl *c, uint64_t key, uint64_t frames, uint64_t bytes)
{
	const struct rf_numbers *n = rf_shield_numbers(c->shield);
	for (unsigned i = 0; n && i < RF_PACKET_RULES; i++) {
		struct rf_str id = rf_numbers_rule(n, i);
		if (id.n && rf_packet_nft_key(id) == key)
			rf_numbers_told(n, i, frames, bytes);
	}
}

const char *rf_packets_left_out(const struct rf_ctl *c, struct rf_str id)
{
	const struct rf_packets *p = c->priv->packets;
	for (size_t i = 0; i < p->left_out && i < LEFT_OUT; i++)
		if (rf_str_eq(id, rf_str_z(p->left[i].id)))
			return p->left[i].why;
	return NULL;
}

int rf_packets_follow(struct rf_ctl *c, const struct rf_phase_set *set, const struct rf_lists *lists, enum rf_packets_how how, struct rf_err *e)
{
	struct rf_packets *p = c->priv->packets;
	bool only_try = how == RF_PACKETS_TRY;
	if (c->priv->nft)
		return follow_nft(c, set, lists, how, e);
	struct rf_packet_code code = { 0 };
	struct numbering n = { .numbers = c->shield ? rf_shield_numbers(c->shield) : NULL };
	int rc = rf_packet_compile(set, lists, &(struct rf_packet_numbers){ number_of, &n }, &code, e);
	if (rc == RF_OK && n.numbers && !same(p, &code))
		rc = hand_over(c, &code, only_try, e);
	if (rc == RF_OK && !only_try)
		take_over(p, &code, &n);
	if (n.numbers && p->known)
		rf_numbers_keep(n.numbers, &p->used);
	if (rc != RF_OK && !p->known)
		snprintf(p->why, sizeof p->why, "%s", e->text);
	rf_packet_code_fini(&code);
	return rc;
}

int rf_packets_lists_changed(struct rf_ctl *c, struct rf_err *e)
{
	const struct rf_snap *s = rf_snap_now();
	const struct rf_phase_set *set = s->policy.phase[RF_PHASE_PACKET];
	return rf_packet_asks_lists(set) ? rf_packets_follow(c, set, s->lists, RF_PACKETS_PUT, e) : RF_OK;
}

const char *rf_packets_missing(const struct rf_ctl *c)
{
	const struct rf_packets *p = c->priv->packets;
	if (!c->priv->nft && (!c->shield || !rf_shield_in_kernel(c->shield)))
		return "there is no kernel filter here (shield.interfaces), so no packet meets this rule";
	return p->why[0] ? p->why : NULL;
}

static json_t *left_out(const struct rf_packets *p)
{
	json_t *left = json_array();
	for (size_t i = 0; i < p->left_out && i < LEFT_OUT; i++)
		json_array_append_new(left, json_pack("{s:s, s:s}", "id", p->left[i].id, "reason", p->left[i].why));
	return left;
}

json_t *rf_packets_status(const struct rf_ctl *c)
{
	const char *why = rf_packets_missing(c);
	const struct rf_packets *p = c->priv->packets;
	json_t *j = json_pack("{s:I, s:b, s:s}", "rules", (json_int_t)(p->rules + p->left_out), "in_force", !why && p->rules, "reason",
		why && p->rules ? why : "");
	if (j && p->left_out)
		json_object_set_new(j, "left_out", left_out(p));
	return j;
}
