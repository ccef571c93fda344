/* api/roots: uploaded certificates (mtls_certificates): roots that devices' certificates chain to, or leaves with
 * keys; their revocation lists; where they are used.
 *
 * An upload is parsed and checked whole before anything is stored. What the trust set refuses (too many
 * roots, say) fails the commit.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/roots.h"
#include "api/x509.h"
#include "pki/crl.h"

/* Revocation lists are shown without their text. */
static json_t *show(struct rf_api_call *c, const struct rf_object *o)
{
	(void)c;
	size_t i;
	json_t *crl, *j = rf_api_plain(RF_RES_ROOT, o);
	if (!j)
		return NULL;
	json_array_foreach(json_object_get(j, "crls"), i, crl)
		json_object_del(crl, "pem");
	json_object_set(j, "uploaded_on", json_object_get(j, "created_on"));
	json_object_set(j, "updated_at", json_object_get(j, "modified_on"));
	json_object_del(j, "created_on");
	json_object_del(j, "modified_on");
	return j;
}

int rf_api_roots_list(struct rf_api_call *c)
{
	struct rf_store_query q = { .parent = c->account.id, .name = rf_api_param(c, "name") };
	const char *type = rf_api_param(c, "type");
	if (type && *type)
		q.match[0].field = "type", q.match[0].value = type;
	return rf_api_list(c, RF_KIND_ROOT, &q, show, RF_API_PER_PAGE_MAX);
}

int rf_api_roots_get(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_api_load(c, RF_KIND_ROOT, c->account.id, c->params.id, &o);
	return rc == RF_OK ? rf_api_result(c, show(c, &o), o.revision) : rc;
}

/* Not twice: two objects for one root could contradict each other. */
static int is_new(struct rf_api_call *c, const json_t *doc)
{
	size_t there = 0;
	struct rf_store_query q = { .parent = c->account.id, .match = { { "fingerprint", rf_json_text(doc, "fingerprint") } } };
	int rc = rf_store_count(c->store, RF_KIND_ROOT, &q, &there, &c->err);
	if (rc == RF_OK && there)
		return rf_api_fail(c, RF_E_EXISTS, "/certificates", "this certificate was uploaded already");
	return rc;
}

int rf_root_check(struct rf_api_call *c, json_t *doc, const char *pointer)
{
	STACK_OF(X509) *list = NULL;
	int rc = rf_x509_read(c, rf_json_text(doc, "certificates"), pointer, &list);
	if (rc != RF_OK)
		return rc;
	X509 *first = sk_X509_value(list, 0);
	const char *key = rf_json_text(doc, "private_key");
	if (json_is_true(json_object_get(doc, "ca")) && !rf_x509_is_ca(first))
		rc = rf_api_fail(c, RF_E_CERT, pointer, "the first certificate may not sign others (no basicConstraints "
				 "CA:TRUE, or no keyCertSign); upload the root, or send ca: false");
	if (rc == RF_OK && key[0])
		rc = rf_x509_check_key(c, first, key, "/private_key");
	if (rc == RF_OK)
		rc = rf_x509_describe(c, first, doc);
	rf_x509_free(list);
	if (rc == RF_OK)
		rc = is_new(c, doc);
	json_object_set_new(doc, "type", json_string("custom"));
	return rc;
}

int rf_api_roots_create(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_root_check(c, c->body, "/certificates");
	if (rc == RF_OK)
		rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_api_object(c, &o, c->account.id, rf_json_text(c->body, "name"), json_incref(c->body));
	if (rc == RF_OK)
		rc = rf_api_put(c, RF_KIND_ROOT, &o, 0);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_api_result(c, show(c, &o), o.revision) : rc;
}

static int save(struct rf_api_call *c, struct rf_object *o)
{
	snprintf(o->name, sizeof o->name, "%s", rf_json_text(o->doc, "name"));
	int rc = rf_api_put(c, RF_KIND_ROOT, o, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_api_result(c, show(c, o), o->revision) : rc;
}

int rf_api_roots_edit(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_api_load(c, RF_KIND_ROOT, c->account.id, c->params.id, &o);
	if (rc == RF_OK && (json_object_update(o.doc, c->body) != 0 || rf_schema_fill(RF_RES_ROOT, o.doc) != RF_OK))
		rc = rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
	return rc == RF_OK ? save(c, &o) : rc;
}

struct use {
	struct rf_api_call *c;
	const char *root;
	json_t *array;
};

static int add_use(struct use *u, const char *kind, const char *name)
{
	char service[400];
	snprintf(service, sizeof service, "%s:%s", kind, name);
	return json_array_append_new(u->array, json_pack("{s:s, s:s}", "service", service, "status", "active")) == 0 ?
		RF_OK : rf_fail(&u->c->err, RF_E_NOMEM, "memory is exhausted");
}

static int use_of_host(const struct rf_object *o, void *arg)
{
	return add_use(arg, "hostname", rf_json_text(o->doc, "hostname"));
}

static bool names_root(const struct rf_object *o, const char *root)
{
	size_t i;
	json_t *v;
	json_array_foreach(json_object_get(o->doc, "roots"), i, v)
		if (json_is_string(v) && strcmp(json_string_value(v), root) == 0)
			return true;
	return false;
}

static int use_of_app(const struct rf_object *o, void *arg)
{
	struct use *u = arg;
	return names_root(o, u->root) ? add_use(u, "app", o->name) : RF_OK;
}

static int use_of_class(const struct rf_object *o, void *arg)
{
	struct use *u = arg;
	return names_root(o, u->root) ? add_use(u, "class", o->name) : RF_OK;
}

static int uses(struct rf_api_call *c, const char *root, json_t **ret)
{
	struct use u = { c, root, json_array() };
	struct rf_store_query hosts = { .match = { { "mtls_certificate_id", root } } }, any = { 0 };
	int rc = rf_store_list(c->store, RF_KIND_HOSTNAME_ASSOCIATION, &hosts, use_of_host, &u, NULL, &c->err);
	if (rc == RF_OK)
		rc = rf_store_list(c->store, RF_KIND_APP, &any, use_of_app, &u, NULL, &c->err);
	if (rc == RF_OK)
		rc = rf_store_list(c->store, RF_KIND_CLASS, &any, use_of_class, &u, NULL, &c->err);
	if (rc == RF_OK)
		*ret = u.array;
	else
		json_decref(u.array);
	return rc;
}

int rf_api_roots_associations(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	json_t *array = NULL;
	int rc = rf_api_load(c, RF_KIND_ROOT, c->account.id, c->params.id, &o);
	if (rc == RF_OK)
		rc = uses(c, o.id, &array);
	return rc == RF_OK ? rf_api_result(c, array, 0) : rc;
}

int rf_api_roots_delete(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	json_t *array = NULL;
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_api_load(c, RF_KIND_ROOT, c->account.id, c->params.id, &o);
	if (rc == RF_OK)
		rc = uses(c, o.id, &array);
	size_t used = json_array_size(array);
	json_decref(array);
	if (rc == RF_OK && used)
		rc = rf_fail(&c->err, RF_E_CONFLICT, "the certificate is used in %zu places; see its associations", used);
	if (rc == RF_OK)
		rc = rf_api_del(c, RF_KIND_ROOT, o.id, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_api_result(c, show(c, &o), 0) : rc;
}

static json_t *describe_crl(const char *pem, const struct rf_crl *crl)
{
	char at[RF_RFC3339_SIZE], next[RF_RFC3339_SIZE] = "";
	if (crl->next_update)
		rf_api_time(crl->next_update, next);
	return json_pack("{s:s, s:I, s:b, s:s, s:s, s:I}", "pem", pem, "number", (json_int_t)crl->number, "delta", crl->delta,
			 "this_update", rf_api_time(crl->this_update, at), "next_update", next, "entries",
			 (json_int_t)crl->count);
}

/* A list must be signed by one of the bundle's certificates. */
static int read_crl(struct rf_api_call *c, STACK_OF(X509) *list, size_t i, const char *pem, json_t *to)
{
	struct rf_crl *crl = NULL;
	struct rf_err first = { 0 };
	char at[32];
	snprintf(at, sizeof at, "/crls/%zu", i);
	for (int k = 0; k < sk_X509_num(list) && !crl; k++)
		if (rf_crl_parse(rf_str_z(pem), sk_X509_value(list, k), &crl, &c->err) != RF_OK && !first.code)
			first = c->err;
	if (!crl)
		return rf_api_fail(c, first.code ? first.code : RF_E_CERT, at, "%s", first.text);
	int bad = json_array_append_new(to, describe_crl(pem, crl));
	rf_crl_put(crl);
	return bad ? rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted") : RF_OK;
}

int rf_api_roots_crl(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	STACK_OF(X509) *list = NULL;
	json_t *crls = json_array(), *v;
	size_t i;
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_api_load(c, RF_KIND_ROOT, c->account.id, c->params.id, &o);
	if (rc == RF_OK)
		rc = rf_x509_read(c, rf_json_text(o.doc, "certificates"), "", &list);
	json_array_foreach(json_object_get(c->body, "crls"), i, v)
		if (rc == RF_OK)
			rc = read_crl(c, list, i, json_string_value(v), crls);
	rf_x509_free(list);
	if (rc == RF_OK && json_object_set(o.doc, "crls", crls) != 0)
		rc = rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
	json_decref(crls);
	return rc == RF_OK ? save(c, &o) : rc;
}
