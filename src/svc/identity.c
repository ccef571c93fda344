#include <openssl/rand.h>
#include <stdio.h>
#include "base/enc.h"
#include "svc/identity.h"

enum { NAME_ARENA = 16384 };

bool rf_identity_denied(struct rf_registry *r, const struct rf_tls_peer *p)
{
	return rf_cred_denied(r, RF_CRED_SKI, rf_credkey_str(&p->ski)) ||
	       rf_cred_denied(r, RF_CRED_FINGERPRINT, rf_credkey_str(&p->fingerprint)) ||
	       (p->serial.n && rf_cred_denied(r, RF_CRED_SERIAL, rf_credkey_str(&p->serial)));
}

/* What names the certificate for this class. */
struct handle {
	enum rf_cred_kind kind;
	struct rf_credkey key;
	char text[256]; /* the expanded template */
};

static bool handle_of(const struct rf_class *c, const struct rf_tls_peer *p, struct handle *ret)
{
	struct rf_arena a;
	struct rf_str name;
	if (c->bind != RF_BIND_TEMPLATE) {
		ret->kind = c->bind == RF_BIND_SKI ? RF_CRED_SKI : RF_CRED_FINGERPRINT;
		ret->key = c->bind == RF_BIND_SKI ? p->ski : p->fingerprint;
		return ret->key.n > 0;
	}
	rf_arena_init(&a, NAME_ARENA);
	bool good = c->bind_template && rf_cert_tmpl_expand(c->bind_template, p->cert, &a, &name) == RF_OK &&
		    name.n < sizeof ret->text && rf_credkey_name(rf_str_z(p->root_id), name, &ret->key) == RF_OK;
	if (good) {
		ret->kind = RF_CRED_NAME;
		memcpy(ret->text, name.p, name.n);
		ret->text[name.n] = '\0';
	}
	rf_arena_fini(&a);
	return good;
}

static bool takes(const struct rf_class *c, uint64_t roots)
{
	return c && (c->roots & roots);
}

/* The device and the credential that led to it. */
static struct rf_device *find(const struct rf_identity_env *env, const struct rf_snap *s, const struct rf_tls_peer *p,
			      struct handle *ret)
{
	struct rf_device *d = NULL;
	ret->kind = RF_CRED_SKI;
	ret->key = p->ski;
	if (ret->key.n && (d = rf_device_by_cred(env->registry, ret->kind, rf_credkey_str(&ret->key))))
		return d;
	ret->kind = RF_CRED_FINGERPRINT;
	ret->key = p->fingerprint;
	if ((d = rf_device_by_cred(env->registry, ret->kind, rf_credkey_str(&ret->key))))
		return d;
	for (size_t i = 0; i < s->site->class_slots && !d; i++)
		if (takes(s->site->classes[i], p->roots) && s->site->classes[i]->bind == RF_BIND_TEMPLATE &&
		    handle_of(s->site->classes[i], p, ret))
			d = rf_device_by_cred(env->registry, ret->kind, rf_credkey_str(&ret->key));
	return d;
}

bool rf_identity_holds(const struct rf_identity_env *env, const struct rf_snap *s, const struct rf_tls_peer *p,
		       const struct rf_device *d)
{
	struct handle h;
	return find(env, s, p, &h) == d;
}

static void describe(const struct rf_tls_peer *p, int64_t now_s, struct rf_identity_event *ev)
{
	struct rf_arena a;
	struct rf_str subject;
	*ev = (struct rf_identity_event){ .at_s = now_s };
	rf_arena_init(&a, NAME_ARENA);
	subject = rf_cert_subject(p->cert, RF_DN_RFC2253, &a);
	snprintf(ev->subject, sizeof ev->subject, "%.*s", RF_ARG(subject));
	snprintf(ev->root_id, sizeof ev->root_id, "%s", p->root_id);
	snprintf(ev->ski, sizeof ev->ski, "%s", p->cert->ski);
	snprintf(ev->sha256, sizeof ev->sha256, "%s", p->cert->sha256);
	rf_hex(p->pin, RF_PIN_LEN, ev->pin);
	snprintf(ev->serial, sizeof ev->serial, "%s", p->cert->serial);
	struct rf_str cn;
	if (rf_cert_attr(p->cert, false, RF_STR("cn"), 0, &a, &cn))
		snprintf(ev->name, sizeof ev->name, "%.*s", RF_ARG(cn));
	else
		snprintf(ev->name, sizeof ev->name, "%s", p->cert->ski);
	rf_arena_fini(&a);
}

static bool new_id(char id[RF_ID_LEN + 1])
{
	uint8_t random[RF_ID_LEN / 2];
	if (RAND_bytes(random, sizeof random) != 1)
		return false;
	rf_hex(random, sizeof random, id);
	return true;
}

/* Create the device of a class that takes its root on first sight. Another worker may have been faster: then
 * it is that one's. */
static struct rf_device *create(const struct rf_identity_env *env, const struct rf_class *c, uint16_t slot,
				const struct rf_tls_peer *p, const struct handle *h, struct rf_identity_event *ev)
{
	struct rf_device_spec spec = { .class_slot = slot, .name = rf_str_z(ev->name), .created_s = ev->at_s };
	struct rf_err e;
	char owner[RF_ID_LEN + 1];
	if (!new_id(spec.id) || rf_registry_put(env->registry, &spec, &e) != RF_OK)
		return NULL;
	int rc = rf_registry_bind(env->registry, spec.id, h->kind, rf_credkey_str(&h->key), owner);
	if (rc != RF_OK)
		rf_registry_del(env->registry, spec.id);
	if (rc == RF_E_EXISTS)
		return rf_device_find(env->registry, rf_str_z(owner));
	if (rc != RF_OK)
		return NULL;
	bool pinned;
	if (h->kind == RF_CRED_SKI)
		rf_registry_pin(env->registry, h->kind, rf_credkey_str(&h->key), p->pin, &pinned);
	ev->created = true;
	ev->bind = c->bind;
	memcpy(ev->device, spec.id, sizeof ev->device);
	memcpy(ev->class_id, c->id, sizeof ev->class_id);
	snprintf(ev->bind_value, sizeof ev->bind_value, "%s", h->kind == RF_CRED_SKI ? p->cert->ski
		 : h->kind == RF_CRED_FINGERPRINT ? p->cert->sha256 : h->text);
	rf_count(RF_C_DEVICE_CREATED);
	return rf_device_find(env->registry, rf_str_z(spec.id));
}

static struct rf_device *first_sight(const struct rf_identity_env *env, const struct rf_snap *s,
				     const struct rf_tls_info *info, int64_t now_s, struct handle *h, bool *ret_created)
{
	const struct rf_tls_peer *p = info->peer;
	struct rf_identity_event ev;
	struct rf_device *d = NULL;
	describe(p, now_s, &ev);
	for (size_t i = 0; i < s->site->class_slots && !d; i++) {
		const struct rf_class *c = s->site->classes[i];
		if (takes(c, info->roots) && c->first_sight && handle_of(c, p, h))
			d = create(env, c, (uint16_t)i, p, h, &ev);
	}
	*ret_created = ev.created;
	if (!d) {
		ev.unknown = true;
		rf_count(RF_C_DEVICE_UNKNOWN);
	}
	if (env->event && (ev.created || ev.unknown))
		env->event(env->arg, &ev);
	return d;
}

static void refuse(struct rf_identity *i, enum rf_reason reason, const char *words)
{
	i->reason = reason;
	i->refusal = words;
}

/* Ask only for certificates of a CA of the device's class, else a stranger under any other trusted CA could shut the device out.
 * An SKI is what its issuer wrote, so the first key holds it, over restarts too; the CA that vouches for a name may renew
 * it with another key. False: another key holds it. */
static bool holds(const struct rf_identity_env *env, const struct rf_tls_peer *p, const struct handle *h,
		  const struct rf_device *d, int64_t now_s)
{
	bool new = false;
	if (h->kind != RF_CRED_SKI)
		return true;
	int rc = rf_registry_pin(env->registry, h->kind, rf_credkey_str(&h->key), p->pin, &new);
	if (new && env->event) {
		struct rf_identity_event ev;
		describe(p, now_s, &ev);
		ev.pinned = true;
		ev.bind = RF_BIND_SKI;
		snprintf(ev.bind_value, sizeof ev.bind_value, "%s", p->cert->ski);
		memcpy(ev.device, rf_device_id(d), sizeof ev.device);
		env->event(env->arg, &ev);
	}
	return rc != RF_E_CONFLICT;
}

/* What the device itself says against it. */
static void judge(const struct rf_identity_env *env, const struct rf_tls_info *info, const struct handle *h, int64_t now_s,
		  struct rf_identity *i)
{
	const struct rf_tls_peer *p = info->peer;
	if (i->class && i->class->roots && !(i->class->roots & info->roots)) {
		/* A CA that does not stand for this device may write what it likes: who it is, is not known. */
		enum rf_reason why = rf_tls_unvouched(info, i->class->roots);
		i->device = NULL;
		i->class = NULL;
		refuse(i, why, why == RF_REASON_CRL_STALE ? rf_reason_words(why)
							  : "the certificate's CA does not stand for devices of this class");
		return;
	}
	if (!holds(env, p, h, i->device, now_s)) {
		/* Somebody else's key under this device's name: who it is, is not known. */
		i->device = NULL;
		i->class = NULL;
		refuse(i, RF_REASON_CERT_INVALID, "another key already stands for this device's identifier");
		return;
	}
	if (rf_device_state(i->device) == RF_DEVICE_REVOKED)
		refuse(i, RF_REASON_DEVICE_REVOKED, rf_reason_words(RF_REASON_DEVICE_REVOKED));
	else if (rf_device_state(i->device) == RF_DEVICE_QUARANTINED)
		refuse(i, RF_REASON_DEVICE_QUARANTINED, rf_reason_words(RF_REASON_DEVICE_QUARANTINED));
}

void rf_identify(const struct rf_identity_env *env, const struct rf_snap *s, const struct rf_tls_info *info,
		 int64_t now_s, struct rf_identity *ret)
{
	struct handle h;
	*ret = (struct rf_identity){ .reason = RF_REASON_CERT_NONE };
	if (!info || !info->peer) {
		refuse(ret, RF_REASON_CERT_NONE, rf_reason_words(RF_REASON_CERT_NONE));
		return;
	}
	const struct rf_tls_peer *p = info->peer;
	/* Nothing of a chain that does not verify can be believed, not even whose it would be. */
	if (p->roots)
		ret->device = find(env, s, p, &h);
	if (p->roots && !ret->device && info->status == RF_CERT_VALID)
		ret->device = first_sight(env, s, info, now_s, &h, &ret->created);
	if (ret->device) {
		ret->class = rf_snap_class(s, rf_device_class_slot(ret->device));
		judge(env, info, &h, now_s, ret);
	}
	if (info->status != RF_CERT_VALID)
		refuse(ret, info->why, info->reason);
	else if (!ret->device && !ret->refusal)
		refuse(ret, RF_REASON_DEVICE_UNKNOWN, rf_reason_words(RF_REASON_DEVICE_UNKNOWN));
}
