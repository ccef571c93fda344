/* policy/expr: compile an expression, print it, compare two. */
#include "policy/expr.h"
#include <inttypes.h>
#include "policy/program.h"

enum { PARSE_MEMORY = 16 << 20 };

static int make(struct parser *p, bool condition, struct rf_expr **ret)
{
	struct node *root = condition ? parse_condition(p) : parse_argument(p, FN_TO_STRING, 0, 'x');
	if (!root)
		return p->lex.e->code;
	if (root->each)
		return lex_fail(&p->lex, root->at, RF_E_TYPE,
			"[*] makes a test or value of each element: put any() or all() around it");
	if (!lex_end(&p->lex))
		return lex_fail(&p->lex, lex_here(&p->lex), RF_E_SYNTAX, lex_peek_mark(&p->lex, ")") ?
			"this parenthesis was not opened" : "expected an operator, `and`, `or` or the end of the expression here");
	if (!condition && root->type != RF_T_STR && root->type != RF_T_VERSION) {
		struct node *call = node_new(p, N_CALL, RF_T_STR, root->at);
		if (!call)
			return p->lex.e->code;
		call->sub = FN_TO_STRING;
		node_add(call, root);
		root = call;
	}
	return program_make(p, root, ret);
}

static int compile(const struct rf_rule_env *env, enum rf_phase phase, struct rf_str text, bool condition,
	struct rf_expr **ret, struct rf_err *e)
{
	if (text.n > RF_EXPR_SIZE)
		return rf_fail(e, RF_E_TOO_LARGE, "an expression takes at most %d bytes", RF_EXPR_SIZE);
	struct rf_arena arena;
	rf_arena_init(&arena, PARSE_MEMORY);
	struct parser p = { .lex = { .text = text, .arena = &arena, .e = e }, .arena = &arena, .env = env,
		.phase = phase };
	int r = make(&p, condition, ret);
	rf_arena_fini(&arena);
	return r;
}

int rf_expr_compile(const struct rf_rule_env *env, enum rf_phase phase, struct rf_str text, struct rf_expr **ret,
	struct rf_err *e)
{
	return compile(env, phase, text, true, ret, e);
}

int rf_expr_compile_value(const struct rf_rule_env *env, enum rf_phase phase, struct rf_str text,
	struct rf_expr **ret, struct rf_err *e)
{
	return compile(env, phase, text, false, ret, e);
}

struct rf_str rf_expr_text(const struct rf_expr *x)
{
	return x->text;
}

size_t rf_expr_bytes(const struct rf_expr *x)
{
	return x->bytes;
}

bool rf_expr_uses(const struct rf_expr *x, enum rf_field f)
{
	return x->uses[f >> 6] >> (f & 63) & 1;
}

void rf_expr_add_uses(const struct rf_expr *x, uint64_t uses[(RF_FIELD_COUNT + 63) / 64])
{
	for (size_t i = 0; i < sizeof x->uses / sizeof *x->uses; i++)
		uses[i] |= x->uses[i];
}

static bool requires(const struct rf_expr *x, const struct pnode *n, enum rf_field f, bool want)
{
	const struct pnode *k = &x->node[n->kid];
	switch (n->op) {
	case N_FIELD:
		return n->field == f && n->type == RF_T_BOOL && want;
	case N_NOT:
		return k->op == N_FIELD && k->field == f && !want;
	case N_CMP:
		return k->op == N_FIELD && k->field == f && n->lit.tag == RF_V_BOOL && (n->lit.b == want) == (n->sub == CMP_EQ);
	case N_AND:
		for (unsigned i = 0; i < n->nkids; i++)
			if (requires(x, k + i, f, want))
				return true;
		return false;
	default:
		return false;
	}
}

bool rf_expr_requires(const struct rf_expr *x, enum rf_field f, bool value)
{
	return requires(x, &x->node[0], f, value);
}

const char *rf_expr_deprecated(const struct rf_expr *x)
{
	return x->deprecated;
}

static void print_literal(const struct rf_val *v, struct rf_buf *to)
{
	char text[RF_IP_TEXT];
	switch (v->tag) {
	case RF_V_BOOL:
		rf_buf_printf(to, "%s", v->b ? "true" : "false");
		break;
	case RF_V_INT:
		rf_buf_printf(to, "%" PRId64, v->i);
		break;
	case RF_V_IP:
		rf_buf_printf(to, "%s", rf_ip_str(&v->ip, text));
		break;
	default:
		literal_print(v->s, to);
	}
}

/* Raw, with one hash more than any quote in it is followed by. */
static void print_pattern(struct rf_str pattern, struct rf_buf *to)
{
	size_t hashes = 0;
	for (size_t i = 0; i < pattern.n; i++) {
		size_t run = 0;
		while (pattern.p[i] == '"' && i + 1 + run < pattern.n && pattern.p[i + 1 + run] == '#')
			run++;
		if (pattern.p[i] == '"' && run + 1 > hashes)
			hashes = run + 1;
	}
	rf_buf_addc(to, 'r');
	for (size_t i = 0; i < hashes; i++)
		rf_buf_addc(to, '#');
	rf_buf_addc(to, '"');
	rf_buf_add(to, pattern);
	rf_buf_addc(to, '"');
	for (size_t i = 0; i < hashes; i++)
		rf_buf_addc(to, '#');
}

static void print_call(const struct rf_expr *x, const struct pnode *n, struct rf_buf *to)
{
	rf_buf_printf(to, "%s(", func_table[n->sub].name);
	for (unsigned i = 0; i < n->nkids; i++) {
		if (i)
			rf_buf_add(to, RF_STR(", "));
		node_print(x, &x->node[n->kid + i], to);
	}
	rf_buf_addc(to, ')');
	if (n->each)
		rf_buf_add(to, n->type == RF_T_BOOL ? RF_STR("") : RF_STR("[*]"));
}

static void print_chain(const struct rf_expr *x, const struct pnode *n, struct rf_buf *to)
{
	const char *word = n->op == N_AND ? " and " : n->op == N_OR ? " or " : " xor ";
	for (unsigned i = 0; i < n->nkids; i++) {
		const struct pnode *k = &x->node[n->kid + i];
		bool bare = k->op < n->op || (k->op == N_NOT);
		if (i)
			rf_buf_add(to, rf_str_z(word));
		if (!bare)
			rf_buf_addc(to, '(');
		node_print(x, k, to);
		if (!bare)
			rf_buf_addc(to, ')');
	}
}

static void print_not(const struct rf_expr *x, const struct pnode *n, struct rf_buf *to)
{
	const struct pnode *k = &x->node[n->kid];
	bool chain = k->op == N_AND || k->op == N_OR || k->op == N_XOR;
	rf_buf_add(to, chain ? RF_STR("not (") : RF_STR("not "));
	node_print(x, k, to);
	if (chain)
		rf_buf_addc(to, ')');
}

static void print_test(const struct rf_expr *x, const struct pnode *n, struct rf_buf *to)
{
	static const char *const order[] = { "eq", "ne", "lt", "le", "gt", "ge" };
	node_print(x, &x->node[n->kid], to);
	switch (n->op) {
	case N_CMP:
		rf_buf_printf(to, " %s ", order[n->sub]);
		print_literal(&n->lit, to);
		break;
	case N_CONTAINS:
		rf_buf_add(to, RF_STR(" contains "));
		print_literal(&n->lit, to);
		break;
	case N_WILD:
		rf_buf_add(to, n->sub ? RF_STR(" strict wildcard ") : RF_STR(" wildcard "));
		print_literal(&n->lit, to);
		break;
	case N_MATCHES:
		rf_buf_add(to, RF_STR(" matches "));
		print_pattern(regex_pattern(n->re), to);
		break;
	case N_LIST:
		rf_buf_printf(to, " in $%.*s", RF_ARG(n->lit.s));
		break;
	default:
		rf_buf_add(to, RF_STR(" in {"));
		set_print(n->set, to);
		rf_buf_addc(to, '}');
	}
}

void node_print(const struct rf_expr *x, const struct pnode *n, struct rf_buf *to)
{
	switch (n->op) {
	case N_CONST:
		print_literal(&n->lit, to);
		break;
	case N_FIELD:
		rf_buf_printf(to, "%s", rf_fields[n->field].name);
		break;
	case N_INDEX:
		node_print(x, &x->node[n->kid], to);
		rf_buf_printf(to, "[%" PRId64 "]", n->lit.i);
		break;
	case N_KEY:
		node_print(x, &x->node[n->kid], to);
		rf_buf_addc(to, '[');
		literal_print(n->lit.s, to);
		rf_buf_addc(to, ']');
		break;
	case N_EACH:
		node_print(x, &x->node[n->kid], to);
		rf_buf_add(to, RF_STR("[*]"));
		break;
	case N_COLLECT:
		node_print(x, &x->node[n->kid], to);
		if (to->n >= 3 && !to->bad)
			to->n -= 3; /* without the [*] of the call that is gathered */
		break;
	case N_CALL:
		print_call(x, n, to);
		break;
	case N_NOT:
		print_not(x, n, to);
		break;
	case N_AND:
	case N_XOR:
	case N_OR:
		print_chain(x, n, to);
		break;
	default:
		print_test(x, n, to);
	}
}

void rf_expr_print(const struct rf_expr *x, struct rf_buf *to)
{
	node_print(x, &x->node[0], to);
}

static bool same_literal(const struct rf_val *a, const struct rf_val *b)
{
	if (a->tag != b->tag)
		return false;
	return a->tag == RF_V_STR ? rf_str_eq(a->s, b->s) : a->tag == RF_V_INT ? a->i == b->i :
		a->tag == RF_V_BOOL ? a->b == b->b : a->tag != RF_V_IP || rf_ip_eq(&a->ip, &b->ip);
}

bool node_same(const struct rf_expr *x, const struct pnode *a, const struct rf_expr *y, const struct pnode *b)
{
	if (a->op != b->op || a->sub != b->sub || a->type != b->type || a->each != b->each || a->field != b->field ||
		a->nkids != b->nkids || a->slot != b->slot)
		return false;
	bool same = a->op == N_IN ? set_same(a->set, b->set) :
		a->op == N_MATCHES ? rf_str_eq(regex_pattern(a->re), regex_pattern(b->re)) :
		a->op == N_CALL || same_literal(&a->lit, &b->lit);
	for (unsigned i = 0; i < a->nkids && same; i++)
		same = node_same(x, &x->node[a->kid + i], y, &y->node[b->kid + i]);
	return same;
}

bool rf_expr_same(const struct rf_expr *a, const struct rf_expr *b)
{
	return a->count == b->count && node_same(a, &a->node[0], b, &b->node[0]);
}
