/* policy/parse_args: arguments of functions, checked against the signatures of tbl/functions.def. */
#include "policy/ast.h"
#include "policy/wild.h"

enum { SLICE_OFFSET = 2040, SLICE_BITS = 32 };

static struct node *literal(struct parser *p, char letter)
{
	size_t at = lex_here(&p->lex);
	struct node *n = node_new(p, N_CONST, RF_T_STR, at);
	int64_t i;
	if (!n)
		return NULL;
	if (letter == 'S' || lex_at_string(&p->lex)) {
		if (parse_string(p, false, n))
			return NULL;
		return n;
	}
	if (lex_int(&p->lex, &i))
		return NULL;
	n->type = RF_T_INT;
	n->lit = rf_val_int(i);
	return n;
}

static struct node *boolean(struct parser *p)
{
	struct node *n = node_new(p, N_CONST, RF_T_BOOL, lex_here(&p->lex));
	if (n)
		n->lit = rf_val_bool(lex_word(&p->lex, "true") || !lex_word(&p->lex, "false"));
	return n;
}

static bool at_number(struct parser *p)
{
	size_t at = lex_here(&p->lex);
	char c = at < p->lex.text.n ? p->lex.text.p[at] : '\0';
	return (c >= '0' && c <= '9') || c == '-';
}

static bool at_boolean(struct parser *p)
{
	size_t back = p->lex.at;
	bool yes = lex_word(&p->lex, "true") || lex_word(&p->lex, "false");
	p->lex.at = back;
	return yes;
}

static bool fits(char letter, enum rf_type t)
{
	bool text = t == RF_T_STR || t == RF_T_VERSION;
	switch (letter) {
	case 's':
		return text;
	case 'i':
		return t == RF_T_INT;
	case 'p':
		return t == RF_T_IP;
	case 'a':
		return t == RF_T_A_STR;
	case 'n':
		return text || (rf_type_element(t) && !rf_type_is_map(t));
	case 'k':
		return t == RF_T_STR;
	case 'm':
		return t == RF_T_M_STR || t == RF_T_M_A_STR;
	case 'v':
		return t == RF_T_A_A_STR;
	default:
		return text || t == RF_T_INT || t == RF_T_BOOL || t == RF_T_IP;
	}
}

static const char *wanted(char letter)
{
	switch (letter) {
	case 's':
		return "a string";
	case 'i':
		return "an integer";
	case 'p':
		return "an address";
	case 'a':
		return "an array of strings";
	case 'n':
		return "a string or an array";
	case 'k':
		return "ip, tcp, udp or icmp";
	case 'm':
		return "a map of strings";
	case 'v':
		return "an array of arrays of strings";
	default:
		return "a string, an integer, a boolean or an address";
	}
}

static struct node *of_each_test(struct parser *p, enum func fn)
{
	size_t at = lex_here(&p->lex);
	struct node *n = parse_condition(p);
	if (n && !n->each) {
		lex_fail(&p->lex, at, RF_E_TYPE, "%s() takes a test of each element: %s(field[*] eq \"...\")",
			func_table[fn].name, func_table[fn].name);
		return NULL;
	}
	return n;
}

int check_call(struct parser *p, enum func fn, const struct node *call)
{
	if (fn != FN_BIT_SLICE)
		return RF_OK;
	const struct node *from = call->kid->next, *to = from->next;
	if (to->lit.i <= from->lit.i || to->lit.i - from->lit.i > SLICE_BITS)
		return lex_fail(&p->lex, to->at, RF_E_RANGE, "bit_slice() takes 1 to %d bits, from a start up to before an end",
			SLICE_BITS);
	return RF_OK;
}

static bool raw_packet(const struct node *n)
{
	return n->op == N_FIELD && (n->field == RF_F_PACKET || n->field == RF_F_PKT_TCP || n->field == RF_F_PKT_UDP ||
		n->field == RF_F_PKT_ICMP);
}

/* The bounds that literals of some functions have, checked while the place is known. */
static int check(struct parser *p, enum func fn, unsigned i, struct node *n)
{
	size_t at = 0;
	struct rf_err why;
	if (fn == FN_WILD_REPLACE && i == 1 && wild_check(n->lit.s, &at, &why))
		return lex_fail(&p->lex, n->lit_at + at, why.code, "%s", why.text);
	if (fn == FN_SPLIT && i == 1 && n->lit.s.n == 0)
		return lex_fail(&p->lex, n->at, RF_E_RANGE, "the separator of split() is not empty");
	if (fn == FN_SPLIT && i == 2 && (n->lit.i < 1 || n->lit.i > 128))
		return lex_fail(&p->lex, n->at, RF_E_RANGE, "the limit of split() is 1 to 128");
	if (fn == FN_BIT_SLICE && i == 0 && !raw_packet(n))
		return lex_fail(&p->lex, n->at, RF_E_TYPE, "the first argument of bit_slice() is ip, tcp, udp or icmp");
	if (fn == FN_BIT_SLICE && i > 0 && (n->lit.i < 0 || n->lit.i > SLICE_OFFSET))
		return lex_fail(&p->lex, n->at, RF_E_RANGE, "the offsets of bit_slice() are 0 to %d bits", SLICE_OFFSET);
	bool v4 = fn == FN_CIDR && i == 1;
	if ((v4 && (n->lit.i < 0 || n->lit.i > 32)) ||
		((fn == FN_CIDR || fn == FN_CIDR6) && i > 0 && (n->lit.i < 0 || n->lit.i > 128)))
		return lex_fail(&p->lex, n->at, RF_E_RANGE, "the bits of a network are 0 to %d here", v4 ? 32 : 128);
	static const struct { enum func fn; unsigned i; const char *letters; } options[] = {
		{ FN_URL_DECODE, 1, "ru" }, { FN_ENCODE64, 1, "up" }, { FN_WILD_REPLACE, 3, "s" }, { FN_HMAC, 5, "s" } };
	for (size_t k = 0; k < sizeof options / sizeof *options; k++)
		for (size_t c = 0; options[k].fn == fn && options[k].i == i && c < n->lit.s.n; c++)
			if (!n->lit.s.p[c] || !strchr(options[k].letters, n->lit.s.p[c]))
				return lex_fail(&p->lex, n->lit_at + c, RF_E_UNKNOWN, "the options of %s() are the letters `%s`",
					func_table[fn].name, options[k].letters);
	return RF_OK;
}

struct node *parse_argument(struct parser *p, enum func fn, unsigned i, char letter)
{
	size_t at = lex_here(&p->lex);
	struct node *n;
	if (letter == 'b')
		return of_each_test(p, fn);
	if (letter >= 'A' && letter <= 'Z') {
		n = literal(p, letter == 'X' && at_number(p) ? 'I' : letter);
		return n && check(p, fn, i, n) == RF_OK ? n : NULL;
	}
	if (lex_at_string(&p->lex))
		n = literal(p, 'S');
	else if (at_number(p))
		n = literal(p, 'I');
	else
		n = at_boolean(p) ? boolean(p) : parse_value(p);
	if (!n)
		return NULL;
	if (n->each && i > 0) {
		lex_fail(&p->lex, at, RF_E_TYPE, "only the first argument of a function may be an array with [*]");
		return NULL;
	}
	if (letter == 'k' && check(p, fn, i, n))
		return NULL;
	if (letter == 'a' && n->mapped && n->type == RF_T_STR && !(n = gathered(p, n)))
		return NULL;
	if (!fits(letter, n->type) || (letter == 'a' && n->each)) {
		lex_fail(&p->lex, at, RF_E_TYPE, "argument %u of %s() is %s, this is of type %s", i + 1, func_table[fn].name,
			wanted(letter), rf_type_name(n->type));
		return NULL;
	}
	return n;
}
