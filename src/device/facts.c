/* device/facts: see facts.h. */
#include "device/facts.h"

static bool str(struct rf_val *ret, struct rf_str s)
{
	*ret = rf_val_str(s);
	return true;
}

static bool tags(const struct rf_device_text *t, struct rf_arena *a, struct rf_val *ret)
{
	struct rf_val *v = rf_arena_array(a, t->tag_count, sizeof *v);
	for (uint16_t i = 0; v && i < t->tag_count; i++)
		v[i] = rf_val_str(t->tags[i]);
	*ret = rf_val_array(v, v ? t->tag_count : 0);
	return v != NULL;
}

bool rf_device_fact(const struct rf_device *d, struct rf_str class_name, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	if (f == RF_F_DEVICE_KNOWN) {
		*ret = rf_val_bool(d != NULL);
		return true;
	}
	if (!d)
		return false;
	const struct rf_device_text *t = rf_device_text(d);
	switch (f) {
	case RF_F_DEVICE_ID: return str(ret, rf_str_z(rf_device_id(d)));
	case RF_F_DEVICE_NAME: return str(ret, t->name);
	case RF_F_DEVICE_CLASS: return class_name.n && str(ret, class_name);
	case RF_F_DEVICE_MODEL: return str(ret, t->model);
	case RF_F_DEVICE_FIRMWARE: return t->firmware.n && str(ret, t->firmware);
	case RF_F_DEVICE_OWNER: return str(ret, t->owner);
	case RF_F_DEVICE_STATE: return str(ret, rf_str_z(rf_device_state_name(rf_device_state(d))));
	case RF_F_DEVICE_TAGS: return tags(t, a, ret);
	case RF_F_DEVICE_CREATED: *ret = rf_val_int(rf_device_created(d)); return true;
	default: return false;
	}
}

static bool get(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_val *ret)
{
	const struct rf_device_facts *d = ctx;
	return rf_device_fact(d->device, d->class_name, arena, f, ret);
}

const struct rf_facts_ops rf_device_facts_ops = { .get = get };
