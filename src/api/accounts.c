/* api/accounts: accounts, and the user whose credential is used. One account is made at the first start. */
#include <stdio.h>
#include <stdlib.h>
#include "api/tokens.h"
#include "base/enc.h"

static json_t *show(struct rf_api_call *c, const struct rf_object *o)
{
	(void)c;
	json_t *j = rf_api_plain(RF_RES_ACCOUNT, o);
	if (j)
		json_object_del(j, "modified_on");
	return j;
}

int rf_api_accounts_list(struct rf_api_call *c)
{
	struct rf_store_query q = { .name = rf_api_param(c, "name") };
	return rf_api_list(c, RF_KIND_ACCOUNT, &q, show, RF_API_PER_PAGE);
}

int rf_api_accounts_get(struct rf_api_call *c)
{
	return rf_api_result(c, show(c, &c->account), c->account.revision);
}

int rf_api_accounts_put(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_api_object(c, &o, "", rf_json_text(c->body, "name"), json_incref(c->body));
	if (rc != RF_OK)
		return rc;
	strcpy(o.id, c->account.id);
	rc = rf_api_put(c, RF_KIND_ACCOUNT, &o, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_api_result(c, show(c, &o), o.revision) : rc;
}

int rf_api_user_get(struct rf_api_call *c)
{
	char id[33];
	snprintf(id, sizeof id, "%s", c->who.token_id);
	if (!id[0])
		rf_auth_scope_id(c->who.actor, id);
	struct rf_str email = c->req->auth_email;
	return rf_api_result(c, json_pack("{s:s, s:o, s:b, s:[], s:s}", "id", id, "email",
					  json_stringn(email.n ? email.p : "", email.n), "suspended", 0, "organizations",
					  "actor", c->who.actor), 0);
}
