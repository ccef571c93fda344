/* ctl/pack_fetch: keeps the pack of patches.url up to date.
 *
 * A thread of its own asks the URL now and then, over HTTPS, whether there is a newer file. What has come is handed to the API on the
 * control thread, as any pack that is installed; there it must be signed, whoever serves it.
 */
#pragma once
#include <jansson.h>
#include "ctl/control.h"

struct rf_api;
struct rf_pack_fetcher;

int rf_pack_fetcher_start(struct rf_ctl *c, struct rf_api *api, struct rf_pack_fetcher **ret, struct rf_err *e);
/* Ask now; the boot file may have changed. Control thread. */
void rf_pack_fetcher_kick(struct rf_pack_fetcher *f);
void rf_pack_fetcher_stop(struct rf_pack_fetcher *f); /* NULL is harmless */
/* {url, last_success, last_error}; NULL where there is no URL, or no memory. */
json_t *rf_pack_fetcher_status(struct rf_pack_fetcher *f);
