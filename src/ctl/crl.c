/* ctl/crl: see crl.h. The lists of one root, put together.
 *
 * The document's lists and the kept ones -> each verified by the bundle that was uploaded -> of every issuer the newest full
 * list -> the newest delta that fits applied to it.
 *
 * Not here: fetching (crl_fetch.c).
 */
#include <stdio.h>
#include "ctl/crl_own.h"
#include "ctl/doc.h"
#include "ctl/private.h"
#include "pki/file.h"
#include "records/log.h"

struct loading {
	struct rf_ctl *c;
	const char *root_id;
	struct rf_str pem;
	STACK_OF(X509) *bundle;
	struct rf_crl_set all;  /* as they came: full lists and deltas */
	struct rf_err *e;
};

void rf_crl_path(const char *data_dir, const char *root_id, size_t n, char to[RF_CRL_PATH_MAX])
{
	snprintf(to, RF_CRL_PATH_MAX, "%s/crl/%s-%zu.crl", data_dir, root_id, n);
}

int rf_crl_verify(struct rf_str text, STACK_OF(X509) *bundle, struct rf_crl **ret, struct rf_err *e)
{
	struct rf_err first = { 0 };
	for (int i = 0; i < sk_X509_num(bundle); i++) {
		if (rf_crl_parse(text, sk_X509_value(bundle, i), ret, e) == RF_OK)
			return RF_OK;
		if (!first.code)
			first = *e;
	}
	if (!first.code)
		return rf_fail(e, RF_E_MISSING, "the root has no certificate");
	*e = first;
	return first.code;
}

bool rf_crl_newer(const struct rf_crl *b, const struct rf_crl *a)
{
	if (a->has_number && b->has_number && a->number != b->number)
		return b->number > a->number;
	return b->this_update > a->this_update;
}

void rf_crl_set_fini(struct rf_crl_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		rf_crl_put(s->v[i]);
	s->n = 0;
}

/* Takes the reference. */
static void add(struct rf_crl_set *s, struct rf_crl *crl)
{
	if (s->n < RF_CRL_SET_MAX)
		s->v[s->n++] = crl;
	else
		rf_crl_put(crl);
}

static int uploaded(struct loading *l, const json_t *crls)
{
	for (size_t i = 0; i < json_array_size(crls) && i < RF_CRL_URLS_MAX; i++) {
		const json_t *v = json_array_get(crls, i);
		struct rf_crl *crl = NULL;
		int rc = rf_crl_verify(json_is_string(v) ? doc_at(crls, i) : doc_str(v, "pem"), l->bundle, &crl, l->e);
		if (rc != RF_OK) {
			struct rf_err why = *l->e;
			return rf_fail(l->e, rc, "list %zu uploaded for root %s: %s", i, l->root_id, why.text);
		}
		add(&l->all, crl);
	}
	return RF_OK;
}

static struct rf_crl *from_file(struct loading *l, size_t n)
{
	char path[RF_CRL_PATH_MAX];
	RF_BUF_AUTO text = { 0 };
	struct rf_crl *crl = NULL;
	struct rf_err e;
	rf_crl_path(l->c->boot->data_dir, l->root_id, n, path);
	int rc = rf_file_get(path, RF_CRL_BYTES_MAX, false, &text, &e);
	if (rc == RF_OK)
		rc = rf_crl_verify(rf_buf_str(&text), l->bundle, &crl, &e);
	if (rc != RF_OK && rc != RF_E_NOT_FOUND)
		rf_log(RF_LOG_WARN, "crl", "the list kept in %s is left out: %s", path, e.text);
	return crl;
}

static void fetched(struct loading *l, size_t urls)
{
	for (size_t n = 0; n < urls && n < RF_CRL_URLS_MAX; n++) {
		struct rf_crl_fetcher *f = l->c->priv ? l->c->priv->crl : NULL;
		struct rf_crl *crl = f ? rf_crl_fetcher_held(f, l->root_id, n, l->pem) : NULL;
		if (!crl)
			crl = from_file(l, n);
		if (crl)
			add(&l->all, crl);
	}
}

/* Of every issuer the newest full list. */
static void pick_full(const struct rf_crl_set *all, struct rf_crl_set *ret)
{
	for (size_t i = 0; i < all->n; i++) {
		struct rf_crl *crl = all->v[i];
		size_t k = 0;
		if (crl->delta)
			continue;
		while (k < ret->n && !rf_str_eq(ret->v[k]->issuer, crl->issuer))
			k++;
		if (k == ret->n)
			add(ret, rf_crl_get(crl));
		else if (rf_crl_newer(crl, ret->v[k])) {
			rf_crl_put(ret->v[k]);
			ret->v[k] = rf_crl_get(crl);
		}
	}
}

/* A delta that fits no full list waits for one that it fits. */
static struct rf_crl *delta_for(const struct rf_crl_set *all, const struct rf_crl *full)
{
	struct rf_crl *best = NULL;
	for (size_t i = 0; i < all->n; i++) {
		struct rf_crl *d = all->v[i];
		if (d->delta && rf_str_eq(d->issuer, full->issuer) && full->has_number && full->number >= d->base &&
		    d->number > full->number && (!best || rf_crl_newer(d, best)))
			best = d;
	}
	return best;
}

static int apply_deltas(const struct rf_crl_set *all, struct rf_crl_set *to, struct rf_err *e)
{
	for (size_t i = 0; i < to->n; i++) {
		struct rf_crl *delta = delta_for(all, to->v[i]), *made = NULL;
		int rc = delta ? rf_crl_apply(to->v[i], delta, &made, e) : RF_OK;
		if (rc != RF_OK)
			return rc;
		if (delta) {
			rf_crl_put(to->v[i]);
			to->v[i] = made;
		}
	}
	return RF_OK;
}

int rf_crl_set_load(struct rf_ctl *c, const char *root_id, const json_t *doc, struct rf_crl_set *ret, struct rf_err *e)
{
	struct loading l = { .c = c, .root_id = root_id, .pem = doc_str(doc, "certificates"), .e = e };
	struct rf_crl_set made = { .n = 0 };
	int rc = rf_pem_certs(l.pem, &l.bundle, e);
	if (rc == RF_OK)
		rc = uploaded(&l, json_object_get(doc, "crls"));
	if (rc == RF_OK) {
		fetched(&l, json_array_size(json_object_get(doc, "crl_urls")));
		pick_full(&l.all, &made);
		rc = apply_deltas(&l.all, &made, e);
	}
	rf_crl_set_fini(&l.all);
	sk_X509_pop_free(l.bundle, X509_free);
	if (rc != RF_OK) {
		rf_crl_set_fini(&made);
		return rc;
	}
	*ret = made;
	return RF_OK;
}
