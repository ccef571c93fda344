/* policy/code: see code.h.
 *
 * Invariants: an instruction goes only to ones that were made before it, so every run ends; predicates that say the same
 * have one number.
 */
#include "policy/code.h"
#include <stdlib.h>
#include "base/room.h"
#include "base/way.h"
#include "policy/hash64.h"

enum { FIRST_CAP = 64, XOR_DEPTH = 64 };

uint64_t node_hash(const struct rf_expr *x, const struct pnode *n)
{
	uint64_t h = hash_mix((uint64_t)n->op << 32 | (uint64_t)n->sub << 24 | n->nkids, (uint64_t)n->field << 16 | n->slot);
	if (n->op == N_IN)
		h = hash_mix(h, set_count(n->set));
	else if (n->op == N_MATCHES)
		h = hash_bytes(h, regex_pattern(n->re));
	else if (n->op != N_CALL && n->lit.tag == RF_V_STR)
		h = hash_bytes(h, n->lit.s);
	else if (n->op != N_CALL && n->lit.tag == RF_V_INT)
		h = hash_mix(h, (uint64_t)n->lit.i);
	for (unsigned i = 0; i < n->nkids; i++)
		h = hash_mix(h, node_hash(x, &x->node[n->kid + i]));
	return h;
}

static void place(struct code_maker *m, uint32_t number)
{
	const struct pred *p = &m->code.pred[number];
	size_t at = node_hash(p->x, p->n) & m->mask;
	while (m->slot[at])
		at = (at + 1) & m->mask;
	m->slot[at] = number + 1;
}

/* As many as are expected, of a program that is begun. */
static size_t need(const struct code_maker *m, size_t cap, size_t count)
{
	return cap || m->expected < count ? count + 1 : m->expected + 1;
}

/* Twice as many slots as predicates, at least. */
static bool room(struct code_maker *m)
{
	if (!rf_room(&m->code.pred, &m->pred_cap, need(m, m->pred_cap, m->code.pred_count), sizeof *m->code.pred))
		return false;
	if (m->slot && m->code.pred_count * 2 <= m->mask)
		return true;
	size_t slots = m->slot ? (m->mask + 1) * 2 : FIRST_CAP * 2;
	while (!m->slot && slots < m->expected * 2)
		slots *= 2;
	uint32_t *slot = rf_way_calloc(slots, sizeof *slot);
	if (!slot)
		return false;
	free(m->slot);
	m->slot = slot;
	m->mask = slots - 1;
	for (uint32_t i = 0; i < m->code.pred_count; i++) {
		rf_way_give();
		place(m, i);
	}
	return true;
}

static uint32_t number_of(struct code_maker *m, const struct rf_expr *x, const struct pnode *n)
{
	if (m->failed || !room(m)) {
		m->failed = true;
		return 0;
	}
	size_t at = node_hash(x, n) & m->mask;
	for (; m->slot[at]; at = (at + 1) & m->mask) {
		struct pred *p = &m->code.pred[m->slot[at] - 1];
		if (node_same(p->x, p->n, x, n)) {
			p->uses++;
			return m->slot[at] - 1;
		}
	}
	m->code.pred[m->code.pred_count] = (struct pred){ x, n, 1 };
	m->slot[at] = (uint32_t)++m->code.pred_count;
	return m->slot[at] - 1;
}

static uint16_t emit(struct code_maker *m, uint32_t pred, uint16_t yes, uint16_t no)
{
	if (m->failed || m->code.ins_count - m->base >= CODE_NO ||
		!rf_room(&m->code.ins, &m->ins_cap, need(m, m->ins_cap, m->code.ins_count), sizeof *m->code.ins)) {
		m->failed = true;
		return CODE_NO;
	}
	m->code.ins[m->code.ins_count] = (struct ins){ pred, yes, no };
	return (uint16_t)(m->code.ins_count++ - m->base);
}

static uint16_t make(struct code_maker *m, const struct rf_expr *x, const struct pnode *n, uint16_t yes, uint16_t no);

static uint16_t make_xor(struct code_maker *m, const struct rf_expr *x, const struct pnode *n, uint16_t yes, uint16_t no)
{
	if (m->depth == XOR_DEPTH) /* as deep as the parser admits: one predicate of its own */
		return emit(m, number_of(m, x, n), yes, no);
	uint32_t bit = m->depth++;
	uint16_t next = emit(m, CODE_END | bit, yes, no);
	for (unsigned i = n->nkids; i-- > 0;)
		next = make(m, x, &x->node[n->kid + i], emit(m, CODE_FLIP | bit, next, next), next);
	m->depth--;
	return emit(m, CODE_BEGIN | bit, next, next);
}

/* Code that goes to `yes` or `no`; its first instruction. */
static uint16_t make(struct code_maker *m, const struct rf_expr *x, const struct pnode *n, uint16_t yes, uint16_t no)
{
	const struct pnode *kid = &x->node[n->kid];
	switch (n->op) {
	case N_CONST:
		return n->lit.b ? yes : no;
	case N_NOT:
		return make(m, x, kid, no, yes);
	case N_AND:
		for (unsigned i = n->nkids; i-- > 0;)
			yes = make(m, x, kid + i, yes, no);
		return yes;
	case N_OR:
		for (unsigned i = n->nkids; i-- > 0;)
			no = make(m, x, kid + i, yes, no);
		return no;
	case N_XOR:
		return make_xor(m, x, n, yes, no);
	default:
		return emit(m, number_of(m, x, n), yes, no);
	}
}

struct code_at code_make(struct code_maker *m, const struct rf_expr *x, const struct pnode *n)
{
	m->base = (uint32_t)m->code.ins_count;
	m->depth = 0;
	uint16_t entry = make(m, x, n, CODE_YES, CODE_NO);
	return (struct code_at){ m->base, entry };
}

void code_maker_fini(struct code_maker *m)
{
	free(m->slot);
	m->slot = NULL;
}

void code_fini(struct code *c)
{
	free(c->ins);
	free(c->pred);
}

static uint64_t *memo_slot(const struct rf_memo *m, uint64_t key)
{
	uint32_t at = (uint32_t)(hash_mix(key, 1)) & m->mask;
	while (m->slot[at] && (m->slot[at] & ~1ull) != key)
		at = (at + 1) & m->mask;
	return &m->slot[at];
}

/* Room for one answer more; false without memory, and then it is not kept. */
static bool memo_room(struct rf_facts *f)
{
	struct rf_memo *m = &f->memo;
	if (!m->slot) {
		memset(m->first, 0, sizeof m->first);
		m->slot = m->first;
		m->mask = RF_FACTS_MEMO - 1;
		m->used = 0;
	}
	if (m->used * 2 <= m->mask)
		return true;
	struct rf_memo more = { .mask = m->mask * 4 + 3, .used = m->used };
	more.slot = rf_arena_array(f->arena, more.mask + 1, sizeof *more.slot);
	if (!more.slot)
		return false;
	f->asked++; /* what was taken from the arena stays */
	for (uint32_t i = 0; i <= m->mask; i++)
		if (m->slot[i])
			*memo_slot(&more, m->slot[i] & ~1ull) = m->slot[i];
	m->slot = more.slot;
	m->mask = more.mask;
	return true;
}

static bool ask(const struct pred *p, struct eval *e)
{
	bool keep = p->uses > 1 && memo_room(e->f);
	uint64_t *at = keep ? memo_slot(&e->f->memo, (uint64_t)(uintptr_t)p) : NULL;
	if (keep && *at)
		return *at & 1;
	e->x = p->x;
	bool holds = eval_test(e, p->n);
	if (keep && !e->err) {
		*at = (uint64_t)(uintptr_t)p | holds;
		e->f->memo.used++;
	}
	return holds;
}

bool code_run(const struct code *c, struct code_at at, struct eval *e)
{
	uint64_t odd = 0;
	uint16_t pc = at.entry;
	const struct ins *ins = pc < CODE_NO ? c->ins + at.base : NULL;
	while (pc < CODE_NO) {
		const struct ins *i = &ins[pc];
		if (i->pred < CODE_OTHER) {
			pc = ask(&c->pred[i->pred], e) ? i->yes : i->no;
			if (e->err)
				return false;
			continue;
		}
		uint64_t bit = 1ull << (i->pred & 63);
		uint32_t what = i->pred & ~63u;
		odd = what == CODE_BEGIN ? odd & ~bit : what == CODE_FLIP ? odd ^ bit : odd;
		pc = what == CODE_END && !(odd & bit) ? i->no : i->yes;
	}
	return pc == CODE_YES;
}
