/* api/applies: see applies.h. What happens is in ctl/applies; here are the requests.
 *
 * Who made an apply may end it; others need the scope system:write.
 */
#include "api/applies.h"
#include <stdio.h>
#include "api/bulk.h"
#include "api/tokens.h"

static const struct rf_api_apply_hooks *hooks(struct rf_api_call *c) { return c->api->conf.hooks.applies; }
static void *arg(struct rf_api_call *c) { return c->api->conf.hooks.ctx; }

static int absent(struct rf_api_call *c)
{
	return rf_fail(&c->err, RF_E_UNSUPPORTED, "this process keeps no changes that wait to be confirmed");
}

static json_t *show(struct rf_api_call *c, const struct rf_object *o)
{
	json_t *j = rf_api_plain(RF_RES_APPLY, o);
	int64_t left = 0;
	const char *error = "", *pending = hooks(c) ? hooks(c)->pending(arg(c), &left, &error) : NULL;
	if (!j || !pending || strcmp(pending, o->id) != 0)
		return j;
	json_object_set_new(j, "seconds_left", json_integer((json_int_t)left));
	if (error[0])
		json_object_set_new(j, "error", json_string(error));
	return j;
}

bool rf_applies_status(struct rf_api_call *c, json_t *status)
{
	int64_t left = 0;
	const char *error = "", *pending = hooks(c) ? hooks(c)->pending(arg(c), &left, &error) : NULL;
	return !pending || json_object_set_new(status, "apply", json_pack("{s:s, s:I, s:s}", "id", pending, "seconds_left", (json_int_t)left,
		"error", error)) == 0;
}

static const struct rf_api_crud resource = { .kind = RF_KIND_APPLY, .shape = RF_RES_APPLY, .show = show };

int rf_api_applies_list(struct rf_api_call *c)
{
	const char *state = rf_api_param(c, "state");
	struct rf_store_query q = { .parent = c->account.id, .descending = true };
	if (state) {
		q.match[0].field = "state";
		q.match[0].value = state;
	}
	return rf_api_list(c, RF_KIND_APPLY, &q, show, RF_API_PER_PAGE);
}

int rf_api_applies_get(struct rf_api_call *c) { return rf_crud_get(c, &resource); }

static int end(struct rf_api_call *c, bool confirm)
{
	RF_OBJECT_AUTO o = { 0 };
	if (!hooks(c))
		return absent(c);
	int rc = rf_api_load(c, RF_KIND_APPLY, c->account.id, c->params.id, &o);
	if (rc == RF_OK && strcmp(rf_json_text(o.doc, "made_by"), c->who.actor) != 0 && !c->who.local &&
	    !rf_auth_may(c, "system", true, c->account.id, ""))
		rc = rf_fail(&c->err, RF_E_DENIED, "it was made by %s; for others this takes the scope system:write", rf_json_text(o.doc, "made_by"));
	if (rc == RF_OK && !c->dry_run)
		rc = hooks(c)->end(arg(c), o.id, confirm, c->who.actor, &c->err);
	if (rc != RF_OK)
		return rc;
	rf_bulk_sweep(c->api->bulk);
	return rf_crud_get(c, &resource);
}

int rf_api_applies_confirm(struct rf_api_call *c) { return end(c, true); }
int rf_api_applies_rollback(struct rf_api_call *c) { return end(c, false); }

/* --- what waits keeps others out --- */

static bool urgent(const struct rf_route *r)
{
	static const char *const nouns[] = { "firewall", "client_certificates", "tokens", "provisioning_tokens", "pcaps", "system" };
	static const char *const handlers[] = { "devices_revoke", "devices_quarantine", "devices_activate" };
	for (size_t i = 0; i < sizeof nouns / sizeof *nouns; i++)
		if (strcmp(r->noun, nouns[i]) == 0)
			return true;
	for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++)
		if (strcmp(r->name, handlers[i]) == 0)
			return true;
	return false;
}

int rf_applies_admit(struct rf_api_call *c)
{
	int64_t left = 0;
	const char *error = "", *id = NULL;
	bool writes = c->route->access == RF_ACCESS_WRITE || strcmp(c->route->name, "batch_run") == 0;
	if (!writes || c->dry_run || urgent(c->route) || !hooks(c) || !(id = hooks(c)->pending(arg(c), &left, &error)))
		return RF_OK;
	rf_buf_printf(&c->headers, "Retry-After: %lld\r\n", (long long)(left ? left : 1));
	return rf_fail(&c->err, RF_E_CONFLICT, "apply %s waits to be confirmed, %lld s more; confirm it or take it back first "
		       "(ringfence apply confirm, ringfence apply rollback)", id, (long long)left);
}

int rf_applies_before(struct rf_api_call *c)
{
	return hooks(c) ? hooks(c)->watch(arg(c), &c->err) : absent(c);
}

int rf_applies_after(struct rf_api_call *c, unsigned seconds, char id[33])
{
	return hooks(c)->keep(arg(c), c->who.actor, seconds, id, &c->err);
}

json_t *rf_applies_made(struct rf_api_call *c, const char *id)
{
	RF_OBJECT_AUTO o = { 0 };
	hooks(c)->look(arg(c));
	return rf_store_get(c->store, RF_KIND_APPLY, id, &o, &c->err) == RF_OK ? show(c, &o) : NULL;
}
