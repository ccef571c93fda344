/* ctl/boot_value: the types of settings, from text and back.
 *
 * One parser for each type, used for what the operator wrote, for the default and for the least and most of a row alike.
 * Not here: places in files (boot_yaml.c puts them on the errors).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/jw.h"
#include "ctl/boot_in.h"

struct unit { const char *name; uint64_t times; };

static const struct unit durations[] = { /* largest first, for printing */
	{ "d", 86400 * RF_NS_S }, { "h", 3600 * RF_NS_S }, { "m", 60 * RF_NS_S }, { "s", RF_NS_S }, { "ms", RF_NS_MS },
	{ "us", RF_NS_US }, { "ns", 1 }, { NULL, 0 },
};
static const struct unit sizes[] = {
	{ "TB", 1ull << 40 }, { "GB", 1 << 30 }, { "MB", 1 << 20 }, { "KB", 1 << 10 }, { "TiB", 1ull << 40 }, { "GiB", 1 << 30 },
	{ "MiB", 1 << 20 }, { "KiB", 1 << 10 }, { "T", 1ull << 40 }, { "G", 1 << 30 }, { "M", 1 << 20 }, { "K", 1 << 10 },
	{ "B", 1 }, { "", 1 }, { NULL, 0 },
};

static bool digit(char c) { return c >= '0' && c <= '9'; }

/* Number and unit at the front of *s, added to *sum. */
static bool piece(struct rf_str *s, const struct unit *units, uint64_t *sum)
{
	size_t digits = 0, letters = 0;
	uint64_t n, part;
	while (digits < s->n && digit(s->p[digits]))
		digits++;
	if (!rf_str_u64((struct rf_str){ s->p, digits }, &n))
		return false;
	*s = rf_str_skip(*s, digits);
	while (letters < s->n && !digit(s->p[letters]))
		letters++;
	struct rf_str name = { s->p, letters };
	for (const struct unit *u = units; u->name; u++)
		if (rf_str_ieq(name, rf_str_z(u->name))) {
			*s = rf_str_skip(*s, letters);
			return !__builtin_mul_overflow(n, u->times, &part) && !__builtin_add_overflow(*sum, part, sum);
		}
	return false;
}

static bool parse_duration(struct rf_str s, uint64_t *ret)
{
	uint64_t sum = 0;
	if (rf_str_eq(s, RF_STR("0"))) {
		*ret = 0;
		return true;
	}
	do
		if (!piece(&s, durations, &sum))
			return false;
	while (s.n);
	*ret = sum;
	return true;
}

static bool parse_size(struct rf_str s, uint64_t *ret)
{
	uint64_t sum = 0;
	if (!piece(&s, sizes, &sum) || s.n)
		return false;
	*ret = sum;
	return true;
}

static bool parse_number(const struct boot_row *row, struct rf_str s, uint64_t *ret)
{
	return row->type == BOOT_DURATION ? parse_duration(s, ret) : row->type == BOOT_SIZE ? parse_size(s, ret) : rf_str_u64(s, ret);
}

static int number(const struct boot_row *row, struct rf_str s, uint64_t *to, struct rf_err *e)
{
	static const char *const like[] = { [BOOT_U64] = "a number such as 100", [BOOT_SIZE] = "a size such as 256MB",
					    [BOOT_DURATION] = "a duration such as 10s or 500ms" };
	uint64_t v, least, most;
	if (!parse_number(row, s, &v))
		return rf_fail(e, RF_E_TYPE, "%s must be %s, not \"%.*s\"", row->path, like[row->type], RF_ARG(s));
	if ((parse_number(row, rf_str_z(row->least), &least) && v < least) ||
	    (parse_number(row, rf_str_z(row->most), &most) && v > most))
		return rf_fail(e, RF_E_RANGE, "%s must be between %s and %s, not %.*s", row->path, row->least, row->most, RF_ARG(s));
	*to = v;
	return RF_OK;
}

static int boolean(const struct boot_row *row, struct rf_str s, bool *to, struct rf_err *e)
{
	static const char *const words[] = { "false", "true", "no", "yes", "off", "on" };
	for (size_t i = 0; i < 6; i++)
		if (rf_str_ieq(s, rf_str_z(words[i]))) {
			*to = i & 1;
			return RF_OK;
		}
	return rf_fail(e, RF_E_TYPE, "%s must be true or false, not \"%.*s\"", row->path, RF_ARG(s));
}

static int choice(const struct boot_row *row, struct rf_str s, int *to, struct rf_err *e)
{
	struct rf_str rest = rf_str_z(row->least), word;
	for (int i = 0; rf_str_split(&rest, '|', &word); i++)
		if (rf_str_eq(word, s)) {
			*to = i;
			return RF_OK;
		}
	return rf_fail(e, RF_E_TYPE, "%s must be one of %s, not \"%.*s\"", row->path, row->least, RF_ARG(s));
}

static int address(const struct boot_row *row, struct rf_str s, struct rf_boot_address *to, struct rf_err *e)
{
	struct rf_boot_address v = { 0 };
	uint64_t port;
	size_t colon = s.n;
	while (colon && s.p[colon - 1] != ':')
		colon--;
	struct rf_str ip = { s.p, colon ? colon - 1 : 0 };
	bool brackets = ip.n > 2 && ip.p[0] == '[' && ip.p[ip.n - 1] == ']';
	if (brackets)
		ip = (struct rf_str){ ip.p + 1, ip.n - 2 };
	if (s.n == 0) {
		*to = v;
		return RF_OK;
	}
	if (!colon || !rf_ip_parse(ip, &v.ip) || (rf_str_find(ip, ':') < ip.n) != brackets)
		return rf_fail(e, RF_E_TYPE, "%s must be an address and a port such as \"0.0.0.0:443\" or \"[::]:443\", not \"%.*s\"",
			       row->path, RF_ARG(s));
	if (!rf_str_u64(rf_str_skip(s, colon), &port) || port > 65535)
		return rf_fail(e, RF_E_RANGE, "%s needs a port between 1 and 65535, not \"%.*s\"", row->path,
			       RF_ARG(rf_str_skip(s, colon)));
	v.port = (uint16_t)port;
	*to = v;
	return RF_OK;
}

int rf_boot_prefix(struct rf_str text, struct rf_prefix *ret, struct rf_err *e)
{
	if (!rf_prefix_parse(text, true, ret))
		return rf_fail(e, RF_E_TYPE, "\"%.*s\" is not a network such as 10.0.0.0/8 or 2001:db8::/32 with zero host bits",
			       RF_ARG(text));
	return RF_OK;
}

static int prefixes(struct rf_arena *a, struct rf_str s, struct rf_boot_prefixes *to, struct rf_err *e)
{
	struct rf_prefix *v = RF_ARENA_NEW(a, struct rf_prefix);
	if (!v)
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	int r = s.n ? rf_boot_prefix(s, v, e) : RF_OK;
	if (r == RF_OK)
		*to = (struct rf_boot_prefixes){ v, s.n != 0 };
	return r;
}

static int string(struct rf_arena *a, const struct boot_row *row, struct rf_str s, const char *dir, bool on_disk,
		  const char **to, struct rf_err *e)
{
	struct stat st;
	if (memchr(s.p ? s.p : "", 0, s.n))
		return rf_fail(e, RF_E_TYPE, "%s has a NUL byte", row->path);
	bool relative = row->type != BOOT_STR && s.n && s.p[0] != '/';
	struct rf_str v = relative ? rf_arena_printf(a, "%s/%.*s", dir, RF_ARG(s)) : rf_arena_dup(a, s);
	if (!v.p)
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	if (row->type == BOOT_FILE && v.n && on_disk && (stat(v.p, &st) != 0 || !S_ISREG(st.st_mode) || access(v.p, R_OK) != 0))
		return rf_fail(e, RF_E_NOT_FOUND, "%s: the file %s cannot be read", row->path, v.p);
	*to = v.p;
	return RF_OK;
}

int rf_boot_value(struct rf_arena *a, const struct boot_row *row, struct rf_str text, const char *dir, bool on_disk,
		  void *to, struct rf_err *e)
{
	switch (row->type) {
	case BOOT_STR: case BOOT_PATH: case BOOT_FILE: return string(a, row, text, dir, on_disk, to, e);
	case BOOT_U64: case BOOT_SIZE: case BOOT_DURATION: return number(row, text, to, e);
	case BOOT_BOOL: return boolean(row, text, to, e);
	case BOOT_CHOICE: return choice(row, text, to, e);
	case BOOT_ADDRESS: return address(row, text, to, e);
	case BOOT_PREFIXES: return prefixes(a, text, to, e);
	}
	return rf_fail(e, RF_E_INTERNAL, "%s has no type", row->path);
}

/* `inner` is NAME or NAME:-default. */
static int variable(struct rf_buf *out, struct rf_str inner, struct rf_err *e)
{
	size_t colon = rf_str_search(inner, RF_STR(":-"));
	char name[128];
	if (colon == 0 || colon >= sizeof name)
		return rf_fail(e, RF_E_SYNTAX, "\"${%.*s}\" names no variable of the environment", RF_ARG(inner));
	memcpy(name, inner.p, colon);
	name[colon] = 0;
	const char *v = getenv(name);
	if (!v && colon == inner.n)
		return rf_fail(e, RF_E_MISSING, "the environment has no %s; set it, or write ${%s:-default}", name, name);
	rf_buf_add(out, v ? rf_str_z(v) : rf_str_skip(inner, colon + 2));
	return RF_OK;
}

int rf_boot_expand(struct rf_arena *a, struct rf_str text, struct rf_str *ret, struct rf_err *e)
{
	RF_BUF_AUTO out = { .bound = BOOT_FILE_BYTES_MAX };
	while (text.n) {
		size_t at = rf_str_search(text, RF_STR("${"));
		bool literal = at > 0 && at < text.n && text.p[at - 1] == '$';
		rf_buf_add(&out, (struct rf_str){ text.p, at - literal });
		text = rf_str_skip(text, at);
		if (literal)
			rf_buf_add(&out, RF_STR("${"));
		if (literal || text.n == 0) {
			text = rf_str_skip(text, 2);
			continue;
		}
		size_t end = rf_str_find(text, '}');
		if (end == text.n)
			return rf_fail(e, RF_E_SYNTAX, "\"%.*s\" lacks its closing brace", RF_ARG(text));
		int r = variable(&out, (struct rf_str){ text.p + 2, end - 2 }, e);
		if (r != RF_OK)
			return r;
		text = rf_str_skip(text, end + 1);
	}
	struct rf_str v = rf_arena_dup(a, rf_buf_str(&out));
	if (out.bad || !v.p)
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	*ret = v;
	return RF_OK;
}

static void print_units(struct rf_buf *out, const struct unit *units, uint64_t v)
{
	const struct unit *u = units;
	while (v == 0 ? u->times != 1 : v % u->times != 0)
		u++;
	rf_buf_printf(out, "%" PRIu64 "%s", v / u->times, v || units == durations ? u->name : "");
}

static void print_str(struct rf_buf *out, const char *z)
{
	RF_BUF_AUTO escaped = { 0 };
	struct rf_str s = rf_str_z(z);
	while (s.n) {
		size_t at = rf_str_search(s, RF_STR("${"));
		rf_buf_add(&escaped, (struct rf_str){ s.p, at });
		if (at < s.n)
			rf_buf_add(&escaped, RF_STR("$${"));
		s = rf_str_skip(s, at + 2);
	}
	rf_json_quote(out, rf_buf_str(&escaped));
}

static void print_choice(struct rf_buf *out, const struct boot_row *row, int v)
{
	struct rf_str rest = rf_str_z(row->least), word = { 0 };
	for (int i = 0; i <= v && rf_str_split(&rest, '|', &word); i++)
		;
	rf_json_quote(out, word);
}

static void print_address(struct rf_buf *out, const struct rf_boot_address *v)
{
	char ip[RF_IP_TEXT];
	if (v->ip.family == 0)
		rf_buf_add(out, RF_STR("\"\""));
	else
		rf_buf_printf(out, v->ip.family == 6 ? "\"[%s]:%u\"" : "\"%s:%u\"", rf_ip_str(&v->ip, ip), v->port);
}

void rf_boot_value_print(struct rf_buf *out, const struct boot_row *row, const void *from)
{
	const struct rf_boot_prefixes *list = from;
	char text[RF_IP_TEXT];
	switch (row->type) {
	case BOOT_STR: case BOOT_PATH: case BOOT_FILE: print_str(out, *(const char *const *)from); break;
	case BOOT_U64: rf_buf_printf(out, "%" PRIu64, *(const uint64_t *)from); break;
	case BOOT_SIZE: print_units(out, sizes, *(const uint64_t *)from); break;
	case BOOT_DURATION: print_units(out, durations, *(const uint64_t *)from); break;
	case BOOT_BOOL: rf_buf_printf(out, "%s", *(const bool *)from ? "true" : "false"); break;
	case BOOT_CHOICE: print_choice(out, row, *(const int *)from); break;
	case BOOT_ADDRESS: print_address(out, from); break;
	case BOOT_PREFIXES:
		rf_buf_addc(out, '[');
		for (size_t i = 0; i < list->n; i++)
			rf_buf_printf(out, "%s\"%s\"", i ? ", " : "", rf_prefix_str(&list->v[i], text));
		rf_buf_addc(out, ']');
	}
}
