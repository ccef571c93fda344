/* Two lock-free hash tables (liburcu cds_lfht): devices by id, credentials by kind and key.
 *
 * A device enters with rf_registry_put, gets credentials with rf_registry_bind, is found by workers
 * without a lock, and leaves in two phases: unhooked and marked revoked at once, freed after a
 * grace period and the last reference.
 *
 * Not here: many at once, as at a start (registry_load.c).
 *
 * Invariants: every credential in the table points to a device that is in the table, or to none (a denied
 * key that nobody holds). `mutex` guards all changes; a reader needs only to be registered with QSBR.
 */
#include <stdlib.h>
#include "base/hash.h"
#include "base/list.h"
#include "device/registry_in.h"

enum { MAX_CLASSES = 4096 };

static void denials_changed(struct rf_registry *r)
{
	atomic_fetch_add_explicit(&r->denials, 1, memory_order_release);
}

static const char *const state_names[] = { "active", "quarantined", "revoked" };

const char *rf_device_state_name(enum rf_device_state s)
{
	return state_names[s];
}

bool rf_device_state_parse(struct rf_str s, enum rf_device_state *ret)
{
	for (size_t i = 0; i < sizeof state_names / sizeof *state_names; i++)
		if (rf_str_eq(s, rf_str_z(state_names[i]))) {
			*ret = (enum rf_device_state)i;
			return true;
		}
	return false;
}

struct rf_registry *rf_registry_new(size_t max_devices)
{
	struct rf_registry *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	pthread_mutex_init(&r->mutex, NULL);
	r->max_devices = max_devices;
	/* By count and up to a bound: by the length of chains they would outgrow all memory while a resize waits for us. */
	r->devices = cds_lfht_new(RF_REGISTRY_BUCKETS_MIN, RF_REGISTRY_BUCKETS_MIN, RF_REGISTRY_BUCKETS_MAX, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, NULL);
	r->credentials = cds_lfht_new(RF_REGISTRY_BUCKETS_MIN, RF_REGISTRY_BUCKETS_MIN, RF_REGISTRY_BUCKETS_MAX, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, NULL);
	r->classes = calloc(MAX_CLASSES, sizeof *r->classes);
	if (r->devices && r->credentials && r->classes)
		return r;
	rf_registry_free(r);
	return NULL;
}

void rf_device_free(struct rf_device *d)
{
	struct rf_device_text *t = atomic_load(&d->text);
	if (t)
		free(RF_CONTAINER(t, struct text_block, text));
	free(d);
}

void rf_device_put(struct rf_device *d)
{
	if (d && atomic_fetch_sub(&d->refs, 1) == 1)
		rf_device_free(d);
}

struct rf_device *rf_device_get(struct rf_device *d)
{
	if (d)
		atomic_fetch_add(&d->refs, 1);
	return d;
}

static void device_retired(struct rcu_head *head)
{
	rf_device_put(RF_CONTAINER(head, struct rf_device, rcu));
}

static void credential_retired(struct rcu_head *head)
{
	free(RF_CONTAINER(head, struct rf_credential, rcu));
}

static void text_retired(struct rcu_head *head)
{
	free(RF_CONTAINER(head, struct text_block, rcu));
}

int rf_registry_match_id(struct cds_lfht_node *node, const void *key)
{
	const struct rf_str *id = key;
	const struct rf_device *d = RF_CONTAINER(node, struct rf_device, node);
	return id->n == RF_ID_LEN && memcmp(d->id, id->p, RF_ID_LEN) == 0;
}

int rf_registry_match_cred(struct cds_lfht_node *node, const void *key)
{
	const struct rf_cred_id *want = key;
	const struct rf_credential *c = RF_CONTAINER(node, struct rf_credential, node);
	return c->kind == want->kind && c->len == want->key.n && memcmp(c->key, want->key.p, c->len) == 0;
}

unsigned long rf_registry_cred_hash(const struct rf_cred_id *k)
{
	return (unsigned long)rf_hash(k->key) * 31 + k->kind;
}

struct rf_device *rf_device_find(struct rf_registry *r, struct rf_str id)
{
	struct cds_lfht_iter iter;
	rcu_read_lock();
	cds_lfht_lookup(r->devices, (unsigned long)rf_hash(id), rf_registry_match_id, &id, &iter);
	struct cds_lfht_node *node = cds_lfht_iter_get_node(&iter);
	rcu_read_unlock();
	return node ? RF_CONTAINER(node, struct rf_device, node) : NULL;
}

static struct rf_credential *find_cred(struct rf_registry *r, enum rf_cred_kind kind, struct rf_str key)
{
	struct rf_cred_id want = { (uint8_t)kind, key };
	struct cds_lfht_iter iter;
	if (key.n > RF_CRED_MAX)
		return NULL;
	rcu_read_lock();
	cds_lfht_lookup(r->credentials, rf_registry_cred_hash(&want), rf_registry_match_cred, &want, &iter);
	struct cds_lfht_node *node = cds_lfht_iter_get_node(&iter);
	rcu_read_unlock();
	return node ? RF_CONTAINER(node, struct rf_credential, node) : NULL;
}

struct rf_device *rf_device_by_cred(struct rf_registry *r, enum rf_cred_kind kind, struct rf_str key)
{
	struct rf_credential *c = find_cred(r, kind, key);
	return c ? c->device : NULL;
}

bool rf_cred_denied(struct rf_registry *r, enum rf_cred_kind kind, struct rf_str key)
{
	struct rf_credential *c = find_cred(r, kind, key);
	return c && atomic_load_explicit(&c->denied, memory_order_acquire);
}

uint64_t rf_registry_denials(struct rf_registry *r)
{
	return atomic_load_explicit(&r->denials, memory_order_acquire) + 1;
}

/* --- writers; all below here that change anything hold the mutex --- */

static struct rf_str pack(char **at, struct rf_str s)
{
	struct rf_str copy = { *at, s.n };
	if (s.n)
		memcpy(*at, s.p, s.n);
	(*at)[s.n] = '\0';
	*at += s.n + 1;
	return copy;
}

struct rf_device_text *rf_registry_text_new(const struct rf_device_spec *spec)
{
	size_t size = sizeof(struct text_block) + spec->tag_count * sizeof(struct rf_str);
	size_t bytes = spec->name.n + spec->model.n + spec->firmware.n + spec->owner.n + 4;
	for (size_t i = 0; i < spec->tag_count; i++)
		bytes += spec->tags[i].n + 1;
	struct text_block *b = calloc(1, size + bytes);
	if (!b)
		return NULL;
	char *at = (char *)b + size;
	struct rf_device_text *t = &b->text;
	t->name = pack(&at, spec->name);
	t->model = pack(&at, spec->model);
	t->firmware = pack(&at, spec->firmware);
	t->owner = pack(&at, spec->owner);
	t->tag_count = (uint16_t)spec->tag_count;
	for (size_t i = 0; i < spec->tag_count; i++)
		t->tags[i] = pack(&at, spec->tags[i]);
	return t;
}

static void device_set(struct rf_device *d, const struct rf_device_spec *spec, struct rf_device_text *text)
{
	struct rf_device_text *old = atomic_exchange(&d->text, text);
	if (old)
		call_rcu(&RF_CONTAINER(old, struct text_block, text)->rcu, text_retired);
	atomic_store(&d->class_slot, spec->class_slot);
	atomic_store(&d->state, (uint8_t)spec->state);
}

struct rf_device *rf_registry_device_new(const struct rf_device_spec *spec, struct rf_device_text *text)
{
	struct rf_device *d = calloc(1, sizeof *d);
	if (!d)
		return NULL;
	memcpy(d->id, spec->id, sizeof d->id);
	d->created_s = spec->created_s;
	atomic_init(&d->refs, 1);
	device_set(d, spec, text);
	cds_lfht_node_init(&d->node);
	return d;
}

static int device_add(struct rf_registry *r, const struct rf_device_spec *spec, struct rf_device_text *text)
{
	struct rf_device *d = rf_registry_device_new(spec, text);
	if (!d)
		return RF_E_NOMEM;
	rcu_read_lock();
	cds_lfht_add(r->devices, (unsigned long)rf_hash(rf_str_z(d->id)), &d->node);
	rcu_read_unlock();
	atomic_fetch_add(&r->count, 1);
	return RF_OK;
}

int rf_registry_put(struct rf_registry *r, const struct rf_device_spec *spec, struct rf_err *e)
{
	if (spec->tag_count > UINT16_MAX)
		return rf_fail(e, RF_E_TOO_LARGE, "a device may have at most %u tags", UINT16_MAX);
	struct rf_device_text *text = rf_registry_text_new(spec);
	if (!text)
		return rf_fail(e, RF_E_NOMEM, "no memory for device %s", spec->id);
	int rc = RF_OK;
	pthread_mutex_lock(&r->mutex);
	struct rf_device *d = rf_device_find(r, rf_str_z(spec->id));
	if (d)
		device_set(d, spec, text);
	else if (atomic_load(&r->count) >= r->max_devices)
		rc = rf_fail(e, RF_E_FULL, "the registry is full: %zu devices; raise limits.devices", r->max_devices);
	else if (device_add(r, spec, text) != RF_OK)
		rc = rf_fail(e, RF_E_NOMEM, "no memory for device %s", spec->id);
	pthread_mutex_unlock(&r->mutex);
	if (rc != RF_OK)
		free(RF_CONTAINER(text, struct text_block, text));
	return rc;
}

void rf_registry_tell(const struct rf_registry *r, const struct rf_credential *c, bool bound)
{
	if (r->told && c->device && (enum rf_cred_kind)c->kind == r->watched)
		r->told(r->told_arg, c->device->id, (struct rf_str){ (const char *)c->key, c->len }, bound);
}

static void cred_drop(struct rf_registry *r, struct rf_credential *c)
{
	rf_registry_tell(r, c, false);
	rcu_read_lock();
	cds_lfht_del(r->credentials, &c->node);
	rcu_read_unlock();
	call_rcu(&c->rcu, credential_retired);
}

static void device_drop(struct rf_registry *r, struct rf_device *d)
{
	for (struct rf_credential *c = d->credentials, *next; c; c = next) {
		next = c->next;
		cred_drop(r, c);
	}
	d->credentials = NULL;
	atomic_store(&d->state, RF_DEVICE_REVOKED);
	rcu_read_lock();
	cds_lfht_del(r->devices, &d->node);
	rcu_read_unlock();
	atomic_fetch_sub(&r->count, 1);
	call_rcu(&d->rcu, device_retired);
}

int rf_registry_del(struct rf_registry *r, const char *id)
{
	pthread_mutex_lock(&r->mutex);
	struct rf_device *d = rf_device_find(r, rf_str_z(id));
	if (d)
		device_drop(r, d);
	pthread_mutex_unlock(&r->mutex);
	return d ? RF_OK : RF_E_NOT_FOUND;
}

struct rf_credential *rf_registry_cred_new(enum rf_cred_kind kind, struct rf_str key, struct rf_device *d)
{
	struct rf_credential *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->kind = (uint8_t)kind;
	c->len = (uint8_t)key.n;
	memcpy(c->key, key.p, key.n);
	c->device = d;
	cds_lfht_node_init(&c->node);
	return c;
}

void rf_registry_cred_link(struct rf_credential *c)
{
	if (!c->device)
		return;
	c->next = c->device->credentials;
	c->device->credentials = c;
}

static struct rf_credential *cred_add(struct rf_registry *r, enum rf_cred_kind kind, struct rf_str key, struct rf_device *d)
{
	struct rf_credential *c = rf_registry_cred_new(kind, key, d);
	if (!c)
		return NULL;
	rf_registry_cred_link(c);
	struct rf_cred_id id = rf_registry_cred_id(c);
	rcu_read_lock();
	cds_lfht_add(r->credentials, rf_registry_cred_hash(&id), &c->node);
	rcu_read_unlock();
	return c;
}

void rf_registry_cred_unlink(struct rf_credential *c)
{
	for (struct rf_credential **at = c->device ? &c->device->credentials : NULL; at && *at; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			return;
		}
}

static int bind_locked(struct rf_registry *r, const char *id, enum rf_cred_kind kind, struct rf_str key,
		       char ret_owner[RF_ID_LEN + 1])
{
	struct rf_device *d = rf_device_find(r, rf_str_z(id));
	struct rf_credential *there = find_cred(r, kind, key);
	if (!d)
		return RF_E_NOT_FOUND;
	if (there && there->device == d)
		return RF_OK;
	if (there && there->device) {
		memcpy(ret_owner, there->device->id, sizeof there->device->id);
		return RF_E_EXISTS;
	}
	struct rf_credential *c = cred_add(r, kind, key, d);
	if (!c)
		return RF_E_NOMEM;
	if (there) { /* a key that was denied before anyone held it stays denied */
		atomic_store_explicit(&c->denied, atomic_load(&there->denied), memory_order_release);
		cred_drop(r, there);
		denials_changed(r); /* the new one was found without the mark for a moment */
	}
	rf_registry_tell(r, c, true);
	return RF_OK;
}

int rf_registry_bind(struct rf_registry *r, const char *id, enum rf_cred_kind kind, struct rf_str key,
		     char ret_owner[RF_ID_LEN + 1])
{
	if (key.n == 0 || key.n > RF_CRED_MAX)
		return RF_E_RANGE;
	pthread_mutex_lock(&r->mutex);
	int rc = bind_locked(r, id, kind, key, ret_owner);
	pthread_mutex_unlock(&r->mutex);
	return rc;
}

static bool is_among(const struct rf_credential *c, const struct rf_cred_ref *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].kind == c->kind && rf_str_eq(v[i].key, (struct rf_str){ (const char *)c->key, c->len }))
			return true;
	return false;
}

/* A denied key stays in the table without its device. */
static void cred_release(struct rf_registry *r, struct rf_credential *c)
{
	bool denied = atomic_load(&c->denied);
	struct rf_str key = { (const char *)c->key, c->len };
	struct rf_credential *kept = denied ? cred_add(r, c->kind, key, NULL) : NULL;
	if (kept)
		atomic_store_explicit(&kept->denied, true, memory_order_release);
	rf_registry_cred_unlink(c);
	cred_drop(r, c);
	if (denied)
		denials_changed(r);
}

int rf_registry_credentials(struct rf_registry *r, const char *id, const struct rf_cred_ref *v, size_t n)
{
	char owner[RF_ID_LEN + 1];
	int rc = RF_OK;
	pthread_mutex_lock(&r->mutex);
	struct rf_device *d = rf_device_find(r, rf_str_z(id));
	if (!d)
		rc = RF_E_NOT_FOUND;
	for (size_t i = 0; rc == RF_OK && i < n; i++)
		if (v[i].key.n == 0 || v[i].key.n > RF_CRED_MAX || bind_locked(r, id, v[i].kind, v[i].key, owner) == RF_E_NOMEM)
			rc = RF_E_NOMEM;
	for (struct rf_credential *c = d && rc == RF_OK ? d->credentials : NULL, *next; c; c = next) {
		next = c->next;
		if (!is_among(c, v, n))
			cred_release(r, c);
	}
	pthread_mutex_unlock(&r->mutex);
	return rc;
}

void rf_registry_watch(struct rf_registry *r, enum rf_cred_kind kind,
		       void (*told)(void *arg, const char *device, struct rf_str key, bool bound), void *arg)
{
	pthread_mutex_lock(&r->mutex);
	r->watched = kind;
	r->told = told;
	r->told_arg = arg;
	pthread_mutex_unlock(&r->mutex);
}

int rf_registry_deny(struct rf_registry *r, enum rf_cred_kind kind, struct rf_str key, bool deny)
{
	if (key.n == 0 || key.n > RF_CRED_MAX)
		return RF_E_RANGE;
	pthread_mutex_lock(&r->mutex);
	struct rf_credential *c = find_cred(r, kind, key);
	if (!c && deny)
		c = cred_add(r, kind, key, NULL);
	if (c)
		atomic_store_explicit(&c->denied, deny, memory_order_release);
	if (c && !deny && !c->device)
		cred_drop(r, c);
	denials_changed(r);
	pthread_mutex_unlock(&r->mutex);
	return c || !deny ? RF_OK : RF_E_NOMEM;
}

int rf_registry_pin(struct rf_registry *r, enum rf_cred_kind kind, struct rf_str key, const uint8_t pin[RF_PIN_LEN],
		    bool *ret_new)
{
	struct rf_credential *c = find_cred(r, kind, key);
	if (!c)
		return RF_E_NOT_FOUND;
	*ret_new = false;
	if (!atomic_load_explicit(&c->pinned, memory_order_acquire)) {
		pthread_mutex_lock(&r->mutex);
		if (!atomic_load(&c->pinned)) {
			memcpy(c->pin, pin, RF_PIN_LEN);
			atomic_store_explicit(&c->pinned, true, memory_order_release);
			*ret_new = true;
		}
		pthread_mutex_unlock(&r->mutex);
	}
	return memcmp(c->pin, pin, RF_PIN_LEN) == 0 ? RF_OK : RF_E_CONFLICT;
}

int rf_registry_class_slot(struct rf_registry *r, const char class_id[RF_ID_LEN + 1], uint16_t *ret)
{
	int rc = RF_OK;
	pthread_mutex_lock(&r->mutex);
	size_t i = 0;
	while (i < r->class_count && memcmp(r->classes[i], class_id, RF_ID_LEN) != 0)
		i++;
	if (i == MAX_CLASSES)
		rc = RF_E_FULL;
	else
		*ret = (uint16_t)i;
	if (i == r->class_count && rc == RF_OK)
		memcpy(r->classes[r->class_count++], class_id, RF_ID_LEN + 1);
	pthread_mutex_unlock(&r->mutex);
	return rc;
}

size_t rf_registry_class_slots(struct rf_registry *r)
{
	pthread_mutex_lock(&r->mutex);
	size_t n = r->class_count;
	pthread_mutex_unlock(&r->mutex);
	return n;
}

void rf_registry_each(struct rf_registry *r, bool (*each)(struct rf_device *d, void *arg), void *arg)
{
	struct cds_lfht_iter iter;
	rcu_read_lock();
	cds_lfht_first(r->devices, &iter);
	for (struct cds_lfht_node *n; (n = cds_lfht_iter_get_node(&iter)); cds_lfht_next(r->devices, &iter))
		if (!each(RF_CONTAINER(n, struct rf_device, node), arg))
			break;
	rcu_read_unlock();
}

static bool drop_each(struct rf_device *d, void *arg)
{
	device_drop(arg, d);
	return true;
}

static void drop_denied(struct rf_registry *r)
{
	struct cds_lfht_iter iter;
	rcu_read_lock();
	cds_lfht_first(r->credentials, &iter);
	for (struct cds_lfht_node *n; (n = cds_lfht_iter_get_node(&iter)); cds_lfht_next(r->credentials, &iter))
		cred_drop(r, RF_CONTAINER(n, struct rf_credential, node));
	rcu_read_unlock();
}

void rf_registry_free(struct rf_registry *r)
{
	if (!r)
		return;
	if (r->devices && r->credentials) {
		rf_registry_each(r, drop_each, r);
		drop_denied(r);
		rcu_barrier();
	}
	if (r->devices)
		cds_lfht_destroy(r->devices, NULL);
	if (r->credentials)
		cds_lfht_destroy(r->credentials, NULL);
	pthread_mutex_destroy(&r->mutex);
	free(r->classes);
	free(r);
}

size_t rf_registry_count(const struct rf_registry *r) { return atomic_load(&r->count); }
const char *rf_device_id(const struct rf_device *d) { return d->id; }
enum rf_device_state rf_device_state(const struct rf_device *d) { return atomic_load(&d->state); }

bool rf_device_turn(struct rf_device *d, enum rf_device_state from, enum rf_device_state to)
{
	uint8_t was = (uint8_t)from;
	return atomic_compare_exchange_strong(&d->state, &was, (uint8_t)to);
}

uint16_t rf_device_class_slot(const struct rf_device *d) { return atomic_load(&d->class_slot); }
const struct rf_device_text *rf_device_text(const struct rf_device *d) { return atomic_load(&d->text); }
int64_t rf_device_created(const struct rf_device *d) { return d->created_s; }
struct rf_device_use *rf_device_use(struct rf_device *d) { return &d->use; }

bool rf_use_enter(_Atomic uint32_t *counter, uint32_t max)
{
	uint32_t now = atomic_load_explicit(counter, memory_order_relaxed);
	do
		if (max && now >= max)
			return false;
	while (!atomic_compare_exchange_weak_explicit(counter, &now, now + 1, memory_order_relaxed,
						      memory_order_relaxed));
	return true;
}

void rf_use_leave(_Atomic uint32_t *counter)
{
	atomic_fetch_sub_explicit(counter, 1, memory_order_relaxed);
}

void rf_registry_thread_start(void) { rcu_register_thread(); }
void rf_registry_thread_stop(void) { rcu_unregister_thread(); }

void rf_registry_quiet(void *unused, bool online)
{
	(void)unused;
	if (online)
		rcu_thread_online();
	else
		rcu_thread_offline();
}
