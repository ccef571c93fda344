/* records/log: operational lines: what the daemon itself does and why, apart from records of traffic.
 *
 * One log a process. Any thread may call; a line is put into a bounded queue which the writer thread empties (full: dropped and
 * counted). Before the writer runs, and after it, lines go to standard error at once. Never put a secret into a line.
 */
#pragma once
#include <stdbool.h>
#include "base/str.h"

enum rf_log_level { RF_LOG_ERROR, RF_LOG_WARN, RF_LOG_INFO, RF_LOG_DEBUG };

enum { RF_LOG_LINE_MAX = 1024, RF_LOG_QUEUE_MAX = 1024 };

/* subsystem: a literal such as "ca". The text is a sentence without final stop; line ends in it become spaces. */
void rf_log(enum rf_log_level level, const char *subsystem, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Least level that is shown; of one subsystem, or of all that have none of their own (NULL). At most 32 subsystems. */
void rf_log_level(const char *subsystem, enum rf_log_level level);
bool rf_log_on(enum rf_log_level level, const char *subsystem);
