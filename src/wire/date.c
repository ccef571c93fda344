/* wire/date: the dates of HTTP [RFC 9110 5.6.7].
 *
 * Days are counted with the proleptic Gregorian calendar in integers; no locale, no zone, no clock.
 */
#include "wire/date.h"

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char days[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */

struct civil {
	int64_t year;
	unsigned month, day; /* from 1 */
};

static void from_days(int64_t n, struct civil *c)
{
	int64_t z = n + 719468, era = z / 146097, doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	c->day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
	c->month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
	c->year = yoe + era * 400 + (c->month <= 2);
}

static void put(char *to, uint64_t v, unsigned digits)
{
	while (digits--) {
		to[digits] = (char)('0' + v % 10);
		v /= 10;
	}
}

char *rf_http_date(int64_t seconds, char to[RF_HTTP_DATE_SIZE])
{
	const int64_t last = 253402300799; /* 9999-12-31T23:59:59Z */
	struct civil c;
	int64_t s = seconds < 0 ? 0 : seconds > last ? last : seconds, day = s / 86400, rest = s % 86400;
	from_days(day, &c);
	memcpy(to, "Thu, 00 Jan 0000 00:00:00 GMT", RF_HTTP_DATE_SIZE);
	memcpy(to, days + 3 * (day % 7), 3);
	put(to + 5, c.day, 2);
	memcpy(to + 8, months + 3 * (c.month - 1), 3);
	put(to + 12, (uint64_t)c.year, 4);
	put(to + 17, (uint64_t)(rest / 3600), 2);
	put(to + 20, (uint64_t)(rest / 60 % 60), 2);
	put(to + 23, (uint64_t)(rest % 60), 2);
	return to;
}
