/* The way of a device seen first, or of the first key under a device's identifier: a worker puts it into the registry and
 * calls rf_devices_event -> the event waits under a lock, one message wakes the control loop -> all that wait become
 * objects in one transaction -> those that come in the PAUSE_NS after it become one together: most of what a transaction
 * costs is the pages that it writes, and those of many devices are mostly the same. Who asks the API finds all of them.
 * What belongs to no device is only listed, in memory, by certificate.
 * A device that a rule or its own attack moved to quarantine comes the same way, and is kept in a transaction of its own with
 * that as actor; then its connections end.
 *
 * Invariants: the registry may hold a device that the state does not have yet, for no longer than PAUSE_NS and a commit
 * take; never the reverse for longer than a commit takes. While it rests, the timer is set.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/enc.h"
#include "ctl/devices.h"
#include "ctl/doc.h"
#include "ctl/flat.h"
#include "records/counters.h"
#include "records/log.h"

enum { PAUSE_NS = 50000000, PAUSE_EVENTS = 4096 /* and no longer than so many take */ };

struct waiting {
	struct rf_node node;
	struct rf_identity_event ev;
};

struct unknown {
	struct rf_map_node by_sha;
	struct rf_node age; /* oldest first */
	struct rf_identity_event ev;
	int64_t last_s;
	uint64_t count;
};

struct rf_devices {
	struct rf_ctl *c;
	pthread_mutex_t mutex; /* guards all below */
	struct rf_node waiting;
	size_t waiting_count;
	bool posted, resting;
	struct rf_msg msg;
	struct rf_timer timer; /* of the control loop alone */
	struct rf_map unknown;
	struct rf_node unknown_age;
};

/* --- from the state to the registry --- */

static const char *const kind_names[] = { "ski", "fingerprint", "name", "serial", "token", "address" };

/* A credential's name is "kind:hex of the registry's key". */
static bool read_credential(const char *name, enum rf_cred_kind *ret_kind, uint8_t key[RF_CRED_MAX], size_t *ret_n)
{
	struct rf_str rest = rf_str_z(name), kind;
	if (!rf_str_split(&rest, ':', &kind))
		return false;
	ssize_t n = rf_unhex(rest, key, RF_CRED_MAX);
	for (size_t i = 0; n > 0 && i < sizeof kind_names / sizeof *kind_names; i++)
		if (rf_str_eq(kind, rf_str_z(kind_names[i]))) {
			*ret_kind = (enum rf_cred_kind)i;
			*ret_n = (size_t)n;
			return true;
		}
	return false;
}

enum { AHEAD = 8 /* devices fetched before they are looked at */, TAGS_MAX = 64, CREDENTIALS_MAX = 64, PIN_HEX = 2 * RF_PIN_LEN + 1 };

/* What the document says, beside what spec has already. */
static int set_spec(struct rf_ctl *c, struct rf_device_spec *spec, struct rf_str class_id, struct rf_str state, struct rf_err *e)
{
	rf_device_state_parse(state, &spec->state);
	if (class_id.n == RF_ID_LEN) {
		char class[RF_ID_LEN + 1] = "";
		memcpy(class, class_id.p, RF_ID_LEN);
		if (rf_registry_class_slot(c->devices, class, &spec->class_slot) != RF_OK)
			return rf_fail(e, RF_E_FULL, "too many classes");
	}
	return RF_OK;
}

static struct rf_device_spec new_spec(const char *id, const char *name, int64_t created_s, const struct rf_str *tags)
{
	struct rf_device_spec spec = { .class_slot = UINT16_MAX, .name = rf_str_z(name), .tags = tags, .created_s = created_s };
	memcpy(spec.id, id, strnlen(id, RF_ID_LEN));
	return spec;
}

/* `spec` points into the document and `tags`. */
static int parsed(struct rf_ctl *c, const json_t *doc, struct rf_str tags[TAGS_MAX], struct rf_device_spec *spec, struct rf_err *e)
{
	const json_t *list = json_object_get(doc, "tags");
	spec->model = doc_str(doc, "model");
	spec->firmware = doc_str(doc, "firmware");
	spec->owner = doc_str(doc, "owner");
	for (size_t i = 0; i < json_array_size(list) && i < TAGS_MAX; i++)
		tags[spec->tag_count++] = doc_at(list, i);
	return set_spec(c, spec, doc_str(doc, "class_id"), doc_str(doc, "state"), e);
}

/* Devices stand in order of creation, and so do their credentials: whose the next one is is mostly known without a look-up. Nobody
 * removes a device while all are loaded. */
struct loading {
	struct rf_ctl *c;
	struct rf_err *e;
	size_t rows;
	struct rf_load *load;
	struct rf_device **order;
	size_t count, cap, at;
};

/* Memory and tables that wait for this thread may go on. */
static void breathe(struct loading *l)
{
	if (++l->rows % 1024)
		return;
	rf_registry_quiet(NULL, false);
	rf_registry_quiet(NULL, true);
}

static int loaded(struct loading *l, const struct rf_device_spec *spec)
{
	struct rf_device *d = NULL;
	int rc = rf_load_device(l->load, spec, &d);
	if (rc == RF_OK && l->count < l->cap)
		l->order[l->count++] = d;
	return rc == RF_OK ? rc : rf_fail(l->e, rc, "device %s cannot be loaded: %s", spec->id, rf_code_sentence(rc));
}

static int load_device(const struct rf_raw_object *o, void *arg)
{
	struct loading *l = arg;
	breathe(l);
	struct rf_str tags[TAGS_MAX], class_id = { 0 }, state = { 0 };
	struct rf_device_spec spec = new_spec(o->id, o->name, o->created_s, tags);
	const struct rf_flat_want wants[] = {
		{ .name = "class_id", .text = &class_id }, { .name = "state", .text = &state }, { .name = "model", .text = &spec.model },
		{ .name = "firmware", .text = &spec.firmware }, { .name = "owner", .text = &spec.owner },
		{ .name = "tags", .items = tags, .max = TAGS_MAX, .count = &spec.tag_count },
	};
	int rc;
	if (rf_flat_read(o->doc, wants, sizeof wants / sizeof *wants)) {
		rc = set_spec(l->c, &spec, class_id, state, l->e);
		return rc == RF_OK ? loaded(l, &spec) : rc;
	}
	spec = new_spec(o->id, o->name, o->created_s, tags);
	json_t *doc = json_loadb(o->doc.p, o->doc.n, 0, NULL);
	rc = parsed(l->c, doc, tags, &spec, l->e);
	if (rc == RF_OK)
		rc = loaded(l, &spec);
	json_decref(doc);
	return rc;
}

/* NULL: there is none by that id. */
static struct rf_device *whose(struct loading *l, const char *id)
{
	if (l->at + AHEAD < l->count)
		__builtin_prefetch(rf_device_id(l->order[l->at + AHEAD]));
	for (size_t i = 0; i < 2 && l->at + i < l->count; i++)
		if (strcmp(rf_device_id(l->order[l->at + i]), id) == 0)
			return l->order[l->at += i];
	return rf_device_find(l->c->devices, rf_str_z(id));
}

static bool read_hex(struct rf_str hex, uint8_t to[RF_PIN_LEN])
{
	return rf_unhex(hex, to, RF_PIN_LEN) == RF_PIN_LEN;
}

static void pin(struct rf_ctl *c, enum rf_cred_kind kind, struct rf_str key, struct rf_str hex)
{
	uint8_t bytes[RF_PIN_LEN];
	bool new;
	if (read_hex(hex, bytes))
		rf_registry_pin(c->devices, kind, key, bytes, &new);
}

/* The key that a credential is pinned to; "" where none has been seen yet. */
static struct rf_str read_pin(struct rf_str text, char to[PIN_HEX])
{
	struct rf_str hex = { 0 };
	const struct rf_flat_want want = { .name = "pin", .text = &hex };
	json_t *doc = NULL;
	if (!rf_flat_read(text, &want, 1)) {
		doc = json_loadb(text.p, text.n, 0, NULL);
		hex = doc_str(doc, "pin");
	}
	if (hex.n >= PIN_HEX)
		hex.n = 0;
	memcpy(to, hex.n ? hex.p : "", hex.n);
	to[hex.n] = '\0';
	json_decref(doc);
	return rf_str_z(to);
}

static int load_credential(const struct rf_raw_object *o, void *arg)
{
	struct loading *l = arg;
	enum rf_cred_kind kind;
	uint8_t key[RF_CRED_MAX], bytes[RF_PIN_LEN];
	char hex[PIN_HEX];
	size_t n;
	breathe(l);
	struct rf_device *d = whose(l, o->parent);
	if (!d || !read_credential(o->name, &kind, key, &n))
		return RF_OK;
	bool pinned = read_hex(read_pin(o->doc, hex), bytes);
	int rc = rf_load_credential(l->load, d, kind, (struct rf_str){ (const char *)key, n }, pinned ? bytes : NULL);
	return rc == RF_E_NOMEM ? rf_fail(l->e, rc, "no memory for the credentials of devices") : RF_OK;
}

static int deny(struct rf_ctl *c, const json_t *doc, struct rf_err *e)
{
	struct rf_credkey key;
	struct rf_str issuer = doc_str(doc, "issuer_ski"), serial = doc_str(doc, "serial_number");
	if (rf_credkey_serial(issuer, serial, &key) != RF_OK)
		return RF_OK;
	bool revoked = doc_is(doc, "status", "revoked");
	int rc = rf_registry_deny(c->devices, RF_CRED_SERIAL, rf_credkey_str(&key), revoked);
	return rc == RF_OK ? rc : rf_fail(e, rc, "no memory to deny a revoked certificate");
}

static int load_certificate(const struct rf_object *o, void *arg)
{
	struct loading *l = arg;
	return deny(l->c, o->doc, l->e);
}

static int settled(struct loading *l)
{
	int rc = rf_load_settle(l->load);
	return rc == RF_OK ? rc : rf_fail(l->e, rc, "the devices cannot be loaded: %s", rf_code_sentence(rc));
}

static int load_all(struct loading *l)
{
	struct rf_store *s = l->c->store;
	struct rf_store_query all = { 0 }, revoked = { .match = { { "status", "revoked" } } };
	int rc = rf_store_scan(s, RF_KIND_DEVICE, &all, load_device, l, l->e);
	if (rc == RF_OK)
		rc = settled(l);
	if (rc == RF_OK)
		rc = rf_store_scan(s, RF_KIND_CREDENTIAL, &all, load_credential, l, l->e);
	if (rc == RF_OK)
		rc = settled(l);
	if (rc == RF_OK)
		rc = rf_store_list(s, RF_KIND_CLIENT_CERT, &revoked, load_certificate, l, NULL, l->e);
	return rc;
}

int rf_devices_load(struct rf_ctl *c, struct rf_err *e)
{
	struct loading l = { .c = c, .e = e };
	struct rf_store_query all = { 0 };
	size_t credentials = 0;
	int rc = rf_store_count(c->store, RF_KIND_DEVICE, &all, &l.cap, e);
	if (rc == RF_OK)
		rc = rf_store_count(c->store, RF_KIND_CREDENTIAL, &all, &credentials, e);
	if (rc == RF_OK) {
		l.order = malloc((l.cap + 1) * sizeof *l.order);
		l.load = rf_load_new(c->devices, l.cap, credentials);
		rc = l.order && l.load ? load_all(&l) : rf_fail(e, RF_E_NOMEM, "no memory to load the devices");
	}
	rf_load_free(l.load);
	free(l.order);
	return rc;
}

struct credentials {
	struct rf_cred_ref refs[CREDENTIALS_MAX];
	uint8_t keys[CREDENTIALS_MAX][RF_CRED_MAX];
	char pins[CREDENTIALS_MAX][PIN_HEX];
	size_t n;
};

static int collect(const struct rf_raw_object *o, void *arg)
{
	struct credentials *v = arg;
	size_t len;
	if (v->n < CREDENTIALS_MAX && read_credential(o->name, &v->refs[v->n].kind, v->keys[v->n], &len)) {
		v->refs[v->n].key = (struct rf_str){ (const char *)v->keys[v->n], len };
		read_pin(o->doc, v->pins[v->n]);
		v->n++;
	}
	return RF_OK;
}

int rf_devices_sync(struct rf_ctl *c, const char *id, bool *ret_sever, struct rf_err *e)
{
	RF_OBJECT_AUTO o = { 0 };
	struct credentials v = { .n = 0 };
	struct rf_store_query of_device = { .parent = id };
	int rc = rf_store_get(c->store, RF_KIND_DEVICE, id, &o, e);
	if (rc == RF_E_NOT_FOUND) {
		*ret_sever = rf_registry_del(c->devices, id) == RF_OK;
		return RF_OK;
	}
	struct rf_str tags[TAGS_MAX];
	struct rf_device_spec spec = new_spec(o.id, o.name, o.created_s, tags);
	if (rc == RF_OK)
		rc = parsed(c, o.doc, tags, &spec, e);
	if (rc == RF_OK)
		rc = rf_registry_put(c->devices, &spec, e);
	if (rc == RF_OK)
		rc = rf_store_scan(c->store, RF_KIND_CREDENTIAL, &of_device, collect, &v, e);
	if (rc == RF_OK && rf_registry_credentials(c->devices, id, v.refs, v.n) != RF_OK)
		rc = rf_fail(e, RF_E_NOMEM, "no memory for the credentials of device %s", id);
	for (size_t i = 0; rc == RF_OK && i < v.n; i++)
		pin(c, v.refs[i].kind, v.refs[i].key, rf_str_z(v.pins[i]));
	*ret_sever = rc != RF_OK || doc_is(o.doc, "state", "revoked");
	return rc;
}

int rf_devices_sync_certificate(struct rf_ctl *c, const char *id, struct rf_err *e)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_store_get(c->store, RF_KIND_CLIENT_CERT, id, &o, e);
	return rc == RF_E_NOT_FOUND ? RF_OK : rc == RF_OK ? deny(c, o.doc, e) : rc;
}

/* --- from workers to the state --- */

static const char *const kinds[] = { "ski", "fingerprint", "name" }; /* of enum rf_bind */

/* The credential's name; false: it has none. */
static bool credential_of(const struct rf_identity_event *ev, struct rf_object *ret)
{
	struct rf_credkey key;
	int rc = ev->bind == RF_BIND_SKI ? rf_credkey_ski(rf_str_z(ev->bind_value), &key)
		 : ev->bind == RF_BIND_FINGERPRINT ? rf_credkey_fingerprint(rf_str_z(ev->bind_value), &key)
		 : rf_credkey_name(rf_str_z(ev->root_id), rf_str_z(ev->bind_value), &key);
	char hex[2 * RF_CREDKEY_MAX + 1];
	if (rc != RF_OK)
		return false;
	rf_hex(key.b, key.n, hex);
	snprintf(ret->name, sizeof ret->name, "%s:%s", kinds[ev->bind], hex);
	return true;
}

/* The first key under an identifier that was bound without one. Who is gone meanwhile needs none. */
static int keep_pin(struct rf_ctl *c, const struct rf_identity_event *ev, struct rf_err *e)
{
	RF_OBJECT_AUTO o = { 0 };
	struct rf_object named = { 0 };
	if (!credential_of(ev, &named))
		return RF_OK;
	int rc = rf_store_find(c->store, RF_KIND_CREDENTIAL, NULL, named.name, &o, e);
	if (rc == RF_E_NOT_FOUND || (rc == RF_OK && strcmp(o.parent, ev->device) != 0))
		return RF_OK;
	if (rc == RF_OK && json_object_set_new(o.doc, "pin", json_string(ev->pin)) != 0)
		rc = rf_fail(e, RF_E_NOMEM, "no memory for the key of a device");
	return rc == RF_OK ? rf_store_put(c->store, RF_KIND_CREDENTIAL, &o, 0, e) : rc;
}

static int keep_one(struct rf_ctl *c, const struct rf_identity_event *ev, struct rf_err *e)
{
	RF_OBJECT_AUTO device = { 0 };
	RF_OBJECT_AUTO cred = { 0 };
	if (ev->pinned)
		return keep_pin(c, ev, e);
	if (!credential_of(ev, &cred))
		return rf_fail(e, RF_E_INVALID, "a device seen first has no usable identifier");
	memcpy(device.id, ev->device, sizeof device.id);
	memcpy(device.parent, c->account_id, sizeof device.parent);
	snprintf(device.name, sizeof device.name, "%s", ev->name);
	device.doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:[], s:s}", "name", ev->name, "class_id", ev->class_id, "state", "active", "model", "",
			       "firmware", "", "owner", "", "tags", "reason", "first sight");
	int rc = rf_store_put(c->store, RF_KIND_DEVICE, &device, 0, e);
	memcpy(cred.parent, ev->device, sizeof cred.parent);
	cred.doc = json_pack("{s:s, s:s, s:s, s:s}", "kind", kinds[ev->bind], "value", ev->bind_value, "root_id",
			     strcmp(ev->root_id, RF_TRUST_OWN) == 0 ? "" : ev->root_id, "comment", "first sight");
	if (ev->bind == RF_BIND_SKI)
		json_object_set_new(cred.doc, "pin", json_string(ev->pin));
	return rc == RF_OK ? rf_store_put(c->store, RF_KIND_CREDENTIAL, &cred, 0, e) : rc;
}

static void keep_all(struct rf_devices *d, struct rf_node *batch)
{
	struct rf_err e = { 0 };
	size_t n = 0;
	RF_LIST_EACH(it, batch)
		n += !RF_CONTAINER(it, struct waiting, node)->ev.quarantined;
	if (!n)
		return;
	int rc = rf_store_begin(d->c->store, "edge", &e);
	RF_LIST_EACH(it, batch)
		if (rc == RF_OK && !RF_CONTAINER(it, struct waiting, node)->ev.quarantined)
			rc = keep_one(d->c, &RF_CONTAINER(it, struct waiting, node)->ev, &e);
	if (rc == RF_OK)
		rc = rf_store_commit(d->c->store, &e);
	if (rc == RF_OK)
		return;
	rf_store_rollback(d->c->store);
	rf_log(RF_LOG_ERROR, "devices", "devices seen first were not kept and will be forgotten at the next start: %s", e.text);
}

static const char *by(const struct rf_identity_event *ev) { return ev->attack ? "attack" : "rule"; }

static int quarantine(struct rf_ctl *c, const struct rf_identity_event *ev, bool *ret_new, struct rf_err *e)
{
	RF_OBJECT_AUTO o = { 0 };
	char reason[320];
	int rc = rf_store_get(c->store, RF_KIND_DEVICE, ev->device, &o, e);
	if (rc == RF_E_NOT_FOUND || (rc == RF_OK && !doc_is(o.doc, "state", "active")))
		return RF_OK; /* it has gone, or is no better off already */
	snprintf(reason, sizeof reason, "%s %s%s%s", by(ev), ev->rule, ev->subject[0] ? ": " : "", ev->subject);
	if (rc == RF_OK && (json_object_set_new(o.doc, "state", json_string("quarantined")) != 0 ||
			    json_object_set_new(o.doc, "reason", json_string(reason)) != 0))
		rc = rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	if (rc == RF_OK)
		rc = rf_store_put(c->store, RF_KIND_DEVICE, &o, 0, e);
	if (rc == RF_OK)
		rc = rf_ctl_touch(c, RF_KIND_DEVICE, ev->device, e);
	*ret_new = rc == RF_OK;
	return rc;
}

static void keep_quarantine(struct rf_ctl *c, const struct rf_identity_event *ev)
{
	struct rf_err e = { 0 };
	char actor[sizeof ev->rule + 8];
	bool new = false;
	snprintf(actor, sizeof actor, "%s:%s", by(ev), ev->rule);
	int rc = rf_ctl_begin(c, actor, &e);
	if (rc == RF_OK)
		rc = quarantine(c, ev, &new, &e);
	if (rc == RF_OK)
		rc = rf_ctl_commit(c, false, &e);
	if (rc == RF_OK && new) {
		rf_log(RF_LOG_WARN, "devices", "device %s is in quarantine by %s %s", ev->device, by(ev), ev->rule);
	} else if (rc != RF_OK) {
		rf_ctl_abort(c);
		rf_log(RF_LOG_ERROR, "devices", "device %s is in quarantine by %s %s only until the next start: %s", ev->device,
		       by(ev), ev->rule, e.text);
	}
	rf_ctl_sever(c, ev->device);
}

void rf_devices_keep(struct rf_devices *d)
{
	struct rf_node batch;
	rf_list_init(&batch);
	pthread_mutex_lock(&d->mutex);
	RF_LIST_EACH(it, &d->waiting) {
		rf_list_del(it);
		rf_list_push(&batch, it);
	}
	d->waiting_count = 0;
	pthread_mutex_unlock(&d->mutex);
	keep_all(d, &batch);
	RF_LIST_EACH(it, &batch)
		if (RF_CONTAINER(it, struct waiting, node)->ev.quarantined)
			keep_quarantine(d->c, &RF_CONTAINER(it, struct waiting, node)->ev);
	RF_LIST_EACH(it, &batch)
		free(RF_CONTAINER(it, struct waiting, node));
}

static void take(struct rf_loop *loop, struct rf_msg *msg)
{
	struct rf_devices *d = RF_CONTAINER(msg, struct rf_devices, msg);
	pthread_mutex_lock(&d->mutex);
	d->posted = false;
	d->resting = true;
	pthread_mutex_unlock(&d->mutex);
	rf_devices_keep(d);
	rf_timer_set(loop, &d->timer, rf_loop_now(loop) + PAUSE_NS);
}

static void rested(struct rf_timer *t)
{
	struct rf_devices *d = RF_CONTAINER(t, struct rf_devices, timer);
	pthread_mutex_lock(&d->mutex);
	bool more = d->resting = d->waiting_count > 0;
	pthread_mutex_unlock(&d->mutex);
	if (!more)
		return;
	rf_devices_keep(d);
	rf_timer_set(d->c->loop, t, rf_loop_now(d->c->loop) + PAUSE_NS);
}

struct rf_devices *rf_devices_new(struct rf_ctl *c)
{
	struct rf_devices *d = calloc(1, sizeof *d);
	if (!d)
		return NULL;
	d->c = c;
	d->msg.run = take;
	d->timer.fire = rested;
	pthread_mutex_init(&d->mutex, NULL);
	rf_list_init(&d->waiting);
	rf_list_init(&d->unknown_age);
	return d;
}

static void forget(struct rf_devices *d, struct unknown *u)
{
	rf_map_del(&d->unknown, &u->by_sha);
	rf_list_del(&u->age);
	free(u);
}

void rf_devices_free(struct rf_devices *d)
{
	if (!d)
		return;
	if (d->resting)
		rf_timer_stop(d->c->loop, &d->timer);
	keep_all(d, &d->waiting);
	RF_LIST_EACH(it, &d->waiting)
		free(RF_CONTAINER(it, struct waiting, node));
	RF_LIST_EACH(it, &d->unknown_age)
		forget(d, RF_CONTAINER(it, struct unknown, age));
	rf_map_fini(&d->unknown);
	pthread_mutex_destroy(&d->mutex);
	free(d);
}

static void list_unknown(struct rf_devices *d, const struct rf_identity_event *ev)
{
	struct rf_map_node *there = rf_map_find(&d->unknown, rf_str_z(ev->sha256));
	struct unknown *u = there ? RF_CONTAINER(there, struct unknown, by_sha) : calloc(1, sizeof *u);
	if (!u)
		return;
	if (there)
		rf_list_del(&u->age);
	else {
		if (d->unknown.count >= RF_DEVICES_UNKNOWN_MAX)
			forget(d, RF_CONTAINER(rf_list_first(&d->unknown_age), struct unknown, age));
		u->ev = *ev;
		rf_map_add(&d->unknown, &u->by_sha, rf_str_z(u->ev.sha256));
	}
	u->last_s = ev->at_s;
	u->count++;
	rf_list_push(&d->unknown_age, &u->age);
}

bool rf_devices_event(void *devices, const struct rf_identity_event *ev)
{
	struct rf_devices *d = devices;
	struct waiting *w = ev->unknown ? NULL : malloc(sizeof *w);
	bool post = false, taken = ev->unknown;
	pthread_mutex_lock(&d->mutex);
	if (ev->unknown)
		list_unknown(d, ev);
	if (w && d->waiting_count < RF_DEVICES_EVENTS_MAX) {
		*w = (struct waiting){ .ev = *ev };
		rf_list_push(&d->waiting, &w->node);
		d->waiting_count++;
		post = !d->posted && (!d->resting || ev->quarantined || d->waiting_count >= PAUSE_EVENTS);
		d->posted |= post;
		taken = true;
		w = NULL;
	}
	pthread_mutex_unlock(&d->mutex);
	free(w);
	if (post)
		rf_loop_post(d->c->loop, &d->msg);
	if (!taken)
		rf_count(RF_C_EVENTS_LOST);
	return taken;
}

static json_t *unknown_json(const struct unknown *u)
{
	char first[RF_RFC3339_SIZE], last[RF_RFC3339_SIZE];
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "subject", u->ev.subject, "ski", u->ev.ski,
			 "fingerprint_sha256", u->ev.sha256, "serial_number", u->ev.serial, "root_id",
			 strcmp(u->ev.root_id, RF_TRUST_OWN) == 0 ? "device_ca" : u->ev.root_id, "first_seen",
			 rf_rfc3339(u->ev.at_s * (int64_t)RF_NS_S, 0, first), "last_seen",
			 rf_rfc3339(u->last_s * (int64_t)RF_NS_S, 0, last), "connections", (json_int_t)u->count);
}

int rf_devices_unknown(struct rf_devices *d, size_t limit, json_t *array, struct rf_err *e)
{
	int rc = RF_OK;
	pthread_mutex_lock(&d->mutex);
	for (struct rf_node *it = d->unknown_age.prev; it != &d->unknown_age && limit && rc == RF_OK; it = it->prev, limit--)
		if (json_array_append_new(array, unknown_json(RF_CONTAINER(it, struct unknown, age))) != 0)
			rc = rf_fail(e, RF_E_NOMEM, "no memory for the list of unknown certificates");
	pthread_mutex_unlock(&d->mutex);
	return rc;
}
