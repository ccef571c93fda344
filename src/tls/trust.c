/* tls/trust: one OpenSSL store of all roots; a chain that it finds is mapped back to the roots that
 * hold its anchor, and its certificates are looked up in their lists.
 *
 * Any uploaded CA certificate may be an anchor, also an intermediate one whose root is kept elsewhere. Times are
 * left to the caller, who judges them at every use of a cached verdict.
 */
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "pki/pem.h"
#include "tls/trust.h"

enum { DEPTH_MAX = 8 };

struct root {
	char id[33];
	enum rf_crl_mode crl_mode;
	STACK_OF(X509) *certs;
	struct rf_crl **crls;
	size_t crl_count;
};

struct rf_trust {
	_Atomic unsigned refs;
	uint64_t generation;
	X509_STORE *store;   /* for clients: times are judged by rf_peer_judge */
	X509_STORE *origins; /* for origins: libssl judges all at once */
	size_t count;
	struct root roots[RF_TRUST_MAX];
};

static int add_root(struct rf_trust *t, const struct rf_trust_root *from, struct rf_err *e)
{
	struct root *r = &t->roots[t->count++];
	memcpy(r->id, from->id, sizeof r->id);
	r->crl_mode = from->crl_mode;
	int rc = rf_pem_certs(from->pem, &r->certs, e);
	if (rc != RF_OK)
		return rc;
	for (int i = 0; i < sk_X509_num(r->certs); i++)
		if (rf_x509_is_ca(sk_X509_value(r->certs, i)) &&
		    (!X509_STORE_add_cert(t->store, sk_X509_value(r->certs, i)) ||
		     !X509_STORE_add_cert(t->origins, sk_X509_value(r->certs, i))))
			return rf_fail(e, RF_E_NOMEM, "no memory for the trusted roots");
	r->crls = calloc(from->crl_count + 1, sizeof *r->crls);
	if (!r->crls)
		return rf_fail(e, RF_E_NOMEM, "no memory for revocation lists");
	for (; r->crl_count < from->crl_count; r->crl_count++)
		r->crls[r->crl_count] = rf_crl_get(from->crls[r->crl_count]);
	return RF_OK;
}

static bool settings(X509_STORE *store, unsigned long flags)
{
	if (!store)
		return false;
	X509_VERIFY_PARAM *p = X509_STORE_get0_param(store);
	X509_VERIFY_PARAM_set_depth(p, DEPTH_MAX);
	X509_VERIFY_PARAM_set_auth_level(p, 1);
	return X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_PARTIAL_CHAIN | flags);
}

int rf_trust_new(const struct rf_trust_root *roots, size_t count, struct rf_trust **ret, struct rf_err *e)
{
	static _Atomic uint64_t generations;
	if (count > RF_TRUST_MAX)
		return rf_fail(e, RF_E_FULL, "at most %d roots can be trusted at once", RF_TRUST_MAX);
	struct rf_trust *t = calloc(1, sizeof *t);
	if (!t || !settings(t->store = X509_STORE_new(), X509_V_FLAG_NO_CHECK_TIME) ||
	    !settings(t->origins = X509_STORE_new(), 0)) {
		rf_trust_put(t);
		return rf_fail(e, RF_E_NOMEM, "no memory for the trusted roots");
	}
	atomic_init(&t->refs, 1);
	t->generation = atomic_fetch_add(&generations, 1) + 1;
	for (size_t i = 0; i < count; i++) {
		int rc = add_root(t, &roots[i], e);
		if (rc != RF_OK) {
			rf_trust_put(t);
			return rc;
		}
	}
	*ret = t;
	return RF_OK;
}

struct rf_trust *rf_trust_get(const struct rf_trust *t)
{
	struct rf_trust *shared = (struct rf_trust *)t;
	atomic_fetch_add(&shared->refs, 1);
	return shared;
}

void rf_trust_put(struct rf_trust *t)
{
	if (!t || (atomic_load(&t->refs) && atomic_fetch_sub(&t->refs, 1) != 1))
		return;
	for (size_t i = 0; i < t->count; i++) {
		sk_X509_pop_free(t->roots[i].certs, X509_free);
		for (size_t k = 0; k < t->roots[i].crl_count; k++)
			rf_crl_put(t->roots[i].crls[k]);
		free(t->roots[i].crls);
	}
	X509_STORE_free(t->store);
	X509_STORE_free(t->origins);
	free(t);
}

uint64_t rf_trust_generation(const struct rf_trust *t) { return t->generation; }
const char *rf_trust_id(const struct rf_trust *t, int root) { return t->roots[root].id; }
X509_STORE *rf_trust_store(const struct rf_trust *t) { return t->origins; }

int rf_trust_find(const struct rf_trust *t, const char *id)
{
	for (size_t i = 0; i < t->count; i++)
		if (strcmp(t->roots[i].id, id) == 0)
			return (int)i;
	return -1;
}

static int64_t epoch(const ASN1_TIME *time, int64_t otherwise)
{
	struct tm tm;
	return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : otherwise;
}

static void narrow(struct rf_trust_verdict *v, X509 *x)
{
	int64_t from = epoch(X509_get0_notBefore(x), INT64_MAX), until = epoch(X509_get0_notAfter(x), 0);
	v->valid_from = from > v->valid_from ? from : v->valid_from;
	v->valid_until = until < v->valid_until ? until : v->valid_until;
}

static uint64_t roots_of(const struct rf_trust *t, X509 *anchor)
{
	uint64_t bits = 0;
	for (size_t i = 0; i < t->count; i++)
		for (int k = 0; k < sk_X509_num(t->roots[i].certs); k++)
			if (X509_cmp(sk_X509_value(t->roots[i].certs, k), anchor) == 0)
				bits |= 1ull << i;
	return bits;
}

static const struct rf_crl *list_of(const struct root *r, X509 *x)
{
	const unsigned char *der;
	size_t n;
	if (!X509_NAME_get0_der(X509_get_issuer_name(x), &der, &n))
		return NULL;
	for (size_t i = 0; i < r->crl_count; i++)
		if (rf_str_eq(r->crls[i]->issuer, (struct rf_str){ (const char *)der, n }))
			return r->crls[i];
	return NULL;
}

/* The content octets of a serial: the key of a revocation list. */
static struct rf_str serial_of(X509 *x, unsigned char der[64])
{
	unsigned char *to = der;
	int n = i2d_ASN1_INTEGER(X509_get0_serialNumber(x), NULL);
	if (n < 3 || n > 64 || i2d_ASN1_INTEGER(X509_get0_serialNumber(x), &to) != n)
		return (struct rf_str){ NULL, 0 };
	return (struct rf_str){ (const char *)der + 2, (size_t)n - 2 };
}

/* What the lists of r say of x. *until: when the first of the lists expires, -1 where one is missing. */
static void look_up(const struct root *r, X509 *x, int64_t *until, struct rf_trust_verdict *v)
{
	unsigned char der[64];
	const struct rf_crl *list = list_of(r, x);
	if (!list) {
		*until = -1;
		return;
	}
	int64_t end = list->next_update ? list->next_update : list->this_update + 86400;
	if (end < *until)
		*until = end;
	if (rf_crl_find(list, serial_of(x, der)))
		v->revoked = true;
}

static X509 *issuer_in(const struct root *r, X509 *x)
{
	for (int i = 0; i < sk_X509_num(r->certs); i++) {
		X509 *issuer = sk_X509_value(r->certs, i);
		if (X509_cmp(issuer, x) != 0 && X509_check_issued(issuer, x) == X509_V_OK)
			return issuer;
	}
	return NULL;
}

/* The chain ends at the first certificate that is trusted; an intermediate one that was uploaded beside its root
 * can itself be on that root's list. */
static void look_up_anchor(const struct root *r, X509 *anchor, int64_t *until, struct rf_trust_verdict *v)
{
	X509 *issuer;
	for (int depth = 0; depth < DEPTH_MAX && (issuer = issuer_in(r, anchor)); depth++) {
		look_up(r, anchor, until, v);
		anchor = issuer;
	}
}

/* Root i vouches for the chain only as its lists say. */
static void check_lists(const struct rf_trust *t, const struct root *r, STACK_OF(X509) *chain, struct rf_trust_verdict *v)
{
	int last = sk_X509_num(chain) - 1;
	uint64_t bit = 1ull << (r - t->roots);
	int64_t *until = &v->crl_until[r - t->roots];
	if (r->crl_mode == RF_CRL_NONE)
		return;
	v->crl_expected |= bit;
	if (r->crl_mode == RF_CRL_CLOSED)
		v->crl_closed |= bit;
	*until = INT64_MAX;
	for (int k = 0; k < last; k++)
		look_up(r, sk_X509_value(chain, k), until, v);
	look_up_anchor(r, sk_X509_value(chain, last), until, v);
}

static bool issued(X509 *issuer, X509 *x)
{
	return X509_cmp(issuer, x) != 0 && X509_check_issued(issuer, x) == X509_V_OK &&
	       X509_verify(x, X509_get0_pubkey(issuer)) == 1;
}

/* A certificate of r that issued x and lives at least as long as the chain found, else NULL. */
static X509 *parent_in(const struct root *r, X509 *x, const struct rf_trust_verdict *v)
{
	for (int i = 0; i < sk_X509_num(r->certs); i++) {
		X509 *up = sk_X509_value(r->certs, i);
		if (epoch(X509_get0_notBefore(up), INT64_MAX) <= v->valid_from &&
		    epoch(X509_get0_notAfter(up), 0) >= v->valid_until && rf_x509_is_ca(up) && issued(up, x))
			return up;
	}
	return NULL;
}

/* Can the lists of r tell of each certificate of the chain? Where they cannot, r does not vouch for it. */
static bool lists_know(const struct root *r, STACK_OF(X509) *chain)
{
	for (int k = 0; k < sk_X509_num(chain); k++)
		if (r->crl_mode != RF_CRL_NONE && !list_of(r, sk_X509_value(chain, k)))
			return false;
	return true;
}

/* The chain ends at the first certificate that is trusted. Where that is an intermediate one, the roots above it, uploaded
 * by themselves for other hosts, still stand for what is below it. Also what they have on their lists is told. */
static void add_above(const struct rf_trust *t, STACK_OF(X509) *chain, struct rf_trust_verdict *v)
{
	X509 *anchor = sk_X509_value(chain, sk_X509_num(chain) - 1);
	if (X509_check_issued(anchor, anchor) == X509_V_OK)
		return;
	for (size_t i = 0; i < t->count; i++) {
		const struct root *r = &t->roots[i];
		if (v->roots >> i & 1 || !parent_in(r, anchor, v) || !lists_know(r, chain))
			continue;
		v->roots |= 1ull << i;
		check_lists(t, r, chain, v);
	}
}

static void found(const struct rf_trust *t, STACK_OF(X509) *chain, struct rf_trust_verdict *v)
{
	int n = sk_X509_num(chain);
	for (int i = 1; i < n; i++)
		narrow(v, sk_X509_value(chain, i));
	v->roots = roots_of(t, sk_X509_value(chain, n - 1));
	v->root = v->roots ? __builtin_ctzll(v->roots) : -1;
	for (size_t i = 0; i < t->count; i++)
		if (v->roots >> i & 1)
			check_lists(t, &t->roots[i], chain, v);
	add_above(t, chain, v);
}

int rf_trust_verify(const struct rf_trust *t, X509 *leaf, STACK_OF(X509) *others, struct rf_trust_verdict *ret)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	if (!ctx || !X509_STORE_CTX_init(ctx, t->store, leaf, others)) {
		X509_STORE_CTX_free(ctx);
		return RF_E_NOMEM;
	}
	struct rf_trust_verdict v = { .root = -1, .valid_from = INT64_MIN, .valid_until = INT64_MAX };
	narrow(&v, leaf);
	X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT);
	bool good = X509_verify_cert(ctx) == 1;
	v.error = good ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
	if (!good && v.error == X509_V_OK)
		v.error = X509_V_ERR_UNSPECIFIED;
	if (good)
		found(t, X509_STORE_CTX_get0_chain(ctx), &v);
	X509_STORE_CTX_free(ctx);
	*ret = v;
	return RF_OK;
}
