/* device/registry: every known device and the credentials bound to it.
 *
 * Readers (workers) walk without a lock under liburcu QSBR: a pointer that a find returns is
 * valid until the caller's next quiet point (end of the loop's turn); hold one longer with
 * rf_device_get. Writers (control thread, first sight on a worker) take the registry's mutex.
 * A device's identity, class and credentials change entry by entry; nothing here is part of a
 * snapshot. At most 256 bytes a device with one credential, its texts not counted.
 *
 * Not here: whether a device may do something (policy, svc), persistence (ctl).
 */
#pragma once
#include <stdatomic.h>
#include "base/err.h"
#include "base/str.h"

#define RF_ID_LEN 32 /* hex digits of every id; buffers hold RF_ID_LEN + 1 */

struct rf_registry;
struct rf_device;

enum rf_device_state { RF_DEVICE_ACTIVE, RF_DEVICE_QUARANTINED, RF_DEVICE_REVOKED };
const char *rf_device_state_name(enum rf_device_state s); /* "active", "quarantined", "revoked" */
bool rf_device_state_parse(struct rf_str s, enum rf_device_state *ret);

/* What names a client. Keys are at most RF_CRED_MAX bytes; longer ones are hashed by the caller. */
enum rf_cred_kind {
	RF_CRED_SKI,         /* subject key identifier, raw bytes (or SHA-256 of it where longer than 32) */
	RF_CRED_FINGERPRINT, /* SHA-256 of the certificate */
	RF_CRED_NAME,        /* SHA-256 of "root id NUL expanded template" */
	RF_CRED_SERIAL,      /* SHA-256 of "issuer SKI NUL serial": used to deny */
	RF_CRED_TOKEN,       /* SHA-256 of a bearer token */
	RF_CRED_ADDRESS,     /* 4 or 6, and the bytes of the address that is the device's own */
};
enum { RF_CRED_MAX = 32 };

/* What the control side says of a device; strings are copied. */
struct rf_device_spec {
	char id[RF_ID_LEN + 1];
	enum rf_device_state state;
	uint16_t class_slot; /* from rf_registry_class_slot */
	struct rf_str name, model, firmware, owner;
	const struct rf_str *tags; /* "key=value" or a plain word */
	size_t tag_count;
	int64_t created_s;
};

/* The texts of a device at one moment; valid until the next quiet point. */
struct rf_device_text {
	struct rf_str name, model, firmware, owner;
	uint16_t tag_count;
	struct rf_str tags[];
};

struct rf_registry *rf_registry_new(size_t max_devices);
void rf_registry_free(struct rf_registry *r);
size_t rf_registry_count(const struct rf_registry *r);

/* A small stable number for a class id, so that a snapshot can index its classes by it. */
int rf_registry_class_slot(struct rf_registry *r, const char class_id[RF_ID_LEN + 1], uint16_t *ret);
/* The number of slots handed out: an array of that size indexes every class. */
size_t rf_registry_class_slots(struct rf_registry *r);

/* Create or change a device. RF_E_FULL past the bound, RF_E_NOMEM. */
int rf_registry_put(struct rf_registry *r, const struct rf_device_spec *spec, struct rf_err *e);
/* Remove it with its credentials; those who hold a reference see state REVOKED. */
int rf_registry_del(struct rf_registry *r, const char *id);

/* Bind a credential. RF_E_EXISTS (and *ret_owner = id of the holder) when another device has it. */
int rf_registry_bind(struct rf_registry *r, const char *id, enum rf_cred_kind kind, struct rf_str key,
		     char ret_owner[RF_ID_LEN + 1]);
/* Make these the credentials of a device: missing ones are bound first, then all others of it unbound. One that another
 * device holds is left out. RF_E_NOT_FOUND, RF_E_NOMEM. */
struct rf_cred_ref {
	enum rf_cred_kind kind;
	struct rf_str key;
};
int rf_registry_credentials(struct rf_registry *r, const char *id, const struct rf_cred_ref *v, size_t n);
/* Be told of each credential of this kind that is bound to a device from now on, or no more. Inside of the registry's lock: calls nothing
 * of it that changes. One at a time; `told` NULL: nobody. */
void rf_registry_watch(struct rf_registry *r, enum rf_cred_kind kind,
		       void (*told)(void *arg, const char *device, struct rf_str key, bool bound), void *arg);
/* Deny or allow a credential by itself, whether or not a device holds it; takes hold at once. */
int rf_registry_deny(struct rf_registry *r, enum rf_cred_kind kind, struct rf_str key, bool deny);

/* The public key that a credential is pinned to (first 16 bytes of its SHA-256), so that another key with a
 * colliding SKI or name is told apart. Pins when it was not; RF_E_CONFLICT when it is pinned to another key,
 * RF_E_NOT_FOUND. Any registered thread. */
enum { RF_PIN_LEN = 16 };
int rf_registry_pin(struct rf_registry *r, enum rf_cred_kind kind, struct rf_str key, const uint8_t pin[RF_PIN_LEN],
		    bool *ret_new);

/* Many at once, which are about so many, before any other thread uses the registry. NULL without memory. */
struct rf_load;
struct rf_load *rf_load_new(struct rf_registry *r, size_t devices, size_t credentials);
/* One that is not there yet: it is once it is settled. *ret is good until the registry is freed, or the load without settling it.
 * RF_E_FULL, RF_E_NOMEM, RF_E_TOO_LARGE. */
int rf_load_device(struct rf_load *l, const struct rf_device_spec *spec, struct rf_device **ret);
/* Of a device that is there or loaded; pin NULL: not pinned yet. Where another has it already, it is left out. RF_E_RANGE, RF_E_NOMEM. */
int rf_load_credential(struct rf_load *l, struct rf_device *d, enum rf_cred_kind kind, struct rf_str key, const uint8_t *pin);
/* All that was loaded is there now. RF_E_EXISTS: two devices have one id. RF_E_NOMEM. */
int rf_load_settle(struct rf_load *l);
void rf_load_free(struct rf_load *l); /* with what is not settled */

/* Readers. NULL when unknown. */
struct rf_device *rf_device_find(struct rf_registry *r, struct rf_str id);
struct rf_device *rf_device_by_cred(struct rf_registry *r, enum rf_cred_kind kind, struct rf_str key);
bool rf_cred_denied(struct rf_registry *r, enum rf_cred_kind kind, struct rf_str key);
/* Never 0. While it is the same as it was before an answer of rf_cred_denied, that answer stands. */
uint64_t rf_registry_denials(struct rf_registry *r);

struct rf_device *rf_device_get(struct rf_device *d); /* hold across quiet points */
void rf_device_put(struct rf_device *d);

const char *rf_device_id(const struct rf_device *d);
enum rf_device_state rf_device_state(const struct rf_device *d);
/* From one state to another at once, for all threads; false where it is not in the first. Any registered thread. */
bool rf_device_turn(struct rf_device *d, enum rf_device_state from, enum rf_device_state to);
uint16_t rf_device_class_slot(const struct rf_device *d);
const struct rf_device_text *rf_device_text(const struct rf_device *d);
int64_t rf_device_created(const struct rf_device *d);

/* Live use, exact over all workers. rf_device_enter returns false (and counts nothing) at `max`. */
struct rf_device_use {
	_Atomic uint32_t connections;
	_Atomic uint32_t requests;  /* in flight */
	_Atomic uint32_t last_seen_s; /* since 1970, until 2106 */
	_Atomic uint32_t throttle;  /* requests a second that are let through; 0: any */
	_Atomic uint64_t paid;      /* of the rate of its class (device/pace) */
	_Atomic uint64_t requests_total, refused_total, bytes_in, bytes_out;
};
struct rf_device_use *rf_device_use(struct rf_device *d);
bool rf_use_enter(_Atomic uint32_t *counter, uint32_t max);
void rf_use_leave(_Atomic uint32_t *counter);

/* Walk all devices (control side); stops when `each` returns false. */
void rf_registry_each(struct rf_registry *r, bool (*each)(struct rf_device *d, void *arg), void *arg);

/* A thread that reads registers itself once and reports quiet points through its loop's hook. */
void rf_registry_thread_start(void);
void rf_registry_thread_stop(void);
void rf_registry_quiet(void *unused, bool online); /* give to rf_loop_hook */
