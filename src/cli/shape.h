/* cli/shape: what the API's objects look like (tbl/resources.def): for files of apply and for export. */
#pragma once
#include "cli/cli.h"

/* Refuse a member that the shape has not, or that is computed; `at` is the pointer of the object. */
int cli_shape_check(struct cli *c, const char *resource, const json_t *object, const char *at, const char *const *also);
/* Remove what is computed, write-only or at its default, here and in what is nested. */
void cli_shape_strip(const char *resource, json_t *object);
