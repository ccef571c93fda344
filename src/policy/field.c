/* policy/field: the tables of fields, phases and actions as data, and finding a name in them.
 *
 * Names are looked up when rules are compiled, never on a request's path: a walk is enough.
 */
#include "policy/field.h"
#include "base/near.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { ABSENT_MISSING, ABSENT_ZERO };

const struct rf_field_info rf_fields[RF_FIELD_COUNT] = {
#define RF_NEED(name, sentence)
#define RF_FIELD(name, text, type, phases, absent, need, doc) \
	{ text, RF_T_##type, RF_ON_##phases, ABSENT_##absent, RF_NEED_##need, doc },
#define RF_FIELD_ALIAS(alias, name, deprecated)
#include "tbl/fields.def"
#undef RF_NEED
#undef RF_FIELD
#undef RF_FIELD_ALIAS
};

const char *const rf_needs[RF_NEED_COUNT] = {
#define RF_NEED(name, sentence) sentence,
#define RF_FIELD(name, text, type, phases, absent, need, doc)
#define RF_FIELD_ALIAS(alias, name, deprecated)
#include "tbl/fields.def"
#undef RF_NEED
#undef RF_FIELD
#undef RF_FIELD_ALIAS
};

static const struct {
	const char *name;
	enum rf_field field;
	bool deprecated;
} field_aliases[] = {
#define RF_NEED(name, sentence)
#define RF_FIELD(name, text, type, phases, absent, need, doc)
#define RF_FIELD_ALIAS(alias, name, deprecated) { alias, RF_F_##name, deprecated },
#include "tbl/fields.def"
#undef RF_NEED
#undef RF_FIELD
#undef RF_FIELD_ALIAS
};

#define ACT(name) (1u << RF_ACT_##name)

/* Groups of actions of tbl/phases.def. */
enum {
	CAN_NOTHING = 0,
	CAN_PASS = ACT(LOG) | ACT(SKIP),
	CAN_CHALLENGE = ACT(CHALLENGE) | ACT(JS_CHALLENGE) | ACT(MANAGED_CHALLENGE),
	CAN_PACKET = CAN_PASS | ACT(BLOCK) | ACT(ALLOW),
	CAN_GATE = CAN_PACKET | ACT(QUARANTINE),
	CAN_CONFIG = CAN_PASS | ACT(SET_CONFIG),
	CAN_REQUEST = CAN_GATE | CAN_CHALLENGE | ACT(REWRITE) | ACT(REDIRECT),
	CAN_LIMIT = CAN_PASS | CAN_CHALLENGE | ACT(BLOCK) | ACT(RATE_LIMIT) | ACT(QUARANTINE),
	CAN_MANAGED = CAN_GATE | CAN_CHALLENGE,
	CAN_REDIRECT = CAN_PASS | ACT(REDIRECT),
	CAN_TRANSFORM = CAN_PASS | ACT(REWRITE),
	CAN_ERRORS = CAN_PASS | ACT(SERVE_ERROR),
	CAN_RESPONSE = CAN_GATE | ACT(REWRITE) | ACT(SERVE_ERROR) | ACT(COMPRESS),
	CAN_COMPRESSION = CAN_PASS | ACT(COMPRESS),
};

const struct rf_phase_info rf_phases[RF_PHASE_COUNT] = {
#define RF_PHASE(name, text, letters, can, doc) { text, RF_ON_##letters, CAN_##can, doc },
#define RF_PHASE_ALIAS(alias, name, doc)
#include "tbl/phases.def"
#undef RF_PHASE
#undef RF_PHASE_ALIAS
};

static const struct {
	const char *name;
	enum rf_phase phase;
} phase_aliases[] = {
#define RF_PHASE(name, text, letters, can, doc)
#define RF_PHASE_ALIAS(alias, name, doc) { alias, RF_PHASE_##name },
#include "tbl/phases.def"
#undef RF_PHASE
#undef RF_PHASE_ALIAS
};

const struct rf_action_info rf_actions[RF_ACTION_COUNT] = {
#define RF_ACTION(name, text, kind, doc) { text, RF_KIND_##kind, doc },
#include "tbl/actions.def"
#undef RF_ACTION
};

int rf_field_find(struct rf_str name, bool *ret_deprecated)
{
	for (int i = 0; i < RF_FIELD_COUNT; i++)
		if (rf_str_eq(name, rf_str_z(rf_fields[i].name))) {
			*ret_deprecated = false;
			return i;
		}
	for (size_t i = 0; i < COUNT(field_aliases); i++)
		if (rf_str_eq(name, rf_str_z(field_aliases[i].name))) {
			*ret_deprecated = field_aliases[i].deprecated;
			return (int)field_aliases[i].field;
		}
	return -1;
}

int rf_action_find(struct rf_str name)
{
	for (int i = 0; i < RF_ACTION_COUNT; i++)
		if (rf_str_eq(name, rf_str_z(rf_actions[i].name)))
			return i;
	return -1;
}

const char *rf_field_near(struct rf_str name)
{
	const char *names[RF_FIELD_COUNT + COUNT(field_aliases)];
	size_t n = 0;
	for (size_t i = 0; i < RF_FIELD_COUNT; i++)
		names[n++] = rf_fields[i].name;
	for (size_t i = 0; i < COUNT(field_aliases); i++)
		names[n++] = field_aliases[i].name;
	return rf_near(name, names, n);
}

const char *rf_action_near(struct rf_str name)
{
	const char *names[RF_ACTION_COUNT];
	for (size_t i = 0; i < RF_ACTION_COUNT; i++)
		names[i] = rf_actions[i].name;
	return rf_near(name, names, RF_ACTION_COUNT);
}

static const char *phase_near(struct rf_str name)
{
	const char *names[RF_PHASE_COUNT + COUNT(phase_aliases)];
	size_t n = 0;
	for (size_t i = 0; i < RF_PHASE_COUNT; i++)
		names[n++] = rf_phases[i].name;
	for (size_t i = 0; i < COUNT(phase_aliases); i++)
		names[n++] = phase_aliases[i].name;
	return rf_near(name, names, n);
}

int rf_phase_find(struct rf_str name, enum rf_phase *ret, struct rf_err *e)
{
	int found = -1;
	for (int i = 0; i < RF_PHASE_COUNT; i++)
		if (rf_str_eq(name, rf_str_z(rf_phases[i].name)))
			found = i;
	for (size_t i = 0; i < COUNT(phase_aliases); i++)
		if (rf_str_eq(name, rf_str_z(phase_aliases[i].name)))
			found = (int)phase_aliases[i].phase;
	if (found < 0) {
		const char *near = phase_near(name);
		return rf_fail(e, RF_E_UNKNOWN, near ? "unknown phase `%.*s`, did you mean `%s`?" : "unknown phase `%.*s`",
			name.n < 100 ? (int)name.n : 100, name.p, near);
	}
	if (!rf_phases[found].actions)
		return rf_fail(e, RF_E_UNSUPPORTED, "the phase `%s` takes no rules in this version", rf_phases[found].name);
	*ret = (enum rf_phase)found;
	return RF_OK;
}
