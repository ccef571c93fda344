/* Fuzz: the body of an EST enrolment. */
#include <stdint.h>
#include "pki/est.h"
#include "pki_ca.h"

static int spend(void *ctx, struct rf_str token, struct rf_str subject, struct rf_est_grant *ret)
{
	(void)ctx;
	(void)token;
	(void)subject;
	*ret = (struct rf_est_grant){ .days = 1, .cn = "fuzz" };
	return RF_OK;
}

static int renew(void *ctx, const struct rf_est_request *r, bool expired, struct rf_est_grant *ret)
{
	(void)ctx;
	(void)r;
	(void)expired;
	(void)ret;
	return RF_E_DENIED;
}

static int store(void *ctx, const struct rf_est_grant *g, struct rf_cert *c, bool quarantine, struct rf_err *e)
{
	(void)ctx;
	(void)g;
	(void)e;
	return quarantine || c->ca ? RF_E_INTERNAL : RF_OK;
}

static void unspend(void *ctx, struct rf_str token, const struct rf_est_grant *g)
{
	(void)ctx;
	(void)token;
	(void)g;
	__builtin_trap(); /* what was granted can be issued */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct rf_est_ops ops = { spend, renew, store, unspend };
	struct rf_est_request r = { .method = RF_STR("POST"),
				    .path = RF_STR("simpleenroll"),
				    .token = RF_STR("t"),
				    .content_type = RF_STR("application/pkcs10"),
				    .body = { (const char *)data, size } };
	struct rf_est_response to;
	struct rf_err e;
	int rc = rf_est_handle(fuzz_ca(), &ops, NULL, &r, NOW, &to, &e);
	if ((rc == RF_OK) != (to.status == 200) || (rc == RF_OK) != (to.issued != NULL))
		__builtin_trap();
	rf_est_response_fini(&to);
	return 0;
}
