/* pki/crl: see crl.h. This file keeps and combines lists; pki/crlread reads and verifies them, pki/crlmake
 * writes them.
 *
 * Invariant: entries ascend strictly by serial, so a lookup is a binary search and a delta is a merge.
 */
#include "pki/crl.h"
#include <stdlib.h>
#include "base/enc.h"
#include "pki/crl_own.h"

enum { DAY = 86400 };

struct rf_str rf_crl_serial(const struct rf_crl_entry *e)
{
	return (struct rf_str){ (const char *)e->serial, e->serial_len };
}

static int by_serial(const void *a, const void *b)
{
	return rf_str_cmp(rf_crl_serial(a), rf_crl_serial(b));
}

struct rf_crl *rf_crl_new(size_t room, struct rf_str issuer)
{
	struct rf_crl *c = calloc(1, sizeof *c + room * sizeof *c->entries + issuer.n);
	if (!c)
		return NULL;
	c->entries = (const struct rf_crl_entry *)(c + 1);
	char *name = (char *)(c->entries + room);
	if (issuer.n)
		memcpy(name, issuer.p, issuer.n);
	c->issuer = (struct rf_str){ name, issuer.n };
	atomic_init(&c->refs, 1);
	return c;
}

/* Of a serial that is there twice the entry that revokes stays. */
void rf_crl_settle(struct rf_crl *c)
{
	struct rf_crl_entry *v = rf_crl_own_entries(c);
	size_t n = 0;
	qsort(v, c->count, sizeof *v, by_serial);
	for (size_t i = 0; i < c->count; i++) {
		if (n && by_serial(&v[n - 1], &v[i]) == 0) {
			if (v[n - 1].reason == RF_REASON_REMOVE)
				v[n - 1] = v[i];
			continue;
		}
		v[n++] = v[i];
	}
	c->count = n;
}

void rf_crl_put(struct rf_crl *c)
{
	if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
		free(c);
}

const struct rf_crl_entry *rf_crl_find(const struct rf_crl *c, struct rf_str serial)
{
	size_t low = 0, high = c->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = rf_str_cmp(rf_crl_serial(&c->entries[mid]), serial);
		if (order == 0)
			return &c->entries[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

enum rf_crl_state rf_crl_state(const struct rf_crl *c, int64_t now)
{
	int64_t end = c->next_update ? c->next_update : c->this_update + DAY;
	return now < c->this_update ? RF_CRL_NOT_YET : now >= end ? RF_CRL_EXPIRED : RF_CRL_FRESH;
}

static void merge(struct rf_crl *to, const struct rf_crl *base, const struct rf_crl *delta)
{
	struct rf_crl_entry *v = rf_crl_own_entries(to);
	size_t i = 0, k = 0;
	while (i < base->count || k < delta->count) {
		int order = i == base->count ? 1 : -1; /* which list is behind, or used up */
		if (i < base->count && k < delta->count)
			order = by_serial(&base->entries[i], &delta->entries[k]);
		if (order < 0) {
			v[to->count++] = base->entries[i++];
			continue;
		}
		i += order == 0;
		if (delta->entries[k].reason != RF_REASON_REMOVE)
			v[to->count++] = delta->entries[k];
		k++;
	}
}

/* The four conditions of RFC 5280 5.2.4. */
int rf_crl_apply(const struct rf_crl *base, const struct rf_crl *delta, struct rf_crl **ret, struct rf_err *e)
{
	if (base->delta || !delta->delta)
		return rf_fail(e, RF_E_INVALID, "a delta CRL applies to a full CRL");
	if (!rf_str_eq(base->issuer, delta->issuer))
		return rf_fail(e, RF_E_INVALID, "the delta CRL has another issuer than the full one");
	if (!base->has_number || base->number < delta->base)
		return rf_fail(e, RF_E_STALE, "the delta CRL needs the full CRL %llu or later: fetch that first",
			       (unsigned long long)delta->base);
	if (delta->number <= base->number)
		return rf_fail(e, RF_E_STALE, "the delta CRL %llu is not newer than the full CRL %llu",
			       (unsigned long long)delta->number, (unsigned long long)base->number);
	struct rf_crl *c = rf_crl_new(base->count + delta->count, base->issuer);
	if (!c)
		return rf_fail(e, RF_E_NOMEM, "no memory for the CRL");
	merge(c, base, delta);
	if (c->count > RF_CRL_ENTRIES_MAX) {
		rf_crl_put(c);
		return rf_fail(e, RF_E_TOO_LARGE, "a CRL has at most %u entries", RF_CRL_ENTRIES_MAX);
	}
	c->has_number = true;
	c->number = delta->number;
	c->this_update = delta->this_update;
	c->next_update = delta->next_update;
	*ret = c;
	return RF_OK;
}

int rf_crl_entry(struct rf_str hex, int64_t revoked_at, unsigned reason, struct rf_crl_entry *ret)
{
	struct rf_crl_entry v = { .reason = (uint8_t)reason };
	while (hex.n > 2 && hex.p[0] == '0' && hex.p[1] == '0')
		hex = rf_str_skip(hex, 2);
	ssize_t n = rf_unhex(hex, v.serial + 1, RF_CRL_SERIAL_MAX - 1);
	if (n <= 0)
		return RF_E_SYNTAX;
	bool sign = v.serial[1] >= 0x80; /* a positive INTEGER starts below 0x80 */
	if (!sign)
		memmove(v.serial, v.serial + 1, (size_t)n);
	v.serial_len = (uint8_t)(n + sign);
	v.revoked_at = rf_crl_date(revoked_at);
	*ret = v;
	return RF_OK;
}
