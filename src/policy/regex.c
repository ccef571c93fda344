/* policy/regex: one vectorscan database a pattern, one scratch space a thread.
 *
 * A pattern is compiled once, however many rules have it: all share it by its text, and one that nobody has any more is
 * kept for a while (REGEX_IDLE_MAX), since a rule that is edited or moved comes back with its patterns. A lock guards who
 * has what; it is held neither while a pattern is compiled nor while one is matched.
 *
 * The scratch is made when a thread first needs it and grows to the largest database it meets; it
 * is freed with the thread. hs_scan refuses a scratch that is too small, which tells when to grow.
 */
#include "policy/regex.h"
#include <hs.h>
#include <pthread.h>
#include <stdlib.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include "base/list.h"
#include "base/map.h"
#include "policy/access.h"
#include "policy/expr.h"

enum { GROUPS = 64, STEPS = 100000, HEAP_KIB = 256, BACKTRACK_DEPTH = 1000 };

struct regex {
	struct rf_map_node node;
	struct rf_node idle; /* linked while nobody has it */
	size_t users;
	hs_database_t *db;
	struct regex_front front;
	size_t size;
	char pattern[]; /* with a NUL */
};

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static bool scratch_usable;
static __thread hs_scratch_t *scratch;

static void scratch_free(void *p)
{
	hs_free_scratch(p);
}

static void scratch_start(void)
{
	scratch_usable = pthread_key_create(&scratch_key, scratch_free) == 0;
}

static bool scratch_fit(const hs_database_t *db)
{
	pthread_once(&scratch_once, scratch_start);
	if (!scratch_usable || hs_alloc_scratch(db, &scratch) != HS_SUCCESS)
		return false;
	return pthread_setspecific(scratch_key, scratch) == 0;
}

/* Past a class by name, [:alpha:], at its bracket; at the same place where there is none. */
static size_t named_class_end(struct rf_str p, size_t at)
{
	size_t i = at + 2;
	if (i >= p.n || p.p[at + 1] != ':')
		return at;
	while (i < p.n && (p.p[i] == '^' || (p.p[i] >= 'a' && p.p[i] <= 'z')))
		i++;
	return i + 1 < p.n && p.p[i] == ':' && p.p[i + 1] == ']' ? i + 1 : at;
}

size_t regex_class_end(struct rf_str p, size_t at)
{
	at += at + 1 < p.n && p.p[at + 1] == '^' ? 2 : 1;
	if (at < p.n && p.p[at] == ']') /* stands for itself at the front */
		at++;
	for (; at < p.n && p.p[at] != ']'; at++) {
		if (p.p[at] == '\\')
			at++;
		else if (p.p[at] == '[')
			at = named_class_end(p, at);
	}
	return at + 1;
}

/* The most times that {n}, {n,} or {n,m} at `at` repeats, 1 where it is none of them. */
static size_t repeats(struct rf_str p, size_t at)
{
	size_t n[2] = { 0, 0 }, which = 0, digits = 0;
	for (at++; at < p.n && p.p[at] != '}'; at++) {
		if (p.p[at] == ',' && which == 0 && digits)
			which = 1;
		else if (p.p[at] >= '0' && p.p[at] <= '9' && ++digits < 12)
			n[which] = n[which] * 10 + (size_t)(p.p[at] - '0');
		else
			return 1;
	}
	size_t most = n[0] > n[1] ? n[0] : n[1];
	return at < p.n && digits && most ? most : 1;
}

/* Whether a pattern stays small with its repetitions written out: what the time of compiling it and the
 * memory of its automaton grow with. */
static bool modest(struct rf_str p)
{
	size_t outer[GROUPS], depth = 0, sum = 0, last = 0;
	for (size_t at = 0; at < p.n; at++) {
		char c = p.p[at];
		if (c == '(') {
			if (depth == GROUPS)
				return false;
			outer[depth++] = sum;
			sum = last = 0;
			continue;
		}
		if (c == '{') {
			size_t k = repeats(p, at);
			sum += last * (k - 1);
			last *= k;
		} else if (c == ')' && depth) {
			last = sum;
			sum += outer[--depth];
		} else {
			last = 1;
			sum++;
			if (c == '[')
				at = regex_class_end(p, at) - 1;
			else if (c == '\\')
				at++;
		}
		if (sum > RF_REGEX_PARTS || last > RF_REGEX_PARTS)
			return false;
	}
	return true;
}

static int pattern_ok(struct rf_str pattern, size_t *ret_at, struct rf_err *e)
{
	*ret_at = pattern.n ? rf_str_find(pattern, '\0') : 0;
	if (*ret_at < pattern.n)
		return rf_fail(e, RF_E_SYNTAX, "write a NUL byte in a pattern as \\x00");
	*ret_at = 0;
	if (pattern.n > RF_REGEX_SIZE)
		return rf_fail(e, RF_E_TOO_LARGE, "a pattern takes at most %d bytes", RF_REGEX_SIZE);
	if (!modest(pattern))
		return rf_fail(e, RF_E_TOO_LARGE, "this pattern has more than %d parts once its repetitions are written out",
			RF_REGEX_PARTS);
	return RF_OK;
}

/* "... at index 7." says where the error is. */
static size_t index_in(const char *message)
{
	const char *at = message ? strstr(message, "at index ") : NULL;
	return at ? strtoul(at + 9, NULL, 10) : 0;
}

static size_t least_width(const char *pattern)
{
	hs_expr_info_t *info = NULL;
	hs_compile_error_t *bad = NULL;
	size_t least = 0;
	if (hs_expression_info(pattern, HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY, &info, &bad) == HS_SUCCESS)
		least = info->min_width;
	free(info);
	hs_free_compile_error(bad);
	return least;
}

/* --- shared patterns --- */

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static struct rf_map shared;                              /* guarded by shared_lock, as all that follows */
static struct rf_node idle = { &idle, &idle };            /* the longest unused first */
static size_t idle_bytes;

static void destroy(struct regex *r)
{
	hs_free_database(r->db);
	free(r);
}

/* One that is there, with one user more; NULL where there is none. */
static struct regex *have(struct rf_str pattern)
{
	struct rf_map_node *there = rf_map_find(&shared, pattern);
	if (!there)
		return NULL;
	struct regex *r = RF_CONTAINER(there, struct regex, node);
	if (!r->users++) {
		rf_list_del(&r->idle);
		idle_bytes -= regex_bytes(r);
	}
	return r;
}

static struct regex *find_shared(struct rf_str pattern)
{
	pthread_mutex_lock(&shared_lock);
	struct regex *r = have(pattern);
	pthread_mutex_unlock(&shared_lock);
	return r;
}

/* Give what was compiled to all. Another thread may have been quicker with the same pattern: its one is taken. */
static struct regex *share(struct regex *made)
{
	pthread_mutex_lock(&shared_lock);
	struct regex *r = have(regex_pattern(made));
	if (!r) {
		made->users = 1;
		rf_map_add(&shared, &made->node, regex_pattern(made));
	}
	pthread_mutex_unlock(&shared_lock);
	if (!r)
		return made;
	destroy(made);
	return r;
}

/* Those that have been unused for longest go, until the rest is within its bound. */
static void forget_idle(void)
{
	while (idle_bytes > REGEX_IDLE_MAX) {
		struct regex *r = RF_CONTAINER(rf_list_first(&idle), struct regex, idle);
		rf_list_del(&r->idle);
		idle_bytes -= regex_bytes(r);
		rf_map_del(&shared, &r->node);
		destroy(r);
	}
}

void regex_free(struct regex *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&shared_lock);
	if (!--r->users) {
		rf_list_push(&idle, &r->idle);
		idle_bytes += regex_bytes(r);
		forget_idle();
	}
	pthread_mutex_unlock(&shared_lock);
}

size_t regex_idle(void)
{
	pthread_mutex_lock(&shared_lock);
	size_t n = idle_bytes;
	pthread_mutex_unlock(&shared_lock);
	return n;
}

/* --- making --- */

static int compile(struct regex *r, size_t *ret_at, struct rf_err *e)
{
	hs_compile_error_t *bad = NULL;
	if (hs_compile(r->pattern, HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY, HS_MODE_BLOCK, NULL, &r->db, &bad) ==
		HS_SUCCESS) {
		r->front.least = least_width(r->pattern);
		regex_first(regex_pattern(r), r->front.first);
		return RF_OK;
	}
	*ret_at = index_in(bad ? bad->message : NULL);
	if (*ret_at > r->size)
		*ret_at = r->size;
	rf_fail(e, RF_E_SYNTAX, "this pattern cannot be matched in linear time or is wrong: %s",
		bad && bad->message ? bad->message : "no reason was given");
	hs_free_compile_error(bad);
	return e->code;
}

int regex_make(struct rf_str pattern, struct regex **ret, size_t *ret_at, struct rf_err *e)
{
	int fail = pattern_ok(pattern, ret_at, e);
	if (fail)
		return fail;
	struct regex *r = find_shared(pattern);
	if (r) {
		*ret = r;
		return RF_OK;
	}
	r = calloc(1, sizeof *r + pattern.n + 1);
	if (!r)
		return rf_fail(e, RF_E_NOMEM, "no memory for a pattern");
	r->size = pattern.n;
	if (pattern.n)
		memcpy(r->pattern, pattern.p, pattern.n);
	fail = compile(r, ret_at, e);
	if (fail) {
		free(r);
		return fail;
	}
	*ret = share(r);
	return RF_OK;
}

struct rf_str regex_pattern(const struct regex *r)
{
	return (struct rf_str){ r->pattern, r->size };
}

const struct regex_front *regex_front(const struct regex *r)
{
	return &r->front;
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *ctx)
{
	(void)id, (void)from, (void)to, (void)flags;
	*(bool *)ctx = true;
	return 1; /* one is enough */
}

int regex_scan(const struct hs_database *db, struct rf_str s, match_event_handler found, void *ctx)
{
	const char *p = s.n ? s.p : "";
	if (s.n > UINT32_MAX)
		return RF_E_TOO_LARGE;
	int c = scratch ? hs_scan(db, p, (unsigned)s.n, 0, scratch, found, ctx) : HS_INVALID;
	if (c == HS_INVALID) {
		if (!scratch_fit(db))
			return RF_E_NOMEM;
		c = hs_scan(db, p, (unsigned)s.n, 0, scratch, found, ctx);
	}
	return c == HS_SUCCESS || c == HS_SCAN_TERMINATED ? RF_OK : RF_E_INTERNAL;
}

int regex_test(const struct regex *r, struct rf_str s, bool *ret)
{
	bool found = false;
	int c = regex_front_has(&r->front, s) ? regex_scan(r->db, s, on_match, &found) : RF_OK;
	if (c == RF_OK)
		*ret = found;
	return c;
}

size_t regex_bytes(const struct regex *r)
{
	size_t n = 0;
	return hs_database_size(r->db, &n) == HS_SUCCESS ? n + sizeof *r + r->size : 0;
}

struct rereplace {
	pcre2_code *code;
};

int rereplace_make(struct rf_str pattern, struct rereplace **ret, size_t *ret_at, struct rf_err *e)
{
	int fail = pattern_ok(pattern, ret_at, e);
	if (fail)
		return fail;
	struct rereplace *r = malloc(sizeof *r);
	if (!r)
		return rf_fail(e, RF_E_NOMEM, "no memory for a pattern");
	int bad = 0;
	size_t at = 0;
	r->code = pcre2_compile((PCRE2_SPTR)(pattern.n ? pattern.p : ""), pattern.n,
		PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &bad, &at, NULL);
	if (r->code) {
		*ret = r;
		return RF_OK;
	}
	free(r);
	char why[160] = "";
	pcre2_get_error_message(bad, (PCRE2_UCHAR *)why, sizeof why);
	*ret_at = at;
	return rf_fail(e, RF_E_SYNTAX, "this pattern is wrong: %s", why);
}

void rereplace_free(struct rereplace *r)
{
	if (!r)
		return;
	pcre2_code_free(r->code);
	free(r);
}

size_t rereplace_bytes(const struct rereplace *r)
{
	size_t n = 0;
	return pcre2_pattern_info(r->code, PCRE2_INFO_SIZE, &n) == 0 ? n + sizeof *r : 0;
}

static void *from_arena(size_t n, void *arena)
{
	return rf_arena_alloc(arena, n);
}

static void to_arena(void *p, void *arena)
{
	(void)p, (void)arena;
}

/* Where `with` names a group, ${1} or $1, its bounds in *ret_group and the length of the name. */
static size_t group_ref(struct rf_str with, unsigned *ret_group)
{
	bool brace = with.n > 1 && with.p[1] == '{';
	size_t at = brace ? 2 : 1, first = at;
	unsigned v = 0;
	if (with.n < 2 || with.p[0] != '$')
		return 0;
	while (at < with.n && with.p[at] >= '0' && with.p[at] <= '9' && at - first < 3)
		v = v * 10 + (unsigned)(with.p[at++] - '0');
	if (at == first || (brace && (at >= with.n || with.p[at++] != '}')))
		return 0;
	*ret_group = v;
	return at;
}

/* Write `with` with its groups filled in; to NULL: only count. */
static size_t fill(struct rf_str s, struct rf_str with, const size_t *bounds, unsigned groups, char *to)
{
	size_t n = 0;
	while (with.n) {
		unsigned g = 0;
		size_t ref = group_ref(with, &g);
		struct rf_str piece = { with.p, 1 };
		if (ref)
			piece = g < groups && bounds[2 * g] != PCRE2_UNSET && bounds[2 * g + 1] >= bounds[2 * g] ?
				(struct rf_str){ s.p + bounds[2 * g], bounds[2 * g + 1] - bounds[2 * g] } : RF_STR("");
		if (to && piece.n)
			memcpy(to + n, piece.p, piece.n);
		n += piece.n;
		with = rf_str_skip(with, ref ? ref : 1);
	}
	return n;
}

static int replace_at(struct rf_arena *arena, struct rf_str s, struct rf_str with, const size_t *bounds,
	unsigned groups, struct rf_str *ret)
{
	size_t from = bounds[0], to = bounds[1];
	if (to < from) /* \K behind the end of the match */
		return RF_E_TOO_LARGE;
	size_t middle = fill(s, with, bounds, groups, NULL), n = from + middle + (s.n - to);
	if (n > RF_EXPR_RESULT)
		return RF_E_TOO_LARGE;
	char *out = rf_arena_alloc(arena, n);
	if (!out)
		return RF_E_NOMEM;
	if (from)
		memcpy(out, s.p, from);
	fill(s, with, bounds, groups, out + from);
	if (s.n > to)
		memcpy(out + from + middle, s.p + to, s.n - to);
	*ret = (struct rf_str){ out, n };
	return RF_OK;
}

int rereplace_run(const struct rereplace *r, struct rf_arena *arena, struct rf_str s, struct rf_str with,
	struct rf_str *ret)
{
	pcre2_general_context *g = pcre2_general_context_create(from_arena, to_arena, arena);
	pcre2_match_context *m = g ? pcre2_match_context_create(g) : NULL;
	pcre2_match_data *data = m ? pcre2_match_data_create_from_pattern(r->code, g) : NULL;
	if (!data)
		return RF_E_NOMEM;
	pcre2_set_match_limit(m, STEPS);
	pcre2_set_depth_limit(m, BACKTRACK_DEPTH);
	pcre2_set_heap_limit(m, HEAP_KIB);
	int c = pcre2_match(r->code, (PCRE2_SPTR)(s.n ? s.p : ""), s.n, 0, PCRE2_NO_JIT, data, m);
	if (c == PCRE2_ERROR_NOMATCH) {
		*ret = s;
		return RF_OK;
	}
	if (c < 0)
		return c == PCRE2_ERROR_NOMEMORY ? RF_E_NOMEM : RF_E_TOO_LARGE;
	return replace_at(arena, s, with, pcre2_get_ovector_pointer(data), pcre2_get_ovector_count(data), ret);
}
