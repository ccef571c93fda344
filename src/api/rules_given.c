/* api/rules_given: see rules_given.h.
 *
 *	body -> the member "rules": where each rule begins and ends, and its digest | all other members: as they are
 *
 * Not here: which of them are new (rule_diff.c).
 */
#include "api/rules_given.h"
#include <stdio.h>
#include <stdlib.h>
#include "api/call.h"
#include "base/room.h"
#include "base/way.h"

static struct rf_rule_given *add(struct rf_rules_given *g)
{
	if (!RF_ROOM(g->v, g->cap, g->n))
		return NULL;
	struct rf_rule_given *r = &g->v[g->n++];
	*r = (struct rf_rule_given){ 0 };
	return r;
}

void rf_rules_given_free(struct rf_rules_given *g)
{
	for (size_t i = 0; g && i < g->n; i++) {
		rf_way_give();
		json_decref(g->v[i].doc);
	}
	if (g)
		rf_way_free(g->v);
	free(g);
}

static int read_rules(struct rf_js *j, struct rf_rules_given *g)
{
	struct rf_rule_like like = { .n = 0 };
	bool first = true;
	if (!rf_js_take(j, '['))
		return RF_E_SYNTAX;
	while (rf_js_more(j, ']', &first)) {
		struct rf_rule_given *r = add(g);
		if (!r)
			return RF_E_NOMEM;
		if (g->n > RF_RULES || !rf_rule_text_read(j, true, &like, &r->text) || r->text.id.escaped || r->text.ref.escaped)
			return RF_E_SYNTAX;
		r->own_id = r->text.id.raw;
		r->own_ref = r->text.ref.raw;
	}
	return j->bad ? RF_E_SYNTAX : RF_OK;
}

static int read_body(struct rf_js *j, struct rf_rules_given *g, struct rf_buf *rest)
{
	bool first = true, seen = false;
	int rc = RF_OK;
	if (!rf_js_take(j, '{'))
		return RF_E_SYNTAX;
	rf_buf_addc(rest, '{');
	while (rc == RF_OK && rf_js_more(j, '}', &first)) {
		struct rf_js_text name;
		struct rf_str value;
		if (!rf_js_name(j, &name) || name.escaped)
			return RF_E_SYNTAX;
		if (rf_str_eq(name.raw, RF_STR("rules"))) {
			rc = seen ? RF_E_SYNTAX : read_rules(j, g);
			seen = true;
			continue;
		}
		if (!rf_js_skip(j, &value))
			return RF_E_SYNTAX;
		rf_buf_printf(rest, "%s\"%.*s\":", rest->n > 1 ? "," : "", RF_ARG(name.raw));
		rf_buf_add(rest, value);
	}
	rf_buf_addc(rest, '}');
	return rc != RF_OK ? rc : rf_js_end(j) ? RF_OK : RF_E_SYNTAX;
}

int rf_rules_split(struct rf_str body, struct rf_rules_given **ret, struct rf_buf *rest)
{
	struct rf_js j = rf_js_over(body);
	struct rf_rules_given *g = calloc(1, sizeof *g);
	int rc = g ? read_body(&j, g, rest) : RF_E_NOMEM;
	if (rc == RF_OK && rest->bad)
		rc = RF_E_NOMEM;
	if (rc == RF_OK)
		*ret = g;
	else
		rf_rules_given_free(g);
	return rc;
}

struct rf_rules_given *rf_rules_of(const json_t *array)
{
	struct rf_rules_given *g = calloc(1, sizeof *g);
	for (size_t i = 0; g && i < json_array_size(array); i++) {
		rf_way_give();
		struct rf_rule_given *r = add(g);
		json_t *doc = json_array_get(array, i);
		char *text = r ? json_dumps(doc, JSON_COMPACT) : NULL;
		if (!text) {
			rf_rules_given_free(g);
			return NULL;
		}
		struct rf_js j = rf_js_over(rf_str_z(text));
		struct rf_rule_text read;
		r->doc = json_incref(doc);
		r->text.content = rf_rule_text_read(&j, true, NULL, &read) ? read.content : 0;
		r->own_id = rf_str_z(rf_json_text(doc, "id"));
		r->own_ref = rf_str_z(rf_json_text(doc, "ref"));
		free(text);
	}
	return g;
}

int rf_rule_tree(struct rf_api_call *c, struct rf_rules_given *g, size_t i)
{
	struct rf_rule_given *r = &g->v[i];
	json_t *whole = NULL;
	if (r->doc)
		return RF_OK;
	r->doc = json_loadb(r->text.all.p, r->text.all.n, JSON_REJECT_DUPLICATES, NULL);
	if (!r->doc) { /* what is wrong, and where, says who reads the body in full */
		int rc = rf_json_read(c->req->body, &whole, &c->err);
		json_decref(whole);
		return rc != RF_OK ? rc : rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
	}
	char at[32];
	snprintf(at, sizeof at, "/rules/%zu", i);
	return rf_schema_check(RF_RES_RULE, r->doc, RF_SCHEMA_WHOLE, at, &c->findings) ? RF_OK : c->first_error;
}
