/* api/names: texts whose meaning other parts define: phases of rules, scopes of tokens, templates over certificates. */
#pragma once
#include <stdbool.h>

bool rf_name_is_phase(const char *s);
bool rf_name_is_scope(const char *s);
bool rf_name_is_template(const char *s);
