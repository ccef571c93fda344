/* policy/field: the table of fields, phases and actions (tbl/fields.def, phases.def, actions.def). */
#pragma once
#include "base/err.h"
#include "policy/value.h"

enum rf_field {
#define RF_NEED(name, sentence)
#define RF_FIELD(name, text, type, phases, absent, need, doc) RF_F_##name,
#define RF_FIELD_ALIAS(alias, name, deprecated)
#include "tbl/fields.def"
#undef RF_NEED
#undef RF_FIELD
#undef RF_FIELD_ALIAS
	RF_FIELD_COUNT
};

/* What an environment supplies: a set of 1u << RF_NEED_*. */
enum rf_need {
#define RF_NEED(name, sentence) RF_NEED_##name,
#define RF_FIELD(name, text, type, phases, absent, need, doc)
#define RF_FIELD_ALIAS(alias, name, deprecated)
#include "tbl/fields.def"
#undef RF_NEED
#undef RF_FIELD
#undef RF_FIELD_ALIAS
	RF_NEED_COUNT
};

enum rf_phase {
#define RF_PHASE(name, text, letters, can, doc) RF_PHASE_##name,
#define RF_PHASE_ALIAS(alias, name, doc)
#include "tbl/phases.def"
#undef RF_PHASE
#undef RF_PHASE_ALIAS
	RF_PHASE_COUNT
};

enum rf_action {
#define RF_ACTION(name, text, kind, doc) RF_ACT_##name,
#include "tbl/actions.def"
#undef RF_ACTION
	RF_ACTION_COUNT
};

/* What the letters of the tables stand for: facts of a connection, of a request, of its body while it is held, of a
 * response, of a packet. A phase has some, a field is known in a phase that shares a letter with it. */
enum rf_plane { RF_ON_0 = 0, RF_ON_C = 1, RF_ON_H = 2, RF_ON_CH = 3, RF_ON_B = 4, RF_ON_HB = 6, RF_ON_R = 8, RF_ON_HR = 10,
	RF_ON_P = 16, RF_ON_CP = 17, RF_ON_CHP = 19 };

struct rf_field_info {
	const char *name;
	enum rf_type type;
	enum rf_plane planes;
	bool zero;         /* absent means the empty value, not a missing one */
	enum rf_need need;
	const char *doc;
};

struct rf_phase_info {
	const char *name;
	enum rf_plane plane;
	uint32_t actions;  /* 1u << RF_ACT_*; none: takes no rules in this version */
	const char *doc;
};

enum rf_action_kind { RF_KIND_TERMINAL, RF_KIND_PASS, RF_KIND_CHALLENGE, RF_KIND_REFUSED };

struct rf_action_info {
	const char *name;
	enum rf_action_kind kind;
	const char *doc;
};

extern const struct rf_field_info rf_fields[RF_FIELD_COUNT];
extern const char *const rf_needs[RF_NEED_COUNT]; /* what the operator must do, a sentence */
extern const struct rf_phase_info rf_phases[RF_PHASE_COUNT];
extern const struct rf_action_info rf_actions[RF_ACTION_COUNT];

/* By canonical name or alias. -1 when there is none. */
int rf_field_find(struct rf_str name, bool *ret_deprecated);
int rf_action_find(struct rf_str name);

/* By canonical name or alias; fails with the nearest name, or with what is not supported. */
int rf_phase_find(struct rf_str name, enum rf_phase *ret, struct rf_err *e);

/* The nearest name of a field, function or action; NULL when nothing is near. */
const char *rf_field_near(struct rf_str name);
const char *rf_action_near(struct rf_str name);
