#include "base/clock.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t mono(void *ctx)
{
	(void)ctx;
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * RF_NS_S + (uint64_t)t.tv_nsec;
}

static int64_t wall(void *ctx)
{
	(void)ctx;
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * (int64_t)RF_NS_S + t.tv_nsec;
}

const struct rf_clock rf_clock_system = { mono, wall, NULL };

char *rf_rfc3339(int64_t wall_ns, int micros, char to[RF_RFC3339_SIZE])
{
	time_t s = (time_t)(wall_ns / (int64_t)RF_NS_S);
	long ns = (long)(wall_ns % (int64_t)RF_NS_S);
	if (ns < 0)
		s--, ns += (long)RF_NS_S;
	struct tm tm;
	gmtime_r(&s, &tm);
	size_t n = strftime(to, RF_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(to + n, RF_RFC3339_SIZE - n, micros ? ".%06ldZ" : "Z", ns / 1000);
	return to;
}

int rf_rfc3339_parse(const char *z, int64_t *ret_s)
{
	struct tm tm = { 0 };
	const char *rest = strptime(z, "%Y-%m-%dT%H:%M:%S", &tm);
	if (rest && *rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	if (!rest || (strcmp(rest, "Z") != 0 && strcmp(rest, "+00:00") != 0))
		return -1;
	*ret_s = timegm(&tm);
	return 0;
}
