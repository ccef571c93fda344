/* Counters: sums over threads, tables in step, and text that a Prometheus reader takes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include "records/counters.h"
#include "records/metrics.h"

static void *count_thousand(void *attach)
{
	if (attach)
		assert_true(rf_counters_attach());
	for (int i = 0; i < 1000; i++)
		rf_count(RF_C_CONN_ACCEPTED);
	rf_counters_detach();
	return NULL;
}

static void sums_outlive_threads(void **state)
{
	(void)state;
	uint64_t before = rf_counter_sum(RF_C_CONN_ACCEPTED);
	pthread_t t[4];
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, count_thousand, i < 2 ? t : NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(rf_counter_sum(RF_C_CONN_ACCEPTED) - before, 4000);
}

static void statuses_and_reasons(void **state)
{
	(void)state;
	rf_count_status(204);
	rf_count_status(599);
	rf_count_status(0);
	rf_count_status(999);
	assert_int_equal(rf_counter_sum(RF_C_REQ_2XX), 1);
	assert_int_equal(rf_counter_sum(RF_C_REQ_5XX), 1);
	assert_int_equal(rf_counter_sum(RF_C_REQ_NONE), 2);
	rf_count_refused(RF_REASON_CERT_REVOKED, false);
	rf_count_refused(RF_REASON_CERT_REVOKED, true);
	rf_count_refused(RF_REASON_CERT_REVOKED, true);
	assert_int_equal(rf_counter_sum(RF_C_REFUSED_CERT_REVOKED), 1);
	assert_int_equal(rf_counter_sum(RF_C_WOULD_REFUSE_CERT_REVOKED), 2);
	assert_string_equal(rf_reason_name(RF_REASON_CERT_REVOKED), "certificate_revoked");
	assert_string_equal(rf_counter_labels(RF_C_REFUSED_CERT_REVOKED), "layer=\"tls\",reason=\"certificate_revoked\"");
	assert_string_equal(rf_counter_labels(RF_C_LIMIT_CONNECTIONS), "limit=\"connections\"");
}

static void one_line(const char *line, regex_t *sample, regex_t *comment, char *name)
{
	if (line[0] != '#') {
		assert_int_equal(regexec(sample, line, 0, NULL, 0), 0);
		return;
	}
	assert_int_equal(regexec(comment, line, 0, NULL, 0), 0);
	if (strncmp(line, "# HELP ", 7) == 0) { /* a name's help comes once, its rows together */
		char found[256];
		sscanf(line, "# HELP %200s", found);
		size_t n = strlen(found);
		snprintf(found + n, sizeof found - n, ",");
		assert_null(strstr(name, found));
		strcat(name, found);
	}
}

static void exposition_is_valid(void **state)
{
	(void)state;
	rf_observe(RF_H_REQUEST, 1);
	rf_observe(RF_H_REQUEST, 3000000);
	rf_observe(RF_H_REQUEST, 90000000000);
	RF_BUF_AUTO out = { 0 };
	rf_metrics_write(&out);
	const char *text = rf_buf_z(&out);
	assert_non_null(strstr(text, "\nringfence_http_request_duration_seconds_bucket{le=\"0.0001\"} 1\n"));
	assert_non_null(strstr(text, "\nringfence_http_request_duration_seconds_bucket{le=\"0.005\"} 2\n"));
	assert_non_null(strstr(text, "\nringfence_http_request_duration_seconds_bucket{le=\"+Inf\"} 3\n"));
	assert_non_null(strstr(text, "\nringfence_http_request_duration_seconds_count 3\n"));
	assert_non_null(strstr(text, "\nringfence_http_request_duration_seconds_sum 90.003"));
	regex_t sample, comment;
	regcomp(&sample, "^ringfence_[a-z0-9_]+(\\{([a-z]+=\"[^\"\\\\]*\",?)+\\})? [0-9.e+-]+$", REG_EXTENDED | REG_NOSUB);
	regcomp(&comment, "^# (HELP ringfence_[a-z0-9_]+ .+|TYPE ringfence_[a-z0-9_]+ (counter|gauge|histogram))$",
		REG_EXTENDED | REG_NOSUB);
	char *copy = strdup(text), *names = calloc(1, out.n), *rest = copy;
	for (char *line; (line = strsep(&rest, "\n")) && *line;)
		one_line(line, &sample, &comment, names);
	free(copy);
	free(names);
	regfree(&sample);
	regfree(&comment);
}

static void counters_end_in_total(void **state)
{
	(void)state;
	for (unsigned c = 0; c < RF_C_COUNT; c++)
		assert_true(rf_str_ends(rf_str_z(rf_counter_name(c)), RF_STR("_total")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_outlive_threads),
		cmocka_unit_test(statuses_and_reasons),
		cmocka_unit_test(exposition_is_valid),
		cmocka_unit_test(counters_end_in_total),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
