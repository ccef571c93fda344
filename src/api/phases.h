/* api/phases: the one name of a phase of rules, whichever of its names was given. */
#pragma once

/* NULL where there is no such phase. Static. */
const char *rf_phase_canonical(const char *name);
