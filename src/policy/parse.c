/* policy/parse: conditions: connectives and comparisons.
 *
 *	or    := xor  { ("or" | "||") xor }
 *	xor   := and  { ("xor" | "^^") and }
 *	and   := unary { ("and" | "&&") unary }
 *	unary := ("not" | "!") unary | "(" or ")" | "true" | "false" | comparison
 *	comparison := value [ operator literal ]
 *
 * Types are checked as the tree grows, so that an error stands where the reader made it. Chains of
 * one connective become one node with many kids; depth and nodes are bounded.
 */
#include "policy/ast.h"
#include "base/near.h"
#include "policy/lists.h"

struct node *node_new(struct parser *p, enum node_op op, enum rf_type type, size_t at)
{
	if (++p->nodes > RF_EXPR_NODES) {
		lex_fail(&p->lex, at, RF_E_TOO_LARGE, "an expression takes at most %d parts", RF_EXPR_NODES);
		return NULL;
	}
	struct node *n = RF_ARENA_NEW(p->arena, struct node);
	if (!n) {
		lex_fail(&p->lex, at, RF_E_NOMEM, "the expression needs too much memory");
		return NULL;
	}
	n->op = op;
	n->type = type;
	n->at = at;
	return n;
}

void node_add(struct node *parent, struct node *kid)
{
	struct node **at = &parent->kid;
	while (*at)
		at = &(*at)->next;
	*at = kid;
	parent->nkids++;
}

bool parse_enter(struct parser *p)
{
	if (p->depth == RF_EXPR_DEPTH) {
		lex_fail(&p->lex, lex_here(&p->lex), RF_E_TOO_LARGE, "parentheses, nots and calls nest at most %d deep",
			RF_EXPR_DEPTH);
		return false;
	}
	p->depth++;
	return true;
}

static const struct {
	const char *mark, *word;
	enum { O_EQ, O_NE, O_LT, O_LE, O_GT, O_GE, O_CONTAINS, O_MATCHES, O_IN, O_WILD, O_STRICT, O_NONE } op;
} operators[] = { /* longer marks first */
	{ "==", "eq", O_EQ }, { "!=", "ne", O_NE }, { "<=", "le", O_LE }, { ">=", "ge", O_GE }, { "<", "lt", O_LT },
	{ ">", "gt", O_GT }, { "~", "matches", O_MATCHES }, { NULL, "contains", O_CONTAINS }, { NULL, "in", O_IN },
	{ NULL, "wildcard", O_WILD }, { NULL, "strict", O_STRICT },
};

#define BIT(op) (1u << (op))
#define ORDER (BIT(O_EQ) | BIT(O_NE) | BIT(O_LT) | BIT(O_LE) | BIT(O_GT) | BIT(O_GE))
#define TEXT (BIT(O_CONTAINS) | BIT(O_MATCHES) | BIT(O_WILD) | BIT(O_STRICT))

static const unsigned takes[RF_TYPE_COUNT] = {
	[RF_T_BOOL] = BIT(O_EQ) | BIT(O_NE),
	[RF_T_INT] = ORDER | BIT(O_IN),
	[RF_T_STR] = ORDER | TEXT | BIT(O_IN),
	[RF_T_VERSION] = ORDER | TEXT | BIT(O_IN),
	[RF_T_IP] = BIT(O_EQ) | BIT(O_NE) | BIT(O_IN),
};

static unsigned take_operator(struct parser *p)
{
	for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
		if ((operators[i].mark && lex_mark(&p->lex, operators[i].mark)) || lex_word(&p->lex, operators[i].word))
			return operators[i].op;
	return O_NONE;
}

static const char *operator_word(unsigned op)
{
	for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
		if (operators[i].op == op)
			return op == O_STRICT ? "strict wildcard" : operators[i].word;
	return "";
}

/* A word or mark that stands where an operator should. */
static void bad_operator(struct parser *p)
{
	static const char *const words[] = { "eq", "ne", "lt", "le", "gt", "ge", "contains", "matches", "in", "wildcard",
		"strict", "and", "or", "xor" };
	size_t here = lex_here(&p->lex);
	struct rf_str name;
	if (lex_mark(&p->lex, "=")) {
		lex_fail(&p->lex, here, RF_E_SYNTAX, "equality is written `eq` or `==`");
	} else if (lex_name(&p->lex, &name)) {
		const char *near = rf_near(name, words, sizeof words / sizeof *words);
		for (size_t i = 0; i < sizeof words / sizeof *words; i++)
			if (rf_str_ieq(name, rf_str_z(words[i]))) /* AND: all are written in lower case */
				near = words[i];
		int shown = name.n < 60 ? (int)name.n : 60;
		if (func_find(name) >= 0)
			lex_fail(&p->lex, here, RF_E_SYNTAX, "`%.*s` is a function: %.*s(field, ...)", shown, name.p, shown, name.p);
		else if (near)
			lex_fail(&p->lex, here, RF_E_SYNTAX, "unknown operator `%.*s`, did you mean `%s`?", shown, name.p, near);
		else
			lex_fail(&p->lex, here, RF_E_SYNTAX, "unknown operator `%.*s`", shown, name.p);
	} else {
		lex_fail(&p->lex, here, RF_E_SYNTAX, "expected an operator, `and`, `or` or the end of the expression here");
	}
}

int parse_string(struct parser *p, bool regex, struct node *n)
{
	size_t at = lex_here(&p->lex);
	size_t inside = at + 1;
	while (inside < p->lex.text.n && p->lex.text.p[at] == 'r' && p->lex.text.p[inside - 1] != '"')
		inside++;
	struct rf_str s;
	if (!lex_at_string(&p->lex))
		return lex_fail(&p->lex, at, RF_E_TYPE, "expected a string in quotes here");
	if (lex_string(&p->lex, regex, &s))
		return p->lex.e->code;
	n->lit = rf_val_str(s);
	n->lit_at = inside;
	return RF_OK;
}

static int parse_bool(struct parser *p, struct node *n)
{
	bool yes = lex_word(&p->lex, "true");
	if (!yes && !lex_word(&p->lex, "false"))
		return lex_fail(&p->lex, lex_here(&p->lex), RF_E_TYPE, "expected `true` or `false` here");
	n->lit = rf_val_bool(yes);
	return RF_OK;
}

static int parse_ip(struct parser *p, struct node *n)
{
	struct rf_prefix prefix;
	bool slash;
	size_t at = lex_here(&p->lex);
	if (lex_prefix(&p->lex, &prefix, &slash))
		return p->lex.e->code;
	if (slash)
		return lex_fail(&p->lex, at, RF_E_TYPE, "an address is in a prefix: write `in {%.*s}`",
			(int)(p->lex.at - at), p->lex.text.p + at);
	n->lit = rf_val_ip(prefix.ip);
	return RF_OK;
}

static int parse_scalar(struct parser *p, enum rf_type t, struct node *n)
{
	struct rf_str name;
	int64_t i;
	size_t at = lex_here(&p->lex), back = p->lex.at;
	bool old;
	if (t != RF_T_IP && t != RF_T_BOOL && lex_name(&p->lex, &name)) {
		size_t after = p->lex.at;
		p->lex.at = back;
		if (!lex_at_string(&p->lex) && (rf_field_find(name, &old) >= 0 || func_find(name) >= 0)) {
			p->lex.at = after;
			return lex_fail(&p->lex, at, RF_E_TYPE, "a field is compared with a literal, not with another field");
		}
	}
	switch (t) {
	case RF_T_BOOL:
		return parse_bool(p, n);
	case RF_T_IP:
		return parse_ip(p, n);
	case RF_T_INT:
		if (lex_int(&p->lex, &i))
			return p->lex.e->code;
		n->lit = rf_val_int(i);
		return RF_OK;
	default:
		return parse_string(p, false, n);
	}
}

static bool list_fits(enum rf_list_kind kind, enum rf_type t)
{
	switch (kind) {
	case RF_LIST_IP:
		return t == RF_T_IP;
	case RF_LIST_ASN:
		return t == RF_T_INT;
	default:
		return t == RF_T_STR;
	}
}

static int parse_named_list(struct parser *p, enum rf_type t, struct node *n)
{
	size_t at = lex_here(&p->lex);
	struct rf_str text = rf_str_skip(p->lex.text, at);
	size_t len = 0;
	while (len < text.n && (text.p[len] == '_' || (text.p[len] >= 'a' && text.p[len] <= 'z') ||
		(text.p[len] >= '0' && text.p[len] <= '9')))
		len++;
	struct rf_str name = { text.p, len };
	if (!rf_list_name_ok(name))
		return lex_fail(&p->lex, at, RF_E_SYNTAX, "a list's name is 1 to 50 lower-case letters, digits and `_`");
	int slot = rf_lists_find(p->env->lists, name);
	if (slot < 0 && !p->env->any_list) {
		const char *near = rf_lists_near(p->env->lists, name);
		return lex_fail(&p->lex, at, RF_E_UNKNOWN, near ? "there is no list `%.*s`, did you mean `%s`?" :
			"there is no list `%.*s`", RF_ARG(name), near);
	}
	const struct rf_list *list = rf_lists_at(p->env->lists, slot);
	if (list && !list_fits(rf_list_kind(list), t))
		return lex_fail(&p->lex, at, RF_E_TYPE, "the list `%.*s` is of kind %s and cannot hold a value of type %s",
			RF_ARG(name), rf_list_kind_name(rf_list_kind(list)), rf_type_name(t));
	p->lex.at += len;
	n->op = N_LIST;
	n->sub = (unsigned)slot;
	n->lit = rf_val_str(name);
	return RF_OK;
}

static int parse_in(struct parser *p, enum rf_type t, struct node *n)
{
	n->op = N_IN;
	if (lex_mark(&p->lex, "$"))
		return parse_named_list(p, t, n);
	if (!lex_mark(&p->lex, "{"))
		return lex_fail(&p->lex, lex_here(&p->lex), RF_E_SYNTAX, "`in` takes a list: {..} or $name");
	return parse_items(p, t, n);
}

static int parse_right(struct parser *p, unsigned op, enum rf_type t, struct node *n)
{
	switch (op) {
	case O_CONTAINS:
		n->op = N_CONTAINS;
		return parse_string(p, false, n);
	case O_MATCHES:
		n->op = N_MATCHES;
		return parse_string(p, true, n);
	case O_STRICT:
		if (!lex_word(&p->lex, "wildcard"))
			return lex_fail(&p->lex, lex_here(&p->lex), RF_E_SYNTAX, "`strict` stands before `wildcard`");
		/* fall through */
	case O_WILD:
		n->op = N_WILD;
		n->sub = op == O_STRICT;
		return parse_string(p, false, n);
	case O_IN:
		return parse_in(p, t, n);
	default:
		n->op = N_CMP;
		n->sub = op - O_EQ;
		return parse_scalar(p, t, n);
	}
}

static const struct {
	enum node_op op;
	const char *word, *mark;
} levels[] = { { N_OR, "or", "||" }, { N_XOR, "xor", "^^" }, { N_AND, "and", "&&" } };

enum { LEVELS = sizeof levels / sizeof *levels };

static bool at_connective(struct parser *p, unsigned level)
{
	return lex_word(&p->lex, levels[level].word) || lex_mark(&p->lex, levels[level].mark);
}

static void not_boolean(struct parser *p, const struct node *left)
{
	bool over = lex_end(&p->lex) || lex_peek_mark(&p->lex, ")") || lex_peek_mark(&p->lex, ",");
	for (unsigned i = 0; !over && i < LEVELS; i++)
		over = at_connective(p, i);
	if (over)
		lex_fail(&p->lex, left->at, RF_E_TYPE, "this is of type %s: compare it with something",
			rf_type_name(left->type));
	else
		bad_operator(p);
}

static struct node *parse_comparison(struct parser *p)
{
	if (lex_at_string(&p->lex)) {
		lex_fail(&p->lex, lex_here(&p->lex), RF_E_SYNTAX, "a comparison begins with a field or a function");
		return NULL;
	}
	struct node *left = parse_value(p);
	if (!left)
		return NULL;
	size_t at = lex_here(&p->lex);
	unsigned op = take_operator(p);
	if (op == O_NONE && left->type == RF_T_BOOL)
		return left;
	if (op == O_NONE) {
		not_boolean(p, left);
		return NULL;
	}
	if (left->mapped) {
		lex_fail(&p->lex, left->at, RF_E_TYPE, "this is an array: write [*] after it, inside any() or all()");
		return NULL;
	}
	if (!(takes[left->type] & BIT(op))) {
		lex_fail(&p->lex, at, RF_E_TYPE, "`%s` does not work on a value of type %s", operator_word(op),
			rf_type_name(left->type));
		return NULL;
	}
	struct node *n = node_new(p, N_CMP, RF_T_BOOL, left->at);
	if (!n || parse_right(p, op, left->type, n))
		return NULL;
	n->each = left->each;
	node_add(n, left);
	return n;
}

static struct node *parse_unary(struct parser *p);

static struct node *parse_not(struct parser *p, size_t at)
{
	if (!parse_enter(p))
		return NULL;
	struct node *kid = parse_unary(p), *n = kid ? node_new(p, N_NOT, RF_T_BOOL, at) : NULL;
	p->depth--;
	if (!n)
		return NULL;
	n->each = kid->each;
	node_add(n, kid);
	return n;
}

/* `true` or `false` alone, which the lexer has just passed. */
static struct node *parse_always(struct parser *p, size_t at)
{
	struct node *n = node_new(p, N_CONST, RF_T_BOOL, at);
	if (n)
		n->lit = rf_val_bool(p->lex.text.p[at] == 't');
	return n;
}

static struct node *parse_unary(struct parser *p)
{
	size_t at = lex_here(&p->lex);
	if (lex_word(&p->lex, "not") || (!lex_peek_mark(&p->lex, "!=") && lex_mark(&p->lex, "!")))
		return parse_not(p, at);
	if (lex_word(&p->lex, "true") || lex_word(&p->lex, "false"))
		return parse_always(p, at);
	if (!lex_mark(&p->lex, "("))
		return parse_comparison(p);
	if (!parse_enter(p))
		return NULL;
	struct node *n = parse_condition(p);
	p->depth--;
	if (n && !lex_mark(&p->lex, ")")) {
		if (lex_end(&p->lex))
			lex_fail(&p->lex, at, RF_E_SYNTAX, "this parenthesis is not closed");
		else
			bad_operator(p);
		return NULL;
	}
	return n;
}

static struct node *parse_level(struct parser *p, unsigned level)
{
	struct node *first = level == LEVELS ? parse_unary(p) : parse_level(p, level + 1), *chain = NULL, **tail = NULL;
	if (level == LEVELS)
		return first;
	for (size_t at; first && (at = lex_here(&p->lex), at_connective(p, level));) {
		struct node *next = parse_level(p, level + 1);
		if (!next)
			return NULL;
		if (first->each || next->each) {
			lex_fail(&p->lex, at, RF_E_TYPE, "a test of each element stands alone: join any() or all() with `%s` instead",
				levels[level].word);
			return NULL;
		}
		if (!chain) {
			chain = node_new(p, levels[level].op, RF_T_BOOL, first->at);
			if (!chain)
				return NULL;
			node_add(chain, first);
			tail = &first->next;
		}
		*tail = next;
		tail = &next->next;
		chain->nkids++;
	}
	return chain ? chain : first;
}

struct node *parse_condition(struct parser *p)
{
	return parse_level(p, 0);
}
