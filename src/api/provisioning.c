/* api/provisioning: tokens that let one device enrol, once. Their text is shown when they are made; the name of the
 * object is its hash. Spending one is ctl's business (enrolment over EST).
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/classes.h"
#include "base/enc.h"
#include "pki/token.h"

enum { DAY_S = 86400 };

static json_t *show(struct rf_api_call *c, const struct rf_object *o)
{
	(void)c;
	json_t *j = rf_api_plain(RF_RES_PROVISIONING_TOKEN, o);
	if (j)
		json_object_del(j, "modified_on");
	return j;
}

static const struct rf_api_crud resource = { .kind = RF_KIND_PROVISIONING_TOKEN, .shape = RF_RES_PROVISIONING_TOKEN,
					     .show = show };

int rf_api_provisioning_list(struct rf_api_call *c)
{
	struct rf_store_query q = { .parent = c->account.id };
	return rf_api_list(c, RF_KIND_PROVISIONING_TOKEN, &q, show, RF_API_PER_PAGE);
}

int rf_api_provisioning_create(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	uint8_t hash[RF_TOKEN_HASH];
	char text[RF_TOKEN_SIZE], name[2 * RF_TOKEN_HASH + 1], at[RF_RFC3339_SIZE];
	if (rf_token_new(RF_TOKEN_PROVISION, text, hash) != RF_OK)
		return rf_fail(&c->err, RF_E_CRYPTO, "the system gave no random bytes for a token");
	rf_hex(hash, sizeof hash, name);
	if (!json_object_get(c->body, "expires_on"))
		json_object_set_new(c->body, "expires_on", json_string(rf_api_time(rf_api_now(c) + DAY_S, at)));
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_class_resolve(c, c->body);
	if (rc == RF_OK)
		rc = rf_api_object(c, &o, c->account.id, name, json_incref(c->body));
	if (rc == RF_OK)
		rc = rf_api_put(c, RF_KIND_PROVISIONING_TOKEN, &o, 0);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	if (rc != RF_OK)
		return rc;
	json_t *j = show(c, &o);
	if (j)
		json_object_set_new(j, "value", json_string(text));
	return rf_api_result(c, j, o.revision);
}

int rf_api_provisioning_get(struct rf_api_call *c) { return rf_crud_get(c, &resource); }
int rf_api_provisioning_delete(struct rf_api_call *c) { return rf_crud_delete(c, &resource); }
