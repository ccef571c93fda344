/* svc/identity: which device a certificate is, the same for every service.
 *
 * A verified certificate is looked up by its key identifier, its fingerprint, and the names that the classes of its
 * root make of it by template. A known device is refused when its state, its class or a second key under the same identifier
 * says so. An unknown one is created where a class takes its root on first sight; else it is told to `unknown`.
 */
#pragma once
#include "records/counters.h"
#include "svc/snapshot.h"

/* What a worker has just done with a device: to be kept (control thread). Texts are the event's own. */
struct rf_identity_event {
	/* One of them: a new device; the first key of a known one (device, bind_value, pin); one that a rule moved to quarantine
	 * (device, rule, and in subject its description); a certificate of no device. */
	bool created, pinned, quarantined, unknown;
	bool attack;               /* of one in quarantine: `rule` is the id of an attack */
	char device[RF_ID_LEN + 1];
	char class_id[RF_ID_LEN + 1];
	char root_id[RF_ID_LEN + 1];
	char name[130];
	char ski[130], sha256[65], serial[68], subject[256];
	enum rf_bind bind;
	char bind_value[256];      /* hex, or the expanded template */
	char pin[2 * RF_PIN_LEN + 1]; /* hex: the key that stands for the identifier from now on */
	char rule[RF_ID_LEN + 1];
	int64_t at_s;
};

struct rf_identity_env {
	struct rf_registry *registry;
	bool (*event)(void *arg, const struct rf_identity_event *ev); /* copies it; from any thread; false: there is no room */
	void *arg;
};

struct rf_identity {
	struct rf_device *device;      /* until the next quiet point; NULL when not known */
	const struct rf_class *class;  /* of the snapshot; NULL when not known */
	const char *refusal;           /* NULL: known, active, welcome. Static words. */
	enum rf_reason reason;         /* with a refusal */
	bool created;
};

/* `info` may be NULL (no TLS) or without a certificate: no device, refusal as for a missing certificate. A
 * certificate that is not valid gives its device too where there is one (for report mode and for renewal), with the refusal. */
void rf_identify(const struct rf_identity_env *env, const struct rf_snap *s, const struct rf_tls_info *info,
		 int64_t now_s, struct rf_identity *ret);

/* Does the certificate still lead to this device? Changes nothing; false once its credential was taken away. */
bool rf_identity_holds(const struct rf_identity_env *env, const struct rf_snap *s, const struct rf_tls_peer *p,
		       const struct rf_device *d);

/* Is the key, fingerprint or serial denied right now? For rf_tls_conf.denied. */
bool rf_identity_denied(struct rf_registry *r, const struct rf_tls_peer *p);
