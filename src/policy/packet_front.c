/* policy/packet_front: see packet_front.h.
 *
 *   node -> only of ip.proto? a flag? an address, cut? a number, or bits? -> ranges of what was compared with it
 *
 * What is asked of `ip.proto` as a text is answered here for all 256 protocols.
 */
#include "policy/packet_front.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/room.h"
#include "policy/lists.h"
#include "policy/packet_code.h"
#include "wire/packet.h"

enum { PROTOCOLS = 256, PROTOCOL_MEMORY = 256 << 10 };
#define COUNT(table) (sizeof(table) / sizeof *(table))

void packet_front_fini(struct packet_front *f)
{
	free(f->range);
	free(f->facts);
}

/* --- what is refused --- */

static const struct { enum rf_field f; const char *what; } elsewhere[] = {
	{ RF_F_SIP, "the edge looks into payloads only when it has the whole of them; name the ports: udp.dstport in {5060 5061}" },
	{ RF_F_IP_COUNTRY, "countries are not known there; write a rule of the phase connection, or a list of prefixes" },
	{ RF_F_IP_ASN, "systems are not known there; write a rule of the phase connection, or a list of prefixes" },
	{ RF_F_PACKET, "bytes are asked for by bit_slice()" }, { RF_F_PKT_TCP, "bytes are asked for by bit_slice()" },
	{ RF_F_PKT_UDP, "bytes are asked for by bit_slice()" }, { RF_F_PKT_ICMP, "bytes are asked for by bit_slice()" },
};

static void add_fields(const struct packet_front *f, const struct pnode *n, uint64_t uses[])
{
	if (n->op == N_FIELD)
		uses[n->field >> 6] |= 1ull << (n->field & 63);
	for (unsigned i = 0; i < n->nkids; i++)
		add_fields(f, &f->x->node[n->kid + i], uses);
}

static const char *why_not(const struct packet_front *f, const struct pnode *n)
{
	uint64_t uses[(RF_FIELD_COUNT + 63) / 64] = { 0 };
	const char *why = "it can only be asked of a field as it is, of cidr() of an address, and of bit_slice()";
	add_fields(f, n, uses);
	for (size_t i = 0; i < COUNT(elsewhere); i++)
		if (uses[elsewhere[i].f >> 6] >> (elsewhere[i].f & 63) & 1)
			why = elsewhere[i].what;
	return why;
}

int packet_refuse(struct packet_front *f, const struct pnode *n, const char *who, const char *why)
{
	RF_BUF_AUTO text = { 0 };
	node_print(f->x, n, &text);
	return rf_fail(f->e, RF_E_UNSUPPORTED, "rules of the phase packet run in %s, which cannot answer `%.120s`: %s", who,
		rf_buf_z(&text), why ? why : why_not(f, n));
}

static int refuse(struct packet_front *f, const struct pnode *n) { return packet_refuse(f, n, "the kernel", NULL); }

bool packet_ends_phase(const struct rf_rule *r) { return r->skip->phases >> RF_PHASE_PACKET & 1; }

int packet_refuse_action(const struct rf_rule *r, struct rf_err *e)
{
	if (r->response)
		return rf_fail_ptr(e, RF_E_UNSUPPORTED, "/action_parameters/response", "a packet that is blocked gets no answer");
	if (r->skip && (r->skip->nrulesets || r->skip->nrules || (!r->skip->current && !packet_ends_phase(r))))
		return rf_fail_ptr(e, RF_E_UNSUPPORTED, "/action_parameters", "a rule of the phase packet skips the rest of its ruleset "
			"(\"ruleset\": \"current\") or the phase (\"phases\": [\"packet\"]), nothing else");
	return RF_OK;
}

void packet_point(const struct rf_rule *r, struct rf_err *e)
{
	char below[sizeof e->pointer];
	memcpy(below, e->pointer, sizeof below);
	snprintf(e->pointer, sizeof e->pointer, "/rules/%.*s%.60s", r->id.n < 60 ? (int)r->id.n : 60, r->id.p, below);
}

/* --- ranges --- */

int packet_add_range(struct packet_front *f, const struct packet_range *r)
{
	if (!RF_ROOM(f->range, f->range_cap, f->ranges))
		return rf_fail(f->e, RF_E_NOMEM, "memory is exhausted");
	f->range[f->ranges++] = *r;
	return RF_OK;
}

/* From lo to hi, as far as they are numbers of 32 bits. */
static int add_numbers(struct packet_front *f, int64_t lo, int64_t hi)
{
	lo = lo < 0 ? 0 : lo;
	hi = hi > UINT32_MAX ? UINT32_MAX : hi;
	return lo > hi ? RF_OK : packet_add_range(f, &(struct packet_range){ 0, (uint64_t)lo, 0, (uint64_t)hi });
}

static uint64_t be64(const uint8_t *p)
{
	uint64_t v = 0;
	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static int add_addresses(struct packet_front *f, const struct set_item *item)
{
	if (item->from.family == 4)
		return packet_add_range(f, &(struct packet_range){ 0, be64(item->from.b) >> 32, 0, be64(item->to.b) >> 32 });
	return packet_add_range(f, &(struct packet_range){ be64(item->from.b), be64(item->from.b + 8), be64(item->to.b), be64(item->to.b + 8) });
}

/* The items of a set as ranges; of addresses those of a family. */
static int add_set(struct packet_front *f, const struct set *s, uint8_t family)
{
	size_t n;
	const struct set_item *item = set_items(s, &n);
	int rc = RF_OK;
	for (size_t i = 0; i < n && rc == RF_OK; i++)
		if (!family)
			rc = add_numbers(f, item[i].lo, item[i].hi);
		else if (item[i].from.family == family)
			rc = add_addresses(f, &item[i]);
	return rc;
}

/* What a comparison of a number asks for, but for `ne`, which is `eq` turned round. */
static int compared_range(struct packet_front *f, const struct pnode *n)
{
	int64_t v = n->lit.i;
	switch (n->sub) {
	case CMP_LT:
		return v == INT64_MIN ? RF_OK : add_numbers(f, 0, v - 1);
	case CMP_LE:
		return add_numbers(f, 0, v);
	case CMP_GT:
		return v == INT64_MAX ? RF_OK : add_numbers(f, v + 1, INT64_MAX);
	case CMP_GE:
		return add_numbers(f, v, INT64_MAX);
	default:
		return add_numbers(f, v, v);
	}
}

static bool protocol_fact(void *ctx, struct rf_arena *arena, enum rf_field field, struct rf_val *ret)
{
	const uint8_t *proto = ctx;
	(void)arena;
	*ret = rf_val_str(rf_str_z(rf_packet_proto_name(*proto)));
	return field == RF_F_IP_PROTO;
}

static int protocols(struct packet_front *f, const struct pnode *n)
{
	static const struct rf_facts_ops ops = { .get = protocol_fact };
	struct rf_arena arena;
	int rc = RF_OK;
	if (!f->facts && !(f->facts = malloc(sizeof *f->facts)))
		return rf_fail(f->e, RF_E_NOMEM, "memory is exhausted");
	rf_arena_init(&arena, PROTOCOL_MEMORY);
	for (int i = 0; i < PROTOCOLS && rc == RF_OK; i++) {
		uint8_t proto = (uint8_t)i;
		bool holds = false;
		rf_facts_init(f->facts, &ops, &proto, &arena, f->lists, 0);
		if (node_test(f->x, n, f->facts, &holds) != RF_OK)
			rc = refuse(f, n);
		else if (holds && f->ranges && f->range[f->ranges - 1].to + 1 == (uint64_t)i)
			f->range[f->ranges - 1].to++;
		else if (holds)
			rc = add_numbers(f, i, i);
		rf_arena_reset(&arena);
	}
	rf_arena_fini(&arena);
	return rc;
}

int packet_leaf_ranges(struct packet_front *f, const struct packet_leaf *l, uint8_t family)
{
	const struct pnode *n = l->n;
	f->ranges = 0;
	if (l->kind == LEAF_PROTOCOL)
		return protocols(f, n);
	if (n->op == N_LIST)
		return add_set(f, l->list, family);
	if (n->op == N_IN)
		return add_set(f, n->set, family);
	if (!family)
		return compared_range(f, n);
	return n->lit.ip.family == family ? add_addresses(f, &(struct set_item){ .from = n->lit.ip, .to = n->lit.ip }) : RF_OK;
}

/* --- named lists --- */

struct gathering {
	struct set_item *v;
	size_t n;
};

static void gather_prefix(void *ctx, const struct rf_prefix *p)
{
	struct gathering *g = ctx;
	prefix_range(p, &g->v[g->n].from, &g->v[g->n].to);
	g->n++;
}

static void gather_number(void *ctx, int64_t v)
{
	struct gathering *g = ctx;
	g->v[g->n].lo = g->v[g->n].hi = v;
	g->n++;
}

/* A named list as a set that the caller frees. */
static int list_set(struct packet_front *f, const struct pnode *n, bool addresses, struct set **ret)
{
	const struct rf_list *l = rf_lists_at(f->lists, n->slot);
	if (!l && !f->any_list)
		return rf_fail(f->e, RF_E_NOT_FOUND, "a named list of this rule is gone");
	if (l && rf_list_kind(l) != (addresses ? RF_LIST_IP : RF_LIST_ASN))
		return refuse(f, n);
	struct gathering g = { calloc(l ? rf_list_count(l) + 1 : 1, sizeof *g.v), 0 };
	if (g.v && l)
		rf_list_each(l, gather_prefix, gather_number, &g);
	*ret = g.v ? set_make(addresses ? SET_IP : SET_INT, g.v, g.n) : NULL;
	free(g.v);
	if (!*ret)
		return rf_fail(f->e, RF_E_NOMEM, "memory is exhausted");
	if (set_count(*ret) <= RF_PACKET_LIST)
		return RF_OK;
	rf_fail(f->e, RF_E_TOO_LARGE, "a named list of a packet rule holds at most %d prefixes, and this one %zu; block many sources by access "
		"rules (`ringfence access block`)", RF_PACKET_LIST, set_count(*ret));
	set_free(*ret);
	*ret = NULL;
	return RF_E_TOO_LARGE;
}

/* --- leaves --- */

static const struct { enum rf_field f; uint8_t bit; } flags[] = { /* [RFC 9293 3.1] */
	{ RF_F_TCP_FIN, 1 }, { RF_F_TCP_SYN, 2 }, { RF_F_TCP_RESET, 4 }, { RF_F_TCP_PUSH, 8 }, { RF_F_TCP_ACK, 16 },
	{ RF_F_TCP_URG, 32 }, { RF_F_TCP_ECN, 64 }, { RF_F_TCP_CWR, 128 },
};

static const enum rf_field numbers[] = { RF_F_IP_PROTO_NUM, RF_F_IP_LEN, RF_F_IP_HDR_LEN, RF_F_IP_TTL, RF_F_IP_OPT, RF_F_TCP_SRCPORT,
	RF_F_TCP_DSTPORT, RF_F_TCP_FLAGS, RF_F_UDP_SRCPORT, RF_F_UDP_DSTPORT, RF_F_ICMP_TYPE, RF_F_ICMP_CODE };
static const enum rf_field raws[] = { RF_F_PACKET, RF_F_PKT_TCP, RF_F_PKT_UDP, RF_F_PKT_ICMP };

static bool among(const enum rf_field *v, size_t n, uint16_t field)
{
	for (size_t i = 0; i < n; i++)
		if (v[i] == (enum rf_field)field)
			return true;
	return false;
}

static bool of_protocol_only(const struct packet_front *f, const struct pnode *n)
{
	uint64_t uses[(RF_FIELD_COUNT + 63) / 64] = { 0 };
	add_fields(f, n, uses);
	uses[RF_F_IP_PROTO >> 6] &= ~(1ull << (RF_F_IP_PROTO & 63));
	uint64_t others = 0;
	for (size_t i = 0; i < COUNT(uses); i++)
		others |= uses[i];
	return !others;
}

/* A flag of TCP, alone or compared with true or false. */
static bool read_flag(const struct packet_front *f, const struct pnode *n, struct packet_leaf *l)
{
	const struct pnode *field = n->op == N_CMP ? &f->x->node[n->kid] : n;
	for (size_t i = 0; field->op == N_FIELD && i < COUNT(flags); i++)
		if (flags[i].f == (enum rf_field)field->field) {
			l->kind = LEAF_FLAG;
			l->bit = flags[i].bit;
			l->set = n->op != N_CMP || n->lit.b == (n->sub == CMP_EQ);
			return true;
		}
	return false;
}

static bool read_address(const struct packet_front *f, const struct pnode *v, struct packet_leaf *l)
{
	const struct pnode *arg = &f->x->node[v->kid];
	bool cidr = v->op == N_CALL && (v->sub == FN_CIDR || v->sub == FN_CIDR6), six = cidr && v->sub == FN_CIDR6;
	const struct pnode *field = cidr ? arg : v;
	if (field->op != N_FIELD || (field->field != RF_F_IP_SRC && field->field != RF_F_IP_DST))
		return false;
	l->kind = LEAF_ADDRESS;
	l->field = field->field;
	l->bits4 = !cidr || six ? 32 : (unsigned)arg[1].lit.i;
	l->bits6 = !cidr ? 128 : (unsigned)arg[six ? 1 : 2].lit.i;
	return true;
}

static bool read_number(const struct packet_front *f, const struct pnode *v, struct packet_leaf *l)
{
	const struct pnode *arg = &f->x->node[v->kid];
	if (v->op == N_FIELD && among(numbers, COUNT(numbers), v->field)) {
		l->kind = LEAF_NUMBER;
		l->field = v->field;
		return true;
	}
	if (v->op != N_CALL || v->sub != FN_BIT_SLICE || arg[0].op != N_FIELD || !among(raws, COUNT(raws), arg[0].field))
		return false;
	l->kind = LEAF_BITS;
	l->field = arg[0].field;
	l->from = (unsigned)arg[1].lit.i;
	l->to = (unsigned)arg[2].lit.i;
	return true;
}

int packet_leaf_read(struct packet_front *f, const struct pnode *n, struct packet_leaf *ret)
{
	struct packet_leaf l = { .kind = LEAF_PROTOCOL, .n = n };
	bool compares = n->op == N_CMP || n->op == N_IN || n->op == N_LIST;
	const struct pnode *v = &f->x->node[n->kid];
	if (!of_protocol_only(f, n) && !read_flag(f, n, &l)) {
		if (!compares || !(read_address(f, v, &l) || read_number(f, v, &l)))
			return refuse(f, n);
		l.turned = n->op == N_CMP && n->sub == CMP_NE;
		int rc = n->op == N_LIST ? list_set(f, n, l.kind == LEAF_ADDRESS, &l.list) : RF_OK;
		if (rc != RF_OK)
			return rc;
	}
	*ret = l;
	return RF_OK;
}

void packet_leaf_fini(struct packet_leaf *l)
{
	set_free(l->list);
	l->list = NULL;
}
