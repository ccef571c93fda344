/* Server certificates of our own CA stay, and are made anew where they must be. */
#include <openssl/x509.h>
#include "ctl/test.h"

static const struct rf_san sans[] = { { RF_SAN_DNS, RF_STR("api.example.com") }, { RF_SAN_IP, RF_STR("192.0.2.1") } };
static const struct rf_issue names = { .days = RF_CTL_OWN_DAYS, .cn = RF_STR("test"), .sans = sans, .san_count = 2, .server = true };

static int setup(void **state)
{
	(void)state;
	world_open("");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close();
	return 0;
}

static struct rf_keypair *pair(const struct rf_issue *req)
{
	struct rf_keypair *k = NULL;
	GOOD(rf_ctl_own_keypair(&w.ctl, req, &k, &w.e));
	return k;
}

static bool same(const struct rf_issue *a, const struct rf_issue *b)
{
	struct rf_keypair *x = pair(a), *y = pair(b);
	bool equal = X509_cmp(rf_keypair_leaf(x), rf_keypair_leaf(y)) == 0;
	rf_keypair_put(x);
	rf_keypair_put(y);
	return equal;
}

/* Runs a shell command in the folder of kept certificates. */
static void in_own(const char *command)
{
	char line[256];
	snprintf(line, sizeof line, "cd %s/own && %s", w.dir, command);
	assert_int_equal(system(line), 0);
}

static void the_same_names_keep_their_certificate(void **state)
{
	(void)state;
	struct rf_issue other = names;
	other.san_count = 1;
	assert_true(same(&names, &names));
	assert_false(same(&names, &other));
	assert_true(same(&names, &names));
	in_own("test -z \"$(find . -type f ! -perm 600)\"");
}

static void a_kept_file_that_does_not_serve_is_replaced(void **state)
{
	(void)state;
	static const char *const harm[] = { "for f in *; do echo nonsense > $f; done", "for f in *; do : > $f; done", "chmod 644 *",
					    "rm *" };
	for (size_t i = 0; i < sizeof harm / sizeof *harm; i++) {
		struct rf_keypair *before = pair(&names);
		in_own(harm[i]);
		struct rf_keypair *after = pair(&names);
		assert_int_not_equal(X509_cmp(rf_keypair_leaf(before), rf_keypair_leaf(after)), 0);
		rf_keypair_put(before);
		rf_keypair_put(after);
		assert_true(same(&names, &names));
	}
}

static void near_its_end_there_is_a_new_one(void **state)
{
	(void)state;
	struct rf_keypair *before = pair(&names);
	w.now_s += (RF_CTL_OWN_DAYS - 20) * 86400;
	struct rf_keypair *after = pair(&names);
	assert_true(rf_keypair_not_after(after) > rf_keypair_not_after(before));
	rf_keypair_put(before);
	rf_keypair_put(after);
}

static void of_another_ca_it_is_not_used(void **state)
{
	(void)state;
	struct rf_keypair *before = pair(&names);
	struct rf_ca *ours = w.ctl.ca;
	assert_int_equal(mkdir(in_dir("ca2"), 0700), 0);
	GOOD(rf_ca_open(&(struct rf_ca_conf){ .dir = in_dir("ca2") }, w.now_s, &w.ctl.ca, &w.e));
	struct rf_keypair *after = pair(&names);
	assert_int_not_equal(X509_cmp(rf_keypair_leaf(before), rf_keypair_leaf(after)), 0);
	rf_ca_free(w.ctl.ca);
	w.ctl.ca = ours;
	rf_keypair_put(before);
	rf_keypair_put(after);
}

static void without_a_place_it_is_used_all_the_same(void **state)
{
	(void)state;
	in_own("rm -f * && cd .. && rmdir own && touch own");
	rf_keypair_put(pair(&names));
	assert_int_equal(unlink(in_dir("own")), 0);
}

static void what_has_ended_is_tidied_away(void **state)
{
	(void)state;
	rf_keypair_put(pair(&names));
	w.now_s = (int64_t)time(NULL); /* files have the time of the system */
	in_own("touch -d '2 years ago' *.pem && touch young.pem");
	rf_ctl_own_tidy(&w.ctl);
	in_own("test \"$(ls)\" = young.pem");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_same_names_keep_their_certificate), TEST(a_kept_file_that_does_not_serve_is_replaced),
		TEST(near_its_end_there_is_a_new_one), TEST(of_another_ca_it_is_not_used),
		TEST(without_a_place_it_is_used_all_the_same), TEST(what_has_ended_is_tidied_away),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
