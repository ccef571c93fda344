/* policy/ast: the checked tree that the parser makes and the program is flattened from. Private to
 * policy. It lives in the parser's arena.
 */
#pragma once
#include "policy/expr.h"
#include "policy/func.h"
#include "policy/lex.h"

enum node_op {
	N_CONST,    /* lit */
	N_FIELD,    /* field */
	N_INDEX,    /* kid[lit] of an array */
	N_KEY,      /* kid[lit] of a map field */
	N_EACH,     /* kid[*]: one element after the other */
	N_COLLECT,  /* an array of what kid gives for each element */
	N_CALL,     /* sub: enum func */
	N_CMP,      /* kid sub lit; sub: enum cmp */
	N_CONTAINS, /* kid contains lit */
	N_MATCHES,  /* kid matches lit */
	N_WILD,     /* kid wildcard lit; sub: mind the case */
	N_IN,       /* kid in {items} */
	N_LIST,     /* kid in the list of slot lit */
	N_NOT, N_AND, N_XOR, N_OR
};

enum cmp { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE };

struct set_item;

struct node {
	enum node_op op;
	unsigned sub;
	enum rf_type type;
	enum rf_field field;
	bool each;            /* of each element: below a [*] that nothing has gathered yet */
	bool mapped;          /* a function made it so: an array unless [*] follows */
	size_t at, lit_at;    /* bytes of the text; lit_at: the first byte inside the quotes */
	struct rf_val lit;
	struct set_item *items;
	size_t nitems;
	struct node *kid, *next;
	unsigned nkids;
};

struct parser {
	struct lexer lex;
	struct rf_arena *arena;
	const struct rf_rule_env *env;
	enum rf_phase phase;
	unsigned depth, nodes;
	bool each_ok;             /* [*] may stand here */
	const char *deprecated;
	uint64_t uses[(RF_FIELD_COUNT + 63) / 64];
};

struct node *parse_condition(struct parser *p);   /* with and, or, xor, not */
struct node *parse_value(struct parser *p);       /* a field or a function, with its indexes */
struct node *parse_argument(struct parser *p, enum func fn, unsigned i, char letter);
int check_call(struct parser *p, enum func fn, const struct node *call); /* what its arguments say together */
struct node *node_new(struct parser *p, enum node_op op, enum rf_type type, size_t at);
void node_add(struct node *parent, struct node *kid);
struct node *gathered(struct parser *p, struct node *v); /* an array of a mapped value */
bool parse_enter(struct parser *p);               /* one level deeper; leave with p->depth-- */
/* The right side of `in` for a left side of type t, into n. */
int parse_items(struct parser *p, enum rf_type t, struct node *n);
int parse_string(struct parser *p, bool regex, struct node *n);

/* Check and flatten. */
int program_make(struct parser *p, struct node *root, struct rf_expr **ret);
