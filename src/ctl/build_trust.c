/* ctl/build_trust: uploaded roots, our own device CA in front of them, and their revocation lists.
 *
 * Lists come from two places: uploaded with the root (its document) and fetched from its URLs
 * (ctl/crl, kept in the data directory). The newer of the same issuer wins.
 */
#include <openssl/x509.h>
#include <stdlib.h>
#include "ctl/build.h"
#include "ctl/crl.h"
#include "ctl/doc.h"
#include "pki/pem.h"

struct making {
	struct rf_ctl *c;
	struct rf_trust_root roots[RF_TRUST_MAX];
	struct rf_crl_set lists[RF_TRUST_MAX];
	json_t *docs[RF_TRUST_MAX];
	size_t count;
	struct rf_err *e;
};

static enum rf_crl_mode mode_of(const json_t *doc)
{
	return doc_is(doc, "crl_mode", "closed") ? RF_CRL_CLOSED : doc_is(doc, "crl_mode", "open") ? RF_CRL_OPEN : RF_CRL_NONE;
}

static int each_root(const struct rf_object *o, void *arg)
{
	struct making *m = arg;
	if (!doc_bool(o->doc, "ca", true))
		return RF_OK;
	if (m->count == RF_TRUST_MAX)
		return rf_fail(m->e, RF_E_FULL, "at most %d roots can be trusted at once; delete one first", RF_TRUST_MAX - 1);
	struct rf_trust_root *r = &m->roots[m->count];
	m->docs[m->count] = json_incref(o->doc);
	memcpy(r->id, o->id, sizeof r->id);
	r->pem = doc_str(o->doc, "certificates");
	r->crl_mode = mode_of(o->doc);
	int rc = r->crl_mode == RF_CRL_NONE ? RF_OK : rf_crl_set_load(m->c, o->id, o->doc, &m->lists[m->count], m->e);
	r->crls = m->lists[m->count].v;
	r->crl_count = m->lists[m->count].n;
	m->count++;
	return rc;
}

int rf_build_trust(struct rf_ctl *c, struct rf_trust **ret, struct rf_err *e)
{
	struct making *m = calloc(1, sizeof *m);
	RF_BUF_AUTO own = { 0 };
	struct rf_store_query all = { 0 };
	if (!m)
		return rf_fail(e, RF_E_NOMEM, "no memory for the trusted roots");
	m->c = c;
	m->e = e;
	int rc = rf_ca_chain_pem(c->ca, &own);
	memcpy(m->roots[0].id, RF_TRUST_OWN, sizeof m->roots[0].id);
	m->roots[0].pem = rf_buf_str(&own);
	m->count = 1;
	if (rc == RF_OK)
		rc = rf_store_list(c->store, RF_KIND_ROOT, &all, each_root, m, NULL, e);
	if (rc == RF_OK)
		rc = rf_trust_new(m->roots, m->count, ret, e);
	for (size_t i = 1; i < m->count; i++) {
		rf_crl_set_fini(&m->lists[i]);
		json_decref(m->docs[i]);
	}
	free(m);
	return rc;
}
