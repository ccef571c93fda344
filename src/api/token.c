/* api/token: tokens of the API: made, shown once, rolled, deleted; and their scopes.
 *
 * Nobody gives what they do not have: whoever makes or changes a token must hold each scope in it, in the
 * whole account. Tokens of the user and of the account are the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/tokens.h"
#include "base/enc.h"

static json_t *show(struct rf_api_call *c, const struct rf_object *o)
{
	char at[RF_RFC3339_SIZE];
	json_t *j = rf_api_plain(RF_RES_TOKEN, o);
	if (!j)
		return NULL;
	json_object_set(j, "issued_on", json_object_get(j, "created_on"));
	json_object_del(j, "created_on");
	json_object_set_new(j, "status", json_string(rf_auth_token_status(o->doc, rf_api_now(c))));
	int64_t used = rf_auth_last_used(c->api, o->id);
	if (used)
		json_object_set_new(j, "last_used_on", json_string(rf_api_time(used, at)));
	return j;
}

static json_t *show_verified(struct rf_api_call *c, const struct rf_object *o)
{
	json_t *j = json_pack("{s:s, s:s}", "id", o->id, "status", rf_auth_token_status(o->doc, rf_api_now(c)));
	for (const char *const *m = (const char *const[]){ "expires_on", "not_before", NULL }; *m; m++)
		if (j && json_object_get(o->doc, *m))
			json_object_set(j, *m, json_object_get(o->doc, *m));
	return j;
}

int rf_api_tokens_verify(struct rf_api_call *c)
{
	if (c->who.local)
		return rf_fail(&c->err, RF_E_NOT_FOUND, "a local administrator needs no token");
	int rc = rf_api_result(c, show_verified(c, &c->who.token), 0);
	rf_api_message(c, "", "This API Token is valid and active");
	return rc;
}

static bool add_group(json_t *array, const char *scope)
{
	char id[33];
	rf_auth_scope_id(scope, id);
	return json_array_append_new(array, json_pack("{s:s, s:s, s:[s]}", "id", id, "name", scope, "scopes",
						      "account")) == 0;
}

int rf_api_permission_groups(struct rf_api_call *c)
{
	size_t n;
	const char *const *nouns = rf_auth_nouns(&n);
	json_t *a = json_array();
	bool good = a && add_group(a, "*") && add_group(a, "read");
	for (size_t i = 0; i < n && good; i++) {
		char scope[64];
		snprintf(scope, sizeof scope, "%s:read", nouns[i]);
		good = add_group(a, scope);
		snprintf(scope, sizeof scope, "%s:write", nouns[i]);
		good = good && add_group(a, scope);
	}
	if (!good) {
		json_decref(a);
		a = NULL;
	}
	return rf_api_result(c, a, 0);
}

int rf_api_tokens_list(struct rf_api_call *c)
{
	struct rf_store_query q = { .parent = c->account.id };
	return rf_api_list(c, RF_KIND_TOKEN, &q, show, RF_API_PER_PAGE);
}

int rf_api_tokens_get(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_api_load(c, RF_KIND_TOKEN, c->account.id, c->params.id, &o);
	return rc == RF_OK ? rf_api_result(c, show(c, &o), o.revision) : rc;
}

/* May the caller do all of `group`, wherever the account reaches? */
static bool holds(struct rf_api_call *c, const char *group)
{
	size_t n;
	const char *const *nouns = rf_auth_nouns(&n);
	for (size_t i = 0; i < n; i++) {
		char read[64], write[64], id[2][33];
		snprintf(read, sizeof read, "%s:read", nouns[i]);
		snprintf(write, sizeof write, "%s:write", nouns[i]);
		rf_auth_scope_id(read, id[0]);
		rf_auth_scope_id(write, id[1]);
		bool is_write = strcmp(group, write) == 0 || strcmp(group, id[1]) == 0;
		if (is_write || strcmp(group, read) == 0 || strcmp(group, id[0]) == 0)
			return rf_auth_may(c, nouns[i], is_write, c->account.id, "");
	}
	char reads[33];
	rf_auth_scope_id("read", reads);
	bool writes = strcmp(group, "read") != 0 && strcmp(group, reads) != 0;
	for (size_t i = 0; i < n; i++)
		if (!rf_auth_may(c, nouns[i], writes, c->account.id, ""))
			return false;
	return true;
}

static int check_policies(struct rf_api_call *c)
{
	size_t i, k;
	json_t *p, *g;
	json_array_foreach(json_object_get(c->body, "policies"), i, p) {
		json_array_foreach(json_object_get(p, "permission_groups"), k, g) {
			char at[96];
			snprintf(at, sizeof at, "/policies/%zu/permission_groups/%zu/id", i, k);
			if (strcmp(rf_json_text(p, "effect"), "allow") == 0 && !holds(c, rf_json_text(g, "id")))
				return rf_api_fail(c, RF_E_DENIED, at, "you cannot give a scope that you do not have");
		}
		if (!json_object_get(p, "id")) {
			char id[33], seed[64];
			snprintf(seed, sizeof seed, "policy %zu", i);
			rf_auth_scope_id(seed, id);
			json_object_set_new(p, "id", json_string(id));
		}
	}
	return RF_OK;
}

static int check_prefixes(struct rf_api_call *c)
{
	const json_t *ip = json_object_get(json_object_get(c->body, "condition"), "request_ip");
	const char *name;
	json_t *list, *v;
	size_t i;
	json_object_foreach((json_t *)ip, name, list) {
		json_array_foreach(list, i, v) {
			struct rf_prefix p;
			char at[96];
			snprintf(at, sizeof at, "/condition/request_ip/%.20s/%zu", name, i);
			if (!json_is_string(v) || !rf_prefix_parse(rf_str_z(json_string_value(v)), false, &p))
				return rf_api_fail(c, RF_E_INVALID, at, "must be an address or a prefix");
		}
	}
	return RF_OK;
}

static int draw(struct rf_api_call *c, char text[RF_TOKEN_SIZE], char name[320])
{
	uint8_t hash[RF_TOKEN_HASH];
	if (rf_token_new(RF_TOKEN_API, text, hash) != RF_OK)
		return rf_fail(&c->err, RF_E_CRYPTO, "the system gave no random bytes for a token");
	rf_hex(hash, sizeof hash, name);
	return RF_OK;
}

int rf_api_tokens_create(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	char text[RF_TOKEN_SIZE];
	int rc = check_policies(c);
	if (rc == RF_OK)
		rc = check_prefixes(c);
	if (rc == RF_OK)
		rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_api_object(c, &o, c->account.id, "", json_incref(c->body));
	if (rc == RF_OK)
		rc = draw(c, text, o.name);
	if (rc == RF_OK)
		rc = rf_api_put(c, RF_KIND_TOKEN, &o, 0);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	if (rc != RF_OK)
		return rc;
	json_t *j = show(c, &o);
	if (j)
		json_object_set_new(j, "value", json_string(text));
	return rf_api_result(c, j, o.revision);
}

int rf_api_tokens_put(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = check_policies(c);
	if (rc == RF_OK)
		rc = check_prefixes(c);
	if (rc == RF_OK)
		rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_api_load(c, RF_KIND_TOKEN, c->account.id, c->params.id, &o);
	if (rc != RF_OK)
		return rc;
	json_decref(o.doc);
	o.doc = json_incref(c->body);
	rc = rf_api_put(c, RF_KIND_TOKEN, &o, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_api_result(c, show(c, &o), o.revision) : rc;
}

int rf_api_tokens_roll(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	char text[RF_TOKEN_SIZE];
	size_t i, k;
	json_t *p, *g;
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_api_load(c, RF_KIND_TOKEN, c->account.id, c->params.id, &o);
	json_array_foreach(json_object_get(o.doc, "policies"), i, p)
		json_array_foreach(json_object_get(p, "permission_groups"), k, g)
			if (rc == RF_OK && strcmp(rf_json_text(p, "effect"), "allow") == 0 &&
			    !holds(c, rf_json_text(g, "id")))
				rc = rf_fail(&c->err, RF_E_DENIED, "you cannot roll a token that may do more than yours");
	if (rc == RF_OK)
		rc = draw(c, text, o.name);
	if (rc == RF_OK)
		rc = rf_api_put(c, RF_KIND_TOKEN, &o, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_api_result(c, json_string(text), o.revision) : rc;
}

int rf_api_tokens_delete(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_api_load(c, RF_KIND_TOKEN, c->account.id, c->params.id, &o);
	if (rc == RF_OK)
		rc = rf_api_del(c, RF_KIND_TOKEN, o.id, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	if (rc == RF_OK && !c->dry_run)
		rf_auth_forget(c->api, o.id);
	return rc == RF_OK ? rf_api_result_id(c, o.id) : rc;
}

int rf_api_first_token(struct rf_api *a, const char *account_id, const char *name, char value[64], struct rf_err *e)
{
	const struct rf_api_state *st = &a->conf.state;
	RF_OBJECT_AUTO o = { .doc = json_pack("{s:s, s:s, s:[{s:s, s:[{s:s}], s:{s:s}}]}", "name", name, "status", "active",
					      "policies", "effect", "allow", "permission_groups", "id", "*", "resources",
					      "account.*", "*") };
	uint8_t hash[RF_TOKEN_HASH];
	char text[RF_TOKEN_SIZE];
	if (!o.doc || rf_token_new(RF_TOKEN_API, text, hash) != RF_OK)
		return rf_fail(e, RF_E_CRYPTO, "could not make a token");
	rf_hex(hash, sizeof hash, o.name);
	snprintf(o.parent, sizeof o.parent, "%s", account_id);
	int rc = st->begin(st->ctx, "first start", e);
	if (rc != RF_OK)
		return rc;
	rc = rf_store_put(a->conf.store, RF_KIND_TOKEN, &o, 0, e);
	if (rc == RF_OK)
		rc = st->touch(st->ctx, RF_KIND_TOKEN, o.id, e);
	if (rc == RF_OK)
		rc = st->commit(st->ctx, false, e);
	if (rc != RF_OK)
		st->abort(st->ctx);
	else
		snprintf(value, 64, "%s", text);
	return rc;
}
