/* policy/parse_value: fields, indexes, functions with their arguments, and inline lists.
 *
 *	value := ( field | function "(" argument { "," argument } ")" ) { "[" ( int | string | "*" ) "]" }
 *
 * x[*] stands for one element after the other and only in the first argument of a function; the
 * function is then applied to each element, and what it makes is an array again.
 */
#include "policy/ast.h"
#include "policy/set.h"

static int field_fail(struct parser *p, size_t at, struct rf_str name)
{
	const char *near = rf_field_near(name);
	int shown = name.n < 80 ? (int)name.n : 80;
	if (near)
		return lex_fail(&p->lex, at, RF_E_UNKNOWN, "unknown field `%.*s`, did you mean `%s`?", shown, name.p, near);
	return lex_fail(&p->lex, at, RF_E_UNKNOWN, "unknown field `%.*s`", shown, name.p);
}

static struct node *field_node(struct parser *p, size_t at, struct rf_str name)
{
	bool deprecated = false;
	int f = rf_field_find(name, &deprecated);
	if (f < 0) {
		field_fail(p, at, name);
		return NULL;
	}
	const struct rf_field_info *info = &rf_fields[f];
	if (!(info->planes & rf_phases[p->phase].plane)) {
		lex_fail(&p->lex, at, RF_E_INVALID, "the field `%s` is not known in the phase `%s`", info->name,
			rf_phases[p->phase].name);
		return NULL;
	}
	if (info->need != RF_NEED_NONE && !(p->env->have & 1u << info->need)) {
		lex_fail(&p->lex, at, RF_E_UNSUPPORTED, "the field `%s` %s", info->name, rf_needs[info->need]);
		return NULL;
	}
	if (deprecated)
		p->deprecated = info->name;
	p->uses[f >> 6] |= 1ull << (f & 63);
	struct node *n = node_new(p, N_FIELD, info->type, at);
	if (n)
		n->field = (enum rf_field)f;
	return n;
}

struct node *gathered(struct parser *p, struct node *v)
{
	struct node *n = node_new(p, N_COLLECT, RF_T_A_STR, v->at);
	if (n)
		node_add(n, v);
	return n;
}

static struct node *call_on(struct parser *p, enum func fn, enum rf_type type, struct node *v)
{
	struct node *n = node_new(p, N_CALL, type, v->at);
	if (n) {
		n->sub = fn;
		node_add(n, v);
	}
	return n;
}

static struct node *over_each(struct parser *p, struct node *v, size_t at)
{
	if (!p->each_ok) {
		lex_fail(&p->lex, at, RF_E_SYNTAX, "[*] stands only in the first argument of a function, such as any() or all()");
		return NULL;
	}
	if (v->mapped) {
		v->mapped = false;
		return v;
	}
	if (v->op == N_EACH && v->type == RF_T_A_STR)
		v = call_on(p, FN_FLATTEN, RF_T_A_STR, v->kid);
	else if (!v->each && rf_type_is_map(v->type) && v->type != RF_T_M_A_INT)
		v = call_on(p, FN_VALUES, v->type == RF_T_M_STR ? RF_T_A_STR : RF_T_A_A_STR, v);
	if (!v)
		return NULL;
	if (v->each || rf_type_is_map(v->type) || !rf_type_element(v->type)) {
		lex_fail(&p->lex, at, RF_E_TYPE, "[*] works on an array, this is of type %s", rf_type_name(v->type));
		return NULL;
	}
	struct node *n = node_new(p, N_EACH, rf_type_element(v->type), v->at);
	if (!n)
		return NULL;
	n->each = true;
	node_add(n, v);
	return n;
}

static struct node *by_key(struct parser *p, struct node *v, size_t at)
{
	if (!rf_type_is_map(v->type)) {
		lex_fail(&p->lex, at, RF_E_TYPE, "a key works on a map, this is of type %s", rf_type_name(v->type));
		return NULL;
	}
	struct node *n = node_new(p, N_KEY, rf_type_element(v->type), v->at);
	if (!n || parse_string(p, false, n))
		return NULL;
	if (v->field == RF_F_HTTP_HEADERS || v->field == RF_F_RESPONSE_HEADERS) {
		struct rf_str lower = rf_arena_dup(p->arena, n->lit.s);
		for (size_t i = 0; lower.p && i < lower.n; i++)
			((char *)lower.p)[i] = (char)rf_lower((unsigned char)lower.p[i]);
		n->lit = rf_val_str(lower);
	}
	node_add(n, v);
	return n;
}

static struct node *by_index(struct parser *p, struct node *v, size_t at)
{
	int64_t i;
	if (v->mapped && v->type == RF_T_STR && !(v = gathered(p, v)))
		return NULL;
	if (rf_type_is_map(v->type) || !rf_type_element(v->type)) {
		lex_fail(&p->lex, at, RF_E_TYPE, "an index works on an array, this is of type %s", rf_type_name(v->type));
		return NULL;
	}
	if (lex_int(&p->lex, &i))
		return NULL;
	if (i < 0 || i > UINT32_MAX) {
		lex_fail(&p->lex, at, RF_E_RANGE, "an index is 0 or more");
		return NULL;
	}
	struct node *n = node_new(p, N_INDEX, rf_type_element(v->type), v->at);
	if (!n)
		return NULL;
	n->each = v->each;
	n->lit = rf_val_int(i);
	node_add(n, v);
	return n;
}

static struct node *parse_indexes(struct parser *p, struct node *v)
{
	while (v && lex_mark(&p->lex, "[")) {
		size_t at = lex_here(&p->lex);
		if (lex_mark(&p->lex, "*"))
			v = over_each(p, v, at);
		else
			v = lex_at_string(&p->lex) ? by_key(p, v, at) : by_index(p, v, at);
		if (v && !lex_mark(&p->lex, "]")) {
			lex_fail(&p->lex, lex_here(&p->lex), RF_E_SYNTAX, "expected `]` here");
			return NULL;
		}
	}
	return v;
}

static int arguments(struct parser *p, enum func fn, struct node *call)
{
	bool optional;
	for (unsigned i = 0;; i++) {
		char letter = func_letter(fn, i, &optional);
		size_t at = lex_here(&p->lex);
		if (lex_peek_mark(&p->lex, ")") && (letter == '\0' || optional))
			break;
		if (i && letter && !lex_mark(&p->lex, ","))
			return lex_fail(&p->lex, at, RF_E_SYNTAX, "expected `%s` and the next argument of %s() here", ",",
				func_table[fn].name);
		if (!letter)
			return lex_fail(&p->lex, at, RF_E_SYNTAX, "%s() takes at most %u arguments", func_table[fn].name, i);
		bool outer = p->each_ok;
		p->each_ok = i == 0;
		struct node *arg = parse_argument(p, fn, i, letter);
		p->each_ok = outer;
		if (!arg)
			return p->lex.e->code;
		node_add(call, arg);
		call->each |= i == 0 && arg->each && letter != 'b';
	}
	lex_mark(&p->lex, ")");
	return RF_OK;
}

static struct node *parse_call(struct parser *p, size_t at, struct rf_str name)
{
	int fn = func_find(name);
	int shown = name.n < 80 ? (int)name.n : 80;
	if (fn < 0) {
		const char *near = func_near(name);
		lex_fail(&p->lex, at, RF_E_UNKNOWN, near ? "unknown function `%.*s`, did you mean `%s`?" :
			"unknown function `%.*s`", shown, name.p, near);
		return NULL;
	}
	if (fn == FN_BIT_SLICE && !(rf_phases[p->phase].plane & RF_ON_P)) {
		lex_fail(&p->lex, at, RF_E_UNSUPPORTED,
			"bit_slice() works on raw packet bytes, which the phase `%s` does not have",
			rf_phases[p->phase].name);
		return NULL;
	}
	if (!parse_enter(p))
		return NULL;
	struct node *call = node_new(p, N_CALL, func_table[fn].returns, at);
	if (!call)
		return NULL;
	call->sub = (unsigned)fn;
	int r = arguments(p, (enum func)fn, call);
	if (r == RF_OK)
		r = check_call(p, (enum func)fn, call);
	p->depth--;
	call->mapped = call->each;
	if (r == RF_OK && fn == FN_VALUES && call->kid->type == RF_T_M_A_STR)
		call->type = RF_T_A_A_STR;
	if (r == RF_OK && call->each && rf_type_element(call->type)) {
		lex_fail(&p->lex, at, RF_E_TYPE, "%s() makes an array and cannot be applied to each element",
			func_table[fn].name);
		return NULL;
	}
	return r ? NULL : call;
}

struct node *parse_value(struct parser *p)
{
	size_t at = lex_here(&p->lex);
	struct rf_str name;
	if (!lex_name(&p->lex, &name)) {
		lex_fail(&p->lex, at, RF_E_SYNTAX, lex_end(&p->lex) ?
			"the expression ends where a field or a function should stand" : "expected a field or a function here");
		return NULL;
	}
	return parse_indexes(p, lex_mark(&p->lex, "(") ? parse_call(p, at, name) : field_node(p, at, name));
}

static int int_item(struct parser *p, struct set_item *item)
{
	size_t at = lex_here(&p->lex);
	if (lex_int(&p->lex, &item->lo))
		return p->lex.e->code;
	item->hi = item->lo;
	if (lex_mark(&p->lex, "..") && lex_int(&p->lex, &item->hi))
		return p->lex.e->code;
	if (item->hi < item->lo)
		return lex_fail(&p->lex, at, RF_E_RANGE, "a range goes from the smaller to the larger number");
	return RF_OK;
}

static int ip_item(struct parser *p, struct set_item *item)
{
	size_t at = lex_here(&p->lex);
	struct rf_prefix from, to;
	bool slash, slash_to = false;
	if (lex_prefix(&p->lex, &from, &slash))
		return p->lex.e->code;
	prefix_range(&from, &item->from, &item->to);
	if (!lex_mark(&p->lex, ".."))
		return RF_OK;
	if (lex_prefix(&p->lex, &to, &slash_to))
		return p->lex.e->code;
	if (slash || slash_to || from.ip.family != to.ip.family || rf_ip_cmp(&from.ip, &to.ip) > 0)
		return lex_fail(&p->lex, at, RF_E_RANGE, "a range goes from the smaller to the larger address of one family");
	item->from = from.ip;
	item->to = to.ip;
	return RF_OK;
}

static int one_item(struct parser *p, enum rf_type t, struct set_item *item)
{
	if (t == RF_T_INT)
		return int_item(p, item);
	if (t == RF_T_IP)
		return ip_item(p, item);
	if (!lex_at_string(&p->lex))
		return lex_fail(&p->lex, lex_here(&p->lex), RF_E_TYPE, "expected a string in quotes here");
	return lex_string(&p->lex, false, &item->s);
}

int parse_items(struct parser *p, enum rf_type t, struct node *n)
{
	size_t cap = 0, at = lex_here(&p->lex);
	while (!lex_mark(&p->lex, "}")) {
		if (lex_end(&p->lex))
			return lex_fail(&p->lex, at - 1, RF_E_SYNTAX, "this list does not end");
		if (lex_peek_mark(&p->lex, ","))
			return lex_fail(&p->lex, lex_here(&p->lex), RF_E_SYNTAX, "the values of a list stand with spaces between them");
		if (n->nitems == RF_EXPR_LIST)
			return lex_fail(&p->lex, lex_here(&p->lex), RF_E_TOO_LARGE,
				"a list in an expression takes at most %d values: use a named list", RF_EXPR_LIST);
		if (n->nitems == cap) {
			struct set_item *more = rf_arena_array(p->arena, cap = cap ? cap * 2 : 8, sizeof *more);
			if (!more)
				return lex_fail(&p->lex, at, RF_E_NOMEM, "the expression needs too much memory");
			if (n->nitems)
				memcpy(more, n->items, n->nitems * sizeof *more);
			n->items = more;
		}
		if (one_item(p, t, &n->items[n->nitems]))
			return p->lex.e->code;
		n->nitems++;
	}
	return n->nitems ? RF_OK : lex_fail(&p->lex, at, RF_E_SYNTAX, "a list holds at least one value");
}
