/* api/rules_given: see rules_given.h.
 *
 *	body -> the member "rules": where each rule begins and ends, and its digest | all other members: as they are
 *	a rule that is like one before it -> where it differs from that
 *	a rule that has an id, a ref or a tree -> these, apart
 *
 * Not here: which of them are new (rule_diff.c).
 */
#include "api/rules_given.h"
#include <stdio.h>
#include <stdlib.h>
#include "api/call.h"
#include "base/room.h"
#include "base/way.h"

enum { LEAST = 24 }; /* bytes of a plain rule, at least */

static struct rf_rule_given *add(struct rf_rules_given *g)
{
	if (!RF_ROOM(g->v, g->cap, g->n))
		return NULL;
	struct rf_rule_given *r = &g->v[g->n++];
	*r = (struct rf_rule_given){ 0 };
	return r;
}

/* The row of what few have, of a rule that may have none yet. NULL without memory. */
static struct rf_rule_more *more_of(struct rf_rules_given *g, struct rf_rule_given *r)
{
	if (r->more)
		return &g->more[r->more - 1];
	if (!RF_ROOM(g->more, g->more_cap, g->more_n))
		return NULL;
	g->more[g->more_n] = (struct rf_rule_more){ 0 };
	r->more = (uint32_t)++g->more_n & INT32_MAX;
	return &g->more[r->more - 1];
}

void rf_rules_given_free(struct rf_rules_given *g)
{
	for (size_t i = 0; g && i < g->more_n; i++) {
		rf_way_give();
		json_decref(g->more[i].doc);
	}
	if (g) {
		rf_way_free(g->v);
		rf_way_free(g->more);
	}
	free(g);
}

struct splitting {
	struct rf_rules_given *g;
	struct rf_rule_like like;
	uint32_t of;  /* the rule whose text that is, plus 1 */
};

/* A rule like the last one, without names. */
static void note_near(const struct splitting *s, struct rf_rule_given *r, const struct rf_rule_near *near)
{
	*r = (struct rf_rule_given){ .text = near->all.p, .n = (uint32_t)near->all.n, .content = near->content, .plain = true };
	if (s->like.holes != 1)
		return;
	r->like = s->of;
	r->at = (uint32_t)(near->in[0].p - near->all.p);
	r->differs = (uint32_t)near->in[0].n;
}

static int note_text(struct rf_rules_given *g, struct rf_rule_given *r, const struct rf_rule_text *t)
{
	if (t->id.escaped || t->ref.escaped)
		return RF_E_SYNTAX;
	*r = (struct rf_rule_given){ .text = t->all.p, .n = (uint32_t)t->all.n, .content = t->content, .plain = t->plain };
	if (!t->id.raw.n && !t->ref.raw.n)
		return RF_OK;
	struct rf_rule_more *m = more_of(g, r);
	if (m)
		*m = (struct rf_rule_more){ .own_id = t->id.raw, .own_ref = t->ref.raw };
	return m ? RF_OK : RF_E_NOMEM;
}

static int read_rule(struct rf_js *j, struct splitting *s, struct rf_rule_given *r)
{
	struct rf_rule_text t;
	struct rf_rule_near near;
	unsigned kept = s->like.kept;
	bool is_near = rf_rule_text_near(j, true, &s->like, &near);
	if (is_near && !s->like.is.id.raw.p && !s->like.is.ref.raw.p) {
		note_near(s, r, &near);
		return RF_OK;
	}
	if (is_near)
		rf_rule_text_of(&s->like, &near, &t);
	else if (!rf_rule_text_read(j, true, &s->like, &t))
		return RF_E_SYNTAX;
	if (s->like.kept != kept)
		s->of = (uint32_t)s->g->n;
	return note_text(s->g, r, &t);
}

static int read_rules(struct rf_js *j, struct rf_rules_given *g)
{
	struct splitting s = { .g = g };
	size_t room = (size_t)(j->end - j->at) / LEAST;
	bool first = true;
	int rc = RF_OK;
	if (!rf_js_take(j, '[') || (size_t)(j->end - j->at) > UINT32_MAX)
		return RF_E_SYNTAX;
	if (!rf_room(&g->v, &g->cap, room < RF_RULES ? room : RF_RULES, sizeof *g->v)) /* what is not used of it is never touched */
		return RF_E_NOMEM;
	while (rc == RF_OK && rf_js_more(j, ']', &first)) {
		struct rf_rule_given *r = g->n < RF_RULES ? add(g) : NULL;
		if (!r)
			return g->n < RF_RULES ? RF_E_NOMEM : RF_E_SYNTAX;
		rc = read_rule(j, &s, r);
	}
	return rc == RF_OK && j->bad ? RF_E_SYNTAX : rc;
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

static int add_tree(struct rf_rules_given *g, json_t *doc)
{
	struct rf_rule_given *r = add(g);
	struct rf_rule_more *m = r ? more_of(g, r) : NULL;
	char *text = m ? json_dumps(doc, JSON_COMPACT) : NULL;
	struct rf_rule_text read;
	if (!text)
		return RF_E_NOMEM;
	struct rf_js j = rf_js_over(rf_str_z(text));
	r->content = rf_rule_text_read(&j, true, NULL, &read) ? read.content : 0;
	*m = (struct rf_rule_more){ rf_str_z(rf_json_text(doc, "id")), rf_str_z(rf_json_text(doc, "ref")), json_incref(doc) };
	free(text);
	return RF_OK;
}

struct rf_rules_given *rf_rules_of(const json_t *array)
{
	struct rf_rules_given *g = calloc(1, sizeof *g);
	for (size_t i = 0; g && i < json_array_size(array); i++) {
		rf_way_give();
		if (add_tree(g, json_array_get(array, i)) == RF_OK)
			continue;
		rf_rules_given_free(g);
		return NULL;
	}
	return g;
}

int rf_rule_tree(struct rf_api_call *c, struct rf_rules_given *g, size_t i, json_t **ret)
{
	struct rf_rule_given *r = &g->v[i];
	struct rf_rule_more *m = more_of(g, r);
	if (m && (*ret = m->doc))
		return RF_OK;
	json_t *doc = m ? json_loadb(r->text, r->n, JSON_REJECT_DUPLICATES, NULL) : NULL, *whole = NULL;
	if (!doc) { /* what is wrong, and where, says who reads the body in full */
		int rc = rf_json_read(c->req->body, &whole, &c->err);
		json_decref(whole);
		return rc != RF_OK ? rc : rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
	}
	char at[32];
	snprintf(at, sizeof at, "/rules/%zu", i);
	*ret = m->doc = doc;
	return rf_schema_check(RF_RES_RULE, doc, RF_SCHEMA_WHOLE, at, &c->findings) ? RF_OK : c->first_error;
}

/* Half of an id tells it from all others. */
static uint64_t id_digest(const char *id)
{
	uint64_t half[2] = { 0 };
	memcpy(half, id, strnlen(id, sizeof half));
	return half[0] * 0x9e3779b97f4a7c15u + half[1] + 1;
}

void rf_rule_named(struct rf_rules_given *g, size_t i, const char *id)
{
	g->v[i].id = id_digest(id);
}

size_t rf_rule_by_id(const struct rf_rules_given *g, const char *id)
{
	uint64_t digest = id_digest(id);
	size_t i = 0;
	while (i < g->n && g->v[i].id != digest)
		i++;
	return i;
}
