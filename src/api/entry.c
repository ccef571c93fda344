/* api/entry: see entry.h. A wildcard that takes the name itself too (exclude_exact_hostname false) is written with a plus:
 * "+.example.com"; a redirect's value is its source, and the rest of it stands beside. */
#include "api/entry.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/enc.h"

static const char *const members[] = { "ip", "hostname", "asn", "redirect", "string", "hash" };

static struct rf_str text_of(const json_t *v)
{
	return (struct rf_str){ json_string_value(v), json_string_length(v) };
}

void rf_entry_room_fini(struct rf_entry_room *r)
{
	free(r->more);
	r->more = NULL;
}

static int redirect(const json_t *v, struct rf_entry_room *room, struct rf_list_entry *it, struct rf_err *e)
{
	struct rf_str url = text_of(json_object_get(v, "source_url"));
	if (url.n > RF_ENTRY_VALUE)
		return rf_fail(e, RF_E_TOO_LARGE, "a source of at most %d bytes can be kept", RF_ENTRY_VALUE);
	room->more = json_dumps(v, JSON_COMPACT);
	if (!room->more)
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	memcpy(room->value, url.p, url.n);
	it->value = (struct rf_str){ room->value, url.n };
	it->more = rf_str_z(room->more);
	return it->more.n <= RF_ENTRY_MORE ? RF_OK : rf_fail(e, RF_E_TOO_LARGE, "a redirect of at most %d bytes can be kept", RF_ENTRY_MORE);
}

/* The value in the grammar of rf_list_item. */
static struct rf_str plain(enum rf_list_kind k, const json_t *v, char to[RF_ENTRY_VALUE + 1])
{
	if (k == RF_LIST_ASN) {
		snprintf(to, 32, "%lld", (long long)json_integer_value(v));
		return rf_str_z(to);
	}
	struct rf_str text = text_of(k == RF_LIST_HOSTNAME ? json_object_get(v, "url_hostname") : v);
	if (k != RF_LIST_HOSTNAME || !rf_str_starts(text, RF_STR("*.")) || text.n > 300 ||
	    !json_is_false(json_object_get(v, "exclude_exact_hostname")))
		return text;
	memcpy(to, text.p, text.n);
	to[0] = '+';
	return (struct rf_str){ to, text.n };
}

int rf_entry_read(const char *kind, const char *list_id, const json_t *item, struct rf_entry_room *room, struct rf_list_entry *ret,
		  struct rf_err *e)
{
	size_t given = 0;
	char text[RF_ENTRY_VALUE + 1];
	enum rf_list_kind k;
	for (size_t m = 0; m < sizeof members / sizeof *members; m++)
		given += json_object_get(item, members[m]) != NULL;
	const json_t *v = json_object_get(item, kind);
	struct rf_list_entry it = { .comment = text_of(json_object_get(item, "comment")) };
	if (!v || given != 1)
		return rf_fail(e, RF_E_INVALID, "an entry of this list has \"%s\" and no other value", kind);
	int rc;
	if (rf_list_kind_find(rf_str_z(kind), &k))
		rc = rf_list_item(k, plain(k, v, text), room->value, &it.value, e);
	else
		rc = redirect(v, room, &it, e);
	if (rc == RF_OK && it.comment.n > RF_ENTRY_COMMENT)
		rc = rf_fail(e, RF_E_TOO_LARGE, "a comment of at most %d bytes can be kept", RF_ENTRY_COMMENT);
	if (rc != RF_OK)
		return rc;
	rf_entry_key(list_id, it.value, it.key);
	*ret = it;
	return RF_OK;
}

static json_t *show_host(struct rf_str value)
{
	bool both = rf_str_starts(value, RF_STR("+."));
	json_t *name = json_stringn(value.p, value.n);
	if (both) {
		json_decref(name);
		name = json_sprintf("*%.*s", (int)value.n - 1, value.p + 1);
	}
	return both ? json_pack("{s:o, s:b}", "url_hostname", name, "exclude_exact_hostname", 0) : json_pack("{s:o}", "url_hostname", name);
}

static json_t *show_value(const char *kind, const struct rf_list_entry *it)
{
	uint64_t n = 0;
	if (strcmp(kind, "hostname") == 0)
		return show_host(it->value);
	if (strcmp(kind, "asn") == 0)
		return rf_str_u64(it->value, &n) ? json_integer((json_int_t)n) : NULL;
	if (strcmp(kind, "redirect") == 0)
		return json_loadb(it->more.p, it->more.n, 0, NULL);
	return json_stringn(it->value.p, it->value.n);
}

json_t *rf_entry_show(const char *kind, const struct rf_list_entry *it)
{
	char id[2 * RF_ENTRY_KEY + 1], created[RF_RFC3339_SIZE], modified[RF_RFC3339_SIZE];
	rf_hex(it->key, RF_ENTRY_KEY, id);
	json_t *j = json_pack("{s:s, s:o, s:s, s:s}", "id", id, kind, show_value(kind, it), "created_on",
			      rf_rfc3339(it->created_s * (int64_t)RF_NS_S, 0, created), "modified_on",
			      rf_rfc3339(it->modified_s * (int64_t)RF_NS_S, 0, modified));
	if (j && it->comment.n)
		json_object_set_new(j, "comment", json_stringn(it->comment.p, it->comment.n));
	return j;
}

bool rf_entry_id(const char *id, uint8_t ret[RF_ENTRY_KEY])
{
	return strlen(id) == 2 * RF_ENTRY_KEY && rf_unhex(rf_str_z(id), ret, RF_ENTRY_KEY) == RF_ENTRY_KEY;
}

/* --- packed: three lengths of two bytes, the key, the texts --- */

struct packed {
	uint16_t value, comment, more;
	uint8_t key[RF_ENTRY_KEY];
};

void rf_entry_pack(struct rf_buf *to, const struct rf_list_entry *it)
{
	struct packed p = { (uint16_t)it->value.n, (uint16_t)it->comment.n, (uint16_t)it->more.n, { 0 } };
	memcpy(p.key, it->key, sizeof p.key);
	rf_buf_add(to, (struct rf_str){ (const char *)&p, sizeof p });
	rf_buf_add(to, it->value);
	rf_buf_add(to, it->comment);
	rf_buf_add(to, it->more);
}

static struct rf_str cut(struct rf_str *rest, size_t n)
{
	struct rf_str part = { rest->p, n };
	*rest = rf_str_skip(*rest, n);
	return part;
}

bool rf_entry_unpack(struct rf_str *rest, struct rf_list_entry *ret)
{
	struct packed p;
	if (rest->n < sizeof p)
		return false;
	memcpy(&p, rest->p, sizeof p);
	if (rest->n - sizeof p < (size_t)p.value + p.comment + p.more)
		return false;
	cut(rest, sizeof p);
	*ret = (struct rf_list_entry){ .value = cut(rest, p.value) };
	ret->comment = cut(rest, p.comment);
	ret->more = cut(rest, p.more);
	memcpy(ret->key, p.key, sizeof p.key);
	return true;
}
