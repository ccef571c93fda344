/* api/names: names of rule phases, as the policy's table has them, and templates, as pki compiles them. */
#include "api/names.h"
#include "api/phases.h"
#include "base/str.h"
#include "pki/certtmpl.h"

static const char *const phases[] = {
#define RF_PHASE(id, name, letters, can, doc) name,
#define RF_PHASE_ALIAS(name, id, doc)
#include "tbl/phases.def"
#undef RF_PHASE
#undef RF_PHASE_ALIAS
};
enum {
#define RF_PHASE(id, name, letters, can, doc) PHASE_##id,
#define RF_PHASE_ALIAS(name, id, doc)
#include "tbl/phases.def"
#undef RF_PHASE
#undef RF_PHASE_ALIAS
};
static const struct { const char *alias; int phase; } aliases[] = {
#define RF_PHASE(id, name, letters, can, doc)
#define RF_PHASE_ALIAS(name, id, doc) { name, PHASE_##id },
#include "tbl/phases.def"
#undef RF_PHASE
#undef RF_PHASE_ALIAS
};

const char *rf_phase_canonical(const char *s)
{
	for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
		if (strcmp(phases[i], s) == 0)
			return phases[i];
	for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
		if (strcmp(aliases[i].alias, s) == 0)
			return phases[aliases[i].phase];
	return NULL;
}

bool rf_name_is_phase(const char *s)
{
	return rf_phase_canonical(s) != NULL;
}

bool rf_name_is_template(const char *s)
{
	struct rf_cert_tmpl *t = NULL;
	struct rf_err e;
	if (!*s)
		return true;
	int rc = rf_cert_tmpl_compile(rf_str_z(s), &t, &e);
	rf_cert_tmpl_free(t);
	return rc == RF_OK;
}
