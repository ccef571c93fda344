/* api/attacks: attacks that were found, and exceptions from what is found. One that is on is told as it is now. */
#include "api/call.h"

static json_t *show(struct rf_api_call *c, const struct rf_object *o)
{
	json_t *j = rf_api_plain(RF_RES_ATTACK, o);
	const struct rf_api_hooks *h = &c->api->conf.hooks;
	if (j && h->attacks && strcmp(rf_json_text(o->doc, "status"), "active") == 0)
		h->attacks->live(h->ctx, o->id, j);
	return j;
}

/* A list is for choosing one: without what only its page has room for. */
static json_t *show_row(struct rf_api_call *c, const struct rf_object *o)
{
	json_t *j = show(c, o);
	json_object_del(j, "samples");
	return j;
}

static const struct rf_api_crud attack = { .kind = RF_KIND_ATTACK, .shape = RF_RES_ATTACK, .show = show };
static const struct rf_api_crud exception = { .kind = RF_KIND_ATTACK_EXCEPTION, .shape = RF_RES_ATTACK_EXCEPTION };

int rf_api_attacks_list(struct rf_api_call *c)
{
	const char *status = rf_api_param(c, "status"), *host = rf_api_param(c, "host");
	struct rf_store_query q = { .parent = c->account.id, .name = host, .descending = true };
	if (status) {
		q.match[0].field = "status";
		q.match[0].value = status;
	}
	return rf_api_list(c, RF_KIND_ATTACK, &q, show_row, RF_API_PER_PAGE);
}

int rf_api_attacks_get(struct rf_api_call *c) { return rf_crud_get(c, &attack); }

int rf_api_attacks_drop(struct rf_api_call *c)
{
	const struct rf_api_hooks *h = &c->api->conf.hooks;
	if (!h->attacks)
		return rf_fail(&c->err, RF_E_UNSUPPORTED, "this process does not look for attacks");
	if (c->batch)
		return rf_fail(&c->err, RF_E_UNSUPPORTED, "an attack is dropped by a call of its own");
	int rc = h->attacks->drop(h->ctx, c->params.id, c->who.actor, c->dry_run, &c->err);
	return rc == RF_OK ? rf_crud_get(c, &attack) : rc;
}

int rf_api_attack_exceptions_list(struct rf_api_call *c)
{
	struct rf_store_query q = { .parent = c->account.id, .descending = true };
	return rf_crud_list(c, &exception, &q, RF_API_PER_PAGE);
}

int rf_api_attack_exceptions_delete(struct rf_api_call *c)
{
	const struct rf_api_hooks *h = &c->api->conf.hooks;
	if (!h->attacks)
		return rf_fail(&c->err, RF_E_UNSUPPORTED, "this process does not look for attacks");
	if (c->batch)
		return rf_fail(&c->err, RF_E_UNSUPPORTED, "an exception is deleted by a call of its own");
	int rc = h->attacks->forget(h->ctx, c->params.id, c->who.actor, c->dry_run, &c->err);
	return rc == RF_OK ? rf_api_result_id(c, c->params.id) : rc;
}
