/* shield/trait: see trait.h.
 *
 * Each trait has a maker of its value from a piece of the sample. Makers that generalise (path shape, start of the body) give a
 * regular expression, so that what is compared here and what the rule tests are one.
 *
 * Invariant: a value is the same for two samples exactly where the rule made of it matches both.
 */
#include "shield/trait.h"
#include "base/hash.h"

enum { ID_HEX = 8, ID_LONG = 20, BODY_RUNS = 12 };

typedef bool maker(struct rf_str piece, struct rf_buf *to);

static bool as_is(struct rf_str v, struct rf_buf *to)
{
	rf_buf_add(to, v);
	return true;
}

static bool present(struct rf_str v, struct rf_buf *to)
{
	return v.n && as_is(v, to);
}

static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool digit(char c) { return c >= '0' && c <= '9'; }
static bool hex(char c) { return digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

static void escaped(struct rf_buf *to, char c)
{
	static const char digits[] = "0123456789abcdef";
	const char v[4] = { '\\', 'x', digits[(unsigned char)c >> 4], digits[c & 15] };
	rf_buf_add(to, (struct rf_str){ v, sizeof v });
}

static void literal(struct rf_buf *to, char c)
{
	if (letter(c) || digit(c) || c == '/' || c == '-' || c == '_')
		rf_buf_addc(to, c);
	else
		escaped(to, c);
}

/* Digits, long hexadecimal with digits, or a long word with digits: what differs from one thing to the next. */
static const char *id_pattern(struct rf_str s)
{
	size_t digits = 0, hexes = 0, words = 0;
	for (size_t i = 0; i < s.n; i++) {
		digits += digit(s.p[i]);
		hexes += hex(s.p[i]) || s.p[i] == '-';
		words += digit(s.p[i]) || letter(s.p[i]) || s.p[i] == '-' || s.p[i] == '_';
	}
	if (!digits)
		return NULL;
	if (digits == s.n)
		return "[0-9]+";
	if (hexes == s.n && s.n >= ID_HEX)
		return "[0-9A-Fa-f-]{8,}";
	return words == s.n && s.n >= ID_LONG ? "[0-9A-Za-z_-]{20,}" : NULL;
}

/* Only where there is an id: else the path itself says it. */
static bool path_shape(struct rf_str path, struct rf_buf *to)
{
	struct rf_str part;
	bool any = false, first = true;
	rf_buf_addc(to, '^');
	while (rf_str_split(&path, '/', &part)) {
		const char *id = id_pattern(part);
		if (!first)
			rf_buf_addc(to, '/');
		first = false;
		any |= id != NULL;
		if (id)
			rf_buf_add(to, rf_str_z(id));
		for (size_t i = 0; !id && i < part.n; i++)
			literal(to, part.p[i]);
	}
	rf_buf_addc(to, '$');
	return any;
}

static bool query_names(struct rf_str query, struct rf_buf *to)
{
	struct rf_str part;
	bool first = true;
	while (rf_str_split(&query, '&', &part)) {
		if (!part.n)
			continue;
		if (!first)
			rf_buf_addc(to, '&');
		first = false;
		rf_buf_add(to, (struct rf_str){ part.p, rf_str_find(part, '=') });
	}
	return !first;
}

/* Up to the first '=' or ':', behind which comes a value, or BODY_RUNS runs; a body that ends before has none. */
static bool body_start(struct rf_str body, struct rf_buf *to)
{
	size_t i = 0;
	rf_buf_addc(to, '^');
	for (unsigned runs = 0; i < body.n; runs++) {
		char c = body.p[i++];
		bool letters = letter(c), digits = digit(c);
		if (letters || digits)
			rf_buf_add(to, letters ? RF_STR("[A-Za-z]+") : RF_STR("[0-9]+"));
		else
			literal(to, c);
		while ((letters && i < body.n && letter(body.p[i])) || (digits && i < body.n && digit(body.p[i])))
			i++;
		if (c == '=' || c == ':' || (runs + 1 >= BODY_RUNS && !letters && !digits))
			return true;
	}
	return false;
}

static bool digits_of(struct rf_str length, struct rf_buf *to)
{
	if (length.n >= 10)
		rf_buf_addc(to, (char)('0' + length.n / 10));
	rf_buf_addc(to, (char)('0' + length.n % 10));
	return length.n > 0;
}

static bool size_range(struct rf_str size, struct rf_buf *to)
{
	for (size_t i = 0; i < size.n; i++)
		rf_buf_addc(to, i || size.n == 1 ? '0' : '1');
	rf_buf_add(to, RF_STR(".."));
	for (size_t i = 0; i < size.n; i++)
		rf_buf_addc(to, '9');
	return size.n > 0;
}

static bool none(struct rf_str v, struct rf_buf *to)
{
	(void)v, (void)to;
	return false;
}

static const struct {
	const char *name;
	enum rf_piece piece;
	unsigned weight;
	const char *expression;
	maker *make;
} traits[RF_TRAITS] = {
#define SOURCE_MAKE none
#define COOKIE_MAKE as_is
#define AGENT_MAKE as_is
#define LENGTH_MAKE present
#define NAMES_MAKE present
#define PATH_MAKE present
#define SHAPE_MAKE path_shape
#define QUERY_MAKE query_names
#define PRINT_MAKE present
#define TYPE_MAKE present
#define BODY_MAKE body_start
#define SIZE_MAKE digits_of
#define CHUNKED_MAKE size_range
#define METHOD_MAKE present
#define CONNECTION_MAKE present
#define VERSION_MAKE present
#define RF_TRAIT(id, name, piece, weight, expression, doc) { name, RF_PIECE_##piece, weight, expression, id##_MAKE },
#include "tbl/traits.def"
#undef RF_TRAIT
};

static uint8_t hash_key[16];

void rf_trait_seed(const uint8_t key[16]) { memcpy(hash_key, key, sizeof hash_key); }
void rf_trait_key(uint8_t ret[16]) { memcpy(ret, hash_key, sizeof hash_key); }

uint64_t rf_trait_edition(void)
{
	static const uint8_t none[16];
	uint64_t all = RF_MEASURES;
	for (unsigned t = 0; t < RF_TRAITS; t++)
		all = all * 31 + rf_hash_keyed(none, rf_str_z(traits[t].name)) + rf_hash_keyed(none, rf_str_z(traits[t].expression));
	return all;
}

const char *rf_trait_name(enum rf_trait t) { return traits[t].name; }

enum rf_trait rf_trait_find(struct rf_str name)
{
	unsigned t = 0;
	while (t < RF_TRAITS && !rf_str_eq(name, rf_str_z(traits[t].name)))
		t++;
	return (enum rf_trait)t;
}

unsigned rf_trait_weight(enum rf_trait t, bool empty) { return empty ? traits[RF_TRAIT_VERSION].weight : traits[t].weight; }

uint32_t rf_trait_hash(enum rf_trait t, struct rf_str value)
{
	uint32_t h = (uint32_t)rf_hash_keyed(hash_key, value) + (uint32_t)t;
	return h | !h;
}

uint32_t rf_source_hash(const struct rf_ip *ip)
{
	uint32_t h = (uint32_t)rf_hash_keyed(hash_key, (struct rf_str){ (const char *)ip->b, sizeof ip->b });
	return h | !h;
}

bool rf_trait_value(const struct rf_sample *s, enum rf_trait t, struct rf_buf *to)
{
	if (s->cut >> traits[t].piece & 1)
		return false;
	to->bound = RF_TRAIT_VALUE - 1;
	return traits[t].make(rf_sample_piece(s, traits[t].piece), to) && !to->bad;
}

void rf_traits_of(const struct rf_sample *s, struct rf_buf *room, struct rf_traits *ret)
{
	ret->late = 0;
	for (unsigned t = 0; t < RF_TRAITS; t++) {
		rf_buf_clear(room);
		ret->late |= (uint32_t)(s->late >> traits[t].piece & 1) << t;
		ret->hash[t] = rf_trait_value(s, (enum rf_trait)t, room) ? rf_trait_hash((enum rf_trait)t, rf_buf_str(room)) : 0;
	}
}

static bool is_source(const struct rf_signature *g, uint32_t source)
{
	for (unsigned i = 0; i < g->nsources; i++)
		if (g->source[i] == source)
			return true;
	return false;
}

bool rf_signature_match(const struct rf_signature *g, const struct rf_traits *t, uint32_t source)
{
	for (unsigned i = 0; i < g->n; i++)
		if (g->term[i].trait == RF_TRAIT_SOURCE ? !is_source(g, source) : t->hash[g->term[i].trait] != g->term[i].hash)
			return false;
	return true;
}

bool rf_signature_may(const struct rf_signature *g, const struct rf_traits *t, uint32_t source)
{
	for (unsigned i = 0; i < g->n; i++) {
		enum rf_trait of = g->term[i].trait;
		if (of == RF_TRAIT_SOURCE ? !is_source(g, source) : t->hash[of] != g->term[i].hash && !(t->late >> of & 1))
			return false;
	}
	return true;
}

static bool has_term(const struct rf_signature *g, const struct rf_signature *of, const struct rf_term *t)
{
	bool all = t->trait == RF_TRAIT_SOURCE, there = false;
	for (unsigned i = 0; i < g->n; i++)
		there |= g->term[i].trait == t->trait && (all || g->term[i].hash == t->hash);
	for (unsigned i = 0; all && i < g->nsources; i++)
		there = there && is_source(of, g->source[i]);
	return there;
}

bool rf_signature_within(const struct rf_signature *narrow, const struct rf_signature *wide)
{
	for (unsigned i = 0; i < wide->n; i++)
		if (!has_term(narrow, wide, &wide->term[i]))
			return false;
	return wide->n > 0;
}

/* Of patterns no byte needs an escape; of others quotes, backslashes and what is not plain ASCII do. */
static void quote(struct rf_buf *to, struct rf_str v, bool pattern)
{
	rf_buf_addc(to, '"');
	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];
		if (!pattern && (c < 0x20 || c > 0x7e || c == '"' || c == '\\'))
			escaped(to, v.p[i]);
		else
			rf_buf_addc(to, (char)c);
	}
	rf_buf_addc(to, '"');
}

static void term(struct rf_buf *to, const struct rf_term *t)
{
	const char *e = traits[t->trait].expression, *at = strstr(e, "%s");
	struct rf_str value = rf_str_z(t->value);
	rf_buf_add(to, (struct rf_str){ e, (size_t)(at - e) });
	if (t->trait == RF_TRAIT_SOURCE || t->trait == RF_TRAIT_SIZE || t->trait == RF_TRAIT_CHUNKED)
		rf_buf_add(to, value);
	else
		quote(to, value, t->trait == RF_TRAIT_SHAPE || t->trait == RF_TRAIT_BODY);
	rf_buf_add(to, rf_str_z(at + 2));
}

void rf_signature_expression(const struct rf_signature *g, struct rf_str host, struct rf_buf *to)
{
	bool wild = rf_str_starts(host, RF_STR("*"));
	rf_buf_add(to, wild ? RF_STR("ends_with(http.host, ") : RF_STR("http.host eq "));
	quote(to, rf_str_skip(host, wild), false);
	if (wild)
		rf_buf_addc(to, ')');
	for (unsigned i = 0; i < g->n; i++) {
		rf_buf_add(to, RF_STR(" and "));
		term(to, &g->term[i]);
	}
}
