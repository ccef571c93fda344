/* device/registry_load: many devices and credentials at once, as at a start.
 *
 *	load -> made and put aside -> settle: sorted as the table's own list is, then entered one after the other
 *
 * A table of a million is larger than the caches, and its entries lie anywhere in memory. In the order of the list, which is that of
 * the hashes with their bits reversed, each entry finds the one before it at hand, and those to come can be fetched ahead.
 */
#include <stdlib.h>
#include "base/hash.h"
#include "base/list.h"
#include "base/room.h"
#include "base/way.h"
#include "device/registry_in.h"

enum { GROUPS = 1 << 16, GROUP_SHIFT = 48, AHEAD = 8 };

struct aside {
	uint64_t order;             /* the hash, its bits reversed */
	struct cds_lfht_node *node;
};

struct rf_load {
	struct rf_registry *r;
	struct aside *v;
	size_t n, cap;
	bool credentials;           /* of which kind they are */
};

static uint64_t reversed(uint64_t v)
{
	v = (v >> 1 & 0x5555555555555555) | (v & 0x5555555555555555) << 1;
	v = (v >> 2 & 0x3333333333333333) | (v & 0x3333333333333333) << 2;
	v = (v >> 4 & 0x0f0f0f0f0f0f0f0f) | (v & 0x0f0f0f0f0f0f0f0f) << 4;
	return __builtin_bswap64(v);
}

/* The least power of two that has room; a table's size is one. */
static unsigned long buckets_for(size_t n)
{
	unsigned long size = RF_REGISTRY_BUCKETS_MIN;
	while (size < n && size < RF_REGISTRY_BUCKETS_MAX)
		size *= 2;
	return size;
}

struct rf_load *rf_load_new(struct rf_registry *r, size_t devices, size_t credentials)
{
	struct rf_load *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	l->r = r;
	cds_lfht_resize(r->devices, buckets_for(devices));
	cds_lfht_resize(r->credentials, buckets_for(credentials));
	return l;
}

static int put_aside(struct rf_load *l, bool credentials, uint64_t hash, struct cds_lfht_node *node)
{
	int rc = l->credentials == credentials ? RF_OK : rf_load_settle(l);
	if (rc != RF_OK)
		return rc;
	if (!RF_ROOM(l->v, l->cap, l->n))
		return RF_E_NOMEM;
	l->credentials = credentials;
	l->v[l->n++] = (struct aside){ reversed(hash), node };
	return RF_OK;
}

int rf_load_device(struct rf_load *l, const struct rf_device_spec *spec, struct rf_device **ret)
{
	if (spec->tag_count > UINT16_MAX)
		return RF_E_TOO_LARGE;
	if (rf_registry_count(l->r) + l->n >= l->r->max_devices)
		return RF_E_FULL;
	struct rf_device_text *text = rf_registry_text_new(spec);
	struct rf_device *d = text ? rf_registry_device_new(spec, text) : NULL;
	if (!d) {
		free(text ? RF_CONTAINER(text, struct text_block, text) : NULL);
		return RF_E_NOMEM;
	}
	int rc = put_aside(l, false, rf_hash(rf_str_z(d->id)), &d->node);
	if (rc != RF_OK)
		rf_device_free(d);
	else
		*ret = d;
	return rc;
}

int rf_load_credential(struct rf_load *l, struct rf_device *d, enum rf_cred_kind kind, struct rf_str key, const uint8_t *pin)
{
	if (key.n == 0 || key.n > RF_CRED_MAX)
		return RF_E_RANGE;
	struct rf_credential *c = rf_registry_cred_new(kind, key, d);
	if (!c)
		return RF_E_NOMEM;
	if (pin)
		memcpy(c->pin, pin, RF_PIN_LEN);
	atomic_init(&c->pinned, pin != NULL);
	struct rf_cred_id id = rf_registry_cred_id(c);
	int rc = put_aside(l, true, rf_registry_cred_hash(&id), &c->node);
	if (rc != RF_OK) {
		free(c);
		return rc;
	}
	pthread_mutex_lock(&l->r->mutex);
	rf_registry_cred_link(c); /* now that the device is at hand */
	pthread_mutex_unlock(&l->r->mutex);
	return RF_OK;
}

/* By groups of hashes that are neighbours, which is as good as sorted; in a group as they came. */
static int sort(struct rf_load *l)
{
	struct aside *to = malloc((l->n + 1) * sizeof *to);
	uint32_t *at = calloc(GROUPS + 1, sizeof *at);
	if (!to || !at) {
		free(to);
		free(at);
		return RF_E_NOMEM;
	}
	for (size_t i = 0; i < l->n; i++)
		at[(l->v[i].order >> GROUP_SHIFT) + 1]++;
	for (size_t i = 0; i < GROUPS; i++)
		at[i + 1] += at[i];
	for (size_t i = 0; i < l->n; i++) {
		to[at[l->v[i].order >> GROUP_SHIFT]++] = l->v[i];
		rf_way_give();
	}
	free(at);
	rf_way_free(l->v);
	l->v = to;
	l->cap = l->n + 1;
	return RF_OK;
}

static bool enter_device(struct rf_registry *r, uint64_t hash, struct cds_lfht_node *node)
{
	struct rf_device *d = RF_CONTAINER(node, struct rf_device, node);
	struct rf_str id = { d->id, RF_ID_LEN };
	if (cds_lfht_add_unique(r->devices, (unsigned long)hash, rf_registry_match_id, &id, node) != node)
		return false;
	atomic_fetch_add(&r->count, 1);
	return true;
}

static void leave_out(struct rf_credential *c)
{
	rf_registry_cred_unlink(c);
	free(c);
}

static void enter_credential(struct rf_registry *r, uint64_t hash, struct cds_lfht_node *node)
{
	struct rf_credential *c = RF_CONTAINER(node, struct rf_credential, node);
	struct rf_cred_id id = rf_registry_cred_id(c);
	if (cds_lfht_add_unique(r->credentials, (unsigned long)hash, rf_registry_match_cred, &id, node) != node)
		leave_out(c);
	else
		rf_registry_tell(r, c, true);
}

int rf_load_settle(struct rf_load *l)
{
	int rc = l->n ? sort(l) : RF_OK;
	size_t done = 0;
	pthread_mutex_lock(&l->r->mutex);
	rcu_read_lock();
	for (; rc == RF_OK && done < l->n; done++) {
		if (done + AHEAD < l->n)
			__builtin_prefetch(l->v[done + AHEAD].node, 1);
		uint64_t hash = reversed(l->v[done].order);
		if (l->credentials)
			enter_credential(l->r, hash, l->v[done].node);
		else if (!enter_device(l->r, hash, l->v[done].node))
			rc = RF_E_EXISTS;
		rf_way_give();
	}
	rcu_read_unlock();
	pthread_mutex_unlock(&l->r->mutex);
	if (rc == RF_OK)
		l->n = 0;
	else /* the one that failed stays with those to be freed */
		memmove(l->v, l->v + done - (rc == RF_E_EXISTS), (l->n -= done - (rc == RF_E_EXISTS)) * sizeof *l->v);
	return rc;
}

void rf_load_free(struct rf_load *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->n; i++)
		if (l->credentials)
			leave_out(RF_CONTAINER(l->v[i].node, struct rf_credential, node));
		else
			rf_device_free(RF_CONTAINER(l->v[i].node, struct rf_device, node));
	rf_way_free(l->v);
	free(l);
}
