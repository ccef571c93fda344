/* ctl/tokens: token configurations from the file that the boot file names. As with databases of addresses (geo.c), a reload is
 * refused where the file cannot be read, or is no longer named while rules need it. */
#include <openssl/crypto.h>
#include <stdio.h>
#include "ctl/private.h"

static int load(struct rf_ctl *c, struct rf_tokens **ret, struct rf_err *e)
{
	RF_BUF_AUTO b = { 0 };
	const char *path = c->boot->tokens_file;
	if (!path[0])
		return RF_OK;
	int rc = rf_ctl_read_file(c, path, &b, e);
	if (rc == RF_OK && (rc = rf_tokens_make(rf_buf_str(&b), ret, e)) != RF_OK)
		snprintf(e->file, sizeof e->file, "%.*s", (int)sizeof e->file - 1, path);
	if (b.p)
		OPENSSL_cleanse(b.p, b.cap);
	return rc;
}

int rf_ctl_load_tokens(struct rf_ctl *c, struct rf_err *e)
{
	struct rf_tokens *now = NULL, *old = c->priv->tokens;
	int rc = load(c, &now, e);
	if (rc != RF_OK)
		return rc;
	if (!now && rf_ctl_rules_need(c, 1u << RF_NEED_JWT))
		return rf_fail(e, RF_E_CONFLICT, "rules in force need token configurations, and the boot file no longer names a file of them");
	c->priv->tokens = now;
	rf_tokens_put(old);
	return RF_OK;
}
