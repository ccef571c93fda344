/* api/test_ask: calls of the API over a real store and control thread, at once, and what the last one answered. */
#pragma once
#include "ctl/test.h"
#include "api/call.h"
#include "api/state.h"

static struct rf_api *api;
static int answered; /* status */
static json_t *body;

/* `rest`: behind the account's path. */
static inline int ask_with(enum rf_http_method m, const char *rest, struct rf_str text, const char *if_match)
{
	char target[512];
	struct rf_api_answer a;
	snprintf(target, sizeof target, "/client/v4/accounts/%s/%s", w.ctl.account_id, rest);
	struct rf_api_request q = { .method = m, .target = rf_str_z(target), .body = text, .content_type = RF_STR("application/json"),
				    .local = "local:test", .if_match = rf_str_z(if_match) };
	rf_api_handle(api, &q, &a);
	json_decref(body);
	body = a.body.n ? json_loadb(a.body.p, a.body.n, 0, NULL) : NULL;
	answered = a.status;
	rf_api_answer_fini(&a);
	return answered;
}

static inline int ask(enum rf_http_method m, const char *rest, const char *text)
{
	return ask_with(m, rest, rf_str_z(text), "");
}
