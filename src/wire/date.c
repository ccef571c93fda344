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
	unsigned hour, minute, second;
};

static int64_t to_days(const struct civil *c)
{
	int64_t y = c->year - (c->month <= 2), era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400, doy = (153 * (int64_t)(c->month > 2 ? c->month - 3 : c->month + 9) + 2) / 5 + c->day - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

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

/* Does s follow the pattern? 'd' a digit (or a space where it starts a field of 'D'), 'a' a letter, else itself. */
static bool follows(struct rf_str s, const char *pattern)
{
	if (s.n != strlen(pattern))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i], low = rf_lower(c);
		bool digit = c >= '0' && c <= '9', letter = low >= 'a' && low <= 'z';
		bool good = pattern[i] == 'd' ? digit : pattern[i] == 'D' ? digit || c == ' ' : pattern[i] == 'a' ? letter :
			(char)c == pattern[i];
		if (!good)
			return false;
	}
	return true;
}

static unsigned number(const char *p, unsigned digits)
{
	unsigned v = 0;
	while (digits--) {
		v = v * 10 + (unsigned)(*p == ' ' ? 0 : *p - '0');
		p++;
	}
	return v;
}

static unsigned month(const char *p)
{
	for (unsigned m = 0; m < 12; m++)
		if (memcmp(p, months + 3 * m, 3) == 0)
			return m + 1;
	return 0;
}

static void clock_of(const char *p, struct civil *c)
{
	c->hour = number(p, 2);
	c->minute = number(p + 3, 2);
	c->second = number(p + 6, 2);
}

static bool fields(struct rf_str s, struct civil *c)
{
	size_t comma = rf_str_find(s, ',');
	if (follows(s, "aaa, dd aaa dddd dd:dd:dd GMT")) {
		*c = (struct civil){ number(s.p + 12, 4), month(s.p + 8), number(s.p + 5, 2), 0, 0, 0 };
		clock_of(s.p + 17, c);
	} else if (follows(s, "aaa aaa Dd dd:dd:dd dddd")) { /* asctime */
		*c = (struct civil){ number(s.p + 20, 4), month(s.p + 4), number(s.p + 8, 2), 0, 0, 0 };
		clock_of(s.p + 11, c);
	} else if (comma >= 6 && comma <= 9 && follows(rf_str_skip(s, comma), ", dd-aaa-dd dd:dd:dd GMT")) { /* RFC 850 */
		const char *p = s.p + comma;
		unsigned year = number(p + 9, 2);
		*c = (struct civil){ year < 70 ? 2000 + year : 1900 + year, month(p + 5), number(p + 2, 2), 0, 0, 0 };
		clock_of(p + 12, c);
	} else {
		return false;
	}
	return true;
}

bool rf_http_date_parse(struct rf_str s, int64_t *ret_seconds)
{
	struct civil c, back;
	if (!fields(s, &c) || c.month == 0 || c.day == 0 || c.hour > 23 || c.minute > 59 || c.second > 60 || c.year < 1601)
		return false;
	int64_t day = to_days(&c);
	from_days(day, &back);
	if (back.day != c.day || back.month != c.month)
		return false; /* such as 30 February */
	*ret_seconds = day * 86400 + (int64_t)(c.hour * 3600 + c.minute * 60 + c.second);
	return true;
}
