/* device/registry_in: what the files of the registry share. Private to device/registry*. */
#pragma once
#include <assert.h>
#include <pthread.h>
#include <urcu-qsbr.h>
#include <urcu/rculfhash.h>
#include "device/registry.h"

struct rf_credential {
	struct cds_lfht_node node;
	struct rcu_head rcu;
	struct rf_device *device; /* NULL: only denied */
	struct rf_credential *next;  /* of the same device; under the mutex */
	_Atomic bool denied;
	_Atomic bool pinned; /* pin is set, for good */
	uint8_t kind, len;
	uint8_t pin[RF_PIN_LEN];
	uint8_t key[RF_CRED_MAX];
};

struct rf_device {
	struct cds_lfht_node node;
	struct rcu_head rcu;
	_Atomic(struct rf_device_text *) text;
	struct rf_credential *credentials; /* under the mutex */
	int64_t created_s;
	struct rf_device_use use;
	_Atomic uint32_t refs;
	_Atomic uint16_t class_slot;
	_Atomic uint8_t state;
	char id[RF_ID_LEN + 1];
};

static_assert(sizeof(struct rf_device) + sizeof(struct rf_credential) <= 256, "the promise of registry.h");

struct text_block { /* so that texts can be freed after a grace period */
	struct rcu_head rcu;
	struct rf_device_text text;
};

struct rf_registry {
	pthread_mutex_t mutex;
	struct cds_lfht *devices, *credentials;
	size_t max_devices;
	_Atomic size_t count;
	_Atomic uint64_t denials; /* grows after each change to what rf_cred_denied may answer */
	size_t class_count;
	char (*classes)[RF_ID_LEN + 1];
	enum rf_cred_kind watched;
	void (*told)(void *arg, const char *device, struct rf_str key, bool bound); /* NULL: nobody watches */
	void *told_arg;
};

enum { RF_REGISTRY_BUCKETS_MIN = 1024, RF_REGISTRY_BUCKETS_MAX = 1 << 22 };

/* What a credential is found by. */
struct rf_cred_id {
	uint8_t kind;
	struct rf_str key;
};

static inline struct rf_cred_id rf_registry_cred_id(const struct rf_credential *c)
{
	return (struct rf_cred_id){ c->kind, { (const char *)c->key, c->len } };
}

unsigned long rf_registry_cred_hash(const struct rf_cred_id *id);
/* For cds_lfht: `key` is a struct rf_str and a struct rf_cred_id. */
int rf_registry_match_id(struct cds_lfht_node *node, const void *key);
int rf_registry_match_cred(struct cds_lfht_node *node, const void *key);

/* In no table yet. NULL without memory. The device owns the text. */
struct rf_device_text *rf_registry_text_new(const struct rf_device_spec *spec);
struct rf_device *rf_registry_device_new(const struct rf_device_spec *spec, struct rf_device_text *text);
struct rf_credential *rf_registry_cred_new(enum rf_cred_kind kind, struct rf_str key, struct rf_device *d);
void rf_device_free(struct rf_device *d);
/* Under the mutex: it is one of its device's from now on, or no more. */
void rf_registry_cred_link(struct rf_credential *c);
void rf_registry_cred_unlink(struct rf_credential *c);
void rf_registry_tell(const struct rf_registry *r, const struct rf_credential *c, bool bound);
