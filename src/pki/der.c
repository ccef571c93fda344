/* pki/der: see der.h. */
#include "pki/der.h"

static struct rf_tlv bad(struct rf_cur *c)
{
	c->bad = true;
	return (struct rf_tlv){ 0 };
}

struct rf_tlv rf_der_next(struct rf_cur *c)
{
	const uint8_t *start = c->at;
	uint8_t tag = rf_cur_u8(c);
	size_t n = rf_cur_u8(c);
	if (n > 0x80) {
		unsigned bytes = n & 0x7f;
		n = bytes <= 4 ? (size_t)rf_cur_be(c, bytes) : 0;
		if (bytes > 4 || n < 0x80 || (bytes > 1 && n >> (8 * (bytes - 1)) == 0))
			return bad(c);
	} else if (n == 0x80) {
		return bad(c);
	}
	struct rf_str body = rf_cur_take(c, n);
	if (c->bad || (tag & 0x1f) == 0x1f)
		return bad(c);
	return (struct rf_tlv){ tag, body, { (const char *)start, (size_t)(c->at - start) } };
}

struct rf_tlv rf_der_want(struct rf_cur *c, uint8_t tag)
{
	struct rf_tlv t = rf_der_next(c);
	return t.tag == tag ? t : bad(c);
}

struct rf_str rf_der_int(struct rf_cur *c)
{
	struct rf_str s = rf_der_want(c, RF_DER_INT).body;
	const uint8_t *p = (const uint8_t *)s.p;
	if (s.n == 0 || (s.n > 1 && ((p[0] == 0 && p[1] < 0x80) || (p[0] == 0xff && p[1] >= 0x80))))
		return bad(c).body;
	return s;
}

uint64_t rf_der_u64(struct rf_cur *c)
{
	struct rf_str s = rf_der_int(c);
	uint64_t v = 0;
	if (s.n > 9 || (s.n == 9 && s.p[0] != 0) || (s.n && (uint8_t)s.p[0] >= 0x80))
		c->bad = true;
	for (size_t i = 0; i < s.n && !c->bad; i++)
		v = v << 8 | (uint8_t)s.p[i];
	return v;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
	year -= month <= 2;
	int64_t era = (year >= 0 ? year : year - 399) / 400, yoe = year - era * 400;
	int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int two(const char *p)
{
	return p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9' ? -1 : (p[0] - '0') * 10 + p[1] - '0';
}

int64_t rf_der_time(struct rf_cur *c)
{
	struct rf_tlv t = rf_der_next(c);
	int f[7] = { 0 };
	size_t n = t.tag == RF_DER_UTC ? 6 : 7;
	bool whole = (t.tag == RF_DER_UTC || t.tag == RF_DER_GENERALIZED) && t.body.n == 2 * n + 1 &&
		     t.body.p[2 * n] == 'Z';
	for (size_t i = 0; i < n && whole; i++)
		whole = (f[7 - n + i] = two(t.body.p + 2 * i)) >= 0;
	if (n == 6)
		f[0] = f[1] >= 50 ? 19 : 20;
	if (!whole || f[2] < 1 || f[2] > 12 || f[3] < 1 || f[3] > 31 || f[4] > 23 || f[5] > 59 || f[6] > 59) {
		c->bad = true;
		return 0;
	}
	return days_of(f[0] * 100 + f[1], f[2], f[3]) * 86400 + f[4] * 3600 + f[5] * 60 + f[6];
}

struct rf_str rf_der_ext(struct rf_cur *c, bool *critical, struct rf_str *value)
{
	struct rf_tlv ext = rf_der_want(c, RF_DER_SEQ);
	struct rf_cur in = rf_der_into(ext);
	struct rf_str oid = rf_der_want(&in, RF_DER_OID).body;
	*critical = false;
	if (rf_der_is(&in, RF_DER_BOOL)) {
		struct rf_str b = rf_der_next(&in).body;
		*critical = b.n != 1 || b.p[0] != 0;
	}
	*value = rf_der_want(&in, RF_DER_OCTETS).body;
	if (!rf_cur_ok(&in) || rf_cur_left(&in))
		c->bad = true;
	return c->bad ? (struct rf_str){ NULL, 0 } : oid;
}
