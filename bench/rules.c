/* bench/rules: what the evaluation of rules costs, alone.
 *
 *	bench-rules RULES.json REQUESTS.json [--in-turn] [--quick] [--cold] [--rounds N] [--seconds S]
 *
 * RULES.json: {"rules": [...]}; REQUESTS.json: an array of objects of fields and their texts; "headers" and "args" are
 * objects. The facts of each request are asked for anew, as the edge does, and some dozens of requests are read before they
 * are timed: the edge has just parsed its request, and has it in its caches. --cold: they are not. --in-turn: without the
 * index; --quick: as rules are the moment they come, before the background has merged them. With --rounds the requests are
 * evaluated that often and nothing is timed (for callgrind); else one line says, for each pass over them: ns a request.
 */
#include <stdio.h>
#include <stdlib.h>
#include "bench/program.h"
#include "policy/verdict.h"

enum { KEYS = 16 /* headers, fields */, PASSES = 400, BATCH = 50 };

struct request {
	uint8_t at[RF_FIELD_COUNT];  /* of a field's value; 0: none */
	struct rf_val val[KEYS];
	uint8_t count;
	struct rf_entry entry[KEYS]; /* headers */
	struct rf_val value[KEYS];
	uint32_t keys;
};

struct bench {
	struct rf_ruleset *set;
	struct rf_phase_set *phase;
	struct request *q;
	size_t count;
	struct rf_facts facts;
	struct rf_arena arena;
	uint64_t blocked, touched;
	bool cold;
};

static bool get(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_val *ret)
{
	(void)arena;
	const struct request *q = ctx;
	*ret = q->val[q->at[f]];
	return q->at[f];
}

static bool get_key(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_str key, struct rf_val *ret)
{
	const struct request *q = ctx;
	(void)arena;
	for (uint32_t i = 0; f == RF_F_HTTP_HEADERS && i < q->keys; i++)
		if (rf_str_eq(q->entry[i].key, key)) {
			*ret = q->entry[i].val;
			return true;
		}
	return false;
}

static json_t *load(const char *path)
{
	json_error_t why;
	json_t *doc = json_load_file(path, 0, &why);
	if (!doc)
		die(path, why.text);
	return doc;
}

static void put(struct request *q, enum rf_field f, struct rf_val v)
{
	if (q->count + 1 == KEYS)
		die("a request", "too many fields");
	q->at[f] = ++q->count;
	q->val[q->count] = v;
}

static void fill_headers(struct request *q, const json_t *headers)
{
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)headers, key, v) {
		if (q->keys == KEYS)
			break;
		q->value[q->keys] = rf_val_str((struct rf_str){ json_string_value(v), json_string_length(v) });
		q->entry[q->keys] = (struct rf_entry){ rf_str_z(key), rf_val_array(&q->value[q->keys], 1) };
		q->keys++;
	}
	put(q, RF_F_HTTP_HEADERS, rf_val_map(q->entry, q->keys));
}

static void fill(struct request *q, const json_t *doc)
{
	const char *key;
	json_t *v;
	bool old;
	json_object_foreach((json_t *)doc, key, v) {
		int f = rf_field_find(rf_str_z(key), &old);
		struct rf_str text = { json_string_value(v), json_string_length(v) };
		struct rf_ip ip;
		if (f < 0)
			die("a field of a request", key);
		if (f == RF_F_HTTP_HEADERS)
			fill_headers(q, v);
		else if (rf_fields[f].type == RF_T_IP)
			put(q, (enum rf_field)f, rf_ip_parse(text, &ip) ? rf_val_ip(ip) : (struct rf_val){ 0 });
		else
			put(q, (enum rf_field)f, json_is_integer(v) ? rf_val_int(json_integer_value(v)) :
				json_is_boolean(v) ? rf_val_bool(json_is_true(v)) : rf_val_str(text));
	}
}

static void load_requests(struct bench *b, const char *path)
{
	const json_t *doc = load(path); /* kept: requests point into it */
	b->count = json_array_size(doc);
	b->q = calloc(b->count + 1, sizeof *b->q);
	for (size_t i = 0; b->q && i < b->count; i++)
		fill(&b->q[i], json_array_get(doc, i));
}

static void load_rules(struct bench *b, const char *path, bool in_turn, bool quick)
{
	const struct rf_rule_env env = { 0 };
	struct rf_err e = { 0 };
	json_t *doc = load(path);
	double start = now();
	if (rf_ruleset_make(&env, RF_PHASE_HTTP_REQUEST, RF_STR("1"), RF_STR("bench"), json_object_get(doc, "rules"), NULL, &b->set, &e))
		die(e.pointer, e.text);
	double parsed = now();
	if (!in_turn && rf_ruleset_index(b->set, NULL, !quick))
		die(path, "no memory for the index");
	fprintf(stderr, "%zu rules: compiled in %.1f ms, index %s in %.1f ms, %.1f MB\n", b->set->count, (parsed - start) / 1e6,
		quick ? "quick" : "frozen", (now() - parsed) / 1e6, (double)rf_ruleset_index_bytes(b->set) / 1e6);
	if (rf_phase_set_make(RF_PHASE_HTTP_REQUEST, &b->set, 1, &b->phase))
		die(path, "no memory");
	json_decref(doc);
}

static uint64_t touch_text(struct rf_str s)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < s.n; i++)
		sum += (uint8_t)s.p[i];
	return sum;
}

/* Read a request once: the edge has just parsed what it asks the rules about, and so it lies in the cache. */
static uint64_t touch(const struct request *q)
{
	uint64_t sum = 0;
	for (unsigned f = 0; f < RF_FIELD_COUNT; f++)
		sum += q->at[f] && q->val[q->at[f]].tag == RF_V_STR ? touch_text(q->val[q->at[f]].s) : q->at[f];
	for (uint32_t i = 0; i < q->keys; i++)
		sum += touch_text(q->entry[i].key) + touch_text(q->value[i].s);
	return sum;
}

static void evaluate(struct bench *b, size_t from, size_t to)
{
	static const struct rf_facts_ops ops = { get, get_key };
	static struct rf_verdict v;
	for (size_t i = from; i < to; i++) {
		rf_facts_init(&b->facts, &ops, &b->q[i], &b->arena, NULL, 0);
		rf_verdict_init(&v);
		rf_phase_eval(b->phase, &b->facts, &v, NULL);
		b->blocked += v.outcome == RF_BLOCK;
		rf_arena_rewind(&b->arena);
	}
}

/* ns of evaluating all requests. */
static double pass(struct bench *b)
{
	double ns = 0;
	for (size_t at = 0, end; at < b->count; at = end) {
		end = at + BATCH < b->count ? at + BATCH : b->count;
		for (size_t i = at; i < end && !b->cold; i++)
			b->touched += touch(&b->q[i]);
		double start = now();
		evaluate(b, at, end);
		ns += now() - start;
	}
	return ns;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static void time_passes(struct bench *b, double seconds)
{
	double ns[PASSES], start = now();
	int n = 0;
	pass(b);
	b->blocked = 0;
	while (n < PASSES && (n < 5 || now() - start < seconds * 1e9)) {
		ns[n++] = pass(b) / (double)b->count;
	}
	qsort(ns, (size_t)n, sizeof *ns, by_size);
	printf("{\"median\": %.1f, \"low\": %.1f, \"high\": %.1f, \"blocked\": %.4f}\n", ns[n / 2], ns[n / 10], ns[n - 1 - n / 10],
		(double)b->blocked / (double)b->count / n);
}

int main(int argc, char **argv)
{
	struct bench b = { 0 };
	bool in_turn = false, quick = false;
	long rounds = 0;
	double seconds = 1;
	if (argc < 3)
		die("arguments", "RULES.json REQUESTS.json");
	for (int i = 3; i < argc; i++) {
		if (!strcmp(argv[i], "--in-turn"))
			in_turn = true;
		else if (!strcmp(argv[i], "--quick"))
			quick = true;
		else if (!strcmp(argv[i], "--cold"))
			b.cold = true;
		else if (!strcmp(argv[i], "--rounds") && i + 1 < argc)
			rounds = atol(argv[++i]);
		else if (!strcmp(argv[i], "--seconds") && i + 1 < argc)
			seconds = atof(argv[++i]);
		else
			die(argv[i], "unknown option");
	}
	rf_arena_init(&b.arena, 1 << 20);
	load_rules(&b, argv[1], in_turn, quick);
	load_requests(&b, argv[2]);
	for (long i = 0; i < rounds; i++)
		evaluate(&b, 0, b.count);
	if (!rounds)
		time_passes(&b, seconds);
	return 0;
}
