/* The monitor's plan follows from the boot file, in the order that both sides count on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/clock.h"
#include "ctl/plan.h"

static struct rf_plan *plan(const char *text, struct rf_boot **ret_boot)
{
	struct rf_err e = { 0 };
	struct rf_plan *p = NULL;
	assert_int_equal(rf_boot_parse(rf_str_z(text), "boot.yaml", ret_boot, &e), RF_OK);
	assert_int_equal(rf_plan_from_boot(*ret_boot, rf_boot_workers(*ret_boot), &p, &e), RF_OK);
	return p;
}

static void in_order(void **state)
{
	(void)state;
	struct rf_boot *b, *again;
	struct rf_err e = { 0 };
	struct rf_plan *p = plan("workers: 3\nshutdown: {drain: 2s}\nuser: fence\n"
				 "api: {group: adm}\nrecords: {file: /var/log/x/r.jsonl}\n"
				 "sandbox: {read: '/a:/b:/g.mmdb', write: /c}\n"
				 "listeners:\n- {address: '[::]:443', tls: {certificate: /c.pem, key: /k.pem}}\n"
				 "- {name: two, address: '1.2.3.4:80', protocol: http, backlog: 7}\n"
				 "- {address: '1.2.3.4:81', tls: {certificate: /c.pem, key: /k2.pem}}\n", &b);
	assert_int_equal(p->listener_count, 5);
	assert_string_equal(p->listeners[0].name, "[::]:443");
	assert_int_equal(p->listeners[0].sockets, 3);
	assert_int_equal(p->listeners[1].backlog, 7);
	assert_int_equal(rf_plan_listener_api_socket(b), 3);
	assert_string_equal(p->listeners[3].path, "/run/ringfence/api.sock");
	assert_string_equal(p->listeners[3].group, "adm");
	assert_int_equal(p->listeners[rf_plan_listener_api(b)].port, 8443);
	assert_int_equal(p->file_count, 3);
	assert_int_equal(rf_plan_file(p, "/k2.pem"), 2);
	assert_int_equal(rf_plan_file(p, "/etc/shadow"), -1);
	assert_int_equal(p->drain_ns, 2 * RF_NS_S);
	assert_string_equal(p->writable[0].path, "/var/lib/ringfence");
	assert_true(p->writable[0].owned);
	assert_string_equal(p->writable[3].path, "/var/log/x");
	assert_string_equal(p->writable[4].path, "/c");
	assert_int_equal(p->readable_count, 3);
	assert_int_equal(rf_boot_parse(p->text, "boot.yaml", &again, &e), RF_OK);
	assert_int_equal(again->listener_count, 3);
	rf_boot_free(again);
	rf_plan_free(p);
	rf_boot_free(b);
}

static void without_api(void **state)
{
	(void)state;
	struct rf_boot *b;
	struct rf_plan *p = plan("api: {listen: ''}\nlisteners: [{address: '127.0.0.1:1'}]\n", &b);
	assert_int_equal(p->listener_count, 2);
	assert_int_equal(rf_plan_listener_api(b), -1);
	assert_true(rf_boot_workers(b) >= 1 && p->listeners[0].sockets == rf_boot_workers(b));
	rf_plan_free(p);
	rf_boot_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(in_order), cmocka_unit_test(without_api) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
