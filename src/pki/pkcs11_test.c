#include "pki/test.h"
#include <sys/stat.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include "pki/key.h"

#define MODULE "/usr/lib/softhsm/libsofthsm2.so"

static int setup(void **state)
{
	(void)state;
	make_dir();
	struct rf_buf conf = { 0 };
	rf_buf_printf(&conf,
		      "directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n", dir);
	spill("softhsm.conf", rf_buf_str(&conf));
	rf_buf_fini(&conf);
	setenv("SOFTHSM2_CONF", in_dir("softhsm.conf"), 1);
	mkdir(in_dir("tokens"), 0700);
	return run("softhsm2-util --init-token --free --label edge --pin 1234 --so-pin 5678 && "
		   "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out t.key && "
		   "softhsm2-util --import t.key --token edge --label ca --id 01 --pin 1234");
}

static int teardown(void **state)
{
	(void)state;
	remove_dir();
	return 0;
}

#define URI(object, pin) "pkcs11:token=edge;object=" object ";type=private?pin-value=" pin "&module-path=" MODULE

static void the_ca_signs_with_a_token(void **state)
{
	(void)state;
	struct rf_ca *ca = NULL;
	struct rf_ca_conf conf = { .dir = in_dir("ca"), .key_uri = URI("ca", "1234") };
	int rc = rf_ca_open(&conf, NOW, &ca, &err);
	if (rc != RF_OK)
		print_error("%s\n", err.text);
	assert_int_equal(rc, RF_OK);
	assert_int_equal(run("test ! -e ca/intermediate.key"), 0);
	struct rf_bundle b = { 0 };
	struct rf_issue req = { .cn = RF_STR("hsm"), .days = 3 };
	assert_int_equal(rf_ca_bundle(ca, &req, NOW, &b, &err), RF_OK);
	spill("leaf.crt", rf_buf_str(&b.cert_pem));
	assert_int_equal(
		run("openssl verify -attime %d -CAfile ca/root.crt -untrusted ca/intermediate.crt leaf.crt",
		    NOW),
		0);
	rf_bundle_fini(&b);
	rf_ca_free(ca);
	ca = NULL;
	assert_int_equal(rf_ca_open(&conf, NOW, &ca, &err), RF_OK); /* and again from what is on disk */
	rf_ca_free(ca);
}

static void wrong_uris_are_explained(void **state)
{
	(void)state;
	EVP_PKEY *key = NULL;
	assert_int_equal(rf_key_load(URI("nothing", "1234"), &key, &err), RF_E_NOT_FOUND);
	assert_int_equal(rf_key_load("pkcs11:token=edge?module-path=relative.so", &key, &err), RF_E_SYNTAX);
	assert_int_equal(rf_key_load("pkcs11:token=edge;object=ca?module-path=/nowhere/else.so", &key, &err),
			 RF_E_CONFLICT);
	assert_non_null(strstr(err.text, MODULE));
	assert_null(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ca_signs_with_a_token),
		cmocka_unit_test(wrong_uris_are_explained),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
