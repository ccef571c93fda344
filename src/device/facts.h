/* device/facts: a device's own fields for rules, device.*, for whoever has the device and the name of its class. */
#pragma once
#include "device/registry.h"
#include "policy/facts.h"

/* False where the field is absent, or not one of a device. Texts are valid until the next quiet point. `device.ski` depends on
 * the connection and is not answered here. */
bool rf_device_fact(const struct rf_device *d, struct rf_str class_name, struct rf_arena *a, enum rf_field f, struct rf_val *ret);

/* Facts that are nothing but a device. */
struct rf_device_facts {
	const struct rf_device *device;
	struct rf_str class_name;
};
extern const struct rf_facts_ops rf_device_facts_ops; /* ctx: struct rf_device_facts */
