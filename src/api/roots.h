/* api/roots: what other resources need of uploaded certificates. */
#pragma once
#include "api/call.h"

/* Check the document of an upload and set what is computed. Findings point at `pointer`. */
int rf_root_check(struct rf_api_call *c, json_t *doc, const char *pointer);
/* Make the hosts of the zone that are associated with `root` ("": our device CA) these. In a transaction. */
int rf_hosts_set(struct rf_api_call *c, const char *root, const json_t *hostnames, const char *pointer);
/* Their names, an array. */
int rf_hosts_get(struct rf_api_call *c, const char *root, json_t **ret);
/* RF_OK when it is the zone's name or below it; a finding otherwise. */
int rf_host_in_zone(struct rf_api_call *c, const char *host, const char *pointer);
