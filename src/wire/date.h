/* wire/date: the dates of HTTP [RFC 9110 5.6.7]. */
#pragma once
#include "base/str.h"

#define RF_HTTP_DATE_SIZE 30
/* "Sun, 06 Nov 1994 08:49:37 GMT" with a NUL, for seconds since 1970 (0 to the year 9999; others are clamped). */
char *rf_http_date(int64_t seconds, char to[RF_HTTP_DATE_SIZE]);
