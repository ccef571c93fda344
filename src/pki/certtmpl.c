/* pki/certtmpl: see certtmpl.h.
 *
 * "a${cert.serial}b" -> parts: text "a", variable serial, text "b". A variable is a row of the table (exact
 * name), or a family row with a name or an index behind its dot.
 */
#include "pki/certtmpl.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/enc.h"
#include "base/near.h"

enum op {
	TEXT,
	SUBJECT,
	SUBJECT_2253,
	SUBJECT_LEGACY,
	ISSUER,
	ISSUER_2253,
	ISSUER_LEGACY,
	SUBJECT_ATTR,
	ISSUER_ATTR,
	SAN_EMAIL,
	SAN_DNS,
	SAN_URI,
	SAN_IP,
	SERIAL,
	ISSUER_SERIAL,
	SKI,
	ISSUER_SKI,
	SHA256,
	SHA1,
	NOT_BEFORE,
	NOT_AFTER,
	KEY,
	DER,
	RFC9440,
};

struct part {
	enum op op;
	unsigned index;
	struct rf_str arg; /* literal text, or the attribute's name */
};

struct rf_cert_tmpl {
	unsigned count;
	struct part parts[RF_CERT_TMPL_PARTS];
	char text[];
};

static const struct {
	const char *name;
	enum op op;
	bool indexed;
} VARS[] = {
	{ "cert.subject", SUBJECT, false },
	{ "cert.subject.rfc2253", SUBJECT_2253, false },
	{ "cert.subject.legacy", SUBJECT_LEGACY, false },
	{ "cert.issuer", ISSUER, false },
	{ "cert.issuer.rfc2253", ISSUER_2253, false },
	{ "cert.issuer.legacy", ISSUER_LEGACY, false },
	{ "cert.san.email", SAN_EMAIL, true },
	{ "cert.san.dns", SAN_DNS, true },
	{ "cert.san.uri", SAN_URI, true },
	{ "cert.san.ip", SAN_IP, true },
	{ "cert.serial", SERIAL, false },
	{ "cert.issuer_serial", ISSUER_SERIAL, false },
	{ "cert.ski", SKI, false },
	{ "cert.issuer_ski", ISSUER_SKI, false },
	{ "cert.sha256", SHA256, false },
	{ "cert.sha1", SHA1, false },
	{ "cert.not_before", NOT_BEFORE, false },
	{ "cert.not_after", NOT_AFTER, false },
	{ "cert.key", KEY, false },
	{ "cert.der", DER, false },
	{ "cert.rfc9440", RFC9440, false },
};
enum { VAR_COUNT = sizeof VARS / sizeof *VARS, ATTR_MAX = 16 };

static int unknown(struct rf_err *e, struct rf_str name, unsigned column)
{
	const char *names[VAR_COUNT + 2 * ATTR_MAX];
	char attrs[2 * ATTR_MAX][40];
	size_t n = 0, k = 0;
	for (size_t i = 0; i < VAR_COUNT; i++)
		names[n++] = VARS[i].name;
	for (size_t i = 0; rf_cert_attr_names[i] && i < ATTR_MAX; i++) {
		snprintf(attrs[k], sizeof *attrs, "cert.subject.%s", rf_cert_attr_names[i]);
		names[n++] = attrs[k++];
		snprintf(attrs[k], sizeof *attrs, "cert.issuer.%s", rf_cert_attr_names[i]);
		names[n++] = attrs[k++];
	}
	const char *near = rf_near(name, names, n);
	return rf_fail_at(e, RF_E_UNKNOWN, 1, column, "${%.*s} is not a certificate field%s%s%s",
			  (int)(name.n < 80 ? name.n : 80), name.p, near ? "; did you mean ${" : "",
			  near ? near : "", near ? "}?" : "");
}

/* cert.subject.NAME or cert.issuer.NAME */
static bool attr_var(struct rf_str name, struct part *to)
{
	static const struct rf_str subject = RF_STR("cert.subject."), issuer = RF_STR("cert.issuer.");
	bool of_subject = rf_str_starts(name, subject);
	if (!of_subject && !rf_str_starts(name, issuer))
		return false;
	to->op = of_subject ? SUBJECT_ATTR : ISSUER_ATTR;
	to->arg = rf_str_skip(name, of_subject ? subject.n : issuer.n);
	for (size_t i = 0; rf_cert_attr_names[i]; i++)
		if (rf_str_ieq(to->arg, rf_str_z(rf_cert_attr_names[i])))
			return true;
	return false;
}

static int variable(struct rf_str body, unsigned column, struct part *to, struct rf_err *e)
{
	size_t bracket = rf_str_find(body, '[');
	struct rf_str name = { body.p, bracket };
	bool indexed = bracket < body.n, takes_index = true;
	if (indexed) {
		uint64_t index;
		struct rf_str digits = rf_str_skip(body, bracket + 1);
		if (digits.n < 2 || digits.p[digits.n - 1] != ']' ||
		    !rf_str_u64((struct rf_str){ digits.p, digits.n - 1 }, &index) || index > RF_CERT_TMPL_INDEX)
			return rf_fail_at(e, RF_E_SYNTAX, 1, column, "an index is [0] to [%d]", RF_CERT_TMPL_INDEX);
		to->index = (unsigned)index;
	}
	size_t i = 0;
	while (i < VAR_COUNT && !rf_str_eq(name, rf_str_z(VARS[i].name)))
		i++;
	if (i < VAR_COUNT) {
		to->op = VARS[i].op;
		takes_index = VARS[i].indexed;
	} else if (!attr_var(name, to)) {
		return unknown(e, name, column);
	}
	if (indexed && !takes_index)
		return rf_fail_at(e, RF_E_SYNTAX, 1, column, "${%.*s} has one value only: no index", RF_ARG(name));
	return RF_OK;
}

static int compile(struct rf_cert_tmpl *t, struct rf_str text, struct rf_err *e)
{
	struct rf_str rest = text;
	while (rest.n) {
		if (t->count == RF_CERT_TMPL_PARTS)
			return rf_fail(e, RF_E_TOO_LARGE, "a template has at most %d parts", RF_CERT_TMPL_PARTS);
		struct part *part = &t->parts[t->count++];
		unsigned column = (unsigned)(rest.p - text.p) + 1;
		size_t used;
		if (rf_str_starts(rest, RF_STR("$${"))) {
			part->arg = (struct rf_str){ rest.p + 1, 2 };
			used = 3;
		} else if (rf_str_starts(rest, RF_STR("${"))) {
			size_t end = rf_str_find(rest, '}');
			if (end == rest.n)
				return rf_fail_at(e, RF_E_SYNTAX, 1, column, "${ without }");
			int rc = variable((struct rf_str){ rest.p + 2, end - 2 }, column, part, e);
			if (rc != RF_OK)
				return rc;
			used = end + 1;
		} else {
			size_t plain = rf_str_search(rest, RF_STR("${"));
			used = plain > 1 && plain < rest.n && rest.p[plain - 1] == '$' ? plain - 1 : plain;
			used = used ? used : 1;
			part->arg = (struct rf_str){ rest.p, used };
		}
		rest = rf_str_skip(rest, used);
	}
	return RF_OK;
}

static bool has_control(struct rf_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	return false;
}

int rf_cert_tmpl_compile(struct rf_str text, struct rf_cert_tmpl **ret, struct rf_err *e)
{
	if (text.n == 0 || text.n > RF_CERT_TMPL_BYTES)
		return rf_fail(e, text.n ? RF_E_TOO_LARGE : RF_E_MISSING, "a template has 1 to %d bytes",
			       RF_CERT_TMPL_BYTES);
	if (has_control(text))
		return rf_fail(e, RF_E_SYNTAX, "a template holds no control characters");
	struct rf_cert_tmpl *t = calloc(1, sizeof *t + text.n);
	if (!t)
		return rf_fail(e, RF_E_NOMEM, "no memory for the template");
	memcpy(t->text, text.p, text.n);
	int rc = compile(t, (struct rf_str){ t->text, text.n }, e);
	if (rc == RF_OK)
		*ret = t;
	else
		free(t);
	return rc;
}

void rf_cert_tmpl_free(struct rf_cert_tmpl *t)
{
	free(t);
}

static struct rf_str der_text(const struct rf_cert *c, struct rf_arena *a)
{
	struct rf_str s = rf_cert_rfc9440(c, a);
	return s.n < 2 ? s : (struct rf_str){ s.p + 1, s.n - 2 };
}

static struct rf_str time_text(int64_t epoch, struct rf_arena *a)
{
	char text[RF_CERT_TIME];
	return rf_arena_dup(a, rf_str_z(rf_cert_time(epoch, text)));
}

/* The value of one part; empty when the certificate has none. */
static struct rf_str value_of(const struct part *p, const struct rf_cert *c, struct rf_arena *a)
{
	struct rf_str v = { NULL, 0 };
	switch (p->op) {
	case TEXT:           return p->arg;
	case SUBJECT:        return rf_cert_subject(c, RF_DN_DEFAULT, a);
	case SUBJECT_2253:   return rf_cert_subject(c, RF_DN_RFC2253, a);
	case SUBJECT_LEGACY: return rf_cert_subject(c, RF_DN_LEGACY, a);
	case ISSUER:         return rf_cert_issuer(c, RF_DN_DEFAULT, a);
	case ISSUER_2253:    return rf_cert_issuer(c, RF_DN_RFC2253, a);
	case ISSUER_LEGACY:  return rf_cert_issuer(c, RF_DN_LEGACY, a);
	case SERIAL:         return rf_str_z(c->serial);
	case ISSUER_SERIAL:  return rf_str_z(c->issuer_serial);
	case SKI:            return rf_str_z(c->ski);
	case ISSUER_SKI:     return rf_str_z(c->issuer_ski);
	case SHA256:         return rf_str_z(c->sha256);
	case SHA1:           return rf_str_z(c->sha1);
	case NOT_BEFORE:     return time_text(c->not_before, a);
	case NOT_AFTER:      return time_text(c->not_after, a);
	case KEY:            return rf_str_z(c->key);
	case DER:            return der_text(c, a);
	case RFC9440:        return rf_cert_rfc9440(c, a);
	case SAN_EMAIL:
	case SAN_DNS:
	case SAN_URI:
	case SAN_IP:
		rf_cert_san(c, (enum rf_san_kind)(p->op - SAN_EMAIL), p->index, a, &v);
		return v;
	case SUBJECT_ATTR:
	case ISSUER_ATTR:
		rf_cert_attr(c, p->op == ISSUER_ATTR, p->arg, p->index, a, &v);
		return v;
	}
	return v;
}

int rf_cert_tmpl_expand(const struct rf_cert_tmpl *t, const struct rf_cert *c, struct rf_arena *a,
			struct rf_str *ret)
{
	struct rf_str v[RF_CERT_TMPL_PARTS];
	size_t n = 0;
	for (unsigned i = 0; i < t->count; i++) {
		v[i] = value_of(&t->parts[i], c, a);
		if (v[i].n == 0)
			return RF_E_MISSING;
		if (has_control(v[i]))
			return RF_E_INVALID;
		n += v[i].n;
	}
	if (t->count == 1) {
		*ret = v[0];
		return RF_OK;
	}
	char *to = rf_arena_alloc(a, n);
	if (!to)
		return RF_E_NOMEM;
	*ret = (struct rf_str){ to, n };
	for (unsigned i = 0; i < t->count; i++) {
		memcpy(to, v[i].p, v[i].n);
		to += v[i].n;
	}
	return RF_OK;
}
