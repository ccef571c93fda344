/* api/auth: who asks, and whether they may.
 *
 * A local administrator (named by the transport) may do all. Others show a token: `Authorization: Bearer`, or
 * `X-Auth-Key` beside `X-Auth-Email`. The store holds SHA-256 of it as the object's name; its policies grant scopes
 * (`*`, `read`, `NOUN:read`, `NOUN:write`, where write includes read) on accounts and zones, and a deny wins.
 *
 * Not here: local peers' credentials (api/server), making tokens (api/tokens).
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include "api/names.h"
#include "api/tokens.h"
#include "base/enc.h"
#include "base/list.h"

static const char *const nouns[] = {
	"accounts", "access", "apps", "audit", "classes", "client_certificates", "custom_certificates", "devices", "firewall", "lists",
	"mtls_certificates", "patches", "pcaps", "provisioning_tokens", "records", "rules", "status", "system", "tokens", "zones",
};

const char *const *rf_auth_nouns(size_t *ret_count)
{
	*ret_count = sizeof nouns / sizeof *nouns;
	return nouns;
}

void rf_auth_scope_id(const char *scope, char to[33])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	char text[80];
	int n = snprintf(text, sizeof text, "scope %s", scope);
	EVP_Digest(text, (size_t)n, hash, NULL, EVP_sha256(), NULL);
	rf_hex(hash, 16, to);
}

/* Calls `each` with every scope there is until it returns true. */
static bool any_scope(bool (*each)(const char *scope, const char *arg), const char *arg)
{
	if (each("*", arg) || each("read", arg))
		return true;
	for (size_t i = 0; i < sizeof nouns / sizeof *nouns; i++) {
		char scope[64];
		snprintf(scope, sizeof scope, "%s:read", nouns[i]);
		if (each(scope, arg))
			return true;
		snprintf(scope, sizeof scope, "%s:write", nouns[i]);
		if (each(scope, arg))
			return true;
	}
	return false;
}

/* Does `given`, a scope or the id of one, name `scope`? */
static bool names_scope(const char *scope, const char *given)
{
	char id[33];
	if (strcmp(scope, given) == 0)
		return true;
	if (strlen(given) != 32)
		return false;
	rf_auth_scope_id(scope, id);
	return strcmp(id, given) == 0;
}

bool rf_name_is_scope(const char *s)
{
	return any_scope(names_scope, s);
}

/* What a token is remembered by between requests. */
struct seen {
	struct rf_map_node node;
	char id[33];
	int64_t last_s, window_s;
	unsigned used;
};

static struct seen *remember(struct rf_api *a, const char *id)
{
	struct rf_map_node *n = rf_map_find(&a->seen, rf_str_z(id));
	if (n)
		return RF_CONTAINER(n, struct seen, node);
	struct seen *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	snprintf(s->id, sizeof s->id, "%s", id);
	rf_map_add(&a->seen, &s->node, rf_str_z(s->id));
	return s;
}

int64_t rf_auth_last_used(struct rf_api *a, const char *token_id)
{
	struct rf_map_node *n = rf_map_find(&a->seen, rf_str_z(token_id));
	return n ? RF_CONTAINER(n, struct seen, node)->last_s : 0;
}

void rf_auth_forget(struct rf_api *a, const char *token_id)
{
	struct rf_map_node *n = rf_map_find(&a->seen, rf_str_z(token_id));
	if (!n)
		return;
	rf_map_del(&a->seen, n);
	free(RF_CONTAINER(n, struct seen, node));
}

void rf_auth_fini(struct rf_api *a)
{
	for (struct rf_map_node *n; (n = rf_map_next(&a->seen, NULL));) {
		rf_map_del(&a->seen, n);
		free(RF_CONTAINER(n, struct seen, node));
	}
	rf_map_fini(&a->seen);
}

/* Count the request against the token's window and say so in the headers. */
static int count_request(struct rf_api_call *c)
{
	unsigned quota = c->api->conf.rate;
	int64_t now = rf_api_now(c);
	struct seen *s = remember(c->api, c->who.token_id);
	if (!s)
		return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
	s->last_s = now;
	if (!quota)
		return RF_OK;
	if (now - s->window_s >= RF_API_RATE_WINDOW_S || now < s->window_s) {
		s->window_s = now;
		s->used = 0;
	}
	bool over = s->used >= quota;
	s->used += !over;
	long long left_s = s->window_s + RF_API_RATE_WINDOW_S - now;
	rf_buf_printf(&c->headers, "Ratelimit: \"default\";r=%u;t=%lld\r\nRatelimit-Policy: \"default\";q=%u;w=%d\r\n",
		      quota - s->used, left_s, quota, RF_API_RATE_WINDOW_S);
	if (!over)
		return RF_OK;
	rf_buf_printf(&c->headers, "Retry-After: %lld\r\n", left_s);
	return rf_fail(&c->err, RF_E_RATE, "this token may make %u requests in %d seconds; wait %lld seconds", quota,
		       RF_API_RATE_WINDOW_S, left_s);
}

static struct rf_str shown_token(const struct rf_api_request *q)
{
	struct rf_str s = q->authorization;
	if (s.n > 7 && rf_str_ieq((struct rf_str){ s.p, 7 }, RF_STR("Bearer ")))
		return rf_str_trim(rf_str_skip(s, 7));
	return q->auth_key;
}

/* Is the second named `member` of the document after (or before) now? Absent: no. */
static bool is_past(const json_t *doc, const char *member, int64_t now, bool *ret_there)
{
	int64_t s;
	*ret_there = rf_rfc3339_parse(rf_json_text(doc, member), &s) == 0;
	return *ret_there && s <= now;
}

const char *rf_auth_token_status(const json_t *doc, int64_t now)
{
	bool there;
	if (is_past(doc, "expires_on", now, &there))
		return "expired";
	return strcmp(rf_json_text(doc, "status"), "active") == 0 ? "active" : rf_json_text(doc, "status");
}

static bool in_prefixes(const json_t *list, const struct rf_ip *ip)
{
	size_t i;
	json_t *v;
	json_array_foreach(list, i, v) {
		struct rf_prefix p;
		if (json_is_string(v) && rf_prefix_parse(rf_str_z(json_string_value(v)), false, &p) && rf_prefix_has(&p, ip))
			return true;
	}
	return false;
}

static int usable(struct rf_api_call *c, const json_t *doc)
{
	int64_t now = rf_api_now(c);
	bool there;
	const char *status = rf_auth_token_status(doc, now);
	if (strcmp(status, "active") != 0)
		return rf_fail(&c->err, RF_E_UNAUTH, "this token is %s", status);
	bool begun = is_past(doc, "not_before", now, &there);
	if (there && !begun)
		return rf_fail(&c->err, RF_E_UNAUTH, "this token is not valid before %s", rf_json_text(doc, "not_before"));
	const json_t *ip = json_object_get(json_object_get(doc, "condition"), "request_ip");
	const json_t *in = json_object_get(ip, "in");
	if ((json_array_size(in) && !in_prefixes(in, &c->req->src)) ||
	    in_prefixes(json_object_get(ip, "not_in"), &c->req->src))
		return rf_fail(&c->err, RF_E_UNAUTH, "this token may not be used from this address");
	return RF_OK;
}

int rf_auth_who(struct rf_api_call *c)
{
	if (c->req->local) {
		c->who.local = true;
		snprintf(c->who.actor, sizeof c->who.actor, "%s", c->req->local);
		return RF_OK;
	}
	uint8_t hash[RF_TOKEN_HASH];
	char name[2 * RF_TOKEN_HASH + 1];
	struct rf_str shown = shown_token(c->req);
	if (!shown.n)
		return rf_fail(&c->err, RF_E_UNAUTH, "authentication is required: send Authorization: Bearer TOKEN");
	if (rf_token_hash(RF_TOKEN_API, shown, hash) != RF_OK)
		return rf_fail(&c->err, RF_E_UNAUTH, "this is not a token of this API");
	rf_hex(hash, sizeof hash, name);
	int rc = rf_store_find(c->store, RF_KIND_TOKEN, NULL, name, &c->who.token, &c->err);
	if (rc == RF_E_NOT_FOUND)
		return rf_fail(&c->err, RF_E_UNAUTH, "this token is not known");
	if (rc == RF_OK)
		rc = usable(c, c->who.token.doc);
	if (rc != RF_OK)
		return rc;
	snprintf(c->who.token_id, sizeof c->who.token_id, "%s", c->who.token.id);
	snprintf(c->who.actor, sizeof c->who.actor, "token:%s", c->who.token.id);
	c->who.policies = json_object_get(c->who.token.doc, "policies");
	return c->uncounted ? RF_OK : count_request(c);
}

/* Does the key of a policy's resources, such as "com.example.api.account.zone.ID", cover the place? `zone` "" asks for
 * all of the account. */
static bool covers(const char *key, const json_t *value, const char *account, const char *zone)
{
	const char *dot = strrchr(key, '.');
	if (!dot)
		return false;
	struct rf_str kind = { key, (size_t)(dot - key) }, id = rf_str_z(dot + 1);
	bool any = rf_str_eq(id, RF_STR("*"));
	if (rf_str_ends(kind, RF_STR("account.zone")))
		return zone[0] && (any || rf_str_eq(id, rf_str_z(zone)));
	if (!rf_str_ends(kind, RF_STR("account")) || !(any || rf_str_eq(id, rf_str_z(account))))
		return false;
	if (!json_is_object(value))
		return true;
	const char *inner;
	json_t *v;
	json_object_foreach((json_t *)value, inner, v)
		if (!json_is_object(v) && covers(inner, v, account, zone))
			return true;
	return false;
}

static bool has_place(const json_t *policy, const char *account, const char *zone)
{
	const char *key;
	json_t *v;
	json_object_foreach(json_object_get(policy, "resources"), key, v)
		if (covers(key, v, account, zone))
			return true;
	return false;
}

static bool has_scope(const json_t *policy, const char *noun, bool write)
{
	char scopes[4][64] = { "*" };
	size_t n = 1, i;
	snprintf(scopes[n++], sizeof *scopes, "%s:write", noun);
	if (!write) {
		snprintf(scopes[n++], sizeof *scopes, "%s:read", noun);
		snprintf(scopes[n++], sizeof *scopes, "read");
	}
	json_t *g;
	json_array_foreach(json_object_get(policy, "permission_groups"), i, g)
		for (size_t s = 0; s < n; s++)
			if (names_scope(scopes[s], rf_json_text(g, "id")))
				return true;
	return false;
}

bool rf_auth_may(struct rf_api_call *c, const char *noun, bool write, const char *account, const char *zone)
{
	bool allowed = c->who.local;
	size_t i;
	json_t *p;
	json_array_foreach(c->who.policies, i, p) {
		if (!has_scope(p, noun, write) || !has_place(p, account, zone))
			continue;
		if (strcmp(rf_json_text(p, "effect"), "allow") != 0)
			return false;
		allowed = true;
	}
	return allowed;
}

int rf_auth_allow(struct rf_api_call *c)
{
	const struct rf_route *r = c->route;
	bool write = r->access == RF_ACCESS_WRITE;
	if (r->access == RF_ACCESS_ANY || r->access == RF_ACCESS_PUBLIC)
		return RF_OK;
	if (r->handler == rf_api_zones_list)
		return RF_OK; /* which shows each zone only to who may read it */
	if (rf_auth_may(c, r->noun, write, c->account.id, c->zone.id))
		return RF_OK;
	return rf_fail(&c->err, RF_E_DENIED, "this token does not have the scope %s:%s here", r->noun,
		       write ? "write" : "read");
}
