/* policy/body: urlencoded and multipart forms as maps and arrays.
 *
 * Nothing is decoded, as documented: rules say url_decode() where they want it. Part names and file names are without
 * their quotes. A part that cannot be told (its headers have no end) ends the walk and is given as a value whole, so that
 * it is seen.
 */
#include "policy/body.h"
#include "base/err.h"
#include "policy/pairs.h"
#include "wire/accept.h"
#include "wire/form.h"
#include "wire/uri.h"

static bool form(struct rf_arena *a, enum rf_field f, struct rf_str body, struct rf_val *ret)
{
	struct rf_pairs p = { 0 };
	struct rf_str key, value;
	while (rf_query_next(&body, &key, &value))
		if (!rf_pair_add(a, &p, key, value.p ? value : RF_STR("")))
			return false;
	if (f == RF_F_FORM)
		return rf_pairs_map(a, &p, ret);
	return rf_array_of(a, f == RF_F_FORM_NAMES ? p.key : p.value, p.n, ret);
}

struct part_list {
	struct part_list *next;
	struct rf_part part;
};

/* The parts in order; false without memory. */
static bool parts_of(struct rf_arena *a, struct rf_str body, struct rf_str boundary, struct part_list **ret, uint32_t *ret_n)
{
	struct part_list **tail = ret;
	for (;;) {
		struct rf_part part = { 0 };
		int r = rf_multipart_next(&body, boundary, a, &part);
		if (r == RF_E_EOF)
			return true;
		if (r == RF_E_NOMEM)
			return false;
		struct part_list *one = RF_ARENA_NEW(a, struct part_list);
		if (!one)
			return false;
		one->part = part;
		if (r)
			one->part.body = body;
		*tail = one;
		tail = &one->next;
		++*ret_n;
		if (r)
			return true;
	}
}

/* What a part has of a field: none, one or (of file names) two. */
static uint32_t strings_of(const struct rf_part *p, enum rf_field f, struct rf_str to[2])
{
	const struct rf_str *one = f == RF_F_PART_NAMES ? &p->name : f == RF_F_PART_TYPES ? &p->type :
		f == RF_F_PART_DISPOSITIONS ? &p->disposition : f == RF_F_PART_ENCODINGS ? &p->encoding : &p->filename;
	uint32_t n = 0;
	if (one->p)
		to[n++] = *one;
	if (f == RF_F_PART_FILENAMES && p->filename_star.p)
		to[n++] = p->filename_star;
	return n;
}

static bool arrays(struct rf_arena *a, enum rf_field f, const struct part_list *l, uint32_t n, struct rf_val *ret)
{
	struct rf_val *out = rf_arena_array(a, n + 1, sizeof *out);
	for (uint32_t i = 0; out && l; l = l->next, i++) {
		struct rf_str s[2];
		if (!rf_array_of(a, s, strings_of(&l->part, f, s), &out[i]))
			return false;
	}
	*ret = rf_val_array(out, n);
	return out;
}

static bool multipart(struct rf_arena *a, enum rf_field f, struct rf_str body, struct rf_str boundary, struct rf_val *ret)
{
	struct part_list *list = NULL;
	struct rf_pairs p = { 0 };
	uint32_t n = 0;
	if (!parts_of(a, body, boundary, &list, &n))
		return false;
	if (f != RF_F_MULTIPART && f != RF_F_PART_VALUES)
		return arrays(a, f, list, n, ret);
	for (const struct part_list *l = list; l; l = l->next)
		if ((f == RF_F_PART_VALUES || l->part.name.p) && !rf_pair_add(a, &p, l->part.name, l->part.body))
			return false;
	return f == RF_F_MULTIPART ? rf_pairs_map(a, &p, ret) : rf_array_of(a, p.value, p.n, ret);
}

static bool mime(struct rf_arena *a, struct rf_str body, struct rf_str content_type, struct rf_val *ret)
{
	const char *shown = rf_media_of_bytes(body);
	struct rf_str s = shown ? rf_str_z(shown) : rf_arena_dup(a, rf_media_essence(content_type));
	for (size_t i = 0; !shown && s.p && i < s.n; i++)
		((char *)(uintptr_t)s.p)[i] = (char)rf_lower((unsigned char)s.p[i]);
	*ret = rf_val_str(s);
	return s.p;
}

bool rf_body_fact(struct rf_arena *a, enum rf_field f, struct rf_str body, struct rf_str content_type, struct rf_val *ret)
{
	struct rf_str type = rf_media_essence(content_type), boundary;
	switch (f) {
	case RF_F_HTTP_BODY_MIME:
		return mime(a, body, content_type, ret);
	case RF_F_FORM: case RF_F_FORM_NAMES: case RF_F_FORM_VALUES:
		return rf_str_ieq(type, RF_STR("application/x-www-form-urlencoded")) && form(a, f, body, ret);
	default:
		type.n = type.n > 10 ? 10 : type.n;
		return rf_str_ieq(type, RF_STR("multipart/")) && rf_header_param(content_type, RF_STR("boundary"), a, &boundary) &&
			boundary.n && boundary.n <= RF_BOUNDARY_MAX && multipart(a, f, body, boundary, ret);
	}
}
